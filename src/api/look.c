/* <duet/run.h>, looking at a step without training: its plan, and its speed on one resident batch of random pictures. */
#include "api/api_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- plan --------------------------------------------------------------------------------------------------- */

/* Enough to compile a step for a data set whose files are not here. */
static const dt_data_facts known_facts[] = {
    {.name = "cifar10", .train_images = 50000, .test_images = 10000, .classes = 10, .height = 32, .width = 32},
    {.name = "cifar100", .train_images = 50000, .test_images = 10000, .classes = 100, .height = 32, .width = 32},
    {.name = "cityscapes", .train_images = 2975, .test_images = 500, .classes = 19, .height = 1024, .width = 2048, .labels = DT_LABELS_PIXELS},
    {.name = "voc", .train_images = 10582, .test_images = 1449, .classes = 21, .height = 500, .width = 500, .masks = true, .labels = DT_LABELS_PIXELS},
};

static const dt_data_facts *facts_without_files(const dt_recipe *r)
{
    if (r->data.path) return NULL; /* a path was given: that it does not work is worth knowing */
    for (size_t i = 0; i < DT_COUNT(known_facts); i++)
        if (!strcmp(known_facts[i].name, r->data.name)) return &known_facts[i];
    return NULL;
}

static void print_head(const dt_recipe *r, const dt_session *s, dt_text *out)
{
    char device[128];
    s->device->api->describe(s->device, device, sizeof device);
    dt_text_append(out, "one step of %s%s on %s, batch %lld, %zux%zu pixels, %zu classes\n", r->method->name, r->adm.enabled ? " + adm" : "",
                   s->data.name, (long long)r->train.batch, s->data.height, s->data.width, s->data.classes);
    if (r->task_config.class_weights.word == DT_CLASS_WEIGHTS_BALANCED) dt_text_append(out, "  class weights: balanced, by the training images\n");
    else if (s->peers.targets.class_weights)
        dt_text_append(out, "  class weights: %.4g to %.4g\n", (double)s->least_weight, (double)s->most_weight);
    if (r->train.accumulate > 1)
        dt_text_append(out, "  %lld times: the update is of their mean gradient, %lld images\n", (long long)r->train.accumulate,
                       (long long)(r->train.accumulate * r->train.batch));
    if (r->data.mixup > 0) dt_text_append(out, "  images mixed two by two, mixup %g\n", r->data.mixup);
    for (int i = 0; i < r->n_networks; i++)
        dt_text_append(out, "  %-12s %s%s\n", r->networks[i].name, r->networks[i].model, r->networks[i].frozen ? ", frozen" : "");
    dt_text_append(out, "device: %s\n\n", device);
    const size_t before = out->length;
    dt_session_meetings(s, out);
    if (out->length > before) dt_text_append(out, "\n");
}

static duet_status print_plan(const dt_recipe *r, const dt_data_facts *facts, int profile_runs, dt_text *out, duet_error *err)
{
    const dt_data_facts met = dt_recipe_facts(r, facts);
    dt_session *s;
    DT_TRY(dt_session_create(r, &met, DT_FIRST_WEIGHTS, &s, err));
    print_head(r, s, out);
    dt_program_print(s->step, out);
    duet_status st = DUET_OK;
    if (profile_runs > 0) {
        dt_text_append(out, "\n");
        st = dt_program_profile(s->step, profile_runs, out, err);
    }
    dt_session_destroy(s);
    return st;
}

duet_status duet_plan(const duet_recipe *recipe, const duet_data *data, int profile_runs, char **out, duet_error *err)
{
    const dt_recipe *r = recipe->inner;
    const dt_data_facts *facts = data ? &data->source->facts : facts_without_files(r);
    dt_source *opened = NULL;
    if (!facts) {
        DT_TRY(dt_source_open(r->data.name, r->data.path, DT_DATA_SEED, NULL, &opened, err));
        facts = &opened->facts;
    }
    dt_text text = {0};
    duet_status st = print_plan(r, facts, profile_runs, &text, err);
    dt_source_close(opened);
    if (!st) return dt_api_give_text(&text, out, err);
    dt_text_release(&text);
    return st;
}

/* ---- bench -------------------------------------------------------------------------------------------------- */

/* A batch that stays in memory; its pictures are noise with the mean and deviation of normalised ones. */
typedef struct bench {
    dt_session *session;
    dt_batch batch;
    float *pictures, *noise;
    int32_t *labels, *time;
    double *ms; /* [most steps] */
} bench;

static duet_status make_batch(bench *b, const dt_recipe *r, const dt_data_facts *f, duet_error *err)
{
    const size_t n = (size_t)r->train.batch, views = (size_t)b->session->n_views, one = n * b->session->image_count;
    dt_rng rng = dt_rng_make((uint64_t)r->train.seed, DT_PURPOSE_TEST, 0, 0);
    b->pictures = dt_alloc(views * one, sizeof *b->pictures);
    b->noise = dt_alloc(one, sizeof *b->noise);
    b->labels = dt_alloc(one, sizeof *b->labels); /* of pictures, or of pixels */
    b->time = dt_alloc(n, sizeof *b->time);
    if (!b->pictures || !b->noise || !b->labels || !b->time) return dt_fail(err, DUET_MEMORY, "not enough memory for a batch of %zu", n);
    for (size_t i = 0; i < views * one; i++) b->pictures[i] = dt_rng_normal(&rng);
    for (size_t i = 0; i < one; i++) b->labels[i] = (int32_t)dt_rng_below(&rng, (uint32_t)f->classes);
    if (r->task->needs & DT_NEEDS_NOISE) {
        for (size_t i = 0; i < one; i++) b->noise[i] = dt_rng_normal(&rng);
        for (size_t i = 0; i < n; i++) b->time[i] = (int32_t)dt_rng_below(&rng, (uint32_t)r->task_config.timesteps);
    }
    b->batch = (dt_batch){.n = n, .height = f->height, .width = f->width, .labels = b->labels, .pixel_labels = b->labels, .other_labels = b->labels + n,
                          .share = 0.5f, .noise = b->noise, .time = b->time};
    for (size_t v = 0; v < views; v++) b->batch.images[v] = b->pictures + v * one;
    return DUET_OK;
}

static duet_status timed_step(bench *b, double *seconds, int *variant, duet_error *err)
{
    const double began = dt_now_s();
    const dt_recipe *r = b->session->recipe;
    for (int64_t k = 0; k < r->train.accumulate; k++) DT_TRY(dt_session_step(b->session, &b->batch, 0, r->train.lr, variant, err));
    *seconds = dt_now_s() - began;
    return DUET_OK;
}

static double sum_of_losses(const dt_session *s, int variant)
{
    double sum = 0;
    for (int i = 0; i < s->peers.n; i++)
        if (s->losses.loss[variant][i] != DT_NONE) sum += dt_session_loss(s, variant, i);
    return sum;
}

static duet_status warm_up(bench *b, int64_t steps, duet_bench_result *out, duet_error *err)
{
    for (int64_t i = 0; i < steps; i++) {
        double seconds;
        int variant;
        DT_TRY(timed_step(b, &seconds, &variant, err));
        if (i > 0) continue;
        out->first_step_s = seconds;
        out->first_loss = sum_of_losses(b->session, variant);
    }
    return DUET_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static duet_status measure(bench *b, const duet_bench_options *o, duet_bench_result *out, duet_error *err)
{
    enum { LEAST = 5 };
    const double began = dt_now_s();
    size_t n = 0;
    while (n < (size_t)o->steps && (n < LEAST || dt_now_s() - began < o->max_seconds)) {
        double seconds;
        int variant;
        DT_TRY(timed_step(b, &seconds, &variant, err));
        b->ms[n++] = 1e3 * seconds;
    }
    qsort(b->ms, n, sizeof *b->ms, ascending);
    out->steps = (int64_t)n;
    out->ms_median = n % 2 ? b->ms[n / 2] : (b->ms[n / 2 - 1] + b->ms[n / 2]) / 2;
    out->ms_min = b->ms[0];
    out->ms_p90 = b->ms[(size_t)(0.9 * (double)(n - 1))];
    out->images_per_s = 1e3 * (double)out->batch / out->ms_median;
    return DUET_OK;
}

static duet_status profile(bench *b, int runs, duet_bench_result *out, duet_error *err)
{
    dt_text text = {0};
    duet_status st = dt_program_profile(b->session->step, runs, &text, err);
    if (!st) return dt_api_give_text(&text, &out->profile, err);
    dt_text_release(&text);
    return st;
}

static duet_status run_bench(bench *b, const dt_recipe *r, const duet_bench_options *o, duet_bench_result *out, duet_error *err)
{
    const dt_data_facts facts = {.name = "noise", .train_images = 50000, .test_images = 10000, .classes = o->classes,
                                 .height = o->image, .width = o->image};
    DT_TRY(dt_session_create(r, &facts, DT_FIRST_WEIGHTS, &b->session, err));
    DT_TRY(make_batch(b, r, &facts, err));
    b->ms = dt_alloc((size_t)o->steps, sizeof *b->ms);
    if (!b->ms) return dt_fail(err, DUET_MEMORY, "not enough memory for %lld steps", (long long)o->steps);
    b->session->device->api->describe(b->session->device, out->device, sizeof out->device);
    out->batch = b->batch.n * (size_t)r->train.accumulate;
    out->threads = b->session->device->threads;
    DT_TRY(warm_up(b, o->warmup, out, err));
    DT_TRY(measure(b, o, out, err));
    out->peak_rss_mib = (double)dt_peak_rss_bytes() / (1024 * 1024);
    return o->profile_runs > 0 ? profile(b, o->profile_runs, out, err) : DUET_OK;
}

/* The side of the picture that the first network is made for. */
static size_t own_side(const dt_recipe *r)
{
    const dt_model *m = dt_recipe_model(&r->networks[0], NULL);
    return m ? m->image : 32;
}

duet_status duet_bench_step(const duet_recipe *recipe, const duet_bench_options *options, duet_bench_result *out, duet_error *err)
{
    duet_bench_options o = options ? *options : (duet_bench_options){0};
    if (o.classes == 0) o.classes = 100;
    if (o.image == 0) o.image = own_side(recipe->inner);
    if (o.warmup <= 0) o.warmup = 3;
    if (o.steps <= 0) o.steps = 50;
    if (!(o.max_seconds > 0)) o.max_seconds = 30;
    bench b = {0};
    duet_bench_result result = {0};
    duet_status st = run_bench(&b, recipe->inner, &o, &result, err);
    dt_session_destroy(b.session);
    dt_free(b.pictures);
    dt_free(b.labels);
    dt_free(b.noise);
    dt_free(b.time);
    dt_free(b.ms);
    if (!st) *out = result;
    return st;
}
