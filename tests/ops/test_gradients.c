/* Every gradient of the graph against central finite differences, in float64 on the reference device.
 *
 * For a value y(x), fixed random numbers r of y's shape and a random direction d of x's shape with elements -1 and 1,
 * the graph itself computes both sides of
 *
 *     sum r (y(x + h d) - y(x - h d)) / 2h  =  sum dL/dx d,   L = sum r y(x)
 *
 * so that only the two results are rounded to float32 when they are read. The error of the left side is about h^2
 * |y'''| + 1e-16 |y| / h: below 1e-8 of the result with h = 1e-5. Every element of the gradient enters; each input is
 * tried in two directions, on its own. Graphs run fused, in placed memory, as in training. */
#include "cases.h"
#include "program/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_ELEMENTS = 5000 };
static const double h = 1e-5, tolerance = 1e-6;

/* y from its inputs. */
typedef dt_node (*formula)(dt_graph *g, const dt_node *in, const void *what);

/* One formula and what to try it on. */
typedef struct subject {
    const char *name;
    formula build;
    const void *what;
    int n_in;
    dt_shape in[DT_MAX_INPUTS];
    dt_type type[DT_MAX_INPUTS];
    unsigned differentiable; /* bit i: input i */
    const float *values[DT_MAX_INPUTS];
    uint64_t seed;
    bool quiet; /* a difference is expected: no line about it */
} subject;

typedef struct trial {
    dt_graph *g;
    dt_node x[DT_MAX_INPUTS], direction[DT_MAX_INPUTS], weights;
    dt_node sides[2]; /* analytic, numeric */
    dt_state *state;
    dt_program *program;
} trial;

static dt_device *device;

static int open_device(void **state)
{
    (void)state;
    const dt_device_options options = {.threads = 1, .precision = DT_F64};
    return dt_device_reference.open(&options, &device, NULL) ? -1 : 0;
}

static int close_device(void **state)
{
    (void)state;
    dt_device_reference.close(device);
    return 0;
}

/* ---- the two sides ------------------------------------------------------------------------------------------- */

/* The inputs moved by `step` along their directions. */
static dt_node moved(const subject *s, trial *t, double step)
{
    dt_node in[DT_MAX_INPUTS];
    for (int i = 0; i < s->n_in; i++) {
        in[i] = t->x[i];
        if (step != 0 && s->differentiable >> i & 1) in[i] = dt_add(t->g, in[i], dt_scale(t->g, t->direction[i], step));
    }
    return s->build(t->g, in, s->what);
}

static void build_sides(const subject *s, trial *t)
{
    dt_graph *g = t->g;
    dt_node wrt[DT_MAX_INPUTS], gradient[DT_MAX_INPUTS];
    size_t n = 0;
    for (int i = 0; i < s->n_in; i++) {
        t->x[i] = s->in[i].n ? dt_input(g, "x", s->type[i], s->in[i]) : DT_NONE;
        if (!(s->differentiable >> i & 1)) continue;
        t->direction[i] = dt_input(g, "direction", DT_REAL, s->in[i]);
        wrt[n++] = t->x[i];
    }
    const dt_node y = moved(s, t, 0);
    t->weights = dt_input(g, "weights", DT_REAL, dt_shape_of(g, y));
    const dt_node loss = dt_sum(g, dt_mul(g, y, t->weights), DT_AXES_ALL);
    const dt_node change = dt_sub(g, moved(s, t, h), moved(s, t, -h));
    t->sides[1] = dt_scale(g, dt_sum(g, dt_mul(g, change, t->weights), DT_AXES_ALL), 1 / (2 * h));

    dt_differentiate(g, loss, wrt, n, gradient);
    t->sides[0] = dt_constant(g, 0);
    n = 0;
    for (int i = 0; i < s->n_in; i++)
        if (s->differentiable >> i & 1) {
            const dt_node along = dt_sum(g, dt_mul(g, gradient[n++], t->direction[i]), DT_AXES_ALL);
            t->sides[0] = dt_add(g, t->sides[0], along);
        }
}

static void compile(const subject *s, bool no_fusion, trial *t)
{
    duet_error err = {0};
    const char *const names[] = {"none"};
    *t = (trial){.g = dt_graph_create()};
    assert_non_null(t->g);
    build_sides(s, t);
    const dt_program_spec spec = {.graph = t->g, .outputs = t->sides, .n_outputs = 2, .no_fusion = no_fusion};
    if (dt_graph_check(t->g, &err)) fail_msg("%s: %s", s->name, err.message);
    if (dt_state_create(device, t->g, names, 1, &t->state, &err)) fail_msg("%s: %s", s->name, err.message);
    dt_program_spec complete = spec;
    complete.state = t->state;
    if (dt_program_compile(&complete, &t->program, &err)) fail_msg("%s: %s", s->name, err.message);
}

static void discard(trial *t)
{
    dt_program_destroy(t->program);
    dt_state_destroy(t->state);
    dt_graph_destroy(t->g);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* Writes whole numbers as int32 where the input wants them. */
static void write_values(trial *t, dt_node x, dt_type type, const float *values, size_t n)
{
    static int32_t index[MOST_ELEMENTS];
    if (type == DT_INDEX)
        for (size_t i = 0; i < n; i++) index[i] = (int32_t)values[i];
    dt_program_write(t->program, x, type == DT_INDEX ? (const void *)index : values, n);
}

/* Elements -1 and 1; all zero when the input is not the one that moves. */
static void write_direction(trial *t, dt_node x, dt_shape s, dt_rng *r, bool moves)
{
    static float values[MOST_ELEMENTS];
    const size_t n = dt_shape_count(s);
    for (size_t i = 0; i < n; i++) values[i] = !moves ? 0 : dt_rng_below(r, 2) ? 1.0f : -1.0f;
    dt_program_write(t->program, x, values, n);
}

static void write_weights(trial *t, dt_rng *r)
{
    static float values[4 * MOST_ELEMENTS];
    const size_t n = dt_shape_count(dt_shape_of(t->g, t->weights));
    assert_true(n <= DT_COUNT(values));
    for (size_t i = 0; i < n; i++) values[i] = 2 * dt_rng_uniform(r) - 1;
    dt_program_write(t->program, t->weights, values, n);
}

/* False, with a line, when the two sides differ for input `moving`. */
static bool sides_agree(const subject *s, trial *t, int moving, dt_rng *r)
{
    duet_error err = {0};
    for (int i = 0; i < s->n_in; i++)
        if (s->differentiable >> i & 1) write_direction(t, t->direction[i], s->in[i], r, i == moving);
    if (dt_program_run(t->program, -1, &err)) fail_msg("%s: %s", s->name, err.message);
    const double analytic = (double)dt_program_scalar(t->program, t->sides[0]);
    const double numeric = (double)dt_program_scalar(t->program, t->sides[1]);
    if (fabs(analytic - numeric) <= tolerance * fmax(1, fabs(numeric))) return true;
    if (s->quiet) return false;
    print_error("%s, seed %llu, input %d: gradient along d %.9g, finite difference %.9g\n", s->name,
                (unsigned long long)s->seed, moving, analytic, numeric);
    return false;
}

/* The number of inputs and directions for which the sides differ. `fused`, when given: what fusion did. */
static int count_wrong(const subject *s, bool no_fusion, dt_graph *fused)
{
    trial t;
    int wrong = 0;
    dt_rng r = dt_rng_make(s->seed, DT_PURPOSE_TEST, 2, 0);
    compile(s, no_fusion, &t);
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].n) write_values(&t, t.x[i], s->type[i], s->values[i], dt_shape_count(s->in[i]));
    write_weights(&t, &r);
    for (int i = 0; i < s->n_in; i++)
        for (int direction = 0; direction < 2 && s->differentiable >> i & 1; direction++)
            wrong += !sides_agree(s, &t, i, &r);
    if (fused) fused->fused = t.g->fused;
    discard(&t);
    return wrong;
}

/* ---- one operation ------------------------------------------------------------------------------------------- */

static dt_node one_operation(dt_graph *g, const dt_node *in, const void *what)
{
    const dt_op *op = what;
    return dt_node_make(g, op->kind, in, op->n_in, op->a, op->out[0], DT_REAL);
}

static bool small(const dt_op *op)
{
    for (int i = 0; i < op->n_in; i++)
        if (dt_shape_count(op->in[i]) > MOST_ELEMENTS) return false;
    return dt_shape_count(op->out[0]) <= MOST_ELEMENTS && dt_op_macs(op) < 2e6;
}

static int count_wrong_of_case(const op_case *k)
{
    subject s = {.name = k->name, .build = one_operation, .what = &k->op, .n_in = k->op.n_in, .seed = k->seed};
    float *values[DT_MAX_INPUTS] = {0};
    for (int i = 0; i < k->op.n_in; i++) {
        s.in[i] = k->op.in[i];
        s.type[i] = k->op.in_type[i];
        if (!s.in[i].n) continue;
        values[i] = dt_alloc(dt_shape_count(s.in[i]), sizeof(float));
        assert_non_null(values[i]);
        op_case_values(k, i, values[i]);
        s.values[i] = values[i];
        s.differentiable |= k->differentiable & 1u << i;
    }
    const int wrong = count_wrong(&s, false, NULL);
    for (int i = 0; i < k->op.n_in; i++) dt_free(values[i]);
    return wrong;
}

/* Every differentiable case of the list, but the largest. */
static void operations_agree_with_finite_differences(void **state)
{
    (void)state;
    op_case k;
    int wrong = 0, n = 0;
    for (size_t i = 0; op_case_get(i, &k); i++) {
        if (!k.differentiable || !small(&k.op)) continue;
        wrong += count_wrong_of_case(&k);
        n++;
    }
    if (wrong) fail_msg("%d of the gradients of %d cases are wrong", wrong, n);
    assert_true(n > 300);
}

/* ---- batch norm and what fusion makes of it ------------------------------------------------------------------ */

enum { N = 3, C = 5, H = 4, W = 3 };
static const dt_shape map = {N, C, H, W};

static dt_node batch_norm(dt_graph *g, dt_node x, dt_node weight, dt_node bias)
{
    const dt_shape s = dt_shape_of(g, x);
    const dt_attributes a = {.bn = {.eps = 1e-5, .momentum = 0.1, .count = s.n * s.h * s.w}};
    const dt_node stats = dt_node_make(g, DT_OP_BN_STATS, &x, 1, a, (dt_shape){2, s.c, 1, 1}, DT_REAL);
    return dt_node_make(g, DT_OP_BN_APPLY, (dt_node[]){x, stats, weight, bias}, 4, a, s, DT_REAL);
}

static dt_node frozen_norm(dt_graph *g, dt_node x, dt_node weight, dt_node bias, dt_node mean, dt_node variance)
{
    const dt_shape s = dt_shape_of(g, x);
    const dt_attributes a = {.bn = {.eps = 1e-5}};
    const dt_node stats =
        dt_node_make(g, DT_OP_BN_FROZEN, (dt_node[]){mean, variance}, 2, a, (dt_shape){2, s.c, 1, 1}, DT_REAL);
    return dt_node_make(g, DT_OP_BN_APPLY, (dt_node[]){x, stats, weight, bias}, 4, a, s, DT_REAL);
}

static dt_node conv3x3(dt_graph *g, dt_node x, dt_node weight)
{
    const dt_attributes a = {
        .conv = {.out_channels = C, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1, .dilation = 1, .groups = 1}};
    return dt_node_make(g, DT_OP_CONV, (dt_node[]){x, weight}, 2, a, dt_shape_of(g, x), DT_REAL);
}

static dt_node plain_norm(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    return batch_norm(g, in[0], in[1], in[2]);
}

static dt_node norm_relu(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    return dt_relu(g, batch_norm(g, in[0], in[1], in[2]));
}

static dt_node norm_add_relu(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    return dt_relu(g, dt_add(g, batch_norm(g, in[0], in[1], in[2]), in[3]));
}

static dt_node norm_relu6(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    return dt_relu6(g, batch_norm(g, in[0], in[1], in[2]));
}

/* What mobile networks have behind each other: the masked gradient is read by a norm and by an addition. */
static dt_node norm_relu6_twice(dt_graph *g, const dt_node *in, const void *what)
{
    const dt_node x = norm_relu6(g, in, what);
    return dt_relu6(g, dt_add(g, batch_norm(g, dt_shuffle_channels(g, x, 2), in[1], in[2]), x));
}

/* resnet: what a block receives is read by its first convolution and by its addition. */
static dt_node residual_blocks(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    dt_node x = dt_relu(g, batch_norm(g, in[0], in[1], in[2]));
    for (int block = 0; block < 2; block++) {
        const dt_node y = dt_relu(g, batch_norm(g, conv3x3(g, x, in[3]), in[1], in[2]));
        x = dt_relu(g, dt_add(g, batch_norm(g, conv3x3(g, y, in[4]), in[1], in[2]), x));
    }
    return x;
}

/* wrn: the sum is read by the next batch norm and by the next addition. */
static dt_node preactivation_blocks(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    dt_node x = in[0];
    for (int block = 0; block < 2; block++) {
        const dt_node y = dt_relu(g, batch_norm(g, x, in[1], in[2]));
        x = dt_add(g, x, conv3x3(g, dt_relu(g, batch_norm(g, conv3x3(g, y, in[3]), in[1], in[2])), in[4]));
    }
    return dt_relu(g, batch_norm(g, x, in[1], in[2]));
}

static dt_node frozen(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    return dt_relu(g, frozen_norm(g, in[0], in[1], in[2], in[3], in[4]));
}

static dt_node group_norm(dt_graph *g, dt_node x, dt_node weight, dt_node bias, size_t groups)
{
    const dt_attributes a = {.gn = {.eps = 1e-6, .groups = groups}};
    return dt_node_make(g, DT_OP_GROUP_NORM, (dt_node[]){x, weight, bias}, 3, a, dt_shape_of(g, x), DT_REAL);
}

static dt_node conv_group(dt_graph *g, dt_node x, dt_node weight)
{
    const dt_attributes a = {
        .conv = {.out_channels = 6, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1, .dilation = 1, .groups = 1}};
    return dt_node_make(g, DT_OP_CONV, (dt_node[]){x, weight}, 2, a, dt_shape_of(g, x), DT_REAL);
}

/* A UNet's residual block: x, weight, bias, two convolutions, and what the time adds. */
static dt_node unet_block(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    const dt_node first = dt_silu(g, group_norm(g, in[0], in[1], in[2], 2));
    const dt_node sum = dt_add(g, conv_group(g, first, in[3]), dt_silu(g, in[5]));
    const dt_node second = dt_silu(g, group_norm(g, sum, in[1], in[2], 3));
    return dt_add(g, in[0], conv_group(g, second, in[4]));
}

/* A UNet's way up, twice: upsampled, convolved. The second upsampled map is read by somebody else too. */
static dt_node way_up(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    const dt_shape s = dt_shape_of(g, in[0]);
    const dt_node once = conv_group(g, dt_upsample(g, in[0], 2 * s.h, 2 * s.w), in[1]);
    const dt_node large = dt_upsample(g, once, 4 * s.h, 4 * s.w);
    return dt_add(g, conv_group(g, large, in[2]), large);
}

/* Nothing may be fused away that somebody else reads: here the normalised value, and the sum. */
static dt_node group_norm_read_twice(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    const dt_node sum = dt_add(g, in[0], in[3]), norm = group_norm(g, sum, in[1], in[2], 3);
    return dt_add(g, dt_mul(g, dt_silu(g, norm), norm), sum);
}

/* One head of width C: softmax over the places that each place looks at. */
static dt_node attention(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    const dt_shape s = dt_shape_of(g, in[0]);
    const dt_node scores = dt_batch_matmul(g, in[0], in[1], false, true, s.h, s.w);
    const dt_node weights = dt_exp(g, dt_log_softmax(g, scores, sqrt((double)s.c)));
    return dt_batch_matmul(g, weights, in[2], false, false, s.h, s.w);
}

/* Two softmaxes of one row, a product and a quotient: the paths by which gradients of losses meet. */
static dt_node loss_like(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what;
    const dt_node log_p = dt_log_softmax(g, in[0], 1), soft = dt_log_softmax(g, in[0], 4),
                  target = dt_log_softmax(g, in[1], 4);
    const dt_node ce = dt_scale(g, dt_mean(g, dt_pick(g, log_p, in[2]), DT_AXIS_N), -1);
    const dt_node kl =
        dt_mean(g, dt_sum(g, dt_mul(g, dt_exp(g, target), dt_sub(g, target, soft)), DT_AXIS_C), DT_AXIS_N);
    return dt_div(g, dt_add(g, ce, dt_scale(g, kl, 16)), dt_affine(g, dt_mul(g, ce, ce), 1, 3));
}

#define COUNTER(name) offsetof(dt_graph, fused.name)
enum { MOST_COUNTERS = 4 };
typedef struct composite {
    const char *name;
    formula build;
    int n_in;
    dt_shape in[DT_MAX_INPUTS];
    dt_type type[DT_MAX_INPUTS];
    op_fill fill[DT_MAX_INPUTS];
    unsigned differentiable;
    size_t counters[MOST_COUNTERS]; /* what fusion must have found; 0 ends the list */
} composite;

static const composite composites[] = {
    {.name = "batch norm",
     .build = plain_norm,
     .n_in = 3,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}},
     .differentiable = 7},
    {.name = "batch norm of two places",
     .build = plain_norm,
     .n_in = 3,
     .in = {{2, C, 1, 1}, {1, C, 1, 1}, {1, C, 1, 1}},
     .differentiable = 7},
    {.name = "relu(bn(x))",
     .build = norm_relu,
     .n_in = 3,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}},
     .differentiable = 7,
     .counters = {COUNTER(bn_relu), COUNTER(bn_grad_relu)}},
    {.name = "relu(bn(x) + r)",
     .build = norm_add_relu,
     .n_in = 4,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}, {N, C, H, W}},
     .differentiable = 15,
     .counters = {COUNTER(bn_residual), COUNTER(bn_grad_emit)}},
    {.name = "relu6(bn(x))",
     .build = norm_relu6,
     .n_in = 3,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}},
     .fill = {FILL_SIGNED, FILL_LOGITS, FILL_LOGITS}, /* beyond 6, too */
     .differentiable = 7,
     .counters = {COUNTER(bn_relu), COUNTER(bn_grad_relu)}},
    {.name = "relu6(bn(shuffle(relu6(bn(x)))) + r)",
     .build = norm_relu6_twice,
     .n_in = 3,
     .in = {{N, 6, H, W}, {1, 6, 1, 1}, {1, 6, 1, 1}},
     .fill = {FILL_SIGNED, FILL_LOGITS, FILL_LOGITS},
     .differentiable = 7,
     .counters = {COUNTER(bn_relu), COUNTER(bn_residual), COUNTER(bn_grad_emit)}},
    {.name = "residual blocks",
     .build = residual_blocks,
     .n_in = 5,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}, {C, C, 3, 3}, {C, C, 3, 3}},
     .differentiable = 31,
     .counters = {COUNTER(bn_residual), COUNTER(bn_relu), COUNTER(bn_grad_emit), COUNTER(bn_grad_add)}},
    {.name = "pre-activation blocks",
     .build = preactivation_blocks,
     .n_in = 5,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}, {C, C, 3, 3}, {C, C, 3, 3}},
     .differentiable = 31,
     .counters = {COUNTER(bn_stats_add), COUNTER(bn_grad_relu), COUNTER(bn_grad_add)}},
    {.name = "frozen batch norm",
     .build = frozen,
     .n_in = 5,
     .in = {{N, C, H, W}, {1, C, 1, 1}, {1, C, 1, 1}, {1, C, 1, 1}, {1, C, 1, 1}},
     .fill = {FILL_SIGNED, FILL_SIGNED, FILL_SIGNED, FILL_SIGNED, FILL_POSITIVE},
     .differentiable = 7,
     .counters = {COUNTER(bn_relu)}},
    {.name = "UNet block",
     .build = unet_block,
     .n_in = 6,
     .in = {{N, 6, H, W}, {1, 6, 1, 1}, {1, 6, 1, 1}, {6, 6, 3, 3}, {6, 6, 3, 3}, {N, 6, 1, 1}},
     .differentiable = 63,
     .counters = {COUNTER(gn_silu), COUNTER(gn_grad_silu), COUNTER(gn_add)}},
    {.name = "way up",
     .build = way_up,
     .n_in = 3,
     .in = {{N, 6, 2, 3}, {6, 6, 3, 3}, {6, 6, 3, 3}},
     .differentiable = 7,
     .counters = {COUNTER(conv_upsample)}},
    {.name = "group norm read twice",
     .build = group_norm_read_twice,
     .n_in = 4,
     .in = {{N, 6, H, W}, {1, 6, 1, 1}, {1, 6, 1, 1}, {N, 6, 1, 1}},
     .differentiable = 15},
    {.name = "attention",
     .build = attention,
     .n_in = 3,
     .in = {{N, C, H, W}, {N, C, H, W}, {N, C, H, W}},
     .differentiable = 7},
    {.name = "losses that share a softmax",
     .build = loss_like,
     .n_in = 3,
     .in = {{N, C, 1, 1}, {N, C, 1, 1}, {N, 1, 1, 1}},
     .type = {DT_REAL, DT_REAL, DT_INDEX},
     .fill = {FILL_LOGITS, FILL_LOGITS, FILL_LABELS},
     .differentiable = 3},
};

/* The composite as a case, so that values come from the same place as the list's. */
static op_case values_case(const composite *c, uint64_t seed)
{
    op_case k = {.seed = seed, .op = {.n_in = c->n_in, .n_out = 1, .out = {{1, 1, 1, 1}}}};
    memcpy(k.op.in, c->in, sizeof k.op.in);
    memcpy(k.op.in_type, c->type, sizeof k.op.in_type);
    memcpy(k.fill, c->fill, sizeof k.fill);
    return k;
}

static int count_wrong_of_composite(const composite *c, uint64_t seed, bool no_fusion, dt_graph *fused)
{
    static float values[DT_MAX_INPUTS][MOST_ELEMENTS];
    const op_case k = values_case(c, seed);
    subject s = {
        .name = c->name, .build = c->build, .n_in = c->n_in, .differentiable = c->differentiable, .seed = seed};
    for (int i = 0; i < c->n_in; i++) {
        s.in[i] = c->in[i];
        s.type[i] = c->type[i];
        op_case_values(&k, i, values[i]);
        s.values[i] = values[i];
    }
    return count_wrong(&s, no_fusion, fused);
}

static void composites_agree_with_finite_differences(void **state)
{
    const bool no_fusion = *state != NULL;
    int wrong = 0;
    for (size_t i = 0; i < DT_COUNT(composites); i++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            wrong += count_wrong_of_composite(&composites[i], seed, no_fusion, NULL);
    assert_int_equal(wrong, 0);
}

/* The fused test above would prove nothing if fusion found nothing. */
static void fusion_found_the_forms_that_were_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < DT_COUNT(composites); i++) {
        dt_graph facts = {0};
        count_wrong_of_composite(&composites[i], 1, false, &facts);
        for (int k = 0; k < MOST_COUNTERS && composites[i].counters[k]; k++) {
            int found;
            memcpy(&found, (const char *)&facts + composites[i].counters[k], sizeof found);
            if (found == 0) fail_msg("%s: fusion rule %d of the list found nothing", composites[i].name, k);
        }
    }
}

/* The check itself must be able to fail: a gradient that is wrong in one element of many is seen. */
static dt_node detached_corner(dt_graph *g, const dt_node *in, const void *what)
{
    (void)what; /* x^2, but where the mask in[1] is 1 the graph hides the dependence from differentiation */
    return dt_select(g, in[1], dt_mul(g, dt_detach(g, in[0]), dt_detach(g, in[0])), dt_mul(g, in[0], in[0]));
}

static void a_gradient_wrong_in_one_element_is_seen(void **state)
{
    (void)state;
    static float x[N * C * H * W], mask[N * C * H * W];
    for (size_t i = 0; i < DT_COUNT(x); i++) x[i] = 0.5f;
    const subject s = {.name = "x^2 with one element detached",
                       .build = detached_corner,
                       .n_in = 2,
                       .in = {map, map},
                       .values = {x, mask},
                       .differentiable = 1,
                       .seed = 5,
                       .quiet = true};
    assert_int_equal(count_wrong(&s, false, NULL), 0);
    mask[17] = 1;
    assert_int_equal(count_wrong(&s, false, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_agree_with_finite_differences),
        {.name = "fused_composites_agree_with_finite_differences",
         .test_func = composites_agree_with_finite_differences},
        {.name = "unfused_composites_agree_with_finite_differences",
         .test_func = composites_agree_with_finite_differences,
         .initial_state = (void *)(uintptr_t) "no fusion"},
        cmocka_unit_test(fusion_found_the_forms_that_were_checked),
        cmocka_unit_test(a_gradient_wrong_in_one_element_is_seen),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
