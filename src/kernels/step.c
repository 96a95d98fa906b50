/* step.c -- optimizer steps and normal numbers over many elements: fixed tiles for the pool. */
#include "kernels/isa.h"
#include <math.h>

/* Elements of a tile: half a microsecond of SGD, but several where the weights of a small layer lie
 * in the caches of all that read them, as each line has to be asked for: they are shared evenly. */
enum { TILE = 4096, GROUP = 16 };

static int64_t tiles_of(int64_t n) {
    return (n + TILE - 1) / TILE;
}

static int64_t length_of(int64_t tile, int64_t n) {
    const int64_t left = n - tile * TILE;
    return left < TILE ? left : TILE;
}

/* The tile's part of an array of dtype d; NULL stays. */
static void *part_of(tp_dtype d, const void *p, int64_t tile) {
    const int64_t size = d == TP_FLOAT64 ? 8 : 4;
    return p ? (char *)p + tile * TILE * size : NULL;
}

/* ---- SGD ------------------------------------------------------------------------------------- */

typedef struct sgd_job {
    tp_dtype dtype;
    void *p, *v;
    const void *g;
    int64_t n;
    tp__sgd_args args;
} sgd_job;

static void sgd_tile(void *ctx, int64_t tile) {
    const sgd_job *j = ctx;
    const tp_dtype d = j->dtype;
    tp__kernels_now()->step[d]->sgd(part_of(d, j->p, tile), part_of(d, j->g, tile),
                                    part_of(d, j->v, tile), length_of(tile, j->n), &j->args);
}

void tp__sgd_step(tp_dtype d, void *p, const void *g, void *v, int64_t n, double lr, double mom,
                  double wd, bool first) {
    sgd_job j = {d, p, v, g, n, {1 - lr * wd, -lr, mom, first}};
    tp__parallel(tiles_of(n), sgd_tile, &j);
}

/* ---- Adam ------------------------------------------------------------------------------------ */

typedef struct adam_job {
    tp_dtype dtype;
    void *p, *m, *s;
    const void *g;
    int64_t n;
    tp__adam_args args;
} adam_job;

static void adam_tile(void *ctx, int64_t tile) {
    const adam_job *j = ctx;
    const tp_dtype d = j->dtype;
    tp__kernels_now()->step[d]->adam(part_of(d, j->p, tile), part_of(d, j->g, tile),
                                     part_of(d, j->m, tile), part_of(d, j->s, tile),
                                     length_of(tile, j->n), &j->args);
}

/* b^t by squaring, as no part of a result may come from the C library's pow. */
static double power(double b, int64_t t) {
    double r = 1;
    for (; t > 0; t >>= 1, b *= b)
        if (t & 1) r *= b;
    return r;
}

void tp__adam_step(tp_dtype d, void *p, const void *g, void *m, void *s, int64_t n, double lr,
                   double b1, double b2, double eps, double wd, int64_t t) {
    const double debias1 = 1 - power(b1, t), debias2 = 1 - power(b2, t);
    adam_job j = {
        d, p, m, s, g, n, {1 - lr * wd, -lr / debias1, b1, b2, 1 - b1, 1 - b2, debias2, eps}};
    tp__parallel(tiles_of(n), adam_tile, &j);
}

/* ---- normal numbers -------------------------------------------------------------------------- */

typedef struct normal_job {
    tp_dtype dtype;
    void *x;
    int64_t groups;
    double mean, std;
} normal_job;

static void normal_tile(void *ctx, int64_t tile) {
    const normal_job *j = ctx;
    tp__kernels_now()->step[j->dtype]->box_muller(
        part_of(j->dtype, j->x, tile), length_of(tile, j->groups * GROUP) / GROUP, j->mean, j->std);
}

void tp__box_muller_f32(float *x, int64_t groups, float mean, float std) {
    normal_job j = {TP_FLOAT32, x, groups, mean, std};
    tp__parallel(tiles_of(groups * GROUP), normal_tile, &j);
}

void tp__box_muller_f64(double *x, int64_t groups, double mean, double std) {
    normal_job j = {TP_FLOAT64, x, groups, mean, std};
    tp__parallel(tiles_of(groups * GROUP), normal_tile, &j);
}
