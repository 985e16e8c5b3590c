/* The update of a network's weights, on every device: against PyTorch's formulas written out in double, at every length of
 * a block's tail, over several steps; what it says of bad gradients; that it depends on nothing but its numbers. */
#include "device/device.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the devices under test ---------------------------------------------------------------------------------- */

enum { MOST_DEVICES = 16 };
static dt_device *devices[MOST_DEVICES];
static char titles[MOST_DEVICES][64];
static size_t n_devices;

static void open_one(const dt_device_api *api, dt_isa isa, int threads)
{
    const dt_device_options options = {.threads = threads, .precision = DT_F32, .isa_limit = isa, .isa_limited = true};
    duet_error err;
    if (n_devices == MOST_DEVICES) DT_BUG("more devices than this test has room for");
    if (api->open(&options, &devices[n_devices], &err)) DT_BUG("%s: %s", api->name, err.message);
    snprintf(titles[n_devices++], sizeof titles[0], "%s %s, %d threads", api->name, dt_isa_name(isa), threads);
}

static int open_devices(void **state)
{
    (void)state;
    dt_cpu cpu;
    size_t n_apis;
    const dt_device_api *const *apis = dt_device_all(&n_apis);
    dt_cpu_detect(&cpu);
    for (size_t i = 0; i < n_apis; i++)
        for (int isa = DT_ISA_PORTABLE; isa <= (int)cpu.isa; isa++)
            for (int threads = 1; threads <= 2; threads++)
                if (apis[i] != &dt_device_reference || (threads == 1 && isa == DT_ISA_PORTABLE))
                    open_one(apis[i], (dt_isa)isa, threads);
    return 0;
}

static int close_devices(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_devices; i++) devices[i]->api->close(devices[i]);
    n_devices = 0;
    return 0;
}

/* ---- one update ---------------------------------------------------------------------------------------------- */

/* Runs one update; returns its token. */
static float run(dt_device *d, dt_update *p)
{
    const dt_op op = {.kind = DT_OP_UPDATE, .n_out = 1, .out = {{1, 1, 1, 1}}};
    dt_kernel k = {0};
    duet_error err = {0};
    float token = NAN;
    if (d->api->kernel(d, &op, &k, &err)) fail_msg("%s", err.message);
    void *scratch = dt_alloc(k.scratch_bytes + 1, 1);
    assert_int_equal(k.run(k.state, (void *[]){p}, (void *[]){&token}, scratch), 0);
    dt_free(scratch);
    if (k.release) k.release(k.state);
    return token;
}

enum { MOST = 67, ALL = MOST + 8 }; /* the longest block here, and its canaries */

typedef struct blocks {
    _Alignas(DT_ALIGN) float weight[ALL], momentum[ALL], second[ALL], average[ALL], gradient[ALL];
} blocks;

static void fill(float *to, size_t n, uint32_t seed, float low, float high)
{
    dt_rng r = dt_rng_make(seed, DT_PURPOSE_TEST, 2, 0);
    for (size_t i = 0; i < n; i++) to[i] = low + (high - low) * dt_rng_uniform(&r);
}

static void fill_all(blocks *b, uint32_t seed)
{
    fill(b->weight, ALL, seed, -4, 4);
    fill(b->momentum, ALL, seed + 1, -4, 4);
    fill(b->second, ALL, seed + 2, 0.01f, 4);
    fill(b->average, ALL, seed + 3, -4, 4);
    fill(b->gradient, ALL, seed + 4, -4, 4);
}

static dt_update update_of(blocks *b, size_t n, const dt_update_rule *rule)
{
    return (dt_update){.weight = b->weight,
                       .momentum = b->momentum,
                       .second = rule->optimiser == DT_SGD ? NULL : b->second,
                       .average = rule->ema > 0 ? b->average : NULL,
                       .gradient = b->gradient,
                       .n = n,
                       .rule = *rule,
                       .lr = 0.1};
}

#define ADAM .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
static const struct {
    const char *name;
    dt_update_rule rule;
} rules[] = {
    {"sgd", {.optimiser = DT_SGD, .momentum = 0.9, .weight_decay = 5e-4}},
    {"sgd nesterov", {.optimiser = DT_SGD, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true}},
    {"sgd clip", {.optimiser = DT_SGD, .momentum = 0.9, .weight_decay = 0.1, .clip_norm = 1.5}},
    {"sgd ema", {.optimiser = DT_SGD, .momentum = 0.5, .ema = 0.2}},
    {"sgd clip ema", {.optimiser = DT_SGD, .clip_norm = 1e5, .ema = 0.999}},
    {"adam", {.optimiser = DT_ADAM, ADAM}},
    {"adam decay clip", {.optimiser = DT_ADAM, ADAM, .weight_decay = 0.1, .clip_norm = 1.5}},
    {"adam clip ema", {.optimiser = DT_ADAM, .beta1 = 0.5, .beta2 = 0.9, .eps = 0.1, .clip_norm = 0.5, .ema = 0.9999}},
    {"adamw", {.optimiser = DT_ADAMW, ADAM, .weight_decay = 0.3}},
    {"adamw clip ema", {.optimiser = DT_ADAMW, ADAM, .weight_decay = 0.3, .clip_norm = 2, .ema = 0.15}},
};

/* ---- PyTorch's formulas -------------------------------------------------------------------------------------- */

typedef struct torch {
    double weight[MOST], first[MOST], second[MOST], average[MOST];
    int step; /* from 0 */
} torch;

/* torch.nn.utils.clip_grad_norm_; returns the norm. */
static double torch_clip(double *g, size_t n, double max_norm)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) total += g[i] * g[i];
    const double norm = sqrt(total), coefficient = max_norm / (norm + 1e-6);
    for (size_t i = 0; i < n; i++) g[i] *= coefficient > 1 ? 1 : coefficient;
    return norm;
}

/* Of element i: param_groups of PyTorch. */
static double rate_of(const dt_update *p, size_t i)
{
    size_t group = 0;
    if (!p->n_groups) return p->lr;
    while (i >= p->groups[group].end) group++;
    return p->lr * p->groups[group].lr_scale;
}

static void torch_sgd(torch *m, const double *g, size_t n, const dt_update *p)
{
    const dt_update_rule *r = &p->rule;
    for (size_t i = 0; i < n; i++) {
        double d_p = g[i];
        d_p += r->weight_decay * m->weight[i];
        m->first[i] = r->momentum * m->first[i] + d_p;
        d_p = r->nesterov ? d_p + r->momentum * m->first[i] : m->first[i];
        m->weight[i] -= rate_of(p, i) * d_p;
    }
}

static void torch_adam(torch *m, const double *g, size_t n, const dt_update *p)
{
    const dt_update_rule *r = &p->rule;
    const double bias_correction1 = 1 - pow(r->beta1, m->step + 1), bias_correction2 = 1 - pow(r->beta2, m->step + 1);
    for (size_t i = 0; i < n; i++) {
        const double lr = rate_of(p, i);
        double grad = g[i];
        if (r->optimiser == DT_ADAM) grad += r->weight_decay * m->weight[i];
        else m->weight[i] *= 1 - lr * r->weight_decay;
        m->first[i] = m->first[i] * r->beta1 + grad * (1 - r->beta1);
        m->second[i] = m->second[i] * r->beta2 + grad * grad * (1 - r->beta2);
        const double denom = sqrt(m->second[i]) / sqrt(bias_correction2) + r->eps;
        m->weight[i] += -(lr / bias_correction1) * (m->first[i] / denom);
    }
}

static double torch_step(torch *m, const float *gradient, size_t n, const dt_update *p)
{
    const dt_update_rule *r = &p->rule;
    double g[MOST], norm = 0;
    for (size_t i = 0; i < n; i++) g[i] = (double)gradient[i];
    if (r->clip_norm > 0) norm = torch_clip(g, n, r->clip_norm);
    if (r->optimiser == DT_SGD) torch_sgd(m, g, n, p);
    else torch_adam(m, g, n, p);
    const double keep = fmin(r->ema, (1.0 + m->step) / (10.0 + m->step));
    for (size_t i = 0; i < n; i++) m->average[i] = keep * m->average[i] + (1 - keep) * m->weight[i];
    m->step++;
    return norm;
}

static void begin_torch(torch *m, const blocks *b)
{
    *m = (torch){0};
    for (size_t i = 0; i < MOST; i++) {
        m->weight[i] = (double)b->weight[i];
        m->first[i] = (double)b->momentum[i];
        m->second[i] = (double)b->second[i];
        m->average[i] = (double)b->average[i];
    }
}

/* ---- comparison ---------------------------------------------------------------------------------------------- */

/* Values are below 40, each a few float roundings from the exact one in each of three steps. */
static const double tolerance = 3 * 4 * 40 * (double)FLT_EPSILON;

static void same(const char *title, const char *rule, size_t n, const char *block, const float *got, const double *want,
                 const float *canaries)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance))
            fail_msg("%s: %s: n %zu: %s[%zu]: got %.9g, want %.9g", title, rule, n, block, i, (double)got[i], want[i]);
    for (size_t i = n; i < ALL; i++)
        if (got[i] != canaries[i]) fail_msg("%s: %s: n %zu: %s[%zu] was written", title, rule, n, block, i);
}

static void check_rule(size_t d, size_t which, size_t n, const dt_update_group *groups, size_t n_groups)
{
    static blocks b, before;
    static torch m;
    const dt_update_rule *r = &rules[which].rule;
    fill_all(&b, (uint32_t)(100 * n + which));
    before = b;
    begin_torch(&m, &b);
    dt_update p = update_of(&b, n, r);
    p.groups = groups;
    p.n_groups = n_groups;
    for (int step = 0; step < 3; step++) {
        fill(b.gradient, ALL, (uint32_t)(1000 + step), -4, 4);
        const double norm = torch_step(&m, b.gradient, n, &p);
        assert_true(run(devices[d], &p) == 0);
        assert_int_equal(p.updates, step + 1);
        if (r->clip_norm > 0 && !(fabs(p.norm - norm) <= 1e-12 * norm))
            fail_msg("%s: %s: n %zu: norm %.17g, want %.17g", titles[d], rules[which].name, n, p.norm, norm);
    }
    same(titles[d], rules[which].name, n, "weight", b.weight, m.weight, before.weight);
    same(titles[d], rules[which].name, n, "momentum", b.momentum, m.first, before.momentum);
    if (p.second) same(titles[d], rules[which].name, n, "second", b.second, m.second, before.second);
    if (p.average) same(titles[d], rules[which].name, n, "average", b.average, m.average, before.average);
}

static void every_rule_makes_pytorchs_steps_at_every_tail_length(void **state)
{
    (void)state;
    for (size_t d = 0; d < n_devices; d++)
        for (size_t which = 0; which < DT_COUNT(rules); which++)
            for (size_t n = 0; n <= MOST; n++) check_rule(d, which, n, NULL, 0);
}

static void parts_of_a_network_have_rates_of_their_own(void **state)
{
    (void)state;
    static const dt_update_group one[] = {{MOST, 0.5}}, some[] = {{1, 0}, {16, 2}, {32, 1}, {33, 0.25}, {MOST, 0.5}};
    for (size_t d = 0; d < n_devices; d++)
        for (size_t which = 0; which < DT_COUNT(rules); which++) {
            check_rule(d, which, MOST, one, DT_COUNT(one));
            check_rule(d, which, MOST, some, DT_COUNT(some));
        }
}

static void every_rule_reports_a_gradient_that_is_not_finite(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    static blocks b;
    for (size_t d = 0; d < n_devices; d++)
        for (size_t which = 0; which < DT_COUNT(rules); which++)
            for (size_t n = 1; n <= MOST; n += 3)
                for (size_t at = 0; at < n; at += 5) {
                    fill_all(&b, (uint32_t)n);
                    b.gradient[at] = bad[at % 3];
                    dt_update p = update_of(&b, n, &rules[which].rule);
                    const float token = run(devices[d], &p);
                    if (token != 1)
                        fail_msg("%s: %s: n %zu, bad element %zu: token %g", titles[d], rules[which].name, n, at,
                                 (double)token);
                }
}

/* ---- several runs to an update --------------------------------------------------------------------------------- */

/* Two updates of `batches` runs each; b.sum begins as not a number, which nobody may read. */
static void check_several(size_t d, size_t which, size_t n, int batches)
{
    static blocks b, before;
    static torch m;
    static _Alignas(DT_ALIGN) float sum[ALL];
    float mean[ALL];
    fill_all(&b, (uint32_t)(100 * n + which));
    before = b;
    begin_torch(&m, &b);
    for (size_t i = 0; i < ALL; i++) sum[i] = NAN;
    dt_update p = update_of(&b, n, &rules[which].rule);
    p.rule.batches = batches;
    p.sum = sum;
    for (int step = 0; step < 2; step++) {
        double total[ALL] = {0};
        for (int k = 0; k < batches; k++) {
            assert_int_equal(p.updates, step);
            fill(b.gradient, ALL, (uint32_t)(1000 + batches * step + k), -4, 4);
            for (size_t i = 0; i < ALL; i++) total[i] += (double)b.gradient[i];
            const blocks still = b;
            assert_true(run(devices[d], &p) == 0);
            if (k + 1 < batches) assert_memory_equal(&b, &still, sizeof b);
        }
        for (size_t i = 0; i < ALL; i++) mean[i] = (float)(total[i] / batches);
        const double norm = torch_step(&m, mean, n, &p);
        if (p.rule.clip_norm > 0 && !(fabs(p.norm - norm) <= 1e-6 * norm))
            fail_msg("%s: %s: n %zu: norm %.17g, want %.17g", titles[d], rules[which].name, n, p.norm, norm);
    }
    assert_int_equal(p.updates, 2);
    same(titles[d], rules[which].name, n, "weight", b.weight, m.weight, before.weight);
    same(titles[d], rules[which].name, n, "momentum", b.momentum, m.first, before.momentum);
    if (p.average) same(titles[d], rules[which].name, n, "average", b.average, m.average, before.average);
    for (size_t i = n; i < ALL; i++) assert_true(isnan(sum[i]));
}

static void several_runs_make_one_update_of_their_mean_gradient(void **state)
{
    (void)state;
    static const int batches[] = {2, 3, 8};
    for (size_t d = 0; d < n_devices; d++)
        for (size_t which = 0; which < DT_COUNT(rules); which++)
            for (size_t n = 0; n <= MOST; n += n < 20 ? 1 : 7) check_several(d, which, n, batches[n % DT_COUNT(batches)]);
}

static void each_of_several_runs_reports_its_gradients(void **state)
{
    (void)state;
    static blocks b;
    static float sum[ALL];
    for (size_t d = 0; d < n_devices; d++)
        for (int bad = 0; bad < 3; bad++) {
            fill_all(&b, 3);
            dt_update p = update_of(&b, MOST, &rules[0].rule);
            p.rule.batches = 3;
            p.sum = sum;
            for (int k = 0; k < 3; k++) {
                fill(b.gradient, ALL, (uint32_t)k, -4, 4);
                if (k == bad) b.gradient[20 * k] = INFINITY;
                const float token = run(devices[d], &p);
                assert_true(token == (k >= bad)); /* and the sum keeps it */
            }
        }
}

static void a_sum_does_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    enum { N = 50001 };
    float *x[5];
    for (size_t i = 0; i < DT_COUNT(x); i++) assert_non_null(x[i] = dt_alloc(N, sizeof(float)));
    for (size_t d = 0; d + 1 < n_devices; d++) {
        if (devices[d]->threads != 1 || devices[d + 1]->threads != 2) continue;
        for (size_t one_or_two = 0; one_or_two < 2; one_or_two++) {
            float *weight = x[3 + one_or_two];
            fill(weight, N, 1, -1, 1);
            memset(x[0], 0, N * sizeof(float));
            dt_update p = {.weight = weight, .momentum = x[0], .gradient = x[1], .sum = x[2], .n = N, .lr = 0.1,
                           .rule = {.optimiser = DT_SGD, .momentum = 0.9, .batches = 3}};
            for (uint32_t k = 0; k < 6; k++) {
                fill(x[1], N, 10 + k, -1, 1);
                assert_true(run(devices[d + one_or_two], &p) == 0);
            }
        }
        assert_memory_equal(x[3], x[4], N * sizeof(float));
    }
    for (size_t i = 0; i < DT_COUNT(x); i++) dt_free(x[i]);
}

/* ---- clipping ------------------------------------------------------------------------------------------------ */

static double distance(const float *a, const float *b, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) total += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(total);
}

static void long_gradients_are_cut_to_the_norm_and_short_ones_left_alone(void **state)
{
    (void)state;
    static blocks cut, free, before;
    for (size_t d = 0; d < n_devices; d++)
        for (int is_long = 0; is_long < 2; is_long++) {
            fill_all(&before, 5);
            memset(before.momentum, 0, sizeof before.momentum);
            cut = free = before;
            const dt_update_rule plain = {.optimiser = DT_SGD};
            dt_update_rule clipping = plain;
            dt_update q = update_of(&free, MOST, &plain);
            run(devices[d], &q);
            const double norm = distance(free.momentum, before.momentum, MOST); /* with momentum 0: the gradients */
            clipping.clip_norm = is_long ? norm / 7 : norm * 1.01;
            dt_update p = update_of(&cut, MOST, &clipping);
            run(devices[d], &p);
            const double moved = distance(cut.momentum, before.momentum, MOST);
            if (is_long) assert_true(fabs(moved - norm / 7) <= 1e-5 * norm);
            else assert_memory_equal(cut.weight, free.weight, sizeof cut.weight);
        }
}

/* ---- the average --------------------------------------------------------------------------------------------- */

static void an_average_of_equal_weights_rests(void **state)
{
    (void)state;
    static blocks b;
    const dt_update_rule r = {.optimiser = DT_SGD, .ema = 0.9999};
    for (size_t d = 0; d < n_devices; d++) {
        fill_all(&b, 9);
        memcpy(b.average, b.weight, sizeof b.average);
        dt_update p = update_of(&b, MOST, &r);
        p.lr = 0;
        p.updates = 1000000; /* past the warm start */
        for (int i = 0; i < 100; i++) run(devices[d], &p);
        assert_memory_equal(b.average, b.weight, sizeof b.average);
    }
}

static void the_first_average_is_nine_tenths_of_the_new_weights(void **state)
{
    (void)state;
    static blocks b;
    const dt_update_rule r = {.optimiser = DT_SGD, .ema = 0.9999};
    for (size_t d = 0; d < n_devices; d++) {
        b.weight[0] = 1, b.average[0] = 1, b.momentum[0] = 0, b.gradient[0] = 8;
        dt_update p = update_of(&b, 1, &r);
        p.lr = 0.125;
        run(devices[d], &p);
        assert_true(b.weight[0] == 0);
        assert_true(fabsf(b.average[0] - 0.1f) <= 2 * FLT_EPSILON);
    }
}

/* ---- the same bits ------------------------------------------------------------------------------------------- */

enum { LONG = 50001 };

/* Weights after two updates of a long block. */
static void train_long(dt_device *d, const dt_update_rule *r, float *weight)
{
    float *kept[4];
    for (size_t i = 0; i < DT_COUNT(kept); i++) {
        kept[i] = dt_alloc(LONG, sizeof(float));
        assert_non_null(kept[i]);
    }
    fill(weight, LONG, 1, -1, 1);
    fill(kept[3], LONG, 2, -1, 1);
    dt_update p = {.weight = weight, .momentum = kept[0], .second = kept[1], .average = kept[2], .gradient = kept[3],
                   .n = LONG, .rule = *r, .lr = 0.1};
    for (int i = 0; i < 2; i++) assert_true(run(d, &p) == 0);
    for (size_t i = 0; i < DT_COUNT(kept); i++) dt_free(kept[i]);
}

static void an_update_repeats_its_bits(void **state)
{
    (void)state;
    float *a = dt_alloc(LONG, sizeof *a), *b = dt_alloc(LONG, sizeof *b);
    const dt_update_rule r = {.optimiser = DT_ADAMW, ADAM, .weight_decay = 0.1, .clip_norm = 3, .ema = 0.99};
    for (size_t d = 0; d < n_devices; d++) {
        train_long(devices[d], &r, a);
        train_long(devices[d], &r, b);
        assert_memory_equal(a, b, LONG * sizeof *a);
    }
    dt_free(a);
    dt_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_makes_pytorchs_steps_at_every_tail_length),
        cmocka_unit_test(parts_of_a_network_have_rates_of_their_own),
        cmocka_unit_test(every_rule_reports_a_gradient_that_is_not_finite),
        cmocka_unit_test(several_runs_make_one_update_of_their_mean_gradient),
        cmocka_unit_test(each_of_several_runs_reports_its_gradients),
        cmocka_unit_test(a_sum_does_not_depend_on_the_number_of_threads),
        cmocka_unit_test(long_gradients_are_cut_to_the_norm_and_short_ones_left_alone),
        cmocka_unit_test(an_average_of_equal_weights_rests),
        cmocka_unit_test(the_first_average_is_nine_tenths_of_the_new_weights),
        cmocka_unit_test(an_update_repeats_its_bits),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
