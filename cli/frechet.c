/* duet frechet: how far two sets of pictures are apart, as a trained classifier sees them. */
#include "cli.h"

#include <duet/frechet.h>
#include <math.h>
#include <string.h>

static const cli_option options[] = {
    {"--extractor", "FILE", "weights of a classifier of pictures of this size; numbers of different extractors cannot be compared"},
    {"--n", "N", "only the first N pictures of each set, so that both have equally many"},
    {"--path", "P", "where the files of a data set are; left out: $DUET_DATA/NAME"},
    {"--threads", "N", "cores to use (all)"},
    {"--json", NULL, "one JSON object instead of text"},
    {0},
};

enum { SETS = 2 };

typedef struct comparison {
    const char *name[SETS];
    duet_extractor *extractor;
    duet_features *features[SETS];
    duet_features_options o;
    duet_frechet result;
} comparison;

static int on_progress(void *user, size_t done, size_t all)
{
    cli_progress_draw(user, done, all);
    return 0;
}

/* ---- the two sets -------------------------------------------------------------------------------------------- */

/* "shapes-plain:train" is a data set, whose name goes to `name`; anything else is a folder. */
static bool is_data(const char *text, char name[64], duet_split *split)
{
    const char *colon = strrchr(text, ':');
    const bool train = colon && !strcmp(colon, ":train"), test = colon && !strcmp(colon, ":test");
    if ((!train && !test) || (size_t)(colon - text) >= 64) return false;
    snprintf(name, 64, "%.*s", (int)(colon - text), text);
    *split = train ? DUET_SPLIT_TRAIN : DUET_SPLIT_TEST;
    return true;
}

static duet_status look_at(comparison *c, int k, const char *path, duet_error *err)
{
    char name[64];
    duet_split split;
    if (!is_data(c->name[k], name, &split)) return duet_features_of_folder(c->extractor, c->name[k], &c->o, &c->features[k], err);
    duet_data *data;
    duet_status st = duet_data_open(name, cli_data_path(name, path), NULL, &data, err);
    if (st) return st;
    st = duet_features_of_data(c->extractor, data, split, &c->o, &c->features[k], err);
    duet_data_close(data);
    return st;
}

static duet_status compare(comparison *c, const char *path, duet_error *err)
{
    duet_status st = DUET_OK;
    for (int k = 0; k < SETS && !st; k++) {
        cli_progress progress = cli_progress_begin(c->name[k]);
        c->o.progress = on_progress;
        c->o.user = &progress;
        st = look_at(c, k, path, err);
        cli_progress_end(&progress);
    }
    return st ? st : duet_frechet_distance(c->features[0], c->features[1], &c->result, err);
}

/* ---- what is printed ----------------------------------------------------------------------------------------- */

static void print_number(const char *key, double value)
{
    if (isfinite(value)) printf(", \"%s\": %.10g", key, value);
    else printf(", \"%s\": null", key);
}

static void print_json(const comparison *c)
{
    const duet_frechet *r = &c->result;
    printf("{\"extractor\": \"%s\", \"dimensions\": %zu, \"sets\": [", duet_extractor_name(c->extractor), r->dimensions);
    for (int k = 0; k < SETS; k++) {
        printf("%s{\"name\": ", k ? ", " : "");
        cli_json_string(stdout, c->name[k]);
        printf(", \"n\": %zu}", r->n[k]);
    }
    printf("]");
    print_number("frechet", r->distance);
    print_number("bias", r->bias);
    print_number("unit_bias", r->unit_bias);
    print_number("extrapolated", r->extrapolated);
    printf(", \"few\": %s, \"uneven\": %s}\n", r->few ? "true" : "false", r->uneven ? "true" : "false");
}

static void print_row(const char *what, double value, const char *help)
{
    printf("  %-14s %12.6g   %s%s%s\n", what, value, cli_on(stdout, CLI_DIM), help, cli_off(stdout));
}

static void print_note(const char *text)
{
    printf("\n");
    cli_print_folded(stdout, 0, text);
}

static void print_notes(const duet_frechet *r)
{
    char text[400];
    if (r->few) {
        snprintf(text, sizeof text, "Few pictures: below %d for each of the %zu dimensions the number is mostly bias, and its order among networks may be chance.",
                 (int)DUET_FEW_PER_DIMENSION, r->dimensions);
        print_note(text);
    }
    if (r->uneven) {
        snprintf(text, sizeof text, "The sets differ in size, and the bias depends on it: --n %zu takes equally many of each.", r->n[r->n[1] < r->n[0]]);
        print_note(text);
    }
    print_note("The floor of a data set is the distance of its own two splits: duet frechet NAME:train NAME:test, with the same extractor and --n. "
               "This is not FID, whose extractor is another.");
}

static void print_text(const comparison *c)
{
    const duet_frechet *r = &c->result;
    char n[SETS][32];
    printf("%sfrechet[%s] = %.6g%s\n", cli_on(stdout, CLI_BOLD), duet_extractor_name(c->extractor), r->distance, cli_off(stdout));
    for (int k = 0; k < SETS; k++) printf("%s%s (n %s)", k ? " and " : "", c->name[k], cli_thousands(r->n[k], n[k]));
    printf(", D %zu\n\n", r->dimensions);
    print_row("expected bias", r->bias, "two samples, this large, of one distribution with these covariances");
    print_row("", r->unit_bias, "with the identity as covariance: (D(D+1)/4 + D)(1/n1 + 1/n2)");
    if (isfinite(r->extrapolated)) print_row("extrapolated", r->extrapolated, "to infinitely many pictures, from five sizes");
    print_notes(r);
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int run(const cli_arguments *a)
{
    comparison c = {.name = {a->positional[0], a->positional[1]}};
    const char *extractor = cli_value(a, "--extractor", NULL);
    int64_t threads, most;
    duet_error err = {0};
    if (!cli_whole(a, "--threads", 0, 4096, 0, &threads) || !cli_whole(a, "--n", 2, 100000000, 0, &most)) return CLI_WRONG;
    if (!extractor) {
        cli_complain("frechet: name the classifier whose features are compared: --extractor FILE");
        return CLI_WRONG;
    }
    c.o.most = (size_t)most;
    duet_status st = duet_extractor_open(extractor, (int)threads, 0, &c.extractor, &err);
    if (!st) st = compare(&c, cli_value(a, "--path", NULL), &err);
    const int code = st ? cli_fail(&err) : CLI_DONE;
    if (!code && cli_given(a, "--json")) print_json(&c);
    else if (!code) print_text(&c);
    for (int k = 0; k < SETS; k++) duet_features_free(c.features[k]);
    duet_extractor_close(c.extractor);
    return code;
}

const cli_command cli_frechet = {
    .name = "frechet",
    .summary = "how far two sets of pictures are apart",
    .usage = "frechet A B --extractor FILE [--n N] [--path P] [--json]",
    .text = "Compares two sets of pictures by the Frechet distance between the features that a trained classifier finds in them. A and B are folders of PNGs, "
            "such as `duet sample --png` makes, or splits of data sets: NAME:train, NAME:test.\n\n"
            "The number is printed with its extractor, the numbers of pictures, and what chance alone would give. It has a bias that falls with the number of "
            "pictures: compare sets of equal sizes, and more than ten pictures for each dimension.",
    .example = "duet frechet shapes-plain:train shapes-plain:test --extractor resnet20.safetensors --n 2000\n"
               "duet frechet samples shapes-plain:train --extractor resnet20.safetensors --n 2000",
    .options = options,
    .least = 2,
    .most = 2,
    .run = run,
};
