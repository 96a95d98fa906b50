/* scan.c -- running sums: tiles of rows, or of columns, for the pool. However many are added up
 * beside each other, each sum is one chain in the order of its lane. */
#include "kernels/isa.h"

enum {
    TILE = 16384, /* elements that a tile should have at least */
    ROWS = 4,
    COLUMNS = 256
};

#define FN_(name, suffix) name##_##suffix
#define FN_OF(name, suffix) FN_(name, suffix)
#define FN(name) FN_OF(name, SUF)

#define T float
#define SUM double
#define SUF f32
#include "kernels/scan.inc"

#define T double
#define SUM double
#define SUF f64
#include "kernels/scan.inc"

#define T uint64_t
#define SUM uint64_t
#define SUF i64
#include "kernels/scan.inc"

typedef struct kernel {
    int64_t size;
    void (*rows)(const void *x, void *y, int64_t rows, int64_t n, bool from_end);
    void (*columns)(const void *x, void *y, int64_t n, int64_t columns, int64_t stride,
                    bool from_end);
} kernel;
static const kernel kernels[] = {[TP_FLOAT32] = {sizeof(float), rows_f32, columns_f32},
                                 [TP_FLOAT64] = {sizeof(double), rows_f64, columns_f64},
                                 [TP_INT64] = {sizeof(int64_t), rows_i64, columns_i64}};

typedef struct job {
    const tp__sums *s;
    const kernel *k;
    int64_t blocks;        /* of columns, in each of s->outer */
    int64_t pieces, group; /* rows, or blocks, in all; of a tile */
} job;

static void run_columns(const job *j, int64_t piece) {
    const tp__sums *s = j->s;
    const int64_t first = piece % j->blocks * COLUMNS;
    const int64_t at = (piece / j->blocks * s->size * s->inner + first) * j->k->size;
    j->k->columns((const char *)s->x + at, (char *)s->y + at, s->size,
                  tp__least(s->inner - first, COLUMNS), s->inner, s->from_end);
}

static void run_tile(void *ctx, int64_t tile) {
    const job *j = ctx;
    const tp__sums *s = j->s;
    const int64_t first = tile * j->group, end = tp__least(first + j->group, j->pieces);
    const int64_t at = first * s->size * j->k->size;
    if (s->inner == 1)
        j->k->rows((const char *)s->x + at, (char *)s->y + at, end - first, s->size, s->from_end);
    else
        for (int64_t piece = first; piece < end; piece++) run_columns(j, piece);
}

void tp__running_sums(const tp__sums *s) {
    if (s->outer <= 0 || s->size <= 0 || s->inner <= 0) return;
    job j = {s, &kernels[s->dtype], tp__parts(s->inner, COLUMNS), 0, 0};
    j.pieces = s->outer * j.blocks;
    const int64_t least = 1 + (TILE - 1) / (s->size * tp__least(s->inner, COLUMNS));
    j.group = s->inner == 1 ? tp__round_up(least, ROWS) : least;
    tp__parallel(tp__parts(j.pieces, j.group), run_tile, &j);
}
