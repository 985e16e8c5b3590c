/* ShuffleNet V2 of size 1 (Ma, Zhang, Zheng, Sun, ECCV 2018, arXiv:1807.11164) for 32x32 pictures, in the form that distillation
 * papers train on CIFAR-100: one half of the channels is left alone, the other goes through three convolutions, then a shuffle
 * mixes them.
 *
 *     conv1 1x1, bn1, ReLU
 *     layer1..3 of 4, 8, 4 units; out of 116, 232, 464 channels; the first of each halves the picture:
 *         other units: second half: conv1 1x1 - bn1 - ReLU - conv2 depthwise 3x3 - bn2 - conv3 1x1 - bn3 - ReLU
 *         first unit: of the whole input, beside each other
 *             conv1 depthwise 3x3 - bn1 - conv2 1x1 - bn2 - ReLU
 *             conv3 1x1 - bn3 - ReLU - conv4 depthwise 3x3 - bn4 - conv5 1x1 - bn5 - ReLU
 *         both: shuffle of the two halves
 *     conv2 1x1 to 1024 channels, bn2, ReLU
 *     global average, linear
 *
 * No activation follows a depthwise convolution. All layers start as torch's do. */
#include "models/models_impl.h"

static dt_node layer(dt_graph *g, dt_node x, const char *unit, int i, dt_conv_norm s)
{
    s.torch_start = true;
    return dt_part_conv_norm(g, x, &s, dt_part_name(g, "%s.conv%d", unit, i), dt_part_name(g, "%s.bn%d", unit, i));
}

/* Across channels, with ReLU; inside each channel, without. */
static dt_node across(dt_graph *g, dt_node x, const char *unit, int i, size_t channels)
{
    return dt_relu(g, layer(g, x, unit, i, (dt_conv_norm){.channels = channels, .kernel = 1}));
}
static dt_node inside(dt_graph *g, dt_node x, const char *unit, int i, size_t stride)
{
    const size_t channels = dt_shape_of(g, x).c;
    return layer(g, x, unit, i, (dt_conv_norm){.channels = channels, .kernel = 3, .stride = stride, .groups = channels});
}

static dt_node first_unit(dt_graph *g, dt_node x, const char *name, size_t channels)
{
    const size_t half = channels / 2;
    dt_node left = across(g, inside(g, x, name, 1, 2), name, 2, half);
    dt_node right = across(g, inside(g, across(g, x, name, 3, half), name, 4, 2), name, 5, half);
    return dt_shuffle_channels(g, dt_concat(g, (const dt_node[]){left, right}, 2), 2);
}

static dt_node other_unit(dt_graph *g, dt_node x, const char *name, size_t channels)
{
    const size_t half = channels / 2;
    const dt_node first = dt_slice(g, x, 0, half), second = dt_slice(g, x, half, half);
    const dt_node y = across(g, inside(g, across(g, second, name, 1, half), name, 2, 1), name, 3, half);
    return dt_shuffle_channels(g, dt_concat(g, (const dt_node[]){first, y}, 2), 2);
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3"};
    static const size_t units[] = {4, 8, 4};
    static const dt_conv_norm stem = {.channels = 24, .kernel = 1, .torch_start = true}, tail = {.channels = 1024, .kernel = 1, .torch_start = true};
    dt_built b = DT_BUILT;
    (void)m;

    dt_node x = dt_relu(g, dt_part_conv_norm(g, in->image, &stem, "conv1", "bn1"));
    for (size_t l = 0; l < DT_COUNT(units); l++) {
        const size_t channels = (size_t)116 << l;
        for (size_t i = 0; i < units[l]; i++) {
            const char *name = dt_part_name(g, "layer%zu.%zu", l + 1, i);
            x = i == 0 ? first_unit(g, x, name, channels) : other_unit(g, x, name, channels);
        }
        dt_part_tap(&b, taps[l], x);
    }
    x = dt_relu(g, dt_part_conv_norm(g, x, &tail, "conv2", "bn2"));
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = "linear", .start = DT_LINEAR_TORCH});
    return b;
}

static const dt_model models[] = {
    {.name = "shufflenet_v2", .family = "shufflenet_v2", .help = "half the channels at a time, 116-232-464, then 1024; a usual student", .depth = 56,
     .width = 1, .image = 32, .classes = 100, .build = build},
};

const dt_family dt_family_shufflenet_v2 = {models, DT_COUNT(models)};
