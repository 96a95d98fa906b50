/* op_index.c -- indexing with tensors: masks and lists of positions, read and write.
 *
 * A position list is checked once, up front; after that rows are moved as bytes. Backward adds what
 * arrives at each position in order, so repeated positions give the same bits on every run. */
#include "ops/ops.h"
#include <inttypes.h>

static tp_tensor *like(const tp_tensor *x, bool zeros) {
    const tp_shape s = tp__shape(x);
    return (zeros ? tp__new_zeros : tp__new)("index", &s, (tp_dtype)x->dtype);
}

/* Indices as dense int64 in [0, size): negative ones count from the end. NULL with an error. */
static tp_tensor *positions(const char *what, tp_tensor *index, int64_t size) {
    if (index->dtype != TP_INT64 && index->dtype != TP_UINT8)
        return tp__fail(TP_EDTYPE, "%s: an index must be int64, not %s", what,
                        tp_dtype_name((tp_dtype)index->dtype));
    tp_tensor *own = index->dtype == TP_INT64 ? tp__clone(index) : tp__to(index, TP_INT64);
    if (!own) return NULL;
    int64_t *p = tp__ptr(own);
    for (int64_t i = 0; i < own->numel; i++) {
        if (p[i] < -size || p[i] >= size)
            return tp__fail(TP_EINDEX,
                            "%s: index %" PRId64 " at position %" PRId64
                            " is out of range for a size of %" PRId64,
                            what, p[i], i, size);
        if (p[i] < 0) p[i] += size;
    }
    return own;
}

/* dst[i] += src[i] for n floats of dtype d. */
static void add_row(tp_dtype d, void *dst, const void *src, int64_t n) {
    if (d == TP_FLOAT32)
        for (int64_t i = 0; i < n; i++) ((float *)dst)[i] += ((const float *)src)[i];
    else
        for (int64_t i = 0; i < n; i++) ((double *)dst)[i] += ((const double *)src)[i];
}

/* ---- rows: dense memory seen as [outer, size, inner] ----------------------------------------- */

/* y[o][i] = x[o][p[i]] for n positions. */
static void take_rows(const tp_tensor *x, tp__blocks b, const int64_t *p, int64_t n, tp_tensor *y) {
    const size_t row = (size_t)(b.inner * tp__size_of((tp_dtype)x->dtype));
    for (int64_t o = 0; o < b.outer; o++)
        for (int64_t i = 0; i < n; i++)
            memcpy((char *)tp__ptr(y) + (size_t)(o * n + i) * row,
                   (char *)tp__ptr(x) + (size_t)(o * b.size + p[i]) * row, row);
}
/* The gradient of that: g laid into zeros like x, added up where positions repeat. */
static tp_tensor *add_rows(const tp_tensor *x, tp__blocks b, const tp_tensor *rows, tp_tensor *g) {
    tp_tensor *gx = like(x, true);
    if (!gx || !(g = tp__contiguous(g))) return NULL;
    const int64_t *p = tp__ptr(rows), n = rows->numel;
    const int64_t row = b.inner * tp__size_of((tp_dtype)g->dtype);
    for (int64_t o = 0; o < b.outer; o++)
        for (int64_t k = 0; k < n; k++)
            add_row((tp_dtype)g->dtype, (char *)tp__ptr(gx) + (o * b.size + p[k]) * row,
                    (char *)tp__ptr(g) + (o * n + k) * row, b.inner);
    return gx;
}

/* ---- index_select ---------------------------------------------------------------------------- */

static tp_tensor *index_select_forward(tp__call *c) {
    const int dim = (int)c->u.v.n[0];
    tp_tensor *x = tp__contiguous(c->in[0]),
              *ix = x ? positions("index_select", c->in[1], tp__around(x, dim).size) : NULL;
    if (!ix) return NULL;
    tp_shape s = tp__shape(x);
    if (s.ndim) s.dim[dim] = ix->numel;
    tp_tensor *y = tp__new("index_select", &s, (tp_dtype)x->dtype);
    if (!y) return NULL;
    take_rows(x, tp__around(x, dim), tp__ptr(ix), ix->numel, y);
    c->extra[0] = ix;
    return y;
}
static tp_tensor *index_select_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_tensor *x = c->in[i];
    return add_rows(x, tp__around(x, (int)c->u.v.n[0]), c->extra[0], g);
}
static const tp__op op_index_select = {.name = "index_select",
                                       .grad_fn = "IndexSelectBackward0",
                                       .forward = index_select_forward,
                                       .backward = index_select_backward};
tp_tensor *tp_index_select(tp_tensor *x, int dim, tp_tensor *index) {
    if (!x || !index) return tp__error_null("index_select"), NULL;
    int d;
    if (!tp__axis("index_select", dim, x->ndim, &d)) return NULL;
    if (index->ndim > 1)
        return tp__fail(TP_ESHAPE, "index_select: the index must have one axis, not %d",
                        index->ndim);
    tp_tensor *in[2] = {x, index};
    tp__call c = {.op = &op_index_select, .in = in, .nin = 2, .u.v.n = {d}};
    return tp__apply(&c);
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* Element offset in x of each element of ix (dense, same rank), with its own position along dim. */
static int64_t offset_of(const tp_tensor *x, const tp_tensor *ix, int dim, int64_t k, int64_t at) {
    int64_t off = 0;
    for (int d = ix->ndim - 1; d >= 0; d--) {
        const int64_t i = k % ix->shape[d];
        k /= ix->shape[d];
        off += (d == dim ? at : i) * x->stride[d];
    }
    return off;
}
static bool gather_fits(const tp_tensor *x, const tp_tensor *ix, int dim) {
    bool fits = x->ndim == ix->ndim;
    for (int d = 0; d < x->ndim && fits; d++) fits = d == dim || ix->shape[d] <= x->shape[d];
    const tp_shape sx = tp__shape(x), si = tp__shape(ix);
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (!fits)
        tp_error_set(TP_ESHAPE,
                     "gather: the index %s must have the rank of %s and be no larger but in dim %d",
                     tp__shape_text(&si, tb), tp__shape_text(&sx, ta), dim);
    return fits;
}
static tp_tensor *gather_forward(tp__call *c) {
    const int dim = (int)c->u.v.n[0];
    tp_tensor *x = c->in[0];
    if (!gather_fits(x, c->in[1], dim)) return NULL;
    tp_tensor *ix = positions("gather", c->in[1], x->ndim ? x->shape[dim] : 1), *y = NULL;
    const tp_shape s = tp__shape(c->in[1]);
    if (ix) y = tp__new("gather", &s, (tp_dtype)x->dtype);
    if (!y) return NULL;
    const int64_t *p = tp__ptr(ix);
    const size_t es = (size_t)tp_dtype_size((tp_dtype)x->dtype);
    for (int64_t k = 0; k < y->numel; k++)
        memcpy((char *)tp__ptr(y) + (size_t)k * es,
               (char *)tp__ptr(x) + (size_t)offset_of(x, ix, dim, k, p[k]) * es, es);
    c->extra[0] = ix;
    return y;
}
static tp_tensor *gather_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    tp_tensor *gx = like(c->in[0], true), *ix = c->extra[0];
    if (!gx || !(g = tp__contiguous(g))) return NULL;
    const int64_t *p = tp__ptr(ix), es = tp_dtype_size((tp_dtype)g->dtype);
    for (int64_t k = 0; k < g->numel; k++)
        add_row((tp_dtype)g->dtype,
                (char *)tp__ptr(gx) + offset_of(gx, ix, (int)c->u.v.n[0], k, p[k]) * es,
                (char *)tp__ptr(g) + k * es, 1);
    return gx;
}
static const tp__op op_gather = {.name = "gather",
                                 .grad_fn = "GatherBackward0",
                                 .forward = gather_forward,
                                 .backward = gather_backward};
tp_tensor *tp_gather(tp_tensor *x, int dim, tp_tensor *index) {
    if (!x || !index) return tp__error_null("gather"), NULL;
    int d;
    if (!tp__axis("gather", dim, x->ndim, &d)) return NULL;
    tp_tensor *in[2] = {x, index};
    tp__call c = {.op = &op_gather, .in = in, .nin = 2, .u.v.n = {d}};
    return tp__apply(&c);
}

/* ---- masks ----------------------------------------------------------------------------------- */

static int64_t count_set(const tp_tensor *dense) {
    const uint8_t *p = tp__ptr(dense);
    int64_t n = 0;
    for (int64_t i = 0; i < dense->numel; i++) n += p[i] != 0;
    return n;
}
static bool is_mask(const char *what, const tp_tensor *mask) {
    if (mask->dtype == TP_BOOL || mask->dtype == TP_UINT8) return true;
    tp_error_set(TP_EDTYPE, "%s: a mask must be bool, not %s", what,
                 tp_dtype_name((tp_dtype)mask->dtype));
    return false;
}
/* x and mask, both dense in their common shape. */
static bool meet(tp_tensor **x, tp_tensor **mask) {
    tp_shape s, a = tp__shape(*x), b = tp__shape(*mask);
    if (!tp__broadcast("masked_select", &a, &b, &s)) return false;
    int64_t stride[TP_MAX_DIM];
    for (int k = 0; k < 2; k++) {
        tp_tensor **t = k ? mask : x;
        tp__broadcast_strides(*t, &s, stride);
        tp_tensor *v = tp__view(*t, s.ndim, s.dim, stride, (*t)->offset);
        *t = v ? tp__contiguous(v) : NULL;
        if (!*t) return false;
    }
    return true;
}
static tp_tensor *masked_select_forward(tp__call *c) {
    tp_tensor *x = c->in[0], *m = c->in[1];
    if (!is_mask("masked_select", m) || !meet(&x, &m)) return NULL;
    tp_tensor *y = tp__new("masked_select", &TP_SHAPE(count_set(m)), (tp_dtype)x->dtype);
    if (!y) return NULL;
    const uint8_t *p = tp__ptr(m);
    const size_t es = (size_t)tp_dtype_size((tp_dtype)x->dtype);
    char *to = tp__ptr(y);
    for (int64_t i = 0; i < x->numel; i++)
        if (p[i]) to = (char *)memcpy(to, (char *)tp__ptr(x) + (size_t)i * es, es) + es;
    c->extra[0] = m;
    return y;
}
static tp_tensor *masked_select_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    tp_tensor *gx = NULL, *m = c->extra[0];
    const tp_shape s = tp__shape(m); /* the common shape; the tape sums it down to x's */
    if (!(g = tp__contiguous(g)) || !(gx = tp__new_zeros("masked_select", &s, (tp_dtype)g->dtype)))
        return NULL;
    const uint8_t *p = tp__ptr(m);
    const size_t es = (size_t)tp_dtype_size((tp_dtype)g->dtype);
    const char *from = tp__ptr(g);
    for (int64_t k = 0; k < m->numel; k++)
        if (p[k]) {
            memcpy((char *)tp__ptr(gx) + (size_t)k * es, from, es);
            from += es;
        }
    return gx;
}
/* The mask is saved for its version: what backward reads may be a copy, in the common shape. */
static const tp__op op_masked_select = {.name = "masked_select",
                                        .grad_fn = "MaskedSelectBackward0",
                                        .saves = TP__SAVE_IN(1),
                                        .forward = masked_select_forward,
                                        .backward = masked_select_backward};
tp_tensor *tp_masked_select(tp_tensor *x, tp_tensor *mask) {
    tp_tensor *in[2] = {x, mask};
    tp__call c = {.op = &op_masked_select, .in = in, .nin = 2};
    return tp__apply(&c);
}

tp_tensor *tp_nonzero(tp_tensor *x) {
    if (!x) return tp__error_null("nonzero"), NULL;
    tp_tensor *m = tp__to(x, TP_BOOL);
    if (!m || !(m = tp__contiguous(m))) return NULL;
    tp_tensor *y = tp__new("nonzero", &TP_SHAPE(count_set(m), x->ndim), TP_INT64);
    if (!y) return NULL;
    const uint8_t *p = tp__ptr(m);
    int64_t *to = tp__ptr(y);
    for (int64_t i = 0; i < m->numel; i++) {
        if (!p[i]) continue;
        int64_t rest = i;
        for (int d = x->ndim - 1; d >= 0; d--) {
            to[d] = rest % x->shape[d];
            rest /= x->shape[d];
        }
        to += x->ndim;
    }
    return y;
}

/* ---- x[index]: a mask over the leading axes, or positions along the first -------------------- */

/* n[0] is how many axes of x the index stands for; their elements are the rows. */
static tp__blocks leading(const tp_tensor *x, int n) {
    tp__blocks b = {1, 1, 1};
    for (int d = 0; d < x->ndim; d++) *(d < n ? &b.size : &b.inner) *= x->shape[d];
    return b;
}
/* Positions of the true elements of a mask: int64 [n]. */
static tp_tensor *true_positions(tp_tensor *mask) {
    mask = tp__contiguous(mask);
    tp_tensor *p = mask ? tp__new("index", &TP_SHAPE(count_set(mask)), TP_INT64) : NULL;
    if (!p) return NULL;
    int64_t *to = tp__ptr(p);
    for (int64_t i = 0; i < mask->numel; i++)
        if (((const uint8_t *)tp__ptr(mask))[i]) *to++ = i;
    return p;
}
static bool mask_fits(const char *what, const tp_tensor *x, const tp_tensor *mask) {
    bool fits = mask->ndim <= x->ndim;
    for (int d = 0; d < mask->ndim && fits; d++) fits = mask->shape[d] == x->shape[d];
    const tp_shape sx = tp__shape(x), sm = tp__shape(mask);
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (!fits)
        tp_error_set(TP_EINDEX, "%s: the mask is %s, which is not how %s begins", what,
                     tp__shape_text(&sm, ta), tp__shape_text(&sx, tb));
    return fits;
}
/* How many leading axes of x the index stands for; -1 and an error if it does not fit. */
static int indexed_axes(const char *what, const tp_tensor *x, const tp_tensor *index) {
    if (index->dtype == TP_BOOL || index->dtype == TP_UINT8)
        return mask_fits(what, x, index) ? index->ndim : -1;
    if (!x->ndim) return tp_error_set(TP_EINDEX, "%s: a 0-d tensor cannot be indexed", what), -1;
    if (index->ndim + x->ndim - 1 > TP_MAX_DIM)
        return tp_error_set(TP_ESHAPE, "%s: the result has more than %d dims", what, TP_MAX_DIM),
               -1;
    return 1;
}
/* Rows of x that index names, int64, and the shape of x[index]. */
static tp_tensor *indexed_rows(const char *what, const tp_tensor *x, tp_tensor *index, int axes,
                               tp_shape *shape) {
    const bool mask = index->dtype == TP_BOOL || index->dtype == TP_UINT8;
    tp_tensor *p = mask ? true_positions(index) : positions(what, index, x->shape[0]);
    if (!p) return NULL;
    *shape = tp__shape(p);
    for (int d = axes; d < x->ndim; d++) shape->dim[shape->ndim++] = x->shape[d];
    return p;
}
static tp_tensor *index_forward(tp__call *c) {
    const int axes = (int)c->u.v.n[0];
    tp_shape s;
    tp_tensor *x = tp__contiguous(c->in[0]);
    tp_tensor *p = x ? indexed_rows("index", x, c->in[1], axes, &s) : NULL;
    tp_tensor *y = p ? tp__new("index", &s, (tp_dtype)x->dtype) : NULL;
    if (!y) return NULL;
    take_rows(x, leading(x, axes), tp__ptr(p), p->numel, y);
    c->extra[0] = p;
    return y;
}
static tp_tensor *index_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_tensor *x = c->in[i];
    return add_rows(x, leading(x, (int)c->u.v.n[0]), c->extra[0], g);
}
static const tp__op op_index = {.name = "index",
                                .grad_fn = "IndexBackward0",
                                .forward = index_forward,
                                .backward = index_backward};
tp_tensor *tp_index(tp_tensor *x, tp_tensor *index) {
    if (!x || !index) return tp__error_null("index"), NULL;
    const int axes = indexed_axes("index", x, index);
    if (axes < 0) return NULL;
    tp_tensor *in[2] = {x, index};
    tp__call c = {.op = &op_index, .in = in, .nin = 2, .u.v.n = {axes}};
    return tp__apply(&c);
}

/* ---- writing --------------------------------------------------------------------------------- */

tp_tensor *tp_masked_fill_(tp_tensor *x, tp_tensor *mask, double value) {
    if (!x || !mask) return tp__error_null("masked_fill_"), NULL;
    if (!tp__may_write("masked_fill_", x) || !is_mask("masked_fill_", mask)) return NULL;
    const tp_scope s = tp_scope_no_grad();
    const bool fits = tp__scalar("masked_fill_", value, (tp_dtype)x->dtype);
    tp_tensor *y = fits ? tp_masked_fill(x, mask, value) : NULL;
    const tp_shape a = tp__shape(x), b = y ? tp__shape(y) : a;
    if (y && !tp__shape_equal(&a, &b))
        y = tp__fail(
            TP_ESHAPE,
            "masked_fill_: the mask must broadcast to the tensor, not the tensor to the mask");
    if (y) {
        tp__copy(x, y);
        tp__touch(x);
    }
    tp_scope_end(s);
    return y ? x : NULL;
}

static bool index_copy(tp_tensor *x, int d, tp_tensor *index, tp_tensor *src) {
    tp_tensor *ix = positions("index_copy_", index, x->shape[d]);
    if (!ix) return false;
    tp_shape want = tp__shape(x), have = tp__shape(src);
    want.dim[d] = ix->numel;
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (!tp__shape_equal(&want, &have))
        return tp_error_set(TP_ESHAPE, "index_copy_: the source is %s but must be %s",
                            tp__shape_text(&have, ta), tp__shape_text(&want, tb)),
               false;
    if (tp_shares_storage(x, src) && !(src = tp__clone(src))) return false;
    want.dim[d] = 1;
    tp_tensor *to = tp__view(x, x->ndim, want.dim, x->stride, x->offset);
    tp_tensor *from = to ? tp__view(src, x->ndim, want.dim, src->stride, src->offset) : NULL;
    if (!from) return false;
    const int64_t *p = tp__ptr(ix), es = tp__size_of((tp_dtype)x->dtype);
    for (int64_t i = 0; i < ix->numel; i++) { /* from here on nothing fails */
        to->data = (char *)tp__ptr(x) + p[i] * x->stride[d] * es;
        from->data = (char *)tp__ptr(src) + i * src->stride[d] * es;
        tp__copy(to, from);
    }
    tp__touch(x);
    return true;
}
tp_tensor *tp_index_copy_(tp_tensor *x, int dim, tp_tensor *index, tp_tensor *src) {
    if (!x || !index || !src) return tp__error_null("index_copy_"), NULL;
    int d;
    if (!tp__may_write("index_copy_", x) || !tp__axis("index_copy_", dim, x->ndim, &d)) return NULL;
    if (!x->ndim) return tp__fail(TP_EINDEX, "index_copy_: a 0-d tensor cannot be indexed");
    if (src->requires_grad && tp_grad_enabled())
        return tp__fail(
            TP_EGRAD,
            "index_copy_: the source requires a gradient, which an in-place copy would lose");
    if (src->dtype != x->dtype)
        return tp__fail(TP_EDTYPE,
                        "index_copy_: the source is %s but the tensor is %s (tp_to first)",
                        tp_dtype_name((tp_dtype)src->dtype), tp_dtype_name((tp_dtype)x->dtype));
    const tp_scope s = tp_scope_no_grad();
    const bool ok = index_copy(x, d, index, src);
    tp_scope_end(s);
    return ok ? x : NULL;
}

/* value in the shape of x[index] and x's dtype, dense. */
static tp_tensor *fitted(const tp_tensor *x, tp_tensor *value, const tp_shape *shape) {
    const tp_shape have = tp__shape(value);
    tp_shape s;
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (value->dtype != x->dtype && value->ndim)
        return tp__fail(TP_EDTYPE,
                        "index_put_: the values are %s but the tensor is %s (tp_to first)",
                        tp_dtype_name((tp_dtype)value->dtype), tp_dtype_name((tp_dtype)x->dtype));
    if (value->weak && value->dtype == TP_FLOAT64 &&
        !tp__number_fits("index_put_", tp_item(value), (tp_dtype)x->dtype))
        return NULL;
    if (!tp__broadcast("index_put_", shape, &have, &s)) return NULL;
    if (!tp__shape_equal(shape, &s))
        return tp__fail(TP_ESHAPE, "index_put_: values of shape %s do not fit into %s",
                        tp__shape_text(&have, ta), tp__shape_text(shape, tb));
    int64_t stride[TP_MAX_DIM];
    tp__broadcast_strides(value, &s, stride);
    tp_tensor *v = tp__view(value, s.ndim, s.dim, stride, value->offset);
    return v ? tp__contiguous(tp__to(v, (tp_dtype)x->dtype)) : NULL;
}
static bool index_put(tp_tensor *x, tp_tensor *index, tp_tensor *value, int axes) {
    tp_shape s;
    tp_tensor *p = indexed_rows("index_put_", x, index, axes, &s);
    if (p && tp_shares_storage(x, value)) value = tp__clone(value);
    tp_tensor *v = p && value ? fitted(x, value, &s) : NULL;
    tp_tensor *to = v ? tp__contiguous(x) : NULL;
    if (!to) return false;
    const tp__blocks b = leading(x, axes);
    const size_t row = (size_t)(b.inner * tp__size_of((tp_dtype)x->dtype));
    const int64_t *at = tp__ptr(p);
    for (int64_t i = 0; i < p->numel; i++)
        memcpy((char *)tp__ptr(to) + (size_t)at[i] * row, (char *)tp__ptr(v) + (size_t)i * row,
               row);
    if (to != x) tp__copy(x, to);
    tp__touch(x);
    return true;
}
tp_tensor *tp_index_put_(tp_tensor *x, tp_tensor *index, tp_tensor *value) {
    if (!x || !index || !value) return tp__error_null("index_put_"), NULL;
    if (!tp__may_write("index_put_", x)) return NULL;
    const int axes = indexed_axes("index_put_", x, index);
    if (axes < 0) return NULL;
    if (value->requires_grad && tp_grad_enabled())
        return tp__fail(
            TP_EGRAD,
            "index_put_: the values require a gradient, which an in-place change would lose");
    const tp_scope s = tp_scope_no_grad();
    const bool ok = index_put(x, index, value, axes);
    tp_scope_end(s);
    return ok ? x : NULL;
}
