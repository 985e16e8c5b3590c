/* The list of data sets by name. */
#include "data/data_impl.h"

#include <string.h>

static const dt_source_kind *const kinds[] = {
#define X(name) &dt_source_kind_##name,
    DT_SOURCE_KINDS(X)
#undef X
};

const dt_source_kind *dt_source_kind_at(size_t i)
{
    return i < DT_COUNT(kinds) ? kinds[i] : NULL;
}

const dt_source_kind *dt_source_kind_find(const char *name, duet_error *err)
{
    const char *names[DT_COUNT(kinds)];
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < DT_COUNT(kinds); i++) {
        if (strcmp(kinds[i]->name, name) == 0) return kinds[i];
        names[i] = kinds[i]->name;
        int n = snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
        if (n > 0 && (size_t)n < sizeof known - used) used += (size_t)n;
    }
    const char *near = dt_nearest(name, names, DT_COUNT(kinds));
    if (near)
        dt_fail(err, DUET_ARG, "no data set is called \"%s\"; did you mean \"%s\"? There are: %s", name, near, known);
    else dt_fail(err, DUET_ARG, "no data set is called \"%s\"; there are: %s", name, known);
    return NULL;
}

duet_status dt_source_open(const char *name, const char *path, uint64_t seed, const dt_log_sink *log, dt_source **out,
                           duet_error *err)
{
    return dt_source_open_as(&(dt_source_request){.name = name, .path = path, .seed = seed, .log = log}, out, err);
}

duet_status dt_source_open_as(const dt_source_request *q, dt_source **out, duet_error *err)
{
    const dt_source_kind *kind = dt_source_kind_find(q->name, err);
    if (!kind) return DUET_ARG;
    return kind->open(kind, q, out, err);
}

void dt_source_size(const dt_source *s, dt_split split, size_t index, size_t *height, size_t *width)
{
    *height = s->facts.height;
    *width = s->facts.width;
    if (s->size) s->size(s, split, index, height, width);
}

bool dt_count_classes(const dt_source *s, const uint32_t *indices, size_t n, size_t *counts)
{
    if (!s->label) return false;
    memset(counts, 0, s->facts.classes * sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        const size_t index = indices ? indices[i] : i;
        const int32_t label = s->label(s, DT_SPLIT_TRAIN, index);
        if (label < 0 || (size_t)label >= s->facts.classes) DT_BUG("%s: picture %zu has class %d of %zu", s->facts.name, index, (int)label, s->facts.classes);
        counts[label]++;
    }
    return true;
}

void dt_source_close(dt_source *s)
{
    if (s) s->close(s);
}
