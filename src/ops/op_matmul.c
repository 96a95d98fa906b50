/* op_matmul.c -- matrix products: matmul with batches, and linear with bias and relu fused.
 *
 * Operands become [..., M, K] and [..., K, N] views (a 1-d operand gains an axis of size 1),
 * transposes are strides, and the kernel takes any strides: nothing is copied but what has no
 * usable layout. */
#include "ops/ops.h"

/* ---- running the kernel over batches --------------------------------------------------------- */

typedef struct product {
    tp_tensor *a, *b, *c; /* [..., M, K], [..., K, N], [..., M, N] dense */
    tp_tensor *bias;      /* [N] dense, or NULL */
    tp__act act;
    bool turned; /* b is [N, K] */
    bool chains;
} product;

static bool run_gemm(tp__gemm *g) {
    const size_t bytes = tp__gemm_workspace(g);
    void *work = bytes ? tp__alloc(bytes) : NULL;
    if (bytes && !work) return false;
    tp__gemm_run(g, work);
    if (bytes) tp__free(work, bytes);
    return true;
}

/* One kernel call for each index of the batch axes but the last, which is the kernel's own
 * batch. */
static bool run_batches(const product *p, tp__gemm *g) {
    const tp_tensor *a = p->a, *b = p->b, *c = p->c;
    const int lead = c->ndim - 2;
    int64_t sa[TP_MAX_DIM], sb[TP_MAX_DIM];
    tp_shape full = tp__shape(c);
    full.dim[lead + 1] = g->K;
    tp__broadcast_strides(a, &full, sa);
    full.dim[lead] = g->K;
    full.dim[lead + 1] = g->N;
    tp__broadcast_strides(b, &full, sb);
    g->batch = c->shape[lead - 1];
    g->a_batch = sa[lead - 1];
    g->b_batch = sb[lead - 1];
    g->c_batch = c->stride[lead - 1];
    const int64_t es = tp_dtype_size((tp_dtype)c->dtype);
    int64_t outer = 1;
    for (int d = 0; d < lead - 1; d++) outer *= c->shape[d];
    for (int64_t i = 0; i < outer; i++) {
        int64_t oa = 0, ob = 0, oc = 0, rest = i;
        for (int d = lead - 2; d >= 0; d--) {
            const int64_t at = rest % c->shape[d];
            rest /= c->shape[d];
            oa += at * sa[d];
            ob += at * sb[d];
            oc += at * c->stride[d];
        }
        g->a = (const char *)tp__ptr(a) + oa * es;
        g->b = (const char *)tp__ptr(b) + ob * es;
        g->c = (char *)tp__ptr(c) + oc * es;
        if (!run_gemm(g)) return false;
    }
    return true;
}

static bool run(const product *p) {
    const tp_tensor *a = p->a, *b = p->b, *c = p->c;
    const int m = c->ndim - 2, k = a->ndim - 1, b_k = b->ndim - (p->turned ? 1 : 2),
              b_n = b->ndim - (p->turned ? 2 : 1);
    tp__gemm g = {.dtype = (tp_dtype)c->dtype,
                  .M = c->shape[m],
                  .N = c->shape[m + 1],
                  .K = a->shape[k],
                  .batch = 1,
                  .a = tp__ptr(a),
                  .a_row = a->stride[k - 1],
                  .a_col = a->stride[k],
                  .b = tp__ptr(b),
                  .b_row = b->stride[b_k],
                  .b_col = b->stride[b_n],
                  .c = tp__ptr(c),
                  .c_row = c->shape[m + 1],
                  .bias = p->bias ? tp__ptr(p->bias) : NULL,
                  .act = p->act,
                  .chains = p->chains};
    return m == 0 ? run_gemm(&g) : run_batches(p, &g);
}

/* A 2-d b lets the batch axes of a dense a be rows: [..., M, K] is [R, K]. */
static tp_tensor *as_rows(tp_tensor *x) {
    if (x->ndim == 2) return x;
    const int64_t k = x->shape[x->ndim - 1];
    int64_t r = 1;
    for (int d = 0; d < x->ndim - 1; d++) r *= x->shape[d];
    return tp__reshaped(x, &TP_SHAPE(r, k));
}

/* p.c = act(p.a @ p.b + p.bias), a new tensor of that shape, for operands of at least two axes. */
static tp_tensor *compute_into(const char *what, const tp_shape *s, product p) {
    tp_tensor *c = p.c = tp__new(what, s, (tp_dtype)p.a->dtype);
    if (!c) return NULL;
    if (p.b->ndim > 2 || p.a->ndim == 2) return run(&p) ? c : NULL;
    p.a = as_rows(p.a);
    p.c = p.a ? as_rows(c) : NULL;
    const bool ok = p.c && run(&p);
    if (p.c) tp__drop(p.c);
    return ok ? c : NULL;
}

/* The same where no shape is known yet; NULL passes through. */
static tp_tensor *compute(product p) {
    if (!p.a || !p.b) return NULL;
    static tp__sig sig = TP__SIG("x[..., M, K] w[..., K, N] -> [..., M, N]");
    tp_shape s;
    if (!tp__sig_infer("matmul", &sig, (tp_tensor *[]){p.a, p.b}, 2, &s)) return NULL;
    return compute_into("matmul", &s, p);
}

static tp_tensor *multiply(tp_tensor *a, tp_tensor *b) {
    return compute((product){.a = a, .b = b});
}
/* a @ b, a sum over the rows of a batch: in their order, as PyTorch's libraries add them up. A
 * training with large steps shows the last bits of its gradients in the digits that are printed. */
static tp_tensor *sum_rows(tp_tensor *a, tp_tensor *b) {
    return compute((product){.a = a, .b = b, .chains = true});
}

static tp_tensor *transposed(const tp_tensor *x) {
    return tp__swapped(x, x->ndim - 2, x->ndim - 1);
}

enum { NO_NUMBERS = 1 }; /* that are set or read: 0 would be all */

/* ---- matmul ---------------------------------------------------------------------------------- */

static bool one_dtype(const char *what, const char *na, const tp_tensor *a, const char *nb,
                      const tp_tensor *b) {
    if (a->dtype == b->dtype && a->dtype != TP_BOOL) return true;
    if (a->dtype == TP_BOOL)
        tp_error_set(TP_EDTYPE, "%s: not defined for bool (tp_to makes numbers of it)", what);
    else
        tp_error_set(TP_EDTYPE, "%s: %s is %s but %s is %s (tp_to one of them)", what, na,
                     tp_dtype_name((tp_dtype)a->dtype), nb, tp_dtype_name((tp_dtype)b->dtype));
    return false;
}

static tp_tensor *with_axis(tp_tensor *x, bool row) {
    if (x->ndim != 1) return x;
    return tp__reshaped(x, row ? &TP_SHAPE(1, x->shape[0]) : &TP_SHAPE(x->shape[0], 1));
}

/* Each factor's gradient reads the other factor. */
static void narrow_saves(tp__call *c) {
    for (int i = 0; i < 2; i++)
        if (!c->in[1 - i]->requires_grad) c->saves &= ~TP__SAVE_IN(i);
}

/* A product in which x, w or both have one axis: the rule for them as they were given, then the
 * product with the axes that they lack, which the result does not have. */
static tp_tensor *vector_product(tp_tensor *x, tp_tensor *w) {
    static tp__sig both = TP__SIG("x[K] w[K] -> []"),
                   row = TP__SIG("x[K] w[..., K, N] -> [..., N]"),
                   column = TP__SIG("x[..., M, K] w[K] -> [..., M]");
    tp__sig *sig = x->ndim > 1 ? &column : w->ndim > 1 ? &row : &both;
    tp_shape s;
    if (!tp__sig_infer("matmul", sig, (tp_tensor *[]){x, w}, 2, &s)) return NULL;
    tp_tensor *y = multiply(with_axis(x, true), with_axis(w, false));
    return y ? tp__reshaped(y, &s) : NULL;
}

static tp_tensor *matmul_forward(tp__call *c) {
    narrow_saves(c);
    tp_tensor *x = c->in[0], *w = c->in[1];
    if (!one_dtype("matmul", "x", x, "w", w)) return NULL;
    if (!x->ndim || !w->ndim)
        return tp__fail(TP_ESHAPE,
                        "matmul: both operands need at least one axis; %s has none (use tp_mul)",
                        x->ndim ? "w" : "x");
    return x->ndim == 1 || w->ndim == 1 ? vector_product(x, w) : multiply(x, w);
}

/* The gradient with the axes of size 1 that a 1-d operand had gained. */
static tp_tensor *full_gradient(const tp__call *c, tp_tensor *g) {
    const bool row = c->in[0]->ndim == 1, column = c->in[1]->ndim == 1;
    if (!row && !column) return g;
    tp_shape s = tp__shape(g);
    if (row && !column) {
        s.dim[s.ndim] = s.dim[s.ndim - 1];
        s.dim[s.ndim - 1] = 1;
        s.ndim++;
    } else {
        if (row) s.dim[s.ndim++] = 1;
        s.dim[s.ndim++] = 1;
    }
    return tp__reshaped(g, &s);
}

/* gx = g @ w.T and gw = x.T @ g; with a 2-d w the batch axes of x are rows of one product. */
static tp_tensor *matmul_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *x = with_axis(c->in[0], true), *w = with_axis(c->in[1], false), *r;
    g = full_gradient(c, g);
    if (!x || !w || !g) return NULL;
    if (i == 0)
        r = multiply(g, transposed(w));
    else if (w->ndim == 2) {
        tp_tensor *rows = as_rows(x), *grows = rows ? as_rows(g) : NULL;
        r = grows ? sum_rows(transposed(rows), grows) : NULL;
    } else
        r = sum_rows(transposed(x), g);
    if (!r || c->in[i]->ndim != 1) return r;
    tp_shape s = {.ndim = r->ndim - 1}; /* back to one axis, batch axes kept for the tape to sum */
    memcpy(s.dim, r->shape, sizeof s.dim);
    s.dim[s.ndim - 1] = c->in[i]->shape[0];
    return tp__reshaped(r, &s);
}
static const tp__op op_matmul = {.name = "matmul",
                                 .grad_fn = "MmBackward0",
                                 .saves = TP__SAVE_IN(0) | TP__SAVE_IN(1),
                                 .numbers = NO_NUMBERS,
                                 .forward = matmul_forward,
                                 .backward = matmul_backward};

/* Which of its own ops torch ends with. It computes a matrix times a batch transposed. */
static const char *matmul_name(const tp_tensor *x, const tp_tensor *w) {
    if (x->ndim == 2 && w->ndim == 2) return "MmBackward0";
    if (x->ndim == 1 && w->ndim == 1) return "DotBackward0";
    if (x->ndim == 2 && w->ndim == 1) return "MvBackward0";
    if (x->ndim == 1 && w->ndim == 2) return "SqueezeBackward3";
    if (x->ndim != 2) return "UnsafeViewBackward0";
    const bool rows_apart =
        w->ndim == 3 && w->stride[2] != 1 && w->stride[0] == w->shape[1] * w->shape[2];
    if (rows_apart) return "UnsafeViewBackward0";
    const int64_t M = x->shape[0], N = w->shape[w->ndim - 1];
    bool dense = M <= 1 || N <= 1; /* the turned result, so that torch copies nothing */
    for (int d = 0; d < w->ndim - 2; d++) dense |= !w->shape[d];
    return dense ? "TransposeBackward0" : "CloneBackward0";
}

tp_tensor *tp_matmul(tp_tensor *x, tp_tensor *w) {
    if (!x || !w) return tp__error_null("matmul"), NULL;
    tp_tensor *in[2] = {x, w};
    tp__call c;
    tp__call_begin(&c, &op_matmul, in, 2);
    return tp__apply_named(&c, matmul_name(x, w));
}

/* ---- linear ---------------------------------------------------------------------------------- */

static tp_tensor *linear_with(tp__call *c, tp__act act) {
    narrow_saves(c);
    static tp__sig sig = TP__SIG("x[..., I] w[O, I] b[O]? -> [..., O]");
    tp_tensor *x = c->in[0], *w = c->in[1], *b = c->nin > 2 ? c->in[2] : NULL;
    tp_shape s;
    if (!tp__sig_infer("linear", &sig, c->in, c->nin, &s) || !one_dtype("linear", "x", x, "w", w))
        return NULL;
    if (b && !one_dtype("linear", "w", w, "b", b)) return NULL;
    if (b && !(b = tp__contiguous(b))) return NULL;
    tp_tensor *rows = as_rows(x);
    if (!rows) return NULL;
    const tp_shape flat = TP_SHAPE(rows->shape[0], w->shape[0]);
    tp_tensor *y = compute_into(
        "linear", &flat, (product){.a = rows, .b = w, .bias = b, .act = act, .turned = true});
    return y && x->ndim != 2 ? tp__reshaped(y, &s) : y;
}
static tp_tensor *linear_forward(tp__call *c) {
    return linear_with(c, TP__ACT_NONE);
}
static tp_tensor *linear_relu_forward(tp__call *c) {
    return linear_with(c, TP__ACT_RELU);
}

static tp_tensor *linear_backward(const tp__call *c, tp_tensor *g, int i) {
    tp_tensor *grows = as_rows(g);
    if (!grows) return NULL;
    if (i == 2) return tp__fold("linear", TP__RED_SUM, grows, 1u, false);
    if (i == 1) {
        tp_tensor *rows = as_rows(c->in[0]);
        return rows ? sum_rows(transposed(grows), rows) : NULL;
    }
    tp_tensor *gx = multiply(grows, c->in[1]);
    const tp_shape s = tp__shape(c->in[0]);
    return gx && s.ndim != 2 ? tp__reshaped(gx, &s) : gx;
}
#define LINEAR(how)                                                                              \
    {                                                                                            \
        .name = "linear", .grad_fn = "AddmmBackward0", .saves = TP__SAVE_IN(0) | TP__SAVE_IN(1), \
        .numbers = NO_NUMBERS, .forward = how, .backward = linear_backward                       \
    }
static const tp__op op_linear = LINEAR(linear_forward),
                    op_linear_relu = LINEAR(linear_relu_forward);

static const char *linear_name(const tp_tensor *x, bool biased) {
    if (x->ndim == 2) return biased ? "AddmmBackward0" : "MmBackward0";
    if (biased) return x->ndim == 3 && tp__contiguous_p(x) ? "ViewBackward0" : "AddBackward0";
    return x->ndim == 1 ? "SqueezeBackward3" : "UnsafeViewBackward0";
}
static tp_tensor *apply(const tp__op *op, tp_tensor *x, tp_tensor *w, tp_tensor *b) {
    if (!x || !w || !b) return tp__error_null("linear"), NULL;
    tp_tensor *in[3] = {x, w, b};
    const bool biased = !tp__is_none(b);
    tp__call c;
    tp__call_begin(&c, op, in, biased ? 3 : 2);
    return tp__apply_named(&c, linear_name(x, biased));
}
tp_tensor *tp_linear(tp_tensor *x, tp_tensor *w, tp_tensor *b) {
    return apply(&op_linear, x, w, b);
}
tp_tensor *tp__linear_relu(tp_tensor *x, tp_tensor *w, tp_tensor *b) {
    return tp__relu_of_clipped(apply(&op_linear_relu, x, w, b));
}
