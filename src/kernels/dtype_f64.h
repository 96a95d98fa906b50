/* dtype_f64.h -- what the loops need to know of float64. */
#include "kernels/dtype_end.h"
#include <float.h>
#include <math.h>
#define T double
#define SUF f64
#define FLOATS 1
#define T_MAX DBL_MAX
#define T_TINY DBL_MIN
#define T_ABS fabs
#define T_SQRT sqrt
#define T_FLOOR floor
#define T_CEIL ceil
#define T_TRUNC trunc
#define T_RINT rint
#define T_FMA fma
#define T_INDEX int64_t /* as wide as T, so that vectors of both match */
