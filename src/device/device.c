/* What is true of operations on every device, and the list of devices.
 *
 * A node of the graph becomes a dt_op here: shapes, types and attributes, with nothing left that points into the
 * graph. The counts of work and traffic are lower bounds that follow from the shapes alone; no device is asked. */
#include "device/device.h"

#include <string.h>

/* A new device is one new folder and one new name here. */
#define DT_DEVICES(X) X(cpu) X(reference)

static const dt_device_api *const devices[] = {
#define X(name) &dt_device_##name,
    DT_DEVICES(X)
#undef X
};

const dt_device_api *const *dt_device_all(size_t *n)
{
    *n = DT_COUNT(devices);
    return devices;
}

const dt_device_api *dt_device_find(const char *name, duet_error *err)
{
    static const char *const names[] = {
#define X(device) #device,
        DT_DEVICES(X)
#undef X
    };
    static const char all[] =
#define X(device) " " #device
        DT_DEVICES(X);
#undef X
    for (size_t i = 0; i < DT_COUNT(devices); i++)
        if (!strcmp(name, devices[i]->name)) return devices[i];

    const char *near = dt_nearest(name, names, DT_COUNT(names));
    if (near)
        dt_fail(err, DUET_ARG, "device: there is no device '%s'; did you mean '%s'? Devices are:%s", name, near, all);
    else
        dt_fail(err, DUET_ARG, "device: there is no device '%s'; devices are:%s", name, all);
    return NULL;
}

/* ---- operations ---------------------------------------------------------------------------------------------- */

/* The shape of the second output, of the few operations that can have one and say by an attribute that somebody wants
 * it; n = 0: there is none. */
static dt_shape second_output(const dt_op *op)
{
    const size_t groups = op->a.gn.groups;
    switch (op->kind) {
    case DT_OP_BN_STATS:      /* the sum x + addend */
    case DT_OP_BN_GRAD_STATS: /* the masked gradient */
        return op->a.bn.emit ? op->in[0] : (dt_shape){0};
    case DT_OP_GROUP_NORM: /* statistics */
        return op->a.gn.emit ? (dt_shape){op->in[0].n, groups, 2, 1} : (dt_shape){0};
    case DT_OP_GROUP_NORM_GRAD: /* the gradients for bias and weight */
        return op->a.gn.emit ? (dt_shape){2, op->in[1].c, 1, 1} : (dt_shape){0};
    default: return (dt_shape){0};
    }
}

void dt_op_describe(const dt_graph *g, dt_node x, dt_op *out)
{
    const dt_graph_node *node = &g->nodes[x];
    *out = (dt_op){.kind = node->kind, .a = node->a, .n_in = node->n_in};
    for (int i = 0; i < node->n_in; i++) {
        if (node->in[i] == DT_NONE) continue;
        out->in[i] = g->nodes[node->in[i]].shape;
        out->in_type[i] = g->nodes[node->in[i]].type;
    }
    out->out[0] = node->shape;
    out->n_out = 1;
    const dt_shape second = second_output(out);
    if (second.n) out->out[out->n_out++] = second;
}

bool dt_op_in_place(dt_kind kind, int input)
{
    switch (kind) {
    case DT_OP_RELU:
    case DT_OP_RELU6:
    case DT_OP_SILU:
    case DT_OP_DROPOUT:
    case DT_OP_AFFINE:
    case DT_OP_EXP:
    case DT_OP_LOG:
    case DT_OP_ABS:
    case DT_OP_SIGN:
    case DT_OP_SQRT:
    case DT_OP_CLAMP: return input == 0;
    case DT_OP_ADD:
    case DT_OP_SUB:
    case DT_OP_MUL:
    case DT_OP_DIV:
    case DT_OP_MIN:
    case DT_OP_MAX:
    case DT_OP_LESS:
    case DT_OP_RELU_GRAD:
    case DT_OP_RELU6_GRAD:
    case DT_OP_SILU_GRAD:
    case DT_OP_CLAMP_GRAD: return input <= 1;
    case DT_OP_SELECT: return input <= 2;
    case DT_OP_BN_APPLY: return input == 0 || input == 4;                    /* x, residual */
    case DT_OP_BN_GRAD_INPUT: return input <= 1 || input == 5 || input == 6; /* dy, x, y, addend */
    case DT_OP_BN_GRAD_FROZEN: return input == 0;                            /* dy */
    case DT_OP_GROUP_NORM: return input == 0;      /* x: an image's statistics are known before it is written */
    case DT_OP_GROUP_NORM_GRAD: return input == 0; /* dy: read for good once x is met the second time */
    case DT_OP_LOG_SOFTMAX: return input == 0; /* each row's maximum and sum are known before it is written */
    case DT_OP_LOG_SOFTMAX_GRAD: return input <= 1;
    default: return false;
    }
}

double dt_op_macs(const dt_op *op)
{
    switch (op->kind) {
    /* Each element of the side that has the output's shape meets one filter: in/groups x kh x kw weights. */
    case DT_OP_CONV:
        return (double)dt_shape_count(op->out[0]) * (double)(op->in[1].c * op->in[1].h * op->in[1].w);
    case DT_OP_CONV_GRAD_INPUT:
        return (double)dt_shape_count(op->in[0]) * (double)(op->in[1].c * op->in[1].h * op->in[1].w);
    case DT_OP_CONV_GRAD_WEIGHT:
        return (double)dt_shape_count(op->in[0]) * (double)(op->out[0].c * op->out[0].h * op->out[0].w);
    case DT_OP_MATMUL: {
        const dt_shape a = op->in[0];
        return (double)dt_shape_count(op->out[0]) * (double)(op->a.matmul.transpose_a ? a.n * a.h * a.w : a.c);
    }
    case DT_OP_BATCH_MATMUL: {
        const dt_shape a = op->in[0];
        return (double)dt_shape_count(op->out[0]) * (double)(op->a.matmul.transpose_a ? a.h * a.w : a.c);
    }
    default: return 0;
    }
}

/* Elements of an input that the operation has to look at. */
static size_t elements_read(const dt_op *op, int input)
{
    const bool selects = op->kind == DT_OP_ROW || op->kind == DT_OP_PICK || op->kind == DT_OP_SLICE;
    return dt_shape_count(selects ? op->out[0] : op->in[input]);
}

double dt_op_bytes(const dt_op *op)
{
    size_t n = 0;
    if (op->kind == DT_OP_UPDATE) return 0; /* its blocks are not in its shapes; src/program counts them */
    for (int i = 0; i < op->n_in; i++) n += elements_read(op, i);
    for (int i = 0; i < op->n_out; i++) n += dt_shape_count(op->out[i]);
    if (op->kind == DT_OP_BN_TRACK) n += dt_shape_count(op->in[1]) + dt_shape_count(op->in[2]); /* written in place */
    return 4.0 * (double)n; /* f32 and int32 */
}
