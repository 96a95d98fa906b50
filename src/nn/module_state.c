/* module_state.c -- state_dict: a module's tensors by name, out and in.
 *
 * Reading back is strict and happens in two passes: the first only looks, so that a state which
 * does not fit leaves the module as it was. */
#include "nn/nn.h"
#include <string.h>

/* ---- strict reading -------------------------------------------------------------------------- */

bool tp__taking_begin(tp__taking *t, const char *what, const tp_dict *from) {
    const int64_t n = tp_dict_len(from);
    *t = (tp__taking){
        .what = what, .from = from, .taken = tp__calloc((size_t)(n ? n : 1), sizeof *t->taken)};
    return t->taken;
}

/* Number of the name, or -1. States are usually read in the order in which they were written. */
static int64_t find(const tp__taking *t, const char *name) {
    const int64_t n = tp_dict_len(t->from);
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = (t->next + k) % n;
        if (!strcmp(tp_dict_name(t->from, i), name)) return i;
    }
    return -1;
}

bool tp__taking_has(tp__taking *t, const char *name) {
    return find(t, name) >= 0;
}

static tp_tensor *fit(const tp__taking *t, const char *name, tp_tensor *x, const tp_shape *shape,
                      tp_dtype dtype) {
    const tp_shape have = tp__shape(x);
    char here[TP__SHAPE_TEXT], there[TP__SHAPE_TEXT];
    if (!tp__shape_equal(shape, &have))
        return tp__fail(TP_ESHAPE, "%s: '%s' is %s here but %s in the state", t->what, name,
                        tp__shape_text(shape, here), tp__shape_text(&have, there));
    if (x->dtype != dtype)
        return tp__fail(TP_EDTYPE, "%s: '%s' is %s here but %s in the state", t->what, name,
                        tp_dtype_name(dtype), tp_dtype_name((tp_dtype)x->dtype));
    return x;
}

tp_tensor *tp__take(tp__taking *t, const char *name, const tp_shape *shape, tp_dtype dtype) {
    const int64_t i = find(t, name);
    if (i < 0) return tp__fail(TP_EVALUE, "%s: missing '%s'", t->what, name);
    t->taken[i] = true;
    t->next = i + 1;
    return fit(t, name, tp_dict_at(t->from, i), shape, dtype);
}

bool tp__taking_end(tp__taking *t, bool ok) {
    for (int64_t i = 0; ok && i < tp_dict_len(t->from); i++) {
        if (t->taken[i]) continue;
        tp_error_set(TP_EVALUE, "%s: unexpected '%s'", t->what, tp_dict_name(t->from, i));
        ok = false;
    }
    tp__mfree(t->taken);
    return ok;
}

/* ---- out ------------------------------------------------------------------------------------- */

typedef struct out {
    const tp_module *m;
    tp_dict *d;
} out;

static bool put_slot(void *ctx, tp__slot *s) {
    const out *o = ctx;
    return !tp_dict_set(o->d, tp__module_tail(o->m, s->name), tp_detach(s->x));
}

tp_dict *tp_state_dict(const tp_module *m) {
    if (!m) return tp__error_null("state_dict"), NULL;
    const tp_scope s = tp_scope_begin();
    out o = {.m = m, .d = s.depth ? tp_dict_new() : NULL};
    const bool ok = o.d && tp__module_each(m, true, put_slot, &o);
    if (s.depth) tp_scope_end(s);
    if (ok) return o.d;
    tp_dict_free(o.d);
    return NULL;
}

/* ---- in -------------------------------------------------------------------------------------- */

typedef struct in {
    const tp_module *m;
    const tp_dict *state;
    tp__taking taking;
} in;

static bool fits_slot(void *ctx, tp__slot *s) {
    in *q = ctx;
    const tp_shape shape = tp__shape(s->x);
    return tp__take(&q->taking, tp__module_tail(q->m, s->name), &shape, (tp_dtype)s->x->dtype) &&
           tp__may_write("load_state_dict", s->x);
}

static bool copy_slot(void *ctx, tp__slot *s) {
    const in *q = ctx;
    tp__copy(s->x, tp_dict_get(q->state, tp__module_tail(q->m, s->name)));
    tp__touch(s->x);
    return true;
}

static bool load(tp_module *m, const tp_dict *state) {
    in q = {.m = m, .state = state};
    if (!tp__taking_begin(&q.taking, "load_state_dict", state)) return false;
    const bool fits = tp__module_each(m, true, fits_slot, &q);
    return tp__taking_end(&q.taking, fits) && tp__module_each(m, true, copy_slot, &q);
}

tp_status tp_load_state_dict(tp_module *m, const tp_dict *state) {
    if (!m || !state) return tp__error_null("load_state_dict");
    const tp_scope s = tp_scope_no_grad();
    const bool ok = s.depth && load(m, state);
    if (s.depth) tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}
