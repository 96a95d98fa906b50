/* calls.h -- every public op of taper/pointwise.h and taper/ops.h, but the random ones, as a call on
 * parsed arguments.
 *
 * The elementwise ops come from pointwise.def, so a new row is tested at once (and missed by name in
 * test_diff.c until programs.py makes calls of it). X(k) is the k-th tensor among the arguments, I(k)
 * the k-th int, D(k) the k-th double. */
#ifndef TAPER_TESTS_CALLS_H
#define TAPER_TESTS_CALLS_H
#define TAPER_PLAIN
#include <string.h>

#include "taper/ops.h"

enum { ARGUMENTS = 4, MOST = 16 }; /* of a kind; results and tensors in a list */

typedef struct arguments {
    tp_tensor *x[ARGUMENTS], *list[MOST], *more[MOST]; /* more: results after the first */
    int64_t i[ARGUMENTS];
    double d[ARGUMENTS];
    tp_shape shape;
    tp_dims dims;
    tp_dtype dtype;
    char text[64];
    int n_x, n_i, n_d, n_list, n_more;
} arguments;

#define X(k) (g->x[k])
#define I(k) ((int)g->i[k])
#define D(k) (g->d[k])

static tp_tensor *index_too(arguments *g, tp_tensor *(*op)(tp_tensor *, int, int, tp_tensor **)) {
    tp_tensor *value = op(X(0), I(0), I(1), &g->more[0]);
    g->n_more = value ? 1 : 0;
    return value;
}

/* The first slice is the result, the others are more. */
static tp_tensor *all_slices(arguments *g) {
    tp_tensor *out[MOST];
    int64_t n = X(0) && tp_ndim(X(0)) ? tp_size(X(0), I(0)) : 1;
    if (n > MOST || (n = tp_unbind(X(0), I(0), out, n)) < 1) return NULL;
    g->n_more = (int)n - 1;
    memcpy(g->more, out + 1, sizeof *out * (size_t)(n - 1));
    return out[0];
}

#define REST_OF_THE_OPS(XX)                                                   \
    XX(view, tp_view(X(0), g->shape))                                         \
    XX(reshape, tp_reshape(X(0), g->shape))                                   \
    XX(permute, tp_permute(X(0), g->dims))                                    \
    XX(transpose, tp_transpose(X(0), I(0), I(1)))                             \
    XX(T, tp_T(X(0)))                                                         \
    XX(squeeze, tp_squeeze(X(0)))                                             \
    XX(squeeze_dim, tp_squeeze_dim(X(0), I(0)))                               \
    XX(unsqueeze, tp_unsqueeze(X(0), I(0)))                                   \
    XX(expand, tp_expand(X(0), g->shape))                                     \
    XX(flatten, tp_flatten(X(0), I(0), I(1)))                                 \
    XX(slice, tp_slice(X(0), I(0), g->i[1], g->i[2], g->i[3]))                \
    XX(select, tp_select(X(0), I(0), g->i[1]))                                \
    XX(at, tp_at(X(0), g->text))                                              \
    XX(unbind, all_slices(g))                                                 \
    XX(cat, tp_cat(g->list, g->n_list, I(0)))                                 \
    XX(stack, tp_stack(g->list, g->n_list, I(0)))                             \
    XX(clone, tp_clone(X(0)))                                                 \
    XX(contiguous, tp_contiguous(X(0)))                                       \
    XX(to, tp_to(X(0), g->dtype))                                             \
    XX(detach, tp_detach(X(0)))                                               \
    XX(where, tp_where(X(0), X(1), X(2)))                                     \
    XX(masked_fill, tp_masked_fill(X(0), X(1), D(0)))                         \
    XX(masked_select, tp_masked_select(X(0), X(1)))                           \
    XX(index_select, tp_index_select(X(0), I(0), X(1)))                       \
    XX(gather, tp_gather(X(0), I(0), X(1)))                                   \
    XX(nonzero, tp_nonzero(X(0)))                                             \
    XX(sum, tp_sum(X(0)))                                                     \
    XX(sum_dim, tp_sum_dim(X(0), g->dims, I(0)))                              \
    XX(mean, tp_mean(X(0)))                                                   \
    XX(mean_dim, tp_mean_dim(X(0), g->dims, I(0)))                            \
    XX(prod, tp_prod(X(0)))                                                   \
    XX(prod_dim, tp_prod_dim(X(0), I(0), I(1)))                               \
    XX(var, tp_var(X(0), I(0)))                                               \
    XX(var_dim, tp_var_dim(X(0), g->dims, I(0)))                              \
    XX(std, tp_std(X(0), I(0)))                                               \
    XX(std_dim, tp_std_dim(X(0), g->dims, I(0)))                              \
    XX(max, tp_max(X(0)))                                                     \
    XX(min, tp_min(X(0)))                                                     \
    XX(max_dim, index_too(g, tp_max_dim))                                     \
    XX(min_dim, index_too(g, tp_min_dim))                                     \
    XX(argmax, tp_argmax(X(0)))                                               \
    XX(argmin, tp_argmin(X(0)))                                               \
    XX(argmax_dim, tp_argmax_dim(X(0), I(0), I(1)))                           \
    XX(argmin_dim, tp_argmin_dim(X(0), I(0), I(1)))                           \
    XX(any, tp_any(X(0)))                                                     \
    XX(all, tp_all(X(0)))                                                     \
    XX(any_dim, tp_any_dim(X(0), I(0), I(1)))                                 \
    XX(all_dim, tp_all_dim(X(0), I(0), I(1)))                                 \
    XX(matmul, tp_matmul(X(0), X(1)))                                         \
    XX(linear, tp_linear(X(0), X(1), X(2)))                                   \
    XX(softmax, tp_softmax(X(0), I(0)))                                       \
    XX(log_softmax, tp_log_softmax(X(0), I(0)))                               \
    XX(l1_loss, tp_l1_loss(X(0), X(1)))                                       \
    XX(mse_loss, tp_mse_loss(X(0), X(1)))                                     \
    XX(cross_entropy, tp_cross_entropy(X(0), X(1)))                           \
    XX(nll_loss, tp_nll_loss(X(0), X(1)))                                     \
    XX(binary_cross_entropy_with_logits,                                      \
       tp_binary_cross_entropy_with_logits(X(0), X(1)))                       \
    XX(mnist_loss, tp_mnist_loss(X(0), X(1)))                                 \
    XX(add_, tp_add_(X(0), X(1)))                                             \
    XX(sub_, tp_sub_(X(0), X(1)))                                             \
    XX(mul_, tp_mul_(X(0), X(1)))                                             \
    XX(div_, tp_div_(X(0), X(1)))                                             \
    XX(copy_, tp_copy_(X(0), X(1)))                                           \
    XX(fill_, tp_fill_(X(0), D(0)))                                           \
    XX(zero_, tp_zero_(X(0)))                                                 \
    XX(masked_fill_, tp_masked_fill_(X(0), X(1), D(0)))                       \
    XX(index_copy_, tp_index_copy_(X(0), I(0), X(1), X(2)))

/* clamp, leaky_relu and elu take numbers. */
#define PARAMS_clamp , D(0), D(1)
#define PARAMS_leaky_relu , D(0)
#define PARAMS_elu , D(0)

#define DEFINE(name, expr) \
    static tp_tensor *call_##name(arguments *g) { return expr; }
#define UNARY(name, ...) DEFINE(name, tp_##name(X(0)))
#define UNARY_NUM UNARY
#define TEST UNARY
#define BINARY(name, ...) DEFINE(name, tp_##name(X(0), X(1)))
#define BINARY_NUM BINARY
#define COMPARE BINARY
#define BITWISE BINARY
#define PARAM(name, ...) DEFINE(name, tp_##name(X(0) PARAMS_##name))
#include "kernels/pointwise.def"
REST_OF_THE_OPS(DEFINE)
#undef DEFINE

typedef struct call {
    const char *name;
    tp_tensor *(*run)(arguments *g);
} call;

#define ROW(name, ...) {#name, call_##name},
static const call calls[] = {
#define UNARY ROW
#define UNARY_NUM ROW
#define TEST ROW
#define BINARY ROW
#define BINARY_NUM ROW
#define COMPARE ROW
#define BITWISE ROW
#define PARAM ROW
#include "kernels/pointwise.def"
    REST_OF_THE_OPS(ROW)};
#undef ROW

enum { CALLS = sizeof calls / sizeof *calls };
#endif
