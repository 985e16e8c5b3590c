/* Depth-wise 3x3 convolutions against the floor of memory: how long copying as many bytes takes.
 *
 *     bench_depthwise [--threads 1] [--isa portable|avx2|avx512] [--seconds 0.3] [--warm] [TEXT]
 *
 * For each shape and direction, in alternation: what the cpu device chooses, oneDNN, and a copy of as many bytes as the
 * operation reads and writes at least, within the same memory: from its first half to its second, with memcpy and with
 * a loop of ordinary stores; the faster of the two counts. Least times of all repetitions.
 *
 * Each call works on the next of many sets of operands, together MANY_BYTES, so that everything comes from memory, as in
 * a step, where a tensor was last touched long ago. `--warm`: one set for all calls; what fits a cache stays there, for
 * the copy as well. TEXT: only shapes whose name contains it. Built with the tests as `bench_depthwise`. */
#include "bench.h"

#include <string.h>

enum { MOST_SETS = 256 };
static const size_t many_bytes = (size_t)192 << 20;

typedef struct shape {
    size_t n, c, side, stride;
    const char *where;
} shape;

static const shape shapes[] = {
    {8, 32, 112, 1, "mobilenet_v1 224"},   {8, 64, 112, 2, "mobilenet_v1 224"},    {8, 128, 56, 1, "mobilenet_v1 224"},
    {8, 128, 56, 2, "mobilenet_v1 224"},   {8, 256, 28, 1, "mobilenet_v1 224"},    {8, 256, 28, 2, "mobilenet_v1 224"},
    {8, 512, 14, 1, "mobilenet_v1 224"},   {8, 512, 14, 2, "mobilenet_v1 224"},    {8, 1024, 7, 1, "mobilenet_v1 224"},
    {8, 96, 112, 2, "mobilenet_v2 224"},   {8, 144, 56, 1, "mobilenet_v2 224"},    {8, 144, 56, 2, "mobilenet_v2 224"},
    {8, 192, 28, 1, "mobilenet_v2 224"},   {8, 192, 28, 2, "mobilenet_v2 224"},    {8, 384, 14, 1, "mobilenet_v2 224"},
    {8, 576, 14, 1, "mobilenet_v2 224"},   {8, 576, 14, 2, "mobilenet_v2 224"},    {8, 960, 7, 1, "mobilenet_v2 224"},
    {64, 48, 16, 1, "mobilenet_half 32"},  {64, 72, 16, 1, "mobilenet_half 32"},   {64, 96, 8, 2, "mobilenet_half 32"},
    {64, 192, 4, 1, "mobilenet_half 32"},  {64, 288, 4, 2, "mobilenet_half 32"},   {64, 480, 2, 1, "mobilenet_half 32"},
    {64, 58, 32, 2, "shufflenet_v2 32"},   {64, 58, 16, 1, "shufflenet_v2 32"},    {64, 116, 16, 2, "shufflenet_v2 32"},
    {64, 116, 8, 1, "shufflenet_v2 32"},   {64, 232, 4, 1, "shufflenet_v2 32"},    {64, 60, 32, 1, "shufflenet_v1 32"},
    {64, 120, 16, 1, "shufflenet_v1 32"},  {1, 64, 16, 1, "in the L2"}, {1, 128, 28, 1, "in the L3"},
    {64, 128, 112, 1, "larger than caches"}, {64, 128, 112, 2, "larger than caches"},
};

/* One shape and direction: two kernels and the sets of operands. */
typedef struct race {
    dt_device *d;
    dt_op op;
    dt_kernel chosen, onednn;
    float *set[MOST_SETS];
    size_t n_sets, at, floats; /* of a set */
    void *scratch;
} race;

static dt_op operation(const shape *s, size_t direction)
{
    return bench_operation(&(bench_convolution){.x = {s->n, s->c, s->side, s->side},
                                                .out_channels = s->c,
                                                .kernel = 3,
                                                .stride = s->stride,
                                                .dilation = 1,
                                                .groups = s->c},
                           direction);
}

static size_t floats_of(dt_shape s)
{
    return dt_cpu_round_up(dt_shape_count(s), DT_ALIGN);
}

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(i * 2654435761u % 1024) / 1024 - 0.5f;
}

static void run_kernel(race *r, const dt_kernel *k)
{
    float *block = r->set[r->at];
    void *in[2] = {block, block + floats_of(r->op.in[0])};
    void *out[1] = {block + floats_of(r->op.in[0]) + floats_of(r->op.in[1])};
    if (k->run(k->state, in, out, r->scratch)) DT_BUG("kernel failed");
}

typedef struct copying {
    float *to;
    const float *from;
    size_t n;
    bool loop;
} copying;

static void copy_part(void *task, int part, int parts)
{
    const copying *c = task;
    const dt_cpu_share mine = dt_cpu_share_of(c->n, DT_ALIGN, part, parts);
    float *restrict to = c->to + mine.begin;
    const float *restrict from = c->from + mine.begin;
    const size_t n = mine.end - mine.begin;
    if (!c->loop) {
        memcpy(to, from, n * sizeof *to);
        return;
    }
    for (size_t i = 0; i + 8 <= n; i += 8) {
        typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
        *(eight *)(to + i) = *(const eight *)(from + i);
        __asm__ volatile("" ::: "memory"); /* a loop, not the library's copy again */
    }
}

static double timed(race *r, int contender)
{
    r->at = (r->at + 1) % r->n_sets;
    const double start = dt_now_s();
    if (contender == 0)
        run_kernel(r, &r->chosen);
    else if (contender == 1)
        run_kernel(r, &r->onednn);
    else {
        float *block = r->set[r->at];
        const size_t half = (size_t)(dt_op_bytes(&r->op) / sizeof(float)) / 2;
        copying c = {block + half, block, half, contender == 3};
        dt_cpu_divide(r->d->threads, copy_part, &c);
    }
    return dt_now_s() - start;
}

static bool open_race(race *r, dt_device *d, const shape *s, size_t direction, bool warm)
{
    duet_error err;
    *r = (race){.d = d, .op = operation(s, direction)};
    r->floats = floats_of(r->op.in[0]) + floats_of(r->op.in[1]) + floats_of(r->op.out[0]);
    r->n_sets = warm ? 1 : many_bytes / (r->floats * sizeof(float)) + 2;
    if (r->n_sets > MOST_SETS) r->n_sets = MOST_SETS;
    if (d->api->kernel(d, &r->op, &r->chosen, &err) ||
        dt_cpu_onednn_convolution((dt_cpu_device *)d, &r->op, &r->onednn, &err) || !r->onednn.run) {
        printf("  no kernel\n");
        return false;
    }
    const size_t a = r->chosen.scratch_bytes, b = r->onednn.scratch_bytes;
    if (d->api->slab(d, (a > b ? a : b) + 1, &r->scratch, &err)) DT_BUG("%s", err.message);
    for (size_t i = 0; i < r->n_sets; i++) {
        if (d->api->slab(d, r->floats * sizeof(float), (void **)&r->set[i], &err)) DT_BUG("%s", err.message);
        fill(r->set[i], r->floats);
    }
    return true;
}

static void close_race(race *r)
{
    for (size_t i = 0; i < r->n_sets && r->set[i]; i++) r->d->api->release(r->d, r->set[i]);
    if (r->scratch) r->d->api->release(r->d, r->scratch);
    if (r->chosen.release) r->chosen.release(r->chosen.state);
    if (r->onednn.release) r->onednn.release(r->onednn.state);
}

static void measure(dt_device *d, const shape *s, size_t direction, const bench_options *o)
{
    race r;
    double best[4] = {1e9, 1e9, 1e9, 1e9};
    if (open_race(&r, d, s, direction, o->warm)) {
        int rounds = 0;
        for (double end = dt_now_s() + o->seconds; rounds < 3 || dt_now_s() < end; rounds++)
            for (int i = 0; i < 4; i++) {
                const double taken = timed(&r, i);
                if (rounds && taken < best[i]) best[i] = taken;
            }
        const double floor = best[2] < best[3] ? best[2] : best[3], mib = dt_op_bytes(&r.op) / (1 << 20);
        printf("%8.2f %9.3f %9.3f %9.3f %9.3f %8.2f %8.2f %8.2f  %s\n", mib, 1e3 * best[0], 1e3 * best[1], 1e3 * best[2],
               1e3 * best[3], best[0] / floor, best[1] / floor, best[1] / best[0], r.chosen.note);
        fflush(stdout);
    }
    close_race(&r);
}

static void table(dt_device *d, const bench_options *o)
{
    printf("%-40s %-11s %8s %9s %9s %9s %9s %8s %8s %8s\n", "convolution", "direction", "MiB", "ms", "oneDNN", "memcpy",
           "loop", "/floor", "oneDNN/", "speedup");
    for (size_t i = 0; i < DT_COUNT(shapes); i++)
        for (size_t j = 0; j < BENCH_DIRECTIONS; j++) {
            const shape *s = &shapes[i];
            char name[64];
            snprintf(name, sizeof name, "%zu x %zu @%zu /%zu %s", s->n, s->c, s->side, s->stride, s->where);
            if (o->only && !strstr(name, o->only)) continue;
            printf("%-40s %-11s ", name, bench_direction_names[j]);
            measure(d, s, j, o);
        }
}

int main(int argc, char **argv)
{
    bench_options o = {.device = {.precision = DT_F32, .threads = 1}, .seconds = 0.3};
    dt_device *d = bench_open(argc, argv, "[--threads N] [--isa portable|avx2|avx512] [--seconds S] [--warm] [TEXT]", &o);
    char text[160];
    d->api->describe(d, text, sizeof text);
    printf("%s, operands %s\n", text, o.warm ? "as they are left" : "from memory");
    table(d, &o);
    d->api->close(d);
    return 0;
}
