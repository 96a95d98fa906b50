/* cmd_train.c -- the main job: from a folder of images to a model file.
 *
 * It says what it found and what it chose, trains, prints fastai's table and saves. After every
 * epoch a checkpoint is written beside the model, so that nothing is lost and --resume goes on with
 * the same bits. */
#define _XOPEN_SOURCE 700
#include "cli/cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_KEY "taper.data_sha256"

typedef struct job {
    const cli_command *c;
    const char *dir, *out, *resume;
    const cli_option *options;
    tp_dict *past; /* the checkpoint that --resume names; the options are its strings */
    cli_recipe r;
    bool json, strict, no_shuffle, given_lr, given_momentum, given_loss;
    int64_t threads, limit, side;
    double valid_pct;
    tp_images *images;
    tp_dataset train_set, valid_set;
    tp_loader *train, *valid;
    tp_module *net;
    tp_optim *optim;
    tp_learner *learner;
    char arch[512], out_path[4096], checkpoint[4200], sha[65];
    bool unfinished;
} job;

/* ---- what is there and what is chosen -------------------------------------------------------- */

static bool read_images(job *j) {
    const tp_images_opts o = {.size = sizeof o,
                              .strict = j->strict,
                              .valid_pct = j->valid_pct,
                              .seed = (uint64_t)j->r.seed,
                              .limit = j->limit,
                              .max_side = (int)j->side};
    j->images = tp_images_read(j->dir, &o);
    return j->images != NULL;
}

/* Fill in what the user left open. The book's losses go with plain SGD, as in the book; otherwise
 * Adam on the one-cycle schedule. */
static bool choose(job *j) {
    cli_recipe *r = &j->r;
    const int classes = tp_images_classes(j->images);
    if (!r->loss) r->loss = "cross_entropy";
    r->binary = cli_loss_is_binary(r->loss);
    if (r->binary && classes != 2)
        return tp_error_set(
                   TP_EVALUE,
                   "--loss %s is for two classes, but there are %d here (use cross_entropy)",
                   r->loss, classes),
               false;
    r->outputs = r->binary ? 1 : classes;
    if (!r->opt) r->opt = !strcmp(r->loss, "mnist") || j->given_momentum ? "sgd" : "adam";
    const bool adam = !strcmp(r->opt, "adam");
    if (!r->schedule) r->schedule = adam ? "one_cycle" : "constant";
    if (!j->given_lr) r->lr = adam ? 0.002 : 0.1;
    if (!r->metric) r->metric = r->binary ? "batch_accuracy" : "accuracy";
    if (r->binary != !strcmp(r->metric, "batch_accuracy"))
        return tp_error_set(TP_EVALUE, "--metric %s does not go with --loss %s (use %s)", r->metric,
                            r->loss, r->binary ? "batch_accuracy" : "accuracy"),
               false;
    int ch, h, w;
    tp_images_size(j->images, &ch, &h, &w);
    return cli_architecture(r->model, (int64_t)ch * h * w, r->outputs, j->arch, sizeof j->arch);
}

/* DIR's last part, "mnist_sample"; for "." the folder's own name. */
static void base_name(const char *dir, char *buf, size_t size) {
    char *real = realpath(dir, NULL);
    const char *path = real ? real : dir, *slash = strrchr(path, '/');
    snprintf(buf, size, "%s", slash && slash[1] ? slash + 1 : "model");
    free(real);
}
/* The model's path: as given, or named after DIR; an older model of that name stays as it is. */
static bool choose_output(job *j) {
    char base[256];
    base_name(j->dir, base, sizeof base);
    if (j->out)
        snprintf(j->out_path, sizeof j->out_path, "%s", j->out);
    else
        snprintf(j->out_path, sizeof j->out_path, "%s.safetensors", base);
    if (!j->out && !j->resume)
        for (int i = 2; !access(j->out_path, F_OK) && i < 10000; i++)
            snprintf(j->out_path, sizeof j->out_path, "%s-%d.safetensors", base, i);
    if (j->resume) { /* go on where it was: MODEL.checkpoint belongs to MODEL */
        const size_t n = strlen(j->resume), e = strlen(".checkpoint");
        if (!j->out && n > e && !strcmp(j->resume + n - e, ".checkpoint"))
            snprintf(j->out_path, sizeof j->out_path, "%.*s", (int)(n - e), j->resume);
    }
    snprintf(j->checkpoint, sizeof j->checkpoint, "%s.checkpoint", j->out_path);
    return true;
}

/* Is there a way to write the checkpoint, and so the model beside it? To be known before the first
 * epoch, not after it. */
static bool can_write(const job *j) {
    const bool is_new = access(j->checkpoint, F_OK);
    FILE *f = fopen(j->checkpoint, "ab");
    if (!f)
        return tp_error_set(TP_EIO, "cannot write %s: %s", j->checkpoint, strerror(errno)), false;
    fclose(f);
    if (is_new) unlink(j->checkpoint);
    return true;
}

/* ---- saying so ------------------------------------------------------------------------------- */

static void say_classes(const job *j) {
    char text[1600], number[32];
    size_t used = 0;
    const int n = tp_images_classes(j->images);
    for (int i = 0; i < n && used < 1200; i++) {
        if (i == 12 && n > 14) {
            used += (size_t)snprintf(text + used, sizeof text - used, ", ... %d more", n - i);
            break;
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s" CLI_TIE "(%s)",
                                 i ? ", " : "", tp_images_class(j->images, i),
                                 cli_count(tp_images_count(j->images, TP_TRAIN, i), number));
    }
    cli_fact("classes", "%d: %s", n, text);
}
static void say_data(const job *j) {
    char a[32], b[32];
    int ch, h, w;
    tp_images_size(j->images, &ch, &h, &w);
    cli_fact("data", "%s: %s", j->dir, tp_images_layout(j->images));
    say_classes(j);
    cli_fact("images", "%s to train on, %s to validate; %d x %d %s",
             cli_count(tp_images_count(j->images, TP_TRAIN, -1), a),
             cli_count(tp_images_count(j->images, TP_VALID, -1), b), w, h,
             ch == 1 ? "grey" : "colour");
    if (j->side == CLI_MAX_SIDE && (w > h ? w : h) == CLI_MAX_SIDE) /* nobody asked for a limit */
        cli_fact("note", "images are at most %d pixels a side here; --size N sets another limit",
                 (int)j->side);
    for (int64_t i = 0; i < tp_images_notes(j->images); i++)
        cli_fact("note", "%s", tp_images_note(j->images, i));
}
static void say_recipe(const job *j) {
    char n[32];
    const cli_recipe *r = &j->r;
    const bool book = !strcmp(r->loss, "mnist");
    cli_fact("model", "%s: %s, %s numbers to learn", r->model, j->arch,
             cli_count(tp_module_numel(j->net), n));
    cli_fact("loss", "%s, because %s", r->loss,
             j->resume       ? "the checkpoint was made with it"
             : j->given_loss ? "you asked for it"
                             : "each image has one of several classes");
    cli_fact("optimizer", "%s, %s %g%s, batches of %lld; %s", r->opt,
             !strcmp(r->schedule, "one_cycle") ? "one cycle up to rate" : "constant rate", r->lr,
             r->shuffle ? ", shuffled" : ", in order", (long long)r->bs,
             book                      ? "as in the book"
             : !strcmp(r->opt, "adam") ? "it needs no tuning"
                                       : "the plain method");
}

/* ---- making and running the learner ---------------------------------------------------------- */

static bool zero_parameters(tp_module *net) {
    const tp_scope s = tp_scope_no_grad();
    bool ok = true;
    for (int64_t i = 0; i < tp_module_num_params(net); i++)
        ok &= tp_zero_(tp_module_param(net, i)) != NULL;
    tp_scope_end(s);
    return ok;
}

static bool make_optimizer(job *j) {
    const cli_recipe *r = &j->r;
    const double wd = r->wd < 0 ? 0 : r->wd > 0 ? r->wd : TP_ZERO; /* -1: not given, the default */
    const tp_adam_opts adam = {.size = sizeof adam, .lr = r->lr, .weight_decay = wd};
    const tp_sgd_opts sgd = {
        .size = sizeof sgd, .lr = r->lr, .momentum = r->momentum, .weight_decay = wd};
    j->optim = !strcmp(r->opt, "adam") ? tp_adam(j->net, &adam) : tp_sgd(j->net, &sgd);
    return j->optim != NULL;
}

static bool make(job *j) {
    const cli_recipe *r = &j->r;
    const tp_images_view view = {.size = sizeof view, .flat = true, .binary = r->binary};
    tp_manual_seed((uint64_t)r->seed);
    j->net = tp_module_parse(j->arch, NULL);
    if (!j->net || (!strcmp(r->init, "zero") && !zero_parameters(j->net)) || !make_optimizer(j))
        return false;
    if (tp_images_dataset(j->images, TP_TRAIN, &j->train_set, &view)) return false;
    if (tp_images_dataset(j->images, TP_VALID, &j->valid_set, &view)) return false;
    const tp_loader_opts train = {.size = sizeof train, .batch_size = r->bs, .shuffle = r->shuffle};
    const tp_loader_opts valid = {.size = sizeof valid, .batch_size = r->bs};
    j->train = tp_loader_new(&j->train_set, &train);
    j->valid = tp_loader_new(&j->valid_set, &valid);
    return j->train && j->valid;
}

static tp_status print_json(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const int64_t e = tp_recorder_epochs(l) - 1;
    json_t *o =
        json_pack("{s:I, s:f, s:f, s:f, s:f}", "epoch", (json_int_t)e, "train_loss",
                  tp_recorder_value(l, e, 0), "valid_loss", tp_recorder_value(l, e, 1), "accuracy",
                  tp_recorder_value(l, e, 2), "seconds", tp_recorder_seconds(l, e));
    return cli_json(o) ? TP_OK : tp_error_code();
}
/* The learner's state, the options, and which images they are for. */
static tp_status save_checkpoint(const job *j, tp_learner *l) {
    tp_dict *d = tp_learner_state(l);
    tp_status r = d ? cli_keep_options(j->options, d) : tp_error_code();
    if (!r) r = tp_dict_set_str(d, DATA_KEY, tp_images_sha256(j->images));
    if (!r) r = tp_save_safetensors(d, j->checkpoint);
    tp_dict_free(d);
    return r;
}
static tp_status after_epoch(tp_callback *cb, tp_learner *l) {
    const job *j = cb->self;
    return tp_recorder_epochs(l) < j->r.epochs ? save_checkpoint(j, l) : TP_OK;
}
/* Before anything is read: the options of the checkpoint are those of this run. */
static bool look_back(job *j, cli_option *options) {
    if (!j->resume) return true;
    j->past = tp_load_safetensors(j->resume);
    if (!j->past) return false;
    if (!tp_dict_get_str(j->past, "taper.checkpoint")) /* before the images are read */
        tp_error_set(TP_EFORMAT, "not a checkpoint of a learner");
    else if (!cli_take_options(options, j->past))
        return true;
    tp_error_prefix("%s", j->resume);
    return false;
}
static bool go_back(job *j) {
    if (!j->past) return true;
    const char *sha = tp_dict_get_str(j->past, DATA_KEY);
    const tp_status r = sha && strcmp(sha, tp_images_sha256(j->images))
                            ? tp_error_set(TP_EVALUE,
                                           "it was made with other images than %s now "
                                           "holds",
                                           j->dir)
                            : tp_learner_set_state(j->learner, j->past);
    if (r) tp_error_prefix("%s", j->resume);
    return !r;
}

static bool train(job *j) {
    static tp_callback json = {
        .size = sizeof json, .name = "json", .order = 60, .after_epoch = print_json};
    tp_callback keep = {.size = sizeof keep,
                        .name = "checkpoint",
                        .order = 70,
                        .self = j,
                        .after_epoch = after_epoch};
    tp_callback *callbacks[4] = {j->json ? &json : cli_table_callback(j->r.metric), &keep},
                *bar = cli_progress_callback();
    int n = 2;
    if (bar) callbacks[n++] = bar;
    const tp_metric metric = cli_metric(j->r.metric);
    const tp_learner_opts opts = {.size = sizeof opts,
                                  .train = j->train,
                                  .valid = j->valid,
                                  .model = j->net,
                                  .loss = cli_loss(j->r.loss),
                                  .optim = j->optim,
                                  .metrics = &metric,
                                  .nmetrics = 1,
                                  .callbacks = callbacks,
                                  .ncallbacks = n};
    j->learner = tp_learner_new(&opts);
    if (!j->learner || !go_back(j)) return false;
    cli_stop_watch(j->learner);
    const tp_status r = !strcmp(j->r.schedule, "one_cycle")
                            ? tp_fit_one_cycle(j->learner, j->r.epochs, j->r.lr)
                            : tp_fit(j->learner, j->r.epochs, j->r.lr);
    cli_stop_watch(NULL);
    cli_progress_clear();
    j->unfinished = tp_learner_stopped(j->learner);
    if (!r && j->unfinished && save_checkpoint(j, j->learner)) return false;
    return r == TP_OK;
}

/* ---- the model file -------------------------------------------------------------------------- */

static bool set_info(tp_model *m, const char *key, const char *fmt, ...) TP_PRINTF(3, 4);
static bool set_info(tp_model *m, const char *key, const char *fmt, ...) {
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return !tp_model_set_info(m, key, text);
}
static bool describe(const job *j, tp_model *m) {
    const cli_recipe *r = &j->r;
    const int64_t n = tp_recorder_epochs(j->learner);
    bool ok =
        set_info(m, "version", "%s", tp_version()) &&
        set_info(m, "seed", "%lld", (long long)r->seed) && set_info(m, "loss", "%s", r->loss) &&
        set_info(m, "optimizer", "%s", r->opt) && set_info(m, "schedule", "%s", r->schedule) &&
        set_info(m, "lr", "%.9g", r->lr) && set_info(m, "momentum", "%.9g", r->momentum) &&
        set_info(m, "batch_size", "%lld", (long long)r->bs) &&
        set_info(m, "shuffle", "%s", r->shuffle ? "yes" : "no") &&
        set_info(m, "epochs", "%lld", (long long)n) && set_info(m, "metric", "%s", r->metric) &&
        set_info(m, "data_sha256", "%s", tp_images_sha256(j->images));
    if (ok && n)
        ok = set_info(m, "valid_loss", "%.9g", tp_recorder_value(j->learner, n - 1, 1)) &&
             set_info(m, "accuracy", "%.9g", tp_recorder_value(j->learner, n - 1, 2));
    return ok;
}
static bool save_model(job *j) {
    const char *classes[4096];
    int n = tp_images_classes(j->images), ch, h, w;
    if (n > 4096) return tp_error_set(TP_EVALUE, "%d classes; the most is 4096", n), false;
    for (int i = 0; i < n; i++) classes[i] = tp_images_class(j->images, i);
    tp_images_size(j->images, &ch, &h, &w);
    const tp_model_opts o = {.size = sizeof o,
                             .module = j->net,
                             .classes = classes,
                             .nclasses = n,
                             .channels = ch,
                             .height = h,
                             .width = w,
                             .binary = j->r.binary};
    tp_model *m = tp_model_new(&o);
    const bool ok = m && describe(j, m) && !tp_model_save(m, j->out_path) &&
                    !tp_model_weights_sha256(m, j->sha);
    tp_model_free(m);
    return ok;
}

static void say_saved(const job *j) {
    const int64_t done = tp_recorder_epochs(j->learner);
    putchar('\n');
    if (j->unfinished) {
        cli_fact("stopped", "after %lld of %lld epochs; the model so far is %s", (long long)done,
                 (long long)j->r.epochs, j->out_path);
        printf("next         taper train %s --resume %s\n", j->dir, j->checkpoint);
        return;
    }
    cli_fact("saved", "%s (weights sha256 %.16s...)", j->out_path, j->sha);
    printf("next         taper predict %s IMAGE...\n", j->out_path);
}
static bool finish(job *j) {
    if (!save_model(j)) return false;
    if (!j->unfinished) unlink(j->checkpoint);
    if (!j->json) return say_saved(j), true;
    json_t *o = json_pack("{s:s, s:s, s:b}", "model", j->out_path, "weights_sha256", j->sha,
                          "finished", !j->unfinished);
    return cli_json(o);
}

static void release(job *j) {
    tp_dict_free(j->past);
    tp_learner_free(j->learner);
    tp_loader_free(j->train);
    tp_loader_free(j->valid);
    tp_optim_free(j->optim);
    tp_module_free(j->net);
    if (j->train_set.size) tp_dataset_free(&j->train_set);
    if (j->valid_set.size) tp_dataset_free(&j->valid_set);
    tp_images_free(j->images);
}

static bool prepare(job *j) {
    if (!read_images(j) || !choose(j) || !choose_output(j) || !can_write(j) || !make(j))
        return false;
    if (!j->json) {
        say_data(j);
        say_recipe(j);
        putchar('\n');
        fflush(stdout);
    }
    return true;
}

int cmd_train(const cli_command *c, int argc, char **argv) {
    job j = {
        .c = c,
        .r = {.model = "mlp:512", .init = "torch", .epochs = 8, .bs = 64, .seed = 42, .wd = -1},
        .valid_pct = 0.2,
        .side = CLI_MAX_SIDE};
    cli_option options[] = {
        CLI_ROW_TEXT("--model", &j.r.model, "M",
                     "linear, simple_net (mlp:30) or mlp:SIZES, hidden layers with ReLU",
                     "mlp:512"),
        CLI_ROW_CHOICE("--loss", &j.r.loss, "L",
                       "cross_entropy, or for two classes mnist (the book's) or bce",
                       "cross_entropy", "cross_entropy|mnist|bce", &j.given_loss),
        CLI_ROW_CHOICE("--metric", &j.r.metric, "M",
                       "accuracy, or batch_accuracy with mnist and bce", "by the loss",
                       "accuracy|batch_accuracy", NULL),
        CLI_ROW_INT("--epochs", &j.r.epochs, "passes over the training images", "8", 1, 1e6),
        CLI_ROW_NUMBER("--lr", &j.r.lr, "learning rate (the highest, with one_cycle)",
                       "0.002; sgd 0.1", 0, 1e6, &j.given_lr),
        CLI_ROW_INT("--bs", &j.r.bs, "images in a batch", "64", 1, 1e7),
        CLI_ROW_CHOICE("--opt", &j.r.opt, "O", "adam or sgd",
                       "adam; sgd with --loss mnist or --momentum", "adam|sgd", NULL),
        CLI_ROW_CHOICE("--schedule", &j.r.schedule, "S", "one_cycle or constant",
                       "one_cycle; sgd constant", "one_cycle|constant", NULL),
        CLI_ROW_NUMBER("--momentum", &j.r.momentum, "momentum of sgd", "0", 0, 0.99999,
                       &j.given_momentum),
        CLI_ROW_NUMBER("--wd", &j.r.wd, "weight decay, decoupled", "adam 0.01; sgd 0", 0, 1, NULL),
        CLI_ROW_INT("--seed", &j.r.seed, "of weights, order and split, as torch.manual_seed", "42",
                    0, 9007199254740991),
        CLI_ROW_FLAG("--no-shuffle", &j.no_shuffle,
                     "go through the images in the order of their names"),
        CLI_ROW_CHOICE("--init", &j.r.init, "I", "torch's random weights, or zero", "torch",
                       "torch|zero", NULL),
        CLI_ROW_NUMBER("--valid-pct", &j.valid_pct,
                       "share held back where DIR has no validation part", "0.2", 0.001, 0.9, NULL),
        CLI_ROW_INT("--limit", &j.limit, "at most N images of each part, evenly from the classes",
                    "all", 1, 1e12),
        CLI_ROW_INT("--size", &j.side,
                    "at most N pixels a side; larger images are scaled down, those of another "
                    "shape stretched",
                    "64", 1, 16384),
        CLI_ROW_FLAG("--strict", &j.strict, "a file that cannot be read is an error, not skipped"),
        CLI_ROW_INT("--threads", &j.threads, "processors to use; results do not depend on it",
                    "all", 1, 1024),
        CLI_ROW_TEXT("--resume", &j.resume, "FILE",
                     "go on from a checkpoint, which holds the options of its run", ""),
        CLI_ROW_TEXT("-o", &j.out, "FILE", "where the model goes", "DIR's name.safetensors"),
        CLI_ROW_FLAG("--json", &j.json, "a line of JSON per epoch, and one for the model"),
        CLI_ROW_END,
    };
    int status;
    if (cli_parse(c, options, argc, argv, &status) < 0) return status;
    j.dir = argv[0];
    j.options = options;
    if (!look_back(&j, options)) return release(&j), cli_failed(c);
    j.r.shuffle = !j.no_shuffle;
    if (cli_threads(c, j.threads)) return release(&j), CLI_FAILED;
    char probe[512];
    if (!cli_architecture(j.r.model, 1, 1, probe, sizeof probe)) {
        cli_failed(c);
        return release(&j), CLI_USAGE;
    }
    status = prepare(&j) && train(&j) && finish(&j) ? CLI_OK : cli_failed(c);
    release(&j);
    return cli_finish(c, status);
}
