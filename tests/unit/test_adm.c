/* ADM, the companion: its equations against plain C in every view and rule of weights, its identities, what it refuses.
 * Gradients are in ops/test_method_gradients.c. */
#include "step_run.h"

/* ---- ADM against plain C --------------------------------------------------------------------------------------------- */

/* One network's last map and classifier. */
typedef struct eyes {
    size_t channels, side;
    float map[STEP_BATCH * PLACES * MOST_CHANNELS], w[STEP_CLASSES * MOST_CHANNELS], b[STEP_CLASSES];
} eyes;

static void look(const run *r, int network, eyes *e)
{
    const step_network *n = &r->s->networks[network];
    *e = (eyes){.channels = n->channels, .side = STEP_SIDE / n->stride};
    dt_program_read(r->e.program, r->peers.at[network].built.features, e->map, STEP_BATCH * e->side * e->side * e->channels);
    read_tensor(r, network, "fc.weight", e->w);
    read_tensor(r, network, "fc.bias", e->b);
}

enum { CLASS, CHANNEL, LABEL, ATTENTION };
static const char *const views[] = {"class", "channel", "label", "attention"};

typedef struct seen {
    size_t side, n; /* n numbers at each place */
    double u[STEP_BATCH][PLACES][STEP_CLASSES];
} seen;

static void relative_to_image(seen *v, int view)
{
    const size_t places = v->side * v->side;
    for (int i = 0; i < STEP_BATCH; i++) {
        double low = INFINITY, high = -INFINITY, mean = 0;
        for (size_t p = 0; p < places; p++) {
            low = fmin(low, v->u[i][p][0]);
            high = fmax(high, v->u[i][p][0]);
            mean += v->u[i][p][0] / (double)places;
        }
        for (size_t p = 0; p < places; p++) v->u[i][p][0] = view == LABEL ? (v->u[i][p][0] - low) / (high - low) : v->u[i][p][0] / mean;
    }
}

static void view_of(const eyes *e, int view, seen *v)
{
    *v = (seen){.side = e->side, .n = view == CLASS ? STEP_CLASSES : view == CHANNEL ? e->channels : 1};
    for (int i = 0; i < STEP_BATCH; i++)
        for (size_t p = 0; p < e->side * e->side; p++) {
            const float *f = e->map + ((size_t)i * e->side * e->side + p) * e->channels;
            double evidence[STEP_CLASSES] = {0}, mean = 0, energy = 0;
            for (size_t k = 0; k < e->channels; k++) energy += (double)f[k] * (double)f[k] / (double)e->channels;
            for (size_t c = 0; c < STEP_CLASSES; c++) {
                for (size_t k = 0; k < e->channels; k++) evidence[c] += (double)e->w[c * e->channels + k] * (double)f[k];
                mean += evidence[c] / STEP_CLASSES;
            }
            for (size_t c = 0; c < v->n; c++)
                v->u[i][p][c] = view == CLASS ? evidence[c] - mean : view == CHANNEL ? (double)f[c] : view == LABEL ? evidence[step_labels[i]] - mean : energy;
        }
    if (view >= LABEL) relative_to_image(v, view);
}

/* Averages down to half the side. */
static void halve(seen *v)
{
    const size_t side = v->side / 2;
    for (int i = 0; i < STEP_BATCH; i++)
        for (size_t p = 0; p < side * side; p++)
            for (size_t c = 0; c < v->n; c++) {
                const size_t at = p / side * 2 * v->side + p % side * 2;
                v->u[i][p][c] = (v->u[i][at][c] + v->u[i][at + 1][c] + v->u[i][at + v->side][c] + v->u[i][at + v->side + 1][c]) / 4;
            }
    v->side = side;
}

static double cosine(const double *a, const double *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t c = 0; c < n; c++) ab += a[c] * b[c], aa += a[c] * a[c], bb += b[c] * b[c];
    return ab / fmax(sqrt(aa) * sqrt(bb), 1e-8);
}

static double similarity(const double *a, const double *b, size_t n, int view)
{
    if (view == LABEL) return 1 - fabs(a[0] - b[0]);
    if (view == ATTENTION) return a[0] == 0 && b[0] == 0 ? 1 : fmin(a[0], b[0]) / fmax(a[0], b[0]);
    return fmin(fmax(cosine(a, b, n), 0), 1);
}

enum { MEAN, NONE, UNIFORM, SOFTMAX };
static const char *const weight_rules[] = {"mean", "none", "uniform", "softmax"};

static void weigh(const double *x, size_t places, int rule, double tau, double otherwise, double *out)
{
    double mean = 0, sum = 0;
    for (size_t p = 0; p < places; p++) mean += x[p] / (double)places, sum += exp(x[p] / tau);
    for (size_t p = 0; p < places; p++)
        out[p] = rule == NONE ? x[p] : rule == UNIFORM ? 1 : rule == SOFTMAX ? (double)places * exp(x[p] / tau) / sum : mean < 1e-6 ? otherwise : x[p] / mean;
}

/* CE of the classifier on the weighted mean of a map whose side may be twice that of the weights. */
static double answer_loss(const eyes *e, int image, const double *weights, size_t side)
{
    double z[STEP_CLASSES], p[STEP_CLASSES];
    const size_t block = e->side / side, places = e->side * e->side;
    for (size_t c = 0; c < STEP_CLASSES; c++) {
        z[c] = (double)e->b[c];
        for (size_t at = 0; at < places; at++) {
            const double w = weights[at / e->side / block * side + at % e->side / block];
            for (size_t k = 0; k < e->channels; k++)
                z[c] += (double)e->w[c * e->channels + k] * w * (double)e->map[((size_t)image * places + at) * e->channels + k] / (double)places;
        }
    }
    softmax(z, 1, p);
    return -log(p[step_labels[image]]);
}

typedef struct adm_terms {
    double similarity, align, repel, consensus_modulate, divergence_modulate;
} adm_terms;

static adm_terms adm_in_c(const eyes *teacher, const eyes *student, int view, int rule, double tau)
{
    static seen t, s;
    adm_terms a = {0};
    view_of(teacher, view, &t);
    view_of(student, view, &s);
    if (t.side > s.side) halve(&t);
    const size_t places = t.side * t.side;
    const double share = 1.0 / (double)(places * STEP_BATCH);
    for (int i = 0; i < STEP_BATCH; i++) {
        double same[PLACES], other[PLACES], c[PLACES], d[PLACES], all_d = 0;
        for (size_t p = 0; p < places; p++) {
            same[p] = similarity(t.u[i][p], s.u[i][p], t.n, view);
            other[p] = 1 - same[p];
            a.similarity += same[p] * share;
        }
        weigh(same, places, rule, tau, 1, c);
        weigh(other, places, rule, tau, 0, d);
        for (size_t p = 0; p < places; p++) {
            const double apart = 1 - cosine(t.u[i][p], s.u[i][p], t.n);
            a.align += c[p] * apart * share;
            a.repel -= d[p] * apart * share;
            all_d += d[p];
        }
        a.consensus_modulate += answer_loss(student, i, c, s.side) / STEP_BATCH;
        if (all_d > 0) a.divergence_modulate += answer_loss(teacher, i, d, s.side) / STEP_BATCH;
    }
    return a;
}

static void adm_computes_its_equations_in_every_view(void **state)
{
    (void)state;
    for (int k = 0; k < 2 * 2 * 4 * 4; k++) {
        const int view = k % 4, rule = k / 4 % 4;
        const bool modulate = k / 16 % 2, narrow = k / 32;
        if ((view >= LABEL && !modulate) || (view == CHANNEL && narrow)) continue;
        char text[128];
        snprintf(text, sizeof text, "consensus=%s divergence=%s view=%s weights=%s tau=0.3 alpha=0.5 beta=2", modulate ? "modulate" : "align",
                 modulate ? "modulate" : "repel", views[view], weight_rules[rule]);
        step_spec s = {2, {TEACHER, STUDENT}, "vanilla", NULL, text, false};
        if (narrow) s.networks[1] = (step_network)NARROW_STUDENT;
        run r;
        prepare(&r, &s, DT_F64, false);
        evaluation_run(&r.e, -1);
        static eyes teacher, student;
        look(&r, 0, &teacher);
        look(&r, 1, &student);
        const adm_terms wanted = adm_in_c(&teacher, &student, view, rule, 0.3);
        const double co = modulate ? wanted.consensus_modulate : wanted.align, di = modulate ? wanted.divergence_modulate : wanted.repel;
        assert_close(term(&r, "adm.similarity"), wanted.similarity, 2e-6, text);
        assert_close(term(&r, "b.co"), co, 2e-5, text);
        assert_close(term(&r, "a.di"), di, 2e-5, text);
        assert_close(value(&r, r.l.loss[0][1]), term(&r, "b.ce") + 0.5 * co, 4e-5, text);
        assert_close(value(&r, r.l.loss[0][0]), term(&r, "a.ce") + 2 * di, 4e-5, text);
        assert_int_equal(has_term(&r, "b.co_top1"), modulate);
        end(&r);
    }
}

/* ---- ADM's identities -------------------------------------------------------------------------------------------------- */

static void where_two_networks_agree_everywhere_consensus_is_the_loss_and_divergence_nothing(void **state)
{
    (void)state;
    const step_spec s = {2, {TEACHER, STUDENT}, "vanilla", NULL, "consensus=modulate", false};
    for (int precision = 0; precision < 2; precision++) {
        run r;
        prepare(&r, &s, precision ? DT_F32 : DT_F64, false);
        const float alive[4] = {3, 3, 3, 3};
        write_tensor(&r, 0, "bn2.bias", alive); /* a place where both say nothing has similarity 0 */
        copy_network(&r, 0, 1, NULL);
        evaluation_run(&r.e, -1);
        assert_close(term(&r, "adm.similarity"), 1, 1e-6, "similarity");
        assert_close(term(&r, "b.co"), term(&r, "b.ce"), 1e-6, "consensus");
        assert_true(term(&r, "a.di") == 0);
        assert_true(value(&r, r.l.loss[0][0]) == term(&r, "a.ce"));
        end(&r);
    }
}

static void uniform_weights_double_the_cross_entropy(void **state)
{
    (void)state;
    const step_spec s = {2, {TEACHER, NARROW_STUDENT}, "vanilla", NULL, "weights=uniform consensus=modulate divergence=modulate", false};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    assert_close(value(&r, r.l.loss[0][0]), 2 * term(&r, "a.ce"), 1e-6, "teacher");
    assert_close(value(&r, r.l.loss[0][1]), 2 * term(&r, "b.ce"), 1e-6, "student");
    end(&r);
}

/* Losses and every gradient of one step, as bytes. */
static size_t step_bits(const step_spec *s, int variant, float *out)
{
    run r;
    size_t n = 0;
    prepare(&r, s, DT_F32, true);
    evaluation_run(&r.e, -1);
    if (r.l.n_variants > 1) evaluation_run(&r.e, variant);
    for (int i = 0; i < s->n; i++) {
        if (r.l.loss[variant][i] == DT_NONE) continue;
        out[n++] = dt_program_scalar(r.e.program, r.l.loss[variant][i]);
        const dt_network_state *net = &r.e.state->networks[i];
        for (size_t k = 0; k < net->n_tensors; k++) {
            if (!net->tensors[k].trained) continue;
            dt_state_read_gradient(r.e.state, i, &net->tensors[k], out + n);
            n += net->tensors[k].count;
        }
    }
    end(&r);
    return n;
}

static void with_both_weights_zero_adm_is_the_base_method_bit_for_bit(void **state)
{
    (void)state;
    static const char *const adm[] = {"alpha=0 beta=0", "alpha=0 beta=0 consensus=modulate warmup_epochs=3"};
    static const char *const methods[] = {"dml", "kdcl", "switokd"};
    static float base[2048], with[2048];
    for (size_t m = 0; m < DT_COUNT(methods); m++) {
        for (size_t a = 0; a < DT_COUNT(adm); a++) {
            for (int v = 0; v < (m == 2 ? 2 : 1); v++) {
                step_spec s = {2, {TEACHER, NARROW_STUDENT}, methods[m], NULL, NULL, true};
                const size_t n = step_bits(&s, v, base);
                s.adm = adm[a];
                assert_int_equal(step_bits(&s, v, with), n);
                assert_true(n > 100 && n < DT_COUNT(base));
                if (memcmp(base, with, n * sizeof *base)) fail_msg("%s, adm %s, variant %d: other bits", methods[m], adm[a], v);
                s.adm = "";
                step_bits(&s, v, with);
                assert_true(memcmp(base, with, n * sizeof *base)); /* and with its defaults it is another method */
            }
        }
    }
}

/* {S, L_co, L_di} of two networks, the second a changed copy of itself, with channels permuted in one or both. */
static void terms_after_permutation(const char *adm, const size_t *first, const size_t *second, double *out)
{
    const step_spec s = {2, {TEACHER, STUDENT}, "vanilla", NULL, adm, false};
    run r;
    prepare(&r, &s, DT_F64, false);
    if (first) copy_network(&r, 0, 0, first);
    if (second) copy_network(&r, 1, 1, second);
    evaluation_run(&r.e, -1);
    out[0] = term(&r, "adm.similarity");
    out[1] = term(&r, "b.co");
    out[2] = term(&r, "a.di");
    end(&r);
}

static void the_order_of_channels_matters_only_between_channels(void **state)
{
    (void)state;
    static const size_t order[MOST_CHANNELS] = {2, 0, 3, 1};
    double before[3], after[3];
    terms_after_permutation("view=class divergence=repel", NULL, NULL, before);
    terms_after_permutation("view=class divergence=repel", NULL, order, after);
    for (int i = 0; i < 3; i++) assert_close(after[i], before[i], 1e-6, "class view, one network permuted");
    terms_after_permutation("view=channel divergence=repel", NULL, NULL, before);
    terms_after_permutation("view=channel divergence=repel", order, order, after);
    for (int i = 0; i < 3; i++) assert_close(after[i], before[i], 1e-6, "channel view, both permuted");
    terms_after_permutation("view=channel divergence=repel", NULL, order, after);
    assert_true(fabs(after[0] - before[0]) > 1e-3);
}

static void many_partners_are_averaged(void **state)
{
    (void)state;
    const step_spec one = {2, {TEACHER, STUDENT}, "vanilla", NULL, "divergence=repel", false};
    const step_spec two = {3, {TEACHER, STUDENT, TEACHER}, "vanilla", NULL, "divergence=repel", false};
    run r;
    prepare(&r, &one, DT_F64, false);
    evaluation_run(&r.e, -1);
    const double alone = term(&r, "b.co");
    end(&r);
    prepare(&r, &two, DT_F64, false);
    copy_network(&r, 0, 2, NULL); /* the same teacher twice */
    evaluation_run(&r.e, -1);
    assert_close(term(&r, "b.co"), alone, 1e-6, "mean over equal teachers");
    assert_close(term(&r, "a.di"), term(&r, "c.di"), 1e-6, "equal teachers");
    end(&r);
}

static void a_waiting_teacher_gets_no_divergence(void **state)
{
    (void)state;
    const step_spec s = {2, {TEACHER, STUDENT}, "switokd", NULL, "", false};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    evaluation_run(&r.e, 0);
    assert_close(value(&r, r.l.loss[0][0]), term(&r, "a.ce") + term(&r, "a.kl") + term(&r, "a.di"), 1e-5, "learning teacher");
    evaluation_run(&r.e, 1);
    assert_int_equal(r.l.loss[1][0], DT_NONE);
    assert_close(value(&r, r.l.loss[1][1]), term(&r, "b.ce") + term(&r, "b.kl") + term(&r, "b.co"), 1e-5, "student of a waiting teacher");
    end(&r);
}

static void shares_on_the_foreground_are_measured_where_there_is_a_mask(void **state)
{
    (void)state;
    step_spec s = {2, {TEACHER, NARROW_STUDENT}, "vanilla", NULL, "weights=uniform", true};
    run r;
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    const double share = term(&r, "adm.foreground");
    assert_true(share > 0.3 && share < 0.5);
    assert_close(term(&r, "adm.foreground_c"), share, 1e-6, "uniform weights lie where the picture lies");
    assert_close(term(&r, "adm.foreground_d"), share, 1e-6, "uniform weights lie where the picture lies");
    end(&r);
    s.adm = "";
    prepare(&r, &s, DT_F64, false);
    evaluation_run(&r.e, -1);
    assert_true(fabs(term(&r, "adm.foreground_c") - share) > 1e-4);
    end(&r);
    s.mask = false;
    prepare(&r, &s, DT_F64, false);
    assert_false(has_term(&r, "adm.foreground"));
    end(&r);
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

static void adm_refuses_what_it_cannot_look_at(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {{2, {PEER, PEER}, "dml", NULL, "", false}, "add `role: teacher` to one of them under `networks:` and `role: student`"},
        {{2, {TEACHER, PEER}, "dml", NULL, "", false}, "add `role: student`"},
        {{2, {PEER, STUDENT}, "dml", NULL, "", false}, "add `role: teacher`"},
        {{2, {TEACHER, STUDENT}, "dml", NULL, "view=label", false}, "`consensus: modulate`"},
        {{2, {TEACHER, STUDENT}, "dml", NULL, "view=attention consensus=off divergence=repel", false}, "`divergence: modulate`"},
        {{2, {TEACHER, STUDENT}, "dml", NULL, "stage=stage1", false}, "`stage: features`"},
        {{2, {TEACHER, STUDENT}, "dml", NULL, "stage=stage1 view=channel", false}, "`divergence: repel`"},
        {{2, {TEACHER, STUDENT}, "dml", NULL, "stage=stage2 view=channel divergence=repel", false}, "'a' has no stage: stage2"},
        {{2, {TEACHER, NARROW_STUDENT}, "dml", NULL, "view=channel", false}, "'a' has 4 channels and 'b' has 3"},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_graph *g = dt_graph_create();
        dt_peers peers;
        dt_losses l;
        duet_error err = {0};
        assert_int_equal(step_build(&cases[i].s, g, step_make_inputs(g), &peers, &l, &err), DUET_RECIPE);
        if (!strstr(err.message, cases[i].message)) fail_msg("'%s' lacks '%s'", err.message, cases[i].message);
        dt_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adm_computes_its_equations_in_every_view),
        cmocka_unit_test(where_two_networks_agree_everywhere_consensus_is_the_loss_and_divergence_nothing),
        cmocka_unit_test(uniform_weights_double_the_cross_entropy),
        cmocka_unit_test(with_both_weights_zero_adm_is_the_base_method_bit_for_bit),
        cmocka_unit_test(the_order_of_channels_matters_only_between_channels),
        cmocka_unit_test(many_partners_are_averaged),
        cmocka_unit_test(a_waiting_teacher_gets_no_divergence),
        cmocka_unit_test(shares_on_the_foreground_are_measured_where_there_is_a_mask),
        cmocka_unit_test(adm_refuses_what_it_cannot_look_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
