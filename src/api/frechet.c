/* <duet/frechet.h>: the extractor of src/train, the distance of src/tasks, and how a set is kept: as moments at five sizes, so that the
 * distance can be followed as the sets grow. */
#include "api/api_impl.h"

#include <duet/frechet.h>
#include <math.h>
#include <string.h>

enum { SIZES = 5, BATCH = 100 };

struct duet_extractor {
    dt_extractor *inner;
};

struct duet_features {
    char extractor[96];
    dt_moments at[SIZES]; /* of the first n/2 .. n pictures; the last one is the set's */
};

/* ---- the extractor ----------------------------------------------------------------------------------------------- */

duet_status duet_extractor_open(const char *weights, int threads, size_t batch, duet_extractor **out, duet_error *err)
{
    duet_extractor *e = dt_alloc(1, sizeof *e);
    if (!e) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", weights);
    const duet_status st = dt_extractor_open(weights, threads, batch ? batch : BATCH, &e->inner, err);
    if (st) dt_free(e);
    else *out = e;
    return st;
}

void duet_extractor_close(duet_extractor *extractor)
{
    if (!extractor) return;
    dt_extractor_close(extractor->inner);
    dt_free(extractor);
}

const char *duet_extractor_name(const duet_extractor *extractor)
{
    return dt_extractor_name(extractor->inner);
}

size_t duet_extractor_dimensions(const duet_extractor *extractor)
{
    return dt_extractor_dimensions(extractor->inner);
}

/* ---- sets of pictures -------------------------------------------------------------------------------------------- */

/* Size k of a set of n: 1/size is spread evenly from 2/n to 1/n. */
static size_t size_at(size_t n, int k)
{
    return n * (SIZES - 1) / (size_t)(2 * (SIZES - 1) - k);
}

static duet_status fill(duet_extractor *e, const dt_pictures *p, duet_features *f, duet_error *err)
{
    dt_moments *all = &f->at[SIZES - 1];
    snprintf(f->extractor, sizeof f->extractor, "%s", duet_extractor_name(e));
    DT_TRY(dt_moments_create(duet_extractor_dimensions(e), all, err));
    for (int k = 0; k < SIZES; k++) {
        DT_TRY(dt_extractor_add(e->inner, p, all->n, size_at(p->n, k) - all->n, all, err));
        if (k < SIZES - 1) DT_TRY(dt_moments_copy(all, &f->at[k], err));
    }
    return DUET_OK;
}

static duet_status take(duet_extractor *e, dt_pictures *p, const duet_features_options *options, duet_features **out, duet_error *err)
{
    const duet_features_options o = options ? *options : (duet_features_options){0};
    duet_features *f = dt_alloc(1, sizeof *f);
    if (!f) return dt_fail(err, DUET_MEMORY, "not enough memory for features");
    if (o.most && o.most < p->n) p->n = o.most;
    p->progress = o.progress;
    p->user = o.user;
    const duet_status st = fill(e, p, f, err);
    if (st) duet_features_free(f);
    else *out = f;
    return st;
}

duet_status duet_features_of_data(duet_extractor *extractor, const duet_data *data, duet_split split, const duet_features_options *options,
                                  duet_features **out, duet_error *err)
{
    dt_pictures p = dt_pictures_of_source(data->source, split == DUET_SPLIT_TRAIN ? DT_SPLIT_TRAIN : DT_SPLIT_TEST);
    return take(extractor, &p, options, out, err);
}

duet_status duet_features_of_folder(duet_extractor *extractor, const char *folder, const duet_features_options *options, duet_features **out,
                                    duet_error *err)
{
    dt_pictures p;
    DT_TRY(dt_pictures_of_folder(folder, &p, err));
    const size_t named = p.n;
    const duet_status st = take(extractor, &p, options, out, err);
    p.n = named;
    dt_pictures_release(&p);
    return st;
}

void duet_features_free(duet_features *features)
{
    if (!features) return;
    for (int k = 0; k < SIZES; k++) dt_moments_release(&features->at[k]);
    dt_free(features);
}

/* ---- the distance ------------------------------------------------------------------------------------------------ */

/* The bias falls with 1/n: a straight line through the distances at five sizes, followed to 1/n = 0 (Chong, Forsyth, CVPR 2020,
 * arXiv:1911.07023). */
static duet_status extrapolate(const duet_features *a, const duet_features *b, double last, double *out, duet_error *err)
{
    double x[SIZES], y[SIZES], mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    for (int k = 0; k < SIZES; k++) {
        x[k] = 1 / (double)a->at[k].n + 1 / (double)b->at[k].n;
        y[k] = last;
        if (k < SIZES - 1) DT_TRY(dt_frechet(&a->at[k], &b->at[k], &y[k], err));
        mean_x += x[k] / SIZES;
        mean_y += y[k] / SIZES;
    }
    for (int k = 0; k < SIZES; k++) {
        xx += (x[k] - mean_x) * (x[k] - mean_x);
        xy += (x[k] - mean_x) * (y[k] - mean_y);
    }
    if (xx > 0) *out = mean_y - xy / xx * mean_x;
    return DUET_OK;
}

duet_status duet_frechet_distance(const duet_features *a, const duet_features *b, duet_frechet *out, duet_error *err)
{
    const dt_moments *one = &a->at[SIZES - 1], *two = &b->at[SIZES - 1];
    if (strcmp(a->extractor, b->extractor) != 0)
        return dt_fail(err, DUET_ARG, "features of %s and of %s cannot be compared; use one extractor for both sets", a->extractor, b->extractor);
    duet_frechet f = {.n = {one->n, two->n}, .dimensions = one->d, .uneven = one->n != two->n};
    const size_t enough = DUET_FEW_PER_DIMENSION * one->d;
    f.few = one->n < enough || two->n < enough;
    f.unit_bias = dt_frechet_unit_bias(one->d, one->n, two->n);
    DT_TRY(dt_frechet(one, two, &f.distance, err));
    DT_TRY(dt_frechet_bias(one, two, &f.bias, err));
    f.extrapolated = NAN;
    if (!f.few) DT_TRY(extrapolate(a, b, f.distance, &f.extrapolated, err));
    *out = f;
    return DUET_OK;
}
