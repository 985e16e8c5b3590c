/* The optimiser's pass over one network's flat blocks: one read of the gradient, one read and write of weight and
 * momentum. */
#include "device/cpu/cpu_impl.h"

enum { CACHE_LINE_FLOATS = DT_ALIGN / sizeof(float) };

typedef struct update_task {
    const dt_cpu_state *s;
    const dt_update *p;
    bool *finite; /* [parts] */
} update_task;

static void update_part(void *task, int i, int parts)
{
    const update_task *t = task;
    const dt_update *p = t->p;
    const dt_cpu_share floats = dt_cpu_share_of(p->n, CACHE_LINE_FLOATS, i, parts);
    const dt_update_numbers numbers = {(float)p->lr, (float)p->momentum_factor, (float)p->weight_decay, p->nesterov};
    t->finite[i] =
        t->s->device->loops->sgd((float *)p->weight + floats.begin, (float *)p->momentum + floats.begin,
                                 (const float *)p->gradient + floats.begin, floats.end - floats.begin, numbers);
}

static int run_update(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    update_task t = {s, in[0], scratch};
    float *not_finite = out[0];
    dt_cpu_divide(s->parts, update_part, &t);
    not_finite[0] = 0;
    for (int i = 0; i < s->parts; i++)
        if (!t.finite[i]) not_finite[0] = 1;
    return 0;
}

duet_status dt_cpu_update(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    dt_cpu_state *s = dt_cpu_state_new(d, op, sizeof *s, 0, err);
    if (!s) return DUET_MEMORY;
    s->parts = d->base.threads; /* the blocks' length is not in the shapes */
    return dt_cpu_finish(s, run_update, (size_t)s->parts * sizeof(bool), out);
}
