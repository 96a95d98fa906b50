/* dtype_u8.h -- what the loops need to know of uint8, and of bool, whose values are 0 and 1. */
#include "kernels/dtype_end.h"
#include <stdint.h>
#define T uint8_t
#define SUF u8
#define FLOATS 0
#define T_MAX UINT8_MAX
#define T_ABS(x) (x)
#define T_FLOOR(x) (x)
#define T_CEIL(x) (x)
#define T_TRUNC(x) (x)
#define T_RINT(x) (x)
#define T_INDEX uint8_t /* as wide as T, so that vectors of both match */
