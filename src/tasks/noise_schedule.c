/* How noise grows over the steps of a diffusion, in double: ab_i, the share of the picture that is left of it after step i.
 *
 *     linear   beta_i = 1000/T (1e-4 + (.02 - 1e-4) i/(T-1))                        Ho, Jain, Abbeel, NeurIPS 2020
 *     cosine   beta_i = min(1 - f((i+1)/T)/f(i/T), .999), f(u) = cos^2((u + .008)/1.008 pi/2)   Nichol, Dhariwal, ICML 2021
 *
 * ab_i is the product of 1 - beta_0 .. 1 - beta_i. */
#include "tasks/tasks.h"

#include <math.h>

static double cosine(double u)
{
    static const double half_pi = 1.57079632679489661923;
    const double c = cos((u + 0.008) / 1.008 * half_pi);
    return c * c;
}

static double beta(int schedule, int64_t i, int64_t timesteps)
{
    const double t = (double)timesteps;
    if (schedule == DT_NOISE_LINEAR) return 1000 / t * (1e-4 + (0.02 - 1e-4) * (double)i / (double)(timesteps - 1));
    return fmin(1 - cosine((double)(i + 1) / t) / cosine((double)i / t), 0.999);
}

void dt_noise_schedule(const dt_task_config *c, double *ab)
{
    double left = 1;
    for (int64_t i = 0; i < c->timesteps; i++) {
        const double b = beta(c->noise_schedule, i, c->timesteps);
        left *= 1 - (b < 0.999 ? b : 0.999);
        ab[i] = left;
    }
}

duet_status dt_noise_tables(const dt_task_config *c, float *signal, float *noise, duet_error *err)
{
    double *ab = dt_alloc((size_t)c->timesteps, sizeof *ab);
    if (!ab) return dt_fail(err, DUET_MEMORY, "no memory for a noise schedule of %lld steps", (long long)c->timesteps);
    dt_noise_schedule(c, ab);
    for (int64_t i = 0; i < c->timesteps; i++) {
        signal[i] = (float)sqrt(ab[i]);
        noise[i] = (float)sqrt(1 - ab[i]);
    }
    dt_free(ab);
    return DUET_OK;
}
