/* How fast each device computes the operations of a training step: `ops_speed [FILTER [THREADS [ISA]]]`.
 *
 * For each case of the speed list whose name contains FILTER, one line for each device: the best time of some runs,
 * GFLOP/s (a multiply-add is two), GB/s of the least traffic the shapes imply, and which implementation ran. Runs
 * alternate between two sets of operands, so that large ones come from memory, as in a step, where an operand was last
 * touched long ago; small ones stay in the cache. The reference is shown only when FILTER is `reference:TEXT`. ISA
 * limits the instruction set: portable, avx2, avx512. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

enum { SETS = 2, LEAST_RUNS = 5, MOST_RUNS = 200 };
static const double seconds_per_case = 0.2;

typedef struct bench {
    dt_device *device;
    dt_kernel kernel;
    uint8_t *block[SETS], *scratch;
    void *in[SETS][DT_MAX_INPUTS], *out[SETS][2];
} bench;

static void close_bench(bench *b)
{
    for (int s = 0; s < SETS; s++)
        if (b->block[s]) b->device->api->release(b->device, b->block[s]);
    if (b->scratch) b->device->api->release(b->device, b->scratch);
    if (b->kernel.release) b->kernel.release(b->kernel.state);
}

static duet_status open_bench(dt_device *d, const op_case *k, bench *b, duet_error *err)
{
    op_layout l;
    op_layout_make(&k->op, DT_F32, -1, &l);
    *b = (bench){.device = d};
    uint8_t *host = dt_alloc(l.bytes, 1);
    if (!host) return dt_fail(err, DUET_MEMORY, "no memory for %zu bytes", l.bytes);
    op_case_fill(k, &l, host);
    duet_status st = d->api->kernel(d, &k->op, &b->kernel, err);
    if (!st) st = d->api->slab(d, b->kernel.scratch_bytes + 1, (void **)&b->scratch, err);
    for (int s = 0; s < SETS && !st; s++) {
        st = d->api->slab(d, l.bytes, (void **)&b->block[s], err);
        if (st) break;
        d->api->upload(d, b->block[s], host, l.bytes);
        for (int i = 0; i < k->op.n_in; i++) b->in[s][i] = k->op.in[i].n ? b->block[s] + l.in[i] : NULL;
        for (int i = 0; i < k->op.n_out; i++) b->out[s][i] = b->block[s] + l.out[i];
    }
    dt_free(host);
    return st;
}

/* Seconds of the fastest run. */
static double fastest(bench *b)
{
    double best = 1e9;
    const double begin = dt_now_s();
    for (int run = 0; run < MOST_RUNS && (run < LEAST_RUNS || dt_now_s() - begin < seconds_per_case); run++) {
        const double start = dt_now_s();
        if (b->kernel.run(b->kernel.state, b->in[run % SETS], b->out[run % SETS], b->scratch)) return 0;
        const double taken = dt_now_s() - start;
        if (taken < best) best = taken;
    }
    return best;
}

static void measure(dt_device *d, const op_case *k)
{
    bench b;
    duet_error err;
    if (open_bench(d, k, &b, &err)) {
        printf("%-84s %s\n", k->name, err.message);
    } else {
        const double s = fastest(&b);
        printf("%-84s %9.3f ms %8.1f GFLOP/s %7.1f GB/s  %s\n", k->name, 1e3 * s, 2e-9 * dt_op_macs(&k->op) / s,
               1e-9 * dt_op_bytes(&k->op) / s, b.kernel.note);
    }
    close_bench(&b);
}

static void measure_device(const dt_device_api *api, const dt_device_options *options, const char *filter)
{
    dt_device *d;
    duet_error err;
    char title[128];
    op_case k;
    if (api->open(options, &d, &err)) {
        printf("%s: %s\n", api->name, err.message);
        return;
    }
    api->describe(d, title, sizeof title);
    printf("\n%s\n", title);
    for (size_t i = 0; op_case_get_speed(i, &k); i++)
        if (strstr(k.name, filter)) measure(d, &k);
    api->close(d);
}

int main(int n_arguments, char **arguments)
{
    static const char reference[] = "reference:";
    const char *filter = n_arguments > 1 ? arguments[1] : "";
    const bool of_reference = !strncmp(filter, reference, strlen(reference));
    dt_device_options options = {
        .threads = n_arguments > 2 ? atoi(arguments[2]) : 0, .precision = DT_F32, .isa_limit = DT_ISA_AVX512};
    if (n_arguments > 3) {
        options.isa_limited = true;
        for (int isa = DT_ISA_PORTABLE; isa <= DT_ISA_AVX512; isa++)
            if (!strcmp(arguments[3], dt_isa_name((dt_isa)isa))) options.isa_limit = (dt_isa)isa;
    }
    if (of_reference) filter += strlen(reference);

    size_t n;
    const dt_device_api *const *apis = dt_device_all(&n);
    for (size_t i = 0; i < n; i++)
        if ((apis[i] == &dt_device_reference) == of_reference) measure_device(apis[i], &options, filter);
    return 0;
}
