/* The learning rate of a step, as a formula of the step number alone: nothing to save, nothing to restore. */
#include "train/train.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* From a to b along half a cosine as t goes from 0 to 1. */
static double half_cosine(double a, double b, double t)
{
    return a + (b - a) * 0.5 * (1 - cos(pi * fmin(t, 1)));
}

static double one_cycle(double lr, double step, double total)
{
    const double up = 0.3 * total;
    if (step < up) return half_cosine(lr / 25, lr, step / up);
    return half_cosine(lr, lr / 1e4, (step - up) / fmax(1, total - up));
}

static double multistep(const dt_recipe *r, int64_t epoch)
{
    double lr = r->train.lr;
    for (size_t i = 0; i < r->train.schedule.milestones.n; i++)
        if (r->train.schedule.milestones.at[i] <= epoch) lr *= r->train.schedule.gamma;
    return lr;
}

int64_t dt_total_steps(const dt_recipe *r, int64_t steps_per_epoch)
{
    return r->train.steps > 0 ? r->train.steps : r->train.epochs * steps_per_epoch;
}

double dt_learning_rate(const dt_recipe *r, int64_t step, int64_t steps_per_epoch)
{
    const double total = (double)dt_total_steps(r, steps_per_epoch);
    const double warm = r->train.schedule.warmup_epochs * (double)steps_per_epoch;
    const double ramp = warm > 0 ? fmin(1, ((double)step + 1) / warm) : 1;

    switch (r->train.schedule.name) {
    case DT_SCHEDULE_MULTISTEP: return ramp * multistep(r, step / steps_per_epoch);
    case DT_SCHEDULE_COSINE:
        return ramp * half_cosine(r->train.lr, 0, fmax(0, (double)step - warm) / fmax(1, total - warm));
    case DT_SCHEDULE_ONECYCLE: return one_cycle(r->train.lr, (double)step, total);
    case DT_SCHEDULE_CONSTANT: return ramp * r->train.lr;
    case DT_SCHEDULE_POLY:
        return ramp * r->train.lr * pow(fmax(0, 1 - (double)step / total), r->train.schedule.power);
    default: DT_BUG("schedule %d is in no table", r->train.schedule.name);
    }
}
