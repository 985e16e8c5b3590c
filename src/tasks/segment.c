/* Semantic segmentation: one label for each pixel. A network gives coarse logits z [n, classes, h, w]; the mask y [n, 1, H, W] is
 * compared with up(z), z brought to its size by bilinear interpolation with the network's own alignment of corners. A pixel whose
 * label is no class (255) counts nowhere: v(p) = 0, else 1; N is the sum of v over the batch.
 *
 *     L = (1/N) sum_p v(p) -log softmax(up z)(p)[y(p)]   [+ aux_weight x the same of the auxiliary head]
 *                                                       (with class_weights w, w[y(p)] v(p) for v(p), also in N)
 *     D = T^2 / sum V  sum_q V(q) KL(softmax(sg t(q) / T) || softmax(z(q) / T))
 *
 * D compares networks at the places q of the coarse grid, V(q) the share of valid pixels in q's cell, or (kd_at: pixels) at the valid
 * pixels. On fully labelled pictures the former is the pixel-wise loss of Yang, Zhou, An, Jiang, Xu, Zhang, CVPR 2022 (CIRKD).
 *
 * ADM in segmentation is inferred: the paper says that it helps there, and its text was not at hand. The weights of pixels are the
 * similarity brought to the mask's size, so that `modulate` needs no second pass through a head. */
#include "tasks/tasks.h"

static const double smallest_count = 1e-12; /* of valid pixels: a batch without any has loss 0 */

/* ---- which places count ---------------------------------------------------------------------------------------- */

/* v: 1 where a pixel has a class, [n, 1, H, W]. */
static dt_node valid_pixels(dt_graph *g, const dt_targets *t)
{
    return dt_in_range(g, t->labels, t->classes);
}

/* V: the share of valid pixels of each cell of a grid of h x w; at the mask's own size v itself. */
static dt_node validity(dt_graph *g, const dt_targets *t, size_t h, size_t w)
{
    return dt_adaptive_avg_pool(g, valid_pixels(g, t), h, w);
}

/* How much each pixel counts in the cross-entropy: v, or the weight of its class where classes have such. */
static dt_node pixel_weights(dt_graph *g, const dt_targets *t)
{
    return t->class_weights ? dt_pick(g, *t->class_weights, t->labels) : valid_pixels(g, t);
}

/* sum v x / sum v over the batch; 0 where nothing is valid. */
static dt_node valid_mean(dt_graph *g, dt_node x, dt_node valid)
{
    dt_node count = dt_max(g, dt_sum(g, valid, DT_AXES_ALL), dt_constant(g, smallest_count));
    return dt_div(g, dt_sum(g, dt_mul(g, valid, x), DT_AXES_ALL), count);
}

static dt_shape mask_size(const dt_graph *g, const dt_targets *t)
{
    return dt_shape_of(g, t->labels);
}

static dt_node to_mask_size(dt_graph *g, const dt_built *own, dt_node map, const dt_targets *t)
{
    const dt_shape s = mask_size(g, t);
    return dt_resize(g, map, s.h, s.w, own->align);
}

/* ---- the loss --------------------------------------------------------------------------------------------------- */

/* N, or the sum of the pixels' weights. */
static dt_node pixel_count(dt_graph *g, const dt_targets *t)
{
    return dt_max(g, dt_sum(g, pixel_weights(g, t), DT_AXES_ALL), dt_constant(g, smallest_count));
}

/* The cross-entropy of every pixel, times the weight of its class where classes have such; 0 at a pixel that has none. */
static dt_node pixel_loss(dt_graph *g, dt_node z, bool align, const dt_targets *t)
{
    dt_node ce = dt_pixel_cross_entropy(g, z, t->labels, align);
    return t->class_weights ? dt_mul(g, ce, pixel_weights(g, t)) : ce;
}

static dt_node batch_loss(dt_graph *g, dt_node z, bool align, const dt_targets *t)
{
    return dt_div(g, dt_sum(g, pixel_loss(g, z, align, t), DT_AXES_ALL), pixel_count(g, t));
}

static dt_node loss(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    dt_node main = batch_loss(g, own->output, own->align, t);
    if (own->aux == DT_NONE) return main;
    dt_node aux = batch_loss(g, own->aux, own->align, t);
    return dt_add(g, main, dt_scale(g, aux, t->config->aux_weight));
}

/* ---- base methods ------------------------------------------------------------------------------------------------ */

static dt_node answer(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return t->config->kd_at == DT_KD_PIXELS ? to_mask_size(g, own, own->output, t) : own->output;
}

static dt_node disagreement(dt_graph *g, dt_node target, const dt_built *own, const dt_targets *t, double temperature)
{
    dt_node z = answer(g, own, t);
    const dt_shape s = dt_shape_of(g, z);
    dt_node log_a = dt_log_softmax(g, dt_detach(g, dt_resize(g, target, s.h, s.w, own->align)), temperature);
    dt_node log_b = dt_log_softmax(g, z, temperature);
    dt_node kl = dt_sum(g, dt_mul(g, dt_exp(g, log_a), dt_sub(g, log_a, log_b)), DT_AXIS_C);
    dt_node mean = t->config->kd_places == DT_KD_ALL ? dt_mean(g, kl, DT_AXES_ALL) : valid_mean(g, kl, validity(g, t, s.h, s.w));
    return dt_scale(g, mean, temperature * temperature);
}

static dt_node probabilities(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    return dt_exp(g, dt_log_softmax(g, to_mask_size(g, own, own->output, t), 1));
}

/* |p - onehot|_1 = 2 (1 - p[y]), the mean over valid pixels; p[y] = exp(-CE). */
static dt_node distance_to_truth(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    dt_node ce = dt_pixel_cross_entropy(g, own->output, t->labels, own->align);
    dt_node apart = dt_affine(g, dt_exp(g, dt_scale(g, ce, -1)), -2, 2);
    return valid_mean(g, apart, valid_pixels(g, t));
}

static dt_node distance(dt_graph *g, const dt_built *a, const dt_built *b, const dt_targets *t)
{
    dt_node apart = dt_sum(g, dt_abs(g, dt_sub(g, probabilities(g, a, t), probabilities(g, b, t))), DT_AXIS_C);
    return valid_mean(g, apart, valid_pixels(g, t));
}

/* KDCL chooses by the labels of pixels, so that answers must be there, too. */
static const char *no_units(const dt_task_config *c)
{
    return c->kd_at == DT_KD_PIXELS ? NULL : "chooses by the label of each pixel, and the networks are compared on their coarse grid: add `kd_at: pixels` to "
                                             "`task:`, or `target: mean` to `method:`";
}

static dt_node unit_loss(dt_graph *g, dt_node z, const dt_targets *t)
{
    return dt_pixel_cross_entropy(g, z, t->labels, false); /* of the mask's size already */
}

/* z_c - z_y; z itself where the label is no class, which nobody counts. */
static dt_node relative(dt_graph *g, dt_node z, const dt_targets *t)
{
    return dt_sub(g, z, dt_pick(g, z, t->labels));
}

static dt_node best_mixture(dt_graph *g, const dt_node *z, size_t n, const dt_targets *t)
{
    return dt_simplex_weights(g, t->labels, z, n);
}

/* ---- ADM --------------------------------------------------------------------------------------------------------- */

/* W~ F(:, q) with the last 1x1 convolution's W, minus its mean over the classes. */
static dt_node evidence(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    (void)t;
    dt_node weight = dt_detach(g, own->head_weight);
    dt_node centred = dt_sub(g, weight, dt_mean(g, weight, DT_AXIS_N));
    return dt_matmul(g, own->features, centred, DT_NONE, false, true);
}

/* 1 for each class that the foreground of a picture has, [n, classes, 1, 1]; pixels without a class name none. */
static dt_node foreground_classes(dt_graph *g, const dt_targets *t)
{
    return dt_reduce_max(g, dt_mul(g, dt_one_hot(g, t->labels, t->classes), t->mask), DT_AXES_HW);
}

/* sum_k [class k is on the foreground] relu(W~[k, :] F(:, q)). A picture has several classes, and a map for each of them; their sum is one map
 * for a picture, as a classifier's. Without a foreground nothing says which classes are objects and which the ground. */
static dt_node activation(dt_graph *g, const dt_built *own, const dt_targets *t)
{
    if (t->mask == DT_NONE) return DT_NONE;
    return dt_sum(g, dt_mul(g, dt_relu(g, evidence(g, own, t)), foreground_classes(g, t)), DT_AXIS_C);
}

/* (n/N) sum_p v w l of each image: their mean over the batch is (1/N) sum v w l, N the whole batch's. */
static dt_node weighted_loss(dt_graph *g, const dt_built *own, dt_node weights, const dt_targets *t, dt_node *logits)
{
    dt_node image = dt_sum(g, dt_mul(g, weights, pixel_loss(g, own->output, own->align, t)), DT_AXES_HW);
    *logits = DT_NONE;
    return dt_scale(g, dt_div(g, image, pixel_count(g, t)), (double)mask_size(g, t).n);
}

static const dt_option options[] = {
    /* key          type              field                                 initial  min max   choices        help */
    {"kd_at",      DT_OPTION_CHOICE, offsetof(dt_task_config, kd_at),      "grid",  0,  0,    "grid|pixels", "where networks are compared: at the places of their coarse maps, or at the mask's pixels"},
    {"kd_places",  DT_OPTION_CHOICE, offsetof(dt_task_config, kd_places),  "valid", 0,  0,    "valid|all",   "which of them: weighted by the share of labelled pixels, or all alike"},
    {"class_weights", DT_OPTION_WEIGHTS, offsetof(dt_task_config, class_weights), "off", 0, 1e6, DT_CLASS_WEIGHTS_CHOICES,
     "how much a pixel of each class counts in the cross-entropy, in the order of the classes; balanced is for task classify"},
    {"aux_weight", DT_OPTION_REAL,   offsetof(dt_task_config, aux_weight), "0.4",   0,  100,  NULL,          "weight of the auxiliary head's loss, for networks that have one"},
    {0},
};

static const dt_task_default defaults[] = {
    {"method.kd", "temperature", "1", NULL},
    {"method.kd", "weight", "1", "alpha"},
    {"method.kdcl", "target", "mean", NULL},
    {0},
};

const dt_task dt_task_segment = {
    .name = "segment",
    .help = "one label for each pixel: cross-entropy over labelled pixels, KL between softened predictions of places",
    .needs = DT_NEEDS_PIXEL_LABELS,
    .one_view = true,
    .options = options,
    .defaults = defaults,
    .scoring = &dt_scoring_segment,
    .pair_scoring = &dt_scoring_segment_pair,
    .no_mixup = "every pixel has a class of its own, and a mixed one would have two",
    .loss = loss,
    .classes_of_pixels = dt_segment_classes,
    .answer = answer,
    .disagreement = disagreement,
    .distance_to_truth = distance_to_truth,
    .distance = distance,
    .no_units = no_units,
    .unit_loss = unit_loss,
    .relative = relative,
    .best_mixture = best_mixture,
    .error_products = dt_segment_error_products,
    .logits = true,
    .views = "class, channel, attention",
    .evidence = evidence,
    .activation = activation,
    .to_places = to_mask_size,
    .validity = validity,
    .weighted_loss = weighted_loss,
};
