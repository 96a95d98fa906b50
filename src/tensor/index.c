/* index.c -- Python's indexing text: "4:10, -2:", "..., ::2", "0", "None, 3".
 *
 * Text becomes a short list of items; resolving an item against a size clips as Python clips. */
#include "tensor/tensor.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct scanner {
    const char *text, *p;
} scanner;

static void skip(scanner *s) {
    while (isspace((unsigned char)*s->p)) s->p++;
}
static bool take(scanner *s, const char *word) {
    const size_t n = strlen(word);
    if (strncmp(s->p, word, n)) return false;
    s->p += n;
    skip(s);
    return true;
}
static bool fail(const scanner *s, const char *why) {
    tp_error_set(TP_EVALUE, "at: character %d of \"%s\": %s", (int)(s->p - s->text) + 1, s->text,
                 why);
    return false;
}

/* A whole number, if one stands here; false with an error only if it is too large. */
static bool number(scanner *s, int64_t *v, bool *has) {
    const char *q = s->p + (*s->p == '-' || *s->p == '+');
    *has = isdigit((unsigned char)*q);
    if (!*has) return true;
    char *end;
    const long long n = strtoll(s->p, &end, 10);
    if (n == INT64_MAX || n == INT64_MIN) return fail(s, "the number is too large");
    *v = n;
    s->p = end;
    skip(s);
    return true;
}

static bool slice(scanner *s, tp__ix *ix) {
    bool has;
    ix->kind = TP__IX_SLICE;
    ix->step = 1;
    if (!number(s, &ix->stop, &ix->has_stop)) return false;
    if (!take(s, ":")) return true;
    const char *step = s->p;
    if (!number(s, &ix->step, &has)) return false;
    if (!has) ix->step = 1;
    if (ix->step > 0) return true;
    s->p = step;
    return fail(s, "the step must be at least 1 (tp_flip turns an axis round)");
}

static bool item(scanner *s, tp__ix *ix) {
    *ix = (tp__ix){0};
    if (take(s, "...")) return ix->kind = TP__IX_ELLIPSIS, true;
    if (take(s, "None")) return ix->kind = TP__IX_NEW, true;
    if (!number(s, &ix->start, &ix->has_start)) return false;
    if (take(s, ":")) return slice(s, ix);
    if (!ix->has_start)
        return fail(s, *s->p ? "expected a number, ':', '...' or None" : "an index is missing");
    ix->kind = TP__IX_INT;
    return true;
}

int tp__index_parse(const char *text, tp__ix out[], int max) {
    scanner s = {text, text};
    int n = 0, dots = 0;
    skip(&s);
    do {
        if (n == max) return fail(&s, "too many indices"), -1;
        if (!item(&s, &out[n])) return -1;
        dots += out[n].kind == TP__IX_ELLIPSIS;
        n++;
    } while (take(&s, ",") && *s.p);
    if (*s.p) return fail(&s, "expected ',' or the end"), -1;
    if (dots > 1) return fail(&s, "only one '...' may stand in an index"), -1;
    return n;
}

static int64_t clip(int64_t i, int64_t size) {
    if (i < 0) i += size;
    return i < 0 ? 0 : i > size ? size : i;
}

int64_t tp__slice_resolve(const tp__ix *ix, int64_t size, int64_t *start) {
    if (ix->step < 1)
        return tp_error_set(TP_EVALUE,
                            "slice: the step must be at least 1 (tp_flip turns an axis round)"),
               -1;
    const int64_t from = ix->has_start ? clip(ix->start, size) : 0,
                  to = ix->has_stop ? clip(ix->stop, size) : size;
    *start = from;
    return to > from ? (to - from - 1) / ix->step + 1 : 0;
}
