/* Colours of classes, pictures under them, maps of errors. Pixels in, pixels out: no files here. */
#include "shown.h"

#include <duet/data.h>
#include <math.h>
#include <string.h>

static const uint8_t no_class[3] = {224, 224, 224}, wrong[3] = {230, 40, 30};

/* A hue of 0..1, full and bright enough to be told from its neighbours. */
static void from_hue(double hue, double value, uint8_t out[3])
{
    for (int c = 0; c < 3; c++) {
        const double at = fmod(6 * hue + (double)(c == 0 ? 5 : c == 1 ? 3 : 1), 6); /* the well-known form of HSV without cases */
        const double ramp = fmax(0, fmin(fmin(at, 4 - at), 1));
        out[c] = (uint8_t)(255 * value * (1 - 0.75 * ramp) + 0.5);
    }
}

void shown_colours(const uint8_t (*own)[3], size_t n, uint8_t out[SHOWN_COLOURS][3])
{
    static const double golden = 0.6180339887498949; /* its multiples never come close to each other */
    for (size_t i = 0; i < SHOWN_COLOURS; i++) {
        if (i >= n) memcpy(out[i], no_class, 3);
        else if (own) memcpy(out[i], own[i], 3);
        else if (i == 0) memset(out[i], 0, 3); /* most often the background */
        else from_hue(fmod((double)i * golden, 1), i % 2 ? 0.95 : 0.7, out[i]);
    }
}

void shown_overlay(const uint8_t *pixels, const uint8_t *classes, size_t n, const uint8_t colours[SHOWN_COLOURS][3], uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++) out[3 * i + c] = (uint8_t)((pixels[3 * i + c] + colours[classes[i]][c] + 1) / 2);
}

void shown_errors(const uint8_t *pixels, const uint8_t *classes, const uint8_t *truth, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = pixels + 3 * i;
        const uint8_t grey = (uint8_t)((299 * p[0] + 587 * p[1] + 114 * p[2]) / 1000);
        if (truth[i] == DUET_IGNORED) memcpy(out + 3 * i, no_class, 3);
        else if (truth[i] == classes[i]) memset(out + 3 * i, grey / 2, 3); /* dim, so that errors stand out */
        else memcpy(out + 3 * i, wrong, 3);
    }
}
