/* test_index.c -- choosing, writing, ordering and counting elements: what torch gives, and
 * refusals. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The printed text of x is `want`. */
static void shows(tp_tensor *x, const char *want) {
    char text[600];
    if (!x) fail_msg("%s: %s", want, tp_error_message());
    assert_true(tp_repr(x, text, sizeof text) < (int64_t)sizeof text);
    assert_string_equal(text, want);
}
static tp_tensor *table(void) { /* 0..5 as [3, 2] */
    return tp_view(tp_arange(0, 6, 1, TP_INT64), TP_SHAPE(3, 2));
}

static void test_index_reads(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *x = table(), *rows = tp_gt(tp_ints(TP_SHAPE(3), 1, 0, 1), 0);
    shows(tp_index(x, rows), "tensor([[0, 1],\n        [4, 5]])");
    shows(tp_index(x, tp_gt(x, 2)), "tensor([3, 4, 5])");
    shows(tp_index(x, tp_ints(TP_SHAPE(2), -1, 0)), "tensor([[4, 5],\n        [0, 1]])");
    shows(tp_index(tp_T(x), tp_ints(TP_SHAPE(1, 2), 1, 1)),
          "tensor([[[1, 3, 5],\n         [1, 3, 5]]])");
    shows(tp_index(x, tp_scalar(1, TP_BOOL)),
          "tensor([[[0, 1],\n         [2, 3],\n         [4, 5]]])");
    shows(tp_index(x, tp_zeros(TP_SHAPE(0), TP_INT64)),
          "tensor([], size=(0, 2), dtype=torch.int64)");
    tp_scope_end(s);
}

static void test_index_refuses(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *x = table();
    assert_null(tp_index(x, tp_zeros(TP_SHAPE(2), TP_BOOL)));
    tpt_expect_error(TP_EINDEX,
                     "index: the mask is [2], which is not how [3, 2] begins (test_index.c...");
    assert_null(tp_index(x, tp_ints(TP_SHAPE(2), 0, 3)));
    tpt_expect_error(TP_EINDEX,
                     "index: index 3 at position 1 is out of range for a size of 3 (test...");
    assert_null(tp_index(x, tp_zeros(TP_SHAPE(2), TP_FLOAT32)));
    tpt_expect_error(TP_EDTYPE, "index: an index must be int64, not float32 (test_index.c...");
    assert_null(tp_index(tp_sum(x), tp_ints(TP_SHAPE(1), 0)));
    tpt_expect_error(TP_EINDEX, "index: a 0-d tensor cannot be indexed (test_index.c...");
    tp_scope_end(s);
}

static void test_index_writes(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *x = table();
    tp_index_put_(x, tp_gt(x, 3), 9);
    shows(x, "tensor([[0, 1],\n        [2, 3],\n        [9, 9]])");
    tp_index_put_(x, tp_ints(TP_SHAPE(2), 0, -1), tp_ints(TP_SHAPE(2), 7, 8));
    shows(x, "tensor([[7, 8],\n        [2, 3],\n        [7, 8]])");
    tp_index_put_(tp_T(x), tp_ints(TP_SHAPE(1), 0), tp_index(tp_T(x), tp_ints(TP_SHAPE(1), 1)));
    shows(x, "tensor([[8, 8],\n        [3, 3],\n        [8, 8]])");
    tp_index_put_(x, tp_ints(TP_SHAPE(2), 1, 1), tp_ints(TP_SHAPE(2, 1), 4, 5)); /* the last wins */
    shows(x, "tensor([[8, 8],\n        [5, 5],\n        [8, 8]])");
    assert_null(tp_index_put_(x, tp_ints(TP_SHAPE(1), 0), tp_floats(TP_SHAPE(2), 1, 2)));
    tpt_expect_error(TP_EDTYPE,
                     "index_put_: the values are float32 but the tensor is int64 (tp_to...");
    assert_null(tp_index_put_(x, tp_ints(TP_SHAPE(1), 0), tp_ints(TP_SHAPE(3), 1, 2, 3)));
    tpt_expect_error(TP_ESHAPE, "index_put_: cannot broadcast [1, 2] with [3]...");
    assert_null(tp_index_put_(x, tp_ints(TP_SHAPE(1), 0), tp_ints(TP_SHAPE(2, 2), 1, 2, 3, 4)));
    tpt_expect_error(TP_ESHAPE, "index_put_: values of shape [2, 2] do not fit into [1, 2]...");
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    assert_null(tp_index_put_(w, tp_ints(TP_SHAPE(1), 0), 3));
    tpt_expect_error(TP_EGRAD, "index_put_: a leaf that requires a gradient...");
    assert_null(tp_index_put_(tp_detach(w), tp_ints(TP_SHAPE(2), 0, 1), tp_mul(w, 2)));
    tpt_expect_error(TP_EGRAD, "index_put_: the values require a gradient...");
    tp_scope_end(s);
}

static double twice(double v, void *user) {
    *(int *)user += 1;
    return 2 * v;
}
static double half(double v, void *user) {
    (void)user;
    return v / 2;
}
static bool is_odd(double v, void *user) {
    (void)user;
    return fmod(v, 2) != 0;
}
static void test_comprehensions(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    int calls = 0;
    tp_tensor *range = tp_arange(0, 10, 1, TP_INT64);
    shows(tp_map(tp_filter(range, is_odd, NULL), twice, &calls), "tensor([ 2,  6, 10, 14, 18])");
    assert_int_equal(calls, 5);
    shows(tp_map(tp_floats(TP_SHAPE(1, 2), 1, 2), half, NULL), "tensor([[0.5000, 1.0000]])");
    assert_null(tp_map(range, half, NULL));
    tpt_expect_error(TP_EVALUE, "map: 0.5 is no int64 (tp_to float32 first) (test_index.c...");
    assert_null(tp_map(tp_ints(TP_SHAPE(1), (INT64_C(1) << 53) + 1), half, NULL));
    tpt_expect_error(TP_EVALUE, "map: 9007199254740993 is too large for a double...");
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    assert_null(tp_filter(w, is_odd, NULL));
    tpt_expect_error(TP_EGRAD,
                     "filter: a C function has no gradient; use ops, or tp_detach the...");
    shows(tp_filter(tp_detach(w), is_odd, NULL), "tensor([1., 1.])");
    tp_scope_end(s);
}

static void test_order(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_floats(TP_SHAPE(6), 2, NAN, -INFINITY, 0, -0.0f, 2), *index;
    tp_tensor *y = tp_sort(x, 0, 0, &index);
    shows(index, "tensor([2, 3, 4, 0, 5, 1])");
    assert_true(isnan(tp_data_f32(y)[5]) && isinf(tp_data_f32(y)[0]));
    shows(tp_argsort(x, 0, TP_DESCENDING), "tensor([1, 0, 5, 3, 4, 2])");
    shows(tp_argsort(tp_T(table()), -1, TP_DESCENDING), "tensor([[2, 1, 0],\n        [2, 1, 0]])");
    shows(tp_topk(table(), 2, 0, &index), "tensor([[4, 5],\n        [2, 3]])");
    shows(index, "tensor([[2, 2],\n        [1, 1]])");
    shows(tp_sort(tp_scalar(3, TP_INT64), 0, 0, &index), "tensor(3)");
    assert_null(tp_topk(table(), 4, 0, NULL));
    tpt_expect_error(TP_EINDEX, "topk: 4 of dim 0, which has 3 (test_index.c...");
    tp_scope_end(s);
}

static void test_counting(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *labels = tp_ints(TP_SHAPE(5), 3, 1, 3, 0, 3), *counts;
    shows(tp_unique(labels, &counts), "tensor([0, 1, 3])");
    shows(counts, "tensor([1, 1, 3])");
    assert_int_equal(tp_numel(tp_unique(tp_floats(TP_SHAPE(3), NAN, 1, NAN), NULL)), 3);
    shows(tp_bincount(labels, 6), "tensor([1, 1, 0, 3, 0, 0])");
    shows(tp_one_hot(tp_ints(TP_SHAPE(2), 2, 0), 3), "tensor([[0, 0, 1],\n        [1, 0, 0]])");
    shows(tp_cumsum(tp_gt(labels, 0), 0), "tensor([1, 2, 3, 3, 4])");
    assert_null(tp_one_hot(labels, 3));
    tpt_expect_error(TP_EINDEX,
                     "one_hot: 3 at position 0 is not below the number of classes (t...");
    assert_null(tp_bincount(tp_ints(TP_SHAPE(1), -2), 0));
    tpt_expect_error(TP_EINDEX, "bincount: -2 at position 0 is negative (test_index.c...");
    tp_scope_end(s);
}

static void test_the_rest(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    char text[40];
    shows(tp_flip(table(), TP_DIMS(0, 1)), "tensor([[5, 4],\n        [3, 2],\n        [1, 0]])");
    shows(tp_eye(2, TP_BOOL), "tensor([[ True, False],\n        [False,  True]])");
    shows(tp_full_like(table(), 7), "tensor([[7, 7],\n        [7, 7],\n        [7, 7]])");
    shows(tp_norm(tp_floats(TP_SHAPE(2, 1), 3, 4)), "tensor(5.)");
    tp_tensor *zero = tp_requires_grad_(tp_zeros(TP_SHAPE(2), TP_FLOAT32));
    tpt_ok(tp_backward(tp_norm(zero)));
    shows(tp_grad(zero), "tensor([0., 0.])");
    assert_int_equal(tp_shape_repr(table(), text, sizeof text), 18);
    assert_string_equal(text, "torch.Size([3, 2])");
    tp_shape_repr(tp_scalar(1, TP_BOOL), text, sizeof text);
    assert_string_equal(text, "torch.Size([])");
    tp_scope_end(s);
}

/* What random programs found, each once. */
static void counts_of_the_largest(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *huge = tp_from_ints(TP_SHAPE(1), (const int64_t[]){INT64_MAX}, 1);
    assert_null(tp_bincount(huge, 0));
    tpt_expect_error(TP_ENOMEM, "bincount: no memory for 9223372036854775807 numbers...");
    assert_null(tp_one_hot(huge, -1));
    tpt_expect_error(TP_ENOMEM, "one_hot: no memory for 9223372036854775807 classes...");
    assert_null(tp_one_hot(tp_zeros(TP_SHAPE(0), TP_INT64), 0));
    tpt_expect_error(TP_EVALUE, "one_hot: no elements tell how many classes there are...");
    tp_scope_end(s);
}
static void dtypes_of_bools(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *b = tp_ones(TP_SHAPE(2), TP_BOOL), *x = tp_ones(TP_SHAPE(2), TP_FLOAT32);
    assert_null(tp_sub(x, b));
    tpt_expect_error(TP_EDTYPE, "sub: not defined for bool...");
    assert_null(tp_sub_(x, b));
    tpt_expect_error(TP_EDTYPE, "sub_: not defined for bool...");
    assert_int_equal(tp_dtype_of(tp_square(b)), TP_INT64);
    assert_int_equal(tp_dtype_of(tp_clamp(b, 0, 1)), TP_INT64);
    assert_int_equal(tp_dtype_of(tp_sign(b)), TP_BOOL);
    assert_null(tp_gelu(b));
    tpt_expect_error(TP_EDTYPE, "gelu: not defined for bool...");
    assert_null(
        tp_index_copy_(x, 0, tp_zeros(TP_SHAPE(1), TP_INT64), tp_ones(TP_SHAPE(1), TP_BOOL)));
    tpt_expect_error(TP_EDTYPE, "index_copy_: the source is bool but the tensor is float32...");
    assert_null(tp_full(TP_SHAPE(2), 300, TP_UINT8));
    tpt_expect_error(TP_EVALUE, "full: uint8 cannot hold 300...");
    tp_scope_end(s);
}
static void last_ops_have_their_names(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_ones(TP_SHAPE(2, 3), TP_FLOAT32));
    assert_string_equal(tp_grad_fn(tp_at(x, ":")), "SliceBackward0");
    assert_string_equal(tp_grad_fn(tp_at(x, "...")), "AliasBackward0");
    assert_string_equal(tp_grad_fn(tp_at(x, ":2, :3")), "AliasBackward0");
    assert_string_equal(tp_grad_fn(tp_at(x, "0, :")), "SliceBackward0");
    tp_tensor *batch = tp_ones(TP_SHAPE(4, 3, 5), TP_FLOAT32);
    assert_string_equal(tp_grad_fn(tp_matmul(x, batch)), "CloneBackward0");
    tp_tensor *zero = tp_requires_grad_(tp_zeros(TP_SHAPE(1), TP_FLOAT32));
    if (tp_backward(tp_sqrt(tp_ceil(zero)))) fail_msg("%s", tp_error_message());
    assert_true(tp_item(tp_grad(zero)) == 0); /* not 0 times the infinity that sqrt gives */
    tp_scope_end(s);
}

static void spread_of_equals_has_no_slope(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_full(TP_SHAPE(3), 2, TP_FLOAT32));
    tpt_ok(tp_backward(tp_std(x, 0)));
    assert_true(tp_equal(tp_grad(x), tp_zeros(TP_SHAPE(3), TP_FLOAT32))); /* 0 / 0 is no NaN */
    tp_scope_end(s);
}
static void indices_of_a_maximum_are_watched(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_floats(TP_SHAPE(2, 2), 1, 2, 4, 3)), *at;
    tp_tensor *y = tp_sum(tp_max_dim(x, 1, 0, &at));
    assert_non_null(tp_fill_(at, 1000));
    assert_int_equal(tp_backward(y), TP_EGRAD); /* and nothing is written there */
    tpt_expect_error(TP_EGRAD, "backward of max (test_index.c:...");
    tp_scope_end(s);
}
static void products_over_nothing_are_zero(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *a = tp_ones(TP_SHAPE(2, 0), TP_FLOAT32), *b = tp_ones(TP_SHAPE(0, 3), TP_FLOAT32);
    assert_true(tp_equal(tp_matmul(a, b), tp_zeros(TP_SHAPE(2, 3), TP_FLOAT32)));
    tp_tensor *bias = tp_floats(TP_SHAPE(3), 1, 2, 3);
    assert_true(tp_equal(tp_select(tp_linear(a, tp_T(b), bias), 0, 1), bias));
    tp_scope_end(s);
}
static void strides_of_short_axes(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_T(tp_ones(TP_SHAPE(3, 2), TP_FLOAT32)); /* [2, 3], strides 1, 2 */
    assert_int_equal(tp_stride(tp_unsqueeze(x, 1), 1), 6);
    assert_int_equal(tp_stride(tp_unsqueeze(x, 2), 2), 1);
    assert_int_equal(tp_stride(tp_expand(x, TP_SHAPE(1, 2, 3)), 0), 2);
    assert_int_equal(tp_stride(tp_at(tp_at(x, ":1"), "..."), 0), 1);        /* as it was */
    tp_tensor *none = tp_at(tp_ones(TP_SHAPE(2, 3), TP_FLOAT32), ":, 1:1"); /* [2, 0] */
    assert_int_equal(tp_stride(tp_view(none, TP_SHAPE(2, 0)), 0), 3);
    assert_ptr_equal(tp_flatten(x, 1, 1), x);
    tp_scope_end(s);
}

/* Whole or not at all. */
static tp_status copy_rows(void *x) {
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return tp_error_code();
    tp_tensor *rows = tp_ints(TP_SHAPE(3), 2, 0, 1), *to = NULL;
    tp_tensor *from = tp_floats(TP_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    if (rows && from) to = tp_index_copy_(x, 0, rows, from);
    const float *now = tp_data_f32(x);
    for (int i = 0; i < 6; i++) assert_true(now[i] == (to ? (float)((i + 2) % 6 + 1) : 0));
    tp_scope_end(s);
    return to ? TP_OK : tp_error_code();
}
static void a_failed_copy_of_rows_writes_nothing(void **state) {
    (void)state;
    assert_true(tpt_fail_each_allocation(copy_rows, tp_zeros(TP_SHAPE(3, 2), TP_FLOAT32)) > 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(test_index_reads),
        TPT(test_index_refuses),
        TPT(test_index_writes),
        TPT(test_comprehensions),
        TPT(test_order),
        TPT(test_counting),
        TPT(test_the_rest),
        TPT(a_failed_copy_of_rows_writes_nothing),
        TPT(counts_of_the_largest),
        TPT(dtypes_of_bools),
        TPT(last_ops_have_their_names),
        TPT(spread_of_equals_has_no_slope),
        TPT(indices_of_a_maximum_are_watched),
        TPT(products_over_nothing_are_zero),
        TPT(strides_of_short_axes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
