/* Option tables at work: a map of the recipe to the fields of a struct, and a field back to text.
 *
 * Numbers are read strictly: decimal digits, for reals an optional point and exponent, nothing else. YAML's other spellings
 * (0x10, 1_000, 010, .inf) mean different things to different readers, so they are refused rather than guessed at.
 * The program's locale has no say in what a point is. */
#include "format/format.h"
#include "recipe/recipe_impl.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 128 };

/* ---- choices and hints ---------------------------------------------------------------------------------------- */

bool dt_choice_name(const char *choices, size_t i, char to[DT_CHOICE_BYTES])
{
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (!choices) return false;
        choices++;
    }
    size_t n = strcspn(choices, "|");
    if (n >= DT_CHOICE_BYTES) DT_BUG("the choice %.*s is too long", (int)n, choices);
    memcpy(to, choices, n);
    to[n] = '\0';
    return true;
}

int dt_choice_last(const char *choices)
{
    int n = 0;
    for (const char *c = choices; (c = strchr(c, '|')); c++) n++;
    return n;
}

static int find_choice(const char *choices, const char *text)
{
    char name[DT_CHOICE_BYTES];
    for (size_t i = 0; dt_choice_name(choices, i, name); i++)
        if (strcmp(name, text) == 0) return (int)i;
    return -1;
}

const char *dt_hint(const char *found, const char *const *names, size_t n, char to[DT_HINT_BYTES])
{
    const char *near = dt_nearest(found, names, n);
    if (near) snprintf(to, DT_HINT_BYTES, "; did you mean %s?", near);
    else to[0] = '\0';
    return to;
}

/* ---- text to values ------------------------------------------------------------------------------------------- */

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* [+-]digits, without leading zeros. */
static bool parse_int(const char *text, int64_t *out)
{
    const char *s = text + (*text == '-' || *text == '+');
    size_t n = digits(s);
    if (n == 0 || s[n] || (n > 1 && s[0] == '0')) return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno) value = *text == '-' ? INT64_MIN : INT64_MAX; /* out of any range */
    *out = value;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits], with digits before or after the point. */
static bool parse_real(const char *text, double *out)
{
    const char *s = text + (*text == '-' || *text == '+');
    size_t whole = digits(s), part = 0;
    s += whole;
    if (*s == '.') {
        part = digits(s + 1);
        s += 1 + part;
    }
    if (whole + part == 0) return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        if (!digits(s)) return false;
        s += digits(s);
    }
    if (*s) return false;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return false;
    *out = strtod_l(text, NULL, c); /* too large: infinity, which no range allows */
    if (*out == 0) *out = 0;        /* no minus zero */
    freelocale(c);
    return true;
}

static bool parse_bool(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

/* Text of the default "[1, 2]". */
static dt_ints parse_default_ints(const char *text)
{
    dt_ints ints = {.n = 0};
    for (const char *s = text; *s; s += digits(s) ? digits(s) : 1)
        if (digits(s) && ints.n < DT_COUNT(ints.at)) ints.at[ints.n++] = strtoll(s, NULL, 10);
    return ints;
}

/* Text of the default "[0.08, 1]". */
static dt_reals parse_default_reals(const char *text)
{
    dt_reals reals = {.n = 0};
    char item[32];
    for (const char *s = text + strspn(text, "[ "); *s && reals.n < DT_COUNT(reals.at); s += strspn(s, ",] ")) {
        const size_t n = strcspn(s, ",] ");
        snprintf(item, sizeof item, "%.*s", (int)n, s);
        if (!parse_real(item, &reals.at[reals.n++])) DT_BUG("the default %s is no list of numbers", text);
        s += n;
    }
    return reals;
}

static void *field_of(const dt_option *o, void *config)
{
    return (char *)config + o->offset;
}

/* The default. Tables are ours: one that cannot be read is a bug. */
static duet_status set_default(const dt_option *o, void *config, dt_arena *arena, duet_error *err)
{
    void *field = field_of(o, config);
    bool fine = true;
    switch (o->type) {
    case DT_OPTION_INT: fine = parse_int(o->initial, field); break;
    case DT_OPTION_REAL: fine = parse_real(o->initial, field); break;
    case DT_OPTION_BOOL: fine = parse_bool(o->initial, field); break;
    case DT_OPTION_CHOICE: fine = (*(int *)field = find_choice(o->choices, o->initial)) >= 0; break;
    case DT_OPTION_INTS: *(dt_ints *)field = parse_default_ints(o->initial); break;
    case DT_OPTION_REALS: *(dt_reals *)field = parse_default_reals(o->initial); break;
    case DT_OPTION_RATES: *(dt_rates *)field = (dt_rates){.n = 0}; break; /* {} */
    case DT_OPTION_WEIGHTS:
        *(dt_weights *)field = (dt_weights){.word = find_choice(o->choices, o->initial)};
        fine = ((dt_weights *)field)->word >= 0;
        break;
    case DT_OPTION_TEXT: {
        const char **text = field;
        *text = NULL;
        if (*o->initial && !(*text = dt_arena_strdup(arena, o->initial)))
            return dt_fail(err, DUET_MEMORY, "memory is out while reading the recipe");
        break;
    }
    }
    if (!fine) DT_BUG("the default of %s, %s, cannot be read", o->key, o->initial);
    return DUET_OK;
}

duet_status dt_option_default(const dt_option *options, const char *key, const char *text, void *config, dt_arena *arena, duet_error *err)
{
    for (const dt_option *o = options; o && o->key; o++) {
        if (strcmp(o->key, key) != 0) continue;
        dt_option other = *o;
        other.initial = text;
        return set_default(&other, config, arena, err);
    }
    DT_BUG("no option %s to give the default %s", key, text);
}

/* ---- what is allowed ------------------------------------------------------------------------------------------ */

static void write_bound(double x, dt_text *out)
{
    if (fabs(x) < 1e16 && x == floor(x)) dt_text_append(out, "%.0f", x);
    else dt_json_number(out, x);
}

static void write_range(const char *what, const dt_option *o, dt_text *out)
{
    dt_text_append(out, "%s from ", what);
    write_bound(o->min, out);
    dt_text_append(out, " to ");
    write_bound(o->max, out);
}

void dt_option_allowed(const dt_section *s, const dt_option *o, dt_text *out)
{
    char choice[DT_CHOICE_BYTES];
    const char *name = NULL;
    switch (o->type) {
    case DT_OPTION_INT: write_range("a whole number", o, out); break;
    case DT_OPTION_REAL: write_range("a number", o, out); break;
    case DT_OPTION_BOOL: dt_text_append(out, "true or false"); break;
    case DT_OPTION_INTS:
        dt_text_append(out, "a list of at most %zu", DT_COUNT(((dt_ints *)0)->at));
        write_range(" whole numbers", o, out);
        break;
    case DT_OPTION_REALS:
        dt_text_append(out, "a list of at most %zu", DT_COUNT(((dt_reals *)0)->at));
        write_range(" numbers", o, out);
        break;
    case DT_OPTION_RATES:
        dt_text_append(out, "a map of at most %zu names of layers, each with", DT_COUNT(((dt_rates *)0)->at));
        write_range(" a number", o, out);
        dt_text_append(out, " or the word frozen");
        break;
    case DT_OPTION_CHOICE:
        for (size_t i = 0; dt_choice_name(o->choices, i, choice); i++)
            dt_text_append(out, "%s%s", i ? ", " : "", choice);
        if (dt_section_inside(s, o->key)) dt_text_append(out, ", or a map of its options");
        break;
    case DT_OPTION_WEIGHTS:
        for (size_t i = 0; dt_choice_name(o->choices, i, choice); i++) dt_text_append(out, "%s, ", choice);
        dt_text_append(out, "or a list with");
        write_range(" a number", o, out);
        dt_text_append(out, " for each class");
        break;
    case DT_OPTION_TEXT:
        for (size_t i = 0; s && (name = dt_section_name_at(s, o->key, i)); i++)
            dt_text_append(out, "%s%s", i ? ", " : "", name);
        if (dt_section_name_rules(s, o->key)) dt_text_append(out, ", %s", dt_section_name_rules(s, o->key)->also_help);
        if (!s || !dt_section_name_at(s, o->key, 0)) dt_text_append(out, "text");
        break;
    }
}

/* ---- a map to fields ------------------------------------------------------------------------------------------ */

/* One value being read. */
typedef struct reading {
    const dt_section *section;
    const char *path; /* "networks.1" */
    const dt_option *option;
    const dt_yaml *value;
    dt_arena *arena;
    duet_error *err;
} reading;

/* "found X; allowed: Y[; did you mean Z?]" */
static duet_status fail_value(const reading *r, const char *hint)
{
    char key[96], found[DT_FOUND_BYTES];
    dt_text allowed = {0};
    const dt_name_rules *rules = dt_section_name_rules(r->section, r->option->key);
    if (rules) dt_text_append(&allowed, "%s", rules->listed);
    else dt_option_allowed(r->section, r->option, &allowed);
    snprintf(key, sizeof key, "%s.%s", r->path, r->option->key);
    duet_status status =
        dt_fail_at(r->err, r->value->at, key, "found %s; allowed: %s%s", dt_yaml_found(r->value, found),
                       dt_text_ok(&allowed) && allowed.bytes ? allowed.bytes : "?", hint);
    dt_text_release(&allowed);
    return status;
}

static bool is_plain(const dt_yaml *v)
{
    return v->kind == DT_YAML_SCALAR && !v->quoted;
}

static duet_status read_int(const reading *r, const dt_yaml *v, int64_t *out)
{
    int64_t x = 0;
    if (!is_plain(v) || !parse_int(v->text, &x) || x < (int64_t)r->option->min || x > (int64_t)r->option->max) {
        reading at_element = *r;
        at_element.value = v;
        return fail_value(&at_element, "");
    }
    *out = x;
    return DUET_OK;
}

static duet_status read_ints(const reading *r, dt_ints *out)
{
    dt_ints ints = {.n = 0};
    if (r->value->kind != DT_YAML_LIST) return fail_value(r, "");
    for (const dt_yaml *c = r->value->first; c; c = c->next) {
        if (ints.n == DT_COUNT(ints.at)) return fail_value(r, " (this one is longer)");
        DT_TRY(read_int(r, c, &ints.at[ints.n++]));
    }
    *out = ints;
    return DUET_OK;
}

static duet_status read_reals(const reading *r, dt_reals *out)
{
    dt_reals reals = {.n = 0};
    if (r->value->kind != DT_YAML_LIST) return fail_value(r, "");
    for (const dt_yaml *c = r->value->first; c; c = c->next) {
        double x = 0;
        if (reals.n == DT_COUNT(reals.at)) return fail_value(r, " (this one is longer)");
        reading at_element = *r;
        at_element.value = c;
        if (!is_plain(c) || !parse_real(c->text, &x) || !(x >= r->option->min && x <= r->option->max)) return fail_value(&at_element, "");
        reals.at[reals.n++] = x;
    }
    *out = reals;
    return DUET_OK;
}

static duet_status read_rates(const reading *r, dt_rates *out)
{
    dt_rates rates = {.n = 0};
    if (r->value->kind != DT_YAML_MAP) return fail_value(r, "");
    for (const dt_yaml *c = r->value->first; c; c = c->next) {
        dt_rate rate = {.layer = dt_arena_strdup(r->arena, c->key), .scale = 0};
        if (!rate.layer) return dt_fail(r->err, DUET_MEMORY, "memory is out while reading the recipe");
        if (rates.n == DT_COUNT(rates.at)) return fail_value(r, " (this one is longer)");
        reading at_element = *r;
        at_element.value = c;
        rate.frozen = c->kind == DT_YAML_SCALAR && strcmp(c->text, "frozen") == 0;
        if (!rate.frozen && (!is_plain(c) || !parse_real(c->text, &rate.scale) || !(rate.scale >= r->option->min && rate.scale <= r->option->max)))
            return fail_value(&at_element, "");
        rates.at[rates.n++] = rate;
    }
    *out = rates;
    return DUET_OK;
}

/* One of several words, or a list of any length. */
static duet_status read_weights(const reading *r, dt_weights *out)
{
    dt_weights weights = {.word = -1};
    size_t n = 0;
    if (r->value->kind == DT_YAML_SCALAR && (weights.word = find_choice(r->option->choices, r->value->text)) >= 0) {
        *out = weights;
        return DUET_OK;
    }
    if (r->value->kind != DT_YAML_LIST || !r->value->first) return fail_value(r, "");
    for (const dt_yaml *c = r->value->first; c; c = c->next) n++;
    double *at = dt_arena_alloc(r->arena, n, sizeof *at);
    if (!at) return dt_fail(r->err, DUET_MEMORY, "memory is out while reading the recipe");
    for (const dt_yaml *c = r->value->first; c; c = c->next) {
        double x = 0;
        reading at_element = *r;
        at_element.value = c;
        if (!is_plain(c) || !parse_real(c->text, &x) || !(x >= r->option->min && x <= r->option->max)) return fail_value(&at_element, "");
        at[weights.n++] = x;
    }
    weights.at = at;
    *out = weights;
    return DUET_OK;
}

/* One of several words; a map, where the option has a section of its own, is the last of them. */
static duet_status read_choice(const reading *r, int *out)
{
    char hint[DT_HINT_BYTES] = "", names[DT_MAX_CHOICES][DT_CHOICE_BYTES];
    const char *pointers[DT_MAX_CHOICES];
    if (r->value->kind == DT_YAML_MAP && dt_section_inside(r->section, r->option->key)) {
        *out = dt_choice_last(r->option->choices);
        return DUET_OK;
    }
    int i = r->value->kind == DT_YAML_SCALAR ? find_choice(r->option->choices, r->value->text) : -1;
    if (i < 0) {
        size_t n = 0;
        for (; n < DT_MAX_CHOICES && dt_choice_name(r->option->choices, n, names[n]); n++) pointers[n] = names[n];
        return fail_value(r, r->value->kind == DT_YAML_SCALAR ? dt_hint(r->value->text, pointers, n, hint) : "");
    }
    *out = i;
    return DUET_OK;
}

/* Text, or one of a registry's names. */
static duet_status read_text(const reading *r, const char **out)
{
    const dt_yaml *v = r->value;
    const char *names[MAX_NAMES];
    size_t n = 0;
    while (n < MAX_NAMES && (names[n] = dt_section_name_at(r->section, r->option->key, n))) n++;
    bool known = n == 0;
    for (size_t i = 0; i < n && v->kind == DT_YAML_SCALAR; i++) known |= strcmp(names[i], v->text) == 0;
    const dt_name_rules *rules = dt_section_name_rules(r->section, r->option->key);
    known |= rules && v->kind == DT_YAML_SCALAR && rules->also(v->text);
    bool empty = v->kind == DT_YAML_EMPTY || (v->kind == DT_YAML_SCALAR && !*v->text);

    if (empty && n == 0 && r->option->initial) {
        *out = NULL;
        return DUET_OK;
    }
    if (v->kind != DT_YAML_SCALAR || empty) return fail_value(r, "");
    char hint[2 * DT_HINT_BYTES];
    if (!known) return fail_value(r, rules ? rules->hint(v->text, hint, sizeof hint) : dt_hint(v->text, names, n, hint));
    *out = dt_arena_strdup(r->arena, v->text);
    return *out ? DUET_OK : dt_fail(r->err, DUET_MEMORY, "memory is out while reading the recipe");
}

static duet_status read_option(const reading *r, void *config)
{
    const dt_option *o = r->option;
    const dt_yaml *v = r->value;
    void *field = field_of(o, config);
    double real = 0;
    bool truth = false;
    switch (o->type) {
    case DT_OPTION_INT: return read_int(r, v, field);
    case DT_OPTION_INTS: return read_ints(r, field);
    case DT_OPTION_REALS: return read_reals(r, field);
    case DT_OPTION_RATES: return read_rates(r, field);
    case DT_OPTION_WEIGHTS: return read_weights(r, field);
    case DT_OPTION_CHOICE: return read_choice(r, field);
    case DT_OPTION_TEXT: return read_text(r, field);
    case DT_OPTION_REAL:
        if (!is_plain(v) || !parse_real(v->text, &real) || !(real >= o->min && real <= o->max))
            return fail_value(r, "");
        *(double *)field = real;
        return DUET_OK;
    case DT_OPTION_BOOL:
        if (!is_plain(v) || !parse_bool(v->text, &truth)) return fail_value(r, "");
        *(bool *)field = truth;
        return DUET_OK;
    }
    DT_BUG("an option of type %d", (int)o->type);
}

/* ---- unknown keys --------------------------------------------------------------------------------------------- */

/* Every key that section s may have: options of the groups, then sections inside it. */
static size_t list_keys(const dt_section *s, const dt_option_group *groups, size_t n_groups,
                        const char *keys[MAX_NAMES])
{
    size_t n = 0;
    for (size_t g = 0; g < n_groups; g++)
        for (const dt_option *o = groups[g].options; o && o->key && n < MAX_NAMES; o++) keys[n++] = o->key;

    size_t prefix = strlen(s->path);
    for (size_t i = 0; dt_section_at(i) && n < MAX_NAMES; i++) {
        const char *path = dt_section_at(i)->path, *child = path + prefix + (prefix > 0);
        bool inside =
            strncmp(path, s->path, prefix) == 0 && strlen(path) > prefix && (prefix == 0 || path[prefix] == '.');
        bool listed = false; /* an option may also be a section */
        for (size_t k = 0; k < n && inside; k++) listed |= strcmp(keys[k], child) == 0;
        if (inside && !listed && !strchr(child, '.')) keys[n++] = child;
    }
    if (prefix == 0 && n < MAX_NAMES) keys[n++] = "extends";
    return n;
}

static duet_status check_keys(const dt_section *s, const char *path, const dt_yaml *map, const dt_option_group *groups,
                              size_t n_groups, duet_error *err)
{
    const char *keys[MAX_NAMES];
    size_t n = list_keys(s, groups, n_groups, keys);
    for (const dt_yaml *c = map->first; c; c = c->next) {
        bool known = false;
        for (size_t i = 0; i < n; i++) known |= strcmp(keys[i], c->key) == 0;
        if (known) continue;

        char found[DT_FOUND_BYTES], full[DT_FOUND_BYTES + 96], hint[DT_HINT_BYTES];
        const dt_yaml key = {.kind = DT_YAML_SCALAR, .text = c->key};
        snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", dt_yaml_found(&key, found));
        dt_text all = {0};
        for (size_t i = 0; i < n; i++) dt_text_append(&all, "%s%s", i ? ", " : "", keys[i]);
        duet_status status =
            dt_fail_at(err, c->key_at, full, "found an unknown key; allowed here: %s%s",
                           dt_text_ok(&all) && all.bytes ? all.bytes : "none", dt_hint(c->key, keys, n, hint));
        dt_text_release(&all);
        return status;
    }
    return DUET_OK;
}

static duet_status fail_missing(const reading *r, dt_spot at)
{
    char key[96];
    dt_text allowed = {0};
    dt_option_allowed(r->section, r->option, &allowed);
    snprintf(key, sizeof key, "%s.%s", r->path, r->option->key);
    duet_status status = dt_fail_at(r->err, at, key, "missing, and there is no default; allowed: %s (%s)",
                                        dt_text_ok(&allowed) && allowed.bytes ? allowed.bytes : "?", r->option->help);
    dt_text_release(&allowed);
    return status;
}

duet_status dt_options_read(const dt_section *s, const char *path, const dt_yaml *map, dt_spot absent_at,
                            const dt_option_group *groups, size_t n_groups, dt_arena *arena, duet_error *err)
{
    char found[DT_FOUND_BYTES];
    if (map && map->kind != DT_YAML_MAP && map->kind != DT_YAML_EMPTY)
        return dt_fail_at(err, map->at, path, "found %s; allowed: a map of its options", dt_yaml_found(map, found));
    if (map) DT_TRY(check_keys(s, path, map, groups, n_groups, err));

    for (size_t g = 0; g < n_groups; g++) {
        for (const dt_option *o = groups[g].options; o && o->key; o++) {
            const dt_yaml *value = dt_yaml_find(map, o->key);
            const reading r = {s, path, o, value, arena, err};
            if (value) DT_TRY(read_option(&r, groups[g].config));
            else if (!o->initial) return fail_missing(&r, map ? (map->key ? map->key_at : map->at) : absent_at);
            else DT_TRY(set_default(o, groups[g].config, arena, err));
        }
    }
    return DUET_OK;
}

/* ---- a field to text ------------------------------------------------------------------------------------------ */

/* Words that some YAML reader takes for something else than text. */
static bool is_special(const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
    for (size_t i = 0; i < DT_COUNT(words); i++)
        if (strcasecmp(words[i], text) == 0) return true;
    return false;
}

void dt_yaml_write_text(const char *text, dt_text *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char inner[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    size_t n = strlen(text);
    bool starts_plain = n > 0 && (strchr(letters, text[0]) || text[0] == '/');
    if (starts_plain && strspn(text, inner) == n && !is_special(text)) {
        dt_text_append(out, "%s", text);
        return;
    }
    dt_text_append(out, "\"");
    for (const char *s = text; *s; s++) dt_text_append(out, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s);
    dt_text_append(out, "\"");
}

void dt_option_write(const dt_option *o, const void *config, dt_text *out)
{
    const void *field = (const char *)config + o->offset;
    char choice[DT_CHOICE_BYTES];
    switch (o->type) {
    case DT_OPTION_INT: dt_text_append(out, "%lld", (long long)*(const int64_t *)field); return;
    case DT_OPTION_REAL: dt_json_number(out, *(const double *)field); return;
    case DT_OPTION_BOOL: dt_text_append(out, "%s", *(const bool *)field ? "true" : "false"); return;
    case DT_OPTION_TEXT: {
        const char *text = *(const char *const *)field;
        dt_yaml_write_text(text ? text : o->initial ? o->initial : "", out);
        return;
    }
    case DT_OPTION_CHOICE:
        if (!dt_choice_name(o->choices, (size_t) * (const int *)field, choice))
            DT_BUG("%s has no choice %d", o->key, *(const int *)field);
        dt_text_append(out, "%s", choice);
        return;
    case DT_OPTION_INTS: {
        const dt_ints *ints = field;
        dt_text_append(out, "[");
        for (size_t i = 0; i < ints->n; i++) dt_text_append(out, "%s%lld", i ? ", " : "", (long long)ints->at[i]);
        dt_text_append(out, "]");
        return;
    }
    case DT_OPTION_REALS: {
        const dt_reals *reals = field;
        dt_text_append(out, "[");
        for (size_t i = 0; i < reals->n; i++) {
            dt_text_append(out, "%s", i ? ", " : "");
            dt_json_number(out, reals->at[i]);
        }
        dt_text_append(out, "]");
        return;
    }
    case DT_OPTION_WEIGHTS: {
        const dt_weights *weights = field;
        if (weights->word >= 0 && dt_choice_name(o->choices, (size_t)weights->word, choice)) {
            dt_text_append(out, "%s", choice);
            return;
        }
        dt_text_append(out, "[");
        for (size_t i = 0; i < weights->n; i++) {
            dt_text_append(out, "%s", i ? ", " : "");
            dt_json_number(out, weights->at[i]);
        }
        dt_text_append(out, "]");
        return;
    }
    case DT_OPTION_RATES: {
        const dt_rates *rates = field;
        dt_text_append(out, "{");
        for (size_t i = 0; i < rates->n; i++) {
            dt_text_append(out, "%s", i ? ", " : "");
            dt_yaml_write_text(rates->at[i].layer, out);
            dt_text_append(out, ": ");
            if (rates->at[i].frozen) dt_text_append(out, "frozen");
            else dt_json_number(out, rates->at[i].scale);
        }
        dt_text_append(out, "}");
        return;
    }
    }
}
