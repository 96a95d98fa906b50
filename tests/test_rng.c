/* test_rng.c -- the random generator against PyTorch's, draw by draw.
 *
 * golden/rng.txt is what golden/rng.py printed; it is compared always, and where torch is installed
 * the script is run again, so that neither can drift. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the golden file ------------------------------------------------------------------------- */

enum { VALUES = 64 };

typedef struct line {
    char what[16];
    int n;
    char *value[VALUES];
} line;

static uint64_t hex(const char *s) {
    return strtoull(s, NULL, 16);
}
static float as_float(const char *s) {
    const uint32_t bits = (uint32_t)hex(s);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static double as_double(const char *s) {
    const uint64_t bits = hex(s);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void check_integers(tp_rng *rng, const line *l) {
    for (int i = 0; i < l->n; i++) {
        const uint64_t want = strtoull(l->value[i], NULL, 10);
        const bool wide = !strcmp(l->what, "u64");
        assert_int_equal(wide ? tp_rng_u64(rng) : tp_rng_u32(rng) % UINT32_MAX, want);
    }
}

static void check_uniform32(tp_rng *rng, const line *l, double a, double b) {
    float got[VALUES], want[VALUES];
    tp__rng_uniform_f32(rng, got, l->n, a, b);
    for (int i = 0; i < l->n; i++) want[i] = as_float(l->value[i]);
    tpt_within_ulp_f32(got, want, l->n, 0);
}
static void check_uniform64(tp_rng *rng, const line *l, double a, double b) {
    double got[VALUES], want[VALUES];
    tp__rng_uniform_f64(rng, got, l->n, a, b);
    for (int i = 0; i < l->n; i++) want[i] = as_double(l->value[i]);
    tpt_within_ulp_f64(got, want, l->n, 0);
}

static void check_normals(tp_rng *rng, const line *l) {
    for (int i = 0; i < l->n; i++) {
        const double got = tp__rng_normal(rng);
        if (!strcmp(l->what, "randn32"))
            assert_true((float)got == as_float(l->value[i]));
        else
            assert_true(tpt_ulp_f64(got, as_double(l->value[i])) <= 1); /* libm's sin and cos */
    }
}

static void check_permutation(tp_rng *rng, const line *l, int64_t n) {
    int64_t *order = malloc((size_t)n * sizeof *order);
    tp_rng_permutation(rng, n, order);
    for (int i = 0; i < l->n; i++) assert_int_equal(order[i], strtoll(l->value[i], NULL, 10));
    free(order);
}

static void skip_draws(tp_rng *rng, int n) {
    for (int i = 0; i < n; i++) tp_rng_u32(rng);
}

/* One line of the file, in the order in which rng.py draws. */
static void check(tp_rng *rng, const line *l) {
    if (!strcmp(l->what, "uniform32")) skip_draws(rng, 1300);
    if (!strcmp(l->what, "randn64")) skip_draws(rng, 3);
    if (!strcmp(l->what, "f32"))
        check_uniform32(rng, l, 0, 1);
    else if (!strcmp(l->what, "f64"))
        check_uniform64(rng, l, 0, 1);
    else if (!strcmp(l->what, "uniform32"))
        check_uniform32(rng, l, -1.0 / 28, 1.0 / 28);
    else if (!strcmp(l->what, "uneven32"))
        check_uniform32(rng, l, 0.3, 0.701);
    else if (!strcmp(l->what, "uniform64"))
        check_uniform64(rng, l, -1.0 / 28, 1.0 / 3);
    else if (!strncmp(l->what, "randn", 5))
        check_normals(rng, l);
    else if (!strcmp(l->what, "perm1000"))
        check_permutation(rng, l, 1000);
    else if (!strcmp(l->what, "perm"))
        check_permutation(rng, l, l->n);
    else
        check_integers(rng, l);
}

static void parse(char *text, line *l) {
    *l = (line){.n = 0};
    char *save, *word = strtok_r(text, " \n", &save);
    assert_non_null(word);
    snprintf(l->what, sizeof l->what, "%s", word);
    while ((word = strtok_r(NULL, " \n", &save))) {
        assert_true(l->n < VALUES);
        l->value[l->n++] = word;
    }
}

static void same_as_torch(void **state) {
    (void)state;
    FILE *f = fopen(tpt_source("tests/golden/rng.txt"), "r");
    assert_non_null(f);
    tp_rng *rng = NULL;
    char text[4096], seed[32] = "";
    int lines = 0;
    for (; fgets(text, sizeof text, f); lines++) {
        const size_t n = strcspn(text, " ");
        text[n] = '\0';
        if (strcmp(seed, text) != 0) {
            snprintf(seed, sizeof seed, "%.31s", text);
            tp_rng_free(rng);
            tp_thread_end(); /* the default generator starts afresh */
            rng = strcmp(seed, "default") ? tp_rng_new(strtoull(seed, NULL, 10)) : tp_rng_default();
        }
        line l;
        parse(text + n + 1, &l);
        check(rng, &l);
    }
    assert_int_equal(lines, 91);
    tp_rng_free(rng);
    fclose(f);
}

static void golden_is_torch(void **state) {
    (void)state;
    tpt_golden_is_live("tests/golden/rng.txt", "torch", "tests/golden/rng.py");
}

/* ---- objects, threads, state ----------------------------------------------------------------- */

static void default_generator(void **state) {
    (void)state;
    tp_manual_seed(42);
    tp_rng *own = tp_rng_new(42);
    assert_ptr_not_equal(tp_rng_default(), own);
    for (int i = 0; i < 2000; i++) assert_int_equal(tp_rng_u32(NULL), tp_rng_u32(own));
    tp_rng_free(tp_rng_default()); /* not the user's: stays usable */
    assert_int_equal(tp_rng_u64(NULL), tp_rng_u64(own));
    assert_true(tp_rng_double(NULL) == tp_rng_double(own));
    tp_rng_free(own);
    tp_rng_free(NULL);
}

/* Many at once are those of one after the other, wherever a block of the engine ends. */
static void many_draws_are_single_ones(void **state) {
    (void)state;
    enum { MOST = 1300, STEP = 25 };
    uint32_t got[MOST];
    tp_rng *rng = tp_rng_new(8), *same = tp_rng_new(8);
    for (int n = 0; n < MOST; n += n < STEP ? 1 : STEP) {
        tp__rng_words(rng, got, n);
        for (int i = 0; i < n; i++) assert_int_equal(got[i], tp_rng_u32(same));
    }
    float u[MOST];
    double v[MOST];
    tp__rng_uniform_f32(rng, u, MOST, 0, 1);
    for (int i = 0; i < MOST; i++)
        assert_true(u[i] == (float)(tp_rng_u32(same) & 0xffffff) * 0x1p-24f);
    tp__rng_uniform_f64(rng, v, MOST, 0, 1);
    for (int i = 0; i < MOST; i++) assert_true(v[i] == tp_rng_double(same));
    assert_int_equal(tp_rng_u32(rng), tp_rng_u32(same));
    tp_rng_free(rng);
    tp_rng_free(same);
}

static void seeding_forgets_the_normal(void **state) {
    (void)state;
    tp_rng *rng = tp_rng_new(3);
    const double first = tp__rng_normal(rng); /* its sine is cached */
    tp_rng_seed(rng, 3);
    assert_true(tp__rng_normal(rng) == first);
    tp_rng_free(rng);
}

static void doubles_are_in_range(void **state) {
    (void)state;
    tp_rng *rng = tp_rng_new(1);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        const double u = tp_rng_double(rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.005);
    tp_rng_free(rng);
}

static void state_round_trip(void **state) {
    (void)state;
    tp_rng *a = tp_rng_new(9), *b = tp_rng_new(10);
    for (int i = 0; i < 777; i++) tp_rng_u32(a);
    tp__rng_normal(a); /* leaves one in the cache */
    uint32_t w[TP__RNG_WORDS];
    tp__rng_get_words(a, w);
    assert_true(tp__rng_set_words(b, w));
    for (int i = 0; i < 5; i++) assert_true(tp__rng_normal(a) == tp__rng_normal(b));
    for (int i = 0; i < 2000; i++) assert_int_equal(tp_rng_u32(a), tp_rng_u32(b));
    tp_rng_free(a);
    tp_rng_free(b);
}

static void bad_states_are_refused(void **state) {
    (void)state;
    tp_rng *rng = tp_rng_new(9);
    uint32_t good[TP__RNG_WORDS], w[TP__RNG_WORDS], now[TP__RNG_WORDS];
    tp__rng_get_words(rng, good);
    memcpy(w, good, sizeof w);
    w[624] = 625; /* position */
    assert_false(tp__rng_set_words(rng, w));
    memcpy(w, good, sizeof w);
    w[625] = 2; /* flag */
    assert_false(tp__rng_set_words(rng, w));
    memcpy(w, good, sizeof w);
    w[627] = 0x7ff00000; /* an infinite normal */
    assert_false(tp__rng_set_words(rng, w));
    memset(w, 0, sizeof w);
    w[0] = 0x7fffffff; /* an engine that gives zeros for ever */
    assert_false(tp__rng_set_words(rng, w));
    tp__rng_get_words(rng, now);
    tpt_same_bits(now, good, sizeof good);
    tp_rng_free(rng);
}

static void one_thread_draw(void *out) {
    *(uint32_t *)out = tp_rng_u32(NULL);
}

static void threads_have_their_own(void **state) {
    (void)state;
    tp_thread_end();
    const uint32_t fresh = tp_rng_u32(NULL);
    tp_manual_seed(5);
    uint32_t there = 0;
    tp__thread *t = tp__thread_start(one_thread_draw, &there);
    assert_non_null(t);
    tp__thread_join(t);
    assert_int_equal(there, fresh);
    tp_rng *five = tp_rng_new(5);
    assert_int_equal(tp_rng_u32(NULL), tp_rng_u32(five));
    tp_rng_free(five);
}

static void no_memory(void **state) {
    (void)state;
    tp__alloc_fail_at(1);
    assert_null(tp_rng_new(1));
    tpt_expect_error(TP_ENOMEM, "out of memory...");
}

static void small_permutations(void **state) {
    (void)state;
    int64_t order[3] = {7, 7, 7};
    tp_rng *rng = tp_rng_new(1), *same = tp_rng_new(1);
    tp_rng_permutation(rng, 0, order);
    assert_int_equal(order[0], 7);
    tp_rng_permutation(rng, 1, order);
    assert_int_equal(order[0], 0);
    assert_int_equal(tp_rng_u32(rng), tp_rng_u32(same)); /* neither of them drew */
    tp_rng_free(rng);
    tp_rng_free(same);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(same_as_torch),
        TPT(golden_is_torch),
        TPT(default_generator),
        TPT(many_draws_are_single_ones),
        TPT(seeding_forgets_the_normal),
        TPT(doubles_are_in_range),
        TPT(state_round_trip),
        TPT(bad_states_are_refused),
        TPT(threads_have_their_own),
        TPT(no_memory),
        TPT(small_permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
