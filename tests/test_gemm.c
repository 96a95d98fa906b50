/* Tests of matrix multiply: every output against a sum in higher precision, and bit for bit
 * against the rules that gemm.c states, at all ISA levels, for any strides and any number of
 * threads. */
#define _POSIX_C_SOURCE 200809L
#include "products.h"

/* The same values, stored in another way. */
static matrix store_as(const matrix *x, layout how, int64_t gap) {
    matrix y = make(x->dtype, x->batch, x->m, x->n, how, gap);
    for (int64_t z = 0; z < x->batch; z++)
        for (int64_t i = 0; i < x->m; i++)
            for (int64_t j = 0; j < x->n; j++) put(&y, z, i, j, get(x, z, i, j));
    return y;
}

/* Against long double: the error of a sum is below (K + 2) eps times the sum of magnitudes. */
static void check_residual(const product *p, char *block) {
    const matrix c = result_of(p, block);
    const double eps = p->dtype == TP_FLOAT32 ? 0x1p-24 : 0x1p-53;
    for (int64_t z = 0; z < p->batch; z++)
        for (int64_t i = 0; i < p->M; i++)
            for (int64_t j = 0; j < p->N; j++) {
                long double s = p->accumulate ? get(&p->c, z, i, j) : 0, magnitude = fabsl(s);
                for (int64_t k = 0; k < p->K; k++) {
                    const long double t = (long double)get(&p->a, z, i, k) * get(&p->b, z, k, j);
                    s += t;
                    magnitude += fabsl(t);
                }
                if (p->has_bias) {
                    s += get(&p->bias, 0, 0, j);
                    magnitude += fabsl(get(&p->bias, 0, 0, j));
                }
                if (p->relu && s < 0) s = 0;
                const double error = (double)fabsl(get(&c, z, i, j) - s);
                assert_true(error <= 2 * (double)(p->K + 3) * eps * (double)magnitude);
            }
}

static void check_result(const product *p) {
    char *got = run(p);
    check_residual(p, got);
    check_rules(p, got);
    free(got);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static int64_t draw_size(void) {
    static const int64_t special[] = {1, 2, 7, 8, 13, 14, 15, 16, 17, 30, 31, 32, 33, 48, 64, 65};
    switch (draw_to(4)) {
    case 0: return special[draw_to(TP__COUNT(special))];
    case 1: return 1 + draw_to(6);
    case 2: return 1 + draw_to(40);
    default: return 1 + draw_to(110);
    }
}

static void random_products_follow_the_rules(void **state) {
    (void)state;
    for (int round = 0; round < 700; round++) {
        const tp_dtype dtype = round % 3 == 2 ? TP_FLOAT64 : TP_FLOAT32;
        const int64_t batch = draw_to(4) ? 1 : 1 + draw_to(4);
        product p = make_product(dtype, draw_size(), draw_size(), draw_size(), batch,
                                 (layout)draw_to(LAYOUTS), (layout)draw_to(LAYOUTS));
        p.has_bias = draw_to(3) == 0;
        p.relu = draw_to(3) == 0;
        p.accumulate = draw_to(3) == 0;
        p.chains = draw_to(2) == 0;
        for_each_level(check_result, &p);
        free_product(&p);
    }
}

/* Rows without gaps, of which some sizes have ways of their own. */
static void tiny_products_follow_the_rules(void **state) {
    (void)state;
    static const int64_t columns[] = {2, 3, 4, 5, 8, 9, 16, 30, 71}, Ks[] = {1, 3, 4, 5, 11};
    for (int64_t M = 2; M < 36; M += M < 18 ? 1 : 7)
        for (int i = 0; i < 2 * TP__COUNT(columns) * TP__COUNT(Ks); i++) {
            const tp_dtype dtype = i % 2 ? TP_FLOAT64 : TP_FLOAT32;
            const int64_t K = Ks[i / 2 % TP__COUNT(Ks)], N = columns[i / 2 / TP__COUNT(Ks)];
            product p = make_product(dtype, M, N, K, 1, ROWS, ROWS);
            free(p.a.block);
            free(p.c.block);
            p.a = make(dtype, 1, M, K, ROWS, 0);
            p.c = make(dtype, 1, M, N, ROWS, 0);
            for_each_level(check_result, &p);
            free_product(&p);
        }
}

/* Large enough for several tiles and blocks of K, and for every kind of packing. */
static void large_products_follow_the_rules(void **state) {
    (void)state;
    static const int64_t size[][3] = {{300, 150, 260}, {129, 257, 300}, {70, 30, 1100},
                                      {257, 33, 520},  {40, 520, 70},   {600, 9, 77},
                                      {5, 300, 700},   {1100, 1, 200},  {1, 1100, 200}};
    static const layout how[][2] = {
        {ROWS, ROWS}, {ROWS, COLUMNS}, {COLUMNS, ROWS}, {COLUMNS, COLUMNS}, {SCATTERED, SCATTERED}};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int h = 0; h < TP__COUNT(how); h++) {
            product p = make_product(h % 2 ? TP_FLOAT32 : TP_FLOAT64, size[s][0], size[s][1],
                                     size[s][2], 1, how[h][0], how[h][1]);
            p.accumulate = h == 2;
            p.has_bias = p.relu = h == 1;
            p.chains = h % 2;
            char *got = run(&p);
            check_rules(&p, got);
            free(got);
            free_product(&p);
        }
}

/* Panels of B that are packed for all tiles may end within a line; what lies behind them does not
 * begin there. */
static void packed_panels_may_end_anywhere(void **state) {
    (void)state;
    for (int64_t K = 5; K < 9; K++) {
        product p = make_product(K % 2 ? TP_FLOAT32 : TP_FLOAT64, 300, 257, K, 1, COLUMNS, COLUMNS);
        for_each_level(check_result, &p);
        free_product(&p);
    }
}

static void a_long_k_is_cut_by_shape_alone(void **state) {
    (void)state;
    static const int64_t size[][3] = {{5, 6, 4095},  {5, 6, 4096},  {3, 30, 12396},
                                      {9, 1, 12396}, {2, 3, 4100},  {1, 9, 5000},
                                      {1, 1, 40000}, {2, 2, 70001}, {150, 1, 4500}};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int h = 0; h < 4; h++) {
            product p =
                make_product(h % 2 ? TP_FLOAT32 : TP_FLOAT64, size[s][0], size[s][1], size[s][2],
                             1 + h / 3, h & 1 ? COLUMNS : ROWS, h & 2 ? COLUMNS : ROWS);
            p.accumulate = h >= 2;
            p.has_bias = h == 1;
            p.relu = h == 3;
            p.chains = h % 3 == 0;
            for_each_level(check_result, &p);
            free_product(&p);
        }
}

/* Rows and columns of matrices that no near cache keeps, which are read in other ways. */
static void matrices_from_memory_follow_the_rules(void **state) {
    (void)state;
    static const struct {
        tp_dtype dtype;
        int64_t M, K;
        bool chains;
    } of[] = {{TP_FLOAT32, 2803, 789, false},
              {TP_FLOAT64, 1405, 789, false},
              {TP_FLOAT32, 301, 1100, true},
              {TP_FLOAT64, 301, 600, true}};
    for (int i = 0; i < TP__COUNT(of); i++) {
        product p =
            make_product(of[i].dtype, of[i].M, 1, of[i].K, 1, of[i].chains ? COLUMNS : ROWS, ROWS);
        p.chains = of[i].chains;
        for_each_level(check_result, &p);
        free_product(&p);
    }
}

/* The product of p, its operands stored in other ways, has the same bits. */
static void expect_same_from(const product *p, layout a, int64_t a_gap, layout b, int64_t b_gap,
                             char *want) {
    product q = *p;
    q.a = store_as(&p->a, a, a_gap);
    q.b = store_as(&p->b, b, b_gap);
    char *got = run(&q);
    expect_same(p, got, want);
    free(got);
    free(q.a.block);
    free(q.b.block);
}

static void transposes_change_no_bit(void **state) {
    (void)state;
    static const int64_t size[][3] = {{4, 4, 4},    {64, 30, 784},  {30, 64, 300}, {257, 130, 300},
                                      {33, 1, 333}, {1, 57, 400},   {1, 1, 99},    {20, 1, 5000},
                                      {3, 7, 9000}, {200, 200, 17}, {7, 4, 9}};
    for (int s = 0; s < TP__COUNT(size); s++) {
        product p = make_product(TP_FLOAT32, size[s][0], size[s][1], size[s][2], 1, ROWS, ROWS);
        char *want = run(&p);
        for (int h = 1; h < 9; h++)
            expect_same_from(&p, (layout)(h % 3), h % 5, (layout)(h / 3), h % 4, want);
        free(want);
        free_product(&p);
    }
}

/* Rows a multiple of 4 KiB apart, which tiles bring together; and more k than they bring at
 * once. */
static void rows_far_apart_change_no_bit(void **state) {
    (void)state;
    static const int64_t size[][4] = {{70, 130, 1024, 1}, {131, 97, 1000, 3}, {45, 200, 2600, 1}};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int h = 0; h < 4; h++) {
            const int64_t K = size[s][2], gap = 4096 - K % 1024;
            product p = make_product(h == 3 ? TP_FLOAT64 : TP_FLOAT32, size[s][0], size[s][1], K,
                                     size[s][3], ROWS, ROWS);
            p.accumulate = h == 1;
            p.has_bias = p.relu = h == 2;
            char *want = run(&p);
            check_rules(&p, want);
            for (int how = 0; how < 4; how++) {
                tpt_ok(tp_set_num_threads(1 + how));
                expect_same_from(&p, how & 1 ? COLUMNS : ROWS, gap, how & 2 ? COLUMNS : ROWS, 0,
                                 want);
            }
            free(want);
            free_product(&p);
        }
    tpt_ok(tp_set_num_threads(0));
}

static void threads_change_no_bit(void **state) {
    (void)state;
    static const int64_t size[][4] = {{300, 200, 400, 1}, {784, 30, 256, 1}, {64, 30, 784, 3},
                                      {30, 40, 12396, 1}, {2800, 1, 784, 1}, {784, 1, 12396, 1},
                                      {1, 784, 3000, 2},  {20, 20, 20, 200}};
    static const int threads[] = {1, 2, 3, 5, 8};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int t = 0; t < 2; t++) {
            product p = make_product(TP_FLOAT32, size[s][0], size[s][1], size[s][2], size[s][3],
                                     t ? COLUMNS : ROWS, ROWS);
            p.chains = t;
            tpt_ok(tp_set_num_threads(1));
            char *want = run(&p);
            for (int n = 1; n < TP__COUNT(threads); n++) {
                tpt_ok(tp_set_num_threads(threads[n]));
                char *got = run(&p);
                expect_same(&p, got, want);
                free(got);
            }
            free(want);
            free_product(&p);
        }
    tpt_ok(tp_set_num_threads(0));
}

static void v3_and_v4_agree(void **state) {
    (void)state;
    if (tp__cpu_isa() < TP__ISA_V4) tpt_skip_here("no AVX-512, or TAPER_ISA is lower");
    for (int round = 0; round < 60; round++) {
        product p =
            make_product(round % 2 ? TP_FLOAT32 : TP_FLOAT64, 1 + draw_to(300), 1 + draw_to(150),
                         1 + draw_to(700), 1, (layout)draw_to(3), (layout)draw_to(3));
        assert_true(tp__kernels_use(TP__ISA_V3));
        char *v3 = run(&p);
        assert_true(tp__kernels_use(TP__ISA_V4));
        char *v4 = run(&p);
        expect_same(&p, v4, v3);
        free(v3);
        free(v4);
        free_product(&p);
    }
}

/* Without fused multiply-adds a product is rounded before it is added, so base has other bits; how
 * far apart they may be is said beside tp_isa. */
static void check_base_beside_v3(const product *p) {
    tp__kernels_use(TP__ISA_BASE);
    char *base = run(p);
    assert_true(tp__kernels_use(TP__ISA_V3));
    char *v3 = run(p);
    const matrix x = result_of(p, base), y = result_of(p, v3);
    const double eps = p->dtype == TP_FLOAT32 ? 0x1p-24 : 0x1p-53;
    for (int64_t i = 0; i < p->M; i++)
        for (int64_t j = 0; j < p->N; j++) {
            double magnitude = 0;
            for (int64_t k = 0; k < p->K; k++)
                magnitude += fabs(get(&p->a, 0, i, k) * get(&p->b, 0, k, j));
            const double apart = fabs(get(&x, 0, i, j) - get(&y, 0, i, j));
            assert_true(apart <= 2 * (double)(p->K + 1) * eps * magnitude);
        }
    free(base);
    free(v3);
}

static void base_is_near_v3(void **state) {
    (void)state;
    if (tp__cpu_isa() < TP__ISA_V3) tpt_skip_here("no AVX2, or TAPER_ISA is lower");
    for (int round = 0; round < 60; round++) {
        const int64_t K = round % 10 ? 1 + draw_to(300) : 4096 + draw_to(3000);
        product p = make_product(round % 3 ? TP_FLOAT32 : TP_FLOAT64, draw_size(), draw_size(), K,
                                 1, (layout)draw_to(LAYOUTS), (layout)draw_to(LAYOUTS));
        check_base_beside_v3(&p);
        free_product(&p);
    }
    tp__kernels_use(tp__cpu_isa());
}

/* One odd element of a reaches its row and no other output, however c's edges are padded. */
static void check_one_odd_element(const product *p) {
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    product q = *p;
    for (int o = 0; o < TP__COUNT(odd); o++) {
        const int64_t i = draw_to(p->M), k = draw_to(p->K);
        const double was = get(&p->a, 0, i, k);
        put(&q.a, 0, i, k, odd[o]);
        char *got = run(&q);
        const matrix c = result_of(p, got);
        for (int64_t r = 0; r < p->M; r++)
            for (int64_t j = 0; j < p->N; j++)
                assert_int_equal(isfinite(get(&c, 0, r, j)) != 0, r != i);
        check_rules(&q, got);
        free(got);
        put(&q.a, 0, i, k, was);
    }
}

static void nan_and_infinity_go_through(void **state) {
    (void)state;
    static const int64_t size[][3] = {{4, 4, 4},     {30, 30, 50}, {15, 17, 33},
                                      {64, 30, 784}, {40, 1, 100}, {1, 40, 100}};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int h = 0; h < 4; h++) {
            product p = make_product(TP_FLOAT32, size[s][0], size[s][1], size[s][2], 1,
                                     h & 1 ? COLUMNS : ROWS, h & 2 ? COLUMNS : ROWS);
            for_each_level(check_one_odd_element, &p);
            free_product(&p);
        }
}

/* Row 0 of a is NaN, row 1 negative zeros, as is the bias. */
static void check_relu(const product *p) {
    char *got = run(p);
    const matrix c = result_of(p, got);
    for (int64_t j = 0; j < p->N; j++) {
        assert_true(isnan(get(&c, 0, 0, j)));
        assert_true(get(&c, 0, 1, j) == 0 && !signbit(get(&c, 0, 1, j)));
        assert_true(get(&c, 0, 2, j) >= 0);
    }
    free(got);
}

static void relu_keeps_nan_and_gives_positive_zero(void **state) {
    (void)state;
    static const int64_t size[][2] = {{20, 2}, {20, 300}, {20, 5000}, {1, 2}, {1, 5000}};
    for (int s = 0; s < TP__COUNT(size); s++) {
        product p = make_product(TP_FLOAT32, 3, size[s][0], size[s][1], 1, ROWS, ROWS);
        p.relu = p.has_bias = true;
        for (int64_t k = 0; k < p.K; k++) {
            put(&p.a, 0, 0, k, NAN);
            put(&p.a, 0, 1, k, -0.0);
        }
        for (int64_t j = 0; j < p.N; j++) put(&p.bias, 0, 0, j, -0.0);
        for_each_level(check_relu, &p);
        free_product(&p);
    }
}

static void empty_sizes(void **state) {
    (void)state;
    static const int64_t size[][4] = {{3, 40, 0, 1}, {3, 1, 0, 1}, {1, 40, 0, 2}, {0, 5, 5, 1},
                                      {5, 0, 5, 1},  {5, 5, 5, 0}, {0, 0, 0, 0},  {300, 20, 0, 1}};
    for (int s = 0; s < TP__COUNT(size); s++)
        for (int h = 0; h < 8; h++) {
            product p = make_product(TP_FLOAT32, size[s][0], size[s][1], size[s][2], size[s][3],
                                     ROWS, ROWS);
            p.has_bias = h & 1;
            p.relu = h & 2;
            p.accumulate = h & 4;
            for_each_level(check_by_rules, &p);
            free_product(&p);
        }
    const tp__gemm nothing = {
        .dtype = TP_FLOAT32, .M = 5, .N = 5, .batch = 1, .c_row = 5, .c = (float[25]){1}};
    tp__gemm_run(&nothing, NULL); /* K = 0: a and b may be NULL */
    for (int i = 0; i < 25; i++) assert_true(((float *)nothing.c)[i] == 0);
}

static void whole_numbers_wrap(void **state) {
    (void)state;
    enum { M = 5, N = 7, K = 9 };
    int64_t a[M * K], b[K * N], c[M * N];
    uint8_t ua[M * K], ub[K * N], uc[M * N];
    for (int i = 0; i < M * K; i++) ua[i] = (uint8_t)(a[i] = (int64_t)draw());
    for (int i = 0; i < K * N; i++) ub[i] = (uint8_t)(b[i] = (int64_t)draw());
    tp__gemm g = {.dtype = TP_INT64,
                  .M = M,
                  .N = N,
                  .K = K,
                  .batch = 1,
                  .a = a,
                  .a_row = 1,
                  .a_col = M,
                  .b = b,
                  .b_row = N,
                  .b_col = 1,
                  .c = c,
                  .c_row = N};
    assert_int_equal(tp__gemm_workspace(&g), 0);
    tp__gemm_run(&g, NULL);
    tp__gemm u = g;
    u.dtype = TP_UINT8, u.a = ua, u.b = ub, u.c = uc;
    tp__gemm_run(&u, NULL);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            uint64_t s = 0;
            for (int k = 0; k < K; k++) s += (uint64_t)a[i + k * M] * (uint64_t)b[k * N + j];
            assert_true((uint64_t)c[i * N + j] == s);
            assert_int_equal(uc[i * N + j], (uint8_t)s);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(random_products_follow_the_rules),
        TPT(tiny_products_follow_the_rules),
        TPT(large_products_follow_the_rules),
        TPT(packed_panels_may_end_anywhere),
        TPT(a_long_k_is_cut_by_shape_alone),
        TPT(matrices_from_memory_follow_the_rules),
        TPT(transposes_change_no_bit),
        TPT(rows_far_apart_change_no_bit),
        TPT(threads_change_no_bit),
        TPT(v3_and_v4_agree),
        TPT(base_is_near_v3),
        TPT(nan_and_infinity_go_through),
        TPT(relu_keeps_nan_and_gives_positive_zero),
        TPT(empty_sizes),
        TPT(whole_numbers_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
