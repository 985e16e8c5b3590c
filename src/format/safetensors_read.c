/* Reading safetensors: bytes from anywhere in, checked tensors out.
 *
 *     | 8 bytes: N, little-endian | N bytes: JSON header | data: the tensors, end to end |
 *
 * The header maps each tensor's name to {"dtype", "shape", "data_offsets": [begin, end)}; offsets count from the start of
 * the data. "__metadata__" maps text to text. Nothing in the file is believed before it was checked: after a successful
 * return every tensor lies inside the data, has the bytes its shape asks for, overlaps no other and leaves no gap.
 *
 * Source: https://github.com/huggingface/safetensors, README, "Format". The limit on N is the reference reader's. */
#include "format/format_impl.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read where they lie; a big-endian host must swap them");

enum { LENGTH_BYTES = 8, LARGEST_HEADER = 100 * 1000 * 1000 };

/* What is known of one tensor while the header is read. */
typedef struct entry {
    dt_saved_tensor tensor;
    size_t begin, end; /* in the data */
} entry;

typedef struct reader {
    dt_saved *saved;
    entry *entries;
    const uint8_t *data;
    size_t n_data;
    duet_error *err;
} reader;

static duet_status out_of_memory(duet_error *err)
{
    return dt_fail(err, DUET_MEMORY, "not enough memory to read it");
}

/* ---- one tensor --------------------------------------------------------------------------------------------- */

/* A JSON number that is a size. */
static bool read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static duet_status read_element(const char *name, const json_t *object, dt_saved_tensor *t, size_t *element_bytes, duet_error *err)
{
    const char *text = json_string_value(json_object_get(object, "dtype"));
    if (!text) return dt_fail(err, DUET_FORMAT, "header: tensor '%s': \"dtype\" is missing or not text", name);
    const dt_element_facts *facts = dt_element_named(text);
    if (!facts)
        return dt_fail(err, DUET_FORMAT, "header: tensor '%s': dtype '%.20s' is not known; weights are F32", name, text);
    t->element = facts->element;
    memcpy(t->element_name, facts->name, strlen(facts->name) + 1);
    *element_bytes = facts->bytes;
    return DUET_OK;
}

/* The shape, and the bytes it asks for. */
static duet_status read_shape(const char *name, const json_t *object, size_t element_bytes, dt_saved_tensor *t, duet_error *err)
{
    const json_t *shape = json_object_get(object, "shape");
    if (!json_is_array(shape)) return dt_fail(err, DUET_FORMAT, "header: tensor '%s': \"shape\" is missing or not a list", name);
    size_t rank = json_array_size(shape);
    if (rank > DT_MAX_RANK)
        return dt_fail(err, DUET_FORMAT, "header: tensor '%s': %zu dimensions; at most %d can be read", name, rank, DT_MAX_RANK);
    t->rank = (int)rank;
    t->n_bytes = element_bytes;
    for (size_t i = 0; i < rank; i++) {
        if (!read_size(json_array_get(shape, i), &t->shape[i]))
            return dt_fail(err, DUET_FORMAT, "header: tensor '%s': shape[%zu] is not a number >= 0", name, i);
        if (!dt_size_mul(t->n_bytes, t->shape[i], &t->n_bytes))
            return dt_fail(err, DUET_FORMAT, "header: tensor '%s': its shape asks for more bytes than there can be", name);
    }
    return DUET_OK;
}

static duet_status read_offsets(const reader *r, const char *name, const json_t *object, entry *e)
{
    const json_t *offsets = json_object_get(object, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &e->begin) ||
        !read_size(json_array_get(offsets, 1), &e->end))
        return dt_fail(r->err, DUET_FORMAT, "header: tensor '%s': \"data_offsets\" is not a list of two numbers >= 0", name);
    if (e->begin > e->end)
        return dt_fail(r->err, DUET_FORMAT, "header: tensor '%s': data_offsets [%zu, %zu]: the end is before the beginning", name,
                       e->begin, e->end);
    if (e->end > r->n_data)
        return dt_fail(r->err, DUET_FORMAT,
                       "header: tensor '%s': data_offsets [%zu, %zu], but there are %zu bytes of data; the file is cut short or damaged",
                       name, e->begin, e->end, r->n_data);
    if (e->end - e->begin != e->tensor.n_bytes)
        return dt_fail(r->err, DUET_FORMAT, "header: tensor '%s': its shape and dtype ask for %zu bytes, its data_offsets hold %zu",
                       name, e->tensor.n_bytes, e->end - e->begin);
    e->tensor.bytes = r->data + e->begin;
    return DUET_OK;
}

static duet_status read_tensor(reader *r, const char *name, const json_t *object)
{
    if (!json_is_object(object)) return dt_fail(r->err, DUET_FORMAT, "header: tensor '%s': is not an object", name);
    entry *e = &r->entries[r->saved->n_tensors];
    size_t element_bytes = 0;
    DT_TRY(read_element(name, object, &e->tensor, &element_bytes, r->err));
    DT_TRY(read_shape(name, object, element_bytes, &e->tensor, r->err));
    DT_TRY(read_offsets(r, name, object, e));
    e->tensor.name = dt_arena_strdup(&r->saved->arena, name);
    if (!e->tensor.name) return out_of_memory(r->err);
    r->saved->n_tensors++;
    return DUET_OK;
}

/* ---- the header --------------------------------------------------------------------------------------------- */

static duet_status read_metadata(reader *r, json_t *object)
{
    dt_saved *s = r->saved;
    if (!json_is_object(object)) return dt_fail(r->err, DUET_FORMAT, "header: \"__metadata__\" is not an object");
    s->metadata = dt_arena_alloc(&s->arena, json_object_size(object), sizeof *s->metadata);
    if (!s->metadata) return out_of_memory(r->err);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value)) return dt_fail(r->err, DUET_FORMAT, "header: \"__metadata__\": '%s' is not text", key);
        s->metadata[s->n_metadata].key = dt_arena_strdup(&s->arena, key);
        s->metadata[s->n_metadata].value = dt_arena_strdup(&s->arena, json_string_value(value));
        if (!s->metadata[s->n_metadata].key || !s->metadata[s->n_metadata].value) return out_of_memory(r->err);
        s->n_metadata++;
    }
    return DUET_OK;
}

static int by_place(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1; /* empty tensors stand before the one that starts there */
    return strcmp(a->tensor.name, b->tensor.name);
}

/* Sorted by place, each tensor must start where the last one ended, and the last must end with the file. */
static duet_status check_coverage(reader *r)
{
    dt_saved *s = r->saved;
    size_t covered = 0;
    qsort(r->entries, s->n_tensors, sizeof *r->entries, by_place);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const entry *e = &r->entries[i];
        if (e->begin < covered)
            return dt_fail(r->err, DUET_FORMAT, "header: tensor '%s' starts at byte %zu of the data, inside '%s' which ends at %zu",
                           e->tensor.name, e->begin, r->entries[i - 1].tensor.name, covered);
        if (e->begin > covered)
            return dt_fail(r->err, DUET_FORMAT, "header: tensor '%s' starts at byte %zu of the data; bytes %zu to %zu belong to no tensor",
                           e->tensor.name, e->begin, covered, e->begin);
        covered = e->end;
        s->tensors[i] = e->tensor;
    }
    if (covered != r->n_data)
        return dt_fail(r->err, DUET_FORMAT, "the tensors end at byte %zu of the data, which has %zu bytes", covered, r->n_data);
    return DUET_OK;
}

static duet_status read_entries(reader *r, json_t *root)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (!strcmp(key, "__metadata__")) DT_TRY(read_metadata(r, value));
        else DT_TRY(read_tensor(r, key, value));
    }
    return check_coverage(r);
}

static duet_status read_header(reader *r, const uint8_t *text, size_t n)
{
    json_error_t at;
    if (n == 0 || text[0] != '{') return dt_fail(r->err, DUET_FORMAT, "header: does not start with '{'; this is not a safetensors file");
    json_t *root = json_loadb((const char *)text, n, JSON_REJECT_DUPLICATES, &at);
    if (!root && json_error_code(&at) == json_error_out_of_memory) return out_of_memory(r->err);
    if (!root) return dt_fail(r->err, DUET_FORMAT, "header: byte %d: %s", LENGTH_BYTES + at.position, at.text);
    size_t most = json_object_size(root);
    r->saved->tensors = dt_arena_alloc(&r->saved->arena, most, sizeof *r->saved->tensors);
    r->entries = dt_alloc(most, sizeof *r->entries);
    duet_status st = r->saved->tensors && r->entries ? read_entries(r, root) : out_of_memory(r->err);
    dt_free(r->entries);
    json_decref(root);
    return st;
}

static duet_status read_file(dt_saved *s, const uint8_t *bytes, size_t n, duet_error *err)
{
    if (n < LENGTH_BYTES) return dt_fail(err, DUET_FORMAT, "header: want %d bytes of length, the file ends after %zu", LENGTH_BYTES, n);
    uint64_t header;
    memcpy(&header, bytes, LENGTH_BYTES);
    if (header > LARGEST_HEADER)
        return dt_fail(err, DUET_FORMAT, "header: claims %llu bytes, at most %d are accepted; this is not a safetensors file",
                       (unsigned long long)header, LARGEST_HEADER);
    if (header > n - LENGTH_BYTES)
        return dt_fail(err, DUET_FORMAT, "header: claims %llu bytes, but only %zu follow; the file is cut short",
                       (unsigned long long)header, n - LENGTH_BYTES);
    const uint8_t *data = bytes + LENGTH_BYTES + header;
    reader r = {.saved = s, .data = data, .n_data = n - LENGTH_BYTES - (size_t)header, .err = err};
    return read_header(&r, bytes + LENGTH_BYTES, (size_t)header);
}

/* ---- public ------------------------------------------------------------------------------------------------- */

duet_status dt_saved_parse(const char *name, const uint8_t *bytes, size_t n, dt_saved **out, duet_error *err)
{
    dt_saved *s = dt_alloc(1, sizeof *s);
    duet_status st = s ? read_file(s, bytes, n, err) : out_of_memory(err);
    if (st) {
        dt_context(err, "%s", name);
        dt_saved_close(s);
        return st;
    }
    *out = s;
    return DUET_OK;
}

duet_status dt_saved_open(const char *path, dt_saved **out, duet_error *err)
{
    dt_view view;
    DT_TRY(dt_view_open(path, &view, err));
    duet_status st = dt_saved_parse(path, view.bytes, view.n, out, err);
    if (st) dt_view_close(&view);
    else (*out)->view = view;
    return st;
}

void dt_saved_close(dt_saved *s)
{
    if (!s) return;
    dt_view_close(&s->view);
    dt_arena_release(&s->arena);
    dt_free(s);
}

const dt_saved_tensor *dt_saved_find(const dt_saved *s, const char *name)
{
    for (size_t i = 0; i < s->n_tensors; i++)
        if (!strcmp(s->tensors[i].name, name)) return &s->tensors[i];
    return NULL;
}

const char *dt_saved_metadata(const dt_saved *s, const char *key)
{
    for (size_t i = 0; i < s->n_metadata; i++)
        if (!strcmp(s->metadata[i].key, key)) return s->metadata[i].value;
    return NULL;
}
