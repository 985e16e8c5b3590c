/* Batches, prepared ahead by worker threads.
 *
 * A pass is a list of steps; step s needs records order[s * batch ...]. Slots form a ring: step s is made in slot
 * s % n_slots and nowhere else, so the consumer knows where to wait and no queue is needed. A slot goes round:
 *
 *     FREE --claimed by a worker--> FILLING --done--> READY --dt_loader_next--> HELD --dt_loader_give_back--> FREE
 *
 * Invariants.
 *   - State, claims and the pass are read and written under the lock only. The contents of a slot belong to exactly one
 *     thread: the worker while FILLING, the consumer while HELD, nobody else ever. Passing the lock orders the writes.
 *   - Workers claim whole steps in order (claimed), and only when the step's slot is FREE. The consumer takes steps in
 *     order (taken).
 *   - What is in a batch depends on (seed, epoch, step) alone: each record's random numbers are keyed by the record,
 *     so it does not matter which worker made it, or when, or how many there are.
 *   - Nothing is allocated after creation. */
#include "data/data_impl.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { CHANNELS = 3, MAX_VIEWS = 8, VIEW_BIT = 56 /* of the index of an augmentation stream */ };

typedef enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_HELD } slot_state;

typedef struct slot {
    dt_batch batch; /* first: a dt_batch given back is a slot */
    slot_state state;
} slot;

typedef struct worker {
    struct dt_loader *loader;
    pthread_t thread;
    uint8_t *record, *augmented, *mask, *augmented_mask; /* one picture as read and as augmented */
} worker;

struct dt_loader {
    dt_loader_spec spec;
    size_t pixels;              /* of a picture: height * width */
    size_t steps;               /* of a pass */
    uint32_t *order;            /* [spec.n_indices]; written by dt_loader_start while no worker is filling */
    float value[CHANNELS][256]; /* (byte / 255 - mean) / std */
    slot *slots;
    size_t n_slots;
    worker *workers;
    int n_threads; /* started */

    pthread_mutex_t lock;
    pthread_cond_t work;  /* a step may have become claimable, or the loader is stopping */
    pthread_cond_t ready; /* a slot has become READY */
    uint32_t epoch;
    size_t claimed, taken, end; /* next step to claim, next to hand out, one past the last of the pass */
    bool stopping;
};

/* ---- filling a batch (a worker's own time; no lock) ---------------------------------------------------------- */

static void normalise(const dt_loader *l, const uint8_t *bytes, float *restrict out)
{
    for (size_t i = 0; i < l->pixels; i++)
        for (size_t k = 0; k < CHANNELS; k++) out[CHANNELS * i + k] = l->value[k][bytes[CHANNELS * i + k]];
}

static void fill_record(const dt_loader *l, const worker *w, uint32_t epoch, uint32_t record, size_t place, dt_batch *b)
{
    const dt_source *source = l->spec.source;
    size_t h = source->facts.height, width = source->facts.width;
    source->read(source, l->spec.split, record, w->record, &b->labels[place], w->mask);
    for (int view = 0; view < l->spec.views; view++) {
        dt_rng rng = dt_rng_make(l->spec.seed, DT_PURPOSE_AUGMENT, epoch, (uint64_t)view << VIEW_BIT | record);
        const uint8_t *bytes = w->record;
        if (l->spec.augment != DT_AUGMENT_NONE) {
            dt_augment_apply(l->spec.augment, rng, w->record, h, width, CHANNELS, w->augmented);
            bytes = w->augmented;
        }
        normalise(l, bytes, b->images[view] + place * l->pixels * CHANNELS);
        if (view > 0 || !b->mask) continue;
        dt_augment_apply(l->spec.augment, rng, w->mask, h, width, 1, w->augmented_mask);
        for (size_t i = 0; i < l->pixels; i++) b->mask[place * l->pixels + i] = (float)w->augmented_mask[i];
    }
}

/* The last batch of a pass may be short; its empty places are zero, so that equal passes have equal bytes. */
static void clear_rest(const dt_loader *l, dt_batch *b)
{
    size_t rest = l->spec.batch - b->n;
    if (rest == 0) return;
    for (int view = 0; view < l->spec.views; view++)
        memset(b->images[view] + b->n * l->pixels * CHANNELS, 0, rest * l->pixels * CHANNELS * sizeof(float));
    memset(b->labels + b->n, 0, rest * sizeof *b->labels);
    if (b->mask) memset(b->mask + b->n * l->pixels, 0, rest * l->pixels * sizeof(float));
}

static void fill_batch(const dt_loader *l, const worker *w, uint32_t epoch, size_t step, dt_batch *b)
{
    size_t first = step * l->spec.batch, left = l->spec.n_indices - first;
    b->n = left < l->spec.batch ? left : l->spec.batch;
    b->step = (int64_t)step;
    for (size_t i = 0; i < b->n; i++) fill_record(l, w, epoch, l->order[first + i], i, b);
    clear_rest(l, b);
}

static slot *slot_of(const dt_loader *l, size_t step)
{
    return &l->slots[step % l->n_slots];
}

static void *work(void *argument)
{
    worker *w = argument;
    dt_loader *l = w->loader;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stopping && !(l->claimed < l->end && slot_of(l, l->claimed)->state == SLOT_FREE))
            pthread_cond_wait(&l->work, &l->lock);
        if (l->stopping) break;
        size_t step = l->claimed++;
        slot *s = slot_of(l, step);
        uint32_t epoch = l->epoch;
        s->state = SLOT_FILLING;
        pthread_mutex_unlock(&l->lock);
        fill_batch(l, w, epoch, step, &s->batch);
        pthread_mutex_lock(&l->lock);
        s->state = SLOT_READY;
        pthread_cond_signal(&l->ready); /* one consumer waits, be it in next or in start */
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- creation ------------------------------------------------------------------------------------------------ */

static duet_status check_spec(const dt_loader_spec *s, size_t records, duet_error *err)
{
    if (s->batch < 1) return dt_fail(err, DUET_ARG, "loader: a batch of 0 images; at least 1 is needed");
    if (s->views < 1 || s->views > MAX_VIEWS)
        return dt_fail(err, DUET_ARG, "loader: %d views; 1 to %d are possible", s->views, MAX_VIEWS);
    if (s->workers < 1) return dt_fail(err, DUET_ARG, "loader: %d workers; at least 1 is needed", s->workers);
    if (s->slots < 0) return dt_fail(err, DUET_ARG, "loader: %d slots; 1 or more, or 0 for workers + 2", s->slots);
    size_t n = s->indices ? s->n_indices : records;
    if (n < 1) return dt_fail(err, DUET_ARG, "%s: no image to load", s->source->facts.name);
    if (s->drop_last && n < s->batch)
        return dt_fail(err, DUET_ARG, "%s: %zu images do not fill one batch of %zu; choose a batch of at most %zu",
                       s->source->facts.name, n, s->batch, n);
    for (size_t i = 0; s->indices && i < n; i++)
        if (s->indices[i] >= records)
            return dt_fail(err, DUET_ARG, "%s: index %zu asks for image %u of %zu", s->source->facts.name, i,
                           (unsigned)s->indices[i], records);
    return DUET_OK;
}

/* Records in their own order: what an unshuffled pass uses and a shuffle starts from. */
static void plain_order(dt_loader *l)
{
    const uint32_t *given = l->spec.indices;
    for (size_t i = 0; i < l->spec.n_indices; i++) l->order[i] = given ? given[i] : (uint32_t)i;
}

static void fill_table(dt_loader *l)
{
    const dt_data_facts *f = &l->spec.source->facts;
    for (size_t k = 0; k < CHANNELS; k++)
        for (size_t byte = 0; byte < 256; byte++) l->value[k][byte] = ((float)byte / 255.0f - f->mean[k]) / f->std[k];
}

static float *floats(size_t a, size_t b)
{
    size_t n;
    return dt_size_mul(a, b, &n) ? dt_alloc(n, sizeof(float)) : NULL;
}

static bool allocate_slot(const dt_loader *l, slot *s)
{
    for (int view = 0; view < l->spec.views; view++) {
        s->batch.images[view] = floats(l->spec.batch, l->pixels * CHANNELS);
        if (!s->batch.images[view]) return false;
    }
    s->batch.labels = dt_alloc(l->spec.batch, sizeof *s->batch.labels);
    bool masks = l->spec.source->facts.masks;
    if (masks) s->batch.mask = floats(l->spec.batch, l->pixels);
    return s->batch.labels && (!masks || s->batch.mask);
}

static bool allocate_worker(const dt_loader *l, worker *w)
{
    w->record = dt_alloc(l->pixels, CHANNELS);
    w->augmented = dt_alloc(l->pixels, CHANNELS);
    bool masks = l->spec.source->facts.masks;
    if (masks) {
        w->mask = dt_alloc(l->pixels, 1);
        w->augmented_mask = dt_alloc(l->pixels, 1);
    }
    return w->record && w->augmented && (!masks || (w->mask && w->augmented_mask));
}

static bool allocate(dt_loader *l)
{
    l->order = dt_alloc(l->spec.n_indices, sizeof *l->order);
    l->slots = dt_alloc(l->n_slots, sizeof *l->slots);
    l->workers = dt_alloc((size_t)l->spec.workers, sizeof *l->workers);
    bool ok = l->order && l->slots && l->workers;
    for (size_t i = 0; ok && i < l->n_slots; i++) ok = allocate_slot(l, &l->slots[i]);
    for (int i = 0; ok && i < l->spec.workers; i++) ok = allocate_worker(l, &l->workers[i]);
    return ok;
}

static void release(dt_loader *l)
{
    for (size_t i = 0; l->slots && i < l->n_slots; i++) {
        dt_batch *b = &l->slots[i].batch;
        for (int view = 0; view < MAX_VIEWS; view++) dt_free(b->images[view]);
        dt_free(b->labels);
        dt_free(b->mask);
    }
    for (int i = 0; l->workers && i < l->spec.workers; i++) {
        dt_free(l->workers[i].record);
        dt_free(l->workers[i].augmented);
        dt_free(l->workers[i].mask);
        dt_free(l->workers[i].augmented_mask);
    }
    dt_free(l->workers);
    dt_free(l->slots);
    dt_free(l->order);
    dt_free(l);
}

/* Workers take no signals: Ctrl-C belongs to whoever runs the training loop. */
static duet_status start_workers(dt_loader *l, duet_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (; !failed && l->n_threads < l->spec.workers; l->n_threads += !failed) {
        worker *w = &l->workers[l->n_threads];
        w->loader = l;
        failed = pthread_create(&w->thread, NULL, work, w);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) return DUET_OK;
    return dt_fail(err, DUET_MEMORY, "loader: cannot start worker %d of %d: %s; ask for fewer (data.workers)",
                   l->n_threads + 1, l->spec.workers, strerror(failed));
}

duet_status dt_loader_create(const dt_loader_spec *spec, dt_loader **out, duet_error *err)
{
    const dt_data_facts *facts = &spec->source->facts;
    size_t records = spec->split == DT_SPLIT_TRAIN ? facts->train_images : facts->test_images;
    DT_TRY(check_spec(spec, records, err));

    dt_loader *l = dt_alloc(1, sizeof *l);
    if (!l) return dt_fail(err, DUET_MEMORY, "loader: out of memory");
    l->spec = *spec;
    if (!spec->indices) l->spec.n_indices = records;
    l->pixels = facts->height * facts->width;
    l->steps = l->spec.n_indices / spec->batch + (!spec->drop_last && l->spec.n_indices % spec->batch != 0);
    l->n_slots = spec->slots ? (size_t)spec->slots : (size_t)spec->workers + 2;
    if (!allocate(l)) {
        release(l);
        return dt_fail(
            err, DUET_MEMORY,
            "loader: %zu batches of %zu images do not fit into memory; choose a smaller batch or fewer workers",
            spec->slots ? (size_t)spec->slots : (size_t)spec->workers + 2, spec->batch);
    }
    fill_table(l);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    duet_status st = start_workers(l, err);
    if (st) {
        dt_loader_destroy(l);
        return st;
    }
    *out = l;
    return DUET_OK;
}

void dt_loader_destroy(dt_loader *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_threads; i++) pthread_join(l->workers[i].thread, NULL);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    release(l);
}

/* ---- the consumer's side ------------------------------------------------------------------------------------- */

size_t dt_loader_steps(const dt_loader *l)
{
    return l->steps;
}

/* Ends the pass under way, which may be in its middle: nothing new is claimed, what is being filled is waited for
 * and dropped. */
static void abandon_pass(dt_loader *l)
{
    l->end = 0;
    for (size_t i = 0; i < l->n_slots; i++) {
        while (l->slots[i].state == SLOT_FILLING) pthread_cond_wait(&l->ready, &l->lock);
        if (l->slots[i].state == SLOT_HELD) DT_BUG("a pass starts while a batch of the last one is held");
        l->slots[i].state = SLOT_FREE;
    }
}

void dt_loader_start(dt_loader *l, uint32_t epoch, size_t first_step)
{
    pthread_mutex_lock(&l->lock);
    abandon_pass(l);
    plain_order(l);
    if (l->spec.shuffle) dt_shuffle(l->order, l->spec.n_indices, l->spec.seed, epoch);
    l->epoch = epoch;
    l->claimed = l->taken = first_step;
    l->end = l->steps;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}

dt_batch *dt_loader_next(dt_loader *l, double *wait_s)
{
    dt_batch *b = NULL;
    pthread_mutex_lock(&l->lock);
    if (l->taken < l->end) {
        slot *s = slot_of(l, l->taken);
        if (s->state == SLOT_HELD)
            DT_BUG("batch %zu was asked for before batch %lld was given back", l->taken, (long long)s->batch.step);
        if (s->state != SLOT_READY) {
            double since = wait_s ? dt_now_s() : 0;
            while (s->state != SLOT_READY) pthread_cond_wait(&l->ready, &l->lock);
            if (wait_s) *wait_s += dt_now_s() - since;
        }
        s->state = SLOT_HELD;
        l->taken++;
        b = &s->batch;
    }
    pthread_mutex_unlock(&l->lock);
    return b;
}

void dt_loader_give_back(dt_loader *l, dt_batch *b)
{
    slot *s = (slot *)b;
    pthread_mutex_lock(&l->lock);
    if (s < l->slots || s >= l->slots + l->n_slots || s->state != SLOT_HELD)
        DT_BUG("a batch is given back that is not held");
    s->state = SLOT_FREE;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}
