/* isa_step.c -- optimizer steps, and normal random numbers. */
#include "kernels/loops.h"
#include "kernels/vmath64.h"

#include "kernels/dtype_f32.h"
#include "kernels/step.inc"

#include "kernels/dtype_f64.h"
#include "kernels/step.inc"
