/* pool.h -- for tests of the pool: tiles that count and meet, and workers that wake late. */
#ifndef TAPER_TESTS_POOL_H
#define TAPER_TESTS_POOL_H
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static inline void sleep_ms(int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

enum { MOST_TILES = 5000 };
typedef struct counts {
    atomic_int of[MOST_TILES];
} counts;

static inline void count_tile(void *ctx, int64_t tile) {
    counts *c = ctx;
    atomic_fetch_add(&c->of[tile], 1);
}

/* Each tile waits until all of them have begun: that takes as many threads as tiles. */
typedef struct meeting {
    atomic_int here;
    int expected;
    atomic_bool missed;
} meeting;

static inline void meet(void *ctx, int64_t tile) {
    (void)tile;
    meeting *m = ctx;
    atomic_fetch_add(&m->here, 1);
    for (int ms = 0; atomic_load(&m->here) < m->expected; ms++) {
        if (ms > 20000) {
            atomic_store(&m->missed, true);
            return;
        }
        sleep_ms(1);
    }
}

/* The caller's tile waits until others have begun `expected` tiles, but not for long. A short job
 * may be over before a worker is awake, and each of many may. */
static inline void await_others(const atomic_int *begun, int expected) {
    for (int ms = 0; ms < 3 && *begun < expected; ms++) sleep_ms(1);
}

/* With an argument, in microseconds: whoever waited on a condition is awake only so much later. On
 * another machine, or under a hypervisor, that is as it is anyway. */
static int wakes_late;

int __real_pthread_cond_wait(pthread_cond_t *changed, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *changed, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *changed, pthread_mutex_t *lock) {
    const int r = __real_pthread_cond_wait(changed, lock);
    if (!wakes_late) return r;
    pthread_mutex_unlock(lock);
    const struct timespec t = {0, wakes_late * 1000L};
    nanosleep(&t, NULL);
    pthread_mutex_lock(lock);
    return r;
}

#endif
