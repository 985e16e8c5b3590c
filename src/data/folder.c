/* `folder`: pictures of one's own, sorted into a folder for each class.
 *
 *     train/CLASS/ and val/CLASS/ with files .jpg, .jpeg or .png
 *
 * Classes are the names of the folders in train/, in the order of their bytes. A class that only val/ has is refused: nothing could be
 * learned of it; one without validation pictures is not, and said. Folders inside a class's folder are searched as well. Names that begin
 * with a dot are passed over, and so are files with other endings, which are counted. */
#include "data/data_impl.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum { MOST_CLASSES = 100000, MOST_DEPTH = 16 };

/* What is found on the way. */
typedef struct search {
    dt_file_set *set;
    dt_split split;
    int32_t label;
    size_t found, passed_over;
    const char *other; /* the first that was passed over; NULL: none */
} search;

static const char *const split_names[2] = {"train", "val"};

static duet_status no_memory(const char *path, duet_error *err)
{
    return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its names", path);
}

static bool is_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < DT_COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

/* Every entry of a class's folder, in the order of their bytes. */
static duet_status search_class(search *s, const char *path, int depth, duet_error *err)
{
    dt_arena *arena = &s->set->arena;
    dt_lines names;
    if (depth > MOST_DEPTH) return dt_fail(err, DUET_DATA, "%s: folders more than %d deep; a loop of links?", path, (int)MOST_DEPTH);
    DT_TRY(dt_folder_names(path, "", arena, &names, err));
    for (size_t i = 0; i < names.n; i++) {
        const char *inner = dt_arena_printf(arena, "%s/%s", path, names.at[i]);
        if (!inner) return no_memory(path, err);
        if (is_picture(names.at[i])) {
            DT_TRY(dt_file_set_add(s->set, s->split, inner, NULL, s->label, err));
            s->found++;
        } else if (dt_is_folder(inner)) {
            DT_TRY(search_class(s, inner, depth + 1, err));
        } else {
            if (!s->other) s->other = inner;
            s->passed_over++;
        }
    }
    return DUET_OK;
}

/* The folders in `path`, in the order of their bytes. */
static duet_status class_folders(const char *path, dt_arena *arena, dt_lines *out, duet_error *err)
{
    dt_lines names;
    DT_TRY(dt_folder_names(path, "", arena, &names, err));
    size_t n = 0;
    for (size_t i = 0; i < names.n; i++) {
        char inner[4096];
        if (snprintf(inner, sizeof inner, "%s/%s", path, names.at[i]) >= (int)sizeof inner)
            return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", path);
        if (strpbrk(names.at[i], "\n\r\t"))
            return dt_fail(err, DUET_DATA, "%s: a class's name has a line break or a tab; rename its folder", inner);
        if (dt_is_folder(inner)) names.at[n++] = names.at[i];
    }
    names.n = n;
    *out = names;
    return DUET_OK;
}

static duet_status check_classes(const char *train, const dt_lines *classes, duet_error *err)
{
    if (classes->n == 0)
        return dt_fail(err, DUET_DATA, "%s: has no folders; it must have one for each class, with that class's pictures in it", train);
    if (classes->n == 1)
        return dt_fail(err, DUET_DATA, "%s: has one class, %s; at least two are needed", train, classes->at[0]);
    if (classes->n > MOST_CLASSES)
        return dt_fail(err, DUET_DATA, "%s: has %zu classes; at most %d are possible", train, classes->n, (int)MOST_CLASSES);
    return DUET_OK;
}

/* Both lists are sorted. */
static duet_status check_known(const char *val, const dt_lines *val_classes, const dt_lines *classes, duet_error *err)
{
    for (size_t i = 0, c = 0; i < val_classes->n; i++) {
        while (c < classes->n && strcmp(classes->at[c], val_classes->at[i]) < 0) c++;
        if (c < classes->n && strcmp(classes->at[c], val_classes->at[i]) == 0) continue;
        const char *near = dt_nearest(val_classes->at[i], classes->at, classes->n);
        return dt_fail(err, DUET_DATA, "%s/%s: a class that is not in train/, so that nothing could learn it%s%s%s; add training pictures, or "
                       "remove it", val, val_classes->at[i], near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    }
    return DUET_OK;
}

static duet_status search_split(search *s, const char *path, const dt_lines *classes, const dt_log_sink *log, duet_error *err)
{
    for (size_t c = 0; c < classes->n; c++) {
        char folder[4096];
        if (snprintf(folder, sizeof folder, "%s/%s", path, classes->at[c]) >= (int)sizeof folder)
            return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", path);
        const size_t before = s->found;
        s->label = (int32_t)c;
        if (s->split == DT_SPLIT_TRAIN || dt_is_folder(folder)) DT_TRY(search_class(s, folder, 0, err));
        if (s->found > before) continue;
        if (s->split == DT_SPLIT_TRAIN)
            return dt_fail(err, DUET_DATA, "%s: has no pictures (.jpg, .jpeg, .png); a class needs at least one, or remove its folder", folder);
        dt_say(log, "folder: class %s has no validation pictures", classes->at[c]);
    }
    return DUET_OK;
}

/* Has every class a training picture that is left? Records are sorted by class. */
static duet_status check_left(const dt_file_set *set, const char *root, duet_error *err)
{
    const dt_picture_files *train = &set->split[DT_SPLIT_TRAIN];
    int32_t next = 0;
    for (size_t i = 0; i < train->n; i++)
        if (train->at[i].label == next) next++;
    if ((size_t)next == set->source.facts.classes) return DUET_OK;
    return dt_fail(err, DUET_DATA, "%s/train/%s: none of its pictures can be read; a class needs at least one", root,
                   set->source.facts.class_names[next]);
}

static duet_status fill(dt_file_set *set, const char *root, const dt_lines *classes, const dt_log_sink *log, duet_error *err)
{
    set->source.facts.class_names = classes->at;
    dt_file_set_upright(set);
    for (int split = 0; split < 2; split++) {
        char path[4096];
        search s = {.set = set, .split = split ? DT_SPLIT_TEST : DT_SPLIT_TRAIN};
        dt_lines own;
        if (snprintf(path, sizeof path, "%s/%s", root, split_names[split]) >= (int)sizeof path)
            return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", root);
        DT_TRY(class_folders(path, &set->arena, &own, err));
        DT_TRY(check_known(path, &own, classes, err));
        DT_TRY(search_split(&s, path, classes, log, err));
        if (s.passed_over)
            dt_say(log, "folder: %zu other file%s in %s passed over, such as %s; pictures end in .jpg, .jpeg or .png", s.passed_over,
                   s.passed_over == 1 ? "" : "s", path, s.other);
    }
    DT_TRY(dt_file_set_finish(set, log, err));
    return check_left(set, root, err);
}

/* train/ and val/ in root. */
static duet_status check_root(const dt_source_kind *kind, const char *root, char train[4096], duet_error *err)
{
    DT_TRY(dt_need_folder(kind, root, err));
    for (int split = 1; split >= 0; split--) {
        if (snprintf(train, 4096, "%s/%s", root, split_names[split]) >= 4096)
            return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", root);
        if (!dt_is_folder(train)) return dt_fail(err, DUET_DATA, "%s: no such folder; %s needs %s", train, kind->name, kind->needs);
    }
    return DUET_OK;
}

static duet_status open_folder(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    const char *root = q->path;
    char train[4096];
    dt_arena arena = {0};
    dt_lines classes = {0};
    dt_file_set *set = NULL;
    DT_TRY(check_root(kind, root, train, err));
    duet_status st = class_folders(train, &arena, &classes, err);
    if (!st) st = check_classes(train, &classes, err);
    if (!st) st = dt_file_set_create(kind, classes.n, &set, err);
    if (st) {
        dt_arena_release(&arena);
        return st;
    }
    set->arena = arena; /* names of classes live as long as the set */
    set->skip = q->skip;
    set->say_all = q->say_all;
    st = fill(set, root, &classes, q->log, err);
    if (st) dt_source_close(&set->source);
    else *out = &set->source;
    return st;
}

const dt_source_kind dt_source_kind_folder = {
    .name = "folder",
    .help = "pictures of your own, in a folder for each class",
    .needs = "train/CLASS/ and val/CLASS/ with .jpg, .jpeg or .png files",
    .open = open_folder,
};
