/* Looking at a run: what its networks see of single pictures, by the nodes that train them.
 *
 * Two networks of a run's recipe, in inference mode and with the weights of its folder, share one graph with what adm builds for
 * a teacher and a student. The graph is for one picture; where pictures differ in size, it is built anew.
 *
 * Networks that denoise see each picture under several amounts of noise, and what they take for the picture is worked out of what they say the
 * noise is. */
#include "train_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dt_look {
    dt_look_facts facts;
    dt_recipe *recipe;
    dt_source *source;
    dt_device *device;
    int network[2];        /* of the recipe: teacher, student */
    /* What one size of pictures needs. */
    dt_graph *graph;
    dt_peers peers;        /* two of them */
    dt_node image, time;
    dt_node map[DT_LOOK_MAPS], share[DT_LOOK_MAPS], foreground; /* share, foreground: scalars, DT_NONE without a mask */
    dt_program *program;
    size_t height, width;
    float *values[DT_LOOK_MAPS];
    dt_state *state;       /* outlives graphs */
    /* Networks that denoise. */
    float *signal, *noise; /* [timesteps]; NULL: they do not */
    dt_noising noising;
    int moment;            /* which of DT_LOOK_TIMES the last one was */
    float *noisy, *eps, *said[2], *estimate[2]; /* a picture each, of the size that the graph is for */
    /* Pictures. */
    dt_loader *loader;
    uint32_t *indices;
    size_t n, next;
    dt_batch *batch;       /* the one that is lent out; NULL: none */
    dt_normalisation seen; /* how its pictures were normalised */
    uint8_t *pixels, *mask, *pixel_labels; /* what is shown of it, of the size that the graph is for */
};

/* ---- who is looked at ------------------------------------------------------------------------------------------ */

static int find_network(const dt_recipe *r, const char *name, dt_role role)
{
    for (int i = 0; i < r->n_networks; i++)
        if (name ? !strcmp(r->networks[i].name, name) : r->networks[i].role == (int)role) return i;
    return -1;
}

static duet_status choose(dt_look *l, const dt_look_spec *spec, duet_error *err)
{
    static const char *const what[2] = {"teacher", "student"};
    const char *const named[2] = {spec->teacher, spec->student};
    const dt_recipe *r = l->recipe;
    for (int k = 0; k < 2; k++) {
        l->network[k] = find_network(r, named[k], k ? DT_ROLE_STUDENT : DT_ROLE_TEACHER);
        if (l->network[k] >= 0) continue;
        dt_text names = {0};
        for (int i = 0; i < r->n_networks; i++) dt_text_append(&names, "%s%s", i ? ", " : "", r->networks[i].name);
        if (named[k]) dt_fail(err, DUET_ARG, "%s: no network is called '%s'; there are %s", spec->folder, named[k], dt_text_ok(&names) ? names.bytes : "");
        else
            dt_fail(err, DUET_ARG, "%s: no network has the role of a %s; say which one is to stand for it (networks: %s)", spec->folder, what[k],
                    dt_text_ok(&names) ? names.bytes : "");
        dt_text_release(&names);
        return DUET_ARG;
    }
    if (l->network[0] != l->network[1]) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%s: '%s' cannot be compared with itself; name two networks", spec->folder, r->networks[l->network[0]].name);
}

/* ---- the graph ------------------------------------------------------------------------------------------------- */

/* Pictures that are made into squares lose their masks. */
static bool is_masked(const dt_look *l) { return l->source->facts.masks && !dt_recipe_squares_of(l->recipe, false).size; }

static void leave_network(dt_graph *g) { dt_graph_set_network(g, -1, NULL, true); }

static void make_inputs(dt_look *l, size_t height, size_t width)
{
    const dt_recipe *r = l->recipe;
    const unsigned needs = r->task->needs;
    const dt_shape one = {1, 1, 1, 1};
    l->image = dt_input(l->graph, "image", DT_REAL, (dt_shape){1, 3, height, width});
    l->time = needs & DT_NEEDS_NOISE ? dt_input(l->graph, "time", DT_INDEX, one) : DT_NONE;
    l->peers = (dt_peers){.n = 2, .task = r->task, .ramp_epoch = DT_NONE};
    dt_node mask = is_masked(l) ? dt_input(l->graph, "mask", DT_REAL, (dt_shape){1, 1, height, width}) : DT_NONE;
    l->peers.targets = (dt_targets){.noise = DT_NONE, .mask = mask, .labels = DT_NONE, .classes = l->source->facts.classes, .config = &r->task_config};
    if (needs & DT_NEEDS_PIXEL_LABELS) l->peers.targets.labels = dt_input(l->graph, "labels", DT_INDEX, (dt_shape){1, 1, height, width});
    else if (needs & DT_NEEDS_LABELS) l->peers.targets.labels = dt_input(l->graph, "labels", DT_INDEX, one);
}

static duet_status build_network(dt_look *l, int k, size_t height, size_t width, duet_error *err)
{
    const dt_recipe_network *n = &l->recipe->networks[l->network[k]];
    const dt_model *model = dt_recipe_model(n, err);
    if (!model) return err ? err->status : DUET_ARG;
    DT_TRY(dt_model_check_size(model, height, width, err));
    const dt_model_inputs in = {.image = l->image, .time = l->time, .dropout_key = DT_NONE, .classes = l->source->facts.classes};
    dt_graph_set_network(l->graph, k, n->name, false);
    l->peers.at[k] = (dt_peer){.name = n->name, .role = k ? DT_ROLE_STUDENT : DT_ROLE_TEACHER, .frozen = true,
                               .built = model->build(model, l->graph, &in)};
    leave_network(l->graph);
    return dt_graph_check(l->graph, err);
}

static void forget_size(dt_look *l)
{
    dt_program_destroy(l->program);
    dt_graph_destroy(l->graph);
    l->program = NULL;
    l->graph = NULL;
    l->height = l->width = 0;
    for (int m = 0; m < DT_LOOK_MAPS; m++) {
        dt_free(l->values[m]);
        l->values[m] = NULL;
    }
    float **const pictures[] = {&l->noisy, &l->eps, &l->said[0], &l->said[1], &l->estimate[0], &l->estimate[1]};
    for (size_t i = 0; i < DT_COUNT(pictures); i++) {
        dt_free(*pictures[i]);
        *pictures[i] = NULL;
    }
    uint8_t **const shown[] = {&l->pixels, &l->mask, &l->pixel_labels};
    for (size_t i = 0; i < DT_COUNT(shown); i++) {
        dt_free(*shown[i]);
        *shown[i] = NULL;
    }
}

static bool is_noisy(const dt_look *l) { return l->recipe->task->needs & DT_NEEDS_NOISE; }

static duet_status build_graph(dt_look *l, size_t height, size_t width, duet_error *err)
{
    dt_adm_maps maps;
    l->graph = dt_graph_create();
    if (!l->graph) return dt_fail(err, DUET_MEMORY, "no memory for the graph of two networks");
    leave_network(l->graph);
    dt_graph_set_variant(l->graph, -1);
    make_inputs(l, height, width);
    for (int k = 0; k < 2; k++) DT_TRY(build_network(l, k, height, width, err));
    DT_TRY(dt_adm_look(l->graph, &l->peers, &l->recipe->adm, 0, 1, &maps, err));
    for (int k = 0; k < 2; k++) {
        l->map[DT_LOOK_ATTENTION + k] = maps.attention[k];
        l->map[DT_LOOK_ACTIVATION + k] = maps.activation[k];
    }
    l->map[DT_LOOK_SIMILARITY] = maps.similarity;
    l->map[DT_LOOK_CONSENSUS] = maps.consensus;
    l->map[DT_LOOK_DIVERGENCE] = maps.divergence;
    for (int k = 0; k < 2; k++) l->map[DT_LOOK_ERROR + k] = DT_NONE; /* worked out of what the networks say */
    const bool masked = l->peers.targets.mask != DT_NONE;
    l->foreground = masked ? dt_foreground_area(l->graph, &l->peers) : DT_NONE;
    for (int m = 0; m < DT_LOOK_MAPS; m++)
        l->share[m] = masked && l->map[m] != DT_NONE ? dt_foreground_share(l->graph, &l->peers, l->map[m]) : DT_NONE;
    return dt_graph_check(l->graph, err);
}

/* What the program is to compute; with noise also what the networks say it is. Positions are rewritten by compiling. */
static size_t list_outputs(dt_look *l, dt_node **out)
{
    size_t n = 0;
    for (int m = 0; m < DT_LOOK_MAPS; m++) {
        if (l->map[m] != DT_NONE) out[n++] = &l->map[m];
        if (l->share[m] != DT_NONE) out[n++] = &l->share[m];
    }
    if (l->foreground != DT_NONE) out[n++] = &l->foreground;
    for (int k = 0; k < 2 && is_noisy(l); k++) out[n++] = &l->peers.at[k].built.output;
    return n;
}

static duet_status make_room(dt_look *l, size_t height, size_t width, duet_error *err)
{
    for (int m = 0; m < DT_LOOK_MAPS; m++) {
        const bool error = m >= DT_LOOK_ERROR;
        if (error ? !is_noisy(l) : l->map[m] == DT_NONE) continue;
        l->values[m] = dt_alloc(error ? height * width : dt_shape_count(dt_shape_of(l->graph, l->map[m])), sizeof *l->values[m]);
        if (!l->values[m]) return dt_fail(err, DUET_MEMORY, "no memory for maps");
    }
    float **const pictures[] = {&l->noisy, &l->eps, &l->said[0], &l->said[1], &l->estimate[0], &l->estimate[1]};
    for (size_t i = 0; i < DT_COUNT(pictures) && is_noisy(l); i++)
        if (!(*pictures[i] = dt_alloc(3 * height * width, sizeof **pictures))) return dt_fail(err, DUET_MEMORY, "no memory for noisy pictures");
    const dt_data_facts *f = &l->source->facts;
    const bool classes = f->labels == DT_LABELS_PIXELS;
    l->pixels = dt_alloc(3 * height * width, 1);
    l->mask = is_masked(l) ? dt_alloc(height * width, 1) : NULL;
    l->pixel_labels = classes ? dt_alloc(height * width, 1) : NULL;
    if (l->pixels && (l->mask || !is_masked(l)) && (l->pixel_labels || !classes)) return DUET_OK;
    return dt_fail(err, DUET_MEMORY, "%s: no memory for a picture", f->name);
}

static duet_status compile(dt_look *l, size_t height, size_t width, duet_error *err)
{
    enum { MOST = 2 * DT_LOOK_MAPS + 3 };
    dt_node *place[MOST], outputs[MOST];
    const size_t n = list_outputs(l, place);
    for (size_t i = 0; i < n; i++) outputs[i] = *place[i];
    const dt_program_spec spec = {.graph = l->graph, .state = l->state, .outputs = outputs, .n_outputs = n};
    DT_TRY(dt_program_compile(&spec, &l->program, err));
    for (size_t i = 0; i < n; i++) *place[i] = outputs[i];
    return make_room(l, height, width, err);
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

static int64_t epoch_of(const char *path)
{
    dt_saved *file = NULL;
    if (dt_saved_open(path, &file, NULL)) return -1;
    const char *said = dt_saved_metadata(file, "epoch");
    const int64_t epoch = said && *said >= '0' && *said <= '9' ? (int64_t)strtoll(said, NULL, 10) : -1;
    dt_saved_close(file);
    return epoch;
}

/* The file of a network that is wanted, or the next one that is there. */
static duet_status find_weights(dt_look *l, const dt_look_spec *spec, int k, char path[4096], duet_error *err)
{
    static const char *const kinds[] = {".best", ".ema", ""};
    const dt_recipe_network *n = &l->recipe->networks[l->network[k]];
    for (size_t i = (size_t)spec->weights; i < DT_COUNT(kinds); i++) {
        char *const file = l->facts.weights[k].file;
        const int name = snprintf(file, sizeof l->facts.weights[k].file, "%s%s.safetensors", n->name, kinds[i]);
        const int whole = snprintf(path, 4096, "%s/%s", spec->folder, file);
        if (name < 0 || (size_t)name >= sizeof l->facts.weights[k].file || whole < 0 || whole >= 4096)
            return dt_fail(err, DUET_ARG, "%s: the path is too long", spec->folder);
        if (access(path, F_OK)) continue;
        l->facts.weights[k].averaged = *kinds[i] && l->recipe->train.ema > 0 && !n->frozen;
        l->facts.weights[k].epoch = epoch_of(path);
        return DUET_OK;
    }
    return dt_fail(err, DUET_IO, "%s: cannot be read; a run writes it with its first checkpoint", path);
}

static duet_status read_weights(dt_look *l, const dt_look_spec *spec, duet_error *err)
{
    const char *names[2];
    for (int k = 0; k < 2; k++) names[k] = l->recipe->networks[l->network[k]].name;
    DT_TRY(dt_state_create(l->device, l->graph, names, 2, &l->state, err));
    for (int k = 0; k < 2; k++) {
        char path[4096];
        DT_TRY(find_weights(l, spec, k, path, err));
        DT_TRY(dt_weights_load(l->state, k, path, err));
    }
    return DUET_OK;
}

/* spec: where weights are, before the first picture; then NULL. */
static duet_status fit(dt_look *l, size_t height, size_t width, const dt_look_spec *spec, duet_error *err)
{
    if (l->program && l->height == height && l->width == width) return DUET_OK;
    forget_size(l);
    DT_TRY(build_graph(l, height, width, err));
    if (spec) DT_TRY(read_weights(l, spec, err));
    DT_TRY(compile(l, height, width, err));
    l->height = height;
    l->width = width;
    return DUET_OK;
}

/* ---- pictures -------------------------------------------------------------------------------------------------- */

static duet_status open_data(dt_look *l, const dt_look_spec *spec, duet_error *err)
{
    const dt_recipe *r = l->recipe;
    const dt_source_request q = {.name = r->data.name, .path = spec->path ? spec->path : r->data.path, .seed = DT_DATA_SEED, .skip = r->data.on_error};
    DT_TRY(dt_source_open_as(&q, &l->source, err));
    const dt_data_facts *f = &l->source->facts;
    if (spec->n < 1 || spec->first >= f->test_images || spec->n > f->test_images - spec->first)
        return dt_fail(err, DUET_ARG, "%s has %zu test pictures; %zu from number %zu are more than there are", f->name, f->test_images, spec->n, spec->first);
    l->n = spec->n;
    l->indices = dt_alloc(l->n, sizeof *l->indices);
    if (!l->indices) return dt_fail(err, DUET_MEMORY, "%s: no memory for a list of %zu pictures", f->name, l->n);
    for (size_t i = 0; i < l->n; i++) l->indices[i] = (uint32_t)(spec->first + i);
    return DUET_OK;
}

static duet_status open_loader(dt_look *l, const dt_look_spec *look, duet_error *err)
{
    const dt_recipe *r = l->recipe;
    const bool noisy = is_noisy(l);
    if (noisy) {
        l->signal = dt_alloc((size_t)r->task_config.timesteps, sizeof *l->signal);
        l->noise = dt_alloc((size_t)r->task_config.timesteps, sizeof *l->noise);
        if (!l->signal || !l->noise) return dt_fail(err, DUET_MEMORY, "no memory for the noise schedule");
        DT_TRY(dt_noise_tables(&r->task_config, l->signal, l->noise, err));
        l->noising = (dt_noising){.T = (int)r->task_config.timesteps, .signal = l->signal, .noise = l->noise};
    }
    dt_data_facts facts = l->source->facts;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.safetensors", look->folder, r->networks[0].name);
    if (r->data.normalise == DT_NORMALISE_MEASURE) DT_TRY(dt_normalisation_of_weights(path, &facts, err));
    l->seen = dt_normalisation_of(noisy ? DT_NORMALISE_SYMMETRIC : (dt_normalise)r->data.normalise, &facts);
    const dt_loader_spec spec = {.source = l->source, .split = DT_SPLIT_TEST, .indices = l->indices, .n_indices = l->n, .batch = 1,
                                 .augment = DT_AUGMENT_NONE, .squares = dt_recipe_squares_of(r, false), .normalise = &l->seen, .views = 1,
                                 .seed = (uint64_t)r->train.seed, .workers = 1};
    DT_TRY(dt_loader_create(&spec, &l->loader, err));
    dt_loader_start(l->loader, 0, 0);
    return DUET_OK;
}

static void write_inputs(dt_look *l, const float *image, int32_t time)
{
    const dt_batch *b = l->batch;
    const dt_node labels = l->peers.targets.labels, mask = l->peers.targets.mask;
    const bool pixels = l->recipe->task->needs & DT_NEEDS_PIXEL_LABELS;
    dt_program_write(l->program, l->image, image, 3 * b->height * b->width);
    if (labels != DT_NONE) dt_program_write(l->program, labels, pixels ? b->pixel_labels : b->labels, pixels ? b->height * b->width : 1);
    if (mask != DT_NONE) dt_program_write(l->program, mask, b->mask, b->height * b->width);
    if (l->time != DT_NONE) dt_program_write(l->program, l->time, &time, 1);
}

static double scalar_of(const dt_look *l, dt_node x)
{
    return x == DT_NONE ? (double)NAN : (double)dt_program_scalar(l->program, x);
}

static void read_maps(dt_look *l, dt_looked *out)
{
    out->foreground = scalar_of(l, l->foreground);
    for (int m = 0; m < DT_LOOK_ERROR; m++) {
        if (l->map[m] == DT_NONE) continue;
        const dt_shape s = dt_shape_of(l->graph, l->map[m]);
        dt_program_read(l->program, l->map[m], l->values[m], dt_shape_count(s));
        out->map[m] = (dt_look_map){.height = s.h, .width = s.w, .values = l->values[m], .share = scalar_of(l, l->share[m])};
    }
}

/* ---- noise ----------------------------------------------------------------------------------------------------- */

/* The middle of part `moment` of DT_LOOK_TIMES equal ones. */
static int32_t time_of(const dt_look *l, int moment)
{
    return (int32_t)((2 * (int64_t)moment + 1) * l->noising.T / (2 * DT_LOOK_TIMES));
}

/* The picture under its own noise, which depends on the recipe's seed and the picture's number: the same at every time. */
static void add_noise(dt_look *l, size_t index, int32_t time)
{
    const size_t n = 3 * l->height * l->width;
    memcpy(l->noisy, l->batch->images[0], n * sizeof *l->noisy);
    dt_noise_apply(&l->noising, time, dt_rng_make((uint64_t)l->recipe->train.seed, DT_PURPOSE_VALIDATION, 0, index), n, l->noisy, l->eps);
}

/* x0 as samplers take it, clamp((x - noise e) / signal, -1, 1), and the squared error of e at each pixel. */
static void read_estimates(dt_look *l, int32_t time, dt_looked *out)
{
    const size_t places = l->height * l->width;
    const float signal = l->signal[time], noise = l->noise[time];
    for (int k = 0; k < 2; k++) {
        const int m = DT_LOOK_ERROR + k;
        dt_program_read(l->program, l->peers.at[k].built.output, l->said[k], 3 * places);
        for (size_t p = 0; p < places; p++) {
            float sum = 0;
            for (size_t i = 3 * p; i < 3 * p + 3; i++) {
                const float e = l->said[k][i], apart = e - l->eps[i];
                l->estimate[k][i] = fminf(fmaxf((l->noisy[i] - noise * e) / signal, -1), 1);
                sum += apart * apart;
            }
            l->values[m][p] = sum / 3;
        }
        out->estimate[k] = l->estimate[k];
        out->map[m] = (dt_look_map){.height = l->height, .width = l->width, .values = l->values[m], .share = (double)NAN};
    }
    out->noisy = l->noisy;
    out->time = time;
}

/* The picture as the networks get it, cut or resized, back in bytes; its mask and its classes. */
static void show(dt_look *l, size_t index, dt_looked *out)
{
    const dt_batch *b = l->batch;
    const dt_normalisation *n = &l->seen;
    for (size_t i = 0; i < 3 * l->height * l->width; i++) {
        const size_t c = i % 3, from = n->bgr ? i - c + 2 - c : i, k = from % 3; /* statistics are in the network's order */
        l->pixels[i] = (uint8_t)fminf(fmaxf(roundf((b->images[0][from] * n->std[k] + n->mean[k]) * n->unit), 0), 255);
    }
    for (size_t i = 0; l->mask && i < l->height * l->width; i++) l->mask[i] = b->mask[i] > 0;
    for (size_t i = 0; l->pixel_labels && i < l->height * l->width; i++) l->pixel_labels[i] = (uint8_t)b->pixel_labels[i];
    *out = (dt_looked){.index = index, .height = l->height, .width = l->width, .pixels = l->pixels, .mask = l->mask, .pixel_labels = l->pixel_labels,
                       .label = l->source->facts.labels == DT_LABELS_CLASS ? b->labels[0] : -1};
}

static duet_status look_at(dt_look *l, size_t index, dt_looked *out, duet_error *err)
{
    const dt_batch *b = l->batch;
    DT_TRY(fit(l, b->height, b->width, NULL, err));
    show(l, index, out);
    const int32_t time = is_noisy(l) ? time_of(l, l->moment) : 0;
    if (is_noisy(l)) add_noise(l, index, time);
    write_inputs(l, is_noisy(l) ? l->noisy : b->images[0], time);
    DT_TRY(dt_program_run(l->program, -1, err));
    read_maps(l, out);
    if (is_noisy(l)) read_estimates(l, time, out);
    return DUET_OK;
}

/* ---- public ---------------------------------------------------------------------------------------------------- */

static duet_status open_recipe(dt_look *l, const dt_look_spec *spec, duet_error *err)
{
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/recipe.yaml", spec->folder);
    if (n < 0 || (size_t)n >= sizeof path) return dt_fail(err, DUET_ARG, "%s: the path is too long", spec->folder);
    if (dt_folder_look(spec->folder) == DT_FOLDER_NONE)
        return dt_fail(err, DUET_IO, "%s: this folder holds no run; name one that `duet train` made", spec->folder);
    return dt_recipe_load(path, NULL, 0, &l->recipe, err);
}

static duet_status open_device(dt_look *l, const dt_look_spec *spec, duet_error *err)
{
    const dt_device_api *api = dt_device_find("cpu", err);
    const dt_device_options options = {.threads = spec->threads, .precision = DT_F32};
    return api ? api->open(&options, &l->device, err) : DUET_ARG;
}

duet_status dt_look_open(const dt_look_spec *spec, dt_look **out, duet_error *err)
{
    dt_look *l = dt_alloc(1, sizeof *l);
    if (!l) return dt_fail(err, DUET_MEMORY, "no memory for looking at a run");
    duet_status st = open_recipe(l, spec, err);
    if (!st) st = choose(l, spec, err);
    if (!st) st = open_data(l, spec, err);
    if (!st) st = open_device(l, spec, err);
    if (!st) st = open_loader(l, spec, err);
    size_t height = 0, width = 0;
    if (!st) {
        height = width = dt_recipe_squares_of(l->recipe, false).size;
        if (!height) dt_source_size(l->source, DT_SPLIT_TEST, spec->first, &height, &width);
        st = fit(l, height, width, spec, err);
    }
    if (st) {
        dt_look_close(l);
        return st;
    }
    l->facts.recipe = l->recipe;
    l->facts.data = &l->source->facts;
    l->facts.teacher = &l->recipe->networks[l->network[0]];
    l->facts.student = &l->recipe->networks[l->network[1]];
    *out = l;
    return DUET_OK;
}

const dt_look_facts *dt_look_about(const dt_look *l) { return &l->facts; }

duet_status dt_look_next(dt_look *l, dt_looked *out, duet_error *err)
{
    *out = (dt_looked){0};
    if (l->batch && is_noisy(l) && l->moment < DT_LOOK_TIMES - 1) {
        l->moment++;
        return look_at(l, l->indices[l->next - 1], out, err);
    }
    if (l->batch) dt_loader_give_back(l->loader, l->batch);
    l->batch = dt_loader_next(l->loader, NULL);
    l->moment = 0;
    if (!l->batch) return dt_loader_status(l->loader, err);
    return look_at(l, l->indices[l->next++], out, err);
}

void dt_look_close(dt_look *l)
{
    if (!l) return;
    if (l->batch) dt_loader_give_back(l->loader, l->batch);
    dt_loader_destroy(l->loader);
    forget_size(l);
    dt_state_destroy(l->state);
    if (l->device) l->device->api->close(l->device);
    dt_source_close(l->source);
    dt_recipe_destroy(l->recipe);
    dt_free(l->signal);
    dt_free(l->noise);
    dt_free(l->indices);
    dt_free(l);
}
