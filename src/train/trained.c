/* A weights file made ready to be used: what it says of itself (model, classes, what pictures are to look like, how noise grows), believed
 * and checked, then the network in inference mode. */
#include "train_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool dt_three_floats(const char *text, float out[3])
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

/* How pictures were normalised in training, where the file says it. */
static void read_normalisation(dt_trained *c, const dt_saved *file)
{
    const char *name = dt_saved_metadata(file, "normalise");
    c->normalise = DT_NORMALISE_DATA;
    for (int i = 0; name && dt_normalise_names[i]; i++)
        if (!strcmp(name, dt_normalise_names[i])) c->normalise = (dt_normalise)i;
    c->normalised = dt_three_floats(dt_saved_metadata(file, "mean"), c->mean) && dt_three_floats(dt_saved_metadata(file, "std"), c->std) &&
                    c->std[0] > 0 && c->std[1] > 0 && c->std[2] > 0;
}

/* Of two words for one thing, the file's and the caller's, the one there is. */
static duet_status one_of(const char *path, const char *what, const char *said, const char *given, const char **out, duet_error *err)
{
    if (said && given && strcmp(said, given) != 0)
        return dt_fail(err, DUET_ARG, "%s: was trained with --%s %s, found --%s %s; leave it out: the file says it itself", path, what, said, what, given);
    *out = said ? said : given;
    return DUET_OK;
}

/* How noise grows, for networks that denoise. A wrong guess would not be seen by anybody: the pictures would only be worse. */
static duet_status read_noise(dt_trained *c, const char *path, const dt_saved *file, const dt_trained_spec *spec, duet_error *err)
{
    enum { MOST = 100000, USUAL = 1000 };
    char given[24];
    const char *noise = NULL, *steps = NULL;
    snprintf(given, sizeof given, "%lld", (long long)spec->timesteps);
    DT_TRY(one_of(path, "noise", dt_saved_metadata(file, "noise"), spec->noise, &noise, err));
    DT_TRY(one_of(path, "timesteps", dt_saved_metadata(file, "timesteps"), spec->timesteps ? given : NULL, &steps, err));
    if (!noise)
        return dt_fail(err, DUET_FORMAT, "%s: does not say how noise grew in its training; say it: --noise linear, as in public DDPM files, or --noise cosine, "
                       "and --timesteps T where they were not %d", path, (int)USUAL);
    const bool linear = strcmp(noise, "linear") == 0;
    if (!linear && strcmp(noise, "cosine") != 0) return dt_fail(err, DUET_ARG, "%s: noise: found '%s'; allowed: linear, cosine", path, noise);
    c->config = (dt_task_config){.noise_schedule = linear ? DT_NOISE_LINEAR : DT_NOISE_COSINE, .timesteps = whole_number(steps, steps ? 0 : USUAL), .patch = 1};
    if (c->config.timesteps >= 2 && c->config.timesteps <= MOST) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%s: timesteps: found '%s'; allowed: 2 to %d", path, steps, (int)MOST);
}

/* A line each, as many as there are classes; else they are not known. */
static duet_status read_class_names(dt_trained *c, const dt_saved *file, duet_error *err)
{
    const char *said = dt_saved_metadata(file, "class_names");
    size_t lines = 1;
    for (const char *s = said; s && *s; s++) lines += *s == '\n';
    if (!said || lines != c->classes) return DUET_OK;
    char *text = dt_arena_strdup(&c->arena, said);
    const char **names = dt_arena_alloc(&c->arena, lines, sizeof *names);
    if (!text || !names) return dt_fail(err, DUET_MEMORY, "no memory for the names of %zu classes", lines);
    for (size_t i = 0; i < lines; i++) {
        names[i] = text;
        text += strcspn(text, "\n");
        if (*text) *text++ = '\0';
    }
    c->class_names = names;
    return DUET_OK;
}

/* How pictures were resized to be judged. */
static void read_squares(dt_trained *c, const dt_saved *file)
{
    enum { MOST = 4096 };
    const int64_t size = whole_number(dt_saved_metadata(file, "size"), 0), side = whole_number(dt_saved_metadata(file, "short_side"), 0);
    if (size >= 1 && size <= MOST && side >= size && side <= 2 * MOST) c->squares = (dt_squares){.size = (size_t)size, .short_side = (size_t)side};
}

/* The network that the caller names, or the file: built in, described in a file, or described in the weights' file itself. */
static duet_status find_model(dt_trained *c, const dt_saved *file, const char *name, bool named, duet_error *err)
{
    const char *description = dt_saved_metadata(file, "description");
    if (named && dt_model_is_file(name)) return dt_model_read(name, &c->arena, &c->model, err);
    if (!named && description) return dt_model_described(name, description, strlen(description), &c->arena, &c->model, err);
    c->model = dt_model_find(name, err);
    return c->model ? DUET_OK : err ? err->status : DUET_ARG;
}

/* What the file says of itself, and what the caller says instead. */
static duet_status read_card(dt_trained *c, const char *path, const dt_trained_spec *spec, duet_error *err)
{
    const char *model = spec->model;
    dt_saved *file = NULL;
    DT_TRY(dt_saved_open(path, &file, err));
    const char *said = dt_saved_metadata(file, "model");
    const char *data = dt_saved_metadata(file, "data");
    duet_status st = DUET_OK;
    const int64_t said_classes = whole_number(dt_saved_metadata(file, "classes"), 0);
    c->classes = spec->classes ? spec->classes : (size_t)said_classes;
    c->epoch = whole_number(dt_saved_metadata(file, "epoch"), -1);
    read_normalisation(c, file);
    snprintf(c->data, sizeof c->data, "%s", data ? data : "");
    const dt_model *fits = model || said ? NULL : dt_model_of_weights(file, NULL);
    if (!model && !said)
        st = dt_fail(err, DUET_FORMAT, "%s: does not say which model it holds; %s --model %s", path,
                     fits ? "these are the shapes of one that is built in:" : "name it, for example", fits ? fits->name : "resnet20");
    else if ((st = find_model(c, file, model ? model : said, model != NULL, err)))
        dt_context(err, "%s", path);
    else if (!(c->task = dt_task_find(dt_model_task(c->model), err)))
        st = err ? err->status : DUET_ARG;
    else if (!(c->task->needs & DT_NEEDS_NOISE) && (c->classes < 2 || c->classes > 1000000))
        st = dt_fail(err, DUET_FORMAT,
                     "%s: does not say how many classes it knows; name the data set it was trained on", path);
    else {
        read_squares(c, file);
        st = read_class_names(c, file, err);
        if (!st && c->task->needs & DT_NEEDS_NOISE) st = read_noise(c, path, file, spec, err);
    }
    dt_saved_close(file);
    return st;
}

static dt_network_size own_size(const dt_trained *c, size_t batch)
{
    const size_t side = c->squares.size;
    if (side && dt_model_check_size(c->model, side, side, NULL) == DUET_OK)
        return (dt_network_size){.classes = c->classes, .height = side, .width = side, .batch = batch};
    return (dt_network_size){.classes = c->classes, .height = c->model->image, .width = dt_model_width(c->model), .batch = batch};
}

/* As many pictures at once as a hundred of 64x64 pixels, at least one. */
static size_t default_batch(const dt_model *m)
{
    enum { MOST = 100, PIXELS = MOST * 64 * 64 };
    const size_t one = m->image * dt_model_width(m), batch = one ? PIXELS / one : MOST;
    return batch < 1 ? 1 : batch < MOST ? batch : MOST;
}

dt_normalisation dt_trained_normalisation(const dt_trained *c, const dt_data_facts *data)
{
    dt_data_facts own = {.std = {1, 1, 1}};
    if (data) own = *data;
    if (c->normalised) {
        memcpy(own.mean, c->mean, sizeof own.mean);
        memcpy(own.std, c->std, sizeof own.std);
    }
    return dt_normalisation_of(c->normalise, &own);
}

dt_noising dt_trained_noising(const dt_trained *c)
{
    return (dt_noising){.T = (int)c->config.timesteps, .signal = c->signal, .noise = c->noise, .fixed = true};
}

duet_status dt_trained_open(const char *path, const dt_trained_spec *spec, dt_trained **out, duet_error *err)
{
    const size_t batch = spec->batch;
    const dt_device_api *api = dt_device_find(spec->device ? spec->device : "cpu", err);
    if (!api) return err ? err->status : DUET_ARG;
    dt_trained *c = dt_alloc(1, sizeof *c);
    if (!c) return dt_fail(err, DUET_MEMORY, "%s: no memory", path);

    const dt_device_options options = {.threads = spec->threads, .precision = DT_F32};
    duet_status st = read_card(c, path, spec, err);
    if (!st) st = api->open(&options, &c->device, err);
    if (!st) st = dt_inference_describe(0, c->model->name, c->model, own_size(c, batch ? batch : default_batch(c->model)), &c->network, err);
    if (!st)
        st = dt_state_create(c->device, c->network.graph, (const char *const[]){c->model->name}, 1, &c->state, err);
    if (!st && (st = dt_weights_load(c->state, 0, path, err))) dt_name_twin(path, &c->state->networks[0], "--model ", err);
    if (!st && c->task->needs & DT_NEEDS_NOISE) {
        c->signal = dt_alloc((size_t)c->config.timesteps, sizeof *c->signal);
        c->noise = dt_alloc((size_t)c->config.timesteps, sizeof *c->noise);
        st = c->signal && c->noise ? dt_noise_tables(&c->config, c->signal, c->noise, err) : dt_fail(err, DUET_MEMORY, "%s: no memory", path);
    }
    if (!st) st = dt_inference_compile(&c->network, c->state, err);
    if (st) dt_trained_close(c);
    else *out = c;
    return st;
}

void dt_trained_close(dt_trained *c)
{
    if (!c) return;
    dt_inference_release(&c->network);
    dt_state_destroy(c->state);
    dt_arena_release(&c->arena);
    dt_free(c->signal);
    dt_free(c->noise);
    if (c->device) c->device->api->close(c->device);
    dt_free(c);
}
