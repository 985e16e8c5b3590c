/* Layers: what models are built from. Each creates its parameters under PyTorch's names. */
#include "graph/graph_impl.h"

#include <math.h>

static const double bn_eps = 1e-5, bn_momentum = 0.1; /* torch.nn.BatchNorm2d's defaults */

size_t dt_conv_out(size_t in, size_t kernel, size_t stride, size_t padding, size_t dilation)
{
    const size_t reach = dilation * (kernel - 1) + 1, padded = in + padding;
    return padded < reach ? 0 : (padded - reach) / stride + 1;
}

dt_node dt_layer_parameter(dt_graph *g, const char *layer, const char *what, dt_shape s, int rank, bool trained, dt_init init, double amount)
{
    char name[256];
    const int length = snprintf(name, sizeof name, "%s.%s", layer, what);
    if (length < 0 || (size_t)length >= sizeof name) {
        dt_graph_fail(g, DUET_ARG, "layer name '%.60s...' is too long", layer);
        return DT_NONE;
    }
    return dt_parameter_node(g, name, s, rank, trained, init, amount);
}

static bool conv_spec_fits(dt_graph *g, const char *name, dt_shape x, const dt_conv_spec *s)
{
    char text[96];
    if (!s->out_channels || !s->kernel_h || !s->kernel_w || !s->stride) {
        dt_graph_fail(g, DUET_ARG, "%s: channels, kernel and stride must be at least 1", name);
        return false;
    }
    if (x.c % s->groups || s->out_channels % s->groups) {
        dt_graph_fail(g, DUET_SHAPE, "%s: %zu groups do not divide %zu input and %zu output channels", name, s->groups, x.c, s->out_channels);
        return false;
    }
    const size_t padding = 2 * s->pad + s->pad_more;
    if (!dt_conv_out(x.h, s->kernel_h, s->stride, padding, s->dilation) || !dt_conv_out(x.w, s->kernel_w, s->stride, padding, s->dilation)) {
        dt_graph_fail(g, DUET_SHAPE, "%s: a kernel of %zux%zu is larger than its padded input %s", name, s->kernel_h, s->kernel_w, dt_shape_text(x, text));
        return false;
    }
    return true;
}

/* Callers' specs are copied member by member: attributes are compared bytewise, and the bytes behind a caller's last member may
 * be anything. */
static dt_attributes conv_attributes(const dt_conv_spec *s)
{
    dt_attributes a = no_attributes();
    a.conv.out_channels = s->out_channels;
    a.conv.kernel_h = s->kernel_h;
    a.conv.kernel_w = s->kernel_w;
    a.conv.stride = s->stride;
    a.conv.pad = s->pad;
    a.conv.dilation = s->dilation;
    a.conv.groups = s->groups;
    a.conv.pad_more = s->pad_more;
    a.conv.bias = s->bias;
    return a;
}

static dt_attributes pool_attributes(const dt_pool_spec *s)
{
    dt_attributes a = no_attributes();
    a.pool.kernel = s->kernel;
    a.pool.stride = s->stride;
    a.pool.pad = s->pad;
    a.pool.count_pad = s->count_pad;
    return a;
}

dt_node dt_conv(dt_graph *g, dt_node x, const char *name, dt_conv_spec s)
{
    if (x == DT_NONE) return DT_NONE;
    if (!s.dilation) s.dilation = 1;
    if (!s.groups) s.groups = 1;
    const dt_shape in = g->nodes[x].shape;
    if (!conv_spec_fits(g, name, in, &s)) return DT_NONE;
    /* kaiming normal, fan_out, gain of ReLU: MODELS.md, "Initialisation" */
    const double fan_out = (double)(s.kernel_h * s.kernel_w * s.out_channels);
    const dt_node inputs[3] = {
        x,
        dt_layer_parameter(g, name, "weight", shape(s.out_channels, in.c / s.groups, s.kernel_h, s.kernel_w), 4, true, DT_INIT_NORMAL, sqrt(2.0 / fan_out)),
        s.bias ? dt_layer_parameter(g, name, "bias", shape(1, s.out_channels, 1, 1), 1, true, DT_INIT_ZERO, 0) : DT_NONE,
    };
    const size_t padding = 2 * s.pad + s.pad_more;
    const dt_shape out = shape(in.n, s.out_channels, dt_conv_out(in.h, s.kernel_h, s.stride, padding, s.dilation),
                               dt_conv_out(in.w, s.kernel_w, s.stride, padding, s.dilation));
    const dt_attributes a = conv_attributes(&s);
    dt_node y = dt_node_make(g, DT_OP_CONV, inputs, s.bias ? 3 : 2, a, out, DT_REAL);
    dt_node_name(g, y, "%s", name);
    return y;
}

dt_node dt_batch_norm(dt_graph *g, dt_node x, const char *name)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape in = g->nodes[x].shape, vector = shape(1, in.c, 1, 1);
    const dt_node weight = dt_layer_parameter(g, name, "weight", vector, 1, true, DT_INIT_ONE, 0);
    const dt_node bias = dt_layer_parameter(g, name, "bias", vector, 1, true, DT_INIT_ZERO, 0);
    const dt_node running[2] = {
        dt_layer_parameter(g, name, "running_mean", vector, 1, false, DT_INIT_ZERO, 0),
        dt_layer_parameter(g, name, "running_var", vector, 1, false, DT_INIT_ONE, 0),
    };
    dt_attributes a = no_attributes();
    a.bn.eps = bn_eps;
    a.bn.momentum = bn_momentum;
    a.bn.count = in.n * in.h * in.w;
    dt_node stats;
    if (g->training && !dt_layer_frozen(g, name)) {
        stats = dt_node_make(g, DT_OP_BN_STATS, &x, 1, a, shape(2, in.c, 1, 1), DT_REAL);
        const dt_node tracked[3] = {stats, running[0], running[1]};
        dt_node track = dt_node_make(g, DT_OP_BN_TRACK, tracked, 3, a, shape(1, 1, 1, 1), DT_REAL);
        dt_node_name(g, track, "%s.track", name);
    } else {
        stats = dt_node_make(g, DT_OP_BN_FROZEN, running, 2, a, shape(2, in.c, 1, 1), DT_REAL);
    }
    dt_node_name(g, stats, "%s.stats", name);
    const dt_node inputs[4] = {x, stats, weight, bias};
    dt_node y = dt_node_make(g, DT_OP_BN_APPLY, inputs, 4, a, in, DT_REAL);
    dt_node_name(g, y, "%s", name);
    return y;
}

dt_node dt_linear(dt_graph *g, dt_node x, const char *name, size_t out, dt_linear_init init)
{
    if (x == DT_NONE) return DT_NONE;
    const size_t in = g->nodes[x].shape.c;
    const double half_width = 1.0 / sqrt((double)in); /* torch: kaiming_uniform with a = sqrt(5) is this */
    const bool normal = init == DT_LINEAR_NORMAL;
    const dt_node weight = dt_layer_parameter(g, name, "weight", shape(out, in, 1, 1), 2, true, normal ? DT_INIT_NORMAL : DT_INIT_UNIFORM,
                                              normal ? 0.01 : half_width);
    const dt_node bias = dt_layer_parameter(g, name, "bias", shape(1, out, 1, 1), 1, true,
                                            init == DT_LINEAR_TORCH ? DT_INIT_UNIFORM : DT_INIT_ZERO, half_width);
    dt_node y = dt_matmul(g, x, weight, bias, false, true);
    dt_node_name(g, y, "%s", name);
    return y;
}

dt_node dt_relu(dt_graph *g, dt_node x)
{
    return dt_unary(g, DT_OP_RELU, x, no_attributes());
}

dt_node dt_relu6(dt_graph *g, dt_node x)
{
    return dt_unary(g, DT_OP_RELU6, x, no_attributes());
}

dt_node dt_shuffle_channels(dt_graph *g, dt_node x, size_t groups)
{
    if (x == DT_NONE) return DT_NONE;
    const size_t channels = g->nodes[x].shape.c;
    if (!groups || channels % groups) {
        dt_graph_fail(g, DUET_SHAPE, "shuffle: %zu groups do not divide %zu channels", groups, channels);
        return DT_NONE;
    }
    if (groups == 1 || groups == channels) return x;
    dt_attributes a = no_attributes();
    a.integer = (int64_t)groups;
    return dt_unary(g, DT_OP_SHUFFLE, x, a);
}

static dt_node pool(dt_graph *g, dt_kind kind, dt_node x, dt_pool_spec s)
{
    if (x == DT_NONE) return DT_NONE;
    const dt_shape in = g->nodes[x].shape;
    if (!s.kernel || !s.stride || s.pad >= s.kernel) {
        dt_graph_fail(g, DUET_ARG, "%s: kernel and stride must be at least 1 and padding smaller than the kernel", dt_kind_name(kind));
        return DT_NONE;
    }
    const dt_attributes a = pool_attributes(&s);
    return dt_node_make(g, kind, &x, 1, a, shape(in.n, in.c, dt_conv_out(in.h, s.kernel, s.stride, 2 * s.pad, 1), dt_conv_out(in.w, s.kernel, s.stride, 2 * s.pad, 1)), DT_REAL);
}

dt_node dt_max_pool(dt_graph *g, dt_node x, dt_pool_spec s)
{
    return pool(g, DT_OP_MAX_POOL, x, s);
}

dt_node dt_avg_pool(dt_graph *g, dt_node x, dt_pool_spec s)
{
    return pool(g, DT_OP_AVG_POOL, x, s);
}

dt_node dt_global_average(dt_graph *g, dt_node x)
{
    return dt_mean(g, x, DT_AXES_HW);
}
