/* isa_reduce.c -- reductions of each dtype. */
#include "kernels/loops.h"

#include "kernels/dtype_f64.h"
#include "kernels/lanes.inc"
#include "kernels/reduce.inc"

#include "kernels/dtype_f32.h"
#include "kernels/lanes.inc"
#include "kernels/reduce.inc" /* sums squares with the lanes of float64 */

#include "kernels/dtype_i64.h"
#include "kernels/lanes.inc"
#include "kernels/reduce.inc"

#include "kernels/dtype_u8.h"
#include "kernels/lanes.inc"
#include "kernels/reduce.inc"
