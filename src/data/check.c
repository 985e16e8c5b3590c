/* Every picture of a data set decoded once: what there is, what is broken, which validation pictures are training pictures too.
 *
 * Threads take records in turn. What they find of a record goes to its own place, sums are whole numbers, and messages are made after the
 * pass, in the order of the records: so the report does not depend on the threads. */
#include "data/data_impl.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3 };

/* A picture's pixels and size, in 128 bits. */
typedef struct print {
    uint64_t digest[2];
    uint32_t index;
    bool fine;
} print;

typedef struct check {
    const dt_source *source;
    const dt_check_request *request;
    print *prints[2];
    size_t n[2];
    pthread_mutex_t lock;
    size_t next;    /* record of both splits to take */
    bool stopped, no_memory;
    dt_data_report report;
    uint64_t pixels, value[CHANNELS], square[CHANNELS];
} check;

/* A thread's own. */
typedef struct scratch {
    dt_encoded encoded;
    dt_pixels picture;
    dt_picture_facts facts;
    int32_t label;
} scratch;

/* ---- one picture ----------------------------------------------------------------------------------------------- */

static duet_status read_plain(const check *c, dt_split split, size_t index, scratch *s, duet_error *err)
{
    const dt_data_facts *f = &c->source->facts;
    const size_t wanted = f->height * f->width * CHANNELS;
    if (s->picture.room < wanted) {
        dt_free(s->picture.rgb);
        s->picture.rgb = dt_alloc(wanted, 1);
        s->picture.room = s->picture.rgb ? wanted : 0;
        if (!s->picture.rgb) return dt_fail(err, DUET_MEMORY, "not enough memory for a picture");
    }
    dt_record record = {.pixels = s->picture.rgb};
    DT_TRY(c->source->read(c->source, split, index, &record, err));
    s->picture.height = record.height;
    s->picture.width = record.width;
    s->label = record.label;
    return DUET_OK;
}

/* Whole and upright. */
static duet_status load(const check *c, dt_split split, size_t index, scratch *s, duet_error *err)
{
    if (!c->source->fetch) return read_plain(c, split, index, s, err);
    DT_TRY(c->source->fetch(c->source, split, index, &s->encoded, err));
    s->label = s->encoded.label;
    duet_status st = dt_picture_measure_bytes(s->encoded.bytes, s->encoded.n, &s->facts, err);
    if (!st) st = dt_picture_upright(s->encoded.bytes, s->encoded.n, &s->facts, 8, &s->picture, err);
    if (st) dt_context(err, "%s", s->encoded.name);
    return st;
}

static print print_of(const dt_pixels *p, size_t index)
{
    char hex[65], half[17] = "";
    print out = {.index = (uint32_t)index, .fine = true};
    dt_sha256(p->rgb, p->height * p->width * CHANNELS, hex);
    for (int i = 0; i < 2; i++) {
        memcpy(half, hex + 16 * i, 16);
        out.digest[i] = strtoull(half, NULL, 16);
    }
    out.digest[0] ^= (uint64_t)p->height << 32 | p->width; /* the same bytes in another shape are another picture */
    return out;
}

static void add_pixels(const dt_pixels *p, uint64_t value[CHANNELS], uint64_t square[CHANNELS])
{
    const uint8_t *at = p->rgb;
    for (size_t y = 0; y < p->height; y++) {
        uint64_t v[CHANNELS] = {0}, q[CHANNELS] = {0};
        for (size_t x = 0; x < p->width; x++, at += CHANNELS)
            for (size_t k = 0; k < CHANNELS; k++) {
                v[k] += at[k];
                q[k] += (uint64_t)at[k] * at[k];
            }
        for (size_t k = 0; k < CHANNELS; k++) value[k] += v[k], square[k] += q[k];
    }
}

static void add_kind(dt_data_report *r, const dt_picture_facts *f, size_t bytes)
{
    r->bytes += bytes;
    r->jpegs += f->jpeg;
    r->greys += strncmp(f->pixels, "grey", 4) == 0;
    r->palettes += strcmp(f->pixels, "palette") == 0;
    r->cmyks += strcmp(f->pixels, "CMYK") == 0;
    r->deep += f->bits > 8;
    r->turned += f->turn > 1;
}

/* Under the lock. */
static void add_picture(check *c, dt_split split, const scratch *s, const uint64_t value[CHANNELS], const uint64_t square[CHANNELS])
{
    dt_data_report *r = &c->report;
    const size_t h = s->picture.height, w = s->picture.width;
    if (!r->pictures[0] && !r->pictures[1]) r->least[0] = r->most[0] = h, r->least[1] = r->most[1] = w;
    /* Of equal areas the lower one, so that the order does not matter. */
    const size_t area = h * w, least = r->least[0] * r->least[1], most = r->most[0] * r->most[1];
    if (area < least || (area == least && h < r->least[0])) r->least[0] = h, r->least[1] = w;
    if (area > most || (area == most && h < r->most[0])) r->most[0] = h, r->most[1] = w;
    r->pictures[split]++;
    if (r->per_class[split]) r->per_class[split][s->label]++;
    if (c->source->fetch) add_kind(r, &s->facts, s->encoded.n);
    c->pixels += area;
    for (size_t k = 0; k < CHANNELS; k++) c->value[k] += value[k], c->square[k] += square[k];
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* Takes the next record; false: there is none, or it is time to stop. */
static bool take(check *c, dt_split *split, size_t *index)
{
    const size_t all = c->n[0] + c->n[1];
    pthread_mutex_lock(&c->lock);
    const bool there = c->next < all && !c->stopped && !c->no_memory;
    const size_t at = c->next;
    if (there) c->next++;
    if (there && c->request->progress && c->request->progress(c->request->user, at, all)) c->stopped = true;
    pthread_mutex_unlock(&c->lock);
    *split = at < c->n[0] ? DT_SPLIT_TRAIN : DT_SPLIT_TEST;
    *index = at < c->n[0] ? at : at - c->n[0];
    return there;
}

static void *work(void *argument)
{
    check *c = argument;
    scratch s = {.label = 0};
    dt_split split;
    size_t index;
    while (take(c, &split, &index)) {
        uint64_t value[CHANNELS] = {0}, square[CHANNELS] = {0};
        const duet_status st = load(c, split, index, &s, NULL);
        if (!st) {
            c->prints[split][index] = print_of(&s.picture, index);
            add_pixels(&s.picture, value, square);
        }
        pthread_mutex_lock(&c->lock);
        if (st == DUET_MEMORY) c->no_memory = true;
        else if (st) c->report.broken[split]++;
        else add_picture(c, split, &s, value, square);
        pthread_mutex_unlock(&c->lock);
    }
    dt_encoded_release(&s.encoded);
    dt_pixels_release(&s.picture);
    return NULL;
}

static void run(check *c)
{
    enum { MOST = 256 };
    pthread_t threads[MOST];
    const int wanted = c->request->threads < 1 ? 1 : c->request->threads > MOST ? MOST : c->request->threads;
    int started = 0;
    while (started < wanted - 1 && pthread_create(&threads[started], NULL, work, c) == 0) started++;
    work(c);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* Reads the broken ones again, for what is wrong with them. */
static void say_broken(const check *c)
{
    for (int split = 0; split < 2 && c->request->broken; split++)
        for (size_t i = 0; i < c->n[split]; i++) {
            duet_error err = {0};
            scratch s = {.label = 0};
            if (c->prints[split][i].fine) continue;
            if (load(c, (dt_split)split, i, &s, &err)) c->request->broken(c->request->user, err.message);
            dt_encoded_release(&s.encoded);
            dt_pixels_release(&s.picture);
        }
}

/* ---- twins ----------------------------------------------------------------------------------------------------- */

static int by_digest(const void *a, const void *b)
{
    const print *p = a, *q = b;
    for (int i = 0; i < 2; i++)
        if (p->digest[i] != q->digest[i]) return p->digest[i] < q->digest[i] ? -1 : 1;
    return 0;
}

static int by_digest_then_index(const void *a, const void *b)
{
    const print *p = a, *q = b;
    const int order = by_digest(a, b);
    return order ? order : p->index < q->index ? -1 : p->index > q->index;
}

static const char *name_of(const check *c, dt_split split, size_t index, dt_encoded *e, char number[32])
{
    if (c->source->fetch && c->source->fetch(c->source, split, index, e, NULL) == DUET_OK) return e->name;
    snprintf(number, 32, "number %zu", index);
    return number;
}

static void find_twins(check *c)
{
    print *train = c->prints[DT_SPLIT_TRAIN];
    size_t n = 0;
    dt_encoded ours = {0}, theirs = {0};
    for (size_t i = 0; i < c->n[DT_SPLIT_TRAIN]; i++)
        if (train[i].fine) train[n++] = train[i];
    qsort(train, n, sizeof *train, by_digest_then_index);
    for (size_t i = 0; i < c->n[DT_SPLIT_TEST]; i++) {
        const print *p = &c->prints[DT_SPLIT_TEST][i];
        const print *twin = p->fine && n ? bsearch(p, train, n, sizeof *train, by_digest) : NULL;
        char a[32], b[32];
        if (!twin) continue;
        while (twin > train && by_digest(twin - 1, p) == 0) twin--;
        c->report.twins++;
        if (c->request->twin)
            c->request->twin(c->request->user, name_of(c, DT_SPLIT_TEST, i, &ours, a), name_of(c, DT_SPLIT_TRAIN, twin->index, &theirs, b));
    }
    dt_encoded_release(&ours);
    dt_encoded_release(&theirs);
}

static void finish(check *c, dt_data_report *out)
{
    for (size_t k = 0; k < CHANNELS && c->pixels; k++) {
        const double n = (double)c->pixels, m = (double)c->value[k] / n, variance = (double)c->square[k] / n - m * m;
        c->report.mean[k] = m / 255;
        c->report.std[k] = sqrt(variance > 0 ? variance : 0) / 255;
    }
    *out = c->report;
}

duet_status dt_check_data(const dt_source *source, const dt_check_request *q, dt_data_report *out, duet_error *err)
{
    check c = {.source = source, .request = q, .n = {source->facts.train_images, source->facts.test_images}};
    if (source->facts.labels == DT_LABELS_PIXELS)
        return dt_fail(err, DUET_ARG, "%s: its pixels have classes; pictures with a class each can be checked so far", source->facts.name);
    for (int split = 0; split < 2; split++) {
        c.report.per_class[split] = out->per_class[split];
        c.prints[split] = dt_alloc(c.n[split], sizeof *c.prints[split]);
    }
    duet_status st = DUET_OK;
    if (!c.prints[0] || !c.prints[1]) st = dt_fail(err, DUET_MEMORY, "%s: not enough memory for checking it", source->facts.name);
    if (!st) {
        pthread_mutex_init(&c.lock, NULL);
        run(&c);
        pthread_mutex_destroy(&c.lock);
        if (c.no_memory) st = dt_fail(err, DUET_MEMORY, "%s: not enough memory for its pictures", source->facts.name);
        else if (c.stopped) st = dt_fail(err, DUET_STOPPED, "%s: stopped", source->facts.name);
    }
    if (!st) {
        say_broken(&c);
        find_twins(&c);
        finish(&c, out);
    }
    for (int split = 0; split < 2; split++) dt_free(c.prints[split]);
    return st;
}
