/* Philox against the known answers of its authors, and the streams built on it. */
#include "base/base.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The three philox4x32 10 lines of kat_vectors in the Random123 distribution. */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct { uint32_t counter[4], key[2], want[4]; } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        uint32_t out[4];
        dt_philox(cases[i].key, cases[i].counter, out);
        assert_memory_equal(out, cases[i].want, sizeof out);
    }
}

static void a_stream_is_decided_by_its_four_names_only(void **state)
{
    (void)state;
    dt_rng a = dt_rng_make(7, DT_PURPOSE_TEST, 3, 5), b = dt_rng_make(7, DT_PURPOSE_TEST, 3, 5);
    for (int i = 0; i < 100; i++) assert_int_equal(dt_rng_u32(&a), dt_rng_u32(&b));
    dt_rng copy = a;
    assert_int_equal(dt_rng_u32(&a), dt_rng_u32(&copy));

    const dt_rng others[] = {
        dt_rng_make(8, DT_PURPOSE_TEST, 3, 5),
        dt_rng_make(UINT64_C(1) << 32 | 7, DT_PURPOSE_TEST, 3, 5),
        dt_rng_make(7, DT_PURPOSE_INIT, 3, 5),
        dt_rng_make(7, DT_PURPOSE_TEST, 4, 5),
        dt_rng_make(7, DT_PURPOSE_TEST, 3, 6),
        dt_rng_make(7, DT_PURPOSE_TEST, 3, UINT64_C(1) << 32 | 5),
    };
    dt_rng first = dt_rng_make(7, DT_PURPOSE_TEST, 3, 5);
    uint32_t number = dt_rng_u32(&first);
    for (size_t i = 0; i < DT_COUNT(others); i++) {
        dt_rng other = others[i];
        assert_int_not_equal(dt_rng_u32(&other), number);
    }
}

/* These decide the bits of every run: a change here changes all results ever published. */
static void the_layout_of_streams_is_frozen(void **state)
{
    (void)state;
    dt_rng r = dt_rng_make(UINT64_C(0x299f31d0a4093822), DT_PURPOSE_SHUFFLE, 17, UINT64_C(0x100000002));
    uint32_t want[4];
    dt_philox((const uint32_t[]){0xa4093822, 0x299f31d0}, (const uint32_t[]){2u << 25, 17, 2, 1}, want);
    for (int i = 0; i < 4; i++) assert_int_equal(dt_rng_u32(&r), want[i]);
    dt_philox((const uint32_t[]){0xa4093822, 0x299f31d0}, (const uint32_t[]){(2u << 25) + 1, 17, 2, 1}, want);
    assert_int_equal(dt_rng_u32(&r), want[0]);
}

static void below_is_in_range_and_even(void **state)
{
    (void)state;
    dt_rng r = dt_rng_make(1, DT_PURPOSE_TEST, 0, 0);
    for (int i = 0; i < 100; i++) assert_int_equal(dt_rng_below(&r, 1), 0);
    size_t count[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint32_t x = dt_rng_below(&r, 6);
        assert_true(x < 6);
        count[x]++;
    }
    /* Each count is binomial: mean 10000, deviation 91; five deviations either side. */
    for (int i = 0; i < 6; i++) assert_in_range(count[i], 10000 - 456, 10000 + 456);
    for (int i = 0; i < 1000; i++) assert_true(dt_rng_below(&r, 0x80000001u) <= 0x80000000u);
}

static void uniform_and_normal_have_their_moments(void **state)
{
    (void)state;
    enum { N = 100000 };
    dt_rng r = dt_rng_make(2, DT_PURPOSE_TEST, 0, 0);
    double sum = 0, square = 0, normal = 0, normal_square = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        double u = (double)dt_rng_uniform(&r), z = (double)dt_rng_normal(&r);
        assert_true(u >= 0 && u < 1);
        assert_true(isfinite(z));
        sum += u, square += u * u, normal += z, normal_square += z * z, fourth += z * z * z * z;
    }
    /* Five deviations of each mean: 0.289, 0.298, 1, 1.41 and 9.8, over sqrt(N) = 316. */
    assert_true(fabs(sum / N - 0.5) < 0.0046);
    assert_true(fabs(square / N - 1.0 / 3) < 0.0048);
    assert_true(fabs(normal / N) < 0.0159);
    assert_true(fabs(normal_square / N - 1) < 0.0224);
    assert_true(fabs(fourth / N - 3) < 0.155);
}

/* Mean 1/2, variance 1 / (8 alpha + 4), kurtosis 3 - 6 / (2 alpha + 3): five deviations of each mean over N draws. */
static void beta_has_its_moments(void **state)
{
    (void)state;
    enum { N = 100000 };
    static const double alphas[] = {0.05, 0.2, 0.4, 1, 1.5, 4, 100};
    for (size_t k = 0; k < DT_COUNT(alphas); k++) {
        const double a = alphas[k], variance = 1 / (8 * a + 4), kurtosis = 3 - 6 / (2 * a + 3);
        dt_rng r = dt_rng_make(3, DT_PURPOSE_TEST, 0, k);
        double sum = 0, square = 0, cube = 0, fourth = 0;
        for (int i = 0; i < N; i++) {
            const double x = dt_rng_beta(&r, a) - 0.5;
            assert_true(x >= -0.5 && x <= 0.5);
            sum += x, square += x * x, cube += x * x * x, fourth += x * x * x * x;
        }
        const double five = 5 / sqrt((double)N);
        assert_true(fabs(sum / N) < five * sqrt(variance));
        assert_true(fabs(cube / N) < five * pow(variance, 1.5) * sqrt(15)); /* at most that of a normal */
        assert_true(fabs(square / N - variance) < five * variance * sqrt(kurtosis - 1) + 1e-12);
        assert_true(fabs(fourth / N / (variance * variance) - kurtosis) < five * sqrt(96));
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov's distance from distribution functions that are known in closed form: 2.2 / sqrt(N) is exceeded once in 8000. */
static void beta_has_its_distribution(void **state)
{
    (void)state;
    enum { N = 20000 };
    static double x[N];
    static const double alphas[] = {0.5, 1, 2, 3};
    for (size_t k = 0; k < DT_COUNT(alphas); k++) {
        dt_rng r = dt_rng_make(4, DT_PURPOSE_TEST, 0, k);
        for (int i = 0; i < N; i++) x[i] = dt_rng_beta(&r, alphas[k]);
        qsort(x, N, sizeof *x, ascending);
        double apart = 0;
        for (int i = 0; i < N; i++) {
            const double u = x[i], below = k == 0   ? 2 / 3.14159265358979323846 * asin(sqrt(u))
                                           : k == 1 ? u
                                           : k == 2 ? u * u * (3 - 2 * u)
                                                    : u * u * u * (10 - 15 * u + 6 * u * u);
            apart = fmax(apart, fmax((i + 1.0) / N - below, below - (double)i / N));
        }
        if (apart > 2.2 / sqrt((double)N)) fail_msg("alpha %g: %g apart", alphas[k], apart);
    }
}

static void beta_of_a_tiny_alpha_is_0_or_1(void **state)
{
    (void)state;
    enum { N = 1000 };
    static const double alphas[] = {1e-6, 1e-12, 1e-300, 5e-324};
    for (size_t k = 0; k < DT_COUNT(alphas); k++) {
        dt_rng r = dt_rng_make(5, DT_PURPOSE_TEST, 0, k);
        int ones = 0;
        for (int i = 0; i < N; i++) {
            const float x = (float)dt_rng_beta(&r, alphas[k]);
            if (!(x < 1e-30f || x == 1)) fail_msg("alpha %g: %g", alphas[k], (double)x);
            ones += x == 1;
        }
        assert_in_range(ones, N / 2 - 79, N / 2 + 79); /* five deviations of 15.8 */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(a_stream_is_decided_by_its_four_names_only),
        cmocka_unit_test(the_layout_of_streams_is_frozen),
        cmocka_unit_test(below_is_in_range_and_even),
        cmocka_unit_test(uniform_and_normal_have_their_moments),
        cmocka_unit_test(beta_has_its_moments),
        cmocka_unit_test(beta_has_its_distribution),
        cmocka_unit_test(beta_of_a_tiny_alpha_is_0_or_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
