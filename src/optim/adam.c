/* adam.c -- Adam with decoupled weight decay, as fastai computes it (optim.h has the formula). */
#include "optim/optim.h"

enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY };

static bool remembers(const double *value) {
    (void)value;
    return true;
}

static void step(const tp__update *u) {
    tp__adam_step(u->dtype, u->p, u->g, u->memory[0], u->memory[1], u->n, u->lr, u->value[BETA1],
                  u->value[BETA2], u->value[EPS], u->value[WEIGHT_DECAY], u->t);
}

static const tp__rule adam = {
    .name = "adam",
    .nsettings = 5,
    .setting = {{"lr", 0.001, false},
                {"beta1", 0.9, true},
                {"beta2", 0.99, true},
                {"eps", 1e-5, false},
                {"weight_decay", 0.01, false}},
    .nmemories = 2,
    .memory = {"exp_avg", "exp_avg_sq"},
    .remembers = remembers,
    .step = step,
};

static tp_optim *make(const tp_adam_opts *opts) {
    tp_adam_opts o;
    if (!tp__opts("adam", &o, sizeof o, opts)) return NULL;
    return tp__optim_new(&adam, (const double[]){o.lr, o.beta1, o.beta2, o.eps, o.weight_decay});
}

tp_optim *tp_adam(tp_module *m, const tp_adam_opts *opts) {
    if (!m) return tp__error_null("adam"), NULL;
    return tp__optim_with_module(make(opts), m);
}

tp_optim *tp_adam_params(tp_tensor *const *param, int64_t n, const tp_adam_opts *opts) {
    if (!param) return tp__error_null("adam"), NULL;
    return tp__optim_with(make(opts), param, n);
}
