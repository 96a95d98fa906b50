/* isa_pointwise_f64.c -- elementwise loops of float64. */
#include "kernels/loops.h"
#include "kernels/numbers.h"
#include "kernels/dtype_f64.h"
#include "kernels/pointwise.inc"
