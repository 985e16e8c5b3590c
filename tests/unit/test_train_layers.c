/* Learning rates of single layers, and layers that stand still: who is meant by a name, what a step does to whom, and that a run with
 * them goes on after an interruption as if there had been none. */
#include "train_fixture.h"

#include <math.h>

static const char *const rates[] = {"networks.student.layers={conv1: frozen, bn1: frozen, layer1: 0.5, layer1.0.bn2: 0, layer1.0.bn2.bias: 3}", NULL};

static duet_status create(const char *const *overrides, dt_recipe **recipe, dt_session **s, duet_error *err)
{
    const dt_data_facts data = {.name = "cifar100", .train_images = FIXTURE_TRAIN, .test_images = FIXTURE_TEST, .classes = 100, .height = 32, .width = 32};
    *recipe = fixture_recipe(&files, overrides);
    return dt_session_create(*recipe, &data, DT_FIRST_WEIGHTS, s, err);
}

static const dt_tensor *tensor_of(const dt_session *s, int network, const char *name)
{
    const dt_network_state *n = &s->state->networks[network];
    for (size_t i = 0; i < n->n_tensors; i++)
        if (!strcmp(n->tensors[i].name, name)) return &n->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void the_longest_name_that_fits_counts(void **state)
{
    (void)state;
    static const struct { const char *name; bool trained; double scale; } wanted[] = {
        {"conv1.weight", false, 0}, {"bn1.bias", false, 0}, {"layer1.0.conv1.weight", true, 0.5}, {"layer1.0.bn1.weight", true, 0.5},
        {"layer1.0.bn2.weight", true, 0}, {"layer1.0.bn2.bias", true, 3}, {"layer2.0.conv1.weight", true, 1}, {"fc.weight", true, 1}};
    dt_recipe *r;
    dt_session *s;
    duet_error err;
    if (create(rates, &r, &s, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < DT_COUNT(wanted); i++) {
        const dt_tensor *t = tensor_of(s, 1, wanted[i].name), *other = tensor_of(s, 0, wanted[i].name);
        if (t->trained != wanted[i].trained || t->lr_scale != wanted[i].scale)
            fail_msg("%s: trained %d, times %g", t->name, t->trained, t->lr_scale);
        assert_true(other->trained && other->lr_scale == 1);
    }
    assert_true(s->state->networks[0].update.n_groups == 0 && s->state->networks[1].update.n_groups >= 4);
    dt_session_destroy(s);
    dt_recipe_destroy(r);
}

/* A tensor of the student: its bits before and after three steps. */
static bool moved(const dt_session *s, const char *name, float (*before)[4096])
{
    float now[4096];
    const dt_tensor *t = tensor_of(s, 1, name);
    const size_t n = t->count < 4096 ? t->count : 4096;
    const bool there = !isnan((*before)[0]);
    dt_state_read(s->state, 1, t, there ? now : *before);
    return there && memcmp(now, *before, n * sizeof *now) != 0;
}

static void what_is_frozen_or_at_rate_zero_stays_and_the_rest_moves(void **state)
{
    (void)state;
    static const struct { const char *name; bool moves; } wanted[] = {
        {"conv1.weight", false}, {"bn1.weight", false}, {"bn1.running_mean", false}, {"bn1.running_var", false},
        {"layer1.0.bn2.weight", false}, {"layer1.0.bn2.running_mean", true}, /* at rate zero it still sees batches */
        {"layer1.0.bn2.bias", true}, {"layer1.0.conv1.weight", true}, {"fc.bias", true}};
    static float before[DT_COUNT(wanted)][4096];
    dt_recipe *r;
    dt_session *s;
    duet_error err;
    if (create(rates, &r, &s, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < DT_COUNT(wanted); i++) {
        before[i][0] = NAN;
        moved(s, wanted[i].name, &before[i]);
    }
    float image[FIXTURE_BATCH * 3 * 32 * 32];
    int32_t labels[FIXTURE_BATCH] = {3, 1, 4, 1};
    dt_rng rng = dt_rng_make(1, DT_PURPOSE_TEST, 0, 0);
    for (size_t i = 0; i < DT_COUNT(image); i++) image[i] = dt_rng_normal(&rng);
    dt_batch batch = {.n = FIXTURE_BATCH, .height = 32, .width = 32, .images = {image}, .labels = labels};
    for (int step = 0; step < 3; step++)
        if (dt_session_step(s, &batch, 0, 0.1, NULL, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < DT_COUNT(wanted); i++)
        if (moved(s, wanted[i].name, &before[i]) != wanted[i].moves) fail_msg("%s %s", wanted[i].name, wanted[i].moves ? "stays" : "moves");
    dt_session_destroy(s);
    dt_recipe_destroy(r);
}

static void an_interrupted_run_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    const char *const *const overrides = rates;
    const fixture_run whole = {.out = "whole", .overrides = overrides}, first = {.out = "parts", .max_steps = 11, .overrides = overrides},
                      rest = {.out = "parts", .resume = true, .overrides = overrides};
    fixture_train_ok(&files, &whole);
    fixture_train_ok(&files, &first);
    fixture_train_ok(&files, &rest);
    fixture_same_runs(&files, "whole", "parts");
}

static void names_that_fit_nothing_and_networks_that_learn_nothing_are_refused(void **state)
{
    (void)state;
    static const struct { const char *override, *words[3]; } cases[] = {
        {"networks.student.layers={layr1: 0.5}", {"networks.student.layers", "nothing in resnet8 is called layr1", "did you mean layer1?"}},
        {"networks.student.layers={layer1.1: 0.5}", {"layer1.1", "did you mean layer1.0?", "allowed: conv1, bn1, layer1, layer2, layer3, fc,"}},
        {"networks.student.layers={layer: frozen}", {"is called layer", "layer1"}},
        {"networks.student.layers={conv1: frozen, bn1: frozen, layer1: frozen, layer2: frozen, layer3: frozen, fc: frozen}",
         {"all of resnet8 is frozen", "`frozen: true`"}},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        const char *const overrides[] = {cases[i].override, NULL};
        dt_recipe *r;
        dt_session *s = NULL;
        duet_error err;
        assert_int_equal(create(overrides, &r, &s, &err), DUET_RECIPE);
        for (size_t k = 0; k < DT_COUNT(cases[i].words) && cases[i].words[k]; k++)
            if (!strstr(err.message, cases[i].words[k])) fail_msg("'%s' is not in: %s", cases[i].words[k], err.message);
        dt_recipe_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_name_that_fits_counts),
        cmocka_unit_test(what_is_frozen_or_at_rate_zero_stays_and_the_rest_moves),
        cmocka_unit_test(an_interrupted_run_goes_on_with_the_same_bits),
        cmocka_unit_test(names_that_fit_nothing_and_networks_that_learn_nothing_are_refused),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
