/* 1x1 convolutions in groups, stride 1: products of slices of channels. oneDNN 2.6.3 computes those of shufflenet_v1 at a third to a half
 * of this speed (docs/performance.md).
 *
 * Forward, and with the weights the other way round the gradient for the input: the weights are packed as products read them (loops.h);
 * each part takes blocks of places, and of each block one group after the other, straight into y where a group's results are whole
 * vectors. Gradient for the weights: each part adds up its places, slices of x copied together with zeros up to whole vectors; the parts'
 * sums are added in order.
 *
 * Scratch: [packed weights][each part: a block of results], or [each part: sums, a block of a slice of x]. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum {
    BLOCK_PLACES = 48,     /* a multiple of every register block */
    SUM_PLACES = 128,      /* of one product of the weights' gradient: what a sum's load and store are shared by */
    LEAST_CHANNELS = 4     /* of a group: below, vectors would be mostly zeros */
};

typedef struct grouped_state {
    dt_cpu_state common;
    size_t groups, places;
    size_t inner, columns; /* of one group's product; for the weights' gradient: output and input channels of a group */
    size_t padded, panel;  /* columns rounded up to whole vectors; of one packed piece of the weights */
    size_t part_floats;
} grouped_state;

typedef struct grouped_task {
    const grouped_state *s;
    const float *x, *w, *bias, *dy; /* bias: NULL where there is none */
    float *y, *scratch;
} grouped_task;

/* ---- forward and gradient for the input ---------------------------------------------------------------------- */

static void pack_part(void *task, int part, int parts)
{
    const grouped_task *t = task;
    const grouped_state *s = t->s;
    const bool backward = s->common.op.kind == DT_OP_CONV_GRAD_INPUT;
    const dt_cpu_share mine = dt_cpu_share_of(s->groups * s->inner, 1, part, parts);
    for (size_t at = mine.begin; at < mine.end; at++) {
        const size_t g = at / s->inner, k = at % s->inner;
        for (size_t j = 0; j < s->padded; j++) {
            float *to = t->scratch + g * s->inner * s->padded + j / s->panel * s->panel * s->inner + k * s->panel + j % s->panel;
            if (j >= s->columns) *to = 0;
            else *to = backward ? t->w[at * s->columns + j] : t->w[(g * s->columns + j) * s->inner + k];
        }
    }
}

/* n places of one group, into y or, where that has no whole vectors, through `results`. */
static void multiply_group(const grouped_task *t, size_t g, size_t first, size_t n, float *results)
{
    const grouped_state *s = t->s;
    const size_t from_row = s->groups * s->inner, to_row = s->groups * s->columns;
    const bool straight = s->padded == s->columns;
    const float *bias = t->bias ? t->bias + g * s->columns : NULL;
    float *to = t->y + first * to_row + g * s->columns;
    const dt_product p = {.groups = 1,
                          .rows = n,
                          .columns = s->padded,
                          .segments = 1,
                          .inner = s->inner,
                          .c_row = straight ? to_row : s->padded,
                          .a_row = from_row,
                          .bias = straight ? bias : NULL};
    s->common.device->loops->product(straight ? to : results, t->x + first * from_row + g * s->inner, t->scratch + g * s->inner * s->padded, &p);
    if (straight) return;
    for (size_t r = 0; r < n; r++, to += to_row, results += s->padded) {
        if (bias)
            for (size_t c = 0; c < s->columns; c++) to[c] = results[c] + bias[c];
        else memcpy(to, results, s->columns * sizeof *to);
    }
}

static void multiply_part(void *task, int part, int parts)
{
    const grouped_task *t = task;
    const grouped_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->places, s->common.device->loops->rows, part, parts);
    float *results = t->scratch + s->groups * s->inner * s->padded + (size_t)part * s->part_floats;
    for (size_t at = mine.begin; at < mine.end; at += BLOCK_PLACES) {
        const size_t n = mine.end - at < BLOCK_PLACES ? mine.end - at : BLOCK_PLACES;
        for (size_t g = 0; g < s->groups; g++) multiply_group(t, g, at, n, results);
    }
}

static int run_multiply(void *state, void *const *in, void *const *out, void *scratch)
{
    const grouped_state *s = state;
    grouped_task t = {.s = s, .x = in[0], .w = in[1], .bias = dt_cpu_optional(&s->common.op, in, 2), .y = out[0], .scratch = scratch};
    dt_cpu_divide(s->common.parts, pack_part, &t);
    dt_cpu_divide(s->common.parts, multiply_part, &t);
    return 0;
}

/* ---- gradient for the weights -------------------------------------------------------------------------------- */

static size_t sum_floats(const grouped_state *s)
{
    return s->groups * s->inner * s->padded;
}

static void correlate_part(void *task, int part, int parts)
{
    const grouped_task *t = task;
    const grouped_state *s = t->s;
    const size_t x_row = s->groups * s->columns, dy_row = s->groups * s->inner;
    const dt_cpu_share mine = dt_cpu_share_of(s->places, 1, part, parts);
    float *sum = t->scratch + (size_t)part * s->part_floats, *slice = sum + sum_floats(s);
    memset(sum, 0, sum_floats(s) * sizeof *sum);
    memset(slice, 0, SUM_PLACES * s->padded * sizeof *slice);
    for (size_t at = mine.begin; at < mine.end; at += SUM_PLACES) {
        const size_t n = mine.end - at < SUM_PLACES ? mine.end - at : SUM_PLACES;
        const dt_product p = {.groups = 1, .rows = s->inner, .columns = s->padded, .inner = n, .a_row = dy_row};
        for (size_t g = 0; g < s->groups; g++) {
            for (size_t r = 0; r < n; r++)
                memcpy(slice + r * s->padded, t->x + (at + r) * x_row + g * s->columns, s->columns * sizeof *slice);
            s->common.device->loops->product_transposed(sum + g * s->inner * s->padded, t->dy + at * dy_row + g * s->inner, slice, 0, &p);
        }
    }
}

static void finish_weights(void *task, int part, int parts)
{
    const grouped_task *t = task;
    const grouped_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->groups * s->inner, 1, part, parts);
    for (size_t row = mine.begin; row < mine.end; row++) {
        const float *from = t->scratch + row * s->padded;
        for (size_t j = 0; j < s->columns; j++) {
            float sum = from[j];
            for (size_t k = 1; k < (size_t)s->common.parts; k++) sum += from[k * s->part_floats + j];
            t->y[row * s->columns + j] = sum;
        }
    }
}

static int run_weights(void *state, void *const *in, void *const *out, void *scratch)
{
    const grouped_state *s = state;
    grouped_task t = {.s = s, .dy = in[0], .x = in[1], .y = out[0], .scratch = scratch};
    dt_cpu_divide(s->common.parts, correlate_part, &t);
    dt_cpu_divide(s->common.parts, finish_weights, &t);
    return 0;
}

/* ---- choice -------------------------------------------------------------------------------------------------- */

duet_status dt_cpu_grouped(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_conv_spec c = op->a.conv;
    const bool weights = op->kind == DT_OP_CONV_GRAD_WEIGHT, backward = op->kind == DT_OP_CONV_GRAD_INPUT;
    const dt_shape w = weights ? op->out[0] : op->in[1];
    const size_t outputs = c.groups > 1 ? w.n / c.groups : 0, inputs = w.c; /* of a group */
    if (c.groups <= 1 || c.kernel_h != 1 || c.kernel_w != 1 || c.stride > 1 || c.pad || c.pad_more || outputs < LEAST_CHANNELS ||
        inputs < LEAST_CHANNELS)
        return DUET_OK;
    grouped_state *s = dt_cpu_state_new(d, op, sizeof *s, (size_t)(dt_op_macs(op) / 8), err);
    if (!s) return DUET_MEMORY;
    const size_t lanes = d->loops->lanes;
    s->groups = c.groups;
    s->places = dt_cpu_places(op->in[0]);
    s->inner = backward || weights ? outputs : inputs;
    s->columns = backward || weights ? inputs : outputs;
    s->padded = dt_cpu_round_up(s->columns, lanes);
    s->panel = s->padded % (2 * lanes) ? lanes : 2 * lanes;
    s->part_floats = weights ? sum_floats(s) + SUM_PLACES * s->padded : BLOCK_PLACES * s->padded;
    const size_t floats = (size_t)s->common.parts * s->part_floats + (weights ? 0 : sum_floats(s));
    DT_TRY(dt_cpu_finish(&s->common, weights ? run_weights : run_multiply, floats * sizeof(float), out));
    snprintf(out->note, sizeof out->note, "duet grouped %s", dt_isa_name(d->loops->isa));
    return DUET_OK;
}
