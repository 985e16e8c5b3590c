/* Cross-entropy of every pixel of logits resized on the way, and its gradient: no tensor of all pixels' logits exists.
 *
 * An output row first mixes its two rows of logits into one, then every pixel mixes two places of that. Classes are
 * padded to whole vectors with very negative logits, whose softmax is zero.
 *
 * Backward, a unit of work is the band of output rows between coarse rows i and i + 1 of an image. It writes what it gives
 * to row i into the gradient and what it gives to row i + 1 into scratch, which a second pass adds: no two units share
 * memory, every softmax is computed once, and the order of additions follows from the shape.
 *
 * Scratch: [gradient's shape: gifts to the next row] [each part: a mixed row, its gradient, DT_PIXELS pixels] */
#include "device/cpu/cpu_impl.h"

#include <string.h>

typedef struct pixel_state {
    dt_cpu_state common;
    dt_cpu_axis rows, columns;
    size_t images, c, padded;
    size_t parts_at, part_floats;
} pixel_state;

typedef struct pixel_task {
    const pixel_state *s;
    const float *dy, *z;
    const int32_t *labels;
    float *out, *scratch;
} pixel_task;

static float *room_of(const pixel_task *t, int part)
{
    return t->scratch + t->s->parts_at + (size_t)part * t->s->part_floats;
}

static void mix_row(const pixel_task *t, float *v, size_t image, dt_between b)
{
    const pixel_state *s = t->s;
    const size_t row = s->columns.in * s->c;
    const float *z = t->z + image * s->rows.in * row;
    s->common.device->loops->pixel_row(v, z + b.first * row, z + b.second * row, b.f, s->columns.in, s->c, s->padded);
}

static void forward_part(void *task, int part, int parts)
{
    const pixel_task *t = task;
    const pixel_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->images * s->rows.out, 1, part, parts);
    float *v = room_of(t, part), *pixels = v + s->columns.in * s->padded;
    for (size_t i = mine.begin; i < mine.end; i++) {
        mix_row(t, v, i / s->rows.out, s->rows.at[i % s->rows.out]);
        s->common.device->loops->pixel_ce(t->out + i * s->columns.out, v, t->labels + i * s->columns.out, s->columns.at,
                                          s->columns.out, s->c, s->padded, pixels);
    }
}

/* to += share of a mixed row's gradient, without the padding. */
static void give(const pixel_state *s, float *to, const float *dv, float share)
{
    for (size_t j = 0; j < s->columns.in; j++, to += s->c, dv += s->padded)
        for (size_t c = 0; c < s->c; c++) to[c] += share * dv[c];
}

static void backward_band(const pixel_task *t, float *v, size_t image, size_t i)
{
    const pixel_state *s = t->s;
    const size_t row = s->columns.in * s->c, mixed = s->columns.in * s->padded, width = s->columns.out;
    float *own = t->out + (image * s->rows.in + i) * row, *next = t->scratch + (image * s->rows.in + i) * row;
    float *dv = v + mixed, *pixels = dv + mixed;
    memset(own, 0, row * sizeof *own);
    memset(next, 0, row * sizeof *next);
    for (size_t o = s->rows.begin[i]; o < s->rows.begin[i + 1]; o++) {
        const dt_between b = s->rows.at[o];
        const size_t at = (image * s->rows.out + o) * width;
        mix_row(t, v, image, b);
        memset(dv, 0, mixed * sizeof *dv);
        s->common.device->loops->pixel_ce_grad(dv, t->dy + at, v, t->labels + at, s->columns.at, width, s->c, s->padded,
                                               pixels);
        give(s, own, dv, 1 - b.f);
        give(s, b.second == b.first ? own : next, dv, b.f);
    }
}

static void backward_part(void *task, int part, int parts)
{
    const pixel_task *t = task;
    const dt_cpu_share mine = dt_cpu_share_of(t->s->images * t->s->rows.in, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++) backward_band(t, room_of(t, part), i / t->s->rows.in, i % t->s->rows.in);
}

static void add_part(void *task, int part, int parts)
{
    const pixel_task *t = task;
    const size_t row = t->s->columns.in * t->s->c;
    const dt_cpu_share mine = dt_cpu_share_of(t->s->images * t->s->rows.in, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++) {
        float *to = t->out + i * row;
        if (i % t->s->rows.in == 0) continue;
        for (size_t j = 0; j < row; j++) to[j] += t->scratch[(i - 1) * row + j];
    }
}

static int run_forward(void *state, void *const *in, void *const *out, void *scratch)
{
    const pixel_state *s = state;
    pixel_task t = {.s = s, .z = in[0], .labels = in[1], .out = out[0], .scratch = scratch};
    dt_cpu_divide(s->common.parts, forward_part, &t);
    return 0;
}

static int run_backward(void *state, void *const *in, void *const *out, void *scratch)
{
    const pixel_state *s = state;
    pixel_task t = {.s = s, .dy = in[0], .z = in[1], .labels = in[2], .out = out[0], .scratch = scratch};
    dt_cpu_divide(s->common.parts, backward_part, &t);
    dt_cpu_divide(s->common.parts, add_part, &t);
    return 0;
}

duet_status dt_cpu_pixel_ce(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const bool forward = op->kind == DT_OP_PIXEL_CE;
    const dt_shape z = op->in[forward ? 0 : 1], y = forward ? op->out[0] : op->in[0];
    const size_t rows = dt_cpu_axis_bytes(z.h, y.h), columns = dt_cpu_axis_bytes(z.w, y.w);
    pixel_state *s = dt_cpu_state_new(d, op, sizeof *s + rows + columns, dt_shape_count(y) * z.c, err);
    if (!s) return DUET_MEMORY;
    dt_cpu_axis_make(&s->rows, s + 1, z.h, y.h, op->a.resize.align);
    dt_cpu_axis_make(&s->columns, (char *)(s + 1) + rows, z.w, y.w, op->a.resize.align);
    s->images = z.n, s->c = z.c, s->padded = dt_cpu_round_up(z.c, d->loops->lanes);
    s->parts_at = forward ? 0 : dt_cpu_round_up(dt_shape_count(z), DT_ALIGN / sizeof(float));
    s->part_floats = dt_cpu_round_up((2 * z.w + DT_PIXELS) * s->padded, DT_ALIGN / sizeof(float));
    return dt_cpu_finish(&s->common, forward ? run_forward : run_backward,
                         (s->parts_at + (size_t)s->common.parts * s->part_floats) * sizeof(float), out);
}
