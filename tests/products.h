/* products.h -- random matrix products for tests: matrices of any strides within memory that must
 * not be touched, and each output by the rules that gemm.c states. */
#ifndef TAPER_TESTS_PRODUCTS_H
#define TAPER_TESTS_PRODUCTS_H
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/isa.h"

/* ---- random products ------------------------------------------------------------------------- */

static uint64_t seed = 1;
static uint64_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}
static int64_t draw_to(int64_t n) { /* 0..n-1 */
    return (int64_t)(draw() % (uint64_t)n);
}
static double draw_number(void) {
    return (double)draw_to(2001) / 1000 - 1 + (double)draw_to(1000) * 1e-8;
}

/* How a logical matrix is stored. */
typedef enum { ROWS, COLUMNS, SCATTERED, ONE_ROW, ONE_COLUMN, LAYOUTS } layout;

/* A matrix [batch][m][n] of one dtype within a larger block, whose other elements are NaN. */
typedef struct matrix {
    tp_dtype dtype;
    int64_t batch, m, n, row, col, step; /* step: from matrix to matrix */
    int64_t offset, count;               /* of the block, in elements */
    char *block;
} matrix;

static double get(const matrix *x, int64_t z, int64_t i, int64_t j) {
    const int64_t at = x->offset + z * x->step + i * x->row + j * x->col;
    return x->dtype == TP_FLOAT32 ? (double)((float *)x->block)[at] : ((double *)x->block)[at];
}
static void put_at(matrix *x, int64_t at, double v) {
    if (x->dtype == TP_FLOAT32)
        ((float *)x->block)[at] = (float)v;
    else
        ((double *)x->block)[at] = v;
}
static void put(matrix *x, int64_t z, int64_t i, int64_t j, double v) {
    put_at(x, x->offset + z * x->step + i * x->row + j * x->col, v);
}
static void *start(const matrix *x) {
    return x->block + x->offset * tp_dtype_size(x->dtype);
}

static matrix make(tp_dtype dtype, int64_t batch, int64_t m, int64_t n, layout how, int64_t gap) {
    matrix x = {.dtype = dtype, .batch = batch, .m = m, .n = n, .offset = draw_to(5)};
    switch (how) {
    case ROWS: x.row = n + gap, x.col = 1; break;
    case COLUMNS: x.row = 1, x.col = m + gap; break;
    case SCATTERED: x.row = 2 * n + 3 + gap, x.col = 2; break;
    case ONE_ROW: x.row = 0, x.col = 1; break;
    default: x.row = 1, x.col = 0; break;
    }
    x.step = (m > 0 ? (m - 1) * x.row : 0) + (n > 0 ? (n - 1) * x.col : 0) + 1 + gap;
    x.count = x.offset + batch * x.step; /* no element behind the last one: a sanitizer guards it */
    x.block = malloc((size_t)(x.count ? x.count : 1) * (size_t)tp_dtype_size(dtype));
    for (int64_t i = 0; i < x.count; i++) put_at(&x, i, NAN);
    for (int64_t z = 0; z < batch; z++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) put(&x, z, i, j, draw_number());
    return x;
}

typedef struct product {
    tp_dtype dtype;
    int64_t M, N, K, batch;
    matrix a, b, c, bias;
    bool has_bias, relu, accumulate, chains;
} product;

static product make_product(tp_dtype dtype, int64_t M, int64_t N, int64_t K, int64_t batch,
                            layout a, layout b) {
    product p = {.dtype = dtype, .M = M, .N = N, .K = K, .batch = batch};
    p.a = make(dtype, batch, M, K, a, draw_to(4));
    p.b = make(dtype, batch, K, N, b, draw_to(4));
    p.c = make(dtype, batch, M, N, ROWS, draw_to(4));
    p.bias = make(dtype, 1, 1, N, ROWS, 0);
    return p;
}
static void free_product(product *p) {
    free(p->a.block);
    free(p->b.block);
    free(p->c.block);
    free(p->bias.block);
}

/* Run it into a copy of c's block, which the caller frees; memory around c must stay as it was. */
static char *run(const product *p) {
    const size_t bytes = (size_t)(p->c.count * tp_dtype_size(p->dtype));
    matrix c = p->c;
    c.block = malloc(bytes ? bytes : 1);
    memcpy(c.block, p->c.block, bytes);
    tp__gemm g = {
        .dtype = p->dtype,
        .M = p->M,
        .N = p->N,
        .K = p->K,
        .batch = p->batch,
        .a = start(&p->a),
        .a_row = p->a.row,
        .a_col = p->a.col,
        .a_batch = p->a.step,
        .b = start(&p->b),
        .b_row = p->b.row,
        .b_col = p->b.col,
        .b_batch = p->b.step,
        .c = start(&c),
        .c_row = c.row,
        .c_batch = c.step,
        .bias = p->has_bias ? start(&p->bias) : NULL,
        .act = p->relu ? TP__ACT_RELU : TP__ACT_NONE,
        .accumulate = p->accumulate,
        .chains = p->chains,
    };
    const size_t size = tp__gemm_workspace(&g);
    void *workspace = NULL; /* of exactly that size, so that a sanitizer guards it */
    if (size && posix_memalign(&workspace, 64, size)) abort();
    tp__gemm_run(&g, workspace);
    free(workspace);
    for (int64_t i = 0; i < c.count; i++) {
        const int64_t at = i - c.offset, in = at % c.step;
        const bool inside = at >= 0 && c.row && in / c.row < c.m && in % c.row < c.n;
        const size_t w = (size_t)tp_dtype_size(p->dtype), from = (size_t)i * w;
        if (!inside) assert_memory_equal(c.block + from, p->c.block + from, w);
    }
    return c.block;
}

static matrix result_of(const product *p, char *block) {
    matrix c = p->c;
    c.block = block;
    return c;
}

/* ---- what an output is ----------------------------------------------------------------------- */

/* By the rules of gemm.c, rounding as at the ISA level in use. */
static float multiply_add_f32(float a, float b, float c) {
    if (tp__kernels_isa() != TP__ISA_BASE) return fmaf(a, b, c);
    const volatile float ab = a * b;
    return ab + c;
}
static double multiply_add_f64(double a, double b, double c) {
    if (tp__kernels_isa() != TP__ISA_BASE) return fma(a, b, c);
    const volatile double ab = a * b;
    return ab + c;
}

/* Of large products a sum of -0 becomes +0. */
static double settle(const product *p, double s) {
    return p->M * p->N * p->K > 32768 ? s + 0 : s;
}

#define DEFINE_RULES(T, SUF)                                                                       \
    static T chain_##SUF(const product *p, int64_t z, int64_t i, int64_t j, int64_t k, int64_t to, \
                         T s) {                                                                    \
        for (; k < to; k++)                                                                        \
            s = multiply_add_##SUF((T)get(&p->a, z, i, k), (T)get(&p->b, z, k, j), s);             \
        return s;                                                                                  \
    }                                                                                              \
    static T tree_##SUF(T *t, int64_t n) { /* neighbours, then neighbouring pairs */               \
        for (int64_t step = 1; step < n; step *= 2)                                                \
            for (int64_t i = 0; i + step < n; i += 2 * step) t[i] += t[i + step];                  \
        return t[0];                                                                               \
    }                                                                                              \
    static T lanes_##SUF(const product *p, int64_t z, int64_t i, int64_t j, int64_t from,          \
                         int64_t to) {                                                             \
        T t[16] = {0};                                                                             \
        for (int64_t k = from; k < to; k++) {                                                      \
            const int64_t l = (k - from) % 16;                                                     \
            t[l] = multiply_add_##SUF((T)get(&p->a, z, i, k), (T)get(&p->b, z, k, j), t[l]);       \
        }                                                                                          \
        for (int h = 8; h > 0; h /= 2)                                                             \
            for (int l = 0; l < h; l++) t[l] += t[l + h];                                          \
        return t[0] + 0;                                                                           \
    }                                                                                              \
    static T woven_##SUF(const product *p, int64_t z, int64_t i, int64_t j, int64_t from,          \
                         int64_t to) {                                                             \
        const int64_t part = (to - from) / 6;                                                      \
        T s = 0;                                                                                   \
        for (int64_t n = 0; n < 6 * part; n++) {                                                   \
            const int64_t k = from + n % 6 * part + n / 6;                                         \
            s = chain_##SUF(p, z, i, j, k, k + 1, s);                                              \
        }                                                                                          \
        return chain_##SUF(p, z, i, j, from + 6 * part, to, s);                                    \
    }                                                                                              \
    static T output_##SUF(const product *p, int64_t z, int64_t i, int64_t j) {                     \
        const bool vector = p->M == 1 || p->N == 1, split = p->K >= 4096 && p->M * p->N <= 65536;  \
        const bool lanes = vector && !p->chains;                                                   \
        const T c = p->accumulate ? (T)get(&p->c, z, i, j) : 0;                                    \
        T s;                                                                                       \
        if (split) {                                                                               \
            T part[16];                                                                            \
            const int64_t most = p->K / 1024 < 16 ? p->K / 1024 : 16;                              \
            const int64_t length = ((p->K + most - 1) / most + 15) / 16 * 16;                      \
            int64_t n = 0;                                                                         \
            for (int64_t k = 0; k < p->K; k += length) {                                           \
                const int64_t to = k + length < p->K ? k + length : p->K;                          \
                part[n++] = lanes    ? lanes_##SUF(p, z, i, j, k, to)                              \
                            : vector ? woven_##SUF(p, z, i, j, k, to)                              \
                                     : (T)settle(p, chain_##SUF(p, z, i, j, k, to, 0));            \
            }                                                                                      \
            s = tree_##SUF(part, n);                                                               \
        } else {                                                                                   \
            s = lanes ? lanes_##SUF(p, z, i, j, 0, p->K)                                           \
                      : chain_##SUF(p, z, i, j, 0, p->K, vector ? 0 : c);                          \
        }                                                                                          \
        if (p->accumulate && (split || vector)) s = c + s;                                         \
        if (!vector) s = (T)settle(p, s);                                                          \
        if (p->has_bias) s += (T)get(&p->bias, 0, 0, j) + (T)(vector || split ? -0.0 : 0);         \
        return p->relu && s <= 0 ? 0 : s;                                                          \
    }
DEFINE_RULES(float, f32)
DEFINE_RULES(double, f64)

static bool same_number(double x, double y) {
    return isnan(x) ? isnan(y) : x == y && signbit(x) == signbit(y);
}

static void check_rules(const product *p, char *block) {
    const matrix c = result_of(p, block);
    for (int64_t z = 0; z < p->batch; z++)
        for (int64_t i = 0; i < p->M; i++)
            for (int64_t j = 0; j < p->N; j++) {
                const double want = p->dtype == TP_FLOAT32 ? (double)output_f32(p, z, i, j)
                                                           : output_f64(p, z, i, j);
                const double got = get(&c, z, i, j);
                if (same_number(got, want)) continue;
                fail_msg(
                    "%s %s %lldx%lldx%lld, matrix %lld, (%lld, %lld): %.17g, by the rule %.17g",
                    tp__isa_name(tp__kernels_isa()), tp_dtype_name(p->dtype), (long long)p->M,
                    (long long)p->N, (long long)p->K, (long long)z, (long long)i, (long long)j, got,
                    want);
            }
}

static void check_by_rules(const product *p) {
    char *got = run(p);
    check_rules(p, got);
    free(got);
}

static void for_each_level(void (*check)(const product *p), const product *p) {
    for (int isa = 0; isa < TP__ISA_COUNT; isa++)
        if (tp__kernels_use((tp__isa)isa)) check(p);
    tp__kernels_use(tp__cpu_isa());
}

/* Results as rows of c, without what lies between. */
static void expect_same(const product *p, char *got, char *want) {
    const matrix x = result_of(p, got), y = result_of(p, want);
    for (int64_t z = 0; z < p->batch; z++)
        for (int64_t i = 0; i < p->M; i++)
            for (int64_t j = 0; j < p->N; j++)
                assert_true(same_number(get(&x, z, i, j), get(&y, z, i, j)));
}

#endif
