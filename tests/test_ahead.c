/* test_ahead.c -- batches of samples in memory that the pool fills before they are asked for. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"
#include <string.h>
#include <time.h>
#include "taper/autograd.h"
#include "taper/data.h"
#include "taper/optim.h"
#include "taper/ops.h"

static void idle_tile(void *ctx, int64_t tile) {
    (void)ctx, (void)tile;
}

/* Wakes workers, who have time now. */
static void give_time(void) {
    tp__parallel(8, idle_tile, NULL);
    nanosleep(&(struct timespec){0, 2000000}, NULL);
}

/* Batches of rows in memory: a pass of one loader, and now and then a batch of another, left or
 * begun anew in the middle, while the pool has much to do, little or nothing. */
static void what_is_read_ahead_is_right(void **state) {
    (void)state;
    enum { N = 1000, ROW = 300 };
    tpt_ok(tp_set_num_threads(3));
    tp_rng *rng = tp_rng_new(7);
    tp_tensor *x = tp_to(tp_randint(0, 256, TP_SHAPE(N, ROW), rng), TP_UINT8);
    tp_tensor *want = tp_div(tp_to(x, TP_FLOAT32), tp_num(255));
    tp_dataset ds;
    tpt_ok(tp_zip_dataset(x, tp_arange(0, N, 1, TP_INT64), &ds));
    const tp_loader_opts opts = {
        .size = sizeof(tp_loader_opts), .batch_size = 64, .shuffle = true, .rng = rng};
    for (int round = 0; round < 12; round++) {
        tp_loader *dl[2] = {tp_loader_new(&ds, &opts), tp_loader_new(&ds, &opts)};
        tp_batch b;
        for (int i = 0; i < 30; i++) {
            if (tp_loader_next(dl[i % 5 == 4], &b) <= 0) continue;
            const tp_scope s = tp_scope_begin();
            for (int job = 0; job < i % 4; job++) tp__parallel(8, idle_tile, NULL);
            tp_tensor *index = tp_from_ints(TP_SHAPE(b.n), b.index, b.n);
            assert_true(tp_equal(b.x, tp_index_select(want, 0, index)));
            assert_true(tp_equal(tp_to(b.y, TP_INT64), index));
            tp_scope_end(s);
            if (i != 2 + round) continue;
            give_time();
            tp_loader_restart(dl[0]);
        }
        tp_loader_free(dl[0]);
        tp_loader_free(dl[1]);
    }
    tp_dataset_free(&ds);
    tp_rng_free(rng);
    tpt_ok(tp_set_num_threads(0));
}

/* ---- samples that change --------------------------------------------------------------------- */

enum { SAMPLES = 300, NUMBERS = 50, BATCH = 8 };

static void negate(float *p) {
    for (int i = 0; i < SAMPLES * NUMBERS; i++) p[i] = -p[i];
}

/* Something else is written each time: no way of writing passes unseen. */
static void change(int time, tp_tensor *x, tp_tensor *y, tp_rng *rng) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *half = tp_slice(x, 0, time % 7, SAMPLES, 2), *rows = tp_randperm(SAMPLES, rng);
    const tp_tensor *done = x;
    switch (time % 11) {
    case 0: done = tp_fill_(half, time); break;
    case 1: done = tp_add_(x, tp_num(1)); break;
    case 2: done = tp_copy_(half, tp_mul(half, tp_num(2))); break;
    case 3: done = tp_masked_fill_(x, tp_ge(x, tp_num(10)), -3); break;
    case 4: done = tp_index_copy_(x, 0, rows, tp_add(x, tp_num(0.5))); break;
    case 5: done = tp_index_put_(x, rows, tp_num(time)); break;
    case 6: done = tp_uniform_(half, 0, 1, rng); break;
    case 7: negate(tp_data_f32(x)); break;
    case 8: negate(tp_data_ptr(x)); break;
    case 9: memset(tp_data_i64(y), time, SAMPLES * sizeof(int64_t)); break;
    case 10: done = tp_add_(y, y); break;
    }
    assert_non_null(done);
    tp_scope_end(s);
}

/* Is the batch made of what the samples are now? */
static void check_batch(const tp_batch *b, const tp_tensor *x, const tp_tensor *y) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *index = tp_from_ints(TP_SHAPE(b->n), b->index, b->n);
    assert_true(tp_equal(b->x, tp_index_select((tp_tensor *)(uintptr_t)x, 0, index)));
    assert_true(tp_equal(b->y, tp_index_select((tp_tensor *)(uintptr_t)y, 0, index)));
    tp_scope_end(s);
}

static tp_loader *loader_of(const tp_dataset *ds, int workers, tp_rng *rng) {
    return tp_loader_new(ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts),
                                               .batch_size = BATCH,
                                               .shuffle = true,
                                               .workers = workers,
                                               .rng = rng});
}

/* A pass whose samples change between its batches, before the next one is filled, while it is, or
 * when it was. */
static void pass_with_changes(int workers, bool time_to_fill) {
    tp_rng *rng = tp_rng_new(5);
    tp_tensor *x = tp_rand(TP_SHAPE(SAMPLES, NUMBERS), TP_FLOAT32, rng);
    tp_tensor *y = tp_arange(0, SAMPLES, 1, TP_INT64);
    tp_dataset ds;
    tpt_ok(tp_zip_dataset(x, y, &ds));
    tp_loader *dl = loader_of(&ds, workers, rng);
    tp_batch b;
    int batches = 0, r;
    for (; (r = tp_loader_next(dl, &b)) > 0; batches++) {
        check_batch(&b, x, y);
        if (time_to_fill)
            give_time();
        else
            tp__parallel(batches % 3 * 4, idle_tile, NULL);
        change(batches, x, y, rng);
    }
    assert_int_equal(r, 0);
    assert_int_equal(batches, (SAMPLES + BATCH - 1) / BATCH);
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_rng_free(rng);
}

static void samples_may_change_inside_a_pass(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        tpt_ok(tp_set_num_threads(threads));
        for (int workers = -1; workers <= 1; workers++) {
            pass_with_changes(workers, true);
            for (int i = 0; i < 4; i++) pass_with_changes(workers, false);
        }
    }
    tpt_ok(tp_set_num_threads(0));
}

/* Only one of them has the pool's spare time. */
static void two_loaders_of_samples_that_change(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(2));
    tp_rng *rng = tp_rng_new(6);
    tp_tensor *x = tp_rand(TP_SHAPE(SAMPLES, NUMBERS), TP_FLOAT32, rng);
    tp_tensor *y = tp_arange(0, SAMPLES, 1, TP_INT64);
    tp_dataset ds;
    tpt_ok(tp_zip_dataset(x, y, &ds));
    tp_loader *dl[2] = {loader_of(&ds, 0, rng), loader_of(&ds, 0, rng)};
    tp_batch b;
    for (int i = 0; i < 60; i++) {
        assert_int_equal(tp_loader_next(dl[i % 4 == 3], &b), 1);
        check_batch(&b, x, y);
        if (i % 2) give_time();
        if (i % 3) negate(tp_data_f32(x));
        if (i == 40) tp_loader_restart(dl[0]); /* the other's turn */
    }
    for (int i = 0; i < 2; i++) tp_loader_free(dl[i]);
    tp_dataset_free(&ds);
    tp_rng_free(rng);
    tpt_ok(tp_set_num_threads(0));
}

/* Samples are a parameter and its gradient, which backward and an optimizer write. */
static void samples_may_be_trained(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(2));
    tp_tensor *w = tp_requires_grad_(tp_ones(TP_SHAPE(SAMPLES, NUMBERS), TP_FLOAT32));
    tpt_ok(tp_backward(tp_sum(tp_mul(w, w))));
    tp_optim *opt = tp_sgd_params(&w, 1, &(tp_sgd_opts){.size = sizeof(tp_sgd_opts), .lr = 0.01});
    tp_dataset ds;
    tpt_ok(tp_zip_dataset(tp_grad(w), tp_detach(w), &ds));
    tp_loader *dl = loader_of(&ds, 0, NULL);
    tp_batch b;
    for (int i = 0; tp_loader_next(dl, &b) > 0; i++) {
        check_batch(&b, tp_grad(w), tp_detach(w));
        give_time();
        if (i % 2)
            tpt_ok(tp_optim_step(opt));
        else
            tpt_ok(tp_backward(tp_sum(tp_mul(w, w))));
    }
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_optim_free(opt);
    tpt_ok(tp_set_num_threads(0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(what_is_read_ahead_is_right), TPT(samples_may_change_inside_a_pass),
        TPT(two_loaders_of_samples_that_change), TPT(samples_may_be_trained)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
