/* fold.c -- reductions over any set of axes, by bringing the data into [outer, red, inner].
 *
 * Axes are taken in the order in which they lie in memory, where that does not change what a
 * reduction finds. If the reduced ones are neighbours then, a tensor without gaps is folded where
 * it lies. Where the last axis is a reduced one, elements are read row by row into a buffer that
 * stays in the cache. Any other tensor is copied first. Sizes of 1 never matter. */
#include "tensor/tensor.h"

typedef struct layout {
    int64_t outer, red, inner;
} layout;

/* The axes of a tensor that are longer than 1, outermost first. */
typedef struct order {
    int n, axis[TP_MAX_DIM];
} order;

/* A tensor's elements in some order, as few axes as strides allow. */
typedef struct walk {
    const char *x;
    tp__pw_fn copy;
    int n;
    int64_t bytes; /* of an element */
    int64_t size[TP_MAX_DIM + 1], stride[TP_MAX_DIM + 1];
} walk;

/* What a reduction reads. */
typedef struct operand {
    layout l;
    tp_dtype dtype;
    const void *x;   /* dense, or NULL: `read` */
    tp_tensor *copy; /* NULL, or what x is part of */
    walk read;
    bool turned; /* results come in another order than that of the axes; then: */
    order kept;
} operand;

int64_t tp__count_axes(const tp_tensor *x, uint32_t axes) {
    int64_t n = 1;
    for (int d = 0; d < x->ndim; d++)
        if (axes >> d & 1) n *= x->shape[d];
    return n;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void add_axis(order *o, int d) {
    o->axis[o->n++] = d;
}

static order axes_of(const tp_tensor *x) {
    order o = {0};
    for (int d = 0; d < x->ndim; d++)
        if (x->shape[d] != 1) add_axis(&o, d);
    return o;
}

/* May axes be taken as they lie in memory? Not where elements repeat, as they lie nowhere, nor
 * where the first of several axes' best is sought. */
static bool may_sort(tp__red_op op, const tp_tensor *x, uint32_t axes, const order *o) {
    int reduced = 0;
    for (int k = 0; k < o->n; k++) {
        if (!x->stride[o->axis[k]]) return false;
        reduced += axes >> o->axis[k] & 1;
    }
    return reduced < 2 || (op != TP__RED_ARGMAX && op != TP__RED_ARGMIN);
}

/* Larger strides first; equal ones stay as they are. */
static void sort_by_stride(const tp_tensor *x, order *o) {
    for (int k = 1; k < o->n; k++) {
        const int d = o->axis[k];
        int to = k;
        for (; to > 0 && x->stride[o->axis[to - 1]] < x->stride[d]; to--)
            o->axis[to] = o->axis[to - 1];
        o->axis[to] = d;
    }
}

/* Are the reduced axes neighbours? Then say how the tensor reads. */
static bool neighbours(const tp_tensor *x, uint32_t axes, const order *o, layout *l) {
    *l = (layout){1, 1, 1};
    int stage = 0; /* 0 before the reduced axes, 1 in them, 2 behind */
    for (int k = 0; k < o->n; k++) {
        const int d = o->axis[k];
        const bool red = axes >> d & 1;
        if (red && stage == 2) return false;
        stage = red ? 1 : stage ? 2 : 0;
        *(stage == 0 ? &l->outer : stage == 1 ? &l->red : &l->inner) *= x->shape[d];
    }
    return true;
}

static bool is_dense(const tp_tensor *x, const order *o) {
    int64_t step = 1;
    for (int k = o->n - 1; k >= 0; k--) {
        if (x->stride[o->axis[k]] != step) return false;
        step *= x->shape[o->axis[k]];
    }
    return true;
}

/* The kept axes as they are numbered, then the reduced ones in the order that they have. */
static order reduced_last(const tp_tensor *x, uint32_t axes, const order *o) {
    order r = {0};
    for (int d = 0; d < x->ndim; d++)
        if (x->shape[d] != 1 && !(axes >> d & 1)) add_axis(&r, d);
    for (int k = 0; k < o->n; k++)
        if (axes >> o->axis[k] & 1) add_axis(&r, o->axis[k]);
    return r;
}

/* ---- elements where they lie ----------------------------------------------------------------- */

static walk walk_over(const tp_tensor *x, const order *o) {
    walk w = {.x = tp__ptr(x),
              .copy = tp__cast((tp_dtype)x->dtype, (tp_dtype)x->dtype),
              .bytes = tp__size_of((tp_dtype)x->dtype)};
    w.size[0] = 1; /* the rows above the last axis, if there are none */
    w.n = 1;
    for (int k = 0; k < o->n; k++) {
        const int64_t size = x->shape[o->axis[k]], stride = x->stride[o->axis[k]] * w.bytes;
        if (w.n > 1 && w.stride[w.n - 1] == size * stride) {
            w.size[w.n - 1] *= size;
            w.stride[w.n - 1] = stride;
            continue;
        }
        w.size[w.n] = size;
        w.stride[w.n++] = stride;
    }
    return w;
}

static const char *place(const walk *w, int64_t row, int64_t col) {
    const char *p = w->x + col * w->stride[w->n - 1];
    for (int k = w->n - 2; k >= 0; k--) {
        p += row % w->size[k] * w->stride[k];
        row /= w->size[k];
    }
    return p;
}

/* As tp__reduce.read: a block of whole rows at a time, or a part of one. */
static const void *read_walk(const void *from, int64_t at, int64_t n, void *to) {
    const walk *w = from;
    const int last = w->n - 1;
    const int64_t cols = w->size[last], step = w->stride[last];
    for (int64_t done = 0, take; done < n; done += take, at += take) {
        const int64_t row = at / cols, col = at % cols, left = n - done;
        const int64_t rows = w->size[last - 1] - row % w->size[last - 1], whole = left / cols;
        const int64_t m = col || !whole ? 1 : whole < rows ? whole : rows;
        const int64_t wide = cols - col < left ? cols - col : left;
        const char *x = place(w, row, col);
        if (wide == n && step == w->bytes) return x;
        union {
            const char *c;
            void *m;
        } in = {x}; /* is only read */
        w->copy(&(tp__pw_block){.m = m,
                                .n = wide,
                                .ptr = {(char *)to + done * w->bytes, in.m},
                                .row = {wide * w->bytes, w->stride[last - 1]},
                                .col = {w->bytes, step}});
        take = m * wide;
    }
    return to;
}

/* Are rows along the last axis worth reading one by one? Not where the rest of a cache line is
 * wanted only later: axes lie as they come, and the last one is long enough or there are only
 * reduced ones. */
static bool reads_well(const tp_tensor *x, uint32_t axes, const order *o) {
    enum { LINE = 64 };
    bool all = true;
    for (int k = 0; k < o->n; k++) {
        all &= axes >> o->axis[k] & 1;
        if (k && x->stride[o->axis[k]] > x->stride[o->axis[k - 1]]) return false;
    }
    if (all) return true;
    if (!(axes >> o->axis[o->n - 1] & 1)) return false;
    const order last = reduced_last(x, axes, o);
    const walk w = walk_over(x, &last);
    return w.size[w.n - 1] * w.stride[w.n - 1] >= LINE;
}

/* ---- the operand ----------------------------------------------------------------------------- */

/* A dense copy of x with its axes in that order. */
static tp_tensor *copy_in(const tp_tensor *x, const order *o) {
    int64_t shape[TP_MAX_DIM], stride[TP_MAX_DIM];
    for (int k = 0; k < o->n; k++) {
        shape[k] = x->shape[o->axis[k]];
        stride[k] = x->stride[o->axis[k]];
    }
    tp_tensor *v = tp__view(x, o->n, shape, stride, x->offset);
    tp_tensor *c = tp__clone(v);
    if (v) tp__drop(v);
    return c;
}

/* What is kept of an order, and whether that is not how axes are numbered. */
static void keep(operand *s, const order *o, uint32_t axes) {
    s->kept = (order){0};
    s->turned = false;
    for (int k = 0; k < o->n; k++) {
        if (axes >> o->axis[k] & 1) continue;
        s->turned |= s->kept.n && o->axis[k] < s->kept.axis[s->kept.n - 1];
        add_axis(&s->kept, o->axis[k]);
    }
}

/* false: no memory for a copy. */
static bool prepare(operand *s, tp__red_op op, tp_tensor *x, uint32_t axes) {
    s->dtype = (tp_dtype)x->dtype;
    s->copy = NULL;
    s->turned = false;
    s->x = tp__ptr(x);
    if (!x->numel || (x->dense && axes + 1 == 1u << x->ndim)) { /* nothing to sort out */
        s->l = (layout){x->numel != 0, x->numel, 1};
        return true;
    }
    order o = axes_of(x);
    if (!x->dense && may_sort(op, x, axes, &o)) sort_by_stride(x, &o);
    const bool together = neighbours(x, axes, &o, &s->l);
    if (together && is_dense(x, &o)) {
        keep(s, &o, axes);
        return true;
    }
    const bool reads = reads_well(x, axes, &o);
    if (reads || !together) {
        const int64_t red = tp__count_axes(x, axes);
        s->l = (layout){x->numel / red, red, 1};
        o = reduced_last(x, axes, &o);
    }
    keep(s, &o, axes);
    if (reads) {
        s->x = NULL;
        s->read = walk_over(x, &o);
        return true;
    }
    s->copy = copy_in(x, &o);
    if (s->copy) s->x = tp__ptr(s->copy);
    return s->copy;
}

static tp__reduce job(tp__red_op op, const operand *s, const tp_tensor *out) {
    return (tp__reduce){.op = op,
                        .dtype = s->dtype,
                        .outer = s->l.red ? s->l.outer : out->numel,
                        .red = s->l.red,
                        .inner = s->l.inner,
                        .x = s->x,
                        .out = tp__ptr(out),
                        .read = s->x || !s->l.red ? NULL : read_walk,
                        .from = &s->read};
}

static tp_tensor *fold_into(tp_tensor *out, tp__reduce *r) {
    const size_t bytes = tp__reduce_workspace(r);
    void *work = bytes ? tp__alloc(bytes) : NULL;
    if (bytes && !work) return NULL;
    tp__reduce_run(r, work);
    tp__free(work, bytes);
    return out;
}

/* Where results of the operand go: `out`, or what is turned into it after. */
static tp_tensor *place_for(const char *what, tp_tensor *out, const operand *s) {
    return s->turned ? tp__new(what, &TP_SHAPE(out->numel), (tp_dtype)out->dtype) : out;
}

/* out from y, whose axes come in the order in which they were kept of x; y is given back. */
static tp_tensor *turn_back(tp_tensor *out, tp_tensor *y, const operand *s, const tp_tensor *x,
                            uint32_t axes) {
    if (y == out) return out;
    int64_t of[TP_MAX_DIM] = {0}, stride[TP_MAX_DIM] = {0}, step = 1;
    for (int k = s->kept.n - 1; k >= 0; k--) {
        of[s->kept.axis[k]] = step;
        step *= x->shape[s->kept.axis[k]];
    }
    const bool all = out->ndim == x->ndim;
    for (int d = 0, k = 0; d < x->ndim; d++)
        if (all || !(axes >> d & 1)) stride[k++] = of[d];
    tp_tensor *v = tp__view(y, out->ndim, out->shape, stride, 0);
    if (!v) return NULL;
    tp__copy(out, v);
    tp__drop(v);
    tp__drop(y);
    return out;
}

/* ---- reductions ------------------------------------------------------------------------------ */

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

tp_tensor *tp__fold(const char *what, tp__red_op op, tp_tensor *x, uint32_t axes, bool keepdim) {
    if (!x) return NULL;
    const tp_shape s = tp__reduced_shape(x, axes, keepdim);
    tp_tensor *out = tp__new(what, &s, result_dtype(op, (tp_dtype)x->dtype));
    operand from;
    if (!out || !prepare(&from, op, x, axes)) return NULL;
    tp_tensor *y = place_for(what, out, &from);
    if (!y) return NULL;
    tp__reduce r = job(op, &from, y);
    y = fold_into(y, &r);
    out = y ? turn_back(out, y, &from, x, axes) : NULL;
    if (from.copy) tp__drop(from.copy);
    return out;
}

/* The mean of each group in float64. */
static tp_tensor *means(const operand *s) {
    tp_tensor *m = tp__new("mean", &TP_SHAPE(s->l.outer, s->l.inner), TP_FLOAT64);
    if (!m) return NULL;
    tp__reduce r = job(TP__RED_SUM64, s, m);
    if (!fold_into(m, &r)) return NULL;
    double *p = tp__ptr(m);
    for (int64_t i = 0; i < m->numel; i++) p[i] /= (double)s->l.red;
    return m;
}

tp_tensor *tp__fold_sqdev(const char *what, tp_tensor *x, uint32_t axes, bool keepdim) {
    const tp_shape s = tp__reduced_shape(x, axes, keepdim);
    tp_tensor *out = tp__new(what, &s, (tp_dtype)x->dtype);
    if (!out) return NULL;
    if (x->numel == 0) return tp__fill(out, 0), out;
    const tp_scope scope = tp_scope_begin();
    operand from;
    tp_tensor *m = prepare(&from, TP__RED_SUMSQDEV, x, axes) ? means(&from) : NULL;
    tp_tensor *y = m ? place_for(what, out, &from) : NULL;
    if (y) {
        tp__reduce r = job(TP__RED_SUMSQDEV, &from, y);
        r.aux = tp__ptr(m);
        y = fold_into(y, &r);
    }
    out = y ? turn_back(out, y, &from, x, axes) : NULL;
    tp_scope_end(scope);
    return out;
}

/* ---- sums of what is made of two tensors ----------------------------------------------------- */

typedef struct difference {
    tp__pw_fn sub, of;
    char *a, *b;
    int64_t bytes;
} difference;

/* As tp__reduce.read: of(a - b). */
static const void *read_difference(const void *from, int64_t at, int64_t n, void *to) {
    const difference *d = from;
    const int64_t k = d->bytes;
    d->sub(&(tp__pw_block){.m = 1,
                           .n = n,
                           .ptr = {to, d->a + at * k, d->b + at * k},
                           .col = {k, k, k},
                           .dense = true});
    d->of(&(tp__pw_block){.m = 1, .n = n, .ptr = {to, to}, .col = {k, k}, .dense = true});
    return to;
}

tp_tensor *tp__sum_of_difference(const char *what, tp__pw_op of, tp_tensor *a, tp_tensor *b) {
    tp_tensor *out = a && b ? tp__new(what, &TP_0D, (tp_dtype)a->dtype) : NULL;
    tp_tensor *da = out ? tp__contiguous(a) : NULL, *db = da ? tp__contiguous(b) : NULL;
    if (!db) return NULL;
    const tp_dtype dtype = (tp_dtype)a->dtype;
    const difference d = {.sub = tp__pw_forward(TP__PW_sub, dtype),
                          .of = tp__pw_forward(of, dtype),
                          .a = tp__ptr(da),
                          .b = tp__ptr(db),
                          .bytes = tp__size_of(dtype)};
    tp__reduce r = {.op = TP__RED_SUM,
                    .dtype = dtype,
                    .outer = 1,
                    .red = a->numel,
                    .inner = 1,
                    .out = tp__ptr(out),
                    .read = read_difference,
                    .from = &d};
    out = fold_into(out, &r);
    if (db != b) tp__drop(db);
    if (da != a) tp__drop(da);
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
