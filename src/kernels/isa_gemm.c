/* isa_gemm.c -- the inner loops of matrix multiply. */
#include "kernels/loops.h"

#include "kernels/dtype_f32.h"
#include "kernels/gemm.inc"

#include "kernels/dtype_f64.h"
#include "kernels/gemm.inc"
