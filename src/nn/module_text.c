/* module_text.c -- a module as text: torch's print(m), and the line for tp_module_parse.
 *
 * Both walk the tree and append to a text that may be longer than the caller's buffer, as
 * snprintf does. */
#include "nn/nn.h"
#include <string.h>

typedef struct text {
    char *buf;
    size_t size;
    int64_t n; /* length so far, whether or not it fitted */
} text;

static void put(text *t, const char *s, size_t n) {
    const size_t at = (size_t)t->n;
    if (at + 1 < t->size) {
        const size_t room = t->size - at - 1, k = n < room ? n : room;
        memcpy(t->buf + at, s, k);
        t->buf[at + k] = '\0';
    }
    t->n += (int64_t)n;
}
static void puts_(text *t, const char *s) {
    put(t, s, strlen(s));
}
static void newline(text *t, int indent) {
    puts_(t, "\n");
    for (int i = 0; i < indent; i++) puts_(t, " ");
}

static text text_begin(char *buf, size_t size) {
    if (buf && size) buf[0] = '\0';
    return (text){buf, buf ? size : 0, 0};
}

/* What the class says about m, in a block of its own; NULL on failure. */
static char *ask(const tp_module *m, const char *what,
                 int (*say)(void *self, char *buf, size_t size)) {
    const int n = say ? say(m->self, NULL, 0) : 0;
    if (n < 0) {
        if (!tp_error_code())
            tp_error_set(TP_EUSER, "%s: the class gave no text and no error", m->c->name);
        tp_error_prefix("%s", what);
        return NULL;
    }
    char *s = tp__calloc((size_t)n + 1, 1);
    if (s && n) say(m->self, s, (size_t)n + 1);
    return s;
}

/* ---- torch's print(m) ------------------------------------------------------------------------ */

/* Name(extra) on one line where there are neither children nor several lines of extra, else each on
 * a line of its own, two columns further in. */
static bool put_repr(text *t, const tp_module *m, int indent) {
    char *extra = ask(m, "module_repr", m->c->extra);
    if (!extra) return false;
    puts_(t, m->c->name);
    puts_(t, "(");
    const bool inline_ = !m->nchildren && !strchr(extra, '\n');
    if (inline_) puts_(t, extra);
    for (const char *line = extra; !inline_ && *line;) {
        const size_t n = strcspn(line, "\n");
        newline(t, indent + 2);
        put(t, line, n);
        line += n + (line[n] == '\n');
    }
    tp__mfree(extra);
    for (int i = 0; i < m->nchildren; i++) {
        newline(t, indent + 2);
        puts_(t, "(");
        puts_(t, tp__module_tail(m, m->child[i]->name));
        puts_(t, "): ");
        if (!put_repr(t, m->child[i], indent + 2)) return false;
    }
    if (!inline_) newline(t, indent);
    puts_(t, ")");
    return true;
}

int64_t tp_module_repr(const tp_module *m, char *buf, size_t size) {
    if (!m) return tp__error_null("module_repr"), -1;
    text t = text_begin(buf, size);
    return put_repr(&t, m, 0) ? t.n : -1;
}

/* ---- the line for tp_module_parse ------------------------------------------------------------ */

static bool put_spec(text *t, const tp_module *m, bool top);

static bool put_children(text *t, const tp_module *m) {
    for (int i = 0; i < m->nchildren; i++) {
        if (i) puts_(t, " ");
        if (!put_spec(t, m->child[i], false)) return false;
    }
    return true;
}

/* Layers that stand side by side are a sequential without being called one, so only a sequential
 * inside another, or one of fewer than two layers, needs its name. */
static bool put_spec(text *t, const tp_module *m, bool top) {
    if (tp__is_sequential(m)) {
        if (top && m->nchildren > 1) return put_children(t, m);
        puts_(t, "sequential(");
        if (!put_children(t, m)) return false;
        puts_(t, ")");
        return true;
    }
    if (!m->c->spec) {
        tp_error_set(TP_EVALUE, "module_spec: a %s has no text (its class has no spec)",
                     m->c->name);
        return false;
    }
    char *spec = ask(m, "module_spec", m->c->spec);
    if (!spec) return false;
    puts_(t, spec);
    tp__mfree(spec);
    return true;
}

int64_t tp_module_spec(const tp_module *m, char *buf, size_t size) {
    if (!m) return tp__error_null("module_spec"), -1;
    text t = text_begin(buf, size);
    return put_spec(&t, m, true) ? t.n : -1;
}
