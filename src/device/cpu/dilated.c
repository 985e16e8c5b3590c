/* Convolutions with holes that Winograd has no tiles for: stride 1, no groups, any dilation and padding.
 *
 * The taps of a dilated kernel are no neighbours in memory, so the sum has one piece for each tap. Forward and for the
 * input, a block of places first copies what each tap meets, zeros where it reaches over the edge; then the block is
 * one product of matrices:
 *
 *     forward        [tap: places x in]   x  [tap, in: out]       copies cost 1/out of the multiplications
 *     for the input  the same on dy, with taps that look the other way
 *     for weights    each tap: [in x places that meet the picture] x [places, out], where they are, nothing is copied
 *
 * Taps that meet nothing at all are left out when the kernel is made, rows of taps that a block does not meet when it
 * is computed: at rate 36 on 64 rows that is half of them.
 *
 * Scratch: [weights: panels] [each part: its copied taps and its results, or its sum and its padded dy]. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum {
    MOST_TAPS = 49,
    LEAST_PLACES = 24,          /* of a block: with fewer, wide layers wait for their weights */
    MOST_PLACES = 96,
    BLOCK_BYTES = 192 * 1024    /* of a block's copies, at most where LEAST_PLACES allow: they share the L2 with weights */
};

/* Output place (h, w) meets source place (h + y, w + x) with this weight of the kernel's window. */
typedef struct tap {
    ptrdiff_t y, x;
    size_t weight;
} tap;

typedef struct dilated_state {
    dt_cpu_state common;
    tap taps[MOST_TAPS]; /* sorted by kernel row */
    size_t n_taps;
    dt_shape source, out, weight; /* the picture that is read; that is written (for weights: dy); OIHW */
    size_t columns, panel;        /* output channels rounded up to whole vectors; of one panel of weights */
    size_t places, blocks;        /* of a block, and of an image (for weights: rows in a block) */
    size_t parts_at, part_floats, second_at; /* in scratch; second_at: inside a part, its results or its padded dy */
    bool backward;
} dilated_state;

typedef struct dilated_task {
    const dilated_state *s;
    const float *x, *weight, *bias, *dy;
    float *y, *scratch;
} dilated_task;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The part first..end-1 of n neighbouring output rows (or columns) from `begin` on whose source lies inside. */
static dt_cpu_share inside(ptrdiff_t offset, size_t begin, size_t n, size_t source)
{
    const ptrdiff_t first = (ptrdiff_t)begin > -offset ? (ptrdiff_t)begin : -offset;
    const ptrdiff_t last = (ptrdiff_t)source - offset, end = last < (ptrdiff_t)(begin + n) ? last : (ptrdiff_t)(begin + n);
    return first < end ? (dt_cpu_share){(size_t)first, (size_t)end} : (dt_cpu_share){begin, begin};
}

/* ---- forward and gradient for the input --------------------------------------------------------------------------- */

/* Weights of input channel i: [panel of columns][tap][input channel][column]. */
static void pack_channel(const dilated_task *t, size_t i)
{
    const dilated_state *s = t->s;
    const size_t in = s->source.c, window = s->weight.h * s->weight.w;
    for (size_t o = 0; o < s->columns; o++) {
        const float *from = t->weight + (s->backward ? i * s->weight.c + o : o * s->weight.c + i) * window;
        float *to = t->scratch + o / s->panel * s->panel * s->n_taps * in + i * s->panel + o % s->panel;
        for (size_t k = 0; k < s->n_taps; k++, to += in * s->panel) *to = o < s->out.c ? from[s->taps[k].weight] : 0;
    }
}

static void pack_weights(void *task, int part, int parts)
{
    const dilated_task *t = task;
    const dt_cpu_share mine = dt_cpu_share_of(t->s->source.c, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++) pack_channel(t, i);
}

/* What a tap meets from `run` neighbouring places of one output row. */
static void copy_run(const dilated_state *s, float *to, const float *picture, const tap *k, size_t row, size_t column,
                     size_t run)
{
    const size_t c = s->source.c;
    const ptrdiff_t y = (ptrdiff_t)row + k->y;
    dt_cpu_share w = inside(k->x, column, run, s->source.w);
    if (y < 0 || y >= (ptrdiff_t)s->source.h) w = (dt_cpu_share){column, column};
    memset(to, 0, (w.begin - column) * c * sizeof *to);
    if (w.begin < w.end)
        memcpy(to + (w.begin - column) * c, picture + ((size_t)y * s->source.w + (size_t)((ptrdiff_t)w.begin + k->x)) * c,
               (w.end - w.begin) * c * sizeof *to);
    memset(to + (w.end - column) * c, 0, (column + run - w.end) * c * sizeof *to);
}

/* What a tap meets from n output places of an image. */
static void copy_tap(const dilated_state *s, float *to, const float *picture, const tap *k, size_t first, size_t n)
{
    const size_t width = s->out.w;
    for (size_t at = first; at < first + n;) {
        const size_t run = smaller(width - at % width, first + n - at);
        copy_run(s, to, picture, k, at / width, at % width, run);
        to += run * s->source.c;
        at += run;
    }
}

/* The taps, a range, whose rows meet the picture from output rows first..last. */
static dt_cpu_share taps_of_rows(const dilated_state *s, size_t first, size_t last)
{
    dt_cpu_share used = {s->n_taps, 0};
    for (size_t k = 0; k < s->n_taps; k++) {
        const dt_cpu_share rows = inside(s->taps[k].y, first, last - first + 1, s->source.h);
        if (rows.begin == rows.end) continue;
        used.begin = smaller(used.begin, k);
        used.end = k + 1;
    }
    return used;
}

static void place_results(const dilated_task *t, float *y, const float *results, size_t n)
{
    const size_t channels = t->s->out.c;
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < channels; c++) y[r * channels + c] = results[r * t->s->columns + c] + (t->bias ? t->bias[c] : 0);
}

/* n output places of an image. */
static void convolve_block(const dilated_task *t, float *room, size_t image, size_t first, size_t n)
{
    const dilated_state *s = t->s;
    const size_t c = s->source.c, area = s->source.h * s->source.w;
    const dt_cpu_share taps = taps_of_rows(s, first / s->out.w, (first + n - 1) / s->out.w);
    const bool straight = s->columns == s->out.c && !t->bias;
    float *y = t->y + (image * s->out.h * s->out.w + first) * s->out.c, *results = straight ? y : room + s->second_at;
    for (size_t k = taps.begin; k < taps.end; k++)
        copy_tap(s, room + (k - taps.begin) * n * c, t->x + image * area * c, &s->taps[k], first, n);
    const dt_product p = {.groups = 1,
                          .rows = n,
                          .columns = s->panel,
                          .segments = taps.begin < taps.end ? taps.end - taps.begin : 0,
                          .inner = c,
                          .c_row = s->columns,
                          .a_row = c,
                          .a_segment = n * c};
    for (size_t j = 0; j < s->columns; j += s->panel) {
        const float *b = t->scratch + j * s->n_taps * c + (p.segments ? taps.begin * c * s->panel : 0);
        s->common.device->loops->product(results + j, room, b, &p);
    }
    if (!straight) place_results(t, y, results, n);
}

static void convolve_part(void *task, int part, int parts)
{
    const dilated_task *t = task;
    const dilated_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->source.n * s->blocks, 1, part, parts);
    float *room = t->scratch + s->parts_at + (size_t)part * s->part_floats;
    for (size_t at = mine.begin; at < mine.end; at++) {
        const size_t first = at % s->blocks * s->places;
        convolve_block(t, room, at / s->blocks, first, smaller(s->places, s->out.h * s->out.w - first));
    }
}

static int run_convolve(void *state, void *const *in, void *const *out, void *scratch)
{
    const dilated_state *s = state;
    dilated_task t = {.s = s,
                      .x = in[0],
                      .weight = in[1],
                      .bias = dt_cpu_optional(&s->common.op, in, 2),
                      .y = out[0],
                      .scratch = scratch};
    dt_cpu_divide(s->common.parts, pack_weights, &t);
    dt_cpu_divide(s->common.parts, convolve_part, &t);
    return 0;
}

/* ---- gradient for the weights ---------------------------------------------------------------------------------- */

/* dy's rows of n places, with zeros up to whole vectors where there are not as many channels. */
static const float *padded_rows(const dilated_state *s, float *padded, const float *dy, size_t n)
{
    const size_t channels = s->out.c;
    if (s->columns == channels) return dy;
    for (size_t i = 0; i < n; i++) {
        memcpy(padded + i * s->columns, dy + i * channels, channels * sizeof *dy);
        memset(padded + i * s->columns + channels, 0, (s->columns - channels) * sizeof *dy);
    }
    return padded;
}

/* Adds what output rows first..first+n-1 of an image give to each tap's weights. */
static void correlate_block(const dilated_task *t, float *room, size_t image, size_t first, size_t n)
{
    const dilated_state *s = t->s;
    const size_t c = s->source.c, width = s->out.w;
    const float *x = t->x + image * s->source.h * s->source.w * c;
    const float *dy = padded_rows(s, room + s->second_at, t->dy + (image * s->out.h + first) * width * s->out.c, n * width);
    for (size_t k = 0; k < s->n_taps; k++) {
        const dt_cpu_share rows = inside(s->taps[k].y, first, n, s->source.h);
        const dt_cpu_share columns = inside(s->taps[k].x, 0, width, s->source.w);
        if (rows.begin == rows.end || columns.begin == columns.end) continue;
        const size_t y_at = (size_t)((ptrdiff_t)rows.begin + s->taps[k].y), x_at = (size_t)((ptrdiff_t)columns.begin + s->taps[k].x);
        const dt_product p = {.groups = rows.end - rows.begin,
                              .rows = c,
                              .columns = s->columns,
                              .inner = columns.end - columns.begin,
                              .a_group = s->source.w * c,
                              .a_row = c};
        s->common.device->loops->product_transposed(room + k * c * s->columns, x + (y_at * s->source.w + x_at) * c,
                                                    dy + ((rows.begin - first) * width + columns.begin) * s->columns,
                                                    width * s->columns, &p);
    }
}

static void correlate_part(void *task, int part, int parts)
{
    const dilated_task *t = task;
    const dilated_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->source.n * s->blocks, 1, part, parts);
    float *room = t->scratch + s->parts_at + (size_t)part * s->part_floats;
    memset(room, 0, s->n_taps * s->source.c * s->columns * sizeof *room);
    for (size_t at = mine.begin; at < mine.end; at++) {
        const size_t first = at % s->blocks * s->places;
        correlate_block(t, room, at / s->blocks, first, smaller(s->places, s->out.h - first));
    }
}

/* Adds the parts' sums in order and turns [tap][in][out] into OIHW; taps that were left out stay zero. */
static void finish_weights(void *task, int part, int parts)
{
    const dilated_task *t = task;
    const dilated_state *s = t->s;
    const size_t in = s->weight.c, window = s->weight.h * s->weight.w;
    const dt_cpu_share mine = dt_cpu_share_of(in, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++)
        for (size_t o = 0; o < s->weight.n; o++) {
            float *to = t->y + (o * in + i) * window;
            memset(to, 0, window * sizeof *to);
            for (size_t k = 0; k < s->n_taps; k++) {
                const float *sum = t->scratch + s->parts_at + (k * in + i) * s->columns + o;
                for (size_t p = 0; p < (size_t)s->common.parts; p++) to[s->taps[k].weight] += sum[p * s->part_floats];
            }
        }
}

static int run_weights(void *state, void *const *in, void *const *out, void *scratch)
{
    const dilated_state *s = state;
    dilated_task t = {.s = s, .dy = in[0], .x = in[1], .y = out[0], .scratch = scratch};
    dt_cpu_divide(s->common.parts, correlate_part, &t);
    dt_cpu_divide(s->common.parts, finish_weights, &t);
    return 0;
}

/* ---- making kernels ---------------------------------------------------------------------------------------------- */

/* Output place o meets source place o + r * dilation - pad; for the input's gradient the other way round. */
static void find_taps(dilated_state *s)
{
    const ptrdiff_t pad = (ptrdiff_t)s->common.op.a.conv.pad, dilation = (ptrdiff_t)s->common.op.a.conv.dilation;
    for (size_t r = 0; r < s->weight.h; r++)
        for (size_t k = 0; k < s->weight.w; k++) {
            tap t = {(ptrdiff_t)r * dilation - pad, (ptrdiff_t)k * dilation - pad, r * s->weight.w + k};
            if (s->backward) t.y = -t.y, t.x = -t.x;
            const dt_cpu_share rows = inside(t.y, 0, s->out.h, s->source.h), columns = inside(t.x, 0, s->out.w, s->source.w);
            if (rows.begin < rows.end && columns.begin < columns.end) s->taps[s->n_taps++] = t;
        }
}

/* How much an image is divided into, and the scratch; returns its bytes. */
static size_t plan(dilated_state *s, bool weights)
{
    const size_t c = s->source.c, area = s->out.h * s->out.w, taps = s->n_taps ? s->n_taps : 1;
    size_t copies;
    if (weights) { /* rows whose x and dy stay in the L2 while the taps pass */
        s->places = BLOCK_BYTES / sizeof(float) / (s->out.w * (s->columns + c));
        s->places = smaller(s->places ? s->places : 1, s->out.h);
        s->blocks = (s->out.h + s->places - 1) / s->places;
        copies = s->n_taps * c * s->columns;
        s->second_at = dt_cpu_round_up(copies, DT_ALIGN);
        s->part_floats = s->second_at + dt_cpu_round_up(s->places * s->out.w * s->columns, DT_ALIGN);
        s->parts_at = 0;
    } else {
        const size_t lines = s->common.device->loops->rows, fit = BLOCK_BYTES / sizeof(float) / (taps * c) / lines * lines;
        s->places = smaller(fit < LEAST_PLACES ? LEAST_PLACES : fit > MOST_PLACES ? MOST_PLACES : fit, area);
        s->blocks = (area + s->places - 1) / s->places;
        copies = s->n_taps * s->places * c;
        s->second_at = dt_cpu_round_up(copies, DT_ALIGN);
        s->part_floats = s->second_at + dt_cpu_round_up(s->places * s->columns, DT_ALIGN);
        s->parts_at = dt_cpu_round_up(s->n_taps * c * s->columns, DT_ALIGN);
    }
    return (s->parts_at + (size_t)s->common.parts * s->part_floats) * sizeof(float);
}

duet_status dt_cpu_dilated(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const bool weights = op->kind == DT_OP_CONV_GRAD_WEIGHT;
    const dt_shape weight = weights ? op->out[0] : op->in[1];
    const dt_conv_spec c = op->a.conv;
    if (c.dilation < 2 || c.groups > 1 || c.stride > 1 || weight.h * weight.w > MOST_TAPS) return DUET_OK;

    dilated_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]) * 16, err);
    if (!s) return DUET_MEMORY;
    s->backward = op->kind == DT_OP_CONV_GRAD_INPUT;
    s->source = op->in[weights ? 1 : 0];
    s->out = weights ? op->in[0] : op->out[0];
    s->weight = weight;
    s->columns = dt_cpu_round_up(s->out.c, d->loops->lanes);
    s->panel = s->columns % (2 * d->loops->lanes) ? d->loops->lanes : 2 * d->loops->lanes;
    find_taps(s);
    DT_TRY(dt_cpu_finish(&s->common, weights ? run_weights : run_convolve, plan(s, weights), out));
    snprintf(out->note, sizeof out->note, "duet dilated %s", dt_isa_name(d->loops->isa));
    return DUET_OK;
}
