/* op_random.c -- PyTorch's random tensors from its generator, draw for draw.
 *
 * Values are made in a dense buffer in row-major order and, where the target is not dense, copied,
 * so the numbers do not depend on strides. */
#include "ops/ops.h"
#include <inttypes.h>
#include <math.h>

enum { PIECE = 512 }; /* numbers drawn at once */

static tp_rng *or_default(tp_rng *rng) {
    return rng ? rng : tp_rng_default();
}

static tp_tensor *fresh_floats(const char *what, const tp_shape *shape, tp_dtype dtype) {
    tp_tensor *x = tp__new(what, shape, dtype);
    if (!x || tp__is_float(dtype)) return x;
    return tp__fail(TP_EDTYPE, "%s: floats only, not %s; tp_randint draws integers", what,
                    tp_dtype_name(dtype));
}

/* Is x a tensor that a random op may fill? */
static bool fillable(const char *what, const tp_tensor *x) {
    if (!x) return tp__error_null(what), false;
    return tp__need_float(what, x) && tp__may_write(what, x);
}

/* Run fill on x's bytes, through a dense copy where x has gaps; returns x. */
typedef void (*filler)(tp_rng *rng, tp_tensor *dense, double a, double b);
static tp_tensor *filled(tp_tensor *x, filler fill, double a, double b, tp_rng *rng) {
    if (!(rng = or_default(rng))) return NULL;
    if (tp__contiguous_p(x)) {
        fill(rng, x, a, b);
    } else {
        const tp_shape s = tp__shape(x);
        tp_tensor *dense = tp__new("random", &s, (tp_dtype)x->dtype);
        if (!dense) return NULL;
        fill(rng, dense, a, b);
        tp__copy(x, dense);
        tp__drop(dense);
    }
    tp__touch(x);
    return x;
}

/* ---- uniform --------------------------------------------------------------------------------- */

static void fill_uniform(tp_rng *rng, tp_tensor *x, double a, double b) {
    if (x->dtype == TP_FLOAT32)
        tp__rng_uniform_f32(rng, tp__ptr(x), x->numel, a, b);
    else
        tp__rng_uniform_f64(rng, tp__ptr(x), x->numel, a, b);
}
tp_tensor *tp_uniform_(tp_tensor *x, double a, double b, tp_rng *rng) {
    if (!fillable("uniform_", x)) return NULL;
    if (!(a <= b) || !isfinite(a) || !isfinite(b))
        return tp__fail(TP_EVALUE, "uniform_: [%g, %g) is no range", a, b);
    return filled(x, fill_uniform, a, b, rng);
}
tp_tensor *tp_rand(tp_shape shape, tp_dtype dtype, tp_rng *rng) {
    tp_tensor *x = fresh_floats("rand", &shape, dtype);
    return x ? filled(x, fill_uniform, 0, 1, rng) : NULL;
}

/* ---- normal: sixteen at a time, or, below 16, one by one in double --------------------------- */

static void normal_f32(tp_rng *rng, float *p, int64_t n, double mean, double std) {
    tp__rng_uniform_f32(rng, p, n, 0, 1);
    tp__box_muller_f32(p, n / 16, (float)mean, (float)std);
    if (n % 16 == 0) return;
    tp__rng_uniform_f32(rng, p + n - 16, 16, 0, 1);
    tp__box_muller_f32(p + n - 16, 1, (float)mean, (float)std);
}
static void normal_f64(tp_rng *rng, double *p, int64_t n, double mean, double std) {
    tp__rng_uniform_f64(rng, p, n, 0, 1);
    tp__box_muller_f64(p, n / 16, mean, std);
    if (n % 16 == 0) return;
    tp__rng_uniform_f64(rng, p + n - 16, 16, 0, 1);
    tp__box_muller_f64(p + n - 16, 1, mean, std);
}
static void fill_normal(tp_rng *rng, tp_tensor *x, double mean, double std) {
    const int64_t n = x->numel;
    if (n >= 16) {
        if (x->dtype == TP_FLOAT32)
            normal_f32(rng, tp__ptr(x), n, mean, std);
        else
            normal_f64(rng, tp__ptr(x), n, mean, std);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const double v = tp__rng_normal(rng) * std + mean;
        if (x->dtype == TP_FLOAT32)
            ((float *)tp__ptr(x))[i] = (float)v;
        else
            ((double *)tp__ptr(x))[i] = v;
    }
}
tp_tensor *tp_normal_(tp_tensor *x, double mean, double std, tp_rng *rng) {
    if (!fillable("normal_", x)) return NULL;
    if (!(std >= 0)) return tp__fail(TP_EVALUE, "normal_: a standard deviation of %g", std);
    return filled(x, fill_normal, mean, std, rng);
}
tp_tensor *tp_randn(tp_shape shape, tp_dtype dtype, tp_rng *rng) {
    tp_tensor *x = fresh_floats("randn", &shape, dtype);
    return x ? filled(x, fill_normal, 0, 1, rng) : NULL;
}

/* ---- integers -------------------------------------------------------------------------------- */

/* v mod range without a division (Lemire, Kaser and Kurz 2019, "Faster remainder by direct
 * computation"): inverse is 2^64 / range, rounded up, and what is left of its product with v, times
 * range, has the remainder in its upper 32 of 96 bits. */
static uint32_t remainder_of(uint32_t v, uint32_t range, uint64_t inverse) {
    const uint64_t left = inverse * v;
    return (uint32_t)(((left >> 32) * range + ((left & UINT32_MAX) * range >> 32)) >> 32);
}
static void fill_integers(tp_rng *rng, int64_t *p, int64_t n, int64_t low, uint64_t range) {
    if (range > UINT32_MAX) {
        for (int64_t i = 0; i < n; i++) p[i] = (int64_t)(tp_rng_u64(rng) % range + (uint64_t)low);
        return;
    }
    const uint64_t inverse = UINT64_MAX / range + 1; /* 0 for a range of 1, whose remainders are */
    uint32_t w[PIECE];
    for (int64_t k; n > 0; p += k, n -= k) {
        k = tp__least(n, PIECE);
        tp__rng_words(rng, w, k);
        for (int64_t i = 0; i < k; i++)
            p[i] = (int64_t)(remainder_of(w[i], (uint32_t)range, inverse) + (uint64_t)low);
    }
}
tp_tensor *tp_randint(int64_t low, int64_t high, tp_shape shape, tp_rng *rng) {
    if (low >= high)
        return tp__fail(TP_EVALUE, "randint: no integers from %" PRId64 " to below %" PRId64, low,
                        high);
    tp_tensor *x = tp__new("randint", &shape, TP_INT64);
    if (!x || !(rng = or_default(rng))) return NULL;
    fill_integers(rng, tp__ptr(x), x->numel, low, (uint64_t)high - (uint64_t)low);
    return x;
}
tp_tensor *tp_randperm(int64_t n, tp_rng *rng) {
    if (n < 0) return tp__fail(TP_EVALUE, "randperm: %" PRId64 " is negative", n);
    tp_tensor *x = tp__new("randperm", &TP_SHAPE(n), TP_INT64);
    if (!x || !(rng = or_default(rng))) return NULL;
    tp_rng_permutation(rng, n, tp__ptr(x));
    return x;
}

/* ---- bernoulli ------------------------------------------------------------------------------- */

static bool is_probability(double p) {
    if (p >= 0 && p <= 1) return true;
    tp_error_set(TP_EVALUE, "bernoulli: %g is no probability", p);
    return false;
}

static double number_at(const tp_tensor *x, int64_t i) {
    return x->dtype == TP_FLOAT32 ? (double)((const float *)tp__ptr(x))[i]
                                  : ((const double *)tp__ptr(x))[i];
}
/* Before a number is drawn. */
static bool are_probabilities(tp_tensor *dense) {
    const uint32_t all = (UINT32_C(1) << dense->ndim) - 1;
    if (!dense->numel) return true;
    tp_tensor *least = tp__fold("bernoulli", TP__RED_MIN, dense, all, false);
    tp_tensor *most = least ? tp__fold("bernoulli", TP__RED_MAX, dense, all, false) : NULL;
    if (!most) return false;
    if (number_at(least, 0) >= 0 && number_at(most, 0) <= 1) return true;
    int64_t i = 0;
    while (is_probability(number_at(dense, i))) i++;
    return false;
}
/* torch draws a float for float probabilities, a double for double ones and for a plain number. */
tp_tensor *tp_bernoulli(tp_tensor *p, tp_rng *rng) {
    if (!p) return tp__error_null("bernoulli"), NULL;
    if (!tp__need_float("bernoulli", p)) return NULL;
    tp_tensor *dense = tp__contiguous(p);
    if (!dense || !are_probabilities(dense) || !(rng = or_default(rng))) return NULL;
    tp_tensor *u = tp__new_like(dense, (tp_dtype)p->dtype);
    if (!u) return NULL;
    fill_uniform(rng, u, 0, 1);
    tp_tensor *heads = tp__pw(TP__PW_lt, u, dense);
    return heads ? tp__to(heads, (tp_dtype)p->dtype) : NULL;
}
static void fill_coins(tp_rng *rng, tp_tensor *x, double p, double unused) {
    double u[PIECE];
    (void)unused;
    for (int64_t i = 0, k; i < x->numel; i += k) {
        k = tp__least(x->numel - i, PIECE);
        tp__rng_uniform_f64(rng, u, k, 0, 1);
        for (int64_t j = 0; j < k; j++) {
            if (x->dtype == TP_FLOAT32)
                ((float *)tp__ptr(x))[i + j] = u[j] < p;
            else
                ((double *)tp__ptr(x))[i + j] = u[j] < p;
        }
    }
}
tp_tensor *tp_bernoulli_(tp_tensor *x, double p, tp_rng *rng) {
    return fillable("bernoulli_", x) && is_probability(p) ? filled(x, fill_coins, p, 0, rng) : NULL;
}

/* ---- the generator's state as a tensor ------------------------------------------------------- */

tp_dict *tp_rng_state(tp_rng *rng) {
    if (!(rng = or_default(rng))) return NULL;
    uint32_t w[TP__RNG_WORDS];
    int64_t wide[TP__RNG_WORDS];
    tp__rng_get_words(rng, w);
    for (int i = 0; i < TP__RNG_WORDS; i++) wide[i] = w[i];
    tp_dict *d = tp_dict_new();
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = d ? tp_from(wide, TP_SHAPE(TP__RNG_WORDS), TP_INT64) : NULL;
    if (!x || tp_dict_set(d, "mt19937", x)) {
        tp_dict_free(d);
        d = NULL;
    }
    tp_scope_end(s);
    return d;
}
tp_status tp_rng_set_state(tp_rng *rng, const tp_dict *state) {
    if (!state) return tp__error_null("rng_set_state");
    if (!(rng = or_default(rng))) return tp_error_code();
    const tp_tensor *x = tp_dict_get(state, "mt19937");
    int64_t wide[TP__RNG_WORDS];
    uint32_t w[TP__RNG_WORDS];
    if (!x || x->dtype != TP_INT64 || x->numel != TP__RNG_WORDS)
        return tp_error_set(TP_EFORMAT, "rng_set_state: no tensor 'mt19937' of %d int64",
                            TP__RNG_WORDS);
    if (tp_copy_to(x, wide, TP__RNG_WORDS, TP_INT64)) return tp_error_code();
    for (int i = 0; i < TP__RNG_WORDS; i++) {
        if (wide[i] < 0 || wide[i] > UINT32_MAX)
            return tp_error_set(
                TP_EFORMAT, "rng_set_state: 'mt19937' holds a number that is not one of 32 bits");
        w[i] = (uint32_t)wide[i];
    }
    if (!tp__rng_set_words(rng, w))
        return tp_error_set(TP_EFORMAT, "rng_set_state: not the state of a generator");
    return TP_OK;
}
