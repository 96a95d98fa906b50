/* op_sort.c -- order and counting: sort, argsort, topk, unique, bincount, one_hot; cumsum, flip.
 *
 * Every dtype is sorted by one int64 key that orders as the values do, with NaN as the largest, as
 * torch has it. Equal keys keep their order, so results do not depend on how the sort works. */
#include "ops/ops.h"
#include <inttypes.h>
#include <stdlib.h>

typedef struct pair {
    int64_t key, index;
} pair;

static int by_key(const void *a, const void *b) {
    const pair *p = a, *q = b;
    if (p->key != q->key) return p->key < q->key ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

/* The bits of a double, made to order as the doubles do; -0 is 0. */
static int64_t float_key(double v) {
    int64_t bits;
    if (v != v) return INT64_MAX;
    v += 0.0;
    memcpy(&bits, &v, sizeof bits);
    return bits < 0 ? INT64_MIN - bits : bits;
}
static int64_t key_at(const void *p, tp_dtype d, int64_t i) {
    switch (d) {
    case TP_FLOAT32: return float_key((double)((const float *)p)[i]);
    case TP_FLOAT64: return float_key(((const double *)p)[i]);
    case TP_INT64: return ((const int64_t *)p)[i];
    default: return ((const uint8_t *)p)[i];
    }
}

/* The order of n elements `step` apart, as pairs. ~key turns the order around. */
static void order_lane(const void *p, tp_dtype d, int64_t n, int64_t step, bool descending,
                       pair *out) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t key = key_at(p, d, i * step);
        out[i] = (pair){descending ? ~key : key, i};
    }
    qsort(out, (size_t)n, sizeof *out, by_key);
}

/* Room for n pairs, in a scoped tensor. */
static pair *pairs(const char *what, int64_t n, tp_tensor **owner) {
    *owner = tp__new(what, &TP_SHAPE(n, 2), TP_INT64);
    return *owner ? tp__ptr(*owner) : NULL;
}

/* ---- sort, topk: n[0] dim, n[1] flags, n[2] how many stay ------------------------------------ */

/* The first k of the order along dim, of every lane of the dense x: indices into `index`. */
static bool order_lanes(tp__call *c, const tp_tensor *x, tp_tensor *index) {
    const tp__blocks b = tp__around(x, (int)c->u.v.n[0]);
    const int64_t k = c->u.v.n[2], es = tp__size_of((tp_dtype)x->dtype);
    int64_t *to = tp__ptr(index);
    tp_tensor *owner;
    pair *lane = pairs(c->op->name, b.size, &owner);
    for (int64_t o = 0; o < b.outer && lane; o++)
        for (int64_t i = 0; i < b.inner; i++) {
            const char *from = (const char *)tp__ptr(x) + (o * b.size * b.inner + i) * es;
            order_lane(from, (tp_dtype)x->dtype, b.size, b.inner, c->u.v.n[1] & TP_DESCENDING,
                       lane);
            for (int64_t j = 0; j < k; j++) to[(o * k + j) * b.inner + i] = lane[j].index;
        }
    if (lane) tp__drop(owner);
    return lane;
}
/* For every element of `index`, k along dim, copies between its own place in `here` and the place
 * that it names in `there`, which has b.size along dim. */
static void move_lanes(tp__blocks b, int64_t k, const int64_t *index, size_t es, char *here,
                       char *there, bool gather) {
    for (int64_t at = 0; at < b.outer * k * b.inner; at++) {
        const int64_t o = at / (k * b.inner), i = at % b.inner;
        char *p = here + (size_t)at * es;
        char *q = there + (size_t)((o * b.size + index[at]) * b.inner + i) * es;
        memcpy(gather ? p : q, gather ? q : p, es);
    }
}
static tp_tensor *sort_forward(tp__call *c) {
    tp_tensor *x = tp__contiguous(c->in[0]);
    if (!x) return NULL;
    tp_shape s = tp__shape(x);
    if (s.ndim) s.dim[c->u.v.n[0]] = c->u.v.n[2];
    tp_tensor *y = tp__new(c->op->name, &s, (tp_dtype)x->dtype);
    tp_tensor *index = y ? tp__new(c->op->name, &s, TP_INT64) : NULL;
    if (!index || !order_lanes(c, x, index)) return NULL;
    move_lanes(tp__around(x, (int)c->u.v.n[0]), c->u.v.n[2], tp__ptr(index),
               (size_t)tp__size_of((tp_dtype)x->dtype), tp__ptr(y), tp__ptr(x), true);
    c->extra[0] = index;
    return y;
}
static tp_tensor *sort_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_shape s = tp__shape(c->in[i]);
    tp_tensor *gx = tp__new_zeros(c->op->name, &s, (tp_dtype)g->dtype);
    if (!gx || !(g = tp__contiguous(g))) return NULL;
    move_lanes(tp__around(gx, (int)c->u.v.n[0]), c->u.v.n[2], tp__ptr(c->extra[0]),
               (size_t)tp__size_of((tp_dtype)g->dtype), tp__ptr(g), tp__ptr(gx), false);
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
    static const tp__op op_argsort = {.name = "argsort", .forward = sort_forward};
    tp_tensor *index = NULL;
    return sorted(&op_argsort, x, 0, dim, flags, &index) ? index : NULL;
}

/* ---- counting -------------------------------------------------------------------------------- */

/* Is element i of the order another value than the one before? A NaN equals nothing. */
static bool is_new(const pair *all, int64_t i, bool floats) {
    return !i || all[i].key != all[i - 1].key || (floats && all[i].key == INT64_MAX);
}
tp_tensor *tp_unique(tp_tensor *x, tp_tensor **counts) {
    if (!x) return tp__error_null("unique"), NULL;
    tp_tensor *owner, *own = tp__contiguous(x);
    pair *all = own ? pairs("unique", x->numel, &owner) : NULL;
    if (!all) return NULL;
    order_lane(tp__ptr(own), (tp_dtype)x->dtype, x->numel, 1, false, all);
    const bool floats = tp__is_float((tp_dtype)x->dtype);
    int64_t n = 0, k = -1;
    for (int64_t i = 0; i < x->numel; i++) n += is_new(all, i, floats);
    tp_tensor *y = tp__new("unique", &TP_SHAPE(n), (tp_dtype)x->dtype);
    tp_tensor *count = y ? tp__new_zeros("unique", &TP_SHAPE(n), TP_INT64) : NULL;
    if (!count) return NULL;
    const int64_t es = tp__size_of((tp_dtype)x->dtype);
    for (int64_t i = 0; i < x->numel; i++) {
        if (is_new(all, i, floats))
            memcpy((char *)tp__ptr(y) + ++k * es, (char *)tp__ptr(own) + all[i].index * es,
                   (size_t)es);
        ((int64_t *)tp__ptr(count))[k]++;
    }
    if (counts) *counts = count;
    return y;
}

/* x as dense int64, all of it in [0, end); end < 0: any size. The largest goes to *most, or -1. */
static const int64_t *counted(const char *what, tp_tensor *x, int64_t end, int64_t *most) {
    if (tp__is_float((tp_dtype)x->dtype) || x->dtype == TP_BOOL)
        return tp__fail(TP_EDTYPE, "%s: wants int64, not %s", what,
                        tp_dtype_name((tp_dtype)x->dtype));
    tp_tensor *own = tp__contiguous(tp__to(x, TP_INT64));
    if (!own) return NULL;
    const int64_t *p = tp__ptr(own);
    *most = -1;
    for (int64_t i = 0; i < own->numel; i++) {
        if (p[i] < 0 || (end >= 0 && p[i] >= end))
            return tp__fail(TP_EINDEX, "%s: %" PRId64 " at position %" PRId64 " is %s", what, p[i],
                            i, p[i] < 0 ? "negative" : "not below the number of classes");
        if (p[i] > *most) *most = p[i];
    }
    return p;
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
    for (int64_t i = 0; i < x->numel && y; i++) ((int64_t *)tp__ptr(y))[p[i]]++;
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

/* Sums along dim of the dense x into y, from the start or, for the gradient, from the end. Floats
 * are added up in float64, as torch does. */
static void running_sums(const tp_tensor *x, int dim, bool from_end, tp_tensor *y) {
    const tp__blocks b = tp__around(x, dim);
    const tp_dtype d = (tp_dtype)x->dtype;
    for (int64_t lane = 0; lane < b.outer * b.inner; lane++) {
        const int64_t start = lane / b.inner * b.size * b.inner + lane % b.inner;
        double sum = 0;
        uint64_t whole = 0;
        for (int64_t k = 0; k < b.size; k++) {
            const int64_t i = start + (from_end ? b.size - 1 - k : k) * b.inner;
            if (d == TP_FLOAT32)
                ((float *)tp__ptr(y))[i] = (float)(sum += (double)((const float *)tp__ptr(x))[i]);
            else if (d == TP_FLOAT64)
                ((double *)tp__ptr(y))[i] = sum += ((const double *)tp__ptr(x))[i];
            else
                ((int64_t *)tp__ptr(y))[i] =
                    (int64_t)(whole += (uint64_t)((const int64_t *)tp__ptr(x))[i]);
        }
    }
}
static tp_tensor *cumsum(tp_tensor *x, int dim, bool from_end) {
    const tp_shape s = tp__shape(x);
    const tp_dtype d = tp__is_float((tp_dtype)x->dtype) ? (tp_dtype)x->dtype : TP_INT64;
    x = tp__contiguous(tp__to(x, d));
    tp_tensor *y = x ? tp__new("cumsum", &s, d) : NULL;
    if (y) running_sums(x, dim, from_end, y);
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
