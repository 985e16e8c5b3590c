/* What the fusion rules share: fuse.c has the driver, the rules of batch norm, pruning and ordering; fuse_group_norm.c the
 * rules of group norm, fuse_upsample.c those of upsampled maps. */
#ifndef DT_FUSE_IMPL_H
#define DT_FUSE_IMPL_H

#include "graph/graph_impl.h"

typedef struct fuser {
    dt_graph *g;
    int *uses;        /* how often a value is read, by nodes, keeps and gradients */
    bool *pinned;     /* read from outside: must keep its value */
    dt_node *keep;
    size_t n_keep;
} fuser;

static inline bool is(const fuser *f, dt_node x, dt_kind kind)
{
    return x != DT_NONE && f->g->nodes[x].kind == kind && !f->g->nodes[x].dead;
}

/* May x disappear into its only reader? */
static inline bool only_use(const fuser *f, dt_node x)
{
    return f->uses[x] == 1 && !f->pinned[x];
}

static inline void set_input(dt_graph_node *n, int k, dt_node x)
{
    n->in[k] = x;
    if (n->n_in <= k) n->n_in = k + 1;
}

/* Readers of every live node as one array: readers of x are list[start[x] .. start[x+1]). Both are the caller's to free, also
 * where false says that memory is out. */
bool dt_list_readers(const dt_graph *g, size_t **start_out, dt_node **list_out);

/* silu(group_norm(x)) -> GROUP_NORM with SiLU; its gradient's silu_grad -> inside GROUP_NORM_GRAD. */
void dt_fuse_group_norm_silu(fuser *f);
/* group_norm(x + e), e [n,c,1,1] -> GROUP_NORM and GROUP_NORM_GRAD that add on the way. */
void dt_fuse_group_norm_sum(fuser *f);
/* conv(upsample(x)), twice the size -> a convolution that reads x, and so for its gradients. */
void dt_fuse_upsample(fuser *f);

#endif
