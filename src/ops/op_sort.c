/* op_sort.c -- order and counting: sort, argsort, topk, unique, bincount, one_hot; cumsum, flip.
 *
 * Equal elements keep their order, so results do not depend on how the sort works; NaN is the
 * largest, as torch has it. */
#include "ops/ops.h"
#include <inttypes.h>

static bool run_order(tp__order *o) {
    const size_t bytes = tp__order_workspace(o);
    void *work = bytes ? tp__alloc(bytes) : NULL;
    if (bytes && !work) return false;
    tp__order_run(o, work);
    tp__free(work, bytes);
    return true;
}

/* ---- sort, topk: n[0] dim, n[1] flags, n[2] how many stay ------------------------------------ */

/* x with axis dim exchanged with the last one, dense, as rows are what is sorted; x itself if that
 * is so. */
static tp_tensor *exchanged(tp_tensor *x, int dim) {
    if (x->ndim < 2 || dim == x->ndim - 1) return tp__contiguous(x);
    tp_tensor *view = tp__swapped(x, dim, x->ndim - 1), *own = tp__contiguous(view);
    if (own != view) tp__drop(view);
    return own;
}
/* *x exchanged back: always a copy, as a result is no view, though it may look like one. */
static bool exchange_back(tp_tensor **x, int dim) {
    if ((*x)->ndim < 2 || dim == (*x)->ndim - 1) return true;
    tp_tensor *view = tp__swapped(*x, dim, (*x)->ndim - 1), *own = tp__clone(view);
    if (view) tp__drop(view);
    tp__drop(*x);
    *x = own;
    return own;
}
/* The first of the order of the rows of x: of the call's two results those that are not NULL. */
static bool order_rows(const tp__call *c, const tp_tensor *x, tp_tensor *y, tp_tensor *index) {
    const int64_t n = x->ndim ? x->shape[x->ndim - 1] : 1;
    tp__order o = {.dtype = (tp_dtype)x->dtype,
                   .rows = n ? x->numel / n : 0,
                   .n = n,
                   .k = c->u.v.n[2],
                   .descending = c->u.v.n[1] & TP_DESCENDING,
                   .x = tp__ptr(x),
                   .index = index ? tp__ptr(index) : NULL,
                   .y = y ? tp__ptr(y) : NULL};
    return run_order(&o);
}
/* The first of the order along dim: the elements to *y unless that is NULL, their positions to
 * *index. */
static bool order_lanes(tp__call *c, tp_tensor **y, tp_tensor **index) {
    const int dim = (int)c->u.v.n[0];
    tp_tensor *x = exchanged(c->in[0], dim);
    if (!x) return false;
    tp_shape s = tp__shape(x);
    if (s.ndim) s.dim[s.ndim - 1] = c->u.v.n[2];
    if (y && !(*y = tp__new(c->op->name, &s, (tp_dtype)x->dtype))) return false;
    *index = tp__new(c->op->name, &s, TP_INT64);
    if (!*index || !order_rows(c, x, y ? *y : NULL, *index)) return false;
    if (x != c->in[0]) tp__drop(x);
    return (!y || exchange_back(y, dim)) && exchange_back(index, dim);
}
static tp_tensor *sort_forward(tp__call *c) {
    tp_tensor *y;
    return order_lanes(c, &y, &c->extra[0]) ? y : NULL;
}
static tp_tensor *argsort_forward(tp__call *c) {
    tp_tensor *index;
    return order_lanes(c, NULL, &index) ? index : NULL;
}
static tp_tensor *sort_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_shape s = tp__shape(c->in[i]);
    const tp__blocks b = tp__around(c->in[i], (int)c->u.v.n[0]);
    const int64_t k = c->u.v.n[2];
    tp_tensor *gx = (k < b.size ? tp__new_zeros : tp__new)(c->op->name, &s, (tp_dtype)g->dtype);
    if (!gx || !(g = tp__contiguous(g))) return NULL;
    tp__order_undo((tp_dtype)g->dtype, tp__ptr(g), tp__ptr(c->extra[0]), tp__ptr(gx), b.outer,
                   b.size, k, b.inner);
    return gx;
}
static const tp__op op_sort = {
    .name = "sort", .grad_fn = "SortBackward0", .forward = sort_forward, .backward = sort_backward};
static const tp__op op_topk = {
    .name = "topk", .grad_fn = "TopkBackward0", .forward = sort_forward, .backward = sort_backward};

static tp_tensor *sorted(const tp__op *op, tp_tensor *x, int64_t k, int dim, int flags,
                         tp_tensor **index) {
    if (!x) return tp__error_null(op->name), NULL;
    int d;
    if (!tp__axis(op->name, dim, x->ndim, &d)) return NULL;
    const int64_t size = x->ndim ? x->shape[d] : 1;
    if (op == &op_topk && (k < 0 || k > size))
        return tp__fail(TP_EINDEX, "topk: %" PRId64 " of dim %d, which has %" PRId64, k, d, size);
    const int64_t stay = op == &op_topk && x->ndim ? k : size; /* a 0-d tensor stays, as in torch */
    tp__call c = {.op = op, .in = &x, .nin = 1, .u.v.n = {d, flags, stay}};
    tp_tensor *y = tp__apply(&c);
    if (y && index) *index = c.extra[0];
    return y;
}
tp_tensor *tp_sort(tp_tensor *x, int dim, int flags, tp_tensor **index) {
    return sorted(&op_sort, x, 0, dim, flags, index);
}
tp_tensor *tp_topk(tp_tensor *x, int64_t k, int dim, tp_tensor **index) {
    return sorted(&op_topk, x, k, dim, TP_DESCENDING, index);
}
tp_tensor *tp_argsort(tp_tensor *x, int dim, int flags) {
    static const tp__op op_argsort = {.name = "argsort", .forward = argsort_forward};
    return sorted(&op_argsort, x, 0, dim, flags, NULL);
}

/* ---- counting -------------------------------------------------------------------------------- */

/* The values of a call of unique, and how often each occurs. */
typedef struct groups {
    tp_tensor *value, *count;
} groups;

static bool make_groups(groups *g, int64_t n, tp_dtype d) {
    g->value = tp__new("unique", &TP_SHAPE(n), d);
    g->count = g->value ? tp__new_zeros("unique", &TP_SHAPE(n), TP_INT64) : NULL;
    return g->count;
}

/* Groups of equals in the dense x that is in order, each with its first element. A NaN equals
 * nothing. */
#define DEFINE_GROUP(T)                                                        \
    static bool group_##T(const tp_tensor *x, groups *g) {                     \
        const T *const p = tp__ptr(x);                                         \
        int64_t n = 0;                                                         \
        for (int64_t i = 0; i < x->numel; i++) n += !i || !(p[i] == p[i - 1]); \
        if (!make_groups(g, n, (tp_dtype)x->dtype)) return false;              \
        T *const value = tp__ptr(g->value);                                    \
        int64_t *const count = tp__ptr(g->count), k = -1;                      \
        for (int64_t i = 0; i < x->numel; i++) {                               \
            if (!i || !(p[i] == p[i - 1])) value[++k] = p[i];                  \
            count[k]++;                                                        \
        }                                                                      \
        return true;                                                           \
    }
DEFINE_GROUP(float)
DEFINE_GROUP(double)
DEFINE_GROUP(int64_t)

static bool group_sorted(const tp_tensor *x, groups *g) {
    tp_tensor *y = tp__new("unique", &TP_SHAPE(x->numel), (tp_dtype)x->dtype);
    if (!y) return false;
    tp__order o = {.dtype = (tp_dtype)x->dtype,
                   .rows = 1,
                   .n = x->numel,
                   .k = x->numel,
                   .x = tp__ptr(x),
                   .y = tp__ptr(y)};
    if (!run_order(&o)) return false;
    return x->dtype == TP_FLOAT32   ? group_float(y, g)
           : x->dtype == TP_FLOAT64 ? group_double(y, g)
                                    : group_int64_t(y, g);
}

/* Groups of integers, `values` different ones at most from `least` on, which are counted. */
#define DEFINE_COUNT(T)                                                             \
    static bool count_##T(const tp_tensor *x, T least, int64_t values, groups *g) { \
        tp_tensor *all = tp__new_zeros("unique", &TP_SHAPE(values), TP_INT64);      \
        if (!all) return false;                                                     \
        const T *const p = tp__ptr(x);                                              \
        int64_t *const seen = tp__ptr(all), n = 0, k = 0;                           \
        for (int64_t i = 0; i < x->numel; i++) seen[p[i] - least]++;                \
        for (int64_t v = 0; v < values; v++) n += seen[v] > 0;                      \
        if (!make_groups(g, n, (tp_dtype)x->dtype)) return false;                   \
        for (int64_t v = 0; v < values; v++) {                                      \
            if (!seen[v]) continue;                                                 \
            ((T *)tp__ptr(g->value))[k] = (T)(least + v);                           \
            ((int64_t *)tp__ptr(g->count))[k++] = seen[v];                          \
        }                                                                           \
        return true;                                                                \
    }
DEFINE_COUNT(uint8_t)
DEFINE_COUNT(int64_t)

/* Integers that are as dense as that are counted without being sorted. */
static bool group_int64s(const tp_tensor *x, groups *g) {
    enum { FEW = 1024 };
    const int64_t *const p = tp__ptr(x);
    int64_t least = x->numel ? p[0] : 0, most = least;
    for (int64_t i = 1; i < x->numel; i++) {
        least = p[i] < least ? p[i] : least;
        most = p[i] > most ? p[i] : most;
    }
    const uint64_t apart = (uint64_t)most - (uint64_t)least;
    const uint64_t dense = x->numel > FEW ? (uint64_t)x->numel : FEW;
    return apart < dense ? count_int64_t(x, least, (int64_t)apart + 1, g) : group_sorted(x, g);
}
tp_tensor *tp_unique(tp_tensor *x, tp_tensor **counts) {
    enum { BYTES = UINT8_MAX + 1 };
    if (!x) return tp__error_null("unique"), NULL;
    tp_tensor *own = tp__contiguous(x);
    groups g;
    const bool done = own && (tp__is_float((tp_dtype)x->dtype) ? group_sorted(own, &g)
                              : x->dtype == TP_INT64           ? group_int64s(own, &g)
                                                               : count_uint8_t(own, 0, BYTES, &g));
    if (!done) return NULL;
    if (counts) *counts = g.count;
    return g.value;
}

/* Is all of dense int64 x in [0, end)? end < 0: of any size. */
static bool all_count(const char *what, const tp_tensor *x, int64_t end) {
    const int64_t *p = tp__ptr(x);
    if (tp__positions_fit(p, x->numel, end < 0 ? INT64_MAX : end)) return true;
    for (int64_t i = 0; i < x->numel; i++)
        if (p[i] < 0 || (end >= 0 && p[i] >= end))
            return tp_error_set(TP_EINDEX, "%s: %" PRId64 " at position %" PRId64 " is %s", what,
                                p[i], i, p[i] < 0 ? "negative" : "not below the number of classes"),
                   false;
    return true;
}
/* x as dense int64, all of it in [0, end); end < 0: any size. The largest goes to *most, or -1. */
static const int64_t *counted(const char *what, tp_tensor *x, int64_t end, int64_t *most) {
    if (tp__is_float((tp_dtype)x->dtype) || x->dtype == TP_BOOL)
        return tp__fail(TP_EDTYPE, "%s: wants int64, not %s", what,
                        tp_dtype_name((tp_dtype)x->dtype));
    tp_tensor *own = tp__contiguous(tp__to(x, TP_INT64));
    if (!own || !all_count(what, own, end)) return NULL;
    *most = -1;
    if (!own->numel) return tp__ptr(own);
    const tp_tensor *largest = tp__fold(what, TP__RED_MAX, own, (1u << own->ndim) - 1, false);
    if (!largest) return NULL;
    *most = *(const int64_t *)tp__ptr(largest);
    return tp__ptr(own);
}
tp_tensor *tp_bincount(tp_tensor *x, int64_t minlength) {
    if (!x) return tp__error_null("bincount"), NULL;
    if (x->ndim != 1) return tp__fail(TP_ESHAPE, "bincount: wants one axis, not %d", x->ndim);
    if (minlength < 0) return tp__fail(TP_EVALUE, "bincount: a length of %" PRId64, minlength);
    int64_t most;
    const int64_t *p = counted("bincount", x, -1, &most);
    if (!p) return NULL;
    if (most == INT64_MAX)
        return tp__fail(TP_ENOMEM, "bincount: no memory for %" PRId64 " numbers", most);
    const int64_t n = most >= minlength ? most + 1 : minlength;
    tp_tensor *y = tp__new_zeros("bincount", &TP_SHAPE(n), TP_INT64);
    if (!y) return NULL;
    int64_t *const to = tp__ptr(y);
    for (int64_t i = 0; i < x->numel; i++) to[p[i]]++;
    return y;
}
tp_tensor *tp_one_hot(tp_tensor *x, int64_t classes) {
    if (!x) return tp__error_null("one_hot"), NULL;
    int64_t most;
    const int64_t *p = counted("one_hot", x, classes, &most);
    if (!p) return NULL;
    if (x->ndim == TP_MAX_DIM)
        return tp__fail(TP_ESHAPE, "one_hot: the tensor has %d dims already", TP_MAX_DIM);
    if (classes < 1 && most < 0)
        return tp__fail(TP_EVALUE, "one_hot: no elements tell how many classes there are");
    if (classes < 0 && most == INT64_MAX)
        return tp__fail(TP_ENOMEM, "one_hot: no memory for %" PRId64 " classes", most);
    const int64_t C = classes < 0 ? most + 1 : classes;
    tp_shape s = tp__shape(x);
    s.dim[s.ndim++] = C;
    tp_tensor *y = tp__new_zeros("one_hot", &s, TP_INT64);
    for (int64_t i = 0; i < x->numel && y; i++) ((int64_t *)tp__ptr(y))[i * C + p[i]] = 1;
    return y;
}

/* ---- cumsum: n[0] dim ------------------------------------------------------------------------ */

/* Sums along dim from the start or, for the gradient, from the end. */
static tp_tensor *cumsum(tp_tensor *x, int dim, bool from_end) {
    const tp_shape s = tp__shape(x);
    const tp_dtype d = tp__is_float((tp_dtype)x->dtype) ? (tp_dtype)x->dtype : TP_INT64;
    const tp__blocks b = tp__around(x, dim);
    x = tp__contiguous(tp__to(x, d));
    tp_tensor *y = x ? tp__new("cumsum", &s, d) : NULL;
    if (y)
        tp__running_sums(&(tp__sums){.dtype = d,
                                     .outer = b.outer,
                                     .size = b.size,
                                     .inner = b.inner,
                                     .from_end = from_end,
                                     .x = tp__ptr(x),
                                     .y = tp__ptr(y)});
    return y;
}
static tp_tensor *cumsum_forward(tp__call *c) {
    return cumsum(c->in[0], (int)c->u.v.n[0], false);
}
static tp_tensor *cumsum_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    return cumsum(g, (int)c->u.v.n[0], true);
}
static const tp__op op_cumsum = {.name = "cumsum",
                                 .grad_fn = "CumsumBackward0",
                                 .forward = cumsum_forward,
                                 .backward = cumsum_backward};
tp_tensor *tp_cumsum(tp_tensor *x, int dim) {
    if (!x) return tp__error_null("cumsum"), NULL;
    int d;
    if (!tp__axis("cumsum", dim, x->ndim, &d)) return NULL;
    tp__call c = {.op = &op_cumsum, .in = &x, .nin = 1, .u.v.n = {d}};
    return tp__apply(&c);
}

/* ---- flip: n[0] the set of axes -------------------------------------------------------------- */

static tp_tensor *flipped(const tp_tensor *x, uint32_t axes) {
    int64_t stride[TP_MAX_DIM], offset = x->offset;
    for (int d = 0; d < x->ndim; d++) {
        const bool turn = (axes >> d & 1) && x->shape[d] > 1 && x->numel;
        stride[d] = turn ? -x->stride[d] : x->stride[d];
        if (turn) offset += (x->shape[d] - 1) * x->stride[d];
    }
    tp_tensor *v = tp__view(x, x->ndim, x->shape, stride, offset);
    return v ? tp__clone(v) : NULL;
}
static tp_tensor *flip_forward(tp__call *c) {
    return flipped(c->in[0], (uint32_t)c->u.v.n[0]);
}
static tp_tensor *flip_backward(const tp__call *c, tp_tensor *g, int i) {
    (void)i;
    return flipped(g, (uint32_t)c->u.v.n[0]);
}
static const tp__op op_flip = {
    .name = "flip", .grad_fn = "FlipBackward0", .forward = flip_forward, .backward = flip_backward};
tp_tensor *tp_flip(tp_tensor *x, tp_dims dims) {
    if (!x) return tp__error_null("flip"), NULL;
    uint32_t axes = 0;
    if (dims.n && !tp__axes("flip", dims, x->ndim, &axes)) return NULL;
    tp__call c = {.op = &op_flip, .in = &x, .nin = 1, .u.v.n = {axes}};
    return tp__apply(&c);
}
