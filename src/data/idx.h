/* idx.h -- the IDX files of MNIST: a magic number, dimensions, unsigned bytes; plain or gzipped. */
#ifndef TAPER_SRC_DATA_IDX_H
#define TAPER_SRC_DATA_IDX_H
#include "base/base.h"

enum { TP__IDX_DIMS = 4 };

typedef struct tp__idx {
    void *block;         /* owns data */
    const uint8_t *data; /* dim[0] * ... * dim[ndim - 1] bytes */
    size_t bytes;
    int ndim;
    int64_t dim[TP__IDX_DIMS];
} tp__idx;

/* Parse n bytes, gzipped or not. Takes `block` (of tp__realloc), also when it fails. EFORMAT names
 * the file and the reason; nothing larger than what the bytes can hold is ever allocated. */
tp_status tp__idx_parse(TP_TAKES void *block, size_t n, const char *name, tp__idx *out);
/* The same from a file that must have `ndim` dimensions. */
tp_status tp__idx_read(const char *path, int ndim, tp__idx *out);
void tp__idx_free(tp__idx *idx);

#endif
