/* test_parity.c -- the same seed gives PyTorch's training curve.
 *
 * parity/curve.py is plain PyTorch; what it printed is checked in under golden/ and compared
 * always, and where torch is installed it is run again. It trains twice, the second time with
 * one product summed in two halves, and so measures how far PyTorch differs from itself: taper
 * may differ from it by four times as much. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "taper/learner.h"
#include "taper/ops.h"

enum { BATCHES = 200, EPOCHS = 8 };

/* What is compared of a training run. */
typedef struct curve {
    double batch[BATCHES];
    double mean[EPOCHS], valid[EPOCHS]; /* of an epoch's batch losses; validation loss */
    int batches, epochs;
} curve;

typedef struct setting {
    const char *golden, *architecture, *hidden, *loss_name;
    tp_loss_fn loss;
    bool binary;
    int64_t epochs;
} setting;

/* ---- PyTorch's ------------------------------------------------------------------------------- */

static void read_curves(FILE *f, curve *a, curve *b) {
    char kind[8];
    int i;
    double v[4];
    *a = *b = (curve){.batches = 0};
    while (fscanf(f, "%7s %d %lf %lf", kind, &i, &v[0], &v[1]) == 4) {
        if (!strcmp(kind, "batch")) {
            assert_int_equal(i, a->batches++);
            a->batch[i] = v[0];
            b->batch[i] = v[1];
            continue;
        }
        assert_int_equal(fscanf(f, "%lf %lf", &v[2], &v[3]), 2);
        assert_int_equal(i, a->epochs++);
        a->mean[i] = v[0];
        b->mean[i] = v[1];
        a->valid[i] = v[2];
        b->valid[i] = v[3];
    }
    assert_int_equal(a->batches, BATCHES);
}

static double gap(const double *a, const double *b, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

/* ---- taper's --------------------------------------------------------------------------------- */

static void train(const setting *s, tp_dataset set[2], curve *c) {
    const tp_loader_opts shuffled = {.size = sizeof shuffled, .batch_size = 64, .shuffle = true};
    const tp_loader_opts plain = {.size = sizeof plain, .batch_size = 64};
    tp_manual_seed(42);
    tp_module *net = tp_module_parse(s->architecture, NULL);
    tp_optim *optim = tp_sgd(net, NULL);
    tp_loader *train = tp_loader_new(&set[0], &shuffled), *valid = tp_loader_new(&set[1], &plain);
    tp_learner *l = tp_learner_new(&(tp_learner_opts){.size = sizeof(tp_learner_opts),
                                                      .train = train,
                                                      .valid = valid,
                                                      .model = net,
                                                      .loss = s->loss,
                                                      .optim = optim});
    tpt_ok(tp_fit(l, s->epochs, 0.1));
    const int64_t per_epoch = tp_loader_len(train);
    *c = (curve){.batches = BATCHES, .epochs = (int)s->epochs};
    for (int i = 0; i < BATCHES; i++) c->batch[i] = tp_recorder_raw_loss(l, i);
    for (int e = 0; e < c->epochs; e++) {
        for (int64_t i = 0; i < per_epoch; i++)
            c->mean[e] += tp_recorder_raw_loss(l, e * per_epoch + i);
        c->mean[e] /= (double)per_epoch;
        c->valid[e] = tp_recorder_value(l, e, 1);
    }
    tp_learner_free(l);
    tp_loader_free(train);
    tp_loader_free(valid);
    tp_optim_free(optim);
    tp_module_free(net);
}

static void run_taper(const setting *s, const char *dir, curve *c) {
    const tp_images_view view = {.size = sizeof view, .flat = true, .binary = s->binary};
    tp_images *im = tp_images_read(dir, NULL);
    assert_non_null(im);
    tp_dataset set[2];
    tpt_ok(tp_images_dataset(im, TP_TRAIN, &set[0], &view));
    tpt_ok(tp_images_dataset(im, TP_VALID, &set[1], &view));
    train(s, set, c);
    tp_dataset_free(&set[0]);
    tp_dataset_free(&set[1]);
    tp_images_free(im);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void within(const char *what, double is, double allowed) {
    print_message("# %s: largest difference %.3g, allowed %.3g\n", what, is, allowed);
    if (!(is <= allowed)) fail_msg("%s differ by %g, allowed is %g", what, is, allowed);
}

/* How far torch is from itself, and at least one unit in the last place of the largest loss: on
 * some processors its halves happen to round to the same numbers. */
static double own_gap(const double *torch, const double *halves, int n) {
    double largest = 0;
    for (int i = 0; i < n; i++) largest = fmax(largest, fabs(torch[i]));
    return fmax(gap(torch, halves, n), FLT_EPSILON * largest);
}

/* Each bound is the smaller of two: the absolute one, and four times torch's own. At the base
 * level, where products are summed without fused multiply-adds, epochs have the absolute one. */
static void compare(const char *which, const curve *got, FILE *f, double batch_bound,
                    double epoch_bound) {
    curve torch, halves;
    read_curves(f, &torch, &halves);
    assert_int_equal(got->epochs, torch.epochs);
    char what[80];
    const int n = torch.epochs;
    const double own_batch = 4 * own_gap(torch.batch, halves.batch, BATCHES);
    const double own_epoch =
        tp__kernels_isa() == TP__ISA_BASE
            ? epoch_bound
            : 4 * fmax(own_gap(torch.mean, halves.mean, n), own_gap(torch.valid, halves.valid, n));
    snprintf(what, sizeof what, "%s: the first %d batch losses", which, BATCHES);
    within(what, gap(got->batch, torch.batch, BATCHES), fmin(batch_bound, own_batch));
    snprintf(what, sizeof what, "%s: the epochs' mean losses", which);
    within(what, gap(got->mean, torch.mean, n), fmin(epoch_bound, own_epoch));
    snprintf(what, sizeof what, "%s: the epochs' validation losses", which);
    within(what, gap(got->valid, torch.valid, n), fmin(epoch_bound, own_epoch));
}

static void compare_all(const setting *s, const char *dir, double batch_bound, double epoch_bound) {
    curve got;
    run_taper(s, dir, &got);
    char path[200], args[5000];
    snprintf(path, sizeof path, "tests/golden/%s", s->golden);
    FILE *f = fopen(tpt_source(path), "r");
    assert_non_null(f);
    compare("golden", &got, f, batch_bound, epoch_bound);
    fclose(f);
    snprintf(args, sizeof args, "'%s' %s %s 42 %d", dir, s->hidden, s->loss_name, (int)s->epochs);
    f = tpt_python_with("torch", "tests/parity/curve.py", args);
    compare("live", &got, f, batch_bound, epoch_bound);
    tpt_python_end(f);
}

static void simple_net(void **state) {
    (void)state;
    const setting s = {"curve_simple_net.txt",
                       "linear(784,30) relu linear(30,1)",
                       "30",
                       "mnist",
                       tp_mnist_loss,
                       true,
                       5};
    char dir[4200];
    snprintf(dir, sizeof dir, "%s/mnist_sample", tpt_unpack("mnist_sample.tgz"));
    compare_all(&s, dir, 1e-5, 1e-6);
}

static void ten_classes(void **state) {
    (void)state;
    const setting s = {"curve_mlp.txt",
                       "linear(784,64) relu linear(64,10)",
                       "64",
                       "cross_entropy",
                       tp_cross_entropy,
                       false,
                       2};
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", tpt_data("mnist"));
    compare_all(&s, dir, 1e-5, 5e-4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(simple_net),
        TPT(ten_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
