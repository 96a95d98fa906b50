/* sort.c -- the order of rows: tiles of rows for the pool, and keys that integers compare.
 *
 * Short rows are sorted by insertion, longer ones by dealing them out to the values of each byte of
 * their keys. Keys have 32 bits where those and 32 bits for a position are enough: so int64s are
 * counted from the row's least one. */
#include "kernels/hands.h"
#include "kernels/isa.h"
#include <string.h>

enum {
    TILE = 4096,        /* elements of a tile; a row is never cut */
    BLOCK = 64,         /* keys that are made at once */
    FEW = 48,           /* items that insertion sorts sooner */
    BITS = 8,           /* of a byte, ... */
    VALUES = 1 << BITS, /* ... which has so many */
    PART = 32,          /* elements that are passed over where none is among the first k */
    FEW_FIRST = 16,     /* a k for which each that is takes its place at once */
    LINE = 64
};

typedef struct lane {
    tp_dtype dtype;
    bool descending;
    int64_t n;
    const char *x;
    int64_t least; /* of an int64 lane */
} lane;

/* The bits of a float, made to order as the floats do; -0 is 0, and so is what is flushed to it. */
static inline uint32_t key_of_f32(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(1) << 31;
    bits = v == 0 ? UINT32_C(1) << 31 : bits;
    return v != v ? UINT32_MAX : bits;
}
static inline uint64_t key_of_f64(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits ^= bits >> 63 ? UINT64_MAX : UINT64_C(1) << 63;
    bits = v == 0 ? UINT64_C(1) << 63 : bits;
    return v != v ? UINT64_MAX : bits;
}

/* The first place from i on, in steps of PART, where one of PART elements may come before element
 * `bound` (every NaN may), or where there are no more so many. */
static int64_t pass_over(const lane *l, int64_t i, int64_t bound) {
#define PASS_OVER(T, test)                                       \
    for (; i + PART <= l->n; i += PART) {                        \
        const T *const x = (const T *)l->x + i;                  \
        int any = 0;                                             \
        for (int j = 0; j < PART; j++) any |= !(x[j] test last); \
        if (any) break;                                          \
    }
#define EITHER_WAY(T)                            \
    {                                            \
        const T last = ((const T *)l->x)[bound]; \
        if (l->descending)                       \
            PASS_OVER(T, <=)                     \
        else                                     \
            PASS_OVER(T, >=)                     \
    }
    switch (l->dtype) {
    case TP_FLOAT32: EITHER_WAY(float) break;
    case TP_FLOAT64: EITHER_WAY(double) break;
    case TP_INT64: EITHER_WAY(int64_t) break;
    default: EITHER_WAY(uint8_t) break;
    }
#undef PASS_OVER
#undef EITHER_WAY
    return i;
}

#define FN_(name, suffix) name##_##suffix
#define FN_OF(name, suffix) FN_(name, suffix)
#define FN(name) FN_OF(name, SUF)

#define KEY uint32_t
#define SUF narrow
#include "kernels/sort.inc"

#define KEY uint64_t
#define SUF wide
#include "kernels/sort.inc"

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct job {
    const tp__order *o;
    int64_t size, room, group; /* bytes of an element, items of a buffer, rows of a tile */
    char *buffers;
    atomic_uint_fast64_t *taken;
} job;

/* Do all numbers lie so near to each other that 32 bits tell them apart? */
static bool is_near(lane *l) {
    const int64_t *x = (const int64_t *)l->x;
    int64_t least = x[0], most = x[0];
    for (int64_t i = 1; i < l->n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    l->least = least;
    return (uint64_t)most - (uint64_t)least <= UINT32_MAX;
}

static bool may_be_wide(const tp__order *o) {
    return o->dtype == TP_FLOAT64 || o->dtype == TP_INT64 || o->n > UINT32_MAX;
}

static void order_row(const job *j, int64_t row, void *buffer) {
    const tp__order *o = j->o;
    lane l = {o->dtype, o->descending, o->n, (const char *)o->x + row * o->n * j->size, 0};
    const bool near = o->dtype == TP_INT64 ? is_near(&l) : o->dtype != TP_FLOAT64;
    int64_t *index = o->index ? o->index + row * o->k : NULL;
    char *y = o->y ? (char *)o->y + row * o->k * j->size : NULL;
    if (near && o->n <= UINT32_MAX)
        order_narrow(&l, o->k, buffer, j->room, index, y);
    else
        order_wide(&l, o->k, buffer, j->room, index, y);
}

/* Items of a buffer: those that are wanted and, where these are more than a few, as many others,
 * with which they are sorted from time to time. */
static int64_t room_of(const tp__order *o) {
    const int64_t room = o->k <= FEW_FIRST ? o->k : 2 * o->k;
    return tp__least(room, o->n);
}

static int64_t group_of(const tp__order *o) {
    return 1 + (TILE - 1) / o->n;
}

static int64_t tiles_of(const tp__order *o) {
    return tp__parts(o->rows, group_of(o));
}

/* Two buffers of a hand. */
static int64_t buffer_bytes(const tp__order *o) {
    const size_t item = may_be_wide(o) ? sizeof(item_wide) : sizeof(item_narrow);
    return tp__round_up(2 * room_of(o) * (int64_t)item, LINE);
}

static bool is_empty(const tp__order *o) {
    return o->rows <= 0 || o->n <= 0 || o->k <= 0;
}

size_t tp__order_workspace(tp__order *o) {
    if (is_empty(o)) return 0;
    const int64_t threads = tp__least(tp_get_num_threads(), TP__MOST_HANDS);
    o->hands = (int)tp__least(threads, tiles_of(o));
    return (size_t)(o->hands * buffer_bytes(o));
}

static void run_tile(void *ctx, int64_t tile) {
    const job *j = ctx;
    const int hand = tp__take_hand(j->taken, j->o->hands);
    const int64_t end = tp__least((tile + 1) * j->group, j->o->rows);
    for (int64_t row = tile * j->group; row < end; row++)
        order_row(j, row, j->buffers + hand * buffer_bytes(j->o));
    tp__give_hand(j->taken, hand);
}

void tp__order_run(const tp__order *o, void *workspace) {
    if (is_empty(o)) return;
    atomic_uint_fast64_t taken = 0;
    static const int64_t size[TP__DTYPE_COUNT] = {4, 8, 8, 1, 1};
    job j = {o, size[o->dtype], room_of(o), group_of(o), workspace, &taken};
    tp__parallel(tiles_of(o), run_tile, &j);
}

/* ---- and back -------------------------------------------------------------------------------- */

typedef struct undo {
    bool doubles;
    const void *x;
    const int64_t *index;
    void *y;
    int64_t outer, n, k, inner, group; /* of outer, in a tile */
} undo;

/* One of outer: x and index from element `at` on, y from element `to` on. */
#define DEFINE_BACK(T)                                                                \
    static void back_##T(const undo *u, int64_t at, int64_t to) {                     \
        const T *x = (const T *)u->x + at;                                            \
        const int64_t *index = u->index + at;                                         \
        T *y = (T *)u->y + to;                                                        \
        for (int64_t j = 0; j < u->k; j++, x += u->inner, index += u->inner)          \
            for (int64_t i = 0; i < u->inner; i++) y[index[i] * u->inner + i] = x[i]; \
    }
DEFINE_BACK(float)
DEFINE_BACK(double)

static void undo_tile(void *ctx, int64_t tile) {
    const undo *u = ctx;
    const int64_t end = tp__least((tile + 1) * u->group, u->outer);
    for (int64_t o = tile * u->group; o < end; o++)
        (u->doubles ? back_double : back_float)(u, o * u->k * u->inner, o * u->n * u->inner);
}

void tp__order_undo(tp_dtype d, const void *x, const int64_t *index, void *y, int64_t outer,
                    int64_t n, int64_t k, int64_t inner) {
    if (outer <= 0 || k <= 0 || inner <= 0) return;
    undo u = {d == TP_FLOAT64, x, index, y, outer, n, k, inner, 1 + (TILE - 1) / (k * inner)};
    tp__parallel(tp__parts(outer, u.group), undo_tile, &u);
}
