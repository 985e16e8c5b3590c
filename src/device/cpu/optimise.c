/* The optimiser's pass over one network's flat blocks: every block it has is read, and written, once; with clipping, a
 * pass over the gradients for their norm comes before it.
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
    dt_update_numbers numbers;
    part_result *results; /* [parts] */
} update_task;

static void squares_part(void *task, int i, int parts)
{
    const update_task *t = task;
    const dt_cpu_share floats = dt_cpu_share_of(t->p->n, CACHE_LINE_FLOATS, i, parts);
    t->results[i].squares = t->loops->squares((const float *)t->p->gradient + floats.begin, floats.end - floats.begin);
}

static float *from(void *block, size_t begin) { return block ? (float *)block + begin : NULL; }

static void update_part(void *task, int i, int parts)
{
    const update_task *t = task;
    const dt_update *p = t->p;
    const dt_cpu_share floats = dt_cpu_share_of(p->n, CACHE_LINE_FLOATS, i, parts);
    const dt_update_blocks blocks = {.weight = from(p->weight, floats.begin),
                                     .momentum = from(p->momentum, floats.begin),
                                     .second = from(p->second, floats.begin),
                                     .average = from(p->average, floats.begin),
                                     .gradient = (const float *)p->gradient + floats.begin};
    const size_t n = floats.end - floats.begin;
    t->results[i].finite = p->rule.optimiser == DT_SGD ? t->loops->sgd(&blocks, n, &t->numbers)
                                                       : t->loops->adam(&blocks, n, &t->numbers);
}

/* Everything that is the same for all elements, in double, rounded once. */
static dt_update_numbers numbers_of(const dt_update *p)
{
    const dt_update_rule *r = &p->rule;
    const double t = (double)p->updates + 1;
    const bool decoupled = r->optimiser == DT_ADAMW;
    return (dt_update_numbers){.nesterov = r->nesterov,
                               .clip = 1,
                               .decay = decoupled ? 0 : (float)r->weight_decay,
                               .lr = (float)p->lr,
                               .momentum = (float)r->momentum,
                               .shrink = decoupled ? (float)(1 - p->lr * r->weight_decay) : 1,
                               .beta1 = (float)r->beta1,
                               .rest1 = (float)(1 - r->beta1),
                               .beta2 = (float)r->beta2,
                               .rest2 = (float)(1 - r->beta2),
                               .eps = (float)r->eps,
                               .rate = (float)(p->lr / (1 - pow(r->beta1, t))),
                               .correction = (float)(1 / sqrt(1 - pow(r->beta2, t))),
                               .renewal = (float)(1 - fmin(r->ema, t / (t + 9)))};
}

static void clip(update_task *t, dt_update *p, int parts)
{
    double squares = 0;
    dt_cpu_divide(parts, squares_part, t);
    for (int i = 0; i < parts; i++) squares += t->results[i].squares;
    p->norm = sqrt(squares);
    const double factor = p->rule.clip_norm / (p->norm + 1e-6);
    t->numbers.clips = true;
    t->numbers.clip = factor < 1 ? (float)factor : 1;
}

static int run_update(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    dt_update *p = in[0];
    float *not_finite = out[0];
    update_task t = {s->device->loops, p, numbers_of(p), scratch};
    if (p->rule.clip_norm > 0) clip(&t, p, s->parts);
    dt_cpu_divide(s->parts, update_part, &t);
    not_finite[0] = 0;
    for (int i = 0; i < s->parts; i++)
        if (!t.results[i].finite) not_finite[0] = 1;
    p->updates++;
    return 0;
}

duet_status dt_cpu_update(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    dt_cpu_state *s = dt_cpu_state_new(d, op, sizeof *s, 0, err);
    if (!s) return DUET_MEMORY;
    s->parts = d->base.threads; /* the blocks' length is not in the shapes */
    return dt_cpu_finish(s, run_update, (size_t)s->parts * sizeof(part_result), out);
}
