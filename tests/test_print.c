/* test_print.c -- tp_repr and tp_print against PyTorch's text, character for character.
 *
 * golden/print.txt is what golden/print.py printed. It is compared always; where PyTorch 1.13 is
 * installed the script runs again, for the same cases and for thousands of others. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- cases in a file ------------------------------------------------------------------------- */

enum { TEXT = 1 << 20, NAME = 64 };

typedef struct test_case {
    char dtype[NAME], mark[NAME];
    int linewidth, precision, lines;
    int64_t offset;
    tp_shape size, stride;
    char *data, *want;
} test_case;

static tp_dtype dtype_named(const char *name) {
    for (int d = 0; d < TP__DTYPE_COUNT; d++)
        if (!strcmp(name, tp_dtype_name((tp_dtype)d))) return (tp_dtype)d;
    fail_msg("no dtype %s", name);
    return TP_FLOAT32;
}

/* The next line without its newline. The buffer is the same each time. */
static char *next_line(FILE *f) {
    static char *line;
    static size_t cap;
    const ssize_t n = getline(&line, &cap, f);
    if (n < 0) return free(line), line = NULL, cap = 0, NULL;
    if (n && line[n - 1] == '\n') line[n - 1] = '\0';
    return line;
}

static char *labelled(FILE *f, const char *label) {
    char *line = next_line(f);
    const size_t n = strlen(label);
    assert_non_null(line);
    assert_memory_equal(line, label, n);
    return line + n;
}

static tp_shape integers(char *text) {
    tp_shape s = {0};
    char *save;
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        assert_true(s.ndim < TP_MAX_DIM);
        s.dim[s.ndim++] = strtoll(w, NULL, 10);
    }
    return s;
}

static bool read_case(FILE *f, test_case *c) {
    const char *line = next_line(f);
    if (!line) return false;
    assert_int_equal(sscanf(line, "case %63s %d %d %63s %" SCNd64 " %d", c->dtype, &c->linewidth,
                            &c->precision, c->mark, &c->offset, &c->lines),
                     6);
    c->size = integers(labelled(f, "size"));
    c->stride = integers(labelled(f, "stride"));
    c->data = strdup(labelled(f, "data"));
    c->want = calloc(1, TEXT);
    assert_non_null(c->data);
    assert_non_null(c->want);
    for (int i = 0, n = 0; i < c->lines; i++) {
        n += snprintf(c->want + n, (size_t)(TEXT - n), "%s%s", i ? "\n" : "", next_line(f));
        assert_true(n < TEXT);
    }
    return true;
}

static tp_tensor *storage_of(char *data, tp_dtype dtype) {
    const int64_t n = *data ? (int64_t)(strlen(data) / (2 * (size_t)tp_dtype_size(dtype) + 1)) : 0;
    tp_tensor *x = tp_zeros(TP_SHAPE(n), dtype);
    assert_non_null(x);
    char *save, *w = strtok_r(data, " ", &save);
    for (int64_t i = 0; i < n; i++, w = strtok_r(NULL, " ", &save)) {
        assert_non_null(w);
        const uint64_t bits =
            strtoull(w, NULL, 16); /* little-endian: the low bytes are the number */
        memcpy((char *)tp_data_ptr(x) + i * tp_dtype_size(dtype), &bits,
               (size_t)tp_dtype_size(dtype));
    }
    assert_null(w);
    return x;
}

static void compare(const test_case *c) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *storage = storage_of(c->data, dtype_named(c->dtype));
    tp_tensor *x = tp__view(storage, c->size.ndim, c->size.dim, c->stride.dim, c->offset);
    assert_non_null(x);
    if (!strcmp(c->mark, "leaf"))
        x->requires_grad = true;
    else if (strcmp(c->mark, "-") != 0)
        x->grad_fn = c->mark;
    tp_set_printoptions(c->linewidth, c->precision);
    char *got = calloc(1, TEXT);
    assert_non_null(got);
    const int64_t n = tp_repr(x, got, TEXT);
    tp_set_printoptions(0, 0);
    x->grad_fn = NULL;
    x->requires_grad = false;
    assert_string_equal(got, c->want);
    assert_int_equal(n, strlen(c->want));
    free(got);
    tpt_ok(tp_scope_end(s));
}

static int compare_all(FILE *f) {
    test_case c;
    int n = 0;
    for (; read_case(f, &c); n++) {
        compare(&c);
        free(c.data);
        free(c.want);
    }
    return n;
}

static void same_as_torch(void **state) {
    (void)state;
    FILE *f = fopen(tpt_source("tests/golden/print.txt"), "r");
    assert_non_null(f);
    assert_string_equal(next_line(f), "torch 1.13");
    assert_int_equal(compare_all(f), 376);
    fclose(f);
}

/* ---- cases from the installed PyTorch -------------------------------------------------------- */

/* The script's output behind its first line; the test is skipped if this is another PyTorch. */
static FILE *run_script(void) {
    FILE *live = tpt_python("torch", "tests/golden/print.py");
    char version[NAME];
    snprintf(version, sizeof version, "%s", next_line(live));
    if (strcmp(version, "torch 1.13") != 0) {
        while (next_line(live)) continue;
        tpt_python_end(live);
        tpt_skip("PyTorch 1.13");
    }
    return live;
}

static void golden_is_torch(void **state) {
    (void)state;
    unsetenv("CASES");
    unsetenv("SEED");
    FILE *live = run_script();
    FILE *f = fopen(tpt_source("tests/golden/print.txt"), "r");
    assert_non_null(f);
    char *got = NULL, *want = NULL;
    size_t got_cap = 0, want_cap = 0;
    assert_true(getline(&want, &want_cap, f) > 0);
    while (getline(&want, &want_cap, f) > 0) {
        assert_true(getline(&got, &got_cap, live) > 0);
        assert_string_equal(got, want);
    }
    assert_true(getline(&got, &got_cap, live) < 0);
    free(got);
    free(want);
    fclose(f);
    tpt_python_end(live);
}

/* TAPER_PRINT_CASES and TAPER_PRINT_SEED: more of them, and others. */
static void random_cases(void **state) {
    (void)state;
    const char *cases = getenv("TAPER_PRINT_CASES"), *seed = getenv("TAPER_PRINT_SEED");
    setenv("CASES", cases ? cases : "2000", 1);
    setenv("SEED", seed ? seed : "2", 1);
    FILE *live = run_script();
    const int n = compare_all(live);
    tpt_python_end(live);
    unsetenv("CASES");
    unsetenv("SEED");
    assert_int_equal(n, 136 + (cases ? atoi(cases) : 2000));
}

/* ---- the calls themselves -------------------------------------------------------------------- */

static void like_snprintf(void **state) {
    (void)state;
    const tp_tensor *x = tp_floats(TP_SHAPE(3), 1, 2, 3);
    static const char want[] = "tensor([1., 2., 3.])";
    char buf[64];
    memset(buf, 'x', sizeof buf);
    assert_int_equal(tp_repr(x, buf, sizeof buf), strlen(want));
    assert_string_equal(buf, want);
    for (size_t size = 0; size < sizeof want; size++) {
        memset(buf, 'x', sizeof buf);
        assert_int_equal(tp_repr(x, buf, size), strlen(want));
        for (size_t i = size; i < sizeof buf; i++) assert_int_equal(buf[i], 'x');
        if (!size) continue;
        assert_int_equal(strlen(buf), size - 1);
        assert_memory_equal(buf, want, size - 1);
    }
    assert_int_equal(tp_repr(x, NULL, 0), strlen(want));
    assert_int_equal(tp_repr(x, NULL, 10), strlen(want));
}

static void what_torch_has_not(void **state) {
    (void)state;
    char buf[64];
    assert_int_equal(tp_repr(TP_NONE, buf, sizeof buf), 4);
    assert_string_equal(buf, "None");
    tp_repr(tp_num(0.1), buf, sizeof buf); /* a number by itself is a float32 */
    assert_string_equal(buf, "tensor(0.1000)");
    tp_set_printoptions(0, 10);
    tp_repr(tp_num(0.1), buf, sizeof buf);
    assert_string_equal(buf, "tensor(0.1000000015)");
    tp_set_printoptions(0, 0);
    tp_repr(tp_num_int(-3), buf, sizeof buf);
    assert_string_equal(buf, "tensor(-3)");
}

static void failures(void **state) {
    (void)state;
    char buf[8] = "x";
    assert_int_equal(tp_repr(NULL, buf, sizeof buf), -1);
    assert_string_equal(buf, "");
    tpt_expect_error(TP_ENULL, "repr: an argument is NULL");
    tp_print(NULL);
    tpt_expect_error(TP_ENULL, "print: an argument is NULL");
    tp_set_printoptions(-1, 4);
    tpt_expect_error(TP_EVALUE, "set_printoptions: linewidth -1...");
    tp_set_printoptions(80, 61);
    tpt_expect_error(TP_EVALUE,
                     "set_printoptions: linewidth 80, precision 61; precision is at most 60");
}

/* Nothing is allocated, so nothing can fail; nothing stays in the scope. */
static void no_memory(void **state) {
    (void)state;
    tp_tensor *x = tp_zeros(TP_SHAPE(40, 50), TP_FLOAT64);
    const int64_t stride[] = {1, 40};
    tp_tensor *t = tp__view(x, 2, (const int64_t[]){50, 40}, stride, 0);
    assert_non_null(t);
    char buf[1024];
    const int64_t entries = tp__scope_entries(), calls = tp__alloc_system_calls();
    tp__alloc_fail_at(1);
    assert_true(tp_repr(t, buf, sizeof buf) > 100);
    assert_false(tp__alloc_failed());
    tp__alloc_fail_at(0);
    assert_int_equal(tp__scope_entries(), entries);
    assert_int_equal(tp__alloc_system_calls(), calls);
}

static void prints_to_stdout(void **state) {
    (void)state;
    char path[4096], got[256] = "";
    snprintf(path, sizeof path, "%s/out", tpt_tmpdir());
    const tp_tensor *x = tp_ints(TP_SHAPE(2, 2), 1, 2, 3, 40);
    fflush(stdout);
    const int before = dup(1);
    assert_true(before >= 0 && freopen(path, "w", stdout));
    tp_print(x);
    fflush(stdout);
    dup2(before, 1);
    close(before);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    const size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    got[n] = '\0';
    assert_string_equal(got, "tensor([[ 1,  2],\n        [ 3, 40]])\n");
}

static void any_locale(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"1,5", "1.5"},
                                           {"-12,25e+03", "-12.25e+03"},
                                           {"0\xd9\xab"
                                            "5",
                                            "0.5"},
                                           {"3e+08", "3e+08"},
                                           {"1.5", "1.5"},
                                           {"17", "17"}};
    for (int i = 0; i < TP__COUNT(pairs); i++) {
        char text[32];
        snprintf(text, sizeof text, "%s", pairs[i][0]);
        tp__plain_point(text);
        assert_string_equal(text, pairs[i][1]);
    }
}

/* The widest numbers of each style. */
static void long_numbers(void **state) {
    (void)state;
    char buf[512], want[512];
    tp_set_printoptions(500, 60);
    const double v[] = {-99999999.5, -1.0 / 3};
    tp_repr(tp_from(v, TP_SHAPE(1), TP_FLOAT64), buf, sizeof buf);
    snprintf(want, sizeof want, "tensor([%.60f], dtype=torch.float64)", v[0]);
    assert_string_equal(buf, want);
    const double tiny[] = {-5e-324};
    tp_repr(tp_from(tiny, TP_SHAPE(1), TP_FLOAT64), buf, sizeof buf);
    snprintf(want, sizeof want, "tensor([%.60e], dtype=torch.float64)", tiny[0]);
    assert_string_equal(buf, want);
    tp_set_printoptions(0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(same_as_torch),      TPT(golden_is_torch), TPT(random_cases), TPT(like_snprintf),
        TPT(what_torch_has_not), TPT(failures),        TPT(no_memory),    TPT(any_locale),
        TPT(prints_to_stdout),   TPT(long_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
