/* dtype_f32.h -- what the loops need to know of float32. */
#include "kernels/dtype_end.h"
#include <float.h>
#include <math.h>
#define T float
#define SUF f32
#define FLOATS 1
#define T_MAX FLT_MAX
#define T_TINY FLT_MIN /* smaller ones are subnormal */
#define T_ABS fabsf
#define T_SQRT sqrtf
#define T_FLOOR floorf
#define T_CEIL ceilf
#define T_TRUNC truncf
#define T_RINT rintf
#define T_FMA vm_fma_f32
#define T_INDEX int32_t /* as wide as T, so that vectors of both match */
