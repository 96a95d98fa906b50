/* test_differences.c -- each line of docs/differences.md: what taper does where PyTorch does
 * otherwise. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void results_are_contiguous(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_rand(TP_SHAPE(3, 4), TP_FLOAT32, NULL);
    assert_false(tp_is_contiguous(tp_T(x)));
    assert_true(
        tp_is_contiguous(tp_add(tp_T(x), tp_T(x)))); /* PyTorch keeps the transposed layout */
    assert_true(tp_is_contiguous(tp_clone(tp_T(x))));
    assert_true(tp_is_contiguous(tp_softmax(tp_T(x), 0)));
    tp_scope_end(s);
}

static void backward_frees_its_tape(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_floats(TP_SHAPE(2), 1, 2)), *y = tp_mul(x, x);
    tp_tensor *a = tp_sum(y), *b = tp_mean(y);
    tpt_ok(tp_backward(a));
    assert_int_equal(tp_backward(a), TP_EGRAD);
    tpt_expect_error(TP_EGRAD, "backward of sum (test_differences.c:...");
    assert_int_equal(tp_backward(b), TP_EGRAD); /* it leads into the part that is gone */
    tpt_expect_error(TP_EGRAD, "backward of mean (test_differences.c:...");
    tp_scope_end(s);
}

static void nothing_followed_changes_in_place(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32)), *y = tp_mul(w, 2);
    assert_null(tp_add_(y, 1)); /* PyTorch allows this one */
    tpt_expect_error(TP_EGRAD, "add_: the tape follows this tensor (grad_fn=<MulBackward0>)...");
    assert_null(tp_mul_(w, 1.0001));
    tpt_expect_error(TP_EGRAD, "mul_: a leaf that requires a gradient cannot change in place...");
    assert_null(tp_mul_(tp_at(w, "0"), 1.0001));
    tpt_expect_error(TP_EGRAD, "mul_: the tape follows this tensor (grad_fn=<SelectBackward0>)...");
    const tp_scope quiet = tp_scope_no_grad();
    assert_non_null(tp_mul_(w, 3));
    tp_scope_end(quiet);
    assert_true(tp_item(tp_sum(tp_detach(w))) == 6);
    assert_int_equal(tp_backward(tp_sum(tp_mul(y, y))),
                     TP_OK); /* 2 w needs no w, so its change is harmless */
    tp_scope_end(s);
}

static void a_saved_value_that_changed_is_noticed(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32)),
              *c = tp_ones(TP_SHAPE(2), TP_FLOAT32);
    tp_tensor *loss = tp_sum(tp_mul(w, c));
    assert_non_null(tp_fill_(c, 5));
    assert_int_equal(tp_backward(loss), TP_EGRAD);
    tpt_expect_error(TP_EGRAD, "backward of mul (test_differences.c:...");
    tp_tensor *p = tp_prod(w); /* PyTorch saves the product too, which no gradient needs */
    assert_non_null(tp_fill_(tp_detach(p), 5));
    tpt_ok(tp_backward(p));
    tp_tensor *v = tp_requires_grad_(tp_ones(TP_SHAPE(1), TP_FLOAT32)),
              *none = tp_ones(TP_SHAPE(0), TP_FLOAT32), *sum = tp_sum(tp_mul(v, none));
    assert_non_null(tp_fill_(none, 5)); /* nothing changed */
    tpt_ok(tp_backward(sum));
    tp_tensor *mask = tp_ones(TP_SHAPE(2), TP_BOOL), /* smaller than what it chooses from */
        *rows = tp_requires_grad_(tp_ones(TP_SHAPE(3, 2), TP_FLOAT32));
    tp_tensor *chosen = tp_sum(tp_masked_select(rows, mask));
    assert_non_null(tp_fill_(mask, 0));
    assert_int_equal(tp_backward(chosen), TP_EGRAD);
    tpt_expect_error(TP_EGRAD, "backward of masked_select (test_differences.c:...");
    tp_scope_end(s);
}

static void rank_is_at_most_eight(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_zeros(TP_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), TP_FLOAT32);
    assert_int_equal(tp_ndim(x), 8);
    assert_null(tp_unsqueeze(x, 0));
    tpt_expect_error(TP_ESHAPE, "unsqueeze: the tensor has 8 dims already...");
    tp_scope_end(s);
}

static void losses_want_equal_shapes(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *a = tp_zeros(TP_SHAPE(4), TP_FLOAT32), *b = tp_zeros(TP_SHAPE(4, 1), TP_FLOAT32);
    assert_null(tp_mse_loss(a, b));
    tpt_expect_error(TP_ESHAPE,
                     "mse_loss: the input is [4] but the target [4, 1]; they must be equal...");
    assert_null(tp_l1_loss(a, b));
    tpt_expect_error(TP_ESHAPE,
                     "l1_loss: the input is [4] but the target [4, 1]; they must be equal...");
    tp_scope_end(s);
}

static void zero_grad_leaves_none(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    tpt_ok(tp_backward(tp_sum(w)));
    tpt_ok(tp_backward(tp_sum(w)));
    assert_true(tp_item(tp_sum(tp_grad(w))) == 4); /* it adds up */
    tp_zero_grad(w);
    assert_null(tp_grad(w));
    tp_scope_end(s);
}

static void T_reverses_all_axes(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    const tp_shape t = tp_shape_of(tp_T(tp_zeros(TP_SHAPE(2, 3, 4), TP_FLOAT32)));
    assert_true(t.ndim == 3 && t.dim[0] == 4 && t.dim[1] == 3 && t.dim[2] == 2);
    tp_scope_end(s);
}

static tp_tensor *twice(tp_tensor *const *in, int n, void *user) {
    (void)n, (void)user;
    return tp_mul(in[0], 2);
}
static tp_tensor *twice_backward(const tp_ctx *c, tp_tensor *g, int i) {
    (void)c, (void)i;
    return tp_mul(g, 2);
}
static void names_are_those_of_1_13_and_yours(void **state) {
    (void)state;
    static const tp_function f = {"Twice", twice, twice_backward, NULL};
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    assert_string_equal(tp_grad_fn(tp_pow(w, 2)), "PowBackward0");
    assert_string_equal(tp_grad_fn(tp_sum(w)), "SumBackward0");
    assert_string_equal(tp_grad_fn(tp_mean_dim(w, TP_DIMS(0), 0)), "MeanBackward1");
    assert_string_equal(tp_grad_fn(tp_max_dim(w, 0, 0, NULL)), "MaxBackward0");
    assert_string_equal(tp_grad_fn(tp_apply(&f, &w, 1)), "Twice");
    tp_scope_end(s);
}

static void a_loaders_generator_gives_seeds(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_rng *rng = tp_rng_new(3), *same = tp_rng_new(3);
    tp_dataset ds;
    tp_batch b;
    tpt_ok(
        tp_zip_dataset(tp_zeros(TP_SHAPE(10), TP_FLOAT32), tp_zeros(TP_SHAPE(10), TP_INT64), &ds));
    tp_loader *dl = tp_loader_new(&ds, .shuffle = true, .rng = rng);
    assert_int_equal(tp_loader_next(dl, &b), 1);
    (void)tp_rng_u64(same); /* the base seed of a pass, and then that of its order */
    tp_rng *order = tp_rng_new(tp_rng_u64(same) & UINT32_MAX);
    int64_t want[10];
    tp_rng_permutation(order, 10, want);
    tpt_same_bits(b.index, want, sizeof want);
    assert_int_equal(tp_rng_u32(rng), tp_rng_u32(same));
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_rng_free(rng);
    tp_rng_free(same);
    tp_rng_free(order);
    tp_scope_end(s);
}

/* One gradient, then zeros: in PyTorch the average stays at the number whose tenth rounds up. */
static void average_of_zeros(tp_optim *opt, tp_tensor *x, const char *name) {
    for (int i = 0; i < 1100; i++) {
        const tp_scope s = tp_scope_begin();
        tpt_ok(tp_set_grad(x, tp_full(TP_SHAPE(20), i ? 0 : 1, TP_FLOAT32)));
        tpt_ok(tp_optim_step(opt));
        tp_scope_end(s);
    }
    tp_dict *d = tp_optim_state(opt);
    for (int i = 0; i < 20; i++) assert_true(tp_data_f32(tp_dict_get(d, name))[i] == 0);
    tp_dict_free(d);
    tp_optim_free(opt);
}

static void subnormal_averages_are_zero(void **state) {
    (void)state;
    tp_tensor *x = tp_keep(tp_requires_grad_(tp_zeros(TP_SHAPE(20), TP_FLOAT32)));
    average_of_zeros(tp_sgd_params(&x, 1, .lr = 1, .momentum = 0.9), x, "0.momentum");
    average_of_zeros(tp_adam_params(&x, 1, .beta2 = 0.9), x, "0.exp_avg");
    average_of_zeros(tp_adam_params(&x, 1, .beta2 = 0.9), x, "0.exp_avg_sq");
    tp_zero_grad(x);
    tp_free(x);
}

/* The gradient of each weight is a subnormal number, and the weight too when it was 0. */
static tp_tensor *faint_loss(tp_tensor *pred, tp_tensor *y) {
    (void)y;
    return tp_sum(tp_mul(pred, tp_scalar(0x1p-130, TP_FLOAT32)));
}

static void steps_of_a_learner_flush(void **state) {
    (void)state;
    tpt_needs_flushing();
    tp_dataset ds;
    tp_scope s = tp_scope_no_grad();
    tpt_ok(
        tp_zip_dataset(tp_ones(TP_SHAPE(4, 3), TP_FLOAT32), tp_zeros(TP_SHAPE(4), TP_INT64), &ds));
    tp_module *net = tp_nn_linear(3, 2, .no_bias = true);
    tp_tensor *w = tp_module_param(net, 0);
    assert_non_null(tp_zero_(w));
    tp_scope_end(s);
    tp_optim *opt = tp_sgd(net, .lr = 1);
    tp_loader *train = tp_loader_new(&ds, .batch_size = 4);
    tp_learner *l = tp_learner_new(.train = train, .model = net, .loss = faint_loss, .optim = opt);
    tpt_ok(tp_fit(l, 1, 1));
    for (int i = 0; i < 6; i++) assert_true(tp_data_f32(w)[i] == 0);
    s = tp_scope_begin(); /* by hand, as in PyTorch */
    tpt_ok(tp_backward(faint_loss(tp_forward(net, tp_ones(TP_SHAPE(4, 3), TP_FLOAT32)), NULL)));
    tpt_ok(tp_optim_step(opt));
    tp_scope_end(s);
    for (int i = 0; i < 6; i++) assert_true(tp_data_f32(w)[i] == -0x1p-128f);
    tp_learner_free(l);
    tp_loader_free(train);
    tp_optim_free(opt);
    tp_module_free(net);
    tp_dataset_free(&ds);
}

/* What fails with an error that begins so. */
#define REFUSED(call, code, text)     \
    do {                              \
        assert_null(call);            \
        tpt_expect_error(code, text); \
    } while (0)

static void writes_that_overlap(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *row = tp_ones(TP_SHAPE(1, 3), TP_FLOAT32), *wide = tp_expand(row, TP_SHAPE(2, 3));
    REFUSED(tp_fill_(wide, 2), TP_EVALUE,
            "fill_: elements of this expanded tensor share memory...");
    assert_non_null(tp_fill_(tp_expand(row, TP_SHAPE(0, 3)), 2)); /* nothing is written */
    tp_tensor *x = tp_arange(0, 5, 1, TP_INT64);
    assert_non_null(tp_copy_(tp_at(x, "1:"), tp_at(x, ":-1"))); /* 0 0 1 2 3 */
    assert_true(tp_equal(x, tp_ints(TP_SHAPE(5), 0, 0, 1, 2, 3)));
    tp_scope_end(s);
}

static void random_numbers_come_in_the_order_of_elements(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_rng *rng = tp_rng_new(3), *same = tp_rng_new(3);
    tp_tensor *x = tp_zeros(TP_SHAPE(3, 2), TP_FLOAT32), *y = tp_zeros(TP_SHAPE(2, 3), TP_FLOAT32);
    assert_true(tp_equal(tp_uniform_(tp_T(x), 0, 1, rng), tp_uniform_(y, 0, 1, same)));
    tp_tensor *p = tp_requires_grad_(tp_full(TP_SHAPE(2), 0.5, TP_FLOAT32));
    assert_false(tp_requires_grad(tp_bernoulli(p, rng)));
    REFUSED(tp_bernoulli_(tp_arange(0, 3, 1, TP_INT64), 0.5, rng), TP_EDTYPE,
            "bernoulli_: wants floats...");
    tp_rng_free(rng);
    tp_rng_free(same);
    tp_scope_end(s);
}

static void fractions_are_no_whole_numbers(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_arange(0, 3, 1, TP_INT64), *mask = tp_gt(x, 0);
    assert_null(tp_scalar(0.5, TP_INT64));
    tpt_expect_error(TP_EVALUE, "scalar: ...");
    assert_null(tp_arange(0, 1, 0.5, TP_INT64));
    tpt_expect_error(TP_EVALUE, "arange: 0, 1 and 0.5 are not all int64...");
    assert_null(tp_masked_fill(x, mask, 0.5));
    tpt_expect_error(TP_EVALUE, "masked_fill: 0.5 is no int64...");
    tp_scope_end(s);
}

static void any_and_all_are_bools(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_to(tp_arange(0, 3, 1, TP_INT64), TP_UINT8);
    assert_int_equal(tp_dtype_of(tp_any(x)), TP_BOOL);
    assert_int_equal(tp_dtype_of(tp_all_dim(x, 0, 0)), TP_BOOL);
    tp_scope_end(s);
}

static void order_is_complete(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_gt(tp_ints(TP_SHAPE(4), 0, 1, 0, 1), 0), *at;
    assert_int_equal(tp_item_int(tp_argmax(x)), 1);
    assert_non_null(tp_topk(x, 3, 0, &at)); /* equals as they stood */
    assert_true(tp_equal(at, tp_ints(TP_SHAPE(3), 1, 3, 0)));
    tp_scope_end(s);
}

static void masks_and_indices(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_arange(0, 4, 1, TP_INT64),
              *two = tp_to(tp_ints(TP_SHAPE(4), 0, 2, 0, 1), TP_UINT8);
    assert_true(tp_equal(tp_masked_select(x, two), tp_ints(TP_SHAPE(2), 1, 3)));
    REFUSED(tp_masked_select(x, x), TP_EDTYPE, "masked_select: a mask must be bool, not int64...");
    tp_tensor *rows = tp_ints(TP_SHAPE(2), -1, 0);
    assert_true(tp_equal(tp_index_select(x, 0, rows), tp_ints(TP_SHAPE(2), 3, 0)));
    assert_true(tp_equal(tp_gather(x, 0, rows), tp_ints(TP_SHAPE(2), 3, 0)));
    assert_true(tp_equal(tp_index_select(x, 0, tp_to(tp_ints(TP_SHAPE(1), 2), TP_UINT8)),
                         tp_ints(TP_SHAPE(1), 2)));
    assert_false(tp_shares_storage(x, tp_index(x, tp_scalar(1, TP_INT64))));
    REFUSED(tp_index(tp_zeros(TP_SHAPE(3, 0), TP_FLOAT32), tp_scalar(3, TP_INT64)), TP_EINDEX,
            "index: index 3 at position 0...");
    REFUSED(tp_index_put_(x, tp_gt(x, 2), tp_ones(TP_SHAPE(1), TP_FLOAT32)), TP_EDTYPE,
            "index_put_: the values are float32 but the tensor is int64...");
    tp_scope_end(s);
}

static void dtypes_that_meet(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_ones(TP_SHAPE(2), TP_FLOAT32), *wide = tp_ones(TP_SHAPE(2), TP_FLOAT64);
    assert_true(tp_allclose(x, wide, 0, 0));
    assert_false(tp_equal(x, wide));
    tp_tensor *none = tp_zeros(TP_SHAPE(0), TP_INT64);
    assert_null(tp_softmax(none, 0));
    tpt_expect_error(TP_EDTYPE, "softmax: wants floats, not int64...");
    assert_null(tp_matmul(tp_zeros(TP_SHAPE(0, 2), TP_FLOAT32), tp_zeros(TP_SHAPE(2), TP_FLOAT64)));
    tpt_expect_error(TP_EDTYPE, "matmul: ...");
    tp_tensor *bytes = tp_clamp(tp_to(tp_arange(0, 3, 1, TP_INT64), TP_UINT8), -1, 1);
    assert_true(tp_equal(bytes, tp_to(tp_ints(TP_SHAPE(3), 0, 1, 1), TP_UINT8)));
    tp_tensor *huge = tp_floats(TP_SHAPE(3), INFINITY, -1e30f, NAN);
    tp_tensor *least = tp_full(TP_SHAPE(3), -0x1p63, TP_INT64);
    assert_true(tp_equal(tp_to(huge, TP_INT64), least));
    assert_true(tp_equal(tp_to(huge, TP_UINT8), tp_zeros(TP_SHAPE(3), TP_UINT8)));
    tp_scope_end(s);
}

/* One after the other these 64 factors give 1; by lanes, half of which hold large ones only, an
 * infinity meets a 0. */
static void factors_meet_by_lanes(void **state) {
    (void)state;
    float x[64], y[64];
    for (int i = 0; i < 64; i++) {
        x[i] = i % 2 ? 1e-15f : 1e15f;
        y[i] = i / 16 % 2 ? 1e-15f : 1e15f; /* each lane has both */
    }
    assert_true(isnan(tp_item(tp_prod(tp_from(x, TP_SHAPE(64), TP_FLOAT32)))));
    assert_true(fabs(tp_item(tp_prod(tp_from(y, TP_SHAPE(64), TP_FLOAT32))) - 1) < 1e-4);
}

static void numbers_at_the_edges(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    assert_null(tp_pow(tp_arange(0, 3, 1, TP_INT64), tp_ints(TP_SHAPE(3), -1, -1, -1)));
    tpt_expect_error(TP_EVALUE, "pow: integers to a negative integer power...");
    tp_tensor *tiny = tp_full(TP_SHAPE(1), 1e-40, TP_FLOAT32);
    assert_true(tp_item(tp_remainder(tp_scalar(1, TP_FLOAT32), tiny)) >= 0); /* no NaN */
    assert_true(tp_item(tp_div(0, tiny)) == 0); /* 1 / tiny is infinite */
    assert_true(tp_equal(tp_pow(tiny, -0.3), tp_pow(tiny, tp_scalar(-0.3, TP_FLOAT32))));
    assert_true(tp_item(tp_sigmoid(tp_scalar(-92.8, TP_FLOAT32))) > 0);
    assert_true(isinf(tp_item(tp_std(tp_floats(TP_SHAPE(2), 0, 1e20f), 0))));
    assert_true(tp_item(tp_std(tp_floats(TP_SHAPE(2), 0, 1e18f), 0)) < 1e18);
    tp_scope_end(s);
}

static void targets_are_converted(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_floats(TP_SHAPE(2), 1, -1)),
              *t = tp_ints(TP_SHAPE(2), 1, 0);
    tp_tensor *loss = tp_binary_cross_entropy_with_logits(x, t);
    assert_true(tp_equal(loss, tp_binary_cross_entropy_with_logits(x, tp_to(t, TP_FLOAT32))));
    tpt_ok(tp_backward(tp_mse_loss(x, tp_to(t, TP_FLOAT64))));
    tp_tensor *far = tp_scalar(INFINITY, TP_FLOAT32); /* a NaN in PyTorch */
    assert_true(tp_item(tp_binary_cross_entropy_with_logits(far, tp_scalar(0, TP_FLOAT32))) ==
                (double)INFINITY);
    tp_tensor *logits = tp_zeros(TP_SHAPE(2, 3), TP_FLOAT32),
              *column = tp_ints(TP_SHAPE(2, 1), 2, 0);
    assert_non_null(tp_cross_entropy(logits, column));
    REFUSED(tp_nll_loss(logits, tp_ints(TP_SHAPE(2), 1, -100)), TP_EINDEX,
            "nll_loss: target -100 at row 1...");
    tp_scope_end(s);
}

static void gradients_of_ours(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_floats(TP_SHAPE(2, 2), 1, 2, 3, 4));
    tpt_ok(tp_backward(tp_sum(tp_floor_divide(x, 2))));
    assert_true(tp_equal(tp_grad(x), tp_zeros(TP_SHAPE(2, 2), TP_FLOAT32)));
    tp_zero_grad(x);
    tp_tensor *mask = tp_gt(tp_T(tp_detach(x)), 1.5); /* of x.T: 1 3 / 2 4 */
    tpt_ok(tp_backward_from(tp_masked_select(tp_T(x), mask), tp_floats(TP_SHAPE(3), 5, 6, 7)));
    assert_true(tp_equal(tp_grad(x), tp_floats(TP_SHAPE(2, 2), 0, 6, 5, 7)));
    assert_false(tp_requires_grad(tp_unique(x, NULL)));
    tp_scope_end(s);
}

/* Each row of the page is named here, by its first column, with the test that shows it. */
static const struct {
    const char *row;
    void (*test)(void **);
} tested[] = {
    {"memory of results", results_are_contiguous},
    {"a second backward", backward_frees_its_tape},
    {"changes in place", nothing_followed_changes_in_place},
    {"a value changed after the forward", a_saved_value_that_changed_is_noticed},
    {"rank", rank_is_at_most_eight},
    {"losses of unequal shapes", losses_want_equal_shapes},
    {"`zero_grad`", zero_grad_leaves_none},
    {"`x.T` of any rank", T_reverses_all_axes},
    {"names of `grad_fn`", names_are_those_of_1_13_and_yours},
    {"your own function", names_are_those_of_1_13_and_yours},
    {"a loader's own generator", a_loaders_generator_gives_seeds},
    {"writes to expanded tensors", writes_that_overlap},
    {"overlapping memory", writes_that_overlap},
    {"random numbers into a view", random_numbers_come_in_the_order_of_elements},
    {"random numbers are constants", random_numbers_come_in_the_order_of_elements},
    {"bernoulli_ of whole numbers", random_numbers_come_in_the_order_of_elements},
    {"fractions for whole numbers", fractions_are_no_whole_numbers},
    {"any and all of uint8", any_and_all_are_bools},
    {"bools in order", order_is_complete},
    {"order of equals", order_is_complete},
    {"the order of factors", factors_meet_by_lanes},
    {"masks", masks_and_indices},
    {"indices of uint8", masks_and_indices},
    {"indices from the end", masks_and_indices},
    {"an index without axes", masks_and_indices},
    {"an index of nothing", masks_and_indices},
    {"values of another dtype", masks_and_indices},
    {"allclose of two dtypes", dtypes_that_meet},
    {"equal of two dtypes", dtypes_that_meet},
    {"nothing of a wrong dtype", dtypes_that_meet},
    {"bounds beyond a dtype", dtypes_that_meet},
    {"numbers that do not fit", dtypes_that_meet},
    {"integers to negative powers", numbers_at_the_edges},
    {"quotients beyond a float", numbers_at_the_edges},
    {"numbers as exponents", numbers_at_the_edges},
    {"squares beyond a float", numbers_at_the_edges},
    {"numbers below the smallest normal one", numbers_at_the_edges},
    {"targets of another dtype", targets_are_converted},
    {"class numbers", targets_are_converted},
    {"infinite logits", targets_are_converted},
    {"gradients that PyTorch has not", gradients_of_ours},
    {"gradients of PyTorch 1.13 that are wrong", gradients_of_ours},
    {"unique values are constants", gradients_of_ours},
    {"averages of an optimizer", subnormal_averages_are_zero},
    {"steps of a learner", steps_of_a_learner_flush},
};

static void every_row_has_its_test(void **state) {
    (void)state;
    FILE *f = fopen(tpt_source("docs/differences.md"), "r");
    assert_non_null(f);
    char line[1024];
    int rows = 0;
    while (fgets(line, sizeof line, f)) {
        char *end = strstr(line, " | ");
        if (strncmp(line, "| ", 2) || !end || !strncmp(line, "| |", 3)) continue;
        *end = '\0';
        int at = 0;
        while (at < TP__COUNT(tested) && strcmp(tested[at].row, line + 2)) at++;
        if (at == TP__COUNT(tested)) fail_msg("no test for the row '%s'", line + 2);
        rows++;
    }
    fclose(f);
    assert_int_equal(rows, TP__COUNT(tested));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(results_are_contiguous),
        TPT(backward_frees_its_tape),
        TPT(nothing_followed_changes_in_place),
        TPT(a_saved_value_that_changed_is_noticed),
        TPT(rank_is_at_most_eight),
        TPT(losses_want_equal_shapes),
        TPT(zero_grad_leaves_none),
        TPT(T_reverses_all_axes),
        TPT(names_are_those_of_1_13_and_yours),
        TPT(a_loaders_generator_gives_seeds),
        TPT(subnormal_averages_are_zero),
        TPT(steps_of_a_learner_flush),
        TPT(writes_that_overlap),
        TPT(random_numbers_come_in_the_order_of_elements),
        TPT(fractions_are_no_whole_numbers),
        TPT(any_and_all_are_bools),
        TPT(order_is_complete),
        TPT(factors_meet_by_lanes),
        TPT(masks_and_indices),
        TPT(dtypes_that_meet),
        TPT(numbers_at_the_edges),
        TPT(targets_are_converted),
        TPT(gradients_of_ours),
        TPT(every_row_has_its_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
