/* csv.c -- a strict reader of comma-separated values.
 *
 * One pass over the text, in place: a field is ended by a NUL where its comma was, and a quoted one
 * is copied down over its quotes. What is not plainly right is refused with its line, since a row
 * that was misread would be a wrong label. */
#include "data/csv.h"
#include <string.h>

typedef struct parser {
    char *at, *end; /* *end is a NUL */
    const char *name;
    int64_t line;
    tp__csv *csv;
    int64_t fields; /* so far, in all rows */
} parser;

static tp_status bad(const parser *p, const char *reason) {
    char room[300];
    return tp_error_set(TP_EFORMAT, "%s:%lld: %s", tp__utf8_show(p->name, room, sizeof room),
                        (long long)p->line, reason);
}

void tp__csv_free(tp__csv *csv) {
    tp__mfree(csv->field);
    tp__mfree(csv->line);
    *csv = (tp__csv){0};
}

static tp_status add_field(parser *p, char *field) {
    tp__csv *csv = p->csv;
    if (p->fields == csv->cap) {
        const int64_t cap = csv->cap ? 2 * csv->cap : 64;
        char **more = tp__realloc(csv->field, (size_t)cap * sizeof *more);
        if (!more) return TP_ENOMEM;
        csv->field = more;
        csv->cap = cap;
    }
    csv->field[p->fields++] = field;
    return TP_OK;
}

static tp_status add_row(parser *p, int64_t line) {
    tp__csv *csv = p->csv;
    if (csv->rows == csv->line_cap) {
        const int64_t cap = csv->line_cap ? 2 * csv->line_cap : 64;
        int64_t *more = tp__realloc(csv->line, (size_t)cap * sizeof *more);
        if (!more) return TP_ENOMEM;
        csv->line = more;
        csv->line_cap = cap;
    }
    csv->line[csv->rows++] = line;
    return TP_OK;
}

/* Past the end of a line, if p stands at one. */
static bool skip_newline(parser *p) {
    const int n = p->at[0] == '\n' ? 1 : p->at[0] == '\r' && p->at[1] == '\n' ? 2 : 0;
    p->at += n;
    p->line += n > 0;
    return n > 0;
}

/* At the quote that begins a field; leaves p behind the one that ends it, the text closed up. */
static tp_status read_quoted(parser *p, char **end) {
    const int64_t begins = p->line;
    char *to = p->at;
    for (p->at++;; p->at++) {
        if (p->at == p->end) {
            p->line = begins;
            return bad(p, "a quote without its end");
        }
        if (*p->at == '"' && *++p->at != '"') break;
        p->line += *p->at == '\n';
        *to++ = *p->at;
    }
    *end = to;
    return TP_OK;
}

static tp_status read_plain(parser *p, char **end) {
    p->at += strcspn(p->at, ",\"\r\n");
    *end = p->at;
    return *p->at == '"' ? bad(p, "a quote inside a field that is not quoted") : TP_OK;
}

/* One field and what ends it; *last tells whether it ended its row. */
static tp_status read_field(parser *p, bool *last) {
    const int64_t line = p->line;
    char *field = p->at, *end = field;
    const bool quoted = *p->at == '"';
    const tp_status r = quoted ? read_quoted(p, &end) : read_plain(p, &end);
    if (r) return r;
    *last = *p->at != ',';
    if (!*last)
        p->at++;
    else if (p->at != p->end && !skip_newline(p))
        return bad(p, *p->at == '\r' ? "a carriage return without a newline"
                                     : "text behind a closing quote");
    *end = '\0';
    if (!tp__utf8_valid(field)) {
        p->line = line;
        return bad(p, "not UTF-8 text");
    }
    return add_field(p, field);
}

static tp_status read_row(parser *p) {
    tp__csv *csv = p->csv;
    const int64_t line = p->line, before = p->fields;
    for (bool last = false; !last;) {
        const tp_status r = read_field(p, &last);
        if (r) return r;
    }
    const int64_t n = p->fields - before;
    if (csv->rows == 0) {
        if (n > 1000) return bad(p, "more than 1000 columns");
        csv->columns = (int)n;
    } else if (n != csv->columns) {
        char reason[100];
        snprintf(reason, sizeof reason, "%lld fields where the header has %d", (long long)n,
                 csv->columns);
        p->line = line;
        return bad(p, reason);
    }
    return add_row(p, line);
}

tp_status tp__csv_parse(char *text, size_t n, const char *name, tp__csv *out) {
    *out = (tp__csv){0};
    parser p = {.at = text, .end = text + n, .name = name, .line = 1, .csv = out};
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        p.at += 3; /* what some spreadsheets put in front */
    const char *nul = memchr(text, '\0', n);
    if (nul) {
        for (const char *c = text; c < nul; c++) p.line += *c == '\n';
        return bad(&p, "a zero byte");
    }
    while (p.at < p.end) {
        if (skip_newline(&p)) continue; /* an empty line */
        const tp_status r = read_row(&p);
        if (r) return r;
    }
    return out->rows ? TP_OK : bad(&p, "an empty file");
}

int tp__csv_column(const tp__csv *csv, const char *name) {
    for (int c = 0; c < csv->columns; c++)
        if (!strcmp(csv->field[c], name)) return c;
    return -1;
}

const char *tp__csv_at(const tp__csv *csv, int64_t row, int column) {
    return csv->field[row * csv->columns + column];
}
