/* ggml.c -- ggml on the processor: a product, and training with ggml-opt as its MNIST example
 * does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml-opt.h>
#include <ggml.h>

#include "peer.h"

enum { GRAPH = 64 << 20, MANY = 1024 }; /* bytes for descriptions of tensors; nodes */

/* What both kinds of work have. `kept` holds what stays, `graph` the nodes that are computed. */
typedef struct common {
    ggml_backend_t cpu;
    struct ggml_context *kept, *graph;
    ggml_backend_buffer_t buffer;
} common;

static struct ggml_context *new_context(void) {
    return ggml_init((struct ggml_init_params){.mem_size = GRAPH, .no_alloc = true});
}

static void begin(common *c, int threads) {
    c->cpu = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(c->cpu, threads);
    c->kept = new_context();
    c->graph = new_context();
}

static void finish(common *c) {
    if (c->buffer) ggml_backend_buffer_free(c->buffer);
    ggml_free(c->graph);
    ggml_free(c->kept);
    ggml_backend_free(c->cpu);
}

/* Numbers of both signs around 0, small enough to start training from. */
static void fill(struct ggml_tensor *t) {
    const int64_t n = ggml_nelements(t);
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; x && i < n; i++) x[i] = ((float)(i * 7919 % 1009) / 1009 - 0.5f) / 10;
    if (x) ggml_backend_tensor_set(t, x, 0, (size_t)n * sizeof *x);
    free(x);
}

/* ---- a product ------------------------------------------------------------------------------- */

typedef struct product {
    common c;
    struct ggml_cgraph *nodes;
    ggml_gallocr_t memory;
} product;

static void multiply(void *ctx, int64_t times) {
    product *p = ctx;
    while (times-- > 0) ggml_backend_graph_compute(p->c.cpu, p->nodes);
}

static void end_product(void *ctx) {
    product *p = ctx;
    ggml_gallocr_free(p->memory);
    finish(&p->c);
    free(p);
}

static bool begin_product(const peer_task *k, peer_work *work) {
    product *p = calloc(1, sizeof *p);
    if (!p) return false;
    begin(&p->c, k->threads);
    struct ggml_tensor *a = ggml_new_tensor_2d(p->c.kept, GGML_TYPE_F32, k->K, k->M),
                       *b = ggml_new_tensor_2d(p->c.kept, GGML_TYPE_F32, k->K, k->N);
    p->c.buffer = ggml_backend_alloc_ctx_tensors(p->c.kept, p->c.cpu);
    fill(a);
    fill(b);
    p->nodes = ggml_new_graph(p->c.graph);
    ggml_build_forward_expand(p->nodes, ggml_mul_mat(p->c.graph, b, a)); /* [M, N], row by row */
    p->memory = ggml_gallocr_new(ggml_backend_get_default_buffer_type(p->c.cpu));
    *work = (peer_work){multiply, end_product, p};
    return ggml_gallocr_alloc_graph(p->memory, p->nodes);
}

/* ---- training -------------------------------------------------------------------------------- */

typedef struct training {
    common c;
    ggml_backend_sched_t sched;
    ggml_opt_dataset_t images;
    ggml_opt_context_t opt;
    int64_t batches, at; /* of a pass; the next one */
} training;

static struct ggml_opt_optimizer_params rates(void *unused) {
    struct ggml_opt_optimizer_params p = ggml_opt_get_default_optimizer_params(unused);
    p.adamw.alpha = 0.001f;
    p.adamw.wd = 0;
    p.sgd.alpha = 0.1f;
    p.sgd.wd = 0;
    return p;
}

static void train_batch(training *t) {
    if (t->at == t->batches) t->at = 0;
    if (!t->at) ggml_opt_dataset_shuffle(t->opt, t->images, -1);
    ggml_opt_alloc(t->opt, true);
    ggml_opt_dataset_get_batch(t->images, ggml_opt_inputs(t->opt), ggml_opt_labels(t->opt),
                               t->at++);
    ggml_opt_eval(t->opt, NULL);
}

static void train(void *ctx, int64_t times) {
    while (times-- > 0) train_batch(ctx);
}

static void end_training(void *ctx) {
    training *t = ctx;
    ggml_opt_free(t->opt);
    ggml_opt_dataset_free(t->images);
    ggml_backend_sched_free(t->sched);
    finish(&t->c);
    free(t);
}

static struct ggml_tensor *parameter(common *c, int64_t columns, int64_t rows) {
    struct ggml_tensor *p = rows ? ggml_new_tensor_2d(c->kept, GGML_TYPE_F32, columns, rows)
                                 : ggml_new_tensor_1d(c->kept, GGML_TYPE_F32, columns);
    ggml_set_param(p);
    return p;
}

static struct ggml_tensor *linear(common *c, struct ggml_tensor *x,
                                  struct ggml_tensor *const p[2]) {
    return ggml_add(c->graph, ggml_mul_mat(c->graph, p[0], x), p[1]);
}

static ggml_opt_dataset_t dataset_of(const peer_task *k) {
    ggml_opt_dataset_t d = ggml_opt_dataset_init(GGML_TYPE_F32, GGML_TYPE_F32, PEER_PIXELS, k->out,
                                                 k->images / k->batch * k->batch, 1);
    struct ggml_tensor *x = ggml_opt_dataset_data(d), *y = ggml_opt_dataset_labels(d);
    float *label = y->data;
    memcpy(x->data, k->x, ggml_nbytes(x));
    for (int64_t i = 0; i < y->ne[1]; i++)
        for (int64_t c = 0; c < k->out; c++) label[i * k->out + c] = (float)(k->y[i] == c);
    return d;
}

/* ggml has no loss on a sigmoid with a gradient. */
static bool begin_training(const peer_task *k, peer_work *work) {
    training *t = k->out > 1 ? calloc(1, sizeof *t) : NULL;
    if (!t) return false;
    begin(&t->c, k->threads);
    struct ggml_tensor *const hidden[2] = {parameter(&t->c, PEER_PIXELS, k->hidden),
                                           parameter(&t->c, k->hidden, 0)},
                              *const out[2] = {parameter(&t->c, k->hidden, k->out),
                                               parameter(&t->c, k->out, 0)};
    struct ggml_tensor *x = ggml_new_tensor_2d(t->c.kept, GGML_TYPE_F32, PEER_PIXELS, k->batch);
    ggml_set_input(x);
    t->c.buffer = ggml_backend_alloc_ctx_tensors(t->c.kept, t->c.cpu);
    for (int i = 0; i < 2; i++) fill(hidden[i]), fill(out[i]);
    struct ggml_tensor *y = linear(&t->c, ggml_relu(t->c.graph, linear(&t->c, x, hidden)), out);
    ggml_set_output(y);
    t->sched = ggml_backend_sched_new(&t->c.cpu, NULL, 1, MANY, false, true);
    struct ggml_opt_params o = ggml_opt_default_params(t->sched, GGML_OPT_LOSS_TYPE_CROSS_ENTROPY);
    o.ctx_compute = t->c.graph;
    o.inputs = x;
    o.outputs = y;
    o.get_opt_pars = rates;
    o.optimizer = k->adam ? GGML_OPT_OPTIMIZER_TYPE_ADAMW : GGML_OPT_OPTIMIZER_TYPE_SGD;
    t->opt = ggml_opt_init(o);
    t->images = dataset_of(k);
    t->batches = k->images / k->batch;
    *work = (peer_work){train, end_training, t};
    return true;
}

const char *peer_version(void) {
    static char version[40];
    snprintf(version, sizeof version, "ggml %s", ggml_version());
    return version;
}

bool peer_begin(const peer_task *task, peer_work *work) {
    if (task->kind == PEER_PRODUCT) return begin_product(task, work);
    return task->kind == PEER_TRAIN && begin_training(task, work);
}
