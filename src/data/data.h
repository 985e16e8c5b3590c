/* Pictures and labels. A source hands out single records; augmentation and the loader turn them into batches.
 *
 *     source (cifar10, cifar100, shapes, a caller's own) -> split (validation) -> loader: threads, ring of batches
 *
 * Bits depend on (seed, epoch, index) only, never on the number of workers. */
#ifndef DT_DATA_H
#define DT_DATA_H

#include "base/base.h"

typedef struct dt_data_facts {
    const char *name;
    size_t train_images, test_images, classes;
    size_t height, width; /* channels are 3 */
    bool masks;           /* records carry a foreground mask */
    float mean[3], std[3];/* of pixels/255, for normalisation */
    const char *const *class_names; /* [classes], or NULL */
} dt_data_facts;

typedef enum dt_split { DT_SPLIT_TRAIN, DT_SPLIT_TEST } dt_split;

typedef struct dt_source dt_source;
/* A kind of data set. `open` checks everything that can be checked without reading all pixels twice; what it found
 * (records, SHA-256 of known files, a short file that was accepted) goes to the log. path may be NULL: then
 * $DUET_DATA/<name> was already looked up by the caller. */
typedef struct dt_source_kind {
    const char *name, *help, *needs; /* needs: "train.bin and test.bin, or cifar-100-binary.tar.gz"; NULL: nothing */
    duet_status (*open)(const struct dt_source_kind *kind, const char *path, uint64_t seed, const dt_log_sink *log,
                        dt_source **out, duet_error *err);
    const void *data; /* of the kind */
} dt_source_kind;
struct dt_source {
    dt_data_facts facts;
    /* Record `index` of a split: pixels [height, width, 3] bytes (NHWC), its label, and its mask [height, width]
     * bytes 0/1 where facts.masks (mask may be NULL). Thread-safe. */
    void (*read)(const dt_source *s, dt_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask);
    void (*close)(dt_source *s);
};
const dt_source_kind *dt_source_kind_at(size_t i); /* NULL past the end */
/* By name; NULL, with the names there are and the nearest one in err, when there is none. */
const dt_source_kind *dt_source_kind_find(const char *name, duet_error *err);
duet_status dt_source_open(const char *name, const char *path, uint64_t seed, const dt_log_sink *log, dt_source **out,
                           duet_error *err);
void dt_source_close(dt_source *s);

typedef enum dt_augment { DT_AUGMENT_CROP_FLIP, DT_AUGMENT_FLIP, DT_AUGMENT_NONE } dt_augment;
#define DT_AUGMENT_CHOICES "crop_flip|flip|none"
/* crop_flip: zero-pad 4 (zero bytes), random crop of the original size, flip with probability 1/2. Numbers are drawn
 * in the order row, column, flip, whatever `channels` is, so a mask given the same stream moves with its picture.
 * pixels, out: [h, w, channels], not overlapping. */
void dt_augment_apply(dt_augment a, dt_rng rng, const uint8_t *pixels, size_t h, size_t w, size_t channels,
                      uint8_t *out);

typedef struct dt_loader_spec {
    const dt_source *source;
    dt_split split;
    const uint32_t *indices; /* the records to use, borrowed; NULL: all */
    size_t n_indices;
    size_t batch;
    bool drop_last;   /* training: only whole batches */
    bool shuffle;
    dt_augment augment;
    int views;        /* how many independently augmented copies of each image: 1 = shared */
    uint64_t seed;
    int workers;      /* >= 1 threads */
    int slots;        /* ring size; 0: workers + 2 */
} dt_loader_spec;

/* One batch, valid until it is given back. */
typedef struct dt_batch {
    size_t n;               /* images in it (< batch only for the last of a pass without drop_last; the rest is zero) */
    float *images[8];       /* [views] of [batch, height, width, 3], normalised */
    int32_t *labels;        /* [batch] */
    float *mask;            /* [batch, height, width] 0/1 of view 0, augmented like it; NULL without masks */
    int64_t step;           /* position in the pass */
} dt_batch;

/* Prepares batches ahead on `workers` threads of its own.
 *
 * Bits:    record r of view v is augmented by the stream (seed, DT_PURPOSE_AUGMENT, epoch, v << 56 | r), the order of a
 *          shuffled pass is by (seed, DT_PURPOSE_SHUFFLE, epoch, 0): workers and slots change nothing.
 * Owns:    its batches. A batch is the caller's from dt_loader_next to dt_loader_give_back; several may be held, as
 *          many as there are slots, and given back in any order. All must be back before the next dt_loader_start.
 * Errors:  DUET_ARG (batch, views, workers, slots, an index past the end, no whole batch with drop_last), DUET_MEMORY.
 * Threads: one thread at a time calls start, next, give_back and destroy. Nothing is allocated after creation. */
typedef struct dt_loader dt_loader;
duet_status dt_loader_create(const dt_loader_spec *spec, dt_loader **out, duet_error *err);
void dt_loader_destroy(dt_loader *l);            /* stops its threads */
size_t dt_loader_steps(const dt_loader *l);      /* batches of one pass */
/* Starts a pass at a step: epoch decides order and augmentation, so a resumed pass has the same bytes. */
void dt_loader_start(dt_loader *l, uint32_t epoch, size_t first_step);
/* The next batch, or NULL at the end of the pass. Blocks; the seconds waited are added to *wait_s (may be NULL). */
dt_batch *dt_loader_next(dt_loader *l, double *wait_s);
void dt_loader_give_back(dt_loader *l, dt_batch *b);

/* Which training records are held out for validation. Splits 0..n-1 into training and `validation` held-out records
 * by (seed): rest[0..n-validation), held[0..validation), both ascending. */
void dt_split_validation(size_t n, size_t validation, uint64_t seed, uint32_t *rest, uint32_t *held);

/* ---- shapes (DESIGN.md): frozen bytes ------------------------------------------------------------------------ */
enum { DT_SHAPES_SIDE = 32, DT_SHAPES_CLASSES = 20, DT_SHAPES_TRAIN = 10000, DT_SHAPES_TEST = 2000 };
/* The seed of the pictures that everybody means by `shapes`; another one draws others of the same kind. */
enum { DT_SHAPES_SEED = 1 };
/* Image `index` (test images follow the training images) of `seed`: [32, 32, 3] bytes, label, mask [32, 32] 0/1. */
void dt_shapes_draw(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask);

#endif
