/* gemm_live.c -- which k of a tile are worth a visit.
 *
 * Most of a picture is background: of the 784 numbers of a digit four in five are 0, and seven in
 * ten are 0 in two digits at once. A product with 0 adds nothing: fma(0, b, sum) is sum for every
 * finite b and every sum but -0, which may become +0. So a tile lists, for every few of its rows,
 * the k at which one of them is not 0, and goes along these alone, if B is finite. A sum is -0 only
 * where c was, or where a term has underflowed, and tiles make +0 of it at the end of its chain
 * whether or not something was left out: so no bit depends on what is, where the thread rounds to
 * nearest.
 *
 * Looking costs a reading of A. A few places say whether it is worth that: where they show no
 * zeros, as with most numbers that are not pictures, all goes on as if there were none. */
#include "kernels/gemm_plan.h"
#include "kernels/isa.h"
#include <string.h>

enum {
    LEAST_LIVE = 32,    /* K of which some are left out, ... */
    MOST_LIVE = 4096,   /* ... in a tile */
    FEW = 75,           /* of a hundred k, with which looking pays; ... */
    VERY_FEW = 62,      /* ... and turning or packing */
    PLACES = 3,         /* in which rows are tried, ... */
    PLACE_K = 16,       /* ... k of one */
    LEFT_PANELS = 3,    /* of an operand that are tried, ... */
    LEFT_ROWS = 32,     /* ... if it has so many rows, ... */
    OTHERS = 24,        /* ... the other one so many columns, ... */
    LEFT_K = 64,        /* ... and both so many k, lest packing or turning costs more, ... */
    LEFT_WORK = 1 << 20 /* ... and multiply-adds */
};

typedef tp__plan plan;
typedef tp__gemm_live_tile tile;
typedef tp__gemm_live_panel lists_of_panel;

/* A few rows, K long, with `before` in front of them: are less than `percent` of their k live? */
typedef struct rows_tried {
    const char *a;
    int64_t a_step, before;
    int rows;
    int64_t K;
    int percent;
} rows_tried;

enum { LENGTH = 1, LIST_ROOM = LENGTH + TP__GEMM_LIVE_PAST }; /* beside a block's k */

void tp__gemm_live_plan(plan *p) {
    const int64_t blocks = tp__parts(p->packed_k, tp__plan_block_k(p, p->packed_k));
    p->live = tp__gemm_settles(&p->g) && p->packed_k >= LEAST_LIVE && p->packed_k <= MOST_LIVE;
    p->live_rows = p->kernels->live_rows[tp__cpu_pace()];
    p->live_step = p->packed_k + blocks * (1 + LIST_ROOM);
}

static int64_t panel_step(const plan *p) {
    return tp__parts(p->kernels->rows, p->live_rows) * p->live_step;
}
/* From the first list of a piece to that of block `n`, which begins at k. */
static int64_t block_offset(int64_t n, int64_t k) {
    return k + n * LIST_ROOM;
}
int64_t tp__gemm_live_bytes(const plan *p) {
    const int64_t all = p->most_down * panel_step(p);
    return p->live ? tp__round_up(all * (int64_t)sizeof(uint16_t), TP__LINE) : 0;
}

/* Panel i of the tile's rows, at k = 0. */
static const char *rows_of(const tile *t, int64_t i) {
    return t->a + tp__plan_a_bytes(t->p, t->first, i, t->room);
}
static int64_t height_of(const tile *t, int64_t i) {
    return tp__plan_row(t->p, i + 1) - tp__plan_row(t->p, i);
}

/* A list of those of [k, k + K) ends here. Whole turns of the loop are wanted: a k that is not live
 * adds nothing, the last or, where that is live, the first that is not. Returns its length. */
static int64_t end_list(uint16_t *list, const uint16_t *end, int64_t k, int64_t K) {
    const uint16_t *first = list + LENGTH;
    int64_t n = end - first, dead = n && end[-1] == k + K - 1 ? k : k + K - 1;
    if (n == K) return list[0] = (uint16_t)n;
    while (n && *first == dead) first++, dead++; /* ends before the last, which is live */
    for (int i = 0; i < TP__GEMM_LIVE_TURN - 1; i++) list[LENGTH + n + i] = (uint16_t)dead;
    return list[0] = (uint16_t)tp__round_up(n, TP__GEMM_LIVE_TURN);
}

/* Block `number` of k, which begins at `k`, of `n` panels from panel i on. More than one only where
 * they lie one behind the other, which packed ones do not. */
static void list_block(const tile *t, int64_t i, int64_t n, lists_of_panel *panels, int64_t number,
                       int64_t k) {
    const plan *p = t->p;
    const int64_t offset = block_offset(number, k), K = tp__least(t->block_k, t->K - k);
    tp__gemm_live_list list[TP__GEMM_LIVE_PANELS * TP__GEMM_LIVE_PIECES], *to = list;
    for (int64_t at = 0; at < n; at++) {
        uint16_t *first = panels[at].lists + offset + LENGTH;
        for (int64_t left = height_of(t, i + at); left > 0;
             left -= p->live_rows, first += p->live_step)
            *to++ = (tp__gemm_live_list){first, (int)tp__least(left, p->live_rows)};
    }
    p->kernels->find_live[p->lie](list, (int)(to - list),
                                  p->lie == TP__ROWS_NEAR ? tp__plan_row(p, i) : 0, rows_of(t, i),
                                  p->a_step, k, k + K);
    const tp__gemm_live_list *from = list;
    for (int64_t at = 0; at < n; at++) {
        uint16_t *first = panels[at].lists + offset;
        for (int64_t left = height_of(t, i + at); left > 0;
             left -= p->live_rows, first += p->live_step, from++)
            panels[at].live += from->rows * end_list(first, from->end, k, K);
    }
}
static void list_all(const tile *t, int64_t i, int64_t n, lists_of_panel *panels) {
    for (int64_t b = 0, k = 0; k < t->K; b++, k += t->block_k) list_block(t, i, n, panels, b, k);
}

/* Of K of these rows, do a few places say that few are live? */
static bool seem_few(const tp__gemm_kernels *kernels, tp__rows_lie lie, rows_tried x) {
    uint16_t some[PLACE_K + TP__GEMM_LIVE_PAST];
    const int64_t each = tp__least(x.K, PLACE_K);
    int64_t live = 0;
    for (int place = 0; place < PLACES; place++) {
        const int64_t k = (x.K - each) * (2 * place + 1) / (2 * PLACES);
        tp__gemm_live_list list = {some, x.rows};
        kernels->find_live[lie](&list, 1, x.before, x.a, x.a_step, k, k + each);
        live += list.end - some;
    }
    return 100 * live < x.percent * PLACES * each;
}
static bool panel_seems_few(const tile *t, int64_t i) {
    const plan *p = t->p;
    const int64_t row = tp__plan_row(p, i), rows = tp__plan_row(p, i + 1) - row;
    return seem_few(p->kernels, p->lie,
                    (rows_tried){.a = rows_of(t, i),
                                 .a_step = p->a_step,
                                 .before = p->lie == TP__ROWS_NEAR ? row : 0,
                                 .rows = (int)tp__least(rows, p->live_rows),
                                 .K = t->K,
                                 .percent = FEW});
}

bool tp__gemm_live_find(const tile *t, lists_of_panel *panels, uint16_t *lists) {
    const int64_t n = t->end - t->first;
    if (!panel_seems_few(t, t->first) && (n < 2 || !panel_seems_few(t, t->first + n / 2)))
        return false;
    for (int64_t i = 0; i < n; i++)
        panels[i] = (lists_of_panel){.lists = lists + i * panel_step(t->p)};
    if (t->p->lie == TP__ROWS_NEAR) list_all(t, t->first, n, panels);
    bool any = false;
    for (int64_t i = 0; i < n; i++) {
        lists_of_panel *panel = &panels[i];
        if (t->p->lie != TP__ROWS_NEAR) {
            if (!panel_seems_few(t, t->first + i)) continue;
            list_all(t, t->first + i, 1, panel);
        }
        panel->rarely = 100 * panel->live < FEW * height_of(t, t->first + i) * t->K;
        any |= panel->rarely;
    }
    return any;
}

bool tp__gemm_live_matters(const tp__operand *x, int64_t others) {
    return (x->row == 1 || x->col == 1) && x->rows >= LEFT_ROWS && others >= OTHERS &&
           x->K >= LEFT_K && x->rows * x->K * others >= LEFT_WORK;
}

bool tp__gemm_live_rarely(const tp__operand *x) {
    const tp__gemm_kernels *kernels = tp__kernels_now()->gemm[x->dtype];
    const int64_t size = x->dtype == TP_FLOAT32 ? 4 : 8, rows = kernels->live_rows[tp__cpu_pace()];
    const tp__rows_lie lie = x->col == 1 ? TP__ROWS_APART : TP__ROWS_NEAR;
    int few = 0;
    for (int i = 0; i < LEFT_PANELS; i++) {
        const int64_t row = (x->rows - rows) * (2 * i + 1) / (2 * LEFT_PANELS);
        const char *a = (const char *)x->data + row * x->row * size;
        const int64_t a_step = (lie == TP__ROWS_APART ? x->row : x->col) * size;
        few += seem_few(kernels, lie, (rows_tried){a, a_step, row, (int)rows, x->K, VERY_FEW});
    }
    return 2 * few > LEFT_PANELS;
}

void tp__gemm_live_run(const plan *p, const lists_of_panel *panel, int64_t rows, int64_t n,
                       int64_t k, int vectors, const tp__micro *all) {
    const int each = p->live_rows, rest = (int)rows % each;
    tp__micro m = *all;
    m.live = panel->lists + block_offset(n, k);
    m.live_step = p->live_step;
    m.live_from = k;
    m.pieces = (int)rows / each;
    if (m.pieces) p->kernels->live[p->lie][each - 1][vectors - 1](&m);
    if (!rest) return;
    m.live += m.pieces * m.live_step;
    m.a = (const char *)m.a + (rows - rest) * p->a_next;
    m.c = (char *)m.c + (rows - rest) * m.c_step;
    m.pieces = 1;
    p->kernels->live[p->lie][rest - 1][vectors - 1](&m);
}
