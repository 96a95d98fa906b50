/* tape.c -- recording, walking and forgetting.
 *
 * Nodes are entries of scopes, linked in the order in which they were made, which is a topological
 * order: backward is one loop against it. Everything that all ops share is here and only here:
 * checking that saved values are unchanged, un-broadcasting, converting, adding up. */
#include "autograd/tape.h"
#include "autograd/graph.h"
#include <string.h>

static TP__THREAD_HOT struct {
    tp__node *last;
    int64_t length;
    uint64_t marks; /* a fresh number for each walk */
} tape;

tp__node *tp__tape_last(void) {
    return tape.last;
}
int64_t tp__tape_length(void) {
    return tape.length;
}
uint64_t tp__tape_mark(void) {
    return ++tape.marks;
}

/* ---- recording ------------------------------------------------------------------------------- */

/* Of a call, as far as its op has numbers. */
static size_t call_bytes(const tp__op *op) {
    return op->numbers ? offsetof(tp__call, u.v.n) + (size_t)op->numbers * sizeof(int64_t)
                       : sizeof(tp__call);
}
static size_t node_bytes(const tp__call *c) {
    return offsetof(tp__node, call) + call_bytes(c->op) +
           (size_t)c->nin * (sizeof(tp_tensor *) + sizeof(uint32_t));
}

static void forget(tp_tensor *x) {
    x->node = NULL;
    x->grad_fn = NULL;
    x->requires_grad = x->retain_grad = false;
    x->lost = true;
}

/* A scope lets go of a node: its result, if anybody still holds it, is a constant from now on. */
static void node_release(void *p) {
    tp__node *n = p;
    if (n->prev) n->prev->next = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        tape.last = n->prev;
    tape.length--;
    forget(n->call.out);
    for (int i = 0; i < n->call.nin; i++) tp__unref(n->call.in[i]);
    for (int i = 0; i < 2; i++)
        if (n->call.extra[i]) tp__unref(n->call.extra[i]);
    if (n->grad) tp__unref(n->grad);
    tp__unref(n->call.out);
    tp__live_add(tp__here(), TP__LIVE_NODES, -1);
    tp__free(n, node_bytes(&n->call));
}

static void hold(tp__node *n, const tp__call *c) {
    const size_t bytes = call_bytes(c->op);
    memcpy(&n->call, c, bytes);
    tp_tensor **in = (tp_tensor **)(void *)((char *)&n->call + bytes);
    n->call.in = in;
    n->version = (uint32_t *)(void *)(in + c->nin);
    for (int i = 0; i < c->nin; i++) {
        in[i] = tp__ref(c->in[i]);
        n->version[i] = tp__version(c->in[i]);
    }
    tp__ref(c->out);
    n->out_version = tp__version(c->out);
    for (int i = 0; i < 2; i++)
        if (c->extra[i]) n->extra_version[i] = tp__version(tp__ref(c->extra[i]));
}

tp_tensor *tp__tape_record(const tp__call *c, const char *grad_fn) {
    tp__node *n = tp__alloc(node_bytes(c));
    if (!n) return NULL;
    n->grad_fn = grad_fn;
    n->file = NULL;
    n->line = 0;
    n->freed = false;
    n->parts = 0;
    n->mark = 0;
    n->grad = NULL;
    hold(n, c);
    n->prev = tape.last;
    n->next = NULL;
    if (n->prev) n->prev->next = n;
    tape.last = n;
    tape.length++;
    tp__local *me = tp__here();
    tp__live_add(me, TP__LIVE_NODES, 1);
    c->out->node = n;
    c->out->grad_fn = grad_fn;
    c->out->requires_grad = true;
    return tp__scope_push(me, node_release, n) ? c->out : NULL;
}

tp_tensor *tp__tape_one_call(const tp__node *before, tp_tensor *t) {
    if (!t || !t->node) return t;
    int parts = -1; /* stays where t is not among them: handed through as it came */
    for (const tp__node *n = tape.last; n && n != before && parts < UINT16_MAX; n = n->prev)
        if (parts >= 0 || n == t->node) parts++;
    if (parts > 0) t->node->parts = (uint16_t)parts;
    return t;
}

/* ---- walking backwards ----------------------------------------------------------------------- */

static const char *call_name(const tp__node *n) {
    return strcmp(n->call.op->name, "apply") ? n->call.op->name : n->grad_fn;
}

/* "backward of mul (train.c:41): " in front of the pending error. */
static void blame(const tp__node *n) {
    const char *slash = n->file ? strrchr(n->file, '/') : NULL;
    if (n->file)
        tp_error_prefix("backward of %s (%s:%d)", call_name(n), slash ? slash + 1 : n->file,
                        n->line);
    else
        tp_error_prefix("backward of %s", call_name(n));
}

static bool unchanged(const tp__node *n) {
    bool same = !(n->call.saves & TP__SAVE_OUT) || n->out_version == tp__version(n->call.out);
    for (int i = 0; i < 2; i++) /* indices that the caller has too, say */
        if (n->call.extra[i]) same &= n->extra_version[i] == tp__version(n->call.extra[i]);
    for (int i = 0; i < n->call.nin && i < 30; i++)
        if (n->call.saves & TP__SAVE_IN(i)) same &= n->version[i] == tp__version(n->call.in[i]);
    if (!same)
        tp_error_set(TP_EGRAD, "a value that it needs was changed in place since the forward");
    return same;
}

/* May the tape keep g itself as a leaf's gradient? Only if this node's backward, which was given
 * `from`, made it (it belongs to the scope around that), nobody else holds it, and it is dense
 * storage of its own. */
static bool is_fresh(const tp_tensor *g, const tp_tensor *from) {
    return g != from && g->refs == 1 && atomic_load(&g->st->refs) == 1 && !g->st->borrowed &&
           tp__contiguous_p(g) && tp__scope_holds(g);
}

static tp_tensor *add(tp_tensor *a, tp_tensor *b, tp_tensor *out) {
    if (!out) out = tp__new_like(a, (tp_dtype)a->dtype);
    if (out)
        tp__iterate(tp__pw_forward(TP__PW_add, (tp_dtype)a->dtype), &a->s,
                    (tp_tensor *[]){out, a, b}, 3, 0, 0);
    return out;
}

/* *slot += g, where *slot may be empty. A leaf's gradient gets storage of its own. */
static bool accumulate(tp_tensor **slot, tp_tensor *g, const tp_tensor *from, bool leaf) {
    tp_tensor *old = *slot;
    if (!old) {
        if (leaf && !is_fresh(g, from)) g = tp__clone(g);
        if (!g) return false;
        *slot = tp__ref(g);
        return true;
    }
    const bool ours = old->refs == 1 && atomic_load(&old->st->refs) == 1 && tp__contiguous_p(old);
    if (ours || leaf) tp__will_change(old);
    tp_tensor *sum = add(old, g, ours || leaf ? old : NULL);
    if (!sum) return false;
    if (sum == old) {
        tp__touch(old);
        return true;
    }
    *slot = tp__ref(sum);
    tp__unref(old);
    return true;
}

/* g, summed down to the shape of x where that was broadcast. */
static tp_tensor *fitted(const tp_tensor *x, tp_tensor *g) {
    tp_shape joined;
    if (TP__LIKELY(tp__shape_equal(&x->s, &g->s))) return g;
    if (tp__broadcast("gradient", &x->s, &g->s, &joined) && tp__shape_equal(&joined, &g->s))
        return tp__sum_to(g, &x->s);
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    return tp__fail(TP_ESHAPE, "it gave a gradient %s for an input %s", tp__shape_text(&g->s, ta),
                    tp__shape_text(&x->s, tb));
}

static bool give(const tp__node *n, tp_tensor *x, tp_tensor *g) {
    if (x->node && x->node->freed)
        return tp_error_set(TP_EGRAD,
                            "an earlier backward went through its input and freed the tape there; "
                            "run the forward again"),
               false;
    g = fitted(x, g);
    if (g) g = tp__to(g, (tp_dtype)x->dtype);
    return g && accumulate(x->node ? &x->node->grad : &x->grad, g, n->grad, !x->node);
}

/* Push n's gradient to its inputs. */
static bool step(tp__node *n) {
    if (n->freed)
        return tp_error_set(
                   TP_EGRAD,
                   "an earlier backward went through it and freed the tape; run the forward again"),
               false;
    if (!unchanged(n)) return false;
    for (int i = 0; i < n->call.nin; i++) {
        if (!n->call.in[i]->requires_grad) continue;
        tp_tensor *g = n->call.op->backward(&n->call, n->grad, i);
        if (!g || (TP__UNLIKELY(tp__tracing) && !tp__trace_gradient(n->grad, g))) return false;
        if (!give(n, n->call.in[i], g)) return false;
    }
    if (n->call.out->retain_grad && !accumulate(&n->call.out->grad, n->grad, n->grad, true))
        return false;
    return true;
}

static bool walk(tp__node *from) {
    bool ok = true;
    for (tp__node *n = from; n; n = n->prev) {
        if (!n->grad) continue;
        if (ok) {
            const tp_scope s = tp_scope_begin();
            ok = step(n);
            if (!ok) blame(n);
            tp_scope_end(s);
            n->freed = true;
        }
        tp__unref(n->grad);
        n->grad = NULL;
    }
    return ok;
}

/* From loss, whose gradient g is the caller's own tensor: never kept as a gradient itself. */
static bool backward(tp_tensor *loss, tp_tensor *g) {
    tp_tensor *own = tp__to(g, (tp_dtype)loss->dtype);
    tp__node *n = loss->node;
    return own && accumulate(n ? &n->grad : &loss->grad, own, own, !n) && (!n || walk(n));
}

static bool has_history(const tp_tensor *loss) {
    if (TP__LIKELY(loss->requires_grad)) return true;
    if (loss->lost)
        tp_error_set(TP_EGRAD, "backward: the scope in which this tensor was made has ended, and "
                               "its tape with it; call backward before tp_scope_end");
    else
        tp_error_set(TP_EGRAD, "backward: no tensor that requires a gradient leads to this one; "
                               "comparisons, tp_argmax, tp_detach and tp_scope_no_grad() let none "
                               "through (an accuracy is no loss)");
    return false;
}

tp_status tp_backward_from(tp_tensor *loss, tp_tensor *g) {
    if (!loss || !g) return tp__error_null("backward");
    if (!has_history(loss)) return TP_EGRAD;
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT];
    if (!tp__shape_equal(&loss->s, &g->s))
        return tp_error_set(TP_ESHAPE, "backward: the tensor is %s but its gradient %s",
                            tp__shape_text(&loss->s, ta), tp__shape_text(&g->s, tb));
    const tp_scope s = tp_scope_no_grad();
    const bool ok = s.depth && backward(loss, g);
    tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}

tp_status tp_backward(tp_tensor *loss) {
    if (!loss) return tp__error_null("backward");
    char text[TP__SHAPE_TEXT];
    if (loss->numel != 1)
        return tp_error_set(
            TP_ESHAPE,
            "backward: the tensor is %s; only a single number has a gradient by itself "
            "(take its tp_sum or tp_mean)",
            tp__shape_text(&loss->s, text));
    if (!has_history(loss)) return TP_EGRAD;
    const tp_scope s = tp_scope_no_grad();
    tp_tensor *one = s.depth ? tp__new_like(loss, (tp_dtype)loss->dtype) : NULL;
    if (one) tp__fill(one, 1);
    const bool ok = one && backward(loss, one);
    tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}

/* ---- moving out of a scope ------------------------------------------------------------------- */

static bool is_marked(const tp__entry *e) {
    if (e->release == tp__tensor_release) return ((tp_tensor *)e->ptr)->mark == tape.marks;
    return e->release == node_release && ((tp__node *)e->ptr)->mark == tape.marks;
}

tp_tensor *tp_scope_escape(tp_scope s, tp_tensor *t) {
    if (!t) return tp__error_null("scope_escape"), NULL;
    tape.marks++;
    t->mark = tape.marks;
    if (t->node) t->node->mark = tape.marks;
    for (tp__node *n = t->node; n; n = n->prev) { /* its history: whatever leads to it */
        if (n->mark != tape.marks) continue;
        for (int i = 0; i < n->call.nin; i++)
            if (n->call.in[i]->node) n->call.in[i]->node->mark = tape.marks;
    }
    return tp__scope_escape(s, is_marked) ? NULL : t;
}
