/* test_diff.c -- random programs give what PyTorch gave.
 *
 * diff/programs.py makes programs and writes PyTorch's results beside every call (the format stands
 * there); here each is repeated call by call and compared: values, shape, dtype, the strides and
 * the storage of views, the name of the recorded op, gradients, and which calls are errors. 1,000
 * programs with their results are checked in; where torch is installed new ones are made as well,
 * TAPER_DIFF_PROGRAMS of them (2,000) from TAPER_DIFF_SEED (1). Five planted faults show that the
 * comparison can fail. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "diff/faults.h"

enum { VALUES = 2048, LINE = 1 << 16, SHOWN = 12 };

typedef struct run {
    gzFile in;
    char line[LINE], call[LINE]; /* the line read last; the call that is being compared */
    bool pushed_back, silent;
    fault fault;
    tp_tensor *value[VALUES];
    int n_values;
    long program, programs, different, first; /* first: the program that differs */
    bool differs;                             /* this program; the rest of it is skipped */
    long count[CALLS];
} run;

/* ---- reading --------------------------------------------------------------------------------- */

static bool next_line(run *r) {
    if (r->pushed_back) return !(r->pushed_back = false);
    for (bool remark = true; remark;) {
        if (!gzgets(r->in, r->line, LINE)) return false;
        const size_t n = strlen(r->line);
        assert_true(n > 0 && r->line[n - 1] == '\n');
        r->line[n - 1] = '\0';
        remark = r->line[0] == '#';
        if (remark && !r->silent) print_message("%s\n", r->line);
    }
    return true;
}

/* The next line if it is of this kind. */
static bool next_is(run *r, char kind) {
    if (!next_line(r)) return false;
    r->pushed_back = r->line[0] != kind;
    return !r->pushed_back;
}

/* Numbers of "2,3" ("-" is none) into out; their count. */
static int read_numbers(const char *text, int64_t *out, int room) {
    int n = 0;
    if (text[0] == '-' && text[1] == '\0') return 0;
    for (char *end = NULL;; text = end + 1) {
        assert_true(n < room);
        out[n++] = strtoll(text, &end, 10);
        if (*end != ',') return n;
    }
}

static tp_shape read_shape(const char *text) {
    tp_shape s = {.ndim = 0};
    s.ndim = read_numbers(text, s.dim, TP_MAX_DIM);
    return s;
}

static tp_dtype read_dtype(const char *text) {
    static const char *const name[] = {"f4", "f8", "i8", "u1", "b1"};
    for (int d = 0; d < TP__DTYPE_COUNT; d++) {
        if (!strcmp(text, name[d])) return (tp_dtype)d;
    }
    fail_msg("dtype %s", text);
    return TP_FLOAT32;
}

static int digit(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Hex digits into the bytes that they stand for, in place; how many. */
static size_t read_bytes(char *text) {
    unsigned char *out = (unsigned char *)text;
    if (text[0] == '-') return 0;
    size_t n = 0;
    for (; text[2 * n]; n++)
        out[n] = (unsigned char)(digit(text[2 * n]) * 16 + digit(text[2 * n + 1]));
    return n;
}

static tp_tensor *value_at(const run *r, const char *index) {
    const long i = strtol(index, NULL, 10);
    assert_true(i >= 0 && i < r->n_values);
    return r->value[i];
}

static void push(run *r, tp_tensor *x) {
    assert_true(r->n_values < VALUES);
    r->value[r->n_values++] = x;
}

/* One word of a call's arguments. */
static void read_argument(run *r, arguments *g, const char *word) {
    const char *rest = word + 1;
    int64_t v[MOST];
    switch (word[0]) {
    case 't': g->x[g->n_x++] = value_at(r, rest); return;
    case 'n': g->x[g->n_x++] = tp_num(strtod(rest, NULL)); return;
    case 'k': g->x[g->n_x++] = tp_num_int(strtoll(rest, NULL, 10)); return;
    case '_': g->x[g->n_x++] = TP_NONE; return;
    case 'i': g->i[g->n_i++] = strtoll(rest, NULL, 10); return;
    case 'd': g->d[g->n_d++] = strtod(rest, NULL); return;
    case 's': g->shape = read_shape(rest); return;
    case 'y': g->dtype = read_dtype(rest); return;
    case 'q': snprintf(g->text, sizeof g->text, "%s", rest); return;
    case 'a':
        g->dims.n = read_numbers(rest, v, TP_MAX_DIM);
        for (int k = 0; k < g->dims.n; k++) g->dims.dim[k] = (int)v[k];
        return;
    case 'm':
        g->n_list = read_numbers(rest, v, MOST);
        for (int k = 0; k < g->n_list; k++) {
            assert_in_range(v[k], 0, r->n_values - 1);
            g->list[k] = r->value[v[k]];
        }
        return;
    default: fail_msg("argument %s", word);
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

#if defined __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static void
difference(run *r, const char *fmt, ...) {
    r->differs = true;
    if (r->silent || r->different >= SHOWN) return;
    char text[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    print_message("# program %ld, %.160s: %s\n", r->program, r->call, text);
}

/* Element k of x in row-major order, found through its strides. */
static char *element(const tp_tensor *x, int64_t k) {
    int64_t at = 0;
    for (int d = tp_ndim(x) - 1; d >= 0; d--) {
        at += k % tp_size(x, d) * tp_stride(x, d);
        k /= tp_size(x, d);
    }
    return (char *)tp_data_ptr(x) + at * tp_dtype_size(tp_dtype_of(x));
}

/* One element; `abs` and `ulp` are for floats only. */
static bool same_element(tp_dtype d, const char *got, const char *want, int64_t ulp, double bound) {
    if (d != TP_FLOAT32 && d != TP_FLOAT64) return !memcmp(got, want, (size_t)tp_dtype_size(d));
    if (d == TP_FLOAT32) {
        float a, b;
        memcpy(&a, got, sizeof a);
        memcpy(&b, want, sizeof b);
        return tpt_ulp_f32(a, b) <= ulp || fabs((double)a - (double)b) <= bound;
    }
    double a, b;
    memcpy(&a, got, sizeof a);
    memcpy(&b, want, sizeof b);
    return tpt_ulp_f64(a, b) <= ulp || fabs(a - b) <= bound;
}

static double as_number(tp_dtype d, const char *p) {
    float f;
    double v;
    int64_t i;
    switch (d) {
    case TP_FLOAT32: memcpy(&f, p, sizeof f); return (double)f;
    case TP_FLOAT64: memcpy(&v, p, sizeof v); return v;
    case TP_INT64: memcpy(&i, p, sizeof i); return (double)i;
    default: return *(const unsigned char *)p;
    }
}

/* finite_only: elements that are NaN or infinite on either side are not compared. */
static void compare_values(run *r, const tp_tensor *x, const char *want, int64_t ulp, double bound,
                           bool finite_only) {
    const tp_dtype d = tp_dtype_of(x);
    const int64_t size = tp_dtype_size(d), n = tp_numel(x);
    for (int64_t k = 0; k < n && !r->differs; k++) {
        const char *got = element(x, k);
        if (same_element(d, got, want + k * size, ulp, bound)) continue;
        const double a = as_number(d, got), b = as_number(d, want + k * size);
        if (finite_only && !(isfinite(a) && isfinite(b))) continue;
        difference(r, "element %lld of %lld is %.17g, not %.17g", (long long)k, (long long)n, a, b);
    }
}

static void compare_shape(run *r, const tp_tensor *x, tp_dtype dtype, tp_shape want) {
    const tp_shape got = tp_shape_of(x);
    if (tp_dtype_of(x) != dtype) {
        difference(r, "dtype %s, not %s", tp_dtype_name(tp_dtype_of(x)), tp_dtype_name(dtype));
    } else if (got.ndim != want.ndim ||
               memcmp(got.dim, want.dim, sizeof *got.dim * (size_t)want.ndim)) {
        difference(r, "shape differs: %d axes, not %d, or other sizes", got.ndim, want.ndim);
    }
}

static void compare_memory(run *r, const tp_tensor *x, const char *strides, int64_t offset,
                           long shares) {
    if (!strcmp(strides, "-")) {
        if (!tp_is_contiguous(x)) difference(r, "a result is not contiguous");
    } else {
        int64_t want[TP_MAX_DIM];
        const int n = read_numbers(strides, want, TP_MAX_DIM);
        for (int d = 0; d < n; d++) {
            if (tp_stride(x, d) == want[d]) continue;
            difference(r, "stride %d is %lld, not %lld", d, (long long)tp_stride(x, d),
                       (long long)want[d]);
            return;
        }
        if (tp_storage_offset(x) != offset) {
            difference(r, "offset %lld, not %lld", (long long)tp_storage_offset(x),
                       (long long)offset);
        }
    }
    for (int i = 0; i <= shares && i < r->n_values; i++) {
        if (tp_shares_storage(x, r->value[i]) == (i == shares)) continue;
        difference(
            r, i == shares ? "no storage shared with value %d" : "storage shared with value %d", i);
        return;
    }
}

static void compare_history(run *r, const tp_tensor *x, const char *want) {
    const char *got = tp_grad_fn(x);
    if (strcmp(got ? got : "none", want)) {
        difference(r, "grad_fn is %s, not %s", got ? got : "none", want);
    }
}

/* From here on x holds PyTorch's values, so the next call starts from the same. */
static void adopt(tp_tensor *x, const char *want) {
    const int64_t size = tp_dtype_size(tp_dtype_of(x)), n = tp_numel(x);
    for (int64_t k = 0; k < n; k++) memcpy(element(x, k), want + k * size, (size_t)size);
}

/* A result against its V line. */
static void compare_result(run *r, tp_tensor *x) {
    char *word[9], *save = NULL;
    strtok_r(r->line, " ", &save);
    for (int k = 0; k < 9; k++) assert_non_null(word[k] = strtok_r(NULL, " ", &save));
    const tp_shape shape = read_shape(word[1]);
    read_bytes(word[8]);
    compare_shape(r, x, read_dtype(word[0]), shape);
    if (r->differs) return;
    compare_memory(r, x, word[2], strtoll(word[3], NULL, 10), strtol(word[4], NULL, 10));
    compare_history(r, x, word[7]);
    compare_values(r, x, word[8], strtoll(word[5], NULL, 10), strtod(word[6], NULL), false);
    if (r->differs) return;
    adopt(x, word[8]);
    tp_scope s = tp_scope_begin();
    if (tp_grad_fn(x)) tp_retain_grad(x);
    tp_scope_end(s);
}

/* ---- running --------------------------------------------------------------------------------- */

static void do_leaf(run *r) {
    char *save = NULL;
    strtok_r(r->line, " ", &save);
    const tp_dtype dtype = read_dtype(strtok_r(NULL, " ", &save));
    const tp_shape shape = read_shape(strtok_r(NULL, " ", &save));
    char *bytes = strtok_r(NULL, " ", &save);
    read_bytes(bytes);
    push(r, tp_from(bytes, shape, dtype));
}

static int find_call(const char *name) {
    for (int k = 0; k < CALLS; k++) {
        if (!strcmp(calls[k].name, name)) return k;
    }
    fail_msg("no op %s", name);
    return -1;
}

/* The results move out of the scope in which nothing is recorded. */
static tp_tensor *unrecorded(fault f, const call *c, arguments *g) {
    const tp_scope s = tp_scope_no_grad();
    tp_tensor *x = run_with(f, c, g);
    if (x) assert_non_null(tp_scope_escape(s, x));
    for (int k = 0; k < g->n_more; k++) assert_non_null(tp_scope_escape(s, g->more[k]));
    tp_scope_end(s);
    return x;
}

static void do_call(run *r, bool quiet) {
    snprintf(r->call, sizeof r->call, "%s", r->line);
    char *save = NULL;
    strtok_r(r->line, " ", &save);
    const int k = find_call(strtok_r(NULL, " ", &save));
    arguments g = {.n_x = 0};
    for (char *word; (word = strtok_r(NULL, " ", &save));) read_argument(r, &g, word);
    tp_tensor *x = quiet ? unrecorded(r->fault, &calls[k], &g) : run_with(r->fault, &calls[k], &g);
    if (next_is(r, 'X')) {
        if (x) difference(r, "no error");
        if (!x) tp_error_clear();
        return;
    }
    if (!x) {
        difference(r, "an error: %s", tp_error_message());
        tp_error_clear();
        return;
    }
    r->count[k]++;
    for (int n = 0; !r->differs && next_is(r, 'V'); n++) {
        tp_tensor *result = n ? g.more[n - 1] : x;
        assert_true(n <= g.n_more);
        compare_result(r, result);
        push(r, result);
    }
}

static void compare_gradient(run *r) {
    char *save = NULL;
    strtok_r(r->line, " ", &save);
    const char *index = strtok_r(NULL, " ", &save);
    const char *bound = strtok_r(NULL, " ", &save);
    char *bytes = strtok_r(NULL, " ", &save);
    const tp_tensor *x = value_at(r, index), *got = tp_grad(x);
    snprintf(r->call, sizeof r->call, "gradient of value %s", index);
    if (!strcmp(bytes, "none") != !got) {
        difference(r, got ? "there is one" : "there is none");
    } else if (got) {
        read_bytes(bytes);
        compare_shape(r, got, tp_dtype_of(x), tp_shape_of(x));
        const bool finite_only = *bound == '~';
        if (!r->differs)
            compare_values(r, got, bytes, 4, strtod(bound + finite_only, NULL), finite_only);
    }
}

static void do_backward(run *r) {
    snprintf(r->call, sizeof r->call, "%.40s", r->line);
    char *save = NULL;
    strtok_r(r->line, " ", &save);
    tp_tensor *x = value_at(r, strtok_r(NULL, " ", &save));
    char *bytes = strtok_r(NULL, " ", &save);
    read_bytes(bytes);
    const tp_status s = tp_backward_from(x, tp_from(bytes, tp_shape_of(x), tp_dtype_of(x)));
    const bool fails = next_is(r, 'X');
    if ((s != TP_OK) != fails)
        difference(r, fails ? "no error" : "an error: %s", tp_error_message());
    tp_error_clear();
    while (!r->differs && next_is(r, 'G')) compare_gradient(r);
}

static void do_program(run *r) {
    const tp_scope s = tp_scope_begin();
    r->program = strtol(r->line + 2, NULL, 10);
    r->n_values = 0;
    r->differs = false;
    while (next_line(r)) {
        if (r->line[0] == 'P') {
            r->pushed_back = true;
            break;
        }
        if (r->differs) continue;
        switch (r->line[0]) {
        case 'L': do_leaf(r); break;
        case 'R': tp_requires_grad_(value_at(r, r->line + 2)); break;
        case 'O': do_call(r, false); break;
        case 'N':
            assert_true(next_is(r, 'O'));
            do_call(r, true);
            break;
        case 'B': do_backward(r); break;
        default: fail_msg("line %.60s", r->line);
        }
    }
    tp_scope_end(s);
    r->programs++;
    if (r->differs && !r->different++) r->first = r->program;
}

/* All programs of a file, compressed or not, up to `most`. */
static run *run_all(int file, fault f, long most) {
    run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->fault = f;
    r->silent = f != NO_FAULT;
    assert_non_null(r->in = gzdopen(file, "rb"));
    while (r->programs < most && next_line(r)) {
        assert_int_equal(r->line[0], 'P');
        do_program(r);
    }
    gzclose(r->in);
    return r;
}

/* Every op must have given a result in one of a hundred programs at least. */
static void finish(run *r) {
    char text[96] = "";
    int rare = 0;
    print_message("# %ld programs, %ld differ; results of each op:\n", r->programs, r->different);
    for (int k = 0; k < CALLS; k++) {
        char one[48];
        snprintf(one, sizeof one, " %s %ld", calls[k].name, r->count[k]);
        if (strlen(text) + strlen(one) >= sizeof text) {
            print_message("# %s\n", text);
            text[0] = '\0';
        }
        strcat(text, one);
        rare += r->count[k] * 100 < r->programs;
    }
    print_message("# %s\n", text);
    const long different = r->different;
    free(r);
    assert_int_equal(different, 0);
    assert_int_equal(rare, 0);
}

static FILE *golden(void) {
    FILE *f = fopen(tpt_source("tests/golden/diff.gz"), "rb");
    assert_non_null(f);
    return f;
}

static void checked_in_programs(void **state) {
    (void)state;
    FILE *f = golden();
    run *r = run_all(dup(fileno(f)), NO_FAULT, 1000000);
    fclose(f);
    assert_true(r->programs >= 1000);
    finish(r);
}

static void fresh_programs(void **state) {
    (void)state;
    const char *n = getenv("TAPER_DIFF_PROGRAMS"), *seed = getenv("TAPER_DIFF_SEED");
    char args[96];
    snprintf(args, sizeof args, "--programs %ld --seed %ld", n ? strtol(n, NULL, 10) : 2000,
             seed ? strtol(seed, NULL, 10) : 1);
    FILE *f = tpt_python_with("torch", "tests/diff/programs.py", args);
    run *r = run_all(dup(fileno(f)), NO_FAULT, 1000000000);
    tpt_python_end(f);
    assert_true(r->programs > 0);
    finish(r);
}

/* ---- every public op is there ---------------------------------------------------------------- */

/* Functions that give a tensor without being an op of their own: operands and leaves are made by
 * some of them, the others belong to the tape or to containers. */
static const char *const no_ops[] = {
    "num",  "num_int",        "from",        "from_floats",  "from_ints", "keep",    "dict_get",
    "grad", "requires_grad_", "retain_grad", "scope_escape", "apply",     "dict_at",
};

static bool is_known(const char *name) {
    for (int k = 0; k < CALLS; k++)
        if (!strcmp(calls[k].name, name)) return true;
    for (int k = 0; k < TP__COUNT(no_ops); k++)
        if (!strcmp(no_ops[k], name)) return true;
    return false;
}
/* Every `tp_tensor *tp_NAME(` of a header. */
static int look_through(const char *header) {
    FILE *f = fopen(tpt_source(header), "r");
    assert_non_null(f);
    char line[512], name[64];
    int n = 0;
    while (fgets(line, sizeof line, f)) {
        const char *at = strstr(line, "tp_tensor *tp_");
        if (strncmp(line, "TP_API", 6) || !at ||
            sscanf(at, "tp_tensor *tp_%63[A-Za-z0-9_](", name) != 1)
            continue;
        if (name[0] != '_' && !is_known(name))
            fail_msg("no random calls of tp_%s (%s)", name, header);
        n++;
    }
    fclose(f);
    return n;
}
static void every_public_op_is_called(void **state) {
    (void)state;
    const int n = look_through("include/taper/tensor.h") +
                  look_through("include/taper/autograd.h") + look_through("include/taper/ops.h") +
                  look_through("include/taper/pointwise.h");
    assert_true(n >= CALLS);
}

/* ---- planted faults -------------------------------------------------------------------------- */

static void is_found(fault f) {
    FILE *file = golden();
    run *r = run_all(dup(fileno(file)), f, 1000);
    fclose(file);
    print_message("# %ld of %ld programs differ, program %ld first\n", r->different, r->programs,
                  r->first);
    const long different = r->different;
    free(r);
    assert_true(different > 0);
}

#define FINDS(name, f)               \
    static void name(void **state) { \
        (void)state;                 \
        is_found(f);                 \
    }
FINDS(finds_a_wrong_gradient, WRONG_GRADIENT)
FINDS(finds_a_missing_unbroadcast, NOT_UNBROADCAST)
FINDS(finds_a_wrong_promotion, WRONG_PROMOTION)
FINDS(finds_an_ignored_stride, IGNORED_STRIDE)
FINDS(finds_the_wrong_one_of_equals, LAST_OF_EQUALS)

/* test_diff [pattern]: only the tests whose name fits. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TPT(every_public_op_is_called),
        TPT(checked_in_programs),
        TPT(fresh_programs),
        TPT(finds_a_wrong_gradient),
        TPT(finds_a_missing_unbroadcast),
        TPT(finds_a_wrong_promotion),
        TPT(finds_an_ignored_stride),
        TPT(finds_the_wrong_one_of_equals),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
