/* graph.c -- looking at the tape: as a Graphviz drawing, and for the op that made the first NaN.
 *
 * The drawing has a box per recorded op, named as torch names it, with shape and source line, and
 * an ellipse per leaf; arrows go the way the values went. */
#include "autograd/graph.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

TP__THREAD_HOT bool tp__tracing;

/* ---- drawing --------------------------------------------------------------------------------- */

typedef struct drawing {
    const tp_tensor *t;
    uint64_t base; /* marks above it are those of this drawing's ops and leaves */
} drawing;

/* Nodes that lead to `t` get a fresh mark; the walk goes against the order of their making. */
static void mark_history(const tp_tensor *t, uint64_t mark) {
    t->node->mark = mark;
    for (tp__node *n = t->node; n; n = n->prev) {
        if (n->mark != mark) continue;
        for (int i = 0; i < n->call.nin; i++)
            if (n->call.in[i]->node) n->call.in[i]->node->mark = mark;
    }
}

/* They and their leaves get numbers instead, in the order of the walk: one program, one drawing. */
static void number_history(const drawing *d) {
    for (tp__node *n = d->t->node; n; n = n->prev) {
        if (n->mark != d->base) continue;
        n->mark = tp__tape_mark();
        for (int i = 0; i < n->call.nin; i++) {
            tp_tensor *x = n->call.in[i];
            if (x->requires_grad && !x->node && x->mark <= d->base) x->mark = tp__tape_mark();
        }
    }
}

static void write_op(FILE *f, const tp__node *n, int64_t id) {
    char text[TP__SHAPE_TEXT];
    const char *slash = n->file ? strrchr(n->file, '/') : NULL;
    fprintf(f, "  n%" PRId64 " [shape=box label=\"%s\\n%s", id, n->grad_fn,
            tp__shape_text(&n->call.out->s, text));
    if (n->file) fprintf(f, "\\n%s:%d", slash ? slash + 1 : n->file, n->line);
    fputs("\"];\n", f);
}

/* A leaf may feed several ops: its ellipse is written each time, and drawn once. */
static void write_leaf(FILE *f, const tp_tensor *x, int64_t id) {
    char text[TP__SHAPE_TEXT];
    fprintf(f, "  n%" PRId64 " [label=\"leaf\\n%s\" style=filled fillcolor=lightblue];\n", id,
            tp__shape_text(&x->s, text));
}

static void write_node(FILE *f, const drawing *d, const tp__node *n) {
    const int64_t id = (int64_t)(n->mark - d->base);
    write_op(f, n, id);
    for (int i = 0; i < n->call.nin; i++) {
        const tp_tensor *x = n->call.in[i];
        if (!x->requires_grad) continue;
        const int64_t from = (int64_t)((x->node ? x->node->mark : x->mark) - d->base);
        if (!x->node) write_leaf(f, x, from);
        fprintf(f, "  n%" PRId64 " -> n%" PRId64 ";\n", from, id);
    }
}

static bool write_graph(FILE *f, void *ctx) {
    const drawing *d = ctx;
    fputs("digraph tape {\n  rankdir=TB;\n  node [fontname=\"sans-serif\" fontsize=10];\n", f);
    for (const tp__node *n = d->t->node; n; n = n->prev)
        if (n->mark > d->base) write_node(f, d, n);
    return fputs("}\n", f) >= 0 && !ferror(f);
}

tp_status tp_graph_dot(tp_tensor *t, const char *path) {
    if (!t || !path) return tp__error_null("graph_dot");
    if (!t->node)
        return tp_error_set(TP_EGRAD,
                            "graph_dot: no recorded op made this tensor; there is nothing to draw");
    drawing d = {t, tp__tape_mark()};
    mark_history(t, d.base);
    number_history(&d);
    return tp__os_write_file(path, write_graph, &d) ? tp_error_prefix("graph_dot") : TP_OK;
}

/* ---- the first NaN --------------------------------------------------------------------------- */

void tp_set_detect_anomaly(bool on) {
    tp__tracing = on;
}

static bool all_finite(tp_tensor *x, double *bad) {
    const tp_scope s = tp_scope_begin();
    tp_tensor *wide = tp__contiguous(tp__to(x, TP_FLOAT64));
    const double *p = wide ? tp__ptr(wide) : NULL;
    bool finite = true;
    for (int64_t i = 0; p && i < x->numel && finite; i++) {
        finite = isfinite(p[i]);
        *bad = p[i];
    }
    tp_scope_end(s);
    return finite;
}

static bool made(double bad) {
    tp_error_set(TP_EVALUE, "made %s of finite numbers", isnan(bad) ? "nan" : "inf");
    return false;
}

bool tp__trace(const tp__call *c) {
    double bad = 0, before;
    if (!tp__is_float((tp_dtype)c->out->dtype) || all_finite(c->out, &bad)) return true;
    for (int i = 0; i < c->nin; i++)
        if (tp__is_float((tp_dtype)c->in[i]->dtype) && !all_finite(c->in[i], &before)) return true;
    made(bad);
    tp_error_prefix("%s", c->op->name);
    return false;
}

bool tp__trace_gradient(tp_tensor *g, tp_tensor *gx) {
    double bad = 0, before;
    return all_finite(gx, &bad) || !all_finite(g, &before) || made(bad);
}
