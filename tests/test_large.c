/* Tests of results that are larger than caches, and are written past them: each is compared, bit
 * for bit, with the same computed in parts that are small, at all ISA levels and by several
 * threads. */
#include "taper.h"

#include "support.h"

#include "kernels/kernels.h"

enum { ROWS = 1024, COLUMNS = 2304, PART = 64, COUNT = ROWS * COLUMNS }; /* 9 MiB of float32 */

typedef tp_tensor *(*op)(tp_tensor *x, tp_tensor *y);

static tp_tensor *rows_of(tp_tensor *x, int64_t from) {
    return !x || tp_size(x, 0) == 1 ? x : tp_slice(x, 0, from, from + PART, 1);
}

/* op(x, y), whole and by PART rows. */
static void check(op fn, tp_tensor *x, tp_tensor *y) {
    tp_scope s = tp_scope_begin();
    const tp_tensor *whole = fn(x, y);
    assert_non_null(whole);
    const char *got = tp_data_ptr(whole);
    for (int64_t from = 0; from < tp_size(whole, 0); from += PART) {
        tp_scope inner = tp_scope_begin();
        const tp_tensor *part = fn(rows_of(x, from), rows_of(y, from));
        assert_non_null(part);
        const int64_t bytes = tp_numel(part) * tp_dtype_size(tp_dtype_of(part));
        tpt_same_bits(got, tp_data_ptr(part), (size_t)bytes);
        got += bytes;
        tp_scope_end(inner);
    }
    tp_scope_end(s);
}

static tp_tensor *add(tp_tensor *x, tp_tensor *y) {
    return tp_add(x, y);
}
static tp_tensor *sub(tp_tensor *x, tp_tensor *y) {
    return tp_sub(x, y);
}
static tp_tensor *divide(tp_tensor *x, tp_tensor *y) {
    return tp_div(x, y);
}
static tp_tensor *less(tp_tensor *x, tp_tensor *y) {
    return tp_lt(x, y);
}
static tp_tensor *maximum(tp_tensor *x, tp_tensor *y) {
    return tp_maximum(x, y);
}
static tp_tensor *relu(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return tp_relu(x);
}
static tp_tensor *sigmoid(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return tp_sigmoid(x);
}
static tp_tensor *twice(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return tp_mul(x, 2);
}
static tp_tensor *doubles(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return tp_to(x, TP_FLOAT64);
}
static tp_tensor *copy(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return tp_clone(x);
}
static tp_tensor *in_place(tp_tensor *x, tp_tensor *y) {
    return tp_add_(tp_clone(x), y);
}

static void at_every_level(op fn, tp_tensor *x, tp_tensor *y) {
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (int threads = 1; threads <= 3; threads += 2) {
            tpt_ok(tp_set_num_threads(threads));
            check(fn, x, y);
        }
    }
    tp__kernels_use(tp__cpu_isa());
    tpt_ok(tp_set_num_threads(0));
}

static tp_tensor *numbers(int64_t rows, int64_t columns) {
    return tp_sub(tp_rand(TP_SHAPE(rows, columns), TP_FLOAT32, NULL), 0.5);
}

static void dense_operands(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *x = numbers(ROWS, COLUMNS), *y = numbers(ROWS, COLUMNS);
    static const op all[] = {add, relu, sigmoid, twice, doubles, copy, in_place};
    for (int i = 0; i < TP__COUNT(all); i++) at_every_level(all[i], x, y);
    at_every_level(add, tp_to(x, TP_FLOAT64), tp_to(y, TP_FLOAT64));
    tp_tensor *whole = tp_to(tp_mul(x, 1000), TP_INT64);
    at_every_level(add, whole, whole);
    tp_scope_end(s);
}

/* Rows that do not begin at a line of memory, or are no multiple of anything; a row for all rows; a
 * number for each row; a result of bytes. */
static void other_operands(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    tp_tensor *x = numbers(ROWS, COLUMNS + 5), *row = numbers(1, COLUMNS + 5);
    at_every_level(add, x, row);
    at_every_level(relu, tp_slice(x, 1, 3, COLUMNS + 2, 1), NULL);
    at_every_level(copy, tp_slice(x, 1, 0, COLUMNS, 1), NULL);
    tp_tensor *odd = numbers(ROWS, COLUMNS + 101); /* rows of a tile are no multiple of four */
    at_every_level(add, odd, numbers(ROWS, COLUMNS + 101));
    at_every_level(add, odd, numbers(ROWS, 1));
    at_every_level(add, numbers(ROWS, 1), odd);
    tp_tensor *lines = numbers(ROWS + 1, COLUMNS); /* its rows are whole lines */
    tp_tensor *one = numbers(1, COLUMNS);
    static const op ops[] = {add, sub, divide, less};
    for (int i = 0; i < TP__COUNT(ops); i++) {
        at_every_level(ops[i], lines, one);
        at_every_level(ops[i], one, lines);
    }
    at_every_level(sub, tp_to(lines, TP_FLOAT64), tp_to(one, TP_FLOAT64));
    at_every_level(sub, tp_to(one, TP_FLOAT64), tp_to(lines, TP_FLOAT64));
    at_every_level(add, lines, numbers(ROWS + 1, 1));
    tp_tensor *wide = numbers(ROWS, 4 * COLUMNS);
    at_every_level(less, wide, numbers(ROWS, 4 * COLUMNS));
    tp_scope_end(s);
}

/* One row for all, of which several are taken as one. */
static void common_rows(void **state) {
    (void)state;
    static const int64_t size[][2] = {
        {3008, 784}, {24064, 100}, {37888, 64}, {240000, 10}, {800000, 3}};
    for (int k = 0; k < TP__COUNT(size); k++) {
        tp_scope s = tp_scope_begin();
        const int64_t rows = size[k][0] / PART * PART;
        tp_tensor *x = numbers(rows, size[k][1]), *row = numbers(1, size[k][1]);
        at_every_level(add, x, row);
        check(sub, row, x);
        check(less, x, row);
        check(maximum, x, row);
        check(divide, tp_to(x, TP_FLOAT64), tp_to(row, TP_FLOAT64));
        tp_scope_end(s);
    }
}

/* Into rows of a larger tensor, which begin anywhere, or with lines of memory. */
static tp_tensor *into(tp_tensor *x, int64_t left, int64_t right) {
    const int64_t columns = tp_size(x, 1);
    tp_tensor *whole = tp_zeros(TP_SHAPE(tp_size(x, 0), left + columns + right), TP_FLOAT32);
    tp_tensor *view = tp_slice(whole, 1, left, left + columns, 1);
    return tp_copy_(view, x) ? whole : NULL;
}
static tp_tensor *into_view(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return into(x, 1, 2);
}
static tp_tensor *into_lines(tp_tensor *x, tp_tensor *y) {
    (void)y;
    return into(x, 16, 48);
}

static void results_in_views(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    at_every_level(into_view, numbers(ROWS, COLUMNS), NULL);
    at_every_level(into_lines, numbers(ROWS, COLUMNS), NULL);
    tp_scope_end(s);
}

/* Element by element, as the parts would be transposed in the same way. */
static void check_transpose(tp_tensor *x, int64_t rows, int64_t columns) {
    tp_scope s = tp_scope_begin();
    const float *from = tp_data_f32(x), *to = tp_data_f32(tp_clone(tp_T(x)));
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            if (to[j * rows + i] != from[i * columns + j])
                fail_msg("%s: row %lld, column %lld", tp__isa_name(tp__kernels_isa()), (long long)j,
                         (long long)i);
    tp_scope_end(s);
}

static void transposes(void **state) {
    (void)state;
    tp_scope s = tp_scope_begin();
    static const int64_t size[][2] = {{1024, 2304}, {2304, 1024}, {1013, 2307}, {3000, 1040}};
    for (int k = 0; k < TP__COUNT(size); k++) {
        tp_tensor *x = numbers(size[k][0], size[k][1]);
        for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++)
            if (tp__kernels_use(isa)) check_transpose(x, size[k][0], size[k][1]);
    }
    tp__kernels_use(tp__cpu_isa());
    tp_scope_end(s);
}

/* ---- columns: each has the same sum whatever stands beside it -------------------------------- */

static tp_tensor *sums(tp_tensor *x) {
    return tp_sum_dim(x, TP_DIMS(0), 0);
}
static tp_tensor *largest(tp_tensor *x) {
    return tp_max_dim(x, 0, 0, NULL);
}
static tp_tensor *spread(tp_tensor *x) {
    return tp_std_dim(x, TP_DIMS(0), 0);
}
typedef tp_tensor *(*reduction)(tp_tensor *x);
static const reduction reductions[] = {sums, largest, spread};

/* Columns [from, from + n) of fn(x) are those of a copy of them, which is small. */
static void check_columns(reduction fn, tp_tensor *x, int64_t from, int64_t n) {
    tp_scope s = tp_scope_begin();
    const tp_tensor *whole = fn(x), *part = fn(tp_clone(tp_slice(x, 1, from, from + n, 1)));
    assert_non_null(whole);
    assert_non_null(part);
    const size_t size = tp_dtype_size(tp_dtype_of(whole));
    const char *got = tp_data_ptr(whole);
    tpt_same_bits(got + (size_t)from * size, tp_data_ptr(part), (size_t)n * size);
    tp_scope_end(s);
}

static void columns(void **state) {
    (void)state;
    static const struct {
        int64_t rows, columns, part;
    } size[] = {{1600, 1500, 1024}, {16000, 256, 128}, {2680, 784, 781}, {9001, 240, 200}};
    tp_scope s = tp_scope_begin();
    for (int k = 0; k < TP__COUNT(size); k++) {
        tp_tensor *x = numbers(size[k].rows, size[k].columns);
        for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++)
            for (int r = 0; r < TP__COUNT(reductions) && tp__kernels_use(isa); r++) {
                check_columns(reductions[r], x, 0, size[k].part);
                check_columns(reductions[r], x, size[k].columns - size[k].part, size[k].part);
            }
    }
    tp__kernels_use(tp__cpu_isa());
    tp_scope_end(s);
}

/* Narrow ones are read as if several rows were one: whole numbers, whose sums are exact. */
static void narrow_columns(void **state) {
    (void)state;
    enum { FEW = 5, MANY = 500003 };
    tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_zeros(TP_SHAPE(MANY, FEW), TP_FLOAT32);
    double sum[FEW] = {0};
    float *const v = tp_data_f32(x);
    for (int64_t i = 0; i < MANY * FEW; i++) sum[i % FEW] += v[i] = (float)(i % 17);
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        const float *const got = tp_data_f32(sums(x));
        for (int c = 0; c < FEW; c++) assert_true(got[c] == (float)sum[c]);
    }
    tp__kernels_use(tp__cpu_isa());
    tp_scope_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(dense_operands), TPT(other_operands), TPT(common_rows),    TPT(results_in_views),
        TPT(transposes),     TPT(columns),        TPT(narrow_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
