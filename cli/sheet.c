/* Sheets: a bitmap, a small alphabet, and colours whose brightness says how much. */
#include "sheet.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- letters ------------------------------------------------------------------------------------------------- */

enum { ROWS = 7, COLUMNS = 5 };

/* Rows from the top, five dots each, the left one the highest bit. */
typedef struct letter {
    char name;
    uint8_t rows[ROWS];
} letter;

static const letter letters[] = {
    {'A', {0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}}, {'B', {0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e}},
    {'C', {0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e}}, {'D', {0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e}},
    {'E', {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f}}, {'F', {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10}},
    {'G', {0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f}}, {'H', {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}},
    {'I', {0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}}, {'J', {0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c}},
    {'K', {0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11}}, {'L', {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f}},
    {'M', {0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11}}, {'N', {0x11, 0x11, 0x19, 0x15, 0x13, 0x11, 0x11}},
    {'O', {0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}}, {'P', {0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10}},
    {'Q', {0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d}}, {'R', {0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11}},
    {'S', {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e}}, {'T', {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04}},
    {'U', {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}}, {'V', {0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04}},
    {'W', {0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11}}, {'X', {0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11}},
    {'Y', {0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04}}, {'Z', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f}},
    {'0', {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}}, {'1', {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', {0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f}}, {'3', {0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e}},
    {'4', {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}}, {'5', {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}}, {'7', {0x1f, 0x01, 0x02, 0x04, 0x04, 0x04, 0x04}},
    {'8', {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}}, {'9', {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}},
    {'.', {0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c}}, {',', {0x00, 0x00, 0x00, 0x00, 0x0c, 0x04, 0x08}},
    {'-', {0x00, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00}}, {'_', {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f}},
    {':', {0x00, 0x0c, 0x0c, 0x00, 0x0c, 0x0c, 0x00}}, {'=', {0x00, 0x00, 0x1f, 0x00, 0x1f, 0x00, 0x00}},
    {'%', {0x18, 0x19, 0x02, 0x04, 0x08, 0x13, 0x03}},
};

/* ---- drawing ------------------------------------------------------------------------------------------------- */

static const int page = 236; /* neither the darkest nor the brightest colour of a map */

bool sheet_open(sheet *s, size_t height, size_t width)
{
    *s = (sheet){.pixels = malloc(3 * height * width), .height = height, .width = width};
    if (s->pixels) memset(s->pixels, page, 3 * height * width);
    else cli_complain("not enough memory for a sheet of %zux%zu pixels", height, width);
    return s->pixels != NULL;
}

void sheet_close(sheet *s)
{
    free(s->pixels);
    *s = (sheet){0};
}

static void put(sheet *s, size_t x, size_t y, const uint8_t colour[3])
{
    if (x < s->width && y < s->height) memcpy(s->pixels + 3 * (y * s->width + x), colour, 3);
}

static void put_letter(sheet *s, size_t x, size_t y, char c)
{
    static const uint8_t ink[3] = {30, 30, 30};
    const char name = (char)toupper((unsigned char)c);
    for (size_t i = 0; i < CLI_COUNT(letters); i++)
        for (size_t k = 0; letters[i].name == name && k < (size_t)ROWS * COLUMNS; k++)
            if (letters[i].rows[k / COLUMNS] >> (COLUMNS - 1 - k % COLUMNS) & 1) put(s, x + k % COLUMNS, y + k / COLUMNS, ink);
}

void sheet_text(sheet *s, size_t x, size_t y, size_t width, const char *text)
{
    for (size_t i = 0; text[i] && (i + 1) * SHEET_LETTER <= width + 1; i++) put_letter(s, x + i * SHEET_LETTER, y, text[i]);
}

/* Along one axis: the pixels [*from, *to) of n that place i of `places` shows: one, or all that fall on it. */
static void shown_by(size_t i, size_t places, size_t n, size_t *from, size_t *to)
{
    *from = i * n / places;
    *to = (i + 1) * n / places;
    if (*to <= *from) *to = *from + 1;
}

void sheet_picture(sheet *s, sheet_box at, const uint8_t *pixels, size_t height, size_t width)
{
    for (size_t y = 0; y < at.height; y++)
        for (size_t x = 0; x < at.width; x++) {
            size_t top, bottom, left, right, sum[3] = {0};
            shown_by(y, at.height, height, &top, &bottom);
            shown_by(x, at.width, width, &left, &right);
            for (size_t h = top; h < bottom; h++)
                for (size_t w = left; w < right; w++)
                    for (size_t c = 0; c < 3; c++) sum[c] += pixels[3 * (h * width + w) + c];
            const size_t n = (bottom - top) * (right - left);
            const uint8_t mean[3] = {(uint8_t)(sum[0] / n), (uint8_t)(sum[1] / n), (uint8_t)(sum[2] / n)};
            put(s, at.x + x, at.y + y, mean);
        }
}

void sheet_map(sheet *s, sheet_box at, const float *values, size_t height, size_t width, float most)
{
    for (size_t y = 0; y < at.height; y++)
        for (size_t x = 0; x < at.width; x++) {
            uint8_t colour[3];
            const float value = values[y * height / at.height * width + x * width / at.width];
            sheet_colour(most > 0 ? (double)(value / most) : 0, colour);
            put(s, at.x + x, at.y + y, colour);
        }
}

void sheet_scale(sheet *s, sheet_box at)
{
    for (size_t x = 0; x < at.width; x++) {
        uint8_t colour[3];
        sheet_colour(at.width > 1 ? (double)x / (double)(at.width - 1) : 0, colour);
        for (size_t y = 0; y < at.height; y++) put(s, at.x + x, at.y + y, colour);
    }
}

/* ---- colours ------------------------------------------------------------------------------------------------- */

/* A helix around the grey diagonal of the colour cube: the hue turns, the perceived brightness only rises. D. A. Green, "A colour scheme
 * for the display of astronomical intensity images", Bulletin of the Astronomical Society of India 39, 2011. */
void sheet_colour(double x, uint8_t out[3])
{
    static const double start = 0, turns = 0.5, hue = 1.8, pi = 3.14159265358979323846;
    static const double along[3][2] = {{-0.14861, 1.78277}, {-0.29227, -0.90649}, {1.97294, 0}};
    x = x > 0 ? (x < 1 ? x : 1) : 0; /* what is no number is dark, too */
    const double angle = 2 * pi * (start / 3 + 1 + turns * x), away = hue * x * (1 - x) / 2;
    for (int c = 0; c < 3; c++) {
        const double value = x + away * (along[c][0] * cos(angle) + along[c][1] * sin(angle));
        out[c] = (uint8_t)(255 * fmax(0, fmin(1, value)) + 0.5);
    }
}
