/* A recipe: what to train, on what, and how. Read from YAML, checked, with every default filled in.
 *
 * Keys, ranges and defaults: duet_recipe_help, or docs/recipe.md. A recipe does not change once it is loaded, but for the
 * path of its data; any number of runs may share one. */
#ifndef DUET_RECIPE_H
#define DUET_RECIPE_H

#include <duet/error.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct duet_recipe duet_recipe;

/* Reads the file and what it extends, then applies overrides[0..n) in order, each "key.path=value" ("train.epochs=20",
 * "networks.student.model=resnet14"), fills in defaults and checks everything that needs no data.
 *
 * Owns:    *out is the caller's, until duet_recipe_destroy.
 * Errors:  DUET_RECIPE with "file:line:column: key: what was found, what is allowed", DUET_IO, DUET_MEMORY. */
DUET_API duet_status duet_recipe_load(const char *path, const char *const *overrides, size_t n_overrides, duet_recipe **out,
                                      duet_error *err);

/* The same from text[0..bytes); `name` stands for the file in messages, and for its folder in `extends`. */
DUET_API duet_status duet_recipe_parse(const char *name, const char *text, size_t bytes, const char *const *overrides,
                                       size_t n_overrides, duet_recipe **out, duet_error *err);

DUET_API void duet_recipe_destroy(duet_recipe *recipe); /* NULL is fine */

/* The data set it names, and where it lies: NULL when the recipe does not say. Valid as long as the recipe. */
DUET_API const char *duet_recipe_data_name(const duet_recipe *recipe);
DUET_API const char *duet_recipe_data_path(const duet_recipe *recipe);

/* Sets data.path, as if the recipe had said so. `path` is copied. Errors: DUET_MEMORY. */
DUET_API duet_status duet_recipe_set_data_path(duet_recipe *recipe, const char *path, duet_error *err);

/* Its networks, in its order: name, model and role ("teacher", "student", "peer") of number i; NULL past the last. Valid as
 * long as the recipe. */
DUET_API size_t duet_recipe_networks(const duet_recipe *recipe);
DUET_API const char *duet_recipe_network_name(const duet_recipe *recipe, size_t i);
DUET_API const char *duet_recipe_network_model(const duet_recipe *recipe, size_t i);
DUET_API const char *duet_recipe_network_role(const duet_recipe *recipe, size_t i);
DUET_API const char *duet_recipe_method(const duet_recipe *recipe);
DUET_API int duet_recipe_has_adm(const duet_recipe *recipe); /* 1: the companion is on */

/* The recipe as YAML with every default written out; reading it back gives the same recipe and the same text.
 * Owns:    *out is the caller's, until duet_text_free; so it is for the two below. */
DUET_API duet_status duet_recipe_resolved(const duet_recipe *recipe, char **out, duet_error *err);

/* What a recipe may say, for people: every section (NULL), or one section ("train"), method or "adm".
 * Errors:  DUET_ARG with the sections there are, when there is none of that name. */
DUET_API duet_status duet_recipe_help(const char *section, char **out, duet_error *err);

/* The same for editors: a JSON Schema, draft 2020-12. */
DUET_API duet_status duet_recipe_schema(char **out, duet_error *err);

/* The names that duet_recipe_help takes: section i ("data", .. "device"); NULL past the last. */
DUET_API const char *duet_recipe_section(size_t i);

#ifdef __cplusplus
}
#endif
#endif
