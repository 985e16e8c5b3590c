/* Values in the description of a network: numbers that are computed, names that contain them. */
#include "described_impl.h"

#include <string.h>

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* An expression being read. In a name, variables stand without a $ between ${ and }. */
typedef struct expression {
    const dt_yaml *value;
    const char *at; /* what is left */
    char end;       /* what ends it: '\0', '}' */
    const dt_variable *variables;
    duet_error *err;
} expression;

static duet_status refuse(const expression *e, const char *why)
{
    char found[DT_FOUND_BYTES];
    return dt_fail_at(e->err, e->value->at, NULL, "found %s, %s; allowed: whole numbers, $names, + - * / and brackets, as in 2 * $width",
                      dt_yaml_found(e->value, found), why);
}

static void skip_spaces(expression *e) { e->at += strspn(e->at, " "); }

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t name_length(const char *s)
{
    size_t n = 0;
    if (!is_letter(*s)) return 0;
    while (is_letter(s[n]) || is_digit(s[n])) n++;
    return n;
}

static duet_status unknown_variable(const expression *e, const char *name, size_t n)
{
    char list[160] = "", wanted[40];
    size_t used = 0;
    for (const dt_variable *v = e->variables; v && used < sizeof list; v = v->outer) {
        const int more = snprintf(list + used, sizeof list - used, "%s$%s", used ? ", " : "", v->name);
        used += more > 0 ? (size_t)more : 0;
    }
    snprintf(wanted, sizeof wanted, "%.*s", (int)n, name);
    return dt_fail_at(e->err, e->value->at, NULL, "found $%s, which is no number here; there %s%s", wanted, *list ? "are " : "are none", list);
}

static duet_status read_variable(expression *e, int64_t *out)
{
    const size_t n = name_length(e->at);
    if (!n) return refuse(e, "where a name is missing behind $");
    for (const dt_variable *v = e->variables; v; v = v->outer) {
        if (strlen(v->name) != n || memcmp(v->name, e->at, n) != 0) continue;
        *out = v->value;
        e->at += n;
        return DUET_OK;
    }
    return unknown_variable(e, e->at, n);
}

static duet_status in_range(const expression *e, int64_t x)
{
    return x >= -DT_MOST_NUMBER && x <= DT_MOST_NUMBER ? DUET_OK : refuse(e, "which is beyond 1048576");
}

static duet_status read_sum(expression *e, int depth, int64_t *out);

static duet_status read_factor(expression *e, int depth, int64_t *out)
{
    enum { DEEPEST = 16 };
    skip_spaces(e);
    if (*e->at == '(') {
        if (depth == DEEPEST) return refuse(e, "which has too many brackets");
        e->at++;
        DT_TRY(read_sum(e, depth + 1, out));
        if (*e->at != ')') return refuse(e, "where a bracket is not closed");
        e->at++;
        return DUET_OK;
    }
    if (*e->at == '$' && e->end == '\0') {
        e->at++;
        return read_variable(e, out);
    }
    if (e->end == '}' && is_letter(*e->at)) return read_variable(e, out);
    if (!is_digit(*e->at)) return refuse(e, "where a number is missing");
    int64_t x = 0;
    for (; is_digit(*e->at); e->at++) {
        x = 10 * x + (*e->at - '0');
        DT_TRY(in_range(e, x));
    }
    *out = x;
    return DUET_OK;
}

static duet_status read_product(expression *e, int depth, int64_t *out)
{
    DT_TRY(read_factor(e, depth, out));
    for (;;) {
        skip_spaces(e);
        const char sign = *e->at;
        int64_t x;
        if (sign != '*' && sign != '/') return DUET_OK;
        e->at++;
        DT_TRY(read_factor(e, depth, &x));
        if (sign == '/' && (x == 0 || *out % x != 0)) return refuse(e, "a division that leaves a rest");
        *out = sign == '*' ? *out * x : *out / x;
        DT_TRY(in_range(e, *out));
    }
}

static duet_status read_sum(expression *e, int depth, int64_t *out)
{
    DT_TRY(read_product(e, depth, out));
    for (;;) {
        skip_spaces(e);
        const char sign = *e->at;
        int64_t x;
        if (sign != '+' && sign != '-') return DUET_OK;
        e->at++;
        DT_TRY(read_product(e, depth, &x));
        *out = sign == '+' ? *out + x : *out - x;
        DT_TRY(in_range(e, *out));
    }
}

duet_status dt_described_number(const dt_yaml *value, const dt_variable *variables, int64_t *out, duet_error *err)
{
    char found[DT_FOUND_BYTES];
    if (value->kind != DT_YAML_SCALAR) return dt_fail_at(err, value->at, NULL, "found %s; allowed: a number, as 2 * $width", dt_yaml_found(value, found));
    expression e = {.value = value, .at = value->text, .variables = variables, .err = err};
    int64_t x;
    DT_TRY(read_sum(&e, 0, &x));
    if (*e.at) return refuse(&e, "which goes on behind a number");
    *out = x;
    return DUET_OK;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* The number behind a $ at *at: a name, or an expression in {}. */
static duet_status read_embedded(expression *e, int64_t *out)
{
    if (*e->at != '{') return read_variable(e, out);
    e->at++;
    e->end = '}';
    DT_TRY(read_sum(e, 0, out));
    if (*e->at != '}') return refuse(e, "where } is missing");
    e->end = '\0';
    e->at++;
    return DUET_OK;
}

duet_status dt_described_text(const dt_yaml *value, const dt_variable *variables, char to[DT_LAYER_NAME], duet_error *err)
{
    char found[DT_FOUND_BYTES];
    if (value->kind != DT_YAML_SCALAR || !*value->text)
        return dt_fail_at(err, value->at, NULL, "found %s; allowed: a name, as conv1 or layer1.$i", dt_yaml_found(value, found));
    expression e = {.value = value, .at = value->text, .variables = variables, .err = err};
    size_t n = 0;
    while (*e.at) {
        int more;
        if (*e.at == '$') {
            int64_t x;
            e.at++;
            DT_TRY(read_embedded(&e, &x));
            more = snprintf(to + n, DT_LAYER_NAME - n, "%lld", (long long)x);
        } else if (is_letter(*e.at) || is_digit(*e.at) || *e.at == '.' || *e.at == '-') {
            more = snprintf(to + n, DT_LAYER_NAME - n, "%c", *e.at++);
        } else {
            return dt_fail_at(err, value->at, NULL, "found %s; allowed in names: letters, digits, _ - . and $numbers", dt_yaml_found(value, found));
        }
        n += more > 0 ? (size_t)more : 0;
        if (n >= DT_LAYER_NAME) return dt_fail_at(err, value->at, NULL, "found a name of more than %d characters", DT_LAYER_NAME - 1);
    }
    return DUET_OK;
}
