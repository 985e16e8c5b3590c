/* The arithmetic of the cpu device: serial loops over floats, compiled once per instruction set into one table each.
 *
 * Here is no shape, no thread, no allocation: a caller hands a range of memory and, for what differs by channel, arrays
 * with a period. In NHWC memory an element's channel is its position modulo c; an array that repeats the c coefficients
 * up to a `period` of some hundred floats turns every per-channel loop into a plain one, whatever c is.
 *
 * Pointers named alike must not overlap unless the comment says so; "in place" means exactly the same address. */
#ifndef DT_LOOPS_H
#define DT_LOOPS_H

#include "graph/graph.h"

/* y[i] = f(x[i]); p, q: the operation's numbers. In place. */
typedef void dt_unary_loop(float *y, const float *x, size_t n, float p, float q);
/* y[i] = f(a[i * a_step], b[i * b_step]); steps are 0 or 1. In place where the step is 1. */
typedef void dt_binary_loop(float *y, const float *a, size_t a_step, const float *b, size_t b_step, size_t n, float p,
                            float q);

typedef enum dt_unary {
    DT_UNARY_RELU,
    DT_UNARY_AFFINE,
    DT_UNARY_EXP,
    DT_UNARY_LOG,
    DT_UNARY_ABS,
    DT_UNARY_SIGN,
    DT_UNARY_SQRT,
    DT_UNARY_CLAMP,
    DT_UNARY_SILU,
    DT_UNARY_COUNT
} dt_unary;

typedef enum dt_binary {
    DT_BINARY_ADD,
    DT_BINARY_SUB,
    DT_BINARY_MUL,
    DT_BINARY_DIV,
    DT_BINARY_MIN,
    DT_BINARY_MAX,
    DT_BINARY_LESS,
    DT_BINARY_RELU_GRAD,
    DT_BINARY_RELU6_GRAD,
    DT_BINARY_CLAMP_GRAD,
    DT_BINARY_SILU_GRAD,
    DT_BINARY_COUNT
} dt_binary;

/* What one pass of an optimiser needs: dt_update_rule, worked out for one update. */
typedef struct dt_update_numbers {
    bool nesterov, clips;
    float clip;             /* gradients times this, if `clips` */
    float decay;            /* added to them: times the weight */
    float lr, momentum;     /* sgd */
    float shrink;           /* adam: the weight times this: 1 - lr decay with adamw, else 1 */
    float beta1, rest1, beta2, rest2, eps;
    float rate, correction; /* adam: lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
    float renewal;          /* 1 - m of the average */
} dt_update_numbers;

/* The blocks of a pass. */
typedef struct dt_update_blocks {
    float *weight, *momentum, *second, *average; /* second: adam; average: NULL where there is none */
    const float *gradient;
} dt_update_blocks;

/* A product of matrices whose rows lie in groups: c[group][row][column]. Each element is a sum over `segments` pieces
 * of `inner` terms; steps are in floats.
 *
 *     c[g * c_group + r * c_row + j] = sum over s, k of a[g * a_group + r * a_row + s * a_segment + k] * b[s][k][j]
 *                                      + bias[j]
 *
 * A convolution's kernel rows are such pieces: the terms of one kernel row lie one behind the other in NHWC memory. */
typedef struct dt_product {
    size_t groups, rows, columns, segments, inner;
    size_t c_group, c_row, a_group, a_row, a_segment;
    const float *bias; /* [columns], or NULL */
} dt_product;

/* Where a place of a resized row or column lies among the places it is made of: 1 - f of the first, f of the second. */
typedef struct dt_between {
    uint32_t first, second;
    float f;
} dt_between;

/* What dropout needs: the key and the counter of its stream (base/random.c) but for the block's number, the least random
 * bits of an element that stays, and 1/(1-p). */
typedef struct dt_dropout_numbers {
    uint32_t key[2], word0, word1, word3, bound;
    float scale;
} dt_dropout_numbers;

/* Rows of places of a depth-wise 3x3 convolution with padding 1. */
enum { DT_DEPTHWISE_ROWS = 2 };
typedef struct dt_depthwise {
    size_t c;      /* at least lanes */
    size_t width;  /* of a row that is written (correlate: of dy's) */
    size_t rows;   /* 1 .. DT_DEPTHWISE_ROWS neighbours, written at a time */
    size_t stride; /* 1 or 2 */
    bool right;    /* the last output's window reaches over the right edge */
    /* Memory to be asked for meanwhile: of the rows after these (of y, or dy where y is not written). NULL, in
     * depthwise_spread only: what comes soon in these rows. */
    const float *x_ahead, *y_ahead;
} dt_depthwise;

enum { DT_PIXELS = 64 }; /* of a row at a time, in its cross-entropy */

typedef struct dt_loops {
    dt_isa isa;
    size_t lanes; /* floats in a vector */
    size_t rows;  /* of a register block: products are best with a multiple of them */

    /* ---- batch normalisation (loops_norm.inc). n: floats, starting at channel 0; coefficient arrays: period floats --- */

    /* v = x [+ addend] [-> emit]; sum[j] += v - shift, squares[j] += (v - shift)^2. Exact enough for n/period <= 256. */
    void (*norm_sums)(const float *x, const float *addend, float *emit, const float *shift, size_t n, size_t period,
                      float *sum, float *squares);
    /* y = activation(x * scale + shift [+ residual]). In place: x, residual. */
    void (*norm_apply)(float *y, const float *x, const float *residual, const float *scale, const float *shift,
                       size_t n, size_t period, dt_activation activation);
    /* g = dy [+ dy2] [where y > 0, relu6: and y < 6] [-> emit]; sum[j] += g, products[j] += g * (x - mean). */
    void (*norm_grad_sums)(const float *dy, const float *dy2, const float *y, float *emit, const float *x,
                           const float *mean, size_t n, size_t period, float *sum, float *products, bool relu6);
    /* dx = of_g * (dy [where y lets it through]) + of_x * (x - mean) + constant [+ addend]. In place: dy, y, x, addend. */
    void (*norm_grad_apply)(float *dx, const float *dy, const float *y, const float *x, const float *addend,
                            const float *mean, const float *of_g, const float *of_x, const float *constant, size_t n,
                            size_t period, bool relu6);

    /* ---- element-wise (loops_elementwise.inc) ------------------------------------------------------------------- */

    dt_unary_loop *unary[DT_UNARY_COUNT];
    dt_binary_loop *binary[DT_BINARY_COUNT];
    void (*select)(float *y, const float *condition, size_t c_step, const float *a, size_t a_step, const float *b,
                   size_t b_step, size_t n);
    double (*sum)(const float *x, size_t n);                   /* in double, in an order fixed by the instruction set */
    double (*squares)(const float *x, size_t n);               /* sum of x^2, alike */
    /* sum[i] += x[r * columns + i] for all r < rows, in their order. */
    void (*accumulate)(double *sum, const float *x, size_t rows, size_t columns);

    /* ---- optimisers (loops_optimise.inc); true when every gradient was finite ------------------------------------- */

    /* sum = (sum + gradient) * scale; with `first` sum = gradient * scale, and what was there is not read. */
    bool (*collect)(float *sum, const float *gradient, size_t n, bool first, float scale);
    bool (*sgd)(const dt_update_blocks *b, size_t n, const dt_update_numbers *p);
    bool (*adam)(const dt_update_blocks *b, size_t n, const dt_update_numbers *p);

    /* ---- rows of c floats (loops_rows.inc) ---------------------------------------------------------------------- */

    /* Both in place. */
    void (*log_softmax)(float *y, const float *x, size_t rows, size_t c, float scale);
    void (*log_softmax_grad)(float *dx, const float *dy, const float *y, size_t rows, size_t c, float scale);
    void (*cosine)(float *y, const float *u, const float *v, size_t rows, size_t c, float eps);
    void (*cosine_grad)(float *du, const float *dy, const float *u, const float *v, size_t rows, size_t c, float eps);

    /* ---- dense tasks (loops_dense.inc) -------------------------------------------------------------------------- */

    /* y = silu(x * scale + shift). In place: x. */
    void (*norm_apply_silu)(float *y, const float *x, const float *scale, const float *shift, size_t n, size_t period);
    /* g = dy * silu'(x * scale + shift) -> emit; sum[j] += g, products[j] += g * (x - mean). In place: emit over dy. */
    void (*norm_grad_sums_silu)(const float *dy, float *emit, const float *x, const float *scale, const float *shift,
                                const float *mean, size_t n, size_t period, float *sum, float *products);
    /* n places of c floats between two rows of which the second counts f; columns[n]. */
    void (*resize_row)(float *y, const float *top, const float *bottom, float f, const dt_between *columns, size_t n,
                       size_t c);
    /* Its transpose for one of the two rows, whose share is weight: dx += .. */
    void (*resize_row_back)(float *dx, const float *dy, float weight, const dt_between *columns, size_t n, size_t c);
    /* w places of c logits between two rows; each becomes `padded` floats (a multiple of lanes), the rest very negative. */
    void (*pixel_row)(float *v, const float *top, const float *bottom, float f, size_t w, size_t c, size_t padded);
    /* n pixels of a row that pixel_row made; 0 where the label is not in 0..c-1. room: DT_PIXELS * padded floats. */
    void (*pixel_ce)(float *y, const float *v, const int32_t *labels, const dt_between *columns, size_t n, size_t c,
                     size_t padded, float *room);
    /* dv += .., the gradient for that row. */
    void (*pixel_ce_grad)(float *dv, const float *dy, const float *v, const int32_t *labels, const dt_between *columns,
                          size_t n, size_t c, size_t padded, float *room);
    /* Elements begin.. of the tensor, begin a multiple of 4; y and x point at the first of them. In place. */
    void (*dropout)(float *y, const float *x, size_t begin, size_t n, const dt_dropout_numbers *p);

    /* Each of n rows: a matrix of rows x columns floats becomes its transpose. */
    void (*transpose)(float *y, const float *x, size_t n, size_t rows, size_t columns);

    /* ---- direct convolution and matrix products (loops_product.inc, gemm.inc) ------------------------------------- */

    /* See dt_product. columns: a multiple of lanes. b: panels [segments * inner][panel] of `panel` columns, one after
     * the other: twice `lanes`, or `lanes` where columns is an odd multiple of them. */
    void (*product)(float *c, const float *a, const float *b, const dt_product *p);
    /* c[r][j] += sum over g < groups, k < inner of a[g * a_group + k * a_row + r] * b[g * b_group + k * columns + j];
     * c has rows of `columns`, a multiple of lanes. (p->segments, c_row, c_group and bias are not looked at.) */
    void (*product_transposed)(float *c, const float *a, const float *b, size_t b_group, const dt_product *p);

    /* ---- depth-wise convolution (loops_depthwise.inc) -------------------------------------------------------------
     * Weights and their sums are [block][9 taps][lanes]: channels in blocks of `lanes`, the last block the last `lanes`
     * channels. x: the addresses of the (rows - 1) * stride + 3 rows that the windows meet, zeros outside the picture. */

    /* y = x * w + bias; bias [c] or NULL. With stride 1 and w turned by 180 degrees also the gradient for x. */
    void (*depthwise)(float *y, const float *const *x, const float *w, const float *bias, const dt_depthwise *p);
    /* sums += the gradient for w of these rows. */
    void (*depthwise_correlate)(float *sums, const float *const *x, const float *dy, const dt_depthwise *p);
    /* The gradient for x with stride 2: the first row that is written has an even number; dy: rows / 2 + 1 rows. */
    void (*depthwise_spread)(float *dx, const float *const *dy, const float *w, const dt_depthwise *p);
} dt_loops;

extern const dt_loops dt_loops_portable;
#ifdef DT_LOOPS_X86
extern const dt_loops dt_loops_avx2, dt_loops_avx512;
#endif

#endif
