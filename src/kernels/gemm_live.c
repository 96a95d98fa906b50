/* gemm_live.c -- which k of a tile are worth a visit.
 *
 * Most of a picture is background: of the 784 numbers of a digit four in five are 0, and six in ten
 * are 0 in five digits at once. A product with 0 adds nothing: fma(0, b, sum) is sum for every
 * finite b and every sum but -0, which may become +0. So a tile lists, for every few of its rows,
 * the k at which one of them is not 0, and goes along these alone, if B is finite. A sum is -0 only
 * where c was, or where a term has underflowed, and tiles make +0 of it at the end of its chain
 * whether or not something was left out: so no bit depends on what is.
 *
 * Looking costs a reading of A. A few places say whether it is worth that: where they show no
 * zeros, as with most numbers that are not pictures, all goes on as if there were none. */
#include "kernels/gemm_plan.h"
#include "kernels/isa.h"
#include <string.h>

enum {
    FEW = 75,           /* of a hundred k, with which looking pays; ... */
    VERY_FEW = 62,      /* ... and turning or packing */
    PLACES = 3,         /* in which rows are tried, ... */
    PLACE_K = 16,       /* ... k of one */
    LEFT_PANELS = 3,    /* of an operand that are tried, ... */
    LEFT_ROWS = 32,     /* ... if it has so many rows, ... */
    OTHERS = 24,        /* ... the other one so many columns, ... */
    LEFT_K = 64,        /* ... and both so many k, lest packing or turning costs more, ... */
    LEFT_WORK = 1 << 21 /* ... and multiply-adds */
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

static int64_t list_length(const plan *p) {
    return p->packed_k + TP__GEMM_LIVE_PAST;
}
int64_t tp__gemm_live_bytes(const plan *p) {
    const int64_t all = p->most_down * TP__GEMM_LIVE_PIECES * list_length(p);
    return p->live ? tp__round_up(all * (int64_t)sizeof(uint16_t), TP__LINE) : 0;
}

/* Panel i of the tile's rows, at k = 0. */
static const char *rows_of(const tile *t, int64_t i) {
    return t->a + tp__plan_a_bytes(t->p, t->first, i, t->room);
}

/* Panel i, nothing listed yet. */
static lists_of_panel new_panel(const tile *t, int64_t i, uint16_t *lists) {
    const int64_t rows = tp__plan_row(t->p, i + 1) - tp__plan_row(t->p, i);
    lists_of_panel panel = {.pieces = (int)tp__parts(rows, t->p->kernels->live_rows)};
    for (int n = 0; n < panel.pieces; n++) {
        panel.list[n] = lists + n * list_length(t->p);
        panel.rows[n] = (int)((n + 1) * rows / panel.pieces - n * rows / panel.pieces);
    }
    return panel;
}

/* k in [k, end) of `n` panels from panel i on, to the ends of their lists. More than one only where
 * they lie one behind the other, which packed ones do not. */
static void list_some(const tile *t, int64_t i, int64_t n, lists_of_panel *panels, int64_t k,
                      int64_t end) {
    const plan *p = t->p;
    tp__gemm_live_list list[TP__GEMM_LIVE_PANELS * TP__GEMM_LIVE_PIECES];
    int all = 0;
    for (int64_t at = 0; at < n; at++)
        for (int piece = 0; piece < panels[at].pieces; piece++)
            list[all++] = (tp__gemm_live_list){panels[at].list[piece] + panels[at].count[piece],
                                               panels[at].rows[piece]};
    p->kernels->find_live[p->lie](list, all, p->lie == TP__ROWS_NEAR ? tp__plan_row(p, i) : 0,
                                  rows_of(t, i), p->a_step, k, end);
    const tp__gemm_live_list *from = list;
    for (int64_t at = 0; at < n; at++)
        for (int piece = 0; piece < panels[at].pieces; piece++)
            panels[at].count[piece] = (int)(from++->end - panels[at].list[piece]);
}

/* Of all multiply-adds of a panel, K long? */
static bool are_few_live(const lists_of_panel *panel, int64_t K) {
    int64_t live = 0, all = 0;
    for (int n = 0; n < panel->pieces; n++) {
        live += panel->rows[n] * panel->count[n];
        all += panel->rows[n] * K;
    }
    return 100 * live < FEW * all;
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
                                 .rows = (int)tp__least(rows, p->kernels->live_rows),
                                 .K = t->K,
                                 .percent = FEW});
}

bool tp__gemm_live_find(const tile *t, lists_of_panel *panels, uint16_t *lists) {
    const int64_t n = t->end - t->first;
    if (!panel_seems_few(t, t->first) && (n < 2 || !panel_seems_few(t, t->first + n / 2)))
        return false;
    for (int64_t i = 0; i < n; i++)
        panels[i] =
            new_panel(t, t->first + i, lists + i * TP__GEMM_LIVE_PIECES * list_length(t->p));
    if (t->p->lie == TP__ROWS_NEAR) list_some(t, t->first, n, panels, 0, t->K);
    bool any = false;
    for (int64_t i = 0; i < n; i++) {
        lists_of_panel *panel = &panels[i];
        if (t->p->lie != TP__ROWS_NEAR) {
            panel->rarely = panel_seems_few(t, t->first + i);
            if (!panel->rarely) continue;
            list_some(t, t->first + i, 1, panel, 0, t->K);
        }
        panel->rarely = are_few_live(panel, t->K);
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
    const int64_t size = x->dtype == TP_FLOAT32 ? 4 : 8, rows = kernels->live_rows;
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

/* First place in a list of what is not before k; mostly that is the list's beginning or end. */
static int64_t place_of(const uint16_t *list, int64_t count, int64_t k) {
    int64_t from = 0;
    if (!count || list[0] >= k) return 0;
    if (list[count - 1] < k) return count;
    while (count > from) {
        const int64_t middle = (from + count) / 2;
        if (list[middle] < k)
            from = middle + 1;
        else
            count = middle;
    }
    return from;
}

void tp__gemm_live_run(const plan *p, const lists_of_panel *panel, int64_t k, int vectors,
                       const tp__micro *all) {
    tp__micro m = *all;
    m.live_from = k;
    for (int n = 0; n < panel->pieces; n++) {
        const int64_t from = place_of(panel->list[n], panel->count[n], k);
        m.live = panel->list[n] + from;
        m.K = place_of(panel->list[n], panel->count[n], k + all->K) - from;
        p->kernels->live[p->lie][panel->rows[n] - 1][vectors - 1](&m);
        m.a = (const char *)m.a + panel->rows[n] * p->a_next;
        m.c = (char *)m.c + panel->rows[n] * m.c_step;
    }
}
