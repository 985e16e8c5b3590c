/* What the outputs of a network mean: the loss of one network, how far two outputs are apart, which places count, what is
 * measured. All that a method knows of outputs goes through this table; a new task is one new file.
 *
 *     classify   one label for each picture: logits [n, classes, 1, 1]
 *     segment    one label for each pixel: coarse logits [n, classes, h, w], compared with the mask at its own size
 *     denoise    the noise in a noisy picture: [n, 3, H, W] */
#ifndef DT_TASKS_H
#define DT_TASKS_H

#include "models/models.h"

/* Options of all tasks. Each task's table names its own; the others stay at zero. */
typedef struct dt_task_config {
    double label_smoothing; /* classify; from train.label_smoothing */
    dt_weights class_weights; /* classify, segment */
    int kd_at, kd_places;   /* segment: DT_KD_...: where networks are compared */
    double aux_weight;      /* segment: of the auxiliary head's loss, for networks that have one */
    int64_t timesteps;      /* denoise: T */
    int noise_schedule;     /* denoise: DT_NOISE_... */
    int64_t patch;          /* denoise: ADM compares blocks of patch x patch pixels */
} dt_task_config;
enum { DT_CLASS_WEIGHTS_LIST = -1, DT_CLASS_WEIGHTS_OFF, DT_CLASS_WEIGHTS_BALANCED }; /* dt_weights.word */
#define DT_CLASS_WEIGHTS_CHOICES "off|balanced"
enum { DT_KD_GRID, DT_KD_PIXELS };
enum { DT_KD_VALID, DT_KD_ALL };
enum { DT_NOISE_COSINE, DT_NOISE_LINEAR };

/* Pictures that are two pictures mixed: to what share they are the first, and what the second one's label is. */
typedef struct dt_mixing {
    dt_node labels; /* as dt_targets.labels */
    dt_node share;  /* a scalar, DT_REAL, 0..1 */
} dt_mixing;

/* What outputs are compared with: the input nodes that the loader fills beside the picture. What a task does not need is DT_NONE. */
typedef struct dt_targets {
    dt_node labels;   /* DT_INDEX. classify: [n, 1, 1, 1]; segment: [n, 1, H, W], where a label that is no class is ignored */
    const dt_mixing *mixing; /* NULL: pictures are as they are. Else the truth about a picture is share of its label and 1 - share of the other's */
    const dt_node *class_weights; /* [1, classes, 1, 1] DT_REAL; NULL: all count alike. Of cross-entropies that networks learn from, and of nothing else */
    dt_node noise;    /* denoise: [n, 3, H, W] */
    dt_node mask;     /* foreground at the size of the picture, [n, 1, h, w] DT_REAL, or DT_NONE where the data has none: measured, never learned from */
    size_t classes;
    const dt_task_config *config;
} dt_targets;

/* A number that is measured over a data set. */
typedef struct dt_metric {
    const char *name;  /* key and column: "top1" */
    const char *title; /* in tables: "top-1" */
    const char *help;  /* "percent of pictures whose largest logit is the label's" */
    bool rising;       /* larger is better */
    int digits;        /* after the point, in tables */
} dt_metric;
enum { DT_MAX_METRICS = 16, DT_MAX_PAIR_METRICS = 2 };

/* One batch, evaluated: what a network said and what is true. Plain memory, NHWC. */
typedef struct dt_answers {
    const float *output;
    dt_shape shape;                /* of output; shape.n pictures */
    bool align;                    /* dt_built.align */
    const int32_t *labels;         /* classify: [n]; segment: [n, height, width] */
    const float *noise;            /* denoise: [n, height, width, 3] */
    const int32_t *time;           /* denoise: [n] */
    size_t height, width, classes; /* of the pictures; of the data */
    const dt_task_config *config;
} dt_answers;

/* Sums over a data set, of one network or of two. Doubles and integers, in the order in which pictures arrive. */
typedef struct dt_scoring {
    const dt_metric *metrics;
    int n_metrics;
    size_t (*bytes)(size_t classes);                                        /* of `sums`, zeroed before the first batch */
    void (*add)(void *sums, const dt_answers *own, const dt_answers *other); /* other: the second network of a pair, else NULL */
    void (*finish)(const void *sums, size_t classes, double *values);       /* [n_metrics]; NAN: nothing was there to be measured */
    void (*per_class)(const void *sums, size_t classes, double *values);    /* metrics[0] of each class, NAN: the class is absent; NULL: no such thing */
} dt_scoring;

/* What networks get wrong, r_i: p_i - onehot of a picture or of a labelled pixel, e_i - eps of a picture. */
typedef struct dt_error_products {
    double sum[DT_MAX_NETWORKS][DT_MAX_NETWORKS]; /* of <r_i, r_j> over the units */
    int64_t units;
} dt_error_products;

/* Default of a recipe's key when this is the task: in a section of options ("adm", "method.kd"). */
typedef struct dt_task_default {
    const char *section, *key, *value;
    const char *unless; /* another key of the section which, when given, keeps the table's default; NULL: none */
} dt_task_default;

enum { DT_NEEDS_LABELS = 1, DT_NEEDS_PIXEL_LABELS = 2, DT_NEEDS_NOISE = 4 };

typedef struct dt_task {
    const char *name, *help;
    unsigned needs;                   /* DT_NEEDS_...: of the data */
    bool one_view;                    /* networks are compared place by place, so that all must see the same variation of a picture */
    const dt_option *options;         /* of dt_task_config; ends with a zero row */
    const dt_task_default *defaults;  /* ends with a zero row; NULL: none */
    const dt_scoring *scoring;        /* metrics[0] decides which epoch is best */
    const dt_scoring *pair_scoring;
    /* What cannot be, of options of methods: NULL, or the reason why a softening of predictions is refused. */
    const char *no_temperature;
    const char *no_mixup; /* alike, why pictures cannot be mixed */

    /* The loss L of one network: a scalar. */
    dt_node (*loss)(dt_graph *g, const dt_built *own, const dt_targets *t);

    /* The class that a network names at every pixel of the pictures, [n, height, width]; ties: the lowest. NULL: pixels have no classes. */
    void (*classes_of_pixels)(const dt_answers *own, uint8_t *classes);

    /* ---- base methods -------------------------------------------------------------------------------------- */
    /* What networks exchange: the output, in the form in which it is compared. Units are samples, or places. */
    dt_node (*answer)(dt_graph *g, const dt_built *own, const dt_targets *t);
    /* D(sg target, own): how far own's answer is from a target of the same kind: a scalar, T^2 included. Detaches target. */
    dt_node (*disagreement)(dt_graph *g, dt_node target, const dt_built *own, const dt_targets *t, double temperature);
    /* SwitOKD: how far an output is from the truth, and two outputs from each other. Scalars. */
    dt_node (*distance_to_truth)(dt_graph *g, const dt_built *own, const dt_targets *t);
    dt_node (*distance)(dt_graph *g, const dt_built *a, const dt_built *b, const dt_targets *t);
    /* KDCL's targets, from answers: the loss of each unit; an answer relative to that of the true class (NULL: there are no classes);
     * weights [1, K, 1, 1] on the simplex whose mixture has the smallest loss on the batch. */
    dt_node (*unit_loss)(dt_graph *g, dt_node answer, const dt_targets *t);
    dt_node (*relative)(dt_graph *g, dt_node answer, const dt_targets *t);
    dt_node (*best_mixture)(dt_graph *g, const dt_node *answers, size_t n, const dt_targets *t);
    /* Why KDCL cannot choose among units with these options, as a line to add; NULL, or a function that gives NULL: it can. */
    const char *(*no_units)(const dt_task_config *c);
    /* `general`: adds what n networks get wrong in one batch, unit by unit. */
    void (*error_products)(const dt_answers *of, int n, dt_error_products *to);
    bool logits; /* answers are logits of classes, so that `general` mixes probabilities; else it mixes the answers themselves */

    /* ---- ADM ------------------------------------------------------------------------------------------------ */
    const char *views; /* those that it has, for messages: "class, channel, ..."; every name of dt_adm_options not in it is refused */
    /* What a network says at each place, as a vector: classify, segment: the evidence for each class, W~ F, W~ = W minus its mean over
     * classes, no gradient to W; denoise: its output in blocks. [n, c, h, w] */
    dt_node (*evidence)(dt_graph *g, const dt_built *own, const dt_targets *t);
    /* The evidence for the true class, [n, 1, h, w]; NULL: refused. */
    dt_node (*label_evidence)(dt_graph *g, const dt_built *own, const dt_targets *t);
    /* The class activation map, [n, 1, h, w] on the grid of the evidence: what speaks for the object, none of it below 0. classify: relu of the
     * evidence for the true class; segment (our definition): the sum of relu(evidence) over the classes that the foreground of that picture's
     * mask has. Measured, never learned from. NULL, or DT_NONE: there is no such map. */
    dt_node (*activation)(dt_graph *g, const dt_built *own, const dt_targets *t);
    /* A map of places on the grid of the evidence, [n, 1, h, w], brought to the places at which own's loss can be weighted. */
    dt_node (*to_places)(dt_graph *g, const dt_built *own, dt_node map, const dt_targets *t);
    /* How much of each place of a map of h x w counts, [n, 1, h, w], 0..1; NULL, or DT_NONE: all do. */
    dt_node (*validity)(dt_graph *g, const dt_targets *t, size_t h, size_t w);
    /* `modulate`: the loss of each image when its places are weighted by w (mean 1 over an image's valid places), such that the mean over
     * the batch is the loss: [n, 1, 1, 1]. *logits: those of a head that answered from the weighted map, DT_NONE where there is none. */
    dt_node (*weighted_loss)(dt_graph *g, const dt_built *own, dt_node weights, const dt_targets *t, dt_node *logits);
    /* Share of the batch that logits get right, in percent: a scalar to log, without gradient; NULL: there is no such thing. */
    dt_node (*accuracy)(dt_graph *g, dt_node logits, const dt_targets *t);
} dt_task;

extern const dt_task dt_task_classify, dt_task_segment, dt_task_denoise;
const dt_task *dt_task_find(const char *name, duet_error *err);
const dt_task *dt_task_at(size_t i); /* NULL past the end */

/* denoise: ab[i], i = 0..timesteps-1: the share of the picture left after step i, in double (noise_schedule.c). */
void dt_noise_schedule(const dt_task_config *c, double *ab);
/* sqrt(ab) and sqrt(1 - ab), [timesteps] each, rounded to float. DUET_MEMORY. */
duet_status dt_noise_tables(const dt_task_config *c, float *signal, float *noise, duet_error *err);

/* ---- sampling: from noise to pictures (sampler.c) ---------------------------------------------------------------- */

enum { DT_SAMPLER_DDIM, DT_SAMPLER_ANCESTRAL };
enum { DT_VARIANCE_LARGE, DT_VARIANCE_SMALL };

typedef struct dt_sampler {
    int kind;      /* DT_SAMPLER_... */
    int64_t steps; /* 2 .. timesteps */
    double eta;    /* ddim: 0 (no noise on the way) .. 1 (as ancestral, small) */
    int variance;  /* ancestral: DT_VARIANCE_... */
} dt_sampler;

/* One move, from `time` to the next time, or from the last to the picture. With x the noisy picture, e what the network says and z noise,
 *
 *     x0 = clamp((x - noise e) / signal, -1, 1)      e' = (x - signal x0) / noise
 *     x <- of_x0 x0 + of_x x + of_e e' + spread z */
typedef struct dt_move {
    int32_t time;                     /* what the network is told */
    double signal, noise;             /* sqrt(ab), sqrt(1 - ab) at that time */
    double of_x0, of_x, of_e, spread;
} dt_move;

/* Time i of n (rising, from 0 to timesteps - 1): i (timesteps - 1) / (n - 1), halves to even. n >= 2. */
int64_t dt_sampler_time(int64_t i, int64_t n, int64_t timesteps);
/* The moves of a sampler, in the order in which they are made; moves [steps]. ab [timesteps], of dt_noise_schedule.
 * Errors:  DUET_ARG: steps or eta out of range. */
duet_status dt_sampler_plan(const dt_sampler *s, const double *ab, int64_t timesteps, dt_move *moves, duet_error *err);
/* Makes a move: x [n] in place, in double, rounded. z is not read where spread is 0. */
void dt_sampler_move(const dt_move *m, float *x, const float *e, const float *z, size_t n);
/* The noise of a picture: step 0 is what it starts from, step k belongs to move k (from 1). Depends on nothing else, so that neither the
 * size of a batch nor the network changes it. out [n], NHWC. */
void dt_sampler_noise(uint64_t seed, uint64_t picture, uint32_t step, float *out, size_t n);
/* -1..1 to 0..255: 127.5 x + 127.5, halves up, cut at both ends. */
void dt_sampler_bytes(const float *x, uint8_t *out, size_t n);

/* ---- Frechet distance between two sets of feature vectors (frechet.c) --------------------------------------------- */

/* Of vectors of d numbers, added one by one: the same vectors in the same order give the same bits. */
typedef struct dt_moments {
    size_t n, d;
    double *mean;    /* [d] */
    double *scatter; /* [d, d] by rows, upper triangle: sum of (x - mean)(x - mean)' */
    double *apart;   /* [d]: the last one's difference from the mean */
} dt_moments;
duet_status dt_moments_create(size_t d, dt_moments *out, duet_error *err);
void dt_moments_release(dt_moments *m); /* a zeroed one is fine */
duet_status dt_moments_copy(const dt_moments *m, dt_moments *out, duet_error *err);
void dt_moments_add(dt_moments *m, const float *features);
double dt_moments_covariance(const dt_moments *m, size_t i, size_t j); /* divisor n - 1; n >= 2 */

/* |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2). Of equal sets: rounding, which may be below 0.
 * Errors:  DUET_ARG: not more vectors than dimensions; DUET_SHAPE; DUET_NUMERIC; DUET_MEMORY. On error *out is unchanged. */
duet_status dt_frechet(const dt_moments *a, const dt_moments *b, double *out, duet_error *err);
/* What to expect of two samples of one normal distribution, for n well above d. unit: its covariance is the identity:
 * (d (d + 1)/4 + d)(1/n1 + 1/n2). else: it has the eigenvalues l of the sets' covariances (the mean of both answers):
 * (sum_ij (1 + [i = j]) l_i l_j / (l_i + l_j) / 2 + sum_i l_i)(1/n1 + 1/n2).
 * Errors:  as dt_frechet. */
double dt_frechet_unit_bias(size_t d, size_t n1, size_t n2);
duet_status dt_frechet_bias(const dt_moments *a, const dt_moments *b, double *out, duet_error *err);

/* ---- measures ------------------------------------------------------------------------------------------------ */

/* In the order of the task's metrics. */
typedef struct dt_measures {
    double value[DT_MAX_METRICS];
} dt_measures;
typedef struct dt_pair_measures {
    double value[DT_MAX_PAIR_METRICS];
} dt_pair_measures;

enum { DT_MAX_SEGMENT_CLASSES = 255 };
void dt_segment_classes(const dt_answers *own, uint8_t *classes); /* segment's classes_of_pixels: its scores know how to find them */
void dt_classify_error_products(const dt_answers *of, int n, dt_error_products *to);
void dt_segment_error_products(const dt_answers *of, int n, dt_error_products *to);
void dt_denoise_error_products(const dt_answers *of, int n, dt_error_products *to);
/* One element of the errors of n networks; one unit of logits (errors.c). */
void dt_add_error(dt_error_products *to, const double *error, int n);
void dt_add_class_errors(dt_error_products *to, const float *const *logits, int n, size_t classes, size_t label);
extern const dt_scoring dt_scoring_classify, dt_scoring_classify_pair, dt_scoring_segment, dt_scoring_segment_pair, dt_scoring_denoise,
    dt_scoring_denoise_pair;

#endif
