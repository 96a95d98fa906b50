/* bench.h -- side by side in one run: rows of contenders whose samples are taken in turn.
 *
 * A row is one piece of work. Its contenders (taper, the machine's limit, peers) are timed round by
 * round, one after the other, so a clock that changes or a neighbour that wakes up hits all of them;
 * the ratio of two contenders is the median over rounds of the ratio in each round. */
#ifndef TAPER_BENCH_H
#define TAPER_BENCH_H
#include <stdbool.h>
#include <stdint.h>

/* `ours` comes first. A limit is what the machine can do; a peer is another library. */
typedef enum { BENCH_OURS, BENCH_LIMIT, BENCH_PEER } bench_kind;
typedef struct bench_contender {
    bench_kind kind;
    const char *name; /* as in the table's head: "taper", "peak", "OpenBLAS" */
    void (*fn)(void *ctx);
    void *ctx;
    double work; /* of one call, in units of the row; 0: the row's */
} bench_contender;

enum { BENCH_CONTENDERS = 8 };
typedef struct bench_row {
    const char *group; /* "gemm": what --only selects */
    char name[64];     /* "64x30x784 NN" */
    int threads;       /* that the contenders use; 1: time is this thread's own, not the wall's */
    const char *unit;  /* of a rate: "GFLOP/s"; or of a time, with `per_call`: "ns" */
    bool per_call;     /* show seconds per call times `work`, not work per second */
    double work;       /* of one call in units (GFLOP; with per_call: units per second) */
    double of_limit, of_peer; /* goals: at least this ratio to the limit, to the best peer; 0: none */
    int n;
    bench_contender contender[BENCH_CONTENDERS];
} bench_row;

/* Add to a row that is being filled in. */
void bench_add(bench_row *row, bench_kind kind, const char *name, void (*fn)(void *), void *ctx);
/* Measure the row, print its line, remember it for --json. Skipped where --only (its group)
 * or --row (a part of its name) says so. */
void bench_run(const bench_row *row);
/* Would bench_run measure this group? (So that a skipped group need not prepare its data.) */
bool bench_wants(const char *group);
/* A figure that has no contender: printed and remembered. */
void bench_note(const char *group, const char *name, int threads, double value, const char *unit);
/* Threads of all-core rows: --threads, else all processors. */
int bench_threads(void);

/* ---- bench_machine.c: what the processor can do ---- */
/* Float operations of one call of bench_peak: multiply-adds in registers at the best level. */
double bench_peak_flop(void);
void bench_peak(void *unused);
/* The same in eight tiles for each thread of the pool. */
void bench_peak_all(void *unused);
/* The sum of x[0..n) with the widest vectors: nothing reads memory faster on one thread. */
typedef struct bench_traffic {
    const float *x;
    float *y;
    int64_t n;
} bench_traffic;
void bench_read(void *traffic);
void bench_copy(void *traffic); /* y = x */

/* ---- one function per topic, in bench_<topic>.c; called by main in this order ---- */
void bench_machine(void);
void bench_gemm(void);
void bench_ops(void);

#endif
