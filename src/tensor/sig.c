/* sig.c -- a signature is an op's shape rule, its documentation and its error message.
 *
 *     "x[..., M, K] w[..., K, N] b[N]? -> [..., M, N]"
 *
 * A name binds to the first size it meets and must match everywhere else; "..." is a batch prefix
 * that broadcasts; '?' marks an operand that may be TP_NONE. The text is compiled once to small
 * tables. */
#include "tensor/tensor.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { MAX_OPERANDS = 6, MAX_SYMBOLS = 16, MAX_NAME = 12 };

typedef struct operand {
    char name[MAX_NAME];
    int8_t n, sym[TP_MAX_DIM]; /* trailing axes */
    bool dots, optional;
} operand;
typedef struct tp__sig_code {
    int noperands, nsymbols;
    char symbol[MAX_SYMBOLS][MAX_NAME];
    operand in[MAX_OPERANDS], out;
} tp__sig_code;

/* ---- compiling: our own texts, so a bad one is a programming error that the tests would meet - */

static const char *word(const char *p, char out[MAX_NAME]) {
    int n = 0;
    for (; isalnum((unsigned char)*p) || *p == '_' || *p == '\''; p++)
        if (n < MAX_NAME - 1) out[n++] = *p;
    out[n] = '\0';
    return p;
}
static const char *blanks(const char *p) {
    while (*p == ' ' || *p == ',') p++;
    return p;
}
static int8_t symbol(tp__sig_code *c, const char *name) {
    for (int i = 0; i < c->nsymbols; i++)
        if (!strcmp(c->symbol[i], name)) return (int8_t)i;
    memcpy(c->symbol[c->nsymbols], name, MAX_NAME);
    return (int8_t)c->nsymbols++;
}
static const char *shape(tp__sig_code *c, const char *p, operand *o) {
    char name[MAX_NAME] = {0};
    for (p = blanks(p + 1); *p != ']'; p = blanks(p)) {
        if (*p == '.') {
            o->dots = true;
            p += 3;
        } else {
            p = word(p, name);
            o->sym[o->n++] = symbol(c, name);
        }
    }
    p++;
    o->optional = *p == '?';
    return blanks(p + o->optional);
}
static tp__sig_code *compile(const char *text) {
    tp__sig_code *c = tp__calloc(1, sizeof *c);
    if (!c) return NULL;
    const char *p = blanks(text);
    while (strncmp(p, "->", 2)) {
        operand *o = &c->in[c->noperands++];
        p = word(p, o->name);
        p = shape(c, p, o);
    }
    shape(c, strchr(p, '['), &c->out);
    return c;
}

static const tp__sig_code *code_of(tp__sig *sig) {
    tp__sig_code *c = atomic_load_explicit(&sig->code, memory_order_acquire);
    if (TP__LIKELY(c != NULL)) return c;
    tp__sig_code *made = compile(sig->text);
    if (!made) return NULL;
    if (atomic_compare_exchange_strong(&sig->code, &c, made)) return made;
    tp__mfree(made);
    return c;
}

/* ---- unifying -------------------------------------------------------------------------------- */

typedef struct env {
    const char *what;
    const tp__sig_code *code;
    tp_tensor *const *in;
    int64_t size[MAX_SYMBOLS];
    int8_t from[MAX_SYMBOLS]; /* operand that bound it, -1 if none has */
    tp_shape batch;
} env;

/* What would fit instead, where a matrix b does not go with the last axis of a: an image that was
 * not flattened to a row, or in x @ w a w that should be turned. Else "". */
static void hint(const env *e, int sym, int from, int op, char *text, size_t size) {
    const tp_tensor *a = e->in[from], *b = e->in[op];
    const operand *oa = &e->code->in[from], *ob = &e->code->in[op];
    *text = '\0';
    if (b->ndim != 2 || ob->n != 2 || oa->sym[oa->n - 1] != sym) return;
    const bool product = ob->sym[0] == sym; /* x[M, K] w[K, N], not x[I] w[O, I] */
    const int64_t columns = a->shape[a->ndim - 1],
                  flat = a->ndim > 1 ? columns * a->shape[a->ndim - 2] : -1,
                  wanted = b->shape[!product], other = b->shape[product];
    if (product && columns == other)
        snprintf(text, size, "; tp_T(%s) would fit", ob->name);
    else if (flat == wanted || (product && flat == other))
        snprintf(text, size, "; tp_view(%s, TP_SHAPE(-1, %" PRId64 "))%s%s%s would fit", oa->name,
                 flat, flat == wanted ? "" : " with tp_T(", flat == wanted ? "" : ob->name,
                 flat == wanted ? "" : ")");
}

/* "matmul: K is 28 in x [28, 28] but 784 in w [784, 30]", and what would fit. */
static bool mismatch(const env *e, int sym, int64_t size, int op) {
    const int from = e->from[sym];
    char ta[TP__SHAPE_TEXT], tb[TP__SHAPE_TEXT], instead[96];
    hint(e, sym, from, op, instead, sizeof instead);
    tp_error_set(TP_ESHAPE, "%s: %s is %" PRId64 " in %s %s but %" PRId64 " in %s %s%s", e->what,
                 e->code->symbol[sym], e->size[sym], e->code->in[from].name,
                 tp__shape_text(&e->in[from]->s, ta), size, e->code->in[op].name,
                 tp__shape_text(&e->in[op]->s, tb), instead);
    return false;
}

static bool bind(env *e, int sym, int64_t size, int op) {
    if (e->from[sym] < 0) {
        e->from[sym] = (int8_t)op;
        e->size[sym] = size;
        return true;
    }
    if (TP__LIKELY(e->size[sym] == size)) return true;
    return mismatch(e, sym, size, op);
}

static bool wrong_rank(const env *e, const operand *o, const tp_tensor *x) {
    const tp_shape s = tp__shape(x);
    char text[TP__SHAPE_TEXT];
    tp_error_set(TP_ESHAPE, "%s: %s must have %d%s dims, but it is %s", e->what, o->name, o->n,
                 o->dots ? " or more" : "", tp__shape_text(&s, text));
    return false;
}

static bool unify(env *e, int op, const tp_tensor *x) {
    const operand *o = &e->code->in[op];
    const int lead = x->ndim - o->n;
    if (lead < 0 || (lead > 0 && !o->dots)) return wrong_rank(e, o, x);
    if (lead > 0 && e->batch.ndim == 0) { /* most often there is but one */
        e->batch.ndim = lead;
        memcpy(e->batch.dim, x->shape, (size_t)lead * sizeof *x->shape);
    } else if (lead > 0) {
        tp_shape prefix = {.ndim = lead};
        memcpy(prefix.dim, x->shape, (size_t)lead * sizeof *prefix.dim);
        if (!tp__broadcast(e->what, &e->batch, &prefix, &e->batch)) return false;
    }
    for (int i = 0; i < o->n; i++)
        if (!bind(e, o->sym[i], x->shape[lead + i], op)) return false;
    return true;
}

bool tp__sig_infer(const char *what, tp__sig *sig, tp_tensor *const *in, int nin, tp_shape *out) {
    const tp__sig_code *code = code_of(sig);
    if (!code) return false;
    env e; /* clearing all of it would take longer than the rest */
    e.what = what;
    e.code = code;
    e.in = in;
    e.batch.ndim = 0;
    memset(e.from, -1, sizeof e.from);
    for (int i = 0; i < code->noperands; i++) {
        const tp_tensor *x = i < nin ? in[i] : TP_NONE;
        if (!tp__is_none(x)) {
            if (!unify(&e, i, x)) return false;
        } else if (!code->in[i].optional)
            return tp_error_set(TP_EVALUE, "%s: %s is missing", what, code->in[i].name), false;
    }
    const int lead = code->out.dots ? e.batch.ndim : 0;
    if (lead + code->out.n > TP_MAX_DIM)
        return tp_error_set(TP_ESHAPE, "%s: the result has more than %d dims", what, TP_MAX_DIM),
               false;
    out->ndim = lead + code->out.n;
    memcpy(out->dim, e.batch.dim, (size_t)lead * sizeof *out->dim);
    for (int i = 0; i < code->out.n; i++) {
        const int s = code->out.sym[i];
        out->dim[lead + i] = e.from[s] < 0 ? -1 : e.size[s];
    }
    return true;
}
