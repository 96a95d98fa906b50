/* test_pick.c -- elements and rows by lists of positions and by masks: each op against a loop over
 * logical indices, with small tensors of all kinds and with large ones that are cut into tiles. */
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"
#include "tensor/tensor.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { ROUNDS = 60, LARGE_ROUNDS = 3 };
#else
enum { ROUNDS = 400, LARGE_ROUNDS = 12 };
#endif

/* ---- tensors --------------------------------------------------------------------------------- */

static void set_threads(int round) {
    static const int threads[] = {1, 2, 3, 5};
    tpt_ok(tp_set_num_threads(threads[round % TP__COUNT(threads)]));
}

/* Any bits, but of bool. */
static tp_tensor *filled(tp_shape s, tp_dtype d) {
    tp_tensor *x = tp_zeros(s, d);
    uint8_t *p = tp_data_ptr(x);
    for (int64_t i = 0; i < tp_numel(x) * tp_dtype_size(d); i++)
        p[i] = (uint8_t)(tpt_random() & (d == TP_BOOL ? 1 : UINT8_MAX));
    return x;
}

/* Up to `most` elements, or a few more. */
static tp_shape draw_shape(int ndim, int64_t most) {
    tp_shape s = {.ndim = ndim};
    int64_t left = most;
    for (int d = 0; d < ndim; d++) {
        const int64_t room = left < 1 ? 1 : left;
        s.dim[d] = 1 + tpt_random_below(tpt_random_below(3) ? (room < 70 ? room : 70) : room);
        left /= s.dim[d];
    }
    for (int d = ndim - 1; d > 0; d--) { /* the long ones anywhere */
        const int other = (int)tpt_random_below(d + 1);
        const int64_t was = s.dim[d];
        s.dim[d] = s.dim[other];
        s.dim[other] = was;
    }
    return s;
}

/* A tensor of that shape which is dense or not. */
static tp_tensor *lying(tp_shape s, tp_dtype d) {
    if (s.ndim < 2 || tpt_random_below(2)) return filled(s, d);
    const int a = (int)tpt_random_below(s.ndim), b = (int)tpt_random_below(s.ndim);
    tp_shape turned = s;
    turned.dim[a] = s.dim[b];
    turned.dim[b] = s.dim[a];
    if (tpt_random_below(2)) return tp_transpose(filled(turned, d), a, b);
    tp_shape wide = s;
    wide.dim[a] = 2 * s.dim[a] + 1;
    return tp_slice(filled(wide, d), a, 1, wide.dim[a], 2);
}

/* Positions in [-size, size). */
static tp_tensor *draw_positions(tp_shape s, int64_t size, bool negative) {
    tp_tensor *x = tp_zeros(s, TP_INT64);
    for (int64_t i = 0; i < tp_numel(x); i++)
        tp_data_i64(x)[i] = tpt_random_below(size) - (negative && tpt_random_below(2) ? size : 0);
    return x;
}

/* The element of x at logical place `at`. */
static const char *element(const tp_tensor *x, const int64_t *at) {
    int64_t i = 0;
    for (int d = 0; d < x->ndim; d++) i += at[d] * x->stride[d];
    return (const char *)x->data + i * tp__size_of((tp_dtype)x->dtype);
}
static void place_of(int64_t i, const tp_shape *s, int64_t *at) {
    for (int d = s->ndim - 1; d >= 0; d--) {
        at[d] = i % s->dim[d];
        i /= s->dim[d];
    }
}
static int64_t number_of(const int64_t *at, const tp_shape *s) {
    int64_t i = 0;
    for (int d = 0; d < s->ndim; d++) i = i * s->dim[d] + at[d];
    return i;
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* Its gradient, added up in order; g's numbers make sums that depend on it. */
static void check_gather_backward(tp_tensor *x, int dim, tp_tensor *ix, const int64_t *p) {
    tp_tensor *leaf = tp_requires_grad_(tp_zeros(tp__shape(x), TP_FLOAT32));
    const tp_shape sx = tp__shape(x), si = tp__shape(ix);
    tp_tensor *g = tp_rand(si, TP_FLOAT32, NULL);
    tp_tensor *want = tp_zeros(sx, TP_FLOAT32);
    int64_t at[TP_MAX_DIM];
    for (int64_t i = 0; i < tp_numel(ix); i++) {
        place_of(i, &si, at);
        at[dim] = p[i];
        tp_data_f32(want)[number_of(at, &sx)] += tp_data_f32(g)[i];
    }
    tpt_ok(tp_backward_from(tp_gather(leaf, dim, ix), g));
    tpt_same_bits(tp_data_f32(tp_grad(leaf)), tp_data_f32(want), (size_t)tp_numel(x) * 4);
}
static void check_gather(tp_tensor *x, int dim, tp_tensor *ix, bool negative) {
    const tp_shape s = tp__shape(ix);
    const tp_tensor *y = tp_gather(x, dim, ix);
    if (!y) fail_msg("%s", tp_error_message());
    int64_t *p = malloc((size_t)(tp_numel(ix) + 1) * sizeof *p), at[TP_MAX_DIM];
    assert_non_null(p);
    for (int64_t i = 0; i < tp_numel(ix); i++) {
        p[i] = tp_data_i64(ix)[i];
        if (p[i] < 0) p[i] += x->shape[dim];
        place_of(i, &s, at);
        at[dim] = p[i];
        const size_t size = (size_t)tp__size_of((tp_dtype)x->dtype);
        tpt_same_bits((const char *)y->data + (size_t)i * size, element(x, at), size);
    }
    if (!negative && tpt_random_below(2)) ix = tp_to(tp_to(ix, TP_FLOAT64), TP_INT64);
    check_gather_backward(x, dim, ix, p);
    free(p);
}
static void gather_round(int round, int64_t most) {
    const tp_scope scope = tp_scope_begin();
    set_threads(round);
    const int ndim = 1 + (int)tpt_random_below(4), dim = (int)tpt_random_below(ndim);
    tp_shape s = draw_shape(ndim, most), si = s;
    tp_tensor *x = lying(s, (tp_dtype)tpt_random_below(TP__DTYPE_COUNT));
    for (int d = 0; d < ndim; d++)
        if (tpt_random_below(4) == 0) si.dim[d] = 1 + tpt_random_below(s.dim[d]);
    if (tpt_random_below(3) == 0) si.dim[dim] = 1 + tpt_random_below(2 * s.dim[dim]);
    if (tpt_random_below(20) == 0) si.dim[dim] = 0;
    const bool negative = tpt_random_below(3) == 0;
    check_gather(x, dim, draw_positions(si, s.dim[dim], negative), negative);
    tp_scope_end(scope);
}
static void gathers(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) gather_round(i, i % 10 ? 600 : 6000);
    for (int i = 0; i < LARGE_ROUNDS; i++) gather_round(i, 300000);
    tpt_ok(tp_set_num_threads(0));
}

/* One for each row, as for a loss. */
static void one_of_each_row(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = filled(TP_SHAPE(70000, 3), TP_FLOAT32);
    check_gather(x, 1, draw_positions(TP_SHAPE(70000, 1), 3, false), false);
    check_gather(tp_T(x), 0, draw_positions(TP_SHAPE(1, 70000), 3, true), true);
    check_gather(x, 0, draw_positions(TP_SHAPE(1, 3), 70000, false), false);
    tp_scope_end(s);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void check_index_select(tp_tensor *x, int dim, tp_tensor *ix) {
    tp_tensor *y = tp_index_select(x, dim, ix);
    if (!y) fail_msg("%s", tp_error_message());
    const tp_shape s = tp__shape(y), sx = tp__shape(x);
    const size_t size = (size_t)tp__size_of((tp_dtype)x->dtype);
    tp_tensor *leaf = tp_requires_grad_(tp_zeros(sx, TP_FLOAT32)),
              *g = tp_rand(s, TP_FLOAT32, NULL), *want = tp_zeros(sx, TP_FLOAT32);
    int64_t at[TP_MAX_DIM];
    for (int64_t i = 0; i < tp_numel(y); i++) {
        place_of(i, &s, at);
        const int64_t p = tp_data_i64(ix)[at[dim]];
        at[dim] = p < 0 ? p + sx.dim[dim] : p;
        tpt_same_bits((const char *)y->data + (size_t)i * size, element(x, at), size);
        tp_data_f32(want)[number_of(at, &sx)] += tp_data_f32(g)[i];
    }
    tpt_ok(tp_backward_from(tp_index_select(leaf, dim, ix), g));
    tpt_same_bits(tp_data_f32(tp_grad(leaf)), tp_data_f32(want), (size_t)tp_numel(leaf) * 4);
}
static void select_round(int round, int64_t most) {
    const tp_scope scope = tp_scope_begin();
    set_threads(round);
    const int ndim = 1 + (int)tpt_random_below(3), dim = (int)tpt_random_below(ndim);
    const tp_shape s = draw_shape(ndim, most);
    tp_tensor *x = lying(s, (tp_dtype)tpt_random_below(TP__DTYPE_COUNT));
    const int64_t n = tpt_random_below(2 * s.dim[dim] + 1);
    check_index_select(x, dim, draw_positions(TP_SHAPE(n), s.dim[dim], tpt_random_below(2)));
    tp_scope_end(scope);
}
static void selections(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) select_round(i, 600);
    for (int i = 0; i < LARGE_ROUNDS; i++) select_round(i, 300000);
    tpt_ok(tp_set_num_threads(0));
}

/* x[index] = value, for values of the whole shape, of a row, and of one number: the last one that
 * is meant for a row stays. */
static void put_round(int round, int64_t most) {
    const tp_scope scope = tp_scope_begin();
    set_threads(round);
    const tp_dtype d = (tp_dtype)tpt_random_below(TP__DTYPE_COUNT);
    const tp_shape s = draw_shape(1 + (int)tpt_random_below(3), most);
    tp_tensor *x = lying(s, d), *was = tp_clone(x);
    const bool by_mask = tpt_random_below(2);
    const int axes = by_mask ? 1 + (int)tpt_random_below(s.ndim) : 1;
    tp_shape lead = {.ndim = axes}, row = {.ndim = s.ndim - axes};
    int64_t rows = 1, length = 1;
    for (int k = 0; k < axes; k++) rows *= lead.dim[k] = s.dim[k];
    for (int k = axes; k < s.ndim; k++) length *= row.dim[k - axes] = s.dim[k];
    tp_tensor *index =
        by_mask ? filled(lead, TP_BOOL)
                : draw_positions(TP_SHAPE(1 + tpt_random_below(rows)), rows, tpt_random_below(2));
    tp_tensor *p = by_mask ? tp_reshape(tp_nonzero(tp_flatten(index, 0, -1)), TP_SHAPE(-1)) : index;
    const int kind = (int)tpt_random_below(3);
    tp_shape whole = row;
    for (int k = row.ndim; k > 0 && !kind; k--) whole.dim[k] = whole.dim[k - 1];
    if (!kind) whole.dim[0] = tp_numel(p), whole.ndim++;
    tp_tensor *value = filled(kind == 2 ? TP_0D : whole, d);
    assert_ptr_equal(tp_index_put_(x, index, value), x);
    const size_t size = (size_t)tp__size_of(d);
    char *want = tp_data_ptr(was);
    for (int64_t i = 0; i < tp_numel(p); i++)
        for (int64_t j = 0; j < length; j++) {
            const int64_t at = tp_data_i64(p)[i];
            const int64_t to = (at < 0 ? at + rows : at) * length + j;
            const int64_t from = kind == 2 ? 0 : kind ? j : i * length + j;
            memcpy(want + (size_t)to * size, (char *)tp_data_ptr(value) + (size_t)from * size,
                   size);
        }
    tpt_same_bits(tp_data_ptr(tp_contiguous(x)), want, (size_t)tp_numel(x) * size);
    tp_scope_end(scope);
}
static void writes(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) put_round(i, 600);
    for (int i = 0; i < LARGE_ROUNDS; i++) put_round(i, 300000);
    tpt_ok(tp_set_num_threads(0));
}

/* A list of positions that is part of what is written is read as it was. */
static void a_list_that_is_written(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_ints(TP_SHAPE(4), 3, 2, 1, 0);
    assert_non_null(tp_index_put_(x, x, tp_ints(TP_SHAPE(4), 10, 11, 12, 13)));
    assert_true(tp_equal(x, tp_ints(TP_SHAPE(4), 13, 12, 11, 10)));
    x = tp_ints(TP_SHAPE(4), 3, 2, 1, 0);
    assert_non_null(tp_index_copy_(x, 0, x, tp_ints(TP_SHAPE(4), 10, 11, 12, 13)));
    assert_true(tp_equal(x, tp_ints(TP_SHAPE(4), 13, 12, 11, 10)));
    tp_scope_end(s);
}

/* ---- masks ----------------------------------------------------------------------------------- */

static void check_mask(tp_tensor *x, tp_tensor *mask) {
    const tp_tensor *y = tp_masked_select(x, mask), *at = tp_nonzero(mask);
    if (!y || !at) fail_msg("%s", tp_error_message());
    const tp_shape s = tp__shape(x);
    const size_t size = (size_t)tp__size_of((tp_dtype)x->dtype);
    tp_tensor *leaf = tp_requires_grad_(tp_zeros(s, TP_FLOAT32)),
              *g = tp_rand(TP_SHAPE(y->numel), TP_FLOAT32, NULL);
    tpt_ok(tp_backward_from(tp_masked_select(leaf, mask), g));
    const float *grad = tp_data_f32(tp_grad(leaf));
    int64_t k = 0, place[TP_MAX_DIM];
    for (int64_t i = 0; i < x->numel; i++) {
        place_of(i, &s, place);
        const bool is = *element(mask, place);
        assert_true(grad[i] == (is ? tp_data_f32(g)[k] : 0));
        if (!is) continue;
        assert_true(k < y->numel);
        tpt_same_bits((const char *)y->data + (size_t)k * size, element(x, place), size);
        if (s.ndim)
            tpt_same_bits((const int64_t *)at->data + k * s.ndim, place, (size_t)s.ndim * 8);
        k++;
    }
    assert_int_equal(k, y->numel);
    assert_true(at->shape[0] == k && at->shape[1] == s.ndim);
}
static void mask_round(int round, int64_t most) {
    const tp_scope scope = tp_scope_begin();
    set_threads(round);
    const tp_shape s = draw_shape((int)tpt_random_below(5), most);
    tp_tensor *x = lying(s, (tp_dtype)tpt_random_below(TP__DTYPE_COUNT)), *mask;
    switch (tpt_random_below(5)) {
    case 0: mask = tp_zeros(s, TP_BOOL); break;
    case 1: mask = tp_ones(s, TP_BOOL); break;
    case 2: mask = lying(s, TP_UINT8); break; /* any byte but 0 is true */
    default: mask = lying(s, TP_BOOL);
    }
    check_mask(x, mask);
    tp_scope_end(scope);
}
static void masks(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) mask_round(i, 600);
    for (int i = 0; i < LARGE_ROUNDS; i++) mask_round(i, 300000);
    tpt_ok(tp_set_num_threads(0));
}
/* So many that a part is longer than a tile, and rows that parts cut. */
static void large_masks(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    check_mask(filled(TP_SHAPE(700, 3001), TP_UINT8), filled(TP_SHAPE(700, 3001), TP_BOOL));
    tp_scope_end(s);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void positions_out_of_range(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = filled(TP_SHAPE(300, 500), TP_FLOAT32);
    tp_tensor *ix = draw_positions(TP_SHAPE(300, 500), 500, false);
    static const int64_t bad[] = {500, -501, INT64_MAX, INT64_MIN};
    for (int i = 0; i < TP__COUNT(bad); i++) {
        tp_data_i64(ix)[149999] = bad[i];
        assert_null(tp_gather(x, 1, ix));
        char want[200];
        snprintf(want, sizeof want,
                 "gather: index %lld at position 149999 is out of range for a size of 500...",
                 (long long)bad[i]);
        tpt_expect_error(TP_EINDEX, want);
    }
    tp_tensor *none = tp_zeros(TP_SHAPE(2, 0), TP_FLOAT32);
    assert_null(tp_gather(none, 1, tp_ints(TP_SHAPE(1, 1), 0)));
    tpt_expect_error(TP_EINDEX, "gather: index 0 at position 0 is out of range for a size of 0...");
    assert_null(tp_index_select(x, 1, tp_ints(TP_SHAPE(2), 0, 500)));
    tpt_expect_error(TP_EINDEX,
                     "index_select: index 500 at position 1 is out of range for a size of 500...");
    tp_scope_end(s);
}

/* A number alone can be chosen, but only once. */
static void rows_of_a_number(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_scalar(7, TP_FLOAT32);
    assert_true(tp_item(tp_index_select(x, 0, tp_ints(TP_SHAPE(1), -1))) == 7);
    assert_null(tp_index_select(x, 0, tp_ints(TP_SHAPE(2), 0, 0)));
    tpt_expect_error(TP_EINDEX, "index_select: of a 0-d tensor, by 2 positions...");
    assert_null(tp_index_select(x, 0, tp_zeros(TP_SHAPE(0), TP_INT64)));
    tpt_expect_error(TP_EINDEX, "index_select: of a 0-d tensor, by 0 positions...");
    assert_true(tp_item(tp_gather(x, 0, tp_scalar(0, TP_INT64))) == 7);
    tp_scope_end(s);
}

static void lists_are_watched(void **state) {
    (void)state;
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_requires_grad_(tp_ones(TP_SHAPE(2, 2), TP_FLOAT32));
    for (int i = 0; i < 6; i++) { /* a copy is read where a position counts from the end */
        tp_tensor *ix = tp_ints(TP_SHAPE(2), 1, i % 2 ? -2 : 0), *y;
        y = i / 2 == 0   ? tp_index(x, ix)
            : i / 2 == 1 ? tp_index_select(x, 0, ix)
                         : tp_gather(x, 0, tp_view(ix, TP_SHAPE(1, 2)));
        y = tp_sum(y);
        assert_non_null(tp_fill_(ix, 1000));
        assert_int_equal(tp_backward(y), TP_EGRAD); /* and nothing is written there */
        tpt_expect_error(TP_EGRAD, i / 2 == 0   ? "backward of index (test_pick.c:..."
                                   : i / 2 == 1 ? "backward of index_select (test_pick.c:..."
                                                : "backward of gather (test_pick.c:...");
    }
    tp_tensor *mask = tp_gt(x, 0), *y = tp_sum(tp_index(x, mask));
    assert_non_null(tp_zero_(mask)); /* what was chosen is known */
    tpt_ok(tp_backward(y));
    tp_scope_end(s);
}

/* All that these ops allocate for may be refused. */
static tp_status pick_all(void *ctx) {
    tp_tensor *x = ctx;
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return tp_error_code();
    tp_tensor *ix = tp_ints(TP_SHAPE(2, 1, 2), 1, -1, 0, 0), *rows = tp_ints(TP_SHAPE(2), 1, -2);
    tp_tensor *leaf = tp_requires_grad_(tp_zeros_like(x)), *mask = tp_gt(x, 0);
    const bool done =
        tp_backward(tp_sum(tp_gather(leaf, 0, ix))) == TP_OK &&
        tp_backward(tp_sum(tp_gather(leaf, 2, ix))) == TP_OK && /* part of each of its matrices */
        tp_backward(tp_sum(tp_index_select(leaf, 1, rows))) == TP_OK &&
        tp_backward(tp_sum(tp_masked_select(leaf, mask))) == TP_OK && tp_nonzero(mask) &&
        tp_index(x, mask) && tp_index_put_(tp_clone(x), rows, 1) &&
        tp_index_put_(tp_T(tp_zeros(TP_SHAPE(3, 2), TP_FLOAT32)), rows,
                      tp_zeros(TP_SHAPE(3), TP_FLOAT32));
    tp_scope_end(s);
    return done ? TP_OK : tp_error_code();
}
static void memory_may_lack(void **state) {
    (void)state;
    tp_tensor *x = tp_ones(TP_SHAPE(2, 3, 4), TP_FLOAT32);
    assert_true(tpt_fail_each_allocation(pick_all, x) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(gathers),          TPT(one_of_each_row),        TPT(selections),
        TPT(writes),           TPT(a_list_that_is_written), TPT(masks),
        TPT(large_masks),      TPT(positions_out_of_range), TPT(lists_are_watched),
        TPT(rows_of_a_number), TPT(memory_may_lack),
    };
    return cmocka_run_group_tests_name("pick", tests, NULL, NULL);
}
