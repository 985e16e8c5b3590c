/* Where each value lives: lifetimes -> one slab.
 *
 * A value is born when its node runs and dies after its last reader. Values whose lifetimes do not meet may share bytes:
 *
 *     bytes
 *       |  +-----A-----+      +---C---+        A, B, C, D: values, as wide as they live, as high as they are large.
 *       |  +-----------+  +---+-------+--+     C took over A's place; D stands on top of what lives at the same time.
 *       |  |     B     |  |      D       |
 *       +--+-----------+--+--------------+---> order of execution
 *
 * First, an element-wise result takes over the memory of an input that dies there (in place). What then shares memory is one
 * block with one lifetime. Blocks are placed largest first, each at the lowest offset free during its whole life: simple,
 * deterministic, and within a few percent of the peak of live bytes on these graphs (the plan prints both).
 * Rejected: first come, first placed, which fragments when the backward pass frees in reverse order. */
#include "graph/graph_impl.h"

#include <stdlib.h>
#include <string.h>

/* Activations are powers of two in size: end to end, the same place of several of them would fall into the same cache sets, and a
 * kernel that walks through five at once would evict its own lines. An odd number of cache lines between large values
 * spreads them: 15 % of a whole step of resnet20 + resnet8 on one Zen 3 core. */
enum { SKEWED = 64 * 1024, SKEW = 17 * DT_ALIGN };

typedef struct block {
    size_t bytes, offset;
    size_t born, dies; /* positions in the order, inclusive */
} block;

typedef struct placer {
    dt_graph *g;
    const bool *external;
    bool (*in_place)(dt_kind, int);
    size_t real_bytes;
    size_t *position, *last_use; /* of every storage node */
    int *block_of;               /* -1: outside, or shares nothing */
    block *blocks;
    size_t n_blocks;
    int n_in_place;
} placer;

static bool has_memory(const placer *p, dt_node x)
{
    const dt_kind kind = p->g->nodes[x].kind;
    return !p->external[x] && kind != DT_OP_RESHAPE && kind != DT_OP_DETACH;
}

static size_t value_bytes(const placer *p, dt_node x)
{
    const dt_graph_node *n = &p->g->nodes[x];
    const size_t bytes = dt_shape_count(n->shape) * (n->type == DT_INDEX ? sizeof(int32_t) : p->real_bytes);
    return (bytes + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN + (bytes >= SKEWED ? SKEW : 0);
}

static void find_lifetimes(placer *p, const dt_node *keep, size_t n_keep)
{
    const dt_graph *g = p->g;
    for (size_t i = 0; i < g->n_order; i++) {
        const dt_node x = g->order[i];
        const dt_graph_node *n = &g->nodes[x];
        /* A second output is written when its producer runs. */
        p->position[x] = n->kind == DT_OP_PART ? p->position[n->in[0]] : i;
        p->last_use[x] = i;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != DT_NONE) p->last_use[dt_storage_of(g, n->in[k])] = i;
    }
    for (size_t i = 0; i < n_keep; i++)
        if (keep[i] != DT_NONE) p->last_use[dt_storage_of(g, keep[i])] = g->n_order;
}

/* The block that node x, at position i, can take over; -1: none. */
static int block_to_take(const placer *p, dt_node x, size_t i)
{
    const dt_graph_node *n = &p->g->nodes[x];
    if (n->kind == DT_OP_PART) return -1;
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] == DT_NONE || !p->in_place(n->kind, k)) continue;
        const dt_node in = dt_storage_of(p->g, n->in[k]);
        const int b = p->block_of[in];
        if (b >= 0 && p->blocks[b].dies == i && dt_shape_equal(p->g->nodes[in].shape, n->shape) && value_bytes(p, in) == p->blocks[b].bytes) return b;
    }
    return -1;
}

static void make_blocks(placer *p)
{
    const dt_graph *g = p->g;
    for (size_t i = 0; i < g->n_order; i++) {
        const dt_node x = g->order[i];
        if (!has_memory(p, x)) continue;
        const int taken = block_to_take(p, x, i);
        if (taken >= 0) {
            p->block_of[x] = taken;
            p->blocks[taken].dies = p->last_use[x];
            p->n_in_place++;
            continue;
        }
        p->block_of[x] = (int)p->n_blocks;
        p->blocks[p->n_blocks++] = (block){.bytes = value_bytes(p, x), .born = p->position[x], .dies = p->last_use[x]};
    }
}

static int larger_first(const void *a, const void *b)
{
    const block *x = *(block *const *)a, *y = *(block *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->born > y->born) - (x->born < y->born);
}

static int lower_first(const void *a, const void *b)
{
    const block *x = *(block *const *)a, *y = *(block *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Lowest offset at which `b` fits between the blocks placed so far that live when it lives. */
static size_t lowest_offset(const block *b, block *const *placed, size_t n_placed, block **meets)
{
    size_t n = 0;
    for (size_t i = 0; i < n_placed; i++)
        if (placed[i]->born <= b->dies && b->born <= placed[i]->dies) meets[n++] = placed[i];
    qsort(meets, n, sizeof *meets, lower_first);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (meets[i]->offset >= at + b->bytes) break;
        if (meets[i]->offset + meets[i]->bytes > at) at = meets[i]->offset + meets[i]->bytes;
    }
    return at;
}

static size_t place_blocks(placer *p, block **sorted, block **meets)
{
    size_t slab = 0;
    for (size_t i = 0; i < p->n_blocks; i++) sorted[i] = &p->blocks[i];
    qsort(sorted, p->n_blocks, sizeof *sorted, larger_first);
    for (size_t i = 0; i < p->n_blocks; i++) {
        sorted[i]->offset = lowest_offset(sorted[i], sorted, i, meets);
        if (sorted[i]->offset + sorted[i]->bytes > slab) slab = sorted[i]->offset + sorted[i]->bytes;
    }
    return slab;
}

duet_status dt_place(dt_graph *g, bool (*in_place)(dt_kind kind, int input), const bool *external, const dt_node *keep, size_t n_keep,
                     size_t real_bytes, dt_placement *out, duet_error *err)
{
    const size_t n = g->n_nodes;
    placer p = {.g = g, .external = external, .in_place = in_place, .real_bytes = real_bytes, .position = dt_alloc(n, sizeof *p.position),
                .last_use = dt_alloc(n, sizeof *p.last_use), .block_of = dt_alloc(n, sizeof *p.block_of), .blocks = dt_alloc(n, sizeof *p.blocks)};
    block **sorted = dt_alloc(n, sizeof *sorted), **meets = dt_alloc(n, sizeof *meets);
    dt_placement result = {.offset = dt_alloc(n, sizeof *result.offset)};
    duet_status st = DUET_OK;
    if (!p.position || !p.last_use || !p.block_of || !p.blocks || !sorted || !meets || !result.offset) {
        dt_free(result.offset);
        st = dt_fail(err, DUET_MEMORY, "no memory to place %zu values", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) p.block_of[i] = -1;
    find_lifetimes(&p, keep, n_keep);
    make_blocks(&p);
    result.slab_bytes = place_blocks(&p, sorted, meets);
    result.in_place = g->fused.in_place = p.n_in_place;
    for (size_t i = 0; i < n; i++) {
        result.offset[i] = p.block_of[i] < 0 ? DT_OUTSIDE : p.blocks[p.block_of[i]].offset;
        if (p.block_of[i] >= 0) result.total_bytes += value_bytes(&p, (dt_node)i);
    }
    *out = result;
done:
    dt_free(p.position);
    dt_free(p.last_use);
    dt_free(p.block_of);
    dt_free(p.blocks);
    dt_free(sorted);
    dt_free(meets);
    return st;
}

void dt_placement_release(dt_placement *p)
{
    dt_free(p->offset);
    *p = (dt_placement){0};
}
