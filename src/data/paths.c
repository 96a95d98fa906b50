/* paths.c -- what a folder holds, as a sorted list of paths: Path.ls().sorted(). */
#include "base/base.h"
#include "taper/data.h"

struct tp_paths {
    int64_t n;
    char *path[];
};

tp_paths *tp_ls(const char *dir) {
    if (!dir) return tp__error_null("ls"), NULL;
    tp__os_list names = {0};
    if (tp__os_listdir(dir, &names)) return tp_error_prefix("ls"), NULL;
    tp_paths *p = tp__calloc(1, sizeof *p + (size_t)names.n * sizeof *p->path);
    while (p && p->n < names.n && (p->path[p->n] = tp__os_join(dir, names.name[p->n]))) p->n++;
    if (p && p->n < names.n) {
        tp_paths_free(p);
        p = NULL;
    }
    tp__os_list_free(&names);
    return p;
}

void tp_paths_free(tp_paths *p) {
    if (!p) return;
    for (int64_t i = 0; i < p->n; i++) tp__mfree(p->path[i]);
    tp__mfree(p);
}

int64_t tp_paths_len(const tp_paths *p) {
    return p ? p->n : (tp__error_null("paths_len"), -1);
}

const char *tp_paths_at(const tp_paths *p, int64_t i) {
    if (!p) return tp__error_null("paths_at"), NULL;
    const int64_t at = i < 0 ? i + p->n : i;
    if (at >= 0 && at < p->n) return p->path[at];
    return tp__fail(TP_EINDEX, "paths_at: there is no path %lld among %lld", (long long)i,
                    (long long)p->n);
}
