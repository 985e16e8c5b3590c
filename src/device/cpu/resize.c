/* Bilinear resizing and its gradient.
 *
 * Where output rows and columns lie is worked out once, when the kernel is made. Forward, parts share the output rows;
 * backward, the input rows, of which each gathers from the output rows it had a share in, so that nobody writes to
 * anybody else's memory and the order of additions follows from the shape. */
#include "device/cpu/cpu_impl.h"

#include <math.h>
#include <string.h>

/* s of output place o: its whole part, and what is left. */
static size_t place_of(size_t o, size_t in, size_t out, bool align, double *f)
{
    double s;
    if (align) s = out > 1 ? (double)(o * (in - 1)) / (double)(out - 1) : 0;
    else s = fmax(((double)o + 0.5) * (double)in / (double)out - 0.5, 0);
    const size_t i = (size_t)s < in ? (size_t)s : in - 1;
    *f = s - (double)i;
    return i;
}

void dt_cpu_axis_make(dt_cpu_axis *a, void *room, size_t in, size_t out, bool align)
{
    a->at = room;
    a->begin = (uint32_t *)(a->at + out);
    a->in = in, a->out = out;
    size_t next = 0;
    for (size_t o = 0; o < out; o++) {
        double f;
        const size_t i = place_of(o, in, out, align, &f);
        a->at[o] = (dt_between){(uint32_t)i, (uint32_t)(i + 1 < in ? i + 1 : i), (float)f};
        while (next <= i) a->begin[next++] = (uint32_t)o;
    }
    while (next <= in) a->begin[next++] = (uint32_t)out;
}

typedef struct resize_state {
    dt_cpu_state common;
    dt_cpu_axis rows, columns;
    size_t images, c;
} resize_state;

typedef struct resize_task {
    const resize_state *s;
    const float *from;
    float *to;
} resize_task;

static void resize_part(void *task, int part, int parts)
{
    const resize_task *t = task;
    const resize_state *s = t->s;
    const size_t small = s->columns.in * s->c, large = s->columns.out * s->c;
    const dt_cpu_share mine = dt_cpu_share_of(s->images * s->rows.out, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++) {
        const dt_between b = s->rows.at[i % s->rows.out];
        const float *x = t->from + i / s->rows.out * s->rows.in * small;
        s->common.device->loops->resize_row(t->to + i * large, x + b.first * small, x + b.second * small, b.f, s->columns.at,
                                            s->columns.out, s->c);
    }
}

/* Input row i of an image: from the output rows that lie before it, then from those behind. */
static void gather_row(const resize_state *s, float *dx, const float *dy, size_t i)
{
    const dt_loops *loops = s->common.device->loops;
    const size_t large = s->columns.out * s->c;
    const uint32_t *begin = s->rows.begin;
    memset(dx, 0, s->columns.in * s->c * sizeof *dx);
    for (size_t o = i ? begin[i - 1] : 0; o < begin[i + 1]; o++) {
        const dt_between b = s->rows.at[o];
        const float share = (b.first == i ? 1 - b.f : 0) + (b.second == i ? b.f : 0);
        loops->resize_row_back(dx, dy + o * large, share, s->columns.at, s->columns.out, s->c);
    }
}

static void gather_part(void *task, int part, int parts)
{
    const resize_task *t = task;
    const resize_state *s = t->s;
    const size_t small = s->columns.in * s->c, large = s->columns.out * s->c;
    const dt_cpu_share mine = dt_cpu_share_of(s->images * s->rows.in, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++)
        gather_row(s, t->to + i * small, t->from + i / s->rows.in * s->rows.out * large, i % s->rows.in);
}

static int run_resize(void *state, void *const *in, void *const *out, void *scratch)
{
    const resize_state *s = state;
    resize_task t = {s, in[0], out[0]};
    (void)scratch;
    dt_cpu_divide(s->common.parts, s->common.op.kind == DT_OP_RESIZE ? resize_part : gather_part, &t);
    return 0;
}

duet_status dt_cpu_resize(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_shape x = op->kind == DT_OP_RESIZE ? op->in[0] : op->out[0], y = op->kind == DT_OP_RESIZE ? op->out[0] : op->in[0];
    const size_t rows = dt_cpu_axis_bytes(x.h, y.h), columns = dt_cpu_axis_bytes(x.w, y.w);
    resize_state *s = dt_cpu_state_new(d, op, sizeof *s + rows + columns, dt_shape_count(x) + dt_shape_count(y), err);
    if (!s) return DUET_MEMORY;
    dt_cpu_axis_make(&s->rows, s + 1, x.h, y.h, op->a.resize.align);
    dt_cpu_axis_make(&s->columns, (char *)(s + 1) + rows, x.w, y.w, op->a.resize.align);
    s->images = x.n, s->c = x.c;
    return dt_cpu_finish(&s->common, run_resize, 0, out);
}
