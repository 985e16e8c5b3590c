/* Fusion around group norm: what a residual block of a UNet repeats, silu(group_norm(x + e)) with e one number for each
 * channel of an image, becomes one node, and so does its gradient. Neither the sum nor the normalised value is written.
 *
 * A value may disappear only if all its readers can do without it, backward ones included, so each rule first looks at
 * every reader and then rewrites all of them or none. */
#include "graph/fuse_impl.h"

typedef struct readers {
    size_t *start;
    dt_node *list;
} readers;

/* ---- silu(group_norm(x)) --------------------------------------------------------------------------------------- */

/* The gradient of group norm `norm` that is the only one to read `mask`, a silu_grad; DT_NONE: there is none. */
static dt_node gradient_behind(const fuser *f, const readers *r, dt_node mask, dt_node norm)
{
    if (f->pinned[mask] || r->start[mask + 1] - r->start[mask] != 1) return DT_NONE;
    const dt_node gradient = r->list[r->start[mask]];
    const dt_graph_node *n = &f->g->nodes[gradient];
    const bool fits = is(f, gradient, DT_OP_GROUP_NORM_GRAD) && n->in[0] == mask && !n->a.gn.silu && is(f, n->in[2], DT_OP_PART) &&
                      f->g->nodes[n->in[2]].in[0] == norm;
    return fits ? gradient : DT_NONE;
}

/* Can every reader of `norm` do with silu(norm), the node `silu`, alone? */
static bool silu_suffices(const fuser *f, const readers *r, dt_node norm, dt_node silu)
{
    for (size_t i = r->start[norm]; i < r->start[norm + 1]; i++) {
        const dt_node reader = r->list[i];
        if (reader == silu || is(f, reader, DT_OP_PART)) continue;
        if (!is(f, reader, DT_OP_SILU_GRAD) || gradient_behind(f, r, reader, norm) == DT_NONE) return false;
    }
    return true;
}

static void merge_silu(fuser *f, const readers *r, dt_node norm, dt_node silu)
{
    dt_graph *g = f->g;
    for (size_t i = r->start[norm]; i < r->start[norm + 1]; i++) {
        const dt_node reader = r->list[i];
        if (reader == silu || !is(f, reader, DT_OP_SILU_GRAD)) continue;
        dt_graph_node *gradient = &g->nodes[gradient_behind(f, r, reader, norm)];
        gradient->in[0] = g->nodes[reader].in[0];
        gradient->a.gn.silu = true;
        g->nodes[reader].dead = true;
        g->fused.gn_grad_silu++;
    }
    for (size_t i = r->start[norm]; i < r->start[norm + 1]; i++)
        if (is(f, r->list[i], DT_OP_PART)) g->nodes[r->list[i]].in[0] = silu;
    dt_graph_node *n = &g->nodes[silu];
    const dt_graph_node old = g->nodes[norm];
    n->kind = old.kind;
    n->a = old.a;
    n->a.gn.silu = true;
    n->name = old.name;
    n->n_in = old.n_in;
    for (int k = 0; k < DT_MAX_INPUTS; k++) n->in[k] = old.in[k];
    g->nodes[norm].dead = true;
    g->fused.gn_silu++;
}

/* A value of the common part must not move into a variant. */
static bool same_part(const fuser *f, dt_node a, dt_node b)
{
    return f->g->nodes[a].variant == f->g->nodes[b].variant;
}

void dt_fuse_group_norm_silu(fuser *f)
{
    dt_graph *g = f->g;
    readers r = {0};
    const bool ok = dt_list_readers(g, &r.start, &r.list);
    if (!ok) dt_graph_fail(g, DUET_MEMORY, "no memory to fuse a graph of %zu nodes", g->n_nodes);
    for (size_t i = 0; ok && i < g->n_nodes; i++) {
        const dt_node silu = (dt_node)i;
        if (!is(f, silu, DT_OP_SILU)) continue;
        const dt_node norm = g->nodes[i].in[0];
        if (is(f, norm, DT_OP_GROUP_NORM) && !g->nodes[norm].a.gn.silu && !f->pinned[norm] && same_part(f, norm, silu) &&
            silu_suffices(f, &r, norm, silu))
            merge_silu(f, &r, norm, silu);
    }
    dt_free(r.start);
    dt_free(r.list);
}

/* ---- group_norm(x + e) ----------------------------------------------------------------------------------------- */

/* Which operand of the addition is one number for each channel of an image, when the other is the whole map; -1: neither. */
static int image_operand(const dt_graph *g, const dt_graph_node *add)
{
    const dt_shape s = add->shape, e = shape(s.n, s.c, 1, 1);
    if (s.h * s.w == 1) return -1;
    for (int k = 0; k < 2; k++)
        if (dt_shape_equal(dt_shape_of(g, add->in[k]), e) && dt_shape_equal(dt_shape_of(g, add->in[1 - k]), s)) return k;
    return -1;
}

/* Is every reader of `sum` a group norm of it, or the gradient of one? */
static bool only_normalised(const fuser *f, const readers *r, dt_node sum)
{
    for (size_t i = r->start[sum]; i < r->start[sum + 1]; i++) {
        const dt_graph_node *n = &f->g->nodes[r->list[i]];
        const bool norm = n->kind == DT_OP_GROUP_NORM && n->in[0] == sum && n->in[3] == DT_NONE;
        const bool gradient = n->kind == DT_OP_GROUP_NORM_GRAD && n->in[1] == sum && n->in[0] != sum && n->in[5] == DT_NONE;
        if (!norm && !gradient) return false;
    }
    return r->start[sum] < r->start[sum + 1];
}

void dt_fuse_group_norm_sum(fuser *f)
{
    dt_graph *g = f->g;
    readers r = {0};
    const bool ok = dt_list_readers(g, &r.start, &r.list);
    if (!ok) dt_graph_fail(g, DUET_MEMORY, "no memory to fuse a graph of %zu nodes", g->n_nodes);
    for (size_t i = 0; ok && i < g->n_nodes; i++) {
        const dt_node sum = (dt_node)i;
        if (!is(f, sum, DT_OP_ADD) || f->pinned[i] || !only_normalised(f, &r, sum)) continue;
        const int k = image_operand(g, &g->nodes[i]);
        if (k < 0) continue;
        const dt_node e = g->nodes[i].in[k], x = g->nodes[i].in[1 - k];
        for (size_t j = r.start[i]; j < r.start[i + 1]; j++) {
            dt_graph_node *n = &g->nodes[r.list[j]];
            const bool gradient = n->kind == DT_OP_GROUP_NORM_GRAD;
            n->in[gradient ? 1 : 0] = x;
            set_input(n, gradient ? 5 : 3, e);
            g->fused.gn_add += !gradient;
        }
        g->nodes[i].dead = true;
    }
    dt_free(r.start);
    dt_free(r.list);
}
