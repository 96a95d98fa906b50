/* bench_ops.c -- what an op costs: the overhead of small ones, the bandwidth of large ones.
 *
 * Large ops are compared with the shortest loop of the same traffic (one read; one read and one
 * write; two reads and one write), with plain vectors, in this file and in bench_machine.c. */
#include "taper.h"

#include "bench.h"

#include <stdio.h>

#include <immintrin.h>

#include "base/base.h"

enum { SMALL = 65536, LARGE = 16 << 20, PIXELS = 784, IMAGES = LARGE / PIXELS };

/* Kept for the whole group; images: a's numbers as rows of PIXELS. */
static tp_tensor *a, *b, *row, *images, *leaf, *few, *other;
static bool failed;

static void must(const void *result) {
    failed |= result == NULL;
}
#define IN_SCOPE(id, expr)                   \
    static void id(void *unused) {           \
        (void)unused;                        \
        const tp_scope s = tp_scope_begin(); \
        must(expr);                          \
        tp_scope_end(s);                     \
    }
IN_SCOPE(run_few, tp_add(few, other))
IN_SCOPE(run_exp, tp_exp(a))
IN_SCOPE(run_log, tp_log(a))
IN_SCOPE(run_sigmoid, tp_sigmoid(a))
IN_SCOPE(run_tanh, tp_tanh(a))
IN_SCOPE(run_add, tp_add(a, b))
IN_SCOPE(run_mul, tp_mul(a, b))
IN_SCOPE(run_relu, tp_relu(a))
IN_SCOPE(run_sum, tp_sum(a))
IN_SCOPE(run_mean_rows, tp_mean_dim(a, TP_DIMS(0), 0))
IN_SCOPE(run_mean_images, tp_mean_dim(images, TP_DIMS(0), 0))
IN_SCOPE(run_mean_columns, tp_mean_dim(a, TP_DIMS(1), 0))
IN_SCOPE(run_add_row, tp_add(a, row))
IN_SCOPE(run_transpose, tp_clone(tp_T(a)))

static void run_backward(void *unused) {
    (void)unused;
    const tp_scope s = tp_scope_begin();
    failed |= tp_backward(tp_sum(tp_mul(leaf, other))) != TP_OK;
    tp_zero_grad(leaf);
    tp_scope_end(s);
}

/* y = b + x with two reads and one write, past the caches in some streams as bench_copy; x is a or
 * a part of it. */
#define DEFINE_ADD(name, STREAMS)                                                                 \
    __attribute__((target("avx2"))) static void name(const bench_traffic *t) {                    \
        enum { STEP = 64, WIDTH = 8 };                                                            \
        const float *x = t->x, *p = tp_data_f32(b) + (t->x - tp_data_f32(a));                     \
        const int64_t length = t->n / STREAMS;                                                    \
        for (int64_t i = 0; i + STEP <= length; i += STEP)                                        \
            for (int s = 0; s < STREAMS; s++)                                                     \
                for (int64_t j = s * length + i, end = j + STEP; j < end; j += WIDTH)             \
                    _mm256_stream_ps(                                                             \
                        t->y + j, _mm256_add_ps(_mm256_loadu_ps(x + j), _mm256_loadu_ps(p + j))); \
        _mm_sfence();                                                                             \
    }
DEFINE_ADD(add_1, 1)
DEFINE_ADD(add_2, 2)
DEFINE_ADD(add_4, 4)

static void add_loop(void *traffic) {
    static const bench_loops adds = {add_1, add_2, add_4};
    static bench_loop best;
    if (!best) best = bench_fastest(adds, traffic);
    best(traffic);
}

/* The best loop of one thread over parts that all threads share. */
typedef struct shared_loop {
    void (*loop)(void *traffic);
    bench_traffic part; /* the first */
} shared_loop;

static void part_tile(void *ctx, int64_t tile) {
    const shared_loop *s = ctx;
    bench_traffic t = s->part;
    t.x += tile * t.n;
    t.y += tile * t.n;
    s->loop(&t);
}
static void run_shared(void *ctx) {
    enum { PARTS = 2 }; /* of a thread */
    shared_loop s = *(const shared_loop *)ctx;
    const int64_t parts = PARTS * bench_threads();
    s.part.n /= parts;
    tp__parallel(parts, part_tile, &s);
}

static void make(int64_t rows_, int64_t columns) {
    a = tp_keep(tp_add(tp_rand(TP_SHAPE(rows_, columns), TP_FLOAT32, NULL), 0.5));
    b = tp_keep(tp_rand(TP_SHAPE(rows_, columns), TP_FLOAT32, NULL));
    row = tp_keep(tp_rand(TP_SHAPE(columns), TP_FLOAT32, NULL));
}
static tp_tensor *images_of(tp_tensor *x) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *pixels = tp_slice(tp_flatten(x, 0, -1), 0, 0, (int64_t)IMAGES * PIXELS, 1);
    tp_tensor *result = tp_keep(tp_reshape(pixels, TP_SHAPE(IMAGES, PIXELS)));
    tp_scope_end(s);
    return result;
}
static void drop(void) {
    tp_free(a);
    tp_free(b);
    tp_free(row);
}

/* Time for each of SMALL numbers; the goal is that to PyTorch. */
static void each_row(const char *name, void (*fn)(void *), const char *torch) {
    bench_row r = {
        .group = "ops", .threads = 1, .unit = "ns", .per_call = true, .work = 1e9 / SMALL};
    snprintf(r.name, sizeof r.name, "%s of 64 K, each", name);
    bench_add(&r, BENCH_OURS, "taper", fn, NULL);
    bench_add_torch(&r, "x = torch.rand(1, 65536) + 0.5", torch, 2);
    bench_run(&r);
}
/* A small op, whose goal is a time; torch is called from Python, as its users call it. */
static void overhead_row(const char *name, void (*fn)(void *), double at_most, const char *torch,
                         const char *task) {
    static const char setup[] = "few = torch.ones(4)\nother = torch.ones(4)\n"
                                "leaf = torch.ones(4, requires_grad=True)";
    bench_row r = {.group = "ops",
                   .threads = 1,
                   .unit = "ns",
                   .per_call = true,
                   .work = 1e9,
                   .at_most = at_most};
    snprintf(r.name, sizeof r.name, "%s", name);
    bench_add(&r, BENCH_OURS, "taper", fn, NULL);
    bench_add_torch(&r, setup, torch, 1.2);
    bench_add_library(&r, "libtorch", task, 1);
    bench_run(&r);
}
/* A large op: our share of the best loop with its traffic, our goal to PyTorch. */
typedef struct large_op {
    const char *name;
    void (*fn)(void *);
    const char *torch;
    double goal, to_torch;
} large_op;

static void large_rows(const large_op *op, int n, int threads, const char *limit,
                       void (*best)(void *), bench_traffic *t, double bytes) {
    static const char setup[] = "a = torch.rand(4096, 4096) + 0.5; b = torch.rand(4096, 4096)\n"
                                "row = torch.rand(4096)\n"
                                "images = a.flatten()[:21399 * 784].view(21399, 784)";
    shared_loop shared = {best, *t};
    for (; n > 0; n--, op++) {
        bench_row r = {.group = "ops",
                       .threads = threads,
                       .unit = "GB/s",
                       .work = bytes * 4e-9 * LARGE,
                       .of_limit = op->goal};
        snprintf(r.name, sizeof r.name, "%s", op->name);
        bench_add(&r, BENCH_OURS, "taper", op->fn, NULL);
        if (threads == 1)
            bench_add(&r, BENCH_LIMIT, limit, best, t);
        else
            bench_add(&r, BENCH_LIMIT, limit, run_shared, &shared);
        bench_add_torch(&r, setup, op->torch, op->to_torch);
        bench_run(&r);
    }
}

static void small_ops(void) {
    overhead_row("add of 4", run_few, 60, "torch.add(few, other)", "{\"kind\": \"add\"}");
    overhead_row("mul, sum, backward of 4", run_backward, 400,
                 "torch.mul(leaf, other).sum().backward(); leaf.grad = None",
                 "{\"kind\": \"backward\"}");
    make(1, SMALL);
    each_row("exp", run_exp, "torch.exp(x)");
    each_row("log", run_log, "torch.log(x)");
    each_row("sigmoid", run_sigmoid, "torch.sigmoid(x)");
    each_row("tanh", run_tanh, "torch.tanh(x)");
    drop();
}
static void large_ops_on(int threads, bench_traffic *t) {
    static const large_op two[] = {{"add of 16 M", run_add, "torch.add(a, b)", 0.9, 1},
                                   {"mul of 16 M", run_mul, "torch.mul(a, b)", 0.9, 1}},
                          copies[] = {{"add of a row to 16 M", run_add_row, "torch.add(a, row)",
                                       0.9, 1},
                                      {"relu of 16 M", run_relu, "torch.relu(a)", 0.9, 1},
                                      {"transposed copy of 16 M", run_transpose,
                                       "a.t().clone(memory_format=torch.contiguous_format)", 0.45,
                                       1.5}},
                          reads[] = {
                              {"sum of 16 M", run_sum, "a.sum()", 0.9, 1},
                              {"mean of 16 M over rows", run_mean_rows, "a.mean(0)", 0.9, 1},
                              {"mean of 21,399 images", run_mean_images, "images.mean(0)", 0.9, 1},
                              {"mean of 16 M over columns", run_mean_columns, "a.mean(1)", 0.9, 1}};
    if (tp_set_num_threads(threads)) return;
    large_rows(two, TP__COUNT(two), threads, "loop", add_loop, t, 3);
    large_rows(copies, TP__COUNT(copies), threads, "copy", bench_copy, t, 2);
    large_rows(reads, TP__COUNT(reads), threads, "read", bench_read, t, 1);
}
static void large_ops(void) {
    make(4096, LARGE / 4096);
    tp_tensor *out = tp_keep(tp_zeros(TP_SHAPE(LARGE), TP_FLOAT32));
    if (!a || !b || !out || !(images = images_of(a))) return;
    bench_traffic t = {.x = tp_data_f32(a), .y = tp_data_f32(out), .n = LARGE};
    bench_read(&t); /* these find out how, before threads ask */
    bench_copy(&t);
    add_loop(&t);
    large_ops_on(1, &t);
    if (bench_threads() > 1) large_ops_on(bench_threads(), &t);
    tp_free(images);
    tp_free(out);
    drop();
}

void bench_ops(void) {
    if (!bench_wants("ops")) return;
    few = tp_keep(tp_ones(TP_SHAPE(4), TP_FLOAT32));
    other = tp_keep(tp_ones(TP_SHAPE(4), TP_FLOAT32));
    leaf = tp_keep(tp_requires_grad_(tp_ones(TP_SHAPE(4), TP_FLOAT32)));
    if (tp_set_num_threads(1)) return;
    small_ops();
    large_ops();
    if (failed) fprintf(stderr, "bench: ops: %s\n", tp_error_message());
    if (tp_set_num_threads(bench_threads())) return;
    tp_free(few);
    tp_free(other);
    tp_free(leaf);
}
