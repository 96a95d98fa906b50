/* kernels.h -- the arithmetic: raw pointers and strides; no tensors, no errors, no malloc.
 *
 * Every loop is written once (isa_*.c and their *.inc), included once per dtype and compiled once
 * per ISA level; dispatch.c picks one level at start. Policy (tiles, threads, chunk trees) lives in
 * gemm.c, reduce.c, rowwise.c, and depends on shapes alone, so every result has the same bits for
 * any number of threads. -ffp-contract=off: a fused multiply-add stands only where it is written,
 * and everything but GEMM has the same bits at all three levels. */
#ifndef TAPER_SRC_KERNELS_H
#define TAPER_SRC_KERNELS_H
#include "base/base.h"

/* ---- pointwise: pointwise.def, pointwise.inc ------------------------------------------------- */

enum { SAVE_NONE = 0, SAVE_A = 1, SAVE_B = 2, SAVE_Y = 4 };

typedef enum tp__pw_op {
#define UNARY(name, ...) TP__PW_##name,
#define UNARY_NUM(name, ...) TP__PW_##name,
#define TEST(name, ...) TP__PW_##name,
#define BINARY(name, ...) TP__PW_##name,
#define BINARY_NUM(name, ...) TP__PW_##name,
#define COMPARE(name, ...) TP__PW_##name,
#define BITWISE(name, ...) TP__PW_##name,
#define PARAM(name, ...) TP__PW_##name,
#include "kernels/pointwise.def"
    TP__PW_where, /* p[1] bool, p[2] and p[3] of one dtype */
    TP__PW_power, /* x^p for the whole p that tp__is_short_power names; floats */
    TP__PW_COUNT
} tp__pw_op;

/* The exponents of TP__PW_power: those of a few products and a quotient, but 2, which is square. */
static inline bool tp__is_short_power(double p) {
    return p == 3 || p == 1 || p == 0 || p == -1 || p == -2;
}

/* A block of m rows by n columns. p[0] is written, the others are read; strides in bytes, 0
 * where an operand repeats (never for p[0]). p[0] may be the same array as an operand with the
 * same strides. Forward: p[1] = a, p[2] = b, p[3] = c. Backward: p[1] = g, p[2] = a, p[3] = b,
 * p[4] = y; one that the row does not save may be NULL. p and q: the two numbers of PARAM rows. */
enum { TP__PW_ARGS = 5 };
typedef struct tp__pw_block {
    int64_t m, n;
    void *ptr[TP__PW_ARGS];
    int64_t row[TP__PW_ARGS], col[TP__PW_ARGS];
    double p, q;
    bool dense; /* m is 1 and every col the size of an element; false: find out */
    bool large; /* p[0] is part of more than caches hold: it is better written past them */
} tp__pw_block;
typedef void (*tp__pw_fn)(const tp__pw_block *b);

/* ---- reductions: reduce.c, reduce.inc -------------------------------------------------------- */

/* x[outer, red, inner] row-major and dense -> out[outer, inner].
 * SUM, PROD: f32 -> f32, f64 -> f64, i64/u8/bool -> i64. MAX, MIN: same dtype; NaN wins.
 * ARGMAX, ARGMIN: -> i64, the first; NaN wins. ANY, ALL: any dtype -> bool (uint8 0 or 1).
 * SUMSQ: sum of x^2, with the bits of SUM of these squares; floats. SUM64: floats -> f64, with the
 * bits of SUM of x in f64.
 * SUMSQDEV: sum of (x - m)^2, m the f64 mean given per output in `aux` (f64[outer, inner]); floats.
 * red = 0 gives the identity (SUM 0, PROD 1, ANY 0, ALL 1); MAX, MIN, ARG* are not called with it.
 * Float sums: 4 x 16 fixed lanes within chunks of TP__RED_CHUNK, columns by four rows at a time (of
 * 512 columns and more one of each quarter of a chunk), chunks joined in a fixed tree. */
typedef enum tp__red_op {
    TP__RED_SUM,
    TP__RED_PROD,
    TP__RED_MAX,
    TP__RED_MIN,
    TP__RED_ARGMAX,
    TP__RED_ARGMIN,
    TP__RED_ANY,
    TP__RED_ALL,
    TP__RED_SUMSQ,
    TP__RED_SUM64,
    TP__RED_SUMSQDEV,
    TP__RED_COUNT
} tp__red_op;
typedef struct tp__reduce {
    tp__red_op op;
    tp_dtype dtype; /* of x */
    int64_t outer, red, inner;
    const void *x;
    void *out;
    const double *aux;
    /* NULL, or inner is 1 and what is read here takes the place of x: the n elements from number
     * `at` on, at most TP__RED_CHUNK, in `to` or where they are. Called by any thread. */
    const void *(*read)(const void *from, int64_t at, int64_t n, void *to);
    const void *from;
} tp__reduce;
/* Bytes of scratch that tp__reduce_run wants for this job (may be 0). */
size_t tp__reduce_workspace(const tp__reduce *r);
void tp__reduce_run(const tp__reduce *r, void *workspace);

/* ---- matrix multiply: gemm.c, gemm.inc ------------------------------------------------------- */

/* c[M, N] = act(a[M, K] @ b[K, N] + bias[N]), or c += ... with `accumulate`. dtype TP_FLOAT32,
 * TP_FLOAT64 (both fast) or TP_INT64, TP_UINT8 (plain loops, wrapping; no bias, act,
 * accumulate). Any element strides for a and b (so all four transpose cases, and 0 for a
 * broadcast), c has unit column stride. K = 0 gives act(bias) or zeros. `batch` products at the
 * given element distances. Each output is one FMA chain in k order, with the same K blocks at v3
 * and v4. NaN and Inf go through. */
typedef enum tp__act { TP__ACT_NONE, TP__ACT_RELU } tp__act;
typedef struct tp__gemm {
    tp_dtype dtype;
    int64_t M, N, K, batch;
    const void *a;
    int64_t a_row, a_col, a_batch;
    const void *b;
    int64_t b_row, b_col, b_batch;
    void *c;
    int64_t c_row, c_batch;
    const void *bias; /* [N] of dtype, or NULL */
    tp__act act;
    bool accumulate;
    bool chains; /* M = 1 or N = 1: add in k order, but for a long K, see gemm.c */
    /* Set by tp__gemm_workspace, which looks at a and b, for the run with that workspace: the
     * number of threads, buffers for so many of them, and that c is computed as its transpose. */
    int threads, hands;
    bool turned;
} tp__gemm;
size_t tp__gemm_workspace(tp__gemm *g);
void tp__gemm_run(const tp__gemm *g, void *workspace); /* workspace: 64-byte aligned */

/* ---- rows: rowwise.c, rowwise.inc; f32 and f64 ----------------------------------------------- */

/* x[rows, n] dense -> y[rows, n]: softmax or log_softmax of each row, max subtracted first. */
void tp__softmax(tp_dtype d, const void *x, void *y, int64_t rows, int64_t n);
void tp__log_softmax(tp_dtype d, const void *x, void *y, int64_t rows, int64_t n);
/* gx from y and g: softmax y (g - sum(g y)); log_softmax g - e^y sum(g). */
void tp__softmax_backward(tp_dtype d, const void *y, const void *g, void *gx, int64_t rows,
                          int64_t n);
void tp__log_softmax_backward(tp_dtype d, const void *y, const void *g, void *gx, int64_t rows,
                              int64_t n);
/* Fused cross-entropy: loss[r] = logsumexp(x[r]) - x[r][t[r]], and lse[r] kept for the backward:
 * gx[r][j] = (e^(x[r][j] - lse[r]) - (j == t[r])) * g[r * g_step]. 0 <= t[r] < n was checked. */
void tp__cross_entropy(tp_dtype d, const void *x, const int64_t *t, void *loss, void *lse,
                       int64_t rows, int64_t n);
void tp__cross_entropy_backward(tp_dtype d, const void *x, const int64_t *t, const void *lse,
                                const void *g, int64_t g_step, void *gx, int64_t rows, int64_t n);

/* ---- positions and masks: pick.c, mask.c ----------------------------------------------------- */

/* The elements of y[outer, n, inner], dense, and those of x, o * x_outer + p * x_n + i * x_inner,
 * where p is the position of y[o][j][i] or, of_rows, the one of all y[..][j][..]. Steps are in
 * elements. */
typedef struct tp__pick {
    tp_dtype dtype;
    int64_t outer, n, inner;
    int64_t x_outer, x_n, x_inner;
    bool of_rows;
    bool one_row; /* y is [inner], for all positions */
    const int64_t *p;
    void *x, *y;
} tp__pick;
/* y from x. false, and part of y is as it was: a position is not in [0, size). */
bool tp__pick_take(const tp__pick *k, int64_t size);
/* x from y, and floats of y added to x, in order where positions repeat. All are in range. */
void tp__pick_put(const tp__pick *k);
void tp__pick_add(const tp__pick *k);
bool tp__positions_fit(const int64_t *p, int64_t n, int64_t size); /* are all in [0, size)? */

/* A dense mask in parts, and how many elements are true before each: set by tp__mask_count. */
enum { TP__MASK_PARTS = 64, TP__MASK_AXES = 8 };
typedef struct tp__mask {
    const uint8_t *is;
    int64_t n, part, parts, before[TP__MASK_PARTS + 1];
} tp__mask;
int64_t tp__mask_count(tp__mask *m, const uint8_t *is, int64_t n); /* all that are true */
/* y: the elements of x[n] where the mask is true; and x from these, with 0 elsewhere. */
void tp__mask_choose(tp__mask *m, tp_dtype d, const void *x, void *y);
void tp__mask_spread(tp__mask *m, tp_dtype d, const void *y, void *x);
/* out[][ndim]: where the mask, of axes dim[ndim], TP__MASK_AXES at most, is true. */
void tp__mask_places(tp__mask *m, const int64_t *dim, int ndim, int64_t *out);

/* ---- order and running sums: sort.c, scan.c -------------------------------------------------- */

/* The first k of the order of each row of x[rows, n], of any dtype: their positions to
 * index[rows, k], and the elements themselves to y[rows, k]; either may be NULL. Equal elements
 * stay as they stood, -0 equals 0, and a NaN is larger than all numbers. 0 <= k <= n. */
typedef struct tp__order {
    tp_dtype dtype;
    int64_t rows, n, k;
    bool descending;
    const void *x;
    int64_t *index;
    void *y;
    int hands; /* set by tp__order_workspace, for the run with that: buffers for so many threads */
} tp__order;
size_t tp__order_workspace(tp__order *o);
void tp__order_run(const tp__order *o, void *workspace);
/* Floats back to where they stood: y[o][index[o][j][i]][i] = x[o][j][i] for j < k, of y's n. */
void tp__order_undo(tp_dtype d, const void *x, const int64_t *index, void *y, int64_t outer,
                    int64_t n, int64_t k, int64_t inner);

/* y[outer, size, inner]: the sums of x up to each element of its lane or, from the end, from each
 * one on. Floats are added up in float64, one by one; int64 wraps. */
typedef struct tp__sums {
    tp_dtype dtype; /* float32, float64 or int64 */
    int64_t outer, size, inner;
    bool from_end;
    const void *x;
    void *y;
} tp__sums;
void tp__running_sums(const tp__sums *s);

/* ---- moves and steps: move.inc, step.inc ----------------------------------------------------- */

/* m x n block copy with byte strides as in tp__pw_block (ptr[0] written, ptr[1] read),
 * converting. To bool: x != 0. Float to integer: as C, out of range wraps as on x86-64; NaN
 * gives the smallest. */
typedef void (*tp__cast_fn)(const tp__pw_block *b);

/* Rows of pixels gathered: out[i][j] = x[index[i]][j] / 255, the float32 that division gives. The
 * first `soon` rows of `later` will be gathered in a while: memory is told already. */
typedef struct tp__gather {
    const uint8_t *x;
    const int64_t *index, *later;
    int64_t rows, soon, n;
    float *out;
} tp__gather;
void tp__gather_rows(const tp__gather *g);

/* fastai's SGD: p *= 1 - lr wd; with momentum v = mom v + g, p -= lr v, else p -= lr g. v may be
 * NULL when mom is 0. `first`: v = g (no history yet). One pass. Computed as torch does: lr in
 * the dtype. */
void tp__sgd_step(tp_dtype d, void *p, const void *g, void *v, int64_t n, double lr, double mom,
                  double wd, bool first);
/* fastai's Adam: p *= 1 - lr wd; m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g g;
 * p -= lr / (1 - b1^t) * m / (sqrt(s / (1 - b2^t)) + eps). t counts from 1. */
void tp__adam_step(tp_dtype d, void *p, const void *g, void *m, void *s, int64_t n, double lr,
                   double b1, double b2, double eps, double wd, int64_t t);

/* torch's float randn for n >= 16 from uniforms: each whole group of 16 in place,
 * x[j] = sqrt(-2 ln(1 - u[j])) cos(2 pi u[j + 8]), x[j + 8] = ... sin(...), times std plus mean. */
void tp__box_muller_f32(float *x, int64_t groups, float mean, float std);
void tp__box_muller_f64(double *x, int64_t groups, double mean, double std);

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct tp__kernels tp__kernels; /* isa.h: what an ISA level fills in */

/* Kernels of the level in use, or NULL where the dtype has none. Backward: operand 0 (a) or 1
 * (b). */
tp__pw_fn tp__pw_forward(tp__pw_op op, tp_dtype dtype);
tp__pw_fn tp__pw_backward(tp__pw_op op, int operand, tp_dtype dtype);
tp__cast_fn tp__cast(tp_dtype to, tp_dtype from);
tp__isa tp__kernels_isa(void);
/* Tests and bench only: switch the level; false if this processor lacks it. Not while ops run. */
bool tp__kernels_use(tp__isa isa);

/* Where tiles are cut: elements of a pointwise tile, a reduction's chunk. Parts of the result's
 * bits. */
enum { TP__PW_TILE = 32768, TP__RED_CHUNK = 4096 };

/* Bytes that no cache near the processor keeps. Tiles of so many are larger, a power of two times
 * TP__PW_TILE, as memory is read and written in long streams; TILES of them for each thread are so
 * many that one of them may be disturbed. */
enum { TP__LARGE = 8 << 20 };
static inline int64_t tp__large_tile(int64_t elements) {
    enum { LEAST = 4, MOST = 64, TILES = 8 };
    const int64_t tiles = TILES * (int64_t)tp_get_num_threads();
    int64_t times = LEAST;
    while (times < MOST && elements >= 2 * times * TP__PW_TILE * tiles) times *= 2;
    return times * TP__PW_TILE;
}

#endif
