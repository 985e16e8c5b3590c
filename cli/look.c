/* duet look: sheets of what a run's networks see of test pictures. One row a picture: the picture, its truth, where each network looks,
 * where both agree, and the weights that come of it. */
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
    {"--rows", "N", "pictures on a sheet (8)"},
    {"--best", NULL, "the weights of the best epoch instead of the last"},
    {"--teacher", "NAME", "the network that stands for the teacher (the first with that role)"},
    {"--student", "NAME", "the same for the student"},
    {"--path", "P", "where the data's files are; left out: as the run's recipe says"},
    {"--threads", "N", "cores to use (all)"},
    {0},
};

enum { MARGIN = 10, GAP = 6, SMALL = 128, LARGE = 256, PATH_BYTES = 4096, TEXT_BYTES = 160 };

/* What stands in a column: a map, or one of these. */
enum { PICTURE = DUET_MAPS, NOISY, TRUTH, MOST_COLUMNS };

typedef struct layout {
    int columns[MOST_COLUMNS], n;
    size_t cell_height, cell_width, head; /* head: height of what stands above the first row */
} layout;

typedef struct look {
    const char *out;
    duet_look *inner;
    duet_look_info info;
    uint8_t colours[SHOWN_COLOURS][3];
    size_t rows, done, sheets;
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

static void plan(layout *l, const duet_looked *p)
{
    *l = (layout){.head = MARGIN + 3 * SHEET_LINE + GAP};
    l->columns[l->n++] = PICTURE;
    if (p->noisy) l->columns[l->n++] = NOISY;
    if (p->mask || p->pixel_labels) l->columns[l->n++] = TRUTH;
    for (int m = 0; m < DUET_MAPS; m++)
        if (p->maps[m].values) l->columns[l->n++] = m;
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

/* Two lines above a column: whose, what. */
static void name_column(const look *k, int column, const char **whose, const char **what)
{
    static const char *const names[DUET_MAPS] = {"attention", "attention", "activation", "activation", "similarity", "consensus", "divergence"};
    *whose = "";
    *what = column == PICTURE ? "picture" : column == NOISY ? "with noise" : column == TRUTH ? (k->info.colours ? "truth" : "foreground") : names[column];
    if (column == DUET_MAP_TEACHER_ATTENTION || column == DUET_MAP_TEACHER_ACTIVATION) *whose = k->info.teacher;
    if (column == DUET_MAP_STUDENT_ATTENTION || column == DUET_MAP_STUDENT_ACTIVATION) *whose = k->info.student;
}

static bool begin_sheet(look *k)
{
    const layout *l = &k->layout;
    const size_t width = left_of(l, l->n) - GAP + MARGIN, bar = 2 * (size_t)SHEET_LINE;
    if (!sheet_open(&k->sheet, l->head + k->rows * row_height(l) + bar + MARGIN, width)) return false;
    char title[TEXT_BYTES];
    snprintf(title, sizeof title, "%s: %s = %s, %s = %s", k->info.data, k->info.teacher, k->info.teacher_model, k->info.student, k->info.student_model);
    sheet_text(&k->sheet, MARGIN, MARGIN, width - 2 * MARGIN, title);
    for (int i = 0; i < l->n; i++) {
        const char *whose, *what;
        name_column(k, l->columns[i], &whose, &what);
        sheet_text(&k->sheet, left_of(l, i), MARGIN + SHEET_LINE + GAP, l->cell_width, whose);
        sheet_text(&k->sheet, left_of(l, i), MARGIN + 2 * SHEET_LINE + GAP, l->cell_width, what);
    }
    k->row = 0;
    return true;
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
    sheet_text(&k->sheet, MARGIN + 3 * SHEET_LETTER + wide, y, k->sheet.width, "the largest value of the map, of similarity 1");
    const size_t height = y + SHEET_LINE + MARGIN;
    int code = CLI_DONE;
    if ((size_t)snprintf(path, sizeof path, "%s/look-%02zu.png", k->out, ++k->sheets) >= sizeof path) {
        cli_complain("%s: the path is too long", k->out);
        code = CLI_FAILED;
    } else if (duet_picture_write(path, k->sheet.pixels, height < k->sheet.height ? height : k->sheet.height, k->sheet.width, &err)) code = cli_fail(&err);
    else printf("%s\n", path);
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

static void fill_noisy(look *k, const duet_looked *p)
{
    for (size_t i = 0; i < 3 * p->height * p->width; i++)
        k->scratch[i] = (uint8_t)fmaxf(0, fminf(255, floorf(127.5f * p->noisy[i] + 128)));
}

static float largest(const float *values, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        if (values[i] > most) most = values[i];
    return most;
}

static void draw_cell(look *k, int column, const duet_looked *p)
{
    const int what = k->layout.columns[column];
    const sheet_box at = box_of(k, column, p);
    if (what == PICTURE) sheet_picture(&k->sheet, at, p->pixels, p->height, p->width);
    else if (what == TRUTH || what == NOISY) {
        if (what == TRUTH) fill_truth(k, p);
        else fill_noisy(k, p);
        sheet_picture(&k->sheet, at, k->scratch, p->height, p->width);
    } else {
        const size_t h = p->maps[what].height, w = p->maps[what].width;
        const float most = what == DUET_MAP_SIMILARITY ? 1 : largest(p->maps[what].values, h * w);
        sheet_map(&k->sheet, at, p->maps[what].values, h, w, most);
    }
}

static void caption(const look *k, const duet_looked *p, char text[TEXT_BYTES])
{
    const int n = snprintf(text, TEXT_BYTES, "%zu", p->index);
    const size_t used = n > 0 ? (size_t)n : 0;
    if (p->noisy) snprintf(text + used, TEXT_BYTES - used, ": t = %d", (int)p->time);
    else if (p->label >= 0 && k->info.class_names) snprintf(text + used, TEXT_BYTES - used, ": %s", k->info.class_names[p->label]);
    else if (p->label >= 0) snprintf(text + used, TEXT_BYTES - used, ": class %d", (int)p->label);
}

/* Below a map: its mean and its largest value, which the colours do not tell. */
static void below(look *k, int column, const duet_looked *p)
{
    char text[TEXT_BYTES];
    const int what = k->layout.columns[column];
    const size_t y = k->layout.head + k->row * row_height(&k->layout) + k->layout.cell_height + 3;
    if (what == PICTURE) caption(k, p, text);
    else if (what < DUET_MAPS) {
        const size_t n = p->maps[what].height * p->maps[what].width;
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += (double)p->maps[what].values[i];
        if (what == DUET_MAP_SIMILARITY) snprintf(text, sizeof text, "mean %.2f", sum / (double)n);
        else snprintf(text, sizeof text, "to %.3g", (double)largest(p->maps[what].values, n));
    } else return;
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
    k->done++;
    return ++k->row == k->rows ? end_sheet(k) : CLI_DONE;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static void print_legend(const look *k)
{
    char text[1200];
    snprintf(text, sizeof text,
             "A row is a test picture, a square of a map one place. attention: the mean over channels of F^2 in the map that the network's head reads. "
             "%ssimilarity: S, 0 to 1, of %s and %s at each place, as adm has it with the options of the run's recipe; consensus: c, the weights of places where "
             "both agree; divergence: d, those of places where they differ. Colours go from 0 (dark) to the map's own largest value (bright), which "
             "stands below it, but for similarity, whose brightest is 1.",
             strcmp(k->info.task, "classify") ? "" : "activation: the positive evidence for the picture's true class. ", k->info.teacher, k->info.student);
    printf("\n%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 0, text);
    printf("%s", cli_off(stdout));
}

static int draw(look *k)
{
    duet_error err = {0};
    for (;;) {
        duet_looked p;
        if (duet_look_next(k->inner, &p, &err)) return cli_fail(&err);
        if (!p.pixels) break;
        const int code = add(k, &p);
        if (code) return code;
    }
    const int code = end_sheet(k);
    if (!code) print_legend(k);
    return code;
}

static int run(const cli_arguments *a)
{
    static look k;
    int64_t n, from, rows, threads;
    duet_error err = {0};
    if (!cli_whole(a, "--n", 1, 100000, 8, &n) || !cli_whole(a, "--from", 0, INT32_MAX, 0, &from) || !cli_whole(a, "--rows", 1, 64, 8, &rows) ||
        !cli_whole(a, "--threads", 0, 4096, 0, &threads))
        return CLI_WRONG;
    if (!cli_value(a, "--out", NULL)) {
        cli_complain("look: say where the sheets go: --out DIR");
        return CLI_WRONG;
    }
    const duet_look_options o = {.teacher = cli_value(a, "--teacher", NULL), .student = cli_value(a, "--student", NULL), .path = cli_value(a, "--path", NULL),
                                 .best = cli_given(a, "--best"), .first = (size_t)from, .n = (size_t)n, .threads = (int)threads};
    k = (look){.out = cli_value(a, "--out", NULL), .rows = (size_t)(n < rows ? n : rows)};
    if (duet_look_open(a->positional[0], &o, &k.inner, &err)) return cli_fail(&err);
    duet_look_describe(k.inner, &k.info);
    shown_colours(k.info.colours, k.info.classes, k.colours);
    int code = cli_make_folder(k.out);
    if (!code) code = draw(&k);
    sheet_close(&k.sheet);
    free(k.scratch);
    duet_look_close(k.inner);
    return code;
}

const cli_command cli_look = {
    .name = "look",
    .summary = "see where a run's networks look and agree",
    .usage = "look RUN --out DIR [--n N] [--best]",
    .text = "Draws sheets for a run, finished or under way: a row for each test picture, with its foreground or the truth, the attention of teacher and "
            "student, their class activation maps (classifiers), the similarity S of the two, and the weights c and d that adm makes of it. Maps are "
            "computed by the nodes that train the networks.",
    .example = "duet look runs/demo --out looked\nduet look runs/study --best --n 16 --out looked",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
