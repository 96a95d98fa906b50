/* fuzz_npy.c -- any bytes as a .npy file: refused in one line, or read to the last element. */
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const tp_scope s = tp_scope_begin();
    const tp_tensor *x = tp__parse_npy(data, size, "file");
    if (x) {
        const size_t bytes = (size_t)(tp_numel(x) * tp_dtype_size(tp_dtype_of(x)));
        if (!tp_is_contiguous(x) || bytes > size) abort();
        unsigned char sum = 0;
        for (size_t i = 0; i < bytes; i++) sum ^= ((const unsigned char *)tp_data_ptr(x))[i];
        for (size_t i = size - bytes; i < size; i++) sum ^= data[i];
        if (sum) abort(); /* the same bytes, in whatever order */
    } else if (tp_error_code() != TP_EFORMAT || strchr(tp_error_message(), '\n')) {
        abort();
    }
    tp_error_clear();
    return tp_scope_end(s);
}
