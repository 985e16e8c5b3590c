/* <duet/recipe.h> on src/recipe. */
#include "api/api_impl.h"

#include <string.h>

/* Wraps `inner`, which is taken over also on error. */
static duet_status wrap(dt_recipe *inner, duet_recipe **out, duet_error *err)
{
    duet_recipe *recipe = dt_alloc(1, sizeof *recipe);
    if (!recipe) {
        dt_recipe_destroy(inner);
        return dt_fail(err, DUET_MEMORY, "not enough memory for a recipe");
    }
    recipe->inner = inner;
    *out = recipe;
    return DUET_OK;
}

duet_status duet_recipe_load(const char *path, const char *const *overrides, size_t n_overrides, duet_recipe **out, duet_error *err)
{
    dt_recipe *inner;
    DT_TRY(dt_recipe_load(path, overrides, n_overrides, &inner, err));
    return wrap(inner, out, err);
}

duet_status duet_recipe_parse(const char *name, const char *text, size_t bytes, const char *const *overrides, size_t n_overrides,
                              duet_recipe **out, duet_error *err)
{
    dt_recipe *inner;
    DT_TRY(dt_recipe_parse(name, text, bytes, overrides, n_overrides, &inner, err));
    return wrap(inner, out, err);
}

void duet_recipe_destroy(duet_recipe *recipe)
{
    if (!recipe) return;
    dt_recipe_destroy(recipe->inner);
    dt_free(recipe);
}

/* ---- what it says ------------------------------------------------------------------------------------------- */

const char *duet_recipe_data_name(const duet_recipe *recipe) { return recipe->inner->data.name; }

const char *duet_recipe_data_path(const duet_recipe *recipe) { return recipe->inner->data.path; }

duet_status duet_recipe_set_data_path(duet_recipe *recipe, const char *path, duet_error *err)
{
    const char *copy = dt_arena_strdup(&recipe->inner->arena, path);
    if (!copy) return dt_fail(err, DUET_MEMORY, "not enough memory for the path of the data");
    recipe->inner->data.path = copy;
    return DUET_OK;
}

size_t duet_recipe_networks(const duet_recipe *recipe) { return (size_t)recipe->inner->n_networks; }

const char *duet_recipe_network_name(const duet_recipe *recipe, size_t i)
{
    return i < duet_recipe_networks(recipe) ? recipe->inner->networks[i].name : NULL;
}

const char *duet_recipe_network_model(const duet_recipe *recipe, size_t i)
{
    return i < duet_recipe_networks(recipe) ? recipe->inner->networks[i].model : NULL;
}

const char *duet_recipe_network_role(const duet_recipe *recipe, size_t i)
{
    static const char *const names[] = {[DT_ROLE_PEER] = "peer", [DT_ROLE_TEACHER] = "teacher", [DT_ROLE_STUDENT] = "student"};
    return i < duet_recipe_networks(recipe) ? names[recipe->inner->networks[i].role] : NULL;
}

const char *duet_recipe_method(const duet_recipe *recipe) { return recipe->inner->method->name; }

int duet_recipe_has_adm(const duet_recipe *recipe) { return recipe->inner->adm.enabled; }

duet_status duet_recipe_resolved(const duet_recipe *recipe, char **out, duet_error *err)
{
    dt_text text = {0};
    dt_recipe_write(recipe->inner, &text);
    return dt_api_give_text(&text, out, err);
}

/* ---- what a recipe may say ---------------------------------------------------------------------------------- */

static duet_status no_such_section(const char *section, duet_error *err)
{
    enum { MOST = 64 };
    const char *names[MOST], *name;
    size_t n = 0;
    for (size_t i = 0; n < MOST && (name = dt_recipe_section_at(i)); i++) names[n++] = name;
    for (size_t i = 0; n < MOST && dt_method_at(i); i++) names[n++] = dt_method_at(i)->name;
    for (size_t i = 0; n < MOST && dt_task_at(i); i++) names[n++] = dt_task_at(i)->name;
    const char *near = dt_nearest(section, names, n);
    dt_text list = {0};
    for (size_t i = 0; i < n; i++) dt_text_append(&list, "%s%s", i ? ", " : "", names[i]);
    const char *all = dt_text_ok(&list) ? list.bytes : "";
    duet_status st = near ? dt_fail(err, DUET_ARG, "a recipe has no section '%s'; did you mean '%s'? There are: %s", section, near, all)
                          : dt_fail(err, DUET_ARG, "a recipe has no section '%s'; there are: %s", section, all);
    dt_text_release(&list);
    return st;
}

duet_status duet_recipe_help(const char *section, char **out, duet_error *err)
{
    dt_text text = {0};
    if (!dt_recipe_help(section, &text)) {
        dt_text_release(&text);
        return no_such_section(section ? section : "", err);
    }
    return dt_api_give_text(&text, out, err);
}

duet_status duet_recipe_schema(char **out, duet_error *err)
{
    dt_text text = {0};
    dt_recipe_schema(&text);
    return dt_api_give_text(&text, out, err);
}

const char *duet_recipe_section(size_t i) { return dt_recipe_section_at(i); }
