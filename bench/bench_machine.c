/* bench_machine.c -- what the processor can do: the limits that other rows are compared with.
 *
 * Each is the shortest loop that keeps one resource busy: multiply-adds that depend on nothing,
 * vectors loaded and added, and jobs for the pool that contain no work. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <immintrin.h>

#include "base/base.h"

/* ---- arithmetic ------------------------------------------------------------------------------ */

enum { PEAK_LOOPS = 20000, CHAINS = 12, PEAK_TILES = 8 };
static float sink; /* so that nothing is optimised away; its value is never looked at */

#define DEFINE_PEAK(name, isa, V, ALL, FMA)                                                   \
    __attribute__((target(isa))) static float name(float seed) {                              \
        const V x = ALL(seed), y = ALL(seed + 0.25f);                                         \
        V a = x, b = y, c = x, d = y, e = x, f = y, g = x, h = y, i = x, j = y, k = x, l = y; \
        for (int n = 0; n < PEAK_LOOPS; n++) {                                                \
            a = FMA(a, x, y), b = FMA(b, x, y), c = FMA(c, x, y), d = FMA(d, x, y);           \
            e = FMA(e, x, y), f = FMA(f, x, y), g = FMA(g, x, y), h = FMA(h, x, y);           \
            i = FMA(i, x, y), j = FMA(j, x, y), k = FMA(k, x, y), l = FMA(l, x, y);           \
            __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f));      \
            __asm__ volatile("" : "+x"(g), "+x"(h), "+x"(i), "+x"(j), "+x"(k), "+x"(l));      \
        }                                                                                     \
        const V s = ((a + b) + (c + d)) + ((e + f) + (g + h)) + ((i + j) + (k + l));          \
        return s[0];                                                                          \
    }
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
DEFINE_PEAK(peak_base, "sse2", __m128, _mm_set1_ps, MULTIPLY_ADD)
DEFINE_PEAK(peak_v3, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps)
DEFINE_PEAK(peak_v4, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps)

static const struct level {
    float (*peak)(float seed);
    int lanes;
} levels[TP__ISA_COUNT] = {{peak_base, 4}, {peak_v3, 8}, {peak_v4, 16}};

double bench_peak_flop(void) {
    return 2.0 * PEAK_LOOPS * CHAINS * levels[tp__cpu_isa()].lanes;
}

void bench_peak(void *unused) {
    (void)unused;
    sink = levels[tp__cpu_isa()].peak(0.5f);
}

static void peak_tile(void *unused, int64_t tile) {
    (void)unused, (void)tile;
    volatile float result = levels[tp__cpu_isa()].peak(0.5f);
    (void)result;
}

void bench_peak_all(void *unused) {
    tp__parallel(PEAK_TILES * bench_threads(), peak_tile, unused);
}

double bench_peak_all_calls(void) {
    return PEAK_TILES * bench_threads();
}

/* ---- memory ---------------------------------------------------------------------------------- */

float *bench_floats(int64_t n) {
    float *x = tp__alloc((size_t)n * sizeof *x);
    if (!x) exit(tp_perror("bench"));
    memset(x, 0, (size_t)n * sizeof *x);
    return x;
}
void bench_drop_floats(const float *x, int64_t n) {
    tp__free((float *)(uintptr_t)x, (size_t)n * sizeof *x);
}

/* Lines of several streams in turns: memory gives more to them than to one, and eight sums wait for
 * none. */
enum { LINE = 16, SUMS = 8 };
#define DEFINE_READ(name, isa, V, STREAMS)                                                 \
    __attribute__((target(isa))) static void name(const bench_traffic *t) {                \
        enum { WIDTH = sizeof(V) / sizeof *t->x, STEP = STREAMS * LINE / WIDTH };          \
        const int64_t length = t->n / STREAMS / LINE * LINE;                               \
        const float *x = t->x;                                                             \
        V sum[SUMS] = {{0}};                                                               \
        for (const float *end = x + length; x < end; x += LINE) {                          \
            _Pragma("GCC unroll 24") for (int k = 0; k < STEP; k++) sum[k % SUMS] +=       \
                *(const V *)(x + k * WIDTH / LINE * length + k * WIDTH % LINE);            \
        }                                                                                  \
        for (int s = 1; s < SUMS; s++) sum[0] += sum[s];                                   \
        float all[WIDTH], total = 0;                                                       \
        memcpy(all, sum, sizeof all);                                                      \
        for (int i = 0; i < WIDTH; i++) total += all[i]; /* or the compiler drops lanes */ \
        volatile float result = total; /* not the sink: threads may read at once */        \
        (void)result;                                                                      \
    }
#define FLOATS(name, bytes) \
    typedef float name __attribute__((vector_size(bytes), aligned(4), may_alias))
FLOATS(floats_base, 16);
FLOATS(floats_v3, 32);
FLOATS(floats_v4, 64);
#define DEFINE_READS(level, isa)                        \
    DEFINE_READ(read_2_##level, isa, floats_##level, 2) \
    DEFINE_READ(read_4_##level, isa, floats_##level, 4) \
    DEFINE_READ(read_6_##level, isa, floats_##level, 6)
DEFINE_READS(base, "sse2")
DEFINE_READS(v3, "avx2")
DEFINE_READS(v4, "avx512f")

static const bench_loops reads[TP__ISA_COUNT] = {{read_2_base, read_4_base, read_6_base},
                                                 {read_2_v3, read_4_v3, read_6_v3},
                                                 {read_2_v4, read_4_v4, read_6_v4}};

/* How many streams are best differs between memories, and between memory and caches. */
bench_loop bench_fastest(const bench_loops loops, const bench_traffic *t) {
    enum { TIMES = 15 };
    double least[BENCH_LOOPS] = {1, 1, 1};
    int best = 0;
    for (int i = 0; i < TIMES; i++)
        for (int l = 0; l < BENCH_LOOPS; l++) {
            const double start = tp__os_now();
            loops[l](t);
            const double seconds = tp__os_now() - start;
            if (seconds < least[l]) least[l] = seconds;
        }
    for (int l = 1; l < BENCH_LOOPS; l++)
        if (least[l] < least[best]) best = l;
    return loops[best];
}

void bench_read(void *traffic) {
    enum { FAR = 4 << 20 }; /* caches hold fewer numbers */
    static bench_loop read[2];
    const bench_traffic *t = traffic;
    const bool far = t->n >= FAR;
    if (!read[far]) read[far] = bench_fastest(reads[tp__cpu_isa()], t);
    read[far](t);
}

/* Lines stored past the caches, which are then not read first: some of each stream in turn. */
enum { STEP = 4 * LINE };
#define DEFINE_COPY(name, isa, V, LOAD, STREAM, STREAMS)                                    \
    __attribute__((target(isa))) static void name(const bench_traffic *t) {                 \
        const float *x = t->x;                                                              \
        float *y = t->y;                                                                    \
        const int64_t n = t->n, length = n / STREAMS / STEP * STEP, all = STREAMS * length; \
        const int64_t width = (int)(sizeof(V) / sizeof *x);                                 \
        for (int64_t i = 0; i < length; i += STEP)                                          \
            for (int s = 0; s < STREAMS; s++)                                               \
                for (int64_t j = s * length + i, end = j + STEP; j < end; j += width)       \
                    STREAM((void *)(y + j), LOAD((const void *)(x + j)));                   \
        memcpy(y + all, x + all, (size_t)(n - all) * sizeof *x);                            \
        _mm_sfence();                                                                       \
    }
#define DEFINE_COPIES(level, isa, V, LOAD, STREAM)       \
    DEFINE_COPY(copy_1_##level, isa, V, LOAD, STREAM, 1) \
    DEFINE_COPY(copy_2_##level, isa, V, LOAD, STREAM, 2) \
    DEFINE_COPY(copy_4_##level, isa, V, LOAD, STREAM, 4)
DEFINE_COPIES(base, "sse2", __m128i, _mm_loadu_si128, _mm_stream_si128)
DEFINE_COPIES(v3, "avx2", __m256i, _mm256_loadu_si256, _mm256_stream_si256)
DEFINE_COPIES(v4, "avx512f", __m512i, _mm512_loadu_si512, _mm512_stream_si512)

void bench_copy(void *traffic) {
    static const bench_loops copies[TP__ISA_COUNT] = {{copy_1_base, copy_2_base, copy_4_base},
                                                      {copy_1_v3, copy_2_v3, copy_4_v3},
                                                      {copy_1_v4, copy_2_v4, copy_4_v4}};
    static bench_loop best;
    if (!best) best = bench_fastest(copies[tp__cpu_isa()], traffic);
    best(traffic);
}

static void memory_copy(void *traffic) {
    const bench_traffic *t = traffic;
    memcpy(t->y, t->x, (size_t)t->n * sizeof *t->y);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void empty_tile(void *unused, int64_t tile) {
    (void)unused, (void)tile;
}

static void empty_job(void *unused) {
    tp__parallel(bench_threads(), empty_tile, unused);
}

/* Nanoseconds (median) until a job returns whose workers slept before it. */
static double job_after_sleep(void) {
    enum { TIMES = 201 };
    double t[TIMES];
    for (int i = 0; i < TIMES; i++) {
        const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        const double start = tp__os_now();
        empty_job(NULL);
        t[i] = tp__os_now() - start;
    }
    return bench_median(t, TIMES) * 1e9;
}

/* Nanoseconds until a sleeping worker has begun its first tile: each tile waits for the other. */
typedef struct meeting {
    atomic_int here;
} meeting;
static void meet(void *ctx, int64_t tile) {
    (void)tile;
    meeting *m = ctx;
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < 2) tp__cpu_pause();
}

static double wake_up(bool asleep) {
    enum { TIMES = 201 };
    double t[TIMES];
    for (int i = 0; i < TIMES; i++) {
        const struct timespec pause = {0, 1000000};
        if (asleep) nanosleep(&pause, NULL);
        meeting m = {0};
        if (tp_set_num_threads(bench_threads()))
            exit(tp_perror("bench")); /* none is done without */
        const double start = tp__os_now();
        tp__parallel(2, meet, &m);
        t[i] = tp__os_now() - start;
    }
    return bench_median(t, TIMES) * 1e9;
}

static void bench_pool(void) {
    const int n = bench_threads();
    bench_row job = {.group = "machine",
                     .name = "job of one empty tile a thread",
                     .threads = n,
                     .unit = "ns",
                     .per_call = true,
                     .work = 1e9};
    bench_add(&job, BENCH_OURS, "taper", empty_job, NULL);
    bench_run(&job);
    if (n < 2) return;
    bench_note("machine", "the same, workers asleep before", n, job_after_sleep(), "ns");
    bench_note("machine", "until a worker that spins takes part", n, wake_up(false), "ns");
    bench_note("machine", "until a worker that sleeps takes part", n, wake_up(true), "ns");
}

/* ---- */

void bench_machine(void) {
    if (!bench_wants("machine")) return;
    bench_row peak = {.group = "machine",
                      .name = "float32 multiply-add peak",
                      .threads = 1,
                      .unit = "GFLOP/s",
                      .work = bench_peak_flop() * 1e-9};
    bench_add(&peak, BENCH_OURS, "peak", bench_peak, NULL);
    bench_run(&peak);
    peak.threads = bench_threads();
    peak.work *= PEAK_TILES * peak.threads;
    peak.contender[0].fn = bench_peak_all;
    if (peak.threads > 1) bench_run(&peak);

    const int64_t n = 16 << 20; /* 64 MiB each */
    bench_traffic t = {.n = n, .x = bench_floats(n), .y = bench_floats(n)};
    bench_row read = {.group = "machine",
                      .name = "read 64 MiB",
                      .threads = 1,
                      .unit = "GB/s",
                      .work = (double)n * 4e-9};
    bench_add(&read, BENCH_OURS, "read", bench_read, &t);
    bench_run(&read);
    bench_row copy = {.group = "machine",
                      .name = "copy 64 MiB (read + write)",
                      .threads = 1,
                      .unit = "GB/s",
                      .work = (double)n * 8e-9};
    bench_add(&copy, BENCH_OURS, "copy", bench_copy, &t);
    bench_add(&copy, BENCH_LIMIT, "memcpy", memory_copy, &t);
    bench_run(&copy);
    bench_drop_floats(t.x, n);
    bench_drop_floats(t.y, n);
    bench_pool();
}
