/* data.h -- what the files of this room share: options, rows of memory, splits.
 *
 * Samples in memory are rows of one block. A batch is a gather of such rows: bytes that are pixels
 * become float32 / 255 on the way, everything else is copied. */
#ifndef TAPER_SRC_DATA_DATA_H
#define TAPER_SRC_DATA_DATA_H
#include "tensor/tensor.h"
#include "taper/data.h"

/* ---- transform.c ----------------------------------------------------------------------------- */
/* N rows of n elements each, row-major. */
typedef struct tp__rows {
    const void *data;
    tp_dtype dtype;
    int64_t n;
    bool pixels; /* uint8 that a batch holds as float32 / 255 */
    bool far;    /* so many that they hardly stay in the last cache */
} tp__rows;
tp_dtype tp__rows_dtype(const tp__rows *r); /* of what gather writes */
/* out[i] = row index[i], for `count` of them; the first `soon` of `later` come in a while. */
void tp__rows_gather(const tp__rows *r, const int64_t *index, int64_t count, const int64_t *later,
                     int64_t soon, void *out);

/* ---- dataset.c ------------------------------------------------------------------------------- */
/* Is it one of tp_zip_dataset: does a batch of ds take no more than a copy? */
bool tp__dataset_in_memory(const tp_dataset *ds);
/* A batch of such a dataset, which is filled tile by tile, cut by size alone. `index` goes on with
 * `soon` samples of the next batch. */
typedef struct tp__filling {
    const void *self; /* the dataset's */
    const int64_t *index;
    int64_t n, soon;
    void *x, *y;
} tp__filling;
int64_t tp__filling_tiles(const tp__filling *f);
void tp__fill_tile(void *filling, int64_t tile); /* for tp__parallel */
/* The pool's threads fill it in their spare time; false: they have none. */
bool tp__fill_ahead(tp__filling *f);
/* The end of that. The tiles [0, result) are to be filled yet: all, if samples may have changed. */
int64_t tp__fill_ahead_end(const tp__filling *f);

/* ---- loader.c -------------------------------------------------------------------------------- */
/* Batches handed out in this pass; 0 between passes. */
int64_t tp__loader_position(const tp_loader *dl);

/* ---- split.c --------------------------------------------------------------------------------- */
/* Which of n items, item i of class label[i], are for validation: `pct` of each class (0..1), at
 * least one of two or more and never all; of all n, one at least. Which of a class: those that come
 * first in torch's randperm(n) under `seed`. */
tp_status tp__split(int64_t n, const int64_t *label, int classes, double pct, uint64_t seed,
                    bool *valid);
/* Which of n items, item i of class label[i], stay when there may be `limit` of them: as even
 * over the classes as their sizes allow, the first of each. */
tp_status tp__limit(int64_t n, const int64_t *label, int classes, int64_t limit, bool *stays);

#endif
