/* bench_epoch.c -- passes over images in memory: gather, forward, backward, a step of the
 * optimizer.
 *
 * The limit of a pass is its multiply-adds at the processor's peak, and its images' bytes at the
 * speed of reading memory, one after the other: all of them, though taper leaves out many where
 * images have a background of 0, and may be faster. Rows of noise have none to leave out. PyTorch
 * and other libraries train on the same images. */
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "taper.h"

typedef tp_tensor *(*loss_fn)(tp_tensor *, tp_tensor *);
/* BUSY: also while another program keeps a processor busy. NOISE: images of random bytes, beside
 * PyTorch alone. */
typedef enum row_kind { DIGITS, BUSY, NOISE } row_kind;
typedef struct task {
    const char *name;           /* of the row */
    int64_t hidden, out, batch; /* a net of 784, hidden, out */
    bool adam;
    int64_t images;               /* of one call; a whole number of batches */
    double of_limit[2], torch[2]; /* goals at one thread and at several: to the limit; to PyTorch */
    double list;                  /* goal to a DataLoader over a list; 0: not compared */
    row_kind what;
} task;

typedef struct training {
    const task *task;
    tp_loader *dl;
    tp_module *net;
    tp_optim *opt;
    loss_fn loss;
    int64_t batches;      /* of one call */
    double peaks;         /* calls of bench_peak that are its arithmetic */
    bench_traffic images; /* its bytes */
    bool all;             /* threads */
} training;

enum { PIXELS = 28 * 28 };

static tp_tensor *mnist_loss(tp_tensor *predictions, tp_tensor *targets) {
    tp_tensor *p = tp_sigmoid(predictions);
    return tp_mean(tp_where(tp_eq(targets, 1), tp_sub(1, p), p));
}
static tp_tensor *cross_entropy(tp_tensor *predictions, tp_tensor *targets) {
    return tp_cross_entropy(predictions, targets);
}

/* ---- images ---------------------------------------------------------------------------------- */

/* x uint8 [N, 784], y int64; of the data set if it is here, else random bytes but 0. */
typedef struct pictures {
    tp_images *images; /* NULL: random */
    tp_tensor *x, *y;
    char x_file[600], y_file[600]; /* the same for Python */
} pictures;

static tp_images *read_images(const char *dir) {
    tp_images *im = dir ? tp_images_read(dir) : NULL;
    if (dir && !im) tp_perror("bench");
    return im;
}

static void invent(pictures *p, int64_t n, bool binary) {
    tp_tensor *bytes = tp_randint(1, 256, TP_SHAPE(n, PIXELS), NULL);
    p->x = tp_to(bytes, TP_UINT8);
    p->y = tp_randint(0, binary ? 2 : 10, TP_SHAPE(n), NULL);
}

static bool save(pictures *p, const char *name) {
    snprintf(p->x_file, sizeof p->x_file, "%s/%s_x.npy", bench_dir(), name);
    snprintf(p->y_file, sizeof p->y_file, "%s/%s_y.npy", bench_dir(), name);
    return !tp_save_npy(p->x, p->x_file) && !tp_save_npy(p->y, p->y_file);
}

static bool get_pictures(pictures *p, const char *name, const char *dir, int64_t n, bool binary) {
    const tp_scope s = tp_scope_begin();
    *p = (pictures){.images = bench_quick() ? NULL : read_images(dir)};
    if (p->images && tp_images_tensors(p->images, TP_TRAIN, &p->x, &p->y)) return false;
    if (!p->images) invent(p, bench_quick() ? 512 : n, binary);
    p->x = tp_reshape(p->x, TP_SHAPE(-1, PIXELS));
    if (binary) p->y = tp_unsqueeze(p->y, 1);
    if (p->x) tp_keep(p->x);
    if (p->y) tp_keep(p->y);
    const bool ok = save(p, name);
    tp_scope_end(s);
    if (!ok) tp_perror("bench");
    return ok;
}

static void drop_pictures(pictures *p) {
    tp_free(p->x);
    tp_free(p->y);
    tp_images_free(p->images);
}

/* ---- contenders ------------------------------------------------------------------------------ */

static void fail(const char *what) {
    exit(tp_perror(what));
}

static void train(void *ctx) {
    training *t = ctx;
    tp_batch b;
    for (int64_t n = 0; n < t->batches;) {
        const int r = tp_loader_next(t->dl, &b);
        if (r < 0) fail("bench: loader");
        if (!r) continue; /* on to the next pass */
        const tp_scope s = tp_scope_begin();
        tp_tensor *loss = t->loss(tp_forward(t->net, b.x), b.y);
        if (tp_backward(loss) || tp_optim_step(t->opt)) fail("bench: training");
        tp_optim_zero_grad(t->opt);
        tp_scope_end(s);
        n++;
    }
}

static void limit(void *ctx) {
    const training *t = ctx;
    for (double done = 0; done < t->peaks; done++) (t->all ? bench_peak_all : bench_peak)(NULL);
    bench_read((void *)(uintptr_t)&t->images);
}

/* Float operations for an image: forward, the weights' gradients, the second layer's input's. */
static double flop(const task *k) {
    return 4.0 * PIXELS * (double)k->hidden + 6.0 * (double)(k->hidden * k->out);
}

/* ---- a row ----------------------------------------------------------------------------------- */

static void begin(training *t, const task *k, const tp_dataset *ds, const pictures *p,
                  int threads) {
    if (tp_set_num_threads(threads)) fail("bench");
    tp_manual_seed(42);
    *t =
        (training){.task = k, .all = threads > 1, .loss = k->out == 1 ? mnist_loss : cross_entropy};
    t->net = tp_nn_sequential(tp_nn_linear(PIXELS, k->hidden), tp_nn_relu(),
                              tp_nn_linear(k->hidden, k->out));
    t->opt =
        k->adam ? tp_adam(t->net, .lr = 0.001, .weight_decay = TP_ZERO) : tp_sgd(t->net, .lr = 0.1);
    t->dl = tp_loader_new(ds, .batch_size = k->batch, .shuffle = true);
    if (!t->net || !t->opt || !t->dl) fail("bench");
    const int64_t images = k->images < tp_dataset_len(ds) ? k->images : tp_dataset_len(ds);
    t->batches = (images + k->batch - 1) / k->batch;
    t->images = (bench_traffic){.x = tp_data_ptr(p->x), .n = images * PIXELS / 4};
    t->peaks = (double)images * flop(k) / bench_peak_flop();
    if (t->all) t->peaks /= bench_peak_all_calls();
}

static void end(training *t) {
    tp_loader_free(t->dl);
    tp_optim_free(t->opt);
    tp_module_free(t->net);
}

static void add_torch(bench_row *row, const training *t, const pictures *p) {
    const task *k = t->task;
    char setup[2048], list[2100], step[64];
    snprintf(setup, sizeof setup, "t = Training('%s', '%s', [784, %d, %d], %s, %s, %d)", p->x_file,
             p->y_file, (int)k->hidden, (int)k->out,
             k->out == 1 ? "mnist_loss" : "nn.CrossEntropyLoss()", k->adam ? "adam" : "sgd",
             (int)k->batch);
    snprintf(step, sizeof step, "t.run(%d)", (int)t->batches);
    bench_add_torch(row, setup, step, k->torch[row->threads > 1]);
    if (k->list <= 0 || row->threads > 1) return;
    snprintf(list, sizeof list, "%s.from_list()", setup);
    bench_add_python(row, " DataLoader", list, step, k->list);
}

static void add_libraries(bench_row *row, const training *t, const pictures *p) {
    const task *k = t->task;
    char what[2048];
    snprintf(what, sizeof what,
             "{\"kind\": \"train\", \"x\": \"%s\", \"y\": \"%s\", \"hidden\": %d, \"out\": %d, "
             "\"batch\": %d, \"adam\": %s}",
             p->x_file, p->y_file, (int)k->hidden, (int)k->out, (int)k->batch,
             k->adam ? "true" : "false");
    bench_add_library(row, "libtorch", what, t->batches);
    if (!k->adam) bench_add_library(row, "kann", what, t->batches);
    if (k->out > 1) bench_add_library(row, "ggml", what, t->batches);
}

/* Shown is the time of a whole epoch, though a call may be a part of it. */
static void epoch_row(const task *k, const tp_dataset *ds, const pictures *p, int threads) {
    bench_row row = {.group = "epoch",
                     .threads = threads,
                     .unit = "ms",
                     .per_call = true,
                     .of_limit = k->of_limit[threads > 1]};
    snprintf(row.name, sizeof row.name, "%s", k->name);
    if (!bench_wants_row(row.group, row.name)) return;
    training t;
    begin(&t, k, ds, p, threads);
    row.work = 1e3 * (double)tp_dataset_len(ds) / (double)(t.images.n * 4 / PIXELS);
    bench_add(&row, BENCH_OURS, "taper", train, &t);
    bench_contender *c = bench_add(&row, BENCH_LIMIT, "limit", limit, &t);
    const double whole = (double)(int64_t)(t.peaks + 0.999999);
    c->work = row.work * t.peaks / whole;
    add_torch(&row, &t, p);
    if (k->what != NOISE) add_libraries(&row, &t, p);
    bench_run(&row);
    end(&t);
}

/* ---- a busy neighbour ------------------------------------------------------------------------ */

/* A process that wants the last of our processors for itself, until it is killed. */
static pid_t take_a_processor(void) {
    cpu_set_t ours, last;
    if (sched_getaffinity(0, sizeof ours, &ours)) return -1;
    int cpu = CPU_SETSIZE - 1;
    while (cpu > 0 && !CPU_ISSET(cpu, &ours)) cpu--;
    CPU_ZERO(&last);
    CPU_SET(cpu, &last);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sched_setaffinity(0, sizeof last, &last)) _exit(1);
    for (volatile int on = 1; on;) {}
    _exit(0);
}

static void train_alone(void *ctx) {
    if (tp_set_num_threads(1)) fail("bench");
    train(ctx);
    if (tp_set_num_threads(bench_threads())) fail("bench");
}

/* All threads, one of which shares its processor, beside one thread alone: nobody is to wait for
 * the one that is put aside. Many passes a call, as the pool learns of it within the first. */
static void busy_row(const task *k, const tp_dataset *ds, const pictures *p) {
    enum { PASSES = 40 }; /* a third of a second */
    bench_row row = {.group = "epoch",
                     .threads = bench_threads(),
                     .unit = "ms",
                     .per_call = true,
                     .work = 1e3 / PASSES,
                     .of_limit = 1 / 1.1};
    snprintf(row.name, sizeof row.name, "784-30-1 and a busy processor");
    if (bench_threads() < 2 || !bench_wants_row(row.group, row.name)) return;
    training t;
    begin(&t, k, ds, p, bench_threads());
    t.batches *= PASSES;
    bench_add(&row, BENCH_OURS, "taper", train, &t);
    bench_add(&row, BENCH_LIMIT, "1 thread", train_alone, &t);
    const pid_t busy = take_a_processor();
    bench_run(&row);
    if (busy > 0) kill(busy, SIGKILL), waitpid(busy, NULL, 0);
    end(&t);
}

static void epoch_rows(const task *k, int n, const pictures *p) {
    tp_dataset ds;
    if (tp_zip_dataset(p->x, p->y, &ds)) fail("bench");
    for (int i = 0; i < n; i++) {
        epoch_row(&k[i], &ds, p, 1);
        if (bench_threads() > 1) epoch_row(&k[i], &ds, p, bench_threads());
        if (k[i].what == BUSY) busy_row(&k[i], &ds, p);
    }
    tp_dataset_free(&ds);
}

static void rows_of(const task *k, int n, const char *name, const char *dir, int64_t images) {
    pictures p;
    if (get_pictures(&p, name, dir, images, k->out == 1)) epoch_rows(k, n, &p);
    drop_pictures(&p);
}

static const task small[] = {
    {"784-30-1 batch 256 SGD", 30, 1, 256, false, 12396, {0.75}, {3, 5}, 8, BUSY},
};
static const task small_noise[] = {
    {"784-30-1 batch 256 SGD, noise", 30, 1, 256, false, 12396, {0.75}, {1.2, 1.4}, 0, NOISE},
};
static const task large[] = {
    {"784-500-10 batch 64 SGD", 500, 10, 64, false, 2048, {0}, {1.2, 1.4}, 0, DIGITS},
    {"784-500-10 batch 64 Adam", 500, 10, 64, true, 2048, {0}, {1.2, 1.4}, 0, DIGITS},
    {"784-500-10 batch 500 SGD", 500, 10, 500, false, 3000, {.8, .8}, {1.2, 1.4}, 0, DIGITS},
    {"784-500-10 batch 500 Adam", 500, 10, 500, true, 3000, {.8, .8}, {1.2, 1.4}, 0, DIGITS},
};
static const task large_noise[] = {
    {"784-500-10 batch 500 SGD, noise", 500, 10, 500, false, 3000, {.8, .8}, {1.2, 1.4}, 0, NOISE},
};

void bench_epoch(void) {
    if (!bench_wants("epoch")) return;
    rows_of(small, 1, "mnist_sample", bench_mnist_sample(), 12396);
    rows_of(small_noise, 1, "noise", NULL, 12396);
    rows_of(large, 4, "mnist", bench_data("mnist"), 60000);
    rows_of(large_noise, 1, "noise", NULL, 12000);
    if (tp_set_num_threads(bench_threads())) fail("bench");
}
