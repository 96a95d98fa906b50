/* taper/optim.h -- optimizers: parameter groups, one fused pass per step, state as named tensors.
 *
 * fastai's arithmetic (decoupled weight decay, momentum without dampening). Options are structs
 * whose zero means the default, written tp_sgd(net, .lr = 0.1); TP_ZERO says a literal zero. */
#ifndef TAPER_OPTIM_H
#define TAPER_OPTIM_H
#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TP_ZERO 4.9406564584124654e-324 /* a literal 0 where the default is another number */

typedef struct tp_optim tp_optim;

/* p *= 1 - lr wd; with momentum v = mom v + g and p -= lr v, else p -= lr g. */
typedef struct tp_sgd_opts {
    size_t size;
    double lr;           /* 0.001 */
    double momentum;     /* 0 */
    double weight_decay; /* 0 */
} tp_sgd_opts;

/* p *= 1 - lr wd; m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; p -= lr / (1 - b1^t) * m /
 * (sqrt(s / (1 - b2^t)) + eps). Kingma and Ba 2014; Loshchilov and Hutter 2017. */
typedef struct tp_adam_opts {
    size_t size;
    double lr;           /* 0.001 */
    double beta1, beta2; /* 0.9, 0.99: fastai's */
    double eps;          /* 1e-5 */
    double weight_decay; /* 0.01 */
} tp_adam_opts;

/* Optimize every parameter of m, which must outlive the optimizer. */
TP_API TP_OWNED tp_optim *tp_sgd(tp_module *m, const tp_sgd_opts *opts);
TP_API TP_OWNED tp_optim *tp_adam(tp_module *m, const tp_adam_opts *opts);
/* Optimize n tensors of your own (kept): leaves that require a gradient. */
TP_API TP_OWNED tp_optim *tp_sgd_params(tp_tensor *const *param, int64_t n,
                                        const tp_sgd_opts *opts);
TP_API TP_OWNED tp_optim *tp_adam_params(tp_tensor *const *param, int64_t n,
                                         const tp_adam_opts *opts);
/* A further group, with its learning rate `lr_mult` times the optimizer's (0 freezes it). Group 0
 * is the first. Returns its number, or -1. */
TP_API int tp_optim_add_group(tp_optim *opt, tp_tensor *const *param, int64_t n, double lr_mult);
TP_API void tp_optim_free(TP_TAKES tp_optim *opt);

/* One step from the .grad of each parameter; one without .grad is left as it is. */
TP_API TP_MUST_CHECK tp_status tp_optim_step(tp_optim *opt);
TP_API void tp_optim_zero_grad(tp_optim *opt); /* .grad = None */

TP_API double tp_optim_lr(const tp_optim *opt);
/* EVALUE unless finite and at least 0. */
TP_API TP_MUST_CHECK tp_status tp_optim_set_lr(tp_optim *opt, double lr);
/* SGD's momentum, Adam's beta1. */
TP_API double tp_optim_momentum(const tp_optim *opt);
TP_API TP_MUST_CHECK tp_status tp_optim_set_momentum(tp_optim *opt, double momentum);
TP_API const char *tp_optim_name(const tp_optim *opt); /* "sgd", "adam" */

/* Everything a step depends on beside the parameters, as named tensors, copied; and back. */
TP_API TP_OWNED tp_dict *tp_optim_state(const tp_optim *opt);
TP_API TP_MUST_CHECK tp_status tp_optim_set_state(tp_optim *opt, const tp_dict *state);

/* ---- schedules: position in [0, 1] -> value -------------------------------------------------- */

/* start + pos (end - start); start + (1 + cos(pi (1 - pos))) (end - start) / 2; and
 * start (end / start)^pos. */
TP_API double tp_sched_lin(double start, double end, double pos);
TP_API double tp_sched_cos(double start, double end, double pos);
TP_API double tp_sched_exp(double start, double end, double pos);

#ifdef __cplusplus
} /* extern "C" */
inline tp_optim *tp_sgd(tp_module *m, tp_sgd_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_sgd(m, &opts);
}
inline tp_optim *tp_adam(tp_module *m, tp_adam_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_adam(m, &opts);
}
inline tp_optim *tp_sgd_params(tp_tensor *const *param, int64_t n, tp_sgd_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_sgd_params(param, n, &opts);
}
inline tp_optim *tp_adam_params(tp_tensor *const *param, int64_t n, tp_adam_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_adam_params(param, n, &opts);
}
#endif

#ifndef TAPER_PLAIN
#define tp_optim_add_group(...) ((int)TP__INT(tp_optim_add_group(__VA_ARGS__)))
#define tp_optim_set_lr(...) TP__STATUS(tp_optim_set_lr(__VA_ARGS__))
#define tp_optim_set_momentum(...) TP__STATUS(tp_optim_set_momentum(__VA_ARGS__))
#define tp_optim_state(...) TP__OBJECT(tp_optim_state(__VA_ARGS__))
#define tp_optim_set_state(...) TP__STATUS(tp_optim_set_state(__VA_ARGS__))
#define tp_optim_step(...) TP__STATUS(tp_optim_step(__VA_ARGS__))
#ifdef __cplusplus
#define tp_sgd(...) TP__OBJECT(tp_sgd(__VA_ARGS__))
#define tp_adam(...) TP__OBJECT(tp_adam(__VA_ARGS__))
#define tp_sgd_params(...) TP__OBJECT(tp_sgd_params(__VA_ARGS__))
#define tp_adam_params(...) TP__OBJECT(tp_adam_params(__VA_ARGS__))
#else
#define tp_sgd(...) TP__SGD(__VA_ARGS__, .size = sizeof(tp_sgd_opts))
#define TP__SGD(m, ...) TP__OBJECT(tp_sgd(m, &(tp_sgd_opts){__VA_ARGS__}))
#define tp_adam(...) TP__ADAM(__VA_ARGS__, .size = sizeof(tp_adam_opts))
#define TP__ADAM(m, ...) TP__OBJECT(tp_adam(m, &(tp_adam_opts){__VA_ARGS__}))
#define tp_sgd_params(...) TP__SGD_P(__VA_ARGS__, .size = sizeof(tp_sgd_opts))
#define TP__SGD_P(p, n, ...) TP__OBJECT(tp_sgd_params(p, n, &(tp_sgd_opts){__VA_ARGS__}))
#define tp_adam_params(...) TP__ADAM_P(__VA_ARGS__, .size = sizeof(tp_adam_opts))
#define TP__ADAM_P(p, n, ...) TP__OBJECT(tp_adam_params(p, n, &(tp_adam_opts){__VA_ARGS__}))
#endif
#endif
#endif
