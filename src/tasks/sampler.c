/* The arithmetic of sampling from a network that denoises: which times are visited, and how a noisy picture moves from one to the next.
 * Who runs the network is in src/train.
 *
 *     a = ab now, a' = ab at the next time, 1 at the end;  x0 = clamp((x - sqrt(1-a) e) / sqrt(a), -1, 1)
 *
 *     ancestral  x' = sqrt(a') b/(1-a) x0 + sqrt(al) (1-a')/(1-a) x + sqrt(var) z,   al = a/a', b = 1 - al
 *                var = b ("large") or b (1-a')/(1-a) ("small"), 0 at the end
 *     ddim       x' = sqrt(a') x0 + sqrt(1 - a' - s^2) e' + s z,   s = eta sqrt((1-a')/(1-a)) sqrt(1 - a/a')
 *                e' = (x - sqrt(a) x0) / sqrt(1-a): the noise again, now that x0 was clamped
 *
 * Sources: Ho, Jain, Abbeel, NeurIPS 2020, arXiv:2006.11239 (eq. 6, 7 and both variances, s. 3.2); Song, Meng, Ermon, ICLR 2021,
 * arXiv:2010.02502 (eq. 12, 16). Clamping x0 is what the first one's code does. With eta 1, ddim is ancestral with the small variance.
 *
 * Both are linear in x0, x, e' and z, so that a sampler is a list of coefficients, made once in double. */
#include "tasks/tasks.h"

#include <math.h>

int64_t dt_sampler_time(int64_t i, int64_t n, int64_t timesteps)
{
    const int64_t over = n - 1, product = i * (timesteps - 1), whole = product / over, twice = 2 * (product % over);
    if (twice == over) return whole + whole % 2;
    return whole + (twice > over);
}

static void ancestral(dt_move *m, double a, double next, int variance)
{
    const double al = a / next, b = 1 - al, small = b * (1 - next) / (1 - a);
    m->of_x0 = sqrt(next) * b / (1 - a);
    m->of_x = sqrt(al) * (1 - next) / (1 - a);
    if (next < 1) m->spread = sqrt(variance == DT_VARIANCE_SMALL ? small : b);
}

static void ddim(dt_move *m, double a, double next, double eta)
{
    m->spread = eta * sqrt((1 - next) / (1 - a)) * sqrt(1 - a / next);
    m->of_x0 = sqrt(next);
    m->of_e = sqrt(fmax(0, 1 - next - m->spread * m->spread));
}

duet_status dt_sampler_plan(const dt_sampler *s, const double *ab, int64_t timesteps, dt_move *moves, duet_error *err)
{
    if (s->steps < 2 || s->steps > timesteps)
        return dt_fail(err, DUET_ARG, "%lld steps of a sampler; this network was trained with %lld times, so that 2 to %lld are possible",
                       (long long)s->steps, (long long)timesteps, (long long)timesteps);
    if (!(s->eta >= 0 && s->eta <= 1))
        return dt_fail(err, DUET_ARG, "eta is %g; possible is 0 (no noise on the way) to 1 (as much as ancestral sampling adds)", s->eta);
    for (int64_t k = 0; k < s->steps; k++) {
        const int64_t i = s->steps - 1 - k, time = dt_sampler_time(i, s->steps, timesteps);
        const double a = ab[time], next = i ? ab[dt_sampler_time(i - 1, s->steps, timesteps)] : 1;
        moves[k] = (dt_move){.time = (int32_t)time, .signal = sqrt(a), .noise = sqrt(1 - a)};
        if (s->kind == DT_SAMPLER_ANCESTRAL) ancestral(&moves[k], a, next, s->variance);
        else ddim(&moves[k], a, next, s->eta);
    }
    return DUET_OK;
}

void dt_sampler_move(const dt_move *m, float *x, const float *e, const float *z, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double now = (double)x[i];
        const double x0 = fmin(fmax((now - m->noise * (double)e[i]) / m->signal, -1), 1);
        const double again = (now - m->signal * x0) / m->noise;
        const double still = m->of_x0 * x0 + m->of_x * now + m->of_e * again;
        x[i] = (float)(m->spread > 0 ? still + m->spread * (double)z[i] : still);
    }
}

void dt_sampler_noise(uint64_t seed, uint64_t picture, uint32_t step, float *out, size_t n)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SAMPLE, step, picture);
    for (size_t i = 0; i < n; i++) out[i] = dt_rng_normal(&rng);
}

void dt_sampler_bytes(const float *x, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)fmin(fmax(floor(127.5 * (double)x[i] + 127.5 + 0.5), 0), 255);
}
