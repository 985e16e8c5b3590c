/* Memory that runs out anywhere in a run is an error with a message: no crash, no leak (the address sanitizer looks),
 * no half-written file, and the run goes on from where it was. The k-th allocation of the calling thread fails, for
 * growing k. */
#include "train_fixture.h"

/* 1, 2, ... 16, then an eighth further each time: early failures one by one, later ones sampled. */
static long next(long k) { return k + 1 + k / 8; }

static bool is_done(duet_status st, const duet_error *err, long k, const char *what)
{
    if (!st) return true;
    if (st != DUET_MEMORY)
        fail_msg("%s, allocation %ld fails: status %s: %s", what, k, duet_status_name(st), err->message);
    if (!err->message[0]) fail_msg("%s, allocation %ld fails without a message", what, k);
    return false;
}

static void a_session_survives_every_failed_allocation(void **state)
{
    (void)state;
    const dt_data_facts data = {.name = "cifar100",
                                .train_images = FIXTURE_TRAIN,
                                .test_images = FIXTURE_TEST,
                                .classes = 100,
                                .height = 32,
                                .width = 32};
    const char *const overrides[] = {"adm={}", NULL};
    dt_recipe *r = fixture_recipe(&files, overrides);
    bool done = false;
    long k = 1;
    for (; !done; k = next(k)) {
        dt_session *s = NULL;
        duet_error err = {0};
        dt_alloc_fail_at(k);
        duet_status st = dt_session_create(r, &data, DT_FIRST_WEIGHTS, &s, &err);
        if (!st) st = dt_session_prepare_evaluation(s, (dt_network_size){.classes = s->data.classes, .height = s->data.height, .width = s->data.width, .batch = 4}, &err);
        dt_alloc_fail_at(0);
        done = is_done(st, &err, k, "session");
        dt_session_destroy(s);
    }
    assert_true(k > 100); /* fewer would mean that nothing was tested */
    dt_recipe_destroy(r);
}

static void weights_survive_every_failed_allocation(void **state)
{
    (void)state;
    const dt_data_facts data = {.name = "cifar100",
                                .train_images = FIXTURE_TRAIN,
                                .test_images = FIXTURE_TEST,
                                .classes = 100,
                                .height = 32,
                                .width = 32};
    const char *path = fixture_path(&files, "memory.safetensors");
    dt_recipe *r = fixture_recipe(&files, NULL);
    dt_session *s = NULL;
    duet_error err = {0};
    bool done = false;
    if (dt_session_create(r, &data, DT_FIRST_WEIGHTS, &s, &err)) fail_msg("%s", err.message);
    for (long k = 1; !done; k++) {
        dt_alloc_fail_at(k);
        const duet_status st = dt_weights_save(s->state, 0, path, NULL, 0, &err);
        dt_alloc_fail_at(0);
        done = is_done(st, &err, k, "save");
        assert_true(done == fixture_exists(path));
    }
    done = false;
    for (long k = 1; !done; k = next(k)) {
        dt_alloc_fail_at(k);
        const duet_status st = dt_weights_load(s->state, 1, path, &err);
        dt_alloc_fail_at(0);
        done = is_done(st, &err, k, "load");
    }
    dt_session_destroy(s);
    dt_recipe_destroy(r);
}

/* The same folder again and again: whatever a failed attempt left there, the next one goes on from it, to the same
 * end. */
static void a_run_survives_every_failed_allocation(void **state)
{
    (void)state;
    const dt_run_options options = {.out = fixture_path(&files, "run"), .resume = true};
    dt_recipe *r = fixture_recipe(&files, NULL);
    bool done = false;
    for (long k = 1; !done; k = next(k) + k / 4) {
        duet_error err = {0};
        dt_run_result result;
        dt_alloc_fail_at(k);
        const duet_status st = dt_train(r, &options, &result, &err);
        dt_alloc_fail_at(0);
        done = is_done(st, &err, k, "run");
    }
    dt_recipe_destroy(r);
    fixture_train_ok(&files, &(fixture_run){.out = "plain"});
    fixture_same_runs(&files, "plain", "run");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_survives_every_failed_allocation),
        cmocka_unit_test(weights_survive_every_failed_allocation),
        cmocka_unit_test(a_run_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
