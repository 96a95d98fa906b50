/* bytes.c -- what the file formats share: sizes that a file claims, bytes in and out of tensors.
 *
 * Everything read from a file is a claim until it is checked here or in the format's own file. */
#include "io/io.h"
#include <string.h>

bool tp__bytes_of(const tp_shape *shape, tp_dtype dtype, int64_t *bytes) {
    int64_t n;
    if (!tp__numel(shape, &n)) return false;
    *bytes = n * tp_dtype_size(dtype);
    return true;
}

bool tp__are_bools(const void *bytes, int64_t n) {
    const unsigned char *p = bytes;
    unsigned char all = 0;
    for (int64_t i = 0; i < n; i++) all |= p[i];
    return all <= 1;
}

bool tp__write_elements(FILE *f, tp_tensor *x) {
    if (!x->numel) return true;
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return false;
    const tp_tensor *dense = tp__contiguous(x);
    const size_t size = (size_t)tp_dtype_size((tp_dtype)x->dtype), n = (size_t)x->numel;
    const bool ok = dense && fwrite(tp__ptr(dense), size, n, f) == n;
    return !tp_scope_end(s) && ok;
}

const char *tp__shown(const char *text, char room[TP__SHOWN]) {
    const char *all = tp__utf8_show(text, room, TP__SHOWN);
    size_t n = strlen(all);
    if (n < TP__SHOWN) return all;
    for (n = TP__SHOWN - 1; ((unsigned char)all[n] & 0xC0) == 0x80; n--)
        continue; /* not inside a character */
    memcpy(room, all, n);
    room[n] = '\0';
    return room;
}
