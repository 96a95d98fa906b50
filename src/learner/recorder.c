/* recorder.c -- what a fit leaves behind: a row per epoch, and one per training batch.
 *
 * The training loss is fastai's: an exponential average of the batches' losses (beta 0.98),
 * debiased, running on from epoch to epoch of one fit. It is computed in float32 with torch's
 * lerp, step by step, so that the printed digits are the same. */
#include "autograd/autograd.h"
#include "learner/learner.h"
#include <math.h>

static const double BETA = 0.98;

/* ---- tables of numbers ----------------------------------------------------------------------- */

static tp_status reserve(tp__table *t, int64_t n) {
    if (n <= t->cap) return TP_OK;
    const int64_t cap = n > 2 * t->cap ? n : 2 * t->cap;
    double *at = tp__realloc(t->at, (size_t)cap * (size_t)t->columns * sizeof *at);
    if (!at) return TP_ENOMEM;
    t->at = at;
    t->cap = cap;
    return TP_OK;
}

/* A further row, for which there is room. */
static double *add_row(tp__table *t) {
    return t->at + t->n++ * t->columns;
}

/* Negative numbers count from the end. */
static double look_up(const char *what, const char *thing, const tp__table *t, int64_t row,
                      int column) {
    const int64_t i = row < 0 ? row + t->n : row;
    if (i >= 0 && i < t->n) return t->at[i * t->columns + column];
    tp_error_set(TP_EINDEX, "%s: there is no %s %lld among %lld", what, thing, (long long)row,
                 (long long)t->n);
    return (double)NAN;
}

/* ---- recording ------------------------------------------------------------------------------- */

static tp_status before_fit(tp_callback *cb, tp_learner *l) {
    tp__recorder *rec = cb->self;
    if (!l->fit.resumed) {
        rec->epochs.n = rec->batches.n = 0;
        rec->smooth = 0;
    }
    const int64_t n = rec->batches.n;
    l->progress.smooth_loss = n ? look_up("", "", &rec->batches, n - 1, TP__SMOOTH) : 0;
    return TP_OK;
}

/* Room for the rest of the pass, so that nothing is allocated between batches. */
static tp_status before_train(tp_callback *cb, tp_learner *l) {
    tp__recorder *rec = cb->self;
    return reserve(&rec->batches, rec->batches.n + l->progress.batches - l->progress.batch);
}

/* torch.lerp(loss, smooth, weight) for a weight of at least a half. */
static float lerp(float loss, float smooth, float weight) {
    return smooth - (smooth - loss) * (1 - weight);
}

static tp_status after_batch(tp_callback *cb, tp_learner *l) {
    tp__recorder *rec = cb->self;
    const double raw = tp_item(l->progress.loss);
    rec->smooth = lerp((float)raw, rec->smooth, (float)BETA);
    const double debias = 1 - pow(BETA, (double)(rec->batches.n + 1));
    l->progress.smooth_loss = (double)(rec->smooth / (float)debias);
    double *row = add_row(&rec->batches);
    row[TP__SMOOTH] = l->progress.smooth_loss;
    row[TP__RAW] = raw;
    row[TP__LR] = l->progress.lr;
    l->steady = true;
    return TP_OK;
}

static tp_status after_epoch(tp_callback *cb, tp_learner *l) {
    tp__table *epochs = &((tp__recorder *)cb->self)->epochs;
    const tp_status r = reserve(epochs, epochs->n + 1);
    if (r) return r;
    double *row = add_row(epochs);
    row[0] = l->progress.smooth_loss;
    for (int i = 0; i <= l->nmetrics; i++) row[1 + i] = tp__mean_value(&l->mean[i]);
    row[epochs->columns - 1] = tp__os_now() - l->fit.start;
    l->steady = true;
    return TP_OK;
}

void tp__recorder_begin(tp__recorder *rec, int nmetrics) {
    *rec = (tp__recorder){.epochs = {.columns = 3 + nmetrics},
                          .batches = {.columns = TP__BATCH_COLUMNS}};
    rec->callback = (tp_callback){.size = sizeof rec->callback,
                                  .name = "recorder",
                                  .order = 50,
                                  .self = rec,
                                  .before_fit = before_fit,
                                  .before_train = before_train,
                                  .after_batch = after_batch,
                                  .after_epoch = after_epoch};
}

void tp__recorder_free(tp__recorder *rec) {
    tp__mfree(rec->epochs.at);
    tp__mfree(rec->batches.at);
}

/* ---- asking ---------------------------------------------------------------------------------- */

int64_t tp_recorder_epochs(const tp_learner *l) {
    if (!l) return tp__error_null("recorder_epochs"), -1;
    return l->recorder.epochs.n;
}

double tp_recorder_value(const tp_learner *l, int64_t epoch, int column) {
    if (!l) return tp__error_null("recorder_value"), (double)NAN;
    const int columns = l->recorder.epochs.columns - 1, c = column < 0 ? column + columns : column;
    if (c >= 0 && c < columns)
        return look_up("recorder_value", "epoch", &l->recorder.epochs, epoch, c);
    tp_error_set(TP_EINDEX, "recorder_value: there is no column %d among %d", column, columns);
    return (double)NAN;
}

tp_tensor *tp_recorder_values(const tp_learner *l) {
    if (!l) return tp__error_null("recorder_values"), NULL;
    static const double none = 0;
    const tp__table *t = &l->recorder.epochs;
    tp_tensor *all = tp_from(t->n ? t->at : &none, TP_SHAPE(t->n, t->columns), TP_FLOAT64);
    if (!all) return NULL;
    const int64_t shape[] = {t->n, t->columns - 1}; /* without the seconds */
    tp_tensor *values = tp__view(all, 2, shape, all->stride, all->offset);
    return values ? tp__clone(values) : NULL;
}

double tp_recorder_seconds(const tp_learner *l, int64_t epoch) {
    if (!l) return tp__error_null("recorder_seconds"), (double)NAN;
    const tp__table *epochs = &l->recorder.epochs;
    return look_up("recorder_seconds", "epoch", epochs, epoch, epochs->columns - 1);
}

int64_t tp_recorder_batches(const tp_learner *l) {
    if (!l) return tp__error_null("recorder_batches"), -1;
    return l->recorder.batches.n;
}

static double of_batch(const char *what, const tp_learner *l, int64_t batch, int column) {
    if (!l) return tp__error_null(what), (double)NAN;
    return look_up(what, "batch", &l->recorder.batches, batch, column);
}
double tp_recorder_loss(const tp_learner *l, int64_t batch) {
    return of_batch("recorder_loss", l, batch, TP__SMOOTH);
}
double tp_recorder_raw_loss(const tp_learner *l, int64_t batch) {
    return of_batch("recorder_raw_loss", l, batch, TP__RAW);
}
double tp_recorder_lr(const tp_learner *l, int64_t batch) {
    return of_batch("recorder_lr", l, batch, TP__LR);
}

/* ---- state ----------------------------------------------------------------------------------- */

static tp_status put_table(tp_dict *d, const char *name, const tp__table *t) {
    static const double none = 0;
    return tp_dict_set(d, name,
                       tp_from(t->at ? t->at : &none, TP_SHAPE(t->n, t->columns), TP_FLOAT64));
}

tp_dict *tp_recorder_state(const tp_learner *l) {
    if (!l) return tp__error_null("recorder_state"), NULL;
    const tp__recorder *rec = &l->recorder;
    tp_dict *d = tp_dict_new();
    const tp_scope scope = tp_scope_begin();
    tp_status r = d && scope.depth ? TP_OK : TP_ENOMEM;
    if (!r) r = put_table(d, "epochs", &rec->epochs);
    if (!r) r = put_table(d, "batches", &rec->batches);
    if (!r) r = tp_dict_set(d, "smooth", tp_from(&rec->smooth, TP_0D, TP_FLOAT32));
    if (scope.depth) tp_scope_end(scope);
    if (!r) return d;
    tp_dict_free(d);
    return NULL;
}

/* t->columns says what is wanted. */
static tp_status get_table(const tp_dict *d, const char *name, tp__table *t) {
    const tp_tensor *x = tp_dict_get(d, name);
    if (!x) return tp_error_set(TP_EFORMAT, "recorder_set_state: there is no \"%s\"", name);
    if (x->dtype != TP_FLOAT64 || x->ndim != 2 || x->shape[1] != t->columns)
        return tp_error_set(TP_EFORMAT,
                            "recorder_set_state: \"%s\" is not a float64 table of %d columns", name,
                            t->columns);
    const tp_status r = reserve(t, x->shape[0]);
    if (r) return r;
    t->n = x->shape[0];
    return t->n ? tp_copy_to(x, t->at, x->numel, TP_FLOAT64) : TP_OK;
}

tp_status tp_recorder_set_state(tp_learner *l, const tp_dict *state) {
    if (!l || !state) return tp__error_null("recorder_set_state");
    tp__recorder *rec = &l->recorder;
    tp__table epochs = {.columns = rec->epochs.columns}, batches = {.columns = TP__BATCH_COLUMNS};
    const tp_tensor *smooth = tp_dict_get(state, "smooth");
    tp_status r = TP_OK;
    if (!smooth || smooth->dtype != TP_FLOAT32 || smooth->numel != 1)
        r = tp_error_set(TP_EFORMAT, "recorder_set_state: \"smooth\" is not one float32");
    if (!r) r = get_table(state, "epochs", &epochs);
    if (!r) r = get_table(state, "batches", &batches);
    if (r) {
        tp__mfree(epochs.at);
        tp__mfree(batches.at);
        return r;
    }
    tp__recorder_free(rec);
    rec->epochs = epochs;
    rec->batches = batches;
    rec->smooth = (float)tp_item(smooth);
    return TP_OK;
}
