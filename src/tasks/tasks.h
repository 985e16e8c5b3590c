/* What the outputs of a network mean: the loss of one network, how far two outputs are apart, which places count, what is
 * measured. All that a method knows of outputs goes through this table; a new task is one new file. */
#ifndef DT_TASKS_H
#define DT_TASKS_H

#include "models/models.h"

/* The input nodes that the loader fills beside the image. */
typedef struct dt_targets {
    dt_node labels;   /* classify: [n, 1, 1, 1] DT_INDEX */
    dt_node mask;     /* foreground at the size of the picture, [n, 1, h, w] DT_REAL, or DT_NONE where the data has none: measured, never learned from */
    size_t classes;
} dt_targets;

typedef struct dt_task_config {
    double label_smoothing;
} dt_task_config;

typedef struct dt_task {
    const char *name, *help;
    /* The loss L of one network: a scalar. classify: mean over the batch of -log p[y] (label-smoothed as torch does). */
    dt_node (*loss)(dt_graph *g, const dt_built *own, const dt_targets *t, const dt_task_config *c);
    /* L of each sample, [n,1,1,1], of any logits: KDCL's targets choose by it. */
    dt_node (*sample_loss)(dt_graph *g, dt_node logits, const dt_targets *t);
    /* D(sg target, own): classify: T^2 KL(softmax(target/T) || softmax(own/T)), mean over the batch. Detaches target. */
    dt_node (*disagreement)(dt_graph *g, dt_node target, dt_node own, double temperature);
    /* SwitOKD: how far an output is from the truth, and two outputs from each other: classify: mean over the batch of |p - onehot|_1,
     * |p_a - p_b|_1. Scalars. */
    dt_node (*distance_to_truth)(dt_graph *g, dt_node own, const dt_targets *t);
    dt_node (*distance)(dt_graph *g, dt_node a, dt_node b);
    /* ADM: the evidence for each class at each place, W~ F, W~ = W minus its mean over classes, no gradient to W. [n, classes, h, w] */
    dt_node (*evidence)(dt_graph *g, const dt_built *own);
    /* ADM: the evidence for the true class, [n, 1, h, w]. */
    dt_node (*label_evidence)(dt_graph *g, const dt_built *own, const dt_targets *t);
    /* ADM `modulate`: the loss when places are weighted by w [n, 1, h, w] (mean 1 per image): classify: CE(head(mean_p w F), y) for each
     * image, [n,1,1,1]; *logits: the modulated head's logits, for its accuracy. */
    dt_node (*weighted_sample_loss)(dt_graph *g, const dt_built *own, dt_node weights, const dt_targets *t, dt_node *logits);
    /* Share of the batch that these logits get right, in percent: a scalar to log, without gradient. */
    dt_node (*accuracy)(dt_graph *g, dt_node logits, const dt_targets *t);
} dt_task;

extern const dt_task dt_task_classify;
const dt_task *dt_task_find(const char *name, duet_error *err);
const dt_task *dt_task_at(size_t i); /* NULL past the end */

/* ---- measures of a classifier over a data set (METHODS.md 4) ------------------------------------------------ */

enum { DT_CALIBRATION_BINS = 15 };
typedef struct dt_scores {
    size_t images, top1, top5;
    double cross_entropy_sum;
    double bin_confidence[DT_CALIBRATION_BINS];
    size_t bin_count[DT_CALIBRATION_BINS], bin_right[DT_CALIBRATION_BINS];
} dt_scores;
/* Adds n images: logits [n, classes] row by row. Ties in top-k count for the lower class number. */
void dt_scores_add(dt_scores *s, const float *logits, const int32_t *labels, size_t n, size_t classes);
typedef struct dt_measures {
    double top1, top5;  /* percent */
    double cross_entropy, calibration_error; /* nats; 0..1 */
} dt_measures;
dt_measures dt_scores_finish(const dt_scores *s);
/* Share of images on which two networks name the same class, and mean KL(p_a || p_b): adds n images. */
typedef struct dt_pair_scores { size_t images, agree; double kl_sum; } dt_pair_scores;
void dt_pair_scores_add(dt_pair_scores *s, const float *a, const float *b, size_t n, size_t classes);

#endif
