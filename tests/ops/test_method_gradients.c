/* Every method's loss against finite differences in float64: what a network's parameters get must be the derivative of its
 * own loss with everything detached held fixed.
 *
 * All of it happens in one graph. The step is built once (base), and for a network i twice more with its parameters moved by
 * +h and -h along a random direction. The builder makes nodes in the same order each time, so that the k-th DETACH of a copy
 * is the k-th of the base: the copy's is made to read the base's value, which holds fixed what the formula says is constant.
 * Compared are the difference quotient of the copies' losses and the inner product of gradient and direction. */
#include "../unit/step.h"

enum { MOST_PARAMETERS = 16, MOST_DETACHED = 512, MOST_CHECKS = 64, MOST_INPUTS = 64 };

static const double h = 1e-5;
/* The quotient's own error is h^2 and cancellation, both near 1e-10; losses are read as floats. */
static const double tolerance = 1e-6;

typedef struct check {
    dt_node quotient, product;
    int variant, network;
} check;

typedef struct differences {
    const step_spec *s;
    dt_graph *g;
    step_inputs in;
    dt_losses base;
    dt_node detached[MOST_DETACHED]; /* what each DETACH of the base reads */
    size_t n_detached;
    dt_node direction[MOST_INPUTS], epoch_input[MOST_INPUTS];
    size_t n_directions, n_epoch_inputs;
    check checks[MOST_CHECKS];
    size_t n_checks;
} differences;

static void build(differences *d, dt_losses *out)
{
    dt_peers peers;
    duet_error err = {0};
    if (step_build(d->s, d->g, d->in, &peers, out, &err)) fail_msg("%s %s adm %s: %s", d->s->method, d->s->options, d->s->adm, err.message);
    if (out->epoch_input != DT_NONE) d->epoch_input[d->n_epoch_inputs++] = out->epoch_input;
}

/* The losses with parameters p[k] replaced by moved[k], and everything detached as in the base. */
static void build_moved(differences *d, const dt_node *p, const dt_node *moved, size_t n, dt_losses *out)
{
    const size_t start = d->g->n_nodes;
    build(d, out);
    size_t k = 0;
    for (size_t x = start; x < d->g->n_nodes; x++) {
        dt_graph_node *node = &d->g->nodes[x];
        for (int i = 0; i < node->n_in; i++)
            for (size_t j = 0; j < n; j++)
                if (node->in[i] == p[j]) node->in[i] = moved[j];
        if (node->kind == DT_OP_DETACH) node->in[0] = d->detached[k++];
    }
    assert_int_equal(k, d->n_detached);
}

static void check_network(differences *d, int network)
{
    dt_graph *g = d->g;
    dt_node p[MOST_PARAMETERS], up[MOST_PARAMETERS], down[MOST_PARAMETERS], direction[MOST_PARAMETERS], grad[MOST_PARAMETERS];
    const size_t n = step_trained(g, network, p);
    dt_losses above, below;
    for (size_t k = 0; k < n; k++) {
        direction[k] = d->direction[d->n_directions++] = dt_input(g, "direction", DT_REAL, dt_shape_of(g, p[k]));
        up[k] = dt_add(g, p[k], dt_scale(g, direction[k], h));
        down[k] = dt_add(g, p[k], dt_scale(g, direction[k], -h));
    }
    build_moved(d, p, up, n, &above);
    build_moved(d, p, down, n, &below);
    for (int v = 0; v < d->base.n_variants; v++) {
        if (d->base.loss[v][network] == DT_NONE) continue;
        dt_node product = DT_NONE;
        dt_differentiate(g, d->base.loss[v][network], p, n, grad);
        for (size_t k = 0; k < n; k++) {
            assert_true(grad[k] != DT_NONE);
            dt_node part = dt_sum(g, dt_mul(g, grad[k], direction[k]), DT_AXES_ALL);
            product = product == DT_NONE ? part : dt_add(g, product, part);
        }
        dt_node quotient = dt_scale(g, dt_sub(g, above.loss[v][network], below.loss[v][network]), 0.5 / h);
        d->checks[d->n_checks++] = (check){quotient, product, v, network};
    }
}

static void run_checks(differences *d, float epoch)
{
    dt_node outputs[2 * MOST_CHECKS];
    for (size_t i = 0; i < d->n_checks; i++) {
        outputs[2 * i] = d->checks[i].quotient;
        outputs[2 * i + 1] = d->checks[i].product;
    }
    for (size_t x = 0; x < d->g->n_nodes; x++) d->g->nodes[x].variant = -1; /* all of them, side by side */
    evaluation e = evaluation_of(d->g, outputs, 2 * d->n_checks, d->s->n, 1, DT_F64);
    step_fill(e.program, d->in, epoch);
    for (size_t i = 0; i < d->n_directions; i++) {
        float values[1024];
        const size_t count = dt_shape_count(dt_shape_of(d->g, d->direction[i]));
        assert_true(count <= DT_COUNT(values));
        fill_normal(values, count, 1, 100 + i);
        dt_program_write(e.program, d->direction[i], values, count);
    }
    static const float weights[4] = {0.5f, 0.2f, 0.2f, 0.1f};
    for (size_t i = 0; i < d->n_epoch_inputs; i++) dt_program_write(e.program, d->epoch_input[i], weights, (size_t)d->s->n);
    evaluation_run(&e, -1);
    for (size_t i = 0; i < d->n_checks; i++) {
        const double quotient = (double)dt_program_scalar(e.program, outputs[2 * i]), product = (double)dt_program_scalar(e.program, outputs[2 * i + 1]);
        if (!(fabs(quotient - product) <= tolerance * (1 + fabs(quotient))) || !(fabs(product) > 1e-4)) {
            fail_msg("%s %s adm %s: network %d, variant %d: difference quotient %.9g, gradient %.9g", d->s->method, d->s->options ? d->s->options : "",
                     d->s->adm ? d->s->adm : "off", d->checks[i].network, d->checks[i].variant, quotient, product);
        }
    }
    evaluation_end(&e);
}

static void compare(const step_spec *s, float epoch)
{
    static differences d;
    d = (differences){.s = s, .g = dt_graph_create()};
    d.in = step_make_inputs(d.g);
    build(&d, &d.base);
    for (size_t x = 0; x < d.g->n_nodes; x++)
        if (d.g->nodes[x].kind == DT_OP_DETACH) d.detached[d.n_detached++] = d.g->nodes[x].in[0];
    assert_true(d.n_detached <= MOST_DETACHED);
    for (int i = 0; i < s->n; i++)
        if (!s->networks[i].frozen) check_network(&d, i);
    run_checks(&d, epoch);
    dt_graph_destroy(d.g);
}

#define TEACHER {DT_ROLE_TEACHER, 4, 1, false}
#define STUDENT {DT_ROLE_STUDENT, 4, 1, false}
#define NARROW_STUDENT {DT_ROLE_STUDENT, 3, 2, false}
#define PEER {DT_ROLE_PEER, 4, 1, false}

static void base_methods(void **state)
{
    (void)state;
    static const step_spec specs[] = {
        {1, {PEER}, "vanilla", NULL, NULL, false},
        {2, {{DT_ROLE_TEACHER, 4, 1, true}, NARROW_STUDENT}, "kd", NULL, NULL, false},
        {3, {STUDENT, {DT_ROLE_TEACHER, 4, 1, true}, NARROW_STUDENT}, "kd", "temperature=2 alpha=0.3", NULL, false},
        {2, {TEACHER, STUDENT}, "dml", NULL, NULL, false},
        {3, {TEACHER, STUDENT, PEER}, "dml", "temperature=3 weight=0.7", NULL, false},
        {3, {TEACHER, STUDENT, PEER}, "dml", "peers=sum warmup_epochs=4", NULL, false},
        {2, {TEACHER, STUDENT}, "kdcl", NULL, NULL, false},
        {3, {TEACHER, STUDENT, PEER}, "kdcl", "target=naive", NULL, false},
        {3, {TEACHER, STUDENT, PEER}, "kdcl", "target=linear temperature=3", NULL, false},
        {2, {TEACHER, STUDENT}, "kdcl", "target=linear", NULL, false},
        {3, {TEACHER, STUDENT, PEER}, "kdcl", "target=general", NULL, false},
        {3, {TEACHER, STUDENT, PEER}, "kdcl", "target=mean weight=2 warmup_epochs=4", NULL, false},
    };
    for (size_t i = 0; i < DT_COUNT(specs); i++) compare(&specs[i], 1);
}

static void both_outcomes_of_every_switch(void **state)
{
    (void)state;
    static const step_spec specs[] = {
        {2, {TEACHER, STUDENT}, "switokd", NULL, NULL, false},
        {3, {TEACHER, STUDENT, NARROW_STUDENT}, "switokd", "temperature=2", NULL, false},
        {3, {TEACHER, STUDENT, TEACHER}, "switokd", "temperature=2 t_squared=true", NULL, false},
        {3, {TEACHER, STUDENT, NARROW_STUDENT}, "switokd", NULL, "consensus=modulate", false},
    };
    for (size_t i = 0; i < DT_COUNT(specs); i++) compare(&specs[i], 0);
}

/* All that adm accepts on maps of one size, and of two. */
static void adm_in_every_combination(void **state)
{
    (void)state;
    static const char *const consensus[] = {"align", "modulate", "off"}, *const divergence[] = {"repel", "modulate", "off"},
                      *const view[] = {"class", "channel", "label", "attention"}, *const weights[] = {"mean", "none", "uniform", "softmax"};
    char text[160];
    int compared = 0;
    for (int i = 0; i < 3 * 3 * 4 * 4; i++) {
        const int a = i % 3, b = i / 3 % 3, v = i / 9 % 4, w = i / 36;
        if (v >= 2 && (a == 0 || b == 0)) continue; /* one number at a place is not a vector */
        snprintf(text, sizeof text, "consensus=%s divergence=%s view=%s weights=%s alpha=0.7 beta=1.3 tau=0.3", consensus[a], divergence[b], view[v], weights[w]);
        step_spec s = {2, {TEACHER, STUDENT}, "vanilla", NULL, text, false};
        compare(&s, 0);
        compared++;
        if (v == 1) continue;
        const step_network narrow = NARROW_STUDENT;
        s.networks[1] = narrow;
        compare(&s, 0);
    }
    assert_int_equal(compared, 4 * (2 * 9 + 2 * 4));
}

static void adm_with_other_options_and_methods(void **state)
{
    (void)state;
    static const step_spec specs[] = {
        {2, {TEACHER, STUDENT}, "dml", NULL, "detach=false", false},
        {2, {TEACHER, STUDENT}, "dml", NULL, "detach=false weights=softmax", true},
        {2, {TEACHER, NARROW_STUDENT}, "dml", NULL, "detach=false weights=none divergence=repel warmup_epochs=5", false},
        {2, {STUDENT, TEACHER}, "kdcl", NULL, "stage=stage1 view=channel divergence=repel", true},
        {2, {TEACHER, {DT_ROLE_STUDENT, 3, 1, false}}, "kdcl", "target=linear", "stage=stage1 view=attention consensus=off divergence=off", true},
        {2, {{DT_ROLE_TEACHER, 4, 1, true}, STUDENT}, "kd", NULL, "divergence=repel", false},
        {4, {TEACHER, STUDENT, TEACHER, NARROW_STUDENT}, "dml", NULL, "consensus=modulate", true},
        {4, {TEACHER, STUDENT, PEER, NARROW_STUDENT}, "dml", NULL, NULL, true},
        {3, {TEACHER, STUDENT, TEACHER}, "switokd", NULL, "", true},
    };
    for (size_t i = 0; i < DT_COUNT(specs); i++) compare(&specs[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_methods),
        cmocka_unit_test(both_outcomes_of_every_switch),
        cmocka_unit_test(adm_in_every_combination),
        cmocka_unit_test(adm_with_other_options_and_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
