/* Wide residual networks for 32x32 pictures (Zagoruyko, Komodakis, BMVC 2016): 6n+4 layers, pre-activation.
 *
 *     conv1 3x3
 *     block1..3, layer i: a = ReLU(bn1(x)), y = conv2(ReLU(bn2(conv1(a)))), out = y + x, or y + convShortcut(a)
 *     bn1, ReLU, global average, fc
 *
 * The stages have 16k, 32k, 64k channels; block2 and block3 halve the picture in their first layer. Where channels change, the
 * shortcut is a 1x1 convolution without a norm of the *activated* input a; elsewhere it is the raw input x. The order of
 * layers below is PyTorch's order in state_dict: bn1, conv1, bn2, conv2, convShortcut.
 *
 * Tap "stage3" is the output of block3 before the last norm; "features" is what enters pooling, after it. Public code
 * evaluates three norms a second time to offer more taps, which moves their running statistics twice a step; not here. */
#include "models/models_impl.h"

static dt_node layer(dt_graph *g, dt_node x, int stage, int i, size_t channels, size_t stride)
{
    dt_node a = dt_relu(g, dt_part_norm(g, x, "block%d.layer.%d.bn1", stage, i));
    dt_node y = dt_part_conv(g, a, channels, 3, stride, "block%d.layer.%d.conv1", stage, i);
    y = dt_relu(g, dt_part_norm(g, y, "block%d.layer.%d.bn2", stage, i));
    y = dt_part_conv(g, y, channels, 3, 1, "block%d.layer.%d.conv2", stage, i);
    if (dt_shape_of(g, x).c != channels) x = dt_part_conv(g, a, channels, 1, stride, "block%d.layer.%d.convShortcut", stage, i);
    return dt_add(g, y, x);
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3"};
    const int layers = (m->depth - 4) / 6;
    dt_built b = DT_BUILT;

    dt_node x = dt_part_conv(g, in->image, 16, 3, 1, "conv1");
    for (int stage = 1; stage <= 3; stage++) {
        const size_t channels = ((size_t)16 * (size_t)m->width) << (stage - 1);
        for (int i = 0; i < layers; i++) x = layer(g, x, stage, i, channels, stage > 1 && i == 0 ? 2 : 1);
        dt_part_tap(&b, taps[stage - 1], x);
    }
    x = dt_relu(g, dt_part_norm(g, x, "bn1"));
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = "fc", .start = DT_LINEAR_ZERO_BIAS});
    return b;
}

#define WRN(name_, depth_, width_, help_)                                                                              \
    {.name = name_, .family = "wrn", .help = help_, .depth = depth_, .width = width_, .image = 32, .classes = 100, .build = build}

static const dt_model models[] = {
    WRN("wrn_16_1", 16, 1, "2 layers a stage, 16-32-64 channels"),
    WRN("wrn_16_2", 16, 2, "2 layers a stage, 32-64-128 channels; the usual student"),
    WRN("wrn_40_1", 40, 1, "6 layers a stage, 16-32-64 channels"),
    WRN("wrn_40_2", 40, 2, "6 layers a stage, 32-64-128 channels; the usual teacher"),
};

const dt_family dt_family_wrn = {models, DT_COUNT(models)};
