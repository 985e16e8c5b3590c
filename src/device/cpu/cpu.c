/* The cpu device: its table, its memory, its threads, and which file answers for which operation. */
#include "device/cpu/cpu_impl.h"

#include <dnnl.h>
#include <omp.h>
#include <string.h>
#include <sys/mman.h>

/* ---- which file answers -------------------------------------------------------------------------------------- */

static dt_cpu_maker *const makers[DT_OP_COUNT] = {
    [DT_OP_CONV] = dt_cpu_convolution,
    [DT_OP_CONV_GRAD_INPUT] = dt_cpu_convolution,
    [DT_OP_CONV_GRAD_WEIGHT] = dt_cpu_convolution,
    [DT_OP_MATMUL] = dt_cpu_matmul,
    [DT_OP_BATCH_MATMUL] = dt_cpu_batch_matmul,

    [DT_OP_MAX_POOL] = dt_cpu_pool,
    [DT_OP_MAX_POOL_GRAD] = dt_cpu_pool,
    [DT_OP_AVG_POOL] = dt_cpu_pool,
    [DT_OP_AVG_POOL_GRAD] = dt_cpu_pool,
    [DT_OP_ADAPTIVE_AVG_POOL] = dt_cpu_pool,
    [DT_OP_ADAPTIVE_AVG_POOL_GRAD] = dt_cpu_pool,
    [DT_OP_UPSAMPLE] = dt_cpu_pool,
    [DT_OP_UPSAMPLE_GRAD] = dt_cpu_pool,
    [DT_OP_RESIZE] = dt_cpu_resize,
    [DT_OP_RESIZE_GRAD] = dt_cpu_resize,
    [DT_OP_PATCHES] = dt_cpu_copy,
    [DT_OP_PATCHES_GRAD] = dt_cpu_copy,

    [DT_OP_CONCAT] = dt_cpu_copy,
    [DT_OP_SLICE] = dt_cpu_copy,
    [DT_OP_SLICE_GRAD] = dt_cpu_copy,
    [DT_OP_SHUFFLE] = dt_cpu_copy,
    [DT_OP_ROW] = dt_cpu_fill,
    [DT_OP_CONSTANT] = dt_cpu_fill,

    [DT_OP_BN_STATS] = dt_cpu_batch_norm,
    [DT_OP_BN_FROZEN] = dt_cpu_batch_norm,
    [DT_OP_BN_TRACK] = dt_cpu_batch_norm,
    [DT_OP_BN_APPLY] = dt_cpu_batch_norm,
    [DT_OP_BN_GRAD_STATS] = dt_cpu_batch_norm,
    [DT_OP_BN_GRAD_INPUT] = dt_cpu_batch_norm,
    [DT_OP_BN_GRAD_FROZEN] = dt_cpu_batch_norm,

    [DT_OP_GROUP_NORM] = dt_cpu_group_norm,
    [DT_OP_GROUP_NORM_GRAD] = dt_cpu_group_norm,

    [DT_OP_RELU] = dt_cpu_unary,
    [DT_OP_RELU6] = dt_cpu_unary,
    [DT_OP_AFFINE] = dt_cpu_unary,
    [DT_OP_EXP] = dt_cpu_unary,
    [DT_OP_LOG] = dt_cpu_unary,
    [DT_OP_ABS] = dt_cpu_unary,
    [DT_OP_SIGN] = dt_cpu_unary,
    [DT_OP_SQRT] = dt_cpu_unary,
    [DT_OP_CLAMP] = dt_cpu_unary,
    [DT_OP_SILU] = dt_cpu_unary,
    [DT_OP_DROPOUT] = dt_cpu_copy,

    [DT_OP_ADD] = dt_cpu_binary,
    [DT_OP_SUB] = dt_cpu_binary,
    [DT_OP_MUL] = dt_cpu_binary,
    [DT_OP_DIV] = dt_cpu_binary,
    [DT_OP_MIN] = dt_cpu_binary,
    [DT_OP_MAX] = dt_cpu_binary,
    [DT_OP_LESS] = dt_cpu_binary,
    [DT_OP_RELU_GRAD] = dt_cpu_binary,
    [DT_OP_RELU6_GRAD] = dt_cpu_binary,
    [DT_OP_CLAMP_GRAD] = dt_cpu_binary,
    [DT_OP_SILU_GRAD] = dt_cpu_binary,
    [DT_OP_SELECT] = dt_cpu_binary,

    [DT_OP_SUM] = dt_cpu_reduce,
    [DT_OP_REDUCE_MIN] = dt_cpu_reduce,
    [DT_OP_REDUCE_MAX] = dt_cpu_reduce,
    [DT_OP_BROADCAST] = dt_cpu_binary,

    [DT_OP_LOG_SOFTMAX] = dt_cpu_classify,
    [DT_OP_LOG_SOFTMAX_GRAD] = dt_cpu_classify,
    [DT_OP_PICK] = dt_cpu_classify,
    [DT_OP_PICK_GRAD] = dt_cpu_classify,
    [DT_OP_IN_RANGE] = dt_cpu_copy,
    [DT_OP_TIME_EMBED] = dt_cpu_copy,
    [DT_OP_PIXEL_CE] = dt_cpu_pixel_ce,
    [DT_OP_PIXEL_CE_GRAD] = dt_cpu_pixel_ce,
    [DT_OP_COSINE] = dt_cpu_classify,
    [DT_OP_COSINE_GRAD] = dt_cpu_classify,

    [DT_OP_UPDATE] = dt_cpu_update,
};

/* What no file has a kernel for runs on the reference, and says so. Small things that run once a step may stay there. */
static duet_status fall_back(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    dt_device reference = {.api = &dt_device_reference, .precision = DT_F32, .threads = d->base.threads};
    DT_TRY(dt_device_reference.kernel(&reference, op, out, err));
    out->fallback = true;
    return DUET_OK;
}

static duet_status kernel(dt_device *device, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const dt_cpu_device *d = (const dt_cpu_device *)device;
    dt_kernel k = {0};
    if (makers[op->kind]) DT_TRY(makers[op->kind](d, op, &k, err));
    if (!k.run) DT_TRY(fall_back(d, op, &k, err));
    *out = k;
    return DUET_OK;
}

/* ---- kernels' states ------------------------------------------------------------------------------------------- */

/* Below this many floats a second thread costs more than it saves: waking it takes about as long as touching them. */
enum { FLOATS_PER_PART = 8192 };

void *dt_cpu_state_new(const dt_cpu_device *d, const dt_op *op, size_t bytes, size_t elements, duet_error *err)
{
    dt_cpu_state *s = dt_alloc(1, bytes);
    if (!s) {
        dt_fail(err, DUET_MEMORY, "cpu: %s: out of memory for a kernel", dt_kind_name(op->kind));
        return NULL;
    }
    const size_t parts = elements / FLOATS_PER_PART + 1;
    s->device = d;
    s->op = *op;
    s->parts = parts < (size_t)d->base.threads ? (int)parts : d->base.threads;
    return s;
}

duet_status dt_cpu_finish(dt_cpu_state *s, dt_cpu_run_function *run, size_t scratch_bytes, dt_kernel *out)
{
    *out = (dt_kernel){.run = run, .release = dt_free, .state = s, .scratch_bytes = scratch_bytes};
    snprintf(out->note, sizeof out->note, "duet %s", dt_isa_name(s->device->loops->isa));
    return DUET_OK;
}

/* ---- threads -------------------------------------------------------------------------------------------------- */

void dt_cpu_divide(int parts, dt_cpu_part *part, void *task)
{
    if (parts <= 1) {
        part(task, 0, 1);
        return;
    }
    /* The runtime may give fewer threads than asked for; then some do several parts, and the result is the same. */
#pragma omp parallel num_threads(parts)
    for (int i = omp_get_thread_num(); i < parts; i += omp_get_num_threads()) part(task, i, parts);
}

dt_cpu_share dt_cpu_share_of(size_t n, size_t unit, int i, int parts)
{
    const size_t units = (n + unit - 1) / unit, begin = units * (size_t)i / (size_t)parts * unit;
    const size_t end = units * ((size_t)i + 1) / (size_t)parts * unit;
    return (dt_cpu_share){begin < n ? begin : n, end < n ? end : n};
}

/* ---- the device ----------------------------------------------------------------------------------------------- */

static const dt_loops *loops_for(dt_isa isa)
{
#ifdef DT_LOOPS_X86
    if (isa == DT_ISA_AVX512) return &dt_loops_avx512;
    if (isa == DT_ISA_AVX2) return &dt_loops_avx2;
#endif
    (void)isa;
    return &dt_loops_portable;
}

static void close_cpu(dt_device *device)
{
    dt_cpu_device *d = (dt_cpu_device *)device;
    if (!d) return;
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
    dt_free(d);
}

static duet_status open_cpu(const dt_device_options *options, dt_device **out, duet_error *err)
{
    if (options->precision != DT_F32)
        return dt_fail(err, DUET_ARG, "device: cpu computes in f32; for f64 use the device 'reference'");
    dt_cpu_device *d = dt_alloc(1, sizeof *d);
    if (!d) return dt_fail(err, DUET_MEMORY, "cpu: out of memory for the device");

    dt_cpu facts;
    dt_cpu_detect(&facts);
    const bool limit = options->isa_limited && options->isa_limit < facts.isa;
    d->base = (dt_device){.api = &dt_device_cpu, .precision = DT_F32, .threads = options->threads};
    if (d->base.threads <= 0) d->base.threads = facts.cores;
    d->loops = loops_for(limit ? options->isa_limit : facts.isa);
    memcpy(d->model, facts.model, sizeof d->model);
    if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_in_order) != dnnl_success) {
        close_cpu(&d->base);
        return dt_fail(err, DUET_DEVICE, "cpu: oneDNN cannot be started on this machine");
    }
    *out = &d->base;
    return DUET_OK;
}

/* A zeroed block, of huge pages where the system has them. A step walks through hundreds of MiB; with pages of 4 KiB,
 * reading what lies in the last-level cache was a third slower on a virtual Zen 3, and a block of 16 MiB was read at
 * 15 GB/s instead of 38. Pages that are given back come anew when they are first touched, zeroed, and huge where the system
 * can: nothing is written here. */
static void *zeroed_block(size_t bytes)
{
    const size_t huge = (size_t)2 << 20;
    size_t rounded;
    if (bytes < huge) return dt_alloc(bytes ? bytes : 1, 1);
    void *block = dt_alloc_unset(huge, bytes, &rounded);
    if (!block) return NULL;
    (void)madvise(block, rounded, MADV_HUGEPAGE); /* not offered here: small pages will do */
    if (madvise(block, rounded, MADV_DONTNEED)) memset(block, 0, rounded);
    return block;
}

static duet_status slab(dt_device *d, size_t bytes, void **out, duet_error *err)
{
    (void)d;
    *out = zeroed_block(bytes);
    if (*out) return DUET_OK;
    return dt_fail(err, DUET_MEMORY, "cpu: cannot get %zu bytes; use a smaller batch or smaller networks", bytes);
}

static void release(dt_device *d, void *block)
{
    (void)d;
    dt_free(block);
}

static void copy(dt_device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    if (bytes) memcpy(to, from, bytes);
}

static void describe(const dt_device *device, char *text, size_t bytes)
{
    const dt_cpu_device *d = (const dt_cpu_device *)device;
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, bytes, "cpu %s, %d thread%s, oneDNN %d.%d.%d, %s", dt_isa_name(d->loops->isa), d->base.threads,
             d->base.threads == 1 ? "" : "s", v->major, v->minor, v->patch, d->model);
}

const dt_device_api dt_device_cpu = {
    .name = "cpu",
    .help = "this machine's processor: f32, vector instructions, threads, oneDNN",
    .open = open_cpu,
    .close = close_cpu,
    .kernel = kernel,
    .slab = slab,
    .release = release,
    .upload = copy,
    .download = copy,
    .describe = describe,
};
