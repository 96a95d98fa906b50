/* threads.c -- the pool that runs tiles, and the plain threads and locks of the loader.
 *
 * A thread claims the tiles of its own part of the job from a counter, and then those of the other
 * parts: the same part of the next job finds its data in the same core's cache, and a thread that
 * the system has put aside delays nobody. A job is open while tiles may be left; a worker may join
 * only an open job, so the caller, having run out of tiles, closes it and waits for those inside,
 * never for one still asleep. Workers spin for a moment after a job, because the next one is near
 * in a training step, and then sleep. What need not be done now, a worker does while it spins:
 * tiles of a second kind, one at a time, until there is a job. A worker rounds as its caller does.
 */
#define _GNU_SOURCE /* sched_getcpu, sched_setaffinity */
#include "base/base.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

enum { MAX_THREADS = 1024, MAX_PARTS = 8 };
static const double WORKER_SPIN = 50e-6, CALLER_SPIN = 100e-6; /* seconds */
/* A worker that keeps its caller waiting for so long, and so many times longer than the caller was
 * busy itself, was put aside by the system: other programs want its processor. Once in a while that
 * costs less than doing without it. If it happens again before so many times as long are over, the
 * caller does without for so many times as long. */
static const double PUT_ASIDE = 500e-6;
enum { TIMES_BUSY = 4, TIMES_SOON = 4, TIMES_ALONE = 40 };

/* What one core has written may cost the next so much to read that small work is done sooner by one
 * thread: nothing says so beforehand. So once in a while a thread that makes tensors makes some
 * with its workers, if that takes no longer than TRIAL (seconds), then a few without them, by which
 * time its memory is with it, and as many as before. If it is so many times as fast without, twice
 * in a row, jobs are begun without workers until the next trial; what is left of one after LARGE is
 * no small work, and shared. Where workers pay, that shows in the first few. */
static const double TRIAL = 40e-3, FIRST_PAUSE = 0.2, LAST_PAUSE = 5, AGAIN = 0.1, LARGE = 1e-3;
static const double FASTER = 1.1, MUCH_SLOWER = 1.5;
static const double ANOTHER = 1; /* second without jobs of a thread, and another's are looked at */
enum { SOME = 480, A_FEW = SOME / 3, LONGER = 4 /* pauses, if nothing has changed */ };

/* The word that says it all: is the job open, does its caller sleep, how many workers are inside,
 * and the number of the job. */
#define OPEN UINT64_C(1)
#define CALLER_SLEEPS UINT64_C(2)
#define ONE_INSIDE UINT64_C(4)
#define ONE_JOB (UINT64_C(1) << 32)
#define INSIDE_OF(state) ((uint32_t)(state) / ONE_INSIDE)
#define JOB_OF(state) ((uint32_t)((state) >> 32))

static struct {
    /* The job: written by the holder of `busy` while it is closed and nobody is inside. */
    tp__tile_fn fn;
    void *ctx;
    uint32_t rounding; /* the caller's */
    int parts;
    struct {
        _Alignas(64) _Atomic int64_t next; /* tile to claim */
        int64_t end;
    } part[MAX_PARTS];
    _Alignas(64) _Atomic uint64_t state;
    atomic_int processor;          /* of the caller */
    _Alignas(64) atomic_bool busy; /* somebody's job runs, or the pool is being resized */
    atomic_int sleepers;           /* changed under the lock */
    atomic_int keep;               /* workers numbered from here on are to end */
    _Atomic double alone_until;    /* 0: nobody is done without */
    _Atomic double aside_until;    /* when that, or the last wait for somebody put aside, ended */
    pthread_mutex_t lock;
    pthread_cond_t wake, done; /* for workers: a new job or `keep`; for callers: nobody inside */
    /* Used by the holder of `busy` only. */
    int n;       /* workers there are */
    int refused; /* the system would not start as many as this; 0: it never refused */
    bool prepared;
    pthread_t thread[MAX_THREADS];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

/* A trial of whether workers are worth it. Used by the holder of `busy` only, but for `alone_until`
 * and `anew`. */
static struct {
    enum { RESTING, TOGETHER, SETTLING, ALONE } state;
    const tp__local *who; /* whose jobs are looked at; another's if it has given none for long */
    double seen;          /* when it was last */
    unsigned jobs;
    double from, together; /* when this began; how long that took */
    int64_t made;          /* tensors at its beginning */
    double next, pause;    /* when the next trial begins; how long after the last */
    int faster;            /* trials in a row in which one thread was */
    _Atomic double alone_until;
    atomic_bool anew; /* all of this is forgotten */
} trial;

/* Tiles for spare time. They are claimed from the last to the first, so that those that are left
 * are [0, left): whoever gave them runs these itself. Where they were stopped, that is -left. */
static struct {
    tp__tile_fn fn;
    void *ctx;
    uint32_t rounding;
    int64_t n;
    atomic_bool taken;
    _Alignas(64) _Atomic int64_t left;   /* not positive: none to claim */
    _Alignas(64) _Atomic uint64_t state; /* as the pool's: always open, without a number */
} spare = {.state = OPEN};

static _Thread_local bool in_job; /* this thread is running tiles: nested calls run alone */

/* Look at `*word` until `stop(value)` or the time is up; the clock is read once in 32 looks. */
static bool spin(const _Atomic uint64_t *word, bool (*stop)(uint64_t state, uint32_t arg),
                 uint32_t arg, double seconds) {
    for (double end = 0;;) {
        for (int i = 0; i < 32; i++) {
            if (stop(atomic_load_explicit(word, memory_order_acquire), arg)) return true;
            tp__cpu_pause();
        }
        const double now = tp__os_now();
        if (end == 0) end = now + seconds;
        if (now >= end) return false;
    }
}

static bool is_other_job(uint64_t state, uint32_t job) {
    return JOB_OF(state) != job;
}
static bool is_any_work(uint64_t state, uint32_t job) {
    return is_other_job(state, job) || atomic_load_explicit(&spare.left, memory_order_relaxed) > 0;
}
static bool is_deserted(uint64_t state, uint32_t unused) {
    (void)unused;
    return INSIDE_OF(state) == 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

/* The caller is thread 0, worker i thread i + 1. */
static void run_tiles(int thread) {
    for (int i = 0; i < pool.parts; i++) {
        const int p = (thread + i) % pool.parts;
        const int64_t end = pool.part[p].end;
        for (;;) {
            const int64_t tile =
                atomic_fetch_add_explicit(&pool.part[p].next, 1, memory_order_relaxed);
            if (tile >= end) break;
            pool.fn(pool.ctx, tile);
        }
    }
}

static bool enter(_Atomic uint64_t *state) {
    uint64_t s = atomic_load_explicit(state, memory_order_relaxed);
    while (s & OPEN)
        if (atomic_compare_exchange_weak_explicit(state, &s, s + ONE_INSIDE, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static void leave(_Atomic uint64_t *state) {
    const uint64_t s = atomic_fetch_sub_explicit(state, ONE_INSIDE, memory_order_release);
    if (!(s & CALLER_SLEEPS) || INSIDE_OF(s) > 1) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.done); /* one for jobs, one for spare time */
    pthread_mutex_unlock(&pool.lock);
}

/* Claim a spare tile, or stop them all. Returns how many were left; whoever claimed others is seen
 * inside, or has run them. */
static int64_t take_spare(bool stop) {
    int64_t left = atomic_load_explicit(&spare.left, memory_order_acquire);
    while (left > 0 &&
           !atomic_compare_exchange_weak_explicit(&spare.left, &left, stop ? -left : left - 1,
                                                  memory_order_acq_rel, memory_order_acquire)) {}
    return left;
}

static void run_spare_tile(void) {
    if (!enter(&spare.state)) return;
    const int64_t left = take_spare(false);
    if (left > 0) {
        tp__cpu_set_rounding(spare.rounding);
        spare.fn(spare.ctx, left - 1);
    }
    leave(&spare.state);
}

/* Until there is a job that this worker has not seen, or there are none any more (false). */
static bool has_job(uint32_t seen) {
    while (spin(&pool.state, is_any_work, seen, WORKER_SPIN)) {
        if (is_other_job(atomic_load_explicit(&pool.state, memory_order_acquire), seen))
            return true;
        run_spare_tile();
    }
    return false;
}

/* The processors of this thread, for as long as it keeps off one of them, and of the first thread
 * of the process, when it began to. */
typedef struct elsewhere {
    cpu_set_t before, meanwhile, first;
    bool on;
} elsewhere;

static void keep_off(int processor, elsewhere *e) {
    e->on = false;
    if (processor < 0 || processor >= CPU_SETSIZE) return;
    if (sched_getaffinity(getpid(), sizeof e->first, &e->first)) return;
    if (sched_getaffinity(0, sizeof e->before, &e->before)) return;
    e->meanwhile = e->before;
    CPU_CLR(processor, &e->meanwhile);
    e->on = CPU_COUNT(&e->meanwhile) && !sched_setaffinity(0, sizeof e->meanwhile, &e->meanwhile);
}

/* What somebody else has set meanwhile, stays: also where that is what this thread has set, as when
 * all threads are bound to the processor that is left to it. */
static void be_anywhere(const elsewhere *e) {
    cpu_set_t now, first;
    if (!e->on || sched_getaffinity(0, sizeof now, &now) || !CPU_EQUAL(&now, &e->meanwhile)) return;
    if (sched_getaffinity(getpid(), sizeof first, &first) || !CPU_EQUAL(&first, &e->first)) return;
    (void)sched_setaffinity(0, sizeof e->before, &e->before);
}

static int processor_of_caller(void) {
    return atomic_load_explicit(&pool.processor, memory_order_relaxed);
}

/* Where the two would take turns for milliseconds, however idle the others are: go away from
 * there. */
static void leave_processor_of_caller(void) {
    const int here = sched_getcpu();
    if (TP__LIKELY(here != processor_of_caller())) return;
    elsewhere e;
    keep_off(here, &e);
    be_anywhere(&e);
}

/* The system likes to wake a thread on the processor of the one that wakes it, and there it would
 * wait for that one's turn to end. So a worker keeps off while it sleeps. */
static void sleep_until_job(int number, uint32_t seen) {
    elsewhere e;
    keep_off(processor_of_caller(), &e);
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1); /* before the look at the state: see wake_workers */
    while (!is_other_job(atomic_load(&pool.state), seen) && number < atomic_load(&pool.keep))
        pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
    be_anywhere(&e);
}

/* Until there is a job that this worker has not seen (true), or the worker is to end. */
static bool await_job(int number, uint32_t *seen) {
    if (!has_job(*seen)) sleep_until_job(number, *seen);
    *seen = JOB_OF(atomic_load_explicit(&pool.state, memory_order_relaxed));
    return number < atomic_load_explicit(&pool.keep, memory_order_relaxed);
}

static void *work(void *number) {
    const int i = (int)(intptr_t)number;
    in_job = true;
    uint32_t seen = 0;
    while (await_job(i, &seen)) {
        leave_processor_of_caller();
        if (!enter(&pool.state)) continue;
        tp__cpu_set_rounding(pool.rounding);
        run_tiles(i + 1);
        leave(&pool.state);
    }
    tp_thread_end();
    return NULL;
}

/* ---- how many -------------------------------------------------------------------------------- */

/* A thread that takes no signals: those are for the threads of the program. */
static bool start_thread(pthread_t *t, void *(*fn)(void *), void *arg) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int error = pthread_create(t, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error == 0;
}

static void nobody_aside(void) {
    atomic_store(&pool.alone_until, 0);
    atomic_store(&pool.aside_until, 0);
    atomic_store(&trial.alone_until, 0);
    atomic_store(&trial.anew, true);
}

/* A fork leaves the child without workers; it may start new ones. What they were at in their spare
 * time is to be done again. */
static void forget_workers(void) {
    pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pool.wake = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.n = pool.refused = 0;
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.state, 0);
    nobody_aside();
    atomic_store(&pool.busy, false);
    atomic_store(&spare.state, OPEN);
    atomic_store(&spare.left, spare.n);
}

static void stop_workers(int keep) {
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.keep, keep);
    atomic_fetch_add(&pool.state, ONE_JOB); /* a closed job, for those that spin */
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    while (pool.n > keep) pthread_join(pool.thread[--pool.n], NULL);
}

static void start_workers(int want) {
    if (!pool.prepared) pool.prepared = pthread_atfork(NULL, NULL, forget_workers) == 0;
    atomic_store(&pool.keep, want);
    while (pool.n < want && start_thread(&pool.thread[pool.n], work, (void *)(intptr_t)pool.n))
        pool.n++;
    if (pool.n == want) return;
    pool.refused = want;
    tp__log("the system started %d of %d threads", pool.n + 1, want + 1);
}

static void resize(int want) {
    if (TP__LIKELY(pool.n == want)) return;
    if (pool.n > want)
        stop_workers(want);
    else if (want != pool.refused)
        start_workers(want);
}

/* Workers must not outlive the code they run, nor look like a leak. Skipped where the program ends
 * from within a job. The pool stays busy: what still runs at exit runs alone. */
__attribute__((destructor)) static void end_of_process(void) {
    if (in_job || atomic_exchange(&pool.busy, true)) return;
    if (pool.n) stop_workers(0);
}

static atomic_int num_threads; /* 0: not yet asked */

static int default_threads(void) {
    const char *text = getenv("TAPER_THREADS");
    if (text && *text) {
        char *end;
        const long n = strtol(text, &end, 10);
        if (!*end && n >= 1 && n <= MAX_THREADS) return (int)n;
        tp__log("TAPER_THREADS=%s is not a number from 1 to %d; ignored", text, MAX_THREADS);
    }
    const int n = tp__cpu_count();
    return n < MAX_THREADS ? n : MAX_THREADS;
}

int tp_get_num_threads(void) {
    int n = atomic_load_explicit(&num_threads, memory_order_relaxed);
    if (TP__LIKELY(n)) return n;
    const int fresh = default_threads();
    return atomic_compare_exchange_strong(&num_threads, &n, fresh) ? fresh : n;
}

tp_status tp_set_num_threads(int n) {
    if (n < 0 || n > MAX_THREADS)
        return tp_error_set(TP_EVALUE, "set_num_threads: %d is not in 0..%d", n, MAX_THREADS);
    atomic_store(&num_threads, n);
    nobody_aside(); /* who asks for threads gets them */
    return TP_OK;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* The new state is stored before `sleepers` is read, and a worker counts itself a sleeper before it
 * reads the state: one of the two sees the other. */
static bool wake_workers(int64_t useful) {
    int64_t asleep = atomic_load(&pool.sleepers);
    if (!asleep) return false;
    pthread_mutex_lock(&pool.lock);
    pthread_mutex_unlock(&pool.lock); /* now each of them waits, or has seen the job */
    if (asleep > useful) asleep = useful;
    while (asleep-- > 0) pthread_cond_signal(&pool.wake);
    return true;
}

static void sleep_until_deserted(_Atomic uint64_t *state) {
    pthread_mutex_lock(&pool.lock);
    while (INSIDE_OF(atomic_fetch_or(state, CALLER_SLEEPS))) /* again: another sleeper may go */
        pthread_cond_wait(&pool.done, &pool.lock);
    atomic_fetch_and(state, ~CALLER_SLEEPS);
    pthread_mutex_unlock(&pool.lock);
}

static void put_aside(double from, double to) {
    const bool again = from - atomic_load(&pool.aside_until) < TIMES_SOON * (to - from);
    const double end = again ? to + TIMES_ALONE * (to - from) : to;
    if (again) atomic_store(&pool.alone_until, end);
    atomic_store(&pool.aside_until, end);
}

/* What they are at began at `start`, and the caller is out of tiles. */
static void wait_for_workers(_Atomic uint64_t *state, double start) {
    if (spin(state, is_deserted, 0, CALLER_SPIN)) return;
    const double from = tp__os_now();
    sleep_until_deserted(state);
    const double now = tp__os_now(), waited = now - from;
    if (waited > PUT_ASIDE && waited > TIMES_BUSY * (from - start)) put_aside(from, now);
}

static bool does_without(void) {
    const double end = atomic_load_explicit(&pool.alone_until, memory_order_relaxed);
    if (TP__LIKELY(end <= 0)) return false;
    if (tp__os_now() < end) return true;
    atomic_store(&pool.alone_until, 0);
    return false;
}

int tp__threads_now(void) {
    return does_without() ? 1 : tp_get_num_threads();
}

/* ---- are workers worth it? ------------------------------------------------------------------- */

static bool is_faster_alone(void) {
    const double end = atomic_load_explicit(&trial.alone_until, memory_order_relaxed);
    return TP__UNLIKELY(end > 0) && tp__os_now() < end;
}

static void begin(int state, double now) {
    trial.state = state;
    trial.from = now;
    trial.made = trial.who->made;
}
static void rest(double now, double pause, bool alone) {
    trial.state = RESTING;
    trial.next = now + pause;
    atomic_store(&trial.alone_until, alone ? trial.next : 0);
}
static void give_up(double now) {
    trial.faster = 0;
    rest(now, trial.pause, false);
}

static void judge(bool faster, double now) {
    const bool changed = faster != (trial.faster > 0);
    const double longer = LONGER * trial.pause;
    trial.pause = changed ? FIRST_PAUSE : longer < LAST_PAUSE ? longer : LAST_PAUSE;
    trial.faster = faster ? trial.faster + 1 : 0;
    rest(now, trial.faster == 1 ? AGAIN : trial.pause, trial.faster > 1);
}

/* Are these the jobs of the thread that is looked at? */
static bool is_who(double now) {
    const tp__local *me = tp__here();
    const bool anew = atomic_exchange(&trial.anew, false);
    if (!anew && me != trial.who && now - trial.seen < ANOTHER) return false;
    if (anew || me != trial.who) {
        trial.who = me;
        trial.faster = 0;
        trial.pause = FIRST_PAUSE;
        rest(now, trial.pause, false);
    }
    trial.seen = now;
    return true;
}

static void go_on(double now) {
    const double seconds = now - trial.from, most = trial.together / FASTER;
    const int64_t made = trial.who->made - trial.made;
    switch (trial.state) {
    case RESTING:
        if (now >= trial.next) begin(TOGETHER, now);
        break;
    case TOGETHER:
        if (seconds > TRIAL) { /* no small work, or none at all */
            give_up(now);
        } else if (made >= SOME) {
            trial.together = seconds;
            begin(SETTLING, now);
            atomic_store(&trial.alone_until, now + 2 * seconds);
        }
        break;
    case SETTLING:
        if (seconds > MUCH_SLOWER * A_FEW / SOME * trial.together)
            judge(false, now);
        else if (made >= A_FEW)
            begin(ALONE, now);
        break;
    case ALONE:
        if (made >= SOME || seconds > most) judge(seconds <= most, now);
        break;
    }
}

/* Before a job: is it time for a trial, or for the next part of one? What is measured while
 * somebody is put aside says nothing. */
static void weigh(void) {
    enum { LOOK = 16 };
    if (trial.state == RESTING && ++trial.jobs % LOOK) return;
    const double now = tp__os_now();
    if (!is_who(now)) return;
    if (!does_without())
        go_on(now);
    else if (trial.state != RESTING)
        rest(now, AGAIN, false);
}

bool tp__threads_alone(void) {
    return trial.faster > 1;
}

/* Tiles [first, ntiles). */
static void divide(int64_t first, int64_t ntiles, int parts) {
    pool.parts = parts < MAX_PARTS ? parts : MAX_PARTS;
    const int64_t each = (ntiles - first) / pool.parts, more = (ntiles - first) % pool.parts;
    int64_t tile = first;
    for (int p = 0; p < pool.parts; p++) {
        atomic_store_explicit(&pool.part[p].next, tile, memory_order_relaxed);
        pool.part[p].end = tile += each + (p < more);
    }
}

static void run_shared(int64_t first, int64_t ntiles, tp__tile_fn fn, void *ctx) {
    pool.fn = fn;
    pool.ctx = ctx;
    pool.rounding = tp__cpu_rounding();
    divide(first, ntiles, pool.n + 1);
    const double start = tp__os_now();
    const int here = sched_getcpu(),
              before = atomic_exchange_explicit(&pool.processor, here, memory_order_relaxed);
    const uint64_t job =
        JOB_OF(atomic_load_explicit(&pool.state, memory_order_relaxed)) + UINT64_C(1);
    atomic_store(&pool.state, job * ONE_JOB | OPEN);
    if (wake_workers(ntiles - first - 1) && here != before)
        sched_yield(); /* they kept off another processor: one may be here, and is to go away */
    run_tiles(0);
    atomic_fetch_and_explicit(&pool.state, ~OPEN, memory_order_acq_rel);
    wait_for_workers(&pool.state, start);
}

/* The tiles of a small job; the first of those that are left if it is not. */
static int64_t run_small(int64_t ntiles, tp__tile_fn fn, void *ctx) {
    const double end = tp__os_now() + LARGE;
    int64_t i = 0;
    do fn(ctx, i++);
    while (i < ntiles && tp__os_now() < end);
    return i;
}

void tp__parallel(int64_t ntiles, tp__tile_fn fn, void *ctx) {
    const int threads = ntiles < 2 || in_job ? 1 : tp_get_num_threads();
    if (threads < 2 || atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) {
        for (int64_t i = 0; i < ntiles; i++) fn(ctx, i);
        return;
    }
    in_job = true;
    weigh();
    if (does_without()) {
        for (int64_t i = 0; i < ntiles; i++) fn(ctx, i);
    } else {
        const int64_t first = is_faster_alone() ? run_small(ntiles, fn, ctx) : 0;
        if (first < ntiles) {
            resize(threads - 1);
            run_shared(first, ntiles, fn, ctx);
        }
    }
    in_job = false;
    atomic_store_explicit(&pool.busy, false, memory_order_release);
}

/* ---- spare time ------------------------------------------------------------------------------ */

bool tp__spare_begin(int64_t ntiles, tp__tile_fn fn, void *ctx) {
    if (in_job || tp_get_num_threads() < 2 || does_without() || is_faster_alone()) return false;
    if (atomic_exchange_explicit(&spare.taken, true, memory_order_acquire)) return false;
    spare.fn = fn;
    spare.ctx = ctx;
    spare.rounding = tp__cpu_rounding();
    spare.n = ntiles;
    atomic_store_explicit(&spare.left, ntiles, memory_order_release);
    return true;
}

void tp__spare_stop(void) {
    (void)take_spare(true);
    wait_for_workers(&spare.state, tp__os_now());
}

int64_t tp__spare_end(void) {
    const int64_t left = atomic_exchange_explicit(&spare.left, 0, memory_order_acq_rel);
    wait_for_workers(&spare.state, tp__os_now());
    spare.n = 0;
    atomic_store_explicit(&spare.taken, false, memory_order_release);
    return left < 0 ? -left : left;
}

/* ---- plain threads and locks ----------------------------------------------------------------- */

struct tp__thread {
    pthread_t id;
    void (*fn)(void *ctx);
    void *ctx;
};

static void *run_thread(void *arg) {
    const tp__thread *t = arg;
    t->fn(t->ctx);
    tp_thread_end();
    return NULL;
}

tp__thread *tp__thread_start(void (*fn)(void *ctx), void *ctx) {
    tp__thread *t = tp__calloc(1, sizeof *t);
    if (!t) return NULL;
    t->fn = fn;
    t->ctx = ctx;
    if (start_thread(&t->id, run_thread, t)) return t;
    tp__mfree(t);
    return tp__fail(TP_ENOMEM, "the system refused to start another thread");
}

void tp__thread_join(tp__thread *t) {
    if (!t) return;
    pthread_join(t->id, NULL);
    tp__mfree(t);
}

struct tp__mutex {
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

tp__mutex *tp__mutex_new(void) {
    tp__mutex *m = tp__calloc(1, sizeof *m);
    if (!m) return NULL;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    return m;
}

void tp__mutex_free(tp__mutex *m) {
    if (!m) return;
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    tp__mfree(m);
}

void tp__mutex_lock(tp__mutex *m) {
    pthread_mutex_lock(&m->lock);
}
void tp__mutex_unlock(tp__mutex *m) {
    pthread_mutex_unlock(&m->lock);
}
void tp__mutex_wait(tp__mutex *m) {
    pthread_cond_wait(&m->changed, &m->lock);
}
void tp__mutex_wake(tp__mutex *m) {
    pthread_cond_broadcast(&m->changed);
}
