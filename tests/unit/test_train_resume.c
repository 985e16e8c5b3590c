/* The same recipe, data and seed give the same files: twice, with other numbers of workers, and when the run was
 * interrupted. */
#include "train_fixture.h"

static void two_runs_are_equal_byte_for_byte(void **state)
{
    (void)state;
    fixture_train_ok(&files, &(fixture_run){.out = "once"});
    fixture_train_ok(&files, &(fixture_run){.out = "again"});
    fixture_same_runs(&files, "once", "again");
    fixture_same_bytes(&files, "once", "again", "recipe.yaml");
    fixture_same_bytes(&files, "once", "again", "environment.json");
}

static void another_seed_gives_another_run(void **state)
{
    (void)state;
    const char *const other[] = {"train.seed=2", NULL};
    fixture_train_ok(&files, &(fixture_run){.out = "other", .overrides = other});
    char *a = fixture_metrics(&files, "once"), *b = fixture_metrics(&files, "other");
    assert_string_not_equal(a, b);
    free(a), free(b);
}

static void one_and_four_workers_give_equal_runs(void **state)
{
    (void)state;
    const char *const one[] = {"data.workers=1", "data.validation=4", NULL}, *const four[] = {"data.workers=4",
                                                                                              "data.validation=4",
                                                                                              NULL};
    fixture_train_ok(&files, &(fixture_run){.out = "one", .overrides = one});
    fixture_train_ok(&files, &(fixture_run){.out = "four", .overrides = four});
    fixture_same_runs(&files, "one", "four");
}

/* Killed after step 13 = in the middle of the second of three epochs of 8 steps; goes on from the end of the first. */
static void a_killed_run_ends_as_if_nothing_had_happened(void **state)
{
    (void)state;
    const int status = fixture_child(&files, "killed", false, 13, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_train_ok(&files, &(fixture_run){.out = "killed", .resume = true});
    fixture_same_runs(&files, "once", "killed");
}

/* Ten steps with a checkpoint, ten more of which are lost, and again: in the middle of epochs. */
static void a_run_stopped_killed_and_resumed_within_epochs_ends_the_same(void **state)
{
    (void)state;
    fixture_train_ok(&files, &(fixture_run){.out = "cut", .max_steps = 10});
    const int status = fixture_child(&files, "cut", true, 15, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_train_ok(&files, &(fixture_run){.out = "cut", .resume = true, .max_steps = 20});
    fixture_train_ok(&files, &(fixture_run){.out = "cut", .resume = true});
    fixture_same_runs(&files, "once", "cut");
}

static void killed_before_the_first_checkpoint_a_run_starts_again(void **state)
{
    (void)state;
    const int status = fixture_child(&files, "early", false, 3, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(fixture_exists(fixture_path(&files, "early/state.safetensors")));
    fixture_train_ok(&files, &(fixture_run){.out = "early", .resume = true});
    fixture_same_runs(&files, "once", "early");
}

/* Switches, per-epoch values of the method, views of one's own, a held-out set: whatever else a run carries along. */
static void every_method_resumes_to_the_same_files(void **state)
{
    (void)state;
    const char *const switokd[] = {"method={name: switokd}", "adm={warmup_epochs: 2}", NULL};
    const char *const general[] = {"method={name: kdcl, target: general}", "data.validation=8", NULL};
    const char *const *const all[] = {switokd, general};
    for (size_t i = 0; i < DT_COUNT(all); i++) {
        char whole[16], cut[16];
        snprintf(whole, sizeof whole, "whole%zu", i);
        snprintf(cut, sizeof cut, "cut%zu", i);
        fixture_train_ok(&files, &(fixture_run){.out = whole, .overrides = all[i]});
        fixture_train_ok(&files, &(fixture_run){.out = cut, .overrides = all[i], .max_steps = 9});
        fixture_train_ok(&files, &(fixture_run){.out = cut, .overrides = all[i], .resume = true});
        fixture_same_runs(&files, whole, cut);
    }
}

/* Second moments, averages and their counts; 19 steps end in the middle of the third epoch. SwitOKD's teacher does not take
 * every step, so the counts differ. */
static void adam_clipping_averages_and_a_number_of_steps_resume_to_the_same_files(void **state)
{
    (void)state;
    const char *const all[] = {"train.optimizer=adam", "train.lr=0.003",           "train.clip_norm=1", "train.ema=0.9",
                               "train.steps=19",       "train.schedule.name=poly", "method={name: switokd}", NULL};
    duet_error err;
    dt_run_result result;
    if (fixture_train(&files, &(fixture_run){.out = "adam", .overrides = all}, &result, &err)) fail_msg("%s", err.message);
    assert_true(result.finished);
    assert_int_equal(result.steps_done, 19);
    assert_int_equal(result.epochs_done, 3);
    fixture_train_ok(&files, &(fixture_run){.out = "adamcut", .overrides = all, .max_steps = 6});
    const int status = fixture_child(&files, "adamcut", true, 13, all);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_train_ok(&files, &(fixture_run){.out = "adamcut", .overrides = all, .resume = true, .max_steps = 18});
    fixture_train_ok(&files, &(fixture_run){.out = "adamcut", .overrides = all, .resume = true});
    fixture_same_runs(&files, "adam", "adamcut");
    fixture_same_bytes(&files, "adam", "adamcut", "teacher.ema.safetensors");
    fixture_same_bytes(&files, "adam", "adamcut", "student.ema.safetensors");
}

/* ---- stopping on request ----------------------------------------------------------------------------------------- */

static void stop_at_step_five(void *user, const dt_progress *p)
{
    if (p->epoch == 1 && p->step == 5) *(volatile int *)user = 1;
}

static void a_request_stops_with_a_checkpoint_after_the_step(void **state)
{
    (void)state;
    volatile int stop = 0;
    duet_error err;
    dt_run_result result = {0};
    const fixture_run run = {
        .out = "asked", .observer = {.progress = stop_at_step_five, .user = (void *)(uintptr_t)&stop}, .stop = &stop};
    assert_int_equal(fixture_train(&files, &run, &result, &err), DUET_STOPPED);
    assert_int_equal(result.steps_done, 5);
    assert_false(result.finished);
    assert_non_null(strstr(err.message, "--resume"));
    fixture_train_ok(&files, &(fixture_run){.out = "asked", .resume = true});
    fixture_same_runs(&files, "once", "asked");
}

/* ---- what may be resumed ----------------------------------------------------------------------------------------- */

static void a_folder_with_a_run_is_refused_without_resume(void **state)
{
    (void)state;
    duet_error err;
    char *before = fixture_log(&files, "once");
    assert_int_equal(fixture_train(&files, &(fixture_run){.out = "once"}, NULL, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "once"));
    assert_non_null(strstr(err.message, "--resume"));
    char *after = fixture_log(&files, "once");
    assert_string_equal(before, after);
    free(before), free(after);
}

static void count_messages(void *user, const char *text)
{
    if (strstr(text, "finished")) ++*(int *)user;
}

static void a_finished_run_says_so_and_returns_its_results(void **state)
{
    (void)state;
    duet_error err;
    int said = 0;
    dt_run_result result = {0};
    char *before = fixture_metrics(&files, "once");
    const fixture_run run = {.out = "once", .resume = true, .observer.log = {count_messages, &said}};
    assert_int_equal(fixture_train(&files, &run, &result, &err), DUET_OK);
    assert_int_equal(said, 1);
    assert_true(result.finished);
    assert_int_equal(result.epochs_done, 3);
    assert_int_equal(result.steps_done, 24);
    assert_true(result.results[1].best_epoch >= 1 && result.results[1].best_epoch <= 3);
    assert_true(result.results[1].best.value[2] > 0);
    char *after = fixture_metrics(&files, "once");
    assert_string_equal(before, after);
    free(before), free(after);
}

static void another_recipe_is_refused_naming_what_differs(void **state)
{
    (void)state;
    duet_error err;
    const char *const longer[] = {"train.epochs=4", NULL}, *const method[] = {"method.temperature=3", NULL};
    assert_int_equal(
        fixture_train(&files, &(fixture_run){.out = "once", .resume = true, .overrides = longer}, NULL, &err),
        DUET_RECIPE);
    assert_non_null(strstr(err.message, "under train it had \"epochs: 3\", now there is \"epochs: 4\""));
    assert_int_equal(
        fixture_train(&files, &(fixture_run){.out = "once", .resume = true, .overrides = method}, NULL, &err),
        DUET_RECIPE);
    assert_non_null(strstr(err.message, "under method it had \"temperature: 1\""));
}

static void a_damaged_checkpoint_is_refused_and_left_alone(void **state)
{
    (void)state;
    duet_error err;
    const char *path = fixture_path(&files, "cut/state.safetensors");
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(fixture_train(&files, &(fixture_run){.out = "cut", .resume = true}, NULL, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "cut/state.safetensors"));
    assert_true(fixture_exists(path));
}

int main(int argc, char **argv)
{
    if (argc > 5 && !strcmp(argv[1], "child")) return fixture_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_runs_are_equal_byte_for_byte), /* first: the others compare with "once" */
        cmocka_unit_test(another_seed_gives_another_run),
        cmocka_unit_test(one_and_four_workers_give_equal_runs),
        cmocka_unit_test(a_killed_run_ends_as_if_nothing_had_happened),
        cmocka_unit_test(a_run_stopped_killed_and_resumed_within_epochs_ends_the_same),
        cmocka_unit_test(killed_before_the_first_checkpoint_a_run_starts_again),
        cmocka_unit_test(every_method_resumes_to_the_same_files),
        cmocka_unit_test(adam_clipping_averages_and_a_number_of_steps_resume_to_the_same_files),
        cmocka_unit_test(a_request_stops_with_a_checkpoint_after_the_step),
        cmocka_unit_test(a_folder_with_a_run_is_refused_without_resume),
        cmocka_unit_test(a_finished_run_says_so_and_returns_its_results),
        cmocka_unit_test(another_recipe_is_refused_naming_what_differs),
        cmocka_unit_test(a_damaged_checkpoint_is_refused_and_left_alone),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
