/* Tests of the pool beside other programs: where its workers run, and those that are put aside. */
#define _GNU_SOURCE
#include "pool.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/kernels.h"

/* ---- put aside ------------------------------------------------------------------------------- */

/* A worker that the system puts aside again and again, which is a tile here that takes long
 * anywhere but on the caller, is done without for a while. Asking for threads brings it back. */
typedef struct aside {
    pthread_t caller;
    atomic_int elsewhere, done; /* tiles; of these */
    int before;                 /* tiles elsewhere, when the job began */
} aside;

static void tile_anywhere(void *ctx, int64_t tile) {
    aside *a = ctx;
    if (pthread_equal(pthread_self(), a->caller)) {
        if (tile == 0) await_others(&a->elsewhere, a->before + 1);
        return;
    }
    atomic_fetch_add(&a->elsewhere, 1);
    sleep_ms(100); /* many times what the caller waits */
    atomic_fetch_add(&a->done, 1);
}

/* However late a worker is: what it has begun is done when the job returns. */
static void run_aside(aside *a) {
    a->before = a->elsewhere;
    tp__parallel(1000, tile_anywhere, a);
    assert_int_equal(a->done, a->elsewhere);
}

/* Jobs until the worker has had a tile: it may have to wake up first, on a busy machine. */
static void run_until_elsewhere(aside *a) {
    for (int i = 0; i < 2000 && !a->elsewhere; i++) run_aside(a);
}

/* Once is not enough, unless the system puts threads aside by itself meanwhile. It would be for 40
 * times the 100 ms of a tile. */
static bool shares_after_one(void) {
    tpt_ok(tp_set_num_threads(2));
    aside a = {.caller = pthread_self()};
    run_until_elsewhere(&a);
    const int before = a.elsewhere;
    for (int i = 0; i < 60 && a.elsewhere == before; i++) run_aside(&a);
    return a.elsewhere > before;
}

static void workers_put_aside_once_take_part(void **state) {
    (void)state;
    bool shares = false;
    for (int time = 0; time < 20 && !shares; time++) shares = shares_after_one();
    assert_true(shares);
    tpt_ok(tp_set_num_threads(0));
}

static void workers_put_aside_are_done_without(void **state) {
    (void)state;
    tpt_ok(tp_set_num_threads(2));
    aside a = {.caller = pthread_self()};
    run_until_elsewhere(&a);
    assert_int_not_equal(a.elsewhere, 0);
    for (int i = 0; i < 100; i++) run_aside(&a);
    assert_in_range(a.elsewhere, 1, 20); /* not in each job: the caller may be put aside too */
    tpt_ok(tp_set_num_threads(2));
    meeting m = {.expected = 2};
    tp__parallel(2, meet, &m);
    assert_false(m.missed);
    tpt_ok(tp_set_num_threads(0));
}

/* Room for a product is for all threads while they are done without as well: it is taken when they
 * are back in the midst of a training, whose steps allocate nothing. */
static void a_workspace_is_for_all_threads(void **state) {
    (void)state;
    static const struct {
        int64_t M, N, K;
    } shape[] = {{63, 500, 784}, {784, 500, 63}, {256, 30, 784}, {30, 784, 256}, {40, 40, 5000}};
    enum { SHAPES = TP__COUNT(shape) };
    tp__gemm g[SHAPES];
    size_t with_all[SHAPES];
    float *x = calloc(1000 * 1000, sizeof *x);
    assert_non_null(x);
    tpt_ok(tp_set_num_threads(2));
    for (int i = 0; i < SHAPES; i++) {
        const int64_t M = shape[i].M, N = shape[i].N, K = shape[i].K;
        g[i] = (tp__gemm){.batch = 1, .M = M, .N = N, .K = K, .a = x, .b = x, .c = x, .c_row = N};
        g[i].a_row = 1, g[i].a_col = M, g[i].b_row = N, g[i].b_col = 1;
        with_all[i] = tp__gemm_workspace(&g[i]);
        assert_int_equal(g[i].threads, 2);
    }
    aside a = {.caller = pthread_self()};
    run_until_elsewhere(&a);
    for (int i = 0; i < 100 && tp__threads_now() > 1; i++) run_aside(&a);
    assert_int_equal(tp__threads_now(), 1);
    for (int i = 0; i < SHAPES; i++) {
        assert_int_equal(tp__gemm_workspace(&g[i]), with_all[i]);
        assert_int_equal(g[i].threads, 1);
    }
    free(x);
    tpt_ok(tp_set_num_threads(0));
}

/* ---- processors ------------------------------------------------------------------------------ */

/* Workers go away from their caller's processor; where they may run stays as it is. */
typedef struct processors {
    cpu_set_t all;
    atomic_bool differ;
    pthread_t caller;
    atomic_int elsewhere, unbound; /* tiles; threads that had been bound to one */
} processors;

static void look_at_processors(void *ctx, int64_t tile) {
    (void)tile;
    processors *p = ctx;
    cpu_set_t now;
    CPU_ZERO(&now);
    if (sched_getaffinity(0, sizeof now, &now) || !CPU_EQUAL(&now, &p->all))
        atomic_store(&p->differ, true);
}

static void workers_may_run_where_the_process_may(void **state) {
    (void)state;
    processors p = {.differ = false};
    if (sched_getaffinity(0, sizeof p.all, &p.all)) tpt_skip_here("too many processors for a set");
    tpt_ok(tp_set_num_threads(4));
    for (int i = 0; i < 100; i++) {
        tp__parallel(16, look_at_processors, &p);
        if (i % 4 == 0) sleep_ms(1);
    }
    assert_false(p.differ);
    tpt_ok(tp_set_num_threads(0));
}

/* With --wrap: while `everywhere` is set, all run on its first processor, as they see it, and where
 * a thread leaves that, somebody else binds it to that: taskset -p, say. */
static cpu_set_t *_Atomic everywhere;
static atomic_int bound;
/* Where all seem to run, unless it is -1, and how often one has let others run. */
static atomic_int pretended = -1, yields;

int __real_sched_getcpu(void);
int __wrap_sched_getcpu(void);
int __wrap_sched_yield(void);
int __real_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set);
int __wrap_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set);

static int first_of(const cpu_set_t *set) {
    int i = 0;
    while (!CPU_ISSET(i, set)) i++;
    return i;
}
int __wrap_sched_getcpu(void) {
    const cpu_set_t *all = everywhere;
    if (pretended >= 0) return pretended;
    return all ? first_of(all) : __real_sched_getcpu();
}
int __wrap_sched_yield(void) {
    yields++;
    return 0;
}
int __wrap_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set) {
    const cpu_set_t *all = everywhere;
    const int r = __real_sched_setaffinity(thread, size, set);
    if (r || !all || CPU_ISSET(first_of(all), set)) return r;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first_of(all), &one);
    bound++;
    return __real_sched_setaffinity(thread, size, &one);
}

static void note_worker(void *ctx, int64_t tile) {
    (void)tile;
    _Atomic pid_t *worker = ctx;
    if (gettid() != getpid()) *worker = gettid();
}

/* Which thread the only worker is. The caller's tile waits for it: a short job may always be over
 * before a worker is awake. */
typedef struct acquaintance {
    meeting meeting;
    _Atomic pid_t worker;
} acquaintance;

static void meet_and_note(void *ctx, int64_t tile) {
    acquaintance *a = ctx;
    note_worker(&a->worker, tile);
    meet(&a->meeting, tile);
}

static pid_t find_worker(void) {
    acquaintance a = {.meeting.expected = 2};
    tp__parallel(2, meet_and_note, &a);
    assert_false(a.meeting.missed);
    assert_int_not_equal(a.worker, 0);
    return a.worker;
}

/* The system would wake it where the caller is, to wait for the caller's turn to end. */
static void a_worker_that_sleeps_keeps_off_its_caller(void **state) {
    (void)state;
    cpu_set_t all, now;
    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < 2)
        tpt_skip_here("a single processor");
    tpt_ok(tp_set_num_threads(2));
    _Atomic pid_t worker = find_worker();
    enum { LOOKS = 5 }; /* one may see a worker that is just leaving */
    int off = 0;
    for (int time = 0; time < 2000 && off < LOOKS; time++) {
        tp__parallel(16, note_worker, &worker);
        const int here = sched_getcpu();
        for (off = 0; off < LOOKS; off++) {
            sleep_ms(1);
            if (sched_getcpu() != here) break; /* this thread has moved */
            assert_int_equal(sched_getaffinity(worker, sizeof now, &now), 0);
            if (CPU_ISSET(here, &now) || CPU_COUNT(&now) != CPU_COUNT(&all) - 1) break;
        }
    }
    assert_int_equal(off, LOOKS);
    tpt_ok(tp_set_num_threads(0));
}

/* A caller that has come to another processor meanwhile lets those go away that it wakes there. */
static void a_caller_that_has_moved_lets_workers_go(void **state) {
    (void)state;
    static counts c;
    tpt_ok(tp_set_num_threads(2));
    pretended = 0;
    tp__parallel(2, count_tile, &c);
    yields = 0;
    for (int i = 0; i < 20; i++) {
        sleep_ms(1);
        tp__parallel(2, count_tile, &c);
    }
    assert_int_equal(yields, 0);
    int jobs = 0;
    for (; jobs < 20000 && !yields; jobs++) {
        sleep_ms(1);
        pretended = !pretended;
        tp__parallel(2, count_tile, &c);
    }
    pretended = -1;
    assert_int_equal(yields, 1);
    tpt_ok(tp_set_num_threads(0));
}

static void unbind(void *ctx, int64_t tile) {
    processors *p = ctx;
    cpu_set_t now;
    if (pthread_equal(pthread_self(), p->caller)) {
        if (tile == 0) await_others(&p->elsewhere, 1);
        return;
    }
    if (p->elsewhere++ || sched_getaffinity(0, sizeof now, &now)) return;
    if (CPU_COUNT(&now) == 1) p->unbound++;
    (void)sched_setaffinity(0, sizeof p->all, &p->all);
}

static void what_others_set_stays(void **state) {
    (void)state;
    static counts c;
    processors p = {.caller = pthread_self()};
    if (sched_getaffinity(0, sizeof p.all, &p.all) || CPU_COUNT(&p.all) < 2)
        tpt_skip_here("a single processor");
    tpt_ok(tp_set_num_threads(2));
    everywhere = &p.all;
    for (int ms = 0; ms < 20000 && !bound; ms++) {
        tp__parallel(2, count_tile, &c);
        sleep_ms(1);
    }
    everywhere = NULL;
    assert_int_not_equal(bound, 0);
    for (int ms = 0; ms < 20000 && !p.unbound; ms++) {
        p.elsewhere = 0;
        tp__parallel(16, unbind, &p);
        sleep_ms(1);
    }
    assert_int_equal(p.unbound, 1);
    tpt_ok(tp_set_num_threads(0));
}

/* All threads are bound to the processors to which a worker has bound itself while it sleeps. */
static void what_others_set_for_all_stays(void **state) {
    (void)state;
    cpu_set_t all, one, rest, now;
    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < 2)
        tpt_skip_here("a single processor");
    CPU_ZERO(&one);
    CPU_SET(first_of(&all), &one);
    CPU_XOR(&rest, &all, &one);
    tpt_ok(tp_set_num_threads(2));
    _Atomic pid_t worker = find_worker();
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0); /* the caller's */
    CPU_ZERO(&now);
    for (int i = 0; i < 10000 && !CPU_EQUAL(&now, &rest); i++) {
        tp__parallel(16, note_worker, &worker);
        sleep_ms(2);
        assert_int_equal(sched_getaffinity(worker, sizeof now, &now), 0);
        if (!CPU_EQUAL(&now, &rest)) /* it slept where the caller is now */
            assert_int_equal(sched_setaffinity(worker, sizeof all, &all), 0);
    }
    assert_true(CPU_EQUAL(&now, &rest));
    assert_int_equal(sched_setaffinity(0, sizeof rest, &rest), 0);
    assert_int_equal(sched_setaffinity(worker, sizeof rest, &rest), 0);
    for (int i = 0; i < 20; i++) {
        tp__parallel(16, note_worker, &worker);
        assert_int_equal(sched_getaffinity(worker, sizeof now, &now), 0);
        assert_false(CPU_ISSET(first_of(&all), &now));
        sleep_ms(1);
    }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    tpt_ok(tp_set_num_threads(1)); /* that worker ends */
    tpt_ok(tp_set_num_threads(0));
}

int main(int argc, char **argv) {
    wakes_late = argc > 1 ? atoi(argv[1]) : 0;
    const struct CMUnitTest tests[] = {
        TPT(workers_put_aside_once_take_part),
        TPT(workers_put_aside_are_done_without),
        TPT(a_workspace_is_for_all_threads),
        TPT(workers_may_run_where_the_process_may),
        TPT(a_worker_that_sleeps_keeps_off_its_caller),
        TPT(a_caller_that_has_moved_lets_workers_go),
        TPT(what_others_set_stays),
        TPT(what_others_set_for_all_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
