/* Row formulas in f64: for gradient checks and as the measure of f32, so no instruction set is
 * singled out. */
#include "ops/cpu/row_math.h"

#include "ops/cpu/vmath.h"

#define REAL double
#define EXP exp
#define SIGMOID rilli_sigmoid
#define TARGET
#define NAME(x) x##_f64
#define TABLE rilli_row_math_f64
#include "ops/cpu/row_math_impl.h"
