/* Group normalisation, alone or followed by SiLU, and its gradients. Formulas and names are those of the reference.
 *
 * Parts share the images; an image fits the L2 or nearly so, and both passes over it follow each other. In memory a
 * group's channels lie apart at every place, so sums are kept for each channel, as in batch normalisation, and put
 * together for each group, in double. Values are shifted by the group's average at the image's first place, so that a
 * large mean does not cancel the variance.
 *
 * Scratch of each part: [coefficients: N_COEFFICIENTS x period floats] [sums: 2 x period floats]
 *                       [this image's sums: 2 x c doubles] [of all its images: 2 x c doubles] */
#include "device/cpu/cpu_impl.h"

#include <math.h>
#include <string.h>

enum { PERIODS_PER_SUM = 256, LEAST_PERIOD = 64, VECTOR = 16 };
typedef enum coefficient { MEAN, SCALE, SHIFT, OF_G, OF_X, CONSTANT, N_COEFFICIENTS } coefficient;

typedef struct group_state {
    dt_cpu_state common;
    size_t images, places, c, groups, width; /* width: channels of a group */
    size_t period, part_bytes;
} group_state;

typedef struct group_task {
    const group_state *s;
    void *const *in;
    void *const *out;
    char *scratch;
} group_task;

/* The scratch of one part. */
typedef struct room {
    float *coefficients[N_COEFFICIENTS], *sums;
    double *image, *all; /* [2][c] */
} room;

static room room_of(const group_task *t, int part)
{
    const group_state *s = t->s;
    float *at = (float *)(void *)(t->scratch + (size_t)part * s->part_bytes);
    room r;
    for (int i = 0; i < N_COEFFICIENTS; i++, at += s->period) r.coefficients[i] = at;
    r.sums = at;
    r.image = (double *)(void *)(at + 2 * s->period);
    r.all = r.image + 2 * s->c;
    return r;
}

static void repeat(const group_state *s, float *coefficients)
{
    for (size_t i = s->c; i < s->period; i++) coefficients[i] = coefficients[i - s->c];
}

/* Moves a period of single sums into the image's. */
static void fold(const group_state *s, const room *r)
{
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < s->period; i += s->c)
            for (size_t c = 0; c < s->c; c++) r->image[k * s->c + c] += (double)r->sums[k * s->period + i + c];
    memset(r->sums, 0, 2 * s->period * sizeof *r->sums);
}

/* ---- forward --------------------------------------------------------------------------------------------------- */

/* The average of a group at the first place of an image. */
static double centre_of(const group_state *s, const float *x, const float *add, size_t group)
{
    double sum = 0;
    for (size_t c = group * s->width; c < (group + 1) * s->width; c++) sum += (double)x[c] + (add ? (double)add[c] : 0);
    return sum / (double)s->width;
}

/* Statistics of one group from the sums of its channels. */
static void statistics_of(const group_state *s, const room *r, double centre, size_t group, double *mean, double *scale)
{
    double sum = 0, squares = 0;
    const double m = (double)(s->places * s->width);
    for (size_t c = group * s->width; c < (group + 1) * s->width; c++) {
        sum += r->image[c];
        squares += r->image[s->c + c];
    }
    *mean = centre + sum / m;
    *scale = 1 / sqrt(fmax(squares / m - sum / m * (sum / m), 0) + s->common.op.a.gn.eps);
}

static void sum_image(const group_state *s, const room *r, const float *x)
{
    const size_t n = s->places * s->c, most = PERIODS_PER_SUM * s->period;
    memset(r->sums, 0, 2 * s->period * sizeof *r->sums);
    memset(r->image, 0, 2 * s->c * sizeof *r->image);
    for (size_t at = 0; at < n; at += most) {
        s->common.device->loops->norm_sums(x + at, NULL, NULL, r->coefficients[MEAN], n - at < most ? n - at : most, s->period,
                                           r->sums, r->sums + s->period);
        fold(s, r);
    }
}

static void normalise_image(const group_task *t, const room *r, size_t image)
{
    const group_state *s = t->s;
    const size_t n = s->places * s->c;
    const float *x = (const float *)t->in[0] + image * n, *weight = t->in[1], *bias = t->in[2];
    const float *add = dt_cpu_optional(&s->common.op, t->in, 3);
    float *y = (float *)t->out[0] + image * n, *scale = r->coefficients[SCALE], *shift = r->coefficients[SHIFT];
    float *stats = s->common.op.a.gn.emit ? (float *)t->out[1] + 2 * image * s->groups : NULL;
    if (add) add += image * s->c;

    for (size_t c = 0; c < s->c; c++)
        r->coefficients[MEAN][c] = (float)(centre_of(s, x, add, c / s->width) - (add ? (double)add[c] : 0));
    repeat(s, r->coefficients[MEAN]);
    sum_image(s, r, x);
    for (size_t k = 0; k < s->groups; k++) {
        double mean, deviation;
        statistics_of(s, r, centre_of(s, x, add, k), k, &mean, &deviation);
        if (stats) stats[k] = (float)mean, stats[s->groups + k] = (float)deviation;
        for (size_t c = k * s->width; c < (k + 1) * s->width; c++) {
            const double a = (double)weight[c] * deviation;
            scale[c] = (float)a;
            shift[c] = (float)((double)bias[c] + ((add ? (double)add[c] : 0) - mean) * a);
        }
    }
    repeat(s, scale);
    repeat(s, shift);
    if (s->common.op.a.gn.silu) s->common.device->loops->norm_apply_silu(y, x, scale, shift, n, s->period);
    else s->common.device->loops->norm_apply(y, x, NULL, scale, shift, n, s->period, DT_ACTIVATION_NONE);
}

static void forward_part(void *task, int part, int parts)
{
    const group_task *t = task;
    const dt_cpu_share images = dt_cpu_share_of(t->s->images, 1, part, parts);
    const room r = room_of(t, part);
    for (size_t n = images.begin; n < images.end; n++) normalise_image(t, &r, n);
}

static int run_forward(void *state, void *const *in, void *const *out, void *scratch)
{
    const group_state *s = state;
    group_task t = {s, in, out, scratch};
    dt_cpu_divide(s->common.parts, forward_part, &t);
    return 0;
}

/* ---- backward -------------------------------------------------------------------------------------------------- */

/* Where a gradient needs what the forward pass computed: means, and y before SiLU as x * scale + shift. */
static void recall(const group_task *t, const room *r, const float *stats, const float *add)
{
    const group_state *s = t->s;
    const float *weight = t->in[3], *bias = t->in[4];
    for (size_t c = 0; c < s->c; c++) {
        const double mean = (double)stats[c / s->width] - (add ? (double)add[c] : 0);
        const double a = (double)weight[c] * (double)stats[s->groups + c / s->width];
        r->coefficients[MEAN][c] = (float)mean;
        r->coefficients[SCALE][c] = (float)a;
        r->coefficients[SHIFT][c] = (float)((double)bias[c] - mean * a);
    }
    for (int i = MEAN; i <= SHIFT; i++) repeat(s, r->coefficients[i]);
}

/* The image's sums of g and g (x - mean). With SiLU, g is left in dx. */
static void sum_gradient(const group_state *s, const room *r, float *dx, const float *dy, const float *x)
{
    const size_t n = s->places * s->c, most = PERIODS_PER_SUM * s->period;
    const dt_loops *loops = s->common.device->loops;
    memset(r->sums, 0, 2 * s->period * sizeof *r->sums);
    memset(r->image, 0, 2 * s->c * sizeof *r->image);
    for (size_t at = 0; at < n; at += most) {
        const size_t m = n - at < most ? n - at : most;
        if (s->common.op.a.gn.silu)
            loops->norm_grad_sums_silu(dy + at, dx + at, x + at, r->coefficients[SCALE], r->coefficients[SHIFT],
                                       r->coefficients[MEAN], m, s->period, r->sums, r->sums + s->period);
        else
            loops->norm_grad_sums(dy + at, NULL, NULL, NULL, x + at, r->coefficients[MEAN], m, s->period, r->sums,
                                  r->sums + s->period, false);
        fold(s, r);
    }
}

/* dx = r (weight g - (sum + xhat products) / m) as coefficients of g, of x - mean, and a constant. */
static void find_coefficients(const group_task *t, const room *r, const float *deviations)
{
    const group_state *s = t->s;
    const float *weight = t->in[3];
    const double m = (double)(s->places * s->width);
    for (size_t k = 0; k < s->groups; k++) {
        const double deviation = (double)deviations[k];
        double sum = 0, products = 0;
        for (size_t c = k * s->width; c < (k + 1) * s->width; c++) {
            sum += (double)weight[c] * r->image[c];
            products += (double)weight[c] * r->image[s->c + c] * deviation;
            r->all[c] += r->image[c];
            r->all[s->c + c] += r->image[s->c + c] * deviation;
        }
        for (size_t c = k * s->width; c < (k + 1) * s->width; c++) {
            r->coefficients[OF_G][c] = (float)((double)weight[c] * deviation);
            r->coefficients[OF_X][c] = (float)(-deviation * deviation * products / m);
            r->coefficients[CONSTANT][c] = (float)(-deviation * sum / m);
        }
    }
    for (int i = OF_G; i <= CONSTANT; i++) repeat(s, r->coefficients[i]);
}

static void backward_image(const group_task *t, const room *r, size_t image)
{
    const group_state *s = t->s;
    const size_t n = s->places * s->c;
    const float *dy = (const float *)t->in[0] + image * n, *x = (const float *)t->in[1] + image * n;
    const float *stats = (const float *)t->in[2] + 2 * image * s->groups, *add = dt_cpu_optional(&s->common.op, t->in, 5);
    float *dx = (float *)t->out[0] + image * n;
    recall(t, r, stats, add ? add + image * s->c : NULL);
    sum_gradient(s, r, dx, dy, x);
    find_coefficients(t, r, stats + s->groups);
    s->common.device->loops->norm_grad_apply(dx, s->common.op.a.gn.silu ? dx : dy, NULL, x, NULL, r->coefficients[MEAN],
                                             r->coefficients[OF_G], r->coefficients[OF_X], r->coefficients[CONSTANT], n,
                                             s->period, false);
}

static void backward_part(void *task, int part, int parts)
{
    const group_task *t = task;
    const dt_cpu_share images = dt_cpu_share_of(t->s->images, 1, part, parts);
    const room r = room_of(t, part);
    memset(r.all, 0, 2 * t->s->c * sizeof *r.all);
    for (size_t n = images.begin; n < images.end; n++) backward_image(t, &r, n);
}

static int run_backward(void *state, void *const *in, void *const *out, void *scratch)
{
    const group_state *s = state;
    group_task t = {s, in, out, scratch};
    dt_cpu_divide(s->common.parts, backward_part, &t);
    if (!s->common.op.a.gn.emit) return 0;
    float *sums = out[1];
    for (size_t i = 0; i < 2 * s->c; i++) {
        double total = 0;
        for (int part = 0; part < s->common.parts; part++) total += room_of(&t, part).all[i];
        sums[i] = (float)total;
    }
    return 0;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

/* The smallest multiple of c that is a whole number of vectors and long enough to make a loop worthwhile. */
static size_t period_of(size_t c)
{
    if (c >= LEAST_PERIOD) return c;
    size_t unit = c;
    while (unit % VECTOR) unit += c;
    return dt_cpu_round_up(LEAST_PERIOD, unit);
}

duet_status dt_cpu_group_norm(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_shape x = op->out[0];
    group_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(x), err);
    if (!s) return DUET_MEMORY;
    s->images = x.n, s->places = x.h * x.w, s->c = x.c;
    s->groups = op->a.gn.groups, s->width = x.c / op->a.gn.groups;
    s->period = period_of(x.c);
    if ((size_t)s->common.parts > x.n) s->common.parts = (int)x.n;
    const size_t floats = dt_cpu_round_up((N_COEFFICIENTS + 2) * s->period, DT_ALIGN / sizeof(float));
    s->part_bytes = dt_cpu_round_up(floats * sizeof(float) + 4 * s->c * sizeof(double), DT_ALIGN);
    return dt_cpu_finish(&s->common, op->kind == DT_OP_GROUP_NORM ? run_forward : run_backward,
                         (size_t)s->common.parts * s->part_bytes, out);
}
