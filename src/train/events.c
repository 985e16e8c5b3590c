/* What the lines of log.jsonl and metrics.csv say. Pure text: who writes it where is run_folder.c's business.
 *
 * log.jsonl has one object per line with "event": start, step, epoch, resume, stop, end. metrics.csv has one row per
 * epoch; a cell is empty where nothing was measured. Numbers read back to the same double. */
#include "train_impl.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* ---- JSON pieces ----------------------------------------------------------------------------------------------- */

/* Keys are separated by the comma that stands in front of every member but the first. */
static void key(dt_text *out, const char *name)
{
    const char last = out->length ? out->bytes[out->length - 1] : '{';
    if (last != '{' && last != '[') dt_text_append(out, ",");
    dt_json_string(out, name);
    dt_text_append(out, ":");
}

static void number(dt_text *out, const char *name, double value)
{
    key(out, name);
    dt_json_number(out, value);
}

static void whole(dt_text *out, const char *name, int64_t value)
{
    key(out, name);
    dt_text_append(out, "%lld", (long long)value);
}

static void text(dt_text *out, const char *name, const char *value)
{
    key(out, name);
    dt_json_string(out, value);
}

static void three(dt_text *out, const char *name, const float values[3])
{
    key(out, name);
    for (int i = 0; i < 3; i++) {
        dt_text_append(out, i ? "," : "[");
        dt_json_number(out, (double)values[i]);
    }
    dt_text_append(out, "]");
}

static void open_object(dt_text *out, const char *name)
{
    key(out, name);
    dt_text_append(out, "{");
}

static void close_object(dt_text *out) { dt_text_append(out, "}"); }

static void open_event(dt_text *out, const char *name)
{
    dt_text_append(out, "{\"event\":\"%s\"", name);
}

static void close_event(dt_text *out) { dt_text_append(out, "}\n"); }

static void now(dt_text *out)
{
    char stamp[32];
    struct tm utc;
    const time_t t = time(NULL);
    if (!gmtime_r(&t, &utc) || !strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc)) return;
    text(out, "time", stamp);
}

static void measures(dt_text *out, const char *name, const dt_scoring *scoring, const double *values)
{
    open_object(out, name);
    for (int i = 0; i < scoring->n_metrics; i++)
        if (isfinite(values[i])) number(out, scoring->metrics[i].name, values[i]);
    close_object(out);
}

/* ---- means of an epoch ----------------------------------------------------------------------------------------- */

static double mean(double sum, int64_t n) { return n ? sum / (double)n : (double)NAN; }
double dt_tally_loss(const dt_tally *t, int network) { return mean(t->loss_sum[network], t->loss_steps[network]); }
double dt_tally_term(const dt_tally *t, int term) { return mean(t->term_sum[term], t->term_steps[term]); }

static const char *variant_name(const dt_session *s, int v)
{
    const dt_method *m = s->recipe->method;
    return m->variant_names && m->variant_names[v] ? m->variant_names[v] : "step";
}

static double variant_share(const dt_session *s, const dt_tally *t, int v)
{
    int64_t all = 0;
    for (int i = 0; i < s->losses.n_variants; i++) all += t->variant_steps[i];
    return mean((double)t->variant_steps[v], all);
}

/* ---- log.jsonl ------------------------------------------------------------------------------------------------- */

static void device_text(dt_text *out, const dt_session *s)
{
    char device[DT_DEVICE_TEXT];
    dt_session_device_text(s, device);
    text(out, "device", device);
}

/* What of the networks is not from their files, in words. */
static void initial(dt_text *out, const dt_session *s)
{
    bool any = false;
    for (int i = 0; i < s->peers.n; i++) any |= s->left_out[i].length > 0;
    if (!any) return;
    open_object(out, "init");
    for (int i = 0; i < s->peers.n; i++)
        if (s->left_out[i].length) text(out, s->peers.at[i].name, s->left_out[i].bytes);
    close_object(out);
}

void dt_event_start(dt_text *out, const dt_session *s, const dt_data_facts *data, int64_t steps_per_epoch,
                    const uint32_t *held, size_t n_held)
{
    const dt_recipe *r = s->recipe;
    open_event(out, "start");
    text(out, "duet", DUET_VERSION);
    now(out);
    device_text(out, s);
    text(out, "data", data->name);
    whole(out, "train_images", (int64_t)data->train_images);
    whole(out, "test_images", (int64_t)data->test_images);
    three(out, "mean", data->mean);
    three(out, "std", data->std);
    whole(out, "classes", (int64_t)data->classes);
    whole(out, "epochs", r->train.epochs);
    whole(out, "steps_per_epoch", steps_per_epoch);
    whole(out, "images_per_step", r->train.batch * r->train.accumulate);
    if (r->data.mixup > 0) number(out, "mixup", r->data.mixup);
    if (s->peers.targets.class_weights) {
        open_object(out, "class_weights");
        number(out, "least", (double)s->least_weight);
        number(out, "most", (double)s->most_weight);
        close_object(out);
    }
    text(out, "method", r->method->name);
    key(out, "adm");
    dt_text_append(out, r->adm.enabled ? "true" : "false");
    open_object(out, "networks");
    for (int i = 0; i < r->n_networks; i++) text(out, r->networks[i].name, dt_recipe_model_name(&r->networks[i]));
    close_object(out);
    initial(out, s);
    if (n_held) {
        key(out, "held_out");
        dt_text_append(out, "[");
        for (size_t i = 0; i < n_held; i++) dt_text_append(out, i ? ",%u" : "%u", held[i]);
        dt_text_append(out, "]");
    }
    close_event(out);
}

void dt_event_resume(dt_text *out, const dt_session *s, const dt_run_state *run)
{
    open_event(out, "resume");
    now(out);
    device_text(out, s);
    whole(out, "epoch", run->epoch + 1);
    whole(out, "step", run->step);
    close_event(out);
}

static void losses(dt_text *out, const dt_session *s, int variant, const dt_tally *epoch)
{
    open_object(out, "loss");
    for (int i = 0; i < s->peers.n; i++) {
        const double value = epoch ? dt_tally_loss(epoch, i) : dt_session_loss(s, variant, i);
        if (!isnan(value)) number(out, s->peers.at[i].name, value);
    }
    close_object(out);
}

static void gradient_norms(dt_text *out, const dt_session *s, int variant)
{
    open_object(out, "gradient_norm");
    for (int i = 0; i < s->peers.n; i++) {
        const double norm = dt_session_gradient_norm(s, variant, i);
        if (!isnan(norm)) number(out, s->peers.at[i].name, norm);
    }
    close_object(out);
}

void dt_event_step(dt_text *out, const dt_session *s, const dt_run_state *run, int variant, double lr)
{
    open_event(out, "step");
    whole(out, "epoch", run->epoch + 1);
    whole(out, "step", run->step);
    number(out, "lr", lr);
    if (s->losses.n_variants > 1) text(out, "variant", variant_name(s, variant));
    losses(out, s, variant, NULL);
    open_object(out, "terms");
    for (int i = 0; i < s->losses.n_terms; i++) {
        const dt_term *t = &s->losses.terms[i];
        if (t->variant < 0 || t->variant == variant) number(out, t->name, dt_session_term(s, variant, i));
    }
    close_object(out);
    if (s->recipe->train.clip_norm > 0) gradient_norms(out, s, variant);
    close_event(out);
}

static void evaluation(dt_text *out, const char *name, const dt_session *s, const dt_evaluation *e)
{
    char pair[160];
    const int n = s->peers.n;
    open_object(out, name);
    for (int i = 0; i < n; i++) measures(out, s->peers.at[i].name, s->peers.task->scoring, e->measures[i].value);
    close_object(out);
    if (n < 2) return;
    snprintf(pair, sizeof pair, "%s_pairs", name);
    open_object(out, pair);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++) {
            snprintf(pair, sizeof pair, "%s-%s", s->peers.at[a].name, s->peers.at[b].name);
            measures(out, pair, s->peers.task->pair_scoring, e->pairs[a][b].value);
        }
    close_object(out);
}

void dt_event_epoch(dt_text *out, const dt_epoch_facts *e)
{
    const dt_session *s = e->session;
    const dt_tally *t = &e->run->tally;
    open_event(out, "epoch");
    whole(out, "epoch", e->report->epoch);
    whole(out, "step", e->run->step);
    number(out, "lr", e->report->lr);
    number(out, "train_s", e->report->train_s);
    number(out, "eval_s", e->report->eval_s);
    number(out, "images_per_s", e->report->images_per_s);
    number(out, "loader_wait", e->report->loader_wait_share);
    if (e->skipped) whole(out, "skipped", (int64_t)e->skipped);
    losses(out, s, 0, t);
    if (e->test) evaluation(out, "test", s, e->test);
    if (e->validation) evaluation(out, "validation", s, e->validation);
    if (e->raw) evaluation(out, "raw", s, e->raw);
    open_object(out, "terms");
    for (int i = 0; i < s->losses.n_terms; i++) number(out, s->losses.terms[i].name, dt_tally_term(t, i));
    close_object(out);
    if (s->losses.n_variants > 1) {
        open_object(out, "variants");
        for (int v = 0; v < s->losses.n_variants; v++) number(out, variant_name(s, v), variant_share(s, t, v));
        close_object(out);
    }
    close_event(out);
}

void dt_event_stop(dt_text *out, const dt_run_state *run, const char *reason)
{
    open_event(out, "stop");
    text(out, "reason", reason);
    now(out);
    whole(out, "epoch", run->epoch + 1);
    whole(out, "step", run->step);
    close_event(out);
}

void dt_event_end(dt_text *out, const dt_session *s, const dt_run_state *run, bool best_by_validation)
{
    open_event(out, "end");
    now(out);
    whole(out, "epochs", run->epoch);
    whole(out, "steps", run->step);
    number(out, "train_s", run->total_train_s);
    text(out, "best_by", best_by_validation ? "validation" : "test");
    open_object(out, "networks");
    for (int i = 0; i < s->peers.n; i++) {
        const dt_network_result *r = &run->results[i];
        open_object(out, s->peers.at[i].name);
        measures(out, "last", s->peers.task->scoring, r->last.value);
        measures(out, "best", s->peers.task->scoring, r->best.value);
        whole(out, "best_epoch", r->best_epoch);
        close_object(out);
    }
    close_object(out);
    close_event(out);
}

/* ---- metrics.csv ----------------------------------------------------------------------------------------------- */

static void DT_PRINTF(2, 3) column(dt_text *out, const char *format, ...)
{
    char name[200];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    dt_text_append(out, ",");
    dt_csv_field(out, name);
}

static void cell(dt_text *out, double value)
{
    dt_text_append(out, ",");
    if (isfinite(value)) dt_json_number(out, value);
}

/* NULL: not measured. */
static void measure_cells(dt_text *out, const dt_scoring *scoring, const double *values)
{
    for (int i = 0; i < scoring->n_metrics; i++) cell(out, values ? values[i] : (double)NAN);
}

void dt_metrics_header(dt_text *out, const dt_session *s, bool validated)
{
    const dt_peer *peers = s->peers.at;
    const dt_scoring *one = s->peers.task->scoring, *two = s->peers.task->pair_scoring;
    dt_text_append(out, "epoch,lr,train_s,images_per_s");
    for (int i = 0; i < s->peers.n; i++) {
        column(out, "%s.loss", peers[i].name);
        for (int k = 0; k < one->n_metrics; k++) column(out, "%s.%s", peers[i].name, one->metrics[k].name);
    }
    for (int i = 0; i < s->peers.n && validated; i++)
        for (int k = 0; k < one->n_metrics; k++) column(out, "%s.validation.%s", peers[i].name, one->metrics[k].name);
    for (int i = 0; i < s->peers.n && s->raw[0].program; i++) column(out, "%s.raw.%s", peers[i].name, one->metrics[0].name);
    for (int a = 0; a < s->peers.n; a++)
        for (int b = a + 1; b < s->peers.n; b++)
            for (int k = 0; k < two->n_metrics; k++) column(out, "%s-%s.%s", peers[a].name, peers[b].name, two->metrics[k].name);
    for (int i = 0; i < s->losses.n_terms; i++) column(out, "train.%s", s->losses.terms[i].name);
    for (int v = 0; v < s->losses.n_variants && s->losses.n_variants > 1; v++)
        column(out, "share.%s", variant_name(s, v));
    dt_text_append(out, "\n");
}

void dt_metrics_row(dt_text *out, const dt_epoch_facts *e, bool validated)
{
    const dt_session *s = e->session;
    const dt_tally *t = &e->run->tally;
    const dt_evaluation *test = e->test, *validation = e->validation;
    const dt_scoring *one = s->peers.task->scoring, *two = s->peers.task->pair_scoring;
    dt_text_append(out, "%lld", (long long)e->report->epoch);
    cell(out, e->report->lr);
    cell(out, e->report->train_s);
    cell(out, e->report->images_per_s);
    for (int i = 0; i < s->peers.n; i++) {
        cell(out, dt_tally_loss(t, i));
        measure_cells(out, one, test ? test->measures[i].value : NULL);
    }
    for (int i = 0; i < s->peers.n && validated; i++) measure_cells(out, one, validation ? validation->measures[i].value : NULL);
    for (int i = 0; i < s->peers.n && s->raw[0].program; i++) cell(out, e->raw ? e->raw->measures[i].value[0] : (double)NAN);
    for (int a = 0; a < s->peers.n; a++)
        for (int b = a + 1; b < s->peers.n; b++) measure_cells(out, two, test ? test->pairs[a][b].value : NULL);
    for (int i = 0; i < s->losses.n_terms; i++) cell(out, dt_tally_term(t, i));
    for (int v = 0; v < s->losses.n_variants && s->losses.n_variants > 1; v++) cell(out, variant_share(s, t, v));
    dt_text_append(out, "\n");
}
