/* The reference device: every operation in plain C, on one thread, in float32 or float64.
 *
 * Here: the device table, its memory, and how a formula becomes a kernel. The formulas themselves are in the .inc files
 * beside this one, written once against a type `real` and compiled twice, by formulas_f32.c and formulas_f64.c. They
 * are the definition of every operation: other devices are compared with them and fall back to them, so they are
 * written to be read. Sums are accumulated in double, in memory order.
 *
 * dt_device_reference.kernel looks at nothing of the device but its precision, so that another device can ask it for a
 * fallback with a handle of its own. */
#include "reference_impl.h"

#include <string.h>

/* A kernel's state: the operation and the function that computes it. */
typedef struct reference_kernel {
    dt_op op;
    dt_formula formula;
} reference_kernel;

static int run(void *state, void *const *in, void *const *out, void *scratch)
{
    const reference_kernel *k = state;
    (void)scratch;
    k->formula(&k->op, in, out);
    return 0;
}

static duet_status kernel(dt_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_formula formula = (d->precision == DT_F64 ? dt_reference_f64 : dt_reference_f32)[op->kind];
    if (!formula)
        return dt_fail(err, DUET_DEVICE,
                       "reference: '%s' is not an operation that runs; the program should have resolved it",
                       dt_kind_name(op->kind));
    reference_kernel *k = dt_alloc(1, sizeof *k);
    if (!k) return dt_fail(err, DUET_MEMORY, "reference: %s: out of memory for a kernel", dt_kind_name(op->kind));
    k->op = *op;
    k->formula = formula;
    *out = (dt_kernel){.run = run, .release = dt_free, .state = k, .note = "reference"};
    return DUET_OK;
}

static duet_status open_reference(const dt_device_options *options, dt_device **out, duet_error *err)
{
    dt_device *d = dt_alloc(1, sizeof *d);
    if (!d) return dt_fail(err, DUET_MEMORY, "reference: out of memory for the device");
    *d = (dt_device){.api = &dt_device_reference, .precision = options->precision, .threads = 1};
    *out = d;
    return DUET_OK;
}

static void close_reference(dt_device *d)
{
    dt_free(d);
}

static duet_status slab(dt_device *d, size_t bytes, void **out, duet_error *err)
{
    (void)d;
    void *block = dt_alloc(bytes ? bytes : 1, 1);
    if (!block)
        return dt_fail(err, DUET_MEMORY, "reference: cannot get %zu bytes; use a smaller batch or smaller networks",
                       bytes);
    *out = block;
    return DUET_OK;
}

static void release(dt_device *d, void *block)
{
    (void)d;
    dt_free(block);
}

static void copy(dt_device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    if (bytes) memcpy(to, from, bytes);
}

static void describe(const dt_device *d, char *text, size_t bytes)
{
    snprintf(text, bytes, "reference %s, 1 thread", d->precision == DT_F64 ? "f64" : "f32");
}

const dt_device_api dt_device_reference = {
    .name = "reference",
    .help = "plain C, every operation, one thread: slow, the definition of the others",
    .open = open_reference,
    .close = close_reference,
    .kernel = kernel,
    .slab = slab,
    .release = release,
    .upload = copy,
    .download = copy,
    .describe = describe,
};
