/* test_graph.c -- the tape as a drawing, and the op that made the first NaN. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"

#include <stdio.h>
#include <string.h>

static char *read_all(const char *path, char *buf, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    buf[fread(buf, 1, size - 1, f)] = '\0';
    fclose(f);
    return buf;
}
static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++) n++;
    return n;
}

static void a_drawing_has_every_op_once(void **state) {
    (void)state;
    char path[512], text[8192];
    const tp_scope s = tp_scope_begin();
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2, 3), TP_FLOAT32));
    tp_tensor *y = tp_mul(w, w), *unrelated = tp_exp(w), *loss = tp_sum(tp_add(y, w));
    (void)unrelated;
    snprintf(path, sizeof path, "%s/tape.dot", tpt_tmpdir());
    tpt_ok(tp_graph_dot(loss, path));
    read_all(path, text, sizeof text);
    assert_int_equal(count(text, "label=\"MulBackward0\\n[2, 3]\\ntest_graph.c:"), 1);
    assert_int_equal(count(text, "label=\"AddBackward0"), 1);
    assert_int_equal(count(text, "label=\"SumBackward0\\n[]"), 1);
    assert_int_equal(count(text, "Exp"), 0);
    assert_int_equal(count(text, " -> "),
                     5); /* w twice into mul, mul and w into add, add into sum */
    assert_int_equal(count(text, "  n1 [shape=box label=\"SumBackward0"), 1);
    assert_int_equal(count(text, "  n3 [label=\"leaf"), 3); /* sum, add, w, mul */
    assert_int_equal(count(text, "  n3 -> n"), 3);
    tpt_ok(tp_graph_dot(loss, path));
    char again[sizeof text];
    assert_string_equal(read_all(path, again, sizeof again), text);
    assert_int_equal(tp_graph_dot(w, path), TP_EGRAD);
    tpt_expect_error(TP_EGRAD, "graph_dot: no recorded op made this tensor...");
    assert_int_equal(tp_graph_dot(loss, "/nowhere/tape.dot"), TP_EIO);
    tpt_expect_error(TP_EIO, "graph_dot: ...");
    tp_scope_end(s);
}

static void the_first_nan_is_named(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_floats(TP_SHAPE(3), 1, 0, -1);
    assert_non_null(tp_log(x));
    tp_set_detect_anomaly(true);
    assert_null(tp_sum(tp_mul(tp_log(x), 2)));
    tp_set_detect_anomaly(false);
    tpt_expect_error(TP_EVALUE, "log: made inf of finite numbers (test_graph.c:57)");
    tp_tensor *w = tp_requires_grad_(tp_floats(TP_SHAPE(1), 0)), *loss = tp_sum(tp_sqrt(w));
    tp_set_detect_anomaly(true);
    assert_int_equal(tp_backward(loss), TP_EVALUE);
    tp_set_detect_anomaly(false);
    tpt_expect_error(TP_EVALUE,
                     "backward of sqrt (test_graph.c:60): made inf of finite numbers...");
    tp_scope_end(s);
}

static tp_tensor *pass(void *self, tp_tensor *const *in, int n) {
    (void)self, (void)n;
    return in[0];
}
static int doubled_line;
static tp_tensor *twice(void *self, tp_tensor *const *in, int n) {
    (void)self, (void)n;
    doubled_line = __LINE__ + 1;
    return tp_mul(in[0], 2);
}

/* The ops inside a module, or a loss that is made of several, stand where it was called; those of
 * your own module, and those before the call, where they are. */
static void ops_inside_a_call_have_its_line(void **state) {
    (void)state;
    static const tp_module_class passes = {.name = "Pass", .forward = pass},
                                 doubles = {.name = "Twice", .forward = twice};
    char path[512], text[8192], want[100];
    const tp_scope s = tp_scope_begin();
    tp_module *net = tp_nn_sequential(tp_nn_linear(3, 2), tp_nn_relu(),
                                      tp_module_new(&passes, NULL), tp_module_new(&doubles, NULL),
                                      tp_nn_linear(2, 1), tp_module_new(&passes, NULL));
    const int line = __LINE__ + 1;
    tp_tensor *x = tp_exp(tp_requires_grad_(tp_ones(TP_SHAPE(2, 3), TP_FLOAT32)));
    tp_tensor *y = tp_forward(net, x);
    tp_tensor *loss = tp_mnist_loss(y, tp_ones(TP_SHAPE(2, 1), TP_INT64));
    snprintf(path, sizeof path, "%s/inside.dot", tpt_tmpdir());
    tpt_ok(tp_graph_dot(loss, path));
    read_all(path, text, sizeof text);
    const struct {
        const char *op;
        int n, line;
    } ops[] = {{"Exp", 1, line},         {"Addmm", 2, line + 1}, {"Relu", 1, line + 1},
               {"Sigmoid", 1, line + 2}, {"Where", 1, line + 2}, {"Mean", 1, line + 2},
               {"Mul", 1, doubled_line}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const char *p = text;
        for (int k = 0; k < ops[i].n; k++) {
            snprintf(want, sizeof want, "label=\"%sBackward0", ops[i].op);
            assert_non_null(p = strstr(p, want));
            snprintf(want, sizeof want, "test_graph.c:%d\"", ops[i].line);
            assert_true(strstr(p++, want) && strstr(p, want) < strchr(p, ';'));
        }
    }
    tp_module_free(net);
    tp_scope_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {TPT(a_drawing_has_every_op_once),
                                       TPT(ops_inside_a_call_have_its_line),
                                       TPT(the_first_nan_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
