/* The memory of an operation case: layout with canaries, values, one run on a device. See cases.h. */
#include "cases.h"

#include <math.h>
#include <string.h>

enum { CANARY = 0xA5 };

/* ---- layout -------------------------------------------------------------------------------------------------- */

size_t op_tensor_bytes(dt_shape s, dt_type type, dt_precision precision)
{
    return dt_shape_count(s) * (type == DT_INDEX      ? sizeof(int32_t)
                                : precision == DT_F64 ? sizeof(double)
                                                      : sizeof(float));
}

/* The next aligned offset that leaves at least one line of canaries after `end`. */
static size_t after(size_t end)
{
    return (end + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN + DT_ALIGN;
}

void op_layout_make(const dt_op *op, dt_precision precision, int in_place, op_layout *out)
{
    *out = (op_layout){.precision = precision};
    size_t end = 0;
    for (int i = 0; i < op->n_in; i++) {
        if (!op->in[i].n) continue;
        out->in[i] = after(end);
        end = out->in[i] + op_tensor_bytes(op->in[i], op->in_type[i], precision);
    }
    for (int i = 0; i < op->n_out; i++) {
        if (i == 0 && in_place >= 0) {
            out->out[0] = out->in[in_place];
            continue;
        }
        out->out[i] = after(end);
        end = out->out[i] + op_tensor_bytes(op->out[i], DT_REAL, precision);
    }
    out->bytes = after(end);
}

/* The first byte that belongs to no tensor and has changed. */
static size_t first_bad_gap(const op_layout *l, const uint8_t *block, const uint8_t *covered)
{
    for (size_t i = 0; i < l->bytes; i++)
        if (!covered[i] && block[i] != CANARY) return i;
    return 0;
}

static void cover(uint8_t *covered, size_t offset, size_t bytes)
{
    memset(covered + offset, 1, bytes);
}

size_t op_canary_broken(const dt_op *op, const op_layout *l, const uint8_t *block)
{
    uint8_t *covered = dt_alloc(l->bytes, 1);
    if (!covered) DT_BUG("out of memory in a test");
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i].n) cover(covered, l->in[i], op_tensor_bytes(op->in[i], op->in_type[i], l->precision));
    for (int i = 0; i < op->n_out; i++) cover(covered, l->out[i], op_tensor_bytes(op->out[i], DT_REAL, l->precision));
    const size_t at = first_bad_gap(l, block, covered);
    dt_free(covered);
    return at;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static float uniform(dt_rng *r, float low, float high)
{
    return low + (high - low) * dt_rng_uniform(r);
}

/* Position i of n in an order that visits every number below n once. */
static size_t scrambled(size_t i, size_t n)
{
    size_t step = n / 2 + n / 8 + 1;
    for (;; step++) { /* next number without a factor in common with n */
        size_t a = n, b = step;
        while (b) {
            const size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) return i * step % n;
    }
}

/* Element i of n; rows: of a [2, c] tensor of statistics. */
static float value(op_fill fill, dt_rng *r, size_t i, size_t n)
{
    switch (fill) {
    case FILL_APART: {
        const float x = uniform(r, -1, 1);
        return x < 0 ? -0.0625f + 0.9375f * x : 0.0625f + 0.9375f * x;
    }
    case FILL_POSITIVE: return uniform(r, 0.5f, 1.5f);
    case FILL_STEPS: return 0.25f * (float)dt_rng_below(r, 9) - 1;
    case FILL_EIGHTHS: return 0.25f * (float)dt_rng_below(r, 8) - 0.875f;
    case FILL_DISTINCT: return 2 * (float)scrambled(i, n) / (float)n - 1;
    case FILL_LOGITS: return uniform(r, -8, 8);
    case FILL_RELU: {
        const float x = uniform(r, -1, 1);
        return x < 0 ? 0 : x;
    }
    case FILL_RELU6: {
        const float x = uniform(r, -6, 12);
        return x < 0 ? 0 : x > 6 ? 6 : x;
    }
    case FILL_ZERO_ONE: return (float)dt_rng_below(r, 2);
    case FILL_STATS: return i < n / 2 ? uniform(r, -0.5f, 0.5f) : uniform(r, 0.5f, 2);
    default: return uniform(r, -1, 1);
    }
}

static size_t classes_of(const dt_op *op)
{
    size_t classes = op->out[0].c;
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i].c > classes) classes = op->in[i].c;
    return classes;
}

static void fill_maxima(const op_case *k, float *to)
{
    dt_op op = {.kind = DT_OP_MAX_POOL, .a = k->op.a, .n_in = 1, .n_out = 1, .in = {k->op.in[1]}, .out = {k->op.in[0]}};
    dt_device reference = {.api = &dt_device_reference, .precision = DT_F32};
    dt_kernel kernel;
    float *x = dt_alloc(dt_shape_count(op.in[0]), sizeof *x);
    if (!x || dt_device_reference.kernel(&reference, &op, &kernel, NULL)) DT_BUG("out of memory in a test");
    op_case_values(k, 1, x);
    kernel.run(kernel.state, (void *[]){x}, (void *[]){to}, NULL);
    kernel.release(kernel.state);
    dt_free(x);
}

void op_case_values(const op_case *k, int input, float *to)
{
    const size_t n = dt_shape_count(k->op.in[input]);
    dt_rng r = dt_rng_make(k->seed, DT_PURPOSE_TEST, 0, (uint64_t)input);
    if (k->fill[input] == FILL_MAXIMA) {
        fill_maxima(k, to);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (k->op.in_type[input] == DT_INDEX) {
            const size_t below = k->fill[input] == FILL_NUMBERS ? 1000 : classes_of(&k->op);
            to[i] = i % 13 == 12 ? -1.0f : (float)dt_rng_below(&r, (uint32_t)below);
        }
        else to[i] = value(k->fill[input], &r, i, n);
    }
}

void op_case_fill(const op_case *k, const op_layout *l, uint8_t *block)
{
    memset(block, CANARY, l->bytes);
    for (int o = 0; o < k->op.n_out; o++) { /* an element that a kernel forgets stays not-a-number */
        const size_t n = dt_shape_count(k->op.out[o]);
        for (size_t i = 0; i < n; i++)
            if (l->precision == DT_F64) ((double *)(void *)(block + l->out[o]))[i] = (double)NAN;
            else ((float *)(void *)(block + l->out[o]))[i] = NAN;
    }
    for (int i = 0; i < k->op.n_in; i++) {
        const size_t n = dt_shape_count(k->op.in[i]);
        if (!n) continue;
        float *values = dt_alloc(n, sizeof *values);
        if (!values) DT_BUG("out of memory in a test");
        op_case_values(k, i, values);
        void *to = block + l->in[i];
        for (size_t e = 0; e < n; e++)
            if (k->op.in_type[i] == DT_INDEX) ((int32_t *)to)[e] = (int32_t)values[e];
            else if (l->precision == DT_F64) ((double *)to)[e] = (double)values[e];
            else ((float *)to)[e] = values[e];
        dt_free(values);
    }
}

/* ---- a run --------------------------------------------------------------------------------------------------- */

duet_status op_run(dt_device *d, const dt_op *op, const op_layout *l, uint8_t *block, int scratch_byte, duet_error *err)
{
    dt_kernel kernel = {0};
    uint8_t *there = NULL, *scratch = NULL;
    duet_status st = d->api->kernel(d, op, &kernel, err);
    if (st) return st;
    st = d->api->slab(d, l->bytes, (void **)&there, err);
    if (st) goto done;
    st = d->api->slab(d, kernel.scratch_bytes + 1, (void **)&scratch, err);
    if (st) goto done;

    void *in[DT_MAX_INPUTS] = {0}, *out[2] = {0};
    for (int i = 0; i < op->n_in; i++) in[i] = op->in[i].n ? there + l->in[i] : NULL;
    for (int i = 0; i < op->n_out; i++) out[i] = there + l->out[i];
    d->api->upload(d, there, block, l->bytes);
    memset(scratch, scratch_byte, kernel.scratch_bytes);
    if (kernel.run(kernel.state, in, out, scratch)) st = dt_fail(err, DUET_DEVICE, "the kernel failed");
    d->api->download(d, block, there, l->bytes);
done:
    if (scratch) d->api->release(d, scratch);
    if (there) d->api->release(d, there);
    if (kernel.release) kernel.release(kernel.state);
    return st;
}
