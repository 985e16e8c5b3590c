/* What is computed for each place from its channels: softmax over classes, picking a class, the cosine of two
 * vectors.
 *
 * Every part takes a share of the rows (places) and hands it to one loop. An index outside the classes names none, as
 * in the reference: PICK gives 0 there and PICK_GRAD no gradient. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

typedef struct rows_state {
    dt_cpu_state common;
    size_t rows, c, step; /* step: from row to row of what is picked from; 0: all pick from one */
    float number; /* a.real: scale or eps */
} rows_state;

typedef struct rows_task {
    const rows_state *s;
    void *const *in;
    void *const *out;
} rows_task;

static void pick(const rows_task *t, dt_cpu_share rows)
{
    const float *x = t->in[0];
    const int32_t *index = t->in[1];
    float *y = t->out[0];
    for (size_t r = rows.begin; r < rows.end; r++)
        y[r] = index[r] >= 0 && (size_t)index[r] < t->s->c ? x[r * t->s->step + (size_t)index[r]] : 0;
}

static void pick_grad(const rows_task *t, dt_cpu_share rows)
{
    const float *dy = t->in[0];
    const int32_t *index = t->in[1];
    float *dx = t->out[0];
    const size_t c = t->s->c;
    memset(dx + rows.begin * c, 0, (rows.end - rows.begin) * c * sizeof *dx);
    for (size_t r = rows.begin; r < rows.end; r++)
        if (index[r] >= 0 && (size_t)index[r] < c) dx[r * c + (size_t)index[r]] = dy[r];
}

static void rows_part(void *task, int i, int parts)
{
    const rows_task *t = task;
    const rows_state *s = t->s;
    const dt_loops *loops = s->common.device->loops;
    const dt_cpu_share rows = dt_cpu_share_of(s->rows, 1, i, parts);
    const size_t n = rows.end - rows.begin, at = rows.begin * s->c;
    float *y = t->out[0];
    const float *a = t->in[0], *b = s->common.op.n_in > 1 ? t->in[1] : NULL,
                *c = s->common.op.n_in > 2 ? t->in[2] : NULL;

    switch (s->common.op.kind) {
    case DT_OP_LOG_SOFTMAX: loops->log_softmax(y + at, a + at, n, s->c, s->number); break;
    case DT_OP_LOG_SOFTMAX_GRAD: loops->log_softmax_grad(y + at, a + at, b + at, n, s->c, s->number); break;
    case DT_OP_COSINE: loops->cosine(y + rows.begin, a + at, b + at, n, s->c, s->number); break;
    case DT_OP_COSINE_GRAD: loops->cosine_grad(y + at, a + rows.begin, b + at, c + at, n, s->c, s->number); break;
    case DT_OP_PICK: pick(t, rows); break;
    case DT_OP_PICK_GRAD: pick_grad(t, rows); break;
    default: DT_BUG("'%s' is not computed by rows", dt_kind_name(s->common.op.kind));
    }
}

static int run_rows(void *state, void *const *in, void *const *out, void *scratch)
{
    const rows_state *s = state;
    rows_task t = {s, in, out};
    (void)scratch;
    dt_cpu_divide(s->common.parts, rows_part, &t);
    return 0;
}

duet_status dt_cpu_classify(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_shape wide = op->kind == DT_OP_PICK_GRAD ? op->out[0] : op->in[op->kind == DT_OP_COSINE_GRAD ? 1 : 0];
    const bool table = op->kind == DT_OP_PICK && dt_cpu_places(wide) == 1;
    rows_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(table ? op->out[0] : wide), err);
    if (!s) return DUET_MEMORY;
    s->rows = dt_cpu_places(table ? op->out[0] : wide);
    s->c = wide.c;
    s->step = table ? 0 : wide.c;
    if (op->kind != DT_OP_PICK && op->kind != DT_OP_PICK_GRAD) s->number = (float)op->a.real;
    return dt_cpu_finish(&s->common, run_rows, 0, out);
}
