/* apply.c -- the one door every op passes, and what guards it.
 *
 * An op computes its result; the door records the call on the thread's tape if an input needs a
 * gradient. In-place writes pass tp__may_write, so no value that the tape follows ever changes. */
#include "autograd/autograd.h"
#include "autograd/graph.h"
#include "autograd/tape.h"
#include <string.h>

tp_tensor *tp__apply_named(tp__call *c, const char *grad_fn) {
    bool tracked = false;
    for (int i = 0; i < c->nin; i++) {
        if (TP__UNLIKELY(!c->in[i])) return tp__error_null(c->op->name), NULL;
        tracked |= c->in[i]->requires_grad;
    }
    c->extra[0] = c->extra[1] = NULL;
    c->saves = c->op->saves;
    c->out = c->op->forward(c);
    if (TP__UNLIKELY(!c->out)) return NULL;
    if (TP__UNLIKELY(tp__tracing) && !tp__trace(c)) return NULL;
    if (tracked && grad_fn && tp__records(tp__here()) && tp__is_float((tp_dtype)c->out->dtype))
        return tp__tape_record(c, grad_fn);
    return c->out;
}

tp_tensor *tp__apply(tp__call *c) {
    return tp__apply_named(c, c->op->grad_fn);
}

/* What a call made on the way to its result stands where the call does, unless it has a place of
 * its own: a user's module says where in it an op is. */
TP__APART static void site_parts(const tp__node *whole) {
    tp__node *n = whole->prev;
    for (int i = 0; i < whole->parts && n; i++, n = n->prev)
        if (!n->file) {
            n->file = whole->file;
            n->line = whole->line;
        }
}

tp_tensor *tp__site(tp_tensor *t, const char *file, int line) {
    if (TP__UNLIKELY(!t))
        tp__error_site(file, line);
    else if (t->node && !t->node->file) {
        t->node->file = file;
        t->node->line = line;
        if (TP__UNLIKELY(t->node->parts)) site_parts(t->node);
    }
    return t;
}

/* A tensor some of whose elements share memory cannot be written element by element. */
static bool overlaps(const tp_tensor *x) {
    for (int d = 0; d < x->ndim && x->numel; d++)
        if (x->stride[d] == 0 && x->shape[d] > 1) return true;
    return false;
}

bool tp__may_write(const char *what, const tp_tensor *x) {
    if (x->node)
        return tp_error_set(
                   TP_EGRAD,
                   "%s: the tape follows this tensor (grad_fn=<%s>); its value cannot change in "
                   "place, make a new one",
                   what, x->grad_fn),
               false;
    if (x->requires_grad && tp_grad_enabled())
        return tp_error_set(
                   TP_EGRAD,
                   "%s: a leaf that requires a gradient cannot change in place while the tape "
                   "records; do it inside tp_scope_no_grad()",
                   what),
               false;
    if (overlaps(x))
        return tp_error_set(TP_EVALUE,
                            "%s: elements of this expanded tensor share memory; clone it first",
                            what),
               false;
    tp__will_change(x);
    return true;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

tp_tensor *tp_requires_grad_(tp_tensor *x) {
    if (!x) return tp__error_null("requires_grad_"), NULL;
    if (!tp__is_float((tp_dtype)x->dtype))
        return tp__fail(TP_EDTYPE,
                        "requires_grad_: only floating tensors have gradients; this one is %s "
                        "(tp_to(x, TP_FLOAT32) makes a float of it)",
                        tp_dtype_name((tp_dtype)x->dtype));
    x->requires_grad = true;
    return x;
}
bool tp_requires_grad(const tp_tensor *x) {
    return x && x->requires_grad;
}
bool tp_is_leaf(const tp_tensor *x) {
    return x && !x->node;
}
const char *tp_grad_fn(const tp_tensor *x) {
    return x ? x->grad_fn : NULL;
}
tp_tensor *tp_grad(const tp_tensor *x) {
    return x ? x->grad : NULL;
}

tp_status tp_set_grad(tp_tensor *x, tp_tensor *g) {
    if (!x || !g) return tp__error_null("set_grad");
    if (!tp__is_none(g)) {
        const tp_shape a = tp__shape(x), b = tp__shape(g);
        char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
        if (!tp__shape_equal(&a, &b))
            return tp_error_set(TP_ESHAPE, "set_grad: the tensor is %s but the gradient %s",
                                tp__shape_text(&a, ta), tp__shape_text(&b, tb));
        if (x->dtype != g->dtype)
            return tp_error_set(TP_EDTYPE, "set_grad: the tensor is %s but the gradient %s",
                                tp_dtype_name((tp_dtype)x->dtype),
                                tp_dtype_name((tp_dtype)g->dtype));
        tp__ref(g);
    }
    if (x->grad) tp__unref(x->grad);
    x->grad = tp__is_none(g) ? NULL : g;
    return TP_OK;
}
void tp_zero_grad(tp_tensor *x) {
    if (!x || !x->grad) return;
    tp__unref(x->grad);
    x->grad = NULL;
}
tp_tensor *tp_retain_grad(tp_tensor *x) {
    if (!x) return tp__error_null("retain_grad"), NULL;
    if (!x->requires_grad)
        return tp__fail(TP_EGRAD, "retain_grad: this tensor does not require a gradient");
    x->retain_grad = true;
    return x;
}
tp_tensor *tp_detach(tp_tensor *x) {
    if (!x) return tp__error_null("detach"), NULL;
    return tp__view(x, x->ndim, x->shape, x->stride, x->offset);
}

/* ---- a user's own function ------------------------------------------------------------------- */

static tp_tensor *user_forward(tp__call *c) {
    const tp_function *f = c->u.user;
    const tp_scope s = tp_scope_no_grad();
    if (!s.depth) return NULL;
    tp_tensor *y = f->forward(c->in, c->nin, f->user);
    if (y) {
        bool given = y->node != NULL;
        for (int i = 0; i < c->nin; i++) given |= y == c->in[i];
        if (given) y = tp_detach(y); /* the tape needs a handle of its own */
    }
    if (y)
        y = tp_scope_escape(s, y);
    else if (!tp_error_code())
        tp_error_set(TP_EUSER, "its forward gave no tensor and no error");
    tp_scope_end(s);
    if (!y) tp_error_prefix("%s", f->name);
    return y;
}

static tp_tensor *user_backward(const tp__call *c, tp_tensor *g, int i) {
    const tp_function *f = c->u.user;
    const tp_ctx ctx = {.n = c->nin, .in = c->in, .out = c->out, .user = f->user};
    tp_tensor *r = f->backward(&ctx, g, i);
    if (!r && !tp_error_code())
        tp_error_set(TP_EUSER, "its backward gave no gradient and no error");
    return r;
}

static const tp__op user_op = {.name = "apply",
                               .grad_fn = "apply",
                               .saves = TP__SAVE_INS | TP__SAVE_OUT,
                               .forward = user_forward,
                               .backward = user_backward};

tp_tensor *tp_apply(const tp_function *f, tp_tensor *const *in, int n) {
    if (!f || !in) return tp__error_null("apply"), NULL;
    if (!f->name || !f->forward || !f->backward)
        return tp__fail(TP_EVALUE, "apply: a function needs a name, a forward and a backward");
    if (n < 1 || n > 16) return tp__fail(TP_EVALUE, "%s: 1 to 16 inputs, not %d", f->name, n);
    tp__call c = {.op = &user_op, .in = in, .nin = n, .u.user = f};
    return tp__apply_named(&c, f->name);
}
