/* After the first step the training loop asks nobody for memory: not for batches, not for losses, not for lines of the
 * log.
 *
 * This program takes the place of malloc and its family for itself and every library in it, and counts calls between
 * the end of the first step and the end of the seventh, from all threads. Calls that oneDNN, its C++ runtime or OpenMP
 * make inside a primitive are not ours to avoid: they are counted apart and printed. */
#include "train_fixture.h"

#include <dlfcn.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* a sanitizer has taken malloc's place already */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- counting ---------------------------------------------------------------------------------------------------- */

enum { MOST_CALLERS = 64 };
static atomic_bool counting;
static atomic_size_t n_calls;
static void *callers[MOST_CALLERS];

static inline void count(void *caller)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed)) return;
    const size_t i = atomic_fetch_add(&n_calls, 1);
    if (i < MOST_CALLERS) callers[i] = caller;
}

#ifndef SANITIZED
/* glibc's own entry points; memory from them is freed by its free as ever. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *block, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
    count(__builtin_return_address(0));
    return __libc_malloc(n);
}

void *calloc(size_t number, size_t n)
{
    count(__builtin_return_address(0));
    return __libc_calloc(number, n);
}

void *realloc(void *block, size_t n)
{
    count(__builtin_return_address(0));
    return __libc_realloc(block, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    count(__builtin_return_address(0));
    return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    count(__builtin_return_address(0));
    void *block = __libc_memalign(align, n);
    if (!block) return 12; /* ENOMEM */
    *out = block;
    return 0;
}
#endif

static bool is_foreign(const char *library)
{
    static const char *const names[] = {"libdnnl", "libstdc++", "libgomp", "libomp", "libiomp", "libtbb"};
    for (size_t i = 0; i < DT_COUNT(names); i++)
        if (library && strstr(library, names[i])) return true;
    return false;
}

/* ---- the test ---------------------------------------------------------------------------------------------------- */

static void count_between_steps(void *user, const dt_progress *p)
{
    (void)user;
    if (p->epoch != 1) return;
    if (p->step == 1) atomic_store(&counting, true);
    if (p->step == 7)
        atomic_store(&counting, false); /* before the epoch's end: evaluations and checkpoints may allocate */
}

static void no_allocation(const char *out, const char *const *overrides)
{
    size_t ours = 0, foreign = 0;
    atomic_store(&n_calls, 0);
    fixture_train_ok(
        &files,
        &(fixture_run){.out = out, .overrides = overrides, .max_steps = 7, .observer.progress = count_between_steps});
    const size_t n = atomic_load(&n_calls);
    for (size_t i = 0; i < n && i < MOST_CALLERS; i++) {
        Dl_info where = {0};
        dladdr(callers[i], &where);
        if (is_foreign(where.dli_fname)) {
            foreign++;
            continue;
        }
        ours++;
        print_message("%s: allocation from %s+%#tx\n", out, where.dli_fname ? where.dli_fname : "?",
                      (char *)callers[i] - (char *)where.dli_fbase);
    }
    if (foreign) print_message("%s: %zu allocations inside other libraries\n", out, foreign);
    assert_int_equal(ours, 0);
    assert_true(n <= MOST_CALLERS); /* more than we can name: too many, whoever made them */
}

/* The counter works: else the tests below would pass for nothing. */
static void an_allocation_is_counted(void **state)
{
    (void)state;
    atomic_store(&n_calls, 0);
    atomic_store(&counting, true);
    void *volatile block = malloc(10);
    void *volatile ours = dt_alloc(3, 5);
    atomic_store(&counting, false);
    free(block);
    dt_free(ours);
    assert_int_equal(atomic_load(&n_calls), 2);
}

static void no_step_allocates_with_mutual_learning(void **state)
{
    (void)state;
    no_allocation("dml", NULL);
}

static void no_step_allocates_with_variants_and_a_companion(void **state)
{
    (void)state;
    const char *const overrides[] = {"method={name: switokd}", "adm={}", "device.threads=2", NULL};
    no_allocation("switokd", overrides);
}

static void no_step_allocates_with_views_and_a_held_out_set(void **state)
{
    (void)state;
    const char *const overrides[] = {"method={name: kdcl, target: general}", "data.validation=4", "data.workers=3",
                                     NULL};
    no_allocation("kdcl", overrides);
}

int main(void)
{
#ifdef SANITIZED
    return 77; /* skipped */
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_is_counted),
        cmocka_unit_test(no_step_allocates_with_mutual_learning),
        cmocka_unit_test(no_step_allocates_with_variants_and_a_companion),
        cmocka_unit_test(no_step_allocates_with_views_and_a_held_out_set),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
