/* os.c -- files, folders and the clock: every call that differs between systems.
 *
 * Errors are made here, once, in the form "cannot read PATH: No such file or directory". Files are
 * written beside their final name and renamed onto it, so that a reader sees the old one or the new
 * one, and a crash or a full disk leaves the old one. */
#define _XOPEN_SOURCE 700
#include "base/base.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double tp__os_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* "cannot VERB PATH: reason" from an errno. */
static tp_status fail_errno(const char *verb, const char *path, int err) {
    char reason[128] = "", room[400];
    if (err == ENOMEM) {
        tp__fail_nomem(0);
        return TP_ENOMEM;
    }
    if (strerror_r(err, reason, sizeof reason)) snprintf(reason, sizeof reason, "error %d", err);
    return tp_error_set(TP_EIO, "cannot %s %s: %s", verb, tp__utf8_show(path, room, sizeof room),
                        reason);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool reserve(tp__os_buffer *b, size_t bytes) {
    if (bytes <= b->cap) return true;
    char *data = tp__realloc(b->data, bytes);
    if (!data) return false;
    b->data = data;
    b->cap = bytes;
    return true;
}

void tp__os_buffer_free(tp__os_buffer *b) {
    tp__mfree(b->data);
    *b = (tp__os_buffer){0};
}

static tp_status too_large(const char *path, size_t limit) {
    char room[400];
    return tp_error_set(TP_EFORMAT, "%s: larger than %zu bytes",
                        tp__utf8_show(path, room, sizeof room), limit);
}

/* All that the descriptor gives, or `size` bytes of a file that has this size: an ordinary file is
 * one read. 0: not known, as with pipes and what /proc makes up. */
static tp_status read_all(int fd, const char *path, size_t size, size_t limit, tp__os_buffer *b) {
    b->size = 0;
    if (!reserve(b, (size ? size : 4096) + 2)) return TP_ENOMEM;
    while (!size || b->size < size) {
        const ssize_t got = read(fd, b->data + b->size, b->cap - 1 - b->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno("read", path, errno);
        if (got == 0) break;
        b->size += (size_t)got;
        if (limit && b->size > limit) return too_large(path, limit);
        if (b->size + 1 == b->cap && !reserve(b, 2 * b->cap + 4096)) return TP_ENOMEM;
    }
    b->data[b->size] = '\0';
    return TP_OK;
}

static tp_status not_a_file(const char *path) {
    char room[400];
    return tp_error_set(TP_EIO, "cannot read %s: a pipe or device, not a file",
                        tp__utf8_show(path, room, sizeof room));
}

/* `only_files`: anything else is refused. Without O_NONBLOCK, opening a pipe would wait for a
 * writer. */
static tp_status read_buffer(const char *path, size_t limit, tp__os_buffer *b, bool only_files) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | (only_files ? O_NONBLOCK : 0));
    if (fd < 0) return fail_errno("read", path, errno);
    struct stat st;
    tp_status r = TP_OK;
    size_t size = 0;
    if (fstat(fd, &st))
        r = fail_errno("read", path, errno);
    else if (S_ISDIR(st.st_mode))
        r = fail_errno("read", path, EISDIR);
    else if (S_ISREG(st.st_mode))
        size = (size_t)st.st_size;
    else if (only_files)
        r = not_a_file(path);
    if (!r && limit && size > limit) r = too_large(path, limit);
    if (!r) r = read_all(fd, path, size, limit, b);
    close(fd);
    return r;
}

tp_status tp__os_read_buffer(const char *path, size_t limit, tp__os_buffer *b) {
    return read_buffer(path, limit, b, true);
}

void *tp__os_read_file(const char *path, size_t limit, size_t *size) {
    tp__os_buffer b = {0};
    if (read_buffer(path, limit, &b, false)) {
        tp__os_buffer_free(&b);
        return NULL;
    }
    if (size) *size = b.size;
    return b.data;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef bool (*writer_fn)(FILE *f, void *ctx);

/* Run the writer and flush. An error that was pending before is kept out of the way meanwhile, so
 * that afterwards a pending error is the writer's own. Does not close f. */
static tp_status run_writer(FILE *f, const char *path, writer_fn writer, void *ctx) {
    tp__error before;
    tp__error_take(&before);
    errno = 0;
    const bool wrote = writer(f, ctx);
    int err = wrote ? 0 : errno;
    if (wrote && (fflush(f) || ferror(f))) err = errno ? errno : EIO;
    if (wrote && !err) {
        tp__error_put(&before);
        return TP_OK;
    }
    if (tp_error_code()) return tp_error_code();
    return fail_errno("write", path, err ? err : EIO);
}

/* A device, a pipe: what is written is gone at once, so there is nothing to rename. */
static tp_status write_directly(const char *path, writer_fn writer, void *ctx) {
    FILE *f = fopen(path, "wb");
    if (!f) return fail_errno("write", path, errno);
    tp_status r = run_writer(f, path, writer, ctx);
    if (fclose(f) && !r) r = fail_errno("write", path, errno);
    return r;
}

/* A new file in the folder of `path`, with the access rights that fopen would have given it. */
static int open_beside(const char *path, size_t folder, char *name, size_t size) {
    static _Atomic unsigned counter;
    for (int attempt = 0; attempt < 1000; attempt++) {
        const unsigned id = atomic_fetch_add(&counter, 1);
        snprintf(name, size, "%.*s.taper-%ld-%u.tmp", (int)folder, path, (long)getpid(), id);
        const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static tp_status sync_folder(const char *path, size_t folder) {
    char *name = folder ? tp__strndup(path, folder) : tp__strdup(".");
    if (!name) return TP_ENOMEM;
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    tp__mfree(name);
    if (fd < 0) return TP_OK; /* a folder one may write to but not read */
    const int err =
        fsync(fd) && errno != EINVAL && errno != EROFS ? errno : 0; /* not on every system */
    close(fd);
    return err ? fail_errno("write", path, err) : TP_OK;
}

/* Write, sync and close the temporary file; an existing target's access rights pass to it. */
static tp_status fill(int fd, const char *path, const struct stat *old, writer_fn writer,
                      void *ctx) {
    FILE *f = fdopen(fd, "wb");
    if (!f) {
        const int err = errno;
        close(fd);
        return fail_errno("write", path, err);
    }
    tp_status r = run_writer(f, path, writer, ctx);
    if (!r && old && fchmod(fd, old->st_mode & 07777)) r = fail_errno("write", path, errno);
    if (!r && fsync(fd)) r = fail_errno("write", path, errno);
    if (fclose(f) && !r) r = fail_errno("write", path, errno);
    return r;
}

static tp_status write_beside(const char *path, const struct stat *old, writer_fn writer,
                              void *ctx) {
    const char *slash = strrchr(path, '/');
    const size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    const size_t size = folder + 64;
    char *temporary = tp__calloc(1, size);
    if (!temporary) return TP_ENOMEM;
    tp_status r;
    const int fd = open_beside(path, folder, temporary, size);
    if (fd < 0)
        r = fail_errno("write", path, errno);
    else {
        r = fill(fd, path, old, writer, ctx);
        if (!r && rename(temporary, path)) r = fail_errno("write", path, errno);
        if (r)
            unlink(temporary);
        else
            r = sync_folder(path, folder);
    }
    tp__mfree(temporary);
    return r;
}

/* /dev/stdout is a regular file when the shell sent it to one, and still must not be replaced. */
static bool is_device(const char *path, const struct stat *st) {
    return !S_ISREG(st->st_mode) || !strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6);
}

tp_status tp__os_write_file(const char *path, writer_fn writer, void *ctx) {
    struct stat st;
    if (stat(path, &st)) {
        if (errno != ENOENT) return fail_errno("write", path, errno);
        return write_beside(path, NULL, writer, ctx);
    }
    if (S_ISDIR(st.st_mode)) return fail_errno("write", path, EISDIR);
    if (is_device(path, &st)) return write_directly(path, writer, ctx);
    char *real = realpath(path, NULL); /* a link stays a link, and its target is replaced */
    if (!real) return fail_errno("write", path, errno);
    const tp_status r = write_beside(real, &st, writer, ctx);
    free(real);
    return r;
}

/* ---- folders --------------------------------------------------------------------------------- */

tp__os_kind tp__os_stat(const char *path, int64_t *size) {
    struct stat st;
    if (size) *size = 0;
    if (stat(path, &st)) return TP__OS_NONE;
    if (size) *size = (int64_t)st.st_size;
    return S_ISREG(st.st_mode) ? TP__OS_FILE : S_ISDIR(st.st_mode) ? TP__OS_DIR : TP__OS_OTHER;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b); /* compares as unsigned char */
}

static bool append(tp__os_list *l, int64_t *cap, const char *name) {
    if (l->n == *cap) {
        const int64_t want = *cap ? 2 * *cap : 64;
        char **more = tp__realloc(l->name, (size_t)want * sizeof *more);
        if (!more) return false;
        l->name = more;
        *cap = want;
    }
    char *copy = tp__strdup(name);
    if (!copy) return false;
    l->name[l->n++] = copy;
    return true;
}

static tp_status collect(DIR *dir, const char *path, tp__os_list *out) {
    int64_t cap = 0;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e) return errno ? fail_errno("read", path, errno) : TP_OK;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (!append(out, &cap, e->d_name)) return TP_ENOMEM;
    }
}

tp_status tp__os_listdir(const char *path, tp__os_list *out) {
    *out = (tp__os_list){0};
    DIR *dir = opendir(path);
    if (!dir) return fail_errno("read", path, errno);
    const tp_status r = collect(dir, path, out);
    closedir(dir);
    if (r)
        tp__os_list_free(out);
    else if (out->n)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_bytes);
    return r;
}

void tp__os_list_free(tp__os_list *l) {
    for (int64_t i = 0; i < l->n; i++) tp__mfree(l->name[i]);
    tp__mfree(l->name);
    *l = (tp__os_list){0};
}

char *tp__os_join(const char *dir, const char *name) {
    const size_t n = strlen(dir), m = strlen(name);
    const bool slash = n && dir[n - 1] != '/';
    char *path = tp__calloc(n + slash + m + 1, 1);
    if (!path) return NULL;
    memcpy(path, dir, n);
    if (slash) path[n] = '/';
    memcpy(path + n + slash, name, m);
    return path;
}
