/* loops.h -- what the files of loops, isa_*.c, have in common.
 *
 * Each is a family of kernels. It is compiled three times, with the compiler's flags for an ISA
 * level and its name as TP_ISA (cmake/flags.cmake), and leaves tables named after both:
 * EXPORT(reduce) may be tp__reduce_f32_v3. Within it the loops (*.inc) are included once per
 * dtype, each time after a dtype_*.h. Integers wrap (-fwrapv); floats are never contracted or
 * reordered. */
#ifndef TAPER_SRC_LOOPS_H
#define TAPER_SRC_LOOPS_H
#include "kernels/isa.h"
#include "kernels/simd.h"
#include <emmintrin.h>
#if defined __GNUC__ && !defined __clang__
#pragma GCC diagnostic ignored "-Wtype-limits" /* the rows of pointwise.def serve unsigned T too */
#define INDEPENDENT _Pragma("GCC ivdep") /* before a loop: its turns do not see others' stores */
#define ONE_BY_ONE _Pragma("GCC unroll 1")
#else
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define ONE_BY_ONE _Pragma("clang loop unroll(disable)")
#pragma clang diagnostic ignored "-Wtautological-compare"
#pragma clang diagnostic ignored "-Wtautological-overlap-compare"
#pragma clang diagnostic ignored "-Wtautological-type-limit-compare"
#endif

#define CAT_(a, b) a##_##b
#define CAT(a, b) CAT_(a, b)
#define FN(name) CAT(name, SUF)
#define EXPORT_AS(name) CAT(tp__##name, TP_ISA)
#define EXPORT(name) CAT(CAT(tp__##name, SUF), TP_ISA)
#define IS_NAN(x) ((x) != (x))

/* Reads every line, in order: a processor that sees a stream fetches what follows, and it sees none
 * where several rows of a page are read side by side. */
TP__INLINE void read_lines(const void *from, int64_t bytes) {
    const volatile char *const x = from;
    for (int64_t b = 0; b < bytes; b += 64) (void)x[b];
}

/* Whole lines from a buffer in the cache to where they are not read again soon. */
TP__INLINE void store_past_caches(void *to, const void *from, int bytes) {
    TP__UNROLL
    for (int b = 0; b < bytes; b += VECTOR_BYTES) {
        void *const at = (char *)to + b;
        const void *const line = (const char *)from + b;
#if TP_ISA_LEVEL >= 4
        _mm512_stream_si512(at, _mm512_load_si512(line));
#elif TP_ISA_LEVEL >= 3
        _mm256_stream_si256(at, _mm256_load_si256(line));
#else
        _mm_stream_si128(at, _mm_load_si128(line));
#endif
    }
}

enum { PAST_STREAMS = TP__PW_STREAMS(TP_ISA_LEVEL >= 4 ? TP__ISA_V4 : TP__ISA_BASE) };

/* A tp__pw_past of a tp__pw_loop that is inlined; FROM(operand, bytes to its next element). */
#define FROM(k, bytes) (char *)at[s].ptr[k] + i *(int64_t)(bytes)
#define PAST_CACHES(name, loop, OUT, ...)                                        \
    static void name(int64_t n, const tp__pw_place *at, double p_, double q_) {  \
        int streams = PAST_STREAMS; /* if told, compilers write two turns out */ \
        __asm__("" : "+r"(streams));                                             \
        for (int64_t i = 0; i < n; i += TP__PW_STEP) {                           \
            ONE_BY_ONE                                                           \
            for (int s = 0; s < streams; s++) {                                  \
                _Alignas(64) OUT data[TP__PW_STEP];                              \
                void *const here[TP__PW_ARGS] = {data, __VA_ARGS__};             \
                loop(TP__PW_STEP, here, p_, q_);                                 \
                store_past_caches(FROM(0, sizeof(OUT)), data, (int)sizeof data); \
            }                                                                    \
        }                                                                        \
    }

/* The same for two operands and a result of type T, of which the first or second operand (row: 1 or
 * 2) is read once for all streams, into registers, where all places are, too: compilers would think
 * that stores change `at`. Turns of two lines are fastest, but of four with AVX2's two streams. */
#define PAST_ROW(name, loop, T, row)                                                       \
    static void name(int64_t n, const tp__pw_place *at, double p_, double q_) {            \
        enum { TURN = TP_ISA_LEVEL == 3 ? TP__PW_STEP : 128 / (int)sizeof(T) };            \
        T *out[PAST_STREAMS], *other[PAST_STREAMS];                                        \
        TP__UNROLL                                                                         \
        for (int s = 0; s < PAST_STREAMS; s++)                                             \
            out[s] = at[s].ptr[0], other[s] = at[s].ptr[3 - (row)];                        \
        const T *const from = at[0].ptr[row];                                              \
        for (int64_t i = 0; i < n; i += TURN) {                                            \
            _Alignas(64) T once[TURN];                                                     \
            TP__UNROLL                                                                     \
            for (int b = 0; b < (int)sizeof once; b += VECTOR_BYTES)                       \
                store_f32((char *)once + b, load_f32((const char *)(from + i) + b));       \
            TP__UNROLL                                                                     \
            for (int s = 0; s < PAST_STREAMS; s++) {                                       \
                _Alignas(64) T data[TURN];                                                 \
                void *const here[TP__PW_ARGS] = {data, (row) == 1 ? once : other[s] + i,   \
                                                 (row) == 2 ? once : other[s] + i};        \
                loop(TURN, here, p_, q_);                                                  \
                store_past_caches(out[s] + i, data, (int)sizeof data);                     \
            }                                                                              \
        }                                                                                  \
    }

/* pointwise.inc: numbers after which those that are NaN are looked at. */
enum { MENDED = 256 };

/* lanes.inc. Rows are read in turns if they have so many elements, and all so many bytes. The sums
 * of two are as many as registers; with AVX2 the reading of four gains more than that costs. */
enum { SUM_LANES = 16, SUM_CHAINS = 4, STREAMS = TP_ISA_LEVEL == 3 ? 4 : 2 };
enum { LONG_ROW = 1024, FAR = 256 << 10 };

#endif
