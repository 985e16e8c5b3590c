/* The formulas of the reference device in float32. */
typedef float real;
#define FORMULAS dt_reference_f32
#include "formulas.inc"
