/* Learning rates against torch.optim.lr_scheduler (the numbers were printed by torch 1.13) and against their formulas.
 * */
#include "train/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { STEPS = 5 }; /* of an epoch */

static dt_recipe recipe(int schedule, int64_t epochs, double warmup)
{
    dt_recipe r = {0};
    r.train.epochs = epochs;
    r.train.lr = 0.05;
    r.train.schedule.name = schedule;
    r.train.schedule.gamma = 0.1;
    r.train.schedule.milestones = (dt_ints){{2, 4}, 2};
    r.train.schedule.warmup_epochs = warmup;
    return r;
}

static void expect(const dt_recipe *r, int64_t step, double wanted)
{
    const double found = dt_learning_rate(r, step, STEPS);
    /* Both sides are a few roundings of double. */
    if (!(fabs(found - wanted) <= 1e-12 * fmax(1, fabs(wanted))))
        fail_msg("step %lld: found %.17g, wanted %.17g", (long long)step, found, wanted);
}

static void multistep_divides_at_each_milestone_as_torch(void **state)
{
    (void)state;
    const dt_recipe r = recipe(DT_SCHEDULE_MULTISTEP, 6, 0);
    const double torch[] = {
        0.05, 0.05, 0.005000000000000001, 0.005000000000000001, 0.0005000000000000001, 0.0005000000000000001};
    for (int epoch = 0; epoch < 6; epoch++)
        for (int k = 0; k < STEPS; k++) expect(&r, epoch * STEPS + k, torch[epoch]);
}

static void cosine_falls_to_zero_as_torch(void **state)
{
    (void)state;
    const dt_recipe r = recipe(DT_SCHEDULE_COSINE, 6, 0);
    expect(&r, 0, 0.05);
    expect(&r, 1, 0.049863047384206834);
    expect(&r, 7, 0.04357862063693485);
    expect(&r, 15, 0.025000000000000005);
    expect(&r, 29, 0.000136952615793165);
    expect(&r, 30, 0);
}

/* torch counts its phases in steps - 1: total_steps 31 and pct_start 10/31 are 30 steps with a peak after 9. */
static void one_cycle_rises_and_falls_as_torch(void **state)
{
    (void)state;
    const dt_recipe r = recipe(DT_SCHEDULE_ONECYCLE, 6, 3 /* has its own warm-up: no effect */);
    expect(&r, 0, 0.0020000000000000018);
    expect(&r, 4, 0.02183244373599367);
    expect(&r, 9, 0.05);
    expect(&r, 20, 0.023134434485573358);
    expect(&r, 29, 0.0002842014214373481);
    expect(&r, 30, 0.05 / 1e4);
}

static void warm_up_is_linear_and_its_first_step_moves(void **state)
{
    (void)state;
    const dt_recipe constant = recipe(DT_SCHEDULE_CONSTANT, 6, 2), multistep = recipe(DT_SCHEDULE_MULTISTEP, 6, 3);
    for (int step = 0; step < 6 * STEPS; step++) expect(&constant, step, 0.05 * fmin(1, (step + 1) / 10.0));
    expect(&multistep, 11, 0.005 * 12 / 15); /* a milestone within the warm-up counts */
    expect(&multistep, 15, 0.005);
}

static void cosine_starts_its_fall_after_the_warm_up(void **state)
{
    (void)state;
    const dt_recipe r = recipe(DT_SCHEDULE_COSINE, 6, 2);
    const double pi = acos(-1);
    for (int step = 0; step < 10; step++) expect(&r, step, 0.05 * (step + 1) / 10.0);
    for (int step = 10; step < 30; step++) expect(&r, step, 0.05 * 0.5 * (1 + cos(pi * (step - 10) / 20.0)));
}

static void poly_falls_to_zero_in_every_step(void **state)
{
    (void)state;
    dt_recipe r = recipe(DT_SCHEDULE_POLY, 6, 0);
    r.train.schedule.power = 0.9;
    for (int step = 0; step <= 30; step++) expect(&r, step, 0.05 * pow(1 - step / 30.0, 0.9));
    r.train.schedule.warmup_epochs = 1;
    expect(&r, 2, 0.6 * 0.05 * pow(1 - 2 / 30.0, 0.9)); /* the third of five steps of the warm-up */
}

static void steps_take_the_place_of_epochs(void **state)
{
    (void)state;
    dt_recipe poly = recipe(DT_SCHEDULE_POLY, 6, 0), cosine = recipe(DT_SCHEDULE_COSINE, 6, 0);
    poly.train.steps = cosine.train.steps = 17; /* three epochs of 5, and 2 steps */
    poly.train.schedule.power = 1;
    assert_int_equal(dt_total_steps(&poly, STEPS), 17);
    for (int step = 0; step <= 17; step++) expect(&poly, step, 0.05 * (1 - step / 17.0));
    expect(&cosine, 0, 0.05);
    expect(&cosine, 17, 0);
    poly.train.steps = 0;
    assert_int_equal(dt_total_steps(&poly, STEPS), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multistep_divides_at_each_milestone_as_torch),
        cmocka_unit_test(cosine_falls_to_zero_as_torch),
        cmocka_unit_test(one_cycle_rises_and_falls_as_torch),
        cmocka_unit_test(warm_up_is_linear_and_its_first_step_moves),
        cmocka_unit_test(cosine_starts_its_fall_after_the_warm_up),
        cmocka_unit_test(poly_falls_to_zero_in_every_step),
        cmocka_unit_test(steps_take_the_place_of_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
