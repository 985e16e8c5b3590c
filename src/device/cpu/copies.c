/* Copies between tensors of other channels or another grid: concatenation, slices, shuffles, patches; and dropout and the time
 * embedding, which fill memory from a number. */
#include "device/cpu/cpu_impl.h"

#include <math.h>
#include <string.h>

typedef struct copy_task {
    const dt_cpu_state *s;
    void *const *in;
    void *const *out;
} copy_task;

/* ---- channels -------------------------------------------------------------------------------------------------- */

static void concat_rows(const copy_task *t, dt_cpu_share rows)
{
    const dt_op *op = &t->s->op;
    const size_t c = op->out[0].c;
    size_t first = 0;
    for (int k = 0; k < op->n_in; first += op->in[k++].c) {
        const size_t n = op->in[k].c;
        const float *x = t->in[k];
        float *y = (float *)t->out[0] + first;
        for (size_t r = rows.begin; r < rows.end; r++) memcpy(y + r * c, x + r * n, n * sizeof *y);
    }
}

static void slice_rows(const copy_task *t, dt_cpu_share rows)
{
    const size_t from = t->s->op.in[0].c, n = t->s->op.out[0].c;
    const float *x = (const float *)t->in[0] + t->s->op.a.integer;
    float *y = t->out[0];
    for (size_t r = rows.begin; r < rows.end; r++) memcpy(y + r * n, x + r * from, n * sizeof *y);
}

static void slice_grad_rows(const copy_task *t, dt_cpu_share rows)
{
    const size_t n = t->s->op.in[0].c, to = t->s->op.out[0].c, first = (size_t)t->s->op.a.integer;
    const float *dy = t->in[0];
    for (size_t r = rows.begin; r < rows.end; r++) {
        float *dx = (float *)t->out[0] + r * to;
        memset(dx, 0, first * sizeof *dx);
        memcpy(dx + first, dy + r * n, n * sizeof *dx);
        memset(dx + first + n, 0, (to - first - n) * sizeof *dx);
    }
}

/* A row is a matrix of groups x channels of a group, and becomes its transpose. */
static void shuffle_rows(const copy_task *t, dt_cpu_share rows)
{
    const size_t c = t->s->op.out[0].c, groups = (size_t)t->s->op.a.integer;
    t->s->device->loops->transpose((float *)t->out[0] + rows.begin * c, (const float *)t->in[0] + rows.begin * c,
                                   rows.end - rows.begin, groups, c / groups);
}

/* ---- patches --------------------------------------------------------------------------------------------------- */

/* Rows of the picture. k neighbouring places of one are one run of floats on both sides. */
static void patch_rows(const copy_task *t, dt_cpu_share rows)
{
    const dt_op *op = &t->s->op;
    const bool back = op->kind == DT_OP_PATCHES_GRAD;
    const dt_shape s = back ? op->out[0] : op->in[0];
    const size_t k = (size_t)op->a.integer, run = k * s.c, patches = s.w / k;
    for (size_t r = rows.begin; r < rows.end; r++)
        for (size_t j = 0; j < patches; j++) {
            const size_t picture = (r * patches + j) * run, patch = ((r / k * patches + j) * k + r % k) * run;
            memcpy((float *)t->out[0] + (back ? picture : patch), (const float *)t->in[0] + (back ? patch : picture),
                   run * sizeof(float));
        }
}

/* ---- from a number --------------------------------------------------------------------------------------------- */

static void embed_rows(const copy_task *t, dt_cpu_share rows)
{
    const int32_t *time = t->in[0];
    const size_t half = t->s->op.out[0].c / 2;
    for (size_t r = rows.begin; r < rows.end; r++) {
        float *y = (float *)t->out[0] + 2 * r * half;
        for (size_t j = 0; j < half; j++) {
            const double angle = (double)time[r] * exp(-(double)j * log(10000) / (double)(half - 1));
            y[j] = (float)sin(angle);
            y[half + j] = (float)cos(angle);
        }
    }
}

/* Rows of four floats, one block of random numbers each. */
static void dropout_rows(const copy_task *t, dt_cpu_share rows)
{
    const dt_attributes a = t->s->op.a;
    const size_t all = dt_shape_count(t->s->op.out[0]), begin = 4 * rows.begin, end = 4 * rows.end < all ? 4 * rows.end : all;
    const dt_rng r = dt_rng_make(a.dropout.seed, DT_PURPOSE_DROPOUT, (uint32_t)((const int32_t *)t->in[1])[0],
                                 (uint64_t)a.dropout.salt << 32);
    const dt_dropout_numbers p = {.key = {r.key[0], r.key[1]},
                                  .word0 = r.counter[0],
                                  .word1 = r.counter[1],
                                  .word3 = r.counter[3],
                                  .bound = (uint32_t)(a.dropout.p * 4294967296.0),
                                  .scale = (float)(1 / (1 - a.dropout.p))};
    if (begin < end)
        t->s->device->loops->dropout((float *)t->out[0] + begin, (const float *)t->in[0] + begin, begin, end - begin, &p);
}

static void in_range_rows(const copy_task *t, dt_cpu_share rows)
{
    const int32_t *index = t->in[0];
    float *y = t->out[0];
    for (size_t r = rows.begin; r < rows.end; r++) y[r] = index[r] >= 0 && index[r] < t->s->op.a.integer ? 1 : 0;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

static size_t rows_of(const dt_op *op)
{
    switch (op->kind) {
    case DT_OP_PATCHES: return op->in[0].n * op->in[0].h;
    case DT_OP_PATCHES_GRAD: return op->out[0].n * op->out[0].h;
    case DT_OP_DROPOUT: return (dt_shape_count(op->out[0]) + 3) / 4;
    default: return dt_cpu_places(op->out[0]);
    }
}

static void copy_part(void *task, int part, int parts)
{
    const copy_task *t = task;
    /* Rows in units of 16, so that parts share no cache line of small rows. */
    const dt_cpu_share rows = dt_cpu_share_of(rows_of(&t->s->op), 16, part, parts);
    switch (t->s->op.kind) {
    case DT_OP_CONCAT: concat_rows(t, rows); break;
    case DT_OP_SLICE: slice_rows(t, rows); break;
    case DT_OP_SLICE_GRAD: slice_grad_rows(t, rows); break;
    case DT_OP_SHUFFLE: shuffle_rows(t, rows); break;
    case DT_OP_PATCHES:
    case DT_OP_PATCHES_GRAD: patch_rows(t, rows); break;
    case DT_OP_TIME_EMBED: embed_rows(t, rows); break;
    case DT_OP_DROPOUT: dropout_rows(t, rows); break;
    case DT_OP_IN_RANGE: in_range_rows(t, rows); break;
    default: DT_BUG("'%s' is not a copy", dt_kind_name(t->s->op.kind));
    }
}

static int run_copy(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    copy_task t = {s, in, out};
    (void)scratch;
    dt_cpu_divide(s->parts, copy_part, &t);
    return 0;
}

duet_status dt_cpu_copy(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const size_t work = op->kind == DT_OP_TIME_EMBED ? 32 : op->kind == DT_OP_DROPOUT ? 4 : 1; /* floats' worth of an element */
    dt_cpu_state *s = dt_cpu_state_new(d, op, sizeof *s, work * dt_shape_count(op->out[0]), err);
    if (!s) return DUET_MEMORY;
    return dt_cpu_finish(s, run_copy, 0, out);
}
