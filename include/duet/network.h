/* Networks: the models there are, and trained weights put to use. */
#ifndef DUET_NETWORK_H
#define DUET_NETWORK_H

#include <duet/data.h>
#include <duet/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- models ------------------------------------------------------------------------------------------------- */

enum { DUET_MAX_TAPS = 6 };

typedef struct duet_tap {
    const char *name; /* "stage1", .., "features": a map that methods look at */
    size_t channels, height, width;
} duet_tap;

typedef struct duet_model {
    const char *name, *family, *help; /* live as long as the library, as the names of taps do */
    const char *task;                 /* what it is for: "classify", "segment", "denoise" */
    size_t image, image_width;        /* height and width of the picture it is made for, in pixels: what macs and taps are of */
    size_t classes;                   /* that it was counted for; 0: its task has none */
    size_t parameters, buffers;       /* buffers: running statistics, with a counter for each batch norm, as PyTorch counts */
    double macs;                      /* multiply-adds for one picture: convolutions, linear layers, attention; padding counted */
    duet_tap taps[DUET_MAX_TAPS];
    size_t n_taps;
} duet_model;

DUET_API size_t duet_model_count(void);

/* Model i of duet_model_count for so many classes; 0: as many as the data it is made for has. Auxiliary heads are counted in.
 * Errors:  DUET_ARG (i, classes), DUET_MEMORY. */
DUET_API duet_status duet_model_at(size_t i, size_t classes, duet_model *out, duet_error *err);

/* A network layer by layer, as text: names, what each layer puts out, parameters, multiply-adds, taps. model: a name, or the file
 * of a description ("mine.yaml"; docs/models.md). classes 0: its own.
 *
 * Owns:    *out is the caller's, until duet_text_free.
 * Errors:  DUET_ARG (no such model), DUET_RECIPE (a mistake in the file, with its place), DUET_MEMORY. */
DUET_API duet_status duet_model_describe(const char *model, size_t classes, char **out, duet_error *err);

/* ---- trained weights ---------------------------------------------------------------------------------------- */

typedef struct duet_network duet_network;

/* Zero, or NULL instead of the whole: what is said in brackets. */
typedef struct duet_network_options {
    const char *model;  /* [as the file says] */
    size_t classes;     /* [as the file says] */
    const char *noise;  /* of a network that denoises: "linear" or "cosine" [as the file says]; the public DDPM files, which do not say it: linear */
    int64_t timesteps;  /* the same [as the file says, or 1000] */
    const char *device; /* ["cpu"] */
    int threads;        /* [all cores this process may use] */
    size_t batch;       /* pictures computed at once [as many as fit well: 100 small ones, one of a street scene] */
} duet_network_options;

/* Reads a weights file (safetensors, with PyTorch's names) and makes it ready to be used.
 *
 * Owns:    *out is the caller's, until duet_network_close.
 * Errors:  DUET_IO, DUET_FORMAT (damaged; another model's weights: the first tensor that does not fit is named),
 *          DUET_ARG (no such model or device; the file does not say which model it holds; noise or
 *          timesteps that cannot be, or not with this file), DUET_MEMORY. DUET_FORMAT also where nobody says how noise grew in training. */
DUET_API duet_status duet_network_open(const char *weights, const duet_network_options *options, duet_network **out, duet_error *err);
DUET_API void duet_network_close(duet_network *network); /* NULL is fine */

typedef struct duet_network_info {
    const char *model, *data; /* data: what it was trained on, "" when the file does not say; valid as long as the network */
    const char *task;         /* "classify", "segment", "denoise" */
    size_t classes, image;    /* image: the side of the picture that the model is made for, in pixels; of one that is not square: its height */
    int pixel_classes;        /* 1: it names a class for every pixel: duet_network_segment */
    int64_t epoch;            /* finished epochs when it was saved, -1 when the file does not say */
    int normalised;           /* 1: the file says how pictures were normalised in training */
    float mean[3], std[3];    /* [0, 0, 0] and [1, 1, 1] when it does not */
    const char *const *class_names; /* [classes], as in training; NULL when the file does not say; valid as long as the network */
    size_t short_side;        /* above 0: pictures of any size were scaled to this shorter side, and the middle, image x image, was cut out */
} duet_network_info;

DUET_API void duet_network_describe(const duet_network *network, duet_network_info *out);

/* Classifies n pictures: normalises them as in training and runs the network.
 *
 * Shapes:  pixels [n, image, image, 3] bytes; probabilities [n, classes], each row sums to 1.
 * Errors:  DUET_DEVICE; DUET_ARG for a network that does not classify. On error probabilities are unspecified.
 * Threads: one call at a time for one network. */
DUET_API duet_status duet_network_classify(duet_network *network, const uint8_t *pixels, size_t n, float *probabilities, duet_error *err);

/* A picture as the network is to see it: where it was trained on squares made of pictures of any size (duet_network_info.short_side), such
 * a square, turned upright as an EXIF record says; else the picture as duet_picture_read and duet_data_read give it. label: of a record;
 * it and err may be NULL.
 *
 * Owns:    *pixels [height, width, 3] is the caller's, until duet_picture_free. On error nothing is handed out.
 * Errors:  those of duet_picture_read and duet_data_read. */
DUET_API duet_status duet_network_read_picture(const duet_network *network, const char *path, uint8_t **pixels, size_t *height, size_t *width,
                                               duet_error *err);
DUET_API duet_status duet_network_read_record(const duet_network *network, const duet_data *data, duet_split split, size_t index,
                                              uint8_t **pixels, size_t *height, size_t *width, int32_t *label, duet_error *err);

/* Can pictures of this size be given to it? DUET_SHAPE, with what it takes, when not. */
DUET_API duet_status duet_network_check_size(const duet_network *network, size_t height, size_t width, duet_error *err);

/* Names the class of every pixel of one picture, of any size that the model takes. A picture of another size than the last one's
 * costs the network being built anew.
 *
 * Shapes:  pixels [height, width, 3] bytes; classes [height, width], 0 .. classes-1; ties: the lowest.
 * Errors:  DUET_ARG when the network does not name pixels (duet_network_info.pixel_classes), DUET_SHAPE when it does not take this
 *          size, DUET_MEMORY, DUET_DEVICE. On error classes are unspecified, and the network can still be used.
 * Threads: one call at a time for one network. */
DUET_API duet_status duet_network_segment(duet_network *network, const uint8_t *pixels, size_t height, size_t width, uint8_t *classes,
                                          duet_error *err);

/* The same from normalised pictures [n, image, image, 3], to the outputs before the softmax, [n, classes]. */
DUET_API duet_status duet_network_logits(duet_network *network, const float *pictures, size_t n, float *logits, duet_error *err);

/* ---- sampling ----------------------------------------------------------------------------------------------- */

typedef enum duet_sampler { DUET_SAMPLER_DDIM, DUET_SAMPLER_ANCESTRAL } duet_sampler;
typedef enum duet_variance { DUET_VARIANCE_LARGE, DUET_VARIANCE_SMALL } duet_variance;
enum { DUET_SAMPLE_STEPS = 50 }; /* when nothing is said */

typedef struct duet_sample_options {
    duet_sampler sampler;
    int64_t steps;          /* 2 .. the timesteps of training; 0: DUET_SAMPLE_STEPS */
    double eta;             /* ddim: 0 (no noise on the way) .. 1 (as ancestral with the small variance) */
    duet_variance variance; /* ancestral: of the noise on the way, the upper or the lower bound of Ho, Jain, Abbeel 2020 */
    uint64_t seed, first;   /* pictures first .. first + n - 1 of this seed are made */
    /* After every run of the network, of `all`; anything but 0 stops. NULL: nobody looks. */
    int (*progress)(void *user, size_t done, size_t all);
    void *user;
} duet_sample_options;

/* Makes pictures with a network that denoises. A picture depends on the network, the sampler, the seed and its number, not on how many
 * are made at once; all networks start from the same noise.
 *
 * Shapes:  pixels [n, image, image, 3] bytes, values the same as floats in -1..1; either may be NULL. options may be NULL.
 * Errors:  DUET_ARG when the network is one of another task, when steps or eta are out of range; DUET_STOPPED; DUET_NUMERIC,
 *          DUET_MEMORY, DUET_DEVICE. On error both are unspecified.
 * Threads: one call at a time for one network. */
DUET_API duet_status duet_network_sample(duet_network *network, const duet_sample_options *options, size_t n, uint8_t *pixels, float *values,
                                         duet_error *err);

/* ---- measuring ---------------------------------------------------------------------------------------------- */

/* What was measured, in the order of the network's task; the first is what "best" is judged by. Texts live as long as the library.
 * classify: top1, top5 (percent), ce (cross-entropy, nats for a picture), ece (expected calibration error, 15 bins, 0..1). */
enum { DUET_MAX_MEASURES = 16 };
typedef struct duet_measure {
    const char *name, *title, *help; /* "top1", "top-1", "percent of pictures ..." */
    double value;                    /* NAN: nothing was there to be measured */
    int higher_is_better, digits;    /* digits: that are worth showing after the point */
} duet_measure;
typedef struct duet_measures {
    size_t n;
    duet_measure at[DUET_MAX_MEASURES];
    size_t skipped; /* duet_network_evaluate, on data opened with skip: pictures that could not be decoded, the next one measured in their place */
} duet_measures;

/* The value of that name, NAN when there is none. */
DUET_API double duet_measure_of(const duet_measures *measures, const char *name);

/* Measures the network on a split of a data set, with the normalisation its file names (else the data set's). What data opened with
 * duet_data_options.skip has in place of pictures that cannot be decoded goes to its log, which must then still be there.
 *
 * Shapes:  logits [images of the split, classes], filled with the outputs in the order of the records; NULL: not wanted.
 * Errors:  DUET_SHAPE when classes or picture sizes differ, DUET_ARG when logits are wanted of a network that does not classify,
 *          DUET_DEVICE, DUET_MEMORY; DUET_IO, DUET_DATA for a picture that cannot be read, with its name. On error *out is unchanged. */
DUET_API duet_status duet_network_evaluate(duet_network *network, const duet_data *data, duet_split split, float *logits, duet_measures *out,
                                           duet_error *err);

/* The same, and the first measure of every class: per_class [classes], NAN for a class that is absent. segment: intersection over
 * union in percent.
 *
 * Errors:  as duet_network_evaluate; DUET_ARG where the network's task measures nothing of single classes. */
DUET_API duet_status duet_network_evaluate_classes(duet_network *network, const duet_data *data, duet_split split, double *per_class,
                                                   duet_measures *out, duet_error *err);

#ifdef __cplusplus
}
#endif
#endif
