/* taper/pointwise.h -- elementwise ops. Written by scripts/gen-pointwise from pointwise.def.
 *
 * Operands broadcast as in NumPy: [..., 1] or a missing axis repeats. Dtypes promote as in torch.
 * With the macros, a and b may be numbers: tp_mul(t, 2), tp_sub(1, p). Results are scoped and
 * contiguous. Errors: ESHAPE where shapes do not broadcast, EDTYPE. */
#ifndef TAPER_POINTWISE_H
#define TAPER_POINTWISE_H
#include "autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

TP_API TP_SCOPED tp_tensor *tp_exp(tp_tensor *x);                       /* e^x */
TP_API TP_SCOPED tp_tensor *tp_expm1(tp_tensor *x);                     /* e^x - 1 */
TP_API TP_SCOPED tp_tensor *tp_log(tp_tensor *x);                       /* ln x */
TP_API TP_SCOPED tp_tensor *tp_log1p(tp_tensor *x);                     /* ln(1 + x) */
TP_API TP_SCOPED tp_tensor *tp_log2(tp_tensor *x);                      /* log2 x */
TP_API TP_SCOPED tp_tensor *tp_log10(tp_tensor *x);                     /* log10 x */
TP_API TP_SCOPED tp_tensor *tp_sqrt(tp_tensor *x);                      /* x^(1/2) */
TP_API TP_SCOPED tp_tensor *tp_rsqrt(tp_tensor *x);                     /* x^(-1/2) */
TP_API TP_SCOPED tp_tensor *tp_reciprocal(tp_tensor *x);                /* 1 / x */
TP_API TP_SCOPED tp_tensor *tp_sin(tp_tensor *x);                       /* sin x */
TP_API TP_SCOPED tp_tensor *tp_cos(tp_tensor *x);                       /* cos x */
TP_API TP_SCOPED tp_tensor *tp_tanh(tp_tensor *x);                      /* tanh x */
TP_API TP_SCOPED tp_tensor *tp_sigmoid(tp_tensor *x);                   /* 1 / (1 + e^-x) */
TP_API TP_SCOPED tp_tensor *tp_logsigmoid(tp_tensor *x);                /* ln(1 / (1 + e^-x)) */
TP_API TP_SCOPED tp_tensor *tp_softplus(tp_tensor *x);                  /* ln(1 + e^x) */
TP_API TP_SCOPED tp_tensor *tp_erf(tp_tensor *x);                       /* erf x */
TP_API TP_SCOPED tp_tensor *tp_gelu(tp_tensor *x);                      /* x * Phi(x) */
TP_API TP_SCOPED tp_tensor *tp_silu(tp_tensor *x);                      /* x * sigmoid(x) */
TP_API TP_SCOPED tp_tensor *tp_neg(tp_tensor *x);                       /* -x */
TP_API TP_SCOPED tp_tensor *tp_abs(tp_tensor *x);                       /* |x| */
TP_API TP_SCOPED tp_tensor *tp_sign(tp_tensor *x);                      /* -1, 0 or 1 */
TP_API TP_SCOPED tp_tensor *tp_relu(tp_tensor *x);                      /* max(x, 0) */
TP_API TP_SCOPED tp_tensor *tp_square(tp_tensor *x);                    /* x^2 */
TP_API TP_SCOPED tp_tensor *tp_floor(tp_tensor *x);                     /* largest integer <= x */
TP_API TP_SCOPED tp_tensor *tp_ceil(tp_tensor *x);                      /* smallest integer >= x */
TP_API TP_SCOPED tp_tensor *tp_trunc(tp_tensor *x);                     /* integer part of x */
TP_API TP_SCOPED tp_tensor *tp_round(tp_tensor *x);            /* nearest integer, halves to even */
TP_API TP_SCOPED tp_tensor *tp_isnan(tp_tensor *x);                     /* x is NaN */
TP_API TP_SCOPED tp_tensor *tp_isinf(tp_tensor *x);                     /* x is infinite */
TP_API TP_SCOPED tp_tensor *tp_isfinite(tp_tensor *x);           /* x is neither NaN nor infinite */
TP_API TP_SCOPED tp_tensor *tp_logical_not(tp_tensor *x);               /* x is zero */
TP_API TP_SCOPED tp_tensor *tp_add(tp_tensor *a, tp_tensor *b);         /* a + b */
TP_API TP_SCOPED tp_tensor *tp_sub(tp_tensor *a, tp_tensor *b);         /* a - b */
TP_API TP_SCOPED tp_tensor *tp_mul(tp_tensor *a, tp_tensor *b);         /* a * b */
TP_API TP_SCOPED tp_tensor *tp_div(tp_tensor *a, tp_tensor *b);         /* a / b */
TP_API TP_SCOPED tp_tensor *tp_pow(tp_tensor *a, tp_tensor *b);         /* a^b */
TP_API TP_SCOPED tp_tensor *tp_maximum(tp_tensor *a, tp_tensor *b);     /* max(a, b) */
TP_API TP_SCOPED tp_tensor *tp_minimum(tp_tensor *a, tp_tensor *b);     /* min(a, b) */
TP_API TP_SCOPED tp_tensor *tp_remainder(tp_tensor *a, tp_tensor *b);   /* a - floor(a / b) * b */
TP_API TP_SCOPED tp_tensor *tp_floor_divide(tp_tensor *a, tp_tensor *b); /* floor(a / b) */
TP_API TP_SCOPED tp_tensor *tp_eq(tp_tensor *a, tp_tensor *b);          /* a == b */
TP_API TP_SCOPED tp_tensor *tp_ne(tp_tensor *a, tp_tensor *b);          /* a != b */
TP_API TP_SCOPED tp_tensor *tp_lt(tp_tensor *a, tp_tensor *b);          /* a < b */
TP_API TP_SCOPED tp_tensor *tp_le(tp_tensor *a, tp_tensor *b);          /* a <= b */
TP_API TP_SCOPED tp_tensor *tp_gt(tp_tensor *a, tp_tensor *b);          /* a > b */
TP_API TP_SCOPED tp_tensor *tp_ge(tp_tensor *a, tp_tensor *b);          /* a >= b */
TP_API TP_SCOPED tp_tensor *tp_logical_and(tp_tensor *a, tp_tensor *b); /* a and b are not zero */
TP_API TP_SCOPED tp_tensor *tp_logical_or(tp_tensor *a, tp_tensor *b);  /* a or b is not zero */
TP_API TP_SCOPED tp_tensor *tp_logical_xor(tp_tensor *a, tp_tensor *b); /* one of a and b is zero */
TP_API TP_SCOPED tp_tensor *tp_bitwise_and(tp_tensor *a, tp_tensor *b); /* a & b */
TP_API TP_SCOPED tp_tensor *tp_bitwise_or(tp_tensor *a, tp_tensor *b);  /* a | b */
TP_API TP_SCOPED tp_tensor *tp_bitwise_xor(tp_tensor *a, tp_tensor *b); /* a ^ b */
/* min(max(x, p), q); a NaN bound is none */
TP_API TP_SCOPED tp_tensor *tp_clamp(tp_tensor *x, double p, double q);
TP_API TP_SCOPED tp_tensor *tp_leaky_relu(tp_tensor *x, double p);      /* x > 0 ? x : p * x */
TP_API TP_SCOPED tp_tensor *tp_elu(tp_tensor *x, double p);          /* x > 0 ? x : p * (e^x - 1) */

/* A number or a tensor as an operand. */
#ifdef __cplusplus
} /* extern "C" */
inline tp_tensor *tp__operand(tp_tensor *x) { return x; }
inline tp_tensor *tp__operand(double x) { return tp_num(x); }
inline tp_tensor *tp__operand(float x) { return tp_num(static_cast<double>(x)); }
template <typename I> inline tp_tensor *tp__operand(I x) {
    return tp_num_int(static_cast<int64_t>(x));
}
#define TP__NUM(x) tp__operand(x)
#else
static inline tp_tensor *tp__operand(void *x) { return (tp_tensor *)x; }
#define TP__NUM(x)                                                                                 \
    _Generic((x), tp_tensor *: tp__operand, void *: tp__operand, float: tp_num, double: tp_num,   \
             default: tp_num_int)(x)
#endif

#ifndef TAPER_PLAIN
#define tp_exp(...) TP__SITE(tp_exp(__VA_ARGS__))
#define tp_expm1(...) TP__SITE(tp_expm1(__VA_ARGS__))
#define tp_log(...) TP__SITE(tp_log(__VA_ARGS__))
#define tp_log1p(...) TP__SITE(tp_log1p(__VA_ARGS__))
#define tp_log2(...) TP__SITE(tp_log2(__VA_ARGS__))
#define tp_log10(...) TP__SITE(tp_log10(__VA_ARGS__))
#define tp_sqrt(...) TP__SITE(tp_sqrt(__VA_ARGS__))
#define tp_rsqrt(...) TP__SITE(tp_rsqrt(__VA_ARGS__))
#define tp_reciprocal(...) TP__SITE(tp_reciprocal(__VA_ARGS__))
#define tp_sin(...) TP__SITE(tp_sin(__VA_ARGS__))
#define tp_cos(...) TP__SITE(tp_cos(__VA_ARGS__))
#define tp_tanh(...) TP__SITE(tp_tanh(__VA_ARGS__))
#define tp_sigmoid(...) TP__SITE(tp_sigmoid(__VA_ARGS__))
#define tp_logsigmoid(...) TP__SITE(tp_logsigmoid(__VA_ARGS__))
#define tp_softplus(...) TP__SITE(tp_softplus(__VA_ARGS__))
#define tp_erf(...) TP__SITE(tp_erf(__VA_ARGS__))
#define tp_gelu(...) TP__SITE(tp_gelu(__VA_ARGS__))
#define tp_silu(...) TP__SITE(tp_silu(__VA_ARGS__))
#define tp_neg(...) TP__SITE(tp_neg(__VA_ARGS__))
#define tp_abs(...) TP__SITE(tp_abs(__VA_ARGS__))
#define tp_sign(...) TP__SITE(tp_sign(__VA_ARGS__))
#define tp_relu(...) TP__SITE(tp_relu(__VA_ARGS__))
#define tp_square(...) TP__SITE(tp_square(__VA_ARGS__))
#define tp_floor(...) TP__SITE(tp_floor(__VA_ARGS__))
#define tp_ceil(...) TP__SITE(tp_ceil(__VA_ARGS__))
#define tp_trunc(...) TP__SITE(tp_trunc(__VA_ARGS__))
#define tp_round(...) TP__SITE(tp_round(__VA_ARGS__))
#define tp_isnan(...) TP__SITE(tp_isnan(__VA_ARGS__))
#define tp_isinf(...) TP__SITE(tp_isinf(__VA_ARGS__))
#define tp_isfinite(...) TP__SITE(tp_isfinite(__VA_ARGS__))
#define tp_logical_not(...) TP__SITE(tp_logical_not(__VA_ARGS__))
#define tp_add(a, b) TP__SITE(tp_add(TP__NUM(a), TP__NUM(b)))
#define tp_sub(a, b) TP__SITE(tp_sub(TP__NUM(a), TP__NUM(b)))
#define tp_mul(a, b) TP__SITE(tp_mul(TP__NUM(a), TP__NUM(b)))
#define tp_div(a, b) TP__SITE(tp_div(TP__NUM(a), TP__NUM(b)))
#define tp_pow(a, b) TP__SITE(tp_pow(TP__NUM(a), TP__NUM(b)))
#define tp_maximum(a, b) TP__SITE(tp_maximum(TP__NUM(a), TP__NUM(b)))
#define tp_minimum(a, b) TP__SITE(tp_minimum(TP__NUM(a), TP__NUM(b)))
#define tp_remainder(a, b) TP__SITE(tp_remainder(TP__NUM(a), TP__NUM(b)))
#define tp_floor_divide(a, b) TP__SITE(tp_floor_divide(TP__NUM(a), TP__NUM(b)))
#define tp_eq(a, b) TP__SITE(tp_eq(TP__NUM(a), TP__NUM(b)))
#define tp_ne(a, b) TP__SITE(tp_ne(TP__NUM(a), TP__NUM(b)))
#define tp_lt(a, b) TP__SITE(tp_lt(TP__NUM(a), TP__NUM(b)))
#define tp_le(a, b) TP__SITE(tp_le(TP__NUM(a), TP__NUM(b)))
#define tp_gt(a, b) TP__SITE(tp_gt(TP__NUM(a), TP__NUM(b)))
#define tp_ge(a, b) TP__SITE(tp_ge(TP__NUM(a), TP__NUM(b)))
#define tp_logical_and(a, b) TP__SITE(tp_logical_and(TP__NUM(a), TP__NUM(b)))
#define tp_logical_or(a, b) TP__SITE(tp_logical_or(TP__NUM(a), TP__NUM(b)))
#define tp_logical_xor(a, b) TP__SITE(tp_logical_xor(TP__NUM(a), TP__NUM(b)))
#define tp_bitwise_and(a, b) TP__SITE(tp_bitwise_and(TP__NUM(a), TP__NUM(b)))
#define tp_bitwise_or(a, b) TP__SITE(tp_bitwise_or(TP__NUM(a), TP__NUM(b)))
#define tp_bitwise_xor(a, b) TP__SITE(tp_bitwise_xor(TP__NUM(a), TP__NUM(b)))
#define tp_clamp(...) TP__SITE(tp_clamp(__VA_ARGS__))
#define tp_leaky_relu(...) TP__SITE(tp_leaky_relu(__VA_ARGS__))
#define tp_elu(...) TP__SITE(tp_elu(__VA_ARGS__))
#endif
#endif
