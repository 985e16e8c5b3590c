#include "bench.h"

#include <stdlib.h>
#include <string.h>

const char *const bench_direction_names[BENCH_DIRECTIONS] = {"forward", "grad input", "grad weight"};

dt_kind bench_kind(size_t direction)
{
    static const dt_kind kinds[BENCH_DIRECTIONS] = {DT_OP_CONV, DT_OP_CONV_GRAD_INPUT, DT_OP_CONV_GRAD_WEIGHT};
    return kinds[direction];
}

dt_op bench_operation(const bench_convolution *c, size_t direction)
{
    const dt_kind kind = bench_kind(direction);
    const dt_shape y = {c->x.n, c->out_channels, (c->x.h - 1) / c->stride + 1, (c->x.w - 1) / c->stride + 1};
    const dt_shape w = {c->out_channels, c->x.c / c->groups, c->kernel, c->kernel};
    dt_op op = {.kind = kind, .n_in = 2, .n_out = 1};
    op.a.conv = (dt_conv_spec){.out_channels = c->out_channels,
                               .kernel_h = c->kernel,
                               .kernel_w = c->kernel,
                               .stride = c->stride,
                               .pad = c->kernel / 2 * c->dilation,
                               .dilation = c->dilation,
                               .groups = c->groups};
    op.in[0] = kind == DT_OP_CONV ? c->x : y;
    op.in[1] = kind == DT_OP_CONV_GRAD_WEIGHT ? c->x : w;
    op.out[0] = kind == DT_OP_CONV ? y : kind == DT_OP_CONV_GRAD_INPUT ? c->x : w;
    return op;
}

static bool isa_of(const char *name, dt_isa *isa)
{
    static const struct {
        const char *name;
        dt_isa isa;
    } known[] = {{"portable", DT_ISA_PORTABLE}, {"avx2", DT_ISA_AVX2}, {"avx512", DT_ISA_AVX512}};
    for (size_t i = 0; i < DT_COUNT(known); i++)
        if (!strcmp(name, known[i].name)) return *isa = known[i].isa, true;
    return false;
}

/* False: unknown, or without a value that it can take. */
static bool read_option(bench_options *o, const char *name, const char *value)
{
    if (!strcmp(name, "--batch")) return (o->batch = strtoul(value, NULL, 10)) > 0;
    if (!strcmp(name, "--threads")) return (o->device.threads = atoi(value)) > 0;
    if (!strcmp(name, "--seconds")) return (o->seconds = atof(value)) > 0;
    if (!strcmp(name, "--isa")) return o->device.isa_limited = isa_of(value, &o->device.isa_limit);
    return false;
}

dt_device *bench_open(int argc, char **argv, const char *usage, bench_options *o)
{
    dt_device *d;
    duet_error err;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--warm")) o->warm = true;
        else if (argv[i][0] != '-') o->only = argv[i];
        else if (i + 1 < argc && read_option(o, argv[i], argv[i + 1])) i++;
        else {
            fprintf(stderr, "%s: %s%s%s; usage: %s %s\n", argv[0], argv[i], i + 1 < argc ? " " : "", i + 1 < argc ? argv[i + 1] : "", argv[0], usage);
            exit(2);
        }
    }
    if (!dt_device_cpu.open(&o->device, &d, &err)) return d;
    fprintf(stderr, "%s\n", err.message);
    exit(1);
}
