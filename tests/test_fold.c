/* test_fold.c -- reductions of tensors, however they lie: each against a loop over logical indices,
 * and the same bits for any number of threads, at every ISA level.
 *
 * Numbers are eighths, so that sums are exact in whatever order they are added. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"
#include "tensor/tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EIGHTHS, SIGNS, WITH_NAN, KINDS };

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { ROUNDS = 60, LARGE_ROUNDS = 2 };
#else
enum { ROUNDS = 600, LARGE_ROUNDS = 10 };
#endif

/* ---- tensors that lie in many ways ----------------------------------------------------------- */

static double draw(int kind) {
    const double sign = tpt_random_below(2) ? 1 : -1;
    if (kind == SIGNS) return sign;
    if (kind == WITH_NAN && tpt_random_below(40) == 0) return NAN;
    return sign * (double)tpt_random_below(17) / 8; /* also -0 */
}

static void put(tp_tensor *x, int64_t i, double v) {
    switch ((tp_dtype)x->dtype) {
    case TP_FLOAT32: ((float *)x->data)[i] = (float)v; break;
    case TP_FLOAT64: ((double *)x->data)[i] = v; break;
    case TP_INT64: ((int64_t *)x->data)[i] = (int64_t)v; break;
    case TP_UINT8: ((uint8_t *)x->data)[i] = (uint8_t)fabs(v); break;
    default: ((uint8_t *)x->data)[i] = fabs(v) > 0.5; break;
    }
}

static double get(const tp_tensor *x, int64_t i) {
    switch ((tp_dtype)x->dtype) {
    case TP_FLOAT32: return ((const float *)x->data)[i];
    case TP_FLOAT64: return ((const double *)x->data)[i];
    case TP_INT64: return (double)((const int64_t *)x->data)[i];
    default: return ((const uint8_t *)x->data)[i];
    }
}

static tp_tensor *filled(const tp_shape *s, tp_dtype d, int kind) {
    tp_tensor *x = tp__new("test", s, d);
    assert_non_null(x);
    for (int64_t i = 0; i < x->numel; i++) put(x, i, draw(tp__is_float(d) ? kind : EIGHTHS));
    return x;
}

/* Some of an axis: all, a run, or every second or third element. */
static tp_tensor *cut(tp_tensor *x, int d) {
    const int64_t n = x->shape[d], from = n > 2 ? tpt_random_below(n / 2) : 0;
    return tp_slice(x, d, from, n, 1 + tpt_random_below(3));
}

static tp_tensor *permuted(tp_tensor *x) {
    tp_dims to = {.n = x->ndim};
    for (int d = 0; d < x->ndim; d++) to.dim[d] = d;
    for (int d = x->ndim - 1; d > 0; d--) {
        const int other = (int)tpt_random_below(d + 1), was = to.dim[d];
        to.dim[d] = to.dim[other];
        to.dim[other] = was;
    }
    return x->ndim ? tp_permute(x, to) : x;
}

static tp_tensor *expanded(tp_tensor *x) {
    const int d = (int)tpt_random_below(x->ndim);
    tp_tensor *one = tp_slice(x, d, 0, 1, 1);
    tp_shape s = one->s;
    s.dim[d] = 1 + tpt_random_below(70);
    return tp_expand(one, s);
}

static tp_tensor *lying(tp_dtype d, int kind, int64_t most) {
    static const int64_t sizes[] = {1, 2, 3, 4, 8, 15, 16, 17, 33, 64, 130, 300, 1030, 4099};
    tp_shape s = {.ndim = (int)tpt_random_below(5)};
    int64_t n = 1;
    for (int k = 0; k < s.ndim; k++) {
        do s.dim[k] = sizes[tpt_random_below(TP__COUNT(sizes))];
        while (n * s.dim[k] > most && s.dim[k] > 1);
        n *= s.dim[k];
    }
    tp_tensor *x = filled(&s, d, kind);
    if (tpt_random_below(3)) x = permuted(x);
    for (int k = 0; k < x->ndim; k++)
        if (tpt_random_below(4) == 0) x = cut(x, k);
    if (x->ndim && x->numel < 1000 && tpt_random_below(3) == 0) x = expanded(x);
    return tpt_random_below(3) ? x : permuted(x);
}

/* ---- by hand --------------------------------------------------------------------------------- */

typedef struct group {
    long double sum, size, squares, prod, max, min;
    int64_t n, argmax, argmin;
    bool any, all;
} group;

static bool better(long double a, long double b, bool more) {
    return (more ? a > b : a < b) || (isnan(a) && !isnan(b));
}

static void add(group *g, long double v) {
    if (!g->n || better(v, g->max, true)) g->max = v, g->argmax = g->n;
    if (!g->n || better(v, g->min, false)) g->min = v, g->argmin = g->n;
    g->sum += v, g->size += fabsl(v), g->squares += v * v, g->prod *= v;
    g->any |= v != 0, g->all &= v != 0;
    g->n++;
}

/* The elements of x that go into result number `which`, in logical order. */
static group group_of(const tp_tensor *x, uint32_t axes, int64_t which) {
    int64_t at[TP_MAX_DIM] = {0};
    group g = {.prod = 1, .all = true};
    for (int d = x->ndim - 1; d >= 0; d--) {
        if (axes >> d & 1) continue;
        at[d] = which % x->shape[d];
        which /= x->shape[d];
    }
    for (int d = 0; d >= 0;) {
        int64_t i = 0;
        for (int k = 0; k < x->ndim; k++) i += at[k] * x->stride[k];
        add(&g, get(x, i));
        for (d = x->ndim - 1; d >= 0; d--) {
            if (!(axes >> d & 1)) continue;
            if (++at[d] < x->shape[d]) break;
            at[d] = 0;
        }
    }
    return g;
}

static long double wanted(tp__red_op op, const group *g) {
    switch (op) {
    case TP__RED_SUM: return g->sum;
    case TP__RED_PROD: return g->prod;
    case TP__RED_MAX: return g->max;
    case TP__RED_MIN: return g->min;
    case TP__RED_ARGMAX: return g->argmax;
    case TP__RED_ARGMIN: return g->argmin;
    case TP__RED_ANY: return g->any;
    case TP__RED_ALL: return g->all;
    default: return g->squares;
    }
}

static void expect_shape(const tp_tensor *x, uint32_t axes, bool keepdim, const tp_tensor *y) {
    const tp_shape s = tp__reduced_shape(x, axes, keepdim);
    assert_true(y && tp__shape_equal(&s, &y->s) && y->dense);
}

static const char *text_of(const tp_tensor *x, uint32_t axes) {
    static char text[400];
    int n = snprintf(text, sizeof text, "%s, axes %x of", tp_dtype_name((tp_dtype)x->dtype), axes);
    for (int d = 0; d < x->ndim; d++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %ld:%ld", (long)x->shape[d],
                      (long)x->stride[d]);
    return text;
}

static void try_fold(tp__red_op op, tp_tensor *x, uint32_t axes, const group *g) {
    const bool keepdim = tpt_random_below(2);
    const tp_tensor *y = tp__fold("test", op, x, axes, keepdim);
    expect_shape(x, axes, keepdim, y);
    for (int64_t i = 0; i < y->numel; i++) {
        const long double want = wanted(op, &g[i]), got = get(y, i);
        if (got != want && !(isnan(got) && isnan(want)))
            fail_msg("op %d, %s: result %ld is %Lg, not %Lg", (int)op, text_of(x, axes), (long)i,
                     got, want);
    }
}

static void try_sqdev(tp_tensor *x, uint32_t axes, const group *g) {
    const bool keepdim = tpt_random_below(2);
    const tp_tensor *y = tp__fold_sqdev("test", x, axes, keepdim);
    expect_shape(x, axes, keepdim, y);
    for (int64_t i = 0; i < y->numel; i++) {
        const long double want = g[i].squares - g[i].sum * g[i].sum / (long double)g[i].n;
        const long double got = get(y, i);
        if (!(fabsl(got - want) <= 1e-6L * g[i].squares) && !(isnan(got) && isnan(want)))
            fail_msg("sqdev, %s: result %ld is %Lg, not %Lg", text_of(x, axes), (long)i, got, want);
    }
}

static void however_they_lie(void **state) {
    (void)state;
    static group g[1 << 16];
    for (int round = 0; round < ROUNDS; round++) {
        const tp_scope s = tp_scope_begin();
        const tp_dtype d = (tp_dtype)tpt_random_below(TP__DTYPE_COUNT);
        const int kind = (int)tpt_random_below(KINDS);
        tp_tensor *x = lying(d, kind, round % 10 ? 3000 : 60000);
        const uint32_t every = (1u << x->ndim) - 1;
        const uint32_t axes = tpt_random_below(4) ? (uint32_t)tpt_random() & every : every;
        const int64_t n = x->numel / tp__count_axes(x, axes);
        assert_true(n <= TP__COUNT(g));
        for (int64_t i = 0; i < n; i++) g[i] = group_of(x, axes, i);
        for (tp__red_op op = TP__RED_SUM; op <= TP__RED_SUMSQ; op++) {
            if (op == TP__RED_PROD && tp__is_float(d) && kind != SIGNS) continue;
            if (op == TP__RED_PROD && d == TP_INT64) continue; /* wraps */
            if (op == TP__RED_PROD && d == TP_UINT8) continue;
            if (op == TP__RED_SUMSQ && !tp__is_float(d)) continue;
            try_fold(op, x, axes, g);
        }
        if (tp__is_float(d)) try_sqdev(x, axes, g);
        tp_scope_end(s);
    }
}

/* Nothing to reduce, and nothing that is reduced. */
static void of_nothing(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_permute(tp_zeros(TP_SHAPE(3, 0, 5), TP_FLOAT32), TP_DIMS(2, 0, 1));
    const tp_tensor *none = tp__fold("test", TP__RED_PROD, x, 4, false),
                    *empty = tp__fold("test", TP__RED_SUM, x, 3, true);
    assert_true(none->numel == 15 && empty->numel == 0);
    for (int i = 0; i < 15; i++) assert_true(get(none, i) == 1);
    assert_true(tp_item(tp_norm(x)) == 0 && isnan(tp_item(tp_mse_loss(x, x))));
    assert_true(tp_item(tp_norm(tp_scalar(-3, TP_FLOAT64))) == 3);
    assert_true(tp_item(tp_l1_loss(tp_scalar(-3, TP_FLOAT64), tp_scalar(1, TP_FLOAT64))) == 4);
    tp_scope_end(s);
}

/* ---- the same bits --------------------------------------------------------------------------- */

static void digest(uint64_t *h, const tp_tensor *x) {
    assert_non_null(x);
    for (int64_t i = 0; i < x->numel; i++) {
        const double v = get(x, i);
        uint64_t bits = 1;
        if (!isnan(v)) memcpy(&bits, &v, sizeof bits);
        *h = (*h ^ bits) * 0x100000001b3u;
    }
}

static uint64_t of_all(tp_tensor *x, uint32_t axes, tp_tensor *y) {
    uint64_t h = 1;
    const tp_scope s = tp_scope_begin();
    digest(&h, tp__fold("test", TP__RED_SUM, x, axes, false));
    digest(&h, tp__fold("test", TP__RED_SUMSQ, x, axes, false));
    digest(&h, tp__fold("test", TP__RED_ARGMIN, x, axes, false));
    digest(&h, tp__fold_sqdev("test", x, axes, false));
    digest(&h, tp_mse_loss(x, y));
    digest(&h, tp_l1_loss(x, y));
    tp_scope_end(s);
    return h;
}

static void threads_and_levels_change_no_bit(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 5};
    for (int round = 0; round < LARGE_ROUNDS; round++) {
        const tp_scope s = tp_scope_begin();
        tp_tensor *x;
        do x = lying(round % 2 ? TP_FLOAT64 : TP_FLOAT32, EIGHTHS, 2000000);
        while (x->numel < 100000);
        const tp_shape shape = tp__shape(x);
        tp_tensor *y = tp_rand(shape, (tp_dtype)x->dtype, NULL);
        x = tp_where(tp_gt(y, 0.5), x, y); /* no longer exact */
        x = permuted(x);
        y = tp_reshape(y, tp__shape(x));
        const uint32_t axes = (uint32_t)tpt_random() & ((1u << x->ndim) - 1);
        const uint64_t want = of_all(x, axes, y);
        for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++)
            for (int t = 0; t < TP__COUNT(threads) && tp__kernels_use(isa); t++) {
                tpt_ok(tp_set_num_threads(threads[t]));
                if (of_all(x, axes, y) != want)
                    fail_msg("%s at %s on %d threads", text_of(x, axes), tp__isa_name(isa),
                             threads[t]);
            }
        tp__kernels_use(tp__cpu_isa());
        tpt_ok(tp_set_num_threads(0));
        tp_scope_end(s);
    }
}

/* ---- losses ---------------------------------------------------------------------------------- */

static void expect_equal_bits(const char *what, const tp_tensor *got, const tp_tensor *want) {
    uint64_t a = 1, b = 1;
    digest(&a, got);
    digest(&b, want);
    if (a != b) fail_msg("%s: %g, not %g", what, get(got, 0), get(want, 0));
}

/* Squares and absolute values that are never in memory are added as if they were. */
static void losses_are_what_they_are_made_of(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 300007};
    for (int i = 0; i < TP__COUNT(sizes) * 4; i++) {
        const tp_scope s = tp_scope_begin();
        const int64_t n = sizes[i / 4], m = i & 2 ? 3 : 1;
        tp_tensor *a = tp_randn(TP_SHAPE(n, m), i & 1 ? TP_FLOAT64 : TP_FLOAT32, NULL);
        tp_tensor *b = tp_randn(TP_SHAPE(m, n), TP_FLOAT32, NULL);
        b = tp_T(b);
        tp_tensor *d = tp_sub(a, b);
        expect_equal_bits("mse_loss", tp_mse_loss(a, b), tp_mean(tp_square(d)));
        expect_equal_bits("l1_loss", tp_l1_loss(a, b), tp_mean(tp_abs(d)));
        expect_equal_bits("l1_loss, recorded", tp_l1_loss(tp_requires_grad_(tp_clone(a)), b),
                          tp_mean(tp_abs(d)));
        expect_equal_bits("norm", tp_norm(a), tp_sqrt(tp_sum(tp_square(a))));
        expect_equal_bits("norm of a view", tp_norm(b), tp_sqrt(tp_sum(tp_square(tp_T(b)))));
        tp_scope_end(s);
    }
}

static void gradients_of_l1(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    static const float of_a[] = {-0.5f, 0, 0, 0.5f}, of_b[] = {0.5f, 0, 0, -0.5f};
    tp_tensor *a = tp_requires_grad_(tp_floats(TP_SHAPE(4), 1, 2, NAN, -4)),
              *b = tp_requires_grad_(tp_floats(TP_SHAPE(4), 3, 2, 1, -5)), *x = tp_mul(b, 1);
    tp_tensor *loss = tp_mul(tp_l1_loss(a, x), 2);
    tp_zero_(tp_detach(x)); /* nobody has saved it */
    tpt_ok(tp_backward(loss));
    tpt_close_f32(tp_data_f32(tp_grad(a)), of_a, 4, 0, 0);
    tpt_close_f32(tp_data_f32(tp_grad(b)), of_b, 4, 0, 0);
    assert_null(tp_l1_loss(tp_ints(TP_SHAPE(1), 1), tp_ints(TP_SHAPE(1), 2)));
    tpt_expect_error(TP_EDTYPE, "l1_loss: wants floats, not int64 (tp_to it first)...");
    assert_null(tp_l1_loss(tp_detach(a), tp_gt(b, 0)));
    tpt_expect_error(TP_EDTYPE, "l1_loss: not defined for bool (tp_to makes numbers of it)...");
    tp_scope_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {TPT(however_they_lie), TPT(of_nothing),
                                       TPT(threads_and_levels_change_no_bit),
                                       TPT(losses_are_what_they_are_made_of), TPT(gradients_of_l1)};
    return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
