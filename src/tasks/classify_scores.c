/* What is measured of a classifier over a data set (METHODS.md 4): accuracy, cross-entropy, calibration, and how far two
 * networks agree. Plain sums in double, in the order in which images arrive; no graph. */
#include "tasks/tasks.h"

#include <math.h>

/* log sum exp of a row, and its largest entry (the first of equals). NaN in the row makes the result NaN. */
static double log_sum_exp(const float *z, size_t classes, size_t *largest)
{
    size_t top = 0;
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[top]) top = c;
    double sum = 0;
    for (size_t c = 0; c < classes; c++) sum += exp((double)z[c] - (double)z[top]);
    *largest = top;
    return (double)z[top] + log(sum);
}

/* How many classes come before `label` when classes are sorted by logit, equals by number. Comparisons are turned so that
 * a logit that is not a number never makes a label right. */
static size_t rank_of(const float *z, size_t classes, size_t label)
{
    size_t before = 0;
    for (size_t c = 0; c < label; c++) before += !(z[c] < z[label]);
    for (size_t c = label + 1; c < classes; c++) before += !(z[c] <= z[label]);
    return before;
}

/* ---- one network ------------------------------------------------------------------------------------------------ */

enum { CALIBRATION_BINS = 15 };

typedef struct sums {
    size_t images, top1, top5;
    double cross_entropy;
    double bin_confidence[CALIBRATION_BINS];
    size_t bin_right[CALIBRATION_BINS];
} sums;

/* Bins are (i/15, (i+1)/15], as in Guo, Pleiss, Sun, Weinberger, ICML 2017; a confidence of 0 belongs to the first. */
static size_t bin_of(double confidence)
{
    const double place = ceil(confidence * CALIBRATION_BINS) - 1;
    if (!(place > 0)) return 0;
    return place < CALIBRATION_BINS ? (size_t)place : CALIBRATION_BINS - 1;
}

static size_t sums_bytes(size_t classes)
{
    (void)classes;
    return sizeof(sums);
}

static void add(void *to, const dt_answers *own, const dt_answers *other)
{
    sums *s = to;
    (void)other;
    for (size_t i = 0; i < own->shape.n; i++) {
        const float *z = own->output + i * own->classes;
        const size_t label = (size_t)own->labels[i];
        size_t top;
        const double lse = log_sum_exp(z, own->classes, &top), confidence = exp((double)z[top] - lse);
        const size_t rank = rank_of(z, own->classes, label), bin = bin_of(confidence);
        s->images++;
        s->top1 += rank == 0;
        s->top5 += rank < 5;
        s->cross_entropy += lse - (double)z[label];
        s->bin_confidence[bin] += confidence;
        s->bin_right[bin] += rank == 0;
    }
}

static void finish(const void *from, size_t classes, double *values)
{
    const sums *s = from;
    const double images = (double)s->images;
    double calibration = 0;
    (void)classes;
    for (int b = 0; b < CALIBRATION_BINS; b++) calibration += fabs((double)s->bin_right[b] - s->bin_confidence[b]) / images;
    values[0] = 100 * (double)s->top1 / images;
    values[1] = 100 * (double)s->top5 / images;
    values[2] = s->cross_entropy / images;
    values[3] = calibration;
}

static const dt_metric metrics[] = {
    {"top1", "top-1", "percent of pictures whose label has the largest logit", true, 2},
    {"top5", "top-5", "percent of pictures whose label is among the five largest logits", true, 2},
    {"ce", "CE", "cross-entropy, nats for a picture", false, 4},
    {"ece", "ECE", "expected calibration error, 15 bins of confidence, 0..1", false, 4},
};

const dt_scoring dt_scoring_classify = {
    .metrics = metrics, .n_metrics = DT_COUNT(metrics), .bytes = sums_bytes, .add = add, .finish = finish,
};

/* ---- two networks ----------------------------------------------------------------------------------------------- */

typedef struct pair_sums {
    size_t images, agree;
    double kl;
} pair_sums;

static size_t pair_bytes(size_t classes)
{
    (void)classes;
    return sizeof(pair_sums);
}

static void pair_add(void *to, const dt_answers *own, const dt_answers *other)
{
    pair_sums *s = to;
    const size_t classes = own->classes;
    for (size_t i = 0; i < own->shape.n; i++) {
        const float *za = own->output + i * classes, *zb = other->output + i * classes;
        size_t top_a, top_b;
        const double lse_a = log_sum_exp(za, classes, &top_a), lse_b = log_sum_exp(zb, classes, &top_b);
        double kl = 0;
        for (size_t c = 0; c < classes; c++) {
            const double log_a = (double)za[c] - lse_a, log_b = (double)zb[c] - lse_b, p = exp(log_a);
            if (p > 0) kl += p * (log_a - log_b);
        }
        s->images++;
        s->agree += top_a == top_b;
        s->kl += kl;
    }
}

static void pair_finish(const void *from, size_t classes, double *values)
{
    const pair_sums *s = from;
    const double images = (double)s->images;
    (void)classes;
    values[0] = 100 * (double)s->agree / images;
    values[1] = s->kl / images;
}

static const dt_metric pair_metrics[] = {
    {"agreement", "agreement", "percent of pictures that both name alike", true, 2},
    {"kl", "KL", "mean KL(p_a || p_b), a the earlier network", false, 4},
};

const dt_scoring dt_scoring_classify_pair = {
    .metrics = pair_metrics, .n_metrics = DT_COUNT(pair_metrics), .bytes = pair_bytes, .add = pair_add, .finish = pair_finish,
};

/* ---- errors of several ------------------------------------------------------------------------------------------ */

void dt_classify_error_products(const dt_answers *of, int n, dt_error_products *to)
{
    const float *z[DT_MAX_NETWORKS];
    const size_t classes = of->classes;
    for (size_t image = 0; image < of->shape.n; image++) {
        for (int i = 0; i < n; i++) z[i] = of[i].output + image * classes;
        dt_add_class_errors(to, z, n, classes, (size_t)of->labels[image]);
    }
}
