/* What ADM is about to compare, as a table for people: two networks whose maps do not fit each other are no error, so what becomes
 * of the difference is said before it happens. */
#include "train_impl.h"

#include <string.h>

enum { MAP_COLUMNS = 14, MOST_PAIR_COLUMNS = 18 };

/* Both names of a pair, cut to fit a column. */
static void pair_text(const dt_session *s, const dt_adm_pair *p, char to[64])
{
    const char *teacher = s->peers.at[p->teacher].name, *student = s->peers.at[p->student].name;
    if (snprintf(to, 64, "%s, %s", teacher, student) > MOST_PAIR_COLUMNS) snprintf(to, 64, "%.8s, %.8s", teacher, student);
}

static int widest_pair(const dt_session *s)
{
    int widest = (int)strlen("networks");
    for (int i = 0; i < s->losses.n_adm_pairs; i++) {
        char text[64];
        pair_text(s, &s->losses.adm_pairs[i], text);
        if ((int)strlen(text) > widest) widest = (int)strlen(text);
    }
    return widest;
}

static void map_cell(dt_shape x, dt_text *out)
{
    char text[64];
    snprintf(text, sizeof text, "%zux%zux%zu", x.c, x.h, x.w);
    dt_text_append(out, "  %-*s", MAP_COLUMNS - 2, text);
}

/* Does some pair have maps of unequal grids? */
static bool grids_differ(const dt_losses *l)
{
    for (int i = 0; i < l->n_adm_pairs; i++) {
        const dt_shape t = l->adm_pairs[i].teacher_map, s = l->adm_pairs[i].student_map;
        if (t.h != s.h || t.w != s.w) return true;
    }
    return false;
}

static void print_row(const dt_session *s, const dt_adm_pair *p, int pair_columns, dt_text *out)
{
    char names[64];
    pair_text(s, p, names);
    const double batch = (double)p->compared.n;
    dt_text_append(out, "  %-*s", pair_columns, names);
    map_cell(p->teacher_map, out);
    map_cell(p->student_map, out);
    map_cell(p->compared, out);
    dt_text_append(out, "  %.2f M (%.1f %%)\n", p->macs / batch / 1e6, 100 * p->macs / s->forward_macs);
}

void dt_session_meetings(const dt_session *s, dt_text *out)
{
    const dt_losses *l = &s->losses;
    if (!l->n_adm_pairs) return;
    const dt_adm_pair *first = &l->adm_pairs[0];
    const int columns = widest_pair(s);
    dt_text_append(out, "adm looks at the tap '%s', view '%s'; channels x height x width:\n", first->stage, first->view);
    dt_text_append(out, "  %-*s  %-*s  %-*s  %-*s  %s\n", columns, "networks", MAP_COLUMNS - 2, "teacher has", MAP_COLUMNS - 2,
                   "student has", MAP_COLUMNS - 2, "compared as", "adds");
    for (int i = 0; i < l->n_adm_pairs; i++) print_row(s, &l->adm_pairs[i], columns, out);
    if (grids_differ(l)) dt_text_append(out, "  Where grids differ, the finer one is averaged down to the coarser.\n");
    dt_text_append(out, "  Adds: multiply-adds forward for one picture, and their share of the networks'.\n");
}
