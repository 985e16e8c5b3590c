/* Runs a graph on the reference device in float64, for tests of formulas: fill the inputs, run, read. */
#ifndef TESTS_EVALUATE_H
#define TESTS_EVALUATE_H

#include "program/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct evaluation {
    dt_device *device;
    dt_state *state;
    dt_program *program;
} evaluation;

/* outputs are updated when fusion merges them. The graph must stay until evaluation_end. */
static inline evaluation evaluation_of(dt_graph *g, dt_node *outputs, size_t n_outputs, int n_networks, int n_variants, dt_precision precision)
{
    static const char *const names[DT_MAX_NETWORKS] = {"a", "b", "c", "d", "e", "f", "g"};
    const dt_device_options options = {.threads = 1, .precision = precision};
    evaluation e = {0};
    duet_error err = {0};
    if (dt_graph_check(g, &err)) fail_msg("graph: %s", err.message);
    if (dt_device_reference.open(&options, &e.device, &err)) fail_msg("device: %s", err.message);
    if (dt_state_create(e.device, g, names, n_networks, &e.state, &err)) fail_msg("state: %s", err.message);
    for (int i = 0; i < n_networks; i++)
        if (dt_state_initialise(e.state, i, 5, &err)) fail_msg("weights: %s", err.message);
    const dt_program_spec spec = {.graph = g, .state = e.state, .outputs = outputs, .n_outputs = n_outputs, .n_variants = n_variants};
    if (dt_program_compile(&spec, &e.program, &err)) fail_msg("program: %s", err.message);
    return e;
}

static inline void evaluation_run(evaluation *e, int variant)
{
    duet_error err = {0};
    if (dt_program_run(e->program, variant, &err)) fail_msg("run: %s", err.message);
}

static inline void evaluation_end(evaluation *e)
{
    dt_program_destroy(e->program);
    dt_state_destroy(e->state);
    dt_device_reference.close(e->device);
}

/* Normal numbers times `amount`, the same for the same seed. */
static inline void fill_normal(float *to, size_t n, float amount, uint64_t seed)
{
    dt_rng r = dt_rng_make(seed, DT_PURPOSE_TEST, 0, 0);
    for (size_t i = 0; i < n; i++) to[i] = amount * dt_rng_normal(&r);
}

static inline void assert_close(double found, double wanted, double tolerance, const char *what)
{
    if (!(fabs(found - wanted) <= tolerance)) fail_msg("%s: found %.9g, wanted %.9g, tolerance %g", what, found, wanted, tolerance);
}

#endif
