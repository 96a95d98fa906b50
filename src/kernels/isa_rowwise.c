/* isa_rowwise.c -- softmax and its kin. */
#include "kernels/loops.h"
#include "kernels/vmath64.h"

#include "kernels/dtype_f32.h"
#include "kernels/lanes.inc"
#include "kernels/rowwise.inc"

#include "kernels/dtype_f64.h"
#include "kernels/lanes.inc"
#include "kernels/rowwise.inc"
