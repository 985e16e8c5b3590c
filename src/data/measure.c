/* What the pixels of a data set are like on the average, for normalisation: a pass of the loader over bytes as they are. */
#include "data/data_impl.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 3, BATCH = 8 };

typedef struct sums {
    uint64_t pixels, value[CHANNELS], square[CHANNELS]; /* of bytes: exact up to 2^48 pixels */
} sums;

/* Values of a batch are bytes: the loader was told to leave them as they are. */
static void add_batch(sums *s, const dt_batch *b)
{
    const size_t places = b->n * b->height * b->width;
    const float *p = b->images[0];
    for (size_t i = 0; i < places; i++, p += CHANNELS)
        for (size_t k = 0; k < CHANNELS; k++) {
            const uint32_t byte = (uint32_t)p[k];
            s->value[k] += byte;
            s->square[k] += byte * byte;
        }
    s->pixels += places;
}

static duet_status finish(const sums *s, const char *name, float mean[CHANNELS], float std[CHANNELS], duet_error *err)
{
    static const char *const channels[CHANNELS] = {"red", "green", "blue"};
    const double n = (double)s->pixels;
    for (size_t k = 0; k < CHANNELS; k++) {
        const double m = (double)s->value[k] / n, variance = (double)s->square[k] / n - m * m;
        if (variance < 1e-6)
            return dt_fail(err, DUET_DATA, "%s: every pixel has the same %s, %.4g; nothing can be normalised by that. Choose data.normalise: imagenet",
                           name, channels[k], m);
        mean[k] = (float)(m / 255);
        std[k] = (float)(sqrt(variance) / 255);
    }
    return DUET_OK;
}

/* n of `all`, evenly spread. */
static uint32_t *choose(const dt_loader_spec *spec, size_t all, size_t n)
{
    uint32_t *indices = dt_alloc(n, sizeof *indices);
    for (size_t i = 0; indices && i < n; i++) {
        const size_t at = (size_t)((double)i * (double)all / (double)n);
        indices[i] = spec->indices ? spec->indices[at] : (uint32_t)at;
    }
    return indices;
}

duet_status dt_measure_pixels(const dt_loader_spec *spec, size_t most, float mean[CHANNELS], float std[CHANNELS], size_t *n, duet_error *err)
{
    const dt_data_facts *f = &spec->source->facts;
    const dt_normalisation bytes = {.unit = 1, .std = {1, 1, 1}};
    const size_t all = spec->indices ? spec->n_indices : spec->split == DT_SPLIT_TRAIN ? f->train_images : f->test_images;
    dt_loader_spec own = *spec;
    dt_loader *loader;
    sums s = {.pixels = 0};
    own.n_indices = all < most ? all : most;
    own.indices = choose(spec, all, own.n_indices);
    if (!own.indices) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for measuring it", f->name);
    own.batch = f->mixed_sizes && !own.squares.size && !own.crop.height ? 1 : BATCH;
    own.drop_last = own.shuffle = false;
    own.normalise = &bytes;
    own.noising = NULL;
    own.mixup = 0;
    own.views = 1;
    duet_status st = dt_loader_create(&own, &loader, err);
    if (!st) {
        dt_loader_start(loader, 0, 0);
        for (dt_batch *b; (b = dt_loader_next(loader, NULL));) {
            add_batch(&s, b);
            dt_loader_give_back(loader, b);
        }
        st = dt_loader_status(loader, err);
        dt_loader_destroy(loader);
    }
    dt_free((void *)(uintptr_t)own.indices);
    *n = own.n_indices;
    return st ? st : finish(&s, f->name, mean, std, err);
}
