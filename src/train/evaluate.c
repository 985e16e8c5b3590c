/* Networks in inference mode: one alone, several over a data set.
 *
 * Batches have one size, so that programs are compiled once; an incomplete last batch is filled with zero pictures
 * whose logits nobody looks at (in inference mode no picture influences another). */
#include "train_impl.h"

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

duet_status dt_inference_describe(int network, const char *name, const dt_model *model, dt_network_size size, dt_inference *out,
                                  duet_error *err)
{
    dt_model_inputs in = DT_MODEL_INPUTS;
    out->graph = dt_graph_create();
    if (!out->graph) return dt_fail(err, DUET_MEMORY, "%s: no memory for its graph", name);
    in.image = out->image = dt_input(out->graph, "image", DT_REAL, (dt_shape){size.batch, 3, size.height, size.width});
    in.time = out->time = dt_input(out->graph, "time", DT_INDEX, (dt_shape){size.batch, 1, 1, 1});
    in.classes = size.classes;
    out->network = network;
    out->name = name;
    out->model = model;
    dt_graph_set_network(out->graph, network, name, false);
    const dt_built built = model->build(model, out->graph, &in);
    DT_TRY(dt_graph_check(out->graph, err));
    if (size.pooled && built.pooled == DT_NONE) return dt_fail(err, DUET_ARG, "%s: has no map that is averaged before its last layer", model->name);
    out->output = size.pooled ? built.pooled : built.output;
    out->pooled = size.pooled;
    out->align = built.align;
    out->shape = dt_shape_of(out->graph, out->output);
    out->batch = size.batch;
    out->classes = size.classes;
    out->height = size.height;
    out->width = size.width;
    out->image_count = 3 * size.height * size.width;
    out->output_count = dt_shape_count(out->shape) / size.batch;
    return DUET_OK;
}

duet_status dt_inference_compile(dt_inference *i, dt_state *s, duet_error *err)
{
    i->state = s;
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
    duet_status st = dt_inference_describe(network, name, model, size, &i, err);
    if (!st) st = dt_inference_compile(&i, s, err);
    if (st) dt_inference_release(&i);
    else *out = i;
    return st;
}

duet_status dt_inference_resize(dt_inference *i, size_t height, size_t width, duet_error *err)
{
    const dt_inference old = *i;
    const dt_network_size size = {.classes = old.classes, .height = height, .width = width, .batch = old.batch, .pooled = old.pooled};
    dt_inference_release(i);
    return dt_inference_create(old.state, old.network, old.name, old.model, size, i, err);
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
    const bool pixels = p->of->task->needs & DT_NEEDS_PIXEL_LABELS;
    dt_answers a = {.output = p->output[network], .shape = i->shape, .align = i->align, .height = i->height, .width = i->width,
                    .classes = i->classes, .config = p->of->config, .labels = pixels ? batch->pixel_labels : batch->labels,
                    .noise = batch->noise, .time = batch->time};
    a.shape.n = batch->n;
    return a;
}

/* Pictures of another size than the last ones: the network is built anew for them. */
static duet_status fit(dt_pass *p, int network, const dt_batch *batch, duet_error *err)
{
    dt_inference *i = &p->of->networks[network];
    DT_TRY(dt_model_check_size(i->model, batch->height, batch->width, err));
    DT_TRY(dt_inference_resize(i, batch->height, batch->width, err));
    dt_free(p->output[network]);
    p->output[network] = dt_alloc(i->batch * i->output_count, sizeof *p->output[network]);
    return p->output[network] ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for the output of a picture of %zux%zu", batch->height, batch->width);
}

static duet_status add_batch(dt_pass *p, const dt_batch *batch, float *const *keep, dt_error_products *errors, duet_error *err)
{
    const dt_subjects *of = p->of;
    dt_answers answers[DT_MAX_NETWORKS];
    for (int i = 0; i < of->n; i++) {
        dt_inference *network = &of->networks[i];
        if (batch->height != network->height || batch->width != network->width) DT_TRY(fit(p, i, batch, err));
        DT_TRY(dt_inference_run(network, batch->images[0], batch->time, batch->n, p->output[i], err));
        answers[i] = answers_of(p, i, batch);
        of->task->scoring->add(p->sums[i], &answers[i], NULL);
        if (keep && keep[i])
            memcpy(keep[i] + p->images * network->output_count, p->output[i], batch->n * network->output_count * sizeof *p->output[i]);
    }
    for (int a = 0; a < of->n; a++)
        for (int b = a + 1; b < of->n; b++) of->task->pair_scoring->add(p->pair_sums[a][b], &answers[a], &answers[b]);
    if (errors) of->task->error_products(answers, of->n, errors);
    p->images += batch->n;
    return DUET_OK;
}

static duet_status run_pass(dt_pass *p, dt_loader *loader, float *const *keep, dt_error_products *errors,
                            const volatile int *stop, duet_error *err)
{
    duet_status st = DUET_OK;
    dt_loader_start(loader, 0, 0);
    for (dt_batch *batch; (batch = dt_loader_next(loader, NULL)) != NULL;) {
        /* After an error the rest of the pass is still taken, so that the loader is ready for its next one. */
        if (!st && stop && *stop) st = dt_fail(err, DUET_STOPPED, "stopped during an evaluation");
        if (!st) st = add_batch(p, batch, keep, errors, err);
        dt_loader_give_back(loader, batch);
    }
    return st ? st : dt_loader_status(loader, err);
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

duet_status dt_evaluate(const dt_subjects *of, dt_loader *loader, float *const *keep, dt_error_products *errors, const volatile int *stop,
                        dt_evaluation *out, duet_error *err)
{
    dt_pass p = {.of = of};
    duet_status st = open_pass(&p, err);
    if (errors) *errors = (dt_error_products){0};
    if (!st) st = run_pass(&p, loader, keep, errors, stop, err);
    if (!st) finish_pass(&p, out);
    for (int a = 0; a < of->n; a++) {
        dt_free(p.output[a]);
        dt_free(p.sums[a]);
        for (int b = a + 1; b < of->n; b++) dt_free(p.pair_sums[a][b]);
    }
    return st;
}
