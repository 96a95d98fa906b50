/* test_nn.c -- modules: PyTorch's first values, names and text; trees, states, threads.
 *
 * golden/modules.txt is what golden/modules.py printed; it is compared always, and where torch is
 * installed the script is run again. */
#define _POSIX_C_SOURCE 200809L
#include "modules.h"

#include <math.h>
#include <stdlib.h>

#include "taper/ops.h"

static tp_tensor *ramp(tp_shape shape) {
    int64_t n = 1;
    for (int d = 0; d < shape.ndim; d++) n *= shape.dim[d];
    return tp_sin(tp_view(tp_arange(1, (double)n + 1, 1, TP_FLOAT32), shape));
}

/* ---- against PyTorch ------------------------------------------------------------------------- */

static void names_of(const tp_dict *d, char *buf, size_t size) {
    buf[0] = '\0';
    for (int64_t i = 0; i < tp_dict_len(d); i++) {
        const size_t n = strlen(buf);
        snprintf(buf + n, size - n, "%s%s", i ? "," : "", tp_dict_name(d, i));
    }
}

/* One line of the golden file: "seed@spec@sha256@names@print". */
static void check_line(char *line) {
    char *field[5], *rest = line, names[512], text[1024], hex[65];
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < 5; i++) {
        field[i] = rest;
        rest += strcspn(rest, "@");
        if (*rest) *rest++ = '\0';
    }
    tp_manual_seed(strtoull(field[0], NULL, 10));
    tp_module *m = must_parse(field[1]);
    tp_dict *d = tp_state_dict(m);
    tpt_ok(tp_dict_sha256(d, hex));
    names_of(d, names, sizeof names);
    assert_true(tp_module_repr(m, text, sizeof text) < (int64_t)sizeof text);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = '~';
    if (strcmp(hex, field[2]) != 0)
        fail_msg("seed %s, %s: other values than torch's", field[0], field[1]);
    assert_string_equal(names, field[3]);
    assert_string_equal(text, field[4]);
    expect_spec(m, field[1]);
    tp_dict_free(d);
    tp_module_free(m);
}

static void same_as_torch(void **state) {
    (void)state;
    FILE *f = fopen(tpt_source("tests/golden/modules.txt"), "r");
    assert_non_null(f);
    char line[4096];
    int lines = 0;
    for (; fgets(line, sizeof line, f); lines++) check_line(line);
    assert_int_equal(lines, 48);
    fclose(f);
}

static void golden_is_torch(void **state) {
    (void)state;
    tpt_golden_is_live("tests/golden/modules.txt", "torch", "tests/golden/modules.py");
}

/* ---- layers ---------------------------------------------------------------------------------- */

static void linear_computes(void **state) {
    (void)state;
    tp_module *m = tp_nn_linear(5, 3, NULL);
    tp_tensor *x = ramp(TP_SHAPE(4, 5)), *w = tp_module_param(m, 0), *b = tp_module_param(m, 1);
    tp_tensor *y = tp_forward(m, x), *want = tp_add(tp_matmul(x, tp_T(w)), b);
    assert_true(tp_allclose(y, want, 1e-6, 1e-6));
    assert_true(tp_requires_grad(w) && tp_is_leaf(w) && tp_requires_grad(b));
    assert_int_equal(tp_module_numel(m), 18);
    tpt_ok(tp_backward(tp_sum(y)));
    assert_true(tp_allclose(tp_grad(b), tp_full(TP_SHAPE(3), 4, TP_FLOAT32), 0, 0));
    tp_module_zero_grad(m);
    assert_null(tp_grad(w));
    assert_null(tp_grad(b));
    tp_module_free(m);
}

static void linear_options(void **state) {
    (void)state;
    tp_rng *rng = tp_rng_new(42);
    const tp_linear_opts o = {.size = sizeof o, .no_bias = true, .rng = rng, .dtype = TP_FLOAT64};
    tp_module *a = tp_nn_linear(3, 2, &o);
    tp_manual_seed(42);
    tp_module *b = must_parse("linear(3,2,nobias,float64)");
    assert_int_equal(tp_module_num_params(a), 1);
    assert_int_equal(tp_dtype_of(tp_module_param(a, 0)), TP_FLOAT64);
    assert_true(tp_equal(tp_module_param(a, 0), tp_module_param(b, 0)));
    assert_int_equal(tp_rng_u32(rng), tp_rng_u32(NULL)); /* both drew as much, each from its own */
    tp_module_free(a);
    tp_module_free(b);
    tp_rng_free(rng);
}

/* A library that knows more options, or fewer, than the program. */
static void options_of_other_sizes(void **state) {
    (void)state;
    struct {
        tp_linear_opts known;
        double later;
    } longer = {{.size = sizeof longer, .no_bias = true}, 3};
    tp_module *m = tp_nn_linear(2, 2, &longer.known);
    assert_int_equal(tp_module_num_params(m), 1);
    tp_module_free(m);
    const tp_linear_opts shorter = {
        .size = offsetof(tp_linear_opts, dtype), .no_bias = true, .dtype = TP_BOOL};
    m = tp_nn_linear(2, 2, &shorter);
    assert_int_equal(tp_dtype_of(tp_module_param(m, 0)), TP_FLOAT32);
    tp_module_free(m);
    assert_null(tp_nn_linear(2, 2, &(tp_linear_opts){.no_bias = true}));
    tpt_expect_error(TP_EVALUE, "linear: .size is not set; it is the sizeof of the struct");
}

static void linear_refuses(void **state) {
    (void)state;
    assert_null(tp_nn_linear(0, 3, NULL));
    tpt_expect_error(TP_EVALUE, "linear: 0 inputs and 3 outputs; both must be at least 1");
    assert_null(tp_nn_linear(3, -1, NULL));
    tpt_expect_error(TP_EVALUE, "linear: 3 inputs and -1 outputs; both must be at least 1");
    assert_null(tp_nn_linear(INT64_MAX, INT64_MAX, NULL));
    tpt_expect_error(TP_ESHAPE, "linear: shape ...");
    assert_null(
        tp_nn_linear(3, 3, &(tp_linear_opts){.size = sizeof(tp_linear_opts), .dtype = TP_INT64}));
    tpt_expect_error(TP_EDTYPE, "linear: dtype must be float32 or float64");
}

static void forward_errors(void **state) {
    (void)state;
    tp_module *m = must_parse("linear(784,30) relu linear(30,1)");
    assert_null(tp_forward(m, tp_zeros(TP_SHAPE(2, 512), TP_FLOAT32)));
    tpt_expect_error(TP_ESHAPE, "linear: I is 512 in x [2, 512] but 784 in w [30, 784]");
    assert_null(tp_forward(m, NULL));
    tpt_expect_error(TP_ENULL, "forward: an argument is NULL");
    assert_null(tp_forward(NULL, tp_zeros(TP_SHAPE(2), TP_FLOAT32)));
    tpt_expect_error(TP_ENULL, "forward: an argument is NULL");
    tp_tensor *two[] = {tp_zeros(TP_SHAPE(1, 784), TP_FLOAT32), tp_zeros(TP_SHAPE(1), TP_FLOAT32)};
    assert_null(tp_forward_n(m, two, 2));
    tpt_expect_error(TP_EVALUE, "sequential: one input, not 2");
    assert_null(tp_forward(m, TP_NONE));
    tpt_expect_error(TP_EVALUE, "sequential: one input, not 0");
    two[1] = NULL;
    tp_error_set(TP_EUSER, "what went wrong before");
    assert_null(tp_forward_n(m, two, 2));
    tpt_expect_error(TP_EUSER, "what went wrong before");
    tp_module_free(m);
}

static void layers_without_parameters(void **state) {
    (void)state;
    tp_tensor *x = ramp(TP_SHAPE(2, 3, 4));
    struct {
        tp_module *m;
        tp_tensor *want;
    } layer[] = {{tp_nn_relu(), tp_relu(x)},
                 {tp_nn_sigmoid(), tp_sigmoid(x)},
                 {tp_nn_tanh(), tp_tanh(x)},
                 {tp_nn_flatten(), tp_view(x, TP_SHAPE(2, 12))}};
    for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
        assert_true(tp_equal(tp_forward(layer[i].m, x), layer[i].want));
        assert_int_equal(tp_module_num_params(layer[i].m), 0);
        tp_module_free(layer[i].m);
    }
}

static void sequential_runs_in_order(void **state) {
    (void)state;
    tp_module *in[] = {tp_nn_flatten(), tp_nn_linear(6, 4, NULL), tp_nn_relu(),
                       tp_nn_linear(4, 2, NULL)};
    tp_module *m = tp_nn_sequential_n(in, 4);
    tp_tensor *x = ramp(TP_SHAPE(5, 2, 3));
    tp_tensor *h = tp_relu(
        tp_linear(tp_view(x, TP_SHAPE(5, 6)), tp_module_param(m, 0), tp_module_param(m, 1)));
    tp_tensor *want = tp_linear(h, tp_module_param(m, 2), tp_module_param(m, 3));
    assert_true(tp_equal(tp_forward(m, x), want));
    tp_module_free(m);
    tp_module *empty = tp_nn_sequential_n(NULL, 0);
    assert_ptr_equal(tp_forward(empty, x), x);
    tp_module_free(empty);
}

static void same_tensor(tp_tensor *got, tp_tensor *want) {
    assert_true(tp__shape_equal(&got->s, &want->s) && got->dtype == want->dtype);
    tpt_same_bits(tp_data_ptr(got), tp_data_ptr(want),
                  (size_t)want->numel * tp_dtype_size((tp_dtype)want->dtype));
}

/* The gradients of a sum of squares in x and in the parameters of m; y is made of them. */
static void gradients(tp_module *m, tp_tensor *x, tp_tensor *y, tp_tensor *g[3]) {
    tpt_ok(tp_backward(tp_sum(tp_square(y))));
    for (int i = 0; i < 3; i++) {
        tp_tensor *p = i == 2 ? x : i < tp_module_num_params(m) ? tp_module_param(m, i) : NULL;
        g[i] = p ? tp_clone(tp_grad(p)) : NULL;
        if (p) tp_zero_grad(p);
    }
}

/* A linear layer and the relu behind it are one pass: the same bits and the same tape as two calls,
 * with nan, infinities and negative zeros on the way. */
static void relu_behind_linear_is_one_pass(void **state) {
    (void)state;
    static const char *const spec[] = {"linear(33,20) relu", "linear(33,1) relu",
                                       "linear(33,20,nobias) relu", "linear(33,20,float64) relu"};
    for (int s = 0; s < TP__COUNT(spec) * 2; s++) {
        const tp_scope scope = tp_scope_begin();
        tp_module *m = must_parse(spec[s / 2]);
        tp_tensor *w = tp_module_param(m, 0);
        tp_tensor *b = tp_module_num_params(m) > 1 ? tp_module_param(m, 1) : TP_NONE;
        tp_tensor *x = ramp(s % 2 ? TP_SHAPE(3, 7, 33) : TP_SHAPE(40, 33));
        tp_data_f32(x)[1] = NAN;
        tp_data_f32(x)[35] = INFINITY;
        for (int i = 0; i < 33; i++) tp_data_f32(x)[66 + i] = -0.0f;
        x = tp_requires_grad_(tp_to(x, tp_dtype_of(w)));
        const int64_t before = tp__tape_length();
        tp_tensor *one = tp_forward(m, x);
        const int64_t calls = tp__tape_length() - before;
        tp_tensor *two = tp_relu(tp_linear(x, w, b)), *g[2][3];
        assert_int_equal(calls, 2);
        same_tensor(one, two);
        assert_string_equal(tp_grad_fn(one), "ReluBackward0");
        assert_string_equal(one->node->call.in[0]->grad_fn, two->node->call.in[0]->grad_fn);
        assert_ptr_equal(one->node->call.in[0]->st, one->st); /* there is no pass between them */
        gradients(m, x, one, g[0]);
        gradients(m, x, two, g[1]);
        for (int i = 0; i < 3; i++)
            if (g[0][i]) same_tensor(g[0][i], g[1][i]);
        tp_module_free(m);
        tp_scope_end(scope);
    }
}

/* Unless somebody looks for the first NaN: then each has a result of its own. */
static void a_traced_relu_is_a_pass_of_its_own(void **state) {
    (void)state;
    tp_module *m = must_parse("linear(3,2) relu");
    tp_set_detect_anomaly(true);
    tp_tensor *y = tp_forward(m, ramp(TP_SHAPE(4, 3)));
    tp_set_detect_anomaly(false);
    assert_ptr_not_equal(y->node->call.in[0]->st, y->st);
    tp_module_free(m);
}

/* ---- a user's class, counted ----------------------------------------------------------------- */

typedef struct scale {
    int frees, forwards;
    tp_tensor *factor;
} scale;

static tp_tensor *scale_forward(void *self, tp_tensor *const *in, int n) {
    scale *s = self;
    s->forwards++;
    if (n == 3) return NULL; /* a mistake: no result, no error */
    return n == 2 ? tp_mul(tp_add(in[0], in[1]), s->factor) : tp_mul(in[0], s->factor);
}
static void scale_free(void *self) {
    ((scale *)self)->frees++;
}
static int scale_extra(void *self, char *buf, size_t size) {
    (void)self;
    return snprintf(buf, size, "by=2\nand=3");
}
static int no_text(void *self, char *buf, size_t size) {
    (void)self, (void)buf, (void)size;
    return -1;
}
static const tp_module_class scale_class = {"Scale", scale_forward, scale_free, scale_extra, NULL};
static const tp_module_class mute_class = {"Mute", scale_forward, NULL, no_text, no_text};

static tp_module *scale_new(scale *s) {
    tp_module *m = tp_module_new(&scale_class, s);
    s->factor = tp_module_add_param(m, "factor", tp_floats(TP_SHAPE(1), 2));
    assert_non_null(s->factor);
    return m;
}

static void own_class(void **state) {
    (void)state;
    scale s = {0};
    tp_module *m = scale_new(&s);
    assert_ptr_equal(tp_module_self(m), &s);
    tp_tensor *x = tp_floats(TP_SHAPE(2), 1, 2), *two[] = {x, x}, *three[] = {x, x, x};
    assert_true(tp_equal(tp_forward(m, x), tp_floats(TP_SHAPE(2), 2, 4)));
    assert_true(tp_equal(tp_forward_n(m, two, 2), tp_floats(TP_SHAPE(2), 4, 8)));
    assert_null(tp_forward_n(m, three, 3));
    tpt_expect_error(TP_EUSER, "Scale: its forward gave no tensor and no error");
    assert_int_equal(s.forwards, 3);
    tp_module *net = tp_nn_sequential_n((tp_module *[]){m, tp_nn_relu()}, 2);
    char text[128];
    tp_module_repr(net, text, sizeof text);
    assert_string_equal(text,
                        "Sequential(\n  (0): Scale(\n    by=2\n    and=3\n  )\n  (1): ReLU()\n)");
    assert_int_equal(tp_module_spec(net, text, sizeof text), -1);
    tpt_expect_error(TP_EVALUE, "module_spec: a Scale has no text (its class has no spec)");
    assert_int_equal(s.frees, 0);
    tp_module_free(net);
    assert_int_equal(s.frees, 1);
}

static void class_that_says_nothing(void **state) {
    (void)state;
    tp_module *m = tp_module_new(&mute_class, NULL);
    assert_int_equal(tp_module_repr(m, NULL, 0), -1);
    tpt_expect_error(TP_EUSER, "module_repr: Mute: the class gave no text and no error");
    assert_int_equal(tp_module_spec(m, NULL, 0), -1);
    tpt_expect_error(TP_EUSER, "module_spec: Mute: the class gave no text and no error");
    tp_module_free(m);
    scale s = {0};
    const tp_module_class bad = {.name = "Bad", .free = scale_free};
    assert_null(tp_module_new(&bad, &s));
    tpt_expect_error(TP_EVALUE, "module_new: the class 'Bad' needs a name and a forward");
    assert_int_equal(s.frees, 1); /* taken also on failure */
    assert_null(tp_module_new(NULL, &s));
    tpt_expect_error(TP_ENULL, "module_new: an argument is NULL");
}

/* ---- trees and names ------------------------------------------------------------------------- */

/* A class that only holds others. */
static tp_tensor *holder_forward(void *self, tp_tensor *const *in, int n) {
    (void)self, (void)n;
    return in[0];
}
static const tp_module_class holder_class = {.name = "Holder", .forward = holder_forward};

static tp_module *holder(void) {
    tp_module *m = tp_module_new(&holder_class, NULL);
    assert_non_null(m);
    return m;
}
static tp_tensor *add_param(tp_module *m, const char *name) {
    tp_tensor *x = tp_module_add_param(m, name, tp_zeros(TP_SHAPE(2), TP_FLOAT32));
    assert_non_null(x);
    return x;
}
static void expect_names(const tp_module *m, const char *want) {
    char got[512];
    tp_dict *d = tp_state_dict(m);
    names_of(d, got, sizeof got);
    assert_string_equal(got, want);
    tp_dict_free(d);
}

static void names_from_every_module(void **state) {
    (void)state;
    tp_module *net = holder(), *body = holder(), *block = holder();
    add_param(block, "w");
    const char *early = tp_module_param_name(block, 0);
    assert_non_null(tp_module_add_buffer(block, "mean", tp_zeros(TP_SHAPE(2), TP_INT64)));
    assert_ptr_equal(tp_module_add_child(body, "2", block), block);
    add_param(body, "scale"); /* its own come first, whenever they were added */
    add_param(block, "late");
    assert_non_null(tp_module_add_child(net, "body", body));
    add_param(block, "later");
    assert_non_null(tp_module_add_child(body, "act", tp_nn_relu()));
    add_param(net, "top");
    expect_names(net, "top,body.scale,body.2.w,body.2.late,body.2.later,body.2.mean");
    expect_names(body, "scale,2.w,2.late,2.later,2.mean");
    expect_names(block, "w,late,later,mean");
    assert_int_equal(tp_module_num_params(net), 5);
    assert_int_equal(tp_module_numel(net), 10);
    assert_string_equal(tp_module_param_name(net, 4), "body.2.later");
    assert_string_equal(tp_module_param_name(body, 1), "2.w");
    assert_string_equal(early, "w"); /* what was handed out stays */
    assert_ptr_equal(tp_module_param(block, 2), tp_module_param(net, 4));
    tp_module_free(net);
}

static void no_such_parameter(void **state) {
    (void)state;
    tp_module *m = must_parse("linear(2,3)");
    assert_null(tp_module_param(m, 2));
    tpt_expect_error(TP_EINDEX, "module_param: there is no parameter 2, the module has 2");
    assert_null(tp_module_param_name(m, -1));
    tpt_expect_error(TP_EINDEX, "module_param_name: there is no parameter -1, the module has 2");
    tp_module_free(m);
    assert_null(tp_module_param(NULL, 0));
    assert_int_equal(tp_module_num_params(NULL), -1);
    assert_int_equal(tp_module_numel(NULL), -1);
    tpt_expect_error(TP_ENULL, "module_param: an argument is NULL");
}

/* One tensor under two names is one parameter, and two entries of the state, as in torch. */
static void tied_weights(void **state) {
    (void)state;
    tp_module *net = holder(), *a = holder(), *b = holder();
    tp_tensor *w = add_param(a, "w");
    add_param(b, "own");
    assert_non_null(tp_module_add_param(b, "w", w));
    assert_int_equal(tp_module_num_params(b), 2);
    tp_module_add_child(net, "a", a);
    tp_module_add_child(net, "b", b);
    assert_int_equal(tp_module_num_params(net), 2);
    assert_int_equal(tp_module_numel(net), 4);
    assert_string_equal(tp_module_param_name(net, 0), "a.w");
    assert_string_equal(tp_module_param_name(net, 1), "b.own");
    assert_ptr_equal(tp_module_param(b, 1), w);
    expect_names(net, "a.w,b.own,b.w");
    tp_module_free(net);
}

static void names_are_checked(void **state) {
    (void)state;
    tp_module *m = holder();
    tp_tensor *x = tp_zeros(TP_SHAPE(2), TP_FLOAT32);
    add_param(m, "w");
    assert_null(tp_module_add_param(m, "w", x));
    tpt_expect_error(TP_EVALUE, "add_param: the name 'w' is taken");
    assert_null(tp_module_add_buffer(m, "w", x));
    tpt_expect_error(TP_EVALUE, "add_buffer: the name 'w' is taken");
    assert_null(tp_module_add_child(m, "w", tp_nn_relu()));
    tpt_expect_error(TP_EVALUE, "add_child: the name 'w' is taken");
    assert_null(tp_module_add_param(m, "a.b", x));
    tpt_expect_error(TP_EVALUE, "add_param: the name 'a.b' is more than one part");
    assert_null(tp_module_add_child(m, "", tp_nn_relu()));
    tpt_expect_error(TP_EVALUE, "add_child: the name '' is empty");
    assert_null(tp_module_add_param(m, NULL, x));
    tpt_expect_error(TP_ENULL, "add_param: an argument is NULL");
    assert_false(tp_requires_grad(x));
    assert_int_equal(tp_module_num_params(m), 1);
    tp_module_free(m);
}

static void parameters_are_checked(void **state) {
    (void)state;
    tp_module *m = holder();
    assert_null(tp_module_add_param(m, "n", tp_zeros(TP_SHAPE(2), TP_INT64)));
    tpt_expect_error(TP_EDTYPE, "add_param: 'n' is int64; a parameter is float32 or float64");
    assert_null(tp_module_add_param(m, "none", TP_NONE));
    tpt_expect_error(TP_EVALUE, "add_param: 'none' is TP_NONE");
    tp_tensor *leaf = tp_requires_grad_(tp_zeros(TP_SHAPE(2), TP_FLOAT32)), *y = tp_exp(leaf);
    assert_null(tp_module_add_param(m, "y", y));
    tpt_expect_error(TP_EGRAD,
                     "add_param: 'y' has a history (grad_fn=<ExpBackward0>); give a leaf, ...");
    assert_non_null(tp_module_add_param(m, "y", tp_detach(y)));
    tp_module_free(m);
}

static void a_child_has_one_parent(void **state) {
    (void)state;
    tp_module *a = holder(), *b = holder(), *child = tp_nn_relu();
    assert_non_null(tp_module_add_child(a, "x", child));
    assert_null(tp_module_add_child(b, "x", child));
    tpt_expect_error(TP_ESTATE, "add_child: the module for 'x' has a place in a module already");
    assert_non_null(tp_module_add_child(a, "b", b));
    assert_null(tp_module_add_child(b, "a", a));
    tpt_expect_error(TP_ESTATE, "add_child: the module for 'a' would contain itself");
    tp_module_free(child);
    tpt_expect_error(TP_ESTATE, "module_free: 'x' belongs to another module, which frees it");
    assert_null(tp_module_add_child(NULL, "x", tp_nn_relu())); /* freed */
    tpt_expect_error(TP_ENULL, "add_child: an argument is NULL");
    tp_module_free(a);
}

static void sequential_takes_its_children(void **state) {
    (void)state;
    scale s = {0}, t = {0};
    tp_error_set(TP_EUSER, "the layer before failed");
    assert_null(tp_nn_sequential_n((tp_module *[]){tp_nn_relu(), NULL, NULL}, 3));
    tpt_expect_error(TP_EUSER, "the layer before failed");
    tp_module *one = scale_new(&s);
    assert_null(tp_nn_sequential_n((tp_module *[]){one, NULL, one}, 3));
    tpt_expect_error(TP_ENULL, "sequential: an argument is NULL");
    assert_int_equal(s.frees, 1);
    tp_module *two = scale_new(&t);
    assert_null(tp_nn_sequential_n((tp_module *[]){two, two, tp_nn_relu()}, 3));
    tpt_expect_error(TP_ESTATE, "add_child: the module for '1' has a place in a module already");
    assert_int_equal(t.frees, 1);
    assert_null(tp_nn_sequential_n(NULL, -1));
    tpt_expect_error(TP_EVALUE, "sequential: -1 modules");
}

static void training_walks(void **state) {
    (void)state;
    tp_module *m = must_parse("relu sequential(relu sequential(relu))");
    const tp_module *deep = m->child[1]->child[1]->child[0];
    assert_true(tp_module_training(m) && tp_module_training(deep));
    tp_module_train(m, false);
    assert_false(tp_module_training(m) || tp_module_training(deep));
    tp_module_train(m->child[1], true);
    assert_true(!tp_module_training(m) && tp_module_training(deep));
    tp_module_free(m);
    tp_module_train(NULL, true);
    assert_false(tp_module_training(NULL));
}

/* ---- states ---------------------------------------------------------------------------------- */

static void state_goes_round(void **state) {
    (void)state;
    tp_module *a = must_parse("linear(4,3) relu linear(3,2)"),
              *b = must_parse("linear(4,3) relu linear(3,2)");
    tp_module_add_buffer(a->child[0], "seen", tp_ints(TP_SHAPE(2), 7, 8));
    tp_module_add_buffer(b->child[0], "seen", tp_ints(TP_SHAPE(2), 0, 0));
    tp_dict *d = tp_state_dict(a);
    assert_true(tp_shares_storage(tp_dict_get(d, "2.bias"), tp_module_param(a, 3)));
    assert_false(tp_requires_grad(tp_dict_get(d, "2.bias")));
    tpt_ok(tp_load_state_dict(b, d));
    for (int64_t i = 0; i < 4; i++) {
        assert_true(tp_equal(tp_module_param(a, i), tp_module_param(b, i)));
        assert_false(tp_shares_storage(tp_module_param(a, i), tp_module_param(b, i)));
        assert_true(tp_requires_grad(tp_module_param(b, i)));
    }
    assert_true(tp_equal(b->child[0]->buffer.at[0].x, tp_ints(TP_SHAPE(2), 7, 8)));
    tpt_ok(tp_load_state_dict(a, d)); /* its own */
    tp_module_free(a);
    assert_true(
        tp_equal(tp_dict_get(d, "0.weight"), tp_module_param(b, 0))); /* outlives the module */
    tp_dict_free(d);
    tp_module_free(b);
}

/* A transposed source, and a destination that is itself a view. */
static void states_may_be_strided(void **state) {
    (void)state;
    tp_module *m = holder();
    tp_tensor *base = tp_zeros(TP_SHAPE(3, 2), TP_FLOAT32);
    assert_non_null(tp_module_add_param(m, "w", tp_T(base)));
    tp_dict *d = tp_dict_new();
    tp_tensor *want = ramp(TP_SHAPE(2, 3));
    tpt_ok(tp_dict_set(d, "w", tp_T(tp_contiguous(tp_T(want)))));
    tpt_ok(tp_load_state_dict(m, d));
    assert_true(tp_equal(tp_module_param(m, 0), want));
    assert_true(tp_equal(base, tp_T(want)));
    tp_dict_free(d);
    tp_module_free(m);
}

/* Loading `other` into a copy of the module fails with this text, and changes nothing. */
static void expect_refused(const tp_dict *other, tp_status code, const char *text) {
    tp_module *m = must_parse("linear(4,3) relu linear(3,2)");
    tp_dict *before = tp_state_dict(m);
    char was[65], is[65];
    tpt_ok(tp_dict_sha256(before, was));
    assert_int_equal(tp_load_state_dict(m, other), code);
    tpt_expect_error(code, text);
    tpt_ok(tp_dict_sha256(before, is));
    assert_string_equal(was, is);
    tp_dict_free(before);
    tp_module_free(m);
}

static void bad_states_are_refused(void **state) {
    (void)state;
    tp_module *m = must_parse("linear(4,3) relu linear(3,2)");
    tp_dict *d = tp_dict_new();
    tp_dict *all = tp_state_dict(m);
    for (int64_t i = 0; i < 3; i++)
        tpt_ok(tp_dict_set(d, tp_dict_name(all, i), tp_dict_at(all, i)));
    expect_refused(d, TP_EVALUE, "load_state_dict: missing '2.bias'");
    tpt_ok(tp_dict_set(d, "2.bias", tp_zeros(TP_SHAPE(1), TP_FLOAT32)));
    expect_refused(d, TP_ESHAPE, "load_state_dict: '2.bias' is [2] here but [1] in the state");
    tpt_ok(tp_dict_set(d, "2.bias", tp_zeros(TP_SHAPE(2), TP_FLOAT64)));
    expect_refused(d, TP_EDTYPE,
                   "load_state_dict: '2.bias' is float32 here but float64 in the state");
    tpt_ok(tp_dict_set(d, "2.bias", tp_dict_get(all, "2.bias")));
    tpt_ok(tp_dict_set(d, "fc.weight", tp_zeros(TP_SHAPE(1), TP_FLOAT32)));
    expect_refused(d, TP_EVALUE, "load_state_dict: unexpected 'fc.weight'");
    tp_dict_free(d);
    d = tp_dict_new();
    expect_refused(d, TP_EVALUE, "load_state_dict: missing '0.weight'");
    tp_dict_free(d);
    tp_dict_free(all);
    tp_module_free(m);
    assert_int_equal(tp_load_state_dict(NULL, NULL), TP_ENULL);
    assert_null(tp_state_dict(NULL));
    tpt_expect_error(TP_ENULL, "load_state_dict: an argument is NULL");
}

/* A tape that saved the old weights notices. */
static void loading_is_seen_by_the_tape(void **state) {
    (void)state;
    tp_module *m = must_parse("linear(4,3)");
    tp_dict *d = tp_state_dict(m);
    tp_tensor *x = tp_requires_grad_(ramp(TP_SHAPE(2, 4)));
    tp_tensor *loss = tp_sum(tp_forward(m, x));
    tpt_ok(tp_load_state_dict(m, d));
    assert_int_equal(tp_backward(loss), TP_EGRAD);
    tp_error_clear();
    tp_dict_free(d);
    tp_module_free(m);
}

/* ---- no memory, many threads ----------------------------------------------------------------- */

/* Everything that asks for memory, from text to gradients, in a thread that has asked for none. */
static tp_status life(void *unused) {
    (void)unused;
    tp_thread_end();
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return tp_error_code();
    tp_module *a = tp_module_parse("linear(4,3) relu sequential(linear(3,2,nobias) sigmoid)", NULL);
    tp_module *parts[] = {tp_nn_flatten(), tp_nn_linear(4, 2, NULL), tp_nn_tanh()};
    tp_module *b = tp_nn_sequential_n(parts, 3), *both = tp_module_new(&holder_class, NULL);
    bool ok = tp_module_add_buffer(both, "seen", tp_zeros(TP_SHAPE(2), TP_INT64));
    ok &= tp_module_add_child(both, "a", a) != NULL; /* taken, whatever happens */
    ok &= tp_module_add_child(both, "b", b) != NULL;
    tp_dict *d = ok ? tp_state_dict(both) : NULL;
    ok = d && !tp_load_state_dict(both, d);
    tp_dict_free(d);
    char text[256];
    ok = ok && tp_module_repr(both, text, sizeof text) > 0 &&
         tp_module_spec(a, text, sizeof text) > 0;
    tp_tensor *y = ok ? tp_forward(b, tp_zeros(TP_SHAPE(3, 2, 2), TP_FLOAT32)) : NULL;
    ok = y && !tp_backward(tp_sum(y));
    tp_module_free(both);
    tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_true(tpt_fail_each_allocation(life, NULL) > 60);
}

/* Batches large enough that the threads also compete for the pool's tiles. */
enum { THREADS = 8, ROUNDS = 20, BATCH = 48, IN = 6, OUT = 2 };

typedef struct predictor {
    tp_module *m;
    float x[BATCH * IN], y[BATCH * OUT]; /* what to ask, what the answer must be */
    bool ok;
} predictor;

static bool ask(const predictor *p, float *y) {
    tp_tensor *x = tp_from(p->x, TP_SHAPE(BATCH, IN), TP_FLOAT32);
    return !tp_copy_to(tp_forward(p->m, x), y, BATCH * OUT, TP_FLOAT32);
}

static void predict(void *ctx) {
    predictor *p = ctx;
    p->ok = true;
    for (int i = 0; i < ROUNDS; i++) {
        const tp_scope s = tp_scope_no_grad();
        float y[BATCH * OUT] = {0};
        p->ok &= ask(p, y) && !memcmp(y, p->y, sizeof y);
        tp_scope_end(s);
    }
    tp_thread_end();
}

static void eight_threads_share_a_module(void **state) {
    (void)state;
    static predictor p[THREADS];
    tp_module *m = must_parse("linear(6,128) relu linear(128,96) sigmoid "
                              "sequential(linear(96,8) tanh) linear(8,2)");
    tp__thread *t[THREADS];
    tpt_ok(tp_set_num_threads(4));
    const tp_scope s = tp_scope_no_grad();
    for (int i = 0; i < THREADS; i++) {
        p[i].m = m;
        for (int k = 0; k < BATCH * IN; k++) p[i].x[k] = (float)sin(i * 100 + k);
        assert_true(ask(&p[i], p[i].y));
    }
    tp_scope_end(s);
    const int32_t refs = tp_module_param(m, 0)->refs;
    for (int i = 0; i < THREADS; i++) assert_non_null(t[i] = tp__thread_start(predict, &p[i]));
    for (int i = 0; i < THREADS; i++) tp__thread_join(t[i]);
    for (int i = 0; i < THREADS; i++) assert_true(p[i].ok);
    assert_int_equal(tp_module_param(m, 0)->refs, refs);
    tpt_ok(tp_set_num_threads(0));
    tp_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(same_as_torch),
        TPT(golden_is_torch),
        TPT(linear_computes),
        TPT(linear_options),
        TPT(options_of_other_sizes),
        TPT(linear_refuses),
        TPT(forward_errors),
        TPT(layers_without_parameters),
        TPT(sequential_runs_in_order),
        TPT(relu_behind_linear_is_one_pass),
        TPT(a_traced_relu_is_a_pass_of_its_own),
        TPT(own_class),
        TPT(class_that_says_nothing),
        TPT(names_from_every_module),
        TPT(no_such_parameter),
        TPT(tied_weights),
        TPT(names_are_checked),
        TPT(parameters_are_checked),
        TPT(a_child_has_one_parent),
        TPT(sequential_takes_its_children),
        TPT(training_walks),
        TPT(state_goes_round),
        TPT(states_may_be_strided),
        TPT(bad_states_are_refused),
        TPT(loading_is_seen_by_the_tape),
        TPT(every_allocation_may_fail),
        TPT(eight_threads_share_a_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
