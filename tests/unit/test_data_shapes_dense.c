/* The pictures of `shapes-seg` and `shapes-plain`: frozen bytes, sane classes of pixels, rings, masks, flat colours. */
#include "data/data.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = DT_SHAPES_SEG_SIDE,
    PLACES = SIDE * SIDE,
    TRAIN = DT_SHAPES_SEG_TRAIN,
    IMAGES = TRAIN + DT_SHAPES_SEG_TEST,
    CLASSES = DT_SHAPES_SEG_CLASSES,
    PLAIN_PLACES = DT_SHAPES_PLAIN_SIDE * DT_SHAPES_PLAIN_SIDE,
    PLAIN_IMAGES = DT_SHAPES_PLAIN_TRAIN + DT_SHAPES_PLAIN_TEST
};

/* SHA-256 of all pixels, then all masks, then all classes (of pixels, or of pictures as bytes), of seed DT_SHAPES_SEED.
 * If a change makes this test fail, the change is wrong: results were measured on these bytes. */
static const char frozen_seg[] = "4aafc7e82c37824d0db212b70f2b0dad0dabcf0f2437c379dbed94b70f152936";
static const char frozen_plain[] = "06c3c234450fc4783559f80b0a8c7978416c0f7e99a5e870ef7484c74b88c193";

static uint8_t *pixels, *masks, *labels, *plain_pixels, *plain_masks, *plain_labels;

static int draw_all(void **state)
{
    (void)state;
    pixels = malloc((size_t)IMAGES * PLACES * 5);
    plain_pixels = malloc((size_t)PLAIN_IMAGES * (PLAIN_PLACES * 4 + 1));
    if (!pixels || !plain_pixels) return -1;
    masks = pixels + (size_t)IMAGES * PLACES * 3;
    labels = masks + (size_t)IMAGES * PLACES;
    for (size_t i = 0; i < IMAGES; i++)
        dt_shapes_seg_draw(DT_SHAPES_SEED, i, pixels + i * PLACES * 3, labels + i * PLACES, masks + i * PLACES);
    plain_masks = plain_pixels + (size_t)PLAIN_IMAGES * PLAIN_PLACES * 3;
    plain_labels = plain_masks + (size_t)PLAIN_IMAGES * PLAIN_PLACES;
    for (size_t i = 0; i < PLAIN_IMAGES; i++) {
        int32_t label;
        dt_shapes_plain_draw(DT_SHAPES_SEED, i, plain_pixels + i * PLAIN_PLACES * 3, &label,
                             plain_masks + i * PLAIN_PLACES);
        plain_labels[i] = (uint8_t)label;
    }
    return 0;
}

static int forget_all(void **state)
{
    (void)state;
    free(pixels);
    free(plain_pixels);
    return 0;
}

static void the_bytes_are_frozen(void **state)
{
    (void)state;
    char seg[65], plain[65];
    dt_sha256(pixels, (size_t)IMAGES * PLACES * 5, seg);
    dt_sha256(plain_pixels, (size_t)PLAIN_IMAGES * (PLAIN_PLACES * 4 + 1), plain);
    print_message("shapes-seg %s\nshapes-plain %s\n", seg, plain);
    assert_string_equal(seg, frozen_seg);
    assert_string_equal(plain, frozen_plain);
}

static void a_picture_depends_on_its_seed_and_index_alone(void **state)
{
    (void)state;
    static uint8_t again[PLACES * 3], l[PLACES], m[PLACES];
    for (size_t i = IMAGES; i-- > IMAGES - 20;) {
        dt_shapes_seg_draw(DT_SHAPES_SEED, i, again, l, m);
        assert_memory_equal(again, pixels + i * PLACES * 3, sizeof again);
        assert_memory_equal(l, labels + i * PLACES, PLACES);
        assert_memory_equal(m, masks + i * PLACES, PLACES);
        dt_shapes_seg_draw(DT_SHAPES_SEED + 1, i, again, l, m);
        assert_memory_not_equal(again, pixels + i * PLACES * 3, sizeof again);
        assert_memory_not_equal(l, labels + i * PLACES, PLACES);
    }
}

/* The ground has near 60 % of the pixels, and the ten outlines share the rest alike. */
static void classes_of_pixels_have_their_shares(void **state)
{
    (void)state;
    double share[256] = {0};
    for (size_t p = 0; p < (size_t)IMAGES * PLACES; p++) share[labels[p]] += 1.0 / ((double)IMAGES * PLACES);
    print_message("ground %.4f, ring %.4f, disc %.4f\n", share[0], share[DT_IGNORED], share[1]);
    assert_true(fabs(share[0] - 0.6) < 0.02);
    assert_true(share[DT_IGNORED] > 0.06 && share[DT_IGNORED] < 0.1);
    for (size_t c = 1; c < CLASSES; c++) assert_true(fabs(share[c] - share[1]) < 0.004);
    for (size_t c = CLASSES; c < DT_IGNORED; c++) assert_true(share[c] == 0);
}

static bool has_neighbour(const uint8_t *of, size_t p, int lowest)
{
    int x = (int)(p % SIDE), y = (int)(p / SIDE);
    for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < SIDE; v++)
        for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < SIDE; u++)
            if (of[v * SIDE + u] >= lowest && of[v * SIDE + u] != DT_IGNORED) return true;
    return false;
}

/* Ground and objects never touch: a ring lies between them; and every pixel of a ring touches an object. */
static void rings_lie_around_objects(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMAGES; i += 7) {
        const uint8_t *l = labels + i * PLACES, *m = masks + i * PLACES;
        for (size_t p = 0; p < PLACES; p++) {
            if (l[p] == 0) assert_true(!m[p] && !has_neighbour(l, p, 1));
            else if (l[p] == DT_IGNORED) assert_true(has_neighbour(m, p, 1));
            else assert_true(m[p]);
        }
    }
}

/* Objects are lighter than the ground on the average: masks lie on them. */
static void masks_lie_on_objects(void **state)
{
    (void)state;
    size_t brighter = 0, n_images = 0;
    for (size_t i = 0; i < IMAGES; i += 5, n_images++) {
        double sum[2] = {0}, n[2] = {0};
        for (size_t p = 0; p < PLACES; p++)
            for (size_t k = 0; k < 3; k++) {
                sum[masks[i * PLACES + p]] += pixels[(i * PLACES + p) * 3 + k];
                n[masks[i * PLACES + p]]++;
            }
        brighter += sum[1] / n[1] > sum[0] / n[0];
    }
    assert_true(brighter > n_images * 95 / 100);
}

static void plain_pictures_are_one_outline_in_a_flat_colour(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLAIN_IMAGES; i += 11) {
        const uint8_t *p = plain_pixels + i * PLAIN_PLACES * 3, *m = plain_masks + i * PLAIN_PLACES;
        size_t inside = 0, mixed = 0;
        const uint8_t *ground = NULL; /* a corner may be covered: the first pixel whose neighbourhood is not */
        assert_int_equal(plain_labels[i], i % 10);
        for (size_t q = 0; q < PLAIN_PLACES; q++) inside += m[q];
        for (size_t q = PLAIN_PLACES; q-- > PLAIN_PLACES - 32;)
            if (!m[q] && !m[q - 32]) ground = p + 3 * q;
        assert_non_null(ground);
        for (size_t q = 0; q < PLAIN_PLACES; q++) mixed += !m[q] && memcmp(p + 3 * q, ground, 3) != 0;
        assert_in_range(inside, PLAIN_PLACES * 6 / 100, PLAIN_PLACES * 28 / 100);
        assert_true(mixed < PLAIN_PLACES / 8); /* only along the outline */
    }
}

static void check_constants(const dt_data_facts *f, const uint8_t *bytes, size_t places)
{
    for (size_t k = 0; k < 3; k++) {
        double sum = 0, squares = 0;
        for (size_t p = 0; p < places; p++) {
            double v = bytes[3 * p + k] / 255.0;
            sum += v;
            squares += v * v;
        }
        double n = (double)places, mean = sum / n, deviation = sqrt(squares / n - mean * mean);
        print_message("%s, channel %zu: mean %.4f deviation %.4f\n", f->name, k, mean, deviation);
        assert_true(fabs(mean - (double)f->mean[k]) < 0.003);
        assert_true(fabs(deviation - (double)f->std[k]) < 0.003);
    }
}

static void the_sources_hand_out_these_pictures(void **state)
{
    (void)state;
    static uint8_t got[PLACES * 3], m[PLACES], l[PLACES];
    duet_error err = {0};
    dt_source *s = NULL;
    if (dt_source_open("shapes-seg", NULL, DT_SHAPES_SEED, NULL, &s, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->facts.labels, DT_LABELS_PIXELS);
    assert_string_equal(s->facts.class_names[2], "ring");
    assert_non_null(s->facts.colours);
    for (size_t i = 0; i < IMAGES; i += 97) {
        dt_record r = {.pixels = got, .mask = m, .pixel_labels = l};
        assert_int_equal(s->read(s, i < TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST, i < TRAIN ? i : i - TRAIN, &r, &err),
                         DUET_OK);
        assert_int_equal(r.height, SIDE);
        assert_memory_equal(got, pixels + i * PLACES * 3, sizeof got);
        assert_memory_equal(m, masks + i * PLACES, PLACES);
        assert_memory_equal(l, labels + i * PLACES, PLACES);
    }
    check_constants(&s->facts, pixels, (size_t)TRAIN * PLACES);
    dt_source_close(s);

    if (dt_source_open("shapes-plain", NULL, DT_SHAPES_SEED, NULL, &s, &err)) fail_msg("%s", err.message);
    dt_record r = {.pixels = got, .mask = m};
    assert_int_equal(s->read(s, DT_SPLIT_TEST, 17, &r, &err), DUET_OK);
    assert_int_equal(r.label, 7);
    assert_memory_equal(got, plain_pixels + (size_t)(DT_SHAPES_PLAIN_TRAIN + 17) * PLAIN_PLACES * 3, PLAIN_PLACES * 3);
    check_constants(&s->facts, plain_pixels, (size_t)DT_SHAPES_PLAIN_TRAIN * PLAIN_PLACES);
    dt_source_close(s);
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (long k = 1; k <= 5; k++) {
        duet_error err = {0};
        dt_source *s = NULL;
        dt_alloc_fail_at(k);
        assert_int_equal(dt_source_open("shapes-seg", NULL, 1, NULL, &s, &err), DUET_MEMORY);
        dt_alloc_fail_at(0);
        assert_null(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_frozen),
        cmocka_unit_test(a_picture_depends_on_its_seed_and_index_alone),
        cmocka_unit_test(classes_of_pixels_have_their_shares),
        cmocka_unit_test(rings_lie_around_objects),
        cmocka_unit_test(masks_lie_on_objects),
        cmocka_unit_test(plain_pictures_are_one_outline_in_a_flat_colour),
        cmocka_unit_test(the_sources_hand_out_these_pictures),
        cmocka_unit_test(memory_running_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, draw_all, forget_all);
}
