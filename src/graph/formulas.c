/* Formulas: what tasks and methods are built from. Each checks its shapes, says what does not fit, and makes one node. */
#include "graph/graph_impl.h"

#include <math.h>

bool dt_shape_broadcast(dt_shape a, dt_shape b, dt_shape *out)
{
    const size_t *pa[4] = {&a.n, &a.c, &a.h, &a.w}, *pb[4] = {&b.n, &b.c, &b.h, &b.w};
    size_t *po[4] = {&out->n, &out->c, &out->h, &out->w};
    for (int i = 0; i < 4; i++) {
        if (*pa[i] != *pb[i] && *pa[i] != 1 && *pb[i] != 1) return false;
        *po[i] = *pa[i] == 1 ? *pb[i] : *pa[i];
    }
    return true;
}

dt_node dt_misfit(dt_graph *g, dt_kind kind, dt_node a, dt_node b, const char *wanted)
{
    char ta[96], tb[96], na[128], nb[128];
    dt_graph_fail(g, DUET_SHAPE, "%s: %s %s and %s %s do not fit; %s", dt_kind_name(kind), dt_node_title(g, a, na, sizeof na),
                  dt_shape_text(g->nodes[a].shape, ta), dt_node_title(g, b, nb, sizeof nb), dt_shape_text(g->nodes[b].shape, tb), wanted);
    return DT_NONE;
}

dt_node dt_constant(dt_graph *g, double value)
{
    dt_attributes a = no_attributes();
    a.real = value;
    dt_node x = dt_node_make(g, DT_OP_CONSTANT, NULL, 0, a, shape(1, 1, 1, 1), DT_REAL);
    if (x != DT_NONE) g->nodes[x].variant = -1;
    return x;
}

dt_node dt_detach(dt_graph *g, dt_node x)
{
    return dt_unary(g, DT_OP_DETACH, x, no_attributes());
}

/* ---- element-wise -------------------------------------------------------------------------------------------- */

static dt_node binary(dt_graph *g, dt_kind kind, dt_node a, dt_node b)
{
    if (a == DT_NONE || b == DT_NONE) return DT_NONE;
    dt_shape out;
    if (!dt_shape_broadcast(g->nodes[a].shape, g->nodes[b].shape, &out)) return dt_misfit(g, kind, a, b, "each dimension must be equal or 1");
    const dt_node in[2] = {a, b};
    return dt_node_make(g, kind, in, 2, no_attributes(), out, DT_REAL);
}

dt_node dt_add(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_ADD, a, b); }
dt_node dt_sub(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_SUB, a, b); }
dt_node dt_mul(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_MUL, a, b); }
dt_node dt_div(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_DIV, a, b); }
dt_node dt_min(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_MIN, a, b); }
dt_node dt_max(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_MAX, a, b); }
dt_node dt_less(dt_graph *g, dt_node a, dt_node b) { return binary(g, DT_OP_LESS, a, b); }

dt_node dt_select(dt_graph *g, dt_node condition, dt_node a, dt_node b)
{
    if (condition == DT_NONE || a == DT_NONE || b == DT_NONE) return DT_NONE;
    dt_shape out;
    if (!dt_shape_broadcast(g->nodes[a].shape, g->nodes[b].shape, &out)) return dt_misfit(g, DT_OP_SELECT, a, b, "each dimension must be equal or 1");
    if (!dt_shape_broadcast(out, g->nodes[condition].shape, &out)) return dt_misfit(g, DT_OP_SELECT, condition, a, "each dimension must be equal or 1");
    const dt_node in[3] = {condition, a, b};
    return dt_node_make(g, DT_OP_SELECT, in, 3, no_attributes(), out, DT_REAL);
}

dt_node dt_affine(dt_graph *g, dt_node x, double scale, double shift)
{
    dt_attributes a = no_attributes();
    a.affine.scale = scale;
    a.affine.shift = shift;
    return dt_unary(g, DT_OP_AFFINE, x, a);
}

dt_node dt_scale(dt_graph *g, dt_node x, double scale)
{
    return scale == 1 ? x : dt_affine(g, x, scale, 0);
}

dt_node dt_exp(dt_graph *g, dt_node x) { return dt_unary(g, DT_OP_EXP, x, no_attributes()); }
dt_node dt_log(dt_graph *g, dt_node x) { return dt_unary(g, DT_OP_LOG, x, no_attributes()); }
dt_node dt_abs(dt_graph *g, dt_node x) { return dt_unary(g, DT_OP_ABS, x, no_attributes()); }
dt_node dt_sqrt(dt_graph *g, dt_node x) { return dt_unary(g, DT_OP_SQRT, x, no_attributes()); }

dt_node dt_clamp(dt_graph *g, dt_node x, double low, double high)
{
    dt_attributes a = no_attributes();
    a.clamp.low = low;
    a.clamp.high = high;
    return dt_unary(g, DT_OP_CLAMP, x, a);
}

/* ---- reductions ---------------------------------------------------------------------------------------------- */

static dt_node reduce(dt_graph *g, dt_kind kind, dt_node x, unsigned axes, double scale)
{
    if (x == DT_NONE) return DT_NONE;
    dt_shape out = g->nodes[x].shape;
    if (axes & DT_AXIS_N) out.n = 1;
    if (axes & DT_AXIS_C) out.c = 1;
    if (axes & DT_AXIS_H) out.h = 1;
    if (axes & DT_AXIS_W) out.w = 1;
    if (dt_shape_equal(out, g->nodes[x].shape) && scale == 1) return x; /* nothing to reduce */
    dt_attributes a = no_attributes();
    a.reduce.axes = axes;
    a.reduce.scale = scale;
    return dt_node_make(g, kind, &x, 1, a, out, DT_REAL);
}

dt_node dt_sum(dt_graph *g, dt_node x, unsigned axes) { return reduce(g, DT_OP_SUM, x, axes, 1); }

dt_node dt_mean(dt_graph *g, dt_node x, unsigned axes)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[x].shape;
    const double count = (double)(axes & DT_AXIS_N ? s.n : 1) * (double)(axes & DT_AXIS_C ? s.c : 1) *
                         (double)(axes & DT_AXIS_H ? s.h : 1) * (double)(axes & DT_AXIS_W ? s.w : 1);
    return reduce(g, DT_OP_SUM, x, axes, 1 / count);
}

dt_node dt_reduce_min(dt_graph *g, dt_node x, unsigned axes) { return reduce(g, DT_OP_REDUCE_MIN, x, axes, 1); }
dt_node dt_reduce_max(dt_graph *g, dt_node x, unsigned axes) { return reduce(g, DT_OP_REDUCE_MAX, x, axes, 1); }

dt_node dt_broadcast(dt_graph *g, dt_node x, dt_shape s)
{
    if (x == DT_NONE) return DT_NONE;
    dt_shape out;
    char from[96], to[96];
    if (!dt_shape_broadcast(g->nodes[x].shape, s, &out) || !dt_shape_equal(out, s)) {
        dt_graph_fail(g, DUET_SHAPE, "broadcast: %s does not become %s", dt_shape_text(g->nodes[x].shape, from), dt_shape_text(s, to));
        return DT_NONE;
    }
    if (dt_shape_equal(g->nodes[x].shape, s)) return x;
    dt_attributes a = no_attributes();
    a.reduce.scale = 1;
    return dt_node_make(g, DT_OP_BROADCAST, &x, 1, a, s, DT_REAL);
}

dt_node dt_reshape(dt_graph *g, dt_node x, dt_shape s)
{
    if (x == DT_NONE) return DT_NONE;
    if (dt_shape_equal(g->nodes[x].shape, s)) return x;
    char from[96], to[96];
    if (dt_shape_count(g->nodes[x].shape) != dt_shape_count(s)) {
        dt_graph_fail(g, DUET_SHAPE, "reshape: %s has another number of elements than %s", dt_shape_text(g->nodes[x].shape, from), dt_shape_text(s, to));
        return DT_NONE;
    }
    return dt_node_make(g, DT_OP_RESHAPE, &x, 1, no_attributes(), s, g->nodes[x].type);
}

dt_node dt_row(dt_graph *g, dt_node x, size_t row)
{
    if (x == DT_NONE) return DT_NONE;
    dt_shape s = g->nodes[x].shape;
    if (row >= s.n) {
        dt_graph_fail(g, DUET_SHAPE, "row %zu of a tensor of %zu", row, s.n);
        return DT_NONE;
    }
    s.n = 1;
    dt_attributes a = no_attributes();
    a.integer = (int64_t)row;
    return dt_node_make(g, DT_OP_ROW, &x, 1, a, s, DT_REAL);
}

/* ---- matrices and classes ------------------------------------------------------------------------------------ */

dt_node dt_matmul(dt_graph *g, dt_node a, dt_node b, dt_node bias, bool transpose_a, bool transpose_b)
{
    if (a == DT_NONE || b == DT_NONE) return DT_NONE;
    const dt_shape sa = g->nodes[a].shape, sb = g->nodes[b].shape;
    const size_t rows_a = sa.n * sa.h * sa.w, rows_b = sb.n * sb.h * sb.w;
    const size_t inner_a = transpose_a ? rows_a : sa.c, inner_b = transpose_b ? sb.c : rows_b, columns = transpose_b ? rows_b : sb.c;
    if (inner_a != inner_b) return dt_misfit(g, DT_OP_MATMUL, a, b, "as matrices [n*h*w, c] their inner sizes must be equal");
    if (bias != DT_NONE && !dt_shape_equal(g->nodes[bias].shape, shape(1, columns, 1, 1))) return dt_misfit(g, DT_OP_MATMUL, a, bias, "the bias must be [1, columns, 1, 1]");
    dt_attributes attributes = no_attributes();
    attributes.matmul.transpose_a = transpose_a;
    attributes.matmul.transpose_b = transpose_b;
    const dt_shape out = transpose_a ? shape(sa.c, columns, 1, 1) : shape(sa.n, columns, sa.h, sa.w);
    const dt_node in[3] = {a, b, bias};
    return dt_node_make(g, DT_OP_MATMUL, in, bias == DT_NONE ? 2 : 3, attributes, out, DT_REAL);
}

dt_node dt_log_softmax(dt_graph *g, dt_node x, double temperature)
{
    dt_attributes a = no_attributes();
    a.real = 1 / temperature;
    return dt_unary(g, DT_OP_LOG_SOFTMAX, x, a);
}

bool dt_index_fits(dt_graph *g, dt_kind kind, dt_node index, dt_shape s)
{
    const dt_graph_node *i = &g->nodes[index];
    if (i->type == DT_INDEX && dt_shape_equal(i->shape, s)) return true;
    char found[96], wanted[96];
    dt_graph_fail(g, DUET_SHAPE, "%s: the index is %s %s, wanted an index of %s", dt_kind_name(kind), i->type == DT_INDEX ? "an index of" : "a real of",
                  dt_shape_text(i->shape, found), dt_shape_text(s, wanted));
    return false;
}

dt_node dt_pick(dt_graph *g, dt_node x, dt_node index)
{
    if (x == DT_NONE || index == DT_NONE) return DT_NONE;
    const bool table = g->nodes[x].shape.n * g->nodes[x].shape.h * g->nodes[x].shape.w == 1;
    const dt_shape s = g->nodes[table ? index : x].shape;
    if (!dt_index_fits(g, DT_OP_PICK, index, shape(s.n, 1, s.h, s.w))) return DT_NONE;
    const dt_node in[2] = {x, index};
    return dt_node_make(g, DT_OP_PICK, in, 2, no_attributes(), shape(s.n, 1, s.h, s.w), DT_REAL);
}

dt_node dt_one_hot(dt_graph *g, dt_node index, size_t classes)
{
    if (index == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[index].shape, out = shape(s.n, classes, s.h, s.w);
    if (!dt_index_fits(g, DT_OP_PICK_GRAD, index, shape(s.n, 1, s.h, s.w))) return DT_NONE;
    const dt_node in[2] = {dt_broadcast(g, dt_constant(g, 1), shape(s.n, 1, s.h, s.w)), index};
    return dt_node_make(g, DT_OP_PICK_GRAD, in, 2, no_attributes(), out, DT_REAL);
}

dt_node dt_simplex_weights(dt_graph *g, dt_node labels, const dt_node *logits, size_t n)
{
    if (n < 2 || n > DT_MAX_INPUTS - 1) DT_BUG("simplex_weights of %zu networks", n);
    dt_node in[DT_MAX_INPUTS] = {labels};
    for (size_t i = 0; i < n; i++) {
        if (labels == DT_NONE || logits[i] == DT_NONE) return DT_NONE;
        in[i + 1] = logits[i];
        if (!dt_shape_equal(g->nodes[logits[i]].shape, g->nodes[logits[0]].shape)) return dt_misfit(g, DT_OP_SIMPLEX_WEIGHTS, logits[0], logits[i], "all logits must have one shape");
    }
    const dt_shape s = g->nodes[logits[0]].shape;
    if (!dt_index_fits(g, DT_OP_SIMPLEX_WEIGHTS, labels, shape(s.n, 1, s.h, s.w))) return DT_NONE;
    return dt_node_make(g, DT_OP_SIMPLEX_WEIGHTS, in, (int)n + 1, no_attributes(), shape(1, n, 1, 1), DT_REAL);
}

/* ---- places -------------------------------------------------------------------------------------------------- */

static const double cosine_eps = 1e-8; /* METHODS.md 3.2 */

dt_node dt_spatial_cosine(dt_graph *g, dt_node u, dt_node v)
{
    if (u == DT_NONE || v == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[u].shape;
    if (!dt_shape_equal(s, g->nodes[v].shape)) return dt_misfit(g, DT_OP_COSINE, u, v, "both must have the same channels and grid");
    dt_attributes a = no_attributes();
    a.real = cosine_eps;
    const dt_node in[2] = {u, v};
    return dt_node_make(g, DT_OP_COSINE, in, 2, a, shape(s.n, 1, s.h, s.w), DT_REAL);
}

dt_node dt_place_softmax(dt_graph *g, dt_node x, double scale)
{
    if (x == DT_NONE) return DT_NONE;
    char text[96];
    if (g->nodes[x].shape.c != 1) {
        dt_graph_fail(g, DUET_SHAPE, "place_softmax: wanted [n, 1, h, w], found %s", dt_shape_text(g->nodes[x].shape, text));
        return DT_NONE;
    }
    dt_attributes a = no_attributes();
    a.real = scale;
    return dt_unary(g, DT_OP_PLACE_SOFTMAX, x, a);
}

static dt_node resize(dt_graph *g, dt_kind kind, dt_node x, size_t h, size_t w)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape s = g->nodes[x].shape;
    if (s.h == h && s.w == w) return x;
    return dt_node_make(g, kind, &x, 1, no_attributes(), shape(s.n, s.c, h, w), DT_REAL);
}

dt_node dt_adaptive_avg_pool(dt_graph *g, dt_node x, size_t h, size_t w) { return resize(g, DT_OP_ADAPTIVE_AVG_POOL, x, h, w); }
dt_node dt_upsample(dt_graph *g, dt_node x, size_t h, size_t w) { return resize(g, DT_OP_UPSAMPLE, x, h, w); }
