/* bench.c -- the program: options, rounds, whose turn it is. The table is report.c's. */
#define _POSIX_C_SOURCE 200809L
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

static const char usage[] = "usage: taper-bench [options]\n"
                            "  --only GROUP    machine, gemm, ops, batch, epoch or files\n"
                            "  --row TEXT      rows whose name holds it\n"
                            "  --rounds N      at most so many samples of each contender (101)\n"
                            "  --seconds S     at most so long for a row, but five rounds (1)\n"
                            "  --threads N     of the rows with several (the machine's)\n"
                            "  --json FILE     everything, for programs\n"
                            "  --quick         one round: does every row work?\n"
                            "  --base PROGRAM  an earlier taper-bench, compared row by row\n"
                            "  --base-name R   its name in the table\n";

/* Seconds of a sample, at least: short beside a time slice; with threads, long beside a job. */
static const double SAMPLE = 3e-4, SAMPLE_OF_THREADS = 2e-3;
static const double COLD = 0.1; /* beside this, cold caches do not matter */
/* A processor that had nothing to do while another process was measured needs so long until it is
 * as fast as before. */
static const double AWAKE = 8e-3;
enum { FEWEST_ROUNDS = 5 };
static const double TORCH_2 = 1.2;

static struct {
    const char *only, *row, *json, *base, *base_name;
    int rounds, threads;
    double seconds;
    bool quick, serve;
} option = {.rounds = 101, .seconds = 1, .base_name = "base"};
static bench_worker *base;

int bench_threads(void) {
    return option.threads;
}
bool bench_quick(void) {
    return option.quick;
}
bool bench_wants(const char *group) {
    return !option.only || !strcmp(option.only, group);
}
bool bench_wants_row(const char *group, const char *name) {
    return bench_wants(group) && (!option.row || strstr(name, option.row));
}

/* ---- files ----------------------------------------------------------------------------------- */

const char *bench_dir(void) {
    static char path[512];
    if (path[0]) return path;
    const char *given = getenv("BENCH_DIR");
    snprintf(path, sizeof path, "%s", given ? given : TAPER_BUILD_DIR "/bench-files");
    mkdir(path, 0777);
    return path;
}

const char *bench_data(const char *name) {
    static char path[512];
    const char *const dirs[] = {getenv("TAPER_DATA"), TAPER_SOURCE_DIR "/../shared/data"};
    for (int i = 0; i < TP__COUNT(dirs); i++) {
        if (!dirs[i]) continue;
        snprintf(path, sizeof path, "%s/%s", dirs[i], name);
        if (!access(path, R_OK)) return path;
    }
    return NULL;
}

/* ---- time ------------------------------------------------------------------------------------ */

static double now(bool own) {
    struct timespec t;
    clock_gettime(own ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_sample(const bench_contender *c, int64_t calls, bool own) {
    const double start = now(own);
    for (int64_t i = 0; i < calls; i++) c->fn(c->ctx);
    return (now(own) - start) / (double)calls;
}

static double sample(const bench_row *row, int c, int64_t calls) {
    const bool own = row->threads == 1 && !row->wall;
    const bench_contender *k = &row->contender[c];
    if (k->worker) return worker_sample(k->worker, c, k->name, calls, own);
    return bench_sample(k, calls, own);
}

static bool is_absent(const bench_contender *c) {
    return !c->fn && !c->worker;
}

/* How a contender is sampled: so many calls; 0: it is absent, or fails. */
typedef struct plan {
    int64_t calls;
    int64_t warm; /* calls before them, which are not timed */
    double seconds;
} plan;

/* The contender before has left its own data in the caches, and threads and processors have gone to
 * sleep meanwhile: unless a sample is long beside that, calls are made before it that take AWAKE.
 * What waking a thread costs has rows of its own. */
static plan plan_for(const bench_row *row, int c) {
    if (is_absent(&row->contender[c])) return (plan){0};
    double t = sample(row, c, 1); /* touches memory, starts threads, generates code */
    int64_t calls = 1;
    if (isnan(t)) return (plan){0};
    const double least = row->threads > 1 ? SAMPLE_OF_THREADS : SAMPLE;
    while (!option.quick && (t = sample(row, c, calls) * (double)calls) < least && !row->far)
        calls = t < least / 16 ? calls * 8 : (int64_t)((double)calls * least / t * 1.1) + 1;
    const double call = t / (double)calls;
    const bool is_short = t < COLD && !option.quick;
    const int64_t warm = is_short ? 1 + (int64_t)(AWAKE / call) : 0;
    return (plan){calls, warm, t + (double)warm * call};
}

/* ---- rows ------------------------------------------------------------------------------------ */

bench_contender *bench_add(bench_row *row, bench_kind kind, const char *name, void (*fn)(void *),
                           void *ctx) {
    if (row->n == BENCH_CONTENDERS) {
        fprintf(stderr, "bench: %s has too many contenders\n", row->name);
        exit(1);
    }
    bench_contender *c = &row->contender[row->n++];
    *c = (bench_contender){.kind = kind, .fn = fn, .ctx = ctx};
    snprintf(c->name, sizeof c->name, "%s", name);
    if (kind == BENCH_LIMIT) c->goal = row->of_limit;
    if (kind == BENCH_PEER) c->goal = row->of_peer;
    if (kind == BENCH_PEER) snprintf(c->best_of, sizeof c->best_of, "peers");
    return c;
}

/* One setting of one Python; the fastest of those that share `group` decides. */
static void add_torch(bench_row *row, const char *name, const char *const program[2], double goal,
                      int python, int omp, int blas) {
    bench_worker *w = worker_torch(python, omp, blas);
    bench_contender *c = bench_add(row, BENCH_PEER, "", NULL, NULL);
    if (w && worker_setup(w, row->n - 1, program[0], program[1])) c->worker = w;
    snprintf(c->best_of, sizeof c->best_of, "%s%s", worker_torch_version(python), name);
    if (row->threads > 1)
        snprintf(c->name, sizeof c->name, "%.24s %d+%d", c->best_of, omp, blas);
    else
        snprintf(c->name, sizeof c->name, "%s", c->best_of);
    c->goal = goal;
}

static bool add_absent_torch(bench_row *row, const char *name, double goal) {
    if (worker_pythons()) return false;
    bench_contender *c = bench_add(row, BENCH_PEER, "", NULL, NULL);
    snprintf(c->name, sizeof c->name, "torch%s", name);
    c->goal = goal;
    return true;
}

/* The goals are those to PyTorch 1; newer ones are to be beaten by TORCH_2 at least. */
static double goal_to(int python, double goal) {
    return goal > TORCH_2 && strncmp(worker_torch_version(python), "torch 1.", 8) ? TORCH_2 : goal;
}

void bench_add_python(bench_row *row, const char *name, const char *setup, const char *step,
                      double goal) {
    if (option.serve || !bench_wants_row(row->group, row->name)) return;
    if (add_absent_torch(row, name, goal)) return;
    for (int python = 0; python < worker_pythons(); python++)
        add_torch(row, name, (const char *[]){setup, step}, goal_to(python, goal), python, 1, 1);
}

void bench_add_torch(bench_row *row, const char *setup, const char *step, double goal) {
    bench_add_python(row, "", setup, step, goal);
    if (option.serve || !bench_wants_row(row->group, row->name)) return;
    const int n = row->threads;
    const int settings[][2] = {{n, n}, {n, 1}, {1, n}};
    for (int python = 0; python < worker_pythons(); python++)
        for (int s = 0; n > 1 && !option.quick && s < TP__COUNT(settings); s++)
            add_torch(row, "", (const char *[]){setup, step}, goal_to(python, goal), python,
                      settings[s][0], settings[s][1]);
}

/* One setting of a library's; false where its program is not here. */
static bool add_library(bench_row *row, const char *name, const char *task, const char *times,
                        int omp, int blas) {
    const char *version;
    bench_worker *w = worker_library(name, omp, blas, &version);
    bench_contender *c = bench_add(row, BENCH_PEER, version, NULL, NULL);
    c->goal = 1;
    snprintf(c->best_of, sizeof c->best_of, "%s", version);
    if (row->threads > 1) snprintf(c->name, sizeof c->name, "%.32s %d+%d", version, omp, blas);
    if (w && worker_setup(w, row->n - 1, task, times)) c->worker = w;
    return w != NULL;
}

/* Debian has libtorch: where it is missing, that is to be seen. It has OpenBLAS's threads too. */
void bench_add_library(bench_row *row, const char *name, const char *task, int64_t times) {
    if (option.serve || !bench_wants_row(row->group, row->name)) return;
    const bool torch = !strcmp(name, "libtorch");
    const int n = row->threads, settings[][2] = {{1, 1}, {n, 1}, {n, n}, {1, n}};
    char count[24];
    snprintf(count, sizeof count, "%lld", (long long)times);
    for (int s = 0, all = n == 1 ? 1 : torch ? 4 : 2; s < all; s++) {
        if (add_library(row, name, task, count, settings[s][0], settings[s][1])) continue;
        row->n -= !torch;
        return;
    }
}

static void add_base(bench_row *row) {
    if (!base || strcmp(row->contender[0].name, "taper")) return;
    bench_contender *c = bench_add(row, BENCH_BASE, option.base_name, NULL, NULL);
    if (worker_at_row(base, row)) c->worker = base;
}

/* How this program starts as a worker: the same rows, of one group. */
static void serving(const char *path, const char *group, char *options[12]) {
    static char threads[16];
    int n = 0;
    snprintf(threads, sizeof threads, "%d", option.threads);
    const char *const always[] = {path, "--serve", "--threads", threads};
    for (int i = 0; i < TP__COUNT(always); i++) options[n++] = (char *)(uintptr_t)always[i];
    if (group) options[n++] = (char *)"--only", options[n++] = (char *)(uintptr_t)group;
    if (option.row) options[n++] = (char *)"--row", options[n++] = (char *)(uintptr_t)option.row;
    if (option.quick) options[n++] = (char *)"--quick";
    options[n] = NULL;
}

/* Threads of another library's that still spin would take a processor away from ours: where a row
 * has several, such a peer runs in a process that is stopped while others have their turn. */
static void move_peers(bench_row *row) {
    char *options[12];
    serving("/proc/self/exe", row->group, options);
    for (int c = 1; c < row->n && row->threads > 1; c++) {
        bench_contender *k = &row->contender[c];
        if (k->kind == BENCH_PEER && k->fn) k->worker = worker_twin(row, options);
    }
}

static void end_row(const bench_row *row) {
    for (int c = 0; c < row->n; c++) {
        bench_worker *w = row->contender[c].worker;
        for (int before = 0; before < c; before++)
            if (row->contender[before].worker == w) w = NULL;
        if (w) worker_next(w);
    }
}

/* What a call has read, the next one finds in the caches, as far as they keep it: of a matrix that
 * is little larger than they are, more or less of it, by the order in which it is read. Programs
 * read other memory between two such calls, and so does this: then all are measured alike. */
static void fill_caches(void) {
    enum { OTHER = 16 << 20 };
    static const float *other;
    if (!other) other = bench_floats(OTHER);
    bench_read(&(bench_traffic){.x = other, .n = OTHER});
}

/* Who fails is absent from then on. */
static void take_sample(bench_row *row, int c, const plan *p, double *seconds) {
    bench_contender *k = &row->contender[c];
    if (is_absent(k)) return;
    if (p->warm) (void)sample(row, c, p->warm);
    if (row->far) fill_caches();
    *seconds = p->calls ? sample(row, c, p->calls) : (double)NAN;
    if (!isnan(*seconds)) return;
    k->fn = NULL;
    k->worker = NULL;
}

static void take_samples(bench_row *row, bench_samples *s) {
    plan p[BENCH_CONTENDERS];
    double round = 0; /* seconds */
    for (int c = 0; c < row->n; c++) round += (p[c] = plan_for(row, c)).seconds;
    const double fit = option.seconds / round;
    s->rounds = fit < option.rounds ? (int)fit : option.rounds;
    if (s->rounds < FEWEST_ROUNDS && s->rounds < option.rounds) s->rounds = FEWEST_ROUNDS;
    if (option.quick) s->rounds = 1;
    /* The order is new in each round: what had its turn before leaves caches and the clock in a
     * state that is better for some than for others, and nobody should always follow the same. */
    tp_rng *rng = tp_rng_new(1);
    if (!rng) exit(tp_perror("bench"));
    for (int r = 0; r < s->rounds; r++) {
        int64_t order[BENCH_CONTENDERS];
        tp_rng_permutation(rng, row->n, order);
        for (int i = 0; i < row->n; i++) {
            const int c = (int)order[i];
            take_sample(row, c, &p[c], &s->seconds[c][r]);
        }
    }
    tp_rng_free(rng);
}

void bench_run(bench_row *row) {
    static bench_samples samples;
    if (!row->n || !bench_wants_row(row->group, row->name)) return;
    if (option.serve) {
        if (!strcmp(row->contender[0].name, "taper")) serve_row(row);
        return;
    }
    add_base(row);
    move_peers(row);
    take_samples(row, &samples);
    report_row(row, &samples);
    end_row(row);
}

/* ---- the program ----------------------------------------------------------------------------- */

static bool parse_flag(const char *name) {
    if (!strcmp(name, "--quick")) return option.quick = true;
    if (!strcmp(name, "--serve")) return option.serve = true;
    return false;
}

static bool is_group(const char *name) {
    static const char *const group[] = {"machine", "gemm", "ops", "batch", "epoch", "files"};
    for (int i = 0; i < TP__COUNT(group); i++)
        if (!strcmp(name, group[i])) return true;
    return false;
}

static bool parse_value(const char *name, const char *value) {
    if (!value) return false;
    if (!strcmp(name, "--only")) return option.only = value, is_group(value);
    if (!strcmp(name, "--row")) return option.row = value, true;
    if (!strcmp(name, "--json")) return option.json = value, true;
    if (!strcmp(name, "--base")) return option.base = value, true;
    if (!strcmp(name, "--base-name")) return option.base_name = value, true;
    if (!strcmp(name, "--rounds")) return (option.rounds = atoi(value)) > 0;
    if (!strcmp(name, "--threads")) return (option.threads = atoi(value)) > 0;
    if (!strcmp(name, "--seconds")) return (option.seconds = atof(value)) > 0;
    return false;
}

static bool parse(char **arg) {
    for (; *arg; arg++) {
        if (parse_flag(*arg)) continue;
        if (!parse_value(arg[0], arg[1])) {
            fprintf(stderr, "taper-bench: '%s%s%s' is none of these\n", arg[0], arg[1] ? " " : "",
                    arg[1] ? arg[1] : "");
            return false;
        }
        arg++;
    }
    if (!option.threads) option.threads = tp__cpu_count();
    if (option.rounds > BENCH_ROUNDS) option.rounds = BENCH_ROUNDS;
    return true;
}

static void start_base(void) {
    char *options[12];
    serving(option.base, option.only, options);
    base = worker_base(options);
}

/* An OpenBLAS that is older than the processor takes its slowest kernels there: name the right
 * ones, unless somebody has. */
static void name_openblas_kernels(void) {
    static const char *const core[TP__ISA_COUNT] = {NULL, "Haswell", "SkylakeX"};
    if (core[tp__cpu_isa()]) setenv("OPENBLAS_CORETYPE", core[tp__cpu_isa()], 0);
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "--peak")) return bench_peak_memory(argv + 2);
    if (!parse(argv + 1)) return fputs(usage, stderr), 2;
    if (tp_set_num_threads(option.threads)) return tp_perror("bench");
    name_openblas_kernels();
    if (option.base) start_base();
    if (option.serve)
        serve_begin();
    else
        report_begin(option.threads);
    bench_machine();
    bench_gemm();
    bench_ops();
    bench_batch();
    bench_epoch();
    bench_files();
    if (option.serve) return 0;
    report_summary();
    if (!option.json || report_json(option.json)) return 0;
    perror(option.json);
    return 1;
}
