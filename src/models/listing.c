/* A network layer by layer, for people: what it is made of, what each layer puts out and what it costs. */
#include "models/models_impl.h"

#include <string.h>

enum { NAME_COLUMNS = 30, KIND_COLUMNS = 13, SHAPE_COLUMNS = 14 };

/* Nodes that are no layer: what layers read, and the statistics inside a norm. */
static bool is_layer(const dt_graph_node *n)
{
    switch (n->kind) {
    case DT_OP_INPUT:
    case DT_OP_PARAMETER:
    case DT_OP_CONSTANT:
    case DT_OP_PART:
    case DT_OP_RESHAPE:
    case DT_OP_BN_STATS:
    case DT_OP_BN_FROZEN:
    case DT_OP_BN_TRACK: return false;
    default: return true;
    }
}

static const char *kind_of(const dt_graph_node *n)
{
    switch (n->kind) {
    case DT_OP_BN_APPLY: return "batch_norm";
    case DT_OP_MATMUL: return "linear";
    case DT_OP_SUM: return "average"; /* networks sum nothing else than what they average */
    default: return dt_kind_name(n->kind);
    }
}

/* Trained numbers that a node is the first to read. */
static size_t parameters_of(const dt_graph *g, const dt_graph_node *n)
{
    size_t count = 0;
    for (int i = 0; i < n->n_in; i++) {
        const dt_graph_node *in = n->in[i] == DT_NONE ? NULL : &g->nodes[n->in[i]];
        if (in && in->kind == DT_OP_PARAMETER && g->parameters[in->parameter].trained) count += dt_shape_count(in->shape);
    }
    return count;
}

/* "1,234,567" */
static const char *thousands(double x, char to[40])
{
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%.0f", x);
    size_t used = 0;
    for (int i = 0; i < n && used < 38; i++) {
        if (i && (n - i) % 3 == 0) to[used++] = ',';
        to[used++] = digits[i];
    }
    to[used] = '\0';
    return to;
}

static void print_layer(const dt_graph *g, dt_node x, const dt_built *b, dt_text *out)
{
    const dt_graph_node *n = &g->nodes[x];
    const size_t parameters = parameters_of(g, n), scope = g->scope ? strlen(g->scope) + 1 : 0;
    const double macs = dt_node_macs(g, x);
    char shape[64], count[40] = "", cost[40] = "";
    snprintf(shape, sizeof shape, "%zux%zux%zu", n->shape.c, n->shape.h, n->shape.w);
    if (parameters) thousands((double)parameters, count);
    if (macs > 0) thousands(macs, cost);
    const char *name = n->name && strlen(n->name) > scope && (n->kind != DT_OP_SUM) ? n->name + scope : "";
    dt_text_append(out, "%-*s %-*s %-*s %11s %14s", NAME_COLUMNS, name, KIND_COLUMNS, kind_of(n), SHAPE_COLUMNS, shape, count, cost);
    for (int t = 0; t < b->n_taps; t++)
        if (b->taps[t].node == x) dt_text_append(out, "  <- %s", b->taps[t].name);
    dt_text_append(out, "\n");
}

static void print_foot(const dt_graph *g, dt_text *out)
{
    char parameters[40], cost[40];
    size_t count = 0;
    double macs = 0;
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].trained) count += dt_shape_count(g->nodes[g->parameters[i].node].shape);
    for (size_t i = 0; i < g->n_nodes; i++) macs += dt_node_macs(g, (dt_node)i);
    dt_text_append(out, "%-*s %11s %14s\n", NAME_COLUMNS + KIND_COLUMNS + SHAPE_COLUMNS + 2, "in all", thousands((double)count, parameters),
                   thousands(macs, cost));
}

duet_status dt_model_list(const dt_model *m, size_t classes, dt_text *out, duet_error *err)
{
    dt_graph *g = dt_graph_create();
    if (!g) return dt_fail(err, DUET_MEMORY, "no memory for the graph of %s", m->name);
    const dt_model_inputs in = dt_model_own_inputs(m, classes, g);
    const dt_built built = m->build(m, g, &in);
    const duet_status status = dt_graph_check(g, err);
    if (!status) {
        dt_text_append(out, "%s: %s; a picture of %zux%zu", m->name, m->help, m->image, dt_model_width(m));
        if (in.classes) dt_text_append(out, ", %zu classes", in.classes);
        dt_text_append(out, "\n\n%-*s %-*s %-*s %11s %14s\n", NAME_COLUMNS, "name", KIND_COLUMNS, "layer", SHAPE_COLUMNS, "puts out", "parameters", "MACs");
        for (size_t i = 0; i < g->n_nodes; i++)
            if (is_layer(&g->nodes[i])) print_layer(g, (dt_node)i, &built, out);
        print_foot(g, out);
    }
    dt_graph_destroy(g);
    return status;
}
