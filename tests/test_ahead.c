/* test_ahead.c -- batches of samples in memory that the pool fills before they are asked for. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"
#include <time.h>
#include "taper/autograd.h"
#include "taper/data.h"
#include "taper/ops.h"

static void idle_tile(void *ctx, int64_t tile) {
    (void)ctx, (void)tile;
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
            tp__parallel(8, idle_tile, NULL); /* wakes workers, who have time now */
            nanosleep(&(struct timespec){0, 2000000}, NULL);
            tp_loader_restart(dl[0]);
        }
        tp_loader_free(dl[0]);
        tp_loader_free(dl[1]);
    }
    tp_dataset_free(&ds);
    tp_rng_free(rng);
    tpt_ok(tp_set_num_threads(0));
}

int main(void) {
    const struct CMUnitTest tests[] = {TPT(what_is_read_ahead_is_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
