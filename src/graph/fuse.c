/* Fewer, larger operations: what the compiler does so that models and methods may stay formulas.
 *
 * In this order, each a function below:
 *   detach    DETACH has done its work once gradients exist; uses go to its input
 *   share     equal operations on equal inputs are computed once: this is how all losses share a softmax
 *   forward   relu(bn(x) + r), relu(bn(x)), bn(x) + r    -> BN_APPLY with residual and ReLU       (no write of bn(x), of the sum)
 *                                                           (here and below, ReLU6 as ReLU)
 *             bn_stats(a + b)                            -> BN_STATS with addend, which writes a+b (one read less)
 *   group     silu(group_norm(x + e)), e [n,c,1,1]       -> one GROUP_NORM, and one GROUP_NORM_GRAD: fuse_group_norm.c
 *   upsample  conv(upsample(x)), twice the size          -> one CONV that reads x, and so its gradients: fuse_upsample.c
 *   backward  relu_grad used by one batch norm only      -> the mask inside BN_GRAD_STATS and BN_GRAD_INPUT
 *             relu_grad used elsewhere too (residual)    -> BN_GRAD_STATS that also writes the masked gradient, and adds the
 *                                                           two gradients that meet at a branch
 *             bn_grad_input + r                          -> BN_GRAD_INPUT with addend
 *   prune     what nobody needs is dead
 *   order     an order of execution in which inputs come first, as close to the order of creation as that allows
 *
 * Node numbers stay: a rewritten node becomes something else where it stands. A rule may make a node use one that was
 * created later, which is why the order is found last. */
#include "graph/fuse_impl.h"

#include <string.h>

/* ---- counting ------------------------------------------------------------------------------------------------ */

static void count_uses(fuser *f)
{
    dt_graph *g = f->g;
    memset(f->uses, 0, g->n_nodes * sizeof *f->uses);
    memset(f->pinned, 0, g->n_nodes * sizeof *f->pinned);
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].dead) continue;
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] != DT_NONE) f->uses[g->nodes[i].in[k]]++;
        if (g->nodes[i].gradient_of >= 0) f->pinned[i] = true;
    }
    for (size_t i = 0; i < f->n_keep; i++)
        if (f->keep[i] != DT_NONE) f->pinned[f->keep[i]] = true;
}

/* Moves a node out of a reader's way; its own inputs are read once less. */
static void bury(fuser *f, dt_node x)
{
    dt_graph_node *n = &f->g->nodes[x];
    n->dead = true;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] != DT_NONE) f->uses[n->in[k]]--;
}

/* The node becomes output `index` of `producer`. */
static void become_part(fuser *f, dt_node x, dt_node producer, int index)
{
    dt_graph_node *n = &f->g->nodes[x];
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] != DT_NONE) f->uses[n->in[k]]--;
    for (int k = 0; k < DT_MAX_INPUTS; k++) n->in[k] = DT_NONE;
    n->kind = DT_OP_PART;
    n->a = no_attributes();
    n->a.integer = index;
    n->n_in = 1;
    n->in[0] = producer;
    f->uses[producer]++;
}

/* ---- detach and share ---------------------------------------------------------------------------------------- */

static void remove_detach(fuser *f)
{
    dt_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            while (g->nodes[i].in[k] != DT_NONE && g->nodes[g->nodes[i].in[k]].kind == DT_OP_DETACH)
                g->nodes[i].in[k] = g->nodes[g->nodes[i].in[k]].in[0];
    for (size_t i = 0; i < f->n_keep; i++)
        while (f->keep[i] != DT_NONE && g->nodes[f->keep[i]].kind == DT_OP_DETACH) f->keep[i] = g->nodes[f->keep[i]].in[0];
}

static uint64_t node_hash(const dt_graph_node *n)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a over what makes two nodes the same value */
    const unsigned char *bytes[3] = {(const unsigned char *)n->in, (const unsigned char *)&n->a, (const unsigned char *)&n->shape};
    const size_t sizes[3] = {sizeof n->in, sizeof n->a, sizeof n->shape};
    h = (h ^ (uint64_t)n->kind) * 1099511628211u;
    for (int part = 0; part < 3; part++)
        for (size_t i = 0; i < sizes[part]; i++) h = (h ^ bytes[part][i]) * 1099511628211u;
    return h;
}

/* Is `old` the same value as `n`, and computed whenever n is? */
static bool same_value(const dt_graph_node *old, const dt_graph_node *n)
{
    return old->kind == n->kind && old->type == n->type && dt_shape_equal(old->shape, n->shape) && !memcmp(&old->a, &n->a, sizeof n->a) &&
           !memcmp(old->in, n->in, sizeof n->in) && (old->variant == -1 || old->variant == n->variant) && old->gradient_of < 0 &&
           n->gradient_of < 0;
}

static bool may_share(const dt_graph_node *n)
{
    return !n->dead && n->kind != DT_OP_INPUT && n->kind != DT_OP_PARAMETER && !dt_kind_has_effect(n->kind);
}

static bool share_equal_nodes(fuser *f)
{
    dt_graph *g = f->g;
    size_t slots = 64;
    while (slots < 2 * g->n_nodes) slots *= 2;
    dt_node *table = dt_alloc(slots, sizeof *table), *instead = dt_alloc(g->n_nodes, sizeof *instead);
    if (!table || !instead) {
        dt_free(table);
        dt_free(instead);
        return false;
    }
    for (size_t i = 0; i < slots; i++) table[i] = DT_NONE;
    for (size_t i = 0; i < g->n_nodes; i++) {
        dt_graph_node *n = &g->nodes[i];
        instead[i] = (dt_node)i;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != DT_NONE) n->in[k] = instead[n->in[k]];
        if (!may_share(n)) continue;
        size_t at = node_hash(n) & (slots - 1);
        while (table[at] != DT_NONE && !same_value(&g->nodes[table[at]], n)) at = (at + 1) & (slots - 1);
        if (table[at] == DT_NONE) {
            table[at] = (dt_node)i;
            continue;
        }
        instead[i] = table[at];
        n->dead = true;
        g->fused.shared++;
    }
    for (size_t i = 0; i < f->n_keep; i++)
        if (f->keep[i] != DT_NONE) f->keep[i] = instead[f->keep[i]];
    dt_free(table);
    dt_free(instead);
    return true;
}

/* ---- forward rules ------------------------------------------------------------------------------------------- */

/* What node x applies to its input, if it is one that a batch norm can apply. */
static dt_activation activation_of(const fuser *f, dt_node x)
{
    return is(f, x, DT_OP_RELU) ? DT_ACTIVATION_RELU : is(f, x, DT_OP_RELU6) ? DT_ACTIVATION_RELU6 : DT_ACTIVATION_NONE;
}

static bool is_plain_bn(const fuser *f, dt_node x)
{
    return is(f, x, DT_OP_BN_APPLY) && f->g->nodes[x].n_in == 4 && !f->g->nodes[x].a.bn.activation && only_use(f, x);
}

/* Node x becomes the batch norm `bn` with what was given; x's own inputs must have been released. */
static void become_bn(fuser *f, dt_node x, dt_node bn, dt_node residual, dt_activation activation)
{
    dt_graph_node *n = &f->g->nodes[x];
    const dt_graph_node *old = &f->g->nodes[bn];
    n->kind = DT_OP_BN_APPLY;
    n->a = old->a;
    n->a.bn.activation = activation;
    n->name = old->name;
    memcpy(n->in, old->in, sizeof n->in);
    n->n_in = 4;
    if (residual != DT_NONE) set_input(n, 4, residual);
    f->g->nodes[bn].dead = true; /* its uses pass to x */
}

/* The batch norm among the two operands of an addition, and the other one. */
static dt_node bn_operand(const fuser *f, const dt_graph_node *add, dt_node *other)
{
    if (!dt_shape_equal(dt_shape_of(f->g, add->in[0]), add->shape) || !dt_shape_equal(dt_shape_of(f->g, add->in[1]), add->shape)) return DT_NONE;
    for (int k = 0; k < 2; k++) {
        if (!is_plain_bn(f, add->in[k])) continue;
        *other = add->in[1 - k];
        return add->in[k];
    }
    return DT_NONE;
}

static void fuse_forward_bn(fuser *f)
{
    dt_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dt_node x = (dt_node)i;
        const dt_activation activation = activation_of(f, x);
        if (activation && is_plain_bn(f, g->nodes[i].in[0])) {
            become_bn(f, x, g->nodes[i].in[0], DT_NONE, activation);
            g->fused.bn_relu++;
            continue;
        }
        const dt_node add = activation ? g->nodes[i].in[0] : x;
        if (!is(f, add, DT_OP_ADD) || (activation && !only_use(f, add))) continue;
        if (!activation && f->uses[x] == 1 && g->nodes[i].variant == -1 && !f->pinned[x]) {
            /* perhaps a ReLU follows: let the rule for relu(bn + r) see it first */
            bool followed = false;
            for (size_t k = i + 1; k < g->n_nodes && !followed; k++) followed = activation_of(f, (dt_node)k) && g->nodes[k].in[0] == x;
            if (followed) continue;
        }
        dt_node other = DT_NONE;
        const dt_node bn = bn_operand(f, &g->nodes[add], &other);
        if (bn == DT_NONE) continue;
        if (activation) g->nodes[add].dead = true;
        become_bn(f, x, bn, other, activation);
        g->fused.bn_residual++;
    }
}

static void fuse_stats_of_sum(fuser *f)
{
    dt_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++) {
        dt_graph_node *stats = &g->nodes[i];
        if (!is(f, (dt_node)i, DT_OP_BN_STATS) || stats->n_in != 1) continue;
        const dt_node sum = stats->in[0];
        if (!is(f, sum, DT_OP_ADD) || f->pinned[sum]) continue;
        const dt_graph_node add = g->nodes[sum];
        if (!dt_shape_equal(dt_shape_of(g, add.in[0]), add.shape) || !dt_shape_equal(dt_shape_of(g, add.in[1]), add.shape)) continue;
        f->uses[sum]--;
        stats->in[0] = add.in[0];
        set_input(stats, 1, add.in[1]);
        f->uses[add.in[0]]++;
        f->uses[add.in[1]]++;
        stats->a.bn.emit = true;
        become_part(f, sum, (dt_node)i, 1);
        g->fused.bn_stats_add++;
    }
}

/* ---- backward rules ------------------------------------------------------------------------------------------ */

/* The readers of a masked gradient that are batch norms. */
typedef struct mask_readers {
    dt_node stats, input; /* the first BN_GRAD_STATS and the BN_GRAD_INPUT that belongs to it */
    int n;                /* readers of any kind */
} mask_readers;

static mask_readers find_readers(const fuser *f, dt_node mask)
{
    mask_readers r = {DT_NONE, DT_NONE, f->uses[mask]};
    const dt_graph *g = f->g;
    /* Gradients are created after what they read, so readers stand behind the mask; stop when all were seen. */
    int seen = 0;
    for (size_t i = (size_t)mask + 1; i < g->n_nodes && seen < r.n; i++) {
        const dt_graph_node *n = &g->nodes[i];
        if (n->dead) continue;
        for (int k = 0; k < n->n_in; k++) seen += n->in[k] == mask;
        if (n->in[0] != mask) continue;
        if (n->kind == DT_OP_BN_GRAD_STATS && n->n_in == 3 && r.stats == DT_NONE) r.stats = (dt_node)i;
        if (n->kind == DT_OP_BN_GRAD_INPUT && n->n_in == 5 && r.stats != DT_NONE && n->in[4] == r.stats) r.input = (dt_node)i;
    }
    return r;
}

/* Which activation's gradient a mask is. */
static dt_activation mask_of(const fuser *f, dt_node mask)
{
    return f->g->nodes[mask].kind == DT_OP_RELU6_GRAD ? DT_ACTIVATION_RELU6 : DT_ACTIVATION_RELU;
}

/* relu_grad goes into the two passes of the one batch norm that reads it. */
static void mask_inside(fuser *f, dt_node mask, mask_readers r)
{
    dt_graph *g = f->g;
    const dt_activation activation = mask_of(f, mask);
    const dt_node dy = g->nodes[mask].in[0], y = g->nodes[mask].in[1];
    bury(f, mask);
    dt_graph_node *stats = &g->nodes[r.stats], *input = &g->nodes[r.input];
    stats->a.bn.activation = input->a.bn.activation = activation;
    stats->in[0] = input->in[0] = dy;
    set_input(stats, 3, y);
    set_input(input, 5, y);
    f->uses[dy] += 2;
    f->uses[y] += 2;
    g->fused.bn_grad_relu++;
}

/* BN_GRAD_STATS computes and writes the masked gradient that others read too; two gradients that meet are added on the way. */
static void mask_emitted(fuser *f, dt_node mask, mask_readers r)
{
    dt_graph *g = f->g;
    dt_graph_node *stats = &g->nodes[r.stats];
    const dt_graph_node m = g->nodes[mask];
    dt_node dy = m.in[0], dy2 = DT_NONE;
    if (is(f, dy, DT_OP_ADD) && only_use(f, dy) && dt_shape_equal(dt_shape_of(g, g->nodes[dy].in[0]), m.shape) &&
        dt_shape_equal(dt_shape_of(g, g->nodes[dy].in[1]), m.shape)) {
        const dt_node sum = dy;
        dy = g->nodes[sum].in[0];
        dy2 = g->nodes[sum].in[1];
        g->nodes[sum].dead = true; /* its two uses pass to stats */
        g->fused.bn_grad_add++;
    } else {
        f->uses[dy]++;
    }
    f->uses[m.in[1]]++;
    f->uses[mask]--;
    stats->in[0] = dy;
    set_input(stats, 3, m.in[1]);
    if (dy2 != DT_NONE) set_input(stats, 4, dy2);
    stats->a.bn.emit = true;
    stats->a.bn.activation = mask_of(f, mask);
    become_part(f, mask, r.stats, 1);
    g->fused.bn_grad_emit++;
}

static void fuse_masks(fuser *f)
{
    dt_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dt_node mask = (dt_node)i;
        if ((!is(f, mask, DT_OP_RELU_GRAD) && !is(f, mask, DT_OP_RELU6_GRAD)) || f->pinned[i]) continue;
        const mask_readers r = find_readers(f, mask);
        if (r.stats == DT_NONE) continue;
        const dt_node dy = g->nodes[i].in[0];
        const bool meets = is(f, dy, DT_OP_ADD) && only_use(f, dy);
        if (r.n == 2 && r.input != DT_NONE && !meets) mask_inside(f, mask, r);
        else mask_emitted(f, mask, r);
    }
}

static void fuse_gradient_sum(fuser *f)
{
    dt_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (!is(f, (dt_node)i, DT_OP_ADD)) continue;
        const dt_graph_node add = g->nodes[i];
        for (int k = 0; k < 2; k++) {
            const dt_node bn = add.in[k], other = add.in[1 - k];
            if (!is(f, bn, DT_OP_BN_GRAD_INPUT) || g->nodes[bn].in[6] != DT_NONE || !only_use(f, bn) ||
                !dt_shape_equal(dt_shape_of(g, other), add.shape) || !dt_shape_equal(dt_shape_of(g, bn), add.shape))
                continue;
            dt_graph_node *n = &g->nodes[i];
            const int parameter = n->gradient_of;
            const dt_graph_node old = g->nodes[bn];
            *n = old;
            n->gradient_of = parameter;
            set_input(n, 6, other);
            g->nodes[bn].dead = true;
            g->fused.bn_grad_add++;
            break;
        }
    }
}

/* ---- prune and order ----------------------------------------------------------------------------------------- */

static void mark_live(const dt_graph *g, bool *live, dt_node *stack, dt_node root)
{
    size_t n = 0;
    if (root == DT_NONE || live[root]) return;
    live[root] = true;
    stack[n++] = root;
    while (n) {
        const dt_graph_node *node = &g->nodes[stack[--n]];
        for (int k = 0; k < node->n_in; k++) {
            const dt_node in = node->in[k];
            if (in == DT_NONE || live[in]) continue;
            live[in] = true;
            stack[n++] = in;
        }
    }
}

/* Nobody wants it. */
static void omit_second_output(dt_graph_node *producer)
{
    if (producer->kind == DT_OP_GROUP_NORM || producer->kind == DT_OP_GROUP_NORM_GRAD) producer->a.gn.emit = false;
    else producer->a.bn.emit = false;
}

static void prune(fuser *f, bool *live, dt_node *stack)
{
    dt_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (!g->nodes[i].dead && (dt_kind_has_effect(g->nodes[i].kind) || g->nodes[i].gradient_of >= 0)) mark_live(g, live, stack, (dt_node)i);
    for (size_t i = 0; i < f->n_keep; i++) mark_live(g, live, stack, f->keep[i]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        dt_graph_node *n = &g->nodes[i];
        if (n->dead || live[i]) continue;
        n->dead = true;
        g->fused.removed++;
        if (n->kind == DT_OP_PART) omit_second_output(&g->nodes[n->in[0]]);
    }
}

/* When a node may run at the earliest: variants after the common part, updates last, else in the order of creation. */
static uint64_t order_key(const dt_graph *g, dt_node x)
{
    const dt_graph_node *n = &g->nodes[x];
    return ((uint64_t)(n->variant + 1) << 40) + ((uint64_t)(n->kind == DT_OP_UPDATE) << 39) + (uint64_t)x;
}

typedef struct heap {
    dt_node *at;
    size_t n;
} heap;

static void heap_push(heap *h, const dt_graph *g, dt_node x)
{
    size_t i = h->n++;
    for (; i && order_key(g, h->at[(i - 1) / 2]) > order_key(g, x); i = (i - 1) / 2) h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = x;
}

static dt_node heap_pop(heap *h, const dt_graph *g)
{
    const dt_node top = h->at[0], last = h->at[--h->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n) break;
        if (child + 1 < h->n && order_key(g, h->at[child + 1]) < order_key(g, h->at[child])) child++;
        if (order_key(g, h->at[child]) >= order_key(g, last)) break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = last;
    return top;
}

bool dt_list_readers(const dt_graph *g, size_t **start_out, dt_node **list_out)
{
    size_t *start = dt_alloc(g->n_nodes + 2, sizeof *start);
    dt_node *list = dt_alloc(g->n_nodes * DT_MAX_INPUTS + 1, sizeof *list);
    *start_out = start;
    *list_out = list;
    if (!start || !list) return false;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < g->n_nodes; i++) {
            if (g->nodes[i].dead) continue;
            for (int k = 0; k < g->nodes[i].n_in; k++) {
                const dt_node in = g->nodes[i].in[k];
                if (in == DT_NONE) continue;
                if (pass == 0) start[in + 2]++;
                else list[start[in + 1]++] = (dt_node)i;
            }
        }
        if (pass == 0)
            for (size_t i = 2; i < g->n_nodes + 2; i++) start[i] += start[i - 1];
    }
    return true;
}

static bool find_order(dt_graph *g)
{
    size_t *start = NULL;
    dt_node *list = NULL;
    heap ready = {dt_alloc(g->n_nodes + 1, sizeof *ready.at), 0};
    int *missing = dt_alloc(g->n_nodes + 1, sizeof *missing);
    dt_free(g->order);
    g->order = dt_alloc(g->n_nodes + 1, sizeof *g->order);
    g->n_order = 0;
    const bool ok = dt_list_readers(g, &start, &list) && ready.at && missing && g->order;
    size_t live = 0;
    for (size_t i = 0; ok && i < g->n_nodes; i++) {
        if (g->nodes[i].dead) continue;
        live++;
        for (int k = 0; k < g->nodes[i].n_in; k++) missing[i] += g->nodes[i].in[k] != DT_NONE;
        if (!missing[i]) heap_push(&ready, g, (dt_node)i);
    }
    while (ok && ready.n) {
        const dt_node x = heap_pop(&ready, g);
        g->order[g->n_order++] = x;
        for (size_t i = start[x]; i < start[x + 1]; i++)
            if (!--missing[list[i]]) heap_push(&ready, g, list[i]);
    }
    if (ok && g->n_order != live) DT_BUG("the graph has a circle: %zu of %zu nodes have an order", g->n_order, live);
    dt_free(start);
    dt_free(list);
    dt_free(ready.at);
    dt_free(missing);
    return ok;
}

void dt_fuse(dt_graph *g, dt_node *keep, size_t n_keep, bool enable)
{
    if (g->error.status) return;
    fuser f = {.g = g, .uses = dt_alloc(g->n_nodes + 1, sizeof *f.uses), .pinned = dt_alloc(g->n_nodes + 1, sizeof *f.pinned), .keep = keep, .n_keep = n_keep};
    bool *live = dt_alloc(g->n_nodes + 1, sizeof *live);
    dt_node *stack = dt_alloc(g->n_nodes + 1, sizeof *stack);
    bool ok = f.uses && f.pinned && live && stack;
    if (ok) {
        remove_detach(&f);
        ok = !enable || share_equal_nodes(&f);
    }
    if (ok && enable) {
        void (*const rules[])(fuser *) = {fuse_forward_bn, fuse_stats_of_sum, fuse_masks, fuse_gradient_sum,
                                             dt_fuse_group_norm_silu, dt_fuse_group_norm_sum, dt_fuse_upsample};
        for (size_t i = 0; i < DT_COUNT(rules); i++) {
            count_uses(&f);
            rules[i](&f);
        }
    }
    if (ok) {
        prune(&f, live, stack);
        ok = find_order(g);
    }
    if (!ok) dt_graph_fail(g, DUET_MEMORY, "no memory to order a graph of %zu nodes", g->n_nodes);
    dt_free(f.uses);
    dt_free(f.pinned);
    dt_free(live);
    dt_free(stack);
}
