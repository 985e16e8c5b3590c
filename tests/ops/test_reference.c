/* The reference device is the oracle of every other; here it is held to values worked out by hand. Small tensors, small
 * whole numbers, results that float32 and float64 hold exactly or to a few ulp. */
#include "device/device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHAPE(...) ((dt_shape){__VA_ARGS__})

/* Runs op in float64 from in[] to out[]. */
static void run(dt_op op, void *const *in, void *const *out)
{
    dt_device d = {.api = &dt_device_reference, .precision = DT_F64};
    dt_kernel k;
    duet_error err;
    for (op.n_in = 0; op.n_in < DT_MAX_INPUTS && op.in[op.n_in].n; op.n_in++) continue;
    op.n_out = op.out[1].n ? 2 : 1;
    if (dt_device_reference.kernel(&d, &op, &k, &err)) fail_msg("%s", err.message);
    assert_int_equal(k.run(k.state, in, out, NULL), 0);
    k.release(k.state);
}
#define IN(...)  ((void *[]){__VA_ARGS__})
#define OUT(...) ((void *[]){__VA_ARGS__})

static void check(const double *want, const double *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(want[i] - got[i]) <= 1e-12 * (1 + fabs(want[i]))))
            fail_msg("element %zu: want %.15g, got %.15g", i, want[i], got[i]);
}
#define CHECK(got, ...) check((double[]){__VA_ARGS__}, got, sizeof((double[]){__VA_ARGS__}) / sizeof(double))

/* ---- convolution --------------------------------------------------------------------------------------------- */

static double image[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};     /* 3x3, one channel */
static double kernel[9] = {1, 0, -1, 2, 0, -2, 1, 0, -1}; /* Sobel: no symmetry from left to right */

static void conv_3x3_with_padding_correlates(void **state)
{
    (void)state;
    const dt_op op = {.kind = DT_OP_CONV,
                      .in = {{1, 1, 3, 3}, {1, 1, 3, 3}, {1, 1, 1, 1}},
                      .out = {{1, 1, 3, 3}},
                      .a.conv = {.out_channels = 1, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1}};
    double y[9], bias[1] = {10};
    run(op, IN(image, kernel, bias), OUT(y));
    /* top left: columns -1 and 1: (0,0,0) - (1*0 + 2*2 + 1*5) = -9; middle: (1+8+7) - (3+12+9) = -8 */
    CHECK(y, 10 - 9, 10 - 6, 10 + 9, 10 - 20, 10 - 8, 10 + 20, 10 - 21, 10 - 6, 10 + 21);
}

static void conv_stride_and_dilation_take_the_right_places(void **state)
{
    (void)state;
    dt_op op = {.kind = DT_OP_CONV,
                .in = {{1, 1, 3, 3}, {1, 1, 2, 2}},
                .out = {{1, 1, 2, 2}},
                .a.conv = {.out_channels = 1, .kernel_h = 2, .kernel_w = 2, .stride = 2, .pad = 1}};
    double y[4], weight[4] = {1, 10, 100, 1000};
    run(op, IN(image, weight), OUT(y)); /* windows start at -1 and 1 */
    CHECK(y, 1000 * 1, 100 * 2 + 1000 * 3, 10 * 4 + 1000 * 7, 5 + 10 * 6 + 100 * 8 + 1000 * 9);

    op.out[0] = SHAPE(1, 1, 1, 1);
    op.a.conv.pad = 0, op.a.conv.dilation = 2;
    run(op, IN(image, weight), OUT(y)); /* the four corners */
    CHECK(y, 1 + 30 + 700 + 9000);
}

static void conv_groups_keep_channels_apart_and_weights_are_oihw(void **state)
{
    (void)state;
    /* Two places of four channels, 1x1 kernel, two groups of two in and one out. */
    const dt_op op = {.kind = DT_OP_CONV,
                      .in = {{1, 4, 1, 2}, {2, 2, 1, 1}},
                      .out = {{1, 2, 1, 2}},
                      .a.conv = {.out_channels = 2, .kernel_h = 1, .kernel_w = 1, .stride = 1, .groups = 2}};
    double x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, weight[4] = {1, 10, 100, 1000}, y[4];
    run(op, IN(x, weight), OUT(y));
    CHECK(y, 1 + 20, 300 + 4000, 5 + 60, 700 + 8000);

    /* OIHW: one place, two channels, kernel 1x2 over two places: weight [0][i][0][s] at 2 i + s. */
    const dt_op wide = {.kind = DT_OP_CONV,
                        .in = {{1, 2, 1, 2}, {1, 2, 1, 2}},
                        .out = {{1, 1, 1, 1}},
                        .a.conv = {.out_channels = 1, .kernel_h = 1, .kernel_w = 2, .stride = 1}};
    double pair[4] = {1, 2, 3, 4}; /* place 0: channels 1, 2; place 1: 3, 4 */
    run(wide, IN(pair, weight), OUT(y));
    CHECK(y, 1 * 1 + 3 * 10 + 2 * 100 + 4 * 1000);
}

static void conv_gradients_are_the_transposed_sums(void **state)
{
    (void)state;
    /* dL/dy is one at the middle place only, so dx is the kernel and dweight the image. */
    double dy[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0}, d[9];
    dt_op op = {.kind = DT_OP_CONV_GRAD_INPUT,
                .in = {{1, 1, 3, 3}, {1, 1, 3, 3}},
                .out = {{1, 1, 3, 3}},
                .a.conv = {.out_channels = 1, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1}};
    run(op, IN(dy, kernel), OUT(d));
    check(kernel, d, 9);
    op.kind = DT_OP_CONV_GRAD_WEIGHT;
    run(op, IN(dy, image), OUT(d));
    check(image, d, 9);
}

/* ---- matrices ------------------------------------------------------------------------------------------------ */

static void matmul_transposes_and_adds_bias(void **state)
{
    (void)state;
    double a[6] = {1, 2, 3, 4, 5, 6}, b[4] = {1, 10, 100, 1000}, bias[2] = {0.5, -0.5}, y[6];
    dt_op op = {.kind = DT_OP_MATMUL, .in = {{3, 2, 1, 1}, {2, 2, 1, 1}, {1, 2, 1, 1}}, .out = {{3, 2, 1, 1}}};
    run(op, IN(a, b, bias), OUT(y)); /* rows (1,2) (3,4) (5,6) times ((1,10),(100,1000)) */
    CHECK(y, 201.5, 2009.5, 403.5, 4029.5, 605.5, 6049.5);
    op.a.matmul.transpose_b = true;
    run(op, IN(a, b, bias), OUT(y));
    CHECK(y, 21.5, 2099.5, 43.5, 4299.5, 65.5, 6499.5);
    op = (dt_op){
        .kind = DT_OP_MATMUL, .in = {{2, 3, 1, 1}, {2, 2, 1, 1}}, .out = {{3, 2, 1, 1}}, .a.matmul = {true, false}};
    run(op, IN(a, b), OUT(y)); /* columns of ((1,2,3),(4,5,6)) */
    CHECK(y, 401, 4010, 502, 5020, 603, 6030);
}

/* ---- windows ------------------------------------------------------------------------------------------------- */

static void max_pool_gives_its_gradient_to_the_first_maximum(void **state)
{
    (void)state;
    double x[9] = {1, 7, 2, 7, 7, 3, 0, 1, 2}, y[4], dy[4] = {1, 10, 100, 1000}, dx[9];
    dt_op op = {
        .kind = DT_OP_MAX_POOL, .in = {{1, 1, 3, 3}}, .out = {{1, 1, 2, 2}}, .a.pool = {.kernel = 2, .stride = 1}};
    run(op, IN(x), OUT(y));
    CHECK(y, 7, 7, 7, 7);
    op = (dt_op){.kind = DT_OP_MAX_POOL_GRAD,
                 .in = {{1, 1, 2, 2}, {1, 1, 3, 3}, {1, 1, 2, 2}},
                 .out = {{1, 1, 3, 3}},
                 .a = op.a};
    run(op, IN(dy, x, y), OUT(dx));
    CHECK(dx, 0, 11, 0, 100, 1000, 0, 0, 0, 0);
}

static void avg_pool_counts_real_places_only(void **state)
{
    (void)state;
    double y[4], dy[4] = {4, 4, 4, 4}, dx[9];
    dt_op op = {.kind = DT_OP_AVG_POOL,
                .in = {{1, 1, 3, 3}},
                .out = {{1, 1, 2, 2}},
                .a.pool = {.kernel = 2, .stride = 2, .pad = 1}};
    run(op, IN(image), OUT(y)); /* windows {1} {2,3} {4,7} {5,6,8,9} */
    CHECK(y, 1, 2.5, 5.5, 7);
    op = (dt_op){.kind = DT_OP_AVG_POOL_GRAD, .in = {{1, 1, 2, 2}}, .out = {{1, 1, 3, 3}}, .a = op.a};
    run(op, IN(dy), OUT(dx));
    CHECK(dx, 4, 2, 2, 2, 1, 1, 2, 1, 1);
    op = (dt_op){.kind = DT_OP_AVG_POOL, .in = {{1, 1, 3, 3}}, .out = {{1, 1, 2, 2}}, .a.pool = {.kernel = 2, .stride = 2, .pad = 1, .count_pad = true}};
    run(op, IN(image), OUT(y)); /* the same sums, all divided by 4 */
    CHECK(y, 0.25, 1.25, 2.75, 7);
}

static void shuffle_transposes_groups(void **state)
{
    (void)state;
    double x[6] = {0, 1, 2, 3, 4, 5}, y[6];
    dt_op op = {.kind = DT_OP_SHUFFLE, .in = {{1, 6, 1, 1}}, .out = {{1, 6, 1, 1}}, .a.integer = 2};
    run(op, IN(x), OUT(y));
    CHECK(y, 0, 3, 1, 4, 2, 5);
    op.a.integer = 3;
    run(op, IN(x), OUT(y));
    CHECK(y, 0, 2, 4, 1, 3, 5);
}

static void relu6_lets_no_gradient_through_at_0_and_6(void **state)
{
    (void)state;
    double x[5] = {-1, 0, 3, 6, 7}, dy[5] = {1, 2, 3, 4, 5}, y[5], dx[5];
    const dt_shape s = {1, 5, 1, 1};
    run((dt_op){.kind = DT_OP_RELU6, .in = {s}, .out = {s}}, IN(x), OUT(y));
    CHECK(y, 0, 0, 3, 6, 6);
    run((dt_op){.kind = DT_OP_RELU6_GRAD, .in = {s, s}, .out = {s}}, IN(dy, y), OUT(dx));
    CHECK(dx, 0, 0, 3, 0, 0);
}

static void adaptive_avg_pool_windows_overlap_as_in_pytorch(void **state)
{
    (void)state;
    double x[5] = {1, 2, 3, 4, 5}, y[3];
    const dt_op op = {.kind = DT_OP_ADAPTIVE_AVG_POOL, .in = {{1, 1, 1, 5}}, .out = {{1, 1, 1, 3}}};
    run(op, IN(x), OUT(y)); /* 0..1, 1..3, 3..4 */
    CHECK(y, 1.5, 3, 4.5);
}

static void upsample_copies_blocks_and_its_gradient_sums_them(void **state)
{
    (void)state;
    double x[2] = {1, 2}, y[5], dy[5] = {1, 10, 100, 1000, 10000}, dx[2];
    dt_op op = {.kind = DT_OP_UPSAMPLE, .in = {{1, 1, 1, 2}}, .out = {{1, 1, 1, 5}}};
    run(op, IN(x), OUT(y)); /* floor(o * 2 / 5): 0 0 0 1 1 */
    CHECK(y, 1, 1, 1, 2, 2);
    op = (dt_op){.kind = DT_OP_UPSAMPLE_GRAD, .in = {{1, 1, 1, 5}}, .out = {{1, 1, 1, 2}}};
    run(op, IN(dy), OUT(dx));
    CHECK(dx, 111, 11000);
}

/* ---- batch normalisation ------------------------------------------------------------------------------------- */

/* Channel 0: 1 and 5, mean 3, variance 4; channel 1: 2 and 2, variance 0. */
static double bn_x[4] = {1, 2, 5, 2};

static void bn_normalises_each_channel(void **state)
{
    (void)state;
    double stats[4], weight[2] = {10, 1}, bias[2] = {0.5, 7}, residual[4] = {0, 0, -100, 1}, y[4];
    const dt_shape s = {2, 2, 1, 1}, c = {1, 2, 1, 1};
    run((dt_op){.kind = DT_OP_BN_STATS, .in = {s}, .out = {{2, 2, 1, 1}}, .a.bn = {.eps = 0.25}}, IN(bn_x), OUT(stats));
    CHECK(stats, 3, 2, 1 / sqrt(4.25), 2);

    stats[2] = 0.5; /* as with eps 0 */
    dt_op op = {.kind = DT_OP_BN_APPLY, .in = {s, {2, 2, 1, 1}, c, c}, .out = {s}};
    run(op, IN(bn_x, stats, weight, bias), OUT(y));
    CHECK(y, -9.5, 7, 10.5, 7);
    op.in[4] = s;
    op.a.bn.activation = DT_ACTIVATION_RELU;
    run(op, IN(bn_x, stats, weight, bias, residual), OUT(y));
    CHECK(y, 0, 7, 0, 8);
}

static void bn_track_moves_towards_the_unbiased_variance(void **state)
{
    (void)state;
    double stats[4] = {3, 2, 0.5, 2}, mean[2] = {1, 1}, variance[2] = {1, 1}, token;
    const dt_shape c = {1, 2, 1, 1};
    const dt_op op = {.kind = DT_OP_BN_TRACK,
                      .in = {{2, 2, 1, 1}, c, c},
                      .out = {{1, 1, 1, 1}},
                      .a.bn = {.eps = 0.25, .momentum = 0.1, .count = 2}};
    run(op, IN(stats, mean, variance), OUT(&token));
    CHECK(mean, 0.9 + 0.3, 0.9 + 0.2);
    CHECK(variance, 0.9 + 0.1 * 2 * 3.75, 0.9); /* 1/0.25 - 0.25, times 2/(2-1); 1/4 - 1/4 = 0 */
}

static void bn_gradient_is_orthogonal_to_what_normalisation_removes(void **state)
{
    (void)state;
    double stats[4] = {3, 2, 0.5, 2}, weight[2] = {10, 1}, dy[4] = {1, 4, 2, 6}, y[4] = {1, 1, 1, 0}, sums[4], dx[4],
           emitted[4];
    const dt_shape s = {2, 2, 1, 1}, c = {1, 2, 1, 1};
    dt_op op = {.kind = DT_OP_BN_GRAD_STATS, .in = {s, s, s, s}, .out = {s, s}, .a.bn.emit = true};
    run(op, IN(dy, bn_x, stats, y), OUT(sums, emitted));
    CHECK(sums, 3, 4, -1 + 2, 0); /* xhat of channel 0: -1, 1; of channel 1: 0, 0 */
    CHECK(emitted, 1, 4, 2, 0);   /* the last is masked */
    op = (dt_op){.kind = DT_OP_BN_GRAD_INPUT, .in = {s, s, s, c, s, s}, .out = {s}};
    run(op, IN(dy, bn_x, stats, weight, sums, y), OUT(dx));
    /* channel 0: 10/2 (1 - (3 - 1)/2), 5 (2 - (3 + 1)/2); channel 1: 2 (4 - 4/2), 2 (0 - 2) */
    CHECK(dx, 0, 4, 0, -4);
}

/* ---- classification ------------------------------------------------------------------------------------------ */

static void log_softmax_of_a_row_with_known_odds(void **state)
{
    (void)state;
    const double l2 = log(2);
    double x[3] = {1000 + 0, 1000 + l2, 1000 + 2 * l2}, y[3], dy[3] = {1, 0, 0}, dx[3]; /* odds 1 : 2 : 4 */
    dt_op op = {.kind = DT_OP_LOG_SOFTMAX, .in = {{1, 3, 1, 1}}, .out = {{1, 3, 1, 1}}, .a.real = 1};
    run(op, IN(x), OUT(y));
    for (int i = 0; i < 3; i++) assert_true(fabs(y[i] - log(pow(2, i) / 7)) < 1e-12);
    op = (dt_op){.kind = DT_OP_LOG_SOFTMAX_GRAD, .in = {op.in[0], op.in[0]}, .out = {op.in[0]}, .a.real = 0.5};
    run(op, IN(dy, y), OUT(dx));
    CHECK(dx, 0.5 * (1 - 1 / 7.0), -0.5 * 2 / 7, -0.5 * 4 / 7);
}

static void an_index_that_names_no_class_picks_nothing(void **state)
{
    (void)state;
    double x[6] = {1, 2, 3, 4, 5, 6}, y[3], dx[6];
    int32_t index[3] = {1, -1, 2};
    dt_op op = {
        .kind = DT_OP_PICK, .in = {{3, 2, 1, 1}, {3, 1, 1, 1}}, .in_type = {DT_REAL, DT_INDEX}, .out = {{3, 1, 1, 1}}};
    run(op, IN(x, index), OUT(y));
    CHECK(y, 2, 0, 0);
    double dy[3] = {7, 8, 9};
    op = (dt_op){.kind = DT_OP_PICK_GRAD,
                 .in = {{3, 1, 1, 1}, {3, 1, 1, 1}},
                 .in_type = {DT_REAL, DT_INDEX},
                 .out = {{3, 2, 1, 1}}};
    run(op, IN(dy, index), OUT(dx));
    CHECK(dx, 0, 7, 0, 0, 0, 0);
}

/* Label 0; z_1 is right by 1, z_2 wrong by 1: all weight on z_1. */
static void simplex_weights_prefer_the_network_that_is_right(void **state)
{
    (void)state;
    int32_t label[1] = {0};
    double right[2] = {1, 0}, wrong[2] = {0, 1}, none[2] = {0, 0}, a[3];
    const dt_shape s = {1, 2, 1, 1}, l = {1, 1, 1, 1};
    dt_op op = {.kind = DT_OP_SIMPLEX_WEIGHTS, .in = {l, s, s}, .in_type = {DT_INDEX}, .out = {{1, 2, 1, 1}}};
    run(op, IN(label, wrong, right), OUT(a));
    assert_true(fabs(a[0]) < 1e-8 && fabs(a[1] - 1) < 1e-8);
    op.in[3] = s;
    op.out[0].c = 3;
    run(op, IN(label, none, right, wrong), OUT(a));
    assert_true(fabs(a[0]) < 1e-8 && fabs(a[1] - 1) < 1e-8 && fabs(a[2]) < 1e-8);
}

/* Two images of label 0: z_1 = (2,0), (0,2) and z_2 = (0,2), (4,0) differ from the label by -+d; with a on z_1 the
 * margins are 4a - 2 and 4 - 6a, and the derivative -4 s(2 - 4a) + 6 s(6a - 4) vanishes at an a that is found here
 * by a bisection of its own. */
static void simplex_weights_find_an_inner_minimum(void **state)
{
    (void)state;
    int32_t labels[2] = {0, 0};
    double z1[4] = {2, 0, 0, 2}, z2[4] = {0, 2, 4, 0}, bad[4] = {-50, 50, -50, 50}, a[3];
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        const double m = (low + high) / 2;
        const double slope = -4 / (1 + exp(4 * m - 2)) + 6 / (1 + exp(4 - 6 * m));
        if (slope > 0) high = m;
        else low = m;
    }
    const dt_shape s = {2, 2, 1, 1};
    dt_op op = {
        .kind = DT_OP_SIMPLEX_WEIGHTS, .in = {{2, 1, 1, 1}, s, s}, .in_type = {DT_INDEX}, .out = {{1, 2, 1, 1}}};
    assert_true(low > 0.1 && low < 0.9);
    run(op, IN(labels, z1, z2), OUT(a));
    assert_true(fabs(a[0] - low) < 1e-8 && fabs(a[0] + a[1] - 1) < 1e-12);
    op.in[3] = s;
    op.out[0].c = 3; /* a third network that is always wrong changes nothing */
    run(op, IN(labels, z1, z2, bad), OUT(a));
    if (!(fabs(a[0] - low) < 1e-6 && fabs(a[1] + low - 1) < 1e-6 && fabs(a[2]) < 1e-6))
        fail_msg("want %.9g %.9g 0, got %.9g %.9g %.9g", low, 1 - low, a[0], a[1], a[2]);
}

/* ---- places -------------------------------------------------------------------------------------------------- */

static void cosine_of_known_angles_and_of_zero(void **state)
{
    (void)state;
    /* places: 45 degrees, opposite, a zero vector */
    double u[6] = {1, 0, 3, 4, 0, 0}, v[6] = {2, 2, -6, -8, 1, 1}, y[3], dy[3] = {1, 1, 1}, du[6];
    const dt_shape s = {1, 2, 1, 3}, p = {1, 1, 1, 3};
    dt_op op = {.kind = DT_OP_COSINE, .in = {s, s}, .out = {p}, .a.real = 0.5};
    run(op, IN(u, v), OUT(y));
    CHECK(y, sqrt(0.5), -1, 0);
    op = (dt_op){.kind = DT_OP_COSINE_GRAD, .in = {p, s, s}, .out = {s}, .a.real = 0.5};
    run(op, IN(dy, u, v), OUT(du));
    CHECK(du, 0, sqrt(0.5), 0, 0, 2, 2); /* across u; nothing to gain or lose; v / eps */
}

static void place_softmax_is_over_the_places_of_one_image(void **state)
{
    (void)state;
    const double l3 = log(3);
    double x[4] = {0, l3, 5, 5}, y[4];
    const dt_op op = {.kind = DT_OP_PLACE_SOFTMAX, .in = {{2, 1, 1, 2}}, .out = {{2, 1, 1, 2}}, .a.real = 1};
    run(op, IN(x), OUT(y));
    CHECK(y, 0.25, 0.75, 0.5, 0.5);
}

/* ---- element-wise and reductions ----------------------------------------------------------------------------- */

static void broadcasting_follows_the_logical_axes(void **state)
{
    (void)state;
    /* [1,2,1,3] in memory: (c0,c1) of three places */
    double x[6] = {1, 2, 3, 4, 5, 6}, by_channel[2] = {10, 100}, by_place[3] = {0.1, 0.2, 0.3}, y[6], sums[3];
    dt_op op = {.kind = DT_OP_ADD, .in = {{1, 2, 1, 3}, {1, 2, 1, 1}}, .out = {{1, 2, 1, 3}}};
    run(op, IN(x, by_channel), OUT(y));
    CHECK(y, 11, 102, 13, 104, 15, 106);
    op.in[1] = SHAPE(1, 1, 1, 3);
    run(op, IN(x, by_place), OUT(y));
    CHECK(y, 1.1, 2.1, 3.2, 4.2, 5.3, 6.3);
    op = (dt_op){.kind = DT_OP_SUM, .in = {{1, 2, 1, 3}}, .out = {{1, 1, 1, 3}}, .a.reduce = {DT_AXIS_C, 2}};
    run(op, IN(x), OUT(sums));
    CHECK(sums, 6, 14, 22);
    op = (dt_op){.kind = DT_OP_SUM, .in = {{1, 2, 1, 3}}, .out = {{1, 2, 1, 1}}, .a.reduce = {DT_AXES_HW, 1}};
    run(op, IN(x), OUT(sums));
    CHECK(sums, 9, 12);
}

/* ---- the optimiser ------------------------------------------------------------------------------------------- */

static void sgd_makes_pytorchs_steps(void **state)
{
    (void)state;
    double w[1] = {2}, v[1] = {0}, g[1] = {1}, flag;
    dt_update p = {
        .weight = w, .momentum = v, .gradient = g, .n = 1, .lr = 0.5, .rule = {.momentum = 0.5, .weight_decay = 0.25}};
    const dt_op op = {.kind = DT_OP_UPDATE, .out = {{1, 1, 1, 1}}};
    run(op, IN(&p), OUT(&flag)); /* g = 1.5, v = 1.5, w = 2 - 0.75 */
    CHECK(w, 1.25);
    run(op, IN(&p), OUT(&flag)); /* g = 1.3125, v = 2.0625, w = 1.25 - 1.03125 */
    CHECK(w, 0.21875);
    CHECK(v, 2.0625);
    p.rule.nesterov = true;
    run(op, IN(&p), OUT(&flag)); /* g = 1.0546875, v = 2.0859375, step = g + v/2 = 2.09765625 */
    CHECK(w, 0.21875 - 1.048828125);
    assert_true(flag == 0);
    g[0] = (double)NAN;
    run(op, IN(&p), OUT(&flag));
    assert_true(flag == 1);
}

static void adam_makes_pytorchs_steps(void **state)
{
    (void)state;
    double w[1] = {2}, v[1] = {0}, s[1] = {0}, e[1] = {2}, g[1] = {3}, flag;
    dt_update p = {.weight = w, .momentum = v, .second = s, .average = e, .gradient = g, .n = 1, .lr = 0.5,
                   .rule = {.optimiser = DT_ADAM, .beta1 = 0.5, .beta2 = 0.75, .eps = 1, .ema = 0.15}};
    const dt_op op = {.kind = DT_OP_UPDATE, .out = {{1, 1, 1, 1}}};
    run(op, IN(&p), OUT(&flag)); /* v 1.5, s 2.25, corrected 3 and 9: w = 2 - 0.5 * 3 / (3 + 1) */
    CHECK(v, 1.5);
    CHECK(s, 2.25);
    CHECK(w, 1.625);
    CHECK(e, 0.1 * 2 + 0.9 * 1.625); /* 1/10 is below 0.15 */
    p.rule.optimiser = DT_ADAMW;
    p.rule.weight_decay = 0.25;
    p.rule.clip_norm = 2;
    run(op, IN(&p), OUT(&flag)); /* g 2: v 1.75, s 2.6875, corrected by 0.75 and 0.4375; w first times 0.875 */
    const double after = 1.625 * 0.875 - 0.5 * (1.75 / 0.75) / (sqrt(2.6875 / 0.4375) + 1);
    if (!(fabs(w[0] - after) <= 1e-6)) fail_msg("got %.15g, want %.15g", w[0], after); /* 1e-6 is in the clipping */
    assert_true(p.norm == 3);
    assert_int_equal(p.updates, 2);
    CHECK(e, 0.15 * (0.1 * 2 + 0.9 * 1.625) + 0.85 * w[0]); /* 2/11 is above */
    assert_true(flag == 0);
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static void an_unknown_device_is_answered_with_the_names(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_null(dt_device_find("referense", &err));
    assert_int_equal(err.status, DUET_ARG);
    assert_non_null(strstr(err.message, "'reference'"));
    assert_ptr_equal(dt_device_find("reference", NULL), &dt_device_reference);
}

static void what_does_not_run_has_no_kernel(void **state)
{
    (void)state;
    dt_device d = {.api = &dt_device_reference, .precision = DT_F32};
    dt_kernel k;
    duet_error err = {0};
    assert_int_equal(dt_device_reference.kernel(&d, &(dt_op){.kind = DT_OP_DETACH}, &k, &err), DUET_DEVICE);
    assert_non_null(strstr(err.message, "detach"));
}

static void a_kernel_without_memory_is_an_error(void **state)
{
    (void)state;
    dt_device d = {.api = &dt_device_reference, .precision = DT_F32};
    dt_kernel k = {.note = "untouched"};
    duet_error err = {0};
    dt_alloc_fail_at(1);
    assert_int_equal(dt_device_reference.kernel(&d, &(dt_op){.kind = DT_OP_ADD}, &k, &err), DUET_MEMORY);
    assert_string_equal(k.note, "untouched");
    dt_alloc_fail_at(0);
}

static void work_and_traffic_follow_from_shapes(void **state)
{
    (void)state;
    /* resnet's 3x3 on 16 channels of 32x32, one image: 2,359,296 multiply-adds; three tensors of 16384, 2304, 16384. */
    dt_op op = {
        .kind = DT_OP_CONV, .n_in = 2, .n_out = 1, .in = {{1, 16, 32, 32}, {16, 16, 3, 3}}, .out = {{1, 16, 32, 32}}};
    assert_true(dt_op_macs(&op) == 2359296);
    assert_true(dt_op_bytes(&op) == 4 * (16384 + 2304 + 16384));
    op.kind = DT_OP_CONV_GRAD_INPUT;
    assert_true(dt_op_macs(&op) == 2359296);
    op = (dt_op){.kind = DT_OP_CONV_GRAD_WEIGHT,
                 .n_in = 2,
                 .n_out = 1,
                 .in = {{1, 16, 32, 32}, {1, 16, 32, 32}},
                 .out = {{16, 16, 3, 3}}};
    assert_true(dt_op_macs(&op) == 2359296);
    op = (dt_op){
        .kind = DT_OP_MATMUL, .n_in = 2, .n_out = 1, .in = {{5, 64, 1, 1}, {5, 100, 1, 1}}, .out = {{64, 100, 1, 1}}};
    op.a.matmul.transpose_a = true;
    assert_true(dt_op_macs(&op) == 5 * 64 * 100);
}

/* ---- dense tasks ----------------------------------------------------------------------------------------------- */

static void resize_with_and_without_aligned_corners(void **state)
{
    (void)state;
    double x[2] = {0, 12}, y[4], row[3] = {1, 2, 4}, one[1];
    dt_op op = {.kind = DT_OP_RESIZE, .in = {{1, 1, 1, 2}}, .out = {{1, 1, 1, 4}}};
    run(op, IN(x), OUT(y)); /* s = -1/4 -> 0, 1/4, 3/4, 5/4 -> the last place */
    CHECK(y, 0, 3, 9, 12);
    op.a.resize.align = true;
    run(op, IN(x), OUT(y)); /* s = 0, 1/3, 2/3, 1 */
    CHECK(y, 0, 4, 8, 12);

    op.in[0] = SHAPE(1, 1, 1, 3), op.out[0] = SHAPE(1, 1, 1, 1);
    run(op, IN(row), OUT(one)); /* a single place is the first corner, or the middle */
    CHECK(one, 1);
    op.a.resize.align = false;
    run(op, IN(row), OUT(one));
    CHECK(one, 2);
}

static void resize_gradient_is_the_transposed_sum(void **state)
{
    (void)state;
    double dy[4] = {1, 10, 100, 1000}, dx[2];
    const dt_op op = {.kind = DT_OP_RESIZE_GRAD, .in = {{1, 1, 1, 4}}, .out = {{1, 1, 1, 2}}};
    run(op, IN(dy), OUT(dx));
    CHECK(dx, 1 + 7.5 + 25, 2.5 + 75 + 1000);
}

static void pixel_cross_entropy_leaves_labels_out_of_range_alone(void **state)
{
    (void)state;
    /* One coarse place of two classes, four pixels: all see the same logits. */
    double z[2] = {0, log(3)}, y[4], dy[4] = {1, 1, 1, 1}, dz[2];
    int32_t labels[4] = {0, 1, 255, -1};
    dt_op op = {.kind = DT_OP_PIXEL_CE, .in = {{1, 2, 1, 1}, {1, 1, 2, 2}}, .out = {{1, 1, 2, 2}}};
    op.in_type[1] = DT_INDEX;
    run(op, IN(z, labels), OUT(y));
    CHECK(y, log(4), log(4) - log(3), 0, 0);

    op = (dt_op){.kind = DT_OP_PIXEL_CE_GRAD, .in = {{1, 1, 2, 2}, {1, 2, 1, 1}, {1, 1, 2, 2}}, .out = {{1, 2, 1, 1}}};
    op.in_type[2] = DT_INDEX;
    run(op, IN(dy, z, labels), OUT(dz));
    CHECK(dz, 0.25 - 1 + 0.25, 0.75 + 0.75 - 1);
    labels[0] = labels[1] = 255;
    run(op, IN(dy, z, labels), OUT(dz));
    assert_true(dz[0] == 0 && dz[1] == 0); /* exactly */
}

static void group_norm_normalises_each_image_and_group_for_itself(void **state)
{
    (void)state;
    /* Two images of two places, four channels in two groups. */
    double x[16] = {1, 3, 4, 5, 1, 3, 5, 6, -1, 1, 2, 4, -1, 1, 6, 8}, y[16], stats[8];
    double weight[4] = {1, 2, 1, 1}, bias[4] = {0, 0, 10, 0};
    const dt_op op = {.kind = DT_OP_GROUP_NORM,
                      .in = {{2, 4, 1, 2}, {1, 4, 1, 1}, {1, 4, 1, 1}},
                      .out = {{2, 4, 1, 2}, {2, 2, 2, 1}},
                      .a.gn = {.eps = 0, .groups = 2, .emit = true}};
    run(op, IN(x, weight, bias), OUT(y, stats));
    const double r = sqrt(2), q = 1 / sqrt(5);
    CHECK(stats, 2, 5, 1, r, 0, 5, 1, q);
    CHECK(y, -1, 2, 10 - r, 0, -1, 2, 10, r, -1, 2, 10 - 3 * q, -q, -1, 2, 10 + q, 3 * q);
}

static void patches_keep_rows_columns_and_channels_in_that_order(void **state)
{
    (void)state;
    /* 2x4 places of two channels, value = 100 h + 10 w + c. */
    double x[16], y[16], back[16];
    for (size_t i = 0; i < 16; i++) x[i] = (double)(100 * (i / 8) + 10 * (i / 2 % 4) + i % 2);
    dt_op op = {.kind = DT_OP_PATCHES, .in = {{1, 2, 2, 4}}, .out = {{1, 8, 1, 2}}, .a.integer = 2};
    run(op, IN(x), OUT(y));
    CHECK(y, 0, 1, 10, 11, 100, 101, 110, 111, 20, 21, 30, 31, 120, 121, 130, 131);
    op.kind = DT_OP_PATCHES_GRAD, op.in[0] = op.out[0], op.out[0] = SHAPE(1, 2, 2, 4);
    run(op, IN(y), OUT(back));
    check(x, back, 16);
}

static void batch_matmul_keeps_images_apart(void **state)
{
    (void)state;
    double a[4] = {1, 2, 3, 4}, b[4] = {10, 100, 1000, 10000}, y[2];
    const dt_op op = {.kind = DT_OP_BATCH_MATMUL,
                      .in = {{2, 2, 1, 1}, {2, 2, 1, 1}},
                      .out = {{2, 1, 1, 1}},
                      .a.matmul = {.transpose_b = true}};
    run(op, IN(a, b), OUT(y));
    CHECK(y, 10 + 200, 3000 + 40000);
}

static void time_embedding_is_sines_then_cosines(void **state)
{
    (void)state;
    int32_t t[2] = {0, 3};
    double y[8];
    dt_op op = {.kind = DT_OP_TIME_EMBED, .in = {{2, 1, 1, 1}}, .out = {{2, 4, 1, 1}}};
    op.in_type[0] = DT_INDEX;
    run(op, IN(t), OUT(y)); /* frequencies 1 and 1/10000 */
    CHECK(y, 0, 0, 1, 1, sin(3), sin(3e-4), cos(3), cos(3e-4));
}

static void dropout_drops_the_promised_share_by_the_documented_numbers(void **state)
{
    (void)state;
    enum { N = 4000 };
    static double x[N], y[N], again[N];
    int32_t key[1] = {17};
    for (size_t i = 0; i < N; i++) x[i] = 3;
    dt_op op = {.kind = DT_OP_DROPOUT,
                .in = {{1, N, 1, 1}, {1, 1, 1, 1}},
                .out = {{1, N, 1, 1}},
                .a.dropout = {.p = 0.25, .seed = 5, .salt = 9}};
    op.in_type[1] = DT_INDEX;
    run(op, IN(x, key), OUT(y));
    size_t dropped = 0;
    for (size_t i = 0; i < N; i++) {
        dt_rng r = dt_rng_make(5, DT_PURPOSE_DROPOUT, 17, (UINT64_C(9) << 32) + i / 4);
        uint32_t bits = 0;
        for (size_t k = 0; k <= i % 4; k++) bits = dt_rng_u32(&r);
        const double want = bits < UINT32_C(1) << 30 ? 0 : 4;
        if (!(fabs(y[i] - want) < 1e-12)) fail_msg("element %zu: want %g, got %g", i, want, y[i]);
        dropped += want == 0;
    }
    assert_in_range(dropped, 1000 - 4 * 28, 1000 + 4 * 28); /* four deviations, sqrt(4000 * .25 * .75) each */
    key[0] = 18;
    run(op, IN(x, key), OUT(again));
    assert_true(memcmp(y, again, sizeof y) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_3x3_with_padding_correlates),
        cmocka_unit_test(conv_stride_and_dilation_take_the_right_places),
        cmocka_unit_test(conv_groups_keep_channels_apart_and_weights_are_oihw),
        cmocka_unit_test(conv_gradients_are_the_transposed_sums),
        cmocka_unit_test(matmul_transposes_and_adds_bias),
        cmocka_unit_test(max_pool_gives_its_gradient_to_the_first_maximum),
        cmocka_unit_test(avg_pool_counts_real_places_only),
        cmocka_unit_test(shuffle_transposes_groups),
        cmocka_unit_test(relu6_lets_no_gradient_through_at_0_and_6),
        cmocka_unit_test(adaptive_avg_pool_windows_overlap_as_in_pytorch),
        cmocka_unit_test(upsample_copies_blocks_and_its_gradient_sums_them),
        cmocka_unit_test(bn_normalises_each_channel),
        cmocka_unit_test(bn_track_moves_towards_the_unbiased_variance),
        cmocka_unit_test(bn_gradient_is_orthogonal_to_what_normalisation_removes),
        cmocka_unit_test(log_softmax_of_a_row_with_known_odds),
        cmocka_unit_test(an_index_that_names_no_class_picks_nothing),
        cmocka_unit_test(simplex_weights_prefer_the_network_that_is_right),
        cmocka_unit_test(simplex_weights_find_an_inner_minimum),
        cmocka_unit_test(cosine_of_known_angles_and_of_zero),
        cmocka_unit_test(place_softmax_is_over_the_places_of_one_image),
        cmocka_unit_test(broadcasting_follows_the_logical_axes),
        cmocka_unit_test(sgd_makes_pytorchs_steps),
        cmocka_unit_test(adam_makes_pytorchs_steps),
        cmocka_unit_test(an_unknown_device_is_answered_with_the_names),
        cmocka_unit_test(what_does_not_run_has_no_kernel),
        cmocka_unit_test(a_kernel_without_memory_is_an_error),
        cmocka_unit_test(work_and_traffic_follow_from_shapes),
        cmocka_unit_test(resize_with_and_without_aligned_corners),
        cmocka_unit_test(resize_gradient_is_the_transposed_sum),
        cmocka_unit_test(pixel_cross_entropy_leaves_labels_out_of_range_alone),
        cmocka_unit_test(group_norm_normalises_each_image_and_group_for_itself),
        cmocka_unit_test(patches_keep_rows_columns_and_channels_in_that_order),
        cmocka_unit_test(batch_matmul_keeps_images_apart),
        cmocka_unit_test(time_embedding_is_sines_then_cosines),
        cmocka_unit_test(dropout_drops_the_promised_share_by_the_documented_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
