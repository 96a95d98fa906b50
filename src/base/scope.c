/* scope.c -- each thread's stack of deferred releases.
 *
 * A scope is a frame: a mark on the stack, and whether it records. Ending it releases the entries
 * above the mark, newest first; what escapes is moved below the mark at once. Frames carry a
 * generation, so ending a scope that is already gone is noticed. */
#include "base/base.h"
#include <string.h>

bool tp__scope_grow(tp__local *me, int64_t more) {
    int64_t cap = me->cap ? me->cap : 128;
    while (cap < me->n + more || cap == me->cap) cap *= 2;
    tp__entry *e = tp__realloc(me->entry, (size_t)cap * sizeof *e);
    if (!e) return false;
    me->entry = e;
    me->cap = cap;
    return true;
}

bool tp__scope_drop(void *ptr) {
    tp__local *me = tp__here();
    const int64_t mark = me->frame[me->depth].mark, recent = me->n - 8;
    for (int64_t i = me->n - 1; i >= mark && i >= recent; i--) {
        const tp__entry e = me->entry[i];
        if (e.ptr != ptr) continue;
        me->n--;
        for (int64_t k = i; k < me->n; k++) me->entry[k] = me->entry[k + 1];
        e.release(e.ptr);
        return true;
    }
    return false;
}

bool tp__scope_holds(const void *ptr) {
    const tp__local *me = tp__here();
    for (int64_t i = me->n - 1; i >= me->frame[me->depth].mark; i--)
        if (me->entry[i].ptr == ptr) return true;
    return false;
}

static bool more_frames(tp__local *me) {
    const bool first = me->frame == me->first_frames;
    tp__frame *f = tp__realloc(first ? NULL : me->frame, 2 * me->frames * sizeof *f);
    if (!f) return false;
    if (first) memcpy(f, me->first_frames, sizeof me->first_frames);
    me->frame = f;
    me->frames *= 2;
    return true;
}

static tp_scope begin(tp__local *me, bool grad) {
    if (TP__UNLIKELY(me->depth + 1 == me->frames) && !more_frames(me)) return (tp_scope){0, 0};
    const tp_scope s = {++me->depth, ++me->generation};
    me->frame[s.depth] = (tp__frame){.mark = me->n, .generation = s.generation, .grad = grad};
    return s;
}
tp_scope tp_scope_begin(void) {
    tp__local *me = tp__here();
    return begin(me, tp__records(me));
}
tp_scope tp_scope_no_grad(void) {
    return begin(tp__here(), false);
}
tp_scope tp_scope_grad(void) {
    return begin(tp__here(), true);
}
bool tp_grad_enabled(void) {
    return tp__records(tp__here());
}

static bool open_scope(const tp__local *me, tp_scope s) {
    return s.depth && s.depth <= me->depth && me->frame[s.depth].generation == s.generation;
}

/* A release may end no scope, but it may use the stack: what it pushes is released here too. */
static void unwind(tp__local *me, int64_t mark) {
    while (me->n > mark) {
        const tp__entry e = me->entry[--me->n];
        e.release(e.ptr);
    }
}

tp_status tp_scope_end(tp_scope s) {
    if (!s.depth) return TP_ESCOPE; /* it never began: the failure is pending already */
    tp__local *me = tp__here();
    if (TP__UNLIKELY(!open_scope(me, s)))
        return tp_error_set(TP_ESCOPE, "scope_end: this scope has already ended");
    unwind(me, me->frame[s.depth].mark);
    me->depth = s.depth - 1;
    return TP_OK;
}

/* The entries that move are gathered in front of those that stay, in order, by way of the free room
 * above the stack; the mark of each frame follows its first entry. */
tp_status tp__scope_escape(tp_scope s, bool (*moves)(const tp__entry *e)) {
    tp__local *me = tp__here();
    if (!open_scope(me, s))
        return tp_error_set(TP_ESCOPE, "scope_escape: this scope has already ended");
    const int64_t from = me->frame[s.depth].mark, n = me->n;
    if (me->cap - n < n - from && !tp__scope_grow(me, n - from)) return TP_ENOMEM;
    tp__entry *e = me->entry, *stay = e + n;
    int64_t moved = 0, stayed = 0;
    uint32_t d = s.depth;
    for (int64_t i = from; i <= n; i++) {
        for (; d <= me->depth && me->frame[d].mark == i; d++) me->frame[d].mark = from + stayed;
        if (i == n) break;
        if (moves(&e[i]))
            e[from + moved++] = e[i];
        else
            stay[stayed++] = e[i];
    }
    for (d = s.depth; d <= me->depth; d++) me->frame[d].mark += moved;
    memcpy(e + from + moved, stay, (size_t)stayed * sizeof *e);
    return TP_OK;
}

int64_t tp__scope_entries(void) {
    return tp__here()->n;
}

void tp__scopes_end(tp__local *me) {
    unwind(me, 0);
    tp__mfree(me->entry);
    if (me->frame != me->first_frames) tp__mfree(me->frame);
    me->entry = NULL;
    me->n = me->cap = 0;
    me->depth = 0;
    me->frame = me->first_frames;
    me->frames = TP__FRAMES;
}
