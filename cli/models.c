/* duet models: the networks there are, and what each costs. */
#include "cli.h"

#include <duet/network.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"--classes", "N", "count every classifier for so many classes (as many as the data it is made for)"},
    {"--describe", "MODEL", "one network layer by layer: a name, or the file of a description"},
    {"--json", NULL, "a list of objects with name, family, task, parameters, buffers, macs, picture, classes and taps"},
    {0},
};

static void print_json(const duet_model *m, bool first)
{
    printf("%s\n  {\"name\": ", first ? "[" : ",");
    cli_json_string(stdout, m->name);
    printf(", \"family\": ");
    cli_json_string(stdout, m->family);
    printf(", \"task\": ");
    cli_json_string(stdout, m->task);
    printf(", \"parameters\": %zu, \"buffers\": %zu, \"macs\": %.0f, \"image\": %zu, \"image_width\": %zu, \"classes\": ", m->parameters, m->buffers,
           m->macs, m->image, m->image_width);
    if (m->classes) printf("%zu", m->classes);
    else printf("null");
    printf(", \"taps\": {");
    for (size_t t = 0; t < m->n_taps; t++) {
        printf("%s", t ? ", " : "");
        cli_json_string(stdout, m->taps[t].name);
        printf(": [%zu, %zu, %zu]", m->taps[t].channels, m->taps[t].height, m->taps[t].width);
    }
    printf("}}");
}

/* "40.8 M"; the networks for large pictures in thousands of that. */
static void print_macs(double macs)
{
    const bool large = macs >= 1e10;
    printf("%9.1f %c", macs / (large ? 1e9 : 1e6), large ? 'G' : 'M');
}

static void print_row(const duet_model *m)
{
    char parameters[32], buffers[32];
    printf("%s%-24s%s %12s %9s ", cli_on(stdout, CLI_NAME), m->name, cli_off(stdout), cli_thousands(m->parameters, parameters),
           cli_thousands(m->buffers, buffers));
    print_macs(m->macs);
    for (size_t t = 0; t < m->n_taps; t++) {
        if (strcmp(m->taps[t].name, "features") != 0) continue;
        printf("   %zux%zux%zu", m->taps[t].channels, m->taps[t].height, m->taps[t].width);
    }
    printf("\n");
}

static void print_head(void)
{
    printf("%s%-24s %12s %9s %11s   %s%s\n", cli_on(stdout, CLI_DIM), "", "parameters", "buffers", "MACs", "features", cli_off(stdout));
}

static bool of_one_group(const duet_model *a, const duet_model *b)
{
    return !strcmp(a->task, b->task) && a->image == b->image && a->image_width == b->image_width && a->classes == b->classes;
}

/* Networks for the same task, picture and classes stand together, wherever in the list they are. */
static void print_group(const duet_model *all, size_t n, size_t first)
{
    char title[120];
    const duet_model *m = &all[first];
    for (size_t i = 0; i < first; i++)
        if (of_one_group(&all[i], m)) return; /* printed with that one */
    const int used = snprintf(title, sizeof title, "%s, pictures of %zux%zu", m->task, m->image, m->image_width);
    if (m->classes) snprintf(title + used, sizeof title - (size_t)used, ", %zu classes", m->classes);
    if (first) printf("\n");
    cli_heading(title);
    for (size_t i = first; i < n; i++)
        if (of_one_group(&all[i], m)) print_row(&all[i]);
}

static void print_foot(void)
{
    static const char text[] =
        "MACs: multiply-adds for one such picture, forward; a training step takes about three times as many. Features: channels x height x "
        "width of the map that the last layer (a classifier of pictures: global pooling) reads. Auxiliary heads are counted in. All maps: duet "
        "models --json.";
    printf("\n%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 0, text);
    printf("%s", cli_off(stdout));
}

static int describe(const char *model, size_t classes)
{
    char *text;
    duet_error err;
    if (duet_model_describe(model, classes, &text, &err)) return cli_fail(&err);
    fputs(text, stdout);
    duet_text_free(text);
    return CLI_DONE;
}

static int run(const cli_arguments *a)
{
    const bool json = cli_given(a, "--json");
    const char *one = cli_value(a, "--describe", NULL);
    int64_t classes;
    if (!cli_whole(a, "--classes", 1, 1000000, 0, &classes)) return CLI_WRONG;
    if (one) return describe(one, (size_t)classes);
    const size_t n = duet_model_count();
    duet_model *all = calloc(n, sizeof *all);
    duet_error err = {.status = DUET_MEMORY, .message = "not enough memory for the list of models"};
    duet_status st = all ? DUET_OK : DUET_MEMORY;
    for (size_t i = 0; i < n && !st; i++) st = duet_model_at(i, (size_t)classes, &all[i], &err);
    if (!st && !json) print_head();
    for (size_t i = 0; i < n && !st; i++) {
        if (json) print_json(&all[i], i == 0);
        else print_group(all, n, i);
    }
    free(all);
    if (st) return cli_fail(&err);
    if (json) printf("\n]\n");
    else print_foot();
    return CLI_DONE;
}

const cli_command cli_models = {
    .name = "models",
    .summary = "list the networks and what each costs",
    .usage = "models [--classes N] [--describe MODEL] [--json]",
    .text = "Lists every network that a recipe may name (networks[].model), with its task, its parameters, running statistics and multiply-adds.\n\n"
            "--describe shows one of them layer by layer, or a network that a file describes (networks[].model: mine.yaml).",
    .example = "duet models\nduet models --describe resnet20\nduet models --json",
    .options = options,
    .run = run,
};
