/* The loops of loops.h for AVX-512 (F, BW, DQ, VL); the flags are in CMakeLists.txt. */
#define LOOPS dt_loops_avx512
#define ISA DT_ISA_AVX512
#define LANES 16
#define ROWS 12
#include "device/cpu/loops.inc"
