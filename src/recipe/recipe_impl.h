/* What the files of src/recipe share. From text to a recipe:
 *
 *     bytes --format/yaml.c--> tree of dt_yaml, each node with its place
 *           --layers.c--> one tree: `extends:` and --set merged in
 *           --options.c + sections.c--> fields of dt_recipe, by option tables
 *           --check.c--> combinations that a table cannot say
 *
 * and back: write.c (YAML), schema.c (JSON Schema), help.c (text and Markdown), all from the same tables. */
#ifndef DT_RECIPE_IMPL_H
#define DT_RECIPE_IMPL_H

#include "format/format.h"
#include "recipe/recipe.h"

/* ---- layers (layers.c) --------------------------------------------------------------------------------------- */

/* `name` as seen from the folder of `file`; NULL when memory is out. */
char *dt_beside(dt_arena *arena, const char *file, const char *name);
/* The tree of a file with everything it extends. */
duet_status dt_layers_load(const char *path, dt_arena *arena, dt_yaml **out, duet_error *err);
/* The tree of text; `extends` is refused. */
duet_status dt_layers_parse(const char *name, const char *text, size_t bytes, dt_arena *arena, dt_yaml **out,
                            duet_error *err);
/* Merges "key.path=value" into root. */
duet_status dt_layers_set(dt_yaml *root, const char *override, dt_arena *arena, duet_error *err);

/* ---- sections (sections.c) ----------------------------------------------------------------------------------- */

/* One map of the recipe. The top of the file is the section "". */
typedef struct dt_section {
    const char *path;         /* "train.schedule" */
    const char *help;         /* one line */
    const char *note;         /* more for the documentation, or NULL */
    const dt_option *options; /* those that do not depend on a name; may be NULL */
} dt_section;

const dt_section *dt_section_at(size_t i);           /* in the order in which a recipe is written; NULL past the end */
const dt_section *dt_section_find(const char *path); /* NULL: none */
/* The section that the option `key` of s may be instead of a word: `augment: flip` or `augment: {size: 224}`. A map then means the last of
 * the option's choices, and that choice alone a map without keys. NULL: there is none, or s is NULL. */
const dt_section *dt_section_inside(const dt_section *s, const char *key);
/* The i-th name that a registry offers for a key ("networks", "model" -> "resnet8"); NULL past the end or where any text will do. */
const char *dt_section_name_at(const dt_section *s, const char *key, size_t i);
/* Where a registry has too many names for a message, or takes more than names. */
typedef struct dt_name_rules {
    const char *listed;              /* instead of the names in messages: "what `duet models` lists, ..." */
    bool (*also)(const char *text);  /* what is allowed besides */
    const char *also_help;           /* the same in words, for documentation */
    const char *also_pattern;        /* and as a regular expression */
    const char *(*hint)(const char *name, char *to, size_t n); /* ", did you mean X?" or "" */
} dt_name_rules;
const dt_name_rules *dt_section_name_rules(const dt_section *s, const char *key); /* NULL: there are none */

/* A section may have a name and the options that belong to that name: the method's, the task's. */
typedef struct dt_section_name {
    const char *name;
} dt_section_name;
typedef struct dt_named {
    const char *name, *help, *source; /* source: a paper, or NULL */
    const dt_option *options;
} dt_named;
/* The i-th name that such a section may have; false past the end, and for other sections. */
bool dt_section_named_at(const dt_section *s, size_t i, dt_named *out);

/* ---- options (options.c) ------------------------------------------------------------------------------------- */

/* A table and the struct that its offsets are meant for. */
typedef struct dt_option_group {
    const dt_option *options;
    void *config;
} dt_option_group;

/* Fills every field of `groups` from `map` (NULL or empty: all defaults). path: how messages call the section
 * ("networks.1"); absent_at: the place to blame for a missing key when there is no map. Text goes to `arena`. */
duet_status dt_options_read(const dt_section *s, const char *path, const dt_yaml *map, dt_spot absent_at,
                            const dt_option_group *groups, size_t n_groups, dt_arena *arena, duet_error *err);
/* Gives a field another default than its table's. The text must be readable: it is ours. */
duet_status dt_option_default(const dt_option *options, const char *key, const char *text, void *config, dt_arena *arena, duet_error *err);
/* A field as a recipe would write it. */
void dt_option_write(const dt_option *o, const void *config, dt_text *out);
/* What is allowed, in words: "a whole number from 1 to 64". s may be NULL. */
void dt_option_allowed(const dt_section *s, const dt_option *o, dt_text *out);
/* Text as YAML: plain where that is safe, else in double quotes. */
void dt_yaml_write_text(const char *text, dt_text *out);

/* Choices: "code|paper". name copies choice i, returns false past the end. */
enum { DT_CHOICE_BYTES = 32, DT_MAX_CHOICES = 24 };
bool dt_choice_name(const char *choices, size_t i, char to[DT_CHOICE_BYTES]);
int dt_choice_last(const char *choices); /* the number of the last one */
/* ", did you mean X?" or "". */
enum { DT_HINT_BYTES = 64 };
const char *dt_hint(const char *found, const char *const *names, size_t n, char to[DT_HINT_BYTES]);

/* ---- checks (check.c) ---------------------------------------------------------------------------------------- */

/* Defaults that depend on other keys: milestones, data.views, what the task says of methods. */
duet_status dt_recipe_complete(dt_recipe *r, const dt_yaml *root, duet_error *err);
/* Everything that is wrong with a combination and needs neither data nor a graph to be seen. */
duet_status dt_recipe_check(const dt_recipe *r, const dt_yaml *root, duet_error *err);

#endif
