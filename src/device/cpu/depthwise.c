/* Depth-wise convolution: every channel with a 3x3 window of its own (as many groups as channels), padding 1, stride 1
 * or 2. What is left to others: fewer channels than a vector has floats, other windows, dilation.
 *
 * Nine multiply-adds for each float that is read and written: what counts is that memory is walked once, in its order.
 * A piece of work is two neighbouring rows of the picture that is written (for the weights: of dy), whole rows, all
 * channels. Nothing is copied; a window that reaches over the upper or lower edge is given a row of zeros.
 *
 *     forward         two rows of y from four rows of x; stride 2: one from three
 *     for the input   stride 1: the same on dy with the window turned; stride 2: two rows of dx from two of dy
 *     for weights     sums of CHUNKS pieces of the batch, added in their order: how many depends on shape alone, so that
 *                     the result is the same bits for any number of threads
 *
 * Scratch: [a row of zeros] [weights in blocks, one copy for each part] or [a sum for each chunk]. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum {
    MOST_ROWS = (DT_DEPTHWISE_ROWS - 1) * 2 + 3, /* that the windows of a piece meet */
    TAPS = 9,
    MOST_CHUNKS = 32,
    LEAST_PLACES = 128 /* of a chunk: with fewer, adding the sums costs too much */
};

typedef struct depthwise_state {
    dt_cpu_state common;
    dt_shape source, out;    /* the picture that is read; that is written (for weights: x; dy) */
    size_t stride;
    size_t rows, pieces;     /* rows of a piece; pieces of an image */
    size_t chunks;           /* of the batch's pieces: for weights */
    size_t blocks, packed;   /* blocks of channels; floats of the weights in blocks, rounded up */
    size_t packed_at;        /* in scratch, floats: behind the zeros */
    bool turned, spreads;    /* gradient for the input: with stride 1; with stride 2 */
} depthwise_state;

typedef struct depthwise_task {
    const depthwise_state *s;
    const float *x, *weight, *bias, *dy;
    float *y, *scratch;
} depthwise_task;

/* The channel at which a block begins. */
static size_t channel_of(const depthwise_state *s, size_t block)
{
    const size_t lanes = s->common.device->loops->lanes, c = s->out.c;
    return (block + 1) * lanes <= c ? block * lanes : c - lanes;
}

static void pack_weights(const depthwise_state *s, float *to, const float *weight, bool turned)
{
    const size_t lanes = s->common.device->loops->lanes;
    for (size_t block = 0; block < s->blocks; block++, to += TAPS * lanes) {
        const float *from = weight + channel_of(s, block) * TAPS;
        for (size_t i = 0; i < lanes; i++)
            for (size_t tap = 0; tap < TAPS; tap++) to[tap * lanes + i] = from[i * TAPS + (turned ? TAPS - 1 - tap : tap)];
    }
}

/* The n rows from y on. */
static void rows_of(const depthwise_task *t, const float **rows, const float *picture, ptrdiff_t y, size_t n)
{
    const dt_shape s = t->s->source;
    for (size_t i = 0; i < n; i++, y++)
        rows[i] = y < 0 || y >= (ptrdiff_t)s.h ? t->scratch : picture + (size_t)y * s.w * s.c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How a piece is walked. y: of the picture that is written, or dy for weights; x and y begin at the image. What is asked for
 * may lie behind the tensor's end, where asking does nothing.
 *
 * The next piece is asked for meanwhile: prefetchers start anew in every row of a small picture and lose their way among
 * two columns in each of six rows of a large one. Where few rows are read and long ones written (spreads), what comes soon
 * in them is a better thing to ask for. Measured from memory on a Zen 3. */
static dt_depthwise walk_of(const depthwise_state *s, const float *x, const float *y, size_t first)
{
    enum { LONG_ROW = 2048 };
    const size_t row = s->out.w * s->out.c, x_row = s->source.w * s->source.c;
    dt_depthwise p = {.c = s->out.c,
                      .width = s->out.w,
                      .rows = smaller(s->rows, s->out.h - first),
                      .stride = s->stride,
                      .right = s->stride == 1 || s->source.w % 2};
    if (s->spreads && row > LONG_ROW) return p;
    const size_t next = s->spreads ? (first + s->rows) / 2 + 1 : (first + s->rows - 1) * s->stride + 2;
    p.x_ahead = x + next * x_row;
    p.y_ahead = y + (first + s->rows) * row;
    return p;
}

/* ---- forward and gradient for the input --------------------------------------------------------------------------- */

static void convolve_piece(const depthwise_task *t, const float *packed, size_t image, size_t first)
{
    const depthwise_state *s = t->s;
    const dt_loops *loops = s->common.device->loops;
    const float *x = t->x + image * s->source.h * s->source.w * s->source.c, *rows[MOST_ROWS];
    float *y = t->y + image * s->out.h * s->out.w * s->out.c, *to = y + first * s->out.w * s->out.c;
    const dt_depthwise p = walk_of(s, x, y, first);
    if (s->spreads) {
        rows_of(t, rows, x, (ptrdiff_t)(first / 2), p.rows / 2 + 1);
        loops->depthwise_spread(to, rows, packed, &p);
    } else {
        rows_of(t, rows, x, (ptrdiff_t)(first * s->stride) - 1, (p.rows - 1) * s->stride + 3);
        loops->depthwise(to, rows, packed, t->bias, &p);
    }
}

static void convolve_part(void *task, int part, int parts)
{
    const depthwise_task *t = task;
    const depthwise_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->out.n * s->pieces, 1, part, parts);
    float *packed = t->scratch + s->packed_at + (size_t)part * s->packed;
    pack_weights(s, packed, t->weight, s->turned);
    for (size_t at = mine.begin; at < mine.end; at++)
        convolve_piece(t, packed, at / s->pieces, at % s->pieces * s->rows);
}

static int run_convolve(void *state, void *const *in, void *const *out, void *scratch)
{
    const depthwise_state *s = state;
    depthwise_task t = {.s = s,
                        .x = in[0],
                        .weight = in[1],
                        .bias = dt_cpu_optional(&s->common.op, in, 2),
                        .y = out[0],
                        .scratch = scratch};
    memset(t.scratch, 0, s->source.w * s->source.c * sizeof(float));
    dt_cpu_divide(s->common.parts, convolve_part, &t);
    return 0;
}

/* ---- gradient for the weights ---------------------------------------------------------------------------------- */

static void correlate_piece(const depthwise_task *t, float *sums, size_t image, size_t first)
{
    const depthwise_state *s = t->s;
    const float *x = t->x + image * s->source.h * s->source.w * s->source.c, *rows[MOST_ROWS];
    const float *dy = t->dy + image * s->out.h * s->out.w * s->out.c;
    const dt_depthwise p = walk_of(s, x, dy, first);
    rows_of(t, rows, x, (ptrdiff_t)(first * s->stride) - 1, (p.rows - 1) * s->stride + 3);
    s->common.device->loops->depthwise_correlate(sums, rows, dy + first * s->out.w * s->out.c, &p);
}

static void correlate_part(void *task, int part, int parts)
{
    const depthwise_task *t = task;
    const depthwise_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->chunks, 1, part, parts);
    for (size_t chunk = mine.begin; chunk < mine.end; chunk++) {
        const dt_cpu_share of = dt_cpu_share_of(s->out.n * s->pieces, 1, (int)chunk, (int)s->chunks);
        float *sums = t->scratch + s->packed_at + chunk * s->packed;
        memset(sums, 0, s->packed * sizeof *sums);
        for (size_t at = of.begin; at < of.end; at++)
            correlate_piece(t, sums, at / s->pieces, at % s->pieces * s->rows);
    }
}

/* Adds the chunks' sums in order and turns [block][tap][lane] into [channel][tap]. */
static void finish_weights(const depthwise_task *t)
{
    const depthwise_state *s = t->s;
    const size_t lanes = s->common.device->loops->lanes;
    for (size_t block = 0; block < s->blocks; block++) {
        float *total = t->scratch + s->packed_at + block * TAPS * lanes, *to = t->y + channel_of(s, block) * TAPS;
        for (size_t chunk = 1; chunk < s->chunks; chunk++)
            for (size_t i = 0; i < TAPS * lanes; i++) total[i] += total[chunk * s->packed + i];
        for (size_t i = 0; i < lanes; i++)
            for (size_t tap = 0; tap < TAPS; tap++) to[i * TAPS + tap] = total[tap * lanes + i];
    }
}

static int run_weights(void *state, void *const *in, void *const *out, void *scratch)
{
    const depthwise_state *s = state;
    depthwise_task t = {.s = s, .dy = in[0], .x = in[1], .y = out[0], .scratch = scratch};
    memset(t.scratch, 0, s->source.w * s->source.c * sizeof(float));
    dt_cpu_divide(s->common.parts, correlate_part, &t);
    finish_weights(&t);
    return 0;
}

/* ---- making kernels ---------------------------------------------------------------------------------------------- */

static bool fits(const dt_conv_spec *c, dt_shape weight, size_t lanes)
{
    return c->groups == weight.n && weight.c == 1 && weight.n >= lanes && weight.h == 3 && weight.w == 3 && c->pad == 1 &&
           c->pad_more == 0 && !c->doubled && c->stride <= 2 && c->dilation <= 1;
}

static size_t chunks_of(const depthwise_state *s)
{
    const size_t pieces = s->out.n * s->pieces, fit = dt_cpu_places(s->out) / LEAST_PLACES;
    const size_t most = fit < MOST_CHUNKS ? fit : MOST_CHUNKS, chunks = most < pieces ? most : pieces;
    return chunks ? chunks : 1;
}

duet_status dt_cpu_depthwise(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const bool weights = op->kind == DT_OP_CONV_GRAD_WEIGHT;
    const dt_shape weight = weights ? op->out[0] : op->in[1];
    const size_t lanes = d->loops->lanes;
    if (!fits(&op->a.conv, weight, lanes)) return DUET_OK;

    depthwise_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]) * 4, err);
    if (!s) return DUET_MEMORY;
    s->source = op->in[weights ? 1 : 0];
    s->out = weights ? op->in[0] : op->out[0];
    s->stride = op->a.conv.stride ? op->a.conv.stride : 1;
    s->turned = op->kind == DT_OP_CONV_GRAD_INPUT && s->stride == 1;
    s->spreads = op->kind == DT_OP_CONV_GRAD_INPUT && s->stride == 2;
    s->rows = op->kind == DT_OP_CONV && s->stride == 2 ? 1 : DT_DEPTHWISE_ROWS; /* stride 2 shares one row of five only */
    s->pieces = (s->out.h + s->rows - 1) / s->rows;
    s->chunks = chunks_of(s);
    s->blocks = (s->out.c + lanes - 1) / lanes;
    s->packed = dt_cpu_round_up(s->blocks * TAPS * lanes, DT_ALIGN);
    s->packed_at = dt_cpu_round_up(s->source.w * s->source.c, DT_ALIGN);
    const size_t copies = weights ? s->chunks : (size_t)s->common.parts;
    DT_TRY(dt_cpu_finish(&s->common, weights ? run_weights : run_convolve,
                         (s->packed_at + copies * s->packed) * sizeof(float), out));
    snprintf(out->note, sizeof out->note, "duet depthwise %s", dt_isa_name(d->loops->isa));
    return DUET_OK;
}
