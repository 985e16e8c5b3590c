/* Networks that users describe in a file instead of in C (docs/models.md has the words):
 *
 *     image: 32                      the side of the picture it is made for
 *     with: {width: 16}              numbers with names
 *     blocks: {basic: [...]}         lists of layers that are used more than once
 *     layers:                        what is done to the picture, one after another
 *       - {conv: conv1, channels: $width}
 *       - {repeat: 3, name: layer1.$i, use: basic, with: {channels: $width, stride: [1, 1]}}
 *
 * The file is a tree (format/yaml.c) that is walked each time the network is built: each layer is a word and makes one node of
 * the graph out of the map before it. There is no second form of a network, so what can be described is what the graph knows,
 * and a mistake is found where it would be in C: in the graph, which says what does not fit; this file adds the place in
 * the file and the shape that came in. */
#include "described_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 20000, DEEPEST = 12, MOST_KEYS = 12 };

/* All that is known of one file. Lives, as its tree and text, in the caller's arena. */
typedef struct described {
    dt_model model;
    const dt_yaml *root, *blocks;
    const dt_variable *variables; /* the file's own `with` */
} described;

/* A map that has a name. */
typedef struct kept {
    const char *name;
    dt_node node;
    const struct kept *outer;
} kept;

/* What is known at one place of a network under construction. */
typedef struct builder {
    dt_graph *g;
    const described *d;
    const dt_model_inputs *in;
    dt_built *built;
    dt_node x, entry;             /* the map so far; that at the entry of the block: `in` */
    const dt_variable *variables;
    const kept *kept;
    const char *prefix;           /* "layer1.0." */
    int depth, *n_layers;
    unsigned *n_dropouts;
} builder;

/* Reading stops at the first mistake, which is the graph's. */
static bool failed(const builder *b) { return b->g->error.status != DUET_OK; }
static duet_error *error_of(const builder *b) { return &b->g->error; }

#define FAIL(b, value, ...) ((void)dt_fail_at(error_of(b), (value)->at, NULL, __VA_ARGS__))

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* A number of a layer, or what it is where the layer says nothing. */
static size_t number(const builder *b, const dt_yaml *layer, const char *key, int64_t least, int64_t otherwise)
{
    const dt_yaml *value = dt_yaml_find(layer, key);
    int64_t x = otherwise;
    if (failed(b)) return 0;
    if (!value && otherwise < least) FAIL(b, layer, "%s is missing; add %s: and a number", key, key);
    if (!value || dt_described_number(value, b->variables, &x, error_of(b))) return (size_t)x;
    if (x < least) FAIL(b, value, "%s: found %lld; allowed: at least %lld", key, (long long)x, (long long)least);
    return (size_t)(x < least ? least : x);
}

static bool truth(const builder *b, const dt_yaml *layer, const char *key)
{
    char found[DT_FOUND_BYTES];
    const dt_yaml *value = dt_yaml_find(layer, key);
    if (failed(b) || !value) return false;
    const bool is_true = value->kind == DT_YAML_SCALAR && !strcmp(value->text, "true");
    if (!is_true && (value->kind != DT_YAML_SCALAR || strcmp(value->text, "false") != 0))
        FAIL(b, value, "%s: found %s; allowed: true or false", key, dt_yaml_found(value, found));
    return is_true;
}

/* Text with the place in the network in front; NULL after a mistake. */
static const char *name_of(const builder *b, const dt_yaml *value)
{
    char text[DT_LAYER_NAME];
    if (failed(b) || dt_described_text(value, b->variables, text, error_of(b))) return NULL;
    return dt_part_name(b->g, "%s%s", b->prefix, text);
}

/* One of `words`, "a|b|c" by position; the first where the layer says nothing. */
static int choice(const builder *b, const dt_yaml *layer, const char *key, const char *const *words, int n)
{
    char found[DT_FOUND_BYTES], list[120] = "";
    const dt_yaml *value = dt_yaml_find(layer, key);
    if (failed(b) || !value) return 0;
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        if (value->kind == DT_YAML_SCALAR && !strcmp(value->text, words[i])) return i;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
    }
    FAIL(b, value, "%s: found %s; allowed: %s", key, dt_yaml_found(value, found), list);
    return 0;
}

/* A share below 1; 0 where the layer says nothing. */
static double share(const builder *b, const dt_yaml *value)
{
    char found[DT_FOUND_BYTES], *end = NULL;
    if (failed(b) || !value) return 0;
    const double p = value->kind == DT_YAML_SCALAR ? strtod(value->text, &end) : -1;
    if (end && !*end && end != value->text && p >= 0 && p < 1) return p;
    FAIL(b, value, "found %s; allowed: a share from 0 to below 1, as 0.2", dt_yaml_found(value, found));
    return 0;
}

/* A map by its name: `in`, `here`, or one that was kept. */
static dt_node map_named(const builder *b, const dt_yaml *value)
{
    char found[DT_FOUND_BYTES];
    if (failed(b)) return DT_NONE;
    if (value->kind == DT_YAML_SCALAR) {
        if (!strcmp(value->text, "in")) return b->entry;
        if (!strcmp(value->text, "here")) return b->x;
        for (const kept *k = b->kept; k; k = k->outer)
            if (!strcmp(value->text, k->name)) return k->node;
    }
    FAIL(b, value, "found %s; allowed: in (what came into the block), here, or the name of a map that `keep` gave before", dt_yaml_found(value, found));
    return DT_NONE;
}

/* ---- layers ----------------------------------------------------------------------------------------------------- */

static void walk(builder *b, const dt_yaml *layers);

static void layer_conv(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    static const char *const starts[] = {"kaiming", "torch"};
    dt_conv_spec s = {.out_channels = number(b, layer, "channels", 1, 0), .kernel_h = number(b, layer, "kernel", 1, 3),
                      .stride = number(b, layer, "stride", 1, 1), .dilation = number(b, layer, "dilation", 1, 1),
                      .groups = number(b, layer, "groups", 1, 1), .bias = truth(b, layer, "bias")};
    s.kernel_w = s.kernel_h;
    s.pad = number(b, layer, "pad", 0, (int64_t)(s.dilation * (s.kernel_h / 2)));
    const int start = choice(b, layer, "start", starts, 2);
    const char *name = name_of(b, value);
    if (failed(b)) return;
    b->x = dt_conv(b->g, b->x, name, s);
    if (start) dt_part_start_torch(b->g, name);
}

static void layer_batch_norm(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)layer;
    const char *name = name_of(b, value);
    if (name) b->x = dt_batch_norm(b->g, b->x, name);
}

static void layer_relu(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)layer, (void)value;
    b->x = dt_relu(b->g, b->x);
}

static void layer_relu6(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)layer, (void)value;
    b->x = dt_relu6(b->g, b->x);
}

static dt_pool_spec pool_of(const builder *b, const dt_yaml *layer, const char *word)
{
    dt_pool_spec s = {.kernel = number(b, layer, word, 1, 0)};
    s.stride = number(b, layer, "stride", 1, (int64_t)s.kernel);
    s.pad = number(b, layer, "pad", 0, 0);
    return s;
}

static void layer_max_pool(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)value;
    const dt_pool_spec s = pool_of(b, layer, "max_pool");
    if (!failed(b)) b->x = dt_max_pool(b->g, b->x, s);
}

static void layer_avg_pool(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)value;
    dt_pool_spec s = pool_of(b, layer, "avg_pool");
    s.count_pad = truth(b, layer, "count_pad");
    if (!failed(b)) b->x = dt_avg_pool(b->g, b->x, s);
}

static void layer_shuffle(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)value;
    const size_t groups = number(b, layer, "shuffle", 1, 0);
    if (!failed(b)) b->x = dt_shuffle_channels(b->g, b->x, groups);
}

static void layer_slice(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)value;
    const size_t first = number(b, layer, "slice", 0, -1), channels = number(b, layer, "channels", 1, 0);
    if (!failed(b)) b->x = dt_slice(b->g, b->x, first, channels);
}

static void layer_dropout(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)layer;
    const double p = share(b, value);
    if (!failed(b)) b->x = dt_part_dropout(b->g, b->x, b->in->dropout_key, p, ++*b->n_dropouts);
}

static void layer_from(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)layer;
    const dt_node x = map_named(b, value);
    if (x != DT_NONE) b->x = x;
}

static void layer_keep(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    char text[DT_LAYER_NAME];
    (void)layer;
    if (dt_described_text(value, b->variables, text, error_of(b))) return;
    kept *k = dt_arena_alloc(&b->g->arena, 1, sizeof *k);
    const char *name = k ? dt_arena_strdup(&b->g->arena, text) : NULL;
    if (!name) {
        dt_graph_fail(b->g, DUET_MEMORY, "no memory for the map %s", text);
        return;
    }
    *k = (kept){name, b->x, b->kept};
    b->kept = k;
}

/* The other map, by way of the layers of `fit` where it has another shape than the one here. */
static void layer_add(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    const dt_yaml *fit = dt_yaml_find(layer, "fit");
    dt_node other = map_named(b, value);
    if (failed(b)) return;
    if (fit && !dt_shape_equal(dt_shape_of(b->g, other), dt_shape_of(b->g, b->x))) {
        builder around = *b;
        around.x = other;
        around.depth++;
        walk(&around, fit);
        other = around.x;
    }
    const dt_shape here = dt_shape_of(b->g, b->x), there = dt_shape_of(b->g, other);
    if (failed(b)) return;
    if (dt_shape_equal(here, there)) b->x = dt_add(b->g, b->x, other);
    else FAIL(b, value, "add: %zux%zux%zu here and %zux%zux%zu there cannot be added; `fit:` takes layers that give the latter the shape of the former",
              here.c, here.h, here.w, there.c, there.h, there.w);
}

static void layer_concat(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    dt_node maps[DT_MAX_INPUTS];
    size_t n = 0;
    (void)layer;
    for (const dt_yaml *v = value->kind == DT_YAML_LIST ? value->first : NULL; v && n <= DT_MAX_INPUTS; v = v->next, n++)
        if (n < DT_MAX_INPUTS) maps[n] = map_named(b, v);
    if (!failed(b) && (n < 2 || n > DT_MAX_INPUTS)) FAIL(b, value, "concat: allowed: a list of 2 to %d maps, as [here, in]", DT_MAX_INPUTS);
    if (!failed(b)) b->x = dt_concat(b->g, maps, n);
}

static void layer_tap(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    char text[DT_LAYER_NAME];
    (void)layer;
    /* Taps are listed when the graph is gone: their names are the file's own text. */
    if (dt_described_text(value, NULL, text, error_of(b))) return;
    for (int i = 0; i < b->built->n_taps; i++)
        if (!strcmp(b->built->taps[i].name, text)) FAIL(b, value, "found a second tap %s; each has its own name", text);
    if (!failed(b) && (b->built->n_taps >= DT_MAX_TAPS - 1 || !strcmp(text, "features")))
        FAIL(b, value, "found tap %s; allowed: at most %d, and `features` is what the classifier reads", text, DT_MAX_TAPS - 1);
    if (!failed(b)) dt_part_tap(b->built, value->text, b->x);
}

static void layer_classifier(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    static const char *const starts[] = {"torch", "zero_bias", "normal"};
    static const dt_linear_init inits[] = {DT_LINEAR_TORCH, DT_LINEAR_ZERO_BIAS, DT_LINEAR_NORMAL};
    const dt_classifier c = {.start = inits[choice(b, layer, "start", starts, 3)], .dropout = share(b, dt_yaml_find(layer, "dropout")),
                             .name = name_of(b, value)};
    if (!failed(b) && b->built->output != DT_NONE) FAIL(b, value, "found a second classifier; a network ends with one");
    if (failed(b)) return;
    dt_part_classifier(b->g, b->built, b->x, b->in, &c);
    b->x = b->built->output;
}

/* ---- blocks ----------------------------------------------------------------------------------------------------- */

/* The layers of a `use` or `repeat`; NULL after a mistake. */
static const dt_yaml *layers_of(const builder *b, const dt_yaml *layer)
{
    char found[DT_FOUND_BYTES];
    const dt_yaml *own = dt_yaml_find(layer, "layers"), *use = dt_yaml_find(layer, "use");
    if (!own == !use) {
        FAIL(b, layer, "a repeat needs either `use:` and the name of a block, or `layers:`");
        return NULL;
    }
    if (own) return own;
    const dt_yaml *block = use->kind == DT_YAML_SCALAR ? dt_yaml_find(b->d->blocks, use->text) : NULL;
    if (!block) FAIL(b, use, "found %s, which is no block; `blocks:` lists them", dt_yaml_found(use, found));
    return block;
}

static const dt_variable *define(const builder *b, const char *name, int64_t value, const dt_variable *outer)
{
    dt_variable *v = dt_arena_alloc(&b->g->arena, 1, sizeof *v);
    if (!v) {
        dt_graph_fail(b->g, DUET_MEMORY, "no memory for $%s", name);
        return outer;
    }
    *v = (dt_variable){name, value, outer};
    return v;
}

/* `with` of a layer, in the i-th of its rounds: of a list the i-th number, or the last. */
static const dt_variable *read_with(const builder *b, const dt_yaml *layer, const dt_variable *outer, size_t i)
{
    const dt_yaml *with = dt_yaml_find(layer, "with");
    const dt_variable *all = outer;
    if (with && with->kind != DT_YAML_MAP) FAIL(b, with, "with: allowed: names and numbers, as {channels: 16}");
    for (const dt_yaml *v = with ? with->first : NULL; v && !failed(b); v = v->next) {
        const dt_yaml *value = v;
        int64_t x;
        if (v->kind == DT_YAML_LIST) {
            value = v->first;
            for (size_t k = 0; value && value->next && k < i; k++) value = value->next;
            if (!value) FAIL(b, v, "with: %s: found an empty list; allowed: numbers for the first round, the second, ..", v->key);
        }
        if (!failed(b) && !dt_described_number(value, outer, &x, error_of(b))) all = define(b, v->key, x, all);
    }
    return all;
}

static void one_round(builder *b, const dt_yaml *layer, const dt_yaml *layers, size_t i)
{
    builder inner = *b;
    const dt_yaml *name = dt_yaml_find(layer, "name");
    inner.entry = b->x;
    inner.depth++;
    if (dt_yaml_find(layer, "repeat")) inner.variables = define(b, "i", (int64_t)i, b->variables);
    if (name) {
        char text[DT_LAYER_NAME];
        if (dt_described_text(name, inner.variables, text, error_of(b))) return;
        inner.prefix = dt_part_name(b->g, "%s%s.", b->prefix, text);
    }
    inner.variables = read_with(b, layer, inner.variables, i);
    if (!failed(b)) walk(&inner, layers);
    b->x = inner.x;
}

static void layer_repeat(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)value;
    const size_t rounds = number(b, layer, "repeat", 1, 0);
    const dt_yaml *layers = failed(b) ? NULL : layers_of(b, layer);
    for (size_t i = 0; layers && i < rounds && !failed(b); i++) one_round(b, layer, layers, i);
}

static void layer_use(builder *b, const dt_yaml *layer, const dt_yaml *value)
{
    (void)value;
    const dt_yaml *layers = layers_of(b, layer);
    if (layers) one_round(b, layer, layers, 0);
}

/* ---- the words -------------------------------------------------------------------------------------------------- */

typedef struct word {
    const char *name;
    void (*build)(builder *b, const dt_yaml *layer, const dt_yaml *value); /* value: of the key that is the word */
    const char *const keys[MOST_KEYS]; /* that may stand beside it */
    bool plain;                        /* stands alone: `- relu` */
} word;

/* What may stand beside another word comes behind it: `use` in a repeat, `dropout` in a classifier. */
static const word words[] = {
    {"repeat", layer_repeat, {"name", "use", "layers", "with"}, false},
    {"use", layer_use, {"name", "with"}, false},
    {"classifier", layer_classifier, {"start", "dropout"}, false},
    {"conv", layer_conv, {"channels", "kernel", "stride", "pad", "dilation", "groups", "bias", "start"}, false},
    {"batch_norm", layer_batch_norm, {NULL}, false},
    {"relu", layer_relu, {NULL}, true},
    {"relu6", layer_relu6, {NULL}, true},
    {"max_pool", layer_max_pool, {"stride", "pad"}, false},
    {"avg_pool", layer_avg_pool, {"stride", "pad", "count_pad"}, false},
    {"shuffle", layer_shuffle, {NULL}, false},
    {"slice", layer_slice, {"channels"}, false},
    {"dropout", layer_dropout, {NULL}, false},
    {"keep", layer_keep, {NULL}, false},
    {"from", layer_from, {NULL}, false},
    {"add", layer_add, {"fit"}, false},
    {"concat", layer_concat, {NULL}, false},
    {"tap", layer_tap, {NULL}, false},
};

static void list_words(dt_text *out)
{
    for (size_t i = 0; i < DT_COUNT(words); i++) dt_text_append(out, "%s%s", i ? ", " : "", words[i].name);
}

static void unknown_layer(const builder *b, const dt_yaml *at, const char *found)
{
    const char *names[DT_COUNT(words)];
    dt_text list = {0};
    for (size_t i = 0; i < DT_COUNT(words); i++) names[i] = words[i].name;
    const char *near = dt_nearest(found, names, DT_COUNT(names));
    list_words(&list);
    FAIL(b, at, "found %.40s, which is no layer; allowed: %s%s%s%s", found, dt_text_ok(&list) ? list.bytes : "see docs/models.md",
         near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    dt_text_release(&list);
}

/* The word of a layer, and its value; NULL after a mistake. */
static const word *word_of(const builder *b, const dt_yaml *layer, const dt_yaml **value)
{
    char found[DT_FOUND_BYTES];
    *value = layer;
    if (layer->kind == DT_YAML_SCALAR) {
        for (size_t i = 0; i < DT_COUNT(words); i++)
            if (words[i].plain && !strcmp(words[i].name, layer->text)) return &words[i];
    } else if (layer->kind == DT_YAML_MAP) {
        for (size_t i = 0; i < DT_COUNT(words); i++)
            if ((*value = dt_yaml_find(layer, words[i].name))) return &words[i];
    }
    if (layer->kind == DT_YAML_MAP && layer->first) unknown_layer(b, layer, layer->first->key);
    else if (layer->kind == DT_YAML_SCALAR) unknown_layer(b, layer, layer->text);
    else FAIL(b, layer, "found %s; allowed: a layer, as {conv: conv1, channels: 16}", dt_yaml_found(layer, found));
    return NULL;
}

static void check_keys(const builder *b, const dt_yaml *layer, const word *w)
{
    for (const dt_yaml *k = layer->kind == DT_YAML_MAP ? layer->first : NULL; k && !failed(b); k = k->next) {
        int i = 0;
        if (!strcmp(k->key, w->name)) continue;
        while (i < MOST_KEYS && w->keys[i] && strcmp(w->keys[i], k->key) != 0) i++;
        if (i < MOST_KEYS && w->keys[i]) continue;
        char list[160] = "nothing else";
        size_t used = 0;
        for (i = 0; i < MOST_KEYS && w->keys[i]; i++) used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", w->keys[i]);
        (void)dt_fail_at(error_of(b), k->key_at, NULL, "found %.40s beside %s; allowed there: %s", k->key, w->name, list);
    }
}

static void build_layer(builder *b, const dt_yaml *layer)
{
    const dt_yaml *value;
    const dt_shape before = dt_shape_of(b->g, b->x);
    const word *w = word_of(b, layer, &value);
    if (w) check_keys(b, layer, w);
    if (failed(b)) return;
    if (++*b->n_layers > MOST_LAYERS) {
        FAIL(b, layer, "found more than %d layers", MOST_LAYERS);
        return;
    }
    if (b->built->output != DT_NONE) {
        FAIL(b, layer, "found a layer behind the classifier, which is the last");
        return;
    }
    w->build(b, layer, value);
    /* What the graph refused knows nothing of the file. */
    duet_error *e = error_of(b);
    if (e->status && e->status != DUET_RECIPE && e->status != DUET_MEMORY) {
        e->status = DUET_RECIPE;
        dt_context(e, "%s:%d:%d: %s, given %zux%zux%zu", layer->at.file, layer->at.line, layer->at.column, w->name, before.c, before.h, before.w);
    }
}

static void walk(builder *b, const dt_yaml *layers)
{
    char found[DT_FOUND_BYTES];
    if (layers->kind != DT_YAML_LIST) FAIL(b, layers, "found %s; allowed: a list of layers", dt_yaml_found(layers, found));
    else if (b->depth > DEEPEST) FAIL(b, layers, "found blocks more than %d deep; does one use itself?", DEEPEST);
    for (const dt_yaml *layer = layers->first; layer && !failed(b); layer = layer->next) build_layer(b, layer);
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    const described *d = m->data;
    dt_built built = DT_BUILT;
    int n_layers = 0;
    unsigned n_dropouts = 0;
    builder b = {.g = g, .d = d, .in = in, .built = &built, .x = in->image, .entry = in->image, .variables = d->variables, .prefix = "",
                 .n_layers = &n_layers, .n_dropouts = &n_dropouts};
    if (failed(&b)) return built;
    walk(&b, dt_yaml_find(d->root, "layers"));
    if (!failed(&b) && built.output == DT_NONE)
        FAIL(&b, dt_yaml_find(d->root, "layers"), "the last layer is missing: {classifier: fc}, which makes answers of the last map");
    return built;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static const dt_yaml_form form = {.kind = "description", .least = "`image` and `layers` (see docs/models.md)", .sharing = "; what is used twice is a block"};

static duet_status check_head(const dt_yaml *root, duet_error *err)
{
    static const char *const keys[] = {"image", "classes", "any_size", "with", "blocks", "layers", "help"};
    char found[DT_FOUND_BYTES];
    if (root->kind != DT_YAML_MAP)
        return dt_fail_at(err, root->at, NULL, "found %s; a description is a map of %s", dt_yaml_found(root, found), form.least);
    for (const dt_yaml *k = root->first; k; k = k->next) {
        size_t i = 0;
        while (i < DT_COUNT(keys) && strcmp(keys[i], k->key) != 0) i++;
        if (i < DT_COUNT(keys)) continue;
        const char *near = dt_nearest(k->key, keys, DT_COUNT(keys));
        return dt_fail_at(err, k->key_at, NULL, "found %.40s; allowed here: image, classes, any_size, with, blocks, layers, help%s%s%s", k->key,
                          near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (!dt_yaml_find(root, "layers")) return dt_fail_at(err, root->at, NULL, "has no `layers`; a description has at least %s", form.least);
    return DUET_OK;
}

static duet_status read_whole(const dt_yaml *root, const char *key, int64_t least, int64_t otherwise, int64_t *out, duet_error *err)
{
    const dt_yaml *value = dt_yaml_find(root, key);
    *out = otherwise;
    if (value) DT_TRY(dt_described_number(value, NULL, out, err));
    if (*out >= least) return DUET_OK;
    return dt_fail_at(err, value ? value->at : root->at, NULL, "%s: %s; allowed: a number, at least %lld", key, value ? "too small" : "missing", (long long)least);
}

static duet_status read_variables(described *d, dt_arena *arena, duet_error *err)
{
    const dt_yaml *with = dt_yaml_find(d->root, "with");
    if (with && with->kind != DT_YAML_MAP) return dt_fail_at(err, with->at, NULL, "with: allowed: names and numbers, as {width: 16}");
    for (const dt_yaml *v = with ? with->first : NULL; v; v = v->next) {
        dt_variable *own = dt_arena_alloc(arena, 1, sizeof *own);
        if (!own) return dt_fail(err, DUET_MEMORY, "no memory for $%s", v->key);
        *own = (dt_variable){.name = v->key, .outer = d->variables};
        DT_TRY(dt_described_number(v, d->variables, &own->value, err));
        d->variables = own;
    }
    return DUET_OK;
}

/* Does a list of layers, or what is in it, say this word? */
static bool says(const dt_yaml *tree, const char *key)
{
    if (tree->key && !strcmp(tree->key, key)) return true;
    for (const dt_yaml *c = tree->first; c; c = c->next)
        if (says(c, key)) return true;
    return false;
}

/* "resnet20" of "models/resnet20.yaml", and of "student.resnet20.yaml", as a run's folder calls its copy. */
static const char *name_from(const char *file, dt_arena *arena)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file, *end = strrchr(name, '.');
    if (!end || end == name) end = name + strlen(name);
    for (const char *s = name; s + 1 < end; s++)
        if (*s == '.') name = s + 1;
    return dt_arena_printf(arena, "%.*s", (int)(end - name), name);
}

duet_status dt_model_described(const char *file, const char *text, size_t bytes, dt_arena *arena, const dt_model **out, duet_error *err)
{
    int64_t image, classes;
    dt_yaml *root = NULL;
    described *d = dt_arena_alloc(arena, 1, sizeof *d);
    char *copy = dt_arena_alloc(arena, bytes + 1, 1);
    const char *name = name_from(file, arena);
    if (!d || !copy || !name) return dt_fail(err, DUET_MEMORY, "%s: no memory for the description", file);
    if (bytes) memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    DT_TRY(dt_yaml_parse(file, &form, text, bytes, arena, &root, err));
    DT_TRY(check_head(root, err));
    DT_TRY(read_whole(root, "image", 1, 0, &image, err));
    DT_TRY(read_whole(root, "classes", 2, 100, &classes, err));
    const dt_yaml *any = dt_yaml_find(root, "any_size"), *help = dt_yaml_find(root, "help");
    *d = (described){.root = root, .blocks = dt_yaml_find(root, "blocks")};
    DT_TRY(read_variables(d, arena, err));
    d->model = (dt_model){.name = name, .family = "described", .help = help && help->kind == DT_YAML_SCALAR ? help->text : "described in a file",
                          .image = (size_t)image, .image_step = any && any->kind == DT_YAML_SCALAR && !strcmp(any->text, "true"),
                          .classes = (size_t)classes, .dropout = says(root, "dropout"), .build = build, .data = d, .description = copy};
    dt_model_facts facts;
    DT_TRY(dt_model_measure(&d->model, 0, &facts, err)); /* mistakes in layers are found here, not when training begins */
    *out = &d->model;
    return DUET_OK;
}

duet_status dt_model_read(const char *file, dt_arena *arena, const dt_model **out, duet_error *err)
{
    dt_view view;
    duet_status st = dt_view_open(file, &view, err);
    if (st == DUET_IO) return dt_fail(err, DUET_RECIPE, "%s: no description of a network can be read there: %s", file, strerror(errno));
    if (st) return st;
    st = dt_model_described(file, (const char *)view.bytes, view.n, arena, out, err);
    dt_view_close(&view);
    return st;
}

bool dt_model_is_file(const char *name)
{
    const size_t n = strlen(name);
    return (n > 5 && !strcmp(name + n - 5, ".yaml")) || (n > 4 && !strcmp(name + n - 4, ".yml"));
}
