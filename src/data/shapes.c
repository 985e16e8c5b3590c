/* The drawn data sets `shapes`, `shapes-seg` and `shapes-plain`, which need no download. This file composes one
 * picture; shapes_draw.c has the pens, shapes_source.c makes data sets of them.
 *
 * A picture of `shapes` is, from back to front:
 *
 *     ground      two colours in stripes or checks, whichever the class
 *     strokes     a few straight lines of any colour and width
 *     object      one of ten outlines, filled with two colours in stripes (even classes) or checks (odd classes)
 *     strokes     a line or two across the object
 *     light       a slope of brightness over the whole picture
 *     noise       on every byte
 *
 * The class is 2 * outline + texture. Everything else is drawn from the same distribution for every class: place,
 * size, stretch, angle, all colours, and the ground's own pattern. So the mean colour, the border, or the mere
 * presence of stripes says nothing; what says something is the line between object and ground, and the pattern
 * inside that line. Outlines have equal areas for the same reason.
 *
 * The object is lighter than the ground on the whole, whatever the class. With colours that are free on both sides,
 * a small network first had to find out which side of a line is the object, and three epochs taught a resnet8
 * nothing (5 %, which is chance).
 *
 * `shapes-seg` is a larger picture of the same kind with three objects, one over the other, each of any outline and
 * either texture. A pixel's class is 0 on the ground, else 1 + the outline of the uppermost object. The pixels just
 * outside an object, its ring, have no class: a network need not know on which side of the line a mixed pixel is.
 *
 * `shapes-plain` is one object and nothing else: a flat colour on a flat ground, for learning to draw.
 *
 * The bytes are frozen (tests hash them); shapes_impl.h says how they are the same everywhere. */
#include "data/shapes_impl.h"

#include <string.h>

enum {
    UNIT = DT_PIXEL,
    GROUND_LOW = 10,
    GROUND_HIGH = 150, /* channels of the ground's colours, */
    LIGHT_LOW = 130,
    LIGHT_HIGH = 255, /* of an object's light one */
    DARK_LOW = 50,
    DARK_HIGH = 150, /* and of its dark one */
    SLOPE = 40,      /* most change of brightness from the middle to an edge */
    NOISE = 26       /* uniform in -NOISE..NOISE */
};

/* The data set's word in the key of its random numbers, so that no two draw the same. */
enum { STREAM_SHAPES = 0, STREAM_SEG = 1, STREAM_PLAIN = 2 };

static const dt_range half_period = {460, 800}; /* q8: width of a stripe, side of a check */
static const dt_range soften = {3, 6};          /* the ground's two colours go this many eighths to each other */

/* How hard the pictures of `shapes` are. Chosen once, by training small networks, so that a resnet8 stays well below
 * a resnet20 after a few epochs and neither fails; docs/data.md has the numbers. To change any of them is to make
 * another data set. */
static const dt_object_style shapes_object = {.place = {10 * UNIT, 22 * UNIT}, .radius = {1450, 2200}, .stretch = 225};
static const dt_range shapes_behind = {3, 5}, shapes_before = {0, 2}, shapes_stroke = {3 * UNIT, 10 * UNIT};

/* Those of `shapes-seg`: outlines reach 13 to 23 pixels from their centre on the average, which are discs of 9.6 to
 * 17.2 pixels in area, so that the ground has near 60 % of the pixels. With much more of it, networks learn nothing
 * but the ground for a long time. */
enum { SEG_OBJECTS = 3 };
static const dt_object_style seg_object = {.place = {12 * UNIT, 52 * UNIT}, .radius = {2450, 4400}, .stretch = 225};
static const dt_range seg_behind = {4, 7}, seg_before = {1, 3}, seg_stroke = {5 * UNIT, 16 * UNIT};

static const dt_object_style plain_object = {.place = {10 * UNIT, 22 * UNIT}, .radius = {1450, 2200}, .stretch = 225};

static void draw_strokes(dt_canvas *to, dt_rng *rng, dt_range count, dt_range half_length)
{
    for (int32_t n = dt_draw_between(rng, count); n > 0; n--) dt_draw_stroke(to, rng, half_length);
}

static dt_pattern random_ground(dt_rng *rng)
{
    bool checks = dt_rng_below(rng, 2) != 0;
    dt_pattern ground = dt_draw_pattern(rng, checks, half_period);
    for (size_t i = 0; i < 2; i++) ground.tone[i] = dt_draw_colour(rng, GROUND_LOW, GROUND_HIGH);
    dt_soften(ground.tone, dt_draw_between(rng, soften));
    return ground;
}

static dt_pattern random_fill(dt_rng *rng, bool checks)
{
    dt_pattern fill = dt_draw_pattern(rng, checks, half_period);
    fill.tone[0] = dt_draw_colour(rng, LIGHT_LOW, LIGHT_HIGH);
    fill.tone[1] = dt_draw_colour(rng, DARK_LOW, DARK_HIGH);
    return fill;
}

/* Of the object drawn last: more than half of the pixel. */
static bool covered(const dt_canvas *c, int32_t i)
{
    return c->coverage[i] >= DT_COVERED / 2;
}

static void take_mask(const dt_canvas *from, uint8_t *mask)
{
    for (int32_t i = 0; i < from->side * from->side; i++) mask[i] = covered(from, i);
}

/* ---- shapes -------------------------------------------------------------------------------------------------- */

void dt_shapes_draw(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SHAPES, STREAM_SHAPES, index);
    dt_canvas c = {.side = DT_SHAPES_SIDE, .rgb = (uint8_t(*)[3])(void *)pixels};
    uint32_t class = (uint32_t)(index % DT_SHAPES_CLASSES); /* classes take turns, so every split is balanced */

    dt_pattern ground = random_ground(&rng);
    dt_pattern fill = random_fill(&rng, class % 2 != 0);
    dt_draw_ground(&c, &ground);
    draw_strokes(&c, &rng, shapes_behind, shapes_stroke);
    dt_draw_object(&c, &rng, class / 2, &shapes_object, &fill);
    if (mask) take_mask(&c, mask);
    draw_strokes(&c, &rng, shapes_before, shapes_stroke);
    dt_draw_light_and_noise(&c, &rng, SLOPE, NOISE);
    *label = (int32_t) class;
}

/* ---- shapes-seg ---------------------------------------------------------------------------------------------- */

static void ignore_around(const dt_canvas *c, int32_t x, int32_t y, uint8_t *labels)
{
    for (int32_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < c->side; v++)
        for (int32_t u = x > 0 ? x - 1 : 0; u <= x + 1 && u < c->side; u++) labels[v * c->side + u] = DT_IGNORED;
}

/* The object drawn last takes its pixels from those below it, and its ring their classes. */
static void take_labels(const dt_canvas *from, uint8_t class, uint8_t *labels, uint8_t *mask)
{
    int32_t side = from->side;
    for (int32_t i = 0; i < side * side; i++)
        if (covered(from, i)) ignore_around(from, i % side, i / side, labels);
    for (int32_t i = 0; i < side * side; i++)
        if (covered(from, i)) labels[i] = class, mask[i] = 1;
}

void dt_shapes_seg_draw(uint64_t seed, size_t index, uint8_t *pixels, uint8_t *labels, uint8_t *mask)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SHAPES, STREAM_SEG, index);
    dt_canvas c = {.side = DT_SHAPES_SEG_SIDE, .rgb = (uint8_t(*)[3])(void *)pixels};
    memset(labels, 0, DT_SHAPES_SEG_SIDE * DT_SHAPES_SEG_SIDE);
    memset(mask, 0, DT_SHAPES_SEG_SIDE * DT_SHAPES_SEG_SIDE);

    dt_pattern ground = random_ground(&rng);
    dt_draw_ground(&c, &ground);
    draw_strokes(&c, &rng, seg_behind, seg_stroke);
    for (int i = 0; i < SEG_OBJECTS; i++) {
        uint32_t outline = dt_rng_below(&rng, DT_OUTLINES);
        bool checks = dt_rng_below(&rng, 2) != 0;
        dt_pattern fill = random_fill(&rng, checks);
        dt_draw_object(&c, &rng, outline, &seg_object, &fill);
        take_labels(&c, (uint8_t)(1 + outline), labels, mask);
    }
    draw_strokes(&c, &rng, seg_before, seg_stroke);
    dt_draw_light_and_noise(&c, &rng, SLOPE, NOISE);
}

/* ---- shapes-plain -------------------------------------------------------------------------------------------- */

static dt_pattern flat(dt_colour colour)
{
    return (dt_pattern){.tone = {colour, colour}};
}

void dt_shapes_plain_draw(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SHAPES, STREAM_PLAIN, index);
    dt_canvas c = {.side = DT_SHAPES_PLAIN_SIDE, .rgb = (uint8_t(*)[3])(void *)pixels};
    uint32_t outline = (uint32_t)(index % DT_OUTLINES);

    dt_pattern ground = flat(dt_draw_colour(&rng, GROUND_LOW, GROUND_HIGH));
    dt_pattern fill = flat(dt_draw_colour(&rng, LIGHT_LOW, LIGHT_HIGH));
    dt_draw_ground(&c, &ground);
    dt_draw_object(&c, &rng, outline, &plain_object, &fill);
    if (mask) take_mask(&c, mask);
    *label = (int32_t)outline;
}
