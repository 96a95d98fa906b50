/* learner.c -- fastai's loop: epochs of a training and a validation pass, events between the steps.
 *
 * A fit ends in one of three ways: all epochs are done; a callback or tp_learner_stop asked for
 * its end (TP_ESTOP travels up, and the fit returns TP_OK); an error, whose line names epoch and
 * batch. A fit whose learner was read from a checkpoint goes on inside the pass where the saved
 * one stood. */
#include "learner/learner.h"
#include "data/data.h"
#include "taper/ops.h"
#include <math.h>
#include <string.h>

static bool is_stop(const tp_learner *l, tp_status r) {
    return r == TP_ESTOP && l->stopping;
}

/* ---- one batch ------------------------------------------------------------------------------- */

static tp_status made(const char *what, const tp_tensor *x) {
    if (x || tp_error_code()) return x ? TP_OK : tp_error_code();
    return tp_error_set(TP_EUSER, "%s returned NULL, and no error", what);
}

static tp_status check_loss(const tp_tensor *loss) {
    if (tp_numel(loss) != 1)
        return tp_error_set(TP_ESHAPE,
                            "the loss function gave %lld numbers, not one (take their tp_mean)",
                            (long long)tp_numel(loss));
    const double value = tp_item(loss);
    if (isfinite(value)) return TP_OK;
    return tp_error_set(TP_EVALUE, "loss is %s; a smaller learning rate usually helps",
                        isnan(value) ? "nan" : "inf");
}

static tp_status train_batch(tp_learner *l) {
    tp_progress *p = &l->progress;
    tp_status r = TP__EVENT(l, before_batch);
    if (!r) r = made("the model", p->pred = tp_forward(l->model, p->x));
    if (!r) r = TP__EVENT(l, after_pred);
    if (!r) r = made("the loss function", p->loss = l->loss(p->pred, p->y));
    if (!r) r = check_loss(p->loss);
    if (!r) r = TP__EVENT(l, after_loss);
    if (!r) r = tp_backward(p->loss);
    if (!r) r = TP__EVENT(l, after_backward);
    if (!r) r = tp_optim_step(l->optim);
    if (!r) r = TP__EVENT(l, after_step);
    tp_optim_zero_grad(l->optim);
    if (r) return r;
    p->step++;
    r = TP__EVENT(l, after_batch);
    l->steady = false;
    return r;
}

static tp_status valid_batch(tp_learner *l, int64_t n, tp__mean *mean, bool events) {
    tp_progress *p = &l->progress;
    tp_status r = made("the model", p->pred = tp_forward(l->model, p->x));
    if (!r) r = tp__mean_add(&mean[0], "loss", p->loss = l->loss(p->pred, p->y), n);
    for (int i = 0; i < l->nmetrics && !r; i++)
        r = tp__mean_add(&mean[1 + i], l->metric[i].name, l->metric[i].fn(p->pred, p->y), n);
    if (!r && events) r = TP__EVENT(l, after_valid_batch);
    return r;
}

static void put_batch(tp_progress *p, const tp_batch *b) {
    p->x = b ? b->x : NULL;
    p->y = b ? b->y : NULL;
    p->pred = p->loss = NULL;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* fastai's one cycle: a quarter of the batches up, the rest down, each leg half a cosine. */
static double one_cycle(double start, double peak, double end, double pos) {
    const double up = 0.25;
    return pos < up ? tp_sched_cos(start, peak, pos / up)
                    : tp_sched_cos(peak, end, (pos - up) / (1 - up));
}

static tp_status set_rates(tp_learner *l) {
    tp_progress *p = &l->progress;
    tp_status r = TP_OK;
    if (l->fit.one_cycle) {
        const double pos = (double)p->step / ((double)p->epochs * (double)p->batches),
                     peak = l->fit.lr;
        r = tp_optim_set_lr(l->optim, one_cycle(peak / 25, peak, peak / 1e5, pos));
        if (!r && l->fit.momentum)
            r = tp_optim_set_momentum(l->optim, one_cycle(0.95, 0.85, 0.95, pos));
    }
    p->lr = tp_optim_lr(l->optim);
    return r;
}

static tp_status train_in_scope(tp_learner *l, const tp_batch *b) {
    const tp_scope scope = tp_scope_begin();
    if (!scope.depth) return TP_ENOMEM;
    put_batch(&l->progress, b);
    tp_status r = set_rates(l);
    const uint32_t rounding = tp__cpu_rounding();
    (void)tp_set_flush_denormal(true);
    if (!r) r = train_batch(l);
    tp__cpu_set_rounding(rounding);
    put_batch(&l->progress, NULL);
    tp_scope_end(scope);
    return r;
}

static tp_status train_batches(tp_learner *l) {
    tp_batch b;
    int more;
    while ((more = tp_loader_next(l->train, &b)) > 0) {
        const tp_status r = train_in_scope(l, &b);
        if (r) return r;
        l->progress.batch++;
        if (!l->stop_asked) continue;
        l->stopping = true;
        return TP_ESTOP;
    }
    return (tp_status)more;
}

/* "epoch 2, batch 17: what happened" */
static tp_status with_place(const tp_learner *l, tp_status r) {
    if (!r || is_stop(l, r)) return r;
    const tp_progress *p = &l->progress;
    return tp_error_prefix("epoch %lld, %sbatch %lld", (long long)p->epoch,
                           p->training ? "" : "validation ", (long long)p->batch);
}

static tp_status train_pass(tp_learner *l) {
    tp_progress *p = &l->progress;
    if (!l->fit.resumed) tp_loader_restart(l->train);
    l->fit.resumed = false;
    tp_module_train(l->model, true);
    p->training = true;
    p->batch = tp__loader_position(l->train);
    p->batches = tp_loader_len(l->train);
    tp_status r = TP__EVENT(l, before_train);
    if (!r) r = with_place(l, train_batches(l));
    if (r) return r;
    l->fit.trained = true;
    return TP__EVENT(l, after_train);
}

static tp_status valid_batches(tp_learner *l, tp_loader *dl, tp__mean *mean, bool events) {
    tp_batch b;
    int more;
    while ((more = tp_loader_next(dl, &b)) > 0) {
        const tp_scope scope = tp_scope_no_grad();
        if (!scope.depth) return TP_ENOMEM;
        put_batch(&l->progress, &b);
        const tp_status r = valid_batch(l, b.n, mean, events);
        put_batch(&l->progress, NULL);
        tp_scope_end(scope);
        if (r) return r;
        l->progress.batch++;
    }
    return (tp_status)more;
}

/* mean[0] becomes that of the loss, the others those of the metrics. */
static tp_status valid_pass(tp_learner *l, tp_loader *dl, tp__mean *mean, bool events) {
    tp_progress *p = &l->progress;
    tp_loader_restart(dl);
    tp_module_train(l->model, false);
    p->training = false;
    p->batch = 0;
    p->batches = tp_loader_len(dl);
    memset(mean, 0, (1 + (size_t)l->nmetrics) * sizeof *mean);
    tp_status r = events ? TP__EVENT(l, before_validate) : TP_OK;
    if (!r) r = with_place(l, valid_batches(l, dl, mean, events));
    return r || !events ? r : TP__EVENT(l, after_validate);
}

/* ---- epochs ---------------------------------------------------------------------------------- */

static tp_status one_epoch(tp_learner *l) {
    l->fit.start = tp__os_now() - l->fit.elapsed;
    l->fit.elapsed = 0;
    tp_status r = TP__EVENT(l, before_epoch);
    if (!r && !l->fit.trained) r = train_pass(l);
    if (!r && l->valid) r = valid_pass(l, l->valid, l->mean, true);
    if (r) return r;
    l->fit.trained = false;
    r = TP__EVENT(l, after_epoch);
    l->steady = false;
    return r;
}

static tp_status all_epochs(tp_learner *l) {
    tp_progress *p = &l->progress;
    while (p->epoch < p->epochs) {
        const tp_status r = one_epoch(l);
        if (r) return r;
        p->epoch++;
        if (!l->stop_asked || p->epoch == p->epochs) continue;
        l->stopping = true;
        return TP_ESTOP;
    }
    return TP_OK;
}

static tp_status check_fit(const tp_learner *l, int64_t epochs) {
    if (l->running) return tp_error_set(TP_ESTATE, "a fit of this learner is running");
    if (epochs < 0) return tp_error_set(TP_EVALUE, "%lld epochs", (long long)epochs);
    if (l->fit.resumed && epochs <= l->recorder.epochs.n)
        return tp_error_set(TP_EVALUE,
                            "%lld epochs are asked for, and the checkpoint has done %lld already",
                            (long long)epochs, (long long)l->recorder.epochs.n);
    if (tp_loader_len(l->train)) return TP_OK;
    return tp_error_set(
        TP_EVALUE,
        "the training loader has no batch: its samples do not fill one, and drop_last is set");
}

/* A constant rate is set once, so that callbacks may change it; one that a checkpoint brought along
 * stays, unless another is asked for now. */
static tp_status begin_fit(tp_learner *l, int64_t epochs, double lr, bool cycle) {
    tp_progress *p = &l->progress;
    const bool resumed = l->fit.resumed;
    if (!cycle && !(resumed && lr == l->fit.lr)) {
        const tp_status r = tp_optim_set_lr(l->optim, lr);
        if (r) return r;
    }
    if (!resumed) l->fit = (tp__fit){0};
    l->fit.epochs = epochs;
    l->fit.lr = lr;
    l->fit.one_cycle = cycle;
    l->fit.momentum = cycle && tp_optim_momentum(l->optim) != 0;
    *p = (tp_progress){.epochs = epochs};
    if (resumed) {
        p->epoch = l->recorder.epochs.n;
        p->step = l->recorder.batches.n;
    }
    l->stop_asked = l->stopping = false;
    return TP_OK;
}

static tp_status run_fit(tp_learner *l) {
    const bool training = tp_module_training(l->model);
    l->running = true;
    tp_status r = TP__EVENT(l, before_fit);
    if (!r) r = all_epochs(l);
    if (!r || is_stop(l, r)) r = TP__EVENT(l, after_fit);
    l->running = l->fit.resumed = false;
    l->fit.elapsed = tp__os_now() - l->fit.start; /* so far, if it ended inside an epoch */
    tp_module_train(l->model, training);
    return is_stop(l, r) ? TP_OK : r;
}

static tp_status fit(const char *what, tp_learner *l, int64_t epochs, double lr, bool cycle) {
    if (!l) return tp__error_null(what);
    tp_status r = check_fit(l, epochs);
    if (!r) r = begin_fit(l, epochs, lr, cycle);
    if (!r) r = run_fit(l);
    return r ? tp_error_prefix("%s", what) : TP_OK;
}

tp_status tp_fit(tp_learner *l, int64_t epochs, double lr) {
    return fit("fit", l, epochs, lr, false);
}
tp_status tp_fit_one_cycle(tp_learner *l, int64_t epochs, double lr_max) {
    return fit("fit_one_cycle", l, epochs, lr_max, true);
}

void tp_learner_stop(tp_learner *l) {
    if (l) l->stop_asked = true;
}

bool tp_learner_stopped(const tp_learner *l) {
    return l && l->stopping && l->recorder.epochs.n < l->fit.epochs;
}

/* ---- validation by itself -------------------------------------------------------------------- */

static tp_status validate(tp_learner *l, tp_loader *dl, double *values) {
    tp__mean *mean = tp__calloc((1 + (size_t)l->nmetrics), sizeof *mean);
    if (!mean) return TP_ENOMEM;
    const tp_progress before = l->progress;
    const bool training = tp_module_training(l->model);
    const tp_status r = valid_pass(l, dl, mean, false);
    tp_module_train(l->model, training);
    l->progress = before;
    for (int i = 0; i <= l->nmetrics && !r; i++) values[i] = tp__mean_value(&mean[i]);
    tp__mfree(mean);
    return r ? tp_error_prefix("validate") : TP_OK;
}

tp_status tp_learner_validate(tp_learner *l, tp_loader *dl, double *values, int n) {
    if (!l || !values) return tp__error_null("validate");
    if (!dl) dl = l->valid;
    if (!dl) return tp_error_set(TP_EVALUE, "validate: the learner has no validation loader");
    if (n != 1 + l->nmetrics)
        return tp_error_set(TP_EVALUE,
                            "validate: there is room for %d values; the loss and %d metrics are %d",
                            n, l->nmetrics, 1 + l->nmetrics);
    if (l->running && (l->progress.training ? dl == l->train : dl == l->valid) &&
        tp__loader_position(dl))
        return tp_error_set(TP_ESTATE,
                            "validate: the fit that runs is inside a pass of this loader");
    return validate(l, dl, values);
}

/* ---- making ---------------------------------------------------------------------------------- */

static tp_status copy_metrics(tp_learner *l, const tp_learner_opts *opts) {
    l->metric = tp__calloc((size_t)opts->nmetrics, sizeof *l->metric);
    l->mean = tp__calloc(1 + (size_t)opts->nmetrics, sizeof *l->mean);
    if (!l->metric || !l->mean) return TP_ENOMEM;
    for (; l->nmetrics < opts->nmetrics; l->nmetrics++) {
        const tp_metric *m = &opts->metrics[l->nmetrics];
        if (!m->name || !m->fn)
            return tp_error_set(TP_EVALUE, "learner: metric %d has no %s", l->nmetrics,
                                m->name ? "function" : "name");
        char *name = tp__strdup(m->name);
        if (!name) return TP_ENOMEM;
        l->metric[l->nmetrics] = (tp_metric){name, m->fn};
    }
    return TP_OK;
}

/* Behind those of the same order. */
static void insert_callback(tp_learner *l, tp_callback *cb) {
    int i = l->ncallbacks++;
    for (; i > 0 && l->callback[i - 1]->order > cb->order; i--) l->callback[i] = l->callback[i - 1];
    l->callback[i] = cb;
}

static tp_status copy_callbacks(tp_learner *l, const tp_learner_opts *opts) {
    l->callback = tp__calloc((size_t)opts->ncallbacks + 1, sizeof(tp_callback *));
    if (!l->callback) return TP_ENOMEM;
    tp__recorder_begin(&l->recorder, l->nmetrics);
    insert_callback(l, &l->recorder.callback);
    for (int i = 0; i < opts->ncallbacks; i++) {
        tp_callback *cb = opts->callbacks[i];
        if (!cb) return tp__error_null("learner");
        if (!cb->size)
            return tp_error_set(TP_EVALUE,
                                "learner: callback %d has size 0, not sizeof(tp_callback)", i);
        insert_callback(l, cb);
    }
    return TP_OK;
}

static const char *lacking(const tp_learner_opts *o) {
    return !o->train   ? "train"
           : !o->model ? "model"
           : !o->loss  ? "loss"
           : !o->optim ? "optim"
                       : NULL;
}

tp_learner *tp_learner_new(const tp_learner_opts *given) {
    tp_learner_opts opts;
    if (!tp__opts("learner", &opts, sizeof opts, given)) return NULL;
    const char *lacks = lacking(&opts);
    if (lacks && !tp_error_code())
        return tp__fail(TP_ENULL, "learner: %s is NULL; train, model, loss and optim are needed",
                        lacks);
    if (lacks) return tp__error_null("learner"), NULL;
    if (opts.nmetrics < 0 || opts.ncallbacks < 0)
        return tp__fail(TP_EVALUE, "learner: %d metrics, %d callbacks", opts.nmetrics,
                        opts.ncallbacks);
    if (opts.nmetrics && !opts.metrics) return tp__error_null("learner: .metrics"), NULL;
    if (opts.ncallbacks && !opts.callbacks) return tp__error_null("learner: .callbacks"), NULL;
    tp_learner *l = tp__calloc(1, sizeof *l);
    if (!l) return NULL;
    l->train = opts.train;
    l->valid = opts.valid;
    l->model = opts.model;
    l->loss = opts.loss;
    l->optim = opts.optim;
    if (!copy_metrics(l, &opts) && !copy_callbacks(l, &opts)) return l;
    tp_learner_free(l);
    return NULL;
}

void tp_learner_free(tp_learner *l) {
    if (!l) return;
    for (int i = 0; i < l->nmetrics; i++) tp__mfree((char *)(uintptr_t)l->metric[i].name);
    tp__mfree(l->metric);
    tp__mfree(l->mean);
    tp__mfree(l->callback);
    tp__recorder_free(&l->recorder);
    tp__mfree(l);
}

const tp_progress *tp_learner_progress(const tp_learner *l) {
    return l ? &l->progress : (tp__error_null("learner_progress"), NULL);
}
tp_module *tp_learner_model(const tp_learner *l) {
    return l ? l->model : (tp__error_null("learner_model"), NULL);
}
