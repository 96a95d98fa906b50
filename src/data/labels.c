/* labels.c -- the layout "labels.csv": each row names an image, relative to DIR, and its class.
 *
 * Where every name begins with the folder of a part (train/, valid/, test/), that is the split. A
 * file that is listed twice with two labels is refused. */
#include "data/csv.h"
#include "data/listing.h"
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *path, *label;
    int64_t line;
} row;

static tp_status bad(const char *path, int64_t line, const char *reason) {
    char room[300];
    return tp_error_set(TP_EFORMAT, "%s:%lld: %s", tp__utf8_show(path, room, sizeof room),
                        (long long)line, reason);
}

/* Does a name stay inside the folder that it is relative to? */
static bool stays_inside(const char *name) {
    if (name[0] == '/') return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

static const char *wrong_with(const char *name, const char *label) {
    if (!name[0]) return "no name";
    if (!label[0]) return "no label";
    if (!stays_inside(name)) return "the name leads out of the folder";
    if (!tp__utf8_printable(name) || !tp__utf8_printable(label)) return "a control character";
    return NULL;
}

/* Row i of the file as an item without a part yet. */
static tp_status add_row(tp__listing *l, const char *path, const char *name, const char *label,
                         int64_t line) {
    while (!strncmp(name, "./", 2)) name += 2;
    const char *wrong = wrong_with(name, label);
    if (wrong) return bad(path, line, wrong);
    const size_t n = strlen(l->root);
    const char *file = tp__listing_text(l, l->root, n && l->root[n - 1] == '/' ? "" : "/", name);
    const char *last = l->n ? l->item[l->n - 1].label : "";
    const char *kept = strcmp(last, label) ? tp__listing_text(l, label, "", "") : last;
    return file && kept ? tp__listing_add(l, file, kept, TP_TRAIN, -1) : TP_ENOMEM;
}

static tp_status add_rows(tp__listing *l, const char *path, const tp__csv *csv) {
    const int name = tp__csv_column(csv, "name"), label = tp__csv_column(csv, "label");
    if (name < 0 || label < 0)
        return bad(path, csv->line[0], "the header must have the columns name and label");
    if (csv->rows == 1) return bad(path, csv->line[0], "no rows behind the header");
    tp_status r = TP_OK;
    for (int64_t i = 1; !r && i < csv->rows; i++)
        r = add_row(l, path, tp__csv_at(csv, i, name), tp__csv_at(csv, i, label), csv->line[i]);
    return r;
}

/* ---- listed twice ---------------------------------------------------------------------------- */

static int by_path(const void *a, const void *b) {
    const row *x = a, *y = b;
    const int order = strcmp(x->path, y->path);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static tp_status fail_conflict(const tp__listing *l, const char *path, const row *first,
                               const row *again) {
    char reason[400];
    snprintf(reason, sizeof reason, "'%.200s' has the label '%.60s' here and '%.60s' in line %lld",
             tp__listing_relative(l, again->path), again->label, first->label,
             (long long)first->line);
    return bad(path, again->line, reason);
}

/* Drop what is listed again with the same label. */
static tp_status drop_doubles(tp__listing *l, const char *path, const tp__csv *csv) {
    row *rows = tp__calloc((size_t)l->n, sizeof *rows);
    bool *stays = tp__calloc((size_t)l->n, sizeof *stays);
    tp_status r = rows && stays ? TP_OK : TP_ENOMEM;
    for (int64_t i = 0; !r && i < l->n; i++)
        rows[i] = (row){l->item[i].path, l->item[i].label, csv->line[i + 1]};
    if (!r) qsort(rows, (size_t)l->n, sizeof *rows, by_path);
    int64_t doubles = 0;
    for (int64_t i = 0; !r && i < l->n; i++) {
        const row *before = i ? &rows[i - 1] : NULL;
        const bool again = before && !strcmp(before->path, rows[i].path);
        if (again && strcmp(before->label, rows[i].label))
            r = fail_conflict(l, path, before, &rows[i]);
        doubles += again;
    }
    if (!r && doubles) {
        for (int64_t i = 0; i < l->n;
             i++) /* in the sorted order: the listing sorts its items anyway */
            l->item[i] = (tp__item){.path = rows[i].path, .label = rows[i].label, .row = -1};
        for (int64_t i = 0; i < l->n; i++) stays[i] = !i || strcmp(rows[i].path, rows[i - 1].path);
        tp__listing_keep(l, stays);
        r = tp__listing_note(l, "labels.csv: %lld rows name an image again", (long long)doubles);
    }
    tp__mfree(rows);
    tp__mfree(stays);
    return r;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static bool part_of(const tp__listing *l, const tp__item *it, tp_part *part) {
    const char *name = tp__listing_relative(l, it->path);
    const size_t n = strcspn(name, "/");
    return name[n] && tp__part_named(name, n, part);
}

static tp_status split(tp__listing *l) {
    tp_part part;
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++) n += part_of(l, &l->item[i], &part);
    if (n && n < l->n)
        return tp__listing_note(
            l,
            "labels.csv: %lld of %lld names are not in train/, valid/ or test/, "
            "so the folders are not taken as a split",
            (long long)(l->n - n), (long long)l->n);
    for (int64_t i = 0; n && i < l->n; i++) (void)part_of(l, &l->item[i], &l->item[i].part);
    l->split = n > 0;
    return TP_OK;
}

tp_status tp__labels_list(tp__listing *l, const char *path) {
    size_t n;
    char *text = tp__os_read_file(path, (size_t)1 << 32, &n);
    if (!text) return tp_error_code();
    tp__csv csv;
    tp_status r = tp__csv_parse(text, n, path, &csv);
    if (!r) r = add_rows(l, path, &csv);
    if (!r) r = drop_doubles(l, path, &csv);
    if (!r) r = split(l);
    tp__csv_free(&csv);
    tp__mfree(text);
    return r;
}
