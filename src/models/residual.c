/* Residual layers with dilated convolutions, and the ImageNet ResNets (He, Zhang, Ren, Sun, CVPR 2016) that segmentation
 * networks are built on: their last two layers dilate where the classifier would step (Yu, Koltun, Funkhouser, CVPR 2017), so
 * that a place of the last map still stands for 8x8 pixels.
 *
 *     basic block:  conv1 3x3 - bn1 - ReLU - conv2 3x3 - bn2 - (+ shortcut) - ReLU
 *     bottleneck:   conv1 1x1 - bn1 - ReLU - conv2 3x3 - bn2 - ReLU - conv3 1x1 - bn3 - (+ shortcut) - ReLU
 *
 * A layer of rate r that took the place of a step has half of it, r/2, in the 3x3 convolution where the step was (basic: conv1
 * of its first block, bottleneck: conv2) and r in all others: the field of view is that of the network that steps. */
#include "models/models_impl.h"

typedef struct block_spec {
    const char *name; /* "layer2.0" */
    size_t width, stride, entry, rate;
    bool bottleneck;
} block_spec;

/* conv<i> of a block and its norm. */
static dt_node step(dt_graph *g, dt_node x, const char *block, int i, dt_conv_spec s)
{
    if (!s.stride) s.stride = 1;
    if (!s.dilation) s.dilation = 1;
    s.kernel_w = s.kernel_h;
    s.pad = s.dilation * (s.kernel_h / 2);
    x = dt_conv(g, x, dt_part_name(g, "%s.conv%d", block, i), s);
    return dt_part_norm(g, x, "%s.bn%d", block, i);
}

static dt_node shortcut(dt_graph *g, dt_node x, const block_spec *s, size_t channels)
{
    if (s->stride == 1 && dt_shape_of(g, x).c == channels) return x;
    return dt_part_norm(g, dt_part_conv(g, x, channels, 1, s->stride, "%s.downsample.0", s->name), "%s.downsample.1", s->name);
}

static dt_node block(dt_graph *g, dt_node x, const block_spec *s)
{
    dt_node y;
    size_t channels = s->width;
    const dt_conv_spec strided = {.out_channels = s->width, .kernel_h = 3, .stride = s->stride, .dilation = s->entry};
    if (s->bottleneck) {
        channels *= 4;
        y = dt_relu(g, step(g, x, s->name, 1, (dt_conv_spec){.out_channels = s->width, .kernel_h = 1}));
        y = dt_relu(g, step(g, y, s->name, 2, strided));
        y = step(g, y, s->name, 3, (dt_conv_spec){.out_channels = channels, .kernel_h = 1});
    } else {
        y = dt_relu(g, step(g, x, s->name, 1, strided));
        y = step(g, y, s->name, 2, (dt_conv_spec){.out_channels = s->width, .kernel_h = 3, .dilation = s->rate});
    }
    return dt_relu(g, dt_add(g, y, shortcut(g, x, s, channels)));
}

dt_node dt_part_residual_layer(dt_graph *g, dt_node x, const dt_residual_layer *l)
{
    for (int i = 0; i < l->blocks; i++) {
        const bool first = i == 0;
        x = block(g, x, &(block_spec){
            .name = dt_part_name(g, "%s.%d", l->name, i), .width = l->width, .bottleneck = l->bottleneck,
            .stride = first ? l->stride : 1, .entry = first && l->rate > 1 ? l->rate / 2 : l->rate, .rate = l->rate,
        });
    }
    return x;
}

/* ---- ImageNet ResNets ------------------------------------------------------------------------------------------ */

static const int *blocks_of(int depth)
{
    static const int n18[] = {2, 2, 2, 2}, n50[] = {3, 4, 6, 3}, n101[] = {3, 4, 23, 3};
    switch (depth) {
    case 18: return n18;
    case 50: return n50;
    case 101: return n101;
    default: DT_BUG("no ResNet of %d layers", depth);
    }
}

static dt_node stem(dt_graph *g, dt_node x, const dt_dilated_resnet *r)
{
    static const size_t channels[] = {64, 64, 128};
    for (int i = 0; i < (r->three ? 3 : 1); i++) {
        x = dt_part_conv(g, x, channels[i], r->three ? 3 : 7, i == 0 ? 2 : 1, "%s.conv%d", r->prefix, i + 1);
        x = dt_relu(g, dt_part_norm(g, x, "%s.bn%d", r->prefix, i + 1));
    }
    return dt_max_pool(g, x, (dt_pool_spec){.kernel = 3, .stride = 2, .pad = 1});
}

dt_dilated_maps dt_part_dilated_resnet(dt_graph *g, dt_built *b, dt_node image, const dt_dilated_resnet *r)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3", "stage4"};
    static const size_t strides[] = {1, 2, 1, 1}, rates[] = {1, 1, 2, 4};
    const int *blocks = blocks_of(r->depth);
    dt_node x = stem(g, image, r), third = DT_NONE;
    for (int i = 0; i < 4; i++) {
        x = dt_part_residual_layer(g, x, &(dt_residual_layer){
            .name = dt_part_name(g, "%s.layer%d", r->prefix, i + 1), .blocks = blocks[i], .width = (size_t)64 << i,
            .stride = strides[i], .rate = rates[i], .bottleneck = r->depth > 18,
        });
        dt_part_tap(b, taps[i], x);
        if (i == 2) third = x;
    }
    return (dt_dilated_maps){third, x};
}
