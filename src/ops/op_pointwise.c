/* op_pointwise.c -- every row of pointwise.def as a public, differentiable function.
 *
 * The rows differ in the dtype they compute in and in what backward reads; everything else is one
 * forward and one backward for all of them. */
#include "ops/ops.h"
#include <ctype.h>
#include <math.h>

typedef enum kind {
    K_UNARY,
    K_UNARY_FLOAT,
    K_UNARY_NUM,
    K_TEST,
    K_BINARY,
    K_BINARY_NUM,
    K_COMPARE,
    K_BITWISE,
    K_PARAM
} kind;

typedef struct row {
    kind kind;
    uint8_t saves;
    const char *dx[2]; /* the gradients' texts: "g" alone needs no pass */
} row;
static const row rows[TP__PW_COUNT] = {
#define UNARY(name, fn, sv, lo, hi, y, da, doc) [TP__PW_##name] = {K_UNARY, sv, {#da}},
#define UNARY_FLOAT(name, fn, sv, lo, hi, y, da, doc) [TP__PW_##name] = {K_UNARY_FLOAT, sv, {#da}},
#define UNARY_NUM(name, fn, sv, lo, hi, y, da, doc) [TP__PW_##name] = {K_UNARY_NUM, sv, {#da}},
#define TEST(name, y, doc) [TP__PW_##name] = {K_TEST, 0, {0}},
#define BINARY(name, fn, sv, lo, hi, y, da, db, doc) [TP__PW_##name] = {K_BINARY, sv, {#da, #db}},
#define BINARY_NUM(name, fn, sv, lo, hi, y, da, db, doc) \
    [TP__PW_##name] = {K_BINARY_NUM, sv, {#da, #db}},
#define COMPARE(name, y, doc) [TP__PW_##name] = {K_COMPARE, 0, {0}},
#define BITWISE(name, y, doc) [TP__PW_##name] = {K_BITWISE, 0, {0}},
#define PARAM(name, fn, sv, lo, hi, y, da, doc) [TP__PW_##name] = {K_PARAM, sv, {#da}},
#include "kernels/pointwise.def"
    [TP__PW_power] = {K_PARAM, SAVE_A, {"g * p * x"}},
};

/* ---- dtypes and special values --------------------------------------------------------------- */

static bool is_fraction(double v) {
    return isfinite(v) && v != floor(v);
}

/* The dtype that an op computes in, from what its operands promote to. */
static tp_dtype compute_dtype(tp__pw_op op, tp_dtype d, double p, double q) {
    const kind k = rows[op].kind;
    if (TP__LIKELY(tp__is_float(d))) return d;
    if (op == TP__PW_clamp && (is_fraction(p) || is_fraction(q))) return TP_FLOAT32;
    if (d == TP_BOOL && (op == TP__PW_clamp || op == TP__PW_square)) return TP_INT64;
    return k == K_UNARY || k == K_BINARY ? TP_FLOAT32 : d;
}

static bool any_where(tp_tensor *b, bool (*bad)(int64_t v)) {
    tp_tensor *dense = tp__to(b, TP_INT64);
    if (dense) dense = tp__contiguous(dense);
    if (!dense) return false;
    const int64_t *p = tp__ptr(dense);
    bool found = false;
    for (int64_t i = 0; i < dense->numel && !found; i++) found = bad(p[i]);
    return found;
}
static bool is_negative(int64_t v) {
    return v < 0;
}
static bool is_zero(int64_t v) {
    return v == 0;
}

/* What has no answer in integers. b is `given` in the dtype of the computation. */
static bool integers_fit(tp__pw_op op, const char *name, tp_tensor *given, tp_tensor *b) {
    if (op == TP__PW_pow && any_where(given, is_negative))
        return tp_error_set(
                   TP_EVALUE,
                   "pow: integers to a negative integer power are no integers (make one of them "
                   "a float)"),
               false;
    if ((op == TP__PW_remainder || op == TP__PW_floor_divide) && any_where(b, is_zero))
        return tp_error_set(TP_EVALUE, "%s: %s division by zero", name,
                            tp_dtype_name((tp_dtype)b->dtype)),
               false;
    return true;
}

static tp_tensor *no_kernel(const char *name, tp_dtype d) {
    return tp__fail(TP_EDTYPE, "%s: not defined for %s%s", name, tp_dtype_name(d),
                    d == TP_BOOL ? " (tp_to makes numbers of it)" : "");
}

/* As in torch a bool is no number to subtract, not even from a float. */
static bool subtracts_bools(tp_tensor *const *in) {
    return in[0]->dtype == TP_BOOL || in[1]->dtype == TP_BOOL;
}

/* Bounds that an integer dtype can hold. */
static void clip_params(tp_dtype d, double *p, double *q) {
    const double lo = d == TP_UINT8 ? 0 : -0x1p63, hi = d == TP_UINT8 ? 255 : 0x1.fffffffffffffp62;
    *p = fmin(fmax(*p, lo), hi);
    *q = fmin(fmax(*q, lo), hi);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* A new tensor in the shape to which the operands broadcast. */
static tp_tensor *result_of(const char *name, tp_tensor *const *in, int n, tp_dtype d) {
    tp_shape joined;
    if (n == 1 || TP__LIKELY(tp__shape_equal(&in[0]->s, &in[1]->s))) return tp__new_like(in[0], d);
    if (!tp__broadcast(name, &in[0]->s, &in[1]->s, &joined)) return NULL;
    return tp__new(name, &joined, d);
}

static inline tp_tensor *compute(const char *name, tp__pw_op op, tp_tensor *const *in, int n,
                                 double p, double q) {
    const kind k = rows[op].kind;
    const tp_dtype d = compute_dtype(op, tp__result_type(in, n), p, q);
    const tp__pw_fn fn = tp__pw_forward(op, d);
    if (TP__UNLIKELY(!fn)) return no_kernel(name, d);
    if (op == TP__PW_sub && subtracts_bools(in)) return no_kernel(name, TP_BOOL);
    tp_tensor *y = result_of(name, in, n, k == K_TEST || k == K_COMPARE ? TP_BOOL : d);
    if (TP__UNLIKELY(!y)) return NULL;
    tp_tensor *a = tp__to(in[0], d), *b = a && n == 2 ? tp__to(in[1], d) : NULL;
    if (TP__UNLIKELY(!a || (n == 2 && !b))) return NULL;
    if (TP__UNLIKELY(!tp__is_float(d))) {
        if (b && y->numel && !integers_fit(op, name, in[1], b)) return NULL;
        clip_params(d, &p, &q);
    }
    tp__iterate(fn, &y->s, (tp_tensor *[]){y, a, b}, 1 + n, p, q);
    if (TP__UNLIKELY(b && b != in[1])) tp__drop(b);
    if (TP__UNLIKELY(a != in[0])) tp__drop(a);
    return y;
}

/* Which saved values the i-th gradient reads, found in its text once: 0x80 marks an answer. */
static unsigned reads(tp__pw_op op, int i) {
    static _Atomic uint8_t known[TP__PW_COUNT][2];
    unsigned r = atomic_load_explicit(&known[op][i], memory_order_relaxed);
    if (r) return r;
    r = 0x80;
    for (const char *p = rows[op].dx[i]; *p; p++) {
        const char *word = p;
        while (isalnum((unsigned char)*p) || *p == '_') p++;
        if (p - word == 1)
            r |= *word == 'y'                   ? SAVE_Y
                 : *word == 'b'                 ? SAVE_B
                 : *word == 'a' || *word == 'x' ? SAVE_A
                                                : 0;
        if (!*p) break;
    }
    atomic_store_explicit(&known[op][i], (uint8_t)r, memory_order_relaxed);
    return r;
}

#define SAVES(sv)                                                              \
    (((sv)&SAVE_A ? TP__SAVE_IN(0) : 0) | ((sv)&SAVE_B ? TP__SAVE_IN(1) : 0) | \
     ((sv)&SAVE_Y ? TP__SAVE_OUT : 0))

static tp_tensor *pw_forward(tp__call *c) {
    if (c->saves &&
        c->nin == 2) { /* b * 2 saves no b: only the other operand's gradient would read it */
        unsigned needed = 0;
        for (int i = 0; i < 2; i++)
            if (c->in[i]->requires_grad) needed |= reads((tp__pw_op)c->u.v.n[0], i);
        c->saves &= SAVES(needed);
    }
    return compute(c->op->name, (tp__pw_op)c->u.v.n[0], c->in, c->nin, c->u.v.p, c->u.v.q);
}

/* ---- backward -------------------------------------------------------------------------------- */

static tp_tensor *pw_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp__pw_op op = (tp__pw_op)c->u.v.n[0];
    const row *r = &rows[op];
    if (!strcmp(r->dx[i], "g")) return g;
    const tp_dtype d = (tp_dtype)c->out->dtype;
    tp_tensor *gx = tp__new_like(c->out, d), *a = NULL, *b = NULL;
    if (!gx) return NULL;
    if (r->saves & SAVE_A && !(a = tp__to(c->in[0], d))) return NULL;
    if (r->saves & SAVE_B && !(b = tp__to(c->in[1], d))) return NULL;
    tp__iterate(tp__pw_backward(op, i, d), &gx->s,
                (tp_tensor *[]){gx, g, a, b, r->saves & SAVE_Y ? c->out : NULL}, 5, c->u.v.p,
                c->u.v.q);
    return gx;
}

/* ---- the ops and their functions ------------------------------------------------------------- */

#define DIFFERENTIABLE(op, fn, sv)                             \
    static const tp__op op_##op = {.name = #op,                \
                                   .grad_fn = #fn "Backward0", \
                                   .saves = SAVES(sv),         \
                                   .numbers = 1,               \
                                   .forward = pw_forward,      \
                                   .backward = pw_backward};
#define CONSTANT(op) \
    static const tp__op op_##op = {.name = #op, .numbers = 1, .forward = pw_forward};
#define UNARY(name, fn, sv, lo, hi, y, da, doc) DIFFERENTIABLE(name, fn, sv)
#define UNARY_NUM(name, fn, sv, lo, hi, y, da, doc) DIFFERENTIABLE(name, fn, sv)
#define TEST(name, y, doc) CONSTANT(name)
#define BINARY(name, fn, sv, lo, hi, y, da, db, doc) DIFFERENTIABLE(name, fn, sv)
#define BINARY_NUM(name, fn, sv, lo, hi, y, da, db, doc) DIFFERENTIABLE(name, fn, sv)
#define COMPARE(name, y, doc) CONSTANT(name)
#define BITWISE(name, y, doc) CONSTANT(name)
#define PARAM(name, fn, sv, lo, hi, y, da, doc) DIFFERENTIABLE(name, fn, sv)
#include "kernels/pointwise.def"
static const tp__op op_power = {.name = "pow",
                                .grad_fn = "PowBackward0",
                                .saves = TP__SAVE_IN(0),
                                .numbers = 1,
                                .forward = pw_forward,
                                .backward = pw_backward};

static tp_tensor *apply(const tp__op *op, tp__pw_op id, tp_tensor *const *in, int n, double p,
                        double q, const char *grad_fn) {
    tp__call c;
    tp__call_begin(&c, op, in, n);
    c.u.v.p = p;
    c.u.v.q = q;
    c.u.v.n[0] = id;
    return tp__apply_named(&c, grad_fn);
}
static tp_tensor *apply1(const tp__op *op, tp__pw_op id, tp_tensor *x, double p, double q) {
    return apply(op, id, &x, 1, p, q, op->grad_fn);
}
/* A number as exponent takes the short way that torch takes: ^2 is a product, ^0.5 a root. */
static tp_tensor *number_power(tp_tensor *a, tp_tensor *b) {
    tp_tensor *in[2] = {a, b};
    const tp_dtype d = tp__result_type(in, 2);
    const double e = tp_item(b);
    const bool floats = a->dtype == d && tp__is_float(d);
    if (a->dtype == d && e == 2)
        return apply(&op_square, TP__PW_square, in, 1, 0, 0, "PowBackward0");
    if (floats && e == 0.5) return apply(&op_sqrt, TP__PW_sqrt, in, 1, 0, 0, "PowBackward0");
    if (floats && e == -0.5) return apply(&op_rsqrt, TP__PW_rsqrt, in, 1, 0, 0, "PowBackward0");
    if (floats && tp__is_short_power(e))
        return apply(&op_power, TP__PW_power, in, 1, e, 0, "PowBackward0");
    return apply(&op_pow, TP__PW_pow, in, 2, 0, 0, "PowBackward0");
}
/* torch has overloads for numbers, with names of their own. */
static inline const char *grad_fn_of(const tp__op *op, tp__pw_op id, const tp_tensor *a,
                                     const tp_tensor *b) {
    const bool number_first = a && a->weak, number_last = b && b->weak;
    if (id == TP__PW_pow) return "PowBackward1";
    if (id == TP__PW_sub && number_first) return "RsubBackward1";
    if (id == TP__PW_div && number_first) return "MulBackward0"; /* of the reciprocal */
    if (id == TP__PW_remainder && !number_last) return "RemainderBackward1";
    if (id == TP__PW_floor_divide) return "NotImplemented";
    return op->grad_fn;
}
static inline tp_tensor *apply2(const tp__op *op, tp__pw_op id, tp_tensor *a, tp_tensor *b) {
    if (id == TP__PW_pow && a && b && b->weak) return number_power(a, b);
    return apply(op, id, (tp_tensor *[]){a, b}, 2, 0, 0, grad_fn_of(op, id, a, b));
}

/* The functions. */
#define F1(name)                                           \
    tp_tensor *tp_##name(tp_tensor *x) {                   \
        return apply1(&op_##name, TP__PW_##name, x, 0, 0); \
    }
#define F2(name)                                        \
    tp_tensor *tp_##name(tp_tensor *a, tp_tensor *b) {  \
        return apply2(&op_##name, TP__PW_##name, a, b); \
    }
#define UNARY(name, ...) F1(name)
#define UNARY_NUM(name, ...) F1(name)
#define TEST(name, ...) F1(name)
#define BINARY(name, ...) F2(name)
#define BINARY_NUM(name, ...) F2(name)
#define COMPARE(name, ...) F2(name)
#define BITWISE(name, ...) F2(name)
#define PARAM(name, ...) /* below: they take numbers */
#include "kernels/pointwise.def"

/* The elements are there already: the result is x's memory under another name. */
static tp_tensor *same_elements(tp__call *c) {
    tp_tensor *x = c->in[0];
    return tp__view(x, x->ndim, x->shape, x->stride, 0);
}
tp_tensor *tp__relu_of_clipped(tp_tensor *x) {
    static const tp__op done = {.name = "relu",
                                .grad_fn = "ReluBackward0",
                                .saves = TP__SAVE_OUT,
                                .numbers = 1,
                                .forward = same_elements,
                                .backward = pw_backward};
    return x && x->node ? apply1(&done, TP__PW_relu, x, 0, 0) : x;
}

tp_tensor *tp_clamp(tp_tensor *x, double p, double q) {
    const double low = p != p ? -INFINITY : p, high = q != q ? INFINITY : q;
    return apply(&op_clamp, TP__PW_clamp, &x, 1, low, high, "ClampBackward1");
}
tp_tensor *tp_leaky_relu(tp_tensor *x, double p) {
    return apply1(&op_leaky_relu, TP__PW_leaky_relu, x, p, 0);
}
tp_tensor *tp_elu(tp_tensor *x, double p) {
    return apply1(&op_elu, TP__PW_elu, x, p, 0);
}

tp_tensor *tp__pw(tp__pw_op op, tp_tensor *a, tp_tensor *b) {
    const bool two = rows[op].kind == K_BINARY || rows[op].kind == K_BINARY_NUM ||
                     rows[op].kind == K_COMPARE || rows[op].kind == K_BITWISE;
    if (!a || (two && !b)) return NULL;
    return compute("backward", op, (tp_tensor *[]){a, b}, two ? 2 : 1, 0, 0);
}

bool tp__need_float(const char *what, const tp_tensor *x) {
    if (tp__is_float((tp_dtype)x->dtype)) return true;
    tp_error_set(TP_EDTYPE, "%s: wants floats, not %s (tp_to it first)", what,
                 tp_dtype_name((tp_dtype)x->dtype));
    return false;
}

/* ---- where ----------------------------------------------------------------------------------- */

static tp_tensor *choose(const char *what, tp_tensor *cond, tp_tensor *a, tp_tensor *b) {
    const tp_dtype d = tp__result_type((tp_tensor *[]){a, b}, 2);
    tp_shape shape, sc = tp__shape(cond), sa = tp__shape(a), sb = tp__shape(b);
    if (!tp__broadcast(what, &sa, &sb, &shape) || !tp__broadcast(what, &sc, &shape, &shape))
        return NULL;
    tp_tensor *y = tp__new(what, &shape, d);
    tp_tensor *c = y ? tp__to(cond, TP_BOOL) : NULL;
    a = c ? tp__to(a, d) : NULL;
    b = a ? tp__to(b, d) : NULL;
    if (!b) return NULL;
    tp__iterate(tp__pw_forward(TP__PW_where, d), &shape, (tp_tensor *[]){y, c, a, b}, 4, 0, 0);
    return y;
}
static tp_tensor *where_forward(tp__call *c) {
    const tp_dtype d = (tp_dtype)c->in[0]->dtype;
    if (d != TP_BOOL && d != TP_UINT8)
        return tp__fail(TP_EDTYPE, "%s: the condition must be bool, not %s", c->op->name,
                        tp_dtype_name(d));
    return choose(c->op->name, c->in[0], c->in[1], c->in[2]);
}
static tp_tensor *where_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *zero = tp__new_zeros("where", &TP_0D, (tp_dtype)g->dtype);
    if (!zero) return NULL;
    return i == 1 ? choose(c->op->name, c->in[0], g, zero) : choose(c->op->name, c->in[0], zero, g);
}
static const tp__op op_where = {.name = "where",
                                .grad_fn = "WhereBackward0",
                                .saves = TP__SAVE_IN(0),
                                .forward = where_forward,
                                .backward = where_backward};
static const tp__op op_masked_fill = {.name = "masked_fill",
                                      .grad_fn = "MaskedFillBackward0",
                                      .saves = TP__SAVE_IN(0),
                                      .forward = where_forward,
                                      .backward = where_backward};
tp_tensor *tp_where(tp_tensor *cond, tp_tensor *a, tp_tensor *b) {
    tp_tensor *in[3] = {cond, a, b};
    tp__call c = {.op = &op_where, .in = in, .nin = 3};
    return tp__apply(&c);
}

tp_tensor *tp_masked_fill(tp_tensor *x, tp_tensor *mask, double value) {
    if (!x || !mask) return tp__error_null("masked_fill"), NULL;
    tp_tensor *v = tp__scalar("masked_fill", value, (tp_dtype)x->dtype);
    if (!v) return NULL;
    tp_tensor *in[3] = {mask, v, x};
    tp__call c = {.op = &op_masked_fill, .in = in, .nin = 3};
    return tp__apply(&c);
}
