/* Scaling pictures down and up: bilinear, with a footprint that grows with the factor, so that no pixel of a large picture is passed over.
 *
 * An axis at a time. Result pixel o of O, made of the I pixels of a box, has its centre at c = (o + 1/2) I / O, and sums the pixels p
 * under a triangle of half-width s = max(I / O, 1) around it:  weight(p) = max(0, 1 - |p + 1/2 - c| / s), divided by the sum of all.
 * Weights are whole numbers of 2^22nds, sums start with one half and are shifted down: bytes, the same on every machine. The columns
 * are done first, for the rows that are needed, then the rows. */
#include "data/data_impl.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 3, ONE_BITS = 22 };

/* An axis: for each result pixel the first and the number of its pixels, and as many weights; rows of weights are `most` long. */
typedef struct axis {
    uint32_t *first, *count;
    int32_t *weights;
    size_t n, most;
} axis;

/* One axis of a scaling, before its weights are known. */
typedef struct extent {
    double from, length; /* of the box */
    size_t side;         /* of the picture */
    size_t scaled;       /* what length becomes */
    size_t start, n;     /* of the scaled side, what is wanted */
} extent;

static double half_width(const extent *e)
{
    const double factor = e->length / (double)e->scaled;
    return factor > 1 ? factor : 1;
}

static size_t most_weights(const extent *e)
{
    return 2 * (size_t)ceil(half_width(e)) + 1;
}

/* The box's edges, rounded outwards and kept in the picture. */
static void edges(const extent *e, double *low, double *high)
{
    *low = floor(e->from);
    *high = ceil(e->from + e->length);
    if (*high > (double)e->side) *high = (double)e->side;
    if (*low > *high - 1) *low = *high - 1;
}

/* Places are counted from the box's edge, so that equal boxes at different places have equal weights. */
static void fill_axis(const extent *e, double *real, axis *out)
{
    double low, high;
    edges(e, &low, &high);
    const double factor = e->length / (double)e->scaled, s = half_width(e), inside = high - low, offset = e->from - low;
    for (size_t o = 0; o < e->n; o++) {
        const double centre = offset + ((double)(e->start + o) + 0.5) * factor;
        double from = centre - s + 0.5, to = centre + s + 0.5;
        if (from > inside - 1) from = inside - 1; /* a box whose edge was cut */
        const long a = from > 0 ? (long)from : 0, b = to < inside ? (long)to : (long)inside;
        double sum = 0;
        for (long p = a; p < b; p++) {
            const double far = fabs(((double)p - centre + 0.5) * (1 / s));
            real[p - a] = far < 1 ? 1 - far : 0;
            sum += real[p - a];
        }
        if (sum == 0) real[0] = sum = 1;
        int32_t *weight = out->weights + o * out->most;
        for (long p = a; p < b; p++) weight[p - a] = (int32_t)(0.5 + real[p - a] / sum * (1 << ONE_BITS));
        out->first[o] = (uint32_t)(low + (double)a);
        out->count[o] = (uint32_t)(b - a);
    }
}

/* ---- the two passes -------------------------------------------------------------------------------------------- */

static uint8_t to_byte(int32_t sum)
{
    const int32_t value = sum >> ONE_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static void scale_columns(const axis *a, const uint8_t *row, bool flip, uint8_t *out)
{
    for (size_t o = 0; o < a->n; o++) {
        const uint8_t *p = row + (size_t)a->first[o] * CHANNELS;
        const int32_t *weight = a->weights + o * a->most;
        int32_t red = 1 << (ONE_BITS - 1), green = red, blue = red;
        for (uint32_t i = 0; i < a->count[o]; i++, p += CHANNELS) {
            red += p[0] * weight[i];
            green += p[1] * weight[i];
            blue += p[2] * weight[i];
        }
        uint8_t *to = out + (flip ? a->n - 1 - o : o) * CHANNELS;
        to[0] = to_byte(red);
        to[1] = to_byte(green);
        to[2] = to_byte(blue);
    }
}

/* Row o of the result from rows that are as wide as it; the first of them is the picture's row `first`. */
static void scale_row(const axis *a, size_t o, const uint8_t *rows, size_t first, size_t bytes, uint8_t *restrict out)
{
    enum { PIECE = 256 }; /* bytes whose sums stay in registers and the first cache */
    const int32_t *weight = a->weights + o * a->most;
    const uint8_t *top = rows + (a->first[o] - first) * bytes;
    for (size_t at = 0; at < bytes; at += PIECE) {
        const size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        int32_t sum[PIECE];
        for (size_t k = 0; k < n; k++) sum[k] = 1 << (ONE_BITS - 1);
        for (uint32_t i = 0; i < a->count[o]; i++) {
            const uint8_t *restrict row = top + i * bytes + at;
            for (size_t k = 0; k < n; k++) sum[k] += row[k] * weight[i];
        }
        for (size_t k = 0; k < n; k++) out[at + k] = to_byte(sum[k]);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* A block of at least `wanted` elements in place of the old one, whose contents are not needed; NULL: memory is out. */
static void *grown(void *old, size_t *room, size_t wanted, size_t size)
{
    if (wanted <= *room) return old;
    dt_free(old);
    void *block = dt_alloc(wanted, size);
    *room = block ? wanted : 0;
    return block;
}

void dt_resampler_release(dt_resampler *r)
{
    dt_free(r->rows);
    dt_free(r->weights);
    dt_free(r->spans);
    dt_free(r->real);
    *r = (dt_resampler){0};
}

/* Both axes in the resampler's memory. */
static bool make_axes(dt_resampler *r, const extent *down, const extent *across, axis *rows, axis *columns)
{
    rows->n = down->n, rows->most = most_weights(down);
    columns->n = across->n, columns->most = most_weights(across);
    const size_t n_rows = rows->n * rows->most, n_columns = columns->n * columns->most;
    r->weights = grown(r->weights, &r->weight_count, n_rows + n_columns, sizeof *r->weights);
    r->spans = grown(r->spans, &r->span_count, 2 * (rows->n + columns->n), sizeof *r->spans);
    r->real = grown(r->real, &r->real_count, rows->most > columns->most ? rows->most : columns->most, sizeof *r->real);
    if (!r->weights || !r->spans || !r->real) return false;
    rows->weights = r->weights;
    columns->weights = r->weights + n_rows;
    rows->first = r->spans, rows->count = rows->first + rows->n;
    columns->first = rows->count + rows->n, columns->count = columns->first + columns->n;
    fill_axis(down, r->real, rows);
    fill_axis(across, r->real, columns);
    return true;
}

bool dt_resample(dt_resampler *r, const uint8_t *pixels, size_t h, size_t w, const dt_scaling *s, size_t out_h, size_t out_w,
                 bool flip, uint8_t *out)
{
    const extent down = {.from = s->box.y, .length = s->box.height, .side = h, .scaled = s->height, .start = s->y, .n = out_h};
    const extent across = {.from = s->box.x, .length = s->box.width, .side = w, .scaled = s->width, .start = s->x, .n = out_w};
    axis rows = {0}, columns = {0};
    if (!make_axes(r, &down, &across, &rows, &columns)) return false;
    const size_t first = rows.first[0], last = rows.first[out_h - 1] + rows.count[out_h - 1], bytes = out_w * CHANNELS;
    r->rows = grown(r->rows, &r->row_bytes, (last - first) * bytes, 1);
    if (!r->rows) return false;
    for (size_t y = first; y < last; y++) scale_columns(&columns, pixels + y * w * CHANNELS, flip, r->rows + (y - first) * bytes);
    for (size_t o = 0; o < out_h; o++) scale_row(&rows, o, r->rows, first, bytes, out + o * bytes);
    return true;
}
