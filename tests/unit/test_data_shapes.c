/* The pictures of `shapes`: frozen bytes, balanced classes, sane masks, and no class that its colours give away. */
#include "data/data.h"
#include "data/data_impl.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = DT_SHAPES_SIDE,
    PLACES = SIDE * SIDE,
    BYTES = 3 * PLACES,
    TRAIN = DT_SHAPES_TRAIN,
    IMAGES = TRAIN + DT_SHAPES_TEST,
    CLASSES = DT_SHAPES_CLASSES
};

/* SHA-256 of all pixels, then all masks, then all labels as bytes, of seed DT_SHAPES_SEED. If a change makes this
 * test fail, the change is wrong: results that people have published were measured on these bytes. */
static const char frozen[] = "336520c25fbb7b593e8d5aaff1ced7faff5e869d1fe6ac4218391b781e477593";

static uint8_t *pixels, *masks;
static uint8_t labels[IMAGES];

static int draw_all(void **state)
{
    (void)state;
    pixels = malloc((size_t)IMAGES * (BYTES + PLACES) + IMAGES);
    if (!pixels) return -1;
    masks = pixels + (size_t)IMAGES * BYTES;
    for (size_t i = 0; i < IMAGES; i++) {
        int32_t label;
        dt_shapes_draw(DT_SHAPES_SEED, i, pixels + i * BYTES, &label, masks + i * PLACES);
        labels[i] = (uint8_t)label;
    }
    memcpy(masks + (size_t)IMAGES * PLACES, labels, IMAGES);
    return 0;
}

static int forget_all(void **state)
{
    (void)state;
    free(pixels);
    return 0;
}

static void the_bytes_are_frozen(void **state)
{
    (void)state;
    char hex[65];
    dt_sha256(pixels, (size_t)IMAGES * (BYTES + PLACES) + IMAGES, hex);
    assert_string_equal(hex, frozen);
}

static void a_picture_depends_on_its_seed_and_index_alone(void **state)
{
    (void)state;
    uint8_t again[BYTES], mask[PLACES];
    int32_t label;
    for (size_t i = IMAGES; i-- > IMAGES - 50;) {
        dt_shapes_draw(DT_SHAPES_SEED, i, again, &label, mask);
        assert_memory_equal(again, pixels + i * BYTES, BYTES);
        assert_memory_equal(mask, masks + i * PLACES, PLACES);
        dt_shapes_draw(DT_SHAPES_SEED, i, again, &label, NULL); /* the mask is optional */
        assert_memory_equal(again, pixels + i * BYTES, BYTES);
        dt_shapes_draw(DT_SHAPES_SEED + 1, i, again, &label, NULL);
        assert_memory_not_equal(again, pixels + i * BYTES, BYTES);
        assert_int_equal(label, labels[i]);
    }
}

static void classes_are_balanced_in_both_splits(void **state)
{
    (void)state;
    size_t train[CLASSES] = {0}, test[CLASSES] = {0};
    for (size_t i = 0; i < IMAGES; i++) ++*(i < TRAIN ? &train[labels[i]] : &test[labels[i]]);
    for (size_t c = 0; c < CLASSES; c++) {
        assert_int_equal(train[c], TRAIN / CLASSES);
        assert_int_equal(test[c], DT_SHAPES_TEST / CLASSES);
    }
}

static void no_two_pictures_are_equal(void **state)
{
    (void)state;
    static uint64_t key[IMAGES];
    for (size_t i = 0; i < IMAGES; i++) {
        key[i] = 0;
        for (size_t k = 0; k < BYTES; k++) key[i] = key[i] * UINT64_C(6364136223846793005) + pixels[i * BYTES + k] + 1;
    }
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t j = 0; j < i; j++)
            if (key[i] == key[j]) fail_msg("pictures %zu and %zu", j, i);
}

/* Objects are one piece of a sensible size, and no class is larger than another. */
static void masks_cover_an_object_of_the_same_size_in_every_class(void **state)
{
    (void)state;
    double area[CLASSES] = {0};
    for (size_t i = 0; i < IMAGES; i++) {
        size_t n = 0;
        for (size_t p = 0; p < PLACES; p++) {
            uint8_t m = masks[i * PLACES + p];
            assert_true(m <= 1);
            n += m;
        }
        assert_in_range(n, PLACES * 7 / 100, PLACES * 27 / 100);
        area[labels[i]] += (double)n / PLACES / (IMAGES / CLASSES);
    }
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t d = 0; d < c; d++) assert_true(fabs(area[c] - area[d]) < 0.01);
}

/* The mask must lie where the object is: the object is brighter than the ground on average in every picture but a
 * few. */
static void masks_lie_on_the_object(void **state)
{
    (void)state;
    size_t brighter = 0;
    for (size_t i = 0; i < IMAGES; i++) {
        double sum[2] = {0}, n[2] = {0};
        for (size_t p = 0; p < PLACES; p++)
            for (size_t k = 0; k < 3; k++) {
                sum[masks[i * PLACES + p]] += pixels[i * BYTES + 3 * p + k];
                n[masks[i * PLACES + p]]++;
            }
        brighter += sum[1] / n[1] > sum[0] / n[0];
    }
    assert_true(brighter > IMAGES * 95 / 100);
}

/* ---- what must not help: colours and the border --------------------------------------------------------------- */

enum { FEATURES = 12 };

/* Mean and deviation of each channel, over the whole picture and over its border two pixels wide. */
static void features(const uint8_t *picture, double f[FEATURES])
{
    double sum[2][3] = {{0}}, squares[2][3] = {{0}}, n[2] = {0};
    for (size_t p = 0; p < PLACES; p++) {
        size_t x = p % SIDE, y = p / SIDE;
        bool border = x < 2 || y < 2 || x >= SIDE - 2 || y >= SIDE - 2;
        for (size_t where = 0; where <= border; where++) {
            n[where]++;
            for (size_t k = 0; k < 3; k++) {
                double v = picture[3 * p + k];
                sum[where][k] += v;
                squares[where][k] += v * v;
            }
        }
    }
    for (size_t where = 0; where < 2; where++)
        for (size_t k = 0; k < 3; k++) {
            double mean = sum[where][k] / n[where];
            f[where * 6 + k] = mean;
            f[where * 6 + 3 + k] = sqrt(fmax(0, squares[where][k] / n[where] - mean * mean));
        }
}

/* Nearest class mean, each feature in units of its deviation: how often is it right? Chance is 5 %. */
static void colours_and_border_do_not_give_the_class_away(void **state)
{
    (void)state;
    static double f[IMAGES][FEATURES], centre[CLASSES][FEATURES];
    double mean[FEATURES] = {0}, square[FEATURES] = {0}, scale[FEATURES];
    memset(centre, 0, sizeof centre);
    for (size_t i = 0; i < IMAGES; i++) {
        features(pixels + i * BYTES, f[i]);
        for (size_t k = 0; k < FEATURES && i < TRAIN; k++) {
            mean[k] += f[i][k] / TRAIN;
            square[k] += f[i][k] * f[i][k] / TRAIN;
            centre[labels[i]][k] += f[i][k] / (TRAIN / CLASSES);
        }
    }
    for (size_t k = 0; k < FEATURES; k++) scale[k] = 1 / sqrt(square[k] - mean[k] * mean[k]);
    size_t right = 0;
    for (size_t i = TRAIN; i < IMAGES; i++) {
        size_t best = 0;
        double least = HUGE_VAL;
        for (size_t c = 0; c < CLASSES; c++) {
            double d = 0;
            for (size_t k = 0; k < FEATURES; k++)
                d += (f[i][k] - centre[c][k]) * scale[k] * (f[i][k] - centre[c][k]) * scale[k];
            if (d < least) least = d, best = c;
        }
        right += best == labels[i];
    }
    print_message("nearest mean of colours: %.1f %% right (chance 5.0 %%)\n", 100.0 * (double)right / (IMAGES - TRAIN));
    assert_true(right < (IMAGES - TRAIN) * 8 / 100);
}

/* ---- the source ---------------------------------------------------------------------------------------------- */

static void the_source_hands_out_these_pictures(void **state)
{
    (void)state;
    duet_error err = {0};
    dt_source *s = NULL;
    if (dt_source_open("shapes", NULL, DT_SHAPES_SEED, NULL, &s, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->facts.train_images, TRAIN);
    assert_int_equal(s->facts.test_images, IMAGES - TRAIN);
    assert_int_equal(s->facts.classes, CLASSES);
    assert_true(s->facts.masks);
    assert_string_equal(s->facts.class_names[3], "checked ring");
    uint8_t got[BYTES], mask[PLACES];
    dt_record r = {.pixels = got, .mask = mask};
    for (size_t i = 0; i < IMAGES; i += 37) {
        assert_int_equal(s->read(s, i < TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST, i < TRAIN ? i : i - TRAIN, &r, &err), DUET_OK);
        assert_memory_equal(got, pixels + i * BYTES, BYTES);
        assert_memory_equal(mask, masks + i * PLACES, PLACES);
        assert_int_equal(r.label, labels[i]);
    }
    for (size_t k = 0; k < 3; k++) { /* the constants for normalisation are those of the training pictures */
        double sum = 0, squares = 0;
        for (size_t p = 0; p < (size_t)TRAIN * PLACES; p++) {
            double v = pixels[3 * p + k] / 255.0;
            sum += v;
            squares += v * v;
        }
        double mean = sum / TRAIN / PLACES, deviation = sqrt(squares / TRAIN / PLACES - mean * mean);
        print_message("channel %zu: mean %.4f deviation %.4f\n", k, mean, deviation);
        assert_true(fabs(mean - (double)s->facts.mean[k]) < 0.003);
        assert_true(fabs(deviation - (double)s->facts.std[k]) < 0.003);
    }
    dt_source_close(s);
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (long k = 1; k <= 4; k++) {
        duet_error err = {0};
        dt_source *s = NULL;
        dt_alloc_fail_at(k);
        assert_int_equal(dt_source_open("shapes", NULL, 1, NULL, &s, &err), DUET_MEMORY);
        dt_alloc_fail_at(0);
        assert_null(s);
    }
}

static void every_kind_is_listed_with_help(void **state)
{
    (void)state;
    size_t n = 0;
    for (const dt_source_kind *k; (k = dt_source_kind_at(n)); n++) {
        assert_true(k->name && k->help && k->open);
        assert_ptr_equal(dt_source_kind_find(k->name, NULL), k);
    }
    assert_true(n >= 5);
    assert_null(dt_source_kind_find("shape", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_frozen),
        cmocka_unit_test(a_picture_depends_on_its_seed_and_index_alone),
        cmocka_unit_test(classes_are_balanced_in_both_splits),
        cmocka_unit_test(no_two_pictures_are_equal),
        cmocka_unit_test(masks_cover_an_object_of_the_same_size_in_every_class),
        cmocka_unit_test(masks_lie_on_the_object),
        cmocka_unit_test(colours_and_border_do_not_give_the_class_away),
        cmocka_unit_test(the_source_hands_out_these_pictures),
        cmocka_unit_test(memory_running_out_is_an_error_and_leaks_nothing),
        cmocka_unit_test(every_kind_is_listed_with_help),
    };
    return cmocka_run_group_tests(tests, draw_all, forget_all);
}
