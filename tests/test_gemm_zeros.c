/* Tests of what matrix multiply leaves out: terms of 0, which no bit of a product shows. */
#define _POSIX_C_SOURCE 200809L
#include "products.h"

/* Most of it 0, of either sign, for some rows at once in each column, or the other way round; what
 * is left of every third line is so small that products of it underflow. */
static void blank(matrix *x, bool rows, int64_t at_once) {
    const double tiny = x->dtype == TP_FLOAT32 ? 1e-30 : 1e-200;
    const int64_t lines = rows ? x->m : x->n, length = rows ? x->n : x->m;
    for (int64_t z = 0; z < x->batch; z++)
        for (int64_t k = 0; k < length; k++) {
            double scale = 0;
            for (int64_t i = 0; i < lines; i++) {
                const int64_t row = rows ? i : k, column = rows ? k : i;
                if (i % at_once == 0) scale = draw_to(10) < 6 ? (draw_to(4) ? 0 : -0.0) : 1;
                put(x, z, row, column, get(x, z, row, column) * scale * (i % 3 ? 1 : tiny));
            }
        }
}

/* Some rows have no zeros among others that have many: all of their k are live. */
static void fill_some(matrix *x) {
    for (int64_t z = 0; z < x->batch; z++)
        for (int64_t i = 0; i < x->m; i++)
            for (int64_t k = 0; k < x->n && i / 3 % 5 == 0; k++)
                put(x, z, i, k, 1 + (double)draw_to(9));
}

/* c by levels, threads and paces, with a and b stored as they are. */
static bool flushing;
static void check_zeros(const product *p) {
    char *want = run(p);
    if (!flushing) check_rules(p, want);
    for (int threads = 2; threads < 6; threads += 3) {
        tpt_ok(tp_set_num_threads(threads));
        tp__cpu_set_pace(threads == 2 ? TP__PACE_ONE : TP__PACE_TWO);
        char *got = run(p);
        expect_same(p, got, want);
        free(got);
    }
    tpt_ok(tp_set_num_threads(1));
    tp__cpu_set_pace(-1);
    if (tp__kernels_isa() == TP__ISA_V4) {
        assert_true(tp__kernels_use(TP__ISA_V3));
        char *v3 = run(p);
        expect_same(p, v3, want);
        free(v3);
    }
    free(want);
}

/* Terms of 0 are left out, unless they are NaN; sums that underflow are +0 either way. */
static void zeros_change_no_bit(void **state) {
    (void)state;
    static const int64_t size[][4] = {{130, 30, 300, 1},  {300, 30, 130, 1}, {30, 700, 120, 1},
                                      {64, 150, 90, 1},   {61, 77, 33, 3},   {9, 20, 5000, 1},
                                      {40, 130, 1024, 1}, {300, 100, 600, 1}};
    for (int s = 0; s < TP__COUNT(size); s++) {
        const bool large = size[s][0] > 32 && size[s][1] > 90;
        for (int h = 0; h < 16; h += large ? 3 : 1) {
            const layout a = h & 1 ? COLUMNS : ROWS, b = h & 2 ? COLUMNS : ROWS;
            product p = make_product(h % 5 == 4 ? TP_FLOAT64 : TP_FLOAT32, size[s][0], size[s][1],
                                     size[s][2], size[s][3], a, b);
            blank(&p.a, true, 7);
            blank(&p.b, false, 7);
            if (h % 5 < 2) fill_some(&p.a);
            p.accumulate = h & 4;
            p.has_bias = h % 3 == 0;
            p.relu = h % 2;
            for (int64_t j = 0; j < p.N; j += 2) put(&p.bias, 0, 0, j, -0.0);
            for (int odd = h & 8 ? 3 : 0; odd > 0; odd--) {
                put(&p.b, 0, draw_to(p.K), draw_to(p.N), odd == 1 ? NAN : INFINITY);
                put(&p.a, 0, draw_to(p.M), draw_to(p.K), odd == 1 ? NAN : -INFINITY);
            }
            flushing = tp_set_flush_denormal(h % 7 == 6) && h % 7 == 6;
            for_each_level(check_zeros, &p);
            tp_set_flush_denormal(false);
            free_product(&p);
        }
    }
    tpt_ok(tp_set_num_threads(0));
}

/* Lists of k, beside looking at each number. */
static void check_lists(const tp__gemm_kernels *kernels, const matrix *x, tp__rows_lie lie) {
    enum { MOST = 40, ROOM = 128 + TP__GEMM_LIVE_PAST };
    const bool apart = lie == TP__ROWS_APART;
    const int64_t first = apart ? 0 : draw_to(3), step = (apart ? x->row : x->col);
    const int64_t from = draw_to(x->n), end = from + draw_to(x->n - from + 1);
    uint16_t places[MOST][ROOM];
    tp__gemm_live_list list[MOST];
    const int most = kernels->live_rows[draw_to(TP__PACE_COUNT)];
    int n = 0;
    for (int64_t row = first; row < x->m && n < MOST; row += list[n++].rows)
        list[n] = (tp__gemm_live_list){places[n], (int)(1 + draw_to(tp__least(most, x->m - row)))};
    const int size = (int)tp_dtype_size(x->dtype);
    kernels->find_live[lie](list, n, first, (char *)start(x) + first * x->row * size, step * size,
                            from, end);
    int64_t row = first;
    for (int i = 0; i < n; row += list[i++].rows) {
        const uint16_t *at = places[i];
        for (int64_t k = from; k < end; k++) {
            bool live = false;
            for (int64_t r = row; r < row + list[i].rows; r++) live |= get(x, 0, r, k) != 0;
            if (live) assert_int_equal(*at++, k);
        }
        assert_ptr_equal(at, list[i].end);
    }
}

static void live_k_are_listed(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        const tp_dtype dtype = round % 3 ? TP_FLOAT32 : TP_FLOAT64;
        const bool apart = round % 2;
        matrix x =
            make(dtype, 1, 4 + draw_to(100), 1 + draw_to(120), apart ? ROWS : COLUMNS, draw_to(9));
        blank(&x, true, 1 + draw_to(9));
        for (int isa = 0; isa < TP__ISA_COUNT; isa++)
            if (tp__kernels_use((tp__isa)isa))
                check_lists(tp__kernels_now()->gemm[dtype], &x,
                            apart ? TP__ROWS_APART : TP__ROWS_NEAR);
        tp__kernels_use(tp__cpu_isa());
        free(x.block);
    }
}

/* Is c computed as its transpose? */
static bool is_turned(const product *p) {
    tp__gemm g = {.dtype = p->dtype, .M = p->M, .N = p->N, .K = p->K, .batch = 1};
    g.a = start(&p->a), g.a_row = p->a.row, g.a_col = p->a.col;
    g.b = start(&p->b), g.b_row = p->b.row, g.b_col = p->b.col;
    tp__gemm_workspace(&g);
    return g.turned;
}

/* What is mostly background becomes the left operand, or stays it: images of a batch, as in the
 * weights' gradient and in the forward product. */
static void zeros_are_seen(void **state) {
    (void)state;
    seed = 1;
    product gradient = make_product(TP_FLOAT32, 64, 700, 100, 1, COLUMNS, ROWS);
    assert_false(is_turned(&gradient));
    blank(&gradient.b, false, 50);
    assert_true(is_turned(&gradient));
    free_product(&gradient);
    product forward = make_product(TP_FLOAT32, 64, 500, 784, 1, ROWS, COLUMNS);
    assert_true(is_turned(&forward));
    blank(&forward.a, true, 50);
    assert_false(is_turned(&forward));
    free_product(&forward);
}

/* Too small to be settled: every way makes -0 of terms that underflow and a bias of -0 what the
 * others make of it. */
static void bias_of_minus_0_is_plus_0(void **state) {
    (void)state;
    static const int64_t size[][3] = {{4, 30, 100}, {2, 8, 9}, {30, 20, 40}, {2, 3, 4100}};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int h = 0; h < 4; h++) {
            product p = make_product(TP_FLOAT32, size[s][0], size[s][1], size[s][2], 1,
                                     h & 1 ? COLUMNS : ROWS, h & 2 ? COLUMNS : ROWS);
            for (int64_t i = 0; i < p.M * p.K; i++) put(&p.a, 0, i / p.K, i % p.K, 1e-30);
            for (int64_t i = 0; i < p.K * p.N; i++) put(&p.b, 0, i / p.N, i % p.N, -1e-30);
            for (int64_t j = 0; j < p.N; j++) put(&p.bias, 0, 0, j, -0.0);
            p.has_bias = true;
            for_each_level(check_by_rules, &p);
            free_product(&p);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(zeros_change_no_bit),
        TPT(live_k_are_listed),
        TPT(zeros_are_seen),
        TPT(bias_of_minus_0_is_plus_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
