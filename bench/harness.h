/* harness.h -- what bench.c, report.c and worker.c share; rows need only bench.h. */
#ifndef TAPER_BENCH_HARNESS_H
#define TAPER_BENCH_HARNESS_H
#include "bench.h"

enum { BENCH_ROUNDS = 1001 }; /* at most */

/* ---- report.c: statistics, the table, JSON ---- */

/* Seconds per call of each contender in each round. */
typedef struct bench_samples {
    int rounds;
    double seconds[BENCH_CONTENDERS][BENCH_ROUNDS];
} bench_samples;
void report_begin(int threads);
void report_row(const bench_row *row, const bench_samples *s);
/* How many goals are met, missed and open. */
void report_summary(void);
/* Write everything to `path`; false, with errno, on failure. */
bool report_json(const char *path);

/* ---- worker.c: processes that take samples, and are stopped while others have their turn ----- */

/* PyTorch in Python number `python` with so many threads of OpenMP and of OpenBLAS; NULL if there
 * is none. Started at the first call. */
bench_worker *worker_torch(int python, int omp, int blas);
int worker_pythons(void);                     /* with PyTorch, among TAPER_PYTHON or the usual */
const char *worker_torch_version(int python); /* "torch 1.13.1" */
/* The program of another library (peers/): "kann"; NULL if it was not built, and then *version is
 * its name. */
bench_worker *worker_library(const char *name, int omp, int blas, const char **version);
/* Hand it the program of contender `slot`; false, and a line on stderr, if that fails. */
bool worker_setup(bench_worker *w, int slot, const char *setup, const char *step);
/* The other bench program (BASE), with the same options; NULL if it does not start. */
bench_worker *worker_base(char *const *argv);
/* Is it at this row? */
bool worker_at_row(bench_worker *w, const bench_row *row);
/* This program once more, at this row, for peers that have threads; NULL if it does not start.
 * argv: how, for rows of this group. */
bench_worker *worker_twin(const bench_row *row, char *const *argv);
/* Seconds per call, over `calls` of them; NAN if it fails. PyTorch knows its contenders by slot,
 * taper-bench by name. own: the thread's clock. */
double worker_sample(bench_worker *w, int slot, const char *name, int64_t calls, bool own);
/* The row is over. */
void worker_next(bench_worker *w);

/* The side of the base and of the twin. What is printed is no answer from here on. */
void serve_begin(void);
/* Offer the row on stdin and stdout until its consumer is done with it. */
void serve_row(const bench_row *row);
/* Seconds per call here, in this process. */
double bench_sample(const bench_contender *c, int64_t calls, bool own);

#endif
