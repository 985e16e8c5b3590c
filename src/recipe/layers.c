/* Several sources to one tree: a file, the file it `extends:`, and --set overrides, each merged over the one before.
 *
 * Merging: maps key by key, deep; everything else, lists too, is replaced. One exception: where `method` gets another
 * name, the options of the old method go with it; they would mean nothing to the new one. Trees share one arena, so a
 * merge moves nodes and copies nothing; every node keeps the place where it was written. */
#include "recipe/recipe_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECIPE .kind = "recipe", .least = "`data`, `networks` and `method` (see `duet help recipe`)", .sharing = ", or share it with `extends: OTHER.yaml`"
static const dt_yaml_form recipe_form = {RECIPE}, value_form = {RECIPE, .no_positions = true};
#undef RECIPE

enum { MAX_LAYERS = 8, MAX_OVERRIDE_BYTES = 4096, MAX_KEY_BYTES = 256 };

static duet_status fail_memory(duet_error *err, const char *place)
{
    return dt_fail(err, DUET_MEMORY, "%s: memory is out while reading the recipe", place);
}

/* ---- merging -------------------------------------------------------------------------------------------------- */

/* Does `over` give the method another name than `base` has? */
static bool renames_method(const dt_yaml *base, const dt_yaml *over, int depth)
{
    if (depth != 1 || strcmp(over->key, "method") != 0) return false;
    const dt_yaml *old = dt_yaml_find(base, "name"), *new = dt_yaml_find(over, "name");
    return old && new && old->kind == DT_YAML_SCALAR &&new->kind == DT_YAML_SCALAR &&strcmp(old->text, new->text) != 0;
}

/* Puts the contents of `from` in the place of `to`, which keeps its siblings. */
static void replace(dt_yaml *to, const dt_yaml *from)
{
    dt_yaml *next = to->next;
    *to = *from;
    to->next = next;
}

/* The element of a list that an override's key means: a position, or the `name` of a map. */
static dt_yaml *select_element(const dt_yaml *list, const char *key)
{
    size_t position = 0;
    for (dt_yaml *c = list->first; c; c = c->next, position++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", position);
        const dt_yaml *name = dt_yaml_find(c, "name");
        if (strcmp(number, key) == 0 || (name && name->kind == DT_YAML_SCALAR && strcmp(name->text, key) == 0))
            return c;
    }
    return NULL;
}

static duet_status fail_element(const dt_yaml *list, const dt_yaml *selector, const dt_yaml *wanted, duet_error *err)
{
    char names[200] = "";
    size_t n = 0, used = 0;
    for (const dt_yaml *c = list->first; c; c = c->next, n++) {
        const dt_yaml *name = dt_yaml_find(c, "name");
        if (!name || name->kind != DT_YAML_SCALAR || used >= sizeof names) continue;
        int wrote = snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name->text);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    char found[DT_FOUND_BYTES];
    const dt_yaml key = {.kind = DT_YAML_SCALAR, .text = wanted->key};
    dt_yaml_found(&key, found);
    if (n == 0)
        return dt_fail_at(err, wanted->at, selector->key, "found %s, but the list is empty; set the whole list",
                              found);
    return dt_fail_at(err, wanted->at, selector->key,
                          "found %s, which is no element; allowed: a position from 0 to %zu%s%s", found, n - 1,
                          used ? ", or a name: " : "", names);
}

static duet_status merge(dt_yaml *base, dt_yaml *over, int depth, duet_error *err);

static duet_status merge_into_list(dt_yaml *list, const dt_yaml *over, int depth, duet_error *err)
{
    for (dt_yaml *o = over->first; o; o = o->next) {
        dt_yaml *element = select_element(list, o->key);
        if (!element) return fail_element(list, over, o, err);
        DT_TRY(merge(element, o, depth + 1, err));
        element->key = NULL; /* a list's elements have no keys */
    }
    return DUET_OK;
}

/* Merges over into base, taking over's nodes. */
static duet_status merge(dt_yaml *base, dt_yaml *over, int depth, duet_error *err)
{
    if (base->kind == DT_YAML_LIST && over->kind == DT_YAML_MAP && over->selects)
        return merge_into_list(base, over, depth, err);
    if (base->kind != DT_YAML_MAP || over->kind != DT_YAML_MAP || renames_method(base, over, depth)) {
        replace(base, over);
        return DUET_OK;
    }
    for (dt_yaml *o = over->first, *next; o; o = next) {
        next = o->next;
        dt_yaml *b = dt_yaml_find(base, o->key);
        if (b) DT_TRY(merge(b, o, depth + 1, err));
        else dt_yaml_append(base, o);
    }
    return DUET_OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

/* The files being read, outermost first: a file that extends itself would never end. */
typedef struct chain {
    char *real[MAX_LAYERS];
    int n;
    dt_arena *arena;
} chain;

static duet_status check_map(const dt_yaml *root, duet_error *err)
{
    char found[DT_FOUND_BYTES];
    if (root->kind == DT_YAML_MAP) return DUET_OK;
    return dt_fail_at(err, root->at, NULL,
                          "found %s; a recipe is a map of `data`, `networks`, `method`, ... (see `duet help recipe`)",
                          dt_yaml_found(root, found));
}

static duet_status read_file(const char *path, dt_arena *arena, dt_yaml **out, duet_error *err)
{
    dt_view view;
    duet_status status = dt_view_open(path, &view, err);
    if (status) {
        if (err && status == DUET_IO) err->status = DUET_RECIPE;
        return status == DUET_IO ? DUET_RECIPE
                                 : status; /* a wrong name is a mistake in the command, not a broken disk */
    }
    status = dt_yaml_parse(path, &recipe_form, (const char *)view.bytes, view.n, arena, out, err);
    dt_view_close(&view);
    return status ? status : check_map(*out, err);
}

char *dt_beside(dt_arena *arena, const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    if (name[0] == '/' || !slash) return dt_arena_strdup(arena, name);
    return dt_arena_printf(arena, "%.*s/%s", (int)(slash - file), file, name);
}

static duet_status load(chain *c, const char *path, dt_yaml **out, duet_error *err);

/* Merges root over what its `extends` names. */
static duet_status extend(chain *c, const char *path, dt_yaml *extends, dt_yaml **root, duet_error *err)
{
    char found[DT_FOUND_BYTES];
    if (extends->kind != DT_YAML_SCALAR || !*extends->text)
        return dt_fail_at(err, extends->at, "extends",
                              "found %s; allowed: the name of one recipe, relative to this file",
                              dt_yaml_found(extends, found));
    dt_yaml_remove(*root, extends);
    const char *base_path = dt_beside(c->arena, path, extends->text);
    if (!base_path) return fail_memory(err, path);

    char *real = realpath(base_path, NULL);
    if (!real)
        return dt_fail_at(err, extends->at, "extends", "found %s, but %s: %s", extends->text, base_path,
                              strerror(errno));
    bool cycle = false;
    for (int i = 0; i < c->n; i++) cycle |= strcmp(c->real[i], real) == 0;
    free(real);
    if (cycle)
        return dt_fail_at(err, extends->at, "extends",
                              "found %s, which extends this file in turn; break the circle", extends->text);
    if (c->n == MAX_LAYERS)
        return dt_fail_at(err, extends->at, "extends", "found a chain of more than %d files; allowed: at most %d",
                              MAX_LAYERS, MAX_LAYERS);

    dt_yaml *base = NULL;
    DT_TRY(load(c, base_path, &base, err));
    DT_TRY(merge(base, *root, 0, err));
    *root = base;
    return DUET_OK;
}

static duet_status load(chain *c, const char *path, dt_yaml **out, duet_error *err)
{
    DT_TRY(read_file(path, c->arena, out, err));
    dt_yaml *extends = dt_yaml_find(*out, "extends");
    if (!extends) return DUET_OK;

    char *real = realpath(path, NULL);
    if (!real) return dt_fail(err, DUET_RECIPE, "%s: %s", path, strerror(errno));
    c->real[c->n++] = real;
    duet_status status = extend(c, path, extends, out, err);
    free(c->real[--c->n]);
    return status;
}

duet_status dt_layers_load(const char *path, dt_arena *arena, dt_yaml **out, duet_error *err)
{
    chain c = {.arena = arena};
    return load(&c, path, out, err);
}

duet_status dt_layers_parse(const char *name, const char *text, size_t bytes, dt_arena *arena, dt_yaml **out,
                            duet_error *err)
{
    DT_TRY(dt_yaml_parse(name, &recipe_form, text, bytes, arena, out, err));
    DT_TRY(check_map(*out, err));
    const dt_yaml *extends = dt_yaml_find(*out, "extends");
    if (extends)
        return dt_fail_at(err, extends->key_at, "extends",
                              "found in a recipe that is not a file; allowed in files only: write the keys out");
    return DUET_OK;
}

/* ---- overrides ------------------------------------------------------------------------------------------------ */

/* Wraps value in one map for each component of the path "train.lr": {train: {lr: value}}. */
static duet_status wrap(const char *path, dt_yaml *value, dt_spot at, dt_arena *arena, dt_yaml **out, duet_error *err)
{
    char *keys = dt_arena_strdup(arena, path);
    if (!keys) return fail_memory(err, at.file);
    for (dt_yaml *inner = value;;) {
        char *dot = strrchr(keys, '.');
        inner->key = dot ? dot + 1 : keys;
        inner->key_at = at;
        if (!*inner->key)
            return dt_fail_at(err, at, NULL, "found an empty part in the key `%s`; write key.path=value", path);
        dt_yaml *map = dt_arena_alloc(arena, 1, sizeof *map);
        if (!map) return fail_memory(err, at.file);
        *map = (dt_yaml){.kind = DT_YAML_MAP, .selects = true, .at = at};
        dt_yaml_append(map, inner);
        inner = map;
        if (!dot) {
            *out = map;
            return DUET_OK;
        }
        *dot = '\0';
    }
}

duet_status dt_layers_set(dt_yaml *root, const char *override, dt_arena *arena, duet_error *err)
{
    char found[DT_FOUND_BYTES];
    const dt_yaml whole = {.kind = DT_YAML_SCALAR, .text = override};
    const char *equals = strchr(override, '=');
    if (!equals || equals == override || equals - override > MAX_KEY_BYTES || strlen(override) > MAX_OVERRIDE_BYTES)
        return dt_fail(err, DUET_RECIPE, "--set: found %s; write key.path=value, for example train.epochs=10",
                       dt_yaml_found(&whole, found));

    char *place = dt_arena_printf(arena, "--set %s", dt_yaml_found(&whole, found));
    char *path = dt_arena_printf(arena, "%.*s", (int)(equals - override), override);
    if (!place || !path) return fail_memory(err, "--set");
    const dt_spot at = {place, 0, 0};
    if (strcmp(path, "extends") == 0)
        return dt_fail_at(err, at, "extends", "cannot be set here; write it in the recipe");

    dt_yaml *value = NULL;
    if (equals[1]) {
        DT_TRY(dt_yaml_parse(place, &value_form, equals + 1, strlen(equals + 1), arena, &value, err));
    } else if ((value = dt_arena_alloc(arena, 1, sizeof *value))) {
        *value = (dt_yaml){.kind = DT_YAML_EMPTY, .text = "", .at = at};
    } else {
        return fail_memory(err, place);
    }
    value->at = at;
    dt_yaml *over = NULL;
    DT_TRY(wrap(path, value, at, arena, &over, err));
    return merge(root, over, 0, err);
}
