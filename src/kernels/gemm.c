/* gemm.c -- matrix multiply: which way a product takes, and the joining of sums over a long K.
 *
 * One rule makes all cuts harmless: each output is one chain of fused multiply-adds in k order,
 * kept in a register or continued from memory, so neither strides, packing, tiles nor threads
 * can change a bit. Two exceptions depend on the shape alone. A long K over few outputs is cut
 * into chunks whose sums are joined in a fixed tree: neighbours, then neighbouring pairs.
 * Matrix-vector (M = 1 or N = 1) adds k = l mod 16 in lane l, then lanes l and l + 8, l + 4,
 * l + 2, l + 1. If it is asked for chains, it adds in k order too, but for chunks: there it takes
 * the first k of each of six equal parts, then the second, and what is left of them at the end.
 * Base rounds each product first.
 *
 * Of matrix times matrix, terms of 0 may be left out (gemm_live.c); in products that are large
 * enough for that, chains that end with -0 end with +0. */
#include "kernels/isa.h"

enum {
    CHUNK_K = 1024, /* of a long K at least ... */
    MOST_CHUNKS = 16,
    FEW_OUTPUTS = 65536, /* ... if there are no more outputs than this */
    JOINED = 4096        /* outputs of a tile that joins chunks */
};

/* ---- chunks of a long K ---------------------------------------------------------------------- */

tp__split tp__gemm_split(const tp__gemm *g) {
    if (g->K < TP__LONG_K || g->M * g->N > FEW_OUTPUTS) return (tp__split){1, g->K};
    const int64_t n = tp__least(g->K / CHUNK_K, MOST_CHUNKS);
    const int64_t length = tp__round_up(tp__parts(g->K, n), TP__DOT_LANES);
    return (tp__split){tp__parts(g->K, length), length};
}

/* Sums of chunks: [batch][chunk][M N], all dense. */
typedef struct joining {
    const tp__gemm *g;
    char *sums;
    int64_t n, rows, tiles; /* chunks; rows of a tile; tiles of a product */
} joining;

/* One row of c from its chunks, and what is done to a finished sum. */
#define DEFINE_JOIN_ROW(T, name)                                                  \
    static void name(const tp__gemm *g, T *sums, int64_t chunks, T *restrict c) { \
        const int64_t N = g->N, apart = g->M * N;                                 \
        for (int64_t step = 1; step < chunks; step *= 2)                          \
            for (int64_t i = 0; i + step < chunks; i += 2 * step) {               \
                T *restrict to = sums + i * apart;                                \
                const T *restrict from = sums + (i + step) * apart;               \
                for (int64_t j = 0; j < N; j++) to[j] += from[j];                 \
            }                                                                     \
        const T *bias = g->bias;                                                  \
        for (int64_t j = 0; j < N; j++) {                                         \
            T t = sums[j];                                                        \
            if (g->accumulate) t = c[j] + t;                                      \
            if (bias) t += bias[j];                                               \
            if (g->act == TP__ACT_RELU && t <= 0) t = 0;                          \
            c[j] = t;                                                             \
        }                                                                         \
    }
DEFINE_JOIN_ROW(float, join_row_f32)
DEFINE_JOIN_ROW(double, join_row_f64)

static void join_tile(void *ctx, int64_t tile) {
    const joining *j = ctx;
    const tp__gemm *g = j->g;
    const int64_t z = tile / j->tiles, from = tile % j->tiles * j->rows;
    for (int64_t i = from; i < tp__least(g->M, from + j->rows); i++) {
        const int64_t sum = z * j->n * g->M * g->N + i * g->N, c = z * g->c_batch + i * g->c_row;
        if (g->dtype == TP_FLOAT32)
            join_row_f32(g, (float *)j->sums + sum, j->n, (float *)g->c + c);
        else
            join_row_f64(g, (double *)j->sums + sum, j->n, (double *)g->c + c);
    }
}

void tp__gemm_join(const tp__gemm *g, void *sums, int64_t chunks) {
    joining j = {g, sums, chunks, tp__most(1, JOINED / g->N), 0};
    j.tiles = tp__parts(g->M, j.rows);
    tp__parallel(g->batch * j.tiles, join_tile, &j);
}

/* ---- whole numbers --------------------------------------------------------------------------- */

#define DEFINE_WHOLE_ROW(T, name)                                                    \
    static void name(const tp__gemm *g, int64_t z, int64_t i) {                      \
        const T *a = (const T *)g->a + z * g->a_batch + i * g->a_row;                \
        const T *b = (const T *)g->b + z * g->b_batch;                               \
        T *c = (T *)g->c + z * g->c_batch + i * g->c_row;                            \
        for (int64_t j = 0; j < g->N; j++) c[j] = 0;                                 \
        for (int64_t k = 0; k < g->K; k++)                                           \
            for (int64_t j = 0; j < g->N; j++)                                       \
                c[j] = (T)(c[j] + a[k * g->a_col] * b[k * g->b_row + j * g->b_col]); \
    }
DEFINE_WHOLE_ROW(uint64_t, whole_row_i64)
DEFINE_WHOLE_ROW(uint8_t, whole_row_u8)

static void whole_row(void *ctx, int64_t row) {
    const tp__gemm *g = ctx;
    if (g->dtype == TP_INT64)
        whole_row_i64(g, row / g->M, row % g->M);
    else
        whole_row_u8(g, row / g->M, row % g->M);
}

/* ---- the ways -------------------------------------------------------------------------------- */

static bool is_float(const tp__gemm *g) {
    return g->dtype == TP_FLOAT32 || g->dtype == TP_FLOAT64;
}

/* What is so small that looking at it takes as long: the first question that is asked of a product,
 * in as few steps as can be. */
static inline bool is_tiny(const tp__gemm *g, const tp__gemm_kernels *kernels) {
    return g->batch == 1 && g->M > 1 && g->N > 1 && (g->N <= kernels->tiny_columns || g->K == 1) &&
           g->K > 0 && g->K < TP__LONG_K && g->b_col == 1 && !g->bias && !g->accumulate &&
           g->act == TP__ACT_NONE && g->M * g->N * g->K <= TP__SMALL;
}

size_t tp__gemm_workspace(tp__gemm *g) {
    if (!is_float(g) || is_tiny(g, tp__kernels_now()->gemm[g->dtype])) return 0;
    if (g->M < 1 || g->N < 1 || g->K < 1 || g->batch < 1) return 0;
    const int64_t size = g->dtype == TP_FLOAT32 ? 4 : 8, chunks = tp__gemm_split(g).n;
    const int64_t sums = chunks > 1 ? tp__round_up(g->batch * chunks * g->M * g->N * size, 64) : 0;
    if (g->M == 1 || g->N == 1) return (size_t)(sums + tp__gemv_packed(g));
    if (tp__gemm_is_small(g)) return 0;
    return (size_t)(sums + tp__gemm_packed(g));
}

/* K = 0: nothing is read, so addresses do not matter. */
static void run_empty(tp__gemm whole) {
    tp__gemm *g = &whole;
    g->K = g->a_row = g->a_col = g->b_row = g->b_col = 0;
    g->a = g->b = g;
    const int64_t step = g->c_batch * (g->dtype == TP_FLOAT32 ? 4 : 8), products = g->batch;
    g->batch = 1;
    for (int64_t z = 0; z < products; z++, g->c = (char *)g->c + step) {
        if (g->M == 1 || g->N == 1)
            tp__gemv_run(g, NULL);
        else
            tp__gemm_run_small(g);
    }
}

TP__APART static void run_any(const tp__gemm *g, void *workspace) {
    if (g->M < 1 || g->N < 1 || g->batch < 1) return;
    if (!is_float(g)) {
        tp__parallel(g->batch * g->M, whole_row, (void *)g);
    } else if (g->K < 1) {
        run_empty(*g);
    } else if (g->M == 1 || g->N == 1) {
        tp__gemv_run(g, workspace);
    } else if (tp__gemm_is_small(g)) {
        tp__gemm_run_small(g);
    } else {
        tp__gemm_run_tiles(g, workspace);
    }
}

void tp__gemm_run(const tp__gemm *g, void *workspace) {
    const tp__kernels *k = atomic_load_explicit(&tp__kernels_in_use, memory_order_acquire);
    if (TP__LIKELY(k && is_float(g) && is_tiny(g, k->gemm[g->dtype])))
        k->gemm[g->dtype]->tiny(g);
    else
        run_any(g, workspace);
}
