/* test_mistakes.c -- the mistakes of one's first days, each with the line that answers it. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"

#include <stdio.h>
#include <string.h>

/* The pending error is `code`, and says exactly `text` and its place in this file. */
static void says(tp_status code, const char *text) {
    char want[1024];
    snprintf(want, sizeof want, "%s (test_mistakes.c:...", text);
    tpt_expect_error(code, want);
}
#define NO_TENSOR(call, code, text) (assert_null(call), says(code, text))
#define REFUSED(call, code, text) (assert_int_equal(call, code), says(code, text))

static tp_tensor *leaf(void) {
    return tp_requires_grad_(tp_ones(TP_SHAPE(3), TP_FLOAT32));
}
static tp_tensor *zeros(tp_shape shape) {
    return tp_zeros(shape, TP_FLOAT32);
}

static void a_product_that_does_not_fit(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *image = zeros(TP_SHAPE(28, 28)), *row = zeros(TP_SHAPE(5, 784)),
              *w = zeros(TP_SHAPE(30, 784));
    NO_TENSOR(tp_matmul(image, w), TP_ESHAPE,
              "matmul: K is 28 in x [28, 28] but 30 in w [30, 784]; tp_view(x, TP_SHAPE(-1, 784)) "
              "with tp_T(w) would fit");
    NO_TENSOR(tp_matmul(image, tp_T(w)), TP_ESHAPE,
              "matmul: K is 28 in x [28, 28] but 784 in w [784, 30]; tp_view(x, TP_SHAPE(-1, 784)) "
              "would fit");
    NO_TENSOR(tp_matmul(row, w), TP_ESHAPE,
              "matmul: K is 784 in x [5, 784] but 30 in w [30, 784]; tp_T(w) would fit");
    NO_TENSOR(tp_matmul(row, image), TP_ESHAPE,
              "matmul: K is 784 in x [5, 784] but 28 in w [28, 28]");
    NO_TENSOR(tp_linear(image, w, TP_NONE), TP_ESHAPE,
              "linear: I is 28 in x [28, 28] but 784 in w [30, 784]; tp_view(x, TP_SHAPE(-1, 784)) "
              "would fit");
    NO_TENSOR(tp_linear(zeros(TP_SHAPE(5, 30)), w, TP_NONE), TP_ESHAPE,
              "linear: I is 30 in x [5, 30] but 784 in w [30, 784]");
    /* A vector stays one: neither [1, 784] nor [784, 1] was written. */
    tp_tensor *pixels = zeros(TP_SHAPE(784));
    NO_TENSOR(tp_matmul(pixels, w), TP_ESHAPE,
              "matmul: K is 784 in x [784] but 30 in w [30, 784]; tp_T(w) would fit");
    NO_TENSOR(tp_matmul(image, pixels), TP_ESHAPE,
              "matmul: K is 28 in x [28, 28] but 784 in w [784]");
    NO_TENSOR(tp_matmul(pixels, zeros(TP_SHAPE(785))), TP_ESHAPE,
              "matmul: K is 784 in x [784] but 785 in w [785]");
    NO_TENSOR(tp_matmul(zeros(TP_SHAPE(2, 30, 28)), pixels), TP_ESHAPE,
              "matmul: K is 28 in x [2, 30, 28] but 784 in w [784]");
    assert_int_equal(tp_ndim(tp_matmul(w, pixels)), 1);
    assert_int_equal(tp_ndim(tp_matmul(pixels, tp_T(w))), 1);
    assert_int_equal(tp_ndim(tp_matmul(pixels, pixels)), 0);
    /* What was said does fit. */
    assert_int_equal(tp_size(tp_matmul(tp_view(image, TP_SHAPE(-1, 784)), tp_T(w)), 1), 30);
    tp_scope_end(s);
}

static void backward_of_many(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    REFUSED(tp_backward(tp_mul(leaf(), 2)), TP_ESHAPE,
            "backward: the tensor is [3]; only a single number has a gradient by itself (take its "
            "tp_sum or tp_mean)");
    tp_scope_end(s);
}

static void backward_twice(void **state) {
    (void)state;
    char text[256];
    const tp_scope s = tp_scope_begin();
    const int line = __LINE__ + 1;
    tp_tensor *half = tp_mul(leaf(), 0.5), *sum = tp_sum(half), *mean = tp_mean(half);
    tpt_ok(tp_backward(sum));
    snprintf(text, sizeof text,
             "backward of sum (test_mistakes.c:%d): an earlier backward went through it and freed "
             "the tape; run the forward again",
             line);
    REFUSED(tp_backward(sum), TP_EGRAD, text);
    snprintf(
        text, sizeof text,
        "backward of mean (test_mistakes.c:%d): an earlier backward went through its input and "
        "freed the tape there; run the forward again",
        line);
    REFUSED(tp_backward(mean), TP_EGRAD, text);
    tp_scope_end(s);
}

static void changing_a_leaf(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = leaf();
    NO_TENSOR(
        tp_mul_(w, 3), TP_EGRAD,
        "mul_: a leaf that requires a gradient cannot change in place while the tape records; "
        "do it inside tp_scope_no_grad()");
    NO_TENSOR(tp_fill_(tp_at(w, "0"), 3), TP_EGRAD,
              "fill_: the tape follows this tensor (grad_fn=<SelectBackward0>); its value cannot "
              "change in place, make a new one");
    const tp_scope quiet = tp_scope_no_grad();
    assert_non_null(tp_mul_(w, 3));
    tp_scope_end(quiet);
    tp_scope_end(s);
}

static void shapes_that_do_not_meet(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    NO_TENSOR(tp_add(leaf(), zeros(TP_SHAPE(4))), TP_ESHAPE,
              "add: cannot broadcast [3] with [4]: dim -1 is 3 and 4; sizes must be equal, or one "
              "of them 1");
    NO_TENSOR(tp_div(zeros(TP_SHAPE(64, 10)), zeros(TP_SHAPE(64))), TP_ESHAPE,
              "div: cannot broadcast [64, 10] with [64]: dim -1 is 10 and 64; sizes must be equal, "
              "or one of them 1");
    NO_TENSOR(tp_mse_loss(zeros(TP_SHAPE(4, 1)), zeros(TP_SHAPE(4))), TP_ESHAPE,
              "mse_loss: the input is [4, 1] but the target [4]; they must be equal");
    NO_TENSOR(tp_mnist_loss(zeros(TP_SHAPE(4, 3)), zeros(TP_SHAPE(4))), TP_ESHAPE,
              "mnist_loss: cannot broadcast [4, 3] with [4]: dim -1 is 3 and 4; sizes must be "
              "equal, or one of them 1");
    NO_TENSOR(tp_batch_accuracy(zeros(TP_SHAPE(4, 1)), zeros(TP_SHAPE(4))), TP_ESHAPE,
              "batch_accuracy: pred is [4, 1] but target is [4]");
    NO_TENSOR(tp_floats(TP_SHAPE(2, 2), 1, 2, 3), TP_ESHAPE,
              "from: 3 values for the shape [2, 2], which holds 4");
    tp_scope_end(s);
}

static void views_that_would_copy(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = zeros(TP_SHAPE(2, 3));
    NO_TENSOR(
        tp_view(tp_T(x), TP_SHAPE(-1)), TP_ESHAPE,
        "view: [3, 2] with strides [1, 3] (transposed, sliced or expanded) is not [6] without "
        "a copy; tp_reshape makes one");
    NO_TENSOR(tp_view(x, TP_SHAPE(4, -1)), TP_ESHAPE,
              "view: the tensor has 6 elements, which the shape [4, -1] cannot hold");
    assert_non_null(tp_reshape(tp_T(x), TP_SHAPE(-1)));
    tp_scope_end(s);
}

static void integers_where_floats_belong(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    NO_TENSOR(tp_requires_grad_(tp_arange(0, 3, 1, TP_INT64)), TP_EDTYPE,
              "requires_grad_: only floating tensors have gradients; this one is int64 "
              "(tp_to(x, TP_FLOAT32) makes a float of it)");
    NO_TENSOR(tp_rand(TP_SHAPE(3), TP_INT64, NULL), TP_EDTYPE,
              "rand: floats only, not int64; tp_randint draws integers");
    NO_TENSOR(tp_masked_fill(leaf(), leaf(), 0), TP_EDTYPE,
              "masked_fill: the condition must be bool, not float32");
    NO_TENSOR(tp_matmul(zeros(TP_SHAPE(2, 3)), tp_ints(TP_SHAPE(3), 1, 2, 3)), TP_EDTYPE,
              "matmul: x is float32 but w is int64 (tp_to one of them)");
    tp_tensor *i = tp_arange(0, 3, 1, TP_INT64), *is_3 = tp_eq(i, 2);
    NO_TENSOR(tp_masked_fill(i, is_3, 0.5), TP_EVALUE, "masked_fill: 0.5 is no int64");
    NO_TENSOR(tp_masked_fill_(i, is_3, 0.5), TP_EVALUE, "masked_fill_: 0.5 is no int64");
    NO_TENSOR(tp_sub(1, is_3), TP_EDTYPE, "sub: not defined for bool (tp_to makes numbers of it)");
    NO_TENSOR(tp_mean(tp_arange(0, 3, 1, TP_INT64)), TP_EDTYPE,
              "mean: wants floats, not int64 (tp_to it first)");
    tp_scope_end(s);
}

static void one_number_of_many(void **state) {
    (void)state;
    static const char text[] = "item: only a tensor of one element is a number; this one is [3] "
                               "(take its tp_sum or tp_mean, or pick one with tp_at)";
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = leaf();
    const double number = tp_item(x);
    says(TP_ESHAPE, text);
    assert_true(number != number);
    assert_int_equal(tp_item_int(x), -1);
    says(TP_ESHAPE, text);
    tp_scope_end(s);
}

static const char no_gradient[] =
    "backward: no tensor that requires a gradient leads to this one; comparisons, tp_argmax, "
    "tp_detach and tp_scope_no_grad() let none through (an accuracy is no loss)";

static tp_status silent(void *self, int64_t i, tp_sample *sample) {
    (void)self, (void)i, (void)sample;
    return TP_EUSER;
}

static void slices_backwards(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    NO_TENSOR(tp_at(leaf(), "::-1"), TP_EVALUE,
              "at: character 3 of \"::-1\": the step must be at least 1 (tp_flip turns an axis "
              "round)");
    NO_TENSOR(tp_at(leaf(), "1.5"), TP_EVALUE,
              "at: character 2 of \"1.5\": expected ',' or the end");
    tp_scope_end(s);
}

static void more_than_there_is(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    NO_TENSOR(tp_zeros(TP_SHAPE(1 << 20, 1 << 20, 8), TP_FLOAT32), TP_ENOMEM,
              "out of memory: float32 [1048576, 1048576, 8] needs 35184372088832 bytes");
    tp_scope_end(s);
}

/* Not only what makes tensors says where: files, loaders, modules and learners do too. */
static void a_place_for_every_error(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = leaf(), *y;
    tp_batch b;
    double values[1];
    assert_int_equal(tp_size(x, 3), -1);
    says(TP_EINDEX, "size: dim 3 is out of range for a 1-d tensor");
    assert_null(tp_data_i64(x));
    says(TP_EDTYPE, "data_i64: the tensor is float32");
    NO_TENSOR(tp_load_npy("absent.npy"), TP_EIO,
              "cannot read absent.npy: No such file or directory");
    NO_TENSOR(tp_load_safetensors("absent"), TP_EIO,
              "cannot read absent: No such file or directory");
    NO_TENSOR(tp_model_load("absent"), TP_EIO, "cannot read absent: No such file or directory");
    REFUSED(tp_save_npy(x, "absent/x.npy"), TP_EIO,
            "cannot write absent/x.npy: No such file or directory");
    tp_dataset ds;
    REFUSED(tp_zip_dataset(x, zeros(TP_SHAPE(4)), &ds), TP_ESHAPE,
            "zip_dataset: x has 3 rows, y has 4");
    NO_TENSOR(tp_model_new(.nclasses = 2), TP_ENULL, "model: .module: an argument is NULL");
    tp_module *net = tp_nn_linear(1, 1);
    NO_TENSOR(tp_module_add_param(net, "weight", x), TP_EVALUE,
              "add_param: the name 'weight' is taken");
    NO_TENSOR(tp_module_parse("conv", NULL), TP_EVALUE,
              "module_parse: character 1: no layer begins here; there are linear, relu, sigmoid, "
              "tanh, flatten and sequential");
    tpt_ok(tp_zip_dataset(zeros(TP_SHAPE(4, 1)), zeros(TP_SHAPE(4, 1)), &ds));
    tp_loader *dl = tp_loader_new(&ds);
    tp_optim *opt = tp_sgd(net);
    tp_learner *l = tp_learner_new(.train = dl, .model = net, .loss = tp_mse_loss, .optim = opt);
    REFUSED(tp_optim_set_lr(opt, -1), TP_EVALUE,
            "optim_set_lr: lr is -1; it must be finite and at least 0");
    REFUSED(tp_learner_validate(l, NULL, values, 1), TP_EVALUE,
            "validate: the learner has no validation loader");
    REFUSED(tp_learner_get_preds(l, NULL, &x, &y), TP_EVALUE,
            "get_preds: the learner has no validation loader");
    REFUSED(tp_learner_load(l, "absent"), TP_EIO, "cannot read absent: No such file or directory");
    NO_TENSOR(
        tp_learner_new(.train = dl, .model = net, .loss = tp_mse_loss, .optim = opt, .nmetrics = 1),
        TP_ENULL, "learner: .metrics: an argument is NULL");
    tp_learner_free(l);
    tp_optim_free(opt);
    tp_module_free(net);
    tp_loader_free(dl);
    ds.get_batch = NULL;
    ds.get = silent;
    dl = tp_loader_new(&ds);
    assert_true(tp_loader_next(dl, &b) < 0);
    says(TP_EUSER, "sample 0: a callback failed (get returned -12 and set no message)");
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_scope_end(s);
}

static void a_loss_without_gradient(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = leaf();
    REFUSED(tp_backward(tp_mean(tp_to(tp_gt(w, 0), TP_FLOAT32))), TP_EGRAD, no_gradient);
    REFUSED(tp_backward(tp_detach(tp_sum(w))), TP_EGRAD, no_gradient);
    const tp_scope quiet = tp_scope_no_grad();
    REFUSED(tp_backward(tp_sum(w)), TP_EGRAD, no_gradient);
    tp_scope_end(quiet);
    const tp_scope inner = tp_scope_begin();
    tp_tensor *late = tp_keep(tp_sum(w));
    tp_scope_end(inner);
    REFUSED(tp_backward(late), TP_EGRAD,
            "backward: the scope in which this tensor was made has ended, and its tape with it; "
            "call backward before tp_scope_end");
    tp_free(late);
    tp_scope_end(s);
}

/* Not an error, as in torch: what backward finds in .grad it adds to. */
static void forgetting_zero_grad(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = leaf();
    for (int i = 1; i <= 3; i++) {
        tpt_ok(tp_backward(tp_sum(tp_mul(w, 2))));
        assert_true(tp_equal(tp_grad(w), tp_full(TP_SHAPE(3), 2 * i, TP_FLOAT32)));
    }
    tp_zero_grad(w);
    tpt_ok(tp_backward(tp_sum(tp_mul(w, 2))));
    assert_true(tp_equal(tp_grad(w), tp_full(TP_SHAPE(3), 2, TP_FLOAT32)));
    tp_scope_end(s);
}

/* ---- the same, made inside a fit ------------------------------------------------------------- */

static tp_tensor *accuracy_as_loss(tp_tensor *pred, tp_tensor *y) {
    return tp_batch_accuracy(pred, y);
}
static tp_tensor *nothing(tp_tensor *pred, tp_tensor *y) {
    (void)pred, (void)y;
    return NULL;
}
static tp_tensor *one_for_each(tp_tensor *pred, tp_tensor *y) {
    return tp_abs(tp_sub(pred, y));
}
static int log_line;
static tp_tensor *log_of_zero(tp_tensor *pred, tp_tensor *y) {
    log_line = __LINE__ + 1;
    return tp_mean(tp_sub(tp_log(tp_mul(pred, 0)), y));
}

/* A fit with this loss fails, and `text` follows "fit: epoch 0, batch 0: ". */
static void fit_says(tp_loss_fn loss, tp_status code, const char *text, bool here) {
    char want[512];
    tp_dataset ds;
    const tp_scope s = tp_scope_begin();
    tpt_ok(tp_zip_dataset(zeros(TP_SHAPE(8, 2)), zeros(TP_SHAPE(8, 1)), &ds));
    tp_loader *dl = tp_loader_new(&ds, .batch_size = 4);
    tp_module *net = tp_nn_linear(2, 1);
    tp_optim *opt = tp_sgd(net, .lr = 0.1);
    tp_learner *l = tp_learner_new(.train = dl, .model = net, .loss = loss, .optim = opt);
    assert_int_equal(tp_fit(l, 1, 0.1), code);
    const int line = here ? __LINE__ - 1 : log_line;
    snprintf(want, sizeof want, "fit: epoch 0, batch 0: %s (test_mistakes.c:%d)", text, line);
    tpt_expect_error(code, want);
    tp_learner_free(l);
    tp_optim_free(opt);
    tp_module_free(net);
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_scope_end(s);
}

static void losses_of_a_fit(void **state) {
    (void)state;
    fit_says(accuracy_as_loss, TP_EGRAD, no_gradient, true);
    fit_says(nothing, TP_EUSER, "the loss function returned NULL, and no error", true);
    fit_says(one_for_each, TP_ESHAPE,
             "the loss function gave 4 numbers, not one (take their tp_mean)", true);
    fit_says(log_of_zero, TP_EVALUE, "loss is inf; a smaller learning rate usually helps", true);
    tp_set_detect_anomaly(true);
    fit_says(log_of_zero, TP_EVALUE, "log: made inf of finite numbers", false);
    tp_set_detect_anomaly(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {TPT(a_product_that_does_not_fit),
                                       TPT(backward_of_many),
                                       TPT(backward_twice),
                                       TPT(changing_a_leaf),
                                       TPT(shapes_that_do_not_meet),
                                       TPT(views_that_would_copy),
                                       TPT(integers_where_floats_belong),
                                       TPT(one_number_of_many),
                                       TPT(slices_backwards),
                                       TPT(more_than_there_is),
                                       TPT(a_place_for_every_error),
                                       TPT(a_loss_without_gradient),
                                       TPT(forgetting_zero_grad),
                                       TPT(losses_of_a_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
