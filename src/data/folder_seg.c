/* `folder-seg`: pictures of one's own whose pixels have classes.
 *
 *     images/STEM.png|jpg   masks/STEM.png   train.txt, val.txt: a stem a line   classes.txt: "NAME #rrggbb" a line
 *
 * The n-th line of classes.txt is class n, from 0. A mask is a grey or palette PNG: the value, or the index into the
 * palette, is the class; 255 is no class. Its colours are for people, and are those of classes.txt when duet writes.
 *
 * A class called background or ground is the ground, and all others are foreground: so there are masks, which are measured with. Which class
 * would be the ground in other lists nobody can know. */
#include "data/data_impl.h"

#include <string.h>

typedef struct class_list {
    const char **names;
    uint8_t (*colours)[3];
    size_t n;
} class_list;

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "#rrggbb" */
static bool parse_colour(const char *text, uint8_t out[3])
{
    if (text[0] != '#' || strlen(text) != 7) return false;
    for (size_t k = 0; k < 3; k++) {
        int high = digit(text[1 + 2 * k]), low = digit(text[2 + 2 * k]);
        if (high < 0 || low < 0) return false;
        out[k] = (uint8_t)(16 * high + low);
    }
    return true;
}

/* "traffic light #faaa1e" */
static duet_status parse_class(const char *line, dt_arena *arena, class_list *to, duet_error *err)
{
    const char *colour = strrchr(line, '#');
    size_t length = colour ? (size_t)(colour - line) : 0;
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t')) length--;
    if (!colour || length == 0 || !parse_colour(colour, to->colours[to->n]))
        return dt_fail(err, DUET_DATA, "found \"%.60s\"; a name and a colour are expected, like: traffic light #faaa1e",
                       line);
    char *name = dt_arena_alloc(arena, length + 1, 1);
    if (!name) return dt_fail(err, DUET_MEMORY, "not enough memory for the classes");
    memcpy(name, line, length);
    for (size_t i = 0; i < to->n; i++)
        if (strcmp(to->names[i], name) == 0)
            return dt_fail(err, DUET_DATA, "class \"%.60s\" was named before; names must differ", name);
    to->names[to->n++] = name;
    return DUET_OK;
}

static duet_status read_class_list(const char *path, dt_arena *arena, class_list *out, duet_error *err)
{
    dt_lines lines;
    DT_TRY(dt_lines_read(path, arena, &lines, err));
    if (lines.n < 2 || lines.n > DT_PIXEL_CLASSES)
        return dt_fail(err, DUET_DATA, "%s: %zu classes; 2 to %d are possible", path, lines.n, (int)DT_PIXEL_CLASSES);
    class_list list = {.names = dt_arena_alloc(arena, lines.n, sizeof *list.names),
                       .colours = dt_arena_alloc(arena, lines.n, sizeof *list.colours)};
    if (!list.names || !list.colours) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for the classes", path);
    for (size_t i = 0; i < lines.n; i++) {
        duet_status st = parse_class(lines.at[i], arena, &list, err);
        if (st) {
            dt_context(err, "%s:%zu", path, lines.number[i]);
            return st;
        }
    }
    *out = list;
    return DUET_OK;
}

static duet_status add_list(dt_file_set *set, dt_split split, const char *folder, const char *list, duet_error *err)
{
    dt_arena *arena = &set->arena;
    char images[4096], masks[4096], path[4096], from[4200];
    if (snprintf(path, sizeof path, "%s/%s", folder, list) >= (int)sizeof path ||
        snprintf(images, sizeof images, "%s/images", folder) >= (int)sizeof images ||
        snprintf(masks, sizeof masks, "%s/masks", folder) >= (int)sizeof masks)
        return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", folder);
    dt_lines lines;
    DT_TRY(dt_lines_read(path, arena, &lines, err));
    if (lines.n == 0)
        return dt_fail(err, DUET_DATA, "%s: the list is empty; it names a picture a line, without folder and ending",
                       path);
    for (size_t i = 0; i < lines.n; i++) {
        const char *image = NULL, *mask = dt_arena_printf(arena, "%s/%s.png", masks, lines.at[i]);
        if (!mask) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its names", path);
        snprintf(from, sizeof from, "%s:%zu", path, lines.number[i]);
        DT_TRY(dt_find_picture(images, lines.at[i], from, arena, &image, err));
        DT_TRY(dt_file_set_add(set, split, image, mask, 0, err));
    }
    return DUET_OK;
}

static void find_ground(dt_file_set *set, const class_list *classes)
{
    for (size_t i = 0; i < classes->n; i++)
        if (strcmp(classes->names[i], "background") == 0 || strcmp(classes->names[i], "ground") == 0) {
            dt_file_set_ground(set, (uint8_t)i);
            return;
        }
}

static duet_status fill(dt_file_set *set, const class_list *classes, const char *path, const dt_log_sink *log,
                        duet_error *err)
{
    set->source.facts.labels = DT_LABELS_PIXELS;
    set->source.facts.class_names = classes->names;
    set->source.facts.colours = (const uint8_t(*)[3])classes->colours;
    find_ground(set, classes);
    DT_TRY(add_list(set, DT_SPLIT_TRAIN, path, "train.txt", err));
    DT_TRY(add_list(set, DT_SPLIT_TEST, path, "val.txt", err));
    return dt_file_set_finish(set, log, err);
}

static duet_status open_folder_seg(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    char list[4096];
    dt_arena arena = {0};
    class_list classes = {0};
    dt_file_set *set = NULL;
    DT_TRY(dt_need_folder(kind, q->path, err));
    if (snprintf(list, sizeof list, "%s/classes.txt", q->path) >= (int)sizeof list)
        return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", q->path);
    duet_status st = read_class_list(list, &arena, &classes, err);
    if (!st) st = dt_file_set_create(kind, classes.n, &set, err);
    if (st) {
        dt_arena_release(&arena);
        return st;
    }
    set->arena = arena; /* names and colours of classes live as long as the set */
    st = fill(set, &classes, q->path, q->log, err);
    if (st) dt_source_close(&set->source);
    else *out = &set->source;
    return st;
}

const dt_source_kind dt_source_kind_folder_seg = {
    .name = "folder-seg",
    .help = "pictures of your own with a class for every pixel",
    .needs = "images/, masks/, train.txt, val.txt and classes.txt",
    .open = open_folder_seg,
};
