/* transform.c -- rows of memory into a batch: picked, converted, scaled, in one pass over the
 * bytes.
 *
 * Pixels are divided by 255, not multiplied by its reciprocal: that is what x.float() / 255
 * does, and the last bits would differ. The work is cut into tiles of whole rows, by size alone. */
#include "data/data.h"
#include <string.h>

tp_dtype tp__rows_dtype(const tp__rows *r) {
    return r->pixels ? TP_FLOAT32 : r->dtype;
}

typedef struct gather {
    const tp__rows *rows;
    const int64_t *index;
    int64_t count, per_tile; /* rows of out, of a tile */
    void *out;
} gather;

static void gather_pixels(const tp__rows *r, const int64_t *index, int64_t count, float *out) {
    tp__gather_rows(&(tp__gather){.x = r->data,
                                  .x_is_u8 = true,
                                  .divide = true,
                                  .index = index,
                                  .rows = count,
                                  .n = r->n,
                                  .scale = 255,
                                  .shift = 0,
                                  .out = out});
}

static void gather_bytes(const tp__rows *r, const int64_t *index, int64_t count, char *out) {
    const size_t row = (size_t)(r->n * tp_dtype_size(r->dtype));
    if (row == sizeof(int64_t)) { /* labels: no call for each */
        for (int64_t i = 0; i < count; i++)
            ((int64_t *)out)[i] = ((const int64_t *)r->data)[index[i]];
        return;
    }
    for (int64_t i = 0; i < count; i++)
        memcpy(out + (size_t)i * row, (const char *)r->data + (size_t)index[i] * row, row);
}

static void run_tile(void *ctx, int64_t tile) {
    const gather *g = ctx;
    const int64_t first = tile * g->per_tile, left = g->count - first;
    const int64_t count = left < g->per_tile ? left : g->per_tile;
    const int64_t row = g->rows->n * tp_dtype_size(tp__rows_dtype(g->rows));
    char *out = (char *)g->out + first * row;
    if (g->rows->pixels)
        gather_pixels(g->rows, g->index + first, count, (float *)out);
    else
        gather_bytes(g->rows, g->index + first, count, out);
}

void tp__rows_gather(const tp__rows *r, const int64_t *index, int64_t count, void *out) {
    enum { TILE = 32768 }; /* elements: some microseconds */
    const int64_t per_tile = r->n < TILE ? TILE / (r->n ? r->n : 1) : 1;
    gather g = {r, index, count, per_tile, out};
    tp__parallel((count + per_tile - 1) / per_tile, run_tile, &g);
}
