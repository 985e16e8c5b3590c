/* How classes of pixels become colours. */
#ifndef SHOWN_H
#define SHOWN_H

#include "cli.h"

enum { SHOWN_COLOURS = 256 };

/* The colours of classes: `own` [n] where the data set has some, else far apart by a formula; what has no class is light grey. */
void shown_colours(const uint8_t (*own)[3], size_t n, uint8_t out[SHOWN_COLOURS][3]);
/* A picture of n pixels, half-transparent under the colours of its classes. */
void shown_overlay(const uint8_t *pixels, const uint8_t *classes, size_t n, const uint8_t colours[SHOWN_COLOURS][3], uint8_t *out);
/* Where classes are wrong: right pixels as the picture, in grey; wrong ones red; those without a class light grey. */
void shown_errors(const uint8_t *pixels, const uint8_t *classes, const uint8_t *truth, size_t n, uint8_t *out);

#endif
