/* VGG with batch norm for 32x32 pictures (Simonyan, Zisserman, ICLR 2015), in the form that distillation papers train on CIFAR-100.
 *
 *     block0..4: n times (convolution 3x3 with bias, norm, ReLU); after block0, 1, 2 max pooling 2x2
 *     global average, classifier
 *
 * Widths 64, 128, 256, 512, 512. The last two blocks both see 4x4 places: a fourth pooling acts on 64x64 pictures only, which
 * are not taken here. Inside a block the layers count 0, 1, (2 is the ReLU), 3, 4, ...
 *
 * The convolutions' biases do nothing in training, since the norm behind them takes the mean away; they matter where weight
 * files come from, as running means contain them. Their gradient is computed like any other's and comes out as rounding
 * (1e-8 of the weights'), so that a bias of 0 stays within that of 0, as in PyTorch. */
#include "models/models_impl.h"

enum { BLOCKS = 5, POOLED_BLOCKS = 3 };

static dt_node block(dt_graph *g, dt_node x, int which, int layers, size_t channels)
{
    for (int i = 0; i < layers; i++) {
        x = dt_conv(g, x, dt_part_name(g, "block%d.%d", which, 3 * i), (dt_conv_spec){
            .out_channels = channels, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1, .bias = true,
        });
        x = dt_relu(g, dt_part_norm(g, x, "block%d.%d", which, 3 * i + 1));
    }
    return x;
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    static const char *const taps[BLOCKS] = {NULL, "stage1", "stage2", "stage3", "stage4"};
    static const size_t channels[BLOCKS] = {64, 128, 256, 512, 512};
    const int *layers = m->data;
    dt_built b = DT_BUILT;

    dt_node x = in->image;
    for (int i = 0; i < BLOCKS; i++) {
        x = block(g, x, i, layers[i], channels[i]);
        if (taps[i]) dt_part_tap(&b, taps[i], x);
        if (i < POOLED_BLOCKS) x = dt_max_pool(g, x, (dt_pool_spec){.kernel = 2, .stride = 2});
    }
    dt_part_classifier(g, &b, x, in, &(dt_classifier){.name = "classifier", .start = DT_LINEAR_NORMAL});
    return b;
}

static const int vgg8[BLOCKS] = {1, 1, 1, 1, 1}, vgg11[BLOCKS] = {1, 1, 2, 2, 2}, vgg13[BLOCKS] = {2, 2, 2, 2, 2};
static const int vgg16[BLOCKS] = {2, 2, 3, 3, 3}, vgg19[BLOCKS] = {2, 2, 4, 4, 4};

#define VGG(depth_, help_)                                                                                             \
    {.name = "vgg" #depth_, .family = "vgg", .help = help_, .depth = depth_, .width = 1, .image = 32, .classes = 100,  \
     .build = build, .data = vgg##depth_}

static const dt_model models[] = {
    VGG(8, "1 convolution a block, 64 to 512 channels; the usual student"),
    VGG(11, "1 or 2 convolutions a block"),
    VGG(13, "2 convolutions a block; the usual teacher"),
    VGG(16, "2 or 3 convolutions a block"),
    VGG(19, "2 or 4 convolutions a block"),
};

const dt_family dt_family_vgg = {models, DT_COUNT(models)};
