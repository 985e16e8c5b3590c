/* The recipe: YAML in, one struct with every default filled in, YAML out. Option tables say everything that is true of a
 * key once. */
#ifndef DT_RECIPE_H
#define DT_RECIPE_H

#include "data/data.h"
#include "methods/methods.h"

typedef struct dt_recipe_network {
    const char *name, *model, *init; /* init: NULL = random, else a safetensors file */
    int role;                        /* dt_role */
    double lr_scale;
    bool frozen;
} dt_recipe_network;

typedef struct dt_recipe {
    struct { const char *name, *path; int augment, views; bool shuffle; int64_t validation, workers; } data; /* views: 0 shared, 1 independent */
    dt_recipe_network networks[DT_MAX_NETWORKS];
    int n_networks;
    struct { const char *name; } task;
    const dt_method *method;
    void *method_config;             /* method->config_bytes, filled from its table */
    dt_adm_config adm;
    struct {
        int64_t epochs, batch, seed;
        double lr, momentum, weight_decay, label_smoothing;
        bool nesterov;
        struct { int name; dt_ints milestones; double gamma; double warmup_epochs; } schedule; /* multistep|cosine|onecycle|constant */
        int64_t checkpoint_every, evaluate_every, log_every;
    } train;
    struct { const char *name; int64_t threads; int precision; } device; /* precision: f32|bf16; bf16 is refused for now */
    dt_arena arena;
} dt_recipe;

enum { DT_RECIPE_F32, DT_RECIPE_BF16 };
enum { DT_SCHEDULE_MULTISTEP, DT_SCHEDULE_COSINE, DT_SCHEDULE_ONECYCLE, DT_SCHEDULE_CONSTANT };

/* Reads path (and what it `extends:`), applies overrides "key.path=value" in order ("networks.0.model=resnet20" or by name,
 * "networks.teacher.model=resnet20"), fills defaults, checks everything that needs no data. Errors: DUET_RECIPE with
 * "file:line:column: key: found, allowed, did you mean". */
duet_status dt_recipe_load(const char *path, const char *const *overrides, size_t n_overrides, dt_recipe **out, duet_error *err);
/* The same from text; `name` stands for the file in messages. Used by the fuzz target, `duet bench` and tests. */
duet_status dt_recipe_parse(const char *name, const char *text, size_t bytes, const char *const *overrides, size_t n_overrides,
                            dt_recipe **out, duet_error *err);
void dt_recipe_destroy(dt_recipe *r);
/* Resolved YAML, every default written out; reading it back gives an equal recipe, and the same text again. */
void dt_recipe_write(const dt_recipe *r, dt_text *out);

/* What there is to say about recipes, from the same tables. */
void dt_recipe_schema(dt_text *out);                     /* JSON Schema (draft 2020-12): docs/recipe.schema.json */
void dt_recipe_markdown(dt_text *out);                   /* docs/recipe.md */
/* The text of `duet help recipe`, or of one section, method name or "adm"; false, with nothing appended, where there is no such section. */
bool dt_recipe_help(const char *section, dt_text *out);
const char *dt_recipe_section_at(size_t i);              /* "data", .. "train.schedule", "device"; NULL past the end */

#endif
