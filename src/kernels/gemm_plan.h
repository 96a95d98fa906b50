/* gemm_plan.h -- between gemm_plan.c, which says how a product is cut, and gemm_tiles.c, which
 * computes it so. */
#ifndef TAPER_SRC_GEMM_PLAN_H
#define TAPER_SRC_GEMM_PLAN_H
#include "kernels/gemm.h"

enum {
    TP__BLOCK_BYTES = 512, /* of a row of c in a block: with a tile's A in the second-level cache */
    TP__LINE = 64
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
    int64_t a_step;                 /* of A as the tiles read it, see tp__micro */
    int64_t down, across;           /* panels of rows and of columns in a product */
    int64_t tile_down, tile_across; /* panels in a tile, at most ... */
    int64_t block_across;           /* ... and in a block of its columns */
    int64_t tiles_down, tiles_across;
    int64_t each;                   /* products that a tile computes, if one is small */
    int64_t group, packed_k;        /* products and K that are packed at a time */
    int64_t most_down, most_across; /* of a tile, for one thread */
    char *sums, *packed, *hands;    /* where they begin: the workspace's, set last */
} tp__plan;

/* For the number of threads in use. */
tp__plan tp__gemm_plan(const tp__gemm *whole);

/* Packed panels of B: [product of the group][panel][k][panel]. */
static inline int64_t tp__plan_packed_bytes(const tp__plan *p) {
    return p->pack_b ? p->across * p->panel * p->packed_k * p->size : 0;
}

#endif
