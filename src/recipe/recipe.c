/* A recipe from its tree: sections in order, each read by its tables; then what depends on several keys (check.c). */
#include "recipe/recipe_impl.h"

#include <string.h>

static duet_status fail_memory(duet_error *err)
{
    return dt_fail(err, DUET_MEMORY, "memory is out while reading the recipe");
}

/* Reads a section whose fields lie in the recipe itself. */
static duet_status read_section(dt_recipe *r, const dt_yaml *root, const char *path, duet_error *err)
{
    const dt_section *s = dt_section_find(path);
    const dt_yaml *map = root;
    for (const char *name = path; map && *name;) {
        char key[32];
        size_t n = strcspn(name, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, name);
        map = dt_yaml_find(map, key);
        name += n + (name[n] == '.');
    }
    const dt_option_group group = {s->options, r};
    return dt_options_read(s, path, map, root->at, &group, 1, &r->arena, err);
}

/* The same for what may also be a word, which its option has read. */
static duet_status read_inside(dt_recipe *r, const dt_yaml *root, const dt_yaml *map, const char *path, duet_error *err)
{
    const dt_section *s = dt_section_find(path);
    const dt_option_group group = {s->options, r};
    return dt_options_read(s, path, map && map->kind == DT_YAML_MAP ? map : NULL, root->at, &group, 1, &r->arena, err);
}

static duet_status read_data(dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const dt_yaml *augment = dt_yaml_find(dt_yaml_find(root, "data"), "augment");
    DT_TRY(read_section(r, root, "data", err));
    DT_TRY(read_inside(r, root, augment, "data.augment", err));
    DT_TRY(read_inside(r, root, dt_yaml_find(augment, "random_resized_crop"), "data.augment.random_resized_crop", err));
    return read_inside(r, root, dt_yaml_find(augment, "colour_jitter"), "data.augment.colour_jitter", err);
}

/* A network that is described in a file, relative to the file that names it. */
static duet_status read_described(dt_recipe *r, dt_recipe_network *n, const dt_yaml *value, bool files, duet_error *err)
{
    if (!files)
        return dt_fail_at(err, value->at, "model", "found %s in a recipe that is not a file; allowed in files only: choose a built-in network", n->model);
    if (value->at.line) n->model = dt_beside(&r->arena, value->at.file, n->model);
    if (!n->model) return fail_memory(err);
    return dt_model_read(n->model, &r->arena, &n->described, err);
}

static duet_status read_networks(dt_recipe *r, const dt_yaml *root, bool files, duet_error *err)
{
    static const char example[] =
        "a list with one map for each network, such as - {name: student, model: resnet8, role: student}";
    const dt_section *s = dt_section_find("networks");
    const dt_yaml *list = dt_yaml_find(root, "networks");
    char found[DT_FOUND_BYTES];
    if (!list) return dt_fail_at(err, root->at, "networks", "missing; allowed: %s", example);
    if (list->kind != DT_YAML_LIST)
        return dt_fail_at(err, list->at, "networks", "found %s; allowed: %s", dt_yaml_found(list, found), example);
    if (!list->first) return dt_fail_at(err, list->at, "networks", "found an empty list; allowed: %s", example);

    for (const dt_yaml *item = list->first; item; item = item->next) {
        char path[32];
        snprintf(path, sizeof path, "networks.%d", r->n_networks);
        if (r->n_networks == DT_MAX_NETWORKS)
            return dt_fail_at(err, item->at, path, "found more networks than the %d that can be trained together",
                                  DT_MAX_NETWORKS);
        if (item->kind != DT_YAML_MAP)
            return dt_fail_at(err, item->at, path,
                                  "found %s; allowed: a map such as {name: student, model: resnet8, role: student}",
                                  dt_yaml_found(item, found));

        dt_recipe_network *n = &r->networks[r->n_networks++];
        const dt_option_group group = {s->options, n};
        DT_TRY(dt_options_read(s, path, item, item->at, &group, 1, &r->arena, err));
        if (n->init && strcmp(n->init, "random") == 0) n->init = NULL;
        if (dt_model_is_file(n->model)) DT_TRY(read_described(r, n, dt_yaml_find(item, "model"), files, err));
    }
    return DUET_OK;
}

/* The name of a section whose name decides which other keys there are: read first, alone. */
static duet_status read_name(dt_recipe *r, const dt_yaml *root, const dt_section *s, const char **out, duet_error *err)
{
    const dt_yaml *map = dt_yaml_find(root, s->path), *name = dt_yaml_find(map, "name");
    dt_section_name own = {NULL};
    dt_yaml only_name = map ? *map : (dt_yaml){0}, copy;
    if (map && map->kind == DT_YAML_MAP) only_name.first = only_name.last = NULL;
    if (name) {
        copy = *name;
        dt_yaml_append(&only_name, &copy);
    }
    const dt_option_group group = {s->options, &own};
    DT_TRY(dt_options_read(s, s->path, map ? &only_name : NULL, root->at, &group, 1, &r->arena, err));
    *out = own.name;
    return DUET_OK;
}

/* Such a section as a whole; `options` are those of its name, for `config`. */
static duet_status read_named(dt_recipe *r, const dt_yaml *root, const dt_section *s, const dt_option *options, void *config,
                              duet_error *err)
{
    dt_section_name own = {NULL};
    const dt_option_group groups[2] = {{s->options, &own}, {options, config}};
    return dt_options_read(s, s->path, dt_yaml_find(root, s->path), root->at, groups, 2, &r->arena, err);
}

/* The method, and its own options into a config of its own size. */
static duet_status read_method(dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const dt_section *s = dt_section_find("method");
    const char *name;
    DT_TRY(read_name(r, root, s, &name, err));
    r->method = dt_method_find(name, err);
    if (!r->method) return DUET_RECIPE; /* not reached: the table knows the registry's names */
    r->method_config = dt_arena_alloc(&r->arena, 1, r->method->config_bytes ? r->method->config_bytes : 1);
    if (!r->method_config) return fail_memory(err);
    return read_named(r, root, s, r->method->options, r->method_config, err);
}

static duet_status read_task(dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const dt_section *s = dt_section_find("task");
    const char *name;
    DT_TRY(read_name(r, root, s, &name, err));
    r->task = dt_task_find(name, err);
    if (!r->task) return DUET_RECIPE; /* not reached */
    return read_named(r, root, s, r->task->options, &r->task_config, err);
}

/* Absent or `off`: not used. `on` or a map: used. */
static duet_status read_adm(dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const dt_yaml *adm = dt_yaml_find(root, "adm");
    bool on = adm && adm->kind == DT_YAML_MAP, known = !adm || on;
    if (adm && adm->kind == DT_YAML_SCALAR && !adm->quoted) {
        on = strcmp(adm->text, "on") == 0 || strcmp(adm->text, "true") == 0;
        known = on || strcmp(adm->text, "off") == 0 || strcmp(adm->text, "false") == 0;
    }
    char found[DT_FOUND_BYTES];
    if (!known)
        return dt_fail_at(err, adm->at, "adm", "found %s; allowed: on, off, or a map of its options",
                              dt_yaml_found(adm, found));

    const dt_option_group group = {dt_adm_options, &r->adm};
    DT_TRY(dt_options_read(dt_section_find("adm"), "adm", adm && adm->kind == DT_YAML_MAP ? adm : NULL, root->at,
                           &group, 1, &r->arena, err));
    r->adm.enabled = on;
    return DUET_OK;
}

/* Unknown keys first: a misspelt section would otherwise be reported as missing. files: may other files be read? */
static duet_status read_tree(dt_recipe *r, const dt_yaml *root, bool files, duet_error *err)
{
    DT_TRY(dt_options_read(dt_section_find(""), "", root, root->at, NULL, 0, &r->arena, err));
    DT_TRY(read_data(r, root, err));
    DT_TRY(read_networks(r, root, files, err));
    DT_TRY(read_task(r, root, err));
    DT_TRY(read_method(r, root, err));
    DT_TRY(read_adm(r, root, err));
    DT_TRY(read_section(r, root, "train", err));
    DT_TRY(read_section(r, root, "train.schedule", err));
    DT_TRY(read_section(r, root, "device", err));
    DT_TRY(dt_recipe_complete(r, root, err));
    return dt_recipe_check(r, root, err);
}

/* Where a recipe comes from: a file, or text that has `name` in messages. */
typedef struct source {
    const char *path, *name, *text;
    size_t bytes;
} source;

static duet_status make(const source *from, const char *const *overrides, size_t n_overrides, dt_recipe **out,
                        duet_error *err)
{
    dt_arena trees = {0};
    dt_yaml *root = NULL;
    dt_recipe *r = dt_alloc(1, sizeof *r);
    duet_status status = r ? DUET_OK : fail_memory(err);
    if (!status)
        status = from->path ? dt_layers_load(from->path, &trees, &root, err)
                            : dt_layers_parse(from->name, from->text, from->bytes, &trees, &root, err);
    for (size_t i = 0; i < n_overrides && !status; i++) status = dt_layers_set(root, overrides[i], &trees, err);
    if (!status) status = read_tree(r, root, from->path != NULL, err);
    dt_arena_release(&trees);
    if (status) {
        dt_recipe_destroy(r);
        return status;
    }
    *out = r;
    return DUET_OK;
}

duet_status dt_recipe_load(const char *path, const char *const *overrides, size_t n_overrides, dt_recipe **out,
                           duet_error *err)
{
    return make(&(source){.path = path}, overrides, n_overrides, out, err);
}

duet_status dt_recipe_parse(const char *name, const char *text, size_t bytes, const char *const *overrides,
                            size_t n_overrides, dt_recipe **out, duet_error *err)
{
    return make(&(source){.name = name, .text = text, .bytes = bytes}, overrides, n_overrides, out, err);
}

const dt_model *dt_recipe_model(const dt_recipe_network *n, duet_error *err)
{
    return n->described ? n->described : dt_model_find(n->model, err);
}

const char *dt_recipe_model_name(const dt_recipe_network *n)
{
    return n->described ? n->described->name : n->model;
}

bool dt_recipe_resizes(const dt_recipe *r)
{
    return r->data.augment == DT_AUGMENT_RESIZE;
}

dt_data_facts dt_recipe_facts(const dt_recipe *r, const dt_data_facts *stored)
{
    dt_data_facts f = *stored;
    const size_t held = (size_t)r->data.validation, side = (size_t)r->data.squares.size;
    if (held < f.train_images) f.train_images -= held;
    if (r->data.crop.n) f.height = (size_t)r->data.crop.at[0], f.width = (size_t)r->data.crop.at[1];
    if (dt_recipe_resizes(r)) f.height = f.width = side;
    if (r->data.crop.n || dt_recipe_resizes(r)) f.mixed_sizes = false;
    return f;
}

dt_squares dt_recipe_squares_of(const dt_recipe *r, bool training)
{
    const dt_recipe_squares *s = &r->data.squares;
    if (!dt_recipe_resizes(r)) return (dt_squares){0};
    dt_squares squares = {.size = (size_t)s->size, .short_side = (size_t)s->short_side};
    if (!training) return squares;
    squares.flip = s->flip;
    squares.random = s->random;
    for (int i = 0; i < 2; i++) squares.scale[i] = s->scale.at[i], squares.ratio[i] = s->ratio.at[i];
    if (s->colours) squares.brightness = s->brightness, squares.contrast = s->contrast, squares.saturation = s->saturation;
    return squares;
}

void dt_recipe_destroy(dt_recipe *r)
{
    if (!r) return;
    dt_arena_release(&r->arena);
    dt_free(r);
}
