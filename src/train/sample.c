/* Pictures from a network that denoises: the samplers of src/tasks around a network in inference mode.
 *
 * Pictures are made a batch at a time. Each has noise of its own, so that neither the batch it is in nor the network changes what it
 * starts from. */
#include "train_impl.h"

#include <math.h>
#include <string.h>

/* One batch under way. */
typedef struct sampling {
    dt_trained *c;
    const dt_sample_spec *spec;
    dt_move *moves;       /* [steps] */
    float *x, *e, *noise; /* [batch] pictures each; noise: one picture */
    int32_t *time;        /* [batch] */
    size_t done, all;     /* runs of the network */
} sampling;

static duet_status prepare(sampling *s, duet_error *err)
{
    const dt_inference *i = &s->c->network;
    const int64_t timesteps = s->c->config.timesteps;
    const size_t steps = s->spec->sampler.steps > 0 ? (size_t)s->spec->sampler.steps : 1;
    double *ab = dt_alloc((size_t)timesteps, sizeof *ab);
    s->moves = dt_alloc(steps, sizeof *s->moves);
    s->x = dt_alloc(i->batch * i->image_count, sizeof *s->x);
    s->e = dt_alloc(i->batch * i->image_count, sizeof *s->e);
    s->noise = dt_alloc(i->image_count, sizeof *s->noise);
    s->time = dt_alloc(i->batch, sizeof *s->time);
    duet_status st = DUET_OK;
    if (!ab || !s->moves || !s->x || !s->e || !s->noise || !s->time)
        st = dt_fail(err, DUET_MEMORY, "not enough memory to sample %zu pictures at once in %zu steps", i->batch, steps);
    if (!st) {
        dt_noise_schedule(&s->c->config, ab);
        st = dt_sampler_plan(&s->spec->sampler, ab, timesteps, s->moves, err);
    }
    s->all = steps * ((s->spec->n + i->batch - 1) / i->batch);
    dt_free(ab);
    return st;
}

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Move k, from 0, of the n pictures that start with number `first`. */
static duet_status move(sampling *s, size_t k, uint64_t first, size_t n, duet_error *err)
{
    const dt_move *m = &s->moves[k];
    const size_t count = s->c->network.image_count;
    for (size_t p = 0; p < n; p++) s->time[p] = m->time;
    DT_TRY(dt_inference_run(&s->c->network, s->x, s->time, n, s->e, err));
    /* x0 is clamped: what is not a number would look like one afterwards. */
    if (!all_finite(s->e, n * count)) return dt_fail(err, DUET_NUMERIC, "%s: its output at time %d is not finite", s->c->model->name, (int)m->time);
    for (size_t p = 0; p < n; p++) {
        if (m->spread > 0) dt_sampler_noise(s->spec->seed, first + p, (uint32_t)k + 1, s->noise, count);
        dt_sampler_move(m, s->x + p * count, s->e + p * count, s->noise, count);
    }
    s->done++;
    if (s->spec->progress && s->spec->progress(s->spec->user, s->done, s->all))
        return dt_fail(err, DUET_STOPPED, "stopped after %zu of %zu runs of the network", s->done, s->all);
    return DUET_OK;
}

static duet_status run(sampling *s, uint8_t *pixels, float *values, duet_error *err)
{
    const dt_inference *i = &s->c->network;
    const size_t count = i->image_count;
    for (size_t done = 0; done < s->spec->n;) {
        const size_t n = s->spec->n - done < i->batch ? s->spec->n - done : i->batch;
        const uint64_t first = s->spec->first + done;
        for (size_t p = 0; p < n; p++) dt_sampler_noise(s->spec->seed, first + p, 0, s->x + p * count, count);
        for (size_t k = 0; k < (size_t)s->spec->sampler.steps; k++) DT_TRY(move(s, k, first, n, err));
        if (pixels) dt_sampler_bytes(s->x, pixels + done * count, n * count);
        if (values) memcpy(values + done * count, s->x, n * count * sizeof *values);
        done += n;
    }
    return DUET_OK;
}

duet_status dt_sample(dt_trained *c, const dt_sample_spec *spec, uint8_t *pixels, float *values, duet_error *err)
{
    if (!(c->task->needs & DT_NEEDS_NOISE))
        return dt_fail(err, DUET_ARG, "%s is a network for task %s; pictures can be sampled from one that denoises, such as unet_c16", c->model->name,
                       c->task->name);
    sampling s = {.c = c, .spec = spec};
    duet_status st = prepare(&s, err);
    if (!st) st = run(&s, pixels, values, err);
    dt_free(s.moves);
    dt_free(s.x);
    dt_free(s.e);
    dt_free(s.noise);
    dt_free(s.time);
    return st;
}
