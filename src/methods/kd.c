/* Knowledge distillation: a trained teacher that stands still, students that imitate its softened predictions.
 *
 *     L_s = (1 - r a) CE_s + r a T^2 KL(sg p_t^T || p_s^T), or, where `weight` w is given,  L_s = CE_s + r w T^2 KL
 *
 * r grows to 1 over warmup_epochs, and is 1 without.
 * Hinton, Vinyals, Dean, arXiv:1503.02531. The teacher is frozen: in inference mode, without a loss. */
#include "methods/methods.h"

typedef struct kd_config {
    double temperature, alpha, weight, warmup_epochs;
} kd_config;

static int teacher_of(const dt_peers *peers)
{
    for (int i = 0; i < peers->n; i++)
        if (peers->at[i].role == DT_ROLE_TEACHER) return i;
    DT_BUG("kd without a teacher");
}

static duet_status check(const dt_peers *peers, const void *config, size_t validation_images, duet_error *err)
{
    (void)config, (void)validation_images;
    const int teachers = dt_count_role(peers, DT_ROLE_TEACHER);
    if (teachers != 1) {
        return dt_fail(err, DUET_RECIPE, "method kd: one network must be the teacher, found %d: add `role: teacher` to %s "
                       "and `role: student` to the others", teachers, teachers ? "only one of them" : "one network");
    }
    for (int i = 0; i < peers->n; i++) {
        const dt_peer *p = &peers->at[i];
        if (p->role == DT_ROLE_PEER) {
            return dt_fail(err, DUET_RECIPE, "method kd: network '%s' is neither teacher nor student: add `role: student` to it",
                           p->name);
        }
        if (p->role == DT_ROLE_TEACHER && !p->frozen) {
            return dt_fail(err, DUET_RECIPE, "method kd: the teacher '%s' must stand still: add `frozen: true` to it, with `init:` "
                           "and the file of its weights (to train both at once, choose method dml)", p->name);
        }
        if (p->role == DT_ROLE_STUDENT && p->frozen) {
            return dt_fail(err, DUET_RECIPE, "method kd: the student '%s' is frozen: remove `frozen: true` from it", p->name);
        }
    }
    return DUET_OK;
}

/* With a share alpha the labels get the rest, also while it grows. */
static dt_node soften(dt_graph *g, const dt_peers *peers, dt_node ce, dt_node kl, const kd_config *c)
{
    const bool share = !(c->weight > 0);
    dt_node imitation = dt_scale(g, share ? dt_sub(g, kl, ce) : kl, share ? c->alpha : c->weight);
    return dt_add(g, ce, dt_ramped(g, peers, c->warmup_epochs, imitation));
}

static duet_status losses(dt_graph *g, const dt_peers *peers, const void *config, dt_losses *out, duet_error *err)
{
    const kd_config *c = config;
    const int t = teacher_of(peers);
    dt_losses_start(out, peers, 1);
    for (int i = 0; i < peers->n; i++) {
        const dt_peer *s = &peers->at[i];
        dt_node ce = dt_losses_own(out, g, peers, i);
        if (i == t) continue;
        dt_node kl = dt_disagreement(g, peers, dt_answer(g, peers, t), i, c->temperature);
        dt_losses_term(out, kl, -1, "%s.kl", s->name);
        dt_losses_learn(out, peers, 0, i, soften(g, peers, ce, kl, c));
    }
    return dt_graph_check(g, err);
}

static const dt_option options[] = {
    /* key             type            field                              initial min   max   choices, help */
    {"temperature",   DT_OPTION_REAL, offsetof(kd_config, temperature),   "4",   0.01, 1000, NULL, "softens both predictions; the soft loss is multiplied by its square"},
    {"alpha",         DT_OPTION_REAL, offsetof(kd_config, alpha),         "0.9", 0,    1,    NULL, "weight of the soft loss; the labels get the rest"},
    {"weight",        DT_OPTION_REAL, offsetof(kd_config, weight),        "0",   0,    1000, NULL, "above 0: weight of the soft loss beside the labels' whole loss, in place of alpha"},
    {"warmup_epochs", DT_OPTION_REAL, offsetof(kd_config, warmup_epochs), "0",   0,    1e6,  NULL, "alpha, or the weight, grows linearly over so many epochs"},
    {0},
};

const dt_method dt_method_kd = {
    .name = "kd",
    .help = "a frozen, trained teacher; students imitate its softened predictions",
    .source = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531",
    .min_networks = 2,
    .max_networks = DT_MAX_NETWORKS,
    .config_bytes = sizeof(kd_config),
    .options = options,
    .check = check,
    .losses = losses,
};
