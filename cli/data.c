/* duet data: the data sets there are, and a look into one. */
#include "cli.h"

#include <duet/data.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"--path", "P", "the folder or archive with its files; left out: $DUET_DATA/NAME"},
    {"--threads", "N", "check: cores to use (all)"},
    {"--json", NULL, "check: one JSON object instead of a table"},
    {"--shard", "MB", "pack: size of a shard in millions of bytes (100)"},
    {"--skip", NULL, "pack: leave pictures out that cannot be read"},
    {0},
};

const char *cli_data_path(const char *name, const char *given)
{
    static char path[4096];
    const char *root = getenv("DUET_DATA");
    duet_data_kind kind;
    if (given) return given;
    for (size_t i = 0; duet_data_kind_at(i, &kind); i++)
        if (!strcmp(kind.name, name) && !kind.needs) return NULL;
    if (!root || !*root) return NULL;
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void on_log(void *user, const char *text)
{
    (void)user;
    printf("%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 2, text);
    printf("%s", cli_off(stdout));
}

static void print_classes(const duet_data_info *info)
{
    size_t bytes = 1;
    if (!info->class_names) return;
    for (size_t i = 0; i < info->classes; i++) bytes += strlen(info->class_names[i]) + 2;
    char *text = calloc(bytes, 1);
    if (!text) return;
    for (size_t i = 0; i < info->classes; i++) {
        strcat(text, i ? ", " : "");
        strcat(text, info->class_names[i]);
    }
    cli_heading("\nClasses");
    cli_print_folded(stdout, 2, text);
    free(text);
}

static int print_one(const char *name, const char *given)
{
    const duet_log log = {.emit = on_log};
    duet_data *data;
    duet_data_info info;
    duet_error err;
    char train[32], test[32];
    if (duet_data_open(name, cli_data_path(name, given), &log, &data, &err)) return cli_fail(&err);
    duet_data_describe(data, &info);
    printf("%s%s%s\n", cli_on(stdout, CLI_BOLD), info.name, cli_off(stdout));
    printf("  %s training and %s test pictures of %s%zux%zu pixels, %zu classes%s%s\n", cli_thousands(info.train_images, train),
           cli_thousands(info.test_images, test), info.mixed_sizes ? "up to " : "", info.height, info.width, info.classes,
           info.pixel_labels ? " of pixels" : "", info.masks ? ", with foreground masks" : "");
    printf("  normalisation: mean %.4f %.4f %.4f, std %.4f %.4f %.4f\n", (double)info.mean[0], (double)info.mean[1], (double)info.mean[2],
           (double)info.std[0], (double)info.std[1], (double)info.std[2]);
    print_classes(&info);
    duet_data_close(data);
    return CLI_DONE;
}

static void print_all(void)
{
    duet_data_kind kind;
    cli_heading("Data sets");
    for (size_t i = 0; duet_data_kind_at(i, &kind); i++) {
        char text[600];
        if (kind.needs) snprintf(text, sizeof text, "%s. Needs %s", kind.help, kind.needs);
        else snprintf(text, sizeof text, "%s", kind.help);
        cli_print_entry(kind.name, 14, text);
    }
    printf("\n%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 0, "Files are looked for at --path (data.path in a recipe), else in $DUET_DATA/NAME. Check them: duet data NAME");
    printf("%s", cli_off(stdout));
}

static int run(const cli_arguments *a)
{
    const bool check = a->n_positional && !strcmp(a->positional[0], "check"), pack = a->n_positional && !strcmp(a->positional[0], "pack");
    if (check) return cli_data_check(a);
    if (pack) return cli_data_pack(a);
    if (a->n_positional > 1) {
        cli_complain("data: found '%s' after '%s'; allowed: data NAME, data check DIR, data pack DIR OUT", a->positional[1], a->positional[0]);
        return CLI_WRONG;
    }
    if (a->n_positional) return print_one(a->positional[0], cli_value(a, "--path", NULL));
    if (cli_given(a, "--path")) {
        cli_complain("data: --path needs the name of the data set: duet data NAME --path P");
        return CLI_WRONG;
    }
    print_all();
    return CLI_DONE;
}

const cli_command cli_data = {
    .name = "data",
    .summary = "list data sets, check the pictures of one, pack them",
    .usage = "data [NAME [--path P] | check DIR|RECIPE | pack DIR OUT]",
    .text = "Lists the data sets that a recipe may name (data.name). With a name: opens it, checks sizes and records, names known files by their "
            "SHA-256, and says what is in it.\n\n"
            "`check` decodes every picture of a folder (train/CLASS/, val/CLASS/), of a folder of shards, or of a recipe's data: it counts and measures "
            "them, names those that cannot be read, and test pictures that are training pictures too. It ends with 1 if there are any.\n\n"
            "`pack` copies the pictures of such a folder into tar files for the data set `tar`.",
    .example = "duet data\nduet data cifar100 --path ~/cifar-100-binary.tar.gz\nduet data check ~/birds\nduet data pack ~/birds ~/birds-shards",
    .options = options,
    .most = 3,
    .run = run,
};
