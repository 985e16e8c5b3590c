/* Pictures as people see them: turned as the camera says it was held, and JPEGs decoded at a part of their size.
 *
 * EXIF numbers the eight ways to lay a rectangle on a rectangle 1 to 8. Three questions say which one a number is: do rows become
 * columns, and is the stored picture read from its last row, from its last column?
 *
 *     1 as stored   2 mirrored    3 turned by half   4 upside down, mirrored
 *     5 to 8        the same with rows and columns exchanged: 6 is a camera held upright, turned clockwise by a quarter */
#include "format/picture_impl.h"

#include <string.h>

enum { CHANNELS = 3 };

typedef struct turn_plan {
    bool exchanged, last_row, last_column;
} turn_plan;

static turn_plan plan_of(unsigned turn)
{
    static const turn_plan plans[8] = {
        {false, false, false}, {false, false, true}, {false, true, true}, {false, true, false},
        {true, false, false},  {true, true, false},  {true, true, true},  {true, false, true},
    };
    return plans[turn >= 1 && turn <= 8 ? turn - 1 : 0];
}

/* ---- EXIF ------------------------------------------------------------------------------------------------------ */

typedef struct tiff {
    const uint8_t *bytes;
    size_t n;
    bool big; /* the most significant byte comes first */
} tiff;

/* A number of 2 or 4 bytes; the caller has checked that they are there. */
static uint32_t number_at(const tiff *t, size_t at, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | t->bytes[at + (t->big ? i : bytes - 1 - i)];
    return value;
}

/* Anything odd means that nothing is known: EXIF records are written by many hands, and pictures do not hang on them. */
unsigned dt_exif_turn(const uint8_t *bytes, size_t n)
{
    enum { HEAD = 8, ENTRY = 12, TAG_TURN = 0x0112, TYPE_SHORT = 3 };
    tiff t = {.bytes = bytes, .n = n};
    if (n < HEAD || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0)) return 1;
    t.big = bytes[0] == 'M';
    const size_t list = number_at(&t, 4, 4);
    if (list > n || n - list < 2) return 1;
    const size_t entries = number_at(&t, list, 2);
    for (size_t i = 0, at = list + 2; i < entries && at + ENTRY <= n; i++, at += ENTRY) {
        if (number_at(&t, at, 2) != TAG_TURN) continue;
        const uint32_t turn = number_at(&t, at + 8, 2);
        return number_at(&t, at + 2, 2) == TYPE_SHORT && turn >= 1 && turn <= 8 ? turn : 1;
    }
    return 1;
}

/* ---- pixels ---------------------------------------------------------------------------------------------------- */

static size_t part(size_t side, unsigned eighths)
{
    return (side * eighths + 7) / 8;
}

void dt_picture_upright_size(const dt_picture_facts *f, unsigned eighths, size_t *height, size_t *width)
{
    const bool exchanged = plan_of(f->turn).exchanged;
    *height = part(exchanged ? f->width : f->height, eighths);
    *width = part(exchanged ? f->height : f->width, eighths);
}

static bool make_room(uint8_t **bytes, size_t *room, size_t wanted)
{
    if (wanted <= *room) return true;
    dt_free(*bytes); /* what was in it is not needed */
    *bytes = dt_alloc(wanted, 1);
    *room = *bytes ? wanted : 0;
    return *bytes != NULL;
}

static void turn_pixels(const uint8_t *stored, size_t stored_height, size_t stored_width, turn_plan p, dt_pixels *to)
{
    const size_t row = stored_width * CHANNELS;
    uint8_t *out = to->rgb;
    for (size_t y = 0; y < to->height; y++)
        for (size_t x = 0; x < to->width; x++, out += CHANNELS) {
            const size_t r = p.exchanged ? x : y, c = p.exchanged ? y : x;
            memcpy(out,
                   stored + (p.last_row ? stored_height - 1 - r : r) * row +
                       (p.last_column ? stored_width - 1 - c : c) * CHANNELS,
                   CHANNELS);
        }
}

duet_status dt_picture_upright(const uint8_t *bytes, size_t n, const dt_picture_facts *facts, unsigned eighths, dt_pixels *to,
                               duet_error *err)
{
    const dt_picture_format *f = NULL;
    const size_t height = part(facts->height, eighths), width = part(facts->width, eighths), size = height * width * CHANNELS;
    const bool turned = facts->turn > 1;
    DT_TRY(dt_picture_find_format(bytes, n, &f, err));
    if (!make_room(&to->rgb, &to->room, size) || (turned && !make_room(&to->stored, &to->stored_room, size)))
        return dt_fail(err, DUET_MEMORY, "not enough memory for a picture of %zux%zu pixels", height, width);
    DT_TRY(f->read(bytes, n, (dt_picture_wish){.eighths = eighths}, turned ? to->stored : to->rgb, err));
    dt_picture_upright_size(facts, eighths, &to->height, &to->width);
    if (turned) turn_pixels(to->stored, height, width, plan_of(facts->turn), to);
    return DUET_OK;
}

void dt_pixels_release(dt_pixels *p)
{
    dt_free(p->rgb);
    dt_free(p->stored);
    *p = (dt_pixels){0};
}
