/* A good recipe: defaults, every type read exactly, overrides, and text that comes back as it was written. */
#include "device/device.h"
#include "recipe/recipe.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define GOOD                                                                                                           \
    "data: {name: shapes}\n"                                                                                           \
    "networks:\n"                                                                                                      \
    "  - {name: teacher, model: resnet20, role: teacher}\n"                                                            \
    "  - {name: student, model: resnet8, role: student}\n"                                                             \
    "method: {name: dml}\n"

/* Parses, with up to four overrides; fails the test with the message. */
static dt_recipe *parse(const char *text, const char *const *overrides, size_t n)
{
    duet_error err = {0};
    dt_recipe *r = NULL;
    if (dt_recipe_parse("r.yaml", text, strlen(text), overrides, n, &r, &err)) fail_msg("%s", err.message);
    return r;
}

static dt_recipe *parse_plain(const char *text)
{
    return parse(text, NULL, 0);
}

static dt_recipe *parse_set(const char *text, const char *override)
{
    return parse(text, &override, 1);
}

static void assert_real(double got, double want)
{
    if (got != want) fail_msg("got %.17g, want %.17g", got, want); /* exactly: text to double is one rounding */
}

/* ---- defaults ------------------------------------------------------------------------------------------------- */

static void defaults_are_those_of_the_published_recipe(void **state)
{
    (void)state;
    dt_recipe *r = parse_plain(GOOD);
    assert_string_equal(r->data.name, "shapes");
    assert_null(r->data.path);
    assert_int_equal(r->data.augment, DT_AUGMENT_CROP_FLIP);
    assert_true(r->data.shuffle);
    assert_int_equal(r->data.views, 0);
    assert_int_equal(r->data.validation, 0);
    assert_int_equal(r->data.workers, 2);
    assert_int_equal(r->n_networks, 2);
    assert_string_equal(r->networks[1].name, "student");
    assert_string_equal(r->networks[1].model, "resnet8");
    assert_int_equal(r->networks[1].role, DT_ROLE_STUDENT);
    assert_null(r->networks[1].init);
    assert_real(r->networks[1].lr_scale, 1);
    assert_false(r->networks[1].frozen);
    assert_string_equal(r->task->name, "classify");
    assert_string_equal(r->method->name, "dml");
    assert_false(r->adm.enabled);
    assert_int_equal(r->train.epochs, 240);
    assert_int_equal(r->train.batch, 64);
    assert_int_equal(r->train.seed, 1);
    assert_real(r->train.lr, 0.05);
    assert_real(r->train.momentum, 0.9);
    assert_real(r->train.weight_decay, 5e-4);
    assert_real(r->train.label_smoothing, 0);
    assert_false(r->train.nesterov);
    assert_int_equal(r->train.schedule.name, DT_SCHEDULE_MULTISTEP);
    assert_int_equal(r->train.schedule.milestones.n, 3);
    assert_int_equal(r->train.schedule.milestones.at[0], 150);
    assert_int_equal(r->train.schedule.milestones.at[1], 180);
    assert_int_equal(r->train.schedule.milestones.at[2], 210);
    assert_real(r->train.schedule.gamma, 0.1);
    assert_int_equal(r->train.checkpoint_every, 1);
    assert_int_equal(r->train.evaluate_every, 1);
    assert_int_equal(r->train.log_every, 50);
    assert_string_equal(r->device.name, "cpu");
    assert_int_equal(r->device.threads, 0);
    assert_int_equal(r->device.precision, DT_RECIPE_F32);
    dt_recipe_destroy(r);
}

static void milestones_follow_the_number_of_epochs_unless_given(void **state)
{
    (void)state;
    dt_recipe *r = parse_set(GOOD, "train.epochs=30");
    const dt_ints *m = &r->train.schedule.milestones;
    assert_int_equal(m->n, 3);
    assert_int_equal(m->at[0], 19); /* 18.75, 22.5, 26.25, rounded up */
    assert_int_equal(m->at[1], 23);
    assert_int_equal(m->at[2], 27);
    dt_recipe_destroy(r);

    r = parse_set(GOOD, "train.schedule.milestones=[5, 9]");
    assert_int_equal(r->train.schedule.milestones.n, 2);
    assert_int_equal(r->train.schedule.milestones.at[1], 9);
    dt_recipe_destroy(r);

    r = parse_set(GOOD, "train.schedule.milestones=[]");
    assert_int_equal(r->train.schedule.milestones.n, 0);
    dt_recipe_destroy(r);
}

static void optimizers_start_from_pytorchs_defaults_unless_given(void **state)
{
    (void)state;
    dt_recipe *r = parse_plain(GOOD);
    assert_int_equal(r->train.optimizer, DT_SGD);
    assert_real(r->train.clip_norm, 0);
    assert_real(r->train.ema, 0);
    assert_int_equal(r->train.steps, 0);
    dt_recipe_destroy(r);
    r = parse_plain(GOOD "train: {optimizer: adam}\n");
    assert_int_equal(r->train.optimizer, DT_ADAM);
    assert_real(r->train.lr, 0.001);
    assert_real(r->train.beta1, 0.9);
    assert_real(r->train.beta2, 0.999);
    assert_real(r->train.eps, 1e-8);
    assert_real(r->train.weight_decay, 0);
    assert_real(r->train.momentum, 0);
    dt_recipe_destroy(r);
    r = parse_set(GOOD "train: {lr: 0.01, weight_decay: 0.02}\n", "train.optimizer=adamw");
    assert_int_equal(r->train.optimizer, DT_ADAMW);
    assert_real(r->train.lr, 0.01);
    assert_real(r->train.weight_decay, 0.02);
    dt_recipe_destroy(r);
    r = parse_plain(GOOD "train: {optimizer: adamw}\n");
    assert_real(r->train.weight_decay, 0.01);
    dt_recipe_destroy(r);
}

static void a_number_of_steps_takes_schedules_without_epochs(void **state)
{
    (void)state;
    dt_recipe *r = parse_plain(GOOD "train: {steps: 40000, schedule: {name: poly}}\n");
    assert_int_equal(r->train.steps, 40000);
    assert_int_equal(r->train.schedule.name, DT_SCHEDULE_POLY);
    assert_real(r->train.schedule.power, 0.9);
    dt_recipe_destroy(r);
    dt_recipe_destroy(parse_plain(GOOD "train: {steps: 40000, epochs: 3, schedule: {milestones: [50, 80]}}\n"));
}

static void views_follow_the_method_unless_given(void **state)
{
    (void)state;
    dt_recipe *r = parse_set(GOOD, "method.name=kdcl");
    assert_int_equal(r->data.views, 1);
    dt_recipe_destroy(r);
    const char *const both[] = {"method.name=kdcl", "data.views=shared"};
    r = parse(GOOD, both, 2);
    assert_int_equal(r->data.views, 0);
    dt_recipe_destroy(r);
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static void numbers_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"train.lr=5e-4", 5e-4}, {"train.lr=0.1", 0.1},
        {"train.lr=1", 1},       {"train.lr=.25", 0.25},
        {"train.lr=2.", 2},      {"train.lr=+1", 1},
        {"train.lr=-0", 0},      {"train.lr=1E+1", 10},
        {"train.lr=1e-400", 0},  {"train.lr=0.1000000000000000055511151231257827", 0.1},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_recipe *r = parse_set(GOOD, cases[i].text);
        assert_real(r->train.lr, cases[i].value);
        dt_recipe_destroy(r);
    }
    dt_recipe *r = parse_set(GOOD, "train.seed=9007199254740991");
    assert_true(r->train.seed == 9007199254740991);
    dt_recipe_destroy(r);
}

static void the_locale_does_not_decide_what_a_point_is(void **state)
{
    (void)state;
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < DT_COUNT(commas) && !found; i++) found = setlocale(LC_ALL, commas[i]) != NULL;
    if (!found) skip(); /* no such locale is installed here */
    dt_recipe *r = parse_set(GOOD, "train.lr=0.25");
    assert_real(r->train.lr, 0.25);
    dt_recipe_destroy(r);
    setlocale(LC_ALL, "C");
}

static void adm_is_on_with_a_map_or_the_word_on(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool on;
    } cases[] = {
        {GOOD, false},
        {GOOD "adm: on\n", true},
        {GOOD "adm: true\n", true},
        {GOOD "adm: off\n", false},
        {GOOD "adm: false\n", false},
        {GOOD "adm: {}\n", true},
        {GOOD "adm: {alpha: 0.5}\n", true},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_recipe *r = parse_plain(cases[i].text);
        assert_int_equal(r->adm.enabled, cases[i].on);
        dt_recipe_destroy(r);
    }
    dt_recipe *r = parse_set(GOOD "adm: off\n", "adm.beta=0.25");
    assert_true(r->adm.enabled);
    assert_real(r->adm.beta, 0.25);
    dt_recipe_destroy(r);
    r = parse_set(GOOD "adm: {alpha: 2}\n", "adm=off");
    assert_false(r->adm.enabled);
    dt_recipe_destroy(r);
}

/* ---- overrides ------------------------------------------------------------------------------------------------ */

static void overrides_reach_networks_by_position_and_by_name(void **state)
{
    (void)state;
    const char *const set[] = {"networks.0.model=resnet56", "networks.student.model=resnet32",
                               "networks.student.init=w.safetensors", "networks.0.lr_scale=0.5"};
    dt_recipe *r = parse(GOOD, set, 4);
    assert_string_equal(r->networks[0].model, "resnet56");
    assert_real(r->networks[0].lr_scale, 0.5);
    assert_string_equal(r->networks[0].name, "teacher");
    assert_string_equal(r->networks[1].model, "resnet32");
    assert_string_equal(r->networks[1].init, "w.safetensors");
    dt_recipe_destroy(r);

    r = parse_set(GOOD, "networks=[{name: only, model: resnet8}, {name: other, model: resnet8}]");
    assert_string_equal(r->networks[0].name, "only");
    dt_recipe_destroy(r);
}

static void later_overrides_win_and_maps_are_merged(void **state)
{
    (void)state;
    const char *const set[] = {"train.lr=0.1", "train={epochs: 3, lr: 0.2}", "train.batch=32"};
    dt_recipe *r = parse(GOOD "train: {seed: 7}\n", set, 3);
    assert_real(r->train.lr, 0.2);
    assert_int_equal(r->train.epochs, 3);
    assert_int_equal(r->train.batch, 32);
    assert_int_equal(r->train.seed, 7);
    dt_recipe_destroy(r);
}

static void another_method_drops_the_options_of_the_old_one(void **state)
{
    (void)state;
    static const char text[] = "data: {name: shapes}\nnetworks: [{name: a, model: resnet8}, {name: b, model: "
                               "resnet8}]\nmethod: {name: dml, peers: sum}\n";
    dt_recipe *r = parse_set(text, "method.name=kdcl");
    assert_string_equal(r->method->name, "kdcl");
    dt_recipe_destroy(r);
    duet_error err = {0};
    r = NULL;
    const char *const set[] = {"method.peers=sum", "method.name=kdcl", "method.peers=sum"};
    assert_int_equal(dt_recipe_parse("r.yaml", text, strlen(text), set, 3, &r, &err), DUET_RECIPE);
    assert_non_null(strstr(err.message, "method.peers"));
}

static void text_may_be_anything_printable(void **state)
{
    (void)state;
    dt_recipe *r = parse_set(GOOD, "data.path=/home/Zo\xc3\xab/my data/it's \"here\"\\x");
    assert_string_equal(r->data.path, "/home/Zo\xc3\xab/my data/it's \"here\"\\x");
    dt_recipe_destroy(r);
    r = parse_set(GOOD, "data.path=");
    assert_null(r->data.path);
    dt_recipe_destroy(r);
    r = parse_set(GOOD, "data.path='007'");
    assert_string_equal(r->data.path, "007");
    dt_recipe_destroy(r);
}

/* ---- written and read again ----------------------------------------------------------------------------------- */

static void written_text_reads_back_to_itself(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "adm=on",
        "adm.tau=0.30000000000000004",
        "train.lr=0.1",
        "train.weight_decay=1e-300",
        "train.seed=9007199254740991",
        "data.path='a: b #c'",
        "data.path=\"off\"",
        "data.path=\"\\\"\\\\\"",
        "data.path=\xe2\x82\xac",
        "data.path='-1'",
        "data.path=/abs/path_1.tar.gz",
        "method.name=kdcl",
        "method.name=switokd",
        "method={name: kdcl, target: mean}",
        "train.schedule.milestones=[]",
        "train.schedule.milestones=[1, 1, 240]",
        "train.epochs=1",
        "networks.0.init=a b.safetensors",
        "networks.1.lr_scale=0.333",
        "task={class_weights: balanced}",
        "task={class_weights: [0, 1, 2.5, 1e-7]}",
        "train.accumulate=8",
        "networks.0.layers={conv1: frozen, layer1.0: 0.1, \"true\": 1e-7}",
        "train.schedule={name: cosine, warmup_epochs: 2.5}",
        "data.augment=none",
        "data.shuffle=false",
        "train.optimizer=adam",
        "train={optimizer: adamw, clip_norm: 1, ema: 0.9999, beta2: 0.99}",
        "train={steps: 1000, schedule: {name: poly, power: 1}}",
    };
    for (size_t i = 0; i < DT_COUNT(sets); i++) {
        dt_recipe *r = parse_set(GOOD, sets[i]);
        dt_text first = {0}, second = {0};
        dt_recipe_write(r, &first);
        assert_true(dt_text_ok(&first));
        dt_recipe *again = parse_plain(first.bytes);
        dt_recipe_write(again, &second);
        assert_string_equal(first.bytes, second.bytes);
        if (strncmp(sets[i], "adm.tau", 7) == 0) assert_real(again->adm.tau, 0.30000000000000004);
        if (r->data.path) assert_string_equal(again->data.path, r->data.path);
        assert_int_equal(again->data.views, r->data.views);
        dt_text_release(&first);
        dt_text_release(&second);
        dt_recipe_destroy(r);
        dt_recipe_destroy(again);
    }
}

/* As many numbers as a data set has classes; a list may stand in a file of its own, which the recipe extends. */
static void weights_of_a_thousand_classes_come_back_exactly(void **state)
{
    (void)state;
    enum { CLASSES = 1000 };
    dt_text text = {0}, first = {0}, second = {0};
    dt_text_append(&text, GOOD "task:\n  class_weights:\n");
    for (int c = 0; c < CLASSES; c++) dt_text_append(&text, "    - %.17g\n", 1.0 / (c + 3));
    dt_recipe *r = parse_plain(text.bytes);
    dt_recipe_write(r, &first);
    dt_recipe *again = parse_plain(first.bytes);
    dt_recipe_write(again, &second);
    assert_string_equal(first.bytes, second.bytes);
    assert_int_equal(again->task_config.class_weights.word, DT_CLASS_WEIGHTS_LIST);
    assert_int_equal(again->task_config.class_weights.n, CLASSES);
    for (int c = 0; c < CLASSES; c++) assert_real(again->task_config.class_weights.at[c], 1.0 / (c + 3));
    dt_text_release(&text);
    dt_text_release(&first);
    dt_text_release(&second);
    dt_recipe_destroy(r);
    dt_recipe_destroy(again);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static void memory_that_runs_out_is_an_error_and_no_leak(void **state)
{
    (void)state;
    static const char text[] = GOOD "adm: {alpha: 2}\ntrain: {schedule: {milestones: [1, 2]}}\n";
    static const char *const set[] = {"train.lr=0.2"};
    duet_status status = DUET_MEMORY;
    long k = 0;
    for (; status && k < 10000; k++) {
        duet_error err = {0};
        dt_recipe *r = NULL;
        dt_alloc_fail_at(k + 1);
        status = dt_recipe_parse("r.yaml", text, strlen(text), set, 1, &r, &err);
        dt_alloc_fail_at(0);
        if (status && status != DUET_MEMORY)
            fail_msg("allocation %ld: status %s: %s", k + 1, duet_status_name(status), err.message);
        if (status) assert_null(r);
        dt_recipe_destroy(r);
    }
    assert_int_equal(status, DUET_OK);
    assert_true(k > 2); /* something did fail on the way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_published_recipe),
        cmocka_unit_test(milestones_follow_the_number_of_epochs_unless_given),
        cmocka_unit_test(optimizers_start_from_pytorchs_defaults_unless_given),
        cmocka_unit_test(a_number_of_steps_takes_schedules_without_epochs),
        cmocka_unit_test(views_follow_the_method_unless_given),
        cmocka_unit_test(numbers_are_read_exactly),
        cmocka_unit_test(the_locale_does_not_decide_what_a_point_is),
        cmocka_unit_test(adm_is_on_with_a_map_or_the_word_on),
        cmocka_unit_test(overrides_reach_networks_by_position_and_by_name),
        cmocka_unit_test(later_overrides_win_and_maps_are_merged),
        cmocka_unit_test(another_method_drops_the_options_of_the_old_one),
        cmocka_unit_test(text_may_be_anything_printable),
        cmocka_unit_test(written_text_reads_back_to_itself),
        cmocka_unit_test(weights_of_a_thousand_classes_come_back_exactly),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
