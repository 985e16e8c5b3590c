/* The list of operation cases: see cases.h. Those of dense tasks are in cases_dense.c, memory is in cases_memory.c. */
#include "cases_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

// clang-format off: tables and one-line rules, aligned by hand
/* ---- sizes --------------------------------------------------------------------------------------------------- */

#define EACH_CHANNELS(n, h, w) AT(n, 3, h, w), AT(n, 16, h, w), AT(n, 17, h, w), AT(n, 64, h, w), AT(n, 100, h, w)
/* Vectors with every tail, places 1, 7, 8 a side, one image and three. */
static const op_size common[] = {
    EACH_CHANNELS(1, 1, 1), EACH_CHANNELS(3, 1, 1), EACH_CHANNELS(1, 7, 7), EACH_CHANNELS(3, 7, 7),
    EACH_CHANNELS(1, 8, 8), EACH_CHANNELS(3, 8, 8), AT(3, 17, 7, 8),        AT(2, 5, 1, 3),
    AT(1, 1, 1, 1),         AT(67, 1, 1, 1),        AT(3, 1, 8, 8),
};
#define COMMON .sizes = common, .n_sizes = DT_COUNT(common)

/* A few, for operations where every combination says nothing new. */
static const op_size few[] = {AT(1, 3, 8, 8), AT(3, 16, 8, 8), AT(3, 17, 7, 8), AT(1, 64, 7, 7), AT(3, 100, 1, 1)};
#define FEW .sizes = few, .n_sizes = DT_COUNT(few)

#define CONV(N, C, H, W, OUT, K, S, P, D, G, B)                                                                        \
    {.x = {N, C, H, W},                                                                                                \
     .a.conv = {.out_channels = OUT, .kernel_h = K, .kernel_w = K, .stride = S, .pad = P, .dilation = D,               \
                .groups = G, .bias = B}}
static const op_size convolutions[] = {
    /* n  c  h  w  out  k  s  p  d  g  bias */
    CONV(1, 3, 8, 8, 16, 3, 1, 1, 1, 1, false),    CONV(3, 3, 7, 7, 17, 3, 1, 1, 1, 1, false),
    CONV(3, 16, 8, 8, 16, 3, 1, 1, 1, 1, false),   CONV(3, 16, 8, 8, 32, 3, 2, 1, 1, 1, false),
    CONV(1, 16, 7, 7, 17, 3, 2, 1, 1, 1, false),   CONV(3, 17, 7, 8, 64, 3, 1, 1, 1, 1, true),
    CONV(1, 64, 8, 8, 64, 3, 1, 1, 1, 1, false),   CONV(3, 16, 8, 8, 64, 1, 2, 0, 1, 1, false),
    CONV(3, 64, 7, 7, 100, 1, 1, 0, 1, 1, true),   CONV(1, 100, 1, 1, 17, 1, 1, 0, 1, 1, false),
    CONV(3, 16, 8, 8, 16, 3, 1, 2, 2, 1, false),   CONV(1, 16, 8, 8, 32, 3, 1, 1, 1, 4, true),
    CONV(3, 16, 7, 7, 16, 3, 2, 1, 1, 16, false),  CONV(1, 3, 8, 8, 16, 7, 2, 3, 1, 1, false),
    CONV(3, 6, 8, 7, 9, 5, 3, 0, 1, 3, false),     CONV(1, 4, 1, 1, 4, 3, 1, 1, 0, 0, false),
    CONV(3, 32, 12, 8, 48, 3, 1, 1, 1, 1, false),  CONV(1, 48, 4, 16, 32, 3, 1, 1, 1, 1, true),
    CONV(2, 7, 6, 5, 7, 3, 1, 1, 1, 7, true),      CONV(1, 17, 5, 11, 17, 3, 1, 1, 1, 17, true),
    CONV(2, 24, 7, 10, 24, 3, 2, 1, 1, 24, true),  CONV(1, 24, 4, 4, 24, 3, 1, 1, 1, 24, false),
    CONV(4, 60, 16, 16, 240, 1, 1, 0, 1, 3, false), /* large enough for several threads */
    CONV(2, 24, 5, 7, 60, 1, 1, 0, 1, 3, false),   CONV(3, 60, 4, 4, 24, 1, 1, 0, 1, 3, true),
    CONV(1, 48, 20, 9, 96, 1, 1, 0, 1, 3, true),   CONV(2, 16, 3, 3, 16, 1, 1, 0, 1, 4, false),
    CONV(2, 32, 7, 7, 16, 3, 1, 1, 1, 1, false),   CONV(1, 16, 14, 14, 32, 3, 1, 1, 1, 1, true),
    CONV(3, 16, 9, 6, 16, 3, 1, 1, 1, 1, true),    CONV(1, 32, 3, 13, 16, 3, 1, 1, 1, 1, false),
    CONV(1, 20, 9, 3, 20, 3, 2, 1, 1, 20, false),  CONV(1, 116, 3, 2, 116, 3, 1, 1, 1, 116, false),
};
#define PADDED(N, C, H, W, OUT, K, S, P, MORE, D, B)                                                                   \
    {.x = {N, C, H, W},                                                                                                \
     .a.conv = {.out_channels = OUT, .kernel_h = K, .kernel_w = K, .stride = S, .pad = P, .pad_more = MORE,            \
                .dilation = D, .groups = 1, .bias = B}}
/* Of dense tasks: more zeros below and to the right, dilation to beyond the picture. */
static const op_size dense_convolutions[] = {
    /* n  c  h  w  out  k  s  p  more d  bias */
    PADDED(3, 16, 8, 8, 16, 3, 2, 0, 1, 1, true),      PADDED(1, 17, 7, 6, 9, 3, 2, 0, 1, 1, false),
    PADDED(2, 8, 8, 8, 16, 3, 1, 1, 1, 1, false),      PADDED(1, 3, 5, 5, 8, 1, 3, 0, 2, 1, false),
    PADDED(2, 16, 9, 8, 16, 3, 1, 1, 2, 2, false),     PADDED(3, 16, 8, 8, 32, 3, 1, 2, 0, 2, true),
    PADDED(1, 32, 16, 16, 32, 3, 1, 4, 0, 4, false),   PADDED(2, 17, 13, 11, 16, 3, 1, 4, 0, 4, false),
    PADDED(1, 16, 25, 30, 24, 3, 1, 12, 0, 12, false), PADDED(1, 8, 26, 25, 16, 3, 1, 24, 0, 24, false),
    PADDED(1, 8, 40, 9, 8, 3, 1, 36, 0, 36, true),     PADDED(1, 16, 8, 8, 16, 3, 1, 12, 0, 12, false),
    PADDED(1, 8, 17, 16, 8, 3, 2, 2, 0, 2, false),     PADDED(1, 8, 12, 12, 8, 5, 1, 6, 0, 3, false),
    PADDED(2, 16, 16, 24, 8, 3, 1, 2, 0, 2, true),     PADDED(1, 8, 24, 12, 16, 3, 1, 3, 0, 3, false),
};
/* Of a map that is read at twice its size. */
#define DOUBLED(N, C, H, W, OUT, K, B)                                                                                 \
    {.x = {N, C, H, W},                                                                                                \
     .a.conv = {.out_channels = OUT, .kernel_h = K, .kernel_w = K, .stride = 1, .pad = K / 2, .dilation = 1,           \
                .groups = 1, .bias = B, .doubled = true}}
static const op_size doubled_convolutions[] = {
    DOUBLED(2, 16, 4, 4, 32, 3, true),   DOUBLED(1, 32, 2, 6, 16, 3, false), DOUBLED(3, 16, 8, 2, 16, 3, true),
    DOUBLED(2, 8, 4, 4, 8, 3, true),     DOUBLED(1, 17, 4, 4, 9, 3, false),  DOUBLED(2, 16, 3, 5, 16, 3, true),
    DOUBLED(1, 16, 1, 1, 16, 3, false),  DOUBLED(1, 3, 4, 2, 5, 1, true),    DOUBLED(1, 64, 4, 8, 32, 3, false),
};
#define DOUBLED_CONVOLUTIONS .sizes = doubled_convolutions, .n_sizes = DT_COUNT(doubled_convolutions), .a_of_size = true
#define DENSE_CONVOLUTIONS .sizes = dense_convolutions, .n_sizes = DT_COUNT(dense_convolutions), .a_of_size = true

#define CONVOLUTIONS .sizes = convolutions, .n_sizes = DT_COUNT(convolutions), .a_of_size = true

#define POOL(N, C, H, W, K, S, P) {.x = {N, C, H, W}, .a.pool = {.kernel = K, .stride = S, .pad = P}}
static const op_size pools[] = {
    POOL(1, 3, 8, 8, 2, 2, 0),  POOL(3, 16, 8, 8, 3, 2, 1), POOL(3, 17, 7, 8, 3, 1, 1),  POOL(1, 64, 7, 7, 2, 2, 0),
    POOL(3, 16, 8, 8, 8, 8, 0), POOL(3, 100, 7, 7, 7, 7, 0), POOL(1, 5, 7, 7, 2, 3, 1),
};
#define PADDED_POOL(N, C, H, W, K, S, P) {.x = {N, C, H, W}, .a.pool = {.kernel = K, .stride = S, .pad = P, .count_pad = true}}
static const op_size padded_pools[] = {PADDED_POOL(1, 3, 8, 8, 3, 2, 1), PADDED_POOL(3, 17, 7, 5, 3, 2, 1), PADDED_POOL(2, 24, 9, 8, 3, 1, 1)};
#define PADDED_POOLS .sizes = padded_pools, .n_sizes = DT_COUNT(padded_pools), .a_of_size = true
#define POOLS .sizes = pools, .n_sizes = DT_COUNT(pools), .a_of_size = true

#define PRODUCT(ROWS, INNER, COLUMNS) {.x = {ROWS, INNER, 1, COLUMNS}}
static const op_size products[] = {
    PRODUCT(1, 1, 1),    PRODUCT(1, 3, 16),    PRODUCT(3, 64, 100),
    PRODUCT(17, 100, 3), PRODUCT(64, 64, 100), PRODUCT(7, 16, 17),
};
#define PRODUCTS .sizes = products, .n_sizes = DT_COUNT(products)

/* ---- how shapes follow from one shape ------------------------------------------------------------------------ */

static dt_shape statistics(dt_shape x) { return (dt_shape){2, x.c, 1, 1}; }

static void source(dt_shape x, dt_op *op) { op->out[0] = x, op->n_out = 1; }
static void ternary(dt_shape x, dt_op *op) { set(op, SHAPES(x, x, x), x); }
static void by_channel(dt_shape x, dt_op *op) { set(op, SHAPES(x, channels(x)), x); }
static void by_place(dt_shape x, dt_op *op) { set(op, SHAPES(x, places(x)), x); }
static void by_place_first(dt_shape x, dt_op *op) { set(op, SHAPES(places(x), x), x); }
static void by_image(dt_shape x, dt_op *op) { set(op, SHAPES(x, {x.n, 1, 1, 1}), x); }
static void by_scalar(dt_shape x, dt_op *op) { set(op, SHAPES(x, one), x); }
static void by_scalar_first(dt_shape x, dt_op *op) { set(op, SHAPES(one, x), x); }
static void outer(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, 1, 1}, {1, 1, x.h, x.w}), x); }
static void choose_scalar(dt_shape x, dt_op *op) { set(op, SHAPES(places(x), x, one), x); }

static void reduced(dt_shape x, dt_op *op)
{
    const unsigned axes = op->a.reduce.axes;
    set(op, SHAPES(x),
        (dt_shape){axes & DT_AXIS_N ? 1 : x.n, axes & DT_AXIS_C ? 1 : x.c, axes & DT_AXIS_H ? 1 : x.h,
                   axes & DT_AXIS_W ? 1 : x.w});
}

static void stretched(dt_shape x, dt_op *op)
{
    reduced(x, op);
    const dt_shape small = op->out[0];
    set(op, SHAPES(small), x);
}

static size_t conv_extent(size_t in, size_t kernel, dt_conv_spec c)
{
    const size_t dilation = c.dilation ? c.dilation : 1;
    return (in + 2 * c.pad + c.pad_more - dilation * (kernel - 1) - 1) / c.stride + 1;
}

static void conv(dt_shape x, dt_op *op)
{
    const dt_conv_spec c = op->a.conv;
    const dt_shape weight = {c.out_channels, x.c / (c.groups ? c.groups : 1), c.kernel_h, c.kernel_w};
    const size_t block = c.doubled ? 2 : 1;
    const dt_shape y = {x.n, c.out_channels, conv_extent(block * x.h, c.kernel_h, c), conv_extent(block * x.w, c.kernel_w, c)};
    set(op, SHAPES(x, weight, {1, c.out_channels, 1, 1}), y);
    if (!c.bias) {
        op->n_in = 2;
        op->in[2] = (dt_shape){0};
    }
}

static void conv_grad_input(dt_shape x, dt_op *op)
{
    conv(x, op);
    const dt_shape weight = op->in[1], y = op->out[0];
    *op = (dt_op){.kind = op->kind, .a = op->a};
    set(op, SHAPES(y, weight), x);
}

static void conv_grad_weight(dt_shape x, dt_op *op)
{
    conv(x, op);
    const dt_shape weight = op->in[1], y = op->out[0];
    *op = (dt_op){.kind = op->kind, .a = op->a};
    set(op, SHAPES(y, x), weight);
}

static void matrices(dt_shape x, dt_op *op)
{
    const size_t rows = x.n, inner = x.c, columns = x.w;
    const dt_shape a = op->a.matmul.transpose_a ? (dt_shape){inner, rows, 1, 1} : (dt_shape){rows, inner, 1, 1};
    const dt_shape b = op->a.matmul.transpose_b ? (dt_shape){columns, inner, 1, 1} : (dt_shape){inner, columns, 1, 1};
    set(op, SHAPES(a, b), (dt_shape){rows, columns, 1, 1});
}

static void linear(dt_shape x, dt_op *op)
{
    matrices(x, op);
    op->in[op->n_in++] = (dt_shape){1, x.w, 1, 1};
}

/* A classifier at each place of a map. */
static void matrix_of_places(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, {17, x.c, 1, 1}), (dt_shape){x.n, 17, x.h, x.w});
}

static dt_shape pooled(dt_shape x, const dt_op *op)
{
    const dt_pool_spec p = op->a.pool;
    return (dt_shape){x.n, x.c, (x.h + 2 * p.pad - p.kernel) / p.stride + 1,
                      (x.w + 2 * p.pad - p.kernel) / p.stride + 1};
}
static void pool(dt_shape x, dt_op *op) { set(op, SHAPES(x), pooled(x, op)); }
static void pool_grad(dt_shape x, dt_op *op) { set(op, SHAPES(pooled(x, op)), x); }
static void max_pool_grad(dt_shape x, dt_op *op) { set(op, SHAPES(pooled(x, op), x, pooled(x, op)), x); }

static void row(dt_shape x, dt_op *op) { set(op, SHAPES({2, x.c, x.h, x.w}), (dt_shape){1, x.c, x.h, x.w}); }

static void bn_stats(dt_shape x, dt_op *op) { set(op, SHAPES(x), statistics(x)); }
static void bn_stats_of_sum(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, x), statistics(x));
    if (op->a.bn.emit) op->out[op->n_out++] = x;
}
static void bn_frozen(dt_shape x, dt_op *op) { set(op, SHAPES(channels(x), channels(x)), statistics(x)); }
static void bn_track(dt_shape x, dt_op *op)
{
    op->a.bn.count = x.n * x.h * x.w;
    set(op, SHAPES(statistics(x), channels(x), channels(x)), one);
}
static void bn_apply(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, statistics(x), channels(x), channels(x)), x);
}
static void bn_apply_residual(dt_shape x, dt_op *op)
{
    bn_apply(x, op);
    op->in[op->n_in++] = x;
}
static void bn_grad_stats(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, x, statistics(x)), statistics(x));
    if (op->a.bn.emit) op->out[op->n_out++] = x;
}
static void bn_grad_stats_masked(dt_shape x, dt_op *op)
{
    bn_grad_stats(x, op);
    op->in[op->n_in++] = x;
}
static void bn_grad_stats_two(dt_shape x, dt_op *op)
{
    bn_grad_stats_masked(x, op);
    op->in[op->n_in++] = x;
}
static void bn_grad_input(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, x, statistics(x), channels(x), statistics(x)), x);
}
static void bn_grad_input_masked(dt_shape x, dt_op *op)
{
    bn_grad_input(x, op);
    op->in[op->n_in++] = x;
}
static void bn_grad_input_masked_added(dt_shape x, dt_op *op)
{
    bn_grad_input_masked(x, op);
    op->in[op->n_in++] = x;
}
static void bn_grad_input_added(dt_shape x, dt_op *op) /* no mask, an addend: input 5 is absent */
{
    bn_grad_input_masked_added(x, op);
    op->in[5] = (dt_shape){0};
}
static void bn_grad_frozen(dt_shape x, dt_op *op) { set(op, SHAPES(x, statistics(x), channels(x)), x); }

static void pick(dt_shape x, dt_op *op)
{
    set(op, SHAPES(x, places(x)), places(x));
    op->in_type[1] = DT_INDEX;
}
static void pick_of_a_table(dt_shape x, dt_op *op)
{
    set(op, SHAPES(((dt_shape){1, x.c, 1, 1}), places(x)), places(x));
    op->in_type[1] = DT_INDEX;
}
static void pick_grad(dt_shape x, dt_op *op)
{
    set(op, SHAPES(places(x), places(x)), x);
    op->in_type[1] = DT_INDEX;
}
static void simplex_2(dt_shape x, dt_op *op)
{
    set(op, SHAPES(places(x), x, x), (dt_shape){1, 2, 1, 1});
    op->in_type[0] = DT_INDEX;
}
static void simplex_3(dt_shape x, dt_op *op)
{
    set(op, SHAPES(places(x), x, x, x), (dt_shape){1, 3, 1, 1});
    op->in_type[0] = DT_INDEX;
}

static void cosine(dt_shape x, dt_op *op) { set(op, SHAPES(x, x), places(x)); }
static void cosine_grad(dt_shape x, dt_op *op) { set(op, SHAPES(places(x), x, x), x); }
static void of_places(dt_shape x, dt_op *op) { set(op, SHAPES(places(x)), places(x)); }
static void of_places_grad(dt_shape x, dt_op *op) { set(op, SHAPES(places(x), places(x)), places(x)); }

/* ---- templates ----------------------------------------------------------------------------------------------- */

#define BN .eps = 1e-5, .momentum = 0.1

static const op_template templates[] = {
    OP("conv", "conv", CONV, conv, CONVOLUTIONS, .tolerance = &sum, .differentiable = 7),
    OP("conv", "conv_grad_input", CONV_GRAD_INPUT, conv_grad_input, CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv_grad_weight", CONV_GRAD_WEIGHT, conv_grad_weight, CONVOLUTIONS, .tolerance = &sum),

    OP("matmul", "matmul", MATMUL, matrices, PRODUCTS, .tolerance = &sum, .differentiable = 3),
    OP("matmul", "matmul a^T", MATMUL, matrices, PRODUCTS, .a.matmul = {true, false}, .tolerance = &sum,
       .differentiable = 3),
    OP("matmul", "matmul b^T", MATMUL, matrices, PRODUCTS, .a.matmul = {false, true}, .tolerance = &sum,
       .differentiable = 3),
    OP("matmul", "matmul a^T b^T", MATMUL, matrices, PRODUCTS, .a.matmul = {true, true}, .tolerance = &sum,
       .differentiable = 3),
    OP("matmul", "linear", MATMUL, linear, PRODUCTS, .a.matmul = {false, true}, .tolerance = &sum, .differentiable = 7),
    OP("matmul", "matmul b^T of a map", MATMUL, matrix_of_places, COMMON, .a.matmul = {false, true}, .tolerance = &sum,
       .differentiable = 3),

    OP("pool", "max_pool", MAX_POOL, pool, POOLS, .fill = {FILL_STEPS}, .tolerance = &exact),
    OP("pool", "max_pool, no ties", MAX_POOL, pool, POOLS, .fill = {FILL_DISTINCT}, .tolerance = &exact,
       .differentiable = 1),
    OP("pool", "max_pool_grad", MAX_POOL_GRAD, max_pool_grad, POOLS, .fill = {FILL_EIGHTHS, FILL_STEPS, FILL_MAXIMA},
       .tolerance = &exact),
    OP("pool", "avg_pool", AVG_POOL, pool, POOLS, .tolerance = &sum, .differentiable = 1),
    OP("pool", "avg_pool_grad", AVG_POOL_GRAD, pool_grad, POOLS, .tolerance = &chain),
    OP("pool", "avg_pool counting padding", AVG_POOL, pool, PADDED_POOLS, .tolerance = &sum, .differentiable = 1),
    OP("pool", "avg_pool_grad counting padding", AVG_POOL_GRAD, pool_grad, PADDED_POOLS, .tolerance = &chain),
    OP("pool", "adaptive_avg_pool", ADAPTIVE_AVG_POOL, to_4x3, COMMON, .tolerance = &sum, .differentiable = 1),
    OP("pool", "adaptive_avg_pool_grad", ADAPTIVE_AVG_POOL_GRAD, from_4x3, COMMON, .tolerance = &sum),
    OP("pool", "upsample x2", UPSAMPLE, to_double, FEW, .tolerance = &exact, .differentiable = 1),
    OP("pool", "upsample uneven", UPSAMPLE, to_uneven, FEW, .tolerance = &exact, .differentiable = 1),
    OP("pool", "upsample_grad x2", UPSAMPLE_GRAD, from_double, FEW, .tolerance = &sum),
    OP("pool", "upsample_grad uneven", UPSAMPLE_GRAD, from_uneven, FEW, .tolerance = &sum),
    OP("pool", "row 0", ROW, row, FEW, .tolerance = &exact),
    OP("pool", "row 1", ROW, row, FEW, .a.integer = 1, .tolerance = &exact),

    OP("bn", "bn_stats", BN_STATS, bn_stats, COMMON, .a.bn = {BN}, .tolerance = &sum),
    OP("bn", "bn_stats of a sum", BN_STATS, bn_stats_of_sum, COMMON, .a.bn = {BN, .emit = true}, .tolerance = &sum),
    OP("bn", "bn_stats of a sum, not emitted", BN_STATS, bn_stats_of_sum, FEW, .a.bn = {BN}, .tolerance = &sum),
    OP("bn", "bn_frozen", BN_FROZEN, bn_frozen, COMMON, .a.bn = {BN}, .fill = {FILL_SIGNED, FILL_POSITIVE},
       .tolerance = &chain),
    OP("bn", "bn_track", BN_TRACK, bn_track, COMMON, .a.bn = {BN}, .fill = {FILL_STATS, FILL_SIGNED, FILL_POSITIVE},
       .tolerance = &chain),
    OP("bn", "bn_apply", BN_APPLY, bn_apply, COMMON, .a.bn = {BN}, .fill = {FILL_SIGNED, FILL_STATS},
       .tolerance = &chain),
    OP("bn", "bn_apply relu", BN_APPLY, bn_apply, COMMON, .a.bn = {BN, .activation = DT_ACTIVATION_RELU}, .fill = {FILL_SIGNED, FILL_STATS},
       .tolerance = &chain),
    OP("bn", "bn_apply residual", BN_APPLY, bn_apply_residual, COMMON, .a.bn = {BN}, .fill = {FILL_SIGNED, FILL_STATS},
       .tolerance = &chain),
    OP("bn", "bn_apply residual relu", BN_APPLY, bn_apply_residual, COMMON, .a.bn = {BN, .activation = DT_ACTIVATION_RELU},
       .fill = {FILL_SIGNED, FILL_STATS}, .tolerance = &chain),
    OP("bn", "bn_apply relu6", BN_APPLY, bn_apply, COMMON, .a.bn = {BN, .activation = DT_ACTIVATION_RELU6},
       .fill = {FILL_LOGITS, FILL_STATS}, .tolerance = &chain),
    OP("bn", "bn_apply residual relu6", BN_APPLY, bn_apply_residual, FEW, .a.bn = {BN, .activation = DT_ACTIVATION_RELU6},
       .fill = {FILL_LOGITS, FILL_STATS}, .tolerance = &chain),
    OP("bn", "bn_grad_stats masked by relu6", BN_GRAD_STATS, bn_grad_stats_masked, COMMON,
       .a.bn = {BN, .activation = DT_ACTIVATION_RELU6}, .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU6},
       .tolerance = &sum),
    OP("bn", "bn_grad_stats of two, masked by relu6, emitted", BN_GRAD_STATS, bn_grad_stats_two, FEW,
       .a.bn = {BN, .activation = DT_ACTIVATION_RELU6, .emit = true}, .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU6},
       .tolerance = &sum),
    OP("bn", "bn_grad_input masked by relu6", BN_GRAD_INPUT, bn_grad_input_masked, COMMON,
       .a.bn = {BN, .activation = DT_ACTIVATION_RELU6},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED, FILL_RELU6}, .tolerance = &cancelling_chain),
    OP("bn", "bn_grad_input masked by relu6, added", BN_GRAD_INPUT, bn_grad_input_masked_added, FEW,
       .a.bn = {BN, .activation = DT_ACTIVATION_RELU6},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED, FILL_RELU6}, .tolerance = &cancelling_chain),
    OP("bn", "bn_grad_stats", BN_GRAD_STATS, bn_grad_stats, COMMON, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS},
       .tolerance = &sum),
    OP("bn", "bn_grad_stats masked", BN_GRAD_STATS, bn_grad_stats_masked, COMMON, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU}, .tolerance = &sum),
    OP("bn", "bn_grad_stats masked, emitted", BN_GRAD_STATS, bn_grad_stats_masked, COMMON, .a.bn = {BN, .emit = true},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU}, .tolerance = &sum),
    OP("bn", "bn_grad_stats of two, masked, emitted", BN_GRAD_STATS, bn_grad_stats_two, COMMON, .a.bn = {BN,
       .emit = true},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU}, .tolerance = &sum),
    OP("bn", "bn_grad_stats of two, masked", BN_GRAD_STATS, bn_grad_stats_two, FEW, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU}, .tolerance = &sum),
    OP("bn", "bn_grad_input", BN_GRAD_INPUT, bn_grad_input, COMMON, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED}, .tolerance = &cancelling_chain),
    OP("bn", "bn_grad_input masked", BN_GRAD_INPUT, bn_grad_input_masked, COMMON, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED, FILL_RELU}, .tolerance = &cancelling_chain),
    OP("bn", "bn_grad_input masked, added", BN_GRAD_INPUT, bn_grad_input_masked_added, COMMON, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED, FILL_RELU}, .tolerance = &cancelling_chain),
    OP("bn", "bn_grad_input added", BN_GRAD_INPUT, bn_grad_input_added, COMMON, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED}, .tolerance = &cancelling_chain),
    OP("bn", "bn_grad_frozen", BN_GRAD_FROZEN, bn_grad_frozen, COMMON, .a.bn = {BN}, .fill = {FILL_SIGNED, FILL_STATS},
       .tolerance = &chain),

    OP("elementwise", "constant", CONSTANT, source, FEW, .a.real = 0.3, .tolerance = &exact),
    OP("elementwise", "add", ADD, binary, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "add to channels", ADD, by_channel, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "add outer", ADD, outer, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "sub", SUB, binary, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "sub from scalar", SUB, by_scalar_first, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "mul", MUL, binary, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "mul places", MUL, by_place, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "mul places first", MUL, by_place_first, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "mul images", MUL, by_image, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "mul by scalar", MUL, by_scalar, COMMON, .tolerance = &exact, .differentiable = 3),
    OP("elementwise", "div", DIV, binary, COMMON, .fill = {FILL_SIGNED, FILL_POSITIVE}, .tolerance = &exact,
       .differentiable = 3),
    OP("elementwise", "div images", DIV, by_image, COMMON, .fill = {FILL_SIGNED, FILL_POSITIVE}, .tolerance = &exact,
       .differentiable = 3),
    OP("elementwise", "min", MIN, binary, COMMON, .fill = {FILL_STEPS, FILL_STEPS}, .tolerance = &exact),
    OP("elementwise", "max", MAX, by_place, COMMON, .fill = {FILL_STEPS, FILL_STEPS}, .tolerance = &exact),
    OP("elementwise", "less", LESS, binary, COMMON, .fill = {FILL_STEPS, FILL_STEPS}, .tolerance = &exact),
    OP("elementwise", "less than scalar", LESS, by_scalar, COMMON, .fill = {FILL_STEPS, FILL_STEPS},
       .tolerance = &exact),
    OP("elementwise", "select", SELECT, ternary, COMMON, .fill = {FILL_ZERO_ONE}, .tolerance = &exact,
       .differentiable = 6),
    OP("elementwise", "select by place", SELECT, choose_scalar, COMMON, .fill = {FILL_ZERO_ONE}, .tolerance = &exact,
       .differentiable = 6),
    OP("elementwise", "relu", RELU, unary, COMMON, .fill = {FILL_APART}, .tolerance = &exact, .differentiable = 1),
    OP("elementwise", "relu_grad", RELU_GRAD, binary, COMMON, .fill = {FILL_SIGNED, FILL_RELU}, .tolerance = &exact),
    OP("elementwise", "relu6", RELU6, unary, COMMON, .fill = {FILL_LOGITS}, .tolerance = &exact, .differentiable = 1),
    OP("elementwise", "relu6_grad", RELU6_GRAD, binary, COMMON, .fill = {FILL_SIGNED, FILL_RELU6}, .tolerance = &exact),
    OP("elementwise", "affine", AFFINE, unary, COMMON, .a.affine = {2.7, -0.3}, .tolerance = &chain,
       .differentiable = 1),
    OP("elementwise", "exp", EXP, unary, COMMON, .fill = {FILL_LOGITS}, .tolerance = &function, .differentiable = 1),
    OP("elementwise", "log", LOG, unary, COMMON, .fill = {FILL_POSITIVE}, .tolerance = &near_zero, .differentiable = 1),
    OP("elementwise", "abs", ABS, unary, COMMON, .fill = {FILL_APART}, .tolerance = &exact, .differentiable = 1),
    OP("elementwise", "sign", SIGN, unary, COMMON, .fill = {FILL_STEPS}, .tolerance = &exact),
    OP("elementwise", "sqrt", SQRT, unary, COMMON, .fill = {FILL_POSITIVE}, .tolerance = &exact, .differentiable = 1),
    OP("elementwise", "clamp", CLAMP, unary, COMMON, .a.clamp = {-0.5, 0.5}, .fill = {FILL_EIGHTHS},
       .tolerance = &exact,
       .differentiable = 1),
    OP("elementwise", "clamp_grad", CLAMP_GRAD, binary, COMMON, .a.clamp = {-0.5, 0.5},
       .fill = {FILL_SIGNED, FILL_STEPS},
       .tolerance = &exact),

    OP("reduce", "sum all", SUM, reduced, COMMON, .a.reduce = {DT_AXES_ALL, 0.5}, .tolerance = &sum,
       .differentiable = 1),
    OP("reduce", "sum n", SUM, reduced, COMMON, .a.reduce = {DT_AXIS_N, 1}, .tolerance = &sum, .differentiable = 1),
    OP("reduce", "sum c", SUM, reduced, COMMON, .a.reduce = {DT_AXIS_C, -1}, .tolerance = &sum, .differentiable = 1),
    OP("reduce", "sum hw", SUM, reduced, COMMON, .a.reduce = {DT_AXES_HW, 0.25}, .tolerance = &sum,
       .differentiable = 1),
    OP("reduce", "sum nhw", SUM, reduced, COMMON, .a.reduce = {DT_AXIS_N | DT_AXES_HW, 1}, .tolerance = &sum,
       .differentiable = 1),
    OP("reduce", "sum chw", SUM, reduced, COMMON, .a.reduce = {DT_AXIS_C | DT_AXES_HW, 1}, .tolerance = &sum,
       .differentiable = 1),
    OP("reduce", "sum w", SUM, reduced, FEW, .a.reduce = {DT_AXIS_W, 1}, .tolerance = &sum, .differentiable = 1),
    OP("reduce", "reduce_min c", REDUCE_MIN, reduced, COMMON, .a.reduce = {DT_AXIS_C, 1}, .tolerance = &exact),
    OP("reduce", "reduce_max hw", REDUCE_MAX, reduced, COMMON, .a.reduce = {DT_AXES_HW, 1}, .tolerance = &exact),
    OP("reduce", "reduce_max all", REDUCE_MAX, reduced, COMMON, .a.reduce = {DT_AXES_ALL, 1}, .tolerance = &exact),
    OP("reduce", "broadcast scalar", BROADCAST, stretched, COMMON, .a.reduce = {DT_AXES_ALL, 0.3}, .tolerance = &chain,
       .differentiable = 1),
    OP("reduce", "broadcast c", BROADCAST, stretched, COMMON, .a.reduce = {DT_AXIS_C, 1}, .tolerance = &exact,
       .differentiable = 1),
    OP("reduce", "broadcast hw", BROADCAST, stretched, COMMON, .a.reduce = {DT_AXES_HW, 1}, .tolerance = &exact,
       .differentiable = 1),
    OP("reduce", "broadcast nhw", BROADCAST, stretched, FEW, .a.reduce = {DT_AXIS_N | DT_AXES_HW, 1},
       .tolerance = &exact,
       .differentiable = 1),

    OP("classify", "log_softmax", LOG_SOFTMAX, unary, COMMON, .a.real = 1, .fill = {FILL_LOGITS},
       .tolerance = &near_zero,
       .differentiable = 1),
    OP("classify", "log_softmax T=4", LOG_SOFTMAX, unary, COMMON, .a.real = 0.25, .fill = {FILL_LOGITS},
       .tolerance = &near_zero,
       .differentiable = 1),
    OP("classify", "log_softmax_grad", LOG_SOFTMAX_GRAD, binary, COMMON, .a.real = 0.25,
       .fill = {FILL_SIGNED, FILL_LOGITS},
       .tolerance = &sum),
    OP("classify", "pick", PICK, pick, COMMON, .fill = {FILL_SIGNED, FILL_LABELS}, .tolerance = &exact,
       .differentiable = 1),
    OP("classify", "pick of a table", PICK, pick_of_a_table, COMMON, .fill = {FILL_SIGNED, FILL_LABELS}, .tolerance = &exact,
       .differentiable = 1),
    OP("classify", "pick_grad", PICK_GRAD, pick_grad, COMMON, .fill = {FILL_SIGNED, FILL_LABELS}, .tolerance = &exact),
    OP("classify", "simplex_weights 2", SIMPLEX_WEIGHTS, simplex_2, FEW,
       .fill = {FILL_LABELS, FILL_LOGITS, FILL_LOGITS}, .tolerance = &solver),
    OP("classify", "simplex_weights 3", SIMPLEX_WEIGHTS, simplex_3, FEW,
       .fill = {FILL_LABELS, FILL_LOGITS, FILL_LOGITS, FILL_LOGITS}, .tolerance = &solver),

    OP("places", "cosine", COSINE, cosine, COMMON, .a.real = 1e-8, .fill = {FILL_APART, FILL_APART}, .tolerance = &sum,
       .differentiable = 3),
    OP("places", "cosine_grad", COSINE_GRAD, cosine_grad, COMMON, .a.real = 1e-8,
       .fill = {FILL_SIGNED, FILL_POSITIVE, FILL_APART},
       .tolerance = &cancelling_sum),
    OP("places", "place_softmax", PLACE_SOFTMAX, of_places, COMMON, .a.real = 10, .tolerance = &near_zero,
       .differentiable = 1),
    OP("places", "place_softmax_grad", PLACE_SOFTMAX_GRAD, of_places_grad, COMMON, .a.real = 10,
       .fill = {FILL_SIGNED, FILL_POSITIVE}, .tolerance = &sum),

    OP("conv", "conv", CONV, conv, DENSE_CONVOLUTIONS, .tolerance = &sum, .differentiable = 7),
    OP("conv", "conv_grad_input", CONV_GRAD_INPUT, conv_grad_input, DENSE_CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv_grad_weight", CONV_GRAD_WEIGHT, conv_grad_weight, DENSE_CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv doubled", CONV, conv, DOUBLED_CONVOLUTIONS, .tolerance = &sum, .differentiable = 7),
    OP("conv", "conv_grad_input doubled", CONV_GRAD_INPUT, conv_grad_input, DOUBLED_CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv_grad_weight doubled", CONV_GRAD_WEIGHT, conv_grad_weight, DOUBLED_CONVOLUTIONS, .tolerance = &sum),
};

/* ---- the speed list ------------------------------------------------------------------------------------------ */

/* Stages of resnet56 and of resnet32x4 at batch 64. */
static const op_size trained[] = {AT(64, 16, 32, 32), AT(64, 32, 16, 16), AT(64, 64, 8, 8), AT(64, 64, 32, 32),
                                  AT(64, 256, 8, 8)};
#define TRAINED .sizes = trained, .n_sizes = DT_COUNT(trained)
static const op_size trained_convolutions[] = {
    CONV(64, 3, 32, 32, 16, 3, 1, 1, 1, 1, false),   CONV(64, 16, 32, 32, 16, 3, 1, 1, 1, 1, false),
    CONV(64, 16, 32, 32, 32, 3, 2, 1, 1, 1, false),  CONV(64, 32, 16, 16, 32, 3, 1, 1, 1, 1, false),
    CONV(64, 32, 16, 16, 64, 3, 2, 1, 1, 1, false),  CONV(64, 64, 8, 8, 64, 3, 1, 1, 1, 1, false),
    CONV(64, 16, 32, 32, 32, 1, 2, 0, 1, 1, false),  CONV(64, 64, 32, 32, 64, 3, 1, 1, 1, 1, false),
    CONV(64, 128, 16, 16, 128, 3, 1, 1, 1, 1, false), CONV(64, 256, 8, 8, 256, 3, 1, 1, 1, 1, false),
};
#define TRAINED_CONVOLUTIONS .sizes = trained_convolutions, .n_sizes = DT_COUNT(trained_convolutions), .a_of_size = true
/* Depthwise convolutions and convolutions in groups: mobilenet_half, shufflenet_v2, mobilenet_v2, shufflenet_v1. */
static const op_size trained_groups[] = {
    CONV(64, 72, 16, 16, 72, 3, 1, 1, 1, 72, false),   CONV(64, 192, 4, 4, 192, 3, 1, 1, 1, 192, false),
    CONV(64, 116, 8, 8, 116, 3, 1, 1, 1, 116, false),  CONV(64, 58, 32, 32, 58, 3, 2, 1, 1, 58, false),
    CONV(4, 144, 56, 56, 144, 3, 1, 1, 1, 144, false), CONV(64, 240, 16, 16, 60, 1, 1, 0, 1, 3, false),
};
#define TRAINED_GROUPS .sizes = trained_groups, .n_sizes = DT_COUNT(trained_groups), .a_of_size = true
static const op_size classifiers[] = {PRODUCT(64, 64, 100), PRODUCT(64, 256, 100)};
static const op_size logits[] = {AT(64, 100, 1, 1), AT(64, 100, 8, 8)};

static const op_template speed_templates[] = {
    OP("conv", "conv", CONV, conv, TRAINED_CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv_grad_input", CONV_GRAD_INPUT, conv_grad_input, TRAINED_CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv_grad_weight", CONV_GRAD_WEIGHT, conv_grad_weight, TRAINED_CONVOLUTIONS, .tolerance = &sum),
    OP("conv", "conv", CONV, conv, TRAINED_GROUPS, .tolerance = &sum),
    OP("conv", "conv_grad_input", CONV_GRAD_INPUT, conv_grad_input, TRAINED_GROUPS, .tolerance = &sum),
    OP("conv", "conv_grad_weight", CONV_GRAD_WEIGHT, conv_grad_weight, TRAINED_GROUPS, .tolerance = &sum),
    OP("matmul", "linear", MATMUL, linear, .sizes = classifiers, .n_sizes = DT_COUNT(classifiers),
       .a.matmul = {false, true},
       .tolerance = &sum),
    OP("matmul", "matmul b^T of a map", MATMUL, matrix_of_places, TRAINED, .a.matmul = {false, true},
       .tolerance = &sum),
    OP("bn", "bn_stats", BN_STATS, bn_stats, TRAINED, .a.bn = {BN}, .tolerance = &sum),
    OP("bn", "bn_stats of a sum", BN_STATS, bn_stats_of_sum, TRAINED, .a.bn = {BN, .emit = true}, .tolerance = &sum),
    OP("bn", "bn_apply relu", BN_APPLY, bn_apply, TRAINED, .a.bn = {BN, .activation = DT_ACTIVATION_RELU},
       .fill = {FILL_SIGNED, FILL_STATS},
       .tolerance = &chain),
    OP("bn", "bn_apply residual relu", BN_APPLY, bn_apply_residual, TRAINED, .a.bn = {BN, .activation = DT_ACTIVATION_RELU},
       .fill = {FILL_SIGNED, FILL_STATS}, .tolerance = &chain),
    OP("bn", "bn_grad_stats masked", BN_GRAD_STATS, bn_grad_stats_masked, TRAINED, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU}, .tolerance = &sum),
    OP("bn", "bn_grad_stats of two, masked, emitted", BN_GRAD_STATS, bn_grad_stats_two, TRAINED, .a.bn = {BN,
       .emit = true},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_RELU}, .tolerance = &sum),
    OP("bn", "bn_grad_input masked", BN_GRAD_INPUT, bn_grad_input_masked, TRAINED, .a.bn = {BN},
       .fill = {FILL_SIGNED, FILL_SIGNED, FILL_STATS, FILL_SIGNED, FILL_SIGNED, FILL_RELU}, .tolerance = &cancelling_chain),
    OP("elementwise", "add", ADD, binary, TRAINED, .tolerance = &exact),
    OP("elementwise", "mul places", MUL, by_place, TRAINED, .tolerance = &exact),
    OP("elementwise", "relu", RELU, unary, TRAINED, .tolerance = &exact),
    OP("reduce", "sum hw", SUM, reduced, TRAINED, .a.reduce = {DT_AXES_HW, 1}, .tolerance = &sum),
    OP("classify", "log_softmax", LOG_SOFTMAX, unary, .sizes = logits, .n_sizes = DT_COUNT(logits), .a.real = 1,
       .tolerance = &chain),
    OP("classify", "log_softmax_grad", LOG_SOFTMAX_GRAD, binary, .sizes = logits, .n_sizes = DT_COUNT(logits),
       .a.real = 1,
       .tolerance = &sum),
    OP("places", "cosine", COSINE, cosine, TRAINED, .a.real = 1e-8, .tolerance = &sum),
    OP("places", "cosine_grad", COSINE_GRAD, cosine_grad, TRAINED, .a.real = 1e-8, .tolerance = &sum),
};

// clang-format on
/* ---- a case -------------------------------------------------------------------------------------------------- */

/* How many terms the longest sum of the operation has. */
static double terms_of(const dt_op *op)
{
    const double macs = dt_op_macs(op), outputs = (double)dt_shape_count(op->out[0]);
    if (macs > 0) return macs / outputs;
    double largest = 1; /* whatever is reduced is not larger than the largest input divided by the output */
    for (int i = 0; i < op->n_in; i++) largest = fmax(largest, (double)dt_shape_count(op->in[i]));
    return op->kind == DT_OP_LOG_SOFTMAX_GRAD || op->kind == DT_OP_COSINE_GRAD ? (double)op->out[0].c
           : op->kind == DT_OP_PLACE_SOFTMAX_GRAD ? (double)(op->out[0].h * op->out[0].w)
                                                  : fmax(1, largest / outputs);
}

static void name_case(const op_template *t, const op_size *s, op_case *out)
{
    const dt_shape x = s->x;
    int n = snprintf(out->name, sizeof out->name, "%s [%zu,%zu,%zu,%zu]", t->name, x.n, x.c, x.h, x.w);
    char *rest = out->name + n;
    const size_t left = sizeof out->name - (size_t)n;
    if (!t->a_of_size) return;
    switch (t->kind) {
    case DT_OP_CONV:
    case DT_OP_CONV_GRAD_INPUT:
    case DT_OP_CONV_GRAD_WEIGHT: {
        const dt_conv_spec c = s->a.conv;
        snprintf(rest, left, " to %zu, %zux%zu stride %zu pad %zu+%zu dilation %zu groups %zu%s", c.out_channels,
                 c.kernel_h, c.kernel_w, c.stride, c.pad, c.pad_more, c.dilation, c.groups, c.bias ? " bias" : "");
        break;
    }
    case DT_OP_GROUP_NORM:
    case DT_OP_GROUP_NORM_GRAD: snprintf(rest, left, " in %zu groups", s->a.gn.groups); break;
    default: snprintf(rest, left, " kernel %zu stride %zu pad %zu", s->a.pool.kernel, s->a.pool.stride, s->a.pool.pad);
    }
}

static void make_case(const op_template *t, const op_size *s, uint64_t seed, op_case *out)
{
    *out = (op_case){.group = t->group, .seed = seed, .differentiable = t->differentiable};
    out->op.kind = t->kind;
    out->op.a = t->a_of_size ? s->a : t->a;
    t->shapes(s->x, &out->op);
    memcpy(out->fill, t->fill, sizeof out->fill);
    out->tolerance = t->tolerance->eps * (double)FLT_EPSILON;
    if (t->tolerance->sqrt_terms) out->tolerance *= sqrt(terms_of(&out->op));
    out->of_largest = t->tolerance->of_largest;
    out->floor = t->tolerance->floor;
    out->reason = t->tolerance->reason;
    name_case(t, s, out);
}

/* Case *i of `list`; where it has fewer, their number is taken from *i. `number`: of the case in all lists. */
static bool find(const op_template *list, size_t n, size_t number, size_t *i, op_case *out)
{
    for (size_t k = 0; k < n; *i -= list[k++].n_sizes)
        if (*i < list[k].n_sizes) {
            make_case(&list[k], &list[k].sizes[*i], 1000 + number, out);
            return true;
        }
    return false;
}

bool op_case_get(size_t i, op_case *out)
{
    const size_t number = i;
    return find(templates, DT_COUNT(templates), number, &i, out) ||
           find(dense_templates, n_dense_templates, number, &i, out);
}

bool op_case_get_speed(size_t i, op_case *out)
{
    const size_t number = i;
    return find(speed_templates, DT_COUNT(speed_templates), number, &i, out) ||
           find(dense_speed_templates, n_dense_speed_templates, number, &i, out);
}
