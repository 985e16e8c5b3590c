/* UNets that see the noise in a picture: those of denoising diffusion (Ho, Jain, Abbeel 2020, arXiv:2006.11239), with the names
 * of diffusers' UNet2DModel, whose public files fit the larger ones.
 *
 *     time:  sines of t - linear_1 - SiLU - linear_2, four times ch wide
 *     down:  conv_in; each level `blocks` x (Res [Attention]), then 3x3 stride 2 with zeros below and to the right only
 *     mid:   Res, Attention, Res
 *     up:    each level (blocks + 1) x (join a skip, Res [Attention]), then nearest x2, 3x3
 *     out:   GroupNorm, SiLU, [features] conv_out
 *
 *     Res:        h = conv1(SiLU(norm1 x)) + time_emb_proj(SiLU(time))
 *                 out = conv2(dropout(SiLU(norm2 h))) + (x, or conv_shortcut x where channels change)
 *     Attention:  out = x + to_out(softmax(q k' / sqrt C) v), one head; q, k, v linear in group_norm x; a place is a token
 *
 * Every map on the way down is a skip (conv_in's and the strided ones too), taken last first. Weights start xavier uniform, but
 * what ends a branch (conv2, to_out, conv_out) a hundred thousand times smaller, so that the network starts as nothing. */
#include "models/models_impl.h"

#include <math.h>

enum { MAX_LEVELS = 4, MAX_SKIPS = 1 + 3 * MAX_LEVELS };
static const double group_eps = 1e-6, nearly_nothing = 1e-5;

typedef struct unet_spec {
    size_t ch, multipliers[MAX_LEVELS];
    int levels, blocks;
    int attention; /* the level that has it */
    size_t groups;
    double dropout;
} unet_spec;

/* While one is built. */
typedef struct unet {
    const unet_spec *spec;
    dt_graph *g;
    dt_node time;       /* SiLU of the embedded time */
    dt_node dropout_key;
    unsigned n_dropouts;
    dt_node skips[MAX_SKIPS];
    int n_skips;
} unet;

/* ---- layers ---------------------------------------------------------------------------------------------------- */

static dt_node conv(dt_graph *g, dt_node x, const char *name, dt_conv_spec s, double gain)
{
    s.kernel_w = s.kernel_h;
    s.bias = true;
    if (!s.stride) s.stride = 1;
    x = dt_conv(g, x, name, s);
    dt_part_start_xavier(g, name, gain);
    return x;
}

static dt_node conv3(dt_graph *g, dt_node x, const char *name, size_t channels, double gain)
{
    return conv(g, x, name, (dt_conv_spec){.out_channels = channels, .kernel_h = 3, .pad = 1}, gain);
}

static dt_node linear(dt_graph *g, dt_node x, const char *name, size_t channels, double gain)
{
    x = dt_linear(g, x, name, channels, DT_LINEAR_ZERO_BIAS);
    dt_part_start_xavier(g, name, gain);
    return x;
}

static dt_node norm(unet *u, dt_node x, const char *name)
{
    return dt_group_norm(u->g, x, name, u->spec->groups, group_eps);
}

static dt_node embed_time(dt_graph *g, dt_node t, size_t ch)
{
    dt_node x = linear(g, dt_time_embedding(g, t, ch), "time_embedding.linear_1", 4 * ch, 1);
    return linear(g, dt_silu(g, x), "time_embedding.linear_2", 4 * ch, 1);
}

/* at: "down_blocks.0.resnets.1" */
static dt_node res(unet *u, dt_node x, const char *at, size_t channels)
{
    dt_graph *g = u->g;
    dt_node h = dt_silu(g, norm(u, x, dt_part_name(g, "%s.norm1", at)));
    h = conv3(g, h, dt_part_name(g, "%s.conv1", at), channels, 1);
    h = dt_add(g, h, linear(g, u->time, dt_part_name(g, "%s.time_emb_proj", at), channels, 1));
    h = dt_silu(g, norm(u, h, dt_part_name(g, "%s.norm2", at)));
    h = dt_part_dropout(g, h, u->dropout_key, u->spec->dropout, u->n_dropouts++);
    h = conv3(g, h, dt_part_name(g, "%s.conv2", at), channels, nearly_nothing);
    if (dt_shape_of(g, x).c != channels)
        x = conv(g, x, dt_part_name(g, "%s.conv_shortcut", at), (dt_conv_spec){.out_channels = channels, .kernel_h = 1}, 1);
    return dt_add(g, h, x);
}

static dt_node attention(unet *u, dt_node x, const char *at)
{
    dt_graph *g = u->g;
    const dt_shape s = dt_shape_of(g, x);
    const dt_node tokens = norm(u, x, dt_part_name(g, "%s.group_norm", at));
    const dt_node q = linear(g, tokens, dt_part_name(g, "%s.to_q", at), s.c, 1);
    const dt_node k = linear(g, tokens, dt_part_name(g, "%s.to_k", at), s.c, 1);
    const dt_node v = linear(g, tokens, dt_part_name(g, "%s.to_v", at), s.c, 1);
    const dt_node near = dt_batch_matmul(g, q, k, false, true, s.h, s.w);
    const dt_node heed = dt_exp(g, dt_log_softmax(g, near, sqrt((double)s.c)));
    const dt_node seen = dt_batch_matmul(g, heed, v, false, false, s.h, s.w);
    return dt_add(g, x, linear(g, seen, dt_part_name(g, "%s.to_out.0", at), s.c, nearly_nothing));
}

/* Res block i of a level, and its attention. */
static dt_node block(unet *u, dt_node x, const char *level, int i, size_t channels, bool attends)
{
    x = res(u, x, dt_part_name(u->g, "%s.resnets.%d", level, i), channels);
    return attends ? attention(u, x, dt_part_name(u->g, "%s.attentions.%d", level, i)) : x;
}

/* ---- the way down, the middle, the way up ------------------------------------------------------------------------ */

static dt_node keep(unet *u, dt_node x)
{
    if (u->n_skips == MAX_SKIPS) DT_BUG("a UNet of more than %d skips", MAX_SKIPS);
    return u->skips[u->n_skips++] = x;
}

static dt_node down(unet *u, dt_node x)
{
    const unet_spec *s = u->spec;
    for (int l = 0; l < s->levels; l++) {
        const size_t channels = s->ch * s->multipliers[l];
        const char *level = dt_part_name(u->g, "down_blocks.%d", l);
        for (int i = 0; i < s->blocks; i++) x = keep(u, block(u, x, level, i, channels, l == s->attention));
        if (l + 1 == s->levels) break;
        x = keep(u, conv(u->g, x, dt_part_name(u->g, "%s.downsamplers.0.conv", level),
                         (dt_conv_spec){.out_channels = channels, .kernel_h = 3, .stride = 2, .pad_more = 1}, 1));
    }
    return x;
}

static dt_node middle(unet *u, dt_node x)
{
    const size_t channels = dt_shape_of(u->g, x).c;
    x = res(u, x, "mid_block.resnets.0", channels);
    x = attention(u, x, "mid_block.attentions.0");
    return res(u, x, "mid_block.resnets.1", channels);
}

static dt_node up(unet *u, dt_node x)
{
    const unet_spec *s = u->spec;
    dt_graph *g = u->g;
    for (int l = s->levels - 1; l >= 0; l--) {
        const size_t channels = s->ch * s->multipliers[l];
        const char *level = dt_part_name(g, "up_blocks.%d", s->levels - 1 - l);
        for (int i = 0; i <= s->blocks; i++) {
            const dt_node both[2] = {x, u->skips[--u->n_skips]};
            x = block(u, dt_concat(g, both, 2), level, i, channels, l == s->attention);
        }
        if (l == 0) break;
        const dt_shape size = dt_shape_of(g, x);
        x = conv3(g, dt_upsample(g, x, 2 * size.h, 2 * size.w), dt_part_name(g, "%s.upsamplers.0.conv", level), channels, 1);
    }
    return x;
}

static dt_built build(const dt_model *m, dt_graph *g, const dt_model_inputs *in)
{
    dt_built b = DT_BUILT;
    unet u = {.spec = m->data, .g = g, .dropout_key = in->dropout_key};
    dt_node x = keep(&u, conv3(g, in->image, "conv_in", u.spec->ch, 1));
    u.time = dt_silu(g, embed_time(g, in->time, u.spec->ch));
    x = middle(&u, down(&u, x));
    dt_part_tap(&b, "middle", x);
    x = up(&u, x);
    b.features = dt_silu(g, norm(&u, x, "conv_norm_out"));
    dt_part_tap(&b, "features", b.features);
    b.output = conv3(g, b.features, "conv_out", 3, nearly_nothing);
    return b;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const unet_spec c128 = {128, {1, 2, 2, 2}, .levels = 4, .blocks = 2, .attention = 1, .groups = 32, .dropout = 0.1};
static const unet_spec c64 = {64, {1, 2, 2, 2}, .levels = 4, .blocks = 2, .attention = 1, .groups = 32, .dropout = 0.1};
static const unet_spec c32 = {32, {1, 2, 2}, .levels = 3, .blocks = 2, .attention = 2, .groups = 8};
static const unet_spec c16d2 = {16, {1, 2, 2}, .levels = 3, .blocks = 2, .attention = 2, .groups = 8};
static const unet_spec c16 = {16, {1, 2, 2}, .levels = 3, .blocks = 1, .attention = 2, .groups = 8};
static const unet_spec c8 = {8, {1, 2, 2}, .levels = 3, .blocks = 1, .attention = 2, .groups = 4};

/* step: a picture is halved levels - 1 times, and the maps on the way up must meet those on the way down. */
#define UNET(spec_, step_, dropout_, help_)                                                                            \
    {.name = "unet_" #spec_, .family = "unet", .help = help_, .task = "denoise", .image = 32, .image_step = step_,     \
     .dropout = dropout_, .build = build, .data = &spec_}

static const dt_model models[] = {
    UNET(c128, 8, true, "128 to 256 channels, 4 levels; the network of DDPM on CIFAR-10"),
    UNET(c64, 8, true, "64 to 128 channels, 4 levels; its student"),
    UNET(c32, 4, false, "32 to 64 channels, 3 levels of 2 blocks"),
    UNET(c16d2, 4, false, "16 to 32 channels, 3 levels of 2 blocks"),
    UNET(c16, 4, false, "16 to 32 channels, 3 levels of 1 block; the usual teacher of unet_c8"),
    UNET(c8, 4, false, "8 to 16 channels, 3 levels of 1 block; the smallest student"),
};

const dt_family dt_family_unet = {models, DT_COUNT(models)};
