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

static duet_status describe(int network, const char *name, const dt_model *model, size_t classes, size_t batch,
                            dt_inference *out, duet_error *err)
{
    out->graph = dt_graph_create();
    if (!out->graph) return dt_fail(err, DUET_MEMORY, "%s: no memory for its graph", name);
    const dt_shape shape = {batch, 3, model->image, model->image};
    out->image = dt_input(out->graph, "image", DT_REAL, shape);
    dt_graph_set_network(out->graph, network, name, false);
    out->logits = model->build(model, out->graph, out->image, classes).logits;
    out->batch = batch;
    out->classes = classes;
    out->image_count = 3 * model->image * model->image;
    return dt_graph_check(out->graph, err);
}

static duet_status compile(dt_inference *i, dt_state *s, duet_error *err)
{
    const dt_program_spec spec = {.graph = i->graph, .state = s, .outputs = &i->logits, .n_outputs = 1};
    i->padded = dt_alloc(i->batch * i->image_count, sizeof *i->padded);
    i->padded_logits = dt_alloc(i->batch * i->classes, sizeof *i->padded_logits);
    if (!i->padded || !i->padded_logits)
        return dt_fail(err, DUET_MEMORY, "no memory for a batch of %zu pictures", i->batch);
    return dt_program_compile(&spec, &i->program, err);
}

duet_status dt_inference_create(dt_state *s, int network, const char *name, const dt_model *model, size_t classes,
                                size_t batch, dt_inference *out, duet_error *err)
{
    dt_inference i = {0};
    duet_status st = describe(network, name, model, classes, batch, &i, err);
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
    dt_free(i->padded_logits);
    *i = (dt_inference){0};
}

duet_status dt_inference_run(dt_inference *i, const float *images, size_t n, float *logits, duet_error *err)
{
    if (n < 1 || n > i->batch) DT_BUG("%zu pictures for a batch of %zu", n, i->batch);
    const bool incomplete = n < i->batch;
    if (incomplete) {
        memcpy(i->padded, images, n * i->image_count * sizeof *images);
        memset(i->padded + n * i->image_count, 0, (i->batch - n) * i->image_count * sizeof *images);
        images = i->padded;
    }
    dt_program_write(i->program, i->image, images, i->batch * i->image_count);
    DT_TRY(dt_program_run(i->program, -1, err));
    dt_program_read(i->program, i->logits, incomplete ? i->padded_logits : logits, i->batch * i->classes);
    if (incomplete) memcpy(logits, i->padded_logits, n * i->classes * sizeof *logits);
    return DUET_OK;
}

/* ---- several networks over a data set -------------------------------------------------------------------------- */

/* What a pass adds up. */
typedef struct dt_pass {
    dt_inference *networks;
    int n;
    float *logits[DT_MAX_NETWORKS]; /* of one batch */
    dt_scores scores[DT_MAX_NETWORKS];
    dt_pair_scores pairs[DT_MAX_NETWORKS][DT_MAX_NETWORKS];
    size_t images;
} dt_pass;

static duet_status add_batch(dt_pass *p, const dt_batch *batch, float *const *keep, int32_t *labels, duet_error *err)
{
    const size_t classes = p->networks[0].classes;
    for (int i = 0; i < p->n; i++) {
        DT_TRY(dt_inference_run(&p->networks[i], batch->images[0], batch->n, p->logits[i], err));
        dt_scores_add(&p->scores[i], p->logits[i], batch->labels, batch->n, classes);
        if (keep && keep[i])
            memcpy(keep[i] + p->images * classes, p->logits[i], batch->n * classes * sizeof *p->logits[i]);
    }
    for (int a = 0; a < p->n; a++)
        for (int b = a + 1; b < p->n; b++)
            dt_pair_scores_add(&p->pairs[a][b], p->logits[a], p->logits[b], batch->n, classes);
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
    *out = (dt_evaluation){.images = p->images};
    for (int a = 0; a < p->n; a++) {
        out->measures[a] = dt_scores_finish(&p->scores[a]);
        for (int b = a + 1; b < p->n; b++) {
            const dt_pair_scores *pair = &p->pairs[a][b];
            const double images = pair->images ? (double)pair->images : 1;
            out->pairs[a][b] = (dt_pair_measures){100 * (double)pair->agree / images, pair->kl_sum / images};
        }
    }
}

duet_status dt_evaluate(dt_inference *networks, int n, dt_loader *loader, float *const *keep, int32_t *labels,
                        const volatile int *stop, dt_evaluation *out, duet_error *err)
{
    dt_pass *p = dt_alloc(1, sizeof *p);
    if (!p) return dt_fail(err, DUET_MEMORY, "no memory for an evaluation");
    duet_status st = DUET_OK;
    p->networks = networks;
    p->n = n;
    for (int i = 0; i < n && !st; i++) {
        p->logits[i] = dt_alloc(networks[i].batch * networks[i].classes, sizeof *p->logits[i]);
        if (!p->logits[i])
            st = dt_fail(err, DUET_MEMORY, "no memory for the outputs of a batch of %zu", networks[i].batch);
    }
    if (!st) st = run_pass(p, loader, keep, labels, stop, err);
    if (!st) finish_pass(p, out);
    for (int i = 0; i < n; i++) dt_free(p->logits[i]);
    dt_free(p);
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
static duet_status read_card(dt_classifier *c, const char *path, const char *model, size_t classes, duet_error *err)
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

duet_status dt_classifier_open(const char *path, const char *model, size_t classes, const char *device, int threads,
                               size_t batch, dt_classifier **out, duet_error *err)
{
    const dt_device_api *api = dt_device_find(device, err);
    if (!api) return err ? err->status : DUET_ARG;
    dt_classifier *c = dt_alloc(1, sizeof *c);
    if (!c) return dt_fail(err, DUET_MEMORY, "%s: no memory", path);

    const dt_device_options options = {.threads = threads, .precision = DT_F32};
    duet_status st = read_card(c, path, model, classes, err);
    if (!st) st = api->open(&options, &c->device, err);
    if (!st) st = describe(0, c->model->name, c->model, c->classes, batch, &c->network, err);
    if (!st)
        st = dt_state_create(c->device, c->network.graph, (const char *const[]){c->model->name}, 1, &c->state, err);
    if (!st) st = dt_weights_load(c->state, 0, path, err);
    if (!st) st = compile(&c->network, c->state, err);
    if (st) dt_classifier_close(c);
    else *out = c;
    return st;
}

void dt_classifier_close(dt_classifier *c)
{
    if (!c) return;
    dt_inference_release(&c->network);
    dt_state_destroy(c->state);
    if (c->device) c->device->api->close(c->device);
    dt_free(c);
}
