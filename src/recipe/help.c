/* The option tables as text for people: `duet help recipe` and docs/recipe.md. */
#include "recipe/recipe_impl.h"

#include <string.h>

static const char example[] = "data: {name: shapes}\n"
                              "networks:\n"
                              "  - {name: teacher, model: resnet20, role: teacher}\n"
                              "  - {name: student, model: resnet8, role: student}\n"
                              "method: {name: dml}\n"
                              "adm: on\n"
                              "train: {epochs: 10, lr: 0.1, schedule: {name: onecycle}}\n";

static const char merging[] =
    "`extends: OTHER.yaml` (relative to the file) starts from another recipe: maps are merged key by key, lists and "
    "values are "
    "replaced. `--set key.path=value` then changes single keys; networks go by position or by name: "
    "`--set train.epochs=20 --set networks.student.model=resnet14`. Where the method gets another name, the options of "
    "the old one go.";

static const char strictness[] = "Numbers are decimal: 12, 0.05, 5e-4. Truth is true or false. Keys are checked: a "
                                 "misspelt one is an error that says where it is and what was meant. "
                                 "Paths (`data.path`, `init`) are relative to the folder in which the program runs.";

/* ---- plain text ----------------------------------------------------------------------------------------------- */

/* Words of `text`, folded at 96 columns, each line after `indent` spaces. */
static void append_folded(dt_text *out, int indent, const char *text)
{
    enum { WIDTH = 96 };
    int column = 0;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + n > WIDTH) {
            dt_text_append(out, "\n");
            column = 0;
        }
        if (column == 0) dt_text_append(out, "%*s%.*s", indent, "", n, text), column = indent + n;
        else dt_text_append(out, " %.*s", n, text), column += 1 + n;
        text += n;
        text += strspn(text, " ");
    }
    dt_text_append(out, "\n");
}

static void append_option(dt_text *out, const dt_section *s, const dt_option *o)
{
    dt_text line = {0};
    dt_text_append(out, "  %s", o->key);
    if (!o->initial) dt_text_append(out, "  (must be given)\n");
    else if (*o->initial) dt_text_append(out, ": %s\n", o->initial);
    else dt_text_append(out, "\n");
    dt_text_append(&line, "%s. Allowed: ", o->help);
    dt_option_allowed(s, o, &line);
    append_folded(out, 6, line.bytes ? line.bytes : o->help);
    dt_text_release(&line);
}

static void append_options(dt_text *out, const dt_section *s, const dt_option *options)
{
    for (const dt_option *o = options; o && o->key; o++) append_option(out, s, o);
}

static void append_named(dt_text *out, const dt_section *s, const dt_named *n)
{
    dt_text_append(out, "%s %s\n", s->path, n->name);
    append_folded(out, 2, n->help);
    append_options(out, NULL, n->options);
    dt_text_append(out, "\n");
}

static void append_section(dt_text *out, const dt_section *s)
{
    dt_text_append(out, "%s\n", s->path);
    append_folded(out, 2, s->help);
    if (s->note) append_folded(out, 2, s->note);
    append_options(out, s, s->options);
    dt_text_append(out, "\n");
}

static void append_all(dt_text *out)
{
    dt_text_append(
        out, "A recipe is a YAML file that says what to train, on what, and how. The shortest useful one:\n\n%s\n",
        example);
    append_folded(out, 0, merging);
    append_folded(out, 0, strictness);
    dt_text_append(out, "\n");
    for (size_t i = 1; dt_section_at(i); i++) {
        dt_named named;
        append_section(out, dt_section_at(i));
        for (size_t k = 0; dt_section_named_at(dt_section_at(i), k, &named); k++) append_named(out, dt_section_at(i), &named);
    }
}

/* Every name of the section, or the name itself with its options; false: there is none. */
static bool append_names(dt_text *out, const char *wanted)
{
    bool any = false;
    for (size_t i = 0; dt_section_at(i); i++) {
        const dt_section *s = dt_section_at(i);
        dt_named named;
        for (size_t k = 0; dt_section_named_at(s, k, &named); k++) {
            if (strcmp(wanted, s->path) != 0 && strcmp(wanted, named.name) != 0) continue;
            append_named(out, s, &named);
            any = true;
        }
    }
    return any;
}

bool dt_recipe_help(const char *section, dt_text *out)
{
    if (!section) {
        append_all(out);
        return true;
    }
    const dt_section *s = *section ? dt_section_find(section) : NULL;
    size_t n = strlen(section);
    for (size_t i = 0; s && dt_section_at(i); i++) { /* with what is inside it: train, train.schedule */
        const char *path = dt_section_at(i)->path;
        if (strncmp(path, section, n) == 0 && (!path[n] || path[n] == '.')) append_section(out, dt_section_at(i));
    }
    return append_names(out, section) || s;
}

const char *dt_recipe_section_at(size_t i)
{
    const dt_section *s = dt_section_at(i + 1); /* the first is the top of the file */
    return s ? s->path : NULL;
}

/* ---- Markdown ------------------------------------------------------------------------------------------------- */

/* `|` would end a cell. */
static void append_cell(dt_text *out, const char *text)
{
    for (const char *c = text; *c; c++) dt_text_append(out, "%s%c", *c == '|' ? "\\" : "", *c);
}

static void append_rows(dt_text *out, const dt_section *s, const dt_option *options)
{
    if (!options || !options->key) {
        dt_text_append(out, "No options.\n\n");
        return;
    }
    dt_text_append(out, "| key | default | allowed | what it is |\n|---|---|---|---|\n");
    for (const dt_option *o = options; o->key; o++) {
        dt_text allowed = {0};
        dt_option_allowed(s, o, &allowed);
        dt_text_append(out, "| `%s` | ", o->key);
        if (!o->initial) dt_text_append(out, "*must be given*");
        else if (*o->initial) dt_text_append(out, "`%s`", o->initial);
        dt_text_append(out, " | ");
        append_cell(out, allowed.bytes ? allowed.bytes : "");
        dt_text_append(out, " | ");
        append_cell(out, o->help);
        dt_text_append(out, " |\n");
        dt_text_release(&allowed);
    }
    dt_text_append(out, "\n");
}

void dt_recipe_markdown(dt_text *out)
{
    dt_text_append(out, "<!-- Generated from the option tables; do not edit. To write it anew: DUET_UPDATE=1 "
                        "test_recipe_docs -->\n# Recipes\n\n");
    dt_text_append(out,
                   "A recipe is a YAML file that says what to train, on what, and how. The shortest useful "
                   "one:\n\n```yaml\n%s```\n\n",
                   example);
    dt_text_append(out, "%s\n\n%s\n\n", merging, strictness);
    dt_text_append(out, "`recipe.schema.json` beside this page lets editors complete and check recipes.\n\n");

    for (size_t i = 1; dt_section_at(i); i++) {
        const dt_section *s = dt_section_at(i);
        dt_text_append(out, "## `%s`: %s\n\n", s->path, s->help);
        if (s->note) dt_text_append(out, "%s\n\n", s->note);
        append_rows(out, s, s->options);
        dt_named named;
        for (size_t k = 0; dt_section_named_at(s, k, &named); k++) {
            dt_text_append(out, "### %s `%s`\n\n%s", s->path, named.name, named.help);
            if (named.source) dt_text_append(out, " (%s)", named.source);
            dt_text_append(out, "\n\n");
            append_rows(out, NULL, named.options);
        }
    }
}
