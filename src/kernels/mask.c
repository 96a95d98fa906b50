/* mask.c -- what a mask chooses, cut into parts for the pool once it is known how many each has.
 *
 * An element is written before it is known whether it is wanted, and overwritten if it was not: a
 * branch for each would be guessed wrongly half of the time. */
#include "kernels/isa.h"
#include <string.h>

enum { BYTES = 16, MOST_ROUNDS = UINT8_MAX };

static int64_t count(const uint8_t *mask, int64_t n) {
    int64_t sum = 0, i = 0;
    while (n - i >= BYTES) {
        const int64_t rounds = tp__least((n - i) / BYTES, MOST_ROUNDS);
        uint8_t some[BYTES] = {0};
        for (int64_t r = 0; r < rounds; r++, i += BYTES)
            for (int j = 0; j < BYTES; j++) some[j] = (uint8_t)(some[j] + (mask[i + j] != 0));
        for (int j = 0; j < BYTES; j++) sum += some[j];
    }
    for (; i < n; i++) sum += mask[i] != 0;
    return sum;
}

/* Of elements of x to y, which has room for `found`; and back to x[n], which is 0 elsewhere. */
#define DEFINE_MASKED(T, w)                                                                  \
    static void choose_##w(const uint8_t *mask, const void *from, void *to, int64_t found) { \
        const T *restrict x = from;                                                          \
        T *restrict y = to;                                                                  \
        for (int64_t i = 0, k = 0; k < found; i++) {                                         \
            y[k] = x[i];                                                                     \
            k += mask[i] != 0;                                                               \
        }                                                                                    \
    }                                                                                        \
    static void spread_##w(const uint8_t *mask, int64_t n, const void *from, void *to,       \
                           int64_t found) {                                                  \
        const T *restrict y = from;                                                          \
        T *restrict x = to;                                                                  \
        int64_t i = 0;                                                                       \
        for (int64_t k = 0; k < found; i++) {                                                \
            const T one = mask[i] != 0;                                                      \
            x[i] = (T)(y[k] & (T)-one);                                                      \
            k += (int64_t)one;                                                               \
        }                                                                                    \
        memset(x + i, 0, (size_t)(n - i) * sizeof(T));                                       \
    }
DEFINE_MASKED(uint8_t, w8)
DEFINE_MASKED(uint32_t, w32)
DEFINE_MASKED(uint64_t, w64)

/* Where the n elements from `at` on are true, along the last of the axes. Returns the end of what
 * was written; nothing is behind `end`. */
TP__INLINE int64_t *places_along(const uint8_t *mask, int64_t n, const int64_t *at, int ndim,
                                 int64_t *to, const int64_t *end) {
    for (int64_t j = 0; j < n && to < end; j++) {
        for (int d = 0; d < ndim - 1; d++) to[d] = at[d];
        to[ndim - 1] = at[ndim - 1] + j;
        to += mask[j] ? ndim : 0;
    }
    return to;
}
static int64_t *places(const uint8_t *mask, int64_t n, const int64_t *at, int ndim, int64_t *to,
                       const int64_t *end) {
    switch (ndim) {
    case 1: return places_along(mask, n, at, 1, to, end);
    case 2: return places_along(mask, n, at, 2, to, end);
    case 3: return places_along(mask, n, at, 3, to, end);
    default: return places_along(mask, n, at, ndim, to, end);
    }
}

/* ---- parts ----------------------------------------------------------------------------------- */

typedef void (*choose_fn)(const uint8_t *mask, const void *from, void *to, int64_t found);
typedef void (*spread_fn)(const uint8_t *mask, int64_t n, const void *from, void *to,
                          int64_t found);
typedef struct kind {
    int64_t size;
    choose_fn choose;
    spread_fn spread;
} kind;
static const kind kind_of[TP__DTYPE_COUNT] = {
    [TP_FLOAT32] = {4, choose_w32, spread_w32}, [TP_FLOAT64] = {8, choose_w64, spread_w64},
    [TP_INT64] = {8, choose_w64, spread_w64},   [TP_UINT8] = {1, choose_w8, spread_w8},
    [TP_BOOL] = {1, choose_w8, spread_w8},
};

typedef struct job {
    tp__mask *mask;
    const kind *k;
    const char *from;
    char *to;
    const int64_t *dim; /* of places: the axes */
    int ndim;
} job;

static int64_t length_of(const tp__mask *m, int64_t part) {
    return tp__least(m->n - part * m->part, m->part);
}
static int64_t found_in(const tp__mask *m, int64_t part) {
    return m->before[part + 1] - m->before[part];
}

static void count_part(void *ctx, int64_t part) {
    tp__mask *m = ctx;
    m->before[part + 1] = count(m->is + part * m->part, length_of(m, part));
}
int64_t tp__mask_count(tp__mask *m, const uint8_t *is, int64_t n) {
    m->is = is;
    m->n = n;
    m->part = tp__parts(n, TP__MASK_PARTS);
    if (m->part < TP__PW_TILE) m->part = TP__PW_TILE;
    m->parts = tp__parts(n, m->part);
    m->before[0] = 0;
    tp__parallel(m->parts, count_part, m);
    for (int64_t k = 0; k < m->parts; k++) m->before[k + 1] += m->before[k];
    return m->before[m->parts];
}

static void choose_part(void *ctx, int64_t part) {
    const job *j = ctx;
    const tp__mask *m = j->mask;
    j->k->choose(m->is + part * m->part, j->from + part * m->part * j->k->size,
                 j->to + m->before[part] * j->k->size, found_in(m, part));
}
void tp__mask_choose(tp__mask *m, tp_dtype d, const void *x, void *y) {
    job j = {.mask = m, .k = &kind_of[d], .from = x, .to = y};
    tp__parallel(m->parts, choose_part, &j);
}

static void spread_part(void *ctx, int64_t part) {
    const job *j = ctx;
    const tp__mask *m = j->mask;
    j->k->spread(m->is + part * m->part, length_of(m, part), j->from + m->before[part] * j->k->size,
                 j->to + part * m->part * j->k->size, found_in(m, part));
}
void tp__mask_spread(tp__mask *m, tp_dtype d, const void *y, void *x) {
    job j = {.mask = m, .k = &kind_of[d], .from = y, .to = x};
    tp__parallel(m->parts, spread_part, &j);
}

/* Line by line of the last axis, of which the first may be entered in its midst. */
static void places_part(void *ctx, int64_t part) {
    const job *j = ctx;
    const tp__mask *m = j->mask;
    const int last = j->ndim - 1;
    int64_t at[TP__MASK_AXES], rest = part * m->part;
    int64_t *to = (int64_t *)j->to + m->before[part] * j->ndim;
    const int64_t *const end = (int64_t *)j->to + m->before[part + 1] * j->ndim;
    const uint8_t *is = m->is + rest;
    for (int d = last; d >= 0; d--) {
        at[d] = rest % j->dim[d];
        rest /= j->dim[d];
    }
    while (to < end) {
        const int64_t n = j->dim[last] - at[last]; /* of which the part may have fewer: see end */
        to = places(is, n, at, j->ndim, to, end);
        is += n;
        at[last] = 0;
        for (int d = last - 1; d >= 0 && ++at[d] == j->dim[d]; d--) at[d] = 0;
    }
}
void tp__mask_places(tp__mask *m, const int64_t *dim, int ndim, int64_t *out) {
    job j = {.mask = m, .to = (char *)out, .dim = dim, .ndim = ndim};
    if (ndim) tp__parallel(m->parts, places_part, &j);
}
