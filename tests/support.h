/* tests/support.h -- what every cmocka test shares: data files, skips by name, leak checks, and
 * comparisons of floats that say where and by how much they differ.
 *
 * List tests as TPT(function): it has tpt_begin as setup and tpt_end as teardown, which fails the
 * test if an error is still pending or anything that the test made is alive. */
#ifndef TAPER_TESTS_SUPPORT_H
#define TAPER_TESTS_SUPPORT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

/* Group and unit fixtures. The state argument is not used. */
int tpt_begin(void **state);
int tpt_end(void **state);

/* A test with these fixtures, for the table given to cmocka_run_group_tests. */
#define TPT(f) cmocka_unit_test_setup_teardown(f, tpt_begin, tpt_end)

/* Path of a data file ("mnist_sample.tgz", "mnist/t10k-labels-idx1-ubyte.gz") under TAPER_DATA or
 * beside the source tree. Where it is absent the calling test is skipped by name, or fails if
 * TAPER_REQUIRE_ORACLE=1. Valid until the next call. */
const char *tpt_data(const char *name);
/* Path of a file of the source tree ("tests/golden/curve.txt"). Valid until the next call. */
const char *tpt_source(const char *name);
/* A fresh empty folder for this test's files, removed by tpt_end with all that is in it. */
const char *tpt_tmpdir(void);
/* Unpack a .tgz, a data file as of tpt_data, into tpt_tmpdir(), which is returned. */
const char *tpt_unpack(const char *archive);
/* The output of `python3 SCRIPT`, a file of the source tree, run by a Python that can import
 * `module` ("torch"); close it with tpt_python_end, which fails the test if the script failed.
 * Where there is no such Python ($TAPER_PYTHON, python3, /usr/bin/python3) the test is skipped as
 * by tpt_skip. */
FILE *tpt_python(const char *module, const char *script);
/* The same with arguments, as the shell takes them. */
FILE *tpt_python_with(const char *module, const char *script, const char *args);
void tpt_python_end(FILE *f);
/* The checked-in file `golden` is, line by line, what the script prints today; skipped as above. */
void tpt_golden_is_live(const char *golden, const char *module, const char *script);
/* Skip the calling test because `what` is missing (fails if TAPER_REQUIRE_ORACLE=1). */
void tpt_skip(const char *what);
/* Skip it because it cannot work here, and nothing that could be installed would change that: "no
 * AVX-512, or TAPER_ISA is lower". */
void tpt_skip_here(const char *why);
/* Skips where tp_set_flush_denormal does nothing: other processors, and valgrind. */
void tpt_needs_flushing(void);

/* Call `use` again and again, the first, second, ... allocation in it failing, until none is left
 * that could; how many failed. Each time it is to return ENOMEM with its message, at last OK, and
 * to leave nothing alive. */
int64_t tpt_fail_each_allocation(tp_status (*use)(void *ctx), void *ctx);

/* Expect the pending error to be `code` with exactly this message, and clear it. `text` may end in
 * "..." to compare the beginning only. */
void tpt_expect_error(tp_status code, const char *text);
#define tpt_ok(status) tpt__ok((status), #status, __FILE__, __LINE__)
void tpt__ok(tp_status r, const char *what, const char *file, int line);

/* Random numbers, the same on every run: 64 bits, [0, n), [lo, hi). */
uint64_t tpt_random(void);
int64_t tpt_random_below(int64_t n);
double tpt_random_in(double lo, double hi);

/* Distance in units in the last place; 0 for equal numbers, +0 and -0, and two NaNs; INT64_MAX
 * where only one is NaN. */
int64_t tpt_ulp_f32(float a, float b);
int64_t tpt_ulp_f64(double a, double b);

/* Elementwise comparisons; the failure names the first bad index, both values and the bound.
 * close: |got - want| <= atol + rtol |want|, NaN equals NaN. */
#define tpt_close_f32(got, want, n, rtol, atol) \
    tpt__close_f32(got, want, n, rtol, atol, __FILE__, __LINE__)
#define tpt_close_f64(got, want, n, rtol, atol) \
    tpt__close_f64(got, want, n, rtol, atol, __FILE__, __LINE__)
#define tpt_within_ulp_f32(got, want, n, ulp) \
    tpt__within_ulp_f32(got, want, n, ulp, __FILE__, __LINE__)
#define tpt_within_ulp_f64(got, want, n, ulp) \
    tpt__within_ulp_f64(got, want, n, ulp, __FILE__, __LINE__)
/* The same bytes. */
#define tpt_same_bits(got, want, bytes) tpt__same_bits(got, want, bytes, __FILE__, __LINE__)
void tpt__close_f32(const float *got, const float *want, int64_t n, double rtol, double atol,
                    const char *file, int line);
void tpt__close_f64(const double *got, const double *want, int64_t n, double rtol, double atol,
                    const char *file, int line);
void tpt__within_ulp_f32(const float *got, const float *want, int64_t n, int64_t ulp,
                         const char *file, int line);
void tpt__within_ulp_f64(const double *got, const double *want, int64_t n, int64_t ulp,
                         const char *file, int line);
void tpt__same_bits(const void *got, const void *want, size_t bytes, const char *file, int line);

#endif
