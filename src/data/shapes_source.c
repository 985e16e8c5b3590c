/* The data set `shapes`: all its pictures, drawn at once when it is opened (12,000 in about a third of a second; 47
 * MiB). */
#include "data/data_impl.h"

#include <string.h>

enum { IMAGES = DT_SHAPES_TRAIN + DT_SHAPES_TEST, PLACES = DT_SHAPES_SIDE * DT_SHAPES_SIDE, BYTES = 3 * PLACES };

typedef struct shapes {
    dt_source source; /* first: a shapes is a dt_source */
    uint8_t *pixels;  /* [IMAGES, BYTES] */
    uint8_t *masks;   /* [IMAGES, PLACES] */
    int32_t labels[IMAGES];
} shapes;

static const char *const class_names[DT_SHAPES_CLASSES] = {
    "striped disc",     "checked disc",   "striped ring",  "checked ring",     "striped crescent",
    "checked crescent", "striped heart",  "checked heart", "striped triangle", "checked triangle",
    "striped square",   "checked square", "striped star",  "checked star",     "striped cross",
    "checked cross",    "striped ell",    "checked ell",   "striped bow tie",  "checked bow tie"};

static void read_record(const dt_source *source, dt_split split, size_t index, uint8_t *pixels, int32_t *label,
                        uint8_t *mask)
{
    const shapes *s = (const shapes *)source;
    size_t i = split == DT_SPLIT_TRAIN ? index : DT_SHAPES_TRAIN + index;
    memcpy(pixels, s->pixels + i * BYTES, BYTES);
    if (mask) memcpy(mask, s->masks + i * PLACES, PLACES);
    *label = s->labels[i];
}

static void close_shapes(dt_source *source)
{
    shapes *s = (shapes *)source;
    dt_free(s->pixels);
    dt_free(s->masks);
    dt_free(s);
}

static duet_status open_shapes(const dt_source_kind *kind, const char *path, uint64_t seed, const dt_log_sink *log,
                               dt_source **out, duet_error *err)
{
    if (path) dt_say(log, "shapes: drawn, not read; %s is not used", path);
    shapes *s = dt_alloc(1, sizeof *s);
    if (s) {
        s->source.close = close_shapes;
        s->pixels = dt_alloc(IMAGES, BYTES);
        s->masks = dt_alloc(IMAGES, PLACES);
    }
    if (!s || !s->pixels || !s->masks) {
        dt_source_close(s ? &s->source : NULL);
        return dt_fail(err, DUET_MEMORY, "shapes: not enough memory for its %d pictures (47 MiB)", IMAGES);
    }
    s->source.read = read_record;
    s->source.facts = (dt_data_facts){
        .name = kind->name,
        .train_images = DT_SHAPES_TRAIN,
        .test_images = DT_SHAPES_TEST,
        .classes = DT_SHAPES_CLASSES,
        .height = DT_SHAPES_SIDE,
        .width = DT_SHAPES_SIDE,
        .masks = true,
        .mean = {0.3634f, 0.3621f, 0.3653f},
        .std = {0.2045f, 0.2047f, 0.2047f},
        .class_names = class_names,
    };
    for (size_t i = 0; i < IMAGES; i++)
        dt_shapes_draw(seed, i, s->pixels + i * BYTES, &s->labels[i], s->masks + i * PLACES);
    *out = &s->source;
    return DUET_OK;
}

const dt_source_kind dt_source_kind_shapes = {
    .name = "shapes",
    .help = "32x32 drawings of 10 outlines in 2 textures, with masks; needs no download",
    .open = open_shapes,
};
