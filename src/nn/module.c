/* module.c -- the tree of modules: what a module owns, how it is called and walked.
 *
 * A module owns its parameters, buffers and children; its class says what it computes. The order is
 * torch's: first a module's own tensors, as they were added, then its children's. */
#include "nn/nn.h"
#include <string.h>

typedef struct tp__names {
    struct tp__names *older;
    char text[];
} names;

static tp_module *root_of(tp_module *m) {
    while (m->parent) m = m->parent;
    return m;
}

const char *tp__module_tail(const tp_module *m, const char *name) {
    return m->name ? name + strlen(m->name) + 1 : name;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static void give_up(const tp_module_class *c, void *self) {
    if (c->free && self) c->free(self);
}

tp_module *tp_module_new(const tp_module_class *c, void *self) {
    if (!c) return tp__error_null("module_new"), NULL;
    if (!c->name || !c->forward) {
        give_up(c, self);
        return tp__fail(TP_EVALUE, "module_new: the class '%s' needs a name and a forward",
                        c->name ? c->name : "");
    }
    tp_module *m = tp__calloc(1, sizeof *m);
    if (!m) return give_up(c, self), NULL;
    m->c = c;
    m->self = self;
    m->training = true;
    return m;
}

static void free_slots(tp__slots *list) {
    for (int i = 0; i < list->n; i++) tp__unref(list->at[i].x);
    tp__mfree(list->at);
}

static void free_tree(tp_module *m) {
    give_up(m->c, m->self);
    for (int i = 0; i < m->nchildren; i++) free_tree(m->child[i]);
    free_slots(&m->param);
    free_slots(&m->buffer);
    for (names *b = m->names, *older; b; b = older) {
        older = b->older;
        tp__mfree(b);
    }
    tp__mfree(m->child);
    tp__mfree(m);
}

void tp_module_free(tp_module *m) {
    if (!m) return;
    if (m->parent)
        tp_error_set(TP_ESTATE, "module_free: '%s' belongs to another module, which frees it",
                     m->name);
    else
        free_tree(m);
}

void *tp_module_self(const tp_module *m) {
    return m ? m->self : NULL;
}

/* ---- calling --------------------------------------------------------------------------------- */

tp_tensor *tp_forward_n(tp_module *m, tp_tensor *const *in, int n) {
    if (!m || !in) return tp__error_null("forward"), NULL;
    for (int i = 0; i < n; i++)
        if (!in[i]) return tp__error_null("forward"), NULL;
    const tp__node *before = tp__tape_last();
    tp_tensor *y = tp__tape_one_call(before, m->c->forward(m->self, in, n));
    if (TP__UNLIKELY(!y) && !tp_error_code())
        tp_error_set(TP_EUSER, "%s: its forward gave no tensor and no error", m->c->name);
    return y;
}

tp_tensor *tp_forward(tp_module *m, tp_tensor *x) {
    return tp_forward_n(m, &x, 1);
}

tp_tensor *tp__one_input(const char *what, tp_tensor *const *in, int n) {
    if (TP__LIKELY(n == 1 && !tp__is_none(in[0]))) return in[0];
    return tp__fail(TP_EVALUE, "%s: one input, not %d", what, n == 1 ? 0 : n);
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool each_slot(const tp__slots *list, tp__slot_fn fn, void *ctx) {
    for (int i = 0; i < list->n; i++)
        if (!fn(ctx, &list->at[i])) return false;
    return true;
}

bool tp__module_each(const tp_module *m, bool buffers, tp__slot_fn fn, void *ctx) {
    if (!each_slot(&m->param, fn, ctx)) return false;
    if (buffers && !each_slot(&m->buffer, fn, ctx)) return false;
    for (int i = 0; i < m->nchildren; i++)
        if (!tp__module_each(m->child[i], buffers, fn, ctx)) return false;
    return true;
}

typedef struct search {
    const tp_tensor *x;
    tp__slot *found;
} search;

static bool is_it(void *ctx, tp__slot *s) {
    search *q = ctx;
    if (s->x == q->x) q->found = s;
    return !q->found;
}

/* The first slot of tensor x in m, or NULL. */
static tp__slot *first_slot(const tp_module *m, bool buffers, const tp_tensor *x) {
    search q = {.x = x};
    tp__module_each(m, buffers, is_it, &q);
    return q.found;
}

/* A pass over the distinct parameters of m, up to number `stop` (-1: all). */
typedef struct tally {
    const tp_module *m;
    int64_t stop, params, numel;
    tp__slot *last;
} tally;

static bool count_param(void *ctx, tp__slot *s) {
    tally *t = ctx;
    if (s->shared && first_slot(t->m, false, s->x) != s)
        return true; /* as torch: a tied weight once */
    t->last = s;
    t->numel += s->x->numel;
    return t->params++ != t->stop;
}

static tally count_params(const tp_module *m, int64_t stop) {
    tally t = {.m = m, .stop = stop};
    tp__module_each(m, false, count_param, &t);
    return t;
}

int64_t tp_module_num_params(const tp_module *m) {
    if (!m) return tp__error_null("module_num_params"), -1;
    return count_params(m, -1).params;
}

int64_t tp_module_numel(const tp_module *m) {
    if (!m) return tp__error_null("module_numel"), -1;
    return count_params(m, -1).numel;
}

static tp__slot *param_slot(const char *what, const tp_module *m, int64_t i) {
    if (!m) return tp__error_null(what), NULL;
    const tally t = count_params(m, i);
    if (i >= 0 && t.params == i + 1) return t.last;
    return tp__fail(TP_EINDEX, "%s: there is no parameter %lld, the module has %lld", what,
                    (long long)i, (long long)t.params);
}

tp_tensor *tp_module_param(const tp_module *m, int64_t i) {
    const tp__slot *s = param_slot("module_param", m, i);
    return s ? s->x : NULL;
}

const char *tp_module_param_name(const tp_module *m, int64_t i) {
    const tp__slot *s = param_slot("module_param_name", m, i);
    return s ? tp__module_tail(m, s->name) : NULL;
}

static bool zero_slot(void *ctx, tp__slot *s) {
    (void)ctx;
    tp_zero_grad(s->x);
    return true;
}

void tp_module_zero_grad(tp_module *m) {
    if (m) tp__module_each(m, false, zero_slot, NULL);
}

void tp_module_train(tp_module *m, bool training) {
    if (!m) return;
    m->training = training;
    for (int i = 0; i < m->nchildren; i++) tp_module_train(m->child[i], training);
}

bool tp_module_training(const tp_module *m) {
    return m && m->training;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static bool slots_have(const tp_module *m, const tp__slots *list, const char *name) {
    for (int i = 0; i < list->n; i++)
        if (!strcmp(tp__module_tail(m, list->at[i].name), name)) return true;
    return false;
}

static bool has_name(const tp_module *m, const char *name) {
    for (int i = 0; i < m->nchildren; i++)
        if (!strcmp(tp__module_tail(m, m->child[i]->name), name)) return true;
    return slots_have(m, &m->param, name) || slots_have(m, &m->buffer, name);
}

static bool name_is_good(const char *what, const tp_module *m, const char *name) {
    const char *fault = !*name ? "empty" : strchr(name, '.') ? "more than one part" : NULL;
    if (!fault && has_name(m, name)) fault = "taken";
    if (fault) tp_error_set(TP_EVALUE, "%s: the name '%s' is %s", what, name, fault);
    return !fault;
}

static char *names_new(tp_module *m, size_t bytes) {
    names *b = tp__calloc(1, sizeof *b + bytes);
    if (!b) return NULL;
    b->older = m->names;
    m->names = b;
    return b->text;
}

/* The array with room for one more than its n entries, or NULL: then it is as it was. */
static void *with_room(void *array, int n, int *cap, size_t size) {
    if (n < *cap) return array;
    const int more = *cap ? 2 * *cap : 4;
    void *p = tp__realloc(array, (size_t)more * size);
    if (p) *cap = more;
    return p;
}

/* "body.2" and "bias" make "body.2.bias"; a root's own name is NULL. */
static size_t path_size(const tp_module *m, const char *name) {
    return (m->name ? strlen(m->name) + 1 : 0) + strlen(name) + 1;
}
static char *put_path(char *to, const char *prefix, const char *name) {
    if (prefix) {
        const size_t n = strlen(prefix);
        memcpy(to, prefix, n);
        to[n] = '.';
        to += n + 1;
    }
    const size_t size = strlen(name) + 1;
    memcpy(to, name, size);
    return to + size;
}

static bool add_slot(tp_module *m, tp__slots *list, const char *name, tp_tensor *x) {
    tp__slot *at = with_room(list->at, list->n, &list->cap, sizeof *at);
    if (!at) return false;
    list->at = at;
    char *full = names_new(m, path_size(m, name));
    if (!full) return false;
    put_path(full, m->name, name);
    tp__slot *twin = first_slot(root_of(m), true, x);
    if (twin) twin->shared = true;
    list->at[list->n++] = (tp__slot){.name = full, .x = tp__ref(x), .shared = twin != NULL};
    return true;
}

static bool may_add(const char *what, const tp_module *m, const char *name, const tp_tensor *x) {
    if (!m || !name || !x) return tp__error_null(what), false;
    if (!name_is_good(what, m, name)) return false;
    if (tp__is_none(x)) return tp_error_set(TP_EVALUE, "%s: '%s' is TP_NONE", what, name), false;
    if (!x->node) return true;
    tp_error_set(TP_EGRAD,
                 "%s: '%s' has a history (grad_fn=<%s>); give a leaf, such as its tp_detach", what,
                 name, x->grad_fn);
    return false;
}

tp_tensor *tp_module_add_param(tp_module *m, const char *name, tp_tensor *x) {
    if (!may_add("add_param", m, name, x)) return NULL;
    if (!tp__is_float((tp_dtype)x->dtype))
        return tp__fail(TP_EDTYPE, "add_param: '%s' is %s; a parameter is float32 or float64", name,
                        tp_dtype_name((tp_dtype)x->dtype));
    return add_slot(m, &m->param, name, x) ? tp_requires_grad_(x) : NULL;
}

tp_tensor *tp_module_add_buffer(tp_module *m, const char *name, tp_tensor *x) {
    if (!may_add("add_buffer", m, name, x)) return NULL;
    return add_slot(m, &m->buffer, name, x) ? x : NULL;
}

/* ---- joining trees --------------------------------------------------------------------------- */

static size_t slots_names_size(const tp__slots *list, size_t prefix) {
    size_t n = 0;
    for (int i = 0; i < list->n; i++) n += prefix + strlen(list->at[i].name) + 1;
    return n;
}

/* Bytes of all names in the tree below m, each behind a prefix of that length. */
static size_t names_size(const tp_module *m, size_t prefix) {
    size_t n = slots_names_size(&m->param, prefix) + slots_names_size(&m->buffer, prefix);
    for (int i = 0; i < m->nchildren; i++)
        n += prefix + strlen(m->child[i]->name) + 1 + names_size(m->child[i], prefix);
    return n;
}

/* *name = prefix.name, written at `to`; returns where the next one goes. */
static char *rename_one(const char **name, const char *prefix, char *to) {
    char *end = put_path(to, prefix, *name);
    *name = to;
    return end;
}

static char *rename_tree(tp_module *m, const char *prefix, char *to) {
    for (int i = 0; i < m->param.n; i++) to = rename_one(&m->param.at[i].name, prefix, to);
    for (int i = 0; i < m->buffer.n; i++) to = rename_one(&m->buffer.at[i].name, prefix, to);
    for (int i = 0; i < m->nchildren; i++) {
        to = rename_one(&m->child[i]->name, prefix, to);
        to = rename_tree(m->child[i], prefix, to);
    }
    return to;
}

/* Does the tree at ctx hold this tensor already? Then both slots are marked. */
static bool tie(void *ctx, tp__slot *s) {
    tp__slot *twin = first_slot(ctx, true, s->x);
    if (twin) twin->shared = s->shared = true;
    return true;
}

/* One block holds the child's own new name and the new names of everything below it; names that
 * were handed out before stay valid, in the older blocks. */
static bool add_child(tp_module *m, const char *name, tp_module *child) {
    tp_module **at = with_room(m->child, m->nchildren, &m->cap, sizeof *at);
    if (!at) return false;
    m->child = at;
    const size_t own = path_size(m, name); /* with its NUL, or the dot that takes its place */
    char *text = names_new(child, own + names_size(child, own));
    if (!text) return false;
    rename_tree(child, text, put_path(text, m->name, name));
    child->name = text;
    tp__module_each(child, true, tie, root_of(m));
    child->parent = m;
    m->child[m->nchildren++] = child;
    return true;
}

tp_module *tp_module_add_child(tp_module *m, const char *name, tp_module *child) {
    if (child && (child->parent || (m && child == root_of(m))))
        return tp__fail(TP_ESTATE, "add_child: the module for '%s' %s", name ? name : "",
                        child->parent ? "has a place in a module already" : "would contain itself");
    if (!m || !name || !child)
        tp__error_null("add_child");
    else if (name_is_good("add_child", m, name) && add_child(m, name, child))
        return child;
    if (child) free_tree(child);
    return NULL;
}
