/* What dense tasks need beyond layers.c and formulas.c: group normalisation and attention's products, resizing, channels
 * side by side, cross-entropy of every pixel. Layers first, then formulas. */
#include "graph/graph_impl.h"

/* ---- layers -------------------------------------------------------------------------------------------------- */

void dt_parameter_start(dt_graph *g, const char *name, dt_init init, double amount)
{
    const dt_node x = dt_find_parameter(g, g->network, name);
    if (x == DT_NONE) {
        dt_graph_fail(g, DUET_ARG, "there is no parameter '%s' whose start could be changed", name);
        return;
    }
    g->parameters[g->nodes[x].parameter].init = init;
    g->parameters[g->nodes[x].parameter].amount = amount;
}

dt_node dt_group_norm(dt_graph *g, dt_node x, const char *name, size_t groups, double eps)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape in = g->nodes[x].shape, vector = shape(1, in.c, 1, 1);
    if (!groups || in.c % groups) {
        dt_graph_fail(g, DUET_SHAPE, "%s: %zu groups do not divide %zu channels", name, groups, in.c);
        return DT_NONE;
    }
    const dt_node inputs[3] = {
        x,
        dt_layer_parameter(g, name, "weight", vector, 1, true, DT_INIT_ONE, 0),
        dt_layer_parameter(g, name, "bias", vector, 1, true, DT_INIT_ZERO, 0),
    };
    dt_attributes a = no_attributes();
    a.gn.eps = eps;
    a.gn.groups = groups;
    dt_node y = dt_node_make(g, DT_OP_GROUP_NORM, inputs, 3, a, in, DT_REAL);
    dt_node_name(g, y, "%s", name);
    return y;
}

dt_node dt_silu(dt_graph *g, dt_node x)
{
    return dt_unary(g, DT_OP_SILU, x, no_attributes());
}

dt_node dt_dropout(dt_graph *g, dt_node x, dt_node key, double p, uint32_t salt)
{
    if (!g->training || p == 0) return x;
    if (x == DT_NONE || key == DT_NONE) return DT_NONE;
    if (!(p > 0 && p < 1)) {
        dt_graph_fail(g, DUET_ARG, "dropout: a probability of %g; wanted 0 or more and below 1", p);
        return DT_NONE;
    }
    if (!dt_index_fits(g, DT_OP_DROPOUT, key, shape(1, 1, 1, 1))) return DT_NONE;
    dt_attributes a = no_attributes();
    a.dropout.p = p;
    a.dropout.seed = g->seed;
    a.dropout.salt = salt;
    const dt_node in[2] = {x, key};
    return dt_node_make(g, DT_OP_DROPOUT, in, 2, a, g->nodes[x].shape, DT_REAL);
}

dt_node dt_time_embedding(dt_graph *g, dt_node t, size_t channels)
{
    if (t == DT_NONE) return DT_NONE;
    const size_t n = g->nodes[t].shape.n;
    if (channels < 4 || channels % 2) {
        dt_graph_fail(g, DUET_ARG, "time_embed: %zu channels; wanted an even number of at least 4", channels);
        return DT_NONE;
    }
    if (!dt_index_fits(g, DT_OP_TIME_EMBED, t, shape(n, 1, 1, 1))) return DT_NONE;
    return dt_node_make(g, DT_OP_TIME_EMBED, &t, 1, no_attributes(), shape(n, channels, 1, 1), DT_REAL);
}

/* ---- channels ------------------------------------------------------------------------------------------------ */

dt_node dt_concat(dt_graph *g, const dt_node *x, size_t n)
{
    if (n < 1 || n > DT_MAX_INPUTS) DT_BUG("concat of %zu tensors", n);
    for (size_t i = 0; i < n; i++)
        if (x[i] == DT_NONE) return DT_NONE;
    if (n == 1) return x[0];
    dt_shape out = g->nodes[x[0]].shape;
    for (size_t i = 1; i < n; i++) {
        const dt_shape s = g->nodes[x[i]].shape;
        if (s.n != out.n || s.h != out.h || s.w != out.w) return dt_misfit(g, DT_OP_CONCAT, x[0], x[i], "they may differ in channels only");
        out.c += s.c;
    }
    return dt_node_make(g, DT_OP_CONCAT, x, (int)n, no_attributes(), out, DT_REAL);
}

dt_node dt_slice(dt_graph *g, dt_node x, size_t first, size_t channels)
{
    if (x == DT_NONE) return DT_NONE;
    dt_shape s = g->nodes[x].shape;
    if (first > s.c || channels > s.c - first) {
        dt_graph_fail(g, DUET_SHAPE, "slice: channels %zu to %zu of %zu", first, first + channels, s.c);
        return DT_NONE;
    }
    if (channels == s.c) return x;
    s.c = channels;
    dt_attributes a = no_attributes();
    a.integer = (int64_t)first;
    return dt_node_make(g, DT_OP_SLICE, &x, 1, a, s, DT_REAL);
}

/* ---- places -------------------------------------------------------------------------------------------------- */

dt_node dt_resize(dt_graph *g, dt_node x, size_t h, size_t w, bool align)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[x].shape;
    if (s.h == h && s.w == w) return x;
    dt_attributes a = no_attributes();
    a.resize.align = align;
    return dt_node_make(g, DT_OP_RESIZE, &x, 1, a, shape(s.n, s.c, h, w), DT_REAL);
}

dt_node dt_patches(dt_graph *g, dt_node x, size_t k)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[x].shape;
    if (!k || s.h % k || s.w % k) {
        dt_graph_fail(g, DUET_SHAPE, "patches: blocks of %zux%zu do not divide %zux%zu places", k, k, s.h, s.w);
        return DT_NONE;
    }
    if (k == 1) return x;
    dt_attributes a = no_attributes();
    a.integer = (int64_t)k;
    return dt_node_make(g, DT_OP_PATCHES, &x, 1, a, shape(s.n, s.c * k * k, s.h / k, s.w / k), DT_REAL);
}

dt_node dt_batch_matmul(dt_graph *g, dt_node a, dt_node b, bool transpose_a, bool transpose_b, size_t h, size_t w)
{
    if (a == DT_NONE || b == DT_NONE) return DT_NONE;
    const dt_shape sa = g->nodes[a].shape, sb = g->nodes[b].shape;
    const size_t places_a = sa.h * sa.w, places_b = sb.h * sb.w;
    const size_t rows = transpose_a ? sa.c : places_a, inner_a = transpose_a ? places_a : sa.c;
    const size_t inner_b = transpose_b ? sb.c : places_b, columns = transpose_b ? places_b : sb.c;
    if (sa.n != sb.n || inner_a != inner_b) return dt_misfit(g, DT_OP_BATCH_MATMUL, a, b, "as matrices [h*w, c] of as many images their inner sizes must be equal");
    if (h * w != rows) {
        dt_graph_fail(g, DUET_SHAPE, "batch_matmul: a result of %zu rows does not become %zux%zu places", rows, h, w);
        return DT_NONE;
    }
    dt_attributes attributes = no_attributes();
    attributes.matmul.transpose_a = transpose_a;
    attributes.matmul.transpose_b = transpose_b;
    const dt_node in[2] = {a, b};
    return dt_node_make(g, DT_OP_BATCH_MATMUL, in, 2, attributes, shape(sa.n, columns, h, w), DT_REAL);
}

dt_node dt_pixel_cross_entropy(dt_graph *g, dt_node z, dt_node labels, bool align)
{
    if (z == DT_NONE || labels == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[labels].shape, out = shape(g->nodes[z].shape.n, 1, s.h, s.w);
    if (!dt_index_fits(g, DT_OP_PIXEL_CE, labels, out)) return DT_NONE;
    dt_attributes a = no_attributes();
    a.resize.align = align;
    const dt_node in[2] = {z, labels};
    return dt_node_make(g, DT_OP_PIXEL_CE, in, 2, a, out, DT_REAL);
}

dt_node dt_in_range(dt_graph *g, dt_node index, size_t n)
{
    if (index == DT_NONE) return DT_NONE;
    if (!dt_index_fits(g, DT_OP_IN_RANGE, index, g->nodes[index].shape)) return DT_NONE;
    dt_attributes a = no_attributes();
    a.integer = (int64_t)n;
    return dt_unary(g, DT_OP_IN_RANGE, index, a);
}
