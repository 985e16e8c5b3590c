/* What the measuring programs for convolutions share: options, the device, one operation in each direction. */
#ifndef DUET_BENCH_H
#define DUET_BENCH_H

#include "device/cpu/cpu_impl.h"

typedef struct bench_options {
    size_t batch;
    dt_device_options device;
    double seconds;   /* for each case */
    bool warm;        /* the same operands in every call */
    const char *only; /* cases whose name contains it; NULL: all */
} bench_options;

/* Reads [--batch N] [--threads N] [--isa NAME] [--seconds S] [--warm] [TEXT] over what *o says and opens the cpu device.
 * Ends the program, with a message, where an option is unknown or its value none. */
dt_device *bench_open(int argc, char **argv, const char *usage, bench_options *o);

enum { BENCH_DIRECTIONS = 3 };
extern const char *const bench_direction_names[BENCH_DIRECTIONS]; /* forward, for the input, for the weights */

/* x: of the picture; `same` padding, square kernels. */
typedef struct bench_convolution {
    dt_shape x;
    size_t out_channels, kernel, stride, dilation, groups;
} bench_convolution;

dt_op bench_operation(const bench_convolution *c, size_t direction);
dt_kind bench_kind(size_t direction);

#endif
