/* The optimiser's pass over one network's flat blocks: every block it has is read, and written, once; with clipping, a
 * pass over the gradients for their norm comes before it; where several runs make one update, one that sums them up comes
 * first, in every run.
 *
 * The norm is the sum of the parts' sums, in double, in their order: like everything here it depends on the blocks'
 * length and on the number of threads. */
#include "device/cpu/cpu_impl.h"

#include <math.h>

enum { CACHE_LINE_FLOATS = DT_ALIGN / sizeof(float) };

/* What a part has to say; in scratch memory. */
typedef struct part_result {
    double squares;
    bool finite;
} part_result;

typedef struct update_task {
    const dt_loops *loops;
    const dt_update *p;
    const float *gradient; /* what weights follow: of this run, or the mean of several */
    bool clips;
    float clip;
    float scale;           /* of the sum */
    part_result *results; /* [parts] */
} update_task;

static void squares_part(void *task, int i, int parts)
{
    const update_task *t = task;
    const dt_cpu_share floats = dt_cpu_share_of(t->p->n, CACHE_LINE_FLOATS, i, parts);
    t->results[i].squares = t->loops->squares(t->gradient + floats.begin, floats.end - floats.begin);
}

static void collect_part(void *task, int i, int parts)
{
    const update_task *t = task;
    const dt_update *p = t->p;
    const dt_cpu_share floats = dt_cpu_share_of(p->n, CACHE_LINE_FLOATS, i, parts);
    t->results[i].finite = t->loops->collect((float *)p->sum + floats.begin, (const float *)p->gradient + floats.begin, floats.end - floats.begin,
                                             p->summed == 0, t->scale);
}

static float *from(void *block, size_t begin) { return block ? (float *)block + begin : NULL; }

/* Everything that is the same for all elements of one learning rate, in double, rounded once. */
static dt_update_numbers numbers_of(const dt_update *p, double lr)
{
    const dt_update_rule *r = &p->rule;
    const double t = (double)p->updates + 1;
    const bool decoupled = r->optimiser == DT_ADAMW;
    return (dt_update_numbers){.nesterov = r->nesterov,
                               .decay = decoupled ? 0 : (float)r->weight_decay,
                               .lr = (float)lr,
                               .momentum = (float)r->momentum,
                               .shrink = decoupled ? (float)(1 - lr * r->weight_decay) : 1,
                               .beta1 = (float)r->beta1,
                               .rest1 = (float)(1 - r->beta1),
                               .beta2 = (float)r->beta2,
                               .rest2 = (float)(1 - r->beta2),
                               .eps = (float)r->eps,
                               .rate = (float)(lr / (1 - pow(r->beta1, t))),
                               .correction = (float)(1 / sqrt(1 - pow(r->beta2, t))),
                               .renewal = (float)(1 - fmin(r->ema, t / (t + 9)))};
}

/* Elements begin..end-1, all of one learning rate. */
static bool update_range(const update_task *t, size_t begin, size_t end, double lr)
{
    const dt_update *p = t->p;
    const dt_update_blocks blocks = {.weight = from(p->weight, begin),
                                     .momentum = from(p->momentum, begin),
                                     .second = from(p->second, begin),
                                     .average = from(p->average, begin),
                                     .gradient = t->gradient + begin};
    dt_update_numbers numbers = numbers_of(p, lr);
    numbers.clips = t->clips;
    numbers.clip = t->clip;
    return p->rule.optimiser == DT_SGD ? t->loops->sgd(&blocks, end - begin, &numbers) : t->loops->adam(&blocks, end - begin, &numbers);
}

static void update_part(void *task, int i, int parts)
{
    const update_task *t = task;
    const dt_update *p = t->p;
    const dt_cpu_share floats = dt_cpu_share_of(p->n, CACHE_LINE_FLOATS, i, parts);
    bool finite = true;
    size_t at = floats.begin;
    for (size_t g = 0; g < p->n_groups && at < floats.end; g++) {
        const size_t end = p->groups[g].end < floats.end ? p->groups[g].end : floats.end;
        if (end <= at) continue;
        finite &= update_range(t, at, end, p->lr * p->groups[g].lr_scale);
        at = end;
    }
    if (at < floats.end) finite &= update_range(t, at, floats.end, p->lr);
    t->results[i].finite = finite;
}

static void clip(update_task *t, dt_update *p, int parts)
{
    double squares = 0;
    dt_cpu_divide(parts, squares_part, t);
    for (int i = 0; i < parts; i++) squares += t->results[i].squares;
    p->norm = sqrt(squares);
    const double factor = p->rule.clip_norm / (p->norm + 1e-6);
    t->clips = true;
    t->clip = factor < 1 ? (float)factor : 1;
}

static bool all_finite(const update_task *t, int parts)
{
    bool finite = true;
    for (int i = 0; i < parts; i++) finite &= t->results[i].finite;
    return finite;
}

/* Adds this run's gradients to the sum, which the last run of an update makes their mean. */
static bool collect(update_task *t, dt_update *p, int parts, bool *last)
{
    *last = p->summed + 1 == p->rule.batches;
    t->scale = *last ? 1 / (float)p->rule.batches : 1;
    dt_cpu_divide(parts, collect_part, t);
    p->summed = *last ? 0 : p->summed + 1;
    t->gradient = p->sum;
    return all_finite(t, parts);
}

static int run_update(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    dt_update *p = in[0];
    float *not_finite = out[0];
    update_task t = {.loops = s->device->loops, .p = p, .gradient = p->gradient, .clip = 1, .results = scratch};
    bool last = true, finite = !p->sum || collect(&t, p, s->parts, &last);
    if (last) {
        if (p->rule.clip_norm > 0) clip(&t, p, s->parts);
        dt_cpu_divide(s->parts, update_part, &t);
        finite &= all_finite(&t, s->parts);
        p->updates++;
    }
    not_finite[0] = finite ? 0 : 1;
    return 0;
}

duet_status dt_cpu_update(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    dt_cpu_state *s = dt_cpu_state_new(d, op, sizeof *s, 0, err);
    if (!s) return DUET_MEMORY;
    s->parts = d->base.threads; /* the blocks' length is not in the shapes */
    return dt_cpu_finish(s, run_update, (size_t)s->parts * sizeof(part_result), out);
}
