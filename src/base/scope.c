/* scope.c -- each thread's stack of deferred releases.
 *
 * A scope is a mark on the stack and two flags. Ending it releases the entries above the mark,
 * newest first, except those marked to move out, which are packed down into the parent. Frames
 * carry a generation, so ending a scope that is already gone is noticed. */
#include "base/base.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    tp__release_fn release;
    void *ptr; /* bit 0 set: moves to the parent when its scope ends */
} entry;
typedef struct frame {
    int64_t mark;
    uint32_t generation;
    bool grad;
} frame;
typedef struct stack {
    entry *e;
    int64_t n, cap;
    frame *f; /* frame 0 is the root scope */
    uint32_t depth, fcap;
    uint32_t generation;
    bool registered; /* the end of the thread will free it */
} stack;

static _Thread_local stack S;
static pthread_key_t end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;

static void end_of_thread(void *unused) {
    (void)unused;
    tp_thread_end();
}
static void make_key(void) {
    if (pthread_key_create(&end_key, end_of_thread)) abort();
}
/* The main thread's key destructors do not run when main returns. */
__attribute__((destructor)) static void end_of_process(void) {
    tp_thread_end();
}

static bool ensure_root(void) {
    if (TP__LIKELY(S.fcap)) return true;
    frame *f = tp__realloc(NULL, 16 * sizeof *f);
    if (!f) return false;
    f[0] = (frame){.grad = true};
    S.f = f;
    S.fcap = 16;
    if (!S.registered) {
        pthread_once(&end_once, make_key);
        pthread_setspecific(end_key, &S);
        S.registered = true;
    }
    return true;
}

static bool marked(const entry *e) {
    return (uintptr_t)e->ptr & 1;
}

static bool grow(void) {
    const int64_t cap = S.cap ? 2 * S.cap : 256;
    entry *e = tp__realloc(S.e, (size_t)cap * sizeof *e);
    if (!e) return false;
    S.e = e;
    S.cap = cap;
    return true;
}

bool tp__scope_push(tp__release_fn release, void *ptr) {
    if (TP__UNLIKELY(!ensure_root() || (S.n == S.cap && !grow()))) {
        release(ptr);
        return false;
    }
    S.e[S.n++] = (entry){release, ptr};
    return true;
}

bool tp__scope_drop(void *ptr) {
    const int64_t oldest = S.n > 8 ? S.n - 8 : 0;
    for (int64_t i = S.n - 1; i >= oldest && (!S.depth || i >= S.f[S.depth].mark); i--) {
        const entry e = S.e[i];
        if (e.ptr != ptr) continue;
        memmove(S.e + i, S.e + i + 1, (size_t)(S.n - i - 1) * sizeof *S.e);
        S.n--;
        e.release(e.ptr);
        return true;
    }
    return false;
}

bool tp__scope_holds(const void *ptr) {
    for (int64_t i = S.n - 1; i >= (S.depth ? S.f[S.depth].mark : 0); i--)
        if (S.e[i].ptr == ptr) return true;
    return false;
}

static tp_scope begin(bool grad) {
    if (!ensure_root()) return (tp_scope){0, 0};
    if (S.depth + 1 == S.fcap) {
        frame *f = tp__realloc(S.f, 2 * S.fcap * sizeof *f);
        if (!f) return (tp_scope){0, 0};
        S.f = f;
        S.fcap *= 2;
    }
    S.depth++;
    S.f[S.depth] = (frame){.mark = S.n, .generation = ++S.generation, .grad = grad};
    return (tp_scope){S.depth, S.generation};
}
tp_scope tp_scope_begin(void) {
    return begin(tp_grad_enabled());
}
tp_scope tp_scope_no_grad(void) {
    return begin(false);
}
tp_scope tp_scope_grad(void) {
    return begin(true);
}
bool tp_grad_enabled(void) {
    return !S.fcap || S.f[S.depth].grad;
}

static bool open_scope(tp_scope s) {
    return s.depth && s.depth <= S.depth && S.f[s.depth].generation == s.generation;
}

/* Take the entries from `mark` up off the stack, release those that stay and put the marked ones
 * back. A release may end no scope, but it may look at the stack: it is consistent throughout. */
static void unwind(int64_t mark) {
    int64_t kept = S.n; /* marked entries gather at [kept, top), then move down to mark */
    const int64_t top = S.n;
    for (int64_t i = top - 1; i >= mark; i--) {
        const entry e = S.e[i];
        if (marked(&e)) {
            S.e[--kept] = (entry){e.release, (void *)((uintptr_t)e.ptr & ~(uintptr_t)1)};
            continue;
        }
        e.release(e.ptr);
    }
    if (kept < top) memmove(S.e + mark, S.e + kept, (size_t)(top - kept) * sizeof *S.e);
    S.n = mark + (top - kept);
}

tp_status tp_scope_end(tp_scope s) {
    if (!s.depth) return TP_ESCOPE; /* it never began: the failure is pending already */
    if (!open_scope(s)) return tp_error_set(TP_ESCOPE, "scope_end: this scope has already ended");
    for (; S.depth >= s.depth; S.depth--) unwind(S.f[S.depth].mark);
    return TP_OK;
}

tp_status tp__scope_escape(tp_scope s, bool (*moves)(tp__release_fn release, void *ptr)) {
    if (!open_scope(s))
        return tp_error_set(TP_ESCOPE, "scope_escape: this scope has already ended");
    for (int64_t i = S.f[s.depth].mark; i < S.n; i++) {
        entry *e = &S.e[i];
        if (!marked(e) && moves(e->release, e->ptr)) e->ptr = (void *)((uintptr_t)e->ptr | 1);
    }
    return TP_OK;
}

int64_t tp__scope_entries(void) {
    return S.n;
}

void tp_thread_end(void) {
    if (S.fcap) {
        for (int64_t i = 0; i < S.n; i++)
            S.e[i].ptr = (void *)((uintptr_t)S.e[i].ptr & ~(uintptr_t)1);
        unwind(0);
        tp__mfree(S.e);
        tp__mfree(S.f);
        const bool registered = S.registered;
        S = (stack){.generation = S.generation, .registered = registered};
    }
    tp__rng_thread_end();
    tp__alloc_thread_end();
    tp_error_clear();
}
