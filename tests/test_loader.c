/* test_loader.c -- datasets in memory, and the loader: torch's order, workers, errors, states.
 *
 * golden/loader.txt is what golden/loader.py printed; it is compared always, and where torch is
 * installed the script is run again. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/data.h"
#include "taper/autograd.h"
#include "taper/ops.h"

static const int worker_counts[] = {-1, 0, 1, 2, 5};
enum { WORKER_COUNTS = sizeof worker_counts / sizeof *worker_counts };

/* ---- a dataset of numbers: x = [i, i + 0.5], y = 10 i ---------------------------------------- */

typedef struct numbers {
    int64_t n;
    int64_t bad[4]; /* samples that fail, -1: none */
    int nbad;
    int wrong;                 /* what get returns for sample 0 without a message */
    int64_t slow;              /* nanoseconds a sample */
    bool restless;             /* give the processor away now and then */
    _Atomic int64_t elsewhere; /* samples fetched by other threads */
} numbers;

static _Thread_local bool is_consumer;

static int64_t numbers_len(void *self) {
    return ((numbers *)self)->n;
}

static tp_status numbers_get(void *self, int64_t i, tp_sample *s) {
    numbers *set = self;
    if (set->restless && i % 3 == 0) sched_yield();
    if (set->slow) nanosleep(&(struct timespec){.tv_nsec = set->slow}, NULL);
    if (!is_consumer) set->elsewhere++;
    if (set->wrong && i == 0) return (tp_status)set->wrong;
    for (int k = 0; k < set->nbad; k++)
        if (set->bad[k] == i) return tp_error_set(TP_EUSER, "row %lld is empty", (long long)i);
    ((float *)s->x)[0] = (float)i;
    ((float *)s->x)[1] = (float)i + 0.5f;
    *(int64_t *)s->y = 10 * i;
    return TP_OK;
}

static tp_status numbers_get_batch(void *self, const int64_t *index, int64_t n, void *x, void *y) {
    for (int64_t i = 0; i < n; i++) {
        const tp_status r =
            numbers_get(self, index[i], &(tp_sample){(float *)x + 2 * i, (int64_t *)y + i});
        if (r) return r;
    }
    return TP_OK;
}

static tp_dataset dataset_of(numbers *set) {
    is_consumer = true;
    return (tp_dataset){.size = sizeof(tp_dataset),
                        .self = set,
                        .x_shape = TP_SHAPE(2),
                        .y_shape = TP_0D,
                        .x_dtype = TP_FLOAT32,
                        .y_dtype = TP_INT64,
                        .len = numbers_len,
                        .get = numbers_get};
}

static tp_loader *loader_of(numbers *set, int64_t batch_size, bool shuffle, int workers) {
    const tp_dataset ds = dataset_of(set);
    tp_loader *dl = tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts),
                                                         .batch_size = batch_size,
                                                         .shuffle = shuffle,
                                                         .workers = workers});
    assert_non_null(dl);
    return dl;
}

static void check_batch(const tp_batch *b) {
    assert_int_equal(tp_size(b->x, 0), b->n);
    assert_int_equal(tp_size(b->x, 1), 2);
    assert_int_equal(tp_ndim(b->y), 1);
    const float *x = tp_data_f32(b->x);
    const int64_t *y = tp_data_i64(b->y);
    for (int64_t i = 0; i < b->n; i++) {
        assert_true(x[2 * i] == (float)b->index[i]);
        assert_true(x[2 * i + 1] == (float)b->index[i] + 0.5f);
        assert_int_equal(y[i], 10 * b->index[i]);
    }
}

/* The rest of the pass, checked; how many samples. */
static int64_t drain(tp_loader *dl, int64_t *order) {
    tp_batch b;
    int64_t n = 0;
    int r;
    while ((r = tp_loader_next(dl, &b)) > 0) {
        check_batch(&b);
        if (order) memcpy(order + n, b.index, (size_t)b.n * sizeof *order);
        n += b.n;
    }
    assert_int_equal(r, 0);
    assert_null(b.x);
    return n;
}

/* ---- torch's order --------------------------------------------------------------------------- */

/* "3x5+5": batches, size of the first and of the last. */
static void write_pass(tp_loader *dl, char *line, size_t size) {
    static int64_t order[20000];
    int64_t n = 0, batches = 0, first = 0, last = 0;
    tp_batch b;
    while (tp_loader_next(dl, &b) > 0) {
        check_batch(&b);
        memcpy(order + n, b.index, (size_t)b.n * sizeof *order);
        n += b.n;
        if (!batches++) first = b.n;
        last = b.n;
    }
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (uint64_t)(i + 1) * (uint64_t)order[i];
    size_t at = strlen(line);
    if (batches)
        at += (size_t)snprintf(line + at, size - at, "%dx%d+%d :", (int)batches, (int)first,
                               (int)last);
    else
        at += (size_t)snprintf(line + at, size - at, "0 :");
    for (int64_t i = 0; i < n && i < 16; i++)
        at += (size_t)snprintf(line + at, size - at, " %d", (int)order[i]);
    snprintf(line + at, size - at, " : %llu : %lu\n", (unsigned long long)(sum % INT32_MAX),
             (unsigned long)(tp_rng_u32(NULL) % UINT32_MAX));
}

typedef struct settings {
    unsigned long long seed;
    long long n, batch_size;
    int shuffle, drop_last;
} settings;

static settings parse(const char *line) {
    settings s;
    assert_int_equal(sscanf(line, "%llu %lld %lld %d %d", &s.seed, &s.n, &s.batch_size, &s.shuffle,
                            &s.drop_last),
                     5);
    return s;
}

/* Two lines of the file: two passes of one loader. */
static void compare_loader(const settings *s, char want[2][512], int workers) {
    numbers set = {.n = s->n};
    const tp_dataset ds = dataset_of(&set);
    tp_loader *dl = tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts),
                                                         .workers = workers,
                                                         .batch_size = s->batch_size,
                                                         .shuffle = s->shuffle,
                                                         .drop_last = s->drop_last});
    assert_non_null(dl);
    for (int pass = 0; pass < 2; pass++) {
        char got[512];
        snprintf(got, sizeof got, "%llu %lld %lld %d %d : ", s->seed, s->n, s->batch_size,
                 s->shuffle, s->drop_last);
        write_pass(dl, got, sizeof got);
        assert_string_equal(got, want[pass]);
    }
    tp_loader_free(dl);
}

static void compare_with_golden(int workers) {
    FILE *f = fopen(tpt_source("tests/golden/loader.txt"), "r");
    assert_non_null(f);
    char want[2][512];
    unsigned long long seed = 1;
    int loaders = 0;
    for (; fgets(want[0], sizeof want[0], f); loaders++) {
        assert_non_null(fgets(want[1], sizeof want[1], f));
        const settings s = parse(want[0]);
        if (s.seed != seed) tp_manual_seed(seed = s.seed);
        compare_loader(&s, want, workers);
    }
    assert_int_equal(loaders, 36);
    fclose(f);
}

static void same_as_torch(void **state) {
    (void)state;
    for (int i = 0; i < WORKER_COUNTS; i++) compare_with_golden(worker_counts[i]);
}

static void golden_is_torch(void **state) {
    (void)state;
    tpt_golden_is_live("tests/golden/loader.txt", "torch", "tests/golden/loader.py");
}

static void a_generator_of_its_own(void **state) {
    (void)state;
    numbers set = {.n = 100};
    const tp_dataset ds = dataset_of(&set);
    tp_rng *rng = tp_rng_new(3);
    tp_loader *dl = tp_loader_new(
        &ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .shuffle = true, .rng = rng});
    int64_t own[100], usual[100];
    tp_manual_seed(8);
    const uint32_t next = tp_rng_u32(NULL);
    tp_manual_seed(8);
    assert_int_equal(drain(dl, own), 100);
    assert_int_equal(tp_rng_u32(NULL), next); /* the default one was left alone */
    tp_loader_free(dl);
    dl = loader_of(&set, 64, true, -1);
    tp_manual_seed(3);
    drain(dl, usual);
    tpt_same_bits(own, usual, sizeof own);
    tp_loader_free(dl);
    tp_rng_free(rng);
}

/* ---- zip ------------------------------------------------------------------------------------- */

static tp_loader *zip_loader(tp_tensor *x, tp_tensor *y, tp_dataset *ds, int64_t batch_size) {
    tpt_ok(tp_zip_dataset(x, y, ds));
    tp_loader *dl = tp_loader_new(
        ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = batch_size});
    assert_non_null(dl);
    return dl;
}

static void pixels_are_divided(void **state) {
    (void)state;
    uint8_t pixels[256 * 3];
    for (int i = 0; i < 256 * 3; i++) pixels[i] = (uint8_t)(i / 3);
    tp_dataset ds;
    tp_batch b;
    tp_loader *dl = zip_loader(tp_from(pixels, TP_SHAPE(256, 3), TP_UINT8),
                               tp_arange(0, 256, 1, TP_INT64), &ds, 100);
    for (int64_t first = 0; tp_loader_next(dl, &b) > 0; first += b.n) {
        assert_int_equal(tp_dtype_of(b.x), TP_FLOAT32);
        const float *x = tp_data_f32(b.x);
        for (int64_t i = 0; i < 3 * b.n; i++) assert_true(x[i] == (float)(first + i / 3) / 255.0f);
        for (int64_t i = 0; i < b.n; i++) assert_int_equal(tp_data_i64(b.y)[i], first + i);
    }
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    assert_null(ds.self);
}

static void large_rows_are_gathered_in_tiles(void **state) {
    (void)state;
    enum { N = 64, ROW = 70000 };
    tp_rng *rng = tp_rng_new(5);
    tp_tensor *x = tp_to(tp_randint(0, 256, TP_SHAPE(N, ROW), rng), TP_UINT8);
    tp_tensor *want = tp_div(tp_to(x, TP_FLOAT32), tp_num(255));
    tp_dataset ds;
    tp_batch b;
    tp_loader *dl = zip_loader(x, tp_arange(0, N, 1, TP_INT64), &ds, N);
    assert_int_equal(tp_loader_next(dl, &b), 1);
    assert_true(tp_equal(b.x, want));
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_rng_free(rng);
}

/* Of two batches of rows in memory, in a shuffled order whose last batch is smaller: what they
 * hold, and whether the second has the storage of the first. */
static bool shares_storage(int threads) {
    enum { N = 10, ROW = 300 };
    tpt_ok(tp_set_num_threads(threads));
    tp_rng *rng = tp_rng_new(6);
    tp_tensor *x = tp_to(tp_randint(0, 256, TP_SHAPE(N, ROW), rng), TP_UINT8);
    tp_tensor *want = tp_div(tp_to(x, TP_FLOAT32), tp_num(255));
    tp_dataset ds;
    tpt_ok(tp_zip_dataset(x, tp_arange(0, N, 1, TP_INT64), &ds));
    tp_loader *dl = tp_loader_new(
        &ds, &(tp_loader_opts){
                 .size = sizeof(tp_loader_opts), .batch_size = 4, .shuffle = true, .rng = rng});
    const void *at[2] = {NULL, NULL};
    tp_batch b;
    for (int i = 0; tp_loader_next(dl, &b); i++) {
        tp_tensor *index = tp_from_ints(TP_SHAPE(b.n), b.index, b.n);
        assert_true(tp_equal(b.x, tp_index_select(want, 0, index)));
        if (i < 2) at[i] = tp_data_f32(b.x);
    }
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_rng_free(rng);
    tpt_ok(tp_set_num_threads(0));
    return at[0] == at[1];
}

/* What another core has read is slow to write again. */
static void threads_let_batches_rest(void **state) {
    (void)state;
    assert_true(shares_storage(1));
    assert_false(shares_storage(2));
}

/* The next batch's rows are asked for in advance where the data is larger than a part of the cache;
 * shares_storage looks at what each batch holds. */
static void far_rows_come_as_near_ones(void **state) {
    (void)state;
    const int64_t cache[] = {0, INT64_C(1) << 40};
    for (int i = 0; i < TP__COUNT(cache); i++) {
        tp__cpu_set_cache(cache[i]);
        for (int threads = 1; threads <= 2; threads++) (void)shares_storage(threads);
    }
    tp__cpu_set_cache(-1);
}

static void zip_keeps_dtypes_and_views(void **state) {
    (void)state;
    tp_tensor *base = tp_to(tp_arange(0, 24, 1, TP_INT64), TP_FLOAT64);
    tp_tensor *x = tp_transpose(tp_view(base, TP_SHAPE(2, 3, 4)), 0, 2); /* [4, 3, 2], strided */
    tp_tensor *y = tp_gt(tp_arange(0, 4, 1, TP_INT64), tp_num(1));
    tp_dataset ds;
    tp_batch b;
    tp_loader *dl = zip_loader(x, tp_reshape(y, TP_SHAPE(4, 1)), &ds, 3);
    assert_int_equal(tp_loader_next(dl, &b), 1);
    assert_true(tp_equal(b.x, tp_slice(x, 0, 0, 3, 1)));
    assert_int_equal(tp_dtype_of(b.y), TP_BOOL);
    assert_int_equal(tp_size(b.y, 1), 1);
    assert_int_equal(tp_loader_next(dl, &b), 1);
    assert_int_equal(b.n, 1);
    assert_true(tp_equal(b.x, tp_slice(x, 0, 3, 4, 1)));
    tp_loader_free(dl);
    tp_dataset_free(&ds);
}

static void zip_outlives_its_scope(void **state) {
    (void)state;
    tp_dataset ds;
    const tp_scope s = tp_scope_begin();
    tpt_ok(
        tp_zip_dataset(tp_ones(TP_SHAPE(5, 2), TP_FLOAT32), tp_zeros(TP_SHAPE(5), TP_INT64), &ds));
    tp_scope_end(s);
    assert_int_equal(tp_dataset_len(&ds), 5);
    float x[2] = {0, 0};
    int64_t y = 7;
    tpt_ok(ds.get(ds.self, 4, &(tp_sample){x, &y}));
    assert_true(x[0] == 1 && x[1] == 1 && y == 0);
    tp_dataset_free(&ds);
    tp_dataset_free(&ds); /* nothing left */
    tp_dataset_free(NULL);
}

static void zip_refuses(void **state) {
    (void)state;
    tp_dataset ds;
    tp_tensor *x = tp_zeros(TP_SHAPE(5, 2), TP_FLOAT32), *y = tp_zeros(TP_SHAPE(4), TP_INT64);
    assert_int_equal(tp_zip_dataset(x, y, &ds), TP_ESHAPE);
    tpt_expect_error(TP_ESHAPE, "zip_dataset: x has 5 rows, y has 4");
    assert_int_equal(tp_zip_dataset(x, tp_num(1), &ds), TP_ESHAPE);
    tpt_expect_error(TP_ESHAPE, "zip_dataset: y is a single number; rows are wanted");
    assert_int_equal(tp_zip_dataset(NULL, y, &ds), TP_ENULL);
    tpt_expect_error(TP_ENULL, "zip_dataset: an argument is NULL");
}

/* ---- workers --------------------------------------------------------------------------------- */

static void workers_change_nothing(void **state) {
    (void)state;
    int64_t want[4][333], got[333];
    for (int i = 0; i < WORKER_COUNTS; i++) {
        numbers set = {.n = 333, .restless = true};
        tp_loader *dl = loader_of(&set, 10, true, worker_counts[i]);
        tp_manual_seed(11);
        for (int pass = 0; pass < 4; pass++) {
            assert_int_equal(drain(dl, i ? got : want[pass]), 333);
            if (i) tpt_same_bits(got, want[pass], sizeof got);
        }
        tp_loader_free(dl);
    }
}

static void batches_are_filled_by_workers(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(2));
    for (int batched = 0; batched < 2; batched++) {
        numbers set = {.n = 40, .slow = 300000};
        tp_dataset ds = dataset_of(&set);
        if (batched) ds.get_batch = numbers_get_batch;
        tp_loader *dl =
            tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = 4});
        /* A slow dataset gets help by itself, as soon as the system lets the helper run. */
        for (int pass = 0; pass < 500 && !set.elsewhere; pass++)
            assert_int_equal(drain(dl, NULL), 40);
        assert_true(set.elsewhere > 0);
        tp_loader_free(dl);
    }
    tpt_ok(tp_set_num_threads(0));
}

static void some_data_stay_on_their_thread(void **state) {
    (void)state;
    numbers slow = {.n = 12, .slow = 300000};
    tpt_ok(tp_set_num_threads(1)); /* slow, but only one thread is allowed */
    tp_loader *one = loader_of(&slow, 4, true, 0);
    drain(one, NULL);
    assert_int_equal(slow.elsewhere, 0);
    tp_loader_free(one);
    tpt_ok(tp_set_num_threads(0));
    numbers set = {.n = 40};
    tp_loader *dl = loader_of(&set, 4, true, -1);
    drain(dl, NULL);
    assert_int_equal(set.elsewhere, 0);
    tp_loader_free(dl);
}

static void freed_inside_a_pass(void **state) {
    (void)state;
    for (int taken = 0; taken < 4; taken++) {
        numbers set = {.n = 200, .slow = 100000};
        tp_loader *dl = loader_of(&set, 10, true, 3);
        tp_batch b;
        for (int i = 0; i < taken; i++) assert_int_equal(tp_loader_next(dl, &b), 1);
        tp_loader_free(dl);
    }
}

static void restarted_inside_a_pass(void **state) {
    (void)state;
    for (int i = 0; i < WORKER_COUNTS; i++) {
        numbers set = {.n = 100, .restless = true};
        tp_loader *dl = loader_of(&set, 8, false, worker_counts[i]);
        tp_batch b;
        for (int k = 0; k < 3; k++) assert_int_equal(tp_loader_next(dl, &b), 1);
        tp_loader_restart(dl);
        assert_int_equal(tp_loader_next(dl, &b), 1);
        assert_int_equal(b.index[0], 0);
        assert_int_equal(drain(dl, NULL), 92);
        tp_loader_free(dl);
    }
    tp_loader_restart(NULL);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void errors_name_the_sample(void **state) {
    (void)state;
    for (int i = 0; i < WORKER_COUNTS; i++) {
        numbers set = {.n = 60, .bad = {37, 21, 25, 28}, .nbad = 4, .restless = true};
        tp_loader *dl = loader_of(&set, 20, false, worker_counts[i]);
        tp_batch b;
        assert_int_equal(tp_loader_next(dl, &b), 1);
        assert_int_equal(tp_loader_next(dl, &b), TP_EUSER);
        assert_null(b.x);
        tpt_expect_error(TP_EUSER,
                         "sample 21: row 21 is empty"); /* the first of the batch, always */
        assert_int_equal(tp_loader_next(dl, &b), 1);    /* the pass goes on behind it */
        check_batch(&b);
        assert_int_equal(b.index[0], 40);
        assert_int_equal(tp_loader_next(dl, &b), 0);
        set.nbad = 0;
        assert_int_equal(drain(dl, NULL), 60);
        tp_loader_free(dl);
    }
}

static void errors_without_a_message(void **state) {
    (void)state;
    for (int wrong = -10; wrong <= 1; wrong += 11) {
        numbers set = {.n = 5, .wrong = wrong};
        tp_loader *dl = loader_of(&set, 5, false, -1);
        tp_batch b;
        assert_true(tp_loader_next(dl, &b) < 0);
        if (wrong < 0)
            tpt_expect_error(TP_EFORMAT,
                             "sample 0: malformed data (get returned -10 and set no message)");
        else
            tpt_expect_error(TP_EUSER, "sample 0: get returned 1, which is no status");
        tp_loader_free(dl);
    }
}

static void errors_of_a_batch(void **state) {
    (void)state;
    numbers set = {.n = 6, .bad = {4}, .nbad = 1};
    tp_dataset ds = dataset_of(&set);
    ds.get_batch = numbers_get_batch;
    tp_loader *dl = tp_loader_new(
        &ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = 3, .workers = 2});
    tp_batch b;
    assert_int_equal(tp_loader_next(dl, &b), 1);
    assert_int_equal(tp_loader_next(dl, &b), TP_EUSER);
    tpt_expect_error(TP_EUSER, "3 samples from 3 on: row 4 is empty");
    tp_loader_free(dl);
}

static void an_older_error_stays(void **state) {
    (void)state;
    numbers set = {.n = 6};
    tp_loader *dl = loader_of(&set, 3, false, -1);
    tp_batch b;
    tp_error_set(TP_EIO, "from before");
    assert_int_equal(tp_loader_next(dl, &b), 1);
    tpt_expect_error(TP_EIO, "from before");
    tp_loader_free(dl);
}

/* No loader, and this error. */
static void refuse(const tp_dataset *ds, tp_loader_opts opts, tp_status code, const char *text) {
    opts.size = sizeof opts;
    assert_null(tp_loader_new(ds, &opts));
    tpt_expect_error(code, text);
}

static void refused_options(void **state) {
    (void)state;
    numbers set = {.n = 6};
    tp_dataset ds = dataset_of(&set);
    refuse(&ds, (tp_loader_opts){.batch_size = -1}, TP_EVALUE, "loader: batch_size -1 is negative");
    refuse(&ds, (tp_loader_opts){.workers = -2}, TP_EVALUE, "loader: workers -2 is not in -1..64");
    refuse(&ds, (tp_loader_opts){.workers = 65}, TP_EVALUE, "loader: workers 65 is not in -1..64");
    refuse(NULL, (tp_loader_opts){0}, TP_ENULL, "loader: an argument is NULL");
    set.n = 0;
    refuse(&ds, (tp_loader_opts){0}, TP_EVALUE, "loader: the dataset is empty");
    set.n = -3;
    refuse(&ds, (tp_loader_opts){0}, TP_EVALUE, "loader: the dataset's len is -3");
}

static void refused_datasets(void **state) {
    (void)state;
    numbers set = {.n = 6};
    const tp_dataset good = dataset_of(&set);
    tp_dataset ds = good;
    ds.size = 0;
    refuse(&ds, (tp_loader_opts){0}, TP_EVALUE,
           "loader: the dataset: .size is not set; it is the sizeof of the struct");
    ds = good;
    ds.get = NULL;
    refuse(&ds, (tp_loader_opts){0}, TP_EVALUE, "loader: the dataset has no get");
    ds = good;
    ds.len = NULL;
    refuse(&ds, (tp_loader_opts){0}, TP_EVALUE, "loader: the dataset has no len");
    ds = good;
    ds.x_shape = TP_SHAPE(2, -3);
    refuse(&ds, (tp_loader_opts){0}, TP_ESHAPE, "loader: the dataset's x_shape is [2, -3]");
    ds = good;
    ds.y_shape = TP_SHAPE(1, 1, 1, 1, 1, 1, 1, 1);
    refuse(&ds, (tp_loader_opts){0}, TP_ESHAPE, "loader: the dataset's y has 8 dims, not 0..7");
    ds = good;
    ds.y_dtype = (tp_dtype)9;
    refuse(&ds, (tp_loader_opts){0}, TP_EDTYPE, "loader: the dataset's y_dtype is 9, no dtype");
}

/* ---- batches as tensors ---------------------------------------------------------------------- */

static void lengths(void **state) {
    (void)state;
    numbers set = {.n = 100};
    const tp_dataset ds = dataset_of(&set);
    tp_loader *dl = tp_loader_new(&ds, NULL); /* batches of 64 */
    assert_int_equal(tp_loader_len(dl), 2);
    assert_int_equal(tp_loader_samples(dl), 100);
    tp_loader_free(dl);
    dl = tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .drop_last = true});
    assert_int_equal(tp_loader_len(dl), 1);
    assert_int_equal(tp_loader_samples(dl), 64);
    tp_loader_free(dl);
    tp_loader_free(NULL);
    assert_int_equal(tp_loader_len(NULL), -1);
    tpt_expect_error(TP_ENULL, "loader_len: an argument is NULL");
}

static void kept_batches_are_not_written_again(void **state) {
    (void)state;
    for (int i = 0; i < WORKER_COUNTS; i++) {
        numbers set = {.n = 40};
        tp_loader *dl = loader_of(&set, 8, false, worker_counts[i]);
        tp_tensor *kept[5];
        tp_batch b;
        for (int k = 0; k < 5; k++) {
            assert_int_equal(tp_loader_next(dl, &b), 1);
            kept[k] = tp_keep(b.x);
        }
        drain(dl, NULL);
        drain(dl, NULL);
        for (int k = 0; k < 5; k++) {
            for (int64_t row = 0; row < 8; row++)
                assert_true(tp_data_f32(kept[k])[2 * row] == (float)(8 * k + row));
            tp_free(kept[k]);
        }
        tp_loader_free(dl);
    }
}

/* A graph that was not freed yet holds its batch; backward after the next call still sees it. */
static void a_graph_holds_its_batch(void **state) {
    (void)state;
    numbers set = {.n = 40};
    tp_loader *dl = loader_of(&set, 8, false, 2);
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(2), TP_FLOAT32));
    tp_batch b;
    assert_int_equal(tp_loader_next(dl, &b), 1);
    tp_tensor *loss = tp_sum(tp_mul(b.x, w));
    for (int k = 0; k < 4; k++) assert_int_equal(tp_loader_next(dl, &b), 1);
    tpt_ok(tp_backward(loss));
    assert_true(tp_data_f32(tp_grad(w))[0] == 28 && tp_data_f32(tp_grad(w))[1] == 32);
    tp_loader_free(dl);
}

static void nothing_is_allocated_in_steady_state(void **state) {
    (void)state;
    for (int i = 0; i < WORKER_COUNTS; i++) {
        numbers set = {.n = 64};
        tp_loader *dl = loader_of(&set, 8, true, worker_counts[i]);
        drain(dl, NULL);
        drain(dl, NULL);
        const int64_t calls = tp__alloc_system_calls();
        const tp_memory before = tp_memory_now();
        for (int k = 0; k < 20; k++) drain(dl, NULL);
        assert_int_equal(tp__alloc_system_calls(), calls);
        assert_int_equal(tp_memory_now().tensors, before.tensors);
        assert_int_equal(tp_memory_now().bytes, before.bytes);
        tp_loader_free(dl);
    }
}

/* ---- states ---------------------------------------------------------------------------------- */

/* Go on from a state taken after `taken` batches, in another loader and process, so to say. */
static void resume_after(int64_t taken, int workers, bool own_rng) {
    numbers set = {.n = 50};
    const tp_dataset ds = dataset_of(&set);
    tp_rng *rng[2] = {own_rng ? tp_rng_new(4) : NULL, own_rng ? tp_rng_new(99) : NULL};
    tp_loader *dl[2];
    for (int i = 0; i < 2; i++)
        dl[i] = tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts),
                                                     .batch_size = 8,
                                                     .shuffle = true,
                                                     .workers = workers,
                                                     .rng = rng[i]});
    tp_manual_seed(4);
    tp_batch b;
    for (int64_t i = 0; i < taken; i++) assert_true(tp_loader_next(dl[0], &b) >= 0);
    tp_dict *saved = tp_loader_state(dl[0]), *generator = tp_rng_state(NULL);
    int64_t want[2][50], got[2][50];
    int64_t n = 0;
    for (int pass = 0; pass < 2; pass++) n += drain(dl[0], want[pass]);
    assert_true(tp_loader_next(dl[1], &b) >= 0); /* it was somewhere else */
    tpt_ok(tp_loader_set_state(dl[1], saved));
    tpt_ok(tp_rng_set_state(NULL, generator));
    for (int pass = 0; pass < 2; pass++) n -= drain(dl[1], got[pass]);
    assert_int_equal(n, 0);
    const int64_t rest = taken <= 6 ? 50 - 8 * taken : taken == 7 ? 0 : 50;
    tpt_same_bits(got[0], want[0], (size_t)rest * sizeof **got);
    tpt_same_bits(got[1], want[1], sizeof *got);
    for (int i = 0; i < 2; i++) {
        tp_loader_free(dl[i]);
        tp_rng_free(rng[i]);
    }
    tp_dict_free(saved);
    tp_dict_free(generator);
}

static void resumed_with_the_same_bits(void **state) {
    (void)state;
    for (int64_t taken = 0; taken <= 8; taken++) /* 7: the last batch is out; 8: the pass is over */
        for (int i = 0; i < WORKER_COUNTS; i++) {
            resume_after(taken, worker_counts[i], false);
            resume_after(taken, worker_counts[i], true);
        }
}

static void refuse_state(tp_loader *dl, const tp_dict *d, tp_status code, const char *text) {
    assert_int_equal(tp_loader_set_state(dl, d), code);
    tpt_expect_error(code, text);
}

static void refused_states(void **state) {
    (void)state;
    numbers set = {.n = 50}, other = {.n = 51};
    tp_loader *dl = loader_of(&set, 8, true, -1), *longer = loader_of(&other, 8, true, -1);
    tp_loader *wider = loader_of(&set, 9, true, -1);
    tp_dict *d = tp_loader_state(longer), *wide = tp_loader_state(wider), *empty = tp_dict_new();
    refuse_state(dl, d, TP_EVALUE,
                 "loader_set_state: it was saved with samples 51, this loader has 50");
    refuse_state(dl, wide, TP_EVALUE,
                 "loader_set_state: it was saved with batch_size 9, this loader has 8");
    refuse_state(dl, empty, TP_EFORMAT, "loader_set_state: there is no \"settings\"");
    refuse_state(dl, NULL, TP_ENULL, "loader_set_state: an argument is NULL");
    tp_dict_free(d);
    d = tp_loader_state(dl);
    tpt_ok(tp_dict_set(d, "pass", tp_ones(TP_SHAPE(3), TP_FLOAT32)));
    refuse_state(dl, d, TP_EFORMAT, "loader_set_state: \"pass\" is not 3 integers");
    tpt_ok(tp_dict_set(d, "pass", tp_full(TP_SHAPE(3), 100, TP_INT64)));
    refuse_state(dl, d, TP_EFORMAT, "loader_set_state: \"pass\" names batch 100 of 7");
    assert_int_equal(drain(dl, NULL), 50);
    tp_dict_free(d);
    tp_dict_free(wide);
    tp_dict_free(empty);
    tp_loader_free(dl);
    tp_loader_free(longer);
    tp_loader_free(wider);
}

/* ---- no memory ------------------------------------------------------------------------------- */

/* Everything a loader does; TP_OK, or the error. */
static tp_status use_loader(int workers) {
    numbers set = {.n = 20};
    const tp_dataset ds = dataset_of(&set);
    tp_loader *dl = tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts),
                                                         .batch_size = 8,
                                                         .shuffle = true,
                                                         .workers = workers});
    if (!dl) return tp_error_code();
    tp_batch b;
    int r;
    while ((r = tp_loader_next(dl, &b)) > 0) check_batch(&b);
    tp_dict *d = r ? NULL : tp_loader_state(dl);
    if (!r && (!d || tp_loader_set_state(dl, d))) r = tp_error_code();
    tp_dict_free(d);
    tp_loader_free(dl);
    return (tp_status)r;
}

static tp_status use_zip(int workers) {
    (void)workers;
    tp_dataset ds;
    const tp_scope s = tp_scope_begin();
    if (!s.depth) return tp_error_code();
    tp_tensor *x = tp_transpose(tp_ones(TP_SHAPE(2, 5), TP_FLOAT32), 0, 1);
    const tp_status r = tp_zip_dataset(x, tp_zeros(TP_SHAPE(5), TP_INT64), &ds);
    tp_scope_end(s);
    if (!r) tp_dataset_free(&ds);
    return r;
}

static void fail_everywhere(tp_status (*use)(int), int workers) {
    for (int64_t n = 1;; n++) {
        tp__alloc_fail_at(n);
        const tp_status r = use(workers);
        const bool failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        assert_true(r == TP_OK || (failed && r == TP_ENOMEM));
        assert_int_equal(tp_error_clear(), r);
        if (!failed) return;
    }
}

static void no_memory(void **state) {
    (void)state;
    fail_everywhere(use_zip, 0);
    for (int i = 0; i < WORKER_COUNTS; i++) fail_everywhere(use_loader, worker_counts[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(same_as_torch),
        TPT(golden_is_torch),
        TPT(a_generator_of_its_own),
        TPT(pixels_are_divided),
        TPT(large_rows_are_gathered_in_tiles),
        TPT(far_rows_come_as_near_ones),
        TPT(threads_let_batches_rest),
        TPT(zip_keeps_dtypes_and_views),
        TPT(zip_outlives_its_scope),
        TPT(zip_refuses),
        TPT(workers_change_nothing),
        TPT(batches_are_filled_by_workers),
        TPT(some_data_stay_on_their_thread),
        TPT(freed_inside_a_pass),
        TPT(restarted_inside_a_pass),
        TPT(errors_name_the_sample),
        TPT(errors_without_a_message),
        TPT(errors_of_a_batch),
        TPT(an_older_error_stays),
        TPT(refused_options),
        TPT(refused_datasets),
        TPT(lengths),
        TPT(kept_batches_are_not_written_again),
        TPT(a_graph_holds_its_batch),
        TPT(nothing_is_allocated_in_steady_state),
        TPT(resumed_with_the_same_bits),
        TPT(refused_states),
        TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
