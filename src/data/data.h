/* Pictures and labels. A source hands out single records; augmentation and the loader turn them into batches.
 *
 *     source (cifar10, shapes, voc, a caller's own, ...) -> split (validation) -> loader: threads, ring of batches
 *
 * Bits depend on (seed, epoch, index) only, never on the number of workers. */
#ifndef DT_DATA_H
#define DT_DATA_H

#include "base/base.h"

/* What is known about a picture: its class, or the class of every pixel. */
typedef enum dt_label_kind { DT_LABELS_CLASS, DT_LABELS_PIXELS } dt_label_kind;
enum {
    DT_IGNORED = 255,     /* the class of a pixel that has none, or that augmentation put there */
    DT_PIXEL_CLASSES = 255 /* most classes of pixels: 0..254 */
};

typedef struct dt_data_facts {
    const char *name;
    size_t train_images, test_images, classes;
    size_t height, width; /* channels are 3. Where pictures differ in size: the greatest height and the greatest width; 0: not known
                           * before they are read, and then they can only be resized */
    bool mixed_sizes;     /* they do differ */
    size_t left_out[2];   /* by dt_split: with dt_source_request.skip, what could not be read and is no record */
    bool masks;           /* records carry a foreground mask */
    dt_label_kind labels;
    float mean[3], std[3];/* of pixels/255, for normalisation */
    const char *const *class_names; /* [classes], or NULL */
    const uint8_t (*colours)[3];    /* [classes] RGB, how pixels of a class are shown; NULL: whoever shows them chooses */
    const uint8_t *class_ids;       /* [classes] what a class is called in files for the data set's server; NULL: as here */
} dt_data_facts;

typedef enum dt_split { DT_SPLIT_TRAIN, DT_SPLIT_TEST } dt_split;

typedef struct dt_source dt_source;
/* What classes are called and how they are shown. */
typedef struct dt_class_table {
    size_t n;
    const char *const *names;
    const uint8_t (*colours)[3]; /* as in dt_data_facts, as ids is; either may be NULL */
    const uint8_t *ids;
} dt_class_table;
/* What a caller wants to open, and how. */
typedef struct dt_source_request {
    const char *name, *path;
    uint64_t seed;
    bool skip;      /* pictures that cannot be read: left out and said, instead of refused with an error */
    bool say_all;   /* with skip: every one by name, not the first ten */
    size_t buffer;  /* tar: over how many pictures a shuffle reaches; 0: DT_TAR_BUFFER */
    const dt_log_sink *log;
} dt_source_request;
enum { DT_TAR_BUFFER = 4096 };

/* A kind of data set. `open` checks everything that can be checked without reading all pixels twice; what it found
 * (records, SHA-256 of known files, a short file that was accepted) goes to the log. q->path may be NULL: then
 * $DUET_DATA/<name> was already looked up by the caller. q->skip matters where pictures are files, which may be broken one by one. */
typedef struct dt_source_kind {
    const char *name, *help, *needs; /* needs: "train.bin and test.bin, or cifar-100-binary.tar.gz"; NULL: nothing */
    duet_status (*open)(const struct dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err);
    const void *data; /* of the kind */
    const dt_class_table *classes; /* known without any file; NULL: only an opened set knows */
} dt_source_kind;
/* What a record is read into. The caller's buffers have room for facts.height x facts.width pixels. */
typedef struct dt_record {
    uint8_t *pixels;       /* [height, width, 3] NHWC */
    uint8_t *mask;         /* [height, width] 0/1, where facts.masks; NULL: not wanted */
    uint8_t *pixel_labels; /* [height, width] 0..classes-1 or DT_IGNORED, where facts.labels is PIXELS; NULL: not wanted */
    int32_t label;         /* where facts.labels is CLASS, else 0 */
    size_t height, width;  /* the record's own, set by read; rows follow each other without gaps */
} dt_record;

/* The bytes of a picture's file, before anybody decodes them. The buffer grows and is used again. */
typedef struct dt_encoded {
    uint8_t *bytes;
    size_t n, room;
    int32_t label;
    char name[512]; /* for messages: the file, or the archive and the member; long ones are cut */
} dt_encoded;
void dt_encoded_release(dt_encoded *e); /* a zeroed one is fine */

struct dt_source {
    dt_data_facts facts;
    /* Fills *out with record `index` of a split. Thread-safe. Sources that decode files may fail (DUET_IO, DUET_DATA,
     * DUET_MEMORY), with the file's name in err; the buffers are then unspecified. */
    duet_status (*read)(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err);
    /* The size of a record, without decoding it. NULL: facts.height, facts.width, always. Thread-safe. */
    void (*size)(const dt_source *s, dt_split split, size_t index, size_t *height, size_t *width);
    /* The file of a record, where records are files of PNG or JPEG and are meant to be seen upright: whoever needs a part of a
     * picture, or a small one, decodes for himself. NULL: only `read`. Thread-safe; errors as read's. */
    duet_status (*fetch)(const dt_source *s, dt_split split, size_t index, dt_encoded *out, duet_error *err);
    /* The class of a record, where facts.labels is CLASS, without reading its picture; NULL: only `read` knows it. Thread-safe. */
    int32_t (*label)(const dt_source *s, dt_split split, size_t index);
    /* The order of a pass, where it is not any order at the same cost. order[n] holds records in ascending order, and is shuffled by
     * (seed, epoch) alone; scratch has room for 2 n. NULL: dt_shuffle. Thread-safe. */
    void (*shuffle)(const dt_source *s, dt_split split, uint32_t *order, uint32_t *scratch, size_t n, uint64_t seed, uint32_t epoch);
    void (*close)(dt_source *s);
};
/* The size of a record, whether the source has a function for it or not. */
void dt_source_size(const dt_source *s, dt_split split, size_t index, size_t *height, size_t *width);
const dt_source_kind *dt_source_kind_at(size_t i); /* NULL past the end */
/* By name; NULL, with the names there are and the nearest one in err, when there is none. */
const dt_source_kind *dt_source_kind_find(const char *name, duet_error *err);
duet_status dt_source_open(const char *name, const char *path, uint64_t seed, const dt_log_sink *log, dt_source **out,
                           duet_error *err);
duet_status dt_source_open_as(const dt_source_request *q, dt_source **out, duet_error *err);
void dt_source_close(dt_source *s);

/* ---- a whole data set, looked through and packed ----------------------------------------------------------------- */

typedef int dt_progress_call(void *user, size_t done, size_t all); /* not 0: stop */

/* What dt_check_data found. Counts are of pictures that could be read. */
typedef struct dt_data_report {
    size_t pictures[2], broken[2]; /* by dt_split */
    size_t twins;                  /* validation pictures whose pixels are those of a training picture */
    size_t jpegs, greys, palettes, cmyks, deep, turned; /* deep: 16 bits; the rest of the files are PNGs */
    size_t least[2], most[2];      /* height and width of the pictures with the fewest and the most pixels */
    uint64_t bytes;                /* of files */
    double mean[3], std[3];        /* of pixels / 255, every pixel counting once */
    size_t *per_class[2];          /* in: NULL, or room for [classes], zero */
} dt_data_report;

typedef struct dt_check_request {
    int threads;
    void (*broken)(void *user, const char *message);                  /* in the order of the records, after the pass */
    void (*twin)(void *user, const char *validation, const char *training);
    dt_progress_call *progress;    /* any of the three may be NULL */
    void *user;
} dt_check_request;
/* Decodes every picture of both splits. Errors: DUET_MEMORY, DUET_STOPPED; DUET_ARG: pixels have classes. */
duet_status dt_check_data(const dt_source *s, const dt_check_request *q, dt_data_report *out, duet_error *err);

typedef struct dt_pack_request {
    const char *out;         /* the folder: made where it is missing; must hold no shards */
    uint64_t shard_bytes;    /* a shard ends with the picture that reaches this */
    bool skip;               /* pictures that cannot be decoded are left out and said */
    const dt_log_sink *log;
    dt_progress_call *progress;
    void *user;
} dt_pack_request;
/* Writes out/train-000000.tar .., out/val-000000.tar .. and, where classes have names, out/classes.txt: the files as they are, in a
 * shuffled order that is the same every time, with equal bytes for equal files. *shards, *pictures: how many in all.
 * Errors: those of reading, with the file's name; DUET_ARG: shards are there, records are no files; DUET_IO, DUET_STOPPED. */
duet_status dt_pack_data(const dt_source *s, const dt_pack_request *q, size_t *shards, size_t *pictures, duet_error *err);

/* ---- augmentation ---------------------------------------------------------------------------------------------- */

typedef enum dt_augment { DT_AUGMENT_CROP_FLIP, DT_AUGMENT_FLIP, DT_AUGMENT_NONE, DT_AUGMENT_RESIZE } dt_augment;
#define DT_AUGMENT_CHOICES "crop_flip|flip|none|resize"
/* crop_flip: zero-pad 4 (zero bytes), random crop of the original size, flip with probability 1/2. Numbers are drawn
 * in the order row, column, flip, whatever `channels` is, so a mask given the same stream moves with its picture.
 * pixels, out: [h, w, channels], not overlapping. */
void dt_augment_apply(dt_augment a, dt_rng rng, const uint8_t *pixels, size_t h, size_t w, size_t channels,
                      uint8_t *out);
/* The same for classes of pixels: the padding is DT_IGNORED. */
void dt_augment_labels(dt_augment a, dt_rng rng, const uint8_t *labels, size_t h, size_t w, uint8_t *out);

/* Cutting pictures of any size to one size. All zero: not used, pictures keep their own size.
 *
 * With `augment` crop_flip or flip: the picture is scaled by a random whole number of per cent in low, low + 10, ..,
 * high (bilinear, pixel centres aligned, rounded to bytes; masks and classes: the nearest pixel), zeros are added to the
 * right and below where it is then smaller than the crop (0 *after* normalisation; classes: DT_IGNORED), a place of the
 * crop is drawn, and it is flipped with probability 1/2. Numbers are drawn in the order scale, row, column, flip.
 * With `none`: not scaled, padded alike; no picture may be larger than the crop. */
typedef struct dt_crop {
    size_t height, width;      /* of the result; both or neither are 0 */
    int scale_low, scale_high; /* per cent; 0, 0: 100, 100 */
} dt_crop;

/* How the colours of a picture are varied: a factor each, 1 leaves it as it is. */
typedef struct dt_colouring {
    float brightness, contrast, saturation;
    unsigned order; /* which is done first, second, third: 0..5, the permutations of the three in lexical order */
} dt_colouring;

/* DT_AUGMENT_RESIZE: pictures of any size become squares of one.
 *
 * random (training): a rectangle of scale[0]..scale[1] of the picture's area and of a ratio width : height of ratio[0]..ratio[1], whose
 * logarithm is uniform; ten attempts to lay it inside the picture, then the largest middle part whose ratio is allowed; scaled to the
 * square; mirrored with probability 1/2 where flip; then brightness, contrast, saturation each by a factor that is uniform in
 * max(0, 1 - x)..1 + x, in a random order. Numbers are drawn in that order: area, ratio of each attempt, row, column; flip; order, brightness,
 * contrast, saturation, those that are used. These are torchvision's RandomResizedCrop, RandomHorizontalFlip and ColorJitter.
 * else: the shorter side is scaled to short_side, and the square is cut out of the middle (Resize, CenterCrop); flip and colours as above. */
typedef struct dt_squares {
    size_t size, short_side; /* pixels; size 0: not used */
    bool random, flip;
    double scale[2], ratio[2];
    double brightness, contrast, saturation; /* 0: left alone */
} dt_squares;

/* One picture as it is judged: a file, or a record. out [size, size, 3]; label may be NULL. The same bytes as the loader's.
 * Errors: those of reading, with the file's name. */
duet_status dt_square_of_file(const dt_squares *to, const char *path, uint8_t *out, duet_error *err);
duet_status dt_square_of_record(const dt_squares *to, const dt_source *s, dt_split split, size_t index, uint8_t *out, int32_t *label,
                                duet_error *err);

/* ---- what networks see ----------------------------------------------------------------------------------------- */

typedef enum dt_normalise { DT_NORMALISE_DATA, DT_NORMALISE_IMAGENET, DT_NORMALISE_CIRKD, DT_NORMALISE_MEASURE, DT_NORMALISE_SYMMETRIC } dt_normalise;
#define DT_NORMALISE_CHOICES "data|imagenet|cirkd|measure"
extern const char *const dt_normalise_names[]; /* in the order of dt_normalise; NULL at the end */
/* A byte becomes (byte / unit - mean) / std of its channel. */
typedef struct dt_normalisation {
    float unit, mean[3], std[3]; /* mean and std in the order in which networks see the channels */
    bool bgr;                    /* blue first */
} dt_normalisation;
/* data: the data set's constants; imagenet: torchvision's; cirkd: BGR minus (104.007, 116.669, 122.679), not divided;
 * measure: as data, where the caller has put what dt_measure_pixels found into *f; symmetric: byte / 127.5 - 1. */
dt_normalisation dt_normalisation_of(dt_normalise n, const dt_data_facts *f);

/* Noise for learning to denoise: the picture becomes x_t = signal[t] x_0 + noise[t] eps.
 *
 * eps is normal, drawn pixel by pixel and channel by channel (NHWC). dt_rng_normal computes in double and rounds to
 * float: machines whose logarithm or cosine differ in the last bits of a double give the same floats but for one in
 * hundreds of millions. */
typedef struct dt_noising {
    int T;                      /* times 0..T-1 */
    const float *signal, *noise;/* [T]; borrowed */
    bool fixed; /* false (training): record r gets t and eps by (seed, DT_PURPOSE_TIMESTEP and _NOISE, epoch, r).
                 * true (validation): place k of the n in a pass gets t = floor(k T / n), eps by (seed,
                 * DT_PURPOSE_VALIDATION, 0, k), whatever the epoch */
} dt_noising;
/* Turns image [n], x_0, into x_t in place and sets eps [n]. */
void dt_noise_apply(const dt_noising *noising, int32_t time, dt_rng eps_stream, size_t n, float *image, float *eps);

/* ---- the loader ------------------------------------------------------------------------------------------------ */

typedef struct dt_loader_spec {
    const dt_source *source;
    dt_split split;
    const uint32_t *indices; /* the records to use, borrowed; NULL: all */
    size_t n_indices;
    size_t batch;
    bool drop_last;   /* training: only whole batches */
    size_t steps;     /* a pass ends after so many batches; 0, or more than there are: with the last */
    bool shuffle;
    dt_augment augment;
    dt_crop crop;
    dt_squares squares; /* size above 0: in place of augment and crop, for data whose pictures have classes; masks are not given then */
    const dt_normalisation *normalise; /* borrowed until dt_loader_create returns; NULL: DT_NORMALISE_DATA */
    const dt_noising *noising;         /* borrowed as long as the loader; NULL: none */
    int views;        /* how many independently augmented copies of each image: 1 = shared */
    double mixup;     /* above 0: alpha; see dt_loader */
    uint64_t seed;
    bool skip;        /* in the place of a record that cannot be read stands the next one of the pass that can */
    int workers;      /* >= 1 threads */
    int slots;        /* ring size; 0: workers + 2 */
} dt_loader_spec;

/* One batch, valid until it is given back. */
typedef struct dt_batch {
    size_t n;               /* images in it (< batch only for the last of a pass without drop_last; the rest is zero) */
    size_t height, width;   /* of its images: the same in every batch, unless the source's sizes are mixed and not cropped */
    float *images[8];       /* [views] of [batch, height, width, 3], normalised; with noising: x_t */
    int32_t *labels;        /* [batch] */
    int32_t *other_labels;  /* [batch] of the picture that is mixed into this one, 1 - share of it; NULL without mixup */
    float share;
    int32_t *pixel_labels;  /* [batch, height, width] augmented like the image, the rest DT_IGNORED; NULL without */
    float *mask;            /* [batch, height, width] 0/1 of view 0, augmented like it; NULL without masks */
    float *noise;           /* [batch, height, width, 3]: eps; NULL without noising */
    int32_t *time;          /* [batch]: t; NULL without noising */
    int64_t step;           /* position in the pass */
} dt_batch;

/* Prepares batches ahead on `workers` threads of its own.
 *
 * Bits:    record r of view v is augmented by the stream (seed, DT_PURPOSE_AUGMENT, epoch, v << 56 | r), the order of a
 *          shuffled pass is by (seed, DT_PURPOSE_SHUFFLE, epoch, 0): workers and slots change nothing.
 * Mixup:   (Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018, arXiv:1710.09412) for each batch one share is drawn from Beta(alpha, alpha) and
 *          one permutation p of its pictures, by (seed, DT_PURPOSE_MIXUP, epoch, step); picture i becomes share x_i + (1 - share) x_p(i) after
 *          augmentation and normalisation, a mask alike. All views are mixed alike: view v of two records with view v, by the same share.
 * Skip:    the record in place p of a pass that cannot be read is replaced by that in place p + 1, p + 2, .. (after the last the
 *          first), varied by the random numbers of the one it stands for. After 1000 in vain the pass ends with an error.
 * Owns:    its batches. A batch is the caller's from dt_loader_next to dt_loader_give_back; several may be held, as
 *          many as there are slots, and given back in any order. All must be back before the next dt_loader_start.
 * Errors:  DUET_ARG (batch, views, workers, slots, an index past the end, no whole batch with drop_last; a crop that
 *          cannot be; several views, or mixup, with classes of pixels or with noise, where all networks see one geometry; more than
 *          one picture a batch where sizes are mixed and there is no crop), DUET_MEMORY.
 * Threads: one thread at a time calls start, next, give_back and destroy. Nothing is allocated after creation, but
 *          by libraries that decode files, and where pictures are resized: a worker keeps the largest file and picture that it met. */
typedef struct dt_loader dt_loader;
duet_status dt_loader_create(const dt_loader_spec *spec, dt_loader **out, duet_error *err);
void dt_loader_destroy(dt_loader *l);            /* stops its threads */
size_t dt_loader_steps(const dt_loader *l);      /* batches of one pass */
/* Starts a pass at a step: epoch decides order and augmentation, so a resumed pass has the same bytes. */
void dt_loader_start(dt_loader *l, uint32_t epoch, size_t first_step);
/* The next batch, or NULL at the end of the pass, or where a record could not be read: dt_loader_status tells them apart.
 * Blocks; the seconds waited are added to *wait_s (may be NULL). */
dt_batch *dt_loader_next(dt_loader *l, double *wait_s);
void dt_loader_give_back(dt_loader *l, dt_batch *b);
/* After dt_loader_next gave NULL: DUET_OK at the end of the pass, else what was wrong with the first record that could
 * not be read, the same whatever the number of workers. Forgotten by the next dt_loader_start. */
duet_status dt_loader_status(const dt_loader *l, duet_error *err);

/* How many records of the pass that was started last have had another in their place so far; *first: what was wrong with the first of
 * them in the order of the pass, "" for none; valid until the next dt_loader_start. */
size_t dt_loader_skipped(dt_loader *l, const char **first);

/* Mean and standard deviation of pixels / 255, channel by channel, over the records of a loader's spec (augmented as it says; it is
 * the caller who leaves that out), at most `most` of them, evenly spread; *n: how many they were. Sums are exact: the same on
 * every machine, whatever the workers. Errors: the loader's; DUET_DATA: a channel is the same everywhere. */
duet_status dt_measure_pixels(const dt_loader_spec *spec, size_t most, float mean[3], float std[3], size_t *n, duet_error *err);

/* How many of the training records indices[0..n) (NULL: the first n) have each class: counts [facts.classes]. False: the source has
 * no `label`. */
bool dt_count_classes(const dt_source *s, const uint32_t *indices, size_t n, size_t *counts);

/* Which training records are held out for validation. Splits 0..n-1 into training and `validation` held-out records
 * by (seed): rest[0..n-validation), held[0..validation), both ascending. */
void dt_split_validation(size_t n, size_t validation, uint64_t seed, uint32_t *rest, uint32_t *held);

/* ---- drawn data sets: frozen bytes ----------------------------------------------------------------------------- */
enum { DT_SHAPES_SIDE = 32, DT_SHAPES_CLASSES = 20, DT_SHAPES_TRAIN = 10000, DT_SHAPES_TEST = 2000 };
enum { DT_SHAPES_SEG_SIDE = 64, DT_SHAPES_SEG_CLASSES = 11, DT_SHAPES_SEG_TRAIN = 4000, DT_SHAPES_SEG_TEST = 500 };
enum { DT_SHAPES_PLAIN_SIDE = 32, DT_SHAPES_PLAIN_CLASSES = 10, DT_SHAPES_PLAIN_TRAIN = 10000, DT_SHAPES_PLAIN_TEST = 2000 };
/* The seed of the pictures that everybody means by their names; another one draws others of the same kind. */
enum { DT_SHAPES_SEED = 1 };
/* Image `index` (test images follow the training images) of `seed`: [32, 32, 3] bytes, label, mask [32, 32] 0/1 (may be
 * NULL). */
void dt_shapes_draw(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask);
/* [64, 64, 3] bytes, the class of every pixel [64, 64], mask [64, 64]: 1 on any object. */
void dt_shapes_seg_draw(uint64_t seed, size_t index, uint8_t *pixels, uint8_t *labels, uint8_t *mask);
/* As dt_shapes_draw. */
void dt_shapes_plain_draw(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask);

#endif
