/* gemm_tiles.c -- matrix times matrix: how a product is cut into tiles, and what is packed for them.
 *
 * Rows are cut into panels of one micro-kernel's height, columns into panels of its width; a tile, which
 * one thread computes, is some of each, and goes along its columns and k block by block. A is read where
 * it lies if its rows or its columns are dense and it is not read often, B if its rows are dense: then
 * the first panel of rows packs the block for the others on its way. What cannot be read so is packed
 * before the tiles start, once for all of them. The next block of B is fetched while this one is used. */
#include "kernels/isa.h"
#include <string.h>

enum {
    TILE_ROWS = 256,            /* of A, for one block of K and the next: the second-level cache ... */
    BLOCK_BYTES = 512,          /* of a row of c in a block of columns */
    B_BYTES = 128 * 1024,       /* a block of B: ... has room for it as well */
    OFTEN = 2,                  /* B is packed beforehand if more tiles than this would pack it on the way */
    MOST_K = 1024,              /* of a block, however narrow */
    NEAR_K = 128,               /* of a block where A's columns are read in place: lines of the first level */
    SOON = 3,                   /* how long before it is used the next block is fetched: in times of fetching it */
    NARROW = 384,               /* bytes of c's row up to which they are */
    LEAST_K = 256, PACKED = 16 << 20, /* K and bytes of what is packed at a time */
    A_PADDED = 16,              /* rows of a packed panel of A */
    TILE_WORK = 1 << 19,        /* multiply-adds that are worth a tile of their own: 5 us */
    PACK_WORK = 1 << 14,        /* elements that are worth a tile of packing */
    SMALL = 1 << 15,            /* multiply-adds of a product that is not worth a plan */
    SMALL_BYTES = 8 * 1024,     /* of its packed B */
    LINE = 64
};

/* Products of one shape, counting chunks of K, and how they are cut. Strides in bytes. */
typedef struct plan {
    const tp__gemm *g;
    const tp__gemm_kernels *kernels;
    int64_t size;
    tp__split split;
    int64_t products;
    int64_t a_row, a_col, b_row, b_col, c_row;
    tp__rows_lie lie;
    bool pack_a, pack_b;
    int64_t panel;                   /* columns of a panel */
    int64_t down, across;            /* panels of rows and of columns in a product */
    int64_t tile_down, tile_across;  /* panels in a tile ... */
    int64_t block_across;            /* ... and in a block of its columns */
    int64_t tiles_down, tiles_across;
    int64_t each;                    /* products that a tile computes, if one is small */
    int64_t group, packed_k;         /* products and K that are packed at a time */
    char *sums, *packed;
} plan;

/* What is computed between two packings: products from `first` on, and k from `k` to `end`. */
typedef struct phase {
    const plan *p;
    int64_t first, products, k, end;
    int64_t pack_each; /* panels of a tile of packing */
} phase;

/* ---- rows and panels ---------------------------------------------------------------------------- */

/* First row of panel i: panels are as equal as can be, the higher ones first. */
static int64_t row_of_panel(const plan *p, int64_t i) {
    return i * (p->g->M / p->down) + tp__least(i, p->g->M % p->down);
}

/* Operands of a product, from its own k = 0 on. */
static const char *a_of(const plan *p, int64_t product) {
    const int64_t z = product / p->split.n, k = product % p->split.n * p->split.length;
    return (const char *)p->g->a + z * p->g->a_batch * p->size + k * p->a_col;
}
static const char *b_of(const plan *p, int64_t product) {
    const int64_t z = product / p->split.n, k = product % p->split.n * p->split.length;
    return (const char *)p->g->b + z * p->g->b_batch * p->size + k * p->b_row;
}
static char *c_of(const plan *p, int64_t product) {
    if (p->split.n > 1) return p->sums + product * p->g->M * p->g->N * p->size;
    return (char *)p->g->c + product * p->g->c_batch * p->size;
}
static int64_t k_of(const plan *p, int64_t product) {
    return tp__least(p->split.length, p->g->K - product % p->split.n * p->split.length);
}

/* Packed panels of A and of B: [product of the group][panel][k][A_PADDED or panel]. */
static int64_t packed_bytes(const plan *p) {
    const int64_t a = p->pack_a ? p->down * A_PADDED : 0, b = p->pack_b ? p->across * p->panel : 0;
    return (a + b) * p->packed_k * p->size;
}
static char *packed_a(const phase *f, int64_t product, int64_t panel) {
    const plan *p = f->p;
    return p->packed + (product - f->first) * packed_bytes(p) + panel * A_PADDED * p->packed_k * p->size;
}
static char *packed_b(const phase *f, int64_t product, int64_t panel) {
    const plan *p = f->p;
    const int64_t behind = p->pack_a ? p->down : 0;
    return packed_a(f, product, behind) + panel * p->panel * p->packed_k * p->size;
}

static void pack_panel(const phase *f, int64_t product, int64_t panel) {
    const plan *p = f->p;
    const int64_t K = tp__least(f->end, k_of(p, product)) - f->k, in_a = p->pack_a ? p->down : 0;
    if (K <= 0) return;
    if (panel < in_a) {
        const int64_t i = row_of_panel(p, panel), rows = row_of_panel(p, panel + 1) - i;
        const char *from = a_of(p, product) + i * p->a_row + f->k * p->a_col;
        p->kernels->pack(packed_a(f, product, panel), A_PADDED, from, p->a_col, p->a_row, K, rows);
        return;
    }
    const int64_t j = (panel - in_a) * p->panel, columns = tp__least(p->panel, p->g->N - j);
    const char *from = b_of(p, product) + j * p->b_col + f->k * p->b_row;
    p->kernels->pack(packed_b(f, product, panel - in_a), p->panel, from, p->b_row, p->b_col, K, columns);
}

static void pack_tile(void *ctx, int64_t tile) {
    const phase *f = ctx;
    const int64_t panels = (f->p->pack_a ? f->p->down : 0) + (f->p->pack_b ? f->p->across : 0);
    const int64_t end = tp__least(f->products * panels, (tile + 1) * f->pack_each);
    for (int64_t i = tile * f->pack_each; i < end; i++) pack_panel(f, f->first + i / panels, i % panels);
}

static void pack_all(phase *f) {
    const plan *p = f->p;
    const int64_t panels = f->products * ((p->pack_a ? p->down : 0) + (p->pack_b ? p->across : 0));
    f->pack_each = tp__most(1, PACK_WORK / tp__most(1, (f->end - f->k) * p->panel));
    tp__parallel(tp__parts(panels, f->pack_each), pack_tile, f);
}

/* ---- a tile --------------------------------------------------------------------------------------- */

/* Panels [i, i_end) of rows and [j, j_end) of columns of one product. */
typedef struct tile {
    const phase *f;
    int64_t product, i, i_end, j, j_end;
    char *kept; /* a block of B, as the first panel of rows has packed it; NULL: B was packed before */
} tile;

/* Panels [j, j_end) of the tile's columns, for k in [k, k + K). */
typedef struct block {
    int64_t j, j_end, k, K;
} block;

/* Where the rows of B begin for one panel of columns, and how far apart they are. */
typedef struct rows_of_b {
    const char *at;
    int64_t step;
} rows_of_b;

static rows_of_b find_b(const tile *t, int64_t k, int64_t j) {
    const plan *p = t->f->p;
    const int64_t step = p->panel * p->size;
    if (p->pack_b) return (rows_of_b){packed_b(t->f, t->product, j) + (k - t->f->k) * step, step};
    return (rows_of_b){b_of(p, t->product) + k * p->b_row + j * p->panel * p->b_col, p->b_row};
}

/* What a call fetches for block `next`: one line's breadth of its rows of B. That is left to the last
 * calls of this block, `left` before its end, so that it is still there when it is wanted, but not to
 * the very last ones. */
static rows_of_b find_soon(const tile *t, const block *next, int64_t left, const void *nothing) {
    const plan *p = t->f->p;
    const int64_t lines = tp__most(1, p->panel * p->size / LINE), all = (next->j_end - next->j) * lines;
    const int64_t line = SOON * all - left;
    if (line < 0 || line >= all) return (rows_of_b){nothing, 0};
    rows_of_b b = find_b(t, next->k, next->j + line / lines);
    b.at += line % lines * LINE;
    return b;
}

/* What every panel of columns has in common for panel i of rows. */
static tp__micro begin_rows(const tile *t, const block *b, int64_t i) {
    const plan *p = t->f->p;
    const int64_t row = row_of_panel(p, i);
    tp__micro m = {.K = b->K, .c_step = p->c_row, .go_on = b->k > 0 || (p->split.n == 1 && p->g->accumulate)};
    m.c = c_of(p, t->product) + row * p->c_row;
    if (p->pack_a) {
        m.a = packed_a(t->f, t->product, i) + (b->k - t->f->k) * A_PADDED * p->size;
        m.a_step = A_PADDED * p->size;
    } else {
        m.a = a_of(p, t->product) + row * p->a_row + b->k * p->a_col;
        m.a_step = p->lie == TP__ROWS_APART ? p->a_row : p->a_col;
    }
    return m;
}

/* Panel i of rows against all columns of the block. Where B is read in place the first panel of rows
 * keeps it packed, and a last vector that is not full must be read by a keeping kernel anyway. */
static void run_rows(const tile *t, const block *b, const block *next, int64_t i) {
    const plan *p = t->f->p;
    const tp__gemm *g = p->g;
    const int64_t rows = row_of_panel(p, i + 1) - row_of_panel(p, i), width = p->kernels->width;
    const bool ends = p->split.n == 1 && b->k + b->K == g->K, alone = t->i_end - t->i == 1;
    tp__micro m = begin_rows(t, b, i);
    char *const c = m.c;
    m.relu = ends && g->act == TP__ACT_RELU;
    int64_t left = (t->i_end - i) * (b->j_end - b->j);
    for (int64_t j = b->j; j < b->j_end; j++, left--) {
        const int64_t columns = tp__least(p->panel, g->N - j * p->panel), vectors = columns > width ? 2 : 1;
        const rows_of_b here = find_b(t, b->k, j), soon = find_soon(t, next, left, m.a);
        m.b = here.at;
        m.b_step = here.step;
        m.soon = soon.at;
        m.soon_step = soon.step;
        m.last = (int)(columns - (vectors - 1) * width);
        bool keeping = false;
        if (t->kept) {
            m.keep = t->kept + (j - b->j) * p->panel * b->K * p->size;
            m.keep_step = alone ? 0 : vectors * width * p->size;
            keeping = alone ? m.last < width : i == t->i;
            if (!alone && !keeping) m.b = m.keep, m.b_step = m.keep_step;
        }
        m.c = c + j * p->panel * p->size;
        if (ends && g->bias) m.bias = (const char *)g->bias + j * p->panel * p->size;
        (keeping ? p->kernels->keeping : p->kernels->plain)[p->lie][rows - 1][vectors - 1](&m);
    }
}

/* K of a block: its part of B stays in the second-level cache, or what is read of A in the first. */
static int64_t block_k(const plan *p, int64_t panels, int64_t K) {
    const int64_t fits = B_BYTES / (panels * p->panel * p->size);
    const int64_t most = p->lie == TP__ROWS_NEAR ? NEAR_K : tp__least(fits, MOST_K);
    return tp__most(1, tp__parts(K, tp__parts(K, most)));
}

/* The block after `b`: further along k, then to the right; an empty one at the tile's end. */
static block block_after(const tile *t, const block *b, int64_t size, int64_t end) {
    const int64_t k = b->k + size;
    if (k < end) return (block){b->j, b->j_end, k, tp__least(size, end - k)};
    const int64_t j_end = tp__least(t->j_end, b->j_end + t->f->p->block_across);
    return (block){b->j_end, j_end, t->f->k, tp__least(size, end - t->f->k)};
}

static void run_blocks(const tile *t) {
    const plan *p = t->f->p;
    const int64_t k = t->f->k, end = tp__least(t->f->end, k_of(p, t->product));
    if (k >= end && k > 0) return; /* the last chunk is shorter */
    const int64_t across = tp__least(p->block_across, t->j_end - t->j), size = end > k ? block_k(p, across, end - k) : 1;
    block b = {t->j, t->j + across, k, tp__least(size, end - k)};
    while (b.j < b.j_end) {
        const block next = block_after(t, &b, size, end);
        for (int64_t i = t->i; i < t->i_end; i++) run_rows(t, &b, &next, i);
        b = next;
    }
}

static void keep_and_run(tile *t) {
    _Alignas(LINE) char kept[B_BYTES];
    t->kept = kept;
    run_blocks(t);
}

static void run_tile(void *ctx, int64_t number) {
    const phase *f = ctx;
    const plan *p = f->p;
    const int64_t in_one = p->tiles_down * p->tiles_across, at = number % in_one;
    tile t = {.f = f, .i = at / p->tiles_across * p->tile_down, .j = at % p->tiles_across * p->tile_across};
    t.i_end = tp__least(p->down, t.i + p->tile_down);
    t.j_end = tp__least(p->across, t.j + p->tile_across);
    const int64_t first = f->first + number / in_one * p->each;
    const int64_t end = tp__least(f->first + f->products, first + p->each);
    for (t.product = first; t.product < end; t.product++) {
        if (p->pack_b) run_blocks(&t);
        else keep_and_run(&t);
    }
}

/* ---- the plan ------------------------------------------------------------------------------------- */

static void choose_reading(plan *p) {
    const tp__gemm *g = p->g;
    const bool apart = g->a_col == 1 || g->K < 2, near = g->a_row == 1;
    p->pack_a = !apart && !(near && g->N * p->size <= NARROW);
    p->pack_b = g->b_col != 1 || g->M > OFTEN * TILE_ROWS;
    p->lie = apart ? TP__ROWS_APART : p->pack_a ? TP__ROWS_PACKED : TP__ROWS_NEAR;
}

/* Tiles as large as the caches like them; smaller where several threads would have too few. */
static void choose_tiles(plan *p) {
    const tp__gemm *g = p->g;
    const int64_t work = g->M * g->N * tp__most(p->split.length, 1), total = work * p->products;
    const int64_t threads = tp_get_num_threads(), wanted = threads == 1 ? 1 : tp__least(4 * threads, total / TILE_WORK);
    p->block_across = tp__least(p->across, BLOCK_BYTES / (p->panel * p->size));
    p->tile_down = tp__least(p->down, TILE_ROWS / p->kernels->rows);
    p->tile_across = p->across;
    for (;;) {
        p->tiles_down = tp__parts(p->down, p->tile_down);
        p->tiles_across = tp__parts(p->across, p->tile_across);
        if (p->products * p->tiles_down * p->tiles_across >= wanted) break;
        const bool wide = p->tile_across > 1, high = p->tile_down > 2;
        if (wide && (p->tile_across >= p->block_across || !high)) p->tile_across = tp__parts(p->tile_across, 2);
        else if (high) p->tile_down = tp__parts(p->tile_down, 2);
        else break;
    }
    p->tile_down = tp__parts(p->down, p->tiles_down);
    p->tile_across = tp__parts(p->across, p->tiles_across);
    p->each = work < TILE_WORK / 2 ? tp__least(p->products, TILE_WORK / tp__most(work, 1)) : 1;
}

static void choose_packing(plan *p) {
    p->packed_k = 1;
    const int64_t one = tp__most(1, packed_bytes(p));
    p->packed_k = p->split.length;
    if (!p->pack_a && !p->pack_b) {
        p->group = p->products;
        return;
    }
    if (one * p->packed_k > PACKED) p->packed_k = tp__least(p->packed_k, tp__most(LEAST_K, PACKED / one));
    p->group = tp__least(p->products, tp__most(1, PACKED / (one * tp__most(p->packed_k, 1))));
}

static plan make_plan(const tp__gemm *g) {
    plan p = {.g = g, .kernels = tp__kernels_now()->gemm[g->dtype], .split = tp__gemm_split(g)};
    p.size = g->dtype == TP_FLOAT32 ? 4 : 8;
    p.products = g->batch * p.split.n;
    p.a_row = g->a_row * p.size;
    p.a_col = g->a_col * p.size;
    p.b_row = g->b_row * p.size;
    p.b_col = g->b_col * p.size;
    p.c_row = (p.split.n > 1 ? g->N : g->c_row) * p.size;
    p.panel = TP__MICRO_VECTORS * p.kernels->width;
    p.down = tp__parts(g->M, p.kernels->rows);
    p.across = tp__parts(g->N, p.panel);
    choose_reading(&p);
    choose_packing(&p);
    return p;
}

/* ---- small products ---------------------------------------------------------------------------------- */

/* All panels in place, or B packed on the stack; false if this product wants more than that. */
static bool run_small(const tp__gemm *g) {
    const bool apart = g->a_col == 1 || g->K < 2, pack = g->b_col != 1;
    if (g->batch > 1 || g->M * g->N * g->K > SMALL || !(apart || g->a_row == 1)) return false;
    const tp__gemm_kernels *kernels = tp__kernels_now()->gemm[g->dtype];
    const int64_t size = g->dtype == TP_FLOAT32 ? 4 : 8, width = kernels->width, panel = 2 * width;
    if (pack && panel * g->K * size > SMALL_BYTES) return false;
    _Alignas(LINE) char packed[SMALL_BYTES];
    const tp__rows_lie lie = apart ? TP__ROWS_APART : TP__ROWS_PACKED;
    tp__micro m = {.K = g->K, .a_step = (apart ? g->a_row : g->a_col) * size, .c_step = g->c_row * size};
    m.b_step = pack ? panel * size : g->b_row * size;
    m.go_on = g->accumulate;
    m.relu = g->act == TP__ACT_RELU;
    m.soon = g->a;
    m.keep = packed;
    for (int64_t j = 0; j < g->N; j += panel) {
        const int64_t columns = tp__least(panel, g->N - j), vectors = columns > width ? 2 : 1;
        m.b = (const char *)g->b + j * g->b_col * size;
        m.last = (int)(columns - (vectors - 1) * width);
        if (pack) kernels->pack(packed, panel, m.b, g->b_row * size, g->b_col * size, g->K, columns);
        if (pack) m.b = packed;
        if (g->bias) m.bias = (const char *)g->bias + j * size;
        const tp__micro_table *table = (pack || m.last == width ? kernels->plain : kernels->keeping) + lie;
        for (int64_t i = 0; i < g->M; i += kernels->rows) {
            m.a = (const char *)g->a + i * g->a_row * size;
            m.c = (char *)g->c + (i * g->c_row + j) * size;
            (*table)[tp__least(kernels->rows, g->M - i) - 1][vectors - 1](&m);
        }
    }
    return true;
}

/* ---- */

int64_t tp__gemm_packed(const tp__gemm *g) {
    const plan p = make_plan(g);
    return p.group * packed_bytes(&p);
}

void tp__gemm_run_tiles(const tp__gemm *g, void *workspace) {
    if (run_small(g)) return;
    plan p = make_plan(g);
    choose_tiles(&p);
    p.sums = workspace;
    p.packed = p.sums;
    if (p.split.n > 1) p.packed += tp__round_up(p.products * g->M * g->N * p.size, LINE);
    for (int64_t first = 0; first < p.products; first += p.group)
        for (int64_t k = 0; k < p.split.length || k == 0; k += tp__most(p.packed_k, 1)) {
            phase f = {.p = &p, .first = first, .products = tp__least(p.group, p.products - first), .k = k};
            f.end = tp__least(p.split.length, k + p.packed_k);
            if (p.pack_a || p.pack_b) pack_all(&f);
            tp__parallel(tp__parts(f.products, p.each) * p.tiles_down * p.tiles_across, run_tile, &f);
        }
    if (p.split.n > 1) tp__gemm_join(g, p.sums, p.split.n);
}
