/* calls.h -- every public function that gives a tensor, as a call on parsed arguments.
 *
 * The elementwise ops come from pointwise.def, so a new row is tested at once (and missed by name
 * in test_diff.c until programs.py makes calls of it). X(k) is the k-th tensor among the arguments,
 * I(k) the k-th int, D(k) the k-th double. */
#ifndef TAPER_TESTS_CALLS_H
#define TAPER_TESTS_CALLS_H
#define TAPER_PLAIN
#include <math.h>
#include <string.h>

#include "taper/ops.h"

enum { ARGUMENTS = 4, MOST = 500 }; /* of a kind; results and tensors in a list */

typedef struct arguments {
    tp_tensor *x[ARGUMENTS], *list[MOST], *more[MOST]; /* more: results after the first */
    int64_t i[ARGUMENTS];
    double d[ARGUMENTS];
    tp_shape shape;
    tp_dims dims;
    tp_dtype dtype;
    char text[64];
    tp_rng *rng; /* used by the call, or NULL */
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

/* The tensor itself, and its slices are more. */
static tp_tensor *all_slices(arguments *g) {
    int64_t n = tp_ndim(X(0)) ? tp_size(X(0), I(0)) : 1;
    if (n > MOST || (n = tp_unbind(X(0), I(0), g->more, n)) < 0) return NULL;
    g->n_more = (int)n;
    return X(0);
}

/* Values and where they come from, of sort and topk; values and how many, of unique. */
static tp_tensor *and_one_more(arguments *g, tp_tensor *value) {
    g->n_more = value ? 1 : 0;
    return value;
}

static double half(double v, void *user) {
    (void)user;
    return floor(v / 2);
}
static bool is_over_half(double v, void *user) {
    (void)user;
    return v > 0.5;
}

/* One number as a tensor, if there was no error. */
static tp_tensor *as_tensor(double v, tp_dtype dtype) {
    return tp_error_code() ? NULL : tp_scalar(v, dtype);
}

/* A generator that is gone after the call. */
static tp_rng *seeded(arguments *g, int64_t seed) {
    return g->rng = tp_rng_new((uint64_t)seed);
}

#define REST_OF_THE_OPS(XX)                                                               \
    XX(zeros, tp_zeros(g->shape, g->dtype))                                               \
    XX(ones, tp_ones(g->shape, g->dtype))                                                 \
    XX(full, tp_full(g->shape, D(0), g->dtype))                                           \
    XX(zeros_like, tp_zeros_like(X(0)))                                                   \
    XX(ones_like, tp_ones_like(X(0)))                                                     \
    XX(full_like, tp_full_like(X(0), D(0)))                                               \
    XX(eye, tp_eye(g->i[0], g->dtype))                                                    \
    XX(arange, tp_arange(D(0), D(1), D(2), g->dtype))                                     \
    XX(linspace, tp_linspace(D(0), D(1), g->i[0]))                                        \
    XX(scalar, tp_scalar(D(0), g->dtype))                                                 \
    XX(item, as_tensor(tp_item(X(0)), TP_FLOAT64))                                        \
    XX(equal, as_tensor(tp_equal(X(0), X(1)), TP_BOOL))                                   \
    XX(allclose, as_tensor(tp_allclose(X(0), X(1), D(0), D(1)), TP_BOOL))                 \
    XX(rand, tp_rand(g->shape, g->dtype, seeded(g, g->i[0])))                             \
    XX(randn, tp_randn(g->shape, g->dtype, seeded(g, g->i[0])))                           \
    XX(randint, tp_randint(g->i[0], g->i[1], g->shape, seeded(g, g->i[2])))               \
    XX(randperm, tp_randperm(g->i[0], seeded(g, g->i[1])))                                \
    XX(bernoulli, tp_bernoulli(X(0), seeded(g, g->i[0])))                                 \
    XX(uniform_, tp_uniform_(X(0), D(0), D(1), seeded(g, g->i[0])))                       \
    XX(normal_, tp_normal_(X(0), D(0), D(1), seeded(g, g->i[0])))                         \
    XX(bernoulli_, tp_bernoulli_(X(0), D(0), seeded(g, g->i[0])))                         \
    XX(flip, tp_flip(X(0), g->dims))                                                      \
    XX(index, tp_index(X(0), X(1)))                                                       \
    XX(index_put_, tp_index_put_(X(0), X(1), X(2)))                                       \
    XX(map, tp_map(X(0), half, NULL))                                                     \
    XX(filter, tp_filter(X(0), is_over_half, NULL))                                       \
    XX(norm, tp_norm(X(0)))                                                               \
    XX(sort, and_one_more(g, tp_sort(X(0), I(0), I(1), &g->more[0])))                     \
    XX(topk, and_one_more(g, tp_topk(X(0), g->i[0], (int)g->i[1], &g->more[0])))          \
    XX(argsort, tp_argsort(X(0), I(0), I(1)))                                             \
    XX(cumsum, tp_cumsum(X(0), I(0)))                                                     \
    XX(unique, and_one_more(g, tp_unique(X(0), &g->more[0])))                             \
    XX(bincount, tp_bincount(X(0), g->i[0]))                                              \
    XX(one_hot, tp_one_hot(X(0), g->i[0]))                                                \
    XX(view, tp_view(X(0), g->shape))                                                     \
    XX(reshape, tp_reshape(X(0), g->shape))                                               \
    XX(permute, tp_permute(X(0), g->dims))                                                \
    XX(transpose, tp_transpose(X(0), I(0), I(1)))                                         \
    XX(T, tp_T(X(0)))                                                                     \
    XX(squeeze, tp_squeeze(X(0)))                                                         \
    XX(squeeze_dim, tp_squeeze_dim(X(0), I(0)))                                           \
    XX(unsqueeze, tp_unsqueeze(X(0), I(0)))                                               \
    XX(expand, tp_expand(X(0), g->shape))                                                 \
    XX(flatten, tp_flatten(X(0), I(0), I(1)))                                             \
    XX(slice, tp_slice(X(0), I(0), g->i[1], g->i[2], g->i[3]))                            \
    XX(select, tp_select(X(0), I(0), g->i[1]))                                            \
    XX(at, tp_at(X(0), g->text))                                                          \
    XX(unbind, all_slices(g))                                                             \
    XX(cat, tp_cat(g->list, g->n_list, I(0)))                                             \
    XX(stack, tp_stack(g->list, g->n_list, I(0)))                                         \
    XX(clone, tp_clone(X(0)))                                                             \
    XX(contiguous, tp_contiguous(X(0)))                                                   \
    XX(to, tp_to(X(0), g->dtype))                                                         \
    XX(detach, tp_detach(X(0)))                                                           \
    XX(where, tp_where(X(0), X(1), X(2)))                                                 \
    XX(masked_fill, tp_masked_fill(X(0), X(1), D(0)))                                     \
    XX(masked_select, tp_masked_select(X(0), X(1)))                                       \
    XX(index_select, tp_index_select(X(0), I(0), X(1)))                                   \
    XX(gather, tp_gather(X(0), I(0), X(1)))                                               \
    XX(nonzero, tp_nonzero(X(0)))                                                         \
    XX(sum, tp_sum(X(0)))                                                                 \
    XX(sum_dim, tp_sum_dim(X(0), g->dims, I(0)))                                          \
    XX(mean, tp_mean(X(0)))                                                               \
    XX(mean_dim, tp_mean_dim(X(0), g->dims, I(0)))                                        \
    XX(prod, tp_prod(X(0)))                                                               \
    XX(prod_dim, tp_prod_dim(X(0), I(0), I(1)))                                           \
    XX(var, tp_var(X(0), I(0)))                                                           \
    XX(var_dim, tp_var_dim(X(0), g->dims, I(0)))                                          \
    XX(std, tp_std(X(0), I(0)))                                                           \
    XX(std_dim, tp_std_dim(X(0), g->dims, I(0)))                                          \
    XX(max, tp_max(X(0)))                                                                 \
    XX(min, tp_min(X(0)))                                                                 \
    XX(max_dim, index_too(g, tp_max_dim))                                                 \
    XX(min_dim, index_too(g, tp_min_dim))                                                 \
    XX(argmax, tp_argmax(X(0)))                                                           \
    XX(argmin, tp_argmin(X(0)))                                                           \
    XX(argmax_dim, tp_argmax_dim(X(0), I(0), I(1)))                                       \
    XX(argmin_dim, tp_argmin_dim(X(0), I(0), I(1)))                                       \
    XX(any, tp_any(X(0)))                                                                 \
    XX(all, tp_all(X(0)))                                                                 \
    XX(any_dim, tp_any_dim(X(0), I(0), I(1)))                                             \
    XX(all_dim, tp_all_dim(X(0), I(0), I(1)))                                             \
    XX(matmul, tp_matmul(X(0), X(1)))                                                     \
    XX(linear, tp_linear(X(0), X(1), X(2)))                                               \
    XX(softmax, tp_softmax(X(0), I(0)))                                                   \
    XX(log_softmax, tp_log_softmax(X(0), I(0)))                                           \
    XX(l1_loss, tp_l1_loss(X(0), X(1)))                                                   \
    XX(mse_loss, tp_mse_loss(X(0), X(1)))                                                 \
    XX(cross_entropy, tp_cross_entropy(X(0), X(1)))                                       \
    XX(nll_loss, tp_nll_loss(X(0), X(1)))                                                 \
    XX(binary_cross_entropy_with_logits, tp_binary_cross_entropy_with_logits(X(0), X(1))) \
    XX(binary_cross_entropy, tp_binary_cross_entropy(X(0), X(1)))                         \
    XX(mnist_loss, tp_mnist_loss(X(0), X(1)))                                             \
    XX(add_, tp_add_(X(0), X(1)))                                                         \
    XX(sub_, tp_sub_(X(0), X(1)))                                                         \
    XX(mul_, tp_mul_(X(0), X(1)))                                                         \
    XX(div_, tp_div_(X(0), X(1)))                                                         \
    XX(copy_, tp_copy_(X(0), X(1)))                                                       \
    XX(fill_, tp_fill_(X(0), D(0)))                                                       \
    XX(zero_, tp_zero_(X(0)))                                                             \
    XX(masked_fill_, tp_masked_fill_(X(0), X(1), D(0)))                                   \
    XX(index_copy_, tp_index_copy_(X(0), I(0), X(1), X(2)))

/* clamp, leaky_relu and elu take numbers. */
#define PARAMS_clamp , D(0), D(1)
#define PARAMS_leaky_relu , D(0)
#define PARAMS_elu , D(0)

#define DEFINE(name, expr)                        \
    static tp_tensor *call_##name(arguments *g) { \
        return expr;                              \
    }
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
