/* gemm_plan.h -- between gemm_plan.c, which says how a product is cut, gemm_tiles.c, which
 * computes it so, and gemm_live.c, which says what of it is left out. */
#ifndef TAPER_SRC_GEMM_PLAN_H
#define TAPER_SRC_GEMM_PLAN_H
#include "kernels/gemm.h"

enum {
    TP__LINE = 64,
    TP__GEMM_KEPT = 128 * 1024 /* bytes of a panel of B that is packed on the way, at most */
};

/* Products of one shape, counting chunks of K, and how they are cut. Strides in bytes. */
typedef struct tp__plan {
    tp__gemm g; /* of c, or of its transpose, which is then `turned` */
    bool turned;
    const tp__gemm_kernels *kernels;
    int64_t size;
    tp__split split;
    int64_t products;
    int64_t a_row, a_col, b_row, b_col, c_row;
    tp__rows_lie lie;
    bool pack_a, pack_b;            /* lie APART and pack_a: rows are copied, as they are */
    bool own_b;                     /* B is packed by each thread, for the columns of its tile */
    int64_t panel;                  /* columns of a panel */
    int64_t a_padded;               /* rows of a packed panel of A, with zeros */
    int64_t a_step;                 /* of A as the tiles read it, see tp__micro, ... */
    int64_t a_next;                 /* ... and from row to row of a panel */
    bool live;                      /* k at which A is 0 may be left out ... */
    int live_rows;                  /* ... in lists, each of at most so many rows, ... */
    int64_t live_step;              /* ... from those of one piece to the next */
    int64_t down, across;           /* panels of rows and of columns in a product */
    int64_t tile_down, tile_across; /* panels in a tile, at most ... */
    int64_t block_across;           /* ... and in a block of its columns, ... */
    int64_t block_step;             /* ... bytes of one of its rows */
    int64_t tiles_down, tiles_across;
    int64_t each;                   /* products that a tile computes, if one is small */
    int64_t group, packed_k;        /* products and K that are packed at a time */
    int64_t most_down, most_across; /* of a tile, for one thread */
    char *sums, *packed, *hands;    /* where they begin: the workspace's, set last */
} tp__plan;

/* Is c worth to be computed as its transpose? By shape and strides, and of large ones by zeros. It
 * changes no bit. */
bool tp__gemm_turns(const tp__gemm *g, bool *by_zeros);

/* For the threads, and turned or not, as `whole` says. */
tp__plan tp__gemm_plan(const tp__gemm *whole);

/* Packed panels of B: [product of the group][panel][k][panel]. */
static inline int64_t tp__plan_packed_bytes(const tp__plan *p) {
    return p->pack_b ? p->across * p->panel * p->packed_k * p->size : 0;
}

/* K of a block, of `K` in a phase. */
int64_t tp__plan_block_k(const tp__plan *p, int64_t K);

/* First row of panel i: panels are as equal as can be, the higher ones first. (Where heights take
 * turns, two threads lose 4 % of 128x512x784.) */
static inline int64_t tp__plan_row(const tp__plan *p, int64_t i) {
    return i * (p->g.M / p->down) + tp__least(i, p->g.M % p->down);
}

/* Bytes from panel `first` of A to panel i as the tiles read them; packed ones have room for K. */
static inline int64_t tp__plan_a_bytes(const tp__plan *p, int64_t first, int64_t i, int64_t K) {
    return p->lie == TP__ROWS_PACKED ? (i - first) * p->a_padded * K * p->size
                                     : (tp__plan_row(p, i) - tp__plan_row(p, first)) * p->a_next;
}

/* ---- what is left out (gemm_live.c) ---------------------------------------------------------- */

/* Lists of a panel of rows: of each piece of it, of each block of k, see tp__micro. */
typedef struct tp__gemm_live_panel {
    uint16_t *lists;
    int64_t live; /* of all multiply-adds for a column, as many as are not left out */
    bool rarely;  /* false: nothing is left out */
} tp__gemm_live_panel;

/* Rows of A in panels [first, end), for the K of a phase, in blocks of block_k; packed panels have
 * room for `room`. */
typedef struct tp__gemm_live_tile {
    const tp__plan *p;
    const char *a;
    int64_t first, end, K, block_k, room;
} tp__gemm_live_tile;

/* What may be the left operand, of which zeros are left out: strides in elements. Is it worth to be
 * asked whether it has many, beside so many columns of the other one; and has it? */
typedef struct tp__operand {
    tp_dtype dtype;
    const void *data;
    int64_t rows, K, row, col;
} tp__operand;
bool tp__gemm_live_matters(const tp__operand *x, int64_t others);
bool tp__gemm_live_rarely(const tp__operand *x);

void tp__gemm_live_plan(tp__plan *p);           /* whether, and what its lists need */
int64_t tp__gemm_live_bytes(const tp__plan *p); /* of the lists of a tile */
/* Fills panels [end - first] and lists; false: in none of them anything is left out. */
bool tp__gemm_live_find(const tp__gemm_live_tile *t, tp__gemm_live_panel *panels, uint16_t *lists);
/* What m says of a panel of `rows` that has lists, along the live ones of block n, which begins at
 * k. */
void tp__gemm_live_run(const tp__plan *p, const tp__gemm_live_panel *panel, int64_t rows, int64_t n,
                       int64_t k, int vectors, const tp__micro *m);

#endif
