/* One list of operations with shapes, attributes, values and tolerances, used in three modes:
 *
 *     test_devices.c     every device against the float32 reference
 *     test_gradients.c   the float64 reference against central finite differences
 *     speed.c            every device's GFLOP/s and GB/s
 *
 * A case is made when it is asked for: templates (an operation and how its shapes follow from one shape) times
 * sizes. */
#ifndef OPS_CASES_H
#define OPS_CASES_H

#include "device/device.h"

/* What an input holds. */
typedef enum op_fill {
    FILL_SIGNED,   /* uniform in -1..1 */
    FILL_APART,    /* the same, but no nearer than 1/16 to zero: for kinks at zero and for divisors */
    FILL_POSITIVE, /* uniform in 0.5..1.5 */
    FILL_STEPS,    /* multiples of 1/4 in -1..1: many ties, values exactly on bounds */
    FILL_EIGHTHS,  /* odd multiples of 1/8 in -1..1: never on those bounds */
    FILL_DISTINCT, /* evenly spaced in -1..1, in scrambled order: no ties, no near ties in small tensors */
    FILL_LOGITS,   /* uniform in -8..8 */
    FILL_RELU,     /* half zeros, half positive */
    FILL_RELU6,    /* a third zeros, a third 6, a third between */
    FILL_ZERO_ONE, /* a condition */
    FILL_STATS,    /* row 0 uniform in -0.5..0.5, row 1 uniform in 0.5..2: mean and 1/deviation */
    FILL_LABELS,   /* int32: a channel of input 0 or of the output; -1 in every 13th place */
    FILL_NUMBERS,  /* int32 below 1000; -1 in every 13th place */
    FILL_MAXIMA    /* the MAX_POOL of input 1 */
} op_fill;

typedef struct op_case {
    const char *group; /* "conv", "elementwise", ...: which test it belongs to */
    char name[96];
    dt_op op;
    op_fill fill[DT_MAX_INPUTS];
    uint64_t seed;
    double tolerance;        /* largest |difference|, as a part of the scale: */
    bool of_largest;         /* of the output's largest |element|, else of the element itself; */
    double floor;            /* the scale is at least this */
    const char *reason;      /* why this tolerance */
    unsigned differentiable; /* bit i: the gradient for input i is worth checking */
} op_case;

/* Case i of the correctness list; false when there are no more. */
bool op_case_get(size_t i, op_case *out);
/* The same of the speed list: shapes of the networks that duet trains. */
bool op_case_get_speed(size_t i, op_case *out);

/* ---- memory of a case ---------------------------------------------------------------------------------------- */

/* Where tensors stand in one block: DT_ALIGN-aligned, with canaries before, between and after them. */
typedef struct op_layout {
    size_t in[DT_MAX_INPUTS], out[2]; /* offsets in bytes; 0 for what is absent */
    size_t bytes;
    dt_precision precision;
} op_layout;

/* in_place: the input whose memory output 0 takes, or -1. */
void op_layout_make(const dt_op *op, dt_precision precision, int in_place, op_layout *out);
/* Inputs from the case's seed, outputs not-a-number, canaries everywhere else. */
void op_case_fill(const op_case *k, const op_layout *l, uint8_t *block);
/* Values of one input of the case, as floats (labels: whole numbers): count of its shape. */
void op_case_values(const op_case *k, int input, float *to);
/* Runs the kernel of `op` on block, which travels to the device and back. The scratch memory, whose contents are
 * undefined, starts with this byte everywhere: with 0xFF all not-a-number. */
duet_status op_run(dt_device *d, const dt_op *op, const op_layout *l, uint8_t *block, int scratch_byte,
                   duet_error *err);
/* The first byte outside all tensors that is not as op_case_fill left it, or 0. */
size_t op_canary_broken(const dt_op *op, const op_layout *l, const uint8_t *block);
/* Bytes of a tensor of this shape and type. */
size_t op_tensor_bytes(dt_shape s, dt_type type, dt_precision precision);

#endif
