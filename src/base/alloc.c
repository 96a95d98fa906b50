/* alloc.c -- blocks aligned to 64 bytes, from caches, and the counters behind tp_memory_now().
 *
 * Sizes are rounded to classes (four to a doubling). Small blocks are kept in lists of the thread
 * that frees them, without a lock; large ones, and what overflows a thread's lists, in lists shared
 * under one mutex. A steady training loop therefore calls the system's malloc never.
 * TAPER_ALLOC=plain and AddressSanitizer builds bypass the caches, so that memory checkers see
 * every block. */
#define _POSIX_C_SOURCE 200809L
#include "base/base.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGN = 64,
    STEPS = 4,              /* classes per doubling */
    SMALL_CLASSES = 10 * 4, /* 64 B .. 64 KiB: kept per thread */
    CLASSES = 40 * 4,       /* .. 64 TiB */
    MOST_KEPT = 2048        /* a thread keeps so many blocks of 64 B, half as many of 128 B, ... */
};
static const size_t MOST = (size_t)1 << 44;           /* no single block is larger */
static const size_t SHARED_BYTES = (size_t)512 << 20; /* all shared lists together */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

typedef struct block {
    struct block *next;
} block;
typedef struct list {
    block *head;
    int64_t n;
} list;

enum { LIVE_TENSORS, LIVE_STORAGES, LIVE_NODES, LIVE_BYTES, LIVE_COUNT };
typedef struct counters {
    _Atomic int64_t n[LIVE_COUNT]; /* written by one thread, read by all */
    struct counters *next, *prev;
} counters;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static list shared[CLASSES];
static size_t shared_bytes;
static counters *registry;           /* of live threads */
static int64_t departed[LIVE_COUNT]; /* of threads that ended */
static _Atomic int64_t fail_at, system_calls;
static _Atomic bool failed, poison;
static _Atomic bool plain; /* no caches */
static _Atomic int slow =
    -1; /* any of plain, poison, an armed failure; -1: TAPER_ALLOC not read yet */

static _Thread_local list mine[SMALL_CLASSES];
static _Thread_local counters live;
static _Thread_local bool listed;

static void set_slow(void) {
    if (atomic_load(&slow) < 0) {
        const char *e = getenv("TAPER_ALLOC");
        atomic_store(&plain, SANITIZED || (e && !strcmp(e, "plain")));
    }
    atomic_store(&slow, atomic_load(&plain) || atomic_load(&poison) || atomic_load(&fail_at));
}
/* Is anything out of the ordinary asked for? One load where nothing is. */
static bool is_slow(void) {
    if (TP__LIKELY(!atomic_load_explicit(&slow, memory_order_relaxed))) return false;
    if (atomic_load(&slow) < 0) set_slow();
    return atomic_load(&slow);
}

/* ---- counters -------------------------------------------------------------------------------- */

static void list_thread(void) {
    pthread_mutex_lock(&lock);
    live.next = registry;
    live.prev = NULL;
    if (registry) registry->prev = &live;
    registry = &live;
    pthread_mutex_unlock(&lock);
    listed = true;
}
static void bump(counters *c, int which, int64_t n) {
    const int64_t now = atomic_load_explicit(&c->n[which], memory_order_relaxed);
    atomic_store_explicit(&c->n[which], now + n, memory_order_relaxed);
}

void tp__live_add(int64_t tensors, int64_t storages, int64_t nodes, int64_t bytes) {
    if (TP__UNLIKELY(!listed)) list_thread();
    counters *c = &live;
    bump(c, LIVE_TENSORS, tensors);
    bump(c, LIVE_STORAGES, storages);
    bump(c, LIVE_NODES, nodes);
    bump(c, LIVE_BYTES, bytes);
}

tp_memory tp_memory_now(void) {
    int64_t sum[LIVE_COUNT];
    pthread_mutex_lock(&lock);
    memcpy(sum, departed, sizeof sum);
    for (const counters *c = registry; c; c = c->next)
        for (int i = 0; i < LIVE_COUNT; i++)
            sum[i] += atomic_load_explicit(&c->n[i], memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return (tp_memory){.tensors = sum[LIVE_TENSORS],
                       .storages = sum[LIVE_STORAGES],
                       .nodes = sum[LIVE_NODES],
                       .bytes = sum[LIVE_BYTES]};
}

/* ---- test hooks ------------------------------------------------------------------------------ */

void tp__alloc_fail_at(int64_t n) {
    atomic_store(&failed, false);
    atomic_store(&fail_at, n);
    set_slow();
}
bool tp__alloc_failed(void) {
    return atomic_load(&failed);
}
void tp__alloc_poison(bool on) {
    atomic_store(&poison, on);
    set_slow();
}
int64_t tp__alloc_system_calls(void) {
    return atomic_load(&system_calls);
}

/* Is this the allocation that a test asked to fail? */
static bool refuse(void) {
    if (TP__LIKELY(!atomic_load_explicit(&fail_at, memory_order_relaxed))) return false;
    if (atomic_fetch_sub(&fail_at, 1) != 1) return false;
    atomic_store(&failed, true);
    return true;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Class c holds blocks of class_bytes(c): 64, 80, 96, 112, 128, 160, ... rounded up to 64. */
static size_t class_bytes(int c) {
    const size_t base = (size_t)ALIGN << (c / STEPS);
    return (base + base / STEPS * (size_t)(c % STEPS) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}
static int class_of(size_t bytes) {
    if (bytes <= ALIGN) return 0;
    const int top = 63 - __builtin_clzll((unsigned long long)(bytes - 1)); /* 2^top < bytes.. */
    const size_t base = (size_t)1 << top;
    const int step = (int)((bytes - 1 - base) / (base / STEPS)) + 1; /* 1..STEPS */
    return (top - 6) * STEPS + step;
}

static void *from_system(size_t bytes) {
    atomic_fetch_add_explicit(&system_calls, 1, memory_order_relaxed);
    void *p = NULL;
    return posix_memalign(&p, ALIGN, bytes) ? NULL : p;
}

static void *pop(list *l) {
    block *b = l->head;
    if (!b) return NULL;
    l->head = b->next;
    l->n--;
    return b;
}
static void push(list *l, void *p) {
    block *b = p;
    b->next = l->head;
    l->head = b;
    l->n++;
}

static void *pop_shared(int c) {
    pthread_mutex_lock(&lock);
    void *p = pop(&shared[c]);
    if (p) shared_bytes -= class_bytes(c);
    pthread_mutex_unlock(&lock);
    return p;
}
static void push_shared(int c, void *p) {
    const size_t size = class_bytes(c);
    pthread_mutex_lock(&lock);
    const bool room = shared_bytes + size <= SHARED_BYTES;
    if (room) {
        push(&shared[c], p);
        shared_bytes += size;
    }
    pthread_mutex_unlock(&lock);
    if (!room) free(p);
}

/* The system refused: give back every shared block, so that another size can have the room. */
static void drop_shared(void) {
    pthread_mutex_lock(&lock);
    for (int c = 0; c < CLASSES; c++)
        for (void *p; (p = pop(&shared[c]));) free(p);
    shared_bytes = 0;
    pthread_mutex_unlock(&lock);
}

static void *fresh(int c) {
    void *p = c < SMALL_CLASSES ? pop(&mine[c]) : NULL;
    if (TP__LIKELY(p != NULL)) return p;
    p = pop_shared(c);
    if (!p) p = from_system(class_bytes(c));
    if (!p) {
        drop_shared();
        p = from_system(class_bytes(c));
    }
    return p;
}

static void *alloc_slowly(size_t bytes) {
    if (refuse()) return tp__fail_nomem();
    void *p = atomic_load(&plain) ? from_system(bytes ? bytes : 1) : fresh(class_of(bytes));
    if (!p) return tp__fail_nomem();
    if (atomic_load(&poison)) memset(p, 0xA5, bytes);
    return p;
}

void *tp__alloc(size_t bytes) {
    if (TP__UNLIKELY(bytes > MOST)) return tp__fail_nomem();
    if (TP__UNLIKELY(is_slow())) return alloc_slowly(bytes);
    void *p = fresh(class_of(bytes));
    return TP__LIKELY(p != NULL) ? p : tp__fail_nomem();
}

void tp__free(void *p, size_t bytes) {
    if (!p) return;
    if (TP__UNLIKELY(is_slow()) && atomic_load(&plain)) {
        free(p);
        return;
    }
    const int c = class_of(bytes);
    if (c >= SMALL_CLASSES || TP__UNLIKELY(mine[c].n >= MOST_KEPT >> (c / STEPS)))
        push_shared(c, p);
    else
        push(&mine[c], p);
}

void tp__alloc_thread_end(void) {
    for (int c = 0; c < SMALL_CLASSES; c++)
        for (void *p; (p = pop(&mine[c]));) push_shared(c, p);
    if (!listed) return;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < LIVE_COUNT; i++) {
        departed[i] += atomic_load(&live.n[i]);
        atomic_store(&live.n[i], 0);
    }
    if (live.prev)
        live.prev->next = live.next;
    else
        registry = live.next;
    if (live.next) live.next->prev = live.prev;
    pthread_mutex_unlock(&lock);
    listed = false;
}

/* Priority 101 runs after every other destructor of the library: leave nothing for leak
 * checkers. */
__attribute__((destructor(101))) static void end_of_process(void) {
    tp__alloc_thread_end();
    drop_shared();
}

/* ---- ordinary objects ------------------------------------------------------------------------ */

void *tp__calloc(size_t count, size_t size) {
    atomic_fetch_add_explicit(&system_calls, 1, memory_order_relaxed);
    void *p = refuse() ? NULL : calloc(count ? count : 1, size ? size : 1);
    return p ? p : tp__fail_nomem();
}

void *tp__realloc(void *p, size_t bytes) {
    atomic_fetch_add_explicit(&system_calls, 1, memory_order_relaxed);
    void *q = refuse() ? NULL : realloc(p, bytes ? bytes : 1);
    return q ? q : tp__fail_nomem();
}

void tp__mfree(void *p) {
    free(p);
}

char *tp__strndup(const char *s, size_t n) {
    char *p = tp__calloc(n + 1, 1);
    if (p) memcpy(p, s, n);
    return p;
}
char *tp__strdup(const char *s) {
    return tp__strndup(s, strlen(s));
}
