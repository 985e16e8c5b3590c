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

/* Bins are (i/15, (i+1)/15], as in Guo, Pleiss, Sun, Weinberger, ICML 2017; a confidence of 0 belongs to the first. */
static size_t bin_of(double confidence)
{
    const double place = ceil(confidence * DT_CALIBRATION_BINS) - 1;
    if (!(place > 0)) return 0;
    return place < DT_CALIBRATION_BINS ? (size_t)place : DT_CALIBRATION_BINS - 1;
}

void dt_scores_add(dt_scores *s, const float *logits, const int32_t *labels, size_t n, size_t classes)
{
    for (size_t i = 0; i < n; i++) {
        const float *z = logits + i * classes;
        const size_t label = (size_t)labels[i];
        size_t top;
        const double lse = log_sum_exp(z, classes, &top), confidence = exp((double)z[top] - lse);
        const size_t rank = rank_of(z, classes, label), bin = bin_of(confidence);
        s->images++;
        s->top1 += rank == 0;
        s->top5 += rank < 5;
        s->cross_entropy_sum += lse - (double)z[label];
        s->bin_confidence[bin] += confidence;
        s->bin_count[bin]++;
        s->bin_right[bin] += rank == 0;
    }
}

dt_measures dt_scores_finish(const dt_scores *s)
{
    dt_measures m = {0};
    if (!s->images) return m;
    const double images = (double)s->images;
    m.top1 = 100 * (double)s->top1 / images;
    m.top5 = 100 * (double)s->top5 / images;
    m.cross_entropy = s->cross_entropy_sum / images;
    for (int b = 0; b < DT_CALIBRATION_BINS; b++) m.calibration_error += fabs((double)s->bin_right[b] - s->bin_confidence[b]) / images;
    return m;
}

void dt_pair_scores_add(dt_pair_scores *s, const float *a, const float *b, size_t n, size_t classes)
{
    for (size_t i = 0; i < n; i++) {
        const float *za = a + i * classes, *zb = b + i * classes;
        size_t top_a, top_b;
        const double lse_a = log_sum_exp(za, classes, &top_a), lse_b = log_sum_exp(zb, classes, &top_b);
        double kl = 0;
        for (size_t c = 0; c < classes; c++) {
            const double log_a = (double)za[c] - lse_a, log_b = (double)zb[c] - lse_b, p = exp(log_a);
            if (p > 0) kl += p * (log_a - log_b);
        }
        s->images++;
        s->agree += top_a == top_b;
        s->kl_sum += kl;
    }
}
