/* own_module.c -- a module of your own: the parabola a t^2 + b t + c, fitted to noisy measurements.
 *
 * A class says how to compute; the module owns its parameters and gives them names, so that
 * optimizers, state_dict and printing work as with the library's own layers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <taper.h>

typedef struct parabola {
    tp_tensor *a, *b, *c; /* belong to the module */
} parabola;

static tp_tensor *forward(void *self, tp_tensor *const *in, int n) {
    const parabola *p = self;
    if (n != 1) return tp_error_set(TP_EVALUE, "parabola: one input, not %d", n), NULL;
    tp_tensor *t = in[0];
    return tp_add(tp_add(tp_mul(p->a, tp_square(t)), tp_mul(p->b, t)), p->c);
}

/* What stands between the brackets when the module is printed. */
static int extra(void *self, char *buf, size_t size) {
    (void)self;
    return snprintf(buf, size, "a t^2 + b t + c");
}

static const tp_module_class parabola_class = {
    .name = "Parabola", .forward = forward, .free = free, .extra = extra};

/* The module takes p, also when it cannot be made. */
static tp_module *parabola_new(void) {
    parabola *p = calloc(1, sizeof *p);
    tp_module *m = p ? tp_module_new(&parabola_class, p) : NULL;
    if (!m) return NULL;
    tp_scope s = tp_scope_begin(); /* so that only the module holds them afterwards */
    p->a = tp_module_add_param(m, "a", tp_randn(TP_SHAPE(1), TP_FLOAT32, NULL));
    p->b = tp_module_add_param(m, "b", tp_randn(TP_SHAPE(1), TP_FLOAT32, NULL));
    p->c = tp_module_add_param(m, "c", tp_randn(TP_SHAPE(1), TP_FLOAT32, NULL));
    tp_scope_end(s);
    if (p->a && p->b && p->c) return m;
    tp_module_free(m);
    return NULL;
}

/* One step of training; the loss before it, or NaN. */
static double step(tp_module *m, tp_optim *opt, tp_tensor *t, tp_tensor *speed) {
    tp_scope s = tp_scope_begin();
    tp_tensor *loss = tp_mse_loss(tp_forward(m, t), speed);
    double value = tp_item(loss);
    tp_module_zero_grad(m);
    if (tp_backward(loss) || tp_optim_step(opt)) value = NAN;
    tp_scope_end(s);
    return value;
}

int main(void) {
    tp_manual_seed(42);
    /* The speed of a roller coaster, measured once a second: fast, slow over the hump, fast
     * again. */
    tp_tensor *t = tp_div(tp_sub(tp_arange(0, 20, 1, TP_FLOAT32), 9.5), 10);
    tp_tensor *noise = tp_mul(tp_randn(TP_SHAPE(20), TP_FLOAT32, NULL), 3);
    tp_tensor *speed = tp_keep(tp_add(tp_add(tp_mul(tp_square(t), 75), 1), noise));

    tp_module *m = parabola_new();
    tp_optim *opt =
        tp_adam(m, .lr = 1, .weight_decay = TP_ZERO); /* a plain 0 would mean the default */
    char text[64];
    if (!opt || tp_module_repr(m, text, sizeof text) < 0) return tp_perror("own_module");
    printf("%s\n", text);
    for (int i = 0; i <= 600; i++) {
        double loss = step(m, opt, t, speed);
        if (isnan(loss)) return tp_perror("own_module");
        if (i % 100 == 0) printf("step %3d  loss %8.3f\n", i, loss);
    }
    for (int64_t i = 0; i < tp_module_num_params(m); i++)
        printf("%s = %.3f\n", tp_module_param_name(m, i), tp_item(tp_module_param(m, i)));

    tp_optim_free(opt);
    tp_module_free(m);
    tp_free(speed);
    return 0;
}
