/* Tests that results have the same bits whatever computes them: any number of threads, pinned or
 * not, while other programs want the processors, and any ISA level (products of matrices: v3 and
 * v4).
 *
 * Each case prints how many tiles its largest job had: with few of them threads would have nothing
 * to get wrong. The pool's entry is wrapped by the linker to see that (cmake/tests.cmake). */
#define _GNU_SOURCE
#include "taper.h"

#include "support.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/kernels.h"

enum { MANY = 300000, LEAST_TILES = 8, NUMBERS = 12 };
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { PROGRAMS = 2, SHAPES = 2, STEPS = 1 };
#else
enum { PROGRAMS = 8, SHAPES = 6, STEPS = 2 };
#endif
static const int thread_counts[] = {1, 2, 3, 5, 8};

/* ---- tiles ----------------------------------------------------------------------------------- */

static int64_t most_tiles; /* of a job since it was set to 0 */
void __real_tp__parallel(int64_t ntiles, tp__tile_fn fn, void *ctx);
void __wrap_tp__parallel(int64_t ntiles, tp__tile_fn fn, void *ctx);
void __wrap_tp__parallel(int64_t ntiles, tp__tile_fn fn, void *ctx) {
    if (ntiles > most_tiles) most_tiles = ntiles;
    __real_tp__parallel(ntiles, fn, ctx);
}

static void expect_tiles(const char *what) {
    printf("# %s: %lld tiles\n", what, (long long)most_tiles);
    if (most_tiles < LEAST_TILES) fail_msg("%s: only %lld tiles", what, (long long)most_tiles);
}

/* ---- random numbers and digests -------------------------------------------------------------- */

static uint64_t seed;
static int64_t draw(int64_t n) { /* 0..n-1 */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed >> 11) % n;
}

/* All NaN are one: processors may choose what one carries. */
static void digest(uint64_t *h, const tp_tensor *x) {
    if (!x) fail_msg("%s", tp_error_message());
    const int64_t n = tp_numel(x);
    const int size = (int)tp_dtype_size(tp_dtype_of(x));
    const char *p = tp_data_ptr(x);
    for (int64_t i = 0; i < n; i++, p += size) {
        uint64_t bits = 0;
        memcpy(&bits, p, (size_t)size);
        if (tp_dtype_of(x) == TP_FLOAT32 && (bits & 0x7fffffff) > 0x7f800000) bits = 0x7fc00000;
        *h = (*h ^ bits) * 0x100000001b3;
    }
}

/* ---- random programs ------------------------------------------------------------------------- */

typedef struct program {
    int64_t rows, columns;
    bool products;
    tp_tensor *value[NUMBERS];
    int n;
} program;

static tp_tensor *any(const program *p) {
    return p->value[draw(p->n)];
}

static tp_tensor *unary(tp_tensor *x) {
    static tp_tensor *(*const fn[])(tp_tensor *) = {
        tp_exp, tp_expm1, tp_log,  tp_log1p,    tp_sqrt, tp_sin, tp_cos,    tp_tanh, tp_sigmoid,
        tp_erf, tp_gelu,  tp_silu, tp_softplus, tp_relu, tp_abs, tp_square, tp_neg};
    return fn[draw(TP__COUNT(fn))](x);
}
static tp_tensor *binary(tp_tensor *x, tp_tensor *y) {
    switch (draw(6)) {
    case 0: return tp_add(x, y);
    case 1: return tp_sub(x, y);
    case 2: return tp_mul(x, y);
    case 3: return tp_div(x, tp_add(tp_square(y), 1));
    case 4: return tp_maximum(x, y);
    default: return tp_where(tp_lt(x, y), tp_mul(x, 0.5), y);
    }
}
/* Of an axis, which stays with size 1, so that it broadcasts with what it came from. */
static tp_tensor *reduced(tp_tensor *x) {
    const int dim = (int)draw(2);
    switch (draw(6)) {
    case 0: return tp_sum_dim(x, TP_DIMS(dim), TP_KEEPDIM);
    case 1: return tp_mean_dim(x, TP_DIMS(dim), TP_KEEPDIM);
    case 2: return tp_std_dim(x, TP_DIMS(dim), TP_KEEPDIM);
    case 3: return tp_max_dim(x, dim, TP_KEEPDIM, NULL);
    case 4: return tp_min_dim(x, dim, TP_KEEPDIM, NULL);
    default: return tp_mean(x);
    }
}
static tp_tensor *product(const program *p, tp_tensor *x) {
    tp_tensor *y = any(p);
    switch (draw(3)) {
    case 0: /* rows of x with those of y, then back */
        return tp_mul(tp_matmul(x, tp_matmul(tp_T(y), x)), 1.0 / (double)p->rows);
    case 1: return tp_mul(tp_matmul(tp_matmul(x, tp_T(y)), y), 1.0 / (double)p->columns);
    default: return tp_mul(x, tp_matmul(x, tp_slice(tp_T(y), 1, 0, 1, 1)));
    }
}
static tp_tensor *next_value(const program *p) {
    tp_tensor *x = any(p);
    switch (draw(p->products ? 9 : 7)) {
    case 0: return unary(x);
    case 1: return binary(x, any(p));
    case 2: return binary(x, reduced(any(p)));
    case 3: return binary(x, tp_slice(any(p), (int)draw(2), 0, 1, 1));
    case 4: return tp_softmax(x, (int)draw(2));
    case 5: return tp_log_softmax(x, (int)draw(2));
    case 6: return unary(tp_T(tp_clone(tp_T(x))));
    default: return product(p, x);
    }
}

/* Values and gradients of a program that `number` makes, and nothing else. */
static uint64_t run_program(uint64_t number, bool products) {
    const tp_scope s = tp_scope_begin();
    uint64_t h = 0xcbf29ce484222325;
    seed = number * 0x9e3779b97f4a7c15 + 1;
    program p = {.products = products, .rows = products ? 40 + draw(200) : 20 + draw(3000)};
    p.columns = products ? 200 + draw(300) : MANY / p.rows + 1 + draw(50);
    if (products) p.rows += MANY / p.columns;
    tp_manual_seed(number);
    tp_tensor *leaf[2];
    for (int i = 0; i < 2; i++)
        p.value[p.n++] = leaf[i] =
            tp_requires_grad_(tp_rand(TP_SHAPE(p.rows, p.columns), TP_FLOAT32, NULL));
    while (p.n < NUMBERS) {
        p.value[p.n] = next_value(&p);
        digest(&h, tp_detach(p.value[p.n]));
        p.n++;
    }
    tp_tensor *loss = tp_mean(p.value[NUMBERS - 1]);
    for (int i = 2; i < NUMBERS - 1; i++) loss = tp_add(loss, tp_mean(p.value[i]));
    tpt_ok(tp_backward(loss));
    for (int i = 0; i < 2; i++)
        if (tp_grad(leaf[i])) digest(&h, tp_grad(leaf[i])); /* the program may not use it */
    tp_scope_end(s);
    return h;
}

static void check_program(uint64_t number, bool products) {
    char what[80];
    snprintf(what, sizeof what, "program %d%s", (int)number, products ? " with products" : "");
    most_tiles = 0;
    uint64_t want = 0;
    bool first = true;
    for (tp__isa isa = products ? TP__ISA_V3 : TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (int t = 0; t < TP__COUNT(thread_counts); t++) {
            tpt_ok(tp_set_num_threads(thread_counts[t]));
            const uint64_t got = run_program(number, products);
            if (first) want = got;
            first = false;
            if (got != want)
                fail_msg("%s: other bits at %s with %d threads", what, tp__isa_name(isa),
                         thread_counts[t]);
        }
    }
    tp__kernels_use(tp__cpu_isa());
    tpt_ok(tp_set_num_threads(0));
    expect_tiles(what);
}

static void random_programs(void **state) {
    (void)state;
    for (uint64_t number = 1; number <= PROGRAMS; number++) check_program(number, false);
}
static void random_programs_with_products(void **state) {
    (void)state;
    if (tp__cpu_isa() < TP__ISA_V3) tpt_skip_here("no AVX2, or TAPER_ISA is lower");
    for (uint64_t number = 1; number <= PROGRAMS; number++) check_program(number, true);
}

/* ---- reductions ------------------------------------------------------------------------------ */

enum { REDUCTIONS = 31 };

/* What is reduced, made before the tiles are counted. */
typedef struct numbers {
    tp_tensor *x, *y, *near; /* two in 0..1; near 1, so that products of many are numbers */
    tp_tensor *most, *few;   /* nearly all true, nearly all false */
    tp_tensor *rows, *index; /* x as a matrix, and a column for each of its rows */
} numbers;

static numbers numbers_of(tp_tensor *x) {
    tp_tensor *rows = tp_reshape(x, TP_SHAPE(-1, tp_size(x, 2)));
    return (numbers){.x = x,
                     .y = tp_square(x),
                     .near = tp_add(tp_mul(x, 0.002), 0.999),
                     .most = tp_gt(x, 0.001),
                     .few = tp_gt(x, 0.999),
                     .rows = rows,
                     .index = tp_argmin_dim(rows, 1, 0)};
}

static void reduce(uint64_t *h, const numbers *n, int which, int dim) {
    const int two[] = {dim, (dim + 1) % 3};
    tp_tensor *x = n->x, *y = n->y, *index = NULL;
    switch (which) {
    case 0: digest(h, tp_sum(x)); break;
    case 1: digest(h, tp_sum_dim(x, TP_DIMS(dim), 0)); break;
    case 2: digest(h, tp_sum_dim(x, TP_DIMS(0, 2), 0)); break;
    case 3: digest(h, tp_mean(x)); break;
    case 4: digest(h, tp_mean_dim(x, TP_DIMS(two[0], two[1]), 0)); break;
    case 5: digest(h, tp_prod(n->near)); break;
    case 6: digest(h, tp_prod_dim(n->near, dim, 0)); break;
    case 7: digest(h, tp_var(x, 0)); break;
    case 8: digest(h, tp_var_dim(x, TP_DIMS(two[0], two[1]), TP_BIASED)); break;
    case 9: digest(h, tp_std(x, TP_BIASED)); break;
    case 10: digest(h, tp_std_dim(x, TP_DIMS(dim), 0)); break;
    case 11: digest(h, tp_max(x)); break;
    case 12: digest(h, tp_max_dim(x, dim, 0, &index)); break;
    case 13: digest(h, tp_min(x)); break;
    case 14: digest(h, tp_min_dim(x, dim, 0, &index)); break;
    case 15: digest(h, tp_argmax(x)); break;
    case 16: digest(h, tp_argmax_dim(x, dim, 0)); break;
    case 17: digest(h, tp_argmin(x)); break;
    case 18: digest(h, tp_argmin_dim(x, dim, 0)); break;
    case 19: digest(h, tp_all(n->most)); break;
    case 20: digest(h, tp_all_dim(n->most, dim, 0)); break;
    case 21: digest(h, tp_any(n->few)); break;
    case 22: digest(h, tp_any_dim(n->few, dim, 0)); break;
    case 23: digest(h, tp_norm(x)); break;
    case 24: digest(h, tp_softmax(x, dim)); break;
    case 25: digest(h, tp_log_softmax(x, dim)); break;
    case 26: digest(h, tp_mse_loss(x, y)); break;
    case 27: digest(h, tp_l1_loss(x, y)); break;
    case 28: digest(h, tp_binary_cross_entropy(x, y)); break;
    case 29: digest(h, tp_binary_cross_entropy_with_logits(x, y)); break;
    default: digest(h, tp_cross_entropy(n->rows, n->index)); break;
    }
    if (index) digest(h, index);
}

static void check_reduction(const numbers *n, int which, int dim) {
    uint64_t want = 0;
    for (tp__isa isa = TP__ISA_BASE; isa < TP__ISA_COUNT; isa++) {
        if (!tp__kernels_use(isa)) continue;
        for (int t = 0; t < TP__COUNT(thread_counts); t++) {
            tpt_ok(tp_set_num_threads(thread_counts[t]));
            const tp_scope s = tp_scope_begin();
            uint64_t got = 1;
            reduce(&got, n, which, dim);
            tp_scope_end(s);
            if (!want) want = got;
            if (got != want)
                fail_msg("reduction %d, axis %d: other bits at %s with %d threads", which, dim,
                         tp__isa_name(isa), thread_counts[t]);
        }
    }
}

/* Of each, the whole is as many tiles as the shape allows, and never fewer than LEAST_TILES. */
static void reductions_of_random_shapes(void **state) {
    (void)state;
    seed = 4;
    for (int round = 0; round < SHAPES; round++) {
        const tp_scope s = tp_scope_begin();
        const int64_t a = 1 + draw(60), b = 1 + draw(900), c = 2 * MANY / (a * b) + 1 + draw(9);
        const numbers n = numbers_of(tp_rand(TP_SHAPE(a, b, c), TP_FLOAT32, NULL));
        char what[80];
        int64_t fewest = INT64_MAX;
        for (int which = 0; which < REDUCTIONS; which++) {
            most_tiles = 0;
            check_reduction(&n, which, (int)draw(3));
            if (most_tiles < fewest) fewest = most_tiles;
        }
        tp__kernels_use(tp__cpu_isa());
        tpt_ok(tp_set_num_threads(0));
        tp_scope_end(s);
        snprintf(what, sizeof what, "reductions of [%d, %d, %d]", (int)a, (int)b, (int)c);
        most_tiles = fewest;
        expect_tiles(what);
    }
}

/* ---- training -------------------------------------------------------------------------------- */

typedef struct model {
    const char *spec;
    int64_t in, out, batch;
    bool adam;
} model;

static tp_tensor *loss_of(const model *k, tp_tensor *y, tp_tensor *target) {
    if (k->out > 1) return tp_cross_entropy(y, target);
    return tp_mnist_loss(y, tp_unsqueeze(target, 1));
}

/* Weights after some steps on random images, in hexadecimal. */
static void train(const model *k, char hex[65]) {
    tp_manual_seed(3);
    tp_module *net = tp_module_parse(k->spec, NULL);
    tp_optim *optim = k->adam ? tp_adam(net, .lr = 0.01) : tp_sgd(net, .lr = 0.05, .momentum = 0.9);
    assert_non_null(optim);
    for (int i = 0; i < STEPS; i++) {
        const tp_scope s = tp_scope_begin();
        tp_tensor *x = tp_rand(TP_SHAPE(k->batch, k->in), TP_FLOAT32, NULL);
        tp_tensor *target = tp_randint(0, k->out > 1 ? k->out : 2, TP_SHAPE(k->batch), NULL);
        tpt_ok(tp_backward(loss_of(k, tp_forward(net, x), target)));
        tpt_ok(tp_optim_step(optim));
        tp_optim_zero_grad(optim);
        tp_scope_end(s);
    }
    tp_dict *d = tp_state_dict(net);
    tpt_ok(tp_dict_sha256(d, hex));
    tp_dict_free(d);
    tp_optim_free(optim);
    tp_module_free(net);
}

static const model models[] = {
    {"linear(784,30) relu linear(30,1)", 784, 1, 1024, false},
    {"linear(784,500) relu linear(500,10)", 784, 10, 640, true},
    {"linear(784,1)", 784, 1, 12000, false},
    {"flatten linear(784,64) sigmoid linear(64,10) tanh", 784, 10, 5000, false},
    {"linear(20,32) relu linear(32,1)", 20, 1, 20000, true},
    {"linear(4,3) relu sequential(linear(3,2,nobias) sigmoid)", 4, 2, 100000, false},
};

static void expect_weights(const model *k, const char want[65], const char *how) {
    for (int t = 0; t < TP__COUNT(thread_counts); t++) {
        char got[65];
        tpt_ok(tp_set_num_threads(thread_counts[t]));
        train(k, got);
        if (strcmp(got, want))
            fail_msg("%s: other weights with %d threads%s", k->spec, thread_counts[t], how);
    }
}

/* Of all threads of this process, where they may run; how many processors the freest had. Workers
 * that start later inherit it. */
static int set_affinity(const cpu_set_t *set) {
    int most = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *e; (e = readdir(tasks));) {
        if (e->d_name[0] == '.') continue;
        cpu_set_t had;
        const pid_t thread = atoi(e->d_name);
        assert_int_equal(sched_getaffinity(thread, sizeof had, &had), 0);
        assert_int_equal(sched_setaffinity(thread, sizeof *set, set), 0);
        if (CPU_COUNT(&had) > most) most = CPU_COUNT(&had);
    }
    closedir(tasks);
    return most;
}

/* On one processor, which all threads share. */
static void expect_weights_pinned(const model *k, const char want[65]) {
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    while (set_affinity(&one) > 1) usleep(20000); /* one on its way elsewhere takes its own back */
    expect_weights(k, want, ", pinned");
    assert_int_equal(set_affinity(&before), 1);
}

/* While another process is busy on every processor. */
static void expect_weights_under_load(const model *k, const char want[65]) {
    enum { MOST = 64 };
    pid_t busy[MOST];
    const int n = tp__cpu_count() < MOST ? tp__cpu_count() : MOST;
    fflush(stdout);
    for (int i = 0; i < n; i++) {
        busy[i] = fork();
        if (busy[i]) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) tp__cpu_pause();
    }
    expect_weights(k, want, ", under load");
    for (int i = 0; i < n; i++) {
        if (busy[i] < 0) continue;
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
}

static void trained_weights(void **state) {
    (void)state;
    for (int i = 0; i < TP__COUNT(models); i++) {
        const model *k = &models[i];
        char want[65], got[65];
        most_tiles = 0;
        tpt_ok(tp_set_num_threads(1));
        train(k, want);
        expect_weights(k, want, "");
        expect_weights_pinned(k, want);
        expect_weights_under_load(k, want);
        if (tp__cpu_isa() == TP__ISA_V4 && tp__kernels_isa() == TP__ISA_V4) {
            tp__kernels_use(TP__ISA_V3);
            train(k, got);
            tp__kernels_use(TP__ISA_V4);
            assert_string_equal(got, want);
        }
        tpt_ok(tp_set_num_threads(0));
        expect_tiles(k->spec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(random_programs),
        TPT(random_programs_with_products),
        TPT(reductions_of_random_shapes),
        TPT(trained_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
