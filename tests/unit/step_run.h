/* A described step that runs on the reference device: build it, run it, read its terms, losses and tensors. */
#ifndef TESTS_STEP_RUN_H
#define TESTS_STEP_RUN_H

#include "step.h"

#define TEACHER {DT_ROLE_TEACHER, 4, 1, false}
#define FROZEN_TEACHER {DT_ROLE_TEACHER, 4, 1, true}
#define STUDENT {DT_ROLE_STUDENT, 4, 1, false}
#define NARROW_STUDENT {DT_ROLE_STUDENT, 3, 2, false}
#define PEER {DT_ROLE_PEER, 4, 1, false}

enum { MOST_READ = 160, PLACES = STEP_SIDE * STEP_SIDE, MOST_CHANNELS = 4 };

typedef struct run {
    const step_spec *s;
    dt_graph *g;
    step_inputs in;
    dt_peers peers;
    dt_losses l;
    evaluation e;
    dt_node *home[MOST_READ]; /* of everything that is read */
    size_t n_read;
} run;

static inline void read_later(run *r, dt_node *home)
{
    assert_true(r->n_read < MOST_READ);
    if (*home != DT_NONE) r->home[r->n_read++] = home;
}

static inline void add_gradients(run *r)
{
    dt_node p[64], grad[64];
    for (int v = 0; v < r->l.n_variants; v++) {
        dt_graph_set_variant(r->g, r->l.n_variants > 1 ? v : -1);
        for (int i = 0; i < r->s->n; i++) {
            if (r->l.loss[v][i] == DT_NONE) continue;
            const size_t n = step_trained(r->g, i, p);
            dt_differentiate(r->g, r->l.loss[v][i], p, n, grad);
            for (size_t k = 0; k < n; k++) dt_program_gradient(r->g, p[k], grad[k]);
        }
    }
    dt_graph_set_variant(r->g, -1);
}

static inline void prepare(run *r, const step_spec *s, dt_precision precision, bool gradients)
{
    duet_error err = {0};
    *r = (run){.s = s, .g = dt_graph_create()};
    r->in = step_make_inputs(r->g);
    if (step_build(s, r->g, r->in, &r->peers, &r->l, &err)) fail_msg("%s: %s", s->method, err.message);
    if (gradients) add_gradients(r);
    for (int i = 0; i < s->n; i++) {
        for (int v = 0; v < r->l.n_variants; v++) read_later(r, &r->l.loss[v][i]);
        read_later(r, &r->peers.at[i].built.output);
        if (!gradients) read_later(r, &r->peers.at[i].built.features);
    }
    for (int i = 0; i < r->l.n_terms; i++) read_later(r, &r->l.terms[i].node);
    for (int i = 0; i < r->l.n_choice; i++) read_later(r, &r->l.choice[i]);
    dt_node outputs[MOST_READ];
    for (size_t i = 0; i < r->n_read; i++) outputs[i] = *r->home[i];
    r->e = evaluation_of(r->g, outputs, r->n_read, s->n, r->l.n_variants, precision);
    for (size_t i = 0; i < r->n_read; i++) *r->home[i] = outputs[i];
    step_fill(r->e.program, r->in, 1);
}

static inline void end(run *r)
{
    evaluation_end(&r->e);
    dt_graph_destroy(r->g);
}

static inline double value(const run *r, dt_node x)
{
    return (double)dt_program_scalar(r->e.program, x);
}

static inline bool has_term(const run *r, const char *name)
{
    for (int i = 0; i < r->l.n_terms; i++)
        if (!strcmp(r->l.terms[i].name, name)) return true;
    return false;
}

static inline double term(const run *r, const char *name)
{
    for (int i = 0; i < r->l.n_terms; i++)
        if (!strcmp(r->l.terms[i].name, name)) return value(r, r->l.terms[i].node);
    fail_msg("no term %s", name);
    return 0;
}

static inline const dt_tensor *tensor(const run *r, int network, const char *name)
{
    const dt_network_state *n = &r->e.state->networks[network];
    for (size_t i = 0; i < n->n_tensors; i++)
        if (!strcmp(n->tensors[i].name, name)) return &n->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

enum { MOST_OF_A_TENSOR = 512 };

static inline void read_tensor(const run *r, int network, const char *name, float *to)
{
    const dt_tensor *t = tensor(r, network, name);
    assert_true(t->count <= MOST_OF_A_TENSOR);
    dt_state_read(r->e.state, network, t, to);
}

static inline void write_tensor(const run *r, int network, const char *name, const float *from)
{
    dt_state_write(r->e.state, network, tensor(r, network, name), from);
}

/* Network `to` becomes a copy of network `from`, with its last channels in the order given (NULL: the same order). */
static inline void copy_network(const run *r, int from, int to, const size_t *order)
{
    const dt_network_state *n = &r->e.state->networks[from];
    for (size_t i = 0; i < n->n_tensors; i++) {
        const char *name = n->tensors[i].name;
        const size_t count = n->tensors[i].count, channels = r->s->networks[from].channels;
        float old[MOST_OF_A_TENSOR], new[MOST_OF_A_TENSOR];
        read_tensor(r, from, name, old);
        memcpy(new, old, count * sizeof *new);
        for (size_t c = 0; order && c < channels; c++) {
            if (!strncmp(name, "conv2", 5) || !strncmp(name, "bn2", 3)) memcpy(new + c * (count / channels), old + order[c] * (count / channels), count / channels * sizeof *new);
            if (!strcmp(name, "fc.weight"))
                for (size_t k = 0; k < STEP_CLASSES; k++) new[k * channels + c] = old[k * channels + order[c]];
        }
        write_tensor(r, to, name, new);
    }
}

/* softmax(z / t) in double. */
static inline void softmax(const double *z, double t, double *p)
{
    double sum = 0;
    for (int c = 0; c < STEP_CLASSES; c++) sum += exp(z[c] / t);
    for (int c = 0; c < STEP_CLASSES; c++) p[c] = exp(z[c] / t) / sum;
}

/* A recipe that must be refused, and part of what is said. */
typedef struct refusal {
    step_spec s;
    const char *message;
} refusal;

#endif
