/* get_archive.c -- goes through an archive entry by entry and lets pass only what is safe.
 *
 * An archive is a program that writes files. The rules here are therefore a list of what may pass:
 * files and folders with relative names that stay inside, up to a limit of bytes. The first entry
 * that breaks a rule ends the walk, and its name is in the message. */
#define _POSIX_C_SOURCE 200809L
#include "get.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 }; /* what a small file takes on a disk */
#define LEAST_LIMIT INT64_C(256000000)

/* ---- one entry ---- */

/* The path without "./", "//" and a last "/". Returns why it must not be used, or NULL. */
static const char *clean_name(const char *raw, char out[GET_LONGEST_NAME]) {
    size_t used = 0;
    if (raw[0] == '/') return "has an absolute path";
    for (const char *p = raw; *p;) {
        const size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') return "leads out of the folder";
        if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (used + n + 2 > GET_LONGEST_NAME) return "has a name that is too long";
            if (used) out[used++] = '/';
            memcpy(out + used, p, n);
            used += n;
        }
        p += n + (p[n] == '/');
    }
    out[used] = '\0';
    return NULL;
}

static const char *forbidden_type(struct archive_entry *e) {
    if (archive_entry_hardlink(e)) return "is a hard link";
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
    case AE_IFDIR: return NULL;
    case AE_IFLNK: return "is a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK: return "is a device";
    case AE_IFIFO: return "is a pipe";
    default: return "is neither a file nor a folder";
    }
}

/* Copies of resource forks and folder settings that macOS puts into archives. */
static bool only_for_macos(const char *name) {
    const char *base = get_basename(name);
    return !strncmp(name, "__MACOSX/", 9) || !strcmp(name, "__MACOSX") || !strncmp(base, "._", 2) ||
           !strcmp(base, ".DS_Store");
}

bool get_walk_refuse(const get_walker *w, const char *name, const char *why) {
    return get_fail("%s: refused, nothing was unpacked: the entry '%s' %s", w->path, name, why);
}

/* Count `more` bytes on the disk. */
static bool take(get_walker *w, int64_t more) {
    char size[32], why[128];
    if (more <= w->count.limit - w->count.taken) {
        w->count.taken += more;
        return true;
    }
    snprintf(why, sizeof why, "makes it more than %s on the disk (--max-size sets the limit)",
             get_size(size, w->count.limit));
    return get_walk_refuse(w, archive_entry_pathname(w->entry), why);
}

static bool admit(get_walker *w) {
    const char *raw = archive_entry_pathname(w->entry);
    if (!raw) return get_walk_refuse(w, "?", "has a name that is not text");
    const char *why = clean_name(raw, w->clean);
    if (!why) why = forbidden_type(w->entry);
    if (why) return get_walk_refuse(w, raw, why);
    w->is_dir = archive_entry_filetype(w->entry) == AE_IFDIR;
    if (!*w->clean && !w->is_dir) return get_walk_refuse(w, raw, "has no name");
    const bool sized = !w->is_dir && archive_entry_size_is_set(w->entry);
    w->counted = sized ? archive_entry_size(w->entry) : 0;
    if (w->counted < 0) return get_walk_refuse(w, raw, "has a negative size");
    return take(w, BLOCK) && take(w, w->counted);
}

/* ---- all entries ---- */

static bool archive_failed(const get_walker *w) {
    if (get_stopped()) return get_fail_stopped();
    const char *text = archive_error_string(w->archive);
    if (text && strstr(text, "Unrecognized archive format"))
        return get_fail(
            "%s is neither an archive (.tgz, .tar.gz, .tar, .zip) nor a gzipped IDX file", w->path);
    return get_fail("%s is cut short or damaged: %s", w->path, text ? text : "it does not unpack");
}

static bool open_archive(get_walker *w) {
    w->archive = archive_read_new();
    if (!w->archive) return get_fail("out of memory");
    archive_read_support_filter_gzip(w->archive);
    archive_read_support_format_tar(w->archive);
    archive_read_support_format_zip(w->archive);
    if (archive_read_open_filename(w->archive, w->path, 1 << 16) == ARCHIVE_OK) return true;
    return archive_failed(w);
}

int get_walk_data(get_walker *w, const void **data, size_t *n, int64_t *at) {
    la_int64_t offset;
    const int code = archive_read_data_block(w->archive, data, n, &offset);
    if (code == ARCHIVE_EOF) return 0;
    if (get_stopped() || code != ARCHIVE_OK) {
        archive_failed(w);
        return -1;
    }
    *at = offset;
    const int64_t end = offset + (int64_t)*n;
    if (end > w->counted && !take(w, end - w->counted)) return -1;
    if (end > w->counted) w->counted = end;
    return 1;
}

/* w->name is the name without the shared folder: "" for that folder itself. */
static bool strip_top(get_walker *w, const char *top) {
    const size_t n = top ? strlen(top) : 0;
    const char *clean = w->clean;
    w->name = clean;
    if (!n) return true;
    if (strncmp(clean, top, n) || (clean[n] && clean[n] != '/'))
        return get_walk_refuse(w, clean, "was not there before: the archive is being changed");
    w->name = clean[n] ? clean + n + 1 : "";
    return true;
}

static bool walk(get_walker *w, const char *top, get_visit visit, void *ctx) {
    for (;;) {
        const int code = archive_read_next_header(w->archive, &w->entry);
        if (code == ARCHIVE_EOF) return true;
        if (get_stopped() || (code != ARCHIVE_OK && code != ARCHIVE_WARN)) return archive_failed(w);
        if (!admit(w)) return false;
        if (only_for_macos(w->clean)) {
            w->count.skipped++;
            continue;
        }
        if (!strip_top(w, top)) return false;
        if (*w->name && !visit(w, ctx)) return false;
    }
}

bool get_walk(const char *path, const get_contents *c, get_visit visit, void *ctx) {
    get_walker w = {.path = path, .count = {.limit = c->limit}};
    const bool ok = open_archive(&w) && walk(&w, c->top, visit, ctx);
    archive_read_free(w.archive);
    return ok;
}

/* ---- the first look ---- */

static bool scan_one(get_walker *w, void *ctx) {
    bool *mixed = ctx;
    const size_t n = strcspn(w->name, "/");
    char **top = &w->count.top;
    if (!*top) *top = get_strndup(w->name, n);
    const bool other = strlen(*top) != n || strncmp(*top, w->name, n);
    if (other || (!w->name[n] && !w->is_dir)) *mixed = true;
    const void *data;
    size_t bytes;
    int64_t at;
    int more;
    while ((more = get_walk_data(w, &data, &bytes, &at)) > 0) continue;
    w->count.files += !w->is_dir;
    w->count.bytes += w->counted;
    return more == 0;
}

static bool scan_archive(const char *path, int64_t limit, get_contents *c) {
    bool mixed = false;
    get_walker w = {.path = path, .count = {.limit = limit}};
    bool ok = open_archive(&w) && walk(&w, NULL, scan_one, &mixed);
    const bool gzip = w.archive && archive_filter_code(w.archive, 0) == ARCHIVE_FILTER_GZIP;
    archive_read_free(w.archive);
    *c = w.count;
    /* a folder that is called train says what it holds, so it stays even where it stands alone */
    if (c->top && (mixed || get_part_named(c->top, strlen(c->top)))) {
        free(c->top);
        c->top = NULL;
    }
    if (ok && gzip) ok = get_gunzips(path); /* libarchive does not look at gzip's check sums */
    return ok && (c->files || get_fail("%s holds no files", path));
}

bool get_scan(const char *path, int64_t max_size, get_contents *c) {
    *c = (get_contents){0};
    const int64_t packed = get_file_size(path);
    if (get_is_idx(path)) {
        *c = (get_contents){.idx = true, .files = 1, .bytes = packed};
        return get_idx_check(path);
    }
    const int64_t by_size = packed > LEAST_LIMIT / 100 ? 100 * packed : LEAST_LIMIT;
    return scan_archive(path, max_size ? max_size : by_size, c);
}

void get_contents_free(get_contents *c) {
    free(c->top);
    c->top = NULL;
}
