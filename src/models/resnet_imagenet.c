/* The residual networks made for ImageNet (He, Zhang, Ren, Sun, CVPR 2016, s. 4.1; wide: Zagoruyko, Komodakis, BMVC 2016), for its
 * 224x224 pictures, and two of them for 32x32.
 *
 *     224: conv1 7x7 stride 2, bn1, ReLU, max pooling 3x3 stride 2        32: conv1 3x3, bn1, ReLU
 *     layer1..4 (residual.c) of 64, 128, 256, 512 channels, times four with bottlenecks; layer2..4 halve the picture
 *     global average, fc (224) or linear (32)
 *
 * Names are torchvision's for 224 and those of distillation papers' code for 32, where a shortcut is called `shortcut`
 * instead of `downsample`. There the two sizes go by names that differ only in case, ResNet18 and resnet18: here the former is
 * resnet18_cifar. */
#include "models/models_impl.h"

typedef struct spec {
    size_t width_factor;  /* of a bottleneck's 3x3 convolution */
    bool bottleneck, small; /* small: for 32x32 pictures */
} spec;

static dt_node stem(dt_graph *g, dt_node image, bool small)
{
    if (!small) return dt_part_resnet_stem(g, image, "", false);
    return dt_relu(g, dt_part_norm(g, dt_part_conv(g, image, 64, 3, 1, "conv1"), "bn1"));
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const taps[] = {"stage1", "stage2", "stage3", "stage4"};
    const spec *s = m->data;
    const int *blocks = dt_part_resnet_blocks(m->depth);
    dt_built b = DT_BUILT;

    dt_node x = stem(g, in->image, s->small);
    for (int i = 0; i < 4; i++) {
        const size_t width = (size_t)64 << i;
        x = dt_part_residual_layer(g, x, &(dt_residual_layer){
            .name = dt_part_name(g, "layer%d", i + 1), .shortcut = s->small ? "shortcut" : "downsample", .blocks = blocks[i],
            .width = width, .inner = s->width_factor * width, .stride = i ? 2 : 1, .bottleneck = s->bottleneck,
        });
        dt_part_tap(&b, taps[i], x);
    }
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = s->small ? "linear" : "fc", .start = DT_LINEAR_TORCH});
    return b;
}

static const spec basic = {.width_factor = 1}, bottleneck = {.width_factor = 1, .bottleneck = true};
static const spec wide = {.width_factor = 2, .bottleneck = true};
static const spec basic_small = {.width_factor = 1, .small = true}, bottleneck_small = {.width_factor = 1, .bottleneck = true, .small = true};

#define SMALL(name_, depth_, spec_, help_)                                                                             \
    {.name = name_, .family = "resnet_imagenet", .help = help_, .depth = depth_, .width = 1, .image = 32, .classes = 100, .build = build, .data = &spec_}
/* Any size that five halvings leave something of; what they do not divide is rounded up, as in torchvision. */
#define LARGE(name_, depth_, width_, spec_, help_)                                                                     \
    {.name = name_, .family = "resnet_imagenet", .help = help_, .depth = depth_, .width = width_, .image = 224, .image_step = 1, .classes = 1000, .build = build, .data = &spec_}

static const dt_model models[] = {
    SMALL("resnet18_cifar", 18, basic_small, "ResNet-18 for 32x32 pictures, 64 to 512 channels"),
    SMALL("resnet50_cifar", 50, bottleneck_small, "ResNet-50 for 32x32 pictures, 256 to 2048 channels; a usual teacher"),
    LARGE("resnet18", 18, 1, basic, "ResNet-18 of ImageNet, torchvision's names; the usual student"),
    LARGE("resnet34", 34, 1, basic, "ResNet-34 of ImageNet, torchvision's names; the usual teacher"),
    LARGE("resnet50", 50, 1, bottleneck, "ResNet-50 of ImageNet, torchvision's names"),
    LARGE("resnet101", 101, 1, bottleneck, "ResNet-101 of ImageNet, torchvision's names"),
    LARGE("wide_resnet50_2", 50, 2, wide, "ResNet-50 with 3x3 convolutions of twice the channels, torchvision's names"),
};

const dt_family dt_family_resnet_imagenet = {models, DT_COUNT(models)};
