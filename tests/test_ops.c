/* test_ops.c -- every op x layouts x dtypes, from tables: gradients against differences in float64,
 * float32 gradients against float64 ones, and proof that the harness finds wrong gradients.
 *
 * A case is an op on one or two leaves; a layout is how the op's operands lie on those leaves
 * (dense, transposed, sliced, broadcast, expanded). Pointwise cases come from pointwise.def. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"
#include "tensor/tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct op_case {
    const char *name;
    int nin;
    tp_shape a, b; /* operands as the op sees them */
    double lo, hi;
    tp_tensor *(*f)(tp_tensor *a, tp_tensor *b);
    int freedom; /* 0: these ranks and sizes only; 1: may be emptied; 2: any shape, operands
                    broadcast */
} op_case;

/* ---- pointwise rows -------------------------------------------------------------------------- */

#define CALL1(name)                                             \
    static tp_tensor *call_##name(tp_tensor *a, tp_tensor *b) { \
        (void)b;                                                \
        return tp_##name(a);                                    \
    }
#define CALL2(name)                                             \
    static tp_tensor *call_##name(tp_tensor *a, tp_tensor *b) { \
        return tp_##name(a, b);                                 \
    }
#define CALLP(name) static tp_tensor *call_##name(tp_tensor *a, tp_tensor *b);
#define UNARY(name, ...) CALL1(name)
#define UNARY_NUM(name, ...) CALL1(name)
#define TEST(name, ...)
#define BINARY(name, ...) CALL2(name)
#define BINARY_NUM(name, ...) CALL2(name)
#define COMPARE(name, ...)
#define BITWISE(name, ...)
#define PARAM(name, ...) CALLP(name)
#include "kernels/pointwise.def"

static tp_tensor *call_clamp(tp_tensor *a, tp_tensor *b) {
    (void)b;
    return tp_clamp(a, -1.03, 0.97);
}
static tp_tensor *call_leaky_relu(tp_tensor *a, tp_tensor *b) {
    (void)b;
    return tp_leaky_relu(tp_sub(a, 1), 0.1);
}
static tp_tensor *call_elu(tp_tensor *a, tp_tensor *b) {
    (void)b;
    return tp_elu(tp_sub(a, 1), 0.7);
}

/* ---- structured ops -------------------------------------------------------------------------- */

#define ONE(id, expr)                                  \
    static tp_tensor *id(tp_tensor *a, tp_tensor *b) { \
        (void)b;                                       \
        return expr;                                   \
    }
#define TWO(id, expr)                                  \
    static tp_tensor *id(tp_tensor *a, tp_tensor *b) { \
        return expr;                                   \
    }
ONE(f_view, tp_view(tp_contiguous(a), TP_SHAPE(-1, 2)))
ONE(f_reshape, tp_reshape(a, TP_SHAPE(5, -1)))
ONE(f_flatten, tp_flatten(a, 0, 1))
ONE(f_permute, tp_permute(a, TP_DIMS(2, 0, 1)))
ONE(f_transpose, tp_transpose(a, 0, -1))
ONE(f_T, tp_T(a))
ONE(f_squeeze, tp_squeeze(tp_unsqueeze(a, 1)))
ONE(f_squeeze_dim, tp_squeeze_dim(tp_unsqueeze(a, -1), -1))
ONE(f_expand, tp_expand(tp_unsqueeze(a, 0), TP_SHAPE(3, -1, -1)))
ONE(f_slice, tp_slice(a, 1, 1, 5, 2))
ONE(f_select, tp_select(a, 0, -1))
ONE(f_at, tp_at(a, "1:, ..., None, ::2"))
ONE(f_alias, tp_at(a, ":"))
ONE(f_clone, tp_clone(a))
TWO(f_cat, tp_cat((tp_tensor *[]){a, b, a}, 3, 1))
TWO(f_stack, tp_stack((tp_tensor *[]){a, b}, 2, 1))
TWO(f_where, tp_where(tp_gt(tp_detach(a), 0), a, b))
ONE(f_masked_fill, tp_masked_fill(a, tp_lt(tp_detach(a), 0), 3))
ONE(f_masked_select, tp_masked_select(a, tp_lt(tp_detach(a), 0.5)))
ONE(f_masked_grow, tp_masked_select(a, tp_lt(tp_arange(0, 8, 1, TP_INT64), 3)))
ONE(f_index_select, tp_index_select(a, 1, tp_ints(TP_SHAPE(4), 2, 0, -1, 2)))
ONE(f_gather, tp_gather(a, 1, tp_ints(TP_SHAPE(2, 3), 0, 1, 1, 4, -1, 4)))
ONE(f_index, tp_index(a, tp_ints(TP_SHAPE(2, 2), 2, 0, -1, 2)))
ONE(f_index_rows, tp_index(a, tp_gt(tp_ints(TP_SHAPE(3), 1, 0, 1), 0)))
ONE(f_index_mask, tp_index(a, tp_lt(tp_detach(a), 0.5)))
ONE(f_sort, tp_sort(a, 1, 0, NULL))
ONE(f_sort_down, tp_sort(a, 0, TP_DESCENDING, NULL))
ONE(f_topk, tp_topk(a, 2, 1, NULL))
ONE(f_cumsum, tp_cumsum(a, 0))
ONE(f_flip, tp_flip(a, TP_DIMS(0, -1)))
ONE(f_norm, tp_norm(a))
ONE(f_sum, tp_sum(a))
ONE(f_sum_0, tp_sum_dim(a, TP_DIMS(0), 0))
ONE(f_sum_last, tp_sum_dim(a, TP_DIMS(-1), TP_KEEPDIM))
ONE(f_sum_02, tp_sum_dim(a, TP_DIMS(0, 2), 0))
ONE(f_mean, tp_mean(a))
ONE(f_mean_dims, tp_mean_dim(a, TP_DIMS(-1, -2), 0))
ONE(f_prod, tp_prod(a))
ONE(f_prod_dim, tp_prod_dim(a, 1, 0))
ONE(f_prod_zeros,
    tp_prod_dim(tp_mul(a, tp_floats(TP_SHAPE(3, 5), 1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1)),
                1, 0))
ONE(f_var, tp_var(a, 0))
ONE(f_var_dim, tp_var_dim(a, TP_DIMS(1), TP_BIASED | TP_KEEPDIM))
ONE(f_std, tp_std(a, 0))
ONE(f_std_dim, tp_std_dim(a, TP_DIMS(0, 1), 0))
ONE(f_max, tp_max(a))
ONE(f_min, tp_min(a))
ONE(f_max_dim, tp_max_dim(a, 1, 0, NULL))
ONE(f_min_dim, tp_min_dim(a, 0, TP_KEEPDIM, NULL))
TWO(f_matmul, tp_matmul(a, b))
TWO(f_linear, tp_linear(a, b, tp_select(b, 1, 0)))
TWO(f_linear_nobias, tp_linear(a, b, TP_NONE))
ONE(f_softmax, tp_softmax(a, -1))
ONE(f_softmax_0, tp_softmax(a, 0))
ONE(f_log_softmax, tp_log_softmax(a, 1))
TWO(f_l1, tp_l1_loss(a, tp_add(b, 5)))
TWO(f_mse, tp_mse_loss(a, b))
ONE(f_cross_entropy, tp_cross_entropy(a, tp_ints(TP_SHAPE(3), 4, 0, 2)))
ONE(f_nll, tp_nll_loss(a, tp_ints(TP_SHAPE(3), 4, 0, 2)))
ONE(f_bce, tp_binary_cross_entropy_with_logits(a, tp_floats(TP_SHAPE(3, 1), 1, 0, 0.25f)))
ONE(f_bce_p, tp_binary_cross_entropy(a, tp_floats(TP_SHAPE(3, 1), 1, 0, 0.25f)))
TWO(f_bce_pt, tp_binary_cross_entropy(a, b))
TWO(f_bce_t, tp_binary_cross_entropy_with_logits(a, b))
ONE(f_mnist, tp_mnist_loss(a, tp_ints(TP_SHAPE(3, 1), 1, 0, 1)))
ONE(f_pow2, tp_pow(a, 2))
ONE(f_root, tp_pow(a, 0.5))
ONE(f_pow3, tp_pow(a, 3))
ONE(f_pow1, tp_pow(a, 1))
ONE(f_pow_less1, tp_pow(a, -1))
ONE(f_pow_less2, tp_pow(a, -2))
ONE(f_pow_less_half, tp_pow(a, -0.5))
ONE(f_rpow, tp_pow(2, a))
ONE(f_rsub, tp_sub(1, a))
ONE(f_rdiv, tp_div(1, a))
TWO(f_chain, tp_mul(tp_sigmoid(tp_add(tp_matmul(a, b), 1)), tp_tanh(tp_matmul(a, b))))

#define S1(n) \
    {         \
        1, {  \
            n \
        }     \
    }
#define S2(m, n) \
    {            \
        2, {     \
            m, n \
        }        \
    }
#define S3(k, m, n) \
    {               \
        3, {        \
            k, m, n \
        }           \
    }
static const op_case cases[] = {
#define UNARY(name, fn, sv, lo, hi, ...) {#name, 1, S2(3, 5), {0}, lo, hi, call_##name, 2},
#define UNARY_NUM(name, fn, sv, lo, hi, ...) {#name, 1, S2(3, 5), {0}, lo, hi, call_##name, 2},
#define TEST(name, ...)
#define BINARY(name, fn, sv, lo, hi, ...) {#name, 2, S2(3, 5), S2(3, 5), lo, hi, call_##name, 2},
#define BINARY_NUM(name, fn, sv, lo, hi, ...) \
    {#name, 2, S2(3, 5), S2(3, 5), lo, hi, call_##name, 2},
#define COMPARE(name, ...)
#define BITWISE(name, ...)
#define PARAM(name, fn, sv, lo, hi, ...) {#name, 1, S2(3, 5), {0}, lo, hi, call_##name, 2},
#include "kernels/pointwise.def"
    {"view", 1, S2(3, 4), {0}, -2, 2, f_view, 0},
    {"reshape", 1, S2(3, 5), {0}, -2, 2, f_reshape, 0},
    {"flatten", 1, S3(2, 3, 4), {0}, -2, 2, f_flatten, 0},
    {"permute", 1, S3(2, 3, 4), {0}, -2, 2, f_permute, 0},
    {"transpose", 1, S3(2, 3, 4), {0}, -2, 2, f_transpose, 0},
    {"T", 1, S2(3, 4), {0}, -2, 2, f_T, 1},
    {"squeeze", 1, S2(3, 4), {0}, -2, 2, f_squeeze, 1},
    {"squeeze dim", 1, S2(3, 4), {0}, -2, 2, f_squeeze_dim, 1},
    {"expand", 1, S2(2, 3), {0}, -2, 2, f_expand, 1},
    {"slice", 1, S2(3, 6), {0}, -2, 2, f_slice, 1},
    {"select", 1, S2(3, 4), {0}, -2, 2, f_select, 0},
    {"at", 1, S3(3, 4, 5), {0}, -2, 2, f_at, 0},
    {"at :", 1, S2(3, 4), {0}, -2, 2, f_alias, 1},
    {"clone", 1, S2(3, 4), {0}, -2, 2, f_clone, 2},
    {"cat", 2, S2(3, 4), S2(3, 2), -2, 2, f_cat, 0},
    {"stack", 2, S2(3, 4), S2(3, 4), -2, 2, f_stack, 0},
    {"where", 2, S2(3, 5), S2(3, 5), -2, 2, f_where, 2},
    {"masked_fill", 1, S2(3, 5), {0}, -2, 2, f_masked_fill, 2},
    {"masked_select", 1, S2(3, 5), {0}, -2, 2, f_masked_select, 1},
    {"masked_select, mask larger", 1, S2(3, 1), {0}, -2, 2, f_masked_grow, 0},
    {"index_select", 1, S2(3, 4), {0}, -2, 2, f_index_select, 0},
    {"gather", 1, S2(3, 5), {0}, -2, 2, f_gather, 0},
    {"index, positions", 1, S2(3, 4), {0}, -2, 2, f_index, 0},
    {"index, rows of a mask", 1, S2(3, 4), {0}, -2, 2, f_index_rows, 0},
    {"index, mask", 1, S2(3, 5), {0}, -2, 2, f_index_mask, 1},
    {"sort 1", 1, S3(3, 5, 2), {0}, -2, 2, f_sort, 1},
    {"sort 0 descending", 1, S2(5, 3), {0}, -2, 2, f_sort_down, 1},
    {"topk", 1, S2(3, 5), {0}, -2, 2, f_topk, 0},
    {"cumsum", 1, S3(3, 2, 2), {0}, -2, 2, f_cumsum, 2},
    {"flip", 1, S3(3, 2, 2), {0}, -2, 2, f_flip, 1},
    {"norm", 1, S2(3, 5), {0}, 0.5, 2, f_norm, 0},
    {"sum", 1, S3(2, 3, 4), {0}, -2, 2, f_sum, 1},
    {"sum 0", 1, S3(2, 3, 4), {0}, -2, 2, f_sum_0, 1},
    {"sum -1 keepdim", 1, S3(2, 3, 4), {0}, -2, 2, f_sum_last, 1},
    {"sum (0, 2)", 1, S3(2, 3, 4), {0}, -2, 2, f_sum_02, 0},
    {"mean", 1, S3(2, 3, 4), {0}, -2, 2, f_mean, 0},
    {"mean (-1, -2)", 1, S3(2, 3, 4), {0}, -2, 2, f_mean_dims, 0},
    {"prod", 1, S2(2, 3), {0}, 0.5, 2, f_prod, 1},
    {"prod 1", 1, S2(3, 4), {0}, 0.5, 2, f_prod_dim, 1},
    {"prod with zeros", 1, S2(3, 5), {0}, 0.5, 2, f_prod_zeros, 0},
    {"var", 1, S2(3, 5), {0}, -2, 2, f_var, 0},
    {"var 1 biased", 1, S2(3, 5), {0}, -2, 2, f_var_dim, 0},
    {"std", 1, S2(3, 5), {0}, -2, 2, f_std, 0},
    {"std (0, 1)", 1, S3(2, 3, 4), {0}, -2, 2, f_std_dim, 0},
    {"max", 1, S2(3, 5), {0}, -2, 2, f_max, 0},
    {"min", 1, S2(3, 5), {0}, -2, 2, f_min, 0},
    {"max 1", 1, S2(3, 5), {0}, -2, 2, f_max_dim, 0},
    {"min 0 keepdim", 1, S3(3, 5, 2), {0}, -2, 2, f_min_dim, 0},
    {"matmul 2-d", 2, S2(3, 5), S2(5, 4), -2, 2, f_matmul, 0},
    {"matmul 1-d 1-d", 2, S1(5), S1(5), -2, 2, f_matmul, 0},
    {"matmul 2-d 1-d", 2, S2(3, 5), S1(5), -2, 2, f_matmul, 0},
    {"matmul 1-d 2-d", 2, S1(5), S2(5, 2), -2, 2, f_matmul, 0},
    {"matmul 3-d 2-d", 2, S3(2, 3, 5), S2(5, 4), -2, 2, f_matmul, 0},
    {"matmul 2-d 3-d", 2, S2(3, 5), S3(2, 5, 4), -2, 2, f_matmul, 0},
    {"matmul 1-d 3-d", 2, S1(5), S3(2, 5, 4), -2, 2, f_matmul, 0},
    {"matmul 3-d 1-d", 2, S3(2, 3, 5), S1(5), -2, 2, f_matmul, 0},
    {"matmul batches broadcast", 2, S3(1, 3, 5), {4, {2, 3, 5, 2}}, -2, 2, f_matmul, 0},
    {"matmul K = 0", 2, S2(3, 0), S2(0, 4), -2, 2, f_matmul, 0},
    {"linear", 2, S2(3, 5), S2(4, 5), -2, 2, f_linear, 0},
    {"linear 1-d", 2, S1(5), S2(4, 5), -2, 2, f_linear, 0},
    {"linear 3-d, no bias", 2, S3(2, 3, 5), S2(4, 5), -2, 2, f_linear_nobias, 0},
    {"softmax", 1, S2(3, 5), {0}, -2, 2, f_softmax, 1},
    {"softmax 0", 1, S3(3, 2, 4), {0}, -2, 2, f_softmax_0, 1},
    {"log_softmax 1", 1, S3(2, 5, 3), {0}, -2, 2, f_log_softmax, 0},
    {"l1_loss", 2, S2(3, 5), S2(3, 5), -2, 2, f_l1, 1},
    {"mse_loss", 2, S2(3, 5), S2(3, 5), -2, 2, f_mse, 0},
    {"cross_entropy", 1, S2(3, 5), {0}, -2, 2, f_cross_entropy, 0},
    {"nll_loss", 1, S2(3, 5), {0}, -2, 2, f_nll, 0},
    {"binary_cross_entropy_with_logits", 1, S2(3, 1), {0}, -2, 2, f_bce, 0},
    {"binary_cross_entropy_with_logits of two", 2, S2(3, 1), S2(3, 1), 0.1, 0.9, f_bce_t, 0},
    {"binary_cross_entropy", 1, S2(3, 1), {0}, 0.1, 0.9, f_bce_p, 0},
    {"binary_cross_entropy of two", 2, S2(3, 1), S2(3, 1), 0.1, 0.9, f_bce_pt, 0},
    {"mnist_loss", 1, S2(3, 1), {0}, -2, 2, f_mnist, 0},
    {"pow 2", 1, S2(3, 5), {0}, -2, 2, f_pow2, 2},
    {"pow 0.5", 1, S2(3, 5), {0}, 0.3, 2, f_root, 2},
    {"pow 3", 1, S2(3, 5), {0}, -2, 2, f_pow3, 2},
    {"pow 1", 1, S2(3, 5), {0}, -2, 2, f_pow1, 2},
    {"pow -1", 1, S2(3, 5), {0}, 0.5, 2, f_pow_less1, 2},
    {"pow -2", 1, S2(3, 5), {0}, 0.5, 2, f_pow_less2, 2},
    {"pow -0.5", 1, S2(3, 5), {0}, 0.3, 2, f_pow_less_half, 2},
    {"2 ^ x", 1, S2(3, 5), {0}, -2, 2, f_rpow, 2},
    {"1 - x", 1, S2(3, 5), {0}, -2, 2, f_rsub, 2},
    {"1 / x", 1, S2(3, 5), {0}, 0.5, 2, f_rdiv, 2},
    {"a chain", 2, S2(3, 5), S2(5, 4), -1, 1, f_chain, 0},
};
enum { NCASES = sizeof cases / sizeof *cases };

/* ---- layouts --------------------------------------------------------------------------------- */

typedef enum layout {
    DENSE,
    TRANSPOSED,
    SLICED,
    OFFSET,
    ROW,
    COLUMN,
    SCALAR,
    EMPTY,
    ZERO_D,
    LAYOUTS
} layout;
static const char *const layout_name[] = {"dense",  "transposed",  "sliced", "offset", "row",
                                          "column", "0-d partner", "empty",  "0-d"};

/* Shape of the leaf under an operand of shape s. */
static tp_shape leaf_shape(tp_shape s, layout l, bool second) {
    tp_shape r = s;
    switch (l) {
    case TRANSPOSED:
        for (int d = 0; d < s.ndim; d++) r.dim[d] = s.dim[s.ndim - 1 - d];
        break;
    case SLICED:
        for (int d = 0; d < s.ndim; d++) r.dim[d] = 2 * s.dim[d] + 1;
        break;
    case OFFSET:
        for (int d = 0; d < s.ndim; d++) r.dim[d] = s.dim[d] + 2;
        break;
    case ROW:
        if (second) r = TP_SHAPE(s.dim[s.ndim - 1]);
        break;
    case COLUMN:
        if (second) r.dim[s.ndim - 1] = 1;
        break;
    case SCALAR:
        if (second) r = TP_0D;
        break;
    case EMPTY: r.dim[0] = 0; break;
    case ZERO_D: r = TP_0D; break;
    default: break;
    }
    return r;
}
/* The operand on its leaf. */
static tp_tensor *operand(tp_tensor *leaf, layout l) {
    const int nd = tp_ndim(leaf);
    if (l == TRANSPOSED) return tp_T(leaf);
    for (int d = 0; d < nd && l == SLICED; d++) leaf = tp_slice(leaf, d, 1, tp_size(leaf, d), 2);
    for (int d = 0; d < nd && l == OFFSET; d++) leaf = tp_slice(leaf, d, 1, -1, 1);
    return leaf;
}
static bool applies(const op_case *c, layout l) {
    if (l <= OFFSET) return true;
    if (l == EMPTY) return c->freedom >= 1;
    return c->freedom == 2 && (l == ZERO_D || c->nin == 2);
}

typedef struct job {
    const op_case *c;
    layout l;
} job;
static tp_tensor *run(tp_tensor *const *in, int n, void *user) {
    const job *j = user;
    return j->c->f(operand(in[0], j->l), n > 1 ? operand(in[1], j->l) : NULL);
}

/* Leaves of dtype d with the same values for every dtype. */
static void make_leaves(const job *j, tp_dtype d, tp_tensor *leaf[2]) {
    tp_rng *rng = tp_rng_new(7);
    for (int i = 0; i < j->c->nin; i++) {
        const tp_shape s = leaf_shape(i ? j->c->b : j->c->a, j->l, i == 1);
        tp_tensor *v = tp_uniform_(tp_zeros(s, TP_FLOAT32), j->c->lo, j->c->hi, rng);
        leaf[i] = tp_requires_grad_(tp_contiguous(tp_clone(tp_to(v, d))));
    }
    tp_rng_free(rng);
}

static int checked;

static void gradients_fit(const job *j) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *leaf[2];
    make_leaves(j, TP_FLOAT64, leaf);
    if (tp_gradcheck(run, leaf, j->c->nin, (void *)j, 0, 2e-6))
        fail_msg("%s, %s: %s", j->c->name, layout_name[j->l], tp_error_message());
    checked++;
    tp_scope_end(s);
}

static void test_gradients(void **state) {
    (void)state;
    for (int i = 0; i < NCASES; i++)
        for (layout l = DENSE; l < LAYOUTS; l++)
            if (applies(&cases[i], l)) gradients_fit(&(job){&cases[i], l});
    print_message("[          ] %d op and layout pairs, %d cases\n", checked, NCASES);
}

/* ---- float32 against float64 ----------------------------------------------------------------- */

static void backward(const job *j, tp_dtype d, tp_tensor *leaf[2]) {
    make_leaves(j, d, leaf);
    tp_tensor *y = run(leaf, j->c->nin, (void *)j);
    tp_tensor *w =
        y ? tp_add(
                tp_mul(tp_ones_like(y), 0.75),
                tp_mul(tp_reshape(tp_arange(0, (double)tp_numel(y), 1, d), tp_shape_of(y)), 0.01))
          : NULL;
    if (tp_backward_from(y, w))
        fail_msg("%s, %s: %s", j->c->name, layout_name[j->l], tp_error_message());
}

static void test_float32_gradients(void **state) {
    (void)state;
    for (int i = 0; i < NCASES; i++)
        for (layout l = DENSE; l < LAYOUTS; l++) {
            const job j = {&cases[i], l};
            if (!applies(j.c, l)) continue;
            const tp_scope s = tp_scope_begin();
            tp_tensor *narrow[2], *wide[2];
            backward(&j, TP_FLOAT32, narrow);
            backward(&j, TP_FLOAT64, wide);
            for (int k = 0; k < j.c->nin; k++) {
                tp_tensor *g = tp_grad(narrow[k]), *h = tp_grad(wide[k]);
                assert_true((g != NULL) == (h != NULL));
                if (!g) continue;
                assert_int_equal(tp_dtype_of(g), TP_FLOAT32);
                if (!tp_allclose(tp_to(g, TP_FLOAT64), h, 2e-5, 2e-5))
                    fail_msg("%s, %s: the float32 gradient of input %d is off", j.c->name,
                             layout_name[l], k);
            }
            tp_scope_end(s);
        }
}

/* ---- no memory ------------------------------------------------------------------------------- */

/* Forward and backward with the n-th allocation failing, for every n there is: ENOMEM or
 * success, no leak. */
static void test_every_allocation_may_fail(void **state) {
    (void)state;
    int64_t failures = 0;
    for (int i = 0; i < NCASES; i++) {
        const job j = {&cases[i], i % 2 ? TRANSPOSED : DENSE};
        for (int64_t n = 1;; n++) {
            const tp_scope s = tp_scope_begin();
            tp_tensor *leaf[2];
            make_leaves(&j, TP_FLOAT32, leaf);
            tp__alloc_fail_at(n);
            tp_tensor *y = run(leaf, j.c->nin, (void *)&j);
            const tp_status r = y ? tp_backward_from(y, tp_ones_like(y)) : tp_error_code();
            const bool failed = tp__alloc_failed();
            tp__alloc_fail_at(0);
            tp_scope_end(s);
            if (!failed) {
                assert_int_equal(r, TP_OK);
                break;
            }
            if (r != TP_ENOMEM)
                fail_msg("%s, allocation %d: %s", j.c->name, (int)n, tp_error_message());
            tp_error_clear();
            failures++;
        }
    }
    print_message("[          ] %d failed allocations\n", (int)failures);
}

/* ---- planted faults -------------------------------------------------------------------------- */

static tp_tensor *fw_sigmoid(tp_tensor *const *in, int n, void *u) {
    (void)n;
    (void)u;
    return tp_sigmoid(in[0]);
}
static tp_tensor *fw_mul(tp_tensor *const *in, int n, void *u) {
    (void)n;
    (void)u;
    return tp_mul(in[0], in[1]);
}
static tp_tensor *fw_matmul(tp_tensor *const *in, int n, void *u) {
    (void)n;
    (void)u;
    return tp_matmul(in[0], in[1]);
}
static tp_tensor *fw_mean(tp_tensor *const *in, int n, void *u) {
    (void)n;
    (void)u;
    return tp_mean(in[0]);
}
static tp_tensor *fw_max(tp_tensor *const *in, int n, void *u) {
    (void)n;
    (void)u;
    return tp_max_dim(in[0], 1, TP_KEEPDIM, NULL);
}
static tp_tensor *bad_sigmoid(const tp_ctx *c, tp_tensor *g, int i) {
    (void)i;
    return tp_mul(g, tp_mul(c->out, tp_add(1, c->out)));
}
static tp_tensor *bad_mul(const tp_ctx *c, tp_tensor *g, int i) {
    return tp_mul(g, c->in[i]);
}
static tp_tensor *bad_matmul(const tp_ctx *c, tp_tensor *g, int i) {
    return i ? tp_matmul(tp_T(c->in[0]), tp_neg(g)) : tp_matmul(g, tp_T(c->in[1]));
}
static tp_tensor *bad_mean(const tp_ctx *c, tp_tensor *g, int i) {
    return tp_mul(g, tp_ones_like(c->in[i]));
}
static tp_tensor *bad_max(const tp_ctx *c, tp_tensor *g, int i) {
    return tp_mul(g, tp_ones_like(c->in[i]));
}
static const tp_function planted[] = {
    {"sign", fw_sigmoid, bad_sigmoid, NULL}, {"operand", fw_mul, bad_mul, NULL},
    {"minus", fw_matmul, bad_matmul, NULL},  {"factor", fw_mean, bad_mean, NULL},
    {"spread", fw_max, bad_max, NULL},
};
static tp_tensor *apply_planted(tp_tensor *const *in, int n, void *user) {
    return tp_apply((const tp_function *)user, in, n);
}
static void test_planted_faults_are_found(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof planted / sizeof *planted; k++) {
        const tp_scope s = tp_scope_begin();
        const bool two = planted[k].forward == fw_mul || planted[k].forward == fw_matmul;
        tp_tensor *in[2] = {
            tp_requires_grad_(tp_uniform_(tp_zeros(TP_SHAPE(3, 3), TP_FLOAT64), 0.5, 2, NULL)),
            tp_requires_grad_(tp_uniform_(tp_zeros(TP_SHAPE(3, 3), TP_FLOAT64), 0.5, 2, NULL))};
        assert_int_equal(tp_gradcheck(apply_planted, in, two ? 2 : 1, (void *)&planted[k], 0, 0),
                         TP_EGRAD);
        assert_non_null(strstr(tp_error_message(), "gradcheck: d/d input"));
        tp_error_clear();
        tp_scope_end(s);
    }
}

/* ---- ties, NaN, numbers, promotion ----------------------------------------------------------- */

static void expect_grad(tp_tensor *leaf, tp_tensor *loss, const float *want, int64_t n) {
    tpt_ok(tp_backward(loss));
    tpt_close_f32(tp_data_f32(tp_grad(leaf)), want, n, 0, 0);
}
static void test_ties(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *a = tp_requires_grad_(tp_floats(TP_SHAPE(4), 1, 2, 2, 0));
    expect_grad(a, tp_sum(tp_maximum(a, tp_floats(TP_SHAPE(4), 1, 1, 3, 0))),
                (float[]){0.5f, 1, 0, 0.5f}, 4);
    tp_zero_grad(a);
    expect_grad(a, tp_max(a), (float[]){0, 0.5f, 0.5f, 0}, 4);
    tp_zero_grad(a);
    expect_grad(a, tp_sum(tp_max_dim(a, 0, 0, NULL)), (float[]){0, 1, 0, 0}, 4);
    tp_zero_grad(a);
    expect_grad(a, tp_sum(tp_clamp(a, 1, 2)), (float[]){1, 1, 1, 0}, 4);
    tp_zero_grad(a); /* an infinite gradient does not reach the others, a NaN takes it all */
    expect_grad(a, tp_mul(tp_max(a), (double)INFINITY), (float[]){0, INFINITY, INFINITY, 0}, 4);
    tp_tensor *nan = tp_requires_grad_(tp_floats(TP_SHAPE(4), 1, NAN, 2, NAN));
    expect_grad(nan, tp_max(nan), (float[]){0, 0.5f, 0, 0.5f}, 4);
    tp_tensor *n = tp_relu(tp_floats(TP_SHAPE(2), NAN, -1));
    assert_true(isnan(tp_data_f32(n)[0]) && tp_data_f32(n)[1] == 0);
    tp_scope_end(s);
}
static void test_promotion(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *u8 = tp_to(tp_ints(TP_SHAPE(2), 200, 7), TP_UINT8),
              *i64 = tp_ints(TP_SHAPE(2), 3, 4);
    tp_tensor *f32 = tp_floats(TP_SHAPE(2), 1, 2), *b = tp_gt(f32, 1);
    assert_int_equal(tp_dtype_of(tp_add(u8, 300)), TP_UINT8);
    assert_int_equal(tp_item_int(tp_at(tp_add(u8, 300), "0")), 244); /* (200 + 44) as uint8 */
    assert_int_equal(tp_dtype_of(tp_mul(i64, 1.5)), TP_FLOAT32);
    assert_int_equal(tp_dtype_of(tp_div(i64, i64)), TP_FLOAT32);
    assert_int_equal(tp_dtype_of(tp_add(u8, i64)), TP_INT64);
    assert_int_equal(tp_dtype_of(tp_add(b, b)), TP_BOOL);
    assert_int_equal(tp_dtype_of(tp_add(b, 1)), TP_INT64);
    assert_int_equal(tp_dtype_of(tp_sum(b)), TP_INT64);
    assert_int_equal(tp_dtype_of(tp_add(f32, tp_scalar(1, TP_FLOAT64))), TP_FLOAT32);
    assert_int_equal(tp_dtype_of(tp_add(f32, tp_to(f32, TP_FLOAT64))), TP_FLOAT64);
    assert_null(tp_mean(i64));
    tpt_expect_error(TP_EDTYPE, "mean: wants floats, not int64 (tp_to it first)...");
    assert_null(tp_sub(b, b));
    tpt_expect_error(TP_EDTYPE, "sub: not defined for bool...");
    assert_null(tp_pow(i64, -1));
    tpt_expect_error(TP_EVALUE, "pow: integers to a negative integer power are no integers...");
    tp_scope_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {TPT(test_gradients),
                                       TPT(test_float32_gradients),
                                       TPT(test_every_allocation_may_fail),
                                       TPT(test_planted_faults_are_found),
                                       TPT(test_ties),
                                       TPT(test_promotion)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
