/* ShuffleNet with 3 groups (Zhang, Zhou, Lin, Sun, CVPR 2018, arXiv:1707.01083) for 32x32 pictures, in the form that distillation
 * papers train on CIFAR-100: 1x1 convolutions in groups, and a shuffle of channels so that groups hear of each other.
 *
 *     conv1 1x1, bn1, ReLU
 *     layer1..3 of 4, 8, 4 units; out of 240, 480, 960 channels; the first of each halves the picture:
 *         conv1 1x1 in groups - bn1 - ReLU - shuffle - conv2 depthwise 3x3 - bn2 - ReLU - conv3 1x1 in groups - bn3
 *         ReLU(that + input), or where it halves: ReLU(that beside the average of 3x3 places of the input)
 *     global average, linear
 *
 * The averages divide by 9 also where they reach over the edge. The first unit's conv1, of 24 channels, has one group, whose
 * shuffle does nothing. All layers start as torch's do. */
#include "models/models_impl.h"

enum { GROUPS = 3, STEM = 24 };

static dt_node layer(dt_graph *g, dt_node x, const char *unit, int i, dt_conv_norm s)
{
    s.torch_start = true;
    return dt_part_conv_norm(g, x, &s, dt_part_name(g, "%s.conv%d", unit, i), dt_part_name(g, "%s.bn%d", unit, i));
}

static dt_node unit(dt_graph *g, dt_node x, const char *name, size_t channels, size_t stride)
{
    const size_t in = dt_shape_of(g, x).c, groups = in == STEM ? 1 : GROUPS;
    const size_t branch = stride == 2 ? channels - in : channels, middle = branch / 4;
    dt_node y = dt_relu(g, layer(g, x, name, 1, (dt_conv_norm){.channels = middle, .kernel = 1, .groups = groups}));
    y = dt_shuffle_channels(g, y, groups);
    y = dt_relu(g, layer(g, y, name, 2, (dt_conv_norm){.channels = middle, .kernel = 3, .stride = stride, .groups = middle}));
    y = layer(g, y, name, 3, (dt_conv_norm){.channels = branch, .kernel = 1, .groups = GROUPS});
    if (stride == 1) return dt_relu(g, dt_add(g, y, x));
    const dt_node both[2] = {y, dt_avg_pool(g, x, (dt_pool_spec){.kernel = 3, .stride = 2, .pad = 1, .count_pad = true})};
    return dt_relu(g, dt_concat(g, both, 2));
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3"};
    static const size_t units[] = {4, 8, 4};
    static const dt_conv_norm stem = {.channels = STEM, .kernel = 1, .torch_start = true};
    dt_built b = DT_BUILT;
    (void)m;

    dt_node x = dt_relu(g, dt_part_conv_norm(g, in->image, &stem, "conv1", "bn1"));
    for (size_t l = 0; l < DT_COUNT(units); l++) {
        for (size_t i = 0; i < units[l]; i++)
            x = unit(g, x, dt_part_name(g, "layer%zu.%zu", l + 1, i), (size_t)240 << l, i == 0 ? 2 : 1);
        dt_part_tap(&b, taps[l], x);
    }
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = "linear", .start = DT_LINEAR_TORCH});
    return b;
}

static const dt_model models[] = {
    {.name = "shufflenet_v1", .family = "shufflenet_v1", .help = "3 groups, 240-480-960 channels; a usual student", .depth = 50, .width = 1,
     .image = 32, .classes = 100, .build = build},
};

const dt_family dt_family_shufflenet_v1 = {models, DT_COUNT(models)};
