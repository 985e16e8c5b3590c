/* YAML text to a tree of dt_yaml in which every node knows its place.
 *
 * libfyaml scans and parses; this file turns its events into the small tree that recipes and descriptions of networks
 * need, and refuses what they have no use for (anchors, tags, several documents), so that later steps see only maps, lists and printable text. We build
 * from events and not from libfyaml's document, because that loses the place of keys and, on a duplicate key, our wording.
 * Recursion is bounded by MAX_DEPTH, work by MAX_NODES. */
#include "format/format.h"

#include <libfyaml.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 16, MAX_NODES = 4096, MAX_TEXT = 4096 };

/* ---- messages ------------------------------------------------------------------------------------------------- */

duet_status dt_fail_at(duet_error *err, dt_spot at, const char *key, const char *format, ...)
{
    char text[DUET_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    const char *colon = key ? ": " : "";
    if (!key) key = "";
    if (!at.line) return dt_fail(err, DUET_RECIPE, "%s: %s%s%s", at.file, key, colon, text);
    return dt_fail(err, DUET_RECIPE, "%s:%d:%d: %s%s%s", at.file, at.line, at.column, key, colon, text);
}

const char *dt_yaml_found(const dt_yaml *node, char to[DT_FOUND_BYTES])
{
    enum { SHOWN = 40 };
    switch (node->kind) {
    case DT_YAML_EMPTY: snprintf(to, DT_FOUND_BYTES, "nothing"); return to;
    case DT_YAML_LIST: snprintf(to, DT_FOUND_BYTES, "a list"); return to;
    case DT_YAML_MAP: snprintf(to, DT_FOUND_BYTES, "a map"); return to;
    case DT_YAML_SCALAR: break;
    }
    size_t n = strlen(node->text);
    size_t shown = n;
    if (n > SHOWN) {
        shown = SHOWN; /* never in the middle of a character */
        while (shown > 0 && ((unsigned char)node->text[shown] & 0xC0) == 0x80) shown--;
    }
    snprintf(to, DT_FOUND_BYTES, node->quoted ? "the text \"%.*s%s\" in quotes" : "%.*s%s", (int)shown, node->text,
             shown < n ? "..." : "");
    return to;
}

/* ---- the tree ------------------------------------------------------------------------------------------------- */

dt_yaml *dt_yaml_find(const dt_yaml *map, const char *key)
{
    if (!map || map->kind != DT_YAML_MAP) return NULL;
    for (dt_yaml *c = map->first; c; c = c->next)
        if (strcmp(c->key, key) == 0) return c;
    return NULL;
}

void dt_yaml_append(dt_yaml *parent, dt_yaml *child)
{
    child->next = NULL;
    if (parent->last) parent->last->next = child;
    else parent->first = child;
    parent->last = child;
}

void dt_yaml_remove(dt_yaml *parent, const dt_yaml *child)
{
    dt_yaml *before = NULL;
    for (dt_yaml *c = parent->first; c && c != child; c = c->next) before = c;
    if (before) before->next = child->next;
    else parent->first = child->next;
    if (parent->last == child) parent->last = before;
}

/* The child of a map or list that the path component [name, name + n) means. */
static const dt_yaml *step_into(const dt_yaml *node, const char *name, size_t n)
{
    size_t position = 0;
    for (const dt_yaml *c = node->first; c; c = c->next, position++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", position);
        const char *own = node->kind == DT_YAML_MAP ? c->key : number;
        if (strlen(own) == n && memcmp(own, name, n) == 0) return c;
    }
    return NULL;
}

dt_spot dt_yaml_place(const dt_yaml *root, const char *path)
{
    const dt_yaml *node = root;
    while (*path) {
        size_t n = strcspn(path, ".");
        const dt_yaml *child = step_into(node, path, n);
        /* A map that lacks the key is blamed at its own key: the first line of the section. */
        if (!child) return node->key ? node->key_at : node->at;
        node = child;
        path += n + (path[n] == '.');
    }
    return node->at;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

/* The length of the UTF-8 character at s (n > 0 bytes left) and its code point, or 0 where there is none. */
static size_t utf8_character(const unsigned char *s, size_t n, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80             ? 1
                    : (s[0] & 0xE0) == 0xC0 ? 2
                    : (s[0] & 0xF0) == 0xE0 ? 3
                    : (s[0] & 0xF8) == 0xF0 ? 4
                                            : 0;
    if (length == 0 || length > n) return 0;
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
    *code = c;
    return length;
}

/* Control characters, line separators and byte-order marks: they would end up in messages, file names and YAML. */
static bool is_unprintable(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
           (c >= 0xFFFE && c <= 0xFFFF);
}

/* Are the bytes text? Line breaks and tabs are fine here; scalars are held to more. */
static duet_status check_bytes(const char *name, const char *kind, bool positions, const char *text, size_t bytes, duet_error *err)
{
    if (bytes > MAX_BYTES)
        return dt_fail(err, DUET_RECIPE, "%s: found %zu bytes; a %s has at most %d. Is this a %s?", name, bytes, kind,
                       MAX_BYTES, kind);
    dt_spot at = {name, positions ? 1 : 0, 1};
    for (size_t i = 0; i < bytes;) {
        uint32_t c = 0;
        size_t length = utf8_character((const unsigned char *)text + i, bytes - i, &c);
        if (!length)
            return dt_fail_at(err, at, NULL,
                                  "found the byte 0x%02x, which is not UTF-8; save the %s as UTF-8 text",
                                  (unsigned)(unsigned char)text[i], kind);
        if (is_unprintable(c) && c != '\n' && c != '\t' && c != '\r' && !(c == 0xFEFF && i == 0))
            return dt_fail_at(err, at, NULL, "found the control character U+%04X; a %s is printable text",
                                  (unsigned)c, kind);
        i += length;
        at.column++;
        if (c == '\n') at = (dt_spot){name, at.line + (positions ? 1 : 0), 1};
    }
    return DUET_OK;
}

/* ---- events to nodes ------------------------------------------------------------------------------------------ */

typedef struct reader {
    const char *name, *kind, *least, *sharing;
    bool positions;
    dt_arena *arena;
    struct fy_parser *parser;
    struct fy_diag *diag;
    int depth;
    size_t n_nodes;
    duet_error *err;
} reader;

/* Where an event starts. libfyaml's marks stand behind an opening quote, `*` and `&`: what people see starts one before. */
static dt_spot place_of_event(const reader *r, struct fy_event *e, dt_spot otherwise)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    if (!mark || !r->positions) return otherwise;
    int sign = e->type == FYET_ALIAS;
    if (e->type == FYET_SCALAR && e->scalar.value) {
        enum fy_scalar_style style = fy_token_scalar_style(e->scalar.value);
        sign = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    }
    return (dt_spot){r->name, mark->line + 1, mark->column + 1 - sign};
}

/* The first mistake that libfyaml saw. */
static duet_status fail_invalid(const reader *r)
{
    void *iterator = NULL;
    const struct fy_diag_error *d = fy_diag_errors_iterate(r->diag, &iterator);
    if (!d) return dt_fail(r->err, DUET_RECIPE, "%s: not valid YAML, or memory is out", r->name);
    dt_spot at = {r->name, r->positions && d->line > 0 ? d->line : 0, d->column > 0 ? d->column : 1};
    return dt_fail_at(r->err, at, NULL,
                          "not valid YAML: %s; check indentation (spaces, not tabs), colons, quotes and brackets here",
                          d->msg);
}

/* The next event, to be freed by the caller; NULL after a mistake. */
static struct fy_event *next_event(reader *r, duet_status *status)
{
    struct fy_event *e = fy_parser_parse(r->parser);
    if (!e) *status = fail_invalid(r);
    return e;
}

static duet_status fail_memory(const reader *r)
{
    return dt_fail(r->err, DUET_MEMORY, "%s: memory is out while reading the %s", r->name, r->kind);
}

/* Copies a scalar, piece by piece, into `text`; its length, or -1 when libfyaml fails or it is longer than MAX_TEXT. Not
 * fy_token_get_text: in 0.7.12 that leaks 4 KiB for a scalar with more than a few escapes. */
static int gather_text(struct fy_token *token, char text[MAX_TEXT])
{
    int n = 0, failed = 0;
    struct fy_token_iter *iterator = fy_token_iter_create(token);
    if (!iterator) return -1;
    const struct fy_iter_chunk *chunk = NULL;
    while (!failed && (chunk = fy_token_iter_chunk_next(iterator, chunk, &failed))) {
        if (chunk->len > (size_t)(MAX_TEXT - n)) failed = 1;
        if (failed) break;
        memcpy(text + n, chunk->str, chunk->len);
        n += (int)chunk->len;
    }
    fy_token_iter_destroy(iterator);
    return failed ? -1 : n;
}

/* Copies a token's text into the arena, if it is printable. */
static duet_status copy_text(const reader *r, struct fy_token *token, dt_spot at, const char **out)
{
    char text[MAX_TEXT];
    int gathered = token ? gather_text(token, text) : 0;
    if (gathered < 0)
        return dt_fail_at(r->err, at, NULL, "found text that cannot be read; allowed: at most %d bytes", MAX_TEXT);
    size_t n = (size_t)gathered;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t length = utf8_character((const unsigned char *)text + i, n - i, &c);
        if (!length || is_unprintable(c))
            return dt_fail_at(r->err, at, NULL,
                                  "found text with a line break, a tab or a control character in it; text in a %s "
                                  "is one printable line", r->kind);
        i += length;
    }
    char *copy = dt_arena_alloc(r->arena, n + 1, 1);
    if (!copy) return fail_memory(r);
    memcpy(copy, text, n);
    *out = copy;
    return DUET_OK;
}

/* Refuses what YAML has and recipes have not. */
static duet_status check_plain(const reader *r, struct fy_event *e, dt_spot at)
{
    const struct fy_token *anchor = NULL, *tag = NULL;
    switch (e->type) {
    case FYET_SCALAR: anchor = e->scalar.anchor, tag = e->scalar.tag; break;
    case FYET_SEQUENCE_START: anchor = e->sequence_start.anchor, tag = e->sequence_start.tag; break;
    case FYET_MAPPING_START: anchor = e->mapping_start.anchor, tag = e->mapping_start.tag; break;
    case FYET_ALIAS: anchor = e->alias.anchor; break;
    default: return dt_fail_at(r->err, at, NULL, "not valid YAML: found the end where a value was expected");
    }
    if (anchor || e->type == FYET_ALIAS)
        return dt_fail_at(r->err, at, NULL,
                              "found an anchor or alias (& or *); a %s has none: write the value out or put it in "
                              "quotes%s", r->kind, r->sharing);
    if (tag)
        return dt_fail_at(r->err, at, NULL,
                              "found a tag (!); a %s has none: write the value without it, or put it in quotes", r->kind);
    return DUET_OK;
}

static duet_status read_node(reader *r, struct fy_event *e, dt_spot before, dt_yaml **out);

static duet_status read_list(reader *r, dt_yaml *list)
{
    for (;;) {
        duet_status status = DUET_OK;
        struct fy_event *e = next_event(r, &status);
        if (!e) return status;
        if (e->type == FYET_SEQUENCE_END) {
            fy_parser_event_free(r->parser, e);
            return DUET_OK;
        }
        dt_yaml *child = NULL;
        DT_TRY(read_node(r, e, list->at, &child));
        dt_yaml_append(list, child);
    }
}

/* A key: plain text, once. Consumes e. */
static duet_status read_key(reader *r, struct fy_event *e, const dt_yaml *map, const char **key, dt_spot *key_at)
{
    dt_spot at = place_of_event(r, e, map->at);
    duet_status status = check_plain(r, e, at);
    if (!status && e->type != FYET_SCALAR)
        status = dt_fail_at(r->err, at, NULL, "found a %s as a key; a key is a word",
                                e->type == FYET_MAPPING_START ? "map" : "list");
    if (!status) status = copy_text(r, e->scalar.value, at, key);
    fy_parser_event_free(r->parser, e);
    if (status) return status;

    const dt_yaml *twin = dt_yaml_find(map, *key);
    *key_at = at;
    if (!twin) return DUET_OK;
    if (!r->positions) return dt_fail_at(r->err, at, *key, "found this key twice in one map; keep one");
    return dt_fail_at(r->err, at, *key, "found this key twice in one map, first in line %d; keep one",
                          twin->key_at.line);
}

static duet_status read_map(reader *r, dt_yaml *map)
{
    for (;;) {
        duet_status status = DUET_OK;
        struct fy_event *e = next_event(r, &status);
        if (!e) return status;
        if (e->type == FYET_MAPPING_END) {
            fy_parser_event_free(r->parser, e);
            return DUET_OK;
        }
        const char *key = NULL;
        dt_spot key_at;
        DT_TRY(read_key(r, e, map, &key, &key_at));

        dt_yaml *child = NULL;
        e = next_event(r, &status);
        if (!e) return status;
        DT_TRY(read_node(r, e, key_at, &child));
        child->key = key;
        child->key_at = key_at;
        dt_yaml_append(map, child);
    }
}

/* The node that starts with event e, which is consumed. before: the place of what stands in front, for values that are not there. */
static duet_status read_node(reader *r, struct fy_event *e, dt_spot before, dt_yaml **out)
{
    dt_spot at = place_of_event(r, e, before);
    enum fy_event_type type = e->type;
    dt_yaml *node = NULL;
    duet_status status = check_plain(r, e, at);
    if (!status && ++r->n_nodes > MAX_NODES)
        status = dt_fail_at(r->err, at, NULL, "found more than %d values; is this a %s?", MAX_NODES, r->kind);
    if (!status && r->depth >= MAX_DEPTH)
        status =
            dt_fail_at(r->err, at, NULL, "found maps or lists more than %d deep; is this a %s?", MAX_DEPTH, r->kind);
    if (!status && !(node = dt_arena_alloc(r->arena, 1, sizeof *node))) status = fail_memory(r);
    if (!status) {
        node->at = at;
        node->kind = type == FYET_MAPPING_START    ? DT_YAML_MAP
                     : type == FYET_SEQUENCE_START ? DT_YAML_LIST
                                                   : DT_YAML_SCALAR;
    }
    if (!status && type == FYET_SCALAR) {
        status = copy_text(r, e->scalar.value, at, &node->text);
        node->quoted = e->scalar.value && fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN;
        if (!status && !node->quoted && !*node->text) node->kind = DT_YAML_EMPTY;
    }
    fy_parser_event_free(r->parser, e);
    if (status) return status;

    r->depth++;
    if (node->kind == DT_YAML_MAP) status = read_map(r, node);
    if (node->kind == DT_YAML_LIST) status = read_list(r, node);
    r->depth--;
    *out = node;
    return status;
}

/* The one document of a stream. */
static duet_status read_document(reader *r, dt_yaml **out)
{
    dt_spot start = {r->name, r->positions ? 1 : 0, 1};
    dt_yaml *root = NULL;
    for (;;) {
        duet_status status = DUET_OK;
        struct fy_event *e = next_event(r, &status);
        if (!e) return status;
        enum fy_event_type type = e->type;
        dt_spot at = place_of_event(r, e, start);
        if (type == FYET_STREAM_START || type == FYET_STREAM_END || type == FYET_DOCUMENT_START ||
            type == FYET_DOCUMENT_END) {
            fy_parser_event_free(r->parser, e);
            if (type == FYET_STREAM_END) break;
            if (type == FYET_DOCUMENT_START && root)
                return dt_fail_at(r->err, at, NULL,
                                      "found a second document (`---`); a %s is one: put each in its own file", r->kind);
            continue;
        }
        DT_TRY(read_node(r, e, start, &root));
    }
    if (!root)
        return dt_fail_at(
            r->err, start, NULL,
            "found an empty file; a %s has at least %s", r->kind, r->least);
    *out = root;
    return DUET_OK;
}

static void discard(struct fy_diag *diag, void *user, const char *text, size_t n)
{
    (void)diag, (void)user, (void)text, (void)n;
}

duet_status dt_yaml_parse(const char *name, const dt_yaml_form *as, const char *text, size_t bytes, dt_arena *arena,
                          dt_yaml **out, duet_error *err)
{
    DT_TRY(check_bytes(name, as->kind, !as->no_positions, text, bytes, err));
    reader r = {.name = dt_arena_strdup(arena, name), .kind = as->kind, .least = as->least, .sharing = as->sharing,
                .positions = !as->no_positions, .arena = arena, .err = err};
    if (!r.name) return dt_fail(err, DUET_MEMORY, "%s: memory is out while reading the %s", name, as->kind);

    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL; /* the default is stderr; a library does not print */
    diag_cfg.output_fn = discard;
    r.diag = fy_diag_create(&diag_cfg);
    if (!r.diag) return fail_memory(&r);
    fy_diag_set_collect_errors(r.diag, true);

    const struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2, .diag = r.diag};
    r.parser = fy_parser_create(&cfg);
    duet_status status = r.parser ? DUET_OK : fail_memory(&r);
    if (!status && fy_parser_set_string(r.parser, bytes ? text : "\n", bytes ? bytes : 1)) status = fail_memory(&r);
    if (!status) status = read_document(&r, out);
    fy_parser_destroy(r.parser);
    fy_diag_destroy(r.diag);
    return status;
}
