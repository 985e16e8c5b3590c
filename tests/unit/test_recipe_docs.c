/* What is said about recipes is made from the option tables and complete; the two generated files are up to date.
 * DUET_UPDATE=1 in the environment writes docs/recipe.md and docs/recipe.schema.json instead of comparing them. */
#include "recipe/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void is_up_to_date(const char *path, void (*make)(dt_text *out))
{
    dt_text text = {0};
    duet_error err = {0};
    make(&text);
    assert_true(dt_text_ok(&text) && text.length > 1000);
    if (getenv("DUET_UPDATE")) {
        if (dt_file_replace(path, text.bytes, text.length, &err)) fail_msg("%s", err.message);
        dt_text_release(&text);
        return;
    }
    dt_view view;
    if (dt_view_open(path, &view, &err)) fail_msg("%s", err.message);
    bool same = view.n == text.length && memcmp(view.bytes, text.bytes, view.n) == 0;
    dt_view_close(&view);
    dt_text_release(&text);
    if (!same)
        fail_msg("%s is not what the option tables say; write it anew with DUET_UPDATE=1 test_recipe_docs", path);
}

static void the_page_is_up_to_date(void **state)
{
    (void)state;
    is_up_to_date(DUET_SOURCE_DIR "/docs/recipe.md", dt_recipe_markdown);
}

static void the_schema_is_up_to_date(void **state)
{
    (void)state;
    is_up_to_date(DUET_SOURCE_DIR "/docs/recipe.schema.json", dt_recipe_schema);
}

/* The value at "a.b.c" of nested JSON objects. */
static json_t *json_at(json_t *root, const char *path)
{
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
        root = json_object_get(root, part);
    if (!root) fail_msg("the schema has no %s", path);
    return root;
}

static void the_schema_says_types_ranges_and_defaults(void **state)
{
    (void)state;
    dt_text text = {0};
    dt_recipe_schema(&text);
    json_t *root = json_loads(text.bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_at(root, "$schema")), "https://json-schema.org/draft/2020-12/schema");
    assert_true(json_is_false(json_at(root, "additionalProperties")));
    json_t *epochs = json_at(root, "properties.train.properties.epochs");
    assert_string_equal(json_string_value(json_at(epochs, "type")), "integer");
    assert_int_equal(json_integer_value(json_at(epochs, "minimum")), 1);
    assert_int_equal(json_integer_value(json_at(epochs, "default")), 240);
    assert_true(json_number_value(json_at(root, "properties.train.properties.lr.default")) == 0.05);
    assert_int_equal(json_array_size(json_at(root, "properties.train.properties.schedule.properties.name.enum")), 5);
    assert_int_equal(json_array_size(json_at(root, "properties.networks.items.required")), 2);
    size_t methods = 0;
    while (dt_method_at(methods)) methods++;
    assert_int_equal(json_array_size(json_at(root, "properties.method.anyOf")), methods);
    assert_non_null(strstr(text.bytes, "\"crop_flip\""));
    json_decref(root);
    dt_text_release(&text);
}

static void help_names_every_section_and_every_option(void **state)
{
    (void)state;
    dt_text all = {0};
    assert_true(dt_recipe_help(NULL, &all));
    for (size_t i = 0; dt_recipe_section_at(i); i++) {
        dt_text one = {0};
        assert_true(dt_recipe_help(dt_recipe_section_at(i), &one));
        assert_non_null(strstr(all.bytes, dt_recipe_section_at(i)));
        assert_true(one.length > 40);
        dt_text_release(&one);
    }
    for (size_t i = 0; dt_method_at(i); i++)
        for (const dt_option *o = dt_method_at(i)->options; o && o->key; o++)
            if (!strstr(all.bytes, o->help)) {
                /* folded lines: look for the key and the start of the help instead */
                char start[24];
                snprintf(start, sizeof start, "%s", o->help);
                if (!strstr(all.bytes, o->key) || !strstr(all.bytes, start))
                    fail_msg("help lacks %s of %s", o->key, dt_method_at(i)->name);
            }
    dt_text_release(&all);

    dt_text none = {0};
    assert_false(dt_recipe_help("nothing", &none));
    assert_int_equal(none.length, 0);
    assert_true(dt_recipe_help("dml", &none));
    assert_non_null(strstr(none.bytes, "temperature"));
    dt_text_release(&none);
}

static void the_example_in_the_help_is_a_good_recipe(void **state)
{
    (void)state;
    dt_text page = {0};
    dt_recipe_markdown(&page);
    char *start = strstr(page.bytes, "```yaml\n"), *end = start ? strstr(start + 8, "```") : NULL;
    assert_non_null(end);
    duet_error err = {0};
    dt_recipe *r = NULL;
    if (dt_recipe_parse("example", start + 8, (size_t)(end - start - 8), NULL, 0, &r, &err))
        fail_msg("%s", err.message);
    dt_recipe_destroy(r);
    dt_text_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_up_to_date),
        cmocka_unit_test(the_schema_is_up_to_date),
        cmocka_unit_test(the_schema_says_types_ranges_and_defaults),
        cmocka_unit_test(help_names_every_section_and_every_option),
        cmocka_unit_test(the_example_in_the_help_is_a_good_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
