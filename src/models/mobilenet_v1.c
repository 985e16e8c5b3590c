/* MobileNet (Howard et al. 2017, arXiv:1704.04861) for ImageNet's 224x224 pictures: convolutions taken apart into one of 3x3
 * inside each channel and one of 1x1 across channels.
 *
 *     model.0       3x3 stride 2, norm, ReLU
 *     model.1..13   depthwise 3x3, norm, ReLU, 1x1, norm, ReLU
 *     global average, fc
 *
 * Names are those of distillation papers' code: the layers of a unit count 0, 1, (2 is the ReLU), 3, 4. */
#include "models/models_impl.h"

static const struct {
    size_t channels, stride;
    const char *tap;
} units[] = {
    {64, 1, NULL},  {128, 2, NULL}, {128, 1, "stage1"}, {256, 2, NULL}, {256, 1, "stage2"}, {512, 2, NULL}, {512, 1, NULL},
    {512, 1, NULL}, {512, 1, NULL}, {512, 1, NULL},     {512, 1, "stage3"}, {1024, 2, NULL}, {1024, 1, "stage4"},
};

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const dt_conv_norm stem = {.channels = 32, .kernel = 3, .stride = 2, .torch_start = true};
    dt_built b = DT_BUILT;
    (void)m;

    dt_node x = dt_part_conv_norm_relu(g, in->image, &stem, "model.0", 0);
    for (size_t i = 0; i < DT_COUNT(units); i++) {
        const char *unit = dt_part_name(g, "model.%zu", i + 1);
        const size_t channels = dt_shape_of(g, x).c;
        const dt_conv_norm inside = {.channels = channels, .kernel = 3, .stride = units[i].stride, .groups = channels, .torch_start = true};
        const dt_conv_norm across = {.channels = units[i].channels, .kernel = 1, .torch_start = true};
        x = dt_part_conv_norm_relu(g, x, &inside, unit, 0);
        x = dt_part_conv_norm_relu(g, x, &across, unit, 3);
        if (units[i].tap) dt_part_tap(&b, units[i].tap, x);
    }
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = "fc", .start = DT_LINEAR_TORCH});
    return b;
}

static const dt_model models[] = {
    {.name = "mobilenet_v1", .family = "mobilenet_v1", .help = "MobileNet of ImageNet, 64 to 1024 channels", .depth = 28, .width = 1, .image = 224,
     .image_step = 1, .classes = 1000, .build = build},
};

const dt_family dt_family_mobilenet_v1 = {models, DT_COUNT(models)};
