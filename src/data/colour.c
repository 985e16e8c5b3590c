/* Brightness, contrast and saturation of bytes. Each mixes the picture with a picture that has none of it:
 *
 *     brightness   black
 *     contrast     the mean of its greys, everywhere
 *     saturation   its greys
 *
 *     out = other + factor * (in - other), cut to 0..255 and to a whole number; grey = (19595 R + 38470 G + 7471 B + 2^15) / 2^16
 *
 * That is Pillow's ImageEnhance, which torchvision's ColorJitter uses for pictures in files. */
#include "data/data_impl.h"

#include <string.h>

enum { CHANNELS = 3 };

typedef enum step { BRIGHTNESS, CONTRAST, SATURATION, STEPS } step;

static uint8_t grey(const uint8_t *p)
{
    return (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
}

static uint8_t mix(uint8_t other, uint8_t in, float factor)
{
    const float value = (float)other + factor * ((float)in - (float)other);
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
}

/* One grey for the whole picture: every byte has a fixed successor. */
static void mix_one(uint8_t other, float factor, uint8_t *pixels, size_t n)
{
    uint8_t table[256];
    for (unsigned i = 0; i < 256; i++) table[i] = mix(other, (uint8_t)i, factor);
    for (size_t i = 0; i < CHANNELS * n; i++) pixels[i] = table[pixels[i]];
}

static uint8_t mean_grey(const uint8_t *pixels, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += grey(pixels + CHANNELS * i);
    return (uint8_t)((sum + n / 2) / n);
}

static void saturate(float factor, uint8_t *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++, pixels += CHANNELS) {
        const uint8_t other = grey(pixels);
        for (size_t k = 0; k < CHANNELS; k++) pixels[k] = mix(other, pixels[k], factor);
    }
}

static void apply(step s, const dt_colouring *c, uint8_t *pixels, size_t n)
{
    if (s == BRIGHTNESS && c->brightness != 1) mix_one(0, c->brightness, pixels, n);
    if (s == CONTRAST && c->contrast != 1) mix_one(mean_grey(pixels, n), c->contrast, pixels, n);
    if (s == SATURATION && c->saturation != 1) saturate(c->saturation, pixels, n);
}

void dt_vary_colours(const dt_colouring *c, uint8_t *pixels, size_t n)
{
    static const step orders[6][STEPS] = {
        {BRIGHTNESS, CONTRAST, SATURATION}, {BRIGHTNESS, SATURATION, CONTRAST}, {CONTRAST, BRIGHTNESS, SATURATION},
        {CONTRAST, SATURATION, BRIGHTNESS}, {SATURATION, BRIGHTNESS, CONTRAST}, {SATURATION, CONTRAST, BRIGHTNESS},
    };
    if (c->order >= DT_COUNT(orders)) DT_BUG("order %u of colours", c->order);
    for (size_t i = 0; i < STEPS; i++) apply(orders[c->order][i], c, pixels, n);
}
