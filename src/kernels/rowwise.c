/* rowwise.c -- softmax and its kin over many rows: fixed blocks of rows for the pool. */
#include "kernels/isa.h"

enum { TILE = 8192 }; /* elements of a block; a row is never cut */

typedef struct job {
    const tp__row_kernel *k;
    void (*run)(const struct job *j, int64_t from, int64_t rows);
    const char *a, *b; /* read */
    char *y;           /* written */
    const int64_t *t;
    char *loss, *lse;
    int64_t rows, n, size, step, block;
} job;

static void run_tile(void *ctx, int64_t tile) {
    const job *j = ctx;
    const int64_t from = tile * j->block, left = j->rows - from;
    j->run(j, from, left < j->block ? left : j->block);
}

static void run(job j, tp_dtype d, int64_t rows, int64_t n) {
    if (rows <= 0 || n <= 0) return;
    j.k = tp__kernels_now()->rowwise[d];
    j.size = d == TP_FLOAT64 ? 8 : 4;
    j.rows = rows;
    j.n = n;
    j.block = 1 + (TILE - 1) / n;
    tp__parallel((rows + j.block - 1) / j.block, run_tile, &j);
}

static void softmax(const job *j, int64_t from, int64_t rows) {
    const int64_t at = from * j->n * j->size;
    j->k->softmax(j->a + at, j->y + at, rows, j->n);
}

static void log_softmax(const job *j, int64_t from, int64_t rows) {
    const int64_t at = from * j->n * j->size;
    j->k->log_softmax(j->a + at, j->y + at, rows, j->n);
}

static void softmax_backward(const job *j, int64_t from, int64_t rows) {
    const int64_t at = from * j->n * j->size;
    j->k->softmax_backward(j->a + at, j->b + at, j->y + at, rows, j->n);
}

static void log_softmax_backward(const job *j, int64_t from, int64_t rows) {
    const int64_t at = from * j->n * j->size;
    j->k->log_softmax_backward(j->a + at, j->b + at, j->y + at, rows, j->n);
}

static void cross_entropy(const job *j, int64_t from, int64_t rows) {
    j->k->cross_entropy(j->a + from * j->n * j->size, j->t + from, j->loss + from * j->size,
                        j->lse + from * j->size, rows, j->n);
}

static void cross_entropy_backward(const job *j, int64_t from, int64_t rows) {
    const int64_t at = from * j->n * j->size;
    j->k->cross_entropy_backward(j->a + at, j->t + from, j->lse + from * j->size,
                                 j->b + from * j->step * j->size, j->step, j->y + at, rows, j->n);
}

void tp__softmax(tp_dtype d, const void *x, void *y, int64_t rows, int64_t n) {
    run((job){.run = softmax, .a = x, .y = y}, d, rows, n);
}

void tp__log_softmax(tp_dtype d, const void *x, void *y, int64_t rows, int64_t n) {
    run((job){.run = log_softmax, .a = x, .y = y}, d, rows, n);
}

void tp__softmax_backward(tp_dtype d, const void *y, const void *g, void *gx, int64_t rows,
                          int64_t n) {
    run((job){.run = softmax_backward, .a = y, .b = g, .y = gx}, d, rows, n);
}

void tp__log_softmax_backward(tp_dtype d, const void *y, const void *g, void *gx, int64_t rows,
                              int64_t n) {
    run((job){.run = log_softmax_backward, .a = y, .b = g, .y = gx}, d, rows, n);
}

void tp__cross_entropy(tp_dtype d, const void *x, const int64_t *t, void *loss, void *lse,
                       int64_t rows, int64_t n) {
    run((job){.run = cross_entropy, .a = x, .t = t, .loss = loss, .lse = lse}, d, rows, n);
}

void tp__cross_entropy_backward(tp_dtype d, const void *x, const int64_t *t, const void *lse,
                                const void *g, int64_t g_step, void *gx, int64_t rows, int64_t n) {
    run((job){.run = cross_entropy_backward,
              .a = x,
              .b = g,
              .y = gx,
              .t = t,
              .lse = (char *)lse,
              .step = g_step},
        d, rows, n);
}
