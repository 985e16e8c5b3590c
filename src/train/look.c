/* Looking at a run: what its networks see of single pictures, by the nodes that train them.
 *
 * Two networks of a run's recipe, in inference mode and with the weights of its folder, share one graph with what adm builds for
 * a teacher and a student. The graph is for one picture; where pictures differ in size, it is built anew. */
#include "train_impl.h"

#include <string.h>

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
    dt_node map[DT_LOOK_MAPS];
    dt_program *program;
    size_t height, width;
    float *values[DT_LOOK_MAPS];
    dt_state *state;       /* outlives graphs */
    /* Pictures. */
    float *signal, *noise; /* [timesteps]; NULL but for networks that denoise */
    dt_noising noising;
    dt_loader *loader;
    uint32_t *indices;
    size_t n, next;
    dt_batch *batch;       /* the one that is lent out; NULL: none */
    dt_record record;      /* buffers for the largest picture */
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

static void leave_network(dt_graph *g) { dt_graph_set_network(g, -1, NULL, true); }

static void make_inputs(dt_look *l, size_t height, size_t width)
{
    const dt_recipe *r = l->recipe;
    const unsigned needs = r->task->needs;
    const dt_shape one = {1, 1, 1, 1};
    l->image = dt_input(l->graph, "image", DT_REAL, (dt_shape){1, 3, height, width});
    l->time = needs & DT_NEEDS_NOISE ? dt_input(l->graph, "time", DT_INDEX, one) : DT_NONE;
    l->peers = (dt_peers){.n = 2, .task = r->task, .ramp_epoch = DT_NONE};
    l->peers.targets = (dt_targets){.noise = DT_NONE, .mask = DT_NONE, .labels = DT_NONE, .classes = l->source->facts.classes, .config = &r->task_config};
    if (needs & DT_NEEDS_PIXEL_LABELS) l->peers.targets.labels = dt_input(l->graph, "labels", DT_INDEX, (dt_shape){1, 1, height, width});
    else if (needs & DT_NEEDS_LABELS) l->peers.targets.labels = dt_input(l->graph, "labels", DT_INDEX, one);
}

static duet_status build_network(dt_look *l, int k, size_t height, size_t width, duet_error *err)
{
    const dt_recipe_network *n = &l->recipe->networks[l->network[k]];
    const dt_model *model = dt_model_find(n->model, err);
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
}

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
    return DUET_OK;
}

static duet_status read_weights(dt_look *l, const dt_look_spec *spec, duet_error *err)
{
    const char *names[2];
    for (int k = 0; k < 2; k++) names[k] = l->recipe->networks[l->network[k]].name;
    DT_TRY(dt_state_create(l->device, l->graph, names, 2, &l->state, err));
    for (int k = 0; k < 2; k++) {
        char path[4096];
        const int n = snprintf(path, sizeof path, "%s/%s%s.safetensors", spec->folder, names[k], spec->best ? ".best" : "");
        if (n < 0 || (size_t)n >= sizeof path) return dt_fail(err, DUET_ARG, "%s: the path is too long", spec->folder);
        const duet_status st = dt_weights_load(l->state, k, path, err);
        if (st == DUET_IO)
            return dt_fail(err, DUET_IO, "%s: cannot be read; a run writes it with its first %s", path, spec->best ? "evaluation" : "checkpoint");
        if (st) return st;
    }
    return DUET_OK;
}

static duet_status compile(dt_look *l, duet_error *err)
{
    dt_node outputs[DT_LOOK_MAPS];
    size_t n = 0;
    for (int m = 0; m < DT_LOOK_MAPS; m++)
        if (l->map[m] != DT_NONE) outputs[n++] = l->map[m];
    const dt_program_spec spec = {.graph = l->graph, .state = l->state, .outputs = outputs, .n_outputs = n};
    DT_TRY(dt_program_compile(&spec, &l->program, err));
    n = 0;
    for (int m = 0; m < DT_LOOK_MAPS; m++) {
        if (l->map[m] == DT_NONE) continue;
        l->map[m] = outputs[n++];
        l->values[m] = dt_alloc(dt_shape_count(dt_shape_of(l->graph, l->map[m])), sizeof *l->values[m]);
        if (!l->values[m]) return dt_fail(err, DUET_MEMORY, "no memory for maps");
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
    DT_TRY(compile(l, err));
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
    size_t places;
    if (!dt_size_mul(f->height, f->width, &places)) return dt_fail(err, DUET_MEMORY, "%s: no memory for a picture", f->name);
    l->record = (dt_record){.pixels = dt_alloc(places, 3), .mask = f->masks ? dt_alloc(places, 1) : NULL,
                            .pixel_labels = f->labels == DT_LABELS_PIXELS ? dt_alloc(places, 1) : NULL};
    l->n = spec->n;
    l->indices = dt_alloc(l->n, sizeof *l->indices);
    if (!l->record.pixels || (f->masks && !l->record.mask) || (f->labels == DT_LABELS_PIXELS && !l->record.pixel_labels) || !l->indices)
        return dt_fail(err, DUET_MEMORY, "%s: no memory for a picture", f->name);
    for (size_t i = 0; i < l->n; i++) l->indices[i] = (uint32_t)(spec->first + i);
    return DUET_OK;
}

static duet_status open_loader(dt_look *l, const dt_look_spec *look, duet_error *err)
{
    const dt_recipe *r = l->recipe;
    const bool noisy = r->task->needs & DT_NEEDS_NOISE;
    if (noisy) {
        l->signal = dt_alloc((size_t)r->task_config.timesteps, sizeof *l->signal);
        l->noise = dt_alloc((size_t)r->task_config.timesteps, sizeof *l->noise);
        if (!l->signal || !l->noise) return dt_fail(err, DUET_MEMORY, "no memory for the noise schedule");
        DT_TRY(dt_noise_tables(&r->task_config, l->signal, l->noise, err));
        l->noising = (dt_noising){.T = (int)r->task_config.timesteps, .signal = l->signal, .noise = l->noise, .fixed = true};
    }
    dt_data_facts facts = l->source->facts;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.safetensors", look->folder, r->networks[0].name);
    if (r->data.normalise == DT_NORMALISE_MEASURE) DT_TRY(dt_normalisation_of_weights(path, &facts, err));
    const dt_normalisation seen = dt_normalisation_of(noisy ? DT_NORMALISE_SYMMETRIC : (dt_normalise)r->data.normalise, &facts);
    const dt_loader_spec spec = {.source = l->source, .split = DT_SPLIT_TEST, .indices = l->indices, .n_indices = l->n, .batch = 1,
                                 .augment = DT_AUGMENT_NONE, .squares = dt_recipe_squares_of(r, false), .normalise = &seen, .noising = noisy ? &l->noising : NULL, .views = 1,
                                 .seed = (uint64_t)r->train.seed, .workers = 1};
    DT_TRY(dt_loader_create(&spec, &l->loader, err));
    dt_loader_start(l->loader, 0, 0);
    return DUET_OK;
}

static void run_inputs(dt_look *l, const dt_batch *b)
{
    const dt_node labels = l->peers.targets.labels;
    const bool pixels = l->recipe->task->needs & DT_NEEDS_PIXEL_LABELS;
    dt_program_write(l->program, l->image, b->images[0], 3 * b->height * b->width);
    if (labels != DT_NONE) dt_program_write(l->program, labels, pixels ? b->pixel_labels : b->labels, pixels ? b->height * b->width : 1);
    if (l->time != DT_NONE) dt_program_write(l->program, l->time, b->time, 1);
}

static duet_status look_at(dt_look *l, size_t index, dt_looked *out, duet_error *err)
{
    const dt_batch *b = l->batch;
    DT_TRY(fit(l, b->height, b->width, NULL, err));
    run_inputs(l, b);
    DT_TRY(dt_program_run(l->program, -1, err));
    DT_TRY(l->source->read(l->source, DT_SPLIT_TEST, index, &l->record, err));
    const dt_record *r = &l->record;
    *out = (dt_looked){.index = index, .height = b->height, .width = b->width, .pixels = r->pixels, .mask = r->mask, .pixel_labels = r->pixel_labels,
                       .label = l->source->facts.labels == DT_LABELS_CLASS ? r->label : -1, .noisy = l->time != DT_NONE ? b->images[0] : NULL,
                       .time = l->time != DT_NONE ? b->time[0] : 0};
    for (int m = 0; m < DT_LOOK_MAPS; m++) {
        if (l->map[m] == DT_NONE) continue;
        const dt_shape s = dt_shape_of(l->graph, l->map[m]);
        dt_program_read(l->program, l->map[m], l->values[m], dt_shape_count(s));
        out->map[m] = (dt_look_map){.height = s.h, .width = s.w, .values = l->values[m]};
    }
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
        dt_source_size(l->source, DT_SPLIT_TEST, spec->first, &height, &width);
        st = fit(l, height, width, spec, err);
    }
    if (st) {
        dt_look_close(l);
        return st;
    }
    l->facts = (dt_look_facts){.recipe = l->recipe, .data = &l->source->facts,
                               .teacher = &l->recipe->networks[l->network[0]], .student = &l->recipe->networks[l->network[1]]};
    *out = l;
    return DUET_OK;
}

const dt_look_facts *dt_look_about(const dt_look *l) { return &l->facts; }

duet_status dt_look_next(dt_look *l, dt_looked *out, duet_error *err)
{
    if (l->batch) dt_loader_give_back(l->loader, l->batch);
    l->batch = dt_loader_next(l->loader, NULL);
    *out = (dt_looked){0};
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
    dt_free(l->record.pixels);
    dt_free(l->record.mask);
    dt_free(l->record.pixel_labels);
    dt_free(l);
}
