/* Deep mutual learning: networks trained together, each of which imitates the others as they are in this step.
 *
 *     L_i = CE_i + r w T^2 * mean over j != i of KL(sg p_j^T || p_i^T)
 *
 * Zhang, Xiang, Hospedales, Lu, CVPR 2018, arXiv:1706.00384. The paper averages over the peers, its authors' code sums;
 * with two networks the two are the same. All gradients are of one joint forward, none of a network updated in between. */
#include "methods/methods.h"

typedef struct dml_config {
    double temperature, weight, warmup_epochs;
    int peers;
} dml_config;

enum { PEERS_MEAN, PEERS_SUM };

/* Over all j != i: the mean or the sum of D(sg z_j, z_i). */
static dt_node imitation(dt_graph *g, const dt_peers *peers, int i, const dml_config *c)
{
    dt_node total = DT_NONE;
    for (int j = 0; j < peers->n; j++) {
        if (j == i) continue;
        dt_node kl = dt_disagreement(g, peers, dt_answer(g, peers, j), i, c->temperature);
        total = total == DT_NONE ? kl : dt_add(g, total, kl);
    }
    return c->peers == PEERS_MEAN ? dt_scale(g, total, 1.0 / (peers->n - 1)) : total;
}

static duet_status losses(dt_graph *g, const dt_peers *peers, const void *config, dt_losses *out, duet_error *err)
{
    const dml_config *c = config;
    dt_losses_start(out, peers, 1);
    for (int i = 0; i < peers->n; i++) {
        dt_node ce = dt_losses_own(out, g, peers, i);
        dt_node kl = imitation(g, peers, i, c);
        dt_losses_term(out, kl, -1, "%s.kl", peers->at[i].name);
        dt_losses_learn(out, peers, 0, i, dt_add(g, ce, dt_ramped(g, peers, c->warmup_epochs, dt_scale(g, kl, c->weight))));
    }
    return dt_graph_check(g, err);
}

static const dt_option options[] = {
    /* key             type              field                               initial min   max   choices     help */
    {"temperature",   DT_OPTION_REAL,   offsetof(dml_config, temperature),   "1",    0.01, 1000, NULL,       "softens both predictions; the term is multiplied by its square"},
    {"weight",        DT_OPTION_REAL,   offsetof(dml_config, weight),        "1",    0,    1000, NULL,       "weight of imitating the other networks"},
    {"peers",         DT_OPTION_CHOICE, offsetof(dml_config, peers),         "mean", 0,    0,    "mean|sum", "with three networks or more: mean over the others (the paper) or sum (the authors' code)"},
    {"warmup_epochs", DT_OPTION_REAL,   offsetof(dml_config, warmup_epochs), "0",    0,    1e6,  NULL,       "the weight grows linearly over so many epochs"},
    {0},
};

const dt_method dt_method_dml = {
    .name = "dml",
    .help = "networks trained together, each imitating the others' predictions of the moment",
    .source = "Zhang, Xiang, Hospedales, Lu, CVPR 2018, arXiv:1706.00384",
    .min_networks = 2,
    .max_networks = DT_MAX_NETWORKS,
    .config_bytes = sizeof(dml_config),
    .options = options,
    .losses = losses,
};
