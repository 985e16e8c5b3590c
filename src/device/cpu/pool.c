/* Windows over places: pooling, adaptive pooling, up-sampling, and their gradients.
 *
 * Parts share the images. Inside an image every loop runs over channels, which are neighbours in memory, so that
 * compilers vectorise it. A gradient walks the windows as the forward pass does and adds into the image's zeroed
 * gradient. */
#include "device/cpu/cpu_impl.h"

#include <math.h>
#include <string.h>

/* Rows or columns first..end-1, cut at the edges of the image. */
typedef struct span {
    size_t first, end;
} span;

typedef struct pool_task {
    const dt_cpu_state *s;
    void *const *in;
    void *const *out;
} pool_task;

static span window(const dt_op *op, size_t o, size_t size, size_t parts)
{
    if (op->kind == DT_OP_ADAPTIVE_AVG_POOL || op->kind == DT_OP_ADAPTIVE_AVG_POOL_GRAD)
        return (span){o * size / parts, ((o + 1) * size + parts - 1) / parts};
    const dt_pool_spec p = op->a.pool;
    const size_t begin = o * (p.stride ? p.stride : p.kernel), end = begin + p.kernel;
    const size_t last = end > p.pad ? end - p.pad : 0;
    return (span){begin > p.pad ? begin - p.pad : 0, last < size ? last : size};
}

static void max_window(float *y, const float *x, dt_shape s, span rows, span columns)
{
    const float *corner = x + (rows.first * s.w + columns.first) * s.c;
    memcpy(y, corner, s.c * sizeof *y);
    for (size_t i = rows.first; i < rows.end; i++)
        for (size_t j = columns.first; j < columns.end; j++) {
            const float *v = x + (i * s.w + j) * s.c;
            for (size_t c = 0; c < s.c; c++) y[c] = v[c] > y[c] || isnan(v[c]) ? v[c] : y[c];
        }
}

/* To the first place of each channel's window that holds its maximum. */
static void max_window_grad(float *dx, const float *dy, const float *x, const float *y, dt_shape s, span rows,
                            span columns)
{
    for (size_t c = 0; c < s.c; c++) {
        bool given = false;
        for (size_t i = rows.first; i < rows.end && !given; i++)
            for (size_t j = columns.first; j < columns.end && !given; j++) {
                const size_t at = (i * s.w + j) * s.c + c;
                if (x[at] == y[c]) dx[at] += dy[c], given = true;
            }
    }
}

/* What the sum over a window is multiplied by. */
static float share_of(const dt_op *op, span rows, span columns)
{
    const bool windows = op->kind == DT_OP_AVG_POOL || op->kind == DT_OP_AVG_POOL_GRAD; /* else adaptive: no attributes */
    if (windows && op->a.pool.count_pad) return 1 / (float)(op->a.pool.kernel * op->a.pool.kernel);
    return 1 / (float)((rows.end - rows.first) * (columns.end - columns.first));
}

static void average_window(float *y, const float *x, dt_shape s, span rows, span columns, float scale)
{
    memset(y, 0, s.c * sizeof *y);
    for (size_t i = rows.first; i < rows.end; i++)
        for (size_t j = columns.first; j < columns.end; j++) {
            const float *v = x + (i * s.w + j) * s.c;
            for (size_t c = 0; c < s.c; c++) y[c] += v[c];
        }
    for (size_t c = 0; c < s.c; c++) y[c] *= scale;
}

static void average_window_grad(float *dx, const float *dy, dt_shape s, span rows, span columns, float scale)
{
    for (size_t i = rows.first; i < rows.end; i++)
        for (size_t j = columns.first; j < columns.end; j++) {
            float *v = dx + (i * s.w + j) * s.c;
            for (size_t c = 0; c < s.c; c++) v[c] += scale * dy[c];
        }
}

/* One image: its input side x or dx of shape sx, its output side y or dy of shape sy. */
static void pool_image(const pool_task *t, size_t n)
{
    const dt_op *op = &t->s->op;
    const bool grad =
        op->kind == DT_OP_MAX_POOL_GRAD || op->kind == DT_OP_AVG_POOL_GRAD || op->kind == DT_OP_ADAPTIVE_AVG_POOL_GRAD;
    const dt_shape sx = grad ? op->out[0] : op->in[0], sy = grad ? op->in[0] : op->out[0];
    const size_t x_at = n * sx.h * sx.w * sx.c;
    if (grad) memset((float *)t->out[0] + x_at, 0, sx.h * sx.w * sx.c * sizeof(float));

    for (size_t h = 0; h < sy.h; h++)
        for (size_t w = 0; w < sy.w; w++) {
            const span rows = window(op, h, sx.h, sy.h), columns = window(op, w, sx.w, sy.w);
            const size_t y_at = ((n * sy.h + h) * sy.w + w) * sy.c;
            const float *a = t->in[0];
            float *out = t->out[0];
            switch (op->kind) {
            case DT_OP_MAX_POOL: max_window(out + y_at, a + x_at, sx, rows, columns); break;
            case DT_OP_MAX_POOL_GRAD:
                max_window_grad(out + x_at, a + y_at, (const float *)t->in[1] + x_at, (const float *)t->in[2] + y_at,
                                sx, rows, columns);
                break;
            case DT_OP_AVG_POOL:
            case DT_OP_ADAPTIVE_AVG_POOL: average_window(out + y_at, a + x_at, sx, rows, columns, share_of(op, rows, columns)); break;
            default: average_window_grad(out + x_at, a + y_at, sx, rows, columns, share_of(op, rows, columns)); break;
            }
        }
}

/* Output place o shows input place floor(o * in / out). */
static void upsample_image(const pool_task *t, size_t n)
{
    const dt_shape sx = t->s->op.in[0], sy = t->s->op.out[0];
    const float *x = (const float *)t->in[0] + n * sx.h * sx.w * sx.c;
    float *y = (float *)t->out[0] + n * sy.h * sy.w * sy.c;
    for (size_t h = 0; h < sy.h; h++)
        for (size_t w = 0; w < sy.w; w++)
            memcpy(y + (h * sy.w + w) * sy.c, x + (h * sx.h / sy.h * sx.w + w * sx.w / sy.w) * sx.c, sx.c * sizeof *y);
}

static void upsample_image_grad(const pool_task *t, size_t n)
{
    const dt_shape sx = t->s->op.out[0], sy = t->s->op.in[0];
    const float *dy = (const float *)t->in[0] + n * sy.h * sy.w * sy.c;
    float *dx = (float *)t->out[0] + n * sx.h * sx.w * sx.c;
    memset(dx, 0, sx.h * sx.w * sx.c * sizeof *dx);
    for (size_t h = 0; h < sy.h; h++)
        for (size_t w = 0; w < sy.w; w++) {
            const float *from = dy + (h * sy.w + w) * sy.c;
            float *to = dx + (h * sx.h / sy.h * sx.w + w * sx.w / sy.w) * sx.c;
            for (size_t c = 0; c < sx.c; c++) to[c] += from[c];
        }
}

static void pool_part(void *task, int i, int parts)
{
    const pool_task *t = task;
    const dt_cpu_share images = dt_cpu_share_of(t->s->op.in[0].n, 1, i, parts);
    for (size_t n = images.begin; n < images.end; n++) {
        if (t->s->op.kind == DT_OP_UPSAMPLE) upsample_image(t, n);
        else if (t->s->op.kind == DT_OP_UPSAMPLE_GRAD) upsample_image_grad(t, n);
        else pool_image(t, n);
    }
}

static int run_pool(void *state, void *const *in, void *const *out, void *scratch)
{
    const dt_cpu_state *s = state;
    pool_task t = {s, in, out};
    (void)scratch;
    dt_cpu_divide(s->parts, pool_part, &t);
    return 0;
}

duet_status dt_cpu_pool(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    dt_cpu_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]) + dt_shape_count(op->out[0]), err);
    if (!s) return DUET_MEMORY;
    return dt_cpu_finish(s, run_pool, 0, out);
}
