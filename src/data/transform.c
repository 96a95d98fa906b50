/* transform.c -- rows of memory into a batch: picked, converted, scaled, in one pass over the
 * bytes. */
#include "data/data.h"
#include <string.h>

tp_dtype tp__rows_dtype(const tp__rows *r) {
    return r->pixels ? TP_FLOAT32 : r->dtype;
}

void tp__rows_gather(const tp__rows *r, const int64_t *index, int64_t count, const int64_t *later,
                     int64_t soon, void *out) {
    if (r->pixels) {
        tp__gather_rows(&(tp__gather){r->data, index, later, count, soon, r->n, out});
        return;
    }
    const size_t row = (size_t)(r->n * tp_dtype_size(r->dtype));
    if (row == sizeof(int64_t)) { /* labels: no call for each */
        for (int64_t i = 0; i < count; i++)
            ((int64_t *)out)[i] = ((const int64_t *)r->data)[index[i]];
        return;
    }
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)out + (size_t)i * row, (const char *)r->data + (size_t)index[i] * row, row);
}
