/* compare.c -- torch.equal and torch.allclose: questions about whole tensors. Nothing is
 * recorded. */
#include "tensor/tensor.h"
#include <math.h>
#include <string.h>

static bool same_numbers(tp_tensor *a, tp_tensor *b) {
    const tp_shape s = tp__shape(a);
    tp_tensor *eq = tp__new("equal", &s, TP_BOOL);
    if (!eq) return false;
    tp__iterate(tp__pw_forward(TP__PW_eq, (tp_dtype)a->dtype), &s, (tp_tensor *[]){eq, a, b}, 3, 0,
                0);
    return !memchr(tp__ptr(eq), 0, (size_t)eq->numel);
}

bool tp_equal(const tp_tensor *a, const tp_tensor *b) {
    if (!a || !b) return tp__error_null("equal"), false;
    const tp_shape sa = tp__shape(a), sb = tp__shape(b);
    if (a->dtype != b->dtype || !tp__shape_equal(&sa, &sb)) return false;
    const tp_scope scope = tp_scope_begin();
    tp_tensor *x = tp__clone(a), *y = x ? tp__clone(b) : NULL;
    const bool same = y && same_numbers(x, y);
    tp_scope_end(scope);
    return same;
}

/* x in float64, dense in shape s, which it broadcasts to. */
static const double *wide(const tp_tensor *x, const tp_shape *s) {
    int64_t stride[TP_MAX_DIM];
    tp__broadcast_strides(x, s, stride);
    tp_tensor *v = tp__view(x, s->ndim, s->dim, stride, x->offset),
              *w = v ? tp__new("allclose", s, TP_FLOAT64) : NULL;
    if (!w) return NULL;
    tp__copy(w, v);
    return tp__ptr(w);
}

/* Equal infinities are close; NaN is close to nothing. */
static bool is_close(double a, double b, double rtol, double atol) {
    return a == b || (isfinite(a) && isfinite(b) && fabs(a - b) <= atol + rtol * fabs(b));
}

bool tp_allclose(const tp_tensor *a, const tp_tensor *b, double rtol, double atol) {
    if (!a || !b) return tp__error_null("allclose"), false;
    tp_shape s, sa = tp__shape(a), sb = tp__shape(b);
    int64_t n;
    if (!tp__broadcast("allclose", &sa, &sb, &s) || !tp__numel(&s, &n)) return false;
    const tp_scope scope = tp_scope_begin();
    const double *x = wide(a, &s), *y = x ? wide(b, &s) : NULL;
    bool close = y != NULL;
    for (int64_t i = 0; i < n && close; i++) close = is_close(x[i], y[i], rtol, atol);
    tp_scope_end(scope);
    return close;
}
