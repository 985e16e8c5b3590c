/* The loops of winograd.h, portable; the flags are in CMakeLists.txt. */
#define WINO dt_wino_portable
#define LANES 4
#define ROWS 6
#include "device/cpu/winograd.inc"
