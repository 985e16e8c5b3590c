/* What the files of src/models share and nobody else sees. */
#ifndef DT_MODELS_IMPL_H
#define DT_MODELS_IMPL_H

#include "models/models.h"

/* All networks of one family: a table in the family's file, a name in registry.c. */
typedef struct dt_family {
    const dt_model *models;
    size_t n;
} dt_family;

/* ---- registry.c ------------------------------------------------------------------------------------------------- */

/* One picture of the model's own size, as inputs of a graph. classes 0: the model's own. */
dt_model_inputs dt_model_own_inputs(const dt_model *m, size_t classes, dt_graph *g);

/* ---- parts.c: what families are made of ---------------------------------------------------------------------- */

/* A layer's name, formatted ("layer%d.%d.conv1"); it lives as long as the graph. */
const char *dt_part_name(dt_graph *g, const char *format, ...) DT_PRINTF(2, 3);

/* Square convolution without bias, padded so that stride 1 keeps the size. The name is a format. */
dt_node dt_part_conv(dt_graph *g, dt_node x, size_t out_channels, size_t kernel, size_t stride, const char *format, ...) DT_PRINTF(6, 7);
dt_node dt_part_norm(dt_graph *g, dt_node x, const char *format, ...) DT_PRINTF(3, 4);

/* Square convolution without bias, padded so that stride 1 keeps the size, and its norm. */
typedef struct dt_conv_norm {
    size_t channels, kernel;
    size_t rate, stride, groups; /* rate: the distance between taps. 0: 1 */
    bool torch_start;            /* dt_part_start_torch; else kaiming fan out */
} dt_conv_norm;
dt_node dt_part_conv_norm(dt_graph *g, dt_node x, const dt_conv_norm *s, const char *conv, const char *norm);
/* With a ReLU, named as in a torch.nn.Sequential: name.first and name.(first + 1). */
dt_node dt_part_conv_norm_relu(dt_graph *g, dt_node x, const dt_conv_norm *s, const char *name, int first);

/* How the weight (and bias) of a convolution or linear layer starts, where it is not as graph.h's layers do.
 * torch: uniform, 1/sqrt(fan in) to either side, the bias too. xavier: uniform, sqrt(6 / (fan in + fan out)) times gain. */
void dt_part_start_torch(dt_graph *g, const char *layer);
void dt_part_start_xavier(dt_graph *g, const char *layer, double gain);

/* Dropout number `which` of this network: no two networks of a graph and no two numbers drop the same elements.
 * A missing key: x itself. */
dt_node dt_part_dropout(dt_graph *g, dt_node x, dt_node key, double p, unsigned which);

void dt_part_tap(dt_built *b, const char *name, dt_node map);
/* Everything behind the last map: the tap "features", global average pooling, dropout, a linear layer. */
typedef struct dt_classifier {
    const char *name;      /* "fc" */
    dt_linear_init start;
    double dropout;        /* of the pooled vector, in training; 0: none */
} dt_classifier;
void dt_part_classifier(dt_graph *g, dt_built *b, dt_node features, const dt_model_inputs *in, const dt_classifier *c);

/* ---- residual.c: residual layers whose convolutions may be dilated, and the backbones made of them ---------------- */

typedef struct dt_residual_layer {
    const char *name;    /* "layer1": block i is layer1.i */
    const char *shortcut; /* what its convolution and norm are called; NULL: "downsample" */
    int blocks;
    size_t width;        /* channels; where there is a bottleneck, four times as many are put out */
    size_t inner;        /* channels of a bottleneck's 3x3 convolution; 0: `width` */
    size_t stride, rate; /* stride: of the first block; rate: of 3x3 convolutions, but half as much in the one that has the stride; 0: 1 */
    bool bottleneck;
} dt_residual_layer;
dt_node dt_part_residual_layer(dt_graph *g, dt_node x, const dt_residual_layer *l);

/* Blocks of the four layers of a ResNet of 18, 34, 50 or 101 layers. */
const int *dt_part_resnet_blocks(int depth);
/* 7x7 convolution of stride 2, 64 channels, norm, ReLU, max pooling; or, for `three`, three 3x3 convolutions of 64, 64, 128
 * channels in the place of the one. prefix: "backbone." or "". */
dt_node dt_part_resnet_stem(dt_graph *g, dt_node x, const char *prefix, bool three);

typedef struct dt_dilated_resnet {
    const char *prefix; /* "backbone." */
    int depth;          /* 18, 50, 101 */
    bool three;         /* the stem: three 3x3 convolutions of 64, 64, 128 channels; else one of 7x7, 64 channels */
} dt_dilated_resnet;
typedef struct dt_dilated_maps {
    dt_node third, fourth; /* what the last two layers put out */
} dt_dilated_maps;
/* Output stride 8. Adds the taps stage1..stage4. */
dt_dilated_maps dt_part_dilated_resnet(dt_graph *g, dt_built *b, dt_node image, const dt_dilated_resnet *r);

/* ---- segment_heads.c: from a backbone's maps to classes of places ---------------------------------------------- */

/* Which dropout is which (dt_part_dropout) in a network of places. */
enum { DT_DROP_PROJECT, DT_DROP_LAST, DT_DROP_AUX };

typedef struct dt_last_layer {
    const char *name;
    double dropout;    /* before it */
    bool torch_start;  /* else N(0, 0.01) and a bias of 0, so that all classes start as likely */
} dt_last_layer;
/* The tap "features" and the 1x1 convolution that reads it. */
void dt_part_last_layer(dt_graph *g, dt_built *b, dt_node features, const dt_model_inputs *in, const dt_last_layer *l);

/* An atrous pyramid (1x1, 3x3 at each rate, global average), brought together by a 1x1, a 3x3, and the last layer.
 * Names: branch i is branch<i>, then point, rate or pool; see deeplab.c for the two that there are. */
typedef struct dt_deeplab_head {
    const char *branch, *rate, *pool; /* "head.aspp.b", ".block", ".gap" */
    const char *project, *block;      /* "head.aspp.project", "head.block" */
    int first;                        /* the 3x3 convolution is block.first */
    size_t width, rates[3];           /* a rate of 0: no such branch */
    bool torch_start;
    dt_last_layer last;
} dt_deeplab_head;
void dt_part_deeplab_head(dt_graph *g, dt_built *b, dt_node x, const dt_model_inputs *in, const dt_deeplab_head *h);

/* The auxiliary head: 3x3 to a quarter of the channels, dropout, 1x1. Returns its logits. */
dt_node dt_part_aux_head(dt_graph *g, dt_node x, const dt_model_inputs *in, const char *name);

#endif
