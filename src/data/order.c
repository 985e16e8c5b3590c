/* Which records, in which order: the shuffle of a pass and the split into training and held-out records. Both depend
 * on the seed (and the epoch) alone, so that an interrupted run finds the same order again. */
#include "data/data_impl.h"

void dt_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch)
{
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SHUFFLE, epoch, 0);
    for (size_t left = n; left > 1; left--) {
        size_t at = dt_rng_below(&rng, (uint32_t)left);
        uint32_t t = order[left - 1];
        order[left - 1] = order[at];
        order[at] = t;
    }
}

/* Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): walks the records once and holds each one out with the
 * probability that leaves exactly `validation` of them held at the end. Ascending by construction. */
void dt_split_validation(size_t n, size_t validation, uint64_t seed, uint32_t *rest, uint32_t *held)
{
    if (validation > n || n > UINT32_MAX) DT_BUG("cannot hold %zu of %zu records out", validation, n);
    dt_rng rng = dt_rng_make(seed, DT_PURPOSE_SPLIT, 0, 0);
    size_t wanted = validation;
    for (size_t i = 0; i < n; i++) {
        bool hold = dt_rng_below(&rng, (uint32_t)(n - i)) < wanted;
        if (hold) {
            *held++ = (uint32_t)i;
            wanted--;
        } else {
            *rest++ = (uint32_t)i;
        }
    }
}
