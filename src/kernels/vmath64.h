/* vmath64.h -- vmath.h's functions for double: the same ideas with longer polynomials.
 *
 * Good to 2 ulp at worst. Where double itself does not carry enough bits (pow, log2, log10),
 * numbers are kept as unevaluated sums of two. sin and cos beyond 2^20 leave the vectors for an
 * exact integer reduction; nothing else branches. */
#ifndef TAPER_SRC_VMATH64_H
#define TAPER_SRC_VMATH64_H
#include "kernels/vmath.h"

/* ---- exp ------------------------------------------------------------------------------------- */

/* y 2^k for y near 1 and any k of an exponential: two steps, so that only the last one rounds. */
static inline double vm_scale_f64(double y, int64_t k) {
    const int64_t half =
        (int64_t)((uint64_t)(k + 4096) >> 1) - 2048; /* k >> 1: AVX2 has no such shift */
    return y * vm_pow2_f64(half) * vm_pow2_f64(k - half);
}

/* x = k ln 2 + r + *low, |r| <= ln 2 / 2 */
static inline double vm_reduce_exp_f64(double x, int64_t *k, double *low) {
    const double t = x * 0x1.71547652b82fep+0 + VM_ROUND_F64, n = t - VM_ROUND_F64;
    *k = (int64_t)(vm_bits_f64(t) - vm_bits_f64(VM_ROUND_F64));
    const double a = x - n * 0x1.62e42feep-1, b = n * 0x1.a39ef35793c76p-33, r = a - b;
    *low = (a - r) - b;
    return r;
}

/* (e^r - 1 - r) / r^2 */
static inline double vm_exp_tail_f64(double r) {
    double q = 0x1.af6d503bf0b3bp-26;
    q = q * r + 0x1.28a2e93099974p-22;
    q = q * r + 0x1.71ddef49f29ebp-19;
    q = q * r + 0x1.a019a64fc55cbp-16;
    q = q * r + 0x1.a01a01b3bdc6ap-13;
    q = q * r + 0x1.6c16c17f45f33p-10;
    q = q * r + 0x1.111111110ec6ep-7;
    q = q * r + 0x1.55555555520cfp-5;
    q = q * r + 0x1.555555555555bp-3;
    return q * r + 0x1.0000000000005p-1;
}

/* e^(x + low) for |low| far below an ulp of x */
static inline double vm_exp_sum_f64(double x, double low) {
    double c = x < -750.0 ? -750.0 : x; /* NaN stays */
    c = c > 710.0 ? 710.0 : c;
    int64_t k;
    double tail;
    const double r = vm_reduce_exp_f64(c, &k, &tail), q = r * r * vm_exp_tail_f64(r);
    return vm_scale_f64(1.0 + (r + (q + (tail + low) * (1.0 + (r + q)))), k);
}

static inline double vm_exp_f64(double x) {
    return vm_exp_sum_f64(x, 0.0);
}

static inline double vm_expm1_f64(double x) {
    double c = x < -40.0 ? -40.0 : x;
    c = c > 710.0 ? 710.0 : c;
    int64_t k;
    double low;
    const double r = vm_reduce_exp_f64(c, &k, &low), p = r + (r * r * vm_exp_tail_f64(r) + low);
    const double h = vm_pow2_f64(k - 1), y = ((h - 0.5) + h * p) * 2.0;
    return k == 0 ? (x == 0.0 ? x : p) : y;
}

static inline double vm_sigmoid_f64(double x) {
    const double z = vm_exp_f64(-fabs(x)), d = 1.0 + z, lost = z - (d - 1.0);
    const double y = (x < 0.0 ? z : 1.0) / d;
    return y - y * lost;
}

static inline double vm_tanh_f64(double x) {
    const double a = fabs(x), z = a * a;
    double p = -0x1.20a34769bf1f1p-16;
    p = p * z + 0x1.4ce070abb6883p-14;
    p = p * z + -0x1.e34426091c0cap-13;
    p = p * z + 0x1.33ddd29afe8c2p-11;
    p = p * z + -0x1.7d7a411d0682bp-10;
    p = p * z + 0x1.d6d0cff4d0db4p-9;
    p = p * z + -0x1.226e22deb1efdp-7;
    p = p * z + 0x1.664f47f2e9c86p-6;
    p = p * z + -0x1.ba1ba1b790074p-5;
    p = p * z + 0x1.111111110e2f8p-3;
    p = p * z + -0x1.5555555555531p-2;
    const double small = a + a * z * p, large = 1.0 - 2.0 / (vm_exp_f64(2.0 * a) + 1.0);
    return copysign(a < 0.6 ? small : large, x);
}

/* ---- log ------------------------------------------------------------------------------------- */

/* x = 2^k m, sqrt 1/2 <= m < sqrt 2, for x > 0 and finite; k comes as a double. */
static inline double vm_split_f64(double x, double *k) {
    const int tiny = x < DBL_MIN;
    const uint64_t u = vm_bits_f64(tiny ? x * 0x1p54 : x);
    const uint64_t e = (u - 0x3fe6a09e667f3bcdu + ((uint64_t)1024 << 52)) >> 52; /* k + 1024 */
    const double wide = vm_from_f64(0x4330000000000000u | e) - (0x1p52 + 1024.0);
    *k = tiny ? wide - 54.0 : wide;
    return vm_from_f64(u - ((e - 1024) << 52));
}

/* ln(1 + f) + low + k ln 2: with s = f / (2 + f), ln(1 + f) = 2 atanh s = f - (f^2/2 - s (f^2/2
 * + R)) */
static inline double vm_log_core_f64(double f, double low, double k) {
    const double s = f / (2.0 + f), z = s * s, h = 0.5 * f * f;
    double p = 0x1.0f12c7ee776afp-3;
    p = p * z + 0x1.0f66be083abfap-3;
    p = p * z + 0x1.3b202a25311bap-3;
    p = p * z + 0x1.745ce1aa21b48p-3;
    p = p * z + 0x1.c71c724bbe679p-3;
    p = p * z + 0x1.2492492439425p-2;
    p = p * z + 0x1.9999999999d13p-2;
    p = p * z + 0x1.5555555555555p-1;
    const double tail = s * (h + z * p) + (k * 0x1.a39ef35793c76p-33 + low);
    return k * 0x1.62e42feep-1 - ((h - tail) - f);
}

static inline double vm_log_edges_f64(double x, double y) {
    const double edge = x > 0.0 ? 0.0 : x == 0.0 ? -INFINITY : NAN;
    return (x < INFINITY ? y : x) + edge;
}

static inline double vm_log_f64(double x) {
    double k;
    const double m = vm_split_f64(x, &k);
    return vm_log_edges_f64(x, vm_log_core_f64(m - 1.0, 0.0, k));
}

/* u = 1 + x rounded; what the rounding lost comes back as a term of its own. */
static inline double vm_log1p_f64(double x) {
    const double u = 1.0 + x, lost = x < 1.0 ? x - (u - 1.0) : 1.0 - (u - x);
    double k;
    const double m = vm_split_f64(u, &k),
                 y = vm_log_core_f64(m - 1.0, lost / (u == 0.0 ? 1.0 : u), k);
    return x == 0.0 ? x : vm_log_edges_f64(u, y);
}

/* ---- sums of two doubles --------------------------------------------------------------------- */

typedef struct vm_pair {
    double hi, lo;
} vm_pair;

static inline vm_pair vm_two_sum(double a, double b) {
    const double s = a + b, t = s - a;
    return (vm_pair){s, (a - (s - t)) + (b - t)};
}

/* a + b where |a| >= |b| */
static inline vm_pair vm_fast_sum(double a, double b) {
    const double s = a + b;
    return (vm_pair){s, b - (s - a)};
}

/* The upper 26 bits. */
static inline double vm_upper(double a) {
    const double t = a * 0x1.0000002p27;
    return t - (t - a);
}

static inline vm_pair vm_two_product(double a, double b) {
    const double p = a * b, ah = vm_upper(a), al = a - ah, bh = vm_upper(b), bl = b - bh;
    return (vm_pair){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

static inline vm_pair vm_mul_pair(vm_pair a, vm_pair b) {
    const vm_pair p = vm_two_product(a.hi, b.hi);
    return vm_fast_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

/* ln m to about 64 bits for m in [sqrt 1/2, sqrt 2]: 2 s + 2/3 s^3 as pairs, the rest plain. */
static inline vm_pair vm_log_pair(double m) {
    const double f = m - 1.0;
    const vm_pair d = vm_two_sum(m, 1.0);
    const double s = f / d.hi;
    const vm_pair q = vm_two_product(s, d.hi);
    const double rest = (((f - q.hi) - q.lo) - s * d.lo) / d.hi;
    const vm_pair a = vm_fast_sum(s, rest), z = vm_mul_pair(a, a);
    const double w = z.hi;
    double p = 0x1.0e4a058793364p-3;
    p = p * w + 0x1.0f7f22c142a0cp-3;
    p = p * w + 0x1.3b1ef4694d20fp-3;
    p = p * w + 0x1.745ce9b5d2701p-3;
    p = p * w + 0x1.c71c722de8bd7p-3;
    p = p * w + 0x1.24924924577a6p-2;
    p = p * w + 0x1.9999999999b33p-2;
    const vm_pair third = {0x1.5555555555555p-1, 0x1.5555555555555p-55};
    const vm_pair cube = vm_mul_pair(vm_mul_pair(a, z), third);
    const vm_pair sum = vm_fast_sum(2.0 * a.hi, cube.hi);
    return vm_fast_sum(sum.hi, sum.lo + (2.0 * a.lo + cube.lo + a.hi * (w * w * p)));
}

/* k + ln m * scale: log2 with scale 1 / ln 2, log10 when k is in units of log10 2. */
static inline double vm_log_scaled(double m, vm_pair k, vm_pair scale) {
    const vm_pair y = vm_mul_pair(vm_log_pair(m), scale), s = vm_two_sum(k.hi, y.hi);
    return s.hi + (s.lo + (k.lo + y.lo));
}

static inline double vm_log2_f64(double x) {
    const vm_pair scale = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
    double k;
    const double m = vm_split_f64(x, &k);
    return vm_log_edges_f64(x, vm_log_scaled(m, (vm_pair){k, 0.0}, scale));
}

static inline double vm_log10_f64(double x) {
    const vm_pair scale = {0x1.bcb7b1526e50ep-2, 0x1.95355baaafad3p-57};
    double k;
    const double m = vm_split_f64(x, &k);
    const vm_pair unit = vm_two_product(k, 0x1.34413509f79ffp-2);
    const vm_pair whole = {unit.hi, unit.lo + k * -0x1.9dc1da994fd21p-59};
    return vm_log_edges_f64(x, vm_log_scaled(m, whole, scale));
}

/* ---- pow ------------------------------------------------------------------------------------- */

/* e^(y ln |x|), the exponent as a pair; then the cases of IEEE 754 as in vm_pow_f32. */
static inline double vm_pow_f64(double x, double y) {
    const double a = fabs(x);
    double k;
    const double m = vm_split_f64(a, &k);
    const vm_pair lm = vm_log_pair(m);
    const vm_pair big = vm_two_sum(k * 0x1.62e42feep-1, lm.hi); /* k times 32 bits: exact */
    const vm_pair l = vm_fast_sum(big.hi, big.lo + (lm.lo + k * 0x1.a39ef35793c76p-33));
    const double lh = a == 0.0 ? -INFINITY : a < INFINITY ? l.hi : a;
    const double yc = y > 0x1p900    ? 0x1p900
                      : y < -0x1p900 ? -0x1p900
                                     : y; /* the products stay finite */
    const vm_pair e = vm_two_product(yc, l.hi);
    const double el = e.lo + yc * l.lo;
    const double t = lh == 0.0 ? 0.0 : yc * lh;
    const double r = vm_exp_sum_f64(t, fabs(t) < 760.0 ? el : 0.0);
    const int whole = vm_rint_f64(y) == y, odd = whole & (vm_rint_f64(0.5 * y) != 0.5 * y);
    const double s = odd ? copysign(r, x) : r;
    const double v = ((x < 0.0) & (x > -INFINITY) & !whole & (y == y)) ? NAN : s;
    const double n = ((x != x) | (y != y)) ? x + y : v;
    return ((x == 1.0) | (y == 0.0)) ? 1.0 : n;
}

/* ---- erf ------------------------------------------------------------------------------------- */

/* Below 1 x + x P(x^2), else 1 - e^(-x^2) Q((x - 3) / (x + 3)). */
static inline double vm_erf_f64(double x) {
    const double a = fabs(x), z = a * a, c = a > 6.0 ? 6.0 : a, t = (c - 3.0) / (c + 3.0);
    double p = 0x1.558300f6e84f9p-33;
    p = p * z + -0x1.d89a02d2aebb2p-30;
    p = p * z + 0x1.16711b3ead924p-26;
    p = p * z + -0x1.6431eb5b802b7p-23;
    p = p * z + 0x1.ba7c4806b7291p-20;
    p = p * z + -0x1.f4de6ec798a04p-17;
    p = p * z + 0x1.f9a3ccb154800p-14;
    p = p * z + -0x1.c02db9d43f3f0p-11;
    p = p * z + 0x1.565bcd2f90747p-8;
    p = p * z + -0x1.b82ce313665f0p-6;
    p = p * z + 0x1.ce2f21a045b90p-4;
    p = p * z + -0x1.812746b037a27p-2;
    p = p * z + 0x1.06eba8214db69p-3;
    double q = -0x1.28da6771e3ad5p-19;
    q = q * t + -0x1.df99e8eb694ffp-17;
    q = q * t + -0x1.33fcf849386dfp-16;
    q = q * t + 0x1.fef5542e40972p-15;
    q = q * t + 0x1.7160997f5fbedp-15;
    q = q * t + -0x1.393358181e195p-11;
    q = q * t + 0x1.7308e1851f1d9p-11;
    q = q * t + 0x1.17c8246639e30p-8;
    q = q * t + -0x1.8fa58eacabae0p-6;
    q = q * t + 0x1.258b13b3f1b02p-4;
    q = q * t + -0x1.336ffbeed9f3cp-3;
    q = q * t + 0x1.f6ff204106f41p-3;
    q = q * t + -0x1.4e102b9cf8543p-2;
    q = q * t + 0x1.6e9827d229d28p-3;
    const double small = a + a * p, large = 1.0 - vm_exp_f64(-c * c) * q;
    return copysign(a < 1.0 ? small : a != a ? a : large, x);
}

/* ---- sin, cos -------------------------------------------------------------------------------- */

/* An angle reduced to n pi/2 + r + low, |r| <= pi/4. */
typedef struct vm_angle {
    double r, low;
    int64_t n;
} vm_angle;

/* The first 1216 bits of 2/pi behind one word of zeros. */
static const uint64_t vm_two_over_pi_f64[21] = {
    0x0000000000000000u, 0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u,
    0xfe5163abdebbc561u, 0xb7246e3a424dd2e0u, 0x06492eea09d1921cu, 0xfe1deb1cb129a73eu,
    0xe88235f52ebb4484u, 0xe99c7026b45f7e41u, 0x3991d639835339f4u, 0x9c845f8bbdf9283bu,
    0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du,
    0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu,
    0xf0cfbc209af4361du,
};

__extension__ typedef unsigned __int128 vm_u128;

/* 64 bits of 2/pi from its bit number `bit` on (1 is the half), counted from the word of zeros. */
static inline uint64_t vm_word_of_two_over_pi(int bit) {
    const int i = bit >> 6, s = bit & 63;
    const uint64_t a = vm_two_over_pi_f64[i], b = vm_two_over_pi_f64[i + 1];
    return s ? a << s | b >> (64 - s) : a;
}

/* |x| = m 2^e with an integer m of 53 bits: the 192 bits of 2/pi that matter below 2^2 turns of
 * pi/2, times m, modulo 2^192, are n mod 4 and 190 bits of fraction. For 2^20 <= |x| < Inf. */
static vm_angle vm_reduce_far_f64(double x) {
    const uint64_t u = vm_bits_f64(x), m = (u & 0xfffffffffffffu) | 0x10000000000000u;
    const int e = (int)(u >> 52 & 0x7ff) - 1075, bit = 63 + e - 1;
    const uint64_t w2 = vm_word_of_two_over_pi(bit), w1 = vm_word_of_two_over_pi(bit + 64);
    const uint64_t w0 = vm_word_of_two_over_pi(bit + 128);
    const vm_u128 low = (vm_u128)m * w0, middle = (vm_u128)m * w1 + (uint64_t)(low >> 64);
    const uint64_t top = m * w2 + (uint64_t)(middle >> 64);
    const uint64_t n = (top + 0x2000000000000000u) >> 62;
    /* the fraction, now in [-1/2, 1/2), in units of 2^-126 */
    const vm_u128 fraction = ((vm_u128)(top - (n << 62)) << 64) | (uint64_t)middle;
    const int negative = (int)(fraction >> 127);
    const vm_u128 size = negative ? -fraction : fraction;
    const double h1 = (double)(uint32_t)(size >> 96) * 0x1p32, h0 = (double)(uint32_t)(size >> 64);
    const vm_pair h = vm_two_sum(h1, h0), pi = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54};
    const vm_pair f = vm_fast_sum(h.hi, h.lo + (double)(uint64_t)size * 0x1p-64);
    const vm_pair r = vm_mul_pair((vm_pair){f.hi * 0x1p-62, f.lo * 0x1p-62}, pi);
    return (vm_angle){negative ? -r.hi : r.hi, negative ? -r.lo : r.lo, (int64_t)n};
}

/* For |x| < 2^20: pi/2 in parts of 33 bits, which a count of 20 bits multiplies exactly. */
static inline vm_angle vm_reduce_near_f64(double x) {
    const double t = x * 0x1.45f306dc9c883p-1 + VM_ROUND_F64, n = t - VM_ROUND_F64;
    const double a = x - n * 0x1.921fb544p+0;
    const vm_pair b = vm_two_sum(a, -(n * 0x1.0b4611a6p-34));
    const vm_pair c = vm_two_sum(b.hi, -(n * 0x1.3198a2ep-69));
    const vm_pair r = vm_fast_sum(c.hi, c.lo + (b.lo - n * 0x1.b839a252049c1p-104));
    return (vm_angle){r.hi, r.lo, (int64_t)(vm_bits_f64(t) - vm_bits_f64(VM_ROUND_F64))};
}

static inline double vm_sin_poly_f64(double r, double low) {
    const double z = r * r;
    double p = -0x1.9fb260ee18e96p-41;
    p = p * z + 0x1.61093132af8b4p-33;
    p = p * z + -0x1.ae642b8c0f130p-26;
    p = p * z + 0x1.71de3a3324454p-19;
    p = p * z + -0x1.a01a019ffe058p-13;
    p = p * z + 0x1.1111111111068p-7;
    p = p * z + -0x1.5555555555555p-3;
    return r + (r * z * p + low * (1.0 - 0.5 * z));
}

static inline double vm_cos_poly_f64(double r, double low) {
    const double z = r * r, h = 0.5 * z, w = 1.0 - h;
    double p = 0x1.9cb83267cb9f0p-45;
    p = p * z + -0x1.93724ee5f3655p-37;
    p = p * z + 0x1.1eed6ddf6c0d3p-29;
    p = p * z + -0x1.27e4fb58de44ap-22;
    p = p * z + 0x1.a01a019ffbcccp-16;
    p = p * z + -0x1.6c16c16c16b2cp-10;
    p = p * z + 0x1.5555555555555p-5;
    return w + (((1.0 - w) - h) + (z * z * p - r * low));
}

/* sin(|x| + quarter pi/2) */
static inline double vm_sincos_f64(double x, int64_t quarter) {
    const double a = fabs(x);
    if (!(a < INFINITY)) return NAN;
    const vm_angle v = a < 0x1p20 ? vm_reduce_near_f64(a) : vm_reduce_far_f64(a);
    const int64_t k = v.n + quarter;
    const double y = k & 1 ? vm_cos_poly_f64(v.r, v.low) : vm_sin_poly_f64(v.r, v.low);
    return k & 2 ? -y : y;
}

static inline double vm_sin_f64(double x) {
    const double y = vm_sincos_f64(x, 0);
    return fabs(x) < 0x1p-27 ? x : signbit(x) ? -y : y;
}

static inline double vm_cos_f64(double x) {
    return vm_sincos_f64(x, 1);
}

/* As vm_turn_f32, for 0 <= x < 2^20. */
static inline void vm_turn_f64(double x, double *sine, double *cosine) {
    const vm_angle v = vm_reduce_near_f64(x);
    const double s = vm_sin_poly_f64(v.r, v.low), c = vm_cos_poly_f64(v.r, v.low);
    const double up = v.n & 1 ? c : s, along = v.n & 1 ? s : c;
    *sine = x < 0x1p-27 ? x : v.n & 2 ? -up : up;
    *cosine = (v.n + 1) & 2 ? -along : along;
}

#endif
