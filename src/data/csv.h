/* csv.h -- comma-separated values, strictly: quotes, LF or CRLF, as many fields in every row. */
#ifndef TAPER_SRC_DATA_CSV_H
#define TAPER_SRC_DATA_CSV_H
#include "base/base.h"

typedef struct tp__csv {
    int columns;
    int64_t rows;  /* the header is row 0 */
    char **field;  /* [rows, columns], in the caller's text */
    int64_t *line; /* [rows]: where each row begins, from 1 */
    int64_t cap;   /* fields, lines there is room for */
    int64_t line_cap;
} tp__csv;

/* Parse n bytes with a NUL behind them, in place: the fields point into `text`. EFORMAT names file,
 * line and reason. Free out also after a failure. */
tp_status tp__csv_parse(char *text, size_t n, const char *name, tp__csv *out);
void tp__csv_free(tp__csv *csv);
int tp__csv_column(const tp__csv *csv, const char *name); /* -1 if there is none */
const char *tp__csv_at(const tp__csv *csv, int64_t row, int column);

#endif
