/* The Frechet distance against numbers from Python (tests/agreement/test_frechet.py makes them in two ways), and what must hold of it. */
#include "tasks/tasks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 64 };

/* Vector i of a set: d normals of a stream, each mixed with the one before it, then scaled and moved by whole steps of 1/16: every
 * operation is exact or rounded once to float, so that Python makes the same bits. */
static void draw(uint64_t set, size_t i, size_t d, float *x)
{
    dt_rng r = dt_rng_make(set, DT_PURPOSE_TEST, (uint32_t)d, i);
    for (size_t j = 0; j < d; j++) {
        x[j] = dt_rng_normal(&r);
        if (j) x[j] = x[j] + 0.5f * x[j - 1];
    }
    for (size_t j = 0; j < d; j++) x[j] = x[j] * (float)(1 + (j + set) % 4) + (float)((j * set) % 7) / 16;
}

static dt_moments moments(uint64_t set, size_t n, size_t d)
{
    dt_moments m;
    duet_error err = {0};
    float x[MOST];
    if (dt_moments_create(d, &m, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        draw(set, i, d, x);
        dt_moments_add(&m, x);
    }
    return m;
}

static double distance(const dt_moments *a, const dt_moments *b)
{
    double d = NAN;
    duet_error err = {0};
    if (dt_frechet(a, b, &d, &err)) fail_msg("%s", err.message);
    return d;
}

static void near(double found, double wanted, double tolerance, const char *what)
{
    if (!(fabs(found - wanted) <= tolerance)) fail_msg("%s: found %.15g, wanted %.15g, tolerance %g", what, found, wanted, tolerance);
}

static void the_distance_is_the_one_that_python_finds(void **state)
{
    (void)state;
    static const struct { uint64_t a, b; size_t na, nb, d; double wanted; } cases[] = {
        /* sets  pictures  dimensions  distance */
        {1, 2, 40, 50, 5, 24.498096728860745},
        {1, 3, 900, 700, 64, 350.48927705631286},
        {4, 8, 300, 300, 33, 12.537207962161915}, /* scaled alike */
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_moments a = moments(cases[i].a, cases[i].na, cases[i].d), b = moments(cases[i].b, cases[i].nb, cases[i].d);
        near(distance(&a, &b), cases[i].wanted, 1e-9 * cases[i].wanted, "distance");
        near(distance(&b, &a), cases[i].wanted, 1e-9 * cases[i].wanted, "the other way round");
        dt_moments_release(&a);
        dt_moments_release(&b);
    }
}

static void mean_and_covariance_are_those_of_two_passes(void **state)
{
    (void)state;
    enum { N = 50, D = 7 };
    dt_moments m = moments(3, N, D);
    double mean[D] = {0};
    float x[N][MOST];
    for (size_t i = 0; i < N; i++) {
        draw(3, i, D, x[i]);
        for (size_t j = 0; j < D; j++) mean[j] += (double)x[i][j] / N;
    }
    for (size_t j = 0; j < D; j++) {
        near(m.mean[j], mean[j], 1e-14, "mean");
        for (size_t k = 0; k < D; k++) {
            double sum = 0;
            for (size_t i = 0; i < N; i++) sum += ((double)x[i][j] - mean[j]) * ((double)x[i][k] - mean[k]);
            near(dt_moments_covariance(&m, j, k), sum / (N - 1), 1e-13, "covariance");
        }
    }
    dt_moments_release(&m);
}

/* 40 numbers that are made of 9: the covariance has rank 9. */
static void a_set_is_at_no_distance_from_itself_at_any_rank(void **state)
{
    (void)state;
    enum { N = 100, D = 40, RANK = 9 };
    dt_moments full = moments(5, N, D), thin;
    duet_error err = {0};
    if (dt_moments_create(D, &thin, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < N; i++) {
        float from[MOST], x[D];
        draw(6, i, RANK, from);
        for (size_t j = 0; j < D; j++) x[j] = from[j % RANK] * (float)(1 + j / RANK);
        dt_moments_add(&thin, x);
    }
    double trace = 0;
    for (size_t j = 0; j < D; j++) trace += dt_moments_covariance(&thin, j, j);
    near(distance(&full, &full), 0, 1e-11, "full rank");
    near(distance(&thin, &thin), 0, 1e-13 * trace, "rank 9 of 40"); /* some roundings of the trace */
    assert_true(distance(&full, &thin) > 1);
    dt_moments_release(&full);
    dt_moments_release(&thin);
}

static void a_set_that_is_moved_is_at_the_square_of_the_way(void **state)
{
    (void)state;
    enum { N = 30, D = 6 };
    dt_moments a = moments(7, N, D), b;
    duet_error err = {0};
    if (dt_moments_create(D, &b, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < N; i++) {
        float x[MOST];
        draw(7, i, D, x);
        for (size_t j = 0; j < D; j++) x[j] += 2;
        dt_moments_add(&b, x);
    }
    near(distance(&a, &b), 4 * D, 1e-4, "moved by 2 in each dimension"); /* x + 2 is rounded to float */
    dt_moments_release(&a);
    dt_moments_release(&b);
}

static void too_few_pictures_and_other_dimensions_are_refused(void **state)
{
    (void)state;
    dt_moments few = moments(1, 8, 8), enough = moments(1, 9, 8), other = moments(1, 20, 7), spoilt = moments(1, 20, 8);
    duet_error err = {0};
    double d = 5;
    assert_int_equal(dt_frechet(&enough, &few, &d, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "8 pictures in the second set"));
    assert_int_equal(dt_frechet(&enough, &other, &d, &err), DUET_SHAPE);
    float x[MOST] = {0};
    x[3] = INFINITY;
    dt_moments_add(&spoilt, x);
    assert_int_equal(dt_frechet(&spoilt, &enough, &d, &err), DUET_NUMERIC);
    assert_non_null(strstr(err.message, "feature 3 of the first set"));
    assert_true(d == 5);
    distance(&enough, &enough);
    dt_moments none;
    assert_int_equal(dt_moments_create(0, &none, &err), DUET_ARG);
    dt_moments_release(&few);
    dt_moments_release(&enough);
    dt_moments_release(&other);
    dt_moments_release(&spoilt);
}

/* A sample of normal numbers, dimension j with deviation scale[j]. */
static dt_moments normal_sample(uint64_t seed, size_t n, size_t d, const float *scale)
{
    dt_moments m;
    duet_error err = {0};
    if (dt_moments_create(d, &m, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        float x[MOST];
        dt_rng r = dt_rng_make(seed, DT_PURPOSE_TEST, 0, i);
        for (size_t j = 0; j < d; j++) x[j] = scale[j] * dt_rng_normal(&r);
        dt_moments_add(&m, x);
    }
    return m;
}

/* Two samples of one distribution: what is found is what is expected of it. */
static void the_bias_is_what_two_samples_of_one_distribution_give(void **state)
{
    (void)state;
    enum { NA = 1500, NB = 1000, D = 32 };
    for (int uneven = 0; uneven < 2; uneven++) {
        float scale[D];
        duet_error err = {0};
        for (size_t j = 0; j < D; j++) scale[j] = uneven ? 3.0f / (float)(1 + j) : 1;
        dt_moments a = normal_sample(20, NA, D, scale), b = normal_sample(21, NB, D, scale);
        const double unit = dt_frechet_unit_bias(D, NA, NB); /* 0.493 */
        double expected = NAN;
        if (dt_frechet_bias(&a, &b, &expected, &err)) fail_msg("%s", err.message);
        /* Its standard deviation is near 5 %; where few dimensions have most of the variance, more. */
        near(distance(&a, &b), expected, (uneven ? 0.5 : 0.15) * expected, "bias");
        if (uneven) assert_true(expected < 0.2 * unit);
        else near(expected, unit, 0.02 * unit, "the same by eigenvalues");
        dt_moments_release(&a);
        dt_moments_release(&b);
    }
    near(dt_frechet_unit_bias(64, 2000, 2000), 1.104, 1e-9, "formula");
}

static void a_copy_goes_on_alone(void **state)
{
    (void)state;
    dt_moments a = moments(1, 20, 5), copy;
    duet_error err = {0};
    float x[MOST];
    if (dt_moments_copy(&a, &copy, &err)) fail_msg("%s", err.message);
    draw(1, 20, 5, x);
    dt_moments_add(&a, x);
    assert_int_equal(copy.n, 20);
    assert_true(distance(&a, &copy) > 1e-6);
    dt_moments_add(&copy, x);
    assert_memory_equal(a.scatter, copy.scatter, 25 * sizeof *a.scatter);
    dt_moments_release(&a);
    dt_moments_release(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_distance_is_the_one_that_python_finds),
        cmocka_unit_test(mean_and_covariance_are_those_of_two_passes),
        cmocka_unit_test(a_set_is_at_no_distance_from_itself_at_any_rank),
        cmocka_unit_test(a_set_that_is_moved_is_at_the_square_of_the_way),
        cmocka_unit_test(too_few_pictures_and_other_dimensions_are_refused),
        cmocka_unit_test(a_copy_goes_on_alone),
        cmocka_unit_test(the_bias_is_what_two_samples_of_one_distribution_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
