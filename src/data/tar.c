/* `tar`: pictures in tar files, "shards", as WebDataset lays them out: KEY.jpg and KEY.cls beside each other, one sample after the other.
 *
 * When the set is opened, the heads of all members are read, and what stays in memory is 16 bytes for each picture: where it lies and its
 * class. Pictures are read from their places when they are needed. So a pass can begin in its middle, every worker reads for
 * himself, and memory depends on the size of the set by those 16 bytes alone.
 *
 * The order of a shuffled pass is made for files that are read from front to back: the order of shards is drawn, and within it pictures
 * change places over a distance of at most `buffer`, as if they passed through a buffer of that many of which one at random leaves.
 * It is a function of (seed, epoch), so the buffer holds numbers of pictures and no pictures. */
#include "data/data_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CLASS_TEXT = 24, MOST_CLASSES = 1000000, BY_NAME = 10 };

typedef struct sample {
    uint64_t offset;
    uint32_t size;
    int32_t label;
} sample;

typedef struct shard {
    const char *path;
    size_t first; /* sample */
} shard;

typedef struct tar_split {
    sample *at;
    size_t n, capacity;
    shard *shards; /* [n_shards + 1]: the last one is the end */
    size_t n_shards;
} tar_split;

typedef struct tar_set {
    dt_source source; /* first: a tar_set is a dt_source */
    dt_arena arena;
    tar_split split[2];
    size_t buffer;
    bool skip, say_all;
    size_t left_out; /* samples and ends of shards */
    const dt_log_sink *log;
} tar_set;

/* ---- reading --------------------------------------------------------------------------------------------------- */

static const shard *shard_of(const tar_split *s, size_t index)
{
    size_t low = 0, high = s->n_shards;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (s->shards[middle].first <= index) low = middle;
        else high = middle;
    }
    return &s->shards[low];
}

/* The head is read along with the picture: it has the name for messages, and shows whether the file is still the one that was opened. */
static duet_status read_sample(int file, const sample *at, dt_encoded *out, char member[101], duet_error *err)
{
    uint8_t head[DT_TAR_BLOCK];
    DT_TRY(dt_encoded_room(out, at->size, err));
    for (size_t done = 0; done < sizeof head + out->n;) {
        const struct iovec to[2] = {{.iov_base = head + (done < sizeof head ? done : sizeof head), .iov_len = done < sizeof head ? sizeof head - done : 0},
                                    {.iov_base = out->bytes + (done > sizeof head ? done - sizeof head : 0),
                                     .iov_len = done > sizeof head ? out->n - (done - sizeof head) : out->n}};
        const ssize_t got = preadv(file, to, 2, (off_t)(at->offset - sizeof head + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(err, DUET_IO, "%s", strerror(errno));
        if (got == 0) return dt_fail(err, DUET_IO, "became shorter while it was in use");
        done += (size_t)got;
    }
    if (!dt_tar_check_head(head, at->size, member)) return dt_fail(err, DUET_IO, "was changed while it was in use");
    return DUET_OK;
}

static duet_status fetch_sample(const dt_source *source, dt_split split, size_t index, dt_encoded *out, duet_error *err)
{
    const tar_split *s = &((const tar_set *)source)->split[split];
    const shard *in = shard_of(s, index);
    char member[101] = "";
    const int file = open(in->path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return dt_fail(err, DUET_IO, "%s: %s", in->path, strerror(errno));
    const duet_status st = read_sample(file, &s->at[index], out, member, err);
    close(file);
    if (st) dt_context(err, "%s", in->path);
    out->label = s->at[index].label;
    snprintf(out->name, sizeof out->name, "%s: %s", in->path, member);
    return st;
}

static int32_t sample_label(const dt_source *source, dt_split split, size_t index)
{
    return ((const tar_set *)source)->split[split].at[index].label;
}

/* 0x0 for a picture whose head cannot be read: reading it will say why. */
static void sample_size(const dt_source *source, dt_split split, size_t index, size_t *height, size_t *width)
{
    dt_encoded e = {0};
    dt_picture_facts facts;
    *height = *width = 0;
    if (fetch_sample(source, split, index, &e, NULL) == DUET_OK && dt_picture_measure_bytes(e.bytes, e.n, &facts, NULL) == DUET_OK)
        dt_picture_upright_size(&facts, 8, height, width);
    dt_encoded_release(&e);
}

/* Ranges of `order` that lie in one shard each, in a drawn order. scratch [0, n): the records as they came; [n, 2 n): where ranges begin. */
static void shuffle_shards(const tar_split *s, uint32_t *order, uint32_t *scratch, size_t n, dt_rng *rng)
{
    uint32_t *begins = scratch + n;
    size_t ranges = 0, done = 0;
    memcpy(scratch, order, n * sizeof *order);
    for (size_t i = 0; i < n;) {
        begins[ranges++] = (uint32_t)i;
        const size_t end = shard_of(s, order[i])[1].first;
        while (i < n && order[i] < end) i++;
    }
    for (size_t left = ranges; left > 0; left--) {
        const size_t chosen = dt_rng_below(rng, (uint32_t)left);
        const size_t end = shard_of(s, scratch[begins[chosen]])[1].first;
        for (size_t i = begins[chosen]; i < n && scratch[i] < end; i++) order[done++] = scratch[i];
        begins[chosen] = begins[left - 1];
    }
}

static void shuffle_samples(const dt_source *source, dt_split split, uint32_t *order, uint32_t *scratch, size_t n, uint64_t seed, uint32_t epoch)
{
    const tar_set *set = (const tar_set *)source;
    dt_rng shards = dt_rng_make(seed, DT_PURPOSE_SHUFFLE, epoch, 1), samples = dt_rng_make(seed, DT_PURPOSE_SHUFFLE, epoch, 2);
    shuffle_shards(&set->split[split], order, scratch, n, &shards);
    for (size_t i = 0; i < n; i++) { /* the buffer is order[i .. i + buffer): one leaves to place i, place i + buffer comes in */
        const size_t inside = n - i < set->buffer ? n - i : set->buffer, j = i + dt_rng_below(&samples, (uint32_t)inside);
        const uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

static void close_set(dt_source *source)
{
    tar_set *set = (tar_set *)source;
    for (int i = 0; i < 2; i++) {
        dt_free(set->split[i].at);
        dt_free(set->split[i].shards);
    }
    dt_arena_release(&set->arena);
    dt_free(set);
}

/* ---- the index ------------------------------------------------------------------------------------------------- */

/* The members of one key that were met so far. */
typedef struct pending {
    char key[DT_TAR_NAME]; /* "": none */
    bool picture, class;
    bool bad;              /* and was left out already */
    sample sample;
} pending;

/* With skip: says it, counts it and goes on. */
static duet_status leave_out(tar_set *set, duet_error *why, const char *path, duet_status st, duet_error *err)
{
    dt_context(why, "%s", path);
    if (set->skip && (st == DUET_DATA || st == DUET_IO)) {
        if (set->left_out++ < BY_NAME || set->say_all) dt_say(set->log, "tar: left out: %s", why->message);
        return DUET_OK;
    }
    if (err) *err = *why;
    return st;
}

static duet_status keep_sample(tar_set *set, tar_split *s, const sample *new, duet_error *err)
{
    if (s->n == UINT32_MAX) return dt_fail(err, DUET_DATA, "more than %u pictures", UINT32_MAX);
    if (s->n == s->capacity) {
        const size_t more = s->capacity ? s->capacity + s->capacity / 2 : 1024;
        sample *at = dt_realloc(s->at, s->capacity * sizeof *at, more * sizeof *at);
        if (!at) return dt_fail(err, DUET_MEMORY, "not enough memory for the places of its pictures");
        s->at = at;
        s->capacity = more;
    }
    s->at[s->n++] = *new;
    if (set->source.facts.classes <= (size_t)new->label && !set->source.facts.class_names) set->source.facts.classes = (size_t)new->label + 1;
    return DUET_OK;
}

static duet_status finish_sample(tar_set *set, tar_split *s, pending *p, const char *path, duet_error *err)
{
    duet_error why = {0};
    duet_status st = DUET_OK;
    if (p->bad) st = DUET_OK;
    else if (p->picture && p->class) st = keep_sample(set, s, &p->sample, &why);
    else if (p->picture) st = dt_fail(&why, DUET_DATA, "%.200s has a picture and no class beside it; KEY.cls with a whole number is expected", p->key);
    else if (p->class) st = dt_fail(&why, DUET_DATA, "%.200s has a class and no picture beside it; KEY.jpg, .jpeg or .png is expected", p->key);
    *p = (pending){.key = ""};
    return st ? leave_out(set, &why, path, st, err) : DUET_OK;
}

static duet_status read_class(tar_set *set, dt_tar *t, const dt_tar_member *m, int32_t *out, duet_error *err)
{
    char text[CLASS_TEXT + 1] = "", *end;
    const dt_data_facts *f = &set->source.facts;
    const size_t n = m->size <= CLASS_TEXT ? (size_t)m->size : CLASS_TEXT;
    DT_TRY(dt_tar_read(t, m->offset, text, n, err));
    const long value = strtol(text, &end, 10);
    end += strspn(end, " \r\n\t");
    if (m->size > CLASS_TEXT || end == text || *end || value < 0 || value >= MOST_CLASSES)
        return dt_fail(err, DUET_DATA, "%.200s: found \"%.24s\"; a class is a whole number from 0", m->name, text);
    if (f->class_names && (size_t)value >= f->classes)
        return dt_fail(err, DUET_DATA, "%.200s: class %ld, but classes.txt names classes 0 to %zu", m->name, value, f->classes - 1);
    *out = (int32_t)value;
    return DUET_OK;
}

static bool is_picture(const char *ending)
{
    static const char *const endings[] = {"jpg", "jpeg", "png"};
    for (size_t i = 0; i < DT_COUNT(endings); i++)
        if (strcasecmp(ending, endings[i]) == 0) return true;
    return false;
}

/* Adds a member to the sample under way, or begins another. What has other endings belongs to a sample and is not used. */
static duet_status take_member(tar_set *set, tar_split *s, pending *p, dt_tar *t, const dt_tar_member *m, const char *path, duet_error *err)
{
    const char *slash = strrchr(m->name, '/'), *name = slash ? slash + 1 : m->name, *dot = strchr(name, '.');
    if (!dot || dot == name) return DUET_OK;
    const size_t length = (size_t)(dot - m->name);
    if (strlen(p->key) != length || memcmp(p->key, m->name, length) != 0) {
        DT_TRY(finish_sample(set, s, p, path, err));
        memcpy(p->key, m->name, length);
        p->key[length] = '\0';
    }
    duet_error why = {0};
    duet_status st = DUET_OK;
    if (is_picture(dot + 1)) {
        if (p->picture) st = dt_fail(&why, DUET_DATA, "%.200s: a second picture of one key", m->name);
        else if (m->size > INT_MAX) st = dt_fail(&why, DUET_DATA, "%.200s: %llu bytes are no picture", m->name, (unsigned long long)m->size);
        else p->picture = true, p->sample.offset = m->offset, p->sample.size = (uint32_t)m->size;
    } else if (strcasecmp(dot + 1, "cls") == 0) {
        st = read_class(set, t, m, &p->sample.label, &why);
        p->class = !st;
    }
    if (!st) return DUET_OK;
    p->bad = true;
    return leave_out(set, &why, path, st, err);
}

static duet_status index_shard(tar_set *set, tar_split *s, const char *path, duet_error *err)
{
    dt_tar t;
    dt_tar_member m;
    pending p = {.key = ""};
    duet_error why = {0};
    bool more = true;
    duet_status st = dt_tar_open(path, &t, &why);
    if (st) {
        if (err) *err = why;
        return st; /* a shard that is not there is more than a broken picture */
    }
    while (!st && more) {
        st = dt_tar_next(&t, &m, &more, &why);
        if (st) {
            st = leave_out(set, &why, path, st, err);
            break;
        }
        if (more) st = take_member(set, s, &p, &t, &m, path, err);
    }
    if (!st) st = finish_sample(set, s, &p, path, err);
    dt_tar_close(&t);
    return st;
}

static duet_status index_split(tar_set *set, dt_split split, const dt_lines *shards, duet_error *err)
{
    tar_split *s = &set->split[split];
    s->shards = dt_alloc(shards->n + 1, sizeof *s->shards);
    if (!s->shards) return dt_fail(err, DUET_MEMORY, "tar: not enough memory for %zu shards", shards->n);
    s->n_shards = shards->n;
    for (size_t i = 0; i < shards->n; i++) {
        s->shards[i] = (shard){.path = shards->at[i], .first = s->n};
        DT_TRY(index_shard(set, s, shards->at[i], err));
    }
    s->shards[shards->n] = (shard){.first = s->n};
    if (s->n) return DUET_OK;
    return dt_fail(err, DUET_DATA, "%s: no pictures in %zu shard%s; KEY.jpg and KEY.cls are expected beside each other", shards->at[0], shards->n,
                   shards->n == 1 ? "" : "s");
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

/* classes.txt beside the shards: a name a line. Without it classes have numbers, as many as there are. */
static duet_status read_class_names(tar_set *set, const char *path, duet_error *err)
{
    char file[4096];
    dt_lines lines;
    if (!dt_is_folder(path)) return DUET_OK;
    if (snprintf(file, sizeof file, "%s/classes.txt", path) >= (int)sizeof file) return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", path);
    if (access(file, F_OK) != 0) return DUET_OK;
    DT_TRY(dt_lines_read(file, &set->arena, &lines, err));
    if (lines.n < 2) return dt_fail(err, DUET_DATA, "%s: %zu classes; at least two are needed, a name a line", file, lines.n);
    set->source.facts.class_names = lines.at;
    set->source.facts.classes = lines.n;
    return DUET_OK;
}

static duet_status check_classes(tar_set *set, duet_error *err)
{
    const tar_split *train = &set->split[DT_SPLIT_TRAIN], *test = &set->split[DT_SPLIT_TEST];
    int32_t most = 0;
    for (size_t i = 0; i < train->n; i++)
        if (train->at[i].label > most) most = train->at[i].label;
    for (size_t i = 0; i < test->n && !set->source.facts.class_names; i++)
        if (test->at[i].label > most)
            return dt_fail(err, DUET_DATA, "%s: class %d, but training shards have classes 0 to %d, so that nothing could learn it",
                           shard_of(test, i)->path, (int)test->at[i].label, (int)most);
    if (set->source.facts.classes >= 2) return DUET_OK;
    return dt_fail(err, DUET_DATA, "tar: all pictures have class 0; at least two classes are needed");
}

static duet_status fill(tar_set *set, const dt_source_kind *kind, const dt_source_request *q, duet_error *err)
{
    dt_lines shards[2];
    dt_data_facts *f = &set->source.facts;
    DT_TRY(dt_shards_of(kind, q->path, &set->arena, shards, err));
    DT_TRY(read_class_names(set, q->path, err));
    for (int split = 0; split < 2; split++) {
        const size_t before = set->left_out;
        DT_TRY(index_split(set, (dt_split)split, &shards[split], err));
        f->left_out[split] = set->left_out - before;
    }
    DT_TRY(check_classes(set, err));
    f->train_images = set->split[DT_SPLIT_TRAIN].n;
    f->test_images = set->split[DT_SPLIT_TEST].n;
    const dt_normalisation imagenet = dt_normalisation_of(DT_NORMALISE_IMAGENET, f);
    memcpy(f->mean, imagenet.mean, sizeof f->mean);
    memcpy(f->std, imagenet.std, sizeof f->std);
    if (set->left_out) dt_say(q->log, "tar: %zu samples or ends of shards cannot be read and are left out", set->left_out);
    dt_say(q->log, "tar: %zu training pictures in %zu shards and %zu validation pictures in %zu, %zu classes", f->train_images, shards[0].n, f->test_images,
           shards[1].n, f->classes);
    return DUET_OK;
}

static duet_status open_tar(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    tar_set *set = dt_alloc(1, sizeof *set);
    if (!set) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", kind->name);
    set->source = (dt_source){.read = dt_read_fetched, .size = sample_size, .fetch = fetch_sample, .label = sample_label, .shuffle = shuffle_samples, .close = close_set};
    set->source.facts.name = kind->name;
    set->source.facts.mixed_sizes = true;
    set->buffer = q->buffer ? q->buffer : DT_TAR_BUFFER;
    set->skip = q->skip;
    set->say_all = q->say_all;
    set->log = q->log;
    const duet_status st = fill(set, kind, q, err);
    set->log = NULL; /* the caller's */
    if (st) close_set(&set->source);
    else *out = &set->source;
    return st;
}

const dt_source_kind dt_source_kind_tar = {
    .name = "tar",
    .help = "pictures in tar files, as WebDataset has them",
    .needs = "train-*.tar and val-*.tar, in which KEY.cls stands beside KEY.jpg or .png; or two such lists: TRAIN,VAL",
    .open = open_tar,
};
