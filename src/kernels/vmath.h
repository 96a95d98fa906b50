/* vmath.h -- exp, log, sin and their kin for float, in plain C that a compiler turns into
 * vectors.
 *
 * The one idea: no branch, no call and nothing that depends on the vector length or the ISA
 * level, so an element gets the same bits everywhere, in every place of an array. All are good
 * to 2 ulp at worst (tests/test_vmath.c has the figures) over all floats, denormals included
 * where they are not flushed. Polynomials are minimax fits with coefficients rounded one after the
 * other, lowest power first. */
#ifndef TAPER_SRC_VMATH_H
#define TAPER_SRC_VMATH_H
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* ---- bits ------------------------------------------------------------------------------------ */

static inline uint32_t vm_bits_f32(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float vm_from_f32(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint64_t vm_bits_f64(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline double vm_from_f64(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* a b + c, rounded once. Without the instruction: the product is exact in double, the sum is
 * rounded to odd (towards the neighbour with an odd last bit where it is inexact), and so the
 * rounding to float, 29 bits shorter, comes out as if it had seen all bits. */
static inline float vm_fma_f32(float a, float b, float c) {
#if defined __FMA__ || defined __FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    const double p = (double)a * b, s = p + c, t = s - p, lost = (p - (s - t)) + (c - t);
    const uint64_t u = vm_bits_f64(s), odd = (u - ((u ^ vm_bits_f64(lost)) >> 63)) | 1;
    return (float)vm_from_f64(((lost < 0.0) | (lost > 0.0)) ? odd : u);
#endif
}

/* 2^k for a normal result. */
static inline float vm_pow2_f32(int32_t k) {
    return vm_from_f32((uint32_t)(k + 127) << 23);
}

static inline double vm_pow2_f64(int64_t k) {
    return vm_from_f64((uint64_t)(k + 1023) << 52);
}

/* Adding and subtracting 1.5 2^23 rounds a small float to an integer, whose low bits then lie
 * bare. */
static const float VM_ROUND_F32 = 0x1.8p23f;
static const double VM_ROUND_F64 = 0x1.8p52;

/* Nearest integer of any float, ties to even; large ones, Inf and NaN as they are. */
static inline float vm_rint_f32(float x) {
    const float a = fabsf(x), r = (a + 0x1p23f) - 0x1p23f;
    return a < 0x1p23f ? copysignf(r, x) : x;
}

static inline double vm_rint_f64(double x) {
    const double a = fabs(x), r = (a + 0x1p52) - 0x1p52;
    return a < 0x1p52 ? copysign(r, x) : x;
}

/* ---- exp ------------------------------------------------------------------------------------- */

/* max(x, low) for low < 0 and min(x, high) for high > 0, as integers: the bits of a float grow
 * with its size. A NaN gives either number. (Written with floats, compilers fold the bound into
 * all that follows and leave the vectors with two versions of it.) */
static inline float vm_at_least_f32(float x, float low) {
    const uint32_t u = vm_bits_f32(x), v = vm_bits_f32(low);
    return vm_from_f32(u < v ? u : v);
}

static inline float vm_at_most_f32(float x, float high) {
    const int32_t u = (int32_t)vm_bits_f32(x), v = (int32_t)vm_bits_f32(high);
    return vm_from_f32((uint32_t)(u < v ? u : v));
}

static const uint32_t VM_ONE_F32 = 0x3f800000u; /* the bits of 1 */

/* x = k ln 2 + r, |r| <= ln 2 / 2; *k is k where a float has its exponent. */
static inline float vm_reduce_exp_f32(float x, uint32_t *k) {
    const float t = vm_fma_f32(x, 0x1.715476p+0f, VM_ROUND_F32), n = t - VM_ROUND_F32;
    *k = vm_bits_f32(t) << 23;
    return vm_fma_f32(n, 0x1.05c610p-29f, vm_fma_f32(n, -0x1.62e430p-1f, x));
}

/* (e^r - 1 - r) / r^2 */
static inline float vm_exp_tail_f32(float r) {
    float q = 0x1.6a5550p-10f;
    q = vm_fma_f32(q, r, 0x1.123ae4p-7f);
    q = vm_fma_f32(q, r, 0x1.5558a8p-5f);
    q = vm_fma_f32(q, r, 0x1.555490p-3f);
    return vm_fma_f32(q, r, 0x1.fffffcp-2f);
}

/* e^x for -104 <= x <= 88.72283. Where the result may be denormal its exponent is 64 too high at
 * first, so that only the last product rounds. */
static inline float vm_exp_core_f32(float x) {
    uint32_t k;
    const float r = vm_reduce_exp_f32(x, &k), e = vm_fma_f32(vm_exp_tail_f32(r), r, 1.0f);
    const float y = vm_fma_f32(e, r, 1.0f);
    const uint32_t lift = (0u - (uint32_t)(x < -87.0f)) & 64u << 23;
    return vm_from_f32(vm_bits_f32(y) + k + lift) * vm_from_f32(VM_ONE_F32 - lift);
}

static inline float vm_exp_f32(float x) {
    const float y = vm_exp_core_f32(vm_at_least_f32(x, -104.0f));
    return x <= 0x1.62e42ep6f ? y : x + INFINITY; /* a NaN stays one */
}

/* (2^k - 1) + 2^k (e^r - 1), halved meanwhile lest 2^128 overflow. */
static inline float vm_expm1_f32(float x) {
    uint32_t k;
    const float r = vm_reduce_exp_f32(vm_at_most_f32(vm_at_least_f32(x, -18.0f), 89.0f), &k);
    const float p = vm_fma_f32(vm_exp_tail_f32(r) * r, r, r);
    const float h = vm_from_f32(VM_ONE_F32 - (1u << 23) + k), y = vm_fma_f32(h, p, h - 0.5f) * 2.0f;
    const float w = k == 0 ? p : y;
    return x != 0.0f && x == x ? w : x;
}

/* 1 / (1 + e^-x), e^-x = 2^k + 2^k (e^r - 1), above and below times 2^-64, so that the quotient
 * alone rounds a denormal result. The larger of 1 and 2^k comes last: so no bits of 1 are lost
 * for x < 0, and 1 + e^-x is rounded as torch rounds it for x > 0, which a training run follows
 * to the fifth digit of its losses. */
static inline float vm_sigmoid_f32(float x) {
    const float c = vm_at_most_f32(vm_at_least_f32(x, -104.0f), 40.0f);
    uint32_t k;
    const float r = vm_reduce_exp_f32(-c, &k), p = vm_fma_f32(r * r, vm_exp_tail_f32(r), r);
    const uint32_t one = VM_ONE_F32 - (64u << 23), h = one + k;
    const float d = vm_fma_f32(vm_from_f32(h), p, vm_from_f32(h < one ? h : one));
    const float y = 0x1p-64f / (d + vm_from_f32(h < one ? one : h));
    return x == x ? y : x;
}

/* Near 0 x + x^3 P(x^2), else 1 - 2 / (e^2x + 1). */
static inline float vm_tanh_f32(float x) {
    const float a = fabsf(x), z = a * a;
    float p = -0x1.769376p-8f;
    p = vm_fma_f32(p, z, 0x1.5250c6p-6f);
    p = vm_fma_f32(p, z, -0x1.b84332p-5f);
    p = vm_fma_f32(p, z, 0x1.110760p-3f);
    p = vm_fma_f32(p, z, -0x1.555534p-2f);
    const float small = vm_fma_f32(a * z, p, a), c = vm_at_most_f32(a, 10.0f);
    uint32_t k;
    const float r = vm_reduce_exp_f32(c + c, &k), e = vm_fma_f32(r * r, vm_exp_tail_f32(r), r);
    const float h = vm_from_f32(VM_ONE_F32 + k), large = 1.0f - 2.0f / vm_fma_f32(h, e, h + 1.0f);
    const float y = copysignf(a < 0.625f ? small : large, x);
    return x == x ? y : x;
}

/* ---- log ------------------------------------------------------------------------------------- */

/* x = 2^k m, sqrt 1/2 <= m < sqrt 2, for x > 0 and finite. */
static inline float vm_split_f32(float x, int32_t *k) {
    const int tiny = x < FLT_MIN;
    const uint32_t u = vm_bits_f32(tiny ? x * 0x1p23f : x), i = u - 0x3f3504f3u;
    const int32_t e = (int32_t)i >> 23;
    *k = tiny ? e - 23 : e;
    return vm_from_f32(u - ((uint32_t)e << 23));
}

/* ln(1 + f) + k ln 2 */
static inline float vm_log_core_f32(float f, float k) {
    const float z = f * f;
    float p = -0x1.38c618p-4f;
    p = vm_fma_f32(p, f, 0x1.056460p-3f);
    p = vm_fma_f32(p, f, -0x1.0d85e0p-3f);
    p = vm_fma_f32(p, f, 0x1.22d892p-3f);
    p = vm_fma_f32(p, f, -0x1.547212p-3f);
    p = vm_fma_f32(p, f, 0x1.99a020p-3f);
    p = vm_fma_f32(p, f, -0x1.000228p-2f);
    p = vm_fma_f32(p, f, 0x1.555554p-2f);
    const float y = vm_fma_f32(f * z, p, vm_fma_f32(z, -0.5f, k * -0x1.05c610p-29f));
    return vm_fma_f32(k, 0x1.62e430p-1f, f + y);
}

/* The result for x <= 0, Inf and NaN, where y holds for the others. */
static inline float vm_log_edges_f32(float x, float y) {
    const float edge = x > 0.0f ? 0.0f : x == 0.0f ? -INFINITY : NAN;
    return (x < INFINITY ? y : x) + edge;
}

static inline float vm_log_f32(float x) {
    int32_t k;
    const float m = vm_split_f32(x, &k);
    return vm_log_edges_f32(x, vm_log_core_f32(m - 1.0f, (float)k));
}

/* 1 + x = 2^k (1 + f); f is taken from x itself, so that nothing of a small x is lost. */
static inline float vm_log1p_f32(float x) {
    const float u = 1.0f + x;
    int32_t k;
    const float m = vm_split_f32(u, &k);
    const float h = vm_pow2_f32(k > 30 ? -30 : -k),
                f = k > 30 ? m - 1.0f : vm_fma_f32(h, x, h - 1.0f);
    return x == 0.0f ? x : vm_log_edges_f32(u, vm_log_core_f32(f, (float)k));
}

/* ln m / 2 = atanh s, s = (m - 1) / (m + 1), good to 1e-11: for results that end as floats. */
static inline double vm_log_wide_f32(float m) {
    const double f = (double)m - 1.0, s = f / (f + 2.0), z = s * s;
    double p = 0x1.e2fdd854e6a9fp-3;
    p = p * z + 0x1.2438a33e4f219p-2;
    p = p * z + 0x1.999a7b668d574p-2;
    p = p * z + 0x1.555554fd1c930p-1;
    return 2.0 * s + s * (z * p);
}

static inline float vm_log2_f32(float x) {
    int32_t k;
    const float m = vm_split_f32(x, &k);
    const double y = vm_log_wide_f32(m) * 0x1.71547652b82fep+0 + (double)k;
    return vm_log_edges_f32(x, (float)y);
}

static inline float vm_log10_f32(float x) {
    int32_t k;
    const float m = vm_split_f32(x, &k);
    const double y = vm_log_wide_f32(m) * 0x1.bcb7b1526e50ep-2 + (double)k * 0x1.34413509f79ffp-2;
    return vm_log_edges_f32(x, (float)y);
}

/* ---- pow ------------------------------------------------------------------------------------- */

/* 2^t for |t| <= 200, good to 1e-10. */
static inline double vm_exp2_wide_f32(double t) {
    const double s = t + VM_ROUND_F64, f = t - (s - VM_ROUND_F64);
    double p = 0x1.00ed9db0cae50p-16;
    p = p * f + 0x1.445f252fbfadap-13;
    p = p * f + 0x1.5d87272e9cd9ep-10;
    p = p * f + 0x1.3b29f020282b3p-7;
    p = p * f + 0x1.c6b08df212948p-5;
    p = p * f + 0x1.ebfbe07b9c9acp-3;
    p = p * f + 0x1.62e42fef7bee3p-1;
    return (1.0 + f * p) * vm_from_f64((vm_bits_f64(s) + 1023) << 52);
}

/* 2^(y log2 |x|) in double; then the cases of IEEE 754. A negative x wants an integer y. */
static inline float vm_pow_f32(float x, float y) {
    const float a = fabsf(x);
    int32_t k;
    const float m = vm_split_f32(a, &k);
    const double finite = vm_log_wide_f32(m) * 0x1.71547652b82fep+0 + (double)k;
    const double l = a == 0.0f ? -INFINITY : a < INFINITY ? finite : (double)a;
    double t = l == 0.0 ? 0.0 : (double)y * l;
    t = t < -200.0 ? -200.0 : t;
    t = t > 200.0 ? 200.0 : t;
    const float r = (float)vm_exp2_wide_f32(t);
    const int whole = vm_rint_f32(y) == y, odd = whole & (vm_rint_f32(0.5f * y) != 0.5f * y);
    const float s = odd ? copysignf(r, x) : r;
    const float v = ((x < 0.0f) & (x > -INFINITY) & !whole & (y == y)) ? NAN : s;
    const float n = ((x != x) | (y != y)) ? x + y : v;
    return ((x == 1.0f) | (y == 0.0f)) ? 1.0f : n;
}

/* ---- erf ------------------------------------------------------------------------------------- */

/* Near 0 x + x P(x^2), else 1 - e^Q(|x|), Q = ln erfc. */
static inline float vm_erf_f32(float x) {
    const float a = fabsf(x), z = a * a, c = vm_at_most_f32(a, 3.95f);
    float p = -0x1.3b59dep-11f;
    p = vm_fma_f32(p, z, 0x1.478daap-8f);
    p = vm_fma_f32(p, z, -0x1.b699e6p-6f);
    p = vm_fma_f32(p, z, 0x1.ce1b78p-4f);
    p = vm_fma_f32(p, z, -0x1.8126ecp-2f);
    p = vm_fma_f32(p, z, 0x1.06eba6p-3f);
    float q = -0x1.632722p-16f;
    q = vm_fma_f32(q, c, 0x1.c86f0cp-12f);
    q = vm_fma_f32(q, c, -0x1.119bf0p-8f);
    q = vm_fma_f32(q, c, 0x1.9bb802p-6f);
    q = vm_fma_f32(q, c, -0x1.bb936ap-4f);
    q = vm_fma_f32(q, c, -0x1.444458p-1f);
    q = vm_fma_f32(q, c, -0x1.21284cp+0f);
    q = vm_fma_f32(q, c, 0x1.70f2dep-13f);
    const float small = vm_fma_f32(a, p, a), large = 1.0f - vm_exp_core_f32(q);
    const float y = copysignf(a < 0.92f ? small : large, x);
    return x == x ? y : x;
}

/* ---- sin, cos -------------------------------------------------------------------------------- */

/* The rest r of a = n pi/2 + r, |r| <= pi/4, for a >= 0, with 2/pi in three parts. */
static inline float vm_rest_pi_f32(float a, double hi, double mid, double lo, int32_t *n) {
    const double q1 = a * hi, q2 = a * mid, q3 = a * lo;
    const double s1 = q1 + VM_ROUND_F64, f = q1 - (s1 - VM_ROUND_F64); /* the rest of q1, exactly */
    const double s2 = (f + q2) + VM_ROUND_F64, r = ((f - (s2 - VM_ROUND_F64)) + q2) + q3;
    *n = (int32_t)(uint32_t)(vm_bits_f64(s1) + vm_bits_f64(s2));
    return (float)(r * 0x1.921fb54442d18p+0);
}

/* 2/pi for a < 2^26. */
static const double VM_PI_HI_F32 = 0x1.45f306dp-1, VM_PI_MID_F32 = 0x1.9391054p-30,
                    VM_PI_LO_F32 = 0x1.4fe13abe8fa9ap-59;

/* 2/pi is taken without the bits that make multiples of
 * 4 of every float as large as a: five ranges of 2^26, two parts of 29 bits, which 24 bits
 * multiply exactly, and the rest. So the reduction is good for every float. */
static inline float vm_reduce_pi_f32(float a, int32_t *n) {
    double hi = VM_PI_HI_F32, mid = VM_PI_MID_F32, lo = VM_PI_LO_F32;
    hi = a < 0x1p26f ? hi : 0x1.17cc1b6p-3, mid = a < 0x1p26f ? mid : 0x1.27220a9p-31;
    lo = a < 0x1p26f ? lo : 0x1.3f84eafa3ea6ap-61;
    hi = a < 0x1p52f ? hi : 0x1.c9c882ap-29, mid = a < 0x1p52f ? mid : 0x1.4fe13a8p-59;
    lo = a < 0x1p52f ? lo : 0x1.f47d4d377036ep-86;
    hi = a < 0x1p78f ? hi : 0x1.4a7f09dp-54, mid = a < 0x1p78f ? mid : 0x1.7d1f534p-84;
    lo = a < 0x1p78f ? lo : 0x1.bb81b6c52b328p-113;
    hi = a < 0x1p104f ? hi : 0x1.57d1f53p-80, mid = a < 0x1p104f ? mid : 0x1.377036cp-110;
    lo = a < 0x1p104f ? lo : 0x1.8a5664f10e410p-138;
    return vm_rest_pi_f32(a, hi, mid, lo, n);
}

static inline float vm_sin_poly_f32(float r) {
    const float z = r * r;
    float p = -0x1.995596p-13f;
    p = vm_fma_f32(p, z, 0x1.11077cp-7f);
    p = vm_fma_f32(p, z, -0x1.555546p-3f);
    return vm_fma_f32(r * z, p, r);
}

static inline float vm_cos_poly_f32(float r) {
    const float z = r * r;
    float p = 0x1.99e828p-16f;
    p = vm_fma_f32(p, z, -0x1.6c0c28p-10f);
    p = vm_fma_f32(p, z, 0x1.55554ap-5f);
    return vm_fma_f32(z, vm_fma_f32(p, z, -0.5f), 1.0f);
}

/* sin(|x| + quarter pi/2); Inf and NaN give NaN */
static inline float vm_sincos_f32(float x, int32_t quarter) {
    int32_t n;
    const float r = vm_reduce_pi_f32(fabsf(x), &n);
    const float s = vm_sin_poly_f32(r), c = vm_cos_poly_f32(r), y = (n + quarter) & 1 ? c : s;
    return (n + quarter) & 2 ? -y : y;
}

static inline float vm_sin_f32(float x) {
    const float y = vm_sincos_f32(x, 0), w = vm_bits_f32(x) >> 31 ? -y : y;
    return fabsf(x) < 0x1p-12f ? x : w;
}

static inline float vm_cos_f32(float x) {
    return vm_sincos_f32(x, 1);
}

/* Both at once, with the same bits, for 0 <= x < 2^26. */
static inline void vm_turn_f32(float x, float *sine, float *cosine) {
    int32_t n;
    const float r = vm_rest_pi_f32(x, VM_PI_HI_F32, VM_PI_MID_F32, VM_PI_LO_F32, &n);
    const float s = vm_sin_poly_f32(r), c = vm_cos_poly_f32(r);
    const float up = n & 1 ? c : s, along = n & 1 ? s : c;
    *sine = x < 0x1p-12f ? x : n & 2 ? -up : up;
    *cosine = (n + 1) & 2 ? -along : along;
}

#endif
