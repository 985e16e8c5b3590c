/* `shapes`: a small data set that needs no download. This file draws one picture; shapes_source.c makes a data set
 * of them.
 *
 * A picture is, from back to front:
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
 * Invariants. The bytes are frozen (a test hashes them): numbers are whole, overflow is unsigned or excluded,
 * division is by C's rule, shifts are of unsigned values only, and random numbers are drawn in one fixed order, so
 * every machine and compiler gives the same bytes.
 *
 * Units. A pixel is 256 units wide ("q8"); an angle is 0..255 for a turn; sine and cosine are scaled by 2^14. */
#include "data/data.h"

#include <string.h>

enum {
    SIDE = DT_SHAPES_SIDE,
    PIXELS = SIDE * SIDE,
    UNIT = 256,   /* of a pixel's width */
    SUBLINES = 4, /* a pixel row is covered by this many lines, each measured exactly along x */
    LINES = SIDE * SUBLINES,
    FULL = SUBLINES * UNIT, /* coverage of a pixel that lies wholly inside */
    MAX_CORNERS = 32,
    OUTLINES = 10
};

/* How hard the pictures are. Chosen once, by training small networks, so that a resnet8 stays well below a resnet20
 * after a few epochs and neither fails; docs/data.md has the numbers. To change any of them is to make another data
 * set. */
/* clang-format off */
enum {
    RADIUS_MIN = 1450, RADIUS_MAX = 2200,         /* q8: of the disc of the object's area */
    STRETCH = 225,                                /* one axis grows, the other shrinks by up to this many 1024ths */
    PLACE_MIN = 10 * UNIT, PLACE_MAX = 22 * UNIT, /* of the object's centroid */
    HALF_PERIOD_MIN = 460, HALF_PERIOD_MAX = 800, /* q8: width of a stripe, side of a check */
    STROKES_BEHIND_MIN = 3, STROKES_BEHIND_MAX = 5,
    STROKES_BEFORE_MAX = 2,
    GROUND_LOW = 10, GROUND_HIGH = 150,           /* channels of the ground's two colours, */
    SOFTEN_MIN = 3, SOFTEN_MAX = 6,               /* which then go this many eighths of the way to each other; */
    LIGHT_LOW = 130, LIGHT_HIGH = 255,            /* of the object's light one */
    DARK_LOW = 50, DARK_HIGH = 150,               /* and of its dark one */
    SLOPE = 40,                                   /* most change of brightness from the middle to an edge */
    NOISE = 26                                    /* uniform in -NOISE..NOISE */
};
/* clang-format on */

typedef struct point {
    int32_t x, y; /* q8 */
} point;

typedef struct outline {
    size_t n;
    point corner[MAX_CORNERS]; /* 1024 is the radius of a disc of the same area; the centroid is the origin */
} outline;

typedef struct colour {
    uint8_t channel[3];
} colour;

/* Stripes or checks of two colours. u and v run along two directions at right angles; bit 16 of each says which half
 * of the period a place is in. They wrap around, which is what a period is for. */
typedef struct pattern {
    uint32_t u, v, u_per_x, u_per_y;
    bool checks;
    colour tone[2];
} pattern;

typedef struct picture {
    uint8_t (*rgb)[3];         /* [PIXELS] */
    uint16_t coverage[PIXELS]; /* of the polygon drawn last, 0..FULL */
} picture;

/* clang-format off */
/* ring walks around its outer circle, crosses to the inner one, walks it backwards and returns on the same line,
 * which the even-odd rule cancels. */
static const outline outlines[OUTLINES] = {
    /* disc */
    {20, {{1032, 0}, {982, 319}, {835, 607}, {607, 835}, {319, 982}, {0, 1032}, {-319, 982}, {-607, 835},
          {-835, 607}, {-982, 319}, {-1032, 0}, {-982, -319}, {-835, -607}, {-607, -835}, {-319, -982}, {0, -1032},
          {319, -982}, {607, -835}, {835, -607}, {982, -319}}},
    /* ring */
    {30, {{1219, 0}, {1099, 529}, {760, 953}, {271, 1189}, {-271, 1189}, {-760, 953}, {-1099, 529}, {-1219, 0},
          {-1099, -529}, {-760, -953}, {-271, -1189}, {271, -1189}, {760, -953}, {1099, -529}, {1219, 0}, {571, -275},
          {395, -496}, {141, -618}, {-141, -618}, {-395, -496}, {-571, -275}, {-634, 0}, {-571, 275}, {-395, 496},
          {-141, 618}, {141, 618}, {395, 496}, {571, 275}, {634, 0}, {571, -275}}},
    /* crescent */
    {24, {{1308, 863}, {961, 1135}, {542, 1275}, {100, 1265}, {-312, 1107}, {-646, 819}, {-864, 435}, {-940, 0},
          {-864, -435}, {-646, -819}, {-312, -1107}, {100, -1265}, {542, -1275}, {961, -1135}, {1308, -863},
          {1002, -865}, {714, -762}, {479, -566}, {325, -301}, {272, 0}, {325, 301}, {479, 566}, {714, 762},
          {1002, 865}}},
    /* heart */
    {22, {{0, -339}, {28, -458}, {196, -710}, {535, -870}, {932, -783}, {1201, -465}, {1201, -50}, {932, 350},
          {535, 708}, {196, 1027}, {28, 1270}, {0, 1364}, {-28, 1270}, {-196, 1027}, {-535, 708}, {-932, 350},
          {-1201, -50}, {-1201, -465}, {-932, -783}, {-535, -870}, {-196, -710}, {-28, -458}}},
    /* triangle */
    {3, {{0, -1592}, {1379, 796}, {-1379, 796}}},
    /* square */
    {4, {{907, 907}, {-907, 907}, {-907, -907}, {907, -907}}},
    /* star */
    {10, {{0, -1578}, {417, -575}, {1501, -488}, {675, 219}, {928, 1277}, {0, 710}, {-928, 1277}, {-675, 219},
          {-1501, -488}, {-417, -575}}},
    /* cross */
    {12, {{-403, -1222}, {403, -1222}, {403, -403}, {1222, -403}, {1222, 403}, {403, 403}, {403, 1222},
          {-403, 1222}, {-403, 403}, {-1222, 403}, {-1222, -403}, {-403, -403}}},
    /* ell */
    {6, {{-800, -1477}, {118, -1477}, {118, 114}, {1342, 114}, {1342, 971}, {-800, 971}}},
    /* bow tie */
    {6, {{-1338, -1070}, {0, -161}, {1338, -1070}, {1338, 1070}, {0, 161}, {-1338, 1070}}},
};
/* clang-format on */

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static int32_t sine(uint32_t angle)
{
    /* round(2^14 * sin(2 pi i / 256)), a quarter of a turn */
    static const int16_t quarter[65] = {0,     402,   804,   1205,  1606,  2006,  2404,  2801,  3196,  3590,  3981,
                                        4370,  4756,  5139,  5520,  5897,  6270,  6639,  7005,  7366,  7723,  8076,
                                        8423,  8765,  9102,  9434,  9760,  10080, 10394, 10702, 11003, 11297, 11585,
                                        11866, 12140, 12406, 12665, 12916, 13160, 13395, 13623, 13842, 14053, 14256,
                                        14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557, 15679, 15791, 15893,
                                        15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384};
    uint32_t a = angle & 127; /* within half a turn, where the sine is not negative */
    int32_t s = a <= 64 ? quarter[a] : quarter[128 - a];
    return (angle & 128) ? -s : s;
}

static int32_t cosine(uint32_t angle)
{
    return sine(angle + 64);
}

/* The greatest whole number not above a / b; b > 0. */
static int32_t floor_divide(int32_t a, int32_t b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

static int32_t clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Uniform low..high, both included. */
static int32_t between(dt_rng *rng, int32_t low, int32_t high)
{
    return low + (int32_t)dt_rng_below(rng, (uint32_t)(high - low + 1));
}

/* One number after the other: C does not say which of two calls in one initialiser comes first. */
static point random_place(dt_rng *rng, int32_t low, int32_t high)
{
    point p;
    p.x = between(rng, low, high);
    p.y = between(rng, low, high);
    return p;
}

static point turn(point p, uint32_t angle)
{
    int32_t c = cosine(angle), s = sine(angle);
    return (point){(p.x * c - p.y * s) / 16384, (p.x * s + p.y * c) / 16384}; /* |p| < 2^15: sums stay below 2^31 */
}

/* ---- polygons ------------------------------------------------------------------------------------------------ */

typedef struct crossings {
    int32_t x[LINES][MAX_CORNERS];
    uint8_t n[LINES];
} crossings;

/* Where an edge cuts the lines, kept in order of x. Line i lies at y = (i + 1/2) / SUBLINES pixels; an edge owns its
 * upper end only. */
static void cross_edge(crossings *c, point a, point b)
{
    enum { STEP = UNIT / SUBLINES };
    if (a.y == b.y) return;
    if (a.y > b.y) {
        point t = a;
        a = b;
        b = t;
    }
    int32_t first = floor_divide(a.y - STEP / 2 + STEP - 1, STEP), end = floor_divide(b.y - STEP / 2 + STEP - 1, STEP);
    first = clamp(first, 0, LINES);
    end = clamp(end, 0, LINES);
    for (int32_t line = first; line < end; line++) {
        int32_t y = line * STEP + STEP / 2;
        int32_t x = a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y); /* differences are below 2^15 */
        size_t at = c->n[line]++;
        for (; at > 0 && c->x[line][at - 1] > x; at--) c->x[line][at] = c->x[line][at - 1];
        c->x[line][at] = x;
    }
}

/* Adds the stretch x0..x1 of one line to the pixels it covers. */
static void cover_span(uint16_t *row, int32_t x0, int32_t x1)
{
    x0 = clamp(x0, 0, SIDE * UNIT);
    x1 = clamp(x1, 0, SIDE * UNIT);
    if (x0 >= x1) return;
    int32_t first = x0 / UNIT,
            last = x1 / UNIT; /* last: where the stretch ends; may be one past the row, with nothing in it */
    if (first == last) {
        row[first] = (uint16_t)(row[first] + (x1 - x0));
        return;
    }
    row[first] = (uint16_t)(row[first] + (first + 1) * UNIT - x0);
    for (int32_t i = first + 1; i < last; i++) row[i] = (uint16_t)(row[i] + UNIT);
    if (last < SIDE) row[last] = (uint16_t)(row[last] + x1 - last * UNIT);
}

/* Measures how much of each pixel lies inside a polygon (even-odd rule). */
static void cover(picture *to, const point *corner, size_t n)
{
    crossings c;
    memset(c.n, 0, sizeof c.n);
    memset(to->coverage, 0, sizeof to->coverage);
    for (size_t i = 0; i < n; i++) cross_edge(&c, corner[i], corner[i + 1 < n ? i + 1 : 0]);
    for (size_t line = 0; line < LINES; line++) {
        uint16_t *row = to->coverage + line / SUBLINES * SIDE;
        for (size_t i = 0; i + 1 < c.n[line]; i += 2) cover_span(row, c.x[line][i], c.x[line][i + 1]);
    }
}

static void blend(uint8_t *under, const colour *over, uint32_t coverage)
{
    for (size_t k = 0; k < 3; k++)
        under[k] = (uint8_t)((under[k] * (FULL - coverage) + over->channel[k] * coverage + FULL / 2) / FULL);
}

/* ---- colours and patterns ------------------------------------------------------------------------------------ */

/* Each channel low..high, at most 255. */
static colour random_colour(dt_rng *rng, uint32_t low, uint32_t high)
{
    uint32_t bits = dt_rng_u32(rng);
    colour c;
    for (size_t k = 0; k < 3; k++) c.channel[k] = (uint8_t)(low + (bits >> (8 * k) & 255) * (high - low + 1) / 256);
    return c;
}

/* Takes the second colour some of the way to the first. */
static void soften(colour tone[2], int32_t eighths)
{
    for (size_t k = 0; k < 3; k++) {
        int32_t a = tone[0].channel[k], b = tone[1].channel[k];
        tone[1].channel[k] = (uint8_t)((a * eighths + b * (8 - eighths)) / 8);
    }
}

/* Width, angle and place of stripes or checks; the two colours are left to the caller. */
static pattern random_pattern(dt_rng *rng, bool checks)
{
    pattern p = {.checks = checks};
    uint32_t angle = dt_rng_below(rng, 256);
    int32_t half_period = between(rng, HALF_PERIOD_MIN, HALF_PERIOD_MAX);
    /* 2^16 for each half period: cos * 2^14 -> * 2^2 * UNIT / half_period. Signed steps wrap to unsigned ones. */
    p.u_per_x = (uint32_t)(cosine(angle) * 4 * UNIT / half_period);
    p.u_per_y = (uint32_t)(sine(angle) * 4 * UNIT / half_period);
    p.u = dt_rng_u32(rng);
    p.v = dt_rng_u32(rng);
    return p;
}

static const colour *pattern_at(const pattern *p, uint32_t x, uint32_t y)
{
    uint32_t u = p->u + x * p->u_per_x + y * p->u_per_y;
    uint32_t v = p->v - x * p->u_per_y + y * p->u_per_x;
    return &p->tone[(p->checks ? u ^ v : u) >> 16 & 1];
}

/* ---- layers of a picture ------------------------------------------------------------------------------------- */

static void draw_ground(picture *to, const pattern *p)
{
    for (uint32_t i = 0; i < PIXELS; i++) memcpy(to->rgb[i], pattern_at(p, i % SIDE, i / SIDE)->channel, 3);
}

static void draw_stroke(picture *to, dt_rng *rng)
{
    point middle = random_place(rng, 0, SIDE * UNIT);
    uint32_t angle = dt_rng_below(rng, 256);
    int32_t half_length = between(rng, 3 * UNIT, 10 * UNIT), half_width = between(rng, UNIT / 4, UNIT);
    colour c = random_colour(rng, 0, 255);
    const point flat[4] = {
        {-half_length, -half_width}, {half_length, -half_width}, {half_length, half_width}, {-half_length, half_width}};
    point corner[4];
    for (size_t i = 0; i < 4; i++) {
        point p = turn(flat[i], angle);
        corner[i] = (point){middle.x + p.x, middle.y + p.y};
    }
    cover(to, corner, 4);
    for (size_t i = 0; i < PIXELS; i++)
        if (to->coverage[i]) blend(to->rgb[i], &c, to->coverage[i]);
}

/* Leaves the object's coverage in the picture. */
static void draw_object(picture *to, dt_rng *rng, const outline *shape, const pattern *fill)
{
    point centre = random_place(rng, PLACE_MIN, PLACE_MAX);
    int32_t radius = between(rng, RADIUS_MIN, RADIUS_MAX);
    uint32_t axis = dt_rng_below(rng, 256), angle = dt_rng_below(rng, 256);
    int32_t stretch = between(rng, -STRETCH, STRETCH);
    bool mirror = dt_rng_below(rng, 2) != 0;
    point corner[MAX_CORNERS];
    for (size_t i = 0; i < shape->n; i++) {
        point p = shape->corner[i];
        if (mirror) p.x = -p.x;
        p = turn(p, axis);
        p.x = p.x * (1024 + stretch) / 1024 * radius / 1024;
        p.y = p.y * (1024 - stretch) / 1024 * radius / 1024;
        p = turn(p, angle);
        corner[i] = (point){centre.x + p.x, centre.y + p.y};
    }
    cover(to, corner, shape->n);
    for (uint32_t i = 0; i < PIXELS; i++)
        if (to->coverage[i]) blend(to->rgb[i], pattern_at(fill, i % SIDE, i / SIDE), to->coverage[i]);
}

static void take_mask(const picture *from, uint8_t *mask)
{
    for (size_t i = 0; i < PIXELS; i++) mask[i] = from->coverage[i] >= FULL / 2;
}

static void draw_light_and_noise(picture *to, dt_rng *rng)
{
    int32_t slope_x = between(rng, -SLOPE, SLOPE), slope_y = between(rng, -SLOPE, SLOPE);
    for (int32_t i = 0; i < PIXELS; i++) {
        int32_t x = 2 * (i % SIDE) - SIDE + 1, y = 2 * (i / SIDE) - SIDE + 1; /* -31..31 */
        int32_t light = (slope_x * x + slope_y * y) / SIDE;
        uint32_t bits = dt_rng_u32(rng);
        for (size_t k = 0; k < 3; k++) {
            int32_t noise = (int32_t)((bits >> (8 * k) & 255) * (2 * NOISE + 1) / 256) - NOISE;
            to->rgb[i][k] = (uint8_t)clamp(to->rgb[i][k] + light + noise, 0, 255);
        }
    }
}

/* ---- one picture --------------------------------------------------------------------------------------------- */

void dt_shapes_draw(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SHAPES, 0, index);
    picture p = {.rgb = (uint8_t(*)[3])(void *)pixels};
    uint32_t class = (uint32_t)(index % DT_SHAPES_CLASSES); /* classes take turns, so every split is balanced */

    bool ground_checks = dt_rng_below(&rng, 2) != 0;
    pattern ground = random_pattern(&rng, ground_checks);
    for (size_t i = 0; i < 2; i++) ground.tone[i] = random_colour(&rng, GROUND_LOW, GROUND_HIGH);
    soften(ground.tone, between(&rng, SOFTEN_MIN, SOFTEN_MAX));
    pattern fill = random_pattern(&rng, class % 2 != 0);
    fill.tone[0] = random_colour(&rng, LIGHT_LOW, LIGHT_HIGH);
    fill.tone[1] = random_colour(&rng, DARK_LOW, DARK_HIGH);

    draw_ground(&p, &ground);
    for (int32_t n = between(&rng, STROKES_BEHIND_MIN, STROKES_BEHIND_MAX); n > 0; n--) draw_stroke(&p, &rng);
    draw_object(&p, &rng, &outlines[class / 2], &fill);
    if (mask) take_mask(&p, mask);
    for (int32_t n = between(&rng, 0, STROKES_BEFORE_MAX); n > 0; n--) draw_stroke(&p, &rng);
    draw_light_and_noise(&p, &rng);
    *label = (int32_t) class;
}
