/* nn_linear.c -- the fully connected layer, y = x @ w.T + b. */
#include "nn/nn.h"
#include "ops/ops.h"

typedef struct linear {
    tp_tensor *w, *b; /* the module's parameters; b may be TP_NONE */
} linear;

static tp_tensor *forward(void *self, tp_tensor *const *in, int n) {
    const linear *l = self;
    tp_tensor *x = tp__one_input("linear", in, n);
    return x ? tp_linear(x, l->w, l->b) : NULL;
}

static int extra(void *self, char *buf, size_t size) {
    const linear *l = self;
    return snprintf(buf, size, "in_features=%lld, out_features=%lld, bias=%s",
                    (long long)l->w->shape[1], (long long)l->w->shape[0],
                    tp__is_none(l->b) ? "False" : "True");
}

static int spec(void *self, char *buf, size_t size) {
    const linear *l = self;
    return snprintf(buf, size, "linear(%lld,%lld%s%s)", (long long)l->w->shape[1],
                    (long long)l->w->shape[0], tp__is_none(l->b) ? ",nobias" : "",
                    l->w->dtype == TP_FLOAT64 ? ",float64" : "");
}

static const tp_module_class linear_class = {
    .name = "Linear", .forward = forward, .free = tp__mfree, .extra = extra, .spec = spec};

bool tp__is_linear(const tp_module *m) {
    return m->c == &linear_class;
}
tp_tensor *tp__linear_then_relu(const tp_module *m, tp_tensor *x) {
    const linear *l = m->self;
    return tp__linear_relu(x, l->w, l->b);
}

static bool fill(tp_module *m, int64_t in, int64_t out, const tp_linear_opts *o) {
    linear *l = m->self;
    l->w = tp__new("linear", &TP_SHAPE(out, in), o->dtype);
    l->b = o->no_bias ? TP_NONE : tp__new("linear", &TP_SHAPE(out), o->dtype);
    if (!l->w || !l->b || !tp__init_linear(l->w, l->b, o->rng)) return false;
    if (!tp_module_add_param(m, "weight", l->w)) return false;
    return o->no_bias || tp_module_add_param(m, "bias", l->b);
}

tp_module *tp_nn_linear(int64_t in, int64_t out, const tp_linear_opts *opts) {
    tp_linear_opts o;
    if (!tp__opts("linear", &o, sizeof o, opts)) return NULL;
    if (in < 1 || out < 1)
        return tp__fail(TP_EVALUE, "linear: %lld inputs and %lld outputs; both must be at least 1",
                        (long long)in, (long long)out);
    if (!tp__is_float(o.dtype))
        return tp__fail(TP_EDTYPE, "linear: dtype must be float32 or float64");
    linear *l = tp__calloc(1, sizeof *l);
    tp_module *m = l ? tp_module_new(&linear_class, l) : NULL;
    if (!m) return NULL;
    const tp_scope s = tp_scope_no_grad(); /* only the module holds its parameters afterwards */
    const bool ok = s.depth && fill(m, in, out, &o);
    if (s.depth) tp_scope_end(s);
    if (ok) return m;
    tp_module_free(m);
    return NULL;
}
