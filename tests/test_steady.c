/* test_steady.c -- a training step asks the system for nothing: no memory, and no call.
 *
 * The C library's allocator is replaced by one that counts. System calls are forbidden by a seccomp
 * filter in a child; the first one that is made all the same ends it, and its number is the answer.
 * What is allowed: the clock, where the C library cannot read it by itself; with several threads,
 * what puts the pool's workers to sleep and wakes them, after a pause or a long tile. */
#define _GNU_SOURCE
#include "taper.h" /* before support.h, which wants the plain functions */

#include "support.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#endif

/* ---- counting allocations -------------------------------------------------------------------- */

static atomic_long allocations;

#if defined __GLIBC__ && !defined SANITIZED
enum { COUNTED = 1 };
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n) {
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(p, n);
}
int posix_memalign(void **p, size_t alignment, size_t n) {
    atomic_fetch_add(&allocations, 1);
    return (*p = __libc_memalign(alignment, n)) ? 0 : ENOMEM;
}
#else
enum { COUNTED = 0 };
#endif

/* Neither sanitizers nor valgrind leave the process alone. */
static void skip_if_watched(void) {
    const char *preload = getenv("LD_PRELOAD");
    if (!COUNTED) tpt_skip_here("a sanitizer has its own malloc and system calls");
    if (preload && strstr(preload, "vgpreload")) tpt_skip_here("valgrind has its own malloc");
}

/* ---- trainings ------------------------------------------------------------------------------- */

enum { IMAGES = 640, PIXELS = 784 };

typedef struct training {
    tp_dataset ds;
    tp_loader *dl;
    tp_module *net;
    tp_optim *opt;
    bool binary;
} training;

/* Images of bytes in memory, shuffled, gathered in batches of which the last is smaller. */
static training begin(const char *architecture, bool binary, bool adam) {
    training t = {.binary = binary};
    const tp_scope s = tp_scope_begin();
    tp_manual_seed(3);
    tp_tensor *x = tp_to(tp_randint(0, 256, TP_SHAPE(IMAGES, PIXELS), NULL), TP_UINT8);
    tp_tensor *y = tp_randint(0, binary ? 2 : 10, TP_SHAPE(IMAGES), NULL);
    tpt_ok(tp_zip_dataset(x, binary ? tp_unsqueeze(y, 1) : y, &t.ds));
    tp_scope_end(s);
    t.net = tp_module_parse(architecture, NULL);
    t.opt = adam ? tp_adam(t.net, .lr = 0.001) : tp_sgd(t.net, .lr = 0.1, .momentum = 0.9);
    t.dl = tp_loader_new(&t.ds, .batch_size = 64 - 1, .shuffle = true);
    assert_true(t.net && t.opt && t.dl);
    return t;
}

static void end(training *t) {
    tp_loader_free(t->dl);
    tp_optim_free(t->opt);
    tp_module_free(t->net);
    tp_dataset_free(&t->ds);
}

static tp_tensor *loss_of(const training *t, const tp_batch *b) {
    tp_tensor *p = tp_forward(t->net, b->x);
    if (!t->binary) return tp_cross_entropy(p, b->y);
    p = tp_sigmoid(p);
    return tp_mean(tp_where(tp_eq(b->y, 1), tp_sub(1, p), p));
}

/* Batches, over the ends of passes. */
static bool train(training *t, int batches) {
    tp_batch b;
    while (batches > 0) {
        const int r = tp_loader_next(t->dl, &b);
        if (r < 0) return false;
        if (!r) continue;
        const tp_scope s = tp_scope_begin();
        if (tp_backward(loss_of(t, &b)) || tp_optim_step(t->opt)) return false;
        tp_optim_zero_grad(t->opt);
        tp_scope_end(s);
        batches--;
    }
    return true;
}

enum { WARM = 30, STEADY = 120 }; /* batches; 11 are a pass */

static const struct {
    const char *architecture;
    bool binary, adam;
} nets[] = {
    {"linear(784,30) relu linear(30,1)", true, false},
    {"linear(784,500) relu linear(500,10)", false, true},
    {"linear(784,500) relu linear(500,10)", false, false},
};

/* ---- memory ---------------------------------------------------------------------------------- */

static void no_allocation(void **state) {
    (void)state;
    skip_if_watched();
    for (int threads = 1; threads <= 2; threads++)
        for (int i = 0; i < TP__COUNT(nets); i++) {
            tpt_ok(tp_set_num_threads(threads));
            training t = begin(nets[i].architecture, nets[i].binary, nets[i].adam);
            assert_true(train(&t, WARM));
            const long before = atomic_load(&allocations);
            assert_true(train(&t, STEADY));
            assert_int_equal(atomic_load(&allocations) - before, 0);
            end(&t);
        }
    tpt_ok(tp_set_num_threads(0));
}

/* ---- system calls ---------------------------------------------------------------------------- */

/* Exit codes of the child; else one more than a system call's number, as that of read() is 0. */
enum { REFUSED = 250, FAILED = 251 };

static void on_call(int signal, siginfo_t *info, void *unused) {
    (void)signal, (void)unused;
    _exit(info->si_syscall + 1 < REFUSED ? info->si_syscall + 1 : REFUSED - 1);
}

#define ALLOW(call)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define CALL_NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define TRAP BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
static struct sock_filter alone[] = {CALL_NUMBER, ALLOW(exit_group), ALLOW(clock_gettime), TRAP};
static struct sock_filter pool[] = {CALL_NUMBER,
                                    ALLOW(exit_group),
                                    ALLOW(clock_gettime),
                                    ALLOW(futex),
                                    ALLOW(getpid),
                                    ALLOW(sched_getaffinity),
                                    ALLOW(sched_setaffinity),
                                    ALLOW(sched_yield),
                                    TRAP};

/* For all threads of this process, for ever. */
static bool forbid(struct sock_filter *rules, size_t n) {
    const struct sigaction act = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    const struct sock_fprog program = {(unsigned short)n, rules};
    return !sigaction(SIGSYS, &act, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

/* What the child calls once it is warm. */
static void forbid_calls(int threads) {
    const bool ok = threads == 1 ? forbid(alone, TP__COUNT(alone)) : forbid(pool, TP__COUNT(pool));
    if (!ok) _exit(REFUSED);
}

static void expect_no_call(pid_t child) {
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) print_error("a worker made a system call, or %d\n", WTERMSIG(status));
    assert_true(WIFEXITED(status));
    const int code = WEXITSTATUS(status);
    if (code == REFUSED) tpt_skip_here("the system has no seccomp filters");
    if (code) print_error("a step made system call %d\n", code - 1);
    assert_int_equal(code, 0);
}

/* Both tiles wait for each other: afterwards the worker has begun. Called right after the number of
 * threads was set: later, the pool may do without a worker that the system keeps away. */
static void meet(void *here, int64_t tile) {
    (void)tile;
    atomic_fetch_add((atomic_int *)here, 1);
    while (atomic_load((atomic_int *)here) < 2) tp__cpu_pause();
}

static void no_call_of(int threads, int net) {
    const pid_t child = fork();
    if (!child) {
        if (tp_set_num_threads(threads)) _exit(FAILED);
        atomic_int here = 0;
        if (threads == 2) tp__parallel(2, meet, &here);
        training t = begin(nets[net].architecture, nets[net].binary, nets[net].adam);
        if (!train(&t, WARM)) _exit(FAILED);
        forbid_calls(threads);
        _exit(train(&t, STEADY) ? 0 : FAILED);
    }
    expect_no_call(child);
}

static void no_system_call(void **state) {
    (void)state;
    skip_if_watched();
    for (int i = 0; i < TP__COUNT(nets); i++) no_call_of(1, i);
}

static void two_threads_sleep_and_wake(void **state) {
    (void)state;
    skip_if_watched();
    for (int i = 0; i < TP__COUNT(nets); i++) no_call_of(2, i);
}

/* The Learner's own loop, with its recorder and its callbacks, within an epoch. */
static tp_status watch(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const tp_progress *p = tp_learner_progress(l);
    if (p->step == 4) forbid_calls(1);
    if (p->step == 10) _exit(0);
    return TP_OK;
}

static void no_system_call_of_a_learner(void **state) {
    (void)state;
    skip_if_watched();
    const pid_t child = fork();
    if (!child) {
        if (tp_set_num_threads(1)) _exit(FAILED);
        training t = begin(nets[1].architecture, false, true);
        tp_callback cb = {.size = sizeof cb, .order = 90, .after_batch = watch};
        tp_callback *const callbacks[] = {&cb};
        tp_learner *l = tp_learner_new(.train = t.dl, .model = t.net, .loss = tp_cross_entropy,
                                       .optim = t.opt, .callbacks = callbacks, .ncallbacks = 1);
        (void)!tp_fit(l, 1, 0.001);
        _exit(FAILED); /* the end of the epoch is never reached */
    }
    expect_no_call(child);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(no_allocation),
        TPT(no_system_call),
        TPT(two_threads_sleep_and_wake),
        TPT(no_system_call_of_a_learner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
