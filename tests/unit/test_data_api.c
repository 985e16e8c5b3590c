/* <duet/data.h> where pixels have classes: built-in data and the caller's own. */
#include <duet/data.h>

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>
#include <string.h>

enum { SIDE = 64, PLACES = SIDE * SIDE };

static void classes_of_pixels_are_described_and_read(void **state)
{
    (void)state;
    static uint8_t pixels[PLACES * 3], again[PLACES * 3], mask[PLACES], labels[PLACES];
    duet_error err;
    duet_data *data;
    duet_data_info info;
    size_t h = 0, w = 0, seen[256] = {0};
    int32_t label = -1;
    assert_int_equal(duet_data_open("shapes-seg", NULL, NULL, &data, &err), DUET_OK);
    duet_data_describe(data, &info);
    assert_true(info.pixel_labels && info.masks && !info.mixed_sizes && info.colours);
    assert_int_equal(info.classes, 11);
    assert_int_equal(duet_data_size(data, DUET_SPLIT_TEST, 3, &h, &w, &err), DUET_OK);
    assert_true(h == SIDE && w == SIDE);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, 3, pixels, &label, mask, &err), DUET_OK);
    assert_int_equal(label, 0);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, 3, again, NULL, NULL, &err), DUET_OK);
    assert_memory_equal(pixels, again, sizeof pixels);
    assert_int_equal(duet_data_read_pixel_labels(data, DUET_SPLIT_TEST, 3, labels, &err), DUET_OK);
    for (size_t i = 0; i < PLACES; i++) {
        assert_true(labels[i] < info.classes || labels[i] == DUET_IGNORED);
        if (labels[i] != DUET_IGNORED) assert_int_equal(mask[i], labels[i] != 0);
        seen[labels[i]]++;
    }
    assert_true(seen[0] && seen[DUET_IGNORED] && seen[0] + seen[DUET_IGNORED] < PLACES);
    assert_int_equal(duet_data_size(data, DUET_SPLIT_TEST, 500, &h, &w, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "there is no test picture 500; there are 500"));
    assert_int_equal(duet_data_read_pixel_labels(data, DUET_SPLIT_TEST, 500, labels, &err), DUET_ARG);
    duet_data_close(data);
}

static void a_picture_with_one_class_has_none_for_its_pixels(void **state)
{
    (void)state;
    uint8_t labels[32 * 32];
    duet_error err;
    duet_data *data;
    duet_data_info info;
    assert_int_equal(duet_data_open("shapes-plain", NULL, NULL, &data, &err), DUET_OK);
    duet_data_describe(data, &info);
    assert_false(info.pixel_labels);
    assert_int_equal(duet_data_read_pixel_labels(data, DUET_SPLIT_TRAIN, 0, labels, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "its pixels have no classes"));
    duet_data_close(data);
}

/* ---- the caller's ------------------------------------------------------------------------------------------------ */

static void read_stripes(void *user, duet_split split, size_t index, uint8_t *pixels, uint8_t *labels, uint8_t *mask)
{
    (void)user, (void)split, (void)mask;
    memset(pixels, (int)index, 2 * 3 * 3);
    for (size_t i = 0; labels && i < 6; i++) labels[i] = i == 5 ? DUET_IGNORED : (uint8_t)(i % 3);
}

static duet_data_source stripes(void)
{
    static const uint8_t colours[3][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
    return (duet_data_source){
        .info = {.name = "stripes", .train_images = 3, .classes = 3, .height = 2, .width = 3, .std = {1, 1, 1}, .pixel_labels = 1, .colours = colours},
        .read_pixels = read_stripes};
}

static void the_callers_own_pixels_have_classes_too(void **state)
{
    (void)state;
    const duet_data_source source = stripes();
    duet_error err;
    duet_data *data;
    duet_data_info info;
    uint8_t pixels[18], labels[6], want[6] = {0, 1, 2, 0, 1, DUET_IGNORED};
    assert_int_equal(duet_data_create(&source, &data, &err), DUET_OK);
    duet_data_describe(data, &info);
    assert_true(info.pixel_labels);
    assert_ptr_not_equal(info.colours, source.info.colours);
    assert_int_equal(info.colours[2][1], 8);
    assert_int_equal(duet_data_read(data, DUET_SPLIT_TRAIN, 2, pixels, NULL, NULL, &err), DUET_OK);
    assert_int_equal(pixels[17], 2);
    assert_int_equal(duet_data_read_pixel_labels(data, DUET_SPLIT_TRAIN, 2, labels, &err), DUET_OK);
    assert_memory_equal(labels, want, sizeof want);
    duet_data_close(data);
}

static void expect_refusal(duet_data_source source, const char *piece)
{
    duet_error err;
    duet_data *data = NULL;
    assert_int_equal(duet_data_create(&source, &data, &err), DUET_ARG);
    assert_null(data);
    if (!strstr(err.message, piece)) fail_msg("\"%s\" is not in: %s", piece, err.message);
}

static void own_pixels_that_cannot_be_are_refused(void **state)
{
    (void)state;
    duet_data_source s = stripes();
    s.read_pixels = NULL;
    expect_refusal(s, "read_pixels");
    s = stripes();
    s.info.classes = 256;
    expect_refusal(s, "256 classes of pixels; at most 255");
    s = stripes();
    s.info.mixed_sizes = 1;
    expect_refusal(s, "pictures of one size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_of_pixels_are_described_and_read),
        cmocka_unit_test(a_picture_with_one_class_has_none_for_its_pixels),
        cmocka_unit_test(the_callers_own_pixels_have_classes_too),
        cmocka_unit_test(own_pixels_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
