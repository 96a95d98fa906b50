/* isa.h -- what an ISA level fills in: tables of functions, left by the files isa_*.c.
 *
 * The loops behind the table know nothing of strides of operands, threads or chunk trees; the files
 * pointwise.c, reduce.c, rowwise.c, move.c, step.c and gemm.c, compiled once, add those. */
#ifndef TAPER_SRC_ISA_H
#define TAPER_SRC_ISA_H
#include "kernels/gemm.h"
#include "kernels/kernels.h"

/* ---- pointwise ------------------------------------------------------------------------------- */

/* n elements of dense operands; ptr as in tp__pw_block. */
typedef void (*tp__pw_loop)(int64_t n, void *const *ptr, double p, double q);

/* The same for n elements, a multiple of TP__PW_STEP, from each of TP__PW_STREAMS places on, in
 * turns. Results lie on whole lines and are written past the caches. What has AVX-512 writes a
 * tenth more to four places than to one; what has not writes most to two, and a third less to four
 * where it collects few lines at a time (Zen 3). */
#define TP__PW_STREAMS(isa) ((isa) == TP__ISA_V4 ? 4 : 2)
enum { TP__PW_MOST_STREAMS = 4, TP__PW_STEP = 64 };
typedef struct tp__pw_place {
    void *ptr[TP__PW_ARGS];
} tp__pw_place;
typedef void (*tp__pw_past)(int64_t n, const tp__pw_place *at, double p, double q);

typedef struct tp__pw_loops {
    tp__pw_loop loop;
    tp__pw_past past; /* or NULL: what it computes takes longer than memory does */
    /* NULL, or as past for when operand k + 1 lies at one place for all streams: what reads it once
     * for them, or NULL. */
    const tp__pw_past *past_row;
} tp__pw_loops;

typedef struct tp__pw_kernel {
    tp__pw_loops all;
    tp__pw_loops one_a, one_b; /* the same where operand 1 (2) is a single number, or NULL */
    bool padded;               /* wants n in multiples of TP__PW_PAD, as its body is large */
    uint8_t size[TP__PW_ARGS]; /* bytes of an element, 0 where there is no operand */
} tp__pw_kernel;
enum { TP__PW_PAD = 16 };

/* Run a kernel over a block with any strides: pointwise.c. */
void tp__pw_drive(const tp__pw_kernel *k, const tp__pw_block *b);

typedef struct tp__pw_table {
    tp__pw_fn forward[TP__PW_COUNT];     /* NULL where the dtype has none */
    tp__pw_fn backward[TP__PW_COUNT][2]; /* [operand] */
} tp__pw_table;

/* ---- reductions ------------------------------------------------------------------------------ */

/* Accumulators are numbers (of out's type; f64 for SUMSQDEV) or, for ARGMAX and ARGMIN, these. */
typedef struct tp__red_best {
    union {
        float f32;
        double f64;
        int64_t i64;
        uint8_t u8;
    } value;
    int64_t index;
} tp__red_best;

/* Flags: of columns, the four rows that join first are one of each quarter (FAR), not neighbours;
 * they come from memory, to which streams are worth more than to caches (IN_MEMORY). */
typedef enum tp__red_fours {
    TP__FOURS_NEAR = 0,
    TP__FOURS_FAR = 1,
    TP__FOURS_IN_MEMORY = 2
} tp__red_fours;

typedef struct tp__red_kernel {
    size_t in, acc, out; /* bytes of an element, an accumulator and a result */
    /* acc[i] = reduction of x[i][0..n), rows `stride` elements apart; the first column is number
     * `base` of the whole row. n may be 0. aux: a number per row. */
    void (*rows)(const void *x, int64_t rows, int64_t n, int64_t stride, int64_t base,
                 const double *aux, void *acc);
    /* acc[j] = reduction of x[0..n)[j] for j < width, rows `stride` elements apart. aux: a
     * number per column. */
    void (*cols)(const void *x, int64_t n, int64_t width, int64_t stride, tp__red_fours fours,
                 int64_t base, const double *aux, void *acc);
    void (*join)(void *acc, const void *later,
                 int64_t n); /* acc[i] = acc[i] joined with later[i] */
    void (*finish)(const void *acc, void *out, int64_t n); /* NULL: accumulators are results */
} tp__red_kernel;

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct tp__row_kernel {
    void (*softmax)(const void *x, void *y, int64_t rows, int64_t n);
    void (*log_softmax)(const void *x, void *y, int64_t rows, int64_t n);
    void (*softmax_backward)(const void *y, const void *g, void *gx, int64_t rows, int64_t n);
    void (*log_softmax_backward)(const void *y, const void *g, void *gx, int64_t rows, int64_t n);
    void (*cross_entropy)(const void *x, const int64_t *t, void *loss, void *lse, int64_t rows,
                          int64_t n);
    void (*cross_entropy_backward)(const void *x, const int64_t *t, const void *lse, const void *g,
                                   int64_t g_step, void *gx, int64_t rows, int64_t n);
} tp__row_kernel;

/* ---- steps ----------------------------------------------------------------------------------- */

/* The numbers of a step as they enter it, in double; each is rounded to the dtype once. */
typedef struct tp__sgd_args {
    double shrink, rate, mom; /* p = p shrink + rate step */
    bool first;
} tp__sgd_args;
typedef struct tp__adam_args {
    double shrink, rate, b1, b2, c1, c2, debias2, eps; /* c = 1 - b */
} tp__adam_args;

typedef struct tp__step_kernel {
    void (*sgd)(void *p, const void *g, void *v, int64_t n, const tp__sgd_args *a);
    void (*adam)(void *p, const void *g, void *m, void *s, int64_t n, const tp__adam_args *a);
    void (*box_muller)(void *x, int64_t groups, double mean, double std);
} tp__step_kernel;

/* ---- moves ----------------------------------------------------------------------------------- */

typedef struct tp__move_kernels {
    tp__cast_fn cast[TP__DTYPE_COUNT][TP__DTYPE_COUNT]; /* [to][from] */
    void (*gather)(const tp__gather *g);
} tp__move_kernels;

/* ---- the table ------------------------------------------------------------------------------- */

enum { TP__FLOATS = TP_FLOAT64 + 1 }; /* dtypes that have gradients come first */

struct tp__kernels {
    tp__isa isa;
    const tp__pw_table *pointwise[TP__DTYPE_COUNT];
    const tp__red_kernel *reduce[TP__DTYPE_COUNT]; /* [TP__RED_COUNT] */
    const tp__row_kernel *rowwise[TP__FLOATS];
    const tp__step_kernel *step[TP__FLOATS];
    const tp__gemm_kernels *gemm[TP__FLOATS];
    const tp__move_kernels *move;
};

/* What the files isa_*.c leave at each level. */
#define TP__TABLES(isa)                                                            \
    extern const tp__pw_table tp__pointwise_f32_##isa, tp__pointwise_f64_##isa,    \
        tp__pointwise_i64_##isa, tp__pointwise_u8_##isa, tp__pointwise_bool_##isa; \
    extern const tp__red_kernel tp__reduce_f32_##isa[], tp__reduce_f64_##isa[],    \
        tp__reduce_i64_##isa[], tp__reduce_u8_##isa[];                             \
    extern const tp__row_kernel tp__rowwise_f32_##isa, tp__rowwise_f64_##isa;      \
    extern const tp__step_kernel tp__step_f32_##isa, tp__step_f64_##isa;           \
    extern const tp__gemm_kernels tp__gemm_f32_##isa, tp__gemm_f64_##isa;          \
    extern const tp__move_kernels tp__move_##isa
TP__TABLES(base);
TP__TABLES(v3);
TP__TABLES(v4);
#undef TP__TABLES

/* The table in use, and the same where it may not have been chosen yet, then NULL: dispatch.c. */
const tp__kernels *tp__kernels_now(void);
extern _Atomic(const tp__kernels *) tp__kernels_in_use;

#endif
