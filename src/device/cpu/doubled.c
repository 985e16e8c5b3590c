/* Convolutions of an upsampled map that no kernel reads small (convolution.c asks Winograd first): upsampling into scratch, then the
 * convolution that the large map gets; for the input's gradient the other way round. */
#include "device/cpu/cpu_impl.h"

#include <stdio.h>

typedef struct doubled_state {
    dt_cpu_state common;
    dt_kernel resize, conv;
    size_t room; /* bytes of the large map in scratch */
} doubled_state;

static int run_doubled(void *state, void *const *in, void *const *out, void *scratch)
{
    const doubled_state *s = state;
    const dt_kind kind = s->common.op.kind;
    const int at = kind == DT_OP_CONV_GRAD_WEIGHT ? 1 : 0; /* which input is x */
    void *map[] = {scratch}, *rest = (char *)scratch + s->room;
    if (kind == DT_OP_CONV_GRAD_INPUT) {
        const int failed = s->conv.run(s->conv.state, in, map, rest);
        return failed ? failed : s->resize.run(s->resize.state, map, out, rest);
    }
    void *inputs[3] = {in[0], in[1], (void *)(uintptr_t)dt_cpu_optional(&s->common.op, in, 2)};
    const int failed = s->resize.run(s->resize.state, (void *const[]){in[at]}, map, rest);
    inputs[at] = scratch;
    return failed ? failed : s->conv.run(s->conv.state, inputs, out, rest);
}

static void release_doubled(void *state)
{
    doubled_state *s = state;
    if (s->resize.release) s->resize.release(s->resize.state);
    if (s->conv.release) s->conv.release(s->conv.state);
    dt_free(s);
}

/* The two operations that `op` is together. */
static void split(const dt_op *op, dt_op *resize, dt_op *conv)
{
    const bool backward = op->kind == DT_OP_CONV_GRAD_INPUT;
    *conv = *op;
    conv->a.conv.doubled = false;
    dt_shape *x = backward ? &conv->out[0] : &conv->in[op->kind == DT_OP_CONV_GRAD_WEIGHT ? 1 : 0];
    const dt_shape small = *x;
    x->h *= 2;
    x->w *= 2;
    *resize = (dt_op){.kind = backward ? DT_OP_UPSAMPLE_GRAD : DT_OP_UPSAMPLE, .n_in = 1, .n_out = 1};
    resize->in[0] = backward ? *x : small;
    resize->out[0] = backward ? small : *x;
}

duet_status dt_cpu_doubled(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    if (!op->a.conv.doubled) return DUET_OK;
    dt_op resize, conv;
    split(op, &resize, &conv);
    doubled_state *s = dt_cpu_state_new(d, op, sizeof *s, dt_shape_count(op->in[0]), err);
    if (!s) return DUET_MEMORY;
    duet_status st = dt_cpu_pool(d, &resize, &s->resize, err);
    if (!st) st = dt_cpu_convolution(d, &conv, &s->conv, err);
    if (st || !s->conv.run) { /* without a kernel of its own the device falls back as a whole */
        release_doubled(s);
        return st;
    }
    const dt_shape large = op->kind == DT_OP_CONV_GRAD_INPUT ? resize.in[0] : resize.out[0];
    s->room = dt_cpu_round_up(dt_shape_count(large) * sizeof(float), DT_ALIGN);
    const size_t more = s->conv.scratch_bytes > s->resize.scratch_bytes ? s->conv.scratch_bytes : s->resize.scratch_bytes;
    DT_TRY(dt_cpu_finish(&s->common, run_doubled, s->room + more, out));
    out->release = release_doubled;
    snprintf(out->note, sizeof out->note, "x2, %.40s", s->conv.note);
    return DUET_OK;
}
