/* Crop and flip against the plainest way to write them: pad, cut, mirror. */
#include "data/data.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <string.h>

enum { PAD = 4, SIDE_MOST = 32, BYTES_MOST = SIDE_MOST * SIDE_MOST * 3 };

static const dt_augment all[] = {DT_AUGMENT_CROP_FLIP, DT_AUGMENT_FLIP, DT_AUGMENT_NONE};

typedef struct choice {
    size_t y, x; /* of the crop in the padded picture */
    bool flip;
} choice;

static choice choose(dt_augment a, dt_rng rng)
{
    choice c = {PAD, PAD, false};
    if (a == DT_AUGMENT_CROP_FLIP) {
        c.y = dt_rng_below(&rng, 9);
        c.x = dt_rng_below(&rng, 9);
    }
    if (a != DT_AUGMENT_NONE) c.flip = dt_rng_below(&rng, 2);
    return c;
}

static void plainly(choice c, const uint8_t *in, size_t h, size_t w, size_t channels, uint8_t *out)
{
    static uint8_t padded[SIDE_MOST + 2 * PAD][SIDE_MOST + 2 * PAD][3];
    memset(padded, 0, sizeof padded);
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++)
            for (size_t k = 0; k < channels; k++) padded[y + PAD][x + PAD][k] = in[(y * w + x) * channels + k];
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++)
            for (size_t k = 0; k < channels; k++)
                out[(y * w + x) * channels + k] = padded[c.y + y][c.x + (c.flip ? w - 1 - x : x)][k];
}

static void every_kind_agrees_with_pad_cut_and_mirror(void **state)
{
    (void)state;
    const size_t sizes[][3] = {{32, 32, 3}, {32, 32, 1}, {5, 9, 3}, {1, 1, 1}, {3, 2, 3}};
    uint8_t in[BYTES_MOST], want[BYTES_MOST], got[BYTES_MOST + 1];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(1 + i * 7 % 255); /* never the padding's 0 */
    for (size_t s = 0; s < DT_COUNT(sizes); s++)
        for (size_t a = 0; a < DT_COUNT(all); a++)
            for (uint64_t index = 0; index < 200; index++) {
                size_t h = sizes[s][0], w = sizes[s][1], channels = sizes[s][2], n = h * w * channels;
                dt_rng rng = dt_rng_make(11, DT_PURPOSE_TEST, 0, index);
                plainly(choose(all[a], rng), in, h, w, channels, want);
                memset(got, 0xEE, sizeof got);
                dt_augment_apply(all[a], rng, in, h, w, channels, got);
                if (memcmp(got, want, n))
                    fail_msg("seed 11 index %u, %zux%zux%zu, kind %zu", (unsigned)index, h, w, channels, a);
                assert_int_equal(got[n], 0xEE);
            }
}

static void every_offset_and_both_directions_occur_alike(void **state)
{
    (void)state;
    enum { N = 16200, EACH = N / 162 };
    int seen[9][9][2] = {0};
    uint8_t in[9 * 9], out[9 * 9];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(i + 1);
    for (uint64_t i = 0; i < N; i++) {
        dt_augment_apply(DT_AUGMENT_CROP_FLIP, dt_rng_make(3, DT_PURPOSE_TEST, 1, i), in, 9, 9, 1, out);
        int centre = out[4 * 9 + 4] - 1; /* the middle stays the middle when flipped */
        bool flip = centre % 9 < 8 ? out[4 * 9 + 3] == centre + 2
                                   : out[4 * 9 + 5] == centre; /* the right neighbour, on the left */
        seen[centre / 9][centre % 9][flip]++;
    }
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 9; x++)
            for (int flip = 0; flip < 2; flip++)
                assert_in_range(seen[y][x][flip], EACH / 2, EACH * 3 / 2); /* 5 standard deviations of a count of 100 */
}

static void a_mask_follows_its_picture(void **state)
{
    (void)state;
    uint8_t picture[32 * 32 * 3], mask[32 * 32], moved[32 * 32 * 3], moved_mask[32 * 32];
    for (size_t i = 0; i < sizeof mask; i++) {
        mask[i] = i % 32 > 9 && i / 32 > 20;
        for (size_t k = 0; k < 3; k++) picture[3 * i + k] = mask[i] ? 200 : 0;
    }
    for (uint64_t index = 0; index < 100; index++) {
        dt_rng rng = dt_rng_make(5, DT_PURPOSE_TEST, 2, index);
        dt_augment_apply(DT_AUGMENT_CROP_FLIP, rng, picture, 32, 32, 3, moved);
        dt_augment_apply(DT_AUGMENT_CROP_FLIP, rng, mask, 32, 32, 1, moved_mask);
        for (size_t i = 0; i < sizeof mask; i++) assert_int_equal(moved_mask[i], moved[3 * i] == 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_agrees_with_pad_cut_and_mirror),
        cmocka_unit_test(every_offset_and_both_directions_occur_alike),
        cmocka_unit_test(a_mask_follows_its_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
