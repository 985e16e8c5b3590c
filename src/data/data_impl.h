/* What the files of src/data share among themselves. */
#ifndef DT_DATA_IMPL_H
#define DT_DATA_IMPL_H

#include "data/data.h"

/* ---- registry ------------------------------------------------------------------------------------------------ */

/* Every built-in kind of data set, in the order in which they are listed. A new one is a file and a name here. */
#define DT_SOURCE_KINDS(X) X(cifar10) X(cifar100) X(shapes) X(shapes_seg) X(shapes_plain)
#define X(name)            extern const dt_source_kind dt_source_kind_##name;
DT_SOURCE_KINDS(X)
#undef X

/* ---- archives ------------------------------------------------------------------------------------------------ */

typedef struct dt_member {
    uint8_t *bytes; /* from dt_alloc; NULL: the archive has no such member */
    size_t n;
} dt_member;

/* Reads the members of a tar file (plain or .gz) whose last path component is names[i] into out[0..n). A member of
 * more than `limit` bytes is cut after limit + 1: enough to see that it is too large, and a promise that a small
 * archive cannot fill memory.
 *
 * Owns:    the caller releases with dt_members_release, also after an error.
 * Errors:  DUET_IO, DUET_DATA (no tar file, damaged, ends early, two members of one name), DUET_MEMORY. */
duet_status dt_archive_read(const char *path, const char *const *names, size_t n, size_t limit, dt_member *out,
                            duet_error *err);
void dt_members_release(dt_member *members, size_t n);

/* ---- cutting pictures to one size ------------------------------------------------------------------------------ */

/* Where in a picture a crop lies. Drawn once for a record, applied to its pixels, mask and classes. */
typedef struct dt_window {
    size_t from_height, from_width; /* the picture's */
    size_t height, width;           /* its size when scaled */
    size_t y, x;                    /* of the crop in the scaled picture; the crop may reach past its end */
    bool flip;
} dt_window;
dt_window dt_window_draw(const dt_crop *crop, dt_augment a, dt_rng rng, size_t height, size_t width);

/* How a column of the crop is made of two of the picture's: (2048 - weight) * left + weight * right, in 2048ths. */
typedef struct dt_column {
    uint32_t left, right, nearest; /* column */
    uint32_t weight;
} dt_column;
/* Of every column [crop->width] of the crop: those inside the scaled picture come first, *n_inside of them. */
void dt_window_columns(const dt_window *w, const dt_crop *crop, dt_column *columns, size_t *n_inside);
/* pixels [from_height, from_width, 3] to out [crop->height, crop->width, 3], through value[channel][byte]; channel k of
 * out is the picture's `2 - k` with bgr. 0 outside the picture. */
void dt_window_pixels(const dt_window *w, const dt_crop *crop, const dt_column *columns, size_t n_inside,
                      const uint8_t *pixels, const float value[3][256], bool bgr, float *out);
/* bytes [from_height, from_width] to out [crop->height, crop->width]; `outside` outside the picture. */
void dt_window_bytes(const dt_window *w, const dt_crop *crop, const dt_column *columns, size_t n_inside,
                     const uint8_t *bytes, uint8_t outside, uint8_t *out);

/* ---- noise ----------------------------------------------------------------------------------------------------- */

/* Turns image [n], x_0, into x_t in place and sets eps [n]. */
void dt_noise_apply(const dt_noising *noising, int32_t time, dt_rng eps_stream, size_t n, float *image, float *eps);

/* ---- the order of a pass ------------------------------------------------------------------------------------- */

/* Fisher-Yates over order[0..n), by (seed, epoch) alone. */
void dt_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
