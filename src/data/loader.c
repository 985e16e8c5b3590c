/* Batches, prepared ahead by worker threads.
 *
 * A pass is a list of steps; step s needs records order[s * batch ...]. Slots form a ring: step s is made in slot
 * s % n_slots and nowhere else, so the consumer knows where to wait and no queue is needed. A slot goes round:
 *
 *     FREE --claimed by a worker--> FILLING --done--> READY --dt_loader_next--> HELD --dt_loader_give_back--> FREE
 *                                          --a record cannot be read--> FAILED, where the pass ends
 *
 * Invariants.
 *   - State, claims and the pass are read and written under the lock only. The contents of a slot belong to exactly one
 *     thread: the worker while FILLING, the consumer while HELD, nobody else ever. Passing the lock orders the writes.
 *   - Workers claim whole steps in order (claimed), and only when the step's slot is FREE. The consumer takes steps in
 *     order (taken).
 *   - What is in a batch depends on (seed, epoch, step) alone: each record's random numbers are keyed by the record,
 *     so it does not matter which worker made it, or when, or how many there are. So does an error: the consumer meets
 *     failed steps in order, and within a step the first record that cannot be read is the one that counts.
 *   - Nothing is allocated after creation, but where pictures are resized: a worker's buffers grow to what its largest picture
 *     needs, and stay. */
#include "data/data_impl.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { CHANNELS = 3, MAX_VIEWS = 8, VIEW_BIT = 56 /* of the index of an augmentation stream */ };

typedef enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_HELD, SLOT_FAILED } slot_state;

typedef struct slot {
    dt_batch batch; /* first: a dt_batch given back is a slot */
    slot_state state;
    duet_error error; /* of a failed one */
} slot;

typedef struct worker {
    struct dt_loader *loader;
    pthread_t thread;
    dt_record record;           /* one picture as read */
    uint8_t *augmented, *bytes; /* and as augmented; bytes: its mask, then its classes */
    dt_column *columns;         /* [crop.width], with a crop */
    dt_encoded encoded;         /* with resize: the file of one picture, */
    dt_pixels picture;          /* the picture, */
    dt_resampler resampler;
    uint8_t *square;            /* and what is made of it */
    dt_mix mix;                 /* with mixup */
} worker;

struct dt_loader {
    dt_loader_spec spec;
    bool resized, cropped, masks, dense; /* dense: a class for every pixel */
    bool bgr;
    size_t height, width;       /* of the largest picture in a batch */
    size_t pixels;              /* height * width */
    size_t steps;               /* of a pass */
    uint32_t *order;            /* [spec.n_indices]; written by dt_loader_start while no worker is filling */
    uint32_t *scratch;          /* [2 spec.n_indices], for a source with an order of its own */
    float value[CHANNELS][256]; /* (byte / unit - mean) / std, by the channel of the result */
    slot *slots;
    size_t n_slots;
    worker *workers;
    int n_threads; /* started */

    pthread_mutex_t lock;
    pthread_cond_t work;  /* a step may have become claimable, or the loader is stopping */
    pthread_cond_t ready; /* a slot has become READY or FAILED */
    uint32_t epoch;
    size_t claimed, taken, end; /* next step to claim, next to hand out, one past the last of the pass */
    bool stopping;
    size_t skipped, first_skipped; /* records of the pass with another in their place; the first such place, */
    duet_error first_error;        /* and what was wrong with the record in it */
    const duet_error *failure; /* of the pass, in its slot; NULL: none */
};

/* ---- filling a batch (a worker's own time; no lock) ---------------------------------------------------------- */

static void normalise(const dt_loader *l, const uint8_t *bytes, size_t pixels, float *restrict out)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t k = 0; k < CHANNELS; k++)
            out[CHANNELS * i + k] = l->value[k][bytes[CHANNELS * i + (l->bgr ? CHANNELS - 1 - k : k)]];
}

/* Where a batch holds what belongs to picture `place`. */
static float *image_of(const dt_batch *b, int view, size_t place)
{
    return b->images[view] + place * b->height * b->width * CHANNELS;
}

static void give_mask(dt_batch *b, size_t place, const uint8_t *mask)
{
    size_t pixels = b->height * b->width;
    for (size_t i = 0; i < pixels; i++) b->mask[place * pixels + i] = (float)mask[i];
}

static void give_pixel_labels(dt_batch *b, size_t place, const uint8_t *labels)
{
    size_t pixels = b->height * b->width;
    for (size_t i = 0; i < pixels; i++) b->pixel_labels[place * pixels + i] = labels[i];
}

/* A view of the worker's record, its size unchanged. */
static void augment(const dt_loader *l, const worker *w, dt_rng rng, int view, size_t place, dt_batch *b)
{
    const dt_record *r = &w->record;
    const uint8_t *pixels = r->pixels;
    if (l->spec.augment != DT_AUGMENT_NONE) {
        dt_augment_apply(l->spec.augment, rng, r->pixels, r->height, r->width, CHANNELS, w->augmented);
        pixels = w->augmented;
    }
    normalise(l, pixels, r->height * r->width, image_of(b, view, place));
    if (view > 0) return;
    if (l->masks) {
        dt_augment_apply(l->spec.augment, rng, r->mask, r->height, r->width, 1, w->bytes);
        give_mask(b, place, w->bytes);
    }
    if (l->dense) {
        dt_augment_labels(l->spec.augment, rng, r->pixel_labels, r->height, r->width, w->bytes);
        give_pixel_labels(b, place, w->bytes);
    }
}

/* The same, cut to the size of the crop. */
static void crop(const dt_loader *l, const worker *w, dt_rng rng, int view, size_t place, dt_batch *b)
{
    const dt_record *r = &w->record;
    const dt_crop *to = &l->spec.crop;
    const dt_window at = dt_window_draw(to, l->spec.augment, rng, r->height, r->width);
    size_t inside;
    dt_window_columns(&at, to, w->columns, &inside);
    dt_window_pixels(&at, to, w->columns, inside, r->pixels, l->value, l->bgr, image_of(b, view, place));
    if (view > 0) return;
    if (l->masks) {
        dt_window_bytes(&at, to, w->columns, inside, r->mask, 0, w->bytes);
        give_mask(b, place, w->bytes);
    }
    if (l->dense) {
        dt_window_bytes(&at, to, w->columns, inside, r->pixel_labels, DT_IGNORED, w->bytes);
        give_pixel_labels(b, place, w->bytes);
    }
}

/* What a record's random numbers are keyed by: its number in the data set, and the view. */
static dt_rng stream_of(const dt_loader *l, uint32_t epoch, uint32_t record, int view)
{
    return dt_rng_make(l->spec.seed, DT_PURPOSE_AUGMENT, epoch, (uint64_t)view << VIEW_BIT | record);
}

/* Views that need the same part of the picture share its decoding. facts NULL: it is decoded already, whole. */
static duet_status make_squares(const dt_loader *l, worker *w, const dt_picture_facts *facts, uint32_t epoch, uint32_t key,
                                size_t place, dt_batch *b, duet_error *err)
{
    const dt_squares *to = &l->spec.squares;
    size_t height = w->picture.height, width = w->picture.width;
    unsigned decoded = facts ? 0 : 8;
    if (facts) dt_picture_upright_size(facts, 8, &height, &width);
    for (int view = 0; view < l->spec.views; view++) {
        const dt_cut cut = dt_cut_draw(to, stream_of(l, epoch, key, view), height, width);
        const unsigned eighths = facts && facts->jpeg ? dt_cut_eighths(&cut) : 8;
        if (eighths != decoded) DT_TRY(dt_picture_upright(w->encoded.bytes, w->encoded.n, facts, eighths, &w->picture, err));
        decoded = eighths;
        if (!dt_cut_apply(&cut, to, &w->resampler, &w->picture, eighths, w->square))
            return dt_fail(err, DUET_MEMORY, "not enough memory for scaling a picture of %zux%zu pixels", height, width);
        normalise(l, w->square, to->size * to->size, image_of(b, view, place));
    }
    return DUET_OK;
}

/* All views of a record of any size, as squares. key: the record whose random numbers are used. */
static duet_status resize(const dt_loader *l, worker *w, uint32_t epoch, uint32_t record, uint32_t key, size_t place, dt_batch *b,
                          duet_error *err)
{
    const dt_source *source = l->spec.source;
    dt_picture_facts facts;
    if (!source->fetch) {
        DT_TRY(source->read(source, l->spec.split, record, &w->record, err));
        b->labels[place] = w->record.label;
        w->picture = (dt_pixels){.rgb = w->record.pixels, .height = w->record.height, .width = w->record.width};
        return make_squares(l, w, NULL, epoch, key, place, b, err);
    }
    DT_TRY(source->fetch(source, l->spec.split, record, &w->encoded, err));
    b->labels[place] = w->encoded.label;
    duet_status st = dt_picture_measure_bytes(w->encoded.bytes, w->encoded.n, &facts, err);
    if (!st) st = make_squares(l, w, &facts, epoch, key, place, b, err);
    if (st) dt_context(err, "%s", w->encoded.name);
    return st;
}

/* All views of a record, its own size or the crop's. */
static duet_status vary(const dt_loader *l, worker *w, uint32_t epoch, uint32_t record, uint32_t key, size_t place, dt_batch *b,
                        duet_error *err)
{
    const dt_source *source = l->spec.source;
    DT_TRY(source->read(source, l->spec.split, record, &w->record, err));
    b->labels[place] = w->record.label;
    b->height = l->cropped ? l->height : w->record.height;
    b->width = l->cropped ? l->width : w->record.width;
    for (int view = 0; view < l->spec.views; view++)
        (l->cropped ? crop : augment)(l, w, stream_of(l, epoch, key, view), view, place, b);
    return DUET_OK;
}

/* position: of the record in the pass. */
static void add_noise(const dt_loader *l, uint32_t epoch, uint32_t record, size_t position, size_t place, dt_batch *b)
{
    const dt_noising *n = l->spec.noising;
    const uint32_t T = (uint32_t)n->T;
    size_t values = b->height * b->width * CHANNELS;
    dt_rng eps = n->fixed ? dt_rng_make(l->spec.seed, DT_PURPOSE_VALIDATION, 0, position)
                          : dt_rng_make(l->spec.seed, DT_PURPOSE_NOISE, epoch, record);
    if (n->fixed) {
        b->time[place] = (int32_t)((uint64_t)position * T / l->spec.n_indices);
    } else {
        dt_rng time = dt_rng_make(l->spec.seed, DT_PURPOSE_TIMESTEP, epoch, record);
        b->time[place] = (int32_t)dt_rng_below(&time, T);
    }
    dt_noise_apply(n, b->time[place], eps, values, image_of(b, 0, place), b->noise + place * values);
}

/* Remembers that the record of a place was no good: of several, the one that comes first, whoever meets it first. */
static void note_skipped(dt_loader *l, size_t position, const duet_error *why)
{
    pthread_mutex_lock(&l->lock);
    if (l->skipped++ == 0 || position < l->first_skipped) {
        l->first_skipped = position;
        l->first_error = *why;
    }
    pthread_mutex_unlock(&l->lock);
}

static bool may_skip(const dt_loader *l, duet_status st)
{
    return l->spec.skip && (st == DUET_DATA || st == DUET_IO);
}

/* The record of a place, or the next one that can be read. Deterministic: who is next is the order's to say. */
static duet_status fill_place(const dt_loader *l, worker *w, uint32_t epoch, size_t position, size_t place, dt_batch *b, duet_error *err)
{
    enum { ATTEMPTS = 1000 };
    const size_t n = l->spec.n_indices;
    const uint32_t key = l->order[position];
    duet_status st = (l->resized ? resize : vary)(l, w, epoch, key, key, place, b, err);
    if (!may_skip(l, st)) return st;
    note_skipped(w->loader, position, err);
    for (size_t i = 1; i <= ATTEMPTS && i < n && may_skip(l, st); i++)
        st = (l->resized ? resize : vary)(l, w, epoch, l->order[(position + i) % n], key, place, b, err);
    if (st) dt_context(err, "no picture could be read in the place of one that is broken");
    return st;
}

static duet_status fill_record(const dt_loader *l, worker *w, uint32_t epoch, size_t position, size_t place,
                               dt_batch *b, duet_error *err)
{
    const uint32_t record = l->order[position];
    DT_TRY(fill_place(l, w, epoch, position, place, b, err));
    if (l->spec.noising) add_noise(l, epoch, record, position, place, b);
    return DUET_OK;
}

/* The last batch of a pass may be short; its empty places are zero, so that equal passes have equal bytes. Empty pixels
 * have no class, so that they count in no loss. */
static void clear_rest(const dt_loader *l, dt_batch *b)
{
    size_t rest = l->spec.batch - b->n, pixels = b->height * b->width;
    if (rest == 0) return;
    for (int view = 0; view < l->spec.views; view++)
        memset(image_of(b, view, b->n), 0, rest * pixels * CHANNELS * sizeof(float));
    memset(b->labels + b->n, 0, rest * sizeof *b->labels);
    if (b->other_labels) memset(b->other_labels + b->n, 0, rest * sizeof *b->other_labels);
    if (b->mask) memset(b->mask + b->n * pixels, 0, rest * pixels * sizeof(float));
    if (b->noise) memset(b->noise + b->n * pixels * CHANNELS, 0, rest * pixels * CHANNELS * sizeof(float));
    if (b->time) memset(b->time + b->n, 0, rest * sizeof *b->time);
    for (size_t i = 0; b->pixel_labels && i < rest * pixels; i++) b->pixel_labels[b->n * pixels + i] = DT_IGNORED;
}

static void mix(const dt_loader *l, worker *w, uint32_t epoch, size_t step, dt_batch *b)
{
    const size_t pixels = b->height * b->width;
    dt_mix_draw(l->spec.mixup, l->spec.seed, epoch, step, b->n, &w->mix);
    b->share = w->mix.share;
    for (size_t i = 0; i < b->n; i++) b->other_labels[i] = b->labels[w->mix.partner[i]];
    for (int view = 0; view < l->spec.views; view++) dt_mix_apply(&w->mix, b->images[view], b->n, pixels * CHANNELS);
    if (b->mask) dt_mix_apply(&w->mix, b->mask, b->n, pixels);
}

static duet_status fill_batch(const dt_loader *l, worker *w, uint32_t epoch, size_t step, dt_batch *b, duet_error *err)
{
    size_t first = step * l->spec.batch, left = l->spec.n_indices - first;
    b->n = left < l->spec.batch ? left : l->spec.batch;
    b->step = (int64_t)step;
    for (size_t i = 0; i < b->n; i++) DT_TRY(fill_record(l, w, epoch, first + i, i, b, err));
    if (b->other_labels) mix(l, w, epoch, step, b);
    clear_rest(l, b);
    return DUET_OK;
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
        bool failed = fill_batch(l, w, epoch, step, &s->batch, &s->error) != DUET_OK;
        pthread_mutex_lock(&l->lock);
        s->state = failed ? SLOT_FAILED : SLOT_READY;
        pthread_cond_signal(&l->ready); /* one consumer waits, be it in next or in start */
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- creation ------------------------------------------------------------------------------------------------ */

static duet_status check_crop(const dt_loader_spec *s, duet_error *err)
{
    enum { LEAST_SCALE = 10, MOST_SCALE = 400, MOST_SIDE = 1 << 14 };
    const dt_data_facts *f = &s->source->facts;
    const dt_crop *c = &s->crop;
    if (!c->height && !c->width) {
        if (c->scale_low || c->scale_high)
            return dt_fail(err, DUET_ARG,
                           "%s: pictures are scaled but not cropped; a crop is needed, for example %zux%zu", f->name,
                           f->height, f->width);
        if (f->mixed_sizes && s->batch > 1)
            return dt_fail(
                err, DUET_ARG,
                "%s: its pictures differ in size (up to %zux%zu) and do not fit into one batch; give a crop, or "
                "take batches of 1",
                f->name, f->height, f->width);
        return DUET_OK;
    }
    if (!c->height || !c->width || c->height > MOST_SIDE || c->width > MOST_SIDE)
        return dt_fail(err, DUET_ARG, "loader: a crop of %zux%zu pixels; 1 to %d are possible", c->height, c->width,
                       MOST_SIDE);
    if ((c->scale_low || c->scale_high) &&
        (c->scale_low < LEAST_SCALE || c->scale_high > MOST_SCALE || c->scale_low > c->scale_high))
        return dt_fail(err, DUET_ARG, "loader: a scale of %d to %d per cent; %d to %d, ascending, are possible",
                       c->scale_low, c->scale_high, LEAST_SCALE, MOST_SCALE);
    if (s->augment == DT_AUGMENT_NONE && (f->height > c->height || f->width > c->width))
        return dt_fail(err, DUET_ARG,
                       "%s: pictures of up to %zux%zu pixels do not fit into %zux%zu, and are not cut without "
                       "augmentation",
                       f->name, f->height, f->width, c->height, c->width);
    return DUET_OK;
}

static duet_status check_resize(const dt_loader_spec *s, duet_error *err)
{
    enum { MOST_SIDE = 1 << 12 };
    const dt_squares *r = &s->squares;
    if (s->source->facts.labels == DT_LABELS_PIXELS)
        return dt_fail(err, DUET_ARG, "%s: its pixels have classes, which cannot be resized; give a crop instead", s->source->facts.name);
    if (s->crop.height || s->crop.width) return dt_fail(err, DUET_ARG, "loader: pictures are either cropped or resized, not both");
    if (r->size > MOST_SIDE) return dt_fail(err, DUET_ARG, "loader: squares of %zu pixels; 1 to %d are possible", r->size, (int)MOST_SIDE);
    if (!r->random && r->short_side < r->size)
        return dt_fail(err, DUET_ARG, "loader: a square of %zu pixels does not fit into a shorter side of %zu", r->size, r->short_side);
    if (r->random && !(r->scale[0] > 0 && r->scale[0] <= r->scale[1] && r->scale[1] <= 1 && r->ratio[0] > 0 && r->ratio[0] <= r->ratio[1]))
        return dt_fail(err, DUET_ARG, "loader: parts of %g to %g of a picture, of ratios %g to %g; ascending, parts of at most 1, are possible",
                       r->scale[0], r->scale[1], r->ratio[0], r->ratio[1]);
    return DUET_OK;
}

static duet_status check_spec(const dt_loader_spec *s, size_t records, duet_error *err)
{
    if (s->batch < 1) return dt_fail(err, DUET_ARG, "loader: a batch of 0 images; at least 1 is needed");
    if (s->views < 1 || s->views > MAX_VIEWS)
        return dt_fail(err, DUET_ARG, "loader: %d views; 1 to %d are possible", s->views, MAX_VIEWS);
    if (s->workers < 1) return dt_fail(err, DUET_ARG, "loader: %d workers; at least 1 is needed", s->workers);
    if (s->slots < 0) return dt_fail(err, DUET_ARG, "loader: %d slots; 1 or more, or 0 for workers + 2", s->slots);
    if (s->views > 1 && (s->source->facts.labels == DT_LABELS_PIXELS || s->noising))
        return dt_fail(err, DUET_ARG,
                       "%s: %d views; where pixels have classes or noise, all networks see the same: 1 view",
                       s->source->facts.name, s->views);
    if (s->mixup > 0 && (s->source->facts.labels == DT_LABELS_PIXELS || s->noising))
        return dt_fail(err, DUET_ARG, "%s: mixup, which is for pictures that have a class each", s->source->facts.name);
    if (s->noising && (s->noising->T < 1 || !s->noising->signal || !s->noising->noise))
        return dt_fail(err, DUET_ARG, "loader: noise with %d times; at least 1, and a table of them, is needed",
                       s->noising->T);
    if (!s->squares.size && !s->source->facts.height)
        return dt_fail(err, DUET_ARG, "%s: the sizes of its pictures are not known before they are read; they can only be resized",
                       s->source->facts.name);
    DT_TRY((s->squares.size ? check_resize : check_crop)(s, err));
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
    const dt_normalisation *given = l->spec.normalise;
    const dt_normalisation n = given ? *given : dt_normalisation_of(DT_NORMALISE_DATA, &l->spec.source->facts);
    l->bgr = n.bgr;
    for (size_t k = 0; k < CHANNELS; k++)
        for (size_t byte = 0; byte < 256; byte++) l->value[k][byte] = ((float)byte / n.unit - n.mean[k]) / n.std[k];
}

static void *block(size_t a, size_t b, size_t size)
{
    size_t n;
    return dt_size_mul(a, b, &n) ? dt_alloc(n, size) : NULL;
}

static bool allocate_slot(const dt_loader *l, slot *s)
{
    const size_t batch = l->spec.batch, values = l->pixels * CHANNELS;
    dt_batch *b = &s->batch;
    b->height = l->height;
    b->width = l->width;
    for (int view = 0; view < l->spec.views; view++)
        if (!(b->images[view] = block(batch, values, sizeof(float)))) return false;
    if (!(b->labels = dt_alloc(batch, sizeof *b->labels))) return false;
    if (l->spec.mixup > 0 && !(b->other_labels = dt_alloc(batch, sizeof *b->other_labels))) return false;
    if (l->masks && !(b->mask = block(batch, l->pixels, sizeof *b->mask))) return false;
    if (l->dense && !(b->pixel_labels = block(batch, l->pixels, sizeof *b->pixel_labels))) return false;
    if (!l->spec.noising) return true;
    b->noise = block(batch, values, sizeof *b->noise);
    b->time = dt_alloc(batch, sizeof *b->time);
    return b->noise && b->time;
}

static bool allocate_mix(const dt_loader *l, dt_mix *m)
{
    m->partner = dt_alloc(l->spec.batch, sizeof *m->partner);
    m->done = dt_alloc(l->spec.batch, sizeof *m->done);
    m->spare = dt_alloc(l->pixels * CHANNELS, sizeof *m->spare);
    return m->partner && m->done && m->spare;
}

static bool allocate_worker(const dt_loader *l, worker *w)
{
    const dt_data_facts *f = &l->spec.source->facts;
    size_t read = f->height * f->width, most = read > l->pixels ? read : l->pixels;
    if (l->spec.mixup > 0 && !allocate_mix(l, &w->mix)) return false;
    if (l->resized && !(w->square = dt_alloc(l->pixels, CHANNELS))) return false;
    if (l->resized && l->spec.source->fetch) return true;
    if (!(w->record.pixels = dt_alloc(read, CHANNELS))) return false;
    if (l->masks && !(w->record.mask = dt_alloc(read, 1))) return false;
    if (l->dense && !(w->record.pixel_labels = dt_alloc(read, 1))) return false;
    if ((l->masks || l->dense) && !(w->bytes = dt_alloc(most, 1))) return false;
    if (l->resized) return true;
    if (l->cropped) return (w->columns = dt_alloc(l->width, sizeof *w->columns)) != NULL;
    return (w->augmented = dt_alloc(read, CHANNELS)) != NULL;
}

static bool allocate(dt_loader *l)
{
    l->order = dt_alloc(l->spec.n_indices, sizeof *l->order);
    l->slots = dt_alloc(l->n_slots, sizeof *l->slots);
    l->workers = dt_alloc((size_t)l->spec.workers, sizeof *l->workers);
    bool ok = l->order && l->slots && l->workers;
    if (ok && l->spec.shuffle && l->spec.source->shuffle) ok = (l->scratch = block(2, l->spec.n_indices, sizeof *l->scratch)) != NULL;
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
        dt_free(b->other_labels);
        dt_free(b->pixel_labels);
        dt_free(b->mask);
        dt_free(b->noise);
        dt_free(b->time);
    }
    for (int i = 0; l->workers && i < l->spec.workers; i++) {
        worker *w = &l->workers[i];
        dt_free(w->record.pixels);
        dt_free(w->record.mask);
        dt_free(w->record.pixel_labels);
        dt_free(w->augmented);
        dt_free(w->bytes);
        dt_free(w->columns);
        dt_free(w->square);
        dt_free(w->mix.partner);
        dt_free(w->mix.done);
        dt_free(w->mix.spare);
        if (l->spec.source->fetch) dt_pixels_release(&w->picture); /* else it borrows the record's */
        dt_encoded_release(&w->encoded);
        dt_resampler_release(&w->resampler);
    }
    dt_free(l->workers);
    dt_free(l->slots);
    dt_free(l->order);
    dt_free(l->scratch);
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
    l->resized = spec->squares.size != 0;
    l->cropped = spec->crop.height != 0;
    l->masks = facts->masks && !l->resized;
    l->dense = facts->labels == DT_LABELS_PIXELS;
    l->height = l->resized ? spec->squares.size : l->cropped ? spec->crop.height : facts->height;
    l->width = l->resized ? spec->squares.size : l->cropped ? spec->crop.width : facts->width;
    l->pixels = l->height * l->width;
    l->steps = l->spec.n_indices / spec->batch + (!spec->drop_last && l->spec.n_indices % spec->batch != 0);
    if (spec->steps && spec->steps < l->steps) l->steps = spec->steps;
    l->n_slots = spec->slots ? (size_t)spec->slots : (size_t)spec->workers + 2;
    if (!allocate(l)) {
        release(l);
        return dt_fail(
            err, DUET_MEMORY,
            "loader: %zu batches of %zu images do not fit into memory; choose a smaller batch or fewer workers",
            spec->slots ? (size_t)spec->slots : (size_t)spec->workers + 2, spec->batch);
    }
    fill_table(l);
    l->spec.normalise = NULL; /* the caller's; no longer needed */
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
    if (l->scratch) l->spec.source->shuffle(l->spec.source, l->spec.split, l->order, l->scratch, l->spec.n_indices, l->spec.seed, epoch);
    else if (l->spec.shuffle) dt_shuffle(l->order, l->spec.n_indices, l->spec.seed, epoch);
    l->epoch = epoch;
    l->failure = NULL;
    l->skipped = 0;
    l->first_error.message[0] = '\0';
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
        if (s->state != SLOT_READY && s->state != SLOT_FAILED) {
            double since = wait_s ? dt_now_s() : 0;
            while (s->state != SLOT_READY && s->state != SLOT_FAILED) pthread_cond_wait(&l->ready, &l->lock);
            if (wait_s) *wait_s += dt_now_s() - since;
        }
        if (s->state == SLOT_FAILED) {
            l->failure = &s->error;
            l->end = l->taken; /* the pass ends here; its slots are cleared by the next one */
        } else {
            s->state = SLOT_HELD;
            l->taken++;
            b = &s->batch;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return b;
}

duet_status dt_loader_status(const dt_loader *l, duet_error *err)
{
    if (!l->failure) return DUET_OK;
    if (err) *err = *l->failure;
    return l->failure->status;
}

size_t dt_loader_skipped(dt_loader *l, const char **first)
{
    pthread_mutex_lock(&l->lock);
    const size_t n = l->skipped;
    pthread_mutex_unlock(&l->lock);
    *first = l->first_error.message;
    return n;
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
