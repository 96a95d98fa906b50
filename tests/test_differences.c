/* test_differences.c -- each line of docs/differences.md: what taper does where PyTorch does
 * otherwise. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
