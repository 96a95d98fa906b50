/* dataset.c -- datasets whose samples lie in memory, and what every dataset is asked for.
 *
 * zip pairs the rows of two tensors. It looks at them through raw pointers, because handles
 * belong to one thread and samples are fetched by several. */
#include "data/data.h"
#include <string.h>

int64_t tp_dataset_len(const tp_dataset *ds) {
    if (!ds || !ds->len) return tp__error_null("dataset_len"), -1;
    return ds->len(ds->self);
}

void tp_dataset_free(tp_dataset *ds) {
    if (!ds) return;
    if (ds->free) ds->free(ds->self);
    memset(ds, 0, sizeof *ds);
}

/* Sample `at` into *x and *y, which are made here. */
static tp_status get_sample(const tp_dataset *ds, int64_t at, tp_tensor **x, tp_tensor **y) {
    *x = tp__new("dataset_get", &ds->x_shape, ds->x_dtype);
    *y = *x ? tp__new("dataset_get", &ds->y_shape, ds->y_dtype) : NULL;
    if (!*y) return tp_error_code();
    tp_sample s = {tp__ptr(*x), tp__ptr(*y)};
    const tp_status r =
        ds->get ? ds->get(ds->self, at, &s) : ds->get_batch(ds->self, &at, 1, s.x, s.y);
    if (r && !tp_error_code()) tp_error_set(TP_EUSER, "get returned %d without an error", (int)r);
    return r ? tp_error_prefix("dataset_get: sample %lld", (long long)at) : TP_OK;
}
tp_status tp_dataset_get(const tp_dataset *given, int64_t i, tp_tensor **x, tp_tensor **y) {
    if (!given || !x || !y) return tp__error_null("dataset_get");
    tp_dataset ds;
    if (!tp__opts("dataset_get", &ds, sizeof ds, given)) return tp_error_code();
    if (!ds.get && !ds.get_batch)
        return tp_error_set(TP_EVALUE, "dataset_get: the dataset has no get");
    const int64_t n = tp_dataset_len(&ds), at = i < 0 ? i + n : i;
    if (n < 0) return tp_error_code();
    if (at >= 0 && at < n) return get_sample(&ds, at, x, y);
    return tp_error_set(TP_EINDEX, "dataset_get: there is no sample %lld among %lld", (long long)i,
                        (long long)n);
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct rows_set {
    tp__rows x, y;
    int64_t len;
    tp_tensor *of[2]; /* kept: theirs */
} rows_set;

static int64_t rows_len(void *self) {
    return ((const rows_set *)self)->len;
}

/* Samples of a tile: a microsecond, as one thread may be far ahead. */
static int64_t samples_of_tile(const tp__rows *r) {
    enum { ELEMENTS = 8192 };
    return r->n < ELEMENTS ? 1 + (ELEMENTS - 1) / (r->n + 1) : 1;
}

static int64_t tiles_of(const tp__rows *r, int64_t n) {
    const int64_t each = samples_of_tile(r);
    return (n + each - 1) / each;
}

/* Those of x, then those of y: labels are a single one, as they take less than a microsecond. */
int64_t tp__filling_tiles(const tp__filling *f) {
    const rows_set *s = f->self;
    return tiles_of(&s->x, f->n) + tiles_of(&s->y, f->n);
}

static void fill_tile(const tp__rows *r, const tp__filling *f, int64_t tile, void *batch) {
    const int64_t each = samples_of_tile(r), from = tile * each, left = f->n - from,
                  n = left < each ? left : each, soon = r->far ? f->soon - from : 0;
    const int64_t *index = f->index + from;
    char *out = (char *)batch + from * r->n * tp_dtype_size(tp__rows_dtype(r));
    tp__rows_gather(r, index, n, index + f->n, soon < n ? soon : n, out);
}

void tp__fill_tile(void *filling, int64_t tile) {
    const tp__filling *f = filling;
    const rows_set *s = f->self;
    const int64_t of_x = tiles_of(&s->x, f->n);
    if (tile < of_x)
        fill_tile(&s->x, f, tile, f->x);
    else
        fill_tile(&s->y, f, tile - of_x, f->y);
}

static void set_ahead(const rows_set *s, tp__ahead ahead) {
    for (int i = 0; i < 2; i++)
        atomic_store_explicit(&s->of[i]->st->ahead, ahead, memory_order_relaxed);
}

bool tp__fill_ahead(tp__filling *f) {
    if (!tp__spare_begin(tp__filling_tiles(f), tp__fill_tile, f)) return false;
    set_ahead(f->self, TP__READ_AHEAD);
    return true;
}

int64_t tp__fill_ahead_end(const tp__filling *f) {
    const rows_set *s = f->self;
    bool changed = false;
    for (int i = 0; i < 2; i++)
        changed |=
            atomic_load_explicit(&s->of[i]->st->ahead, memory_order_relaxed) == TP__CHANGED_SINCE;
    set_ahead(s, TP__NOT_AHEAD); /* before others, who may share x or y, can have the spare time */
    const int64_t left = tp__spare_end();
    return changed ? tp__filling_tiles(f) : left;
}

static tp_status rows_get_batch(void *self, const int64_t *index, int64_t n, void *x, void *y) {
    tp__filling f = {self, index, n, 0, x, y};
    tp__parallel(tp__filling_tiles(&f), tp__fill_tile, &f);
    return TP_OK;
}

static tp_status rows_get(void *self, int64_t i, tp_sample *sample) {
    return rows_get_batch(self, &i, 1, sample->x, sample->y);
}

static void rows_free(void *self) {
    rows_set *s = self;
    for (int i = 0; i < 2; i++) tp_free(s->of[i]);
    tp__mfree(s);
}

bool tp__dataset_in_memory(const tp_dataset *ds) {
    return ds->get_batch == rows_get_batch;
}

/* ---- zip ------------------------------------------------------------------------------------- */

static tp_shape row_shape(const tp_tensor *x) {
    tp_shape s = {.ndim = x->ndim - 1};
    memcpy(s.dim, x->shape + 1, (size_t)s.ndim * sizeof *s.dim);
    return s;
}

/* Does it pay to ask for rows a batch before they are read? Not if they are in the last cache.
 * Others use that too: a quarter of it is what is likely to be ours. */
static bool is_far(const tp_tensor *x) {
    return x->numel * tp_dtype_size((tp_dtype)x->dtype) > tp__cpu_cache() / 4;
}

static tp__rows rows_of(const tp_tensor *x, bool pixels) {
    const int64_t len = x->shape[0];
    return (tp__rows){.data = tp__ptr(x),
                      .dtype = (tp_dtype)x->dtype,
                      .n = len ? x->numel / len : 0,
                      .pixels = pixels,
                      .far = is_far(x)};
}

tp_status tp_zip_dataset(tp_tensor *x, tp_tensor *y, tp_dataset *out) {
    if (!x || !y || !out) return tp__error_null("zip_dataset");
    *out = (tp_dataset){0};
    if (!x->ndim || !y->ndim)
        return tp_error_set(TP_ESHAPE, "zip_dataset: %s is a single number; rows are wanted",
                            x->ndim ? "y" : "x");
    if (x->shape[0] != y->shape[0])
        return tp_error_set(TP_ESHAPE, "zip_dataset: x has %lld rows, y has %lld",
                            (long long)x->shape[0], (long long)y->shape[0]);
    x = tp__contiguous(x);
    y = tp__contiguous(y);
    rows_set *s = x && y ? tp__calloc(1, sizeof *s) : NULL;
    if (!s) return tp_error_code();
    *s = (rows_set){
        rows_of(x, x->dtype == TP_UINT8), rows_of(y, false), x->shape[0], {tp_keep(x), tp_keep(y)}};
    *out = (tp_dataset){.size = sizeof *out,
                        .self = s,
                        .x_shape = row_shape(x),
                        .y_shape = row_shape(y),
                        .x_dtype = tp__rows_dtype(&s->x),
                        .y_dtype = tp__rows_dtype(&s->y),
                        .len = rows_len,
                        .get = rows_get,
                        .free = rows_free,
                        .get_batch = rows_get_batch};
    return TP_OK;
}
