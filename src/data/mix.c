/* Mixup: pictures of a batch added to each other, two by two, and what that makes of their labels.
 *
 * A permutation is made of cycles. Along each of them a picture is needed once more after it has been overwritten, the first, so
 * that one spare picture is all that mixing in place costs. */
#include "data/data_impl.h"

#include <string.h>

void dt_mix_draw(double alpha, uint64_t seed, uint32_t epoch, size_t step, size_t n, dt_mix *out)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_MIXUP, epoch, step);
    out->share = (float)dt_rng_beta(&rng, alpha);
    for (size_t i = 0; i < n; i++) out->partner[i] = (uint32_t)i;
    for (size_t left = n; left > 1; left--) {
        const size_t at = dt_rng_below(&rng, (uint32_t)left);
        const uint32_t t = out->partner[left - 1];
        out->partner[left - 1] = out->partner[at];
        out->partner[at] = t;
    }
}

static void mix_two(float *restrict own, const float *restrict other, float share, size_t values)
{
    const float rest = 1 - share;
    for (size_t k = 0; k < values; k++) own[k] = share * own[k] + rest * other[k];
}

void dt_mix_apply(const dt_mix *m, float *rows, size_t n, size_t values)
{
    memset(m->done, 0, n * sizeof *m->done);
    for (size_t first = 0; first < n; first++) {
        if (m->done[first]) continue;
        memcpy(m->spare, rows + first * values, values * sizeof *rows);
        for (size_t i = first; !m->done[i]; i = m->partner[i]) {
            const size_t other = m->partner[i];
            mix_two(rows + i * values, other == first ? m->spare : rows + other * values, m->share, values);
            m->done[i] = true;
        }
    }
}
