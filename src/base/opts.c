/* opts.c -- options structs: they grow at the end, so a program and a library of different versions
 * may disagree about their size. */
#include "base/base.h"
#include <string.h>

bool tp__opts(const char *what, void *dst, size_t dst_size, const void *opts) {
    memset(dst, 0, dst_size);
    if (!opts) return true;
    size_t size;
    memcpy(&size, opts, sizeof size);
    if (size < sizeof size)
        return tp_error_set(TP_EVALUE, "%s: .size is not set; it is the sizeof of the struct",
                            what),
               false;
    memcpy(dst, opts, size < dst_size ? size : dst_size);
    return true;
}
