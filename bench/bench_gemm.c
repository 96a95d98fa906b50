/* bench_gemm.c -- matrix products beside the multiply-add peak, OpenBLAS, oneDNN and libxsmm.
 *
 * The shapes are those of training: layers of 30 and 500 on images of 784 pixels, forward and
 * backward, and one large square. Peers are opened at run time; one that is not installed is
 * absent. ggml has a process of its own. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef BENCH_LIBXSMM
#include <libxsmm.h>
#endif

#include "kernels/kernels.h"

/* ---- peers ----------------------------------------------------------------------------------- */

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };
static struct {
    void (*sgemm)(int order, int ta, int tb, int M, int N, int K, float alpha, const float *a,
                  int lda, const float *b, int ldb, float beta, float *c, int ldc);
    void (*sgemv)(int order, int t, int M, int N, float alpha, const float *a, int lda,
                  const float *x, int incx, float beta, float *y, int incy);
    void (*set_threads)(int n);
} openblas;
static struct {
    int (*sgemm)(char ta, char tb, int64_t M, int64_t N, int64_t K, float alpha, const float *a,
                 int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
    void (*set_threads)(int n); /* of OpenMP */
} onednn;

/* A function by name; dlsym's object pointer is copied, as ISO C has no cast for it. */
static void find(void *library, const char *name, void *function) {
    void *p = library ? dlsym(library, name) : NULL;
    memcpy(function, &p, sizeof p);
}

static void open_peers(void) {
    void *blas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    find(blas, "cblas_sgemm", &openblas.sgemm);
    find(blas, "cblas_sgemv", &openblas.sgemv);
    find(blas, "openblas_set_num_threads", &openblas.set_threads);
    void *dnn = NULL;
    static const char *const names[] = {"libdnnl.so.3", "libdnnl.so.2"};
    for (int i = 0; i < 2 && !dnn; i++) dnn = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    find(dnn, "dnnl_sgemm", &onednn.sgemm);
    find(dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL), "omp_set_num_threads", &onednn.set_threads);
    printf("\npeers of gemm: OpenBLAS %s, oneDNN %s, libxsmm %s\n",
           openblas.sgemm ? "found" : "absent", onednn.sgemm ? "found" : "absent",
#ifdef BENCH_LIBXSMM
           LIBXSMM_VERSION
#else
           "absent"
#endif
    );
}

static void set_threads(int n) {
    if (tp_set_num_threads(n)) exit(tp_perror("bench"));
    if (openblas.set_threads) openblas.set_threads(n);
    if (onednn.set_threads) onednn.set_threads(n);
}

/* ---- a product, for each contender ----------------------------------------------------------- */

typedef struct product {
    tp__gemm g;
    void *workspace;
    int lda, ldb;
    bool ta, tb;
#ifdef BENCH_LIBXSMM
    libxsmm_smmfunction xsmm;
#endif
} product;

static void run_taper(void *ctx) {
    const product *p = ctx;
    tp__gemm_run(&p->g, p->workspace);
}

static void run_openblas(void *ctx) {
    const product *p = ctx;
    const tp__gemm *g = &p->g;
    if (g->N == 1) {
        const int rows = (int)(p->ta ? g->K : g->M), columns = (int)(p->ta ? g->M : g->K);
        openblas.sgemv(CBLAS_ROW_MAJOR, p->ta ? CBLAS_TRANS : CBLAS_NO_TRANS, rows, columns, 1,
                       g->a, p->lda, g->b, 1, 0, g->c, 1);
        return;
    }
    openblas.sgemm(CBLAS_ROW_MAJOR, p->ta ? CBLAS_TRANS : CBLAS_NO_TRANS,
                   p->tb ? CBLAS_TRANS : CBLAS_NO_TRANS, (int)g->M, (int)g->N, (int)g->K, 1, g->a,
                   p->lda, g->b, p->ldb, 0, g->c, (int)g->N);
}

static void run_onednn(void *ctx) {
    const product *p = ctx;
    const tp__gemm *g = &p->g;
    onednn.sgemm(p->ta ? 'T' : 'N', p->tb ? 'T' : 'N', g->M, g->N, g->K, 1, g->a, p->lda, g->b,
                 p->ldb, 0, g->c, g->N);
}

#ifdef BENCH_LIBXSMM
/* libxsmm's matrices are column-major: its A is our B. It has no transposed A for us to use. */
static void find_xsmm(product *p) {
    const tp__gemm *g = &p->g;
    const int m = (int)g->N, n = (int)g->M, k = (int)g->K;
    const float one = 1, zero = 0;
    p->xsmm = p->ta || p->tb || (double)m * n * k > 1e8
                  ? NULL
                  : libxsmm_smmdispatch(m, n, k, &p->ldb, &p->lda, &m, &one, &zero, NULL, NULL);
}
static void run_xsmm(void *ctx) {
    const product *p = ctx;
    p->xsmm(p->g.b, p->g.a, p->g.c);
}
#endif

static float *filled(int64_t n, int step) {
    float *x = bench_floats(n);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * step % 1009) / 1009 - 0.5f;
    return x;
}

static int64_t workspace_floats(tp__gemm *g) {
    return (int64_t)tp__gemm_workspace(g) / 4 + 16;
}

static product make_product(int64_t M, int64_t N, int64_t K, const char *how) {
    product p = {.ta = how[0] == 'T', .tb = how[1] == 'T'};
    p.lda = (int)(p.ta ? M : K);
    p.ldb = (int)(p.tb ? K : N);
    p.g = (tp__gemm){
        .dtype = TP_FLOAT32,
        .M = M,
        .N = N,
        .K = K,
        .batch = 1,
        .a = filled(M * K, 7),
        .a_row = p.ta ? 1 : K,
        .a_col = p.ta ? M : 1,
        .b = filled(K * N, 11),
        .b_row = p.tb ? 1 : N,
        .b_col = p.tb ? K : 1,
        .c = filled(M * N, 1),
        .c_row = N,
    };
    p.workspace = bench_floats(workspace_floats(&p.g));
#ifdef BENCH_LIBXSMM
    find_xsmm(&p);
#endif
    return p;
}

static void free_product(product *p) {
    tp__gemm *g = &p->g;
    bench_drop_floats(g->a, g->M * g->K);
    bench_drop_floats(g->b, g->K * g->N);
    bench_drop_floats(g->c, g->M * g->N);
    bench_drop_floats(p->workspace, workspace_floats(g));
}

/* Its matrices lie as in NT. */
static void add_ggml(bench_row *row, const product *p) {
    char what[128];
    if (p->ta || !p->tb) return;
    snprintf(what, sizeof what, "{\"kind\": \"product\", \"M\": %lld, \"N\": %lld, \"K\": %lld}",
             (long long)p->g.M, (long long)p->g.N, (long long)p->g.K);
    bench_add_library(row, "ggml", what, 1);
}

static void add_peers(bench_row *row, product *p) {
    if (openblas.sgemm && openblas.sgemv) bench_add(row, BENCH_PEER, "OpenBLAS", run_openblas, p);
    if (onednn.sgemm) bench_add(row, BENCH_PEER, "oneDNN", run_onednn, p);
#ifdef BENCH_LIBXSMM
    if (p->xsmm && row->threads == 1) bench_add(row, BENCH_PEER, "libxsmm", run_xsmm, p);
#endif
    add_ggml(row, p);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void one_thread_row(int64_t M, int64_t N, int64_t K, const char *how, double of_peak) {
    set_threads(1);
    product p = make_product(M, N, K, how);
    bench_row row = {.group = "gemm",
                     .threads = 1,
                     .unit = "GFLOP/s",
                     .work = 2e-9 * (double)M * (double)N * (double)K,
                     .of_limit = of_peak,
                     .of_peer = 0.97};
    snprintf(row.name, sizeof row.name, "%lldx%lldx%lld %s", (long long)M, (long long)N,
             (long long)K, how);
    bench_add(&row, BENCH_OURS, "taper", run_taper, &p);
    bench_add(&row, BENCH_LIMIT, "peak", bench_peak, NULL);
    row.contender[1].work = bench_peak_flop() * 1e-9;
    add_peers(&row, &p);
    bench_run(&row);
    free_product(&p);
}

/* One thread against all of them, both by the wall's clock. The workers stay, asleep. */
static void run_alone(void *ctx) {
    if (tp_set_num_threads(1)) exit(tp_perror("bench"));
    run_taper(ctx);
    if (tp_set_num_threads(bench_threads())) exit(tp_perror("bench"));
}

static void all_threads_row(int64_t M, int64_t N, int64_t K, const char *how) {
    if (bench_threads() < 2) return;
    set_threads(bench_threads());
    product p = make_product(M, N, K, how);
    bench_row row = {.group = "gemm",
                     .threads = bench_threads(),
                     .unit = "GFLOP/s",
                     .work = 2e-9 * (double)M * (double)N * (double)K,
                     .of_limit = 0.9 * bench_threads(),
                     .of_peer = 0.97};
    snprintf(row.name, sizeof row.name, "%lldx%lldx%lld %s", (long long)M, (long long)N,
             (long long)K, how);
    bench_add(&row, BENCH_OURS, "taper", run_taper, &p);
    bench_add(&row, BENCH_LIMIT, "1 thread", run_alone, &p);
    bench_contender *peak = bench_add(&row, BENCH_LIMIT, "peak", bench_peak_all, NULL);
    peak->goal = 0; /* says how many processors there were */
    peak->work = bench_peak_flop() * bench_peak_all_calls() * 1e-9;
    add_peers(&row, &p);
    bench_run(&row);
    free_product(&p);
}

enum { LARGE = 4 << 20 }; /* elements of a matrix that comes from memory */

/* What vectors are for: the same product element by element in Python, of which two rows take long
 * enough. */
static void add_python_loop(bench_row *row, int64_t M, int64_t K) {
    enum { ROWS = 2 };
    char setup[160], step[160];
    snprintf(setup, sizeof setup,
             "x = torch.rand(%d, %lld); w = torch.rand(%lld, 1); y = torch.zeros(%d, 1)", ROWS,
             (long long)K, (long long)K, ROWS);
    snprintf(step, sizeof step, "element_by_element(x, w, y)");
    const int before = row->n;
    bench_add_python(row, " loop", setup, step, 10000);
    for (int c = before; c < row->n; c++) {
        row->contender[c].work = row->work * ROWS / (double)M;
        row->contender[c].goal = 10000;
    }
}

/* Bound by reading the matrix: GB/s of it. */
static void vector_row(int64_t M, int64_t K, const char *how) {
    set_threads(1);
    product p = make_product(M, 1, K, how);
    p.g.chains = p.ta; /* the gradient of weights */
    bench_traffic t = {.x = p.g.a, .n = M * K};
    bench_row row = {.group = "gemm",
                     .threads = 1,
                     .far = M * K > LARGE,
                     .unit = "GB/s",
                     .work = 4e-9 * (double)(M * K),
                     .of_limit = 0.85,
                     .of_peer = 0.97};
    snprintf(row.name, sizeof row.name, "%lldx1x%lld %s", (long long)M, (long long)K, how);
    bench_add(&row, BENCH_OURS, "taper", run_taper, &p);
    bench_add(&row, BENCH_LIMIT, "read", bench_read, &t);
    add_peers(&row, &p);
    if (M * K > LARGE && !p.ta) add_python_loop(&row, M, K);
    bench_run(&row);
    free_product(&p);
}

static void small_row(int64_t M, int64_t N, int64_t K, const char *how) {
    set_threads(1);
    product p = make_product(M, N, K, how);
    bench_row row = {.group = "gemm",
                     .threads = 1,
                     .unit = "ns",
                     .per_call = true,
                     .work = 1e9,
                     .of_peer = 0.97};
    snprintf(row.name, sizeof row.name, "%lldx%lldx%lld %s", (long long)M, (long long)N,
             (long long)K, how);
    bench_add(&row, BENCH_OURS, "taper", run_taper, &p);
    add_peers(&row, &p);
    bench_run(&row);
    free_product(&p);
}

/* There are processors that lower their clock for multiply-adds whose operands come from the
 * caches, and not for those of registers alone: the peak in the midst of products, GFLOP/s. */
static double peak_between_products(product *p) {
    enum { TIMES = 201 };
    const double long_enough = 1e-3;
    const int times = bench_quick() ? 1 : TIMES;
    double t[TIMES];
    for (int i = 0; i < times; i++) {
        const double start = tp__os_now();
        do run_taper(p);
        while (tp__os_now() - start < long_enough);
        const double from = tp__os_now();
        bench_peak(NULL);
        t[i] = tp__os_now() - from;
    }
    return bench_peak_flop() * 1e-9 / bench_median(t, times);
}

static void clock_row(void) {
    static const char *const name = "peak, right after a product";
    if (!bench_wants_row("gemm", name)) return;
    set_threads(1);
    product p = make_product(128, 512, 784, "NN");
    bench_note("gemm", name, 1, peak_between_products(&p), "GFLOP/s");
    free_product(&p);
}

void bench_gemm(void) {
    if (!bench_wants("gemm")) return;
    static const char *const how[] = {"NN", "NT", "TN"};
    static const struct {
        int64_t M, N, K;
        double of_peak;
    } shape[] = {{64, 30, 784, 0.85},
                 {256, 30, 784, 0.85},
                 {784, 30, 256, 0.85},
                 {128, 512, 784, 0.9},
                 {1024, 1024, 1024, 0.88}};
    open_peers();
    clock_row();
    for (int s = 0; s < TP__COUNT(shape); s++)
        for (int h = 0; h < 3; h++)
            one_thread_row(shape[s].M, shape[s].N, shape[s].K, how[h], shape[s].of_peak);
    vector_row(12396, 784, "NN");
    vector_row(784, 12396, "TN");
    vector_row(784, 256, "TN");
    vector_row(256, 784, "NN");
    small_row(4, 4, 4, "NN");
    small_row(16, 16, 16, "NN");
    small_row(16, 16, 16, "NT");
    small_row(256, 30, 1, "NN");
    small_row(256, 1, 30, "NN");
    small_row(1, 30, 784, "NT");
    for (int h = 0; h < 3; h++) {
        all_threads_row(512, 30, 784, how[h]);
        all_threads_row(128, 512, 784, how[h]);
        all_threads_row(1024, 1024, 1024, how[h]);
    }
    all_threads_row(784, 30, 12396, "TN");
}
