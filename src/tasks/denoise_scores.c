/* What is measured of denoising over a data set: the squared error at fixed times and noise (the loader's `fixed` noising: the same for
 * every epoch, network and run), over all pictures and by tenths of the time, because an error among little noise and one among much
 * mean different things. */
#include "tasks/tasks.h"

#include <math.h>

enum { BINS = 10 };

typedef struct sums {
    int64_t images[BINS];
    double error[BINS]; /* of means over the elements of a picture */
} sums;

static size_t sums_bytes(size_t classes)
{
    (void)classes;
    return sizeof(sums);
}

static double mean_square(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum / (double)n;
}

static void add(void *to, const dt_answers *own, const dt_answers *other)
{
    sums *s = to;
    const size_t count = 3 * own->height * own->width;
    (void)other;
    for (size_t i = 0; i < own->shape.n; i++) {
        const int64_t bin = (int64_t)own->time[i] * BINS / own->config->timesteps;
        s->images[bin]++;
        s->error[bin] += mean_square(own->output + i * count, own->noise + i * count, count);
    }
}

static void finish(const void *from, size_t classes, double *values)
{
    const sums *s = from;
    double all = 0;
    int64_t images = 0;
    (void)classes;
    for (int b = 0; b < BINS; b++) {
        all += s->error[b];
        images += s->images[b];
        values[1 + b] = s->images[b] ? s->error[b] / (double)s->images[b] : (double)NAN;
    }
    values[0] = all / (double)images;
}

static const dt_metric metrics[1 + BINS] = {
    {"mse", "MSE", "mean squared error of the noise at fixed times and noise", false, 5},
    {"mse_0", "t < .1", "the same for times in the first tenth", false, 5},
    {"mse_1", "t < .2", "in the second tenth", false, 5},
    {"mse_2", "t < .3", "in the third tenth", false, 5},
    {"mse_3", "t < .4", "in the fourth tenth", false, 5},
    {"mse_4", "t < .5", "in the fifth tenth", false, 5},
    {"mse_5", "t < .6", "in the sixth tenth", false, 5},
    {"mse_6", "t < .7", "in the seventh tenth", false, 5},
    {"mse_7", "t < .8", "in the eighth tenth", false, 5},
    {"mse_8", "t < .9", "in the ninth tenth", false, 5},
    {"mse_9", "t < 1", "in the last tenth", false, 5},
};

const dt_scoring dt_scoring_denoise = {
    .metrics = metrics, .n_metrics = DT_COUNT(metrics), .bytes = sums_bytes, .add = add, .finish = finish,
};

/* ---- two networks ----------------------------------------------------------------------------------------------- */

typedef struct pair_sums {
    int64_t images;
    double apart;
} pair_sums;

static size_t pair_bytes(size_t classes)
{
    (void)classes;
    return sizeof(pair_sums);
}

static void pair_add(void *to, const dt_answers *own, const dt_answers *other)
{
    pair_sums *s = to;
    const size_t count = 3 * own->height * own->width;
    for (size_t i = 0; i < own->shape.n; i++) s->apart += mean_square(own->output + i * count, other->output + i * count, count);
    s->images += (int64_t)own->shape.n;
}

static void pair_finish(const void *from, size_t classes, double *values)
{
    const pair_sums *s = from;
    (void)classes;
    values[0] = s->apart / (double)s->images;
}

static const dt_metric pair_metrics[] = {
    {"mse", "apart", "mean squared difference of the two predictions", false, 5},
};

const dt_scoring dt_scoring_denoise_pair = {
    .metrics = pair_metrics, .n_metrics = DT_COUNT(pair_metrics), .bytes = pair_bytes, .add = pair_add, .finish = pair_finish,
};

/* ---- errors of several ------------------------------------------------------------------------------------------ */

void dt_denoise_error_products(const dt_answers *of, int n, dt_error_products *to)
{
    double error[DT_MAX_NETWORKS];
    const size_t count = 3 * of->height * of->width * of->shape.n;
    for (size_t k = 0; k < count; k++) {
        for (int i = 0; i < n; i++) error[i] = (double)of[i].output[k] - (double)of->noise[k];
        dt_add_error(to, error, n);
    }
    to->units += (int64_t)of->shape.n;
}
