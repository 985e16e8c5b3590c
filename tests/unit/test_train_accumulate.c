/* Steps of several batches: what they are equal to, what stays as it was, how they are cut short and refused. */
#include "train_fixture.h"

#include <math.h>

/* ---- with a network that sees every image by itself ---------------------------------------------------------------- */

/* Without batch norm the mean of the gradients of parts is the gradient of the whole. */
static const char plain_network[] =
    "image: 32\n"
    "layers:\n"
    "  - {conv: conv1, channels: 8, stride: 2, bias: true}\n"
    "  - relu\n"
    "  - {conv: conv2, channels: 16, stride: 2, bias: true}\n"
    "  - relu\n"
    "  - {classifier: fc}\n";

static const char plain_recipe[] =
    "data: {name: cifar100}\n"
    "networks:\n"
    "  - {name: teacher, model: plain.yaml, role: teacher}\n"
    "  - {name: student, model: plain.yaml, role: student, lr_scale: 0.5, layers: {conv1: frozen, fc: 2}}\n"
    "method: {name: dml}\n"
    "adm: {view: class}\n"
    "train: {epochs: 2, lr: 0.05, clip_norm: 1, ema: 0.9, schedule: {name: cosine}, log_every: 1}\n";

static void write_file(const char *name, const char *text)
{
    FILE *out = fopen(fixture_path(&files, name), "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void train_plain(const char *out, const char *batch, const char *accumulate)
{
    char data[128];
    duet_error err;
    dt_recipe *r = NULL;
    dt_run_result result;
    snprintf(data, sizeof data, "data.path=%s", files.data);
    const char *const overrides[] = {data, batch, accumulate, fixture_device(), "device.threads=1"};
    if (dt_recipe_load(fixture_path(&files, "plain-recipe.yaml"), overrides, DT_COUNT(overrides), &r, &err)) fail_msg("%s", err.message);
    const dt_run_options o = {.out = fixture_path(&files, out)};
    if (dt_train(r, &o, &result, &err)) fail_msg("%s", err.message);
    dt_recipe_destroy(r);
}

/* Every tensor of two files, as if they were one: how far they are apart, and how long the first is. */
static double distance(const char *a, const char *b)
{
    dt_saved *sa, *sb;
    duet_error err;
    double apart = 0, all = 0;
    if (dt_saved_open(fixture_path(&files, a), &sa, &err)) fail_msg("%s", err.message);
    if (dt_saved_open(fixture_path(&files, b), &sb, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < sa->n_tensors; i++) {
        const dt_saved_tensor *x = &sa->tensors[i], *y = dt_saved_find(sb, x->name);
        assert_non_null(y);
        for (size_t k = 0; k < x->n_bytes / sizeof(float); k++) {
            float u, v;
            memcpy(&u, (const char *)x->bytes + k * sizeof u, sizeof u);
            memcpy(&v, (const char *)y->bytes + k * sizeof v, sizeof v);
            apart += ((double)u - (double)v) * ((double)u - (double)v);
            all += (double)u * (double)u;
        }
    }
    dt_saved_close(sa);
    dt_saved_close(sb);
    return sqrt(apart / all);
}

static void parts_of_a_batch_make_the_step_of_the_whole(void **state)
{
    (void)state;
    static const char *const weights[] = {"teacher", "student", "teacher.ema", "student.ema"};
    write_file("plain.yaml", plain_network);
    write_file("plain-recipe.yaml", plain_recipe);
    train_plain("whole", "train.batch=8", "train.accumulate=1");
    train_plain("parts", "train.batch=2", "train.accumulate=4");
    train_plain("single", "train.batch=1", "train.accumulate=8");
    train_plain("other", "train.batch=4", "train.accumulate=1");
    for (size_t i = 0; i < DT_COUNT(weights); i++) {
        char whole[64], parts[64], single[64], other[64];
        snprintf(whole, sizeof whole, "whole/%s.safetensors", weights[i]);
        snprintf(parts, sizeof parts, "parts/%s.safetensors", weights[i]);
        snprintf(single, sizeof single, "single/%s.safetensors", weights[i]);
        snprintf(other, sizeof other, "other/%s.safetensors", weights[i]);
        /* Eight steps of rounding; a batch of another size is four orders of magnitude away. */
        assert_true(distance(whole, parts) < 1e-5);
        assert_true(distance(whole, single) < 1e-5);
        assert_true(distance(whole, other) > 1e-3);
    }
}

/* The mean over the parts of a mean over a part's images is the mean over all images. */
static void the_log_has_a_line_for_each_step_with_means(void **state)
{
    (void)state;
    char *logs[2] = {fixture_log(&files, "whole"), fixture_log(&files, "parts")};
    double loss[2][8], kl[2][8];
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        for (char *line = strtok(logs[i], "\n"); line; line = strtok(NULL, "\n")) {
            json_error_t error;
            json_t *event = json_loads(line, 0, &error);
            assert_non_null(event);
            const char *name = json_string_value(json_object_get(event, "event"));
            if (!strcmp(name, "start")) assert_int_equal(json_integer_value(json_object_get(event, "images_per_step")), 8);
            if (!strcmp(name, "step")) {
                assert_true(n < 8);
                assert_int_equal(json_integer_value(json_object_get(event, "step")), n + 1);
                loss[i][n] = json_real_value(json_object_get(json_object_get(event, "loss"), "student"));
                kl[i][n++] = json_real_value(json_object_get(json_object_get(event, "terms"), "student.kl"));
            }
            json_decref(event);
        }
        assert_int_equal(n, 8);
        free(logs[i]);
    }
    for (int k = 0; k < 8; k++) {
        assert_true(fabs(loss[0][k] - loss[1][k]) < 1e-4);
        assert_true(fabs(kl[0][k] - kl[1][k]) < 1e-4);
    }
}

/* ---- the run -------------------------------------------------------------------------------------------------------- */

static const char *const three[] = {"train.accumulate=3", "train.batch=2", "adm={}", "train.optimizer=adam", "train.lr=0.003", "train.ema=0.9", NULL};

/* 32 images: 5 steps of 6, the last 2 images of an epoch's order are left out. */
static void an_incomplete_group_at_the_end_of_an_epoch_is_left_out(void **state)
{
    (void)state;
    duet_error err;
    dt_run_result result;
    if (fixture_train(&files, &(fixture_run){.out = "three", .overrides = three}, &result, &err)) fail_msg("%s", err.message);
    assert_int_equal(result.epochs_done, 3);
    assert_int_equal(result.steps_done, 15);
}

static void a_run_of_such_steps_resumes_within_epochs_to_the_same_files(void **state)
{
    (void)state;
    fixture_train_ok(&files, &(fixture_run){.out = "threecut", .overrides = three, .max_steps = 3});
    const int status = fixture_child(&files, "threecut", true, 6, three);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_train_ok(&files, &(fixture_run){.out = "threecut", .overrides = three, .resume = true, .max_steps = 9});
    fixture_train_ok(&files, &(fixture_run){.out = "threecut", .overrides = three, .resume = true});
    fixture_same_runs(&files, "three", "threecut");
    fixture_same_bytes(&files, "three", "threecut", "student.ema.safetensors");
}

static void the_number_of_workers_changes_nothing(void **state)
{
    (void)state;
    const char *more[DT_COUNT(three) + 1] = {"data.workers=4"};
    memcpy(more + 1, three, sizeof three);
    fixture_train_ok(&files, &(fixture_run){.out = "threeworkers", .overrides = more});
    fixture_same_runs(&files, "three", "threeworkers");
}

static void keep_message(void *user, const char *text)
{
    if (strstr(text, "averaged")) snprintf(user, 200, "%s", text);
}

static void the_head_of_a_run_says_what_a_step_is(void **state)
{
    (void)state;
    char said[200] = "";
    fixture_train_ok(&files, &(fixture_run){.out = "said", .overrides = three, .max_steps = 1, .observer.log = {keep_message, said}});
    assert_string_equal(said, "each step: the gradients of 3 batches of 2 images, averaged: 6 images, 5 steps an epoch");
}

/* ---- what cannot be -------------------------------------------------------------------------------------------------- */

static void more_images_to_a_step_than_there_are_is_refused(void **state)
{
    (void)state;
    duet_error err;
    const char *const nine[] = {"train.accumulate=9", NULL};
    assert_int_equal(fixture_train(&files, &(fixture_run){.out = "nine", .overrides = nine}, NULL, &err), DUET_RECIPE);
    assert_non_null(strstr(err.message, "train.batch times train.accumulate: 36 is more than the 32 training images"));
    assert_false(fixture_exists(fixture_path(&files, "nine")));
}

static void a_method_that_decides_batch_by_batch_is_refused(void **state)
{
    (void)state;
    duet_error err;
    dt_recipe *r;
    const char *const overrides[] = {"method={name: switokd}", "train.accumulate=2"};
    assert_int_equal(dt_recipe_parse("fixture", fixture_recipe_text, strlen(fixture_recipe_text), overrides, DT_COUNT(overrides), &r, &err), DUET_RECIPE);
    assert_non_null(strstr(err.message, "train.accumulate: found 2 with method switokd"));
}

int main(int argc, char **argv)
{
    if (argc > 5 && !strcmp(argv[1], "child")) return fixture_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_batch_make_the_step_of_the_whole),
        cmocka_unit_test(the_log_has_a_line_for_each_step_with_means),
        cmocka_unit_test(an_incomplete_group_at_the_end_of_an_epoch_is_left_out),
        cmocka_unit_test(a_run_of_such_steps_resumes_within_epochs_to_the_same_files),
        cmocka_unit_test(the_number_of_workers_changes_nothing),
        cmocka_unit_test(the_head_of_a_run_says_what_a_step_is),
        cmocka_unit_test(more_images_to_a_step_than_there_are_is_refused),
        cmocka_unit_test(a_method_that_decides_batch_by_batch_is_refused),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
