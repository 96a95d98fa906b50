/* tests/test_scope.c -- scopes: what they release and when, what escapes, and what a stale one
 * does. */
#include "autograd/autograd.h"
#include "support.h"
#include "taper/ops.h"

static int64_t alive(void) {
    return tp_memory_now().tensors;
}

/* ---- releases -------------------------------------------------------------------------------- */

static int released[300], nreleased;
static void note(void *ptr) {
    released[nreleased++] = *(int *)ptr;
}

static void newest_first(void **state) {
    (void)state;
    static int name[300];
    nreleased = 0;
    const tp_scope s = tp_scope_begin();
    for (int i = 0; i < 300; i++) {
        name[i] = i;
        assert_true(tp__scope_push(tp__here(), note, &name[i]));
    }
    assert_true(tp__scope_holds(&name[0]));
    assert_true(tp__scope_drop(&name[297])); /* among the newest */
    assert_false(tp__scope_drop(&name[0]));
    tpt_ok(tp_scope_end(s));
    assert_int_equal(nreleased, 300);
    assert_int_equal(released[0], 297);
    assert_int_equal(released[1], 299);
    assert_int_equal(released[299], 0);
}

/* A release that makes a tensor: it goes with the same scope. */
static void make_one(void *ptr) {
    *(int64_t *)ptr = tp_numel(tp_ones(TP_SHAPE(3), TP_FLOAT32));
}
static void a_release_may_use_the_stack(void **state) {
    (void)state;
    int64_t made = 0;
    const int64_t before = alive();
    const tp_scope s = tp_scope_begin();
    assert_true(tp__scope_push(tp__here(), make_one, &made));
    assert_non_null(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    tpt_ok(tp_scope_end(s));
    assert_int_equal(made, 3);
    assert_int_equal(alive(), before);
}

/* ---- nesting --------------------------------------------------------------------------------- */

static void an_outer_end_ends_the_inner(void **state) {
    (void)state;
    const int64_t before = alive();
    const tp_scope outer = tp_scope_begin(), inner = tp_scope_no_grad();
    assert_non_null(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    assert_false(tp_grad_enabled());
    tpt_ok(tp_scope_end(outer));
    assert_true(tp_grad_enabled());
    assert_int_equal(alive(), before);
    assert_int_equal(tp_scope_end(inner), TP_ESCOPE);
    tpt_expect_error(TP_ESCOPE, "scope_end: this scope has already ended");
    const tp_scope next = tp_scope_begin(); /* the same depth, but another scope */
    assert_int_equal(tp_scope_end(outer), TP_ESCOPE);
    tpt_expect_error(TP_ESCOPE, "scope_end: this scope has already ended");
    tpt_ok(tp_scope_end(next));
}

static void forty_deep(void **state) {
    (void)state;
    tp_scope s[40];
    const int64_t before = alive();
    for (int i = 0; i < 40; i++) {
        s[i] = i % 2 ? tp_scope_no_grad() : tp_scope_grad();
        assert_non_null(tp_ones(TP_SHAPE(i), TP_FLOAT32));
    }
    for (int i = 39; i >= 0; i--) {
        assert_int_equal(alive(), before + i + 1);
        assert_int_equal(tp_grad_enabled(), i % 2 == 0);
        tpt_ok(tp_scope_end(s[i]));
    }
    assert_int_equal(alive(), before);
}

/* ---- escaping -------------------------------------------------------------------------------- */

static void what_escapes_outlives_its_scope(void **state) {
    (void)state;
    const int64_t before = alive();
    const tp_scope home = tp_scope_begin(), s = tp_scope_begin();
    assert_non_null(tp_zeros(TP_SHAPE(2), TP_FLOAT32));
    tp_tensor *a = tp_full(TP_SHAPE(2), 3, TP_FLOAT32);
    assert_non_null(tp_zeros(TP_SHAPE(2), TP_FLOAT32));
    tp_tensor *b = tp_full(TP_SHAPE(2), 4, TP_FLOAT32);
    assert_ptr_equal(tp_scope_escape(s, a), a);
    assert_ptr_equal(tp_scope_escape(s, b), b);
    tpt_ok(tp_scope_end(s));
    assert_int_equal(alive(), before + 2);
    assert_true(tp_data_f32(a)[1] == 3 && tp_data_f32(b)[1] == 4);
    tpt_ok(tp_scope_end(home));
    assert_int_equal(alive(), before);
}

/* Out of two scopes at once, whether they end together or one after the other. */
static void out_of_nested_scopes(void **state) {
    (void)state;
    for (int together = 0; together < 2; together++) {
        const int64_t before = alive();
        const tp_scope home = tp_scope_begin(), s = tp_scope_begin();
        assert_non_null(tp_zeros(TP_SHAPE(2), TP_FLOAT32));
        const tp_scope inner = tp_scope_begin();
        tp_tensor *a = tp_full(TP_SHAPE(2), 3, TP_FLOAT32);
        assert_non_null(tp_zeros(TP_SHAPE(2), TP_FLOAT32));
        assert_ptr_equal(tp_scope_escape(s, a), a);
        if (!together) tpt_ok(tp_scope_end(inner));
        assert_int_equal(alive(), before + (together ? 3 : 2));
        tpt_ok(tp_scope_end(s));
        assert_int_equal(alive(), before + 1);
        assert_true(tp_data_f32(a)[1] == 3);
        tpt_ok(tp_scope_end(home));
        assert_int_equal(alive(), before);
    }
}

static void the_history_escapes_too(void **state) {
    (void)state;
    tp_tensor *x = tp_requires_grad_(tp_full(TP_SHAPE(2), 3, TP_FLOAT32));
    const tp_scope home = tp_scope_begin(), s = tp_scope_begin();
    tp_tensor *other = tp_exp(x), *loss = tp_sum(tp_square(x));
    assert_non_null(other);
    assert_ptr_equal(tp_scope_escape(s, loss), loss);
    assert_int_equal(tp_memory_now().nodes, 3);
    tpt_ok(tp_scope_end(s));
    assert_int_equal(tp_memory_now().nodes, 2); /* exp's is gone */
    tpt_ok(tp_backward(loss));
    assert_true(tp_data_f32(tp_grad(x))[0] == 6);
    tpt_ok(tp_scope_end(home));
    assert_int_equal(tp_memory_now().nodes, 0);
}

static void a_stale_scope_lets_nothing_out(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tpt_ok(tp_scope_end(s));
    tp_tensor *x = tp_ones(TP_SHAPE(2), TP_FLOAT32);
    assert_null(tp_scope_escape(s, x));
    tpt_expect_error(TP_ESCOPE, "scope_escape: this scope has already ended");
    assert_null(tp_scope_escape(s, NULL));
    tpt_expect_error(TP_ENULL, "scope_escape: an argument is NULL");
}

/* ---- no memory ------------------------------------------------------------------------------- */

/* Everything that a scope may want memory for; true if nothing failed. */
static bool use_scopes(void) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *last = NULL;
    for (int i = 0; i < 120; i++) last = tp_ones(TP_SHAPE(1), TP_FLOAT32);
    for (int i = 0; i < 20; i++) (void)tp_scope_begin();
    const bool escaped = tp_scope_escape(s, last) != NULL;
    return s.depth && !tp_scope_end(s) && last && escaped;
}
static void no_memory(void **state) {
    (void)state;
    int failures = 0;
    for (bool failed = true; failed; failures++) {
        tp_thread_end(); /* so that the stack is small */
        tp__alloc_fail_at(failures + 1);
        use_scopes();
        failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        tp_thread_end();
        assert_int_equal(alive(), 0);
    }
    assert_true(use_scopes());
    assert_true(failures > 120 + 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(newest_first),
        TPT(a_release_may_use_the_stack),
        TPT(an_outer_end_ends_the_inner),
        TPT(forty_deep),
        TPT(what_escapes_outlives_its_scope),
        TPT(out_of_nested_scopes),
        TPT(the_history_escapes_too),
        TPT(a_stale_scope_lets_nothing_out),
        TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
