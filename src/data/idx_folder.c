/* idx_folder.c -- the layout "IDX files": train-images-idx3-ubyte and its kin, as MNIST comes.
 *
 * The labels are read here, since they are the classes: "0" to "9", in the order of the numbers.
 * The images are read when the pixels are wanted. */
#include "data/idx.h"
#include "data/listing.h"
#include <string.h>

typedef struct pair {
    const char *images, *labels; /* paths, NULL where there is none */
} pair;

/* "train-images-idx3-ubyte", "t10k-labels.idx1-ubyte.gz": which part, and images or labels. */
static bool parse_name(const char *name, tp_part *part, bool *images) {
    const char *dash = strchr(name, '-');
    if (!dash) return false;
    const size_t n = (size_t)(dash - name);
    if (n == 4 && !memcmp(name, "t10k", 4))
        *part = TP_TEST;
    else if (!tp__part_named(name, n, part))
        return false;
    char rest[40];
    const size_t m = strlen(dash);
    if (m >= sizeof rest) return false;
    memcpy(rest, dash, m + 1);
    if (m > 3 && !strcmp(rest + m - 3, ".gz")) rest[m - 3] = '\0';
    *images = !strcmp(rest, "-images-idx3-ubyte") || !strcmp(rest, "-images.idx3-ubyte");
    return *images || !strcmp(rest, "-labels-idx1-ubyte") || !strcmp(rest, "-labels.idx1-ubyte");
}

static const char *join(tp__listing *l, const char *name) {
    const size_t n = strlen(l->root);
    return tp__listing_text(l, l->root, n && l->root[n - 1] == '/' ? "" : "/", name);
}

/* The first file of each kind counts: a plain one comes before its .gz. */
static tp_status find_pairs(tp__listing *l, const tp__os_list *names, pair pairs[TP__PARTS]) {
    memset(pairs, 0, TP__PARTS * sizeof *pairs);
    for (int64_t i = 0; i < names->n; i++) {
        tp_part part;
        bool images;
        if (!parse_name(names->name[i], &part, &images)) continue;
        const char **slot = images ? &pairs[part].images : &pairs[part].labels;
        const char *path = *slot ? NULL : join(l, names->name[i]);
        if (!*slot && !path) return TP_ENOMEM;
        if (path && tp__os_stat(path, NULL) == TP__OS_FILE) *slot = path;
    }
    return TP_OK;
}

tp_status tp__idx_present(tp__listing *l, const tp__os_list *names, bool *present) {
    pair pairs[TP__PARTS];
    const tp_status r = find_pairs(l, names, pairs);
    *present = false;
    for (int p = 0; p < TP__PARTS; p++) *present |= pairs[p].images || pairs[p].labels;
    return r;
}

/* One item for each label, its name a number. */
static tp_status add_labels(tp__listing *l, const tp__idx *labels, const char *images,
                            tp_part part) {
    const char *text[256] = {NULL};
    tp_status r = TP_OK;
    for (int64_t i = 0; !r && i < labels->dim[0]; i++) {
        const uint8_t v = labels->data[i];
        if (!text[v]) {
            char digits[4];
            snprintf(digits, sizeof digits, "%d", v);
            text[v] = tp__listing_text(l, digits, "", "");
            if (!text[v]) return TP_ENOMEM;
        }
        r = tp__listing_add(l, images, text[v], part, i);
    }
    return r;
}

static tp_status list_part(tp__listing *l, const pair *p, tp_part part) {
    char room[300];
    if (!p->images || !p->labels)
        return tp_error_set(TP_EFORMAT, "%s: there is no file with its %s beside it",
                            tp__utf8_show(p->images ? p->images : p->labels, room, sizeof room),
                            p->images ? "labels" : "images");
    tp__idx idx;
    tp_status r = tp__idx_read(p->labels, 1, &idx);
    if (r) return r;
    if (!idx.dim[0])
        r = tp_error_set(TP_EFORMAT, "%s: no labels", tp__utf8_show(p->labels, room, sizeof room));
    l->idx[part].path = p->images;
    l->idx[part].rows = idx.dim[0];
    if (!r) r = add_labels(l, &idx, p->images, part);
    tp__idx_free(&idx);
    return r;
}

tp_status tp__idx_list(tp__listing *l, const tp__os_list *names) {
    pair pairs[TP__PARTS];
    tp_status r = find_pairs(l, names, pairs);
    l->split = true;
    for (int p = 0; !r && p < TP__PARTS; p++)
        if (pairs[p].images || pairs[p].labels) r = list_part(l, &pairs[p], (tp_part)p);
    return r;
}
