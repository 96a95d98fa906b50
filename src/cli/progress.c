/* progress.c -- one self-updating line on a terminal while a learner trains.
 *
 *     epoch 2/5  train  45 % |#########           | 87/194  00:01 < 00:02  loss 0.0421
 *
 * It is redrawn at most ten times a second, fits the width, and is wiped before a table line. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool shown;
    double start, drawn; /* of the pass; of the last redraw */
} bar;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_progress_clear(void) {
    if (!bar.shown) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar.shown = false;
}

static void clock_text(double seconds, char buf[16]) {
    const int s = (int)seconds;
    if (s < 3600)
        snprintf(buf, 16, "%02d:%02d", s / 60 % 60, s % 60);
    else
        snprintf(buf, 16, "%d:%02d:%02d", s / 3600 % 1000, s / 60 % 60, s % 60);
}

static void draw(const tp_progress *p) {
    const double t = now() - bar.start;
    const int64_t done = p->batch + 1, all = p->batches > 0 ? p->batches : 1;
    char spent[16], left[16], head[64], tail[96];
    clock_text(t, spent);
    clock_text(t / (double)done * (double)(all - done), left);
    const int h =
        snprintf(head, sizeof head, "epoch %lld/%lld %s %3d %% |", (long long)p->epoch + 1,
                 (long long)p->epochs, p->training ? "train" : "valid", (int)(100 * done / all));
    int n = snprintf(tail, sizeof tail, "| %lld/%lld  %s < %s", (long long)done, (long long)all,
                     spent, left);
    if (p->training)
        n += snprintf(tail + n, sizeof tail - (size_t)n, "  loss %.4f", p->smooth_loss);
    int cells = cli_width() - 1 - h - n;
    if (cells > 40) cells = 40;
    fputs("\r", stderr);
    if (cells < 4) { /* too narrow for a bar */
        fprintf(stderr, "%.*s\033[K", cli_width() - 1, head);
    } else {
        fputs(head, stderr);
        for (int i = 0; i < cells; i++) fputc(i < cells * done / all ? '#' : ' ', stderr);
        fprintf(stderr, "%s\033[K", tail);
    }
    fflush(stderr);
    bar.shown = true;
}

static tp_status pass_begins(tp_callback *cb, tp_learner *l) {
    (void)cb;
    (void)l;
    bar.start = now();
    bar.drawn = 0;
    return TP_OK;
}
static tp_status batch_done(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const double t = now();
    if (t - bar.drawn < 0.1) return TP_OK;
    bar.drawn = t;
    draw(tp_learner_progress(l));
    return TP_OK;
}
static tp_status epoch_done(tp_callback *cb, tp_learner *l) {
    (void)cb;
    (void)l;
    cli_progress_clear();
    return TP_OK;
}

tp_callback *cli_progress_callback(void) {
    static tp_callback cb = {.size = sizeof cb,
                             .name = "progress",
                             .order = 40,
                             .before_train = pass_begins,
                             .after_batch = batch_done,
                             .before_validate = pass_begins,
                             .after_valid_batch = batch_done,
                             .after_epoch = epoch_done,
                             .after_fit = epoch_done};
    return isatty(STDERR_FILENO) ? &cb : NULL;
}

/* ---- the table ------------------------------------------------------------------------------- */

static tp_status narrow_header(tp_callback *cb, tp_learner *l) {
    (void)l;
    printf("epoch  train   valid   %-8.8s  time\n", (const char *)cb->self);
    fflush(stdout);
    return TP_OK;
}
static tp_status narrow_row(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const long long e = (long long)tp_recorder_epochs(l) - 1,
                    seconds = (long long)tp_recorder_seconds(l, e);
    printf("%-5lld  %-6.4f  %-6.4f  %-8.6f  %02lld:%02lld\n", e, tp_recorder_value(l, e, 0),
           tp_recorder_value(l, e, 1), tp_recorder_value(l, e, 2), seconds / 60, seconds % 60);
    fflush(stdout);
    return TP_OK;
}

tp_callback *cli_table_callback(const char *metric) {
    static tp_callback narrow = {.size = sizeof narrow,
                                 .name = "table",
                                 .order = 60,
                                 .before_fit = narrow_header,
                                 .after_epoch = narrow_row};
    const char *widest = "epoch     train_loss  valid_loss  batch_accuracy  00:00";
    if (cli_width() > (int)strlen(widest)) return tp_table_callback();
    narrow.self = (void *)metric;
    return &narrow;
}
