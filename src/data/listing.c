/* listing.c -- the list that every layout of a data set ends in, and its way from DIR to there.
 *
 * A layout only adds items with a path, a label and a part. Here the labels become classes, the
 * items get their order, and everything that would make a bad training set is found before a pixel
 * is read. */
#include "data/listing.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- text that lives as long as the listing -------------------------------------------------- */

typedef struct tp__text {
    struct tp__text *next;
    size_t used, size;
    char bytes[];
} tp__text;

char *tp__listing_text(tp__listing *l, const char *a, const char *b, const char *c) {
    const size_t n[3] = {strlen(a), strlen(b), strlen(c)}, all = n[0] + n[1] + n[2] + 1;
    tp__text *t = l->text;
    if (!t || t->size - t->used < all) {
        const size_t size = all > 65000 ? all : 65000;
        t = tp__realloc(NULL, sizeof *t + size);
        if (!t) return NULL;
        *t = (tp__text){.next = l->text, .size = size};
        l->text = t;
    }
    char *text = t->bytes + t->used;
    t->used += all;
    memcpy(text, a, n[0]);
    memcpy(text + n[0], b, n[1]);
    memcpy(text + n[0] + n[1], c, n[2] + 1);
    return text;
}

static tp_status add_line(tp__lines *lines, const char *text) {
    if (lines->n == lines->cap) {
        const int64_t cap = lines->cap ? 2 * lines->cap : 16;
        char **more = tp__realloc(lines->line, (size_t)cap * sizeof *more);
        if (!more) return TP_ENOMEM;
        lines->line = more;
        lines->cap = cap;
    }
    char *copy = tp__strdup(text);
    if (!copy) return TP_ENOMEM;
    lines->line[lines->n++] = copy;
    return TP_OK;
}

tp_status tp__listing_note(tp__listing *l, const char *fmt, ...) {
    char text[1024], room[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return add_line(&l->notes, tp__utf8_show(text, room, sizeof room));
}

void tp__listing_reset(tp__listing *l) {
    for (int64_t i = 0; i < l->notes.n; i++) tp__mfree(l->notes.line[i]);
    l->notes.n = 0;
    l->n = 0;
}

void tp__listing_free(tp__listing *l) {
    tp__listing_reset(l);
    for (tp__text *t = l->text, *next; t; t = next) {
        next = t->next;
        tp__mfree(t);
    }
    tp__mfree(l->notes.line);
    tp__mfree(l->item);
    tp__mfree(l->classes);
    *l = (tp__listing){0};
}

const char *tp__listing_relative(const tp__listing *l, const char *path) {
    path += strlen(l->root);
    return path + (*path == '/');
}

/* ---- items ----------------------------------------------------------------------------------- */

tp_status tp__listing_add(tp__listing *l, const char *path, const char *label, tp_part part,
                          int64_t row) {
    if (l->n == l->cap) {
        const int64_t cap = l->cap ? 2 * l->cap : 1024;
        tp__item *more = tp__realloc(l->item, (size_t)cap * sizeof *more);
        if (!more) return TP_ENOMEM;
        l->item = more;
        l->cap = cap;
    }
    l->item[l->n++] = (tp__item){.path = path, .label = label, .part = part, .row = row};
    return TP_OK;
}

void tp__listing_keep(tp__listing *l, const bool *stays) {
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++)
        if (stays[i]) l->item[n++] = l->item[i];
    l->n = n;
}

int64_t tp__listing_count(const tp__listing *l, tp_part part, int index) {
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++)
        n += l->item[i].part == part && (index < 0 || l->item[i].index == index);
    return n;
}

/* Part, class, row, path. Rows come before paths: those of one part are of one file. */
static int by_place(const void *a, const void *b) {
    const tp__item *x = a, *y = b;
    if (x->part != y->part) return x->part < y->part ? -1 : 1;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return strcmp(x->path, y->path);
}

static void sort_items(tp__listing *l) {
    for (int64_t i = 1; i < l->n; i++)
        if (by_place(&l->item[i - 1], &l->item[i]) > 0) {
            qsort(l->item, (size_t)l->n, sizeof *l->item, by_place);
            return;
        }
}

/* ---- classes --------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
/* Decimal numbers without leading zeros. */
static int by_number(const void *a, const void *b) {
    const size_t n = strlen(*(const char *const *)a), m = strlen(*(const char *const *)b);
    return n != m ? (n < m ? -1 : 1) : by_bytes(a, b);
}

/* The labels of a part (-1: of all) into l->classes, each once, sorted. */
static tp_status find_classes(tp__listing *l, int part) {
    l->classes = tp__calloc((size_t)l->n, sizeof *l->classes);
    if (!l->classes) return TP_ENOMEM;
    int64_t n = 0;
    const char *last = NULL;
    for (int64_t i = 0; i < l->n; i++) {
        const tp__item *it = &l->item[i];
        if (it->label == last || (part >= 0 && it->part != (tp_part)part)) continue;
        l->classes[n++] = last = it->label;
    }
    const bool numbers = l->n && l->item[0].row >= 0;
    qsort(l->classes, (size_t)n, sizeof *l->classes, numbers ? by_number : by_bytes);
    int64_t unique = 0;
    for (int64_t i = 0; i < n; i++)
        if (!i || strcmp(l->classes[i], l->classes[unique - 1]))
            l->classes[unique++] = l->classes[i];
    if (unique > INT32_MAX) return tp_error_set(TP_EVALUE, "%s: too many classes", l->dir);
    l->nclasses = (int)unique;
    return TP_OK;
}

static tp_status take_classes(tp__listing *l, const char *const *classes, int n) {
    l->classes = tp__calloc((size_t)n, sizeof *l->classes);
    if (!l->classes) return TP_ENOMEM;
    for (; l->nclasses < n; l->nclasses++) {
        l->classes[l->nclasses] = tp__listing_text(l, classes[l->nclasses], "", "");
        if (!l->classes[l->nclasses]) return TP_ENOMEM;
    }
    return TP_OK;
}

typedef struct named {
    const char *name;
    int32_t index;
} named;

static int by_name(const void *a, const void *b) {
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

/* Give every item the index of its class; `stranger` is the first item of none. */
static tp_status index_items(tp__listing *l, const tp__item **stranger) {
    named *sorted = tp__calloc((size_t)l->nclasses, sizeof *sorted);
    if (!sorted) return TP_ENOMEM;
    for (int i = 0; i < l->nclasses; i++) sorted[i] = (named){l->classes[i], i};
    qsort(sorted, (size_t)l->nclasses, sizeof *sorted, by_name);
    *stranger = NULL;
    const named *found = NULL;
    for (int64_t i = 0; i < l->n && !*stranger; i++) {
        tp__item *it = &l->item[i];
        const named want = {it->label, 0};
        if (!found || strcmp(found->name, it->label))
            found = bsearch(&want, sorted, (size_t)l->nclasses, sizeof *sorted, by_name);
        if (found) {
            it->index = found->index;
            it->label = l->classes[found->index];
        } else
            *stranger = it;
    }
    tp__mfree(sorted);
    return TP_OK;
}

static tp_status fail_stranger(const tp__item *it, bool given) {
    char path[256], label[128];
    return tp_error_set(TP_EVALUE, "%s: class '%s' is not one of %s",
                        tp__utf8_show(it->path, path, sizeof path),
                        tp__utf8_show(it->label, label, sizeof label),
                        given ? "the model's" : "the training part's");
}

/* Classes without an image in a part that has others. */
static tp_status note_gaps(tp__listing *l) {
    static const char *const name[TP__PARTS] = {"training", "validation", "test"};
    int64_t *count = tp__calloc((size_t)l->nclasses * TP__PARTS + 1, sizeof *count);
    if (!count) return TP_ENOMEM;
    int64_t all[TP__PARTS] = {0};
    for (int64_t i = 0; i < l->n; i++) {
        all[l->item[i].part]++;
        count[l->item[i].part * l->nclasses + l->item[i].index]++;
    }
    tp_status r = TP_OK;
    for (int p = 0; p < TP__PARTS; p++)
        for (int c = 0; !r && c < l->nclasses; c++)
            if (all[p] && !count[p * l->nclasses + c])
                r = tp__listing_note(l, "the %s part has no image of class '%s'", name[p],
                                     l->classes[c]);
    tp__mfree(count);
    return r;
}

static tp_status classify(tp__listing *l, const char *const *classes, int n) {
    const bool training = tp__listing_count(l, TP_TRAIN, -1) > 0;
    tp_status r =
        classes ? take_classes(l, classes, n) : find_classes(l, training ? (int)TP_TRAIN : -1);
    const tp__item *stranger = NULL;
    if (!r) r = index_items(l, &stranger);
    if (r) return r;
    if (stranger) return fail_stranger(stranger, classes != NULL);
    if (!classes && l->nclasses < 2) {
        char room[128];
        return tp_error_set(TP_EVALUE, "%s: only one class, '%s'; a classifier needs two or more",
                            l->dir, tp__utf8_show(l->classes[0], room, sizeof room));
    }
    return note_gaps(l);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* Train on train, validate on valid; a test part stands in for a missing validation part, and where
 * there is nothing to validate on, the training part counts as undivided. */
static tp_status settle_parts(tp__listing *l) {
    int64_t n[TP__PARTS];
    for (int p = 0; p < TP__PARTS; p++) n[p] = tp__listing_count(l, (tp_part)p, -1);
    if (!l->split || !n[TP_TRAIN]) return TP_OK;
    if (!n[TP_VALID] && !n[TP_TEST]) {
        l->split = false;
        return tp__listing_note(l, "the training part has no validation or test part beside it");
    }
    if (n[TP_VALID]) return TP_OK;
    for (int64_t i = 0; i < l->n; i++)
        if (l->item[i].part == TP_TEST) l->item[i].part = TP_VALID;
    return tp__listing_note(l, "there is no validation part: the test part is used for validation");
}

tp_status tp__listing_finish(tp__listing *l, const char *const *classes, int nclasses) {
    tp_status r = settle_parts(l);
    if (!r) r = classify(l, classes, nclasses);
    if (!r) sort_items(l);
    return r;
}
