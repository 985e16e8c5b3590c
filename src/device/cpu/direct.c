/* Direct convolution: any kernel, stride and padding, without dilation and groups. For what Winograd does not fit:
 * strided 3x3, 1x1, the stem.
 *
 * In NHWC memory the inputs of one kernel row lie one behind the other, and the inputs of the next output place begin
 * stride * channels floats later. So a row of outputs is already a product of matrices, of a matrix whose rows
 * overlap, with one piece of the sum for each kernel row. Nothing is gathered; where the kernel reaches over the
 * edge, the rows of the picture that a block of outputs needs are copied once, with zeros round them.
 *
 *     forward         [output row: places, taps * in]  x [taps * in, out]
 *     for the input   the same on dy. With stride s an input place meets only the taps of its own remainder modulo s:
 *                     there are s * s classes of places, each a convolution with fewer taps, written s places apart
 *     for weights     [taps * in, places] x [places, out], a sum of its own for each part, added in their order
 *
 * Scratch: [weights of every class] [each part: its picture rows, its results or its sum, its padded dy]. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum {
    MAX_STRIDE = 3,
    MAX_KERNEL = 16,
    LEAST_PLACES = 48,         /* of a block: fewer, and the weights are read too often */
    PICTURE_BYTES = 192 * 1024 /* of a block's copied rows, at most: they share a 512 KiB L2 with a panel of weights */
};

/* One dimension of a class: n neighbouring source places from o * step + tap on for output place o, and their kernel
 * rows (or columns). */
typedef struct dimension {
    size_t n, kernel[MAX_KERNEL];
    ptrdiff_t tap;
    size_t first, count; /* output places: first + i * out_step */
} dimension;

/* Output places that meet the same taps. */
typedef struct place_class {
    dimension y, x;
    size_t weights_at; /* in scratch, floats */
} place_class;

typedef struct direct_state {
    dt_cpu_state common;
    place_class classes[MAX_STRIDE * MAX_STRIDE];
    size_t n_classes;
    dt_shape source, out, weight; /* the picture that is read; that is written (for weights: dy); OIHW */
    size_t columns;               /* output channels, rounded up to whole vectors */
    size_t step, out_step;        /* source places from one output to the next; output places of a class */
    ptrdiff_t top, left;          /* the first source row and column any class meets, from o * step */
    size_t height, width;         /* source rows and columns that a block meets */
    size_t rows, blocks;          /* output rows of a class in a block; blocks in an image */
    bool copies;                  /* the kernel reaches over the edge */
    bool clears;                  /* some places meet no tap */
    bool backward;
    size_t parts_at, part_floats, results_at, padded_at; /* in scratch; the last two inside a part */
} direct_state;

typedef struct direct_task {
    const direct_state *s;
    const float *x, *weight, *bias, *dy;
    float *y, *scratch;
} direct_task;

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* Copies the weights of input channel i into the panels of one class: [panel of columns][tap][input channel][column]. */
static void pack_channel(const direct_task *t, const place_class *k, size_t i)
{
    const direct_state *s = t->s;
    const size_t lanes = s->common.device->loops->lanes, panel = s->columns % (2 * lanes) ? lanes : 2 * lanes;
    const size_t area = s->weight.h * s->weight.w, in = s->source.c, inner = k->y.n * k->x.n * in;
    for (size_t o = 0; o < s->columns; o++) {
        const float *from = t->weight + (s->backward ? i * s->weight.c + o : o * s->weight.c + i) * area;
        float *to = t->scratch + k->weights_at + o / panel * panel * inner + i * panel + o % panel;
        for (size_t a = 0; a < k->y.n; a++)
            for (size_t b = 0; b < k->x.n; b++, to += in * panel)
                *to = o < s->out.c ? from[k->y.kernel[a] * s->weight.w + k->x.kernel[b]] : 0;
    }
}

static void pack_weights(void *task, int part, int parts)
{
    const direct_task *t = task;
    const dt_cpu_share mine = dt_cpu_share_of(t->s->source.c, 1, part, parts);
    for (size_t c = 0; c < t->s->n_classes; c++)
        for (size_t i = mine.begin; i < mine.end; i++) pack_channel(t, &t->s->classes[c], i);
}

/* ---- the picture a block reads ------------------------------------------------------------------------------------ */

/* Floats from one row of the picture to the next. */
static size_t pitch_of(const direct_state *s)
{
    return (s->copies ? s->width : s->source.w) * s->source.c;
}

/* The source rows of output rows first.. of an image: copied between zeros, or where they are. */
static const float *picture_of(const direct_state *s, float *room, const float *x, size_t image, size_t first)
{
    const size_t h = s->source.h, row_floats = s->source.w * s->source.c, pitch = pitch_of(s);
    const float *picture = x + image * h * row_floats;
    if (!s->copies) return picture + first * s->step * row_floats;
    const size_t before = (size_t)-s->left * s->source.c, after = pitch - before - row_floats;
    for (size_t i = 0; i < s->height; i++, room += pitch) {
        const ptrdiff_t y = (ptrdiff_t)(first * s->step + i) + s->top;
        if (y < 0 || y >= (ptrdiff_t)h) {
            memset(room, 0, pitch * sizeof *room);
            continue;
        }
        memset(room, 0, before * sizeof *room);
        memcpy(room + before, picture + (size_t)y * row_floats, row_floats * sizeof *room);
        memset(room + before + row_floats, 0, after * sizeof *room);
    }
    return room - s->height * pitch;
}

/* Asks for the first places of the block after this one, where they are read in place: a product jumps between the
 * rows of its matrix, which the hardware's prefetchers do not follow. */
static void fetch_next(const direct_state *s, const float *x, size_t image, size_t first)
{
    if (s->copies) return;
    first += s->rows;
    if (first >= s->blocks * s->rows) first = 0, image++;
    if (image >= s->source.n) return;
    const size_t row_floats = s->source.w * s->source.c, places = s->source.w / s->step;
    const float *picture = x + (image * s->source.h + first * s->step) * row_floats;
    for (size_t i = 0; i < s->rows && (first + i) * s->step < s->source.h; i++)
        for (size_t j = 0; j < places; j++)
            for (size_t c = 0; c < s->source.c; c += DT_ALIGN / sizeof(float))
                __builtin_prefetch(picture + i * s->step * row_floats + j * s->step * s->source.c + c);
}

/* ---- forward and gradient for the input --------------------------------------------------------------------------- */

/* Moves a block's results to their places, where channels are no whole vectors. */
static void place_results(const direct_task *t, const dt_product *p, float *to, size_t to_group, size_t to_row,
                          const float *results)
{
    const size_t channels = t->s->out.c;
    for (size_t g = 0; g < p->groups; g++)
        for (size_t r = 0; r < p->rows; r++)
            for (size_t c = 0; c < channels; c++)
                to[g * to_group + r * to_row + c] =
                    results[g * p->c_group + r * p->c_row + c] + (t->bias ? t->bias[c] : 0);
}

/* The outputs of one class in a block. `picture`: its first source row and column are s->top and s->left. */
static void convolve_class(const direct_task *t, const place_class *k, const float *picture, float *results,
                           size_t image, size_t first)
{
    const direct_state *s = t->s;
    const size_t pitch = pitch_of(s), c = s->source.c, out_row = s->out.w * s->out.c;
    if (first >= k->y.count || !k->x.count || !k->y.n || !k->x.n) return; /* no taps: zeroed by the caller */
    const size_t groups = k->y.count - first < s->rows ? k->y.count - first : s->rows;
    const size_t to_group = s->out_step * out_row, to_row = s->out_step * s->out.c;
    float *to =
        t->y + image * s->out.h * out_row + (k->y.first + first * s->out_step) * out_row + k->x.first * s->out.c;
    const bool straight = s->columns == s->out.c;
    const dt_product p = {.groups = groups,
                          .rows = k->x.count,
                          .columns = s->columns,
                          .segments = k->y.n,
                          .inner = k->x.n * c,
                          .c_group = straight ? to_group : k->x.count * s->columns,
                          .c_row = straight ? to_row : s->columns,
                          .a_group = s->step * pitch,
                          .a_row = s->step * c,
                          .a_segment = pitch,
                          .bias = straight ? t->bias : NULL};
    const float *a = picture + (size_t)(k->y.tap - s->top) * pitch + (size_t)(k->x.tap - s->left) * c;
    s->common.device->loops->product(straight ? to : results, a, t->scratch + k->weights_at, &p);
    if (!straight) place_results(t, &p, to, to_group, to_row, results);
}

/* Places that meet no tap get zero: all output rows of the block are cleared, in one sweep. */
static void clear_block(const direct_task *t, size_t image, size_t first)
{
    const direct_state *s = t->s;
    const size_t row = s->out.w * s->out.c, begin = first * s->out_step;
    const size_t end = (first + s->rows) * s->out_step < s->out.h ? (first + s->rows) * s->out_step : s->out.h;
    if (begin < end) memset(t->y + (image * s->out.h + begin) * row, 0, (end - begin) * row * sizeof(float));
}

static void convolve_part(void *task, int part, int parts)
{
    const direct_task *t = task;
    const direct_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->source.n * s->blocks, 1, part, parts);
    float *room = t->scratch + s->parts_at + (size_t)part * s->part_floats;
    for (size_t at = mine.begin; at < mine.end; at++) {
        const size_t image = at / s->blocks, first = at % s->blocks * s->rows;
        const float *picture = picture_of(s, room, t->x, image, first);
        fetch_next(s, t->x, image, first);
        if (s->clears) clear_block(t, image, first);
        for (size_t c = 0; c < s->n_classes; c++)
            convolve_class(t, &s->classes[c], picture, room + s->results_at, image, first);
    }
}

static int run_convolve(void *state, void *const *in, void *const *out, void *scratch)
{
    const direct_state *s = state;
    direct_task t = {.s = s,
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
static const float *padded_rows(const direct_state *s, float *padded, const float *dy, size_t n)
{
    const size_t channels = s->out.c;
    if (s->columns == channels) return dy;
    for (size_t i = 0; i < n; i++) {
        memcpy(padded + i * s->columns, dy + i * channels, channels * sizeof *dy);
        memset(padded + i * s->columns + channels, 0, (s->columns - channels) * sizeof *dy);
    }
    return padded;
}

static size_t sum_floats(const direct_state *s)
{
    return s->weight.h * s->weight.w * s->weight.c * s->columns;
}

static void correlate_part(void *task, int part, int parts)
{
    const direct_task *t = task;
    const direct_state *s = t->s;
    const place_class *k = &s->classes[0];
    const dt_cpu_share mine = dt_cpu_share_of(s->source.n * s->blocks, 1, part, parts);
    const size_t pitch = pitch_of(s), c = s->source.c, w = s->out.w;
    float *room = t->scratch + s->parts_at + (size_t)part * s->part_floats, *sum = room + s->results_at;
    memset(sum, 0, sum_floats(s) * sizeof *sum);
    for (size_t at = mine.begin; at < mine.end; at++) {
        const size_t image = at / s->blocks, first = at % s->blocks * s->rows;
        const size_t groups = s->out.h - first < s->rows ? s->out.h - first : s->rows;
        const float *picture = picture_of(s, room, t->x, image, first);
        const float *dy =
            padded_rows(s, room + s->padded_at, t->dy + (image * s->out.h + first) * w * s->out.c, groups * w);
        const dt_product p = {.groups = groups,
                              .rows = k->x.n * c,
                              .columns = s->columns,
                              .inner = w,
                              .a_group = s->step * pitch,
                              .a_row = s->step * c};
        for (size_t y = 0; y < k->y.n; y++)
            s->common.device->loops->product_transposed(sum + y * k->x.n * c * s->columns, picture + y * pitch, dy,
                                                        w * s->columns, &p);
    }
}

/* Adds the parts' sums in order and turns [tap][in][out] into OIHW. */
static void finish_weights(void *task, int part, int parts)
{
    const direct_task *t = task;
    const direct_state *s = t->s;
    const size_t in = s->weight.c, area = s->weight.h * s->weight.w;
    const dt_cpu_share mine = dt_cpu_share_of(in, 1, part, parts);
    for (size_t i = mine.begin; i < mine.end; i++)
        for (size_t tap = 0; tap < area; tap++) {
            const float *sum = t->scratch + s->parts_at + s->results_at + (tap * in + i) * s->columns;
            for (size_t o = 0; o < s->weight.n; o++) {
                float total = sum[o];
                for (size_t p = 1; p < (size_t)s->common.parts; p++) total += sum[p * s->part_floats + o];
                t->y[(o * in + i) * area + tap] = total;
            }
        }
}

static int run_weights(void *state, void *const *in, void *const *out, void *scratch)
{
    const direct_state *s = state;
    direct_task t = {.s = s, .dy = in[0], .x = in[1], .y = out[0], .scratch = scratch};
    dt_cpu_divide(s->common.parts, correlate_part, &t);
    dt_cpu_divide(s->common.parts, finish_weights, &t);
    return 0;
}

/* ---- making kernels ---------------------------------------------------------------------------------------------- */

static dimension forward_dimension(size_t pad, size_t kernel, size_t out)
{
    dimension d = {.n = kernel, .tap = -(ptrdiff_t)pad, .count = out};
    for (size_t i = 0; i < kernel; i++) d.kernel[i] = i;
    return d;
}

/* Input place first + i * stride meets kernel row r of output place (first + pad - r) / stride + i where that
 * divides. */
static dimension backward_dimension(size_t pad, size_t stride, size_t kernel, size_t in, size_t first)
{
    dimension d = {.first = first, .count = first < in ? (in - first - 1) / stride + 1 : 0};
    for (size_t r = kernel; r-- > 0;) {
        const ptrdiff_t to = (ptrdiff_t)(first + pad) - (ptrdiff_t)r;
        if (to % (ptrdiff_t)stride) continue;
        if (!d.n) d.tap = to / (ptrdiff_t)stride;
        d.kernel[d.n++] = r;
    }
    return d;
}

static void find_classes(direct_state *s, size_t stride, size_t pad)
{
    s->step = s->backward ? 1 : stride;
    s->out_step = s->backward ? stride : 1;
    for (size_t i = 0; i < s->out_step; i++)
        for (size_t j = 0; j < s->out_step; j++) {
            place_class *k = &s->classes[s->n_classes++];
            k->y = s->backward ? backward_dimension(pad, stride, s->weight.h, s->out.h, i)
                               : forward_dimension(pad, s->weight.h, s->out.h);
            k->x = s->backward ? backward_dimension(pad, stride, s->weight.w, s->out.w, j)
                               : forward_dimension(pad, s->weight.w, s->out.w);
            s->clears = s->clears || !k->y.n || !k->x.n;
        }
}

/* Widens first..end-1 by what one dimension of a class meets. */
static void reach(const dimension *d, size_t step, size_t count, ptrdiff_t *first, ptrdiff_t *end)
{
    if (!d->n || !count) return;
    const ptrdiff_t last = (ptrdiff_t)((count - 1) * step + d->n) + d->tap;
    if (d->tap < *first) *first = d->tap;
    if (last > *end) *end = last;
}

/* How many output rows make a block, and what of the source it meets. */
static void plan_blocks(direct_state *s)
{
    ptrdiff_t first_y = 0, end_y = 0, first_x = 0, end_x = 0, end_picture = 0;
    size_t most = 0, width = 1;
    for (size_t i = 0; i < s->n_classes; i++) {
        const place_class *k = &s->classes[i];
        if (k->y.count > most) most = k->y.count;
        if (k->x.count > width) width = k->x.count;
        reach(&k->x, s->step, k->x.count, &first_x, &end_x);
        reach(&k->y, s->step, k->y.count, &first_y, &end_picture);
    }
    s->top = first_y;
    s->left = first_x;
    s->copies = first_x < 0 || first_y < 0 || end_x > (ptrdiff_t)s->source.w || end_picture > (ptrdiff_t)s->source.h;
    s->width = (size_t)(end_x - first_x);
    if (s->width < s->source.w + (size_t)-first_x) s->width = s->source.w + (size_t)-first_x;

    s->rows = (LEAST_PLACES + width - 1) / width;
    const size_t fit = PICTURE_BYTES / sizeof(float) / (s->width * s->source.c) / s->step;
    if (s->rows > fit) s->rows = fit ? fit : 1;
    if (s->rows > most) s->rows = most;
    s->blocks = (most + s->rows - 1) / s->rows;
    for (size_t i = 0; i < s->n_classes; i++) reach(&s->classes[i].y, s->step, s->rows, &first_y, &end_y);
    s->height = (size_t)(end_y - first_y);
}

/* Lays out the scratch; returns its bytes. */
static size_t plan_scratch(direct_state *s, bool weights)
{
    size_t at = 0, widest = 1;
    for (size_t i = 0; i < s->n_classes; i++) {
        place_class *k = &s->classes[i];
        k->weights_at = at;
        if (!weights) at += dt_cpu_round_up(k->y.n * k->x.n * s->source.c * s->columns, DT_ALIGN);
        if (k->x.count > widest) widest = k->x.count;
    }
    s->parts_at = at;
    s->results_at = s->copies ? dt_cpu_round_up(s->height * pitch_of(s), DT_ALIGN) : 0;
    s->padded_at = s->results_at + (weights ? dt_cpu_round_up(sum_floats(s), DT_ALIGN) : 0);
    s->part_floats = s->padded_at + dt_cpu_round_up(s->rows * widest * s->columns, DT_ALIGN);
    return (s->parts_at + (size_t)s->common.parts * s->part_floats) * sizeof(float);
}

duet_status dt_cpu_direct(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const bool weights = op->kind == DT_OP_CONV_GRAD_WEIGHT;
    const dt_shape weight = weights ? op->out[0] : op->in[1];
    const size_t stride = op->a.conv.stride ? op->a.conv.stride : 1;
    if (op->a.conv.groups > 1 || op->a.conv.dilation > 1 || stride > MAX_STRIDE || weight.h > MAX_KERNEL ||
        weight.w > MAX_KERNEL)
        return DUET_OK;

    direct_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]) * 16, err);
    if (!s) return DUET_MEMORY;
    s->backward = op->kind == DT_OP_CONV_GRAD_INPUT;
    s->source = op->in[weights ? 1 : 0];
    s->out = weights ? op->in[0] : op->out[0];
    s->weight = weight;
    s->columns = dt_cpu_round_up(s->out.c, d->loops->lanes);
    find_classes(s, stride, op->a.conv.pad);
    plan_blocks(s);
    const size_t bytes = plan_scratch(s, weights);
    DT_TRY(dt_cpu_finish(&s->common, weights ? run_weights : run_convolve, bytes, out));
    snprintf(out->note, sizeof out->note, "duet direct %s", dt_isa_name(d->loops->isa));
    return DUET_OK;
}
