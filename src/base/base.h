/* base.h -- what the rest of the library may use of this room. Knows no tensors.
 *
 * Errors and scopes are per thread; the allocator, the pool, the ISA level and the log are the only
 * process-wide state of taper. */
#ifndef TAPER_SRC_BASE_H
#define TAPER_SRC_BASE_H
#ifndef TAPER_PLAIN
#define TAPER_PLAIN /* inside the library every call is the plain function */
#endif
#include "taper/base.h"
#include <stdatomic.h>
#include <stdio.h>

/* Is this compiled with AddressSanitizer? */
#if defined(__SANITIZE_ADDRESS__)
#define TP__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TP__ASAN 1
#endif
#endif
#ifndef TP__ASAN
#define TP__ASAN 0
#endif

#define TP__LIKELY(x) __builtin_expect(!!(x), 1)
#define TP__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TP__APART __attribute__((noinline)) /* so that what calls it seldom saves no registers */
#define TP__INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define TP__UNROLL /* does so by itself */
#else
#define TP__UNROLL _Pragma("GCC unroll 16")
#endif
#define TP__COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- arithmetic ---- */
static inline int64_t tp__least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t tp__most(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline int64_t tp__parts(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}
static inline int64_t tp__round_up(int64_t n, int64_t to) {
    return tp__parts(n, to) * to;
}

/* ---- local.c: what every op touches of its thread, in one block ---- */
typedef void (*tp__release_fn)(void *ptr);
typedef struct tp__entry { /* of a scope: release(ptr) when it ends */
    tp__release_fn release;
    void *ptr;
} tp__entry;
typedef struct tp__frame { /* an open scope: the entries from `mark` up */
    int64_t mark;
    uint32_t generation;
    bool grad;
} tp__frame;
typedef struct tp__free_list { /* blocks of one size that this thread freed */
    struct tp__block *head;
    int64_t room; /* how many more it takes */
} tp__free_list;
enum { TP__FRAMES = 16, TP__SMALL_CLASSES = 37 };
enum { TP__LIVE_TENSORS, TP__LIVE_STORAGES, TP__LIVE_NODES, TP__LIVE_BYTES, TP__LIVE_COUNT };

typedef struct tp__local {
    tp__entry *entry; /* scope.c */
    int64_t n, cap;
    tp__frame *frame; /* frame 0 is the root scope */
    uint32_t depth, frames;
    uint32_t generation;                    /* of the newest scope */
    tp__free_list small[TP__SMALL_CLASSES]; /* alloc.c */
    _Atomic int64_t live[TP__LIVE_COUNT];   /* written by this thread, read by all */
    int64_t made;                           /* tensors so far: how far this thread has come */
    struct tp__local *next, *prev;          /* alloc.c's list of threads */
    tp__frame first_frames[TP__FRAMES];
} tp__local;

/* A variable that an op reads. In a shared library this spares the call that finds thread-local
 * variables; such variables share some hundred bytes of the process, so only few and small ones. */
#define TP__THREAD_HOT _Thread_local __attribute__((tls_model("initial-exec")))
extern TP__THREAD_HOT tp__local *tp__local_here; /* NULL before the first use */
tp__local *tp__local_begin(void);
/* This thread's block; never NULL. Fetch it once in a function. */
static inline tp__local *tp__here(void) {
    tp__local *me = tp__local_here;
    return TP__LIKELY(me != NULL) ? me : tp__local_begin();
}

/* ---- error.c ---- */
/* For a call that got NULL: leaves a pending error alone (and seals it against call sites), or sets
 * ENULL "what: an argument is NULL". Returns the pending code. */
tp_status tp__error_null(const char *what);
/* As tp_error_set, but returns NULL, for functions that return objects. */
void *tp__fail(tp_status code, const char *fmt, ...) TP_PRINTF(2, 3);
/* ENOMEM, and how many bytes were wanted, unless that is 0: unknown. Allocates nothing. Returns
 * NULL. */
void *tp__fail_nomem(size_t bytes);
/* A copy of the pending error, to carry it from a worker to its consumer. */
typedef struct tp__error {
    tp_status code;
    bool sited; /* already names a call site, or must not get one */
    char text[512];
} tp__error;
void tp__error_take(tp__error *e);      /* copy out and clear */
void tp__error_put(const tp__error *e); /* make it this thread's pending error */

/* ---- opts.c ---- */
/* A caller's options struct (its first member is `size_t size`) copied over zeros: what both sides
 * know of it. NULL gives all zeros, the defaults. EVALUE if size was left 0. */
bool tp__opts(const char *what, void *dst, size_t dst_size, const void *opts);

/* ---- scope.c ---- */
bool tp__scope_grow(tp__local *me, int64_t more); /* room for so many entries, or ENOMEM */
/* The innermost scope will call release(ptr) when it ends. On ENOMEM it calls it at once and
 * returns false with the error set. */
static inline bool tp__scope_push(tp__local *me, tp__release_fn release, void *ptr) {
    if (TP__UNLIKELY(me->n == me->cap && !tp__scope_grow(me, 1))) {
        release(ptr);
        return false;
    }
    me->entry[me->n++] = (tp__entry){release, ptr};
    return true;
}
/* tp_grad_enabled(), inline. */
static inline bool tp__records(const tp__local *me) {
    return me->frame[me->depth].grad;
}
/* Release ptr now if it is among the newest few entries of the innermost scope: for temporaries. */
bool tp__scope_drop(void *ptr);
/* Is ptr an entry of the innermost scope? */
bool tp__scope_holds(const void *ptr);
/* Every entry of `s` and of the scopes inside it for which moves() is true goes to the parent of
 * `s`. moves() touches no scope. */
tp_status tp__scope_escape(tp_scope s, bool (*moves)(const tp__entry *e));
/* Entries in all open scopes of this thread: for tests. */
int64_t tp__scope_entries(void);
void tp__scopes_end(tp__local *me); /* all of them, the root too; and their room */

/* ---- alloc.c ---- */
/* Blocks aligned to 64 bytes, uninitialised, from a cache; NULL and ENOMEM when there is none.
 * tp__free wants the same size again; it takes NULL. For tensors' storage and hot small objects. */
void *tp__alloc(size_t bytes);
void tp__free(void *p, size_t bytes);
/* Ordinary objects (modules, loaders, names): zeroed, with ENOMEM set on failure. */
void *tp__calloc(size_t count, size_t size);
void *tp__realloc(void *p, size_t bytes); /* p stays valid on failure */
void tp__mfree(void *p);
char *tp__strdup(const char *s);
char *tp__strndup(const char *s, size_t n);
/* Figures behind tp_memory_now(): n more of what TP__LIVE_... says. */
static inline void tp__live_add(tp__local *me, int which, int64_t n) {
    const int64_t now = atomic_load_explicit(&me->live[which], memory_order_relaxed);
    atomic_store_explicit(&me->live[which], now + n, memory_order_relaxed);
}
void tp__alloc_thread_begin(tp__local *me);
void tp__alloc_thread_end(tp__local *me); /* give this thread's cache back */
/* Test hooks. Fail the n-th allocation from now (0: none); fill fresh blocks with 0xA5;
 * calls of the system's malloc made so far. */
void tp__alloc_fail_at(int64_t n);
bool tp__alloc_failed(void); /* did the armed failure happen? */
void tp__alloc_poison(bool on);
int64_t tp__alloc_system_calls(void);

/* ---- rng.c ---- */
/* The next n draws of 32 bits. */
void tp__rng_words(tp_rng *rng, uint32_t *out, int64_t n);
/* torch's float uniform_ (fmaf(u, b - a, a), u of 24 bits) and double uniform_ (53 bits). */
void tp__rng_uniform_f32(tp_rng *rng, float *out, int64_t n, double a, double b);
void tp__rng_uniform_f64(tp_rng *rng, double *out, int64_t n, double a, double b);
/* One double of torch's scalar normal recipe, with its cache (chapter: randn of fewer than 16). */
double tp__rng_normal(tp_rng *rng);
/* The whole state as words: mt19937's 624, position, whether a normal is cached, its bits (2). */
enum { TP__RNG_WORDS = 628 };
void tp__rng_get_words(const tp_rng *rng, uint32_t w[TP__RNG_WORDS]);
bool tp__rng_set_words(tp_rng *rng, const uint32_t w[TP__RNG_WORDS]); /* false: not a state */

void tp__rng_thread_end(void); /* free this thread's default generator */

/* ---- threads.c ---- */
/* Call fn(ctx, tile) once for each tile in [0, ntiles), on up to tp_get_num_threads() threads that
 * claim tiles from a counter. What a tile computes may depend on its number only, never on the
 * thread. Runs alone where the pool is busy, has one thread, or ntiles < 2. fn must not set
 * errors. */
typedef void (*tp__tile_fn)(void *ctx, int64_t tile);
void tp__parallel(int64_t ntiles, tp__tile_fn fn, void *ctx);
/* How many would take part: one while other programs want the processors of the others. */
int tp__threads_now(void);
/* Has this thread's small work been found to be done sooner without others? For tests. */
bool tp__threads_alone(void);
/* Tiles for the pool's threads that would otherwise wait for their caller's next job; false: there
 * are none, or somebody else has their spare time. It is given back by tp__spare_end, which waits
 * for tiles that were begun and says how many were not: the first ones, [0, result). */
bool tp__spare_begin(int64_t ntiles, tp__tile_fn fn, void *ctx);
int64_t tp__spare_end(void);
/* No more of these tiles are begun, and those that were are done. Any thread may ask for it. */
void tp__spare_stop(void);

/* A bounded set of worker threads for the loader: plain wrappers so that only base touches
 * pthreads. */
typedef struct tp__thread tp__thread;
tp__thread *tp__thread_start(void (*fn)(void *ctx), void *ctx); /* NULL and an error on failure */
void tp__thread_join(tp__thread *t);                            /* also frees it; NULL is fine */
typedef struct tp__mutex tp__mutex;                             /* a mutex with one condition */
tp__mutex *tp__mutex_new(void);
void tp__mutex_free(tp__mutex *m);
void tp__mutex_lock(tp__mutex *m);
void tp__mutex_unlock(tp__mutex *m);
void tp__mutex_wait(tp__mutex *m); /* as pthread_cond_wait */
void tp__mutex_wake(tp__mutex *m); /* as pthread_cond_broadcast */

/* ---- cpu.c ---- */
typedef enum { TP__ISA_BASE, TP__ISA_V3, TP__ISA_V4, TP__ISA_COUNT } tp__isa;
tp__isa tp__cpu_isa(void); /* best level this processor has, lowered by TAPER_ISA */
const char *tp__isa_name(tp__isa isa);
void tp__cpu_pause(void); /* a breath in a loop that spins */
/* How this thread rounds, and whether it flushes denormal numbers; 0 where that is not known. */
uint32_t tp__cpu_rounding(void);
void tp__cpu_set_rounding(uint32_t r); /* as tp__cpu_rounding gave it */
/* How many multiply-adds of its widest vectors this processor begins in a clock. */
typedef enum { TP__PACE_ONE, TP__PACE_TWO, TP__PACE_COUNT } tp__pace;
tp__pace tp__cpu_pace(void);
void tp__cpu_set_pace(int pace); /* for tests; -1: as it is */
int tp__cpu_count(void);         /* affinity and cgroup quota respected; at least 1 */
int64_t tp__cpu_cache(void);     /* bytes of the last level, which may be shared; 0: unknown */
void tp__cpu_set_cache(int64_t bytes); /* for tests; -1: as it is */
/* Threads worth starting under the CPU quotas of the cgroups listed in a /proc/self/cgroup, whose
 * tree is mounted at `mount`; 0: no limit. */
int tp__cpu_quota(const char *cgroups, const char *mount);

/* ---- os.c: every call that differs between systems ---- */
double tp__os_now(void); /* monotonic seconds */
/* Whole file into one malloc-like block (tp__mfree it), with a NUL behind the last byte. EIO names
 * path and reason. A file larger than `limit` bytes is EFORMAT (0: no limit). */
void *tp__os_read_file(const char *path, size_t limit, size_t *size);
/* The same into a buffer that is used again and again: it grows, and keeps its room on failure.
 * Zero it first. For thousands of small files that a folder lists: a pipe or a device among them is
 * EIO, and is not waited for. */
typedef struct tp__os_buffer {
    char *data;
    size_t size, cap;
} tp__os_buffer;
tp_status tp__os_read_buffer(const char *path, size_t limit, tp__os_buffer *b);
void tp__os_buffer_free(tp__os_buffer *b);
/* Write atomically: temporary file beside `path`, fsync, rename, fsync of the folder. The writer is
 * called once; false from it means failure (errno or a pending error tells). Nothing is left behind
 * on failure, and an old `path` stays as it was. */
tp_status tp__os_write_file(const char *path, bool (*writer)(FILE *f, void *ctx), void *ctx);
typedef enum { TP__OS_NONE, TP__OS_FILE, TP__OS_DIR, TP__OS_OTHER } tp__os_kind;
tp__os_kind tp__os_stat(const char *path, int64_t *size); /* follows links; size may be NULL */
/* Names in a folder without "." and "..", sorted as strings of bytes; frees with
 * tp__os_list_free. */
typedef struct tp__os_list {
    char **name;
    int64_t n;
} tp__os_list;
tp_status tp__os_listdir(const char *path, tp__os_list *out);
void tp__os_list_free(tp__os_list *l);
/* dir + "/" + name, tp__mfree it. */
char *tp__os_join(const char *dir, const char *name);

/* ---- utf8.c ---- */
bool tp__utf8_valid(const char *text);
bool tp__utf8_printable(const char *text); /* also free of control characters */
/* text itself if it is printable, else a copy in room with the other bytes as \xNN, cut to size. */
const char *tp__utf8_show(const char *text, char *room, size_t size);

/* ---- log.c ---- */
void tp__log(const char *fmt, ...) TP_PRINTF(1, 2);

#endif
