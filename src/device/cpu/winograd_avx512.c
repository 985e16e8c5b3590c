/* The loops of winograd.h, avx512; the flags are in CMakeLists.txt. */
#define WINO dt_wino_avx512
#define LANES 16
#define ROWS 12
#include "device/cpu/winograd.inc"
