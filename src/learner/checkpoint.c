/* checkpoint.c -- a learner as one safetensors file, and back, to go on with the same bits.
 *
 * Everything that decides what the next batch does is named tensors already; a checkpoint is
 * their union under prefixes. What stands in a file replaces the learner's state as a whole or
 * not at all. */
#include "autograd/autograd.h"
#include "learner/learner.h"
#include "taper/ops.h"
#include <string.h>

#define FORMAT "taper.checkpoint"

/* ---- where the fit stands -------------------------------------------------------------------- */

/* Of the current epoch so far; its row in the recorder ends it. */
static double elapsed(const tp_learner *l) {
    if (l->recorder.epochs.n > l->progress.epoch) return 0;
    return l->running ? tp__os_now() - l->fit.start : l->fit.elapsed;
}

static tp_dict *fit_state(const tp_learner *l) {
    const int64_t numbers[] = {l->fit.epochs, l->fit.trained};
    const double rates[] = {l->fit.lr, elapsed(l)};
    tp_dict *d = tp_dict_new();
    if (d && !tp_dict_set(d, "numbers", tp_from(numbers, TP_SHAPE(2), TP_INT64)) &&
        !tp_dict_set(d, "rates", tp_from(rates, TP_SHAPE(2), TP_FLOAT64)))
        return d;
    tp_dict_free(d);
    return NULL;
}

static tp_status set_fit_state(tp_learner *l, const tp_dict *state) {
    int64_t numbers[2];
    double rates[2];
    const tp_tensor *n = tp_dict_get(state, "numbers"), *r = tp_dict_get(state, "rates");
    if (!n || !r || n->dtype != TP_INT64 || r->dtype != TP_FLOAT64 || n->numel != 2 ||
        r->numel != 2)
        return tp_error_set(TP_EFORMAT, "it does not say where the fit stood");
    if (tp_copy_to(n, numbers, 2, TP_INT64) || tp_copy_to(r, rates, 2, TP_FLOAT64))
        return tp_error_code();
    l->fit = (tp__fit){.epochs = numbers[0],
                       .trained = numbers[1] != 0,
                       .lr = rates[0],
                       .elapsed = rates[1],
                       .resumed = l->recorder.epochs.n < numbers[0]};
    l->progress.epochs = numbers[0];
    l->progress.epoch = l->recorder.epochs.n;
    l->progress.step = l->recorder.batches.n;
    return TP_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* part, which is freed, into d. */
static tp_status add(tp_dict *d, const char *prefix, tp_dict *part) {
    if (!part) return tp_error_code();
    const tp_status r = tp_dict_merge(d, prefix, part);
    tp_dict_free(part);
    return r;
}

/* The tensors of the model are its own, all others are copies. */
static tp_status gather(const tp_learner *l, tp_dict *d) {
    tp_status r = add(d, "model.", tp_state_dict(l->model));
    if (!r) r = add(d, "optim.", tp_optim_state(l->optim));
    if (!r) r = add(d, "rng.", tp_rng_state(NULL));
    if (!r) r = add(d, "loader.", tp_loader_state(l->train));
    if (!r) r = add(d, "recorder.", tp_recorder_state(l));
    if (!r) r = add(d, "fit.", fit_state(l));
    return r ? r : tp_dict_set_str(d, FORMAT, "1");
}

/* What stands in d under the prefix, without it. */
static tp_dict *part_of(const tp_dict *d, const char *prefix) {
    const size_t n = strlen(prefix);
    tp_dict *part = tp_dict_new();
    for (int64_t i = 0; part && i < tp_dict_len(d); i++) {
        const char *name = tp_dict_name(d, i);
        if (strncmp(name, prefix, n) || !tp_dict_set(part, name + n, tp_dict_at(d, i))) continue;
        tp_dict_free(part);
        part = NULL;
    }
    return part;
}

static tp_status set_model(tp_learner *l, const tp_dict *d) {
    return tp_load_state_dict(l->model, d);
}
static tp_status set_optim(tp_learner *l, const tp_dict *d) {
    return tp_optim_set_state(l->optim, d);
}
static tp_status set_rng(tp_learner *l, const tp_dict *d) {
    (void)l;
    return tp_rng_set_state(NULL, d);
}
static tp_status set_loader(tp_learner *l, const tp_dict *d) {
    return tp_loader_set_state(l->train, d);
}

static tp_status scatter(tp_learner *l, const tp_dict *d) {
    static const struct {
        const char *prefix;
        tp_status (*set)(tp_learner *l, const tp_dict *part);
    } parts[] = {{"model.", set_model},   {"optim.", set_optim},
                 {"loader.", set_loader}, {"recorder.", tp_recorder_set_state},
                 {"fit.", set_fit_state}, {"rng.", set_rng}};
    for (int i = 0; i < TP__COUNT(parts); i++) {
        tp_dict *part = part_of(d, parts[i].prefix);
        const tp_status r = part ? parts[i].set(l, part) : tp_error_code();
        tp_dict_free(part);
        if (r) return r;
    }
    return TP_OK;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static tp_dict *state(const tp_learner *l) {
    tp_dict *d = tp_dict_new();
    if (d && !gather(l, d)) return d;
    tp_dict_free(d);
    return NULL;
}

tp_dict *tp_learner_state(const tp_learner *l) {
    if (!l) return tp__error_null("learner_state"), NULL;
    if (l->running && !l->steady) {
        tp_error_set(TP_ESTATE, "learner_state: while a fit runs, only callbacks of an order above "
                                "50 can save, after_batch or after_epoch");
        return NULL;
    }
    const tp_scope scope = tp_scope_no_grad();
    if (!scope.depth) return NULL;
    tp_dict *d = state(l);
    tp_scope_end(scope);
    return d;
}

tp_status tp_learner_save(const tp_learner *l, const char *path) {
    if (!l || !path) return tp__error_null("learner_save");
    tp_dict *d = tp_learner_state(l);
    const tp_status r = d ? tp_save_safetensors(d, path) : tp_error_code();
    tp_dict_free(d);
    return r;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* The same names with tensors of their own. */
static tp_dict *copy_of(const tp_dict *d) {
    tp_dict *copy = tp_dict_new();
    for (int64_t i = 0; copy && i < tp_dict_len(d); i++) {
        if (!tp_dict_set(copy, tp_dict_name(d, i), tp__clone(tp_dict_at(d, i)))) continue;
        tp_dict_free(copy);
        copy = NULL;
    }
    return copy;
}

/* The learner's present state, for going back to it. */
static tp_dict *snapshot(const tp_learner *l) {
    tp_dict *d = state(l);
    tp_dict *copy = d ? copy_of(d) : NULL;
    tp_dict_free(d);
    return copy;
}

static void restore(tp_learner *l, const tp_dict *before, const tp__fit *fit,
                    const tp_progress *progress) {
    tp__error why;
    tp__error_take(&why);
    (void)scatter(l, before);
    l->fit = *fit;
    l->progress = *progress;
    tp__error_put(&why);
}

static tp_status load(tp_learner *l, const tp_dict *d) {
    const char *format = tp_dict_get_str(d, FORMAT);
    if (!format) return tp_error_set(TP_EFORMAT, "not a checkpoint of a learner");
    if (strcmp(format, "1"))
        return tp_error_set(TP_EFORMAT, "a checkpoint of format %.20s; this taper reads 1", format);
    const tp__fit fit = l->fit;
    const tp_progress progress = l->progress;
    tp_dict *before = snapshot(l);
    if (!before) return tp_error_code();
    const tp_status r = scatter(l, d);
    if (r) restore(l, before, &fit, &progress);
    tp_dict_free(before);
    return r;
}

tp_status tp_learner_set_state(tp_learner *l, const tp_dict *d) {
    if (!l || !d) return tp__error_null("learner_set_state");
    if (l->running) return tp_error_set(TP_ESTATE, "learner_set_state: a fit is running");
    const tp_scope scope = tp_scope_no_grad();
    const tp_status r = scope.depth ? load(l, d) : TP_ENOMEM;
    if (scope.depth) tp_scope_end(scope);
    return r;
}

tp_status tp_learner_load(tp_learner *l, const char *path) {
    if (!l || !path) return tp__error_null("learner_load");
    if (l->running) return tp_error_set(TP_ESTATE, "learner_load: a fit is running");
    tp_dict *d = tp_load_safetensors(path);
    const tp_status r = d ? tp_learner_set_state(l, d) : tp_error_code();
    if (d && r) tp_error_prefix("%s", path);
    tp_dict_free(d);
    return r;
}
