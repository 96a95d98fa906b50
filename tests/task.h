/* tests/task.h -- a small learner to test with: three classes of points, two layers.
 *
 * For test_learner.c and test_checkpoint.c. Everything is made from seeds, so two tasks that are
 * begun in the same way are the same to the bit. */
#ifndef TAPER_TESTS_TASK_H
#define TAPER_TESTS_TASK_H
#include "support.h"

#include <string.h>

#include "autograd/autograd.h"
#include "learner/learner.h"
#include "taper/ops.h"

enum { TRAIN = 50, VALID = 21, INPUTS = 4, BATCH = 8, BATCHES = 7 };

typedef struct task {
    tp_dataset train_set, valid_set;
    tp_loader *train, *valid;
    tp_module *net;
    tp_optim *optim;
    tp_learner *l;
} task;

static inline void points(tp_dataset *ds, int64_t n, uint64_t seed) {
    tp_rng *rng = tp_rng_new(seed);
    const tp_scope s = tp_scope_begin();
    tp_tensor *y = tp_randint(0, 3, TP_SHAPE(n), rng);
    tp_tensor *x = tp_add(tp_randn(TP_SHAPE(n, INPUTS), TP_FLOAT32, rng),
                          tp_unsqueeze(tp_to(y, TP_FLOAT32), 1));
    tpt_ok(tp_zip_dataset(x, y, ds));
    tp_scope_end(s);
    tp_rng_free(rng);
}

static const tp_metric metrics[] = {{"accuracy", tp_accuracy}, {"top", tp_accuracy}};

/* What may differ from task to task. */
typedef struct setup {
    bool adam, no_valid, no_shuffle;
    double momentum;
    tp_loss_fn loss;
    tp_callback *callback[3];
    int ncallbacks;
    const char *architecture;
} setup;

static inline void begin_with(task *t, const setup *s, tp_dataset train) {
    *t = (task){.train_set = train};
    points(&t->valid_set, VALID, 2);
    tp_manual_seed(7);
    t->net =
        tp_module_parse(s->architecture ? s->architecture : "linear(4,6) relu linear(6,3)", NULL);
    const tp_sgd_opts sgd = {.size = sizeof sgd, .momentum = s->momentum};
    t->optim = s->adam ? tp_adam(t->net, NULL) : tp_sgd(t->net, &sgd);
    t->train = tp_loader_new(&t->train_set, &(tp_loader_opts){.size = sizeof(tp_loader_opts),
                                                              .batch_size = BATCH,
                                                              .shuffle = !s->no_shuffle});
    t->valid = tp_loader_new(
        &t->valid_set, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = BATCH});
    t->l = tp_learner_new(&(tp_learner_opts){.size = sizeof(tp_learner_opts),
                                             .train = t->train,
                                             .valid = s->no_valid ? NULL : t->valid,
                                             .model = t->net,
                                             .loss = s->loss ? s->loss : tp_cross_entropy,
                                             .optim = t->optim,
                                             .metrics = metrics,
                                             .nmetrics = 2,
                                             .callbacks = s->callback,
                                             .ncallbacks = s->ncallbacks});
    assert_non_null(t->l);
}

static inline void begin(task *t, const setup *s) {
    tp_dataset train;
    points(&train, TRAIN, 1);
    begin_with(t, s, train);
}

static inline void end(task *t) {
    tp_learner_free(t->l);
    tp_loader_free(t->train);
    tp_loader_free(t->valid);
    tp_optim_free(t->optim);
    tp_module_free(t->net);
    tp_dataset_free(&t->train_set);
    tp_dataset_free(&t->valid_set);
}

/* sha256 of everything that training leaves behind: weights, optimizer, generator, tables
 * without times. */
static inline void fingerprint(const task *t, char hex[65]) {
    tp_dict *d = tp_dict_new(),
            *part[3] = {tp_state_dict(t->net), tp_optim_state(t->optim), tp_rng_state(NULL)};
    for (int i = 0; i < 3; i++) {
        char prefix[20];
        snprintf(prefix, sizeof prefix, "%d.", i);
        tpt_ok(tp_dict_merge(d, prefix, part[i]));
        tp_dict_free(part[i]);
    }
    const int64_t n = tp_recorder_epochs(t->l), batches = tp_recorder_batches(t->l);
    for (int64_t e = 0; e < n; e++)
        for (int c = 0; c < 4; c++) {
            char name[40];
            snprintf(name, sizeof name, "epoch %d, %d", (int)e, c);
            tpt_ok(tp_dict_set(d, name, tp_num(tp_recorder_value(t->l, e, c))));
        }
    for (int64_t b = 0; b < batches; b++) {
        const double v[3] = {tp_recorder_loss(t->l, b), tp_recorder_raw_loss(t->l, b),
                             tp_recorder_lr(t->l, b)};
        char name[40];
        snprintf(name, sizeof name, "batch %d", (int)b);
        tpt_ok(tp_dict_set(d, name, tp_from(v, TP_SHAPE(3), TP_FLOAT64)));
    }
    tpt_ok(tp_dict_sha256(d, hex));
    tp_dict_free(d);
}

/* A callback that asks for the end after training batch number stop_step. */
static int64_t stop_step;
static inline tp_status stop_then(tp_callback *cb, tp_learner *l) {
    (void)cb;
    if (tp_learner_progress(l)->step == stop_step) tp_learner_stop(l);
    return TP_OK;
}

#endif
