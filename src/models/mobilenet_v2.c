/* MobileNetV2 (Sandler et al., CVPR 2018, arXiv:1801.04381): blocks that widen, filter each channel on its own, and narrow again
 * without an activation; what is added to and what is tapped is the narrow, signed map.
 *
 *     stem          3x3 stride 2, norm, activation
 *     17 blocks     1x1 to t times the channels, norm, activation; depthwise 3x3, norm, activation; 1x1, norm; (+ input)
 *     tail          1x1 to 1280 channels, norm, activation
 *     global average, (dropout), linear
 *
 * mobilenet_v2 is torchvision's, for 224x224 pictures. mobilenet_half is the one of distillation papers' code for 32x32, there
 * called MobileNetV2 or mobile_half: half the channels (12 stays 12, though it is no multiple of 8), ReLU in the place of
 * ReLU6, no dropout, an expansion of 16 to 16 channels in the block that does not widen, and the third group keeps its size. */
#include "models/models_impl.h"

typedef struct group {
    size_t expand, channels, blocks, stride; /* stride: of its first block */
    const char *tap;                         /* of its last block */
} group;

typedef struct spec {
    bool half;
    size_t stem;
    group groups[7];
    dt_classifier head;
} spec;

static dt_node activation(dt_graph *g, const spec *s, dt_node x)
{
    return s->half ? dt_relu(g, x) : dt_relu6(g, x);
}

/* Layer i of a block: conv.0, conv.1 and so on with the activation between counted (half), or conv.0.0, conv.0.1 with the last
 * one's two not put together (torchvision). */
static dt_node layer(dt_graph *g, dt_node x, const spec *s, const char *block, int i, bool last, dt_conv_norm c)
{
    if (s->half) return dt_part_conv_norm(g, x, &c, dt_part_name(g, "%s.conv.%d", block, 3 * i), dt_part_name(g, "%s.conv.%d", block, 3 * i + 1));
    if (last) return dt_part_conv_norm(g, x, &c, dt_part_name(g, "%s.conv.%d", block, i), dt_part_name(g, "%s.conv.%d", block, i + 1));
    return dt_part_conv_norm(g, x, &c, dt_part_name(g, "%s.conv.%d.0", block, i), dt_part_name(g, "%s.conv.%d.1", block, i));
}

static dt_node block(dt_graph *g, dt_node x, const spec *s, const char *name, const group *k, size_t stride)
{
    const size_t in = dt_shape_of(g, x).c, wide = k->expand * in;
    dt_node y = x;
    int i = 0;
    if (s->half || k->expand > 1) y = activation(g, s, layer(g, y, s, name, i++, false, (dt_conv_norm){.channels = wide, .kernel = 1}));
    y = activation(g, s, layer(g, y, s, name, i++, false, (dt_conv_norm){.channels = wide, .kernel = 3, .stride = stride, .groups = wide}));
    y = layer(g, y, s, name, i, true, (dt_conv_norm){.channels = k->channels, .kernel = 1});
    return stride == 1 && in == k->channels ? dt_add(g, y, x) : y;
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    const spec *s = m->data;
    const dt_conv_norm stem = {.channels = s->stem, .kernel = 3, .stride = 2}, tail = {.channels = 1280, .kernel = 1};
    dt_built b = DT_BUILT;

    const char *first = s->half ? "conv1" : "features.0", *last = s->half ? "conv2" : "features.18";
    dt_node x = dt_part_conv_norm(g, in->image, &stem, dt_part_name(g, "%s.0", first), dt_part_name(g, "%s.1", first));
    x = activation(g, s, x);
    size_t n = 0; /* blocks so far */
    for (size_t k = 0; k < DT_COUNT(s->groups); k++) {
        const group *of = &s->groups[k];
        for (size_t i = 0; i < of->blocks; i++) {
            const char *name = s->half ? dt_part_name(g, "blocks.%zu.%zu", k, i) : dt_part_name(g, "features.%zu", ++n);
            x = block(g, x, s, name, of, i == 0 ? of->stride : 1);
        }
        if (of->tap) dt_part_tap(&b, of->tap, x);
    }
    x = dt_part_conv_norm(g, x, &tail, dt_part_name(g, "%s.0", last), dt_part_name(g, "%s.1", last));
    dt_part_classifier(g, &b, activation(g, s, x), in, &s->head);
    return b;
}

static const spec half = {
    .half = true,
    .stem = 16,
    .groups = {{1, 8, 1, 1, NULL}, {6, 12, 2, 1, "stage1"}, {6, 16, 3, 2, "stage2"}, {6, 32, 4, 2, NULL}, {6, 48, 3, 1, "stage3"},
               {6, 80, 3, 2, NULL}, {6, 160, 1, 1, "stage4"}},
    .head = {.name = "classifier.0", .start = DT_LINEAR_NORMAL},
};
static const spec whole = {
    .stem = 32,
    .groups = {{1, 16, 1, 1, NULL}, {6, 24, 2, 2, "stage1"}, {6, 32, 3, 2, "stage2"}, {6, 64, 4, 2, NULL}, {6, 96, 3, 1, "stage3"},
               {6, 160, 3, 2, NULL}, {6, 320, 1, 1, "stage4"}},
    .head = {.name = "classifier.1", .start = DT_LINEAR_NORMAL, .dropout = 0.2},
};

static const dt_model models[] = {
    {.name = "mobilenet_half", .family = "mobilenet_v2", .help = "MobileNetV2 of half the channels for 32x32 pictures; a usual student", .depth = 53,
     .width = 1, .image = 32, .classes = 100, .build = build, .data = &half},
    {.name = "mobilenet_v2", .family = "mobilenet_v2", .help = "MobileNetV2 of ImageNet, torchvision's names", .depth = 53, .width = 1, .image = 224,
     .image_step = 1, .classes = 1000, .dropout = true, .build = build, .data = &whole},
};

const dt_family dt_family_mobilenet_v2 = {models, DT_COUNT(models)};
