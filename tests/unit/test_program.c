/* Graph -> program on the reference device: fusion must change nothing but the number of kernels, gradients must be those of
 * the formulas, placement must never let two living values meet. */
#include "program/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 3, CLASSES = 5, SIDE = 6, MAX_GRADIENTS = 4096 };

/* A residual block and a head: every fusion rule finds something. */
typedef struct net {
    dt_graph *g;
    dt_node image, labels, logits, loss, token;
} net;

static dt_node block(dt_graph *g, dt_node x, const char *name, size_t channels, size_t stride)
{
    char part[64];
    const dt_conv_spec three = {.out_channels = channels, .kernel_h = 3, .kernel_w = 3, .stride = stride, .pad = 1};
    const dt_conv_spec one = {.out_channels = channels, .kernel_h = 1, .kernel_w = 1, .stride = stride};
    snprintf(part, sizeof part, "%s.conv1", name);
    dt_node y = dt_conv(g, x, part, three);
    snprintf(part, sizeof part, "%s.bn1", name);
    y = dt_relu(g, dt_batch_norm(g, y, part));
    snprintf(part, sizeof part, "%s.conv2", name);
    y = dt_conv(g, y, part, (dt_conv_spec){.out_channels = channels, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1});
    snprintf(part, sizeof part, "%s.bn2", name);
    y = dt_batch_norm(g, y, part);
    if (stride != 1 || dt_shape_of(g, x).c != channels) {
        snprintf(part, sizeof part, "%s.down", name);
        x = dt_conv(g, x, part, one);
        snprintf(part, sizeof part, "%s.down_bn", name);
        x = dt_batch_norm(g, x, part);
    }
    return dt_relu(g, dt_add(g, y, x));
}

/* Pre-activation: sums that batch norms read, gradients that meet after a batch norm. */
static dt_node pre_block(dt_graph *g, dt_node x, const char *name)
{
    char part[64];
    snprintf(part, sizeof part, "%s.bn", name);
    dt_node y = dt_relu(g, dt_batch_norm(g, x, part));
    snprintf(part, sizeof part, "%s.conv", name);
    y = dt_conv(g, y, part, (dt_conv_spec){.out_channels = dt_shape_of(g, x).c, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1});
    return dt_add(g, y, x);
}

static net build(void)
{
    net n = {.g = dt_graph_create()};
    dt_graph *g = n.g;
    n.image = dt_input(g, "image", DT_REAL, (dt_shape){BATCH, 3, SIDE, SIDE});
    n.labels = dt_input(g, "labels", DT_INDEX, (dt_shape){BATCH, 1, 1, 1});
    dt_graph_set_network(g, 0, "net", true);
    dt_node x = block(g, n.image, "a", 4, 1);
    x = block(g, x, "b", 4, 1);
    x = block(g, x, "c", 8, 2);
    x = pre_block(g, x, "d");
    x = pre_block(g, x, "e");
    x = dt_relu(g, dt_batch_norm(g, x, "last"));
    n.logits = dt_linear(g, dt_global_average(g, x), "fc", CLASSES, DT_LINEAR_TORCH);
    dt_graph_set_network(g, -1, NULL, true);
    /* two losses that share a softmax, one of them through a detached copy */
    const dt_node log_p = dt_log_softmax(g, n.logits, 1), held = dt_log_softmax(g, dt_detach(g, n.logits), 1);
    const dt_node ce = dt_scale(g, dt_mean(g, dt_pick(g, log_p, n.labels), DT_AXIS_N), -1);
    const dt_node cross = dt_scale(g, dt_mean(g, dt_sum(g, dt_mul(g, dt_exp(g, held), log_p), DT_AXIS_C), DT_AXIS_N), -1);
    n.loss = dt_add(g, ce, cross);
    return n;
}

static void add_gradients(net *n)
{
    dt_graph *g = n->g;
    dt_node wrt[64], grad[64];
    size_t count = 0;
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].trained) wrt[count++] = g->parameters[i].node;
    assert_true(count < 64);
    dt_differentiate(g, n->loss, wrt, count, grad);
    for (size_t i = 0; i < count; i++) dt_program_gradient(g, wrt[i], grad[i]);
}

typedef struct outcome {
    float loss, gradients[MAX_GRADIENTS];
    size_t n_gradients;
    dt_program_facts facts;
    dt_graph *g;
    dt_state *state;
    dt_program *program;
    dt_device *device;
} outcome;

static void fill(dt_program *p, const net *n)
{
    float image[BATCH * 3 * SIDE * SIDE];
    const int32_t labels[BATCH] = {4, 0, 2};
    dt_rng r = dt_rng_make(7, DT_PURPOSE_TEST, 0, 0);
    for (size_t i = 0; i < DT_COUNT(image); i++) image[i] = dt_rng_normal(&r);
    dt_program_write(p, n->image, image, DT_COUNT(image));
    dt_program_write(p, n->labels, labels, BATCH);
}

static void run(net *n, bool no_fusion, dt_precision precision, outcome *o)
{
    duet_error err = {0};
    add_gradients(n);
    const dt_device_options options = {.threads = 1, .precision = precision};
    assert_int_equal(dt_device_reference.open(&options, &o->device, &err), DUET_OK);
    const char *const names[] = {"net"};
    if (dt_state_create(o->device, n->g, names, 1, &o->state, &err)) fail_msg("%s", err.message);
    assert_int_equal(dt_state_initialise(o->state, 0, 11, &err), DUET_OK);
    dt_node outputs[] = {n->loss};
    const dt_program_spec spec = {.graph = n->g, .state = o->state, .outputs = outputs, .n_outputs = 1, .no_fusion = no_fusion};
    if (dt_program_compile(&spec, &o->program, &err)) fail_msg("%s", err.message);
    fill(o->program, n);
    assert_int_equal(dt_program_run(o->program, -1, &err), DUET_OK);
    o->loss = dt_program_scalar(o->program, outputs[0]);
    o->n_gradients = 0;
    for (size_t i = 0; i < o->state->networks[0].n_tensors; i++) {
        const dt_tensor *t = &o->state->networks[0].tensors[i];
        if (!t->trained) continue;
        assert_true(o->n_gradients + t->count <= MAX_GRADIENTS);
        dt_state_read_gradient(o->state, 0, t, o->gradients + o->n_gradients);
        o->n_gradients += t->count;
    }
    dt_program_describe(o->program, &o->facts);
    o->g = n->g;
}

static void release(outcome *o)
{
    dt_program_destroy(o->program);
    dt_state_destroy(o->state);
    dt_device_reference.close(o->device);
    dt_graph_destroy(o->g);
}

static void fusion_changes_kernels_and_nothing_else(void **unused)
{
    (void)unused;
    static outcome plain, fused;
    net a = build(), b = build();
    run(&a, true, DT_F64, &plain);
    run(&b, false, DT_F64, &fused);
    assert_true(fused.facts.n_kernels < plain.facts.n_kernels);
    assert_true(isfinite(plain.loss) && fabsf(plain.loss - fused.loss) < 1e-6f);
    assert_int_equal(plain.n_gradients, fused.n_gradients);
    float largest = 0;
    for (size_t i = 0; i < plain.n_gradients; i++) {
        if (fabsf(plain.gradients[i]) > largest) largest = fabsf(plain.gradients[i]);
        /* double arithmetic, read as float: equal but for the order of a few sums */
        if (fabsf(plain.gradients[i] - fused.gradients[i]) > 1e-6f) fail_msg("gradient %zu: %g unfused, %g fused", i, (double)plain.gradients[i], (double)fused.gradients[i]);
    }
    assert_true(largest > 1e-3f);
    release(&plain);
    release(&fused);
}

static void every_rule_finds_its_pattern(void **unused)
{
    (void)unused;
    static outcome o;
    net n = build();
    run(&n, false, DT_F32, &o);
    assert_int_equal(o.g->fused.bn_residual, 3);  /* the ends of blocks a, b, c */
    assert_int_equal(o.g->fused.bn_relu, 6);      /* bn1 of a, b, c; d, e, last */
    assert_int_equal(o.g->fused.bn_stats_add, 2); /* the sums of d and e */
    assert_true(o.g->fused.bn_grad_relu >= 5);
    assert_true(o.g->fused.bn_grad_emit >= 3);
    assert_true(o.g->fused.bn_grad_add >= 3);
    assert_true(o.g->fused.shared >= 1);          /* the softmax */
    assert_true(o.facts.slab_bytes < o.facts.unshared_bytes);
    assert_true(o.facts.in_place > 0);
    release(&o);
}

/* Runs once with values that share memory, and once unfused with every large value kept apart to the end. */
static void values_that_share_memory_do_not_disturb_each_other(void **unused)
{
    (void)unused;
    static outcome shared, apart;
    net a = build(), b = build();
    run(&a, false, DT_F32, &shared);
    static dt_node keep[4096];
    add_gradients(&b);
    size_t n_keep = 0;
    for (size_t i = 0; i < b.g->n_nodes; i++) {
        const dt_kind k = b.g->nodes[i].kind;
        if (k == DT_OP_CONV || k == DT_OP_BN_APPLY || k == DT_OP_CONV_GRAD_INPUT || k == DT_OP_BN_GRAD_INPUT) keep[n_keep++] = (dt_node)i;
    }
    keep[n_keep++] = b.loss;
    duet_error err = {0};
    const dt_device_options options = {.threads = 1};
    assert_int_equal(dt_device_reference.open(&options, &apart.device, &err), DUET_OK);
    const char *const names[] = {"net"};
    assert_int_equal(dt_state_create(apart.device, b.g, names, 1, &apart.state, &err), DUET_OK);
    assert_int_equal(dt_state_initialise(apart.state, 0, 11, &err), DUET_OK);
    const dt_program_spec spec = {.graph = b.g, .state = apart.state, .outputs = keep, .n_outputs = n_keep, .no_fusion = true};
    if (dt_program_compile(&spec, &apart.program, &err)) fail_msg("%s", err.message);
    fill(apart.program, &b);
    assert_int_equal(dt_program_run(apart.program, -1, &err), DUET_OK);
    assert_true(fabsf(shared.loss - dt_program_scalar(apart.program, keep[n_keep - 1])) < 1e-5f);
    apart.g = b.g;
    release(&shared);
    release(&apart);
}

static void a_step_repeats_to_the_bit(void **unused)
{
    (void)unused;
    static outcome a, b;
    net x = build(), y = build();
    run(&x, false, DT_F32, &a);
    run(&y, false, DT_F32, &b);
    assert_memory_equal(&a.loss, &b.loss, sizeof a.loss);
    assert_memory_equal(a.gradients, b.gradients, a.n_gradients * sizeof(float));
    release(&a);
    release(&b);
}

static void shapes_that_do_not_fit_are_named(void **unused)
{
    (void)unused;
    duet_error err = {0};
    dt_graph *g = dt_graph_create();
    const dt_node a = dt_input(g, "left", DT_REAL, (dt_shape){2, 3, 4, 4}), b = dt_input(g, "right", DT_REAL, (dt_shape){2, 5, 4, 4});
    assert_int_equal(dt_relu(g, dt_add(g, a, b)), DT_NONE);
    assert_int_equal(dt_graph_check(g, &err), DUET_SHAPE);
    assert_non_null(strstr(err.message, "left"));
    assert_non_null(strstr(err.message, "[2, 5, 4, 4]"));
    dt_graph_destroy(g);
}

static void an_operation_without_gradient_is_refused(void **unused)
{
    (void)unused;
    duet_error err = {0};
    dt_graph *g = dt_graph_create();
    dt_node grad;
    const dt_node x = dt_input(g, "x", DT_REAL, (dt_shape){2, 3, 1, 1});
    dt_differentiate(g, dt_mean(g, dt_min(g, x, dt_constant(g, 0)), DT_AXES_ALL), &x, 1, &grad);
    assert_int_equal(dt_graph_check(g, &err), DUET_UNSUPPORTED);
    assert_non_null(strstr(err.message, "min"));
    dt_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fusion_changes_kernels_and_nothing_else),
        cmocka_unit_test(every_rule_finds_its_pattern),
        cmocka_unit_test(values_that_share_memory_do_not_disturb_each_other),
        cmocka_unit_test(a_step_repeats_to_the_bit),
        cmocka_unit_test(shapes_that_do_not_fit_are_named),
        cmocka_unit_test(an_operation_without_gradient_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
