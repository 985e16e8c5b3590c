/* Inside the list of cases: what a template is, its tolerances, and shape rules that several lists use. */
#ifndef OPS_CASES_IMPL_H
#define OPS_CASES_IMPL_H

#include "cases.h"

/* One size a template is made at: the shape that the others follow from, and attributes where they vary. */
typedef struct op_size {
    dt_shape x;
    dt_attributes a;
} op_size;

typedef struct op_tolerance {
    double eps;        /* in units of FLT_EPSILON */
    bool sqrt_terms;   /* times the square root of the number of terms in one output */
    bool of_largest;
    const char *reason;
    double floor;      /* the scale is at least this: where terms of about this size may cancel */
} op_tolerance;

typedef struct op_template {
    const char *group, *name;
    dt_kind kind;
    void (*shapes)(dt_shape x, dt_op *op); /* sets in, in_type, n_in, out, n_out from x and op->a */
    const op_size *sizes;
    size_t n_sizes;
    dt_attributes a; /* unless the sizes bring their own */
    bool a_of_size;
    op_fill fill[DT_MAX_INPUTS];
    const op_tolerance *tolerance;
    unsigned differentiable;
} op_template;

/* ---- tolerances ---------------------------------------------------------------------------------------------- */

static const op_tolerance exact = {0, false, false, "one IEEE operation or a copy: nothing to round differently", 0};
static const op_tolerance chain = {8, false, true, "a few roundings, and cancellation up to the largest term", 0};
/* As above, where one output may be all there is: its terms, weight * r * g, are 0.3 on average at the values used, and may cancel. */
static const op_tolerance cancelling_chain = {8, false, true, "a few roundings of terms that cancel", 0.1};
static const op_tolerance function = {16, false, false, "a vector exp or sqrt may be some ulp from libm's", 0};
static const op_tolerance near_zero = {16, false, true, "log near 1: some ulp of the largest value", 0};
/* Random signs: the rounding errors of a sum of t terms walk like sqrt(t); four standard deviations and some slack. */
static const op_tolerance sum = {8, true, true, "float32 partial sums in another order than the reference's double", 0};
/* The part of dy v/(|u||v|) along u cancels; it is not larger than 1/|u|, which is at most 2 at the values used. */
static const op_tolerance cancelling_sum = {8, true, true, "float32 sums whose largest parts cancel", 2};
static const op_tolerance solver = {4096, false, true, "an iteration that stops near, not at, the same point", 0};

/* The lists that cases_dense.c adds. */
extern const op_template dense_templates[], dense_speed_templates[];
extern const size_t n_dense_templates, n_dense_speed_templates;

// clang-format off: tables and one-line rules, aligned by hand
/* ---- sizes and shape rules ----------------------------------------------------------------------------------- */

#define AT(n, c, h, w) {.x = {n, c, h, w}}
#define OP(group, name, kind, shapes, ...) {group, name, DT_OP_##kind, shapes, __VA_ARGS__}

static inline void set(dt_op *op, int n_in, const dt_shape *in, dt_shape out)
{
    op->n_in = n_in;
    for (int i = 0; i < n_in; i++) op->in[i] = in[i];
    op->out[0] = out;
    op->n_out = 1;
}
#define SHAPES(...) (int)DT_COUNT(((const dt_shape[]){__VA_ARGS__})), (const dt_shape[]){__VA_ARGS__}

static const dt_shape one = {1, 1, 1, 1};
static inline dt_shape channels(dt_shape x) { return (dt_shape){1, x.c, 1, 1}; }
static inline dt_shape places(dt_shape x) { return (dt_shape){x.n, 1, x.h, x.w}; }
static inline void unary(dt_shape x, dt_op *op) { set(op, SHAPES(x), x); }
static inline void binary(dt_shape x, dt_op *op) { set(op, SHAPES(x, x), x); }
static inline void to_4x3(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c, 4, 3}); }
static inline void from_4x3(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, 4, 3}), x); }
static inline void to_double(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c, 2 * x.h, 2 * x.w}); }
static inline void from_double(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, 2 * x.h, 2 * x.w}), x); }
static inline void to_uneven(dt_shape x, dt_op *op) { set(op, SHAPES(x), (dt_shape){x.n, x.c, x.h + 3, 3 * x.w}); }
static inline void from_uneven(dt_shape x, dt_op *op) { set(op, SHAPES({x.n, x.c, x.h + 3, 3 * x.w}), x); }

// clang-format on
#endif
