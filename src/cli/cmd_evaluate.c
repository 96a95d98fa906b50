/* cmd_evaluate.c -- loss and accuracy of a saved model on a folder of images. The classes, their
 * order, the size and the loss are the model's; the folder only has to hold the same classes. */
#include "cli/cli.h"
#include <string.h>

typedef struct score {
    int n;
    int64_t *correct, *total; /* by class */
    double loss;
    int64_t images;
} score;

/* The part that tp_images_read filled: test if DIR has one, else validation, else all there is. */
static tp_part part_of(const tp_images *im) {
    if (tp_images_count(im, TP_TEST, -1)) return TP_TEST;
    return tp_images_count(im, TP_VALID, -1) ? TP_VALID : TP_TRAIN;
}

/* Add one batch. y: class numbers, or the binary target. */
static bool add_batch(const tp_model *m, const tp_batch *b, tp_loss_fn loss, score *s) {
    int positive = 0;
    const bool binary = tp_model_binary(m, &positive);
    tp_tensor *pred = tp_forward(tp_model_module(m), b->x), *value = loss(pred, b->y);
    tp_tensor *guess =
        binary ? tp_to(tp_gt(pred, tp_num_int(0)), TP_INT64) : tp_argmax_dim(pred, -1, 0);
    const int64_t *g = tp_data_i64(guess), *y = tp_data_i64(b->y);
    if (!value || !g || !y) return false;
    s->loss += tp_item(value) * (double)b->n;
    for (int64_t i = 0; i < b->n; i++) {
        const int64_t c = binary ? (y[i] ? positive : 1 - positive) : y[i];
        s->total[c]++;
        s->correct[c] += g[i] == y[i];
    }
    s->images += b->n;
    return true;
}

static bool run(const tp_model *m, tp_images *im, int64_t bs, score *s) {
    int positive = 0;
    const char *loss_name = tp_model_info(m, "loss");
    const tp_images_view view = {.size = sizeof view,
                                 .flat = true,
                                 .binary = tp_model_binary(m, &positive),
                                 .positive = positive};
    const tp_loss_fn loss = cli_loss(loss_name ? loss_name : view.binary ? "bce" : "cross_entropy");
    tp_dataset ds = {0};
    if (!loss || tp_images_dataset(im, part_of(im), &ds, &view)) return false;
    const tp_loader_opts opts = {.size = sizeof opts, .batch_size = bs};
    tp_loader *dl = tp_loader_new(&ds, &opts);
    tp_batch b;
    int more = -1;
    while (dl && (more = tp_loader_next(dl, &b)) > 0) {
        const tp_scope scope = tp_scope_no_grad();
        const bool ok = add_batch(m, &b, loss, s);
        tp_scope_end(scope);
        if (!ok) break;
    }
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    if (more) return false;
    s->loss /= (double)s->images;
    return true;
}

static tp_images *read_as_trained(const tp_model *m, const char *dir, bool strict, int64_t limit) {
    const char *classes[4096];
    const int n = tp_model_classes(m);
    tp_images_opts o = {.size = sizeof o,
                        .strict = strict,
                        .limit = limit,
                        .classes = classes,
                        .nclasses = n,
                        .test_only = true};
    if (n > 4096) return tp_error_set(TP_EVALUE, "%d classes; the most is 4096", n), NULL;
    for (int i = 0; i < n; i++) classes[i] = tp_model_class(m, i);
    tp_model_size(m, &o.channels, &o.height, &o.width);
    return tp_images_read(dir, &o);
}

static void say(const tp_model *m, const char *dir, const tp_images *im, const score *s,
                int64_t right) {
    static const char *const part[] = {"all", "validation", "test"};
    int width = 5;
    for (int c = 0; c < s->n; c++) {
        const int len = (int)strlen(tp_model_class(m, c));
        width = len > width ? len : width;
    }
    cli_fact("data", "%s: %s; its %s images", dir, tp_images_layout(im), part[part_of(im)]);
    for (int64_t i = 0; i < tp_images_notes(im); i++) cli_fact("note", "%s", tp_images_note(im, i));
    printf("\n%-*s  correct   total  accuracy\n", width, "class");
    for (int c = 0; c < s->n; c++)
        printf("%-*s  %7lld %7lld  %.6f\n", width, tp_model_class(m, c), (long long)s->correct[c],
               (long long)s->total[c],
               s->total[c] ? (double)s->correct[c] / (double)s->total[c] : 0);
    printf("%-*s  %7lld %7lld  %.6f\nloss %.6f\n", width, "all", (long long)right,
           (long long)s->images, (double)right / (double)s->images, s->loss);
}

int cmd_evaluate(const cli_command *c, int argc, char **argv) {
    bool json = false, strict = false;
    int64_t threads = 0, limit = 0, bs = 256;
    cli_option options[] = {
        CLI_ROW_INT("--bs", &bs, "images in a batch", "256", 1, 1e7),
        CLI_ROW_INT("--limit", &limit, "at most N images, evenly from the classes", "all", 1, 1e12),
        CLI_ROW_FLAG("--strict", &strict, "a file that cannot be read is an error, not skipped"),
        CLI_ROW_INT("--threads", &threads, "processors to use; results do not depend on it", "all",
                    1, 1024),
        CLI_ROW_FLAG("--json", &json, "one line of JSON"),
        CLI_ROW_END,
    };
    int status;
    if (cli_parse(c, options, argc, argv, &status) < 0) return status;
    if (cli_threads(c, threads)) return CLI_FAILED;
    int64_t correct[4096] = {0}, total[4096] = {0}, right = 0;
    tp_model *m = tp_model_load(argv[0]);
    tp_images *im = m ? read_as_trained(m, argv[1], strict, limit) : NULL;
    score s = {.n = m ? tp_model_classes(m) : 0, .correct = correct, .total = total};
    bool ok = im && run(m, im, bs, &s);
    for (int i = 0; i < s.n; i++) right += correct[i];
    if (ok && json)
        ok = cli_json(json_pack("{s:f, s:f, s:I, s:I}", "loss", s.loss, "accuracy",
                                (double)right / (double)s.images, "total", (json_int_t)s.images,
                                "correct", (json_int_t)right));
    else if (ok)
        say(m, argv[1], im, &s, right);
    status = ok ? CLI_OK : cli_failed(c);
    tp_images_free(im);
    tp_model_free(m);
    return cli_finish(c, status);
}
