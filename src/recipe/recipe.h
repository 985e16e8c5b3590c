/* The recipe: YAML in, one struct with every default filled in, YAML out. Option tables say everything that is true of a
 * key once. */
#ifndef DT_RECIPE_H
#define DT_RECIPE_H

#include "data/data.h"
#include "methods/methods.h"

typedef struct dt_recipe_network {
    const char *name, *model, *init; /* init: NULL = random, else a safetensors file */
    const dt_model *described;       /* of a `model` that is a file; NULL: built in. Lives as long as the recipe */
    int role;                        /* dt_role */
    int init_head;                   /* DT_HEAD_... */
    double lr_scale;
    dt_rates layers;
    bool frozen, init_strict;
} dt_recipe_network;

/* How pictures of any size become squares. */
typedef struct dt_recipe_squares {
    int64_t size, short_side;        /* 0 in the file: what the networks take; 256 of 224 */
    bool flip;
    int random, colours;             /* 0 off, 1 on */
    dt_reals scale, ratio;           /* [2] */
    double brightness, contrast, saturation;
} dt_recipe_squares;

/* Everything a run needs to know, with every default filled in. Does not change once it is read. */
typedef struct dt_recipe {
    struct {
        const char *name, *path; /* path NULL: $DUET_DATA/name */
        int augment;             /* dt_augment */
        dt_recipe_squares squares; /* with DT_AUGMENT_RESIZE */
        dt_ints scale, crop;     /* per cent: lowest, highest; height, width, or empty */
        int normalise;           /* dt_normalise */
        int on_error;            /* 0 refuse, 1 skip */
        int views;               /* 0 shared, 1 independent */
        double mixup;            /* alpha; 0: off */
        bool shuffle;
        int64_t shuffle_buffer, validation, workers;
    } data;
    dt_recipe_network networks[DT_MAX_NETWORKS];
    int n_networks;
    const dt_task *task;
    dt_task_config task_config;
    const dt_method *method;
    void *method_config; /* method->config_bytes, filled from its table */
    dt_adm_config adm;
    struct {
        int64_t epochs, steps, batch, seed; /* steps: 0, or the run's length in place of epochs */
        int64_t accumulate;                 /* batches to a step */
        int optimizer;                      /* dt_optimiser */
        double lr, momentum, weight_decay, label_smoothing;
        double beta1, beta2, eps;           /* of adam and adamw */
        double clip_norm, ema;              /* 0: off */
        bool nesterov;
        struct {
            int name; /* DT_SCHEDULE_... */
            dt_ints milestones;
            double gamma, power, warmup_epochs;
        } schedule;
        int64_t checkpoint_every, evaluate_every, log_every;
    } train;
    struct {
        const char *name;
        int64_t threads; /* 0: all */
        int precision;   /* DT_RECIPE_F32; bf16 is refused for now */
    } device;
    dt_arena arena;
} dt_recipe;

enum { DT_HEAD_FILE, DT_HEAD_NEW };
enum { DT_RECIPE_F32, DT_RECIPE_BF16 };
enum { DT_SCHEDULE_MULTISTEP, DT_SCHEDULE_COSINE, DT_SCHEDULE_ONECYCLE, DT_SCHEDULE_CONSTANT, DT_SCHEDULE_POLY };

/* Do images of any size become squares of one? */
bool dt_recipe_resizes(const dt_recipe *r);
/* How, for training or for everything else; size 0 where they do not. */
dt_squares dt_recipe_squares_of(const dt_recipe *r, bool training);
/* Data as networks meet it in training: the size of data.crop or data.augment, and what data.validation leaves of the images. */
dt_data_facts dt_recipe_facts(const dt_recipe *r, const dt_data_facts *stored);

/* Reads path and what it extends, applies overrides "key.path=value" in order, fills defaults, checks everything that needs
 * neither data nor a graph. Networks go by position or name: "networks.0.model=resnet20", "networks.teacher.model=...".
 *
 * Merging: maps key by key, everything else is replaced; `method` with another name loses the old one's options.
 * Owns:    *out is the caller's, until dt_recipe_destroy; on error it is untouched.
 * Errors:  DUET_RECIPE, also for a file that is not there, with "file:line:column: key: found X; allowed: Y; did you mean
 *          Z?" (for an override "--set key.path=value: key: ..."); DUET_MEMORY.
 * Threads: calls may run at once. */
duet_status dt_recipe_load(const char *path, const char *const *overrides, size_t n_overrides, dt_recipe **out,
                           duet_error *err);

/* The same from text, which reads no file: `extends` is refused. `name` stands for the file in messages. */
duet_status dt_recipe_parse(const char *name, const char *text, size_t bytes, const char *const *overrides,
                            size_t n_overrides, dt_recipe **out, duet_error *err);
void dt_recipe_destroy(dt_recipe *r);
/* What a network of a recipe is; NULL, with a message, for a name that is none. */
const dt_model *dt_recipe_model(const dt_recipe_network *n, duet_error *err);
/* The name of its model, also where `model` is a file. */
const char *dt_recipe_model_name(const dt_recipe_network *n);
/* Resolved YAML, every default written out; reading it back gives an equal recipe, and the same text again. */
void dt_recipe_write(const dt_recipe *r, dt_text *out);

/* What there is to say about recipes, from the same tables. */
void dt_recipe_schema(dt_text *out);   /* JSON Schema (draft 2020-12): docs/recipe.schema.json */
void dt_recipe_markdown(dt_text *out); /* docs/recipe.md */
/* The text of `duet help recipe` (section NULL), or of one section or method; false, and nothing appended, where there is none
 * of that name. */
bool dt_recipe_help(const char *section, dt_text *out);
const char *dt_recipe_section_at(size_t i); /* "data", .. "train.schedule", "device"; NULL past the end */

#endif
