/* A step that learns from mixed pictures: with the whole share it is the step without mixup, bit for bit; runs do not depend on workers and go
 * on after an interruption as if there had been none. */
#include "train_fixture.h"

#include <math.h>

static dt_session *session_of(const char *const *overrides, dt_recipe **recipe)
{
    const dt_data_facts data = {.name = "cifar100", .train_images = FIXTURE_TRAIN, .test_images = FIXTURE_TEST, .classes = 100, .height = 32,
                                .width = 32, .masks = true};
    dt_session *s = NULL;
    duet_error err;
    *recipe = fixture_recipe(&files, overrides);
    if (dt_session_create(*recipe, &data, DT_FIRST_WEIGHTS, &s, &err)) fail_msg("%s", err.message);
    return s;
}

/* Three steps on fixed pictures; losses of both networks in the last, and all weights of the student. */
static void three_steps(const char *const *overrides, float share, const int32_t *other, double loss[2], float *weights, size_t room)
{
    dt_recipe *r;
    dt_session *s = session_of(overrides, &r);
    float image[FIXTURE_BATCH * 3 * 32 * 32], mask[FIXTURE_BATCH * 32 * 32];
    int32_t labels[FIXTURE_BATCH] = {3, 1, 4, 1}, others[FIXTURE_BATCH];
    duet_error err;
    int variant = 0;
    dt_rng rng = dt_rng_make(1, DT_PURPOSE_TEST, 0, 0);
    for (size_t i = 0; i < DT_COUNT(image); i++) image[i] = dt_rng_normal(&rng);
    for (size_t i = 0; i < DT_COUNT(mask); i++) mask[i] = i % 3 == 0;
    memcpy(others, other, sizeof others);
    const dt_batch batch = {.n = FIXTURE_BATCH, .height = 32, .width = 32, .images = {image, image}, .labels = labels, .other_labels = others,
                            .mask = mask, .share = share};
    for (int step = 0; step < 3; step++)
        if (dt_session_step(s, &batch, 0, 0.1, &variant, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++) loss[i] = dt_session_loss(s, variant, i);
    const dt_network_state *n = &s->state->networks[1];
    for (size_t i = 0; i < n->n_tensors; i++) {
        assert_true(n->tensors[i].count <= room);
        dt_state_read(s->state, 1, &n->tensors[i], weights);
        weights += n->tensors[i].count;
        room -= n->tensors[i].count;
    }
    dt_session_destroy(s);
    dt_recipe_destroy(r);
}

enum { ROOM = 200000 };
static float weights[2][ROOM];

static const struct {
    const char *method, *adm;
} methods[] = {
    {"method={name: vanilla}", "adm=off"},
    {"method={name: dml}", "adm={consensus: modulate, view: label}"},
    {"method={name: kdcl}", "adm=on"},
    {"method={name: kdcl, target: naive}", "adm={consensus: modulate}"},
    {"method={name: switokd}", "adm=on"},
};

static void the_whole_share_is_the_step_without_mixup(void **state)
{
    (void)state;
    static const int32_t other[FIXTURE_BATCH] = {90, 80, 70, 60};
    for (size_t m = 0; m < DT_COUNT(methods); m++) {
        double loss[2][2];
        memset(weights, 0, sizeof weights);
        for (int k = 0; k < 2; k++) {
            const char *const overrides[] = {methods[m].method, methods[m].adm, k ? "data.mixup=0.2" : "data.mixup=0", "train.label_smoothing=0.1", NULL};
            three_steps(overrides, 1, other, loss[k], weights[k], ROOM);
        }
        assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
        if (memcmp(weights[0], weights[1], sizeof weights[0])) fail_msg("%s %s: weights differ", methods[m].method, methods[m].adm);
    }
}

/* Three steps at one share: of two labels, and of the same one twice. */
static void one_label_in_two_parts_is_one_and_two_are_not(void **state)
{
    (void)state;
    static const int32_t other[FIXTURE_BATCH] = {90, 80, 70, 60}, same[FIXTURE_BATCH] = {3, 1, 4, 1};
    for (size_t m = 0; m < DT_COUNT(methods); m++) {
        const char *const overrides[] = {methods[m].method, methods[m].adm, "data.mixup=0.2", NULL};
        double whole[2], apart[2], alike[2];
        three_steps(overrides, 1, other, whole, weights[0], ROOM);
        three_steps(overrides, 0.3f, other, apart, weights[1], ROOM);
        three_steps(overrides, 0.3f, same, alike, weights[1], ROOM);
        for (int i = 0; i < 2; i++) {
            if (isnan(whole[i]) || isnan(apart[i])) continue; /* a teacher that waits */
            if (!(fabs(apart[i] - whole[i]) > 1e-3 * fabs(whole[i]))) fail_msg("%s: %g of two labels, %g of one", methods[m].method, apart[i], whole[i]);
            if (!(fabs(alike[i] - whole[i]) <= 1e-3 * fabs(whole[i]))) fail_msg("%s: %g, not %g", methods[m].method, alike[i], whole[i]);
        }
    }
}

/* Shares are then 0 or 1 but for what no float can tell: pictures are whole, half of the batches in another order. The losses of the first
 * epoch at rate 0 are those without mixup. */
static void with_a_tiny_alpha_pictures_stay_whole(void **state)
{
    (void)state;
    const char *const plain[] = {"train.lr=0", "train.epochs=1", NULL}, *const tiny[] = {"train.lr=0", "train.epochs=1", "data.mixup=1e-9", NULL};
    fixture_train_ok(&files, &(fixture_run){.out = "plain", .overrides = plain});
    fixture_train_ok(&files, &(fixture_run){.out = "tiny", .overrides = tiny});
    char *a = fixture_log(&files, "plain"), *b = fixture_log(&files, "tiny"), *la, *lb, *ka, *kb;
    size_t steps = 0;
    for (char *p = strtok_r(a, "\n", &ka), *q = strtok_r(b, "\n", &kb); p && q; p = strtok_r(NULL, "\n", &ka), q = strtok_r(NULL, "\n", &kb)) {
        if (!strstr(p, "\"event\":\"step\"")) continue;
        la = strstr(p, "\"loss\":{\"student\":"), lb = strstr(q, "\"loss\":{\"student\":");
        assert_true(la && lb);
        const double x = strtod(la + 18, NULL), y = strtod(lb + 18, NULL);
        if (!(fabs(x - y) <= 1e-5 * fabs(x))) fail_msg("step %zu: %g, not %g", steps, y, x);
        steps++;
    }
    assert_int_equal(steps, FIXTURE_TRAIN / FIXTURE_BATCH);
    free(a), free(b);
}

static void one_and_four_workers_and_an_interruption_within_an_epoch_end_in_the_same_files(void **state)
{
    (void)state;
    static const char *const all[][3] = {{"method={name: kdcl}", "data.mixup=0.4", NULL}, {"adm=on", "data.mixup=0.4", NULL}};
    for (size_t i = 0; i < DT_COUNT(all); i++) {
        char whole[16], four[16], cut[16];
        const char *const more[] = {all[i][0], all[i][1], "data.workers=4", NULL};
        snprintf(whole, sizeof whole, "whole%zu", i), snprintf(four, sizeof four, "four%zu", i), snprintf(cut, sizeof cut, "cut%zu", i);
        fixture_train_ok(&files, &(fixture_run){.out = whole, .overrides = all[i]});
        fixture_train_ok(&files, &(fixture_run){.out = four, .overrides = more});
        fixture_same_runs(&files, whole, four);
        fixture_train_ok(&files, &(fixture_run){.out = cut, .overrides = all[i], .max_steps = 11});
        fixture_train_ok(&files, &(fixture_run){.out = cut, .overrides = more, .resume = true});
        fixture_same_runs(&files, whole, cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_share_is_the_step_without_mixup),
        cmocka_unit_test(one_label_in_two_parts_is_one_and_two_are_not),
        cmocka_unit_test(with_a_tiny_alpha_pictures_stay_whole),
        cmocka_unit_test(one_and_four_workers_and_an_interruption_within_an_epoch_end_in_the_same_files),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
