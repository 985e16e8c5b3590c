/* Writing safetensors. Every tensor is declared first, because the header stands before the data; then their bytes stream
 * through in the same order. The file appears at commit or not at all.
 *
 * Equal declarations and bytes give equal files: metadata and tensors stand in the order in which they were given. */
#include "format/format_impl.h"

#include <string.h>

struct dt_saver {
    dt_file *file;
    char *path;
    dt_text metadata, tensors; /* the two halves of the header: members without the braces around them */
    size_t *ends;              /* [n_tensors] where each tensor ends in the data */
    size_t n_tensors, capacity, written;
    bool header_written, out_of_memory;
};

static void release_saver(dt_saver *s)
{
    dt_text_release(&s->metadata);
    dt_text_release(&s->tensors);
    dt_free(s->ends);
    dt_free(s->path);
    dt_free(s);
}

duet_status dt_saver_create(const char *path, dt_saver **out, duet_error *err)
{
    dt_saver *s = dt_alloc(1, sizeof *s);
    size_t bytes = strlen(path) + 1;
    char *copy = s ? dt_alloc(bytes, 1) : NULL;
    duet_status st;
    if (copy) {
        s->path = memcpy(copy, path, bytes);
        st = dt_file_create(path, &s->file, err);
    } else {
        st = dt_fail(err, DUET_MEMORY, "%s: not enough memory to write it", path);
    }
    if (st && s) release_saver(s);
    if (!st) *out = s;
    return st;
}

void dt_saver_metadata(dt_saver *s, const char *key, const char *value)
{
    if (s->header_written) DT_BUG("%s: metadata '%s' comes after the first tensor's bytes", s->path, key);
    if (s->metadata.length) dt_text_append(&s->metadata, ",");
    dt_json_string(&s->metadata, key);
    dt_text_append(&s->metadata, ":");
    dt_json_string(&s->metadata, value);
}

static bool make_room_for_end(dt_saver *s)
{
    if (s->n_tensors < s->capacity) return true;
    size_t capacity = s->capacity ? 2 * s->capacity : 64;
    size_t *grown = dt_realloc(s->ends, s->capacity * sizeof *grown, capacity * sizeof *grown);
    if (!grown) return false;
    s->ends = grown, s->capacity = capacity;
    return true;
}

void dt_saver_declare(dt_saver *s, const char *name, dt_element element, int rank, const size_t *shape)
{
    if (s->header_written) DT_BUG("%s: tensor '%s' is declared after the first tensor's bytes", s->path, name);
    if (rank < 0 || rank > DT_MAX_RANK) DT_BUG("%s: tensor '%s' has rank %d", s->path, name, rank);
    const dt_element_facts *facts = dt_element_of(element);
    size_t begin = s->n_tensors ? s->ends[s->n_tensors - 1] : 0, bytes = facts->bytes;
    for (int i = 0; i < rank; i++)
        if (!dt_size_mul(bytes, shape[i], &bytes)) DT_BUG("%s: tensor '%s' is too large", s->path, name);
    if (!make_room_for_end(s)) {
        s->out_of_memory = true;
        return;
    }
    s->ends[s->n_tensors++] = begin + bytes;
    if (s->tensors.length) dt_text_append(&s->tensors, ",");
    dt_json_string(&s->tensors, name);
    dt_text_append(&s->tensors, ":{\"dtype\":\"%s\",\"shape\":[", facts->name);
    for (int i = 0; i < rank; i++) dt_text_append(&s->tensors, i ? ",%zu" : "%zu", shape[i]);
    dt_text_append(&s->tensors, "],\"data_offsets\":[%zu,%zu]}", begin, begin + bytes);
}

static bool declarations_ok(const dt_saver *s)
{
    return !s->out_of_memory && dt_text_ok(&s->metadata) && dt_text_ok(&s->tensors);
}

/* The header is padded with spaces to a multiple of 8, so that the data of a mapped file is aligned. */
static void write_header(dt_saver *s)
{
    dt_text header = {0};
    dt_text_append(&header, "{");
    if (s->metadata.length) dt_text_append(&header, "\"__metadata__\":{%s}%s", s->metadata.bytes, s->tensors.length ? "," : "");
    if (s->tensors.length) dt_text_append(&header, "%s", s->tensors.bytes);
    dt_text_append(&header, "}");
    dt_text_append(&header, "%*s", (int)((8 - header.length % 8) % 8), "");
    if (dt_text_ok(&header)) {
        uint64_t length = header.length;
        dt_file_write(s->file, &length, sizeof length);
        dt_file_write(s->file, header.bytes, header.length);
    } else {
        s->out_of_memory = true;
    }
    dt_text_release(&header);
    s->header_written = true;
}

void dt_saver_bytes(dt_saver *s, const void *bytes, size_t n)
{
    if (!declarations_ok(s)) return; /* commit will say so */
    if (!s->header_written) write_header(s);
    size_t total = s->n_tensors ? s->ends[s->n_tensors - 1] : 0;
    if (n > total - s->written) DT_BUG("%s: %zu bytes more than declared", s->path, n - (total - s->written));
    dt_file_write(s->file, bytes, n);
    s->written += n;
}

duet_status dt_saver_commit(dt_saver *s, duet_error *err)
{
    duet_status st;
    if (declarations_ok(s) && !s->header_written) write_header(s); /* a file without bytes is a file too */
    if (declarations_ok(s)) {
        size_t total = s->n_tensors ? s->ends[s->n_tensors - 1] : 0;
        if (s->written != total) DT_BUG("%s: %zu bytes were declared and %zu written", s->path, total, s->written);
        st = dt_file_commit(s->file, err);
    } else {
        st = dt_fail(err, DUET_MEMORY, "%s: not enough memory to write it", s->path);
        dt_file_abort(s->file);
    }
    release_saver(s);
    return st;
}

void dt_saver_abort(dt_saver *s)
{
    if (!s) return;
    dt_file_abort(s->file);
    release_saver(s);
}
