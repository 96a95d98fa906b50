/* rng.c -- random numbers that are PyTorch's: mt19937 and the recipes of its CPU generator.
 *
 * One object holds everything that decides the next number: 624 words, a position, and the second
 * normal of a pair. Whatever draws takes such an object, and NULL means the thread's default one,
 * which lives in the thread itself, so that asking for it cannot fail. */
#include "base/base.h"
#include <math.h>
#include <string.h>

enum { N = 624, M = 397, PIECE = 512 };
/* What torch.Generator() starts with; mt19937 uses the low 32 bits. */
static const uint64_t DEFAULT_SEED = 67280421310721;

struct tp_rng {
    uint32_t mt[N];
    uint32_t pos;    /* next word to hand out; N: make new ones first */
    bool has_normal; /* the second of a pair of normals is waiting */
    double normal;
};

static _Thread_local struct {
    tp_rng rng;
    bool seeded;
} own;

void tp_rng_seed(tp_rng *rng, uint64_t seed) {
    if (!rng) rng = &own.rng;
    if (rng == &own.rng) own.seeded = true;
    rng->mt[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < N; i++)
        rng->mt[i] = 1812433253u * (rng->mt[i - 1] ^ (rng->mt[i - 1] >> 30)) + i;
    rng->pos = N;
    rng->has_normal = false;
    rng->normal = 0;
}

tp_rng *tp_rng_default(void) {
    if (TP__UNLIKELY(!own.seeded)) tp_rng_seed(&own.rng, DEFAULT_SEED);
    return &own.rng;
}

void tp_manual_seed(uint64_t seed) {
    tp_rng_seed(&own.rng, seed);
}

void tp__rng_thread_end(void) {
    own.seeded = false;
}

tp_rng *tp_rng_new(uint64_t seed) {
    tp_rng *rng = tp__calloc(1, sizeof *rng);
    if (rng) tp_rng_seed(rng, seed);
    return rng;
}

void tp_rng_free(tp_rng *rng) {
    if (rng != &own.rng) tp__mfree(rng);
}

static tp_rng *or_default(tp_rng *rng) {
    return rng ? rng : tp_rng_default();
}

/* ---- the engine ------------------------------------------------------------------------------ */

static uint32_t twist(uint32_t high, uint32_t low, uint32_t far) {
    const uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ (y >> 1) ^ (0x9908b0dfu & -(low & 1u));
}

/* Each loop reads what an earlier turn wrote far behind, so several words can be made at once. */
static void refill(tp_rng *rng) {
    uint32_t *mt = rng->mt;
    for (int i = 0; i < N - M; i++) mt[i] = twist(mt[i], mt[i + 1], mt[i + M]);
    for (int i = N - M; i < N - 1; i++) mt[i] = twist(mt[i], mt[i + 1], mt[i + M - N]);
    mt[N - 1] = twist(mt[N - 1], mt[0], mt[M - 1]);
    rng->pos = 0;
}

static uint32_t temper(uint32_t y) {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static uint32_t draw(tp_rng *rng) {
    if (TP__UNLIKELY(rng->pos == N)) refill(rng);
    return temper(rng->mt[rng->pos++]);
}

/* The next n draws at once. */
static void draw_many(tp_rng *rng, uint32_t *restrict out, int64_t n) {
    while (n > 0) {
        if (rng->pos == N) refill(rng);
        const int64_t k = tp__least(n, N - rng->pos);
        const uint32_t *from = rng->mt + rng->pos;
        for (int64_t i = 0; i < k; i++) out[i] = temper(from[i]);
        rng->pos += (uint32_t)k;
        out += k;
        n -= k;
    }
}

static uint64_t draw64(tp_rng *rng) {
    const uint64_t high = draw(rng);
    return high << 32 | draw(rng);
}

/* 53 of 64 bits as a number in [0, 1). */
static double unit_of(uint64_t bits) {
    return (double)(int64_t)(bits & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}
static double unit(tp_rng *rng) {
    return unit_of(draw64(rng));
}

uint32_t tp_rng_u32(tp_rng *rng) {
    return draw(or_default(rng));
}
uint64_t tp_rng_u64(tp_rng *rng) {
    return draw64(or_default(rng));
}
double tp_rng_double(tp_rng *rng) {
    return unit(or_default(rng));
}

/* ---- torch's recipes ------------------------------------------------------------------------- */

void tp__rng_words(tp_rng *rng, uint32_t *out, int64_t n) {
    draw_many(or_default(rng), out, n);
}

/* fma(u, 1, 0) is u. */
static void units_f32(const uint32_t *w, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(int32_t)(w[i] & 0xffffff) * 0x1p-24f;
}
void tp__rng_uniform_f32(tp_rng *rng, float *out, int64_t n, double a, double b) {
    rng = or_default(rng);
    const float low = (float)a, width = (float)b - low;
    uint32_t w[PIECE];
    for (int64_t k; n > 0; out += k, n -= k) {
        k = tp__least(n, PIECE);
        draw_many(rng, w, k);
        units_f32(w, out, k);
        if (low == 0 && width == 1) continue;
        for (int64_t i = 0; i < k; i++) out[i] = fmaf(out[i], width, low);
    }
}

static void units_f64(const uint32_t *w, double *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = unit_of((uint64_t)w[2 * i] << 32 | w[2 * i + 1]);
}
void tp__rng_uniform_f64(tp_rng *rng, double *out, int64_t n, double a, double b) {
    rng = or_default(rng);
    const double width = b - a;
    uint32_t w[PIECE];
    for (int64_t k; n > 0; out += k, n -= k) {
        k = tp__least(n, PIECE / 2);
        draw_many(rng, w, 2 * k);
        units_f64(w, out, k);
        if (a == 0 && width == 1) continue;
        for (int64_t i = 0; i < k; i++) out[i] = fma(out[i], width, a);
    }
}

/* Box and Muller's pair, one number at a time, in double with libm. log(1 - u) is what the compared
 * torch computes; log1p(-u), in its later versions, differs in the last bit, far below a float. */
double tp__rng_normal(tp_rng *rng) {
    rng = or_default(rng);
    if (rng->has_normal) {
        rng->has_normal = false;
        return rng->normal;
    }
    const double u1 = unit(rng), u2 = unit(rng);
    const double r = sqrt(-2 * log(1 - u2)), theta = 2 * 3.14159265358979323846 * u1;
    rng->normal = r * sin(theta);
    rng->has_normal = true;
    return r * cos(theta);
}

/* From 2^32 / 20 numbers on, a remainder of 32 bits would be visibly uneven. */
static bool is_wide(int64_t n) {
    return n >= (int64_t)(UINT32_MAX / 20);
}
void tp_rng_permutation(tp_rng *rng, int64_t n, int64_t *order) {
    rng = or_default(rng);
    const bool wide = is_wide(n);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = 0; i < n - 1; i++) {
        const int64_t left = n - i;
        const int64_t z =
            i + (int64_t)(wide ? draw64(rng) % (uint64_t)left : draw(rng) % (uint32_t)left);
        const int64_t saved = order[i];
        order[i] = order[z];
        order[z] = saved;
    }
}

/* ---- state ----------------------------------------------------------------------------------- */

void tp__rng_get_words(const tp_rng *rng, uint32_t w[TP__RNG_WORDS]) {
    if (!rng) rng = tp_rng_default();
    memcpy(w, rng->mt, sizeof rng->mt);
    w[N] = rng->pos;
    w[N + 1] = rng->has_normal;
    memcpy(w + N + 2, &rng->normal, sizeof rng->normal);
}

bool tp__rng_set_words(tp_rng *rng, const uint32_t w[TP__RNG_WORDS]) {
    double normal;
    memcpy(&normal, w + N + 2, sizeof normal);
    /* mt19937's 19937 bits are the top one of the first word and all others: never all zero. */
    uint32_t any = w[0] & 0x80000000u;
    for (int i = 1; i < N; i++) any |= w[i];
    if (!any || w[N] > N || w[N + 1] > 1 || !isfinite(normal)) return false;
    rng = or_default(rng);
    memcpy(rng->mt, w, sizeof rng->mt);
    rng->pos = w[N];
    rng->has_normal = w[N + 1];
    rng->normal = normal;
    return true;
}
