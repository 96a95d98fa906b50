/* report.c -- the table and its JSON: medians, quartiles, ratios round by round, goals.
 *
 * A row has a line for each of its contenders, the first beside taper's own figure. A goal is "met"
 * or "missed"; where the contender is absent it stays "open". */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/base.h"

typedef struct spread {
    double low, median, high; /* quartiles */
} spread;

static json_t *rows;
static int met, missed, open;

/* ---- statistics ------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, ascending);
    return values[n / 2];
}

static spread spread_of(const double *values, int n) {
    double v[BENCH_ROUNDS];
    memcpy(v, values, (size_t)n * sizeof *v);
    qsort(v, (size_t)n, sizeof *v, ascending);
    return (spread){v[n / 4], v[n / 2], v[n - 1 - n / 4]};
}

/* What is shown: a rate, or a time. */
static spread shown(const bench_row *row, const bench_samples *s, int c) {
    const double own = row->contender[c].work, work = own > 0 ? own : row->work;
    double v[BENCH_ROUNDS];
    for (int r = 0; r < s->rounds; r++)
        v[r] = row->per_call ? s->seconds[c][r] * work : work / s->seconds[c][r];
    return spread_of(v, s->rounds);
}

/* How good ours is beside another, round by round: above 1 is better. */
static spread ratio(const bench_row *row, const bench_samples *s, int c) {
    const double other = row->contender[c].work, work = other > 0 ? other : row->work;
    const double scale = row->per_call ? work / row->work : row->work / work;
    double v[BENCH_ROUNDS];
    for (int r = 0; r < s->rounds; r++) v[r] = s->seconds[c][r] / s->seconds[0][r] * scale;
    return spread_of(v, s->rounds);
}

static bool is_absent(const bench_contender *c) {
    return !c->fn && !c->worker;
}

/* Is c the one whose goal counts: the fastest of those that share it? An absent one is, if it is
 * the first of them. */
static bool decides(const bench_row *row, const bench_samples *s, int c) {
    const bench_contender *k = row->contender;
    if (k[c].goal <= 0) return false;
    for (int o = 1; o < row->n && k[c].best_of[0]; o++) {
        if (o == c || strcmp(k[o].best_of, k[c].best_of)) continue;
        if (is_absent(&k[c]) && (!is_absent(&k[o]) || o < c)) return false;
        if (is_absent(&k[c]) || is_absent(&k[o])) continue;
        if (ratio(row, s, o).median < ratio(row, s, c).median) return false;
    }
    return true;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void print_head(const char *group) {
    static char last[64];
    if (!strcmp(last, group)) return;
    snprintf(last, sizeof last, "%s", group);
    printf("\n%-36s %3s %19s  %-20s %-34s %s\n", group, "thr", "taper        ", "ratio (quartiles)",
           "to", "goal");
}

static void print_name(const char *group, const char *name, int threads) {
    print_head(group);
    printf("%-36s %3d ", name, threads);
}

static const char *count(bool good) {
    ++*(good ? &met : &missed);
    return good ? "met" : "missed";
}

/* One contender, behind the row's name or below the line before; its JSON. */
static json_t *print_contender(const bench_row *row, const bench_samples *s, int c) {
    const bench_contender *k = &row->contender[c];
    const bool goal = decides(row, s, c);
    if (c > 1 || row->at_most > 0) printf("%62s", "");
    if (is_absent(k)) {
        printf("%21s%-34s ", "", k->name);
        printf(goal ? "%.2f open: absent\n" : "absent\n", k->goal);
        open += goal;
        return json_null();
    }
    char to[80], ratios[64];
    const spread v = shown(row, s, c), q = ratio(row, s, c);
    snprintf(to, sizeof to, "%s (%.4g)", k->name, v.median);
    snprintf(ratios, sizeof ratios, "%5.2f (%.2f-%.2f)", q.median, q.low, q.high);
    printf("%-20s %-34s", ratios, to);
    if (goal) printf(" %.2f %s", k->goal, count(q.median >= k->goal));
    printf("\n");
    return json_pack("{s:{s:f,s:f,s:f},s:{s:f,s:f,s:f},s:f}", "value", "low", v.low, "median",
                     v.median, "high", v.high, "ratio", "low", q.low, "median", q.median, "high",
                     q.high, "goal", goal ? k->goal : 0.0);
}

static json_t *new_row(const char *group, const char *name, int threads, const char *unit) {
    json_t *r = json_pack("{s:s,s:s,s:i,s:s}", "group", group, "name", name, "threads", threads,
                          "unit", unit);
    json_array_append_new(rows, r);
    return r;
}

/* Our figure beside its own goal. */
static void print_alone(const bench_row *row, const spread *ours) {
    char range[64];
    snprintf(range, sizeof range, "(%.4g-%.4g)", ours->low, ours->high);
    printf(row->at_most > 0 ? "  %-55s" : "  %s", range);
    if (row->at_most > 0)
        printf(" at most %.4g %s", row->at_most, count(ours->median <= row->at_most));
    printf("\n");
}

void report_row(const bench_row *row, const bench_samples *s) {
    const spread ours = shown(row, s, 0);
    json_t *j = new_row(row->group, row->name, row->threads, row->unit), *others = json_object();
    print_name(row->group, row->name, row->threads);
    printf("%9.4g %-8s   ", ours.median, row->unit);
    if (row->n == 1 || row->at_most > 0) print_alone(row, &ours);
    for (int c = 1; c < row->n; c++)
        json_object_set_new(others, row->contender[c].name, print_contender(row, s, c));
    fflush(stdout);
    json_object_set_new(j, "rounds", json_integer(s->rounds));
    json_object_set_new(j, "value",
                        json_pack("{s:f,s:f,s:f,s:f}", "low", ours.low, "median", ours.median,
                                  "high", ours.high, "at_most", row->at_most));
    json_object_set_new(j, "others", others);
}

/* ---- figures without a contender ------------------------------------------------------------- */

void bench_note_goal(const char *group, const char *name, int threads, double value,
                     const char *unit, double at_most) {
    if (!rows || !bench_wants_row(group, name)) return;
    print_name(group, name, threads);
    printf("%9.4g %-8s   ", value, unit);
    if (at_most > 0) printf("%55s at most %.4g %s", "", at_most, count(value <= at_most));
    printf("\n");
    json_object_set_new(new_row(group, name, threads, unit), "value",
                        json_pack("{s:f,s:f}", "median", value, "at_most", at_most));
}

void bench_note(const char *group, const char *name, int threads, double value, const char *unit) {
    bench_note_goal(group, name, threads, value, unit, 0);
}

void bench_open(const char *group, const char *name, const char *why) {
    if (!rows || !bench_wants_row(group, name)) return;
    print_head(group);
    printf("%-36s     open: %s\n", name, why);
    open++;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void processor(char *model, size_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(model, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(model, size, "%s", colon + 2);
        break;
    }
    if (f) fclose(f);
}

void report_begin(int threads) {
    char model[200];
    processor(model, sizeof model);
    rows = json_array();
    printf("taper %s, %s, level %s, %d processors, %d threads\n", TP_VERSION_STRING, model,
           tp_isa(), tp__cpu_count(), threads);
    for (int python = 0; python < worker_pythons(); python++)
        printf("%s%s", python ? ", " : "", worker_torch_version(python));
    printf(worker_pythons() ? " (a+b: a threads of OpenMP, b of OpenBLAS)\n" : "torch absent\n");
}

void report_summary(void) {
    printf("\ngoals: %d met, %d missed, %d open\n", met, missed, open);
}

bool report_json(const char *path) {
    char model[200];
    processor(model, sizeof model);
    json_t *all =
        json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:O}", "version", TP_VERSION_STRING, "processor", model,
                  "isa", tp_isa(), "met", met, "missed", missed, "open", open, "rows", rows);
    const bool ok = all && !json_dump_file(all, path, JSON_INDENT(1));
    json_decref(all);
    return ok;
}
