/* How far two sets of feature vectors are apart, as if each were a normal distribution (Frechet 1957; Dowson, Landau 1982):
 *
 *     d = |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)
 *
 * The root is not taken of C1 C2, which is not symmetric. With C = V L V' and R = V L^(1/2), so that C = R R', the eigenvalues of C1 C2
 * are the squares of the singular values of R1' R2, and tr (C1 C2)^(1/2) is their sum. Nothing is squared on the way: the distance of
 * a set to itself is near the rounding of its trace, even where the features fill fewer dimensions than they have.
 *
 * Numbers: double throughout. LAPACK by its Fortran symbols: matrices are stored by columns, sizes are int, and the length of each text
 * is passed after the other arguments. */
#include "tasks/tasks.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Matrices of LAPACK's 32-bit sizes, and of a memory that can be had. */
enum { MOST_DIMENSIONS = 8192 };

void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w, double *work, const int *n_work,
             int *iwork, const int *n_iwork, int *info, size_t, size_t);
void dgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha, const double *a, const int *lda,
            const double *b, const int *ldb, const double *beta, double *c, const int *ldc, size_t, size_t);
void dgesdd_(const char *job, const int *m, const int *n, double *a, const int *lda, double *s, double *u, const int *ldu, double *vt,
             const int *ldvt, double *work, const int *n_work, int *iwork, int *info, size_t);

/* ---- mean and covariance ----------------------------------------------------------------------------------------- */

duet_status dt_moments_create(size_t d, dt_moments *out, duet_error *err)
{
    if (d < 1 || d > MOST_DIMENSIONS) return dt_fail(err, DUET_ARG, "features of %zu dimensions; 1 to %d are possible", d, (int)MOST_DIMENSIONS);
    dt_moments m = {.d = d, .mean = dt_alloc(d, sizeof *m.mean), .apart = dt_alloc(d, sizeof *m.apart), .scatter = dt_alloc(d * d, sizeof *m.scatter)};
    if (!m.mean || !m.apart || !m.scatter) {
        dt_moments_release(&m);
        return dt_fail(err, DUET_MEMORY, "not enough memory for a covariance of %zu dimensions", d);
    }
    *out = m;
    return DUET_OK;
}

void dt_moments_release(dt_moments *m)
{
    dt_free(m->mean);
    dt_free(m->apart);
    dt_free(m->scatter);
    *m = (dt_moments){0};
}

duet_status dt_moments_copy(const dt_moments *m, dt_moments *out, duet_error *err)
{
    dt_moments copy;
    DT_TRY(dt_moments_create(m->d, &copy, err));
    copy.n = m->n;
    memcpy(copy.mean, m->mean, m->d * sizeof *m->mean);
    memcpy(copy.scatter, m->scatter, m->d * m->d * sizeof *m->scatter);
    *out = copy;
    return DUET_OK;
}

/* Welford's update: with delta = x - mean before, mean += delta / n and scatter += (n - 1)/n delta delta'. */
void dt_moments_add(dt_moments *m, const float *features)
{
    const size_t d = m->d;
    const double n = (double)++m->n;
    for (size_t i = 0; i < d; i++) {
        m->apart[i] = (double)features[i] - m->mean[i];
        m->mean[i] += m->apart[i] / n;
    }
    for (size_t i = 0; i < d; i++) {
        const double weight = (n - 1) / n * m->apart[i];
        double *row = m->scatter + i * d;
        for (size_t j = i; j < d; j++) row[j] += weight * m->apart[j];
    }
}

double dt_moments_covariance(const dt_moments *m, size_t i, size_t j)
{
    return m->scatter[i < j ? i * m->d + j : j * m->d + i] / (double)(m->n - 1);
}

/* ---- the distance ------------------------------------------------------------------------------------------------ */

/* Everything the computation needs, allocated at once. */
typedef struct frechet {
    int d, n_work, n_iwork;
    double *root[2], *product; /* [d, d] by columns */
    double *values, *work;
    int *iwork;
} frechet;

static duet_status open_work(frechet *f, size_t d, duet_error *err)
{
    double wanted[2] = {0}, none = 0;
    int wanted_i = 0, info = 0;
    const int query = -1, one = 1;
    f->d = (int)d;
    dsyevd_("V", "U", &f->d, &none, &f->d, &none, &wanted[0], &query, &wanted_i, &query, &info, 1, 1);
    int unused = 0;
    dgesdd_("N", &f->d, &f->d, &none, &f->d, &none, &none, &one, &none, &one, &wanted[1], &query, &unused, &info, 1);
    f->n_work = (int)fmax(wanted[0], wanted[1]);
    f->n_iwork = wanted_i > 8 * f->d ? wanted_i : 8 * f->d;
    for (int k = 0; k < 2; k++) f->root[k] = dt_alloc(d * d, sizeof(double));
    f->product = dt_alloc(d * d, sizeof(double));
    f->values = dt_alloc(d, sizeof(double));
    f->work = dt_alloc((size_t)f->n_work, sizeof(double));
    f->iwork = dt_alloc((size_t)f->n_iwork, sizeof(int));
    if (f->root[0] && f->root[1] && f->product && f->values && f->work && f->iwork) return DUET_OK;
    return dt_fail(err, DUET_MEMORY, "not enough memory for a Frechet distance in %zu dimensions", d);
}

static void close_work(frechet *f)
{
    for (int k = 0; k < 2; k++) dt_free(f->root[k]);
    dt_free(f->product);
    dt_free(f->values);
    dt_free(f->work);
    dt_free(f->iwork);
}

/* R with R R' = C. Eigenvalues that are nothing but rounding are 0. */
static duet_status take_root(frechet *f, const dt_moments *m, double *root, duet_error *err)
{
    const size_t d = m->d;
    int info = 0;
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i <= j; i++) root[j * d + i] = dt_moments_covariance(m, i, j);
    dsyevd_("V", "U", &f->d, root, &f->d, f->values, f->work, &f->n_work, f->iwork, &f->n_iwork, &info, 1, 1);
    if (info) return dt_fail(err, DUET_NUMERIC, "the eigenvalues of a covariance could not be found (dsyevd: %d)", info);
    const double least = (double)d * DBL_EPSILON * f->values[d - 1]; /* they come in rising order */
    for (size_t j = 0; j < d; j++) {
        const double scale = f->values[j] > least ? sqrt(f->values[j]) : 0;
        for (size_t i = 0; i < d; i++) root[j * d + i] *= scale;
    }
    return DUET_OK;
}

static duet_status cross_trace(frechet *f, double *sum, duet_error *err)
{
    const double one = 1, zero = 0;
    const int d = f->d, least = 1;
    int info = 0;
    double none = 0;
    dgemm_("T", "N", &d, &d, &d, &one, f->root[0], &d, f->root[1], &d, &zero, f->product, &d, 1, 1);
    dgesdd_("N", &d, &d, f->product, &d, f->values, &none, &least, &none, &least, f->work, &f->n_work, f->iwork, &info, 1);
    if (info) return dt_fail(err, DUET_NUMERIC, "the singular values of a product of covariances could not be found (dgesdd: %d)", info);
    *sum = 0;
    for (int i = d; i-- > 0;) *sum += f->values[i]; /* small ones first */
    return DUET_OK;
}

static duet_status check(const dt_moments *m, const char *which, duet_error *err)
{
    if (m->n <= m->d)
        return dt_fail(err, DUET_ARG, "%zu pictures in the %s set, and features of %zu dimensions: more pictures than dimensions are needed", m->n,
                       which, m->d);
    for (size_t i = 0; i < m->d; i++)
        if (!isfinite(m->mean[i]) || !isfinite(m->scatter[i * m->d + i]))
            return dt_fail(err, DUET_NUMERIC, "feature %zu of the %s set is not finite", i, which);
    return DUET_OK;
}

static duet_status check_both(const dt_moments *a, const dt_moments *b, duet_error *err)
{
    if (a->d != b->d) return dt_fail(err, DUET_SHAPE, "features of %zu and of %zu dimensions cannot be compared", a->d, b->d);
    DT_TRY(check(a, "first", err));
    return check(b, "second", err);
}

duet_status dt_frechet(const dt_moments *a, const dt_moments *b, double *out, duet_error *err)
{
    DT_TRY(check_both(a, b, err));
    frechet f = {0};
    double cross = 0, distance = 0;
    duet_status st = open_work(&f, a->d, err);
    if (!st) st = take_root(&f, a, f.root[0], err);
    if (!st) st = take_root(&f, b, f.root[1], err);
    if (!st) st = cross_trace(&f, &cross, err);
    close_work(&f);
    if (st) return st;
    for (size_t i = 0; i < a->d; i++) distance += (a->mean[i] - b->mean[i]) * (a->mean[i] - b->mean[i]);
    for (size_t i = 0; i < a->d; i++) distance += dt_moments_covariance(a, i, i) + dt_moments_covariance(b, i, i);
    *out = distance - 2 * cross;
    return DUET_OK;
}

/* ---- what chance alone gives --------------------------------------------------------------------------------------- */

double dt_frechet_unit_bias(size_t d, size_t n1, size_t n2)
{
    const double k = (double)d;
    return (k * (k + 1) / 4 + k) * (1 / (double)n1 + 1 / (double)n2);
}

/* For (1/n1 + 1/n2) = 1. The means differ by tr C. The covariances differ by a matrix whose element i, j has the variance
 * (1 + [i = j]) l_i l_j in the basis of C's eigenvectors, and to second order the distance of C and C + E is
 * sum_ij E_ij^2 / (l_i + l_j) / 2. */
static double spread(const double *l, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++) {
        if (l[i] <= 0) continue;
        for (size_t j = 0; j < d; j++)
            if (l[j] > 0) sum += (i == j ? 2 : 1) * l[i] * l[j] / (l[i] + l[j]) / 2;
        sum += l[i];
    }
    return sum;
}

duet_status dt_frechet_bias(const dt_moments *a, const dt_moments *b, double *out, duet_error *err)
{
    const dt_moments *const sets[2] = {a, b};
    DT_TRY(check_both(a, b, err));
    frechet f = {0};
    double sum = 0;
    duet_status st = open_work(&f, a->d, err);
    for (int k = 0; k < 2 && !st; k++) {
        st = take_root(&f, sets[k], f.root[0], err);
        if (!st) sum += spread(f.values, a->d) / 2;
    }
    close_work(&f);
    if (!st) *out = sum * (1 / (double)a->n + 1 / (double)b->n);
    return st;
}
