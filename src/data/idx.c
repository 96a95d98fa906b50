/* idx.c -- IDX from bytes that nobody vouches for.
 *
 * The header says how many bytes must follow, and exactly so many must: one less or one more is an
 * error. A gzipped file is inflated in two steps, header and data, so that a lying header is found
 * out before memory is asked for: deflate packs at most 1032 bytes into one. */
#include "data/idx.h"
#include <limits.h>
#include <string.h>
#include <zlib.h>

static const uint64_t MOST = (uint64_t)1 << 40; /* bytes of data in one file */

void tp__idx_free(tp__idx *idx) {
    tp__mfree(idx->block);
    *idx = (tp__idx){0};
}

static tp_status bad(const char *name, const char *reason) {
    char room[300];
    return tp_error_set(TP_EFORMAT, "%s: %s", tp__utf8_show(name, room, sizeof room), reason);
}

/* ---- the header ------------------------------------------------------------------------------ */

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const char *element_type(uint8_t code) {
    switch (code) {
    case 0x08: return "uint8";
    case 0x09: return "int8";
    case 0x0b: return "int16";
    case 0x0c: return "int32";
    case 0x0d: return "float32";
    case 0x0e: return "float64";
    default: return NULL;
    }
}

/* The first four bytes: 0, 0, type, number of dimensions. */
static tp_status parse_magic(const uint8_t *p, const char *name, tp__idx *out) {
    const char *type = element_type(p[2]);
    if (p[0] || p[1] || !type || !p[3]) return bad(name, "not an IDX file");
    char reason[100];
    if (p[2] != 0x08) {
        snprintf(reason, sizeof reason, "IDX of %s numbers; only uint8 is read", type);
        return bad(name, reason);
    }
    if (p[3] > TP__IDX_DIMS) {
        snprintf(reason, sizeof reason, "IDX of %d dimensions; at most %d are read", p[3],
                 TP__IDX_DIMS);
        return bad(name, reason);
    }
    out->ndim = p[3];
    return TP_OK;
}

static const char *shape_text(const tp__idx *idx, char *room, size_t size) {
    size_t n = 0;
    for (int i = 0; i < idx->ndim && n < size; i++)
        n += (size_t)snprintf(room + n, size - n, "%s%lld", i ? " x " : "", (long long)idx->dim[i]);
    return room;
}

static tp_status parse_dims(const uint8_t *p, const char *name, tp__idx *out) {
    uint64_t bytes = 1;
    bool large = false;
    for (int i = 0; i < out->ndim; i++) {
        const uint32_t dim = big_endian(p + 4 * i);
        out->dim[i] = dim;
        large |= dim && bytes > MOST / dim;
        if (!large) bytes *= dim;
    }
    if (large) {
        char shape[64], reason[100];
        snprintf(reason, sizeof reason, "IDX of %s bytes, which is too large",
                 shape_text(out, shape, sizeof shape));
        return bad(name, reason);
    }
    out->bytes = (size_t)bytes;
    return TP_OK;
}

static tp_status truncated(const tp__idx *idx, const char *name, size_t have) {
    char shape[64], reason[140];
    snprintf(reason, sizeof reason, "truncated IDX (%s bytes announced, %zu there)",
             shape_text(idx, shape, sizeof shape), have);
    return bad(name, reason);
}

/* ---- plain ----------------------------------------------------------------------------------- */

static tp_status parse_plain(const uint8_t *p, size_t n, const char *name, tp__idx *out) {
    if (n < 4) return bad(name, n ? "not an IDX file" : "an empty file");
    tp_status r = parse_magic(p, name, out);
    if (r) return r;
    const size_t header = 4 + 4 * (size_t)out->ndim;
    if (n < header) return bad(name, "truncated IDX (in its header)");
    r = parse_dims(p + 4, name, out);
    if (r) return r;
    if (n - header < out->bytes) return truncated(out, name, n - header);
    if (n - header > out->bytes) return bad(name, "IDX with bytes behind its data");
    out->data = p + header;
    return TP_OK;
}

/* ---- gzipped --------------------------------------------------------------------------------- */

typedef struct inflater {
    z_stream z;
    size_t left; /* input that z has not been given yet */
    bool ended;  /* all members, checksums included */
    const char *name;
} inflater;

static voidpf on_alloc(voidpf unused, uInt count, uInt size) {
    (void)unused;
    return tp__realloc(NULL, (size_t)count * size);
}
static void on_free(voidpf unused, voidpf p) {
    (void)unused;
    tp__mfree(p);
}

static void feed(inflater *f) {
    if (f->z.avail_in) return;
    f->z.avail_in = f->left > UINT_MAX ? UINT_MAX : (uInt)f->left;
    f->left -= f->z.avail_in;
}

static bool at_magic(const inflater *f) {
    return f->z.avail_in >= 2 && f->z.next_in[0] == 0x1f && f->z.next_in[1] == 0x8b;
}

/* One step of inflate. A gzip file may hold several members, one behind the other. */
static tp_status step(inflater *f) {
    feed(f);
    const int code = inflate(&f->z, Z_NO_FLUSH);
    if (code == Z_OK) return TP_OK;
    if (code == Z_MEM_ERROR) {
        tp__fail_nomem(0);
        return TP_ENOMEM;
    }
    if (code == Z_BUF_ERROR) return bad(f->name, "truncated gzip data");
    if (code != Z_STREAM_END) {
        char reason[100];
        snprintf(reason, sizeof reason, "damaged gzip data (%s)",
                 f->z.msg ? f->z.msg : "no dictionary");
        return bad(f->name, reason);
    }
    feed(f);
    f->ended = f->z.avail_in == 0;
    if (f->ended) return TP_OK;
    if (!at_magic(f)) return bad(f->name, "bytes behind the gzip data");
    inflateReset(&f->z);
    return TP_OK;
}

/* Up to n more bytes; fewer only where the data ends. */
static tp_status pull(inflater *f, uint8_t *to, size_t n, size_t *got) {
    *got = 0;
    while (*got < n && !f->ended) {
        const uInt room = n - *got > UINT_MAX ? UINT_MAX : (uInt)(n - *got);
        f->z.next_out = to + *got;
        f->z.avail_out = room;
        const tp_status r = step(f);
        *got += room - f->z.avail_out;
        if (r) return r;
    }
    return TP_OK;
}

static tp_status pull_header(inflater *f, tp__idx *out) {
    uint8_t head[4 + 4 * TP__IDX_DIMS];
    size_t got;
    tp_status r = pull(f, head, 4, &got);
    if (r) return r;
    if (got < 4) return bad(f->name, "not an IDX file");
    r = parse_magic(head, f->name, out);
    if (!r) r = pull(f, head, 4 * (size_t)out->ndim, &got);
    if (r) return r;
    if (got < 4 * (size_t)out->ndim) return bad(f->name, "truncated IDX (in its header)");
    return parse_dims(head, f->name, out);
}

static tp_status pull_data(inflater *f, tp__idx *out) {
    const size_t left = f->left + f->z.avail_in;
    if (out->bytes / 1032 > left + 64) {
        char shape[64], reason[140];
        snprintf(reason, sizeof reason,
                 "truncated IDX (%s bytes announced, %zu gzipped ones cannot hold them)",
                 shape_text(out, shape, sizeof shape), left);
        return bad(f->name, reason);
    }
    uint8_t *data = tp__realloc(NULL, out->bytes + 1);
    if (!data) return TP_ENOMEM;
    out->block = data;
    out->data = data;
    size_t got;
    const tp_status r = pull(f, data, out->bytes + 1, &got); /* one more, which must not come */
    if (r) return r;
    if (got < out->bytes) return truncated(out, f->name, got);
    return got > out->bytes ? bad(f->name, "IDX with bytes behind its data") : TP_OK;
}

static tp_status parse_gzip(const uint8_t *p, size_t n, const char *name, tp__idx *out) {
    inflater f = {.z = {.zalloc = on_alloc, .zfree = on_free}, .left = n, .name = name};
    f.z.next_in = (z_const Bytef *)p;
    if (inflateInit2(&f.z, 15 + 16) != Z_OK) { /* 16: gzip only */
        tp__fail_nomem(0);
        return TP_ENOMEM;
    }
    tp_status r = pull_header(&f, out);
    if (!r) r = pull_data(&f, out);
    inflateEnd(&f.z);
    return r;
}

/* ---- either ---------------------------------------------------------------------------------- */

tp_status tp__idx_parse(void *block, size_t n, const char *name, tp__idx *out) {
    *out = (tp__idx){0};
    const uint8_t *p = block;
    const bool gzip = n >= 2 && p[0] == 0x1f && p[1] == 0x8b;
    const tp_status r = gzip ? parse_gzip(p, n, name, out) : parse_plain(p, n, name, out);
    if (gzip || r)
        tp__mfree(block);
    else
        out->block = block;
    if (r) {
        if (gzip) tp__mfree(out->block);
        *out = (tp__idx){0};
    }
    return r;
}

tp_status tp__idx_read(const char *path, int ndim, tp__idx *out) {
    *out = (tp__idx){0};
    size_t n;
    void *block = tp__os_read_file(path, 0, &n);
    if (!block) return tp_error_code();
    const tp_status r = tp__idx_parse(block, n, path, out);
    if (r || out->ndim == ndim) return r;
    char reason[100];
    snprintf(reason, sizeof reason, "IDX of %d dimensions instead of %d", out->ndim, ndim);
    tp__idx_free(out);
    return bad(path, reason);
}
