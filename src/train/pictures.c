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

/* ---- what was skipped ------------------------------------------------------------------------------------------ */

void dt_say_skipped(dt_loader *loader, const char *pass, const dt_log_sink *log)
{
    const char *first;
    const size_t n = dt_loader_skipped(loader, &first);
    if (n) dt_say(log, "%s: %zu picture%s could not be read; the next one stood in its place. The first: %s", pass, n, n == 1 ? "" : "s", first);
}
