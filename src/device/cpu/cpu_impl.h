/* Inside src/device/cpu only: the device, how its kernels are made and how they use threads.
 *
 *     cpu.c           the device table; which file answers for which operation; threads
 *     batch_norm.c, elementwise.c, reduce.c, classify.c, pool.c, matmul.c, optimise.c,
 *     convolution.c, winograd.c, direct.c, dilated.c, depthwise.c, doubled.c, grouped.c, group_norm.c, resize.c, pixel_ce.c, copies.c
 *                     shapes, scratch, the division of work: once, for every instruction set
 *     loops.h, .inc   the arithmetic: serial loops over floats, compiled once per instruction set
 *     onednn.c        convolutions through oneDNN: strided ones with dilation, and groups but for 1x1 and depth-wise 3x3
 *
 * Work is divided by shape and by the thread count given at open, never by what happens at run time, so that a result
 * depends on nothing else. No kernel allocates, and none starts threads inside threads. */
#ifndef DT_CPU_IMPL_H
#define DT_CPU_IMPL_H

#include "device/cpu/loops.h"
#include "device/device.h"

struct dnnl_engine;
struct dnnl_stream;

typedef struct dt_cpu_device {
    dt_device base;
    const dt_loops *loops;
    struct dnnl_engine *engine;
    struct dnnl_stream *stream;
    char model[64]; /* of the CPU */
} dt_cpu_device;

/* The beginning of every kernel's state. */
typedef struct dt_cpu_state {
    const dt_cpu_device *device;
    dt_op op;
    int parts; /* into how many pieces the work is divided; at most the device's threads */
} dt_cpu_state;

typedef int dt_cpu_run_function(void *state, void *const *in, void *const *out, void *scratch);

/* Zeroed state of `bytes` (at least a dt_cpu_state, which is filled in: parts for `elements` floats touched). */
void *dt_cpu_state_new(const dt_cpu_device *d, const dt_op *op, size_t bytes, size_t elements, duet_error *err);

/* Finishes a kernel whose state is one block from dt_cpu_state_new. */
duet_status dt_cpu_finish(dt_cpu_state *s, dt_cpu_run_function *run, size_t scratch_bytes, dt_kernel *out);

/* Calls part(task, i, parts) for every i in 0..parts-1, on up to `parts` threads. */
typedef void dt_cpu_part(void *task, int i, int parts);
void dt_cpu_divide(int parts, dt_cpu_part *part, void *task);

/* The i-th of `parts` near-equal shares of 0..n-1, cut at multiples of `unit` (but for the end). */
typedef struct dt_cpu_share {
    size_t begin, end;
} dt_cpu_share;
dt_cpu_share dt_cpu_share_of(size_t n, size_t unit, int i, int parts);

static inline size_t dt_cpu_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static inline size_t dt_cpu_places(dt_shape s)
{
    return s.n * s.h * s.w;
}
/* Input i, NULL where the operation has fewer or it is absent. */
static inline const void *dt_cpu_optional(const dt_op *op, void *const *in, int i)
{
    return i < op->n_in ? in[i] : NULL;
}

/* One dimension of a bilinear resizing from `in` to `out` places, worked out once (resize.c). */
typedef struct dt_cpu_axis {
    size_t in, out;
    dt_between *at;  /* [out] */
    uint32_t *begin; /* [in + 1]: output places begin[i]..begin[i + 1]-1 have i as their first */
} dt_cpu_axis;
static inline size_t dt_cpu_axis_bytes(size_t in, size_t out)
{
    return dt_cpu_round_up(out * sizeof(dt_between) + (in + 1) * sizeof(uint32_t), DT_ALIGN);
}
/* room: dt_cpu_axis_bytes, which the axis keeps. */
void dt_cpu_axis_make(dt_cpu_axis *a, void *room, size_t in, size_t out, bool align);

/* Makes a kernel for one kind of operation; leaves out->run NULL (and returns DUET_OK) where it has none for these
 * shapes. */
typedef duet_status dt_cpu_maker(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err);
dt_cpu_maker dt_cpu_batch_norm, dt_cpu_unary, dt_cpu_binary, dt_cpu_fill, dt_cpu_reduce, dt_cpu_classify, dt_cpu_pool,
    dt_cpu_matmul, dt_cpu_update, dt_cpu_convolution, dt_cpu_winograd, dt_cpu_direct, dt_cpu_dilated, dt_cpu_doubled,
    dt_cpu_depthwise, dt_cpu_grouped, dt_cpu_onednn_convolution, dt_cpu_group_norm, dt_cpu_resize, dt_cpu_pixel_ce, dt_cpu_copy, dt_cpu_batch_matmul;

#endif
