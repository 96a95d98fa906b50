/* pick.c -- elements and rows moved by lists of positions, cut into tiles for the pool.
 *
 * Where elements of x are written tiles share no axis along which positions may repeat: what is
 * meant for an element arrives in order, the last that is put there stays, and sums have the same
 * bits for any number of threads. */
#include "kernels/isa.h"
#include <stdatomic.h>
#include <string.h>

enum {
    SOME = 1024, /* positions that are looked at before they are used, in the nearest cache */
    ENOUGH = 64, /* of an axis to share it */
    BESIDE = 64  /* elements of a row that a tile gets at least */
};

/* m elements beside each other, for n positions. */
typedef struct piece {
    void *x, *y;
    const int64_t *p;
    int64_t n, m;
    int64_t x_n, x_m, y_n, p_n; /* steps, in elements */
    bool of_rows;
} piece;

/* No position before the first or behind the last. */
static bool fits(const int64_t *p, int64_t n, int64_t size) {
    int64_t signs = 0;
    TP__UNROLL
    for (int64_t i = 0; i < n; i++) signs |= p[i] | (size - 1 - p[i]);
    return signs >= 0;
}

/* MOVE: one element, x's first; ROW: n of them. A step of 1 that is known makes another loop. */
#define DEFINE_MOVES(name, T, MOVE, ROW)                                                 \
    TP__INLINE void name##_list(const piece *a, int64_t x_n, int64_t y_n, int64_t p_n) { \
        T *restrict x = a->x, *restrict y = a->y;                                        \
        const int64_t *restrict p = a->p;                                                \
        TP__UNROLL                                                                       \
        for (int64_t j = 0; j < a->n; j++) MOVE(x[p[j * p_n] * x_n], y[j * y_n]);        \
    }                                                                                    \
    TP__INLINE void name##_each(const piece *a, int64_t x_m) {                           \
        T *restrict x = a->x;                                                            \
        for (int64_t j = 0; j < a->n; j++) {                                             \
            T *restrict y = (T *)a->y + j * a->y_n;                                      \
            const int64_t *restrict p = a->p + j * a->p_n;                               \
            TP__UNROLL                                                                   \
            for (int64_t i = 0; i < a->m; i++) MOVE(x[p[i] * a->x_n + i * x_m], y[i]);   \
        }                                                                                \
    }                                                                                    \
    static void name##_rows(const piece *a) {                                            \
        const int64_t x_m = a->x_m, m = a->m;                                            \
        for (int64_t j = 0; j < a->n; j++) {                                             \
            T *restrict x = (T *)a->x + a->p[j * a->p_n] * a->x_n;                       \
            T *restrict y = (T *)a->y + j * a->y_n;                                      \
            if (x_m == 1)                                                                \
                ROW(T, x, y, m);                                                         \
            else                                                                         \
                for (int64_t i = 0; i < m; i++) MOVE(x[i * x_m], y[i]);                  \
        }                                                                                \
    }                                                                                    \
    static void name(const piece *a) {                                                   \
        const bool is_list = a->m == 1, in_order = a->y_n == 1 && a->p_n == 1;           \
        if (is_list && in_order && a->x_n == 1)                                          \
            name##_list(a, 1, 1, 1);                                                     \
        else if (is_list)                                                                \
            name##_list(a, a->x_n, a->y_n, a->p_n);                                      \
        else if (a->of_rows)                                                             \
            name##_rows(a);                                                              \
        else if (a->x_m == 1)                                                            \
            name##_each(a, 1);                                                           \
        else                                                                             \
            name##_each(a, a->x_m);                                                      \
    }
#define TAKE(x, y) (y) = (x)
#define TAKE_ROW(T, x, y, n) memcpy(y, x, (size_t)(n) * sizeof(T))
#define PUT(x, y) (x) = (y)
#define PUT_ROW(T, x, y, n) memcpy(x, y, (size_t)(n) * sizeof(T))
#define ADD(x, y) (x) += (y)
#define ADD_ROW(T, x, y, n) \
    for (int64_t i = 0; i < n; i++) x[i] += y[i]
DEFINE_MOVES(take_w8, uint8_t, TAKE, TAKE_ROW)
DEFINE_MOVES(take_w32, uint32_t, TAKE, TAKE_ROW)
DEFINE_MOVES(take_w64, uint64_t, TAKE, TAKE_ROW)
DEFINE_MOVES(put_w8, uint8_t, PUT, PUT_ROW)
DEFINE_MOVES(put_w32, uint32_t, PUT, PUT_ROW)
DEFINE_MOVES(put_w64, uint64_t, PUT, PUT_ROW)
DEFINE_MOVES(add_f32, float, ADD, ADD_ROW)
DEFINE_MOVES(add_f64, double, ADD, ADD_ROW)

typedef void (*move_fn)(const piece *a);
typedef struct moves {
    int64_t size; /* bytes of an element */
    move_fn take, put, add;
} moves;
static const moves moves_of[TP__DTYPE_COUNT] = {
    [TP_FLOAT32] = {sizeof(float), take_w32, put_w32, add_f32},
    [TP_FLOAT64] = {sizeof(double), take_w64, put_w64, add_f64},
    [TP_INT64] = {sizeof(int64_t), take_w64, put_w64, NULL},
    [TP_UINT8] = {sizeof(uint8_t), take_w8, put_w8, NULL},
    [TP_BOOL] = {sizeof(uint8_t), take_w8, put_w8, NULL},
};

/* ---- tiles ----------------------------------------------------------------------------------- */

enum { OUTER, N, INNER, AXES };

typedef struct job {
    const tp__pick *k;
    move_fn move;
    int64_t size;       /* of an element */
    int64_t check;      /* the size that each element's position has to be in; 0: they are */
    int axis;           /* that tiles share */
    int64_t part;       /* how much of it one gets */
    atomic_bool misfit; /* is there a position that is not? */
} job;

/* Of element o, n, inner, with positions from `at`[N] on. */
static piece piece_at(const job *j, const int64_t at[AXES]) {
    const tp__pick *k = j->k;
    const int64_t y = (at[OUTER] * k->n + at[N]) * k->inner + at[INNER];
    const int64_t row = k->one_row ? at[INNER] : y;
    return (piece){.x = (char *)k->x + (at[OUTER] * k->x_outer + at[INNER] * k->x_inner) * j->size,
                   .y = (char *)k->y + row * j->size,
                   .p = k->p + (k->of_rows ? at[N] : y),
                   .x_n = k->x_n,
                   .x_m = k->x_inner,
                   .y_n = k->one_row ? 0 : k->inner,
                   .p_n = k->of_rows ? 1 : k->inner,
                   .of_rows = k->of_rows};
}

static bool piece_fits(const piece *a, int64_t size) {
    if (a->p_n == a->m) return fits(a->p, a->n * a->m, size);
    bool all = true;
    for (int64_t i = 0; i < a->n && all; i++) all = fits(a->p + i * a->p_n, a->m, size);
    return all;
}

static void run_tile(void *ctx, int64_t tile) {
    job *j = ctx;
    int64_t at[AXES] = {0}, end[AXES] = {j->k->outer, j->k->n, j->k->inner};
    at[j->axis] = tile * j->part;
    end[j->axis] = tp__least(at[j->axis] + j->part, end[j->axis]);
    const int64_t m = end[INNER] - at[INNER], first = at[N];
    const int64_t most = j->check ? 1 + (SOME - 1) / m : end[N];
    for (; at[OUTER] < end[OUTER]; at[OUTER]++)
        for (at[N] = first; at[N] < end[N]; at[N] += most) {
            piece a = piece_at(j, at);
            a.n = tp__least(end[N] - at[N], most);
            a.m = m;
            if (j->check && !piece_fits(&a, j->check)) {
                atomic_store_explicit(&j->misfit, true, memory_order_relaxed);
                return;
            }
            j->move(&a);
        }
}

/* The first axis that is long enough is shared, or the longest. Returns how many tiles it gives. */
static int64_t cut(job *j, bool writes_x) {
    const int64_t length[AXES] = {j->k->outer, j->k->n, j->k->inner};
    const int64_t tiles = length[OUTER] * length[N] * length[INNER] / TP__PW_TILE;
    for (int d = INNER; d >= OUTER; d--) {
        if (d == N && writes_x) continue;
        if (d == INNER || length[d] >= ENOUGH || length[d] > length[j->axis]) j->axis = d;
    }
    int64_t parts = tiles > 1 ? tiles : 1;
    if (j->axis == INNER)
        parts = tp__least(parts, tp_get_num_threads()); /* rows are long streams */
    j->part = tp__parts(length[j->axis], parts);
    if (j->axis == INNER) j->part = tp__round_up(j->part, BESIDE);
    return tp__parts(length[j->axis], j->part);
}

static bool run(job j, bool writes_x) {
    if (j.k->outer <= 0 || j.k->n <= 0 || j.k->inner <= 0) return true;
    tp__pick flat = *j.k;
    if (flat.n == 1 && flat.inner == 1 && !flat.of_rows) { /* one of each row: rows are a line */
        flat.inner = flat.outer;
        flat.x_inner = flat.x_outer;
        flat.outer = 1;
        j.k = &flat;
    }
    j.size = moves_of[j.k->dtype].size;
    tp__parallel(cut(&j, writes_x), run_tile, &j);
    return !atomic_load_explicit(&j.misfit, memory_order_relaxed);
}

bool tp__positions_fit(const int64_t *p, int64_t n, int64_t size) {
    return fits(p, n, size);
}
bool tp__pick_take(const tp__pick *k, int64_t size) {
    if (k->of_rows && !fits(k->p, k->n, size)) return false;
    if (!size && k->outer && k->n && k->inner) return false;
    return run((job){.k = k, .move = moves_of[k->dtype].take, .check = k->of_rows ? 0 : size},
               false);
}
void tp__pick_put(const tp__pick *k) {
    run((job){.k = k, .move = moves_of[k->dtype].put}, true);
}
void tp__pick_add(const tp__pick *k) {
    run((job){.k = k, .move = moves_of[k->dtype].add}, true);
}
