/* test_dict.c -- named tensors and strings: order, ownership, lookup, and the digest. */
#include "support.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

static tp_tensor *counted(int64_t n) { /* 0, 1, ... n - 1 */
    return tp_arange(0, (double)n, 1, TP_FLOAT32);
}

static void keeps_order(void **state) {
    (void)state;
    static const char *const names[] = {"2.weight", "0.weight", "", "a name", "0.bias"};
    tp_dict *d = tp_dict_new();
    for (int i = 0; i < 5; i++) tpt_ok(tp_dict_set(d, names[i], counted(i)));
    for (int i = 4; i >= 0; i--) tpt_ok(tp_dict_set_str(d, names[i], names[4 - i]));
    assert_int_equal(tp_dict_len(d), 5);
    assert_int_equal(tp_dict_str_len(d), 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(tp_dict_name(d, i), names[i]);
        assert_int_equal(tp_numel(tp_dict_at(d, i)), i);
        assert_ptr_equal(tp_dict_get(d, names[i]), tp_dict_at(d, i));
        assert_string_equal(tp_dict_str_name(d, i), names[4 - i]);
        assert_string_equal(tp_dict_get_str(d, names[i]), names[4 - i]);
    }
    assert_string_equal(tp_dict_name(d, -1), "0.bias");
    assert_ptr_equal(tp_dict_at(d, -5), tp_dict_at(d, 0));
    assert_null(tp_dict_get(d, "0.weights"));
    assert_null(tp_dict_get_str(d, "0.weigh"));
    assert_int_equal(tp_error_code(), TP_OK);
    tp_dict_free(d);
}

static void setting_again_replaces(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    tpt_ok(tp_dict_set(d, "a", counted(1)));
    tpt_ok(tp_dict_set(d, "b", counted(2)));
    tpt_ok(tp_dict_set(d, "a", counted(3)));
    tpt_ok(tp_dict_set(d, "a", tp_dict_get(d, "a"))); /* by itself */
    tpt_ok(tp_dict_set_str(d, "a", "one"));
    tpt_ok(tp_dict_set_str(d, "a", "two"));
    tpt_ok(tp_dict_set_str(d, "a", tp_dict_get_str(d, "a")));
    assert_int_equal(tp_dict_len(d), 2);
    assert_int_equal(tp_dict_str_len(d), 1);
    assert_string_equal(tp_dict_name(d, 0), "a");
    assert_int_equal(tp_numel(tp_dict_at(d, 0)), 3);
    assert_string_equal(tp_dict_get_str(d, "a"), "two");
    tp_dict_free(d);
}

static void holds_its_tensors(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = counted(3);
    tpt_ok(tp_dict_set(d, "x", x));
    tpt_ok(tp_dict_set(d, "again", x));
    tpt_ok(tp_scope_end(s));
    assert_ptr_equal(tp_dict_get(d, "x"), x);
    assert_int_equal(x->refs, 2);
    assert_true(tp_data_f32(x)[2] == 2);
    tp_free(x); /* nobody kept it */
    assert_int_equal(tp_error_clear(), TP_ESTATE);
    tp_keep(x);
    tp_dict_free(d);
    assert_true(tp_data_f32(x)[1] == 1);
    tp_free(x);
}

static void many_names(void **state) {
    (void)state;
    enum { N = 20000 };
    tp_dict *d = tp_dict_new();
    tp_tensor *x = counted(1);
    char name[32], text[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "layer.%d.weight", i);
        snprintf(text, sizeof text, "%d", i);
        tpt_ok(tp_dict_set_str(d, name, text));
        if (i % 10 == 0) tpt_ok(tp_dict_set(d, name, x));
    }
    assert_int_equal(tp_dict_str_len(d), N);
    assert_int_equal(tp_dict_len(d), N / 10);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "layer.%d.weight", i);
        assert_int_equal(atoi(tp_dict_get_str(d, name)), i);
        assert_true((tp_dict_get(d, name) == x) == (i % 10 == 0));
    }
    assert_int_equal(x->refs, 1 + N / 10);
    tp_dict_free(d);
    assert_int_equal(x->refs, 1);
}

static void merging(void **state) {
    (void)state;
    tp_dict *a = tp_dict_new(), *b = tp_dict_new();
    tpt_ok(tp_dict_set(a, "w", counted(1)));
    tpt_ok(tp_dict_set(a, "net.w", counted(2)));
    tpt_ok(tp_dict_set_str(a, "s", "text"));
    tpt_ok(tp_dict_set(b, "w", counted(3)));
    tpt_ok(tp_dict_set(b, "b", counted(4)));
    tpt_ok(tp_dict_set_str(b, "s", "other"));
    tpt_ok(tp_dict_merge(a, "net.", b));
    assert_int_equal(tp_dict_len(a), 3);
    assert_int_equal(tp_numel(tp_dict_get(a, "net.w")), 3);
    assert_ptr_equal(tp_dict_get(a, "net.b"), tp_dict_get(b, "b"));
    assert_string_equal(tp_dict_get_str(a, "net.s"), "other");
    assert_string_equal(tp_dict_get_str(a, "s"), "text");
    tp_dict_free(b);
    assert_true(tp_data_f32(tp_dict_get(a, "net.b"))[3] == 3);
    for (int i = 0; i < 4; i++) tpt_ok(tp_dict_merge(a, i % 2 ? "x" : "", a)); /* into itself */
    assert_int_equal(tp_dict_len(a), 9); /* "", w and x: doubled twice, xw and xxw meet */
    assert_string_equal(tp_dict_get_str(a, "xxs"), "text");
    tp_dict_free(a);
}

static void refusals(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    tp_tensor *x = counted(1);
    assert_int_equal(tp_dict_set(d, "x", NULL), TP_ENULL);
    tpt_expect_error(TP_ENULL, "dict_set: an argument is NULL");
    assert_int_equal(tp_dict_set(NULL, "x", x), TP_ENULL);
    tpt_expect_error(TP_ENULL, "dict_set: an argument is NULL");
    assert_int_equal(tp_dict_set(d, "x", TP_NONE), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "dict_set: 'x' is to be TP_NONE");
    assert_int_equal(tp_dict_set_str(d, "x", NULL), TP_ENULL);
    tpt_expect_error(TP_ENULL, "dict_set_str: an argument is NULL");
    assert_int_equal(tp_dict_len(d), 0);
    assert_null(tp_dict_at(d, 0));
    tpt_expect_error(TP_EINDEX, "dict_at: there is no entry 0 among 0");
    tpt_ok(tp_dict_set(d, "x", x));
    assert_null(tp_dict_name(d, -2));
    tpt_expect_error(TP_EINDEX, "dict_name: there is no entry -2 among 1");
    assert_null(tp_dict_str_name(d, 3));
    tpt_expect_error(TP_EINDEX, "dict_str_name: there is no entry 3 among 0");
    assert_int_equal(tp_dict_len(NULL), -1);
    tpt_expect_error(TP_ENULL, "dict_len: an argument is NULL");
    assert_null(tp_dict_get(NULL, "x"));
    tpt_expect_error(TP_ENULL, "dict_get: an argument is NULL");
    tp_error_set(TP_EUSER, "mine"); /* NULL leaves what is pending */
    assert_int_equal(tp_dict_merge(d, "", NULL), TP_EUSER);
    tpt_expect_error(TP_EUSER, "mine");
    tp_dict_free(d);
    tp_dict_free(NULL);
}

/* ---- sha256 ---------------------------------------------------------------------------------- */

static void digest_is(const tp_dict *d, const char *want) {
    char hex[65] = "";
    tpt_ok(tp_dict_sha256(d, hex));
    assert_string_equal(hex, want);
}

/* Python: hashlib.sha256(b"B\0bool\0[]\0\1" + b"a\0int64\0[0, 3]\0"
 *     + b"a.b\0float32\0[2, 3]\0" + struct.pack("<6f", 0, 3, 1, 4, 2, 5)
 *     + b"\xc3\xa4\0uint8\0[2]\0\x07\xff").hexdigest() */
static const char digest[] = "8561fb49ca6a37ab7732d1458c741c74c7698dd1e191d91919b032f0a4d76869";

static void digest_of_bytes(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    digest_is(d,
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"); /* of no bytes */
    const uint8_t bytes[] = {7, 255}, yes = 1;
    tpt_ok(tp_dict_set(d, "\xc3\xa4",
                       tp_from(bytes, TP_SHAPE(2), TP_UINT8))); /* bytes above 127 sort last */
    tpt_ok(tp_dict_set(d, "a.b", tp_floats(TP_SHAPE(2, 3), 0, 3, 1, 4, 2, 5)));
    tpt_ok(tp_dict_set(d, "a", tp_zeros(TP_SHAPE(0, 3), TP_INT64)));
    tpt_ok(tp_dict_set(d, "B", tp_from(&yes, TP_0D, TP_BOOL)));
    digest_is(d, digest);
    tpt_ok(tp_dict_set_str(d, "a", "strings do not count"));
    digest_is(d, digest);
    tp_tensor *columns = tp_floats(TP_SHAPE(3, 2), 0, 4, 3, 2, 1, 5); /* nor do strides */
    tpt_ok(tp_dict_set(d, "a.b",
                       tp__view(columns, 2, (const int64_t[]){2, 3}, (const int64_t[]){1, 2}, 0)));
    digest_is(d, digest);
    tp_dict_free(d);
}

static void digest_sees_all(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    tp_tensor *variants[] = {
        tp_zeros(TP_SHAPE(4), TP_FLOAT32),    tp_zeros(TP_SHAPE(2, 2), TP_FLOAT32),
        tp_zeros(TP_SHAPE(4, 1), TP_FLOAT32), tp_zeros(TP_SHAPE(2), TP_INT64),
        tp_zeros(TP_SHAPE(2), TP_FLOAT64),    tp_zeros(TP_SHAPE(16), TP_UINT8),
        tp_zeros(TP_SHAPE(16), TP_BOOL),      tp_full(TP_SHAPE(4), -0.0, TP_FLOAT32)};
    enum { N = 8 };
    char hex[N + 1][65];
    for (int i = 0; i <= N; i++) {
        if (i < N)
            tpt_ok(tp_dict_set(d, "x", variants[i]));
        else
            tpt_ok(tp_dict_set(d, "y", variants[0]));
        tpt_ok(tp_dict_sha256(d, hex[i]));
        for (int j = 0; j < i; j++) assert_string_not_equal(hex[i], hex[j]);
    }
    tp_dict_free(d);
}

/* ---- out of memory --------------------------------------------------------------------------- */

/* Everything once, with whatever fails. */
static tp_status use(void *ctx) {
    tp_tensor *x = ctx;
    const int32_t refs = x->refs;
    tp_dict *d = tp_dict_new(), *e = tp_dict_new();
    char name[16], hex[65];
    bool ok = d && e;
    for (int i = 0; i < 20 && ok; i++) {
        snprintf(name, sizeof name, "%d", i);
        ok = !tp_dict_set(d, name, x) && !tp_dict_set_str(d, name, "text");
        if (ok) assert_string_equal(tp_dict_get_str(d, name), "text");
    }
    ok = ok && !tp_dict_set_str(d, "3", "other") && !tp_dict_merge(e, "net.", d) &&
         !tp_dict_sha256(e, hex);
    tp_dict_free(d);
    tp_dict_free(e);
    assert_int_equal(x->refs, refs);
    return ok ? TP_OK : tp_error_code();
}

static void no_memory(void **state) {
    (void)state;
    tp_tensor *rows = counted(6);
    tp_tensor *x = tp__view(rows, 2, (const int64_t[]){2, 3}, (const int64_t[]){1, 2}, 0);
    assert_true(tpt_fail_each_allocation(use, x) >= 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(keeps_order),       TPT(setting_again_replaces),
        TPT(holds_its_tensors), TPT(many_names),
        TPT(merging),           TPT(refusals),
        TPT(digest_of_bytes),   TPT(digest_sees_all),
        TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
