/* test_optim.c -- optimizers: fastai's arithmetic step by step, groups, states, and a steady loop.
 *
 * golden/steps.txt is what golden/steps.py printed; it is compared always, and where torch is
 * installed the script is run again. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optim/optim.h"
#include "taper/ops.h"

/* ---- against PyTorch ------------------------------------------------------------------------- */

enum { PARAMS = 3, STEPS = 100, NUMBERS = 15 + 7 + 1, SGD = 0, ADAM };
static const tp_shape shapes[PARAMS] = {{2, {3, 5}}, {1, {7}}, {0, {0}}};

/* A case of golden/steps.py. */
typedef struct golden_case {
    const char *name;
    int rule;
    tp_dtype dtype;
    tp_sgd_opts sgd;
    tp_adam_opts adam;
    double mult; /* of the third parameter, which has a group of its own then */
    bool cycle, gaps;
} golden_case;

#define SGD_OPTS(...) \
    { .size = sizeof(tp_sgd_opts), __VA_ARGS__ }
#define ADAM_OPTS(...) \
    { .size = sizeof(tp_adam_opts), __VA_ARGS__ }
static const golden_case cases[] = {
    {.name = "sgd", .sgd = SGD_OPTS(.lr = 0.1)},
    {.name = "sgd_wd", .sgd = SGD_OPTS(.lr = 0.1, .weight_decay = 0.3)},
    {.name = "sgd_mom", .sgd = SGD_OPTS(.lr = 0.01, .momentum = 0.9)},
    {.name = "sgd_mom_wd", .sgd = SGD_OPTS(.lr = 0.01, .momentum = 0.9, .weight_decay = 0.1)},
    {.name = "sgd_f64",
     .dtype = TP_FLOAT64,
     .sgd = SGD_OPTS(.lr = 0.01, .momentum = 0.9, .weight_decay = 0.1)},
    {.name = "sgd_group", .sgd = SGD_OPTS(.lr = 0.1, .momentum = 0.5), .mult = 0.01},
    {.name = "adam", .rule = ADAM, .adam = ADAM_OPTS(.lr = 0)},
    {.name = "adam_torch",
     .rule = ADAM,
     .adam = ADAM_OPTS(.lr = 0.01, .beta2 = 0.999, .eps = 1e-8, .weight_decay = TP_ZERO)},
    {.name = "adam_f64",
     .rule = ADAM,
     .dtype = TP_FLOAT64,
     .adam = ADAM_OPTS(.lr = 0.01, .weight_decay = 0.1)},
    {.name = "adam_cycle", .rule = ADAM, .adam = ADAM_OPTS(.lr = 0.05), .cycle = true},
    {.name = "adam_gaps", .rule = ADAM, .adam = ADAM_OPTS(.lr = 0.01), .gaps = true},
};

typedef struct run {
    const golden_case *c;
    tp_tensor *p[PARAMS]; /* kept */
    tp_optim *opt;
    int steps;
} run;

static tp_tensor *draw(int i, tp_dtype dtype) {
    return tp_sub(tp_rand(shapes[i], dtype, NULL), tp_num(0.5));
}

static tp_optim *optim_of(const golden_case *c, tp_tensor *const *p) {
    const bool groups = c->mult > 0;
    const int64_t n = groups ? PARAMS - 1 : PARAMS;
    tp_optim *o = c->rule == ADAM ? tp_adam_params(p, n, &c->adam) : tp_sgd_params(p, n, &c->sgd);
    assert_non_null(o);
    if (groups) assert_int_equal(tp_optim_add_group(o, p + n, 1, c->mult), 1);
    return o;
}

static run run_begin(const char *name) {
    run r = {.c = NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(cases[i].name, name)) r.c = &cases[i];
    if (!r.c) fail_msg("no case %s", name);
    tp_manual_seed(7);
    for (int i = 0; i < PARAMS; i++) r.p[i] = tp_keep(tp_requires_grad_(draw(i, r.c->dtype)));
    r.opt = optim_of(r.c, r.p);
    return r;
}

static void run_end(run *r) {
    tp_optim_free(r->opt);
    for (int i = 0; i < PARAMS; i++) tp_free(r->p[i]);
}

static double one_cycle(double start, double mid, double end, int step) {
    return step < 25 ? tp_sched_cos(start, mid, step / 25.0)
                     : tp_sched_cos(mid, end, (step - 25) / 75.0);
}

static void run_step(run *r) {
    const tp_scope s = tp_scope_begin();
    if (r->c->cycle) {
        tpt_ok(tp_optim_set_lr(r->opt, one_cycle(0.05 / 25, 0.05, 0.05 / 1e5, r->steps)));
        tpt_ok(tp_optim_set_momentum(r->opt, one_cycle(0.95, 0.85, 0.95, r->steps)));
    }
    for (int i = 0; i < PARAMS; i++) {
        tp_tensor *g = draw(i, r->c->dtype);
        if (!(r->c->gaps && i == 1 && r->steps % 3 == 2)) tpt_ok(tp_set_grad(r->p[i], g));
    }
    tpt_ok(tp_optim_step(r->opt));
    tp_optim_zero_grad(r->opt);
    tpt_ok(tp_scope_end(s));
    r->steps++;
}

static void numbers_of(const run *r, double *v) {
    for (int i = 0; i < PARAMS; v += tp_numel(r->p[i++]))
        tpt_ok(tp_copy_to(r->p[i], v, tp_numel(r->p[i]), TP_FLOAT64));
}

static double from_hex(const char *s, tp_dtype dtype) {
    const uint64_t bits = strtoull(s, NULL, 16);
    const uint32_t low = (uint32_t)bits;
    double d;
    float f;
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &low, sizeof f);
    return dtype == TP_FLOAT64 ? d : (double)f;
}

/* How far apart two numbers are, in units of the last place of numbers near 0.5: parameters cross
 * zero, where their own last places say nothing. */
static double distance(double a, double b, tp_dtype dtype) {
    return fabs(a - b) / (dtype == TP_FLOAT64 ? 0x1p-53 : 0x1p-24);
}

static void same_as_torch(void **state) {
    (void)state;
    FILE *f = fopen(tpt_source("tests/golden/steps.txt"), "r");
    assert_non_null(f);
    char text[1024];
    run r = {.c = NULL};
    int lines = 0;
    for (; fgets(text, sizeof text, f); lines++) {
        char *save, *name = strtok_r(text, " \n", &save);
        const int step = atoi(strtok_r(NULL, " \n", &save));
        if (!r.c || strcmp(name, r.c->name) != 0) {
            if (r.c) run_end(&r);
            r = run_begin(name);
        }
        while (r.steps < step) run_step(&r);
        double got[NUMBERS];
        numbers_of(&r, got);
        for (int i = 0; i < NUMBERS; i++) {
            const double want = from_hex(strtok_r(NULL, " \n", &save), r.c->dtype);
            const double off = distance(got[i], want, r.c->dtype);
            const double allowed = r.c->dtype == TP_FLOAT64 ? 2 : 0; /* 1 - b^t is not libm's pow */
            if (off > allowed)
                fail_msg("%s, step %d, [%d]: %.17g, torch has %.17g", name, step, i, got[i], want);
        }
    }
    run_end(&r);
    assert_int_equal(lines, 66);
    fclose(f);
}

static void golden_is_torch(void **state) {
    (void)state;
    tpt_golden_is_live("tests/golden/steps.txt", "torch", "tests/golden/steps.py");
}

/* ---- settings -------------------------------------------------------------------------------- */

static tp_tensor *leaf(tp_shape shape, double value) {
    return tp_requires_grad_(tp_full(shape, value, TP_FLOAT32));
}
static tp_tensor *grads(tp_tensor *x, double value) {
    tpt_ok(tp_set_grad(x, tp_full(tp_shape_of(x), value, tp_dtype_of(x))));
    return x;
}

static void defaults(void **state) {
    (void)state;
    tp_tensor *x = leaf(TP_SHAPE(2), 1);
    tp_optim *sgd = tp_sgd_params(&x, 1, NULL), *adam = tp_adam_params(&x, 1, NULL);
    assert_string_equal(tp_optim_name(sgd), "sgd");
    assert_string_equal(tp_optim_name(adam), "adam");
    assert_true(tp_optim_lr(sgd) == 0.001 && tp_optim_momentum(sgd) == 0);
    assert_true(tp_optim_lr(adam) == 0.001 && tp_optim_momentum(adam) == 0.9);
    tp_dict *d = tp_optim_state(adam);
    assert_true(tp_item(tp_dict_get(d, "beta2")) == 0.99);
    assert_true(tp_item(tp_dict_get(d, "eps")) == 1e-5);
    assert_true(tp_item(tp_dict_get(d, "weight_decay")) == 0.01);
    tp_dict_free(d);
    tp_optim_free(sgd);
    tp_optim_free(adam);
}

static void a_literal_zero(void **state) {
    (void)state;
    tp_tensor *x = grads(leaf(TP_SHAPE(2), 1), 5);
    for (int flush = 0; flush < 2; flush++) {
        (void)tp_set_flush_denormal(flush);
        tp_optim *opt = tp_sgd_params(&x, 1, &(tp_sgd_opts)SGD_OPTS(.lr = TP_ZERO));
        (void)tp_set_flush_denormal(false);
        assert_true(tp_optim_lr(opt) == 0);
        tpt_ok(tp_optim_step(opt));
        assert_true(tp_item(tp_select(x, 0, 0)) == 1);
        tp_optim_free(opt);
    }
}

static void settings_are_checked(void **state) {
    (void)state;
    tp_tensor *x = leaf(TP_SHAPE(2), 1);
    assert_null(tp_sgd_params(&x, 1, &(tp_sgd_opts)SGD_OPTS(.lr = -1)));
    tpt_expect_error(TP_EVALUE, "sgd: lr is -1; it must be finite and at least 0");
    assert_null(tp_sgd_params(&x, 1, &(tp_sgd_opts)SGD_OPTS(.momentum = 1)));
    tpt_expect_error(TP_EVALUE, "sgd: momentum is 1; it must be at least 0 and below 1");
    assert_null(tp_adam_params(&x, 1, &(tp_adam_opts)ADAM_OPTS(.beta2 = 2)));
    tpt_expect_error(TP_EVALUE, "adam: beta2 is 2; it must be at least 0 and below 1");
    assert_null(tp_adam_params(&x, 1, &(tp_adam_opts)ADAM_OPTS(.eps = INFINITY)));
    tpt_expect_error(TP_EVALUE, "adam: eps is inf; it must be finite and at least 0");
    assert_null(tp_adam_params(&x, 1, &(tp_adam_opts){.lr = 1}));
    tpt_expect_error(TP_EVALUE, "adam: .size is not set; it is the sizeof of the struct");
    tp_optim *opt = tp_sgd_params(&x, 1, NULL);
    assert_int_equal(tp_optim_set_lr(opt, NAN), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "optim_set_lr: lr is nan; it must be finite and at least 0");
    assert_int_equal(tp_optim_set_momentum(opt, -0.1), TP_EVALUE);
    tpt_expect_error(TP_EVALUE,
                     "optim_set_momentum: momentum is -0.1; it must be at least 0 and below 1");
    assert_true(tp_optim_lr(opt) == 0.001 && tp_optim_momentum(opt) == 0);
    tp_optim_free(opt);
}

static void null_is_quiet(void **state) {
    (void)state;
    assert_null(tp_sgd(NULL, NULL));
    assert_null(tp_adam(NULL, NULL));
    assert_null(tp_sgd_params(NULL, 1, NULL));
    assert_true(isnan(tp_optim_lr(NULL)) && isnan(tp_optim_momentum(NULL)));
    assert_null(tp_optim_name(NULL));
    assert_null(tp_optim_state(NULL));
    assert_int_equal(tp_optim_step(NULL), TP_ENULL);
    assert_int_equal(tp_optim_set_lr(NULL, 1), TP_ENULL);
    assert_int_equal(tp_optim_set_state(NULL, NULL), TP_ENULL);
    assert_int_equal(tp_optim_add_group(NULL, NULL, 1, 1), -1);
    tp_optim_zero_grad(NULL);
    tp_optim_free(NULL);
    tpt_expect_error(TP_ENULL, "sgd: an argument is NULL"); /* the first; the others came from it */
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void parameters_are_checked(void **state) {
    (void)state;
    tp_tensor *x = leaf(TP_SHAPE(2), 1), *plain = tp_ones(TP_SHAPE(2), TP_FLOAT32);
    assert_null(tp_sgd_params((tp_tensor *[]){x, plain}, 2, NULL));
    tpt_expect_error(TP_EVALUE, "sgd: tensor 1 does not require a gradient");
    assert_null(tp_sgd_params((tp_tensor *[]){tp_exp(x)}, 1, NULL));
    tpt_expect_error(TP_EVALUE, "sgd: tensor 0 is the result of an op, not a leaf");
    assert_null(tp_adam_params((tp_tensor *[]){x, x}, 2, NULL));
    tpt_expect_error(TP_EVALUE, "adam: tensor 1 is in the optimizer already");
    assert_null(tp_sgd_params((tp_tensor *[]){x, NULL}, 2, NULL));
    tpt_expect_error(TP_ENULL, "sgd: an argument is NULL");
    assert_null(tp_sgd_params((tp_tensor *[]){TP_NONE}, 1, NULL));
    tpt_expect_error(TP_EVALUE, "sgd: tensor 0 is TP_NONE");
    assert_null(tp_sgd_params(&x, 0, NULL));
    tpt_expect_error(TP_EVALUE, "sgd: a group of 0 tensors");
    tp_module *m = tp_nn_relu();
    assert_null(tp_adam(m, NULL));
    tpt_expect_error(TP_EVALUE, "adam: the module has no parameters");
    tp_module_free(m);
}

static void groups(void **state) {
    (void)state;
    tp_tensor *a = grads(leaf(TP_SHAPE(2), 1), 1), *b = grads(leaf(TP_SHAPE(2), 1), 1);
    tp_tensor *c = grads(leaf(TP_SHAPE(2), 1), 1);
    tp_optim *opt = tp_sgd_params(&a, 1, &(tp_sgd_opts)SGD_OPTS(.lr = 0.5));
    assert_int_equal(tp_optim_add_group(opt, &b, 1, 0.5), 1);
    assert_int_equal(tp_optim_add_group(opt, &c, 1, 0), 2); /* frozen */
    assert_int_equal(tp_optim_add_group(opt, &b, 1, 1), -1);
    tpt_expect_error(TP_EVALUE, "sgd: tensor 0 is in the optimizer already");
    assert_int_equal(tp_optim_add_group(opt, &b, 1, -1), -1);
    tpt_expect_error(TP_EVALUE, "sgd: lr_mult is -1; it must be finite and at least 0");
    tpt_ok(tp_optim_step(opt));
    assert_true(tp_equal(a, tp_full(TP_SHAPE(2), 0.5, TP_FLOAT32)));
    assert_true(tp_equal(b, tp_full(TP_SHAPE(2), 0.75, TP_FLOAT32)));
    assert_true(tp_equal(c, tp_ones(TP_SHAPE(2), TP_FLOAT32)));
    tp_optim_zero_grad(opt);
    assert_null(tp_grad(a));
    assert_null(tp_grad(b));
    tp_optim_free(opt);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void a_strided_parameter(void **state) {
    (void)state;
    tp_tensor *base = tp_view(tp_arange(0, 6, 1, TP_FLOAT32), TP_SHAPE(3, 2)),
              *x = tp_requires_grad_(tp_T(base));
    tp_tensor *dense = tp_requires_grad_(tp_clone(tp_detach(x)));
    tp_optim *opt =
        tp_adam_params((tp_tensor *[]){x, dense}, 2, &(tp_adam_opts)ADAM_OPTS(.lr = 0.1));
    for (int i = 0; i < 3; i++) {
        const tp_scope s = tp_scope_begin();
        tp_tensor *g = tp_view(tp_arange(1, 7, 1, TP_FLOAT32), TP_SHAPE(3, 2));
        tpt_ok(tp_set_grad(x, tp_T(g)));
        tpt_ok(tp_set_grad(dense, tp_T(g)));
        tpt_ok(tp_optim_step(opt));
        tp_scope_end(s);
    }
    assert_true(tp_equal(x, dense));
    assert_true(tp_equal(tp_T(base), tp_detach(dense)));
    assert_true(tp_item(tp_at(base, "2, 1")) < 5);
    tp_optim_free(opt);
}

static void a_step_happens_as_a_whole(void **state) {
    (void)state;
    tp_tensor *a = grads(leaf(TP_SHAPE(2), 1), 1), *b = leaf(TP_SHAPE(3), 1);
    tp_optim *opt = tp_sgd_params((tp_tensor *[]){a, b}, 2, NULL);
    b->grad = tp__ref(tp_ones(TP_SHAPE(4), TP_FLOAT32)); /* tp_set_grad would refuse it */
    assert_int_equal(tp_optim_step(opt), TP_ESHAPE);
    tpt_expect_error(TP_ESHAPE, "sgd: parameter 1 is float32 [3] but its gradient float32 [4]");
    assert_true(tp_equal(a, tp_ones(TP_SHAPE(2), TP_FLOAT32)));
    tp_optim_zero_grad(opt);
    tp_tensor *wide = tp_requires_grad_(tp_expand(tp_ones(TP_SHAPE(1), TP_FLOAT32), TP_SHAPE(3)));
    assert_int_equal(tp_optim_add_group(opt, &wide, 1, 1), 1);
    grads(a, 1);
    grads(wide, 1);
    assert_int_equal(tp_optim_step(opt), TP_EVALUE);
    tpt_expect_error(TP_EVALUE,
                     "sgd: elements of this expanded tensor share memory; clone it first");
    assert_true(tp_equal(a, tp_ones(TP_SHAPE(2), TP_FLOAT32)));
    tp_optim_free(opt);
}

static void a_step_is_seen_by_the_tape(void **state) {
    (void)state;
    tp_tensor *x = leaf(TP_SHAPE(2), 1), *loss = tp_sum(tp_mul(x, x));
    grads(x, 1);
    tp_optim *opt = tp_sgd_params(&x, 1, NULL);
    tpt_ok(tp_optim_step(opt));
    assert_int_equal(tp_backward(loss), TP_EGRAD);
    tp_error_clear();
    assert_true(tp_is_leaf(x) && tp_requires_grad(x));
    tp_optim_free(opt);
}

/* Momentum that goes to 0 and comes back: the average goes on, as in fastai. */
static void momentum_comes_and_goes(void **state) {
    (void)state;
    tp_tensor *x = leaf(TP_SHAPE(1), 0);
    tp_optim *opt = tp_sgd_params(&x, 1, &(tp_sgd_opts)SGD_OPTS(.lr = 1));
    const double momentum[] = {0, 0.5, 0.5, 0, 0.5}, g[] = {1, 2, 4, 8, 16};
    double want = 0, v = 0;
    for (int i = 0; i < 5; i++) {
        v = i ? momentum[i] * v + g[i] : 0; /* at the first step there is no average yet */
        want -= i ? v : g[i];
        tpt_ok(tp_optim_set_momentum(opt, momentum[i]));
        tpt_ok(tp_optim_step((grads(x, g[i]), opt)));
        assert_true(tp_item(x) == want);
    }
    tp_optim_free(opt);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void names_of(const tp_dict *d, char *buf, size_t size) {
    buf[0] = '\0';
    for (int64_t i = 0; i < tp_dict_len(d); i++) {
        const size_t n = strlen(buf);
        snprintf(buf + n, size - n, "%s%s", i ? " " : "", tp_dict_name(d, i));
    }
}

static void names_in_a_state(void **state) {
    (void)state;
    char names[512];
    run r = run_begin("sgd_mom");
    tp_dict *d = tp_optim_state(r.opt);
    names_of(d, names, sizeof names);
    assert_string_equal(names, "lr momentum weight_decay group0.lr_mult");
    tp_dict_free(d);
    run_step(&r);
    d = tp_optim_state(r.opt);
    names_of(d, names, sizeof names);
    assert_string_equal(
        names, "lr momentum weight_decay group0.lr_mult 0.step 0.momentum 1.step 1.momentum "
               "2.step 2.momentum");
    tp_dict_free(d);
    run_end(&r);
    r = run_begin("adam_gaps");
    for (int i = 0; i < 3; i++) run_step(&r);
    d = tp_optim_state(r.opt);
    names_of(d, names, sizeof names);
    assert_string_equal(
        names, "lr beta1 beta2 eps weight_decay group0.lr_mult 0.step 0.exp_avg 0.exp_avg_sq "
               "1.step 1.exp_avg 1.exp_avg_sq 2.step 2.exp_avg 2.exp_avg_sq");
    assert_int_equal(tp_item_int(tp_dict_get(d, "0.step")), 3);
    assert_int_equal(tp_item_int(tp_dict_get(d, "1.step")), 2);
    tp_dict_free(d);
    run_end(&r);
}

/* Stop after 40 steps, give parameters and state to a fresh optimizer, go on: the same bits as
 * without. */
static void goes_on_with_the_same_bits(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double whole[NUMBERS], parts[NUMBERS];
        run a = run_begin(cases[k].name);
        while (a.steps < STEPS) run_step(&a);
        numbers_of(&a, whole);
        run_end(&a);

        run b = run_begin(cases[k].name);
        while (b.steps < 40) run_step(&b);
        tp_dict *d = tp_optim_state(b.opt);
        tp_optim_free(b.opt);
        const golden_case other = {.rule = b.c->rule,
                                   .sgd = SGD_OPTS(.lr = 7),
                                   .adam = ADAM_OPTS(.lr = 7),
                                   .mult = 7 * b.c->mult};
        b.opt = optim_of(&other, b.p);
        tpt_ok(tp_optim_set_state(b.opt, d));
        tp_dict_free(d);
        while (b.steps < STEPS) run_step(&b);
        numbers_of(&b, parts);
        tpt_same_bits(parts, whole, sizeof whole);
        run_end(&b);
    }
}

/* A state is a copy: steps after it do not change it. */
static void a_state_stays(void **state) {
    (void)state;
    run r = run_begin("adam");
    run_step(&r);
    char before[65], after[65];
    tp_dict *d = tp_optim_state(r.opt);
    tpt_ok(tp_dict_sha256(d, before));
    run_step(&r);
    tpt_ok(tp_dict_sha256(d, after));
    assert_string_equal(before, after);
    tpt_ok(tp_optim_set_state(r.opt, d));
    run_step(&r);
    tpt_ok(tp_dict_sha256(d, after));
    assert_string_equal(before, after);
    tp_dict_free(d);
    run_end(&r);
}

/* Setting a state in which `name` is x instead (NULL: left out) fails with the text and changes
 * nothing. */
static void expect_refused(run *r, const tp_dict *good, const char *name, tp_tensor *x,
                           tp_status code, const char *text) {
    tp_dict *d = tp_dict_new(), *now = tp_optim_state(r->opt);
    char before[65], after[65];
    tpt_ok(tp_dict_sha256(now, before));
    tp_dict_free(now);
    for (int64_t i = 0; i < tp_dict_len(good); i++)
        if (strcmp(tp_dict_name(good, i), name) != 0)
            tpt_ok(tp_dict_set(d, tp_dict_name(good, i), tp_dict_at(good, i)));
    if (x) tpt_ok(tp_dict_set(d, name, x));
    assert_int_equal(tp_optim_set_state(r->opt, d), code);
    tpt_expect_error(code, text);
    tp_dict_free(d);
    now = tp_optim_state(r->opt);
    tpt_ok(tp_dict_sha256(now, after));
    assert_string_equal(before, after);
    tp_dict_free(now);
}

static void bad_states_are_refused(void **state) {
    (void)state;
    run r = run_begin("adam"), sgd = run_begin("sgd");
    run_step(&r);
    tp_dict *good = tp_optim_state(r.opt);
    run_step(&r);
    expect_refused(&r, good, "beta2", NULL, TP_EVALUE, "optim_set_state: missing 'beta2'");
    expect_refused(&r, good, "1.exp_avg", NULL, TP_EVALUE, "optim_set_state: missing '1.exp_avg'");
    expect_refused(&r, good, "2.step", NULL, TP_EVALUE, "optim_set_state: unexpected '2.exp_avg'");
    expect_refused(&r, good, "3.step", tp_scalar(1, TP_INT64), TP_EVALUE,
                   "optim_set_state: unexpected '3.step'");
    expect_refused(&r, good, "group1.lr_mult", tp_scalar(1, TP_FLOAT64), TP_EVALUE,
                   "optim_set_state: unexpected 'group1.lr_mult'");
    expect_refused(&r, good, "0.exp_avg_sq", tp_zeros(TP_SHAPE(5, 3), TP_FLOAT32), TP_ESHAPE,
                   "optim_set_state: '0.exp_avg_sq' is [3, 5] here but [5, 3] in the state");
    expect_refused(&r, good, "0.exp_avg", tp_zeros(TP_SHAPE(3, 5), TP_FLOAT64), TP_EDTYPE,
                   "optim_set_state: '0.exp_avg' is float32 here but float64 in the state");
    expect_refused(&r, good, "lr", tp_scalar(-1, TP_FLOAT64), TP_EVALUE,
                   "optim_set_state: lr is -1; it must be finite and at least 0");
    expect_refused(&r, good, "beta1", tp_scalar(1, TP_FLOAT64), TP_EVALUE,
                   "optim_set_state: beta1 is 1; it must be at least 0 and below 1");
    expect_refused(&r, good, "group0.lr_mult", tp_scalar(NAN, TP_FLOAT64), TP_EVALUE,
                   "optim_set_state: group0.lr_mult is nan; it must be finite and at least 0");
    expect_refused(&r, good, "0.step", tp_scalar(0, TP_INT64), TP_EVALUE,
                   "optim_set_state: '0.step' is below 1");
    expect_refused(&r, good, "0.step", tp_scalar(1, TP_FLOAT32), TP_EDTYPE,
                   "optim_set_state: '0.step' is int64 here but float32 in the state");
    expect_refused(&sgd, good, "", NULL, TP_EVALUE, "optim_set_state: missing 'momentum'");
    tp_dict_free(good);
    run_end(&r);
    run_end(&sgd);
}

/* ---- no memory, steady loop ------------------------------------------------------------------ */

static tp_status life(void *unused) {
    (void)unused;
    tp_thread_end(); /* so that its first requests are among those that fail */
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return tp_error_code();
    tp_module *m = tp_module_parse("linear(4,3) relu linear(3,2)", NULL);
    tp_optim *a = tp_adam(m, NULL), *b = tp_adam(m, NULL);
    bool ok = a && b && !tp_backward(tp_sum(tp_forward(m, tp_ones(TP_SHAPE(3, 4), TP_FLOAT32))));
    ok = ok && !tp_optim_step(a);
    tp_dict *d = ok ? tp_optim_state(a) : NULL;
    ok = d && !tp_optim_set_state(b, d) && !tp_optim_step(b);
    tp_tensor *x = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    ok = ok && tp_optim_add_group(b, &x, 1, 1) == 1;
    tp_dict_free(d);
    tp_optim_free(a);
    tp_optim_free(b);
    tp_module_free(m);
    tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_true(tpt_fail_each_allocation(life, NULL) > 100);
}

/* A step that ran out of memory changed nothing, and the next one is the first. */
static bool first_step_fails(int n) {
    run r = run_begin("adam_torch");
    double before[NUMBERS], after[NUMBERS];
    numbers_of(&r, before);
    for (int i = 0; i < PARAMS; i++) grads(r.p[i], 0.25);
    tp__alloc_fail_at(n);
    const tp_status status = tp_optim_step(r.opt);
    const bool failed = tp__alloc_failed();
    tp__alloc_fail_at(0);
    if (failed) {
        assert_int_equal(status, TP_ENOMEM);
        tpt_expect_error(TP_ENOMEM, "out of memory...");
        numbers_of(&r, after);
        tpt_same_bits(after, before, sizeof before);
        tpt_ok(tp_optim_step(r.opt));
    }
    numbers_of(&r, after); /* Adam's first step is of length lr */
    for (int i = 0; i < NUMBERS; i++) assert_true(fabs(after[i] - (before[i] - 0.01)) < 1e-6);
    run_end(&r);
    return failed;
}

static void no_memory_for_a_step(void **state) {
    (void)state;
    int n = 1;
    while (first_step_fails(n)) n++;
    assert_true(n > 2 * PARAMS); /* a block for each thing that Adam remembers */
}

static void train(tp_module *m, tp_optim *opt, int steps) {
    for (int i = 0; i < steps; i++) {
        const tp_scope s = tp_scope_begin();
        tp_tensor *x = tp_rand(TP_SHAPE(64, 20), TP_FLOAT32, NULL);
        tp_tensor *y = tp_sum_dim(x, TP_DIMS(1), TP_KEEPDIM);
        tpt_ok(tp_backward(tp_mse_loss(tp_forward(m, x), y)));
        tpt_ok(tp_optim_step(opt));
        tp_optim_zero_grad(opt);
        tpt_ok(tp_scope_end(s));
    }
}

static void a_steady_loop(void **state) {
    (void)state;
    tp_manual_seed(1);
    tp_module *m = tp_module_parse("linear(20,32) relu linear(32,1)", NULL);
    tp_optim *opt = tp_adam(m, &(tp_adam_opts)ADAM_OPTS(.lr = 0.01));
    train(m, opt, 10);
    const tp_memory early = tp_memory_now();
    const int64_t calls = tp__alloc_system_calls(), entries = tp__scope_entries();
    train(m, opt, 990);
    const tp_memory late = tp_memory_now();
    assert_memory_equal(&early, &late, sizeof early);
    assert_int_equal(tp__scope_entries(), entries);
    const char *plain = getenv("TAPER_ALLOC");
    const bool cached = tp__alloc_system_calls() == calls;
    if (!cached && !(plain && !strcmp(plain, "plain"))) {
        tp__mfree(tp__calloc(1, 1)); /* do sanitizers or settings bypass the caches? */
        const int64_t once = tp__alloc_system_calls();
        tp__mfree(tp__calloc(1, 1));
        assert_true(tp__alloc_system_calls() > once);
    }
    const tp_scope s = tp_scope_no_grad();
    tp_tensor *x = tp_full(TP_SHAPE(1, 20), 0.5, TP_FLOAT32);
    assert_true(fabs(tp_item(tp_forward(m, x)) - 10) < 0.5); /* it has learned to add */
    tp_scope_end(s);
    tp_optim_free(opt);
    tp_module_free(m);
}

/* Large enough for several tiles. */
static void threads_do_not_matter(void **state) {
    (void)state;
    enum { N = 100000 };
    const int before = tp_get_num_threads();
    tp_tensor *p[2];
    for (int k = 0; k < 2; k++) {
        tpt_ok(tp_set_num_threads(k ? 7 : 1));
        tp_manual_seed(3);
        p[k] = tp_requires_grad_(tp_rand(TP_SHAPE(N), TP_FLOAT32, NULL));
        tp_optim *opt = tp_adam_params(&p[k], 1, NULL);
        for (int i = 0; i < 3; i++) {
            tpt_ok(tp_set_grad(p[k], tp_rand(TP_SHAPE(N), TP_FLOAT32, NULL)));
            tpt_ok(tp_optim_step(opt));
        }
        tp_optim_free(opt);
    }
    tpt_same_bits(tp_data_f32(p[0]), tp_data_f32(p[1]), N * sizeof(float));
    tpt_ok(tp_set_num_threads(before));
}

/* ---- schedules ------------------------------------------------------------------------------- */

static void schedules(void **state) {
    (void)state;
    assert_true(tp_sched_lin(1, 3, 0) == 1 && tp_sched_lin(1, 3, 0.25) == 1.5 &&
                tp_sched_lin(1, 3, 1) == 3);
    assert_true(tp_sched_cos(1, 3, 0) == 1 && tp_sched_cos(1, 3, 1) == 3);
    assert_true(tp_sched_exp(1, 16, 0) == 1 && tp_sched_exp(1, 16, 1) == 16);
    for (int i = 0; i <= 1000; i++) {
        const double pos = i / 1000.0;
        const double cosine =
            1e-7 + (1 + cos(3.14159265358979323846 * (1 - pos))) * (10 - 1e-7) / 2;
        assert_true(fabs(tp_sched_cos(1e-7, 10, pos) - cosine) <= 1e-14);
        assert_true(tpt_ulp_f64(tp_sched_exp(1e-7, 10, pos), 1e-7 * pow(10 / 1e-7, pos)) <= 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(same_as_torch),
        TPT(golden_is_torch),
        TPT(defaults),
        TPT(a_literal_zero),
        TPT(settings_are_checked),
        TPT(null_is_quiet),
        TPT(parameters_are_checked),
        TPT(groups),
        TPT(a_strided_parameter),
        TPT(a_step_happens_as_a_whole),
        TPT(a_step_is_seen_by_the_tape),
        TPT(momentum_comes_and_goes),
        TPT(names_in_a_state),
        TPT(goes_on_with_the_same_bits),
        TPT(a_state_stays),
        TPT(bad_states_are_refused),
        TPT(every_allocation_may_fail),
        TPT(no_memory_for_a_step),
        TPT(a_steady_loop),
        TPT(threads_do_not_matter),
        TPT(schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
