/* gemm.c -- matrix multiply: which rows go together, and who runs them.
 *
 * Each output is one chain of multiply-adds in k order, whatever the strides, the tiles and the
 * threads, so its bits depend on the operands alone. */
#include "kernels/kernels.h"

typedef struct job {
    const tp__gemm *g;
    int64_t rows, strips; /* rows of a tile; tiles of one product */
} job;

#define DEFINE_ROW(T, name)                                                                         \
    static void name(const tp__gemm *g, int64_t z, int64_t i) {                                     \
        const T *a = (const T *)g->a + z * g->a_batch + i * g->a_row;                               \
        const T *b = (const T *)g->b + z * g->b_batch;                                              \
        T *c = (T *)g->c + z * g->c_batch + i * g->c_row;                                           \
        if (!g->accumulate)                                                                         \
            for (int64_t j = 0; j < g->N; j++) c[j] = 0;                                            \
        for (int64_t k = 0; k < g->K; k++)                                                          \
            for (int64_t j = 0; j < g->N; j++)                                                      \
                c[j] = (T)(c[j] + a[k * g->a_col] * b[k * g->b_row + j * g->b_col]);                \
        const T *bias = g->bias;                                                                    \
        for (int64_t j = 0; bias && j < g->N; j++) c[j] = (T)(c[j] + bias[j]);                      \
        if (g->act == TP__ACT_RELU)                                                                 \
            for (int64_t j = 0; j < g->N; j++) c[j] = c[j] <= 0 ? 0 : c[j];                         \
    }
DEFINE_ROW(float, row_f32)
DEFINE_ROW(double, row_f64)
DEFINE_ROW(uint64_t, row_i64)
DEFINE_ROW(uint8_t, row_u8)

static void run_tile(void *ctx, int64_t tile) {
    static void (*const row[])(const tp__gemm *, int64_t, int64_t) = {
        [TP_FLOAT32] = row_f32, [TP_FLOAT64] = row_f64, [TP_INT64] = row_i64, [TP_UINT8] = row_u8};
    const job *j = ctx;
    const int64_t z = tile / j->strips, from = tile % j->strips * j->rows;
    for (int64_t i = from; i < j->g->M && i < from + j->rows; i++) row[j->g->dtype](j->g, z, i);
}

size_t tp__gemm_workspace(const tp__gemm *g) {
    (void)g;
    return 0;
}

void tp__gemm_run(const tp__gemm *g, void *workspace) {
    (void)workspace;
    const int64_t work = g->N * (g->K + 1), rows = 1 + 65536 / (work + 1);
    job j = {g, rows, (g->M + rows - 1) / rows};
    tp__parallel(g->batch * j.strips, run_tile, &j);
}
