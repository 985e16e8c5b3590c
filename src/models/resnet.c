/* Residual networks for 32x32 pictures (He, Zhang, Ren, Sun, CVPR 2016, s. 4.2): 6n+2 layers in three stages of n blocks.
 *
 *     conv1 3x3, bn1, ReLU
 *     layer1..3: n basic blocks (residual.c)
 *     global average, fc
 *
 * The stages have 16w, 32w, 64w channels, w = 1 or 4; layer2 and layer3 halve the picture in their first block. The stem has 16
 * channels, or 32 in the x4 networks. The order of layers below is PyTorch's order in state_dict. */
#include "models/models_impl.h"

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3"};
    const int blocks = (m->depth - 2) / 6;
    const size_t width = (size_t)m->width;
    dt_built b = DT_BUILT;

    dt_node x = dt_part_conv(g, in->image, width == 1 ? 16 : 32, 3, 1, "conv1");
    x = dt_relu(g, dt_part_norm(g, x, "bn1"));
    for (int stage = 1; stage <= 3; stage++) {
        const size_t channels = ((size_t)16 * width) << (stage - 1);
        x = dt_part_residual_layer(g, x, &(dt_residual_layer){
            .name = dt_part_name(g, "layer%d", stage), .blocks = blocks, .width = channels, .stride = stage > 1 ? 2 : 1,
        });
        dt_part_tap(&b, taps[stage - 1], x);
    }
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = "fc", .start = DT_LINEAR_TORCH});
    return b;
}

#define RESNET(name_, depth_, width_, help_)                                                                           \
    {.name = name_, .family = "resnet", .help = help_, .depth = depth_, .width = width_, .image = 32, .classes = 100, .build = build}

static const dt_model models[] = {
    RESNET("resnet8", 8, 1, "1 block a stage, 16-32-64 channels; the smallest student"),
    RESNET("resnet14", 14, 1, "2 blocks a stage, 16-32-64 channels"),
    RESNET("resnet20", 20, 1, "3 blocks a stage, 16-32-64 channels; the usual student"),
    RESNET("resnet32", 32, 1, "5 blocks a stage, 16-32-64 channels"),
    RESNET("resnet44", 44, 1, "7 blocks a stage, 16-32-64 channels"),
    RESNET("resnet56", 56, 1, "9 blocks a stage, 16-32-64 channels; the usual teacher"),
    RESNET("resnet110", 110, 1, "18 blocks a stage, 16-32-64 channels"),
    RESNET("resnet8x4", 8, 4, "resnet8 with four times the channels, 64-128-256"),
    RESNET("resnet32x4", 32, 4, "resnet32 with four times the channels, 64-128-256"),
};

const dt_family dt_family_resnet = {models, DT_COUNT(models)};
