/* Convolutions of the cpu device on shapes that its implementations treat differently: Winograd with a common and
 * with own sums of weight gradients, several chunks, maps of one tile, dilation; direct convolution with every stride,
 * odd sizes, kernels wider than the picture, channels that are no whole vectors; every second shape with a bias. Against
 * the reference, at every instruction set and with threads that do not divide the work evenly. The short list of
 * tests/ops has the rest of the operations. */
#include "device/device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct shape {
    size_t n, in, h, w, out, kernel, stride, pad, dilation, groups;
} shape;

static const dt_kind kinds[] = {DT_OP_CONV, DT_OP_CONV_GRAD_INPUT, DT_OP_CONV_GRAD_WEIGHT};

static dt_op operation(const shape *s, bool bias, dt_kind kind)
{
    const dt_shape x = {s->n, s->in, s->h, s->w}, w = {s->out, s->in / s->groups, s->kernel, s->kernel};
    const size_t reach = s->dilation * (s->kernel - 1) + 1;
    const dt_shape y = {s->n, s->out, (s->h + 2 * s->pad - reach) / s->stride + 1, (s->w + 2 * s->pad - reach) / s->stride + 1};
    dt_op op = {.kind = kind, .n_in = 2, .n_out = 1};
    op.a.conv = (dt_conv_spec){.out_channels = s->out,
                               .kernel_h = s->kernel,
                               .kernel_w = s->kernel,
                               .stride = s->stride,
                               .pad = s->pad,
                               .dilation = s->dilation,
                               .groups = s->groups,
                               .bias = bias};
    op.in[0] = kind == DT_OP_CONV ? x : y;
    op.in[1] = kind == DT_OP_CONV_GRAD_WEIGHT ? x : w;
    op.out[0] = kind == DT_OP_CONV ? y : kind == DT_OP_CONV_GRAD_INPUT ? x : w;
    if (bias && kind == DT_OP_CONV) op.in[op.n_in++] = (dt_shape){1, s->out, 1, 1};
    return op;
}

static float *filled(dt_shape s, uint64_t seed)
{
    float *x = dt_alloc(dt_shape_count(s), sizeof *x);
    dt_rng r = dt_rng_make(seed, DT_PURPOSE_TEST, 0, 0);
    assert_non_null(x);
    for (size_t i = 0; i < dt_shape_count(s); i++) x[i] = dt_rng_normal(&r);
    return x;
}

/* Runs the operation; the result is the caller's. *note: which implementation. */
static float *run(dt_device *d, const dt_op *op, char note[48])
{
    dt_kernel k = {0};
    duet_error err = {0};
    if (d->api->kernel(d, op, &k, &err)) fail_msg("%s", err.message);
    void *in[3] = {0}, *out[1] = {filled(op->out[0], 3)};
    for (int i = 0; i < op->n_in; i++) in[i] = filled(op->in[i], i == 2 ? 4 : 1 + (uint64_t)i);
    char *scratch = dt_alloc(k.scratch_bytes + 1, 1);
    assert_non_null(scratch);
    memset(scratch, 0xff, k.scratch_bytes); /* not-a-number, whatever is read before it is written */
    assert_int_equal(k.run(k.state, in, out, scratch), 0);
    memcpy(note, k.note, sizeof k.note);
    if (k.release) k.release(k.state);
    for (int i = 0; i < op->n_in; i++) dt_free(in[i]);
    dt_free(scratch);
    return out[0];
}

static dt_device *opened(const dt_device_api *api, dt_isa isa, int threads)
{
    const dt_device_options options = {.threads = threads, .precision = DT_F32, .isa_limit = isa, .isa_limited = true};
    dt_device *d = NULL;
    duet_error err = {0};
    if (api->open(&options, &d, &err)) fail_msg("%s", err.message);
    return d;
}

/* Root of the mean square of the difference, relative to that of the right values. */
static double relative_error(const float *want, const float *got, size_t n)
{
    double squares = 0, differences = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];
        differences += d * d;
        squares += (double)want[i] * (double)want[i];
    }
    return sqrt(differences / squares);
}

static void check(const shape *s, bool bias, const char *implementation, double tolerance)
{
    dt_cpu cpu;
    dt_cpu_detect(&cpu);
    dt_device *reference = opened(&dt_device_reference, DT_ISA_PORTABLE, 1);
    for (size_t i = 0; i < DT_COUNT(kinds); i++) {
        const dt_op op = operation(s, bias, kinds[i]);
        char note[48];
        float *want = run(reference, &op, note);
        for (int isa = DT_ISA_PORTABLE; isa <= (int)cpu.isa; isa++) {
            dt_device *d = opened(&dt_device_cpu, (dt_isa)isa, 3);
            float *got = run(d, &op, note);
            const double error = relative_error(want, got, dt_shape_count(op.out[0]));
            if (!(error <= tolerance) || !strstr(note, implementation))
                fail_msg("%s %zux%zux%zux%zu -> %zu, %zux%zu, stride %zu, pad %zu, dilation %zu, %s: error %.3g over %.3g, by '%s', "
                         "want '%s'",
                         dt_kind_name(op.kind), s->n, s->in, s->h, s->w, s->out, s->kernel, s->kernel, s->stride,
                         s->pad, s->dilation, dt_isa_name((dt_isa)isa), error, tolerance, note, implementation);
            dt_free(got);
            d->api->close(d);
        }
        dt_free(want);
    }
    reference->api->close(reference);
}

/* F(4x4, 3x3) in float32 has an error of 1e-6 to 3e-6 of the result's RMS, more with more channels; direct summation
 * 2e-7. */
static void winograd_agrees_with_reference(void **state)
{
    static const shape shapes[] = {
        {5, 16, 12, 20, 32, 3, 1, 1, 1, 1}, {1, 32, 4, 4, 16, 3, 1, 1, 1, 1},   {40, 48, 8, 4, 16, 3, 1, 1, 1, 1},
        {3, 96, 8, 8, 64, 3, 1, 1, 1, 1},   {70, 80, 8, 8, 112, 3, 1, 1, 1, 1}, {5, 32, 16, 24, 16, 3, 1, 2, 2, 1},
        {3, 16, 24, 12, 32, 3, 1, 3, 3, 1}, {7, 48, 16, 16, 16, 3, 1, 4, 4, 1},
    };
    (void)state;
    for (size_t i = 0; i < DT_COUNT(shapes); i++) check(&shapes[i], i % 2, "winograd", 4e-6);
}

static void direct_agrees_with_reference(void **state)
{
    static const shape shapes[] = {
        {5, 16, 12, 20, 32, 3, 2, 1, 1, 1}, {3, 7, 11, 9, 5, 3, 2, 1, 1, 1},   {2, 20, 13, 10, 33, 3, 3, 1, 1, 1},
        {3, 5, 9, 9, 8, 5, 2, 2, 1, 1},     {2, 4, 6, 7, 6, 7, 1, 3, 1, 1},    {2, 3, 3, 3, 4, 5, 1, 2, 1, 1},
        {2, 9, 10, 7, 16, 1, 2, 0, 1, 1},   {2, 8, 7, 7, 24, 1, 3, 0, 1, 1},   {1, 40, 9, 9, 72, 3, 1, 0, 1, 1},
        {2, 6, 8, 8, 12, 3, 2, 0, 1, 1},    {1, 5, 6, 6, 7, 2, 2, 0, 1, 1},    {2, 3, 32, 32, 16, 3, 1, 1, 1, 1},
        {1, 2, 5, 5, 3, 1, 1, 1, 1, 1},     {2, 130, 6, 5, 20, 3, 1, 1, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < DT_COUNT(shapes); i++) check(&shapes[i], i % 2, "direct", 1e-6);
}

/* Widths and heights around a tile (4 columns, 2 rows), channels around a vector of 4, 8 and 16 floats, a long batch.
 * 16 channels are the fewest that every instruction set has vectors for. */
static void depthwise_agrees_with_reference(void **state)
{
    static const size_t channels[] = {16, 17, 24, 31, 58, 72, 116};
    (void)state;
    for (size_t stride = 1; stride <= 2; stride++)
        for (size_t h = 1; h <= 5; h++)
            for (size_t w = 1; w <= 13; w++) {
                const size_t c = channels[(h * 13 + w) % DT_COUNT(channels)];
                const shape s = {1 + w % 3, c, h, w, c, 3, stride, 1, 1, c};
                check(&s, (h + w) % 2, "depthwise", 1e-6);
            }
    static const shape larger[] = {{67, 40, 9, 14, 40, 3, 1, 1, 1, 40},  {9, 24, 40, 33, 24, 3, 2, 1, 1, 24},
                                   {2, 1030, 7, 7, 1030, 3, 1, 1, 1, 1030}, {3, 520, 14, 15, 520, 3, 2, 1, 1, 520},
                                   {1, 16, 2, 130, 16, 3, 1, 1, 1, 16},  {1, 16, 130, 1, 16, 3, 2, 1, 1, 16}};
    for (size_t i = 0; i < DT_COUNT(larger); i++) check(&larger[i], i % 2, "depthwise", 1e-6);
}

/* Also the gradient for the weights, whose sums are cut by shape alone. */
static void depthwise_gives_the_same_bits_for_any_threads(void **state)
{
    static const shape shapes[] = {{5, 72, 12, 20, 72, 3, 1, 1, 1, 72}, {3, 116, 25, 27, 116, 3, 2, 1, 1, 116}};
    (void)state;
    for (size_t i = 0; i < DT_COUNT(shapes); i++)
        for (size_t j = 0; j < DT_COUNT(kinds); j++) {
            const dt_op op = operation(&shapes[i], false, kinds[j]);
            float *want = NULL;
            for (int threads = 1; threads <= 7; threads += 2) {
                dt_device *d = opened(&dt_device_cpu, DT_ISA_AVX512, threads);
                char note[48];
                float *got = run(d, &op, note);
                if (want) assert_memory_equal(want, got, dt_shape_count(op.out[0]) * sizeof(float));
                dt_free(want);
                want = got;
                d->api->close(d);
            }
            dt_free(want);
        }
}

/* What the kernel leaves to oneDNN: fewer channels than a vector, other windows, other padding, two outputs a channel. */
static void other_groups_agree_with_reference(void **state)
{
    static const shape shapes[] = {{2, 1, 6, 7, 1, 3, 1, 1, 1, 1},   {2, 7, 6, 5, 7, 3, 1, 1, 1, 7},     {2, 3, 6, 5, 3, 3, 2, 1, 1, 3},
                                   {2, 24, 9, 8, 24, 5, 1, 2, 1, 24}, {1, 24, 9, 8, 24, 3, 1, 2, 2, 24}, {1, 24, 9, 8, 24, 3, 1, 0, 1, 24},
                                   {1, 24, 9, 8, 48, 3, 1, 1, 1, 24}, {2, 60, 5, 4, 30, 1, 1, 0, 1, 3}};
    (void)state;
    for (size_t i = 0; i < DT_COUNT(shapes); i++) check(&shapes[i], i % 2, "", 1e-6);
}

static void two_runs_give_the_same_bits(void **state)
{
    static const shape shapes[] = {
        {5, 16, 12, 20, 32, 3, 1, 1, 1, 1}, {36, 80, 8, 8, 112, 3, 1, 1, 1, 1}, {5, 16, 12, 20, 32, 3, 2, 1, 1, 1}};
    (void)state;
    dt_device *d = opened(&dt_device_cpu, DT_ISA_AVX512, 3);
    for (size_t i = 0; i < DT_COUNT(shapes); i++)
        for (size_t j = 0; j < DT_COUNT(kinds); j++) {
            const dt_op op = operation(&shapes[i], i % 2, kinds[j]);
            char note[48];
            float *once = run(d, &op, note), *again = run(d, &op, note);
            assert_memory_equal(once, again, dt_shape_count(op.out[0]) * sizeof(float));
            dt_free(once), dt_free(again);
        }
    d->api->close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(winograd_agrees_with_reference),
        cmocka_unit_test(direct_agrees_with_reference),
        cmocka_unit_test(depthwise_agrees_with_reference),
        cmocka_unit_test(depthwise_gives_the_same_bits_for_any_threads),
        cmocka_unit_test(other_groups_agree_with_reference),
        cmocka_unit_test(two_runs_give_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
