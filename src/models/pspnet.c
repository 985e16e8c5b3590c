/* PSPNet (Zhao, Shi, Qi, Wang, Jia, CVPR 2017) on a dilated ResNet-18, with CIRKD's names: the last map beside its averages over
 * grids of 1, 2, 3 and 6 cells a side, each brought to a quarter of the channels and enlarged again.
 *
 *     backbone: residual.c     head: psp.conv1..4 1x1, joined - block 3x3 - classifier 1x1
 *     auxiliary head on the third layer's map */
#include "models/models_impl.h"

static dt_node pyramid(dt_graph *g, dt_node x)
{
    static const size_t cells[] = {1, 2, 3, 6};
    const dt_shape s = dt_shape_of(g, x);
    const dt_conv_norm quarter = {.channels = s.c / 4, .kernel = 1, .torch_start = true};
    dt_node maps[1 + DT_COUNT(cells)] = {x};
    for (size_t i = 0; i < DT_COUNT(cells); i++) {
        const dt_node pooled = dt_adaptive_avg_pool(g, x, cells[i], cells[i]);
        const dt_node narrow = dt_part_conv_norm_relu(g, pooled, &quarter, dt_part_name(g, "head.psp.conv%d", (int)i + 1), 0);
        maps[i + 1] = dt_resize(g, narrow, s.h, s.w, true);
    }
    return dt_concat(g, maps, DT_COUNT(maps));
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    const dt_conv_norm together = {.channels = 128, .kernel = 3, .torch_start = true};
    const dt_last_layer last = {.name = "head.classifier", .dropout = 0.1, .torch_start = true};
    const dt_dilated_resnet backbone = {.prefix = "pretrained.", .depth = m->depth, .three = true};
    dt_built b = DT_BUILT;
    const dt_dilated_maps maps = dt_part_dilated_resnet(g, &b, in->image, &backbone);
    dt_part_last_layer(g, &b, dt_part_conv_norm_relu(g, pyramid(g, maps.fourth), &together, "head.block", 0), in, &last);
    b.aux = dt_part_aux_head(g, maps.third, in, "auxlayer.block");
    b.align = true;
    return b;
}

static const dt_model models[] = {
    {.name = "pspnet_resnet18", .family = "pspnet", .help = "PSPNet on ResNet-18; CIRKD's other student", .task = "segment", .depth = 18,
     .image = 512, .image_width = 1024, .image_step = 1, .classes = 19, .dropout = true, .build = build},
};

const dt_family dt_family_pspnet = {models, DT_COUNT(models)};
