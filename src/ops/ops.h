/* ops.h -- what the files of this room share. */
#ifndef TAPER_SRC_OPS_H
#define TAPER_SRC_OPS_H
#include "autograd/autograd.h"
#include "taper/ops.h"
#include <string.h>

/* Unrecorded elementwise arithmetic for forwards and backwards: promotion and broadcasting as the
 * public op has them. NULL with an error on failure, NULL in NULL out. */
tp_tensor *tp__pw(tp__pw_op op, tp_tensor *a, tp_tensor *b);
/* An unrecorded view of x in another shape, copied first if it must be. */
tp_tensor *tp__reshaped(tp_tensor *x, const tp_shape *shape);
/* g, the gradient of a reduction of `like` over `axes`, spread over like's shape: a view. */
tp_tensor *tp__spread(tp_tensor *g, const tp_tensor *like, uint32_t axes);
/* EDTYPE unless x is floating. */
bool tp__need_float(const char *what, const tp_tensor *x);
/* x's dense memory seen as [outer, size, inner] around axis dim; a 0-d tensor has one of size 1. */
typedef struct tp__blocks {
    int64_t outer, size, inner;
} tp__blocks;
tp__blocks tp__around(const tp_tensor *x, int dim);
/* relu(linear(x, w, b)) in one pass over the result; on the tape the two calls that it is, of which
 * the inner one's result has the outer one's elements: its backward does not read them. */
tp_tensor *tp__linear_relu(tp_tensor *x, tp_tensor *w, tp_tensor *b);
/* The outer call, for x whose elements relu would leave as they are, and which nobody else has. */
tp_tensor *tp__relu_of_clipped(tp_tensor *x);
/* A view of x with axes a and b exchanged, unrecorded. */
tp_tensor *tp__swapped(const tp_tensor *x, int a, int b);

#endif
