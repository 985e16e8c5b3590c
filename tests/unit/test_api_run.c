/* A run through the public headers alone: observed, stopped, resumed; its weights classify and are measured; a step is planned
 * and timed. */
#include "temporary.h"

#include <duet/run.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

static const char recipe_text[] =
    "data: {name: shapes, workers: 1}\n"
    "networks:\n"
    "  - {name: teacher, model: resnet8, role: teacher}\n"
    "  - {name: student, model: resnet8, role: student}\n"
    "method: {name: dml}\n"
    "train: {epochs: 1, batch: 4, lr: 0.01, log_every: 1}\n"
    "device: {threads: 1}\n";

static char folder[256], out[300];
static duet_recipe *recipe;

static int open_recipe(void **state)
{
    (void)state;
    duet_error err;
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    snprintf(out, sizeof out, "%s/run", folder);
    return (int)duet_recipe_parse("test", recipe_text, strlen(recipe_text), NULL, 0, &recipe, &err);
}

static int close_recipe(void **state)
{
    (void)state;
    duet_recipe_destroy(recipe);
    remove_folder(folder);
    return 0;
}

/* What an observer heard; stops the run at a step where stop_at says so. */
typedef struct heard {
    duet_run *run;
    int progress, logs;
    int64_t stop_at, last_step;
} heard;

static void on_progress(void *user, const duet_progress *p)
{
    heard *h = user;
    assert_int_equal(p->n_networks, 2);
    assert_string_equal(p->names[1], "student");
    assert_true(isfinite(p->loss[0]) && isfinite(p->loss[1]));
    assert_int_equal(p->steps, 2500);
    h->progress++;
    h->last_step = p->step;
    if (p->step == h->stop_at) duet_run_stop(h->run);
}

static void on_log(void *user, const char *text)
{
    ((heard *)user)->logs += *text != '\0';
}

static duet_status train(heard *h, int resume, int64_t max_steps, duet_run_result *result, duet_error *err)
{
    const duet_run_options o = {.out = out, .resume = resume, .max_steps = max_steps,
                                .observer = {.progress = on_progress, .log = on_log, .user = h}};
    assert_int_equal(duet_run_create(recipe, &o, &h->run, err), DUET_OK);
    const duet_status st = duet_run_train(h->run, err);
    duet_run_result_of(h->run, result);
    duet_error again;
    assert_int_equal(duet_run_train(h->run, &again), DUET_ARG);
    duet_run_destroy(h->run);
    return st;
}

static void a_run_is_observed_stopped_and_resumed(void **state)
{
    (void)state;
    duet_error err;
    duet_run_result r;
    heard first = {.stop_at = 2};
    assert_int_equal(train(&first, 0, 0, &r, &err), DUET_STOPPED);
    assert_int_equal(r.steps_done, 2);
    assert_int_equal(first.progress, 2);
    assert_int_equal(r.finished, 0);
    assert_string_equal(r.networks[1].name, "student");
    assert_string_equal(r.networks[1].model, "resnet8");
    assert_int_equal(r.networks[1].best_epoch, 0);

    heard refused = {0};
    assert_int_equal(train(&refused, 0, 3, &r, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "already holds a run"));

    heard second = {0};
    assert_int_equal(train(&second, 1, 3, &r, &err), DUET_OK);
    assert_int_equal(r.steps_done, 3);
    assert_int_equal(second.last_step, 3);
    assert_true(second.logs > 0);
}

static void a_run_needs_a_folder(void **state)
{
    (void)state;
    duet_run *run = NULL;
    duet_error err;
    assert_int_equal(duet_run_create(recipe, &(duet_run_options){.out = ""}, &run, &err), DUET_ARG);
    assert_null(run);
    duet_run_destroy(NULL);
}

/* ---- a data set of the caller's ------------------------------------------------------------------------------ */

typedef struct counted {
    int reads;
} counted;

/* One worker: no two calls at once. */
static void read_bars(void *user, duet_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    (void)split, (void)mask;
    ((counted *)user)->reads++;
    *label = (int32_t)(index % 3);
    for (size_t i = 0; i < 32 * 32 * 3; i++) pixels[i] = (uint8_t)(i / 96 % (2 + index % 3) ? 200 : 40);
}

static void a_run_trains_on_a_data_set_of_the_callers(void **state)
{
    (void)state;
    duet_error err;
    counted user = {0};
    const duet_data_source source = {.info = {.name = "stripes", .train_images = 12, .test_images = 6, .classes = 3, .height = 32, .width = 32,
                                              .mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}},
                                     .read = read_bars, .user = &user};
    duet_data *data = NULL;
    if (duet_data_create(&source, &data, &err)) fail_msg("%s", err.message);
    char own[320];
    snprintf(own, sizeof own, "%s-own", out);
    duet_run *run = NULL;
    duet_run_result r;
    const duet_run_options o = {.out = own};
    assert_int_equal(duet_run_create(recipe, &o, &run, &err), DUET_OK);
    duet_run_use_data(run, data);
    if (duet_run_train(run, &err)) fail_msg("%s", err.message);
    duet_run_result_of(run, &r);
    assert_int_equal(r.steps_done, 3); /* 12 images in batches of 4 */
    assert_int_equal(r.finished, 1);
    assert_true(user.reads >= 12 + 6);
    duet_run_destroy(run);
    duet_data_close(data);
}

/* ---- weights put to use -------------------------------------------------------------------------------------- */

enum { PICTURES = 7, CLASSES = 20, PIXELS = 32 * 32 * 3 };

static duet_network *network_after_one_step(void)
{
    duet_error err;
    duet_run_result r;
    heard h = {0};
    char weights[400];
    duet_network *network;
    assert_int_equal(train(&h, 0, 1, &r, &err), DUET_OK);
    snprintf(weights, sizeof weights, "%s/student.safetensors", out);
    assert_int_equal(duet_network_open(weights, &(duet_network_options){.threads = 1, .batch = 3}, &network, &err), DUET_OK);
    return network;
}

static void classify_is_the_softmax_of_the_normalised_logits(void **state)
{
    (void)state;
    duet_network *network = network_after_one_step();
    duet_network_info info;
    duet_error err;
    duet_network_describe(network, &info);
    assert_string_equal(info.model, "resnet8");
    assert_string_equal(info.data, "shapes");
    assert_int_equal(info.classes, CLASSES);
    assert_int_equal(info.image, 32);
    assert_true(info.normalised);

    static uint8_t pixels[PICTURES * PIXELS];
    static float pictures[PICTURES * PIXELS], logits[PICTURES * CLASSES], p[PICTURES * CLASSES];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 7919 >> 5);
        pictures[i] = ((float)pixels[i] / 255.0f - info.mean[i % 3]) / info.std[i % 3];
    }
    assert_int_equal(duet_network_classify(network, pixels, PICTURES, p, &err), DUET_OK); /* batches of 3, 3 and 1 */
    assert_int_equal(duet_network_logits(network, pictures, PICTURES, logits, &err), DUET_OK);
    for (size_t i = 0; i < PICTURES; i++) {
        double sum = 0, all = 0;
        for (size_t c = 0; c < CLASSES; c++) sum += exp((double)logits[i * CLASSES + c]);
        for (size_t c = 0; c < CLASSES; c++) {
            assert_true(fabs((double)p[i * CLASSES + c] - exp((double)logits[i * CLASSES + c]) / sum) < 1e-6);
            all += (double)p[i * CLASSES + c];
        }
        assert_true(fabs(all - 1) < 1e-5);
    }
    duet_network_close(network);
    duet_network_close(NULL);
}

/* A data set of the caller's: pictures are stripes, labels follow from the index. */
static void read_stripes(void *user, duet_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    (void)user, (void)mask, (void)split;
    for (size_t i = 0; i < PIXELS; i++) pixels[i] = (uint8_t)((i / 3 % 32) * (index + 1));
    *label = (int32_t)(index % CLASSES);
}

static duet_data *stripes(size_t classes, size_t side)
{
    const duet_data_source source = {.info = {.name = "stripes", .train_images = 4, .test_images = PICTURES, .classes = classes, .height = side,
                                              .width = side, .mean = {9, 9, 9}, .std = {3, 3, 3}},
                                     .read = read_stripes};
    duet_data *data;
    duet_error err;
    assert_int_equal(duet_data_create(&source, &data, &err), DUET_OK);
    return data;
}

static void evaluation_uses_the_normalisation_of_the_weights(void **state)
{
    (void)state;
    duet_network *network = network_after_one_step();
    duet_data *data = stripes(CLASSES, 32);
    duet_measures m;
    duet_error err;
    static uint8_t pixels[PICTURES * PIXELS];
    static float p[PICTURES * CLASSES], logits[PICTURES * CLASSES];
    int32_t label[PICTURES];
    for (size_t i = 0; i < PICTURES; i++)
        assert_int_equal(duet_data_read(data, DUET_SPLIT_TEST, i, pixels + i * PIXELS, &label[i], NULL, &err), DUET_OK);
    assert_int_equal(duet_network_classify(network, pixels, PICTURES, p, &err), DUET_OK);
    assert_int_equal(duet_network_evaluate(network, data, DUET_SPLIT_TEST, logits, &m, &err), DUET_OK);
    double ce = 0, right = 0;
    for (size_t i = 0; i < PICTURES; i++) {
        size_t best = 0;
        for (size_t c = 0; c < CLASSES; c++)
            if (logits[i * CLASSES + c] > logits[i * CLASSES + best]) best = c;
        ce -= log((double)p[i * CLASSES + (size_t)label[i]]) / PICTURES;
        right += (int32_t)best == label[i];
    }
    assert_true(fabs(duet_measure_of(&m, "ce") - ce) < 1e-5);
    assert_true(fabs(duet_measure_of(&m, "top1") - 100 * right / PICTURES) < 1e-9);
    assert_int_equal(duet_network_evaluate(network, data, DUET_SPLIT_TRAIN, NULL, &m, &err), DUET_OK);
    duet_data_close(data);

    data = stripes(CLASSES + 1, 32);
    assert_int_equal(duet_network_evaluate(network, data, DUET_SPLIT_TEST, NULL, &m, &err), DUET_SHAPE);
    duet_data_close(data);
    data = stripes(CLASSES, 28);
    assert_int_equal(duet_network_evaluate(network, data, DUET_SPLIT_TEST, NULL, &m, &err), DUET_SHAPE);
    duet_data_close(data);
    duet_network_close(network);
}

/* ---- looking at a step --------------------------------------------------------------------------------------- */

static void a_step_is_planned_and_timed(void **state)
{
    (void)state;
    duet_error err;
    char *plan;
    duet_bench_result r;
    assert_int_equal(duet_plan(recipe, NULL, 0, &plan, &err), DUET_OK);
    assert_non_null(strstr(plan, "kernels"));
    duet_text_free(plan);
    const duet_bench_options o = {.warmup = 1, .steps = 3, .profile_runs = 1};
    assert_int_equal(duet_bench_step(recipe, &o, &r, &err), DUET_OK);
    assert_int_equal(r.steps, 3);
    assert_int_equal(r.batch, 4);
    assert_true(r.ms_min > 0 && r.ms_min <= r.ms_median);
    assert_true(fabs(r.images_per_s - 4000 / r.ms_median) < 1e-6 * r.images_per_s);
    assert_true(isfinite(r.first_loss) && r.first_loss > 2);
    assert_true(r.peak_rss_mib > 1);
    assert_non_null(strstr(r.profile, "conv"));
    duet_text_free(r.profile);
    assert_int_equal(duet_bench_step(recipe, &(duet_bench_options){.image = 28, .steps = 1}, &r, &err), DUET_SHAPE);
}

#define WITH_RECIPE(f) cmocka_unit_test_setup_teardown(f, open_recipe, close_recipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RECIPE(a_run_is_observed_stopped_and_resumed),
        WITH_RECIPE(a_run_needs_a_folder),
        WITH_RECIPE(a_run_trains_on_a_data_set_of_the_callers),
        WITH_RECIPE(classify_is_the_softmax_of_the_normalised_logits),
        WITH_RECIPE(evaluation_uses_the_normalisation_of_the_weights),
        WITH_RECIPE(a_step_is_planned_and_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
