/* iter.c -- strided loops: from shapes and strides to the m x n blocks that kernels take.
 *
 * Operands are broadcast by stride 0, axes are merged where every operand allows it, and the rest
 * is cut into tiles by shape alone, so that threads never change a result. */
#include "tensor/tensor.h"
#include <string.h>

typedef struct loop {
    tp__pw_fn fn;
    int nargs, ndim; /* ndim >= 1; the last axis is the columns, the one before it the rows */
    int64_t dim[TP_MAX_DIM + 1];
    int64_t stride[TP__PW_ARGS][TP_MAX_DIM + 1]; /* bytes */
    char *ptr[TP__PW_ARGS];
    int64_t tile_rows, tile_cols, tiles_per_row;
    double p, q;
    bool large;
} loop;

/* Copy axis `from` onto axis `to`, or, if `to` is dense around it, merge the two. */
static bool mergeable(const loop *l, int outer, int inner) {
    for (int a = 0; a < l->nargs; a++)
        if (l->ptr[a] && l->stride[a][outer] != l->stride[a][inner] * l->dim[inner]) return false;
    return true;
}

static void add_axis(loop *l, const int64_t *stride, int64_t dim) {
    const int k = l->ndim;
    for (int a = 0; a < l->nargs; a++) l->stride[a][k] = stride[a];
    l->dim[k] = dim;
    if (k > 0 && mergeable(l, k - 1, k)) {
        l->dim[k - 1] *= dim;
        for (int a = 0; a < l->nargs; a++) l->stride[a][k - 1] = stride[a];
        return;
    }
    l->ndim++;
}

static void build(loop *l, const tp_shape *shape, tp_tensor *const *args) {
    int64_t st[TP__PW_ARGS][TP_MAX_DIM];
    l->ndim = 0;
    for (int a = 0; a < l->nargs; a++) {
        l->ptr[a] = NULL;
        if (!args[a]) continue;
        tp__broadcast_strides(args[a], shape, st[a]);
        l->ptr[a] = tp__ptr(args[a]);
    }
    for (int d = 0; d < shape->ndim; d++) {
        if (shape->dim[d] == 1) continue;
        int64_t bytes[TP__PW_ARGS] = {0};
        for (int a = 0; a < l->nargs; a++)
            if (args[a]) bytes[a] = st[a][d] * tp__size_of((tp_dtype)args[a]->dtype);
        add_axis(l, bytes, shape->dim[d]);
    }
    if (!l->ndim) add_axis(l, (const int64_t[TP__PW_ARGS]){0}, 1);
}

/* Rows [row, row + m) of the flattened leading axes, columns [col, col + n): one call per run of
 * rows that differ in the last row axis only. */
static void run_rows(const loop *l, int64_t row, int64_t m, int64_t col, int64_t n) {
    const int c = l->ndim - 1, r = l->ndim - 2;
    const int64_t span = r >= 0 ? l->dim[r] : 1;
    while (m > 0) {
        const int64_t in_span = row % span, take = m < span - in_span ? m : span - in_span;
        tp__pw_block b = {.m = take, .n = n, .p = l->p, .q = l->q, .large = l->large};
        for (int a = 0; a < l->nargs; a++) {
            if (!l->ptr[a]) continue;
            char *p = l->ptr[a] + col * l->stride[a][c];
            if (r >= 0) p += in_span * l->stride[a][r];
            int64_t rest = row / span;
            for (int d = r - 1; d >= 0; d--) {
                p += rest % l->dim[d] * l->stride[a][d];
                rest /= l->dim[d];
            }
            b.ptr[a] = p;
            b.row[a] = r >= 0 ? l->stride[a][r] : 0;
            b.col[a] = l->stride[a][c];
        }
        l->fn(&b);
        row += take;
        m -= take;
    }
}

/* Does an operand lie across the rows? A cache line of it then serves several rows of a tile. */
static bool lies_across(const loop *l) {
    const int c = l->ndim - 1, r = l->ndim - 2;
    for (int a = 1; a < l->nargs && r >= 0; a++)
        if (l->stride[a][r] && l->stride[a][c] > l->stride[a][r]) return true;
    return false;
}

static int64_t rows_of(const loop *l) {
    int64_t rows = 1;
    for (int d = 0; d < l->ndim - 1; d++) rows *= l->dim[d];
    return rows;
}

static void run_tile(void *ctx, int64_t tile) {
    const loop *l = ctx;
    const int64_t row = tile / l->tiles_per_row * l->tile_rows, rows = rows_of(l) - row;
    const int64_t col = tile % l->tiles_per_row * l->tile_cols, cols = l->dim[l->ndim - 1] - col;
    run_rows(l, row, rows < l->tile_rows ? rows : l->tile_rows, col,
             cols < l->tile_cols ? cols : l->tile_cols);
}

static int64_t tiles_over(int64_t size, int64_t tile) {
    return (size + tile - 1) / tile;
}

/* Whole rows where they fit; square-ish tiles where an operand lies across. Returns how many. */
static int64_t cut(loop *l) {
    const int64_t cols = l->dim[l->ndim - 1];
    const int64_t tile = l->large ? tp__large_tile(rows_of(l) * cols) : TP__PW_TILE;
    const int64_t widest = lies_across(l) ? TP__PW_TILE / 64 : tile;
    l->tile_cols = cols < widest ? cols : widest;
    l->tile_rows = tile / l->tile_cols;
    l->tiles_per_row = tiles_over(cols, l->tile_cols);
    return tiles_over(rows_of(l), l->tile_rows) * l->tiles_per_row;
}

/* Can the whole be one row: is each operand dense, or one element repeated? The result is dense. */
static bool is_one_row(tp_tensor *const *args, int nargs, tp__pw_block *b) {
    b->dense = true;
    for (int a = 0; a < nargs; a++) {
        const tp_tensor *x = args[a];
        if (!x) continue;
        const bool dense = x->dense && x->numel == b->n;
        b->dense &= dense;
        if (!dense && (!x->one || a == 0)) return false;
        b->ptr[a] = x->data;
        b->row[a] = 0;
        b->col[a] = dense ? tp__size_of((tp_dtype)x->dtype) : 0;
    }
    return true;
}

TP__APART static void iterate_tiles(tp__pw_fn fn, const tp_shape *shape, tp_tensor *const *args,
                                    int nargs, double p, double q) {
    loop l;
    l.fn = fn;
    l.nargs = nargs;
    l.p = p;
    l.q = q;
    l.large = args[0]->numel * tp__size_of((tp_dtype)args[0]->dtype) >= TP__LARGE;
    build(&l, shape, args);
    const int64_t tiles = cut(&l);
    if (tiles == 1)
        run_tile(&l, 0);
    else
        tp__parallel(tiles, run_tile, &l);
}

/* Nothing is cleared here that a kernel does not read: that would cost more than four sums. */
void tp__iterate(tp__pw_fn fn, const tp_shape *shape, tp_tensor *const *args, int nargs, double p,
                 double q) {
    tp__pw_block b;
    b.m = 1;
    b.n = args[0]->numel;
    if (!b.n) return;
    if (b.n > TP__PW_TILE || !is_one_row(args, nargs, &b)) {
        iterate_tiles(fn, shape, args, nargs, p, q);
        return;
    }
    b.p = p;
    b.q = q;
    b.large = false;
    fn(&b);
}

void tp__copy(tp_tensor *dst, const tp_tensor *src) {
    union {
        const tp_tensor *c;
        tp_tensor *m;
    } in = {src}; /* args[1] is only read */
    tp__iterate(tp__cast((tp_dtype)dst->dtype, (tp_dtype)src->dtype), &dst->s,
                (tp_tensor *[]){dst, in.m}, 2, 0, 0);
}

tp_tensor *tp__clone(const tp_tensor *x) {
    if (!x) return NULL;
    tp_tensor *y = tp__new_like(x, (tp_dtype)x->dtype);
    if (y) tp__copy(y, x);
    return y;
}
tp_tensor *tp__contiguous(tp_tensor *x) {
    return !x || tp__contiguous_p(x) ? x : tp__clone(x);
}
tp_tensor *tp__converted(tp_tensor *x, tp_dtype dtype) {
    tp_tensor *y = tp__new_like(x, dtype);
    if (y) tp__copy(y, x);
    return y;
}

static void fill_from(tp_tensor *x, void *value, tp_dtype dtype) {
    const tp_tensor one = {
        .dtype = (uint8_t)dtype, .dense = true, .one = true, .numel = 1, .data = value};
    tp__copy(x, &one);
}
void tp__fill(tp_tensor *x, double v) {
    fill_from(x, &v, TP_FLOAT64);
}
void tp__fill_int(tp_tensor *x, int64_t v) {
    fill_from(x, &v, TP_INT64);
}
