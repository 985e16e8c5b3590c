/* Cutting a picture of any size to a fixed one: random scale, padding to the right and below, random place, random flip.
 *
 * The scaled picture is never made: every pixel of the crop is computed from the bytes it needs, so that the cost is the
 * crop's, whatever the scale. Numbers are whole (weights in 2048ths, as other image libraries have them), so bytes are
 * the same everywhere. The scaled picture has n * per cent / 100 rows, rounded half up; pixel o of O covers the picture's
 * like a pixel of a ruler with O marks instead of I: its centre is at (o + 1/2) I / O - 1/2. */
#include "data/data_impl.h"

#include <string.h>

enum { CHANNELS = 3, SCALE_STEP = 10 /* per cent */, SUB_BITS = 16, WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS };

static size_t scaled(size_t n, uint32_t percent)
{
    size_t s = (n * percent + 50) / 100;
    return s ? s : 1;
}

/* A place for a crop of n pixels in `size`: anywhere inside; where the picture is smaller, at its beginning. */
static size_t place(dt_rng *rng, size_t size, size_t n)
{
    return size > n ? dt_rng_below(rng, (uint32_t)(size - n + 1)) : 0;
}

dt_window dt_window_draw(const dt_crop *crop, dt_augment a, dt_rng rng, size_t height, size_t width)
{
    dt_window w = {.from_height = height, .from_width = width, .height = height, .width = width};
    if (a == DT_AUGMENT_NONE) return w;
    uint32_t low = crop->scale_low ? (uint32_t)crop->scale_low : 100;
    uint32_t high = crop->scale_high ? (uint32_t)crop->scale_high : 100;
    uint32_t percent = low + SCALE_STEP * dt_rng_below(&rng, (high - low) / SCALE_STEP + 1);
    w.height = scaled(height, percent);
    w.width = scaled(width, percent);
    w.y = place(&rng, w.height, crop->height);
    w.x = place(&rng, w.width, crop->width);
    w.flip = dt_rng_below(&rng, 2) != 0;
    return w;
}

/* Pixel `o` of `to`, when `from` pixels are scaled to `to`. */
static dt_column locate(size_t o, size_t from, size_t to)
{
    if (from == to) return (dt_column){.left = (uint32_t)o, .right = (uint32_t)o, .nearest = (uint32_t)o};
    uint64_t centre = (((uint64_t)(2 * o + 1) * from) << (SUB_BITS - 1)) / to; /* (o + 1/2) I / O in 2^16ths */
    uint64_t half = UINT64_C(1) << (SUB_BITS - 1), at = centre > half ? centre - half : 0;
    dt_column c = {.left = (uint32_t)(at >> SUB_BITS), .nearest = (uint32_t)(centre >> SUB_BITS)};
    c.right = c.left + 1 < from ? c.left + 1 : c.left;
    c.weight = (uint32_t)(at >> (SUB_BITS - WEIGHT_BITS)) & (WEIGHT_ONE - 1);
    if (c.nearest >= from) c.nearest = (uint32_t)from - 1;
    return c;
}

void dt_window_columns(const dt_window *w, const dt_crop *crop, dt_column *columns, size_t *n_inside)
{
    size_t n = w->width - w->x < crop->width ? w->width - w->x : crop->width;
    for (size_t i = 0; i < n; i++) columns[i] = locate(w->x + i, w->from_width, w->width);
    *n_inside = n;
}

static size_t rows_inside(const dt_window *w, const dt_crop *crop)
{
    return w->height - w->y < crop->height ? w->height - w->y : crop->height;
}

/* Where column i of the crop goes. */
static size_t target(const dt_window *w, const dt_crop *crop, size_t i)
{
    return w->flip ? crop->width - 1 - i : i;
}

void dt_window_pixels(const dt_window *w, const dt_crop *crop, const dt_column *columns, size_t n_inside,
                      const uint8_t *pixels, const float value[CHANNELS][256], bool bgr, float *out)
{
    size_t inside = rows_inside(w, crop), stride = w->from_width * CHANNELS;
    for (size_t y = 0; y < inside; y++, out += crop->width * CHANNELS) {
        dt_column row = locate(w->y + y, w->from_height, w->height);
        const uint8_t *upper = pixels + row.left * stride, *lower = pixels + row.right * stride;
        for (size_t i = 0; i < n_inside; i++) {
            dt_column c = columns[i];
            float *to = out + target(w, crop, i) * CHANNELS;
            for (size_t k = 0; k < CHANNELS; k++) {
                size_t from = bgr ? CHANNELS - 1 - k : k, l = c.left * CHANNELS + from, r = c.right * CHANNELS + from;
                uint32_t a = upper[l] * (WEIGHT_ONE - c.weight) + upper[r] * c.weight;
                uint32_t b = lower[l] * (WEIGHT_ONE - c.weight) + lower[r] * c.weight;
                uint32_t sum = a * (WEIGHT_ONE - row.weight) + b * row.weight; /* at most 255 * 2^22 */
                to[k] = value[k][(sum + (1u << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS)];
            }
        }
        for (size_t i = n_inside; i < crop->width; i++)
            memset(out + target(w, crop, i) * CHANNELS, 0, CHANNELS * sizeof *out);
    }
    memset(out, 0, (crop->height - inside) * crop->width * CHANNELS * sizeof *out);
}

void dt_window_bytes(const dt_window *w, const dt_crop *crop, const dt_column *columns, size_t n_inside,
                     const uint8_t *bytes, uint8_t outside, uint8_t *out)
{
    size_t inside = rows_inside(w, crop);
    for (size_t y = 0; y < inside; y++, out += crop->width) {
        const uint8_t *row = bytes + locate(w->y + y, w->from_height, w->height).nearest * w->from_width;
        for (size_t i = 0; i < n_inside; i++) out[target(w, crop, i)] = row[columns[i].nearest];
        for (size_t i = n_inside; i < crop->width; i++) out[target(w, crop, i)] = outside;
    }
    memset(out, outside, (crop->height - inside) * crop->width);
}
