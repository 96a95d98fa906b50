/* op_map.c -- a C function for every element: Python's list comprehensions.
 *
 * The function is called on the calling thread, in row-major order, so it may keep count. What it
 * does cannot be differentiated, so a tensor that asks for a gradient is refused. */
#include "ops/ops.h"
#include <inttypes.h>
#include <math.h>

/* x as dense float64. Integers that a double cannot hold are EVALUE. */
static const double *doubles(const char *what, tp_tensor *x) {
    if (x->requires_grad && tp_grad_enabled())
        return tp__fail(TP_EGRAD,
                        "%s: a C function has no gradient; use ops, or tp_detach the tensor first",
                        what);
    tp_tensor *own = tp__contiguous(x);
    for (int64_t i = 0; own && x->dtype == TP_INT64 && i < own->numel; i++) {
        const int64_t v = ((const int64_t *)tp__ptr(own))[i];
        if (v < -(INT64_C(1) << 53) || v > INT64_C(1) << 53)
            return tp__fail(TP_EVALUE, "%s: %" PRId64 " is too large for a double", what, v);
    }
    own = tp__to(own, TP_FLOAT64);
    return own ? tp__ptr(own) : NULL;
}

/* Does dtype d hold v? Floats hold all; bools hold 0 and 1. */
static bool holds(tp_dtype d, double v) {
    if (tp__is_float(d)) return true;
    const double top = d == TP_BOOL ? 1 : d == TP_UINT8 ? 255 : 9007199254740992.0;
    return v == trunc(v) && v <= top && v >= (d == TP_INT64 ? -top : 0);
}

tp_tensor *tp_map(tp_tensor *x, tp_map_fn f, void *user) {
    if (!x || !f) return tp__error_null("map"), NULL;
    const tp_shape s = tp__shape(x);
    const double *v = doubles("map", x);
    tp_tensor *y = v ? tp__new("map", &s, TP_FLOAT64) : NULL;
    for (int64_t i = 0; y && i < x->numel; i++) {
        const double r = f(v[i], user);
        if (!holds((tp_dtype)x->dtype, r))
            return tp__fail(TP_EVALUE, "map: %g is no %s (tp_to float32 first)", r,
                            tp_dtype_name((tp_dtype)x->dtype));
        ((double *)tp__ptr(y))[i] = r;
    }
    return tp__to(y, (tp_dtype)x->dtype);
}

tp_tensor *tp_filter(tp_tensor *x, tp_filter_fn f, void *user) {
    if (!x || !f) return tp__error_null("filter"), NULL;
    const tp_shape s = tp__shape(x);
    const double *v = doubles("filter", x);
    tp_tensor *mask = v ? tp__new("filter", &s, TP_BOOL) : NULL;
    if (!mask) return NULL;
    for (int64_t i = 0; i < x->numel; i++) ((uint8_t *)tp__ptr(mask))[i] = f(v[i], user);
    return tp_masked_select(x, mask);
}
