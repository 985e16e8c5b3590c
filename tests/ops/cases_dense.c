/* Cases of the operations that dense tasks brought: see cases.h and cases_impl.h. */
#include "cases_impl.h"

// clang-format off: tables and one-line rules, aligned by hand
/* ---- sizes --------------------------------------------------------------------------------------------------- */

/* Every tail of a vector, one image and several, more images than threads. */
static const op_size maps[] = {AT(1, 3, 8, 8), AT(3, 16, 8, 8), AT(3, 17, 7, 8), AT(1, 64, 7, 7), AT(5, 11, 4, 6),
                               AT(2, 100, 1, 1), AT(1, 1, 1, 5), AT(2, 19, 5, 1)};
#define MAPS .sizes = maps, .n_sizes = DT_COUNT(maps)
static const op_size squares[] = {AT(1, 3, 8, 8), AT(3, 16, 4, 12), AT(2, 17, 12, 4), AT(5, 1, 4, 4)};
#define SQUARES .sizes = squares, .n_sizes = DT_COUNT(squares)
static const op_size shuffled[] = {AT(1, 6, 8, 8), AT(3, 18, 4, 12), AT(2, 12, 1, 3), AT(5, 60, 4, 4), AT(2, 150, 2, 1)};
#define SHUFFLED .sizes = shuffled, .n_sizes = DT_COUNT(shuffled)
static const op_size tokens[] = {AT(1, 3, 1, 1), AT(3, 16, 4, 4), AT(2, 17, 3, 5), AT(1, 64, 8, 8), AT(5, 8, 2, 3)};
#define TOKENS .sizes = tokens, .n_sizes = DT_COUNT(tokens)

#define NORM(N, C, H, W, GROUPS, SILU, EMIT) \
    {.x = {N, C, H, W}, .a.gn = {.eps = 1e-5, .groups = GROUPS, .silu = SILU, .emit = EMIT}}
#define NORMS(SILU, EMIT)                                                                                              \
    NORM(1, 3, 8, 8, 1, SILU, EMIT), NORM(3, 16, 8, 8, 4, SILU, EMIT), NORM(3, 17, 7, 8, 17, SILU, EMIT),              \
        NORM(2, 64, 7, 7, 32, SILU, EMIT), NORM(5, 100, 2, 1, 4, SILU, EMIT), NORM(4, 12, 1, 1, 2, SILU, EMIT)
static const op_size norms[] = {NORMS(false, true), NORMS(true, true), NORMS(false, false), NORMS(true, false),
                               NORM(2, 8, 64, 40, 4, false, true), NORM(2, 8, 64, 40, 4, true, true)};
#define NORMED .sizes = norms, .n_sizes = DT_COUNT(norms), .a_of_size = true

/* ---- shape rules --------------------------------------------------------------------------------------------- */

static dt_shape of_images(dt_shape x) { return (dt_shape){x.n, x.c, 1, 1}; }

static void group_norm(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, channels(x), channels(x)), x);
    if (op->a.gn.emit) op->out[op->n_out++] = (dt_shape){x.n, op->a.gn.groups, 2, 1};
}
static void group_norm_of_sum(dt_shape x, dt_op *op)
{
    group_norm(x, op);
    op->in[op->n_in++] = of_images(x);
}
static void group_norm_grad(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, x, {x.n, op->a.gn.groups, 2, 1}, channels(x), channels(x)), x);
    if (op->a.gn.emit) op->out[op->n_out++] = (dt_shape){2, x.c, 1, 1};
}
static void group_norm_grad_of_sum(dt_shape x, dt_op *op)
{
    group_norm_grad(x, op);
    op->in[op->n_in++] = of_images(x);
}

static void dropout(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, one), x);
    op->in_type[1] = DT_INDEX;
}

/* The map's places are the rows, its channels the inner size; the other matrix has 7 or 9 columns. */
static void batch_matmul(dt_shape x, dt_op *op)
{
    const bool ta = op->a.matmul.transpose_a, tb = op->a.matmul.transpose_b;
    const size_t inner = ta ? x.h * x.w : x.c;
    const dt_shape y = ta ? (dt_shape){x.n, 9, 1, x.c} : (dt_shape){x.n, 9, x.h, x.w};
    set(op, SHAPES(x, tb ? (dt_shape){x.n, inner, 3, 3} : (dt_shape){x.n, 9, 1, inner}), y);
}

static void concat_2(dt_shape x, dt_op *op) { set(op, SHAPES(x, {x.n, 5, x.h, x.w}), (dt_shape){x.n, x.c + 5, x.h, x.w}); }
static void concat_5(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, places(x), x, {x.n, 8, x.h, x.w}, places(x)), (dt_shape){x.n, 2 * x.c + 10, x.h, x.w});
}
static void slice(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c + 5, x.h, x.w}), x); }
static void slice_grad(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c + 5, x.h, x.w}); }

static void patches(dt_shape x, dt_op *op)
{
    const size_t k = (size_t)op->a.integer;
    set(op, SHAPES(x), (dt_shape){x.n, x.c * k * k, x.h / k, x.w / k});
}
static void patches_grad(dt_shape x, dt_op *op)
{
    patches(x, op);
    const dt_shape y = op->out[0];
    set(op, SHAPES(y), x);
}

static void to_6x6(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c, 6, 6}); }
static void from_6x6(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, 6, 6}), x); }
static void to_2x3(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c, 2, 3}); }
static void from_2x3(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, 2, 3}), x); }
static void to_fourfold(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c, 4 * x.h, 4 * x.w}); }
static void from_fourfold(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, 4 * x.h, 4 * x.w}), x); }

static dt_shape pixels(dt_shape x, size_t by) { return (dt_shape){x.n, 1, by * x.h + (by == 3), by * x.w}; }
static void pixel_ce_of(dt_shape x, dt_op *op, size_t by)
{
    set(op, SHAPES(x, pixels(x, by)), pixels(x, by));
    op->in_type[1] = DT_INDEX;
}
static void pixel_ce_grad_of(dt_shape x, dt_op *op, size_t by)
{
    set(op, SHAPES(pixels(x, by), x, pixels(x, by)), x);
    op->in_type[2] = DT_INDEX;
}
static void pixel_ce(dt_shape x, dt_op *op) { pixel_ce_of(x, op, 4); }
static void pixel_ce_uneven(dt_shape x, dt_op *op) { pixel_ce_of(x, op, 3); }
static void pixel_ce_same(dt_shape x, dt_op *op) { pixel_ce_of(x, op, 1); }
static void pixel_ce_grad(dt_shape x, dt_op *op) { pixel_ce_grad_of(x, op, 4); }
static void pixel_ce_grad_uneven(dt_shape x, dt_op *op) { pixel_ce_grad_of(x, op, 3); }
static void pixel_ce_grad_same(dt_shape x, dt_op *op) { pixel_ce_grad_of(x, op, 1); }

static void in_range(dt_shape x, dt_op *op)
{
    set(op, SHAPES(places(x)), places(x));
    op->in_type[0] = DT_INDEX;
}
static void time_embed(dt_shape x, dt_op *op)
{
    set(op, SHAPES({x.h * x.w, 1, 1, 1}), (dt_shape){x.h * x.w, 2 * x.c + 2, 1, 1});
    op->in_type[0] = DT_INDEX;
}

/* ---- templates ----------------------------------------------------------------------------------------------- */

#define CE_FILL .fill = {FILL_LOGITS, FILL_LABELS}
#define CE_GRAD_FILL .fill = {FILL_SIGNED, FILL_LOGITS, FILL_LABELS}
#define RESIZE_CASES(name, to, from, flag)                                                                             \
    OP("dense", "resize " name, RESIZE, to, MAPS, .a.resize = {flag}, .tolerance = &chain, .differentiable = 1),       \
        OP("dense", "resize_grad " name, RESIZE_GRAD, from, MAPS, .a.resize = {flag}, .tolerance = &sum)
#define PIXEL_CASES(name, shapes, grad_shapes, flag)                                                                   \
    OP("dense", "pixel_ce " name, PIXEL_CE, shapes, MAPS, .a.resize = {flag}, CE_FILL, .tolerance = &near_zero,        \
       .differentiable = 1),                                                                                           \
        OP("dense", "pixel_ce_grad " name, PIXEL_CE_GRAD, grad_shapes, MAPS, .a.resize = {flag}, CE_GRAD_FILL,         \
           .tolerance = &sum)
#define PRODUCT_CASES(name, ta, tb)                                                                                    \
    OP("dense", "batch_matmul" name, BATCH_MATMUL, batch_matmul, TOKENS, .a.matmul = {ta, tb}, .tolerance = &sum,      \
       .differentiable = 3)
#define POOL_CASES(name, to, from)                                                                                     \
    OP("dense", "adaptive_avg_pool " name, ADAPTIVE_AVG_POOL, to, MAPS, .tolerance = &sum, .differentiable = 1),       \
        OP("dense", "adaptive_avg_pool_grad " name, ADAPTIVE_AVG_POOL_GRAD, from, MAPS, .tolerance = &sum)

const op_template dense_templates[] = {
    OP("dense", "group_norm", GROUP_NORM, group_norm, NORMED, .tolerance = &sum, .differentiable = 7),
    OP("dense", "group_norm of a sum", GROUP_NORM, group_norm_of_sum, NORMED, .tolerance = &sum, .differentiable = 15),
    OP("dense", "group_norm_grad", GROUP_NORM_GRAD, group_norm_grad, NORMED,
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_POSITIVE}, .tolerance = &sum),
    OP("dense", "group_norm_grad of a sum", GROUP_NORM_GRAD, group_norm_grad_of_sum, NORMED,
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_POSITIVE}, .tolerance = &sum),

    OP("dense", "silu", SILU, unary, MAPS, .fill = {FILL_LOGITS}, .tolerance = &near_zero, .differentiable = 1),
    OP("dense", "silu_grad", SILU_GRAD, binary, MAPS, .fill = {FILL_SIGNED, FILL_LOGITS}, .tolerance = &near_zero),
    OP("dense", "dropout .1", DROPOUT, dropout, MAPS, .a.dropout = {.p = 0.1, .seed = 7, .salt = 3},
       .fill = {FILL_APART, FILL_NUMBERS}, .tolerance = &chain, .differentiable = 1),
    OP("dense", "dropout .5", DROPOUT, dropout, MAPS, .a.dropout = {.p = 0.5, .seed = 0x123456789, .salt = 0},
       .fill = {FILL_APART, FILL_NUMBERS}, .tolerance = &chain, .differentiable = 1),

    PRODUCT_CASES("", false, false), PRODUCT_CASES(" a^T", true, false), PRODUCT_CASES(" b^T", false, true),
    PRODUCT_CASES(" a^T b^T", true, true),

    OP("dense", "concat of two", CONCAT, concat_2, MAPS, .tolerance = &exact, .differentiable = 3),
    OP("dense", "concat of five", CONCAT, concat_5, MAPS, .tolerance = &exact, .differentiable = 31),
    OP("dense", "slice first", SLICE, slice, MAPS, .tolerance = &exact, .differentiable = 1),
    OP("dense", "slice inside", SLICE, slice, MAPS, .a.integer = 2, .tolerance = &exact, .differentiable = 1),
    OP("dense", "slice_grad", SLICE_GRAD, slice_grad, MAPS, .a.integer = 2, .tolerance = &exact),
    OP("dense", "slice_grad last", SLICE_GRAD, slice_grad, MAPS, .a.integer = 5, .tolerance = &exact),
    OP("dense", "shuffle 2", SHUFFLE, unary, SHUFFLED, .a.integer = 2, .tolerance = &exact, .differentiable = 1),
    OP("dense", "shuffle 3", SHUFFLE, unary, SHUFFLED, .a.integer = 3, .tolerance = &exact, .differentiable = 1),
    OP("dense", "shuffle 6", SHUFFLE, unary, SHUFFLED, .a.integer = 6, .tolerance = &exact, .differentiable = 1),
    OP("dense", "patches 2", PATCHES, patches, SQUARES, .a.integer = 2, .tolerance = &exact, .differentiable = 1),
    OP("dense", "patches 4", PATCHES, patches, SQUARES, .a.integer = 4, .tolerance = &exact, .differentiable = 1),
    OP("dense", "patches_grad 2", PATCHES_GRAD, patches_grad, SQUARES, .a.integer = 2, .tolerance = &exact),
    OP("dense", "patches_grad 4", PATCHES_GRAD, patches_grad, SQUARES, .a.integer = 4, .tolerance = &exact),

    RESIZE_CASES("x2", to_double, from_double, false), RESIZE_CASES("x2 aligned", to_double, from_double, true),
    RESIZE_CASES("x4", to_fourfold, from_fourfold, false), RESIZE_CASES("uneven", to_uneven, from_uneven, false),
    RESIZE_CASES("uneven aligned", to_uneven, from_uneven, true), RESIZE_CASES("to 4x3", to_4x3, from_4x3, false),
    RESIZE_CASES("to 4x3 aligned", to_4x3, from_4x3, true),
    POOL_CASES("6x6", to_6x6, from_6x6), POOL_CASES("2x3", to_2x3, from_2x3),

    PIXEL_CASES("x4", pixel_ce, pixel_ce_grad, false), PIXEL_CASES("x4 aligned", pixel_ce, pixel_ce_grad, true),
    PIXEL_CASES("uneven", pixel_ce_uneven, pixel_ce_grad_uneven, false),
    PIXEL_CASES("uneven aligned", pixel_ce_uneven, pixel_ce_grad_uneven, true),
    PIXEL_CASES("of the same size", pixel_ce_same, pixel_ce_grad_same, false),
    OP("dense", "in_range", IN_RANGE, in_range, MAPS, .a.integer = 500, .fill = {FILL_NUMBERS}, .tolerance = &exact),
    OP("dense", "time_embed", TIME_EMBED, time_embed, MAPS, .fill = {FILL_NUMBERS}, .tolerance = &function),
};
const size_t n_dense_templates = DT_COUNT(dense_templates);

/* ---- the speed list: seg20, unet_c32 and unet_c128 ------------------------------------------------------------- */

static const op_size unets[] = {AT(32, 32, 32, 32), AT(32, 64, 16, 16), AT(16, 128, 32, 32), AT(16, 256, 16, 16)};
#define UNETS .sizes = unets, .n_sizes = DT_COUNT(unets)
static const op_size unet_norms[] = {NORM(32, 32, 32, 32, 8, true, true), NORM(32, 64, 16, 16, 8, true, true),
                                     NORM(16, 128, 32, 32, 32, true, true), NORM(16, 256, 16, 16, 32, true, true)};
#define UNET_NORMS .sizes = unet_norms, .n_sizes = DT_COUNT(unet_norms), .a_of_size = true
static const op_size segments[] = {AT(16, 11, 16, 16), AT(4, 19, 64, 128)};
#define SEGMENTS .sizes = segments, .n_sizes = DT_COUNT(segments)

const op_template dense_speed_templates[] = {
    OP("dense", "group_norm silu", GROUP_NORM, group_norm, UNET_NORMS, .tolerance = &sum),
    OP("dense", "group_norm_grad silu", GROUP_NORM_GRAD, group_norm_grad, UNET_NORMS,
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_POSITIVE}, .tolerance = &sum),
    OP("dense", "silu", SILU, unary, UNETS, .tolerance = &near_zero),
    OP("dense", "dropout", DROPOUT, dropout, UNETS, .a.dropout = {.p = 0.1, .seed = 7}, .tolerance = &chain),
    OP("dense", "batch_matmul b^T", BATCH_MATMUL, batch_matmul, UNETS, .a.matmul = {false, true}, .tolerance = &sum),
    OP("dense", "concat of two", CONCAT, concat_2, UNETS, .tolerance = &exact),
    OP("dense", "resize x4", RESIZE, to_fourfold, SEGMENTS, .tolerance = &chain),
    OP("dense", "resize_grad x4", RESIZE_GRAD, from_fourfold, SEGMENTS, .tolerance = &sum),
    OP("dense", "pixel_ce x4", PIXEL_CE, pixel_ce, SEGMENTS, CE_FILL, .tolerance = &near_zero),
    OP("dense", "pixel_ce_grad x4", PIXEL_CE_GRAD, pixel_ce_grad, SEGMENTS, CE_GRAD_FILL, .tolerance = &sum),
};
const size_t n_dense_speed_templates = DT_COUNT(dense_speed_templates);
// clang-format on
