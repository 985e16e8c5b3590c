/* The formulas of the reference device in float64: for comparison with finite differences. */
typedef double real;
#define FORMULAS dt_reference_f64
#include "formulas.inc"
