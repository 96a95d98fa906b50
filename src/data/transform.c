/* transform.c -- rows of memory into a batch: picked, converted, scaled, in one pass over the
 * bytes. The work is cut into tiles of whole rows, by size alone. */
#include "data/data.h"
#include <string.h>

tp_dtype tp__rows_dtype(const tp__rows *r) {
    return r->pixels ? TP_FLOAT32 : r->dtype;
}

typedef struct copy {
    const tp__rows *rows;
    const int64_t *index;
    int64_t count, per_tile; /* rows of out, of a tile */
    char *out;
} copy;

static void copy_tile(void *ctx, int64_t tile) {
    const copy *c = ctx;
    const size_t row = (size_t)(c->rows->n * tp_dtype_size(c->rows->dtype));
    const char *x = c->rows->data;
    const int64_t from = tile * c->per_tile, end = from + c->per_tile;
    const int64_t to = end < c->count ? end : c->count;
    if (row == sizeof(int64_t)) { /* labels: no call for each */
        for (int64_t i = from; i < to; i++)
            ((int64_t *)c->out)[i] = ((const int64_t *)x)[c->index[i]];
        return;
    }
    for (int64_t i = from; i < to; i++)
        memcpy(c->out + (size_t)i * row, x + (size_t)c->index[i] * row, row);
}

void tp__rows_gather(const tp__rows *r, const int64_t *index, int64_t count, int64_t soon,
                     void *out) {
    enum { TILE = 32768 }; /* elements: some microseconds */
    if (r->pixels) {
        tp__gather_rows(&(tp__gather){r->data, index, count, soon, r->n, out});
        return;
    }
    const int64_t per_tile = r->n < TILE ? TILE / (r->n ? r->n : 1) : 1;
    copy c = {r, index, count, per_tile, out};
    tp__parallel((count + per_tile - 1) / per_tile, copy_tile, &c);
}
