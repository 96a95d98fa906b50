/* test_draws.c -- random tensors against PyTorch's: every op that draws, both float dtypes, from 1
 * to 100,000 elements, in random order from one generator, so that what one leaves behind is what
 * the next one finds.
 *
 * golden/draws.py says what PyTorch gives. TAPER_DRAWS_SEED (1) chooses the calls,
 * TAPER_DRAWS_ROUNDS (10) how many generators there are. */
#define TAPER_PLAIN
#include "support.h"
#include "taper/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 100000, LINE = 2 * 8 * MOST + 256 };

typedef struct draw {
    char op[16], dtype[4];
    long n;
    double a, b;
} draw;

/* Eighths. */
static tp_tensor *chances(long n, tp_dtype dtype) {
    tp_tensor *eighths = tp_remainder(tp_arange(0, (double)n, 1, dtype), tp_num_int(8));
    return tp_div(eighths, tp_num_int(8));
}

/* The same call. */
static tp_tensor *drawn(const draw *d, tp_rng *rng) {
    const tp_dtype dtype = !strcmp(d->dtype, "f4") ? TP_FLOAT32 : TP_FLOAT64;
    const tp_shape s = TP_SHAPE(d->n);
    if (!strcmp(d->op, "rand")) return tp_rand(s, dtype, rng);
    if (!strcmp(d->op, "randn")) return tp_randn(s, dtype, rng);
    if (!strcmp(d->op, "randint")) return tp_randint((int64_t)d->a, (int64_t)d->b, s, rng);
    if (!strcmp(d->op, "randperm")) return tp_randperm(d->n, rng);
    if (!strcmp(d->op, "bernoulli")) return tp_bernoulli(chances(d->n, dtype), rng);
    tp_tensor *x = tp_zeros(s, dtype);
    if (!strcmp(d->op, "bernoulli_")) return tp_bernoulli_(x, d->a, rng);
    if (!strcmp(d->op, "uniform_")) return tp_uniform_(x, d->a, d->b, rng);
    assert_string_equal(d->op, "normal_");
    return tp_normal_(x, d->a, d->b, rng);
}

static int digit(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}
static void read_bytes(const char *text, unsigned char *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
}

/* Normal numbers of 16 and more go through float32 functions: 4 units in the last place, or 3e-6 of
 * the standard deviation. Everything else is exact, but that a double's last place is libm's. */
static bool is_near(const draw *d, tp_dtype dtype, const void *got, const void *want, long i) {
    const double spread = !strcmp(d->op, "normal_") ? fabs(d->b) : 1;
    if (dtype == TP_FLOAT64) {
        const double a = ((const double *)got)[i], b = ((const double *)want)[i];
        return tpt_ulp_f64(a, b) <= 4 || fabs(a - b) <= 1e-15 * (spread + fabs(d->a));
    }
    const float a = ((const float *)got)[i], b = ((const float *)want)[i];
    return tpt_ulp_f32(a, b) <= 4 || fabs((double)a - (double)b) <= 3e-6 * spread;
}
static void compare(const draw *d, const tp_tensor *x, const void *want) {
    const tp_dtype dtype = tp_dtype_of(x);
    const size_t size = (size_t)tp_dtype_size(dtype);
    const char *got = tp_data_ptr(x);
    const bool normal = !strcmp(d->op, "randn") || !strcmp(d->op, "normal_");
    const bool loose = normal && (d->n >= 16 || dtype == TP_FLOAT64);
    for (long i = 0; i < d->n; i++) {
        const size_t at = (size_t)i * size;
        if (!memcmp(got + at, (const char *)want + at, size)) continue;
        if (loose && is_near(d, dtype, got, want, i)) continue;
        fail_msg("%s %s of %ld, %g, %g: element %ld differs", d->op, d->dtype, d->n, d->a, d->b, i);
    }
}

static void every_draw_in_any_order(void **state) {
    (void)state;
    const char *seed = getenv("TAPER_DRAWS_SEED"), *rounds = getenv("TAPER_DRAWS_ROUNDS");
    char args[96];
    snprintf(args, sizeof args, "--seed %ld --rounds %ld", seed ? atol(seed) : 1,
             rounds ? atol(rounds) : 10);
    FILE *f = tpt_python_with("torch", "tests/golden/draws.py", args);
    static char line[LINE];
    static unsigned char want[8 * MOST];
    tp_rng *rng = NULL;
    long calls = 0, elements = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == 'S') {
            tp_rng_free(rng);
            rng = tp_rng_new(strtoull(line + 2, NULL, 10));
            continue;
        }
        draw d;
        int end = 0;
        assert_int_equal(
            sscanf(line, "D %15s %3s %ld %lf %lf %n", d.op, d.dtype, &d.n, &d.a, &d.b, &end), 5);
        const tp_scope s = tp_scope_begin();
        const tp_tensor *x = drawn(&d, rng);
        assert_non_null(x);
        read_bytes(line + end, want, (size_t)(d.n * tp_dtype_size(tp_dtype_of(x))));
        compare(&d, x, want);
        tp_scope_end(s);
        calls++;
        elements += d.n;
    }
    tp_rng_free(rng);
    tpt_python_end(f);
    print_message("# %ld calls, %ld numbers\n", calls, elements);
    assert_true(calls > 0);
}

/* What is refused has drawn nothing. */
static void no_coin_is_thrown_for_what_is_no_probability(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_rng *rng = tp_rng_new(3), *same = tp_rng_new(3);
    assert_null(tp_bernoulli(tp_floats(TP_SHAPE(3), 0.5, 1.5, -1), rng));
    tpt_expect_error(TP_EVALUE, "bernoulli: 1.5 is no probability");
    assert_null(tp_bernoulli(tp_floats(TP_SHAPE(3), 0, (double)NAN, 1), rng));
    tpt_expect_error(TP_EVALUE, "bernoulli: nan is no probability");
    assert_null(tp_bernoulli_(tp_zeros(TP_SHAPE(3), TP_FLOAT32), -0.5, rng));
    tpt_expect_error(TP_EVALUE, "bernoulli: -0.5 is no probability");
    assert_int_equal(tp_numel(tp_bernoulli(tp_zeros(TP_SHAPE(0, 3), TP_FLOAT64), rng)), 0);
    assert_int_equal(tp_rng_u32(rng), tp_rng_u32(same));
    tp_rng_free(rng);
    tp_rng_free(same);
    tp_scope_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {TPT(every_draw_in_any_order),
                                       TPT(no_coin_is_thrown_for_what_is_no_probability)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
