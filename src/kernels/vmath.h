/* vmath.h -- exp, log, sin and their kin for float, in plain C that a compiler turns into vectors.
 *
 * The one idea: no branch, no call, no fused multiply-add and nothing that depends on the vector
 * length, so an element gets the same bits at every ISA level and at every place in an array. All are
 * good to 2 ulp at worst (tests/test_vmath.c has the figures) over all floats, denormals included.
 * Polynomials are minimax fits with coefficients rounded one after the other, lowest power first. */
#ifndef TAPER_SRC_VMATH_H
#define TAPER_SRC_VMATH_H
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* ---- bits ------------------------------------------------------------------------------------------ */

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

/* 2^k for a normal result. */
static inline float vm_pow2_f32(int32_t k) {
    return vm_from_f32((uint32_t)(k + 127) << 23);
}

static inline double vm_pow2_f64(int64_t k) {
    return vm_from_f64((uint64_t)(k + 1023) << 52);
}

/* y 2^k for y near 1 and any k of an exponential: two steps, so that only the last one rounds. */
static inline float vm_scale_f32(float y, int32_t k) {
    const int32_t half = k >> 1;
    return y * vm_pow2_f32(half) * vm_pow2_f32(k - half);
}

static inline double vm_scale_f64(double y, int64_t k) {
    const int64_t half = (int64_t)((uint64_t)(k + 4096) >> 1) - 2048; /* k >> 1: AVX2 has no such shift */
    return y * vm_pow2_f64(half) * vm_pow2_f64(k - half);
}

/* Adding and subtracting 1.5 2^23 rounds a small float to an integer, whose low bits then lie bare. */
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

/* ---- exp -------------------------------------------------------------------------------------------- */

/* x = k ln 2 + r, |r| <= ln 2 / 2. k ln 2 is subtracted in two parts, of which the first is exact. */
static inline float vm_reduce_exp_f32(float x, int32_t *k) {
    const float t = x * 0x1.715476p+0f + VM_ROUND_F32, n = t - VM_ROUND_F32;
    *k = (int32_t)(vm_bits_f32(t) - vm_bits_f32(VM_ROUND_F32));
    return (x - n * 0x1.63p-1f) - n * -0x1.bd0106p-13f;
}

/* (e^r - 1 - r) / r^2 */
static inline float vm_exp_tail_f32(float r) {
    float q = 0x1.6a5550p-10f;
    q = q * r + 0x1.123ae4p-7f;
    q = q * r + 0x1.5558a8p-5f;
    q = q * r + 0x1.555490p-3f;
    return q * r + 0x1.fffffcp-2f;
}

static inline float vm_exp_f32(float x) {
    float c = x < -104.0f ? -104.0f : x; /* NaN stays */
    c = c > 89.0f ? 89.0f : c;
    int32_t k;
    const float r = vm_reduce_exp_f32(c, &k);
    return vm_scale_f32(1.0f + (r + r * r * vm_exp_tail_f32(r)), k);
}

/* 2^k (e^r) - 1 = (2^k - 1) + 2^k (e^r - 1), halved meanwhile lest 2^128 overflow. */
static inline float vm_expm1_f32(float x) {
    float c = x < -18.0f ? -18.0f : x;
    c = c > 89.0f ? 89.0f : c;
    int32_t k;
    const float r = vm_reduce_exp_f32(c, &k), p = r + r * r * vm_exp_tail_f32(r);
    const float h = vm_pow2_f32(k - 1), y = ((h - 0.5f) + h * p) * 2.0f;
    return k == 0 ? (x == 0.0f ? x : p) : y;
}

/* z / (1 + z), with what rounding took from 1 + z given back, or 1 / (1 + z) as torch computes it: near
 * 1 a training run follows how 1 - y is rounded, to the fifth digit of its losses. */
static inline float vm_sigmoid_f32(float x) {
    const float z = vm_exp_f32(-fabsf(x)), d = 1.0f + z, lost = z - (d - 1.0f);
    const float y = (x < 0.0f ? z : 1.0f) / d;
    return x < 0.0f ? y - y * lost : y;
}

static inline float vm_tanh_f32(float x) {
    const float a = fabsf(x), z = a * a;
    float p = -0x1.769376p-8f;
    p = p * z + 0x1.5250c6p-6f;
    p = p * z + -0x1.b84332p-5f;
    p = p * z + 0x1.110760p-3f;
    p = p * z + -0x1.555534p-2f;
    const float small = a + a * z * p, large = 1.0f - 2.0f / (vm_exp_f32(2.0f * a) + 1.0f);
    return copysignf(a < 0.625f ? small : large, x);
}

/* ---- log -------------------------------------------------------------------------------------------- */

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
    p = p * f + 0x1.056460p-3f;
    p = p * f + -0x1.0d85e0p-3f;
    p = p * f + 0x1.22d892p-3f;
    p = p * f + -0x1.547212p-3f;
    p = p * f + 0x1.99a020p-3f;
    p = p * f + -0x1.000228p-2f;
    p = p * f + 0x1.555554p-2f;
    const float y = (f * z * p + k * -0x1.bd0106p-13f) - 0.5f * z;
    return (f + y) + k * 0x1.63p-1f;
}

/* The result for x <= 0, Inf and NaN, where y holds for the others. */
static inline float vm_log_edges_f32(float x, float y) {
    const float r = x < INFINITY ? y : x;
    return x > 0.0f ? r : x == 0.0f ? -INFINITY : NAN;
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
    const float h = vm_pow2_f32(k > 30 ? -30 : -k), f = k > 30 ? m - 1.0f : h * x + (h - 1.0f);
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

/* ---- pow -------------------------------------------------------------------------------------------- */

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

/* ---- erf -------------------------------------------------------------------------------------------- */

/* Near 0 x + x P(x^2), else 1 - e^Q(|x|), Q = ln erfc. */
static inline float vm_erf_f32(float x) {
    const float a = fabsf(x), z = a * a, c = a > 3.95f ? 3.95f : a;
    float p = -0x1.3b59dep-11f;
    p = p * z + 0x1.478daap-8f;
    p = p * z + -0x1.b699e6p-6f;
    p = p * z + 0x1.ce1b78p-4f;
    p = p * z + -0x1.8126ecp-2f;
    p = p * z + 0x1.06eba6p-3f;
    float q = -0x1.632722p-16f;
    q = q * c + 0x1.c86f0cp-12f;
    q = q * c + -0x1.119bf0p-8f;
    q = q * c + 0x1.9bb802p-6f;
    q = q * c + -0x1.bb936ap-4f;
    q = q * c + -0x1.444458p-1f;
    q = q * c + -0x1.21284cp+0f;
    q = q * c + 0x1.70f2dep-13f;
    const float small = a + a * p, large = 1.0f - vm_exp_f32(q);
    return copysignf(a < 0.92f ? small : a != a ? a : large, x);
}

/* ---- sin, cos --------------------------------------------------------------------------------------- */

/* 2^e 2/pi mod 4 for the weight 2^e of a float's last bit, as hi + lo: biased exponents 96 to 254. hi
 * has few enough bits that 24 more of them multiply it exactly, so the reduction is exact for every
 * float. */
static const double vm_two_over_pi_f32[159][2] = {
    {0x1.45f306d000000p-55, 0x1.9391054a7f09dp-84}, {0x1.45f306d000000p-54, 0x1.9391054a7f09dp-83},
    {0x1.45f306d000000p-53, 0x1.9391054a7f09dp-82}, {0x1.45f306d000000p-52, 0x1.9391054a7f09dp-81},
    {0x1.45f306d000000p-51, 0x1.9391054a7f09dp-80}, {0x1.45f306d000000p-50, 0x1.9391054a7f09dp-79},
    {0x1.45f306d000000p-49, 0x1.9391054a7f09dp-78}, {0x1.45f306d000000p-48, 0x1.9391054a7f09dp-77},
    {0x1.45f306d000000p-47, 0x1.9391054a7f09dp-76}, {0x1.45f306d000000p-46, 0x1.9391054a7f09dp-75},
    {0x1.45f306d000000p-45, 0x1.9391054a7f09dp-74}, {0x1.45f306d000000p-44, 0x1.9391054a7f09dp-73},
    {0x1.45f306d000000p-43, 0x1.9391054a7f09dp-72}, {0x1.45f306d000000p-42, 0x1.9391054a7f09dp-71},
    {0x1.45f306d000000p-41, 0x1.9391054a7f09dp-70}, {0x1.45f306d000000p-40, 0x1.9391054a7f09dp-69},
    {0x1.45f306d000000p-39, 0x1.9391054a7f09dp-68}, {0x1.45f306d000000p-38, 0x1.9391054a7f09dp-67},
    {0x1.45f306d000000p-37, 0x1.9391054a7f09dp-66}, {0x1.45f306d000000p-36, 0x1.9391054a7f09dp-65},
    {0x1.45f306d000000p-35, 0x1.9391054a7f09dp-64}, {0x1.45f306d000000p-34, 0x1.9391054a7f09dp-63},
    {0x1.45f306d000000p-33, 0x1.9391054a7f09dp-62}, {0x1.45f306d000000p-32, 0x1.9391054a7f09dp-61},
    {0x1.45f306d000000p-31, 0x1.9391054a7f09dp-60}, {0x1.45f306d000000p-30, 0x1.9391054a7f09dp-59},
    {0x1.45f306d000000p-29, 0x1.9391054a7f09dp-58}, {0x1.45f306d000000p-28, 0x1.9391054a7f09dp-57},
    {0x1.45f306d000000p-27, 0x1.9391054a7f09dp-56}, {0x1.45f306d000000p-26, 0x1.9391054a7f09dp-55},
    {0x1.45f306d000000p-25, 0x1.9391054a7f09dp-54}, {0x1.45f306d000000p-24, 0x1.9391054a7f09dp-53},
    {0x1.45f306d000000p-23, 0x1.9391054a7f09dp-52}, {0x1.45f306d000000p-22, 0x1.9391054a7f09dp-51},
    {0x1.45f306d000000p-21, 0x1.9391054a7f09dp-50}, {0x1.45f306d000000p-20, 0x1.9391054a7f09dp-49},
    {0x1.45f306d000000p-19, 0x1.9391054a7f09dp-48}, {0x1.45f306d000000p-18, 0x1.9391054a7f09dp-47},
    {0x1.45f306d000000p-17, 0x1.9391054a7f09dp-46}, {0x1.45f306d000000p-16, 0x1.9391054a7f09dp-45},
    {0x1.45f306d000000p-15, 0x1.9391054a7f09dp-44}, {0x1.45f306d000000p-14, 0x1.9391054a7f09dp-43},
    {0x1.45f306d000000p-13, 0x1.9391054a7f09dp-42}, {0x1.45f306d000000p-12, 0x1.9391054a7f09dp-41},
    {0x1.45f306d000000p-11, 0x1.9391054a7f09dp-40}, {0x1.45f3000000000p-10, 0x1.b727220a94fe1p-32},
    {0x1.45f3000000000p-9, 0x1.b727220a94fe1p-31}, {0x1.45f3000000000p-8, 0x1.b727220a94fe1p-30},
    {0x1.45f3000000000p-7, 0x1.b727220a94fe1p-29}, {0x1.45f3000000000p-6, 0x1.b727220a94fe1p-28},
    {0x1.45f3040000000p-5, 0x1.6e4e441529fc2p-28}, {0x1.45f3060000000p-4, 0x1.b9391054a7f0ap-29},
    {0x1.45f3060000000p-3, 0x1.b9391054a7f0ap-28}, {0x1.45f3068000000p-2, 0x1.727220a94fe14p-28},
    {0x1.45f306c000000p-1, 0x1.c9c882a53f84fp-29}, {0x1.45f306c000000p+0, 0x1.c9c882a53f84fp-28},
    {0x1.45f306d000000p+1, 0x1.9391054a7f09dp-28}, {0x1.17cc1b6000000p+0, 0x1.27220a94fe13bp-28},
    {0x1.17cc1b7000000p+1, 0x1.391054a7f09d6p-30}, {0x1.7cc1b70000000p-2, 0x1.391054a7f09d6p-29},
    {0x1.7cc1b70000000p-1, 0x1.391054a7f09d6p-28}, {0x1.7cc1b72000000p+0, 0x1.c882a53f84eb0p-30},
    {0x1.7cc1b72000000p+1, 0x1.c882a53f84eb0p-29}, {0x1.f306dc8000000p+0, 0x1.c882a53f84eb0p-28},
    {0x1.f306dc9000000p+1, 0x1.91054a7f09d5fp-28}, {0x1.e60db93000000p+1, 0x1.220a94fe13abfp-28},
    {0x1.cc1b727000000p+1, 0x1.1054a7f09d5f4p-30}, {0x1.9836e4e000000p+1, 0x1.1054a7f09d5f4p-29},
    {0x1.306dc9c000000p+1, 0x1.1054a7f09d5f4p-28}, {0x1.836e4e4000000p-1, 0x1.054a7f09d5f48p-31},
    {0x1.836e4e4000000p+0, 0x1.054a7f09d5f48p-30}, {0x1.836e4e4000000p+1, 0x1.054a7f09d5f48p-29},
    {0x1.06dc9c8000000p+1, 0x1.054a7f09d5f48p-28}, {0x1.b727220000000p-4, 0x1.529fc2757d1f5p-33},
    {0x1.b727220000000p-3, 0x1.529fc2757d1f5p-32}, {0x1.b727220000000p-2, 0x1.529fc2757d1f5p-31},
    {0x1.b727220000000p-1, 0x1.529fc2757d1f5p-30}, {0x1.b727220000000p+0, 0x1.529fc2757d1f5p-29},
    {0x1.b727220000000p+1, 0x1.529fc2757d1f5p-28}, {0x1.6e4e441000000p+1, 0x1.4a7f09d5f47d5p-29},
    {0x1.b939104000000p+0, 0x1.4a7f09d5f47d5p-28}, {0x1.b939105000000p+1, 0x1.29fc2757d1f53p-29},
    {0x1.727220a000000p+1, 0x1.29fc2757d1f53p-28}, {0x1.c9c882a000000p+0, 0x1.4fe13abe8fa9ap-30},
    {0x1.c9c882a000000p+1, 0x1.4fe13abe8fa9ap-29}, {0x1.9391054000000p+1, 0x1.4fe13abe8fa9ap-28},
    {0x1.27220a9000000p+1, 0x1.3f84eafa3ea6ap-29}, {0x1.3910548000000p-1, 0x1.3f84eafa3ea6ap-28},
    {0x1.391054a000000p+0, 0x1.fc2757d1f534ep-30}, {0x1.391054a000000p+1, 0x1.fc2757d1f534ep-29},
    {0x1.c882a50000000p-1, 0x1.fc2757d1f534ep-28}, {0x1.c882a52000000p+0, 0x1.f84eafa3ea69cp-28},
    {0x1.c882a53000000p+1, 0x1.f09d5f47d4d37p-28}, {0x1.91054a7000000p+1, 0x1.e13abe8fa9a6fp-28},
    {0x1.220a94f000000p+1, 0x1.c2757d1f534dep-28}, {0x1.1054a7c000000p-1, 0x1.84eafa3ea69bcp-28},
    {0x1.1054a7e000000p+0, 0x1.09d5f47d4d377p-28}, {0x1.1054a7f000000p+1, 0x1.3abe8fa9a6ee0p-32},
    {0x1.054a7f0000000p-2, 0x1.3abe8fa9a6ee0p-31}, {0x1.054a7f0000000p-1, 0x1.3abe8fa9a6ee0p-30},
    {0x1.054a7f0000000p+0, 0x1.3abe8fa9a6ee0p-29}, {0x1.054a7f0000000p+1, 0x1.3abe8fa9a6ee0p-28},
    {0x1.529fc20000000p-4, 0x1.d5f47d4d37703p-30}, {0x1.529fc20000000p-3, 0x1.d5f47d4d37703p-29},
    {0x1.529fc20000000p-2, 0x1.d5f47d4d37703p-28}, {0x1.529fc24000000p-1, 0x1.abe8fa9a6ee07p-28},
    {0x1.529fc26000000p+0, 0x1.57d1f534ddc0ep-28}, {0x1.529fc27000000p+1, 0x1.5f47d4d377037p-29},
    {0x1.4a7f09c000000p+0, 0x1.5f47d4d377037p-28}, {0x1.4a7f09d000000p+1, 0x1.7d1f534ddc0dbp-29},
    {0x1.29fc274000000p+0, 0x1.7d1f534ddc0dbp-28}, {0x1.29fc275000000p+1, 0x1.f47d4d377036ep-29},
    {0x1.4fe13a8000000p-1, 0x1.f47d4d377036ep-28}, {0x1.4fe13aa000000p+0, 0x1.e8fa9a6ee06dbp-28},
    {0x1.4fe13ab000000p+1, 0x1.d1f534ddc0db6p-28}, {0x1.3f84eae000000p+0, 0x1.a3ea69bb81b6cp-28},
    {0x1.3f84eaf000000p+1, 0x1.47d4d377036d9p-28}, {0x1.fc2757c000000p-1, 0x1.1f534ddc0db63p-29},
    {0x1.fc2757c000000p+0, 0x1.1f534ddc0db63p-28}, {0x1.fc2757d000000p+1, 0x1.f534ddc0db629p-31},
    {0x1.f84eafa000000p+1, 0x1.f534ddc0db629p-30}, {0x1.f09d5f4000000p+1, 0x1.f534ddc0db629p-29},
    {0x1.e13abe8000000p+1, 0x1.f534ddc0db629p-28}, {0x1.c2757d1000000p+1, 0x1.ea69bb81b6c53p-28},
    {0x1.84eafa3000000p+1, 0x1.d4d377036d8a5p-28}, {0x1.09d5f47000000p+1, 0x1.a9a6ee06db14bp-28},
    {0x1.3abe8f0000000p-3, 0x1.534ddc0db6296p-28}, {0x1.3abe8f8000000p-2, 0x1.4d377036d8a56p-29},
    {0x1.3abe8f8000000p-1, 0x1.4d377036d8a56p-28}, {0x1.3abe8fa000000p+0, 0x1.34ddc0db6295ap-29},
    {0x1.3abe8fa000000p+1, 0x1.34ddc0db6295ap-28}, {0x1.d5f47d4000000p-1, 0x1.a6ee06db14acdp-30},
    {0x1.d5f47d4000000p+0, 0x1.a6ee06db14acdp-29}, {0x1.d5f47d4000000p+1, 0x1.a6ee06db14acdp-28},
    {0x1.abe8fa9000000p+1, 0x1.4ddc0db629599p-28}, {0x1.57d1f53000000p+1, 0x1.377036d8a5665p-29},
    {0x1.5f47d4c000000p+0, 0x1.377036d8a5665p-28}, {0x1.5f47d4d000000p+1, 0x1.bb81b6c52b328p-30},
    {0x1.7d1f534000000p+0, 0x1.bb81b6c52b328p-29}, {0x1.7d1f534000000p+1, 0x1.bb81b6c52b328p-28},
    {0x1.f47d4d2000000p+0, 0x1.77036d8a5664fp-28}, {0x1.f47d4d3000000p+1, 0x1.dc0db6295993cp-29},
    {0x1.e8fa9a6000000p+1, 0x1.dc0db6295993cp-28}, {0x1.d1f534d000000p+1, 0x1.b81b6c52b3279p-28},
    {0x1.a3ea69b000000p+1, 0x1.7036d8a5664f1p-28}, {0x1.47d4d37000000p+1, 0x1.c0db6295993c4p-29},
    {0x1.1f534dc000000p+0, 0x1.c0db6295993c4p-28}, {0x1.1f534dd000000p+1, 0x1.81b6c52b32788p-28},
    {0x1.f534dd8000000p-2, 0x1.036d8a5664f11p-28}, {0x1.f534ddc000000p-1, 0x1.b6c52b3278872p-34},
    {0x1.f534ddc000000p+0, 0x1.b6c52b3278872p-33}, {0x1.f534ddc000000p+1, 0x1.b6c52b3278872p-32},
    {0x1.ea69bb8000000p+1, 0x1.b6c52b3278872p-31}, {0x1.d4d3770000000p+1, 0x1.b6c52b3278872p-30},
    {0x1.a9a6ee0000000p+1, 0x1.b6c52b3278872p-29}, {0x1.534ddc0000000p+1, 0x1.b6c52b3278872p-28},
    {0x1.4d37702000000p+0, 0x1.6d8a5664f10e4p-28}, {0x1.4d37703000000p+1, 0x1.b6295993c4390p-29},
    {0x1.34ddc0c000000p+0, 0x1.b6295993c4390p-28},
};

/* x = n pi/2 + r, |r| <= pi/4 */
static inline float vm_reduce_pi_f32(float x, int32_t *n) {
    const uint32_t u = vm_bits_f32(x) & 0x7fffffffu;
    const int32_t e = (int32_t)(u >> 23) - 96, i = e < 0 ? 0 : e > 158 ? 158 : e;
    const double m = (double)(int32_t)((u & 0x7fffffu) | 0x800000u);
    const double hi = m * vm_two_over_pi_f32[i][0];
    const double t = hi * 0.25 + VM_ROUND_F64; /* whole turns, exactly */
    const double q = (hi - (t - VM_ROUND_F64) * 4.0) + m * vm_two_over_pi_f32[i][1];
    const double k = (q + VM_ROUND_F64) - VM_ROUND_F64;
    const double r = (q - k) * 0x1.921fb54442d18p+0;
    *n = (int32_t)k;
    return (float)r;
}

static inline float vm_sin_poly_f32(float r) {
    const float z = r * r;
    float p = -0x1.995596p-13f;
    p = p * z + 0x1.11077cp-7f;
    p = p * z + -0x1.555546p-3f;
    return r + r * z * p;
}

static inline float vm_cos_poly_f32(float r) {
    const float z = r * r;
    float p = 0x1.99e828p-16f;
    p = p * z + -0x1.6c0c28p-10f;
    p = p * z + 0x1.55554ap-5f;
    return 1.0f - (0.5f * z - z * z * p);
}

/* sin(|x| + quarter pi/2), sign aside */
static inline float vm_sincos_f32(float x, int32_t quarter) {
    int32_t n;
    const float r = vm_reduce_pi_f32(x, &n);
    const int32_t k = n + quarter;
    const float s = vm_sin_poly_f32(r), c = vm_cos_poly_f32(r), y = k & 1 ? c : s;
    const float w = k & 2 ? -y : y;
    return fabsf(x) < INFINITY ? w : NAN;
}

static inline float vm_sin_f32(float x) {
    const float y = vm_sincos_f32(x, 0), w = vm_bits_f32(x) >> 31 ? -y : y;
    return fabsf(x) < 0x1p-12f ? x : w;
}

static inline float vm_cos_f32(float x) {
    const float y = vm_sincos_f32(x, 1);
    return fabsf(x) < 0x1p-13f ? 1.0f : y;
}

#endif
