/* Residual layers (He, Zhang, Ren, Sun, CVPR 2016), plain or dilated, and the ImageNet ResNets that segmentation networks are
 * built on: their last two layers dilate where the classifier would step (Yu, Koltun, Funkhouser, CVPR 2017), so that a place
 * of the last map still stands for 8x8 pixels.
 *
 *     basic block:  conv1 3x3 - bn1 - ReLU - conv2 3x3 - bn2 - (+ shortcut) - ReLU
 *     bottleneck:   conv1 1x1 - bn1 - ReLU - conv2 3x3 - bn2 - ReLU - conv3 1x1 - bn3 - (+ shortcut) - ReLU
 *
 * Where stride or channels change, the shortcut is a 1x1 convolution with a norm, elsewhere the block's input itself. A
 * bottleneck has its stride in the 3x3 convolution. The order of layers is PyTorch's order in state_dict.
 *
 * A layer of rate r that took the place of a step has half of it, r/2, in the 3x3 convolution where the step was (basic: conv1
 * of its first block, bottleneck: conv2) and r in all others: the field of view is that of the network that steps. */
#include "models/models_impl.h"

typedef struct block_spec {
    const char *name, *shortcut; /* "layer2.0", "downsample" */
    size_t width, inner, stride, entry, rate;
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
    x = dt_part_conv(g, x, channels, 1, s->stride, "%s.%s.0", s->name, s->shortcut);
    return dt_part_norm(g, x, "%s.%s.1", s->name, s->shortcut);
}

static dt_node block(dt_graph *g, dt_node x, const block_spec *s)
{
    dt_node y;
    size_t channels = s->width;
    const dt_conv_spec strided = {.out_channels = s->bottleneck ? s->inner : s->width, .kernel_h = 3, .stride = s->stride, .dilation = s->entry};
    if (s->bottleneck) {
        channels *= 4;
        y = dt_relu(g, step(g, x, s->name, 1, (dt_conv_spec){.out_channels = s->inner, .kernel_h = 1}));
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
    const size_t rate = l->rate ? l->rate : 1;
    for (int i = 0; i < l->blocks; i++) {
        const bool first = i == 0;
        x = block(g, x, &(block_spec){
            .name = dt_part_name(g, "%s.%d", l->name, i), .shortcut = l->shortcut ? l->shortcut : "downsample",
            .width = l->width, .inner = l->inner ? l->inner : l->width, .bottleneck = l->bottleneck,
            .stride = first ? l->stride : 1, .entry = first && rate > 1 ? rate / 2 : rate, .rate = rate,
        });
    }
    return x;
}

/* ---- ImageNet ResNets ------------------------------------------------------------------------------------------ */

const int *dt_part_resnet_blocks(int depth)
{
    static const int n18[] = {2, 2, 2, 2}, n34[] = {3, 4, 6, 3}, n101[] = {3, 4, 23, 3};
    switch (depth) {
    case 18: return n18;
    case 34:
    case 50: return n34;
    case 101: return n101;
    default: DT_BUG("no ResNet of %d layers", depth);
    }
}

dt_node dt_part_resnet_stem(dt_graph *g, dt_node x, const char *prefix, bool three)
{
    static const size_t channels[] = {64, 64, 128};
    for (int i = 0; i < (three ? 3 : 1); i++) {
        x = dt_part_conv(g, x, channels[i], three ? 3 : 7, i == 0 ? 2 : 1, "%sconv%d", prefix, i + 1);
        x = dt_relu(g, dt_part_norm(g, x, "%sbn%d", prefix, i + 1));
    }
    return dt_max_pool(g, x, (dt_pool_spec){.kernel = 3, .stride = 2, .pad = 1});
}

dt_dilated_maps dt_part_dilated_resnet(dt_graph *g, dt_built *b, dt_node image, const dt_dilated_resnet *r)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3", "stage4"};
    static const size_t strides[] = {1, 2, 1, 1}, rates[] = {1, 1, 2, 4};
    const int *blocks = dt_part_resnet_blocks(r->depth);
    dt_node x = dt_part_resnet_stem(g, image, r->prefix, r->three), third = DT_NONE;
    for (int i = 0; i < 4; i++) {
        x = dt_part_residual_layer(g, x, &(dt_residual_layer){
            .name = dt_part_name(g, "%slayer%d", r->prefix, i + 1), .blocks = blocks[i], .width = (size_t)64 << i,
            .stride = strides[i], .rate = rates[i], .bottleneck = r->depth > 18,
        });
        dt_part_tap(b, taps[i], x);
        if (i == 2) third = x;
    }
    return (dt_dilated_maps){third, x};
}
