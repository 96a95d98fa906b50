/* gemm_plan.c -- matrix times matrix: what is read in place, what is packed, where tiles are cut.
 *
 * All of it follows from the shape, the strides, the number of threads and zeros, and none of it
 * changes a bit: each output is one chain in k order, whichever tile computes it. */
#include "kernels/gemm_plan.h"
#include "kernels/isa.h"

enum {
    OFTEN = 2,         /* B is packed beforehand if more tiles than this would pack it on the way */
    NARROW = 384,      /* bytes of a row of c up to which A is not read often */
    WAYS = 12,         /* of a set of the first-level cache, at most */
    LEAST_K = 256,     /* of what is packed at a time ... */
    PACKED = 16 << 20, /* ... and bytes of it, ... */
    NEAR_PACKED = 256 << 10, /* ... or fewer, which are still near when they are used, ... */
    NEAR_C = 1 << 20,        /* ... where all of c is as well */
    TILE_WORK = 1 << 19,     /* multiply-adds that are worth a tile of their own: 5 us */
    BLOCK_BYTES = 512,       /* of a row of c in a block: it is near, with a tile's A */
    OWN_BYTES = 512 << 10,   /* of B that a thread packs for itself, ... */
    OWN_PANELS = 4,          /* ... at least so many panels, or all */
    MUCH_HIGHER = 4,         /* A than B is wide: threads share its rows */
    LEAST_DOWN = 4,          /* panels of rows of a tile that brings them together ... */
    LEAST_HIGH = 2,          /* ... and of any; */
    LEAST_ROWS = 32,         /* rows of one, whose first panel packs B for the others */
    LEAST_BROUGHT = 60,      /* rows that threads share, lest each brings all together */
    NEAR_K = 272,     /* of a block where A's columns are read in place: its lines stay near */
    LEAST_TURNED = 64 /* K with which turning c costs little */
};

typedef tp__plan plan;

/* ---- reading and packing --------------------------------------------------------------------- */

/* Rows that lie a multiple of `conflict` apart are too many for the ways of a set; copied, they are
 * a line further apart. */
static void choose_reading(plan *p) {
    const tp__gemm *g = &p->g;
    const bool apart = g->a_col == 1 || g->K < 2, near = g->a_row == 1;
    const bool often = g->N * p->size > NARROW;
    p->pack_a = apart ? often && p->kernels->rows > WAYS && g->M >= p->kernels->rows &&
                            p->a_row % p->kernels->conflict == 0
                      : often || !near;
    p->own_b = g->b_col != 1 && !p->pack_a && p->split.n == 1 &&
               tp__least(p->across, OWN_PANELS) * p->panel * g->K * p->size <= OWN_BYTES;
    p->pack_b = !p->own_b && g->M > (g->b_col == 1 ? OFTEN : 1) * p->kernels->tile_rows;
    p->lie = apart ? TP__ROWS_APART : p->pack_a ? TP__ROWS_PACKED : TP__ROWS_NEAR;
}

/* K of a phase: what is packed for all tiles stays near, or within bounds, and the rows of a tile
 * that are brought together stay in the second-level cache. */
static void choose_packing(plan *p) {
    const bool near = !p->turned && p->g.M * p->g.N * p->size <= NEAR_C;
    const int64_t most = near ? NEAR_PACKED : PACKED, K = tp__most(1, p->split.length);
    p->packed_k = 1;
    const int64_t one = tp__most(1, tp__plan_packed_bytes(p));
    p->packed_k = K;
    p->group = p->products;
    if (p->pack_b && one * K > most) p->packed_k = tp__least(K, tp__most(LEAST_K, most / one));
    if (p->pack_a) {
        const int64_t k = p->kernels->a_bytes / (LEAST_DOWN * p->kernels->rows * p->size);
        p->packed_k = tp__least(p->packed_k, tp__parts(K, tp__parts(K, k)));
    }
    if (p->pack_b) p->group = tp__least(p->products, tp__most(1, PACKED / (one * p->packed_k)));
    p->a_step = p->lie == TP__ROWS_PACKED ? p->a_padded * p->size
                : p->lie == TP__ROWS_NEAR ? p->a_col
                : p->pack_a               ? tp__round_up(p->packed_k * p->size, TP__LINE) + TP__LINE
                                          : p->a_row;
    p->a_next = p->lie == TP__ROWS_APART ? p->a_step : p->size;
}

/* A panel of B stays close, or what is read of A in place does. If there is but one panel, what is
 * saved on c is worth more. */
int64_t tp__plan_block_k(const plan *p, int64_t K) {
    const int64_t bytes = p->across == 1 ? TP__GEMM_KEPT : p->kernels->b_bytes;
    const int64_t most = p->lie == TP__ROWS_NEAR ? NEAR_K : bytes / (p->panel * p->size);
    return tp__most(1, tp__parts(K, tp__parts(K, most)));
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* As large as the caches like them. */
static void choose_largest_tile(plan *p) {
    const int64_t K = tp__most(1, p->packed_k);
    p->block_across = tp__least(p->across, BLOCK_BYTES / (p->panel * p->size));
    p->block_step = p->block_across * p->panel * p->size;
    p->tile_down = tp__least(p->down, p->kernels->tile_rows / p->kernels->rows);
    p->tile_across = p->across;
    if (p->pack_a) {
        const int64_t most = p->kernels->a_bytes / (p->kernels->rows * K * p->size);
        p->tile_down = tp__least(p->tile_down, tp__most(LEAST_DOWN, most));
    }
    if (p->own_b) p->tile_across = tp__least(p->across, OWN_BYTES / (p->panel * K * p->size));
    p->most_down = p->tile_down;
    p->most_across = p->tile_across;
}

static int64_t count_tiles(plan *p) {
    p->tiles_down = tp__parts(p->down, p->tile_down);
    p->tiles_across = tp__parts(p->across, p->tile_across);
    return p->products * p->tiles_down * p->tiles_across;
}

typedef enum cut { CUT_NOTHING, CUT_ROWS, CUT_COLUMNS } cut;

/* What to halve next. The larger operand should be read by one thread, not by all: what has been in
 * another core's cache since, weights or a batch, is several times as slow to write the next
 * time. */
static cut next_cut(const plan *p, int64_t threads) {
    const int64_t rows = p->tile_down * p->kernels->rows;
    const bool has_rows = p->tile_down > LEAST_HIGH && rows > LEAST_ROWS,
               has_columns = p->tile_across > 1;
    if (!has_rows) return has_columns ? CUT_COLUMNS : CUT_NOTHING;
    if (!has_columns) return CUT_ROWS;
    if (p->own_b) { /* columns until each thread packs its own, unless A is what is large */
        const bool shared = p->products * p->tiles_across < threads;
        return shared && p->g.M < MUCH_HIGHER * p->g.N ? CUT_COLUMNS : CUT_ROWS;
    }
    if (p->pack_a && rows > LEAST_BROUGHT && p->products * p->tiles_down < threads)
        return CUT_ROWS; /* until each brings its own together */
    return p->tile_across >= p->block_across ? CUT_COLUMNS : CUT_ROWS;
}

/* More tiles, if there are several threads and work for so many. */
static void cut_tiles(plan *p, int64_t threads, int64_t wanted) {
    while (count_tiles(p) < wanted) {
        switch (next_cut(p, threads)) {
        case CUT_ROWS: p->tile_down = tp__parts(p->tile_down, 2); break;
        case CUT_COLUMNS: p->tile_across = tp__parts(p->tile_across, 2); break;
        case CUT_NOTHING: return;
        }
    }
}

/* As many for each thread. */
static void even_tiles(plan *p, int64_t threads) {
    if (p->products * p->tiles_down * p->tiles_across % threads == 0) return;
    if (p->tiles_down == 1 && !p->own_b)
        p->tiles_across = tp__least(p->across, tp__round_up(p->tiles_across, threads));
    else
        p->tiles_down = tp__least(p->down, tp__round_up(p->tiles_down, threads));
}

static void choose_tiles(plan *p) {
    const int64_t work = p->g.M * p->g.N * tp__most(p->split.length, 1), threads = p->g.threads,
                  worth = work * p->products / TILE_WORK;
    choose_largest_tile(p);
    cut_tiles(p, threads, threads == 1 ? 1 : tp__least(4 * threads, worth));
    even_tiles(p, threads);
    p->each = work < TILE_WORK / 2 ? tp__least(p->products, TILE_WORK / tp__most(work, 1)) : 1;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* c^T = b^T a^T, the same chains: worth it where that saves more packing than turning c costs, or
 * where those of B are few, and few of a line's rows of A^T would be used at a time or there are no
 * more than few. */
static bool is_worth_turning(const tp__gemm *g) {
    const tp__gemm_kernels *kernels = tp__kernels_now()->gemm[g->dtype];
    const int64_t size = g->dtype == TP_FLOAT32 ? 4 : 8;
    if (g->a_row == 1 && g->b_col == 1 && g->a_col != 1)
        return (2 * kernels->rows * size <= TP__LINE || g->M * size <= NARROW) &&
               g->N * size <= NARROW && g->N < g->M && g->K >= LEAST_TURNED;
    if (g->b_row != 1 || g->b_col == 1) return false;
    return g->a_col == 1 ? g->M * (g->K + g->N) < g->N * g->K : g->a_row == 1 && g->M < g->K;
}

static tp__gemm turn(const tp__gemm *g) {
    tp__gemm t = *g;
    t.M = g->N, t.N = g->M;
    t.a = g->b, t.a_row = g->b_col, t.a_col = g->b_row, t.a_batch = g->b_batch;
    t.b = g->a, t.b_row = g->a_col, t.b_col = g->a_row, t.b_batch = g->a_batch;
    return t;
}

/* What has many zeros should be on the left, where they are left out: the shape's choice is changed
 * for it, if the rows of what is on the right then are dense, or packed as they are otherwise. */
bool tp__gemm_turns(const tp__gemm *g, bool *by_zeros) {
    const bool worth = is_worth_turning(g);
    const tp__operand a = {g->dtype, g->a, g->M, g->K, g->a_row, g->a_col},
                      b = {g->dtype, g->b, g->N, g->K, g->b_col, g->b_row};
    *by_zeros =
        worth ? tp__gemm_live_matters(&a, g->N) : g->a_row == 1 && tp__gemm_live_matters(&b, g->M);
    return worth != (*by_zeros && tp__gemm_live_rarely(worth ? &a : &b));
}

plan tp__gemm_plan(const tp__gemm *whole) {
    plan p = {.kernels = tp__kernels_now()->gemm[whole->dtype], .split = tp__gemm_split(whole)};
    p.size = whole->dtype == TP_FLOAT32 ? 4 : 8;
    p.turned = whole->turned;
    p.g = p.turned ? turn(whole) : *whole;
    const tp__gemm *g = &p.g;
    p.products = g->batch * p.split.n;
    p.a_row = g->a_row * p.size;
    p.a_col = g->a_col * p.size;
    p.b_row = g->b_row * p.size;
    p.b_col = g->b_col * p.size;
    p.c_row = (p.split.n > 1 ? whole->N : g->c_row) * p.size;
    p.panel = TP__MICRO_VECTORS * p.kernels->width;
    p.a_padded = tp__round_up(p.kernels->rows, 8);
    p.down = tp__parts(g->M, p.kernels->rows);
    p.across = tp__parts(g->N, p.panel);
    if (p.across == 1 && p.down > g->threads) /* rows are all there is: as many for each */
        p.down = tp__round_up(p.down, g->threads);
    choose_reading(&p);
    choose_packing(&p);
    choose_tiles(&p);
    tp__gemm_live_plan(&p);
    return p;
}
