/* fuzz_csv.c -- any bytes as comma-separated values: what is accepted is fields of UTF-8 text. */
#include "data/csv.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    tp__csv csv;
    if (!tp__csv_parse(text, size, "file", &csv)) {
        assert(csv.rows > 0 && csv.columns > 0);
        for (int64_t row = 0; row < csv.rows; row++) {
            assert(csv.line[row] > (row ? csv.line[row - 1] : 0));
            for (int c = 0; c < csv.columns; c++) assert(tp__utf8_valid(tp__csv_at(&csv, row, c)));
        }
    }
    tp__csv_free(&csv);
    tp_error_clear();
    free(text);
    return 0;
}
