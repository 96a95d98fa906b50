/* hands.h -- buffers for tiles: one for each thread that may run them at once, called hands, which
 * a tile takes and gives back. Which one it gets changes no result. */
#ifndef TAPER_SRC_HANDS_H
#define TAPER_SRC_HANDS_H
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

enum { TP__MOST_HANDS = 64 }; /* bits of what says which are taken */

/* The first hand that is free: a thread mostly gets the one that it has just used. More threads
 * than hands there are only if their number was changed meanwhile, or some have come back that the
 * pool did without; they wait. */
static inline int tp__take_hand(atomic_uint_fast64_t *taken, int hands) {
    uint_fast64_t busy = atomic_load_explicit(taken, memory_order_relaxed);
    for (;;) {
        int free = 0;
        while (free < hands && busy >> free & 1) free++;
        if (free == hands) {
            sched_yield();
            busy = atomic_load_explicit(taken, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(taken, &busy, busy | UINT64_C(1) << free,
                                                         memory_order_acquire,
                                                         memory_order_relaxed)) {
            return free;
        }
    }
}
static inline void tp__give_hand(atomic_uint_fast64_t *taken, int number) {
    atomic_fetch_and_explicit(taken, ~(UINT64_C(1) << number), memory_order_release);
}

#endif
