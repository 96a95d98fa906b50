/* op_view.c -- views: other geometry on the same storage; and copies that only move data.
 *
 * Forward makes a handle; backward undoes the geometry on the gradient. Where an axis was cut
 * (slice, select), the gradient is laid into zeros. */
#include "ops/ops.h"
#include <inttypes.h>

static tp__call call1(const tp__op *op, tp_tensor **x) {
    return (tp__call){.op = op, .in = x, .nin = 1};
}
static tp_shape shape_from(const tp__call *c) { /* n[0] sizes follow */
    tp_shape s = {.ndim = (int)c->u.v.n[0]};
    memcpy(s.dim, c->u.v.n + 1, (size_t)s.ndim * sizeof *s.dim);
    return s;
}
static void shape_to(tp__call *c, const tp_shape *s) {
    c->u.v.n[0] = s->ndim;
    memcpy(c->u.v.n + 1, s->dim, (size_t)s->ndim * sizeof *s->dim);
}

tp_tensor *tp__reshaped(tp_tensor *x, const tp_shape *shape) {
    int64_t stride[TP_MAX_DIM];
    if (!tp__view_strides(x, shape, stride)) {
        x = tp__clone(x);
        if (!x) return NULL;
        tp__view_strides(x, shape, stride);
    }
    return tp__view(x, shape->ndim, shape->dim, stride, x->offset);
}

static tp_tensor *same_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)c;
    (void)i;
    return g;
}

tp__blocks tp__around(const tp_tensor *x, int dim) {
    tp__blocks b = {1, x->ndim ? x->shape[dim] : 1, 1};
    for (int d = 0; d < x->ndim; d++)
        if (d != dim) *(d < dim ? &b.outer : &b.inner) *= x->shape[d];
    return b;
}

/* ---- other shapes ---------------------------------------------------------------------------- */

static tp_tensor *shaped_forward(tp__call *c) {
    const tp_shape s = shape_from(c);
    return tp__reshaped(c->in[0], &s);
}
static tp_tensor *shaped_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    const tp_shape s = tp__shape(c->in[0]);
    return tp__reshaped(g, &s);
}
#define SHAPED(id, text, fn)                             \
    static const tp__op id = {.name = text,              \
                              .grad_fn = fn,             \
                              .is_view = true,           \
                              .forward = shaped_forward, \
                              .backward = shaped_backward};
SHAPED(op_view, "view", "ViewBackward0")
SHAPED(op_reshape, "reshape", "ReshapeAliasBackward0")
SHAPED(op_reshape_copy, "reshape", "UnsafeViewBackward0")

static tp_tensor *apply_shape(const tp__op *op, tp_tensor *x, const tp_shape *s) {
    tp__call c = call1(op, &x);
    shape_to(&c, s);
    return tp__apply(&c);
}

static tp_tensor *not_viewable(const tp_tensor *x, const tp_shape *shape) {
    char have[TP__SHAPE_TEXT], want[TP__SHAPE_TEXT], steps[TP__SHAPE_TEXT];
    tp_shape stride = {.ndim = x->ndim};
    memcpy(stride.dim, x->stride, (size_t)x->ndim * sizeof *stride.dim);
    return tp__fail(TP_ESHAPE,
                    "view: %s with strides %s (transposed, sliced or expanded) is not %s without a "
                    "copy; tp_reshape makes one",
                    tp__shape_text(&x->s, have), tp__shape_text(&stride, steps),
                    tp__shape_text(shape, want));
}

tp_tensor *tp_view(tp_tensor *x, tp_shape shape) {
    if (!x) return tp__error_null("view"), NULL;
    int64_t stride[TP_MAX_DIM];
    if (!tp__infer_shape("view", &shape, x->numel)) return NULL;
    if (!tp__view_strides(x, &shape, stride)) return not_viewable(x, &shape);
    return apply_shape(&op_view, x, &shape);
}
tp_tensor *tp_reshape(tp_tensor *x, tp_shape shape) {
    if (!x) return tp__error_null("reshape"), NULL;
    int64_t stride[TP_MAX_DIM];
    if (!tp__infer_shape("reshape", &shape, x->numel)) return NULL;
    return apply_shape(tp__view_strides(x, &shape, stride) ? &op_reshape : &op_reshape_copy, x,
                       &shape);
}
tp_tensor *tp_flatten(tp_tensor *x, int start_dim, int end_dim) {
    if (!x) return tp__error_null("flatten"), NULL;
    int a, b;
    if (!tp__axis("flatten", start_dim, x->ndim, &a) || !tp__axis("flatten", end_dim, x->ndim, &b))
        return NULL;
    if (a > b) return tp__fail(TP_EVALUE, "flatten: dim %d comes after dim %d", start_dim, end_dim);
    tp_shape s = {0};
    int64_t run = 1;
    for (int d = 0; d < x->ndim; d++) {
        if (d < a || d > b)
            s.dim[s.ndim++] = x->shape[d];
        else
            run *= x->shape[d];
        if (d == b) s.dim[s.ndim++] = run;
    }
    if (!x->ndim) s = TP_SHAPE(1);
    if (a == b && x->ndim) return x;
    return tp_reshape(x, s);
}
/* n[0] is a mask of the axes that go. */
static tp_tensor *squeeze_forward(tp__call *c) {
    const tp_tensor *x = c->in[0];
    int64_t size[TP_MAX_DIM], stride[TP_MAX_DIM];
    int n = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (c->u.v.n[0] >> d & 1) continue;
        size[n] = x->shape[d];
        stride[n++] = x->stride[d];
    }
    return tp__view(x, n, size, stride, x->offset);
}
static tp_tensor *squeeze(tp_tensor *x, const char *grad_fn, uint32_t axes) {
    static const tp__op op_squeeze = {.name = "squeeze",
                                      .grad_fn = "SqueezeBackward0",
                                      .is_view = true,
                                      .forward = squeeze_forward,
                                      .backward = shaped_backward};
    tp__call c = call1(&op_squeeze, &x);
    for (int d = 0; d < x->ndim; d++)
        if (axes >> d & 1 && x->shape[d] == 1) c.u.v.n[0] |= INT64_C(1) << d;
    return tp__apply_named(&c, grad_fn);
}
tp_tensor *tp_squeeze(tp_tensor *x) {
    if (!x) return tp__error_null("squeeze"), NULL;
    return squeeze(x, "SqueezeBackward0", ~UINT32_C(0));
}
tp_tensor *tp_squeeze_dim(tp_tensor *x, int dim) {
    if (!x) return tp__error_null("squeeze"), NULL;
    int k;
    if (!tp__axis("squeeze", dim, x->ndim, &k)) return NULL;
    return squeeze(x, "SqueezeBackward1", UINT32_C(1) << k);
}
/* The stride of an axis of size 1 says nothing; as in torch it spans what follows. */
static int64_t unit_stride(const int64_t *size, const int64_t *stride, int next, int ndim) {
    return next < ndim ? size[next] * stride[next] : 1;
}
static tp_tensor *unsqueeze_forward(tp__call *c) {
    const tp_tensor *x = c->in[0];
    const tp_shape s = shape_from(c);
    const int k = (int)c->u.v.n[1 + TP_MAX_DIM];
    int64_t stride[TP_MAX_DIM];
    for (int d = 0; d < s.ndim; d++)
        stride[d] = d == k ? unit_stride(x->shape, x->stride, k, x->ndim) : x->stride[d - (d > k)];
    return tp__view(x, s.ndim, s.dim, stride, x->offset);
}
static const tp__op op_unsqueeze = {.name = "unsqueeze",
                                    .grad_fn = "UnsqueezeBackward0",
                                    .is_view = true,
                                    .forward = unsqueeze_forward,
                                    .backward = shaped_backward};
tp_tensor *tp_unsqueeze(tp_tensor *x, int dim) {
    if (!x) return tp__error_null("unsqueeze"), NULL;
    int k;
    if (x->ndim == TP_MAX_DIM)
        return tp__fail(TP_ESHAPE, "unsqueeze: the tensor has %d dims already", TP_MAX_DIM);
    if (!tp__axis("unsqueeze", dim, x->ndim + 1, &k)) return NULL;
    tp_shape s = tp__shape(x);
    memmove(s.dim + k + 1, s.dim + k, (size_t)(s.ndim - k) * sizeof *s.dim);
    s.dim[k] = 1;
    s.ndim++;
    tp__call c = call1(&op_unsqueeze, &x);
    shape_to(&c, &s);
    c.u.v.n[1 + TP_MAX_DIM] = k;
    return tp__apply(&c);
}

/* ---- other orders of axes -------------------------------------------------------------------- */

static tp_tensor *permuted(const tp_tensor *x, const int64_t *order, bool inverse) {
    int64_t shape[TP_MAX_DIM], stride[TP_MAX_DIM];
    for (int d = 0; d < x->ndim; d++) {
        const int to = inverse ? (int)order[d] : d, from = inverse ? d : (int)order[d];
        shape[to] = x->shape[from];
        stride[to] = x->stride[from];
    }
    return tp__view(x, x->ndim, shape, stride, x->offset);
}
tp_tensor *tp__swapped(const tp_tensor *x, int a, int b) {
    int64_t order[TP_MAX_DIM];
    for (int d = 0; d < x->ndim; d++) order[d] = d == a ? b : d == b ? a : d;
    return permuted(x, order, false);
}
static tp_tensor *permute_forward(tp__call *c) {
    return permuted(c->in[0], c->u.v.n, false);
}
static tp_tensor *permute_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    return permuted(g, c->u.v.n, true);
}
static const tp__op op_permute = {.name = "permute",
                                  .grad_fn = "PermuteBackward0",
                                  .is_view = true,
                                  .forward = permute_forward,
                                  .backward = permute_backward};

static tp_tensor *apply_order(tp_tensor *x, const int *order, const char *grad_fn) {
    tp__call c = call1(&op_permute, &x);
    for (int d = 0; d < x->ndim; d++) c.u.v.n[d] = order[d];
    return tp__apply_named(&c, grad_fn);
}
tp_tensor *tp_permute(tp_tensor *x, tp_dims dims) {
    if (!x) return tp__error_null("permute"), NULL;
    uint32_t seen;
    if (dims.n != x->ndim)
        return tp__fail(TP_EVALUE, "permute: %d dims named for a %d-d tensor", dims.n, x->ndim);
    if (!tp__axes("permute", dims, x->ndim, &seen)) return NULL;
    for (int d = 0; d < dims.n; d++)
        if (dims.dim[d] < 0) dims.dim[d] += x->ndim;
    return apply_order(x, dims.dim, "PermuteBackward0");
}
tp_tensor *tp_transpose(tp_tensor *x, int dim0, int dim1) {
    if (!x) return tp__error_null("transpose"), NULL;
    int a, b, order[TP_MAX_DIM];
    if (!tp__axis("transpose", dim0, x->ndim, &a) || !tp__axis("transpose", dim1, x->ndim, &b))
        return NULL;
    for (int d = 0; d < x->ndim; d++) order[d] = d == a ? b : d == b ? a : d;
    return apply_order(x, order, "TransposeBackward0");
}
tp_tensor *tp_T(tp_tensor *x) {
    if (!x) return tp__error_null("T"), NULL;
    int order[TP_MAX_DIM];
    for (int d = 0; d < x->ndim; d++) order[d] = x->ndim - 1 - d;
    return apply_order(x, order, "PermuteBackward0");
}

/* ---- expand ---------------------------------------------------------------------------------- */

static tp_tensor *expand_forward(tp__call *c) {
    const tp_shape s = shape_from(c);
    int64_t stride[TP_MAX_DIM];
    tp__broadcast_strides(c->in[0], &s, stride);
    for (int d = c->in[0]->ndim ? s.ndim - c->in[0]->ndim - 1 : -1; d >= 0; d--)
        if (s.dim[d] == 1) stride[d] = unit_stride(s.dim, stride, d + 1, s.ndim);
    return tp__view(c->in[0], s.ndim, s.dim, stride, c->in[0]->offset);
}
static const tp__op op_expand = {.name = "expand",
                                 .grad_fn = "ExpandBackward0",
                                 .is_view = true,
                                 .forward = expand_forward,
                                 .backward = same_backward /* the tape sums it down */};

tp_tensor *tp_expand(tp_tensor *x, tp_shape shape) {
    if (!x) return tp__error_null("expand"), NULL;
    const tp_shape have = tp__shape(x);
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    const int lead = shape.ndim - x->ndim;
    bool fits = lead >= 0 && shape.ndim <= TP_MAX_DIM;
    tp_shape s = shape;
    for (int d = 0; d < shape.ndim && fits; d++) {
        if (d >= lead && s.dim[d] == -1) s.dim[d] = x->shape[d - lead];
        fits = s.dim[d] >= 0 &&
               (d < lead || x->shape[d - lead] == 1 || x->shape[d - lead] == s.dim[d]);
    }
    if (!fits)
        return tp__fail(
            TP_ESHAPE,
            "expand: %s does not expand to %s; only sizes of 1 and new leading dims grow",
            tp__shape_text(&have, ta), tp__shape_text(&shape, tb));
    return apply_shape(&op_expand, x, &s);
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* n: dim, start, step, count; count -1 is a select. */
static tp_tensor *cut(const tp_tensor *x, const int64_t *n) {
    const int dim = (int)n[0];
    int64_t shape[TP_MAX_DIM], stride[TP_MAX_DIM];
    int k = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (d == dim && n[3] < 0) continue;
        shape[k] = d == dim ? n[3] : x->shape[d];
        stride[k++] = d == dim ? x->stride[d] * n[2] : x->stride[d];
    }
    return tp__view(x, k, shape, stride, x->offset + n[1] * x->stride[dim]);
}
static tp_tensor *cut_forward(tp__call *c) {
    return cut(c->in[0], c->u.v.n);
}
static tp_tensor *cut_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    const tp_shape s = tp__shape(c->in[0]);
    tp_tensor *gx = tp__new_zeros("slice", &s, (tp_dtype)g->dtype);
    tp_tensor *place = gx ? cut(gx, c->u.v.n) : NULL;
    if (!place) return NULL;
    tp__copy(place, g);
    tp__drop(place);
    return gx;
}
static const tp__op op_slice = {.name = "slice",
                                .grad_fn = "SliceBackward0",
                                .is_view = true,
                                .forward = cut_forward,
                                .backward = cut_backward};
static const tp__op op_select = {.name = "select",
                                 .grad_fn = "SelectBackward0",
                                 .is_view = true,
                                 .forward = cut_forward,
                                 .backward = cut_backward};

static tp_tensor *apply_slice(tp_tensor *x, int dim, const tp__ix *ix) {
    int d;
    int64_t start;
    if (!x->ndim) return tp__fail(TP_EINDEX, "slice: a 0-d tensor has no axis to slice");
    if (!tp__axis("slice", dim, x->ndim, &d)) return NULL;
    const int64_t n = tp__slice_resolve(ix, x->shape[d], &start);
    if (n < 0) return NULL;
    tp__call c = call1(&op_slice, &x);
    memcpy(c.u.v.n, (int64_t[4]){d, start, ix->step, n}, 4 * sizeof(int64_t));
    return tp__apply(&c);
}
tp_tensor *tp_slice(tp_tensor *x, int dim, int64_t start, int64_t stop, int64_t step) {
    if (!x) return tp__error_null("slice"), NULL;
    const tp__ix ix = {
        .start = start, .stop = stop, .step = step, .has_start = true, .has_stop = true};
    return apply_slice(x, dim, &ix);
}

static tp_tensor *apply_select(const char *what, tp_tensor *x, int dim, int64_t index,
                               const char *grad_fn) {
    int d;
    if (!x->ndim) return tp__fail(TP_EINDEX, "%s: a 0-d tensor cannot be indexed", what);
    if (!tp__axis(what, dim, x->ndim, &d)) return NULL;
    const int64_t size = x->shape[d];
    if (index < -size || index >= size)
        return tp__fail(TP_EINDEX,
                        "%s: index %" PRId64 " is out of range for dim %d of size %" PRId64, what,
                        index, d, size);
    tp__call c = call1(&op_select, &x);
    memcpy(c.u.v.n, (int64_t[4]){d, index < 0 ? index + size : index, 1, -1}, 4 * sizeof(int64_t));
    return tp__apply_named(&c, grad_fn);
}
tp_tensor *tp_select(tp_tensor *x, int dim, int64_t index) {
    if (!x) return tp__error_null("select"), NULL;
    return apply_select("select", x, dim, index, "SelectBackward0");
}
int64_t tp_unbind(tp_tensor *x, int dim, tp_tensor **out, int64_t n) {
    if (!x || !out) return tp__error_null("unbind"), -1;
    int d;
    if (!x->ndim) return tp_error_set(TP_EINDEX, "unbind: a 0-d tensor has no axis to unbind"), -1;
    if (!tp__axis("unbind", dim, x->ndim, &d)) return -1;
    if (n != x->shape[d])
        return tp_error_set(TP_ESHAPE,
                            "unbind: room for %" PRId64 " tensors, but dim %d has %" PRId64, n, d,
                            x->shape[d]),
               -1;
    for (int64_t i = 0; i < n; i++)
        if (!(out[i] = apply_select("unbind", x, d, i, "UnbindBackward0"))) return -1;
    return n;
}

static tp_tensor *alias_forward(tp__call *c) {
    const tp_tensor *x = c->in[0];
    return tp__view(x, x->ndim, x->shape, x->stride, x->offset);
}
static const tp__op op_alias = {
    .name = "at", .is_view = true, .forward = alias_forward, .backward = same_backward};

/* Slices that change nothing: torch makes an op of ':', none of '0:n' beside other items. */
static bool is_full(const tp__ix *ix) {
    return ix->kind == TP__IX_SLICE && !ix->has_start && !ix->has_stop && ix->step == 1;
}
static bool is_whole(const tp__ix *ix, int64_t size) {
    return ix->start == 0 && ix->has_stop && ix->stop == size && ix->step == 1;
}
/* Items are applied from left to right, as torch applies them. *idle is the name of torch's last op
 * where that one changes nothing and is not made here; else NULL. */
static tp_tensor *apply_items(tp_tensor *x, const tp__ix *ix, int n, const char **idle) {
    int used = 0, d = 0;
    for (int i = 0; i < n; i++) used += ix[i].kind == TP__IX_INT || ix[i].kind == TP__IX_SLICE;
    if (used > x->ndim)
        return tp__fail(TP_EINDEX, "at: %d indices for a %d-d tensor", used, x->ndim);
    const int ndim = x->ndim;
    *idle = "AliasBackward0";
    for (int i = 0; i < n && x; i++) {
        const tp__ix *item = &ix[i];
        if (item->kind == TP__IX_ELLIPSIS) {
            d += ndim - used;
        } else if (is_full(item)) {
            *idle = "SliceBackward0";
            d++;
        } else if (item->kind == TP__IX_SLICE && n > 1 && is_whole(item, x->shape[d])) {
            d++;
        } else {
            *idle = NULL;
            x = item->kind == TP__IX_NEW ? tp_unsqueeze(x, d)
                : item->kind == TP__IX_SLICE
                    ? apply_slice(x, d, item)
                    : apply_select("at", x, d, item->start, "SelectBackward0");
            d += item->kind != TP__IX_INT;
        }
    }
    return x;
}
tp_tensor *tp_at(tp_tensor *x, const char *index) {
    if (!x || !index) return tp__error_null("at"), NULL;
    tp__ix ix[2 * TP_MAX_DIM];
    const int n = tp__index_parse(index, ix, TP__COUNT(ix));
    if (n < 0) return NULL;
    const char *idle = NULL;
    tp_tensor *y = apply_items(x, ix, n, &idle);
    if (!y || !idle) return y;
    tp__call c = call1(&op_alias, &y);
    return tp__apply_named(&c, idle);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static tp_tensor *clone_forward(tp__call *c) {
    return tp__clone(c->in[0]);
}
static const tp__op op_clone = {.name = "clone",
                                .grad_fn = "CloneBackward0",
                                .forward = clone_forward,
                                .backward = same_backward};
tp_tensor *tp_clone(tp_tensor *x) {
    tp__call c = call1(&op_clone, &x);
    return tp__apply(&c);
}
tp_tensor *tp_contiguous(tp_tensor *x) {
    return x && tp__contiguous_p(x) ? x : tp_clone(x);
}
static tp_tensor *to_forward(tp__call *c) {
    return tp__to(c->in[0], (tp_dtype)c->u.v.n[0]);
}
static const tp__op op_to = {
    .name = "to", .grad_fn = "ToCopyBackward0", .forward = to_forward, .backward = same_backward};
tp_tensor *tp_to(tp_tensor *x, tp_dtype dtype) {
    if (tp_dtype_size(dtype) < 0) return tp__fail(TP_EDTYPE, "to: %d is no dtype", (int)dtype);
    if (x && x->dtype == dtype && !x->weak) return x;
    tp__call c = call1(&op_to, &x);
    c.u.v.n[0] = dtype;
    return tp__apply(&c);
}
