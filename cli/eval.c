/* duet eval: a weights file, measured on a data set. */
#include "cli.h"

#include <duet/network.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const cli_option options[] = {
    {"--data", "NAME", "the data set; left out: the one that the file says it was trained on"},
    {"--path", "P", "where its files are; left out: $DUET_DATA/NAME"},
    {"--split", "NAME", "test (the default) or train"},
    {"--model", "NAME", "the model, for a file that does not say it"},
    {"--classes", "N", "the number of classes, for a file that does not say it"},
    {"--noise", "NAME", "of a network that denoises: how noise grew in training, for a file that does not say it: linear or cosine"},
    {"--timesteps", "T", "the same: over how many steps (1000)"},
    {"--threads", "N", "cores to use (all)"},
    {"--logits", "FILE", "write the outputs before the softmax: float32, little-endian, a row for each picture"},
    {"--skip", NULL, "leave out pictures that cannot be read, as training does with data.on_error: skip, and say how many they are"},
    {"--json", NULL, "one JSON object instead of a table"},
    {0},
};

/* Everything between the command line and the printed result. */
typedef struct evaluation {
    const char *weights, *logits_path;
    duet_network *network;
    duet_data *data;
    duet_split split;
    bool skip, json;
    duet_network_info network_info;
    duet_data_info data_info;
    size_t images;
    duet_measures measures;
    double *per_class; /* [classes], or NULL: of no use here */
    double seconds;
} evaluation;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A file that could not be written completely does not stay. */
static bool write_logits(const char *path, const float *logits, size_t n)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(logits, sizeof *logits, n, f) == n;
    if (f && fclose(f)) ok = false;
    if (ok) return true;
    cli_complain("%s: cannot write it: %s", path, strerror(errno));
    if (f) remove(path);
    return false;
}

static int measure(evaluation *e, duet_error *err)
{
    float *logits = NULL;
    const size_t n = e->images * e->network_info.classes;
    if (e->logits_path && !(logits = calloc(n ? n : 1, sizeof *logits))) {
        cli_complain("not enough memory for the outputs of %zu pictures", e->images);
        return CLI_FAILED;
    }
    if (e->network_info.pixel_classes && !logits && !(e->per_class = calloc(e->network_info.classes, sizeof *e->per_class))) {
        cli_complain("not enough memory for the measures of %zu classes", e->network_info.classes);
        return CLI_FAILED;
    }
    const double began = now_s();
    const duet_status st = e->per_class ? duet_network_evaluate_classes(e->network, e->data, e->split, e->per_class, &e->measures, err)
                                        : duet_network_evaluate(e->network, e->data, e->split, logits, &e->measures, err);
    e->seconds = now_s() - began;
    int code = st ? cli_fail(err) : CLI_DONE;
    if (!code && logits && !write_logits(e->logits_path, logits, n)) code = CLI_FAILED;
    free(logits);
    return code;
}

/* ---- what is printed ---------------------------------------------------------------------------------------- */

static const char *class_name(const evaluation *e, size_t i)
{
    static char number[24];
    const char *const *names = e->data_info.class_names;
    if (names) return names[i];
    snprintf(number, sizeof number, "%zu", i);
    return number;
}

static void print_json(const evaluation *e)
{
    const duet_measures *m = &e->measures;
    printf("{\"weights\": ");
    cli_json_string(stdout, e->weights);
    printf(", \"model\": ");
    cli_json_string(stdout, e->network_info.model);
    printf(", \"epoch\": %lld, \"data\": ", (long long)e->network_info.epoch);
    cli_json_string(stdout, e->data_info.name);
    printf(", \"split\": \"%s\", \"images\": %zu", e->split == DUET_SPLIT_TEST ? "test" : "train", e->images);
    if (e->skip) printf(", \"left_out\": %zu, \"skipped\": %zu", e->data_info.left_out[e->split], e->measures.skipped);
    for (size_t i = 0; i < m->n; i++) {
        printf(", \"%s\": ", m->at[i].name);
        if (isfinite(m->at[i].value)) printf("%.10g", m->at[i].value);
        else printf("null");
    }
    if (e->per_class) {
        printf(", \"iou\": [");
        for (size_t i = 0; i < e->data_info.classes; i++) {
            printf(i ? ", {\"class\": " : "{\"class\": ");
            cli_json_string(stdout, class_name(e, i));
            printf(", \"iou\": ");
            if (isfinite(e->per_class[i])) printf("%.10g}", e->per_class[i]);
            else printf("null}");
        }
        printf("]");
    }
    printf(", \"seconds\": %.3f, \"images_per_s\": %.1f}\n", e->seconds, (double)e->images / e->seconds);
}

/* A line for each class, with a bar, so that weak ones are seen at a glance. */
static void print_classes(const evaluation *e)
{
    enum { CELLS = 20 };
    const char *dim = cli_on(stdout, CLI_DIM), *off = cli_off(stdout);
    cli_heading("\nIntersection over union of each class, percent");
    for (size_t i = 0; i < e->data_info.classes; i++) {
        const double iou = e->per_class[i];
        const int full = isfinite(iou) ? (int)(iou / 100 * CELLS + 0.5) : 0;
        if (!isfinite(iou)) {
            printf("  %-14s %s%10s   neither in the masks nor in the answers%s\n", class_name(e, i), dim, "absent", off);
            continue;
        }
        printf("  %-14s %10.2f   %s", class_name(e, i), iou, dim);
        for (int k = 0; k < CELLS; k++) fputs(k < full ? (cli_unicode() ? "\u2501" : "=") : cli_unicode() ? "\u2500" : ".", stdout);
        printf("%s\n", off);
    }
}

static void print_table(const evaluation *e)
{
    const duet_measures *m = &e->measures;
    const char *bold = cli_on(stdout, CLI_BOLD), *dim = cli_on(stdout, CLI_DIM), *off = cli_off(stdout);
    char images[32];
    printf("%s%s%s", bold, e->weights, off);
    printf("  %s%s", dim, e->network_info.model);
    if (e->network_info.epoch >= 0) printf(", epoch %lld", (long long)e->network_info.epoch);
    printf("%s\n%s %s set, %s pictures in %.1f s\n\n", off, e->data_info.name, e->split == DUET_SPLIT_TEST ? "test" : "training",
           cli_thousands(e->images, images), e->seconds);
    for (size_t i = 0; i < m->n; i++) {
        const duet_measure *x = &m->at[i];
        printf("  %s%-14s%s %s%10.*f%s   %s%s%s\n", i ? "" : bold, x->title, i ? "" : off, i ? "" : bold, x->digits, x->value, i ? "" : off, dim,
               x->help, off);
    }
    if (e->per_class) print_classes(e);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static bool split_of(const cli_arguments *a, duet_split *out)
{
    const char *name = cli_value(a, "--split", "test");
    *out = strcmp(name, "train") ? DUET_SPLIT_TEST : DUET_SPLIT_TRAIN;
    if (!strcmp(name, "train") || !strcmp(name, "test")) return true;
    cli_complain("eval: --split: found '%s'; allowed: test or train", name);
    return false;
}

static int open_network(evaluation *e, const cli_arguments *a, duet_error *err)
{
    int64_t threads, classes, timesteps;
    if (!cli_whole(a, "--threads", 0, 4096, 0, &threads) || !cli_whole(a, "--classes", 2, 1000000, 0, &classes) ||
        !cli_whole(a, "--timesteps", 2, 100000, 0, &timesteps))
        return CLI_WRONG;
    const duet_network_options o = {.model = cli_value(a, "--model", NULL), .threads = (int)threads, .classes = (size_t)classes,
                                    .noise = cli_value(a, "--noise", NULL), .timesteps = timesteps};
    if (duet_network_open(e->weights, &o, &e->network, err)) return cli_fail(err);
    duet_network_describe(e->network, &e->network_info);
    return CLI_DONE;
}

static void on_log(void *user, const char *text)
{
    (void)user;
    cli_print_folded(stdout, 0, text);
}

static int open_data(evaluation *e, const cli_arguments *a, duet_error *err)
{
    static const duet_log said = {.emit = on_log};
    const char *name = cli_value(a, "--data", e->network_info.data);
    if (!*name) {
        cli_complain("eval: %s does not say what it was trained on; name the data set: --data NAME", e->weights);
        return CLI_WRONG;
    }
    const duet_data_options o = {.skip = e->skip, .log = e->skip && !e->json ? &said : NULL};
    if (duet_data_open_as(name, cli_data_path(name, cli_value(a, "--path", NULL)), &o, &e->data, err)) return cli_fail(err);
    duet_data_describe(e->data, &e->data_info);
    e->images = e->split == DUET_SPLIT_TEST ? e->data_info.test_images : e->data_info.train_images;
    return CLI_DONE;
}

static int run(const cli_arguments *a)
{
    evaluation e = {.weights = a->positional[0], .logits_path = cli_value(a, "--logits", NULL), .skip = cli_given(a, "--skip"),
                    .json = cli_given(a, "--json")};
    duet_error err = {0};
    if (!split_of(a, &e.split)) return CLI_WRONG;
    int code = open_network(&e, a, &err);
    if (!code) code = open_data(&e, a, &err);
    if (!code) code = measure(&e, &err);
    if (!code && e.json) print_json(&e);
    else if (!code) print_table(&e);
    free(e.per_class);
    duet_network_close(e.network);
    duet_data_close(e.data);
    return code;
}

const cli_command cli_eval = {
    .name = "eval",
    .summary = "measure a weights file on a data set",
    .usage = "eval WEIGHTS [--data NAME] [--path P] [--json]",
    .text = "Measures a network on the test set of a data set. Classifiers: top-1 and top-5 accuracy, cross-entropy in nats, and the expected "
            "calibration error (15 bins of confidence). Segmentation: mean intersection over union, that of each class, and the share of pixels that "
            "are right, each picture whole and at the size of its mask. Pictures are normalised as the weights file says they were in training.",
    .example = "duet eval runs/demo/student.best.safetensors --data shapes\nduet eval student.safetensors --data cifar100 --path ~/cifar-100-binary --json",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
