/* alloc.c -- blocks aligned to 64 bytes, from caches, and the counters behind tp_memory_now().
 *
 * Sizes are rounded to classes: multiples of 64 up to 512, then four to a doubling. Small blocks
 * are kept in lists of the thread that frees them, without a lock; large ones, and what overflows a
 * thread's lists, in lists shared under one mutex. A steady training loop therefore calls the
 * system's malloc never.
 * TAPER_ALLOC=plain and AddressSanitizer builds bypass the caches, so that memory checkers see
 * every block. */
#define _DEFAULT_SOURCE
#include "base/base.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGN = 64,
    HUGE_PAGE = 2 << 20,
    EVEN = 9, /* classes of 0 .. 512 B by 64 (and 64 B for 0) */
    EVEN_BYTES = 512,
    STEPS = 4,                            /* classes per doubling after that */
    SMALL_CLASSES = EVEN + 7 * STEPS,     /* .. 64 KiB: kept per thread */
    CLASSES = SMALL_CLASSES + 30 * STEPS, /* .. 64 TiB */
    MOST_KEPT = 1024                      /* blocks of a class that a thread keeps, up to 512 B */
};
_Static_assert((int)SMALL_CLASSES == (int)TP__SMALL_CLASSES, "base.h holds their lists");
static const size_t MOST = (size_t)1 << 44;           /* no single block is larger */
static const size_t SHARED_BYTES = (size_t)512 << 20; /* all shared lists together */

typedef struct tp__block {
    struct tp__block *next;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *shared[CLASSES];
static size_t shared_bytes;
static tp__local *threads;               /* those that use the library now */
static int64_t departed[TP__LIVE_COUNT]; /* of threads that ended */
static _Atomic int64_t fail_at, system_calls;
static _Atomic bool failed, poison;
static _Atomic bool plain; /* no caches */
/* Any of plain, poison, an armed failure; -1: TAPER_ALLOC not read yet. */
static _Atomic int slow = -1;

static void set_slow(void) {
    if (atomic_load(&slow) < 0) {
        const char *e = getenv("TAPER_ALLOC");
        atomic_store(&plain, TP__ASAN || (e && !strcmp(e, "plain")));
    }
    atomic_store(&slow, atomic_load(&plain) || atomic_load(&poison) || atomic_load(&fail_at));
}
/* Is anything out of the ordinary asked for? One load where nothing is. */
static bool is_slow(void) {
    if (TP__LIKELY(!atomic_load_explicit(&slow, memory_order_relaxed))) return false;
    if (atomic_load(&slow) < 0) set_slow();
    return atomic_load(&slow);
}

/* ---- threads, counters ----------------------------------------------------------------------- */

static int64_t most_kept(int c) {
    return c < EVEN ? MOST_KEPT : MOST_KEPT / 2 >> (c - EVEN) / STEPS;
}

void tp__alloc_thread_begin(tp__local *me) {
    for (int c = 0; c < SMALL_CLASSES; c++) me->small[c].room = most_kept(c);
    pthread_mutex_lock(&lock);
    me->next = threads;
    me->prev = NULL;
    if (threads) threads->prev = me;
    threads = me;
    pthread_mutex_unlock(&lock);
}

tp_memory tp_memory_now(void) {
    int64_t sum[TP__LIVE_COUNT];
    pthread_mutex_lock(&lock);
    memcpy(sum, departed, sizeof sum);
    for (const tp__local *t = threads; t; t = t->next)
        for (int i = 0; i < TP__LIVE_COUNT; i++)
            sum[i] += atomic_load_explicit(&t->live[i], memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return (tp_memory){.tensors = sum[TP__LIVE_TENSORS],
                       .storages = sum[TP__LIVE_STORAGES],
                       .nodes = sum[TP__LIVE_NODES],
                       .bytes = sum[TP__LIVE_BYTES]};
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

static size_t class_bytes(int c) {
    if (c < EVEN) return (size_t)ALIGN * (size_t)(c ? c : 1);
    const size_t base = (size_t)EVEN_BYTES << (c - EVEN) / STEPS;
    return base + base / STEPS * (size_t)((c - EVEN) % STEPS + 1);
}
static int class_of(size_t bytes) {
    if (bytes <= EVEN_BYTES) return (int)((bytes + ALIGN - 1) / ALIGN);
    const int top = 63 - __builtin_clzll((unsigned long long)(bytes - 1)); /* 2^top < bytes.. */
    const int quarter = (int)((bytes - 1) >> (top - 2)) - STEPS;           /* 0..STEPS - 1 */
    return EVEN + (top - 9) * STEPS + quarter;
}

/* Large blocks lie in huge pages where the system has them: with small ones, looking addresses up
 * takes longer than reading what is there. Only whole ones, so that no memory is used that was not
 * asked for. */
static void *from_system(size_t bytes) {
    atomic_fetch_add_explicit(&system_calls, 1, memory_order_relaxed);
    const bool large = bytes >= 2 * HUGE_PAGE && !TP__ASAN;
    void *p = NULL;
    if (posix_memalign(&p, large ? HUGE_PAGE : ALIGN, bytes)) return NULL;
#ifdef MADV_HUGEPAGE
    if (large) (void)madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return p;
}

static void *pop_shared(int c) {
    pthread_mutex_lock(&lock);
    block *b = shared[c];
    if (b) {
        shared[c] = b->next;
        shared_bytes -= class_bytes(c);
    }
    pthread_mutex_unlock(&lock);
    return b;
}
static void push_shared(int c, block *b) {
    const size_t size = class_bytes(c);
    pthread_mutex_lock(&lock);
    const bool room = shared_bytes + size <= SHARED_BYTES;
    if (room) {
        b->next = shared[c];
        shared[c] = b;
        shared_bytes += size;
    }
    pthread_mutex_unlock(&lock);
    if (!room) free(b);
}

/* The system refused: give back every shared block, so that another size can have the room. */
static void drop_shared(void) {
    pthread_mutex_lock(&lock);
    for (int c = 0; c < CLASSES; c++)
        for (block *b; (b = shared[c]);) {
            shared[c] = b->next;
            free(b);
        }
    shared_bytes = 0;
    pthread_mutex_unlock(&lock);
}

static inline void *pop(tp__free_list *l) {
    block *b = l->head;
    if (TP__UNLIKELY(!b)) return NULL;
    l->head = b->next;
    l->room++;
    return b;
}
static inline bool push(tp__free_list *l, block *b) {
    if (TP__UNLIKELY(!l->room)) return false;
    b->next = l->head;
    l->head = b;
    l->room--;
    return true;
}

static void *fresh(int c) {
    void *p = c < SMALL_CLASSES ? pop(&tp__here()->small[c]) : NULL;
    if (!p) p = pop_shared(c);
    if (!p) p = from_system(class_bytes(c));
    if (!p) {
        drop_shared();
        p = from_system(class_bytes(c));
    }
    return p;
}

TP__APART static void *alloc_slowly(size_t bytes) {
    if (bytes > MOST || (is_slow() && refuse())) return tp__fail_nomem(bytes);
    void *p = atomic_load(&plain) ? from_system(bytes ? bytes : 1) : fresh(class_of(bytes));
    if (!p) return tp__fail_nomem(bytes);
    if (atomic_load(&poison)) memset(p, 0xA5, bytes);
    return p;
}
TP__APART static void free_slowly(block *b, size_t bytes) {
    if (!b) return;
    const int c = class_of(bytes);
    if (is_slow() && atomic_load(&plain))
        free(b);
    else if (c >= SMALL_CLASSES || !push(&tp__here()->small[c], b))
        push_shared(c, b);
}

/* The usual case, small and from or to this thread's own list, needs some dozen instructions. */
static inline tp__free_list *own_list(size_t bytes) {
    const bool usual = bytes <= EVEN_BYTES && !atomic_load_explicit(&slow, memory_order_relaxed);
    return TP__LIKELY(usual) ? &tp__here()->small[(bytes + ALIGN - 1) / ALIGN] : NULL;
}
void *tp__alloc(size_t bytes) {
    tp__free_list *l = own_list(bytes);
    void *p = TP__LIKELY(l != NULL) ? pop(l) : NULL;
    return TP__LIKELY(p != NULL) ? p : alloc_slowly(bytes);
}
void tp__free(void *p, size_t bytes) {
    tp__free_list *l = p ? own_list(bytes) : NULL;
    if (TP__UNLIKELY(!l || !push(l, p))) free_slowly(p, bytes);
}

void tp__alloc_thread_end(tp__local *me) {
    for (int c = 0; c < SMALL_CLASSES; c++)
        for (block *b; (b = me->small[c].head);) {
            me->small[c].head = b->next;
            push_shared(c, b);
        }
    pthread_mutex_lock(&lock);
    for (int i = 0; i < TP__LIVE_COUNT; i++) {
        departed[i] += atomic_load(&me->live[i]);
        atomic_store(&me->live[i], 0);
    }
    if (me->prev)
        me->prev->next = me->next;
    else
        threads = me->next;
    if (me->next) me->next->prev = me->prev;
    pthread_mutex_unlock(&lock);
}

/* Priority 101 runs after every other destructor of the library: leave nothing for leak
 * checkers. */
__attribute__((destructor(101))) static void end_of_process(void) {
    tp_thread_end();
    drop_shared();
}

/* ---- ordinary objects ------------------------------------------------------------------------ */

void *tp__calloc(size_t count, size_t size) {
    atomic_fetch_add_explicit(&system_calls, 1, memory_order_relaxed);
    void *p = refuse() ? NULL : calloc(count ? count : 1, size ? size : 1);
    size_t bytes; /* 0, not said: more than a size_t can tell */
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = 0;
    return p ? p : tp__fail_nomem(bytes);
}

void *tp__realloc(void *p, size_t bytes) {
    atomic_fetch_add_explicit(&system_calls, 1, memory_order_relaxed);
    void *q = refuse() ? NULL : realloc(p, bytes ? bytes : 1);
    return q ? q : tp__fail_nomem(bytes);
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
