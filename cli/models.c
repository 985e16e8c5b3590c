/* duet models: the networks there are, and what each costs. */
#include "cli.h"

#include <duet/network.h>
#include <string.h>

static const cli_option options[] = {
    {"--classes", "N", "count the classifier for so many classes (100)"},
    {"--json", NULL, "a list of objects with name, family, parameters, buffers, macs and taps"},
    {0},
};

static void print_json(const duet_model *m, bool first)
{
    printf("%s\n  {\"name\": ", first ? "[" : ",");
    cli_json_string(stdout, m->name);
    printf(", \"family\": ");
    cli_json_string(stdout, m->family);
    printf(", \"parameters\": %zu, \"buffers\": %zu, \"macs\": %.0f, \"image\": %zu, \"taps\": {", m->parameters, m->buffers, m->macs, m->image);
    for (size_t t = 0; t < m->n_taps; t++) {
        printf("%s", t ? ", " : "");
        cli_json_string(stdout, m->taps[t].name);
        printf(": [%zu, %zu, %zu]", m->taps[t].channels, m->taps[t].height, m->taps[t].width);
    }
    printf("}}");
}

static void print_row(const duet_model *m)
{
    char parameters[32], buffers[32];
    printf("%s%-12s%s %12s %9s %9.1f M", cli_on(stdout, CLI_NAME), m->name, cli_off(stdout), cli_thousands(m->parameters, parameters),
           cli_thousands(m->buffers, buffers), m->macs / 1e6);
    for (size_t t = 0; t < m->n_taps; t++) {
        if (strcmp(m->taps[t].name, "features") != 0) continue;
        printf("   %zux%zux%zu", m->taps[t].channels, m->taps[t].height, m->taps[t].width);
    }
    printf("\n");
}

static void print_head(void)
{
    printf("%s%-12s %12s %9s %11s   %s%s\n", cli_on(stdout, CLI_BOLD), "model", "parameters", "buffers", "MACs", "features", cli_off(stdout));
}

static void print_foot(int64_t classes)
{
    char text[400];
    snprintf(text, sizeof text,
             "For 32x32 pictures and %lld classes. MACs: multiply-adds for one picture, forward; a training step takes about three times as many. "
             "Features: channels x height x width of the map that enters global pooling. All maps: duet models --json.",
             (long long)classes);
    printf("\n%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 0, text);
    printf("%s", cli_off(stdout));
}

static int run(const cli_arguments *a)
{
    const bool json = cli_given(a, "--json");
    int64_t classes;
    if (!cli_whole(a, "--classes", 1, 1000000, 100, &classes)) return CLI_WRONG;
    if (!json) print_head();
    for (size_t i = 0; i < duet_model_count(); i++) {
        duet_model m;
        duet_error err;
        if (duet_model_at(i, (size_t)classes, &m, &err)) return cli_fail(&err);
        if (json) print_json(&m, i == 0);
        else print_row(&m);
    }
    if (json) printf("\n]\n");
    else print_foot(classes);
    return CLI_DONE;
}

const cli_command cli_models = {
    .name = "models",
    .summary = "list the networks and what each costs",
    .usage = "models [--classes N] [--json]",
    .text = "Lists every network that a recipe may name (networks[].model), with its parameters, running statistics and multiply-adds.",
    .example = "duet models\nduet models --json",
    .options = options,
    .run = run,
};
