/* Reverse-mode differentiation: for each operation, the nodes that make the gradient of its inputs from that of its output.
 *
 * Works on the graph as models and methods describe it, before fusion: BN_APPLY has no residual and no ReLU yet. Visits only nodes that lie between `wrt` and the loss; DETACH ends a path. An operation without a gradient on
 * such a path is a mistake in a formula and is reported by name: silently wrong gradients are worse than none. */
#include "graph/graph_impl.h"

typedef struct tape {
    dt_graph *g;
    bool *needed;      /* does the value depend on wrt? */
    dt_node *adjoint;  /* d loss / d value, DT_NONE so far */
} tape;

/* Sums a gradient over the dimensions that broadcasting stretched. */
static dt_node shrink(dt_graph *g, dt_node gradient, dt_shape to)
{
    const dt_shape from = dt_shape_of(g, gradient);
    unsigned axes = 0;
    if (to.n == 1 && from.n > 1) axes |= DT_AXIS_N;
    if (to.c == 1 && from.c > 1) axes |= DT_AXIS_C;
    if (to.h == 1 && from.h > 1) axes |= DT_AXIS_H;
    if (to.w == 1 && from.w > 1) axes |= DT_AXIS_W;
    return axes ? dt_sum(g, gradient, axes) : gradient;
}

/* Adds a gradient to what an input has received so far. */
static void give(tape *t, dt_node to, dt_node gradient)
{
    if (gradient == DT_NONE) return;
    dt_node *sum = &t->adjoint[to];
    *sum = *sum == DT_NONE ? gradient : dt_add(t->g, *sum, gradient);
}

static bool wants(const tape *t, dt_node x)
{
    return x != DT_NONE && t->needed[x];
}

static dt_node make(dt_graph *g, dt_kind kind, int n_in, const dt_node *in, dt_attributes a, dt_shape s)
{
    return dt_node_make(g, kind, in, n_in, a, s, DT_REAL);
}

/* The same, called like the layer whose gradient it is: for plans and messages. */
static dt_node make_of(dt_graph *g, const dt_graph_node *layer, dt_kind kind, int n_in, const dt_node *in, dt_shape s)
{
    const char *name = layer->name;
    const dt_node x = make(g, kind, n_in, in, layer->a, s);
    if (x != DT_NONE) g->nodes[x].name = name;
    return x;
}

#define NODES(...) ((const dt_node[]){__VA_ARGS__})

/* ---- one function per group of operations; y is the node (a copy), dy its gradient ------------------------- */

static void of_conv(tape *t, const dt_graph_node *y, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node x = y->in[0], weight = y->in[1], bias = y->in[2];
    if (wants(t, x)) give(t, x, make_of(g, y, DT_OP_CONV_GRAD_INPUT, 2, NODES(dy, weight), dt_shape_of(g, x)));
    if (wants(t, weight)) give(t, weight, make_of(g, y, DT_OP_CONV_GRAD_WEIGHT, 2, NODES(dy, x), dt_shape_of(g, weight)));
    if (wants(t, bias)) give(t, bias, dt_sum(g, dy, DT_AXIS_N | DT_AXES_HW));
}

static void of_matmul(tape *t, const dt_graph_node *y, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node a = y->in[0], b = y->in[1], bias = y->in[2];
    const bool ta = y->a.matmul.transpose_a, tb = y->a.matmul.transpose_b;
    if (wants(t, a)) {
        dt_node da = ta ? dt_matmul(g, b, dy, DT_NONE, tb, true) : dt_matmul(g, dy, b, DT_NONE, false, !tb);
        give(t, a, dt_reshape(g, da, dt_shape_of(g, a)));
    }
    if (wants(t, b)) {
        dt_node db = tb ? dt_matmul(g, dy, a, DT_NONE, true, ta) : dt_matmul(g, a, dy, DT_NONE, !ta, false);
        give(t, b, dt_reshape(g, db, dt_shape_of(g, b)));
    }
    if (wants(t, bias)) give(t, bias, dt_sum(g, dy, DT_AXIS_N | DT_AXES_HW));
}

/* Batch statistics are functions of x: their share of the gradient is inside BN_GRAD_INPUT, so nothing flows to `stats`. */
static void of_batch_norm(tape *t, const dt_graph_node *y, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node x = y->in[0], stats = y->in[1], weight = y->in[2], bias = y->in[3];
    if (y->n_in > 4 || y->a.bn.activation) DT_BUG("batch norm was fused before it was differentiated");
    const bool frozen = g->nodes[stats].kind == DT_OP_BN_FROZEN;
    dt_node sums = DT_NONE;
    if (!frozen || wants(t, weight) || wants(t, bias))
        sums = make_of(g, y, DT_OP_BN_GRAD_STATS, 3, NODES(dy, x, stats), dt_shape_of(g, stats));
    if (wants(t, x)) {
        if (frozen) give(t, x, make_of(g, y, DT_OP_BN_GRAD_FROZEN, 3, NODES(dy, stats, weight), dt_shape_of(g, x)));
        else give(t, x, make_of(g, y, DT_OP_BN_GRAD_INPUT, 5, NODES(dy, x, stats, weight, sums), dt_shape_of(g, x)));
    }
    for (int64_t row = 0; row < 2; row++) {
        const dt_node to = row == 0 ? bias : weight;
        dt_attributes a = no_attributes();
        a.integer = row;
        if (wants(t, to)) give(t, to, make(g, DT_OP_ROW, 1, &sums, a, dt_shape_of(g, to)));
    }
}

/* Output 1 of `producer`, which is told to write it; every caller gets the same node. */
static dt_node second_output(dt_graph *g, dt_node producer, dt_shape s)
{
    for (size_t i = (size_t)producer + 1; i < g->n_nodes; i++)
        if (g->nodes[i].kind == DT_OP_PART && g->nodes[i].in[0] == producer) return (dt_node)i;
    dt_attributes a = no_attributes();
    a.integer = 1;
    const dt_node part = make(g, DT_OP_PART, 1, &producer, a, s);
    if (part == DT_NONE) return part;
    g->nodes[producer].a.gn.emit = true;
    g->nodes[part].variant = g->nodes[producer].variant; /* it is written when the producer runs */
    g->nodes[part].network = g->nodes[producer].network;
    return part;
}

/* As in batch norm, the share of the statistics is inside the gradient for x. */
static void of_group_norm(tape *t, const dt_graph_node *y, dt_node self, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node x = y->in[0], weight = y->in[1], bias = y->in[2], add = y->in[3];
    const dt_shape s = dt_shape_of(g, x);
    const dt_node stats = second_output(g, self, shape(s.n, y->a.gn.groups, 2, 1));
    dt_graph_node gradient = *y;
    gradient.a.gn.emit = false;
    const dt_node dx = make_of(g, &gradient, DT_OP_GROUP_NORM_GRAD, add == DT_NONE ? 5 : 6, NODES(dy, x, stats, weight, bias, add), s);
    if (dx == DT_NONE) return;
    if (wants(t, x)) give(t, x, dx);
    if (wants(t, add)) give(t, add, dt_sum(g, dx, DT_AXES_HW));
    for (int64_t row = 0; row < 2; row++) {
        const dt_node to = row == 0 ? bias : weight;
        dt_attributes a = no_attributes();
        a.integer = row;
        if (!wants(t, to)) continue;
        const dt_node sums = second_output(g, dx, shape(2, s.c, 1, 1));
        give(t, to, make(g, DT_OP_ROW, 1, &sums, a, dt_shape_of(g, to)));
    }
}

static void of_batch_matmul(tape *t, const dt_graph_node *y, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node a = y->in[0], b = y->in[1];
    const dt_shape sa = dt_shape_of(g, a), sb = dt_shape_of(g, b);
    const bool ta = y->a.matmul.transpose_a, tb = y->a.matmul.transpose_b;
    if (wants(t, a)) give(t, a, ta ? dt_batch_matmul(g, b, dy, tb, true, sa.h, sa.w) : dt_batch_matmul(g, dy, b, false, !tb, sa.h, sa.w));
    if (wants(t, b)) give(t, b, tb ? dt_batch_matmul(g, dy, a, true, ta, sb.h, sb.w) : dt_batch_matmul(g, a, dy, !ta, false, sb.h, sb.w));
}

static void of_concat(tape *t, const dt_graph_node *y, dt_node dy)
{
    size_t first = 0;
    for (int i = 0; i < y->n_in; i++) {
        const size_t channels = dt_shape_of(t->g, y->in[i]).c;
        if (wants(t, y->in[i])) give(t, y->in[i], dt_slice(t->g, dy, first, channels));
        first += channels;
    }
}

static void of_arithmetic(tape *t, const dt_graph_node *y, dt_node self, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node a = y->in[0], b = y->in[1];
    dt_node da = DT_NONE, db = DT_NONE;
    switch (y->kind) {
    case DT_OP_ADD: da = dy, db = dy; break;
    case DT_OP_SUB: da = dy, db = wants(t, b) ? dt_scale(g, dy, -1) : DT_NONE; break;
    case DT_OP_MUL:
        da = wants(t, a) ? dt_mul(g, dy, b) : DT_NONE;
        db = wants(t, b) ? dt_mul(g, dy, a) : DT_NONE;
        break;
    default: /* DIV: d(a/b)/db = -(a/b)/b */
        da = wants(t, a) ? dt_div(g, dy, b) : DT_NONE;
        db = wants(t, b) ? dt_scale(g, dt_div(g, dt_mul(g, dy, self), b), -1) : DT_NONE;
    }
    if (wants(t, a) && da != DT_NONE) give(t, a, shrink(g, da, dt_shape_of(g, a)));
    if (wants(t, b) && db != DT_NONE) give(t, b, shrink(g, db, dt_shape_of(g, b)));
}

static void of_select(tape *t, const dt_graph_node *y, dt_node dy)
{
    dt_graph *g = t->g;
    const dt_node condition = y->in[0], zero = dt_constant(g, 0);
    for (int i = 1; i <= 2; i++) {
        if (!wants(t, y->in[i])) continue;
        dt_node d = i == 1 ? dt_select(g, condition, dy, zero) : dt_select(g, condition, zero, dy);
        give(t, y->in[i], shrink(g, d, dt_shape_of(g, y->in[i])));
    }
}

/* Of a table that all places pick from: the sum of what each would give its own. */
static dt_node of_pick(dt_graph *g, const dt_graph_node *y, dt_node dy, dt_shape x)
{
    const dt_shape each = {y->shape.n, x.c, y->shape.h, y->shape.w};
    return shrink(g, make(g, DT_OP_PICK_GRAD, 2, NODES(dy, y->in[1]), y->a, each), x);
}

static dt_node of_shuffle(dt_graph *g, const dt_graph_node *y, dt_node dy)
{
    return dt_shuffle_channels(g, dy, y->shape.c / (size_t)y->a.integer);
}

/* Operations of one real input; `self` is the output. */
static dt_node of_unary(dt_graph *g, const dt_graph_node *y, dt_node self, dt_node dy)
{
    const dt_node x = y->in[0];
    const dt_shape s = dt_shape_of(g, x);
    switch (y->kind) {
    case DT_OP_RESHAPE: return dt_reshape(g, dy, s);
    case DT_OP_RELU: return make(g, DT_OP_RELU_GRAD, 2, NODES(dy, self), y->a, s);
    case DT_OP_RELU6: return make(g, DT_OP_RELU6_GRAD, 2, NODES(dy, self), y->a, s);
    case DT_OP_SILU: return make(g, DT_OP_SILU_GRAD, 2, NODES(dy, x), y->a, s);
    case DT_OP_DROPOUT: return make(g, DT_OP_DROPOUT, 2, NODES(dy, y->in[1]), y->a, s);
    case DT_OP_AFFINE: return dt_scale(g, dy, y->a.affine.scale);
    case DT_OP_EXP: return dt_mul(g, dy, self);
    case DT_OP_LOG: return dt_div(g, dy, x);
    case DT_OP_ABS: return dt_mul(g, dy, dt_unary(g, DT_OP_SIGN, x, y->a));
    case DT_OP_SQRT: return dt_scale(g, dt_div(g, dy, self), 0.5);
    case DT_OP_CLAMP: return make(g, DT_OP_CLAMP_GRAD, 2, NODES(dy, x), y->a, s);
    case DT_OP_SUM: return make(g, DT_OP_BROADCAST, 1, &dy, y->a, s);
    case DT_OP_BROADCAST: return dt_scale(g, shrink(g, dy, s), y->a.reduce.scale);
    case DT_OP_MAX_POOL: return make(g, DT_OP_MAX_POOL_GRAD, 3, NODES(dy, x, self), y->a, s);
    case DT_OP_AVG_POOL: return make(g, DT_OP_AVG_POOL_GRAD, 1, &dy, y->a, s);
    case DT_OP_ADAPTIVE_AVG_POOL: return make(g, DT_OP_ADAPTIVE_AVG_POOL_GRAD, 1, &dy, y->a, s);
    case DT_OP_UPSAMPLE: return make(g, DT_OP_UPSAMPLE_GRAD, 1, &dy, y->a, s);
    case DT_OP_RESIZE: return make(g, DT_OP_RESIZE_GRAD, 1, &dy, y->a, s);
    case DT_OP_PATCHES: return make(g, DT_OP_PATCHES_GRAD, 1, &dy, y->a, s);
    case DT_OP_SLICE: return make(g, DT_OP_SLICE_GRAD, 1, &dy, y->a, s);
    case DT_OP_SHUFFLE: return of_shuffle(g, y, dy);
    case DT_OP_PIXEL_CE: return make(g, DT_OP_PIXEL_CE_GRAD, 3, NODES(dy, x, y->in[1]), y->a, s);
    case DT_OP_LOG_SOFTMAX: return make(g, DT_OP_LOG_SOFTMAX_GRAD, 2, NODES(dy, self), y->a, s);
    case DT_OP_PICK: return of_pick(g, y, dy, s);
    case DT_OP_PLACE_SOFTMAX: return make(g, DT_OP_PLACE_SOFTMAX_GRAD, 2, NODES(dy, self), y->a, s);
    default: break;
    }
    char title[128];
    dt_graph_fail(g, DUET_UNSUPPORTED, "%s has no gradient; detach it", dt_node_title(g, self, title, sizeof title));
    return DT_NONE;
}

static void back(tape *t, dt_node self)
{
    dt_graph *g = t->g;
    const dt_graph_node y = g->nodes[self]; /* a copy: making nodes may move the array */
    const dt_node dy = t->adjoint[self];
    switch (y.kind) {
    case DT_OP_PARAMETER:
    case DT_OP_INPUT:
    case DT_OP_BN_STATS: break; /* see of_batch_norm */
    case DT_OP_CONV: of_conv(t, &y, dy); break;
    case DT_OP_MATMUL: of_matmul(t, &y, dy); break;
    case DT_OP_BN_APPLY: of_batch_norm(t, &y, dy); break;
    case DT_OP_GROUP_NORM: of_group_norm(t, &y, self, dy); break;
    case DT_OP_BATCH_MATMUL: of_batch_matmul(t, &y, dy); break;
    case DT_OP_CONCAT: of_concat(t, &y, dy); break;
    case DT_OP_ADD:
    case DT_OP_SUB:
    case DT_OP_MUL:
    case DT_OP_DIV: of_arithmetic(t, &y, self, dy); break;
    case DT_OP_SELECT: of_select(t, &y, dy); break;
    case DT_OP_COSINE: {
        const dt_node u = y.in[0], v = y.in[1];
        if (wants(t, u)) give(t, u, make(g, DT_OP_COSINE_GRAD, 3, NODES(dy, u, v), y.a, dt_shape_of(g, u)));
        if (wants(t, v)) give(t, v, make(g, DT_OP_COSINE_GRAD, 3, NODES(dy, v, u), y.a, dt_shape_of(g, v)));
        break;
    }
    default: give(t, y.in[0], of_unary(g, &y, self, dy));
    }
}

/* A value depends on wrt when it is one of them or an input does; conditions and indices carry no gradient. */
static void mark_needed(tape *t, dt_node loss, const dt_node *wrt, size_t n)
{
    for (size_t i = 0; i < n; i++) t->needed[wrt[i]] = true;
    for (dt_node x = 0; x <= loss; x++) {
        const dt_graph_node *node = &t->g->nodes[x];
        if (node->kind == DT_OP_DETACH || node->dead) continue;
        for (int i = node->kind == DT_OP_SELECT ? 1 : 0; i < node->n_in; i++)
            if (wants(t, node->in[i])) t->needed[x] = true;
    }
}

void dt_differentiate(dt_graph *g, dt_node loss, const dt_node *wrt, size_t n, dt_node *grad)
{
    for (size_t i = 0; i < n; i++) grad[i] = DT_NONE;
    if (g->error.status || loss == DT_NONE) return;
    if (dt_shape_count(dt_shape_of(g, loss)) != 1) {
        char text[96];
        dt_graph_fail(g, DUET_SHAPE, "a loss must be a scalar, found %s", dt_shape_text(dt_shape_of(g, loss), text));
        return;
    }
    const size_t n_forward = (size_t)loss + 1;
    tape t = {.g = g, .needed = dt_alloc(g->n_nodes, sizeof(bool)), .adjoint = dt_alloc(g->n_nodes, sizeof(dt_node))};
    if (!t.needed || !t.adjoint) {
        dt_graph_fail(g, DUET_MEMORY, "no memory to differentiate a graph of %zu nodes", g->n_nodes);
        goto done;
    }
    for (size_t i = 0; i < n_forward; i++) t.adjoint[i] = DT_NONE;
    mark_needed(&t, loss, wrt, n);
    if (t.needed[loss]) t.adjoint[loss] = dt_constant(g, 1);
    for (dt_node x = loss; x >= 0 && !g->error.status; x--)
        if (t.needed[x] && t.adjoint[x] != DT_NONE) back(&t, x);
    for (size_t i = 0; i < n; i++) grad[i] = wrt[i] <= loss ? t.adjoint[wrt[i]] : DT_NONE;
done:
    dt_free(t.needed);
    dt_free(t.adjoint);
}
