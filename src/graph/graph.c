/* The graph itself: nodes, parameters, names, the first mistake. Layers are in layers.c, formulas in formulas.c. */
#include "graph/graph_impl.h"

#include <string.h>

typedef struct kind_facts {
    const char *name;
    int least, most, outputs;
} kind_facts;

static const kind_facts kinds[DT_OP_COUNT] = {
#define X(kind, name, least, most, outputs) [DT_OP_##kind] = {name, least, most, outputs},
    DT_OPS(X)
#undef X
};

const char *dt_kind_name(dt_kind kind)
{
    return (unsigned)kind < DT_OP_COUNT ? kinds[kind].name : "unknown";
}

int dt_kind_outputs(dt_kind kind)
{
    return kinds[kind].outputs;
}

bool dt_kind_has_effect(dt_kind kind)
{
    return kind == DT_OP_BN_TRACK || kind == DT_OP_UPDATE;
}

dt_graph *dt_graph_create(void)
{
    dt_graph *g = dt_alloc(1, sizeof *g);
    if (!g) return NULL;
    g->network = -1;
    g->variant = -1;
    g->training = true;
    return g;
}

void dt_graph_destroy(dt_graph *g)
{
    if (!g) return;
    dt_arena_release(&g->arena);
    dt_free(g->nodes);
    dt_free(g->parameters);
    dt_free(g->order);
    dt_free(g);
}

duet_status dt_graph_check(const dt_graph *g, duet_error *err)
{
    if (g->error.status) return dt_fail(err, g->error.status, "%s", g->error.message);
    return DUET_OK;
}

void dt_graph_fail(dt_graph *g, duet_status status, const char *format, ...)
{
    if (g->error.status) return;
    char text[DUET_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (g->scope) dt_fail(&g->error, status, "network '%s': %s", g->scope, text);
    else dt_fail(&g->error, status, "%s", text);
}

void dt_graph_set_network(dt_graph *g, int network, const char *scope, bool training)
{
    g->network = network;
    g->scope = scope ? dt_arena_strdup(&g->arena, scope) : NULL;
    g->training = training;
    g->frozen = NULL;
}

void dt_graph_freeze(dt_graph *g, bool (*frozen)(const void *user, const char *layer), const void *user)
{
    g->frozen = frozen;
    g->frozen_user = user;
}

void dt_graph_set_variant(dt_graph *g, int variant)
{
    g->variant = variant;
}

dt_shape dt_shape_of(const dt_graph *g, dt_node x)
{
    return x == DT_NONE ? (dt_shape){0} : g->nodes[x].shape;
}

const char *dt_shape_text(dt_shape s, char *text)
{
    snprintf(text, 96, "[%zu, %zu, %zu, %zu]", s.n, s.c, s.h, s.w);
    return text;
}

const char *dt_node_title(const dt_graph *g, dt_node x, char *text, size_t bytes)
{
    const dt_graph_node *n = &g->nodes[x];
    if (n->name) snprintf(text, bytes, "%s", n->name);
    else snprintf(text, bytes, "%s %d", dt_kind_name(n->kind), (int)x);
    return text;
}

/* Doubles an array of `size`-byte elements when it is full. */
static bool grow(void **array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 256, old_bytes, new_bytes;
    if (!dt_size_mul(*capacity, size, &old_bytes) || !dt_size_mul(wanted, size, &new_bytes)) return false;
    void *bigger = dt_realloc(*array, old_bytes, new_bytes);
    if (!bigger) return false;
    *array = bigger;
    *capacity = wanted;
    return true;
}

static bool shape_fits(dt_shape s)
{
    size_t count;
    return s.n && s.c && s.h && s.w && dt_size_mul(s.n, s.c, &count) && dt_size_mul(count, s.h, &count) &&
           dt_size_mul(count, s.w, &count) && dt_size_mul(count, 8, &count);
}

dt_node dt_node_make(dt_graph *g, dt_kind kind, const dt_node *in, int n_in, dt_attributes a, dt_shape s, dt_type type)
{
    if (n_in < kinds[kind].least || n_in > kinds[kind].most) DT_BUG("%s: %d inputs", kinds[kind].name, n_in);
    for (int i = 0; i < n_in; i++) {
        if (in[i] == DT_NONE && i < kinds[kind].least) {
            dt_graph_fail(g, DUET_SHAPE, "%s: input %d is missing", kinds[kind].name, i);
            return DT_NONE;
        }
        if (in[i] != DT_NONE && (in[i] < 0 || (size_t)in[i] >= g->n_nodes)) DT_BUG("%s: no node %d", kinds[kind].name, (int)in[i]);
    }
    if (!shape_fits(s)) {
        char text[96];
        dt_graph_fail(g, DUET_SHAPE, "%s: a result of shape %s is empty or too large", kinds[kind].name, dt_shape_text(s, text));
        return DT_NONE;
    }
    if (!grow((void **)&g->nodes, g->n_nodes, &g->node_capacity, sizeof *g->nodes)) {
        dt_graph_fail(g, DUET_MEMORY, "no memory for a graph of more than %zu nodes", g->n_nodes);
        return DT_NONE;
    }
    dt_graph_node *n = &g->nodes[g->n_nodes];
    memset(n, 0, sizeof *n);
    n->kind = kind;
    n->type = type;
    n->shape = s;
    n->a = a;
    n->n_in = n_in;
    n->network = g->network;
    n->variant = g->variant;
    n->parameter = n->gradient_of = -1;
    for (int i = 0; i < DT_MAX_INPUTS; i++) n->in[i] = i < n_in ? in[i] : DT_NONE;
    return (dt_node)g->n_nodes++;
}

void dt_node_name(dt_graph *g, dt_node x, const char *format, ...)
{
    if (x == DT_NONE) return;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *name = g->scope ? dt_arena_printf(&g->arena, "%s.%s", g->scope, text) : dt_arena_strdup(&g->arena, text);
    if (!name) dt_graph_fail(g, DUET_MEMORY, "no memory for the name of a node");
    g->nodes[x].name = name;
}

dt_node dt_unary(dt_graph *g, dt_kind kind, dt_node x, dt_attributes a)
{
    if (x == DT_NONE) return DT_NONE;
    return dt_node_make(g, kind, &x, 1, a, g->nodes[x].shape, DT_REAL);
}

/* ---- parameters and inputs ----------------------------------------------------------------------------------- */

dt_node dt_input(dt_graph *g, const char *name, dt_type type, dt_shape s)
{
    dt_node x = dt_node_make(g, DT_OP_INPUT, NULL, 0, no_attributes(), s, type);
    dt_node_name(g, x, "%s", name);
    return x;
}

dt_node dt_find_parameter(const dt_graph *g, int network, const char *name)
{
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].network == network && !strcmp(g->parameters[i].name, name)) return g->parameters[i].node;
    return DT_NONE;
}

dt_node dt_parameter_node(dt_graph *g, const char *name, dt_shape s, int rank, bool trained, dt_init init, double amount)
{
    dt_node x = dt_find_parameter(g, g->network, name);
    char old[96], new[96];
    if (x != DT_NONE) {
        if (dt_shape_equal(g->nodes[x].shape, s)) return x;
        dt_graph_fail(g, DUET_SHAPE, "parameter %s: used as %s and as %s", name, dt_shape_text(g->nodes[x].shape, old), dt_shape_text(s, new));
        return DT_NONE;
    }
    x = dt_node_make(g, DT_OP_PARAMETER, NULL, 0, no_attributes(), s, DT_REAL);
    if (x == DT_NONE) return x;
    g->nodes[x].variant = -1;
    dt_node_name(g, x, "%s", name);
    const char *own_name = dt_arena_strdup(&g->arena, name);
    if (!own_name || !grow((void **)&g->parameters, g->n_parameters, &g->parameter_capacity, sizeof *g->parameters)) {
        dt_graph_fail(g, DUET_MEMORY, "no memory for parameter %s", name);
        return DT_NONE;
    }
    g->nodes[x].parameter = (int)g->n_parameters;
    g->parameters[g->n_parameters++] = (dt_parameter){.node = x, .name = own_name, .network = g->network, .rank = rank,
                                                      .trained = trained && !dt_layer_frozen(g, name), .init = init, .amount = amount};
    return x;
}

double dt_node_macs(const dt_graph *g, dt_node x)
{
    const dt_graph_node *n = &g->nodes[x];
    const double outputs = (double)dt_shape_count(n->shape);
    if (n->kind == DT_OP_CONV) {
        const dt_shape weight = g->nodes[n->in[1]].shape; /* [out, in / groups, kh, kw] */
        return outputs * (double)(weight.c * weight.h * weight.w);
    }
    if (n->kind == DT_OP_MATMUL) {
        const dt_shape a = g->nodes[n->in[0]].shape;
        return outputs * (double)(n->a.matmul.transpose_a ? a.n * a.h * a.w : a.c);
    }
    if (n->kind == DT_OP_BATCH_MATMUL) {
        const dt_shape a = g->nodes[n->in[0]].shape;
        return outputs * (double)(n->a.matmul.transpose_a ? a.h * a.w : a.c);
    }
    return 0;
}

dt_node dt_storage_of(const dt_graph *g, dt_node x)
{
    while (g->nodes[x].kind == DT_OP_RESHAPE || g->nodes[x].kind == DT_OP_DETACH) x = g->nodes[x].in[0];
    return x;
}

void dt_graph_track(dt_graph *g, int network, const bool *track, int n_variants)
{
    bool always = true;
    for (int v = 0; v < n_variants; v++) always = always && track[v];
    if (always) return;
    const size_t n = g->n_nodes;
    const int variant = g->variant;
    for (size_t i = 0; i < n; i++) {
        if (g->nodes[i].kind != DT_OP_BN_TRACK || g->nodes[i].network != network) continue;
        g->nodes[i].dead = true;
        for (int v = 0; v < n_variants; v++) {
            if (!track[v]) continue;
            const dt_graph_node old = g->nodes[i]; /* a copy: making a node may move the array */
            dt_graph_set_variant(g, v);
            dt_node x = dt_node_make(g, old.kind, old.in, old.n_in, old.a, old.shape, old.type);
            if (x == DT_NONE) break;
            g->nodes[x].network = network;
            g->nodes[x].name = old.name;
        }
    }
    dt_graph_set_variant(g, variant);
}
