/* `cityscapes`: the fine annotations, in the layout of their authors.
 *
 *     leftImg8bit/{train,val}/CITY/CITY_SEQ_FRAME_leftImg8bit.png
 *     gtFine/{train,val}/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png     8-bit grey, ids 0..33
 *
 * Of the ids, 19 are classes to train; the others are pixels without a class. Records are in the order of their names. */
#include "data/data_impl.h"

#include <string.h>

enum { CLASSES = 19, IDS = 34, OFFICIAL_TRAIN = 2975, OFFICIAL_VAL = 500 };

static const char *const names[CLASSES] = {"road",  "sidewalk",   "building", "wall",       "fence",  "pole",  "light",
                                           "sign",  "vegetation", "terrain",  "sky",        "person", "rider", "car",
                                           "truck", "bus",        "train",    "motorcycle", "bicycle"};

static const uint8_t ids[CLASSES] = {7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33};

static const uint8_t colours[CLASSES][3] = {
    {128, 64, 128}, {244, 35, 232}, {70, 70, 70},    {102, 102, 156}, {190, 153, 153}, {153, 153, 153}, {250, 170, 30},
    {220, 220, 0},  {107, 142, 35}, {152, 251, 152}, {70, 130, 180},  {220, 20, 60},   {255, 0, 0},     {0, 0, 142},
    {0, 0, 70},     {0, 60, 100},   {0, 80, 100},    {0, 0, 230},     {119, 11, 32}};

static const char image_end[] = "_leftImg8bit.png", label_end[] = "_gtFine_labelIds.png";

static duet_status no_memory(duet_error *err)
{
    return dt_fail(err, DUET_MEMORY, "cityscapes: not enough memory for its names");
}

static duet_status add_city(dt_file_set *set, dt_split split, const char *images, const char *labels, duet_error *err)
{
    dt_arena *arena = &set->arena;
    dt_lines files;
    DT_TRY(dt_folder_names(images, image_end, arena, &files, err));
    for (size_t i = 0; i < files.n; i++) {
        const int stem = (int)(strlen(files.at[i]) - strlen(image_end));
        const char *image = dt_arena_printf(arena, "%s/%s", images, files.at[i]);
        const char *label = dt_arena_printf(arena, "%s/%.*s%s", labels, stem, files.at[i], label_end);
        if (!image || !label) return no_memory(err);
        DT_TRY(dt_file_set_add(set, split, image, label, 0, err));
    }
    return DUET_OK;
}

static duet_status add_split(dt_file_set *set, dt_split split, const char *root, const char *part, duet_error *err)
{
    dt_arena *arena = &set->arena;
    dt_lines cities;
    const char *folder = dt_arena_printf(arena, "%s/leftImg8bit/%s", root, part);
    if (!folder) return no_memory(err);
    DT_TRY(dt_folder_names(folder, "", arena, &cities, err));
    for (size_t i = 0; i < cities.n; i++) {
        const char *images = dt_arena_printf(arena, "%s/%s", folder, cities.at[i]);
        const char *labels = dt_arena_printf(arena, "%s/gtFine/%s/%s", root, part, cities.at[i]);
        if (!images || !labels) return no_memory(err);
        if (dt_is_folder(images)) DT_TRY(add_city(set, split, images, labels, err));
    }
    if (set->split[split].n > 0) return DUET_OK;
    return dt_fail(err, DUET_DATA, "%s: no picture CITY/..%s in it", folder, image_end);
}

static void know_ids(dt_file_set *set)
{
    for (size_t i = 0; i < 256; i++) {
        set->class_of[i] = DT_IGNORED;
        set->known[i] = i < IDS || i == DT_IGNORED; /* 255 is how 8 bits hold the id -1 */
    }
    for (size_t c = 0; c < CLASSES; c++) set->class_of[ids[c]] = (uint8_t)c;
    set->values = "ids are 0 to 33";
}

static duet_status fill(dt_file_set *set, const char *path, const dt_log_sink *log, duet_error *err)
{
    DT_TRY(add_split(set, DT_SPLIT_TRAIN, path, "train", err));
    DT_TRY(add_split(set, DT_SPLIT_TEST, path, "val", err));
    DT_TRY(dt_file_set_finish(set, log, err));
    if (set->split[DT_SPLIT_TRAIN].n != OFFICIAL_TRAIN || set->split[DT_SPLIT_TEST].n != OFFICIAL_VAL)
        dt_say(log, "cityscapes: not the official %d and %d pictures; all are used", (int)OFFICIAL_TRAIN,
               (int)OFFICIAL_VAL);
    return DUET_OK;
}

static duet_status open_cityscapes(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    dt_file_set *set = NULL;
    DT_TRY(dt_need_folder(kind, q->path, err));
    DT_TRY(dt_file_set_create(kind, CLASSES, &set, err));
    set->source.facts.labels = DT_LABELS_PIXELS;
    set->source.facts.class_names = names;
    set->source.facts.colours = colours;
    set->source.facts.class_ids = ids;
    know_ids(set);
    duet_status st = fill(set, q->path, q->log, err);
    if (st) dt_source_close(&set->source);
    else *out = &set->source;
    return st;
}

static const dt_class_table classes = {.n = CLASSES, .names = names, .colours = colours, .ids = ids};

const dt_source_kind dt_source_kind_cityscapes = {
    .name = "cityscapes",
    .help = "street scenes of 1024x2048 pixels with 19 classes",
    .needs = "leftImg8bit/{train,val} and gtFine/{train,val}",
    .open = open_cityscapes,
    .classes = &classes,
};
