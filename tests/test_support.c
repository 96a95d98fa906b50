/* tests/test_support.c -- the helpers of support.h find what they are there to find. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void ulp_distances(void **state) {
    (void)state;
    assert_int_equal(tpt_ulp_f32(1, 1), 0);
    assert_int_equal(tpt_ulp_f32(1, nextafterf(1, 2)), 1);
    assert_int_equal(tpt_ulp_f32(0.0f, -0.0f), 0);
    assert_int_equal(tpt_ulp_f32(nextafterf(0, -1), nextafterf(0, 1)), 2);
    assert_int_equal(tpt_ulp_f32(NAN, -NAN), 0);
    assert_int_equal(tpt_ulp_f32(NAN, 1), INT64_MAX);
    assert_int_equal(tpt_ulp_f64(1, nextafter(nextafter(1, 0), 0)), 2);
    assert_int_equal(tpt_ulp_f64(-INFINITY, INFINITY), INT64_MAX);
}

static void a_leak_fails_the_test(void **state) {
    for (int which = 0; which < TP__LIVE_COUNT; which++) {
        tpt_begin(state);
        tp__live_add(tp__here(), which, 1);
        assert_int_equal(tpt_end(state), -1);
        tp__live_add(tp__here(), which, -1);
        assert_int_equal(tpt_end(state), 0);
    }
}

static void a_pending_error_fails_the_test(void **state) {
    tpt_begin(state);
    tp_error_set(TP_EVALUE, "left behind");
    assert_int_equal(tpt_end(state), -1);
    assert_int_equal(tpt_end(state), 0); /* the next test starts without it */
}

static void expected_errors(void **state) {
    (void)state;
    tp_error_set(TP_EVALUE, "lr is -1");
    tpt_expect_error(TP_EVALUE, "lr is -1");
    tp_error_set(TP_EVALUE, "lr is -1");
    tpt_expect_error(TP_EVALUE, "lr is...");
    assert_int_equal(tp_error_code(), TP_OK);
}

static void the_folder_goes_with_the_test(void **state) {
    tpt_begin(state);
    char path[4096], file[4200];
    strcpy(path, tpt_tmpdir());
    snprintf(file, sizeof file, "%s/x", path);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_string_equal(tpt_tmpdir(), path);
    assert_int_equal(tpt_end(state), 0);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void source_files_are_found(void **state) {
    (void)state;
    assert_int_equal(access(tpt_source("tests/test_support.c"), R_OK), 0);
}

static const float f1[] = {1, 2, NAN}, f2[] = {1, 2.1f, NAN};
static const double d1[] = {1, 2, INFINITY}, d2[] = {1, 2.1, INFINITY};

static void what_is_close_passes(void **state) {
    (void)state;
    tpt_close_f32(f1, f2, 3, 0.05, 0);
    tpt_close_f64(d1, d2, 3, 0, 0.2);
    tpt_within_ulp_f32(f1, f2, 3, tpt_ulp_f32(2, 2.1f));
    tpt_within_ulp_f64(d1, d2, 3, tpt_ulp_f64(2, 2.1));
    tpt_same_bits(f1, f1, sizeof f1);
    tpt_ok(TP_OK);
}

static void far_f32(void **state) {
    (void)state, tpt_close_f32(f1, f2, 3, 0.04, 0);
}
static void far_f64(void **state) {
    (void)state, tpt_close_f64(d1, d2, 3, 0, 0.09);
}
static void ulp_f32(void **state) {
    (void)state, tpt_within_ulp_f32(f1, f2, 3, 100);
}
static void ulp_f64(void **state) {
    (void)state, tpt_within_ulp_f64(d1, d2, 3, 100);
}
static void bits(void **state) {
    (void)state, tpt_same_bits(f1, f2, sizeof f1);
}
static void status(void **state) {
    (void)state, tpt_ok(TP_EVALUE);
}
static void other_code(void **state) {
    (void)state, tp_error_set(TP_EVALUE, "x"), tpt_expect_error(TP_ESHAPE, "x");
}
static void other_text(void **state) {
    (void)state, tp_error_set(TP_EVALUE, "xy"), tpt_expect_error(TP_EVALUE, "x");
}
static void no_data(void **state) {
    (void)state, tpt_data("no such file");
}

/* Run, in a process of its own and without a word, tests that must all fail. */
static void each_check_finds_its_fault(void **state) {
    (void)state;
    const struct CMUnitTest faults[] = {
        cmocka_unit_test(far_f32),    cmocka_unit_test(far_f64),    cmocka_unit_test(ulp_f32),
        cmocka_unit_test(ulp_f64),    cmocka_unit_test(bits),       cmocka_unit_test(status),
        cmocka_unit_test(other_code), cmocka_unit_test(other_text), cmocka_unit_test(no_data),
    };
    fflush(NULL);
    const pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        const bool quiet = freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr);
        setenv("TAPER_REQUIRE_ORACLE", "1", 1);
        _exit(quiet ? cmocka_run_group_tests(faults, NULL, NULL) : 0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), TP__COUNT(faults));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(ulp_distances),
        TPT(a_leak_fails_the_test),
        TPT(a_pending_error_fails_the_test),
        TPT(expected_errors),
        TPT(the_folder_goes_with_the_test),
        TPT(source_files_are_found),
        TPT(what_is_close_passes),
        TPT(each_check_finds_its_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
