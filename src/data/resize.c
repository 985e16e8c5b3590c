/* From pictures of any size to squares of one: what is cut out is drawn, or is the middle; resample.c makes it.
 *
 * A cut is drawn for the whole picture, whatever part of it will be decoded: so the same numbers mean the same place, and a JPEG is
 * decoded at the least of eight sizes that still has a pixel for each of the square's. The definition of the random rectangle is that of
 * Szegedy et al. 2014 (arXiv:1409.4842, section 6) as torchvision spells it out.
 *
 * Logarithm and exponential are the C library's: two libraries may differ in the last bit of a double, which whole pixels hide but for
 * one rectangle in some trillions. */
#include "data/data_impl.h"

#include <math.h>

enum { ATTEMPTS = 10, EIGHTHS = 8 };

static double between(dt_rng *rng, double low, double high)
{
    return low + (high - low) * (double)dt_rng_uniform(rng);
}

/* x / 2 to the nearest whole number, halves to the even one. */
static size_t half_even(size_t x)
{
    return x / 2 + (x % 2 ? (x / 2) % 2 : 0);
}

static dt_box middle(size_t height, size_t width, size_t h, size_t w)
{
    return (dt_box){.y = (double)((height - h) / 2), .x = (double)((width - w) / 2), .height = (double)h, .width = (double)w};
}

/* Where no attempt fits: as much of the picture as has an allowed ratio. */
static dt_box largest_middle(const dt_squares *to, size_t height, size_t width)
{
    const double ratio = (double)width / (double)height;
    size_t h = height, w = width;
    if (ratio < to->ratio[0]) h = (size_t)rint((double)width / to->ratio[0]);
    else if (ratio > to->ratio[1]) w = (size_t)rint((double)height * to->ratio[1]);
    h = h < 1 ? 1 : h > height ? height : h;
    w = w < 1 ? 1 : w > width ? width : w;
    return middle(height, width, h, w);
}

static dt_box draw_box(const dt_squares *to, dt_rng *rng, size_t height, size_t width)
{
    const double area = (double)height * (double)width, low = log(to->ratio[0]), high = log(to->ratio[1]);
    for (int i = 0; i < ATTEMPTS; i++) {
        const double wanted = area * between(rng, to->scale[0], to->scale[1]), ratio = exp(between(rng, low, high));
        const double w = rint(sqrt(wanted * ratio)), h = rint(sqrt(wanted / ratio));
        if (!(w >= 1 && h >= 1 && w <= (double)width && h <= (double)height)) continue;
        const uint32_t y = dt_rng_below(rng, (uint32_t)(height - (size_t)h + 1));
        const uint32_t x = dt_rng_below(rng, (uint32_t)(width - (size_t)w + 1));
        return (dt_box){.y = y, .x = x, .height = h, .width = w};
    }
    return largest_middle(to, height, width);
}

/* The whole picture, its shorter side scaled to short_side, and the square in the middle of that. */
static dt_scaling judged(const dt_squares *to, size_t height, size_t width)
{
    const size_t shorter = height < width ? height : width;
    dt_scaling s = {.box = {0, 0, (double)height, (double)width},
                    .height = height * to->short_side / shorter,
                    .width = width * to->short_side / shorter};
    s.y = half_even(s.height - to->size);
    s.x = half_even(s.width - to->size);
    return s;
}

static float factor(dt_rng *rng, double by)
{
    return (float)between(rng, by < 1 ? 1 - by : 0, 1 + by);
}

static dt_colouring draw_colours(const dt_squares *to, dt_rng *rng)
{
    dt_colouring c = {.brightness = 1, .contrast = 1, .saturation = 1};
    if (to->brightness <= 0 && to->contrast <= 0 && to->saturation <= 0) return c;
    c.order = dt_rng_below(rng, 6);
    if (to->brightness > 0) c.brightness = factor(rng, to->brightness);
    if (to->contrast > 0) c.contrast = factor(rng, to->contrast);
    if (to->saturation > 0) c.saturation = factor(rng, to->saturation);
    return c;
}

dt_cut dt_cut_draw(const dt_squares *to, dt_rng rng, size_t height, size_t width)
{
    dt_cut c = {0};
    if (to->random)
        c.scaling = (dt_scaling){.box = draw_box(to, &rng, height, width), .height = to->size, .width = to->size};
    else c.scaling = judged(to, height, width);
    c.flip = to->flip && dt_rng_below(&rng, 2) != 0;
    c.colouring = draw_colours(to, &rng);
    return c;
}

unsigned dt_cut_eighths(const dt_cut *cut)
{
    const dt_scaling *s = &cut->scaling;
    unsigned e = 1;
    while (e < EIGHTHS && (s->box.height * e < (double)(EIGHTHS * s->height) || s->box.width * e < (double)(EIGHTHS * s->width))) e++;
    return e;
}

bool dt_cut_apply(const dt_cut *cut, const dt_squares *to, dt_resampler *r, const dt_pixels *picture, unsigned eighths, uint8_t *out)
{
    const double part = (double)eighths / EIGHTHS;
    dt_scaling s = cut->scaling;
    s.box = (dt_box){s.box.y * part, s.box.x * part, s.box.height * part, s.box.width * part};
    if (!dt_resample(r, picture->rgb, picture->height, picture->width, &s, to->size, to->size, cut->flip, out)) return false;
    dt_vary_colours(&cut->colouring, out, to->size * to->size);
    return true;
}
