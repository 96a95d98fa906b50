/* bench_batch.c -- every kind of op on a batch of 256 images of 28 x 28, beside PyTorch: what is
 * slower there than it has to be shows here. One thread; with backward where a row says so. */
#include "taper.h"

#include "bench.h"

#include <stdio.h>

#include "base/base.h"

enum { IMAGES = 256, PIXELS = 784 };
/* Of PyTorch's speed: what only reads and writes memory takes both equally long, within noise. */
static const double NOT_SLOWER = 0.95;

/* a, b: numbers in [0.5, 1.5); a_t: a's transpose; leaf: a that wants a gradient; column: a number
 * for each image; mask: every second element, by chance; class: a number below 10 for each image;
 * place: a column for each element; image, pixel: rows and columns in any order; count: integers
 * below 100; bytes: the same as uint8; blocks: a as [32, 8, 784]; unit: in [0, 1). */
static tp_tensor *a, *b, *a_t, *leaf, *column, *mask, *class, *place, *image, *pixel, *count,
    *bytes, *blocks, *out, *unit, *pair[2];
static const char in_torch[] =
    "F = torch.nn.functional\n"
    "a = torch.rand(256, 784) + 0.5; b = torch.rand(256, 784) + 0.5; a_t = a.t()\n"
    "leaf = a.clone().requires_grad_(); column = torch.rand(256, 1)\n"
    "mask = torch.rand(256, 784) < 0.5; classes = torch.randint(10, (256,))\n"
    "place = torch.randint(784, (256, 784)); image = torch.randint(256, (256,))\n"
    "pixel = torch.randint(784, (784,)); count = torch.randint(100, (256, 784))\n"
    "bytes_ = count.to(torch.uint8); blocks = a.view(32, 8, 784)\n"
    "out = a.clone(); unit = torch.rand(256, 784)\n"
    "def step(y):\n"
    "    y.sum().backward()\n"
    "    leaf.grad = None\n";

/* id, name, taper's, PyTorch's */
#define FORWARD(X)                                                                             \
    X(square, "square", tp_square(a), "a.square()")                                            \
    X(cube, "pow of 3", tp_pow(a, 3), "a ** 3")                                                \
    X(inverse, "pow of -1", tp_pow(a, -1), "a ** -1")                                          \
    X(power, "pow", tp_pow(a, b), "a ** b")                                                    \
    X(sine, "sin", tp_sin(a), "a.sin()")                                                       \
    X(gelu, "gelu", tp_gelu(a), "F.gelu(a)")                                                   \
    X(softplus, "softplus", tp_softplus(a), "F.softplus(a)")                                   \
    X(divide, "div", tp_div(a, b), "a / b")                                                    \
    X(remainder, "remainder", tp_remainder(a, b), "torch.remainder(a, b)")                     \
    X(quotient, "floor_divide", tp_floor_divide(a, b), "torch.floor_divide(a, b)")             \
    X(less, "lt", tp_lt(a, b), "a < b")                                                        \
    X(where, "where", tp_where(mask, a, b), "torch.where(mask, a, b)")                         \
    X(add_column, "add of a column", tp_add(a, column), "a + column")                          \
    X(add_turned, "add of a transpose", tp_add(b, tp_T(a_t)), "b + a_t.t()")                   \
    X(integers, "mul of int64", tp_mul(count, count), "count * count")                         \
    X(from_bytes, "uint8 / 255", tp_div(bytes, 255), "bytes_ / 255")                           \
    X(every_second, "every second column, copied", tp_clone(tp_slice(a, 1, 0, PIXELS, 2)),     \
      "a[:, ::2].contiguous()")                                                                \
    X(joined, "cat of columns", tp_cat(pair, 2, 1), "torch.cat([a, b], 1)")                    \
    X(flipped, "flip", tp_flip(a, TP_DIMS(1)), "a.flip(1)")                                    \
    X(sum_turned, "sum of a transpose", tp_sum_dim(a_t, TP_DIMS(1), 0), "a_t.sum(1)")          \
    X(sum_second, "sum of every second column", tp_sum(tp_slice(a, 1, 0, PIXELS, 2)),          \
      "a[:, ::2].sum()")                                                                       \
    X(mean_outer, "mean over axes 0 and 2", tp_mean_dim(blocks, TP_DIMS(0, 2), 0),             \
      "blocks.mean((0, 2))")                                                                   \
    X(deviation, "std", tp_std(a, 0), "a.std()")                                               \
    X(deviations, "std over images", tp_std_dim(a, TP_DIMS(0), 0), "a.std(0)")                 \
    X(norm, "norm", tp_norm(a), "a.norm()")                                                    \
    X(product, "prod over pixels", tp_prod_dim(a, 1, 0), "a.prod(1)")                          \
    X(most, "max over pixels", tp_max_dim(a, 1, 0, NULL), "a.max(1)")                          \
    X(where_most, "argmax over images", tp_argmax_dim(a, 0, 0), "a.argmax(0)")                 \
    X(sorted, "sort of pixels", tp_sort(a, 1, 0, NULL), "a.sort(1)")                           \
    X(sorted_down, "sort over images", tp_sort(a, 0, 0, NULL), "a.sort(0)")                    \
    X(order, "argsort of pixels", tp_argsort(a, 1, 0), "a.argsort(1)")                         \
    X(top, "topk of 5", tp_topk(a, 5, 1, NULL), "a.topk(5, 1)")                                \
    X(unique, "unique of int64", tp_unique(count, NULL), "count.unique()")                     \
    X(running, "cumsum over pixels", tp_cumsum(a, 1), "a.cumsum(1)")                           \
    X(running_down, "cumsum over images", tp_cumsum(a, 0), "a.cumsum(0)")                      \
    X(picked, "gather", tp_gather(a, 1, place), "a.gather(1, place)")                          \
    X(images, "rows by an index", tp_index(a, image), "a[image]")                              \
    X(pixels, "columns by an index", tp_index_select(a, 1, pixel), "a.index_select(1, pixel)") \
    X(selected, "masked_select", tp_masked_select(a, mask), "a.masked_select(mask)")           \
    X(nonzero, "nonzero", tp_nonzero(mask), "mask.nonzero()")                                  \
    X(filled, "masked_fill_", tp_masked_fill_(out, mask, 1), "out.masked_fill_(mask, 1)")      \
    X(uniform, "rand", tp_rand(TP_SHAPE(IMAGES, PIXELS), TP_FLOAT32, NULL),                    \
      "torch.rand(256, 784)")                                                                  \
    X(normal, "randn", tp_randn(TP_SHAPE(IMAGES, PIXELS), TP_FLOAT32, NULL),                   \
      "torch.randn(256, 784)")                                                                 \
    X(whole, "randint", tp_randint(0, 10, TP_SHAPE(IMAGES, PIXELS), NULL),                     \
      "torch.randint(10, (256, 784))")                                                         \
    X(shuffled, "randperm of 50,000", tp_randperm(50000, NULL), "torch.randperm(50000)")       \
    X(coins, "bernoulli", tp_bernoulli(unit, NULL), "torch.bernoulli(unit)")

/* The sum's gradient, through the op. */
#define BACKWARD(X)                                                                              \
    X(exp, "exp", tp_exp(leaf), "leaf.exp()")                                                    \
    X(cube, "pow of 3", tp_pow(leaf, 3), "leaf ** 3")                                            \
    X(gelu, "gelu", tp_gelu(leaf), "F.gelu(leaf)")                                               \
    X(divide, "div", tp_div(a, leaf), "a / leaf")                                                \
    X(deviation, "std", tp_std(leaf, 0), "leaf.std()")                                           \
    X(norm, "norm", tp_norm(leaf), "leaf.norm()")                                                \
    X(most, "max over pixels", tp_max_dim(leaf, 1, 0, NULL), "leaf.max(1)[0]")                   \
    X(product, "prod over pixels", tp_prod_dim(leaf, 1, 0), "leaf.prod(1)")                      \
    X(sorted, "sort of pixels", tp_sort(leaf, 1, 0, NULL), "leaf.sort(1)[0]")                    \
    X(running, "cumsum over pixels", tp_cumsum(leaf, 1), "leaf.cumsum(1)")                       \
    X(picked, "gather", tp_gather(leaf, 1, place), "leaf.gather(1, place)")                      \
    X(images, "rows by an index", tp_index(leaf, image), "leaf[image]")                          \
    X(selected, "masked_select", tp_masked_select(leaf, mask), "leaf.masked_select(mask)")       \
    X(every_second, "every second column", tp_slice(leaf, 1, 0, PIXELS, 2), "leaf[:, ::2]")      \
    X(softmax, "softmax", tp_softmax(leaf, 1), "leaf.softmax(1)")                                \
    X(mse, "mse_loss", tp_mse_loss(leaf, b), "F.mse_loss(leaf, b)")                              \
    X(l1, "l1_loss", tp_l1_loss(leaf, b), "F.l1_loss(leaf, b)")                                  \
    X(entropy, "cross_entropy", tp_cross_entropy(leaf, class), "F.cross_entropy(leaf, classes)") \
    X(nll, "nll_loss", tp_nll_loss(leaf, class), "F.nll_loss(leaf, classes)")

static bool failed;

#define DEFINE_FORWARD(id, name, expr, torch) \
    static void forward_##id(void *unused) {  \
        (void)unused;                         \
        const tp_scope s = tp_scope_begin();  \
        failed |= !(expr);                    \
        tp_scope_end(s);                      \
    }
#define DEFINE_BACKWARD(id, name, expr, torch)        \
    static void backward_##id(void *unused) {         \
        (void)unused;                                 \
        const tp_scope s = tp_scope_begin();          \
        failed |= tp_backward(tp_sum(expr)) != TP_OK; \
        tp_zero_grad(leaf);                           \
        tp_scope_end(s);                              \
    }
FORWARD(DEFINE_FORWARD)
BACKWARD(DEFINE_BACKWARD)

#define ROW(id, name, expr, torch) {name, forward_##id, torch},
#define ROW_BACKWARD(id, name, expr, torch) {name ", backward", backward_##id, "step(" torch ")"},
static const struct {
    const char *name;
    void (*fn)(void *);
    const char *torch;
} rows[] = {FORWARD(ROW) BACKWARD(ROW_BACKWARD)};

static tp_tensor *positions(int64_t below, tp_shape shape) {
    return tp_keep(tp_randint(0, below, shape, NULL));
}
static tp_tensor *uniform(tp_shape shape) {
    return tp_rand(shape, TP_FLOAT32, NULL);
}
static void make(void) {
    const tp_shape batch = TP_SHAPE(IMAGES, PIXELS);
    const tp_scope s = tp_scope_begin();
    a = pair[0] = tp_keep(tp_add(uniform(batch), 0.5));
    b = pair[1] = tp_keep(tp_add(uniform(batch), 0.5));
    a_t = tp_keep(tp_T(a));
    leaf = tp_keep(tp_requires_grad_(tp_clone(a)));
    column = tp_keep(uniform(TP_SHAPE(IMAGES, 1)));
    mask = tp_keep(tp_lt(uniform(batch), 0.5));
    class = positions(10, TP_SHAPE(IMAGES));
    place = positions(PIXELS, batch);
    image = positions(IMAGES, TP_SHAPE(IMAGES));
    pixel = positions(PIXELS, TP_SHAPE(PIXELS));
    count = positions(100, batch);
    bytes = tp_keep(tp_to(count, TP_UINT8));
    blocks = tp_keep(tp_reshape(a, TP_SHAPE(IMAGES / 8, 8, PIXELS)));
    out = tp_keep(tp_clone(a));
    unit = tp_keep(uniform(batch));
    tp_scope_end(s);
}
static void drop(void) {
    tp_tensor *const all[] = {a,     b,     a_t,   leaf,  column, mask, class, place,
                              image, pixel, count, bytes, blocks, out,  unit};
    for (int i = 0; i < TP__COUNT(all); i++) tp_free(all[i]);
}

void bench_batch(void) {
    if (!bench_wants("batch") || tp_set_num_threads(1)) return;
    make();
    for (int i = 0; i < TP__COUNT(rows); i++) {
        bench_row r = {.group = "batch", .threads = 1, .unit = "us", .per_call = true, .work = 1e6};
        snprintf(r.name, sizeof r.name, "%s", rows[i].name);
        bench_add(&r, BENCH_OURS, "taper", rows[i].fn, NULL);
        bench_add_torch(&r, in_torch, rows[i].torch, NOT_SLOWER);
        bench_run(&r);
    }
    if (failed) fprintf(stderr, "bench: batch: %s\n", tp_error_message());
    drop();
    if (tp_set_num_threads(bench_threads())) failed = true;
}
