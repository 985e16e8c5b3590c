/* duet look: sheets of what a run's networks see of test pictures. One row a picture: the picture, its truth, where each network looks,
 * where both agree, and the weights that come of it; networks that denoise have a row for each amount of noise, with what each takes for the
 * picture and where it errs. --json: the same in numbers. */
#include "sheet.h"
#include "shown.h"

#include <duet/look.h>
#include <duet/picture.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"--out", "DIR", "where the sheets go; made when it is not there"},
    {"--n", "N", "how many test pictures (8)"},
    {"--from", "N", "the first of them, from 0 (0)"},
    {"--rows", "N", "pictures on a sheet (8; networks that denoise: 2, of five rows each)"},
    {"--weights", "WHICH", "best: of the best epoch (the default); last: of the last checkpoint; both averaged where the run keeps averages, as they are "
                           "judged; raw: of the last checkpoint, as they are trained"},
    {"--teacher", "NAME", "the network that stands for the teacher (the first with that role)"},
    {"--student", "NAME", "the same for the student"},
    {"--path", "P", "where the data's files are; left out: as the run's recipe says"},
    {"--threads", "N", "cores to use (all)"},
    {"--json", NULL, "one JSON object with the numbers of every map instead of text; without --out: no sheets"},
    {0},
};

enum { MARGIN = 10, GAP = 6, SMALL = 128, LARGE = 256, PATH_BYTES = 4096, TEXT_BYTES = 400 };

/* What stands in a column: a map, or one of these. */
enum { PICTURE = DUET_MAPS, NOISY, TRUTH, TEACHER_ESTIMATE, STUDENT_ESTIMATE, MOST_COLUMNS };

typedef struct layout {
    int columns[MOST_COLUMNS], n;
    size_t cell_height, cell_width, head; /* head: height of what stands above the first row */
} layout;

typedef struct look {
    const char *run, *out; /* out: NULL: no sheets */
    bool json;
    duet_look *inner;
    duet_look_info info;
    uint8_t colours[SHOWN_COLOURS][3];
    size_t rows, done, sheets; /* rows: of a sheet */
    layout layout;
    sheet sheet;
    size_t row;            /* of the sheet, the next one */
    uint8_t *scratch;      /* of the size of the last picture */
    size_t scratch_pixels;
} look;

/* ---- the sheet ----------------------------------------------------------------------------------------------- */

/* The sides of a cell: a whole multiple of a small picture, or a large one made smaller. */
static void fit_cell(layout *l, size_t height, size_t width)
{
    const size_t side = height > width ? height : width;
    const size_t times = side < SMALL ? SMALL / side : 1;
    l->cell_height = side <= LARGE ? times * height : (height * LARGE + side - 1) / side;
    l->cell_width = side <= LARGE ? times * width : (width * LARGE + side - 1) / side;
}

static void add_column(layout *l, int what)
{
    l->columns[l->n++] = what;
}

static void plan(layout *l, const duet_looked *p)
{
    *l = (layout){.head = MARGIN + 4 * SHEET_LINE + GAP};
    add_column(l, PICTURE);
    if (p->mask || p->pixel_labels) add_column(l, TRUTH);
    if (p->noisy) {
        add_column(l, NOISY);
        add_column(l, TEACHER_ESTIMATE);
        add_column(l, STUDENT_ESTIMATE);
        add_column(l, DUET_MAP_TEACHER_ERROR);
        add_column(l, DUET_MAP_STUDENT_ERROR);
    }
    for (int m = 0; m <= DUET_MAP_DIVERGENCE; m++)
        if (p->maps[m].values) add_column(l, m);
    fit_cell(l, p->height, p->width);
}

static size_t left_of(const layout *l, int column)
{
    return MARGIN + (size_t)column * (l->cell_width + GAP);
}

static size_t row_height(const layout *l)
{
    return l->cell_height + SHEET_LINE + GAP;
}

static bool is_teachers(int column)
{
    return column == DUET_MAP_TEACHER_ATTENTION || column == DUET_MAP_TEACHER_ACTIVATION || column == DUET_MAP_TEACHER_ERROR || column == TEACHER_ESTIMATE;
}

static bool is_students(int column)
{
    return column == DUET_MAP_STUDENT_ATTENTION || column == DUET_MAP_STUDENT_ACTIVATION || column == DUET_MAP_STUDENT_ERROR || column == STUDENT_ESTIMATE;
}

static const char *what_it_is(const look *k, int column)
{
    static const char *const names[MOST_COLUMNS] = {"attention", "attention", "activation", "activation", "similarity", "consensus", "divergence", "error", "error",
                                                    "picture", "with noise", "foreground", "estimate", "estimate"};
    return column == TRUTH && k->info.colours ? "truth" : names[column];
}

static const char *whose_it_is(const look *k, int column)
{
    return is_teachers(column) ? k->info.teacher : is_students(column) ? k->info.student : "";
}

static void describe_weights(const look *k, bool teacher, char *out, size_t bytes)
{
    const long long epoch = (long long)(teacher ? k->info.teacher_epoch : k->info.student_epoch);
    const int n = snprintf(out, bytes, "%s", teacher ? k->info.teacher_weights : k->info.student_weights);
    size_t used = n > 0 && (size_t)n < bytes ? (size_t)n : 0;
    if (epoch >= 0) used += (size_t)snprintf(out + used, bytes - used, ", epoch %lld", epoch);
    if (used < bytes && (teacher ? k->info.teacher_averaged : k->info.student_averaged)) snprintf(out + used, bytes - used, ", averaged");
}

static bool begin_sheet(look *k)
{
    const layout *l = &k->layout;
    const size_t width = left_of(l, l->n) - GAP + MARGIN, bar = 2 * (size_t)SHEET_LINE;
    if (!sheet_open(&k->sheet, l->head + k->rows * row_height(l) + bar + MARGIN, width)) return false;
    char title[TEXT_BYTES], weights[2][TEXT_BYTES / 2 - 8];
    snprintf(title, sizeof title, "%s: %s = %s, %s = %s", k->info.data, k->info.teacher, k->info.teacher_model, k->info.student, k->info.student_model);
    sheet_text(&k->sheet, MARGIN, MARGIN, width - 2 * MARGIN, title);
    for (int i = 0; i < 2; i++) describe_weights(k, i == 0, weights[i], sizeof weights[i]);
    snprintf(title, sizeof title, "%s - %s", weights[0], weights[1]);
    sheet_text(&k->sheet, MARGIN, MARGIN + SHEET_LINE, width - 2 * MARGIN, title);
    for (int i = 0; i < l->n; i++) {
        sheet_text(&k->sheet, left_of(l, i), MARGIN + 2 * SHEET_LINE + GAP, l->cell_width, whose_it_is(k, l->columns[i]));
        sheet_text(&k->sheet, left_of(l, i), MARGIN + 3 * SHEET_LINE + GAP, l->cell_width, what_it_is(k, l->columns[i]));
    }
    k->row = 0;
    return true;
}

static bool has_errors(const layout *l)
{
    for (int i = 0; i < l->n; i++)
        if (l->columns[i] == DUET_MAP_TEACHER_ERROR) return true;
    return false;
}

static bool name_sheet(const look *k, size_t i, char path[PATH_BYTES])
{
    return (size_t)snprintf(path, PATH_BYTES, "%s/look-%02zu.png", k->out, i) < PATH_BYTES;
}

static int end_sheet(look *k)
{
    char path[PATH_BYTES];
    duet_error err = {0};
    const layout *l = &k->layout;
    if (!k->sheet.pixels) return CLI_DONE;
    const size_t y = l->head + k->row * row_height(l) + GAP, wide = 128;
    sheet_text(&k->sheet, MARGIN, y, SHEET_LETTER, "0");
    sheet_scale(&k->sheet, (sheet_box){MARGIN + 2 * SHEET_LETTER, y, wide, SHEET_LINE - 2});
    sheet_text(&k->sheet, MARGIN + 3 * SHEET_LETTER + wide, y, k->sheet.width,
               has_errors(l) ? "the largest value of the map, of errors of both networks, of similarity 1"
                             : "the largest value of the map, of similarity 1");
    const size_t height = y + SHEET_LINE + MARGIN;
    int code = CLI_DONE;
    if (!name_sheet(k, ++k->sheets, path)) {
        cli_complain("%s: the path is too long", k->out);
        code = CLI_FAILED;
    } else if (duet_picture_write(path, k->sheet.pixels, height < k->sheet.height ? height : k->sheet.height, k->sheet.width, &err)) code = cli_fail(&err);
    else if (!k->json) printf("%s\n", path);
    sheet_close(&k->sheet);
    return code;
}

/* ---- a row --------------------------------------------------------------------------------------------------- */

static bool make_scratch(look *k, size_t pixels)
{
    if (pixels <= k->scratch_pixels) return true;
    free(k->scratch);
    k->scratch = malloc(3 * pixels);
    k->scratch_pixels = k->scratch ? pixels : 0;
    if (!k->scratch) cli_complain("not enough memory for a picture of %zu pixels", pixels);
    return k->scratch != NULL;
}

/* A picture of another shape than the first one's stands in the corner of its cell. */
static sheet_box box_of(const look *k, int column, const duet_looked *p)
{
    const layout *l = &k->layout;
    sheet_box b = {.x = left_of(l, column), .y = l->head + k->row * row_height(l), .width = l->cell_width, .height = l->cell_height};
    if (p->height * b.width > p->width * b.height) b.width = (p->width * b.height + p->height - 1) / p->height;
    else b.height = (p->height * b.width + p->width - 1) / p->width;
    return b;
}

static void fill_truth(look *k, const duet_looked *p)
{
    for (size_t i = 0; i < p->height * p->width; i++) {
        if (p->pixel_labels) memcpy(k->scratch + 3 * i, k->colours[p->pixel_labels[i]], 3);
        else memset(k->scratch + 3 * i, p->mask[i] ? 255 : 0, 3);
    }
}

/* -1..1, and what is beyond is cut. */
static void fill_values(look *k, const duet_looked *p, const float *values)
{
    for (size_t i = 0; i < 3 * p->height * p->width; i++) k->scratch[i] = (uint8_t)fmaxf(0, fminf(255, floorf(127.5f * values[i] + 128)));
}

static float largest(const float *values, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        if (values[i] > most) most = values[i];
    return most;
}

static float largest_of(const duet_looked *p, int map)
{
    return largest(p->maps[map].values, p->maps[map].height * p->maps[map].width);
}

/* What the brightest colour stands for. The errors of both networks have one scale, so that they can be compared by eye. */
static float brightest(const duet_looked *p, int map)
{
    if (map == DUET_MAP_SIMILARITY) return 1;
    if (map == DUET_MAP_TEACHER_ERROR || map == DUET_MAP_STUDENT_ERROR)
        return fmaxf(largest_of(p, DUET_MAP_TEACHER_ERROR), largest_of(p, DUET_MAP_STUDENT_ERROR));
    return largest_of(p, map);
}

static void draw_cell(look *k, int column, const duet_looked *p)
{
    const int what = k->layout.columns[column];
    const sheet_box at = box_of(k, column, p);
    if (what < DUET_MAPS) {
        sheet_map(&k->sheet, at, p->maps[what].values, p->maps[what].height, p->maps[what].width, brightest(p, what));
        return;
    }
    if (what == TRUTH) fill_truth(k, p);
    else if (what != PICTURE) fill_values(k, p, what == NOISY ? p->noisy : what == TEACHER_ESTIMATE ? p->teacher_estimate : p->student_estimate);
    sheet_picture(&k->sheet, at, what == PICTURE ? p->pixels : k->scratch, p->height, p->width);
}

static void caption(const look *k, const duet_looked *p, char text[TEXT_BYTES])
{
    const int n = snprintf(text, TEXT_BYTES, "%zu", p->index);
    const size_t used = n > 0 ? (size_t)n : 0;
    if (p->noisy) snprintf(text + used, TEXT_BYTES - used, ": t = %d", (int)p->time);
    else if (p->label >= 0 && k->info.class_names) snprintf(text + used, TEXT_BYTES - used, ": %s", k->info.class_names[p->label]);
    else if (p->label >= 0) snprintf(text + used, TEXT_BYTES - used, ": class %d", (int)p->label);
}

static double mean_of(const duet_looked *p, int map)
{
    const size_t n = p->maps[map].height * p->maps[map].width;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)p->maps[map].values[i];
    return sum / (double)n;
}

/* Below a map: what its colours do not tell, and how much of it lies on the foreground. */
static void below(look *k, int column, const duet_looked *p)
{
    char text[TEXT_BYTES] = "";
    const int what = k->layout.columns[column];
    const size_t y = k->layout.head + k->row * row_height(&k->layout) + k->layout.cell_height + 3;
    double share = (double)NAN;
    if (what == PICTURE) caption(k, p, text);
    else if (what == TRUTH) share = p->foreground;
    else if (what < DUET_MAPS) {
        share = p->maps[what].share;
        if (what == DUET_MAP_SIMILARITY) snprintf(text, sizeof text, "mean %.2f  ", mean_of(p, what));
        else if (what >= DUET_MAP_TEACHER_ERROR) snprintf(text, sizeof text, "mean %.3g", mean_of(p, what));
        else snprintf(text, sizeof text, "to %.3g  ", (double)largest_of(p, what));
    }
    const size_t used = strlen(text);
    if (isfinite(share)) snprintf(text + used, sizeof text - used, "fg %.0f%%", 100 * share);
    sheet_text(&k->sheet, left_of(&k->layout, column), y, k->layout.cell_width, text);
}

static int add(look *k, const duet_looked *p)
{
    if (!k->layout.n) plan(&k->layout, p);
    if (!make_scratch(k, p->height * p->width)) return CLI_FAILED;
    if (!k->sheet.pixels && !begin_sheet(k)) return CLI_FAILED;
    for (int i = 0; i < k->layout.n; i++) {
        draw_cell(k, i, p);
        below(k, i, p);
    }
    return ++k->row == k->rows ? end_sheet(k) : CLI_DONE;
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static void print_number(const char *key, double value)
{
    if (isfinite(value)) printf(", \"%s\": %.9g", key, value);
    else printf(", \"%s\": null", key);
}

static void print_network(const look *k, bool teacher)
{
    const char *const texts[][2] = {{"name", teacher ? k->info.teacher : k->info.student},
                                    {"model", teacher ? k->info.teacher_model : k->info.student_model},
                                    {"weights", teacher ? k->info.teacher_weights : k->info.student_weights}};
    printf(", \"%s\": {", teacher ? "teacher" : "student");
    for (size_t i = 0; i < CLI_COUNT(texts); i++) {
        printf("%s\"%s\": ", i ? ", " : "", texts[i][0]);
        cli_json_string(stdout, texts[i][1]);
    }
    printf(", \"epoch\": %lld, \"averaged\": %s}", (long long)(teacher ? k->info.teacher_epoch : k->info.student_epoch),
           (teacher ? k->info.teacher_averaged : k->info.student_averaged) ? "true" : "false");
}

static void print_head(const look *k)
{
    printf("{\"run\": ");
    cli_json_string(stdout, k->run);
    printf(", \"task\": \"%s\", \"data\": ", k->info.task);
    cli_json_string(stdout, k->info.data);
    print_network(k, true);
    print_network(k, false);
    printf(", \"pictures\": [");
}

static void print_picture(const look *k, const duet_looked *p)
{
    static const char *const keys[DUET_MAPS] = {"teacher_attention", "student_attention", "teacher_activation", "student_activation", "similarity",
                                                "consensus",         "divergence",        "teacher_error",      "student_error"};
    printf("%s{\"index\": %zu", k->done ? ", " : "", p->index);
    if (p->label >= 0) printf(", \"label\": %d", (int)p->label);
    if (p->noisy) printf(", \"time\": %d", (int)p->time);
    print_number("foreground", p->foreground);
    printf(", \"maps\": {");
    const char *comma = "";
    for (int m = 0; m < DUET_MAPS; m++) {
        if (!p->maps[m].values) continue;
        printf("%s\"%s\": {\"height\": %zu, \"width\": %zu", comma, keys[m], p->maps[m].height, p->maps[m].width);
        print_number("mean", mean_of(p, m));
        print_number("largest", (double)largest_of(p, m));
        print_number("on_foreground", p->maps[m].share);
        printf("}");
        comma = ", ";
    }
    printf("}}");
}

static void print_sheets(const look *k)
{
    char path[PATH_BYTES];
    printf("], \"sheets\": [");
    for (size_t i = 1; i <= k->sheets; i++) {
        name_sheet(k, i, path);
        printf(i > 1 ? ", " : "");
        cli_json_string(stdout, path);
    }
    printf("]}\n");
}

/* ---- the command --------------------------------------------------------------------------------------------- */

/* Why there is no foreground, where one might look for it. */
static const char *without_foreground(const look *k)
{
    if (strcmp(k->info.task, "segment")) return "";
    return " There is no column of class activation maps, and no share on the foreground: this data set says nowhere which of its classes is the ground "
           "(folder-seg: a class called background or ground in classes.txt).";
}

static void print_legend(const look *k, bool masks, bool noisy)
{
    char text[2400], weights[2][TEXT_BYTES];
    for (int i = 0; i < 2; i++) describe_weights(k, i == 0, weights[i], sizeof weights[i]);
    printf("\n%s: %s\n%s: %s\n", k->info.teacher, weights[0], k->info.student, weights[1]);
    snprintf(text, sizeof text,
             "A row is a test picture%s, a square of a map one place. attention: the mean over channels of F^2 in the map that the network's head reads. "
             "%ssimilarity: S, 0 to 1, of %s and %s at each place, as adm has it with the options of the run's recipe; consensus: c, the weights of places where "
             "both agree; divergence: d, those of places where they differ. Colours go from 0 (dark) to the map's own largest value (bright), which "
             "stands below it, but for similarity, whose brightest is 1%s. %s%s",
             noisy ? " under one amount of noise, t" : "",
             noisy                             ? "estimate: the picture that the network takes to be behind the noise; error: the squared error of the noise it sees. "
             : strcmp(k->info.task, "segment") ? "activation: the positive evidence for the picture's true class. "
             : masks                           ? "activation: the positive evidence for the classes on the picture's foreground, summed. "
                                               : "",
             k->info.teacher, k->info.student, noisy ? ", and errors, whose brightest is the largest of both networks" : "",
             masks ? "fg: how much of the map, or of the picture's area, lies on the foreground." : "", masks ? "" : without_foreground(k));
    printf("\n%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 0, text);
    printf("%s", cli_off(stdout));
}

static int draw(look *k)
{
    duet_error err = {0};
    bool masks = false, noisy = false;
    if (k->json) print_head(k);
    for (;;) {
        duet_looked p;
        if (duet_look_next(k->inner, &p, &err)) return cli_fail(&err);
        if (!p.pixels) break;
        masks = p.mask != NULL;
        noisy = p.noisy != NULL;
        if (k->json) print_picture(k, &p);
        const int code = k->out ? add(k, &p) : CLI_DONE;
        if (code) return code;
        k->done++;
    }
    const int code = end_sheet(k);
    if (code) return code;
    if (k->json) print_sheets(k);
    else print_legend(k, masks, noisy);
    return CLI_DONE;
}

static bool read_weights(const cli_arguments *a, duet_look_weights *out)
{
    static const char *const names[] = {"best", "last", "raw"};
    const char *given = cli_value(a, "--weights", names[0]);
    for (size_t i = 0; i < CLI_COUNT(names); i++) {
        *out = (duet_look_weights)i;
        if (!strcmp(given, names[i])) return true;
    }
    cli_complain("look: --weights: found '%s'; allowed: best, last or raw", given);
    return false;
}

static int run(const cli_arguments *a)
{
    static look k;
    int64_t n, from, rows, threads;
    duet_error err = {0};
    duet_look_options o = {.teacher = cli_value(a, "--teacher", NULL), .student = cli_value(a, "--student", NULL), .path = cli_value(a, "--path", NULL)};
    if (!cli_whole(a, "--n", 1, 100000, 8, &n) || !cli_whole(a, "--from", 0, INT32_MAX, 0, &from) || !cli_whole(a, "--rows", 1, 64, 0, &rows) ||
        !cli_whole(a, "--threads", 0, 4096, 0, &threads) || !read_weights(a, &o.weights))
        return CLI_WRONG;
    k = (look){.run = a->positional[0], .out = cli_value(a, "--out", NULL), .json = cli_given(a, "--json")};
    if (!k.out && !k.json) {
        cli_complain("look: say where the sheets go: --out DIR");
        return CLI_WRONG;
    }
    o.first = (size_t)from;
    o.n = (size_t)n;
    o.threads = (int)threads;
    if (duet_look_open(k.run, &o, &k.inner, &err)) return cli_fail(&err);
    duet_look_describe(k.inner, &k.info);
    shown_colours(k.info.colours, k.info.classes, k.colours);
    const bool noisy = !strcmp(k.info.task, "denoise");
    if (!rows) rows = noisy ? 2 : 8;
    k.rows = (size_t)(n < rows ? n : rows) * (noisy ? DUET_LOOK_TIMES : 1);
    int code = k.out ? cli_make_folder(k.out) : CLI_DONE;
    if (!code) code = draw(&k);
    sheet_close(&k.sheet);
    free(k.scratch);
    duet_look_close(k.inner);
    return code;
}

const cli_command cli_look = {
    .name = "look",
    .summary = "see where a run's networks look and agree",
    .usage = "look RUN --out DIR [--n N] [--weights best|last|raw] [--json]",
    .text = "Draws sheets for a run, finished or under way: a row for each test picture, with its foreground or the truth, the attention of teacher and "
            "student, their class activation maps, the similarity S of the two, and the weights c and d that adm makes of it. Maps are computed by the "
            "nodes that train the networks, from the weights that are judged, and the sheet says which these are.\n\n"
            "Networks that denoise see each picture under five amounts of noise. Beside it stand the picture that each takes to be behind the noise, and "
            "where each errs.",
    .example = "duet look runs/demo --out looked\nduet look runs/study --weights last --n 16 --out looked\nduet look runs/study --json --n 100",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
