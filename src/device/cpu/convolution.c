/* Which implementation a convolution gets. A fixed rule of shape, never a measurement at run time, so that the same
 * recipe gives the same bits. The first that fits:
 *
 *     winograd  3x3, stride 1, padding as dilation r, channels whole vectors; height and width multiples of 4 r with
 *               dilation, else such that tiles of 4x4 cover them in at most twice their area; also of a map that is read doubled
 *     doubled   every other one of those: in two steps
 *     direct    any kernel, padding, stride up to 3; no dilation, no groups
 *     dilated   stride 1, dilation 2 or more, no groups
 *     depthwise groups == channels: 3x3, padding 1, stride 1 or 2, no dilation, at least a vector of channels
 *     grouped   1x1 in groups, stride 1
 *     oneDNN    the rest
 *
 * GFLOP/s (of the direct sum) forward / gradient for the input / for the weights on a virtual Zen 3 with AVX2, two
 * threads that reach 190 multiplying, batch 64; in brackets oneDNN 2.6.3 in the same minutes:
 *
 *     3x3  16->16   32x32       302 / 299 / 336  (135 / 158 / 121)     winograd
 *     3x3  32->32   16x16       473 / 455 / 402  (177 / 156 / 100)     winograd
 *     3x3  64->64   8x8         450 / 448 / 370  (132 / 178 / 105)     winograd
 *     3x3  64->64   32x32       410 / 397 / 383  (122 / 130 /  86)     winograd
 *     3x3 256->256  8x8         424 / 436 / 367  (143 / 190 / 139)     winograd
 *     3x3  64->64   16x16 r 2   494 / 495 / 461  (178 / 200 /  90)     winograd, batch 16
 *     3x3  64->32   16x16 r 4   461 / 441 / 430  ( 34 / 195 /  62)     winograd, batch 16
 *     3x3   3->16   32x32       153 /   - / 161  (144 /   - /  98)     direct
 *     3x3  32->64   16x16 /2    172 / 160 / 147  (156 / 159 / 127)     direct
 *     3x3  64->128  32x32 /2    168 / 160 / 150  (113 / 125 / 106)     direct
 *     1x1  32->64   16x16 /2    143 / 126 / 152  (128 / 127 / 114)     direct
 *
 * Two shapes are slower than oneDNN's: 1x1 64->128 at 32x32 /2 forward (96 against 140) and 1x1 32->64 at 32x32 for the
 * weights (90 against 104); together a two-hundredth of the step they occur in. `bench_convolutions` prints them all. */
#include "device/cpu/cpu_impl.h"

duet_status dt_cpu_convolution(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    static dt_cpu_maker *const in_order[] = {dt_cpu_winograd, dt_cpu_doubled, dt_cpu_direct, dt_cpu_dilated,
                                             dt_cpu_depthwise, dt_cpu_grouped, dt_cpu_onednn_convolution};
    for (size_t i = 0; i < DT_COUNT(in_order) && !out->run; i++) DT_TRY(in_order[i](d, op, out, err));
    return DUET_OK;
}
