/* gemv.c -- matrix times vector: M = 1 or N = 1. Bound by reading the matrix, so it is read
 * once, in the order in which it lies, and nothing else is large.
 *
 * Both rows and columns may be dense. Dense rows are dot products; dense columns are added,
 * scaled, to sixteen rows of sums, one for each lane, so that both ways add the same numbers in
 * the same order. Chains are one row of sums, to which rows are turned to columns first. Where
 * their order is ours to choose, in the chunks of a long K, they take six columns from far apart at
 * a time: memory reads so many streams best, and sums are not loaded and stored for each. */
#include "kernels/isa.h"
#include <string.h>

enum {
    TILE = 1024,         /* outputs of a tile, at most */
    TILES = 8,           /* of a product that comes from memory, at least, if threads share it */
    READ = 65536,        /* elements of the matrix that are worth a tile */
    SHARED = 1 << 19,    /* elements of a matrix that is worth sharing among threads */
    PACKED = 128 * 1024, /* bytes of a packed piece of a matrix that is dense neither way */
    PACKED_OUTPUTS = 64,
    LINE = 64
};

/* n outputs, each a row of K elements of `m` times x; strides in elements. */
typedef struct job {
    const tp__gemm *g;
    const tp__gemm_kernels *kernels;
    int64_t size, n, K, tile, tiles; /* outputs of a tile; tiles of a chunk */
    tp__split split;
    const char *m, *x; /* x is dense */
    int64_t m_row, m_col, m_batch, x_batch;
    char *sums; /* of chunks: [batch][chunk][n] */
} job;

/* Outputs of M = 1 lie along a row of c, those of N = 1 along a column. */
#define DEFINE_FINISH(T, name)                                                              \
    static void name(const tp__gemm *g, const T *sum, int64_t z, int64_t from, int64_t n) { \
        const int64_t step = g->N == 1 ? g->c_row : 1;                                      \
        T *c = (T *)g->c + z * g->c_batch + from * step;                                    \
        const T *bias = g->bias;                                                            \
        for (int64_t i = 0; i < n; i++, c += step) {                                        \
            T t = sum[i];                                                                   \
            if (g->accumulate) t = *c + t;                                                  \
            if (bias) t += bias[g->N == 1 ? 0 : from + i];                                  \
            if (g->act == TP__ACT_RELU && t <= 0) t = 0;                                    \
            *c = t;                                                                         \
        }                                                                                   \
    }
DEFINE_FINISH(float, finish_f32)
DEFINE_FINISH(double, finish_f64)

typedef void (*adding)(void *sums, const void *m, int64_t row, const void *x, int64_t n, int64_t K);

/* Columns of a matrix that has no dense ones, through packed pieces. */
static void pack_and_add(const job *j, adding add, const char *m, const char *x, int64_t n,
                         int64_t K, char *sums) {
    _Alignas(LINE) char piece[PACKED];
    const int64_t padded = tp__round_up(n, j->kernels->width);
    const int64_t rows = PACKED / (padded * j->size) / TP__DOT_LANES * TP__DOT_LANES;
    for (int64_t k = 0; k < K; k += rows) {
        const int64_t now = tp__least(rows, K - k), step = j->m_col * j->size;
        j->kernels->pack(piece, padded, m + k * step, step, j->m_row * j->size, now, n);
        add(sums, piece, padded * j->size, x + k * j->size, n, now);
    }
}

static void pack_and_weave(const job *j, const char *m, const char *x, int64_t n, int64_t part,
                           char *sums) {
    _Alignas(LINE) char piece[PACKED];
    const int64_t padded = tp__round_up(n, j->kernels->width), row = padded * j->size,
                  step = j->m_col * j->size, rows = PACKED / row / TP__WOVEN;
    for (int64_t k = 0; k < part; k += rows) {
        const int64_t now = tp__least(rows, part - k);
        for (int64_t p = 0; p < TP__WOVEN; p++)
            j->kernels->pack(piece + p * now * row, padded, m + (p * part + k) * step, step,
                             j->m_row * j->size, now, n);
        j->kernels->weave(sums, piece, row, now * row, x + k * j->size, part, n, now);
    }
}

static void add_columns(const job *j, adding add, const char *m, const char *x, int64_t n,
                        int64_t K, char *sums) {
    if (j->m_row == 1)
        add(sums, m, j->m_col * j->size, x, n, K);
    else
        pack_and_add(j, add, m, x, n, K, sums);
}

static void add_lanes(const job *j, const char *m, const char *x, int64_t n, int64_t K, char *out) {
    _Alignas(LINE) char sums[TP__DOT_LANES * TILE * 8];
    memset(sums, 0, (size_t)(TP__DOT_LANES * n * j->size));
    add_columns(j, j->kernels->lanes, m, x, n, K, sums);
    j->kernels->join(out, sums, n);
}

/* The k of a chunk, from each of its parts in turn, through packed pieces if need be; then what is
 * left of them. */
static void weave(const job *j, const char *m, const char *x, int64_t n, int64_t K, char *sums) {
    const int64_t part = K / TP__WOVEN, step = j->m_col * j->size, woven = part * TP__WOVEN;
    if (j->m_row == 1)
        j->kernels->weave(sums, m, step, part * step, x, part, n, part);
    else
        pack_and_weave(j, m, x, n, part, sums);
    add_columns(j, j->kernels->chains, m + woven * step, x + woven * j->size, n, K - woven, sums);
}

static void add_chains(const job *j, const char *m, const char *x, int64_t n, int64_t K,
                       char *out) {
    memset(out, 0, (size_t)(n * j->size));
    if (j->split.n > 1)
        weave(j, m, x, n, K, out);
    else
        add_columns(j, j->kernels->chains, m, x, n, K, out);
}

static void run_tile(void *ctx, int64_t tile) {
    const job *j = ctx;
    const int64_t size = j->size, p = tile / j->tiles, i = tile % j->tiles * j->tile;
    const int64_t z = p / j->split.n, k = p % j->split.n * j->split.length;
    const int64_t n = tp__least(j->tile, j->n - i), K = tp__least(j->split.length, j->K - k);
    const char *m = j->m + (z * j->m_batch + i * j->m_row + k * j->m_col) * size;
    const char *x = j->x + (z * j->x_batch + k) * size;
    _Alignas(LINE) char here[TILE * 8];
    char *out = j->split.n > 1 ? j->sums + (p * j->n + i) * size : here;
    if (j->g->chains)
        add_chains(j, m, x, n, K, out);
    else if (j->m_col == 1)
        j->kernels->dots(out, m, j->m_row * size, x, n, K);
    else
        add_lanes(j, m, x, n, K, out);
    if (j->split.n > 1) return;
    if (j->g->dtype == TP_FLOAT32)
        finish_f32(j->g, (const float *)here, z, i, n);
    else
        finish_f64(j->g, (const double *)here, z, i, n);
}

/* Dense rows: as many as are a good read or, from memory, long streams. Dense columns: a width
 * whose sums stay in the first-level cache, or the whole width, in the order of memory, where the
 * matrix comes from memory anyway, unless several threads would have too few. */
static int64_t tile_outputs(const job *j) {
    const bool dots = j->m_col == 1 && !j->g->chains;
    if (dots && j->n * j->K * j->size >= TP__LARGE) return tp__least(TILE, tp__parts(j->n, TILES));
    if (dots) return tp__least(TILE, tp__round_up(tp__most(1, READ / tp__most(j->K, 1)), 16));
    if (j->m_row != 1) return PACKED_OUTPUTS;
    if (j->n * j->K < SHARED) return j->g->chains ? TILE : 2048 / j->size;
    if (tp_get_num_threads() == 1) return TILE;
    const int64_t wide = tp__parts(j->n, tp__parts(TILES, j->split.n));
    return tp__least(TILE, tp__round_up(wide, LINE));
}

/* Elements of x that have to be made dense first. */
static int64_t scattered(const tp__gemm *g) {
    const int64_t step = g->N == 1 ? g->b_row : g->a_col,
                  batch = g->N == 1 ? g->b_batch : g->a_batch;
    return step == 1 || g->K < 2 ? 0 : (batch ? g->batch : 1) * g->K;
}

int64_t tp__gemv_packed(const tp__gemm *g) {
    return scattered(g) * (g->dtype == TP_FLOAT32 ? 4 : 8);
}

static void gather(job *j, int64_t step, char *to) {
    const int64_t batches = j->x_batch ? j->g->batch : 1, size = j->size;
    for (int64_t z = 0; z < batches; z++)
        for (int64_t k = 0; k < j->K; k++)
            memcpy(to + (z * j->K + k) * size, j->x + (z * j->x_batch + k * step) * size,
                   (size_t)size);
    j->x = to;
    if (j->x_batch) j->x_batch = j->K;
}

void tp__gemv_run(const tp__gemm *g, void *workspace) {
    const bool right = g->N == 1;
    job j = {
        .g = g,
        .kernels = tp__kernels_now()->gemm[g->dtype],
        .size = g->dtype == TP_FLOAT32 ? 4 : 8,
        .n = right ? g->M : g->N,
        .K = g->K,
        .split = tp__gemm_split(g),
        .m = right ? g->a : g->b,
        .x = right ? g->b : g->a,
        .m_row = right ? g->a_row : g->b_col,
        .m_col = g->K < 2 ? 1
                 : right  ? g->a_col
                          : g->b_row,
        .m_batch = right ? g->a_batch : g->b_batch,
        .x_batch = right ? g->b_batch : g->a_batch,
        .sums = workspace,
    };
    const int64_t sums = j.split.n > 1 ? g->batch * j.split.n * j.n * j.size : 0;
    if (scattered(g)) gather(&j, right ? g->b_row : g->a_col, j.sums + tp__round_up(sums, LINE));
    j.tile = tile_outputs(&j);
    j.tiles = tp__parts(j.n, j.tile);
    tp__parallel(g->batch * j.split.n * j.tiles, run_tile, &j);
    if (j.split.n > 1) tp__gemm_join(g, j.sums, j.split.n);
}
