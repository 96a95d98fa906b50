/* learner.h -- a learner from the inside: what the loop, its callbacks, the recorder and
 * checkpoints share.
 *
 * Where a fit stands is in tp_progress, in the training loader and in the recorder: an epoch is
 * done when the recorder has its row. A checkpoint is these three, the model, the optimizer and
 * the default generator. */
#ifndef TAPER_SRC_LEARNER_H
#define TAPER_SRC_LEARNER_H
#include "base/base.h"
#include "taper/learner.h"

/* ---- metrics.c ------------------------------------------------------------------------------- */
/* A mean weighted by the sizes of batches, of values that were computed in float32 unless
 * `wide`. */
typedef struct tp__mean {
    double total;
    int64_t count;
    bool wide;
} tp__mean;
/* x: a 0-d tensor of `n` samples. A failure is worded with `what`. */
tp_status tp__mean_add(tp__mean *m, const char *what, const tp_tensor *x, int64_t n);
double tp__mean_value(const tp__mean *m); /* as the dtype of the values; NaN if there were none */

/* ---- recorder.c ------------------------------------------------------------------------------ */
typedef struct tp__table {
    int columns;
    double *at; /* [n, columns] */
    int64_t n, cap;
} tp__table;
enum { TP__SMOOTH, TP__RAW, TP__LR, TP__BATCH_COLUMNS };
typedef struct tp__recorder {
    tp_callback callback; /* order 50 */
    tp__table epochs;     /* train, valid, metrics..., seconds */
    tp__table batches;    /* TP__SMOOTH... */
    float smooth;         /* the average before it is debiased, as fastai keeps it */
} tp__recorder;
void tp__recorder_begin(tp__recorder *rec, int nmetrics);
void tp__recorder_free(tp__recorder *rec);

/* ---- learner.c ------------------------------------------------------------------------------- */
typedef struct tp__fit {
    int64_t epochs; /* asked for */
    double lr;      /* asked for: the rate, or the peak of the cycle */
    bool one_cycle;
    bool momentum;  /* one-cycle: the optimizer has one to change */
    bool trained;   /* the current epoch's training pass is over */
    bool resumed;   /* read from a checkpoint: the next pass goes on where the saved one stood */
    double start;   /* of the epoch, on tp__os_now's clock */
    double elapsed; /* seconds of the epoch before a resume */
} tp__fit;

struct tp_learner {
    tp_loader *train, *valid;
    tp_module *model;
    tp_loss_fn loss;
    tp_optim *optim;
    tp_metric *metric; /* names owned */
    int nmetrics;
    tp_callback **callback; /* by order; the recorder is among them */
    int ncallbacks;
    tp_progress progress;
    tp__fit fit;
    tp__mean *mean; /* of the epoch's validation pass: loss, metrics */
    tp__recorder recorder;
    _Atomic bool stop_asked;
    bool stopping; /* somebody ended the fit */
    bool running;  /* inside a fit */
    bool steady;   /* between two steps, both done and recorded: a checkpoint may be made */
};

/* ---- callback.c ------------------------------------------------------------------------------ */
/* Call one event of every callback, in order; all of them, even if one asks to stop. */
tp_status tp__event(tp_learner *l, size_t offset);
#define TP__EVENT(l, name) tp__event(l, offsetof(tp_callback, name))

#endif
