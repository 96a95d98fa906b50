/* test_learner.c -- the fit loop: events, recorder, schedules, stopping, errors. */
#define _POSIX_C_SOURCE 200809L
#include "task.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the loop -------------------------------------------------------------------------------- */

/* The same by hand, as a program without a learner would. */
static void by_hand(task *t, int64_t epochs, double lr) {
    tpt_ok(tp_optim_set_lr(t->optim, lr));
    tp_batch b;
    for (int64_t e = 0; e < epochs; e++) {
        while (tp_loader_next(t->train, &b) > 0) {
            const tp_scope s = tp_scope_begin();
            tpt_ok(tp_backward(tp_cross_entropy(tp_forward(t->net, b.x), b.y)));
            tpt_ok(tp_optim_step(t->optim));
            tp_optim_zero_grad(t->optim);
            tp_scope_end(s);
        }
        while (tp_loader_next(t->valid, &b) > 0) continue;
    }
}

static void fit_is_the_plain_loop(void **state) {
    (void)state;
    char want[65], got[65];
    task t;
    begin(&t, &(setup){.momentum = 0.9});
    by_hand(&t, 3, 0.05);
    tp_dict *d = tp_state_dict(t.net);
    tpt_ok(tp_dict_sha256(d, want));
    tp_dict_free(d);
    end(&t);
    begin(&t, &(setup){.momentum = 0.9});
    tpt_ok(tp_fit(t.l, 3, 0.05));
    d = tp_state_dict(t.net);
    tpt_ok(tp_dict_sha256(d, got));
    tp_dict_free(d);
    assert_string_equal(got, want);
    assert_false(tp_learner_stopped(t.l));
    end(&t);
}

static void training_learns(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.adam = true});
    assert_true(tp_module_training(t.net));
    tpt_ok(tp_fit(t.l, 30, 0.02));
    assert_true(tp_module_training(t.net));
    assert_int_equal(tp_recorder_epochs(t.l), 30);
    assert_int_equal(tp_recorder_batches(t.l), 30 * BATCHES);
    assert_true(tp_recorder_value(t.l, -1, 0) < 0.5 * tp_recorder_value(t.l, 0, 0));
    assert_true(tp_recorder_value(t.l, -1, 2) > 0.75);
    assert_true(tp_recorder_value(t.l, -1, 2) == tp_recorder_value(t.l, -1, 3));
    assert_true(tp_recorder_seconds(t.l, 0) > 0 && tp_recorder_seconds(t.l, 0) < 60);
    end(&t);
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef struct diary {
    char text[4000];
    const char *stop_at, *fail_at; /* "after_loss" */
    int skip;                      /* so many of those events pass first */
} diary;

static tp_status write_down(tp_callback *cb, const char *event) {
    diary *d = cb->self;
    const size_t n = strlen(d->text);
    snprintf(d->text + n, sizeof d->text - n, "%s ", event);
    const bool stop = d->stop_at && !strcmp(event, d->stop_at),
               fail = d->fail_at && !strcmp(event, d->fail_at);
    if ((!stop && !fail) || d->skip-- > 0) return TP_OK;
    return stop ? TP_ESTOP : tp_error_set(TP_EUSER, "enough");
}

#define XX(event)                                                 \
    static tp_status on_##event(tp_callback *cb, tp_learner *l) { \
        (void)l;                                                  \
        return write_down(cb, #event);                            \
    }
TP_EVENT_MAP(XX)
#undef XX

static tp_callback diary_callback(diary *d, int order) {
    return (tp_callback){.size = sizeof(tp_callback),
                         .name = "diary",
                         .order = order,
                         .self = d,
#define XX(event) .event = on_##event,
                         TP_EVENT_MAP(XX)
#undef XX
    };
}

#define TRAIN_BATCH "before_batch after_pred after_loss after_backward after_step after_batch "
#define X7(s) s s s s s s s
#define EPOCH                                                         \
    "before_epoch before_train " X7(                                  \
        TRAIN_BATCH) "after_train before_validate after_valid_batch " \
                     "after_valid_batch after_valid_batch after_validate after_epoch "

static void events_in_order(void **state) {
    (void)state;
    diary d = {.text = ""};
    tp_callback cb = diary_callback(&d, 0);
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 2, 0.1));
    assert_string_equal(d.text, "before_fit " EPOCH EPOCH "after_fit ");
    d.text[0] = '\0';
    tpt_ok(tp_fit(t.l, 0, 0.1));
    assert_string_equal(d.text, "before_fit after_fit ");
    d.text[0] = '\0';
    double values[3];
    tpt_ok(tp_learner_validate(t.l, NULL, values, 3));
    assert_string_equal(d.text, "");
    end(&t);
}

static void callbacks_in_order(void **state) {
    (void)state;
    diary d = {.text = ""};
    tp_callback cb[3] = {diary_callback(&d, 70), diary_callback(&d, -1), diary_callback(&d, 70)};
    const setup s = {.callback = {&cb[0], &cb[1], &cb[2]}, .ncallbacks = 3};
    task t;
    begin(&t, &s);
    assert_int_equal(t.l->ncallbacks, 4);
    assert_ptr_equal(t.l->callback[0], &cb[1]);
    assert_ptr_equal(t.l->callback[1], &t.l->recorder.callback);
    assert_ptr_equal(t.l->callback[2], &cb[0]);
    assert_ptr_equal(t.l->callback[3], &cb[2]);
    end(&t);
}

static void short_callbacks_are_passed_over(void **state) {
    (void)state;
    diary d = {.text = ""};
    tp_callback cb = diary_callback(&d, 0);
    cb.size = offsetof(tp_callback, before_epoch); /* as an older program would have it */
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 1, 0.1));
    assert_string_equal(d.text, "before_fit ");
    end(&t);
}

static void any_event_can_stop(void **state) {
    (void)state;
    static const char *const event[] = {
#define XX(event) #event,
        TP_EVENT_MAP(XX)
#undef XX
    };
    for (size_t i = 0; i < sizeof event / sizeof *event; i++) {
        diary d = {.stop_at = event[i], .skip = 1};
        tp_callback cb = diary_callback(&d, 80);
        task t;
        begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
        const bool once = !strcmp(event[i], "before_fit") || !strcmp(event[i], "after_fit");
        if (once) d.skip = 0;
        tpt_ok(tp_fit(t.l, 3, 0.1));
        assert_int_equal(tp_learner_stopped(t.l), strcmp(event[i], "after_fit") != 0);
        char tail[40]; /* nothing follows it but after_fit */
        snprintf(tail, sizeof tail, "%s after_fit ", event[i]);
        const char *want = strcmp(event[i], "after_fit") ? tail : "after_epoch after_fit ";
        assert_string_equal(d.text + strlen(d.text) - strlen(want), want);
        assert_null(tp_grad(tp_module_param(t.net, 0))); /* also if it stopped before the step */
        d.stop_at = NULL;
        tpt_ok(tp_fit(t.l, 1, 0.1)); /* and it can be fitted again, from the beginning */
        assert_int_equal(tp_recorder_batches(t.l), BATCHES);
        end(&t);
    }
}

static void any_event_can_fail(void **state) {
    (void)state;
    static const struct {
        const char *event, *text;
    } want[] = {
        {"before_fit", "fit: before_fit of the callback \"diary\": enough"},
        {"after_loss", "fit: epoch 0, batch 0: after_loss of the callback \"diary\": enough"},
        {"after_batch", "fit: epoch 0, batch 0: after_batch of the callback \"diary\": enough"},
        {"after_valid_batch",
         "fit: epoch 0, validation batch 0: after_valid_batch of the callback \"diary\": enough"},
        {"after_epoch", "fit: after_epoch of the callback \"diary\": enough"},
        {"after_fit", "fit: after_fit of the callback \"diary\": enough"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        diary d = {.fail_at = want[i].event};
        tp_callback cb = diary_callback(&d, 10);
        task t;
        begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
        assert_int_equal(tp_fit(t.l, 1, 0.1), TP_EUSER);
        tpt_expect_error(TP_EUSER, want[i].text);
        assert_false(tp_learner_stopped(t.l));
        end(&t);
    }
}

/* An error wins over a stop that was asked for in the same event. */
static void errors_are_not_lost_in_a_stop(void **state) {
    (void)state;
    diary stop = {.stop_at = "after_batch"}, fail = {.fail_at = "after_batch"};
    tp_callback a = diary_callback(&stop, 0), b = diary_callback(&fail, 1);
    task t;
    begin(&t, &(setup){.callback = {&a, &b}, .ncallbacks = 2});
    assert_int_equal(tp_fit(t.l, 1, 0.1), TP_EUSER);
    tpt_expect_error(TP_EUSER,
                     "fit: epoch 0, batch 0: after_batch of the callback \"diary\": enough");
    end(&t);
}

/* ---- progress -------------------------------------------------------------------------------- */

static int64_t seen_steps;

static tp_status look(tp_callback *cb, tp_learner *l) {
    const tp_progress *p = tp_learner_progress(l);
    (void)cb;
    assert_ptr_equal(tp_learner_model(l), l->model);
    assert_int_equal(p->epochs, 2);
    assert_int_equal(p->batches, BATCHES);
    assert_int_equal(p->step, ++seen_steps);
    assert_int_equal(p->step, p->epoch * BATCHES + p->batch + 1);
    assert_true(p->training && tp_module_training(l->model));
    assert_int_equal(tp_size(p->x, 0), p->batch + 1 == BATCHES ? TRAIN % BATCH : BATCH);
    assert_int_equal(tp_size(p->pred, 1), 3);
    assert_true(tp_item(p->loss) == tp_recorder_raw_loss(l, -1));
    assert_true(p->smooth_loss == tp_recorder_loss(l, -1));
    assert_true(p->lr == 0.25);
    return TP_OK;
}

static tp_status look_at_validation(tp_callback *cb, tp_learner *l) {
    const tp_progress *p = tp_learner_progress(l);
    (void)cb;
    assert_false(p->training || tp_module_training(l->model) || tp_grad_enabled());
    assert_int_equal(p->batches, 3);
    assert_null(tp_grad_fn(p->loss));
    assert_int_equal(tp_size(p->x, 0), p->batch == 2 ? VALID % BATCH : BATCH);
    return TP_OK;
}

static void progress_is_right(void **state) {
    (void)state;
    seen_steps = 0;
    tp_callback cb = {.size = sizeof cb,
                      .order = 60,
                      .after_batch = look,
                      .after_valid_batch = look_at_validation};
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 2, 0.25));
    assert_int_equal(seen_steps, 2 * BATCHES);
    assert_null(tp_learner_progress(t.l)->x);
    end(&t);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* fastai's smoothing, in the type in which it is computed there. */
static void smoothing_is_fastais(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.no_valid = true});
    tpt_ok(tp_fit(t.l, 3, 0.3));
    float val = 0;
    double exact = 0;
    for (int64_t i = 0; i < 3 * BATCHES; i++) {
        const float loss = (float)tp_recorder_raw_loss(t.l, i), weight = 1 - 0.98f;
        val = val - (val - loss) * weight;
        exact = exact * 0.98 + (double)loss * (1 - 0.98);
        const double debias = 1 - pow(0.98, (double)(i + 1));
        assert_true(tp_recorder_loss(t.l, i) == (double)(val / (float)debias));
        assert_true(fabs(tp_recorder_loss(t.l, i) - exact / debias) < 2e-6);
    }
    for (int64_t e = 0; e < 3; e++) {
        assert_true(tp_recorder_value(t.l, e, 0) == tp_recorder_loss(t.l, (e + 1) * BATCHES - 1));
        assert_true(isnan(tp_recorder_value(t.l, e, 1)) && isnan(tp_recorder_value(t.l, e, 2)));
    }
    const double first = tp_recorder_raw_loss(t.l, 0);
    tpt_ok(tp_fit(t.l, 1, 0.3)); /* begins anew */
    assert_int_equal(tp_recorder_batches(t.l), BATCHES);
    assert_true(tp_recorder_loss(t.l, 0) == (double)(float)tp_recorder_loss(t.l, 0));
    assert_true(tp_recorder_raw_loss(t.l, 0) < first);
    end(&t);
}

static void validation_is_weighted(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.adam = true});
    double got[3];
    tpt_ok(tp_learner_validate(t.l, NULL, got, 3));
    assert_true(tp_module_training(t.net));
    tp_tensor *x = tp_zeros(TP_SHAPE(VALID, INPUTS), TP_FLOAT32),
              *y = tp_zeros(TP_SHAPE(VALID), TP_INT64);
    for (int64_t i = 0; i < VALID; i++)
        tpt_ok(t.valid_set.get(t.valid_set.self, i,
                               &(tp_sample){tp_data_f32(x) + i * INPUTS, tp_data_i64(y) + i}));
    tp_tensor *pred = tp_forward(t.net, x);
    assert_true(fabs(got[0] - tp_item(tp_cross_entropy(pred, y))) < 1e-6);
    assert_true(got[1] == tp_item(tp_accuracy(pred, y))); /* a count over 21 as a float, exactly */
    assert_true(got[2] == got[1]);
    tpt_ok(tp_learner_validate(t.l, t.train, got, 3));
    assert_int_equal(tp_learner_validate(t.l, NULL, got, 2), TP_EVALUE);
    tpt_expect_error(TP_EVALUE,
                     "validate: there is room for 2 values; the loss and 2 metrics are 3");
    end(&t);
    begin(&t, &(setup){.no_valid = true});
    assert_int_equal(tp_learner_validate(t.l, NULL, got, 3), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "validate: the learner has no validation loader");
    end(&t);
}

static void metrics_count(void **state) {
    (void)state;
    tp_tensor *pred = tp_from((float[]){1, 2, 0, /**/ 3, 1, 2, /**/ 0, 0, 5, /**/ 1, 1, 0},
                              TP_SHAPE(4, 3), TP_FLOAT32);
    tp_tensor *y = tp_from((int64_t[]){1, 0, 1, 0}, TP_SHAPE(4), TP_INT64);
    assert_true(tp_item(tp_accuracy(pred, y)) == 0.75);
    assert_true(tp_item(tp_accuracy(pred, tp_unsqueeze(y, 1))) == 0.75);
    assert_int_equal(tp_dtype_of(tp_accuracy(pred, y)), TP_FLOAT32);
    assert_null(tp_accuracy(pred, tp_arange(0, 3, 1, TP_INT64)));
    tpt_expect_error(TP_ESHAPE, "accuracy: pred is [4, 3] but target is [3]");
    tp_tensor *logit = tp_from((float[]){0.1f, -3, 0, 2}, TP_SHAPE(4, 1), TP_FLOAT32);
    tp_tensor *binary = tp_from((int64_t[]){1, 0, 1, 0}, TP_SHAPE(4, 1), TP_INT64);
    assert_true(tp_item(tp_batch_accuracy(logit, binary)) == 0.5);
    assert_null(tp_batch_accuracy(logit, y));
    tpt_expect_error(TP_ESHAPE, "batch_accuracy: pred is [4, 1] but target is [4]");
    assert_null(tp_accuracy(NULL, y));
    tpt_expect_error(TP_ENULL, "accuracy: an argument is NULL");
}

static double cosine(double a, double b, double pos) {
    return a + (1 + cos(3.14159265358979323846 * (1 - pos))) * (b - a) / 2;
}

static double momentum_seen[3 * BATCHES];
static int momentums;
static tp_status note_momentum(tp_callback *cb, tp_learner *l) {
    (void)cb;
    momentum_seen[momentums++] = tp_optim_momentum(l->optim);
    return TP_OK;
}

static void one_cycle(void **state) {
    (void)state;
    momentums = 0;
    tp_callback cb = {.size = sizeof cb, .before_batch = note_momentum};
    task t;
    begin(&t, &(setup){.adam = true, .callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit_one_cycle(t.l, 3, 0.1));
    for (int i = 0; i < 3 * BATCHES; i++) {
        const double pos = i / (3.0 * BATCHES);
        const bool up = pos < 0.25;
        const double part = up ? pos / 0.25 : (pos - 0.25) / 0.75;
        const double lr = up ? cosine(0.004, 0.1, part) : cosine(0.1, 1e-6, part);
        const double mom = up ? cosine(0.95, 0.85, part) : cosine(0.85, 0.95, part);
        assert_true(fabs(tp_recorder_lr(t.l, i) - lr) < 1e-12);
        assert_true(fabs(momentum_seen[i] - mom) < 1e-12);
    }
    assert_true(tp_recorder_lr(t.l, 0) == 0.004);
    end(&t);
    begin(&t, &(setup){.no_valid = true}); /* plain SGD stays without momentum */
    tpt_ok(tp_fit_one_cycle(t.l, 1, 0.1));
    assert_true(tp_optim_momentum(t.optim) == 0);
    assert_true(tp_recorder_value(t.l, 0, 0) > 0);
    end(&t);
}

static void recorder_refuses(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.adam = false});
    tpt_ok(tp_fit(t.l, 1, 0.1));
    assert_true(isnan(tp_recorder_value(t.l, 1, 0)));
    tpt_expect_error(TP_EINDEX, "recorder_value: there is no epoch 1 among 1");
    assert_true(isnan(tp_recorder_value(t.l, 0, 4)));
    tpt_expect_error(TP_EINDEX, "recorder_value: there is no column 4 among 4");
    assert_true(isnan(tp_recorder_seconds(t.l, -2)));
    tpt_expect_error(TP_EINDEX, "recorder_seconds: there is no epoch -2 among 1");
    assert_true(isnan(tp_recorder_lr(t.l, BATCHES)));
    tpt_expect_error(TP_EINDEX, "recorder_lr: there is no batch 7 among 7");
    assert_true(isnan(tp_recorder_loss(NULL, 0)));
    tpt_expect_error(TP_ENULL, "recorder_loss: an argument is NULL");
    end(&t);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What fn prints to stdout. */
static void printed(void (*fn)(void), char *buf, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/out", tpt_tmpdir());
    fflush(stdout);
    const int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(path, "w", stdout));
    fn();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    FILE *f = fopen(path, "r");
    buf[fread(buf, 1, size - 1, f)] = '\0';
    fclose(f);
}

static tp_tensor *quarter(tp_tensor *pred, tp_tensor *y) {
    (void)y;
    return tp_add(tp_mul(tp_sum(pred), tp_num(0)), tp_num(0.25));
}

static void print_tables(void) {
    task t;
    begin(&t, &(setup){.loss = quarter, .callback = {tp_table_callback()}, .ncallbacks = 1});
    assert_int_equal(tp_fit(t.l, 2, 0), TP_OK);
    end(&t);
    begin(&t, &(setup){.loss = quarter,
                       .callback = {tp_table_callback()},
                       .ncallbacks = 1,
                       .no_valid = true});
    assert_int_equal(tp_fit(t.l, 1, 0), TP_OK);
    end(&t);
}

/* The times at the ends of lines, minutes and seconds, as on a fast machine. */
static void stop_the_clock(char *text) {
    for (char *p = text; (p = strchr(p, ':')); p++) {
        int minutes, seconds, n = 0;
        if (sscanf(p - 2, "%2d:%2d   %n", &minutes, &seconds, &n) == 2 && n)
            memcpy(p - 2, "00:00", 5);
    }
}

static void table_is_fastais(void **state) {
    (void)state;
    char text[2000];
    printed(print_tables, text, sizeof text);
    stop_the_clock(text);
    assert_string_equal(text, "epoch     train_loss  valid_loss  accuracy  top       time    \n"
                              "0         0.250000    0.250000    0.428571  0.428571  00:00   \n"
                              "1         0.250000    0.250000    0.428571  0.428571  00:00   \n"
                              "epoch     train_loss  valid_loss  accuracy  top       time    \n"
                              "0         0.250000    None        None      None      00:00   \n");
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void stopped_after_a_batch(void **state) {
    (void)state;
    tp_callback cb = {.size = sizeof cb, .after_batch = stop_then};
    for (stop_step = 1; stop_step <= 2 * BATCHES; stop_step++) {
        task t;
        begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
        tpt_ok(tp_fit(t.l, 2, 0.1));
        assert_int_equal(tp_recorder_batches(t.l), stop_step);
        assert_true(tp_learner_stopped(t.l));
        assert_int_equal(tp_recorder_epochs(t.l), stop_step <= BATCHES ? 0 : 1);
        end(&t);
    }
    tp_learner_stop(NULL);
    assert_false(tp_learner_stopped(NULL));
}

static tp_status stop_in_validation(tp_callback *cb, tp_learner *l) {
    (void)cb;
    tp_learner_stop(l);
    return TP_OK;
}

static void stopped_in_validation(void **state) {
    (void)state;
    tp_callback cb = {.size = sizeof cb, .after_valid_batch = stop_in_validation};
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 2, 0.1));
    assert_int_equal(tp_recorder_epochs(t.l), 1); /* the epoch is finished, and no other begun */
    assert_true(tp_learner_stopped(t.l));
    tpt_ok(tp_fit(t.l, 1, 0.1)); /* its only epoch: that is no early end */
    assert_false(tp_learner_stopped(t.l));
    end(&t);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static int bad_call, bad_kind;
static tp_tensor *bad_loss(tp_tensor *pred, tp_tensor *y) {
    tp_tensor *loss = tp_cross_entropy(pred, y);
    if (--bad_call) return loss;
    switch (bad_kind) {
    case 0: return tp_mul(loss, tp_num((double)NAN));
    case 1: return tp_mul(loss, tp_num((double)INFINITY));
    case 2: return NULL;
    case 3: return pred;
    default: return tp_detach(loss);
    }
}

static void bad_losses(void **state) {
    (void)state;
    static const struct {
        int kind;
        tp_status code;
        const char *text;
    } want[] = {
        {0, TP_EVALUE, "fit: epoch 1, batch 3: loss is nan; a smaller learning rate usually helps"},
        {1, TP_EVALUE, "fit: epoch 1, batch 3: loss is inf; a smaller learning rate usually helps"},
        {2, TP_EUSER, "fit: epoch 1, batch 3: the loss function returned NULL, and no error"},
        {3, TP_ESHAPE,
         "fit: epoch 1, batch 3: the loss function gave 24 numbers, not one (take their tp_mean)"},
        {4, TP_EGRAD, "fit: epoch 1, batch 3: backward: ..."},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bad_kind = want[i].kind;
        bad_call = BATCHES + 3 + 4; /* an epoch of training and validation, and the fourth batch */
        task t;
        begin(&t, &(setup){.loss = bad_loss});
        assert_int_equal(tp_fit(t.l, 2, 0.1), want[i].code);
        tpt_expect_error(want[i].code, want[i].text);
        assert_null(tp_grad(tp_module_param(t.net, 0)));
        end(&t);
    }
}

/* A nan in validation is shown, not refused. */
static void nan_in_validation(void **state) {
    (void)state;
    bad_kind = 0;
    bad_call = BATCHES + 1;
    task t;
    begin(&t, &(setup){.loss = bad_loss});
    tpt_ok(tp_fit(t.l, 1, 0.1));
    assert_true(isnan(tp_recorder_value(t.l, 0, 1)));
    assert_false(isnan(tp_recorder_value(t.l, 0, 0)));
    end(&t);
}

static int64_t ten(void *self) {
    (void)self;
    return 10;
}
static tp_status no_sample(void *self, int64_t i, tp_sample *s) {
    (void)self;
    memset(s->x, 0, INPUTS * sizeof(float));
    *(int64_t *)s->y = 0;
    return i == 9 ? tp_error_set(TP_EIO, "no such row") : TP_OK;
}

static void errors_of_the_data(void **state) {
    (void)state;
    const tp_dataset ds = {.size = sizeof ds,
                           .x_shape = TP_SHAPE(INPUTS),
                           .x_dtype = TP_FLOAT32,
                           .y_dtype = TP_INT64,
                           .len = ten,
                           .get = no_sample};
    task t;
    begin_with(&t, &(setup){.no_shuffle = true}, ds);
    assert_int_equal(tp_fit(t.l, 1, 0.1), TP_EIO);
    tpt_expect_error(TP_EIO, "fit: epoch 0, batch 1: sample 9: no such row");
    double values[3];
    assert_int_equal(tp_learner_validate(t.l, t.train, values, 3), TP_EIO);
    tpt_expect_error(TP_EIO, "validate: epoch 0, validation batch 1: sample 9: no such row");
    end(&t);
}

static tp_tensor *wide_metric(tp_tensor *pred, tp_tensor *y) {
    (void)y;
    return pred;
}

static tp_status fit_again(tp_callback *cb, tp_learner *l) {
    (void)cb;
    return tp_fit(l, 1, 0.1);
}

static void refused_fits(void **state) {
    (void)state;
    tp_callback cb = {.size = sizeof cb, .name = "again", .after_train = fit_again};
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    assert_int_equal(tp_fit(t.l, -1, 0.1), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "fit: -1 epochs");
    assert_int_equal(tp_fit(t.l, 1, -0.1), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "fit: ...");
    assert_int_equal(tp_fit(NULL, 1, 0.1), TP_ENULL);
    tpt_expect_error(TP_ENULL, "fit: an argument is NULL");
    assert_int_equal(tp_fit(t.l, 1, 0.1), TP_ESTATE);
    tpt_expect_error(
        TP_ESTATE,
        "fit: after_train of the callback \"again\": fit: a fit of this learner is running");
    end(&t);
    begin(&t, &(setup){.adam = false});
    tp_loader_free(t.train);
    t.train = tp_loader_new(
        &t.train_set,
        &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = 1000, .drop_last = true});
    t.l->train = t.train;
    assert_int_equal(tp_fit(t.l, 1, 0.1), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "fit: the training loader has no batch: ...");
    end(&t);
}

static void refused_learners(void **state) {
    (void)state;
    task t;
    begin(&t, &(setup){.adam = false});
    const tp_metric nameless = {.fn = tp_accuracy}, wide = {"wide", wide_metric};
    tp_callback old = {.name = "old"}, *callbacks[] = {&old};
    tp_learner_opts o = {.size = sizeof o,
                         .train = t.train,
                         .model = t.net,
                         .loss = tp_cross_entropy,
                         .optim = t.optim};
    tp_learner_opts bad = o;
    bad.optim = NULL;
    assert_null(tp_learner_new(&bad));
    tpt_expect_error(TP_ENULL, "learner: optim is NULL; train, model, loss and optim are needed");
    bad = o;
    bad.metrics = &nameless;
    bad.nmetrics = 1;
    assert_null(tp_learner_new(&bad));
    tpt_expect_error(TP_EVALUE, "learner: metric 0 has no name");
    bad = o;
    bad.callbacks = callbacks;
    bad.ncallbacks = 1;
    assert_null(tp_learner_new(&bad));
    tpt_expect_error(TP_EVALUE, "learner: callback 0 has size 0, not sizeof(tp_callback)");
    bad = o;
    bad.metrics = &wide;
    bad.nmetrics = 1;
    tp_learner *l = tp_learner_new(&bad);
    double values[2];
    assert_int_equal(tp_learner_validate(l, t.valid, values, 2), TP_ESHAPE);
    tpt_expect_error(
        TP_ESHAPE, "validate: epoch 0, validation batch 0: wide: one number is wanted, not [8, 3]");
    tp_learner_free(l);
    end(&t);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int64_t calls_at[2];
static tp_memory memory_at[2];
static tp_status watch(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const tp_progress *p = tp_learner_progress(l);
    const int which = p->step == 10 ? 0 : p->step == 1000 ? 1 : -1;
    if (which < 0) return TP_OK;
    calls_at[which] = tp__alloc_system_calls();
    memory_at[which] = tp_memory_now();
    return TP_OK;
}

/* The same handles and bytes after 10 and after 1,000 steps, and next to no call of the system's
 * malloc: the recorder's tables grow once an epoch. */
static void steady_training(void **state) {
    (void)state;
    tp_callback cb = {.size = sizeof cb, .order = 90, .after_batch = watch};
    task t;
    begin(&t, &(setup){.adam = true, .callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 1000 / BATCHES + 1, 0.001));
    assert_int_equal(memory_at[1].tensors, memory_at[0].tensors);
    assert_int_equal(memory_at[1].storages, memory_at[0].storages);
    assert_int_equal(memory_at[1].nodes, memory_at[0].nodes);
    end(&t);
}

/* What a denormal product is for the caller, in a step and outside. */
static bool flushes(void) {
    volatile float tiny = 0x1p-126f, half = 0.5f;
    return tiny * half == 0;
}
static tp_status in_a_step(tp_callback *cb, tp_learner *l) {
    (void)l;
    ((int *)cb->self)[flushes()]++;
    return TP_OK;
}
static tp_status outside(tp_callback *cb, tp_learner *l) {
    (void)l;
    ((int *)cb->self)[2] += flushes();
    return TP_OK;
}
/* Steps of trained networks are not slowed down by numbers that are next to nothing. */
static void steps_flush_denormals(void **state) {
    (void)state;
    tpt_needs_flushing();
    int seen[3] = {0};
    tp_callback cb = {.size = sizeof cb,
                      .self = seen,
                      .before_batch = in_a_step,
                      .after_step = in_a_step,
                      .after_batch = in_a_step,
                      .after_train = outside,
                      .after_validate = outside};
    task t;
    begin(&t, &(setup){.callback = {&cb}, .ncallbacks = 1});
    tpt_ok(tp_fit(t.l, 1, 0.1));
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 3 * BATCHES);
    assert_int_equal(seen[2], 0);
    assert_false(flushes());
    (void)tp_set_flush_denormal(true); /* what the program has set stays */
    tpt_ok(tp_fit(t.l, 1, 0.1));
    assert_true(flushes());
    assert_true(tp_set_flush_denormal(false));
    end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(fit_is_the_plain_loop),
        TPT(training_learns),
        TPT(events_in_order),
        TPT(callbacks_in_order),
        TPT(short_callbacks_are_passed_over),
        TPT(any_event_can_stop),
        TPT(any_event_can_fail),
        TPT(errors_are_not_lost_in_a_stop),
        TPT(progress_is_right),
        TPT(smoothing_is_fastais),
        TPT(validation_is_weighted),
        TPT(metrics_count),
        TPT(one_cycle),
        TPT(recorder_refuses),
        TPT(table_is_fastais),
        TPT(stopped_after_a_batch),
        TPT(stopped_in_validation),
        TPT(bad_losses),
        TPT(nan_in_validation),
        TPT(errors_of_the_data),
        TPT(refused_fits),
        TPT(refused_learners),
        TPT(steady_training),
        TPT(steps_flush_denormals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
