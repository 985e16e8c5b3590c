/* Networks in inference mode: one alone, several over a data set, one from a weights file.
 *
 * Batches have one size, so that programs are compiled once; an incomplete last batch is filled with zero pictures
 * whose logits nobody looks at (in inference mode no picture influences another). */
#include "train_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t dt_evaluation_batch(size_t images)
{
    const size_t most = 250, least = 100; /* large enough to amortise a run, small enough for any machine's memory */
    if (images && images <= most) return images;
    for (size_t batch = most; batch >= least; batch--)
        if (images % batch == 0) return batch;
    return most;
}

/* ---- one network ----------------------------------------------------------------------------------------------- */

static duet_status describe(int network, const char *name, const dt_model *model, dt_network_size size, dt_inference *out,
                            duet_error *err)
{
    dt_model_inputs in = DT_MODEL_INPUTS;
    out->graph = dt_graph_create();
    if (!out->graph) return dt_fail(err, DUET_MEMORY, "%s: no memory for its graph", name);
    in.image = out->image = dt_input(out->graph, "image", DT_REAL, (dt_shape){size.batch, 3, size.height, size.width});
    in.time = out->time = dt_input(out->graph, "time", DT_INDEX, (dt_shape){size.batch, 1, 1, 1});
    in.classes = size.classes;
    dt_graph_set_network(out->graph, network, name, false);
    const dt_built built = model->build(model, out->graph, &in);
    DT_TRY(dt_graph_check(out->graph, err));
    out->output = built.output;
    out->align = built.align;
    out->shape = dt_shape_of(out->graph, built.output);
    out->batch = size.batch;
    out->classes = size.classes;
    out->height = size.height;
    out->width = size.width;
    out->image_count = 3 * size.height * size.width;
    out->output_count = dt_shape_count(out->shape) / size.batch;
    return DUET_OK;
}

static duet_status compile(dt_inference *i, dt_state *s, duet_error *err)
{
    const dt_program_spec spec = {.graph = i->graph, .state = s, .outputs = &i->output, .n_outputs = 1};
    i->padded = dt_alloc(i->batch * i->image_count, sizeof *i->padded);
    i->padded_output = dt_alloc(i->batch * i->output_count, sizeof *i->padded_output);
    i->padded_time = dt_alloc(i->batch, sizeof *i->padded_time);
    if (!i->padded || !i->padded_output || !i->padded_time)
        return dt_fail(err, DUET_MEMORY, "no memory for a batch of %zu pictures", i->batch);
    return dt_program_compile(&spec, &i->program, err);
}

duet_status dt_inference_create(dt_state *s, int network, const char *name, const dt_model *model, dt_network_size size,
                                dt_inference *out, duet_error *err)
{
    dt_inference i = {0};
    duet_status st = describe(network, name, model, size, &i, err);
    if (!st) st = compile(&i, s, err);
    if (st) dt_inference_release(&i);
    else *out = i;
    return st;
}

void dt_inference_release(dt_inference *i)
{
    dt_program_destroy(i->program);
    dt_graph_destroy(i->graph);
    dt_free(i->padded);
    dt_free(i->padded_output);
    dt_free(i->padded_time);
    *i = (dt_inference){0};
}

duet_status dt_inference_run(dt_inference *i, const float *images, const int32_t *time, size_t n, float *output, duet_error *err)
{
    if (n < 1 || n > i->batch) DT_BUG("%zu pictures for a batch of %zu", n, i->batch);
    const bool incomplete = n < i->batch;
    if (incomplete) {
        memcpy(i->padded, images, n * i->image_count * sizeof *images);
        memset(i->padded + n * i->image_count, 0, (i->batch - n) * i->image_count * sizeof *images);
        images = i->padded;
        for (size_t k = 0; k < i->batch && time; k++) i->padded_time[k] = k < n ? time[k] : 0;
        if (time) time = i->padded_time;
    }
    dt_program_write(i->program, i->image, images, i->batch * i->image_count);
    if (time) dt_program_write(i->program, i->time, time, i->batch);
    DT_TRY(dt_program_run(i->program, -1, err));
    dt_program_read(i->program, i->output, incomplete ? i->padded_output : output, i->batch * i->output_count);
    if (incomplete) memcpy(output, i->padded_output, n * i->output_count * sizeof *output);
    return DUET_OK;
}

/* ---- several networks over a data set -------------------------------------------------------------------------- */

/* What a pass adds up. */
typedef struct dt_pass {
    const dt_subjects *of;
    float *output[DT_MAX_NETWORKS]; /* of one batch */
    void *sums[DT_MAX_NETWORKS], *pair_sums[DT_MAX_NETWORKS][DT_MAX_NETWORKS];
    size_t images;
} dt_pass;

static dt_answers answers_of(const dt_pass *p, int network, const dt_batch *batch)
{
    const dt_inference *i = &p->of->networks[network];
    dt_answers a = {.output = p->output[network], .shape = i->shape, .align = i->align, .height = i->height, .width = i->width,
                    .classes = i->classes, .config = p->of->config, .labels = batch->labels};
    a.shape.n = batch->n;
    return a;
}

static duet_status add_batch(dt_pass *p, const dt_batch *batch, float *const *keep, int32_t *labels, duet_error *err)
{
    const dt_subjects *of = p->of;
    dt_answers answers[DT_MAX_NETWORKS];
    for (int i = 0; i < of->n; i++) {
        dt_inference *network = &of->networks[i];
        DT_TRY(dt_inference_run(network, batch->images[0], NULL, batch->n, p->output[i], err));
        answers[i] = answers_of(p, i, batch);
        of->task->scoring->add(p->sums[i], &answers[i], NULL);
        if (keep && keep[i])
            memcpy(keep[i] + p->images * network->output_count, p->output[i], batch->n * network->output_count * sizeof *p->output[i]);
    }
    for (int a = 0; a < of->n; a++)
        for (int b = a + 1; b < of->n; b++) of->task->pair_scoring->add(p->pair_sums[a][b], &answers[a], &answers[b]);
    if (labels) memcpy(labels + p->images, batch->labels, batch->n * sizeof *labels);
    p->images += batch->n;
    return DUET_OK;
}

static duet_status run_pass(dt_pass *p, dt_loader *loader, float *const *keep, int32_t *labels,
                            const volatile int *stop, duet_error *err)
{
    duet_status st = DUET_OK;
    dt_loader_start(loader, 0, 0);
    for (dt_batch *batch; (batch = dt_loader_next(loader, NULL)) != NULL;) {
        /* After an error the rest of the pass is still taken, so that the loader is ready for its next one. */
        if (!st && stop && *stop) st = dt_fail(err, DUET_STOPPED, "stopped during an evaluation");
        if (!st) st = add_batch(p, batch, keep, labels, err);
        dt_loader_give_back(loader, batch);
    }
    return st;
}

static void finish_pass(const dt_pass *p, dt_evaluation *out)
{
    const dt_subjects *of = p->of;
    const dt_scoring *one = of->task->scoring, *two = of->task->pair_scoring;
    out->images = p->images;
    for (int a = 0; a < of->n; a++) {
        const size_t classes = of->networks[a].classes;
        one->finish(p->sums[a], classes, out->measures[a].value);
        if (one->per_class && out->per_class[a]) one->per_class(p->sums[a], classes, out->per_class[a]);
        for (int b = a + 1; b < of->n; b++) two->finish(p->pair_sums[a][b], classes, out->pairs[a][b].value);
    }
}

static duet_status open_pass(dt_pass *p, duet_error *err)
{
    const dt_subjects *of = p->of;
    for (int a = 0; a < of->n; a++) {
        const dt_inference *i = &of->networks[a];
        p->output[a] = dt_alloc(i->batch * i->output_count, sizeof *p->output[a]);
        p->sums[a] = dt_alloc(1, of->task->scoring->bytes(i->classes));
        bool ok = p->output[a] && p->sums[a];
        for (int b = a + 1; b < of->n && ok; b++)
            ok = (p->pair_sums[a][b] = dt_alloc(1, of->task->pair_scoring->bytes(i->classes))) != NULL;
        if (!ok) return dt_fail(err, DUET_MEMORY, "no memory for the outputs of a batch of %zu", i->batch);
    }
    return DUET_OK;
}

duet_status dt_evaluate(const dt_subjects *of, dt_loader *loader, float *const *keep, int32_t *labels, const volatile int *stop,
                        dt_evaluation *out, duet_error *err)
{
    dt_pass p = {.of = of};
    duet_status st = open_pass(&p, err);
    if (!st) st = run_pass(&p, loader, keep, labels, stop, err);
    if (!st) finish_pass(&p, out);
    for (int a = 0; a < of->n; a++) {
        dt_free(p.output[a]);
        dt_free(p.sums[a]);
        for (int b = a + 1; b < of->n; b++) dt_free(p.pair_sums[a][b]);
    }
    return st;
}

/* ---- a weights file -------------------------------------------------------------------------------------------- */

static bool three_floats(const char *text, float out[3])
{
    char *end = NULL;
    for (int i = 0; i < 3; i++) {
        if (!text) return false;
        out[i] = strtof(text, &end);
        if (end == text || !isfinite(out[i])) return false;
        text = *end == ',' ? end + 1 : i < 2 ? NULL : end;
    }
    return *end == '\0';
}

static int64_t whole_number(const char *text, int64_t otherwise)
{
    if (!text || *text < '0' || *text > '9') return otherwise;
    return (int64_t)strtoll(text, NULL, 10);
}

/* What the file says of itself, and what the caller says instead. */
static duet_status read_card(dt_trained *c, const char *path, const char *model, size_t classes, duet_error *err)
{
    dt_saved *file = NULL;
    DT_TRY(dt_saved_open(path, &file, err));
    const char *said = dt_saved_metadata(file, "model");
    const char *data = dt_saved_metadata(file, "data");
    duet_status st = DUET_OK;
    const int64_t said_classes = whole_number(dt_saved_metadata(file, "classes"), 0);
    c->classes = classes ? classes : (size_t)said_classes;
    c->epoch = whole_number(dt_saved_metadata(file, "epoch"), -1);
    c->normalised = three_floats(dt_saved_metadata(file, "mean"), c->mean) &&
                    three_floats(dt_saved_metadata(file, "std"), c->std) && c->std[0] > 0 && c->std[1] > 0 &&
                    c->std[2] > 0;
    snprintf(c->data, sizeof c->data, "%s", data ? data : "");
    if (!model && !said)
        st = dt_fail(err, DUET_FORMAT, "%s: does not say which model it holds; name it, for example --model resnet20",
                     path);
    else if (c->classes < 2 || c->classes > 1000000)
        st = dt_fail(err, DUET_FORMAT,
                     "%s: does not say how many classes it knows; name the data set it was trained on", path);
    else {
        c->model = dt_model_find(model ? model : said, err);
        if (!c->model) {
            st = err ? err->status : DUET_ARG;
            dt_context(err, "%s", path);
        }
    }
    dt_saved_close(file);
    return st;
}

static dt_network_size own_size(const dt_trained *c, size_t batch)
{
    return (dt_network_size){.classes = c->classes, .height = c->model->image, .width = c->model->image, .batch = batch};
}

duet_status dt_trained_open(const char *path, const char *model, size_t classes, const char *device, int threads,
                               size_t batch, dt_trained **out, duet_error *err)
{
    const dt_device_api *api = dt_device_find(device, err);
    if (!api) return err ? err->status : DUET_ARG;
    dt_trained *c = dt_alloc(1, sizeof *c);
    if (!c) return dt_fail(err, DUET_MEMORY, "%s: no memory", path);

    const dt_device_options options = {.threads = threads, .precision = DT_F32};
    duet_status st = read_card(c, path, model, classes, err);
    if (!st) st = api->open(&options, &c->device, err);
    if (!st) st = describe(0, c->model->name, c->model, own_size(c, batch), &c->network, err);
    if (!st)
        st = dt_state_create(c->device, c->network.graph, (const char *const[]){c->model->name}, 1, &c->state, err);
    if (!st) st = dt_weights_load(c->state, 0, path, err);
    if (!st) st = compile(&c->network, c->state, err);
    if (st) dt_trained_close(c);
    else *out = c;
    return st;
}

void dt_trained_close(dt_trained *c)
{
    if (!c) return;
    dt_inference_release(&c->network);
    dt_state_destroy(c->state);
    if (c->device) c->device->api->close(c->device);
    dt_free(c);
}
