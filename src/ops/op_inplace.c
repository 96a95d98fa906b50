/* op_inplace.c -- torch's trailing underscore: the result goes into the first operand.
 *
 * Nothing here is recorded: tp__may_write refuses what the tape follows, and every write raises the
 * storage's version, so that a backward that saved the old value is stopped. */
#include "ops/ops.h"

/* Rank of a dtype's kind: a result may not outrank what it is written to. */
static int kind_of(tp_dtype d) {
    return d == TP_BOOL ? 0 : tp__is_float(d) ? 2 : 1;
}

static bool operands_fit(const char *what, tp_tensor *x, tp_tensor *b, tp_dtype d) {
    const tp_shape sx = tp__shape(x), sb = tp__shape(b);
    tp_shape s;
    if (!tp__may_write(what, x)) return false;
    if (b->requires_grad && tp_grad_enabled())
        return tp_error_set(
                   TP_EGRAD,
                   "%s: the right side requires a gradient, which an in-place change would lose",
                   what),
               false;
    if (!tp__broadcast(what, &sx, &sb, &s)) return false;
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (!tp__shape_equal(&s, &sx))
        return tp_error_set(TP_ESHAPE, "%s: the result %s does not fit into %s", what,
                            tp__shape_text(&s, tb), tp__shape_text(&sx, ta)),
               false;
    if (kind_of(d) > kind_of((tp_dtype)x->dtype))
        return tp_error_set(TP_EDTYPE, "%s: the result is %s, which cannot be stored in %s", what,
                            tp_dtype_name(d), tp_dtype_name((tp_dtype)x->dtype)),
               false;
    return true;
}

static tp_tensor *in_place(const char *what, tp__pw_op op, tp_tensor *x, tp_tensor *b) {
    if (!x || !b) return tp__error_null(what), NULL;
    tp_dtype d = tp__result_type((tp_tensor *[]){x, b}, 2);
    if (op == TP__PW_div && !tp__is_float(d)) d = TP_FLOAT32;
    if (!operands_fit(what, x, b, d)) return NULL;
    const tp_scope s = tp_scope_no_grad();
    const bool direct = d == x->dtype && !tp_shares_storage(x, b) && tp__pw_forward(op, d);
    tp_tensor *y = direct ? tp__to(b, d) : tp__pw(op, x, b);
    if (y) {
        const tp_shape shape = tp__shape(x);
        if (direct)
            tp__iterate(tp__pw_forward(op, d), &shape, (tp_tensor *[]){x, x, y}, 3, 0, 0);
        else
            tp__copy(x, y);
        tp__touch(x);
    }
    tp_scope_end(s);
    return y ? x : NULL;
}
tp_tensor *tp_add_(tp_tensor *x, tp_tensor *b) {
    return in_place("add_", TP__PW_add, x, b);
}
tp_tensor *tp_sub_(tp_tensor *x, tp_tensor *b) {
    if (x && b && (x->dtype == TP_BOOL || b->dtype == TP_BOOL))
        return tp__fail(TP_EDTYPE, "sub_: not defined for bool (tp_to makes numbers of it)");
    return in_place("sub_", TP__PW_sub, x, b);
}
tp_tensor *tp_mul_(tp_tensor *x, tp_tensor *b) {
    return in_place("mul_", TP__PW_mul, x, b);
}
tp_tensor *tp_div_(tp_tensor *x, tp_tensor *b) {
    return in_place("div_", TP__PW_div, x, b);
}

tp_tensor *tp_copy_(tp_tensor *x, tp_tensor *src) {
    if (!x || !src) return tp__error_null("copy_"), NULL;
    if (!operands_fit("copy_", x, src, (tp_dtype)x->dtype)) return NULL;
    const tp_scope s = tp_scope_no_grad();
    if (tp_shares_storage(x, src)) src = tp__clone(src);
    if (src) {
        tp__copy(x, src);
        tp__touch(x);
    }
    tp_scope_end(s);
    return src ? x : NULL;
}

tp_tensor *tp_fill_(tp_tensor *x, double value) {
    if (!x) return tp__error_null("fill_"), NULL;
    if (!tp__may_write("fill_", x)) return NULL;
    if (!tp__number_fits("fill_", value, (tp_dtype)x->dtype)) return NULL;
    tp__fill(x, value);
    tp__touch(x);
    return x;
}
tp_tensor *tp_zero_(tp_tensor *x) {
    return tp_fill_(x, 0);
}
