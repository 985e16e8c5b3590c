/* The loader: equal bytes whatever the number of workers, every record once, resume in the middle of a pass, the
 * give-back protocol. Small enough for the thread sanitizer. */
#include "data/data.h"
#include "data/data_impl.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <string.h>

enum { RECORDS = 53, TESTS = 7, SIDE = 6, PLACES = SIDE * SIDE, BATCH = 8, STEPS_MOST = 16 };

/* A source whose pictures say who they are: record i has label i, bytes that depend on i and place, and a mask where
 * red is high. */
static uint8_t byte_of(dt_split split, size_t index, size_t k)
{
    return (uint8_t)((index * 97 + k * 29 + (split == DT_SPLIT_TEST ? 101 : 0)) % 255 + 1);
}

static duet_status read_numbered(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    (void)s, (void)err;
    for (size_t k = 0; k < 3 * PLACES; k++) out->pixels[k] = byte_of(split, index, k);
    for (size_t i = 0; out->mask && i < PLACES; i++) out->mask[i] = out->pixels[3 * i] >= 128;
    out->label = (int32_t)index;
    out->height = out->width = SIDE;
    return DUET_OK;
}

static const dt_source with_masks = {
    .facts = {.name = "numbered",
              .train_images = RECORDS,
              .test_images = TESTS,
              .classes = RECORDS,
              .height = SIDE,
              .width = SIDE,
              .masks = true,
              .mean = {0.5f, 0.25f, 0.125f},
              .std = {0.25f, 0.5f, 0.125f}},
    .read = read_numbered,
};
static const dt_source without_masks = {
    .facts = {.name = "plain",
              .train_images = RECORDS,
              .test_images = TESTS,
              .classes = RECORDS,
              .height = SIDE,
              .width = SIDE,
              .std = {1, 1, 1}},
    .read = read_numbered,
};

static dt_loader_spec training(int workers)
{
    return (dt_loader_spec){.source = &with_masks,
                            .split = DT_SPLIT_TRAIN,
                            .batch = BATCH,
                            .drop_last = true,
                            .shuffle = true,
                            .augment = DT_AUGMENT_CROP_FLIP,
                            .views = 2,
                            .seed = 7,
                            .workers = workers};
}

static dt_loader_spec plain(void)
{
    return (dt_loader_spec){.source = &with_masks,
                            .split = DT_SPLIT_TRAIN,
                            .batch = BATCH,
                            .augment = DT_AUGMENT_NONE,
                            .views = 1,
                            .workers = 2};
}

static dt_loader *create(dt_loader_spec spec)
{
    duet_error err = {0};
    dt_loader *l = NULL;
    if (dt_loader_create(&spec, &l, &err)) fail_msg("%s", err.message);
    return l;
}

/* One line of hexadecimal for every step of a pass: all bytes of the batch, padding included. */
typedef struct digests {
    char step[STEPS_MOST][4][65]; /* labels, view 0, view 1, mask */
    size_t n;
} digests;

static void digest_batch(const dt_loader_spec *spec, const dt_batch *b, digests *d)
{
    size_t image = BATCH * PLACES * 3 * sizeof(float);
    assert_true(d->n < STEPS_MOST);
    char(*line)[65] = d->step[d->n++];
    dt_sha256(b->labels, BATCH * sizeof *b->labels, line[0]);
    for (int v = 0; v < spec->views; v++) dt_sha256(b->images[v], image, line[1 + v]);
    if (b->mask) dt_sha256(b->mask, BATCH * PLACES * sizeof(float), line[3]);
}

static digests digest_pass(dt_loader_spec spec, uint32_t epoch, size_t first)
{
    digests d = {0};
    dt_loader *l = create(spec);
    dt_loader_start(l, epoch, first);
    for (dt_batch *b; (b = dt_loader_next(l, NULL));) {
        assert_int_equal(b->step, first + d.n);
        digest_batch(&spec, b, &d);
        dt_loader_give_back(l, b);
    }
    assert_int_equal(d.n, dt_loader_steps(l) - first);
    dt_loader_destroy(l);
    return d;
}

/* ---- the same bytes ------------------------------------------------------------------------------------------ */

static void one_and_four_workers_give_equal_bytes(void **state)
{
    (void)state;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        digests one = digest_pass(training(1), epoch, 0), four = digest_pass(training(4), epoch, 0);
        assert_int_equal(one.n, RECORDS / BATCH);
        assert_memory_equal(&one, &four, sizeof one);
        dt_loader_spec tight = training(4);
        tight.slots = 1;
        four = digest_pass(tight, epoch, 0);
        assert_memory_equal(&one, &four, sizeof one);
    }
}

static void a_pass_resumed_in_its_middle_has_the_same_bytes(void **state)
{
    (void)state;
    digests whole = digest_pass(training(2), 5, 0);
    for (size_t first = 0; first <= whole.n; first++) {
        digests rest = digest_pass(training(3), 5, first);
        assert_memory_equal(rest.step, whole.step[first], rest.n * sizeof rest.step[0]);
    }
}

static void epochs_and_seeds_differ(void **state)
{
    (void)state;
    digests base = digest_pass(training(2), 0, 0), epoch = digest_pass(training(2), 1, 0);
    dt_loader_spec spec = training(2);
    spec.seed++;
    digests seed = digest_pass(spec, 0, 0);
    for (size_t i = 0; i < base.n; i++)
        for (size_t part = 0; part < 4; part++) {
            assert_string_not_equal(base.step[i][part], epoch.step[i][part]);
            assert_string_not_equal(base.step[i][part], seed.step[i][part]);
        }
}

static void views_are_independent_and_the_first_is_the_shared_one(void **state)
{
    (void)state;
    dt_loader_spec shared = training(2);
    shared.views = 1;
    digests two = digest_pass(training(2), 0, 0), one = digest_pass(shared, 0, 0);
    for (size_t i = 0; i < two.n; i++) {
        assert_string_equal(two.step[i][1], one.step[i][1]);
        assert_string_equal(two.step[i][3], one.step[i][3]); /* the mask goes with view 0 */
        assert_string_not_equal(two.step[i][1], two.step[i][2]);
    }
}

/* ---- what a batch holds -------------------------------------------------------------------------------------- */

static void an_unshuffled_pass_is_every_record_in_order_exactly_normalised(void **state)
{
    (void)state;
    dt_loader_spec spec = plain();
    dt_loader *l = create(spec);
    assert_int_equal(dt_loader_steps(l), (RECORDS + BATCH - 1) / BATCH);
    dt_loader_start(l, 0, 0);
    size_t record = 0;
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) {
        for (size_t i = 0; i < b->n; i++, record++) {
            assert_int_equal(b->labels[i], record);
            for (size_t k = 0; k < 3 * PLACES; k++) {
                uint8_t byte = byte_of(DT_SPLIT_TRAIN, record, k);
                float want = ((float)byte / 255.0f - with_masks.facts.mean[k % 3]) / with_masks.facts.std[k % 3];
                assert_true(b->images[0][i * 3 * PLACES + k] == want);
                if (k % 3 == 0) assert_true(b->mask[i * PLACES + k / 3] == (byte >= 128 ? 1.0f : 0.0f));
            }
        }
        for (size_t i = b->n; i < BATCH; i++) { /* past the last record: zero */
            assert_int_equal(b->labels[i], 0);
            for (size_t k = 0; k < 3 * PLACES; k++) assert_true(b->images[0][i * 3 * PLACES + k] == 0);
            for (size_t k = 0; k < PLACES; k++) assert_true(b->mask[i * PLACES + k] == 0);
        }
    }
    assert_int_equal(record, RECORDS);
    dt_loader_destroy(l);
}

static void a_shuffled_pass_takes_every_given_record_once(void **state)
{
    (void)state;
    uint32_t indices[20];
    for (uint32_t i = 0; i < 20; i++) indices[i] = 2 * i + 5;
    dt_loader_spec spec = training(3);
    spec.indices = indices;
    spec.n_indices = 20;
    spec.drop_last = false;
    dt_loader *l = create(spec);
    assert_int_equal(dt_loader_steps(l), 3);
    for (uint32_t epoch = 0; epoch < 4; epoch++) {
        int seen[RECORDS] = {0}, in_place = 0;
        size_t n = 0;
        dt_loader_start(l, epoch, 0);
        for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b))
            for (size_t i = 0; i < b->n; i++, n++) {
                seen[b->labels[i]]++;
                in_place += b->labels[i] == (int32_t)indices[n];
            }
        assert_int_equal(n, 20);
        assert_true(in_place < 10); /* of a random order, one on average */
        for (size_t i = 0; i < 20; i++) assert_int_equal(seen[indices[i]], 1);
    }
    dt_loader_destroy(l);
}

static void the_mask_moves_with_the_picture(void **state)
{
    (void)state;
    dt_loader *l = create(training(2));
    dt_loader_start(l, 0, 0);
    size_t moved = 0;
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b))
        for (size_t i = 0; i < BATCH * PLACES; i++) {
            float red = (b->images[0][3 * i] * with_masks.facts.std[0] + with_masks.facts.mean[0]) * 255;
            assert_true(b->mask[i] == (red > 127.5f ? 1.0f : 0.0f));
            moved += red < 0.5f; /* padding: the pictures have no zero byte */
        }
    assert_true(moved > 0);
    dt_loader_destroy(l);
}

static void data_without_masks_gives_none_and_the_test_split_is_another(void **state)
{
    (void)state;
    dt_loader_spec spec = plain();
    spec.source = &without_masks;
    spec.split = DT_SPLIT_TEST;
    dt_loader *l = create(spec);
    dt_loader_start(l, 0, 0);
    dt_batch *b = dt_loader_next(l, NULL);
    assert_int_equal(b->n, TESTS);
    assert_null(b->mask);
    assert_null(b->images[1]);
    assert_true(b->images[0][5] == (float)byte_of(DT_SPLIT_TEST, 0, 5) / 255.0f);
    dt_loader_give_back(l, b);
    assert_null(dt_loader_next(l, NULL));
    assert_null(dt_loader_next(l, NULL)); /* and stays over */
    dt_loader_destroy(l);
}

/* ---- the protocol -------------------------------------------------------------------------------------------- */

static void nothing_comes_before_the_first_start(void **state)
{
    (void)state;
    dt_loader *l = create(training(2));
    assert_null(dt_loader_next(l, NULL));
    dt_loader_destroy(l);
    dt_loader_destroy(NULL);
}

static void batches_may_be_held_together_and_given_back_in_any_order(void **state)
{
    (void)state;
    digests want = digest_pass(training(1), 2, 0), got = {0};
    dt_loader_spec spec = training(3);
    spec.slots = 3;
    dt_loader *l = create(spec);
    dt_loader_start(l, 2, 0);
    for (size_t at = 0; at < want.n; at += 3) {
        dt_batch *held[3];
        for (size_t i = 0; i < 3; i++) {
            held[i] = dt_loader_next(l, NULL);
            if (held[i]) digest_batch(&spec, held[i], &got);
        }
        for (size_t i = 3; i-- > 0;)
            if (held[i]) dt_loader_give_back(l, held[i]);
    }
    assert_memory_equal(&want, &got, sizeof want);
    dt_loader_destroy(l);
}

static void a_pass_may_be_abandoned_anywhere(void **state)
{
    (void)state;
    digests want = digest_pass(training(1), 9, 0);
    dt_loader_spec spec = training(4);
    dt_loader *l = create(spec);
    for (size_t taken = 0; taken < 6; taken++) {
        dt_loader_start(l, (uint32_t)taken, 0);
        for (size_t i = 0; i < taken; i++) dt_loader_give_back(l, dt_loader_next(l, NULL));
    }
    dt_loader_start(l, 9, 0);
    digests got = {0};
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) digest_batch(&spec, b, &got);
    assert_memory_equal(&want, &got, sizeof want);
    dt_loader_start(l, 0, 0); /* destroyed while its workers are busy */
    dt_loader_destroy(l);
}

static void waiting_is_measured(void **state)
{
    (void)state;
    dt_loader *l = create(training(1));
    double wait_s = 0, start_s = dt_now_s();
    dt_loader_start(l, 0, 0);
    for (dt_batch *b; (b = dt_loader_next(l, &wait_s)); dt_loader_give_back(l, b)) continue;
    assert_true(wait_s >= 0 && wait_s <= dt_now_s() - start_s);
    dt_loader_destroy(l);
}

/* ---- what is refused ----------------------------------------------------------------------------------------- */

static void expect_refusal(dt_loader_spec spec, const char *piece)
{
    duet_error err = {0};
    dt_loader *l = NULL;
    assert_int_equal(dt_loader_create(&spec, &l, &err), DUET_ARG);
    assert_null(l);
    if (!strstr(err.message, piece)) fail_msg("\"%s\" is not in: %s", piece, err.message);
}

static void what_cannot_be_loaded_is_refused(void **state)
{
    (void)state;
    dt_loader_spec spec = training(2);
    spec.batch = 0;
    expect_refusal(spec, "batch of 0");
    spec = training(2);
    spec.batch = RECORDS + 1;
    expect_refusal(spec, "53 images do not fill one batch of 54; choose a batch of at most 53");
    spec = training(0);
    expect_refusal(spec, "0 workers");
    spec = training(2);
    spec.views = 9;
    expect_refusal(spec, "9 views");
    spec = training(2);
    spec.slots = -1;
    expect_refusal(spec, "-1 slots");
    const uint32_t beyond[2] = {3, RECORDS};
    spec = plain();
    spec.indices = beyond;
    spec.n_indices = 2;
    expect_refusal(spec, "index 1 asks for image 53 of 53");
    spec.n_indices = 0;
    expect_refusal(spec, "no image");
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (long k = 1;; k++) {
        duet_error err = {0};
        dt_loader *l = NULL;
        dt_loader_spec spec = training(2);
        dt_alloc_fail_at(k);
        duet_status st = dt_loader_create(&spec, &l, &err);
        dt_alloc_fail_at(0);
        assert_true(k < 100);
        if (!st) {
            assert_true(k > 10);
            dt_loader_destroy(l);
            return;
        }
        assert_int_equal(st, DUET_MEMORY);
        assert_null(l);
    }
}

/* ---- the split ----------------------------------------------------------------------------------------------- */

static void held_out_records_are_ascending_disjoint_and_by_the_seed(void **state)
{
    (void)state;
    enum { N = 1000, HELD = 100 };
    uint32_t rest[N], held[N], again[N], other[N];
    dt_split_validation(N, HELD, 1, rest, held);
    size_t r = 0, h = 0;
    for (uint32_t i = 0; i < N; i++) { /* merged, the two are 0..N-1 */
        if (h < HELD && held[h] == i) h++;
        else assert_int_equal(rest[r++], i);
    }
    assert_int_equal(h, HELD);
    assert_in_range(held[HELD / 2], N / 4, N * 3 / 4); /* spread out, not the first or last hundred */
    dt_split_validation(N, HELD, 1, rest, again);
    assert_memory_equal(held, again, HELD * sizeof *held);
    dt_split_validation(N, HELD, 2, rest, other);
    assert_memory_not_equal(held, other, HELD * sizeof *held);
    dt_split_validation(N, 0, 1, rest, held);
    for (uint32_t i = 0; i < N; i++) assert_int_equal(rest[i], i);
    dt_split_validation(N, N, 1, rest, held);
    for (uint32_t i = 0; i < N; i++) assert_int_equal(held[i], i);
}

static void every_permutation_of_three_is_as_likely(void **state)
{
    (void)state;
    enum { N = 6000 };
    int seen[27] = {0};
    for (uint32_t epoch = 0; epoch < N; epoch++) {
        uint32_t order[3] = {0, 1, 2};
        dt_shuffle(order, 3, 4, epoch);
        seen[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    const int permutations[6] = {0 * 9 + 1 * 3 + 2, 0 * 9 + 2 * 3 + 1, 1 * 9 + 0 * 3 + 2,
                                 1 * 9 + 2 * 3 + 0, 2 * 9 + 0 * 3 + 1, 2 * 9 + 1 * 3 + 0};
    for (size_t i = 0; i < 6; i++) assert_in_range(seen[permutations[i]], 850, 1150); /* 1000 +- 5 deviations of 29 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_and_four_workers_give_equal_bytes),
        cmocka_unit_test(a_pass_resumed_in_its_middle_has_the_same_bytes),
        cmocka_unit_test(epochs_and_seeds_differ),
        cmocka_unit_test(views_are_independent_and_the_first_is_the_shared_one),
        cmocka_unit_test(an_unshuffled_pass_is_every_record_in_order_exactly_normalised),
        cmocka_unit_test(a_shuffled_pass_takes_every_given_record_once),
        cmocka_unit_test(the_mask_moves_with_the_picture),
        cmocka_unit_test(data_without_masks_gives_none_and_the_test_split_is_another),
        cmocka_unit_test(nothing_comes_before_the_first_start),
        cmocka_unit_test(batches_may_be_held_together_and_given_back_in_any_order),
        cmocka_unit_test(a_pass_may_be_abandoned_anywhere),
        cmocka_unit_test(waiting_is_measured),
        cmocka_unit_test(what_cannot_be_loaded_is_refused),
        cmocka_unit_test(memory_running_out_is_an_error_and_leaks_nothing),
        cmocka_unit_test(held_out_records_are_ascending_disjoint_and_by_the_seed),
        cmocka_unit_test(every_permutation_of_three_is_as_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
