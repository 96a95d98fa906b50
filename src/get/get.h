/* get.h -- what the files of the program taper-get share; it does without libtaper.
 *
 * A data set comes to this machine in four steps that never overlap: find the archive (on this
 * machine, in the cache or over HTTP), check it (size, hash, every entry), unpack it into a folder
 * beside the target, rename that folder. Nothing is unpacked that was not checked, and the target
 * is whole or absent. What can fail returns false after get_fail() noted the line that says why. */
#ifndef TAPER_SRC_GET_H
#define TAPER_SRC_GET_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define GET_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GET_COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- what the command line asked for (get_main.c) ---- */
typedef struct get_opts {
    const char *what;   /* a known name, a URL or a local file */
    const char *to;     /* target folder; NULL: named after the data set, in the current folder */
    const char *from;   /* folder or URL that holds a known data set's files; NULL: its home */
    const char *sha256; /* what the file must hash to, 64 lower-case hex digits; NULL: not known */
    int64_t max_size;   /* most bytes that an archive may unpack to; 0: get_scan's rule */
    int64_t tries;      /* requests in a row that may bring nothing */
    double wait;        /* seconds before the second request; doubles */
    int64_t timeout;    /* seconds without data until a transfer counts as broken */
    bool force, refresh, json;
} get_opts;

/* ---- get_say.c: the only file that prints ---- */
void get_say_setup(bool json);
/* Note why this run fails. Returns false. */
bool get_fail(const char *fmt, ...) GET_PRINTF(1, 2);
bool get_fail_stopped(void); /* the reason is a signal */
const char *get_error(void);
/* One line on stdout: text, or with --json {"event":"note","text":...}. */
void get_say(const char *fmt, ...) GET_PRINTF(1, 2);
/* One JSON object: open, any number of fields, close. */
void get_json_open(const char *event);
void get_json_text(const char *key, const char *value);
void get_json_number(const char *key, int64_t value);
void get_json_bool(const char *key, bool value);
void get_json_close(void);
/* "3.2 MB", "14,434" and "1 file", with the help of `buf`. */
const char *get_size(char buf[32], int64_t bytes);
const char *get_count(char buf[32], int64_t n);
const char *get_files(char buf[32], int64_t n);

/* A signal came (Ctrl-C): finish nothing, clean up. */
bool get_stopped(void);
void get_catch_signals(void);
/* Sleeps; false when a signal ended it. */
bool get_pause(double seconds);
double get_now(void); /* seconds of a clock that only goes forward */

/* Bytes, percent, rate and time left: one line that rewrites itself on a terminal, a plain line
 * every ten seconds elsewhere. `total` is -1 when nobody knows it. */
typedef struct get_progress {
    const char *what;
    int64_t total, first, have;
    double start, last;
} get_progress;
void get_progress_start(get_progress *p, const char *what, int64_t have, int64_t total);
void get_progress_to(get_progress *p, int64_t have);
void get_progress_end(void);

/* ---- get_path.c: paths, folders, locks ---- */
char *get_format(const char *fmt, ...) GET_PRINTF(1, 2); /* yours to free; never NULL */
char *get_strndup(const char *s, size_t n);
const char *get_basename(const char *path); /* points into `path` */
/* What a data set from the file `name` is called: without .tgz, .tar.gz, .tar, .zip or .gz. */
char *get_stem(const char *name);
/* Which part a folder of this name holds, as taper train sees it. */
typedef enum get_part { GET_NO_PART, GET_TRAIN, GET_VALID, GET_TEST, GET_PARTS } get_part;
get_part get_part_named(const char *name, size_t n);
bool get_has_ending(const char *s, const char *ending); /* case does not matter */
char *get_cache_dir(void);                              /* NULL after get_fail() */
bool get_make_dirs(const char *path);
bool get_make_parent(const char *path);
bool get_remove_tree(const char *path);
int64_t get_file_size(const char *path); /* -1: not a regular file */
bool get_is_dir(const char *path);
bool get_copy_file(const char *from, const char *to); /* `to` must not exist */
bool get_sync_parent(const char *path);
/* Waits for other holders; -1 after get_fail(). The lock file goes when it is unlocked. */
int get_lock(const char *path);
void get_unlock(const char *path, int fd);

/* ---- get_digest.c: is this the file we want? ---- */
typedef struct get_want {
    int64_t bytes;      /* of the file, or of what it unpacks to; 0: any */
    const char *md5;    /* NULL: any */
    const char *sha256; /* NULL: any */
    bool unpacked;      /* bytes and md5 are those of the gunzipped data: any gzip of it is good */
    const char *name;   /* of the data set, for messages; NULL for a stranger's file */
} get_want;
bool get_sha256_file(const char *path, char hex[65]);
void get_sha256_text(const char *text, char hex[65]);
bool get_gunzips(const char *path); /* to the end, with the right check sums */
/* Size and hashes; the message gives what was found and what was expected. */
bool get_verify(const char *path, const get_want *want);

/* ---- get_idx.c: gzipped IDX files ---- */
typedef struct get_idx {
    int ndim;
    int64_t dim[8];
    int64_t item_bytes;
} get_idx;
bool get_idx_header(const char *path, get_idx *idx);
/* The header fits the data, to the last byte. */
bool get_idx_check(const char *path);
bool get_is_idx(const char *path);     /* judged by its first bytes */
int get_idx_classes(const char *path); /* different values in a file of labels; -1 on failure */

/* ---- get_archive.c: go through an archive without writing ---- */
typedef struct get_contents {
    bool idx;             /* not an archive: one gzipped IDX file */
    char *top;            /* folder that all entries share and that is left away; NULL: none */
    int64_t files, bytes; /* what there is to unpack */
    int64_t skipped;      /* entries that only macOS needs */
    int64_t taken, limit; /* bytes on the disk, an entry being a block at least; the most of it */
} get_contents;
/* Reads all of it and refuses, by name, what must not be unpacked: paths that leave the folder,
 * links, devices, more than `max_size` bytes (0: 100 times the archive, at least 256 MB). */
bool get_scan(const char *path, int64_t max_size, get_contents *c);
void get_contents_free(get_contents *c);

enum { GET_LONGEST_NAME = 4096 };
/* At an entry that passed: `name` is clean, relative and without the shared folder. */
typedef struct get_walker {
    struct archive *archive;
    struct archive_entry *entry;
    const char *path, *name;
    bool is_dir;
    int64_t counted;              /* bytes of this entry that `count` has already */
    get_contents count;           /* what was met so far */
    char clean[GET_LONGEST_NAME]; /* the name with the shared folder */
} get_walker;
typedef bool (*get_visit)(get_walker *w, void *ctx);
/* Calls visit for each file and folder. All checks are made again: the file may have changed. */
bool get_walk(const char *path, const get_contents *c, get_visit visit, void *ctx);
/* Note that the entry `name` must not be unpacked, for it `why`. Returns false. */
bool get_walk_refuse(const get_walker *w, const char *name, const char *why);
/* The next piece of the entry's data: 1, 0 at the end, -1 after get_fail(). */
int get_walk_data(get_walker *w, const void **data, size_t *n, int64_t *at);

/* ---- get_unpack.c ---- */
bool get_unpack(const char *path, const get_contents *c, const char *dir);
/* Does `dir` hold every file of the archive, byte for byte? Where not, get_error() says what it
 * lacks; it is also false where the archive cannot be read. */
bool get_compare(const char *path, const get_contents *c, const char *dir);

/* ---- get_fetch.c ---- */
typedef bool (*get_check)(const char *path, void *ctx);
typedef struct get_job {
    const get_opts *opts;
    const char *url, *path; /* path: where the file is kept once check(path, ctx) agreed */
    bool hashed;            /* check knows the file's hash, so a resumed file cannot be a mixture */
    int64_t bytes;          /* exact size when known, else 0 */
    int64_t most;           /* stop a server that sends more; 0: no limit */
    get_check check;
    void *ctx;
} get_job;
bool get_fetch(const get_job *job);
/* Is it "scheme://..."? */
bool get_is_url(const char *s);
/* The last part of a URL's path, decoded; NULL if there is none that can name a file. */
char *get_url_name(const char *url);
/* The path in a file:// URL; NULL after get_fail(). */
char *get_file_url(const char *url);

/* ---- get_place.c: the target folder, whole or absent ---- */
typedef struct get_place {
    char *target; /* absolute */
    char *temp;   /* a folder beside it, the target to be */
    char *lock;
    int lock_fd;   /* -1: not locked */
    bool occupied; /* the target is there and not empty */
} get_place;
bool get_place_init(get_place *p, const char *target);
bool get_place_look(get_place *p);   /* sets p->occupied */
bool get_place_lock(get_place *p);   /* one taper-get at a time */
bool get_place_begin(get_place *p);  /* makes p->temp, empty */
bool get_place_commit(get_place *p); /* an occupied target moves aside first */
void get_place_end(get_place *p);    /* removes what was not committed; unlocks; frees */
/* Renames `path` to path.old, path.old2 ...: nothing of the user's is ever deleted. */
bool get_move_aside(const char *path);

/* ---- get_look.c: what is there ---- */
typedef struct get_summary {
    int64_t files, bytes, images, train, valid, test;
    int64_t classes;   /* 0: not known */
    const char *lacks; /* what taper train would miss; NULL: nothing */
} get_summary;
bool get_look(const char *dir, get_summary *s);
/* "14,434 images in 2 classes (train 12,396, valid 2,038)"; yours to free. */
char *get_summary_text(const get_summary *s);

/* ---- get_known.c ---- */
typedef struct get_known_file {
    const char *name;
    int64_t packed;  /* bytes as published */
    int64_t bytes;   /* what counts: of the archive, or of the unpacked IDX file */
    const char *md5; /* of the same */
} get_known_file;
typedef struct get_known {
    const char *name, *title, *base;
    const char *local, *package; /* a distribution's package and its folder; NULL: none */
    int nfiles;                  /* 1: an archive; 4: IDX files that stay as they are */
    get_known_file file[4];
} get_known;
extern const get_known get_known_sets[];
extern const int get_known_count;
const get_known *get_known_find(const char *name);
const get_known *get_known_guess(const char *name); /* a near miss; NULL: none */
get_want get_known_want(const get_known *k, int i);
int64_t get_known_bytes(const get_known *k);

/* ---- get_run.c ---- */
enum { GET_DONE, GET_FAILED, GET_USAGE }; /* exit codes */
int get_run(const get_opts *o);
#endif
