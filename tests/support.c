/* tests/support.c -- see support.h. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LENGTH = 4096 };

static tp_memory memory_before;
static char tmpdir[PATH_LENGTH];

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static void remove_tmpdir(void) {
    if (!tmpdir[0]) return;
    nftw(tmpdir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    tmpdir[0] = '\0';
}

int tpt_begin(void **state) {
    (void)state;
    tp_thread_end();
    memory_before = tp_memory_now();
    return 0;
}

static bool same_count(const char *what, int64_t before, int64_t now) {
    if (before == now) return true;
    print_error("leak: %lld %s alive, %lld before the test\n", (long long)now, what,
                (long long)before);
    return false;
}

int tpt_end(void **state) {
    (void)state;
    remove_tmpdir();
    if (tp_error_code() != TP_OK) {
        print_error("an error is still pending: %s\n", tp_error_message());
        tp_error_clear();
        return -1;
    }
    tp_thread_end();
    const tp_memory now = tp_memory_now();
    bool ok = same_count("tensors", memory_before.tensors, now.tensors);
    ok &= same_count("storages", memory_before.storages, now.storages);
    ok &= same_count("tape nodes", memory_before.nodes, now.nodes);
    ok &= same_count("bytes", memory_before.bytes, now.bytes);
    return ok ? 0 : -1;
}

void tpt_skip(const char *what) {
    const char *require = getenv("TAPER_REQUIRE_ORACLE");
    if (require && strcmp(require, "1") == 0) fail_msg("%s is required here and is missing", what);
    print_message("# missing: %s\n", what);
    skip();
}

void tpt_skip_here(const char *why) {
    print_message("# because: %s\n", why);
    skip();
}

void tpt_needs_flushing(void) {
    volatile float tiny = 0x1p-126f, half = 0.5f;
    const bool before = tp_set_flush_denormal(true), flushes = tiny * half == 0;
    (void)tp_set_flush_denormal(before);
    if (!flushes) tpt_skip_here("denormal numbers are not flushed here");
}

static bool find_file(char *path, const char *dir, const char *name) {
    snprintf(path, PATH_LENGTH, "%s/%s", dir, name);
    return access(path, R_OK) == 0;
}

const char *tpt_data(const char *name) {
    static char path[PATH_LENGTH];
    const char *dir = getenv("TAPER_DATA");
    if (dir && find_file(path, dir, name)) return path;
    if (find_file(path, TAPER_SOURCE_DIR "/../shared/data", name)) return path;
    tpt_skip(name);
    return NULL; /* not reached: skip() and fail() leave the test */
}

const char *tpt_source(const char *name) {
    static char path[PATH_LENGTH];
    snprintf(path, sizeof path, "%s/%s", TAPER_SOURCE_DIR, name);
    return path;
}

static const char *find_python(const char *module) {
    const char *const places[] = {getenv("TAPER_PYTHON"), "python3", "/usr/bin/python3"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char command[PATH_LENGTH];
        if (!places[i]) continue;
        snprintf(command, sizeof command, "'%s' -c 'import %s' >/dev/null 2>&1", places[i], module);
        if (system(command) == 0) return places[i];
    }
    return NULL;
}

FILE *tpt_python(const char *module, const char *script) {
    return tpt_python_with(module, script, "");
}

FILE *tpt_python_with(const char *module, const char *script, const char *args) {
    const char *python = find_python(module);
    if (!python) {
        char what[64];
        snprintf(what, sizeof what, "Python with %s", module);
        tpt_skip(what);
        return NULL; /* not reached */
    }
    char command[PATH_LENGTH];
    snprintf(command, sizeof command, "'%s' '%s/%s' %s", python, TAPER_SOURCE_DIR, script, args);
    FILE *f = popen(command, "r");
    if (!f) fail_msg("cannot run %s", command);
    return f;
}

void tpt_python_end(FILE *f) {
    const int status = pclose(f);
    if (status != 0) fail_msg("the Python script failed with status %d", status);
}

void tpt_golden_is_live(const char *golden, const char *module, const char *script) {
    static char want[1 << 16], got[1 << 16];
    FILE *live = tpt_python(module, script), *f = fopen(tpt_source(golden), "r");
    assert_non_null(f);
    for (int line = 1; fgets(want, sizeof want, f); line++) {
        if (!fgets(got, sizeof got, live))
            fail_msg("%s ends before line %d of %s", script, line, golden);
        if (strcmp(got, want) != 0) fail_msg("%s:%d: '%s', now '%s'", golden, line, want, got);
    }
    assert_null(fgets(got, sizeof got, live));
    fclose(f);
    tpt_python_end(live);
}

const char *tpt_tmpdir(void) {
    if (tmpdir[0]) return tmpdir;
    const char *base = getenv("TMPDIR");
    snprintf(tmpdir, sizeof tmpdir, "%s/taper-test-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(tmpdir)) {
        tmpdir[0] = '\0';
        fail_msg("cannot make a temporary folder");
    }
    return tmpdir;
}

const char *tpt_unpack(const char *archive) {
    char command[2 * PATH_LENGTH + 40];
    const char *path = tpt_data(archive);
    snprintf(command, sizeof command, "tar -xzf '%s' -C '%s'", path, tpt_tmpdir());
    if (system(command) != 0) fail_msg("cannot unpack %s", path);
    return tmpdir;
}

void tpt_expect_error(tp_status code, const char *text) {
    const char *message = tp_error_message();
    size_t n = strlen(text);
    const bool prefix = n >= 3 && strcmp(text + n - 3, "...") == 0;
    const bool same = prefix ? strncmp(message, text, n - 3) == 0 : strcmp(message, text) == 0;
    if (!same || tp_error_code() != code) {
        fail_msg("expected error %d \"%s\", got %d \"%s\"", code, text, tp_error_code(), message);
    }
    tp_error_clear();
}

int64_t tpt_fail_each_allocation(tp_status (*use)(void *ctx), void *ctx) {
    const tp_memory before = tp_memory_now();
    for (int64_t n = 1;; n++) {
        tp__alloc_fail_at(n);
        const tp_status r = use(ctx);
        const bool failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        const tp_memory now = tp_memory_now();
        if (r != (failed ? TP_ENOMEM : TP_OK) || r != tp_error_code())
            fail_msg("allocation %lld failed: %d, but it returned %d, pending is \"%s\"",
                     (long long)n, failed, r, tp_error_message());
        assert_true(same_count("tensors", before.tensors, now.tensors));
        assert_true(same_count("storages", before.storages, now.storages));
        assert_true(same_count("tape nodes", before.nodes, now.nodes));
        if (!failed) return n - 1;
        assert_non_null(strstr(tp_error_message(), "out of memory"));
        tp_error_clear();
    }
}

void tpt__ok(tp_status r, const char *what, const char *file, int line) {
    if (r == TP_OK) return;
    print_error("%s: %s: %s\n", what, tp_status_text(r), tp_error_message());
    _fail(file, line);
}

/* The bits of a float, mapped so that neighbouring floats are neighbouring integers. */
static int64_t order_f32(float x) {
    int32_t i;
    memcpy(&i, &x, sizeof i);
    return i < 0 ? (int64_t)INT32_MIN - i : i;
}

static int64_t order_f64(double x) {
    int64_t i;
    memcpy(&i, &x, sizeof i);
    return i < 0 ? INT64_MIN - i : i;
}

int64_t tpt_ulp_f32(float a, float b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INT64_MAX;
    return llabs(order_f32(a) - order_f32(b));
}

int64_t tpt_ulp_f64(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INT64_MAX;
    const int64_t i = order_f64(a), j = order_f64(b);
    const uint64_t distance = i > j ? (uint64_t)i - (uint64_t)j : (uint64_t)j - (uint64_t)i;
    return distance > INT64_MAX ? INT64_MAX : (int64_t)distance;
}

uint64_t tpt_random(void) {
    static uint64_t s = 0x2545f4914f6cdd1du;
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    return s;
}
int64_t tpt_random_below(int64_t n) {
    return (int64_t)(tpt_random() >> 11) % n;
}
double tpt_random_in(double lo, double hi) {
    return lo + (hi - lo) * ldexp((double)(tpt_random() >> 11), -53);
}

static bool is_close(double got, double want, double rtol, double atol) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) return got == want;
    return fabs(got - want) <= atol + rtol * fabs(want);
}

static void not_close(int64_t i, double got, double want, double rtol, double atol,
                      const char *file, int line) {
    print_error("[%lld] is %.9g, expected %.9g: off by %.3g, allowed %.3g\n", (long long)i, got,
                want, fabs(got - want), atol + rtol * fabs(want));
    _fail(file, line);
}

static void too_far(int64_t i, double got, double want, int64_t is, int64_t allowed,
                    const char *file, int line) {
    print_error("[%lld] is %.17g, expected %.17g: %lld ulp apart, allowed %lld\n", (long long)i,
                got, want, (long long)is, (long long)allowed);
    _fail(file, line);
}

void tpt__close_f32(const float *got, const float *want, int64_t n, double rtol, double atol,
                    const char *file, int line) {
    for (int64_t i = 0; i < n; i++) {
        if (is_close(got[i], want[i], rtol, atol)) continue;
        not_close(i, got[i], want[i], rtol, atol, file, line);
    }
}

void tpt__close_f64(const double *got, const double *want, int64_t n, double rtol, double atol,
                    const char *file, int line) {
    for (int64_t i = 0; i < n; i++) {
        if (is_close(got[i], want[i], rtol, atol)) continue;
        not_close(i, got[i], want[i], rtol, atol, file, line);
    }
}

void tpt__within_ulp_f32(const float *got, const float *want, int64_t n, int64_t ulp,
                         const char *file, int line) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t is = tpt_ulp_f32(got[i], want[i]);
        if (is > ulp) too_far(i, got[i], want[i], is, ulp, file, line);
    }
}

void tpt__within_ulp_f64(const double *got, const double *want, int64_t n, int64_t ulp,
                         const char *file, int line) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t is = tpt_ulp_f64(got[i], want[i]);
        if (is > ulp) too_far(i, got[i], want[i], is, ulp, file, line);
    }
}

void tpt__same_bits(const void *got, const void *want, size_t bytes, const char *file, int line) {
    const unsigned char *g = got, *w = want;
    for (size_t i = 0; i < bytes; i++) {
        if (g[i] == w[i]) continue;
        print_error("byte %zu of %zu is %02x, expected %02x\n", i, bytes, g[i], w[i]);
        _fail(file, line);
    }
}
