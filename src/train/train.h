/* Training a recipe: one loop for every method, device and task. It emits events; log, metrics file, progress line and
 * checkpoints are sinks of them. */
#ifndef DT_TRAIN_H
#define DT_TRAIN_H

#include "program/program.h"
#include "recipe/recipe.h"

/* ---- schedule ------------------------------------------------------------------------------------------------ */

/* The learning rate at a step. multistep: lr * gamma^(milestones <= epoch), epochs counted from 0; cosine: to 0; onecycle: to lr from
 * lr/25 over the first 30 % of the steps, then to lr/1e4, both half cosines; warmup_epochs: linear from 0 before all but onecycle. */
double dt_learning_rate(const dt_recipe *r, int64_t step, int64_t steps_per_epoch);

/* ---- weights in files ---------------------------------------------------------------------------------------- */

/* Writes network i as safetensors under PyTorch's names, num_batches_tracked included; metadata: model, classes, data, mean, std, epoch. */
duet_status dt_weights_save(const dt_state *s, int network, const char *path, const char *const *metadata, size_t n_pairs, duet_error *err);
/* Reads weights of the same model: names, shapes and types must match exactly; the message names the first tensor that does not. */
duet_status dt_weights_load(dt_state *s, int network, const char *path, duet_error *err);

/* ---- a step, compiled from a recipe -------------------------------------------------------------------------- */

/* Graph, state and programs of a recipe on a device: what `plan`, `bench` and the loop share. */
typedef struct dt_session {
    const dt_recipe *recipe;
    dt_device *device;
    dt_graph *graph;           /* the training step */
    dt_peers peers;
    dt_losses losses;
    dt_state *state;
    dt_program *step;
    dt_node image[DT_MAX_NETWORKS]; /* input of each network; the same node when views are shared */
    int n_views;
    dt_node losses_out[DT_MAX_VARIANTS][DT_MAX_NETWORKS];
    /* SGD tokens, non-zero when a gradient was not finite. */
    dt_node finite[DT_MAX_VARIANTS][DT_MAX_NETWORKS];
    /* Inference of every network, for evaluation: one program per network. */
    dt_graph *eval_graph[DT_MAX_NETWORKS];
    dt_program *eval[DT_MAX_NETWORKS];
    dt_node eval_image[DT_MAX_NETWORKS], eval_logits[DT_MAX_NETWORKS];
    size_t eval_batch;
} dt_session;
duet_status dt_session_create(const dt_recipe *r, const dt_data_facts *data, dt_session **out, duet_error *err);
void dt_session_destroy(dt_session *s);
/* One step on a batch: writes inputs, runs, chooses, runs. lr is set by the caller before. *variant: which ran. */
duet_status dt_session_step(dt_session *s, const dt_batch *batch, uint32_t epoch, double lr, int *variant, duet_error *err);

/* ---- events and the run -------------------------------------------------------------------------------------- */

typedef struct dt_network_result {
    dt_measures last, best;
    int64_t best_epoch;
} dt_network_result;

typedef struct dt_progress {
    int64_t epoch, epochs, step, steps; /* step of this epoch */
    double lr, images_per_s, left_s;
    int n_networks;
    double loss[DT_MAX_NETWORKS];
} dt_progress;

typedef struct dt_epoch_report {
    int64_t epoch, epochs;              /* finished epoch, from 1 */
    double lr, train_s, eval_s, images_per_s, loader_wait_share;
    int n_networks;
    const char *names[DT_MAX_NETWORKS];
    double loss[DT_MAX_NETWORKS];       /* mean over the epoch */
    bool evaluated;
    dt_measures measures[DT_MAX_NETWORKS];
} dt_epoch_report;

typedef struct dt_observer {
    void (*progress)(void *user, const dt_progress *p); /* every log_every steps and at least once a second */
    void (*epoch)(void *user, const dt_epoch_report *e);
    dt_log_sink log;
    void *user;
} dt_observer;

typedef struct dt_run_options {
    const char *out;         /* the run folder */
    bool resume;
    int64_t max_steps;       /* 0: no limit; stops after that many steps in total, with a checkpoint: for tests and trials */
    dt_observer observer;
    const volatile int *stop; /* set asynchronously (a signal handler): stop after this step, with a checkpoint */
} dt_run_options;

typedef struct dt_run_result {
    int n_networks;
    const char *names[DT_MAX_NETWORKS];
    dt_network_result results[DT_MAX_NETWORKS];
    int64_t epochs_done, steps_done;
    bool best_by_validation; /* else by the test set */
    bool finished;
    double images_per_s;
} dt_run_result;

/* Trains. DUET_STOPPED when stopped on request after a checkpoint (result is filled in then too). */
duet_status dt_train(const dt_recipe *r, const dt_run_options *o, dt_run_result *result, duet_error *err);

#endif
