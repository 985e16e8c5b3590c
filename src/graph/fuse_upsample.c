/* Nearest x2 read inside the 3x3 convolution that follows, as in the decoder of a UNet: the large map, four times the memory of the
 * small one, is neither written nor kept for the weights' gradient, and the input's gradient is summed over blocks on its way out. */
#include "graph/fuse_impl.h"

static bool is_double(const dt_graph *g, dt_node small, dt_node large)
{
    const dt_shape s = dt_shape_of(g, small), l = dt_shape_of(g, large);
    return l.h == 2 * s.h && l.w == 2 * s.w;
}

/* The windows that kernels have a form for. */
static bool is_usual(dt_conv_spec c)
{
    return c.kernel_h == 3 && c.kernel_w == 3 && c.stride == 1 && c.pad == 1 && !c.pad_more && c.dilation <= 1 && c.groups <= 1 && !c.doubled;
}

/* Node x reads, as its input `k`, the small map that an upsampling made large. */
static void read_small(fuser *f, dt_node x, int k)
{
    dt_graph_node *n = &f->g->nodes[x];
    const dt_node large = n->in[k];
    if (!is_usual(n->a.conv) || !is(f, large, DT_OP_UPSAMPLE) || !is_double(f->g, f->g->nodes[large].in[0], large)) return;
    n->in[k] = f->g->nodes[large].in[0];
    n->a.conv.doubled = true;
    f->uses[n->in[k]]++;
    f->uses[large]--;
    f->g->fused.conv_upsample++;
}

/* upsample_grad(conv_grad_input(dy, w)) is one node, of the small map. */
static void write_small(fuser *f, dt_node x)
{
    dt_graph_node *n = &f->g->nodes[x];
    const dt_node large = n->in[0];
    if (!is(f, large, DT_OP_CONV_GRAD_INPUT) || !only_use(f, large) || !is_usual(f->g->nodes[large].a.conv) || !is_double(f->g, x, large)) return;
    const dt_graph_node old = f->g->nodes[large];
    n->kind = old.kind;
    n->a = old.a;
    n->a.conv.doubled = true;
    n->name = old.name;
    n->n_in = old.n_in;
    for (int k = 0; k < old.n_in; k++) n->in[k] = old.in[k];
    f->g->nodes[large].dead = true; /* its uses pass to x */
    f->g->fused.conv_upsample++;
}

void dt_fuse_upsample(fuser *f)
{
    for (size_t i = 0; i < f->g->n_nodes; i++) {
        const dt_node x = (dt_node)i;
        if (is(f, x, DT_OP_CONV)) read_small(f, x, 0);
        else if (is(f, x, DT_OP_CONV_GRAD_WEIGHT)) read_small(f, x, 1);
        else if (is(f, x, DT_OP_UPSAMPLE_GRAD)) write_small(f, x);
    }
}
