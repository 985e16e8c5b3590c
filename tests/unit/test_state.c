/* What a state keeps for an optimiser, how it restarts, and the view of it that has averaged weights. */
#include "program/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { IN = 3, OUT = 2, WEIGHTS = IN * OUT };

/* Two linear networks on one input; network 0 is updated. */
typedef struct pair {
    dt_graph *graph;
    dt_device *device;
    dt_state *state;
    dt_node input, output[2];
} pair;

static const dt_update_rule averaging = {
    .optimiser = DT_ADAM, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_norm = 1, .ema = 0.999};

static dt_graph *build(pair *p)
{
    dt_graph *g = dt_graph_create();
    assert_non_null(g);
    p->input = dt_input(g, "x", DT_REAL, (dt_shape){1, IN, 1, 1});
    for (int i = 0; i < 2; i++) {
        dt_graph_set_network(g, i, i ? "plain" : "averaged", true);
        p->output[i] = dt_linear(g, p->input, "fc", OUT, DT_LINEAR_TORCH);
    }
    return g;
}

static pair make(dt_precision precision, const dt_update_rule *rule)
{
    const char *const names[] = {"averaged", "plain"};
    const dt_device_options options = {.threads = 1, .precision = precision};
    pair p;
    duet_error err;
    p.graph = build(&p);
    if (dt_device_reference.open(&options, &p.device, &err)) fail_msg("%s", err.message);
    if (dt_state_create(p.device, p.graph, names, 2, &p.state, &err)) fail_msg("%s", err.message);
    if (rule && dt_state_learn_by(p.state, 0, rule, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++)
        if (dt_state_initialise(p.state, i, 11, &err)) fail_msg("%s", err.message);
    return p;
}

static void drop(pair *p)
{
    dt_state_destroy(p->state);
    dt_graph_destroy(p->graph);
    p->device->api->close(p->device);
}

/* The outputs of both networks with the weights of `state`. */
static void outputs(const pair *p, dt_state *state, float out[2][OUT])
{
    const float x[IN] = {1, -2, 3};
    pair own = *p;
    dt_graph *g = build(&own);
    dt_program *program;
    duet_error err;
    dt_node keep[2] = {own.output[0], own.output[1]};
    const dt_program_spec spec = {.graph = g, .state = state, .outputs = keep, .n_outputs = 2};
    if (dt_program_compile(&spec, &program, &err)) fail_msg("%s", err.message);
    dt_program_write(program, own.input, x, IN);
    if (dt_program_run(program, -1, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++) dt_program_read(program, keep[i], out[i], OUT);
    dt_program_destroy(program);
    dt_graph_destroy(g);
}

/* One update of network 0 with gradients of 1, as a program would run it. */
static void update(pair *p)
{
    const dt_op op = {.kind = DT_OP_UPDATE, .n_out = 1, .out = {{1, 1, 1, 1}}};
    dt_kernel k;
    duet_error err;
    dt_network_state *n = &p->state->networks[0];
    double token;
    float ones[WEIGHTS] = {1, 1, 1, 1, 1, 1};
    double exact[WEIGHTS] = {1, 1, 1, 1, 1, 1};
    const bool is_double = p->device->precision == DT_F64;
    p->device->api->upload(p->device, n->gradients, is_double ? (void *)exact : ones,
                           is_double ? sizeof exact : sizeof ones);
    n->update.lr = 0.25;
    if (p->device->api->kernel(p->device, &op, &k, &err)) fail_msg("%s", err.message);
    assert_int_equal(k.run(k.state, (void *[]){&n->update}, (void *[]){&token}, NULL), 0);
    k.release(k.state);
}

static const dt_precision precisions[] = {DT_F32, DT_F64};

static void a_state_keeps_what_its_rule_needs(void **unused)
{
    (void)unused;
    const dt_update_rule sgd = {.optimiser = DT_SGD}, adamw = {.optimiser = DT_ADAMW}, ema = {.ema = 0.9};
    const struct {
        const dt_update_rule *rule;
        bool second, average;
    } rows[] = {{NULL, false, false}, {&sgd, false, false}, {&adamw, true, false}, {&ema, false, true}, {&averaging, true, true}};
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        pair p = make(DT_F32, rows[i].rule);
        assert_true(dt_state_keeps(p.state, 0, DT_KEPT_MOMENTUM));
        assert_int_equal(dt_state_keeps(p.state, 0, DT_KEPT_SECOND), rows[i].second);
        assert_int_equal(dt_state_keeps(p.state, 0, DT_KEPT_AVERAGE), rows[i].average);
        assert_false(dt_state_keeps(p.state, 1, DT_KEPT_SECOND));
        assert_false(dt_state_keeps(p.state, 1, DT_KEPT_AVERAGE));
        assert_int_equal(dt_state_averaged(p.state) != NULL, rows[i].average);
        drop(&p);
    }
}

static void programs_of_the_average_see_it_move(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < DT_COUNT(precisions); i++) {
        pair p = make(precisions[i], &averaging);
        float start[2][OUT], raw[2][OUT], average[2][OUT];
        outputs(&p, p.state, start);
        outputs(&p, dt_state_averaged(p.state), average);
        assert_memory_equal(start, average, sizeof start); /* it starts as the weights */
        update(&p);
        outputs(&p, p.state, raw);
        outputs(&p, dt_state_averaged(p.state), average);
        for (int o = 0; o < OUT; o++) { /* a tenth of the way is left */
            assert_true(fabsf(raw[0][o] - start[0][o]) > 0.1f);
            assert_true(fabsf(average[0][o] - (0.1f * start[0][o] + 0.9f * raw[0][o])) <= 1e-6f);
        }
        assert_memory_equal(raw[1], average[1], sizeof raw[1]); /* without an average: as it is */
        drop(&p);
    }
}

static void the_view_counts_batches_like_the_raw_network(void **unused)
{
    (void)unused;
    pair p = make(DT_F32, &averaging);
    assert_int_equal(dt_state_averaged(p.state)->networks[0].batches_tracked, 0);
    p.state->networks[0].batches_tracked = 7;
    assert_int_equal(dt_state_averaged(p.state)->networks[0].batches_tracked, 7);
    drop(&p);
}

static void a_restart_forgets_all_but_the_weights(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < DT_COUNT(precisions); i++) {
        pair p = make(precisions[i], &averaging);
        float weight[WEIGHTS], kept[WEIGHTS];
        const float zero[WEIGHTS] = {0};
        const dt_tensor *t = &p.state->networks[0].tensors[0];
        assert_int_equal(t->count, WEIGHTS);
        update(&p);
        for (int k = 0; k < DT_KEPT_AVERAGE; k++) {
            dt_state_read_kept(p.state, 0, (dt_kept)k, t, kept);
            assert_memory_not_equal(kept, zero, sizeof kept);
        }
        dt_state_restart(p.state, 0);
        for (int k = 0; k < DT_KEPT_AVERAGE; k++) {
            dt_state_read_kept(p.state, 0, (dt_kept)k, t, kept);
            assert_memory_equal(kept, zero, sizeof kept);
        }
        dt_state_read(p.state, 0, t, weight);
        dt_state_read_kept(p.state, 0, DT_KEPT_AVERAGE, t, kept);
        assert_memory_equal(weight, kept, sizeof kept);
        assert_int_equal(p.state->networks[0].update.updates, 0);
        drop(&p);
    }
}

static void memory_that_runs_out_is_an_error(void **unused)
{
    (void)unused;
    for (long k = 1;; k++) {
        pair p = make(DT_F32, NULL);
        duet_error err;
        dt_alloc_fail_at(k);
        const duet_status st = dt_state_learn_by(p.state, 0, &averaging, &err);
        dt_alloc_fail_at(0);
        drop(&p);
        if (!st) {
            assert_true(k > 2); /* both blocks were among the failures */
            return;
        }
        assert_int_equal(st, DUET_MEMORY);
        assert_non_null(strstr(err.message, "network 'averaged'"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_keeps_what_its_rule_needs),
        cmocka_unit_test(programs_of_the_average_see_it_move),
        cmocka_unit_test(the_view_counts_batches_like_the_raw_network),
        cmocka_unit_test(a_restart_forgets_all_but_the_weights),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
