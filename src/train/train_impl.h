/* What the files of src/train share and nobody else sees.
 *
 *     loop.c        the run: data, epochs, stopping, best so far
 *     session.c     recipe -> graph -> program; one step
 *     evaluate.c    networks in inference mode, measures over a data set
 *     weights.c     one network <-> one safetensors file
 *     twins.c       which network a file fits that does not fit the one it was meant for
 *     rates.c       learning rates of single layers
 *     trained.c     a safetensors file, ready to be used
 *     sample.c      pictures from a network that denoises
 *     features.c    what a classifier sees in pictures
 *     checkpoint.c  the whole run <-> state.safetensors
 *     run_folder.c  log.jsonl, metrics.csv, recipe.yaml, environment.json
 *     events.c      what the lines of those files say
 *     pictures.c    names of classes, measured normalisation, pictures that were skipped */
#ifndef DT_TRAIN_IMPL_H
#define DT_TRAIN_IMPL_H

#include "format/format.h"
#include "train/train.h"

/* ---- weights.c: shared with the checkpoint --------------------------------------------------------------------- */

/* The shape of a tensor as files say it: rank numbers of at most 4. */
void dt_tensor_file_shape(const dt_tensor *t, size_t out[4]);
/* The largest tensor of a network, in floats: the size of a buffer that holds any of them. */
size_t dt_network_largest_tensor(const dt_network_state *n);
/* DUET_NUMERIC, naming it, when a value is not finite. */
duet_status dt_check_finite(const char *network, const char *tensor, const float *values, size_t n, duet_error *err);
/* Is `found` an F32 tensor of t's shape? Else a message that names both. */
duet_status dt_check_saved(const dt_saved_tensor *found, const dt_tensor *t, duet_error *err);
/* "[16, 3, 3, 3]" into text; returns text. */
const char *dt_file_shape_text(int rank, const size_t *shape, char text[96]);

/* ---- twins.c ---------------------------------------------------------------------------------------------------- */

/* The first built-in network whose tensors the file has, last layers of any number of classes, and no others; NULL: there is none, or it is
 * the one that not_this is (may be NULL). */
const dt_model *dt_model_of_weights(const dt_saved *file, const dt_network_state *not_this);
/* After the weights of a file were refused for their names or shapes: adds "; these are the shapes of resnet50: HOWresnet50" to err where
 * that is so and the file does not say itself what it holds. err may be NULL. */
void dt_name_twin(const char *path, const dt_network_state *n, const char *how, duet_error *err);

/* ---- rates.c: learning rates of single layers ------------------------------------------------------------------- */

/* The current network of g is about to be built. The recipe's network is borrowed until the next dt_graph_set_network. */
void dt_freeze_layers(dt_graph *g, const dt_recipe_network *n);
/* It was built: do all names fit something, and is something trained? DUET_RECIPE. */
duet_status dt_check_layers(const dt_graph *g, int network, const dt_recipe_network *n, duet_error *err);
/* Before dt_state_learn_by. */
void dt_scale_layers(dt_network_state *state, const dt_recipe_network *n);

/* ---- evaluate.c: a network from a file needs its graph before there is a state ---------------------------------- */

duet_status dt_inference_describe(int network, const char *name, const dt_model *model, dt_network_size size, dt_inference *out,
                                  duet_error *err);
duet_status dt_inference_compile(dt_inference *i, dt_state *s, duet_error *err);

/* ---- the run as it stands -------------------------------------------------------------------------------------- */

/* Sums over the steps of the epoch that is under way. Doubles in a fixed order of addition: an interrupted epoch that
 * goes on from saved sums ends in the same bits. */
typedef struct dt_tally {
    double loss_sum[DT_MAX_NETWORKS];
    int64_t loss_steps[DT_MAX_NETWORKS];
    double term_sum[DT_MAX_TERMS];
    int64_t term_steps[DT_MAX_TERMS];
    int64_t variant_steps[DT_MAX_VARIANTS];
    double train_s, wait_s; /* clocks: the only part that differs from run to run */
} dt_tally;

/* All that a run is, beside its weights. Plain data: saved and restored as a whole. */
typedef struct dt_run_state {
    int64_t epoch;          /* finished epochs = the epoch under way, from 0 */
    int64_t step_of_epoch;  /* steps done of it */
    int64_t step;           /* steps done in all */
    dt_tally tally;
    dt_network_result results[DT_MAX_NETWORKS];
    double best_score[DT_MAX_NETWORKS]; /* the task's first metric, by which `best` was chosen, on the set it was chosen by */
    double total_train_s;               /* of finished epochs */
    float epoch_values
        [DT_MAX_NETWORKS]; /* the method's per-epoch input (KDCL general), valid within the epoch under way */
    int64_t log_bytes, csv_bytes;       /* of the run folder's files when this was saved */
} dt_run_state;

/* ---- checkpoint.c ---------------------------------------------------------------------------------------------- */

/* Writes state.safetensors at `path`, or leaves an older one as it was. Refuses (DUET_NUMERIC) weights that are not
 * finite. */
duet_status dt_checkpoint_save(const dt_session *s, const dt_run_state *run, const char *path, duet_error *err);
/* Reads it back into the session and *run. A checkpoint of another recipe is refused with the first key that differs;
 * on error the session's weights are unspecified. *device: the text of the device it was trained on, in arena. */
duet_status dt_checkpoint_load(dt_session *s, dt_run_state *run, const char *path, dt_arena *arena, const char **device,
                               duet_error *err);

/* ---- pictures.c ------------------------------------------------------------------------------------------------ */

/* "0.5,0.25,1": three finite numbers, or false (trained.c). */
bool dt_three_floats(const char *text, float out[3]);
/* Names of classes, a line each, for weights files; nothing where there are none, or one of them is no line. */
duet_status dt_class_lines(const dt_data_facts *f, dt_text *out, duet_error *err);
/* Weights of classes where the recipe has such, and says the least and the greatest: [classes], from dt_alloc; NULL: it has none. indices, n: the
 * training images that are learned from. Errors: DUET_RECIPE: balanced, and a class has none, or the classes are not known; DUET_MEMORY. */
duet_status dt_class_weights(const dt_recipe *r, const dt_source *source, const uint32_t *indices, size_t n, const dt_log_sink *log, float **out,
                             duet_error *err);
/* Mean and deviation of the training images that are learned from (indices NULL: all), as they are judged, into *facts. */
duet_status dt_measure_normalisation(const dt_recipe *r, const dt_source *source, const uint32_t *indices, size_t n, const dt_log_sink *log,
                                     dt_data_facts *facts, duet_error *err);
/* The same, as a weights file of the run has it. */
duet_status dt_normalisation_of_weights(const char *path, dt_data_facts *facts, duet_error *err);

/* ---- run_folder.c ---------------------------------------------------------------------------------------------- */

/* The folder of a run, its two growing files open for appending. */
typedef struct dt_folder {
    const char *path;
    dt_arena arena;  /* file names */
    int log, csv;    /* file descriptors, -1: closed */
    int64_t log_bytes, csv_bytes;
    dt_text line;    /* grows to its largest line and is then reused: no allocation in a step */
} dt_folder;

typedef enum dt_folder_found { DT_FOLDER_NONE, DT_FOLDER_RUN, DT_FOLDER_CHECKPOINT } dt_folder_found;

/* What is at `path`: nothing of a run, a run without a checkpoint, a run with one. Creates nothing. */
dt_folder_found dt_folder_look(const char *path);
/* Opens a new run's folder: creates it, empties what an earlier start without a checkpoint left, writes recipe.yaml. */
duet_status dt_folder_create(dt_folder *f, const char *path, const dt_recipe *r, duet_error *err);
/* Opens a run's folder to go on: cuts log and metrics back to the lengths of the checkpoint. */
duet_status dt_folder_resume(dt_folder *f, const char *path, int64_t log_bytes, int64_t csv_bytes, duet_error *err);
void dt_folder_close(dt_folder *f); /* a zeroed one with log = csv = -1 is fine */
const char *dt_folder_file(dt_folder *f, const char *name); /* path/name, valid until close; NULL when memory is out */
/* Append f->line to the file and empty it. */
duet_status dt_folder_log(dt_folder *f, duet_error *err);
duet_status dt_folder_csv(dt_folder *f, duet_error *err);
/* What was appended is on the disk: before a checkpoint that counts on it. */
duet_status dt_folder_sync(dt_folder *f, duet_error *err);
duet_status dt_environment_write(dt_folder *f, const dt_session *s, duet_error *err);

/* ---- events.c -------------------------------------------------------------------------------------------------- */

/* What a finished epoch was, for log.jsonl and metrics.csv. */
typedef struct dt_epoch_facts {
    const dt_session *session;
    const dt_run_state *run;     /* tally of the epoch; run->epoch still counts from 0 */
    const dt_epoch_report *report;
    size_t skipped;              /* training images that could not be read */
    const dt_evaluation *test, *validation; /* NULL: not evaluated, no split */
    const dt_evaluation *raw;               /* test set, weights as they are where `test` has averaged ones; NULL: there are no averages */
} dt_epoch_facts;

/* Each appends one line, with its newline, to the text. */
void dt_event_start(dt_text *out, const dt_session *s, const dt_data_facts *data, int64_t steps_per_epoch,
                    const uint32_t *held, size_t n_held);
void dt_event_resume(dt_text *out, const dt_session *s, const dt_run_state *run);
void dt_event_step(dt_text *out, const dt_session *s, const dt_run_state *run, int variant, double lr);
void dt_event_epoch(dt_text *out, const dt_epoch_facts *e);
void dt_event_stop(dt_text *out, const dt_run_state *run, const char *reason);
void dt_event_end(dt_text *out, const dt_session *s, const dt_run_state *run, bool best_by_validation);
void dt_metrics_header(dt_text *out, const dt_session *s, bool validated);
void dt_metrics_row(dt_text *out, const dt_epoch_facts *e, bool validated);

/* "cpu avx2, 2 threads, ..." */
enum { DT_DEVICE_TEXT = 160 };
void dt_session_device_text(const dt_session *s, char text[DT_DEVICE_TEXT]);
/* Position of "{network}" in the losses' means; NAN when no step had one. */
double dt_tally_loss(const dt_tally *t, int network);
double dt_tally_term(const dt_tally *t, int term);

#endif
