/* Which tar files a data set of shards is made of: folders, and patterns with braces. */
#include "data/data_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SHARDS = 100000, MOST_DIGITS = 9, PATH_BYTES = 4096 };

/* Names that come one by one. */
typedef struct names {
    const char *pattern; /* whole, for messages */
    dt_arena *arena;
    dt_lines lines;
    size_t room;
} names;

static duet_status no_memory(const char *path, duet_error *err)
{
    return dt_fail(err, DUET_MEMORY, "%s: not enough memory for its shards", path);
}

static duet_status add(names *to, const char *path, duet_error *err)
{
    if (to->lines.n == MOST_SHARDS) return dt_fail(err, DUET_DATA, "%s: more than %d shards", to->pattern, (int)MOST_SHARDS);
    if (to->lines.n == to->room) {
        const size_t room = to->room ? 2 * to->room : 64;
        const char **at = dt_arena_alloc(to->arena, room, sizeof *at);
        if (!at) return no_memory(to->pattern, err);
        if (to->lines.n) memcpy(at, to->lines.at, to->lines.n * sizeof *at);
        to->lines.at = at;
        to->room = room;
    }
    const char *copy = dt_arena_strdup(to->arena, path);
    if (!copy) return no_memory(to->pattern, err);
    to->lines.at[to->lines.n++] = copy;
    return DUET_OK;
}

/* ---- braces ---------------------------------------------------------------------------------------------------- */

static duet_status bad_brace(const names *to, duet_error *err)
{
    return dt_fail(err, DUET_DATA, "%s: braces hold two numbers, {000..009}, or names, {a,b,c}", to->pattern);
}

static duet_status expand(names *to, const char *done, const char *rest, duet_error *err);

/* What `done` becomes with one choice for a brace, and then with what follows the brace. */
static duet_status go_on(names *to, const char *done, const char *choice, size_t n, const char *after, duet_error *err)
{
    char longer[PATH_BYTES];
    if (snprintf(longer, sizeof longer, "%s%.*s", done, (int)n, choice) >= (int)sizeof longer)
        return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", to->pattern);
    return expand(to, longer, after, err);
}

/* "{000..009}": as many digits as the first number has. */
static duet_status expand_numbers(names *to, const char *done, const char *inside, size_t first_digits, const char *close, duet_error *err)
{
    const char *second = inside + first_digits + 2;
    const size_t second_digits = strspn(second, "0123456789");
    if (second + second_digits != close || second_digits == 0 || first_digits > MOST_DIGITS || second_digits > MOST_DIGITS) return bad_brace(to, err);
    const unsigned long from = strtoul(inside, NULL, 10), last = strtoul(second, NULL, 10);
    if (from > last) return dt_fail(err, DUET_DATA, "%s: %lu comes before %lu in its braces", to->pattern, from, last);
    for (unsigned long i = from; i <= last; i++) {
        char text[24];
        const int n = snprintf(text, sizeof text, "%0*lu", (int)first_digits, i);
        DT_TRY(go_on(to, done, text, (size_t)n, close + 1, err));
    }
    return DUET_OK;
}

static duet_status expand(names *to, const char *done, const char *rest, duet_error *err)
{
    const char *open = strchr(rest, '{'), *close = open ? strchr(open, '}') : NULL;
    char before[PATH_BYTES];
    if (snprintf(before, sizeof before, "%s%.*s", done, open ? (int)(open - rest) : (int)strlen(rest), rest) >= (int)sizeof before)
        return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", to->pattern);
    if (!open) return add(to, before, err);
    if (!close || close == open + 1) return bad_brace(to, err);
    const char *inside = open + 1;
    const size_t digits = strspn(inside, "0123456789");
    if (digits > 0 && strncmp(inside + digits, "..", 2) == 0) return expand_numbers(to, before, inside, digits, close, err);
    for (const char *choice = inside; choice <= close;) {
        const size_t n = strcspn(choice, ",}");
        DT_TRY(go_on(to, before, choice, n, close + 1, err));
        choice += n + 1;
    }
    return DUET_OK;
}

/* ---- folders --------------------------------------------------------------------------------------------------- */

/* Files prefix*.tar of a folder. */
static duet_status list_folder(const char *folder, const char *prefix, dt_arena *arena, dt_lines *out, duet_error *err)
{
    dt_lines all;
    DT_TRY(dt_folder_names(folder, ".tar", arena, &all, err));
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++) {
        if (strncmp(all.at[i], prefix, strlen(prefix)) != 0) continue;
        const char *path = dt_arena_printf(arena, "%s/%s", folder, all.at[i]);
        if (!path) return no_memory(folder, err);
        all.at[n++] = path;
    }
    all.n = n;
    *out = all;
    return DUET_OK;
}

duet_status dt_shards_list(const char *pattern, dt_arena *arena, dt_lines *out, duet_error *err)
{
    names to = {.pattern = pattern, .arena = arena};
    if (dt_is_folder(pattern)) DT_TRY(list_folder(pattern, "", arena, &to.lines, err));
    else DT_TRY(expand(&to, "", pattern, err));
    if (to.lines.n == 0) return dt_fail(err, DUET_DATA, "%s: holds no .tar files", pattern);
    *out = to.lines;
    return DUET_OK;
}

/* The comma between two patterns: outside of braces. */
static const char *find_comma(const char *path)
{
    int depth = 0;
    for (const char *c = path; *c; c++) {
        depth += *c == '{';
        depth -= *c == '}';
        if (*c == ',' && depth <= 0) return c;
    }
    return NULL;
}

static duet_status split_folder(const char *folder, dt_arena *arena, dt_lines out[2], duet_error *err)
{
    static const char *const parts[2] = {"train", "val"};
    for (int i = 0; i < 2; i++) {
        char inner[PATH_BYTES];
        if (snprintf(inner, sizeof inner, "%s/%s", folder, parts[i]) >= (int)sizeof inner)
            return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", folder);
        if (dt_is_folder(inner)) DT_TRY(list_folder(inner, "", arena, &out[i], err));
        else DT_TRY(list_folder(folder, parts[i], arena, &out[i], err));
        if (out[i].n == 0)
            return dt_fail(err, DUET_DATA, "%s: no shards %s-*.tar, and no folder %s with .tar files; or name both lists: TRAIN,VAL", folder, parts[i],
                           parts[i]);
    }
    return DUET_OK;
}

duet_status dt_shards_of(const dt_source_kind *kind, const char *path, dt_arena *arena, dt_lines out[2], duet_error *err)
{
    const char *comma = path ? find_comma(path) : NULL;
    if (path && dt_is_folder(path)) return split_folder(path, arena, out, err);
    if (!comma) return dt_need_folder(kind, path, err); /* which it is not */
    const char *train = dt_arena_printf(arena, "%.*s", (int)(comma - path), path);
    if (!train) return no_memory(path, err);
    DT_TRY(dt_shards_list(train, arena, &out[DT_SPLIT_TRAIN], err));
    return dt_shards_list(comma + 1, arena, &out[DT_SPLIT_TEST], err);
}
