/* kann.c -- KANN: a small net of its layers; batches as in its kann_train_fnn1, but a step of plain
 * SGD. */
#include <stdlib.h>
#include <string.h>

#include <kann.h>

#include "peer.h"

typedef struct training {
    peer_task task;
    kann_t *net;
    float *x, *y; /* a batch: [batch, 784], [batch, out] */
    int64_t *order, at;
} training;

static kann_t *make_net(const peer_task *t) {
    kad_node_t *hidden = kad_relu(kann_layer_dense(kann_layer_input(PEER_PIXELS), (int)t->hidden));
    return kann_new(kann_layer_cost(hidden, (int)t->out, t->out == 1 ? KANN_C_CEB : KANN_C_CEM), 0);
}

static void gather(training *t, int64_t i, int64_t row) {
    const int64_t out = t->task.out, label = t->task.y[row];
    memcpy(t->x + i * PEER_PIXELS, t->task.x + row * PEER_PIXELS, PEER_PIXELS * sizeof *t->x);
    for (int64_t k = 0; k < out; k++)
        t->y[i * out + k] = out == 1 ? (float)label : (float)(k == label);
}

static void train_batch(training *t) {
    const peer_task *k = &t->task;
    if (t->at >= k->images) t->at = 0;
    if (!t->at) peer_shuffle(t->order, k->images);
    const int64_t left = k->images - t->at, n = left < k->batch ? left : k->batch;
    for (int64_t i = 0; i < n; i++) gather(t, i, t->order[t->at + i]);
    t->at += n;
    kann_set_batch_size(t->net, (int)n);
    kann_cost(t->net, 0, 1);
    for (int i = 0, size = kann_size_var(t->net); i < size; i++)
        t->net->x[i] -= 0.1f * t->net->g[i];
}

static void train(void *ctx, int64_t times) {
    while (times-- > 0) train_batch(ctx);
}

static void end(void *ctx) {
    training *t = ctx;
    if (t->net) kann_delete(t->net);
    free(t->x);
    free(t->y);
    free(t->order);
    free(t);
}

const char *peer_version(void) {
    return "kann " KANN_VERSION;
}

bool peer_begin(const peer_task *task, peer_work *work) {
    if (task->kind != PEER_TRAIN || task->adam) return false;
    training *t = calloc(1, sizeof *t);
    if (!t) return false;
    *t = (training){.task = *task,
                    .net = make_net(task),
                    .x = calloc((size_t)task->batch * PEER_PIXELS, sizeof(float)),
                    .y = calloc((size_t)(task->batch * task->out), sizeof(float)),
                    .order = calloc((size_t)task->images, sizeof(int64_t))};
    *work = (peer_work){train, end, t};
    if (!t->net || !t->x || !t->y || !t->order) return false;
    if (task->threads > 1) kann_mt(t->net, task->threads, (int)task->batch);
    kann_feed_bind(t->net, KANN_F_IN, 0, &t->x);
    kann_feed_bind(t->net, KANN_F_TRUTH, 0, &t->y);
    return true;
}
