/* test_preds.c -- asking one sample, one batch, a trained learner, its recorder; exporting it. */
#include "task.h"

#include <string.h>

static void samples_by_number(void **state) {
    (void)state;
    tp_dataset ds;
    points(&ds, 5, 1);
    const tp_scope s = tp_scope_begin();
    tp_tensor *x, *y, *x4, *y4;
    tpt_ok(tp_dataset_get(&ds, 4, &x, &y));
    tpt_ok(tp_dataset_get(&ds, -1, &x4, &y4));
    assert_true(tp_equal(x, x4) && tp_equal(y, y4));
    assert_int_equal(tp_numel(x), INPUTS);
    assert_int_equal(tp_ndim(y), 0);
    assert_int_equal(tp_dataset_get(&ds, 5, &x, &y), TP_EINDEX);
    tpt_expect_error(TP_EINDEX, "dataset_get: there is no sample 5 among 5");
    tp_scope_end(s);
    tp_dataset_free(&ds);
}

static tp_status no_sample(void *self, int64_t i, tp_sample *s) {
    (void)self;
    (void)s;
    return i ? TP_EUSER : tp_error_set(TP_EIO, "gone");
}
static int64_t two(void *self) {
    (void)self;
    return 2;
}
static void samples_that_fail(void **state) {
    (void)state;
    const tp_dataset ds = {.size = sizeof ds, .len = two, .get = no_sample};
    const tp_scope s = tp_scope_begin();
    tp_tensor *x, *y;
    assert_int_equal(tp_dataset_get(&ds, 0, &x, &y), TP_EIO);
    tpt_expect_error(TP_EIO, "dataset_get: sample 0: gone");
    assert_int_equal(tp_dataset_get(&ds, 1, &x, &y), TP_EUSER);
    tpt_expect_error(TP_EUSER, "dataset_get: sample 1: get returned -12 without an error");
    tp_scope_end(s);
}

/* first(dl) is the first batch of a pass of its own, and draws what a pass draws. */
static void first_of_a_pass(void **state) {
    (void)state;
    tp_dataset ds;
    points(&ds, 20, 1);
    tp_loader *dl = tp_loader_new(
        &ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = 8, .shuffle = true});
    tp_batch b;
    int64_t first[8];
    tp_manual_seed(3);
    assert_int_equal(tp_loader_next(dl, &b), 1);
    assert_int_equal(tp_loader_first(dl, &b), 1);
    memcpy(first, b.index, sizeof first);
    assert_int_equal(tp_loader_first(dl, &b), 1);
    assert_memory_not_equal(first, b.index, sizeof first);
    tp_manual_seed(3);
    tp_loader_restart(dl);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(tp_loader_first(dl, &b), 1);
        if (pass) assert_memory_equal(first, b.index, sizeof first);
    }
    int batches = 0;
    while (tp_loader_next(dl, &b) > 0) batches++;
    assert_int_equal(batches, 3);
    tp_loader_free(dl);
    tp_dataset_free(&ds);
}

static void predictions(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.momentum = 0.9});
    tpt_ok(tp_fit(t.l, 3, 0.05));
    const tp_scope s = tp_scope_begin();
    tp_tensor *preds, *targets, *x, *y;
    double values[3];
    tpt_ok(tp_learner_get_preds(t.l, NULL, &preds, &targets));
    assert_int_equal(tp_size(preds, 0), VALID);
    assert_int_equal(tp_size(targets, 0), VALID);
    assert_false(tp_requires_grad(preds));
    assert_true(tp_module_training(t.net));
    tpt_ok(tp_learner_validate(t.l, NULL, values, 3));
    const double right = tp_item(tp_accuracy(preds, targets));
    tpt_close_f64(&right, &values[1], 1, 1e-6, 0);
    tpt_ok(tp_dataset_get(&t.valid_set, 20, &x, &y));
    tp_tensor *one = tp_learner_predict(t.l, x);
    assert_int_equal(tp_ndim(one), 1);
    assert_true(tp_allclose(one, tp_select(preds, 0, 20), 1e-6, 1e-6));
    assert_null(tp_learner_predict(t.l, tp_zeros(TP_SHAPE(3), TP_FLOAT32)));
    tpt_expect_error(TP_ESHAPE, "predict: linear: I is 3 in x [1, 3] but 4 in w...");
    tp_scope_end(s);
    end(&t);
}

static void recorded_values(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.momentum = 0});
    const tp_scope s = tp_scope_begin();
    assert_int_equal(tp_numel(tp_recorder_values(t.l)), 0);
    tpt_ok(tp_fit(t.l, 3, 0.05));
    tp_tensor *v = tp_recorder_values(t.l);
    assert_int_equal(tp_size(v, 0), 3);
    assert_int_equal(tp_size(v, 1), 4);
    for (int e = 0; e < 3; e++)
        for (int c = 0; c < 4; c++)
            assert_true(tp_item(tp_select(tp_select(v, 0, e), 0, c)) ==
                        tp_recorder_value(t.l, e, c));
    tp_scope_end(s);
    end(&t);
}

static void exported(void **state) {
    (void)state;
    static const char *const classes[] = {"a", "b", "c"};
    const tp_model_opts opts = {.size = sizeof opts,
                                .classes = classes,
                                .nclasses = 3,
                                .channels = 1,
                                .height = 2,
                                .width = 2};
    char path[4096], want[65], got[65];
    snprintf(path, sizeof path, "%s/m.safetensors", tpt_tmpdir());
    task t;
    begin(&t, &(setup){.momentum = 0});
    tpt_ok(tp_learner_export(t.l, path, &opts));
    tp_model *m = tp_model_load(path);
    assert_non_null(m);
    tpt_ok(tp_model_weights_sha256(m, got));
    tp_dict *d = tp_state_dict(t.net);
    tpt_ok(tp_dict_sha256(d, want));
    tp_dict_free(d);
    assert_string_equal(got, want);
    tp_model_free(m);
    assert_int_equal(
        tp_learner_export(t.l, path,
                          &(tp_model_opts){.size = sizeof opts, .classes = classes, .nclasses = 3}),
        TP_EVALUE);
    tpt_expect_error(TP_EVALUE,
                     "export: model: images of 0x0x0 (1 or 3 channels, at most 16384...");
    end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(samples_by_number), TPT(samples_that_fail), TPT(first_of_a_pass),
        TPT(predictions),       TPT(recorded_values),   TPT(exported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
