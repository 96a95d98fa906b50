/* faults.h -- five faults that the comparison must notice, each put between a program and the
 * library, which stays as it is. */
#ifndef TAPER_TESTS_FAULTS_H
#define TAPER_TESTS_FAULTS_H
#include "calls.h"

typedef enum fault {
    NO_FAULT,
    WRONG_GRADIENT,  /* of sigmoid: y for y (1 - y) */
    NOT_UNBROADCAST, /* add: the first of the rows instead of their sum */
    WRONG_PROMOTION, /* a 0-d tensor decides the dtype as if it had axes */
    IGNORED_STRIDE,  /* unary ops read a transposed matrix as it lies in memory */
    LAST_OF_EQUALS   /* argmax */
} fault;

static tp_tensor *sigmoid_of(tp_tensor *const *in, int n, void *user) {
    (void)n, (void)user;
    return tp_sigmoid(in[0]);
}

static tp_tensor *wrong_sigmoid_gradient(const tp_ctx *ctx, tp_tensor *g, int i) {
    (void)i;
    return tp_mul(g, ctx->out);
}

static tp_tensor *sum_of(tp_tensor *const *in, int n, void *user) {
    (void)n, (void)user;
    return tp_add(in[0], in[1]);
}

static tp_tensor *first_rows(const tp_ctx *ctx, tp_tensor *g, int i) {
    const tp_shape want = tp_shape_of(ctx->in[i]);
    while (tp_ndim(g) > want.ndim && tp_size(g, 0) > 0) g = tp_select(g, 0, 0);
    for (int d = 0; d < want.ndim && tp_ndim(g) == want.ndim; d++) {
        if (want.dim[d] == 1) g = tp_slice(g, d, 0, 1, 1);
    }
    return g;
}

static tp_tensor *last_of_equals(arguments *g) {
    const int64_t n = tp_size(X(0), I(0));
    tp_tensor *backwards = tp_arange((double)n - 1, -1, -1, TP_INT64);
    tp_tensor *at = tp_argmax_dim(tp_index_select(X(0), I(0), backwards), I(0), I(1));
    return tp_sub(tp_num_int(n - 1), at);
}

static bool is_matrix_transposed(const tp_tensor *x) {
    return tp_ndim(x) == 2 && !tp_is_contiguous(x) && tp_stride(x, 0) == 1 &&
           tp_stride(x, 1) == tp_size(x, 0);
}

static tp_tensor *run_faulty(fault f, const call *c, arguments *g) {
    static const tp_function sigmoid = {"SigmoidBackward0", sigmoid_of, wrong_sigmoid_gradient,
                                        NULL};
    static const tp_function add = {"AddBackward0", sum_of, first_rows, NULL};
    const bool floats = g->n_x == 2 && tp_dtype_of(X(0)) == TP_FLOAT32 && tp_ndim(X(0)) > 0 &&
                        tp_dtype_of(X(1)) == TP_FLOAT64 && tp_ndim(X(1)) == 0;
    if (f == WRONG_GRADIENT && !strcmp(c->name, "sigmoid")) return tp_apply(&sigmoid, g->x, 1);
    if (f == NOT_UNBROADCAST && !strcmp(c->name, "add")) return tp_apply(&add, g->x, 2);
    if (f == WRONG_PROMOTION && floats) X(0) = tp_to(X(0), TP_FLOAT64);
    if (f == IGNORED_STRIDE && g->n_x == 1 && !g->n_i && is_matrix_transposed(X(0))) {
        X(0) = tp_from(tp_data_ptr(X(0)), tp_shape_of(X(0)), tp_dtype_of(X(0)));
    }
    if (f == LAST_OF_EQUALS && !strcmp(c->name, "argmax_dim")) {
        tp_tensor *same = c->run(g); /* its errors are the same */
        return same && tp_ndim(X(0)) ? last_of_equals(g) : same;
    }
    return c->run(g);
}

static tp_tensor *run_with(fault f, const call *c, arguments *g) {
    tp_tensor *y = run_faulty(f, c, g);
    tp_rng_free(g->rng);
    return y;
}
#endif
