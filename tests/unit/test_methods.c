/* Methods: what they promise (targets, decisions, who learns from whom) and what they refuse. ADM is in test_adm.c, gradients
 * are in ops/test_method_gradients.c. */
#include "step_run.h"

/* ---- who learns from whom ---------------------------------------------------------------------------------------- */

static void a_loss_is_what_methods_say_of_its_terms(void **state)
{
    (void)state;
    static const struct { step_spec s; double own, kl; } cases[] = {
        {{1, {PEER}, "vanilla", NULL, NULL, false}, 1, 0},
        {{2, {FROZEN_TEACHER, STUDENT}, "kd", "alpha=0.3", NULL, false}, 0.7, 0.3},
        {{2, {FROZEN_TEACHER, STUDENT}, "kd", "alpha=0.6 warmup_epochs=4", NULL, false}, 0.7, 0.3}, /* epoch 1 of 0..3: (1 + 1) / 4 */
        {{2, {FROZEN_TEACHER, STUDENT}, "kd", "weight=3 warmup_epochs=8", NULL, false}, 1, 0.75},
        {{2, {TEACHER, STUDENT}, "dml", "weight=0.5", NULL, false}, 1, 0.5},
        {{3, {TEACHER, STUDENT, PEER}, "dml", "warmup_epochs=4", NULL, false}, 1, 0.5},
        {{2, {TEACHER, STUDENT}, "dml", "warmup_epochs=2", NULL, false}, 1, 1},
        {{2, {TEACHER, STUDENT}, "kdcl", "weight=3 warmup_epochs=8", NULL, false}, 1, 0.75},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        const step_spec *s = &cases[i].s;
        run r;
        prepare(&r, s, DT_F64, false);
        evaluation_run(&r.e, -1);
        assert_int_equal(r.l.n_variants, 1);
        for (int k = 0; k < s->n; k++) {
            char ce[16], kl[16];
            snprintf(ce, sizeof ce, "%s.ce", step_names[k]);
            snprintf(kl, sizeof kl, "%s.kl", step_names[k]);
            assert_true(has_term(&r, ce));
            assert_int_equal(r.l.loss[0][k] == DT_NONE, s->networks[k].frozen);
            assert_int_equal(r.l.track[0][k], !s->networks[k].frozen);
            if (s->networks[k].frozen) continue;
            const double wanted = cases[i].own * term(&r, ce) + (cases[i].kl > 0 ? cases[i].kl * term(&r, kl) : 0);
            assert_close(value(&r, r.l.loss[0][k]), wanted, 1e-6, s->method);
        }
        end(&r);
    }
}

static double kl_term_of(const char *options)
{
    const step_spec s = {3, {TEACHER, STUDENT, PEER}, "dml", options, NULL, false};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    const double kl = term(&r, "b.kl");
    end(&r);
    return kl;
}

static void dml_averages_over_peers_or_sums(void **state)
{
    (void)state;
    const double mean = kl_term_of("peers=mean"), sum = kl_term_of("peers=sum");
    assert_true(mean > 0);
    assert_close(sum, 2 * mean, 1e-6, "sum over two peers");
}

static void a_frozen_network_teaches_and_does_not_learn(void **state)
{
    (void)state;
    const step_spec s = {2, {FROZEN_TEACHER, STUDENT}, "dml", NULL, "", false};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    assert_int_equal(r.l.loss[0][0], DT_NONE);
    assert_false(has_term(&r, "a.di"));
    assert_true(has_term(&r, "b.co"));
    end(&r);
}

/* ---- KDCL's targets, against plain C -------------------------------------------------------------------------------- */

enum { TARGET_NETWORKS = 3 };
typedef double rows[STEP_BATCH][STEP_CLASSES];

static double cross_entropy(rows z)
{
    double sum = 0, p[STEP_CLASSES];
    for (int i = 0; i < STEP_BATCH; i++) {
        softmax(z[i], 1, p);
        sum -= log(p[step_labels[i]]);
    }
    return sum / STEP_BATCH;
}

static void read_logits(const run *r, int network, rows z)
{
    float values[STEP_BATCH * STEP_CLASSES];
    dt_program_read(r->e.program, r->peers.at[network].built.output, values, DT_COUNT(values));
    for (int i = 0; i < STEP_BATCH; i++)
        for (int c = 0; c < STEP_CLASSES; c++) z[i][c] = (double)values[i * STEP_CLASSES + c];
}

/* T^2 KL(q || p^T), mean over the batch. */
static double imitation(rows q, rows z, double t)
{
    double sum = 0, p[STEP_CLASSES];
    for (int i = 0; i < STEP_BATCH; i++) {
        softmax(z[i], t, p);
        for (int c = 0; c < STEP_CLASSES; c++) sum += q[i][c] * (log(q[i][c]) - log(p[c]));
    }
    return t * t * sum / STEP_BATCH;
}

typedef void target_rule(rows *z, rows target);

static void naive_rule(rows *z, rows target)
{
    for (int i = 0; i < STEP_BATCH; i++) {
        double best = -1;
        for (int k = 0; k < TARGET_NETWORKS; k++) {
            double p[STEP_CLASSES];
            softmax(z[k][i], 1, p);
            if (p[step_labels[i]] > best) {
                best = p[step_labels[i]];
                memcpy(target[i], z[k][i], sizeof target[i]);
            }
        }
    }
}

static void minlogit_rule(rows *z, rows target)
{
    for (int i = 0; i < STEP_BATCH; i++)
        for (int c = 0; c < STEP_CLASSES; c++) {
            target[i][c] = INFINITY;
            for (int k = 0; k < TARGET_NETWORKS; k++) target[i][c] = fmin(target[i][c], z[k][i][c] - z[k][i][step_labels[i]]);
        }
}

static void combine(rows *z, const double *a, rows target)
{
    for (int i = 0; i < STEP_BATCH; i++)
        for (int c = 0; c < STEP_CLASSES; c++) {
            target[i][c] = 0;
            for (int k = 0; k < TARGET_NETWORKS; k++) target[i][c] += a[k] * z[k][i][c];
        }
}

static void mean_rule(rows *z, rows target)
{
    static const double third[TARGET_NETWORKS] = {1. / 3, 1. / 3, 1. / 3};
    combine(z, third, target);
}

/* The best point of a grid over the simplex. */
static void linear_rule(rows *z, rows target)
{
    enum { STEPS = 300 };
    double best = INFINITY;
    rows z_try;
    for (int i = 0; i <= STEPS; i++)
        for (int j = 0; i + j <= STEPS; j++) {
            const double a[TARGET_NETWORKS] = {(double)i / STEPS, (double)j / STEPS, (double)(STEPS - i - j) / STEPS};
            combine(z, a, z_try);
            const double ce = cross_entropy(z_try);
            if (ce < best) {
                best = ce;
                memcpy(target, z_try, sizeof z_try);
            }
        }
}

static void kdcl_targets_are_those_of_the_paper(void **state)
{
    (void)state;
    static const struct { const char *name; target_rule *rule; double tolerance; } targets[] = {
        {"target=naive", naive_rule, 1e-6}, {"target=minlogit", minlogit_rule, 1e-6}, {"target=mean", mean_rule, 1e-6},
        {"target=linear", linear_rule, 2e-2}, /* near a flat optimum the grid and the solver are this far apart */
    };
    for (size_t t = 0; t < DT_COUNT(targets); t++) {
        const step_spec s = {TARGET_NETWORKS, {TEACHER, STUDENT, PEER}, "kdcl", targets[t].name, NULL, false};
        run r;
        prepare(&r, &s, DT_F64, false);
        evaluation_run(&r.e, -1);
        rows z[TARGET_NETWORKS], target, q;
        for (int k = 0; k < TARGET_NETWORKS; k++) read_logits(&r, k, z[k]);
        targets[t].rule(z, target);
        for (int i = 0; i < STEP_BATCH; i++) softmax(target[i], 2, q[i]); /* temperature 2 is the default */
        for (int k = 0; k < TARGET_NETWORKS; k++) {
            char name[16];
            snprintf(name, sizeof name, "%s.kl", step_names[k]);
            assert_close(term(&r, name), imitation(q, z[k], 2), targets[t].tolerance, targets[t].name);
        }
        end(&r);
    }
}

static void kdcl_general_mixes_probabilities(void **state)
{
    (void)state;
    static const float w[TARGET_NETWORKS] = {0.5f, 0.25f, 0.25f};
    const step_spec s = {TARGET_NETWORKS, {TEACHER, STUDENT, PEER}, "kdcl", "target=general", NULL, false};
    run r;
    prepare(&r, &s, DT_F64, false);
    assert_true(r.l.epoch_input != DT_NONE);
    dt_program_write(r.e.program, r.l.epoch_input, w, TARGET_NETWORKS);
    evaluation_run(&r.e, -1);
    rows z[TARGET_NETWORKS], q = {{0}};
    for (int k = 0; k < TARGET_NETWORKS; k++) {
        read_logits(&r, k, z[k]);
        for (int i = 0; i < STEP_BATCH; i++) {
            double p[STEP_CLASSES];
            softmax(z[k][i], 2, p);
            for (int c = 0; c < STEP_CLASSES; c++) q[i][c] += (double)w[k] * p[c];
        }
    }
    assert_close(term(&r, "c.kl"), imitation(q, z[2], 2), 1e-6, "general");
    end(&r);
}

/* Errors of networks on images, handed over in two batches. */
static void weigh(const float *const *logits, const int32_t *labels, size_t images, size_t classes, int n, dt_error_products *out)
{
    *out = (dt_error_products){0};
    for (size_t begin = 0, end; begin < images; begin = end) {
        dt_answers answers[3];
        end = begin ? images : images / 2;
        for (int i = 0; i < n; i++)
            answers[i] = (dt_answers){.output = logits[i] + begin * classes, .shape = {end - begin, classes, 1, 1}, .labels = labels + begin,
                                      .classes = classes};
        dt_task_classify.error_products(answers, n, out);
    }
    assert_int_equal(out->units, images);
}

static void kdcl_weighs_networks_by_their_errors_on_held_out_images(void **state)
{
    (void)state;
    enum { IMAGES = 7, CLASSES = 3 };
    const dt_method *m = dt_method_find("kdcl", NULL);
    float a[IMAGES * CLASSES], b[IMAGES * CLASSES], w[3];
    int32_t labels[IMAGES];
    duet_error err = {0};
    dt_error_products e;
    for (int i = 0; i < IMAGES; i++) labels[i] = i % CLASSES;
    fill_normal(a, DT_COUNT(a), 1, 31);
    fill_normal(b, DT_COUNT(b), 1.5f, 32);
    const float *const both[2] = {a, b};
    weigh(both, labels, IMAGES, CLASSES, 2, &e);
    assert_int_equal(m->refresh(&e, 2, NULL, w, &err), DUET_OK);
    double c[2][2] = {{1e-6, 0}, {0, 1e-6}};
    for (int i = 0; i < IMAGES; i++) {
        double r[2][CLASSES];
        for (int k = 0; k < 2; k++) {
            double sum = 0;
            for (int j = 0; j < CLASSES; j++) sum += exp((double)both[k][i * CLASSES + j]);
            for (int j = 0; j < CLASSES; j++) r[k][j] = exp((double)both[k][i * CLASSES + j]) / sum - (j == labels[i]);
        }
        for (int k = 0; k < 2; k++)
            for (int l = 0; l < 2; l++)
                for (int j = 0; j < CLASSES; j++) c[k][l] += r[k][j] * r[l][j] / IMAGES;
    }
    const double first = (c[1][1] - c[0][1]) / (c[0][0] + c[1][1] - 2 * c[0][1]);
    const double wanted = fmin(fmax(first, 0), 1);
    assert_true(wanted > 0 && wanted < 1);
    assert_close((double)w[0], wanted, 1e-6, "weight of the first");
    assert_close((double)w[1], 1 - wanted, 1e-6, "weight of the second");

    /* the same predictions three times: only the ridge keeps the matrix from being singular */
    const float *const same[3] = {a, a, a};
    weigh(same, labels, IMAGES, CLASSES, 3, &e);
    assert_int_equal(m->refresh(&e, 3, NULL, w, &err), DUET_OK);
    for (int i = 0; i < 3; i++) assert_close((double)w[i], 1. / 3, 1e-6, "weight of equals");

    /* b errs as a does and then some: its weight would be negative */
    for (int i = 0; i < IMAGES * CLASSES; i++) {
        a[i] = (i % CLASSES == labels[i / CLASSES]) ? 0.5f : 0;
        b[i] = (i % CLASSES == labels[i / CLASSES]) ? -2 : 0;
    }
    weigh(both, labels, IMAGES, CLASSES, 2, &e);
    assert_int_equal(m->refresh(&e, 2, NULL, w, &err), DUET_OK);
    assert_true(w[0] == 1 && w[1] == 0);

    b[4] = NAN;
    weigh(both, labels, IMAGES, CLASSES, 2, &e);
    assert_int_equal(m->refresh(&e, 2, NULL, w, &err), DUET_NUMERIC);
    assert_true(w[0] == 1 && w[1] == 0); /* untouched */

    const dt_error_products nothing = {0}; /* no pixel of the held-out pictures has a label */
    assert_int_equal(m->refresh(&nothing, 2, NULL, w, &err), DUET_OK);
    assert_true(w[0] == 0.5f && w[1] == 0.5f);
}

/* ---- SwitOKD ------------------------------------------------------------------------------------------------------- */

static int choose(const char *options, const float *scalars)
{
    const dt_method *m = dt_method_find("switokd", NULL);
    union { max_align_t align; uint8_t bytes[128]; } config = {0};
    set_options(m->options, &config, options);
    return m->choose(scalars, &config);
}

static void the_switch_decides_as_the_formula_says(void **state)
{
    (void)state;
    int seen[2][2] = {{0}};
    for (int i = 0; i < 11; i++) {
        for (int j = 0; j < 11; j++) {
            for (int k = 0; k < 11; k++) {
                const float x[6] = {0.2f * (float)i, 0.2f * (float)j, 0.2f * (float)k, 0, 0, 0};
                const double s = (double)x[0], u = (double)x[1], gap = (double)x[2];
                const bool paper = u + s > 0 && gap > s - exp(-u / (u + s)) * u, code = paper && u < s;
                assert_int_equal(choose("criterion=code", x), code);
                assert_int_equal(choose("criterion=paper", x), paper);
                seen[0][code]++, seen[1][paper]++;
            }
        }
    }
    assert_true(seen[0][0] && seen[0][1] && seen[1][0] && seen[1][1]);
    const float second[6] = {1, 0.5f, 0.1f, 1, 0.5f, 1.2f}, both[6] = {1, 0.5f, 1.2f, 1, 0.5f, 1.2f};
    assert_int_equal(choose(NULL, second), 2);
    assert_int_equal(choose(NULL, both), 3);
}

static void the_switch_reads_the_distances_of_its_pairs(void **state)
{
    (void)state;
    const step_spec s = {3, {STUDENT, TEACHER, NARROW_STUDENT}, "switokd", NULL, NULL, false};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    assert_int_equal(r.l.n_variants, 4);
    assert_int_equal(r.l.n_choice, 6);
    rows z[3];
    double p[3][STEP_BATCH][STEP_CLASSES];
    for (int k = 0; k < 3; k++) {
        read_logits(&r, k, z[k]);
        for (int i = 0; i < STEP_BATCH; i++) softmax(z[k][i], 1, p[k][i]);
    }
    static const int students[2] = {0, 2}, t = 1;
    for (int pair = 0; pair < 2; pair++) {
        double truth_s = 0, truth_t = 0, gap = 0;
        for (int i = 0; i < STEP_BATCH; i++)
            for (int c = 0; c < STEP_CLASSES; c++) {
                const double one = c == step_labels[i];
                truth_s += fabs(p[students[pair]][i][c] - one) / STEP_BATCH;
                truth_t += fabs(p[t][i][c] - one) / STEP_BATCH;
                gap += fabs(p[students[pair]][i][c] - p[t][i][c]) / STEP_BATCH;
            }
        assert_close(value(&r, r.l.choice[3 * pair]), truth_s, 1e-6, "s");
        assert_close(value(&r, r.l.choice[3 * pair + 1]), truth_t, 1e-6, "u");
        assert_close(value(&r, r.l.choice[3 * pair + 2]), gap, 1e-6, "G");
    }
    end(&r);
    const step_spec one = {2, {TEACHER, STUDENT}, "switokd", NULL, NULL, false};
    prepare(&r, &one, DT_F64, false);
    evaluation_run(&r.e, -1);
    assert_int_equal(r.l.n_choice, 6); /* the pair that is not there is never expert */
    for (int i = 3; i < 6; i++) assert_true(value(&r, r.l.choice[i]) == 0);
    end(&r);
}

/* CE_i plus the KL from each network of `from`, in plain C. */
static double learns_from(rows *z, int i, const int *from, int n)
{
    double sum = cross_entropy(z[i]);
    for (int k = 0; k < n; k++) {
        rows q;
        for (int b = 0; b < STEP_BATCH; b++) softmax(z[from[k]][b], 1, q[b]);
        sum += imitation(q, z[i], 1);
    }
    return sum;
}

typedef struct variant_case {
    step_network networks[3];
    int n;
    struct { bool learns; int from[2], n_from; } wanted[DT_MAX_VARIANTS][3];
} variant_case;

static void waiting_teachers_and_learning_ones(void **state)
{
    (void)state;
    static const variant_case cases[] = {
        {{TEACHER, STUDENT}, 2, {{{true, {1}, 1}, {true, {0}, 1}}, {{false, {0}, 0}, {true, {0}, 1}}}},
        {{TEACHER, STUDENT, NARROW_STUDENT}, 3,
         {{{true, {1, 2}, 2}, {true, {0, 2}, 2}, {true, {0, 1}, 2}},
          {{true, {2}, 1}, {true, {0, 2}, 2}, {true, {0, 1}, 2}},
          {{true, {1}, 1}, {true, {0, 2}, 2}, {true, {0, 1}, 2}},
          {{false, {0}, 0}, {true, {0, 2}, 2}, {true, {0, 1}, 2}}}},
        {{TEACHER, TEACHER, STUDENT}, 3,
         {{{true, {1, 2}, 2}, {true, {0, 2}, 2}, {true, {0, 1}, 2}},
          {{false, {0}, 0}, {true, {0, 2}, 2}, {true, {0, 1}, 2}},
          {{true, {1, 2}, 2}, {false, {0}, 0}, {true, {0, 1}, 2}},
          {{false, {0}, 0}, {false, {0}, 0}, {true, {0, 1}, 2}}}},
    };
    for (size_t k = 0; k < DT_COUNT(cases); k++) {
        const variant_case *c = &cases[k];
        step_spec s = {.n = c->n, .method = "switokd", .options = "pause_statistics=true"};
        memcpy(s.networks, c->networks, sizeof c->networks);
        run r;
        prepare(&r, &s, DT_F64, false);
        assert_int_equal(r.l.n_variants, c->n == 2 ? 2 : 4);
        evaluation_run(&r.e, -1);
        rows z[3];
        for (int i = 0; i < c->n; i++) read_logits(&r, i, z[i]);
        for (int v = 0; v < r.l.n_variants; v++) {
            evaluation_run(&r.e, v);
            for (int i = 0; i < c->n; i++) {
                assert_int_equal(r.l.loss[v][i] != DT_NONE, c->wanted[v][i].learns);
                assert_int_equal(r.l.track[v][i], c->wanted[v][i].learns);
                if (!c->wanted[v][i].learns) continue;
                assert_close(value(&r, r.l.loss[v][i]), learns_from(z, i, c->wanted[v][i].from, c->wanted[v][i].n_from), 1e-5, "loss of a variant");
            }
        }
        end(&r);
    }
    const step_spec moving = {2, {TEACHER, STUDENT}, "switokd", NULL, NULL, false};
    run r;
    prepare(&r, &moving, DT_F64, false);
    assert_true(r.l.track[1][0]); /* statistics move while a teacher waits, unless asked not to */
    end(&r);
}

static void switokd_has_no_t_squared_unless_asked(void **state)
{
    (void)state;
    double kl[2];
    for (int k = 0; k < 2; k++) {
        const step_spec s = {2, {TEACHER, STUDENT}, "switokd", k ? "temperature=3 t_squared=true" : "temperature=3", NULL, false};
        run r;
        prepare(&r, &s, DT_F64, false);
        evaluation_run(&r.e, -1);
        kl[k] = term(&r, "b.kl");
        end(&r);
    }
    assert_close(kl[1], 9 * kl[0], 1e-6, "T^2 KL");
}

static void switokds_imitation_warms_up(void **state)
{
    (void)state;
    const step_spec s = {2, {TEACHER, STUDENT}, "switokd", "warmup_epochs=8", NULL, false};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    evaluation_run(&r.e, 0);
    for (int i = 0; i < 2; i++) {
        const double ce = term(&r, i ? "b.ce" : "a.ce"), kl = term(&r, i ? "b.kl" : "a.kl");
        assert_close(value(&r, r.l.loss[0][i]), ce + kl / 4, 1e-6, "a quarter in epoch 1 of 8");
    }
    end(&r);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------------- */

static void recipes_that_do_not_fit_are_refused_with_the_mend(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {{1, {PEER}, "dml", NULL, NULL, false}, "needs 2 or more networks, found 1"},
        {{4, {TEACHER, STUDENT, STUDENT, STUDENT}, "switokd", NULL, NULL, false}, "needs 2 to 3 networks, found 4"},
        {{2, {FROZEN_TEACHER, FROZEN_TEACHER}, "dml", NULL, NULL, false}, "every network is frozen"},
        {{2, {PEER, STUDENT}, "kd", NULL, NULL, false}, "add `role: teacher`"},
        {{3, {FROZEN_TEACHER, FROZEN_TEACHER, STUDENT}, "kd", NULL, NULL, false}, "found 2"},
        {{2, {TEACHER, STUDENT}, "kd", NULL, NULL, false}, "add `frozen: true`"},
        {{2, {FROZEN_TEACHER, PEER}, "kd", NULL, NULL, false}, "add `role: student`"},
        {{3, {FROZEN_TEACHER, STUDENT, {DT_ROLE_STUDENT, 4, 1, true}}, "kd", NULL, NULL, false}, "'c' is frozen"},
        {{2, {TEACHER, STUDENT}, "kdcl", "target=general", NULL, false}, "`validation: 1000`"},
        {{2, {PEER, PEER}, "switokd", NULL, NULL, false}, "add `role: teacher`"},
        {{3, {TEACHER, STUDENT, PEER}, "switokd", NULL, NULL, false}, "found 1 and 1 among 3"},
        {{2, {FROZEN_TEACHER, STUDENT}, "switokd", NULL, NULL, false}, "remove `frozen: true`"},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        union { max_align_t align; uint8_t bytes[128]; } config = {0};
        const dt_method *m = dt_method_find(cases[i].s.method, NULL);
        const dt_peers peers = step_peers(&cases[i].s);
        duet_error err = {0};
        set_options(m->options, &config, cases[i].s.options);
        assert_int_equal(dt_method_check(m, &peers, &config, 0, &err), DUET_RECIPE);
        if (!strstr(err.message, cases[i].message)) fail_msg("'%s' lacks '%s'", err.message, cases[i].message);
        assert_int_equal(dt_method_check(m, &peers, &config, 0, NULL), DUET_RECIPE);
    }
}

static void valid_recipes_pass(void **state)
{
    (void)state;
    static const step_spec specs[] = {
        {1, {PEER}, "vanilla", NULL, NULL, false},
        {4, {TEACHER, STUDENT, PEER, FROZEN_TEACHER}, "dml", NULL, NULL, false},
        {3, {FROZEN_TEACHER, STUDENT, STUDENT}, "kd", NULL, NULL, false},
        {2, {TEACHER, STUDENT}, "kdcl", NULL, NULL, false},
        {3, {STUDENT, TEACHER, TEACHER}, "switokd", NULL, NULL, false},
    };
    for (size_t i = 0; i < DT_COUNT(specs); i++) {
        union { max_align_t align; uint8_t bytes[128]; } config = {0};
        const dt_method *m = dt_method_find(specs[i].method, NULL);
        const dt_peers peers = step_peers(&specs[i]);
        duet_error err = {0};
        set_options(m->options, &config, specs[i].options);
        if (dt_method_check(m, &peers, &config, 0, &err)) fail_msg("%s: %s", specs[i].method, err.message);
    }
    const dt_adm_config off = {0};
    const dt_peers peers = step_peers(&specs[0]);
    assert_int_equal(dt_adm_check(&peers, &off, NULL), DUET_OK); /* not asked for: nothing to say */
}

/* ---- tables ---------------------------------------------------------------------------------------------------------------- */

static void check_table(const char *where, const dt_option *table, size_t config_bytes)
{
    union { max_align_t align; uint8_t bytes[128]; } config = {0};
    assert_non_null(table);
    assert_true(config_bytes <= sizeof config);
    set_options(table, &config, NULL); /* fails on a default outside its range */
    for (const dt_option *o = table; o->key; o++) {
        if (!o->help || !*o->help) fail_msg("%s.%s has no help", where, o->key);
        assert_true(o->offset < config_bytes);
        for (const dt_option *other = table; other < o; other++) assert_string_not_equal(other->key, o->key);
    }
}

static void every_method_explains_itself_and_its_options(void **state)
{
    (void)state;
    static const char *const names[] = {"vanilla", "kd", "dml", "kdcl", "switokd"};
    for (size_t i = 0; i < DT_COUNT(names); i++) {
        const dt_method *m = dt_method_at(i);
        assert_non_null(m);
        assert_string_equal(m->name, names[i]);
        assert_ptr_equal(dt_method_find(names[i], NULL), m);
        assert_true(m->help && m->min_networks >= 1 && m->max_networks <= DT_MAX_NETWORKS);
        check_table(m->name, m->options, m->config_bytes);
    }
    assert_null(dt_method_at(DT_COUNT(names)));
    check_table("adm", dt_adm_options, sizeof(dt_adm_config));
    duet_error err = {0};
    assert_null(dt_method_find("kdlc", &err));
    assert_int_equal(err.status, DUET_ARG);
    assert_non_null(strstr(err.message, "did you mean 'kd"));
    assert_int_equal(choice_of(dt_role_choices, "student", 7), DT_ROLE_STUDENT);
    assert_int_equal(choice_of(dt_role_choices, "peer", 4), DT_ROLE_PEER);
}

static void defaults_are_those_of_the_methods_page(void **state)
{
    (void)state;
    dt_adm_config a = {0};
    set_options(dt_adm_options, &a, NULL);
    assert_true(a.consensus == 0 && a.divergence == 1 && a.view == 0 && a.stage == 0 && a.weights == 0); /* align, modulate, class, features, mean */
    assert_true(a.tau == 0.1 && a.alpha == 1 && a.beta == 1 && a.detach && a.warmup_epochs == 0);
    static const struct { const char *method, *key, *initial; } defaults[] = {
        {"kd", "temperature", "4"}, {"kd", "alpha", "0.9"}, {"dml", "temperature", "1"}, {"dml", "weight", "1"}, {"dml", "peers", "mean"},
        {"dml", "warmup_epochs", "0"}, {"kdcl", "target", "minlogit"}, {"kdcl", "temperature", "2"}, {"kdcl", "weight", "1"},
        {"kdcl", "warmup_epochs", "0"}, {"switokd", "temperature", "1"}, {"switokd", "t_squared", "false"}, {"switokd", "criterion", "code"},
        {"switokd", "pause_statistics", "false"},
    };
    for (size_t i = 0; i < DT_COUNT(defaults); i++) {
        const dt_option *o = dt_method_find(defaults[i].method, NULL)->options;
        while (o->key && strcmp(o->key, defaults[i].key)) o++;
        assert_non_null(o->key);
        assert_string_equal(o->initial, defaults[i].initial);
    }
    for (size_t i = 0; dt_method_at(i); i++) assert_int_equal(dt_method_at(i)->independent_views, !strcmp(dt_method_at(i)->name, "kdcl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_is_what_methods_say_of_its_terms),
        cmocka_unit_test(dml_averages_over_peers_or_sums),
        cmocka_unit_test(a_frozen_network_teaches_and_does_not_learn),
        cmocka_unit_test(kdcl_targets_are_those_of_the_paper),
        cmocka_unit_test(kdcl_general_mixes_probabilities),
        cmocka_unit_test(kdcl_weighs_networks_by_their_errors_on_held_out_images),
        cmocka_unit_test(the_switch_decides_as_the_formula_says),
        cmocka_unit_test(the_switch_reads_the_distances_of_its_pairs),
        cmocka_unit_test(waiting_teachers_and_learning_ones),
        cmocka_unit_test(switokd_has_no_t_squared_unless_asked),
        cmocka_unit_test(switokds_imitation_warms_up),
        cmocka_unit_test(recipes_that_do_not_fit_are_refused_with_the_mend),
        cmocka_unit_test(valid_recipes_pass),
        cmocka_unit_test(every_method_explains_itself_and_its_options),
        cmocka_unit_test(defaults_are_those_of_the_methods_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
