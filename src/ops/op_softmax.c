/* op_softmax.c -- softmax and log_softmax along any axis: the axis is brought last, rows are the
 * kernel's. */
#include "ops/ops.h"

typedef void (*rows_fn)(tp_dtype, const void *, void *, int64_t, int64_t);
typedef void (*rows_backward_fn)(tp_dtype, const void *, const void *, void *, int64_t, int64_t);

/* x with axis d last, dense. */
static tp_tensor *axis_last(tp_tensor *x, int d) {
    if (x->ndim && d != x->ndim - 1) x = tp__swapped(x, d, x->ndim - 1);
    return x ? tp__contiguous(x) : NULL;
}
static int64_t row_length(const tp_tensor *rows) {
    return rows->ndim ? rows->shape[rows->ndim - 1] : 1;
}
static tp_tensor *result(tp_tensor *rows, int d) {
    if (!rows->ndim || d == rows->ndim - 1) return rows;
    rows = tp__swapped(rows, d, rows->ndim - 1);
    return rows ? tp__clone(rows) : NULL;
}
static tp_tensor *like(const tp_tensor *x) {
    const tp_shape s = tp__shape(x);
    return tp__new("softmax", &s, (tp_dtype)x->dtype);
}

static tp_tensor *softmax_forward(tp__call *c) {
    const int d = (int)c->u.v.n[0];
    tp_tensor *x = axis_last(c->in[0], d), *y = x ? like(x) : NULL;
    if (!y) return NULL;
    const int64_t n = row_length(x);
    if (x->numel)
        (c->u.v.n[1] ? tp__log_softmax : tp__softmax)((tp_dtype)x->dtype, tp__ptr(x), tp__ptr(y),
                                                      x->numel / n, n);
    return result(y, d);
}
static tp_tensor *softmax_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    const int d = (int)c->u.v.n[0];
    tp_tensor *y = axis_last(c->out, d), *gl = y ? axis_last(g, d) : NULL,
              *gx = gl ? like(gl) : NULL;
    if (!gx) return NULL;
    const int64_t n = row_length(y);
    if (y->numel)
        (c->u.v.n[1] ? tp__log_softmax_backward : tp__softmax_backward)(
            (tp_dtype)y->dtype, tp__ptr(y), tp__ptr(gl), tp__ptr(gx), y->numel / n, n);
    return result(gx, d);
}
static const tp__op op_softmax = {.name = "softmax",
                                  .grad_fn = "SoftmaxBackward0",
                                  .saves = TP__SAVE_OUT,
                                  .forward = softmax_forward,
                                  .backward = softmax_backward};
static const tp__op op_log_softmax = {.name = "log_softmax",
                                      .grad_fn = "LogSoftmaxBackward0",
                                      .saves = TP__SAVE_OUT,
                                      .forward = softmax_forward,
                                      .backward = softmax_backward};

static tp_tensor *apply(const tp__op *op, tp_tensor *x, int dim) {
    if (!x) return tp__error_null(op->name), NULL;
    int d;
    if (!tp__need_float(op->name, x) || !tp__axis(op->name, dim, x->ndim, &d)) return NULL;
    tp__call c = {.op = op, .in = &x, .nin = 1, .u.v.n = {d, op == &op_log_softmax}};
    return tp__apply(&c);
}
tp_tensor *tp_softmax(tp_tensor *x, int dim) {
    return apply(&op_softmax, x, dim);
}
tp_tensor *tp_log_softmax(tp_tensor *x, int dim) {
    return apply(&op_log_softmax, x, dim);
}
