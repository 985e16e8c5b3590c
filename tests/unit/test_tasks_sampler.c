/* The samplers' arithmetic: which times are visited, the identities that tie both samplers together, and that noise belongs to a
 * picture and a step, not to a batch. */
#include "tasks/tasks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { T = 1000, STEPS = 20, COUNT = 48 };

static void schedule(int kind, double ab[T])
{
    const dt_task_config c = {.timesteps = T, .noise_schedule = kind};
    dt_noise_schedule(&c, ab);
}

static void plan(const dt_sampler *s, const double *ab, dt_move *moves)
{
    duet_error err = {0};
    if (dt_sampler_plan(s, ab, T, moves, &err)) fail_msg("%s", err.message);
}

static void fill(float *to, size_t n, uint64_t seed)
{
    dt_rng r = dt_rng_make(seed, DT_PURPOSE_TEST, 0, 0);
    for (size_t i = 0; i < n; i++) to[i] = dt_rng_normal(&r);
}

static void near(double found, double wanted, double tolerance, const char *what)
{
    if (!(fabs(found - wanted) <= tolerance)) fail_msg("%s: found %.9g, wanted %.9g, tolerance %g", what, found, wanted, tolerance);
}

static void times_are_spread_evenly_halves_to_even(void **state)
{
    (void)state;
    static const int64_t of_five[] = {0, 250, 500, 749, 999}; /* 249.75, 499.5, 749.25 */
    for (int64_t i = 0; i < 5; i++) assert_int_equal(dt_sampler_time(i, 5, T), of_five[i]);
    static const int64_t of_seven[] = {0, 2, 3, 4, 6, 8, 9}; /* 1.5, 3, 4.5, 6, 7.5 */
    for (int64_t i = 0; i < 7; i++) assert_int_equal(dt_sampler_time(i, 7, 10), of_seven[i]);
    for (int64_t i = 0; i < T; i++) assert_int_equal(dt_sampler_time(i, T, T), i);
    assert_int_equal(dt_sampler_time(0, 2, T), 0);
    assert_int_equal(dt_sampler_time(1, 2, T), T - 1);
    for (int64_t n = 2; n <= T; n++)
        for (int64_t i = 1; i < n; i++)
            if (dt_sampler_time(i, n, T) <= dt_sampler_time(i - 1, n, T)) fail_msg("%lld of %lld: no step forward", (long long)i, (long long)n);
}

static void impossible_steps_and_eta_are_refused(void **state)
{
    (void)state;
    static const dt_sampler wrong[] = {{.steps = 0}, {.steps = 1}, {.steps = T + 1}, {.steps = -3}, {.steps = 10, .eta = 1.01},
                                       {.steps = 10, .eta = -0.1}, {.steps = 10, .eta = NAN}};
    double ab[T];
    static dt_move moves[T + 1];
    schedule(DT_NOISE_COSINE, ab);
    for (size_t i = 0; i < DT_COUNT(wrong); i++) {
        duet_error err = {0};
        assert_int_equal(dt_sampler_plan(&wrong[i], ab, T, moves, &err), DUET_ARG);
        assert_non_null(strstr(err.message, wrong[i].steps == 10 ? "eta" : "2 to 1000"));
    }
    const dt_sampler all = {.steps = T}, least = {.steps = 2};
    plan(&all, ab, moves);
    plan(&least, ab, moves);
}

static void ddim_with_eta_one_is_ancestral_with_the_small_variance(void **state)
{
    (void)state;
    const dt_sampler a = {.kind = DT_SAMPLER_ANCESTRAL, .steps = STEPS, .variance = DT_VARIANCE_SMALL}, d = {.steps = STEPS, .eta = 1};
    for (int kind = DT_NOISE_COSINE; kind <= DT_NOISE_LINEAR; kind++) {
        double ab[T];
        dt_move of_a[STEPS], of_d[STEPS];
        float x[2][COUNT], e[COUNT], z[COUNT];
        schedule(kind, ab);
        plan(&a, ab, of_a);
        plan(&d, ab, of_d);
        fill(x[0], COUNT, 1);
        memcpy(x[1], x[0], sizeof x[0]);
        for (int k = 0; k < STEPS; k++) {
            fill(e, COUNT, 10 + (uint64_t)k);
            fill(z, COUNT, 100 + (uint64_t)k);
            dt_sampler_move(&of_a[k], x[0], e, z, COUNT);
            dt_sampler_move(&of_d[k], x[1], e, z, COUNT);
            for (int i = 0; i < COUNT; i++) near((double)x[0][i], (double)x[1][i], 2e-6, "x"); /* some roundings to float apart */
            memcpy(x[1], x[0], sizeof x[0]);
        }
    }
}

/* On the noise that is really in the picture, a move without new noise leads to the same picture at the earlier time. */
static void ddim_on_the_true_noise_goes_back_in_time(void **state)
{
    (void)state;
    const dt_sampler d = {.steps = STEPS};
    double ab[T];
    dt_move moves[STEPS];
    float x0[COUNT], e[COUNT], x[COUNT];
    schedule(DT_NOISE_LINEAR, ab);
    plan(&d, ab, moves);
    fill(e, COUNT, 3);
    for (int i = 0; i < COUNT; i++) x0[i] = (float)i / (COUNT / 2) - 1;
    for (int k = 0; k < STEPS - 1; k++) {
        const double a = ab[moves[k].time], next = ab[moves[k + 1].time];
        for (int i = 0; i < COUNT; i++) x[i] = (float)(sqrt(a) * (double)x0[i] + sqrt(1 - a) * (double)e[i]);
        dt_sampler_move(&moves[k], x, e, NULL, COUNT);
        /* x was rounded to float, and x0 is x divided by sqrt(a) */
        for (int i = 0; i < COUNT; i++)
            near((double)x[i], sqrt(next) * (double)x0[i] + sqrt(1 - next) * (double)e[i], 1e-6 + 2e-7 * sqrt(next / a), "x at the earlier time");
    }
}

static void the_last_move_gives_the_picture_without_noise(void **state)
{
    (void)state;
    static const dt_sampler all[] = {{.kind = DT_SAMPLER_DDIM}, {.kind = DT_SAMPLER_DDIM, .eta = 1},
                                     {.kind = DT_SAMPLER_ANCESTRAL, .variance = DT_VARIANCE_LARGE},
                                     {.kind = DT_SAMPLER_ANCESTRAL, .variance = DT_VARIANCE_SMALL}};
    double ab[T];
    schedule(DT_NOISE_COSINE, ab);
    for (size_t s = 0; s < DT_COUNT(all); s++) {
        dt_sampler sampler = all[s];
        dt_move moves[STEPS];
        float x[COUNT], e[COUNT], before[COUNT];
        sampler.steps = STEPS;
        plan(&sampler, ab, moves);
        const dt_move *last = &moves[STEPS - 1];
        assert_int_equal(last->time, 0);
        assert_true(last->spread == 0);
        fill(x, COUNT, 4);
        fill(e, COUNT, 5);
        memcpy(before, x, sizeof x);
        dt_sampler_move(last, x, e, NULL, COUNT);
        for (int i = 0; i < COUNT; i++) {
            const double x0 = ((double)before[i] - sqrt(1 - ab[0]) * (double)e[i]) / sqrt(ab[0]);
            near((double)x[i], x0 < -1 ? -1 : x0 > 1 ? 1 : x0, 1e-7, "x0");
        }
    }
}

/* A stand-in for a network: e depends on a picture's own x and on the time alone. */
static void predict(const float *x, int32_t time, float *e, size_t n)
{
    for (size_t i = 0; i < n; i++) e[i] = 0.9f * x[i] - 0.3f * x[(i + 1) % n] + (float)time / T - 0.5f;
}

static void sample(size_t pictures, size_t batch, float *out)
{
    const dt_sampler s = {.kind = DT_SAMPLER_ANCESTRAL, .steps = STEPS};
    double ab[T];
    dt_move moves[STEPS];
    float e[COUNT], z[COUNT];
    schedule(DT_NOISE_COSINE, ab);
    plan(&s, ab, moves);
    for (size_t first = 0; first < pictures; first += batch)
        for (uint32_t k = 0; k <= STEPS; k++)
            for (size_t p = first; p < first + batch && p < pictures; p++) {
                float *x = out + p * COUNT;
                dt_sampler_noise(7, p, k, k ? z : x, COUNT);
                if (k == 0) continue;
                predict(x, moves[k - 1].time, e, COUNT);
                dt_sampler_move(&moves[k - 1], x, e, z, COUNT);
            }
}

static void the_size_of_the_batch_changes_nothing(void **state)
{
    (void)state;
    enum { PICTURES = 8 };
    static float one[PICTURES * COUNT], all[PICTURES * COUNT];
    sample(PICTURES, 1, one);
    sample(PICTURES, 8, all);
    assert_memory_equal(one, all, sizeof one);
    for (int p = 1; p < PICTURES; p++) assert_memory_not_equal(one, one + p * COUNT, COUNT * sizeof *one);
}

static void noise_is_of_seed_picture_and_step(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    static float a[MANY], b[MANY];
    static const struct { uint64_t seed, picture; uint32_t step; } others[] = {{2, 3, 4}, {1, 2, 4}, {1, 3, 5}};
    dt_sampler_noise(1, 3, 4, a, MANY);
    for (size_t i = 0; i < DT_COUNT(others); i++) {
        dt_sampler_noise(others[i].seed, others[i].picture, others[i].step, b, MANY);
        double sum = 0, square = 0, both = 0;
        for (int k = 0; k < MANY; k++) sum += (double)b[k], square += (double)(b[k] * b[k]), both += (double)(a[k] * b[k]);
        near(sum / MANY, 0, 5 / sqrt(MANY), "mean"); /* five standard errors */
        near(square / MANY, 1, 5 * sqrt(2.0 / MANY), "variance");
        near(both / MANY, 0, 5 / sqrt(MANY), "correlation");
    }
}

static void pictures_become_bytes_halves_up(void **state)
{
    (void)state;
    static const float x[] = {-1, 1, 0, -1.5f, 7, 0.5f / 127.5f, -0.5f / 127.5f - 1e-6f, 0.25f};
    static const uint8_t wanted[] = {0, 255, 128, 0, 255, 128, 127, 159};
    uint8_t found[DT_COUNT(x)];
    dt_sampler_bytes(x, found, DT_COUNT(x));
    for (size_t i = 0; i < DT_COUNT(x); i++) assert_int_equal(found[i], wanted[i]);
    for (int byte = 0; byte < 256; byte++) { /* what training made of a byte comes back as that byte */
        const float seen = (float)byte / 127.5f - 1;
        dt_sampler_bytes(&seen, found, 1);
        assert_int_equal(found[0], byte);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_spread_evenly_halves_to_even),
        cmocka_unit_test(impossible_steps_and_eta_are_refused),
        cmocka_unit_test(ddim_with_eta_one_is_ancestral_with_the_small_variance),
        cmocka_unit_test(ddim_on_the_true_noise_goes_back_in_time),
        cmocka_unit_test(the_last_move_gives_the_picture_without_noise),
        cmocka_unit_test(the_size_of_the_batch_changes_nothing),
        cmocka_unit_test(noise_is_of_seed_picture_and_step),
        cmocka_unit_test(pictures_become_bytes_halves_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
