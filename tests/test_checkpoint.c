/* test_checkpoint.c -- a learner in a file, and back: the same bits wherever it was stopped. */
#define _POSIX_C_SOURCE 200809L
#include "task.h"

#include <unistd.h>

static const char *checkpoint(void) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/learner.checkpoint", tpt_tmpdir());
    return path;
}

static tp_status fit_kind(task *t, bool cycle, int64_t epochs) {
    return cycle ? tp_fit_one_cycle(t->l, epochs, 0.05) : tp_fit(t->l, epochs, 0.05);
}

/* 2 + 3 epochs are 5, if the first fit has come to its end. */
static void two_and_three_are_five(void **state) {
    (void)state;
    for (int adam = 0; adam < 2; adam++) {
        const setup s = {.adam = adam, .momentum = 0.9};
        char want[65], got[65];
        task t;
        begin(&t, &s);
        tpt_ok(tp_fit(t.l, 5, 0.05));
        tp_dict *d = tp_state_dict(t.net);
        tpt_ok(tp_dict_sha256(d, want));
        tp_dict_free(d);
        end(&t);
        begin(&t, &s);
        tpt_ok(tp_fit(t.l, 2, 0.05));
        tpt_ok(tp_learner_save(t.l, checkpoint()));
        end(&t);
        begin(&t, &s);
        tpt_ok(tp_fit(t.l, 1, 0.5)); /* something else, to be forgotten */
        tpt_ok(tp_learner_load(t.l, checkpoint()));
        assert_int_equal(tp_recorder_epochs(t.l), 2);
        tpt_ok(tp_fit(t.l, 3, 0.05));
        assert_int_equal(tp_recorder_epochs(t.l), 3); /* a fit of its own */
        d = tp_state_dict(t.net);
        tpt_ok(tp_dict_sha256(d, got));
        tp_dict_free(d);
        assert_string_equal(got, want);
        end(&t);
    }
}

/* Stopped after any batch, saved, read into a new learner: weights, tables, generator as if
 * never stopped. */
static void stopped_and_resumed(bool adam, bool cycle, const char want[65]) {
    tp_callback cb = {.size = sizeof cb, .after_batch = stop_then};
    char got[65];
    task t;
    begin(&t, &(setup){.adam = adam, .momentum = 0.9, .callback = {&cb}, .ncallbacks = 1});
    tpt_ok(fit_kind(&t, cycle, 3));
    assert_int_equal(tp_recorder_batches(t.l), stop_step);
    tpt_ok(tp_learner_save(t.l, checkpoint()));
    end(&t);
    begin(&t, &(setup){.adam = adam, .momentum = 0.9});
    tpt_ok(fit_kind(&t, cycle, 1));
    tpt_ok(tp_learner_load(t.l, checkpoint()));
    assert_int_equal(tp_recorder_batches(t.l), stop_step);
    tpt_ok(fit_kind(&t, cycle, 3));
    assert_int_equal(tp_recorder_epochs(t.l), 3);
    fingerprint(&t, got);
    assert_string_equal(got, want);
    end(&t);
}

static void resumed_with_the_same_bits(void **state) {
    (void)state;
    static const int64_t stops[] = {1,           BATCHES - 1, BATCHES,
                                    BATCHES + 1, 2 * BATCHES, 3 * BATCHES - 1};
    for (int kind = 0; kind < 4; kind++) {
        const bool adam = kind & 1, cycle = kind & 2;
        char want[65];
        task t;
        begin(&t, &(setup){.adam = adam, .momentum = 0.9});
        tpt_ok(fit_kind(&t, cycle, 3));
        fingerprint(&t, want);
        end(&t);
        for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
            stop_step = stops[i];
            stopped_and_resumed(adam, cycle, want);
        }
    }
}

static int64_t save_epoch, save_step;
static tp_status save_inside(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const tp_progress *p = tp_learner_progress(l);
    if (p->training ? p->step == save_step : p->epoch == save_epoch)
        return tp_learner_save(l, checkpoint());
    return TP_OK;
}

/* As after a kill: the checkpoint was written by a callback inside the fit, which then went on. */
static void saved_inside_a_fit(void **state) {
    (void)state;
    tp_callback cb = {
        .size = sizeof cb, .order = 70, .after_batch = save_inside, .after_epoch = save_inside};
    for (int i = 0; i < 6; i++) {
        save_epoch = i < 3 ? i : -1;
        save_step =
            i < 3 ? -1
                  : (i - 2) * BATCHES - (i == 3 ? 4 : 0); /* inside a pass, and its last batch */
        char want[65], got[65];
        task t;
        begin(&t, &(setup){.adam = true, .callback = {&cb}, .ncallbacks = 1});
        tpt_ok(tp_fit(t.l, 3, 0.05));
        fingerprint(&t, want);
        end(&t);
        begin(&t, &(setup){.adam = true});
        tpt_ok(tp_learner_load(t.l, checkpoint()));
        if (save_epoch != 2) tpt_ok(tp_fit(t.l, 3, 0.05)); /* else it was the end of the fit */
        fingerprint(&t, got);
        assert_string_equal(got, want);
        end(&t);
    }
}

static void saved_at_the_wrong_moment(void **state) {
    (void)state;
    save_epoch = 0;
    save_step = 1;
    tp_callback cb = {.size = sizeof cb, .name = "early", .order = 40, .after_batch = save_inside};
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    assert_int_equal(tp_fit(t.l, 1, 0.1), TP_ESTATE);
    tpt_expect_error(
        TP_ESTATE,
        "fit: epoch 0, batch 0: after_batch of the callback \"early\": learner_state: while a fit "
        "runs, only callbacks of an order above 50 can save, after_batch or after_epoch");
    end(&t);
}

static void more_or_fewer_epochs(void **state) {
    (void)state;
    tp_callback cb = {.size = sizeof cb, .after_batch = stop_then};
    stop_step = BATCHES + 1;
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 3, 0.1));
    tpt_ok(tp_learner_save(t.l, checkpoint()));
    stop_step = -1;
    tpt_ok(tp_learner_load(t.l, checkpoint()));
    assert_int_equal(tp_fit(t.l, 1, 0.1), TP_EVALUE);
    tpt_expect_error(TP_EVALUE,
                     "fit: 1 epochs are asked for, and the checkpoint has done 1 already");
    tpt_ok(tp_fit(t.l, 4, 0.1));
    assert_int_equal(tp_recorder_epochs(t.l), 4);
    end(&t);
}

static void a_changed_rate_is_resumed(void **state) {
    (void)state;
    tp_callback cb = {.size = sizeof cb, .after_batch = stop_then};
    stop_step = 2;
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 2, 0.1));
    tpt_ok(tp_optim_set_lr(t.optim, 0.01)); /* as a callback might */
    tpt_ok(tp_learner_save(t.l, checkpoint()));
    tpt_ok(tp_fit(t.l, 1, 0.7));
    tpt_ok(tp_learner_load(t.l, checkpoint()));
    tpt_ok(tp_fit(t.l, 2, 0.1));
    assert_true(tp_recorder_lr(t.l, 1) == 0.1 && tp_recorder_lr(t.l, -1) == 0.01);
    tpt_ok(tp_learner_load(t.l, checkpoint()));
    tpt_ok(tp_fit(t.l, 2, 0.2)); /* asked for now */
    assert_true(tp_recorder_lr(t.l, -1) == 0.2);
    end(&t);
}

/* As a dictionary, with a string of the caller's. */
static void state_with_a_string(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.momentum = 0.9});
    tpt_ok(tp_fit(t.l, 1, 0.1));
    tp_dict *d = tp_learner_state(t.l);
    assert_non_null(d);
    tpt_ok(tp_dict_set_str(d, "mine.note", "after one"));
    tpt_ok(tp_save_safetensors(d, checkpoint()));
    tp_dict_free(d);
    tpt_ok(tp_fit(t.l, 1, 0.1));
    d = tp_load_safetensors(checkpoint());
    assert_string_equal(tp_dict_get_str(d, "mine.note"), "after one");
    tpt_ok(tp_learner_set_state(t.l, d));
    tp_dict_free(d);
    assert_int_equal(tp_recorder_batches(t.l), BATCHES);
    assert_null(tp_learner_state(NULL));
    assert_int_equal(tp_learner_set_state(t.l, NULL), TP_ENULL);
    tp_error_clear();
    end(&t);
}

static void refuse_checkpoint(task *t, const char *reason) {
    char before[65], after[65], text[5000];
    fingerprint(t, before);
    assert_true(tp_learner_load(t->l, checkpoint()) < 0);
    snprintf(text, sizeof text, "%s: %s", checkpoint(), reason);
    const tp_status code = tp_error_code();
    tpt_expect_error(code, text);
    fingerprint(t, after);
    assert_string_equal(after, before);
}

/* Save with one thing changed. */
static void save_changed(const task *t, const char *name, tp_tensor *x) {
    tpt_ok(tp_learner_save(t->l, checkpoint()));
    tp_dict *d = tp_load_safetensors(checkpoint());
    if (x)
        tpt_ok(tp_dict_set(d, name, x));
    else
        tpt_ok(tp_dict_set_str(d, name, "2"));
    tpt_ok(tp_save_safetensors(d, checkpoint()));
    tp_dict_free(d);
}

static void refused_checkpoints(void **state) {
    (void)state;
    task t, other;
    begin(&other, &(setup){.architecture = "linear(4,3)"});
    tpt_ok(tp_learner_save(other.l, checkpoint()));
    end(&other);
    begin(&t, &(setup){.momentum = 0.9});
    tpt_ok(tp_fit(t.l, 1, 0.1));
    refuse_checkpoint(&t, "load_state_dict: ...");
    save_changed(&t, "recorder.smooth", tp_ones(TP_SHAPE(2), TP_FLOAT32));
    tpt_ok(tp_fit(t.l, 1,
                  0.1)); /* so that what is restored differs from what was read before the error */
    refuse_checkpoint(&t, "recorder_set_state: \"smooth\" is not one float32");
    save_changed(&t, "recorder.epochs", tp_ones(TP_SHAPE(2), TP_FLOAT64));
    refuse_checkpoint(&t, "recorder_set_state: \"epochs\" is not a float64 table of 5 columns");
    save_changed(&t, "fit.rates", tp_ones(TP_SHAPE(3), TP_FLOAT64));
    refuse_checkpoint(&t, "it does not say where the fit stood");
    save_changed(&t, "rng.mt19937", tp_zeros(TP_SHAPE(628), TP_INT64));
    refuse_checkpoint(&t, "rng_set_state: ...");
    save_changed(&t, "taper.checkpoint", NULL);
    refuse_checkpoint(&t, "a checkpoint of format 2; this taper reads 1");
    tp_dict *d = tp_state_dict(t.net);
    tpt_ok(tp_save_safetensors(d, checkpoint()));
    tp_dict_free(d);
    refuse_checkpoint(&t, "not a checkpoint of a learner");
    unlink(checkpoint());
    assert_int_equal(tp_learner_load(t.l, checkpoint()), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot read ...");
    end(&t);
}

/* ---- no memory ------------------------------------------------------------------------------- */

static tp_status use_learner(int64_t fail_at) {
    tp_callback cb = {.size = sizeof cb, .after_batch = stop_then};
    tp_callback *callbacks[] = {&cb};
    stop_step = 2;
    tp_dataset train, valid;
    points(&train, 12, 1);
    points(&valid, 5, 2);
    tp_module *net = tp_module_parse("linear(4,3)", NULL);
    tp_optim *optim = tp_adam(net, NULL);
    const tp_loader_opts lo = {.size = sizeof lo, .batch_size = 5, .shuffle = true};
    tp_loader *dl = tp_loader_new(&train, &lo), *vl = tp_loader_new(&valid, &lo);
    double values[2];
    tp__alloc_fail_at(fail_at);
    tp_learner *l = tp_learner_new(&(tp_learner_opts){.size = sizeof(tp_learner_opts),
                                                      .train = dl,
                                                      .valid = vl,
                                                      .model = net,
                                                      .loss = tp_cross_entropy,
                                                      .optim = optim,
                                                      .metrics = metrics,
                                                      .nmetrics = 1,
                                                      .callbacks = callbacks,
                                                      .ncallbacks = 1});
    tp_status r = l ? tp_fit(l, 2, 0.1) : tp_error_code();
    if (!r) r = tp_learner_save(l, checkpoint());
    if (!r) r = tp_learner_load(l, checkpoint());
    if (!r) r = tp_fit(l, 2, 0.1);
    if (!r) r = tp_learner_validate(l, NULL, values, 2);
    tp_learner_free(l);
    tp_loader_free(dl);
    tp_loader_free(vl);
    tp_optim_free(optim);
    tp_module_free(net);
    tp_dataset_free(&train);
    tp_dataset_free(&valid);
    return r;
}

static void no_memory(void **state) {
    (void)state;
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        const tp_status r = use_learner(n);
        failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        assert_true(r == TP_OK || (failed && r == TP_ENOMEM));
        assert_int_equal(tp_error_clear(), r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(two_and_three_are_five), TPT(resumed_with_the_same_bits),
        TPT(saved_inside_a_fit),     TPT(saved_at_the_wrong_moment),
        TPT(more_or_fewer_epochs),   TPT(a_changed_rate_is_resumed),
        TPT(refused_checkpoints),    TPT(no_memory),
        TPT(state_with_a_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
