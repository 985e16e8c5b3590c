/* Inside src/device/reference only: what the driver (reference.c) and the two compilations of the formulas share. */
#ifndef DT_REFERENCE_IMPL_H
#define DT_REFERENCE_IMPL_H

#include "device/device.h"

/* Computes one operation. Inputs and outputs as in dt_kernel.run; no scratch, no failure. */
typedef void (*dt_formula)(const dt_op *op, void *const *in, void *const *out);

/* By kind; NULL for what is not executed. */
extern const dt_formula dt_reference_f32[DT_OP_COUNT], dt_reference_f64[DT_OP_COUNT];

#endif
