/* gradcheck.c -- backward against central differences, in float64.
 *
 * The result is weighted with fixed pseudo-random numbers, so that errors which cancel in a plain
 * sum still show. Inputs are changed in place, one element at a time, and restored. */
#include "autograd/autograd.h"
#include <inttypes.h>
#include <math.h>

typedef struct check {
    tp_gradcheck_fn f;
    tp_tensor *const *in;
    int n;
    void *user;
    double *weight; /* one for each element of the result */
    int64_t out;    /* how many */
    double step, tol;
} check;

static tp_status checkable(const check *c) {
    for (int i = 0; i < c->n; i++) {
        const tp_tensor *x = c->in[i];
        if (!x) return tp__error_null("gradcheck");
        if (x->dtype != TP_FLOAT64 || !x->requires_grad || x->node || !tp__contiguous_p(x))
            return tp_error_set(
                TP_EVALUE,
                "gradcheck: input %d must be a contiguous float64 leaf that requires a "
                "gradient",
                i);
    }
    return TP_OK;
}

/* sum of weight * f(in), from scratch. */
static bool weighted(const check *c, double *sum) {
    const tp_scope s = tp_scope_no_grad();
    tp_tensor *y = c->f(c->in, c->n, c->user);
    double *v = y && y->numel == c->out ? tp__alloc((size_t)c->out * sizeof *v) : NULL;
    const bool ok = v && !tp_copy_to(y, v, c->out, TP_FLOAT64);
    *sum = 0;
    for (int64_t i = 0; ok && i < c->out; i++) *sum += c->weight[i] * v[i];
    tp__free(v, (size_t)c->out * sizeof *v);
    tp_scope_end(s);
    return ok;
}

static void put(tp_tensor *x, double *p, double v) {
    tp__will_change(x);
    *p = v;
    tp__touch(x);
}

static bool element_fits(const check *c, int i, int64_t k, double got) {
    double *p = (double *)tp__ptr(c->in[i]) + k, f[2];
    const double x0 = *p;
    bool ok = true;
    for (int side = 0; side < 2 && ok; side++) {
        put(c->in[i], p, x0 + (side ? -c->step : c->step));
        ok = weighted(c, &f[side]);
    }
    put(c->in[i], p, x0);
    if (!ok) return false;
    const double want = (f[0] - f[1]) / (2 * c->step);
    if (fabs(want - got) <= c->tol * fmax(1, fabs(want))) return true;
    tp_error_set(TP_EGRAD,
                 "gradcheck: d/d input %d, element %" PRId64
                 ": the tape says %.9g, differences say %.9g",
                 i, k, got, want);
    return false;
}

/* The tape's gradients of the weighted sum, taken out of .grad (which gets back what it had). */
static bool tape_gradients(check *c, tp_tensor **grad) {
    tp_tensor *y = c->f(c->in, c->n, c->user);
    if (!y) return false;
    c->out = y->numel;
    c->weight = tp__alloc((size_t)c->out * sizeof *c->weight);
    if (!c->weight) return false;
    uint32_t r = 12345;
    for (int64_t i = 0; i < c->out; i++) {
        r = r * 1664525u + 1013904223u;
        c->weight[i] = 0.5 + (double)(r >> 8) / (1 << 24);
    }
    const tp_shape s = tp__shape(y);
    tp_tensor *w = tp_from(c->weight, s, TP_FLOAT64);
    tp_tensor *before[16];
    for (int i = 0; i < c->n; i++) {
        before[i] = c->in[i]->grad;
        c->in[i]->grad = NULL;
    }
    const bool ok = w && !tp_backward_from(y, w);
    for (int i = 0; i < c->n; i++) {
        grad[i] = c->in[i]->grad;
        c->in[i]->grad = before[i];
    }
    return ok;
}

static bool compare(const check *c, tp_tensor *const *grad) {
    for (int i = 0; i < c->n; i++) {
        const double *g = grad[i] ? tp__ptr(grad[i]) : NULL; /* no gradient at all counts as zero */
        for (int64_t k = 0; k < c->in[i]->numel; k++)
            if (!element_fits(c, i, k, g ? g[k] : 0)) return false;
    }
    return true;
}

tp_status tp_gradcheck(tp_gradcheck_fn f, tp_tensor *const *in, int n, void *user, double step,
                       double tol) {
    if (!f || !in) return tp__error_null("gradcheck");
    if (n < 1 || n > 16) return tp_error_set(TP_EVALUE, "gradcheck: 1 to 16 inputs, not %d", n);
    check c = {.f = f,
               .in = in,
               .n = n,
               .user = user,
               .step = step > 0 ? step : 1e-6,
               .tol = tol > 0 ? tol : 1e-6};
    if (checkable(&c)) return tp_error_code();
    const tp_scope s = tp_scope_grad();
    tp_tensor *grad[16] = {0};
    const bool ok = tape_gradients(&c, grad) && compare(&c, grad);
    for (int i = 0; i < n; i++)
        if (grad[i]) tp__unref(grad[i]);
    tp__free(c.weight, (size_t)c.out * sizeof *c.weight);
    tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}
