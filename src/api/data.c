/* <duet/data.h>: the built-in sources of src/data, and a source made of the caller's functions. */
#include "api/api_impl.h"

#include <string.h>

/* ---- built-in ----------------------------------------------------------------------------------------------- */

int duet_data_kind_at(size_t i, duet_data_kind *out)
{
    const dt_source_kind *kind = dt_source_kind_at(i);
    if (!kind) return 0;
    *out = (duet_data_kind){.name = kind->name, .help = kind->help, .needs = kind->needs};
    return 1;
}

int duet_data_classes(const char *name, duet_classes *out)
{
    const dt_source_kind *kind = dt_source_kind_find(name, NULL);
    if (!kind || !kind->classes) return 0;
    const dt_class_table *c = kind->classes;
    *out = (duet_classes){.n = c->n, .names = c->names, .colours = c->colours, .ids = c->ids};
    return 1;
}

duet_status duet_data_open(const char *name, const char *path, const duet_log *log, duet_data **out, duet_error *err)
{
    return duet_data_open_as(name, path, &(duet_data_options){.log = log}, out, err);
}

duet_status duet_data_open_as(const char *name, const char *path, const duet_data_options *options, duet_data **out, duet_error *err)
{
    const dt_log_sink sink = dt_api_log(options->log);
    const dt_source_request q = {.name = name, .path = path, .seed = DT_DATA_SEED, .skip = options->skip, .say_all = options->say_all, .log = &sink};
    duet_data *data = dt_alloc(1, sizeof *data);
    if (!data) return dt_fail(err, DUET_MEMORY, "not enough memory for a data set");
    duet_status st = dt_source_open_as(&q, &data->source, err);
    data->skip = options->skip;
    data->log = sink;
    if (st) dt_free(data);
    else *out = data;
    return st;
}

void duet_data_close(duet_data *data)
{
    if (!data) return;
    dt_source_close(data->source);
    dt_free(data);
}

void duet_data_describe(const duet_data *data, duet_data_info *out)
{
    const dt_data_facts *f = &data->source->facts;
    *out = (duet_data_info){.name = f->name, .train_images = f->train_images, .test_images = f->test_images, .classes = f->classes,
                            .height = f->height, .width = f->width, .masks = f->masks, .class_names = f->class_names,
                            .pixel_labels = f->labels == DT_LABELS_PIXELS, .mixed_sizes = f->mixed_sizes, .colours = f->colours,
                            .left_out = {f->left_out[DT_SPLIT_TRAIN], f->left_out[DT_SPLIT_TEST]}};
    memcpy(out->mean, f->mean, sizeof out->mean);
    memcpy(out->std, f->std, sizeof out->std);
}

static duet_status check_index(const duet_data *data, duet_split split, size_t index, duet_error *err)
{
    const dt_data_facts *f = &data->source->facts;
    const size_t images = split == DUET_SPLIT_TRAIN ? f->train_images : f->test_images;
    if (index < images) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%s: there is no %s picture %zu; there are %zu, counted from 0", f->name,
                   split == DUET_SPLIT_TRAIN ? "training" : "test", index, images);
}

static dt_split inner_split(duet_split split)
{
    return split == DUET_SPLIT_TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST;
}

duet_status duet_data_size(const duet_data *data, duet_split split, size_t index, size_t *height, size_t *width, duet_error *err)
{
    DT_TRY(check_index(data, split, index, err));
    dt_source_size(data->source, inner_split(split), index, height, width);
    return DUET_OK;
}

/* Reads into what of `record` is not NULL, and *label; pixels are always read, wanted or not. */
static duet_status read_into(const duet_data *data, duet_split split, size_t index, dt_record record, int32_t *label, duet_error *err)
{
    size_t height, width, places;
    DT_TRY(duet_data_size(data, split, index, &height, &width, err));
    uint8_t *unwanted = NULL;
    if (!record.pixels) {
        unwanted = dt_size_mul(height, width, &places) ? dt_alloc(places, 3) : NULL;
        if (!unwanted) return dt_fail(err, DUET_MEMORY, "not enough memory for a picture");
        record.pixels = unwanted;
    }
    duet_status st = data->source->read(data->source, inner_split(split), index, &record, err);
    if (!st && label) *label = record.label;
    dt_free(unwanted);
    return st;
}

duet_status duet_data_read(const duet_data *data, duet_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask,
                           duet_error *err)
{
    const dt_record record = {.pixels = pixels, .mask = data->source->facts.masks ? mask : NULL};
    return read_into(data, split, index, record, label, err);
}

duet_status duet_data_read_pixel_labels(const duet_data *data, duet_split split, size_t index, uint8_t *labels, duet_error *err)
{
    const dt_data_facts *f = &data->source->facts;
    if (f->labels != DT_LABELS_PIXELS) return dt_fail(err, DUET_ARG, "%s: its pixels have no classes; its pictures have", f->name);
    return read_into(data, split, index, (dt_record){.pixel_labels = labels}, NULL, err);
}

/* ---- looked through, and packed ----------------------------------------------------------------------------- */

duet_status duet_data_check(const duet_data *data, const duet_data_check_options *options, size_t *per_class, duet_data_report *out, duet_error *err)
{
    const duet_data_check_options o = options ? *options : (duet_data_check_options){0};
    dt_cpu cpu;
    dt_cpu_detect(&cpu);
    const dt_check_request q = {.threads = o.threads > 0 ? o.threads : cpu.cores, .broken = o.broken, .twin = o.twin, .progress = o.progress,
                                .user = o.user};
    dt_data_report r = {.per_class = {per_class, per_class ? per_class + data->source->facts.classes : NULL}};
    if (per_class) memset(per_class, 0, 2 * data->source->facts.classes * sizeof *per_class);
    DT_TRY(dt_check_data(data->source, &q, &r, err));
    *out = (duet_data_report){.twins = r.twins, .jpegs = r.jpegs, .greys = r.greys, .palettes = r.palettes, .cmyks = r.cmyks, .deep = r.deep,
                              .turned = r.turned, .bytes = r.bytes};
    for (int i = 0; i < 2; i++) {
        out->pictures[i] = r.pictures[i];
        out->broken[i] = r.broken[i];
        out->least[i] = r.least[i];
        out->most[i] = r.most[i];
    }
    memcpy(out->mean, r.mean, sizeof out->mean);
    memcpy(out->std, r.std, sizeof out->std);
    return DUET_OK;
}

duet_status duet_data_pack(const duet_data *data, const char *out, const duet_data_pack_options *options, size_t *shards, size_t *pictures,
                           duet_error *err)
{
    const duet_data_pack_options o = options ? *options : (duet_data_pack_options){0};
    const dt_log_sink sink = dt_api_log(o.log);
    const dt_pack_request q = {.out = out, .shard_bytes = o.shard_bytes ? o.shard_bytes : 100000000, .skip = o.skip, .log = &sink,
                               .progress = o.progress, .user = o.user};
    return dt_pack_data(data->source, &q, shards, pictures, err);
}

/* ---- the caller's own --------------------------------------------------------------------------------------- */

typedef struct own_source {
    dt_source base; /* first: a dt_source is what others see */
    duet_data_source given;
    dt_arena arena;
} own_source;

static void read_own_pixels(const own_source *own, duet_split split, size_t index, dt_record *out)
{
    const dt_data_facts *f = &own->base.facts;
    out->label = 0;
    own->given.read_pixels(own->given.user, split, index, out->pixels, out->pixel_labels, out->mask);
    for (size_t i = 0; out->pixel_labels && i < f->height * f->width; i++)
        if (out->pixel_labels[i] >= f->classes && out->pixel_labels[i] != DT_IGNORED)
            DT_BUG("the program's data set '%s' gave class %u at x %zu, y %zu of picture %zu; classes are 0 to %zu, or %d", f->name,
                   (unsigned)out->pixel_labels[i], i % f->width, i / f->width, index, f->classes - 1, (int)DT_IGNORED);
}

static duet_status read_own(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    const own_source *own = (const own_source *)s;
    const duet_split outer = split == DT_SPLIT_TRAIN ? DUET_SPLIT_TRAIN : DUET_SPLIT_TEST;
    (void)err;
    out->height = s->facts.height;
    out->width = s->facts.width;
    if (s->facts.labels == DT_LABELS_PIXELS) {
        read_own_pixels(own, outer, index, out);
        return DUET_OK;
    }
    own->given.read(own->given.user, outer, index, out->pixels, &out->label, out->mask);
    if (out->label < 0 || (size_t)out->label >= s->facts.classes)
        DT_BUG("the program's data set '%s' gave label %d for picture %zu; labels are 0 to %zu", s->facts.name, (int)out->label, index,
               s->facts.classes - 1);
    return DUET_OK;
}

static void close_own(dt_source *s)
{
    own_source *own = (own_source *)s;
    if (own->given.close) own->given.close(own->given.user);
    dt_arena_release(&own->arena);
    dt_free(own);
}

static bool name_is_good(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return name && *name && strlen(name) < 32 && strspn(name, allowed) == strlen(name);
}

static duet_status check_own(const duet_data_source *source, duet_error *err)
{
    const duet_data_info *i = &source->info;
    size_t pixels;
    if (i->pixel_labels ? !source->read_pixels : !source->read)
        return dt_fail(err, DUET_ARG, "a data set needs a function `%s`", i->pixel_labels ? "read_pixels" : "read");
    if (!name_is_good(i->name))
        return dt_fail(err, DUET_ARG, "a data set needs a name of 1 to 31 letters, digits, '_' or '-'");
    if (i->train_images == 0 && i->test_images == 0) return dt_fail(err, DUET_ARG, "%s: has no pictures", i->name);
    if (i->train_images > UINT32_MAX || i->test_images > UINT32_MAX)
        return dt_fail(err, DUET_ARG, "%s: more than %u pictures in a split", i->name, UINT32_MAX);
    if (i->classes < 2 || i->classes > INT32_MAX)
        return dt_fail(err, DUET_ARG, "%s: %zu classes; at least 2 are needed", i->name, i->classes);
    if (i->pixel_labels && i->classes > DT_PIXEL_CLASSES)
        return dt_fail(err, DUET_ARG, "%s: %zu classes of pixels; at most %d are possible", i->name, i->classes, (int)DT_PIXEL_CLASSES);
    if (i->mixed_sizes) return dt_fail(err, DUET_ARG, "%s: mixed_sizes; a data set of the caller's has pictures of one size", i->name);
    if (i->height == 0 || i->width == 0 || !dt_size_mul(i->height, i->width, &pixels) || !dt_size_mul(pixels, 12, &pixels))
        return dt_fail(err, DUET_ARG, "%s: pictures of %zux%zu pixels cannot be", i->name, i->height, i->width);
    for (int c = 0; c < 3; c++)
        if (!(i->std[c] > 0)) return dt_fail(err, DUET_ARG, "%s: std[%d] is %g; it must be above 0", i->name, c, (double)i->std[c]);
    return DUET_OK;
}

/* Copies of texts and colours, in the source's own arena. */
static bool copy_texts(own_source *own, const duet_data_info *i, dt_data_facts *facts)
{
    if (i->colours) {
        uint8_t(*colours)[3] = dt_arena_alloc(&own->arena, i->classes, sizeof *colours);
        if (!colours) return false;
        memcpy(colours, i->colours, i->classes * sizeof *colours);
        facts->colours = (const uint8_t(*)[3])colours;
    }
    facts->name = dt_arena_strdup(&own->arena, i->name);
    if (!facts->name || !i->class_names) return facts->name != NULL;
    const char **names = dt_arena_alloc(&own->arena, i->classes, sizeof *names);
    for (size_t c = 0; names && c < i->classes; c++)
        if (!(names[c] = dt_arena_strdup(&own->arena, i->class_names[c] ? i->class_names[c] : ""))) return false;
    facts->class_names = names;
    return names != NULL;
}

duet_status duet_data_create(const duet_data_source *source, duet_data **out, duet_error *err)
{
    const duet_data_info *i = &source->info;
    DT_TRY(check_own(source, err));
    duet_data *data = dt_alloc(1, sizeof *data);
    own_source *own = dt_alloc(1, sizeof *own);
    dt_data_facts facts = {.train_images = i->train_images, .test_images = i->test_images, .classes = i->classes, .height = i->height,
                           .width = i->width, .masks = i->masks != 0, .labels = i->pixel_labels ? DT_LABELS_PIXELS : DT_LABELS_CLASS};
    memcpy(facts.mean, i->mean, sizeof facts.mean);
    memcpy(facts.std, i->std, sizeof facts.std);
    if (!data || !own || !copy_texts(own, i, &facts)) {
        if (own) dt_arena_release(&own->arena);
        dt_free(own);
        dt_free(data);
        return dt_fail(err, DUET_MEMORY, "%s: not enough memory", i->name);
    }
    own->base = (dt_source){.facts = facts, .read = read_own, .close = close_own};
    own->given = *source;
    data->source = &own->base;
    *out = data;
    return DUET_OK;
}
