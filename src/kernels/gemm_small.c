/* gemm_small.c -- matrix times matrix where a plan would take longer than the product: all rows
 * against one panel of columns after the other, nothing packed but B's, on the stack. */
#include "kernels/isa.h"

enum {
    SMALL_BYTES = 8 * 1024, /* of packed B */
    LINE = 64
};

/* Is it worth no plan? All panels are read in place, or B is packed on the stack. */
bool tp__gemm_is_small(const tp__gemm *g) {
    const bool apart = g->a_col == 1 || g->K < 2;
    if (g->batch > 1 || g->M * g->N * g->K > TP__SMALL || !(apart || g->a_row == 1) ||
        tp__gemm_split(g).n > 1)
        return false;
    const int64_t row = TP__MICRO_VECTORS * tp__kernels_now()->gemm[g->dtype]->width *
                        (g->dtype == TP_FLOAT32 ? 4 : 8);
    return g->b_col == 1 || row * g->K <= SMALL_BYTES;
}

/* All rows against a panel of columns: panels of rows as equal as can be, since a low one waits for
 * its own sums. */
static inline void small_panel(const tp__gemm *g, const tp__gemm_kernels *kernels,
                               const tp__micro_table *table, tp__micro *m, int64_t vectors) {
    const int64_t size = g->dtype == TP_FLOAT32 ? 4 : 8, a_row = g->a_row * size;
    const int64_t most = vectors == 1 ? kernels->rows / 2 + 1 : kernels->rows;
    int64_t left = g->M;
    for (int64_t panels = left <= most ? 1 : tp__parts(left, most); panels > 0; panels--) {
        const int64_t rows = panels == 1 ? left : tp__parts(left, panels);
        (*table)[rows - 1][vectors - 1](m);
        m->a = (const char *)m->a + rows * a_row;
        m->c = (char *)m->c + rows * m->c_step;
        left -= rows;
    }
}

static void run_panels(const tp__gemm *g, const tp__gemm_kernels *kernels, bool apart, bool pack) {
    const int64_t size = g->dtype == TP_FLOAT32 ? 4 : 8, width = kernels->width;
    const int64_t panel = g->N > width ? 2 * width : width;
    _Alignas(LINE) char packed[SMALL_BYTES];
    tp__micro m;
    m.K = g->K;
    m.a_step = (apart ? g->a_row : g->a_col) * size;
    m.b_step = pack ? panel * size : g->b_row * size;
    m.c_step = g->c_row * size;
    m.keep = packed;
    m.keep_step = 0;
    m.soon = NULL;
    m.bias = NULL;
    m.go_on = g->accumulate;
    m.relu = g->act == TP__ACT_RELU;
    const tp__rows_lie lie = apart ? TP__ROWS_APART : TP__ROWS_PACKED;
    for (int64_t j = 0; j < g->N; j += panel) {
        const int64_t columns = tp__least(panel, g->N - j), vectors = columns > width ? 2 : 1;
        m.a = g->a;
        m.b = (const char *)g->b + j * g->b_col * size;
        m.c = (char *)g->c + j * size;
        m.last = (int)(columns - (vectors - 1) * width);
        if (pack) {
            kernels->pack(packed, panel, m.b, g->b_row * size, g->b_col * size, g->K, columns);
            m.b = packed;
        }
        if (g->bias) m.bias = (const char *)g->bias + j * size;
        small_panel(g, kernels, (pack || m.last == width ? kernels->plain : kernels->keeping) + lie,
                    &m, vectors);
    }
}

void tp__gemm_run_small(const tp__gemm *g) {
    const tp__gemm_kernels *kernels = tp__kernels_now()->gemm[g->dtype];
    run_panels(g, kernels, g->a_col == 1 || g->K < 2, g->b_col != 1);
}
