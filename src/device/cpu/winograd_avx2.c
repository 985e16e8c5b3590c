/* The loops of winograd.h, avx2; the flags are in CMakeLists.txt. */
#define WINO dt_wino_avx2
#define LANES 8
#define ROWS 6
#include "device/cpu/winograd.inc"
