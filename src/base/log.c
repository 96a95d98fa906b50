/* log.c -- where notes and warnings go: one callback for the process, called one line at a time.
 *
 * The lock is held while the callback runs, so that after tp_set_log() returns nobody is inside the
 * old one. A note made by the callback itself is dropped rather than waited for. */
#define _POSIX_C_SOURCE 200809L
#include "base/base.h"
#include <pthread.h>
#include <stdarg.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tp_log_fn log_fn;
static void *log_user;
static _Atomic bool listening; /* spares the formatting where nobody listens */
static _Thread_local bool inside;

void tp_set_log(tp_log_fn fn, void *user) {
    const bool locked = !inside; /* a callback may replace itself: this thread has the lock then */
    if (locked) pthread_mutex_lock(&lock);
    log_fn = fn;
    log_user = user;
    atomic_store(&listening, fn != NULL);
    if (locked) pthread_mutex_unlock(&lock);
}

void tp__log(const char *fmt, ...) {
    if (inside || !atomic_load(&listening)) return;
    char text[1024], room[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&lock);
    inside = true;
    if (log_fn) log_fn(log_user, tp__utf8_show(text, room, sizeof room));
    inside = false;
    pthread_mutex_unlock(&lock);
}
