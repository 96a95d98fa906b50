/* cmd_baseline.c -- the chapter's pixel similarity, for any number of classes: an image is what the
 * mean image nearest to it is. No learning; what a model has to beat. */
#include "cli/cli.h"
#include <string.h>

/* What bounds the memory: images compared at a time, pixels added up at a time. */
enum { SLICE = 512, SUMMED = 1 << 22 };

typedef struct tally {
    int n;
    int64_t *correct, *total;
} tally;

static tp_tensor *as_float(tp_tensor *x) {
    return tp_div(tp_to(x, TP_FLOAT32), tp_num_int(255));
}

/* Add the images of each class among x[M, P] y[M] to sum[classes, P]: a product with the classes'
 * marks. */
static bool add_by_class(tp_tensor *sum, tp_tensor *x, tp_tensor *y) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *classes = tp_arange(0, (double)tp_size(sum, 0), 1, TP_INT64);
    tp_tensor *marks = tp_eq(tp_unsqueeze(classes, 1), y); /* [classes, M] */
    /* Whole numbers below 2^53, so float64 adds them exactly, in whatever order they come. */
    const bool ok = tp_add_(sum, tp_matmul(tp_to(marks, TP_FLOAT64), tp_to(x, TP_FLOAT64)));
    tp_scope_end(s);
    return ok;
}

/* The mean image of each class: x[N, C, H, W] y[N] -> [classes, C, H, W]. */
static tp_tensor *mean_images(tp_images *im, tp_tensor *x, tp_tensor *y) {
    const int64_t N = tp_size(x, 0), C = tp_size(x, 1), H = tp_size(x, 2), W = tp_size(x, 3),
                  P = C * H * W;
    const int64_t slice = P < SUMMED ? SUMMED / P : 1;
    const int n = tp_images_classes(im);
    tp_tensor *flat = tp_reshape(x, TP_SHAPE(N, P)), *sum = tp_zeros(TP_SHAPE(n, P), TP_FLOAT64);
    for (int64_t i = 0; i < N; i += slice) {
        const int64_t end = i + slice < N ? i + slice : N;
        if (!add_by_class(sum, tp_slice(flat, 0, i, end, 1), tp_slice(y, 0, i, end, 1)))
            return NULL;
    }
    tp_tensor *mean[4096];
    for (int c = 0; c < n; c++) {
        const double count = (double)tp_images_count(im, TP_TRAIN, c);
        mean[c] = tp_to(tp_div(tp_select(sum, 0, c), tp_num(count * 255)), TP_FLOAT32);
    }
    return tp_reshape(tp_stack(mean, n, 0), TP_SHAPE(n, C, H, W));
}

/* Distance of each x[N, C, H, W] to the mean: mean |d|, or the root of mean d^2. */
static tp_tensor *distance(tp_tensor *x, tp_tensor *mean, bool rmse) {
    tp_tensor *d = tp_sub(x, mean);
    const tp_dims image = TP_DIMS(1, 2, 3);
    return rmse ? tp_sqrt(tp_mean_dim(tp_square(d), image, 0)) : tp_mean_dim(tp_abs(d), image, 0);
}

static tp_tensor *nearest(tp_tensor *x, tp_tensor *means, int classes, bool rmse) {
    tp_tensor *d[4096];
    for (int c = 0; c < classes; c++) {
        const tp_scope s = tp_scope_begin();
        d[c] = tp_scope_escape(s, distance(x, tp_select(means, 0, c), rmse));
        tp_scope_end(s);
    }
    return tp_argmin_dim(tp_stack(d, classes, 0), 0, 0);
}

static bool compare(tp_images *im, tp_tensor *means, bool rmse, tally *t) {
    tp_tensor *x, *y;
    if (tp_images_tensors(im, TP_VALID, &x, &y)) return false;
    const int64_t n = tp_size(x, 0);
    for (int64_t i = 0; i < n; i += SLICE) {
        const tp_scope s = tp_scope_begin();
        const int64_t end = i + SLICE < n ? i + SLICE : n;
        const int64_t *guess =
            tp_data_i64(nearest(as_float(tp_slice(x, 0, i, end, 1)), means, t->n, rmse));
        const int64_t *want = tp_data_i64(tp_slice(y, 0, i, end, 1));
        for (int64_t k = 0; guess && want && k < end - i; k++) {
            t->total[want[k]]++;
            t->correct[want[k]] += guess[k] == want[k];
        }
        tp_scope_end(s);
        if (!guess || !want) return false;
    }
    return true;
}

static double share(const tally *t, int c) {
    return t->total[c] ? (double)t->correct[c] / (double)t->total[c] : 0;
}
static double mean_share(const tally *t) {
    double sum = 0;
    int n = 0;
    for (int c = 0; c < t->n; c++)
        if (t->total[c]) {
            sum += share(t, c);
            n++;
        }
    return n ? sum / n : 0;
}

static bool say_json(tp_images *im, const tally *t) {
    json_t *classes = json_array(), *correct = json_array(), *total = json_array(),
           *accuracy = json_array();
    for (int c = 0; c < t->n; c++) {
        json_array_append_new(classes, json_string(tp_images_class(im, c)));
        json_array_append_new(correct, json_integer(t->correct[c]));
        json_array_append_new(total, json_integer(t->total[c]));
        json_array_append_new(accuracy, json_real(share(t, c)));
    }
    return cli_json(json_pack("{s:o, s:o, s:o, s:o, s:f}", "classes", classes, "correct", correct,
                              "total", total, "accuracy", accuracy, "mean_accuracy",
                              mean_share(t)));
}
static void say(const char *dir, tp_images *im, const char *distance_name, const tally *t) {
    char a[32];
    int width = 5;
    for (int c = 0; c < t->n; c++) {
        const int len = (int)strlen(tp_images_class(im, c));
        width = len > width ? len : width;
    }
    cli_fact("data", "%s: %s", dir, tp_images_layout(im));
    for (int64_t i = 0; i < tp_images_notes(im); i++) cli_fact("note", "%s", tp_images_note(im, i));
    cli_fact("method", "the nearest of %d mean images, by %s; %s images averaged", t->n,
             strcmp(distance_name, "rmse") ? "mean absolute difference (l1)"
                                           : "root mean square difference (rmse)",
             cli_count(tp_images_count(im, TP_TRAIN, -1), a));
    printf("\n%-*s  correct   total  accuracy\n", width, "class");
    for (int c = 0; c < t->n; c++)
        printf("%-*s  %7lld %7lld  %.6f\n", width, tp_images_class(im, c), (long long)t->correct[c],
               (long long)t->total[c], share(t, c));
    printf("%-*s                   %.6f\n", width, "mean", mean_share(t));
}

int cmd_baseline(const cli_command *c, int argc, char **argv) {
    const char *by = "l1";
    bool json = false;
    int64_t threads = 0, seed = 42, side = CLI_MAX_SIDE;
    tp_images_opts read = {.size = sizeof read};
    cli_option options[] = {
        CLI_ROW_CHOICE("--distance", &by, "D", "l1, the mean absolute difference, or rmse", "l1",
                       "l1|rmse", NULL),
        CLI_ROW_FLAG("--strict", &read.strict,
                     "a file that cannot be read is an error, not skipped"),
        CLI_ROW_NUMBER("--valid-pct", &read.valid_pct,
                       "share held back where DIR has no validation part", "0.2", 0.001, 0.9, NULL),
        CLI_ROW_INT("--seed", &seed, "of that split", "42", 0, 9007199254740991),
        CLI_ROW_INT("--limit", &read.limit,
                    "at most N images of each part, evenly from the classes", "all", 1, 1e12),
        CLI_ROW_INT("--size", &side,
                    "at most N pixels a side; larger images are scaled down, those of another "
                    "shape stretched",
                    "64", 1, 16384),
        CLI_ROW_INT("--threads", &threads, "processors to use; results do not depend on it", "all",
                    1, 1024),
        CLI_ROW_FLAG("--json", &json, "one line of JSON"),
        CLI_ROW_END,
    };
    int status;
    if (cli_parse(c, options, argc, argv, &status) < 0) return status;
    if (cli_threads(c, threads)) return CLI_FAILED;
    read.seed = (uint64_t)seed;
    read.max_side = (int)side;
    int64_t correct[4096] = {0}, total[4096] = {0};
    tally t = {.correct = correct, .total = total};
    tp_images *im = tp_images_read(argv[0], &read);
    tp_tensor *x = NULL, *y = NULL;
    bool ok = im && ((t.n = tp_images_classes(im)) <= 4096 ||
                     (tp_error_set(TP_EVALUE, "%d classes; the most is 4096", t.n), false));
    ok = ok && !tp_images_tensors(im, TP_TRAIN, &x, &y);
    tp_tensor *means = ok ? mean_images(im, x, y) : NULL;
    ok = means && compare(im, means, !strcmp(by, "rmse"), &t) && (!json || say_json(im, &t));
    if (ok && !json) say(argv[0], im, by, &t);
    status = ok ? CLI_OK : cli_failed(c);
    tp_thread_end();
    tp_images_free(im);
    return cli_finish(c, status);
}
