/* nn_container.c -- Sequential: modules one after the other, named "0", "1", ... */
#include "nn/nn.h"

/* Do modules i and i + 1 save a pass together? Not where every single result is looked at. */
static bool fuse(const tp_module *m, int i) {
    return i + 1 < m->nchildren && tp__is_linear(m->child[i]) && tp__is_relu(m->child[i + 1]) &&
           !tp__tracing;
}

static tp_tensor *forward(void *self, tp_tensor *const *in, int n) {
    const tp_module *m = self;
    tp_tensor *x = tp__one_input("sequential", in, n);
    for (int i = 0; x && i < m->nchildren; i++) {
        const bool two = fuse(m, i);
        x = two ? tp__linear_then_relu(m->child[i], x) : tp_forward(m->child[i], x);
        i += two;
    }
    return x;
}

static const tp_module_class sequential_class = {.name = "Sequential", .forward = forward};

bool tp__is_sequential(const tp_module *m) {
    return m->c == &sequential_class;
}

tp_module *tp__sequential_new(void) {
    tp_module *m = tp_module_new(&sequential_class, NULL);
    if (m) m->self = m;
    return m;
}

bool tp__sequential_add(tp_module *s, tp_module *child) {
    char name[16];
    snprintf(name, sizeof name, "%d", s->nchildren);
    return tp_module_add_child(s, name, child) != NULL;
}

/* Free those from number `from` on that no module took, each once. */
static void free_rest(tp_module *const *child, int from, int n) {
    for (int i = from; i < n; i++) {
        bool seen = !child[i];
        for (int j = 0; j < i; j++) seen |= child[j] == child[i];
        if (!seen && !child[i]->parent) tp_module_free(child[i]);
    }
}

static bool has_null(tp_module *const *child, int n) {
    for (int i = 0; i < n; i++)
        if (!child[i]) return true;
    return false;
}

tp_module *tp_nn_sequential_n(tp_module *const *child, int n) {
    if (n < 0) return tp__fail(TP_EVALUE, "sequential: %d modules", n);
    if (!child && n) return tp__error_null("sequential"), NULL;
    if (has_null(child, n)) return tp__error_null("sequential"), free_rest(child, 0, n), NULL;
    tp_module *m = tp__sequential_new();
    if (!m) return free_rest(child, 0, n), NULL;
    for (int i = 0; i < n; i++) {
        if (tp__sequential_add(m, child[i])) continue;
        free_rest(child, i + 1, n); /* adding takes the child also when it fails */
        tp_module_free(m);
        return NULL;
    }
    return m;
}
