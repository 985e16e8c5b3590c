/* Finding files: lists of names in text files, names in folders, pictures of either format. */
#include "data/data_impl.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static duet_status no_memory(const char *path, duet_error *err)
{
    return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its names", path);
}

/* ---- text files ------------------------------------------------------------------------------------------------ */

static bool allocate_lines(dt_lines *l, size_t most, dt_arena *arena)
{
    l->at = dt_arena_alloc(arena, most ? most : 1, sizeof *l->at);
    l->number = dt_arena_alloc(arena, most ? most : 1, sizeof *l->number);
    return l->at && l->number;
}

/* Cuts text into lines in place. */
static void cut_lines(char *text, dt_lines *l)
{
    size_t number = 1;
    for (char *line = text, *next; line; line = next, number++) {
        next = strchr(line, '\n');
        char *end = next ? next : line + strlen(line);
        if (next) next++;
        while (line < end && isspace((unsigned char)*line)) line++;
        while (line < end && isspace((unsigned char)end[-1])) end--;
        *end = '\0';
        if (!*line) continue;
        l->number[l->n] = number;
        l->at[l->n++] = line;
    }
}

duet_status dt_lines_read(const char *path, dt_arena *arena, dt_lines *out, duet_error *err)
{
    dt_view view = {0};
    dt_lines lines = {0};
    DT_TRY(dt_view_open(path, &view, err));
    size_t most = 1;
    for (size_t i = 0; i < view.n; i++) most += view.bytes[i] == '\n';
    char *text = dt_arena_alloc(arena, view.n + 1, 1);
    const bool fine = text && allocate_lines(&lines, most, arena);
    const bool zeros = view.n > 0 && memchr(view.bytes, 0, view.n) != NULL;
    if (fine && view.n > 0) memcpy(text, view.bytes, view.n);
    dt_view_close(&view);
    if (!fine) return no_memory(path, err);
    if (zeros)
        return dt_fail(err, DUET_DATA, "%s: holds zero bytes; a list of names, one on a line, is expected", path);
    cut_lines(text, &lines);
    *out = lines;
    return DUET_OK;
}

/* ---- folders --------------------------------------------------------------------------------------------------- */

bool dt_is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

duet_status dt_need_folder(const dt_source_kind *kind, const char *path, duet_error *err)
{
    if (!path || !*path)
        return dt_fail(
            err, DUET_DATA,
            "%s: no folder given; set data.path to a folder with %s, or the environment variable DUET_DATA to "
            "the folder above a folder %s with them",
            kind->name, kind->needs, kind->name);
    if (dt_is_folder(path)) return DUET_OK;
    struct stat facts;
    if (stat(path, &facts) != 0)
        return dt_fail(err, DUET_DATA, "%s: %s; %s needs a folder with %s", path, strerror(errno), kind->name,
                       kind->needs);
    return dt_fail(err, DUET_DATA, "%s: no folder; %s needs a folder with %s", path, kind->name, kind->needs);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), e = strlen(ending);
    return n >= e && strcmp(name + n - e, ending) == 0;
}

static bool wanted(const struct dirent *entry, const char *ending)
{
    return entry->d_name[0] != '.' && ends_in(entry->d_name, ending);
}

duet_status dt_folder_names(const char *path, const char *ending, dt_arena *arena, dt_lines *out, duet_error *err)
{
    DIR *folder = opendir(path);
    if (!folder) return dt_fail(err, DUET_IO, "%s: cannot be read as a folder: %s", path, strerror(errno));
    size_t most = 0;
    dt_lines lines = {0};
    for (const struct dirent *e; (e = readdir(folder));) most += wanted(e, ending);
    rewinddir(folder);
    bool fine = allocate_lines(&lines, most, arena);
    for (const struct dirent *e; fine && lines.n < most && (e = readdir(folder));)
        if (wanted(e, ending)) fine = (lines.at[lines.n++] = dt_arena_strdup(arena, e->d_name)) != NULL;
    closedir(folder);
    if (!fine) return no_memory(path, err);
    qsort(lines.at, lines.n, sizeof *lines.at,
          by_bytes); /* by bytes: the locale must not decide which record is which */
    *out = lines;
    return DUET_OK;
}

duet_status dt_find_picture(const char *folder, const char *stem, const char *from, dt_arena *arena, const char **out,
                            duet_error *err)
{
    static const char *const endings[] = {"png", "jpg", "jpeg", "PNG", "JPG", "JPEG"};
    for (size_t i = 0; i < DT_COUNT(endings); i++) {
        const char *path = dt_arena_printf(arena, "%s/%s.%s", folder, stem, endings[i]);
        if (!path) return no_memory(folder, err);
        if (access(path, F_OK) == 0) {
            *out = path;
            return DUET_OK;
        }
    }
    return dt_fail(err, DUET_DATA, "%s/%s.png (or .jpg, .jpeg): missing, but %s names it", folder, stem, from);
}
