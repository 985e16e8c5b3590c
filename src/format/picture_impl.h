/* What picture.c, png.c and jpeg.c share: a decoder each for bytes in memory. */
#ifndef DT_PICTURE_IMPL_H
#define DT_PICTURE_IMPL_H

#include "format/format.h"

/* How pixels are wanted: RGB, or values and indices as they are (only where facts.indices); RGB of a JPEG also at
 * eighths/8 of its size, 1 to 8, each side rounded up. Other formats know 8 only. */
typedef struct dt_picture_wish {
    bool indices;
    unsigned eighths;
} dt_picture_wish;

/* One decoder. `facts` first, which says the size; then `read` for a buffer of that size, which picture.c has checked. */
typedef struct dt_picture_format {
    const char *name;
    bool (*recognises)(const uint8_t *bytes, size_t n);
    duet_status (*facts)(const uint8_t *bytes, size_t n, dt_picture_facts *out, duet_error *err);
    duet_status (*read)(const uint8_t *bytes, size_t n, dt_picture_wish wish, uint8_t *out, duet_error *err);
} dt_picture_format;

extern const dt_picture_format dt_picture_png, dt_picture_jpeg;

/* The same words for every damaged file. */
duet_status dt_picture_damaged(const dt_picture_format *f, const char *what, duet_error *err);
/* The decoder for these bytes by what they begin with; DUET_DATA: there is none. */
duet_status dt_picture_find_format(const uint8_t *bytes, size_t n, const dt_picture_format **out, duet_error *err);

/* How a camera was held, 1 to 8, from an EXIF record: a TIFF file of its own, bytes [n]. 1 where it does not say. */
unsigned dt_exif_turn(const uint8_t *bytes, size_t n);

#endif
