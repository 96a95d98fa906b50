/* move.c -- casts by dtype, and rows gathered by several threads. */
#include "kernels/isa.h"

tp__cast_fn tp__cast(tp_dtype to, tp_dtype from) {
    return tp__kernels_now()->move->cast[to][from];
}

typedef struct gather_job {
    const tp__gather *g;
    int64_t rows; /* of a tile */
} gather_job;

static void gather_tile(void *ctx, int64_t tile) {
    const gather_job *j = ctx;
    const int64_t from = tile * j->rows, to = from + j->rows;
    tp__kernels_now()->move->gather(j->g, from, to < j->g->rows ? to : j->g->rows);
}

void tp__gather_rows(const tp__gather *g) {
    if (g->rows <= 0 || g->n <= 0) return;
    enum { TILE = 8192 }; /* elements: a microsecond, as one thread may be far ahead */
    const int64_t rows = 1 + (TILE - 1) / g->n;
    gather_job j = {g, rows};
    tp__parallel((g->rows + rows - 1) / rows, gather_tile, &j);
}
