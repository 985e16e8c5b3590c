/* Batch normalisation: statistics, application, gradients. Formulas and names are those of the reference.
 *
 * Sums over the batch: every part adds its rows in single precision, at most 256 periods at a time, shifted by the
 * first row of the tensor so that a large mean does not cancel the variance; these go into double, and the parts'
 * doubles are added in their order. The coefficients of a channel are worked out once per call, in double.
 *
 * Scratch: [common coefficients: MAX_COEFFICIENTS x period floats] [each part: 2 x period floats, 2 x c doubles]. */
#include "device/cpu/cpu_impl.h"

#include <math.h>
#include <string.h>

/* LEAST_PERIOD: four periods are summed at a time; at 64 floats these are 1 KiB in a row. At 256 the four streams run
 * a KiB apart, which the prefetchers of a Zen 3 do not follow: statistics took twice as long. */
enum { MAX_COEFFICIENTS = 4, PERIODS_PER_SUM = 256, LEAST_PERIOD = 64, VECTOR = 16 };

typedef struct norm_state {
    dt_cpu_state common;
    size_t rows, c, period;
    size_t part_bytes, parts_at; /* of scratch */
} norm_state;

/* One call: the state and the addresses. */
typedef struct norm_task {
    const norm_state *s;
    void *const *in;
    void *const *out;
    char *scratch;
} norm_task;

/* The smallest multiple of c that is a whole number of vectors and long enough to make a loop worthwhile. */
static size_t period_of(size_t c)
{
    if (c >= LEAST_PERIOD) return c;
    size_t unit = c;
    while (unit % VECTOR) unit += c;
    return dt_cpu_round_up(LEAST_PERIOD, unit);
}

static float *coefficient(const norm_task *t, size_t i)
{
    return (float *)(void *)t->scratch + i * t->s->period;
}

static float *part_sums(const norm_task *t, int part)
{
    return (float *)(void *)(t->scratch + t->s->parts_at + (size_t)part * t->s->part_bytes);
}

static double *part_totals(const norm_task *t, int part)
{
    return (double *)(void *)(part_sums(t, part) + 2 * t->s->period);
}

/* Copies the first c of a coefficient over the rest of its period. */
static void repeat(const norm_task *t, float *coefficients)
{
    for (size_t i = t->s->c; i < t->s->period; i++) coefficients[i] = coefficients[i - t->s->c];
}

/* Moves a period of single sums into the part's totals. */
static void fold(const norm_state *s, float *sums, double *totals)
{
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < s->period; i += s->c)
            for (size_t c = 0; c < s->c; c++) totals[k * s->c + c] += (double)sums[k * s->period + i + c];
    memset(sums, 0, 2 * s->period * sizeof *sums);
}

/* Adds the parts' totals in order; the result is in part 0's. */
static const double *add_parts(const norm_task *t)
{
    double *total = part_totals(t, 0);
    for (int part = 1; part < t->s->common.parts; part++)
        for (size_t i = 0; i < 2 * t->s->c; i++) total[i] += part_totals(t, part)[i];
    return total;
}

/* The range of floats that belongs to a part. */
static dt_cpu_share floats_of(const norm_state *s, int i, int parts)
{
    const dt_cpu_share rows = dt_cpu_share_of(s->rows, s->period / s->c, i, parts);
    return (dt_cpu_share){rows.begin * s->c, rows.end * s->c};
}

static const float *plus(const float *p, size_t offset)
{
    return p ? p + offset : NULL;
}

/* ---- statistics ------------------------------------------------------------------------------------------------ */

static void stats_part(void *task, int part, int parts)
{
    const norm_task *t = task;
    const norm_state *s = t->s;
    const float *x = t->in[0], *addend = dt_cpu_optional(&s->common.op, t->in, 1);
    float *emit = s->common.op.a.bn.emit ? t->out[1] : NULL, *sums = part_sums(t, part);
    double *totals = part_totals(t, part);
    const dt_cpu_share floats = floats_of(s, part, parts);

    memset(sums, 0, s->part_bytes);
    for (size_t at = floats.begin; at < floats.end; at += PERIODS_PER_SUM * s->period) {
        const size_t most = PERIODS_PER_SUM * s->period, rest = floats.end - at, n = rest < most ? rest : most;
        s->common.device->loops->norm_sums(x + at, plus(addend, at), emit ? emit + at : NULL, coefficient(t, 0), n,
                                           s->period, sums, sums + s->period);
        fold(s, sums, totals);
    }
}

static int run_stats(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    norm_task t = {s, in, out, scratch};
    const float *x = in[0], *addend = dt_cpu_optional(&s->common.op, in, 1);
    float *shift = coefficient(&t, 0), *mean = out[0], *r = mean + s->c;
    for (size_t c = 0; c < s->c; c++) shift[c] = addend ? x[c] + addend[c] : x[c];
    repeat(&t, shift);
    dt_cpu_divide(s->common.parts, stats_part, &t);

    const double *sum = add_parts(&t), *squares = sum + s->c, m = (double)s->rows;
    for (size_t c = 0; c < s->c; c++) {
        const double shifted = sum[c] / m;
        const double variance = fmax(squares[c] / m - shifted * shifted, 0);
        mean[c] = (float)((double)shift[c] + shifted);
        r[c] = (float)(1 / sqrt(variance + s->common.op.a.bn.eps));
    }
    return 0;
}

static int run_frozen(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    const float *running_mean = in[0], *running_variance = in[1];
    float *mean = out[0], *r = mean + s->c;
    (void)scratch;
    for (size_t c = 0; c < s->c; c++) {
        mean[c] = running_mean[c];
        r[c] = (float)(1 / sqrt((double)running_variance[c] + s->common.op.a.bn.eps));
    }
    return 0;
}

static int run_track(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    const float *mean = in[0], *r = mean + s->c;
    float *running_mean = in[1], *running_variance = in[2], *token = out[0];
    const double momentum = s->common.op.a.bn.momentum, m = (double)s->common.op.a.bn.count;
    (void)scratch;
    for (size_t c = 0; c < s->c; c++) {
        double variance = fmax(1 / ((double)r[c] * (double)r[c]) - s->common.op.a.bn.eps, 0);
        if (m > 1) variance *= m / (m - 1);
        running_mean[c] = (float)((1 - momentum) * (double)running_mean[c] + momentum * (double)mean[c]);
        running_variance[c] = (float)((1 - momentum) * (double)running_variance[c] + momentum * variance);
    }
    token[0] = 0;
    return 0;
}

/* ---- application ------------------------------------------------------------------------------------------------ */

static void apply_part(void *task, int part, int parts)
{
    const norm_task *t = task;
    const norm_state *s = t->s;
    const dt_cpu_share floats = floats_of(s, part, parts);
    const size_t at = floats.begin;
    s->common.device->loops->norm_apply((float *)t->out[0] + at, (const float *)t->in[0] + at,
                                        plus(dt_cpu_optional(&s->common.op, t->in, 4), at), coefficient(t, 0),
                                        coefficient(t, 1), floats.end - at, s->period, s->common.op.a.bn.activation);
}

static int run_apply(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    norm_task t = {s, in, out, scratch};
    const float *mean = in[1], *r = mean + s->c, *weight = in[2], *bias = in[3];
    float *scale = coefficient(&t, 0), *shift = coefficient(&t, 1);
    for (size_t c = 0; c < s->c; c++) {
        const double a = (double)weight[c] * (double)r[c];
        scale[c] = (float)a;
        shift[c] = (float)((double)bias[c] - (double)mean[c] * a);
    }
    repeat(&t, scale);
    repeat(&t, shift);
    dt_cpu_divide(s->common.parts, apply_part, &t);
    return 0;
}

/* ---- gradients -------------------------------------------------------------------------------------------------- */

static void grad_stats_part(void *task, int part, int parts)
{
    const norm_task *t = task;
    const norm_state *s = t->s;
    const float *dy = t->in[0], *x = t->in[1];
    const float *y = dt_cpu_optional(&s->common.op, t->in, 3), *dy2 = dt_cpu_optional(&s->common.op, t->in, 4);
    float *emit = s->common.op.a.bn.emit ? t->out[1] : NULL, *sums = part_sums(t, part);
    double *totals = part_totals(t, part);
    const dt_cpu_share floats = floats_of(s, part, parts);

    memset(sums, 0, s->part_bytes);
    for (size_t at = floats.begin; at < floats.end; at += PERIODS_PER_SUM * s->period) {
        const size_t most = PERIODS_PER_SUM * s->period, rest = floats.end - at, n = rest < most ? rest : most;
        s->common.device->loops->norm_grad_sums(dy + at, plus(dy2, at), plus(y, at), emit ? emit + at : NULL, x + at,
                                                coefficient(t, 0), n, s->period, sums, sums + s->period,
                                                s->common.op.a.bn.activation == DT_ACTIVATION_RELU6);
        fold(s, sums, totals);
    }
}

static int run_grad_stats(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    norm_task t = {s, in, out, scratch};
    const float *stats = in[2], *r = stats + s->c;
    float *mean = coefficient(&t, 0), *sum_g = out[0], *sum_gx = sum_g + s->c;
    memcpy(mean, stats, s->c * sizeof *mean);
    repeat(&t, mean);
    dt_cpu_divide(s->common.parts, grad_stats_part, &t);

    const double *sum = add_parts(&t), *products = sum + s->c;
    for (size_t c = 0; c < s->c; c++) {
        sum_g[c] = (float)sum[c];
        sum_gx[c] = (float)(products[c] * (double)r[c]);
    }
    return 0;
}

static void grad_input_part(void *task, int part, int parts)
{
    const norm_task *t = task;
    const norm_state *s = t->s;
    const dt_cpu_share floats = floats_of(s, part, parts);
    const size_t at = floats.begin;
    const float *dy = t->in[0], *x = t->in[1];
    s->common.device->loops->norm_grad_apply(
        (float *)t->out[0] + at, dy + at, plus(dt_cpu_optional(&s->common.op, t->in, 5), at), x + at,
        plus(dt_cpu_optional(&s->common.op, t->in, 6), at), coefficient(t, 0), coefficient(t, 1), coefficient(t, 2),
        coefficient(t, 3), floats.end - at, s->period, s->common.op.a.bn.activation == DT_ACTIVATION_RELU6);
}

/* dx = weight r (g - sum_g / m - (x - mean) r sum_gx / m), as coefficients of g, of x - mean, and a constant. */
static int run_grad_input(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    norm_task t = {s, in, out, scratch};
    const float *stats = in[2], *r = stats + s->c, *weight = in[3], *sum_g = in[4], *sum_gx = sum_g + s->c;
    float *mean = coefficient(&t, 0), *of_g = coefficient(&t, 1), *of_x = coefficient(&t, 2),
          *constant = coefficient(&t, 3);
    const double m = (double)s->rows;
    for (size_t c = 0; c < s->c; c++) {
        const double a = (double)weight[c] * (double)r[c];
        mean[c] = stats[c];
        of_g[c] = (float)a;
        of_x[c] = (float)(-a * (double)r[c] * (double)sum_gx[c] / m);
        constant[c] = (float)(-a * (double)sum_g[c] / m);
    }
    for (size_t i = 0; i < MAX_COEFFICIENTS; i++) repeat(&t, coefficient(&t, i));
    dt_cpu_divide(s->common.parts, grad_input_part, &t);
    return 0;
}

static void grad_frozen_part(void *task, int part, int parts)
{
    const norm_task *t = task;
    const norm_state *s = t->s;
    const dt_cpu_share floats = floats_of(s, part, parts);
    const size_t at = floats.begin;
    s->common.device->loops->norm_apply((float *)t->out[0] + at, (const float *)t->in[0] + at, NULL, coefficient(t, 0),
                                        coefficient(t, 1), floats.end - at, s->period, DT_ACTIVATION_NONE);
}

static int run_grad_frozen(void *state, void *const *in, void *const *out, void *scratch)
{
    const norm_state *s = state;
    norm_task t = {s, in, out, scratch};
    const float *r = (const float *)in[1] + s->c, *weight = in[2];
    float *scale = coefficient(&t, 0);
    for (size_t c = 0; c < s->c; c++) scale[c] = (float)((double)weight[c] * (double)r[c]);
    repeat(&t, scale);
    memset(coefficient(&t, 1), 0, s->period * sizeof(float));
    dt_cpu_divide(s->common.parts, grad_frozen_part, &t);
    return 0;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

duet_status dt_cpu_batch_norm(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    static dt_cpu_run_function *const runs[DT_OP_COUNT] = {
        [DT_OP_BN_STATS] = run_stats,
        [DT_OP_BN_FROZEN] = run_frozen,
        [DT_OP_BN_TRACK] = run_track,
        [DT_OP_BN_APPLY] = run_apply,
        [DT_OP_BN_GRAD_STATS] = run_grad_stats,
        [DT_OP_BN_GRAD_INPUT] = run_grad_input,
        [DT_OP_BN_GRAD_FROZEN] = run_grad_frozen,
    };
    norm_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]), err);
    if (!s) return DUET_MEMORY;
    s->rows = dt_cpu_places(op->in[0]);
    s->c = op->in[op->kind == DT_OP_BN_TRACK ? 1 : 0].c; /* its input 0 is [2, c] */
    s->period = period_of(s->c);
    s->parts_at = dt_cpu_round_up(MAX_COEFFICIENTS * s->period * sizeof(float), DT_ALIGN);
    s->part_bytes = dt_cpu_round_up(2 * s->period * sizeof(float) + 2 * s->c * sizeof(double), DT_ALIGN);
    return dt_cpu_finish(&s->common, runs[op->kind], s->parts_at + (size_t)d->base.threads * s->part_bytes, out);
}
