/* A contact sheet of `shapes`, as PPM on standard output: a column for each outline, three rows of stripes, three of
 * checks, and the masks of the last row. Built and run by shapes_sheet.py. */
#include "data/data.h"

#include <string.h>

enum {
    ZOOM = 3,
    GAP = 4,
    CELL = DT_SHAPES_SIDE * ZOOM + GAP,
    COLUMNS = 10,
    ROWS = 7,
    WIDTH = COLUMNS * CELL + GAP,
    HEIGHT = ROWS * CELL + GAP
};

static unsigned char sheet[HEIGHT][WIDTH][3];

static void place(size_t column, size_t row, const uint8_t *pixels, size_t channels, uint8_t scale)
{
    for (size_t y = 0; y < DT_SHAPES_SIDE * ZOOM; y++)
        for (size_t x = 0; x < DT_SHAPES_SIDE * ZOOM; x++)
            for (size_t k = 0; k < 3; k++)
                sheet[GAP + row * CELL + y][GAP + column * CELL + x][k] =
                    (unsigned char)(scale * pixels[(y / ZOOM * DT_SHAPES_SIDE + x / ZOOM) * channels +
                                                   (channels == 3 ? k : 0)]);
}

int main(void)
{
    memset(sheet, 255, sizeof sheet);
    for (size_t column = 0; column < COLUMNS; column++)
        for (size_t row = 0; row < ROWS - 1; row++) {
            uint8_t pixels[DT_SHAPES_SIDE * DT_SHAPES_SIDE * 3], mask[DT_SHAPES_SIDE * DT_SHAPES_SIDE];
            int32_t label;
            size_t class = 2 * column + (row >= 3),
                   index = class + row % 3 * DT_SHAPES_CLASSES; /* classes take turns */
            dt_shapes_draw(DT_SHAPES_SEED, index, pixels, &label, mask);
            if ((size_t)label != class) return 1;
            place(column, row, pixels, 3, 1);
            if (row == ROWS - 2) place(column, ROWS - 1, mask, 1, 255);
        }
    printf("P6\n%d %d\n255\n", WIDTH, HEIGHT);
    return fwrite(sheet, sizeof sheet, 1, stdout) == 1 && fflush(stdout) == 0 ? 0 : 1;
}
