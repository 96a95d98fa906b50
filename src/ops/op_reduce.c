/* op_reduce.c -- reductions: sum, mean, prod, var, std, max, min, argmax, argmin, any, all.
 *
 * Forward folds the axes; backward spreads the gradient back over them. u.v.n: [0] the set of axes,
 * [1] flags, [2] which of two ops, [3] the axis of max_dim and min_dim. */
#include "ops/ops.h"
#include <math.h>

enum { NUMBERS = 4 };

static void begin(tp__call *c, const tp__op *op, tp_tensor **x, uint32_t axes, int flags) {
    tp__call_begin(c, op, x, 1);
    c->u.v.n[0] = axes;
    c->u.v.n[1] = flags;
    c->u.v.n[2] = c->u.v.n[3] = 0;
}
static uint32_t axes_of(const tp__call *c) {
    return (uint32_t)c->u.v.n[0];
}
static bool keeps(const tp__call *c) {
    return c->u.v.n[1] & TP_KEEPDIM;
}
static uint32_t every_axis(const tp_tensor *x) {
    return (1u << x->ndim) - 1;
}

tp_tensor *tp__spread(tp_tensor *g, const tp_tensor *like, uint32_t axes) {
    if (!g) return NULL;
    int64_t stride[TP_MAX_DIM];
    int k = 0; /* axis of g */
    for (int d = 0; d < like->ndim; d++) {
        const bool reduced = axes >> d & 1;
        stride[d] = reduced ? 0 : g->stride[k];
        k += !reduced || g->ndim == like->ndim;
    }
    return tp__view(g, like->ndim, like->shape, stride, g->offset);
}

static tp_tensor *divided(tp_tensor *x, double n) {
    if (!x) return NULL;
    tp_tensor *d = tp_scalar(n, (tp_dtype)x->dtype);
    return d ? tp__pw(TP__PW_div, x, d) : NULL;
}

/* ---- sum, mean, prod ------------------------------------------------------------------------- */

static tp_tensor *sum_forward(tp__call *c) {
    return tp__fold("sum", TP__RED_SUM, c->in[0], axes_of(c), keeps(c));
}
static tp_tensor *sum_backward(const tp__call *c, tp_tensor *g, int i) {
    return tp__spread(g, c->in[i], axes_of(c));
}
static const tp__op op_sum = {.name = "sum",
                              .grad_fn = "SumBackward0",
                              .numbers = NUMBERS,
                              .forward = sum_forward,
                              .backward = sum_backward};

static tp_tensor *mean_forward(tp__call *c) {
    tp_tensor *s = tp__fold("mean", TP__RED_SUM, c->in[0], axes_of(c), keeps(c));
    tp_tensor *y = divided(s, (double)tp__count_axes(c->in[0], axes_of(c)));
    if (y) tp__drop(s);
    return y;
}
static tp_tensor *mean_backward(const tp__call *c, tp_tensor *g, int i) {
    return tp__spread(divided(g, (double)tp__count_axes(c->in[i], axes_of(c))), c->in[i],
                      axes_of(c));
}
static const tp__op op_mean = {.name = "mean",
                               .grad_fn = "MeanBackward0",
                               .numbers = NUMBERS,
                               .forward = mean_forward,
                               .backward = mean_backward};

static tp_tensor *prod_forward(tp__call *c) {
    return tp__fold("prod", TP__RED_PROD, c->in[0], axes_of(c), keeps(c));
}
/* The product of the others in a group where there may be zeros: those are made ones, and only a
 * group's single zero has other than 0. */
static tp_tensor *others_of_zeros(tp_tensor *x, uint32_t axes) {
    const tp_dtype d = (tp_dtype)x->dtype;
    tp_tensor *zero = tp_scalar(0, d);
    tp_tensor *is0 = zero ? tp__to(tp__pw(TP__PW_eq, x, zero), d) : NULL;
    tp_tensor *filled = is0 ? tp__pw(TP__PW_add, x, is0) : NULL; /* zeros are ones now */
    tp_tensor *zeros = filled ? tp__fold("prod", TP__RED_SUM, is0, axes, true) : NULL;
    tp_tensor *others =
        zeros ? tp__pw(TP__PW_div, tp__fold("prod", TP__RED_PROD, filled, axes, true), filled)
              : NULL;
    if (!others) return NULL;
    tp_tensor *left = tp__pw(TP__PW_sub, zeros, is0); /* zeros among the others */
    tp_tensor *alive = left ? tp__to(tp__pw(TP__PW_eq, left, zero), d) : NULL;
    return tp__pw(TP__PW_mul, others, alive);
}
/* d prod / d x[i] is the product of the others: prod / x[i], but where there is a zero. */
static tp_tensor *prod_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *x = c->in[i];
    const uint32_t axes = axes_of(c);
    const tp_tensor *all = tp__fold("prod", TP__RED_ALL, x, every_axis(x), false);
    if (!all) return NULL;
    tp_tensor *others = *(const uint8_t *)tp__ptr(all)
                            ? tp__pw(TP__PW_div, tp__fold("prod", TP__RED_PROD, x, axes, true), x)
                            : others_of_zeros(x, axes);
    return others ? tp__pw(TP__PW_mul, others, tp__spread(g, x, axes)) : NULL;
}
static const tp__op op_prod = {.name = "prod",
                               .grad_fn = "ProdBackward0",
                               .saves = TP__SAVE_IN(0),
                               .numbers = NUMBERS,
                               .forward = prod_forward,
                               .backward = prod_backward};

static tp_tensor *over(const tp__op *op, tp_tensor *x, tp_dims dims, int flags,
                       const char *grad_fn) {
    if (!x) return tp__error_null(op->name), NULL;
    uint32_t axes;
    if (!tp__axes(op->name, dims, x->ndim, &axes)) return NULL;
    tp__call c;
    begin(&c, op, &x, axes, flags);
    return tp__apply_named(&c, grad_fn);
}
static tp_tensor *over_all(const tp__op *op, tp_tensor *x, int flags, const char *grad_fn) {
    return over(op, x, (tp_dims){0}, flags, grad_fn);
}
static bool can_average(const char *what, const tp_tensor *x) {
    return !x || tp__need_float(what, x);
}

tp_tensor *tp_sum(tp_tensor *x) {
    return over_all(&op_sum, x, 0, "SumBackward0");
}
tp_tensor *tp_sum_dim(tp_tensor *x, tp_dims dims, int flags) {
    return over(&op_sum, x, dims, flags, "SumBackward1");
}
tp_tensor *tp_mean(tp_tensor *x) {
    return can_average("mean", x) ? over_all(&op_mean, x, 0, "MeanBackward0") : NULL;
}
tp_tensor *tp_mean_dim(tp_tensor *x, tp_dims dims, int flags) {
    return can_average("mean", x) ? over(&op_mean, x, dims, flags, "MeanBackward1") : NULL;
}
tp_tensor *tp_prod(tp_tensor *x) {
    return over_all(&op_prod, x, 0, "ProdBackward0");
}
tp_tensor *tp_prod_dim(tp_tensor *x, int dim, int flags) {
    return over(&op_prod, x, TP_DIMS(dim), flags, "ProdBackward1");
}

/* ---- var, std -------------------------------------------------------------------------------- */

static double degrees(const tp__call *c) {
    const double n =
        (double)tp__count_axes(c->in[0], axes_of(c)) - (c->u.v.n[1] & TP_BIASED ? 0 : 1);
    return n > 0 ? n : 0;
}
static tp_tensor *var_forward(tp__call *c) {
    tp_tensor *s = tp__fold_sqdev("var", c->in[0], axes_of(c), keeps(c));
    tp_tensor *v = divided(s, degrees(c));
    return v && c->u.v.n[2] ? tp__pw(TP__PW_sqrt, v, NULL) : v;
}
/* var: 2 (x - mean) / degrees * g; std: that / (2 std). */
static tp_tensor *var_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *x = c->in[i];
    const uint32_t axes = axes_of(c);
    tp_tensor *m =
        divided(tp__fold("var", TP__RED_SUM, x, axes, true), (double)tp__count_axes(x, axes));
    tp_tensor *centred = m ? tp__pw(TP__PW_sub, x, m) : NULL;
    if (!centred) return NULL;
    if (c->u.v.n[2]) /* all elements equal: 0, as in torch */
        g = tp_masked_fill(tp__pw(TP__PW_div, g, c->out), tp__pw(TP__PW_eq, c->out, tp_num_int(0)),
                           0);
    if (!g) return NULL;
    return tp__pw(TP__PW_mul, centred,
                  tp__spread(divided(g, degrees(c) / (c->u.v.n[2] ? 1 : 2)), x, axes));
}
static const tp__op op_var = {.name = "var",
                              .grad_fn = "VarBackward0",
                              .saves = TP__SAVE_IN(0),
                              .numbers = NUMBERS,
                              .forward = var_forward,
                              .backward = var_backward};
static const tp__op op_std = {.name = "std",
                              .grad_fn = "StdBackward0",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_OUT,
                              .numbers = NUMBERS,
                              .forward = var_forward,
                              .backward = var_backward};

static tp_tensor *spread_of(const tp__op *op, tp_tensor *x, tp_dims dims, int flags) {
    if (!x) return tp__error_null(op->name), NULL;
    uint32_t axes;
    if (!can_average(op->name, x) || !tp__axes(op->name, dims, x->ndim, &axes)) return NULL;
    tp__call c;
    begin(&c, op, &x, axes, flags);
    c.u.v.n[2] = op == &op_std;
    return tp__apply(&c);
}
tp_tensor *tp_var(tp_tensor *x, int flags) {
    return spread_of(&op_var, x, (tp_dims){0}, flags);
}
tp_tensor *tp_var_dim(tp_tensor *x, tp_dims dims, int flags) {
    return spread_of(&op_var, x, dims, flags);
}
tp_tensor *tp_std(tp_tensor *x, int flags) {
    return spread_of(&op_std, x, (tp_dims){0}, flags);
}
tp_tensor *tp_std_dim(tp_tensor *x, tp_dims dims, int flags) {
    return spread_of(&op_std, x, dims, flags);
}

/* ---- norm ------------------------------------------------------------------------------------ */

static tp_tensor *norm_forward(tp__call *c) {
    tp_tensor *x = c->in[0];
    return tp__pw(TP__PW_sqrt, tp__fold("norm", TP__RED_SUMSQ, x, every_axis(x), false), NULL);
}
/* x / norm * g; 0 where the norm is 0, as in torch. */
static tp_tensor *norm_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *unit = tp__pw(TP__PW_div, c->in[i], c->out);
    tp_tensor *zero = unit ? tp__pw(TP__PW_eq, c->out, tp_num_int(0)) : NULL;
    return zero ? tp__pw(TP__PW_mul, tp_masked_fill(unit, zero, 0), g) : NULL;
}
static const tp__op op_norm = {.name = "norm",
                               .grad_fn = "NormBackward1",
                               .saves = TP__SAVE_IN(0) | TP__SAVE_OUT,
                               .forward = norm_forward,
                               .backward = norm_backward};
tp_tensor *tp_norm(tp_tensor *x) {
    return can_average("norm", x) ? over_all(&op_norm, x, 0, "NormBackward1") : NULL;
}

/* ---- max, min -------------------------------------------------------------------------------- */

static bool nothing_to_find(const char *what, const tp_tensor *x, uint32_t axes) {
    if (tp__count_axes(x, axes)) return false;
    tp_error_set(TP_ESHAPE, "%s: there is no %s of no elements", what, what);
    return true;
}

/* Over everything: equals, or all NaN, share the gradient evenly. */
static tp_tensor *extreme_forward(tp__call *c) {
    if (nothing_to_find(c->op->name, c->in[0], axes_of(c))) return NULL;
    return tp__fold(c->op->name, c->u.v.n[2] ? TP__RED_MIN : TP__RED_MAX, c->in[0], axes_of(c),
                    keeps(c));
}
static tp_tensor *extreme_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *x = c->in[i], *hit = tp_logical_or(tp_eq(x, c->out), tp_isnan(x));
    tp_tensor *count = tp_to(tp_sum(hit), (tp_dtype)x->dtype);
    return tp_where(hit, tp_div(g, count), tp_num(0)); /* an infinite g is no NaN elsewhere */
}
static const tp__op op_max = {.name = "max",
                              .grad_fn = "MaxBackward1",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_OUT,
                              .numbers = NUMBERS,
                              .forward = extreme_forward,
                              .backward = extreme_backward};
static const tp__op op_min = {.name = "min",
                              .grad_fn = "MinBackward1",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_OUT,
                              .numbers = NUMBERS,
                              .forward = extreme_forward,
                              .backward = extreme_backward};

static tp_tensor *extreme(const tp__op *op, tp_tensor *x) {
    if (!x) return tp__error_null(op->name), NULL;
    tp__call c;
    begin(&c, op, &x, every_axis(x), 0);
    c.u.v.n[2] = op == &op_min;
    return tp__apply(&c);
}
tp_tensor *tp_max(tp_tensor *x) {
    return extreme(&op_max, x);
}
tp_tensor *tp_min(tp_tensor *x) {
    return extreme(&op_min, x);
}

/* Along one axis: the values at the indices of the first extremes. n[3] is the axis. extra[0]:
 * indices with the axis kept. */
static tp_tensor *extreme_dim_forward(tp__call *c) {
    const bool least = c->u.v.n[2];
    if (nothing_to_find(c->op->name, c->in[0], axes_of(c))) return NULL;
    c->extra[0] =
        tp__fold(c->op->name, least ? TP__RED_ARGMIN : TP__RED_ARGMAX, c->in[0], axes_of(c), true);
    if (!c->extra[0]) return NULL;
    return tp__fold(c->op->name, least ? TP__RED_MIN : TP__RED_MAX, c->in[0], axes_of(c), keeps(c));
}
static tp_tensor *extreme_dim_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_tensor *x = c->in[i];
    const tp_shape s = tp__shape(x), kept = tp__shape(c->extra[0]);
    tp_tensor *gx = tp__new_zeros("max", &s, (tp_dtype)x->dtype);
    tp_tensor *gk = gx ? tp__reshaped(g, &kept) : NULL;
    if (!gk || !(gk = tp__contiguous(gk))) return NULL;
    const int dim = (int)c->u.v.n[3];
    const int64_t inner = x->ndim ? gx->stride[dim] : 1, size = x->ndim ? x->shape[dim] : 1;
    const int64_t *index = tp__ptr(c->extra[0]);
    const size_t es = (size_t)tp_dtype_size((tp_dtype)x->dtype);
    for (int64_t k = 0; k < gk->numel; k++) {
        const int64_t to = (k / inner * size + index[k]) * inner + k % inner;
        memcpy((char *)tp__ptr(gx) + (size_t)to * es, (char *)tp__ptr(gk) + (size_t)k * es, es);
    }
    return gx;
}
static const tp__op op_max_dim = {.name = "max",
                                  .grad_fn = "MaxBackward0",
                                  .numbers = NUMBERS,
                                  .forward = extreme_dim_forward,
                                  .backward = extreme_dim_backward};
static const tp__op op_min_dim = {.name = "min",
                                  .grad_fn = "MinBackward0",
                                  .numbers = NUMBERS,
                                  .forward = extreme_dim_forward,
                                  .backward = extreme_dim_backward};

static tp_tensor *extreme_dim(const tp__op *op, tp_tensor *x, int dim, int flags,
                              tp_tensor **index) {
    if (!x) return tp__error_null(op->name), NULL;
    int d;
    if (!tp__axis(op->name, dim, x->ndim, &d)) return NULL;
    tp__call c;
    begin(&c, op, &x, x->ndim ? 1u << d : 0, flags);
    c.u.v.n[2] = op == &op_min_dim;
    c.u.v.n[3] = d;
    tp_tensor *y = tp__apply(&c);
    if (!y || !index) return y;
    const tp_shape s = tp__shape(y);
    *index = tp__reshaped(c.extra[0], &s);
    return *index ? y : NULL;
}
tp_tensor *tp_max_dim(tp_tensor *x, int dim, int flags, tp_tensor **index) {
    return extreme_dim(&op_max_dim, x, dim, flags, index);
}
tp_tensor *tp_min_dim(tp_tensor *x, int dim, int flags, tp_tensor **index) {
    return extreme_dim(&op_min_dim, x, dim, flags, index);
}

/* ---- argmax, argmin, any, all: no gradient --------------------------------------------------- */

static tp_tensor *constant_forward(tp__call *c) {
    const tp__red_op op = (tp__red_op)c->u.v.n[2];
    const bool arg = op == TP__RED_ARGMAX || op == TP__RED_ARGMIN;
    if (arg && nothing_to_find(c->op->name, c->in[0], axes_of(c))) return NULL;
    return tp__fold(c->op->name, op, c->in[0], axes_of(c), keeps(c));
}
static const tp__op op_argmax = {.name = "argmax", .numbers = NUMBERS, .forward = constant_forward};
static const tp__op op_argmin = {.name = "argmin", .numbers = NUMBERS, .forward = constant_forward};
static const tp__op op_any = {.name = "any", .numbers = NUMBERS, .forward = constant_forward};
static const tp__op op_all = {.name = "all", .numbers = NUMBERS, .forward = constant_forward};

static tp_tensor *constant(const tp__op *op, tp__red_op red, tp_tensor *x, bool all, int dim,
                           int flags) {
    if (!x) return tp__error_null(op->name), NULL;
    int d = 0;
    if (!all && !tp__axis(op->name, dim, x->ndim, &d)) return NULL;
    tp__call c;
    begin(&c, op, &x, all || !x->ndim ? every_axis(x) : 1u << d, flags);
    c.u.v.n[2] = red;
    return tp__apply(&c);
}
#define CONSTANT(name, red)                                        \
    tp_tensor *tp_##name(tp_tensor *x) {                           \
        return constant(&op_##name, red, x, true, 0, 0);           \
    }                                                              \
    tp_tensor *tp_##name##_dim(tp_tensor *x, int dim, int flags) { \
        return constant(&op_##name, red, x, false, dim, flags);    \
    }
CONSTANT(argmax, TP__RED_ARGMAX)
CONSTANT(argmin, TP__RED_ARGMIN)
CONSTANT(any, TP__RED_ANY)
CONSTANT(all, TP__RED_ALL)
