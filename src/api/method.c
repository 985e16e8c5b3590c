/* <duet/method.h>: the tables of src/methods, as plain values. */
#include "api/api_impl.h"

#include <string.h>

static void describe(const dt_method *m, duet_method *out)
{
    *out = (duet_method){.name = m->name, .help = m->help, .source = m->source, .min_networks = m->min_networks,
                         .max_networks = m->max_networks};
}

int duet_method_at(size_t i, duet_method *out)
{
    size_t n = 0;
    while (dt_method_at(n)) n++;
    if (i < n) {
        describe(dt_method_at(i), out);
        return 1;
    }
    if (i > n) return 0;
    *out = (duet_method){.name = "adm", .help = dt_adm_help, .source = dt_adm_source, .min_networks = 2,
                         .max_networks = DT_MAX_NETWORKS, .companion = 1};
    return 1;
}

duet_status duet_method_find(const char *name, duet_method *out, duet_error *err)
{
    duet_method m;
    for (size_t i = 0; duet_method_at(i, &m); i++) {
        if (strcmp(m.name, name) != 0) continue;
        *out = m;
        return DUET_OK;
    }
    (void)dt_method_find(name, err); /* knows the words for it */
    return DUET_ARG;
}

static const dt_option *options_of(const char *method)
{
    if (!strcmp(method, "adm")) return dt_adm_options;
    for (size_t i = 0; dt_method_at(i); i++)
        if (!strcmp(dt_method_at(i)->name, method)) return dt_method_at(i)->options;
    return NULL;
}

static duet_option_type public_type(dt_option_type type)
{
    switch (type) {
    case DT_OPTION_INT: return DUET_OPTION_INTEGER;
    case DT_OPTION_REAL: return DUET_OPTION_NUMBER;
    case DT_OPTION_BOOL: return DUET_OPTION_BOOLEAN;
    case DT_OPTION_CHOICE: return DUET_OPTION_CHOICE;
    case DT_OPTION_TEXT: return DUET_OPTION_TEXT;
    case DT_OPTION_INTS: return DUET_OPTION_INTEGERS;
    case DT_OPTION_REALS: return DUET_OPTION_NUMBERS;
    case DT_OPTION_RATES:
    case DT_OPTION_WEIGHTS: break; /* no method has such */
    }
    DT_BUG("option type %d", (int)type);
}

int duet_method_option_at(const char *method, size_t i, duet_option *out)
{
    const dt_option *o = options_of(method);
    for (; o && o->key && i > 0; i--) o++;
    if (!o || !o->key) return 0;
    *out = (duet_option){.key = o->key, .type = public_type(o->type), .initial = o->initial, .min = o->min, .max = o->max,
                         .choices = o->type == DT_OPTION_CHOICE ? o->choices : NULL, .help = o->help};
    return 1;
}
