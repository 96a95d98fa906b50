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
    assert_int_equal(tp_stride(tp_sort(tp_ones(TP_SHAPE(2, 1), TP_FLOAT32), 0, 0, NULL), 1), 1);
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
    assert_true(tpt_fail_each_allocation(copy_rows, tp_zeros(TP_SHAPE(3, 2), TP_FLOAT32)) > 3);
}

/* ---- order, against loops that are too plain to be wrong ------------------------------------- */

enum { KINDS = 5, MOST = 40000, ORDER_ROUNDS = 80, SUM_ROUNDS = 60 };

/* Few different ones; numbers of all sizes; any bits; rising; falling, with ties. */
static double draw_double(int kind, int64_t i) {
    static const double few[] = {0, -0.0, 1, -1, 2, NAN, INFINITY, -INFINITY, 1e-42, 1};
    const uint64_t u = tpt_random();
    double any;
    memcpy(&any, &u, sizeof any);
    switch (kind) {
    case 0: return few[tpt_random_below(TP__COUNT(few))];
    case 1: return tpt_random_in(-10, 10);
    case 2: return any;
    case 3: return (double)(i - 100);
    default: return -(double)(i / 3);
    }
}
static int64_t draw_int(int kind, int64_t i) {
    static const int64_t few[] = {0, 1, -1, INT64_MIN, INT64_MAX, INT64_C(1) << 32, 255};
    switch (kind) {
    case 0: return few[tpt_random_below(TP__COUNT(few))];
    case 1: return tpt_random_below(100) - 50;
    case 2: return (int64_t)tpt_random();
    case 3: return INT64_MIN + i;
    default: return -i / 3;
    }
}
static tp_tensor *draw_tensor(tp_dtype d, tp_shape shape, int kind) {
    tp_tensor *x = tp_zeros(shape, d);
    void *p = tp_data_ptr(x);
    for (int64_t i = 0; i < tp_numel(x); i++) switch (d) {
        case TP_FLOAT32: ((float *)p)[i] = (float)draw_double(kind, i); break;
        case TP_FLOAT64: ((double *)p)[i] = draw_double(kind, i); break;
        case TP_INT64: ((int64_t *)p)[i] = draw_int(kind, i); break;
        case TP_UINT8: ((uint8_t *)p)[i] = (uint8_t)draw_int(kind, i); break;
        default: ((uint8_t *)p)[i] = draw_int(kind, i) & 1; break;
        }
    return x;
}

/* Is element i of dense x before element j in rising order, whatever their places? */
static bool is_below(tp_tensor *x, int64_t i, int64_t j) {
    const void *p = tp_data_ptr(x);
    double a, b;
    switch (tp_dtype_of(x)) {
    case TP_FLOAT32:
        a = (double)((const float *)p)[i];
        b = (double)((const float *)p)[j];
        break;
    case TP_FLOAT64:
        a = ((const double *)p)[i];
        b = ((const double *)p)[j];
        break;
    case TP_INT64: return ((const int64_t *)p)[i] < ((const int64_t *)p)[j];
    default: return ((const uint8_t *)p)[i] < ((const uint8_t *)p)[j];
    }
    return a < b || (isnan(b) && !isnan(a));
}
/* A lane of dense x: n elements `step` apart, in order by insertion. */
static void order_plainly(tp_tensor *x, int64_t start, int64_t n, int64_t step, bool down,
                          int64_t *order) {
    for (int64_t i = 0; i < n; i++) {
        int64_t j = i;
        for (; j > 0; j--) {
            const int64_t at = start + i * step, before = start + order[j - 1] * step;
            if (!(down ? is_below(x, before, at) : is_below(x, at, before))) break;
            order[j] = order[j - 1];
        }
        order[j] = i;
    }
}

/* The k first of every lane of x: positions, elements with all their bits, and their gradient. */
static void check_order(tp_tensor *x, int dim, int64_t k, bool down, tp_tensor *y, tp_tensor *index,
                        tp_tensor *grad) {
    static int64_t order[MOST];
    const int64_t n = tp_size(x, dim);
    int64_t inner = 1;
    for (int d = dim + 1; d < tp_ndim(x); d++) inner *= tp_size(x, d);
    const size_t size = (size_t)tp_dtype_size(tp_dtype_of(x));
    const char *from = tp_data_ptr(x), *got = y ? tp_data_ptr(y) : NULL;
    for (int64_t lane = 0; n && lane < tp_numel(x) / n; lane++) {
        const int64_t o = lane / inner, i = lane % inner, start = o * n * inner + i;
        order_plainly(x, start, n, inner, down, order);
        for (int64_t j = 0; j < n; j++) {
            const int64_t at = (o * k + j) * inner + i, place = start + order[j] * inner;
            if (j < k && tp_data_i64(index)[at] != order[j])
                fail_msg("[%d] of lane %d of %d: %d, not %d", (int)j, (int)lane, (int)n,
                         (int)tp_data_i64(index)[at], (int)order[j]);
            if (j < k && got) assert_memory_equal(got + at * size, from + place * size, size);
            if (grad) assert_true(tp_data_f32(grad)[place] == (j < k ? (float)(at + 1) : 0));
        }
    }
}
/* Each element of the result gets its own gradient, so that all arrive where they belong. */
static tp_tensor *gradient_through(tp_tensor *leaf, tp_tensor *y) {
    tp_tensor *g = tp_zeros_like(y);
    for (int64_t i = 0; i < tp_numel(y); i++) tp_data_f32(g)[i] = (float)(i + 1);
    tpt_ok(tp_backward_from(y, g));
    return tp_grad(leaf);
}

static const int threads_of_round[] = {1, 2, 3, 5};

/* Sizes around all that a sort decides by, or any. */
static int64_t draw_size(void) {
    static const int64_t size[] = {0,  1,  2,  15, 16, 17,  31,  32,  33,  47,  48,
                                   49, 50, 63, 64, 65, 127, 255, 256, 257, 300, 700};
    return tpt_random() & 1 ? size[tpt_random_below(TP__COUNT(size))] : tpt_random_below(400);
}
/* Of three axes, one of which is long; every third is not dense. */
static tp_tensor *draw_lanes(tp_dtype d, int64_t n, int dim, int round) {
    int64_t size[3];
    const int64_t room = n < 600 ? 10 : 3;
    for (int i = 0; i < 3; i++) size[i] = 1 + tpt_random_below(room);
    size[dim] = n;
    const int kind = (int)tpt_random_below(KINDS);
    if (round % 3) return draw_tensor(d, TP_SHAPE(size[0], size[1], size[2]), kind);
    return tp_transpose(draw_tensor(d, TP_SHAPE(size[2], size[1], size[0]), kind), 0, 2);
}

static void check_round(int round) {
    const tp_scope s = tp_scope_begin();
    const tp_dtype d = (tp_dtype)tpt_random_below(TP__DTYPE_COUNT);
    const int dim = (int)tpt_random_below(3);
    const int64_t n = draw_size();
    const bool down = tpt_random() & 1, floats = d == TP_FLOAT32;
    tp_tensor *leaf = draw_lanes(d, n, dim, round), *x = tp_contiguous(leaf), *index, *y;
    if (floats) tp_requires_grad_(leaf = tp_detach(leaf));
    y = tp_sort(leaf, dim, down ? TP_DESCENDING : 0, &index);
    check_order(x, dim, n, down, y, index, floats ? gradient_through(leaf, y) : NULL);
    check_order(x, dim, n, down, NULL, tp_argsort(leaf, dim, down ? TP_DESCENDING : 0), NULL);
    static const int64_t few[] = {0, 1, 2, 5, 15, 16, 17, 40};
    for (int i = 0; i < TP__COUNT(few) + 3; i++) {
        const int64_t k = i < TP__COUNT(few) ? few[i] : n / 2 + i - TP__COUNT(few);
        if (k > n) continue;
        if (floats) tp_zero_grad(leaf);
        y = tp_topk(leaf, k, dim, &index);
        check_order(x, dim, k, true, y, index, floats ? gradient_through(leaf, y) : NULL);
    }
    tp_scope_end(s);
}
static void orders_of_random_tensors(void **state) {
    (void)state;
    for (int round = 0; round < ORDER_ROUNDS; round++) {
        tpt_ok(tp_set_num_threads(threads_of_round[round % TP__COUNT(threads_of_round)]));
        check_round(round);
    }
    tpt_ok(tp_set_num_threads(0));
}

/* Values that differ, each the first of its equals in x, and how many there are. */
static void check_unique(tp_tensor *x) {
    static int64_t order[MOST];
    tp_tensor *counts, *y = tp_unique(x, &counts);
    x = tp_contiguous(x);
    const int64_t n = tp_numel(x);
    const size_t size = (size_t)tp_dtype_size(tp_dtype_of(x));
    const char *from = tp_data_ptr(x), *got = tp_data_ptr(y);
    int64_t k = -1, count = 0;
    order_plainly(x, 0, n, 1, false, order);
    for (int64_t j = 0; j < n; j++, count++) {
        const char *value = from + (size_t)order[j] * size;
        const bool is_nan = (tp_dtype_of(x) == TP_FLOAT32 && isnan(*(const float *)value)) ||
                            (tp_dtype_of(x) == TP_FLOAT64 && isnan(*(const double *)value));
        if (j && !is_below(x, order[j - 1], order[j]) && !is_nan) continue;
        if (j) assert_int_equal(tp_data_i64(counts)[k], count);
        count = 0;
        assert_true(++k < tp_numel(y));
        assert_memory_equal(got + (size_t)k * size, value, size);
    }
    if (n) assert_int_equal(tp_data_i64(counts)[k], count);
    assert_int_equal(tp_numel(y), k + 1);
    assert_int_equal(tp_numel(counts), k + 1);
}
static void unique_values_of_random_tensors(void **state) {
    (void)state;
    for (int round = 0; round < ORDER_ROUNDS; round++) {
        const tp_scope s = tp_scope_begin();
        const int dim = (int)tpt_random_below(3);
        check_unique(draw_lanes((tp_dtype)(round % TP__DTYPE_COUNT), draw_size() / 2, dim, round));
        tp_scope_end(s);
    }
}

/* Element i of a dense tensor of three axes lies where its axes say, from whichever end. */
static void check_flip(tp_tensor *x, uint32_t axes, tp_tensor *y) {
    const int64_t a = tp_size(x, 0), b = tp_size(x, 1), c = tp_size(x, 2);
    const size_t size = (size_t)tp_dtype_size(tp_dtype_of(x));
    const char *from = tp_data_ptr(x), *got = tp_data_ptr(y);
    for (int64_t at = 0; at < tp_numel(x); at++, got += size) {
        const int64_t i = at / (b * c), j = at / c % b, k = at % c;
        const int64_t place = ((axes & 1 ? a - 1 - i : i) * b + (axes & 2 ? b - 1 - j : j)) * c +
                              (axes & 4 ? c - 1 - k : k);
        assert_memory_equal(got, from + (size_t)place * size, size);
    }
}
static void flips_of_random_tensors(void **state) {
    (void)state;
    for (int round = 0; round < ORDER_ROUNDS; round++) {
        const tp_scope s = tp_scope_begin();
        const int longest = (int)tpt_random_below(3);
        tp_tensor *x = draw_lanes((tp_dtype)(round % TP__DTYPE_COUNT), draw_size(), longest, round);
        const uint32_t axes = 1 + (uint32_t)tpt_random_below(7);
        tp_dims dims = {.n = 0};
        for (int d = 0; d < 3; d++)
            if (axes >> d & 1) dims.dim[dims.n++] = d;
        check_flip(tp_contiguous(x), axes, tp_flip(x, dims));
        tp_scope_end(s);
    }
}

/* ---- running sums ---------------------------------------------------------------------------- */

/* y is the sums of dense x along dim, bit by bit, from the start or from the end. */
static void check_sums(tp_tensor *x, int dim, bool from_end, tp_tensor *y) {
    const int64_t n = tp_size(x, dim);
    int64_t inner = 1;
    for (int d = dim + 1; d < tp_ndim(x); d++) inner *= tp_size(x, d);
    for (int64_t lane = 0; n && lane < tp_numel(x) / n; lane++) {
        double sum = 0;
        uint64_t whole = 0;
        for (int64_t j = 0; j < n; j++) {
            const int64_t k = from_end ? n - 1 - j : j;
            const int64_t at = (lane / inner * n + k) * inner + lane % inner;
            if (tp_dtype_of(x) == TP_FLOAT32) {
                const float want = (float)(sum += (double)tp_data_f32(x)[at]);
                tpt_within_ulp_f32(tp_data_f32(y) + at, &want, 1, 0);
            } else if (tp_dtype_of(x) == TP_FLOAT64) {
                sum += ((const double *)tp_data_ptr(x))[at];
                tpt_within_ulp_f64((const double *)tp_data_ptr(y) + at, &sum, 1, 0);
            } else {
                whole += (uint64_t)tp_data_i64(x)[at];
                assert_true(tp_data_i64(y)[at] == (int64_t)whole);
            }
        }
    }
}
static void sums_of_random_tensors(void **state) {
    (void)state;
    for (int round = 0; round < SUM_ROUNDS; round++) {
        const tp_scope s = tp_scope_begin();
        const tp_dtype d = (tp_dtype)tpt_random_below(TP__DTYPE_COUNT);
        const int dim = (int)tpt_random_below(3), longest = (int)tpt_random_below(3);
        tpt_ok(tp_set_num_threads(threads_of_round[round % TP__COUNT(threads_of_round)]));
        tp_tensor *x = draw_lanes(d, draw_size(), longest, round);
        tp_tensor *own = tp_contiguous(d <= TP_INT64 ? x : tp_to(x, TP_INT64));
        check_sums(own, dim, false, tp_cumsum(x, dim));
        if (d == TP_FLOAT32) {
            tp_tensor *leaf = tp_requires_grad_(tp_zeros_like(x));
            tpt_ok(tp_backward_from(tp_cumsum(leaf, dim), x));
            check_sums(own, dim, true, tp_grad(leaf));
        }
        tp_scope_end(s);
    }
    tpt_ok(tp_set_num_threads(0));
}

/* All that order allocates for may be refused. */
static tp_status order_all(void *ctx) {
    tp_tensor *x = ctx, *index, *counts;
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return tp_error_code();
    const bool done = tp_sort(x, 0, 0, &index) && tp_argsort(x, 1, 0) && tp_topk(x, 2, 0, &index) &&
                      tp_unique(x, &counts) && tp_cumsum(x, 0) &&
                      tp_unique(tp_to(x, TP_INT64), NULL) && tp_unique(tp_to(x, TP_UINT8), NULL);
    tp_scope_end(s);
    return done ? TP_OK : tp_error_code();
}
static void order_may_lack_memory(void **state) {
    (void)state;
    tp_tensor *x = draw_tensor(TP_FLOAT32, TP_SHAPE(60, 3), 1);
    assert_true(tpt_fail_each_allocation(order_all, x) > 15);
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
        TPT(orders_of_random_tensors),
        TPT(unique_values_of_random_tensors),
        TPT(flips_of_random_tensors),
        TPT(sums_of_random_tensors),
        TPT(order_may_lack_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
