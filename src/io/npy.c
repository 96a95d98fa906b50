/* npy.c -- NumPy's file of one array: magic, version, a header that is a Python literal, bytes.
 *
 * The header's grammar is the little that NumPy writes: a dict of a string, a bool and a tuple of
 * integers. A cursor reads it that never leaves the header, and nothing in it is believed until it
 * fits the size of the file. */
#include "io/io.h"
#include <inttypes.h>
#include <string.h>

static const char magic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
enum { FRONT = sizeof magic + 2, ALIGN = 64 }; /* magic and version; NumPy aligns the bytes to 64 */

static const char *const descr_names[] = {"<f4", "<f8", "<i8", "|u1", "|b1"}; /* of each tp_dtype */
_Static_assert(sizeof descr_names / sizeof *descr_names == TP__DTYPE_COUNT,
               "a name for every dtype");

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct cursor {
    const char *name; /* of the file */
    const char *p, *end;
} cursor;
typedef struct array {
    tp_dtype dtype;
    tp_shape shape;
    bool fortran;
    unsigned seen; /* the keys so far: 1 descr, 2 fortran_order, 4 shape */
} array;

static bool refuse(const cursor *c, const char *why) {
    tp_error_set(TP_EFORMAT, "%s: %s", c->name, why);
    return false;
}

static void skip_space(cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}
/* Past white space and this text, if it comes next. */
static bool take(cursor *c, const char *text) {
    const size_t n = strlen(text);
    skip_space(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n)) return false;
    c->p += n;
    return true;
}

/* A string in either kind of quotes, without escapes. */
static bool take_string(cursor *c, char *out, size_t size) {
    const char quote = take(c, "'") ? '\'' : take(c, "\"") ? '"' : 0;
    if (!quote) return false;
    size_t n = 0;
    for (; c->p < c->end && *c->p != quote && n + 1 < size; c->p++) out[n++] = *c->p;
    out[n] = '\0';
    if (c->p == c->end || *c->p != quote) return false;
    c->p++;
    return true;
}

static bool take_size(cursor *c, int64_t *v) {
    skip_space(c);
    const char *start = c->p;
    for (*v = 0; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
        if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *c->p - '0', v))
            return false;
    }
    if (c->p == start) return false;
    take(c, "L"); /* Python 2 wrote its long integers so */
    return true;
}

/* (), (3,), (3, 4) or (3, 4,) */
static bool take_shape(cursor *c, tp_shape *s) {
    if (!take(c, "(")) return refuse(c, "the header's shape is no tuple");
    for (s->ndim = 0; !take(c, ")"); s->ndim++) {
        if (s->ndim == TP_MAX_DIM) return refuse(c, "the array has more than 8 dims");
        if (!take_size(c, &s->dim[s->ndim]))
            return refuse(c, "the header's shape is not made of sizes");
        if (take(c, ",")) continue;
        if (s->ndim && take(c, ")")) return s->ndim++, true;
        return refuse(c, "the header's shape is no tuple"); /* (3) is a number */
    }
    return true;
}

static bool take_descr(cursor *c, tp_dtype *dtype) {
    char text[16];
    if (!take_string(c, text, sizeof text))
        return refuse(c, "the header's descr is no plain dtype");
    for (int d = 0; d < TP__COUNT(descr_names); d++) {
        *dtype = (tp_dtype)d;
        if (!strcmp(text, descr_names[d])) return true;
    }
    char room[TP__SHOWN];
    tp_error_set(TP_EFORMAT, "%s: the array is '%s'; taper reads <f4, <f8, <i8, |u1 and |b1",
                 c->name, tp__shown(text, room));
    return false;
}

static bool take_bool(cursor *c, bool *v) {
    *v = take(c, "True");
    return *v || take(c, "False") ||
           refuse(c, "the header's fortran_order is neither True nor False");
}

static bool take_entry(cursor *c, array *a) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[16];
    if (!take_string(c, key, sizeof key) || !take(c, ":"))
        return refuse(c, "the header is no Python dict");
    int k = 0;
    while (k < TP__COUNT(keys) && strcmp(key, keys[k]) != 0) k++;
    if (k == TP__COUNT(keys))
        return refuse(c, "the header has a key besides descr, fortran_order and shape");
    if (a->seen & 1u << k) return refuse(c, "the header has a key twice");
    a->seen |= 1u << k;
    if (k == 0) return take_descr(c, &a->dtype);
    if (k == 1) return take_bool(c, &a->fortran);
    return take_shape(c, &a->shape);
}

static bool take_header(cursor *c, array *a) {
    if (!take(c, "{")) return refuse(c, "the header is no Python dict");
    while (!take(c, "}")) {
        if (!take_entry(c, a)) return false;
        if (take(c, ",")) continue;
        if (take(c, "}")) break;
        return refuse(c, "the header is no Python dict");
    }
    skip_space(c);
    if (c->p != c->end) return refuse(c, "the header goes on behind its dict");
    return a->seen == 7 || refuse(c, "the header lacks descr, fortran_order or shape");
}

/* Set the cursor to the header's text. Version 1 has 2 bytes of length, versions 2 and 3 have 4. */
static bool find_header(cursor *c, const unsigned char *bytes, size_t size) {
    if (size < FRONT || memcmp(bytes, magic, sizeof magic)) return refuse(c, "no .npy file");
    const int version = bytes[sizeof magic];
    if (version < 1 || version > 3 || bytes[sizeof magic + 1])
        return refuse(c, "an unknown version of .npy");
    const size_t width = version == 1 ? 2 : 4;
    size_t n = 0;
    for (size_t i = 0; i < width && FRONT + width <= size; i++)
        n |= (size_t)bytes[FRONT + i] << 8 * i;
    if (FRONT + width > size || n > size - FRONT - width)
        return refuse(c, "the header runs past the end of the file");
    c->p = (const char *)bytes + FRONT + width;
    c->end = c->p + n;
    return true;
}

/* x = the transpose of the dense array at data, whose shape is x's shape backwards. */
static bool transpose_into(tp_tensor *x, const void *data, size_t bytes) {
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return false;
    tp_shape backwards = {.ndim = x->ndim};
    for (int d = 0; d < x->ndim; d++) backwards.dim[d] = x->shape[x->ndim - 1 - d];
    tp_tensor *t = tp__new("load_npy", &backwards, (tp_dtype)x->dtype);
    if (t) {
        memcpy(tp__ptr(t), data, bytes);
        int64_t stride[TP_MAX_DIM];
        for (int d = 0; d < x->ndim; d++) stride[d] = t->stride[x->ndim - 1 - d];
        t = tp__view(t, x->ndim, x->shape, stride, 0);
    }
    if (t) tp__copy(x, t);
    return !tp_scope_end(s) && t;
}

tp_tensor *tp__parse_npy(const void *bytes, size_t size, const char *name) {
    char room[400];
    cursor c = {.name = tp__utf8_show(name, room, sizeof room)};
    array a = {.seen = 0};
    if (!find_header(&c, bytes, size) || !take_header(&c, &a)) return NULL;
    const char *data = c.end;
    const int64_t left = (int64_t)(size - (size_t)(data - (const char *)bytes));
    int64_t need;
    if (!tp__bytes_of(&a.shape, a.dtype, &need) || need > left)
        return refuse(&c, "the array runs past the end of the file"), NULL;
    if (need < left)
        return tp__fail(TP_EFORMAT, "%s: %" PRId64 " bytes behind the array", c.name, left - need);
    if (a.dtype == TP_BOOL && !tp__are_bools(data, need))
        return refuse(&c, "the array is bool but holds a byte other than 0 and 1"), NULL;
    tp_tensor *x = tp__new("load_npy", &a.shape, a.dtype);
    if (!x || !need) return x;
    if (a.fortran && a.shape.ndim > 1) return transpose_into(x, data, (size_t)need) ? x : NULL;
    memcpy(tp__ptr(x), data, (size_t)need);
    return x;
}

tp_tensor *tp_load_npy(const char *path) {
    if (!path) return tp__error_null("load_npy"), NULL;
    size_t size;
    void *bytes = tp__os_read_file(path, 0, &size);
    if (!bytes) return NULL;
    tp_tensor *x = tp__parse_npy(bytes, size, path);
    tp__mfree(bytes);
    return x;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Version 1.0; spaces and a newline end the text, so the elements begin at a multiple of 64. */
static size_t make_header(const tp_tensor *x, char *out, size_t size) {
    enum { TEXT = FRONT + 2 };
    size_t n = TEXT;
    n += (size_t)snprintf(out + n, size - n, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                          descr_names[x->dtype]);
    for (int d = 0; d < x->ndim; d++)
        n += (size_t)snprintf(out + n, size - n, d ? " %" PRId64 "," : "%" PRId64 ",", x->shape[d]);
    if (x->ndim > 1) n--; /* only (3,) ends in a comma */
    n += (size_t)snprintf(out + n, size - n, "), }");
    while ((n + 1) % ALIGN) out[n++] = ' ';
    out[n++] = '\n';
    memcpy(out, magic, sizeof magic);
    out[sizeof magic] = 1;
    out[sizeof magic + 1] = 0;
    out[FRONT] = (char)((n - TEXT) & 0xFF);
    out[FRONT + 1] = (char)((n - TEXT) >> 8);
    return n;
}

static bool write_npy(FILE *f, void *ctx) {
    char header[512]; /* 8 sizes of at most 19 digits */
    const size_t n = make_header(ctx, header, sizeof header);
    return fwrite(header, n, 1, f) == 1 && tp__write_elements(f, ctx);
}

tp_status tp_save_npy(tp_tensor *x, const char *path) {
    if (!x || !path) return tp__error_null("save_npy");
    if (tp__is_none(x)) return tp_error_set(TP_EVALUE, "%s: there is no tensor to save", path);
    return tp__os_write_file(path, write_npy, x);
}
