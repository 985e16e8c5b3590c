/* Drawing in whole numbers: polygons that cover pixels in part, stripes and checks, strokes, light and noise.
 *
 * Invariants. The bytes are frozen (tests hash what is drawn with this): numbers are whole, overflow is unsigned or
 * excluded, division is by C's rule, shifts are of unsigned values only, and random numbers are drawn in one fixed
 * order. */
#include "data/shapes_impl.h"

#include <string.h>

enum {
    SUBLINES = 4, /* a pixel row is covered by this many lines, each measured exactly along x */
    MOST_LINES = DT_CANVAS_MOST * SUBLINES,
    MAX_CORNERS = 32
};

typedef struct point {
    int32_t x, y; /* q8 */
} point;

typedef struct outline {
    size_t n;
    point corner[MAX_CORNERS]; /* 1024 is the radius of a disc of the same area; the centroid is the origin */
} outline;

/* clang-format off */
/* ring walks around its outer circle, crosses to the inner one, walks it backwards and returns on the same line,
 * which the even-odd rule cancels. */
static const outline outlines[DT_OUTLINES] = {
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

const char *const dt_outline_names[DT_OUTLINES] = {"disc",   "ring", "crescent", "heart", "triangle",
                                                   "square", "star", "cross",    "ell",   "bow tie"};

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

int32_t dt_draw_between(dt_rng *rng, dt_range r)
{
    return r.low + (int32_t)dt_rng_below(rng, (uint32_t)(r.high - r.low + 1));
}

/* One number after the other: C does not say which of two calls in one initialiser comes first. */
static point random_place(dt_rng *rng, dt_range r)
{
    point p;
    p.x = dt_draw_between(rng, r);
    p.y = dt_draw_between(rng, r);
    return p;
}

static point turn(point p, uint32_t angle)
{
    int32_t c = cosine(angle), s = sine(angle);
    return (point){(p.x * c - p.y * s) / 16384, (p.x * s + p.y * c) / 16384}; /* |p| < 2^15: sums stay below 2^31 */
}

/* ---- polygons ------------------------------------------------------------------------------------------------ */

typedef struct crossings {
    int32_t lines; /* of the canvas: side * SUBLINES */
    int32_t x[MOST_LINES][MAX_CORNERS];
    uint8_t n[MOST_LINES];
} crossings;

/* Where an edge cuts the lines, kept in order of x. Line i lies at y = (i + 1/2) / SUBLINES pixels; an edge owns its
 * upper end only. */
static void cross_edge(crossings *c, point a, point b)
{
    enum { STEP = DT_PIXEL / SUBLINES };
    if (a.y == b.y) return;
    if (a.y > b.y) {
        point t = a;
        a = b;
        b = t;
    }
    int32_t first = floor_divide(a.y - STEP / 2 + STEP - 1, STEP), end = floor_divide(b.y - STEP / 2 + STEP - 1, STEP);
    first = clamp(first, 0, c->lines);
    end = clamp(end, 0, c->lines);
    for (int32_t line = first; line < end; line++) {
        int32_t y = line * STEP + STEP / 2;
        int32_t x = a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y); /* differences are below 2^15 */
        size_t at = c->n[line]++;
        for (; at > 0 && c->x[line][at - 1] > x; at--) c->x[line][at] = c->x[line][at - 1];
        c->x[line][at] = x;
    }
}

/* Adds the stretch x0..x1 of one line to the pixels it covers. */
static void cover_span(uint16_t *row, int32_t side, int32_t x0, int32_t x1)
{
    x0 = clamp(x0, 0, side * DT_PIXEL);
    x1 = clamp(x1, 0, side * DT_PIXEL);
    if (x0 >= x1) return;
    int32_t first = x0 / DT_PIXEL,
            last = x1 / DT_PIXEL; /* last: where the stretch ends; may be one past the row, with nothing in it */
    if (first == last) {
        row[first] = (uint16_t)(row[first] + (x1 - x0));
        return;
    }
    row[first] = (uint16_t)(row[first] + (first + 1) * DT_PIXEL - x0);
    for (int32_t i = first + 1; i < last; i++) row[i] = (uint16_t)(row[i] + DT_PIXEL);
    if (last < side) row[last] = (uint16_t)(row[last] + x1 - last * DT_PIXEL);
}

/* Measures how much of each pixel lies inside a polygon (even-odd rule). */
static void cover(dt_canvas *to, const point *corner, size_t n)
{
    crossings c;
    size_t side = (size_t)to->side;
    c.lines = to->side * SUBLINES;
    memset(c.n, 0, sizeof c.n);
    memset(to->coverage, 0, side * side * sizeof to->coverage[0]);
    for (size_t i = 0; i < n; i++) cross_edge(&c, corner[i], corner[i + 1 < n ? i + 1 : 0]);
    for (size_t line = 0; line < (size_t)c.lines; line++) {
        uint16_t *row = to->coverage + line / SUBLINES * side;
        for (size_t i = 0; i + 1 < c.n[line]; i += 2) cover_span(row, to->side, c.x[line][i], c.x[line][i + 1]);
    }
}

static void blend(uint8_t *under, const dt_colour *over, uint32_t coverage)
{
    for (size_t k = 0; k < 3; k++)
        under[k] =
            (uint8_t)((under[k] * (DT_COVERED - coverage) + over->channel[k] * coverage + DT_COVERED / 2) / DT_COVERED);
}

/* ---- colours and patterns ------------------------------------------------------------------------------------ */

dt_colour dt_draw_colour(dt_rng *rng, uint32_t low, uint32_t high)
{
    uint32_t bits = dt_rng_u32(rng);
    dt_colour c;
    for (size_t k = 0; k < 3; k++) c.channel[k] = (uint8_t)(low + (bits >> (8 * k) & 255) * (high - low + 1) / 256);
    return c;
}

void dt_soften(dt_colour tone[2], int32_t eighths)
{
    for (size_t k = 0; k < 3; k++) {
        int32_t a = tone[0].channel[k], b = tone[1].channel[k];
        tone[1].channel[k] = (uint8_t)((a * eighths + b * (8 - eighths)) / 8);
    }
}

dt_pattern dt_draw_pattern(dt_rng *rng, bool checks, dt_range half)
{
    dt_pattern p = {.checks = checks};
    uint32_t angle = dt_rng_below(rng, 256);
    int32_t half_period = dt_draw_between(rng, half);
    /* 2^16 for each half period: cos * 2^14 -> * 2^2 * DT_PIXEL / half_period. Signed steps wrap to unsigned ones. */
    p.u_per_x = (uint32_t)(cosine(angle) * 4 * DT_PIXEL / half_period);
    p.u_per_y = (uint32_t)(sine(angle) * 4 * DT_PIXEL / half_period);
    p.u = dt_rng_u32(rng);
    p.v = dt_rng_u32(rng);
    return p;
}

static const dt_colour *pattern_at(const dt_pattern *p, uint32_t x, uint32_t y)
{
    uint32_t u = p->u + x * p->u_per_x + y * p->u_per_y;
    uint32_t v = p->v - x * p->u_per_y + y * p->u_per_x;
    return &p->tone[(p->checks ? u ^ v : u) >> 16 & 1];
}

/* ---- layers of a picture ------------------------------------------------------------------------------------- */

void dt_draw_ground(dt_canvas *to, const dt_pattern *p)
{
    uint32_t side = (uint32_t)to->side;
    for (uint32_t i = 0; i < side * side; i++) memcpy(to->rgb[i], pattern_at(p, i % side, i / side)->channel, 3);
}

void dt_draw_stroke(dt_canvas *to, dt_rng *rng, dt_range half_length_of)
{
    point middle = random_place(rng, (dt_range){0, to->side * DT_PIXEL});
    uint32_t angle = dt_rng_below(rng, 256);
    int32_t half_length = dt_draw_between(rng, half_length_of);
    int32_t half_width = dt_draw_between(rng, (dt_range){DT_PIXEL / 4, DT_PIXEL});
    dt_colour c = dt_draw_colour(rng, 0, 255);
    const point flat[4] = {
        {-half_length, -half_width}, {half_length, -half_width}, {half_length, half_width}, {-half_length, half_width}};
    point corner[4];
    for (size_t i = 0; i < 4; i++) {
        point p = turn(flat[i], angle);
        corner[i] = (point){middle.x + p.x, middle.y + p.y};
    }
    cover(to, corner, 4);
    for (int32_t i = 0; i < to->side * to->side; i++)
        if (to->coverage[i]) blend(to->rgb[i], &c, to->coverage[i]);
}

void dt_draw_object(dt_canvas *to, dt_rng *rng, uint32_t which, const dt_object_style *style, const dt_pattern *fill)
{
    const outline *shape = &outlines[which];
    point centre = random_place(rng, style->place);
    int32_t radius = dt_draw_between(rng, style->radius);
    uint32_t axis = dt_rng_below(rng, 256), angle = dt_rng_below(rng, 256);
    int32_t stretch = dt_draw_between(rng, (dt_range){-style->stretch, style->stretch});
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
    uint32_t side = (uint32_t)to->side;
    for (uint32_t i = 0; i < side * side; i++)
        if (to->coverage[i]) blend(to->rgb[i], pattern_at(fill, i % side, i / side), to->coverage[i]);
}

void dt_draw_light_and_noise(dt_canvas *to, dt_rng *rng, int32_t slope, int32_t noise_most)
{
    int32_t side = to->side;
    int32_t slope_x = dt_draw_between(rng, (dt_range){-slope, slope});
    int32_t slope_y = dt_draw_between(rng, (dt_range){-slope, slope});
    for (int32_t i = 0; i < side * side; i++) {
        int32_t x = 2 * (i % side) - side + 1, y = 2 * (i / side) - side + 1; /* -(side-1)..side-1 */
        int32_t light = (slope_x * x + slope_y * y) / side;
        uint32_t bits = dt_rng_u32(rng), span = (uint32_t)(2 * noise_most + 1);
        for (size_t k = 0; k < 3; k++) {
            int32_t noise = (int32_t)((bits >> (8 * k) & 255) * span / 256) - noise_most;
            to->rgb[i][k] = (uint8_t)clamp(to->rgb[i][k] + light + noise, 0, 255);
        }
    }
}
