/* dict.c -- an ordered list of named tensors and one of named strings.
 *
 * Both are the same table: entries in the order in which their names came, and an index of their
 * numbers by a hash of the name, open-addressed and never more than half full. Nothing is ever
 * taken out. */
#include "tensor/tensor.h"
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char *name;
    void *value; /* a tensor, of which the dictionary holds a reference, or a string of its own */
    uint64_t hash;
} entry;
typedef struct table {
    entry *e;
    int64_t n, cap;
    int64_t *slot; /* 2 cap of them: 1 + an entry's number, or 0 */
} table;
struct tp_dict {
    table tensors, strings;
};

/* ---- the table ------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *s) { /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

/* The slot that holds the name, or the empty one where it belongs. There is an empty one. */
static int64_t *find_slot(const table *t, const char *name, uint64_t hash) {
    const uint64_t mask = 2 * (uint64_t)t->cap - 1;
    for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
        const int64_t k = t->slot[i];
        if (!k || (t->e[k - 1].hash == hash && !strcmp(t->e[k - 1].name, name))) return &t->slot[i];
    }
}

static entry *find(const table *t, const char *name) {
    if (!t->cap) return NULL;
    const int64_t k = *find_slot(t, name, hash_of(name));
    return k ? &t->e[k - 1] : NULL;
}

static bool grow(table *t) {
    const int64_t cap = t->cap ? 2 * t->cap : 16; /* powers of two */
    entry *e = tp__realloc(t->e, (size_t)cap * sizeof *e);
    if (!e) return false;
    t->e = e;
    int64_t *slot = tp__calloc(2 * (size_t)cap, sizeof *slot);
    if (!slot) return false;
    tp__mfree(t->slot);
    t->slot = slot;
    t->cap = cap;
    for (int64_t i = 0; i < t->n; i++) *find_slot(t, e[i].name, e[i].hash) = i + 1;
    return true;
}

/* Put value under the name; *old is what it replaced, or NULL. On ENOMEM nothing has changed. */
static bool put(table *t, const char *name, void *value, void **old) {
    *old = NULL;
    entry *there = find(t, name);
    if (there) {
        *old = there->value;
        there->value = value;
        return true;
    }
    if (t->n == t->cap && !grow(t)) return false;
    char *copy = tp__strdup(name);
    if (!copy) return false;
    const uint64_t hash = hash_of(copy);
    *find_slot(t, copy, hash) = t->n + 1;
    t->e[t->n++] = (entry){copy, value, hash};
    return true;
}

static entry *at(const char *what, const table *t, int64_t i) {
    const int64_t k = i < 0 ? i + t->n : i;
    if (k >= 0 && k < t->n) return &t->e[k];
    return tp__fail(TP_EINDEX, "%s: there is no entry %" PRId64 " among %" PRId64, what, i, t->n);
}

static void drop(table *t, void (*release)(void *)) {
    for (int64_t i = 0; i < t->n; i++) {
        release(t->e[i].value);
        tp__mfree(t->e[i].name);
    }
    tp__mfree(t->e);
    tp__mfree(t->slot);
}

/* ---- the dictionary -------------------------------------------------------------------------- */

static void release_tensor(void *x) {
    tp__unref(x);
}

tp_dict *tp_dict_new(void) {
    return tp__calloc(1, sizeof(tp_dict));
}

void tp_dict_free(tp_dict *d) {
    if (!d) return;
    drop(&d->tensors, release_tensor);
    drop(&d->strings, tp__mfree);
    tp__mfree(d);
}

tp_status tp_dict_set(tp_dict *d, const char *name, tp_tensor *x) {
    if (!d || !name || !x) return tp__error_null("dict_set");
    if (tp__is_none(x)) return tp_error_set(TP_EVALUE, "dict_set: '%s' is to be TP_NONE", name);
    void *old;
    if (!put(&d->tensors, name, tp__ref(x), &old)) {
        tp__unref(x);
        return TP_ENOMEM;
    }
    if (old) tp__unref(old);
    return TP_OK;
}

tp_status tp_dict_set_str(tp_dict *d, const char *name, const char *text) {
    if (!d || !name || !text) return tp__error_null("dict_set_str");
    char *copy = tp__strdup(text);
    void *old = NULL;
    if (!copy) return TP_ENOMEM;
    if (!put(&d->strings, name, copy, &old)) {
        tp__mfree(copy);
        return TP_ENOMEM;
    }
    tp__mfree(old);
    return TP_OK;
}

tp_tensor *tp_dict_get(const tp_dict *d, const char *name) {
    if (!d || !name) return tp__error_null("dict_get"), NULL;
    const entry *e = find(&d->tensors, name);
    return e ? e->value : NULL;
}
const char *tp_dict_get_str(const tp_dict *d, const char *name) {
    if (!d || !name) return tp__error_null("dict_get_str"), NULL;
    const entry *e = find(&d->strings, name);
    return e ? e->value : NULL;
}

int64_t tp_dict_len(const tp_dict *d) {
    return d ? d->tensors.n : (tp__error_null("dict_len"), -1);
}
int64_t tp_dict_str_len(const tp_dict *d) {
    return d ? d->strings.n : (tp__error_null("dict_str_len"), -1);
}

const char *tp_dict_name(const tp_dict *d, int64_t i) {
    if (!d) return tp__error_null("dict_name"), NULL;
    const entry *e = at("dict_name", &d->tensors, i);
    return e ? e->name : NULL;
}
tp_tensor *tp_dict_at(const tp_dict *d, int64_t i) {
    if (!d) return tp__error_null("dict_at"), NULL;
    const entry *e = at("dict_at", &d->tensors, i);
    return e ? e->value : NULL;
}
const char *tp_dict_str_name(const tp_dict *d, int64_t i) {
    if (!d) return tp__error_null("dict_str_name"), NULL;
    const entry *e = at("dict_str_name", &d->strings, i);
    return e ? e->name : NULL;
}

static char *joined(const char *prefix, const char *name) {
    const size_t n = strlen(prefix), m = strlen(name);
    char *s = tp__calloc(n + m + 1, 1);
    if (!s) return NULL;
    memcpy(s, prefix, n);
    memcpy(s + n, name, m);
    return s;
}

/* `from` may be d itself, so entries are looked up again each time, and only those of the start. */
tp_status tp_dict_merge(tp_dict *d, const char *prefix, const tp_dict *from) {
    if (!d || !prefix || !from) return tp__error_null("dict_merge");
    const int64_t tensors = from->tensors.n, strings = from->strings.n;
    tp_status r = TP_OK;
    for (int64_t i = 0; i < tensors + strings && !r; i++) {
        const entry e = i < tensors ? from->tensors.e[i] : from->strings.e[i - tensors];
        char *name = joined(prefix, e.name);
        if (!name) return TP_ENOMEM;
        r = i < tensors ? tp_dict_set(d, name, e.value) : tp_dict_set_str(d, name, e.value);
        tp__mfree(name);
    }
    return r;
}

/* ---- sha256 ---------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    const entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name); /* compares as unsigned char */
}

/* "0.weight\0float32\0[30, 784]\0", then the elements, row-major and little-endian: 4, 8 or 1 bytes
 * each, a bool as 0 or 1. A 0-d tensor's shape is "[]". */
static bool hash_tensor(struct sha256_ctx *ctx, const char *name, tp_tensor *x) {
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return false;
    const tp_tensor *dense = tp__contiguous(x);
    if (dense) {
        char text[TP__SHAPE_TEXT];
        const tp_shape shape = tp__shape(x);
        const char *dtype = tp_dtype_name((tp_dtype)x->dtype);
        tp__shape_text(&shape, text);
        sha256_update(ctx, strlen(name) + 1, (const uint8_t *)name);
        sha256_update(ctx, strlen(dtype) + 1, (const uint8_t *)dtype);
        sha256_update(ctx, strlen(text) + 1, (const uint8_t *)text);
        const size_t bytes = (size_t)(x->numel * tp_dtype_size((tp_dtype)x->dtype));
        if (bytes) sha256_update(ctx, bytes, tp__ptr(dense));
    }
    return !tp_scope_end(s) && dense;
}

tp_status tp_dict_sha256(const tp_dict *d, char hex[65]) {
    if (!d || !hex) return tp__error_null("dict_sha256");
    const size_t n = (size_t)d->tensors.n;
    const entry **sorted = tp__calloc(n, sizeof *sorted);
    if (!sorted) return TP_ENOMEM;
    for (size_t i = 0; i < n; i++) sorted[i] = &d->tensors.e[i];
    qsort(sorted, n, sizeof *sorted, by_name);
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) ok = hash_tensor(&ctx, sorted[i]->name, sorted[i]->value);
    tp__mfree(sorted);
    if (!ok) return TP_ENOMEM;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return TP_OK;
}
