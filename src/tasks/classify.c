/* Classification: one label for each image, logits z [n, classes, 1, 1], p = softmax(z). METHODS.md 1 and 3 in nodes.
 *
 * With mixup a picture has two labels, y to the share l and y' to the rest. Everything here that asks for the true class is linear in it, and so is
 * l times what it says for y plus 1 - l times what it says for y' (but for SwitOKD's distance, whose truth is the distribution l, 1 - l).
 *
 * All of it is float32 arithmetic on logits and maps. Whatever takes part of the classifier's weight W for looking only
 * (evidence) detaches it; whatever is a loss of the network (weighted_sample_loss) lets the gradient through to W and bias. */
#include "tasks/tasks.h"

/* share own + (1 - share) other, of what was found for either label. */
static dt_node mixed(dt_graph *g, dt_node own, dt_node other, const dt_targets *t)
{
    const dt_node share = t->mixing->share;
    return dt_add(g, dt_mul(g, own, share), dt_mul(g, other, dt_affine(g, share, -1, 1)));
}

/* What x [n, classes, 1, 1] has for the true class, [n, 1, 1, 1]. */
static dt_node of_truth(dt_graph *g, dt_node x, const dt_targets *t)
{
    dt_node own = dt_pick(g, x, t->labels);
    return t->mixing ? mixed(g, own, dt_pick(g, x, t->mixing->labels), t) : own;
}

/* The truth as a distribution, [n, classes, 1, 1]. */
static dt_node truth(dt_graph *g, const dt_targets *t)
{
    dt_node own = dt_one_hot(g, t->labels, t->classes);
    return t->mixing ? mixed(g, own, dt_one_hot(g, t->mixing->labels, t->classes), t) : own;
}

/* -log p[y] of each image, [n, 1, 1, 1]. */
static dt_node sample_loss(dt_graph *g, dt_node logits, const dt_targets *t)
{
    return dt_scale(g, of_truth(g, dt_log_softmax(g, logits, 1), t), -1);
}

/* ---- weights of classes: torch.nn.CrossEntropyLoss(weight=w) ----------------------------------------------------- */

static const double smallest_weight = 1e-12; /* a batch whose images all have weight 0 has loss 0 */

/* The mean over the batch of w[y]; the other labels of a mixed batch are the same in another order. */
static dt_node mean_weight(dt_graph *g, const dt_targets *t)
{
    return dt_max(g, dt_mean(g, dt_pick(g, *t->class_weights, t->labels), DT_AXES_ALL), dt_constant(g, smallest_weight));
}

/* w[label] x[label] of each image. */
static dt_node weighted_pick(dt_graph *g, dt_node x, dt_node labels, const dt_targets *t)
{
    return dt_mul(g, dt_pick(g, *t->class_weights, labels), dt_pick(g, x, labels));
}

/* sample_loss as it is learned from: times w[y] by the mean of that, so that the mean over the batch is sum w l / sum w. Of a mixed picture,
 * each label's part has its own label's weight. */
static dt_node learned_loss(dt_graph *g, dt_node logits, const dt_targets *t)
{
    if (!t->class_weights) return sample_loss(g, logits, t);
    dt_node log_p = dt_log_softmax(g, logits, 1), own = weighted_pick(g, log_p, t->labels, t);
    if (t->mixing) own = mixed(g, own, weighted_pick(g, log_p, t->mixing->labels, t), t);
    return dt_scale(g, dt_div(g, own, mean_weight(g, t)), -1);
}

/* The mean over the batch and over classes of log p[c]; with weights that of w[c] log p[c], by the mean of w[y]. */
static dt_node over_classes(dt_graph *g, dt_node logits, const dt_targets *t)
{
    dt_node log_p = dt_log_softmax(g, logits, 1);
    if (!t->class_weights) return dt_mean(g, log_p, DT_AXES_ALL);
    return dt_div(g, dt_mean(g, dt_mul(g, log_p, *t->class_weights), DT_AXES_ALL), mean_weight(g, t));
}

/* The mean over the batch of (1 - a) * -log p[y] + a * mean over classes of -log p[c], a = label_smoothing:
 * torch.nn.CrossEntropyLoss, which spreads the share a over all classes, the true one included. */
static dt_node loss(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    const double smoothing = t->config->label_smoothing;
    dt_node cross_entropy = dt_mean(g, learned_loss(g, own->output, t), DT_AXES_ALL);
    if (smoothing == 0) return cross_entropy;
    return dt_sub(g, dt_scale(g, cross_entropy, 1 - smoothing), dt_scale(g, over_classes(g, own->output, t), smoothing));
}

static dt_node answer(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    (void)g, (void)t;
    return own->output;
}

/* T^2 KL(softmax(sg target / T) || softmax(own / T)), summed over classes, averaged over the batch. */
static dt_node disagreement(dt_graph *g, dt_node target, const dt_built *own, const dt_targets *t, double temperature)
{
    (void)t;
    dt_node log_a = dt_log_softmax(g, dt_detach(g, target), temperature);
    dt_node log_b = dt_log_softmax(g, own->output, temperature);
    dt_node kl = dt_sum(g, dt_mul(g, dt_exp(g, log_a), dt_sub(g, log_a, log_b)), DT_AXIS_C);
    return dt_scale(g, dt_mean(g, kl, DT_AXES_ALL), temperature * temperature);
}

/* ---- SwitOKD's distances: mean over the batch of the 1-norm between two distributions ------------------------- */

static dt_node probabilities(dt_graph *g, dt_node logits)
{
    return dt_exp(g, dt_log_softmax(g, logits, 1));
}

static dt_node one_norm(dt_graph *g, dt_node a, dt_node b)
{
    return dt_mean(g, dt_sum(g, dt_abs(g, dt_sub(g, a, b)), DT_AXIS_C), DT_AXES_ALL);
}

static dt_node distance_to_truth(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return one_norm(g, probabilities(g, own->output), truth(g, t));
}

static dt_node distance(dt_graph *g, const dt_built *a, const dt_built *b, const dt_targets *t)
{
    (void)t;
    return one_norm(g, probabilities(g, a->output), probabilities(g, b->output));
}

/* ---- KDCL's targets ---------------------------------------------------------------------------------------------- */

/* z_c - z_y. */
static dt_node relative(dt_graph *g, dt_node logits, const dt_targets *t)
{
    return dt_sub(g, logits, of_truth(g, logits, t));
}

static dt_node best_mixture(dt_graph *g, const dt_node *logits, size_t n, const dt_targets *t)
{
    return dt_simplex_weights(g, t->labels, logits, n);
}

/* ---- ADM: what the classifier sees at each place ---------------------------------------------------------------- */

/* W~ F(:, p). W~ is W minus its mean over the classes, because softmax does not see what is common to all of them; without
 * this, two networks would seem to agree wherever both are merely sure that there is something. */
static dt_node evidence(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    (void)t;
    dt_node weight = dt_detach(g, own->head_weight);
    dt_node centred = dt_sub(g, weight, dt_mean(g, weight, DT_AXIS_N));
    return dt_matmul(g, own->features, centred, DT_NONE, false, true);
}

/* W~[y, :] F(:, p): the row of the true class is a 1x1 filter of its own for each image. */
static dt_node label_evidence(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    dt_node weight = dt_detach(g, own->head_weight);
    dt_node centred = dt_sub(g, weight, dt_mean(g, weight, DT_AXIS_N));
    dt_node row = dt_matmul(g, truth(g, t), centred, DT_NONE, false, false); /* [n, c, 1, 1] */
    return dt_sum(g, dt_mul(g, own->features, row), DT_AXIS_C);
}

static dt_node activation(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return dt_relu(g, label_evidence(g, own, t));
}

/* The classifier weighs places of its own map: each value covers its block of a larger one. */
static dt_node to_places(dt_graph *g, const dt_built *own, dt_node map, const dt_targets *t)
{
    (void)t;
    const dt_shape s = dt_shape_of(g, own->features);
    return dt_upsample(g, map, s.h, s.w);
}

/* CE(head(mean_p w F), y) of each image. */
static dt_node weighted_loss(dt_graph *g, const dt_built *own, dt_node weights, const dt_targets *t, dt_node *logits)
{
    dt_node pooled = dt_mean(g, dt_mul(g, own->features, weights), DT_AXES_HW);
    *logits = dt_matmul(g, pooled, own->head_weight, own->head_bias, false, true);
    return learned_loss(g, *logits, t);
}

/* 100 * mean of [z[y] is the largest]; a tie for the largest counts as right. Of a mixed picture, each label is right to its share. */
static dt_node accuracy(dt_graph *g, dt_node logits, const dt_targets *t)
{
    dt_node largest = dt_reduce_max(g, logits, DT_AXIS_C);
    dt_node wrong = dt_less(g, dt_pick(g, logits, t->labels), largest);
    if (t->mixing) wrong = mixed(g, wrong, dt_less(g, dt_pick(g, logits, t->mixing->labels), largest), t);
    return dt_affine(g, dt_mean(g, wrong, DT_AXES_ALL), -100, 100);
}

static const dt_option options[] = {
    {"class_weights", DT_OPTION_WEIGHTS, offsetof(dt_task_config, class_weights), "off", 0, 1e6, DT_CLASS_WEIGHTS_CHOICES,
     "how much an image of each class counts in the cross-entropy, in the order of the classes; balanced: by the training images, so that all classes count alike"},
    {0},
};

const dt_task dt_task_classify = {
    .name = "classify",
    .help = "one label for each image: cross-entropy, KL between softened predictions",
    .needs = DT_NEEDS_LABELS,
    .options = options,
    .scoring = &dt_scoring_classify,
    .pair_scoring = &dt_scoring_classify_pair,
    .loss = loss,
    .answer = answer,
    .disagreement = disagreement,
    .distance_to_truth = distance_to_truth,
    .distance = distance,
    .unit_loss = sample_loss,
    .relative = relative,
    .best_mixture = best_mixture,
    .error_products = dt_classify_error_products,
    .logits = true,
    .views = "class, channel, label, attention",
    .evidence = evidence,
    .label_evidence = label_evidence,
    .activation = activation,
    .to_places = to_places,
    .weighted_loss = weighted_loss,
    .accuracy = accuracy,
};
