/* What a trained classifier sees in pictures: the map before its last layer, averaged over its places. Features are added to moments in
 * the order of the pictures; the size of a batch and the number of threads change no bit of them.
 *
 * Pictures are bytes and are normalised as the weights file says, whatever set they are from: only so are two sets comparable. */
#include "train_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the extractor ----------------------------------------------------------------------------------------------- */

struct dt_extractor {
    dt_trained *trained;
    dt_inference network; /* whose output is the pooled map */
    char name[96];
    float table[3][256];  /* what a byte of each channel of the network's order becomes */
    bool bgr;
    uint8_t *pixels;      /* one picture */
    float *pictures, *features; /* a batch */
};

static duet_status check_card(const dt_trained *c, const char *path, duet_error *err)
{
    if (!(c->task->needs & DT_NEEDS_LABELS))
        return dt_fail(err, DUET_ARG, "%s: %s is a network for task %s; features come from a classifier, such as resnet20", path, c->model->name,
                       c->task->name);
    if (c->normalised || c->normalise != DT_NORMALISE_DATA) return DUET_OK;
    return dt_fail(err, DUET_FORMAT, "%s: does not say how pictures were normalised in training (mean, std), so that it cannot be given any", path);
}

static void fill_table(dt_extractor *e)
{
    const dt_normalisation n = dt_trained_normalisation(e->trained, NULL);
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++) e->table[c][byte] = ((float)byte / n.unit - n.mean[c]) / n.std[c];
    e->bgr = n.bgr;
}

static duet_status open_features(dt_extractor *e, const char *path, size_t batch, duet_error *err)
{
    const dt_trained *c = e->trained;
    const dt_network_size size = {.classes = c->classes, .height = c->model->image, .width = dt_model_width(c->model), .batch = batch, .pooled = true};
    char digest[65];
    DT_TRY(check_card(c, path, err));
    DT_TRY(dt_sha256_file(path, digest, err));
    snprintf(e->name, sizeof e->name, "%s@%.12s", c->model->name, digest);
    DT_TRY(dt_inference_create(c->state, 0, c->model->name, c->model, size, &e->network, err));
    fill_table(e);
    e->pixels = dt_alloc(e->network.image_count, 1);
    e->pictures = dt_alloc(batch * e->network.image_count, sizeof *e->pictures);
    e->features = dt_alloc(batch * e->network.output_count, sizeof *e->features);
    if (e->pixels && e->pictures && e->features) return DUET_OK;
    return dt_fail(err, DUET_MEMORY, "%s: not enough memory for a batch of %zu", path, batch);
}

duet_status dt_extractor_open(const char *path, int threads, size_t batch, dt_extractor **out, duet_error *err)
{
    dt_extractor *e = dt_alloc(1, sizeof *e);
    if (!e) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", path);
    duet_status st = dt_trained_open(path, &(dt_trained_spec){.threads = threads, .batch = 1}, &e->trained, err);
    if (!st) st = open_features(e, path, batch, err);
    if (st) dt_extractor_close(e);
    else *out = e;
    return st;
}

void dt_extractor_close(dt_extractor *e)
{
    if (!e) return;
    dt_inference_release(&e->network);
    dt_trained_close(e->trained);
    dt_free(e->pixels);
    dt_free(e->pictures);
    dt_free(e->features);
    dt_free(e);
}

const char *dt_extractor_name(const dt_extractor *e)
{
    return e->name;
}

size_t dt_extractor_dimensions(const dt_extractor *e)
{
    return e->network.output_count;
}

static void normalise(const dt_extractor *e, float *out)
{
    for (size_t i = 0; i < e->network.image_count; i += 3)
        for (size_t c = 0; c < 3; c++) out[i + c] = e->table[c][e->pixels[i + (e->bgr ? 2 - c : c)]];
}

duet_status dt_extractor_add(dt_extractor *e, const dt_pictures *p, size_t first, size_t n, dt_moments *to, duet_error *err)
{
    const dt_inference *i = &e->network;
    for (size_t done = 0; done < n;) {
        const size_t now = n - done < i->batch ? n - done : i->batch;
        for (size_t k = 0; k < now; k++) {
            DT_TRY(p->read(p, first + done + k, i->height, i->width, e->pixels, err));
            normalise(e, e->pictures + k * i->image_count);
        }
        DT_TRY(dt_inference_run(&e->network, e->pictures, NULL, now, e->features, err));
        for (size_t k = 0; k < now; k++) dt_moments_add(to, e->features + k * i->output_count);
        done += now;
        if (p->progress && p->progress(p->user, first + done, p->n))
            return dt_fail(err, DUET_STOPPED, "stopped after %zu of %zu pictures", first + done, p->n);
    }
    return DUET_OK;
}

/* ---- pictures of a data set -------------------------------------------------------------------------------------- */

static duet_status read_record(const dt_pictures *p, size_t i, size_t height, size_t width, uint8_t *pixels, duet_error *err)
{
    const dt_source *source = p->source;
    size_t h, w;
    dt_source_size(source, p->split, i, &h, &w);
    if (h != height || w != width)
        return dt_fail(err, DUET_SHAPE, "%s: picture %zu has %zux%zu pixels; the extractor takes %zux%zu", source->facts.name, i, h, w, height, width);
    dt_record record = {.pixels = pixels};
    return source->read(source, p->split, i, &record, err);
}

dt_pictures dt_pictures_of_source(const dt_source *source, dt_split split)
{
    const size_t n = split == DT_SPLIT_TRAIN ? source->facts.train_images : source->facts.test_images;
    return (dt_pictures){.n = n, .read = read_record, .source = source, .split = split};
}

/* ---- pictures of a folder ---------------------------------------------------------------------------------------- */

static duet_status read_file(const dt_pictures *p, size_t i, size_t height, size_t width, uint8_t *pixels, duet_error *err)
{
    dt_text path = {0};
    dt_text_append(&path, "%s/%s", p->folder, p->names[i]);
    if (!dt_text_ok(&path)) {
        dt_text_release(&path);
        return dt_fail(err, DUET_MEMORY, "%s: not enough memory", p->folder);
    }
    const duet_status st = dt_picture_read(path.bytes, height, width, pixels, err);
    dt_text_release(&path);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_png(const char *name)
{
    const size_t n = strlen(name);
    return n > 4 && name[0] != '.' && !strcasecmp(name + n - 4, ".png");
}

static bool remember(dt_pictures *p, size_t *room, const char *name)
{
    if (p->n == *room) {
        const size_t more = *room ? 2 * *room : 1024;
        const char **names = dt_realloc(p->names, *room * sizeof *names, more * sizeof *names);
        if (!names) return false;
        p->names = names;
        *room = more;
    }
    p->names[p->n] = dt_arena_strdup(&p->arena, name);
    return p->names[p->n++] != NULL;
}

duet_status dt_pictures_of_folder(const char *folder, dt_pictures *out, duet_error *err)
{
    dt_pictures p = {.read = read_file, .folder = folder};
    DIR *d = opendir(folder);
    if (!d) return dt_fail(err, DUET_IO, "%s: %s; a folder of PNGs is wanted, or a data set as NAME:train or NAME:test", folder, strerror(errno));
    size_t room = 0;
    duet_status st = DUET_OK;
    for (struct dirent *entry; !st && (entry = readdir(d));)
        if (is_png(entry->d_name) && !remember(&p, &room, entry->d_name)) st = dt_fail(err, DUET_MEMORY, "%s: not enough memory for its names", folder);
    closedir(d);
    if (!st && !p.n) st = dt_fail(err, DUET_DATA, "%s: holds no PNG", folder);
    if (st) {
        dt_pictures_release(&p);
        return st;
    }
    qsort(p.names, p.n, sizeof *p.names, by_name);
    *out = p;
    return DUET_OK;
}

void dt_pictures_release(dt_pictures *p)
{
    dt_arena_release(&p->arena);
    dt_free(p->names);
    *p = (dt_pictures){0};
}
