/* Sums, minima and maxima over axes.
 *
 * In memory order, neighbouring axes that are both reduced or both kept merge. What comes up in training then has the
 * form
 *
 *     kept x reduced x inner        (each may be 1)        out[k, i] = over r of in[k, r, i]
 *
 * as of a global average (images x places x channels), a sum over classes (places x classes x 1) or over everything.
 * Other patterns are left to the reference. Sums are in double. When nothing outer is kept, each part reduces a share
 * of the reduced axis into its own partial result, and these are put together in order.
 *
 * Scratch: parts x inner doubles. */
#include "device/cpu/cpu_impl.h"

#include <math.h>

typedef struct reduce_state {
    dt_cpu_state common;
    size_t kept, reduced, inner;
    bool partial; /* parts share the reduced axis */
} reduce_state;

typedef struct reduce_task {
    const reduce_state *s;
    const float *x;
    float *y;
    double *scratch;
} reduce_task;

/* False when the axes alternate more often than the form above allows. */
static bool find_form(const dt_op *op, reduce_state *s)
{
    const dt_shape x = op->in[0];
    const size_t size[4] = {x.n, x.h, x.w, x.c};
    static const unsigned axis[4] = {DT_AXIS_N, DT_AXIS_H, DT_AXIS_W, DT_AXIS_C};
    enum { KEPT, REDUCED, INNER } now = KEPT;
    s->kept = s->reduced = s->inner = 1;
    for (int d = 0; d < 4; d++) {
        if (size[d] == 1) continue;
        const bool reduced = op->a.reduce.axes & axis[d];
        if (now == KEPT && reduced) now = REDUCED;
        if (now == REDUCED && !reduced) now = INNER;
        if (now == INNER && reduced) return false;
        *(now == KEPT ? &s->kept : now == REDUCED ? &s->reduced : &s->inner) *= size[d];
    }
    return true;
}

/* The smaller or larger of what `to` holds and one more row. */
static void compare(const reduce_state *s, double *to, const float *x, bool first)
{
    const dt_kind kind = s->common.op.kind;
    for (size_t i = 0; i < s->inner; i++) {
        const double v = (double)x[i];
        if (first || isnan(v) || (kind == DT_OP_REDUCE_MIN ? v < to[i] : v > to[i])) to[i] = v;
    }
}

/* Reduces rows begin..end-1 of the block at x into to[inner]. */
static void reduce_rows(const reduce_state *s, double *to, const float *x, size_t begin, size_t end)
{
    if (s->inner == 1 && s->common.op.kind == DT_OP_SUM) {
        to[0] = s->common.device->loops->sum(x + begin, end - begin);
        return;
    }
    if (s->common.op.kind == DT_OP_SUM) {
        for (size_t i = 0; i < s->inner; i++) to[i] = 0;
        s->common.device->loops->accumulate(to, x + begin * s->inner, end - begin, s->inner);
        return;
    }
    for (size_t r = begin; r < end; r++) compare(s, to, x + r * s->inner, r == begin);
}

static void store(const reduce_state *s, float *y, const double *value)
{
    const double scale = s->common.op.kind == DT_OP_SUM ? s->common.op.a.reduce.scale : 1;
    for (size_t i = 0; i < s->inner; i++) y[i] = (float)(scale * value[i]);
}

static void reduce_part(void *task, int i, int parts)
{
    const reduce_task *t = task;
    const reduce_state *s = t->s;
    double *value = t->scratch + (size_t)i * s->inner;
    if (s->partial) {
        const dt_cpu_share rows = dt_cpu_share_of(s->reduced, 1, i, parts);
        reduce_rows(s, value, t->x, rows.begin, rows.end);
        return;
    }
    const dt_cpu_share kept = dt_cpu_share_of(s->kept, 1, i, parts);
    for (size_t k = kept.begin; k < kept.end; k++) {
        reduce_rows(s, value, t->x + k * s->reduced * s->inner, 0, s->reduced);
        store(s, t->y + k * s->inner, value);
    }
}

static int run_reduce(void *state, void *const *in, void *const *out, void *scratch)
{
    const reduce_state *s = state;
    reduce_task t = {s, in[0], out[0], scratch};
    dt_cpu_divide(s->common.parts, reduce_part, &t);
    if (!s->partial) return 0;

    double *total = t.scratch;
    for (int part = 1; part < s->common.parts; part++)
        for (size_t i = 0; i < s->inner; i++) {
            const double v = total[(size_t)part * s->inner + i];
            if (s->common.op.kind == DT_OP_SUM) total[i] += v;
            else if (isnan(v) || (s->common.op.kind == DT_OP_REDUCE_MIN ? v < total[i] : v > total[i])) total[i] = v;
        }
    store(s, t.y, total);
    return 0;
}

duet_status dt_cpu_reduce(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    reduce_state form;
    if (!find_form(op, &form)) return DUET_OK; /* the reference has it */
    reduce_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]), err);
    if (!s) return DUET_MEMORY;
    s->kept = form.kept, s->reduced = form.reduced, s->inner = form.inner;
    s->partial = s->kept == 1 && s->reduced >= (size_t)s->common.parts;
    if (!s->partial && s->kept < (size_t)s->common.parts) s->common.parts = (int)s->kept;
    return dt_cpu_finish(&s->common, run_reduce, (size_t)s->common.parts * s->inner * sizeof(double), out);
}
