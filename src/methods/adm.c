/* Asymmetric decision-making: a companion to every base method that looks at *where* two networks agree.
 *
 * For each teacher and student, at each place p of their last maps:
 *
 *     u(p)      what a network says at p (`view`): by default the class evidence W~ F(:, p)
 *     S(p)      similarity of the two, 0..1, a constant for the gradient
 *     c, d      weights of the places: c = S / mean S (consensus), d = (1 - S) / mean (1 - S) (divergence)
 *     L_co      for the student: where both agree, say what the teacher says (align), or answer from there (modulate)
 *     L_di      for the teacher: where they differ, differ more (repel), or answer from there (modulate)
 *
 *     L_s += r alpha mean over teachers of L_co,   L_t += r beta mean over students of L_di
 *
 * Chen, Zhao, Ge, Chen, Song, Liang, ICML 2025, arXiv:2503.06685. These equations are re-derived from the paper's public
 * description, not copied: there is no public code and the full text was not at hand. Every choice is an option, and every
 * default is to be confirmed by the ablation.
 *
 * S lives on the smaller of the two grids: the larger u is averaged down to it. Where a weighted loss lives (on the map that a
 * classifier reads, on the pixels of a mask) is the task's business, as is which places count at all: a mean over places is
 * one over those that do. Everything up to the weights is shared by all variants of a step; only the sums with the base losses are not. */
#include "methods/methods.h"

#include <string.h>

enum { CONSENSUS_ALIGN, CONSENSUS_MODULATE, CONSENSUS_OFF };
enum { DIVERGENCE_REPEL, DIVERGENCE_MODULATE, DIVERGENCE_OFF };
enum { VIEW_CLASS, VIEW_CHANNEL, VIEW_LABEL, VIEW_ATTENTION, VIEW_OUTPUT };
enum { WEIGHTS_MEAN, WEIGHTS_NONE, WEIGHTS_UNIFORM, WEIGHTS_SOFTMAX };
enum { STAGE_FEATURES };

static const char *const stage_names[] = {"features", "stage1", "stage2", "stage3"};
static const char *const view_names[] = {"class", "channel", "label", "attention", "output"};

/* A division by less than this says nothing: METHODS.md 3.3. */
static const double smallest_mean = 1e-6;

/* What all functions below need. */
typedef struct adm {
    dt_graph *g;
    const dt_peers *peers;
    const dt_adm_config *c;
    dt_losses *out;
    dt_node view[DT_MAX_NETWORKS]; /* u of each teacher and student */
    dt_node similarity, foreground_s, foreground_c, foreground_d; /* sums over pairs, for the log */
    int n_pairs;
} adm;

/* One teacher and one student. */
typedef struct pair {
    int teacher, student;
    dt_node u_teacher, u_student; /* on the common grid */
    dt_node similarity;           /* with its gradient, if it has one */
    double macs;                  /* of what was built for this pair */
} pair;

/* Of the nodes from `first` on. */
static double macs_since(const dt_graph *g, size_t first)
{
    double macs = 0;
    for (size_t i = first; i < g->n_nodes; i++) macs += dt_node_macs(g, (dt_node)i);
    return macs;
}

static bool is_vector_view(int view)
{
    return view == VIEW_CLASS || view == VIEW_CHANNEL || view == VIEW_OUTPUT;
}

/* total + x, where the first total is DT_NONE. */
static dt_node accumulate(dt_graph *g, dt_node total, dt_node x)
{
    return total == DT_NONE ? x : dt_add(g, total, x);
}

/* ---- 1. views --------------------------------------------------------------------------------------------------- */

static dt_node map_at(const dt_built *b, int stage)
{
    if (stage == STAGE_FEATURES) return b->features;
    for (int i = 0; i < b->n_taps; i++)
        if (!strcmp(b->taps[i].name, stage_names[stage])) return b->taps[i].node;
    return DT_NONE;
}

/* x scaled so that each image has 0 as its smallest value and 1 as its largest; a flat image becomes 0. */
static dt_node min_max(dt_graph *g, dt_node x)
{
    static const double smallest_range = 1e-8;
    dt_node low = dt_reduce_min(g, x, DT_AXES_HW), high = dt_reduce_max(g, x, DT_AXES_HW);
    dt_node range = dt_max(g, dt_sub(g, high, low), dt_constant(g, smallest_range));
    return dt_div(g, dt_sub(g, x, low), range);
}

/* mean over channels of F^2, relative to its mean over the image. */
static dt_node attention(dt_graph *g, dt_node map)
{
    static const double smallest_energy = 1e-12;
    dt_node energy = dt_mean(g, dt_mul(g, map, map), DT_AXIS_C);
    return dt_div(g, energy, dt_max(g, dt_mean(g, energy, DT_AXES_HW), dt_constant(g, smallest_energy)));
}

static dt_node view_of(const adm *a, const dt_peer *p)
{
    switch (a->c->view) {
    case VIEW_CLASS:
    case VIEW_OUTPUT: return a->peers->task->evidence(a->g, &p->built, &a->peers->targets);
    case VIEW_CHANNEL: return map_at(&p->built, a->c->stage);
    case VIEW_LABEL: return min_max(a->g, a->peers->task->label_evidence(a->g, &p->built, &a->peers->targets));
    case VIEW_ATTENTION: return attention(a->g, map_at(&p->built, a->c->stage));
    }
    DT_BUG("adm view %d", a->c->view);
}

/* ---- 2. similarity ---------------------------------------------------------------------------------------------- */

/* The smaller of two over the larger; 1 where both are 0. Neither is negative. */
static dt_node ratio(dt_graph *g, dt_node x, dt_node y)
{
    static const double smallest = 1e-30;
    dt_node larger = dt_max(g, x, y);
    dt_node quotient = dt_div(g, dt_min(g, x, y), dt_max(g, larger, dt_constant(g, smallest)));
    return dt_select(g, dt_less(g, dt_constant(g, 0), larger), quotient, dt_constant(g, 1));
}

static dt_node similarity_of(const adm *a, dt_node u_student, dt_node u_teacher)
{
    switch (a->c->view) {
    case VIEW_LABEL: return dt_affine(a->g, dt_abs(a->g, dt_sub(a->g, u_student, u_teacher)), -1, 1);
    case VIEW_ATTENTION: return ratio(a->g, u_student, u_teacher);
    default: return dt_clamp(a->g, dt_spatial_cosine(a->g, u_student, u_teacher), 0, 1);
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Views of both on the smaller grid, and S there. */
static pair compare(adm *a, int teacher, int student)
{
    const dt_shape t = dt_shape_of(a->g, a->view[teacher]), s = dt_shape_of(a->g, a->view[student]);
    const size_t h = smaller(t.h, s.h), w = smaller(t.w, s.w);
    pair p = {.teacher = teacher, .student = student};
    p.u_teacher = dt_adaptive_avg_pool(a->g, a->view[teacher], h, w);
    p.u_student = dt_adaptive_avg_pool(a->g, a->view[student], h, w);
    p.similarity = similarity_of(a, p.u_student, p.u_teacher);
    a->similarity = accumulate(a->g, a->similarity, dt_mean(a->g, p.similarity, DT_AXES_ALL));
    a->n_pairs++;
    return p;
}

/* ---- 3. weights ------------------------------------------------------------------------------------------------- */

/* How much of each place of a map like x counts, 0..1; DT_NONE: all do. */
static dt_node validity_at(dt_graph *g, const dt_peers *peers, dt_node x)
{
    const dt_shape s = dt_shape_of(g, x);
    return peers->task->validity ? peers->task->validity(g, &peers->targets, s.h, s.w) : DT_NONE;
}

static dt_node validity_of(const adm *a, dt_node x)
{
    return validity_at(a->g, a->peers, x);
}

/* The mean of x over the valid places of each image (DT_AXES_HW) or of the batch (DT_AXES_ALL); 0 where none is valid. */
static dt_node valid_mean(dt_graph *g, dt_node x, dt_node valid, unsigned axes)
{
    static const double smallest = 1e-12;
    if (valid == DT_NONE) return dt_mean(g, x, axes);
    dt_node all = dt_max(g, dt_sum(g, valid, axes), dt_constant(g, smallest));
    return dt_div(g, dt_sum(g, dt_mul(g, valid, x), axes), all);
}

/* Softmax of x over the places of which anything is valid, before it is scaled to mean 1. */
static dt_node sharpened(const adm *a, dt_node x, dt_node valid)
{
    static const double never = -1e4; /* S is within 0..1 */
    if (valid != DT_NONE) x = dt_select(a->g, dt_less(a->g, dt_constant(a->g, 0), valid), x, dt_constant(a->g, never));
    return dt_place_softmax(a->g, x, 1 / a->c->tau);
}

/* Weights of places from x = S or 1 - S, [n, 1, h, w], mean 1 over the valid places of each image but with `none`. An image in which
 * x is nowhere (its mean is below 1e-6) has `otherwise` everywhere. */
static dt_node weights_of(const adm *a, dt_node x, double otherwise)
{
    dt_graph *g = a->g;
    const dt_shape s = dt_shape_of(g, x);
    dt_node valid = validity_of(a, x);
    switch (a->c->weights) {
    case WEIGHTS_NONE: return x;
    case WEIGHTS_UNIFORM: return dt_broadcast(g, dt_constant(g, 1), s);
    case WEIGHTS_SOFTMAX:
        x = dt_scale(g, sharpened(a, x, valid), (double)(s.h * s.w)); /* mean 1 where all places count */
        if (valid == DT_NONE) return x;
        break;
    default: break;
    }
    dt_node mean = valid_mean(g, x, valid, DT_AXES_HW);
    dt_node nowhere = dt_less(g, mean, dt_constant(g, smallest_mean));
    dt_node divisor = dt_select(g, nowhere, dt_constant(g, 1), mean); /* not max(): that has no gradient */
    return dt_select(g, nowhere, dt_constant(g, otherwise), dt_div(g, x, divisor));
}

static dt_node consensus_weights(const adm *a, dt_node similarity)
{
    return weights_of(a, similarity, 1);
}

/* softmax(-S / tau) is softmax((1 - S) / tau), so that one rule serves both. */
static dt_node divergence_weights(const adm *a, dt_node similarity)
{
    return weights_of(a, dt_affine(a->g, similarity, -1, 1), 0);
}

/* S without a gradient, at the places at which the network's loss can be weighted. */
static dt_node similarity_on(const adm *a, const pair *p, const dt_built *own)
{
    return a->peers->task->to_places(a->g, own, dt_detach(a->g, p->similarity), &a->peers->targets);
}

/* The accuracy of a head that answered from a weighted map, where the task has such a head. */
static dt_node accuracy_of(const adm *a, dt_node logits)
{
    const dt_task *task = a->peers->task;
    return logits == DT_NONE || !task->accuracy ? DT_NONE : task->accuracy(a->g, logits, &a->peers->targets);
}

/* ---- 4. consensus, for the student ------------------------------------------------------------------------------ */

/* mean_p c(p) (1 - cos(u_s(p), sg u_t(p))) */
static dt_node align(const adm *a, const pair *p)
{
    dt_graph *g = a->g;
    dt_node c = consensus_weights(a, a->c->detach ? dt_detach(g, p->similarity) : p->similarity);
    dt_node apart = dt_affine(g, dt_spatial_cosine(g, p->u_student, dt_detach(g, p->u_teacher)), -1, 1);
    return valid_mean(g, dt_mul(g, c, apart), validity_of(a, apart), DT_AXES_ALL);
}

/* classify: CE(head_s(mean_p c(p) F_s(:, p)), y); *accuracy: of that head. */
static dt_node answer_from_consensus(const adm *a, const pair *p, dt_node *accuracy)
{
    const dt_built *own = &a->peers->at[p->student].built;
    dt_node logits, c = consensus_weights(a, similarity_on(a, p, own));
    dt_node loss = a->peers->task->weighted_loss(a->g, own, c, &a->peers->targets, &logits);
    *accuracy = accuracy_of(a, logits);
    return dt_mean(a->g, loss, DT_AXES_ALL);
}

/* ---- 5. divergence, for the teacher ----------------------------------------------------------------------------- */

/* -mean_p d(p) (1 - cos(u_t(p), sg u_s(p))) */
static dt_node repel(const adm *a, const pair *p)
{
    dt_graph *g = a->g;
    dt_node d = divergence_weights(a, dt_detach(g, p->similarity));
    dt_node apart = dt_affine(g, dt_spatial_cosine(g, dt_detach(g, p->u_student), p->u_teacher), -1, 1);
    return dt_scale(g, valid_mean(g, dt_mul(g, d, apart), validity_of(a, apart), DT_AXES_ALL), -1);
}

/* classify: CE(head_t(mean_p d(p) F_t(:, p)), y). An image without any divergence adds 0 and stays in the mean: its pooled map would
 * be 0, and a cross-entropy of the bias alone says nothing about places. */
static dt_node answer_from_divergence(const adm *a, const pair *p, dt_node *accuracy)
{
    dt_graph *g = a->g;
    const dt_built *own = &a->peers->at[p->teacher].built;
    dt_node logits, d = divergence_weights(a, similarity_on(a, p, own));
    dt_node loss = a->peers->task->weighted_loss(g, own, d, &a->peers->targets, &logits);
    dt_node somewhere = dt_less(g, dt_constant(g, 0), dt_mean(g, d, DT_AXES_HW));
    *accuracy = accuracy_of(a, logits);
    return dt_mean(g, dt_mul(g, somewhere, loss), DT_AXES_ALL);
}

/* ---- 6. totals -------------------------------------------------------------------------------------------------- */

/* sum x M / sum x V, M the share of each place that is foreground and valid, V that which is valid. */
dt_node dt_foreground_share(dt_graph *g, const dt_peers *peers, dt_node x)
{
    static const double smallest = 1e-12;
    const dt_shape s = dt_shape_of(g, x);
    dt_node mask = peers->targets.mask, valid = validity_at(g, peers, x), valid_pixels = validity_at(g, peers, mask);
    if (valid_pixels != DT_NONE) mask = dt_mul(g, mask, valid_pixels);
    dt_node on = dt_sum(g, dt_mul(g, x, dt_adaptive_avg_pool(g, mask, s.h, s.w)), DT_AXES_ALL);
    dt_node all = dt_sum(g, valid == DT_NONE ? x : dt_mul(g, x, valid), DT_AXES_ALL);
    return dt_div(g, on, dt_max(g, all, dt_constant(g, smallest)));
}

dt_node dt_foreground_area(dt_graph *g, const dt_peers *peers)
{
    dt_node mask = peers->targets.mask;
    return valid_mean(g, mask, validity_at(g, peers, mask), DT_AXES_ALL);
}

static dt_node share_on_foreground(const adm *a, dt_node x)
{
    return dt_foreground_share(a->g, a->peers, x);
}

static void measure_foreground(adm *a, const pair *p)
{
    dt_node similarity = dt_detach(a->g, p->similarity);
    a->foreground_s = accumulate(a->g, a->foreground_s, share_on_foreground(a, similarity));
    a->foreground_c = accumulate(a->g, a->foreground_c, share_on_foreground(a, consensus_weights(a, similarity)));
    a->foreground_d = accumulate(a->g, a->foreground_d, share_on_foreground(a, divergence_weights(a, similarity)));
}

/* What a network attends to: mean_c F^2 of the map that its head reads. */
static dt_node attention_map(dt_graph *g, const dt_built *b)
{
    dt_node features = dt_detach(g, b->features);
    return dt_mean(g, dt_mul(g, features, features), DT_AXIS_C);
}

/* The class activation map, without a gradient; DT_NONE where the task has none. */
static dt_node activation_map(const adm *a, const dt_built *b)
{
    const dt_task *task = a->peers->task;
    return task->activation ? dt_detach(a->g, task->activation(a->g, b, &a->peers->targets)) : DT_NONE;
}

/* The shares of a network's attention and of its class activation map on the foreground: do teachers emphasise it more? */
static void measure_network(const adm *a, const dt_peer *p)
{
    dt_losses_term(a->out, share_on_foreground(a, attention_map(a->g, &p->built)), -1, "%s.foreground_attention", p->name);
    dt_node activation = activation_map(a, &p->built);
    if (activation != DT_NONE) dt_losses_term(a->out, share_on_foreground(a, activation), -1, "%s.foreground_cam", p->name);
}

/* x, scaled and ramped, to the loss of network i in every variant in which it learns. */
static void add_to_losses(const adm *a, int i, double weight, dt_node x)
{
    if (weight == 0) return; /* not even an addition of 0: the base method bit for bit */
    dt_losses *out = a->out;
    dt_node term = dt_ramped(a->g, a->peers, a->c->warmup_epochs, dt_scale(a->g, x, weight));
    for (int v = 0; v < out->n_variants; v++) {
        if (out->loss[v][i] == DT_NONE) continue; /* it waits */
        if (out->n_variants > 1) dt_graph_set_variant(a->g, v);
        out->loss[v][i] = dt_add(a->g, out->loss[v][i], term);
        dt_graph_set_variant(a->g, -1);
    }
}

/* The term of one network, the mean over its n partners, given the pairs it is in: L_co of a student, L_di of a teacher. */
static void add_network(const adm *a, int i, pair *const *pairs, int n)
{
    const dt_peer *own = &a->peers->at[i];
    const bool student = own->role == DT_ROLE_STUDENT;
    const int form = student ? a->c->consensus : a->c->divergence;
    if (own->frozen || form == (student ? (int)CONSENSUS_OFF : (int)DIVERGENCE_OFF)) return;
    const char *what = student ? "co" : "di";
    dt_node total = DT_NONE, right = DT_NONE;
    for (int k = 0; k < n; k++) {
        dt_node accuracy = DT_NONE, loss;
        const size_t first = a->g->n_nodes;
        if (student) loss = form == CONSENSUS_ALIGN ? align(a, pairs[k]) : answer_from_consensus(a, pairs[k], &accuracy);
        else loss = form == DIVERGENCE_REPEL ? repel(a, pairs[k]) : answer_from_divergence(a, pairs[k], &accuracy);
        pairs[k]->macs += macs_since(a->g, first);
        total = accumulate(a->g, total, loss);
        if (accuracy != DT_NONE) right = accumulate(a->g, right, accuracy);
    }
    total = dt_scale(a->g, total, 1.0 / n);
    dt_losses_term(a->out, total, -1, "%s.%s", own->name, what);
    if (right != DT_NONE) dt_losses_term(a->out, dt_scale(a->g, right, 1.0 / n), -1, "%s.%s_top1", own->name, what);
    add_to_losses(a, i, student ? a->c->alpha : a->c->beta, total);
}

static void log_pairs(const adm *a)
{
    const double share = 1.0 / a->n_pairs;
    dt_losses_term(a->out, dt_scale(a->g, a->similarity, share), -1, "adm.similarity");
    if (a->foreground_c == DT_NONE) return;
    dt_losses_term(a->out, dt_foreground_area(a->g, a->peers), -1, "adm.foreground");
    dt_losses_term(a->out, dt_scale(a->g, a->foreground_s, share), -1, "adm.foreground_s");
    dt_losses_term(a->out, dt_scale(a->g, a->foreground_c, share), -1, "adm.foreground_c");
    dt_losses_term(a->out, dt_scale(a->g, a->foreground_d, share), -1, "adm.foreground_d");
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

/* Is `word` one of a list "a, b, c"? */
static bool is_listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ',' || !at[n])) return true;
    return false;
}

static duet_status check_view(const dt_peers *peers, const dt_adm_config *c, duet_error *err)
{
    const char *view = view_names[c->view], *stage = stage_names[c->stage];
    if (!is_listed(peers->task->views, view)) {
        return dt_fail(err, DUET_RECIPE, "adm: view: %s means nothing to task %s: choose one of its views: %s", view, peers->task->name,
                       peers->task->views);
    }
    if (!is_vector_view(c->view) && c->consensus == CONSENSUS_ALIGN) {
        return dt_fail(err, DUET_RECIPE, "adm: view: %s gives one number at each place, and consensus: align compares vectors: "
                       "add `consensus: modulate` (or off), or choose view: class", view);
    }
    if (!is_vector_view(c->view) && c->divergence == DIVERGENCE_REPEL) {
        return dt_fail(err, DUET_RECIPE, "adm: view: %s gives one number at each place, and divergence: repel compares vectors: "
                       "add `divergence: modulate` (or off), or choose view: class", view);
    }
    if (c->stage == STAGE_FEATURES) return DUET_OK;
    if (c->view == VIEW_CLASS || c->view == VIEW_LABEL || c->view == VIEW_OUTPUT) {
        return dt_fail(err, DUET_RECIPE, "adm: view: %s asks the network's classifier, which reads the last map only, not stage: %s: "
                       "add `stage: features`, or choose view: channel or attention", view, stage);
    }
    if (c->consensus == CONSENSUS_MODULATE || c->divergence == DIVERGENCE_MODULATE) {
        const bool consensus = c->consensus == CONSENSUS_MODULATE;
        return dt_fail(err, DUET_RECIPE, "adm: %s: modulate answers with the network's classifier, which reads the last map only, "
                       "not stage: %s: add `stage: features`, or `%s`", consensus ? "consensus" : "divergence", stage,
                       consensus ? "consensus: align" : "divergence: repel");
    }
    return DUET_OK;
}

duet_status dt_adm_check(const dt_peers *peers, const dt_adm_config *c, duet_error *err)
{
    if (!c->enabled) return DUET_OK;
    const int teachers = dt_count_role(peers, DT_ROLE_TEACHER), students = dt_count_role(peers, DT_ROLE_STUDENT);
    if (!teachers || !students) {
        return dt_fail(err, DUET_RECIPE, "adm needs a teacher and a student, found %d and %d among %d networks: add `role: %s` to one "
                       "of them under `networks:`%s", teachers, students, peers->n, teachers ? "student" : "teacher",
                       teachers || students ? "" : " and `role: student` to another");
    }
    return check_view(peers, c, err);
}

/* Do the maps of a pair fit the view? */
static duet_status check_maps(const adm *a, int teacher, int student, duet_error *err)
{
    const char *stage = stage_names[a->c->stage];
    const int both[2] = {teacher, student};
    size_t channels[2];
    for (int k = 0; k < 2; k++) {
        const dt_peer *p = &a->peers->at[both[k]];
        dt_node map = map_at(&p->built, a->c->stage);
        if (map == DT_NONE) {
            return dt_fail(err, DUET_RECIPE, "adm: network '%s' has no stage: %s: add `stage: features`, which every network has",
                           p->name, stage);
        }
        channels[k] = dt_shape_of(a->g, map).c;
    }
    if (a->c->view != VIEW_CHANNEL || channels[0] == channels[1]) return DUET_OK;
    return dt_fail(err, DUET_RECIPE, "adm: view: channel compares maps channel by channel, and at %s '%s' has %zu channels and '%s' "
                   "has %zu: add `view: class`, which fits any pair, or choose networks of equal width",
                   stage, a->peers->at[teacher].name, channels[0], a->peers->at[student].name, channels[1]);
}

/* ---- public ----------------------------------------------------------------------------------------------------- */

static int with_role(const dt_peers *peers, dt_role role, int *which)
{
    int n = 0;
    for (int i = 0; i < peers->n; i++)
        if (peers->at[i].role == role) which[n++] = i;
    return n;
}

static adm nothing_yet(dt_graph *g, const dt_peers *peers, const dt_adm_config *c, dt_losses *out)
{
    return (adm){.g = g, .peers = peers, .c = c, .out = out,
                 .similarity = DT_NONE, .foreground_s = DT_NONE, .foreground_c = DT_NONE, .foreground_d = DT_NONE};
}

duet_status dt_adm_look(dt_graph *g, const dt_peers *peers, const dt_adm_config *c, int teacher, int student, dt_adm_maps *out, duet_error *err)
{
    const int both[2] = {teacher, student};
    adm a = nothing_yet(g, peers, c, NULL);
    DT_TRY(check_view(peers, c, err));
    DT_TRY(dt_graph_check(g, err));
    DT_TRY(check_maps(&a, teacher, student, err));
    dt_adm_maps maps;
    for (int k = 0; k < 2; k++) {
        const dt_peer *p = &peers->at[both[k]];
        a.view[both[k]] = view_of(&a, p);
        maps.attention[k] = attention_map(g, &p->built);
        maps.activation[k] = activation_map(&a, &p->built);
    }
    const pair p = compare(&a, teacher, student);
    maps.similarity = dt_detach(g, p.similarity);
    maps.consensus = consensus_weights(&a, maps.similarity);
    maps.divergence = divergence_weights(&a, maps.similarity);
    *out = maps;
    return dt_graph_check(g, err);
}

/* What is compared of each network; *macs: what that costs, divided among the pairs in which it is. */
static void look_at_networks(adm *a, int n_teachers, int n_students, double macs[DT_MAX_NETWORKS])
{
    for (int i = 0; i < a->peers->n; i++) {
        const dt_peer *p = &a->peers->at[i];
        if (p->role == DT_ROLE_PEER) continue;
        const size_t first = a->g->n_nodes;
        a->view[i] = view_of(a, p);
        macs[i] = macs_since(a->g, first) / (p->role == DT_ROLE_TEACHER ? n_students : n_teachers);
        if (a->peers->targets.mask != DT_NONE) measure_network(a, p);
    }
}

static void describe_pair(const adm *a, const pair *p)
{
    dt_losses *out = a->out;
    out->adm_pairs[out->n_adm_pairs++] = (dt_adm_pair){
        .teacher = p->teacher, .student = p->student, .stage = stage_names[a->c->stage], .view = view_names[a->c->view],
        .teacher_map = dt_shape_of(a->g, map_at(&a->peers->at[p->teacher].built, a->c->stage)),
        .student_map = dt_shape_of(a->g, map_at(&a->peers->at[p->student].built, a->c->stage)),
        .compared = dt_shape_of(a->g, p->u_student), .macs = p->macs,
    };
}

duet_status dt_adm_add(dt_graph *g, const dt_peers *peers, const dt_adm_config *c, dt_losses *losses, duet_error *err)
{
    if (!c->enabled) return DUET_OK;
    DT_TRY(dt_adm_check(peers, c, err));
    DT_TRY(dt_graph_check(g, err));
    adm a = nothing_yet(g, peers, c, losses);
    int teachers[DT_MAX_NETWORKS], students[DT_MAX_NETWORKS];
    const int n_teachers = with_role(peers, DT_ROLE_TEACHER, teachers);
    const int n_students = with_role(peers, DT_ROLE_STUDENT, students);
    for (int i = 0; i < n_teachers; i++)
        for (int j = 0; j < n_students; j++) DT_TRY(check_maps(&a, teachers[i], students[j], err));

    double view_macs[DT_MAX_NETWORKS];
    pair pairs[DT_MAX_NETWORKS][DT_MAX_NETWORKS], *own[DT_MAX_NETWORKS];
    look_at_networks(&a, n_teachers, n_students, view_macs);
    for (int i = 0; i < n_teachers; i++) {
        for (int j = 0; j < n_students; j++) {
            pairs[i][j] = compare(&a, teachers[i], students[j]);
            pairs[i][j].macs = view_macs[teachers[i]] + view_macs[students[j]];
            if (peers->targets.mask != DT_NONE) measure_foreground(&a, &pairs[i][j]);
        }
    }
    for (int i = 0; i < n_teachers; i++) {
        for (int j = 0; j < n_students; j++) own[j] = &pairs[i][j];
        add_network(&a, teachers[i], own, n_students);
    }
    for (int j = 0; j < n_students; j++) {
        for (int i = 0; i < n_teachers; i++) own[i] = &pairs[i][j];
        add_network(&a, students[j], own, n_teachers);
    }
    for (int i = 0; i < n_teachers; i++)
        for (int j = 0; j < n_students; j++) describe_pair(&a, &pairs[i][j]);
    log_pairs(&a);
    return dt_graph_check(g, err);
}

const dt_option dt_adm_options[] = {
    /* key             type              field                                   initial     min   max  choices                      help */
    {"consensus",     DT_OPTION_CHOICE, offsetof(dt_adm_config, consensus),     "align",    0,    0,   "align|modulate|off",
     "what a student does where it agrees with a teacher: say the same, or answer from there"},
    {"divergence",    DT_OPTION_CHOICE, offsetof(dt_adm_config, divergence),    "modulate", 0,    0,   "repel|modulate|off",
     "what a teacher does where it differs from a student: differ more, or answer from there"},
    {"view",          DT_OPTION_CHOICE, offsetof(dt_adm_config, view),          "class",    0,    0,   "class|channel|label|attention|output",
     "what is compared at each place: evidence for all classes, the channels, evidence for the true class, energy, the output itself (task denoise)"},
    {"stage",         DT_OPTION_CHOICE, offsetof(dt_adm_config, stage),         "features", 0,    0,   "features|stage1|stage2|stage3",
     "which maps are compared; class, label and modulate need features, the map that enters global pooling"},
    {"weights",       DT_OPTION_CHOICE, offsetof(dt_adm_config, weights),       "mean",     0,    0,   "mean|none|uniform|softmax",
     "how similarity becomes weights: divided by its mean, as it is, ignored (a control), softmax over the places"},
    {"tau",           DT_OPTION_REAL,   offsetof(dt_adm_config, tau),           "0.1",      1e-3, 1e3, NULL, "temperature of weights: softmax"},
    {"alpha",         DT_OPTION_REAL,   offsetof(dt_adm_config, alpha),         "1",        0,    1e3, NULL, "weight of the students' consensus loss"},
    {"beta",          DT_OPTION_REAL,   offsetof(dt_adm_config, beta),          "1",        0,    1e3, NULL, "weight of the teachers' divergence loss"},
    {"detach",        DT_OPTION_BOOL,   offsetof(dt_adm_config, detach),        "true",     0,    0,   NULL, "false: with consensus: align, the gradient also flows through the weights"},
    {"warmup_epochs", DT_OPTION_REAL,   offsetof(dt_adm_config, warmup_epochs), "0",        0,    1e6, NULL, "alpha and beta grow linearly over so many epochs"},
    {0},
};
const char dt_adm_help[] = "students trust the places where they agree with a teacher, teachers work on those where they differ";
const char dt_adm_source[] =
    "Chen, Zhao, Ge, Chen, Song, Liang, ICML 2025, arXiv:2503.06685; equations re-derived from its public description";
