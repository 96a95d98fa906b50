/* taper/learner.h -- fastai's Learner: the loop, callbacks, metrics, the recorder; and model files.
 *
 * One epoch is a training pass and a validation pass. One batch: forward, loss, backward, step,
 * zero_grad, each between callback events. In all of that, but not in validation, denormal numbers
 * count as zero (tp_set_flush_denormal), or each epoch of a network that has learned its images
 * well would take longer than the last. How the program rounds is restored after each batch. */
#ifndef TAPER_LEARNER_H
#define TAPER_LEARNER_H
#include "data.h"
#include "io.h"
#include "optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tp_learner tp_learner;
typedef tp_tensor *(*tp_loss_fn)(tp_tensor *pred, tp_tensor *target);

/* A metric gives a 0-d tensor per validation batch; the epoch's value is their mean weighted by the
 * batches' sizes. */
typedef struct tp_metric {
    const char *name;
    tp_loss_fn fn;
} tp_metric;
/* mean of argmax(pred, -1) == target: pred[N, C] target[N]. */
TP_API TP_SCOPED tp_tensor *tp_accuracy(tp_tensor *pred, tp_tensor *target);
/* The book's: mean of (sigmoid(pred) > 0.5) == target. */
TP_API TP_SCOPED tp_tensor *tp_batch_accuracy(tp_tensor *pred, tp_tensor *target);

/* ---- callbacks ------------------------------------------------------------------------------- */

/* Events in their order. A callback returns TP_OK to go on, TP_ESTOP to end the fit in good order
 * after this event (fit then returns TP_OK), anything else < 0 (with tp_error_set) to fail it. */
#define TP_EVENT_MAP(XX)                                                             \
    XX(before_fit)                                                                   \
    XX(before_epoch)                                                                 \
    XX(before_train)                                                                 \
    XX(before_batch)                                                                 \
    XX(after_pred) XX(after_loss) XX(after_backward) XX(after_step) XX(after_batch)  \
        XX(after_train) XX(before_validate) XX(after_valid_batch) XX(after_validate) \
            XX(after_epoch) XX(after_fit)

typedef struct tp_callback tp_callback;
struct tp_callback {
    size_t size; /* sizeof(tp_callback) */
    const char *name;
    int order; /* lower runs first; the recorder is 50 */
    void *self;
#define TP__XX(event) tp_status (*event)(tp_callback * cb, tp_learner * l);
    TP_EVENT_MAP(TP__XX)
#undef TP__XX
};

/* Where the loop stands; valid inside callbacks. Tensors are NULL outside their stage. */
typedef struct tp_progress {
    int64_t epoch, epochs;  /* from 0 */
    int64_t batch, batches; /* of this pass, from 0 */
    int64_t step;           /* training batches since the fit began */
    bool training;
    tp_tensor *x, *y, *pred, *loss;
    double lr, smooth_loss;
} tp_progress;

/* ---- the learner ----------------------------------------------------------------------------- */

typedef struct tp_learner_opts {
    size_t size;
    tp_loader *train, *valid; /* borrowed; valid may be NULL: no validation */
    tp_module *model;         /* borrowed */
    tp_loss_fn loss;
    tp_optim *optim;          /* borrowed; its lr is set by fit */
    const tp_metric *metrics; /* copied */
    int nmetrics;
    tp_callback *const *callbacks; /* borrowed */
    int ncallbacks;
} tp_learner_opts;
/* tp_learner_new(.train = dl, .valid = valid_dl, .model = net, .loss = f, .optim = opt). ENULL
 * unless train, model, loss and optim are given. loss and metrics make a 0-d tensor of a batch. */
TP_API TP_OWNED tp_learner *tp_learner_new(const tp_learner_opts *opts);
TP_API void tp_learner_free(TP_TAKES tp_learner *l);
/* Train for `epochs` at a constant rate, or on fastai's one-cycle schedule (lr_max / 25 up, down to
 * lr_max / 1e5; momentum 0.95 -> 0.85 -> 0.95, if there is one). Errors name epoch and batch; a
 * training loss that is nan or inf is one. */
TP_API TP_MUST_CHECK tp_status tp_fit(tp_learner *l, int64_t epochs, double lr);
TP_API TP_MUST_CHECK tp_status tp_fit_one_cycle(tp_learner *l, int64_t epochs, double lr_max);
/* Ask the running fit to end after this batch or validation pass; async-signal-safe. */
TP_API void tp_learner_stop(tp_learner *l);
TP_API bool tp_learner_stopped(const tp_learner *l); /* did the last fit end before its time? */
/* Loss and metrics over `dl` (NULL: the validation loader): values[0] is the loss; n = 1 +
 * nmetrics. No callback is called. */
TP_API TP_MUST_CHECK tp_status tp_learner_validate(tp_learner *l, tp_loader *dl, double *values,
                                                   int n);
/* What the model gives, in eval mode and unrecorded: for all of `dl` (NULL: the validation loader),
 * in its order, beside the targets; for one sample x, as its dataset gives it, without a batch
 * axis. */
TP_API TP_MUST_CHECK tp_status tp_learner_get_preds(tp_learner *l, tp_loader *dl,
                                                    TP_SCOPED tp_tensor **preds,
                                                    TP_SCOPED tp_tensor **targets);
TP_API TP_SCOPED tp_tensor *tp_learner_predict(tp_learner *l, tp_tensor *x);
TP_API TP_BORROWED const tp_progress *tp_learner_progress(const tp_learner *l);
TP_API TP_BORROWED tp_module *tp_learner_model(const tp_learner *l);

/* ---- the recorder ---------------------------------------------------------------------------- */

/* Per epoch: train_loss (fastai's smoothed batch loss, beta 0.98, debiased, from the fit's first
 * batch on), valid_loss and metrics (exact, weighted by size; NaN without validation), seconds. */
TP_API int64_t tp_recorder_epochs(const tp_learner *l);
/* column: 0 train, 1 valid, 2.. metrics. */
TP_API double tp_recorder_value(const tp_learner *l, int64_t epoch, int column);
/* recorder.values as float64 [epochs, 2 + nmetrics]; tp_select(v, 1, 2) is a metric's column. */
TP_API TP_SCOPED tp_tensor *tp_recorder_values(const tp_learner *l);
TP_API double tp_recorder_seconds(const tp_learner *l, int64_t epoch);
/* Per training batch: smoothed loss, raw loss, learning rate. */
TP_API int64_t tp_recorder_batches(const tp_learner *l);
TP_API double tp_recorder_loss(const tp_learner *l, int64_t batch);
TP_API double tp_recorder_raw_loss(const tp_learner *l, int64_t batch);
TP_API double tp_recorder_lr(const tp_learner *l, int64_t batch);
TP_API TP_OWNED tp_dict *tp_recorder_state(const tp_learner *l);
TP_API TP_MUST_CHECK tp_status tp_recorder_set_state(tp_learner *l, const tp_dict *state);
/* A callback that prints fastai's table to stdout: header, then a line an epoch. */
TP_API TP_BORROWED tp_callback *tp_table_callback(void);

/* A checkpoint: model, optimizer, default generator, training loader and recorder as named tensors,
 * each under its prefix; strings of your own may be added before it is saved. Not while a fit runs,
 * but for after_batch and after_epoch of a callback whose order is above 50. A learner made in the
 * same way that takes it continues with the same bits: if the fit had not done all of its epochs,
 * the next tp_fit goes on with it, and counts them. A failure changes nothing. */
TP_API TP_OWNED tp_dict *tp_learner_state(const tp_learner *l);
TP_API TP_MUST_CHECK tp_status tp_learner_set_state(tp_learner *l, const tp_dict *state);
/* The same, to and from a safetensors file, written atomically. */
TP_API TP_MUST_CHECK tp_status tp_learner_save(const tp_learner *l, const char *path);
TP_API TP_MUST_CHECK tp_status tp_learner_load(tp_learner *l, const char *path);

/* ---- model files ----------------------------------------------------------------------------- */

/* A trained classifier of images with all it needs to be asked: safetensors with taper.*
 * metadata. */
typedef struct tp_model tp_model;
typedef struct tp_model_opts {
    size_t size;
    tp_module *module;          /* borrowed; its architecture must have a spec */
    const char *const *classes; /* names in order, copied */
    int nclasses;
    int channels, height, width;
    bool binary; /* one output, sigmoid > 0.5 means class `positive` */
    int positive;
} tp_model_opts;
/* tp_model_new(.module = net, .classes = names, .nclasses = 10, .channels = 1, ...). */
TP_API TP_OWNED tp_model *tp_model_new(const tp_model_opts *opts);
TP_API TP_OWNED tp_model *tp_model_load(const char *path);
TP_API TP_MUST_CHECK tp_status tp_model_save(const tp_model *m, const char *path);
TP_API void tp_model_free(TP_TAKES tp_model *m);
/* learn.export(): a classifier of images in a file, with l's module; `module` need not be set. */
TP_API TP_MUST_CHECK tp_status tp_learner_export(const tp_learner *l, const char *path,
                                                 const tp_model_opts *opts);
TP_API TP_BORROWED tp_module *tp_model_module(const tp_model *m);
TP_API int tp_model_classes(const tp_model *m);
TP_API TP_BORROWED const char *tp_model_class(const tp_model *m, int c);
TP_API void tp_model_size(const tp_model *m, int *channels, int *height, int *width);
TP_API bool tp_model_binary(const tp_model *m, int *positive);
/* Further strings of the file: "seed", "epochs", "loss", "data_sha256"; kept under "taper."
 * names. */
TP_API TP_MUST_CHECK tp_status tp_model_set_info(tp_model *m, const char *key, const char *value);
/* NULL, without an error, if absent. */
TP_API TP_BORROWED const char *tp_model_info(const tp_model *m, const char *key);
TP_API int64_t tp_model_info_len(const tp_model *m);
TP_API TP_BORROWED const char *tp_model_info_key(const tp_model *m, int64_t i);
TP_API TP_MUST_CHECK tp_status tp_model_weights_sha256(const tp_model *m, char hex[65]);
/* Class probabilities of images x[N, C, H, W], or x[N, C*H*W], float32 -> [N, classes]; of one file
 * (what was converted goes to `did`). May run on many threads at once. */
TP_API TP_SCOPED tp_tensor *tp_model_predict(const tp_model *m, tp_tensor *x);
TP_API TP_MUST_CHECK tp_status tp_model_predict_file(const tp_model *m, const char *path,
                                                     float *prob, int n, char *did,
                                                     size_t did_size);

#ifdef __cplusplus
} /* extern "C" */
inline tp_learner *tp_learner_new(tp_learner_opts opts) {
    opts.size = sizeof opts;
    return tp_learner_new(&opts);
}
inline tp_model *tp_model_new(tp_model_opts opts) {
    opts.size = sizeof opts;
    return tp_model_new(&opts);
}
inline tp_status tp_learner_export(const tp_learner *l, const char *path, tp_model_opts opts) {
    opts.size = sizeof opts;
    return tp_learner_export(l, path, &opts);
}
#endif

#ifndef TAPER_PLAIN
#define tp_accuracy(...) TP__SITE(tp_accuracy(__VA_ARGS__))
#define tp_batch_accuracy(...) TP__SITE(tp_batch_accuracy(__VA_ARGS__))
#define tp_learner_validate(...) TP__STATUS(tp_learner_validate(__VA_ARGS__))
#define tp_learner_get_preds(...) TP__STATUS(tp_learner_get_preds(__VA_ARGS__))
#define tp_recorder_values(...) TP__SITE(tp_recorder_values(__VA_ARGS__))
#define tp_recorder_state(...) TP__OBJECT(tp_recorder_state(__VA_ARGS__))
#define tp_recorder_set_state(...) TP__STATUS(tp_recorder_set_state(__VA_ARGS__))
#define tp_learner_state(...) TP__OBJECT(tp_learner_state(__VA_ARGS__))
#define tp_learner_set_state(...) TP__STATUS(tp_learner_set_state(__VA_ARGS__))
#define tp_learner_save(...) TP__STATUS(tp_learner_save(__VA_ARGS__))
#define tp_learner_load(...) TP__STATUS(tp_learner_load(__VA_ARGS__))
#define tp_model_load(...) TP__OBJECT(tp_model_load(__VA_ARGS__))
#define tp_model_save(...) TP__STATUS(tp_model_save(__VA_ARGS__))
#define tp_model_set_info(...) TP__STATUS(tp_model_set_info(__VA_ARGS__))
#define tp_model_weights_sha256(...) TP__STATUS(tp_model_weights_sha256(__VA_ARGS__))
#define tp_model_predict(...) TP__SITE(tp_model_predict(__VA_ARGS__))
#define tp_model_predict_file(...) TP__STATUS(tp_model_predict_file(__VA_ARGS__))
#define tp_fit(...) TP__STATUS(tp_fit(__VA_ARGS__))
#define tp_fit_one_cycle(...) TP__STATUS(tp_fit_one_cycle(__VA_ARGS__))
#define tp_learner_predict(...) TP__SITE(tp_learner_predict(__VA_ARGS__))
#ifdef __cplusplus
#define tp_learner_new(...) TP__OBJECT(tp_learner_new(__VA_ARGS__))
#define tp_model_new(...) TP__OBJECT(tp_model_new(__VA_ARGS__))
#define tp_learner_export(...) TP__STATUS(tp_learner_export(__VA_ARGS__))
#else
#define tp_model_new(...) TP__MODEL(__VA_ARGS__, .size = sizeof(tp_model_opts))
#define TP__MODEL(...) TP__OBJECT(tp_model_new(&(tp_model_opts){__VA_ARGS__}))
#define tp_learner_new(...) tp__learner_new_(__VA_ARGS__, .size = sizeof(tp_learner_opts))
#define tp__learner_new_(...) TP__OBJECT(tp_learner_new(&(tp_learner_opts){__VA_ARGS__}))
#define tp_learner_export(...) TP__EXPORT(__VA_ARGS__, .size = sizeof(tp_model_opts))
#define TP__EXPORT(l, path, ...) \
    TP__STATUS(tp_learner_export(l, path, &(tp_model_opts){__VA_ARGS__}))
#endif
#endif
#endif
