/* The rows of a recipe that say how pictures are cut and normalised. */
#include "recipe/recipe.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <string.h>

static const char text[] = "data: {name: shapes-seg, augment: flip}\n"
                           "networks: [{name: one, model: resnet8}]\nmethod: {name: vanilla}\n";

static duet_status parse(const char *const *set, size_t n, dt_recipe **out, duet_error *err)
{
    *out = NULL;
    return dt_recipe_parse("r.yaml", text, strlen(text), set, n, out, err);
}

static void crop_scale_and_normalise_have_defaults_that_do_nothing(void **state)
{
    (void)state;
    duet_error err = {0};
    dt_recipe *r;
    if (parse(NULL, 0, &r, &err)) fail_msg("%s", err.message);
    assert_int_equal(r->data.crop.n, 0);
    assert_int_equal(r->data.scale.n, 2);
    assert_int_equal(r->data.scale.at[0], 100);
    assert_int_equal(r->data.scale.at[1], 100);
    assert_int_equal(r->data.normalise, DT_NORMALISE_DATA);
    dt_recipe_destroy(r);
}

static void crop_scale_and_normalise_are_read_and_written(void **state)
{
    (void)state;
    const char *const set[] = {"data.crop=[512, 1024]", "data.scale=[50, 200]", "data.normalise=cirkd"};
    duet_error err = {0};
    dt_recipe *r;
    dt_text out = {0};
    if (parse(set, 3, &r, &err)) fail_msg("%s", err.message);
    assert_int_equal(r->data.crop.at[0], 512);
    assert_int_equal(r->data.crop.at[1], 1024);
    assert_int_equal(r->data.scale.at[0], 50);
    assert_int_equal(r->data.scale.at[1], 200);
    assert_int_equal(r->data.normalise, DT_NORMALISE_CIRKD);
    dt_recipe_write(r, &out);
    assert_non_null(strstr(out.bytes, "crop: [512, 1024]"));
    assert_non_null(strstr(out.bytes, "scale: [50, 200]"));
    assert_non_null(strstr(out.bytes, "normalise: cirkd"));
    dt_text_release(&out);
    dt_recipe_destroy(r);
}

static void expect_refusal(const char *set, const char *piece)
{
    duet_error err = {0};
    dt_recipe *r;
    assert_int_equal(parse(&set, 1, &r, &err), DUET_RECIPE);
    assert_null(r);
    if (!strstr(err.message, piece)) fail_msg("\"%s\" is not in: %s", piece, err.message);
}

static void what_cannot_be_cut_is_refused(void **state)
{
    (void)state;
    expect_refusal("data.crop=[512]", "data.crop: found 1 numbers; allowed: height and width");
    expect_refusal("data.crop=[0, 4]", "1 to 16384");
    expect_refusal("data.scale=[200, 50]", "data.scale: found the higher number first");
    expect_refusal("data.scale=[50]", "data.scale: found not two numbers");
    expect_refusal("data.scale=[50, 200]", "a scale without data.crop");
    expect_refusal("data.normalise=imagnet", "did you mean imagenet?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crop_scale_and_normalise_have_defaults_that_do_nothing),
        cmocka_unit_test(crop_scale_and_normalise_are_read_and_written),
        cmocka_unit_test(what_cannot_be_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
