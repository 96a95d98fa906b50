/* Tests of the pool and of the plain threads. */
#define _GNU_SOURCE
#include "pool.h"
#include "taper/tensor.h"

#include <fenv.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#elif defined __SANITIZE_THREAD__
#define WITH_TSAN 1
#endif
#ifndef WITH_TSAN
#define WITH_TSAN 0
#endif

/* ---- jobs ------------------------------------------------------------------------------------ */

static void check_each_tile_once(int64_t ntiles) {
    static counts c;
    memset(&c, 0, sizeof c);
    tp__parallel(ntiles, count_tile, &c);
    for (int64_t i = 0; i < MOST_TILES; i++) assert_int_equal(c.of[i], i < ntiles);
}

static void each_tile_runs_once(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 3, 5, 8, 2, 1, 0};
    static const int64_t tiles[] = {0, 1, 2, 3, 7, 64, 999, MOST_TILES};
    for (int t = 0; t < TP__COUNT(threads); t++) {
        tpt_ok(tp_set_num_threads(threads[t]));
        for (int i = 0; i < TP__COUNT(tiles); i++) check_each_tile_once(tiles[i]);
    }
}

static void jobs_without_tiles_do_nothing(void **state) {
    (void)state;
    tp__parallel(0, NULL, NULL);
    tp__parallel(-3, NULL, NULL);
}

static void tiles_run_at_the_same_time(void **state) {
    (void)state;
    for (int n = 2; n <= 6; n += 2) {
        tpt_ok(tp_set_num_threads(n));
        meeting m = {.expected = n};
        tp__parallel(n, meet, &m);
        assert_false(m.missed);
    }
    tpt_ok(tp_set_num_threads(0));
}

/* Many short jobs, with and without a pause in which the workers fall asleep. */
static void short_jobs_lose_nothing(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(4));
    static counts c;
    memset(&c, 0, sizeof c);
    const int jobs = WITH_TSAN ? 2000 : 20000;
    for (int i = 0; i < jobs; i++) {
        tp__parallel(2 + i % 5, count_tile, &c);
        if (i % 500 == 0) sleep_ms(1);
    }
    int64_t total = 0, expected = 0;
    for (int i = 0; i < 6; i++) total += c.of[i];
    for (int i = 0; i < jobs; i++) expected += 2 + i % 5;
    assert_int_equal(total, expected);
    tpt_ok(tp_set_num_threads(0));
}

/* What a job wrote is there when it returns, without atomics. */
static void fill_tile(void *ctx, int64_t tile) {
    int64_t *out = ctx;
    for (int i = 0; i < 64; i++) out[tile * 64 + i] = tile * 64 + i;
}

static void results_are_visible_to_the_caller(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(3));
    static int64_t out[100 * 64];
    for (int round = 0; round < 50; round++) {
        memset(out, 0xff, sizeof out);
        tp__parallel(100, fill_tile, out);
        for (int i = 0; i < 100 * 64; i++) assert_int_equal(out[i], i);
    }
    tpt_ok(tp_set_num_threads(0));
}

/* Each thread's: the sum of 1 and half of the last place above it, and a denormal product. */
typedef struct arithmetic {
    meeting meeting;
    atomic_int ups, denormals;
} arithmetic;

static void calculate(void *ctx, int64_t tile) {
    (void)tile;
    arithmetic *a = ctx;
    volatile float one = 1, little = 0x1p-24f, tiny = 0x1p-126f, half = 0.5f;
    if (one + little > 1) a->ups++;
    if (tiny * half > 0) a->denormals++;
}

static void calculate_together(void *ctx, int64_t tile) {
    arithmetic *a = ctx;
    meet(&a->meeting, tile);
    calculate(ctx, tile);
}

static void check_arithmetic(int ups, int denormals) {
    arithmetic a = {.meeting.expected = 3};
    tpt_ok(tp_set_num_threads(3)); /* also forgets who was put aside */
    tp__parallel(3, calculate_together, &a);
    assert_false(a.meeting.missed);
    assert_int_equal(a.ups, ups);
    assert_int_equal(a.denormals, denormals);
}

static void workers_round_as_their_caller(void **state) {
    (void)state;
    tpt_needs_flushing();
    check_arithmetic(0, 3);
    assert_false(tp_set_flush_denormal(true));
    check_arithmetic(0, 0);
    assert_int_equal(fesetround(FE_UPWARD), 0);
    check_arithmetic(3, 0);
    assert_true(tp_set_flush_denormal(false));
    check_arithmetic(3, 3);
    assert_int_equal(fesetround(FE_TONEAREST), 0);
    check_arithmetic(0, 3);
    arithmetic spare = {0};
    (void)tp_set_flush_denormal(true);
    for (;;) { /* until a worker has had time for the tile; it rounded otherwise before */
        tpt_ok(tp_set_num_threads(3));
        assert_true(tp__spare_begin(1, calculate, &spare));
        (void)tp_set_flush_denormal(false);
        check_arithmetic(0, 3);
        sleep_ms(1);
        (void)tp_set_flush_denormal(true);
        if (tp__spare_end() == 0) break;
    }
    assert_int_equal(spare.denormals, 0);
    (void)tp_set_flush_denormal(false);
    tpt_ok(tp_set_num_threads(0));
}

static void nested_tile(void *ctx, int64_t tile) {
    (void)tile;
    tp__parallel(10, count_tile, ctx);
}

static void nested_jobs_run_alone(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(3));
    static counts c;
    memset(&c, 0, sizeof c);
    tp__parallel(20, nested_tile, &c);
    for (int i = 0; i < 10; i++) assert_int_equal(c.of[i], 20);
    tpt_ok(tp_set_num_threads(0));
}

static void call_often(void *ctx) {
    for (int i = 0; i < 300; i++) tp__parallel(16, count_tile, ctx);
}

static void callers_may_compete(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(3));
    static counts c[4];
    memset(c, 0, sizeof c);
    tp__thread *t[4];
    for (int i = 0; i < 4; i++) assert_non_null(t[i] = tp__thread_start(call_often, &c[i]));
    for (int i = 0; i < 4; i++) tp__thread_join(t[i]);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++) assert_int_equal(c[i].of[k], 300);
    tpt_ok(tp_set_num_threads(0));
}

/* ---- spare time ------------------------------------------------------------------------------ */

/* Each tile is run once, by a worker or, as it is left, here; what workers wrote is seen. */
static void spare_tiles_run_once(void **state) {
    (void)state;
    enum { TILES = 60 };
    tpt_ok(tp_set_num_threads(4));
    static int64_t out[TILES * 64];
    static counts c;
    memset(&c, 0, sizeof c);
    for (int round = 0; round < 300; round++) {
        memset(out, 0xff, sizeof out);
        const bool given = tp__spare_begin(TILES, fill_tile, out); /* no: somebody was put aside */
        for (int i = 0; i < round % 4; i++) tp__parallel(8, count_tile, &c);
        if (round % 50 == 0) sleep_ms(1);
        const int64_t left = given ? tp__spare_end() : TILES;
        assert_in_range(left, 0, TILES);
        for (int64_t i = 0; i < left; i++) {
            assert_int_equal(out[i * 64], -1);
            fill_tile(out, i);
        }
        for (int i = 0; i < TILES * 64; i++) assert_int_equal(out[i], i);
    }
    for (int i = 0; i < 8; i++) assert_int_equal(c.of[i], 450); /* and no job lost one */
    tpt_ok(tp_set_num_threads(0));
}

static void workers_have_spare_time(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(2));
    static counts c, spare;
    memset(&spare, 0, sizeof spare);
    assert_true(tp__spare_begin(10, count_tile, &spare));
    for (int ms = 0; ms < 20000 && !spare.of[0]; ms++) { /* a job: the worker wakes up */
        tp__parallel(2, count_tile, &c);
        sleep_ms(1);
    }
    for (int i = 0; i < 10; i++) assert_int_equal(spare.of[i], 1);
    assert_int_equal(tp__spare_end(), 0);
    tpt_ok(tp_set_num_threads(0));
}

typedef struct slow_tiles {
    atomic_int begun, seen; /* how many were done, by each who stopped them */
    int done[10];
} slow_tiles;

static void slow_tile(void *ctx, int64_t tile) {
    slow_tiles *s = ctx;
    atomic_fetch_add(&s->begun, 1);
    sleep_ms(20);
    s->done[tile] = 1;
}

/* Until a worker is at one. */
static void begin_slow_tiles(slow_tiles *s) {
    static counts c;
    assert_true(tp__spare_begin(10, slow_tile, s));
    for (int ms = 0; ms < 20000 && !s->begun; ms++) {
        tp__parallel(2, count_tile, &c);
        sleep_ms(1);
    }
}

static void tiles_that_were_begun_are_waited_for(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(2));
    slow_tiles s = {.begun = 0};
    begin_slow_tiles(&s);
    const int64_t left = tp__spare_end();
    assert_in_range(left, 0, 9);
    for (int i = 0; i < 10; i++) assert_int_equal(s.done[i], i >= left);
    tpt_ok(tp_set_num_threads(0));
}

/* From then on none is begun, and those that were are done. */
static void spare_tiles_are_stopped(void **state) {
    (void)state;
    enum { TILES = 400 };
    tpt_ok(tp_set_num_threads(3));
    static int64_t out[TILES * 64], then[TILES * 64];
    static counts c;
    for (int round = 0; round < 200; round++) {
        memset(out, 0xff, sizeof out);
        if (!tp__spare_begin(TILES, fill_tile, out)) continue;
        for (int i = 0; i < round % 4; i++) tp__parallel(8, count_tile, &c);
        tp__spare_stop();
        memcpy(then, out, sizeof out);
        for (int i = 0; i < 2; i++) tp__parallel(8, count_tile, &c);
        if (round % 3) tp__spare_stop(); /* again */
        if (round % 50 == 0) sleep_ms(1);
        const int64_t left = tp__spare_end();
        assert_memory_equal(then, out, sizeof out);
        assert_in_range(left, 0, TILES);
        for (int64_t i = 0; i < TILES * 64; i++) assert_int_equal(out[i], i < left * 64 ? -1 : i);
    }
    tpt_ok(tp_set_num_threads(0));
}

static void stop_slow_tiles(void *slow) {
    slow_tiles *s = slow;
    tp__spare_stop();
    const int begun = s->begun;
    for (int i = 0; i < 10; i++) s->seen += s->done[i];
    s->seen += begun == s->begun ? 0 : 100;
}

/* By several threads at once: each waits for all that was begun. */
static void spare_tiles_are_stopped_by_many(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(3));
    slow_tiles s = {.begun = 0};
    begin_slow_tiles(&s);
    tp__thread *t[4];
    for (int i = 0; i < 4; i++) assert_non_null(t[i] = tp__thread_start(stop_slow_tiles, &s));
    for (int i = 0; i < 4; i++) tp__thread_join(t[i]);
    const int64_t left = tp__spare_end();
    assert_int_equal(s.begun, 10 - left);
    assert_int_equal(s.seen, 4 * s.begun);
    tpt_ok(tp_set_num_threads(0));
}

static void spare_time_is_given_once(void **state) {
    (void)state;
    static counts c;
    tpt_ok(tp_set_num_threads(1));
    assert_false(tp__spare_begin(5, count_tile, &c)); /* nobody has any */
    tpt_ok(tp_set_num_threads(2));
    assert_true(tp__spare_begin(5, count_tile, &c));
    assert_false(tp__spare_begin(5, count_tile, &c));
    (void)tp__spare_end();
    tpt_ok(tp_set_num_threads(2));
    assert_true(tp__spare_begin(5, count_tile, &c));
    (void)tp__spare_end();
    tpt_ok(tp_set_num_threads(0));
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void idle_workers_sleep(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(4));
    check_each_tile_once(100);
    sleep_ms(20);
    const double before = cpu_seconds();
    sleep_ms(200);
    assert_true(cpu_seconds() - before < 0.05);
    tpt_ok(tp_set_num_threads(0));
}

/* ---- processes ------------------------------------------------------------------------------- */

static int child_status(pid_t pid) {
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_forked_child_starts_its_own_workers(void **state) {
    (void)state;
    if (WITH_TSAN) tpt_skip_here("ThreadSanitizer does not allow threads after a fork");
    tpt_ok(tp_set_num_threads(3));
    check_each_tile_once(100);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        meeting m = {.expected = 3};
        tp__parallel(3, meet, &m);
        static counts c;
        memset(&c, 0, sizeof c);
        tp__parallel(500, count_tile, &c);
        bool ok = !m.missed;
        for (int i = 0; i < 500; i++) ok &= c.of[i] == 1;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(child_status(pid), 0);
    check_each_tile_once(100); /* and the parent still has its own */
    tpt_ok(tp_set_num_threads(0));
}

/* What workers had begun in their spare time is lost to the child: it does all again. */
static void a_forked_child_has_all_spare_tiles(void **state) {
    (void)state;
    if (WITH_TSAN) {
        print_message("# ThreadSanitizer does not allow threads after a fork\n");
        skip();
    }
    tpt_ok(tp_set_num_threads(3));
    static counts c, spare;
    memset(&spare, 0, sizeof spare);
    assert_true(tp__spare_begin(50, count_tile, &spare));
    for (int i = 0; i < 100 && !spare.of[49]; i++) tp__parallel(3, count_tile, &c);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(tp__spare_end() == 50 ? 0 : 1);
    assert_int_equal(child_status(pid), 0);
    const int64_t left = tp__spare_end();
    for (int i = 0; i < 50; i++) assert_int_equal(spare.of[i], i >= left);
    tpt_ok(tp_set_num_threads(0));
}

/* Fork while another thread of this process keeps the pool busy. */
static void fork_while_others_compute(void **state) {
    (void)state;
    if (WITH_TSAN) tpt_skip_here("ThreadSanitizer does not allow threads after a fork");
    tpt_ok(tp_set_num_threads(3));
    static counts c, mine;
    memset(&c, 0, sizeof c);
    tp__thread *t = tp__thread_start(call_often, &c);
    assert_non_null(t);
    for (int i = 0; i < 5; i++) {
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            memset(&mine, 0, sizeof mine);
            tp__parallel(50, count_tile, &mine);
            bool ok = true;
            for (int k = 0; k < 50; k++) ok &= mine.of[k] == 1;
            _exit(ok ? 0 : 1);
        }
        assert_int_equal(child_status(pid), 0);
    }
    tp__thread_join(t);
    for (int k = 0; k < 16; k++) assert_int_equal(c.of[k], 300);
    tpt_ok(tp_set_num_threads(0));
}

/* ---- plain threads and locks ----------------------------------------------------------------- */

typedef struct mailbox {
    tp__mutex *lock;
    int value; /* 0: empty */
    int64_t sum;
} mailbox;

static void consume(void *ctx) {
    mailbox *m = ctx;
    for (int v = 0; v >= 0;) {
        tp__mutex_lock(m->lock);
        while (!m->value) tp__mutex_wait(m->lock);
        v = m->value;
        m->value = 0;
        if (v > 0) m->sum += v;
        tp__mutex_wake(m->lock);
        tp__mutex_unlock(m->lock);
    }
}

static void produce(mailbox *m, int v) {
    tp__mutex_lock(m->lock);
    while (m->value) tp__mutex_wait(m->lock);
    m->value = v;
    tp__mutex_wake(m->lock);
    tp__mutex_unlock(m->lock);
}

static void threads_hand_over_work(void **state) {
    (void)state;
    mailbox m = {.lock = tp__mutex_new()};
    assert_non_null(m.lock);
    tp__thread *t = tp__thread_start(consume, &m);
    assert_non_null(t);
    for (int v = 1; v <= 1000; v++) produce(&m, v);
    produce(&m, -1);
    tp__thread_join(t);
    assert_int_equal(m.sum, 500500);
    tp__mutex_free(m.lock);
    tp__thread_join(NULL);
    tp__mutex_free(NULL);
}

/* ---- */

/* The time by which the pool judges, in ns, if it is not 0: tiles say how long they take, as what
 * else the machine does should decide nothing. */
static atomic_llong pretended;

double __real_tp__os_now(void);
double __wrap_tp__os_now(void);
double __wrap_tp__os_now(void) {
    enum { A_LOOK = 100 };
    if (!atomic_load(&pretended)) return __real_tp__os_now();
    return 1e-9 * (double)atomic_fetch_add(&pretended, A_LOOK);
}

/* Tiles that cost a worker much more than the caller: memory that is far from the other core. */
typedef struct far_tiles {
    pthread_t caller;
    atomic_bool far;
    atomic_int by_others;
} far_tiles;

static bool is_other(far_tiles *f) {
    if (pthread_equal(pthread_self(), f->caller)) return false;
    atomic_fetch_add(&f->by_others, 1);
    return true;
}
static void far_tile(void *ctx, int64_t tile) {
    (void)tile;
    far_tiles *f = ctx;
    const double end = __real_tp__os_now() + 1e-6;
    while (__real_tp__os_now() < end) tp__cpu_pause();
    atomic_fetch_add(&pretended, is_other(f) && atomic_load(&f->far) ? 200000 : 1000);
}
static void await_other(void *ctx, int64_t tile) {
    (void)tile;
    far_tiles *f = ctx;
    if (!is_other(f)) await_others(&f->by_others, 1);
    atomic_fetch_add(&pretended, 2000000);
}

/* Small steps of a training, for a minute at most, until they are done so. */
static void step_until(far_tiles *f, bool alone) {
    const double end = __real_tp__os_now() + 60;
    while (tp__threads_alone() != alone) {
        assert_true(__real_tp__os_now() < end);
        const tp_scope s = tp_scope_begin();
        for (int i = 0; i < 16; i++) assert_non_null(tp_zeros(TP_SHAPE(4), TP_FLOAT32));
        tp__parallel(8, far_tile, f);
        tp_scope_end(s);
    }
}

/* What takes long is shared all the same. */
static void small_work_is_done_alone_where_that_is_faster(void **state) {
    (void)state;
    if (tp__cpu_count() < 2) tpt_skip_here("one processor does what its threads do in turn");
    atomic_store(&pretended, (long long)(1e9 * __real_tp__os_now()));
    tpt_ok(tp_set_num_threads(2));
    far_tiles f = {.caller = pthread_self(), .far = true};
    step_until(&f, true);
    atomic_store(&f.by_others, 0);
    tp__parallel(8, far_tile, &f);
    assert_int_equal(atomic_load(&f.by_others), 0);
    for (int i = 0; i < 20 && !atomic_load(&f.by_others); i++) tp__parallel(4, await_other, &f);
    assert_true(atomic_load(&f.by_others) > 0);
    atomic_store(&f.far, false);
    step_until(&f, false);
    atomic_store(&pretended, 0);
    tpt_ok(tp_set_num_threads(0));
}

int main(int argc, char **argv) {
    wakes_late = argc > 1 ? atoi(argv[1]) : 0;
    const struct CMUnitTest tests[] = {
        TPT(each_tile_runs_once),
        TPT(jobs_without_tiles_do_nothing),
        TPT(tiles_run_at_the_same_time),
        TPT(short_jobs_lose_nothing),
        TPT(results_are_visible_to_the_caller),
        TPT(workers_round_as_their_caller),
        TPT(nested_jobs_run_alone),
        TPT(callers_may_compete),
        TPT(spare_tiles_run_once),
        TPT(workers_have_spare_time),
        TPT(tiles_that_were_begun_are_waited_for),
        TPT(spare_tiles_are_stopped),
        TPT(spare_tiles_are_stopped_by_many),
        TPT(spare_time_is_given_once),
        TPT(idle_workers_sleep),
        TPT(a_forked_child_starts_its_own_workers),
        TPT(a_forked_child_has_all_spare_tiles),
        TPT(fork_while_others_compute),
        TPT(threads_hand_over_work),
        TPT(small_work_is_done_alone_where_that_is_faster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
