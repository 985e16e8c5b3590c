/* <duet/network.h>: models listed, and weights files put to use through the inference of src/train. */
#include "api/api_impl.h"

#include <math.h>
#include <string.h>

_Static_assert((int)DUET_MAX_TAPS == (int)DT_MAX_TAPS, "the public limit follows the inner one");

/* ---- models ------------------------------------------------------------------------------------------------- */

size_t duet_model_count(void)
{
    size_t n = 0;
    while (dt_model_at(n)) n++;
    return n;
}

duet_status duet_model_at(size_t i, size_t classes, duet_model *out, duet_error *err)
{
    const dt_model *m = dt_model_at(i);
    if (!m) return dt_fail(err, DUET_ARG, "there is no model number %zu; there are %zu, counted from 0", i, duet_model_count());
    if (classes > INT32_MAX) return dt_fail(err, DUET_ARG, "%s: %zu classes are too many", m->name, classes);
    dt_model_facts facts;
    DT_TRY(dt_model_measure(m, classes, &facts, err));
    *out = (duet_model){.name = m->name, .family = m->family, .help = m->help, .task = dt_model_task(m), .image = m->image,
                        .image_width = dt_model_width(m), .classes = m->classes && classes ? classes : m->classes, .parameters = facts.parameters,
                        .buffers = facts.buffers, .macs = facts.macs, .n_taps = (size_t)facts.built.n_taps};
    for (size_t t = 0; t < out->n_taps; t++) {
        const dt_shape s = facts.tap_shape[t];
        out->taps[t] = (duet_tap){.name = facts.built.taps[t].name, .channels = s.c, .height = s.h, .width = s.w};
    }
    return DUET_OK;
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

struct duet_network {
    dt_trained *inner;
    float *pictures; /* [batch, image, image, 3] normalised */
    float table[3][256]; /* what each byte of each channel becomes */
};

static void fill_table(duet_network *network)
{
    const dt_normalisation n = dt_trained_normalisation(network->inner, NULL);
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++)
            network->table[c][byte] = ((float)byte / n.unit - n.mean[c]) / n.std[c];
}

duet_status duet_network_open(const char *weights, const duet_network_options *options, duet_network **out, duet_error *err)
{
    const duet_network_options o = options ? *options : (duet_network_options){0};
    duet_network *network = dt_alloc(1, sizeof *network);
    if (!network) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", weights);
    duet_status st = dt_trained_open(weights, o.model, o.classes, o.device ? o.device : "cpu", o.threads, o.batch,
                                        &network->inner, err);
    if (!st) {
        const dt_inference *i = &network->inner->network;
        network->pictures = dt_alloc(i->batch * i->image_count, sizeof *network->pictures);
        if (!network->pictures) st = dt_fail(err, DUET_MEMORY, "%s: not enough memory for a batch of %zu", weights, i->batch);
    }
    if (st) {
        duet_network_close(network);
        return st;
    }
    fill_table(network);
    *out = network;
    return DUET_OK;
}

void duet_network_close(duet_network *network)
{
    if (!network) return;
    dt_trained_close(network->inner);
    dt_free(network->pictures);
    dt_free(network);
}

dt_trained *dt_api_trained(duet_network *network)
{
    return network->inner;
}

void duet_network_describe(const duet_network *network, duet_network_info *out)
{
    const dt_trained *c = network->inner;
    *out = (duet_network_info){.model = c->model->name, .data = c->data, .classes = c->classes, .image = c->model->image,
                               .epoch = c->epoch, .normalised = c->normalised, .std = {1, 1, 1}};
    if (!c->normalised) return;
    memcpy(out->mean, c->mean, sizeof out->mean);
    memcpy(out->std, c->std, sizeof out->std);
}

duet_status duet_network_logits(duet_network *network, const float *pictures, size_t n, float *logits, duet_error *err)
{
    dt_inference *i = &network->inner->network;
    for (size_t done = 0; done < n;) {
        const size_t now = n - done < i->batch ? n - done : i->batch;
        DT_TRY(dt_inference_run(i, pictures + done * i->image_count, NULL, now, logits + done * i->output_count, err));
        done += now;
    }
    return DUET_OK;
}

static void softmax_in_place(float *row, size_t classes)
{
    float largest = row[0];
    double sum = 0;
    for (size_t c = 1; c < classes; c++) largest = row[c] > largest ? row[c] : largest;
    for (size_t c = 0; c < classes; c++) sum += exp((double)(row[c] - largest));
    for (size_t c = 0; c < classes; c++) row[c] = (float)(exp((double)(row[c] - largest)) / sum);
}

duet_status duet_network_classify(duet_network *network, const uint8_t *pixels, size_t n, float *probabilities, duet_error *err)
{
    const dt_inference *i = &network->inner->network;
    for (size_t done = 0; done < n;) {
        const size_t now = n - done < i->batch ? n - done : i->batch;
        const uint8_t *from = pixels + done * i->image_count;
        float *to = probabilities + done * i->classes;
        for (size_t k = 0; k < now * i->image_count; k++) network->pictures[k] = network->table[k % 3][from[k]];
        DT_TRY(duet_network_logits(network, network->pictures, now, to, err));
        for (size_t row = 0; row < now; row++) softmax_in_place(to + row * i->classes, i->classes);
        done += now;
    }
    return DUET_OK;
}

/* ---- measuring ---------------------------------------------------------------------------------------------- */

static duet_status check_fit(const duet_network *network, const dt_data_facts *f, size_t images, duet_error *err)
{
    const dt_trained *c = network->inner;
    const bool pixels = c->task->needs & DT_NEEDS_PIXEL_LABELS, whole = c->task->needs & DT_NEEDS_LABELS;
    if ((pixels && f->labels != DT_LABELS_PIXELS) || (whole && f->labels != DT_LABELS_CLASS))
        return dt_fail(err, DUET_SHAPE, "%s is a network for task %s, and %s has a class for %s; measure it on data of its kind", c->model->name,
                       c->task->name, f->name, pixels ? "each picture" : "every pixel");
    if ((pixels || whole) && f->classes != c->classes)
        return dt_fail(err, DUET_SHAPE, "%s knows %zu classes%s%s, %s has %zu; measure it on the data it was trained on", c->model->name,
                       c->classes, *c->data ? " of " : "", c->data, f->name, f->classes);
    if (!f->mixed_sizes) DT_TRY(dt_model_check_size(c->model, f->height, f->width, err));
    if (images == 0) return dt_fail(err, DUET_DATA, "%s has no pictures to measure on", f->name);
    return DUET_OK;
}

duet_status duet_network_evaluate(duet_network *network, const duet_data *data, duet_split split, float *logits, duet_measures *out,
                                  duet_error *err)
{
    dt_trained *c = network->inner;
    const dt_data_facts *f = &data->source->facts;
    const size_t images = split == DUET_SPLIT_TRAIN ? f->train_images : f->test_images;
    DT_TRY(check_fit(network, f, images, err));

    const dt_normalisation seen = dt_trained_normalisation(c, f);
    const dt_noising noise = dt_trained_noising(c);
    const dt_loader_spec spec = {.source = data->source, .normalise = &seen, .noising = c->task->needs & DT_NEEDS_NOISE ? &noise : NULL, .split = split == DUET_SPLIT_TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST,
                                 .n_indices = images, .batch = f->mixed_sizes ? 1 : c->network.batch, .augment = DT_AUGMENT_NONE, .views = 1, .workers = 1};
    dt_loader *loader;
    dt_evaluation evaluation = {0};
    const dt_subjects of = {.networks = &c->network, .n = 1, .task = c->task, .config = &c->config};
    DT_TRY(dt_loader_create(&spec, &loader, err));
    duet_status st = dt_evaluate(&of, loader, logits ? &logits : NULL, NULL, NULL, &evaluation, err);
    dt_loader_destroy(loader);
    if (!st) *out = dt_api_measures(c->task, &evaluation.measures[0]);
    return st;
}
