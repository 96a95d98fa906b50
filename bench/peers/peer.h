/* peer.h -- a program that takes samples of another library for taper-bench, as torch_worker.py
 * takes PyTorch's: a line of JSON comes, a line of text goes back. peer.c is its main(); the file
 * of a library defines the two functions at the end. The library's threads: OMP_NUM_THREADS. */
#ifndef TAPER_BENCH_PEER_H
#define TAPER_BENCH_PEER_H
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PEER_PIXELS = 28 * 28 };

/* Work that a row asks for. */
typedef enum {
    PEER_ADD,      /* of 4 numbers */
    PEER_BACKWARD, /* mul, sum and backward of 4 numbers */
    PEER_PRODUCT,  /* a [M, K] times the transpose of b [N, K] */
    PEER_TRAIN     /* a batch of images in memory: gather, forward, backward, step */
} peer_kind;
typedef struct peer_task {
    peer_kind kind;
    int threads;
    int64_t M, N, K;
    /* Training of 784 - ReLU(hidden) - out; out 1: two classes, with a loss on the sigmoid; else
     * softmax and cross-entropy. x [images, 784] in 0..1 and y [images] stay with peer.c. */
    const float *x;
    const int64_t *y;
    int64_t images, hidden, out, batch;
    bool adam; /* else plain SGD */
} peer_task;

typedef struct peer_work {
    void (*run)(void *ctx, int64_t times);
    void (*end)(void *ctx);
    void *ctx;
} peer_work;

/* 0..n-1 in a random order. */
void peer_shuffle(int64_t *index, int64_t n);

/* "kann r557". */
const char *peer_version(void);
/* False: the library has no such work. */
bool peer_begin(const peer_task *task, peer_work *work);

#ifdef __cplusplus
}
#endif
#endif
