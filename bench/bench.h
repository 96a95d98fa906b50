/* bench.h -- side by side in one run: rows of contenders whose samples are taken in turn.
 *
 * A row is one piece of work. Its contenders (taper, the machine's limit, peers) are timed round by
 * round, one after the other, so a clock that changes or a neighbour that wakes up hits all of
 * them; the ratio of two contenders is the median over rounds of the ratio in each round.
 *
 * PyTorch in a row: bench_add_torch(&row, "x = torch.rand(65536)", "torch.exp(x)", goal) before
 * bench_run. The first text is run once, the second is what is timed, in a Python process for each
 * thread setting. Names that both texts may use: torch, and what bench/torch_rows.py defines.
 *
 * libtorch, KANN and ggml in a row: bench_add_library, for work that peers/peer.h knows. */
#ifndef TAPER_BENCH_H
#define TAPER_BENCH_H
#include <stdbool.h>
#include <stdint.h>

/* A limit is what the machine can do; a peer is another library; a base is an earlier taper. */
typedef enum { BENCH_OURS, BENCH_LIMIT, BENCH_PEER, BENCH_BASE } bench_kind;
typedef struct bench_worker bench_worker;
typedef struct bench_contender {
    bench_kind kind;
    char name[48]; /* "peak", "OpenBLAS"; ours is "taper" wherever an earlier one is compared */
    void (*fn)(void *ctx);
    void *ctx;
    bench_worker *worker; /* instead of fn: a process that does it. Neither: it is absent here */
    double work;          /* of one call, in units of the row; 0: the row's */
    double goal;          /* our ratio to it is to be at least this; 0: none */
    char best_of[48];     /* the goal is that to the best contender with this text; "": its own */
} bench_contender;

enum { BENCH_CONTENDERS = 24 };
typedef struct bench_row {
    const char *group;        /* "gemm": what --only selects */
    char name[64];            /* "64x30x784 NN" */
    int threads;              /* that the contenders use */
    bool wall;                /* the wall's clock, not this thread's own, though threads is 1 */
    bool far;                 /* its operands are to come from memory: see fill_caches in bench.c */
    const char *unit;         /* of a rate: "GFLOP/s"; or of a time, with `per_call`: "ns" */
    bool per_call;            /* show seconds per call times `work`, not work per second */
    double work;              /* of one call in units (GFLOP; with per_call: units per second) */
    double of_limit, of_peer; /* goals of limits, and of the best peer that bench_add adds */
    double at_most;           /* goal of what is shown of ours; 0: none */
    int n;
    bench_contender contender[BENCH_CONTENDERS]; /* ours is the first */
} bench_row;

/* Add to a row that is being filled in; fn NULL: absent. Valid until the next is added. */
bench_contender *bench_add(bench_row *row, bench_kind kind, const char *name, void (*fn)(void *),
                           void *ctx);
/* PyTorch at one thread and, in a row of several, at each setting of OpenMP's and OpenBLAS's
 * threads; the goal is that to the fastest. bench_add_python: at one thread only, under a name. */
void bench_add_torch(bench_row *row, const char *setup, const char *step, double goal);
void bench_add_python(bench_row *row, const char *name, const char *setup, const char *step,
                      double goal);
/* A library that has a program in peers/; we are to be at least as fast. `task` is a JSON object
 * that peers/peer.c reads, done so many times in a call. "kann" and "ggml" have no line where no
 * build was given; "libtorch" is absent then. */
void bench_add_library(bench_row *row, const char *name, const char *task, int64_t times);
/* Measure the row, print its line, remember it for --json. Skipped where --only (its group)
 * or --row (a part of its name) says so. */
void bench_run(bench_row *row);
/* Would bench_run measure this group, this row? (So that a skipped one need not prepare data.) */
bool bench_wants(const char *group);
bool bench_wants_row(const char *group, const char *name);
/* A figure that has no contender: printed and remembered. at_most: its goal, or 0. */
void bench_note(const char *group, const char *name, int threads, double value, const char *unit);
void bench_note_goal(const char *group, const char *name, int threads, double value,
                     const char *unit, double at_most);
/* A row that cannot be measured here, and why. */
void bench_open(const char *group, const char *name, const char *why);
/* The one in the middle of n values, which are sorted for it. */
double bench_median(double *values, int n);

/* The threads that rows of several use (--threads; all of the machine's), and --quick: every row
 * is to be seen working, on as little as possible. */
int bench_threads(void);
bool bench_quick(void);
/* The folder for files of this run, and a data set's path or NULL (TAPER_DATA, ../shared/data). */
const char *bench_dir(void);
const char *bench_data(const char *name);
const char *bench_mnist_sample(void); /* the folder, unpacked; NULL: absent */

/* ---- bench_machine.c: limits ---- */
/* Float operations of one call of bench_peak: multiply-adds in registers at the best level. */
double bench_peak_flop(void);
void bench_peak(void *unused);
/* The same in eight tiles for each thread of the pool. */
void bench_peak_all(void *unused);
double bench_peak_all_calls(void); /* of bench_peak that are in one of these */
/* n zeros in memory such as tensors have. */
float *bench_floats(int64_t n);
void bench_drop_floats(const float *x, int64_t n);
/* The sum of x[0..n) with the widest vectors: nothing reads memory faster on one thread. */
typedef struct bench_traffic {
    const float *x;
    float *y;
    int64_t n;
} bench_traffic;
void bench_read(void *traffic);
void bench_copy(void *traffic); /* y = x, for large x: past the caches */
/* One loop for several numbers of streams; the fastest is found out by timing them. */
enum { BENCH_LOOPS = 3 };
typedef void (*bench_loop)(const bench_traffic *t);
typedef bench_loop bench_loops[BENCH_LOOPS];
bench_loop bench_fastest(const bench_loops loops, const bench_traffic *t);

/* ---- bench_files.c: `taper-bench --peak PROGRAM...`, its main() ---- */
int bench_peak_memory(char *const *argv);

/* ---- one function per topic, in bench_<topic>.c; called by main in this order ---- */
void bench_machine(void);
void bench_gemm(void);
void bench_ops(void);
void bench_batch(void);
void bench_epoch(void);
void bench_files(void);

#endif
