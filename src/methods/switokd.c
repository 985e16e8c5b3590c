/* Switchable online distillation: mutual learning in which a teacher waits while it is too far ahead of its student.
 *
 * For a teacher t and a student s, per batch and without gradient:
 *
 *     s = mean_b |p_s - onehot|_1,  u = mean_b |p_t - onehot|_1,  G = mean_b |p_s - p_t|_1
 *     delta = s - e u,  e = exp(-u / (u + s))
 *     the pair takes an *expert* step iff G > delta (and u < s, as the authors' code has it), else a *learning* step
 *
 * In a learning step every network has CE plus KL from every other. In an expert step of a pair the teacher does not learn
 * from that student; a teacher all of whose pairs are expert is not updated at all: no gradient, no decay, its momentum stays.
 * Students always learn. One rule covers 1 teacher and 1 student, 1 and 2, 2 and 1.
 *
 * Variant v of the step: bit k says that pair k is expert; pairs are numbered teacher by teacher. Every scalar is made in the
 * common part, which is cheap, so that a variant holds only sums and gradients.
 *
 * Qian, Wang, Yuan, Wu, Zhu, Cheng, ECCV 2022. With two pairs the authors' code uses one pair's e for the other; here each
 * pair has its own. */
#include "methods/methods.h"

#include <math.h>

typedef struct switokd_config {
    double temperature, warmup_epochs;
    bool t_squared, pause_statistics;
    int criterion;
} switokd_config;

enum { CRITERION_CODE, CRITERION_PAPER };
enum { MAX_PAIRS = 2, SCALARS_OF_A_PAIR = 3 /* s, u, G */ };

typedef struct pair {
    int teacher, student;
} pair;

static int pairs_of(const dt_peers *peers, pair *pairs)
{
    int n = 0;
    for (int t = 0; t < peers->n; t++)
        for (int s = 0; s < peers->n; s++)
            if (peers->at[t].role == DT_ROLE_TEACHER && peers->at[s].role == DT_ROLE_STUDENT && n < MAX_PAIRS)
                pairs[n++] = (pair){t, s};
    return n;
}

/* ---- the decision ----------------------------------------------------------------------------------------------- */

static bool is_expert(double s, double u, double gap, int criterion)
{
    if (!(s + u > 0)) return false; /* both perfect */
    const double e = exp(-u / (u + s)), delta = s - e * u;
    return gap > delta && (criterion == CRITERION_PAPER || u < s);
}

static int choose(const float *scalars, const void *config)
{
    const switokd_config *c = config;
    int variant = 0;
    for (int k = 0; k < MAX_PAIRS; k++, scalars += SCALARS_OF_A_PAIR)
        if (is_expert((double)scalars[0], (double)scalars[1], (double)scalars[2], c->criterion)) variant |= 1 << k;
    return variant;
}

/* The scalars that choose reads, for MAX_PAIRS pairs: a pair that is not there is at distance 0 and never expert. */
static void choice_scalars(dt_graph *g, const dt_peers *peers, const pair *pairs, int n_pairs, dt_losses *out)
{
    dt_node truth[DT_MAX_NETWORKS];
    for (int i = 0; i < peers->n; i++) {
        truth[i] = peers->task->distance_to_truth(g, &peers->at[i].built, &peers->targets);
        dt_losses_term(out, truth[i], -1, "%s.distance", peers->at[i].name);
    }
    for (int k = 0; k < MAX_PAIRS; k++) {
        dt_node *to = out->choice + k * SCALARS_OF_A_PAIR;
        if (k >= n_pairs) {
            to[0] = to[1] = to[2] = dt_constant(g, 0);
            continue;
        }
        const dt_peer *t = &peers->at[pairs[k].teacher], *s = &peers->at[pairs[k].student];
        to[0] = truth[pairs[k].student];
        to[1] = truth[pairs[k].teacher];
        to[2] = peers->task->distance(g, &s->built, &t->built, &peers->targets);
        dt_losses_term(out, to[2], -1, "%s-%s.gap", t->name, s->name);
    }
    out->n_choice = MAX_PAIRS * SCALARS_OF_A_PAIR;
}

/* ---- the losses ------------------------------------------------------------------------------------------------- */

/* Does i, in this variant, not learn from j: is (i, j) a pair that takes an expert step? */
static bool ignores(const pair *pairs, int n_pairs, int variant, int i, int j)
{
    for (int k = 0; k < n_pairs; k++)
        if (pairs[k].teacher == i && pairs[k].student == j) return variant >> k & 1;
    return false;
}

/* A teacher waits when it ignores all of its students. */
static bool waits(const dt_peers *peers, const pair *pairs, int n_pairs, int variant, int i)
{
    if (peers->at[i].role != DT_ROLE_TEACHER) return false;
    for (int j = 0; j < peers->n; j++)
        if (peers->at[j].role == DT_ROLE_STUDENT && !ignores(pairs, n_pairs, variant, i, j)) return false;
    return true;
}

typedef struct parts {
    dt_node own[DT_MAX_NETWORKS];                  /* CE_i */
    dt_node from[DT_MAX_NETWORKS][DT_MAX_NETWORKS]; /* [i][j]: r KL(sg p_j || p_i), r grows over warmup_epochs */
} parts;

static void make_parts(dt_graph *g, const dt_peers *peers, const switokd_config *c, dt_losses *out, parts *p)
{
    const double scale = c->t_squared ? 1 : 1 / (c->temperature * c->temperature); /* disagreement has T^2 in it */
    for (int i = 0; i < peers->n; i++) {
        dt_node total = DT_NONE;
        p->own[i] = dt_losses_own(out, g, peers, i);
        for (int j = 0; j < peers->n; j++) {
            if (j == i) continue;
            dt_node kl = dt_scale(g, dt_disagreement(g, peers, dt_answer(g, peers, j), i, c->temperature), scale);
            p->from[i][j] = dt_ramped(g, peers, c->warmup_epochs, kl);
            total = total == DT_NONE ? kl : dt_add(g, total, kl);
        }
        dt_losses_term(out, total, -1, "%s.kl", peers->at[i].name);
    }
}

static duet_status losses(dt_graph *g, const dt_peers *peers, const void *config, dt_losses *out, duet_error *err)
{
    const switokd_config *c = config;
    pair pairs[MAX_PAIRS];
    parts p;
    const int n_pairs = pairs_of(peers, pairs);
    dt_losses_start(out, peers, 1 << n_pairs);
    make_parts(g, peers, c, out, &p);
    choice_scalars(g, peers, pairs, n_pairs, out);
    for (int v = 0; v < out->n_variants; v++) {
        dt_graph_set_variant(g, v);
        for (int i = 0; i < peers->n; i++) {
            if (waits(peers, pairs, n_pairs, v, i)) {
                out->track[v][i] = !c->pause_statistics;
                continue;
            }
            dt_node loss = p.own[i];
            for (int j = 0; j < peers->n; j++)
                if (j != i && !ignores(pairs, n_pairs, v, i, j)) loss = dt_add(g, loss, p.from[i][j]);
            dt_losses_learn(out, peers, v, i, loss);
        }
    }
    dt_graph_set_variant(g, -1);
    return dt_graph_check(g, err);
}

static duet_status check(const dt_peers *peers, const void *config, size_t validation_images, duet_error *err)
{
    (void)config, (void)validation_images;
    const int teachers = dt_count_role(peers, DT_ROLE_TEACHER), students = dt_count_role(peers, DT_ROLE_STUDENT);
    if (!teachers || !students || teachers + students != peers->n) {
        return dt_fail(err, DUET_RECIPE, "method switokd: every network must be a teacher or a student, with at least one of each; "
                       "found %d and %d among %d networks: add `role: teacher` or `role: student` to each",
                       teachers, students, peers->n);
    }
    for (int i = 0; i < peers->n; i++) {
        if (!peers->at[i].frozen) continue;
        return dt_fail(err, DUET_RECIPE, "method switokd: network '%s' is frozen, and the method itself decides when a teacher waits: "
                       "remove `frozen: true`, or choose method kd", peers->at[i].name);
    }
    return DUET_OK;
}

static const char *const variant_names[DT_MAX_VARIANTS] = {"learning", "expert", "expert_2", "expert_both"};

static const dt_option options[] = {
    /* key                type              field                                      initial  min   max   choices       help */
    {"temperature",      DT_OPTION_REAL,   offsetof(switokd_config, temperature),      "1",     0.01, 1000, NULL,         "softens the predictions that are imitated"},
    {"t_squared",        DT_OPTION_BOOL,   offsetof(switokd_config, t_squared),        "false", 0,    0,    NULL,         "multiply the KL terms by the temperature's square"},
    {"criterion",        DT_OPTION_CHOICE, offsetof(switokd_config, criterion),        "code",  0,    0,    "code|paper", "code: the teacher waits only while it is also nearer to the truth; paper: the gap alone decides"},
    {"pause_statistics", DT_OPTION_BOOL,   offsetof(switokd_config, pause_statistics), "false", 0,    0,    NULL,         "a waiting teacher's running statistics wait, too"},
    {"warmup_epochs",    DT_OPTION_REAL,   offsetof(switokd_config, warmup_epochs),    "0",     0,    1e6,  NULL,         "the weight of the KL terms grows linearly over so many epochs; who waits does not depend on it"},
    {0},
};

const dt_method dt_method_switokd = {
    .name = "switokd",
    .help = "mutual learning in which a teacher too far ahead waits for its student",
    .source = "Qian, Wang, Yuan, Wu, Zhu, Cheng, ECCV 2022",
    .min_networks = 2,
    .max_networks = 3,
    .config_bytes = sizeof(switokd_config),
    .options = options,
    .check = check,
    .losses = losses,
    .choose = choose,
    .variant_names = variant_names,
};
