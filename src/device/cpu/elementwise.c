/* Element-wise operations on whole tensors: shapes become runs of memory, runs become calls of loops.
 *
 * Broadcasting. Dimensions are taken in memory order n, h, w, c; those of size 1 vanish, and neighbours merge when
 * every operand either walks through both without a gap or stands still in both. What is left is a nest of at most
 * four loops whose innermost one has steps of 0 or 1; most calls are one run. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum { MAX_OPERANDS = 3, MAX_DIMENSIONS = 4 };

typedef struct nest {
    int n; /* dimensions, outermost first; at least 1 */
    size_t size[MAX_DIMENSIONS];
    size_t step[MAX_OPERANDS][MAX_DIMENSIONS];
    size_t outer; /* runs: product of all sizes but the last */
} nest;

static nest nest_of(dt_shape out, const dt_shape *in, int operands)
{
    const size_t size[4] = {out.n, out.h, out.w, out.c};
    nest r = {0};
    /* Dimensions are collected innermost first, then turned round. */
    size_t stride[MAX_OPERANDS] = {1, 1, 1}, merged = 0;
    size_t sizes[4] = {1}, steps[MAX_OPERANDS][4] = {{0}};

    for (int d = 3; d >= 0; d--) {
        if (size[d] == 1) continue;
        size_t step[MAX_OPERANDS] = {0};
        bool joins = merged > 0;
        for (int k = 0; k < operands; k++) {
            const size_t own[4] = {in[k].n, in[k].h, in[k].w, in[k].c};
            step[k] = own[d] == 1 ? 0 : stride[k];
            stride[k] *= own[d];
            joins = joins && step[k] == steps[k][merged - 1] * sizes[merged - 1];
        }
        if (joins) {
            sizes[merged - 1] *= size[d];
            continue;
        }
        sizes[merged] = size[d];
        for (int k = 0; k < operands; k++) steps[k][merged] = step[k];
        merged++;
    }
    r.n = merged ? (int)merged : 1;
    r.outer = 1;
    for (int d = 0; d < r.n; d++) {
        r.size[d] = sizes[r.n - 1 - d];
        for (int k = 0; k < operands; k++) r.step[k][d] = steps[k][r.n - 1 - d];
        if (d < r.n - 1) r.outer *= r.size[d];
    }
    return r;
}

/* Where run number `run` of operand k begins. */
static size_t run_offset(const nest *r, int k, size_t run)
{
    size_t offset = 0;
    for (int d = r->n - 2; d >= 0; d--) {
        offset += run % r->size[d] * r->step[k][d];
        run /= r->size[d];
    }
    return offset;
}

/* ---- unary ------------------------------------------------------------------------------------------------------ */

typedef struct unary_state {
    dt_cpu_state common;
    dt_unary_loop *loop;
    size_t n;
    float p, q;
} unary_state;

typedef struct unary_task {
    const unary_state *s;
    const float *x;
    float *y;
} unary_task;

enum { CACHE_LINE_FLOATS = DT_ALIGN / sizeof(float) };

static void unary_part(void *task, int i, int parts)
{
    const unary_task *t = task;
    const dt_cpu_share floats = dt_cpu_share_of(t->s->n, CACHE_LINE_FLOATS, i, parts);
    t->s->loop(t->y + floats.begin, t->x + floats.begin, floats.end - floats.begin, t->s->p, t->s->q);
}

static int run_unary(void *state, void *const *in, void *const *out, void *scratch)
{
    const unary_state *s = state;
    unary_task t = {s, in[0], out[0]};
    (void)scratch;
    dt_cpu_divide(s->common.parts, unary_part, &t);
    return 0;
}

duet_status dt_cpu_unary(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    static const dt_unary which[DT_OP_COUNT] = {
        [DT_OP_RELU] = DT_UNARY_RELU, [DT_OP_RELU6] = DT_UNARY_CLAMP, [DT_OP_AFFINE] = DT_UNARY_AFFINE, [DT_OP_EXP] = DT_UNARY_EXP,
        [DT_OP_LOG] = DT_UNARY_LOG,   [DT_OP_ABS] = DT_UNARY_ABS,       [DT_OP_SIGN] = DT_UNARY_SIGN,
        [DT_OP_SQRT] = DT_UNARY_SQRT, [DT_OP_CLAMP] = DT_UNARY_CLAMP,   [DT_OP_SILU] = DT_UNARY_SILU,
    };
    unary_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->out[0]), err);
    if (!s) return DUET_MEMORY;
    s->loop = d->loops->unary[which[op->kind]];
    s->n = dt_shape_count(op->out[0]);
    if (op->kind == DT_OP_AFFINE) s->p = (float)op->a.affine.scale, s->q = (float)op->a.affine.shift;
    if (op->kind == DT_OP_RELU6) s->q = 6; /* a clamp between 0 and 6 */
    if (op->kind == DT_OP_CLAMP) s->p = (float)op->a.clamp.low, s->q = (float)op->a.clamp.high;
    return dt_cpu_finish(&s->common, run_unary, 0, out);
}

/* ---- copies of a row, constants: too small to divide ------------------------------------------------------------- */

static int run_row(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    const size_t n = dt_shape_count(s->op.out[0]);
    (void)scratch;
    memcpy(out[0], (const float *)in[0] + (size_t)s->op.a.integer * n, n * sizeof(float));
    return 0;
}

static int run_constant(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    float *y = out[0];
    (void)in, (void)scratch;
    for (size_t i = 0; i < dt_shape_count(s->op.out[0]); i++) y[i] = (float)s->op.a.real;
    return 0;
}

duet_status dt_cpu_fill(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    dt_cpu_state *s = dt_cpu_state_new(d, op, sizeof *s, 0, err);
    return s ? dt_cpu_finish(s, op->kind == DT_OP_ROW ? run_row : run_constant, 0, out) : DUET_MEMORY;
}

/* ---- binary, SELECT, BROADCAST ---------------------------------------------------------------------------------- */

typedef struct binary_state {
    dt_cpu_state common;
    dt_binary_loop *loop; /* NULL: SELECT */
    nest nest;
    float p, q, scale; /* scale: BROADCAST's, which is a product with a scalar */
} binary_state;

typedef struct binary_task {
    const binary_state *s;
    const float *in[MAX_OPERANDS];
    float *y;
} binary_task;

/* One run, or a piece of it: elements begin..end-1 of run number `run`. */
static void binary_run(const binary_task *t, size_t run, size_t begin, size_t end)
{
    const nest *r = &t->s->nest;
    const float *from[MAX_OPERANDS] = {0};
    size_t step[MAX_OPERANDS] = {0};
    for (int k = 0; k < MAX_OPERANDS; k++) {
        step[k] = r->step[k][r->n - 1];
        if (t->in[k]) from[k] = t->in[k] + run_offset(r, k, run) + begin * step[k];
    }
    float *y = t->y + run * r->size[r->n - 1] + begin;
    if (t->s->loop) t->s->loop(y, from[0], step[0], from[1], step[1], end - begin, t->s->p, t->s->q);
    else t->s->common.device->loops->select(y, from[0], step[0], from[1], step[1], from[2], step[2], end - begin);
}

static void binary_part(void *task, int i, int parts)
{
    const binary_task *t = task;
    const nest *r = &t->s->nest;
    if (r->outer == 1) {
        const dt_cpu_share floats = dt_cpu_share_of(r->size[r->n - 1], CACHE_LINE_FLOATS, i, parts);
        if (floats.begin < floats.end) binary_run(t, 0, floats.begin, floats.end);
        return;
    }
    const dt_cpu_share runs = dt_cpu_share_of(r->outer, 1, i, parts);
    for (size_t run = runs.begin; run < runs.end; run++) binary_run(t, run, 0, r->size[r->n - 1]);
}

static int run_binary(void *state, void *const *in, void *const *out, void *scratch)
{
    const binary_state *s = state;
    binary_task t = {.s = s, .y = out[0]};
    (void)scratch;
    for (int k = 0; k < s->common.op.n_in; k++) t.in[k] = in[k];
    if (s->common.op.kind == DT_OP_BROADCAST) t.in[1] = &s->scale;
    dt_cpu_divide(s->common.parts, binary_part, &t);
    return 0;
}

duet_status dt_cpu_binary(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    static const dt_binary which[DT_OP_COUNT] = {
        [DT_OP_ADD] = DT_BINARY_ADD,
        [DT_OP_SUB] = DT_BINARY_SUB,
        [DT_OP_MUL] = DT_BINARY_MUL,
        [DT_OP_DIV] = DT_BINARY_DIV,
        [DT_OP_MIN] = DT_BINARY_MIN,
        [DT_OP_MAX] = DT_BINARY_MAX,
        [DT_OP_LESS] = DT_BINARY_LESS,
        [DT_OP_RELU_GRAD] = DT_BINARY_RELU_GRAD,
        [DT_OP_RELU6_GRAD] = DT_BINARY_RELU6_GRAD,
        [DT_OP_CLAMP_GRAD] = DT_BINARY_CLAMP_GRAD,
        [DT_OP_SILU_GRAD] = DT_BINARY_SILU_GRAD,
        [DT_OP_BROADCAST] = DT_BINARY_MUL,
    };
    binary_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->out[0]), err);
    if (!s) return DUET_MEMORY;
    dt_shape in[MAX_OPERANDS] = {op->in[0], op->in[1], op->in[2]};
    if (op->kind == DT_OP_BROADCAST) in[1] = (dt_shape){1, 1, 1, 1};
    if (op->kind != DT_OP_SELECT) s->loop = d->loops->binary[which[op->kind]];
    s->nest = nest_of(op->out[0], in, op->kind == DT_OP_SELECT ? 3 : 2);
    s->scale = (float)(op->kind == DT_OP_BROADCAST ? op->a.reduce.scale : 0);
    if (op->kind == DT_OP_CLAMP_GRAD) s->p = (float)op->a.clamp.low, s->q = (float)op->a.clamp.high;
    return dt_cpu_finish(&s->common, run_binary, 0, out);
}
