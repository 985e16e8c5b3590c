/* Which implementation a convolution gets. A fixed rule of shape and instruction set, never a measurement at run
 * time, so that the same recipe gives the same bits. */
#include "device/cpu/cpu_impl.h"

duet_status dt_cpu_convolution(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    static dt_cpu_maker *const in_order[] = {dt_cpu_winograd, dt_cpu_direct, dt_cpu_onednn_convolution};
    for (size_t i = 0; i < DT_COUNT(in_order) && !out->run; i++) DT_TRY(in_order[i](d, op, out, err));
    return DUET_OK;
}
