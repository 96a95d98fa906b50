/* gemm.h -- between gemm.c, which chooses a way for a product, gemm_plan.c, gemm_tiles.c,
 * gemm_small.c and gemv.c, which are the ways, and gemm.inc, which computes a corner of it with the
 * vectors of one ISA level. There strides are in bytes, counts in elements. */
#ifndef TAPER_SRC_GEMM_H
#define TAPER_SRC_GEMM_H
#include "kernels/kernels.h"

enum {
    TP__MICRO_ROWS = 14,
    TP__MICRO_VECTORS = 2,
    TP__TILE_ROWS = 256,
    TP__DOT_LANES = 16,
    TP__GEMM_LIVE_PANELS = 32, /* of rows, in a tile at most */
    TP__GEMM_LIVE_PIECES = 7,  /* of a panel at most */
    TP__GEMM_LIVE_PAST = 16,
    TP__GEMM_LIVE_TURN = 4, /* k of a list in a turn of the loop */
    TP__WOVEN = 6
};

/* How rows of the left operand lie: neighbours in memory, with a long way to the next k (A
 * transposed, in place) or a short one (packed), or apart, each with its own k consecutive. */
typedef enum tp__rows_lie {
    TP__ROWS_NEAR,
    TP__ROWS_PACKED,
    TP__ROWS_APART,
    TP__ROWS_LIE_COUNT
} tp__rows_lie;

/* c = a b for a few rows by a few vectors of columns, the chain of each output in registers. A k is
 * live where one of the rows of a is not 0: `live` kernels, which are told so many rows several
 * times over, visit those alone. */
typedef struct tp__micro {
    int64_t K;
    const uint16_t *live; /* `live` kernels: for each piece its length and those k, ... */
    int64_t live_step;    /* ... elements from one to the next; ... */
    int64_t live_from;    /* ... the number there that stands for a and b's first k */
    int pieces;           /* one behind the other, of as many rows each */
    const void *a;
    int64_t a_step; /* from k to k + 1; APART: from row to row */
    const void *b;  /* rows of adjacent elements; whole vectors but for `keeping` kernels */
    int64_t b_step;
    void *c;
    int64_t c_step;
    void *keep; /* `keeping` kernels: b is packed here on the way, in whole vectors */
    int64_t keep_step;
    const void *soon; /* prefetched on the way, a line for each k: what the next block reads; or
                         NULL; not by `live` kernels */
    int64_t soon_step;
    const void *bias; /* of these columns, -0 as +0; or NULL */
    int last;         /* columns in the last vector, 1..width */
    bool go_on;       /* chains start at c, not at 0 */
    bool relu;
} tp__micro;
typedef void (*tp__micro_fn)(const tp__micro *m);
/* [rows - 1][vectors - 1] */
typedef tp__micro_fn tp__micro_table[TP__MICRO_ROWS][TP__MICRO_VECTORS];

/* A list that grows; up to TP__GEMM_LIVE_PAST places behind its new end are overwritten. */
typedef struct tp__gemm_live_list {
    uint16_t *end;
    int rows; /* that it is for */
} tp__gemm_live_list;

typedef struct tp__gemm_kernels {
    int width; /* elements of a vector */
    int rows;  /* of the largest micro-kernel, at most TP__MICRO_ROWS */
    /* For the caches of the processors that have this level: rows of A in a tile, at most
     * TP__TILE_ROWS; bytes of them where they are brought together; bytes of a panel of B in a
     * block of K; bytes from row to row of which a multiple drives rows out of the first-level
     * cache before they are used again. */
    int tile_rows, a_bytes, b_bytes, conflict;
    tp__micro_table plain[TP__ROWS_LIE_COUNT], keeping[TP__ROWS_LIE_COUNT];
    /* As plain, quicker where the last vector has at most half of its columns; NULL: there is none
     * for such vectors, or for so few rows. */
    tp__micro_table half[TP__ROWS_LIE_COUNT];

    /* As plain, for pieces of up to live_rows rows, which depend on the processor's pace, and the
     * listed k. find_live adds to lists, of n pieces one behind the other, those of [k, end) at
     * which not all of their rows are 0; `before` rows lie in front of the first. finite: whether
     * all of b is. */
    int live_rows[TP__PACE_COUNT];
    tp__micro_table live[TP__ROWS_LIE_COUNT];
    void (*find_live[TP__ROWS_LIE_COUNT])(tp__gemm_live_list *list, int n, int64_t before,
                                          const void *a, int64_t a_step, int64_t k, int64_t end);
    bool (*finite)(const void *b, int64_t b_step, int64_t K, int vectors);

    /* All of a product whose rows of c are no longer than two vectors, or with K = 1; those of b
     * are dense. */
    int64_t tiny_columns;
    void (*tiny)(const tp__gemm *g);
    /* dst[k][0..padded) = src[k][0..n) and zeros behind, dst rows dense and aligned. */
    void (*pack)(void *dst, int64_t padded, const void *src, int64_t k_step, int64_t step,
                 int64_t K, int64_t n);
    /* c[j][i] = relu(from[i][j] + bias[i]), both optional, -0 in bias as +0; rows of c (elements
     * `c_row` apart) and of the block (`step` apart, whole vectors, overwritten). */
    void (*turn)(void *c, int64_t c_row, void *from, int64_t step, int64_t rows, int64_t columns,
                 const void *bias, bool relu);

    /* Matrix-vector in TP__DOT_LANES lanes (the rule is in gemm.c), x dense:
     * dots: y[i] = tree of the lanes of row i, rows `row` apart, k consecutive; y dense.
     * lanes: sum[l][j] += over k = l mod lanes of m[k][j] x[k], rows of m `row` apart, j
     * consecutive, sum rows `n` long; K a multiple of lanes except at the end of the row.
     * join: y[j] = tree over l of sum[l][j].
     * chains: sum[j] += m[k][j] x[k], one k after the other, otherwise as lanes.
     * weave: the same for k of TP__WOVEN parts in turn, the first k of each, then the second:
     * `rows` of each; parts of m begin `apart` bytes from each other, of x `part` elements. */
    void (*dots)(void *y, const void *m, int64_t row, const void *x, int64_t rows, int64_t K);
    void (*lanes)(void *sum, const void *m, int64_t row, const void *x, int64_t n, int64_t K);
    void (*join)(void *y, const void *sum, int64_t n);
    void (*chains)(void *sum, const void *m, int64_t row, const void *x, int64_t n, int64_t K);
    void (*weave)(void *sum, const void *m, int64_t row, int64_t apart, const void *x, int64_t part,
                  int64_t n, int64_t rows);
} tp__gemm_kernels;

/* ---- between the ways ------------------------------------------------------------------------ */

/* Chunks that K is cut into, by the shape alone; n = 1: it is not. */
typedef struct tp__split {
    int64_t n, length;
} tp__split;
enum { TP__LONG_K = 4096 }; /* where it may be */
tp__split tp__gemm_split(const tp__gemm *g);
/* c from the sums of chunks, [batch][chunk][M N], with accumulate, bias and act. */
void tp__gemm_join(const tp__gemm *g, void *sums, int64_t chunks);

enum { TP__SMALL = 1 << 15 }; /* multiply-adds of a product that is not worth a plan */
/* Are sums of -0 made +0, so that terms of 0 may be left out? By the shape alone. */
static inline bool tp__gemm_settles(const tp__gemm *g) {
    return g->M * g->N * g->K > TP__SMALL;
}

/* Workspace: sums of chunks if K is cut, rounded up to 64 bytes, then what these say. */
int64_t tp__gemm_packed(tp__gemm *g);
int64_t tp__gemv_packed(const tp__gemm *g);
bool tp__gemm_is_small(const tp__gemm *g);
void tp__gemm_run_small(const tp__gemm *g);
void tp__gemm_run_tiles(const tp__gemm *g, void *workspace);
void tp__gemv_run(const tp__gemm *g, void *workspace);

#endif
