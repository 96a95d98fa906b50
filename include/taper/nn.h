/* taper/nn.h -- modules: layers, containers, your own; names, state_dict, architecture as text.
 *
 * A module owns its parameters, buffers and children. Parameter names are torch's ("0.weight"), so
 * state_dict goes both ways between taper and PyTorch. */
#ifndef TAPER_NN_H
#define TAPER_NN_H
#include "ops.h"
#ifdef __cplusplus
#include <initializer_list>
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tp_module tp_module;

/* m(x). Safe on many threads at once under tp_scope_no_grad(), if the module's class is. */
TP_API TP_SCOPED tp_tensor *tp_forward(tp_module *m, tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_forward_n(tp_module *m, tp_tensor *const *in, int n);
TP_API void tp_module_free(TP_TAKES tp_module *m);

/* ---- layers ---------------------------------------------------------------------------------- */

/* y = x @ w.T + b; w[out, in] and b[out] from U(-1/sqrt(in), 1/sqrt(in)), in torch's order. */
typedef struct tp_linear_opts {
    size_t size;
    bool no_bias;
    tp_rng *rng;    /* NULL: this thread's default generator */
    tp_dtype dtype; /* TP_FLOAT32 (0) or TP_FLOAT64 */
} tp_linear_opts;
TP_API TP_OWNED tp_module *tp_nn_linear(int64_t in, int64_t out, const tp_linear_opts *opts);
TP_API TP_OWNED tp_module *tp_nn_relu(void);
TP_API TP_OWNED tp_module *tp_nn_sigmoid(void);
TP_API TP_OWNED tp_module *tp_nn_tanh(void);
TP_API TP_OWNED tp_module *tp_nn_flatten(void); /* x[N, ...] -> [N, rest] */
/* One after the other. Takes the children; NULL among them frees the rest and fails quietly. */
TP_API TP_OWNED tp_module *tp_nn_sequential_n(TP_TAKES tp_module *const *child, int n);

/* ---- your own module ------------------------------------------------------------------------- */

typedef struct tp_module_class {
    const char *name; /* "Linear": torch's, for printing */
    tp_tensor *(*forward)(void *self, tp_tensor *const *in, int n);
    void (*free)(void *self); /* NULL: nothing to free */
    /* Optional. extra: the text between the brackets when printed, "in_features=784, bias=True".
     * spec: the module in the grammar of tp_module_parse, "linear(784,30)". Both as snprintf. */
    int (*extra)(void *self, char *buf, size_t size);
    int (*spec)(void *self, char *buf, size_t size);
} tp_module_class;

/* A module of class c (which must outlive it) around self, which it takes; a class that needs none
 * gets NULL. */
TP_API TP_OWNED tp_module *tp_module_new(const tp_module_class *c, TP_TAKES void *self);
TP_API TP_BORROWED void *tp_module_self(const tp_module *m);
/* m keeps x, under a name without dots that is new in m; a parameter requires a gradient from now
 * on. Returns x (borrowed), or NULL. */
TP_API TP_BORROWED tp_tensor *tp_module_add_param(tp_module *m, const char *name, tp_tensor *x);
TP_API TP_BORROWED tp_tensor *tp_module_add_buffer(tp_module *m, const char *name, tp_tensor *x);
TP_API TP_BORROWED tp_module *tp_module_add_child(tp_module *m, const char *name,
                                                  TP_TAKES tp_module *child);
TP_API void tp_module_train(tp_module *m, bool training); /* m and all below; new modules train */
TP_API bool tp_module_training(const tp_module *m);

/* ---- walking, states, text ------------------------------------------------------------------- */

/* Parameters of m and all below, in torch's order, i from 0; their full names ("0.weight"). */
TP_API int64_t tp_module_num_params(const tp_module *m); /* tensors */
TP_API int64_t tp_module_numel(const tp_module *m);      /* numbers: 23,581 */
TP_API TP_BORROWED tp_tensor *tp_module_param(const tp_module *m, int64_t i);
TP_API TP_BORROWED const char *tp_module_param_name(const tp_module *m, int64_t i);
TP_API void tp_module_zero_grad(tp_module *m);
/* Parameters and buffers by name; the tensors share storage with the module's. */
TP_API TP_OWNED tp_dict *tp_state_dict(const tp_module *m);
/* Copy the values in. Every name, shape and dtype must fit, none may be missing or left over
 * (strict=True); nothing is changed on failure. */
TP_API TP_MUST_CHECK tp_status tp_load_state_dict(tp_module *m, const tp_dict *state);
/* torch's print(m), as snprintf. */
TP_API int64_t tp_module_repr(const tp_module *m, char *buf, size_t size);
/* "linear(784,30) relu linear(30,1)", as snprintf; -1 if a part has no spec. And back: a text of
 * one layer is that layer, several are a sequential; "linear(5,3,nobias,float64)" and
 * "sequential(relu relu)" are layers too. Parameters are drawn from rng. EVALUE names the place. */
TP_API int64_t tp_module_spec(const tp_module *m, char *buf, size_t size);
TP_API TP_OWNED tp_module *tp_module_parse(const char *text, tp_rng *rng);

#ifdef __cplusplus
} /* extern "C" */
/* In braces the children are made from left to right, as their random numbers want it. */
inline tp_module *tp__sequential(std::initializer_list<tp_module *> child) {
    return tp_nn_sequential_n(child.begin(), static_cast<int>(child.size()));
}
inline tp_module *tp_nn_linear(int64_t in, int64_t out, tp_linear_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_nn_linear(in, out, &opts);
}
#endif

#ifndef TAPER_PLAIN
#define tp_module_new(...) TP__OBJECT(tp_module_new(__VA_ARGS__))
#define tp_module_add_param(...) TP__SITE(tp_module_add_param(__VA_ARGS__))
#define tp_module_add_buffer(...) TP__SITE(tp_module_add_buffer(__VA_ARGS__))
#define tp_module_add_child(...) TP__OBJECT(tp_module_add_child(__VA_ARGS__))
#define tp_module_param(...) TP__SITE(tp_module_param(__VA_ARGS__))
#define tp_state_dict(...) TP__OBJECT(tp_state_dict(__VA_ARGS__))
#define tp_load_state_dict(...) TP__STATUS(tp_load_state_dict(__VA_ARGS__))
#define tp_module_repr(...) TP__INT(tp_module_repr(__VA_ARGS__))
#define tp_module_spec(...) TP__INT(tp_module_spec(__VA_ARGS__))
#define tp_module_parse(...) TP__OBJECT(tp_module_parse(__VA_ARGS__))
#define tp_forward(...) TP__SITE(tp_forward(__VA_ARGS__))
#define tp_forward_n(...) TP__SITE(tp_forward_n(__VA_ARGS__))
#ifdef __cplusplus
#define tp_nn_linear(...) TP__OBJECT(tp_nn_linear(__VA_ARGS__))
#define tp_nn_sequential(...) TP__OBJECT(tp__sequential({__VA_ARGS__}))
#else
#define tp_nn_linear(...) TP__NN_LINEAR(__VA_ARGS__, .size = sizeof(tp_linear_opts))
#define TP__NN_LINEAR(in, out, ...) \
    TP__OBJECT(tp_nn_linear(in, out, &(tp_linear_opts){__VA_ARGS__}))
#define tp_nn_sequential(...)                                   \
    TP__OBJECT(tp_nn_sequential_n((tp_module *[]){__VA_ARGS__}, \
                                  (int)(sizeof((tp_module *[]){__VA_ARGS__}) / sizeof(void *))))
#endif
#endif
#endif
