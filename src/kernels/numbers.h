/* numbers.h -- arithmetic that rows of pointwise.def name: number, remainder, floordiv and power
 * of a dtype, and vmath.h's functions as T_EXP and its kin. */
#ifndef TAPER_SRC_NUMBERS_H
#define TAPER_SRC_NUMBERS_H
#include "kernels/vmath64.h"

#define T_EXP(x) FN(vm_exp)(x)
#define T_EXPM1(x) FN(vm_expm1)(x)
#define T_LOG(x) FN(vm_log)(x)
#define T_LOG1P(x) FN(vm_log1p)(x)
#define T_LOG2(x) FN(vm_log2)(x)
#define T_LOG10(x) FN(vm_log10)(x)
#define T_SIN(x) FN(vm_sin)(x)
#define T_COS(x) FN(vm_cos)(x)
#define T_TANH(x) FN(vm_tanh)(x)
#define T_SIGMOID(x) FN(vm_sigmoid)(x)
#define T_ERF(x) FN(vm_erf)(x)
#define T_POW(a, b) FN(power)(a, b)
#define T_REMAINDER(a, b) FN(remainder_of)(a, b)
#define T_FLOORDIV(a, b) FN(floordiv)(a, b)

/* The numbers of PARAM rows: rounded to a float dtype, saturated to an integer one. */
static inline float number_f32(double v) {
    return (float)v;
}
static inline double number_f64(double v) {
    return v;
}
static inline int64_t number_i64(double v) {
    return v >= 0x1p63 ? INT64_MAX : v >= -0x1p63 ? (int64_t)v : INT64_MIN;
}
static inline uint8_t number_u8(double v) {
    return v >= 255.0 ? 255 : v > 0.0 ? (uint8_t)v : 0;
}

/* Where one reduction does. */
#define DEFINE_QUICK_TURN(T, suf, near, fabs_)     \
    static inline T quick_sin_##suf(T x) {         \
        const T a = fabs_(x);                      \
        T sine, cosine;                            \
        vm_turn_##suf(a, &sine, &cosine);          \
        const T y = x < 0 ? -sine : sine;          \
        return a < (near) ? (a > 0 ? y : x) : NAN; \
    }                                              \
    static inline T quick_cos_##suf(T x) {         \
        T sine, cosine;                            \
        vm_turn_##suf(fabs_(x), &sine, &cosine);   \
        return fabs_(x) < (near) ? cosine : NAN;   \
    }
DEFINE_QUICK_TURN(float, f32, 0x1p26f, fabsf)
DEFINE_QUICK_TURN(double, f64, 0x1p20, fabs)
#undef DEFINE_QUICK_TURN

/* What is left of a when b goes into it a whole number of times, with a's sign. A quotient of
 * floats of up to 29 bits is found in double, where it times b is exact; NaN where that does not
 * do. libm's fmod, which is exact, does for everything. */
static inline float quick_rest_f32(float a, float b) {
    const double exact = (double)a / b, size = fabs(exact);
    const double near = (size + 0x1p52) - 0x1p52, below = near - 1.0;
    const double q = copysign(near > size ? below : near, exact);
    const double r = a - q * b, less = r + copysign(b, a);
    const int far = (r != 0.0) & ((r < 0.0) != (a < 0.0f)); /* a / b was rounded up to q */
    const float m = copysignf((float)(far ? less : r), a), rest = (float)q == 0.0f ? a : m;
    return rest * (float)(size < 0x1p29 ? 1.0 : (double)NAN); /* a mask of its own width */
}
static inline double quick_rest_f64(double a, double b) {
    (void)a, (void)b;
    return NAN;
}

/* Python's % from the rest m: the sign of the divisor. And its //, so that a = floordiv b +
 * remainder as nearly as floats can. */
#define DEFINE_REMAINDER(T, suf, floor_, copysign_, fmod_)                         \
    static inline T rest_##suf(T a, T b) {                                         \
        const T m = quick_rest_##suf(a, b);                                        \
        return m == m ? m : fmod_(a, b);                                           \
    }                                                                              \
    static inline T remainder_from_##suf(T m, T b) {                               \
        const int turns = (m != 0) & ((b < 0) ^ (m < 0));                          \
        const T other = m + b;                                                     \
        return turns ? other : m;                                                  \
    }                                                                              \
    static inline T floordiv_from_##suf(T m, T a, T b) {                           \
        const T d = (a - m) / b, less = d - 1;                                     \
        const int turns = (m != 0) & ((b < 0) ^ (m < 0));                          \
        const T e = turns ? less : d;                                              \
        const T f = floor_(e), more = f + 1, y = e - f > (T)0.5 ? more : f;        \
        const T zero = copysign_(0, a / b);                                        \
        return e == 0 ? zero : y;                                                  \
    }                                                                              \
    static inline T remainder_of_##suf(T a, T b) {                                 \
        return remainder_from_##suf(rest_##suf(a, b), b);                          \
    }                                                                              \
    static inline T floordiv_##suf(T a, T b) {                                     \
        return b == 0 ? a / b : floordiv_from_##suf(rest_##suf(a, b), a, b);       \
    }                                                                              \
    static inline T quick_remainder_##suf(T a, T b) {                              \
        return remainder_from_##suf(quick_rest_##suf(a, b), b);                    \
    }                                                                              \
    static inline T quick_floor_divide_##suf(T a, T b) {                           \
        return floordiv_from_##suf(quick_rest_##suf(a, b), a, b); /* NaN of NaN */ \
    }
DEFINE_REMAINDER(float, f32, floorf, copysignf, fmodf)
DEFINE_REMAINDER(double, f64, floor, copysign, fmod)
#undef DEFINE_REMAINDER

/* Nothing to divide by gives 0 (the op refuses it first); INT64_MIN / -1 wraps. */
static inline int64_t remainder_of_i64(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    const int64_t m = a % b;
    return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}
static inline uint8_t remainder_of_u8(uint8_t a, uint8_t b) {
    return (uint8_t)(b ? a % b : 0);
}

static inline int64_t floordiv_i64(int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return (int64_t)(0 - (uint64_t)a);
    const int64_t d = a / b;
    return d * b != a && (a < 0) != (b < 0) ? d - 1 : d;
}
static inline uint8_t floordiv_u8(uint8_t a, uint8_t b) {
    return (uint8_t)(b ? a / b : 0);
}

static inline float power_f32(float a, float b) {
    return vm_pow_f32(a, b);
}
static inline double power_f64(double a, double b) {
    return vm_pow_f64(a, b);
}
/* Integer powers by squaring; a negative exponent leaves 1, -1 or 0. */
static inline uint64_t power_of(uint64_t a, uint64_t n) {
    uint64_t r = 1;
    for (; n; n >>= 1, a *= a)
        if (n & 1) r *= a;
    return r;
}
static inline int64_t power_i64(int64_t a, int64_t n) {
    if (n >= 0) return (int64_t)power_of((uint64_t)a, (uint64_t)n);
    return a == 1 ? 1 : a == -1 ? (n & 1 ? -1 : 1) : 0;
}
static inline uint8_t power_u8(uint8_t a, uint8_t n) {
    return (uint8_t)power_of(a, n);
}

#endif
