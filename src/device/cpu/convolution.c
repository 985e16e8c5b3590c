/* Which implementation a convolution gets. A fixed rule of shape and instruction set, never a measurement at run time, so
 * that the same recipe gives the same bits. */
#include "device/cpu/cpu_impl.h"

duet_status dt_cpu_convolution(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    DT_TRY(dt_cpu_winograd(d, op, out, err));
    if (out->run) return DUET_OK;
    return dt_cpu_onednn_convolution(d, op, out, err);
}
