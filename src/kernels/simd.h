/* simd.h -- the few vector operations that matrix multiply writes out by hand, for the level
 * that this file is compiled at (TP_ISA_LEVEL 0, 3 or 4), for float (f32) and double (f64).
 *
 * Vectors are the compiler's own (+, -, [i] work on them). Intrinsics stand where it has no
 * word: the fused multiply-add, which at the base level is a multiply and an add, and masked
 * access. */
#ifndef TAPER_SRC_SIMD_H
#define TAPER_SRC_SIMD_H
#include "base/base.h"
#include <stdint.h>
#include <string.h>
#ifndef TP_ISA_LEVEL
#define TP_ISA_LEVEL 0
#endif
#if TP_ISA_LEVEL >= 3
#include <immintrin.h>
#endif


enum {
    VECTOR_BYTES = TP_ISA_LEVEL >= 4   ? 64
                   : TP_ISA_LEVEL >= 3 ? 32
                                       : 16,
    LANES_f32 = VECTOR_BYTES / 4,
    LANES_f64 = VECTOR_BYTES / 8
};
typedef float vec_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef double vec_f64 __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t bits_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t bits_f64 __attribute__((vector_size(VECTOR_BYTES)));
typedef float near_f32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef double near_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));

/* load and store take any address that suits an element; first_n is the mask of the first n lanes,
 * 0 <= n <= LANES, and lanes that are masked out are read as 0 and not touched in memory.
 * relu is x > 0 ? x : +0, and NaN stays. nonzero has a bit for each lane that is
 * not 0, as NaN is. */
#define TP__VECTOR(SUF, T)                                                   \
    TP__INLINE vec_##SUF load_##SUF(const void *p) {                         \
        return *(const near_##SUF *)p;                                       \
    }                                                                        \
    TP__INLINE void store_##SUF(void *p, vec_##SUF v) {                      \
        *(near_##SUF *)p = v;                                                \
    }                                                                        \
    TP__INLINE vec_##SUF relu_##SUF(vec_##SUF v) {                           \
        const bits_##SUF stays = (bits_##SUF)(v > 0) | (bits_##SUF)(v != v); \
        return (vec_##SUF)((bits_##SUF)v & stays);                           \
    }
TP__VECTOR(f32, float)
TP__VECTOR(f64, double)
#undef TP__VECTOR

/* As many numbers of a dtype as a vector of double has, as double: gcc 12 makes several steps of a
 * conversion to 512 bits. */
TP__INLINE vec_f64 load_wide_f64(const void *p) {
    return load_f64(p);
}
TP__INLINE vec_f64 load_wide_f32(const void *p) {
#if TP_ISA_LEVEL >= 4
    return (vec_f64)_mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif TP_ISA_LEVEL >= 3
    return (vec_f64)_mm256_cvtps_pd(_mm_loadu_ps(p));
#else
    const float *const x = p;
    return (vec_f64){(double)x[0], (double)x[1]};
#endif
}

#if TP_ISA_LEVEL >= 4
typedef __mmask16 mask_f32;
typedef __mmask8 mask_f64;
TP__INLINE mask_f32 first_n_f32(int n) {
    return (mask_f32)((1u << n) - 1);
}
TP__INLINE mask_f64 first_n_f64(int n) {
    return (mask_f64)((1u << n) - 1);
}
TP__INLINE vec_f32 load_some_f32(const void *p, mask_f32 m) {
    return (vec_f32)_mm512_maskz_loadu_ps(m, p);
}
TP__INLINE vec_f64 load_some_f64(const void *p, mask_f64 m) {
    return (vec_f64)_mm512_maskz_loadu_pd(m, p);
}
TP__INLINE void store_some_f32(void *p, mask_f32 m, vec_f32 v) {
    _mm512_mask_storeu_ps(p, m, (__m512)v);
}
TP__INLINE void store_some_f64(void *p, mask_f64 m, vec_f64 v) {
    _mm512_mask_storeu_pd(p, m, (__m512d)v);
}
TP__INLINE vec_f32 all_f32(float x) {
    return (vec_f32)_mm512_set1_ps(x);
}
TP__INLINE vec_f64 all_f64(double x) {
    return (vec_f64)_mm512_set1_pd(x);
}
TP__INLINE vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c) {
    return (vec_f32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
TP__INLINE vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c) {
    return (vec_f64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
/* gcc 12 may keep a mask in memory as a byte or two and read four back, sure that the others are
 * 0: not where it has been in a register that might be anything. */
TP__INLINE unsigned nonzero_f32(vec_f32 v) {
    __mmask16 lanes = _mm512_cmp_ps_mask((__m512)v, (__m512){0}, _CMP_NEQ_UQ);
    __asm__("" : "+r"(lanes));
    return lanes;
}
TP__INLINE unsigned nonzero_f64(vec_f64 v) {
    __mmask8 lanes = _mm512_cmp_pd_mask((__m512d)v, (__m512d){0}, _CMP_NEQ_UQ);
    __asm__("" : "+r"(lanes));
    return lanes;
}
/* Of the lower half alone; what the upper one then holds is of no use. */
TP__INLINE vec_f32 load_low_f32(const void *p) {
    return (vec_f32)_mm512_castps256_ps512(_mm256_loadu_ps(p));
}
TP__INLINE vec_f64 load_low_f64(const void *p) {
    return (vec_f64)_mm512_castpd256_pd512(_mm256_loadu_pd(p));
}
TP__INLINE vec_f32 all_low_f32(float x) {
    return (vec_f32)_mm512_castps256_ps512(_mm256_set1_ps(x));
}
TP__INLINE vec_f64 all_low_f64(double x) {
    return (vec_f64)_mm512_castpd256_pd512(_mm256_set1_pd(x));
}
TP__INLINE vec_f32 fma_low_f32(vec_f32 a, vec_f32 b, vec_f32 c) {
    return (vec_f32)_mm512_castps256_ps512(_mm256_fmadd_ps(_mm512_castps512_ps256((__m512)a),
                                                           _mm512_castps512_ps256((__m512)b),
                                                           _mm512_castps512_ps256((__m512)c)));
}
TP__INLINE vec_f64 fma_low_f64(vec_f64 a, vec_f64 b, vec_f64 c) {
    return (vec_f64)_mm512_castpd256_pd512(_mm256_fmadd_pd(_mm512_castpd512_pd256((__m512d)a),
                                                           _mm512_castpd512_pd256((__m512d)b),
                                                           _mm512_castpd512_pd256((__m512d)c)));
}
#elif TP_ISA_LEVEL >= 3
/* Loads take a mask. Stores do without: some processors need a dozen cycles for a masked one. */
typedef struct mask_256 {
    __m256i lanes;
    int n;
} mask_f32, mask_f64;
TP__INLINE mask_f32 first_n_f32(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (mask_f32){_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), n};
}
TP__INLINE mask_f64 first_n_f64(int n) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return (mask_f64){_mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane), n};
}
TP__INLINE vec_f32 load_some_f32(const void *p, mask_f32 m) {
    return (vec_f32)_mm256_maskload_ps(p, m.lanes);
}
TP__INLINE vec_f64 load_some_f64(const void *p, mask_f64 m) {
    return (vec_f64)_mm256_maskload_pd(p, m.lanes);
}
TP__INLINE void store_some_f32(void *p, mask_f32 m, vec_f32 v) {
    float *to = p;
    if (m.n == 8) {
        _mm256_storeu_ps(to, (__m256)v);
        return;
    }
    __m128 rest = _mm256_castps256_ps128((__m256)v);
    if (m.n & 4) {
        _mm_storeu_ps(to, rest);
        rest = _mm256_extractf128_ps((__m256)v, 1);
        to += 4;
    }
    if (m.n & 2) {
        _mm_storel_pi((__m64 *)to, rest);
        rest = _mm_movehl_ps(rest, rest);
        to += 2;
    }
    if (m.n & 1) _mm_store_ss(to, rest);
}
TP__INLINE void store_some_f64(void *p, mask_f64 m, vec_f64 v) {
    double *to = p;
    if (m.n == 4) {
        _mm256_storeu_pd(to, (__m256d)v);
        return;
    }
    __m128d rest = _mm256_castpd256_pd128((__m256d)v);
    if (m.n & 2) {
        _mm_storeu_pd(to, rest);
        rest = _mm256_extractf128_pd((__m256d)v, 1);
        to += 2;
    }
    if (m.n & 1) _mm_store_sd(to, rest);
}
TP__INLINE vec_f32 all_f32(float x) {
    return (vec_f32)_mm256_set1_ps(x);
}
TP__INLINE vec_f64 all_f64(double x) {
    return (vec_f64)_mm256_set1_pd(x);
}
TP__INLINE vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c) {
    return (vec_f32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
TP__INLINE vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c) {
    return (vec_f64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
TP__INLINE unsigned nonzero_f32(vec_f32 v) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)v, (__m256){0}, _CMP_NEQ_UQ));
}
TP__INLINE unsigned nonzero_f64(vec_f64 v) {
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)v, (__m256d){0}, _CMP_NEQ_UQ));
}
#else
#define TP__BASE(SUF, T)                                                           \
    typedef int mask_##SUF;                                                        \
    TP__INLINE mask_##SUF first_n_##SUF(int n) {                                   \
        return n;                                                                  \
    }                                                                              \
    TP__INLINE vec_##SUF load_some_##SUF(const void *p, mask_##SUF n) {            \
        vec_##SUF v = {0};                                                         \
        for (int i = 0; i < n; i++) v[i] = ((const T *)p)[i];                      \
        return v;                                                                  \
    }                                                                              \
    TP__INLINE void store_some_##SUF(void *p, mask_##SUF n, vec_##SUF v) {         \
        for (int i = 0; i < n; i++) ((T *)p)[i] = v[i];                            \
    }                                                                              \
    TP__INLINE vec_##SUF all_##SUF(T x) {                                          \
        vec_##SUF v;                                                               \
        TP__UNROLL                                                                 \
        for (int i = 0; i < LANES_##SUF; i++) v[i] = x;                            \
        return v;                                                                  \
    }                                                                              \
    TP__INLINE vec_##SUF fma_##SUF(vec_##SUF a, vec_##SUF b, vec_##SUF c) {        \
        return a * b + c;                                                          \
    }                                                                              \
    TP__INLINE unsigned nonzero_##SUF(vec_##SUF v) {                               \
        unsigned lanes = 0;                                                        \
        TP__UNROLL                                                                 \
        for (int i = 0; i < LANES_##SUF; i++) lanes |= (unsigned)(v[i] != 0) << i; \
        return lanes;                                                              \
    }
TP__BASE(f32, float)
TP__BASE(f64, double)
#undef TP__BASE
#endif

#if TP_ISA_LEVEL < 4 /* halves are of use to 512 bits alone */
#define load_low_f32 load_f32
#define load_low_f64 load_f64
#define all_low_f32 all_f32
#define all_low_f64 all_f64
#define fma_low_f32 fma_f32
#define fma_low_f64 fma_f64
#endif
/* c += a b, in c's register, where a compiler would move sums about. */
#if TP_ISA_LEVEL >= 3
TP__INLINE vec_f32 fma_to_f32(vec_f32 a, vec_f32 b, vec_f32 c) {
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(b), "v"(a));
    return c;
}
TP__INLINE vec_f64 fma_to_f64(vec_f64 a, vec_f64 b, vec_f64 c) {
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(c) : "v"(b), "v"(a));
    return c;
}
#else
#define fma_to_f32 fma_f32
#define fma_to_f64 fma_f64
#endif

#endif
