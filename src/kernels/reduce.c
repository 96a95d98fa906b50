/* reduce.c -- reductions cut into pieces by shape alone, and the pieces' results joined.
 *
 * A row longer than TP__RED_CHUNK is cut into chunks of that size; columns are cut into blocks
 * of columns and chunks of rows. Each piece leaves an accumulator. The chunks of an output are
 * then joined by halves (i with i + k - k/2), which is the same tree for any number of threads.
 * How wide a block is and how many pieces a tile has changes no bit: what comes from memory is read
 * in long streams. */
#include "kernels/isa.h"
#include <string.h>

enum {
    TILE = TP__PW_TILE, /* elements that a tile should have at least */
    WIDE = 512,         /* so many columns are added by quarters of their chunk */
    BLOCK = 1024,       /* columns of a block; ... */
    WIDE_BLOCK = 65536, /* ... or up to so many where ... */
    ENOUGH = 8,         /* ... so many pieces remain for each thread */
    PIECE = 65536,      /* elements of a block's chunk */
    FEW = 64,
    MANY = 256,       /* rows of a block's chunk: a byte counts them where the best is sought */
    TALL = 16 * MANY, /* rows of which a chunk has many even where columns are */
    NARROW = 128      /* rows shorter than this are folded into longer ones */
};

typedef struct plan {
    const tp__reduce *r;
    const tp__red_kernel *k;
    int64_t size;          /* bytes of an element */
    int64_t chunk, chunks; /* of the reduced axis: elements in one, how many */
    int64_t block, blocks; /* of the inner axis */
    int64_t items, group;  /* pieces in all; pieces of a tile */
    tp__red_fours fours;
    char *acc; /* [outer][chunks][inner] */
} plan;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

static const tp__red_kernel *kernel_of(const tp__reduce *r) {
    return &tp__kernels_now()->reduce[r->dtype][r->op];
}

/* So many columns are added by quarters of their chunk. */
static bool is_wide(const tp__reduce *r) {
    return r->inner >= WIDE;
}

/* Columns of a block where there are so many pieces without blocks: all, at most WIDE_BLOCK, as
 * rows are read in long streams then, unless too few pieces remain. */
static int64_t wide_block(const tp__reduce *r, int64_t pieces) {
    const int64_t least = ceil_div(r->inner, WIDE_BLOCK),
                  enough = ceil_div(ENOUGH * tp_get_num_threads(), pieces);
    const int64_t block = ceil_div(r->inner, least > enough ? least : enough);
    return block < BLOCK ? BLOCK : block;
}

static plan make_plan(const tp__reduce *r) {
    plan p = {.r = r, .k = kernel_of(r)};
    p.size = (int64_t)p.k->in;
    p.block = r->inner < BLOCK ? r->inner : BLOCK;
    p.chunk = r->inner == 1 ? TP__RED_CHUNK
                            : clamp(PIECE / p.block, FEW, r->inner < NARROW ? PIECE : MANY);
    if (is_wide(r) && r->red >= TALL) p.chunk = MANY;
    if (r->op == TP__RED_ARGMAX || r->op == TP__RED_ARGMIN)
        p.chunk = r->inner == 1 ? p.chunk : MANY;
    p.chunks = r->red > p.chunk ? ceil_div(r->red, p.chunk) : 1;
    if (r->inner > BLOCK) p.block = wide_block(r, r->outer * p.chunks);
    p.blocks = ceil_div(r->inner, p.block);
    p.items = r->outer * p.chunks * p.blocks;
    const int64_t elements = (r->red < p.chunk ? r->red + 1 : p.chunk) * p.block;
    const int64_t all = p.items * elements;
    const bool large = all * p.size >= TP__LARGE;
    p.group = 1 + ((large ? tp__large_tile(all) : TILE) - 1) / elements;
    p.fours = (is_wide(r) ? TP__FOURS_FAR : 0) | (large ? TP__FOURS_IN_MEMORY : 0);
    return p;
}

static bool in_place(const plan *p) {
    return p->chunks == 1 && !p->k->finish;
}

/* A few short rows: one tile and no accumulators, which needs no plan. */
static bool is_small(const tp__reduce *r, const tp__red_kernel *k) {
    return r->inner == 1 && r->outer < 64 && r->red <= TILE / 64 && !k->finish;
}

size_t tp__reduce_workspace(const tp__reduce *r) {
    if (r->outer <= 0 || r->inner <= 0 || is_small(r, kernel_of(r))) return 0;
    const plan p = make_plan(r);
    return in_place(&p) ? 0 : (size_t)(r->outer * p.chunks * r->inner) * p.k->acc;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Narrow columns: several rows side by side as one long row, whose parts are then joined by
 * halves. */
static void reduce_narrow(const plan *p, const char *x, int64_t n, char *acc) {
    const int64_t w = p->r->inner, fold = NARROW / w + 1, whole = n / fold;
    _Alignas(64) char wide[2 * NARROW * sizeof(double)];
    const int64_t bytes = w * (int64_t)p->k->acc;
    p->k->cols(x, whole, fold * w, fold * w, p->fours, 0, NULL, wide);
    for (int64_t k = fold; k > 1; k -= k / 2)
        p->k->join(wide, wide + (k - k / 2) * bytes, k / 2 * w);
    p->k->cols(x + whole * fold * w * p->size, n - whole * fold, w, w, TP__FOURS_NEAR, 0, NULL,
               acc);
    p->k->join(acc, wide, w);
}

static bool is_narrow(const plan *p, int64_t n) {
    const tp__red_op op = p->r->op;
    return p->r->inner <= NARROW / 2 && n >= 2 * NARROW && op != TP__RED_ARGMAX &&
           op != TP__RED_ARGMIN && op != TP__RED_SUMSQDEV;
}

/* Rows [from, to) of a tensor whose inner size is 1 and whose rows are one chunk each. */
static void reduce_whole_rows(const tp__reduce *r, const tp__red_kernel *k, int64_t from,
                              int64_t to, char *acc) {
    const char *x = (const char *)r->x + from * r->red * (int64_t)k->in;
    k->rows(x, to - from, r->red, r->red, 0, r->aux ? r->aux + from : NULL,
            acc + from * (int64_t)k->acc);
}

/* The same where elements are read into a buffer: as many rows at a time as that holds. */
TP__APART static void read_whole_rows(const tp__reduce *r, const tp__red_kernel *k, int64_t from,
                                      int64_t to, char *acc) {
    _Alignas(64) char data[TP__RED_CHUNK * sizeof(double)];
    const int64_t most = r->red ? TP__RED_CHUNK / r->red : to - from;
    for (int64_t n; from < to; from += n) {
        n = to - from < most ? to - from : most;
        const void *x = r->red ? r->read(r->from, from * r->red, n * r->red, data) : data;
        k->rows(x, n, r->red, r->red, 0, r->aux ? r->aux + from : NULL,
                acc + from * (int64_t)k->acc);
    }
}

/* Chunk number `item` of rows that are several. */
TP__APART static void read_chunk(const plan *p, int64_t item) {
    _Alignas(64) char data[TP__RED_CHUNK * sizeof(double)];
    const tp__reduce *r = p->r;
    const int64_t o = item / p->chunks, at = item % p->chunks * p->chunk;
    const int64_t n = r->red - at < p->chunk ? r->red - at : p->chunk;
    p->k->rows(r->read(r->from, o * r->red + at, n, data), 1, n, n, at, r->aux ? r->aux + o : NULL,
               p->acc + item * (int64_t)p->k->acc);
}

/* Can whole chunks of a row be reduced as if they were rows? */
static bool chunks_are_rows(const plan *p) {
    return p->r->inner == 1 && !p->r->aux && !p->k->finish;
}

/* The whole chunks of one row from a piece on, as rows; returns how many before `to` they are. */
static int64_t reduce_chunks(const plan *p, int64_t item, int64_t to) {
    const tp__reduce *r = p->r;
    const int64_t o = item / p->chunks, chunk = item % p->chunks, whole = r->red / p->chunk - chunk;
    const int64_t n = to - item < whole ? to - item : whole;
    p->k->rows((const char *)r->x + (o * r->red + chunk * p->chunk) * p->size, n, p->chunk,
               p->chunk, 0, NULL, p->acc + item * (int64_t)p->k->acc);
    return n;
}

static void reduce_piece(const plan *p, int64_t item) {
    const tp__reduce *r = p->r;
    const int64_t block = item % p->blocks, chunk = item / p->blocks % p->chunks;
    const int64_t o = item / p->blocks / p->chunks, at = chunk * p->chunk, col = block * p->block;
    const int64_t n = r->red - at < p->chunk ? r->red - at : p->chunk;
    const int64_t width = r->inner - col < p->block ? r->inner - col : p->block;
    const char *x = (const char *)r->x + ((o * r->red + at) * r->inner + col) * p->size;
    const double *aux = r->aux ? r->aux + o * r->inner + col : NULL;
    char *acc = p->acc + ((o * p->chunks + chunk) * r->inner + col) * (int64_t)p->k->acc;
    if (r->inner == 1)
        p->k->rows(x, 1, n, n, at, aux, acc);
    else if (is_narrow(p, n))
        reduce_narrow(p, x, n, acc);
    else
        p->k->cols(x, n, width, r->inner, p->fours, at, aux, acc);
}

static void run_tile(void *ctx, int64_t tile) {
    const plan *p = ctx;
    const int64_t from = tile * p->group,
                  to = from + p->group < p->items ? from + p->group : p->items;
    if (p->r->inner == 1 && p->chunks == 1) {
        (p->r->read ? read_whole_rows : reduce_whole_rows)(p->r, p->k, from, to, p->acc);
        return;
    }
    if (p->r->read) {
        for (int64_t item = from; item < to; item++) read_chunk(p, item);
        return;
    }
    for (int64_t item = from; item < to;) {
        const int64_t done = chunks_are_rows(p) ? reduce_chunks(p, item, to) : 0;
        if (!done) reduce_piece(p, item);
        item += done ? done : 1;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Join the chunks of outer number o, and move the result where it belongs. */
static void join_chunks(const plan *p, int64_t o) {
    const tp__reduce *r = p->r;
    const int64_t bytes = r->inner * (int64_t)p->k->acc;
    char *acc = p->acc + o * p->chunks * bytes,
         *out = (char *)r->out + o * r->inner * (int64_t)p->k->out;
    for (int64_t k = p->chunks; k > 1; k -= k / 2)
        p->k->join(acc, acc + (k - k / 2) * bytes, k / 2 * r->inner);
    if (p->k->finish)
        p->k->finish(acc, out, r->inner);
    else
        memcpy(out, acc, (size_t)bytes);
}

void tp__reduce_run(const tp__reduce *r, void *workspace) {
    if (r->outer <= 0 || r->inner <= 0) return;
    const tp__red_kernel *k = kernel_of(r);
    if (is_small(r, k)) {
        (r->read ? read_whole_rows : reduce_whole_rows)(r, k, 0, r->outer, r->out);
        return;
    }
    plan p = make_plan(r);
    p.acc = in_place(&p) ? r->out : workspace;
    tp__parallel(ceil_div(p.items, p.group), run_tile, &p);
    if (in_place(&p)) return;
    for (int64_t o = 0; o < r->outer; o++) join_chunks(&p, o);
}
