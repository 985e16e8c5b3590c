/* A sheet of pictures, maps and words, to be written as one PNG. */
#ifndef SHEET_H
#define SHEET_H

#include "cli.h"

typedef struct sheet {
    uint8_t *pixels; /* [height, width, 3] */
    size_t height, width;
} sheet;

enum { SHEET_LETTER = 6, SHEET_LINE = 10 }; /* how wide a letter is, and how high a line, in pixels */

/* A place on a sheet, in pixels. Drawing outside the sheet draws nothing. */
typedef struct sheet_box {
    size_t x, y, width, height;
} sheet_box;

bool sheet_open(sheet *s, size_t height, size_t width); /* light grey; false, with the mistake said: no memory */
void sheet_close(sheet *s);                             /* a zeroed one is fine */

/* Letters are capitals; what there is no letter for becomes a gap. Text that is longer than `width` is cut. */
void sheet_text(sheet *s, size_t x, size_t y, size_t width, const char *text);
/* pixels [height, width, 3], made larger or smaller to fill the box: single pixels, or means of them. */
void sheet_picture(sheet *s, sheet_box at, const uint8_t *pixels, size_t height, size_t width);
/* values [height, width], from 0 (dark) to `most` (bright), in the colours of sheet_colour; every value is one rectangle. */
void sheet_map(sheet *s, sheet_box at, const float *values, size_t height, size_t width, float most);
/* The colours from 0 to the most, from left to right. */
void sheet_scale(sheet *s, sheet_box at);

/* The colour of x, 0..1: brighter means more, also in grey and to most who see colours differently. */
void sheet_colour(double x, uint8_t out[3]);

#endif
