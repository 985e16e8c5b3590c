/* The public lists and objects that need no training: recipes, methods, models, data sets of the library and of the caller. */
#include "temporary.h"

#include <duet/data.h>
#include <duet/method.h>
#include <duet/network.h>
#include <duet/recipe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char recipe_text[] =
    "data: {name: shapes}\n"
    "networks:\n"
    "  - {name: big, model: resnet14, role: teacher}\n"
    "  - {name: small, model: resnet8, role: student}\n"
    "method: {name: dml}\n";

static void a_recipe_says_what_it_trains(void **state)
{
    (void)state;
    const char *overrides[] = {"adm=on", "networks.small.model=resnet20"};
    duet_recipe *r;
    duet_error err;
    assert_int_equal(duet_recipe_parse("t", recipe_text, strlen(recipe_text), overrides, 2, &r, &err), DUET_OK);
    assert_int_equal(duet_recipe_networks(r), 2);
    assert_string_equal(duet_recipe_network_name(r, 0), "big");
    assert_string_equal(duet_recipe_network_role(r, 0), "teacher");
    assert_string_equal(duet_recipe_network_model(r, 1), "resnet20");
    assert_null(duet_recipe_network_name(r, 2));
    assert_null(duet_recipe_network_model(r, 2));
    assert_null(duet_recipe_network_role(r, 2));
    assert_string_equal(duet_recipe_method(r), "dml");
    assert_true(duet_recipe_has_adm(r));
    assert_string_equal(duet_recipe_data_name(r), "shapes");
    assert_null(duet_recipe_data_path(r));
    assert_int_equal(duet_recipe_set_data_path(r, "/some where", &err), DUET_OK);
    assert_string_equal(duet_recipe_data_path(r), "/some where");
    duet_recipe_destroy(r);
    duet_recipe_destroy(NULL);
}

static void a_resolved_recipe_reads_back_to_the_same_text(void **state)
{
    (void)state;
    duet_recipe *r;
    duet_error err;
    char *once, *twice;
    assert_int_equal(duet_recipe_parse("t", recipe_text, strlen(recipe_text), NULL, 0, &r, &err), DUET_OK);
    assert_int_equal(duet_recipe_resolved(r, &once, &err), DUET_OK);
    duet_recipe_destroy(r);
    assert_int_equal(duet_recipe_parse("t", once, strlen(once), NULL, 0, &r, &err), DUET_OK);
    assert_int_equal(duet_recipe_resolved(r, &twice, &err), DUET_OK);
    assert_string_equal(once, twice);
    duet_recipe_destroy(r);
    duet_text_free(once);
    duet_text_free(twice);
    duet_text_free(NULL);
}

static void mistakes_come_back_as_errors(void **state)
{
    (void)state;
    duet_recipe *r = NULL;
    duet_error err;
    char *text = NULL;
    assert_int_equal(duet_recipe_parse("t.yaml", "wibble: 1\n", 10, NULL, 0, &r, &err), DUET_RECIPE);
    assert_non_null(strstr(err.message, "t.yaml:1:1"));
    assert_int_equal(duet_recipe_parse("t.yaml", "wibble: 1\n", 10, NULL, 0, &r, NULL), DUET_RECIPE);
    assert_null(r);
    assert_int_equal(duet_recipe_help("trian", &text, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "did you mean 'train'?"));
    assert_null(text);
}

static void help_and_schema_are_there(void **state)
{
    (void)state;
    duet_error err;
    char *text;
    size_t sections = 0;
    for (; duet_recipe_section(sections); sections++) {
        assert_int_equal(duet_recipe_help(duet_recipe_section(sections), &text, &err), DUET_OK);
        assert_true(strlen(text) > 20);
        duet_text_free(text);
    }
    assert_true(sections >= 6);
    assert_int_equal(duet_recipe_schema(&text, &err), DUET_OK);
    assert_non_null(strstr(text, "$schema"));
    duet_text_free(text);
}

static void methods_have_options_and_adm_stands_at_the_end(void **state)
{
    (void)state;
    duet_method m;
    duet_option o;
    duet_error err;
    size_t n = 0;
    int companions = 0;
    for (; duet_method_at(n, &m); n++) {
        assert_true(*m.name && *m.help && m.min_networks >= 1 && m.max_networks >= m.min_networks);
        companions += m.companion;
        for (size_t i = 0; duet_method_option_at(m.name, i, &o); i++) assert_true(*o.key && *o.help);
    }
    assert_true(n >= 6);
    assert_int_equal(companions, 1);
    assert_string_equal(m.name, "adm");
    assert_int_equal(duet_method_find("kdcl", &m, &err), DUET_OK);
    assert_true(duet_method_option_at("kdcl", 0, &o));
    assert_string_equal(o.key, "target");
    assert_int_equal(o.type, DUET_OPTION_CHOICE);
    assert_non_null(strstr(o.choices, "minlogit"));
    assert_false(duet_method_option_at("none", 0, &o));
    assert_int_equal(duet_method_find("dlm", &m, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "dml"));
}

static void models_are_measured(void **state)
{
    (void)state;
    duet_model m;
    duet_error err;
    assert_true(duet_model_count() >= 13);
    assert_int_equal(duet_model_at(0, 100, &m, &err), DUET_OK);
    assert_string_equal(m.name, "resnet8");
    assert_int_equal(m.parameters, 83892);
    assert_int_equal(m.buffers, 681);
    assert_true(m.n_taps >= 4);
    assert_int_equal(duet_model_at(duet_model_count(), 100, &m, &err), DUET_ARG);
    assert_int_equal(duet_model_at(0, SIZE_MAX, &m, &err), DUET_ARG);
    assert_int_equal(duet_model_at(0, 10, &m, &err), DUET_OK);
    assert_int_equal(m.classes, 10);
    assert_int_equal(m.parameters, 83892 - 90 * 65);
    assert_string_equal(m.task, "classify");
    size_t found = 0;
    for (size_t i = 0; i < duet_model_count(); i++) {
        assert_int_equal(duet_model_at(i, 0, &m, &err), DUET_OK); /* for its own number of classes */
        if (!strcmp(m.name, "resnet8") && m.classes == 100 && m.image_width == 32) found++;
        if (!strcmp(m.name, "pspnet_resnet18") && m.classes == 19 && m.image == 512 && m.image_width == 1024 && !strcmp(m.task, "segment")) found++;
        if (!strcmp(m.name, "unet_c8") && m.classes == 0 && !strcmp(m.task, "denoise")) found++;
    }
    assert_int_equal(found, 3);
}

/* ---- data --------------------------------------------------------------------------------------------------- */

static void built_in_data_is_listed_and_read(void **state)
{
    (void)state;
    duet_data_kind kind;
    duet_data *data;
    duet_data_info info;
    duet_error err;
    size_t n = 0;
    while (duet_data_kind_at(n, &kind)) n++;
    assert_true(n >= 3);
    assert_int_equal(duet_data_open("shapes", NULL, NULL, &data, &err), DUET_OK);
    duet_data_describe(data, &info);
    assert_int_equal(info.classes, 20);
    assert_true(info.masks);
    uint8_t pixels[32 * 32 * 3], again[32 * 32 * 3], mask[32 * 32];
    int32_t label = -1, label_again = -1;
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, 5, pixels, &label, mask, &err), DUET_OK);
    assert_in_range(label, 0, 19);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, 5, again, NULL, NULL, &err), DUET_OK);
    assert_memory_equal(pixels, again, sizeof pixels);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, 5, NULL, &label_again, NULL, &err), DUET_OK);
    assert_int_equal(label, label_again);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, info.test_images, pixels, &label, mask, &err), DUET_ARG);
    duet_data_close(data);
    duet_data_close(NULL);
    assert_int_equal(duet_data_open("shapse", NULL, NULL, &data, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "shapes"));
}

static void read_numbers(void *user, duet_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    (void)user;
    memset(pixels, (int)(index + (split == DUET_SPLIT_TEST ? 100 : 0)), 4 * 5 * 3);
    *label = (int32_t)(index % 3);
    if (mask) memset(mask, 1, 4 * 5);
}

static void count_close(void *user)
{
    ++*(int *)user;
}

static duet_data_source numbers(int *closed)
{
    static const char *const names[] = {"zero", "one", "two"};
    return (duet_data_source){.info = {.name = "numbers", .train_images = 7, .test_images = 4, .classes = 3, .height = 4, .width = 5,
                                       .masks = 1, .std = {1, 1, 1}, .class_names = names},
                              .read = read_numbers, .close = count_close, .user = closed};
}

static void data_of_the_caller_is_read_through_his_function(void **state)
{
    (void)state;
    int closed = 0;
    const duet_data_source source = numbers(&closed);
    duet_data *data;
    duet_data_info info;
    duet_error err;
    uint8_t pixels[60], mask[20];
    int32_t label;
    assert_int_equal(duet_data_create(&source, &data, &err), DUET_OK);
    duet_data_describe(data, &info);
    assert_string_equal(info.name, "numbers");
    assert_string_equal(info.class_names[2], "two");
    assert_ptr_not_equal(info.class_names, source.info.class_names);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, 2, pixels, &label, mask, &err), DUET_OK);
    assert_int_equal(pixels[59], 102);
    assert_int_equal(label, 2);
    assert_int_equal(mask[19], 1);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TRAIN, 7, pixels, &label, mask, &err), DUET_ARG);
    duet_data_close(data);
    assert_int_equal(closed, 1);
}

static void data_that_cannot_be_is_refused(void **state)
{
    (void)state;
    int closed = 0;
    duet_data *data = NULL;
    duet_error err;
    duet_data_source bad[7];
    for (size_t i = 0; i < 7; i++) bad[i] = numbers(&closed);
    bad[0].read = NULL;
    bad[1].info.name = "a b";
    bad[2].info.name = NULL;
    bad[3].info.classes = 1;
    bad[4].info.height = 0;
    bad[5].info.std[1] = 0;
    bad[6].info.train_images = bad[6].info.test_images = 0;
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(duet_data_create(&bad[i], &data, &err), DUET_ARG);
        assert_true(strlen(err.message) > 10);
    }
    assert_null(data);
    assert_int_equal(closed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recipe_says_what_it_trains),
        cmocka_unit_test(a_resolved_recipe_reads_back_to_the_same_text),
        cmocka_unit_test(mistakes_come_back_as_errors),
        cmocka_unit_test(help_and_schema_are_there),
        cmocka_unit_test(methods_have_options_and_adm_stands_at_the_end),
        cmocka_unit_test(models_are_measured),
        cmocka_unit_test(built_in_data_is_listed_and_read),
        cmocka_unit_test(data_of_the_caller_is_read_through_his_function),
        cmocka_unit_test(data_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
