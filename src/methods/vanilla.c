/* Every network for itself: L_i = CE_i. What all other methods are compared with. */
#include "methods/methods.h"

static duet_status losses(dt_graph *g, const dt_peers *peers, const void *config, dt_losses *out, duet_error *err)
{
    (void)config;
    dt_losses_start(out, peers, 1);
    for (int i = 0; i < peers->n; i++) dt_losses_learn(out, peers, 0, i, dt_losses_own(out, g, peers, i));
    return dt_graph_check(g, err);
}

static const dt_option options[] = {{0}};

const dt_method dt_method_vanilla = {
    .name = "vanilla",
    .help = "each network alone, in one run: the baseline",
    .min_networks = 1,
    .max_networks = DT_MAX_NETWORKS,
    .options = options,
    .losses = losses,
};
