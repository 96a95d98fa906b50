/* bench.c -- the program: options, rounds, medians, the table and its JSON.
 *
 * usage: taper-bench [--only GROUP] [--row TEXT] [--rounds N] [--threads N] [--json FILE] */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/base.h"

enum { MOST_ROUNDS = 1001 };
static const double SAMPLE = 3e-4; /* seconds that one sample lasts, at least: short beside a time slice */

static const char *only, *part, *json_path;
static int rounds = 101, threads;
static json_t *rows;

/* ---- time ----------------------------------------------------------------------------------------- */

static double now(bool own) {
    struct timespec t;
    clock_gettime(own ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one call, over `calls` of them. */
static double sample(const bench_contender *c, int64_t calls, bool own) {
    const double start = now(own);
    for (int64_t i = 0; i < calls; i++) c->fn(c->ctx);
    return (now(own) - start) / (double)calls;
}

static int64_t calls_for(const bench_contender *c, bool own) {
    c->fn(c->ctx); /* touches memory, starts threads, generates code */
    int64_t calls = 1;
    for (double t; (t = sample(c, calls, own) * (double)calls) < SAMPLE;)
        calls = t < SAMPLE / 16 ? calls * 8 : (int64_t)((double)calls * SAMPLE / t * 1.1) + 1;
    return calls;
}

/* ---- statistics ------------------------------------------------------------------------------------ */

typedef struct spread {
    double low, median, high; /* quartiles */
} spread;

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static spread spread_of(const double *values) {
    double v[MOST_ROUNDS];
    memcpy(v, values, (size_t)rounds * sizeof *v);
    qsort(v, (size_t)rounds, sizeof *v, ascending);
    return (spread){v[rounds / 4], v[rounds / 2], v[rounds - 1 - rounds / 4]};
}

/* What is shown: a rate, or a time. */
static void to_units(const bench_row *row, int c, const double *seconds, double *out) {
    const double work = row->contender[c].work > 0 ? row->contender[c].work : row->work;
    for (int r = 0; r < rounds; r++) out[r] = row->per_call ? seconds[r] * work : work / seconds[r];
}

/* How good `ours` is beside another, round by round: above 1 is better. */
static spread ratio_of(const bench_row *row, const double *ours, const double *other) {
    double v[MOST_ROUNDS];
    for (int r = 0; r < rounds; r++) v[r] = row->per_call ? other[r] / ours[r] : ours[r] / other[r];
    return spread_of(v);
}

/* ---- output ----------------------------------------------------------------------------------------- */

static void print_head(const bench_row *row) {
    static char last[64];
    if (!strcmp(last, row->group)) return;
    snprintf(last, sizeof last, "%s", row->group);
    printf("\n%s\n%-34s %3s %9s  %-8s  %s\n", row->group, "", "thr", "taper", "unit",
           "ratio to limit and peers (quartiles), goal");
}

static void print_ratio(const bench_contender *c, spread value, spread ratio, double goal) {
    printf("  %s %.4g: %.2f (%.2f-%.2f)", c->name, value.median, ratio.median, ratio.low, ratio.high);
    if (goal > 0) printf(" %s %.2f", ratio.median >= goal ? "ok" : "MISSED", goal);
}

static json_t *spread_json(spread s) {
    return json_pack("{s:f,s:f,s:f}", "low", s.low, "median", s.median, "high", s.high);
}

static void remember(const bench_row *row, json_t *contenders) {
    json_t *r = json_pack("{s:s,s:s,s:i,s:s,s:f,s:f,s:o}", "group", row->group, "name", row->name, "threads",
                          row->threads, "unit", row->unit, "goal_of_limit", row->of_limit, "goal_of_peer", row->of_peer,
                          "contenders", contenders);
    json_array_append_new(rows, r);
}

/* ---- rows --------------------------------------------------------------------------------------------- */

void bench_add(bench_row *row, bench_kind kind, const char *name, void (*fn)(void *), void *ctx) {
    if (row->n == BENCH_CONTENDERS) {
        fprintf(stderr, "bench: %s has too many contenders\n", row->name);
        exit(1);
    }
    row->contender[row->n++] = (bench_contender){kind, name, fn, ctx, 0};
}

bool bench_wants(const char *group) {
    return !only || !strcmp(only, group);
}

int bench_threads(void) {
    return threads;
}

void bench_note(const char *group, const char *name, int n, double value, const char *unit) {
    bench_row row = {.group = group, .threads = n, .unit = unit};
    snprintf(row.name, sizeof row.name, "%s", name);
    print_head(&row);
    printf("%-34s %3d %9.4g  %s\n", row.name, n, value, unit);
    remember(&row, json_pack("{s:o}", "taper", spread_json((spread){value, value, value})));
}

static void take_samples(const bench_row *row, double seconds[][MOST_ROUNDS]) {
    const bool own = row->threads == 1;
    int64_t calls[BENCH_CONTENDERS];
    for (int c = 0; c < row->n; c++) calls[c] = calls_for(&row->contender[c], own);
    for (int r = 0; r < rounds; r++)
        for (int c = 0; c < row->n; c++) seconds[c][r] = sample(&row->contender[c], calls[c], own);
}

/* The peer whose median is best, or -1. */
static int best_peer(const bench_row *row, const spread *value) {
    int best = -1;
    for (int c = 1; c < row->n; c++) {
        if (row->contender[c].kind != BENCH_PEER) continue;
        const bool better = best < 0 || (row->per_call ? value[c].median < value[best].median
                                                       : value[c].median > value[best].median);
        if (better) best = c;
    }
    return best;
}

void bench_run(const bench_row *row) {
    if (!bench_wants(row->group) || (part && !strstr(row->name, part)) || !row->n) return;
    static double seconds[BENCH_CONTENDERS][MOST_ROUNDS], shown[BENCH_CONTENDERS][MOST_ROUNDS];
    spread value[BENCH_CONTENDERS];
    print_head(row);
    take_samples(row, seconds);
    for (int c = 0; c < row->n; c++) {
        to_units(row, c, seconds[c], shown[c]);
        value[c] = spread_of(shown[c]);
    }
    const int best = best_peer(row, value);
    json_t *contenders = json_object();
    printf("%-34s %3d %9.4g  %-8s", row->name, row->threads, value[0].median, row->unit);
    for (int c = 0; c < row->n; c++) {
        json_t *j = spread_json(value[c]);
        if (c > 0) {
            const spread ratio = ratio_of(row, shown[0], shown[c]);
            const bool is_limit = row->contender[c].kind == BENCH_LIMIT;
            print_ratio(&row->contender[c], value[c], ratio, is_limit ? row->of_limit : c == best ? row->of_peer : 0);
            json_object_set_new(j, "ratio", spread_json(ratio));
        }
        json_object_set_new(contenders, row->contender[c].name, j);
    }
    printf("\n");
    fflush(stdout);
    remember(row, contenders);
}

/* ---- the program ---------------------------------------------------------------------------------------- */

static void print_machine(void) {
    char line[256], model[200] = "unknown";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %199[^\n]", model) == 1) break;
    if (f) fclose(f);
    printf("taper %s, %s, level %s, %d processors, %d rounds\n", TP_VERSION_STRING, model, tp_isa(), tp__cpu_count(),
           rounds);
}

static int usage(void) {
    fprintf(stderr, "usage: taper-bench [--only GROUP] [--row TEXT] [--rounds N] [--threads N] [--json FILE]\n");
    return 2;
}

static bool parse(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--only")) only = value;
        else if (!strcmp(argv[i], "--row")) part = value;
        else if (!strcmp(argv[i], "--json")) json_path = value;
        else if (!strcmp(argv[i], "--rounds")) rounds = atoi(value);
        else if (!strcmp(argv[i], "--threads")) threads = atoi(value);
        else return false;
    }
    if (!threads) threads = tp__cpu_count();
    return argc % 2 && rounds >= 1 && rounds <= MOST_ROUNDS && threads >= 1;
}

int main(int argc, char **argv) {
    if (!parse(argc, argv)) return usage();
    if (tp_set_num_threads(threads)) return tp_perror("bench");
    rows = json_array();
    print_machine();
    bench_machine();
    bench_gemm();
    bench_ops();
    int failed = 0;
    if (json_path) {
        json_t *all = json_pack("{s:s,s:s,s:i,s:O}", "version", TP_VERSION_STRING, "isa", tp_isa(), "rounds", rounds,
                                "rows", rows);
        failed = json_dump_file(all, json_path, JSON_INDENT(1));
        if (failed) perror(json_path);
        json_decref(all);
    }
    json_decref(rows);
    return failed ? 1 : 0;
}
