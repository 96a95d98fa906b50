/* taper/autograd.h -- gradients: leaves, backward, your own differentiable functions, gradient
 * checks.
 *
 * Every op on a tensor that requires a gradient is recorded on the thread's tape while the
 * innermost scope allows it. tp_backward walks the tape once and adds into .grad of the leaves. */
#ifndef TAPER_AUTOGRAD_H
#define TAPER_AUTOGRAD_H
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Ask for a gradient: x becomes a leaf whose .grad backward fills. Returns x. EDTYPE unless
 * floating. */
TP_API TP_BORROWED tp_tensor *tp_requires_grad_(tp_tensor *x);
TP_API bool tp_requires_grad(const tp_tensor *x);
TP_API bool tp_is_leaf(const tp_tensor *x);
/* "MulBackward0", as PyTorch 1.13.1 names it, or NULL for a leaf. */
TP_API const char *tp_grad_fn(const tp_tensor *x);
/* What backward has added up for a leaf (or a tensor of tp_retain_grad): same shape and dtype as x;
 * NULL, without an error, if there is none yet. */
TP_API TP_BORROWED tp_tensor *tp_grad(const tp_tensor *x);
/* x.grad = g, a copy of its handle; TP_NONE for x.grad = None. ESHAPE, EDTYPE if g does not fit
 * x. */
TP_API TP_MUST_CHECK tp_status tp_set_grad(tp_tensor *x, tp_tensor *g);
TP_API void tp_zero_grad(tp_tensor *x); /* x.grad = None */
/* Let backward leave the gradient of an interior tensor in .grad too. Returns x. */
TP_API TP_BORROWED tp_tensor *tp_retain_grad(tp_tensor *x);
/* The same storage without history. */
TP_API TP_SCOPED tp_tensor *tp_detach(tp_tensor *x);

/* d loss / d leaf, added into .grad of every leaf that loss depends on; loss has one element. It
 * frees the tape that it walked: a second backward through it is EGRAD, and so are a value that was
 * changed in place after an op had saved it and a loss that no leaf leads to. */
TP_API TP_MUST_CHECK tp_status tp_backward(tp_tensor *loss);
/* The same for any shape, from the gradient `g` of loss's own shape: loss.backward(g). */
TP_API TP_MUST_CHECK tp_status tp_backward_from(tp_tensor *loss, tp_tensor *g);

/* t's value and history move to the parent when `s` ends. Any number of tensors. Returns t. */
TP_API TP_SCOPED tp_tensor *tp_scope_escape(tp_scope s, tp_tensor *t);

/* ---- your own function ----------------------------------------------------------------------- */

/* What a function's backward may look at. Borrowed. */
typedef struct tp_ctx {
    int n;                /* inputs */
    tp_tensor *const *in; /* as given to tp_apply */
    tp_tensor *out;
    void *user;
} tp_ctx;

/* forward: computes the result from in[0..n) with any ops; nothing in it is recorded. backward:
 * gives the gradient of in[i] (in[i]'s shape, or one that in[i] was broadcast to) from g, the
 * gradient of out, with any ops; called only for inputs that need one; NULL with an error fails the
 * backward. */
typedef struct tp_function {
    const char *name;
    tp_tensor *(*forward)(tp_tensor *const *in, int n, void *user);
    tp_tensor *(*backward)(const tp_ctx *ctx, tp_tensor *g, int i);
    void *user;
} tp_function;
/* f must live as long as the tape (static, usually). n is at most 16. */
TP_API TP_SCOPED tp_tensor *tp_apply(const tp_function *f, tp_tensor *const *in, int n);

/* ---- checking gradients ---------------------------------------------------------------------- */

/* Compare backward of f with central differences, in float64: f maps in[0..n) to one tensor; every
 * in is a float64 leaf that requires a gradient. A fixed pseudo-random weighting makes the loss. 0
 * if |tape - numeric| <= tol max(1, |numeric|) everywhere, else EGRAD naming input, element and
 * both values. step and tol: 0 means 1e-6 and 1e-6. Leaves .grad as it was. */
typedef tp_tensor *(*tp_gradcheck_fn)(tp_tensor *const *in, int n, void *user);
TP_API TP_MUST_CHECK tp_status tp_gradcheck(tp_gradcheck_fn f, tp_tensor *const *in, int n,
                                            void *user, double step, double tol);

/* ---- looking at the tape --------------------------------------------------------------------- */

/* Write what leads to t as a Graphviz drawing: `dot -Tsvg tape.dot -o tape.svg` draws it. EIO,
 * EGRAD where nothing was recorded. */
TP_API TP_MUST_CHECK tp_status tp_graph_dot(tp_tensor *t, const char *path);
/* While on (per thread), an op, or its step of a backward, that makes a NaN or an infinity of
 * finite numbers fails, EVALUE, and the message names it and its line. Slow: for finding that. */
TP_API void tp_set_detect_anomaly(bool on);

#ifdef __cplusplus
}
#endif

#ifndef TAPER_PLAIN
#define tp_backward(...) TP__STATUS(tp_backward(__VA_ARGS__))
#define tp_backward_from(...) TP__STATUS(tp_backward_from(__VA_ARGS__))
#define tp_graph_dot(...) TP__STATUS(tp_graph_dot(__VA_ARGS__))
#define tp_apply(...) TP__SITE(tp_apply(__VA_ARGS__))
#define tp_detach(...) TP__SITE(tp_detach(__VA_ARGS__))
#define tp_requires_grad_(...) TP__SITE(tp_requires_grad_(__VA_ARGS__))
#define tp_retain_grad(...) TP__SITE(tp_retain_grad(__VA_ARGS__))
#define tp_scope_escape(...) TP__SITE(tp_scope_escape(__VA_ARGS__))
#define tp_set_grad(...) TP__STATUS(tp_set_grad(__VA_ARGS__))
#define tp_gradcheck(...) TP__STATUS(tp_gradcheck(__VA_ARGS__))
#endif
#endif
