/* Drawing in whole numbers, for the data sets that are drawn (shapes.c): the same bytes from every machine and compiler.
 *
 * Units. A pixel is 256 units wide ("q8"); an angle is 0..255 for a turn; sine and cosine are scaled by 2^14.
 * Limits. Coordinates stay within +-2^15 q8, which is what the products of two of them need to fit an int32. A canvas of
 * DT_CANVAS_MOST pixels a side and objects that reach some 60 pixels from their centre keep to that. */
#ifndef DT_SHAPES_IMPL_H
#define DT_SHAPES_IMPL_H

#include "data/data.h"

enum {
    DT_CANVAS_MOST = 64, /* pixels a side */
    DT_OUTLINES = 10,
    DT_PIXEL = 256,         /* units of a pixel's width */
    DT_COVERED = 4 * DT_PIXEL /* coverage of a pixel that lies wholly inside a polygon */
};

typedef struct dt_canvas {
    int32_t side;                                      /* pixels; canvases are square */
    uint8_t (*rgb)[3];                                 /* [side * side] */
    uint16_t coverage[DT_CANVAS_MOST * DT_CANVAS_MOST]; /* of the polygon drawn last, 0..DT_COVERED */
} dt_canvas;

typedef struct dt_colour {
    uint8_t channel[3];
} dt_colour;

/* Stripes or checks of two colours. u and v run along two directions at right angles; bit 16 of each says which half
 * of the period a place is in. They wrap around, which is what a period is for. */
typedef struct dt_pattern {
    uint32_t u, v, u_per_x, u_per_y;
    bool checks;
    dt_colour tone[2];
} dt_pattern;

typedef struct dt_range {
    int32_t low, high; /* both included */
} dt_range;

/* How objects may lie. */
typedef struct dt_object_style {
    dt_range place;  /* q8: of the centroid, in x and in y */
    dt_range radius; /* q8: of the disc of the object's area */
    int32_t stretch; /* one axis grows, the other shrinks by up to this many 1024ths */
} dt_object_style;

int32_t dt_draw_between(dt_rng *rng, dt_range r); /* uniform */
/* Each channel low..high, at most 255. */
dt_colour dt_draw_colour(dt_rng *rng, uint32_t low, uint32_t high);
/* Takes the second colour this many eighths of the way to the first. */
void dt_soften(dt_colour tone[2], int32_t eighths);
/* Width, angle and place of stripes or checks; the two colours are left to the caller. */
dt_pattern dt_draw_pattern(dt_rng *rng, bool checks, dt_range half_period);

void dt_draw_ground(dt_canvas *to, const dt_pattern *p);
/* A straight line of any place, angle, colour; its length from the style, at most two pixels wide. */
void dt_draw_stroke(dt_canvas *to, dt_rng *rng, dt_range half_length);
/* Outline 0..DT_OUTLINES-1, filled. Leaves the object's coverage in the canvas. */
void dt_draw_object(dt_canvas *to, dt_rng *rng, uint32_t outline, const dt_object_style *style, const dt_pattern *fill);
/* A slope of brightness of at most `slope` from the middle to an edge, and -noise..noise on every byte. */
void dt_draw_light_and_noise(dt_canvas *to, dt_rng *rng, int32_t slope, int32_t noise);

extern const char *const dt_outline_names[DT_OUTLINES];

#endif
