/* worker.c -- other processes that take samples: PyTorch in Python, programs of other libraries
 * (peers/), an earlier taper, and this program once more for other libraries' threads.
 *
 * One line of JSON there, one line of text back. A process is stopped (SIGSTOP) whenever it is not
 * its turn, so that threads of its that still spin take nothing away from the others. */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

enum { PYTHONS = 4, SETTINGS = 4, LIBRARIES = 3, PATH = 600, LINE = 4096 };

struct bench_worker {
    pid_t pid;
    FILE *to, *from; /* NULL once it is gone */
    char line[LINE]; /* its last answer */
};

/* ---- a process ------------------------------------------------------------------------------- */

typedef struct pipes {
    int in[2], out[2]; /* of the child: its stdin, its stdout */
} pipes;
typedef struct threads {
    char omp[16], blas[16];
} threads;

static void become(const pipes *p, char *const *argv, const threads *n) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* also while it is stopped */
    if (n) setenv("OMP_NUM_THREADS", n->omp, 1), setenv("OPENBLAS_NUM_THREADS", n->blas, 1);
    dup2(p->in[0], STDIN_FILENO);
    dup2(p->out[1], STDOUT_FILENO);
    if (n && !freopen("/dev/null", "w", stderr)) _exit(127);
    execvp(argv[0], argv);
    _exit(127);
}

/* Pipes of other workers are closed on exec, so that each sees the end of its own. n: Python is
 * silent, and has these threads. */
static bool start(bench_worker *w, char *const *argv, const threads *n) {
    pipes p;
    if (pipe2(p.in, O_CLOEXEC) || pipe2(p.out, O_CLOEXEC)) return false;
    fflush(stdout);
    w->pid = fork();
    if (!w->pid) become(&p, argv, n);
    close(p.in[0]);
    close(p.out[1]);
    w->to = fdopen(p.in[1], "w");
    w->from = fdopen(p.out[0], "r");
    return w->pid > 0 && w->to && w->from;
}

static void drop(bench_worker *w) {
    if (w->to) fclose(w->to);
    if (w->from) fclose(w->from);
    w->to = w->from = NULL;
    if (w->pid > 0) kill(w->pid, SIGKILL), waitpid(w->pid, NULL, 0);
    w->pid = 0;
}

/* All its threads: some spin for milliseconds after a job, and would do so beside the next sample,
 * as the one that is to stop them may have to wait for a processor. False: it has ended. */
static bool stop(bench_worker *w) {
    int status;
    return !kill(w->pid, SIGSTOP) && waitpid(w->pid, &status, WUNTRACED) == w->pid &&
           WIFSTOPPED(status);
}

/* The next line of its, without the newline; NULL, and it is dropped, at its end. */
static const char *answer(bench_worker *w) {
    if (!w->from) return NULL;
    if (!fgets(w->line, sizeof w->line, w->from)) return drop(w), NULL;
    w->line[strcspn(w->line, "\n")] = '\0';
    if (!stop(w)) return w->pid = 0, drop(w), NULL;
    return w->line;
}

/* Takes the request. */
static const char *ask(bench_worker *w, json_t *request) {
    if (w->to) {
        kill(w->pid, SIGCONT);
        json_dumpf(request, w->to, JSON_COMPACT);
        fputc('\n', w->to);
        fflush(w->to);
    }
    json_decref(request);
    return answer(w);
}

double worker_sample(bench_worker *w, int slot, const char *name, int64_t calls, bool own) {
    const char *a = ask(w, json_pack("{s:s,s:i,s:s,s:I,s:b}", "do", "run", "slot", slot, "name",
                                     name, "calls", (json_int_t)calls, "own", own));
    char *end;
    const double seconds = a ? strtod(a, &end) : NAN;
    if (a && end != a) return seconds;
    fprintf(stderr, "bench: %s\n", a ? a : "a worker ended");
    return NAN;
}

void worker_next(bench_worker *w) {
    (void)ask(w, json_pack("{s:s}", "do", "next"));
}

/* ---- other libraries ------------------------------------------------------------------------- */

/* A process of a library's with so many threads: a program, or a script that it runs. */
typedef struct library {
    bench_worker w;
    char program[PATH], version[40];
    int omp, blas;
} library;

static bool start_library(library *l, const char *script) {
    threads n;
    snprintf(n.omp, sizeof n.omp, "%d", l->omp);
    snprintf(n.blas, sizeof n.blas, "%d", l->blas);
    char *const argv[] = {l->program, (char *)(uintptr_t)script, NULL};
    if (!start(&l->w, argv, &n)) drop(&l->w);
    const char *a = answer(&l->w); /* says its version as soon as it runs */
    if (a) snprintf(l->version, sizeof l->version, "%.39s", a);
    return a != NULL;
}

static library *find_library(const char *program, const char *script, int omp, int blas) {
    static library all[(PYTHONS + LIBRARIES) * SETTINGS];
    static int n;
    for (library *l = all; l < all + n; l++)
        if (!strcmp(l->program, program) && l->omp == omp && l->blas == blas)
            return l->w.to ? l : NULL;
    if (n == (PYTHONS + LIBRARIES) * SETTINGS) return NULL;
    library *l = &all[n++];
    *l = (library){.omp = omp, .blas = blas};
    snprintf(l->program, sizeof l->program, "%s", program);
    return start_library(l, script) ? l : NULL;
}

bench_worker *worker_library(const char *name, int omp, int blas, const char **version) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/taper-bench-%s", TAPER_BUILD_DIR, name);
    library *l = access(path, X_OK) ? NULL : find_library(path, NULL, omp, blas);
    *version = l ? l->version : name;
    return l ? &l->w : NULL;
}

static struct python {
    const char *path;
    char version[48];
} python[PYTHONS];

bench_worker *worker_torch(int i, int omp, int blas) {
    library *l = find_library(python[i].path, TAPER_SOURCE_DIR "/bench/torch_worker.py", omp, blas);
    return l ? &l->w : NULL;
}

/* Python number i, if it has PyTorch. */
static bool try_python(int i, const char *path) {
    if (i == PYTHONS || !*path) return false;
    python[i].path = path;
    const bench_worker *w = worker_torch(i, 1, 1);
    if (w) snprintf(python[i].version, sizeof python[i].version, "torch %.32s", w->line);
    return w != NULL;
}

/* TAPER_PYTHON names one, or several with colons between them. */
int worker_pythons(void) {
    static int n = -1;
    static char list[2048];
    if (n >= 0) return n;
    n = 0;
    const char *given = getenv("TAPER_PYTHON");
    if (!given) return n = try_python(0, "python3") || try_python(0, "/usr/bin/python3");
    snprintf(list, sizeof list, "%s", given);
    for (char *path, *rest = list; (path = strsep(&rest, ":"));) n += try_python(n, path);
    return n;
}

const char *worker_torch_version(int i) {
    return python[i].version;
}

bool worker_setup(bench_worker *w, int slot, const char *setup, const char *step) {
    const char *a = ask(w, json_pack("{s:s,s:i,s:s,s:s}", "do", "setup", "slot", slot, "setup",
                                     setup, "step", step));
    if (a && !strcmp(a, "ok")) return true;
    fprintf(stderr, "bench: a peer: %s\n", a ? a : "the worker ended");
    return false;
}

/* ---- taper-bench: an earlier one, and this one once more ------------------------------------- */

bench_worker *worker_base(char *const *argv) {
    static bench_worker w;
    if (start(&w, argv, NULL) && answer(&w)) return &w;
    fprintf(stderr, "bench: %s does not start\n", argv[0]);
    return NULL;
}

/* Both sides go through the same rows in the same order; one that the base cannot measure is not
 * among its own, and then it waits at a later one. */
static void key_of(const bench_row *row, char key[LINE]) {
    snprintf(key, LINE, "%s/%s/%d", row->group, row->name, row->threads);
}

bool worker_at_row(bench_worker *w, const bench_row *row) {
    char key[LINE];
    key_of(row, key);
    return w->from && !strcmp(w->line, key);
}

/* The twin has every row that we have. */
static bool seek(bench_worker *w, const bench_row *row) {
    while (w->from && !worker_at_row(w, row)) worker_next(w);
    return w->from != NULL;
}

bench_worker *worker_twin(const bench_row *row, char *const *argv) {
    static bench_worker w;
    static const char *group;
    if (!group || strcmp(group, row->group)) {
        drop(&w);
        group = row->group;
        if (!start(&w, argv, NULL) || !answer(&w)) fprintf(stderr, "bench: no second process\n");
    }
    return seek(&w, row) ? &w : NULL;
}

static FILE *answers; /* where stdout went before */

void serve_begin(void) {
    answers = fdopen(dup(STDOUT_FILENO), "w");
    if (!answers || !freopen("/dev/null", "w", stdout)) exit(1);
}

/* An earlier taper is asked for the name that it has here: then it is its own. */
static const bench_contender *named(const bench_row *row, const char *name) {
    for (int c = 1; c < row->n && name; c++)
        if (!strcmp(row->contender[c].name, name)) return &row->contender[c];
    return row->contender;
}

static double serve_sample(const bench_row *row, const json_t *request) {
    return bench_sample(named(row, json_string_value(json_object_get(request, "name"))),
                        json_integer_value(json_object_get(request, "calls")),
                        json_is_true(json_object_get(request, "own")));
}

void serve_row(const bench_row *row) {
    char line[LINE];
    key_of(row, line);
    fprintf(answers, "%s\n", line);
    for (;;) {
        fflush(answers);
        if (!fgets(line, sizeof line, stdin)) exit(0);
        json_t *request = json_loads(line, 0, NULL);
        const char *what = json_string_value(json_object_get(request, "do"));
        const bool run = what && !strcmp(what, "run");
        if (run) fprintf(answers, "%.9g\n", serve_sample(row, request));
        json_decref(request);
        if (!run) return;
    }
}
