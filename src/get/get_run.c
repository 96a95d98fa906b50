/* get_run.c -- from a word on the command line to a folder of data.
 *
 * A known name, a URL and a local file differ in where the archive comes from and in what is known
 * about it beforehand. From then on they go one way: checked, put beside the target, renamed. */
#define _XOPEN_SOURCE 700
#include "get.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What a file must be, and what was found in it. */
typedef struct check {
    get_want want;
    bool archive; /* look at the entries too */
    int64_t max_size;
    get_contents contents;
} check;

static bool check_file(const char *path, void *ctx) {
    check *c = ctx;
    get_contents_free(&c->contents);
    return get_verify(path, &c->want) && (!c->archive || get_scan(path, c->max_size, &c->contents));
}

/* ---- the end of every way: the target folder ---- */

/* A data set that is ready to be put somewhere. */
typedef struct ready {
    const char *name, *dir;                    /* dir: as the user wrote it */
    const char *archive;                       /* where it is kept */
    const char *sha256;                        /* NULL: there is more than one file */
    bool (*whole)(const char *dir, void *ctx); /* is it in `dir` already? */
    bool (*fill)(const char *dir, void *ctx);
    void *ctx;
} ready;

static char *shell_word(const char *s) {
    const char *safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+:,@%=-";
    if (s[0] == '-') return get_format("./%s", s);
    if (*s && strspn(s, safe) == strlen(s)) return get_format("%s", s);
    return strchr(s, '\'') ? get_format("\"%s\"", s) : get_format("'%s'", s);
}

static void report_json(const ready *r, bool already, const get_summary *s, const char *next) {
    get_json_open("done");
    get_json_text("name", r->name);
    get_json_text("dir", r->dir);
    get_json_text("archive", r->archive);
    if (r->sha256) get_json_text("sha256", r->sha256);
    get_json_bool("already", already);
    get_json_number("files", s->files);
    get_json_number("bytes", s->bytes);
    get_json_number("images", s->images);
    get_json_number("classes", s->classes);
    get_json_number("train", s->train);
    get_json_number("valid", s->valid);
    get_json_number("test", s->test);
    if (s->lacks) get_json_text("lacks", s->lacks);
    if (!s->lacks) get_json_text("next", next);
    get_json_close();
}

/* The last line: what is there, and what to do with it. */
static bool report(const get_opts *o, const ready *r, bool already) {
    get_summary s;
    if (!get_look(r->dir, &s)) return false;
    char *word = shell_word(r->dir), *next = get_format("taper train %s", word);
    char *text = get_summary_text(&s);
    const char *state = already ? " is already there" : "";
    if (o->json) report_json(r, already, &s, next);
    if (!o->json && !s.lacks)
        get_say("%s%s: %s in %s. Next: %s", r->name, state, text, r->dir, next);
    if (!o->json && s.lacks)
        get_say("%s%s: %s in %s. To train, it lacks %s.", r->name, state, text, r->dir, s.lacks);
    free(word);
    free(next);
    free(text);
    return true;
}

/* 1: it is there already, 0: there is room for it, -1: something else is in its place. */
static int look_first(const get_opts *o, get_place *p, const ready *r) {
    if (!get_place_look(p)) return -1;
    if (!p->occupied || o->force) return 0;
    if (r->whole(p->target, r->ctx)) return 1;
    if (get_stopped()) return -1;
    get_fail("%s is there, but it is not %s: %s; --force moves it aside, --to DIR goes elsewhere",
             r->dir, r->name, get_error());
    return -1;
}

static bool put(get_place *p, const ready *r) {
    return get_place_begin(p) && r->fill(p->temp, r->ctx) && get_place_commit(p);
}

static bool install(const get_opts *o, const ready *r) {
    get_place p;
    bool ok = get_place_init(&p, r->dir);
    int there = ok ? look_first(o, &p, r) : -1;
    if (there == 0) { /* look again under the lock: another run may have put it there */
        ok = get_place_lock(&p);
        there = ok ? look_first(o, &p, r) : -1;
    }
    ok = there == 1 || (there == 0 && put(&p, r));
    get_place_end(&p);
    return ok && report(o, r, there == 1);
}

/* ---- archives ---- */

typedef struct packed {
    const char *path;
    const get_contents *contents;
} packed;

static bool archive_is_in(const char *dir, void *ctx) {
    const packed *a = ctx;
    return get_compare(a->path, a->contents, dir);
}

static bool archive_fill(const char *dir, void *ctx) {
    const packed *a = ctx;
    return get_unpack(a->path, a->contents, dir);
}

static bool install_archive(const get_opts *o, const char *name, const char *path,
                            const get_contents *c) {
    char hex[65], files[32], size[32];
    char *full = realpath(path, NULL); /* unpacking changes the current folder */
    if (!full) return get_fail("%s: %s", path, strerror(errno));
    packed a = {full, c};
    const ready r = {name, o->to ? o->to : name, full, hex, archive_is_in, archive_fill, &a};
    get_say("%s: %s, %s unpacked", get_basename(path), get_files(files, c->files),
            get_size(size, c->bytes));
    if (c->skipped)
        get_say("%s: %s entries that only macOS needs are left out", get_basename(path),
                get_count(files, c->skipped));
    const bool ok = get_sha256_file(full, hex) && install(o, &r);
    free(full);
    return ok;
}

/* ---- one IDX file: it joins what is in the folder ---- */

static bool same_file(const char *a, const char *b) {
    char hex_a[65], hex_b[65];
    return get_sha256_file(a, hex_a) && get_sha256_file(b, hex_b) && !strcmp(hex_a, hex_b);
}

static bool put_idx(const get_opts *o, const char *path, const char *dest, const char *temp,
                    bool *already) {
    const bool there = !access(dest, F_OK);
    *already = there && !o->force && same_file(path, dest);
    if (*already) return true;
    if (there && !o->force)
        return get_fail("%s is there and differs; --force moves it aside", dest);
    unlink(temp); /* from a killed run */
    if (!get_copy_file(path, temp)) return false;
    if (there && !get_move_aside(dest)) return unlink(temp), false;
    return !rename(temp, dest) || get_fail("cannot make %s: %s", dest, strerror(errno));
}

static bool install_idx(const get_opts *o, const char *path) {
    bool already = false;
    char hex[65];
    const char *file = get_basename(path);
    char *stem = get_stem(file);
    const ready r = {.name = file, .dir = o->to ? o->to : stem, .archive = path, .sha256 = hex};
    char *dest = get_format("%s/%s", r.dir, file);
    char *temp = get_format("%s/.%s.taper-get", r.dir, file);
    const bool fresh = access(r.dir, F_OK) != 0;
    bool ok = get_sha256_file(path, hex) && get_make_dirs(r.dir) &&
              put_idx(o, path, dest, temp, &already);
    if (!ok && fresh) rmdir(r.dir);
    ok = ok && report(o, &r, already);
    free(stem);
    free(dest);
    free(temp);
    return ok;
}

static bool install_any(const get_opts *o, const char *name, const char *path,
                        const get_contents *c) {
    return c->idx ? install_idx(o, path) : install_archive(o, name, path, c);
}

/* ---- a local file, a URL ---- */

static bool run_local(const get_opts *o, const char *path) {
    check c = {.want = {.sha256 = o->sha256}, .archive = true, .max_size = o->max_size};
    char *name = get_stem(get_basename(path));
    const bool ok = check_file(path, &c) && install_any(o, name, path, &c.contents);
    get_contents_free(&c.contents);
    free(name);
    return ok;
}

/* The file at `path` in the cache, fetched if need be. */
static bool from_cache(const get_opts *o, const char *url, const char *path, int64_t bytes,
                       int64_t most, check *c) {
    const get_job job = {.opts = o,
                         .url = url,
                         .path = path,
                         .bytes = bytes,
                         .most = most,
                         .hashed = c->want.md5 || c->want.sha256,
                         .check = check_file,
                         .ctx = c};
    if (!o->refresh && get_file_size(path) >= 0) {
        if (check_file(path, c)) {
            get_say("%s: from the cache, %s", get_basename(path), path);
            return true;
        }
        if (get_stopped()) return false;
        get_say("%s; fetching it again", get_error());
    }
    get_say("%s: fetching %s", get_basename(path), url);
    return get_fetch(&job);
}

static bool run_url(const get_opts *o, const char *url) {
    char hex[65];
    char *cache = get_cache_dir();
    if (!cache) return false;
    char *file = get_url_name(url);
    get_sha256_text(url, hex); /* files of the same name from elsewhere are other files */
    char *path = get_format("%s/%.16s/%s", cache, hex, file ? file : "archive");
    char *name = get_stem(get_basename(path));
    check c = {.want = {.sha256 = o->sha256}, .archive = true, .max_size = o->max_size};
    bool ok = from_cache(o, url, path, 0, 0, &c);
    if (ok && !o->sha256) {
        ok = get_sha256_file(path, hex);
        if (ok) get_say("%s: sha256 %s (--sha256 HEX compares)", name, hex);
    }
    ok = ok && install_any(o, name, path, &c.contents);
    get_contents_free(&c.contents);
    free(cache);
    free(file);
    free(path);
    free(name);
    return ok;
}

/* ---- known names ---- */

/* A known data set's files, each where it lies on this machine. */
typedef struct known_files {
    const get_known *known;
    char *path[4];
    check check; /* of the file looked at last */
} known_files;

static void expect(known_files *f, const get_opts *o, int i) {
    f->check.want = get_known_want(f->known, i);
    f->check.archive = f->known->nfiles == 1;
    f->check.max_size = o->max_size;
}

static void set_path(known_files *f, int i, char *path) {
    free(f->path[i]);
    f->path[i] = path;
}

static bool all_from_folder(known_files *f, const get_opts *o, const char *dir) {
    for (int i = 0; i < f->known->nfiles; i++) {
        set_path(f, i, get_format("%s/%s", dir, f->known->file[i].name));
        expect(f, o, i);
        if (!check_file(f->path[i], &f->check)) return false;
    }
    return true;
}

/* Where a distribution's packages put data sets: /usr/share/datasets, or TAPER_DATASETS. */
static bool all_from_package(known_files *f, const get_opts *o) {
    const char *base = getenv("TAPER_DATASETS");
    const get_known *k = f->known;
    char *dir = get_format("%s/%s", base && *base ? base : "/usr/share/datasets", k->local);
    bool ok = false;
    if (!get_is_dir(dir)) {
        get_say("%s: not in %s (Debian's package %s puts it there)", k->name, dir, k->package);
    } else {
        ok = all_from_folder(f, o, dir);
        if (ok) get_say("%s: from %s (Debian's package %s)", k->name, dir, k->package);
        if (!ok && !get_stopped()) get_say("%s; looking elsewhere", get_error());
    }
    free(dir);
    return ok;
}

static bool one_from_cache(known_files *f, const get_opts *o, const char *cache, int i) {
    const get_known *k = f->known;
    const get_known_file *file = &k->file[i];
    const bool single = k->nfiles == 1;
    const char *base = o->from ? o->from : k->base;
    const char *slash = base[strlen(base) - 1] == '/' ? "" : "/";
    char *url = get_format("%s%s%s", base, slash, file->name);
    set_path(f, i,
             get_format("%s/%s%s%s", cache, single ? "" : k->name, single ? "" : "/", file->name));
    expect(f, o, i);
    /* no gzip of an IDX file is longer than the file and a little more */
    const bool ok = from_cache(o, url, f->path[i], single ? file->bytes : 0,
                               single ? 0 : file->bytes + 65536, &f->check);
    free(url);
    return ok;
}

static bool find_files(known_files *f, const get_opts *o) {
    if (o->from && !get_is_url(o->from)) return all_from_folder(f, o, o->from);
    if (o->from && !strncasecmp(o->from, "file:", 5)) {
        char *dir = get_file_url(o->from);
        const bool ok = dir && all_from_folder(f, o, dir);
        free(dir);
        return ok;
    }
    if (!o->from && f->known->local && all_from_package(f, o)) return true;
    if (get_stopped()) return get_fail_stopped();
    char *cache = get_cache_dir();
    bool ok = cache != NULL;
    for (int i = 0; ok && i < f->known->nfiles; i++) ok = one_from_cache(f, o, cache, i);
    free(cache);
    return ok;
}

static bool idx_set_is_in(const char *dir, void *ctx) {
    const known_files *f = ctx;
    bool ok = true;
    for (int i = 0; ok && i < f->known->nfiles; i++) {
        char *path = get_format("%s/%s", dir, f->known->file[i].name);
        const get_want want = get_known_want(f->known, i);
        ok = get_verify(path, &want);
        free(path);
    }
    return ok;
}

static bool idx_set_fill(const char *dir, void *ctx) {
    const known_files *f = ctx;
    bool ok = true;
    for (int i = 0; ok && i < f->known->nfiles; i++) {
        char *path = get_format("%s/%s", dir, f->known->file[i].name);
        ok = get_copy_file(f->path[i], path);
        free(path);
    }
    return ok;
}

/* The folder holds the very files, so it is looked at before anything is fetched. */
static bool install_idx_set(const get_opts *o, known_files *f) {
    const get_known *k = f->known;
    ready r = {.name = k->name,
               .dir = o->to ? o->to : k->name,
               .whole = idx_set_is_in,
               .fill = idx_set_fill,
               .ctx = f};
    get_place p;
    const int there = get_place_init(&p, r.dir) ? look_first(o, &p, &r) : -1;
    get_place_end(&p);
    r.archive = r.dir;
    if (there) return there == 1 && report(o, &r, true);
    if (!find_files(f, o)) return false;
    const char *first = f->path[0];
    char *kept = get_strndup(first, (size_t)(get_basename(first) - first - 1));
    r.archive = kept;
    const bool ok = install(o, &r);
    free(kept);
    return ok;
}

static bool run_known(const get_opts *o, const get_known *k) {
    known_files f = {.known = k};
    const bool ok = k->nfiles > 1 ? install_idx_set(o, &f)
                                  : find_files(&f, o) &&
                                        install_archive(o, k->name, f.path[0], &f.check.contents);
    get_contents_free(&f.check.contents);
    for (int i = 0; i < k->nfiles; i++) free(f.path[i]);
    return ok;
}

/* ---- which way? ---- */

static int unknown(const char *what) {
    if (strchr(what, '/') || get_has_ending(what, ".gz") || get_has_ending(what, ".tgz") ||
        get_has_ending(what, ".tar") || get_has_ending(what, ".zip")) {
        get_fail("%s: there is no such file", what);
        return GET_FAILED;
    }
    const get_known *near = get_known_guess(what);
    get_fail("%s is neither a known data set nor a file here%s%s%s", what,
             near ? "; did you mean " : "", near ? near->name : "", near ? "?" : "");
    return GET_USAGE;
}

static int run_unknown(const get_opts *o) {
    const char *what = o->what;
    bool ok;
    if (!get_is_url(what)) {
        if (get_is_dir(what)) {
            get_fail("%s is a folder already: taper train %s", what, what);
            return GET_USAGE;
        }
        if (access(what, F_OK)) return unknown(what);
        ok = run_local(o, what);
    } else if (!strncasecmp(what, "file:", 5)) {
        char *path = get_file_url(what);
        ok = path && run_local(o, path);
        free(path);
    } else if (!strncasecmp(what, "http:", 5) || !strncasecmp(what, "https:", 6)) {
        ok = run_url(o, what);
    } else {
        get_fail("%s: only http, https and file are known here", what);
        return GET_USAGE;
    }
    return ok ? GET_DONE : GET_FAILED;
}

int get_run(const get_opts *o) {
    const get_known *k = get_known_find(o->what);
    if (k && o->sha256) {
        get_fail("--sha256 is for a URL or a file; what %s must hash to is known", k->name);
        return GET_USAGE;
    }
    if (!k && o->from) {
        get_fail("--from is for a known name; say the URL or the file itself");
        return GET_USAGE;
    }
    if (k) return run_known(o, k) ? GET_DONE : GET_FAILED;
    return run_unknown(o);
}
