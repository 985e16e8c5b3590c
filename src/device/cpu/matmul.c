/* Matrix products: y = op(a) op(b) [+ bias], through oneDNN's sgemm. Tensors are matrices of places x channels. */
#include "device/cpu/cpu_impl.h"

#include <dnnl.h>
#include <omp.h>

typedef struct matmul_state {
    dt_cpu_state common;
    size_t rows, columns, inner, a_columns, b_columns;
} matmul_state;

static int run_matmul(void *state, void *const *in, void *const *out, void *scratch)
{
    const matmul_state *s = state;
    const dt_op *op = &s->common.op;
    const float *bias = dt_cpu_optional(op, in, 2);
    float *y = out[0];
    (void)scratch;
    omp_set_num_threads(s->common.device->base.threads);
    if (bias)
        for (size_t r = 0; r < s->rows; r++)
            for (size_t c = 0; c < s->columns; c++) y[r * s->columns + c] = bias[c];
    return dnnl_sgemm(op->a.matmul.transpose_a ? 'T' : 'N', op->a.matmul.transpose_b ? 'T' : 'N', (dnnl_dim_t)s->rows,
                      (dnnl_dim_t)s->columns, (dnnl_dim_t)s->inner, 1.0f, in[0], (dnnl_dim_t)s->a_columns, in[1],
                      (dnnl_dim_t)s->b_columns, bias ? 1.0f : 0.0f, y, (dnnl_dim_t)s->columns) != dnnl_success;
}

duet_status dt_cpu_matmul(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    matmul_state *s = dt_cpu_state_new(d, op, sizeof *s, 0, err);
    if (!s) return DUET_MEMORY;
    const bool ta = op->a.matmul.transpose_a, tb = op->a.matmul.transpose_b;
    s->a_columns = op->in[0].c;
    s->b_columns = op->in[1].c;
    s->rows = ta ? s->a_columns : dt_cpu_places(op->in[0]);
    s->inner = ta ? dt_cpu_places(op->in[0]) : s->a_columns;
    s->columns = tb ? dt_cpu_places(op->in[1]) : s->b_columns;
    duet_status st = dt_cpu_finish(&s->common, run_matmul, 0, out);
    snprintf(out->note, sizeof out->note, "oneDNN sgemm");
    return st;
}
