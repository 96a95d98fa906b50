/* shape.c -- arithmetic on shapes, axes and strides. No data is touched. */
#include "tensor/tensor.h"
#include <inttypes.h>
#include <string.h>

const char *tp__shape_text(const tp_shape *s, char buf[TP__SHAPE_TEXT]) {
    size_t n = 0;
    buf[n++] = '[';
    for (int d = 0; d < s->ndim && d < TP_MAX_DIM; d++)
        n +=
            (size_t)snprintf(buf + n, TP__SHAPE_TEXT - n, d ? ", %" PRId64 : "%" PRId64, s->dim[d]);
    buf[n++] = ']';
    buf[n] = '\0';
    return buf;
}

/* Sizes of 0 do not excuse the others: strides are their products. */
bool tp__numel(const tp_shape *s, int64_t *n) {
    int64_t product = 1;
    bool fits = true, empty = false;
    for (int d = 0; d < s->ndim; d++) {
        if (s->dim[d] < 0) return false;
        if (s->dim[d] == 0)
            empty = true;
        else
            fits &= !__builtin_mul_overflow(product, s->dim[d], &product);
    }
    *n = empty ? 0 : product;
    return fits && product <= INT64_MAX / 16;
}

bool tp__broadcast(const char *what, const tp_shape *a, const tp_shape *b, tp_shape *out) {
    const int n = a->ndim > b->ndim ? a->ndim : b->ndim;
    tp_shape r = {.ndim = n};
    for (int i = 1; i <= n; i++) {
        const int64_t da = i <= a->ndim ? a->dim[a->ndim - i] : 1,
                      db = i <= b->ndim ? b->dim[b->ndim - i] : 1;
        if (da != db && da != 1 && db != 1) {
            char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
            tp_error_set(TP_ESHAPE,
                         "%s: cannot broadcast %s with %s: dim %d is %" PRId64 " and %" PRId64
                         "; sizes must be equal, or one of them 1",
                         what, tp__shape_text(a, ta), tp__shape_text(b, tb), -i, da, db);
            return false;
        }
        r.dim[n - i] = da == 1 ? db : da;
    }
    *out = r;
    return true;
}

bool tp__axis(const char *what, int dim, int ndim, int *out) {
    const int n = ndim ? ndim : 1;
    if (dim < -n || dim >= n) {
        tp_error_set(TP_EINDEX, "%s: dim %d is out of range for a %d-d tensor", what, dim, ndim);
        return false;
    }
    *out = dim < 0 ? dim + n : dim;
    return true;
}

bool tp__axes(const char *what, tp_dims dims, int ndim, uint32_t *set) {
    *set = dims.n ? 0 : (1u << ndim) - 1;
    for (int i = 0; i < dims.n; i++) {
        int d;
        if (!tp__axis(what, dims.dim[i], ndim, &d)) return false;
        if (*set & 1u << d)
            return tp_error_set(TP_EVALUE, "%s: dim %d is named twice", what, d), false;
        *set |= 1u << d;
    }
    if (!ndim) *set = 0; /* a 0-d tensor takes -1 and 0, and has nothing to reduce */
    return true;
}

void tp__broadcast_strides(const tp_tensor *x, const tp_shape *shape, int64_t *stride) {
    const int lead = shape->ndim - x->ndim;
    for (int d = 0; d < shape->ndim; d++) {
        const int k = d - lead;
        stride[d] = k < 0 || (x->shape[k] == 1 && shape->dim[d] != 1) ? 0 : x->stride[k];
    }
}

/* Walk the old axes from the right in runs that are dense among themselves; each run must be a
 * product of new sizes. */
bool tp__view_strides(const tp_tensor *x, const tp_shape *shape, int64_t *stride) {
    const tp_shape have = tp__shape(x);
    if (x->numel == 0 && tp__shape_equal(&have, shape)) {
        memcpy(stride, x->stride, (size_t)x->ndim * sizeof *stride);
        return true;
    }
    if (x->numel == 0 || x->ndim == 0) {
        int64_t n = 1;
        for (int d = shape->ndim - 1; d >= 0; d--) {
            stride[d] = n;
            n *= shape->dim[d] > 1 ? shape->dim[d] : 1;
        }
        return true;
    }
    int to = shape->ndim - 1;
    int64_t base = x->stride[x->ndim - 1], run = 1, made = 1;
    for (int d = x->ndim - 1; d >= 0; d--) {
        run *= x->shape[d];
        if (d > 0 && (x->shape[d - 1] == 1 || x->stride[d - 1] == run * base)) continue;
        while (to >= 0 && (made < run || shape->dim[to] == 1)) {
            stride[to] = made * base;
            made *= shape->dim[to--];
        }
        if (made != run) return false;
        if (d > 0) {
            base = x->stride[d - 1];
            run = made = 1;
        }
    }
    return to < 0;
}

bool tp__infer_shape(const char *what, tp_shape *want, int64_t n) {
    char text[TP__SHAPE_TEXT];
    tp__shape_text(want, text);
    int hole = -1;
    int64_t known = 1;
    for (int d = 0; d < want->ndim; d++) {
        if (want->dim[d] == -1 && hole < 0)
            hole = d;
        else if (want->dim[d] < 0)
            return tp_error_set(TP_ESHAPE, "%s: %s has more than one -1 or a negative size", what,
                                text),
                   false;
        else if (__builtin_mul_overflow(known, want->dim[d], &known))
            known = -1;
    }
    if (hole >= 0 && known > 0 && n % known == 0)
        want->dim[hole] = n / known;
    else if (hole >= 0 && known == 0)
        return tp_error_set(TP_ESHAPE, "%s: the -1 of %s could be any size", what, text), false;
    else if (hole >= 0 || known != n)
        return tp_error_set(TP_ESHAPE,
                            "%s: the tensor has %" PRId64
                            " elements, which the shape %s cannot hold",
                            what, n, text),
               false;
    return true;
}

tp_shape tp__reduced_shape(const tp_tensor *x, uint32_t axes, bool keepdim) {
    tp_shape s = {0};
    for (int d = 0; d < x->ndim; d++) {
        const bool gone = axes >> d & 1;
        if (!gone)
            s.dim[s.ndim++] = x->shape[d];
        else if (keepdim)
            s.dim[s.ndim++] = 1;
    }
    return s;
}
