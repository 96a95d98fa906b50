/* own_dataset.c -- a data set of your own: wines, described by three numbers, that are made up as
 * they are asked for. A loader shuffles them into batches, and a learner trains on these.
 *
 * get() is called from the loader's threads, several at once, so it only reads what self points
 * to. */
#include <math.h>
#include <stdio.h>
#include <taper.h>

enum { MEASUREMENTS = 3, KINDS = 3 };

typedef struct cellar {
    int64_t bottles;
    int64_t broken; /* this one cannot be read; -1: none */
} cellar;

static int64_t len(void *self) {
    return ((const cellar *)self)->bottles;
}

/* A number in [-1, 1) that depends on i alone. */
static double noise(uint64_t i) {
    i = (i + 1) * 0x9e3779b97f4a7c15u;
    i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9u;
    return (double)(i >> 11) / (double)(1ull << 52) - 1;
}

/* Sample i: three measurements around what is typical for its kind. */
static tp_status get(void *self, int64_t i, tp_sample *s) {
    static const float typical[KINDS][MEASUREMENTS] = {
        {0.7f, -0.4f, 1.0f}, {-0.7f, -0.5f, 0.1f}, {0.1f, 0.9f, -1.1f}};
    const cellar *c = self;
    if (i == c->broken) return tp_error_set(TP_EUSER, "the bottle is broken");
    const int64_t kind = i % KINDS;
    float *x = s->x;
    for (int k = 0; k < MEASUREMENTS; k++)
        x[k] = typical[kind][k] + 0.8f * (float)noise((uint64_t)(i * MEASUREMENTS + k));
    *(int64_t *)s->y = kind;
    return TP_OK;
}

static tp_dataset wines(cellar *c) {
    return (tp_dataset){.size = sizeof(tp_dataset),
                        .self = c,
                        .x_shape = TP_SHAPE(MEASUREMENTS),
                        .x_dtype = TP_FLOAT32,
                        .y_shape = TP_0D, /* one number for each */
                        .y_dtype = TP_INT64,
                        .len = len,
                        .get = get};
}

int main(void) {
    cellar to_train = {600, -1}, to_validate = {150, -1}, careless = {64, 17};
    const tp_dataset train = wines(&to_train), valid = wines(&to_validate), bad = wines(&careless);

    tp_manual_seed(42);
    tp_loader *dl = tp_loader_new(&train, .batch_size = 50, .shuffle = true);
    tp_loader *valid_dl = tp_loader_new(&valid, .batch_size = 50);
    tp_module *net =
        tp_nn_sequential(tp_nn_linear(MEASUREMENTS, 16), tp_nn_relu(), tp_nn_linear(16, KINDS));
    tp_optim *opt = tp_adam(net);
    const tp_metric metric = {"accuracy", tp_accuracy};
    tp_callback *table = tp_table_callback();
    tp_learner *learn = tp_learner_new(.train = dl, .valid = valid_dl, .model = net, .optim = opt,
                                       .loss = tp_cross_entropy, .metrics = &metric, .nmetrics = 1,
                                       .callbacks = &table, .ncallbacks = 1);
    if (tp_fit_one_cycle(learn, 6, 0.05)) return tp_perror("own_dataset");
    tp_learner_free(learn);

    /* What get() says of a sample reaches whoever asks for the batch. */
    tp_loader *unlucky = tp_loader_new(&bad, .batch_size = 32);
    tp_batch b;
    if (tp_loader_next(unlucky, &b) < 0) printf("\n%s\n", tp_error_message());
    tp_error_clear();
    if (tp_loader_next(unlucky, &b) > 0) printf("the next batch has %d samples\n", (int)b.n);

    tp_loader_free(unlucky);
    tp_loader_free(dl);
    tp_loader_free(valid_dl);
    tp_optim_free(opt);
    tp_module_free(net);
    return 0;
}
