/* <duet/network.h>: models listed, and weights files put to use through the inference of src/train. */
#include "api/api_impl.h"

#include <duet/picture.h>

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

duet_status duet_model_describe(const char *model, size_t classes, char **out, duet_error *err)
{
    dt_arena arena = {0};
    dt_text text = {0};
    const dt_model *m = NULL;
    duet_status st = classes > INT32_MAX ? dt_fail(err, DUET_ARG, "%zu classes are too many", classes) : DUET_OK;
    if (!st && dt_model_is_file(model)) st = dt_model_read(model, &arena, &m, err);
    else if (!st && !(m = dt_model_find(model, err))) st = DUET_ARG;
    if (!st) st = dt_model_list(m, classes, &text, err);
    dt_arena_release(&arena);
    if (!st) return dt_api_give_text(&text, out, err);
    dt_text_release(&text);
    return st;
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

struct duet_network {
    dt_trained *inner;
    float *pictures; /* [batch, image, image, 3] normalised */
    float table[3][256]; /* what each byte of each channel becomes, channels in the network's order */
    bool bgr;            /* that order is blue first */
    dt_inference single; /* one picture at a time, of the last one's size; nothing before the first */
};

static void fill_table(duet_network *network)
{
    const dt_normalisation n = dt_trained_normalisation(network->inner, NULL);
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++)
            network->table[c][byte] = ((float)byte / n.unit - n.mean[c]) / n.std[c];
    network->bgr = n.bgr;
}

duet_status duet_network_open(const char *weights, const duet_network_options *options, duet_network **out, duet_error *err)
{
    const duet_network_options o = options ? *options : (duet_network_options){0};
    duet_network *network = dt_alloc(1, sizeof *network);
    if (!network) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", weights);
    const dt_trained_spec spec = {.model = o.model, .classes = o.classes, .noise = o.noise, .timesteps = o.timesteps, .device = o.device,
                                  .threads = o.threads, .batch = o.batch};
    duet_status st = dt_trained_open(weights, &spec, &network->inner, err);
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
    dt_inference_release(&network->single);
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
    *out = (duet_network_info){.model = c->model->name, .data = c->data, .classes = c->classes, .image = c->network.height,
                               .epoch = c->epoch, .task = c->task->name, .pixel_classes = c->task->classes_of_pixels != NULL, .normalised = c->normalised, .std = {1, 1, 1},
                               .class_names = c->class_names, .short_side = c->squares.short_side};
    if (!c->normalised) return;
    memcpy(out->mean, c->mean, sizeof out->mean);
    memcpy(out->std, c->std, sizeof out->std);
}

/* Rows of classes are what classifiers give; what other networks give has another shape. */
static duet_status need_classifier(const duet_network *network, duet_error *err)
{
    const dt_trained *c = network->inner;
    if (c->network.output_count == c->classes) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%s is a network for task %s, which gives no row of classes for a picture", c->model->name, c->task->name);
}

static void normalise(const duet_network *network, const uint8_t *pixels, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++) out[3 * i + c] = network->table[c][pixels[3 * i + (network->bgr ? 2 - c : c)]];
}

duet_status duet_network_logits(duet_network *network, const float *pictures, size_t n, float *logits, duet_error *err)
{
    dt_inference *i = &network->inner->network;
    DT_TRY(need_classifier(network, err));
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
    DT_TRY(need_classifier(network, err));
    for (size_t done = 0; done < n;) {
        const size_t now = n - done < i->batch ? n - done : i->batch;
        const uint8_t *from = pixels + done * i->image_count;
        float *to = probabilities + done * i->classes;
        normalise(network, from, now * i->image_count / 3, network->pictures);
        DT_TRY(duet_network_logits(network, network->pictures, now, to, err));
        for (size_t row = 0; row < now; row++) softmax_in_place(to + row * i->classes, i->classes);
        done += now;
    }
    return DUET_OK;
}

/* ---- pictures as it is to see them --------------------------------------------------------------------------- */

static uint8_t *new_square(const dt_squares *to, duet_error *err)
{
    uint8_t *square = dt_alloc(to->size * to->size, 3);
    if (!square) dt_fail(err, DUET_MEMORY, "not enough memory for a picture of %zux%zu pixels", to->size, to->size);
    return square;
}

static duet_status give(uint8_t *square, const dt_squares *to, duet_status st, uint8_t **pixels, size_t *height, size_t *width)
{
    if (st) {
        dt_free(square);
        return st;
    }
    *pixels = square;
    *height = *width = to->size;
    return DUET_OK;
}

duet_status duet_network_read_picture(const duet_network *network, const char *path, uint8_t **pixels, size_t *height, size_t *width,
                                      duet_error *err)
{
    const dt_squares *to = &network->inner->squares;
    if (!to->size) return duet_picture_read(path, pixels, height, width, err);
    uint8_t *square = new_square(to, err);
    if (!square) return DUET_MEMORY;
    return give(square, to, dt_square_of_file(to, path, square, err), pixels, height, width);
}

duet_status duet_network_read_record(const duet_network *network, const duet_data *data, duet_split split, size_t index, uint8_t **pixels,
                                     size_t *height, size_t *width, int32_t *label, duet_error *err)
{
    const dt_squares *to = &network->inner->squares;
    size_t h, w, places;
    DT_TRY(duet_data_size(data, split, index, &h, &w, err));
    if (to->size) {
        uint8_t *square = new_square(to, err);
        if (!square) return DUET_MEMORY;
        const dt_split inner = split == DUET_SPLIT_TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST;
        return give(square, to, dt_square_of_record(to, data->source, inner, index, square, label, err), pixels, height, width);
    }
    uint8_t *bytes = dt_size_mul(h, w, &places) ? dt_alloc(places, 3) : NULL;
    if (!bytes) return dt_fail(err, DUET_MEMORY, "not enough memory for a picture of %zux%zu pixels", h, w);
    const duet_status st = duet_data_read(data, split, index, bytes, label, NULL, err);
    if (st) {
        dt_free(bytes);
        return st;
    }
    *pixels = bytes;
    *height = h;
    *width = w;
    return DUET_OK;
}

/* ---- one picture of any size --------------------------------------------------------------------------------- */

duet_status duet_network_check_size(const duet_network *network, size_t height, size_t width, duet_error *err)
{
    return dt_model_check_size(network->inner->model, height, width, err);
}

/* Makes network->single fit pictures of this size. */
static duet_status fit_single(duet_network *network, size_t height, size_t width, duet_error *err)
{
    const dt_inference *own = &network->inner->network;
    if (network->single.program && network->single.height == height && network->single.width == width) return DUET_OK;
    DT_TRY(dt_model_check_size(own->model, height, width, err));
    const dt_network_size size = {.classes = own->classes, .height = height, .width = width, .batch = 1};
    dt_inference_release(&network->single);
    return dt_inference_create(own->state, own->network, own->name, own->model, size, &network->single, err);
}

duet_status duet_network_segment(duet_network *network, const uint8_t *pixels, size_t height, size_t width, uint8_t *classes, duet_error *err)
{
    const dt_trained *c = network->inner;
    dt_inference *i = &network->single;
    if (!c->task->classes_of_pixels)
        return dt_fail(err, DUET_ARG, "%s is a network for task %s, which names no classes of pixels", c->model->name, c->task->name);
    DT_TRY(fit_single(network, height, width, err));
    float *picture = dt_alloc(i->image_count, sizeof *picture), *output = dt_alloc(i->output_count, sizeof *output);
    duet_status st = picture && output ? DUET_OK : dt_fail(err, DUET_MEMORY, "not enough memory for a picture of %zux%zu", height, width);
    if (!st) {
        normalise(network, pixels, height * width, picture);
        st = dt_inference_run(i, picture, NULL, 1, output, err);
    }
    if (!st) {
        const dt_answers a = {.output = output, .shape = i->shape, .align = i->align, .height = height, .width = width, .classes = c->classes,
                              .config = &c->config};
        c->task->classes_of_pixels(&a, classes);
    }
    dt_free(picture);
    dt_free(output);
    return st;
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
    for (size_t i = 0; whole && c->class_names && f->class_names && i < c->classes; i++)
        if (strcmp(c->class_names[i], f->class_names[i]))
            return dt_fail(err, DUET_DATA, "class %zu is %s in the weights and %s in %s; measure it on data with the classes that it was trained on", i,
                           c->class_names[i], f->class_names[i], f->name);
    if (!f->mixed_sizes && !c->squares.size) DT_TRY(dt_model_check_size(c->model, f->height, f->width, err));
    if (images == 0) return dt_fail(err, DUET_DATA, "%s has no pictures to measure on", f->name);
    return DUET_OK;
}

static duet_status evaluate(duet_network *network, const duet_data *data, duet_split split, float *outputs, double *per_class,
                            duet_measures *out, duet_error *err)
{
    dt_trained *c = network->inner;
    const dt_data_facts *f = &data->source->facts;
    const size_t images = split == DUET_SPLIT_TRAIN ? f->train_images : f->test_images;
    DT_TRY(check_fit(network, f, images, err));
    const bool mixed = f->mixed_sizes && !c->squares.size;
    if (mixed) DT_TRY(fit_single(network, c->network.height, c->network.width, err)); /* and from there to each picture's own */

    dt_inference *judged = mixed ? &network->single : &c->network;
    const dt_normalisation seen = dt_trained_normalisation(c, f);
    const dt_noising noise = dt_trained_noising(c);
    dt_cpu cpu;
    dt_cpu_detect(&cpu);
    const int workers = data->source->fetch && cpu.cores > 1 ? cpu.cores : 1; /* files are decoded */
    const dt_loader_spec spec = {.source = data->source, .normalise = &seen, .noising = c->task->needs & DT_NEEDS_NOISE ? &noise : NULL,
                                 .split = split == DUET_SPLIT_TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST, .n_indices = images,
                                 .batch = judged->batch, .augment = DT_AUGMENT_NONE, .squares = c->squares, .views = 1, .skip = data->skip,
                                 .workers = workers};
    dt_loader *loader;
    const char *first;
    dt_evaluation evaluation = {.per_class = {per_class}};
    const dt_subjects of = {.networks = judged, .n = 1, .task = c->task, .config = &c->config};
    DT_TRY(dt_loader_create(&spec, &loader, err));
    duet_status st = dt_evaluate(&of, loader, outputs ? &outputs : NULL, NULL, NULL, &evaluation, err);
    if (!st) {
        *out = dt_api_measures(c->task, &evaluation.measures[0]);
        out->skipped = dt_loader_skipped(loader, &first);
        dt_say_skipped(loader, split == DUET_SPLIT_TRAIN ? "training pictures" : "test pictures", &data->log);
    }
    dt_loader_destroy(loader);
    return st;
}

duet_status duet_network_evaluate(duet_network *network, const duet_data *data, duet_split split, float *logits, duet_measures *out,
                                  duet_error *err)
{
    if (logits) DT_TRY(need_classifier(network, err));
    return evaluate(network, data, split, logits, NULL, out, err);
}

duet_status duet_network_evaluate_classes(duet_network *network, const duet_data *data, duet_split split, double *per_class, duet_measures *out,
                                          duet_error *err)
{
    const dt_trained *c = network->inner;
    if (!c->task->scoring->per_class)
        return dt_fail(err, DUET_ARG, "%s is a network for task %s, which measures nothing of single classes", c->model->name, c->task->name);
    return evaluate(network, data, split, NULL, per_class, out, err);
}
