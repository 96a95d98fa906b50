/* get_place.c -- the target folder: it is whole, or it is not there.
 *
 * Everything is put into a hidden folder beside the target, which one rename then makes the target.
 * What a killed run left in the hidden folder goes when the next run begins; a lock keeps two runs
 * apart. A folder that is in the way is never deleted: it moves aside. */
#define _XOPEN_SOURCE 700
#include "get.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* `path` made absolute and, where it exists, free of links and dots. */
static char *absolute(const char *path) {
    char *real = realpath(path, NULL);
    if (real) return real;
    struct stat st;
    if (!lstat(path, &st)) {
        get_fail("%s: %s", path, S_ISLNK(st.st_mode) ? "the link leads nowhere" : strerror(errno));
        return NULL;
    }
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (path[0] == '/') return get_strndup(path, n);
    char *cwd = realpath(".", NULL);
    if (!cwd) {
        get_fail("cannot find the current folder: %s", strerror(errno));
        return NULL;
    }
    char *full = get_format("%s/%.*s", cwd, (int)n, path);
    free(cwd);
    return full;
}

bool get_place_init(get_place *p, const char *target) {
    *p = (get_place){.lock_fd = -1};
    p->target = absolute(target);
    if (!p->target) return false;
    const char *base = get_basename(p->target);
    const int parent = (int)(base - p->target);
    if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
        return get_fail("%s cannot be a target folder", target);
    p->temp = get_format("%.*s.%s.taper-get", parent, p->target, base);
    p->lock = get_format("%s.lock", p->temp);
    return get_place_look(p);
}

bool get_place_look(get_place *p) {
    p->occupied = false;
    DIR *d = opendir(p->target);
    if (!d && errno == ENOENT) return true;
    if (!d && errno == ENOTDIR) return get_fail("%s is there and is not a folder", p->target);
    if (!d) return get_fail("cannot look into %s: %s", p->target, strerror(errno));
    for (struct dirent *e; !p->occupied && (e = readdir(d)) != NULL;)
        p->occupied = strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return true;
}

bool get_place_lock(get_place *p) {
    if (!get_make_parent(p->target)) return false;
    p->lock_fd = get_lock(p->lock);
    return p->lock_fd >= 0;
}

bool get_place_begin(get_place *p) {
    char *cwd = realpath(".", NULL);
    const bool here = cwd && !strcmp(cwd, p->target);
    free(cwd);
    if (here) return get_fail("the current folder cannot be replaced as a whole: say --to NAME");
    if (!get_remove_tree(p->temp)) return false;
    return !mkdir(p->temp, 0777) || get_fail("cannot make %s: %s", p->temp, strerror(errno));
}

bool get_move_aside(const char *path) {
    for (int i = 1; i < 1000; i++) {
        struct stat st;
        char *old = i == 1 ? get_format("%s.old", path) : get_format("%s.old%d", path, i);
        const bool is_free = lstat(old, &st) && errno == ENOENT;
        bool ok = false;
        if (is_free) {
            ok = !rename(path, old) ||
                 get_fail("cannot rename %s to %s: %s", path, old, strerror(errno));
            if (ok) get_say("%s was there; it is now %s", path, old);
        }
        free(old);
        if (is_free) return ok;
    }
    return get_fail("there are too many old copies beside %s", path);
}

bool get_place_commit(get_place *p) {
    if (get_stopped()) return get_fail_stopped();
    if (p->occupied && !get_move_aside(p->target)) return false;
    if (rename(p->temp, p->target))
        return get_fail("cannot rename %s to %s: %s", p->temp, p->target, strerror(errno));
    return get_sync_parent(p->target);
}

void get_place_end(get_place *p) {
    if (p->lock_fd >= 0) {
        get_remove_tree(p->temp);
        get_unlock(p->lock, p->lock_fd);
    }
    free(p->target);
    free(p->temp);
    free(p->lock);
    *p = (get_place){.lock_fd = -1};
}
