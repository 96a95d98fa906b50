/* gemm.c -- matrix multiply: how a product is cut, and what is packed.
 *
 * One rule makes all cuts harmless: each output is one chain of fused multiply-adds in k order, kept in
 * a register or continued from memory, so neither strides, packing, tiles nor threads can change a bit.
 * Two exceptions depend on the shape alone. A long K over few outputs is cut into chunks whose sums are
 * joined in a fixed tree. Matrix-vector (M = 1 or N = 1) adds k = l mod 16 in lane l, then the lanes.
 *
 * A is read where it lies if its rows or its columns are dense; B if it is used so little that
 * packing does not pay. What is packed is packed by the tile that uses it, so tiles share nothing. */
#include "kernels/isa.h"
#include <string.h>

enum {
    TILE_ROWS = 256,
    TILE_ROW_BYTES = 512,          /* of c in a tile */
    B_BYTES = 128 * 1024,          /* a packed block of B: at home in the second-level cache */
    A_BYTES = 32 * 1024,           /* a packed panel of A: in the first */
    A_PADDED = 16,                 /* its rows, at most */
    MOST_K = 1024,                 /* of a block, however narrow */
    LONG_K = 4096,                 /* K of a product that may be cut into chunks ... */
    CHUNK_K = 1024,                /* ... of at least this ... */
    MOST_CHUNKS = 16,
    FEW_OUTPUTS = 65536,           /* ... if it has no more outputs than this */
    TILE_WORK = 1 << 19,           /* multiply-adds that are worth a tile of their own: 5 us */
    ENOUGH_TILES = 16,
    JOINED = 4096,                 /* outputs of a tile that joins chunks */
    VECTOR_TILE = 1024,            /* outputs of a matrix-vector tile */
    LINE = 64
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static int64_t parts(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}
static int64_t round_up(int64_t n, int64_t to) {
    return parts(n, to) * to;
}

static int64_t size_of(const tp__gemm *g) {
    return g->dtype == TP_FLOAT32 ? 4 : 8;
}
static const tp__gemm_kernels *kernels_of(const tp__gemm *g) {
    return tp__kernels_now()->gemm[g->dtype];
}

/* ---- chunks of a long K ------------------------------------------------------------------------- */

typedef struct split {
    int64_t n, length; /* n = 1: the product is not cut */
} split;

static split split_of(int64_t M, int64_t N, int64_t K) {
    if (K < LONG_K || M * N > FEW_OUTPUTS) return (split){1, K};
    const int64_t n = smaller(K / CHUNK_K, MOST_CHUNKS);
    const int64_t length = round_up(parts(K, n), TP__DOT_LANES);
    return (split){parts(K, length), length};
}

/* Sums of chunks: [batch][chunk][M N], all dense. */
typedef struct joining {
    const tp__gemm *g;
    char *sums;
    int64_t n, rows, tiles; /* chunks; rows of a tile; tiles of a product */
} joining;

/* One row of c from its chunks: neighbours are added, then neighbouring pairs, and so on. */
#define DEFINE_JOIN_ROW(T, name)                                                                    \
    static void name(const tp__gemm *g, T *sums, int64_t chunks, T *restrict c) {                   \
        const int64_t N = g->N, apart = g->M * N;                                                   \
        for (int64_t step = 1; step < chunks; step *= 2)                                            \
            for (int64_t i = 0; i + step < chunks; i += 2 * step) {                                 \
                T *restrict to = sums + i * apart;                                                  \
                const T *restrict from = sums + (i + step) * apart;                                 \
                for (int64_t j = 0; j < N; j++) to[j] += from[j];                                   \
            }                                                                                       \
        const T *bias = g->bias;                                                                    \
        for (int64_t j = 0; j < N; j++) {                                                           \
            T t = sums[j];                                                                          \
            if (g->accumulate) t = c[j] + t;                                                        \
            if (bias) t += bias[j];                                                                 \
            if (g->act == TP__ACT_RELU && t <= 0) t = 0;                                            \
            c[j] = t;                                                                               \
        }                                                                                           \
    }
DEFINE_JOIN_ROW(float, join_row_f32)
DEFINE_JOIN_ROW(double, join_row_f64)

static void join_tile(void *ctx, int64_t tile) {
    const joining *j = ctx;
    const tp__gemm *g = j->g;
    const int64_t z = tile / j->tiles, from = tile % j->tiles * j->rows, to = smaller(g->M, from + j->rows);
    for (int64_t i = from; i < to; i++) {
        const int64_t sum = z * j->n * g->M * g->N + i * g->N, c = z * g->c_batch + i * g->c_row;
        if (g->dtype == TP_FLOAT32) join_row_f32(g, (float *)j->sums + sum, j->n, (float *)g->c + c);
        else join_row_f64(g, (double *)j->sums + sum, j->n, (double *)g->c + c);
    }
}

static void join_chunks(const tp__gemm *g, char *sums, int64_t chunks) {
    joining j = {g, sums, chunks, larger(1, JOINED / g->N), 0};
    j.tiles = parts(g->M, j.rows);
    tp__parallel(g->batch * j.tiles, join_tile, &j);
}

/* ---- a block: some rows and columns of one product, packed as needed ----------------------------- */

/* Strides in bytes. */
typedef struct block {
    const tp__gemm_kernels *kernels;
    int64_t M, N, K, size;
    const char *a, *b, *bias;
    int64_t a_row, a_col, b_row, b_col, c_row;
    char *c;
    bool go_on, relu;
} block;

/* How its operands are read, and how much of K at a time. */
typedef struct reading {
    bool pack_a, pack_b;
    tp__rows_lie lie;
    int64_t padded; /* columns of B and zeros up to a whole vector */
    int64_t a_padded, K;
} reading;

static reading read_how(const block *b) {
    const tp__gemm_kernels *k = b->kernels;
    const int64_t panel = TP__MICRO_VECTORS * k->width;
    const bool apart = b->a_col == b->size, near = b->a_row == b->size;
    const bool b_dense = b->b_col == b->size && (k->masks || b->N % k->width == 0);
    reading r = {
        .pack_a = !apart && !(near && b->N <= 2 * panel),
        .pack_b = !b_dense || b->M > 4 * k->rows,
        .lie = apart ? TP__ROWS_APART : TP__ROWS_NEAR,
        .padded = round_up(b->N, k->width),
        .a_padded = round_up(k->rows, 8),
        .K = MOST_K,
    };
    if (r.pack_b) r.K = smaller(r.K, B_BYTES / (r.padded * b->size));
    if (r.pack_a) r.K = smaller(r.K, A_BYTES / (r.a_padded * b->size));
    r.K = larger(1, parts(b->K, larger(1, parts(b->K, r.K))));
    return r;
}

/* A few rows against all columns, along K elements that are packed or in place. */
static void run_rows(const block *b, const reading *r, tp__micro *m, int64_t rows, const char *packed_b) {
    const int64_t width = b->kernels->width, panel = TP__MICRO_VECTORS * width;
    char *const c = m->c;
    const char *const from = m->b;
    for (int64_t j = 0; j < b->N; j += panel) {
        const int64_t columns = smaller(panel, b->N - j);
        const int vectors = columns > width ? 2 : 1;
        m->b = r->pack_b ? packed_b + j * b->size : from + j * b->size;
        m->c = c + j * b->size;
        m->last = (int)(columns - (vectors - 1) * width);
        m->bias = m->bias ? b->bias + j * b->size : NULL;
        b->kernels->micro[r->lie][rows - 1][vectors - 1](m);
    }
    m->b = from;
}

/* All rows and columns, along one block of K. */
static void run_k(const block *b, const reading *r, int64_t k, int64_t K, char *buffer) {
    const tp__gemm_kernels *kernels = b->kernels;
    char *const packed_a = buffer, *const packed_b = r->pack_a ? buffer + A_BYTES : buffer;
    const char *from = b->b + k * b->b_row;
    const bool ends = k + K == b->K;
    if (r->pack_b) kernels->pack(packed_b, r->padded, from, b->b_row, b->b_col, K, b->N);
    tp__micro m = {
        .K = K,
        .b = from,
        .b_step = r->pack_b ? r->padded * b->size : b->b_row,
        .c_step = b->c_row,
        .go_on = b->go_on || k > 0,
        .relu = ends && b->relu,
    };
    const int64_t panels = parts(b->M, kernels->rows);
    for (int64_t p = 0, i = 0; p < panels; p++) {
        const int64_t rows = parts(b->M - i, panels - p);
        const char *a = b->a + i * b->a_row + k * b->a_col;
        if (r->pack_a) kernels->pack(packed_a, r->a_padded, a, b->a_col, b->a_row, K, rows);
        m.a = r->pack_a ? packed_a : a;
        m.a_step = r->pack_a ? r->a_padded * b->size : r->lie == TP__ROWS_NEAR ? b->a_col : b->a_row;
        m.c = b->c + i * b->c_row;
        m.bias = ends ? b->bias : NULL;
        run_rows(b, r, &m, rows, packed_b);
        i += rows;
    }
}

static void run_block(const block *b, const reading *r, char *buffer) {
    for (int64_t k = 0; k < b->K || k == 0; k += r->K) run_k(b, r, k, smaller(r->K, b->K - k), buffer);
}

static void pack_and_run(const block *b, const reading *r) {
    _Alignas(64) char buffer[A_BYTES + B_BYTES];
    run_block(b, r, buffer);
}

/* ---- matrix times matrix ------------------------------------------------------------------------- */

typedef struct matrix_job {
    const tp__gemm *g;
    split split;
    int64_t rows, columns;     /* of a tile */
    int64_t down, across;      /* tiles in a product */
    int64_t products, each;    /* products, counting chunks; how many of them a tile computes */
    char *sums;                /* of chunks */
} matrix_job;

/* The block of c from row i and column j on, in product `p`. */
static block block_at(const matrix_job *job, int64_t p, int64_t i, int64_t j) {
    const tp__gemm *g = job->g;
    const int64_t size = size_of(g), z = p / job->split.n, k = p % job->split.n * job->split.length;
    const bool whole = job->split.n == 1;
    block b = {
        .kernels = kernels_of(g),
        .M = smaller(job->rows, g->M - i),
        .N = smaller(job->columns, g->N - j),
        .K = smaller(job->split.length, g->K - k),
        .size = size,
        .a_row = g->a_row * size,
        .a_col = g->a_col * size,
        .b_row = g->b_row * size,
        .b_col = g->b_col * size,
        .c_row = (whole ? g->c_row : g->N) * size,
        .go_on = whole && g->accumulate,
        .relu = whole && g->act == TP__ACT_RELU,
    };
    b.a = (const char *)g->a + z * g->a_batch * size + i * b.a_row + k * b.a_col;
    b.b = (const char *)g->b + z * g->b_batch * size + k * b.b_row + j * b.b_col;
    b.c = (whole ? (char *)g->c + z * g->c_batch * size : job->sums + p * g->M * g->N * size) + i * b.c_row + j * size;
    b.bias = whole && g->bias ? (const char *)g->bias + j * size : NULL;
    return b;
}

static void matrix_tile(void *ctx, int64_t tile) {
    const matrix_job *job = ctx;
    const int64_t in_one = job->down * job->across, t = tile % in_one;
    const int64_t first = tile / in_one * job->each, last = smaller(first + job->each, job->products);
    for (int64_t p = first; p < last; p++) {
        const block b = block_at(job, p, t / job->across * job->rows, t % job->across * job->columns);
        const reading r = read_how(&b);
        if (r.pack_a || r.pack_b) pack_and_run(&b, &r);
        else run_block(&b, &r, NULL);
    }
}

/* Tiles as large as the caches like them; smaller ones where a large product would have too few. */
static void cut(matrix_job *job) {
    const tp__gemm *g = job->g;
    const int64_t size = size_of(g), panel = TP__MICRO_VECTORS * kernels_of(g)->width;
    const int64_t work = g->M * g->N * larger(job->split.length, 1);
    job->rows = TILE_ROWS;
    job->columns = TILE_ROW_BYTES / size;
    for (;;) {
        job->down = parts(g->M, job->rows);
        job->across = parts(g->N, job->columns);
        const int64_t tiles = job->products * job->down * job->across;
        if (tiles >= ENOUGH_TILES || work * job->products < 2 * tiles * TILE_WORK) break;
        const bool wide = g->N > panel && job->columns > panel, high = g->M > 32 && job->rows > 32;
        if (wide && (job->columns * 2 > job->rows || !high)) job->columns /= 2;
        else if (high) job->rows /= 2;
        else break;
    }
    job->rows = parts(g->M, job->down);
    job->each = work * 2 < TILE_WORK ? smaller(job->products, TILE_WORK / larger(work, 1)) : 1;
}

static void run_matrix(const tp__gemm *g, char *workspace) {
    matrix_job job = {.g = g, .split = split_of(g->M, g->N, g->K), .sums = workspace};
    job.products = g->batch * job.split.n;
    cut(&job);
    tp__parallel(parts(job.products, job.each) * job.down * job.across, matrix_tile, &job);
    if (job.split.n > 1) join_chunks(g, workspace, job.split.n);
}

/* ---- matrix times vector ------------------------------------------------------------------------- */

/* n outputs, each a row of K elements of `m` times x; strides in elements. */
typedef struct vector_job {
    const tp__gemm *g;
    const tp__gemm_kernels *kernels;
    int64_t size, n, K, tile, tiles; /* outputs of a tile; tiles of a chunk */
    split split;
    const char *m, *x;               /* x is dense */
    int64_t m_row, m_col, m_batch, x_batch;
    char *sums; /* of chunks */
} vector_job;

/* Outputs of M = 1 lie along a row of c, those of N = 1 along a column. */
#define DEFINE_FINISH(T, name)                                                                      \
    static void name(const tp__gemm *g, const T *sum, int64_t z, int64_t from, int64_t n) {         \
        const int64_t step = g->N == 1 ? g->c_row : 1;                                              \
        T *c = (T *)g->c + z * g->c_batch + from * step;                                            \
        const T *bias = g->bias;                                                                    \
        for (int64_t i = 0; i < n; i++, c += step) {                                                \
            T t = sum[i];                                                                           \
            if (g->accumulate) t = *c + t;                                                          \
            if (bias) t += bias[g->N == 1 ? 0 : from + i];                                          \
            if (g->act == TP__ACT_RELU && t <= 0) t = 0;                                            \
            *c = t;                                                                                 \
        }                                                                                           \
    }
DEFINE_FINISH(float, finish_f32)
DEFINE_FINISH(double, finish_f64)

static void pack_and_add(const vector_job *job, const char *m, const char *x, int64_t n, int64_t K, char *sum) {
    enum { ROWS = 256 };
    _Alignas(64) char buffer[ROWS * LINE * 8];
    const int64_t size = job->size, padded = round_up(n, job->kernels->width);
    const int64_t rows = sizeof buffer / (size_t)(padded * size) / TP__DOT_LANES * TP__DOT_LANES;
    for (int64_t k = 0; k < K; k += rows) {
        const int64_t now = smaller(rows, K - k);
        job->kernels->pack(buffer, padded, m + k * job->m_col * size, job->m_col * size, job->m_row * size, now, n);
        job->kernels->lanes(sum, buffer, padded * size, x + k * size, n, now);
    }
}

/* sums[n] of rows that are not dense themselves. */
static void add_lanes(const vector_job *job, const char *m, const char *x, int64_t n, int64_t K, char *sums) {
    _Alignas(64) char lanes[TP__DOT_LANES * VECTOR_TILE * 8];
    memset(lanes, 0, (size_t)(TP__DOT_LANES * n * job->size));
    if (job->m_row == 1) job->kernels->lanes(lanes, m, job->m_col * job->size, x, n, K);
    else pack_and_add(job, m, x, n, K, lanes);
    job->kernels->join(sums, lanes, n);
}

static void vector_tile(void *ctx, int64_t tile) {
    const vector_job *job = ctx;
    const int64_t size = job->size, p = tile / job->tiles, i = tile % job->tiles * job->tile;
    const int64_t z = p / job->split.n, k = p % job->split.n * job->split.length;
    const int64_t n = smaller(job->tile, job->n - i), K = smaller(job->split.length, job->K - k);
    const char *m = job->m + (z * job->m_batch + i * job->m_row + k * job->m_col) * size;
    const char *x = job->x + (z * job->x_batch + k) * size;
    _Alignas(64) char here[VECTOR_TILE * 8];
    char *sums = job->split.n > 1 ? job->sums + (p * job->n + i) * size : here;
    if (job->m_col == 1) job->kernels->dots(sums, m, job->m_row * size, x, n, K);
    else add_lanes(job, m, x, n, K, sums);
    if (job->split.n > 1) return;
    if (job->g->dtype == TP_FLOAT32) finish_f32(job->g, (const float *)here, z, i, n);
    else finish_f64(job->g, (const double *)here, z, i, n);
}

/* Dense rows: whatever is a good read. Dense columns: as wide as possible, as that is the order in
 * memory, unless there is more than one thread's work and no chunks to share. */
static int64_t vector_tile_size(const vector_job *job) {
    if (job->m_col == 1) return smaller(VECTOR_TILE, round_up(larger(1, 65536 / larger(job->K, 1)), 4));
    if (job->m_row != 1) return LINE;
    if (job->split.n >= 8 || job->n * job->K < TILE_WORK) return VECTOR_TILE;
    return smaller(VECTOR_TILE, round_up(parts(job->n, 8), LINE));
}

/* Elements of x that have to be made dense first. */
static int64_t scattered(const tp__gemm *g) {
    const int64_t step = g->N == 1 ? g->b_row : g->a_col;
    const int64_t batches = (g->N == 1 ? g->b_batch : g->a_batch) ? g->batch : 1;
    return step == 1 || g->K == 1 ? 0 : batches * g->K;
}

static char *gather(const vector_job *job, int64_t step, char *to) {
    for (int64_t z = 0; z < (job->x_batch ? job->g->batch : 1); z++)
        for (int64_t k = 0; k < job->K; k++) {
            const char *from = job->x + (z * job->x_batch + k * step) * job->size;
            memcpy(to + (z * job->K + k) * job->size, from, (size_t)job->size);
        }
    return to;
}

static void run_vector(const tp__gemm *g, char *workspace) {
    const bool right = g->N == 1;
    vector_job job = {
        .g = g,
        .kernels = kernels_of(g),
        .size = size_of(g),
        .n = right ? g->M : g->N,
        .K = g->K,
        .split = split_of(g->M, g->N, g->K),
        .m = right ? g->a : g->b,
        .x = right ? g->b : g->a,
        .m_row = right ? g->a_row : g->b_col,
        .m_col = right ? g->a_col : g->b_row,
        .m_batch = right ? g->a_batch : g->b_batch,
        .x_batch = right ? g->b_batch : g->a_batch,
        .sums = workspace,
    };
    if (job.K <= 1) job.m_col = 1;
    if (scattered(g)) {
        job.sums += round_up(scattered(g) * job.size, LINE);
        job.x = gather(&job, right ? g->b_row : g->a_col, workspace);
        if (job.x_batch) job.x_batch = job.K;
    }
    job.tile = vector_tile_size(&job);
    job.tiles = parts(job.n, job.tile);
    tp__parallel(g->batch * job.split.n * job.tiles, vector_tile, &job);
    if (job.split.n > 1) join_chunks(g, job.sums, job.split.n);
}

/* ---- whole numbers ------------------------------------------------------------------------------- */

#define DEFINE_WHOLE_ROW(T, name)                                                                   \
    static void name(const tp__gemm *g, int64_t z, int64_t i) {                                     \
        const T *a = (const T *)g->a + z * g->a_batch + i * g->a_row;                               \
        const T *b = (const T *)g->b + z * g->b_batch;                                              \
        T *c = (T *)g->c + z * g->c_batch + i * g->c_row;                                           \
        for (int64_t j = 0; j < g->N; j++) c[j] = 0;                                                \
        for (int64_t k = 0; k < g->K; k++)                                                          \
            for (int64_t j = 0; j < g->N; j++)                                                      \
                c[j] = (T)(c[j] + a[k * g->a_col] * b[k * g->b_row + j * g->b_col]);                \
    }
DEFINE_WHOLE_ROW(uint64_t, whole_row_i64)
DEFINE_WHOLE_ROW(uint8_t, whole_row_u8)

static void whole_row(void *ctx, int64_t row) {
    const tp__gemm *g = ctx;
    if (g->dtype == TP_INT64) whole_row_i64(g, row / g->M, row % g->M);
    else whole_row_u8(g, row / g->M, row % g->M);
}

/* ---- */

size_t tp__gemm_workspace(const tp__gemm *g) {
    if (g->dtype > TP_FLOAT64 || g->M < 1 || g->N < 1 || g->K < 1 || g->batch < 1) return 0;
    const int64_t size = size_of(g), n = split_of(g->M, g->N, g->K).n;
    const int64_t x = g->M == 1 || g->N == 1 ? round_up(scattered(g) * size, LINE) : 0;
    return (size_t)(x + (n > 1 ? g->batch * n * g->M * g->N * size : 0));
}

void tp__gemm_run(const tp__gemm *g, void *workspace) {
    if (g->M < 1 || g->N < 1 || g->batch < 1) return;
    if (g->dtype > TP_FLOAT64) {
        tp__gemm copy = *g;
        tp__parallel(g->batch * g->M, whole_row, &copy);
        return;
    }
    tp__gemm whole = *g;
    if (g->K < 1) { /* nothing is read, so addresses do not matter */
        whole.K = whole.a_row = whole.a_col = whole.b_row = whole.b_col = whole.a_batch = whole.b_batch = 0;
        whole.a = whole.b = &whole;
    }
    if (whole.K == 1) whole.a_col = 1; /* any stride will do, so the best */
    if (g->M == 1 || g->N == 1) run_vector(&whole, workspace);
    else run_matrix(&whole, workspace);
}
