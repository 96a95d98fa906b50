/* nn_act.c -- layers without parameters: activations and flatten. Each is one op and two texts. */
#include "nn/nn.h"
#include "taper/ops.h"

typedef struct layer {
    tp_module_class c;
    const char *spec, *extra;
    tp_tensor *(*op)(tp_tensor *x);
} layer;

static tp_tensor *forward(void *self, tp_tensor *const *in, int n) {
    const layer *l = self;
    tp_tensor *x = tp__one_input(l->spec, in, n);
    return x ? l->op(x) : NULL;
}
static int extra(void *self, char *buf, size_t size) {
    return snprintf(buf, size, "%s", ((const layer *)self)->extra);
}
static int spec(void *self, char *buf, size_t size) {
    return snprintf(buf, size, "%s", ((const layer *)self)->spec);
}
static tp_tensor *flatten(tp_tensor *x) {
    return tp_flatten(x, 1, -1);
}

#define CLASS(torch) .name = torch, .forward = forward, .extra = extra, .spec = spec
static const layer relu = {{CLASS("ReLU")}, "relu", "", tp_relu};
static const layer sigmoid = {{CLASS("Sigmoid")}, "sigmoid", "", tp_sigmoid};
static const layer tanh_ = {{CLASS("Tanh")}, "tanh", "", tp_tanh};
static const layer flat = {{CLASS("Flatten")}, "flatten", "start_dim=1, end_dim=-1", flatten};

static tp_module *make(const layer *l) {
    return tp_module_new(&l->c, (void *)l);
}
tp_module *tp_nn_relu(void) {
    return make(&relu);
}
bool tp__is_relu(const tp_module *m) {
    return m->c == &relu.c;
}
tp_module *tp_nn_sigmoid(void) {
    return make(&sigmoid);
}
tp_module *tp_nn_tanh(void) {
    return make(&tanh_);
}
tp_module *tp_nn_flatten(void) {
    return make(&flat);
}
