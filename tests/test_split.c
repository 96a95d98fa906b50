/* test_split.c -- which items are for validation, and which stay under a limit. */
#include "support.h"

#include "data/data.h"

static void split_is_a_permutation(void **state) {
    (void)state;
    bool valid[1000];
    int64_t order[1000], label[1000] = {0};
    tpt_ok(tp__split(1000, label, 1, 0.2, 42, valid));
    tp_rng *rng = tp_rng_new(42);
    tp_rng_permutation(rng, 1000, order);
    tp_rng_free(rng);
    for (int i = 0; i < 1000; i++) assert_int_equal(valid[order[i]], i < 200);
}

/* Classes of have[c] items, in turns; want[c] of them are for validation. */
static void check_shares(double pct, int classes, const int64_t *have, const int64_t *want) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        int64_t label[64], n = 0, of[8] = {0};
        bool valid[64];
        for (int64_t turn = 0; turn < 64; turn++)
            for (int c = 0; c < classes; c++)
                if (turn < have[c]) label[n++] = c;
        tpt_ok(tp__split(n, label, classes, pct, seed, valid));
        for (int64_t i = 0; i < n; i++) of[label[i]] += valid[i];
        tpt_same_bits(of, want, (size_t)classes * sizeof *of);
    }
}
static void split_is_stratified(void **state) {
    (void)state;
#define LIST(...) ((const int64_t[]){__VA_ARGS__})
    check_shares(0.2, 3, LIST(30, 10, 5), LIST(6, 2, 1));
    check_shares(0.2, 3, LIST(2, 3, 20), LIST(1, 1, 4));      /* small ones give one */
    check_shares(0.2, 3, LIST(1, 0, 20), LIST(0, 0, 4));      /* a single one stays */
    check_shares(0.9, 2, LIST(2, 10), LIST(1, 9));            /* and never all go */
    check_shares(0.2, 4, LIST(9, 8, 7, 6), LIST(2, 2, 1, 1)); /* 1.8 1.6 1.4 1.2: 6 of 30 */
    check_shares(0.2, 1, LIST(3), LIST(1));
    check_shares(0.2, 1, LIST(1), LIST(0));
#undef LIST
    bool valid[3];
    tpt_ok(tp__split(3, (const int64_t[]){0, 1, 2}, 3, 0.2, 1, valid));
    assert_int_equal(valid[0] + valid[1] + valid[2], 1); /* of all, at least one */
}

static void limit_is_even(void **state) {
    (void)state;
    const int64_t label[] = {0, 0, 0, 0, 0, 1, 2, 2, 2, 2};
    const struct {
        int64_t limit, of[3];
    } want[] = {{1, {1, 0, 0}}, {2, {1, 1, 0}}, {3, {1, 1, 1}},  {4, {2, 1, 1}},
                {6, {3, 1, 2}}, {9, {4, 1, 4}}, {10, {5, 1, 4}}, {99, {5, 1, 4}}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        bool stays[10];
        int64_t of[3] = {0};
        tpt_ok(tp__limit(10, label, 3, want[k].limit, stays));
        for (int i = 0; i < 10; i++) of[label[i]] += stays[i];
        tpt_same_bits(of, want[k].of, sizeof of);
        for (int i = 1; i < 10; i++) /* the first of each */
            if (label[i] == label[i - 1]) assert_true(stays[i - 1] || !stays[i]);
    }
}

static tp_status split_and_limit(void *unused) {
    (void)unused;
    const int64_t label[5] = {0, 1, 0, 1, 0};
    bool b[5];
    const tp_status r = tp__split(5, label, 2, 0.5, 1, b);
    return r ? r : tp__limit(5, label, 2, 3, b);
}

static void no_memory(void **state) {
    (void)state;
    assert_true(tpt_fail_each_allocation(split_and_limit, NULL) > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(split_is_a_permutation),
        TPT(split_is_stratified),
        TPT(limit_is_even),
        TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
