/* What option tables cannot say: defaults that follow from other keys, and combinations that cannot work. Every message
 * stands at the key that would have to change. What needs data or a graph to be seen (a data set's classes, channels of two
 * maps) is checked where those are. */
#include "device/device.h"
#include "recipe/recipe_impl.h"

#include <string.h>

enum { MAX_NETWORK_NAME = 24 };

/* Names whose files or columns would be taken for something else: state.safetensors, the terms of adm. */
static const char *const reserved_names[] = {"state", "adm"};

/* a*b/c, rounded up. */
static int64_t part_of(int64_t a, int64_t b, int64_t c)
{
    return (a * b + c - 1) / c;
}

/* What PyTorch's optimisers start from, where the recipe says nothing: its SGD has no defaults worth having, ours are those of
 * the methods' papers. Momentum belongs to sgd, so that with another optimiser any other than 0 was asked for. */
static void complete_optimizer(dt_recipe *r, const dt_yaml *train)
{
    if (r->train.optimizer == DT_SGD) return;
    if (!dt_yaml_find(train, "lr")) r->train.lr = 0.001;
    if (!dt_yaml_find(train, "weight_decay")) r->train.weight_decay = r->train.optimizer == DT_ADAMW ? 0.01 : 0;
    if (!dt_yaml_find(train, "momentum")) r->train.momentum = 0;
}

/* The table and the struct that a task's row speaks of; NULL: this recipe has no such section. */
static const dt_option *section_of_default(dt_recipe *r, const char *section, void **config)
{
    static const char method[] = "method.";
    const size_t n = sizeof method - 1;
    if (strcmp(section, "adm") == 0) {
        *config = &r->adm;
        return dt_adm_options;
    }
    if (strncmp(section, method, n) != 0) DT_BUG("a task has a default for section %s", section);
    *config = r->method_config;
    return strcmp(section + n, r->method->name) == 0 ? r->method->options : NULL;
}

/* What the task would rather have, where the recipe says nothing. */
static duet_status apply_task_defaults(dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    for (const dt_task_default *d = r->task->defaults; d && d->section; d++) {
        void *config;
        const dt_option *options = section_of_default(r, d->section, &config);
        const dt_yaml *map = dt_yaml_find(root, strncmp(d->section, "adm", 3) == 0 ? "adm" : "method");
        if (!options || dt_yaml_find(map, d->key) || (d->unless && dt_yaml_find(map, d->unless))) continue;
        DT_TRY(dt_option_default(options, d->key, d->value, config, &r->arena, err));
    }
    return DUET_OK;
}

/* The side of the pictures that all networks take; 0 where they take any. */
static int64_t side_of_networks(const dt_recipe *r)
{
    for (int i = 0; i < r->n_networks; i++) {
        const dt_model *m = dt_recipe_model(&r->networks[i], NULL);
        if (m && m->image) return (int64_t)m->image;
    }
    return 0;
}

/* Pictures from folders have any size: they are resized, unless the recipe says otherwise. */
static void complete_squares(dt_recipe *r, const dt_yaml *data)
{
    static const char *const resized[] = {"folder", "tar"};
    dt_recipe_squares *s = &r->data.squares;
    for (size_t i = 0; i < DT_COUNT(resized); i++)
        if (!strcmp(r->data.name, resized[i]) && !dt_yaml_find(data, "augment") && !r->data.crop.n) r->data.augment = DT_AUGMENT_RESIZE;
    if (r->data.augment != DT_AUGMENT_RESIZE) return;
    if (!s->size) s->size = side_of_networks(r);
    if (!s->short_side) s->short_side = (s->size * 256 + 112) / 224;
}

duet_status dt_recipe_complete(dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    complete_squares(r, dt_yaml_find(root, "data"));
    const dt_yaml *schedule = dt_yaml_find(dt_yaml_find(root, "train"), "schedule");
    if (!dt_yaml_find(schedule, "milestones")) {
        int64_t n = r->train.epochs;
        r->train.schedule.milestones = (dt_ints){{part_of(n, 5, 8), part_of(n, 3, 4), part_of(n, 7, 8)}, 3};
    }
    complete_optimizer(r, dt_yaml_find(root, "train"));
    if (!dt_yaml_find(dt_yaml_find(root, "data"), "views") && r->method->independent_views && !r->task->one_view) r->data.views = 1;
    r->task_config.label_smoothing = r->train.label_smoothing;
    return apply_task_defaults(r, root, err);
}

/* ---- networks ------------------------------------------------------------------------------------------------- */

/* A network's name becomes a file name, a column and part of the names of terms. */
static bool is_good_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char inner[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return strchr(letters, name[0]) && strspn(name, inner) == strlen(name) && strlen(name) <= MAX_NETWORK_NAME;
}

static duet_status check_network(const dt_recipe *r, int i, const dt_yaml *root, duet_error *err)
{
    const dt_recipe_network *n = &r->networks[i];
    char path[40], found[DT_FOUND_BYTES];
    const dt_yaml name = {.kind = DT_YAML_SCALAR, .text = n->name};
    snprintf(path, sizeof path, "networks.%d.name", i);
    const dt_spot at = dt_yaml_place(root, path);

    if (!is_good_name(n->name))
        return dt_fail_at(
            err, at, path,
            "found %s; allowed: a letter, then letters, digits, _ or -, at most %d, because files are named after it",
            dt_yaml_found(&name, found), MAX_NETWORK_NAME);
    for (size_t k = 0; k < DT_COUNT(reserved_names); k++)
        if (strcasecmp(reserved_names[k], n->name) == 0)
            return dt_fail_at(err, at, path,
                                  "found %s, which a run folder uses for something else; allowed: any other name",
                                  n->name);
    for (int k = 0; k < i; k++)
        if (strcasecmp(r->networks[k].name, n->name) == 0)
            return dt_fail_at(
                err, at, path,
                "found %s, but networks.%d is called %s already; allowed: a name that no other network has", n->name, k,
                r->networks[k].name);

    snprintf(path, sizeof path, "networks.%d.frozen", i);
    if (n->frozen && !n->init)
        return dt_fail_at(err, dt_yaml_place(root, path), path,
                              "found true without init: %s would stay random and teach noise; add `init: "
                              "FILE.safetensors`, or remove `frozen`",
                              n->name);
    snprintf(path, sizeof path, "networks.%d.init_strict", i);
    if (!n->init_strict && (n->frozen || !n->init))
        return dt_fail_at(err, dt_yaml_place(root, path), path, "found false %s; allowed: true",
                              n->frozen ? "for a frozen network, whose random parts would teach noise" : "without init, which leaves nothing to read");
    snprintf(path, sizeof path, "networks.%d.init_head", i);
    if (n->init_head == DT_HEAD_NEW && (n->frozen || !n->init || !r->task->logits))
        return dt_fail_at(err, dt_yaml_place(root, path), path, "found new %s; allowed: file",
                              n->frozen  ? "for a frozen network, whose random last layer would teach noise"
                              : !n->init ? "without init: all of a random network is new"
                                         : "in a task without classes, whose last layer fits every data set");
    snprintf(path, sizeof path, "networks.%d.layers", i);
    if (n->layers.n && n->frozen)
        return dt_fail_at(err, dt_yaml_place(root, path), path, "found learning rates of layers in a network that is frozen as a whole; allowed: "
                                                                "{}, or remove `frozen`");
    return DUET_OK;
}

static duet_status check_networks(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    for (int i = 0; i < r->n_networks; i++) DT_TRY(check_network(r, i, root, err));
    return DUET_OK;
}

/* ---- the method ----------------------------------------------------------------------------------------------- */

/* What methods look at before there is a graph: names, roles, who is frozen. */
static dt_peers make_peers(const dt_recipe *r)
{
    static const dt_mixing mixing = {.labels = DT_NONE, .share = DT_NONE};
    dt_peers peers = {.n = r->n_networks, .task = r->task, .ramp_epoch = DT_NONE};
    peers.targets = (dt_targets){.mixing = r->data.mixup > 0 ? &mixing : NULL, .labels = DT_NONE, .noise = DT_NONE, .mask = DT_NONE, .config = &r->task_config};
    for (int i = 0; i < r->n_networks; i++) {
        const dt_recipe_network *n = &r->networks[i];
        peers.at[i] = (dt_peer){.name = n->name, .role = (dt_role)n->role, .frozen = n->frozen};
        peers.at[i].built = DT_BUILT;
    }
    return peers;
}

/* Does every model do what the task asks for? */
static duet_status check_task(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    for (int i = 0; i < r->n_networks; i++) {
        const dt_model *m = dt_recipe_model(&r->networks[i], NULL);
        char path[40];
        if (!m || strcmp(dt_model_task(m), r->task->name) == 0) continue;
        snprintf(path, sizeof path, "networks.%d.model", i);
        return dt_fail_at(err, dt_yaml_place(root, path), path, "found %s, a network for task %s, and the task is %s; add `task: {name: "
                              "%s}`, or choose a network for %s (see `duet models`)", m->name, dt_model_task(m), r->task->name, dt_model_task(m),
                              r->task->name);
    }
    if (r->task->no_mixup && r->data.mixup > 0)
        return dt_fail_at(err, dt_yaml_place(root, "data.mixup"), "data.mixup", "found %g with task %s, where %s; allowed here: 0", r->data.mixup,
                              r->task->name, r->task->no_mixup);
    if (r->task->one_view && r->data.views)
        return dt_fail_at(err, dt_yaml_place(root, "data.views"), "data.views", "found independent, but in task %s all networks see one "
                              "variation of a picture, because they are compared place by place; allowed: shared", r->task->name);
    return DUET_OK;
}

static duet_status check_method(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const dt_peers peers = make_peers(r);
    duet_error why = {0}; /* messages of src/methods name the method or `adm` themselves */
    if (dt_method_check(r->method, &peers, r->method_config, (size_t)r->data.validation, &why))
        return dt_fail_at(err, dt_yaml_place(root, "method"), NULL, "%s", why.message);
    if (r->adm.enabled && dt_adm_check(&peers, &r->adm, &why))
        return dt_fail_at(err, dt_yaml_place(root, "adm"), NULL, "%s", why.message);
    return DUET_OK;
}

/* ---- the task's options ---------------------------------------------------------------------------------------- */

static duet_status check_class_weights(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    static const char key[] = "task.class_weights";
    const dt_weights *w = &r->task_config.class_weights;
    double most = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->at[i] > most) most = w->at[i];
    if (w->word == DT_CLASS_WEIGHTS_LIST && most == 0)
        return dt_fail_at(err, dt_yaml_place(root, key), key, "found weights that are all 0, with which nothing is learned; allowed: at least one above 0");
    if (w->word == DT_CLASS_WEIGHTS_BALANCED && r->task->needs & DT_NEEDS_PIXEL_LABELS)
        return dt_fail_at(err, dt_yaml_place(root, key), key, "found balanced with task %s, for which every pixel of every file would have to be "
                              "counted before training; allowed here: off, or a list with a number for each class", r->task->name);
    return DUET_OK;
}

/* ---- data ----------------------------------------------------------------------------------------------------- */

static duet_status check_range(const dt_yaml *root, const char *key, const dt_reals *range, const char *example, duet_error *err)
{
    if (range->n == 2 && range->at[0] <= range->at[1]) return DUET_OK;
    return dt_fail_at(err, dt_yaml_place(root, key), key, "found %s; allowed: the least and the most, %s",
                          range->n != 2 ? "not two numbers" : "the higher number first", example);
}

static duet_status check_squares(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const dt_recipe_squares *s = &r->data.squares;
    DT_TRY(check_range(root, "data.augment.random_resized_crop.scale", &s->scale, "[0.08, 1]", err));
    DT_TRY(check_range(root, "data.augment.random_resized_crop.ratio", &s->ratio, "[0.75, 1.3333]", err));
    if (!s->size)
        return dt_fail_at(err, dt_yaml_place(root, "data.augment"), "data.augment.size", "missing, and the networks take pictures of any "
                              "size; give one: `augment: {size: 224}`");
    if (s->short_side < s->size)
        return dt_fail_at(err, dt_yaml_place(root, "data.augment.short_side"), "data.augment.short_side",
                              "found %lld, in which a square of %lld does not fit; allowed: at least that many", (long long)s->short_side,
                              (long long)s->size);
    if (r->data.crop.n)
        return dt_fail_at(err, dt_yaml_place(root, "data.crop"), "data.crop", "found a crop, and data.augment resizes; remove one of the two");
    if (r->task->needs & DT_NEEDS_PIXEL_LABELS)
        return dt_fail_at(err, dt_yaml_place(root, "data.augment"), "data.augment", "found resize, which is not for classes of pixels (task "
                              "%s); allowed: crop_flip, flip, none, with `crop`", r->task->name);
    return DUET_OK;
}

static duet_status check_data(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    if (r->data.augment == DT_AUGMENT_RESIZE) DT_TRY(check_squares(r, root, err));
    const dt_ints *scale = &r->data.scale, *crop = &r->data.crop;
    if (crop->n != 0 && crop->n != 2)
        return dt_fail_at(err, dt_yaml_place(root, "data.crop"), "data.crop",
                              "found %zu numbers; allowed: height and width, [512, 1024], or [] for no crop", crop->n);
    if (scale->n != 2 || scale->at[0] > scale->at[1])
        return dt_fail_at(err, dt_yaml_place(root, "data.scale"), "data.scale",
                              "found %s; allowed: the lowest and the highest per cent, [50, 200]",
                              scale->n != 2 ? "not two numbers" : "the higher number first");
    if (crop->n == 0 && (scale->at[0] != 100 || scale->at[1] != 100))
        return dt_fail_at(err, dt_yaml_place(root, "data.scale"), "data.scale",
                              "found a scale without data.crop, and images of all sizes fill no batch; add `crop: [HEIGHT, "
                              "WIDTH]`, or remove `scale`");
    return DUET_OK;
}

/* ---- training ------------------------------------------------------------------------------------------------- */

static duet_status check_milestones(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    static const char key[] = "train.schedule.milestones";
    const dt_ints *m = &r->train.schedule.milestones;
    for (size_t i = 0; i < m->n; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s.%zu", key, i);
        const dt_spot at = dt_yaml_place(root, path);
        if (i > 0 && m->at[i] < m->at[i - 1])
            return dt_fail_at(err, at, key, "found %lld after %lld; allowed: epochs in ascending order",
                                  (long long)m->at[i], (long long)m->at[i - 1]);
        if (r->train.schedule.name == DT_SCHEDULE_MULTISTEP && !r->train.steps && m->at[i] > r->train.epochs)
            return dt_fail_at(err, at, key,
                                  "found %lld, but training ends after %lld epochs (train.epochs); allowed: milestones "
                                  "within them, or leave the key out for 62.5, 75 and 87.5 %%",
                                  (long long)m->at[i], (long long)r->train.epochs);
    }
    return DUET_OK;
}

static duet_status refuse_with_optimizer(const dt_yaml *root, const char *name, const char *option, const char *belongs,
                                         const char *allowed, duet_error *err)
{
    char key[40], found[DT_FOUND_BYTES];
    snprintf(key, sizeof key, "train.%s", option);
    return dt_fail_at(err, dt_yaml_place(root, key), key,
                          "found %s with train.optimizer %s, but it belongs to %s; allowed here: %s, or leave it out",
                          dt_yaml_found(dt_yaml_find(dt_yaml_find(root, "train"), option), found), name, belongs, allowed);
}

/* Options of another optimiser than the one that was chosen: a recipe that was written out has them at their defaults. */
static duet_status check_optimizer(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    const char *const name = r->train.optimizer == DT_ADAM ? "adam" : "adamw";
    if (r->train.optimizer == DT_SGD) {
        static const char belongs[] = "adam and adamw";
        if (r->train.beta1 != 0.9) return refuse_with_optimizer(root, "sgd", "beta1", belongs, "0.9", err);
        if (r->train.beta2 != 0.999) return refuse_with_optimizer(root, "sgd", "beta2", belongs, "0.999", err);
        if (r->train.eps != 1e-8) return refuse_with_optimizer(root, "sgd", "eps", belongs, "1e-8", err);
        return DUET_OK;
    }
    if (r->train.momentum != 0) return refuse_with_optimizer(root, name, "momentum", "sgd (adam's is beta1)", "0", err);
    if (r->train.nesterov) return refuse_with_optimizer(root, name, "nesterov", "sgd", "false", err);
    return DUET_OK;
}

/* Milestones are epochs, and how many of them there are in train.steps depends on the data. */
static duet_status check_steps(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    static const char key[] = "train.steps";
    const dt_yaml *schedule = dt_yaml_find(dt_yaml_find(root, "train"), "schedule");
    if (!r->train.steps || r->train.schedule.name != DT_SCHEDULE_MULTISTEP || dt_yaml_find(schedule, "milestones"))
        return DUET_OK;
    return dt_fail_at(err, dt_yaml_place(root, key), key,
                          "found %lld with the schedule multistep, whose milestones are counted in epochs; give "
                          "train.schedule.milestones, or choose another train.schedule.name: poly, cosine, onecycle, constant",
                          (long long)r->train.steps);
}

/* A method that decides batch by batch who learns from it has no one answer for a step of several. */
static duet_status check_accumulate(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    static const char key[] = "train.accumulate";
    if (r->train.accumulate == 1 || !r->method->choose) return DUET_OK;
    return dt_fail_at(err, dt_yaml_place(root, key), key,
                          "found %lld with method %s, which decides for every batch anew which networks learn from it, so that a step has "
                          "no one set of networks to update; allowed here: 1, with a larger train.batch", (long long)r->train.accumulate,
                          r->method->name);
}

static duet_status check_train(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    DT_TRY(check_accumulate(r, root, err));
    DT_TRY(check_optimizer(r, root, err));
    DT_TRY(check_steps(r, root, err));
    if (r->train.nesterov && r->train.momentum == 0)
        return dt_fail_at(err, dt_yaml_place(root, "train.nesterov"), "train.nesterov",
                              "found true with train.momentum 0; allowed: true with momentum above 0, or false");
    if (r->train.schedule.name == DT_SCHEDULE_ONECYCLE && r->train.schedule.warmup_epochs > 0) {
        static const char key[] = "train.schedule.warmup_epochs";
        return dt_fail_at(err, dt_yaml_place(root, key), key,
                              "found a warm-up with onecycle, which has its own; allowed here: 0, or another schedule");
    }
    return check_milestones(r, root, err);
}

duet_status dt_recipe_check(const dt_recipe *r, const dt_yaml *root, duet_error *err)
{
    DT_TRY(check_networks(r, root, err));
    DT_TRY(check_task(r, root, err));
    DT_TRY(check_class_weights(r, root, err));
    DT_TRY(check_data(r, root, err));
    DT_TRY(check_train(r, root, err));
    if (r->device.precision != DT_RECIPE_F32)
        return dt_fail_at(err, dt_yaml_place(root, "device.precision"), "device.precision",
                              "found bf16, which this build cannot do yet; allowed: f32");
    return check_method(r, root, err);
}
