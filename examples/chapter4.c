/* chapter4.c -- chapter 4 of the fastai book, its notebook from top to bottom, in C.
 *
 *     chapter4 --data DIR [--run published|fresh] [--seed N]      DIR: an unpacked mnist_sample
 *
 * Each step prints the notebook's code after ">>>" and then what it gives, as PyTorch writes it.
 * `fresh`: every random number in the order of the cells. `published`: the author ran some cells
 * more than once before the notebook was saved; the same number of draws is skipped here, so the
 * numbers are those of the book. Pictures are left out, and so is the last cell, resnet18. */
#define _POSIX_C_SOURCE 200809L
#include "chapter4_python.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>

/* The notebook's global variables. */
static struct {
    const char *dir;
    bool published;
    uint64_t seed;
    tp_rng *loaders; /* where loaders draw; NULL: the generator that all share */
    tp_images *images;
    tp_tensor *threes, *sevens;                       /* uint8 [n, 28, 28] */
    tp_tensor *stacked_threes, *valid_3, *valid_7;    /* float32 [n, 28, 28] in [0, 1] */
    tp_tensor *mean3, *mean7, *a_3;                   /* [28, 28] */
    tp_tensor *time, *speed;                          /* [20] */
    tp_tensor *train_x, *train_y, *valid_x, *valid_y; /* [n, 784]; int64 [n, 1], 1 for a three */
    tp_dataset dset, valid_dset;
    tp_loader *dl, *valid_dl;
} nb;

/* Draws of the author's that the saved notebook does not show. */
static void skip(int draws) {
    if (!nb.published) return;
    for (int i = 0; i < draws; i++) tp_rng_u32(tp_rng_default());
}

/* ---- 1: from files to tensors ---------------------------------------------------------------- */

static int not_hidden(const struct dirent *e) {
    return e->d_name[0] != '.';
}

struct listing {
    const char *prefix;
    struct dirent **entry;
};

static void entry_name(const void *self, int64_t i) {
    const struct listing *l = self;
    printf("Path('%s%s')", l->prefix, l->entry[i]->d_name);
}

/* path.ls().sorted() of a folder of the data set, "" or "train/". */
static void show_folder(const char *sub) {
    char path[4096];
    struct listing l = {sub, NULL};
    snprintf(path, sizeof path, "%s/%s", nb.dir, sub);
    const int n = scandir(path, &l.entry, not_hidden, alphasort);
    if (n < 0) {
        tp_error_set(TP_EIO, "%s: %s", path, strerror(errno));
        fail("chapter4");
    }
    show_list(n, entry_name, &l);
    for (int i = 0; i < n; i++) free(l.entry[i]);
    free(l.entry);
}

/* Image i of the training part, relative to the data set: "train/3/10000.png". */
static const char *train_path(int64_t i) {
    const char *path = tp_images_path(nb.images, TP_TRAIN, i);
    if (!path) fail("chapter4");
    const size_t dir = strlen(nb.dir);
    if (!strncmp(path, nb.dir, dir)) path += dir;
    return path + strspn(path, "/");
}

static void three_name(const void *self, int64_t i) {
    (void)self;
    printf("Path('%s')", train_path(i));
}

/* Images of one class of one part: uint8 [n, 28, 28]. */
static tp_tensor *class_of(tp_part part, int c) {
    tp_tensor *x, *y;
    must(tp_images_tensors(nb.images, part, &x, &y));
    const int64_t first = c ? tp_images_count(nb.images, part, 0) : 0;
    const int64_t n = tp_images_count(nb.images, part, c);
    return tp_view(tp_slice(x, 0, first, first + n, 1), TP_SHAPE(-1, 28, 28));
}

/* torch.stack(list).float() / 255 */
static tp_tensor *stacked(tp_tensor *bytes) {
    return tp_div(tp_to(bytes, TP_FLOAT32), 255);
}

static void read_data(void) {
    nb.images = tp_images_read(nb.dir);
    int channels, height, width;
    if (!nb.images) fail("chapter4");
    tp_images_size(nb.images, &channels, &height, &width);
    if (tp_images_classes(nb.images) != 2 || channels != 1 || height != 28 || width != 28 ||
        strcmp(tp_images_class(nb.images, 0), "3") || strcmp(tp_images_class(nb.images, 1), "7")) {
        tp_error_set(TP_EVALUE, "%s: not the threes and sevens of mnist_sample", nb.dir);
        fail("chapter4");
    }
    nb.threes = class_of(TP_TRAIN, 0);
    nb.sevens = class_of(TP_TRAIN, 1);
}

static void show_data(void) {
    step("path.ls().sorted()");
    show_folder("");
    step("(path/'train').ls().sorted()");
    show_folder("train/");
    step("threes = (path/'train'/'3').ls().sorted(); "
         "sevens = (path/'train'/'7').ls().sorted(); threes");
    show_list(tp_size(nb.threes, 0), three_name, NULL);
    step("im3_path = threes[1]; im3_path");
    three_name(NULL, 1);
    putchar('\n');
    tp_tensor *im3 = tp_select(nb.threes, 0, 1);
    step("array(im3)[4:10,4:10]");
    show_array(tp_at(im3, "4:10, 4:10"));
    cell("tensor(im3)[4:10,4:10]", "T", tp_at(im3, "4:10, 4:10"));
    step("pd.DataFrame(im3_t[4:15,4:22])");
    tp_tensor *table = tp_at(im3, "4:15, 4:22");
    for (int r = 0; r < 11; r++)
        for (int c = 0; c < 18; c++)
            printf("%" PRId64 "%c", tp_item_int(tp_select(tp_select(table, 0, r), 0, c)),
                   c < 17 ? ' ' : '\n');
}

/* ---- 2: pixel similarity --------------------------------------------------------------------- */

static tp_tensor *rmse(tp_tensor *a, tp_tensor *b) {
    return tp_sqrt(tp_mean(tp_pow(tp_sub(a, b), 2)));
}

static tp_tensor *mean_abs(tp_tensor *a, tp_tensor *b) {
    return tp_mean(tp_abs(tp_sub(a, b)));
}

static void pixel_similarity(void) {
    cell("len(three_tensors), len(seven_tensors)", "(I, I)", tp_size(nb.threes, 0),
         tp_size(nb.sevens, 0));
    nb.stacked_threes = stacked(nb.threes);
    tp_tensor *stacked_sevens = stacked(nb.sevens);
    cell("stacked_threes = torch.stack(three_tensors).float()/255; stacked_threes.shape", "S",
         nb.stacked_threes);
    cell("len(stacked_threes.shape), stacked_threes.ndim", "(I, I)",
         (int64_t)tp_shape_of(nb.stacked_threes).ndim, (int64_t)tp_ndim(nb.stacked_threes));
    nb.mean3 = tp_mean_dim(nb.stacked_threes, TP_DIMS(0), 0);
    nb.mean7 = tp_mean_dim(stacked_sevens, TP_DIMS(0), 0);
    cell("mean3 = stacked_threes.mean(0); mean3.mean().item(), mean3.max().item()", "(N, N)",
         tp_item(tp_mean(nb.mean3)), tp_item(tp_max(nb.mean3)));
    cell("mean7 = stacked_sevens.mean(0); mean7.mean().item(), mean7.max().item()", "(N, N)",
         tp_item(tp_mean(nb.mean7)), tp_item(tp_max(nb.mean7)));
    nb.a_3 = tp_select(nb.stacked_threes, 0, 1);
    cell("(a_3 - mean3).abs().mean(), ((a_3 - mean3)**2).mean().sqrt()", "(T, T)",
         mean_abs(nb.a_3, nb.mean3), rmse(nb.a_3, nb.mean3));
    cell("(a_3 - mean7).abs().mean(), ((a_3 - mean7)**2).mean().sqrt()", "(T, T)",
         mean_abs(nb.a_3, nb.mean7), rmse(nb.a_3, nb.mean7));
    cell("F.l1_loss(a_3.float(), mean7), F.mse_loss(a_3, mean7).sqrt()", "(T, T)",
         tp_l1_loss(nb.a_3, nb.mean7), tp_sqrt(tp_mse_loss(nb.a_3, nb.mean7)));
}

/* ---- 3: arrays and tensors ------------------------------------------------------------------- */

static void arrays_and_tensors(void) {
    tp_tensor *tns = tp_ints(TP_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    step("arr = array([[1,2,3],[4,5,6]]); arr");
    show_array(tns);
    cell("tns = tensor([[1,2,3],[4,5,6]]); tns", "T", tns);
    cell("tns[1]", "T", tp_at(tns, "1"));
    cell("tns[:,1]", "T", tp_at(tns, ":, 1"));
    cell("tns[1,1:3]", "T", tp_at(tns, "1, 1:3"));
    cell("tns + 1", "T", tp_add(tns, 1));
    step("tns.type()");
    printf("'%s'\n", tp_type(tns));
    cell("tns * 1.5", "T", tp_mul(tns, 1.5));
}

/* ---- 4: a metric by broadcasting ------------------------------------------------------------- */

static tp_tensor *mnist_distance(tp_tensor *a, tp_tensor *b) {
    return tp_mean_dim(tp_abs(tp_sub(a, b)), TP_DIMS(-1, -2), 0);
}

static tp_tensor *is_3(tp_tensor *x) {
    return tp_lt(mnist_distance(x, nb.mean3), mnist_distance(x, nb.mean7));
}

static tp_tensor *as_float(tp_tensor *x) {
    return tp_to(x, TP_FLOAT32);
}

static void metric(void) {
    nb.valid_3 = stacked(class_of(TP_VALID, 0));
    nb.valid_7 = stacked(class_of(TP_VALID, 1));
    cell("valid_3_tens.shape, valid_7_tens.shape", "(S, S)", nb.valid_3, nb.valid_7);
    cell("mnist_distance(a_3, mean3)", "T", mnist_distance(nb.a_3, nb.mean3));
    tp_tensor *valid_3_dist = mnist_distance(nb.valid_3, nb.mean3);
    cell("valid_3_dist = mnist_distance(valid_3_tens, mean3); valid_3_dist, valid_3_dist.shape",
         "(T, S)", valid_3_dist, valid_3_dist);
    cell("valid_3_dist.mean().item()", "N", tp_item(tp_mean(valid_3_dist)));
    cell("tensor([1,2,3]) + tensor([1,1,1])", "T",
         tp_add(tp_ints(TP_SHAPE(3), 1, 2, 3), tp_ints(TP_SHAPE(3), 1, 1, 1)));
    cell("(valid_3_tens - mean3).shape", "S", tp_sub(nb.valid_3, nb.mean3));
    cell("is_3(a_3), is_3(a_3).float()", "(T, T)", is_3(nb.a_3), as_float(is_3(nb.a_3)));
    tp_tensor *right_3 = is_3(nb.valid_3), *wrong_7 = is_3(nb.valid_7);
    cell("is_3(valid_3_tens)", "T", right_3);
    cell("is_3(valid_3_tens).sum(), (~is_3(valid_7_tens)).sum()", "(T, T)", tp_sum(right_3),
         tp_sum(tp_logical_not(wrong_7)));
    tp_tensor *accuracy_3s = tp_mean(as_float(right_3));
    tp_tensor *accuracy_7s = tp_mean(tp_sub(1, as_float(wrong_7)));
    cell("accuracy_3s, accuracy_7s, (accuracy_3s + accuracy_7s)/2", "(T, T, T)", accuracy_3s,
         accuracy_7s, tp_div(tp_add(accuracy_3s, accuracy_7s), 2));
}

/* ---- 5: gradient descent --------------------------------------------------------------------- */

static void gradients(void) {
    step("gv('init->predict->loss->gradient->step->stop; step->predict[label=repeat]')");
    puts("digraph G { rankdir=\"LR\"\n"
         "init->predict->loss->gradient->step->stop; step->predict[label=repeat]\n}");
    tp_tensor *xt = tp_requires_grad_(tp_scalar(3, TP_FLOAT32));
    tp_tensor *yt = tp_pow(xt, 2);
    cell("xt = tensor(3.).requires_grad_(); yt = f(xt); yt", "T", yt);
    step("yt.backward(); xt.grad");
    must(tp_backward(yt));
    show("T", tp_grad(xt));
    xt = tp_requires_grad_(tp_floats(TP_SHAPE(3), 3, 4, 10));
    cell("xt = tensor([3.,4.,10.]).requires_grad_(); xt", "T", xt);
    yt = tp_sum(tp_pow(xt, 2));
    cell("yt = f(xt); yt", "T", yt);
    step("yt.backward(); xt.grad");
    must(tp_backward(yt));
    show("T", tp_grad(xt));
}

/* f(t, params): a t^2 + b t + c */
static tp_tensor *quadratic(tp_tensor *t, tp_tensor *params) {
    tp_tensor *p[3];
    if (tp_unbind(params, 0, p, 3) < 0) fail("chapter4");
    return tp_add(tp_add(tp_mul(p[0], tp_pow(t, 2)), tp_mul(p[1], t)), p[2]);
}

static tp_tensor *mse(tp_tensor *preds, tp_tensor *targets) {
    return tp_mean(tp_pow(tp_sub(preds, targets), 2));
}

/* params.data -= lr * params.grad.data; params.grad = None */
static void descend(tp_tensor *params, double lr) {
    tp_scope s = tp_scope_no_grad();
    if (!tp_sub_(params, tp_mul(tp_grad(params), lr))) fail("chapter4");
    tp_zero_grad(params);
    tp_scope_end(s);
}

/* One step down; prints the loss before it. */
static void apply_step(tp_tensor *params) {
    tp_scope s = tp_scope_begin();
    tp_tensor *loss = mse(quadratic(nb.time, params), nb.speed);
    must(tp_backward(loss));
    show("N", tp_item(loss));
    descend(params, 1e-5);
    tp_scope_end(s);
}

static void roller_coaster(void) {
    nb.time = as_float(tp_arange(0, 20, 1, TP_INT64));
    cell("time = torch.arange(0,20).float(); time", "T", nb.time);
    tp_tensor *noise = tp_randn(TP_SHAPE(20), TP_FLOAT32, NULL);
    cell("noise = torch.randn(20); noise", "T", noise);
    tp_tensor *curve = tp_mul(tp_pow(tp_sub(nb.time, 9.5), 2), 0.75);
    nb.speed = tp_add(tp_add(tp_mul(noise, 3), curve), 1);
    tp_tensor *params = tp_requires_grad_(tp_randn(TP_SHAPE(3), TP_FLOAT32, NULL));
    tp_tensor *orig_params = tp_clone(params);
    cell("speed = noise*3 + 0.75*(time-9.5)**2 + 1; params = torch.randn(3).requires_grad_(); "
         "params",
         "T", params);
    tp_tensor *loss = mse(quadratic(nb.time, params), nb.speed);
    cell("loss = mse(f(time, params), speed); loss", "T", loss);
    must(tp_backward(loss));
    cell("loss.backward(); params.grad", "T", tp_grad(params));
    cell("params.grad * 1e-5", "T", tp_mul(tp_grad(params), 1e-5));
    cell("params", "T", params);
    descend(params, 1e-5);
    cell("params.data -= 1e-5 * params.grad.data; params.grad = None; mse(f(time, params), speed)",
         "T", mse(quadratic(nb.time, params), nb.speed));
    step("for i in range(10): apply_step(params)");
    for (int i = 0; i < 10; i++) apply_step(params);
    params = tp_requires_grad_(tp_detach(orig_params));
    step("params = orig_params.detach().requires_grad_(); for ax in axs: apply_step(params)");
    for (int i = 0; i < 4; i++) apply_step(params);
}

/* ---- 6: a loss for MNIST --------------------------------------------------------------------- */

/* A model of this chapter: w and b used by hand, or a module. */
typedef struct net {
    tp_tensor *w, *b; /* [784, 1], [1] */
    tp_module *module;
} net;

static tp_tensor *init_params(tp_shape size) {
    return tp_requires_grad_(tp_keep(tp_randn(size, TP_FLOAT32, NULL)));
}

static net init_net(void) {
    tp_tensor *w = init_params(TP_SHAPE(784, 1)); /* first: each draw has its place */
    return (net){.w = w, .b = init_params(TP_SHAPE(1))};
}

static void free_net(net *m) {
    tp_free(m->w);
    tp_free(m->b);
    *m = (net){0};
}

static tp_tensor *predict(const net *m, tp_tensor *xb) {
    return m->module ? tp_forward(m->module, xb) : tp_add(tp_matmul(xb, m->w), m->b);
}

/* The first form: no sigmoid yet. */
static tp_tensor *distance_loss(tp_tensor *predictions, tp_tensor *targets) {
    return tp_mean(tp_where(tp_eq(targets, 1), tp_sub(1, predictions), predictions));
}

static tp_tensor *mnist_loss(tp_tensor *predictions, tp_tensor *targets) {
    return distance_loss(tp_sigmoid(predictions), targets);
}

/* (preds > 0.0).float() == targets */
static tp_tensor *correct(tp_tensor *preds, tp_tensor *targets) {
    return tp_eq(as_float(tp_gt(preds, 0.0)), targets);
}

/* Threes and then sevens as vectors, and their labels; x, y and the data set outlive this. */
static void make_set(tp_tensor *threes, tp_tensor *sevens, tp_tensor **x, tp_tensor **y,
                     tp_dataset *ds) {
    *x = tp_view(tp_cat((tp_tensor *[]){threes, sevens}, 2, 0), TP_SHAPE(-1, 28 * 28));
    tp_tensor *ones = tp_ones(TP_SHAPE(tp_size(threes, 0)), TP_INT64);
    tp_tensor *zeros = tp_zeros(TP_SHAPE(tp_size(sevens, 0)), TP_INT64);
    *y = tp_unsqueeze(tp_cat((tp_tensor *[]){ones, zeros}, 2, 0), 1);
    must(tp_zip_dataset(*x, *y, ds));
}

static void first_predictions(void) {
    make_set(nb.stacked_threes, stacked(nb.sevens), &nb.train_x, &nb.train_y, &nb.dset);
    make_set(nb.valid_3, nb.valid_7, &nb.valid_x, &nb.valid_y, &nb.valid_dset);
    cell("train_x.shape, train_y.shape", "(S, S)", nb.train_x, nb.train_y);
    cell("dset = list(zip(train_x, train_y)); x,y = dset[0]; x.shape, y", "(S, T)",
         tp_select(nb.train_x, 0, 0), tp_select(nb.train_y, 0, 0));
    net m = init_net();
    cell("weights = init_params((28*28,1)); bias = init_params(1); "
         "(train_x[0]*weights.T).sum() + bias",
         "T", tp_add(tp_sum(tp_mul(tp_select(nb.train_x, 0, 0), tp_T(m.w))), m.b));
    tp_tensor *preds = predict(&m, nb.train_x);
    cell("preds = linear1(train_x); preds", "T", preds);
    tp_tensor *corrects = correct(preds, nb.train_y);
    cell("corrects = (preds>0.0).float() == train_y; corrects", "T", corrects);
    cell("corrects.float().mean().item()", "N", tp_item(tp_mean(as_float(corrects))));
    tp_scope s = tp_scope_no_grad();
    if (!tp_mul_(tp_select(m.w, 0, 0), 1.0001)) fail("chapter4");
    tp_scope_end(s);
    cell("weights.data[0] *= 1.0001; "
         "((linear1(train_x)>0.0).float() == train_y).float().mean().item()",
         "N", tp_item(tp_mean(as_float(correct(predict(&m, nb.train_x), nb.train_y)))));
    free_net(&m);
}

static void tiny_loss(void) {
    tp_tensor *trgts = tp_ints(TP_SHAPE(3), 1, 0, 1);
    tp_tensor *prds = tp_floats(TP_SHAPE(3), 0.9f, 0.4f, 0.2f);
    cell("trgts = tensor([1,0,1]); prds = tensor([0.9,0.4,0.2]); "
         "torch.where(trgts==1, 1-prds, prds)",
         "T", tp_where(tp_eq(trgts, 1), tp_sub(1, prds), prds));
    cell("mnist_loss(prds, trgts)", "T", distance_loss(prds, trgts));
    cell("mnist_loss(tensor([0.9,0.4,0.8]), trgts)", "T",
         distance_loss(tp_floats(TP_SHAPE(3), 0.9f, 0.4f, 0.8f), trgts));
}

static void letter_pair(const void *self, int64_t i) {
    (void)self;
    printf("(%" PRId64 ", '%c')", i, (char)('a' + i));
}

/* A data set of numbers and letters in the order that fastai's shuffling loader takes them. */
typedef struct ordered {
    int64_t n, order[26];
} ordered;

static int64_t ordered_len(void *self) {
    return ((const ordered *)self)->n;
}

static tp_status ordered_get(void *self, int64_t i, tp_sample *s) {
    const int64_t k = ((const ordered *)self)->order[i];
    *(int64_t *)s->x = k;
    *(uint8_t *)s->y = (uint8_t)('a' + k);
    return TP_OK;
}

/* fastai: DataLoader() draws a generator of its own from Python's, and each pass replaces it. */
static void fastai_order(tp_rng *python, ordered *o) {
    const uint64_t below = (uint64_t)1 << 32;
    tp_rng *own = python_random(python_below(python, below));
    tp_rng *pass = python_random(python_below(own, below));
    python_sample(pass, o->n, o->order);
    tp_rng_free(own);
    tp_rng_free(pass);
}

/* list(DataLoader(..., shuffle=True)): batches of numbers, or of numbers and letters. */
static void show_loader(tp_rng *python, int64_t n, int64_t batch_size, bool letters) {
    ordered o = {.n = n};
    fastai_order(python, &o);
    tp_dataset ds = {.size = sizeof ds,
                     .self = &o,
                     .x_dtype = TP_INT64,
                     .y_dtype = TP_UINT8,
                     .len = ordered_len,
                     .get = ordered_get};
    tp_loader *dl = tp_loader_new(&ds, .batch_size = batch_size, .workers = -1, .rng = nb.loaders);
    tp_batch b;
    int r, count = 0;
    putchar('[');
    while ((r = tp_loader_next(dl, &b)) > 0) {
        if (count++) fputs(letters ? ",\n " : ", ", stdout);
        if (letters) putchar('(');
        put(b.x);
        for (int64_t i = 0; letters && i < b.n; i++)
            printf("%s'%c'", i ? ", " : ", (", *((const char *)tp_data_ptr(b.y) + i));
        if (letters) fputs("))", stdout);
    }
    puts("]");
    if (r < 0) fail("chapter4");
    tp_loader_free(dl);
}

static void listings(void) {
    tp_rng *python = python_random(nb.seed);
    step("dl = DataLoader(range(15), batch_size=5, shuffle=True); list(dl)");
    show_loader(python, 15, 5, false);
    step("ds = L(enumerate(string.ascii_lowercase)); ds");
    show_list(26, letter_pair, NULL);
    step("dl = DataLoader(ds, batch_size=6, shuffle=True); list(dl)");
    show_loader(python, 26, 6, true);
    tp_rng_free(python);
}

/* ---- 7: putting it together ------------------------------------------------------------------ */

/* ((xb.sigmoid() > 0.5) == yb).float().mean() */
static tp_tensor *batch_accuracy(tp_tensor *xb, tp_tensor *yb) {
    return tp_mean(as_float(tp_eq(tp_gt(tp_sigmoid(xb), 0.5), yb)));
}

static void calc_grad(tp_tensor *xb, tp_tensor *yb, const net *m) {
    tp_scope s = tp_scope_begin();
    must(tp_backward(mnist_loss(predict(m, xb), yb)));
    tp_scope_end(s);
}

/* round(mean of the batches' accuracies, 4) */
static double validate_epoch(const net *m) {
    tp_scope s = tp_scope_no_grad();
    tp_tensor *accs[64];
    int64_t n = 0;
    tp_batch b;
    int r;
    while ((r = tp_loader_next(nb.valid_dl, &b)) > 0 && n < 64)
        accs[n++] = batch_accuracy(predict(m, b.x), b.y);
    const double mean = r < 0 ? (double)NAN : tp_item(tp_mean(tp_stack(accs, n, 0)));
    tp_scope_end(s);
    char text[32];
    snprintf(text, sizeof text, "%.4f", mean);
    return strtod(text, NULL);
}

/* p.data -= p.grad * lr; p.grad.zero_() */
static void step_by_hand(const net *m, double lr) {
    tp_tensor *param[] = {m->w, m->b};
    tp_scope s = tp_scope_no_grad();
    for (int i = 0; i < 2; i++)
        if (!tp_sub_(param[i], tp_mul(tp_grad(param[i]), lr)) || !tp_zero_(tp_grad(param[i])))
            fail("chapter4");
    tp_scope_end(s);
}

/* BasicOptim: step() and zero_grad() over a module's parameters. */
static void basic_optim(const net *m, double lr) {
    for (int64_t i = 0; i < tp_module_num_params(m->module); i++)
        descend(tp_module_param(m->module, i), lr);
}

/* One pass: by hand, with BasicOptim where m is a module, or with an optimizer of the library. */
static void train_epoch(const net *m, double lr, tp_optim *opt) {
    tp_batch b;
    int r;
    while ((r = tp_loader_next(nb.dl, &b)) > 0) {
        calc_grad(b.x, b.y, m);
        if (opt) {
            must(tp_optim_step(opt));
            tp_optim_zero_grad(opt);
        } else if (m->module) {
            basic_optim(m, lr);
        } else {
            step_by_hand(m, lr);
        }
    }
    if (r < 0) fail("chapter4");
}

static void train_model(const net *m, double lr, tp_optim *opt, int epochs) {
    for (int i = 0; i < epochs; i++) {
        train_epoch(m, lr, opt);
        if (i) putchar(' ');
        put_number(validate_epoch(m));
    }
    putchar('\n');
}

static void show_loaders(void) {
    nb.dl = tp_loader_new(&nb.dset, .batch_size = 256, .rng = nb.loaders);
    nb.valid_dl = tp_loader_new(&nb.valid_dset, .batch_size = 256, .rng = nb.loaders);
    tp_batch b;
    if (!nb.valid_dl || tp_loader_next(nb.dl, &b) != 1) fail("chapter4");
    cell("dl = DataLoader(dset, batch_size=256); xb,yb = first(dl); xb.shape, yb.shape", "(S, S)",
         b.x, b.y);
    tp_loader_restart(nb.dl);
}

/* Four images: predictions, loss, and gradients that add up until they are zeroed. Gives preds. */
static tp_tensor *four_images(const net *m) {
    tp_tensor *batch = tp_slice(nb.train_x, 0, 0, 4, 1), *y = tp_slice(nb.train_y, 0, 0, 4, 1);
    cell("batch = train_x[:4]; batch.shape", "S", batch);
    tp_tensor *preds = predict(m, batch);
    cell("preds = linear1(batch); preds", "T", preds);
    tp_tensor *loss = mnist_loss(preds, y);
    cell("loss = mnist_loss(preds, train_y[:4]); loss", "T", loss);
    must(tp_backward(loss));
    cell("loss.backward(); weights.grad.shape, weights.grad.mean(), bias.grad", "(S, T, T)",
         tp_grad(m->w), tp_mean(tp_grad(m->w)), tp_grad(m->b));
    for (int i = 0; i < 2; i++) {
        calc_grad(batch, y, m);
        step("calc_grad(batch, train_y[:4], linear1); weights.grad.mean(), bias.grad");
        show("(T, T)", tp_mean(tp_grad(m->w)), tp_grad(m->b));
    }
    tp_zero_(tp_grad(m->w));
    tp_zero_(tp_grad(m->b));
    return preds;
}

static void by_hand(void) {
    skip(8);
    if (nb.published) { /* weights that the author drew and did not use */
        net unused = init_net();
        free_net(&unused);
    }
    skip(2645);
    net linear1 = init_net();
    show_loaders();
    tp_tensor *preds = four_images(&linear1);
    tp_tensor *y = tp_slice(nb.train_y, 0, 0, 4, 1);
    cell("(preds>0.0).float() == train_y[:4]", "T", correct(preds, y));
    cell("batch_accuracy(linear1(batch), train_y[:4])", "T",
         batch_accuracy(predict(&linear1, tp_slice(nb.train_x, 0, 0, 4, 1)), y));
    cell("validate_epoch(linear1)", "N", validate_epoch(&linear1));
    step("lr = 1.; train_epoch(linear1, lr, params); validate_epoch(linear1)");
    train_model(&linear1, 1, NULL, 1);
    step("for i in range(20): train_epoch(linear1, lr, params); "
         "print(validate_epoch(linear1), end=' ')");
    train_model(&linear1, 1, NULL, 20);
    free_net(&linear1);
    skip(86);
}

static void with_optimizers(void) {
    net m = {.module = tp_nn_linear(28 * 28, 1)};
    if (!m.module) fail("chapter4");
    cell("linear_model = nn.Linear(28*28,1); w,b = linear_model.parameters(); w.shape, b.shape",
         "(S, S)", tp_module_param(m.module, 0), tp_module_param(m.module, 1));
    cell("validate_epoch(linear_model)", "N", validate_epoch(&m));
    step("opt = BasicOptim(linear_model.parameters(), lr); train_model(linear_model, 20)");
    train_model(&m, 1, NULL, 20);
    tp_module_free(m.module);
    skip(82);
    m.module = tp_nn_linear(28 * 28, 1);
    tp_optim *opt = tp_sgd(m.module, .lr = 1);
    step("linear_model = nn.Linear(28*28,1); opt = SGD(linear_model.parameters(), lr); "
         "train_model(linear_model, 20)");
    train_model(&m, 1, opt, 20);
    tp_optim_free(opt);
    tp_module_free(m.module);
    skip(80);
}

/* The Learner with SGD, mnist_loss and batch_accuracy: fits, prints the recorder's table but for
 * its time column, gives recorder.values[-1][2]. */
static double fit(tp_module *model, int64_t epochs, double lr) {
    const tp_metric metric = {"batch_accuracy", batch_accuracy};
    tp_optim *opt = tp_sgd(model);
    tp_learner *learn =
        tp_learner_new(.train = nb.dl, .valid = nb.valid_dl, .model = model, .loss = mnist_loss,
                       .optim = opt, .metrics = &metric, .nmetrics = 1);
    must(tp_fit(learn, epochs, lr));
    puts("epoch     train_loss  valid_loss  batch_accuracy");
    for (int64_t e = 0; e < epochs; e++)
        printf("%-8" PRId64 "  %-10.6f  %-10.6f  %.6f\n", e, tp_recorder_value(learn, e, 0),
               tp_recorder_value(learn, e, 1), tp_recorder_value(learn, e, 2));
    const double last = tp_recorder_value(learn, epochs - 1, 2);
    tp_learner_free(learn);
    tp_optim_free(opt);
    return last;
}

static void with_learner(void) {
    tp_module *linear = tp_nn_linear(28 * 28, 1);
    step("learn = Learner(dls, nn.Linear(28*28,1), opt_func=SGD, loss_func=mnist_loss, "
         "metrics=batch_accuracy); learn.fit(10, lr=lr)");
    fit(linear, 10, 1);
    tp_module_free(linear);
    skip(40);
    /* The book's net by hand is defined here and never trained; its draws count. */
    const tp_shape by_hand[] = {TP_SHAPE(28 * 28, 30), TP_SHAPE(30), TP_SHAPE(30, 1), TP_SHAPE(1)};
    for (int i = 0; i < 4; i++) tp_free(init_params(by_hand[i]));
    tp_module *first = tp_nn_linear(28 * 28, 30); /* before the last: each draw has its place */
    tp_module *simple_net = tp_nn_sequential(first, tp_nn_relu(), tp_nn_linear(30, 1));
    cell("simple_net = nn.Sequential(nn.Linear(28*28,30), nn.ReLU(), nn.Linear(30,1)); "
         "sum(p.numel() for p in simple_net.parameters())",
         "I", tp_module_numel(simple_net));
    step("learn = Learner(dls, simple_net, opt_func=SGD, loss_func=mnist_loss, "
         "metrics=batch_accuracy); learn.fit(40, 0.1)");
    const double last = fit(simple_net, 40, 0.1);
    cell("learn.recorder.values[-1][2]", "N", (double)(float)last);
    tp_module_free(simple_net);
}

/* ---- main ------------------------------------------------------------------------------------ */

static int usage(void) {
    fputs("usage: chapter4 --data DIR [--run published|fresh] [--seed N]\n"
          "A published run has the book's seed, 42.\n",
          stderr);
    return 2;
}

/* Fills nb from the command line; false if it cannot be understood. */
static bool arguments(int argc, char **argv) {
    nb.published = true;
    nb.seed = 42;
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1];
        char *end = NULL;
        if (!value) return false;
        if (!strcmp(argv[i], "--data")) {
            nb.dir = value;
        } else if (!strcmp(argv[i], "--run")) {
            nb.published = !strcmp(value, "published");
            if (!nb.published && strcmp(value, "fresh")) return false;
        } else if (!strcmp(argv[i], "--seed")) {
            nb.seed = strtoull(value, &end, 10);
            if (value[0] < '0' || value[0] > '9' || *end) return false;
        } else {
            return false;
        }
    }
    return nb.dir && !(nb.published && nb.seed != 42);
}

int main(int argc, char **argv) {
    if (!arguments(argc, argv)) return usage();
    tp_set_printoptions(200, 4);
    tp_manual_seed(nb.seed);
    /* The author's skips count what loaders drew, so those of a published run draw elsewhere. */
    if (nb.published && !(nb.loaders = tp_rng_new(0))) fail("chapter4");
    puts("Chapter 4: pictures and the last cell, resnet18, are left out");
    read_data();
    show_data();
    pixel_similarity();
    arrays_and_tensors();
    metric();
    gradients();
    roller_coaster();
    first_predictions();
    tiny_loss();
    listings();
    by_hand();
    with_optimizers();
    with_learner();
    tp_loader_free(nb.dl);
    tp_loader_free(nb.valid_dl);
    tp_dataset_free(&nb.dset);
    tp_dataset_free(&nb.valid_dset);
    tp_images_free(nb.images);
    tp_rng_free(nb.loaders);
    return 0;
}
