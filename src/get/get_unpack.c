/* get_unpack.c -- writes an archive's entries into a folder, or compares them with one.
 *
 * Only what get_archive.c let pass arrives here. libarchive's own guards (no links on the way, no
 * "..", no absolute path, nothing overwritten) are on as well: two locks on the same door. */
#define _POSIX_C_SOURCE 200809L
#include "get.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- unpack ---- */

static bool disk_failed(const get_walker *w, struct archive *disk) {
    const char *text = archive_error_string(disk);
    const int number = archive_errno(disk);
    return get_fail("%s: cannot unpack '%s': %s (%s)", w->path, w->clean, text ? text : "it fails",
                    number > 0 ? strerror(number) : "no more is known");
}

/* The folder was empty at first, so what is there came from an entry before this one. */
static bool place_is_free(const get_walker *w) {
    struct stat st;
    if (lstat(w->name, &st))
        return errno != ENOTDIR || get_walk_refuse(w, w->clean, "lies inside another file");
    return (w->is_dir && S_ISDIR(st.st_mode)) || get_walk_refuse(w, w->clean, "appears twice");
}

static bool unpack_one(get_walker *w, void *ctx) {
    struct archive *disk = ctx;
    const void *data;
    size_t n;
    int64_t at;
    int more;
    if (!place_is_free(w)) return false;
    archive_entry_copy_pathname(w->entry, w->name);
    archive_entry_set_perm(w->entry, w->is_dir ? 0777 : 0666); /* less the umask */
    if (archive_write_header(disk, w->entry) != ARCHIVE_OK) return disk_failed(w, disk);
    while ((more = get_walk_data(w, &data, &n, &at)) > 0)
        if (archive_write_data_block(disk, data, n, at) < ARCHIVE_OK) return disk_failed(w, disk);
    if (more < 0) return false;
    return archive_write_finish_entry(disk) == ARCHIVE_OK || disk_failed(w, disk);
}

/* libarchive's guard against absolute paths wants relative ones: work inside the folder. */
static bool unpack_here(const char *path, const get_contents *c) {
    struct archive *disk = archive_write_disk_new();
    if (!disk) return get_fail("out of memory");
    archive_write_disk_set_options(
        disk, ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                  ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS | ARCHIVE_EXTRACT_NO_OVERWRITE);
    bool ok = get_walk(path, c, unpack_one, disk);
    if (archive_write_close(disk) != ARCHIVE_OK && ok)
        ok = get_fail("%s: cannot unpack: %s", path, archive_error_string(disk));
    archive_write_free(disk);
    return ok;
}

bool get_unpack(const char *path, const get_contents *c, const char *dir) {
    const int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (home < 0) return get_fail("cannot open the current folder: %s", strerror(errno));
    bool ok = !chdir(dir) || get_fail("cannot enter %s: %s", dir, strerror(errno));
    ok = ok && unpack_here(path, c);
    if (fchdir(home) && ok) ok = get_fail("cannot return to the folder: %s", strerror(errno));
    close(home);
    return ok;
}

/* ---- compare ---- */

typedef struct comparison {
    const char *dir;
    int64_t files, amiss;
    char *first; /* what is amiss, for the message */
} comparison;

static void note_amiss(comparison *k, const char *name, const char *how) {
    if (!k->amiss++) k->first = get_format("%s %s", name, how);
}

/* 1: the same bytes, 0: others, -1: the archive does not read. */
static int same_bytes(get_walker *w, FILE *f) {
    static char buf[1 << 16];
    const void *data;
    size_t n;
    int64_t at;
    int more;
    bool same = true;
    while ((more = get_walk_data(w, &data, &n, &at)) > 0) {
        if (!same || fseeko(f, (off_t)at, SEEK_SET)) same = false;
        for (size_t done = 0; same && done < n;) {
            const size_t part = n - done < sizeof buf ? n - done : sizeof buf;
            same = fread(buf, 1, part, f) == part && !memcmp(buf, (const char *)data + done, part);
            done += part;
        }
    }
    struct stat st;
    return more < 0 ? -1 : same && !fstat(fileno(f), &st) && st.st_size == w->counted;
}

static bool compare_one(get_walker *w, void *ctx) {
    comparison *k = ctx;
    if (w->is_dir) return true;
    k->files++;
    char *path = get_format("%s/%s", k->dir, w->name);
    FILE *f = get_file_size(path) < 0 ? NULL : fopen(path, "rb");
    free(path);
    if (!f) {
        note_amiss(k, w->name, "is missing");
        return true;
    }
    const int same = same_bytes(w, f);
    fclose(f);
    if (same == 0) note_amiss(k, w->name, "differs");
    return same >= 0;
}

bool get_compare(const char *path, const get_contents *c, const char *dir) {
    comparison k = {.dir = dir};
    char amiss[32], files[32];
    bool ok = get_walk(path, c, compare_one, &k);
    if (ok && k.amiss)
        ok = get_fail("%s of %s files are missing or differ (%s)", get_count(amiss, k.amiss),
                      get_count(files, k.files), k.first);
    free(k.first);
    return ok;
}
