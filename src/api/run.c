/* <duet/run.h>, training: options in, events out, on the loop of src/train. */
#include "api/api_impl.h"

#include <string.h>

_Static_assert((int)DUET_MAX_NETWORKS == (int)DT_MAX_NETWORKS, "the public limit follows the inner one");

struct duet_run {
    const duet_recipe *recipe;
    const duet_data *data; /* instead of the recipe's; NULL: the recipe's */
    duet_run_options options;
    char *out;
    volatile int stop;     /* the one thing that other threads and signal handlers write */
    bool used;
    dt_run_result result;
};

duet_status duet_run_create(const duet_recipe *recipe, const duet_run_options *options, duet_run **out, duet_error *err)
{
    if (!options->out || !*options->out) return dt_fail(err, DUET_ARG, "a run needs a folder for its files");
    const size_t bytes = strlen(options->out) + 1;
    duet_run *run = dt_alloc(1, sizeof *run);
    char *folder = dt_alloc(bytes, 1);
    if (!run || !folder) {
        dt_free(run);
        dt_free(folder);
        return dt_fail(err, DUET_MEMORY, "not enough memory for a run");
    }
    run->recipe = recipe;
    run->options = *options;
    run->out = memcpy(folder, options->out, bytes);
    run->options.out = run->out;
    *out = run;
    return DUET_OK;
}

void duet_run_destroy(duet_run *run)
{
    if (!run) return;
    dt_free(run->out);
    dt_free(run);
}

void duet_run_use_data(duet_run *run, const duet_data *data) { run->data = data; }

void duet_run_stop(duet_run *run) { run->stop = 1; }

/* ---- events, translated ------------------------------------------------------------------------------------- */

static void on_progress(void *user, const dt_progress *p)
{
    const duet_run *run = user;
    duet_progress out = {.epoch = p->epoch, .epochs = p->epochs, .step = p->step, .steps = p->steps, .lr = p->lr,
                         .images_per_s = p->images_per_s, .left_s = p->left_s, .n_networks = (size_t)p->n_networks};
    for (int i = 0; i < p->n_networks; i++) {
        out.names[i] = run->recipe->inner->networks[i].name;
        out.loss[i] = p->loss[i];
    }
    run->options.observer.progress(run->options.observer.user, &out);
}

static void on_epoch(void *user, const dt_epoch_report *e)
{
    const duet_run *run = user;
    duet_epoch out = {.epoch = e->epoch, .epochs = e->epochs, .lr = e->lr, .train_s = e->train_s, .eval_s = e->eval_s,
                      .images_per_s = e->images_per_s, .loader_wait = e->loader_wait_share, .n_networks = (size_t)e->n_networks,
                      .evaluated = e->evaluated, .validated = e->evaluated && e->validated};
    for (int i = 0; i < e->n_networks; i++) {
        out.names[i] = e->names[i];
        out.loss[i] = e->loss[i];
        out.test[i] = dt_api_measures(run->recipe->inner->task, &e->measures[i]);
        out.validation[i] = dt_api_measures(run->recipe->inner->task, &e->validation[i]);
    }
    run->options.observer.epoch(run->options.observer.user, &out);
}

static void on_log(void *user, const char *text)
{
    const duet_run *run = user;
    run->options.observer.log(run->options.observer.user, text);
}

static void on_meet(void *user, const char *table)
{
    const duet_run *run = user;
    run->options.observer.meet(run->options.observer.user, table);
}

/* ---- training ----------------------------------------------------------------------------------------------- */

duet_status duet_run_train(duet_run *run, duet_error *err)
{
    const duet_observer *o = &run->options.observer;
    if (run->used) return dt_fail(err, DUET_ARG, "this run has been trained; create another with `resume` to go on");
    run->used = true;
    const dt_run_options options = {
        .out = run->out,
        .resume = run->options.resume,
        .max_steps = run->options.max_steps,
        .observer = {.progress = o->progress ? on_progress : NULL, .epoch = o->epoch ? on_epoch : NULL,
                     .meet = o->meet ? on_meet : NULL,
                     .log = {.emit = o->log ? on_log : NULL, .user = run}, .user = run},
        .stop = &run->stop,
        .source = run->data ? run->data->source : NULL,
    };
    return dt_train(run->recipe->inner, &options, &run->result, err);
}

void duet_run_result_of(const duet_run *run, duet_run_result *out)
{
    const dt_run_result *r = &run->result;
    *out = (duet_run_result){.n_networks = (size_t)r->n_networks, .epochs_done = r->epochs_done, .steps_done = r->steps_done,
                             .best_by_validation = r->best_by_validation, .finished = r->finished, .images_per_s = r->images_per_s};
    for (int i = 0; i < r->n_networks; i++) {
        const dt_network_result *n = &r->results[i];
        const dt_task *task = run->recipe->inner->task;
        out->networks[i] = (duet_network_result){.name = r->names[i], .model = r->models[i], .last = dt_api_measures(task, &n->last),
                                                 .best = dt_api_measures(task, &n->best), .best_epoch = n->best_epoch};
    }
}
