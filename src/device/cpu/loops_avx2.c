/* The loops of loops.h for AVX2 and FMA; the flags are in CMakeLists.txt. */
#define LOOPS dt_loops_avx2
#define ISA DT_ISA_AVX2
#define LANES 8
#define ROWS 6
#include "device/cpu/loops.inc"
