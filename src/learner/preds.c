/* preds.c -- asking a trained learner: predictions of a loader's samples, of one sample; its
 * export.
 *
 * The model is asked in eval mode and without recording, and is left in the mode that it was in. */
#include "autograd/autograd.h"
#include "learner/learner.h"
#include "taper/ops.h"

/* The batches' results, until they are joined. */
typedef struct parts {
    tp_tensor **pred, **target;
    int64_t n, room;
} parts;

static tp_status ask_all(tp_learner *l, tp_loader *dl, parts *p) {
    tp_batch b;
    int more;
    while ((more = tp_loader_next(dl, &b)) > 0 && p->n < p->room) {
        p->pred[p->n] = tp_forward(l->model, b.x);
        p->target[p->n] = tp_clone(b.y); /* the loader's own is written again */
        if (!p->pred[p->n] || !p->target[p->n])
            return tp_error_prefix("batch %lld", (long long)p->n);
        p->n++;
    }
    return more < 0 ? (tp_status)more : TP_OK;
}

static tp_status get_preds(tp_learner *l, tp_loader *dl, tp_tensor **preds, tp_tensor **targets) {
    parts p = {.room = tp_loader_len(dl)};
    p.pred = tp__calloc(2 * (size_t)p.room, sizeof *p.pred);
    if (!p.pred) return TP_ENOMEM;
    p.target = p.pred + p.room;
    tp_loader_restart(dl);
    tp_status r = ask_all(l, dl, &p);
    if (!r && (!(*preds = tp_cat(p.pred, p.n, 0)) || !(*targets = tp_cat(p.target, p.n, 0))))
        r = tp_error_code();
    tp__mfree(p.pred);
    return r;
}

tp_status tp_learner_get_preds(tp_learner *l, tp_loader *dl, tp_tensor **preds,
                               tp_tensor **targets) {
    if (!l || !preds || !targets) return tp__error_null("get_preds");
    if (!dl) dl = l->valid;
    if (!dl) return tp_error_set(TP_EVALUE, "get_preds: the learner has no validation loader");
    if (l->running) return tp_error_set(TP_ESTATE, "get_preds: a fit of this learner is running");
    const bool training = tp_module_training(l->model);
    const tp_scope s = tp_scope_no_grad();
    if (!s.depth) return TP_ENOMEM;
    tp_module_train(l->model, false);
    const tp_status r = get_preds(l, dl, preds, targets);
    tp_module_train(l->model, training);
    if (!r) {
        *preds = tp_scope_escape(s, *preds);
        *targets = tp_scope_escape(s, *targets);
    }
    tp_scope_end(s);
    return r ? tp_error_prefix("get_preds") : TP_OK;
}

tp_tensor *tp_learner_predict(tp_learner *l, tp_tensor *x) {
    if (!l || !x) return tp__error_null("predict"), NULL;
    const bool training = tp_module_training(l->model);
    const tp_scope s = tp_scope_no_grad();
    if (!s.depth) return NULL;
    tp_module_train(l->model, false);
    tp_tensor *y = tp_forward(l->model, tp_unsqueeze(x, 0));
    tp_module_train(l->model, training);
    if (y) y = tp_select(y, 0, 0);
    if (y) y = tp_scope_escape(s, y);
    tp_scope_end(s);
    if (!y) tp_error_prefix("predict");
    return y;
}

tp_status tp_learner_export(const tp_learner *l, const char *path, const tp_model_opts *given) {
    if (!l || !path) return tp__error_null("export");
    tp_model_opts opts;
    if (!tp__opts("export", &opts, sizeof opts, given)) return tp_error_code();
    opts.size = sizeof opts;
    opts.module = l->model;
    tp_model *m = tp_model_new(&opts);
    const tp_status r = m ? tp_model_save(m, path) : tp_error_code();
    tp_model_free(m);
    return r ? tp_error_prefix("export") : TP_OK;
}
