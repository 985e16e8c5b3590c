/* Looking at a run: where its networks look, and where they agree, on single test pictures.
 *
 *     duet_look_open -> duet_look_next, until there are no more -> duet_look_close */
#ifndef DUET_LOOK_H
#define DUET_LOOK_H

#include <duet/data.h>
#include <duet/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Maps of a picture, each on its own grid. The numbers are those of training: the same nodes, with the recipe's options of adm. */
typedef enum duet_map {
    DUET_MAP_TEACHER_ATTENTION,  /* mean over channels of F^2, F the map that the network's head reads */
    DUET_MAP_STUDENT_ATTENTION,
    DUET_MAP_TEACHER_ACTIVATION, /* class activation map: the positive evidence for the true class; of pixels' classes, the sum over those on the
                                  * foreground, so that the data must have masks */
    DUET_MAP_STUDENT_ACTIVATION,
    DUET_MAP_SIMILARITY,         /* S: how alike both are, 0..1 */
    DUET_MAP_CONSENSUS,          /* c: weights of places where they agree, mean 1 */
    DUET_MAP_DIVERGENCE,         /* d: weights of places where they differ, mean 1 */
    DUET_MAP_TEACHER_ERROR,      /* denoise: squared error of the noise that the network sees, the mean over channels */
    DUET_MAP_STUDENT_ERROR,
    DUET_MAPS
} duet_map;

/* Whose weights: what is judged are averaged weights where a run keeps such. Where a run has no file of a kind, the next one is taken. */
typedef enum duet_look_weights {
    DUET_LOOK_BEST, /* of the best epoch, as judged: NAME.best.safetensors */
    DUET_LOOK_LAST, /* of the last checkpoint, as judged: NAME.ema.safetensors, where it is there */
    DUET_LOOK_RAW   /* of the last checkpoint, as trained: NAME.safetensors */
} duet_look_weights;
enum { DUET_LOOK_TIMES = 5 }; /* denoise: how often each picture is looked at */

typedef struct duet_look duet_look;

/* Zero: what is said in brackets. */
typedef struct duet_look_options {
    const char *teacher, *student; /* names of networks of the recipe [the first of that role] */
    const char *path;              /* of the data [as the run's recipe says] */
    duet_look_weights weights;     /* [of the best epoch] */
    size_t first, n;               /* test pictures [the first 8] */
    int threads;                   /* [all cores this process may use] */
} duet_look_options;

/* Opens a run's folder, of a run finished or under way. options may be NULL.
 *
 * Owns:    *out is the caller's, until duet_look_close.
 * Errors:  DUET_IO (no run there, or no weights yet), DUET_ARG (no such network, no network of a role, no such pictures), DUET_RECIPE,
 *          DUET_FORMAT, DUET_SHAPE, DUET_DATA, DUET_MEMORY. */
DUET_API duet_status duet_look_open(const char *folder, const duet_look_options *options, duet_look **out, duet_error *err);
DUET_API void duet_look_close(duet_look *look); /* NULL is fine */

/* Texts are valid as long as the look. */
typedef struct duet_look_info {
    const char *task, *data;
    const char *teacher, *teacher_model, *student, *student_model; /* as the recipe names them */
    const char *teacher_weights, *student_weights;                 /* files of the folder */
    int64_t teacher_epoch, student_epoch;                          /* finished when they were saved; -1: they do not say */
    int teacher_averaged, student_averaged;                        /* 1: averages over the steps */
    const char *const *class_names;                                /* [classes], or NULL */
    const uint8_t (*colours)[3];                                   /* [classes] of pixels, or NULL */
    size_t classes;
} duet_look_info;
DUET_API void duet_look_describe(const duet_look *look, duet_look_info *out);

/* One picture; denoise: one picture under one amount of noise: each comes DUET_LOOK_TIMES times, at rising times, under the same noise. Everything is
 * valid until the next call with this look. */
typedef struct duet_looked {
    size_t index, height, width;  /* index: of the test picture */
    const uint8_t *pixels;        /* [height, width, 3]; NULL: there are no more */
    const uint8_t *mask;          /* [height, width], 1: foreground; NULL: the data has no masks */
    const uint8_t *pixel_labels;  /* [height, width]; NULL: pixels have no classes */
    int32_t label;                /* of the picture; -1: it has none */
    double foreground;            /* share of the picture's labelled pixels that are foreground; NAN: no masks */
    const float *noisy;           /* denoise: what the networks saw, [height, width, 3], -1..1 and beyond; else NULL */
    const float *teacher_estimate, *student_estimate; /* denoise: the picture they take to be behind it, [height, width, 3], -1..1; else NULL */
    int32_t time;                 /* denoise: the step of the diffusion */
    struct {
        size_t height, width;
        const float *values;      /* [height, width]; NULL: the task has no such map */
        double share;             /* of it on the foreground, as metrics.csv has it for an epoch; NAN: no masks, or an error map */
    } maps[DUET_MAPS];
} duet_looked;

/* Errors:  DUET_DATA, DUET_IO, DUET_SHAPE (a picture that the networks do not take), DUET_MEMORY, DUET_DEVICE.
 * Threads: one call at a time for one look. */
DUET_API duet_status duet_look_next(duet_look *look, duet_looked *out, duet_error *err);

#ifdef __cplusplus
}
#endif
#endif
