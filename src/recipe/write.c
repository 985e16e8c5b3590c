/* A recipe to YAML with every default written out: recipe.yaml of a run folder. Reading the text gives an equal recipe, and
 * writing that gives the same bytes; numbers are written with as many digits as that takes. */
#include "recipe/recipe_impl.h"

/* The section that stands for this option as it is set, or NULL: the option is a value. */
static const dt_section *written_as_map(const dt_section *s, const dt_option *o, const void *config)
{
    const dt_section *inside = o->type == DT_OPTION_CHOICE ? dt_section_inside(s, o->key) : NULL;
    return inside && *(const int *)((const char *)config + o->offset) == dt_choice_last(o->choices) ? inside : NULL;
}

/* A section whose options may be sections again. */
static void write_section(const dt_section *s, const void *config, int indent, dt_text *out)
{
    for (const dt_option *o = s->options; o->key; o++) {
        const dt_section *inside = written_as_map(s, o, config);
        dt_text_append(out, "%*s%s:%s", indent, "", o->key, inside ? "\n" : " ");
        if (inside) {
            write_section(inside, config, indent + 2, out);
            continue;
        }
        dt_option_write(o, config, out);
        dt_text_append(out, "\n");
    }
}

static void write_options(const dt_option *options, const void *config, int indent, dt_text *out)
{
    for (const dt_option *o = options; o && o->key; o++) {
        dt_text_append(out, "%*s%s: ", indent, "", o->key);
        dt_option_write(o, config, out);
        dt_text_append(out, "\n");
    }
}

/* `- name: x` and the rest of the map below `name`. */
static void write_network(const dt_option *options, const dt_recipe_network *n, dt_text *out)
{
    for (const dt_option *o = options; o->key; o++) {
        dt_text_append(out, "  %s %s: ", o == options ? "-" : " ", o->key);
        dt_option_write(o, n, out);
        dt_text_append(out, "\n");
    }
}

void dt_recipe_write(const dt_recipe *r, dt_text *out)
{
    dt_text_append(out, "data:\n");
    write_section(dt_section_find("data"), r, 2, out);

    dt_text_append(out, "networks:\n");
    for (int i = 0; i < r->n_networks; i++) write_network(dt_section_find("networks")->options, &r->networks[i], out);

    dt_text_append(out, "task:\n");
    const dt_section_name task = {r->task->name}, name = {r->method->name};
    write_options(dt_section_find("task")->options, &task, 2, out);
    write_options(r->task->options, &r->task_config, 2, out);

    dt_text_append(out, "method:\n");
    write_options(dt_section_find("method")->options, &name, 2, out);
    write_options(r->method->options, r->method_config, 2, out);

    dt_text_append(out, r->adm.enabled ? "adm:\n" : "adm: off\n");
    if (r->adm.enabled) write_options(dt_adm_options, &r->adm, 2, out);

    dt_text_append(out, "train:\n");
    write_options(dt_section_find("train")->options, r, 2, out);
    dt_text_append(out, "  schedule:\n");
    write_options(dt_section_find("train.schedule")->options, r, 4, out);

    dt_text_append(out, "device:\n");
    write_options(dt_section_find("device")->options, r, 2, out);
}
