/* What picture.c, png.c and jpeg.c share: a decoder each for bytes in memory. */
#ifndef DT_PICTURE_IMPL_H
#define DT_PICTURE_IMPL_H

#include "format/format.h"

/* One decoder. `facts` first, which says the size; then `read` for a buffer of that size, which picture.c has checked:
 * RGB, or values and indices as they are (only where facts.indices). */
typedef struct dt_picture_format {
    const char *name;
    bool (*recognises)(const uint8_t *bytes, size_t n);
    duet_status (*facts)(const uint8_t *bytes, size_t n, dt_picture_facts *out, duet_error *err);
    duet_status (*read)(const uint8_t *bytes, size_t n, bool indices, uint8_t *out, duet_error *err);
} dt_picture_format;

extern const dt_picture_format dt_picture_png, dt_picture_jpeg;

/* The same words for every damaged file. */
duet_status dt_picture_damaged(const dt_picture_format *f, const char *what, duet_error *err);

#endif
