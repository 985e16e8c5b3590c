/* Winograd convolution: for which shapes, with which scratch, on which threads. The arithmetic is in winograd.inc.
 *
 * Forward and gradient for the input: the weights are transformed (in parallel over input channels), then each thread
 * takes a run of tiles and works through it in blocks of `tiles`, small enough that a block's transformed tiles stay
 * in its L2:
 *
 *     transform block -> 36 products -> transform back
 *
 * Gradient for the weights: each thread does the same with its run of tiles and adds the 36 products into a sum of
 * its own; the sums are added in the order of threads. Where that sum is large against the tiles (many channels, few
 * places), adding would cost as much as multiplying: then all threads transform a chunk of tiles, and each multiplies
 * for its own share of the 36 places, into one common sum.
 *
 * Which of the two, block sizes and shares follow from shape and thread count alone. */
#include "device/cpu/winograd.h"
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum {
    PAD = 16,                 /* floats between the 36 streams: see winograd.h */
    BLOCK_BYTES = 288 * 1024, /* transformed tiles of one block, in and out: about half of a 512 KiB L2 */
    MOST_TILES = 96,
    LEAST_TILES = 48,             /* fewer, and transformed weights and sums are read too often: 24 cost 15 % at 256
                                    * channels, 5 % of the weight gradient at 64 */
    OWN_SUM_BYTES = 640 * 1024,   /* up to this, each thread has its own sum of weight gradients */
    CHUNK_BYTES = 6 * 1024 * 1024 /* transformed tiles of one common chunk: they pass through the last-level cache */
};

typedef struct wino_state {
    dt_cpu_state common;
    const dt_wino_loops *loops;
    dt_wino_map in, out;   /* the maps that tiles are cut from and written to; for weights: x and dy */
    size_t k, c;           /* of the OIHW weights */
    size_t n_tiles, tiles; /* in all, in a block (or chunk) */
    size_t in_stride, out_stride, u_stride, panel;
    bool backward, own_sums;
    size_t first_floats; /* scratch: transformed weights, or one common sum; then the threads' pieces */
    size_t part_floats;
} wino_state;

typedef struct wino_task {
    const wino_state *s;
    const float *x, *w, *bias, *dy; /* bias: NULL where there is none */
    float *y, *scratch;
    size_t first, n; /* the chunk */
} wino_task;

/* Where a row of tiles, of all grids together, begins in a picture, in floats. */
static size_t row_start(const dt_wino_map *map, size_t row)
{
    const size_t in_image = map->tiles_y / map->dilation, y = row / in_image * map->h + row % in_image * DT_WINO_TILE * map->dilation;
    return y * map->w * map->channels / (map->doubled ? 4 : 1);
}

/* The memory of n tiles from `first`, as far as there are so many before `end`: whole rows of tiles, of all grids. */
static void look_ahead(dt_wino_ahead *ahead, int range, const float *picture, const dt_wino_map *map, size_t first,
                       size_t n, size_t end, bool write)
{
    const size_t in_row = map->tiles_x * map->dilation;
    if (first >= end) return;
    if (n > end - first) n = end - first;
    const size_t begin = row_start(map, first / in_row);
    ahead->range[range].from = (const char *)(picture + begin);
    ahead->range[range].bytes = (row_start(map, (first + n - 1) / in_row + 1) - begin) * sizeof *picture;
    ahead->range[range].write = write;
}

/* ---- forward and gradient for the input ---------------------------------------------------------------------- */

static void transform_weights(void *task, int i, int parts)
{
    const wino_task *t = task;
    const wino_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->in.channels, 1, i, parts);
    s->loops->weights(t->scratch, s->u_stride, t->w, s->k, s->c, s->backward, s->panel, mine.begin,
                      mine.end - mine.begin);
}

static void convolve_tiles(void *task, int i, int parts)
{
    const wino_task *t = task;
    const wino_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->n_tiles, 1, i, parts);
    float *v = t->scratch + s->first_floats + (size_t)i * s->part_floats, *m = v + DT_WINO_GRID * s->in_stride;
    for (size_t at = mine.begin; at < mine.end; at += s->tiles) {
        const size_t n = mine.end - at < s->tiles ? mine.end - at : s->tiles;
        dt_wino_ahead ahead = {0};
        look_ahead(&ahead, 0, t->x, &s->in, at + s->tiles, s->tiles, mine.end, false);
        look_ahead(&ahead, 1, t->y, &s->out, at, n, mine.end, true);
        s->loops->input(v, s->in_stride, t->x, &s->in, at, n);
        s->loops->multiply(m, s->out_stride, v, s->in_stride, t->scratch, s->u_stride, n, s->in.channels,
                           s->out.channels, s->panel, &ahead);
        s->loops->output(t->y, m, s->out_stride, t->bias, &s->out, at, n);
    }
}

static int run_convolve(void *state, void *const *in, void *const *out, void *scratch)
{
    const wino_state *s = state;
    wino_task t = {.s = s,
                   .x = in[0],
                   .w = in[1],
                   .bias = dt_cpu_optional(&s->common.op, in, 2),
                   .y = out[0],
                   .scratch = scratch};
    dt_cpu_divide(s->common.parts, transform_weights, &t);
    dt_cpu_divide(s->common.parts, convolve_tiles, &t);
    return 0;
}

/* ---- gradient for the weights -------------------------------------------------------------------------------- */

static void correlate_own(void *task, int i, int parts)
{
    const wino_task *t = task;
    const wino_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->n_tiles, 1, i, parts);
    const size_t sum_floats = DT_WINO_GRID * s->u_stride;
    float *sum = t->scratch + (size_t)i * s->part_floats, *v = sum + sum_floats, *z = v + DT_WINO_GRID * s->in_stride;
    memset(sum, 0, sum_floats * sizeof *sum);
    for (size_t at = mine.begin; at < mine.end; at += s->tiles) {
        const size_t n = mine.end - at < s->tiles ? mine.end - at : s->tiles;
        dt_wino_ahead ahead = {0};
        look_ahead(&ahead, 0, t->x, &s->in, at + s->tiles, s->tiles, mine.end, false);
        look_ahead(&ahead, 1, t->dy, &s->out, at + s->tiles, s->tiles, mine.end, false);
        s->loops->input(v, s->in_stride, t->x, &s->in, at, n);
        s->loops->expand(z, s->out_stride, t->dy, &s->out, at, n);
        s->loops->correlate(sum, s->u_stride, v, s->in_stride, z, s->out_stride, n, s->c, s->k, 0,
                            DT_WINO_GRID, &ahead);
    }
}

static void transform_chunk(void *task, int i, int parts)
{
    const wino_task *t = task;
    const wino_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(t->n, 1, i, parts);
    float *v = t->scratch + s->first_floats, *z = v + DT_WINO_GRID * s->in_stride;
    s->loops->input(v + mine.begin * s->c, s->in_stride, t->x, &s->in, t->first + mine.begin, mine.end - mine.begin);
    s->loops->expand(z + mine.begin * s->k, s->out_stride, t->dy, &s->out, t->first + mine.begin,
                     mine.end - mine.begin);
}

static void correlate_chunk(void *task, int i, int parts)
{
    const wino_task *t = task;
    const wino_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(DT_WINO_GRID, 1, i, parts);
    const float *v = t->scratch + s->first_floats, *z = v + DT_WINO_GRID * s->in_stride;
    if (t->first == 0)
        memset(t->scratch + mine.begin * s->u_stride, 0, (mine.end - mine.begin) * s->u_stride * sizeof(float));
    s->loops->correlate(t->scratch, s->u_stride, v, s->in_stride, z, s->out_stride, t->n, s->c, s->k, mine.begin,
                        mine.end - mine.begin, &(dt_wino_ahead){0});
}

static void finish_weights(void *task, int i, int parts)
{
    const wino_task *t = task;
    const wino_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->c, 1, i, parts);
    s->loops->weights_grad(t->y, t->scratch, s->u_stride, s->own_sums ? (size_t)s->common.parts : 1, s->part_floats,
                           s->k, s->c, mine.begin, mine.end - mine.begin);
}

static int run_weights(void *state, void *const *in, void *const *out, void *scratch)
{
    const wino_state *s = state;
    wino_task t = {.s = s, .dy = in[0], .x = in[1], .y = out[0], .scratch = scratch};
    if (s->own_sums) {
        dt_cpu_divide(s->common.parts, correlate_own, &t);
    } else {
        for (t.first = 0; t.first < s->n_tiles; t.first += s->tiles) {
            t.n = s->n_tiles - t.first < s->tiles ? s->n_tiles - t.first : s->tiles;
            dt_cpu_divide(s->common.parts, transform_chunk, &t);
            dt_cpu_divide(s->common.parts, correlate_chunk, &t);
        }
    }
    dt_cpu_divide(s->common.parts, finish_weights, &t);
    return 0;
}

/* ---- choice -------------------------------------------------------------------------------------------------- */

static const dt_wino_loops *loops_for(dt_isa isa)
{
#ifdef DT_LOOPS_X86
    if (isa == DT_ISA_AVX512) return &dt_wino_avx512;
    if (isa == DT_ISA_AVX2) return &dt_wino_avx2;
#endif
    (void)isa;
    return &dt_wino_portable;
}

/* Are the tiles that cover a picture not much larger than it? Beyond that the direct sum is as fast. */
static bool covers_well(dt_shape s)
{
    return dt_cpu_round_up(s.h, DT_WINO_TILE) * dt_cpu_round_up(s.w, DT_WINO_TILE) <= 2 * s.h * s.w;
}

static bool fits(const dt_op *op, size_t dilation, dt_shape x, dt_shape y, size_t lanes)
{
    const dt_conv_spec c = op->a.conv;
    const size_t tile = DT_WINO_TILE * dilation, most = DT_WINO_MOST_STEP / dilation;
    if (c.doubled && dilation > 1) return false;
    if (dilation == 1 && !c.doubled ? !covers_well(x) : x.h % tile || x.w % tile) return false;
    return c.kernel_h == 3 && c.kernel_w == 3 && c.stride == 1 && c.pad == dilation && c.pad_more == 0 && c.groups <= 1 &&
           x.c % lanes == 0 && y.c % lanes == 0 && x.c <= most && y.c <= most;
}

static dt_wino_map map_of(dt_shape s, size_t dilation, bool doubled)
{
    return (dt_wino_map){.h = s.h,
                         .w = s.w,
                         .channels = s.c,
                         .dilation = dilation,
                         .doubled = doubled,
                         .tiles_y = (s.h + DT_WINO_TILE - 1) / DT_WINO_TILE,
                         .tiles_x = (s.w + DT_WINO_TILE - 1) / DT_WINO_TILE};
}

/* The size of the picture that a map stands for. */
static dt_shape large(dt_shape s, bool doubled)
{
    return doubled ? (dt_shape){s.n, s.c, 2 * s.h, 2 * s.w} : s;
}

/* Tiles whose transforms, both sides, take about `bytes`: a multiple of the register block's rows. */
static size_t tiles_for(const wino_state *s, size_t bytes, size_t most)
{
    size_t n =
        bytes / (DT_WINO_GRID * sizeof(float) * (s->in.channels + s->out.channels)) / s->loops->rows * s->loops->rows;
    if (n < LEAST_TILES) n = LEAST_TILES;
    return n < most ? n : most;
}

static size_t plan_convolve(wino_state *s)
{
    s->tiles = tiles_for(s, BLOCK_BYTES, MOST_TILES);
    s->panel = s->out.channels % (2 * s->loops->lanes) ? s->loops->lanes : 2 * s->loops->lanes;
    s->first_floats = DT_WINO_GRID * s->u_stride;
    s->in_stride = s->tiles * s->in.channels + PAD;
    s->out_stride = s->tiles * s->out.channels + PAD;
    s->part_floats = DT_WINO_GRID * (s->in_stride + s->out_stride);
    return s->first_floats + (size_t)s->common.parts * s->part_floats;
}

static size_t plan_weights(wino_state *s)
{
    const size_t sum_floats = DT_WINO_GRID * s->u_stride;
    s->own_sums = sum_floats * sizeof(float) <= OWN_SUM_BYTES;
    s->tiles = s->own_sums ? tiles_for(s, BLOCK_BYTES, MOST_TILES) : tiles_for(s, CHUNK_BYTES, s->n_tiles);
    s->in_stride = s->tiles * s->c + PAD;
    s->out_stride = s->tiles * s->k + PAD;
    const size_t transforms = DT_WINO_GRID * (s->in_stride + s->out_stride);
    if (s->own_sums) {
        s->part_floats = sum_floats + transforms;
        return (size_t)s->common.parts * s->part_floats;
    }
    s->first_floats = sum_floats;
    return sum_floats + transforms;
}

duet_status dt_cpu_winograd(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_wino_loops *loops = loops_for(d->loops->isa);
    const bool weights = op->kind == DT_OP_CONV_GRAD_WEIGHT, backward = op->kind == DT_OP_CONV_GRAD_INPUT;
    const bool doubled = op->a.conv.doubled; /* x is */
    const dt_shape from = large(weights ? op->in[1] : op->in[0], doubled && !backward),
                   to = large(weights ? op->in[0] : op->out[0], doubled && backward), w = weights ? op->out[0] : op->in[1];
    const size_t dilation = op->a.conv.dilation ? op->a.conv.dilation : 1; /* 0 is 1 */
    if (!fits(op, dilation, from, to, loops->lanes)) return DUET_OK;
    wino_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(from) * 16, err);
    if (!s) return DUET_MEMORY;
    s->loops = loops;
    s->in = map_of(from, dilation, doubled && !backward);
    s->out = map_of(to, dilation, doubled && backward);
    s->k = w.n;
    s->c = w.c;
    s->u_stride = s->k * s->c + PAD;
    s->backward = backward;
    s->n_tiles = from.n * s->in.tiles_y * s->in.tiles_x;
    const size_t floats = weights ? plan_weights(s) : plan_convolve(s);
    DT_TRY(dt_cpu_finish(&s->common, weights ? run_weights : run_convolve, floats * sizeof(float), out));
    snprintf(out->note, sizeof out->note, "duet winograd %s",
             dt_isa_name(loops == &dt_wino_portable ? DT_ISA_PORTABLE : d->loops->isa));
    return DUET_OK;
}
