/* duet plan: a recipe's step as it will run, without running it. */
#include "cli.h"

#include <duet/run.h>

static const cli_option options[] = {
    {"--set", "key=value", "change one key of the recipe; may be repeated"},
    {"--profile", "N", "also run the step N times and show where the time goes"},
    {"--resolved", NULL, "print the recipe with every default written out instead"},
    {0},
};

static int print_text(duet_status st, char *text, const duet_error *err)
{
    if (st) return cli_fail(err);
    fputs(text, stdout);
    duet_text_free(text);
    return CLI_DONE;
}

static int run(const cli_arguments *a)
{
    const char *overrides[CLI_MOST_ARGUMENTS];
    const size_t n = cli_values(a, "--set", overrides);
    int64_t profile;
    if (!cli_whole(a, "--profile", 1, 100000, 0, &profile)) return CLI_WRONG;

    duet_recipe *recipe;
    duet_error err = {0};
    if (duet_recipe_load(a->positional[0], overrides, n, &recipe, &err)) return cli_fail(&err);
    const char *path = cli_data_path(duet_recipe_data_name(recipe), duet_recipe_data_path(recipe));
    char *text = NULL;
    duet_status st = path ? duet_recipe_set_data_path(recipe, path, &err) : DUET_OK;
    if (!st) st = cli_given(a, "--resolved") ? duet_recipe_resolved(recipe, &text, &err) : duet_plan(recipe, NULL, (int)profile, &text, &err);
    duet_recipe_destroy(recipe);
    return print_text(st, text, &err);
}

const cli_command cli_plan = {
    .name = "plan",
    .summary = "show the compiled step of a recipe: kernels, bytes, fusion",
    .usage = "plan RECIPE [--set key=value]... [--profile N] [--resolved]",
    .text = "Compiles one training step of a recipe and prints it: every kernel in its order with its shape, the bytes it must move and the "
            "implementation it got; what was fused; how much memory the step takes. A convolution that runs on a slow reference "
            "implementation is marked SLOW.\n\n"
            "Data files are not needed for the data sets whose sizes are known.",
    .example = "duet plan recipes/demo.yaml\nduet plan recipes/demo.yaml --set train.batch=128 --profile 5",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
