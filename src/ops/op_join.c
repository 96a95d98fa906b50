/* op_join.c -- cat and stack: many tensors into one. */
#include "ops/ops.h"
#include <inttypes.h>

/* The part of `out` along `dim` that starts at `at` and has the shape of `part` there. */
static tp_tensor *window(const tp_tensor *out, int dim, int64_t at, int64_t size) {
    int64_t shape[TP_MAX_DIM];
    memcpy(shape, out->shape, sizeof shape);
    shape[dim] = size;
    return tp__view(out, out->ndim, shape, out->stride, out->offset + at * out->stride[dim]);
}
/* torch skips tensors of shape [0], whatever the others are. */
static bool is_nothing(const tp_tensor *x) {
    return x->ndim == 1 && x->numel == 0;
}

static bool cat_shape(const tp__call *c, int dim, tp_shape *out) {
    const tp_tensor *first = NULL;
    for (int i = 0; i < c->nin; i++) {
        const tp_tensor *x = c->in[i];
        if (is_nothing(x)) continue;
        tp_shape s = tp__shape(x);
        if (!first) {
            first = x;
            *out = s;
            continue;
        }
        const int64_t joined = out->dim[dim], size = s.dim[dim];
        s.dim[dim] = joined;
        if (!tp__shape_equal(&s, out)) {
            const tp_shape a = tp__shape(first), b = tp__shape(x);
            char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
            tp_error_set(
                TP_ESHAPE,
                "cat: sizes may differ in dim %d only, but tensor 0 is %s and tensor %d is %s", dim,
                tp__shape_text(&a, ta), i, tp__shape_text(&b, tb));
            return false;
        }
        out->dim[dim] = joined + size;
    }
    if (!first) *out = TP_SHAPE(0);
    return true;
}
static tp_tensor *cat_forward(tp__call *c) {
    const int dim = (int)c->u.v.n[0];
    tp_shape s;
    if (!cat_shape(c, dim, &s)) return NULL;
    tp_tensor *y = tp__new("cat", &s, tp__result_type(c->in, c->nin));
    int64_t at = 0;
    for (int i = 0; i < c->nin && y; i++) {
        if (is_nothing(c->in[i])) continue;
        tp_tensor *w = window(y, dim, at, c->in[i]->shape[dim]);
        if (!w) return NULL;
        tp__copy(w, c->in[i]);
        tp__drop(w);
        at += c->in[i]->shape[dim];
    }
    return y;
}
static tp_tensor *cat_backward(const tp__call *c, tp_tensor *g, int i) {
    const int dim = (int)c->u.v.n[0];
    if (is_nothing(c->in[i])) return tp__new("cat", &TP_SHAPE(0), (tp_dtype)g->dtype);
    int64_t at = 0;
    for (int k = 0; k < i; k++)
        if (!is_nothing(c->in[k])) at += c->in[k]->shape[dim];
    return window(g, dim, at, c->in[i]->shape[dim]);
}
static const tp__op op_cat = {
    .name = "cat", .grad_fn = "CatBackward0", .forward = cat_forward, .backward = cat_backward};

static tp_tensor *stack_forward(tp__call *c) {
    const int dim = (int)c->u.v.n[0];
    const tp_shape each = tp__shape(c->in[0]);
    tp_shape s = {.ndim = each.ndim + 1};
    for (int d = 0, k = 0; d < s.ndim; d++) s.dim[d] = d == dim ? c->nin : each.dim[k++];
    tp_tensor *y = tp__new("stack", &s, tp__result_type(c->in, c->nin));
    for (int i = 0; i < c->nin && y; i++) {
        const tp_shape here = tp__shape(c->in[i]);
        char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
        if (!tp__shape_equal(&each, &here))
            return tp__fail(TP_ESHAPE,
                            "stack: tensor 0 is %s but tensor %d is %s; all must be equal",
                            tp__shape_text(&each, ta), i, tp__shape_text(&here, tb));
        tp_tensor *w = window(y, dim, i, 1);
        if (!w) return NULL;
        memmove(w->shape + dim, w->shape + dim + 1, (size_t)(s.ndim - dim - 1) * sizeof *w->shape);
        memmove(w->stride + dim, w->stride + dim + 1,
                (size_t)(s.ndim - dim - 1) * sizeof *w->stride);
        w->ndim--;
        tp__copy(w, c->in[i]);
        tp__drop(w);
    }
    return y;
}
static tp_tensor *stack_backward(const tp__call *c, tp_tensor *g, int i) {
    const int dim = (int)c->u.v.n[0];
    const tp_shape s = tp__shape(c->in[i]);
    tp_tensor *w = window(g, dim, i, 1);
    return w ? tp__reshaped(w, &s) : NULL;
}
static const tp__op op_stack = {.name = "stack",
                                .grad_fn = "StackBackward0",
                                .forward = stack_forward,
                                .backward = stack_backward};

static tp_tensor *join(const tp__op *op, tp_tensor *const *x, int64_t n, int dim, int extra) {
    if (!x) return tp__error_null(op->name), NULL;
    if (n < 1 || n > INT32_MAX)
        return tp__fail(TP_EVALUE, "%s: a list of %" PRId64 " tensors", op->name, n);
    int d, ndim = 0;
    bool empty = !extra; /* all of it, and so without axes to join along */
    for (int64_t i = 0; i < n; i++) {
        if (!x[i]) return tp__error_null(op->name), NULL;
        if (!extra && is_nothing(x[i])) continue;
        empty = false;
        ndim = x[i]->ndim;
        if (!ndim && !extra)
            return tp__fail(TP_ESHAPE, "cat: a 0-d tensor has no axis to join along; use tp_stack");
    }
    if (ndim + extra > TP_MAX_DIM)
        return tp__fail(TP_ESHAPE, "%s: the result has more than %d dims", op->name, TP_MAX_DIM);
    if (empty) dim = 0, ndim = 1;
    if (!tp__axis(op->name, dim, ndim + extra, &d)) return NULL;
    tp__call c = {.op = op, .in = x, .nin = (int)n, .u.v.n = {d}};
    return tp__apply(&c);
}
tp_tensor *tp_cat(tp_tensor *const *x, int64_t n, int dim) {
    return join(&op_cat, x, n, dim, 0);
}
tp_tensor *tp_stack(tp_tensor *const *x, int64_t n, int dim) {
    return join(&op_stack, x, n, dim, 1);
}
