/* How alike the errors of several networks are: what KDCL's `general` weighs them by. Plain sums in double, in the order in which
 * pictures arrive; of a classifier's output at a picture or a pixel, the error is p - onehot. */
#include "tasks/tasks.h"

#include <math.h>

void dt_add_error(dt_error_products *to, const double *error, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) to->sum[i][k] += error[i] * error[k];
}

static double log_sum_exp(const float *z, size_t classes)
{
    double top = (double)z[0], sum = 0;
    for (size_t c = 1; c < classes; c++) top = fmax(top, (double)z[c]);
    for (size_t c = 0; c < classes; c++) sum += exp((double)z[c] - top);
    return top + log(sum);
}

void dt_add_class_errors(dt_error_products *to, const float *const *logits, int n, size_t classes, size_t label)
{
    double lse[DT_MAX_NETWORKS], error[DT_MAX_NETWORKS];
    for (int i = 0; i < n; i++) lse[i] = log_sum_exp(logits[i], classes);
    for (size_t c = 0; c < classes; c++) {
        for (int i = 0; i < n; i++) error[i] = exp((double)logits[i][c] - lse[i]) - (c == label);
        dt_add_error(to, error, n);
    }
    to->units++;
}
