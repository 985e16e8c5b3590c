/* Data sets whose pictures are files: a list of paths and sizes; pixels are decoded whenever a record is read, by whoever
 * reads it.
 *
 * When the set is opened, the head of every file is read. So what is missing, of a wrong kind or of a wrong size is said
 * before training begins; what can only be seen by decoding (damage, a value that is no class) is said by the record that
 * has it. A file that changes its size in between is an error as well, for buffers were made for the old one. */
#include "data/data_impl.h"

#include <string.h>

/* ---- reading --------------------------------------------------------------------------------------------------- */

static duet_status bad_value(const dt_file_set *set, const dt_picture_file *f, size_t place, unsigned value,
                             duet_error *err)
{
    char values[64];
    snprintf(values, sizeof values, "classes are 0 to %zu", set->source.facts.classes - 1);
    return dt_fail(err, DUET_DATA, "%s: value %u at x %zu, y %zu; %s, and %d for pixels without a class", f->classes,
                   value, place % f->width, place / f->width, set->values ? set->values : values, (int)DT_IGNORED);
}

static duet_status read_classes(const dt_file_set *set, const dt_picture_file *f, uint8_t *classes, duet_error *err)
{
    const size_t places = (size_t)f->height * f->width;
    DT_TRY(dt_picture_indices(f->classes, f->height, f->width, classes, err));
    for (size_t i = 0; i < places; i++) {
        if (!set->known[classes[i]]) return bad_value(set, f, i, classes[i], err);
        classes[i] = set->class_of[classes[i]];
    }
    return DUET_OK;
}

static duet_status read_record(const dt_source *source, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    const dt_file_set *set = (const dt_file_set *)source;
    const dt_picture_file *f = &set->split[split].at[index];
    out->height = f->height;
    out->width = f->width;
    out->label = f->label;
    DT_TRY(dt_picture_read(f->image, f->height, f->width, out->pixels, err));
    uint8_t *mask = set->source.facts.masks ? out->mask : NULL, *classes = out->pixel_labels ? out->pixel_labels : mask;
    if (!classes || !f->classes) return DUET_OK;
    DT_TRY(read_classes(set, f, classes, err));
    for (size_t i = 0; mask && i < (size_t)f->height * f->width; i++) mask[i] = classes[i] != set->ground && classes[i] != DT_IGNORED;
    return DUET_OK;
}

static void record_size(const dt_source *source, dt_split split, size_t index, size_t *height, size_t *width)
{
    const dt_picture_file *f = &((const dt_file_set *)source)->split[split].at[index];
    *height = f->height;
    *width = f->width;
}

static int32_t record_label(const dt_source *source, dt_split split, size_t index)
{
    return ((const dt_file_set *)source)->split[split].at[index].label;
}

static duet_status fetch_record(const dt_source *source, dt_split split, size_t index, dt_encoded *out, duet_error *err)
{
    const dt_picture_file *f = &((const dt_file_set *)source)->split[split].at[index];
    out->label = f->label;
    return dt_encoded_read_file(f->image, out, err);
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static void close_set(dt_source *source)
{
    dt_file_set *set = (dt_file_set *)source;
    for (int i = 0; i < 2; i++) dt_free(set->split[i].at);
    dt_arena_release(&set->arena);
    dt_free(set);
}

duet_status dt_file_set_create(const dt_source_kind *kind, size_t classes, dt_file_set **out, duet_error *err)
{
    dt_file_set *set = dt_alloc(1, sizeof *set);
    if (!set) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", kind->name);
    set->source = (dt_source){.read = read_record, .size = record_size, .close = close_set};
    set->source.facts.name = kind->name;
    set->source.facts.classes = classes;
    for (size_t i = 0; i < 256; i++) {
        set->class_of[i] = (uint8_t)i;
        set->known[i] = i < classes || i == DT_IGNORED;
    }
    *out = set;
    return DUET_OK;
}

duet_status dt_file_set_add(dt_file_set *set, dt_split split, const char *image, const char *classes, int32_t label,
                            duet_error *err)
{
    dt_picture_files *files = &set->split[split];
    if (files->n == files->capacity) {
        size_t more = files->capacity ? 2 * files->capacity : 256;
        dt_picture_file *at = dt_realloc(files->at, files->capacity * sizeof *at, more * sizeof *at);
        if (!at) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its list", set->source.facts.name);
        files->at = at;
        files->capacity = more;
    }
    files->at[files->n++] = (dt_picture_file){.image = image, .classes = classes, .label = label};
    return DUET_OK;
}

void dt_file_set_ground(dt_file_set *set, uint8_t ground)
{
    set->source.facts.masks = true;
    set->ground = ground;
}

void dt_file_set_upright(dt_file_set *set)
{
    set->upright = true;
    set->source.read = dt_read_fetched;
    set->source.fetch = fetch_record;
    set->source.label = record_label;
}

static duet_status measure(const dt_file_set *set, dt_picture_file *f, duet_error *err)
{
    dt_picture_facts image, classes;
    DT_TRY(dt_picture_measure(f->image, &image, err));
    if (set->upright) dt_picture_upright_size(&image, 8, &image.height, &image.width);
    f->height = (uint32_t)image.height;
    f->width = (uint32_t)image.width;
    if (!f->classes) return DUET_OK;
    DT_TRY(dt_picture_measure(f->classes, &classes, err));
    duet_status st = dt_picture_check_indices(&classes, err);
    if (!st && (classes.height != image.height || classes.width != image.width))
        st = dt_fail(err, DUET_DATA,
                     "has %zux%zu pixels (height x width), but its picture %s has %zux%zu; both must be equal",
                     classes.height, classes.width, f->image, image.height, image.width);
    if (st) dt_context(err, "%s", f->classes);
    return st;
}

/* Says the first few by name. */
static void say_left_out(const dt_file_set *set, const dt_log_sink *log, const duet_error *why, size_t number)
{
    enum { BY_NAME = 10 };
    if (set->say_all || number <= BY_NAME) dt_say(log, "%s: left out: %s", set->source.facts.name, why->message);
}

static duet_status measure_split(dt_file_set *set, dt_split split, const dt_log_sink *log, duet_error *err)
{
    dt_data_facts *facts = &set->source.facts;
    dt_picture_files *files = &set->split[split];
    size_t kept = 0;
    duet_error own;
    for (size_t i = 0; i < files->n; i++) {
        dt_picture_file *f = &files->at[i];
        const duet_status st = measure(set, f, &own);
        if (st && set->skip && st != DUET_MEMORY) {
            say_left_out(set, log, &own, i - kept + 1);
            continue;
        }
        if (st) {
            if (err) *err = own;
            return st;
        }
        files->at[kept++] = *f;
        if (facts->height && (f->height != facts->height || f->width != facts->width)) facts->mixed_sizes = true;
        if (f->height > facts->height) facts->height = f->height;
        if (f->width > facts->width) facts->width = f->width;
    }
    if (kept < files->n)
        dt_say(log, "%s: %zu of %zu %s pictures cannot be read and are left out", facts->name, files->n - kept, files->n,
               split == DT_SPLIT_TRAIN ? "training" : "validation");
    facts->left_out[split] = files->n - kept;
    files->n = kept;
    return DUET_OK;
}

static duet_status need_both(const dt_file_set *set, duet_error *err)
{
    const bool train = set->split[DT_SPLIT_TRAIN].n > 0, test = set->split[DT_SPLIT_TEST].n > 0;
    if (train && test) return DUET_OK;
    return dt_fail(err, DUET_DATA, "%s: no %s pictures; at least one to train on and one to judge by are needed", set->source.facts.name,
                   train ? "validation" : "training");
}

duet_status dt_file_set_finish(dt_file_set *set, const dt_log_sink *log, duet_error *err)
{
    dt_data_facts *facts = &set->source.facts;
    DT_TRY(need_both(set, err));
    DT_TRY(measure_split(set, DT_SPLIT_TRAIN, log, err));
    DT_TRY(measure_split(set, DT_SPLIT_TEST, log, err));
    DT_TRY(need_both(set, err));
    facts->train_images = set->split[DT_SPLIT_TRAIN].n;
    facts->test_images = set->split[DT_SPLIT_TEST].n;
    const dt_normalisation imagenet = dt_normalisation_of(DT_NORMALISE_IMAGENET, facts);
    if (facts->std[0] == 0) {
        memcpy(facts->mean, imagenet.mean, sizeof facts->mean);
        memcpy(facts->std, imagenet.std, sizeof facts->std);
    }
    dt_say(log, "%s: %zu training and %zu validation pictures, %s%zux%zu pixels (height x width)", facts->name,
           facts->train_images, facts->test_images, facts->mixed_sizes ? "up to " : "", facts->height, facts->width);
    return DUET_OK;
}
