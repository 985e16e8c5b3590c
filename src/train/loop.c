/* One loop for every method, device and task.
 *
 *     open     data -> validation split -> session -> folder -> start, or resume from a checkpoint
 *     epoch    [method's refresh] steps, evaluation, a row, weights that are better than before, a checkpoint
 *     stop     asked for or at max_steps: a checkpoint in the middle of an epoch, sums and all
 *
 * dt_run_state is the run: whatever it does not hold is a function of the recipe, the data and the numbers in it. So a
 * checkpoint after any step is a checkpoint of everything, and a resumed run passes through the same states, bit by bit.
 *
 * Order within an epoch's end: log and metrics first, then weights, then the checkpoint that knows the files' lengths.
 * Killed in between, the run repeats from the checkpoint before and writes the same files again. */
#include "train_impl.h"

#include <math.h>
#include <string.h>

typedef enum dt_go { GO_ON, STOP_AT_MAX_STEPS, STOP_REQUESTED } dt_go;

typedef struct dt_run {
    const dt_recipe *given;           /* as it came, for recipe.yaml */
    const dt_recipe *recipe;          /* &own: the same, but train.epochs is the number of epochs there are, begun ones too */
    dt_recipe own;                    /* borrows everything of `given`; never destroyed */
    const dt_run_options *options;
    const dt_source *source;
    dt_source *opened;                /* source, when this run opened it; NULL: the caller's */
    dt_data_facts facts;              /* of what the step sees: train_images are those left to train on, the size is the crop's */
    dt_noising drawn, fixed;          /* of such a task: in training, in evaluations */
    float *signal, *noise;            /* [timesteps], for a task that needs noise; else NULL */
    uint32_t *rest, *held;            /* training images to learn from, and held out; NULL without a split */
    size_t n_held;
    dt_loader *train, *test, *validation;
    dt_session *session;
    dt_text class_names;              /* a line each, for weights files; empty: there are none */
    dt_folder folder;
    dt_run_state state;
    int64_t steps_per_epoch;
    double eval_s, last_progress_s;   /* duration of the last evaluation; time of the last progress event */
    dt_evaluation *evaluations;       /* [3]: test, validation, test with raw weights where there are averaged ones */
} dt_run;

/* ---- opening --------------------------------------------------------------------------------------------------- */

static duet_status refuse_used_folder(const dt_run_options *o, dt_folder_found found, duet_error *err)
{
    if (found == DT_FOLDER_NONE || o->resume) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%s: already holds a run%s; continue it with --resume, or choose another folder",
                   o->out, found == DT_FOLDER_CHECKPOINT ? " with a checkpoint" : "");
}

static int64_t images_of_step(const dt_recipe *r) { return r->train.batch * r->train.accumulate; }

/* Does the data have what the task needs? */
static duet_status check_data(const dt_run *run, duet_error *err)
{
    const dt_task *task = run->recipe->task;
    const dt_data_facts *f = &run->facts;
    if (task->needs & DT_NEEDS_PIXEL_LABELS && f->labels != DT_LABELS_PIXELS)
        return dt_fail(err, DUET_RECIPE, "data.name: task %s needs a class for every pixel, and %s has one for each picture; choose another data "
                       "set (see `duet data`)", task->name, f->name);
    if (task->needs & DT_NEEDS_LABELS && f->labels != DT_LABELS_CLASS)
        return dt_fail(err, DUET_RECIPE, "data.name: task %s needs a class for each picture, and %s has one for every pixel; add `task: {name: "
                       "segment}`, or choose another data set", task->name, f->name);
    if (f->mixed_sizes)
        return dt_fail(err, DUET_RECIPE, "data.crop: the pictures of %s differ in size; add `crop: [HEIGHT, WIDTH]` to `data:`, the size to train on%s",
                       f->name, f->labels == DT_LABELS_CLASS ? ", or `augment: {size: SIDE}`, which resizes" : "");
    return DUET_OK;
}

static duet_status split_data(dt_run *run, duet_error *err)
{
    const size_t n = run->source->facts.train_images;
    const int64_t validation = run->recipe->data.validation, images = images_of_step(run->recipe);
    if (validation < 0 || (size_t)validation >= n)
        return dt_fail(err, DUET_RECIPE,
                       "data.validation: %lld images cannot be held out of %zu training images; at least those of one step "
                       "(%lld) must be left",
                       (long long)validation, n, (long long)images);
    run->n_held = (size_t)validation;
    run->facts = dt_recipe_facts(run->recipe, &run->source->facts);
    DT_TRY(check_data(run, err));
    run->steps_per_epoch = (int64_t)run->facts.train_images / images;
    if (run->steps_per_epoch < 1)
        return dt_fail(
            err, DUET_RECIPE,
            "train.batch%s: %lld is more than the %zu training images that are left; at most that many are accepted",
            run->recipe->train.accumulate > 1 ? " times train.accumulate" : "", (long long)images, run->facts.train_images);
    run->own.train.epochs = (dt_total_steps(run->recipe, run->steps_per_epoch) - 1) / run->steps_per_epoch + 1;
    if (!run->n_held) return DUET_OK;
    run->rest = dt_alloc(run->facts.train_images, sizeof *run->rest);
    run->held = dt_alloc(run->n_held, sizeof *run->held);
    if (!run->rest || !run->held) return dt_fail(err, DUET_MEMORY, "no memory for the validation split");
    dt_split_validation(n, run->n_held, (uint64_t)run->recipe->train.seed, run->rest, run->held);
    return DUET_OK;
}

static dt_crop crop_of(const dt_recipe *r)
{
    if (!r->data.crop.n) return (dt_crop){0};
    return (dt_crop){.height = (size_t)r->data.crop.at[0], .width = (size_t)r->data.crop.at[1],
                     .scale_low = (int)r->data.scale.at[0], .scale_high = (int)r->data.scale.at[1]};
}

/* As many pictures at once as fit well: fewer where they are large. */
static size_t evaluation_batch(const dt_run *run)
{
    enum { PLACES = 250 * 64 * 64 };
    const size_t batch = dt_evaluation_batch(run->facts.test_images);
    if (!dt_recipe_resizes(run->recipe)) return run->source->facts.mixed_sizes ? 1 : batch;
    const size_t most = PLACES / (run->facts.height * run->facts.width) + 1;
    return batch < most ? batch : most;
}

/* The tables of a task that needs noise. */
static duet_status make_noise(dt_run *run, duet_error *err)
{
    const dt_task_config *c = &run->recipe->task_config;
    if (!(run->recipe->task->needs & DT_NEEDS_NOISE)) return DUET_OK;
    run->signal = dt_alloc((size_t)c->timesteps, sizeof *run->signal);
    run->noise = dt_alloc((size_t)c->timesteps, sizeof *run->noise);
    return run->signal && run->noise ? dt_noise_tables(c, run->signal, run->noise, err) : dt_fail(err, DUET_MEMORY, "no memory for the noise schedule");
}

static duet_status open_loaders(dt_run *run, duet_error *err)
{
    const dt_recipe *r = run->recipe;
    const dt_data_facts *own = &run->source->facts; /* evaluation sees whole pictures */
    const size_t eval_batch = evaluation_batch(run);
    const bool resizes = dt_recipe_resizes(r);
    const bool noisy = r->task->needs & DT_NEEDS_NOISE;
    const dt_normalisation seen = dt_normalisation_of(noisy ? DT_NORMALISE_SYMMETRIC : (dt_normalise)r->data.normalise, &run->facts);
    const dt_noising drawn = {.T = (int)r->task_config.timesteps, .signal = run->signal, .noise = run->noise};
    run->drawn = run->fixed = drawn;
    run->fixed.fixed = true;
    const dt_loader_spec train = {.source = run->source,
                                  .split = DT_SPLIT_TRAIN,
                                  .indices = run->rest,
                                  .n_indices = run->facts.train_images,
                                  .batch = (size_t)r->train.batch,
                                  .drop_last = true,
                                  .steps = (size_t)(run->steps_per_epoch * r->train.accumulate),
                                  .shuffle = r->data.shuffle,
                                  .augment = (dt_augment)r->data.augment,
                                  .crop = crop_of(r),
                                  .squares = dt_recipe_squares_of(r, true),
                                  .normalise = &seen,
                                  .noising = noisy ? &run->drawn : NULL,
                                  .views = run->session->n_views,
                                  .mixup = r->data.mixup,
                                  .seed = (uint64_t)r->train.seed,
                                  .skip = r->data.on_error,
                                  .workers = (int)r->data.workers};
    const dt_loader_spec test = {.source = run->source,
                                 .split = DT_SPLIT_TEST,
                                 .n_indices = run->facts.test_images,
                                 .batch = eval_batch,
                                 .augment = DT_AUGMENT_NONE,
                                 .squares = dt_recipe_squares_of(r, false),
                                 .normalise = &seen,
                                 .noising = noisy ? &run->fixed : NULL,
                                 .views = 1,
                                 .skip = r->data.on_error,
                                 .seed = 0, /* of fixed noise: alike for all runs, and for `duet eval` */
                                 .workers = train.workers};
    dt_loader_spec validation = test;
    validation.split = DT_SPLIT_TRAIN;
    validation.indices = run->held;
    validation.n_indices = run->n_held;
    DT_TRY(dt_loader_create(&train, &run->train, err));
    DT_TRY(dt_loader_create(&test, &run->test, err));
    if (run->n_held) DT_TRY(dt_loader_create(&validation, &run->validation, err));
    run->evaluations = dt_alloc(3, sizeof *run->evaluations);
    if (!run->evaluations) return dt_fail(err, DUET_MEMORY, "no memory for evaluations");
    const dt_network_size size = {.classes = own->classes, .height = resizes ? run->facts.height : own->height,
                                  .width = resizes ? run->facts.width : own->width, .batch = eval_batch};
    return dt_session_prepare_evaluation(run->session, size, err);
}

static void say_where(const dt_run *run, const char *device_then)
{
    char device_now[DT_DEVICE_TEXT];
    const dt_log_sink *log = &run->options->observer.log;
    dt_session_device_text(run->session, device_now);
    dt_say(log, "resuming after epoch %lld, step %lld of it", (long long)run->state.epoch,
           (long long)run->state.step_of_epoch);
    if (strcmp(device_now, device_then) != 0)
        dt_say(log,
               "this run was on \"%s\" and goes on on \"%s\": its last bits may differ from an uninterrupted run's",
               device_then, device_now);
}

static duet_status resume(dt_run *run, duet_error *err)
{
    dt_arena arena = {0};
    const char *device = "";
    char path[4096];
    snprintf(path, sizeof path, "%s/state.safetensors", run->options->out);
    duet_status st = dt_checkpoint_load(run->session, &run->state, path, &arena, &device, err);
    if (!st && run->state.step_of_epoch > run->steps_per_epoch)
        st = dt_fail(err, DUET_DATA,
                     "%s: was written %lld steps into an epoch, this data gives %lld; resume with the data of the run",
                     path, (long long)run->state.step_of_epoch, (long long)run->steps_per_epoch);
    if (!st && run->state.epoch < run->recipe->train.epochs) {
        st = dt_folder_resume(&run->folder, run->options->out, run->state.log_bytes, run->state.csv_bytes, err);
        if (!st) {
            say_where(run, device);
            dt_event_resume(&run->folder.line, run->session, &run->state);
            st = dt_folder_log(&run->folder, err);
        }
    }
    dt_arena_release(&arena);
    return st;
}

static duet_status start(dt_run *run, duet_error *err)
{
    DT_TRY(dt_folder_create(&run->folder, run->options->out, run->given, err));
    DT_TRY(dt_environment_write(&run->folder, run->session, err));
    for (int i = 0; i < run->recipe->n_networks; i++)
        if (run->session->left_out[i].bytes) dt_say(&run->options->observer.log, "%s", run->session->left_out[i].bytes);
    dt_event_start(&run->folder.line, run->session, &run->facts, run->steps_per_epoch, run->held, run->n_held);
    DT_TRY(dt_folder_log(&run->folder, err));
    dt_metrics_header(&run->folder.line, run->session, run->n_held > 0);
    return dt_folder_csv(&run->folder, err);
}

/* Constants of normalisation: the data set's, or measured; a run that goes on has its own. */
static duet_status find_normalisation(dt_run *run, bool begun, duet_error *err)
{
    const dt_recipe *r = run->recipe;
    char path[4096];
    if (r->data.normalise != DT_NORMALISE_MEASURE) return DUET_OK;
    if (!begun)
        return dt_measure_normalisation(r, run->source, run->rest, run->facts.train_images, &run->options->observer.log, &run->facts, err);
    snprintf(path, sizeof path, "%s/%s.safetensors", run->options->out, r->networks[0].name);
    return dt_normalisation_of_weights(path, &run->facts, err);
}

static duet_status show_meetings(dt_run *run, duet_error *err)
{
    const dt_observer *o = &run->options->observer;
    dt_text table = {0};
    if (o->meet) dt_session_meetings(run->session, &table);
    const bool fine = dt_text_ok(&table);
    if (fine && table.length) o->meet(o->user, table.bytes);
    dt_text_release(&table);
    return fine ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for a table");
}

/* What is worth knowing of the steps before the first of them. */
static void say_steps(const dt_run *run)
{
    const dt_recipe *r = run->recipe;
    if (r->data.mixup > 0)
        dt_say(&run->options->observer.log, "mixup %g: training images are mixed two by two, and so are training losses; evaluations see images as they are",
               r->data.mixup);
    if (r->train.accumulate == 1) return;
    dt_say(&run->options->observer.log, "each step: the gradients of %lld batches of %lld images, averaged: %lld images, %lld steps an epoch",
           (long long)r->train.accumulate, (long long)r->train.batch, (long long)images_of_step(r), (long long)run->steps_per_epoch);
}

static duet_status weigh_classes(dt_run *run, duet_error *err)
{
    float *weights;
    DT_TRY(dt_class_weights(run->recipe, run->source, run->rest, run->facts.train_images, &run->options->observer.log, &weights, err));
    if (weights) dt_session_weigh_classes(run->session, weights);
    dt_free(weights);
    return DUET_OK;
}

static duet_status open_run(dt_run *run, duet_error *err)
{
    const dt_recipe *r = run->recipe;
    const dt_folder_found found = dt_folder_look(run->options->out);
    DT_TRY(refuse_used_folder(run->options, found, err));
    run->source = run->options->source;
    if (!run->source) {
        const dt_source_request q = {.name = r->data.name, .path = r->data.path, .seed = DT_DATA_SEED, .skip = r->data.on_error,
                                     .buffer = (size_t)r->data.shuffle_buffer, .log = &run->options->observer.log};
        DT_TRY(dt_source_open_as(&q, &run->opened, err));
        run->source = run->opened;
    }
    DT_TRY(split_data(run, err));
    DT_TRY(dt_class_lines(&run->source->facts, &run->class_names, err));
    const bool begun = found == DT_FOLDER_CHECKPOINT;
    DT_TRY(find_normalisation(run, begun, err));
    DT_TRY(dt_session_create(r, &run->facts, begun ? DT_FROM_CHECKPOINT : DT_FIRST_WEIGHTS, &run->session, err));
    DT_TRY(weigh_classes(run, err));
    DT_TRY(make_noise(run, err));
    DT_TRY(open_loaders(run, err));
    DT_TRY(show_meetings(run, err));
    say_steps(run);
    return begun ? resume(run, err) : start(run, err);
}

static void close_run(dt_run *run)
{
    dt_loader_destroy(run->train);
    dt_loader_destroy(run->test);
    dt_loader_destroy(run->validation);
    dt_session_destroy(run->session);
    dt_source_close(run->opened);
    dt_text_release(&run->class_names);
    dt_folder_close(&run->folder);
    dt_free(run->evaluations);
    dt_free(run->signal);
    dt_free(run->noise);
    dt_free(run->rest);
    dt_free(run->held);
}

/* ---- saving ---------------------------------------------------------------------------------------------------- */

static duet_status save_network(dt_run *run, const dt_state *s, int i, const char *suffix, int64_t epoch, duet_error *err)
{
    char classes[24], mean[64], std[64], at[24], steps[24], size[24], short_side[24], path[4096];
    const dt_recipe *r = run->recipe;
    const dt_recipe_network *n = &r->networks[i];
    const bool noisy = r->task->needs & DT_NEEDS_NOISE, resizes = dt_recipe_resizes(r);
    const dt_normalise normalise = noisy ? DT_NORMALISE_SYMMETRIC : (dt_normalise)r->data.normalise;
    const float *m = run->facts.mean, *d = run->facts.std;
    snprintf(path, sizeof path, "%s/%s%s.safetensors", run->folder.path, n->name, suffix);
    snprintf(classes, sizeof classes, "%zu", run->facts.classes);
    snprintf(mean, sizeof mean, "%.9g,%.9g,%.9g", (double)m[0], (double)m[1], (double)m[2]);
    snprintf(std, sizeof std, "%.9g,%.9g,%.9g", (double)d[0], (double)d[1], (double)d[2]);
    snprintf(at, sizeof at, "%lld", (long long)epoch);
    snprintf(steps, sizeof steps, "%lld", (long long)r->task_config.timesteps);
    snprintf(size, sizeof size, "%lld", (long long)r->data.squares.size);
    snprintf(short_side, sizeof short_side, "%lld", (long long)r->data.squares.short_side);
    const struct {
        bool said;
        const char *key, *value;
    } card[] = {
        {true, "duet", DUET_VERSION}, {true, "model", dt_recipe_model_name(n)}, {n->described, "description", n->described ? n->described->description : NULL}, {true, "classes", classes}, {true, "data", run->facts.name}, {true, "epoch", at},
        {true, "mean", mean}, {true, "std", std}, {true, "normalise", dt_normalise_names[normalise]},
        {noisy, "timesteps", steps}, {noisy, "noise", r->task_config.noise_schedule == DT_NOISE_LINEAR ? "linear" : "cosine"},
        {resizes, "size", size}, {resizes, "short_side", short_side}, {run->class_names.length > 0, "class_names", run->class_names.bytes},
    };
    const char *metadata[2 * DT_COUNT(card)];
    size_t pairs = 0;
    for (size_t k = 0; k < DT_COUNT(card); k++) {
        if (!card[k].said) continue;
        metadata[2 * pairs] = card[k].key;
        metadata[2 * pairs++ + 1] = card[k].value;
    }
    return dt_weights_save(s, i, path, metadata, pairs, err);
}

static duet_status checkpoint(dt_run *run, duet_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/state.safetensors", run->folder.path);
    dt_state *raw = run->session->state;
    for (int i = 0; i < run->session->peers.n; i++) {
        DT_TRY(save_network(run, raw, i, "", run->state.epoch, err));
        if (dt_state_keeps(raw, i, DT_KEPT_AVERAGE))
            DT_TRY(save_network(run, dt_state_averaged(raw), i, ".ema", run->state.epoch, err));
    }
    DT_TRY(dt_folder_sync(&run->folder, err));
    run->state.log_bytes = run->folder.log_bytes;
    run->state.csv_bytes = run->folder.csv_bytes;
    return dt_checkpoint_save(run->session, &run->state, path, err);
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

static void tally_step(dt_run *run, int variant)
{
    dt_tally *t = &run->state.tally;
    const dt_session *s = run->session;
    for (int i = 0; i < s->peers.n; i++) {
        const double loss = dt_session_loss(s, variant, i);
        if (isnan(loss)) continue;
        t->loss_sum[i] += loss;
        t->loss_steps[i]++;
    }
    for (int i = 0; i < s->losses.n_terms; i++) {
        const dt_term *term = &s->losses.terms[i];
        if (term->variant >= 0 && term->variant != variant) continue;
        t->term_sum[i] += dt_session_term(s, variant, i);
        t->term_steps[i]++;
    }
    t->variant_steps[variant]++;
}

static double images_per_s(const dt_run *run, int64_t steps, double seconds)
{
    return seconds > 0 ? (double)(steps * images_of_step(run->recipe)) / seconds : 0;
}

/* Of the epoch under way: with train.steps the last one may be shorter. */
static int64_t steps_of_epoch(const dt_run *run)
{
    const int64_t left = dt_total_steps(run->recipe, run->steps_per_epoch) - run->state.epoch * run->steps_per_epoch;
    return left < run->steps_per_epoch ? left : run->steps_per_epoch;
}

/* Steps at this epoch's pace, and evaluations as long as the last one. */
static double seconds_left(const dt_run *run)
{
    const dt_recipe *r = run->recipe;
    const dt_run_state *at = &run->state;
    const int64_t steps = dt_total_steps(r, run->steps_per_epoch) - at->step;
    const int64_t evaluations = r->train.epochs / r->train.evaluate_every - at->epoch / r->train.evaluate_every;
    return (double)steps * at->tally.train_s / (double)at->step_of_epoch + (double)evaluations * run->eval_s;
}

static void report_progress(dt_run *run, int variant, double lr)
{
    const dt_observer *o = &run->options->observer;
    const dt_run_state *at = &run->state;
    if (!o->progress) return;
    dt_progress p = {.epoch = at->epoch + 1,
                     .epochs = run->recipe->train.epochs,
                     .step = at->step_of_epoch,
                     .steps = steps_of_epoch(run),
                     .lr = lr,
                     .images_per_s = images_per_s(run, at->step_of_epoch, at->tally.train_s),
                     .left_s = seconds_left(run),
                     .n_networks = run->session->peers.n};
    for (int i = 0; i < p.n_networks; i++) p.loss[i] = dt_session_loss(run->session, variant, i);
    o->progress(o->user, &p);
    run->last_progress_s = dt_now_s();
}

/* One of the batches of a step, number `k` of them. */
static duet_status one_batch(dt_run *run, int64_t k, double lr, int *variant, duet_error *err)
{
    dt_run_state *at = &run->state;
    dt_batch *batch = dt_loader_next(run->train, &at->tally.wait_s);
    if (!batch) DT_TRY(dt_loader_status(run->train, err));
    if (!batch)
        DT_BUG("the loader ended after %lld of %lld steps", (long long)at->step_of_epoch,
               (long long)run->steps_per_epoch);
    run->session->dropout = (int32_t)(at->step * run->recipe->train.accumulate + k);
    const duet_status st = dt_session_step(run->session, batch, (uint32_t)at->epoch, lr, variant, err);
    dt_loader_give_back(run->train, batch);
    if (st) dt_context(err, "step %lld (epoch %lld)", (long long)at->step + 1, (long long)at->epoch + 1);
    return st;
}

static duet_status one_step(dt_run *run, duet_error *err)
{
    dt_run_state *at = &run->state;
    const double began = dt_now_s();
    const double lr = dt_learning_rate(run->recipe, at->step, run->steps_per_epoch);
    int variant = 0;
    for (int64_t k = 0; k < run->recipe->train.accumulate; k++) DT_TRY(one_batch(run, k, lr, &variant, err));
    tally_step(run, variant);
    at->step++;
    at->step_of_epoch++;
    const double ended = dt_now_s();
    at->tally.train_s += ended - began;

    const bool due = at->step % run->recipe->train.log_every == 0;
    if (due) {
        dt_event_step(&run->folder.line, run->session, at, variant, lr);
        DT_TRY(dt_folder_log(&run->folder, err));
    }
    if (due || ended - run->last_progress_s >= 1) report_progress(run, variant, lr);
    return DUET_OK;
}

static dt_go shall_go_on(const dt_run *run)
{
    const dt_run_options *o = run->options;
    if (o->stop && *o->stop) return STOP_REQUESTED;
    return o->max_steps > 0 && run->state.step >= o->max_steps ? STOP_AT_MAX_STEPS : GO_ON;
}

static dt_subjects subjects_of(const dt_run *run)
{
    return (dt_subjects){run->session->eval, run->session->peers.n, run->recipe->task, &run->recipe->task_config};
}

static bool has_averages(const dt_run *run) { return run->session->raw[0].program != NULL; }

/* What a method wants to know of the held-out images, once per epoch, before its first step (KDCL general). */
static duet_status refresh_method(dt_run *run, duet_error *err)
{
    const dt_session *s = run->session;
    const dt_method *m = run->recipe->method;
    dt_error_products errors;
    if (s->losses.epoch_input == DT_NONE) return DUET_OK;
    if (!m->refresh || !run->n_held) DT_BUG("%s has a per-epoch input but no way to fill it", m->name);
    dt_subjects of = subjects_of(run);
    if (has_averages(run)) of.networks = run->session->raw; /* peers learn from weights as they are */
    DT_TRY(dt_evaluate(&of, run->validation, NULL, &errors, run->options->stop, &run->evaluations[1], err));
    return m->refresh(&errors, s->peers.n, run->recipe->method_config, run->state.epoch_values, err);
}

/* The steps of the epoch under way that are still to do. *go says why it ended. */
static duet_status run_steps(dt_run *run, dt_go *go, duet_error *err)
{
    dt_run_state *at = &run->state;
    const dt_session *s = run->session;
    if (at->step_of_epoch == 0) {
        at->tally = (dt_tally){0};
        DT_TRY(refresh_method(run, err));
    }
    if (s->losses.epoch_input != DT_NONE)
        dt_program_write(s->step, s->losses.epoch_input, at->epoch_values, (size_t)s->peers.n);
    *go = shall_go_on(run);
    const int64_t steps = steps_of_epoch(run);
    if (*go || at->step_of_epoch == steps) return DUET_OK;

    dt_loader_start(run->train, (uint32_t)at->epoch, (size_t)(at->step_of_epoch * run->recipe->train.accumulate));
    while (at->step_of_epoch < steps && !*go) {
        DT_TRY(one_step(run, err));
        *go = shall_go_on(run);
    }
    return DUET_OK;
}

/* ---- the end of an epoch --------------------------------------------------------------------------------------- */

/* *done: measured on every set there is. DUET_STOPPED leaves everything as it was: a resumed run measures again. */
static duet_status evaluate(dt_run *run, bool *done, duet_error *err)
{
    const dt_recipe *r = run->recipe;
    const int64_t epoch = run->state.epoch + 1;
    const double began = dt_now_s();
    const dt_subjects of = subjects_of(run);
    *done = false;
    if (epoch % r->train.evaluate_every != 0 && epoch != r->train.epochs) return DUET_OK;
    DT_TRY(dt_evaluate(&of, run->test, NULL, NULL, run->options->stop, &run->evaluations[0], err));
    dt_say_skipped(run->test, "test images", &run->options->observer.log);
    if (run->n_held) DT_TRY(dt_evaluate(&of, run->validation, NULL, NULL, run->options->stop, &run->evaluations[1], err));
    if (has_averages(run)) {
        dt_subjects raw = of;
        raw.networks = run->session->raw;
        DT_TRY(dt_evaluate(&raw, run->test, NULL, NULL, run->options->stop, &run->evaluations[2], err));
    }
    run->eval_s = dt_now_s() - began;
    *done = true;
    return DUET_OK;
}

static duet_status keep_results(dt_run *run, duet_error *err)
{
    const dt_evaluation *test = &run->evaluations[0], *chosen_by = &run->evaluations[run->n_held ? 1 : 0];
    const dt_metric *metric = &run->recipe->task->scoring->metrics[0];
    const int64_t epoch = run->state.epoch + 1;
    for (int i = 0; i < run->session->peers.n; i++) {
        dt_network_result *r = &run->state.results[i];
        r->last = test->measures[i];
        const double score = chosen_by->measures[i].value[0], before = run->state.best_score[i];
        if (r->best_epoch && !(metric->rising ? score > before : score < before)) continue;
        r->best = test->measures[i];
        r->best_epoch = epoch;
        run->state.best_score[i] = score;
        dt_state *averaged = dt_state_averaged(run->session->state);
        DT_TRY(save_network(run, averaged ? averaged : run->session->state, i, ".best", epoch, err));
    }
    return DUET_OK;
}

static void fill_report(const dt_run *run, bool evaluated, dt_epoch_report *out)
{
    const dt_run_state *at = &run->state;
    const double seconds = at->tally.train_s;
    *out = (dt_epoch_report){.epoch = at->epoch + 1,
                             .epochs = run->recipe->train.epochs,
                             .lr = dt_learning_rate(run->recipe, at->step - 1, run->steps_per_epoch),
                             .train_s = seconds,
                             .eval_s = evaluated ? run->eval_s : 0,
                             .images_per_s = images_per_s(run, at->step_of_epoch, seconds),
                             .loader_wait_share = seconds > 0 ? at->tally.wait_s / seconds : 0,
                             .n_networks = run->session->peers.n,
                             .evaluated = evaluated,
                             .validated = run->n_held > 0};
    for (int i = 0; i < out->n_networks; i++) {
        out->names[i] = run->recipe->networks[i].name;
        out->loss[i] = dt_tally_loss(&at->tally, i);
        if (!evaluated) continue;
        out->measures[i] = run->evaluations[0].measures[i];
        if (run->n_held) out->validation[i] = run->evaluations[1].measures[i];
    }
}

static duet_status write_epoch(dt_run *run, bool evaluated, duet_error *err)
{
    const dt_observer *o = &run->options->observer;
    dt_epoch_report report;
    fill_report(run, evaluated, &report);
    char pass[40];
    const char *first;
    snprintf(pass, sizeof pass, "epoch %lld", (long long)run->state.epoch + 1);
    dt_say_skipped(run->train, pass, &o->log);
    const dt_epoch_facts facts = {.session = run->session,
                                  .skipped = dt_loader_skipped(run->train, &first),
                                  .run = &run->state,
                                  .report = &report,
                                  .test = evaluated ? &run->evaluations[0] : NULL,
                                  .validation = evaluated && run->n_held ? &run->evaluations[1] : NULL,
                                  .raw = evaluated && has_averages(run) ? &run->evaluations[2] : NULL};
    dt_event_epoch(&run->folder.line, &facts);
    DT_TRY(dt_folder_log(&run->folder, err));
    dt_metrics_row(&run->folder.line, &facts, run->n_held > 0);
    DT_TRY(dt_folder_csv(&run->folder, err));
    if (evaluated) DT_TRY(keep_results(run, err));
    if (o->epoch) o->epoch(o->user, &report);
    return DUET_OK;
}

static duet_status finish_epoch(dt_run *run, duet_error *err)
{
    const dt_recipe *r = run->recipe;
    dt_run_state *at = &run->state;
    bool evaluated;
    DT_TRY(evaluate(run, &evaluated, err));
    DT_TRY(write_epoch(run, evaluated, err));
    at->total_train_s += at->tally.train_s;
    at->epoch++;
    at->step_of_epoch = 0;
    at->tally = (dt_tally){0};
    const bool last = at->epoch == r->train.epochs;
    if (last) {
        dt_event_end(&run->folder.line, run->session, at, run->n_held > 0);
        DT_TRY(dt_folder_log(&run->folder, err));
    }
    return last || at->epoch % r->train.checkpoint_every == 0 ? checkpoint(run, err) : DUET_OK;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

static duet_status stop(dt_run *run, dt_go why, duet_error *err)
{
    const char *reason = why == STOP_REQUESTED ? "requested" : "max_steps";
    dt_event_stop(&run->folder.line, &run->state, reason);
    DT_TRY(dt_folder_log(&run->folder, err));
    DT_TRY(checkpoint(run, err));
    if (why == STOP_AT_MAX_STEPS) return DUET_OK;
    return dt_fail(err, DUET_STOPPED, "stopped in epoch %lld after step %lld; continue with --resume",
                   (long long)run->state.epoch + 1, (long long)run->state.step);
}

static duet_status run_epochs(dt_run *run, duet_error *err)
{
    while (run->state.epoch < run->recipe->train.epochs) {
        dt_go go = GO_ON;
        duet_status st = run_steps(run, &go, err);
        /* At max_steps a full epoch is still finished: a trial of whole epochs ends with its measures. */
        const bool full = run->state.step_of_epoch == steps_of_epoch(run);
        if (!st && full && go != STOP_REQUESTED) st = finish_epoch(run, err);
        if (st == DUET_STOPPED) return stop(run, STOP_REQUESTED, err);
        if (st) return st;
        if (go && run->state.epoch < run->recipe->train.epochs) return stop(run, go, err);
    }
    return DUET_OK;
}

/* A run that failed says so in its log; what the log itself has to say about that is not worth a second message. */
static void note_failure(dt_run *run, duet_status st)
{
    if (run->folder.log < 0 || st == DUET_OK || st == DUET_STOPPED) return;
    run->folder.line.length = 0;
    dt_event_stop(&run->folder.line, &run->state, duet_status_name(st));
    (void)dt_folder_log(&run->folder, NULL);
}

static void fill_result(const dt_run *run, dt_run_result *out)
{
    const dt_recipe *r = run->recipe;
    const dt_run_state *at = &run->state;
    *out = (dt_run_result){.n_networks = r->n_networks,
                           .epochs_done = at->epoch,
                           .steps_done = at->step,
                           .best_by_validation = run->n_held > 0,
                           .finished = at->epoch == r->train.epochs,
                           .images_per_s = images_per_s(run, at->step, at->total_train_s + at->tally.train_s)};
    for (int i = 0; i < r->n_networks; i++) {
        out->names[i] = r->networks[i].name;
        out->models[i] = dt_recipe_model_name(&r->networks[i]);
        out->results[i] = at->results[i];
    }
}

duet_status dt_train(const dt_recipe *r, const dt_run_options *o, dt_run_result *result, duet_error *err)
{
    duet_error own; /* the loop reads messages' status even when the caller wants none */
    if (!err) err = &own;
    dt_run *run = dt_alloc(1, sizeof *run);
    if (!run) return dt_fail(err, DUET_MEMORY, "no memory for a run");
    run->given = r;
    run->own = *r;
    run->recipe = &run->own;
    run->options = o;
    run->folder.log = run->folder.csv = -1;
    run->last_progress_s = dt_now_s();

    duet_status st = open_run(run, err);
    if (!st && run->state.epoch == run->recipe->train.epochs)
        dt_say(&o->observer.log, "%s: this run is finished; nothing to resume", o->out);
    else if (!st) {
        st = run_epochs(run, err);
        note_failure(run, st);
    }
    if (!st || st == DUET_STOPPED) fill_result(run, result);
    close_run(run);
    dt_free(run);
    return st;
}
