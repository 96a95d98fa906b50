/* test_vmath.c -- exp, log, sin and their kin against the C library, one precision wider: float
 * over every exponent against double, double against long double; and at every ISA level the
 * same bits.
 *
 * The functions are called as the library calls them, through the kernels' table. Bounds are
 * what was measured over all floats (or over far more doubles than here), rounded up in the
 * second decimal. */
#include "kernels/kernels.h"
#include "kernels/vmath64.h"
#include "support.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4096, STEP = 509 }; /* every STEP-th float: about 16,500 for each exponent */
static bool all_floats;            /* TAPER_ALL_FLOATS=1: every one; half an hour */

static double sigmoid_wide(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static long double sigmoid_wider(long double x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static const struct {
    const char *name;
    tp__pw_op op;
    double (*wide)(double);
    long double (*wider)(long double);
    double ulp_f32, ulp_f64;
} functions[] = {
    {"exp", TP__PW_exp, exp, expl, 0.90, 0.90},
    {"expm1", TP__PW_expm1, expm1, expm1l, 1.50, 1.65},
    {"log", TP__PW_log, log, logl, 0.90, 0.85},
    {"log1p", TP__PW_log1p, log1p, log1pl, 1.45, 0.85},
    {"log2", TP__PW_log2, log2, log2l, 0.51, 0.51},
    {"log10", TP__PW_log10, log10, log10l, 0.51, 0.51},
    {"sin", TP__PW_sin, sin, sinl, 1.60, 0.80},
    {"cos", TP__PW_cos, cos, cosl, 1.60, 0.80},
    {"tanh", TP__PW_tanh, tanh, tanhl, 1.25, 1.35},
    {"sigmoid", TP__PW_sigmoid, sigmoid_wide, sigmoid_wider, 2.00, 1.85},
    {"erf", TP__PW_erf, erf, erfl, 1.30, 1.35},
};

static uint64_t next_random(void) {
    static uint64_t s = 0x9e3779b97f4a7c15u;
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    return s;
}

/* ---- distances ------------------------------------------------------------------------------- */

/* |got - want| in units in the last place of a type with `digits` bits and least exponent
 * `least`. Equal after rounding counts as 0 (so that an overflow both agree on does), a wrong
 * kind as infinite. */
static double distance(long double got, long double want, long double rounded, int digits,
                       int least) {
    if (got == rounded || (isnan(got) && isnan(want))) return 0;
    if (isnan(got) || isnan(want) || isinf(got) || isinf(rounded)) return INFINITY;
    int e;
    frexpl(want, &e);
    return (double)(fabsl(got - want) / ldexpl(1, (e < least ? least : e) - digits));
}

static double distance_f32(float got, double want) {
    return distance(got, want, (float)want, FLT_MANT_DIG, FLT_MIN_EXP);
}

static double distance_f64(double got, long double want) {
    return distance(got, want, (double)want, DBL_MANT_DIG, DBL_MIN_EXP);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call(tp__pw_op op, tp_dtype d, void *out, const void *a, const void *b, int64_t n) {
    const int64_t size = d == TP_FLOAT32 ? 4 : 8;
    const tp__pw_block block = {
        .m = 1, .n = n, .ptr = {out, (void *)a, (void *)b}, .col = {size, size, size}};
    tp__pw_forward(op, d)(&block);
}

/* The same bits at every level; NaN may have any payload. */
static void expect_same(const char *what, const void *got, const void *want, tp_dtype d,
                        int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double g = d == TP_FLOAT32 ? ((const float *)got)[i] : ((const double *)got)[i];
        const double w = d == TP_FLOAT32 ? ((const float *)want)[i] : ((const double *)want)[i];
        if (isnan(g) && isnan(w)) continue;
        if (g == w && !signbit(g) == !signbit(w)) continue;
        fail_msg("%s at %s: %a, %a at base", what, tp__isa_name(tp__kernels_isa()), g, w);
    }
}

/* Run at every level, compare, and leave the base level's result in out. */
static void call_everywhere(const char *name, tp__pw_op op, tp_dtype d, void *out, const void *a,
                            const void *b, int64_t n) {
    static double other[BATCH];
    assert_true(n <= BATCH);
    tp__kernels_use(TP__ISA_BASE);
    call(op, d, out, a, b, n);
    for (tp__isa isa = TP__ISA_V3; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        call(op, d, other, a, b, n);
        expect_same(name, other, out, d, n);
    }
    tp__kernels_use(tp__cpu_isa());
}

/* ---- fused multiply-add ---------------------------------------------------------------------- */

/* An odd number of 13 bits: the product of two has at most 26, so it is often halfway between two
 * floats. */
static float odd_of_13_bits(uint64_t u) {
    return (float)(u & 0xffe) + 0x1001;
}

/* Without the instruction, as this file is compiled, against the C library. Every second sum is
 * near the middle of two floats, where rounding it to double first would lose the side. */
static void fused_multiply_add(void **state) {
    (void)state;
    int64_t twice = 0; /* sums that are wrong if they are rounded to double first */
    for (int i = 0; i < 2000000; i++) {
        const uint64_t u = next_random(), v = next_random();
        float a = vm_from_f32((uint32_t)u), b = vm_from_f32((uint32_t)(u >> 32));
        float c = vm_from_f32((uint32_t)v);
        if (i & 1) {
            a = ldexpf(odd_of_13_bits(u), -(int)(v >> 57)); /* down to denormal results */
            b = ldexpf(odd_of_13_bits(u >> 12), -(int)(v >> 50 & 63));
            c = ldexpf((float)(int32_t)(v & 0xffff) - 0x8000, i & 2 ? -149 : -60);
        }
        const float got = vm_fma_f32(a, b, c), want = fmaf(a, b, c);
        twice += (float)((double)a * b + c) != want && want == want;
        if (vm_bits_f32(got) != vm_bits_f32(want) && !(isnan(got) && isnan(want)))
            fail_msg("%a * %a + %a is %a, not %a", a, b, c, got, want);
    }
    print_message("# of 2,000,000 sums %ld would be rounded twice\n", (long)twice);
    assert_true(twice > 10000);
}

/* ---- one argument ---------------------------------------------------------------------------- */

static void floats_against_double(void **state) {
    (void)state;
    static float x[BATCH], y[BATCH];
    for (int f = 0; f < TP__COUNT(functions); f++) {
        double worst = 0, at = 0;
        for (uint64_t u = 0; u <= UINT32_MAX;) {
            int n = 0;
            for (; n < BATCH && u <= UINT32_MAX; n++, u += all_floats ? 1 : STEP) {
                const uint32_t bits = (uint32_t)u;
                memcpy(&x[n], &bits, sizeof bits);
            }
            call_everywhere(functions[f].name, functions[f].op, TP_FLOAT32, y, x, NULL, n);
            for (int i = 0; i < n; i++) {
                const double e = distance_f32(y[i], functions[f].wide(x[i]));
                if (e > worst) worst = e, at = x[i];
            }
        }
        print_message("# %-8s float32 %.3f ulp at %a\n", functions[f].name, worst, at);
        if (worst > functions[f].ulp_f32)
            fail_msg("%s: %.3f ulp at %a", functions[f].name, worst, at);
    }
}

/* All bit patterns are alike, but every second number is of a moderate size. */
static double random_double(void) {
    const uint64_t u = next_random();
    double x;
    memcpy(&x, &u, sizeof x);
    return u >> 7 & 1 ? x : ldexp((double)(int64_t)u, -63 + (int)(next_random() % 26) - 13);
}

static void doubles_against_long_double(void **state) {
    (void)state;
    static double x[BATCH], y[BATCH];
    for (int f = 0; f < TP__COUNT(functions); f++) {
        double worst = 0, at = 0;
        for (int round = 0; round < 60; round++) {
            for (int i = 0; i < BATCH; i++) x[i] = random_double();
            call_everywhere(functions[f].name, functions[f].op, TP_FLOAT64, y, x, NULL, BATCH);
            for (int i = 0; i < BATCH; i++) {
                const double e = distance_f64(y[i], functions[f].wider(x[i]));
                if (e > worst) worst = e, at = x[i];
            }
        }
        print_message("# %-8s float64 %.3f ulp at %a\n", functions[f].name, worst, at);
        if (worst > functions[f].ulp_f64)
            fail_msg("%s: %.3f ulp at %a", functions[f].name, worst, at);
    }
}

/* What must be exact, signs of zeros included. */
static void edges(void **state) {
    (void)state;
    static const struct {
        tp__pw_op op;
        double x, y;
    } c[] = {
        {TP__PW_exp, 0.0, 1},
        {TP__PW_exp, -INFINITY, 0},
        {TP__PW_exp, INFINITY, INFINITY},
        {TP__PW_exp, 1000, INFINITY},
        {TP__PW_exp, -1000, 0},
        {TP__PW_expm1, -0.0, -0.0},
        {TP__PW_expm1, -INFINITY, -1},
        {TP__PW_expm1, INFINITY, INFINITY},
        {TP__PW_log, 1, 0},
        {TP__PW_log, 0.0, -INFINITY},
        {TP__PW_log, -0.0, -INFINITY},
        {TP__PW_log, INFINITY, INFINITY},
        {TP__PW_log, -1, NAN},
        {TP__PW_log1p, -0.0, -0.0},
        {TP__PW_log1p, -1, -INFINITY},
        {TP__PW_log1p, -2, NAN},
        {TP__PW_log2, 8, 3},
        {TP__PW_log2, 0x1p-100, -100},
        {TP__PW_log10, 1000, 3},
        {TP__PW_log10, 1e22, 22},
        {TP__PW_sin, -0.0, -0.0},
        {TP__PW_sin, INFINITY, NAN},
        {TP__PW_cos, 0.0, 1},
        {TP__PW_cos, -INFINITY, NAN},
        {TP__PW_tanh, -0.0, -0.0},
        {TP__PW_tanh, 50, 1},
        {TP__PW_tanh, -INFINITY, -1},
        {TP__PW_sigmoid, 0.0, 0.5},
        {TP__PW_sigmoid, INFINITY, 1},
        {TP__PW_sigmoid, -INFINITY, 0},
        {TP__PW_erf, -0.0, -0.0},
        {TP__PW_erf, 10, 1},
        {TP__PW_erf, -INFINITY, -1},
    };
    for (int i = 0; i < TP__COUNT(c); i++) {
        const float x = (float)c[i].x, y = (float)c[i].y;
        float got;
        double wide;
        call_everywhere("edge", c[i].op, TP_FLOAT32, &got, &x, NULL, 1);
        expect_same("edge", &got, &y, TP_FLOAT32, 1);
        call_everywhere("edge", c[i].op, TP_FLOAT64, &wide, &c[i].x, NULL, 1);
        expect_same("edge", &wide, &c[i].y, TP_FLOAT64, 1);
    }
}

/* Floats where base once differed, which the sample above does not contain. */
static void the_same_at_every_level(void **state) {
    (void)state;
    const float x[] = {0x1.bffff2p-19f};
    float y[TP__COUNT(x)];
    call_everywhere("expm1", TP__PW_expm1, TP_FLOAT32, y, x, NULL, TP__COUNT(x));
}

/* ---- pow ------------------------------------------------------------------------------------- */

static const double special[] = {0.0,    -0.0,    1,        -1,        2,          -2,    3,
                                 -3,     0.5,     -0.5,     2.5,       -2.5,       1e30,  -1e30,
                                 1e-40,  -1e-40,  16777217, 4194305,   0.99999994, 1e300, -1e-310,
                                 0x1p53, -0x1p53, INFINITY, -INFINITY, NAN};

static void pow_of_special_numbers(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(special); i++)
        for (int j = 0; j < TP__COUNT(special); j++) {
            const double x = special[i], y = special[j];
            const float xf = (float)x, yf = (float)y;
            float f;
            double d;
            call_everywhere("pow", TP__PW_pow, TP_FLOAT32, &f, &xf, &yf, 1);
            call_everywhere("pow", TP__PW_pow, TP_FLOAT64, &d, &x, &y, 1);
            const double wf = pow(xf, yf);
            const long double wd = powl(x, y);
            if (distance_f32(f, wf) > 0.55 || (f == f && !signbit(f) != !signbit(wf)))
                fail_msg("float32 pow(%a, %a) = %a, not %a", xf, yf, f, wf);
            if (distance_f64(d, wd) > 1 || (d == d && !signbit(d) != !signbit(wd)))
                fail_msg("float64 pow(%a, %a) = %a, not %La", x, y, d, wd);
        }
}

/* Bases near 1 and far from it, with exponents that keep the result in range, or not. */
static void random_powers(double *x, double *y, int64_t n, double limit) {
    for (int64_t i = 0; i < n; i++) {
        const uint64_t u = next_random();
        const double m = 1 + ldexp((double)(u >> 12), -52),
                     l = u & 1 ? 1 : (double)(int)(u >> 3 & 255) - 128;
        x[i] = u & 2 ? ldexp(m, (int)(limit / 1100 * l)) : 1 + ldexp(m - 1.5, -(int)(u >> 5 & 31));
        const double log_x = log(x[i]), t = ldexp((double)(int64_t)next_random(), -63) * limit;
        y[i] = u & 4 ? floor(t) : t / (log_x == 0 ? 1 : log_x);
        if (u & 8) x[i] = -x[i];
    }
}

static void pow_against_wider(void **state) {
    (void)state;
    static double x[BATCH], y[BATCH], d[BATCH];
    static float xf[BATCH], yf[BATCH], f[BATCH];
    double worst_f = 0, worst_d = 0;
    for (int round = 0; round < 60; round++) {
        random_powers(x, y, BATCH, round & 1 ? 720 : 90);
        for (int i = 0; i < BATCH; i++) xf[i] = (float)x[i], yf[i] = (float)y[i];
        call_everywhere("pow", TP__PW_pow, TP_FLOAT32, f, xf, yf, BATCH);
        call_everywhere("pow", TP__PW_pow, TP_FLOAT64, d, x, y, BATCH);
        for (int i = 0; i < BATCH; i++) {
            worst_f = fmax(worst_f, distance_f32(f[i], pow(xf[i], yf[i])));
            worst_d = fmax(worst_d, distance_f64(d[i], powl(x[i], y[i])));
        }
    }
    print_message("# pow      float32 %.3f ulp, float64 %.3f ulp\n", worst_f, worst_d);
    if (worst_f > 0.55 || worst_d > 1)
        fail_msg("pow: float32 %.3f ulp, float64 %.3f ulp", worst_f, worst_d);
}

/* ---- remainders ------------------------------------------------------------------------------ */

/* Python's % and //, from fmodf, which is exact. */
static float remainder_of(float a, float b) {
    const float m = fmodf(a, b);
    return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}
static float quotient_of(float a, float b) {
    if (b == 0) return a / b;
    const float m = fmodf(a, b), d = (a - m) / b;
    const float e = m != 0 && (b < 0) != (m < 0) ? d - 1 : d, f = floorf(e);
    return e == 0 ? copysignf(0, a / b) : e - f > 0.5f ? f + 1 : f;
}
/* Any two numbers, and such as one is a few times, many times or nearly a few times. */
static void random_quotients(float *a, float *b, int n) {
    for (int i = 0; i < n; i++) {
        const uint64_t u = next_random(), v = next_random();
        const double half = (double)(int64_t)v * 0x1p-63;
        b[i] = vm_from_f32((uint32_t)u);
        a[i] = vm_from_f32((uint32_t)(u >> 32));
        if (i % 4) a[i] = (float)(9 * half * (double)b[i]);
        if (i % 4 == 2) a[i] = b[i] * (float)(int32_t)(v >> 33 & 0x3fffffff);
        if (i % 4 == 3) a[i] = nextafterf(b[i] * rintf((float)(99 * half)), 0);
    }
}
static void remainders_are_exact(void **state) {
    (void)state;
    static float a[BATCH], b[BATCH], m[BATCH], q[BATCH], want_m[BATCH], want_q[BATCH];
    for (int round = 0; round < 100; round++) {
        random_quotients(a, b, BATCH);
        call_everywhere("remainder", TP__PW_remainder, TP_FLOAT32, m, a, b, BATCH);
        call_everywhere("floor_divide", TP__PW_floor_divide, TP_FLOAT32, q, a, b, BATCH);
        for (int i = 0; i < BATCH; i++) {
            want_m[i] = remainder_of(a[i], b[i]);
            want_q[i] = quotient_of(a[i], b[i]);
        }
        expect_same("remainder", m, want_m, TP_FLOAT32, BATCH);
        expect_same("floor_divide", q, want_q, TP_FLOAT32, BATCH);
    }
}

/* ---- sin and cos at once --------------------------------------------------------------------- */

static void a_turn_is_sin_and_cos(void **state) {
    (void)state;
    float s, c;
    double sd, cd;
    for (uint32_t u = 0; u < vm_bits_f32(0x1p20f); u += STEP) {
        const float x = vm_from_f32(u);
        vm_turn_f32(x, &s, &c);
        if (s != vm_sin_f32(x) || c != vm_cos_f32(x)) fail_msg("%a: %a, %a", (double)x, s, c);
        const double wide = (double)x * (1 + 0x1p-40);
        vm_turn_f64(wide, &sd, &cd);
        if (sd != vm_sin_f64(wide) || cd != vm_cos_f64(wide)) fail_msg("%a: %a, %a", wide, sd, cd);
    }
}

int main(void) {
    const char *all = getenv("TAPER_ALL_FLOATS");
    all_floats = all && strcmp(all, "1") == 0;
    const struct CMUnitTest tests[] = {
        TPT(fused_multiply_add),          TPT(floats_against_double),
        TPT(doubles_against_long_double), TPT(edges),
        TPT(the_same_at_every_level),     TPT(pow_of_special_numbers),
        TPT(pow_against_wider),           TPT(a_turn_is_sin_and_cos),
        TPT(remainders_are_exact),
    };
    return cmocka_run_group_tests_name("vmath", tests, NULL, NULL);
}
