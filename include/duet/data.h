/* Pictures and labels: the built-in data sets, and your own.
 *
 * Pixels are bytes, [height, width, 3], channels innermost, in the order red, green, blue. */
#ifndef DUET_DATA_H
#define DUET_DATA_H

#include <duet/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where things worth knowing go, one sentence each, without a newline. emit may be NULL: then nowhere. */
typedef struct duet_log {
    void (*emit)(void *user, const char *text);
    void *user;
} duet_log;

typedef enum duet_split { DUET_SPLIT_TRAIN, DUET_SPLIT_TEST } duet_split;

typedef struct duet_data_info {
    const char *name;                /* letters, digits, _ and -; it goes into weights files */
    size_t train_images, test_images, classes;
    size_t height, width;            /* pixels; of the highest and of the widest picture where they differ */
    int masks;                       /* 1: records carry a foreground mask */
    float mean[3], std[3];           /* of pixels / 255, for each channel: what networks see is (pixel / 255 - mean) / std */
    const char *const *class_names;  /* [classes], or NULL */
    int pixel_labels;                /* 1: every pixel has a class, not the picture as a whole */
    int mixed_sizes;                 /* 1: pictures differ in size; duet_data_size tells */
    const uint8_t (*colours)[3];     /* [classes] red, green, blue: how pixels of a class are shown; or NULL */
    size_t left_out[2];              /* by duet_split: opened with duet_data_options.skip, how many could not be read and are no records */
} duet_data_info;

enum { DUET_IGNORED = 255 }; /* the class of a pixel that has none; classes of pixels are 0 .. 254 */

/* ---- built-in data sets ------------------------------------------------------------------------------------- */

typedef struct duet_data_kind {
    const char *name, *help;
    const char *needs; /* files to be found at the path: "train.bin and test.bin, or ..."; NULL: none */
} duet_data_kind;

/* Fills *out with data set i and returns 1, or returns 0 past the last. Texts live as long as the library. */
DUET_API int duet_data_kind_at(size_t i, duet_data_kind *out);

/* What is known of the classes of a built-in data set without its files. Texts live as long as the library. */
typedef struct duet_classes {
    size_t n;
    const char *const *names;     /* [n], or NULL */
    const uint8_t (*colours)[3];  /* [n] red, green, blue; or NULL */
    const uint8_t *ids;           /* [n] what a class is called in files for the data set's server; NULL: as here */
} duet_classes;

/* Fills *out and returns 1, or returns 0 where there is no such data set or its classes come from its files. */
DUET_API int duet_data_classes(const char *name, duet_classes *out);

typedef struct duet_data duet_data;

/* Opens a built-in data set. path: the folder or archive with its files; NULL where it needs none. What was found (records,
 * checksums, a short file that was accepted) goes to log, which may be NULL.
 *
 * Owns:    *out is the caller's, until duet_data_close.
 * Errors:  DUET_ARG (no such data set, no path), DUET_DATA, DUET_IO, DUET_MEMORY. */
DUET_API duet_status duet_data_open(const char *name, const char *path, const duet_log *log, duet_data **out, duet_error *err);

/* The same where pictures are files that may be broken one by one: those that show it when the set is opened are left out, and said; and where
 * decoding a picture shows it, duet_network_evaluate measures the next one of the split in its place, as training does with on_error: skip. */
typedef struct duet_data_options {
    int skip;            /* 1: leave them out; 0: as duet_data_open */
    int say_all;         /* 1: each by its name; 0: the first ten */
    const duet_log *log; /* may be NULL */
} duet_data_options;
DUET_API duet_status duet_data_open_as(const char *name, const char *path, const duet_data_options *options, duet_data **out, duet_error *err);

DUET_API void duet_data_close(duet_data *data); /* NULL is fine; nothing may use it any more */

/* Texts are valid as long as data. */
DUET_API void duet_data_describe(const duet_data *data, duet_data_info *out);

/* The size of one record: where sizes are mixed, not all are as large as duet_data_info says.
 *
 * Errors:  DUET_ARG when there is no such record.
 * Threads: any number at once. */
DUET_API duet_status duet_data_size(const duet_data *data, duet_split split, size_t index, size_t *height, size_t *width,
                                    duet_error *err);

/* One record: pixels [height, width, 3], *label, and mask [height, width] of 0 and 1. Any of the three may be NULL; mask is
 * left alone where there are none, and *label is 0 where pixels have classes.
 *
 * Errors:  DUET_ARG when there is no such record; DUET_IO, DUET_DATA, DUET_MEMORY when its file cannot be read.
 * Threads: any number at once. */
DUET_API duet_status duet_data_read(const duet_data *data, duet_split split, size_t index, uint8_t *pixels, int32_t *label,
                                    uint8_t *mask, duet_error *err);

/* The class of every pixel of one record, [height, width]: 0 .. classes-1, or DUET_IGNORED.
 *
 * Errors:  as duet_data_read; DUET_ARG also where pixels have no classes. */
DUET_API duet_status duet_data_read_pixel_labels(const duet_data *data, duet_split split, size_t index, uint8_t *labels,
                                                 duet_error *err);

/* ---- looked through, and packed ------------------------------------------------------------------------------ */

typedef struct duet_data_report {
    size_t pictures[2], broken[2]; /* by duet_split: that could be read, that could not */
    size_t twins;                  /* test pictures whose pixels are those of a training picture */
    size_t jpegs, greys, palettes, cmyks, deep, turned; /* files of that kind; deep: 16 bits a channel; turned: by an EXIF record */
    size_t least[2], most[2];      /* height and width of the pictures with the fewest and the most pixels */
    uint64_t bytes;                /* of files */
    double mean[3], std[3];        /* of pixels / 255, every pixel counting once */
} duet_data_report;

/* Zero, or NULL instead of the whole: what is said in brackets. */
typedef struct duet_data_check_options {
    int threads;                                                   /* [all cores this process may use] */
    void (*broken)(void *user, const char *message);               /* for each picture that cannot be read, in their order */
    void (*twin)(void *user, const char *test, const char *train); /* for each test picture that is a training picture */
    int (*progress)(void *user, size_t done, size_t all);          /* not 0: stop. Called by any thread, one at a time */
    void *user;
} duet_data_check_options;

/* Decodes every picture once. per_class [2][classes]: how many there are, training first; may be NULL.
 *
 * Errors:  DUET_MEMORY; DUET_STOPPED; DUET_ARG where pixels have classes. On error *out and per_class are unspecified. */
DUET_API duet_status duet_data_check(const duet_data *data, const duet_data_check_options *options, size_t *per_class, duet_data_report *out,
                                     duet_error *err);

typedef struct duet_data_pack_options {
    uint64_t shard_bytes; /* [100 million] a shard ends with the picture that reaches it */
    int skip;             /* 1: pictures that cannot be decoded are left out, and said */
    const duet_log *log;
    int (*progress)(void *user, size_t done, size_t all); /* not 0: stop */
    void *user;
} duet_data_pack_options;

/* Packs files of pictures, as they are, into tar files that the data set `tar` reads: train-000000.tar .., val-000000.tar .., classes.txt, in
 * the folder `out`, in a shuffled order that is always the same.
 *
 * Errors:  those of reading, with the picture's name; DUET_ARG: `out` holds shards already, or records are no files; DUET_IO. */
DUET_API duet_status duet_data_pack(const duet_data *data, const char *out, const duet_data_pack_options *options, size_t *shards, size_t *pictures,
                                    duet_error *err);

/* ---- your own ----------------------------------------------------------------------------------------------- */

/* A data set of the caller's, for duet_run_use_data and duet_network_evaluate. */
typedef struct duet_data_source {
    duet_data_info info; /* texts are copied */
    /* Fills pixels and *label (0 .. classes-1), and mask where info.masks and mask is not NULL. index counts from 0 within the
     * split. Must give the same record for the same index every time, and may be called from several threads at once.
     * A label out of range is a mistake of the program: duet says so and aborts. Not used where info.pixel_labels. */
    void (*read)(void *user, duet_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask);
    void (*close)(void *user); /* called once by duet_data_close; may be NULL */
    void *user;
    /* Where info.pixel_labels: the same, with the class of every pixel (unless pixel_labels is NULL) in place of the
     * picture's. */
    void (*read_pixels)(void *user, duet_split split, size_t index, uint8_t *pixels, uint8_t *pixel_labels, uint8_t *mask);
} duet_data_source; /* all its pictures have the size that info says */

/* Owns:    *out is the caller's, until duet_data_close. On error close is not called.
 * Errors:  DUET_ARG when a count, a size, a deviation or the name cannot be; DUET_MEMORY. */
DUET_API duet_status duet_data_create(const duet_data_source *source, duet_data **out, duet_error *err);

#ifdef __cplusplus
}
#endif
#endif
