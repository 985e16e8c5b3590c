/* duet bench: how fast a training step is, without data, files or evaluation. */
#include "cli.h"

#include <duet/run.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"--networks", "A,B", "models, the first as teacher, the others as students (resnet56,resnet20)"},
    {"--method", "NAME", "the method (dml)"},
    {"--adm", "[=FORM]", "add adm; FORM is CONSENSUS-DIVERGENCE (align-modulate)"},
    {"--batch", "N", "pictures in a step (64)"},
    {"--classes", "N", "of pictures, or of pixels (100)"},
    {"--precision", "NAME", "f32 (the default) or bf16"},
    {"--threads", "N", "cores to use (all)"},
    {"--device", "NAME", "cpu (the default) or reference"},
    {"--steps", "N", "steps to measure, at most (50)"},
    {"--warmup", "N", "steps before those (3)"},
    {"--max-seconds", "N", "measure no longer than this, but at least five steps (30)"},
    {"--set", "key=value", "change another key of the step's recipe; may be repeated"},
    {"--profile", "N", "also show where the time of N steps goes"},
    {"--json", NULL, "one JSON object instead of a table"},
    {0},
};

enum { MOST_NETWORKS = DUET_MAX_NETWORKS, RECIPE_BYTES = 4096 };

/* What is measured, as the command line says it. */
typedef struct subject {
    char models[512];              /* cut at its commas */
    const char *model[MOST_NETWORKS];
    size_t n;
    const char *method, *precision, *device;
    char adm[32];                  /* "align-modulate"; "": off */
    int64_t batch, threads;
} subject;

/* ---- the recipe of the step --------------------------------------------------------------------------------- */

/* A word that goes into the recipe as it is. */
static bool is_name(const char *word)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return *word && strspn(word, allowed) == strlen(word);
}

static bool check_name(const char *option, const char *word)
{
    if (is_name(word)) return true;
    cli_complain("bench: %s: found '%s'; allowed: letters, digits, '_' and '-'", option, word);
    return false;
}

static bool cut_models(subject *s, const char *text)
{
    if ((size_t)snprintf(s->models, sizeof s->models, "%s", text) >= sizeof s->models) {
        cli_complain("bench: --networks: too long");
        return false;
    }
    for (char *at = s->models; at;) {
        char *comma = strchr(at, ',');
        if (comma) *comma = '\0';
        if (s->n == MOST_NETWORKS) {
            cli_complain("bench: --networks: at most %d networks", MOST_NETWORKS);
            return false;
        }
        if (!check_name("--networks", at)) return false;
        s->model[s->n++] = at;
        at = comma ? comma + 1 : NULL;
    }
    return true;
}

static bool read_adm(subject *s, const cli_arguments *a)
{
    if (!cli_given(a, "--adm")) return true;
    const char *form = cli_value(a, "--adm", "align-modulate"), *dash = strchr(form, '-');
    if (dash && is_name(form) && strlen(form) < sizeof s->adm) {
        strcpy(s->adm, form);
        return true;
    }
    cli_complain("bench: --adm: found '%s'; allowed: CONSENSUS-DIVERGENCE, for example --adm=align-modulate", form);
    return false;
}

static bool read_subject(subject *s, const cli_arguments *a)
{
    s->method = cli_value(a, "--method", "dml");
    s->precision = cli_value(a, "--precision", "f32");
    s->device = cli_value(a, "--device", "cpu");
    return cut_models(s, cli_value(a, "--networks", "resnet56,resnet20")) && check_name("--method", s->method) &&
           check_name("--precision", s->precision) && check_name("--device", s->device) && read_adm(s, a) &&
           cli_whole(a, "--batch", 1, 1000000, 64, &s->batch) && cli_whole(a, "--threads", 0, 4096, 0, &s->threads);
}

/* Appends to text, which never fills up: every part has a bounded length. */
static void add(char text[RECIPE_BYTES], const char *format, ...) CLI_PRINTF(2, 3);
static void add(char text[RECIPE_BYTES], const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, RECIPE_BYTES - used, format, args);
    va_end(args);
}

/* The first network is the teacher; a method that knows no roles does not mind. */
static void write_recipe(const subject *s, char text[RECIPE_BYTES])
{
    text[0] = '\0';
    add(text, "data: {name: shapes}\nnetworks:\n");
    for (size_t i = 0; i < s->n; i++) {
        char name[32];
        if (i < 2) snprintf(name, sizeof name, "%s", i ? "student" : "teacher");
        else snprintf(name, sizeof name, "student%zu", i);
        add(text, "  - {name: %s, model: %s, role: %s}\n", name, s->model[i], i ? "student" : "teacher");
    }
    add(text, "method: {name: %s}\n", s->method);
    if (*s->adm) {
        const int cut = (int)strcspn(s->adm, "-");
        add(text, "adm: {consensus: %.*s, divergence: %s}\n", cut, s->adm, s->adm + cut + 1);
    }
    add(text, "train: {epochs: 1, batch: %lld, lr: 0.05}\n", (long long)s->batch);
    add(text, "device: {name: %s, threads: %lld, precision: %s}\n", s->device, (long long)s->threads, s->precision);
}

/* ---- what is printed ---------------------------------------------------------------------------------------- */

static void print_field(const char *key, const char *value)
{
    cli_json_string(stdout, key);
    printf(": ");
    cli_json_string(stdout, value);
    printf(", ");
}

static void print_json(const subject *s, const duet_bench_result *r)
{
    double load = 0;
    if (getloadavg(&load, 1) != 1) load = 0;
    printf("{");
    print_field("teacher", s->model[0]);
    print_field("student", s->n > 1 ? s->model[1] : "none");
    printf("\"networks\": [");
    for (size_t i = 0; i < s->n; i++) {
        printf("%s", i ? ", " : "");
        cli_json_string(stdout, s->model[i]);
    }
    printf("], ");
    print_field("method", s->method);
    if (*s->adm) print_field("adm", s->adm);
    else printf("\"adm\": null, ");
    print_field("precision", s->precision);
    printf("\"layout\": \"nhwc\", \"batch\": %zu, \"threads\": %d, \"steps\": %lld, ", r->batch, r->threads, (long long)r->steps);
    printf("\"images_per_s\": %.2f, \"ms_per_step\": %.3f, \"ms_min\": %.3f, \"ms_p90\": %.3f, ", r->images_per_s, r->ms_median, r->ms_min, r->ms_p90);
    printf("\"first_step_s\": %.3f, \"first_loss\": %.4f, \"peak_rss_mib\": %.1f, ", r->first_step_s, r->first_loss, r->peak_rss_mib);
    print_field("duet", duet_version());
    print_field("device", r->device);
    printf("\"load1\": %.2f}\n", load);
}

static void print_row(const char *what, const char *format, ...) CLI_PRINTF(2, 3);
static void print_row(const char *what, const char *format, ...)
{
    va_list args;
    printf("  %s%-16s%s", cli_on(stdout, CLI_DIM), what, cli_off(stdout));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static void print_table(const subject *s, const duet_bench_result *r)
{
    printf("%s", cli_on(stdout, CLI_BOLD));
    for (size_t i = 0; i < s->n; i++) printf("%s%s", i ? " + " : "", s->model[i]);
    printf("%s, %s%s%s, batch %zu, %s\n", cli_off(stdout), s->method, *s->adm ? " + adm " : "", s->adm, r->batch, s->precision);
    printf("%s\n\n", r->device);
    print_row("images/s", "%s%.1f%s", cli_on(stdout, CLI_BOLD), r->images_per_s, cli_off(stdout));
    print_row("ms per step", "%.2f median of %lld, %.2f least, %.2f at the 90th percentile", r->ms_median, (long long)r->steps, r->ms_min, r->ms_p90);
    print_row("first step", "%.3f s, loss %.4f", r->first_step_s, r->first_loss);
    print_row("memory", "%.0f MiB at most", r->peak_rss_mib);
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static int measure(const subject *s, const cli_arguments *a, const duet_bench_options *o)
{
    char text[RECIPE_BYTES];
    const char *overrides[CLI_MOST_ARGUMENTS];
    const size_t n = cli_values(a, "--set", overrides);
    duet_recipe *recipe;
    duet_bench_result r;
    duet_error err;
    write_recipe(s, text);
    if (duet_recipe_parse("bench", text, strlen(text), overrides, n, &recipe, &err)) return cli_fail(&err);
    const duet_status st = duet_bench_step(recipe, o, &r, &err);
    duet_recipe_destroy(recipe);
    if (st) return cli_fail(&err);
    if (cli_given(a, "--json")) print_json(s, &r);
    else print_table(s, &r);
    if (r.profile) fprintf(cli_given(a, "--json") ? stderr : stdout, "\n%s", r.profile);
    duet_text_free(r.profile);
    return CLI_DONE;
}

static int run(const cli_arguments *a)
{
    subject s = {0};
    int64_t steps, warmup, seconds, profile, classes;
    if (strcmp(a->positional[0], "step") != 0) {
        cli_complain("bench: found '%s'; allowed: step", a->positional[0]);
        return CLI_WRONG;
    }
    if (!read_subject(&s, a) || !cli_whole(a, "--steps", 1, 1000000, 50, &steps) || !cli_whole(a, "--warmup", 1, 1000000, 3, &warmup) ||
        !cli_whole(a, "--max-seconds", 1, 1000000, 30, &seconds) || !cli_whole(a, "--profile", 1, 100000, 0, &profile) ||
        !cli_whole(a, "--classes", 2, 100000, 100, &classes))
        return CLI_WRONG;
    const duet_bench_options o = {.classes = (size_t)classes, .warmup = warmup, .steps = steps, .max_seconds = (double)seconds,
                                  .profile_runs = (int)profile};
    return measure(&s, a, &o);
}

const cli_command cli_bench = {
    .name = "bench",
    .summary = "time a training step",
    .usage = "bench step [--networks A,B] [--method NAME] [--adm] [--batch N] [--json]",
    .text = "Times one joint training step (forward and backward of every network, the method's losses, the updates) on a batch of random "
            "pictures, as large as the first network is made for, that stays in memory: no loader, no evaluation. images/s counts a picture once, "
            "although every network sees it.",
    .example = "duet bench step --networks resnet32x4,resnet8x4 --method dml --adm --batch 64 --threads 2 --json",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
