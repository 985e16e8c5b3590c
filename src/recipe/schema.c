/* The option tables as a JSON Schema, with which editors complete and check recipes while they are typed. It is a help, not the
 * law: combinations (check.c) are not in it. jansson builds the text, so that it cannot be malformed. */
#include "recipe/recipe_impl.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whole numbers without a point: a validator may insist on it for `integer`. */
static json_t *number(double x)
{
    return x == floor(x) && fabs(x) < 1e16 ? json_integer((json_int_t)x) : json_real(x);
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value); /* NULL (memory is out) is noticed when the text is made */
}

static void set_range(json_t *schema, const char *type, const dt_option *o)
{
    set(schema, "type", json_string(type));
    set(schema, "minimum", number(o->min));
    set(schema, "maximum", number(o->max));
}

static json_t *list_choices(const char *choices)
{
    json_t *list = json_array();
    char name[DT_CHOICE_BYTES];
    for (size_t i = 0; dt_choice_name(choices, i, name); i++) json_array_append_new(list, json_string(name));
    return list;
}

/* Text, or one of a registry's names. */
static void set_text(json_t *schema, const dt_section *s, const dt_option *o)
{
    json_t *names = json_array();
    const char *name = NULL;
    for (size_t i = 0; (name = dt_section_name_at(s, o->key, i)); i++) json_array_append_new(names, json_string(name));
    const dt_name_rules *rules = dt_section_name_rules(s, o->key);
    set(schema, "type", json_string("string"));
    if (rules) set(schema, "anyOf", json_pack("[{s:o}, {s:s}]", "enum", names, "pattern", rules->also_pattern));
    else if (json_array_size(names) > 0) set(schema, "enum", names);
    else json_decref(names);
}

static void set_default(json_t *schema, const dt_option *o)
{
    json_t *value = NULL;
    switch (o->type) {
    case DT_OPTION_INT: value = json_integer(strtoll(o->initial, NULL, 10)); break;
    case DT_OPTION_REAL: value = number(strtod(o->initial, NULL)); break;
    case DT_OPTION_BOOL: value = json_boolean(strcmp(o->initial, "true") == 0); break;
    case DT_OPTION_CHOICE:
    case DT_OPTION_WEIGHTS:
    case DT_OPTION_TEXT: value = json_string(o->initial); break;
    case DT_OPTION_INTS:
    case DT_OPTION_RATES:
    case DT_OPTION_REALS: value = json_loads(o->initial, 0, NULL); break;
    }
    set(schema, "default", value);
}

static json_t *option_schema(const dt_section *s, const dt_option *o)
{
    json_t *schema = json_object(), *items = NULL;
    set(schema, "description", json_string(o->help));
    switch (o->type) {
    case DT_OPTION_INT: set_range(schema, "integer", o); break;
    case DT_OPTION_REAL: set_range(schema, "number", o); break;
    case DT_OPTION_BOOL: set(schema, "type", json_string("boolean")); break;
    case DT_OPTION_CHOICE: set(schema, "enum", list_choices(o->choices)); break;
    case DT_OPTION_TEXT: set_text(schema, s, o); break;
    case DT_OPTION_INTS:
        items = json_object();
        set_range(items, "integer", o);
        set(schema, "type", json_string("array"));
        set(schema, "maxItems", json_integer(DT_COUNT(((dt_ints *)0)->at)));
        set(schema, "items", items);
        break;
    case DT_OPTION_REALS:
        items = json_object();
        set_range(items, "number", o);
        set(schema, "type", json_string("array"));
        set(schema, "maxItems", json_integer(DT_COUNT(((dt_reals *)0)->at)));
        set(schema, "items", items);
        break;
    case DT_OPTION_WEIGHTS:
        items = json_object();
        set_range(items, "number", o);
        set(schema, "anyOf", json_pack("[{s:o}, {s:s, s:i, s:o}]", "enum", list_choices(o->choices), "type", "array", "minItems", 1, "items", items));
        break;
    case DT_OPTION_RATES:
        items = json_object();
        set_range(items, "number", o);
        set(schema, "type", json_string("object"));
        set(schema, "maxProperties", json_integer(DT_COUNT(((dt_rates *)0)->at)));
        set(schema, "additionalProperties", json_pack("{s: [o, {s: s}]}", "anyOf", items, "const", "frozen"));
        break;
    }
    if (o->initial) set_default(schema, o);
    return schema;
}

/* A map that has no keys yet and will allow no others. Nothing is required but names: the rest may come from `extends`. */
static json_t *map_schema(const char *help)
{
    json_t *schema = json_object();
    set(schema, "type", json_string("object"));
    set(schema, "description", json_string(help));
    set(schema, "additionalProperties", json_false());
    set(schema, "properties", json_object());
    return schema;
}

static void add_options(json_t *map, const dt_section *s, const dt_option *options)
{
    json_t *properties = json_object_get(map, "properties");
    for (const dt_option *o = options; o && o->key; o++) set(properties, o->key, option_schema(s, o));
}

static json_t *networks_schema(const dt_section *s)
{
    json_t *schema = json_object(), *item = map_schema("one network"), *required = json_array();
    add_options(item, s, s->options);
    for (const dt_option *o = s->options; o->key; o++)
        if (!o->initial) json_array_append_new(required, json_string(o->key));
    set(item, "required", required);
    set(schema, "type", json_string("array"));
    set(schema, "description", json_string(s->help));
    set(schema, "minItems", json_integer(1));
    set(schema, "maxItems", json_integer(DT_MAX_NETWORKS));
    set(schema, "items", item);
    return schema;
}

/* One map for each name that the section may have. */
static json_t *named_schema(const dt_section *s)
{
    json_t *schema = json_object(), *any = json_array();
    dt_named named;
    for (size_t i = 0; dt_section_named_at(s, i, &named); i++) {
        json_t *map = map_schema(named.help), *name = json_object(), *required = json_array();
        set(name, "const", json_string(named.name));
        set(json_object_get(map, "properties"), "name", name);
        add_options(map, s, named.options);
        json_array_append_new(required, json_string("name"));
        set(map, "required", required);
        json_array_append_new(any, map);
    }
    set(schema, "description", json_string(s->help));
    set(schema, "anyOf", any);
    return schema;
}

static json_t *adm_schema(const dt_section *s)
{
    json_t *schema = json_object(), *any = json_array(), *word = json_object();
    set(word, "enum", json_pack("[s, s, b, b]", "on", "off", 1, 0));
    json_t *map = map_schema(s->help);
    add_options(map, s, s->options);
    json_array_append_new(any, map);
    json_array_append_new(any, word);
    set(schema, "description", json_string(s->note));
    set(schema, "anyOf", any);
    return schema;
}

static json_t *section_schema(const dt_section *s)
{
    if (strcmp(s->path, "networks") == 0) return networks_schema(s);
    dt_named named;
    if (dt_section_named_at(s, 0, &named)) return named_schema(s);
    if (strcmp(s->path, "adm") == 0) return adm_schema(s);
    json_t *map = map_schema(s->help);
    add_options(map, s, s->options);
    return map;
}

/* An option that may be a section instead: the words it had, or the map. */
static json_t *word_or_map(json_t *word, json_t *map)
{
    json_t *schema = json_object(), *any = json_array();
    set(schema, "description", json_incref(json_object_get(word, "description")));
    set(schema, "default", json_incref(json_object_get(word, "default")));
    json_object_del(word, "description");
    json_object_del(word, "default");
    json_array_append_new(any, json_incref(word));
    json_array_append_new(any, map);
    set(schema, "anyOf", any);
    return schema;
}

/* The properties of a map, or of the map that a word may be. */
static json_t *properties_of(json_t *schema)
{
    json_t *own = json_object_get(schema, "properties");
    return own ? own : json_object_get(json_array_get(json_object_get(schema, "anyOf"), 1), "properties");
}

/* "train.schedule" goes into the properties of "train", which came before it. */
static void add_section(json_t *properties, const dt_section *s)
{
    const char *name = s->path;
    for (const char *dot; (dot = strchr(name, '.')); name = dot + 1) {
        char outer[32];
        snprintf(outer, sizeof outer, "%.*s", (int)(dot - name), name);
        properties = properties_of(json_object_get(properties, outer));
    }
    json_t *word = json_object_get(properties, name), *schema = section_schema(s);
    set(properties, name, word ? word_or_map(word, schema) : schema);
}

void dt_recipe_schema(dt_text *out)
{
    json_t *root = map_schema("A recipe of duet. Generated from the option tables; do not edit.");
    json_t *properties = json_object_get(root, "properties");
    set(root, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set(root, "title", json_string("duet recipe"));
    set(properties, "extends",
        json_pack("{s:s, s:s}", "type", "string", "description",
                  "another recipe, relative to this file, whose keys this one adds to and overrides"));

    for (size_t i = 1; dt_section_at(i); i++) add_section(properties, dt_section_at(i));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    if (text) dt_text_append(out, "%s\n", text);
    else out->failed = true;
    free(text);
    json_decref(root);
}
