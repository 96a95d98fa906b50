/* sgd.c -- stochastic gradient descent: p *= 1 - lr wd; v = mom v + g; p -= lr v. */
#include "optim/optim.h"

enum { LR, MOMENTUM, WEIGHT_DECAY };

static bool remembers(const double *value) {
    return value[MOMENTUM] != 0;
}

static void step(const tp__update *u) {
    tp__sgd_step(u->dtype, u->p, u->g, u->memory[0], u->n, u->lr, u->value[MOMENTUM],
                 u->value[WEIGHT_DECAY], u->t == 1);
}

static const tp__rule sgd = {
    .name = "sgd",
    .nsettings = 3,
    .setting = {{"lr", 0.001, false}, {"momentum", 0, true}, {"weight_decay", 0, false}},
    .nmemories = 1,
    .memory = {"momentum"},
    .remembers = remembers,
    .step = step,
};

static tp_optim *make(const tp_sgd_opts *opts) {
    tp_sgd_opts o;
    if (!tp__opts("sgd", &o, sizeof o, opts)) return NULL;
    return tp__optim_new(&sgd, (const double[]){o.lr, o.momentum, o.weight_decay});
}

tp_optim *tp_sgd(tp_module *m, const tp_sgd_opts *opts) {
    if (!m) return tp__error_null("sgd"), NULL;
    return tp__optim_with_module(make(opts), m);
}

tp_optim *tp_sgd_params(tp_tensor *const *param, int64_t n, const tp_sgd_opts *opts) {
    if (!param) return tp__error_null("sgd"), NULL;
    return tp__optim_with(make(opts), param, n);
}
