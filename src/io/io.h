/* io.h -- what the file formats share: sizes that a file claims, bytes in and out of tensors. */
#ifndef TAPER_SRC_IO_H
#define TAPER_SRC_IO_H
#include "tensor/tensor.h"

#include "taper/io.h"

/* ---- bytes.c ---- */
/* Bytes of a tensor that a file describes. False where no tensor can have the shape: the rule is
 * tp__numel's, which holds even where a size is 0. */
bool tp__bytes_of(const tp_shape *shape, tp_dtype dtype, int64_t *bytes);
/* Is every byte 0 or 1? */
bool tp__are_bools(const void *bytes, int64_t n);
/* The elements, row-major, whatever the strides. False: errno, or ENOMEM is pending. */
bool tp__write_elements(FILE *f, tp_tensor *x);
/* A name from a file as an error shows it: printable, cut after a whole character. Text or room. */
enum { TP__SHOWN = 96 };
const char *tp__shown(const char *text, char room[TP__SHOWN]);

/* ---- npy.c ---- */
/* tp_load_npy from memory; `name` stands in errors. */
tp_tensor *tp__parse_npy(const void *bytes, size_t size, const char *name);

#endif
