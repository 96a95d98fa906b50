/* pointwise.c -- from a block with any strides to the dense loops of pointwise.inc.
 *
 * The loops want dense operands. Whatever is not dense (repeated, strided) is packed piece by
 * piece into a buffer that stays in the first-level cache; a piece that repeats is packed once.
 * So a loop exists once per op and dtype, and every element goes through the same arithmetic
 * wherever it lies. */
#include "kernels/isa.h"
#include <emmintrin.h>
#include <string.h>

enum {
    PIECE = 512,     /* elements of a packed piece */
    SHORT_ROW = 128, /* rows below this are packed several at a time */
    MAX_SIZE = 8,    /* bytes of an element */
    STREAMED = 128,  /* at a time of a result that is written past the caches ... */
    SOON = 768,      /* ... and how far ahead of them operands are fetched */
    LINE = 64
};

/* A block whose rows were merged where possible. */
typedef struct job {
    const tp__pw_kernel *k;
    int64_t m, n;
    char *ptr[TP__PW_ARGS];
    int64_t row[TP__PW_ARGS], col[TP__PW_ARGS];
    double p, q;
    bool large; /* and no operand is in the place of the result */
} job;

/* One packed piece per operand, and where it came from. */
typedef struct pieces {
    _Alignas(64) char data[TP__PW_ARGS][PIECE * MAX_SIZE];
    const char *from[TP__PW_ARGS];
    int64_t count[TP__PW_ARGS];
} pieces;

/* ---- packing --------------------------------------------------------------------------------- */

#define DEFINE_PACK(T, name)                                                                     \
    static void pack_##name(T *restrict dst, const char *src, int64_t m, int64_t n, int64_t row, \
                            int64_t col) {                                                       \
        for (int64_t i = 0; i < m; i++, dst += n, src += row) {                                  \
            const T *s = (const T *)src;                                                         \
            if (col == 0)                                                                        \
                for (int64_t j = 0; j < n; j++) dst[j] = *s;                                     \
            else if (col == sizeof(T))                                                           \
                for (int64_t j = 0; j < n; j++) dst[j] = s[j];                                   \
            else                                                                                 \
                for (int64_t j = 0; j < n; j++) dst[j] = *(const T *)(src + j * col);            \
        }                                                                                        \
    }                                                                                            \
    static void unpack_##name(char *dst, const T *src, int64_t m, int64_t n, int64_t row,        \
                              int64_t col) {                                                     \
        for (int64_t i = 0; i < m; i++, src += n, dst += row)                                    \
            for (int64_t j = 0; j < n; j++) *(T *)(dst + j * col) = src[j];                      \
    }
DEFINE_PACK(uint8_t, 1)
DEFINE_PACK(uint32_t, 4)
DEFINE_PACK(uint64_t, 8)

static void pack(void *dst, const char *src, int size, int64_t m, int64_t n, int64_t row,
                 int64_t col) {
    if (size == 4)
        pack_4(dst, src, m, n, row, col);
    else if (size == 8)
        pack_8(dst, src, m, n, row, col);
    else
        pack_1(dst, src, m, n, row, col);
}

static void unpack(char *dst, const void *src, int size, int64_t m, int64_t n, int64_t row,
                   int64_t col) {
    if (size == 4)
        unpack_4(dst, src, m, n, row, col);
    else if (size == 8)
        unpack_8(dst, src, m, n, row, col);
    else
        unpack_1(dst, src, m, n, row, col);
}

/* ---- dense operands -------------------------------------------------------------------------- */

/* Fewer elements than a padded loop wants: through buffers of its size. */
static void run_padded_tail(const job *j, int64_t n, void *const *ptr) {
    _Alignas(64) char data[TP__PW_ARGS][TP__PW_PAD * MAX_SIZE] = {{0}};
    void *at[TP__PW_ARGS];
    for (int k = 0; k < TP__PW_ARGS; k++) {
        at[k] = data[k];
        if (k > 0 && j->k->size[k]) memcpy(data[k], ptr[k], (size_t)n * j->k->size[k]);
    }
    j->k->loop(TP__PW_PAD, at, j->p, j->q);
    memcpy(ptr[0], data[0], (size_t)n * j->k->size[0]);
}

static void run_dense(const job *j, int64_t n, void *const *ptr) {
    if (!j->k->padded) {
        j->k->loop(n, ptr, j->p, j->q);
        return;
    }
    const int64_t whole = n / TP__PW_PAD * TP__PW_PAD;
    if (whole) j->k->loop(whole, ptr, j->p, j->q);
    if (whole == n) return;
    void *rest[TP__PW_ARGS] = {0};
    for (int k = 0; k < TP__PW_ARGS; k++)
        if (j->k->size[k]) rest[k] = (char *)ptr[k] + whole * j->k->size[k];
    run_padded_tail(j, n - whole, rest);
}

/* ---- any operands ---------------------------------------------------------------------------- */

/* m rows by n columns from row i and column c on; m * n <= PIECE. */
static void run_piece(const job *j, pieces *s, int64_t i, int64_t c, int64_t m, int64_t n) {
    void *at[TP__PW_ARGS] = {0};
    char *out = NULL;
    for (int k = 0; k < TP__PW_ARGS; k++) {
        const int size = j->k->size[k];
        if (!size) continue;
        char *p = j->ptr[k] + i * j->row[k] + c * j->col[k];
        if (j->col[k] == size && (m == 1 || j->row[k] == n * size)) {
            at[k] = p;
            continue;
        }
        at[k] = s->data[k];
        if (k == 0) {
            out = p;
            continue;
        }
        const bool repeats = m == 1 || j->row[k] == 0;
        if (repeats && s->from[k] == p && s->count[k] >= m * n) continue;
        pack(s->data[k], p, size, m, n, j->row[k], j->col[k]);
        s->from[k] = p;
        s->count[k] = repeats ? m * n : 0;
    }
    run_dense(j, m * n, at);
    if (out) unpack(out, at[0], j->k->size[0], m, n, j->row[0], j->col[0]);
}

/* Short rows: as many at a time as a piece holds. */
static void run_short_rows(const job *j) {
    pieces s;
    memset(s.from, 0, sizeof s.from);
    const int64_t step = PIECE / j->n;
    for (int64_t i = 0; i < j->m; i += step)
        run_piece(j, &s, i, 0, j->m - i < step ? j->m - i : step, j->n);
}

/* Long rows, a piece at a time. Column by column of pieces, so that the cache lines which a strided
 * operand touches serve several rows. */
static void run_pieces(const job *j) {
    pieces s;
    memset(s.from, 0, sizeof s.from);
    for (int64_t c = 0; c < j->n; c += PIECE)
        for (int64_t i = 0; i < j->m; i++)
            run_piece(j, &s, i, c, 1, j->n - c < PIECE ? j->n - c : PIECE);
}

/* ---- results larger than caches -------------------------------------------------------------- */

/* A piece of an operand's row that will be wanted soon, if it was not there for the row before. */
static void fetch(const job *j, int k, const char *p) {
    if (j->m > 1 && j->row[k] == 0) return;
    for (int64_t b = 0; b < STREAMED * j->col[k]; b += LINE)
        __builtin_prefetch(p + SOON * j->col[k] + b);
}

/* A store that misses the caches reads its line first, unless it goes past them: so results are
 * collected in a buffer and leave it in whole lines. Returns how many elements did. */
static int64_t run_past_caches(const job *j, tp__pw_loop loop, int64_t n, void *const *ptr) {
    if ((uintptr_t)ptr[0] % LINE) return 0;
    _Alignas(LINE) char data[STREAMED * MAX_SIZE];
    const int size = j->k->size[0];
    int64_t i = 0;
    for (; i + STREAMED <= n; i += STREAMED) {
        void *at[TP__PW_ARGS] = {data};
        for (int k = 1; k < TP__PW_ARGS; k++) {
            if (!j->k->size[k]) continue;
            at[k] = (char *)ptr[k] + i * j->col[k];
            fetch(j, k, at[k]);
        }
        loop(STREAMED, at, j->p, j->q);
        char *out = (char *)ptr[0] + i * size;
        for (int b = 0; b < STREAMED * size; b += (int)sizeof(__m128i))
            _mm_stream_si128((__m128i *)(out + b), *(const __m128i *)(data + b));
    }
    return i;
}

/* Long rows that one of the kernel's loops takes as they are. */
static void run_rows(const job *j, tp__pw_loop loop) {
    for (int64_t i = 0; i < j->m; i++) {
        void *at[TP__PW_ARGS] = {0};
        for (int k = 0; k < TP__PW_ARGS; k++)
            if (j->k->size[k]) at[k] = j->ptr[k] + i * j->row[k];
        const int64_t done = j->large ? run_past_caches(j, loop ? loop : j->k->loop, j->n, at) : 0;
        for (int k = 0; done && k < TP__PW_ARGS; k++)
            if (j->k->size[k]) at[k] = (char *)at[k] + done * j->col[k];
        if (loop)
            loop(j->n - done, at, j->p, j->q);
        else
            run_dense(j, j->n - done, at);
    }
    if (j->large) _mm_sfence(); /* before another thread is told that it is there */
}

/* ---- the block ------------------------------------------------------------------------------- */

/* One row where all operands allow it. */
static job merge_rows(const tp__pw_kernel *kernel, const tp__pw_block *b) {
    job j = {.k = kernel, .m = b->m, .n = b->n, .p = b->p, .q = b->q, .large = b->large};
    bool one = true;
    for (int k = 0; k < TP__PW_ARGS; k++) {
        if (!kernel->size[k]) continue;
        j.ptr[k] = b->ptr[k];
        j.row[k] = b->row[k];
        j.col[k] = b->n == 1 ? b->row[k] : b->col[k];
        j.large &= k == 0 || b->ptr[k] != b->ptr[0];
        one = one && (b->m == 1 || b->n == 1 || b->row[k] == b->n * b->col[k]);
    }
    if (one && b->n == 1 && b->m == 1)
        for (int k = 0; k < TP__PW_ARGS; k++) j.col[k] = kernel->size[k];
    if (one) {
        j.n = b->m * b->n;
        j.m = 1;
    }
    return j;
}

TP__APART static void drive_any(const tp__pw_kernel *kernel, const tp__pw_block *b) {
    if (b->m <= 0 || b->n <= 0) return;
    const job j = merge_rows(kernel, b);
    int sparse = 0, last = 0; /* operands that are not dense along a row, and the last of them */
    for (int k = 0; k < TP__PW_ARGS; k++)
        if (j.col[k] != kernel->size[k]) sparse++, last = k;
    const tp__pw_loop one = sparse != 1 || j.col[last] ? NULL
                            : last == 1                ? kernel->one_a
                            : last == 2                ? kernel->one_b
                                                       : NULL;
    if (j.m > 1 && j.n < SHORT_ROW)
        run_short_rows(&j);
    else if (sparse == 0 || one)
        run_rows(&j, one);
    else
        run_pieces(&j);
}

/* Most small tensors are one dense run: no time for the rest. */
void tp__pw_drive(const tp__pw_kernel *kernel, const tp__pw_block *b) {
    if (TP__LIKELY(b->dense && !(kernel->padded && b->n % TP__PW_PAD)))
        kernel->loop(b->n, b->ptr, b->p, b->q);
    else
        drive_any(kernel, b);
}
