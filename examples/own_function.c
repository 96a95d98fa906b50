/* own_function.c -- a differentiable function of your own, and how to be sure of its gradient.
 *
 * Huber's function is x^2 / 2 near zero and straight beyond delta, so that outliers pull with
 * bounded force. Written with ops it would be differentiated by itself; here forward and backward
 * are given, as one does for a function that has a cheaper or better gradient than its ops would
 * give. */
#include <stdio.h>
#include <taper.h>

static double delta = 1.5;

static tp_tensor *forward(tp_tensor *const *in, int n, void *user) {
    const double d = *(const double *)user;
    (void)n;
    tp_tensor *a = tp_abs(in[0]), *square = tp_mul(tp_square(in[0]), 0.5);
    return tp_where(tp_lt(a, d), square, tp_mul(tp_sub(a, d / 2), d));
}

/* The gradient of in[i], from g, that of the result. */
static tp_tensor *backward(const tp_ctx *ctx, tp_tensor *g, int i) {
    const double d = *(const double *)ctx->user;
    return tp_mul(g, tp_clamp(ctx->in[i], -d, d));
}

/* The same with a slip: it forgets that the slope is bounded. */
static tp_tensor *backward_with_a_slip(const tp_ctx *ctx, tp_tensor *g, int i) {
    return tp_mul(g, ctx->in[i]);
}

static const tp_function huber = {"huber", forward, backward, &delta};
static const tp_function slip = {"slip", forward, backward_with_a_slip, &delta};

/* tp_gradcheck wants a function of tensors. */
static tp_tensor *apply(tp_tensor *const *in, int n, void *function) {
    return tp_apply(function, in, n);
}

int main(void) {
    tp_tensor *x = tp_requires_grad_(tp_floats(TP_SHAPE(5), -4, -1, 0, 0.5f, 3));
    tp_tensor *y = tp_apply(&huber, &x, 1);
    tp_print(y);
    if (tp_backward(tp_sum(y))) return tp_perror("own_function");
    tp_print(tp_grad(x));

    tp_tensor *z =
        tp_requires_grad_(tp_arange(-4, 4.25, 0.25, TP_FLOAT64)); /* differences need the digits */
    if (tp_gradcheck(apply, &z, 1, (void *)&huber, 0, 0)) return tp_perror("own_function");
    printf("huber: the tape and the differences agree at %d points\n", (int)tp_numel(z));
    if (!tp_gradcheck(apply, &z, 1, (void *)&slip, 0, 0)) return 1;
    printf("slip: %s\n", tp_error_message());
    tp_error_clear();
    return 0;
}
