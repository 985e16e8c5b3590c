/* Sizes, blocks, arenas and text: overflow, alignment, zeroes, and the k-th allocation failing. */
#include "base/base.h"

#include <setjmp.h>
#include <cmocka.h>
#include <stdalign.h>
#include <string.h>

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    size_t out = 7;
    assert_true(dt_size_mul(SIZE_MAX / 2, 2, &out));
    assert_int_equal(out, SIZE_MAX - 1);
    out = 7;
    assert_false(dt_size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(dt_size_add(SIZE_MAX, 1, &out));
    assert_int_equal(out, 7);
    assert_null(dt_alloc(SIZE_MAX / 4, 8));
    assert_null(dt_alloc(1, SIZE_MAX - 3));
}

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 37) {
        unsigned char *block = dt_alloc(n, 1);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % DT_ALIGN, 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(block[i], 0);
        memset(block, 0xAB, n);
        dt_free(block);
    }
}

static void realloc_keeps_old_bytes_and_zeroes_new_ones(void **state)
{
    (void)state;
    unsigned char *block = dt_alloc(10, 1);
    memset(block, 3, 10);
    dt_alloc_fail_at(1);
    assert_null(dt_realloc(block, 10, 1000));
    block = dt_realloc(block, 10, 1000);
    for (size_t i = 0; i < 1000; i++) assert_int_equal(block[i], i < 10 ? 3 : 0);
    dt_free(block);
}

static void arena_blocks_stay_where_they_are(void **state)
{
    (void)state;
    enum { N = 500 };
    dt_arena a = {0};
    unsigned char *at[N];
    for (size_t i = 0; i < N; i++) {
        at[i] = dt_arena_alloc(&a, i, 3);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < 3 * i; j++) assert_int_equal(at[i][j], 0);
        memset(at[i], (int)(i & 255), 3 * i);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < 3 * i; j++) assert_int_equal(at[i][j], i & 255);
    assert_string_equal(dt_arena_printf(&a, "%s-%d", "x", 5), "x-5");
    assert_null(dt_arena_alloc(&a, SIZE_MAX / 2, 3));
    dt_arena_release(&a);
    assert_string_equal(dt_arena_strdup(&a, "again"), "again");
    dt_arena_release(&a);
}

static void text_grows_and_remembers_a_failure(void **state)
{
    (void)state;
    dt_text t = {0};
    for (int i = 0; i < 1000; i++) dt_text_append(&t, "%03d,", i);
    assert_true(dt_text_ok(&t));
    assert_int_equal(t.length, 4000);
    assert_memory_equal(t.bytes + 3996, "999,", 5);
    dt_text_release(&t);

    dt_alloc_fail_at(1);
    dt_text_append(&t, "lost");
    dt_text_append(&t, "and this too");
    assert_false(dt_text_ok(&t));
    assert_int_equal(t.length, 0);
    dt_text_release(&t);
    assert_true(dt_text_ok(&t));
}

static void the_kth_allocation_fails_once(void **state)
{
    (void)state;
    dt_alloc_fail_at(3);
    void *blocks[4];
    for (int i = 0; i < 4; i++) blocks[i] = dt_alloc(1, 1);
    assert_non_null(blocks[0]);
    assert_non_null(blocks[1]);
    assert_null(blocks[2]);
    assert_non_null(blocks[3]);
    for (int i = 0; i < 4; i++) dt_free(blocks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(realloc_keeps_old_bytes_and_zeroes_new_ones),
        cmocka_unit_test(arena_blocks_stay_where_they_are),
        cmocka_unit_test(text_grows_and_remembers_a_failure),
        cmocka_unit_test(the_kth_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
