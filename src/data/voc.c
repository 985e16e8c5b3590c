/* `voc`: PASCAL VOC 2012, its segmentation part, in the layout of its authors.
 *
 *     JPEGImages/ID.jpg   SegmentationClass/ID.png   ImageSets/Segmentation/{train,val}.txt: an ID a line
 *
 * Masks are palette PNGs; the index is the class: 0 background .. 20, 255 the border of an object. If there are a folder
 * SegmentationClassAug and a list train_aug.txt (or trainaug.txt), both from "Semantic contours from inverse detectors",
 * Hariharan et al., ICCV 2011, made to VOC's classes (10,582 pictures), training uses them. */
#include "data/data_impl.h"

#include <string.h>
#include <unistd.h>

enum { CLASSES = 21 };

static const char *const names[CLASSES] = {
    "background", "aeroplane", "bicycle",     "bird",  "boat",        "bottle", "bus",
    "car",        "cat",       "chair",       "cow",   "diningtable", "dog",    "horse",
    "motorbike",  "person",    "pottedplant", "sheep", "sofa",        "train",  "tvmonitor"};

/* The palette of VOC's masks: the bits of the index, three at a time, from the top of red, green and blue. */
static const uint8_t colours[CLASSES][3] = {
    {0, 0, 0},       {128, 0, 0},     {0, 128, 0}, {128, 128, 0}, {0, 0, 128},   {128, 0, 128}, {0, 128, 128},
    {128, 128, 128}, {64, 0, 0},      {192, 0, 0}, {64, 128, 0},  {192, 128, 0}, {64, 0, 128},  {192, 0, 128},
    {64, 128, 128},  {192, 128, 128}, {0, 64, 0},  {128, 64, 0},  {0, 192, 0},   {128, 192, 0}, {0, 64, 128}};

/* The folder itself, or one of those that the archive unpacks to. */
static duet_status find_root(const dt_source_kind *kind, const char *given, dt_arena *arena, const char **out,
                             duet_error *err)
{
    static const char *const below[] = {"", "/VOC2012", "/VOCdevkit/VOC2012"};
    DT_TRY(dt_need_folder(kind, given, err));
    for (size_t i = 0; i < DT_COUNT(below); i++) {
        const char *images = dt_arena_printf(arena, "%s%s/JPEGImages", given, below[i]);
        *out = dt_arena_printf(arena, "%s%s", given, below[i]);
        if (!images || !*out) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", kind->name);
        if (dt_is_folder(images)) return DUET_OK;
    }
    return dt_fail(err, DUET_DATA, "%s: no PASCAL VOC in this folder; %s needs %s", given, kind->name, kind->needs);
}

/* "2007_000032", or "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png" as some lists have it. */
static const char *id_of(const char *line, dt_arena *arena)
{
    size_t length = strcspn(line, " \t");
    char *copy = dt_arena_alloc(arena, length + 1, 1);
    if (!copy) return NULL;
    memcpy(copy, line, length);
    char *slash = strrchr(copy, '/'), *id = slash ? slash + 1 : copy, *dot = strrchr(id, '.');
    if (dot) *dot = '\0';
    return id;
}

static duet_status add_list(dt_file_set *set, dt_split split, const char *root, const char *list, const char *masks,
                            duet_error *err)
{
    dt_arena *arena = &set->arena;
    dt_lines lines;
    DT_TRY(dt_lines_read(list, arena, &lines, err));
    if (lines.n == 0) return dt_fail(err, DUET_DATA, "%s: the list is empty; it names a picture a line", list);
    for (size_t i = 0; i < lines.n; i++) {
        const char *id = id_of(lines.at[i], arena);
        const char *image = id ? dt_arena_printf(arena, "%s/JPEGImages/%s.jpg", root, id) : NULL;
        const char *mask = id ? dt_arena_printf(arena, "%s/%s/%s.png", root, masks, id) : NULL;
        if (!image || !mask) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its names", list);
        DT_TRY(dt_file_set_add(set, split, image, mask, 0, err));
    }
    return DUET_OK;
}

/* The list of the augmented training set, or NULL where it, or its masks, are not there. */
static const char *find_augmented(const char *root, dt_arena *arena)
{
    static const char *const lists[] = {"train_aug.txt", "trainaug.txt"};
    const char *masks = dt_arena_printf(arena, "%s/SegmentationClassAug", root);
    for (size_t i = 0; masks && dt_is_folder(masks) && i < DT_COUNT(lists); i++) {
        const char *path = dt_arena_printf(arena, "%s/ImageSets/Segmentation/%s", root, lists[i]);
        if (path && access(path, F_OK) == 0) return path;
    }
    return NULL;
}

static duet_status fill(dt_file_set *set, const dt_source_kind *kind, const char *path, const dt_log_sink *log,
                        duet_error *err)
{
    dt_arena *arena = &set->arena;
    const char *root = NULL;
    DT_TRY(find_root(kind, path, arena, &root, err));
    const char *train = dt_arena_printf(arena, "%s/ImageSets/Segmentation/train.txt", root);
    const char *val = dt_arena_printf(arena, "%s/ImageSets/Segmentation/val.txt", root);
    if (!train || !val) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", kind->name);
    const char *augmented = find_augmented(root, arena);
    dt_say(log, "voc: trains on %s", augmented ? augmented : train);
    DT_TRY(add_list(set, DT_SPLIT_TRAIN, root, augmented ? augmented : train,
                    augmented ? "SegmentationClassAug" : "SegmentationClass", err));
    DT_TRY(add_list(set, DT_SPLIT_TEST, root, val, "SegmentationClass", err));
    return dt_file_set_finish(set, log, err);
}

static duet_status open_voc(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    dt_file_set *set = NULL;
    DT_TRY(dt_file_set_create(kind, CLASSES, &set, err));
    set->source.facts.labels = DT_LABELS_PIXELS;
    set->source.facts.class_names = names;
    set->source.facts.colours = colours;
    dt_file_set_ground(set, 0);
    duet_status st = fill(set, kind, q->path, q->log, err);
    if (st) dt_source_close(&set->source);
    else *out = &set->source;
    return st;
}

static const dt_class_table classes = {.n = CLASSES, .names = names, .colours = colours};

const dt_source_kind dt_source_kind_voc = {
    .name = "voc",
    .help = "PASCAL VOC 2012: photographs with 21 classes of pixels",
    .needs = "JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/{train,val}.txt",
    .open = open_voc,
    .classes = &classes,
};
