/* Convolutions through oneDNN: any stride, padding, dilation and groups.
 *
 * Activations stay in duet's memory order (NHWC). oneDNN likes weights in an order of its own, which differs by shape
 * and CPU, so a kernel is a primitive with one reorder beside it: forward and input gradient turn the weights from
 * OIHW before they compute, the weight gradient is turned back to OIHW after. Everything is made here, once; a run
 * only sets addresses.
 *
 * Scratch: [weights in oneDNN's order][the primitive's scratchpad], each from a DT_ALIGN boundary. */
#include "device/cpu/cpu_impl.h"

#include <dnnl.h>
#include <omp.h>
#include <string.h>

enum { MAX_ARGUMENTS = 5 };

/* Where an argument's address comes from. */
typedef enum source { FROM_INPUT, FROM_OUTPUT, FROM_WEIGHTS, FROM_SCRATCHPAD } source;

typedef struct onednn_state {
    dt_cpu_state common;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive, reorder;        /* reorder: NULL where oneDNN takes OIHW */
    dnnl_memory_t memory[MAX_ARGUMENTS], outer; /* outer: the weights in OIHW, for the reorder */
    int argument[MAX_ARGUMENTS];
    source from[MAX_ARGUMENTS];
    int position[MAX_ARGUMENTS]; /* of FROM_INPUT and FROM_OUTPUT */
    int n_arguments, weights;    /* weights: which argument they are */
    size_t scratchpad_at;
} onednn_state;

/* The convolution as oneDNN's descriptors. */
typedef struct conv_shapes {
    dnnl_memory_desc_t x, y, bias, weights, weights_oihw;
    dnnl_dims_t stride, dilation, pad, pad_end; /* pad_end: below and to the right */
    bool with_bias;
} conv_shapes;

static void release(void *state)
{
    onednn_state *s = state;
    if (!s) return;
    for (int i = 0; i < s->n_arguments; i++)
        if (s->memory[i]) dnnl_memory_destroy(s->memory[i]);
    if (s->outer) dnnl_memory_destroy(s->outer);
    if (s->primitive) dnnl_primitive_destroy(s->primitive);
    if (s->reorder) dnnl_primitive_destroy(s->reorder);
    if (s->description) dnnl_primitive_desc_destroy(s->description);
    dt_free(s);
}

/* ---- shapes --------------------------------------------------------------------------------------------------- */

static bool describe_activation(dnnl_memory_desc_t *md, dt_shape s)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)s.n, (dnnl_dim_t)s.c, (dnnl_dim_t)s.h, (dnnl_dim_t)s.w};
    return dnnl_memory_desc_init_by_tag(md, 4, dims, dnnl_f32, dnnl_nhwc) == dnnl_success;
}

static bool describe_weights(conv_shapes *c, dt_shape s, size_t groups)
{
    const dnnl_dims_t plain = {(dnnl_dim_t)s.n, (dnnl_dim_t)s.c, (dnnl_dim_t)s.h, (dnnl_dim_t)s.w};
    const dnnl_dims_t grouped = {(dnnl_dim_t)groups, (dnnl_dim_t)(s.n / groups), (dnnl_dim_t)s.c, (dnnl_dim_t)s.h,
                                 (dnnl_dim_t)s.w};
    const int rank = groups > 1 ? 5 : 4;
    const dnnl_dim_t *dims = groups > 1 ? grouped : plain;
    return dnnl_memory_desc_init_by_tag(&c->weights, rank, dims, dnnl_f32, dnnl_format_tag_any) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&c->weights_oihw, rank, dims, dnnl_f32, groups > 1 ? dnnl_goihw : dnnl_oihw) ==
               dnnl_success;
}

static bool describe(const dt_op *op, conv_shapes *c)
{
    const dt_shape x = op->kind == DT_OP_CONV ? op->in[0] : op->kind == DT_OP_CONV_GRAD_INPUT ? op->out[0] : op->in[1];
    const dt_shape y = op->kind == DT_OP_CONV ? op->out[0] : op->in[0];
    const dt_shape weights = op->kind == DT_OP_CONV_GRAD_WEIGHT ? op->out[0] : op->in[1];
    const dt_conv_spec spec = op->a.conv;
    *c = (conv_shapes){.with_bias = op->kind == DT_OP_CONV && op->n_in > 2};
    for (int i = 0; i < 2; i++) {
        c->stride[i] = (dnnl_dim_t)(spec.stride ? spec.stride : 1);
        c->dilation[i] = (dnnl_dim_t)(spec.dilation ? spec.dilation - 1 : 0); /* oneDNN counts the holes */
        c->pad[i] = (dnnl_dim_t)spec.pad;
        c->pad_end[i] = (dnnl_dim_t)(spec.pad + spec.pad_more);
    }
    const dnnl_dims_t bias = {(dnnl_dim_t)weights.n};
    return describe_activation(&c->x, x) && describe_activation(&c->y, y) &&
           describe_weights(c, weights, spec.groups ? spec.groups : 1) &&
           dnnl_memory_desc_init_by_tag(&c->bias, 1, bias, dnnl_f32, dnnl_a) == dnnl_success;
}

/* ---- making the primitive --------------------------------------------------------------------------------------- */

static dnnl_status_t describe_forward(const conv_shapes *c, dnnl_convolution_desc_t *out)
{
    return dnnl_dilated_convolution_forward_desc_init(out, dnnl_forward_training, dnnl_convolution_direct, &c->x,
                                                      &c->weights, c->with_bias ? &c->bias : NULL, &c->y, c->stride,
                                                      c->dilation, c->pad, c->pad_end);
}

/* oneDNN wants a hint for a gradient: the forward convolution. */
static bool make_description(const dt_cpu_device *d, const dt_op *op, const conv_shapes *c, dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t forward, backward;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t hint = NULL;
    bool ok = dnnl_primitive_attr_create(&attributes) == dnnl_success &&
              dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success &&
              describe_forward(c, &forward) == dnnl_success &&
              dnnl_primitive_desc_create(&hint, &forward, attributes, d->engine, NULL) == dnnl_success;
    if (ok && op->kind == DT_OP_CONV) {
        *out = hint, hint = NULL;
    } else if (ok) {
        const dnnl_status_t st =
            op->kind == DT_OP_CONV_GRAD_INPUT
                ? dnnl_dilated_convolution_backward_data_desc_init(&backward, dnnl_convolution_direct, &c->x,
                                                                   &c->weights, &c->y, c->stride, c->dilation, c->pad,
                                                                   c->pad_end)
                : dnnl_dilated_convolution_backward_weights_desc_init(&backward, dnnl_convolution_direct, &c->x,
                                                                      &c->weights, NULL, &c->y, c->stride, c->dilation,
                                                                      c->pad, c->pad);
        ok = st == dnnl_success &&
             dnnl_primitive_desc_create(out, &backward, attributes, d->engine, hint) == dnnl_success;
    }
    if (hint) dnnl_primitive_desc_destroy(hint);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return ok;
}

static bool add_argument(onednn_state *s, int argument, dnnl_query_t query, source from, int position)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(s->description, query, argument);
    const int i = s->n_arguments;
    if (!md || dnnl_memory_create(&s->memory[i], md, s->common.device->engine, DNNL_MEMORY_NONE) != dnnl_success)
        return false;
    s->argument[i] = argument;
    s->from[i] = from;
    s->position[i] = position;
    s->n_arguments++;
    return true;
}

static bool add_arguments(onednn_state *s)
{
    const dnnl_query_t query = dnnl_query_exec_arg_md;
    bool ok = false;
    s->weights = 1;
    switch (s->common.op.kind) {
    case DT_OP_CONV:
        ok = add_argument(s, DNNL_ARG_SRC, query, FROM_INPUT, 0) &&
             add_argument(s, DNNL_ARG_WEIGHTS, query, FROM_WEIGHTS, 1) &&
             add_argument(s, DNNL_ARG_DST, query, FROM_OUTPUT, 0) &&
             (s->common.op.n_in < 3 || add_argument(s, DNNL_ARG_BIAS, query, FROM_INPUT, 2));
        break;
    case DT_OP_CONV_GRAD_INPUT:
        ok = add_argument(s, DNNL_ARG_DIFF_DST, query, FROM_INPUT, 0) &&
             add_argument(s, DNNL_ARG_WEIGHTS, query, FROM_WEIGHTS, 1) &&
             add_argument(s, DNNL_ARG_DIFF_SRC, query, FROM_OUTPUT, 0);
        break;
    case DT_OP_CONV_GRAD_WEIGHT:
        ok = add_argument(s, DNNL_ARG_DIFF_DST, query, FROM_INPUT, 0) &&
             add_argument(s, DNNL_ARG_DIFF_WEIGHTS, query, FROM_WEIGHTS, 0) &&
             add_argument(s, DNNL_ARG_SRC, query, FROM_INPUT, 1);
        break;
    default: DT_BUG("'%s' is not a convolution", dt_kind_name(s->common.op.kind));
    }
    return ok && add_argument(s, DNNL_ARG_SCRATCHPAD, query, FROM_SCRATCHPAD, 0);
}

static bool make_reorder(onednn_state *s, const dnnl_memory_desc_t *oihw)
{
    const dnnl_memory_desc_t *inner;
    if (dnnl_memory_get_memory_desc(s->memory[s->weights], &inner) != dnnl_success) return false;
    if (dnnl_memory_desc_equal(inner, oihw)) { /* no reorder: the weights are used where they are */
        const bool gradient = s->common.op.kind == DT_OP_CONV_GRAD_WEIGHT;
        s->from[s->weights] = gradient ? FROM_OUTPUT : FROM_INPUT;
        return true;
    }
    const dnnl_engine_t engine = s->common.device->engine;
    const bool back = s->common.op.kind == DT_OP_CONV_GRAD_WEIGHT;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    const bool ok = dnnl_memory_create(&s->outer, oihw, engine, DNNL_MEMORY_NONE) == dnnl_success &&
                    dnnl_primitive_attr_create(&attributes) == dnnl_success &&
                    dnnl_reorder_primitive_desc_create(&description, back ? inner : oihw, engine, back ? oihw : inner,
                                                       engine, attributes) == dnnl_success &&
                    dnnl_primitive_create(&s->reorder, description) == dnnl_success;
    if (description) dnnl_primitive_desc_destroy(description);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return ok;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

static int reorder_weights(const onednn_state *s, void *oihw)
{
    const bool back = s->common.op.kind == DT_OP_CONV_GRAD_WEIGHT;
    dnnl_memory_t inner = s->memory[s->weights];
    const dnnl_exec_arg_t arguments[2] = {{DNNL_ARG_FROM, back ? inner : s->outer},
                                          {DNNL_ARG_TO, back ? s->outer : inner}};
    return dnnl_memory_set_data_handle(s->outer, oihw) != dnnl_success ||
           dnnl_primitive_execute(s->reorder, s->common.device->stream, 2, arguments) != dnnl_success;
}

static int run(void *state, void *const *in, void *const *out, void *scratch)
{
    const onednn_state *s = state;
    dnnl_exec_arg_t arguments[MAX_ARGUMENTS];
    omp_set_num_threads(s->common.device->base.threads); /* of the calling thread; oneDNN asks for no number */
    for (int i = 0; i < s->n_arguments; i++) {
        void *address = s->from[i] == FROM_INPUT     ? in[s->position[i]]
                        : s->from[i] == FROM_OUTPUT  ? out[s->position[i]]
                        : s->from[i] == FROM_WEIGHTS ? scratch
                                                     : (char *)scratch + s->scratchpad_at;
        if (dnnl_memory_set_data_handle(s->memory[i], address) != dnnl_success) return 1;
        arguments[i] = (dnnl_exec_arg_t){s->argument[i], s->memory[i]};
    }
    const bool back = s->common.op.kind == DT_OP_CONV_GRAD_WEIGHT;
    if (s->reorder && !back && reorder_weights(s, in[1])) return 1;
    if (dnnl_primitive_execute(s->primitive, s->common.device->stream, s->n_arguments, arguments) != dnnl_success)
        return 1;
    if (s->reorder && back && reorder_weights(s, out[0])) return 1;
    return dnnl_stream_wait(s->common.device->stream) != dnnl_success;
}

duet_status dt_cpu_onednn_convolution(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    conv_shapes shapes;
    onednn_state *s = dt_cpu_state_new(d, op, sizeof *s, 0, err);
    if (!s) return DUET_MEMORY;
    omp_set_num_threads(d->base.threads); /* a primitive plans its division of work when it is made */
    if (!describe(op, &shapes) || !make_description(d, op, &shapes, &s->description) ||
        dnnl_primitive_create(&s->primitive, s->description) != dnnl_success || !add_arguments(s) ||
        !make_reorder(s, &shapes.weights_oihw)) {
        release(s); /* the reference will do it, and the plan will say so */
        return DUET_OK;
    }
    const dnnl_memory_desc_t *weights, *scratchpad;
    dnnl_memory_get_memory_desc(s->memory[s->weights], &weights);
    dnnl_memory_get_memory_desc(s->memory[s->n_arguments - 1], &scratchpad);
    s->scratchpad_at = dt_cpu_round_up(s->reorder ? dnnl_memory_desc_get_size(weights) : 0, DT_ALIGN);

    const char *name = "unnamed";
    dnnl_primitive_desc_query(s->description, dnnl_query_impl_info_str, 0, (void *)&name);
    *out = (dt_kernel){.run = run,
                       .release = release,
                       .state = s,
                       .scratch_bytes = s->scratchpad_at + dnnl_memory_desc_get_size(scratchpad)};
    snprintf(out->note, sizeof out->note, "oneDNN %s", name);
    return DUET_OK;
}
