/* Classification's formulas against plain C in double, and what is measured of a classifier. */
#include "evaluate.h"
#include "tasks/tasks.h"

enum { N = 3, CLASSES = 5, CHANNELS = 4, H = 2, W = 3, PLACES = H * W, MOST_OUTPUTS = 12 };

/* Formulas read values of a float program; what is compared was computed in double. */
static const double close = 2e-6;

/* A classifier's outputs as inputs: all that a task looks at. */
typedef struct fixture {
    dt_graph *g;
    dt_built own;
    dt_targets targets;
    dt_task_config config;
    dt_built other_built;
    dt_node other, weights, out[MOST_OUTPUTS];
    size_t n_out;
    evaluation e;
    float z[N * CLASSES], other_z[N * CLASSES], map[N * PLACES * CHANNELS] /* NHWC */, w[CLASSES * CHANNELS], b[CLASSES], place_weights[N * PLACES];
    int32_t labels[N];
} fixture;

static void begin(fixture *f)
{
    *f = (fixture){.g = dt_graph_create(), .labels = {4, 0, 2}};
    dt_graph *g = f->g;
    f->own.output = dt_input(g, "logits", DT_REAL, (dt_shape){N, CLASSES, 1, 1});
    f->own.features = dt_input(g, "features", DT_REAL, (dt_shape){N, CHANNELS, H, W});
    f->own.head_weight = dt_input(g, "weight", DT_REAL, (dt_shape){CLASSES, CHANNELS, 1, 1});
    f->own.head_bias = dt_input(g, "bias", DT_REAL, (dt_shape){1, CLASSES, 1, 1});
    f->targets = (dt_targets){.labels = dt_input(g, "labels", DT_INDEX, (dt_shape){N, 1, 1, 1}), .noise = DT_NONE, .mask = DT_NONE,
                              .classes = CLASSES, .config = &f->config};
    f->other = f->other_built.output = dt_input(g, "other", DT_REAL, (dt_shape){N, CLASSES, 1, 1});
    f->weights = dt_input(g, "weights", DT_REAL, (dt_shape){N, 1, H, W});
    fill_normal(f->z, DT_COUNT(f->z), 2, 1);
    fill_normal(f->other_z, DT_COUNT(f->other_z), 2, 2);
    fill_normal(f->map, DT_COUNT(f->map), 1, 3);
    fill_normal(f->w, DT_COUNT(f->w), 1, 4);
    fill_normal(f->b, DT_COUNT(f->b), 1, 5);
    for (size_t i = 0; i < DT_COUNT(f->place_weights); i++) f->place_weights[i] = 0.25f * (float)(i % 7);
}

static size_t want(fixture *f, dt_node x)
{
    assert_true(f->n_out < MOST_OUTPUTS && x != DT_NONE);
    f->out[f->n_out] = x;
    return f->n_out++;
}

static void run(fixture *f)
{
    f->e = evaluation_of(f->g, f->out, f->n_out, 1, 1, DT_F64);
    dt_program *p = f->e.program;
    dt_program_write(p, f->own.output, f->z, DT_COUNT(f->z));
    dt_program_write(p, f->own.features, f->map, DT_COUNT(f->map));
    dt_program_write(p, f->own.head_weight, f->w, DT_COUNT(f->w));
    dt_program_write(p, f->own.head_bias, f->b, DT_COUNT(f->b));
    dt_program_write(p, f->targets.labels, f->labels, N);
    dt_program_write(p, f->other, f->other_z, DT_COUNT(f->other_z));
    dt_program_write(p, f->weights, f->place_weights, DT_COUNT(f->place_weights));
    evaluation_run(&f->e, -1);
}

static double scalar(const fixture *f, size_t output)
{
    return (double)dt_program_scalar(f->e.program, f->out[output]);
}

static void end(fixture *f)
{
    evaluation_end(&f->e);
    dt_graph_destroy(f->g);
}

/* log softmax of z / t for one image. */
static void log_softmax(const float *z, double t, double *out)
{
    double sum = 0;
    for (int c = 0; c < CLASSES; c++) sum += exp((double)z[c] / t);
    for (int c = 0; c < CLASSES; c++) out[c] = (double)z[c] / t - log(sum);
}

static void loss_is_cross_entropy_smoothed_as_torch_does(void **state)
{
    (void)state;
    static const double smoothing[] = {0, 0.1, 1};
    fixture f;
    begin(&f);
    for (size_t k = 0; k < DT_COUNT(smoothing); k++) {
        f.config.label_smoothing = smoothing[k];
        want(&f, dt_task_classify.loss(f.g, &f.own, &f.targets));
    }
    const size_t each = want(&f, dt_task_classify.unit_loss(f.g, f.own.output, &f.targets));
    run(&f);
    float of_sample[N];
    dt_program_read(f.e.program, f.out[each], of_sample, N);
    for (size_t k = 0; k < DT_COUNT(smoothing); k++) {
        double wanted = 0;
        for (int i = 0; i < N; i++) {
            double lp[CLASSES], target[CLASSES];
            log_softmax(f.z + i * CLASSES, 1, lp);
            for (int c = 0; c < CLASSES; c++) {
                target[c] = (c == f.labels[i]) * (1 - smoothing[k]) + smoothing[k] / CLASSES;
                wanted -= target[c] * lp[c] / N;
            }
            assert_close((double)of_sample[i], -lp[f.labels[i]], close * 10, "loss of a sample");
        }
        assert_close(scalar(&f, k), wanted, close * wanted, "loss");
    }
    end(&f);
}

static void disagreement_is_t_squared_kl_and_teaches_only_the_second(void **state)
{
    (void)state;
    static const double t[] = {1, 4};
    fixture f;
    begin(&f);
    size_t gradient = 0;
    for (size_t k = 0; k < 2; k++) {
        dt_node d = dt_task_classify.disagreement(f.g, f.other, &f.own, &f.targets, t[k]);
        want(&f, d);
        const dt_node wrt[2] = {f.other, f.own.output};
        dt_node grad[2];
        dt_differentiate(f.g, d, wrt, 2, grad);
        assert_int_equal(grad[0], DT_NONE);
        gradient = want(&f, grad[1]);
    }
    run(&f);
    float g[N * CLASSES];
    dt_program_read(f.e.program, f.out[gradient], g, DT_COUNT(g));
    for (size_t k = 0; k < 2; k++) {
        double wanted = 0;
        for (int i = 0; i < N; i++) {
            double a[CLASSES], b[CLASSES];
            log_softmax(f.other_z + i * CLASSES, t[k], a);
            log_softmax(f.z + i * CLASSES, t[k], b);
            for (int c = 0; c < CLASSES; c++) {
                wanted += t[k] * t[k] * exp(a[c]) * (a[c] - b[c]) / N;
                if (k == 1) assert_close((double)g[i * CLASSES + c], t[k] * (exp(b[c]) - exp(a[c])) / N, close, "gradient T (p_own - p_target) / n");
            }
        }
        assert_close(scalar(&f, 2 * k), wanted, close * wanted, "disagreement");
    }
    end(&f);
}

static void distances_are_one_norms_averaged_over_the_batch(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    const size_t truth = want(&f, dt_task_classify.distance_to_truth(f.g, &f.own, &f.targets));
    const size_t apart = want(&f, dt_task_classify.distance(f.g, &f.own, &f.other_built, &f.targets));
    run(&f);
    double to_truth = 0, between = 0;
    for (int i = 0; i < N; i++) {
        double a[CLASSES], b[CLASSES];
        log_softmax(f.z + i * CLASSES, 1, a);
        log_softmax(f.other_z + i * CLASSES, 1, b);
        to_truth += 2 * (1 - exp(a[f.labels[i]])) / N;
        for (int c = 0; c < CLASSES; c++) between += fabs(exp(a[c]) - exp(b[c])) / N;
    }
    assert_close(scalar(&f, truth), to_truth, close, "distance to the truth");
    assert_close(scalar(&f, apart), between, close, "distance");
    end(&f);
}

static void evidence_is_the_centred_classifier_at_each_place(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    dt_node all = dt_task_classify.evidence(f.g, &f.own, &f.targets), label = dt_task_classify.label_evidence(f.g, &f.own, &f.targets);
    const dt_node wrt[2] = {f.own.head_weight, f.own.features};
    dt_node grad[2];
    dt_differentiate(f.g, dt_mean(f.g, dt_mul(f.g, all, all), DT_AXES_ALL), wrt, 2, grad);
    assert_int_equal(grad[0], DT_NONE); /* the classifier is only looked through */
    assert_true(grad[1] != DT_NONE);
    const dt_shape s = dt_shape_of(f.g, all), one = dt_shape_of(f.g, label);
    assert_true(s.n == N && s.c == CLASSES && s.h == H && s.w == W);
    assert_true(one.n == N && one.c == 1 && one.h == H && one.w == W);
    want(&f, all);
    want(&f, label);
    run(&f);
    float u[N * PLACES * CLASSES], l[N * PLACES];
    dt_program_read(f.e.program, f.out[0], u, DT_COUNT(u));
    dt_program_read(f.e.program, f.out[1], l, DT_COUNT(l));
    for (int place = 0; place < N * PLACES; place++) {
        double raw[CLASSES] = {0}, mean = 0;
        for (int c = 0; c < CLASSES; c++) {
            for (int k = 0; k < CHANNELS; k++) raw[c] += (double)f.w[c * CHANNELS + k] * (double)f.map[place * CHANNELS + k];
            mean += raw[c] / CLASSES;
        }
        for (int c = 0; c < CLASSES; c++) assert_close((double)u[place * CLASSES + c], raw[c] - mean, close * 5, "evidence");
        assert_close((double)l[place], raw[f.labels[place / PLACES]] - mean, close * 5, "evidence for the label");
    }
    end(&f);
}

static void a_weighted_loss_asks_the_classifier_again(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    dt_node logits, loss = dt_task_classify.weighted_loss(f.g, &f.own, f.weights, &f.targets, &logits);
    const dt_node wrt[3] = {f.own.head_weight, f.own.head_bias, f.own.features};
    dt_node grad[3];
    dt_differentiate(f.g, dt_mean(f.g, loss, DT_AXES_ALL), wrt, 3, grad);
    for (int i = 0; i < 3; i++) assert_true(grad[i] != DT_NONE); /* shared head: it learns, too */
    want(&f, loss);
    want(&f, dt_task_classify.accuracy(f.g, logits, &f.targets));
    run(&f);
    float found[N];
    dt_program_read(f.e.program, f.out[0], found, N);
    int right = 0;
    for (int i = 0; i < N; i++) {
        float z[CLASSES];
        double lp[CLASSES];
        int top = 0;
        for (int c = 0; c < CLASSES; c++) {
            double sum = (double)f.b[c];
            for (int p = 0; p < PLACES; p++)
                for (int k = 0; k < CHANNELS; k++)
                    sum += (double)f.w[c * CHANNELS + k] * (double)f.map[(i * PLACES + p) * CHANNELS + k] * (double)f.place_weights[i * PLACES + p] / PLACES;
            z[c] = (float)sum;
            if (z[c] > z[top]) top = c;
        }
        log_softmax(z, 1, lp);
        right += top == f.labels[i];
        assert_close((double)found[i], -lp[f.labels[i]], close * 10, "weighted loss");
    }
    assert_close(scalar(&f, 1), 100.0 * right / N, 1e-4, "accuracy");
    end(&f);
}

/* ---- scores ---------------------------------------------------------------------------------------------------- */

enum { TOP1, TOP5, CE, ECE, MOST_SUMS = 1024 };

/* The measures of n pictures with these logits; with `other`, those of the pair. */
static void measured(const float *z, const float *other, const int32_t *labels, size_t n, size_t classes, double *values)
{
    union { max_align_t align; uint8_t bytes[MOST_SUMS]; } sums = {0};
    const dt_scoring *s = other ? dt_task_classify.pair_scoring : dt_task_classify.scoring;
    const dt_answers a = {.output = z, .shape = {n, classes, 1, 1}, .labels = labels, .classes = classes};
    dt_answers b = a;
    b.output = other;
    assert_true(s->bytes(classes) <= sizeof sums);
    s->add(&sums, &a, other ? &b : NULL);
    s->finish(&sums, classes, values);
}

static void ties_count_for_the_lower_class(void **state)
{
    (void)state;
    const float z[2][6] = {{1, 1, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}};
    const int32_t second[2] = {1, 5}, first[2] = {0, 4};
    double m[DT_MAX_METRICS];
    measured(z[0], NULL, first, 2, 6, m);
    assert_close(m[TOP1], 50, 0, "top-1"); /* class 0 of a tie is right, class 4 is behind 0..3 */
    assert_close(m[TOP5], 100, 0, "top-5");
    measured(z[0], NULL, second, 2, 6, m);
    assert_close(m[TOP1], 0, 0, "top-1");
    assert_close(m[TOP5], 50, 0, "top-5"); /* class 5 is behind five others */
}

static void what_is_not_a_number_is_never_right(void **state)
{
    (void)state;
    const float z[2][3] = {{NAN, 0, 0}, {NAN, NAN, NAN}};
    const int32_t labels[2] = {0, 2};
    double m[DT_MAX_METRICS];
    measured(z[0], NULL, labels, 2, 3, m);
    assert_close(m[TOP1], 0, 0, "top-1");
    assert_true(isnan(m[CE]));
}

static void calibration_error_is_the_gap_between_confidence_and_accuracy(void **state)
{
    (void)state;
    /* two classes; logits (0, x) have confidence 1 / (1 + exp(-x)) in class 1 */
    const double confidence[] = {0.9, 0.95, 0.59, 0.62};
    const int32_t labels[] = {1, 0, 1, 0};
    float z[4][2];
    double m[DT_MAX_METRICS];
    for (int i = 0; i < 4; i++) {
        z[i][0] = 0;
        z[i][1] = (float)log(confidence[i] / (1 - confidence[i]));
    }
    measured(z[0], NULL, labels, 4, 2, m);
    assert_close(m[TOP1], 50, 1e-12, "top-1");
    assert_close(m[TOP5], 100, 1e-12, "top-5 of two classes");
    assert_close(m[CE], -(log(0.9) + log(0.05) + log(0.59) + log(0.38)) / 4, 1e-6, "cross-entropy");
    /* in bins of 1/15 each of the four lies alone: 13, 14, 8, 9 */
    const double wanted = (fabs(1 - 0.9) + fabs(0 - 0.95) + fabs(1 - 0.59) + fabs(0 - 0.62)) / 4;
    assert_close(m[ECE], wanted, 1e-6, "calibration error");
    const float sure[2][2] = {{0, 100}, {100, 0}};
    const int32_t right[2] = {1, 0};
    measured(sure[0], NULL, right, 2, 2, m);
    assert_close(m[ECE], 0, 1e-12, "calibration error when sure and right");
}

static void nothing_measured_is_not_a_number(void **state)
{
    (void)state;
    double m[DT_MAX_METRICS];
    measured(NULL, NULL, NULL, 0, 2, m);
    assert_true(isnan(m[TOP1]) && isnan(m[CE]) && isnan(m[ECE]));
}

static void pairs_count_equal_answers_and_average_kl(void **state)
{
    (void)state;
    const float a[2][3] = {{2, 1, 0}, {0, 3, 0}}, b[2][3] = {{1, 0, 0}, {1, 0, 0}};
    const int32_t labels[2] = {0, 0};
    double m[DT_MAX_PAIR_METRICS], wanted = 0;
    for (int i = 0; i < 2; i++) {
        double sa = 0, sb = 0;
        for (int c = 0; c < 3; c++) sa += exp((double)a[i][c]), sb += exp((double)b[i][c]);
        for (int c = 0; c < 3; c++) wanted += exp((double)a[i][c]) / sa * ((double)a[i][c] - log(sa) - (double)b[i][c] + log(sb)) / 2;
    }
    measured(a[0], b[0], labels, 2, 3, m);
    assert_close(m[0], 50, 0, "agreement");
    assert_close(m[1], wanted, 1e-9, "KL");
    measured(a[0], a[0], labels, 2, 3, m);
    assert_true(m[0] == 100 && m[1] == 0);
}

/* Two classes, p of class 0 in every pixel: (0.8, 0.2) of the first network, (0.4, 0.6) of the second. */
static void errors_of_pixels_are_counted_where_there_is_a_label(void **state)
{
    (void)state;
    const float a[2] = {(float)log(4), 0}, b[8] = {(float)log(2), (float)log(3), (float)log(2), (float)log(3), (float)log(2), (float)log(3), (float)log(2), (float)log(3)};
    const int32_t labels[6] = {0, 255, 1, 255, 255, 0};
    const dt_answers both[2] = {{.output = a, .shape = {1, 2, 1, 1}, .labels = labels, .height = 2, .width = 3, .classes = 2},
                                {.output = b, .shape = {1, 2, 2, 2}, .labels = labels, .height = 2, .width = 3, .classes = 2}};
    dt_error_products e = {{{0}}, 0};
    dt_task_segment.error_products(both, 2, &e);
    assert_int_equal(e.units, 3);
    /* class 0: p - onehot is (-.2, .2) and (-.6, .6); class 1: (.8, -.8) and (.4, -.4) */
    assert_close(e.sum[0][0], 2 * 0.08 + 1.28, 1e-6, "first with itself");
    assert_close(e.sum[0][1], 2 * 0.24 + 0.64, 1e-6, "both");
    assert_close(e.sum[1][0], e.sum[0][1], 0, "the other way round");
    assert_close(e.sum[1][1], 2 * 0.72 + 0.32, 1e-6, "second with itself");
}

static void errors_of_noise_are_counted_picture_by_picture(void **state)
{
    (void)state;
    enum { COUNT = 2 * 3 * 2 };
    float eps[COUNT], x[2][COUNT];
    double wanted = 0;
    fill_normal(eps, COUNT, 1, 11);
    fill_normal(x[0], COUNT, 1, 12);
    fill_normal(x[1], COUNT, 1, 13);
    for (int i = 0; i < COUNT; i++) wanted += ((double)x[0][i] - (double)eps[i]) * ((double)x[1][i] - (double)eps[i]);
    dt_answers both[2];
    for (int i = 0; i < 2; i++) both[i] = (dt_answers){.output = x[i], .shape = {2, 3, 1, 2}, .noise = eps, .height = 1, .width = 2};
    dt_error_products e = {{{0}}, 0};
    dt_task_denoise.error_products(both, 2, &e);
    assert_int_equal(e.units, 2);
    assert_close(e.sum[0][1], wanted, 1e-6, "both");
}

/* Everything that asks for the true class, of a picture that is share of one label and the rest of another, by what it says of either. */
static void of_mixed_pictures_each_label_counts_to_its_share(void **state)
{
    (void)state;
    enum { LOSS, SMOOTHED, EACH, RELATIVE, EVIDENCE, CAM, WEIGHTED, RIGHT, TRUTH, KINDS };
    static const int32_t labels[2][N] = {{4, 0, 2}, {1, 0, 3}};
    static const float share = 0.3f;
    float values[3][KINDS][N * PLACES * CLASSES] = {{{0}}}; /* of the first labels, of the second, of both mixed */
    size_t count[KINDS] = {0};
    for (int k = 0; k < 3; k++) {
        fixture f;
        begin(&f);
        memcpy(f.labels, labels[k % 2], sizeof f.labels);
        const dt_mixing mixing = {.labels = dt_input(f.g, "others", DT_INDEX, (dt_shape){N, 1, 1, 1}), .share = dt_input(f.g, "share", DT_REAL, (dt_shape){1, 1, 1, 1})};
        if (k == 2) f.targets.mixing = &mixing;
        dt_node logits, x[KINDS];
        x[LOSS] = dt_task_classify.loss(f.g, &f.own, &f.targets);
        f.config.label_smoothing = 0.2;
        x[SMOOTHED] = dt_task_classify.loss(f.g, &f.own, &f.targets);
        x[EACH] = dt_task_classify.unit_loss(f.g, f.own.output, &f.targets);
        x[RELATIVE] = dt_task_classify.relative(f.g, f.own.output, &f.targets);
        x[EVIDENCE] = dt_task_classify.label_evidence(f.g, &f.own, &f.targets);
        x[CAM] = dt_task_classify.activation(f.g, &f.own, &f.targets);
        x[WEIGHTED] = dt_task_classify.weighted_loss(f.g, &f.own, f.weights, &f.targets, &logits);
        x[RIGHT] = dt_task_classify.accuracy(f.g, logits, &f.targets);
        x[TRUTH] = dt_task_classify.distance_to_truth(f.g, &f.own, &f.targets);
        for (int i = 0; i < KINDS; i++) {
            count[i] = dt_shape_count(dt_shape_of(f.g, x[i]));
            want(&f, x[i]);
        }
        run(&f);
        if (k == 2) {
            dt_program_write(f.e.program, mixing.labels, labels[1], N);
            dt_program_write(f.e.program, mixing.share, &share, 1);
            evaluation_run(&f.e, -1);
        }
        for (int i = 0; i < KINDS; i++) dt_program_read(f.e.program, f.out[i], values[k][i], count[i]);
        if (k == 2) { /* |p - truth|_1, the truth two classes of share and 1 - share, or one of both */
            double wanted = 0;
            for (int i = 0; i < N; i++) {
                double lp[CLASSES];
                log_softmax(f.z + i * CLASSES, 1, lp);
                for (int c = 0; c < CLASSES; c++)
                    wanted += fabs(exp(lp[c]) - (double)share * (c == labels[0][i]) - (1 - (double)share) * (c == labels[1][i])) / N;
            }
            assert_close((double)values[k][TRUTH][0], wanted, close, "distance to a mixed truth");
        }
        end(&f);
    }
    for (int i = 0; i < KINDS; i++)
        for (size_t n = 0; n < count[i] && i != TRUTH; n++) {
            const double a = (double)values[0][i][n], b = (double)values[1][i][n], wanted = (double)share * a + (1 - (double)share) * b;
            if (i != CAM) assert_close((double)values[2][i][n], wanted, close * 10 * (1 + fabs(wanted)), "of both labels");
            else assert_close((double)values[2][CAM][n], fmax((double)values[2][EVIDENCE][n], 0), close, "what speaks for either");
        }
    assert_true(fabs((double)values[2][LOSS][0] - (double)values[0][LOSS][0]) > 0.01);
}

/* share CE_w(y) + (1 - share) CE_w(y'), CE_w = sum w[y] l(y) / sum w[y]: y' are y in another order. */
static void weights_of_classes_go_with_each_of_two_labels(void **state)
{
    (void)state;
    static const int32_t others[N] = {0, 2, 4};
    static const float share = 0.3f, weights[CLASSES] = {0.5f, 1, 3, 0, 2};
    fixture f;
    begin(&f);
    const dt_node table = dt_input(f.g, "class_weights", DT_REAL, (dt_shape){1, CLASSES, 1, 1});
    const dt_mixing mixing = {.labels = dt_input(f.g, "others", DT_INDEX, (dt_shape){N, 1, 1, 1}), .share = dt_input(f.g, "share", DT_REAL, (dt_shape){1, 1, 1, 1})};
    f.targets.class_weights = &table;
    f.targets.mixing = &mixing;
    const size_t loss = want(&f, dt_task_classify.loss(f.g, &f.own, &f.targets));
    run(&f);
    dt_program_write(f.e.program, table, weights, CLASSES);
    dt_program_write(f.e.program, mixing.labels, others, N);
    dt_program_write(f.e.program, mixing.share, &share, 1);
    evaluation_run(&f.e, -1);
    double wanted = 0, all = 0;
    for (int i = 0; i < N; i++) {
        double lp[CLASSES];
        log_softmax(f.z + i * CLASSES, 1, lp);
        wanted -= (double)share * (double)weights[f.labels[i]] * lp[f.labels[i]] + (1 - (double)share) * (double)weights[others[i]] * lp[others[i]];
        all += (double)weights[f.labels[i]];
    }
    assert_close(scalar(&f, loss), wanted / all, close * wanted, "weighted loss of two labels");
    end(&f);
}

static void an_unknown_task_is_refused_with_the_known_ones(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_ptr_equal(dt_task_find("classify", &err), &dt_task_classify);
    assert_ptr_equal(dt_task_at(0), &dt_task_classify);
    assert_null(dt_task_find("clasify", &err));
    assert_int_equal(err.status, DUET_ARG);
    assert_non_null(strstr(err.message, "did you mean 'classify'"));
    size_t n = 0;
    while (dt_task_at(n)) n++;
    assert_true(n >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_is_cross_entropy_smoothed_as_torch_does),
        cmocka_unit_test(disagreement_is_t_squared_kl_and_teaches_only_the_second),
        cmocka_unit_test(distances_are_one_norms_averaged_over_the_batch),
        cmocka_unit_test(evidence_is_the_centred_classifier_at_each_place),
        cmocka_unit_test(a_weighted_loss_asks_the_classifier_again),
        cmocka_unit_test(ties_count_for_the_lower_class),
        cmocka_unit_test(what_is_not_a_number_is_never_right),
        cmocka_unit_test(calibration_error_is_the_gap_between_confidence_and_accuracy),
        cmocka_unit_test(nothing_measured_is_not_a_number),
        cmocka_unit_test(pairs_count_equal_answers_and_average_kl),
        cmocka_unit_test(errors_of_pixels_are_counted_where_there_is_a_label),
        cmocka_unit_test(errors_of_noise_are_counted_picture_by_picture),
        cmocka_unit_test(of_mixed_pictures_each_label_counts_to_its_share),
        cmocka_unit_test(weights_of_classes_go_with_each_of_two_labels),
        cmocka_unit_test(an_unknown_task_is_refused_with_the_known_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
