/* op_loss.c -- losses. Each is a mean over the batch and gives one number.
 *
 * cross_entropy is one fused pass each way; the others are built from ops, inside one tape entry
 * where torch has one. */
#include "ops/ops.h"
#include <inttypes.h>
#include <math.h>

static bool same_shape(const char *what, const tp_tensor *a, const char *nb, const tp_tensor *b) {
    const tp_shape sa = tp__shape(a), sb = tp__shape(b);
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (tp__shape_equal(&sa, &sb)) return true;
    tp_error_set(TP_ESHAPE, "%s: the input is %s but the %s %s; they must be equal", what,
                 tp__shape_text(&sa, ta), nb, tp__shape_text(&sb, tb));
    return false;
}

/* ---- l1, mse --------------------------------------------------------------------------------- */

tp_tensor *tp_l1_loss(tp_tensor *a, tp_tensor *b) {
    if (!a || !b) return tp__error_null("l1_loss"), NULL;
    if (!same_shape("l1_loss", a, "target", b)) return NULL;
    return tp_mean(tp_abs(tp_sub(a, b)));
}

static tp_tensor *mean_of(tp_tensor *x) {
    tp_tensor *s = x ? tp__fold("loss", TP__RED_SUM, x, (1u << x->ndim) - 1, false) : NULL;
    tp_tensor *n = s ? tp_scalar((double)x->numel, (tp_dtype)s->dtype) : NULL;
    return n ? tp__pw(TP__PW_div, s, n) : NULL;
}
static tp_tensor *mse_forward(tp__call *c) {
    tp_tensor *d = tp__pw(TP__PW_sub, c->in[0], c->in[1]);
    if (d && !tp__need_float("mse_loss", d)) return NULL;
    return mean_of(tp__pw(TP__PW_square, d, NULL));
}
/* +-2 (a - b) / n * g */
static tp_tensor *mse_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *d = tp__pw(TP__PW_sub, c->in[i], c->in[1 - i]);
    tp_tensor *k = d ? tp_scalar(2.0 / (double)d->numel, (tp_dtype)d->dtype) : NULL;
    return tp__pw(TP__PW_mul, d, k ? tp__pw(TP__PW_mul, g, k) : NULL);
}
static const tp__op op_mse = {.name = "mse_loss",
                              .grad_fn = "MseLossBackward0",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_IN(1),
                              .forward = mse_forward,
                              .backward = mse_backward};
tp_tensor *tp_mse_loss(tp_tensor *a, tp_tensor *b) {
    if (!a || !b) return tp__error_null("mse_loss"), NULL;
    if (!same_shape("mse_loss", a, "target", b)) return NULL;
    tp_tensor *in[2] = {a, b};
    tp__call c = {.op = &op_mse, .in = in, .nin = 2};
    return tp__apply(&c);
}

/* ---- cross entropy --------------------------------------------------------------------------- */

/* target as a dense int64 [N] with every value in [0, C); its handle, or NULL with an error. */
static tp_tensor *class_targets(const char *what, const tp_tensor *x, tp_tensor *t) {
    static tp__sig sig = TP__SIG("input[N, C] target[N] -> [N]");
    tp_shape s;
    if (t->ndim == 2 && t->shape[1] == 1) t = tp__reshaped(t, &TP_SHAPE(t->shape[0]));
    if (!t) return NULL;
    union {
        const tp_tensor *c;
        tp_tensor *m;
    } in = {x};
    if (!tp__sig_infer(what, &sig, (tp_tensor *[]){in.m, t}, 2, &s)) return NULL;
    if (t->dtype != TP_INT64)
        return tp__fail(TP_EDTYPE, "%s: targets are class numbers, int64, not %s", what,
                        tp_dtype_name((tp_dtype)t->dtype));
    if (!(t = tp__contiguous(t))) return NULL;
    const int64_t *p = tp__ptr(t), C = x->shape[1];
    for (int64_t i = 0; i < t->numel; i++)
        if (p[i] < 0 || p[i] >= C)
            return tp__fail(TP_EINDEX,
                            "%s: target %" PRId64 " at row %" PRId64 " is not one of the %" PRId64
                            " classes",
                            what, p[i], i, C);
    return t;
}

static tp_tensor *cross_entropy_forward(tp__call *c) {
    tp_tensor *t = class_targets("cross_entropy", c->in[0], c->in[1]);
    tp_tensor *x = t && tp__need_float("cross_entropy", c->in[0]) ? tp__contiguous(c->in[0]) : NULL;
    if (!x) return NULL;
    const tp_dtype d = (tp_dtype)x->dtype;
    const int64_t N = x->shape[0], C = x->shape[1];
    tp_tensor *loss = tp__new("cross_entropy", &TP_SHAPE(N), d),
              *lse = tp__new("cross_entropy", &TP_SHAPE(N), d);
    if (!loss || !lse) return NULL;
    if (N) tp__cross_entropy(d, tp__ptr(x), tp__ptr(t), tp__ptr(loss), tp__ptr(lse), N, C);
    c->extra[0] = lse;
    c->extra[1] = t;
    return mean_of(loss);
}
static tp_tensor *cross_entropy_backward(const tp__call *c, tp_tensor *g, int i) {
    if (i != 0) return tp__fail(TP_EGRAD, "class numbers have no gradient");
    tp_tensor *x = tp__contiguous(c->in[0]);
    if (!x) return NULL;
    const tp_dtype d = (tp_dtype)x->dtype;
    const tp_shape s = tp__shape(x);
    const int64_t N = x->shape[0], C = x->shape[1];
    tp_tensor *gx = tp__new("cross_entropy", &s, d), *n = tp_scalar((double)N, d);
    tp_tensor *each = n ? tp__pw(TP__PW_div, g, n) : NULL;
    if (!gx || !each) return NULL;
    if (N)
        tp__cross_entropy_backward(d, tp__ptr(x), tp__ptr(c->extra[1]), tp__ptr(c->extra[0]),
                                   tp__ptr(each), 0, tp__ptr(gx), N, C);
    return gx;
}
static const tp__op op_cross_entropy = {.name = "cross_entropy",
                                        .grad_fn = "NllLossBackward0",
                                        .saves = TP__SAVE_IN(0),
                                        .forward = cross_entropy_forward,
                                        .backward = cross_entropy_backward};
tp_tensor *tp_cross_entropy(tp_tensor *logits, tp_tensor *target) {
    tp_tensor *in[2] = {logits, target};
    tp__call c = {.op = &op_cross_entropy, .in = in, .nin = 2};
    return tp__apply(&c);
}

/* ---- nll: the chosen log-probabilities, negated ---------------------------------------------- */

tp_tensor *tp_nll_loss(tp_tensor *log_probs, tp_tensor *target) {
    if (!log_probs || !target) return tp__error_null("nll_loss"), NULL;
    tp_tensor *t = class_targets("nll_loss", log_probs, target);
    if (!t || !tp__need_float("nll_loss", log_probs)) return NULL;
    return tp_neg(tp_mean(tp_gather(log_probs, 1, tp__reshaped(t, &TP_SHAPE(t->numel, 1)))));
}

/* ---- losses of one output -------------------------------------------------------------------- */

/* mean of max(x, 0) - x t + log(1 + e^-|x|), which is -logsigmoid(x) + (1 - t) x. */
tp_tensor *tp_binary_cross_entropy_with_logits(tp_tensor *x, tp_tensor *target) {
    const char *what = "binary_cross_entropy_with_logits";
    if (!x || !target) return tp__error_null(what), NULL;
    if (!same_shape(what, x, "target", target) || !tp__need_float(what, x)) return NULL;
    tp_tensor *t = tp_to(target, (tp_dtype)x->dtype);
    tp_tensor *rest = tp_mul(tp_sub(tp_num_int(1), t), x);
    return tp_mean(tp_sub(rest, tp_logsigmoid(x)));
}

tp_tensor *tp_mnist_loss(tp_tensor *x, tp_tensor *target) {
    if (!x || !target) return tp__error_null("mnist_loss"), NULL;
    tp_tensor *p = tp_sigmoid(x);
    return tp_mean(tp_where(tp_eq(target, tp_num_int(1)), tp_sub(tp_num_int(1), p), p));
}
