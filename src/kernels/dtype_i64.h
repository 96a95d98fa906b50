/* dtype_i64.h -- what the loops need to know of int64. */
#include "kernels/dtype_end.h"
#include <stdint.h>
#define T int64_t
#define SUF i64
#define FLOATS 0
#define T_MAX INT64_MAX
#define T_ABS(x) ((x) < 0 ? -(x) : (x))
#define T_FLOOR(x) (x)
#define T_CEIL(x) (x)
#define T_TRUNC(x) (x)
#define T_RINT(x) (x)
#define T_INDEX int64_t /* as wide as T, so that vectors of both match */
