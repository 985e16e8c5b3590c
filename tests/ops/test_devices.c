/* Every device computes what the reference computes: each case of the list, at every instruction set this machine
 * has, with one thread and with two, into fresh memory and, where dt_op_in_place allows, over an input. Canaries
 * between tensors and unchanged inputs show that a kernel writes its outputs and nothing else; a second run must give
 * the same bits. */
#include "cases.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the devices under test ---------------------------------------------------------------------------------- */

enum { MOST_DEVICES = 16 };
static dt_device *devices[MOST_DEVICES];
static char titles[MOST_DEVICES][128];
static size_t n_devices;
static dt_device *oracle; /* the reference in float32 */

static void open_one(const dt_device_api *api, dt_isa isa, int threads)
{
    const dt_device_options options = {.threads = threads, .precision = DT_F32, .isa_limit = isa, .isa_limited = true};
    duet_error err;
    if (n_devices == MOST_DEVICES) DT_BUG("more devices than this test has room for");
    if (api->open(&options, &devices[n_devices], &err)) DT_BUG("%s: %s", api->name, err.message);
    char text[96];
    api->describe(devices[n_devices], text, sizeof text);
    snprintf(titles[n_devices], sizeof titles[0], "%s (%s, %d threads)", text, dt_isa_name(isa), threads);
    n_devices++;
}

static int open_devices(void **state)
{
    (void)state;
    dt_cpu cpu;
    size_t n_apis;
    const dt_device_api *const *apis = dt_device_all(&n_apis);
    dt_cpu_detect(&cpu);
    for (size_t i = 0; i < n_apis; i++) {
        if (apis[i] == &dt_device_reference) continue;
        for (int isa = DT_ISA_PORTABLE; isa <= (int)cpu.isa; isa++)
            for (int threads = 1; threads <= 2; threads++) open_one(apis[i], (dt_isa)isa, threads);
    }
    open_one(&dt_device_reference, DT_ISA_PORTABLE, 1);
    oracle = devices[n_devices - 1]; /* is compared with itself too: in place against not */
    return 0;
}

static int close_devices(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_devices; i++) devices[i]->api->close(devices[i]);
    n_devices = 0;
    return 0;
}

/* ---- comparison ---------------------------------------------------------------------------------------------- */

static int failures; /* printed so far in this test; the rest are counted only */

static bool report(const op_case *k, const char *device, int in_place, const char *format, ...) DT_PRINTF(4, 5);
static bool report(const op_case *k, const char *device, int in_place, const char *format, ...)
{
    if (failures++ >= 10) return false;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error("%s, seed %llu, %s%s: %s\n", k->name, (unsigned long long)k->seed, device,
                in_place < 0 ? "" : in_place == 0 ? ", over input 0" : ", over a later input", text);
    return false;
}

static bool near_enough(const op_case *k, const char *device, int in_place, int output, const float *want,
                        const float *got)
{
    const size_t n = dt_shape_count(k->op.out[output]);
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)want[i]));
    for (size_t i = 0; i < n; i++) {
        const double scale = fmax(k->floor, k->of_largest ? largest : fabs((double)want[i]));
        const double difference = fabs((double)got[i] - (double)want[i]);
        if (want[i] == got[i]) continue;
        if (!(difference <= k->tolerance * scale)) /* also when got is not a number */
            return report(k, device, in_place, "output %d, element %zu: want %.9g, got %.9g, %.3g over %.3g (%s)",
                          output, i, (double)want[i], (double)got[i], difference, k->tolerance * scale, k->reason);
    }
    return true;
}

/* An input is as it was, except where the output took its place and where BN_TRACK moves statistics. */
static bool inputs_kept(const op_case *k, const char *device, int in_place, const op_layout *l, const uint8_t *before,
                        const uint8_t *after, const uint8_t *want)
{
    for (int i = 0; i < k->op.n_in; i++) {
        if (!k->op.in[i].n || i == in_place) continue;
        const size_t n = op_tensor_bytes(k->op.in[i], k->op.in_type[i], l->precision);
        if (k->op.kind == DT_OP_BN_TRACK && i > 0) {
            const float *moved = (const void *)(after + l->in[i]), *right = (const void *)(want + l->in[i]);
            for (size_t e = 0; e < n / sizeof(float); e++)
                if (!(fabsf(moved[e] - right[e]) <= 16 * FLT_EPSILON * (1 + fabsf(right[e]))))
                    return report(k, device, in_place, "input %d, element %zu: want %.9g, got %.9g", i, e,
                                  (double)right[e], (double)moved[e]);
        } else if (memcmp(before + l->in[i], after + l->in[i], n)) {
            return report(k, device, in_place, "input %d was changed", i);
        }
    }
    return true;
}

typedef struct blocks {
    uint8_t *before, *after, *want; /* want: the oracle's, never in place */
    op_layout want_layout;
} blocks;

static void check_one(const op_case *k, size_t which, int in_place, const blocks *b)
{
    op_layout l;
    duet_error err = {0};
    op_layout_make(&k->op, DT_F32, in_place, &l);
    op_case_fill(k, &l, b->before);
    memcpy(b->after, b->before, l.bytes);
    if (op_run(devices[which], &k->op, &l, b->after, 0xFF, &err)) {
        report(k, titles[which], in_place, "%s", err.message);
        return;
    }
    const size_t broken = op_canary_broken(&k->op, &l, b->after);
    if (broken) {
        report(k, titles[which], in_place, "wrote outside its outputs, at byte %zu of %zu", broken, l.bytes);
        return;
    }
    for (int o = 0; o < k->op.n_out; o++)
        if (!near_enough(k, titles[which], in_place, o, (const void *)(b->want + b->want_layout.out[o]),
                         (const void *)(b->after + l.out[o])))
            return;
    if (!inputs_kept(k, titles[which], in_place, &l, b->before, b->after, b->want)) return;

    /* The same inputs give the same bits, whatever was in the scratch memory. */
    if (op_run(devices[which], &k->op, &l, b->before, 0, &err) || memcmp(b->before, b->after, l.bytes))
        report(k, titles[which], in_place, "a second run gave other bits");
}

static void check_case(const op_case *k)
{
    duet_error err = {0};
    blocks b;
    op_layout_make(&k->op, DT_F32, -1, &b.want_layout);
    const size_t bytes = b.want_layout.bytes;
    b.before = dt_alloc(bytes, 1), b.after = dt_alloc(bytes, 1), b.want = dt_alloc(bytes, 1);
    assert_true(b.before && b.after && b.want);
    op_case_fill(k, &b.want_layout, b.want);
    if (op_run(oracle, &k->op, &b.want_layout, b.want, 0xFF, &err)) fail_msg("%s: %s", k->name, err.message);

    for (size_t d = 0; d < n_devices; d++) {
        check_one(k, d, -1, &b);
        for (int i = 0; i < k->op.n_in; i++)
            if (dt_op_in_place(k->op.kind, i) && dt_shape_equal(k->op.in[i], k->op.out[0])) check_one(k, d, i, &b);
    }
    dt_free(b.before);
    dt_free(b.after);
    dt_free(b.want);
}

/* Runs the cases of the group whose name is the test's state. */
static void agrees_with_reference(void **state)
{
    const char *group = *state;
    op_case k;
    int n = 0;
    failures = 0;
    for (size_t i = 0; op_case_get(i, &k); i++) {
        if (strcmp(k.group, group)) continue;
        check_case(&k);
        n++;
    }
    if (failures) fail_msg("%s: %d failures in %d cases", group, failures, n);
    assert_true(n > 0);
}

/* ---- beside the list ----------------------------------------------------------------------------------------- */

/* Every operation that runs is in the list; updates have a test of their own, test_optimise. */
static void list_covers_every_operation(void **state)
{
    (void)state;
    bool covered[DT_OP_COUNT] = {[DT_OP_INPUT] = true,  [DT_OP_PARAMETER] = true, [DT_OP_PART] = true,
                                 [DT_OP_DETACH] = true, [DT_OP_RESHAPE] = true,   [DT_OP_UPDATE] = true};
    op_case k;
    for (size_t i = 0; op_case_get(i, &k); i++) covered[k.op.kind] = true;
    for (int kind = 0; kind < DT_OP_COUNT; kind++)
        if (!covered[kind]) fail_msg("no case for %s", dt_kind_name((dt_kind)kind));
}

/* Also memory that was in use before; below, at and above the size of a huge page. */
static void slabs_are_zeroed_and_aligned(void **state)
{
    (void)state;
    const size_t huge = (size_t)2 << 20, sizes[] = {1, 1000, huge - 1, huge, huge + 1, 5 * huge + 12345};
    for (size_t d = 0; d < n_devices; d++)
        for (size_t i = 0; i < DT_COUNT(sizes); i++)
            for (int again = 0; again < 3; again++) {
                duet_error err;
                void *block;
                if (devices[d]->api->slab(devices[d], sizes[i], &block, &err)) fail_msg("%s: %s", titles[d], err.message);
                assert_int_equal((uintptr_t)block % DT_ALIGN, 0);
                for (size_t at = 0; at < sizes[i]; at++)
                    if (((uint8_t *)block)[at]) fail_msg("%s: byte %zu of a slab of %zu is not 0", titles[d], at, sizes[i]);
                memset(block, 0xA5, sizes[i]);
                devices[d]->api->release(devices[d], block);
            }
}

/* A not-a-number must reach the loss, where it stops the run: ReLU and clamp may not hide it. */
static void not_a_number_passes_through(void **state)
{
    (void)state;
    const dt_kind kinds[] = {DT_OP_RELU, DT_OP_RELU6, DT_OP_CLAMP, DT_OP_SILU, DT_OP_BN_APPLY};
    for (size_t d = 0; d < n_devices; d++)
        for (size_t j = 0; j < DT_COUNT(kinds); j++)
            for (size_t at = 0; at < 17; at++) {
                op_case k = {
                    .name = "not-a-number",
                    .op = {.kind = kinds[j], .n_in = 1, .n_out = 1, .in = {{1, 17, 1, 1}}, .out = {{1, 17, 1, 1}}}};
                if (kinds[j] == DT_OP_CLAMP) k.op.a.clamp.low = -1, k.op.a.clamp.high = 1;
                if (kinds[j] == DT_OP_BN_APPLY) {
                    k.op.a.bn.activation = DT_ACTIVATION_RELU6;
                    k.op.n_in = 4;
                    k.op.in[1] = (dt_shape){2, 17, 1, 1};
                    k.op.in[2] = k.op.in[3] = k.op.in[0];
                }
                op_layout l;
                op_layout_make(&k.op, DT_F32, -1, &l);
                _Alignas(DT_ALIGN) uint8_t block[4096];
                assert_true(l.bytes <= sizeof block);
                op_case_fill(&k, &l, block);
                ((float *)(void *)(block + l.in[0]))[at] = NAN;
                assert_int_equal(op_run(devices[d], &k.op, &l, block, 0xFF, NULL), 0);
                for (size_t i = 0; i < 17; i++)
                    if ((isnan(((float *)(void *)(block + l.out[0]))[i]) != 0) != (i == at))
                        fail_msg("%s: %s, NaN in element %zu, element %zu", titles[d], dt_kind_name(kinds[j]), at, i);
            }
}

// clang-format off
#define GROUP(text)                                                                                                    \
    {.name = text "_agrees_with_reference", .test_func = agrees_with_reference,                                        \
     .initial_state = (void *)(uintptr_t)text}
// clang-format on

/* `test_devices [PATTERN]`: only the tests whose name fits, "dense*". */
int main(int n_arguments, char **arguments)
{
    if (n_arguments > 1) cmocka_set_test_filter(arguments[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_covers_every_operation),
        GROUP("conv"),
        GROUP("matmul"),
        GROUP("pool"),
        GROUP("bn"),
        GROUP("elementwise"),
        GROUP("reduce"),
        GROUP("classify"),
        GROUP("places"),
        GROUP("dense"),
        cmocka_unit_test(slabs_are_zeroed_and_aligned),
        cmocka_unit_test(not_a_number_passes_through),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
