/* The loops of loops.h for any CPU of the architecture; the flags are in CMakeLists.txt. */
#define LOOPS dt_loops_portable
#define ISA DT_ISA_PORTABLE
#define LANES 4
#define ROWS 6
#include "device/cpu/loops.inc"
