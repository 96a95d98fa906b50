/* local.c -- the beginning and the end of a thread, as the library sees them.
 *
 * The block of a thread is set up on its first use, so that no op need ask whether it is. Only a
 * pointer to it lies where initial-exec variables lie. */
#include "base/base.h"
#include <pthread.h>
#include <stdlib.h>

TP__THREAD_HOT tp__local *tp__local_here;
static _Thread_local tp__local block;
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

tp__local *tp__local_begin(void) {
    tp__local *me = &block;
    me->frame = me->first_frames;
    me->frames = TP__FRAMES;
    me->frame[0].grad = true;
    tp__alloc_thread_begin(me);
    pthread_once(&end_once, make_key);
    pthread_setspecific(end_key, me);
    return tp__local_here = me;
}

void tp_thread_end(void) {
    tp__local *me = tp__local_here;
    if (me) tp__scopes_end(me);
    tp__rng_thread_end();
    me = tp__local_here; /* what was released may have made it */
    if (me) tp__alloc_thread_end(me);
    tp__local_here = NULL;
    tp_error_clear();
}
