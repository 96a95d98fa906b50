/* get_idx.c -- gzipped IDX files: the header, whether the data fit it, how many classes there are.
 *
 * IDX is two zero bytes, a type, the number of axes, the axes as big-endian 32-bit numbers and then
 * the data. The header is believed only as far as the data bear it out. */
#define _POSIX_C_SOURCE 200809L
#include "get.h"
#include <errno.h>
#include <string.h>
#include <zlib.h>

static int64_t type_bytes(int type) {
    switch (type) {
    case 0x08: /* uint8 */
    case 0x09: /* int8 */ return 1;
    case 0x0B: /* int16 */ return 2;
    case 0x0C: /* int32 */
    case 0x0D: /* float32 */ return 4;
    case 0x0E: /* float64 */ return 8;
    default: return 0;
    }
}

static bool read_header(gzFile f, const char *path, get_idx *idx) {
    unsigned char h[4];
    const int n = gzread(f, h, sizeof h);
    if (n < 0 || (n < 4 && !gzdirect(f))) return get_fail("%s is cut short or damaged", path);
    if (n < 4 || gzdirect(f) || h[0] || h[1] || !type_bytes(h[2]) || h[3] < 1 || h[3] > 8)
        return get_fail("%s is not a gzipped IDX file", path);
    *idx = (get_idx){.ndim = h[3], .item_bytes = type_bytes(h[2])};
    for (int i = 0; i < idx->ndim; i++) {
        unsigned char d[4];
        if (gzread(f, d, sizeof d) != 4) return get_fail("%s is cut short or damaged", path);
        idx->dim[i] = (int64_t)d[0] << 24 | d[1] << 16 | d[2] << 8 | d[3];
    }
    return true;
}

static gzFile open_idx(const char *path, get_idx *idx) {
    gzFile f = gzopen(path, "rb");
    if (!f) {
        get_fail("cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    if (read_header(f, path, idx)) return f;
    gzclose(f);
    return NULL;
}

bool get_is_idx(const char *path) {
    unsigned char h[4] = {1};
    gzFile f = gzopen(path, "rb");
    if (!f) return false;
    const bool yes = gzread(f, h, sizeof h) == 4 && !gzdirect(f) && !h[0] && !h[1] &&
                     type_bytes(h[2]) && h[3] >= 1 && h[3] <= 8;
    gzclose(f);
    return yes;
}

bool get_idx_header(const char *path, get_idx *idx) {
    gzFile f = open_idx(path, idx);
    if (f) gzclose(f);
    return f != NULL;
}

/* Bytes that the header promises; -1 where they are beyond 2^62. */
static int64_t promised(const get_idx *idx) {
    int64_t bytes = idx->item_bytes;
    for (int i = 0; i < idx->ndim; i++) {
        if (idx->dim[i] && bytes > (INT64_C(1) << 62) / idx->dim[i]) return -1;
        bytes *= idx->dim[i];
    }
    return bytes;
}

bool get_idx_check(const char *path) {
    static unsigned char buf[1 << 16];
    char found[32], expected[32];
    get_idx idx;
    gzFile f = open_idx(path, &idx);
    if (!f) return false;
    const int64_t want = promised(&idx);
    int64_t have = 0;
    int n = 0;
    while (have <= want && !get_stopped() && (n = gzread(f, buf, sizeof buf)) > 0) have += n;
    int code;
    gzerror(f, &code);
    gzclose(f);
    if (get_stopped()) return get_fail_stopped();
    if (want < 0) return get_fail("%s: its header promises more bytes than there can be", path);
    if (have > want)
        return get_fail("%s: its header promises %s bytes of data, but there are more", path,
                        get_count(expected, want));
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
        return get_fail("%s is cut short or damaged: it does not gunzip", path);
    return have == want || get_fail("%s: its header promises %s bytes of data, but there are %s",
                                    path, get_count(expected, want), get_count(found, have));
}

int get_idx_classes(const char *path) {
    static unsigned char buf[1 << 16];
    bool seen[256] = {false};
    get_idx idx;
    gzFile f = open_idx(path, &idx);
    if (!f) return -1;
    int n, classes = 0;
    while ((n = gzread(f, buf, sizeof buf)) > 0)
        for (int i = 0; i < n; i++) {
            classes += !seen[buf[i]];
            seen[buf[i]] = true;
        }
    gzclose(f);
    return classes;
}
