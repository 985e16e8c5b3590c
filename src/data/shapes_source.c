/* The drawn data sets. All pictures are drawn at once when one is opened, the 12,000 of `shapes` in about a third of a
 * second, and lie in memory as bytes. */
#include "data/data_impl.h"
#include "data/shapes_impl.h"

#include <string.h>

/* One of the three. Fills what it has of a record: pixels, mask, label or pixel_labels. */
typedef struct drawn_set {
    size_t side, train, test;
    dt_data_facts facts;
    void (*draw)(uint64_t seed, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask, uint8_t *pixel_labels);
} drawn_set;

typedef struct drawn {
    dt_source source;              /* first: a drawn is a dt_source */
    size_t places;                 /* of a picture */
    uint8_t *pixels;               /* [images, places, 3] */
    uint8_t *masks, *pixel_labels; /* [images, places]; pixel_labels NULL: one label a picture */
    int32_t *labels;               /* [images] */
} drawn;

static duet_status read_record(const dt_source *source, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    (void)err;
    const drawn *d = (const drawn *)source;
    size_t i = split == DT_SPLIT_TRAIN ? index : d->source.facts.train_images + index;
    out->height = d->source.facts.height;
    out->width = d->source.facts.width;
    out->label = d->labels[i];
    memcpy(out->pixels, d->pixels + i * d->places * 3, d->places * 3);
    if (out->mask) memcpy(out->mask, d->masks + i * d->places, d->places);
    if (out->pixel_labels && d->pixel_labels) memcpy(out->pixel_labels, d->pixel_labels + i * d->places, d->places);
    return DUET_OK;
}

static int32_t record_label(const dt_source *source, dt_split split, size_t index)
{
    const drawn *d = (const drawn *)source;
    return d->labels[split == DT_SPLIT_TRAIN ? index : d->source.facts.train_images + index];
}

static void close_drawn(dt_source *source)
{
    drawn *d = (drawn *)source;
    dt_free(d->pixels);
    dt_free(d->masks);
    dt_free(d->pixel_labels);
    dt_free(d->labels);
    dt_free(d);
}

static bool allocate(drawn *d, size_t images)
{
    d->pixels = dt_alloc(images, d->places * 3);
    d->masks = dt_alloc(images, d->places);
    d->labels = dt_alloc(images, sizeof *d->labels);
    if (!d->pixels || !d->masks || !d->labels) return false;
    if (d->source.facts.labels != DT_LABELS_PIXELS) return true;
    d->pixel_labels = dt_alloc(images, d->places);
    return d->pixel_labels != NULL;
}

static duet_status open_drawn(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    if (q->path) dt_say(q->log, "%s: drawn, not read; %s is not used", kind->name, q->path);
    const drawn_set *set = kind->data;
    size_t images = set->train + set->test;
    drawn *d = dt_alloc(1, sizeof *d);
    if (d) {
        d->source = (dt_source){.facts = set->facts, .read = read_record, .label = record_label, .close = close_drawn};
        d->source.facts.name = kind->name;
        d->source.facts.train_images = set->train;
        d->source.facts.test_images = set->test;
        d->source.facts.height = d->source.facts.width = set->side;
        d->places = set->side * set->side;
    }
    if (!d || !allocate(d, images)) {
        dt_source_close(d ? &d->source : NULL);
        return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its %zu pictures (%zu MiB)", kind->name, images,
                       images * set->side * set->side * (set->facts.labels == DT_LABELS_PIXELS ? 5 : 4) >> 20);
    }
    for (size_t i = 0; i < images; i++)
        set->draw(q->seed, i, d->pixels + i * d->places * 3, &d->labels[i], d->masks + i * d->places,
                  d->pixel_labels ? d->pixel_labels + i * d->places : NULL);
    *out = &d->source;
    return DUET_OK;
}

/* ---- the three sets ------------------------------------------------------------------------------------------ */

static void draw_shapes(uint64_t seed, size_t i, uint8_t *pixels, int32_t *label, uint8_t *mask, uint8_t *pixel_labels)
{
    (void)pixel_labels;
    dt_shapes_draw(seed, i, pixels, label, mask);
}

static void draw_seg(uint64_t seed, size_t i, uint8_t *pixels, int32_t *label, uint8_t *mask, uint8_t *pixel_labels)
{
    *label = 0;
    dt_shapes_seg_draw(seed, i, pixels, pixel_labels, mask);
}

static void draw_plain(uint64_t seed, size_t i, uint8_t *pixels, int32_t *label, uint8_t *mask, uint8_t *pixel_labels)
{
    (void)pixel_labels;
    dt_shapes_plain_draw(seed, i, pixels, label, mask);
}

static const char *const textured_names[DT_SHAPES_CLASSES] = {
    "striped disc",     "checked disc",   "striped ring",  "checked ring",     "striped crescent",
    "checked crescent", "striped heart",  "checked heart", "striped triangle", "checked triangle",
    "striped square",   "checked square", "striped star",  "checked star",     "striped cross",
    "checked cross",    "striped ell",    "checked ell",   "striped bow tie",  "checked bow tie"};

static const char *const names_with_ground[DT_SHAPES_SEG_CLASSES] = {
    "ground", "disc", "ring", "crescent", "heart", "triangle", "square", "star", "cross", "ell", "bow tie"};

/* How masks are shown: far apart for the eye, also for most who see colours differently (Okabe and Ito, and three). */
static const uint8_t seg_colours[DT_SHAPES_SEG_CLASSES][3] = {
    {0, 0, 0},    {230, 159, 0},   {86, 180, 233},  {0, 158, 115}, {240, 228, 66}, {0, 114, 178},
    {213, 94, 0}, {204, 121, 167}, {153, 153, 153}, {120, 60, 30}, {140, 230, 200}};

static const drawn_set set_shapes = {
    .side = DT_SHAPES_SIDE,
    .train = DT_SHAPES_TRAIN,
    .test = DT_SHAPES_TEST,
    .draw = draw_shapes,
    .facts = {.classes = DT_SHAPES_CLASSES,
              .masks = true,
              .mean = {0.3634f, 0.3621f, 0.3653f},
              .std = {0.2045f, 0.2047f, 0.2047f},
              .class_names = textured_names},
};

static const drawn_set set_seg = {
    .side = DT_SHAPES_SEG_SIDE,
    .train = DT_SHAPES_SEG_TRAIN,
    .test = DT_SHAPES_SEG_TEST,
    .draw = draw_seg,
    .facts = {.classes = DT_SHAPES_SEG_CLASSES,
              .labels = DT_LABELS_PIXELS,
              .masks = true,
              .mean = {0.4045f, 0.4018f, 0.4031f},
              .std = {0.2258f, 0.2255f, 0.2259f},
              .class_names = names_with_ground,
              .colours = seg_colours},
};

static const drawn_set set_plain = {
    .side = DT_SHAPES_PLAIN_SIDE,
    .train = DT_SHAPES_PLAIN_TRAIN,
    .test = DT_SHAPES_PLAIN_TEST,
    .draw = draw_plain,
    .facts = {.classes = DT_SHAPES_PLAIN_CLASSES,
              .masks = true,
              .mean = {0.3788f, 0.3800f, 0.3795f},
              .std = {0.2197f, 0.2184f, 0.2186f},
              .class_names = dt_outline_names},
};

static const dt_class_table textured = {.n = DT_SHAPES_CLASSES, .names = textured_names};
static const dt_class_table outlines = {.n = DT_SHAPES_PLAIN_CLASSES, .names = dt_outline_names};
static const dt_class_table outlines_on_ground = {.n = DT_SHAPES_SEG_CLASSES, .names = names_with_ground, .colours = seg_colours};

const dt_source_kind dt_source_kind_shapes = {
    .name = "shapes",
    .help = "32x32 drawings of 10 outlines in 2 textures, with masks; needs no download",
    .open = open_drawn,
    .data = &set_shapes,
    .classes = &textured,
};

const dt_source_kind dt_source_kind_shapes_seg = {
    .name = "shapes-seg",
    .help = "64x64 drawings of 3 overlapping outlines, a class for every pixel; needs no download",
    .open = open_drawn,
    .data = &set_seg,
    .classes = &outlines_on_ground,
};

const dt_source_kind dt_source_kind_shapes_plain = {
    .name = "shapes-plain",
    .help = "32x32 drawings of one outline in a flat colour on a flat ground, with masks; needs no download",
    .open = open_drawn,
    .data = &set_plain,
    .classes = &outlines,
};
