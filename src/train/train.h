/* Training a recipe: one loop for every method, device and task. It emits events; log, metrics file, progress line and
 * checkpoints are sinks of them. */
#ifndef DT_TRAIN_H
#define DT_TRAIN_H

#include "program/program.h"
#include "recipe/recipe.h"

/* ---- schedule ------------------------------------------------------------------------------------------------ */

/* The length of a run: train.steps, or train.epochs whole epochs. */
int64_t dt_total_steps(const dt_recipe *r, int64_t steps_per_epoch);

/* The learning rate of step `step`, from 0, of dt_total_steps; before a network's lr_scale.
 *
 *     multistep  lr * gamma^(number of milestones <= epoch), epochs counted from 0
 *     cosine     lr * (1 + cos(pi t)) / 2, t from 0 at the end of the warm-up towards 1 at the end of the run
 *     onecycle   from lr/25 to lr over the first 30 % of the steps, then to lr/1e4, both half cosines
 *     constant   lr
 *     poly       lr * (1 - step / steps)^power
 *
 * warmup_epochs: all but onecycle are multiplied by (step + 1) / (warmup_epochs * steps_per_epoch) until that reaches
 * 1, so that the first step already moves. */
double dt_learning_rate(const dt_recipe *r, int64_t step, int64_t steps_per_epoch);

/* ---- weights in files ---------------------------------------------------------------------------------------- */

/* Writes network i as safetensors under PyTorch's names, num_batches_tracked (one I64 per batch norm, after its
 * running_var) included. metadata: n_pairs keys, each followed by its value.
 * Errors:  DUET_IO; DUET_NUMERIC, naming the tensor, when a value is not finite. An older file at `path` is then as it
 * was. */
duet_status dt_weights_save(const dt_state *s, int network, const char *path, const char *const *metadata,
                            size_t n_pairs, duet_error *err);

/* Reads weights of the same model: names, shapes and types must match exactly; the message names the first tensor that
 * does not. The network is restarted (dt_state_restart). On error the state is untouched. */
duet_status dt_weights_load(dt_state *s, int network, const char *path, duet_error *err);

/* The same but for the last layer, which keeps its values whatever the file has there (dt_tensor.head). said: gets a sentence about that. */
duet_status dt_weights_load_body(dt_state *s, int network, const char *path, dt_text *said, duet_error *err);

/* Reads what a file has of the network, which may be a backbone alone under its own names ("conv1.weight" for our
 * "backbone.conv1.weight"); other tensors, also those of another shape, keep their values. left_out: gets a sentence that says how
 * much was read, what was not there, and what of the file was not used. new_head: the last layer is not read.
 * Errors:  DUET_FORMAT when nothing fits or a type does not. On error the state is untouched. */
duet_status dt_weights_load_part(dt_state *s, int network, const char *path, bool new_head, dt_text *left_out, duet_error *err);

/* The seed of data sets that are drawn (shapes): one for all, so that runs with other training seeds, and later
 * evaluations, see the same pictures. */
enum { DT_DATA_SEED = DT_SHAPES_SEED };

/* ---- a network in inference mode ------------------------------------------------------------------------------ */

/* Running statistics, no gradient, a fixed batch; shares the state it was made from, so it always sees the newest
 * weights. */
typedef struct dt_inference {
    dt_graph *graph;
    dt_program *program;
    dt_state *state;          /* whose weights it uses; borrowed, as name and model are */
    const char *name;
    const dt_model *model;
    int network;
    dt_node image, time, output;
    dt_shape shape;           /* of the output */
    bool align;               /* dt_built.align */
    bool pooled;              /* output is dt_built.pooled */
    size_t batch, height, width, classes;
    size_t image_count, output_count; /* floats of one picture, of one output */
    float *padded;            /* [batch, image_count]: where an incomplete batch gets its zeros */
    float *padded_output;     /* [batch, output_count]: what comes out of one */
    int32_t *padded_time;     /* [batch] */
} dt_inference;

/* What a network is built for: how many classes, and pictures of which size. */
typedef struct dt_network_size {
    size_t classes, height, width, batch;
    bool pooled; /* its output is the map before the last layer, averaged over places (dt_built.pooled; classify) */
} dt_network_size;

/* network: which of s's networks; name: for messages and dumps. *out is filled in on success only. */
duet_status dt_inference_create(dt_state *s, int network, const char *name, const dt_model *model, dt_network_size size,
                                dt_inference *out, duet_error *err);
void dt_inference_release(dt_inference *i); /* a zeroed one is fine */
/* The same network for pictures of another size. On error *i is released. */
duet_status dt_inference_resize(dt_inference *i, size_t height, size_t width, duet_error *err);
/* images [n, h, w, 3] normalised, time [n] (denoise; else NULL) -> output [n, ...], NHWC; 1 <= n <= batch. Allocates nothing. */
duet_status dt_inference_run(dt_inference *i, const float *images, const int32_t *time, size_t n, float *output, duet_error *err);

/* A weights file made ready to be used; what it says of itself (model, classes, data, mean, std) is believed and
 * checked. */
typedef struct dt_trained {
    dt_device *device;
    dt_state *state;
    dt_inference network;
    const dt_model *model;
    size_t classes;
    char data[32];          /* the data set it was trained on, "" when the file does not say */
    const dt_task *task;
    dt_task_config config;  /* of a network that denoises: how noise grows */
    float *signal, *noise;  /* the same as tables [timesteps]; NULL for other tasks */
    dt_normalise normalise;
    bool normalised;        /* mean and std are in the file */
    float mean[3], std[3];
    int64_t epoch;          /* -1 when the file does not say */
    dt_squares squares;     /* what pictures were made into to be judged; size 0: they were taken as they are */
    const char **class_names; /* [classes]; NULL: the file does not say */
    dt_arena arena;         /* for them */
} dt_trained;

/* What is said beside a file. Zero: what is in brackets. */
typedef struct dt_trained_spec {
    const char *model;  /* [as the file says] */
    size_t classes;     /* [as the file says] */
    const char *noise;  /* of a network that denoises: "linear", "cosine" [as the file says]; another word than the file's is refused */
    int64_t timesteps;  /* alike [as the file says; 1000 where it does not] */
    const char *device; /* ["cpu"] */
    int threads;        /* [all] */
    size_t batch;       /* [a good one for the model's pictures] */
} dt_trained_spec;

duet_status dt_trained_open(const char *path, const dt_trained_spec *spec, dt_trained **out, duet_error *err);
void dt_trained_close(dt_trained *c);
/* What pictures must look like to it; data (may be NULL): what to believe where the file does not say. */
dt_normalisation dt_trained_normalisation(const dt_trained *c, const dt_data_facts *data);
/* Fixed noise for measuring a network that denoises. Borrows from c. */
dt_noising dt_trained_noising(const dt_trained *c);

/* Pictures to be sampled: numbers first .. first + n - 1 of a seed. */
typedef struct dt_sample_spec {
    dt_sampler sampler;
    uint64_t seed, first;
    size_t n;
    int (*progress)(void *user, size_t done, size_t all); /* after each run of the network; not 0: stop. NULL: nobody looks */
    void *user;
} dt_sample_spec;

/* Samples from a network that denoises, in batches of its size, whose own picture size the pictures get: pixels bytes, values -1..1,
 * [n, image, image, 3] each; either may be NULL. A picture depends on network, sampler, seed and number alone.
 * Errors:  DUET_ARG: another task's network, steps or eta out of range; DUET_NUMERIC; DUET_STOPPED. On error both are unspecified. */
duet_status dt_sample(dt_trained *c, const dt_sample_spec *spec, uint8_t *pixels, float *values, duet_error *err);

/* ---- features of pictures (features.c) -------------------------------------------------------------------------- */

/* Pictures handed out one by one, always in the same order. */
typedef struct dt_pictures {
    size_t n;
    duet_status (*read)(const struct dt_pictures *p, size_t i, size_t height, size_t width, uint8_t *pixels, duet_error *err);
    int (*progress)(void *user, size_t done, size_t all); /* as in dt_sample_spec; the caller's to set */
    void *user;
    const dt_source *source; /* of a data set; borrowed */
    dt_split split;
    const char *folder;      /* of a folder; borrowed */
    const char **names;      /* [n] in the order of their bytes */
    dt_arena arena;
} dt_pictures;
dt_pictures dt_pictures_of_source(const dt_source *source, dt_split split);
/* Its files *.png. DUET_IO; DUET_DATA: there are none; DUET_MEMORY. */
duet_status dt_pictures_of_folder(const char *folder, dt_pictures *out, duet_error *err);
void dt_pictures_release(dt_pictures *p);

/* A classifier that turns pictures into vectors: the map before its last layer, averaged over places. */
typedef struct dt_extractor dt_extractor;
/* Errors:  those of dt_trained_open; DUET_ARG: no classifier; DUET_FORMAT: the file does not say how pictures were normalised. */
duet_status dt_extractor_open(const char *path, int threads, size_t batch, dt_extractor **out, duet_error *err);
void dt_extractor_close(dt_extractor *e);
const char *dt_extractor_name(const dt_extractor *e); /* "resnet20@" and the first 12 digits of the file's SHA-256 */
size_t dt_extractor_dimensions(const dt_extractor *e);
/* Adds the features of pictures first .. first + n - 1. Errors: the reading's, with the picture's name; DUET_SHAPE; DUET_STOPPED. */
duet_status dt_extractor_add(dt_extractor *e, const dt_pictures *p, size_t first, size_t n, dt_moments *to, duet_error *err);

typedef struct dt_evaluation {
    size_t images;
    dt_measures measures[DT_MAX_NETWORKS];
    dt_pair_measures pairs[DT_MAX_NETWORKS][DT_MAX_NETWORKS]; /* [a][b], a < b */
    double *per_class[DT_MAX_NETWORKS]; /* in: NULL, or room for a value of each class (dt_scoring.per_class) */
} dt_evaluation;

/* Networks to be measured, and what for. */
typedef struct dt_subjects {
    dt_inference *networks;
    int n;
    const dt_task *task;
    const dt_task_config *config;
} dt_subjects;

/* Measures networks over one pass of the loader (view 0; its batch no larger than theirs).
 * keep[i]: NULL, or room for network i's outputs of the whole pass, in its order. errors: gets what they get wrong. Both may be NULL.
 * stop: as in dt_run_options; when it is set DUET_STOPPED comes back and *out is untouched. */
duet_status dt_evaluate(const dt_subjects *of, dt_loader *loader, float *const *keep, dt_error_products *errors, const volatile int *stop,
                        dt_evaluation *out, duet_error *err);

/* Says what the loader skipped in the pass that has ended ("epoch 3"), if anything. */
void dt_say_skipped(dt_loader *loader, const char *pass, const dt_log_sink *log);

/* The batch for evaluating `images` pictures: 250, or a nearby divisor that leaves no incomplete last batch. */
size_t dt_evaluation_batch(size_t images);

/* ---- looking at a run (look.c) ---------------------------------------------------------------------------------- */

/* Maps of a picture: of teacher and student, then of both together. */
enum {
    DT_LOOK_ATTENTION,      /* mean_c F^2 of the map that the head reads; the student's follows the teacher's */
    DT_LOOK_ACTIVATION = 2, /* the task's class activation map; alike; not there where the task has none, or needs a mask and there is none */
    DT_LOOK_SIMILARITY = 4, /* S */
    DT_LOOK_CONSENSUS,      /* c */
    DT_LOOK_DIVERGENCE,     /* d */
    DT_LOOK_ERROR,          /* denoise: the mean over channels of (e - eps)^2 at each pixel; of the teacher, then of the student */
    DT_LOOK_MAPS = DT_LOOK_ERROR + 2
};

/* Whose weights. What is judged are averaged weights where a run keeps such; where a run has no file of the kind yet, the next one is taken. */
enum {
    DT_LOOK_BEST, /* of the best epoch, as judged: NAME.best.safetensors */
    DT_LOOK_LAST, /* of the last checkpoint, as judged: NAME.ema.safetensors, where it is there */
    DT_LOOK_RAW   /* of the last checkpoint, as trained: NAME.safetensors */
};
enum { DT_LOOK_TIMES = 5 }; /* denoise: how often each picture is looked at, every time under more noise */

typedef struct dt_look dt_look;
typedef struct dt_look_spec {
    const char *folder;            /* of the run */
    const char *teacher, *student; /* names of networks; NULL: the first with that role */
    const char *path;              /* of the data; NULL: the recipe's */
    int weights;                   /* DT_LOOK_BEST, .. */
    size_t first, n;               /* test pictures */
    int threads;                   /* 0: all */
} dt_look_spec;

typedef struct dt_look_facts {
    const dt_recipe *recipe;
    const dt_data_facts *data;
    const dt_recipe_network *teacher, *student;
    struct {
        char file[160]; /* "student.best.safetensors" */
        int64_t epoch;  /* finished epochs when it was saved; -1: it does not say */
        bool averaged;  /* averages over the steps */
    } weights[2];
} dt_look_facts;

typedef struct dt_look_map {
    size_t height, width;
    const float *values; /* [height, width]; NULL: the task has no such map */
    double share;        /* of it on the foreground, 0..1, as in training; NAN: there is no mask */
} dt_look_map;

/* One picture, or one picture under one amount of noise; everything is valid until the next one. */
typedef struct dt_looked {
    size_t index, height, width;
    const uint8_t *pixels;       /* [height, width, 3]; NULL: there are no more pictures */
    const uint8_t *mask;         /* [height, width] 0/1; NULL: the data has none */
    const uint8_t *pixel_labels; /* [height, width]; NULL: pixels have no classes */
    int32_t label;               /* -1: pictures have no classes */
    double foreground;           /* share of the picture's labelled area that is foreground; NAN: there is no mask */
    const float *noisy;          /* denoise: what networks saw, [height, width, 3]; else NULL */
    const float *estimate[2];    /* denoise: the picture that each thinks is behind it, -1..1, alike; else NULL */
    int32_t time;                /* denoise: how noisy */
    dt_look_map map[DT_LOOK_MAPS];
} dt_looked;

/* Opens a run, finished or under way; its recipe says everything else.
 * Errors:  DUET_IO: no run, no weights yet; DUET_ARG: no such network, no such pictures; those of recipes, weights and data. */
duet_status dt_look_open(const dt_look_spec *spec, dt_look **out, duet_error *err);
const dt_look_facts *dt_look_about(const dt_look *l); /* valid as long as l */
/* denoise: each picture comes DT_LOOK_TIMES times, at the middles of as many equal parts of the times, with the same noise of its own. */
duet_status dt_look_next(dt_look *l, dt_looked *out, duet_error *err);
void dt_look_close(dt_look *l);

/* ---- a step, compiled from a recipe -------------------------------------------------------------------------- */

/* Graph, state and programs of a recipe on a device: what `plan`, `bench` and the loop share. */
typedef struct dt_session {
    const dt_recipe *recipe;  /* borrowed */
    dt_data_facts data;       /* its texts are borrowed from the source */
    dt_device *device;
    dt_graph *graph;          /* the training step */
    dt_peers peers;
    dt_mixing mixing;         /* what peers.targets.mixing points to, with data.mixup */
    dt_losses losses; /* its nodes can be read after a step: losses, terms (of its last batch; a term only when its variant ran), choice */
    double forward_macs; /* multiply-adds of all networks forward, for a batch */
    dt_state *state;
    dt_program *step;
    /* The step under way, or the last one: what of it has run, and sums over that. A step is train.accumulate batches. */
    int64_t batches;
    double loss_sum[DT_MAX_NETWORKS], term_sum[DT_MAX_TERMS];
    dt_text left_out[DT_MAX_NETWORKS]; /* what of a network is not from its init file; empty: all is, or there is none */
    dt_node image[DT_MAX_NETWORKS]; /* input of each network; the same node when views are shared */
    int n_views;
    dt_node class_weights;          /* what peers.targets.class_weights points to, where there are such */
    float least_weight, most_weight; /* of those */
    dt_node time, dropout_key; /* inputs that all networks share; DT_NONE where the task or the models have none */
    size_t image_count;       /* floats of one picture */
    int32_t dropout;          /* what dropout_key is set to: the number of the batch, from 0 */
    /* Tokens of the updates, non-zero when a gradient was not finite; DT_NONE where a variant does not update a network. */
    dt_node finite[DT_MAX_VARIANTS][DT_MAX_NETWORKS];
    dt_inference eval[DT_MAX_NETWORKS]; /* of every network, once dt_session_prepare_evaluation was called; with averaged weights where there are such */
    dt_inference raw[DT_MAX_NETWORKS];  /* and then with the weights as they are; without averages: none */
} dt_session;

/* Where the weights of a session come from. */
typedef enum dt_beginning {
    DT_FIRST_WEIGHTS,   /* the networks' init files, or random by seed */
    DT_FROM_CHECKPOINT, /* dt_checkpoint_load follows: nothing is drawn, and no init file is needed any more */
} dt_beginning;

/* Builds, differentiates and compiles the step, and gives every network its weights. data must hold the training images
 * left after the validation split was taken: methods are checked with it. */
duet_status dt_session_create(const dt_recipe *r, const dt_data_facts *data, dt_beginning from, dt_session **out, duet_error *err);
void dt_session_destroy(dt_session *s);
/* Class weights that follow from the data (task.class_weights: balanced): of each class. Until then all are 1. */
void dt_session_weigh_classes(dt_session *s, const float *weights);
/* How teachers and students meet in ADM: a table of at most 80 columns, nothing where there is no ADM. */
void dt_session_meetings(const dt_session *s, dt_text *out);
/* Compiles `eval`: every network in inference mode, on the session's own weights. A second call does nothing. */
duet_status dt_session_prepare_evaluation(dt_session *s, dt_network_size size, duet_error *err);
/* Networks whose parameters a step changes: neither frozen nor without a loss in every variant. */
bool dt_session_trains(const dt_session *s, int network);
/* A batch of exactly train.batch images: writes inputs, runs, chooses, runs. Weights change with every train.accumulate-th call, which
 * ends a step; lr and epoch are the step's. epoch: from 0. lr: before lr_scale. *variant: which ran (may be NULL). Allocates nothing.
 * Errors:  DUET_NUMERIC names network, tensor and what to try when a loss or a gradient is not finite (the update has
 *          been made: the state is spoilt); DUET_DEVICE. */
duet_status dt_session_step(dt_session *s, const dt_batch *batch, uint32_t epoch, double lr, int *variant,
                            duet_error *err);
/* The loss of a network, or a term, in the step that ran variant `variant`: the mean over its batches; NAN where it has none. */
double dt_session_term(const dt_session *s, int variant, int term);
double dt_session_loss(const dt_session *s, int variant, int network);
/* The 2-norm of a network's gradients in that step, before clipping; NAN where it was not updated, or without train.clip_norm. */
double dt_session_gradient_norm(const dt_session *s, int variant, int network);

/* ---- events and the run -------------------------------------------------------------------------------------- */

typedef struct dt_network_result {
    dt_measures last, best; /* on the test set; best: at best_epoch */
    int64_t best_epoch;     /* from 1; 0: never evaluated */
} dt_network_result;

typedef struct dt_progress {
    int64_t epoch, epochs, step, steps; /* epoch from 1; step of this epoch, from 1 */
    double lr, images_per_s, left_s;
    int n_networks;
    double loss[DT_MAX_NETWORKS];       /* of this step; NAN where a network has none */
} dt_progress;

typedef struct dt_epoch_report {
    int64_t epoch, epochs;              /* finished epoch, from 1 */
    double lr, train_s, eval_s, images_per_s, loader_wait_share; /* lr: of the epoch's last step */
    int n_networks;
    const char *names[DT_MAX_NETWORKS];
    double loss[DT_MAX_NETWORKS];       /* mean over the epoch's steps that had one; NAN: none had */
    bool evaluated, validated;          /* validated: there is a validation split */
    dt_measures measures[DT_MAX_NETWORKS];   /* test set */
    dt_measures validation[DT_MAX_NETWORKS]; /* held-out training images */
} dt_epoch_report;

typedef struct dt_observer {
    void (*progress)(void *user, const dt_progress *p); /* every log_every steps and at least once a second */
    void (*epoch)(void *user, const dt_epoch_report *e);
    void (*meet)(void *user, const char *table); /* dt_session_meetings, once, before the first step; not called where there is nothing to say */
    dt_log_sink log;
    void *user;
} dt_observer;

typedef struct dt_run_options {
    const char *out;         /* the run folder */
    bool resume;             /* continue the run in `out`; without a checkpoint there: start */
    int64_t max_steps; /* 0: no limit; stops after that many steps in total, with a checkpoint: for tests and trials */
    dt_observer observer;
    const volatile int *stop; /* set asynchronously (a signal handler): stop after this step; NULL: never */
    const dt_source *source;  /* a caller's own data set, borrowed, in place of the recipe's; NULL: the recipe's */
} dt_run_options;

typedef struct dt_run_result {
    int n_networks;
    const char *names[DT_MAX_NETWORKS];  /* the recipe's */
    const char *models[DT_MAX_NETWORKS];
    dt_network_result results[DT_MAX_NETWORKS];
    int64_t epochs_done, steps_done;
    bool best_by_validation; /* else by the test set */
    bool finished;           /* false: stopped by max_steps or on request */
    double images_per_s;     /* over all training seconds of the run */
} dt_run_result;

/* Trains. DUET_OK when the run is finished or max_steps was reached, DUET_STOPPED when stopped on request after a
 * checkpoint (result is filled in both times); a run that was finished before returns its results at once. The folder
 * is created only when recipe, data and networks are known to be good; one that holds a run is refused without
 * `resume`. */
duet_status dt_train(const dt_recipe *r, const dt_run_options *o, dt_run_result *result, duet_error *err);

#endif
