/* Tests of what the processor and the process may use. */
#define _GNU_SOURCE
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *this_program;

/* ---- the environment ------------------------------------------------------------------------- */

/* What this program prints when run again as `program what`, with one environment variable set. */
static void ask_again(const char *what, const char *name, const char *value, char *line,
                      size_t size) {
    assert_int_equal(setenv(name, value, 1), 0);
    char command[4200];
    snprintf(command, sizeof command, "'%s' %s", this_program, what);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    line[0] = '\0';
    assert_non_null(fgets(line, (int)size, f));
    assert_int_equal(pclose(f), 0);
    line[strcspn(line, "\n")] = '\0';
    unsetenv(name);
}

static void expect_answer(const char *what, const char *name, const char *value,
                          const char *answer) {
    char line[512];
    ask_again(what, name, value, line, sizeof line);
    assert_string_equal(line, answer);
}

static void the_level_can_be_lowered(void **state) {
    (void)state;
    char *kept = getenv("TAPER_ISA"); /* the tests themselves may run at a lowered level */
    kept = kept ? strdup(kept) : NULL;
    char best[32], line[512];
    ask_again("isa", "TAPER_ISA", "", best, sizeof best);
    assert_true(!strcmp(best, "base") || !strcmp(best, "v3") || !strcmp(best, "v4"));
    expect_answer("isa", "TAPER_ISA", "base", "base");
    ask_again("isa", "TAPER_ISA", "v3", line, sizeof line);
    assert_string_equal(line,
                        strcmp(best, "base")
                            ? "v3"
                            : "base TAPER_ISA=v3: this processor has only base, which is used");
    snprintf(line, sizeof line, "%s TAPER_ISA=v9 is not base, v3 or v4; using %s", best, best);
    expect_answer("isa", "TAPER_ISA", "v9", line);
    if (kept) setenv("TAPER_ISA", kept, 1);
    free(kept);
}

static void the_environment_sets_the_threads(void **state) {
    (void)state;
    expect_answer("threads", "TAPER_THREADS", "3", "3");
    char usual[32], line[512];
    ask_again("threads", "TAPER_THREADS", "", usual, sizeof usual);
    assert_true(atoi(usual) >= 1);
    static const char *const wrong[] = {"0", "-1", "1025", "two", "2x"};
    for (int i = 0; i < TP__COUNT(wrong); i++) {
        snprintf(line, sizeof line, "%s TAPER_THREADS=%s is not a number from 1 to 1024; ignored",
                 usual, wrong[i]);
        expect_answer("threads", "TAPER_THREADS", wrong[i], line);
    }
}

static void numbers_of_threads_are_checked(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(7));
    assert_int_equal(tp_get_num_threads(), 7);
    assert_int_equal(tp_set_num_threads(-1), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "set_num_threads: -1 is not in 0..1024");
    assert_int_equal(tp_set_num_threads(1025), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "set_num_threads: 1025 is not in 0..1024");
    assert_int_equal(tp_get_num_threads(), 7);
    tpt_ok(tp_set_num_threads(0));
    assert_true(tp_get_num_threads() >= 1);
}

/* ---- quotas ---------------------------------------------------------------------------------- */

static void put(const char *dir, const char *name, const char *text) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        mkdir(path, 0777);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int quota_of(const char *dir, const char *lines) {
    char list[4200];
    snprintf(list, sizeof list, "%s/cgroup", dir);
    put(dir, "cgroup", lines);
    return tp__cpu_quota(list, dir);
}

static void quotas_of_version_2(void **state) {
    (void)state;
    const char *dir = tpt_tmpdir();
    put(dir, "a/b/cpu.max", "250000 100000\n");
    put(dir, "a/cpu.max", "max 100000\n");
    assert_int_equal(quota_of(dir, "0::/a/b\n"), 3);
    assert_int_equal(quota_of(dir, "0::/a\n"), 0);
    assert_int_equal(quota_of(dir, "0::/\n"), 0);
    assert_int_equal(quota_of(dir, "0::/nowhere/at/all\n"), 0);
    put(dir, "a/cpu.max", "50000 100000\n"); /* a parent's quota binds */
    assert_int_equal(quota_of(dir, "0::/a/b\n"), 1);
    put(dir, "cpu.max", "200000 100000\n"); /* as a container sees itself */
    assert_int_equal(quota_of(dir, "0::/x/y\n"), 2);
    put(dir, "a/b/cpu.max", "garbage\n");
    put(dir, "a/cpu.max", "");
    put(dir, "cpu.max", "-1 0\n");
    assert_int_equal(quota_of(dir, "0::/a/b\n"), 0);
}

static void quotas_of_version_1(void **state) {
    (void)state;
    const char *dir = tpt_tmpdir();
    put(dir, "cpu,cpuacct/job/cpu.cfs_quota_us", "400000\n");
    put(dir, "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    put(dir, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put(dir, "cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put(dir, "memory/job/cpu.cfs_quota_us", "100000\n");
    put(dir, "memory/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota_of(dir, "9:memory:/job\n4:cpu,cpuacct:/job\n0::/\n"), 4);
    assert_int_equal(quota_of(dir, "4:cpu,cpuacct:/\n"), 0);
    assert_int_equal(quota_of(dir, "no colons\n\n:\n::\n"), 0);
    assert_int_equal(tp__cpu_quota("/nonexistent/cgroup", dir), 0);
    assert_true(tp__cpu_count() >= 1);
}

/* ---- */

static char noted[400];
static void take_note(void *user, const char *line) {
    (void)user;
    snprintf(noted, sizeof noted, " %s", line);
}

int main(int argc, char **argv) {
    this_program = argv[0];
    if (argc == 2) {
        tp_set_log(take_note, NULL);
        if (!strcmp(argv[1], "isa"))
            printf("%s", tp_isa());
        else
            printf("%d", tp_get_num_threads());
        printf("%s\n", noted);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        TPT(the_level_can_be_lowered),
        TPT(the_environment_sets_the_threads),
        TPT(numbers_of_threads_are_checked),
        TPT(quotas_of_version_2),
        TPT(quotas_of_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
