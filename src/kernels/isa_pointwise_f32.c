/* isa_pointwise_f32.c -- elementwise loops of float32. */
#include "kernels/loops.h"
#include "kernels/numbers.h"
#include "kernels/dtype_f32.h"
#include "kernels/pointwise.inc"
