/* duet methods: how networks may learn from each other, and each method's options. */
#include "cli.h"

#include <duet/method.h>
#include <duet/run.h>
#include <string.h>

static const char *allowed(const duet_option *o, char *text, size_t bytes)
{
    switch (o->type) {
    case DUET_OPTION_BOOLEAN: return "true|false";
    case DUET_OPTION_CHOICE: return o->choices;
    case DUET_OPTION_TEXT: return "text";
    case DUET_OPTION_INTEGERS: return "a list of whole numbers";
    case DUET_OPTION_NUMBERS: return "a list of numbers";
    case DUET_OPTION_INTEGER:
    case DUET_OPTION_NUMBER: break;
    }
    snprintf(text, bytes, "%s%g to %g", o->type == DUET_OPTION_INTEGER ? "whole number, " : "", o->min, o->max);
    return text;
}

static void print_options(const duet_method *m)
{
    duet_option o;
    for (size_t i = 0; duet_method_option_at(m->name, i, &o); i++) {
        char range[80], term[80], text[400];
        if (i == 0) cli_heading("\nOptions");
        snprintf(term, sizeof term, "%s: %s", o.key, o.initial ? o.initial : "(must be given)");
        snprintf(text, sizeof text, "%s (%s)", o.help, allowed(&o, range, sizeof range));
        cli_print_entry(term, 26, text);
    }
}

/* The line a recipe needs, with the method's first option where it has one. */
static void print_example(const duet_method *m)
{
    duet_option o;
    const bool has_option = duet_method_option_at(m->name, 0, &o) && o.initial && *o.initial;
    cli_heading("\nIn a recipe");
    if (m->companion && has_option) printf("  %s: {%s: %s}\n", m->name, o.key, o.initial);
    else if (m->companion) printf("  %s: on\n", m->name);
    else if (has_option) printf("  method: {name: %s, %s: %s}\n", m->name, o.key, o.initial);
    else printf("  method: {name: %s}\n", m->name);
}

static void count_of_networks(const duet_method *m, char text[32])
{
    if (m->min_networks == m->max_networks) snprintf(text, 32, "%d", m->min_networks);
    else if (m->max_networks >= DUET_MAX_NETWORKS) snprintf(text, 32, "%d or more", m->min_networks);
    else snprintf(text, 32, "%d to %d", m->min_networks, m->max_networks);
}

static int print_one(const char *name)
{
    duet_method m;
    duet_error err;
    char networks[32];
    if (duet_method_find(name, &m, &err)) return cli_fail(&err);
    count_of_networks(&m, networks);
    printf("%s%s%s%s, %s networks\n\n", cli_on(stdout, CLI_BOLD), m.name, cli_off(stdout), m.companion ? ", added to any method" : "", networks);
    cli_print_folded(stdout, 0, m.help);
    if (m.source) {
        printf("\n%s", cli_on(stdout, CLI_DIM));
        cli_print_folded(stdout, 0, m.source);
        printf("%s", cli_off(stdout));
    }
    print_options(&m);
    print_example(&m);
    return CLI_DONE;
}

static int run(const cli_arguments *a)
{
    if (a->n_positional) return print_one(a->positional[0]);
    duet_method m;
    cli_heading("Methods");
    for (size_t i = 0; duet_method_at(i, &m); i++) {
        char networks[32], text[600];
        if (m.companion) cli_heading("\nAdded to any of them");
        count_of_networks(&m, networks);
        snprintf(text, sizeof text, "%s (%s networks)", m.help, networks);
        cli_print_entry(m.name, 12, text);
    }
    printf("\n%sOptions of one: duet methods NAME%s\n", cli_on(stdout, CLI_DIM), cli_off(stdout));
    return CLI_DONE;
}

const cli_command cli_methods = {
    .name = "methods",
    .summary = "list the distillation methods, or one with its options",
    .usage = "methods [NAME]",
    .text = "Lists how networks may learn from each other while they train: the values of method.name in a recipe, and the companion adm. "
            "With a name: where the method comes from, every option with its default, and the line for a recipe.",
    .example = "duet methods\nduet methods kdcl",
    .most = 1,
    .run = run,
};
