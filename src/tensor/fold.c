/* fold.c -- reductions over any set of axes, by bringing the data into [outer, red, inner].
 *
 * A dense tensor whose reduced axes are neighbours is folded where it lies; any other is first
 * copied with its reduced axes last. Sizes of 1 never matter. */
#include "tensor/tensor.h"

typedef struct layout {
    int64_t outer, red, inner;
} layout;

int64_t tp__count_axes(const tp_tensor *x, uint32_t axes) {
    int64_t n = 1;
    for (int d = 0; d < x->ndim; d++)
        if (axes >> d & 1) n *= x->shape[d];
    return n;
}

/* Are the reduced axes neighbours (size-1 axes aside)? Then say how the tensor reads. */
static bool neighbours(const tp_tensor *x, uint32_t axes, layout *l) {
    *l = (layout){1, 1, 1};
    int stage = 0; /* 0 before the reduced axes, 1 in them, 2 behind */
    for (int d = 0; d < x->ndim; d++) {
        if (x->shape[d] == 1) continue;
        const bool red = axes >> d & 1;
        if (red && stage == 2) return false;
        stage = red ? 1 : stage ? 2 : 0;
        *(stage == 0 ? &l->outer : stage == 1 ? &l->red : &l->inner) *= x->shape[d];
    }
    return true;
}

/* A dense copy of x with the reduced axes last. */
static tp_tensor *reduced_last(tp_tensor *x, uint32_t axes) {
    int64_t shape[TP_MAX_DIM], stride[TP_MAX_DIM];
    int n = 0;
    for (int red = 0; red <= 1; red++)
        for (int d = 0; d < x->ndim; d++) {
            if ((int)(axes >> d & 1) != red) continue;
            shape[n] = x->shape[d];
            stride[n++] = x->stride[d];
        }
    tp_tensor *v = tp__view(x, n, shape, stride, x->offset);
    if (!v) return NULL;
    tp_tensor *c = tp__clone(v);
    tp__drop(v);
    return c;
}

static tp_dtype result_dtype(tp__red_op op, tp_dtype d) {
    switch (op) {
    case TP__RED_SUM:
    case TP__RED_PROD: return tp__is_float(d) ? d : TP_INT64;
    case TP__RED_ARGMAX:
    case TP__RED_ARGMIN: return TP_INT64;
    case TP__RED_ANY:
    case TP__RED_ALL: return TP_BOOL;
    default: return d;
    }
}

/* The canonical operand and its layout; *temp is set where it is a copy. */
static tp_tensor *canonical(tp_tensor *x, uint32_t axes, layout *l, bool *temp) {
    *temp = false;
    if (axes + 1 == 1u << x->ndim) { /* all: nothing to sort out */
        *l = (layout){1, x->numel, 1};
        if (x->dense) return x;
    }
    if (neighbours(x, axes, l) && x->dense) return x;
    *temp = true;
    const int64_t red = tp__count_axes(x, axes);
    tp_tensor *c = reduced_last(x, axes);
    if (c) *l = (layout){red ? c->numel / red : 0, red, 1};
    return c;
}

static tp_tensor *fold_into(tp_tensor *out, tp__reduce *r) {
    const size_t bytes = tp__reduce_workspace(r);
    void *work = bytes ? tp__alloc(bytes) : NULL;
    if (bytes && !work) return NULL;
    tp__reduce_run(r, work);
    tp__free(work, bytes);
    return out;
}

tp_tensor *tp__fold(const char *what, tp__red_op op, tp_tensor *x, uint32_t axes, bool keepdim) {
    if (!x) return NULL;
    const tp_shape s = tp__reduced_shape(x, axes, keepdim);
    tp_tensor *out = tp__new(what, &s, result_dtype(op, (tp_dtype)x->dtype));
    layout l;
    bool temp;
    tp_tensor *c = out ? canonical(x, axes, &l, &temp) : NULL;
    if (!c) return NULL;
    if (x->numel == 0) l = (layout){out->numel, 0, 1}; /* nothing goes into each result */
    tp__reduce r = {.op = op,
                    .dtype = (tp_dtype)x->dtype,
                    .outer = l.outer,
                    .red = l.red,
                    .inner = l.inner,
                    .x = tp__ptr(c),
                    .out = tp__ptr(out)};
    out = fold_into(out, &r);
    if (temp) tp__drop(c);
    return out;
}

/* The mean of each group in float64, from sums in float64 of the float32 data. */
static tp_tensor *means(tp_tensor *c, const layout *l) {
    tp_tensor *wide = tp__to(c, TP_FLOAT64);
    tp_tensor *m = wide ? tp__new("mean", &TP_SHAPE(l->outer, l->inner), TP_FLOAT64) : NULL;
    if (!m) return NULL;
    tp__reduce r = {.op = TP__RED_SUM,
                    .dtype = TP_FLOAT64,
                    .outer = l->outer,
                    .red = l->red,
                    .inner = l->inner,
                    .x = tp__ptr(wide),
                    .out = tp__ptr(m)};
    if (!fold_into(m, &r)) return NULL;
    double *p = tp__ptr(m);
    for (int64_t i = 0; i < m->numel; i++) p[i] /= (double)l->red;
    return m;
}

tp_tensor *tp__fold_sqdev(const char *what, tp_tensor *x, uint32_t axes, bool keepdim) {
    const tp_shape s = tp__reduced_shape(x, axes, keepdim);
    tp_tensor *out = tp__new(what, &s, (tp_dtype)x->dtype);
    if (!out) return NULL;
    if (x->numel == 0) return tp__fill(out, 0), out;
    const tp_scope scope = tp_scope_begin();
    layout l;
    bool temp;
    tp_tensor *c = canonical(x, axes, &l, &temp), *m = c ? means(c, &l) : NULL;
    tp__reduce r = {.op = TP__RED_SUMSQDEV,
                    .dtype = (tp_dtype)x->dtype,
                    .outer = l.outer,
                    .red = l.red,
                    .inner = l.inner,
                    .x = c ? tp__ptr(c) : NULL,
                    .out = tp__ptr(out),
                    .aux = m ? tp__ptr(m) : NULL};
    out = m ? fold_into(out, &r) : NULL;
    tp_scope_end(scope);
    return out;
}

tp_tensor *tp__sum_to(tp_tensor *x, const tp_shape *shape) {
    if (tp__shape_equal(&x->s, shape)) return x;
    const int lead = x->ndim - shape->ndim;
    uint32_t axes = 0;
    for (int d = 0; d < x->ndim; d++)
        if (d < lead || (shape->dim[d - lead] == 1 && x->shape[d] != 1)) axes |= 1u << d;
    tp_tensor *y = axes ? tp__fold("sum", TP__RED_SUM, x, axes, true) : x;
    if (!y) return NULL;
    int64_t stride[TP_MAX_DIM];
    tp__view_strides(y, shape, stride); /* only axes of size 1 go */
    tp_tensor *v = tp__view(y, shape->ndim, shape->dim, stride, y->offset);
    if (y != x) tp__drop(y);
    return v;
}
