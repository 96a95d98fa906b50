/* fuzz_idx.c -- any bytes as an IDX file, gzipped or not: what is accepted holds what it says. */
#include "data/idx.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *block = malloc(size ? size : 1);
    if (!block) return 0;
    memcpy(block, data, size);
    tp__idx idx;
    volatile uint8_t last = 0; /* every byte is there to be read */
    if (!tp__idx_parse(block, size, "file", &idx)) {
        uint64_t bytes = 1;
        for (int i = 0; i < idx.ndim; i++) bytes *= (uint64_t)idx.dim[i];
        assert(bytes == idx.bytes);
        for (size_t i = 0; i < idx.bytes; i++) last = idx.data[i];
    }
    tp__idx_free(&idx);
    tp_error_clear();
    (void)last;
    return 0;
}
