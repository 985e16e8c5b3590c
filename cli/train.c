/* duet train: a recipe, trained; with a folder for what comes of it. */
#include "view.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"--set", "key=value", "change one key of the recipe (train.epochs=20, networks.student.model=resnet14); may be repeated"},
    {"--out", "DIR", "the folder of the run; left out: runs/ and the recipe's name"},
    {"--resume", NULL, "go on from the checkpoint in the folder; where there is none, start"},
    {"--max-steps", "N", "stop after N steps of the whole run, with a checkpoint"},
    {"--quiet", NULL, "print nothing but errors"},
    {0},
};

/* ---- Ctrl-C and SIGTERM -------------------------------------------------------------------------------------- */

/* The run that a signal stops. A signal handler can be told nothing but through a variable like this one. */
static duet_run *volatile running;

/* The first signal asks the run to stop after its step; the second finds the default action and kills. */
static void on_signal(int number)
{
    static const char text[] = "\nstopping after this step and a checkpoint; once more to kill\n";
    (void)number;
    if (running) duet_run_stop(running);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return; /* nobody to tell */
}

static void catch_signals(duet_run *run)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    running = run;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void release_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    running = NULL;
}

/* ---- what is said before and after --------------------------------------------------------------------------- */

static void print_head(const duet_recipe *recipe, const char *out)
{
    const char *bold = cli_on(stdout, CLI_BOLD), *dim = cli_on(stdout, CLI_DIM), *off = cli_off(stdout);
    printf("%s%s%s%s on %s: ", bold, duet_recipe_method(recipe), duet_recipe_has_adm(recipe) ? " + adm" : "", off, duet_recipe_data_name(recipe));
    for (size_t i = 0; i < duet_recipe_networks(recipe); i++)
        printf("%s%s %s(%s)%s", i ? ", " : "", duet_recipe_network_name(recipe, i), dim, duet_recipe_network_model(recipe, i), off);
    printf("\n%sfiles go to %s%s\n", dim, out, off);
    fflush(stdout);
}

/* The same command again, with --resume. */
static void print_resume(const cli_arguments *a, const char *out)
{
    const char *overrides[CLI_MOST_ARGUMENTS];
    const size_t n = cli_values(a, "--set", overrides);
    printf("duet train ");
    cli_print_word(stdout, a->positional[0]);
    for (size_t i = 0; i < n; i++) {
        printf(" --set ");
        cli_print_word(stdout, overrides[i]);
    }
    printf(" --out ");
    cli_print_word(stdout, out);
    printf(" --resume");
}

/* The network people train for: the last student, else the last of all. */
static const char *main_network(const duet_recipe *recipe)
{
    const size_t n = duet_recipe_networks(recipe);
    for (size_t i = n; i > 0; i--)
        if (!strcmp(duet_recipe_network_role(recipe, i - 1), "student")) return duet_recipe_network_name(recipe, i - 1);
    return duet_recipe_network_name(recipe, n - 1);
}

static void print_eval(const duet_recipe *recipe, const char *out)
{
    const char *path = duet_recipe_data_path(recipe);
    char weights[4096];
    snprintf(weights, sizeof weights, "%s/%s.best.safetensors", out, main_network(recipe));
    printf("duet eval ");
    cli_print_word(stdout, weights);
    printf(" --data %s", duet_recipe_data_name(recipe));
    if (!path) return;
    printf(" --path ");
    cli_print_word(stdout, path);
}

static void print_tail(const cli_arguments *a, const duet_recipe *recipe, const char *out, const duet_run_result *r)
{
    const char *bold = cli_on(stdout, CLI_BOLD), *off = cli_off(stdout);
    char steps[32];
    cli_view_result(r);
    printf("\n%s%s after %s steps", r->finished ? "Finished" : "Stopped", r->finished ? "" : " early", cli_thousands((uint64_t)r->steps_done, steps));
    if (r->images_per_s > 0) printf(", %.*f images/s", cli_rate_digits(r->images_per_s), r->images_per_s);
    printf(". Weights, log and metrics are in %s\n%sNext:%s ", out, bold, off);
    if (r->finished) print_eval(recipe, out);
    else print_resume(a, out);
    printf("\n");
}

/* ---- the command --------------------------------------------------------------------------------------------- */

/* runs/NAME for any/folder/NAME.yaml */
static const char *run_folder(const cli_arguments *a, char text[4096])
{
    const char *recipe = a->positional[0], *slash = strrchr(recipe, '/'), *given = cli_value(a, "--out", NULL);
    const char *name = slash ? slash + 1 : recipe, *dot = strrchr(name, '.');
    if (given) return given;
    snprintf(text, 4096, "runs/%.*s", dot && dot != name ? (int)(dot - name) : (int)strlen(name), name);
    return text;
}

static int train(const cli_arguments *a, const duet_recipe *recipe, const duet_run_options *o, cli_view *view)
{
    duet_run *run;
    duet_error err = {0};
    if (duet_run_create(recipe, o, &run, &err)) return cli_fail(&err);
    catch_signals(run);
    const duet_status st = duet_run_train(run, &err);
    release_signals();
    cli_view_clear(view);
    if (!view->quiet && (!st || st == DUET_STOPPED)) {
        duet_run_result result;
        duet_run_result_of(run, &result);
        print_tail(a, recipe, o->out, &result);
    }
    duet_run_destroy(run);
    return st ? cli_fail(&err) : CLI_DONE;
}

static int run(const cli_arguments *a)
{
    const char *overrides[CLI_MOST_ARGUMENTS];
    const size_t n = cli_values(a, "--set", overrides);
    char folder[4096];
    cli_view view;
    duet_run_options o = {.out = run_folder(a, folder), .resume = cli_given(a, "--resume")};
    if (!cli_whole(a, "--max-steps", 1, INT64_MAX, 0, &o.max_steps)) return CLI_WRONG;

    duet_recipe *recipe;
    duet_error err = {0};
    if (duet_recipe_load(a->positional[0], overrides, n, &recipe, &err)) return cli_fail(&err);
    const char *path = cli_data_path(duet_recipe_data_name(recipe), duet_recipe_data_path(recipe));
    if (path && duet_recipe_set_data_path(recipe, path, &err)) {
        duet_recipe_destroy(recipe);
        return cli_fail(&err);
    }
    cli_view_open(&view, cli_given(a, "--quiet"));
    o.observer = cli_view_observer(&view);
    if (!view.quiet) print_head(recipe, o.out);
    const int code = train(a, recipe, &o, &view);
    duet_recipe_destroy(recipe);
    return code;
}

const cli_command cli_train = {
    .name = "train",
    .summary = "train the networks of a recipe together",
    .usage = "train RECIPE [--set key=value]... [--out DIR] [--resume] [--max-steps N] [--quiet]",
    .text = "Trains every network of a recipe at once. The run's folder gets the weights of each network (last and best, as safetensors that PyTorch "
            "loads), a log, a table of metrics, and all that is needed to go on.\n\n"
            "Ctrl-C or SIGTERM stops after the step under way, with a checkpoint; a second one kills. Either way at most the steps since the last "
            "checkpoint are repeated by --resume, bit for bit.",
    .example = "duet train recipes/demo.yaml\nduet train recipes/demo.yaml --set train.epochs=8 --set adm=off --out runs/without-adm",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
