/* test_os.c -- files, folders, the clock, and the log. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *in_tmp(const char *name) {
    char *path = tp__os_join(tpt_tmpdir(), name);
    assert_non_null(path);
    return path;
}

static void put(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void expect_content(const char *path, const char *want) {
    size_t n;
    char *got = tp__os_read_file(path, 0, &n);
    assert_non_null(got);
    assert_int_equal(n, strlen(want));
    assert_string_equal(got, want);
    tp__mfree(got);
}

/* The message "cannot VERB PATH: REASON" for a name in the test's folder. */
static void expect_cannot(const char *verb, const char *path, const char *reason) {
    char want[600];
    snprintf(want, sizeof want, "cannot %s %s: %s", verb, path, reason);
    tpt_expect_error(TP_EIO, want);
}

static int files_in_tmp(void) {
    tp__os_list l;
    tpt_ok(tp__os_listdir(tpt_tmpdir(), &l));
    const int n = (int)l.n;
    tp__os_list_free(&l);
    return n;
}

/* Root may read and write everything: act as somebody else meanwhile. */
static void become_nobody(void) {
    assert_int_equal(chmod(tpt_tmpdir(), 0755), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0);
}
static void become_self_again(void) {
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void reads_whole_files(void **state) {
    (void)state;
    char *path = in_tmp("a");
    put(path, "x\0y\n", 4);
    size_t n = 99;
    char *got = tp__os_read_file(path, 0, &n);
    assert_int_equal(n, 4);
    assert_memory_equal(got, "x\0y\n", 5); /* and a NUL behind */
    tp__mfree(got);
    put(path, "", 0);
    got = tp__os_read_file(path, 0, &n);
    assert_int_equal(n, 0);
    assert_int_equal(got[0], 0);
    tp__mfree(got);
    tp__mfree(path);
}

static void reads_files_of_unknown_size(void **state) {
    (void)state;
    if (tp__os_stat("/proc/self/status", NULL) == TP__OS_NONE) tpt_skip("/proc");
    size_t n; /* its size is said to be 0 */
    char *got = tp__os_read_file("/proc/self/status", 0, &n);
    assert_non_null(got);
    assert_true(n > 100 && strlen(got) == n);
    tp__mfree(got);
    assert_null(tp__os_read_file("/dev/zero", 10000, &n)); /* endless */
    tpt_expect_error(TP_EFORMAT, "/dev/zero: larger than 10000 bytes");
}

static void respects_the_limit(void **state) {
    (void)state;
    char *path = in_tmp("a"), want[600];
    put(path, "12345", 5);
    char *got = tp__os_read_file(path, 5, NULL);
    assert_string_equal(got, "12345");
    tp__mfree(got);
    assert_null(tp__os_read_file(path, 4, NULL));
    snprintf(want, sizeof want, "%s: larger than 4 bytes", path);
    tpt_expect_error(TP_EFORMAT, want);
    tp__mfree(path);
}

static void says_why_it_cannot_read(void **state) {
    (void)state;
    char *path = in_tmp("none");
    assert_null(tp__os_read_file(path, 0, NULL));
    expect_cannot("read", path, "No such file or directory");
    assert_null(tp__os_read_file(tpt_tmpdir(), 0, NULL));
    expect_cannot("read", tpt_tmpdir(), "Is a directory");
    put(path, "x", 1);
    assert_int_equal(chmod(path, 0), 0);
    become_nobody();
    assert_null(tp__os_read_file(path, 0, NULL));
    become_self_again();
    expect_cannot("read", path, "Permission denied");
    tp__mfree(path);
}

static void buffer_is_reused(void **state) {
    (void)state;
    char *big = in_tmp("big"), *small = in_tmp("small"), *none = in_tmp("none");
    char text[3000];
    memset(text, 'b', sizeof text);
    put(big, text, sizeof text);
    put(small, "s", 1);
    tp__os_buffer b = {0};
    tpt_ok(tp__os_read_buffer(big, 0, &b));
    assert_int_equal(b.size, sizeof text);
    const char *block = b.data;
    tpt_ok(tp__os_read_buffer(small, 0, &b));
    assert_ptr_equal(b.data, block);
    assert_string_equal(b.data, "s");
    assert_int_equal(tp__os_read_buffer(none, 0, &b), TP_EIO);
    expect_cannot("read", none, "No such file or directory");
    assert_ptr_equal(b.data, block);
    assert_int_equal(mkfifo(none, 0600), 0); /* nobody writes to it: it must not be waited for */
    assert_int_equal(tp__os_read_buffer(none, 0, &b), TP_EIO);
    expect_cannot("read", none, "a pipe or device, not a file");
    tp__os_buffer_free(&b);
    assert_null(b.data);
    tp__mfree(big), tp__mfree(small), tp__mfree(none);
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_text(FILE *f, void *ctx) {
    return fputs(ctx, f) >= 0;
}
static bool write_much(FILE *f, void *ctx) {
    (void)ctx;
    char block[4096];
    memset(block, 'm', sizeof block);
    for (int i = 0; i < 64; i++)
        if (fwrite(block, 1, sizeof block, f) != sizeof block) return false;
    return true;
}
static bool write_then_fail(FILE *f, void *ctx) {
    fputs("half", f);
    if (ctx)
        tp_error_set(TP_EVALUE, "%s", (const char *)ctx);
    else
        errno = EACCES;
    return false;
}

static void writes_and_replaces(void **state) {
    (void)state;
    char *path = in_tmp("model");
    tpt_ok(tp__os_write_file(path, write_text, "one"));
    expect_content(path, "one");
    assert_int_equal(chmod(path, 0640), 0);
    tpt_ok(tp__os_write_file(path, write_text, "second"));
    expect_content(path, "second");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(files_in_tmp(), 1);
    tp__mfree(path);
}

static void new_files_obey_umask(void **state) {
    (void)state;
    char *path = in_tmp("model");
    const mode_t before = umask(027);
    const tp_status r = tp__os_write_file(path, write_text, "x");
    umask(before);
    tpt_ok(r);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    tp__mfree(path);
}

static void writes_in_the_current_folder(void **state) {
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(tpt_tmpdir()), 0);
    const tp_status r = tp__os_write_file("plain-name", write_text, "x");
    assert_int_equal(chdir(here), 0);
    tpt_ok(r);
    char *path = in_tmp("plain-name");
    expect_content(path, "x");
    tp__mfree(path);
}

static void links_stay_links(void **state) {
    (void)state;
    char *path = in_tmp("target"), *link = in_tmp("link");
    put(path, "old", 3);
    assert_int_equal(symlink("target", link), 0);
    tpt_ok(tp__os_write_file(link, write_text, "new"));
    expect_content(path, "new");
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    tp__mfree(path), tp__mfree(link);
}

static void a_failed_writer_leaves_the_old_file(void **state) {
    (void)state;
    char *path = in_tmp("model");
    put(path, "old", 3);
    assert_int_equal(tp__os_write_file(path, write_then_fail, NULL), TP_EIO);
    expect_cannot("write", path, "Permission denied");
    assert_int_equal(tp__os_write_file(path, write_then_fail, "weights are gone"), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "weights are gone");
    expect_content(path, "old");
    assert_int_equal(files_in_tmp(), 1);
    tp__mfree(path);
}

static void a_pending_error_survives_success(void **state) {
    (void)state;
    char *path = in_tmp("model");
    tp_error_set(TP_EINDEX, "from before");
    tpt_ok(tp__os_write_file(path, write_text, "x"));
    tpt_expect_error(TP_EINDEX, "from before");
    tp_error_set(TP_EINDEX, "from before");
    assert_int_equal(tp__os_write_file(path, write_then_fail, NULL), TP_EIO);
    expect_cannot("write", path, "Permission denied");
    tp__mfree(path);
}

static void says_why_it_cannot_write(void **state) {
    (void)state;
    char *path = in_tmp("none/model");
    assert_int_equal(tp__os_write_file(path, write_text, "x"), TP_EIO);
    expect_cannot("write", path, "No such file or directory");
    tp__mfree(path);
    assert_int_equal(tp__os_write_file(tpt_tmpdir(), write_text, "x"), TP_EIO);
    expect_cannot("write", tpt_tmpdir(), "Is a directory");
    assert_int_equal(tp__os_write_file("", write_text, "x"), TP_EIO);
    expect_cannot("write", "", "No such file or directory");
    path = in_tmp("model");
    become_nobody();
    const tp_status r = tp__os_write_file(path, write_text, "x");
    become_self_again();
    assert_int_equal(r, TP_EIO);
    expect_cannot("write", path, "Permission denied");
    tp__mfree(path);
}

static void devices_are_written_directly(void **state) {
    (void)state;
    tpt_ok(tp__os_write_file("/dev/null", write_text, "x"));
    assert_int_equal(tp__os_stat("/dev/null", NULL), TP__OS_OTHER);
    if (tp__os_stat("/dev/full", NULL) == TP__OS_NONE) tpt_skip("/dev/full");
    assert_int_equal(tp__os_write_file("/dev/full", write_text, "x"), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot write /dev/full: No space left on device");
    assert_int_equal(tp__os_write_file("/dev/full", write_much, NULL), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot write /dev/full: No space left on device");
}

/* A limit on the size of files stands for the full disk: the write fails half way. */
static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    char *path = in_tmp("model");
    put(path, "old", 3);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 20000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const tp_status r = tp__os_write_file(path, write_much, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(r, TP_EIO);
    expect_cannot("write", path, "File too large");
    expect_content(path, "old");
    assert_int_equal(files_in_tmp(), 1);
    tp__mfree(path);
}

static void write_many(void *path) {
    for (int i = 0; i < 50; i++)
        if (tp__os_write_file(path, i % 2 ? write_text : write_much, "short")) return;
}

/* A reader never sees a half-written file, whoever writes. */
static void writers_do_not_mix(void **state) {
    (void)state;
    char *path = in_tmp("model");
    tpt_ok(tp__os_write_file(path, write_text, "short"));
    tp__thread *a = tp__thread_start(write_many, path), *b = tp__thread_start(write_many, path);
    for (int i = 0; i < 50; i++) {
        size_t n;
        char *got = tp__os_read_file(path, 0, &n);
        assert_non_null(got);
        assert_true(n == 5 || n == 64 * 4096);
        tp__mfree(got);
    }
    tp__thread_join(a);
    tp__thread_join(b);
    expect_content(path, "short");
    assert_int_equal(files_in_tmp(), 1);
    tp__mfree(path);
}

/* ---- folders --------------------------------------------------------------------------------- */

static void lists_in_byte_order(void **state) {
    (void)state;
    const char *names[] = {"10.png", "1007.png", "2", ".hidden", "\xc3\xa4", "\xff", "Z", "a"};
    const char *sorted[] = {".hidden", "10.png", "1007.png", "2", "Z", "a", "\xc3\xa4", "\xff"};
    for (int i = 0; i < 8; i++) {
        char *path = in_tmp(names[i]);
        put(path, "", 0);
        tp__mfree(path);
    }
    tp__os_list l;
    tpt_ok(tp__os_listdir(tpt_tmpdir(), &l));
    assert_int_equal(l.n, 8);
    for (int i = 0; i < 8; i++) assert_string_equal(l.name[i], sorted[i]);
    tp__os_list_free(&l);
    assert_int_equal(l.n, 0);
}

static void says_why_it_cannot_list(void **state) {
    (void)state;
    tp__os_list l;
    tpt_ok(tp__os_listdir(tpt_tmpdir(), &l)); /* empty */
    assert_int_equal(l.n, 0);
    tp__os_list_free(&l);
    char *path = in_tmp("sub");
    assert_int_equal(tp__os_listdir(path, &l), TP_EIO);
    expect_cannot("read", path, "No such file or directory");
    assert_int_equal(mkdir(path, 0), 0);
    become_nobody();
    const tp_status r = tp__os_listdir(path, &l);
    become_self_again();
    assert_int_equal(r, TP_EIO);
    expect_cannot("read", path, "Permission denied");
    assert_int_equal(rmdir(path), 0);
    put(path, "", 0);
    assert_int_equal(tp__os_listdir(path, &l), TP_EIO);
    expect_cannot("read", path, "Not a directory");
    tp__mfree(path);
}

static void kinds_and_sizes(void **state) {
    (void)state;
    char *path = in_tmp("a");
    int64_t size = 99;
    assert_int_equal(tp__os_stat(path, &size), TP__OS_NONE);
    assert_int_equal(size, 0);
    put(path, "abc", 3);
    assert_int_equal(tp__os_stat(path, &size), TP__OS_FILE);
    assert_int_equal(size, 3);
    assert_int_equal(tp__os_stat(tpt_tmpdir(), NULL), TP__OS_DIR);
    assert_int_equal(tp_error_code(), TP_OK); /* asking is not an error */
    tp__mfree(path);
}

static void joins_paths(void **state) {
    (void)state;
    const char *cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (int i = 0; i < 4; i++) {
        char *path = tp__os_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        tp__mfree(path);
    }
}

static void clock_goes_forward(void **state) {
    (void)state;
    const double t = tp__os_now();
    double later = t;
    for (int i = 0; i < 1000; i++) {
        const double now = tp__os_now();
        assert_true(now >= later);
        later = now;
    }
    assert_true(later > t && later - t < 10);
}

/* ---- every allocation may fail --------------------------------------------------------------- */

static tp_status exercise(void *path) {
    tp_status r = tp__os_write_file(path, write_text, "x");
    if (r) return r;
    char *text = tp__os_read_file(path, 0, NULL);
    if (!text) return tp_error_code();
    tp__mfree(text);
    tp__os_list l;
    r = tp__os_listdir(tpt_tmpdir(), &l);
    if (!r) tp__os_list_free(&l);
    return r;
}

static void out_of_memory(void **state) {
    (void)state;
    char *path = in_tmp("a"), *link = in_tmp("link");
    put(path, "old", 3);
    assert_int_equal(symlink("a", link), 0);
    assert_true(tpt_fail_each_allocation(exercise, link) >= 5);
    assert_int_equal(files_in_tmp(), 2); /* nothing unfinished was left behind */
    tp__mfree(path), tp__mfree(link);
}

/* The bytes that were wanted are said where they can be counted. */
static void refused_bytes_are_said(void **state) {
    (void)state;
    static const struct {
        size_t count, size;
        const char *says;
    } want[] = {{3, 5, "out of memory: 15 bytes were wanted"},
                {SIZE_MAX / 2, 3, "out of memory"},
                {1, SIZE_MAX, "out of memory: 18446744073709551615 bytes were wanted"}};
    for (int i = 0; i < TP__COUNT(want); i++) {
        tp__alloc_fail_at(1);
        assert_null(tp__calloc(want[i].count, want[i].size));
        tp__alloc_fail_at(0);
        tpt_expect_error(TP_ENOMEM, want[i].says);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

static void utf8(void **state) {
    (void)state;
    const char *good[] = {
        "", "train", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x95\xaf", "\xf4\x8f\xbf\xbf"};
    for (int i = 0; i < TP__COUNT(good); i++) {
        assert_true(tp__utf8_valid(good[i]));
        assert_ptr_equal(tp__utf8_show(good[i], NULL, 0), good[i]);
    }
    const char *bad[] = {
        "\xff", "a\xc3",        "\xc0\x80",         "\xe0\x80\xaf",         "\xf0\x80\x80\x80",
        "\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82"};
    for (int i = 0; i < TP__COUNT(bad); i++) assert_false(tp__utf8_valid(bad[i]));
    assert_true(tp__utf8_valid("a\tb\xc2\x9b") && !tp__utf8_printable("a\tb"));
    assert_false(tp__utf8_printable("\xc2\x9b")); /* a terminal's escape */
    char room[16];
    assert_string_equal(tp__utf8_show("\xff\xc3\xa4\n", room, sizeof room), "\\xff\xc3\xa4\\x0a");
    assert_string_equal(tp__utf8_show("\xff\xff\xff\xff\xff", room, sizeof room),
                        "\\xff\\xff\\xff");
    assert_string_equal(tp__utf8_show("\xff"
                                      "0123456789abcdef",
                                      room, sizeof room),
                        "\\xff0123456789a");
}

static void odd_names_are_shown(void **state) {
    (void)state;
    char *path = in_tmp("n\xff\n"), want[600];
    assert_null(tp__os_read_file(path, 0, NULL));
    snprintf(want, sizeof want, "cannot read %s/n\\xff\\x0a: No such file or directory",
             tpt_tmpdir());
    tpt_expect_error(TP_EIO, want);
    tp__mfree(path);
}

/* ---- the log --------------------------------------------------------------------------------- */

typedef struct lines {
    int n, inside;
    char last[2048];
} lines;

static void take_line(void *user, const char *line) {
    lines *l = user;
    l->inside++;
    if (l->inside > 1) l->n = -1000000; /* two calls at a time */
    l->n++;
    snprintf(l->last, sizeof l->last, "%s", line);
    l->inside--;
}

static void log_gives_lines(void **state) {
    (void)state;
    lines l = {0};
    tp__log("nobody listens");
    tp_set_log(take_line, &l);
    tp__log("skipped %s: %d", "a\nb\033", 3);
    assert_string_equal(l.last, "skipped a\\x0ab\\x1b: 3");
    char *text = malloc(5000);
    memset(text, 'y', 4999);
    text[4999] = '\0';
    tp__log("%s", text);
    assert_int_equal(strlen(l.last), 1023);
    free(text);
    tp_set_log(NULL, NULL);
    tp__log("nobody listens");
    assert_int_equal(l.n, 2);
}

static void log_again(void *user, const char *line) {
    take_line(user, line);
    tp__log("from inside"); /* dropped, not waited for */
    tp_set_log(take_line, user);
}

static void callbacks_may_call_back(void **state) {
    (void)state;
    lines l = {0};
    tp_set_log(log_again, &l);
    tp__log("first");
    assert_string_equal(l.last, "first");
    tp__log("second");
    assert_int_equal(l.n, 2);
    tp_set_log(NULL, NULL);
}

static void log_many(void *unused) {
    (void)unused;
    for (int i = 0; i < 1000; i++) tp__log("line %d", i);
}

static void one_line_at_a_time(void **state) {
    (void)state;
    lines l = {0};
    tp_set_log(take_line, &l);
    tp__thread *t[4];
    for (int i = 0; i < 4; i++) assert_non_null(t[i] = tp__thread_start(log_many, NULL));
    for (int i = 0; i < 4; i++) tp__thread_join(t[i]);
    tp_set_log(NULL, NULL);
    assert_int_equal(l.n, 4000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(reads_whole_files),
        TPT(reads_files_of_unknown_size),
        TPT(respects_the_limit),
        TPT(says_why_it_cannot_read),
        TPT(buffer_is_reused),
        TPT(writes_and_replaces),
        TPT(new_files_obey_umask),
        TPT(writes_in_the_current_folder),
        TPT(links_stay_links),
        TPT(a_failed_writer_leaves_the_old_file),
        TPT(a_pending_error_survives_success),
        TPT(says_why_it_cannot_write),
        TPT(devices_are_written_directly),
        TPT(a_full_disk_leaves_the_old_file),
        TPT(writers_do_not_mix),
        TPT(lists_in_byte_order),
        TPT(says_why_it_cannot_list),
        TPT(kinds_and_sizes),
        TPT(joins_paths),
        TPT(clock_goes_forward),
        TPT(out_of_memory),
        TPT(refused_bytes_are_said),
        TPT(utf8),
        TPT(odd_names_are_shown),
        TPT(log_gives_lines),
        TPT(callbacks_may_call_back),
        TPT(one_line_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
