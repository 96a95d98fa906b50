/* gemm_tiles.c -- matrix times matrix, tile by tile, as gemm_plan.c has cut it.
 *
 * Rows are cut into panels of one micro-kernel's height, columns into panels of its width; a
 * tile, which one thread computes, is some of each, and goes along its columns and k block by
 * block. A is read where it lies if its rows are dense, or its columns and it is not read often;
 * otherwise, and where its rows would drive each other out of the first-level cache, the tile first
 * brings its rows together, in a buffer that stays in the second-level cache. B is read in place if
 * its rows are dense: then the first panel of rows packs the block for the others on its way. What
 * cannot be read so each thread packs for itself, for all tiles of the same columns, or, if that is
 * too much for its second-level cache, all do together before the tiles start. The next block of B
 * is fetched while this one is used. */
#include "kernels/gemm_plan.h"
#include "kernels/hands.h"
#include "kernels/isa.h"
#include <string.h>

enum {
    FORESEEN = 1024,     /* bytes between rows of B, in which the hardware fetches the next */
    SOON = 3,            /* how long before it is used B is fetched, in times of fetching it */
    PACK_WORK = 1 << 14, /* elements that are worth a tile of packing */
    PACK_PANELS = 8,     /* packed side by side, if rows are dense, ... */
    PACK_K = 64,         /* ... so many k at a time, ... */
    NEAR_PACK_K = 16     /* ... or, of columns of A, so many */
};

typedef tp__plan plan;

/* What a thread has packed for itself, and keeps from tile to tile; its buffers follow: a tile of c
 * that is to be turned, then rows of A, then columns of B, then lists of k. */
typedef struct hand {
    struct { /* panel j of B, k in [k, end) */
        int64_t product, j, k, end;
    } has, checked;
    bool finite; /* all that was checked */
    struct {     /* the tile that begins with this panel of rows (b: of columns) */
        int64_t product, first, k;
    } a, b, zeros;
    bool rarely; /* some panels of `zeros` have lists */
    tp__gemm_live_panel live[TP__GEMM_LIVE_PANELS];
    _Alignas(TP__LINE) char kept[TP__GEMM_KEPT];
} hand;

/* What is computed between two packings: products from `first` on, and k from `k` to `end`. */
typedef struct phase {
    const plan *p;
    int64_t first, products, k, end;
    int64_t pack_panels, pack_k, pack_pieces; /* of a tile of packing; how many along k */
    atomic_uint_fast64_t *busy;               /* hands */
} phase;

/* ---- rows and panels ------------------------------------------------------------------------- */

/* Operands of a product, from its own k = 0 on. */
static const char *a_of(const plan *p, int64_t product) {
    const int64_t z = product / p->split.n, k = product % p->split.n * p->split.length;
    return (const char *)p->g.a + z * p->g.a_batch * p->size + k * p->a_col;
}
static const char *b_of(const plan *p, int64_t product) {
    const int64_t z = product / p->split.n, k = product % p->split.n * p->split.length;
    return (const char *)p->g.b + z * p->g.b_batch * p->size + k * p->b_row;
}
static char *c_of(const plan *p, int64_t product, int64_t row, int64_t column) {
    const bool whole = p->split.n == 1;
    char *c = whole ? (char *)p->g.c + product * p->g.c_batch * p->size
                    : p->sums + product * p->g.M * p->g.N * p->size;
    return p->turned ? c + column * p->c_row + row * p->size
                     : c + row * p->c_row + column * p->size;
}
static int64_t k_of(const plan *p, int64_t product) {
    return tp__least(p->split.length, p->g.K - product % p->split.n * p->split.length);
}

static char *packed_b(const phase *f, int64_t product, int64_t panel) {
    const plan *p = f->p;
    return p->packed + (product - f->first) * tp__plan_packed_bytes(p) +
           panel * p->panel * p->packed_k * p->size;
}

/* A panel's k in [k, end). */
static void pack_panel(const phase *f, int64_t product, int64_t panel, int64_t k, int64_t end) {
    const plan *p = f->p;
    const int64_t K = tp__least(end, k_of(p, product)) - k;
    if (K <= 0) return;
    const int64_t j = panel * p->panel, columns = tp__least(p->panel, p->g.N - j);
    const char *from = b_of(p, product) + j * p->b_col + k * p->b_row;
    char *to = packed_b(f, product, panel) + (k - f->k) * p->panel * p->size;
    p->kernels->pack(to, p->panel, from, p->b_row, p->b_col, K, columns);
}

/* Some k of all panels of the tile, then the next: what lies side by side is read together. */
static void pack_tile(void *ctx, int64_t tile) {
    const phase *f = ctx;
    const int64_t across = f->p->across, first = tile / f->pack_pieces * f->pack_panels;
    const int64_t last = tp__least(f->products * across, first + f->pack_panels);
    const int64_t from = f->k + tile % f->pack_pieces * f->pack_k;
    const int64_t end = tp__least(f->end, from + f->pack_k);
    for (int64_t k = from; k < end; k += PACK_K)
        for (int64_t i = first; i < last; i++)
            pack_panel(f, f->first + i / across, i % across, k, tp__least(end, k + PACK_K));
}

/* Tiles are small enough that threads end together, also where there are few panels. */
static void pack_all(phase *f) {
    const plan *p = f->p;
    const int64_t panels = f->products * p->across, K = tp__most(1, f->end - f->k);
    f->pack_panels = p->g.b_col == 1 ? PACK_PANELS : tp__most(1, PACK_WORK / (K * p->panel));
    f->pack_k = tp__round_up(tp__most(1, PACK_WORK / (f->pack_panels * p->panel)), PACK_K);
    f->pack_pieces = tp__parts(K, f->pack_k);
    tp__parallel(tp__parts(panels, f->pack_panels) * f->pack_pieces, pack_tile, f);
}

/* ---- a tile ---------------------------------------------------------------------------------- */

/* Panels [i, i_end) of rows and [j, j_end) of columns of one product. */
typedef struct tile {
    const phase *f;
    int64_t product, i, i_end, j, j_end;
    int64_t K, block_k; /* of the phase, none beyond the product's end; of a block */
    hand *hand;
    const char *a; /* row `i` at k = 0 of the phase, in place or brought together */
    const char *own_b;
    const tp__gemm_live_panel *live; /* of each panel of rows; NULL: nothing is left out */
    char *turned; /* rows of a block of c's transpose, block_step apart; NULL: c is in place */
} tile;

/* Panels [j, j_end) of the tile's columns, for k in [k, k + K), the n-th of the phase. */
typedef struct block {
    int64_t j, j_end, n, k, K;
} block;

/* Where the rows of B begin for one panel of columns, and how far apart they are. */
typedef struct rows_of_b {
    const char *at;
    int64_t step;
} rows_of_b;

static rows_of_b find_b(const tile *t, int64_t k, int64_t j) {
    const plan *p = t->f->p;
    const int64_t step = p->panel * p->size;
    if (p->own_b)
        return (rows_of_b){t->own_b + (j - t->j) * p->packed_k * step + (k - t->f->k) * step, step};
    if (p->pack_b) return (rows_of_b){packed_b(t->f, t->product, j) + (k - t->f->k) * step, step};
    return (rows_of_b){b_of(p, t->product) + k * p->b_row + j * p->panel * p->b_col, p->b_row};
}

/* What the call for a panel of rows fetches, `left` panels before the last: of the rows of B
 * that come next, one line's breadth. That is left to the last calls, so that it is still there
 * when it is wanted, but not to the very last ones. */
static rows_of_b fetch_soon(const tile *t, const rows_of_b *next, int64_t left) {
    const int64_t lines = tp__most(1, t->f->p->panel * t->f->p->size / TP__LINE);
    const int64_t line = tp__least(SOON * lines, t->i_end - t->i) - left;
    if (!next->at || line < 0 || line >= lines) return (rows_of_b){0};
    return (rows_of_b){next->at + line * TP__LINE, next->step};
}

/* Is this panel of B better packed by the first rows for the others? Not if its lines are whole,
 * and lie so that they do not drive each other out of the first-level cache, and so near that the
 * hardware foresees them. */
static bool is_worth_keeping(const tile *t, const rows_of_b *b, int64_t last) {
    if (t->i_end - t->i == 1) return false;
    return last < t->f->p->kernels->width || ((uintptr_t)b->at | (uintptr_t)b->step) % TP__LINE ||
           b->step > FORESEEN || b->step % t->f->p->kernels->conflict == 0;
}

static bool ends_chains(const tile *t, const block *b) {
    return b->k + b->K == k_of(t->f->p, t->product);
}
static bool ends_c(const plan *p, const block *b) {
    return p->split.n == 1 && b->k + b->K == p->g.K;
}

/* What all rows have in common for panel j of columns. Zeros as bias make
 * +0 of sums of -0. */
static tp__micro begin_panel(const tile *t, const block *b, int64_t j) {
    const plan *p = t->f->p;
    const tp__gemm *g = &p->g;
    const rows_of_b here = find_b(t, b->k, j);
    static const char zeros[TP__MICRO_VECTORS * TP__LINE];
    tp__micro m = {.K = b->K,
                   .b = here.at,
                   .b_step = here.step,
                   .go_on = b->k > 0 || (p->split.n == 1 && g->accumulate)};
    m.a_step = p->a_step;
    m.c_step = t->turned ? p->block_step : p->c_row;
    m.last = (int)((tp__least(p->panel, g->N - j * p->panel) - 1) % p->kernels->width) + 1;
    if (ends_chains(t, b) && tp__gemm_settles(g)) m.bias = zeros;
    if (!ends_c(p, b) || t->turned) return m;
    m.relu = g->act == TP__ACT_RELU;
    if (g->bias) m.bias = (const char *)g->bias + j * p->panel * p->size;
    return m;
}

/* Where the hand has, or will have, panel j of a block packed; `has` says which. What follows what
 * it has is added, as long as there is room. */
static char *kept_b(const tile *t, const block *b, int64_t j, int64_t step, bool *has) {
    hand *h = t->hand;
    const bool same = h->has.product == t->product && h->has.j == j;
    *has = same && h->has.k <= b->k && b->k + b->K <= h->has.end;
    const bool more = same && h->has.end == b->k && t->f->p->lie != TP__ROWS_NEAR &&
                      (b->k + b->K - h->has.k) * step <= TP__GEMM_KEPT;
    if (!*has && !more) {
        h->has.product = t->product;
        h->has.j = j;
        h->has.k = b->k;
    }
    if (!*has) h->has.end = b->k + b->K;
    return h->kept + (b->k - h->has.k) * step;
}

/* How the first panel of rows reads panel j of B; true: it packs it for the others on its way. Not
 * if it may leave something out: then B is packed before. */
static bool begin_b(const tile *t, const block *b, int64_t j, int vectors, tp__micro *m) {
    const plan *p = t->f->p;
    const int64_t columns = tp__least(p->panel, p->g.N - j * p->panel);
    if (p->pack_b || p->own_b) return false;
    const bool in_place = p->g.b_col == 1;
    const bool whole = m->last == p->kernels->width;
    if (in_place && !is_worth_keeping(t, &(rows_of_b){m->b, m->b_step}, m->last) &&
        (whole || !t->live)) {
        t->hand->has.product = -1; /* what a keeping kernel writes there is of no use */
        return !whole;
    }
    const int64_t step = (in_place ? vectors * p->kernels->width : p->panel) * p->size;
    bool has;
    char *kept = kept_b(t, b, j, step, &has);
    m->keep_step = step;
    if (in_place && !has && !t->live) {
        m->keep = kept;
        return true;
    }
    if (!has) p->kernels->pack(kept, step / p->size, m->b, p->b_row, p->b_col, b->K, columns);
    m->b = kept;
    m->b_step = step;
    return false;
}

/* The lines of c that a call will write, which are not in the caches if c is new: up to three to a
 * row, wherever it begins. */
static inline void fetch_c(const char *c, int64_t rows, int64_t c_step, int64_t panel) {
    for (int64_t r = 0; r < rows; r++, c += c_step) {
        __builtin_prefetch(c, 1);
        __builtin_prefetch(c + panel / 2, 1);
        __builtin_prefetch(c + panel - 1, 1);
    }
}

static tp__micro_fn kernel_for(const plan *p, const tp__micro *m, bool keeping, int64_t rows,
                               int vectors) {
    const tp__micro_fn half = p->kernels->half[p->lie][rows - 1][vectors - 1];
    if (keeping) return p->kernels->keeping[p->lie][rows - 1][vectors - 1];
    return half && 2 * m->last <= p->kernels->width
               ? half
               : p->kernels->plain[p->lie][rows - 1][vectors - 1];
}

/* May terms of this panel of B be left out? */
static bool is_finite(const tile *t, const block *b, int64_t j, int vectors, const tp__micro *m) {
    hand *h = t->hand;
    const int64_t end = b->k + b->K;
    if (h->checked.product != t->product || h->checked.j != j || h->checked.k != b->k ||
        h->checked.end != end) {
        h->checked.product = t->product;
        h->checked.j = j;
        h->checked.k = b->k;
        h->checked.end = end;
        h->finite = t->f->p->kernels->finite(m->b, m->b_step, m->K, vectors);
    }
    return h->finite;
}

/* Panel j of columns against all rows of the tile; then those of `next` come. A last vector that
 * is not full must be read by a keeping kernel if it has not been packed. */
static void run_panel(const tile *t, const block *b, int64_t j, const rows_of_b *next) {
    const plan *p = t->f->p;
    const int vectors = p->g.N - j * p->panel > p->kernels->width ? 2 : 1;
    tp__micro m = begin_panel(t, b, j);
    m.keep = t->hand->kept;
    bool keeping = begin_b(t, b, j, vectors, &m);
    const bool live = t->live && !keeping && is_finite(t, b, j, vectors, &m);
    const int64_t k = b->k - t->f->k, room = t->f->end - t->f->k;
    const char *a = t->a + k * (p->lie == TP__ROWS_APART ? p->size : m.a_step);
    const int64_t first = tp__plan_row(p, t->i);
    for (int64_t i = t->i; i < t->i_end; i++) {
        const int64_t row = tp__plan_row(p, i), rows = tp__plan_row(p, i + 1) - row;
        m.a = a + tp__plan_a_bytes(p, t->i, i, room);
        m.c = t->turned
                  ? t->turned + (row - first) * p->block_step + (j - b->j) * p->panel * p->size
                  : c_of(p, t->product, row, j * p->panel);
        if (i + 1 < t->i_end)
            fetch_c((const char *)m.c + rows * m.c_step, rows, m.c_step, p->panel * p->size);
        const rows_of_b soon = fetch_soon(t, next, t->i_end - i);
        m.soon = soon.at;
        m.soon_step = soon.step;
        if (live && t->live[i - t->i].rarely) {
            tp__gemm_live_run(p, &t->live[i - t->i], rows, b->n, k, vectors, &m);
            continue;
        }
        kernel_for(p, &m, keeping, rows, vectors)(&m);
        if (keeping && m.keep_step) {
            m.b = m.keep;
            m.b_step = m.keep_step;
            keeping = false;
        }
    }
}

static void run_block(const tile *t, const block *b, const block *next) {
    for (int64_t j = b->j; j < b->j_end; j++) {
        rows_of_b soon = {0};
        if (j + 1 < b->j_end)
            soon = find_b(t, b->k, j + 1);
        else if (next->j < next->j_end)
            soon = find_b(t, next->k, next->j);
        run_panel(t, b, j, &soon);
    }
}

/* The block after `b`: further along k, then to the right; an empty one at the tile's end. */
static block block_after(const tile *t, const block *b) {
    const int64_t k = b->k + t->block_k, first = t->f->k, end = first + t->K;
    if (k < end) return (block){b->j, b->j_end, b->n + 1, k, tp__least(t->block_k, end - k)};
    const int64_t j_end = tp__least(t->j_end, b->j_end + t->f->p->block_across);
    return (block){b->j_end, j_end, 0, first, tp__least(t->block_k, t->K)};
}

/* Into the block that is to be turned, if chains go on from c, and from there to c. */
static void begin_turned(const tile *t, const block *b) {
    const plan *p = t->f->p;
    const int64_t row = tp__plan_row(p, t->i), rows = tp__plan_row(p, t->i_end) - row,
                  column = b->j * p->panel;
    const int64_t columns = tp__least(b->j_end * p->panel, p->g.N) - column;
    if (b->k == 0 && !(p->split.n == 1 && p->g.accumulate)) return;
    p->kernels->pack(t->turned, p->block_step / p->size, c_of(p, t->product, row, column), p->size,
                     p->c_row, rows, columns);
}
static void end_turned(const tile *t, const block *b) {
    const plan *p = t->f->p;
    const int64_t row = tp__plan_row(p, t->i), rows = tp__plan_row(p, t->i_end) - row,
                  column = b->j * p->panel;
    const int64_t columns = tp__least(b->j_end * p->panel, p->g.N) - column;
    const bool ends = ends_c(p, b);
    const char *bias = ends && p->g.bias ? (const char *)p->g.bias + row * p->size : NULL;
    p->kernels->turn(c_of(p, t->product, row, column), p->c_row / p->size, t->turned,
                     p->block_step / p->size, rows, columns, bias,
                     ends && p->g.act == TP__ACT_RELU);
}

static void run_blocks(const tile *t) {
    const plan *p = t->f->p;
    const int64_t k = t->f->k, across = tp__least(p->block_across, t->j_end - t->j);
    if (t->K <= 0 && k > 0) return; /* the last chunk is shorter */
    block b = {t->j, t->j + across, 0, k, tp__least(t->block_k, t->K)};
    while (b.j < b.j_end) {
        const block next = block_after(t, &b);
        if (t->turned && b.k == k) begin_turned(t, &b);
        run_block(t, &b, &next);
        if (t->turned && b.k + b.K == k + t->K) end_turned(t, &b);
        b = next;
    }
}

/* ---- hands ----------------------------------------------------------------------------------- */

static int64_t turned_bytes(const plan *p) {
    return p->turned ? TP__TILE_ROWS * p->block_step : 0;
}
static int64_t brought_bytes(const plan *p) {
    if (!p->pack_a) return 0;
    return p->lie == TP__ROWS_APART
               ? p->most_down * p->kernels->rows * p->a_step
               : p->most_down * p->a_padded * tp__most(1, p->packed_k) * p->size;
}

static int64_t own_bytes(const plan *p) {
    return p->own_b ? p->most_across * p->panel * p->packed_k * p->size : 0;
}

/* The rows of a tile, together, in the order in which they are read. What comes from columns comes
 * a few k at a time, as long rows of which all panels take a part. */
static void pack_a(const tile *t, char *to, const char *from, int64_t K) {
    const plan *p = t->f->p;
    const int64_t all = t->f->end - t->f->k, each = p->g.a_row == 1 ? NEAR_PACK_K : PACK_K;
    for (int64_t k = 0; k < K; k += each) {
        const int64_t now = tp__least(each, K - k);
        int64_t row = tp__plan_row(p, t->i);
        for (int64_t i = t->i; i < t->i_end; i++) {
            const int64_t next = tp__plan_row(p, i + 1);
            p->kernels->pack(to + ((i - t->i) * all + k) * p->a_step, p->a_padded,
                             from + row * p->a_row + k * p->a_col, p->a_col, p->a_row, now,
                             next - row);
            row = next;
        }
    }
}
static void bring_a(const tile *t, char *to) {
    const plan *p = t->f->p;
    const char *from = a_of(p, t->product) + t->f->k * p->a_col;
    if (p->lie == TP__ROWS_PACKED) {
        pack_a(t, to, from, t->K);
        return;
    }
    for (int64_t row = tp__plan_row(p, t->i); row < tp__plan_row(p, t->i_end);
         row++, to += p->a_step)
        memcpy(to, from + row * p->a_row, (size_t)(t->K * p->size));
}

static void find_a(tile *t) {
    const plan *p = t->f->p;
    if (!p->pack_a) {
        t->a = a_of(p, t->product) + tp__plan_row(p, t->i) * p->a_row + t->f->k * p->a_col;
        return;
    }
    hand *h = t->hand;
    char *to = (char *)(h + 1) + turned_bytes(p);
    t->a = to;
    if (h->a.product == t->product && h->a.first == t->i && h->a.k == t->f->k) return;
    if (t->K > 0) bring_a(t, to);
    h->a.product = t->product;
    h->a.first = t->i;
    h->a.k = t->f->k;
}

static void find_own_b(tile *t) {
    const plan *p = t->f->p;
    if (!p->own_b) return;
    hand *h = t->hand;
    char *to = (char *)(h + 1) + turned_bytes(p) + brought_bytes(p);
    t->own_b = to;
    if (h->b.product == t->product && h->b.first == t->j) return;
    for (int64_t j = t->j; j < t->j_end; j++, to += p->panel * p->packed_k * p->size) {
        const int64_t columns = tp__least(p->panel, p->g.N - j * p->panel);
        p->kernels->pack(to, p->panel, b_of(p, t->product) + j * p->panel * p->b_col, p->b_row,
                         p->b_col, k_of(p, t->product), columns);
    }
    h->b.product = t->product;
    h->b.first = t->j;
}

static void find_live(tile *t) {
    const phase *f = t->f;
    const plan *p = f->p;
    hand *h = t->hand;
    if (!p->live) return;
    if (h->zeros.product != t->product || h->zeros.first != t->i || h->zeros.k != f->k) {
        char *lists = (char *)(h + 1) + turned_bytes(p) + brought_bytes(p) + own_bytes(p);
        const tp__gemm_live_tile all = {p, t->a, t->i, t->i_end, t->K, t->block_k, f->end - f->k};
        h->rarely = t->K > 0 && tp__gemm_live_find(&all, h->live, (uint16_t *)lists);
        h->zeros.product = t->product;
        h->zeros.first = t->i;
        h->zeros.k = f->k;
    }
    t->live = h->rarely ? h->live : NULL;
}

static int64_t hand_bytes(const plan *p) {
    const int64_t buffers =
        turned_bytes(p) + brought_bytes(p) + own_bytes(p) + tp__gemm_live_bytes(p);
    return tp__round_up((int64_t)sizeof(hand) + buffers, TP__LINE);
}
static hand *hand_of(const plan *p, int number) {
    return (hand *)(p->hands + number * hand_bytes(p));
}

static void run_tile(void *ctx, int64_t number) {
    const phase *f = ctx;
    const plan *p = f->p;
    const int64_t in_one = p->tiles_down * p->tiles_across, at = number % in_one;
    const int64_t down = p->own_b ? at % p->tiles_down : at / p->tiles_across;
    const int64_t across = p->own_b ? at / p->tiles_down : at % p->tiles_across;
    tile t = {.f = f,
              .i = down * p->down / p->tiles_down,
              .i_end = (down + 1) * p->down / p->tiles_down,
              .j = across * p->across / p->tiles_across,
              .j_end = (across + 1) * p->across / p->tiles_across};
    const int64_t first = f->first + number / in_one * p->each;
    const int64_t end = tp__least(f->first + f->products, first + p->each);
    const int taken = tp__take_hand(f->busy, p->g.hands);
    t.hand = hand_of(p, taken);
    t.turned = p->turned ? (char *)(t.hand + 1) : NULL;
    for (t.product = first; t.product < end; t.product++) {
        t.K = tp__least(f->end, k_of(p, t.product)) - f->k;
        t.block_k = tp__plan_block_k(p, tp__most(1, t.K));
        find_a(&t);
        find_own_b(&t);
        find_live(&t);
        run_blocks(&t);
    }
    tp__give_hand(f->busy, taken);
}

static int64_t tiles_of(const plan *p, int64_t products) {
    return tp__parts(products, p->each) * p->tiles_down * p->tiles_across;
}

/* ---- */

static void new_hand(hand *h) {
    h->has.product = h->a.product = h->b.product = h->zeros.product = h->checked.product = -1;
}

/* Packed panels of B of a group; hands begin at a line. */
static int64_t panels_bytes(const plan *p) {
    return tp__round_up(p->group * tp__plan_packed_bytes(p), TP__LINE);
}

static int64_t packed_as(tp__gemm *g, bool turned) {
    g->turned = turned;
    const plan p = tp__gemm_plan(g);
    g->hands = (int)tp__least(tp__least(g->threads, TP__MOST_HANDS), tiles_of(&p, p.group));
    return panels_bytes(&p) + g->hands * hand_bytes(&p);
}

/* Room for either way where what is in memory decides, and for all threads also while the pool does
 * without some, lest a step of training allocates more than those before. */
int64_t tp__gemm_packed(tp__gemm *g) {
    bool by_zeros;
    const int now = tp__threads_now();
    const bool turned = tp__gemm_turns(g, &by_zeros);
    g->threads = tp_get_num_threads();
    const int64_t other = by_zeros ? packed_as(g, !turned) : 0;
    const int64_t bytes = tp__most(other, packed_as(g, turned));
    if (now == g->threads) return bytes;
    g->threads = now;
    return tp__most(bytes, packed_as(g, turned));
}

void tp__gemm_run_tiles(const tp__gemm *g, void *workspace) {
    plan p = tp__gemm_plan(g);
    atomic_uint_fast64_t busy = 0;
    p.sums = workspace;
    p.packed = p.sums;
    if (p.split.n > 1) p.packed += tp__round_up(p.products * g->M * g->N * p.size, TP__LINE);
    p.hands = p.packed + panels_bytes(&p);
    for (int h = 0; h < g->hands; h++) new_hand(hand_of(&p, h));
    for (int64_t first = 0; first < p.products; first += p.group)
        for (int64_t k = 0; k < p.split.length || k == 0; k += p.packed_k) {
            phase f = {.p = &p,
                       .first = first,
                       .products = tp__least(p.group, p.products - first),
                       .k = k,
                       .busy = &busy};
            f.end = tp__least(p.split.length, k + p.packed_k);
            if (p.pack_b) pack_all(&f);
            tp__parallel(tiles_of(&p, f.products), run_tile, &f);
        }
    if (p.split.n > 1) tp__gemm_join(g, p.sums, p.split.n);
}
