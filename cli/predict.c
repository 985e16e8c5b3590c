/* duet predict: what trained weights say of pictures.
 *
 *     classifiers     the likeliest classes, as a table
 *     segmentation    PNGs of the classes of pixels, beside each other in one folder
 *
 * Every picture is read and checked before the first file is written, so that a mistake leaves nothing half done. */
#include "shown.h"

#include <duet/network.h>
#include <duet/picture.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"--out", "DIR", "where PNGs go; made when it is not there"},
    {"--overlay", NULL, "also the picture, half-transparent under its classes"},
    {"--ids", NULL, "also classes as the ids of the data set's server (cityscapes)"},
    {"--data", "NAME", "names and colours of classes; without pictures: its test pictures, with truth and errors"},
    {"--path", "P", "where its files are; left out: $DUET_DATA/NAME"},
    {"--n", "N", "how many test pictures (8)"},
    {"--from", "N", "the first of them, from 0 (0)"},
    {"--top", "N", "how many classes to print (5)"},
    {"--model", "NAME", "the model, for a file that does not say it"},
    {"--classes", "N", "the number of classes, for a file that does not say it"},
    {"--threads", "N", "cores to use (all)"},
    {"--json", NULL, "one JSON array instead of a table"},
    {0},
};

enum { NAME_BYTES = 256, PATH_BYTES = 4096 };

/* Everything between the command line and the results. */
typedef struct job {
    const cli_arguments *arguments;
    duet_network *network;
    duet_network_info info;
    duet_data *data;          /* where classes or pictures come from; NULL: neither */
    bool records;             /* pictures are its test pictures; else they are files */
    duet_classes classes;     /* names, colours and ids; n is the network's */
    uint8_t colours[SHOWN_COLOURS][3];
    const char *out;
    bool json, overlay, ids;
    size_t from, n, top;
} job;

/* One picture. */
typedef struct subject {
    char name[NAME_BYTES]; /* of its files, without folder and ending */
    const char *path;      /* NULL: of a data set */
    uint8_t *pixels, *truth;
    size_t height, width;
    int32_t label;         /* of the picture as a whole; -1: not known */
} subject;

/* ---- pictures ------------------------------------------------------------------------------------------------ */

static void release(subject *s)
{
    duet_picture_free(s->pixels);
    free(s->truth);
    *s = (subject){0};
}

/* "photo" for any/folder/photo.jpg */
static void name_of(const char *path, char out[NAME_BYTES])
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    snprintf(out, NAME_BYTES, "%.*s", dot && dot != name ? (int)(dot - name) : (int)strlen(name), name);
}

static duet_status read_record(const job *j, size_t index, subject *s, duet_error *err)
{
    duet_data_info data;
    duet_data_describe(j->data, &data);
    snprintf(s->name, sizeof s->name, "%s-test-%05zu", data.name, index);
    duet_status st = duet_network_read_record(j->network, j->data, DUET_SPLIT_TEST, index, &s->pixels, &s->height, &s->width, &s->label, err);
    if (st || !data.pixel_labels) return st;
    s->truth = calloc(s->height, s->width);
    if (!s->truth) {
        *err = (duet_error){.status = DUET_MEMORY, .message = "not enough memory for a picture"};
        return DUET_MEMORY;
    }
    st = duet_data_read_pixel_labels(j->data, DUET_SPLIT_TEST, index, s->truth, err);
    return st;
}

/* Reads picture i of the job; when it returns CLI_DONE, *s is to be released. */
static int take(const job *j, size_t i, subject *s)
{
    duet_error err = {0};
    *s = (subject){.label = -1};
    duet_status st;
    if (j->records) st = read_record(j, j->from + i, s, &err);
    else {
        s->path = j->arguments->positional[1 + i];
        name_of(s->path, s->name);
        st = duet_network_read_picture(j->network, s->path, &s->pixels, &s->height, &s->width, &err);
    }
    if (!st && duet_network_check_size(j->network, s->height, s->width, &err)) {
        cli_complain("%s: %s", s->path ? s->path : s->name, err.message);
        st = err.status;
    } else if (st) cli_fail(&err);
    if (!st) return CLI_DONE;
    release(s);
    return CLI_FAILED;
}

/* Two pictures of one name would be written to one file. */
static int check_names(const job *j)
{
    for (size_t a = 0; a < j->n && !j->records; a++)
        for (size_t b = 0; b < a; b++) {
            const char *const *paths = j->arguments->positional + 1;
            char first[NAME_BYTES], second[NAME_BYTES];
            name_of(paths[b], first);
            name_of(paths[a], second);
            if (strcmp(first, second)) continue;
            cli_complain("predict: %s and %s would both be written to %s.png; give them in separate calls", paths[b], paths[a], first);
            return CLI_WRONG;
        }
    return CLI_DONE;
}

static int check_all(const job *j)
{
    for (size_t i = 0; i < j->n; i++) {
        subject s;
        const int code = take(j, i, &s);
        if (code) return code;
        release(&s);
    }
    return CLI_DONE;
}

static const char *class_name(const job *j, size_t i)
{
    static char number[24];
    if (j->classes.names) return j->classes.names[i];
    snprintf(number, sizeof number, "class %zu", i);
    return number;
}

/* ---- classes of pictures ------------------------------------------------------------------------------------- */

static size_t likeliest(const float *p, size_t n, const bool *taken)
{
    size_t top = n;
    for (size_t c = 0; c < n; c++)
        if (!taken[c] && (top == n || p[c] > p[top])) top = c;
    return top;
}

static void print_classified(const job *j, const subject *s, const float *p, size_t i, bool *taken)
{
    const char *bold = cli_on(stdout, CLI_BOLD), *dim = cli_on(stdout, CLI_DIM), *off = cli_off(stdout);
    const size_t n = j->info.classes;
    memset(taken, 0, n * sizeof *taken);
    if (j->json) {
        printf("%s{\"picture\": ", i ? ",\n " : "");
        cli_json_string(stdout, s->path ? s->path : s->name);
        if (s->label >= 0) printf(", \"label\": %d", (int)s->label);
        printf(", \"classes\": [");
    } else {
        printf("%s%s%s%s", i ? "\n" : "", bold, s->path ? s->path : s->name, off);
        if (s->label >= 0) printf("  %s%s%s", dim, class_name(j, (size_t)s->label), off);
        printf("\n");
    }
    for (size_t k = 0; k < j->top && k < n; k++) {
        const size_t c = likeliest(p, n, taken);
        taken[c] = true;
        if (!j->json) {
            const bool right = s->label >= 0 && (size_t)s->label == c;
            printf("  %-24s %s%6.2f %%%s\n", class_name(j, c), right ? cli_on(stdout, CLI_GOOD) : "", 100 * (double)p[c], right ? off : "");
            continue;
        }
        printf("%s{\"class\": %zu, \"name\": ", k ? ", " : "", c);
        cli_json_string(stdout, class_name(j, c));
        printf(", \"probability\": %.6g}", (double)p[c]);
    }
    if (j->json) printf("]}");
}

static int classify(const job *j)
{
    float *p = calloc(j->info.classes, sizeof *p);
    bool *taken = calloc(j->info.classes, sizeof *taken);
    int code = CLI_DONE;
    if (!p || !taken) {
        cli_complain("not enough memory for %zu classes", j->info.classes);
        code = CLI_FAILED;
    }
    for (size_t i = 0; i < j->n && !code; i++) {
        subject s;
        duet_error err = {0};
        if ((code = take(j, i, &s))) break;
        if (duet_network_classify(j->network, s.pixels, 1, p, &err)) code = cli_fail(&err);
        else print_classified(j, &s, p, i, taken);
        release(&s);
    }
    free(p);
    free(taken);
    return code;
}

/* ---- classes of pixels --------------------------------------------------------------------------------------- */

static bool path_of(const job *j, const subject *s, const char *kind, char out[PATH_BYTES])
{
    if ((size_t)snprintf(out, PATH_BYTES, "%s/%s%s.png", j->out, s->name, kind) < PATH_BYTES) return true;
    cli_complain("%s: the path is too long", j->out);
    return false;
}

static int write_rgb(const job *j, const subject *s, const char *kind, const uint8_t *pixels)
{
    char path[PATH_BYTES];
    duet_error err = {0};
    if (!path_of(j, s, kind, path)) return CLI_FAILED;
    return duet_picture_write(path, pixels, s->height, s->width, &err) ? cli_fail(&err) : CLI_DONE;
}

static int write_classes(const job *j, const subject *s, const char *kind, const uint8_t *classes)
{
    char path[PATH_BYTES];
    duet_error err = {0};
    if (!path_of(j, s, kind, path)) return CLI_FAILED;
    return duet_picture_write_classes(path, classes, s->height, s->width, j->colours, SHOWN_COLOURS, &err) ? cli_fail(&err) : CLI_DONE;
}

/* A grey PNG, so to say: a palette whose colours are the values. */
static int write_ids(const job *j, const subject *s, const uint8_t *classes, uint8_t *ids)
{
    uint8_t greys[SHOWN_COLOURS][3];
    char path[PATH_BYTES];
    duet_error err = {0};
    for (size_t i = 0; i < SHOWN_COLOURS; i++) memset(greys[i], (int)i, 3);
    for (size_t i = 0; i < s->height * s->width; i++) ids[i] = j->classes.ids[classes[i]];
    if (!path_of(j, s, ".ids", path)) return CLI_FAILED;
    return duet_picture_write_classes(path, ids, s->height, s->width, (const uint8_t(*)[3])greys, SHOWN_COLOURS, &err) ? cli_fail(&err) : CLI_DONE;
}

static int write_all(const job *j, const subject *s, const uint8_t *classes, uint8_t *scratch)
{
    const size_t n = s->height * s->width;
    int code = write_classes(j, s, "", classes);
    if (!code && j->ids) code = write_ids(j, s, classes, scratch);
    if (!code && j->overlay) {
        shown_overlay(s->pixels, classes, n, (const uint8_t(*)[3])j->colours, scratch);
        code = write_rgb(j, s, ".overlay", scratch);
    }
    if (code || !j->records) return code;
    code = write_rgb(j, s, ".picture", s->pixels);
    if (code || !s->truth) return code;
    code = write_classes(j, s, ".truth", s->truth);
    if (code) return code;
    shown_errors(s->pixels, classes, s->truth, n, scratch);
    return write_rgb(j, s, ".errors", scratch);
}

/* Percent of labelled pixels that are right; below 0: not known. */
static double share_right(const subject *s, const uint8_t *classes)
{
    size_t right = 0, labelled = 0;
    for (size_t i = 0; s->truth && i < s->height * s->width; i++) {
        labelled += s->truth[i] != DUET_IGNORED;
        right += s->truth[i] == classes[i];
    }
    return labelled ? 100 * (double)right / (double)labelled : -1;
}

static void print_segmented(const job *j, const subject *s, const uint8_t *classes, size_t i)
{
    const size_t n = s->height * s->width;
    const double right = share_right(s, classes);
    size_t count[SHOWN_COLOURS] = {0};
    for (size_t k = 0; k < n; k++) count[classes[k]]++;
    if (j->json) {
        printf("%s{\"picture\": ", i ? ",\n " : "");
        cli_json_string(stdout, s->path ? s->path : s->name);
        printf(", \"file\": ");
        cli_json_string(stdout, s->name);
        printf(", \"height\": %zu, \"width\": %zu", s->height, s->width);
        if (right >= 0) printf(", \"pixel_accuracy\": %.6g", right);
        printf(", \"classes\": [");
    } else {
        printf("%s%-28s%s", cli_on(stdout, CLI_BOLD), s->path ? s->path : s->name, cli_off(stdout));
        if (right >= 0) printf("  %6.2f %% right", right);
    }
    for (size_t k = 0; k < j->top; k++) {
        size_t top = 0;
        for (size_t c = 1; c < j->info.classes; c++)
            if (count[c] > count[top]) top = c;
        if (!count[top]) break;
        const double share = (double)count[top] / (double)n;
        count[top] = 0;
        if (!j->json) {
            printf("%s%s %.0f %%", k ? ", " : "  ", class_name(j, top), 100 * share);
            continue;
        }
        printf("%s{\"class\": %zu, \"name\": ", k ? ", " : "", top);
        cli_json_string(stdout, class_name(j, top));
        printf(", \"share\": %.6g}", share);
    }
    printf(j->json ? "]}" : "\n");
}

static int segment_one(const job *j, size_t i)
{
    subject s;
    duet_error err = {0};
    int code = take(j, i, &s);
    if (code) return code;
    uint8_t *classes = calloc(s.height, s.width), *scratch = calloc(s.height * s.width, 3);
    if (!classes || !scratch) {
        cli_complain("not enough memory for a picture of %zux%zu", s.height, s.width);
        code = CLI_FAILED;
    } else if (duet_network_segment(j->network, s.pixels, s.height, s.width, classes, &err)) code = cli_fail(&err);
    else code = write_all(j, &s, classes, scratch);
    if (!code) print_segmented(j, &s, classes, i);
    free(classes);
    free(scratch);
    release(&s);
    return code;
}

static int segment(const job *j)
{
    int code = cli_make_folder(j->out);
    for (size_t i = 0; i < j->n && !code; i++) code = segment_one(j, i);
    if (code || j->json) return code;
    printf("\n%sIn %s: NAME.png (its values are the classes)%s%s%s%s\n", cli_on(stdout, CLI_DIM), j->out, j->overlay ? ", NAME.overlay.png" : "",
           j->ids ? ", NAME.ids.png (the server's ids)" : "",
           j->records ? ", NAME.picture.png, NAME.truth.png, NAME.errors.png (wrong: red; without a class: light grey)" : "", cli_off(stdout));
    return CLI_DONE;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int open_network(job *j, const cli_arguments *a)
{
    int64_t threads, classes;
    duet_error err = {0};
    if (!cli_whole(a, "--threads", 0, 4096, 0, &threads) || !cli_whole(a, "--classes", 2, 1000000, 0, &classes)) return CLI_WRONG;
    const duet_network_options o = {.model = cli_value(a, "--model", NULL), .threads = (int)threads, .classes = (size_t)classes, .batch = 1};
    if (duet_network_open(a->positional[0], &o, &j->network, &err)) return cli_fail(&err);
    duet_network_describe(j->network, &j->info);
    if (j->info.pixel_classes || !strcmp(j->info.task, "classify")) return CLI_DONE;
    cli_complain("predict: %s holds %s, a network for task %s, which names no classes", a->positional[0], j->info.model, j->info.task);
    return CLI_FAILED;
}

/* Names, colours and, without pictures, the test pictures of a data set. */
static int open_data(job *j, const cli_arguments *a)
{
    const bool pictures = j->records = a->n_positional < 2;
    const char *name = cli_value(a, "--data", j->info.data), *path = cli_value(a, "--path", NULL);
    duet_error err = {0};
    if (pictures && !cli_given(a, "--data")) {
        cli_complain("predict: name pictures, or a data set whose test pictures are wanted: --data %s", *name ? name : "NAME");
        return CLI_WRONG;
    }
    const bool known = *name && duet_data_classes(name, &j->classes);
    if (!known && j->info.class_names) j->classes = (duet_classes){.n = j->info.classes, .names = j->info.class_names};
    if (*name && (pictures || (!known && cli_given(a, "--data")))) {
        duet_data_info data;
        if (duet_data_open(name, cli_data_path(name, path), NULL, &j->data, &err)) return cli_fail(&err);
        duet_data_describe(j->data, &data);
        if (!known && (data.colours || !j->info.class_names)) j->classes = (duet_classes){.n = data.classes, .names = data.class_names, .colours = data.colours};
        if (pictures && j->from + j->n > data.test_images) {
            cli_complain("predict: %s has %zu test pictures; --from %zu --n %zu asks for more", name, data.test_images, j->from, j->n);
            return CLI_WRONG;
        }
        if (pictures && (data.pixel_labels != 0) != (j->info.pixel_classes != 0)) {
            cli_complain("predict: %s is a network for task %s, and %s has a class for %s", j->info.model, j->info.task, name,
                         data.pixel_labels ? "every pixel" : "each picture");
            return CLI_FAILED;
        }
    }
    if (j->classes.n && j->classes.n != j->info.classes && cli_given(a, "--data")) {
        cli_complain("predict: %s has %zu classes, %s knows %zu", name, j->classes.n, a->positional[0], j->info.classes);
        return CLI_FAILED;
    }
    if (j->classes.n != j->info.classes) j->classes = (duet_classes){.n = j->info.classes};
    return CLI_DONE;
}

static int check_options(job *j, const cli_arguments *a)
{
    if (j->ids && !j->classes.ids) {
        cli_complain("predict: --ids: the classes of %s have no ids of a server; cityscapes' have", *j->info.data ? j->info.data : "this network");
        return CLI_WRONG;
    }
    if (j->info.pixel_classes && !j->out) {
        cli_complain("predict: %s names classes of pixels; say where the PNGs go: --out DIR", j->info.model);
        return CLI_WRONG;
    }
    if (!j->info.pixel_classes && (j->out || j->overlay)) {
        cli_complain("predict: %s names one class for a picture; %s is for networks that name pixels", j->info.model, j->out ? "--out" : "--overlay");
        return CLI_WRONG;
    }
    shown_colours(j->classes.colours, j->info.classes, j->colours);
    (void)a;
    return CLI_DONE;
}

static int predict(job *j, const cli_arguments *a)
{
    int code = open_network(j, a);
    if (!code) code = open_data(j, a);
    if (!code) code = check_options(j, a);
    if (!code && j->info.pixel_classes) code = check_names(j);
    if (!code) code = check_all(j);
    if (code) return code;
    if (j->json) printf("[");
    code = j->info.pixel_classes ? segment(j) : classify(j);
    if (j->json) printf("]\n");
    return code;
}

static int run(const cli_arguments *a)
{
    static job j; /* some kilobytes, once */
    int64_t n, from, top;
    if (!cli_whole(a, "--n", 1, 100000, 8, &n) || !cli_whole(a, "--from", 0, INT32_MAX, 0, &from) || !cli_whole(a, "--top", 1, 255, 5, &top))
        return CLI_WRONG;
    if (a->n_positional > 1 && (cli_given(a, "--n") || cli_given(a, "--from"))) {
        cli_complain("predict: --n and --from choose test pictures of a data set; these pictures are named");
        return CLI_WRONG;
    }
    j = (job){.arguments = a, .out = cli_value(a, "--out", NULL), .json = cli_given(a, "--json"), .overlay = cli_given(a, "--overlay"),
              .ids = cli_given(a, "--ids"), .from = (size_t)from, .top = (size_t)top};
    j.n = a->n_positional > 1 ? a->n_positional - 1 : (size_t)n;
    const int code = predict(&j, a);
    duet_network_close(j.network);
    duet_data_close(j.data);
    return code;
}

const cli_command cli_predict = {
    .name = "predict",
    .summary = "what trained weights say of pictures",
    .usage = "predict WEIGHTS [IMAGE...] [--out DIR] [--overlay] [--ids] [--data NAME] [--n N] [--json]",
    .text = "Classifiers: prints the likeliest classes of each picture. Segmentation: writes, for each picture, DIR/NAME.png with a class for every "
            "pixel (a palette PNG: its values are the classes, its colours the data set's), and, where asked, an overlay and the ids that the data "
            "set's server wants.\n\n"
            "Pictures are PNG or JPEG, of any size that the model takes, and are normalised as the weights file says they were in training. Without "
            "pictures, --data names a data set whose test pictures are used; then the picture, the truth and a map of errors are written as well.",
    .example = "duet predict student.safetensors street.png --out predicted --overlay --ids\n"
               "duet predict runs/demo-segment/student.best.safetensors --data shapes-seg --n 8 --out predicted --overlay\n"
               "duet predict runs/demo/student.best.safetensors --data shapes --n 4",
    .options = options,
    .least = 1,
    .most = CLI_MOST_ARGUMENTS,
    .run = run,
};
