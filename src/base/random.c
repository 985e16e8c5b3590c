/* Random numbers that depend on what they are for and on nothing else.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011: Philox4x32-10.
 *
 * A stream's 128-bit counter is laid out so that two streams never share a block:
 *
 *     word 0: purpose (high 7 bits), block within the stream (low 25 bits: 2^27 numbers)
 *     word 1: epoch      words 2, 3: index, low word first      key: seed, low word first
 *
 * The layout decides every result of a training run; it is frozen. */
#include "base/base.h"

#include <math.h>

enum { BLOCK_BITS = 25 };

static void philox_round(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    uint64_t p0 = UINT64_C(0xD2511F53) * c[0], p1 = UINT64_C(0xCD9E8D57) * c[2];
    uint32_t high0 = (uint32_t)(p0 >> 32), high1 = (uint32_t)(p1 >> 32);
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = (uint32_t)p1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = (uint32_t)p0;
}

void dt_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        philox_round(c, k0, k1);
        k0 += UINT32_C(0x9E3779B9); /* the golden ratio and sqrt(3) - 1, as Weyl sequences */
        k1 += UINT32_C(0xBB67AE85);
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

dt_rng dt_rng_make(uint64_t seed, dt_purpose purpose, uint32_t epoch, uint64_t index)
{
    if ((unsigned)purpose >> (32 - BLOCK_BITS)) DT_BUG("purpose %d does not fit the counter", (int)purpose);
    return (dt_rng){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {(uint32_t)purpose << BLOCK_BITS, epoch, (uint32_t)index, (uint32_t)(index >> 32)},
        .used = 4,
    };
}

uint32_t dt_rng_u32(dt_rng *r)
{
    if (r->used == 4) {
        dt_philox(r->key, r->counter, r->buffer);
        r->used = 0;
        if ((++r->counter[0] & ((UINT32_C(1) << BLOCK_BITS) - 1)) == 0) DT_BUG("a stream of random numbers is used up");
    }
    return r->buffer[r->used++];
}

/* Multiply, keep the high word; throw away the few low words that would favour some results.
 * Source: Lemire, "Fast random integer generation in an interval", ACM TOMACS 29 (2019). */
uint32_t dt_rng_below(dt_rng *r, uint32_t n)
{
    if (n == 0) DT_BUG("dt_rng_below: n is 0");
    uint32_t unfair = (0u - n) % n; /* 2^32 mod n */
    uint64_t product;
    do {
        product = (uint64_t)dt_rng_u32(r) * n;
    } while ((uint32_t)product < unfair);
    return (uint32_t)(product >> 32);
}

float dt_rng_uniform(dt_rng *r)
{
    return (float)(dt_rng_u32(r) >> 8) * 0x1p-24f;
}

/* Box-Muller; the second normal of the pair is not kept, so that a stream's state stays a plain counter. */
float dt_rng_normal(dt_rng *r)
{
    double u = ((double)dt_rng_u32(r) + 1.0) * 0x1p-32; /* (0, 1]: the logarithm is finite */
    double v = (double)dt_rng_u32(r) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v));
}

/* ---- Beta --------------------------------------------------------------------------------------------------------- */

/* (0, 1]: its logarithm is finite. */
static double open_uniform(dt_rng *r)
{
    const uint64_t high = dt_rng_u32(r) >> 5, low = dt_rng_u32(r) >> 6; /* 27 and 26 bits */
    return ((double)(high << 26 | low) + 1) * 0x1p-53;
}

static double double_normal(dt_rng *r)
{
    const double u = open_uniform(r), v = open_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v);
}

/* The logarithm of a Gamma(alpha, 1), which for a small alpha is itself too small for a double.
 * Source: Marsaglia, Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000); below 1 by Gamma(alpha) =
 * Gamma(alpha + 1) U^(1/alpha), their section 6. */
static double log_gamma_draw(dt_rng *r, double alpha)
{
    const double smaller = alpha < 1 ? log(open_uniform(r)) / alpha : 0;
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = double_normal(r), root = 1 + c * x, u = open_uniform(r);
        if (root <= 0) continue;
        const double v = root * root * root;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return log(d * v) + smaller;
    }
}

/* X / (X + Y), X and Y two Gamma(alpha) of one stream, X drawn first. */
double dt_rng_beta(dt_rng *r, double alpha)
{
    const double least = 1e-12; /* below it the result is 0 or 1 all the same, and quotients of it would overflow */
    if (!(alpha > 0)) DT_BUG("dt_rng_beta: alpha is %g", alpha);
    if (alpha < least) alpha = least;
    const double x = log_gamma_draw(r, alpha), y = log_gamma_draw(r, alpha);
    return 1 / (1 + exp(y - x));
}
