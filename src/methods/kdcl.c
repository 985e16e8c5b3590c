/* Collaborative learning: all networks imitate one target q made of all of their predictions.
 *
 *     L_i = CE_i + r w T^2 KL(sg q^T || p_i^T)
 *
 * Guo, Wang, Wu, Yu, Liang, Hu, Luo, CVPR 2020. Targets: of each sample the logits of the network that is nearest to the
 * truth (naive), the best convex combination of logits on the batch (linear), per class the smallest logit relative to the
 * true class (minlogit), the networks weighted by their errors on held-out images (general); and the plain mean of
 * logits, which most public copies call KDCL. The networks see views of their own by default. */
#include "methods/methods.h"

#include <math.h>

typedef struct kdcl_config {
    double temperature, weight, warmup_epochs;
    int target;
} kdcl_config;

enum { TARGET_NAIVE, TARGET_LINEAR, TARGET_MINLOGIT, TARGET_GENERAL, TARGET_MEAN };

/* ---- the targets, as answers ------------------------------------------------------------------------------------ */

/* For each unit (a sample, a pixel) the answer of the network with the smallest loss; of equals the first. */
static dt_node naive(dt_graph *g, const dt_peers *peers)
{
    dt_node best = dt_answer(g, peers, 0);
    dt_node smallest = peers->task->unit_loss(g, best, &peers->targets);
    for (int i = 1; i < peers->n; i++) {
        dt_node own = dt_answer(g, peers, i), loss = peers->task->unit_loss(g, own, &peers->targets);
        best = dt_select(g, dt_less(g, loss, smallest), own, best);
        smallest = dt_min(g, loss, smallest);
    }
    return best;
}

/* sum_i w_i x_i, weights [1, K, 1, 1]. */
static dt_node weighted_sum(dt_graph *g, const dt_node *x, int n, dt_node weights)
{
    dt_node column = dt_reshape(g, weights, (dt_shape){(size_t)n, 1, 1, 1}), total = DT_NONE;
    for (int i = 0; i < n; i++) {
        dt_node part = dt_mul(g, x[i], dt_row(g, column, (size_t)i));
        total = i ? dt_add(g, total, part) : part;
    }
    return total;
}

static dt_node linear(dt_graph *g, const dt_peers *peers)
{
    dt_node z[DT_MAX_NETWORKS];
    for (int i = 0; i < peers->n; i++) z[i] = dt_detach(g, dt_answer(g, peers, i));
    return weighted_sum(g, z, peers->n, peers->task->best_mixture(g, z, (size_t)peers->n, &peers->targets));
}

/* z_c = min over i of (z_i[c] - z_i[y]). */
static dt_node minlogit(dt_graph *g, const dt_peers *peers)
{
    dt_node smallest = DT_NONE;
    for (int i = 0; i < peers->n; i++) {
        dt_node relative = peers->task->relative(g, dt_answer(g, peers, i), &peers->targets);
        smallest = i ? dt_min(g, smallest, relative) : relative;
    }
    return smallest;
}

/* sum_i w_i x_i with weights that come once an epoch from refresh. Of logits what is mixed is probabilities, q = sum_i w_i p_i^T: T log q,
 * whose softmax at T gives back q. */
static dt_node general(dt_graph *g, const dt_peers *peers, double temperature, dt_node weights)
{
    static const double smallest = 1e-30; /* a probability that underflowed has a logarithm, too */
    dt_node x[DT_MAX_NETWORKS], p[DT_MAX_NETWORKS];
    for (int i = 0; i < peers->n; i++) x[i] = dt_detach(g, dt_answer(g, peers, i));
    if (!peers->task->logits) return weighted_sum(g, x, peers->n, weights);
    for (int i = 0; i < peers->n; i++) p[i] = dt_exp(g, dt_log_softmax(g, x[i], temperature));
    dt_node q = dt_max(g, weighted_sum(g, p, peers->n, weights), dt_constant(g, smallest));
    return dt_scale(g, dt_log(g, q), temperature);
}

static dt_node mean(dt_graph *g, const dt_peers *peers)
{
    dt_node total = dt_answer(g, peers, 0);
    for (int i = 1; i < peers->n; i++) total = dt_add(g, total, dt_answer(g, peers, i));
    return dt_scale(g, total, 1.0 / peers->n);
}

static dt_node target(dt_graph *g, const dt_peers *peers, const kdcl_config *c, dt_losses *out)
{
    switch (c->target) {
    case TARGET_NAIVE: return naive(g, peers);
    case TARGET_LINEAR: return linear(g, peers);
    case TARGET_MINLOGIT: return minlogit(g, peers);
    case TARGET_MEAN: return mean(g, peers);
    case TARGET_GENERAL:
        out->epoch_input = dt_input(g, "kdcl.weights", DT_REAL, (dt_shape){1, (size_t)peers->n, 1, 1});
        return general(g, peers, c->temperature, out->epoch_input);
    }
    DT_BUG("kdcl target %d", c->target);
}

static duet_status losses(dt_graph *g, const dt_peers *peers, const void *config, dt_losses *out, duet_error *err)
{
    const kdcl_config *c = config;
    dt_losses_start(out, peers, 1);
    dt_node q = target(g, peers, c, out);
    for (int i = 0; i < peers->n; i++) {
        dt_node ce = dt_losses_own(out, g, peers, i);
        dt_node kl = dt_disagreement(g, peers, q, i, c->temperature);
        dt_losses_term(out, kl, -1, "%s.kl", peers->at[i].name);
        dt_losses_learn(out, peers, 0, i, dt_add(g, ce, dt_ramped(g, peers, c->warmup_epochs, dt_scale(g, kl, c->weight))));
    }
    return dt_graph_check(g, err);
}

/* ---- general: the weights, once an epoch ------------------------------------------------------------------------ */

/* Solves a x = 1 for a symmetric positive definite a by Gaussian elimination with row exchange; a is destroyed. */
static void solve_for_ones(double a[DT_MAX_NETWORKS][DT_MAX_NETWORKS], int n, double *x)
{
    for (int i = 0; i < n; i++) x[i] = 1;
    for (int column = 0; column < n; column++) {
        int pivot = column;
        for (int row = column + 1; row < n; row++)
            if (fabs(a[row][column]) > fabs(a[pivot][column])) pivot = row;
        for (int k = 0; k < n; k++) {
            const double swap = a[column][k];
            a[column][k] = a[pivot][k];
            a[pivot][k] = swap;
        }
        const double swap = x[column];
        x[column] = x[pivot];
        x[pivot] = swap;
        for (int row = column + 1; row < n; row++) {
            const double factor = a[row][column] / a[column][column];
            for (int k = column; k < n; k++) a[row][k] -= factor * a[column][k];
            x[row] -= factor * x[column];
        }
    }
    for (int row = n - 1; row >= 0; row--) {
        for (int k = row + 1; k < n; k++) x[row] -= a[row][k] * x[k];
        x[row] /= a[row][row];
    }
}

/* w = C^-1 1 / (1' C^-1 1), C_ij = mean over held-out units of <r_i, r_j>, r what a network gets wrong, with a ridge; negative
 * weights are set to 0 and the rest scaled to sum 1. C^-1 is positive definite, so that not all weights can be negative. */
static duet_status refresh(const dt_error_products *errors, int networks, const void *config, float *values, duet_error *err)
{
    (void)config;
    static const double ridge = 1e-6;
    const double units = errors->units ? (double)errors->units : 1; /* nothing to judge by: all weigh the same */
    double c[DT_MAX_NETWORKS][DT_MAX_NETWORKS], w[DT_MAX_NETWORKS], sum = 0;
    for (int i = 0; i < networks; i++)
        for (int k = 0; k < networks; k++) c[i][k] = errors->sum[i][k] / units + (i == k ? ridge : 0);
    solve_for_ones(c, networks, w);
    for (int i = 0; i < networks; i++) sum += w[i] = w[i] < 0 ? 0 : w[i];
    if (!(sum > 0) || !isfinite(sum))
        return dt_fail(err, DUET_NUMERIC, "kdcl: predictions on the held-out images are not finite; lower train.lr");
    for (int i = 0; i < networks; i++) values[i] = (float)(w[i] / sum);
    return DUET_OK;
}

static duet_status check(const dt_peers *peers, const void *config, size_t validation_images, duet_error *err)
{
    const kdcl_config *c = config;
    const dt_task *task = peers->task;
    if (c->target == TARGET_MINLOGIT && task && !task->relative)
        return dt_fail(err, DUET_RECIPE, "method kdcl: target: minlogit compares classes, and task %s has none: add `target: mean`, or naive",
                       task->name);
    if (c->target == TARGET_LINEAR && task && !task->best_mixture)
        return dt_fail(err, DUET_RECIPE, "method kdcl: target: linear is not there for task %s: add `target: mean`, or naive", task->name);
    if (c->target == TARGET_LINEAR && peers->targets.mixing)
        return dt_fail(err, DUET_RECIPE, "method kdcl: target: linear weighs the networks by the one label of each picture, and mixup gives it two: "
                       "remove `mixup` from `data:`, or choose another target, such as minlogit");
    const char *why = task && task->no_units && c->target != TARGET_MEAN ? task->no_units(peers->targets.config) : NULL;
    if (why) return dt_fail(err, DUET_RECIPE, "method kdcl: this target %s", why);
    if (c->target == TARGET_GENERAL && validation_images == 0) {
        return dt_fail(err, DUET_RECIPE, "method kdcl: target: general weighs the networks by their errors on held-out training "
                       "images, and there are none: add `validation: 1000` to `data:`, or choose another target");
    }
    return DUET_OK;
}

static const dt_option options[] = {
    /* key             type              field                                initial     min   max   choices, help */
    {"target",        DT_OPTION_CHOICE, offsetof(kdcl_config, target),        "minlogit", 0,    0,    "naive|linear|minlogit|general|mean",
     "what all imitate: per sample the best network, the batch's best convex combination, per class the smallest logit, "
     "networks weighted by their errors on held-out images, the mean of all"},
    {"temperature",   DT_OPTION_REAL,   offsetof(kdcl_config, temperature),   "2",        0.01, 1000, NULL, "softens target and prediction; the term is multiplied by its square"},
    {"weight",        DT_OPTION_REAL,   offsetof(kdcl_config, weight),        "1",        0,    1000, NULL, "weight of imitating the target"},
    {"warmup_epochs", DT_OPTION_REAL,   offsetof(kdcl_config, warmup_epochs), "0",        0,    1e6,  NULL, "the weight grows linearly over so many epochs"},
    {0},
};

const dt_method dt_method_kdcl = {
    .name = "kdcl",
    .help = "networks trained together, all imitating one target made of their predictions",
    .source = "Guo, Wang, Wu, Yu, Liang, Hu, Luo, CVPR 2020",
    .min_networks = 2,
    .max_networks = DT_MAX_NETWORKS,
    .config_bytes = sizeof(kdcl_config),
    .options = options,
    .independent_views = true,
    .check = check,
    .losses = losses,
    .refresh = refresh,
};
