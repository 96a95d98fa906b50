/* test_kernels.c -- pointwise kernels, casts, gathers and steps.
 *
 * The one idea: an element's result may depend on its operands alone. So every block, of any
 * shape, with any strides, at any ISA level, is compared bit for bit with the same elements
 * computed one by one at the base level; and what single elements give is compared with what
 * they should. */
#include "kernels/kernels.h"
#include "support.h"
#include <math.h>
#include <string.h>

enum { MAX_ELEMENTS = 2048, BYTES = MAX_ELEMENTS * 8 * 4 };

static const int64_t size_of[TP__DTYPE_COUNT] = {4, 8, 8, 1, 1};
static const char *const name_of[TP__DTYPE_COUNT] = {"float32", "float64", "int64", "uint8",
                                                     "bool"};

/* ---- random numbers of all kinds ------------------------------------------------------------- */

static double random_number(void) {
    static const double special[] = {0.0,      -0.0,      1,   -1,    2,       -3,   0.5,
                                     INFINITY, -INFINITY, NAN, 1e-40, -1e-310, 3e38, 1e300};
    const uint64_t u = tpt_random();
    double x;
    memcpy(&x, &u, sizeof x);
    switch (u & 3) {
    case 0: return special[tpt_random_below(TP__COUNT(special))];
    case 1: return x;
    case 2: return (double)(tpt_random_below(41) - 20);
    default: return tpt_random_in(-10, 10);
    }
}

static int64_t random_whole(void) {
    static const int64_t special[] = {0,   1,  -1, 2, -2, INT64_MIN, INT64_MAX, INT64_MIN + 1,
                                      255, 256};
    const uint64_t u = tpt_random();
    return u & 1   ? special[tpt_random_below(TP__COUNT(special))]
           : u & 2 ? (int64_t)u
                   : tpt_random_below(100) - 50;
}

static void set_random(tp_dtype d, void *p) {
    switch (d) {
    case TP_FLOAT32: *(float *)p = (float)random_number(); break;
    case TP_FLOAT64: *(double *)p = random_number(); break;
    case TP_INT64: *(int64_t *)p = random_whole(); break;
    case TP_UINT8: *(uint8_t *)p = (uint8_t)tpt_random(); break;
    default: *(uint8_t *)p = tpt_random() >> 7 & 1; break;
    }
}

static bool is_nan(tp_dtype d, const void *p) {
    return d == TP_FLOAT32   ? isnan(*(const float *)p)
           : d == TP_FLOAT64 ? isnan(*(const double *)p)
                             : false;
}

static bool same(tp_dtype d, const void *a, const void *b) {
    return memcmp(a, b, (size_t)size_of[d]) == 0 || (is_nan(d, a) && is_nan(d, b));
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct operand {
    tp_dtype dtype;
    int64_t row, col; /* bytes */
    _Alignas(64) char data[BYTES];
} operand;

enum { DENSE, APART, TRANSPOSED, ROW, COLUMN, NUMBER, LAYOUTS };

static void lay_out(operand *o, tp_dtype d, int layout, int64_t m, int64_t n) {
    const int64_t s = size_of[d];
    const int64_t row[LAYOUTS] = {n * s, n * 3 * s + s, s, 0, s, 0},
                  col[LAYOUTS] = {s, 3 * s, m * s, s, 0, 0};
    o->dtype = d;
    o->row = row[layout];
    o->col = col[layout];
    for (int64_t i = 0; i < BYTES / s; i++) set_random(d, o->data + i * s);
}

static void *element(operand *o, int64_t i, int64_t j) {
    return o->data + i * o->row + j * o->col;
}

/* out is compared as a whole: its elements, and that nothing between them is touched. */
static void expect_elementwise(const char *name, tp__pw_fn fn, tp__pw_fn one, operand *o, int count,
                               int64_t m, int64_t n, double p, double q) {
    static operand want;
    memcpy(&want, &o[0], sizeof want);
    tp__pw_block b = {.m = 1, .n = 1, .p = p, .q = q};
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int k = 1; k < count; k++) b.ptr[k] = element(&o[k], i, j);
            b.ptr[0] = element(&want, i, j);
            for (int k = 0; k < count; k++) b.row[k] = b.col[k] = size_of[o[k].dtype];
            one(&b);
        }
    b.m = m;
    b.n = n;
    for (int k = 0; k < count; k++) {
        b.ptr[k] = o[k].data;
        b.row[k] = o[k].row;
        b.col[k] = o[k].col;
    }
    fn(&b);
    const int64_t s = size_of[want.dtype];
    for (int64_t i = 0; i < BYTES / s; i++)
        if (!same(want.dtype, o[0].data + i * s, want.data + i * s))
            fail_msg("%s %s at %s, %ld x %ld: place %ld differs", name, name_of[want.dtype],
                     tp__isa_name(tp__kernels_isa()), (long)m, (long)n, (long)i);
}

/* A kernel in random layouts of random shapes; out may be operand 1 itself. */
static void try_layouts(const char *name, tp__pw_fn fn, tp__pw_fn one, const tp_dtype *dtype,
                        int count, double p, double q) {
    static const int64_t shape[][2] = {{1, 1},   {1, 700}, {3, 37},  {60, 10}, {2, 600},
                                       {7, 129}, {5, 16},  {200, 1}, {1, 15}};
    static operand o[TP__PW_ARGS];
    for (int trial = 0; trial < TP__COUNT(shape); trial++) {
        const int64_t m = shape[trial][0], n = shape[trial][1];
        lay_out(&o[0], dtype[0], (int)tpt_random_below(TRANSPOSED + 1), m, n);
        for (int k = 1; k < count; k++)
            lay_out(&o[k], dtype[k], (int)tpt_random_below(LAYOUTS), m, n);
        expect_elementwise(name, fn, one, o, count, m, n, p, q);
    }
}

static void in_place(const char *name, tp__pw_fn fn, const tp_dtype *dtype, int count, double p,
                     double q) {
    static operand o[TP__PW_ARGS], copy;
    const int64_t n = 333;
    for (int k = 0; k < count; k++) lay_out(&o[k], dtype[k], k < 2 ? DENSE : NUMBER, 1, n);
    memcpy(&copy, &o[1], sizeof copy);
    tp__pw_block b = {.m = 1, .n = n, .p = p, .q = q};
    for (int k = 0; k < count; k++) b.ptr[k] = o[k].data, b.col[k] = o[k].col;
    fn(&b);
    b.ptr[0] = b.ptr[1] = copy.data;
    fn(&b);
    for (int64_t i = 0; i < n; i++)
        if (!same(dtype[0], element(&o[0], 0, i), element(&copy, 0, i)))
            fail_msg("%s in place: place %ld", name, (long)i);
}

static void try_everywhere(const char *name, tp__pw_fn (*get)(int, tp_dtype), int what, tp_dtype d,
                           const tp_dtype *dtype, int count, double p, double q) {
    tp__kernels_use(TP__ISA_BASE);
    const tp__pw_fn one = get(what, d);
    if (!one) return;
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        try_layouts(name, get(what, d), one, dtype, count, p, q);
        if (dtype[0] == dtype[1]) in_place(name, get(what, d), dtype, count, p, q);
    }
    tp__kernels_use(tp__cpu_isa());
}

static tp__pw_fn forward(int op, tp_dtype d) {
    return tp__pw_forward((tp__pw_op)op, d);
}

static tp__pw_fn backward(int op, tp_dtype d) {
    return tp__pw_backward((tp__pw_op)(op / 2), op % 2, d);
}

/* ---- every row of pointwise.def -------------------------------------------------------------- */

typedef struct row {
    const char *name;
    tp__pw_op op;
    int operands, saves; /* saves: -1 without gradient */
    bool to_bool;
    double lo, hi;
    int dtypes; /* that it must have: bits */
} row;

enum { FLOAT_BITS = 3, NUMBER_BITS = 15, ALL_BITS = 31, WHOLE_BITS = 28 };

/* bool has these rows of BINARY_NUM */
enum { BOOL_add = 16, BOOL_mul = 16, BOOL_maximum = 16, BOOL_minimum = 16 };
enum { BOOL_sub = 0, BOOL_pow = 0, BOOL_remainder = 0, BOOL_floor_divide = 0 };
/* integers have these rows of PARAM */
enum { INT_clamp = 12, INT_leaky_relu = 0, INT_elu = 0 };

static const row rows[] = {
#define UNARY(name, grad, saves, lo, hi, ...) \
    {#name, TP__PW_##name, 1, saves, false, lo, hi, FLOAT_BITS},
#define UNARY_NUM(name, grad, saves, lo, hi, ...) \
    {#name, TP__PW_##name,                        \
     1,     saves,                                \
     false, lo,                                   \
     hi,    NUMBER_BITS | (TP__PW_##name == TP__PW_sign ? 16 : 0)},
#define TEST(name, ...) {#name, TP__PW_##name, 1, -1, true, 0, 0, ALL_BITS},
#define BINARY(name, grad, saves, lo, hi, ...) \
    {#name, TP__PW_##name, 2, saves, false, lo, hi, FLOAT_BITS},
#define BINARY_NUM(name, grad, saves, lo, hi, ...) \
    {#name, TP__PW_##name, 2, saves, false, lo, hi, NUMBER_BITS | BOOL_##name},
#define COMPARE(name, ...) {#name, TP__PW_##name, 2, -1, true, 0, 0, ALL_BITS},
#define BITWISE(name, ...) {#name, TP__PW_##name, 2, -1, false, 0, 0, WHOLE_BITS},
#define PARAM(name, grad, saves, lo, hi, ...) \
    {#name, TP__PW_##name, 1, saves, false, lo, hi, FLOAT_BITS | INT_##name},
#include "kernels/pointwise.def"
};

static void rows_have_their_dtypes(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(rows); i++)
        for (tp_dtype d = TP_FLOAT32; d < TP__DTYPE_COUNT; d++) {
            const bool has = tp__pw_forward(rows[i].op, d) != NULL;
            if (has != (rows[i].dtypes >> d & 1))
                fail_msg("%s %s: kernel is %d", rows[i].name, name_of[d], has);
            const bool grad = tp__pw_backward(rows[i].op, 0, d) != NULL;
            if (grad != (rows[i].saves >= 0 && d <= TP_FLOAT64))
                fail_msg("%s %s: backward", rows[i].name, name_of[d]);
        }
    for (tp_dtype d = TP_FLOAT32; d < TP__DTYPE_COUNT; d++)
        assert_non_null(tp__pw_forward(TP__PW_where, d));
}

static void elements_stand_alone(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(rows); i++)
        for (tp_dtype d = TP_FLOAT32; d < TP__DTYPE_COUNT; d++) {
            const tp_dtype dtype[] = {rows[i].to_bool ? TP_BOOL : d, d, d};
            try_everywhere(rows[i].name, forward, rows[i].op, d, dtype, 1 + rows[i].operands, -2.0,
                           3.0);
        }
    for (tp_dtype d = TP_FLOAT32; d < TP__DTYPE_COUNT; d++) {
        const tp_dtype dtype[] = {d, TP_BOOL, d, d};
        try_everywhere("where", forward, TP__PW_where, d, dtype, 4, 0, 0);
    }
    for (tp_dtype d = TP_FLOAT32; d <= TP_FLOAT64; d++)
        for (double p = -2; p <= 3; p++) {
            const tp_dtype dtype[] = {d, d, d};
            if (!tp__is_short_power(p)) continue;
            try_everywhere("power", forward, TP__PW_power, d, dtype, 2, p, 0);
            try_everywhere("power", backward, TP__PW_power * 2, d, dtype, 3, p, 0);
        }
}

static void gradients_stand_alone(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(rows); i++)
        for (tp_dtype d = TP_FLOAT32; d <= TP_FLOAT64; d++) {
            const tp_dtype dtype[] = {d, d, d, d, d};
            for (int k = 0; k < rows[i].operands; k++)
                try_everywhere(rows[i].name, backward, rows[i].op * 2 + k, d, dtype, TP__PW_ARGS,
                               -2.0, 3.0);
        }
}

/* One number through a kernel. */
static double value_of(tp__pw_fn fn, double a, double b, double p, double q) {
    double y = 0;
    const tp__pw_block block = {.m = 1, .n = 1, .ptr = {&y, &a, &b}, .p = p, .q = q};
    fn(&block);
    return y;
}

/* Central differences in double; operands that are not saved are not there. */
static void gradients_are_slopes(void **state) {
    (void)state;
    const double p = 0.5, q = 1.5, h = 1e-6;
    for (int i = 0; i < TP__COUNT(rows); i++) {
        if (rows[i].saves < 0) continue;
        const tp__pw_fn f = tp__pw_forward(rows[i].op, TP_FLOAT64);
        for (int trial = 0; trial < 200; trial++) {
            double a = tpt_random_in(rows[i].lo, rows[i].hi),
                   b = tpt_random_in(rows[i].lo, rows[i].hi), g = tpt_random_in(-2, 2);
            if (fabs(a - b) < 1e-3) b += 2e-3; /* maximum and its kin have corners */
            if (fabs(a - p) < 1e-3 || fabs(a - q) < 1e-3) a += 2e-3;
            double y = value_of(f, a, b, p, q), got = 0;
            for (int k = 0; k < rows[i].operands; k++) {
                const double ha = k == 0 ? h : 0, hb = k == 1 ? h : 0;
                const double slope =
                    (value_of(f, a + ha, b + hb, p, q) - value_of(f, a - ha, b - hb, p, q)) /
                    (2 * h);
                const tp__pw_block block = {.m = 1,
                                            .n = 1,
                                            .p = p,
                                            .q = q,
                                            .ptr = {&got, &g, rows[i].saves & SAVE_A ? &a : NULL,
                                                    rows[i].saves & SAVE_B ? &b : NULL,
                                                    rows[i].saves & SAVE_Y ? &y : NULL}};
                tp__pw_backward(rows[i].op, k, TP_FLOAT64)(&block);
                if (!(fabs(got - g * slope) <= 1e-7 * (1 + fabs(g * slope))))
                    fail_msg("%s: d/d%c at %g, %g is %.9g, not %.9g", rows[i].name, "ab"[k], a, b,
                             got, g * slope);
            }
        }
    }
}

/* ---- what single elements give --------------------------------------------------------------- */

static const struct {
    tp__pw_op op;
    double a, b, want;
} float_cases[] = {
    {TP__PW_neg, 0.0, 0, -0.0},
    {TP__PW_abs, -0.0, 0, 0.0},
    {TP__PW_abs, -INFINITY, 0, INFINITY},
    {TP__PW_sign, -3, 0, -1},
    {TP__PW_sign, -0.0, 0, 0},
    {TP__PW_relu, -2, 0, 0},
    {TP__PW_relu, NAN, 0, NAN},
    {TP__PW_relu, INFINITY, 0, INFINITY},
    {TP__PW_floor, -1.5, 0, -2},
    {TP__PW_ceil, -1.5, 0, -1},
    {TP__PW_trunc, -1.5, 0, -1},
    {TP__PW_round, 2.5, 0, 2},
    {TP__PW_round, -3.5, 0, -4},
    {TP__PW_floor, 1e30, 0, 1e30},
    {TP__PW_sqrt, -1, 0, NAN},
    {TP__PW_sqrt, 9, 0, 3},
    {TP__PW_rsqrt, 0.0, 0, INFINITY},
    {TP__PW_rsqrt, 4, 0, 0.5},
    {TP__PW_reciprocal, -0.0, 0, -INFINITY},
    {TP__PW_div, 1, 0.0, INFINITY},
    {TP__PW_div, 0, 0.0, NAN},
    {TP__PW_maximum, NAN, 1, NAN},
    {TP__PW_maximum, 1, NAN, NAN},
    {TP__PW_maximum, -1, 2, 2},
    {TP__PW_minimum, NAN, 1, NAN},
    {TP__PW_minimum, 1, NAN, NAN},
    {TP__PW_minimum, -INFINITY, 2, -INFINITY},
    {TP__PW_remainder, -7, 3, 2},
    {TP__PW_remainder, 7, -3, -2},
    {TP__PW_remainder, -7, -3, -1},
    {TP__PW_remainder, 5.5, 2, 1.5},
    {TP__PW_remainder, 1, 0.0, NAN},
    {TP__PW_remainder, 1, INFINITY, 1},
    {TP__PW_floor_divide, -7, 2, -4},
    {TP__PW_floor_divide, 7, -2, -4},
    {TP__PW_floor_divide, -7, -2, 3},
    {TP__PW_floor_divide, 1, 0.0, INFINITY},
    {TP__PW_floor_divide, -1, 3, -1},
    {TP__PW_floor_divide, 1, 0.25, 4},
    {TP__PW_silu, 0, 0, 0},
    {TP__PW_gelu, 0, 0, 0},
    {TP__PW_softplus, 100, 0, 100},
    {TP__PW_softplus, -INFINITY, 0, 0},
    {TP__PW_logsigmoid, 1000, 0, 0},
    {TP__PW_logsigmoid, -200, 0, -200},
};

static void floats_as_torch(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(float_cases); i++) {
        const double a = float_cases[i].a, b = float_cases[i].b, want = float_cases[i].want;
        const double got = value_of(tp__pw_forward(float_cases[i].op, TP_FLOAT64), a, b, 0, 0);
        float af = (float)a, bf = (float)b, y = 0;
        const tp__pw_block block = {.m = 1, .n = 1, .ptr = {&y, &af, &bf}};
        tp__pw_forward(float_cases[i].op, TP_FLOAT32)(&block);
        const bool ok64 = got == want ? !signbit(got) == !signbit(want) : isnan(got) && isnan(want);
        const bool ok32 =
            y == (float)want ? !signbit(y) == !signbit(want) : isnan(y) && isnan(want);
        if (!ok64 || !ok32)
            fail_msg("case %d: f(%g, %g) is %g and %g, not %g", i, a, b, got, (double)y, want);
    }
}

static const struct {
    tp__pw_op op;
    int64_t a, b, want;
} whole_cases[] = {
    {TP__PW_add, INT64_MAX, 1, INT64_MIN},
    {TP__PW_sub, INT64_MIN, 1, INT64_MAX},
    {TP__PW_mul, INT64_MIN, -1, INT64_MIN},
    {TP__PW_neg, INT64_MIN, 0, INT64_MIN},
    {TP__PW_abs, INT64_MIN, 0, INT64_MIN},
    {TP__PW_abs, -5, 0, 5},
    {TP__PW_square, 1ll << 32, 0, 0},
    {TP__PW_sign, -9, 0, -1},
    {TP__PW_relu, -9, 0, 0},
    {TP__PW_remainder, -7, 3, 2},
    {TP__PW_remainder, 7, -3, -2},
    {TP__PW_remainder, 7, 0, 0},
    {TP__PW_remainder, INT64_MIN, -1, 0},
    {TP__PW_floor_divide, -7, 2, -4},
    {TP__PW_floor_divide, 7, -2, -4},
    {TP__PW_floor_divide, 6, -2, -3},
    {TP__PW_floor_divide, 7, 0, 0},
    {TP__PW_floor_divide, INT64_MIN, -1, INT64_MIN},
    {TP__PW_pow, 3, 4, 81},
    {TP__PW_pow, -2, 63, INT64_MIN},
    {TP__PW_pow, 0, 0, 1},
    {TP__PW_pow, -1, -3, -1},
    {TP__PW_pow, 1, -3, 1},
    {TP__PW_pow, 5, -1, 0},
    {TP__PW_maximum, -3, 2, 2},
    {TP__PW_minimum, -3, 2, -3},
    {TP__PW_bitwise_and, 12, 10, 8},
    {TP__PW_bitwise_or, 12, 10, 14},
    {TP__PW_bitwise_xor, 12, 10, 6},
    {TP__PW_floor, -7, 0, -7},
};

static int64_t whole_value_of(tp__pw_op op, int64_t a, int64_t b, double p, double q) {
    int64_t y = 0;
    const tp__pw_block block = {.m = 1, .n = 1, .ptr = {&y, &a, &b}, .p = p, .q = q};
    tp__pw_forward(op, TP_INT64)(&block);
    return y;
}

static int byte_value_of(tp__pw_op op, tp_dtype d, uint8_t a, uint8_t b, double p, double q) {
    uint8_t y = 0;
    const tp__pw_block block = {.m = 1, .n = 1, .ptr = {&y, &a, &b}, .p = p, .q = q};
    tp__pw_forward(op, d)(&block);
    return y;
}

static void short_powers_are_products(void **state) {
    (void)state;
    const tp__pw_fn power = tp__pw_forward(TP__PW_power, TP_FLOAT64),
                    slope = tp__pw_backward(TP__PW_power, 0, TP_FLOAT64);
    for (int i = 0; i < 100; i++) {
        const double x = i ? tpt_random_in(-3, 3) : -0.0;
        const double want[] = {1 / (x * x), 1 / x, 1, x, x * x, x * x * x};
        const double dx[] = {-2 * (1 / (x * x * x)), -(1 / (x * x)), 0, 1, 0, 3 * (x * x)};
        for (int p = -2; p <= 3; p++) {
            double g = 2, y = 0;
            const tp__pw_block b = {.m = 1, .n = 1, .ptr = {&y, &g, (void *)&x}, .p = p};
            if (!tp__is_short_power(p)) continue;
            assert_true(value_of(power, x, 0, p, 0) == want[p + 2]);
            slope(&b);
            assert_true(y == 2 * dx[p + 2]);
        }
    }
    assert_false(tp__is_short_power(2) || tp__is_short_power(0.5) || tp__is_short_power(NAN));
}

static void integers_wrap_and_never_trap(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(whole_cases); i++)
        assert_int_equal(
            whole_value_of(whole_cases[i].op, whole_cases[i].a, whole_cases[i].b, 0, 0),
            whole_cases[i].want);
    assert_int_equal(byte_value_of(TP__PW_add, TP_UINT8, 200, 100, 0, 0), 44);
    assert_int_equal(byte_value_of(TP__PW_sub, TP_UINT8, 1, 2, 0, 0), 255);
    assert_int_equal(byte_value_of(TP__PW_neg, TP_UINT8, 1, 0, 0, 0), 255);
    assert_int_equal(byte_value_of(TP__PW_mul, TP_UINT8, 16, 17, 0, 0), 16);
    assert_int_equal(byte_value_of(TP__PW_pow, TP_UINT8, 2, 8, 0, 0), 0);
    assert_int_equal(byte_value_of(TP__PW_remainder, TP_UINT8, 7, 0, 0, 0), 0);
    assert_int_equal(byte_value_of(TP__PW_floor_divide, TP_UINT8, 7, 2, 0, 0), 3);
    assert_int_equal(byte_value_of(TP__PW_add, TP_BOOL, 1, 1, 0, 0), 1);
    assert_int_equal(byte_value_of(TP__PW_mul, TP_BOOL, 1, 0, 0, 0), 0);
    assert_int_equal(byte_value_of(TP__PW_maximum, TP_BOOL, 0, 1, 0, 0), 1);
    assert_int_equal(byte_value_of(TP__PW_minimum, TP_BOOL, 0, 1, 0, 0), 0);
    assert_int_equal(whole_value_of(TP__PW_clamp, 50, 0, -INFINITY, 9), 9);
    assert_int_equal(whole_value_of(TP__PW_clamp, -50, 0, -7, INFINITY), -7);
    assert_int_equal(byte_value_of(TP__PW_clamp, TP_UINT8, 50, 0, -3, 1000), 50);
}

static void clamp_and_its_kin(void **state) {
    (void)state;
    const tp__pw_fn clamp = tp__pw_forward(TP__PW_clamp, TP_FLOAT64);
    assert_true(value_of(clamp, 5, 0, -1, 1) == 1);
    assert_true(value_of(clamp, -5, 0, -1, 1) == -1);
    assert_true(value_of(clamp, 0, 0, 2, 1) == 1); /* as torch: the upper bound wins */
    assert_true(isnan(value_of(clamp, NAN, 0, -1, 1)));
    assert_true(value_of(tp__pw_forward(TP__PW_leaky_relu, TP_FLOAT64), -4, 0, 0.25, 0) == -1);
    assert_true(value_of(tp__pw_forward(TP__PW_elu, TP_FLOAT64), -INFINITY, 0, 2, 0) == -2);
}

static void comparisons(void **state) {
    (void)state;
    static const double v[] = {-1, -0.0, 0.0, 1, INFINITY, NAN};
    for (int i = 0; i < TP__COUNT(v); i++)
        for (int j = 0; j < TP__COUNT(v); j++) {
            const double a = v[i], b = v[j];
            const struct {
                tp__pw_op op;
                bool want;
            } c[] = {{TP__PW_eq, a == b},
                     {TP__PW_ne, a != b},
                     {TP__PW_lt, a < b},
                     {TP__PW_le, a <= b},
                     {TP__PW_gt, a > b},
                     {TP__PW_ge, a >= b},
                     {TP__PW_logical_and, a != 0 && b != 0},
                     {TP__PW_logical_or, a != 0 || b != 0},
                     {TP__PW_logical_xor, (a != 0) != (b != 0)},
                     {TP__PW_isnan, isnan(a)},
                     {TP__PW_isinf, isinf(a)},
                     {TP__PW_isfinite, isfinite(a)},
                     {TP__PW_logical_not, a == 0}};
            for (int k = 0; k < TP__COUNT(c); k++) {
                uint8_t y = 7;
                const tp__pw_block block = {.m = 1, .n = 1, .ptr = {&y, (void *)&a, (void *)&b}};
                tp__pw_forward(c[k].op, TP_FLOAT64)(&block);
                assert_int_equal(y, c[k].want);
            }
        }
    assert_int_equal(byte_value_of(TP__PW_isfinite, TP_UINT8, 255, 0, 0, 0), 1);
    assert_int_equal(byte_value_of(TP__PW_isinf, TP_BOOL, 1, 0, 0, 0), 0);
}

/* ---- casts ----------------------------------------------------------------------------------- */

static tp__pw_fn cast_of(int to, tp_dtype from) {
    return tp__cast((tp_dtype)to, from);
}

/* C's rule where it has one; else x86-64's, as the header says. */
static void cast_one(tp_dtype to, void *y, tp_dtype from, const void *x) {
    const bool is_float = from <= TP_FLOAT64;
    const double v = from == TP_FLOAT32   ? *(const float *)x
                     : from == TP_FLOAT64 ? *(const double *)x
                                          : 0;
    const int64_t w = from == TP_INT64 ? *(const int64_t *)x : is_float ? 0 : *(const uint8_t *)x;
    const bool in64 = v >= -0x1p63 && v<0x1p63, in32 = v> - 0x1p31 && v < 0x1p31;
    if (to == TP_FLOAT32) *(float *)y = is_float ? (float)v : (float)w;
    if (to == TP_FLOAT64) *(double *)y = is_float ? v : (double)w;
    if (to == TP_INT64) *(int64_t *)y = !is_float ? w : in64 ? (int64_t)v : INT64_MIN;
    if (to == TP_UINT8) *(uint8_t *)y = (uint8_t)(!is_float ? w : in32 ? (int32_t)v : 0);
    if (to == TP_BOOL) *(uint8_t *)y = is_float ? v != 0 : w != 0;
}

static void casts(void **state) {
    (void)state;
    for (tp_dtype to = TP_FLOAT32; to < TP__DTYPE_COUNT; to++)
        for (tp_dtype from = TP_FLOAT32; from < TP__DTYPE_COUNT; from++) {
            const tp_dtype dtype[] = {to, from};
            try_everywhere("cast", cast_of, to, from, dtype, 2, 0, 0);
            for (int i = 0; i < 2000; i++) {
                _Alignas(8) char x[8] = {0}, y[8] = {0}, want[8] = {0};
                set_random(from, x);
                cast_one(to, want, from, x);
                const tp__pw_block b = {.m = 1, .n = 1, .ptr = {y, x}};
                tp__cast(to, from)(&b);
                if (!same(to, y, want))
                    fail_msg("%s to %s, case %d", name_of[from], name_of[to], i);
            }
        }
}

/* Blocks large enough for the tiles of a transposed copy, at odd sizes and offsets. */
static void transposed_copies(void **state) {
    (void)state;
    enum { MOST = 150 * 150 };
    static const int64_t shape[][2] = {{150, 131}, {64, 64},  {65, 63}, {150, 3},
                                       {3, 150},   {17, 145}, {128, 1}};
    static uint64_t x[MOST], y[MOST + 1];
    for (int i = 0; i < MOST; i++) x[i] = tpt_random();
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (tp_dtype d = TP_FLOAT32; d < TP__DTYPE_COUNT; d++)
            for (int k = 0; k < TP__COUNT(shape); k++) {
                const int64_t m = shape[k][0], n = shape[k][1], s = size_of[d];
                char *const out = (char *)y + s;
                memset(y, 0x5a, sizeof y);
                const tp__pw_block b = {
                    .m = m, .n = n, .ptr = {out, x}, .row = {n * s, s}, .col = {s, m * s}};
                tp__cast(d, d)(&b);
                for (int64_t i = 0; i < m; i++)
                    for (int64_t j = 0; j < n; j++)
                        assert_memory_equal(out + (i * n + j) * s, (char *)x + (j * m + i) * s,
                                            (size_t)s);
                for (char *p = out + m * n * s; p < (char *)(y + MOST + 1); p++)
                    assert_int_equal(*p, 0x5a);
                for (char *p = (char *)y; p < out; p++) assert_int_equal(*p, 0x5a);
            }
    }
    tp__kernels_use(tp__cpu_isa());
}

/* ---- gather ---------------------------------------------------------------------------------- */

static void gathered_rows(void **state) {
    (void)state;
    enum { ROWS = 100, COLS = 779, TAKEN = 150, SOON = 70 };
    static uint8_t bytes[ROWS * COLS];
    static float out[TAKEN * COLS];
    static int64_t index[TAKEN + SOON];
    for (int i = 0; i < ROWS * COLS; i++) bytes[i] = i < 256 ? (uint8_t)i : (uint8_t)tpt_random();
    for (int i = 1; i < TAKEN + SOON; i++)
        index[i] = tpt_random_below(ROWS); /* row 0 has each value */
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        tp__gather_rows(&(tp__gather){bytes, index, index + TAKEN, TAKEN, SOON, COLS, out});
        for (int i = 0; i < TAKEN; i++)
            for (int j = 0; j < COLS; j++)
                if (out[i * COLS + j] != (float)bytes[index[i] * COLS + j] / 255.0f)
                    fail_msg("isa %d row %d column %d", (int)isa, i, j);
    }
    tp__kernels_use(tp__cpu_isa());
}

/* ---- optimizer steps ------------------------------------------------------------------------- */

enum { STEP_N = 70003, STEPS = 3 };

typedef struct weights {
    float p[STEP_N], g[STEPS][STEP_N], v[STEP_N], s[STEP_N];
    double pd[STEP_N], gd[STEPS][STEP_N], vd[STEP_N], sd[STEP_N];
} weights;
static weights start, by_hand, here;

static void make_start(void) {
    memset(&start, 0, sizeof start);
    for (int i = 0; i < STEP_N; i++) {
        start.pd[i] = start.p[i] = (float)tpt_random_in(-1, 1);
        for (int t = 0; t < STEPS; t++)
            start.gd[t][i] = start.g[t][i] = (float)tpt_random_in(-1, 1);
    }
}

static const double lr = 0.1, mom = 0.9, wd = 0.01, b2 = 0.99, eps = 1e-5;

/* What the header says, one number at a time. */
static void sgd_by_hand(weights *w, bool momentum) {
    for (int t = 0; t < STEPS; t++)
        for (int i = 0; i < STEP_N; i++) {
            const float shrunk = w->p[i] * (float)(1 - lr * wd);
            const double shrunk_d = w->pd[i] * (1 - lr * wd);
            if (momentum) {
                w->v[i] = w->v[i] * (float)mom + w->g[t][i];
                w->vd[i] = w->vd[i] * mom + w->gd[t][i];
            }
            w->p[i] = fmaf(momentum ? w->v[i] : w->g[t][i], (float)-lr, shrunk);
            w->pd[i] = fma(momentum ? w->vd[i] : w->gd[t][i], -lr, shrunk_d);
        }
}

static void adam_by_hand(weights *w) {
    double p1 = 1, p2 = 1;
    for (int t = 0; t < STEPS; t++) {
        p1 *= mom;
        p2 *= b2;
        const double rate = -lr / (1 - p1), debias = 1 - p2;
        for (int i = 0; i < STEP_N; i++) {
            const float g = w->g[t][i];
            w->v[i] = fmaf(g, (float)(1 - mom), w->v[i] * (float)mom);
            w->s[i] = fmaf((float)(1 - b2) * g, g, w->s[i] * (float)b2);
            w->p[i] = w->p[i] * (float)(1 - lr * wd) +
                      (float)rate * w->v[i] / (sqrtf(w->s[i] / (float)debias) + (float)eps);
            const double gd = w->gd[t][i];
            w->vd[i] = fma(gd, 1 - mom, w->vd[i] * mom);
            w->sd[i] = fma((1 - b2) * gd, gd, w->sd[i] * b2);
            w->pd[i] = w->pd[i] * (1 - lr * wd) + rate * w->vd[i] / (sqrt(w->sd[i] / debias) + eps);
        }
    }
}

static void expect_weights(const char *what) {
    if (memcmp(here.p, by_hand.p, sizeof here.p) != 0 ||
        memcmp(here.v, by_hand.v, sizeof here.v) != 0 ||
        memcmp(here.s, by_hand.s, sizeof here.s) != 0)
        fail_msg("%s float32 at %s", what, tp__isa_name(tp__kernels_isa()));
    if (memcmp(here.pd, by_hand.pd, sizeof here.pd) != 0 ||
        memcmp(here.vd, by_hand.vd, sizeof here.vd) != 0 ||
        memcmp(here.sd, by_hand.sd, sizeof here.sd) != 0)
        fail_msg("%s float64 at %s", what, tp__isa_name(tp__kernels_isa()));
}

static void sgd_steps(bool momentum) {
    memcpy(&here, &start, sizeof here);
    for (int t = 0; t < STEPS; t++) {
        tp__sgd_step(TP_FLOAT32, here.p, here.g[t], momentum ? here.v : NULL, STEP_N, lr,
                     momentum ? mom : 0, wd, t == 0);
        tp__sgd_step(TP_FLOAT64, here.pd, here.gd[t], momentum ? here.vd : NULL, STEP_N, lr,
                     momentum ? mom : 0, wd, t == 0);
    }
    expect_weights(momentum ? "SGD with momentum" : "SGD");
}

static void adam_steps(void) {
    memcpy(&here, &start, sizeof here);
    for (int t = 0; t < STEPS; t++) {
        tp__adam_step(TP_FLOAT32, here.p, here.g[t], here.v, here.s, STEP_N, lr, mom, b2, eps, wd,
                      t + 1);
        tp__adam_step(TP_FLOAT64, here.pd, here.gd[t], here.vd, here.sd, STEP_N, lr, mom, b2, eps,
                      wd, t + 1);
    }
    expect_weights("Adam");
}

static void on_every_level_and_thread_count(void (*steps)(void)) {
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (int threads = 1; threads <= 3; threads += 2) {
            tpt_ok(tp_set_num_threads(threads));
            steps();
        }
    }
    tp__kernels_use(tp__cpu_isa());
    tpt_ok(tp_set_num_threads(0));
}

static void sgd_plain(void) {
    sgd_steps(false);
}

static void sgd_with_momentum(void) {
    sgd_steps(true);
}

static void optimizer_steps(void **state) {
    (void)state;
    make_start();
    memcpy(&by_hand, &start, sizeof by_hand);
    sgd_by_hand(&by_hand, false);
    on_every_level_and_thread_count(sgd_plain);
    memcpy(&by_hand, &start, sizeof by_hand);
    sgd_by_hand(&by_hand, true);
    on_every_level_and_thread_count(sgd_with_momentum);
    memcpy(&by_hand, &start, sizeof by_hand);
    adam_by_hand(&by_hand);
    on_every_level_and_thread_count(adam_steps);
}

/* ---- normal numbers -------------------------------------------------------------------------- */

static void normal_numbers(void **state) {
    (void)state;
    enum { GROUPS = 5003, N = 16 * GROUPS };
    static float u[N], x[N], base[N];
    static double ud[N], xd[N], based[N];
    for (int i = 0; i < N; i++) ud[i] = u[i] = (float)(tpt_random() >> 40) * 0x1p-24f;
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        memcpy(x, u, sizeof x);
        memcpy(xd, ud, sizeof xd);
        tp__box_muller_f32(x, GROUPS, 0.5f, 2.0f);
        tp__box_muller_f64(xd, GROUPS, 0.5, 2.0);
        if (isa == TP__ISA_BASE) memcpy(base, x, sizeof x), memcpy(based, xd, sizeof xd);
        tpt_same_bits(x, base, sizeof x);
        tpt_same_bits(xd, based, sizeof xd);
    }
    tp__kernels_use(tp__cpu_isa());
    const double two_pi = 6.28318530717958647693;
    for (int i = 0; i < N; i++) {
        const int pair = i / 16 * 16 + i % 8;
        const double r = sqrt(-2 * log(1 - ud[pair])), t = two_pi * ud[pair + 8];
        const double want = 0.5 + 2.0 * (i % 16 < 8 ? r * cos(t) : r * sin(t));
        if (fabs(xd[i] - want) > 1e-14) fail_msg("float64 number %d: %g, not %g", i, xd[i], want);
        if (fabs(x[i] - want) > 6e-6)
            fail_msg("float32 number %d: %g, not %g", i, (double)x[i], want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(rows_have_their_dtypes),
        TPT(elements_stand_alone),
        TPT(gradients_stand_alone),
        TPT(gradients_are_slopes),
        TPT(floats_as_torch),
        TPT(integers_wrap_and_never_trap),
        TPT(clamp_and_its_kin),
        TPT(short_powers_are_products),
        TPT(comparisons),
        TPT(casts),
        TPT(transposed_copies),
        TPT(gathered_rows),
        TPT(optimizer_steps),
        TPT(normal_numbers),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
