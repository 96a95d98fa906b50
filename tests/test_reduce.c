/* test_reduce.c -- reductions and row functions: right, and the same bits at every ISA level and
 * for any number of threads.
 *
 * What is right is computed here in long double or in 64-bit integers, one element after the
 * other; how far a float sum may be from it grows as the square root of what is added. */
#include "kernels/kernels.h"
#include "support.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t size_of[TP__DTYPE_COUNT] = {4, 8, 8, 1, 1};
static const char *const name_of[TP__DTYPE_COUNT] = {"float32", "float64", "int64", "uint8",
                                                     "bool"};
static const char *const op_name[TP__RED_COUNT] = {
    "sum", "prod", "max", "min", "argmax", "argmin", "any", "all", "sumsq", "sum64", "sumsqdev"};

static void *get_memory(size_t bytes) {
    void *p = malloc(bytes + 1);
    assert_non_null(p);
    return p;
}

/* ---- reductions ------------------------------------------------------------------------------ */

enum { PLAIN, TIES, WITH_NAN, ZEROS, KINDS };

static void fill(tp_dtype d, void *p, int64_t n, int kind) {
    for (int64_t i = 0; i < n; i++) {
        const double v = kind == ZEROS  ? 0
                         : kind == TIES ? (double)tpt_random_below(4)
                                        : tpt_random_in(-1, 1);
        const bool nan = kind == WITH_NAN && tpt_random_below(50) == 0;
        if (d == TP_FLOAT32) ((float *)p)[i] = nan ? NAN : (float)v;
        if (d == TP_FLOAT64) ((double *)p)[i] = nan ? NAN : v;
        if (d == TP_INT64) ((int64_t *)p)[i] = kind == PLAIN ? (int64_t)tpt_random() : (int64_t)v;
        if (d == TP_UINT8) ((uint8_t *)p)[i] = kind == PLAIN ? (uint8_t)tpt_random() : (uint8_t)v;
        if (d == TP_BOOL) ((uint8_t *)p)[i] = kind == ZEROS ? 0 : tpt_random_below(8) != 0;
    }
}

/* Factors whose product stays in range. */
static void fill_factors(tp_dtype d, void *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (d == TP_FLOAT32) ((float *)p)[i] = (float)tpt_random_in(0.9, 1.1);
        if (d == TP_FLOAT64) ((double *)p)[i] = tpt_random_in(0.9, 1.1);
    }
}

static long double number(tp_dtype d, const void *p, int64_t i) {
    if (d == TP_FLOAT32) return ((const float *)p)[i];
    if (d == TP_FLOAT64) return ((const double *)p)[i];
    if (d == TP_INT64) return ((const int64_t *)p)[i];
    return ((const uint8_t *)p)[i];
}

static int64_t whole(tp_dtype d, const void *p, int64_t i) {
    return d == TP_INT64 ? ((const int64_t *)p)[i] : ((const uint8_t *)p)[i];
}

static tp_dtype result_of(tp__red_op op, tp_dtype d) {
    if (op == TP__RED_ANY || op == TP__RED_ALL) return TP_BOOL;
    if (op == TP__RED_ARGMAX || op == TP__RED_ARGMIN) return TP_INT64;
    if (op == TP__RED_SUM || op == TP__RED_PROD) return d <= TP_FLOAT64 ? d : TP_INT64;
    if (op == TP__RED_SUM64) return TP_FLOAT64;
    return d;
}

/* Is it one of floats alone? */
static bool of_floats(tp__red_op op) {
    return op == TP__RED_SUMSQ || op == TP__RED_SUM64 || op == TP__RED_SUMSQDEV;
}

/* Output number o, i by the definition; *scale is what a rounding error is relative to. */
static long double by_hand(const tp__reduce *r, int64_t o, int64_t i, long double *scale) {
    const tp_dtype d = r->dtype;
    long double sum = 0, prod = 1, size = 0, dev = 0, best = 0, squares = 0;
    uint64_t wsum = 0, wprod = 1;
    int64_t at = -1;
    bool any = false, all = true;
    for (int64_t k = 0; k < r->red; k++) {
        const int64_t place = (o * r->red + k) * r->inner + i;
        const long double v = number(d, r->x, place);
        sum += v, prod *= v, size += fabsl(v), squares += v * v;
        any |= v != 0, all &= v != 0;
        if (d > TP_FLOAT64)
            wsum += (uint64_t)whole(d, r->x, place), wprod *= (uint64_t)whole(d, r->x, place);
        if (r->aux) dev += (v - r->aux[o * r->inner + i]) * (v - r->aux[o * r->inner + i]);
        const bool more = r->op == TP__RED_MAX || r->op == TP__RED_ARGMAX ? v > best : v < best;
        if (at < 0 || (best == best && (more || v != v))) best = v, at = k;
    }
    *scale = r->op == TP__RED_SUM        ? size
             : r->op == TP__RED_SUM64    ? size
             : r->op == TP__RED_SUMSQ    ? squares
             : r->op == TP__RED_PROD     ? fabsl(prod)
             : r->op == TP__RED_SUMSQDEV ? dev
                                         : 0;
    if (d > TP_FLOAT64) *scale = 0;
    switch (r->op) {
    case TP__RED_SUM: return d <= TP_FLOAT64 ? sum : (int64_t)wsum;
    case TP__RED_PROD: return d <= TP_FLOAT64 ? prod : (int64_t)wprod;
    case TP__RED_ARGMAX:
    case TP__RED_ARGMIN: return at;
    case TP__RED_ANY: return any;
    case TP__RED_ALL: return all;
    case TP__RED_SUM64: return sum;
    case TP__RED_SUMSQ: return squares;
    case TP__RED_SUMSQDEV: return dev;
    default: return best;
    }
}

/* valgrind computes long double in 64 bits: what is right is then itself off by so many times. */
static long double slack(void) {
    const volatile long double one = 1, small = 0x1p-60L;
    return one + small == one ? 64 : 1;
}

static void expect_right(const tp__reduce *r) {
    const tp_dtype d = result_of(r->op, r->dtype);
    const double eps = r->dtype == TP_FLOAT32 && r->op != TP__RED_SUM64 ? 0x1p-24 : 0x1p-53;
    for (int64_t o = 0; o < r->outer; o++)
        for (int64_t i = 0; i < r->inner; i++) {
            long double scale;
            const long double want = by_hand(r, o, i, &scale),
                              got = number(d, r->out, o * r->inner + i);
            const long double bound =
                slack() * scale * eps *
                (4 + sqrtl((long double)r->red) * (r->op == TP__RED_PROD ? 2 : 0.5L));
            if (fabsl(got - want) <= bound || (isnan(got) && isnan(want)) || got == want) continue;
            fail_msg("%s %s [%ld, %ld, %ld] at %ld, %ld: %Lg, not %Lg", op_name[r->op],
                     name_of[r->dtype], (long)r->outer, (long)r->red, (long)r->inner, (long)o,
                     (long)i, got, want);
        }
}

static void run(const tp__reduce *r) {
    void *w = get_memory(tp__reduce_workspace(r));
    memset(w, 0xa5, tp__reduce_workspace(r)); /* nothing may be taken for granted */
    tp__reduce_run(r, w);
    free(w);
}

/* NaN may have any payload and sign: one of them for all. */
static void level_nans(tp_dtype d, void *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (d == TP_FLOAT32 && isnan(((float *)p)[i])) ((float *)p)[i] = NAN;
        if (d == TP_FLOAT64 && isnan(((double *)p)[i])) ((double *)p)[i] = NAN;
    }
}

/* Every level and several thread counts against what `r.out` holds. */
static void expect_same_everywhere(tp__reduce r) {
    static const int threads[] = {1, 2, 3, 5, 8};
    const tp_dtype d = result_of(r.op, r.dtype);
    const int64_t n = r.outer * r.inner, bytes = n * size_of[d];
    void *const want = r.out;
    level_nans(d, want, n);
    r.out = get_memory((size_t)bytes);
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (int t = 0; t < TP__COUNT(threads); t++) {
            tpt_ok(tp_set_num_threads(threads[t]));
            memset(r.out, 0x5a, (size_t)bytes);
            run(&r);
            level_nans(d, r.out, n);
            if (memcmp(r.out, want, (size_t)bytes) != 0)
                fail_msg("%s %s [%ld, %ld, %ld] at %s on %d threads", op_name[r.op],
                         name_of[r.dtype], (long)r.outer, (long)r.red, (long)r.inner,
                         tp__isa_name(isa), threads[t]);
        }
    }
    free(r.out);
    tp__kernels_use(tp__cpu_isa());
    tpt_ok(tp_set_num_threads(0));
}

static void try_reduction(tp__red_op op, tp_dtype d, int64_t outer, int64_t red, int64_t inner,
                          int kind) {
    tp__reduce r = {.op = op, .dtype = d, .outer = outer, .red = red, .inner = inner};
    void *x = get_memory((size_t)(outer * red * inner * size_of[d])),
         *out = get_memory((size_t)(outer * inner) * 8);
    double *aux = get_memory((size_t)(outer * inner) * 8);
    fill(d, x, outer * red * inner, kind);
    if (op == TP__RED_PROD && d <= TP_FLOAT64) fill_factors(d, x, outer * red * inner);
    for (int64_t i = 0; i < outer * inner; i++) aux[i] = tpt_random_in(-1, 1);
    r.x = x;
    r.out = out;
    r.aux = op == TP__RED_SUMSQDEV ? aux : NULL;
    run(&r);
    expect_right(&r);
    expect_same_everywhere(r);
    free(x);
    free(out);
    free(aux);
}

static void for_each_reduction(int64_t outer, int64_t red, int64_t inner) {
    for (tp__red_op op = 0; op < TP__RED_COUNT; op++)
        for (tp_dtype d = 0; d < TP__DTYPE_COUNT; d++) {
            if (of_floats(op) && d > TP_FLOAT64) continue;
            if (red == 0 && op >= TP__RED_MAX && op <= TP__RED_ARGMIN) continue;
            const int kinds = op == TP__RED_SUMSQDEV ? 1 : KINDS;
            for (int kind = 0; kind < kinds; kind++) try_reduction(op, d, outer, red, inner, kind);
        }
}

static void small_shapes(void **state) {
    (void)state;
    static const int64_t shape[][3] = {{1, 1, 1},    {1, 17, 1},   {5, 10, 1},   {3, 257, 1},
                                       {1, 5, 7},    {1, 300, 10}, {2, 260, 3},  {4, 16, 49},
                                       {1, 4096, 1}, {2, 4097, 1}, {1, 0, 1},    {3, 0, 5},
                                       {100, 10, 1}, {37, 16, 1},  {4099, 3, 1}, {1, 90, 77}};
    for (int i = 0; i < TP__COUNT(shape); i++)
        for_each_reduction(shape[i][0], shape[i][1], shape[i][2]);
}

static void random_shapes(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        const int64_t inner = i % 3 ? 1 + tpt_random_below(i % 3 == 1 ? 40 : 2500) : 1;
        const int64_t outer = 1 + tpt_random_below(i & 1 ? 5 : 300 / (1 + inner / 64));
        for_each_reduction(outer, 1 + tpt_random_below(1 + 60000 / (outer * inner)), inner);
    }
}

static void long_rows_and_columns(void **state) {
    (void)state;
    static const int64_t shape[][3] = {
        {1, 1000003, 1}, {3, 20011, 1}, {1, 70001, 10}, {1, 2500, 300}, {1, 70, 9001}};
    static const tp__red_op ops[] = {TP__RED_SUM,   TP__RED_MAX,   TP__RED_ARGMIN,  TP__RED_ALL,
                                     TP__RED_SUMSQ, TP__RED_SUM64, TP__RED_SUMSQDEV};
    for (int i = 0; i < TP__COUNT(shape); i++)
        for (int k = 0; k < TP__COUNT(ops); k++)
            for (tp_dtype d = TP_FLOAT32; d <= (of_floats(ops[k]) ? TP_FLOAT64 : TP_INT64); d++)
                try_reduction(ops[k], d, shape[i][0], shape[i][1], shape[i][2], PLAIN);
}

/* What comes from memory: chunks and rows read in turns, within a row and across rows; wide blocks
 * of columns, and chunks of many of their rows. */
static void large_shapes(void **state) {
    (void)state;
    static const int64_t shape[][3] = {{1, 2200003, 1}, {3, 700001, 1},  {2100, 1031, 1},
                                       {1, 1027, 4100}, {1, 4099, 1030}, {1, 22001, 99},
                                       {1, 2701, 783},  {1, 500009, 5}};
    for (int i = 0; i < TP__COUNT(shape); i++) {
        try_reduction(TP__RED_SUM, TP_FLOAT32, shape[i][0], shape[i][1], shape[i][2], PLAIN);
        try_reduction(TP__RED_SUM, TP_FLOAT64, shape[i][0], shape[i][1], shape[i][2], PLAIN);
        try_reduction(TP__RED_MIN, TP_FLOAT32, shape[i][0], shape[i][1], shape[i][2], WITH_NAN);
    }
    try_reduction(TP__RED_SUMSQDEV, TP_FLOAT32, 1, 4099, 1030, PLAIN);
    try_reduction(TP__RED_SUM64, TP_FLOAT32, 1, 4099, 1030, PLAIN);
    try_reduction(TP__RED_SUMSQ, TP_FLOAT32, 1, 2200003, 1, PLAIN);
}

/* ---- what is computed on the way ------------------------------------------------------------- */

/* A reduction of n numbers that are in memory has the bits of one that makes them as it goes. */
static void expect_same_bits(const char *what, const tp__reduce *as, const tp__reduce *want) {
    const int64_t n = as->outer * as->inner;
    const tp_dtype d = result_of(want->op, want->dtype);
    assert_int_equal(d, result_of(as->op, as->dtype));
    run(as);
    run(want);
    level_nans(d, as->out, n);
    level_nans(d, want->out, n);
    if (memcmp(as->out, want->out, (size_t)(n * size_of[d])))
        fail_msg("%s [%ld, %ld, %ld] %s: other bits", what, (long)as->outer, (long)as->red,
                 (long)as->inner, name_of[as->dtype]);
}

static const int64_t on_the_way[][3] = {
    {1, 0, 1},    {1, 1, 1},     {7, 3, 1},      {90, 16, 1},    {5, 63, 1},  {5, 64, 1},
    {3, 65, 1},   {2, 255, 1},   {2, 257, 1},    {70, 512, 1},   {9, 513, 1}, {3, 4095, 1},
    {2, 4096, 1}, {3, 4097, 1},  {1, 300011, 1}, {300, 1030, 1}, {1, 7, 9},   {3, 300, 10},
    {1, 600, 77}, {1, 260, 530}, {2, 4200, 513}};

static void squares_are_summed_as_if_in_memory(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(on_the_way); i++) {
        tp__reduce r = {.op = TP__RED_SUMSQ,
                        .outer = on_the_way[i][0],
                        .red = on_the_way[i][1],
                        .inner = on_the_way[i][2]};
        const int64_t n = r.outer * r.red * r.inner, outs = r.outer * r.inner;
        double *x = get_memory((size_t)n * 8), *y = get_memory((size_t)n * 8),
               *out = get_memory((size_t)outs * 16);
        for (r.dtype = TP_FLOAT32; r.dtype <= TP_FLOAT64; r.dtype++) {
            fill(r.dtype, x, n, i % 2 ? WITH_NAN : PLAIN);
            for (int64_t k = 0; k < n; k++) {
                const float v = r.dtype == TP_FLOAT32 ? ((float *)x)[k] : 0;
                if (r.dtype == TP_FLOAT32)
                    ((float *)y)[k] = v * v;
                else
                    y[k] = x[k] * x[k];
            }
            tp__reduce sum = r;
            sum.op = TP__RED_SUM;
            r.x = x, sum.x = y;
            r.out = out, sum.out = out + outs;
            expect_same_bits("squares", &r, &sum);
        }
        free(x);
        free(y);
        free(out);
    }
}

static void float32_is_summed_as_if_it_were_float64(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(on_the_way); i++) {
        tp__reduce r = {.op = TP__RED_SUM64,
                        .dtype = TP_FLOAT32,
                        .outer = on_the_way[i][0],
                        .red = on_the_way[i][1],
                        .inner = on_the_way[i][2]};
        const int64_t n = r.outer * r.red * r.inner, outs = r.outer * r.inner;
        float *x = get_memory((size_t)n * 4);
        double *y = get_memory((size_t)n * 8), *out = get_memory((size_t)outs * 16);
        fill(TP_FLOAT32, x, n, i % 2 ? WITH_NAN : PLAIN);
        for (int64_t k = 0; k < n; k++) y[k] = k % 5 ? x[k] : (x[k] = -0.0f);
        tp__reduce wide = r;
        wide.op = TP__RED_SUM;
        wide.dtype = TP_FLOAT64;
        r.x = x, wide.x = y;
        r.out = out, wide.out = out + outs;
        expect_same_bits("sum64", &r, &wide);
        free(x);
        free(y);
        free(out);
    }
}

/* Bytes of an element, and where they are. */
typedef struct lying {
    const char *x;
    int64_t size, most;
} lying;

static const void *read_lying(const void *from, int64_t at, int64_t n, void *to) {
    const lying *l = from;
    assert_true(n > 0 && n <= TP__RED_CHUNK && at >= 0 && at + n <= l->most);
    if (at % 3 == 0) return l->x + at * l->size; /* where it is */
    return memcpy(to, l->x + at * l->size, (size_t)(n * l->size));
}

/* Rows that are read piece by piece, on any number of threads. */
static void elements_that_are_read(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(on_the_way); i++)
        for (tp__red_op op = 0; op < TP__RED_COUNT; op++)
            for (tp_dtype d = 0; d < TP__DTYPE_COUNT; d++) {
                tp__reduce r = {.op = op,
                                .dtype = d,
                                .outer = on_the_way[i][0],
                                .red = on_the_way[i][1],
                                .inner = on_the_way[i][2]};
                if (of_floats(op) && d > TP_FLOAT64) continue;
                if (r.inner > 1 || (r.red == 0 && op >= TP__RED_MAX && op <= TP__RED_ARGMIN))
                    continue;
                const int64_t n = r.outer * r.red;
                void *x = get_memory((size_t)(n * size_of[d]));
                double *out = get_memory((size_t)r.outer * 8), aux[300];
                fill(d, x, n, i % 2 ? TIES : WITH_NAN);
                for (int64_t k = 0; k < r.outer; k++) aux[k] = tpt_random_in(-1, 1);
                r.x = x;
                r.out = out;
                r.aux = op == TP__RED_SUMSQDEV ? aux : NULL;
                run(&r);
                const lying l = {x, size_of[d], n};
                r.x = NULL;
                r.read = read_lying;
                r.from = &l;
                expect_same_everywhere(r);
                free(x);
                free(out);
            }
}

/* A sum of equal numbers is where adding one after the other goes wrong. */
static void sums_stay_accurate(void **state) {
    (void)state;
    enum { N = 1 << 22 };
    float *x = get_memory(N * sizeof *x), out[4];
    for (int i = 0; i < N; i++) x[i] = 0.1f;
    for (int inner = 1; inner <= 4; inner += 3) {
        const tp__reduce r = {.op = TP__RED_SUM,
                              .dtype = TP_FLOAT32,
                              .outer = 1,
                              .red = N / inner,
                              .inner = inner,
                              .x = x,
                              .out = out};
        run(&r);
        for (int i = 0; i < inner; i++)
            assert_true(fabs(out[i] / (0.1f * (double)(N / inner)) - 1) < 2e-6);
    }
    free(x);
}

/* Signs of zeros and all: what several rows abreast give is what each gives alone. */
static void try_alone(tp__red_op op, tp_dtype d, const void *x, int64_t rows, int64_t n) {
    const int64_t size = size_of[result_of(op, d)], bytes = n * size_of[d];
    char *const all = get_memory((size_t)(rows * size));
    _Alignas(8) char one[8];
    tp__reduce r = {.op = op, .dtype = d, .outer = rows, .red = n, .inner = 1, .x = x, .out = all};
    double *const means = get_memory((size_t)rows * 8);
    for (int64_t i = 0; i < rows; i++) means[i] = (double)i / 8;
    r.aux = op == TP__RED_SUMSQDEV ? means : NULL;
    run(&r);
    level_nans(result_of(op, d), all, rows);
    r.outer = 1;
    r.out = one;
    for (int64_t i = 0; i < rows; i++) {
        r.x = (const char *)x + i * bytes;
        if (r.aux) r.aux = means + i;
        run(&r);
        level_nans(result_of(op, d), one, 1);
        if (memcmp(one, all + i * size, (size_t)size))
            fail_msg("%s %s: row %ld of [%ld, %ld]", op_name[op], name_of[d], (long)i, (long)rows,
                     (long)n);
    }
    free(means);
    free(all);
}

static void short_rows_are_as_alone(void **state) {
    (void)state;
    enum { ROWS = 45, MOST = 17 };
    static const double some[] = {0, -0.0, 1, -1, 0.1, NAN, INFINITY};
    float f[ROWS * MOST];
    double g[ROWS * MOST];
    for (int zeros = 0; zeros < 2; zeros++) {
        for (int i = 0; i < ROWS * MOST; i++)
            f[i] = (float)(g[i] = some[tpt_random_below(zeros ? 2 : TP__COUNT(some))]);
        for (tp__red_op op = TP__RED_SUM; op < TP__RED_COUNT; op++)
            for (int64_t n = 1; n <= MOST; n++) {
                try_alone(op, TP_FLOAT32, f, ROWS, n);
                try_alone(op, TP_FLOAT64, g, ROWS, n);
            }
    }
}

static void first_of_equals(void **state) {
    (void)state;
    enum { N = 20000 };
    static float x[N];
    int64_t at = -1;
    x[7] = x[4099] = x[12345] = 3;
    tp__reduce r = {.op = TP__RED_ARGMAX,
                    .dtype = TP_FLOAT32,
                    .outer = 1,
                    .red = N,
                    .inner = 1,
                    .x = x,
                    .out = &at};
    run(&r);
    assert_int_equal(at, 7);
    x[15000] = x[16001] = NAN;
    run(&r);
    assert_int_equal(at, 15000);
    r.op = TP__RED_ARGMIN;
    run(&r);
    assert_int_equal(at, 15000);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* One case in both dtypes: x and y are rows of n, g another, t the targets. */
typedef struct rows {
    int64_t rows, n;
    double *x[2]; /* float32's (which float can hold), float64's */
    double *g;
    int64_t *t;
} rows;

static void *as_dtype(tp_dtype d, const double *x, int64_t n) {
    void *p = get_memory((size_t)(n * size_of[d]));
    for (int64_t i = 0; i < n; i++)
        if (d == TP_FLOAT32)
            ((float *)p)[i] = (float)x[i];
        else
            ((double *)p)[i] = x[i];
    return p;
}

typedef struct results {
    int64_t size;
    void *soft, *log_soft, *soft_back, *log_back, *loss, *lse, *entropy_back;
} results;

static results new_results(tp_dtype d, int64_t m, int64_t n) {
    const size_t bytes = (size_t)(m * n * size_of[d]), row = (size_t)(m * size_of[d]);
    return (results){(int64_t)bytes,    get_memory(bytes), get_memory(bytes), get_memory(bytes),
                     get_memory(bytes), get_memory(row),   get_memory(row),   get_memory(bytes)};
}

/* Some of the rows. */
static void compute_rows(const results *r, tp_dtype d, const void *x, const void *g,
                         const int64_t *t, int64_t from, int64_t m, int64_t n) {
    const int64_t at = from * n * size_of[d], row = from * size_of[d];
#define AT(p, bytes) ((void *)((char *)(uintptr_t)(p) + (bytes)))
    tp__softmax(d, AT(x, at), AT(r->soft, at), m, n);
    tp__log_softmax(d, AT(x, at), AT(r->log_soft, at), m, n);
    tp__softmax_backward(d, AT(r->soft, at), AT(g, at), AT(r->soft_back, at), m, n);
    tp__log_softmax_backward(d, AT(r->log_soft, at), AT(g, at), AT(r->log_back, at), m, n);
    tp__cross_entropy(d, AT(x, at), t + from, AT(r->loss, row), AT(r->lse, row), m, n);
    tp__cross_entropy_backward(d, AT(x, at), t + from, AT(r->lse, row), AT(g, at), n,
                               AT(r->entropy_back, at), m, n);
#undef AT
}

static results compute(tp_dtype d, const void *x, const void *g, const int64_t *t, int64_t m,
                       int64_t n) {
    const results r = new_results(d, m, n);
    compute_rows(&r, d, x, g, t, 0, m, n);
    return r;
}

/* One at a time. */
static results compute_apart(tp_dtype d, const void *x, const void *g, const int64_t *t, int64_t m,
                             int64_t n) {
    const results r = new_results(d, m, n);
    for (int64_t i = 0; i < m; i++) compute_rows(&r, d, x, g, t, i, 1, n);
    return r;
}

static void free_results(results *r) {
    void *p[] = {r->soft, r->log_soft, r->soft_back, r->log_back, r->loss, r->lse, r->entropy_back};
    for (int i = 0; i < TP__COUNT(p); i++) free(p[i]);
}

static void expect_near(const char *what, tp_dtype d, const void *got, int64_t i, long double want,
                        long double scale) {
    const long double eps = d == TP_FLOAT32 ? 0x1p-24L : 0x1p-53L, v = number(d, got, i);
    if (!(fabsl(v - want) <= slack() * eps * scale))
        fail_msg("%s %s at %ld: %Lg, not %Lg", what, name_of[d], (long)i, v, want);
}

/* One row against its definition; errors of a few units are allowed, growing with n's root in
 * sums. */
static void expect_row(tp_dtype d, const results *r, const void *x, const void *g, int64_t t,
                       int64_t row, int64_t n) {
    long double m = -INFINITY, s = 0, gs = 0, gy = 0, size = 0, gsize = 0;
    const int64_t at = row * n;
    for (int64_t j = 0; j < n; j++) m = fmaxl(m, number(d, x, at + j));
    for (int64_t j = 0; j < n; j++) s += expl(number(d, x, at + j) - m);
    const long double lse = m + logl(s), few = 8 + sqrtl((long double)n) / 4,
                      width = few + fabsl(m) + fabsl(lse);
    for (int64_t j = 0; j < n; j++) {
        const long double gj = number(d, g, at + j), y = expl(number(d, x, at + j) - lse);
        gs += gj, gy += gj * y, gsize += fabsl(gj), size += fabsl(gj * y);
    }
    expect_near("loss", d, r->loss, row, lse - number(d, x, at + t),
                4 * width + 2 * fabsl(number(d, x, at + t)));
    expect_near("lse", d, r->lse, row, lse, 4 * width);
    const long double g0 = number(d, g, at);
    for (int64_t j = 0; j < n; j++) {
        const long double v = number(d, x, at + j), y = expl(v - lse), gj = number(d, g, at + j);
        const long double err =
            few + fabsl(v - m) + logl(s); /* of e^(x - m) and of its log, in eps */
        expect_near("softmax", d, r->soft, at + j, y, 2 * y * err + 1e-30L);
        expect_near("log_softmax", d, r->log_soft, at + j, v - lse, 4 * err);
        expect_near("softmax backward", d, r->soft_back, at + j, y * (gj - gy),
                    8 * y * err * (fabsl(gj) + size) + 1e-30L);
        expect_near("log_softmax backward", d, r->log_back, at + j, gj - y * gs,
                    8 * err * (fabsl(gj) + y * gsize));
        expect_near("cross entropy backward", d, r->entropy_back, at + j, (y - (j == t)) * g0,
                    (4 * y * (err + width) + 2) * fabsl(g0));
    }
}

static void expect_same_results(const results *a, const results *b, int64_t row, const char *isa,
                                int threads) {
    const bool ok = !memcmp(a->soft, b->soft, (size_t)a->size) &&
                    !memcmp(a->log_soft, b->log_soft, (size_t)a->size) &&
                    !memcmp(a->soft_back, b->soft_back, (size_t)a->size) &&
                    !memcmp(a->log_back, b->log_back, (size_t)a->size) &&
                    !memcmp(a->loss, b->loss, (size_t)row) &&
                    !memcmp(a->lse, b->lse, (size_t)row) &&
                    !memcmp(a->entropy_back, b->entropy_back, (size_t)a->size);
    if (!ok) fail_msg("rows at %s on %d threads", isa, threads);
}

static void try_rows(tp_dtype d, int64_t m, int64_t n, double spread) {
    double *numbers = get_memory((size_t)(m * n) * sizeof(double));
    int64_t *t = get_memory((size_t)m * sizeof *t);
    for (int64_t i = 0; i < m * n; i++) numbers[i] = tpt_random_in(-spread, spread);
    void *x = as_dtype(d, numbers, m * n);
    for (int64_t i = 0; i < m * n; i++) numbers[i] = tpt_random_in(-1, 1);
    void *g = as_dtype(d, numbers, m * n);
    for (int64_t i = 0; i < m; i++) t[i] = tpt_random_below(n);
    results r = compute(d, x, g, t, m, n);
    for (int64_t i = 0; i < m; i++) expect_row(d, &r, x, g, t[i], i, n);
    results apart = compute_apart(d, x, g, t, m, n);
    expect_same_results(&r, &apart, m * size_of[d], "one at a time", 1);
    free_results(&apart);
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (int threads = 1; threads <= 5; threads += 2) {
            tpt_ok(tp_set_num_threads(threads));
            results other = compute(d, x, g, t, m, n);
            expect_same_results(&r, &other, m * size_of[d], tp__isa_name(isa), threads);
            free_results(&other);
        }
    }
    tp__kernels_use(tp__cpu_isa());
    tpt_ok(tp_set_num_threads(0));
    free_results(&r);
    free(numbers);
    free(t);
    free(x);
    free(g);
}

static void row_functions(void **state) {
    (void)state;
    static const int64_t shape[][2] = {{1, 1},   {500, 10},   {7, 16},   {30, 16},
                                       {40, 2},  {9, 17},     {3, 37},   {64, 511},
                                       {9, 513}, {2, 100003}, {40, 1000}};
    for (int i = 0; i < TP__COUNT(shape); i++)
        for (tp_dtype d = TP_FLOAT32; d <= TP_FLOAT64; d++) {
            try_rows(d, shape[i][0], shape[i][1], 3);
            try_rows(d, shape[i][0], shape[i][1], 80);
        }
}

static void rows_with_infinities(void **state) {
    (void)state;
    enum { ROWS = 12 };
    static const float some[3][4] = {
        {1, -INFINITY, 1, -INFINITY}, {0, NAN, 1, 2}, {1e30f, -1e30f, 0, 0}};
    float x[ROWS][4], y[ROWS][4], l[ROWS][4];
    for (int i = 0; i < ROWS; i++) memcpy(x[i], some[i % 3], sizeof x[i]);
    for (int m = 3; m <= ROWS; m += ROWS - 3) { /* few and many */
        tp__softmax(TP_FLOAT32, x, y, m, 4);
        tp__log_softmax(TP_FLOAT32, x, l, m, 4);
        for (int i = 0; i < m; i += 3) {
            assert_true(y[i][0] == 0.5f && y[i][1] == 0 && y[i][2] == 0.5f);
            assert_true(l[i][3] == -INFINITY);
            for (int j = 0; j < 4; j++) assert_true(isnan(y[i + 1][j]) && isnan(l[i + 1][j]));
            assert_true(y[i + 2][0] == 1 && y[i + 2][1] == 0);
            assert_true(l[i + 2][0] == 0 && l[i + 2][1] == -2e30f);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(small_shapes),
        TPT(random_shapes),
        TPT(long_rows_and_columns),
        TPT(large_shapes),
        TPT(squares_are_summed_as_if_in_memory),
        TPT(float32_is_summed_as_if_it_were_float64),
        TPT(elements_that_are_read),
        TPT(sums_stay_accurate),
        TPT(first_of_equals),
        TPT(short_rows_are_as_alone),
        TPT(row_functions),
        TPT(rows_with_infinities),
    };
    return cmocka_run_group_tests_name("reduce", tests, NULL, NULL);
}
