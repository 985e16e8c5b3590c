/* A contact sheet of `shapes-seg` and `shapes-plain`, as PPM on standard output: twice a row of pictures over the
 * classes of their pixels (white: none), then a row of plain ones. Built and run by shapes_sheet.py. */
#include "data/data.h"

#include <string.h>

enum {
    SIDE = DT_SHAPES_SEG_SIDE,
    ZOOM = 2,
    GAP = 4,
    CELL = SIDE * ZOOM + GAP,
    COLUMNS = 8,
    ROWS = 5,
    WIDTH = COLUMNS * CELL + GAP,
    HEIGHT = ROWS * CELL + GAP
};

static unsigned char sheet[HEIGHT][WIDTH][3];

static const uint8_t colours[DT_SHAPES_SEG_CLASSES][3] = {
    {0, 0, 0},    {230, 159, 0},   {86, 180, 233},  {0, 158, 115},  {240, 228, 66}, {0, 114, 178},
    {213, 94, 0}, {204, 121, 167}, {153, 153, 153}, {120, 60, 30}, {140, 230, 200}};

/* side: of the picture, which fills the cell whatever it is. */
static void place(size_t column, size_t row, const uint8_t *pixels, size_t side)
{
    for (size_t y = 0; y < SIDE * ZOOM; y++)
        for (size_t x = 0; x < SIDE * ZOOM; x++)
            memcpy(sheet[GAP + row * CELL + y][GAP + column * CELL + x],
                   pixels + (y * side / (SIDE * ZOOM) * side + x * side / (SIDE * ZOOM)) * 3, 3);
}

int main(void)
{
    static uint8_t pixels[SIDE * SIDE * 3], labels[SIDE * SIDE], mask[SIDE * SIDE];
    int32_t label;
    memset(sheet, 255, sizeof sheet);
    for (size_t column = 0; column < COLUMNS; column++) {
        for (size_t row = 0; row + 1 < ROWS; row += 2) {
            dt_shapes_seg_draw(DT_SHAPES_SEED, row / 2 * COLUMNS + column, pixels, labels, mask);
            place(column, row, pixels, SIDE);
            for (size_t i = 0; i < SIDE * SIDE; i++)
                for (size_t k = 0; k < 3; k++) pixels[3 * i + k] = labels[i] == DT_IGNORED ? 255 : colours[labels[i]][k];
            place(column, row + 1, pixels, SIDE);
        }
        dt_shapes_plain_draw(DT_SHAPES_SEED, column, pixels, &label, NULL);
        place(column, ROWS - 1, pixels, DT_SHAPES_PLAIN_SIDE);
    }
    printf("P6\n%d %d\n255\n", WIDTH, HEIGHT);
    return fwrite(sheet, sizeof sheet, 1, stdout) == 1 && fflush(stdout) == 0 ? 0 : 1;
}
