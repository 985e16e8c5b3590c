/* Random crop and flip of one picture, in bytes. The same stream gives the same crop whatever the number of
 * channels, which is how a mask follows its picture. */
#include "data/data.h"

#include <string.h>

enum { PAD = 4 }; /* pixels of zero bytes on every side before the crop, as every CIFAR recipe has it */

/* One row of the result: pixels x0.. of `row` (w of them; those beyond the row are `outside`). */
static void copy_row(const uint8_t *row, ptrdiff_t x0, size_t w, size_t channels, uint8_t outside, uint8_t *out)
{
    size_t skip = x0 < 0 ? (size_t)-x0 : 0; /* pixels beyond it on the left */
    size_t from = x0 > 0 ? (size_t)x0 : 0;  /* first pixel taken */
    size_t n = w > skip + from ? w - skip - from : 0;
    if (n == 0) skip = w;
    memset(out, outside, skip * channels);
    memcpy(out + skip * channels, row + from * channels, n * channels);
    memset(out + (skip + n) * channels, outside, (w - skip - n) * channels);
}

static void flip_row(uint8_t *row, size_t w, size_t channels)
{
    for (size_t a = 0, b = w - 1; a < b; a++, b--)
        for (size_t k = 0; k < channels; k++) {
            uint8_t t = row[a * channels + k];
            row[a * channels + k] = row[b * channels + k];
            row[b * channels + k] = t;
        }
}

static void apply(dt_augment a, dt_rng rng, const uint8_t *pixels, size_t h, size_t w, size_t channels,
                  uint8_t outside, uint8_t *out)
{
    ptrdiff_t dy = 0, dx = 0;
    bool flip = false;
    if (a == DT_AUGMENT_CROP_FLIP) {
        dy = (ptrdiff_t)dt_rng_below(&rng, 2 * PAD + 1) - PAD;
        dx = (ptrdiff_t)dt_rng_below(&rng, 2 * PAD + 1) - PAD;
    }
    if (a != DT_AUGMENT_NONE) flip = dt_rng_below(&rng, 2) != 0;

    for (size_t y = 0; y < h; y++, out += w * channels) {
        ptrdiff_t from = (ptrdiff_t)y + dy;
        if (from < 0 || from >= (ptrdiff_t)h) {
            memset(out, outside, w * channels);
            continue;
        }
        copy_row(pixels + (size_t)from * w * channels, dx, w, channels, outside, out);
        if (flip) flip_row(out, w, channels);
    }
}

void dt_augment_apply(dt_augment a, dt_rng rng, const uint8_t *pixels, size_t h, size_t w, size_t channels,
                      uint8_t *out)
{
    apply(a, rng, pixels, h, w, channels, 0, out);
}

void dt_augment_labels(dt_augment a, dt_rng rng, const uint8_t *labels, size_t h, size_t w, uint8_t *out)
{
    apply(a, rng, labels, h, w, 1, DT_IGNORED, out);
}
