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

static tp_tensor *shared_by(tp_tensor *sum, int64_t numel) {
    tp_tensor *n = sum ? tp_scalar((double)numel, (tp_dtype)sum->dtype) : NULL;
    return n ? tp__pw(TP__PW_div, sum, n) : NULL;
}
static tp_tensor *mean_of(tp_tensor *x) {
    if (!x) return NULL;
    return shared_by(tp__fold("loss", TP__RED_SUM, x, (1u << x->ndim) - 1, false), x->numel);
}
/* Both in the dtype to which they promote. */
static bool promoted(const tp__call *c, tp_tensor *in[2]) {
    const tp_dtype d = tp__result_type(c->in, 2);
    in[0] = tp__to(c->in[0], d);
    in[1] = in[0] ? tp__to(c->in[1], d) : NULL;
    return in[1] && tp__need_float(c->op->name, in[1]);
}
/* The mean of of(a - b). */
static tp_tensor *difference_forward(const tp__call *c, tp__pw_op of) {
    tp_tensor *in[2];
    if (!promoted(c, in)) return NULL;
    return shared_by(tp__sum_of_difference(c->op->name, of, in[0], in[1]), in[0]->numel);
}
/* in[i] - in[1 - i] */
static tp_tensor *difference(const tp__call *c, int i) {
    tp_tensor *in[2];
    return promoted(c, in) ? tp__pw(TP__PW_sub, in[i], in[1 - i]) : NULL;
}
/* As in torch a bool is no number to subtract here, though for mse_loss it is. */
static tp_tensor *l1_forward(tp__call *c) {
    if (c->in[0]->dtype == TP_BOOL || c->in[1]->dtype == TP_BOOL)
        return tp__fail(TP_EDTYPE, "l1_loss: not defined for bool (tp_to makes numbers of it)");
    return difference_forward(c, TP__PW_abs);
}
static const tp__op op_l1 = {.name = "l1_loss", .forward = l1_forward};
static tp_tensor *mse_forward(tp__call *c) {
    return difference_forward(c, TP__PW_square);
}
/* +-2 (a - b) / n * g */
static tp_tensor *mse_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *d = difference(c, i);
    tp_tensor *k = d ? tp_scalar(2.0 / (double)d->numel, (tp_dtype)d->dtype) : NULL;
    return tp__pw(TP__PW_mul, d, k ? tp__pw(TP__PW_mul, g, k) : NULL);
}
static const tp__op op_mse = {.name = "mse_loss",
                              .grad_fn = "MseLossBackward0",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_IN(1),
                              .forward = mse_forward,
                              .backward = mse_backward};
static tp_tensor *distance(const tp__op *op, tp_tensor *a, tp_tensor *b) {
    if (!a || !b) return tp__error_null(op->name), NULL;
    if (!same_shape(op->name, a, "target", b)) return NULL;
    tp_tensor *in[2] = {a, b};
    tp__call c = {.op = op, .in = in, .nin = 2};
    return tp__apply(&c);
}
/* What is recorded are the ops of which it is made, as in torch: backward reads the difference, and
 * a and b may have changed by then. */
tp_tensor *tp_l1_loss(tp_tensor *a, tp_tensor *b) {
    const bool tracked = a && b && (a->requires_grad || b->requires_grad);
    if (!tracked || !tp__records(tp__here())) return distance(&op_l1, a, b);
    return same_shape("l1_loss", a, "target", b) ? tp_mean(tp_abs(tp_sub(a, b))) : NULL;
}
tp_tensor *tp_mse_loss(tp_tensor *a, tp_tensor *b) {
    return distance(&op_mse, a, b);
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
    if (t->dtype != TP_INT64 && t->dtype != TP_UINT8)
        return tp__fail(TP_EDTYPE, "%s: targets are class numbers, int64, not %s", what,
                        tp_dtype_name((tp_dtype)t->dtype));
    if (!(t = tp__to(t, TP_INT64)) || !(t = tp__contiguous(t))) return NULL;
    const int64_t *p = tp__ptr(t), C = x->shape[1];
    if (tp__positions_fit(p, t->numel, C)) return t;
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

static tp_tensor *nll_forward(tp__call *c) {
    tp_tensor *x = c->in[0], *t = class_targets("nll_loss", x, c->in[1]);
    if (!t || !tp__need_float("nll_loss", x)) return NULL;
    c->extra[0] = tp__reshaped(t, &TP_SHAPE(t->numel, 1));
    tp_tensor *chosen = c->extra[0] ? tp_gather(tp_detach(x), 1, c->extra[0]) : NULL;
    return tp__pw(TP__PW_neg, mean_of(chosen), NULL);
}
static tp_tensor *nll_backward(const tp__call *c, tp_tensor *g, int i) {
    if (i != 0) return tp__fail(TP_EGRAD, "class numbers have no gradient");
    const tp_shape s = tp__shape(c->in[0]);
    const tp_tensor *t = c->extra[0];
    const tp_dtype d = (tp_dtype)g->dtype;
    tp_tensor *gx = tp__new_zeros("nll_loss", &s, d);
    tp_tensor *each = gx ? tp__pw(TP__PW_div, g, tp_scalar(-(double)s.dim[0], d)) : NULL;
    if (!each) return NULL;
    const size_t es = (size_t)tp_dtype_size(d);
    for (int64_t n = 0; n < s.dim[0]; n++) {
        const int64_t at = n * s.dim[1] + ((const int64_t *)tp__ptr(t))[n];
        memcpy((char *)tp__ptr(gx) + (size_t)at * es, tp__ptr(each), es);
    }
    return gx;
}
static const tp__op op_nll = {.name = "nll_loss",
                              .grad_fn = "NllLossBackward0",
                              .forward = nll_forward,
                              .backward = nll_backward};
tp_tensor *tp_nll_loss(tp_tensor *log_probs, tp_tensor *target) {
    tp_tensor *in[2] = {log_probs, target};
    tp__call c = {.op = &op_nll, .in = in, .nin = 2};
    return tp__apply(&c);
}

/* ---- losses of one output -------------------------------------------------------------------- */

/* a op b, unrecorded, where an operand is a number. */
static tp_tensor *with_number(tp__pw_op op, double a, tp_tensor *b) {
    tp_tensor *n = b ? tp_scalar(a, (tp_dtype)b->dtype) : NULL;
    return n ? tp__pw(op, n, b) : NULL;
}
/* The target in x's dtype. */
static tp_tensor *target_like(const tp__call *c) {
    return tp__to(c->in[1], (tp_dtype)c->in[0]->dtype);
}
/* g / n times each element of x. */
static tp_tensor *times_share(tp_tensor *x, tp_tensor *g) {
    if (!x) return NULL;
    return tp__pw(TP__PW_mul, x, with_number(TP__PW_mul, 1 / (double)x->numel, g));
}

/* mean of max(x, 0) - x t + log(1 + e^-|x|), which is -logsigmoid(x) + (1 - t) x. */
static tp_tensor *logits_forward(tp__call *c) {
    tp_tensor *x = c->in[0];
    tp_tensor *rest = tp__pw(TP__PW_mul, with_number(TP__PW_sub, 1, target_like(c)), x);
    return mean_of(tp__pw(TP__PW_sub, rest, tp__pw(TP__PW_logsigmoid, x, NULL)));
}
/* of x: sigmoid(x) - t; of t: -x. */
static tp_tensor *logits_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *x = c->in[0];
    return times_share(i ? tp__pw(TP__PW_neg, x, NULL)
                         : tp__pw(TP__PW_sub, tp__pw(TP__PW_sigmoid, x, NULL), target_like(c)),
                       g);
}
/* mean of -(t log p + (1 - t) log(1 - p)); no logarithm is below -100, as in torch. */
static tp_tensor *log_of(tp_tensor *p) {
    tp_tensor *least = p ? tp_scalar(-100, (tp_dtype)p->dtype) : NULL;
    return tp__pw(TP__PW_maximum, tp__pw(TP__PW_log, p, NULL), least);
}
static tp_tensor *entropy_forward(tp__call *c) {
    tp_tensor *p = c->in[0], *t = target_like(c), *q = with_number(TP__PW_sub, 1, p);
    tp_tensor *a = tp__pw(TP__PW_mul, with_number(TP__PW_sub, 1, t), log_of(q));
    return tp__pw(TP__PW_neg, mean_of(tp__pw(TP__PW_add, tp__pw(TP__PW_mul, t, log_of(p)), a)),
                  NULL);
}
/* of p: (p - t) / max(p (1 - p), 1e-12); of t: log(1 - p) - log p. */
static tp_tensor *entropy_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *p = c->in[0], *q = with_number(TP__PW_sub, 1, p);
    if (i) {
        tp_tensor *log_q = tp__pw(TP__PW_log, q, NULL);
        return times_share(tp__pw(TP__PW_sub, log_q, tp__pw(TP__PW_log, p, NULL)), g);
    }
    tp_tensor *both = with_number(TP__PW_maximum, 1e-12, tp__pw(TP__PW_mul, p, q));
    return times_share(tp__pw(TP__PW_div, tp__pw(TP__PW_sub, p, target_like(c)), both), g);
}
static bool are_probabilities(const char *what, tp_tensor *p) {
    if (!p->numel) return true;
    const tp_scope s = tp_scope_no_grad();
    tp_tensor *low = tp_min(p), *high = low ? tp_max(p) : NULL;
    const double least = high ? tp_item(low) : 0, most = high ? tp_item(high) : 0;
    tp_scope_end(s);
    if (high && !(least >= 0 && most <= 1))
        return tp_error_set(TP_EVALUE, "%s: %g is no probability (is a sigmoid missing?)", what,
                            least >= 0 ? most : least),
               false;
    return high;
}

static tp_tensor *binary_loss(const tp__op *op, tp_tensor *x, tp_tensor *target) {
    if (!x || !target) return tp__error_null(op->name), NULL;
    if (!same_shape(op->name, x, "target", target) || !tp__need_float(op->name, x)) return NULL;
    tp_tensor *in[2] = {x, target};
    tp__call c = {.op = op, .in = in, .nin = 2};
    return tp__apply(&c);
}
tp_tensor *tp_binary_cross_entropy_with_logits(tp_tensor *x, tp_tensor *target) {
    static const tp__op op = {.name = "binary_cross_entropy_with_logits",
                              .grad_fn = "BinaryCrossEntropyWithLogitsBackward0",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_IN(1),
                              .forward = logits_forward,
                              .backward = logits_backward};
    return binary_loss(&op, x, target);
}
tp_tensor *tp_binary_cross_entropy(tp_tensor *p, tp_tensor *target) {
    static const tp__op op = {.name = "binary_cross_entropy",
                              .grad_fn = "BinaryCrossEntropyBackward0",
                              .saves = TP__SAVE_IN(0) | TP__SAVE_IN(1),
                              .forward = entropy_forward,
                              .backward = entropy_backward};
    if (p && tp__is_float((tp_dtype)p->dtype) && !are_probabilities(op.name, p)) return NULL;
    return binary_loss(&op, p, target);
}

tp_tensor *tp_mnist_loss(tp_tensor *x, tp_tensor *target) {
    if (!x || !target) return tp__error_null("mnist_loss"), NULL;
    tp_shape both;
    if (!tp__broadcast("mnist_loss", &x->s, &target->s, &both)) return NULL;
    const tp__node *before = tp__tape_last();
    tp_tensor *p = tp_sigmoid(x),
              *off = tp_where(tp_eq(target, tp_num_int(1)), tp_sub(tp_num_int(1), p), p);
    return tp__tape_one_call(before, tp_mean(off));
}
