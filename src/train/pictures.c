/* What a run has to know of its pictures before, and to say of them after: names of classes, measured normalisation, what was
 * skipped. */
#include "train_impl.h"

#include <string.h>

/* ---- names of classes ------------------------------------------------------------------------------------------ */

duet_status dt_class_lines(const dt_data_facts *f, dt_text *out, duet_error *err)
{
    for (size_t c = 0; f->class_names && c < f->classes; c++)
        if (!*f->class_names[c] || strchr(f->class_names[c], '\n')) return DUET_OK;
    for (size_t c = 0; f->class_names && c < f->classes; c++) dt_text_append(out, "%s%s", c ? "\n" : "", f->class_names[c]);
    return dt_text_ok(out) ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for the names of %zu classes", f->classes);
}

/* ---- normalisation --------------------------------------------------------------------------------------------- */

/* Beyond so many pictures the mean does not move any more: its standard error is below a thousandth of the deviation between pictures
 * by then, and a large data set would be read once more for nothing. */
enum { MEASURED_MOST = 20000 };

duet_status dt_measure_normalisation(const dt_recipe *r, const dt_source *source, const uint32_t *indices, size_t n, const dt_log_sink *log,
                                     dt_data_facts *facts, duet_error *err)
{
    const dt_loader_spec spec = {.source = source, .split = DT_SPLIT_TRAIN, .indices = indices, .n_indices = n, .augment = DT_AUGMENT_NONE,
                                 .squares = dt_recipe_squares_of(r, false), .views = 1, .skip = r->data.on_error, .workers = (int)r->data.workers};
    size_t measured;
    DT_TRY(dt_measure_pixels(&spec, MEASURED_MOST, facts->mean, facts->std, &measured, err));
    dt_say(log, "normalisation, measured on %zu training pictures: mean %.4f %.4f %.4f, std %.4f %.4f %.4f", measured, (double)facts->mean[0],
           (double)facts->mean[1], (double)facts->mean[2], (double)facts->std[0], (double)facts->std[1], (double)facts->std[2]);
    return DUET_OK;
}

duet_status dt_normalisation_of_weights(const char *path, dt_data_facts *facts, duet_error *err)
{
    dt_saved *file = NULL;
    DT_TRY(dt_saved_open(path, &file, err));
    const bool known = dt_three_floats(dt_saved_metadata(file, "mean"), facts->mean) && dt_three_floats(dt_saved_metadata(file, "std"), facts->std);
    dt_saved_close(file);
    return known ? DUET_OK : dt_fail(err, DUET_FORMAT, "%s: does not say the mean and std that were measured for this run", path);
}

/* ---- weights of classes ------------------------------------------------------------------------------------------ */

static void name_class(const dt_data_facts *f, size_t c, char text[96])
{
    if (f->class_names) snprintf(text, 96, "%.80s", f->class_names[c]);
    else snprintf(text, 96, "class %zu", c);
}

/* n / (K n_c): every class counts alike in the sum over all images, and the mean over them is 1. */
static duet_status balance(const dt_source *source, const uint32_t *indices, size_t n, float *weights, duet_error *err)
{
    static const char key[] = "task.class_weights: balanced";
    const size_t classes = source->facts.classes;
    char name[96];
    size_t *counts = dt_alloc(classes, sizeof *counts);
    if (!counts) return dt_fail(err, DUET_MEMORY, "no memory to count %zu classes", classes);
    duet_status st = DUET_OK;
    if (!dt_count_classes(source, indices, n, counts))
        st = dt_fail(err, DUET_RECIPE, "%s: the images of each class must be counted before training, and %s tells the class of an image only with the "
                     "image itself; give a list with a number for each class", key, source->facts.name);
    for (size_t c = 0; c < classes && !st; c++) {
        name_class(&source->facts, c, name);
        if (counts[c]) weights[c] = (float)((double)n / ((double)classes * (double)counts[c]));
        else st = dt_fail(err, DUET_RECIPE, "%s: %s has no training images%s, so that no weight balances it; give a list with a number for each class", key,
                          name, indices ? " left beside data.validation" : "");
    }
    dt_free(counts);
    return st;
}

static void say_weights(const dt_data_facts *f, const float *weights, const dt_log_sink *log)
{
    size_t least = 0, most = 0;
    char low[96], high[96];
    for (size_t c = 0; c < f->classes; c++) {
        if (weights[c] < weights[least]) least = c;
        if (weights[c] > weights[most]) most = c;
    }
    name_class(f, least, low);
    name_class(f, most, high);
    dt_say(log, "class weights: %.4g (%s) to %.4g (%s)", (double)weights[least], low, (double)weights[most], high);
}

duet_status dt_class_weights(const dt_recipe *r, const dt_source *source, const uint32_t *indices, size_t n, const dt_log_sink *log, float **out,
                             duet_error *err)
{
    const dt_weights *w = &r->task_config.class_weights;
    const size_t classes = source->facts.classes;
    *out = NULL;
    if (w->word == DT_CLASS_WEIGHTS_OFF) return DUET_OK;
    float *weights = dt_alloc(classes, sizeof *weights);
    if (!weights) return dt_fail(err, DUET_MEMORY, "no memory for the weights of %zu classes", classes);
    duet_status st = DUET_OK;
    if (w->word == DT_CLASS_WEIGHTS_BALANCED) st = balance(source, indices, n, weights, err);
    else for (size_t c = 0; c < classes && c < w->n; c++) weights[c] = (float)w->at[c];
    if (st) {
        dt_free(weights);
        return st;
    }
    say_weights(&source->facts, weights, log);
    *out = weights;
    return DUET_OK;
}

/* ---- what was skipped ------------------------------------------------------------------------------------------ */

void dt_say_skipped(dt_loader *loader, const char *pass, const dt_log_sink *log)
{
    const char *first;
    const size_t n = dt_loader_skipped(loader, &first);
    if (n) dt_say(log, "%s: %zu picture%s could not be read; the next one stood in its place. The first: %s", pass, n, n == 1 ? "" : "s", first);
}
