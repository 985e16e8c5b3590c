/* Small networks under a method, for tests of methods: described in a line, built as often as asked into one graph. */
#ifndef TESTS_STEP_H
#define TESTS_STEP_H

#include "evaluate.h"
#include "methods/methods.h"

#include <stdlib.h>

enum { STEP_BATCH = 3, STEP_CLASSES = 5, STEP_SIDE = 6 };

typedef struct step_network {
    dt_role role;
    size_t channels, stride; /* of its last map: STEP_SIDE / stride on a side */
    bool frozen;
} step_network;

/* options, adm: "temperature=2 peers=sum"; adm NULL: no such section. */
typedef struct step_spec {
    int n;
    step_network networks[4];
    const char *method, *options, *adm;
    bool mask;
} step_spec;

typedef struct step_inputs {
    dt_node image, labels, mask, epoch;
} step_inputs;

/* ---- options from their tables --------------------------------------------------------------------------------- */

static inline int choice_of(const char *choices, const char *value, size_t length)
{
    for (int i = 0; *choices; i++) {
        const size_t n = strcspn(choices, "|");
        if (n == length && !memcmp(choices, value, n)) return i;
        choices += n + (choices[n] == '|');
    }
    return -1;
}

/* One option from its text, as a recipe would have it; false when the text does not fit the table. */
static inline bool set_option(const dt_option *o, void *config, const char *value, size_t length)
{
    char text[64] = {0}, *end;
    uint8_t *field = (uint8_t *)config + o->offset;
    if (length >= sizeof text) return false;
    memcpy(text, value, length);
    if (o->type == DT_OPTION_REAL) {
        const double x = strtod(text, &end);
        memcpy(field, &x, sizeof x);
        return *text && !*end && x >= o->min && x <= o->max;
    }
    if (o->type == DT_OPTION_BOOL) {
        const bool x = !strcmp(text, "true");
        memcpy(field, &x, sizeof x);
        return x || !strcmp(text, "false");
    }
    if (o->type == DT_OPTION_CHOICE) {
        const int x = choice_of(o->choices, value, length);
        memcpy(field, &x, sizeof x);
        return x >= 0;
    }
    return false;
}

/* Defaults, then "key=value key=value". */
static inline void set_options(const dt_option *table, void *config, const char *text)
{
    for (const dt_option *o = table; o->key; o++)
        if (!set_option(o, config, o->initial, strlen(o->initial))) fail_msg("default of %s: %s", o->key, o->initial);
    while (text && *text) {
        const size_t all = strcspn(text, " "), key = strcspn(text, "=");
        const dt_option *o = table;
        while (o->key && (strlen(o->key) != key || memcmp(o->key, text, key))) o++;
        if (!o->key || !set_option(o, config, text + key + 1, all - key - 1)) fail_msg("option: %s", text);
        text += all + (text[all] == ' ');
    }
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static const int32_t step_labels[STEP_BATCH] = {4, 0, 2};
static const char *const step_names[] = {"a", "b", "c", "d"};

/* conv - norm - ReLU [stage1] - conv - norm - ReLU [features] - pool - linear. */
static inline dt_built step_network_build(dt_graph *g, dt_node image, step_network n)
{
    const dt_conv_spec first = {.out_channels = n.channels, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1};
    const dt_conv_spec second = {.out_channels = n.channels, .kernel_h = 3, .kernel_w = 3, .stride = n.stride, .pad = 1};
    dt_built b = DT_BUILT;
    dt_node x = dt_relu(g, dt_batch_norm(g, dt_conv(g, image, "conv1", first), "bn1"));
    b.taps[b.n_taps++] = (dt_tap){"stage1", x};
    x = dt_relu(g, dt_batch_norm(g, dt_conv(g, x, "conv2", second), "bn2"));
    b.taps[b.n_taps++] = (dt_tap){"features", x};
    b.features = x;
    b.pooled = dt_global_average(g, x);
    b.output = dt_linear(g, b.pooled, "fc", STEP_CLASSES, DT_LINEAR_TORCH);
    b.head_weight = dt_find_parameter(g, g->network, "fc.weight");
    b.head_bias = dt_find_parameter(g, g->network, "fc.bias");
    return b;
}

static inline step_inputs step_make_inputs(dt_graph *g)
{
    step_inputs in;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){STEP_BATCH, 3, STEP_SIDE, STEP_SIDE});
    in.labels = dt_input(g, "labels", DT_INDEX, (dt_shape){STEP_BATCH, 1, 1, 1});
    in.mask = dt_input(g, "mask", DT_REAL, (dt_shape){STEP_BATCH, 1, STEP_SIDE, STEP_SIDE});
    in.epoch = dt_input(g, "epoch", DT_REAL, (dt_shape){1, 1, 1, 1});
    return in;
}

/* Networks without a graph, as checks of recipes see them. */
static inline dt_peers step_peers(const step_spec *s)
{
    dt_peers peers = {.n = s->n, .task = &dt_task_classify, .ramp_epoch = DT_NONE};
    static const dt_task_config plain;
    peers.targets = (dt_targets){.labels = DT_NONE, .noise = DT_NONE, .mask = DT_NONE, .classes = STEP_CLASSES, .config = &plain};
    for (int i = 0; i < s->n; i++) peers.at[i] = (dt_peer){.name = step_names[i], .role = s->networks[i].role, .frozen = s->networks[i].frozen};
    return peers;
}

/* Builds the networks, the method's losses and adm's. Called again on one graph, it makes new nodes over the same parameters. */
static inline duet_status step_build(const step_spec *s, dt_graph *g, step_inputs in, dt_peers *peers, dt_losses *out, duet_error *err)
{
    union { max_align_t align; uint8_t bytes[128]; } config = {0};
    dt_adm_config adm = {.enabled = s->adm != NULL};
    const dt_method *m = dt_method_find(s->method, err);
    assert_true(m && m->config_bytes <= sizeof config);
    set_options(m->options, &config, s->options);
    set_options(dt_adm_options, &adm, s->adm);
    *peers = step_peers(s);
    peers->ramp_epoch = in.epoch;
    peers->targets.labels = in.labels;
    if (s->mask) peers->targets.mask = in.mask;
    for (int i = 0; i < s->n; i++) {
        dt_graph_set_network(g, i, step_names[i], !s->networks[i].frozen);
        peers->at[i].built = step_network_build(g, in.image, s->networks[i]);
    }
    dt_graph_set_network(g, -1, NULL, true);
    DT_TRY(m->losses(g, peers, &config, out, err));
    return dt_adm_add(g, peers, &adm, out, err);
}

static inline size_t step_trained(const dt_graph *g, int network, dt_node *out)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].network == network && g->parameters[i].trained) out[n++] = g->parameters[i].node;
    return n;
}

static inline void step_fill(dt_program *p, step_inputs in, float epoch)
{
    float image[STEP_BATCH * 3 * STEP_SIDE * STEP_SIDE], mask[STEP_BATCH * STEP_SIDE * STEP_SIDE];
    fill_normal(image, DT_COUNT(image), 1, 21);
    for (size_t i = 0; i < DT_COUNT(mask); i++) mask[i] = i % 5 < 2;
    dt_program_write(p, in.image, image, DT_COUNT(image));
    dt_program_write(p, in.labels, step_labels, STEP_BATCH);
    dt_program_write(p, in.mask, mask, DT_COUNT(mask));
    dt_program_write(p, in.epoch, &epoch, 1);
}

#endif
