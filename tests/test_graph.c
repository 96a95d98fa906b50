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

int main(void) {
    const struct CMUnitTest tests[] = {TPT(a_drawing_has_every_op_once),
                                       TPT(the_first_nan_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
