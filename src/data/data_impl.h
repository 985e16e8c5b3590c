/* What the files of src/data share among themselves. */
#ifndef DT_DATA_IMPL_H
#define DT_DATA_IMPL_H

#include "data/data.h"
#include "format/format.h"

/* ---- registry ------------------------------------------------------------------------------------------------ */

/* Every built-in kind of data set, in the order in which they are listed. A new one is a file and a name here. */
#define DT_SOURCE_KINDS(X)                                                                                             \
    X(cifar10) X(cifar100) X(shapes) X(shapes_seg) X(shapes_plain) X(folder) X(tar) X(folder_seg) X(cityscapes) X(voc)
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

/* ---- resampling (resample.c) ----------------------------------------------------------------------------------- */

/* A rectangle of a picture; pixel (y, x) covers y..y+1, x..x+1. */
typedef struct dt_box {
    double y, x, height, width;
} dt_box;

/* What is to come out: the box scaled to height x width pixels, and of these only rows y.. and columns x.. of what is asked for. */
typedef struct dt_scaling {
    dt_box box;
    size_t height, width;
    size_t y, x;
} dt_scaling;

/* Memory that grows and is used again: one for each thread. */
typedef struct dt_resampler {
    uint8_t *rows;    /* the box's rows, as wide as the result */
    int32_t *weights; /* of both axes */
    uint32_t *spans;  /* first and number of the pixels that weights are for */
    double *real;     /* weights of one result pixel */
    size_t row_bytes, weight_count, span_count, real_count;
} dt_resampler;

/* Bilinear with a footprint that grows as the picture shrinks (a triangle over two result pixels), as Pillow's BILINEAR and
 * torchvision's antialias=True define it: weights in 2^22nds, columns first, rounded to bytes after each axis. Pixels outside the
 * box (its edges rounded outwards) have no say. pixels [h, w, 3]; out [out_h, out_w, 3], mirrored where flip.
 * Exact: the same bytes as Pillow's crop and resize, where the box's edges are whole numbers.
 * False: memory is out. */
bool dt_resample(dt_resampler *r, const uint8_t *pixels, size_t h, size_t w, const dt_scaling *s, size_t out_h, size_t out_w,
                 bool flip, uint8_t *out);
void dt_resampler_release(dt_resampler *r);

/* ---- pictures of any size to squares of one (resize.c) ------------------------------------------------------------ */

/* What is made of one view of one picture: drawn once, from its upright size alone. */
typedef struct dt_cut {
    dt_scaling scaling; /* its box in pixels of the whole picture */
    bool flip;
    dt_colouring colouring;
} dt_cut;
dt_cut dt_cut_draw(const dt_squares *to, dt_rng rng, size_t height, size_t width);
/* The least part of the picture, in eighths, at which the box still has as many pixels as are made of it, each way. */
unsigned dt_cut_eighths(const dt_cut *cut);
/* out [size, size, 3] from the picture decoded at eighths/8. False: memory is out. */
bool dt_cut_apply(const dt_cut *cut, const dt_squares *to, dt_resampler *r, const dt_pixels *picture, unsigned eighths, uint8_t *out);

/* Brightness, contrast and saturation of [n] RGB pixels, in place, as Pillow's ImageEnhance defines them: bytes cut, not rounded, after
 * each; order 0..5 says which comes first, second, third. */
void dt_vary_colours(const dt_colouring *c, uint8_t *pixels, size_t n);

/* ---- mixup (mix.c) ---------------------------------------------------------------------------------------------- */

/* Who is mixed with whom, and how much: picture i becomes share of itself and 1 - share of partner[i]. */
typedef struct dt_mix {
    float share;
    uint32_t *partner; /* [batch], a permutation */
    bool *done;        /* [batch] */
    float *spare;      /* room for a picture */
} dt_mix;
/* By (seed, DT_PURPOSE_MIXUP, epoch, step) alone: share from Beta(alpha, alpha), then a permutation of 0..n-1, all alike. */
void dt_mix_draw(double alpha, uint64_t seed, uint32_t epoch, size_t step, size_t n, dt_mix *out);
/* rows [n, values] in place; values: at most those that spare has room for. */
void dt_mix_apply(const dt_mix *m, float *rows, size_t n, size_t values);

/* ---- the order of a pass ------------------------------------------------------------------------------------- */

/* Fisher-Yates over order[0..n), by (seed, epoch) alone. */
void dt_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

/* ---- lists of files (lists.c) ---------------------------------------------------------------------------------- */

typedef struct dt_lines {
    const char **at; /* [n] without spaces at either end; empty lines are left out */
    size_t *number;  /* [n] in the file, from 1 */
    size_t n;
} dt_lines;

/* The lines of a text file; everything lives in the arena. */
duet_status dt_lines_read(const char *path, dt_arena *arena, dt_lines *out, duet_error *err);
/* Names in a folder that end in `ending` and do not begin with a dot, in the order of their bytes, as lines. */
duet_status dt_folder_names(const char *path, const char *ending, dt_arena *arena, dt_lines *out, duet_error *err);
bool dt_is_folder(const char *path);
/* DUET_DATA unless path is a folder; says what the kind of data set needs. */
duet_status dt_need_folder(const dt_source_kind *kind, const char *path, duet_error *err);
/* The path of the picture folder/stem.EXT with the first ending of those for PNG and JPEG that is there; DUET_DATA: none.
 * from: what asked for it, for the message. NULL with DUET_OK does not occur. */
duet_status dt_find_picture(const char *folder, const char *stem, const char *from, dt_arena *arena, const char **out,
                            duet_error *err);

/* ---- files of pictures, not decoded (encoded.c) ----------------------------------------------------------------- */

/* Makes room for n bytes and sets out->n; what was in it is lost. DUET_DATA: more than a picture can have; DUET_MEMORY. */
duet_status dt_encoded_room(dt_encoded *e, size_t n, duet_error *err);
/* A whole file; out->name is its path. Errors: DUET_IO, DUET_DATA (a folder, a pipe, too large), DUET_MEMORY, with the path. */
duet_status dt_encoded_read_file(const char *path, dt_encoded *out, duet_error *err);
/* dt_source.read by way of its fetch and size: the picture upright and whole. */
duet_status dt_read_fetched(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err);

/* ---- lists of shards (shards.c) -------------------------------------------------------------------------------- */

/* The files that a pattern stands for, in its order: FILE.tar; shard-{000..009}.tar (numbers with leading zeros, or {a,b,c}; several
 * braces vary like the digits of a number); a folder: its *.tar in the order of their bytes. DUET_DATA: none, or a bad brace. */
duet_status dt_shards_list(const char *pattern, dt_arena *arena, dt_lines *out, duet_error *err);
/* Training and test shards of data.path: a folder with train-*.tar and val-*.tar, or with train/ and val/; or TRAIN,VAL: two patterns. */
duet_status dt_shards_of(const dt_source_kind *kind, const char *path, dt_arena *arena, dt_lines out[2], duet_error *err);

/* ---- data sets whose pictures are files (files.c) -------------------------------------------------------------- */

/* Pictures are decoded when they are read, so memory does not depend on the number of records but for their names. */
typedef struct dt_picture_file {
    const char *image, *classes; /* paths; classes: every pixel's; NULL: the picture has `label` */
    int32_t label;
    uint32_t height, width;
} dt_picture_file;

typedef struct dt_picture_files {
    dt_picture_file *at;
    size_t n, capacity;
} dt_picture_files;

/* How a set of files is made: create, add records, say what facts.classes, .labels, names and colours are, finish. Until then,
 * and after an error, dt_source_close(&set->source) frees it. */
typedef struct dt_file_set {
    dt_source source; /* first: a dt_file_set is a dt_source */
    dt_arena arena;   /* names, and whatever the maker keeps */
    dt_picture_files split[2]; /* by dt_split */
    /* Of a value in a file of classes: its class, or DT_IGNORED; where `known` is false, it is an error. Set by
     * dt_file_set_create to 0.. and 255; a maker may change it before it calls finish. */
    uint8_t class_of[256];
    bool known[256];
    bool upright;       /* pictures are turned as their EXIF records say */
    bool say_all;       /* every one of these by name */
    bool skip;          /* files whose heads are no good are left out and said */
    const char *values; /* what is known, for messages: "ids are 0 to 33"; NULL: said by the classes */
    uint8_t ground;     /* with facts.masks: the class that is not foreground */
} dt_file_set;
duet_status dt_file_set_create(const dt_source_kind *kind, size_t classes, dt_file_set **out, duet_error *err);
/* The same for pictures that have a class and no masks: they are seen upright, and can be fetched (dt_source.fetch). */
void dt_file_set_upright(dt_file_set *set);
/* From now on records have masks: 1 where a pixel has a class, and another one than `ground`. */
void dt_file_set_ground(dt_file_set *set, uint8_t ground);
/* image and classes live in the set's arena. */
duet_status dt_file_set_add(dt_file_set *set, dt_split split, const char *image, const char *classes, int32_t label,
                            duet_error *err);
/* Reads the head of every file: there, PNG or JPEG, not too large, classes of the image's size and one value a pixel. Then
 * sets sizes and counts; ImageNet's constants where mean and std are 0. Both splits must have records. */
duet_status dt_file_set_finish(dt_file_set *set, const dt_log_sink *log, duet_error *err);

#endif
