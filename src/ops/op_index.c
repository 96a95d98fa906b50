/* op_index.c -- indexing with tensors: masks and lists of positions, read and write.
 *
 * Backward adds what arrives at each position in order, so repeated positions give the same bits on
 * every run. It reads the list that forward was given, if that is int64 and counts from the start,
 * or a copy; the tape watches whether the list has changed. */
#include "ops/ops.h"
#include <inttypes.h>

static tp_tensor *like(const tp_tensor *x, bool zeros) {
    const tp_shape s = tp__shape(x);
    return (zeros ? tp__new_zeros : tp__new)("index", &s, (tp_dtype)x->dtype);
}

/* An index as dense int64: itself, if it is that. */
static tp_tensor *dense_index(const char *what, tp_tensor *index) {
    if (index->dtype != TP_INT64 && index->dtype != TP_UINT8)
        return tp__fail(TP_EDTYPE, "%s: an index must be int64, not %s", what,
                        tp_dtype_name((tp_dtype)index->dtype));
    return tp__contiguous(tp__to(index, TP_INT64));
}
/* A copy in which no position counts from the end. NULL with an error if one is out of range. */
static tp_tensor *from_start(const char *what, const tp_tensor *index, int64_t size) {
    tp_tensor *own = tp__clone(index);
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
/* Indices as dense int64 in [0, size): negative ones count from the end. NULL with an error. */
static tp_tensor *positions(const char *what, tp_tensor *index, int64_t size) {
    tp_tensor *dense = dense_index(what, index);
    if (!dense || tp__positions_fit(tp__ptr(dense), dense->numel, size)) return dense;
    return from_start(what, dense, size);
}

/* ---- rows: dense memory seen as [outer, size, inner] ----------------------------------------- */

/* y[o][i] and x[o][p[i]] for the positions p, each `inner` elements. */
static tp__pick rows_of(const tp_tensor *x, tp__blocks b, const tp_tensor *p, const tp_tensor *y) {
    return (tp__pick){.dtype = (tp_dtype)x->dtype,
                      .outer = b.outer,
                      .n = p->numel,
                      .inner = b.inner,
                      .x_outer = b.size * b.inner,
                      .x_n = b.inner,
                      .x_inner = 1,
                      .of_rows = true,
                      .p = tp__ptr(p),
                      .x = tp__ptr(x),
                      .y = tp__ptr(y)};
}
static void take_rows(const tp_tensor *x, tp__blocks b, const tp_tensor *p, tp_tensor *y) {
    const tp__pick k = rows_of(x, b, p, y);
    tp__pick_take(&k, b.size);
}
/* The gradient of that: g laid into zeros like x, added up where positions repeat. */
static tp_tensor *add_rows(const tp_tensor *x, tp__blocks b, const tp_tensor *p, tp_tensor *g) {
    tp_tensor *gx = like(x, true);
    if (!gx || !(g = tp__contiguous(g))) return NULL;
    const tp__pick k = rows_of(gx, b, p, g);
    tp__pick_add(&k);
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
    take_rows(x, tp__around(x, dim), ix, y);
    c->extra[0] = ix;
    return y;
}
static tp_tensor *index_select_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_tensor *x = c->in[i];
    return add_rows(x, tp__around(x, (int)c->u.v.n[0]), c->extra[0], g);
}
static const tp__op op_index_select = {.name = "index_select",
                                       .grad_fn = "IndexSelectBackward0",
                                       .saves = TP__SAVE_IN(1),
                                       .forward = index_select_forward,
                                       .backward = index_select_backward};
tp_tensor *tp_index_select(tp_tensor *x, int dim, tp_tensor *index) {
    if (!x || !index) return tp__error_null("index_select"), NULL;
    int d;
    if (!tp__axis("index_select", dim, x->ndim, &d)) return NULL;
    if (index->ndim > 1)
        return tp__fail(TP_ESHAPE, "index_select: the index must have one axis, not %d",
                        index->ndim);
    if (!x->ndim && index->numel != 1)
        return tp__fail(TP_EINDEX, "index_select: of a 0-d tensor, by %" PRId64 " positions",
                        index->numel);
    tp_tensor *in[2] = {x, index};
    tp__call c = {.op = &op_index_select, .in = in, .nin = 2, .u.v.n = {d}};
    return tp__apply(&c);
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* Do the axes from `from` to `end`, of an index's sizes, go on by one step in x? */
static bool one_step(const tp_tensor *x, const tp_tensor *ix, int from, int end, int64_t *step) {
    int64_t size = 1;
    *step = 0;
    for (int d = end - 1; d >= from; d--) {
        if (ix->shape[d] == 1) continue;
        if (size == 1) *step = x->stride[d];
        if (x->stride[d] != *step * size) return false;
        size *= ix->shape[d];
    }
    return true;
}
/* What moves between x and the dense y, which has the shape of the dense ix. false: x does not lie
 * so that it could. */
static bool lies_for(const tp_tensor *x, const tp_tensor *ix, int dim, const tp_tensor *y,
                     tp__pick *k) {
    const tp__blocks b = tp__around(ix, dim);
    *k = (tp__pick){.dtype = (tp_dtype)x->dtype,
                    .outer = b.outer,
                    .n = b.size,
                    .inner = b.inner,
                    .x_n = x->ndim ? x->stride[dim] : 0,
                    .p = tp__ptr(ix),
                    .x = tp__ptr(x),
                    .y = tp__ptr(y)};
    return one_step(x, ix, 0, dim, &k->x_outer) && one_step(x, ix, dim + 1, x->ndim, &k->x_inner);
}
/* The part of x to which ix can lead. */
static tp_tensor *within_reach(const tp_tensor *x, const tp_tensor *ix, int dim) {
    tp_shape s = tp__shape(ix);
    s.dim[dim] = x->shape[dim];
    return tp__view(x, s.ndim, s.dim, x->stride, x->offset);
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
    tp_tensor *ix = dense_index("gather", c->in[1]), *y = NULL;
    const tp_shape s = tp__shape(c->in[1]);
    const int64_t size = x->ndim ? x->shape[dim] : 1;
    if (ix) y = tp__new("gather", &s, (tp_dtype)x->dtype);
    if (!y) return NULL;
    tp__pick k;
    if (!lies_for(x, ix, dim, y, &k)) {
        x = tp__contiguous(within_reach(x, ix, dim));
        if (!x) return NULL;
        lies_for(x, ix, dim, y, &k);
    }
    if (!tp__pick_take(&k, size)) {
        if (!(ix = from_start("gather", ix, size))) return NULL;
        k.p = tp__ptr(ix);
        tp__pick_take(&k, size);
    }
    c->extra[0] = ix;
    return y;
}
static tp_tensor *gather_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    const int dim = (int)c->u.v.n[0];
    tp_tensor *gx = like(c->in[0], true), *ix = c->extra[0];
    if (!gx || !(g = tp__contiguous(g))) return NULL;
    tp__pick k;
    if (lies_for(gx, ix, dim, g, &k)) {
        tp__pick_add(&k);
        return gx;
    }
    tp_tensor *part = within_reach(gx, ix, dim), *dense = part ? like(part, true) : NULL;
    if (!dense) return NULL;
    lies_for(dense, ix, dim, g, &k);
    tp__pick_add(&k);
    tp__copy(part, dense);
    return gx;
}
static const tp__op op_gather = {.name = "gather",
                                 .grad_fn = "GatherBackward0",
                                 .saves = TP__SAVE_IN(1),
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
    tp__mask of;
    const int64_t n = tp__mask_count(&of, tp__ptr(m), m->numel);
    tp_tensor *y = tp__new("masked_select", &TP_SHAPE(n), (tp_dtype)x->dtype);
    if (!y) return NULL;
    tp__mask_choose(&of, (tp_dtype)x->dtype, tp__ptr(x), tp__ptr(y));
    c->extra[0] = m;
    return y;
}
static tp_tensor *masked_select_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    tp_tensor *gx = NULL, *m = c->extra[0];
    const tp_shape s = tp__shape(m); /* the common shape; the tape sums it down to x's */
    if (!(g = tp__contiguous(g)) || !(gx = tp__new("masked_select", &s, (tp_dtype)g->dtype)))
        return NULL;
    tp__mask of;
    tp__mask_count(&of, tp__ptr(m), m->numel);
    tp__mask_spread(&of, (tp_dtype)g->dtype, tp__ptr(g), tp__ptr(gx));
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

_Static_assert((int)TP_MAX_DIM <= (int)TP__MASK_AXES, "nonzero gives all of them");
tp_tensor *tp_nonzero(tp_tensor *x) {
    if (!x) return tp__error_null("nonzero"), NULL;
    tp_tensor *m = tp__to(x, TP_BOOL);
    if (!m || !(m = tp__contiguous(m))) return NULL;
    tp__mask of;
    const int64_t n = tp__mask_count(&of, tp__ptr(m), m->numel);
    tp_tensor *y = tp__new("nonzero", &TP_SHAPE(n, x->ndim), TP_INT64);
    if (y) tp__mask_places(&of, x->shape, x->ndim, tp__ptr(y));
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
    tp__mask of;
    if (!(mask = tp__contiguous(mask))) return NULL;
    const int64_t n = tp__mask_count(&of, tp__ptr(mask), mask->numel);
    tp_tensor *p = tp__new("index", &TP_SHAPE(n), TP_INT64);
    if (p) tp__mask_places(&of, &mask->numel, 1, tp__ptr(p));
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
    take_rows(x, leading(x, axes), p, y);
    if (c->in[1]->dtype != TP_INT64) c->saves = 0; /* of a mask, where it is true */
    c->extra[0] = p;
    return y;
}
static tp_tensor *index_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_tensor *x = c->in[i];
    return add_rows(x, leading(x, (int)c->u.v.n[0]), c->extra[0], g);
}
static const tp__op op_index = {.name = "index",
                                .grad_fn = "IndexBackward0",
                                .saves = TP__SAVE_IN(1),
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
    if (ix && tp_shares_storage(x, ix)) ix = tp__clone(ix);
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

/* value in the shape of x[index] and x's dtype, dense; or, if all its rows are the same, one, whose
 * axes are the last `row` of these. */
static tp_tensor *fitted(const tp_tensor *x, tp_tensor *value, const tp_shape *shape, int row) {
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
    const int skip = have.ndim <= row ? s.ndim - row : 0;
    tp_tensor *v = tp__view(value, s.ndim - skip, s.dim + skip, stride + skip, value->offset);
    return v ? tp__contiguous(tp__to(v, (tp_dtype)x->dtype)) : NULL;
}
static bool index_put(tp_tensor *x, tp_tensor *index, tp_tensor *value, int axes) {
    tp_shape s;
    tp_tensor *p = indexed_rows("index_put_", x, index, axes, &s);
    if (p && tp_shares_storage(x, p)) p = tp__clone(p);
    if (p && tp_shares_storage(x, value)) value = tp__clone(value);
    const int row = x->ndim - axes;
    tp_tensor *v = p && value ? fitted(x, value, &s, row) : NULL;
    tp_tensor *to = v ? tp__contiguous(x) : NULL;
    if (!to) return false;
    tp__pick k = rows_of(to, leading(x, axes), p, v);
    k.one_row = v->ndim == row;
    tp__pick_put(&k);
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
