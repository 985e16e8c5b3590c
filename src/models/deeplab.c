/* DeepLabV3 (Chen, Papandreou, Schroff, Adam 2017, arXiv:1706.05587) on a dilated ResNet, in the two namings whose weight files
 * are public: deeplabv3_* is that of CIRKD (Yang et al., CVPR 2022; w512: the wider head of its second version), tv_deeplabv3_* is
 * torchvision's. They differ in the stem, in whether corners meet corners when the coarse map is enlarged, and in dropout.
 *
 *     backbone: residual.c                    head: pyramid at rates 12, 24, 36 - 1x1 - 3x3 - 1x1 (segment_heads.c)
 *     auxiliary head on the third layer's map
 *
 * A place stands for 8x8 pixels. Backbones start kaiming fan out, heads as PyTorch's layers do. */
#include "models/models_impl.h"

typedef struct deeplab_spec {
    dt_dilated_resnet backbone;
    dt_deeplab_head head;
    const char *aux;
    bool align;
} deeplab_spec;

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    const deeplab_spec *s = m->data;
    dt_built b = DT_BUILT;
    const dt_dilated_maps maps = dt_part_dilated_resnet(g, &b, in->image, &s->backbone);
    dt_part_deeplab_head(g, &b, maps.fourth, in, &s->head);
    b.aux = dt_part_aux_head(g, maps.third, in, s->aux);
    b.align = s->align;
    return b;
}

#define CIRKD(depth_, width_)                                                                                          \
    {.backbone = {.prefix = "pretrained.", .depth = depth_, .three = true}, .aux = "auxlayer.block", .align = true,     \
     .head = {.branch = "head.aspp.b", .rate = ".block", .pool = ".gap", .project = "head.aspp.project",               \
              .block = "head.block", .width = width_, .rates = {12, 24, 36}, .torch_start = true,                      \
              .last = {.name = "head.block.4", .dropout = 0.1, .torch_start = true}}}
#define TORCHVISION(depth_)                                                                                            \
    {.backbone = {.prefix = "backbone.", .depth = depth_}, .aux = "aux_classifier",                                     \
     .head = {.branch = "classifier.0.convs.", .rate = "", .pool = "", .project = "classifier.0.project",              \
              .block = "classifier", .first = 1, .width = 256, .rates = {12, 24, 36}, .torch_start = true,             \
              .last = {.name = "classifier.4", .torch_start = true}}}

static const deeplab_spec cirkd18 = CIRKD(18, 128), cirkd18_w512 = CIRKD(18, 512), cirkd101 = CIRKD(101, 256), cirkd101_w512 = CIRKD(101, 512);
static const deeplab_spec torchvision50 = TORCHVISION(50), torchvision101 = TORCHVISION(101);

#define DEEPLAB(name_, spec_, depth_, classes_, help_)                                                                 \
    {.name = name_, .family = "deeplab", .help = help_, .task = "segment", .depth = depth_, .image = 512,              \
     .image_width = 1024, .image_step = 1, .classes = classes_, .dropout = true, .build = build, .data = &spec_}

static const dt_model models[] = {
    DEEPLAB("deeplabv3_resnet18", cirkd18, 18, 19, "DeepLabV3 on ResNet-18, head of 128; CIRKD's student"),
    DEEPLAB("deeplabv3_resnet101", cirkd101, 101, 19, "DeepLabV3 on ResNet-101, head of 256; CIRKD's teacher"),
    DEEPLAB("deeplabv3_resnet18_w512", cirkd18_w512, 18, 19, "DeepLabV3 on ResNet-18, head of 512; CIRKDV2's student"),
    DEEPLAB("deeplabv3_resnet101_w512", cirkd101_w512, 101, 19, "DeepLabV3 on ResNet-101, head of 512; CIRKDV2's teacher"),
    DEEPLAB("tv_deeplabv3_resnet50", torchvision50, 50, 21, "DeepLabV3 on ResNet-50, torchvision's"),
    DEEPLAB("tv_deeplabv3_resnet101", torchvision101, 101, 21, "DeepLabV3 on ResNet-101, torchvision's"),
};

const dt_family dt_family_deeplab = {models, DT_COUNT(models)};
