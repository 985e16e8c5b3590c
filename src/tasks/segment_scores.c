/* What is measured of segmentation over a data set: one matrix of pixels, rows the truth, columns the answer; mean intersection over
 * union, accuracy, cross-entropy and calibration from it. The network's coarse logits are brought to the mask's own size, pixel by pixel,
 * so that nothing of the size of all logits is ever stored. Ignored pixels are out; a class that is neither there nor named is absent,
 * which is no 0. Ties: the lowest class. */
#include "tasks/tasks.h"

#include <math.h>

enum { CALIBRATION_BINS = 15 };

/* The head of the sums; the matrix follows. */
typedef struct sums {
    int64_t pixels;
    double cross_entropy;
    double bin_confidence[CALIBRATION_BINS];
    int64_t bin_right[CALIBRATION_BINS];
    int64_t matrix[]; /* [classes, classes] */
} sums;

static size_t sums_bytes(size_t classes)
{
    return sizeof(sums) + classes * classes * sizeof(int64_t);
}

/* ---- coarse logits at a pixel ----------------------------------------------------------------------------------- */

/* Along one axis: between which two places a pixel lies, and how far towards the second. */
typedef struct between {
    size_t first, second;
    float share;
} between;

static between place_of(size_t pixel, size_t places, size_t pixels, bool align)
{
    double at = align ? (pixels > 1 ? (double)pixel * (double)(places - 1) / (double)(pixels - 1) : 0)
                      : ((double)pixel + 0.5) * (double)places / (double)pixels - 0.5;
    if (at < 0) at = 0;
    between b = {.first = (size_t)at};
    if (b.first > places - 1) b.first = places - 1;
    b.second = b.first + 1 < places ? b.first + 1 : b.first;
    b.share = (float)(at - (double)b.first);
    return b;
}

/* Logits of all classes at a pixel of image n. */
static void logits_at(const dt_answers *a, size_t n, between y, between x, float *z)
{
    const size_t classes = a->classes, row = a->shape.w * classes;
    const float *map = a->output + n * a->shape.h * row;
    const float *top = map + y.first * row, *bottom = map + y.second * row;
    for (size_t c = 0; c < classes; c++) {
        const float left = top[x.first * classes + c] + y.share * (bottom[x.first * classes + c] - top[x.first * classes + c]);
        const float right = top[x.second * classes + c] + y.share * (bottom[x.second * classes + c] - top[x.second * classes + c]);
        z[c] = left + x.share * (right - left);
    }
}

/* The largest logit's class, the first of equals, and the log of the sum of exponentials. */
static size_t answer_of(const float *z, size_t classes, double *lse)
{
    size_t top = 0;
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[top]) top = c;
    double sum = 0;
    for (size_t c = 0; c < classes; c++) sum += (double)expf(z[c] - z[top]);
    *lse = (double)z[top] + log(sum);
    return top;
}

void dt_segment_classes(const dt_answers *own, uint8_t *classes)
{
    float z[DT_MAX_SEGMENT_CLASSES];
    double lse;
    for (size_t n = 0; n < own->shape.n; n++)
        for (size_t h = 0; h < own->height; h++) {
            const between y = place_of(h, own->shape.h, own->height, own->align);
            for (size_t w = 0; w < own->width; w++) {
                logits_at(own, n, y, place_of(w, own->shape.w, own->width, own->align), z);
                *classes++ = (uint8_t)answer_of(z, own->classes, &lse);
            }
        }
}

/* ---- one network ------------------------------------------------------------------------------------------------ */

static void add_pixel(sums *s, const float *z, size_t classes, size_t label)
{
    double lse;
    const size_t top = answer_of(z, classes, &lse);
    const double confidence = exp((double)z[top] - lse), place = ceil(confidence * CALIBRATION_BINS) - 1;
    const size_t bin = !(place > 0) ? 0 : place < CALIBRATION_BINS ? (size_t)place : CALIBRATION_BINS - 1;
    s->matrix[label * classes + top]++;
    s->pixels++;
    s->cross_entropy += lse - (double)z[label];
    s->bin_confidence[bin] += confidence;
    s->bin_right[bin] += top == label;
}

/* Calls visit for every pixel that counts, with the logits of one network, or of two. */
typedef void visit_pixel(void *sums, const float *z, const float *other, size_t classes, size_t label);

static void each_pixel(void *s, const dt_answers *own, const dt_answers *other, visit_pixel *visit)
{
    float z[DT_MAX_SEGMENT_CLASSES], z_other[DT_MAX_SEGMENT_CLASSES];
    const int32_t *label = own->labels;
    for (size_t n = 0; n < own->shape.n; n++)
        for (size_t h = 0; h < own->height; h++)
            for (size_t w = 0; w < own->width; w++, label++) {
                if (*label < 0 || (size_t)*label >= own->classes) continue;
                logits_at(own, n, place_of(h, own->shape.h, own->height, own->align), place_of(w, own->shape.w, own->width, own->align), z);
                if (other)
                    logits_at(other, n, place_of(h, other->shape.h, other->height, other->align),
                              place_of(w, other->shape.w, other->width, other->align), z_other);
                visit(s, z, other ? z_other : NULL, own->classes, (size_t)*label);
            }
}

static void visit_own(void *s, const float *z, const float *other, size_t classes, size_t label)
{
    (void)other;
    add_pixel(s, z, classes, label);
}

static void add(void *to, const dt_answers *own, const dt_answers *other)
{
    (void)other;
    each_pixel(to, own, NULL, visit_own);
}

/* Intersection over union of each class in percent, NAN where it is absent. */
static void per_class(const void *from, size_t classes, double *values)
{
    const sums *s = from;
    for (size_t k = 0; k < classes; k++) {
        int64_t row = 0, column = 0;
        for (size_t c = 0; c < classes; c++) row += s->matrix[k * classes + c], column += s->matrix[c * classes + k];
        const int64_t both = s->matrix[k * classes + k], any = row + column - both;
        values[k] = any ? 100 * (double)both / (double)any : (double)NAN;
    }
}

static void finish(const void *from, size_t classes, double *values)
{
    const sums *s = from;
    double iou[DT_MAX_SEGMENT_CLASSES], sum = 0, calibration = 0;
    int64_t right = 0;
    size_t there = 0;
    per_class(from, classes, iou);
    for (size_t k = 0; k < classes; k++) {
        right += s->matrix[k * classes + k];
        if (isnan(iou[k])) continue;
        sum += iou[k];
        there++;
    }
    const double pixels = (double)s->pixels;
    for (int b = 0; b < CALIBRATION_BINS; b++) calibration += fabs((double)s->bin_right[b] - s->bin_confidence[b]) / pixels;
    values[0] = sum / (double)there;
    values[1] = (double)(classes - there);
    values[2] = 100 * (double)right / pixels;
    values[3] = s->cross_entropy / pixels;
    values[4] = calibration;
}

static const dt_metric metrics[] = {
    {"miou", "mIoU", "percent, mean over the classes that are there of intersection over union", true, 2},
    {"absent", "absent", "classes that neither the masks nor the answers have", false, 0},
    {"pixel_accuracy", "pixels", "percent of labelled pixels that are right", true, 2},
    {"ce", "CE", "cross-entropy, nats for a labelled pixel", false, 4},
    {"ece", "ECE", "expected calibration error of pixels, 15 bins of confidence, 0..1", false, 4},
};

const dt_scoring dt_scoring_segment = {
    .metrics = metrics, .n_metrics = DT_COUNT(metrics), .bytes = sums_bytes, .add = add, .finish = finish, .per_class = per_class,
};

/* ---- two networks ----------------------------------------------------------------------------------------------- */

typedef struct pair_sums {
    int64_t pixels, agree;
    double kl;
} pair_sums;

static size_t pair_bytes(size_t classes)
{
    (void)classes;
    return sizeof(pair_sums);
}

static void visit_pair(void *to, const float *z, const float *other, size_t classes, size_t label)
{
    pair_sums *s = to;
    double lse_a, lse_b, kl = 0;
    const size_t a = answer_of(z, classes, &lse_a), b = answer_of(other, classes, &lse_b);
    (void)label;
    for (size_t c = 0; c < classes; c++) {
        const double log_a = (double)z[c] - lse_a;
        kl += (double)expf((float)log_a) * (log_a - ((double)other[c] - lse_b));
    }
    s->pixels++;
    s->agree += a == b;
    s->kl += kl;
}

static void pair_add(void *to, const dt_answers *own, const dt_answers *other)
{
    each_pixel(to, own, other, visit_pair);
}

static void pair_finish(const void *from, size_t classes, double *values)
{
    const pair_sums *s = from;
    (void)classes;
    values[0] = 100 * (double)s->agree / (double)s->pixels;
    values[1] = s->kl / (double)s->pixels;
}

static const dt_metric pair_metrics[] = {
    {"agreement", "agreement", "percent of labelled pixels that both name alike", true, 2},
    {"kl", "KL", "mean KL(p_a || p_b) over labelled pixels, a the earlier network", false, 4},
};

const dt_scoring dt_scoring_segment_pair = {
    .metrics = pair_metrics, .n_metrics = DT_COUNT(pair_metrics), .bytes = pair_bytes, .add = pair_add, .finish = pair_finish,
};

/* ---- errors of several ------------------------------------------------------------------------------------------ */

void dt_segment_error_products(const dt_answers *of, int n, dt_error_products *to)
{
    float memory[DT_MAX_NETWORKS][DT_MAX_SEGMENT_CLASSES];
    const float *z[DT_MAX_NETWORKS];
    const int32_t *label = of->labels;
    for (int i = 0; i < n; i++) z[i] = memory[i];
    for (size_t image = 0; image < of->shape.n; image++)
        for (size_t h = 0; h < of->height; h++)
            for (size_t w = 0; w < of->width; w++, label++) {
                if (*label < 0 || (size_t)*label >= of->classes) continue;
                for (int i = 0; i < n; i++)
                    logits_at(&of[i], image, place_of(h, of[i].shape.h, of->height, of[i].align),
                              place_of(w, of[i].shape.w, of->width, of[i].align), memory[i]);
                dt_add_class_errors(to, z, n, of->classes, (size_t)*label);
            }
}
