/* module_spec.c -- an architecture from text: "linear(784,30) relu linear(30,1)".
 *
 *     text   = layers           one layer alone is that layer, several are a sequential
 *     layers = layer { " " layer }
 *     layer  = "linear(" in "," out [",nobias"] [",float64"] ")" | "sequential(" [layers] ")"
 *            | "relu" | "sigmoid" | "tanh" | "flatten"
 *
 * The text comes from model files, so nothing is made before all of it has been read: it becomes a
 * flat list of items first, whose sizes are bounded, and then modules. */
#include "nn/nn.h"
#include <inttypes.h>
#include <string.h>

enum { LONGEST = 65536, DEEPEST = 32 };
static const int64_t MOST_NUMBERS = INT64_C(1) << 31, LARGEST = INT32_MAX;

typedef enum kind { LINEAR, PLAIN, OPEN, CLOSE } kind;
typedef struct item {
    kind kind;
    int64_t in, out;
    tp_linear_opts opts;      /* LINEAR */
    tp_module *(*make)(void); /* PLAIN */
} item;

typedef struct parser {
    const char *text, *at;
    item *items;
    int64_t n, cap;
    int64_t layers;  /* side by side at the top */
    int64_t numbers; /* in all parameters */
    int depth;
} parser;

static const struct {
    const char *name;
    tp_module *(*make)(void);
} plain[] = {{"relu", tp_nn_relu},
             {"sigmoid", tp_nn_sigmoid},
             {"tanh", tp_nn_tanh},
             {"flatten", tp_nn_flatten}};

/* ---- reading --------------------------------------------------------------------------------- */

/* EVALUE about the place that the parser has come to; characters count from 1. */
static bool refuse(const parser *p, const char *what) {
    tp_error_set(TP_EVALUE, "module_parse: character %lld: %s", (long long)(p->at - p->text + 1),
                 what);
    return false;
}

static void skip_spaces(parser *p) {
    while (*p->at == ' ') p->at++;
}

static bool expect(parser *p, char c, const char *what) {
    skip_spaces(p);
    if (*p->at != c) return refuse(p, what);
    p->at++;
    return true;
}

static bool word(parser *p, const char *w) {
    const size_t n = strlen(w), have = strspn(p->at, "abcdefghijklmnopqrstuvwxyz_0123456789");
    if (have != n || memcmp(p->at, w, n) != 0) return false;
    p->at += n;
    return true;
}

static bool number(parser *p, int64_t *v) {
    skip_spaces(p);
    const char *start = p->at;
    for (*v = 0; *p->at >= '0' && *p->at <= '9' && *v <= LARGEST; p->at++)
        *v = 10 * *v + (*p->at - '0');
    const bool good = p->at > start && *start != '0' && *v <= LARGEST;
    if (!good) p->at = start;
    return good || refuse(p, "a number from 1 to 2147483647 is expected here");
}

static item *append(parser *p, kind k) {
    if (p->n == p->cap) {
        const int64_t cap = p->cap ? 2 * p->cap : 16;
        item *more = tp__realloc(p->items, (size_t)cap * sizeof *more);
        if (!more) return NULL;
        p->items = more;
        p->cap = cap;
    }
    p->items[p->n] = (item){.kind = k};
    return &p->items[p->n++];
}

/* ",nobias" and ",float64", each at most once and in this order. */
static bool linear_flags(parser *p, tp_linear_opts *o) {
    for (skip_spaces(p); *p->at == ','; skip_spaces(p)) {
        p->at++;
        skip_spaces(p);
        if (!o->no_bias && o->dtype == TP_FLOAT32 && word(p, "nobias"))
            o->no_bias = true;
        else if (o->dtype == TP_FLOAT32 && word(p, "float64"))
            o->dtype = TP_FLOAT64;
        else
            return refuse(p, "nobias or float64 is expected here");
    }
    return true;
}

static bool linear(parser *p) {
    item *l = append(p, LINEAR);
    if (!l) return false;
    l->opts.size = sizeof l->opts;
    if (!expect(p, '(', "( is expected here, as in linear(784,30)") || !number(p, &l->in))
        return false;
    if (!expect(p, ',', ", is expected here, as in linear(784,30)") || !number(p, &l->out))
        return false;
    if (!linear_flags(p, &l->opts) || !expect(p, ')', ") is expected here")) return false;
    p->numbers +=
        l->in * l->out + (l->opts.no_bias ? 0 : l->out); /* below 2^63: each is below 2^31 */
    return p->numbers <= MOST_NUMBERS ||
           refuse(p, "up to here there are more than 2147483648 parameters");
}

static bool layers(parser *p, bool nested);

static bool sequential(parser *p) {
    if (++p->depth > DEEPEST) return refuse(p, "more than 32 sequentials inside one another");
    if (!append(p, OPEN) || !expect(p, '(', "( is expected here")) return false;
    if (!layers(p, true) || !expect(p, ')', ") is expected here") || !append(p, CLOSE))
        return false;
    p->depth--;
    return true;
}

static bool layer(parser *p) {
    if (word(p, "linear")) return linear(p);
    if (word(p, "sequential")) return sequential(p);
    for (int i = 0; i < TP__COUNT(plain); i++) {
        if (!word(p, plain[i].name)) continue;
        item *l = append(p, PLAIN);
        if (l) l->make = plain[i].make;
        return l;
    }
    return refuse(
        p, "no layer begins here; there are linear, relu, sigmoid, tanh, flatten and sequential");
}

static bool layers(parser *p, bool nested) {
    for (skip_spaces(p); *p->at && !(nested && *p->at == ')'); skip_spaces(p)) {
        if (!layer(p)) return false;
        if (!strchr(" )", *p->at)) return refuse(p, "a space is expected between two layers");
        if (!nested) p->layers++;
    }
    return true;
}

/* The whole text, or false; the caller frees p->items. */
static bool read_text(parser *p, const char *text) {
    *p = (parser){.text = text, .at = text};
    if (strlen(text) > LONGEST) {
        tp_error_set(TP_EVALUE, "module_parse: the text is longer than %d characters", LONGEST);
        return false;
    }
    if (!layers(p, false)) return false;
    return p->layers || refuse(p, "there is no layer in the text");
}

int64_t tp__spec_numel(const char *text) {
    if (!text) return tp__error_null("module_parse"), -1;
    parser p;
    const bool ok = read_text(&p, text);
    tp__mfree(p.items);
    return ok ? p.numbers : -1;
}

/* ---- making ---------------------------------------------------------------------------------- */

static tp_module *make_layers(const item **at, const item *end, tp_rng *rng);

static tp_module *make_layer(const item **at, const item *end, tp_rng *rng) {
    const item *l = (*at)++;
    if (l->kind == PLAIN) return l->make();
    if (l->kind == OPEN) return make_layers(at, end, rng);
    tp_linear_opts o = l->opts;
    o.rng = rng;
    return tp_nn_linear(l->in, l->out, &o);
}

/* A sequential of what comes up to the end or the CLOSE of its OPEN. */
static tp_module *make_layers(const item **at, const item *end, tp_rng *rng) {
    tp_module *s = tp__sequential_new();
    while (s && *at < end && (*at)->kind != CLOSE) {
        tp_module *child = make_layer(at, end, rng);
        if (child && tp__sequential_add(s, child)) continue;
        tp_module_free(s);
        return NULL;
    }
    if (*at < end) (*at)++;
    return s;
}

tp_module *tp_module_parse(const char *text, tp_rng *rng) {
    if (!text) return tp__error_null("module_parse"), NULL;
    parser p;
    tp_module *m = NULL;
    if (read_text(&p, text)) {
        const item *at = p.items, *end = at + p.n;
        m = p.layers == 1 ? make_layer(&at, end, rng) : make_layers(&at, end, rng);
    }
    tp__mfree(p.items);
    return m;
}
