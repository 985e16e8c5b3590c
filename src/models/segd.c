/* Small segmentation networks, ours: a CIFAR ResNet of n = (depth - 2) / 6 blocks a layer whose stem steps and whose third layer
 * dilates instead of stepping, and a DeepLab head with two rates. For pictures of about 64x64 on a processor; a place of the
 * coarse map stands for 4x4 pixels.
 *
 *     conv1 3x3 stride 2, bn1, ReLU
 *     layer1, layer2 (stride 2), layer3 (rate 2): blocks of residual.c
 *     head: 1x1 | 3x3 at rate 2 | 3x3 at rate 4 | global average; 1x1; 3x3; 1x1
 *
 * Channels are 16 16 32 64 and 32 in the head, or twice as many (x2): a pair of both has features of different width. The last
 * layer starts so small that the first cross-entropy is that of a guess. */
#include "models/models_impl.h"

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const layers[] = {"layer1", "layer2", "layer3"}, *const taps[] = {"stage1", "stage2", "stage3"};
    static const size_t strides[] = {1, 2, 1}, rates[] = {1, 1, 2};
    const size_t width = (size_t)m->width;
    dt_built b = DT_BUILT;

    dt_node x = dt_part_conv(g, in->image, 16 * width, 3, 2, "conv1");
    x = dt_relu(g, dt_part_norm(g, x, "bn1"));
    for (int i = 0; i < 3; i++) {
        x = dt_part_residual_layer(g, x, &(dt_residual_layer){
            .name = layers[i], .blocks = (m->depth - 2) / 6, .width = 16 * width << i, .stride = strides[i], .rate = rates[i],
        });
        dt_part_tap(&b, taps[i], x);
    }
    dt_part_deeplab_head(g, &b, x, in, &(dt_deeplab_head){
        .branch = "head.aspp.b", .rate = ".block", .pool = ".gap", .project = "head.aspp.project", .block = "head.block",
        .width = 32 * width, .rates = {2, 4}, .last = {.name = "head.block.4", .dropout = 0.1},
    });
    return b;
}

#define SEG(name_, depth_, width_, help_)                                                                              \
    {.name = name_, .family = "seg", .help = help_, .task = "segment", .depth = depth_, .width = width_, .image = 64,  \
     .image_step = 1, .classes = 11, .dropout = true, .build = build}

static const dt_model models[] = {
    SEG("seg8", 8, 1, "1 block a layer, 16-32-64 channels; the smallest student"),
    SEG("seg14", 14, 1, "2 blocks a layer, 16-32-64 channels"),
    SEG("seg20", 20, 1, "3 blocks a layer, 16-32-64 channels; the usual teacher of seg8"),
    SEG("seg56", 56, 1, "9 blocks a layer, 16-32-64 channels"),
    SEG("seg8x2", 8, 2, "seg8 with twice the channels, 32-64-128"),
    SEG("seg20x2", 20, 2, "seg20 with twice the channels, 32-64-128"),
};

const dt_family dt_family_segd = {models, DT_COUNT(models)};
