/* A run: training of a recipe's networks, with a folder for what comes of it.
 *
 *     duet_recipe_load -> duet_run_create -> [duet_run_use_data] -> duet_run_train -> duet_run_result_of -> duet_run_destroy
 *
 * Runs share nothing: any number may live in one process, each driven by one thread. */
#ifndef DUET_RUN_H
#define DUET_RUN_H

#include <duet/data.h>
#include <duet/error.h>
#include <duet/network.h>
#include <duet/recipe.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DUET_MAX_NETWORKS = 7 };

/* ---- what an observer sees ---------------------------------------------------------------------------------- */

/* After a step: every train.log_every steps and at least once a second. */
typedef struct duet_progress {
    int64_t epoch, epochs;             /* from 1 */
    int64_t step, steps;               /* of this epoch, from 1 */
    double lr, images_per_s, left_s;   /* left_s: seconds until the run ends, as far as can be told */
    size_t n_networks;
    const char *names[DUET_MAX_NETWORKS];
    double loss[DUET_MAX_NETWORKS];    /* of this step; NAN for a network that the step did not train */
} duet_progress;

/* After an epoch. */
typedef struct duet_epoch {
    int64_t epoch, epochs;             /* the finished one, from 1 */
    double lr, train_s, eval_s, images_per_s;
    double loader_wait;                /* share of train_s spent waiting for pictures, 0..1 */
    size_t n_networks;
    const char *names[DUET_MAX_NETWORKS];
    double loss[DUET_MAX_NETWORKS];    /* mean over the epoch; NAN where there was none */
    int evaluated;                     /* 1: test holds measures */
    int validated;                     /* 1: validation does too */
    duet_measures test[DUET_MAX_NETWORKS], validation[DUET_MAX_NETWORKS];
} duet_epoch;

/* Called from the thread in duet_run_train, between steps; what they are given is valid during the call. Each may be NULL. */
typedef struct duet_observer {
    void (*progress)(void *user, const duet_progress *progress);
    void (*epoch)(void *user, const duet_epoch *epoch);
    void (*log)(void *user, const char *text); /* one sentence, without a newline */
    void *user;
    /* Once, before the first step, where the recipe has `adm`: how each teacher and student meet, as a table of lines. */
    void (*meet)(void *user, const char *table);
} duet_observer;

/* ---- the run ------------------------------------------------------------------------------------------------ */

typedef struct duet_run duet_run;

typedef struct duet_run_options {
    const char *out;    /* the run folder; made when recipe and data are known to be good */
    int resume;         /* 1: continue the run in the folder; where there is no checkpoint, start */
    int64_t max_steps;  /* stop after so many steps of the whole run, with a checkpoint; 0: no limit */
    duet_observer observer;
} duet_run_options;

/* Owns:    *out is the caller's, until duet_run_destroy. The recipe is borrowed until then; options are copied.
 * Errors:  DUET_ARG (no folder), DUET_MEMORY. */
DUET_API duet_status duet_run_create(const duet_recipe *recipe, const duet_run_options *options, duet_run **out, duet_error *err);
DUET_API void duet_run_destroy(duet_run *run); /* NULL is fine */

/* Trains on this data set instead of the one that the recipe names. Borrowed until the run is destroyed. Before duet_run_train. */
DUET_API void duet_run_use_data(duet_run *run, const duet_data *data);

/* Trains to the end, to max_steps, or until duet_run_stop. Results are there after DUET_OK and DUET_STOPPED.
 * Once for each run; to go on, create another with `resume`.
 *
 * Errors:  DUET_STOPPED after duet_run_stop, with a checkpoint written; DUET_RECIPE, DUET_SHAPE (networks, data and method do not
 *          fit), DUET_DATA, DUET_IO, DUET_NUMERIC (a loss or gradient is not finite), DUET_DEVICE, DUET_MEMORY. */
DUET_API duet_status duet_run_train(duet_run *run, duet_error *err);

/* Asks the run to stop after the step it is in, with a checkpoint. From any thread, and from a signal handler. */
DUET_API void duet_run_stop(duet_run *run);

typedef struct duet_network_result {
    const char *name, *model;
    duet_measures last, best; /* on the test set */
    int64_t best_epoch;       /* from 1; 0: never measured, and last and best are zero */
} duet_network_result;

typedef struct duet_run_result {
    size_t n_networks;
    duet_network_result networks[DUET_MAX_NETWORKS];
    int64_t epochs_done, steps_done;
    int best_by_validation;   /* 1: the best epoch was chosen on held-out training images; 0: on the test set itself */
    int finished;             /* 0: stopped before its last epoch */
    double images_per_s;      /* over all training seconds */
} duet_run_result;

/* Texts are valid as long as the recipe. All zero before duet_run_train. */
DUET_API void duet_run_result_of(const duet_run *run, duet_run_result *out);

/* ---- looking at a step -------------------------------------------------------------------------------------- */

/* The compiled step of a recipe as text: kernels in their order, bytes, what was fused, which implementation each got; with
 * profile_runs > 0 also the time of each kind of kernel, over so many runs.
 *
 * data:    the data set to compile for; NULL: the recipe's own, and where that cannot be opened because no path is given,
 *          what is known of it.
 * Owns:    *out is the caller's, until duet_text_free. */
DUET_API duet_status duet_plan(const duet_recipe *recipe, const duet_data *data, int profile_runs, char **out, duet_error *err);

typedef struct duet_bench_options {
    size_t classes;      /* 0: 100 */
    size_t image;        /* side of the random pictures; 0: what the first network is made for */
    int64_t warmup;      /* steps before the measured ones, the first included; 0: 3 */
    int64_t steps;       /* at most so many are measured; 0: 50 */
    double max_seconds;  /* and, after five, none that starts later than this; 0: 30 */
    int profile_runs;    /* > 0: fills `profile` */
} duet_bench_options;

typedef struct duet_bench_result {
    int64_t steps;
    size_t batch;        /* pictures of a step: train.batch times train.accumulate */
    int threads;
    double images_per_s; /* batch / median; a picture counts once, although every network sees it */
    double ms_median, ms_min, ms_p90, first_step_s;
    double first_loss;   /* sum of the networks' losses in the first step */
    double peak_rss_mib; /* of the process */
    char device[128];    /* "cpu avx2, 2 threads, ..." */
    char *profile;       /* the caller's, until duet_text_free; NULL unless asked for */
} duet_bench_result;

/* Times the training step of a recipe on one resident batch of random pictures: no loader, no evaluation, no files.
 * options may be NULL.
 * Errors:  those of duet_run_train but for data and files. */
DUET_API duet_status duet_bench_step(const duet_recipe *recipe, const duet_bench_options *options, duet_bench_result *out, duet_error *err);

#ifdef __cplusplus
}
#endif
#endif
