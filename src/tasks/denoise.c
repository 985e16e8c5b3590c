/* Denoising, the task that diffusion models learn: a picture x0 in -1..1 is drowned in noise eps,
 *
 *     x_t = sqrt(ab_t) x0 + sqrt(1 - ab_t) eps,   t uniform in 0..T-1,
 *
 * and the network says from x_t and t what eps was: e [n, 3, H, W]. (Ho, Jain, Abbeel, NeurIPS 2020, arXiv:2006.11239.) Who makes
 * x_t, t and eps is the loader; all networks of a step get the same.
 *
 *     L = mean (e - eps)^2        D(target, own) = mean (own - sg target)^2
 *
 * There are no classes, so that predictions cannot be softened. ADM in denoising is inferred: of the paper's "diffusion distillation"
 * only the outcome is known. Here it compares the outputs in blocks of pixels, and `modulate` weighs pixels. */
#include "tasks/tasks.h"

static dt_node square(dt_graph *g, dt_node x)
{
    return dt_mul(g, x, x);
}

static dt_node mean_square(dt_graph *g, dt_node a, dt_node b)
{
    return dt_mean(g, square(g, dt_sub(g, a, b)), DT_AXES_ALL);
}

static dt_node loss(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return mean_square(g, own->output, t->noise);
}

/* ---- base methods ------------------------------------------------------------------------------------------------ */

static dt_node answer(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    (void)g, (void)t;
    return own->output;
}

static dt_node disagreement(dt_graph *g, dt_node target, const dt_built *own, const dt_targets *t, double temperature)
{
    (void)t, (void)temperature;
    return mean_square(g, own->output, dt_detach(g, target));
}

static dt_node mean_distance(dt_graph *g, dt_node a, dt_node b)
{
    return dt_mean(g, dt_abs(g, dt_sub(g, a, b)), DT_AXES_ALL);
}

static dt_node distance_to_truth(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return mean_distance(g, own->output, t->noise);
}

static dt_node distance(dt_graph *g, const dt_built *a, const dt_built *b, const dt_targets *t)
{
    (void)t;
    return mean_distance(g, a->output, b->output);
}

/* The squared error of each sample. */
static dt_node unit_loss(dt_graph *g, dt_node e, const dt_targets *t)
{
    return dt_mean(g, square(g, dt_sub(g, e, t->noise)), DT_AXIS_C | DT_AXES_HW);
}

/* Two networks, residuals r_i = e_i - eps: a_1 = clamp(<r_2 - r_1, r_2> / |r_2 - r_1|^2, 0, 1), a half where both are the same. */
static dt_node best_mixture(dt_graph *g, const dt_node *e, size_t n, const dt_targets *t)
{
    if (n != 2) {
        dt_graph_fail(g, DUET_RECIPE, "method kdcl: target: linear is there for two networks in task denoise, found %zu: add `target: mean`, or naive", n);
        return DT_NONE;
    }
    dt_node r2 = dt_sub(g, e[1], t->noise), apart = dt_sub(g, e[1], e[0]); /* r_2 - r_1 */
    dt_node length = dt_sum(g, square(g, apart), DT_AXES_ALL), along = dt_sum(g, dt_mul(g, apart, r2), DT_AXES_ALL);
    dt_node same = dt_less(g, length, dt_constant(g, 1e-30));
    dt_node a = dt_clamp(g, dt_div(g, along, dt_select(g, same, dt_constant(g, 1), length)), 0, 1);
    dt_node first = dt_detach(g, dt_select(g, same, dt_constant(g, 0.5), a));
    const dt_node both[2] = {first, dt_affine(g, first, -1, 1)};
    return dt_concat(g, both, 2);
}

/* ---- ADM --------------------------------------------------------------------------------------------------------- */

static dt_node evidence(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return dt_patches(g, own->output, (size_t)t->config->patch);
}

/* Each block of pixels has its own weight. */
static dt_node to_places(dt_graph *g, const dt_built *own, dt_node map, const dt_targets *t)
{
    (void)t;
    const dt_shape s = dt_shape_of(g, own->output);
    return dt_upsample(g, map, s.h, s.w);
}

static dt_node weighted_loss(dt_graph *g, const dt_built *own, dt_node weights, const dt_targets *t, dt_node *logits)
{
    dt_node pixels = dt_mean(g, square(g, dt_sub(g, own->output, t->noise)), DT_AXIS_C);
    *logits = DT_NONE;
    return dt_mean(g, dt_mul(g, weights, pixels), DT_AXES_HW);
}

static const dt_option options[] = {
    /* key         type              field                                     initial   min  max     choices          help */
    {"timesteps", DT_OPTION_INT,    offsetof(dt_task_config, timesteps),      "1000",   2,   100000, NULL,            "T: how many steps from picture to noise"},
    {"noise",     DT_OPTION_CHOICE, offsetof(dt_task_config, noise_schedule), "cosine", 0,   0,      "cosine|linear", "how the noise grows: Nichol, Dhariwal 2021, or Ho, Jain, Abbeel 2020"},
    {"patch",     DT_OPTION_INT,    offsetof(dt_task_config, patch),          "4",      1,   64,     NULL,            "adm compares outputs in blocks of so many pixels; must divide the picture's sides"},
    {0},
};

static const dt_task_default defaults[] = {
    {"method.kd", "temperature", "1", NULL},
    {"method.kd", "weight", "1", "alpha"},
    {"method.dml", "temperature", "1", NULL},
    {"method.kdcl", "temperature", "1", NULL},
    {"method.kdcl", "target", "mean", NULL},
    {"adm", "view", "output", NULL},
    {"adm", "consensus", "modulate", NULL},
    {0},
};

const dt_task dt_task_denoise = {
    .name = "denoise",
    .help = "the noise in a noisy picture, as diffusion models learn it: squared error, squared difference of predictions",
    .needs = DT_NEEDS_NOISE,
    .one_view = true,
    .options = options,
    .defaults = defaults,
    .scoring = &dt_scoring_denoise,
    .pair_scoring = &dt_scoring_denoise_pair,
    .no_temperature = "there are no class probabilities to soften",
    .no_mixup = "pictures have no label that could be shared out",
    .loss = loss,
    .answer = answer,
    .disagreement = disagreement,
    .distance_to_truth = distance_to_truth,
    .distance = distance,
    .unit_loss = unit_loss,
    .best_mixture = best_mixture,
    .error_products = dt_denoise_error_products,
    .views = "output, channel, attention",
    .evidence = evidence,
    .to_places = to_places,
    .weighted_loss = weighted_loss,
};
