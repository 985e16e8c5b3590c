/* Mixup in the loader: what a mixed batch is made of, that all views are mixed alike, and that neither workers nor an interruption
 * change a bit. Small enough for the thread sanitizer. */
#include "data/data.h"
#include "data/data_impl.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { RECORDS = 53, SIDE = 4, PLACES = SIDE * SIDE, VALUES = 3 * PLACES, BATCH = 8, STEPS_MOST = 8, SEED = 7 };
static const double alpha = 0.4;

static duet_status read_numbered(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    (void)s, (void)split, (void)err;
    for (size_t k = 0; k < VALUES; k++) out->pixels[k] = (uint8_t)((index * 97 + k * 29) % 255 + 1);
    for (size_t i = 0; out->mask && i < PLACES; i++) out->mask[i] = out->pixels[3 * i] >= 128;
    out->label = (int32_t)index;
    out->height = out->width = SIDE;
    return DUET_OK;
}

static const dt_source source = {
    .facts = {.name = "numbered", .train_images = RECORDS, .test_images = 1, .classes = RECORDS, .height = SIDE, .width = SIDE, .masks = true,
              .mean = {0.5f, 0.25f, 0.125f}, .std = {0.25f, 0.5f, 0.125f}},
    .read = read_numbered,
};

static dt_loader_spec spec_of(double mixup, int workers)
{
    return (dt_loader_spec){.source = &source, .split = DT_SPLIT_TRAIN, .batch = BATCH, .shuffle = true, .augment = DT_AUGMENT_CROP_FLIP,
                            .views = 2, .mixup = mixup, .seed = SEED, .workers = workers};
}

/* All that the batches of a pass hold. */
typedef struct pass {
    float images[2][STEPS_MOST][BATCH * VALUES], mask[STEPS_MOST][BATCH * PLACES], share[STEPS_MOST];
    int32_t labels[STEPS_MOST][BATCH], other[STEPS_MOST][BATCH];
    size_t n[STEPS_MOST], steps;
} pass;

static void read_pass(dt_loader_spec spec, uint32_t epoch, size_t first, pass *p)
{
    duet_error err = {0};
    dt_loader *l = NULL;
    *p = (pass){.steps = first};
    if (dt_loader_create(&spec, &l, &err)) fail_msg("%s", err.message);
    dt_loader_start(l, epoch, first);
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) {
        const size_t s = p->steps++;
        for (int v = 0; v < 2; v++) memcpy(p->images[v][s], b->images[v], sizeof p->images[v][s]);
        memcpy(p->mask[s], b->mask, sizeof p->mask[s]);
        memcpy(p->labels[s], b->labels, sizeof p->labels[s]);
        assert_int_equal(b->other_labels != NULL, spec.mixup > 0);
        if (b->other_labels) memcpy(p->other[s], b->other_labels, sizeof p->other[s]);
        p->share[s] = b->share;
        p->n[s] = b->n;
    }
    dt_loader_destroy(l);
}

static pass plain, mixed, again; /* large, and zero where nothing was read */

static void check_rows(const float *found, const float *from, const dt_mix *m, size_t n, size_t values)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < values; k++) {
            const float want = m->share * from[i * values + k] + (1 - m->share) * from[m->partner[i] * values + k];
            if (found[i * values + k] != want) fail_msg("picture %zu, value %zu: %g, not %g", i, k, (double)found[i * values + k], (double)want);
        }
    for (size_t k = n * values; k < BATCH * values; k++) assert_true(found[k] == 0);
}

static void every_picture_is_a_share_of_two_and_all_views_are_mixed_alike(void **state)
{
    (void)state;
    uint32_t partner[BATCH];
    size_t elsewhere = 0;
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        read_pass(spec_of(0, 2), epoch, 0, &plain);
        read_pass(spec_of(alpha, 2), epoch, 0, &mixed);
        assert_int_equal(mixed.steps, (RECORDS + BATCH - 1) / BATCH);
        for (size_t s = 0; s < mixed.steps; s++) {
            dt_mix m = {.partner = partner};
            dt_mix_draw(alpha, SEED, epoch, s, mixed.n[s], &m);
            assert_true(mixed.share[s] == m.share && m.share >= 0 && m.share <= 1);
            assert_memory_equal(mixed.labels[s], plain.labels[s], sizeof plain.labels[s]);
            for (size_t i = 0; i < mixed.n[s]; i++) {
                assert_int_equal(mixed.other[s][i], plain.labels[s][partner[i]]);
                elsewhere += partner[i] != i;
            }
            for (int v = 0; v < 2; v++) check_rows(mixed.images[v][s], plain.images[v][s], &m, mixed.n[s], VALUES);
            check_rows(mixed.mask[s], plain.mask[s], &m, mixed.n[s], PLACES);
        }
    }
    assert_true(elsewhere > RECORDS);
}

static void workers_and_where_a_pass_begins_change_no_bit(void **state)
{
    (void)state;
    read_pass(spec_of(alpha, 1), 3, 0, &mixed);
    dt_loader_spec tight = spec_of(alpha, 4);
    read_pass(tight, 3, 0, &again);
    assert_memory_equal(&mixed, &again, sizeof mixed);
    tight.slots = 1;
    read_pass(tight, 3, 0, &again);
    assert_memory_equal(&mixed, &again, sizeof mixed);
    for (size_t first = 1; first < mixed.steps; first++) {
        read_pass(spec_of(alpha, 3), 3, first, &again);
        for (size_t s = first; s < mixed.steps; s++) {
            assert_memory_equal(again.images[1][s], mixed.images[1][s], sizeof mixed.images[1][s]);
            assert_memory_equal(again.other[s], mixed.other[s], sizeof mixed.other[s]);
            assert_true(again.share[s] == mixed.share[s]);
        }
    }
}

static void each_batch_epoch_and_seed_is_mixed_in_its_own_way(void **state)
{
    (void)state;
    enum { N = 40 };
    static const struct { uint64_t seed; uint32_t epoch; size_t step; } streams[] = {{1, 0, 0}, {1, 0, 1}, {1, 1, 0}, {2, 0, 0}};
    uint32_t partner[DT_COUNT(streams)][N];
    dt_mix m[DT_COUNT(streams)];
    for (size_t i = 0; i < DT_COUNT(streams); i++) {
        m[i] = (dt_mix){.partner = partner[i]};
        dt_mix_draw(1, streams[i].seed, streams[i].epoch, streams[i].step, N, &m[i]);
        for (size_t k = 0; k < i; k++) {
            assert_true(m[i].share != m[k].share);
            assert_memory_not_equal(partner[i], partner[k], sizeof partner[i]);
        }
    }
}

static void partners_are_any_permutation_as_likely(void **state)
{
    (void)state;
    enum { N = 6000 };
    int seen[27] = {0};
    for (uint32_t step = 0; step < N; step++) {
        uint32_t p[3];
        dt_mix m = {.partner = p};
        dt_mix_draw(1, 5, 0, step, 3, &m);
        seen[p[0] * 9 + p[1] * 3 + p[2]]++;
    }
    const int permutations[6] = {0 * 9 + 1 * 3 + 2, 0 * 9 + 2 * 3 + 1, 1 * 9 + 0 * 3 + 2, 1 * 9 + 2 * 3 + 0, 2 * 9 + 0 * 3 + 1, 2 * 9 + 1 * 3 + 0};
    for (size_t i = 0; i < 6; i++) assert_in_range(seen[permutations[i]], 850, 1150); /* 1000 +- 5 deviations of 29 */
}

/* Cycles of one, two and three, and one of all. */
static void mixing_in_place_reads_every_picture_as_it_was(void **state)
{
    (void)state;
    static const uint32_t permutations[][6] = {{0, 2, 1, 4, 5, 3}, {1, 2, 3, 4, 5, 0}, {5, 4, 3, 2, 1, 0}, {0, 1, 2, 3, 4, 5}};
    static const float shares[] = {0, 0.25f, 0.7f, 1};
    for (size_t p = 0; p < DT_COUNT(permutations); p++)
        for (size_t s = 0; s < DT_COUNT(shares); s++) {
            float rows[6 * 3], before[6 * 3], spare[3];
            uint32_t partner[6];
            bool done[6];
            for (int k = 0; k < 18; k++) before[k] = rows[k] = (float)(k * k) * 0.3f - 11;
            memcpy(partner, permutations[p], sizeof partner);
            const dt_mix m = {.share = shares[s], .partner = partner, .done = done, .spare = spare};
            dt_mix_apply(&m, rows, 6, 3);
            for (int i = 0; i < 6; i++)
                for (int k = 0; k < 3; k++)
                    assert_true(rows[3 * i + k] == m.share * before[3 * i + k] + (1 - m.share) * before[3 * partner[i] + (uint32_t)k]);
            if (m.share == 1) assert_memory_equal(rows, before, sizeof rows);
        }
}

static duet_status read_nothing(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    (void)s, (void)split, (void)index, (void)out, (void)err;
    return DUET_OK;
}

static void refused_where_pictures_have_no_class_each(void **state)
{
    (void)state;
    const float table[1] = {1};
    const dt_noising noising = {.T = 1, .signal = table, .noise = table};
    dt_source dense = source;
    dense.facts.labels = DT_LABELS_PIXELS;
    dense.read = read_nothing;
    for (int k = 0; k < 2; k++) {
        duet_error err = {0};
        dt_loader *l = NULL;
        dt_loader_spec spec = spec_of(1, 1);
        spec.views = 1;
        if (k) spec.noising = &noising;
        else spec.source = &dense;
        assert_int_equal(dt_loader_create(&spec, &l, &err), DUET_ARG);
        assert_non_null(strstr(err.message, "numbered: mixup"));
    }
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (long k = 1;; k++) {
        duet_error err = {0};
        dt_loader *l = NULL;
        dt_loader_spec spec = spec_of(1, 2);
        dt_alloc_fail_at(k);
        const duet_status st = dt_loader_create(&spec, &l, &err);
        dt_alloc_fail_at(0);
        assert_true(k < 100);
        if (!st) {
            dt_loader_destroy(l);
            return;
        }
        assert_int_equal(st, DUET_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_picture_is_a_share_of_two_and_all_views_are_mixed_alike),
        cmocka_unit_test(workers_and_where_a_pass_begins_change_no_bit),
        cmocka_unit_test(each_batch_epoch_and_seed_is_mixed_in_its_own_way),
        cmocka_unit_test(partners_are_any_permutation_as_likely),
        cmocka_unit_test(mixing_in_place_reads_every_picture_as_it_was),
        cmocka_unit_test(refused_where_pictures_have_no_class_each),
        cmocka_unit_test(memory_running_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
