/* Winograd convolution, F(4x4, 3x3): the arithmetic, serial, compiled once per instruction set. winograd.c has
 * shapes, scratch and threads.
 *
 * A 3x3 convolution of stride 1 and padding 1 is cut into tiles of 4x4 outputs. With matrices A, B, G (Lavin and Gray
 * 2016, arXiv:1509.09308, section 4.3; points 0, 1, -1, 2, -2, infinity)
 *
 *     forward        y  = A' [ (G g G') * (B' d B) ] A       d: the tile's 6x6 inputs, g: the 3x3 weights, * element-wise
 *     for weights    dg = G' [ sum over tiles (A dy A') * (B' d B) ] G
 *
 * and the sum over channels moves inside the brackets: 36 small matrix products, one for each place xi of the 6x6
 * grid. That is 36 multiplications where the direct sum needs 144. The gradient for the input is the forward form
 * with the weights rotated by 180 degrees and input and output channels exchanged.
 *
 * With dilation r (and padding r) only places on one grid of every r-th row and column ever meet: r * r ordinary
 * convolutions, whose tiles take every r-th place. Nothing else changes.
 *
 * Memory: activations NHWC. Transformed tiles: [36][tiles][channels] with `stride` floats from one xi to the next (a
 * little more than tiles * channels, so that the 36 streams do not fall into the same cache sets). Transformed
 * weights: [36][panels][in][panel], likewise padded: the `panel` output channels that one register block computes
 * stand together. Without the padding a transform's 36 stores fall into one set of the L1 at 64 channels.
 *
 * Rounding: 1e-6 (16 channels) to 3e-6 (128) of the result's RMS, against 2e-7 for direct summation; weight gradients
 * over a batch of 64: 1.4e-6 to 2.6e-6. */
#ifndef DT_WINOGRAD_H
#define DT_WINOGRAD_H

#include "base/base.h"

enum { DT_WINO_GRID = 36, DT_WINO_TILE = 4, DT_WINO_MOST_STEP = 4096 };

/* The picture that tiles are cut from, or added up into. With dilation, or doubled, h and w are multiples of 4 * dilation; else the last
 * tiles of a row or column may reach beyond it: zeros there, and nothing is written. channels * dilation <= DT_WINO_MOST_STEP. */
typedef struct dt_wino_map {
    size_t h, w, channels, dilation;
    size_t tiles_y, tiles_x; /* of one image, all grids together */
    bool doubled;            /* memory has every second row and column only: a place there stands for a block of 2x2. No dilation then */
} dt_wino_map;

/* Memory that comes next, to be asked for while products are computed: transforms alone would wait for it. */
typedef struct dt_wino_ahead {
    struct {
        const char *from;
        size_t bytes;
        bool write; /* it will be written first */
    } range[2];
} dt_wino_ahead;

typedef struct dt_wino_loops {
    size_t lanes;
    size_t rows; /* tiles in one register block: blocks of tiles are best a multiple */

    /* u[36][out/panel][in][panel] from OIHW weights w [k][c][3][3], for input channels first..first+n. `backward`: in
     * = k, out = c, rotated. */
    void (*weights)(float *u, size_t u_stride, const float *w, size_t k, size_t c, bool backward, size_t panel,
                    size_t first, size_t n);
    /* B' d B of n tiles from `first`, halo included, zero outside the picture. A doubled picture's tiles read each place as its block. */
    void (*input)(float *v, size_t stride, const float *x, const dt_wino_map *map, size_t first, size_t n);
    /* A dy A' of n tiles. */
    void (*expand)(float *v, size_t stride, const float *dy, const dt_wino_map *map, size_t first, size_t n);
    /* y = A' m A + bias of n tiles; bias may be NULL. Of a doubled picture: the sums over blocks, without bias. */
    void (*output)(float *y, const float *m, size_t stride, const float *bias, const dt_wino_map *map, size_t first,
                   size_t n);
    /* m[xi] = v[xi] u[xi] for all xi: [n, in] [in, out] -> [n, out]. */
    void (*multiply)(float *m, size_t m_stride, const float *v, size_t v_stride, const float *u, size_t u_stride,
                     size_t n, size_t in, size_t out, size_t panel, const dt_wino_ahead *ahead);
    /* du[xi] += v[xi]' z[xi] for xi in first..first+count-1; du: [36][c][k], v: [n, c], z: [n, k]. */
    void (*correlate)(float *du, size_t du_stride, const float *v, size_t v_stride, const float *z, size_t z_stride,
                      size_t n, size_t c, size_t k, size_t first, size_t count, const dt_wino_ahead *ahead);
    /* dw [k][c][3][3] = G' (sum of `parts` du, `part_stride` floats apart, in order) G for input channels
     * first..first+n. */
    void (*weights_grad)(float *dw, const float *du, size_t du_stride, size_t parts, size_t part_stride, size_t k,
                         size_t c, size_t first, size_t n);
} dt_wino_loops;

extern const dt_wino_loops dt_wino_portable;
#ifdef DT_LOOPS_X86
extern const dt_wino_loops dt_wino_avx2, dt_wino_avx512;
#endif

#endif
