/* get_path.c -- paths, folders, copies and locks: what the other files need of the file system.
 *
 * Strings are made by get_format and never NULL: a program this small ends when it cannot have a
 * kilobyte. A lock is a file that is gone when nobody holds it. */
#define _XOPEN_SOURCE 700
#include "get.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static void *must(void *p) {
    if (p) return p;
    fputs("taper get: out of memory\n", stderr);
    exit(GET_FAILED);
}

char *get_format(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *s = must(n < 0 ? NULL : malloc((size_t)n + 1));
    va_start(args, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, args);
    va_end(args);
    return s;
}

char *get_strndup(const char *s, size_t n) {
    return must(strndup(s, n));
}

const char *get_basename(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

get_part get_part_named(const char *name, size_t n) {
    static const struct {
        const char *name;
        get_part part;
    } known[] = {{"train", GET_TRAIN}, {"training", GET_TRAIN},   {"valid", GET_VALID},
                 {"val", GET_VALID},   {"validation", GET_VALID}, {"test", GET_TEST},
                 {"testing", GET_TEST}};
    for (int i = 0; i < GET_COUNT(known); i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n)) return known[i].part;
    return GET_NO_PART;
}

bool get_has_ending(const char *s, const char *ending) {
    const size_t n = strlen(s), m = strlen(ending);
    return n > m && !strcasecmp(s + n - m, ending);
}

char *get_stem(const char *name) {
    static const char *const endings[] = {".tar.gz", ".tgz", ".tar", ".zip", ".gz"};
    for (int i = 0; i < GET_COUNT(endings); i++)
        if (get_has_ending(name, endings[i]))
            return get_strndup(name, strlen(name) - strlen(endings[i]));
    return get_strndup(name, strlen(name));
}

char *get_cache_dir(void) {
    const char *home = getenv("TAPER_HOME");
    if (home && *home) return get_strndup(home, strlen(home));
    const char *xdg = getenv("XDG_CACHE_HOME");
    if (xdg && *xdg == '/') return get_format("%s/taper", xdg);
    home = getenv("HOME");
    if (!home || !*home) {
        const struct passwd *me = getpwuid(getuid());
        home = me ? me->pw_dir : NULL;
    }
    if (home && *home) return get_format("%s/.cache/taper", home);
    get_fail("there is no home folder to keep archives in; set TAPER_HOME to a folder");
    return NULL;
}

/* ---- folders and files ---- */

bool get_is_dir(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int64_t get_file_size(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

bool get_make_dirs(const char *path) {
    char *copy = get_format("%s/", path);
    bool ok = true;
    for (char *p = copy + 1; ok && *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        if (mkdir(copy, 0777) && !get_is_dir(copy))
            ok = get_fail("cannot make the folder %s: %s", copy, strerror(errno));
        *p = '/';
    }
    free(copy);
    return ok;
}

static char *parent_of(const char *path) {
    char *copy = get_strndup(path, strlen(path));
    char *parent = get_format("%s", dirname(copy));
    free(copy);
    return parent;
}

bool get_make_parent(const char *path) {
    char *parent = parent_of(path);
    const bool ok = get_make_dirs(parent);
    free(parent);
    return ok;
}

bool get_sync_parent(const char *path) {
    char *parent = parent_of(path);
    const int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system that does not sync folders */
    const bool ok = fd >= 0 && (!fsync(fd) || errno == EINVAL);
    if (!ok) get_fail("cannot sync %s: %s", parent, strerror(errno));
    if (fd >= 0) close(fd);
    free(parent);
    return ok;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

bool get_remove_tree(const char *path) {
    struct stat st;
    if (lstat(path, &st)) return errno == ENOENT || get_fail("%s: %s", path, strerror(errno));
    if (!nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS)) return true;
    return get_fail("cannot remove %s: %s", path, strerror(errno));
}

static bool write_all(int fd, const char *p, size_t n) {
    while (n) {
        const ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static bool copy_bytes(int in, int out, const char *from, const char *to) {
    static char buf[1 << 16];
    for (;;) {
        const ssize_t n = read(in, buf, sizeof buf);
        if (get_stopped()) return get_fail_stopped();
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return get_fail("cannot read %s: %s", from, strerror(errno));
        if (n == 0) break;
        if (!write_all(out, buf, (size_t)n))
            return get_fail("cannot write %s: %s", to, strerror(errno));
    }
    return !fsync(out) || get_fail("cannot write %s: %s", to, strerror(errno));
}

bool get_copy_file(const char *from, const char *to) {
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return get_fail("cannot open %s: %s", from, strerror(errno));
    const int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = out >= 0 || get_fail("cannot make %s: %s", to, strerror(errno));
    if (ok) {
        ok = copy_bytes(in, out, from, to);
        if (close(out) && ok) ok = get_fail("cannot write %s: %s", to, strerror(errno));
        if (!ok) unlink(to);
    }
    close(in);
    return ok;
}

/* ---- locks ---- */

static bool lock_now_or_wait(int fd, const char *path) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!fcntl(fd, F_SETLK, &whole) || errno == ENOLCK) return true; /* a disk without locks */
    if (errno == EACCES || errno == EAGAIN) {
        get_say("another taper get is at work (%s); waiting for it", path);
        if (!fcntl(fd, F_SETLKW, &whole)) return true;
        if (get_stopped()) return get_fail_stopped();
    }
    return get_fail("cannot lock %s: %s", path, strerror(errno));
}

/* The holder before us may have removed the file that we then locked: look again. */
static bool still_there(int fd, const char *path) {
    struct stat a, b;
    return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int get_lock(const char *path) {
    for (int round = 0; round < 100; round++) {
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            get_fail("cannot make %s: %s", path, strerror(errno));
            return -1;
        }
        if (!lock_now_or_wait(fd, path)) {
            close(fd);
            return -1;
        }
        if (still_there(fd, path)) return fd;
        close(fd);
    }
    get_fail("cannot lock %s: others take it again and again", path);
    return -1;
}

void get_unlock(const char *path, int fd) {
    unlink(path);
    close(fd);
}
