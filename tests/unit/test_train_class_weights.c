/* Weights of classes in a run: balanced by the images that are learned from, what is said of them, what is refused. */
#include "train_fixture.h"

#include <math.h>

/* ---- a data set whose classes differ in size ------------------------------------------------------------------------ */

enum { CLASSES = 3, TRAIN = 36, TEST = 6, HELD = 8 };
static const char *const names[CLASSES] = {"ant", "bee", "cow"};

/* 24 ants, 8 bees, 4 cows; `lonely`: no cows. */
static int32_t label_of(size_t i) { return i < 24 ? 0 : i < 32 ? 1 : 2; }
static int32_t own_label(const dt_source *s, dt_split split, size_t index)
{
    (void)s;
    return split == DT_SPLIT_TRAIN ? label_of(index) : (int32_t)(index % CLASSES);
}
static int32_t lonely_label(const dt_source *s, dt_split split, size_t index)
{
    const int32_t label = own_label(s, split, index);
    return label == 2 ? 1 : label;
}

static duet_status read_own(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    (void)err;
    dt_rng r = dt_rng_make(3, DT_PURPOSE_TEST, (uint32_t)split, index);
    out->height = out->width = 32;
    out->label = own_label(s, split, index);
    for (size_t k = 0; k < 3 * 32 * 32; k++) out->pixels[k] = (uint8_t)(dt_rng_below(&r, 128) + 40 * (uint32_t)out->label);
    return DUET_OK;
}

static dt_source source_with(int32_t (*label)(const dt_source *s, dt_split split, size_t index))
{
    return (dt_source){.read = read_own,
                       .label = label,
                       .facts = {.name = "animals", .train_images = TRAIN, .test_images = TEST, .classes = CLASSES, .height = 32, .width = 32,
                                 .class_names = names, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}}};
}

static duet_status train(const dt_source *source, const char *out, const char *task, int64_t max_steps, dt_log_sink log, duet_error *err)
{
    const char *const overrides[] = {task, "train.epochs=2", "data.validation=8", NULL};
    dt_recipe *r = fixture_recipe(&files, overrides);
    dt_run_result result;
    const dt_run_options o = {.out = fixture_path(&files, out), .source = source, .resume = true, .max_steps = max_steps, .observer.log = log};
    const duet_status st = dt_train(r, &o, &result, err);
    dt_recipe_destroy(r);
    return st;
}

static void train_ok(const char *out, const char *task, int64_t max_steps)
{
    const dt_source source = source_with(own_label);
    duet_error err;
    if (train(&source, out, task, max_steps, (dt_log_sink){0}, &err)) fail_msg("%s: %s", out, err.message);
}

/* ---- balanced ------------------------------------------------------------------------------------------------------- */

/* n / (K n_c) of the images that are not held out, as a recipe's list. */
static void balanced_by_hand(char text[200])
{
    uint32_t rest[TRAIN - HELD], held[HELD];
    size_t counts[CLASSES] = {0};
    dt_split_validation(TRAIN, HELD, 1, rest, held);
    for (size_t i = 0; i < TRAIN - HELD; i++) counts[label_of(rest[i])]++;
    snprintf(text, 200, "task={class_weights: [%.17g, %.17g, %.17g]}", (TRAIN - HELD) / (3.0 * (double)counts[0]),
             (TRAIN - HELD) / (3.0 * (double)counts[1]), (TRAIN - HELD) / (3.0 * (double)counts[2]));
}

static void balanced_is_the_list_that_follows_from_the_images_left(void **state)
{
    (void)state;
    char list[200];
    balanced_by_hand(list);
    train_ok("balanced", "task={class_weights: balanced}", 0);
    train_ok("list", list, 0);
    train_ok("off", "task={class_weights: off}", 0);
    fixture_same_bytes(&files, "balanced", "list", "student.safetensors");
    char *a = fixture_metrics(&files, "balanced"), *b = fixture_metrics(&files, "list"), *c = fixture_metrics(&files, "off");
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    free(a), free(b), free(c);
}

static double first_loss(const char *out)
{
    char *log = fixture_log(&files, out);
    double loss = NAN;
    for (char *line = strtok(log, "\n"); line && isnan(loss); line = strtok(NULL, "\n")) {
        json_error_t error;
        json_t *event = json_loads(line, 0, &error);
        if (!strcmp(json_string_value(json_object_get(event, "event")), "step"))
            loss = json_real_value(json_object_get(json_object_get(event, "loss"), "student"));
        json_decref(event);
    }
    free(log);
    return loss;
}

static void equal_weights_change_nothing_and_others_do(void **state)
{
    (void)state;
    train_ok("sevens", "task={class_weights: [7, 7, 7]}", 1);
    assert_true(fabs(first_loss("sevens") - first_loss("off")) < 1e-5);
    assert_true(fabs(first_loss("list") - first_loss("off")) > 1e-3);
}

static void a_batch_of_weight_nothing_has_no_cross_entropy(void **state)
{
    (void)state;
    train_ok("cows", "task={class_weights: [0, 0, 1]}", 0); /* most batches of 4 have no cow: a division by 0 would stop the run */
}

static void a_run_with_weights_resumes_within_an_epoch_to_the_same_files(void **state)
{
    (void)state;
    train_ok("cut", "task={class_weights: balanced}", 3);
    train_ok("cut", "task={class_weights: balanced}", 0);
    fixture_same_runs(&files, "balanced", "cut");
}

/* ---- what is said --------------------------------------------------------------------------------------------------- */

static void keep_message(void *user, const char *text)
{
    if (strstr(text, "class weights")) snprintf(user, 200, "%s", text);
}

static void the_head_of_a_run_names_the_least_and_the_greatest(void **state)
{
    (void)state;
    const dt_source source = source_with(own_label);
    char said[200] = "";
    duet_error err;
    if (train(&source, "said", "task={class_weights: [0.25, 5, 1]}", 1, (dt_log_sink){keep_message, said}, &err)) fail_msg("%s", err.message);
    assert_string_equal(said, "class weights: 0.25 (ant) to 5 (bee)");
    char *log = fixture_log(&files, "said");
    assert_non_null(strstr(log, "\"class_weights\":{\"least\":0.25,\"most\":5"));
    free(log);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static void expect_refusal(const dt_source *source, const char *task, const char *piece, const char *other)
{
    duet_error err = {0};
    assert_int_equal(train(source, "refused", task, 0, (dt_log_sink){0}, &err), DUET_RECIPE);
    if (!strstr(err.message, piece) || !strstr(err.message, other)) fail_msg("%s", err.message);
    assert_false(fixture_exists(fixture_path(&files, "refused")));
}

static void weights_that_do_not_fit_the_data_are_refused_before_the_folder_is_made(void **state)
{
    (void)state;
    const dt_source own = source_with(own_label), lonely = source_with(lonely_label), silent = source_with(NULL);
    expect_refusal(&own, "task={class_weights: [1, 2]}", "task.class_weights: found 2 numbers", "animals has 3 classes");
    expect_refusal(&own, "task={class_weights: [1, 2, 3, 4]}", "found 4 numbers", "one for each");
    expect_refusal(&lonely, "task={class_weights: balanced}", "cow has no training images left beside data.validation", "give a list");
    expect_refusal(&silent, "task={class_weights: balanced}", "animals tells the class of an image only with the image", "give a list");
}

/* ---- who knows the classes ------------------------------------------------------------------------------------------- */

static void expect_labels(dt_source *s)
{
    static uint8_t pixels[3 * 32 * 32], mask[32 * 32];
    assert_non_null(s->label);
    for (int split = 0; split < 2; split++)
        for (size_t i = 0; i < (split ? s->facts.test_images : s->facts.train_images); i += 1 + i / 9) {
            dt_record r = {.pixels = pixels, .mask = s->facts.masks ? mask : NULL};
            duet_error err;
            if (s->read(s, (dt_split)split, i, &r, &err)) fail_msg("%s", err.message);
            assert_int_equal(s->label(s, (dt_split)split, i), r.label);
        }
    dt_source_close(s);
}

static void labels_are_those_of_the_records(void **state)
{
    (void)state;
    dt_source *s;
    duet_error err;
    if (dt_source_open("shapes", NULL, DT_DATA_SEED, NULL, &s, &err)) fail_msg("%s", err.message);
    expect_labels(s);
    if (dt_source_open("cifar100", files.data, 0, NULL, &s, &err)) fail_msg("%s", err.message);
    expect_labels(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balanced_is_the_list_that_follows_from_the_images_left), /* first: others compare with its runs */
        cmocka_unit_test(equal_weights_change_nothing_and_others_do),
        cmocka_unit_test(a_batch_of_weight_nothing_has_no_cross_entropy),
        cmocka_unit_test(a_run_with_weights_resumes_within_an_epoch_to_the_same_files),
        cmocka_unit_test(the_head_of_a_run_names_the_least_and_the_greatest),
        cmocka_unit_test(weights_that_do_not_fit_the_data_are_refused_before_the_folder_is_made),
        cmocka_unit_test(labels_are_those_of_the_records),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
