/* test_book.c -- the numbers that the book prints, from its data set and through the library.
 *
 * The weights replay the generator of the published run, draw by draw. "Equal" means: counts are
 * exact, floats are within one unit of the last digit that was printed. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "taper/learner.h"
#include "taper/ops.h"

enum {
    THREES_TRAIN = 6131,
    SEVENS_TRAIN = 6265,
    THREES = 1010,
    SEVENS = 1028,
    ALL = THREES + SEVENS
};

static tp_images *images; /* of one test */

static void need_images(void) {
    char dir[4200];
    snprintf(dir, sizeof dir, "%s/mnist_sample", tpt_unpack("mnist_sample.tgz"));
    images = tp_images_read(dir, NULL);
    assert_non_null(images);
}

/* ---- the data -------------------------------------------------------------------------------- */

static void the_data_set(void **state) {
    (void)state;
    need_images();
    int C, H, W;
    tp_images_size(images, &C, &H, &W);
    assert_int_equal(C * 10000 + H * 100 + W, 12828);
    assert_int_equal(tp_images_classes(images), 2);
    assert_string_equal(tp_images_class(images, 0), "3");
    assert_string_equal(tp_images_layout(images), "train/ and valid/ folders");
    assert_int_equal(tp_images_count(images, TP_TRAIN, 0), THREES_TRAIN);
    assert_int_equal(tp_images_count(images, TP_TRAIN, 1), SEVENS_TRAIN);
    assert_int_equal(tp_images_count(images, TP_VALID, -1), ALL);
    assert_int_equal(tp_images_count(images, TP_TEST, -1), 0);
    assert_int_equal(tp_images_skipped(images), 0);
    const char *path = tp_images_path(images, TP_TRAIN, 1);
    assert_string_equal(path + strlen(path) - strlen("/train/3/10000.png"), "/train/3/10000.png");
    tp_tensor *x, *y;
    tpt_ok(tp_images_tensors(images, TP_TRAIN, &x, &y));
    static const uint8_t corner[] = {0, 48, 166, 224, 93, 244, 249, 253};
    tp_tensor *im3 = tp_at(x, "1, 0, 4:10, 4:10");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tp_item_int(tp_select(tp_select(im3, 0, 2), 0, i + 2)), i ? corner[i] : 0);
        assert_int_equal(tp_item_int(tp_select(tp_select(im3, 0, 3), 0, i + 1)), corner[4 + i]);
    }
    tp_images_free(images);
}

/* ---- pixel similarity ------------------------------------------------------------------------ */

static tp_tensor *stack(tp_part part, int64_t first, int64_t end) {
    tp_tensor *x, *y;
    tpt_ok(tp_images_tensors(images, part, &x, &y));
    return tp_div(tp_to(tp_squeeze_dim(tp_slice(x, 0, first, end, 1), 1), TP_FLOAT32), tp_num(255));
}

static tp_tensor *distance(tp_tensor *a, tp_tensor *b) {
    return tp_mean_dim(tp_abs(tp_sub(a, b)), TP_DIMS(-1, -2), 0);
}

static int64_t count(tp_tensor *mask) {
    return tp_item_int(tp_sum(mask));
}

static void near(double got, double want, double allowed) {
    if (fabs(got - want) > allowed) fail_msg("%.9g is not %.9g within %g", got, want, allowed);
}

static void pixel_similarity(void **state) {
    (void)state;
    need_images();
    tp_tensor *threes = stack(TP_TRAIN, 0, THREES_TRAIN);
    tp_tensor *sevens = stack(TP_TRAIN, THREES_TRAIN, THREES_TRAIN + SEVENS_TRAIN);
    tp_tensor *mean3 = tp_mean_dim(threes, TP_DIMS(0), 0),
              *mean7 = tp_mean_dim(sevens, TP_DIMS(0), 0);
    near(tp_item(tp_mean(mean3)), 0.141530143, 2e-7);
    near(tp_item(tp_mean(mean7)), 0.114527698, 2e-7);
    tp_tensor *a_3 = tp_select(threes, 0, 1);
    near(tp_item(distance(a_3, mean3)), 0.111436546, 2e-7);
    near(tp_item(distance(a_3, mean7)), 0.158619097, 2e-7);
    near(sqrt(tp_item(tp_mse_loss(a_3, mean3))), 0.202083207, 2e-7);
    near(sqrt(tp_item(tp_mse_loss(a_3, mean7))), 0.302108913, 2e-7);
    near(tp_item(tp_l1_loss(a_3, mean7)), 0.158619097, 2e-7);
    tp_tensor *valid3 = stack(TP_VALID, 0, THREES), *valid7 = stack(TP_VALID, THREES, ALL);
    near(tp_item(tp_mean(distance(valid3, mean3))), 0.129639344, 2e-7);
    assert_int_equal(count(tp_lt(distance(valid3, mean3), distance(valid3, mean7))), 926);
    assert_int_equal(count(tp_ge(distance(valid7, mean3), distance(valid7, mean7))), 1013);
    tp_images_free(images);
}

/* ---- training, as the chapter does it -------------------------------------------------------- */

typedef struct run {
    tp_dataset train_set, valid_set;
    tp_loader *train, *valid;
    tp_module *net;
    tp_optim *optim;
    tp_learner *l;
} run;

static tp_loader *in_order(const tp_dataset *ds) {
    return tp_loader_new(ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = 256});
}

/* Batches of 256 in the order of the names; target 1 is a three. Takes the net. */
static void begin(run *r, tp_module *net, tp_callback *cb) {
    static const tp_metric metric = {"batch_accuracy", tp_batch_accuracy};
    const tp_images_view view = {.size = sizeof view, .flat = true, .binary = true, .positive = 0};
    tpt_ok(tp_images_dataset(images, TP_TRAIN, &r->train_set, &view));
    tpt_ok(tp_images_dataset(images, TP_VALID, &r->valid_set, &view));
    r->train = in_order(&r->train_set);
    r->valid = in_order(&r->valid_set);
    r->net = net;
    r->optim = tp_sgd(net, NULL);
    r->l = tp_learner_new(&(tp_learner_opts){.size = sizeof(tp_learner_opts),
                                             .train = r->train,
                                             .valid = r->valid,
                                             .model = net,
                                             .loss = tp_mnist_loss,
                                             .optim = r->optim,
                                             .metrics = &metric,
                                             .nmetrics = 1,
                                             .callbacks = &cb,
                                             .ncallbacks = cb ? 1 : 0});
    assert_non_null(r->l);
}

static void end(run *r) {
    tp_learner_free(r->l);
    tp_loader_free(r->train);
    tp_loader_free(r->valid);
    tp_optim_free(r->optim);
    tp_module_free(r->net);
    tp_dataset_free(&r->train_set);
    tp_dataset_free(&r->valid_set);
}

/* The chapter's validate_epoch: the plain mean of the batches' accuracies, to four places. */
static double accuracies, by_batch[20];
static tp_status add_accuracy(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const tp_progress *p = tp_learner_progress(l);
    accuracies += tp_item(tp_batch_accuracy(p->pred, p->y));
    return TP_OK;
}
static tp_status note_accuracy(tp_callback *cb, tp_learner *l) {
    (void)cb;
    const tp_progress *p = tp_learner_progress(l);
    by_batch[p->epoch] = round(accuracies / (double)p->batches * 1e4) / 1e4;
    accuracies = 0;
    return TP_OK;
}

static void zero_initialised(void **state) {
    (void)state;
    static const struct {
        int epoch, right;
        double train, valid, validate_epoch;
    } want[] = {{0, 1010, .6370762, .5035462, .4932},  {1, 1737, .5484314, .1819645, .8530},
                {2, 1700, .2005565, .1833315, .8350},  {3, 1858, .0872957, .1072887, .9121},
                {4, 1904, .0456109, .0780946, .9346},  {9, 1972, .0174795, .0384380, .9678},
                {14, 1989, .0153578, .0296714, .9761}, {19, 1994, .0143506, .0258117, .9785}};
    need_images();
    tp_callback cb = {
        .size = sizeof cb, .after_valid_batch = add_accuracy, .after_validate = note_accuracy};
    tp_module *net = tp_module_parse("linear(784,1)", NULL);
    const tp_scope s = tp_scope_no_grad();
    for (int i = 0; i < 2; i++) assert_non_null(tp_zero_(tp_module_param(net, i)));
    tp_scope_end(s);
    run r;
    begin(&r, net, &cb);
    tpt_ok(tp_fit(r.l, 20, 1));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const int e = want[i].epoch;
        near(tp_recorder_value(r.l, e, 0), want[i].train, 5e-6);
        near(tp_recorder_value(r.l, e, 1), want[i].valid, 5e-6);
        assert_true(tp_recorder_value(r.l, e, 2) == (double)((float)want[i].right / ALL));
        near(by_batch[e], want[i].validate_epoch, 1e-9);
    }
    end(&r);
    tp_images_free(images);
}

/* ---- tables A and B -------------------------------------------------------------------------- */

static const double table_a[10][3] = {
    {0.636857, 0.503549, 0.495584}, {0.545725, 0.170281, 0.866045}, {0.199223, 0.184893, 0.831207},
    {0.086580, 0.107836, 0.911187}, {0.045185, 0.078481, 0.932777}, {0.029108, 0.062792, 0.946516},
    {0.022560, 0.053017, 0.955348}, {0.019687, 0.046500, 0.962218}, {0.018252, 0.041929, 0.965162},
    {0.017402, 0.038573, 0.967615}};

static const double table_b[40][3] = {
    {0.305828, 0.399663, 0.508341}, {0.142960, 0.225702, 0.807655}, {0.079516, 0.113519, 0.919529},
    {0.052391, 0.076792, 0.943081}, {0.039796, 0.060083, 0.956330}, {0.033368, 0.050713, 0.963690},
    {0.029680, 0.044797, 0.965653}, {0.027290, 0.040729, 0.968106}, {0.025568, 0.037771, 0.968597},
    {0.024233, 0.035508, 0.970559}, {0.023149, 0.033714, 0.972031}, {0.022242, 0.032243, 0.972522},
    {0.021468, 0.031006, 0.973503}, {0.020796, 0.029944, 0.974485}, {0.020207, 0.029016, 0.975466},
    {0.019683, 0.028196, 0.976448}, {0.019215, 0.027463, 0.976448}, {0.018791, 0.026806, 0.976938},
    {0.018405, 0.026212, 0.977920}, {0.018051, 0.025671, 0.977920}, {0.017725, 0.025179, 0.977920},
    {0.017422, 0.024728, 0.978410}, {0.017141, 0.024313, 0.978901}, {0.016878, 0.023932, 0.979392},
    {0.016632, 0.023580, 0.979882}, {0.016400, 0.023254, 0.979882}, {0.016181, 0.022952, 0.979882},
    {0.015975, 0.022672, 0.980864}, {0.015779, 0.022411, 0.980864}, {0.015593, 0.022168, 0.981845},
    {0.015417, 0.021941, 0.981845}, {0.015249, 0.021728, 0.981845}, {0.015088, 0.021529, 0.981845},
    {0.014935, 0.021341, 0.981845}, {0.014788, 0.021164, 0.981845}, {0.014647, 0.020998, 0.982336},
    {0.014512, 0.020840, 0.982826}, {0.014382, 0.020691, 0.982826}, {0.014257, 0.020550, 0.982826},
    {0.014136, 0.020415, 0.982826}};

/* As printed with six digits, within one unit of the last. */
static void check_table(const run *r, const double (*table)[3], int rows) {
    for (int e = 0; e < rows; e++)
        for (int c = 0; c < 3; c++)
            near(round(tp_recorder_value(r->l, e, c) * 1e6), table[e][c] * 1e6, 1.001);
}

static void skip_draws(int n) {
    for (int i = 0; i < n; i++) tp_rng_u32(NULL);
}

static void draw_normals(int64_t n) {
    (void)tp_randn(TP_SHAPE(n), TP_FLOAT32, NULL);
}

static void draw_linear(void) {
    tp_module_free(tp_nn_linear(784, 1, NULL));
}

/* From seed 42 to where the author's notebook made the model of table A. */
static void replay_to_table_a(void) {
    tp_manual_seed(42);
    draw_normals(20);
    draw_normals(3);
    for (int i = 0; i < 3; i++) {
        static const int then[] = {8, 2645, 86};
        draw_normals(784);
        draw_normals(1);
        skip_draws(then[i]);
    }
    draw_linear();
    skip_draws(82);
    draw_linear();
    skip_draws(80);
}

static void the_tables(void **state) {
    (void)state;
    need_images();
    run r;
    replay_to_table_a();
    begin(&r, tp_nn_linear(784, 1, NULL), NULL);
    tpt_ok(tp_fit(r.l, 10, 1)); /* its passes draw what came next in the notebook, too */
    check_table(&r, table_a, 10);
    end(&r);
    draw_normals(784 * 30); /* the net by hand, which was never trained */
    draw_normals(30);
    draw_normals(30);
    draw_normals(1);
    tp_module *net[] = {tp_nn_linear(784, 30, NULL), tp_nn_relu(), tp_nn_linear(30, 1, NULL)};
    begin(&r, tp_nn_sequential_n(net, 3), NULL);
    assert_int_equal(tp_module_numel(r.net), 23581);
    tpt_ok(tp_fit(r.l, 40, 0.1));
    check_table(&r, table_b, 40);
    char text[32];
    snprintf(text, sizeof text, "%.15g", tp_recorder_value(r.l, -1, 2));
    assert_string_equal(text, "0.982826292514801"); /* learn.recorder.values[-1][2] */
    end(&r);
    tp_images_free(images);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(the_data_set),
        TPT(pixel_similarity),
        TPT(zero_initialised),
        TPT(the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
