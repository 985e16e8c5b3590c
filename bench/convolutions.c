/* Speed of every convolution of the CIFAR networks: what the cpu device chooses, beside oneDNN.
 *
 *     convolutions [--batch 64] [--threads N] [--isa portable|avx2|avx512] [--seconds 0.2] [TEXT]
 *
 * A line for each shape and direction: GFLOP/s (2 x multiply-adds of the direct sum, padding counted, whatever the
 * implementation does) of the fastest of several runs, and the implementation. TEXT: only shapes whose name contains
 * it. Built with the tests as `bench_convolutions`; never part of them. Measure on an idle machine: a second program
 * on one of the cores makes OpenMP programs several times slower. */
#include "bench.h"

#include <string.h>

/* Input channels, output channels, side of the input, kernel, stride, dilation. */
typedef struct shape {
    size_t in, out, side, kernel, stride, dilation;
    const char *where;
} shape;

static const shape shapes[] = {
    {3, 16, 32, 3, 1, 1, "stem"},
    {16, 16, 32, 3, 1, 1, "resnet stage 1"},
    {16, 32, 32, 3, 2, 1, "resnet"},
    {16, 32, 32, 1, 2, 1, "resnet shortcut"},
    {32, 32, 16, 3, 1, 1, "resnet stage 2"},
    {32, 64, 16, 3, 2, 1, "resnet"},
    {32, 64, 16, 1, 2, 1, "resnet shortcut"},
    {64, 64, 8, 3, 1, 1, "resnet stage 3"},
    {3, 32, 32, 3, 1, 1, "stem x4"},
    {16, 32, 32, 3, 1, 1, "wrn_2 stage 1"},
    {32, 32, 32, 3, 1, 1, "wrn_2 stage 1"},
    {32, 64, 32, 3, 1, 1, "x4 stage 1"},
    {64, 64, 32, 3, 1, 1, "x4 stage 1"},
    {32, 64, 32, 1, 1, 1, "x4 shortcut"},
    {64, 64, 16, 3, 1, 1, "wrn_2 stage 2"},
    {64, 128, 32, 3, 2, 1, "x4"},
    {64, 128, 32, 1, 2, 1, "x4 shortcut"},
    {128, 128, 16, 3, 1, 1, "x4 stage 2"},
    {128, 128, 8, 3, 1, 1, "wrn_2 stage 3"},
    {128, 256, 16, 3, 2, 1, "x4"},
    {128, 256, 16, 1, 2, 1, "x4 shortcut"},
    {256, 256, 8, 3, 1, 1, "x4 stage 3"},
    {64, 64, 16, 3, 1, 2, "seg layer 3"},
    {64, 32, 16, 3, 1, 2, "seg head"},
    {64, 32, 16, 3, 1, 4, "seg head"},
};

static dt_op operation(const shape *s, size_t direction, size_t batch)
{
    return bench_operation(&(bench_convolution){.x = {batch, s->in, s->side, s->side},
                                                .out_channels = s->out,
                                                .kernel = s->kernel,
                                                .stride = s->stride,
                                                .dilation = s->dilation,
                                                .groups = 1},
                           direction);
}

static void *filled(size_t n)
{
    float *x = dt_alloc(n, sizeof *x);
    dt_rng r = dt_rng_make(n, DT_PURPOSE_TEST, 0, 0);
    if (!x) DT_BUG("out of memory");
    for (size_t i = 0; i < n; i++) x[i] = dt_rng_uniform(&r) - 0.5f;
    return x;
}

/* Seconds of the fastest of the runs that fit the time. */
static double fastest(const dt_kernel *k, void *const *in, void *const *out, void *scratch, double seconds)
{
    double best = 1e9;
    for (double end = dt_now_s() + seconds, now = 0; now < end;) {
        const double start = dt_now_s();
        if (k->run(k->state, in, out, scratch)) DT_BUG("kernel failed");
        now = dt_now_s();
        if (now - start < best) best = now - start;
    }
    return best;
}

static void measure(dt_device *d, const dt_op *op, bool chosen, double seconds)
{
    dt_kernel k = {0};
    duet_error err;
    const duet_status st =
        chosen ? d->api->kernel(d, op, &k, &err) : dt_cpu_onednn_convolution((dt_cpu_device *)d, op, &k, &err);
    if (st || !k.run) {
        printf("  %8s %8s  %-28s", "-", "-", st ? err.message : "none");
        return;
    }
    void *in[2] = {filled(dt_shape_count(op->in[0])), filled(dt_shape_count(op->in[1]))};
    void *out[1] = {filled(dt_shape_count(op->out[0]))}, *scratch = dt_alloc(k.scratch_bytes + 1, 1);
    if (!scratch) DT_BUG("out of memory");
    const double s = fastest(&k, in, out, scratch, seconds);
    printf("  %8.1f %8.3f  %-28s", 2e-9 * dt_op_macs(op) / s, 1e3 * s, k.note);
    fflush(stdout);
    dt_free(in[0]), dt_free(in[1]), dt_free(out[0]), dt_free(scratch);
    if (k.release) k.release(k.state);
}

static void table(dt_device *d, const bench_options *o)
{
    printf("%-34s %-12s  %8s %8s  %-28s  %8s %8s\n", "convolution", "direction", "GFLOP/s", "ms", "chosen", "GFLOP/s",
           "ms");
    for (size_t i = 0; i < DT_COUNT(shapes); i++)
        for (size_t j = 0; j < BENCH_DIRECTIONS; j++) {
            const shape *s = &shapes[i];
            char name[64];
            snprintf(name, sizeof name, "%zux%zu %zu->%zu @%zu /%zu x%zu %s", s->kernel, s->kernel, s->in, s->out,
                     s->side, s->stride, s->dilation, s->where);
            if ((o->only && !strstr(name, o->only)) || (s->in == 3 && bench_kind(j) == DT_OP_CONV_GRAD_INPUT))
                continue;
            const dt_op op = operation(s, j, o->batch);
            printf("%-34s %-12s", name, bench_direction_names[j]);
            measure(d, &op, true, o->seconds);
            measure(d, &op, false, o->seconds);
            printf("\n");
        }
}

int main(int argc, char **argv)
{
    bench_options o = {.batch = 64, .device = {.precision = DT_F32}, .seconds = 0.2};
    dt_device *d = bench_open(argc, argv, "[--batch N] [--threads N] [--isa portable|avx2|avx512] [--seconds S] [TEXT]", &o);
    char text[160];
    d->api->describe(d, text, sizeof text);
    printf("%s, batch %zu\n", text, o.batch);
    table(d, &o);
    d->api->close(d);
    return 0;
}
