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
    STREAMS = TP__PW_MOST_STREAMS,
    STEP = TP__PW_STEP,
    LINE = 64
};

typedef tp__pw_place place;

/* A block whose rows were merged where possible. */
typedef struct job {
    const tp__pw_kernel *k;
    int64_t m, n;
    char *ptr[TP__PW_ARGS];
    int64_t row[TP__PW_ARGS], col[TP__PW_ARGS];
    double p, q;
    bool large;  /* and no operand is in the place of the result */
    int streams; /* then: TP__PW_STREAMS */
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
    j->k->all.loop(TP__PW_PAD, at, j->p, j->q);
    memcpy(ptr[0], data[0], (size_t)n * j->k->size[0]);
}

static void run_dense(const job *j, int64_t n, void *const *ptr) {
    if (!j->k->padded) {
        j->k->all.loop(n, ptr, j->p, j->q);
        return;
    }
    const int64_t whole = n / TP__PW_PAD * TP__PW_PAD;
    if (whole) j->k->all.loop(whole, ptr, j->p, j->q);
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

/* ---- long rows ------------------------------------------------------------------------------- */

static place at(const job *j, int64_t i, int64_t c) {
    place p = {{0}};
    for (int k = 0; k < TP__PW_ARGS; k++)
        if (j->k->size[k]) p.ptr[k] = j->ptr[k] + i * j->row[k] + c * j->col[k];
    return p;
}

static void advance(const job *j, int64_t n, place *p) {
    for (int k = 0; k < TP__PW_ARGS; k++)
        if (j->k->size[k]) p->ptr[k] = (char *)p->ptr[k] + n * j->col[k];
}

/* n elements as they are: with all operands dense or, if that is not what `l` is, with a number. */
static void run_here(const job *j, const tp__pw_loops *l, int64_t n, place *p) {
    if (n <= 0) return;
    if (l == &j->k->all)
        run_dense(j, n, p->ptr);
    else
        l->loop(n, p->ptr, j->p, j->q);
    advance(j, n, p);
}

/* As tp__pw_past, with any loop. A store that misses the caches reads its line first, unless it
 * goes past them: so results are collected in a buffer and leave it in whole lines. */
static void run_past_caches(const job *j, tp__pw_loop loop, int64_t n, const place *p) {
    _Alignas(LINE) char data[STEP * MAX_SIZE];
    const int bytes = STEP * j->k->size[0];
    for (int64_t i = 0; i < n; i += STEP)
        for (int s = 0; s < j->streams; s++) {
            place here = p[s];
            advance(j, i, &here);
            char *const out = here.ptr[0];
            here.ptr[0] = data;
            loop(STEP, here.ptr, j->p, j->q);
            for (int b = 0; b < bytes; b += (int)sizeof(__m128i))
                _mm_stream_si128((__m128i *)(out + b), *(const __m128i *)(data + b));
        }
}

/* n elements from each of some places on, in turns: memory gives more to a few long streams than
 * to one. */
static void run_streams(const job *j, const tp__pw_loops *l, int64_t n, place *p) {
    int64_t head[STREAMS], most = 0; /* elements before the first whole line */
    for (int s = 0; s < j->streams; s++) {
        head[s] = (int64_t)(-(uintptr_t)p[s].ptr[0] % LINE) / j->k->size[0];
        if (head[s] > most) most = head[s];
        run_here(j, l, head[s] < n ? head[s] : n, &p[s]);
    }
    const int64_t steps = n > most ? (n - most) / STEP * STEP : 0;
    if (l->past)
        l->past(steps, p, j->p, j->q);
    else
        run_past_caches(j, l->loop, steps, p);
    for (int s = 0; s < j->streams; s++) {
        advance(j, steps, &p[s]);
        run_here(j, l, n - steps - head[s], &p[s]);
    }
}

/* Rows from each of some places on. Those whose results are whole lines, as they mostly are, have
 * nothing before or behind these that would have to be looked after. */
static void run_stream_rows(const job *j, const tp__pw_loops *l, int64_t rows, place *p) {
    const bool whole =
        l->past && j->n % STEP == 0 && ((uintptr_t)j->ptr[0] | (uintptr_t)j->row[0]) % LINE == 0;
    tp__pw_past past = l->past;
    for (int k = 1; l->past_row && k <= 2; k++)
        if (j->row[k] == 0 && l->past_row[k - 1]) past = l->past_row[k - 1];
    for (; rows > 0; rows--) {
        place here[STREAMS];
        memcpy(here, p, (size_t)j->streams * sizeof *p);
        if (whole)
            past(j->n, here, j->p, j->q);
        else
            run_streams(j, l, j->n, here);
        for (int s = 0; s < j->streams; s++)
            for (int k = 0; k < TP__PW_ARGS; k++)
                if (j->k->size[k]) p[s].ptr[k] = (char *)p[s].ptr[k] + j->row[k];
    }
}

/* A result larger than caches: its rows in as many parts as there are streams, or the parts of one
 * row. */
static void run_large(const job *j, const tp__pw_loops *l) {
    place p[STREAMS];
    const int streams = j->streams;
    const int64_t rows = j->m / streams, part = j->n / streams / STEP * STEP;
    for (int s = 0; s < streams; s++) p[s] = at(j, s * rows, 0);
    run_stream_rows(j, l, rows, p);
    for (int64_t i = rows * streams; i < j->m; i++) {
        for (int s = 0; s < streams; s++) p[s] = at(j, i, s * part);
        run_streams(j, l, part, p);
        p[0] = at(j, i, streams * part);
        run_here(j, l, j->n - streams * part, &p[0]);
    }
    _mm_sfence(); /* before another thread is told that it is there */
}

/* A row common to all rows is repeated in a buffer, and so many rows are run as one: until they are
 * LEAST_STEPS steps, and a multiple of STEP if that fits. */
enum { ROW_BYTES = 32 << 10, LEAST_STEPS = 32 };

/* The operand that is such a row, if all others are dense across rows; 0: none. */
static int common_row(const job *j) {
    int common = 0;
    for (int k = 0; k < TP__PW_ARGS; k++) {
        const int64_t size = j->k->size[k];
        if (!size || (j->row[k] == j->n * size && j->col[k] == size)) continue;
        if (common || k == 0 || j->row[k] || j->col[k] != size) return 0;
        common = k;
    }
    return common;
}

/* How many rows are to be one; 1: none. */
static int64_t rows_in_one(const job *j, int common) {
    if (!common || (j->n >= SHORT_ROW && j->n % STEP == 0)) return 1;
    const int64_t most = ROW_BYTES / (j->n * j->k->size[common]);
    int64_t whole = 1; /* rows that are whole steps: a power of two, as STEP is one */
    while (whole * j->n % STEP) whole *= 2;
    const int64_t least = whole <= most ? whole : 1;
    int64_t rows = least;
    while (rows * 2 <= most && rows * j->n < LEAST_STEPS * STEP) rows *= 2;
    return rows <= j->m ? rows : 1;
}

TP__APART static void run_large_rows(const job *j, const tp__pw_loops *l) {
    const int common = common_row(j);
    const int64_t rows = rows_in_one(j, common), whole = j->m / rows * rows;
    if (rows == 1) {
        run_large(j, l);
        return;
    }
    _Alignas(LINE) char data[ROW_BYTES];
    const int size = j->k->size[common];
    pack(data, j->ptr[common], size, rows, j->n, 0, size);
    job one = *j, rest = *j;
    one.m = j->m / rows;
    one.n = rows * j->n;
    one.ptr[common] = data;
    rest.m -= whole;
    for (int k = 0; k < TP__PW_ARGS; k++) {
        if (!j->k->size[k]) continue;
        one.row[k] *= rows;
        rest.ptr[k] += whole * j->row[k];
    }
    run_large(&one, l);
    if (rest.m) run_large(&rest, l);
}

/* Rows that one of the kernel's loops takes as they are. */
static void run_rows(const job *j, const tp__pw_loops *l) {
    for (int64_t i = 0; i < j->m; i++) {
        place p = at(j, i, 0);
        run_here(j, l, j->n, &p);
    }
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
    if (j.large) j.streams = TP__PW_STREAMS(tp__kernels_isa());
    return j;
}

/* Those that take the operands as they lie along a row, or NULL. */
static const tp__pw_loops *loops_for(const job *j) {
    int sparse = 0, last = 0; /* operands that are not dense, and the last of them */
    for (int k = 0; k < TP__PW_ARGS; k++)
        if (j->col[k] != j->k->size[k]) sparse++, last = k;
    if (sparse == 0) return &j->k->all;
    if (sparse > 1 || j->col[last]) return NULL;
    const tp__pw_loops *one = last == 1 ? &j->k->one_a : last == 2 ? &j->k->one_b : NULL;
    return one && one->loop ? one : NULL;
}

TP__APART static void drive_any(const tp__pw_kernel *kernel, const tp__pw_block *b) {
    if (b->m <= 0 || b->n <= 0) return;
    const job j = merge_rows(kernel, b);
    const tp__pw_loops *l = loops_for(&j);
    if (j.m > 1 && j.n < SHORT_ROW && !(j.large && l && rows_in_one(&j, common_row(&j)) > 1))
        run_short_rows(&j);
    else if (l)
        (j.large ? run_large_rows : run_rows)(&j, l);
    else
        run_pieces(&j);
}

/* Most small tensors are one dense run: no time for the rest. */
void tp__pw_drive(const tp__pw_kernel *kernel, const tp__pw_block *b) {
    if (TP__LIKELY(b->dense && !(kernel->padded && b->n % TP__PW_PAD)))
        kernel->all.loop(b->n, b->ptr, b->p, b->q);
    else
        drive_any(kernel, b);
}
