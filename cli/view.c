/* The look of a training run.
 *
 * On a terminal, progress is one line on standard error, redrawn; it gives up its parts in a fixed order where the terminal is
 * narrow. Elsewhere it is a plain line now and then. Finished epochs are rows of a table on standard output, so that the
 * output of a run, sent to a file, is that table. */
#include "view.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { PLAIN_EVERY_S = 30, LINE_BYTES = 1024 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the progress line -------------------------------------------------------------------------------------- */

/* A line under construction: its bytes and how many columns they take. */
typedef struct line {
    char bytes[LINE_BYTES];
    size_t n;
    int columns;
} line;

static void append(line *l, const char *style, const char *text)
{
    const char *off = *style ? "\033[0m" : "";
    const int n = snprintf(l->bytes + l->n, sizeof l->bytes - l->n, "%s%s%s", style, text, off);
    if (n < 0 || (size_t)n >= sizeof l->bytes - l->n) return;
    l->n += (size_t)n;
    for (const char *c = text; *c; c++) l->columns += ((unsigned char)*c & 0xC0) != 0x80; /* not the rest of a UTF-8 character */
}

static void append_bar(line *l, double share, int cells)
{
    const bool unicode = cli_unicode();
    char full[128] = "", rest[128] = "";
    const int done = (int)(share * cells + 0.5);
    for (int i = 0; i < cells; i++) strcat(i < done ? full : rest, unicode ? (i < done ? "━" : "─") : (i < done ? "=" : "."));
    append(l, "", "  ");
    append(l, cli_on(stderr, CLI_GOOD), full);
    append(l, cli_on(stderr, CLI_DIM), rest);
}

static void append_losses(line *l, const duet_progress *p)
{
    char text[96];
    for (size_t i = 0; i < p->n_networks; i++) {
        snprintf(text, sizeof text, "  %.24s ", p->names[i]);
        append(l, cli_on(stderr, CLI_DIM), text);
        if (isnan(p->loss[i])) snprintf(text, sizeof text, "-"); /* this step did not train it */
        else snprintf(text, sizeof text, "%.3f", p->loss[i]);
        append(l, "", text);
    }
}

/* From level to level something is left out or shorter: bar, "images", steps, losses. */
enum { LONG_BAR, SHORT_BAR, NO_BAR, SHORT_RATE, NO_STEPS, NO_LOSSES, LEVELS };

static void compose(line *l, const duet_progress *p, int level)
{
    char text[96], left[32];
    *l = (line){0};
    snprintf(text, sizeof text, "epoch %lld/%lld", (long long)p->epoch, (long long)p->epochs);
    append(l, cli_on(stderr, CLI_BOLD), text);
    if (level < NO_BAR) append_bar(l, (double)p->step / (double)p->steps, level == LONG_BAR ? 24 : 10);
    snprintf(text, sizeof text, "  step %lld/%lld", (long long)p->step, (long long)p->steps);
    if (level < NO_STEPS) append(l, "", text);
    if (level < NO_LOSSES) append_losses(l, p);
    snprintf(text, sizeof text, level < SHORT_RATE ? "  %.*f images/s" : "  %.*f/s", cli_rate_digits(p->images_per_s), p->images_per_s);
    append(l, "", text);
    snprintf(text, sizeof text, "  %s left", cli_duration(p->left_s, left));
    append(l, "", text);
}

void cli_view_clear(cli_view *view)
{
    if (view->drawn) fputs("\r\033[K", stderr);
    view->drawn = false;
}

static void on_progress(void *user, const duet_progress *p)
{
    cli_view *view = user;
    line l;
    if (view->live) {
        const int room = cli_width() - 1;
        int level = LONG_BAR;
        do compose(&l, p, level);
        while (l.columns > room && ++level < LEVELS);
        fprintf(stderr, "\r%s\033[K", l.bytes);
        fflush(stderr);
        view->drawn = true;
        return;
    }
    if (now_s() - view->last_plain_s < PLAIN_EVERY_S) return;
    compose(&l, p, NO_BAR);
    printf("%s\n", l.bytes);
    fflush(stdout);
    view->last_plain_s = now_s();
}

/* ---- the table of epochs ------------------------------------------------------------------------------------ */

/* Each network has 19 columns: its mean loss, its top-1, and a mark where that is the best so far. */
static void print_epoch_head(const duet_epoch *e)
{
    const char *bold = cli_on(stdout, CLI_BOLD), *dim = cli_on(stdout, CLI_DIM), *off = cli_off(stdout);
    printf("\n%17s", "");
    for (size_t i = 0; i < e->n_networks; i++) printf("    %s%-15.15s%s", bold, e->names[i], off);
    printf("\n%s%8s %8s", dim, "epoch", "lr");
    for (size_t i = 0; i < e->n_networks; i++) printf("  %8s %7.7s ", "loss", e->test[i].n ? e->test[i].at[0].title : "");
    printf("  %8s %7s%s\n", "images/s", "time", off);
}

static void print_epoch_network(cli_view *view, const duet_epoch *e, size_t i)
{
    char loss[32] = "-", measure[32] = "-";
    const duet_measure *test = &e->test[i].at[0];
    const double score = e->validated ? e->validation[i].at[0].value : test->value, before = view->best[i];
    const bool better = e->evaluated && (isnan(before) || (test->higher_is_better ? score > before : score < before));
    if (!isnan(e->loss[i])) snprintf(loss, sizeof loss, "%.4f", e->loss[i]);
    if (e->evaluated) snprintf(measure, sizeof measure, "%.*f", test->digits, test->value);
    if (better) view->best[i] = score;
    printf("  %8s %s%7s%s%s", loss, better ? cli_on(stdout, CLI_GOOD) : "", measure, better ? "*" : " ", better ? cli_off(stdout) : "");
}

static void on_epoch(void *user, const duet_epoch *e)
{
    cli_view *view = user;
    char at[40], time[32];
    cli_view_clear(view);
    if (!view->headed) print_epoch_head(e);
    view->headed = true;
    snprintf(at, sizeof at, "%lld/%lld", (long long)e->epoch, (long long)e->epochs);
    printf("%8s %8.3g", at, e->lr);
    for (size_t i = 0; i < e->n_networks; i++) print_epoch_network(view, e, i);
    printf("  %8.*f %7s\n", cli_rate_digits(e->images_per_s), e->images_per_s, cli_duration(e->train_s + e->eval_s, time));
    fflush(stdout);
    view->last_plain_s = now_s();
}

static void on_log(void *user, const char *text)
{
    cli_view *view = user;
    cli_view_clear(view);
    printf("%s", cli_on(stdout, CLI_DIM));
    cli_print_folded(stdout, 0, text);
    printf("%s", cli_off(stdout));
    fflush(stdout);
}

void cli_view_open(cli_view *view, bool quiet)
{
    *view = (cli_view){.quiet = quiet, .live = !quiet && cli_is_terminal(stderr), .last_plain_s = now_s()};
    for (size_t i = 0; i < DUET_MAX_NETWORKS; i++) view->best[i] = (double)NAN;
}

static void on_meet(void *user, const char *table)
{
    (void)user;
    printf("\n%s", table);
    fflush(stdout);
}

duet_observer cli_view_observer(cli_view *view)
{
    if (view->quiet) return (duet_observer){.user = view};
    return (duet_observer){.progress = on_progress, .epoch = on_epoch, .log = on_log, .user = view, .meet = on_meet};
}

/* ---- the table at the end ----------------------------------------------------------------------------------- */

static int widest(int so_far, const char *text)
{
    const int n = (int)strlen(text);
    return n > so_far ? n : so_far;
}

/* The measure that decides, and up to two more. */
enum { DECIDES, MOST_SHOWN = 3 };
typedef struct shown {
    size_t at[MOST_SHOWN];
    int n;
} shown;

/* The first measure and the last two: of classifiers top-1, cross-entropy and calibration. Many measures are parts of the
 * first (the error by times): then it stands for them. */
static shown worth_showing(const duet_measures *m)
{
    enum { MANY = 8 };
    shown s = {.n = 1};
    if (m->n > MANY) return s;
    for (size_t i = m->n > MOST_SHOWN ? m->n - MOST_SHOWN + 1 : 1; i < m->n; i++) s.at[s.n++] = i;
    return s;
}

static void print_titles(const duet_measures *m)
{
    const shown s = worth_showing(m);
    printf("  ");
    for (int i = 0; i < s.n; i++) printf(" %8s", m->at[s.at[i]].title);
}

static void print_measures(const duet_measures *m, const char *style)
{
    const shown s = worth_showing(m);
    printf("  ");
    for (int i = 0; i < s.n; i++) {
        const duet_measure *x = &m->at[s.at[i]];
        printf(" %s%8.*f%s", i ? "" : style, x->digits, x->value, i || !*style ? "" : cli_off(stdout));
    }
}

/* "top-1: percent of ...; CE: cross-entropy ..." */
static void explain(const duet_measures *m, bool by_validation)
{
    char text[1024];
    const shown s = worth_showing(m);
    size_t n = (size_t)snprintf(text, sizeof text, "%s", by_validation
                                ? "Measured on the test set; the best epoch was chosen on held-out training pictures."
                                : "Measured on the test set, on which the best epoch was chosen too: a little flattering.");
    for (int i = 0; i < s.n && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s %s: %s", i ? ";" : "", m->at[s.at[i]].title, m->at[s.at[i]].help);
    cli_print_folded(stdout, 0, text);
}

void cli_view_result(const duet_run_result *r)
{
    const char *bold = cli_on(stdout, CLI_BOLD), *dim = cli_on(stdout, CLI_DIM), *off = cli_off(stdout);
    int names = 7, models = 5;
    bool measured = false;
    for (size_t i = 0; i < r->n_networks; i++) {
        names = widest(names, r->networks[i].name);
        models = widest(models, r->networks[i].model);
        measured = measured || r->networks[i].best_epoch > 0;
    }
    if (!measured) return;
    const duet_measures *example = &r->networks[0].last;
    printf("\n%s%*s   %-*s  %s%s\n", bold, names + models + 2, "", 9 * worth_showing(example).n, "last epoch", "best epoch", off);
    printf("%s%-*s  %-*s", dim, names, "network", models, "model");
    print_titles(example);
    print_titles(example);
    printf(" %6s%s\n", "epoch", off);
    for (size_t i = 0; i < r->n_networks; i++) {
        const duet_network_result *n = &r->networks[i];
        printf("%s%-*s%s  %-*s", cli_on(stdout, CLI_NAME), names, n->name, off, models, n->model);
        print_measures(&n->last, bold);
        print_measures(&n->best, bold);
        printf(" %6lld\n", (long long)n->best_epoch);
    }
    printf("%s", dim);
    explain(example, r->best_by_validation);
    printf("%s", off);
}
