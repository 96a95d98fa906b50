/* isa_move.c -- copies between dtypes, and rows gathered.
 *
 * A value is converted as C does it where C says how; else as x86-64 does, written out so that no
 * vector instruction can do otherwise. */
#include "kernels/loops.h"

/* Beyond int64, and NaN: the smallest int64. */
static inline int64_t whole_i64(double v) {
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}
/* The low byte of the int32; beyond int32, and NaN: 0. */
static inline uint8_t whole_u8(double v) {
    return (uint8_t)(v > -0x1p31 && v < 0x1p31 ? (int32_t)v : 0);
}

#define DEFINE_CAST(TO, to, FROM, from, expr)                                            \
    static void loop_##from##_to_##to(int64_t n, void *const *ptr, double p, double q) { \
        TO *out = ptr[0];                                                                \
        const FROM *in = ptr[1];                                                         \
        (void)p, (void)q;                                                                \
        INDEPENDENT                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                \
            const FROM x = in[i];                                                        \
            out[i] = (TO)(expr);                                                         \
        }                                                                                \
    }                                                                                    \
    static void from##_to_##to(const tp__pw_block *b) {                                  \
        static const tp__pw_kernel k = {.all.loop = loop_##from##_to_##to,               \
                                        .size = {sizeof(TO), sizeof(FROM)}};             \
        tp__pw_drive(&k, b);                                                             \
    }
DEFINE_CAST(float, f32, double, f64, x)
DEFINE_CAST(float, f32, int64_t, i64, x)
DEFINE_CAST(float, f32, uint8_t, u8, x)
DEFINE_CAST(double, f64, float, f32, x)
DEFINE_CAST(double, f64, int64_t, i64, x)
DEFINE_CAST(double, f64, uint8_t, u8, x)
DEFINE_CAST(int64_t, i64, float, f32, whole_i64((double)x))
DEFINE_CAST(int64_t, i64, double, f64, whole_i64(x))
DEFINE_CAST(int64_t, i64, uint8_t, u8, x)
DEFINE_CAST(uint8_t, u8, float, f32, whole_u8((double)x))
DEFINE_CAST(uint8_t, u8, double, f64, whole_u8(x))
DEFINE_CAST(uint8_t, u8, int64_t, i64, x)
DEFINE_CAST(uint8_t, bool, float, f32, x != 0)
DEFINE_CAST(uint8_t, bool, double, f64, x != 0)
DEFINE_CAST(uint8_t, bool, int64_t, i64, x != 0)
DEFINE_CAST(uint8_t, bool, uint8_t, u8, x != 0)
#undef DEFINE_CAST

/* ---- plain copies of a width ----------------------------------------------------------------- */

/* A source that lies across: 16 x 16 elements at a time through a buffer, so that every cache
 * line of both sides is touched once and whole, however their distances collide in the cache.
 *
 * A large result: two squares beside each other, as memory takes half as long for two neighbouring
 * lines as for two far ones; the lines of the next rows of the source are fetched meanwhile, in the
 * order in which they lie. */
enum { SQUARE = 16, PAIR = 2 * SQUARE, BLOCK = 512, LINE = 64 };

/* to[i][j] = from[j][i] for a square. */
#define DEFINE_SQUARE(T, w)                                                                  \
    static void square_##w(char *to, const char *from, int64_t to_row, int64_t from_col) {   \
        T buf[SQUARE][SQUARE], row[SQUARE];                                                  \
        for (int j = 0; j < SQUARE; j++) memcpy(buf[j], from + j * from_col, sizeof buf[j]); \
        for (int i = 0; i < SQUARE; i++, to += to_row) {                                     \
            for (int j = 0; j < SQUARE; j++) row[j] = buf[j][i];                             \
            memcpy(to, row, sizeof row);                                                     \
        }                                                                                    \
    }
DEFINE_SQUARE(uint8_t, u8)
DEFINE_SQUARE(uint64_t, w64)

/* 4-byte elements in registers: pairs of rows, pairs of pairs, then 16 bytes at a time change
 * places. */
#if TP_ISA_LEVEL >= 4
typedef __m512i words;
#define WORDS(op) _mm512_##op
#elif TP_ISA_LEVEL >= 3
typedef __m256i words;
#define WORDS(op) _mm256_##op
#else
typedef __m128i words;
#define WORDS(op) _mm_##op
#endif

TP__INLINE void turn_quarters(words r[LANES_f32]) {
#if TP_ISA_LEVEL >= 4
    words t[LANES_f32];
    TP__UNROLL
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    TP__UNROLL
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
#elif TP_ISA_LEVEL >= 3
    TP__UNROLL
    for (int i = 0; i < 4; i++) {
        const words both = r[i];
        r[i] = _mm256_permute2x128_si256(both, r[i + 4], 0x20);
        r[i + 4] = _mm256_permute2x128_si256(both, r[i + 4], 0x31);
    }
#else
    (void)r;
#endif
}

/* As many rows as a register has elements. */
TP__INLINE void turn_words(char *to, const char *from, int64_t to_row, int64_t from_col) {
    words r[LANES_f32], t[LANES_f32];
    TP__UNROLL
    for (int i = 0; i < LANES_f32; i++) r[i] = (words)load_f32(from + i * from_col);
    TP__UNROLL
    for (int i = 0; i < LANES_f32; i += 2) {
        t[i] = WORDS(unpacklo_epi32)(r[i], r[i + 1]);
        t[i + 1] = WORDS(unpackhi_epi32)(r[i], r[i + 1]);
    }
    TP__UNROLL
    for (int i = 0; i < LANES_f32; i += 4) {
        r[i] = WORDS(unpacklo_epi64)(t[i], t[i + 2]);
        r[i + 1] = WORDS(unpackhi_epi64)(t[i], t[i + 2]);
        r[i + 2] = WORDS(unpacklo_epi64)(t[i + 1], t[i + 3]);
        r[i + 3] = WORDS(unpackhi_epi64)(t[i + 1], t[i + 3]);
    }
    turn_quarters(r);
    TP__UNROLL
    for (int i = 0; i < LANES_f32; i++) store_f32(to + i * to_row, (vec_f32)r[i]);
}

static void square_w32(char *to, const char *from, int64_t to_row, int64_t from_col) {
    enum { SIZE = sizeof(float) };
    for (int j = 0; j < SQUARE; j += LANES_f32)
        for (int i = 0; i < SQUARE; i += LANES_f32)
            turn_words(to + i * to_row + j * SIZE, from + i * SIZE + j * from_col, to_row,
                       from_col);
}
#undef DEFINE_SQUARE

/* Rows of the source, line by line. */
typedef struct coming {
    const char *row;
    int64_t apart, lines, line;
} coming;

static void fetch(coming *c, int n) {
    for (; n > 0; n--) {
        __builtin_prefetch(c->row + c->line * LINE, 0, 2);
        if (++c->line < c->lines) continue;
        c->line = 0;
        c->row += c->apart;
    }
}

#define DEFINE_COPY(T, w)                                                                         \
    static void corner_##w(char *to, const char *from, int64_t m, int64_t n, int64_t to_row,      \
                           int64_t from_col) {                                                    \
        for (int64_t i = 0; i < m; i++) {                                                         \
            T *row = (T *)(to + i * to_row);                                                      \
            for (int64_t j = 0; j < n; j++)                                                       \
                row[j] = *(const T *)(from + i * (int64_t)sizeof(T) + j * from_col);              \
        }                                                                                         \
    }                                                                                             \
    static void squares_##w(char *to, const char *from, int64_t m, int64_t n, int64_t to_row,     \
                            int64_t from_col) {                                                   \
        for (int64_t j = 0; j < n; j += SQUARE)                                                   \
            for (int64_t i = 0; i < m; i += SQUARE) {                                             \
                const int64_t rows = m - i < SQUARE ? m - i : SQUARE;                             \
                const int64_t columns = n - j < SQUARE ? n - j : SQUARE;                          \
                char *t = to + i * to_row + j * (int64_t)sizeof(T);                               \
                const char *f = from + i * (int64_t)sizeof(T) + j * from_col;                     \
                if (rows == SQUARE && columns == SQUARE)                                          \
                    square_##w(t, f, to_row, from_col);                                           \
                else                                                                              \
                    corner_##w(t, f, rows, columns, to_row, from_col);                            \
            }                                                                                     \
    }                                                                                             \
    /* Whole pairs of squares, past the caches. */                                                \
    static void pairs_##w(char *to, const char *from, int64_t m, int64_t n, int64_t to_row,       \
                          int64_t from_col) {                                                     \
        const int64_t size = (int64_t)sizeof(T), lines = m * size / LINE;                         \
        for (int64_t j = 0; j < n; j += PAIR) {                                                   \
            coming next = {from + (j + PAIR) * from_col, from_col, lines, 0};                     \
            for (int64_t i = 0; i < m; i += SQUARE) {                                             \
                _Alignas(LINE) T pair[SQUARE][PAIR];                                              \
                const char *f = from + i * size + j * from_col;                                   \
                if (j + PAIR < n) fetch(&next, PAIR *SQUARE *(int)sizeof(T) / LINE);              \
                square_##w((char *)pair, f, sizeof *pair, from_col);                              \
                square_##w((char *)(*pair + SQUARE), f + SQUARE * from_col, sizeof *pair,         \
                           from_col);                                                             \
                for (int r = 0; r < SQUARE; r++)                                                  \
                    store_past_caches(to + (i + r) * to_row + j * size, pair[r],                  \
                                      (int)sizeof pair[r]);                                       \
            }                                                                                     \
        }                                                                                         \
    }                                                                                             \
    static void across_##w(const tp__pw_block *b) {                                               \
        char *to = b->ptr[0];                                                                     \
        const char *from = b->ptr[1];                                                             \
        const int64_t size = (int64_t)sizeof(T), to_row = b->row[0], from_col = b->col[1];        \
        const bool past =                                                                         \
            b->large && ((uintptr_t)to | (uintptr_t)to_row) % LINE == 0 && PAIR * size >= LINE;   \
        const int64_t m = past ? b->m / SQUARE * SQUARE : 0, n = past ? b->n / PAIR * PAIR : 0;   \
        for (int64_t i = 0; i < m; i += BLOCK)                                                    \
            pairs_##w(to + i * to_row, from + i * size, m - i < BLOCK ? m - i : BLOCK, n, to_row, \
                      from_col);                                                                  \
        squares_##w(to + n * size, from + n * from_col, m, b->n - n, to_row, from_col);           \
        squares_##w(to + m * to_row, from + m * size, b->m - m, b->n, to_row, from_col);          \
        if (past) _mm_sfence();                                                                   \
    }                                                                                             \
    TP__INLINE void loop_##w(int64_t n, void *const *ptr, double p, double q) {                   \
        (void)p, (void)q;                                                                         \
        memmove(ptr[0], ptr[1], (size_t)n * sizeof(T));                                           \
    }                                                                                             \
    PAST_CACHES(past_##w, loop_##w, T, FROM(1, sizeof(T)))                                        \
    /* Rows of elements `step` apart, a constant, straight to where they go. */                   \
    TP__INLINE void apart_##w(const tp__pw_block *b, int64_t step) {                              \
        for (int64_t i = 0; i < b->m; i++) {                                                      \
            T *const to = (T *)((char *)b->ptr[0] + i * b->row[0]);                               \
            const T *const from = (const T *)((const char *)b->ptr[1] + i * b->row[1]);           \
            for (int64_t j = 0; j < b->n; j++) to[j] = from[step * j];                            \
        }                                                                                         \
    }                                                                                             \
    static void other_##w(const tp__pw_block *b) {                                                \
        apart_##w(b, 2);                                                                          \
    }                                                                                             \
    static void backwards_##w(const tp__pw_block *b) {                                            \
        apart_##w(b, -1);                                                                         \
    }                                                                                             \
    static void copy_##w(const tp__pw_block *b) {                                                 \
        static const tp__pw_kernel k = {.all = {.loop = loop_##w, .past = past_##w},              \
                                        .size = {sizeof(T), sizeof(T)}};                          \
        if (b->m > 1 && b->n > 1 && b->col[0] == sizeof(T) && b->row[1] == sizeof(T) &&           \
            b->col[1] > (int64_t)sizeof(T))                                                       \
            across_##w(b);                                                                        \
        else if (b->n > 1 && b->col[0] == sizeof(T) && b->col[1] == -(int64_t)sizeof(T))          \
            backwards_##w(b);                                                                     \
        else if (!b->large && b->n > 1 && b->col[0] == sizeof(T) && b->col[1] == 2 * sizeof(T))   \
            other_##w(b);                                                                         \
        else                                                                                      \
            tp__pw_drive(&k, b);                                                                  \
    }
DEFINE_COPY(uint8_t, u8)
DEFINE_COPY(uint32_t, w32)
DEFINE_COPY(uint64_t, w64)
#undef DEFINE_COPY

/* ---- gather ---------------------------------------------------------------------------------- */

#if TP_ISA_LEVEL >= 3
/* As many bytes as a vector has lanes. Left to itself the compiler loads more of them at a time and
 * then takes half as long again to take them apart. */
TP__INLINE vec_f32 bytes_f32(const uint8_t *p) {
#if TP_ISA_LEVEL >= 4
    return (vec_f32)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
#else
    return (vec_f32)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)));
#endif
}
#endif

/* x / 255 is x / 256 + x / 256 / 255. The first is exact, fused or not, and the second small, so
 * that rounding it leaves the sum as division rounds it, for each of the 256 values
 * (tests/test_kernels.c). */
TP__INLINE void gather_pixels(const uint8_t *x, float *restrict out, int64_t n) {
    const float most = 0x1p-8f, rest = 0x1p-8f / 255;
    int64_t j = 0;
#if TP_ISA_LEVEL >= 3
    for (; j + LANES_f32 <= n; j += LANES_f32) {
        const vec_f32 v = bytes_f32(x + j);
        store_f32(out + j, fma_f32(v, all_f32(most), v * all_f32(rest)));
    }
#endif
    for (; j < n; j++) out[j] = (float)x[j] * most + (float)x[j] * rest;
}

/* With each line of a row one of `next` is asked for, and of `soon`, if it is not NULL: all at once
 * would wait for each other. */
TP__INLINE void gather_line(const uint8_t *x, const uint8_t *next, const uint8_t *soon,
                            float *restrict out, int64_t j, int64_t n) {
    if (soon) __builtin_prefetch(soon + j, 0, 2);
    __builtin_prefetch(next + j);
    gather_pixels(x + j, out + j, n);
}
static void gather_row(const uint8_t *x, const uint8_t *next, const uint8_t *soon,
                       float *restrict out, int64_t n) {
    int64_t j = 0;
    for (; j + LINE <= n; j += LINE) gather_line(x, next, soon, out, j, LINE);
    if (j < n) gather_line(x, next, soon, out, j, n - j);
}

/* Rows lie anywhere, so no hardware foresees them, and main memory takes long to begin. With each
 * row one is asked for that comes in a moment, and one that comes later, if it is told, which has a
 * training step or more to arrive in the outer caches. */
static void gather_rows(const tp__gather *g) {
    enum { AHEAD = 2 }; /* rows */
    for (int64_t i = 0; i < g->rows; i++) {
        const uint8_t *here = g->x + g->index[i] * g->n,
                      *next = g->x + g->index[i + AHEAD < g->rows ? i + AHEAD : i] * g->n;
        const uint8_t *soon = i < g->soon ? g->x + g->later[i] * g->n : NULL;
        gather_row(here, next, soon, g->out + i * g->n, g->n);
    }
}

const tp__move_kernels EXPORT_AS(move) = {
    .cast =
        {
            [TP_FLOAT32] = {copy_w32, f64_to_f32, i64_to_f32, u8_to_f32, u8_to_f32},
            [TP_FLOAT64] = {f32_to_f64, copy_w64, i64_to_f64, u8_to_f64, u8_to_f64},
            [TP_INT64] = {f32_to_i64, f64_to_i64, copy_w64, u8_to_i64, u8_to_i64},
            [TP_UINT8] = {f32_to_u8, f64_to_u8, i64_to_u8, copy_u8, copy_u8},
            [TP_BOOL] = {f32_to_bool, f64_to_bool, i64_to_bool, u8_to_bool, copy_u8},
        },
    .gather = gather_rows,
};
