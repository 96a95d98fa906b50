/* safetensors.c -- the file format of models: length, JSON header, bytes.
 *
 * Reading trusts nothing: every size and offset is checked against the others and the file before
 * a byte is copied, and each byte of the data must belong to exactly one tensor. Writing lays the
 * wide types first, so that without holes every tensor is aligned to its elements; the header keeps
 * the dictionary's order, and reading takes it from there. */
#include "io/io.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define METADATA "__metadata__"
enum { PREFIX = 8, HEADER_MOST = 100000000 }; /* bytes; the limit of the reference reader */

static const char *const dtype_names[] = {"F32", "F64", "I64", "U8", "BOOL"}; /* of each tp_dtype */
_Static_assert(sizeof dtype_names / sizeof *dtype_names == TP__DTYPE_COUNT,
               "a name for every dtype");

/* ---- reading: the header --------------------------------------------------------------------- */

/* A file in memory. */
typedef struct source {
    const char *name;
    const unsigned char *data; /* behind the header */
    int64_t size;              /* of data */
} source;
/* A tensor as the header describes it. */
typedef struct item {
    const char *name;
    tp_dtype dtype;
    tp_shape shape;
    int64_t begin, end; /* in data */
    size_t place;       /* in the header */
} item;

static uint64_t little_endian(const unsigned char *p) {
    uint64_t v = 0;
    for (int i = PREFIX - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static json_t *parse_header(const unsigned char *bytes, size_t size, source *src) {
    if (size < PREFIX)
        return tp__fail(TP_EFORMAT, "%s: too short for a safetensors file", src->name);
    const uint64_t n = little_endian(bytes);
    if (n > HEADER_MOST)
        return tp__fail(TP_EFORMAT, "%s: no safetensors file (a header of %" PRIu64 " bytes)",
                        src->name, n);
    if (n > size - PREFIX)
        return tp__fail(TP_EFORMAT, "%s: the header runs past the end of the file", src->name);
    src->data = bytes + PREFIX + n;
    src->size = (int64_t)(size - PREFIX - n);
    const char *text = (const char *)bytes + PREFIX;
    if (!n || *text != '{')
        return tp__fail(TP_EFORMAT, "%s: the header is no JSON object", src->name);
    json_error_t e;
    errno = 0;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    /* jansson leaves out what it has no memory for, and then finds a fault in the text, or none */
    if (errno == ENOMEM || (!root && json_error_code(&e) == json_error_out_of_memory))
        return json_decref(root), tp__fail_nomem(0);
    if (root) return root;
    return tp__fail(TP_EFORMAT, "%s: the header is damaged at byte %d: %s", src->name, e.position,
                    e.text);
}

static bool refuse(const source *src, const char *tensor, const char *why) {
    char room[TP__SHOWN];
    tp_error_set(TP_EFORMAT, "%s: tensor '%s' %s", src->name, tp__shown(tensor, room), why);
    return false;
}

/* An array of integers from 0 up; their number, or -1. Those behind `most` are only counted. */
static int64_t read_integers(const json_t *array, int64_t *out, size_t most) {
    if (!json_is_array(array)) return -1;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *v = json_array_get(array, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0) return -1;
        if (i < most) out[i] = json_integer_value(v);
    }
    return (int64_t)json_array_size(array);
}

static bool read_dtype(const source *src, const json_t *v, item *it) {
    const char *text = json_string_value(v);
    if (!text) return refuse(src, it->name, "has no dtype");
    for (int d = 0; d < TP__COUNT(dtype_names); d++) {
        it->dtype = (tp_dtype)d;
        if (!strcmp(text, dtype_names[d])) return true;
    }
    char name[TP__SHOWN], dtype[TP__SHOWN];
    tp_error_set(TP_EFORMAT, "%s: tensor '%s' is %s; taper reads F32, F64, I64, U8 and BOOL",
                 src->name, tp__shown(it->name, name), tp__shown(text, dtype));
    return false;
}

static bool read_item(const source *src, const char *name, const json_t *v, item *it) {
    it->name = name;
    if (!json_is_object(v)) return refuse(src, name, "is described by no JSON object");
    if (!read_dtype(src, json_object_get(v, "dtype"), it)) return false;
    const int64_t ndim = read_integers(json_object_get(v, "shape"), it->shape.dim, TP_MAX_DIM);
    if (ndim < 0) return refuse(src, name, "has no valid shape");
    if (ndim > TP_MAX_DIM) return refuse(src, name, "has more than 8 dims");
    it->shape.ndim = (int)ndim;
    int64_t range[2], bytes;
    if (read_integers(json_object_get(v, "data_offsets"), range, 2) != 2)
        return refuse(src, name, "has no valid data_offsets");
    it->begin = range[0];
    it->end = range[1];
    if (it->begin > it->end) return refuse(src, name, "ends before it begins");
    if (it->end > src->size) return refuse(src, name, "runs past the end of the file");
    if (!tp__bytes_of(&it->shape, it->dtype, &bytes) || bytes != it->end - it->begin)
        return refuse(src, name, "has a shape that does not fit its data_offsets");
    if (it->dtype == TP_BOOL && !tp__are_bools(src->data + it->begin, bytes))
        return refuse(src, name, "is BOOL but holds a byte other than 0 and 1");
    return true;
}

/* ---- reading: the data ----------------------------------------------------------------------- */

static int by_begin(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1; /* empty ones first */
    return 0;
}
static int by_place(const void *a, const void *b) {
    const item *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* No overlaps, no holes, nothing left over. The items are sorted by begin. */
static bool check_cover(const source *src, const item *items, size_t n) {
    int64_t covered = 0;
    for (size_t i = 0; i < n; i++) {
        if (items[i].begin < covered) return refuse(src, items[i].name, "overlaps another one");
        if (items[i].begin > covered)
            return refuse(src, items[i].name, "lies behind bytes that belong to none");
        covered = items[i].end;
    }
    if (covered == src->size) return true;
    tp_error_set(TP_EFORMAT, "%s: %" PRId64 " bytes behind the last tensor", src->name,
                 src->size - covered);
    return false;
}

static bool read_strings(const source *src, json_t *object, tp_dict *d) {
    const char *key;
    json_t *v;
    if (!json_is_object(object)) {
        tp_error_set(TP_EFORMAT, "%s: " METADATA " is no JSON object", src->name);
        return false;
    }
    json_object_foreach(object, key, v) {
        if (!json_is_string(v)) {
            char room[TP__SHOWN];
            tp_error_set(TP_EFORMAT, "%s: " METADATA " '%s' is no string", src->name,
                         tp__shown(key, room));
            return false;
        }
        if (tp_dict_set_str(d, key, json_string_value(v))) return false;
    }
    return true;
}

/* The tensors are made in the open scope, which is the caller's own. */
static bool read_tensors(const source *src, const item *items, size_t n, tp_dict *d) {
    for (size_t i = 0; i < n; i++) {
        const item *it = &items[i];
        tp_tensor *x = tp__new(src->name, &it->shape, it->dtype);
        if (!x) return false;
        if (it->end > it->begin)
            memcpy(tp__ptr(x), src->data + it->begin, (size_t)(it->end - it->begin));
        if (tp_dict_set(d, it->name, x)) return false;
    }
    return true;
}

static bool read_all(const source *src, json_t *root, item *items, tp_dict *d) {
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach(root, key, v) {
        if (!strcmp(key, METADATA)) {
            if (!read_strings(src, v, d)) return false;
            continue;
        }
        items[n].place = n;
        if (!read_item(src, key, v, &items[n++])) return false;
    }
    qsort(items, n, sizeof *items, by_begin);
    if (!check_cover(src, items, n)) return false;
    qsort(items, n, sizeof *items, by_place);
    return read_tensors(src, items, n, d);
}

tp_dict *tp_parse_safetensors(const void *bytes, size_t size, const char *name) {
    if (!bytes || !name) return tp__error_null("parse_safetensors"), NULL;
    char room[400];
    source src = {.name = tp__utf8_show(name, room, sizeof room)};
    json_t *root = parse_header(bytes, size, &src);
    if (!root) return NULL;
    tp_dict *d = tp_dict_new();
    item *items = d ? tp__calloc(json_object_size(root), sizeof *items) : NULL;
    const tp_scope s = items ? tp_scope_begin() : (tp_scope){0};
    bool ok = s.depth && read_all(&src, root, items, d);
    if (s.depth && tp_scope_end(s)) ok = false;
    tp__mfree(items);
    json_decref(root);
    if (ok) return d;
    tp_dict_free(d);
    return NULL;
}

tp_dict *tp_load_safetensors(const char *path) {
    if (!path) return tp__error_null("load_safetensors"), NULL;
    size_t size;
    void *bytes = tp__os_read_file(path, 0, &size);
    if (!bytes) return NULL;
    tp_dict *d = tp_parse_safetensors(bytes, size, path);
    tp__mfree(bytes);
    return d;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct file {
    const tp_dict *d;
    const char *path; /* as errors show it */
    char *header;     /* with its length in front and spaces behind, a multiple of 8 bytes */
    size_t header_size;
} file;

/* The tensors in the order of their data: widest elements first, else as in the dictionary. */
typedef bool (*visit_fn)(void *ctx, int64_t i, tp_tensor *x);
static bool for_each_by_width(const tp_dict *d, visit_fn visit, void *ctx) {
    static const int64_t widths[] = {8, 4, 1};
    for (int w = 0; w < TP__COUNT(widths); w++) {
        for (int64_t i = 0; i < tp_dict_len(d); i++) {
            tp_tensor *x = tp_dict_at(d, i);
            if (tp_dtype_size((tp_dtype)x->dtype) == widths[w] && !visit(ctx, i, x)) return false;
        }
    }
    return true;
}

static int64_t bytes_in(const tp_tensor *x) {
    return x->numel * tp_dtype_size((tp_dtype)x->dtype);
}

typedef struct layout {
    int64_t *begin, position;
} layout;
static bool lay(void *ctx, int64_t i, tp_tensor *x) {
    layout *l = ctx;
    l->begin[i] = l->position;
    l->position += bytes_in(x);
    return true;
}

static bool check_text(const file *f, const char *what, const char *text) {
    char room[TP__SHOWN];
    if (tp__utf8_valid(text)) return true;
    tp_error_set(TP_EVALUE, "%s: %s '%s' is not UTF-8", f->path, what, tp__shown(text, room));
    return false;
}
static bool check_texts(const file *f) {
    for (int64_t i = 0; i < tp_dict_str_len(f->d); i++) {
        const char *name = tp_dict_str_name(f->d, i);
        if (!check_text(f, "the name", name)) return false;
        if (!check_text(f, "the string", tp_dict_get_str(f->d, name))) return false;
    }
    for (int64_t i = 0; i < tp_dict_len(f->d); i++) {
        const char *name = tp_dict_name(f->d, i);
        if (!check_text(f, "the name", name)) return false;
        if (strcmp(name, METADATA)) continue;
        tp_error_set(TP_EVALUE, "%s: no tensor can be called " METADATA " in a safetensors file",
                     f->path);
        return false;
    }
    return true;
}

/* These leave what they made in root, and fail for want of memory only. */
static bool put_strings(const tp_dict *d, json_t *root) {
    if (!tp_dict_str_len(d)) return true;
    json_t *object = json_object();
    if (json_object_set_new(root, METADATA, object)) return false;
    for (int64_t i = 0; i < tp_dict_str_len(d); i++) {
        const char *name = tp_dict_str_name(d, i);
        if (json_object_set_new(object, name, json_string(tp_dict_get_str(d, name)))) return false;
    }
    return true;
}

static json_t *integers(const int64_t *v, int n) {
    json_t *array = json_array();
    for (int i = 0; i < n && array; i++) {
        if (!json_array_append_new(array, json_integer(v[i]))) continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static bool put_tensor(json_t *root, const char *name, const tp_tensor *x, int64_t begin) {
    const int64_t range[2] = {begin, begin + bytes_in(x)};
    json_t *object = json_object();
    return !json_object_set_new(root, name, object) &&
           !json_object_set_new(object, "dtype", json_string(dtype_names[x->dtype])) &&
           !json_object_set_new(object, "shape", integers(x->shape, x->ndim)) &&
           !json_object_set_new(object, "data_offsets", integers(range, 2));
}

static bool put_tensors(const tp_dict *d, json_t *root) {
    const int64_t n = tp_dict_len(d);
    int64_t *begin = tp__calloc((size_t)n, sizeof *begin);
    if (!begin) return false;
    for_each_by_width(d, lay, &(layout){.begin = begin});
    bool ok = true;
    for (int64_t i = 0; i < n && ok; i++)
        ok = put_tensor(root, tp_dict_name(d, i), tp_dict_at(d, i), begin[i]);
    tp__mfree(begin);
    return ok;
}

static tp_status no_memory(void) {
    tp__fail_nomem(0);
    return TP_ENOMEM;
}

static tp_status header_text(file *f, const json_t *root) {
    const size_t n = json_dumpb(root, NULL, 0, JSON_COMPACT), padded = (n + 7) & ~(size_t)7;
    if (!n) return no_memory();
    if (padded > HEADER_MOST)
        return tp_error_set(TP_EVALUE,
                            "%s: names and strings make a header of %zu bytes; the most is %d",
                            f->path, padded, HEADER_MOST);
    char *h = tp__calloc(1, PREFIX + padded);
    if (!h) return TP_ENOMEM;
    f->header = h;
    f->header_size = PREFIX + padded;
    for (int i = 0; i < PREFIX; i++) h[i] = (char)(padded >> 8 * i & 0xFF);
    memset(h + PREFIX, ' ', padded);
    return json_dumpb(root, h + PREFIX, padded, JSON_COMPACT) == n ? TP_OK : no_memory();
}

static tp_status make_header(file *f) {
    json_t *root = json_object();
    const bool ok = root && put_strings(f->d, root) && put_tensors(f->d, root);
    const tp_status r = ok ? header_text(f, root) : no_memory();
    json_decref(root);
    return r;
}

static bool write_one(void *ctx, int64_t i, tp_tensor *x) {
    (void)i;
    return tp__write_elements(ctx, x);
}
static bool write_all(FILE *out, void *ctx) {
    const file *f = ctx;
    return fwrite(f->header, f->header_size, 1, out) == 1 &&
           for_each_by_width(f->d, write_one, out);
}

tp_status tp_save_safetensors(const tp_dict *d, const char *path) {
    if (!d || !path) return tp__error_null("save_safetensors");
    char room[400];
    file f = {.d = d, .path = tp__utf8_show(path, room, sizeof room)};
    if (!check_texts(&f)) return TP_EVALUE;
    tp_status r = make_header(&f);
    if (!r) r = tp__os_write_file(path, write_all, &f);
    tp__mfree(f.header);
    return r;
}
