/* test_csv.c -- the strict reader of comma-separated values. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "data/csv.h"

/* Parse a copy of n bytes; the caller frees *text. */
static tp_status parse(const char *bytes, size_t n, char **text, tp__csv *csv) {
    *text = malloc(n + 1);
    memcpy(*text, bytes, n);
    (*text)[n] = '\0';
    return tp__csv_parse(*text, n, "labels.csv", csv);
}

/* The fields as text: "a|b/c|d". */
static void gives(const char *bytes, const char *want) {
    char *text, got[256] = "";
    tp__csv csv;
    size_t n = 0;
    tpt_ok(parse(bytes, strlen(bytes), &text, &csv));
    for (int64_t row = 0; row < csv.rows; row++)
        for (int c = 0; c < csv.columns; c++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", tp__csv_at(&csv, row, c),
                                  c + 1 < csv.columns  ? "|"
                                  : row + 1 < csv.rows ? "/"
                                                       : "");
    assert_string_equal(got, want);
    tp__csv_free(&csv);
    free(text);
}

static void fields_and_rows(void **state) {
    (void)state;
    gives("a,b\nc,d\n", "a|b/c|d");
    gives("a,b\r\nc,d", "a|b/c|d");
    gives("\xef\xbb\xbf"
          "a,b\n\n\r\nc,\n,\n",
          "a|b/c|/|");
    gives("a\nb", "a/b");
    gives("\"a\",\"\"\n\"x, y\",\"1\n2\"\n", "a|/x, y|1\n2");
    gives("\"say \"\"yes\"\"\",\"\"\"\"\r\n\"\"\"a\",\"b\"\"\"", "say \"yes\"|\"/\"a|b\"");
    gives(" a , b ", " a | b ");
    gives("\xc3\xa4,\xe7\x8c\xab", "\xc3\xa4|\xe7\x8c\xab");
}

static void lines_are_counted(void **state) {
    (void)state;
    const char bytes[] = "name,label\n\na,\"1\n2\"\r\nb,c";
    char *text;
    tp__csv csv;
    tpt_ok(parse(bytes, sizeof bytes - 1, &text, &csv));
    assert_int_equal(csv.rows, 3);
    assert_int_equal(csv.line[1], 3);
    assert_int_equal(csv.line[2], 5);
    assert_int_equal(tp__csv_column(&csv, "label"), 1);
    assert_int_equal(tp__csv_column(&csv, "Label"), -1);
    tp__csv_free(&csv);
    free(text);
}

static void refuses(const char *bytes, size_t n, const char *want) {
    char *text;
    tp__csv csv;
    assert_int_equal(parse(bytes, n, &text, &csv), TP_EFORMAT);
    tpt_expect_error(TP_EFORMAT, want);
    tp__csv_free(&csv);
    free(text);
}

static void what_is_refused(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"", "labels.csv:1: an empty file"},
        {"\xef\xbb\xbf", "labels.csv:1: an empty file"},
        {"\n\n", "labels.csv:3: an empty file"},
        {"a,b\nc\n", "labels.csv:2: 1 fields where the header has 2"},
        {"a,b\n\nc,d,e\n", "labels.csv:3: 3 fields where the header has 2"},
        {"a,b\nc,\"d\n\n\n", "labels.csv:2: a quote without its end"},
        {"\"", "labels.csv:1: a quote without its end"},
        {"a,b\n\nc,\"d\"e\n", "labels.csv:3: text behind a closing quote"},
        {"a,b\nc,d\"e\n", "labels.csv:2: a quote inside a field that is not quoted"},
        {"a,b\nc,d\re,f\n", "labels.csv:2: a carriage return without a newline"},
        {"a,b\nc,\"d\"\r", "labels.csv:2: a carriage return without a newline"},
        {"a,b\nc,d\n\xff,b\n", "labels.csv:3: not UTF-8 text"},
        {"a,b\nc,\xc3\n", "labels.csv:2: not UTF-8 text"},
    };
    for (int i = 0; i < TP__COUNT(cases); i++)
        refuses(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    refuses("a,b\nc,d\0\n", 9, "labels.csv:2: a zero byte");
    char wide[1500];
    memset(wide, ',', sizeof wide);
    refuses(wide, sizeof wide, "labels.csv:1: more than 1000 columns");
}

static tp_status parse_many(void *unused) {
    (void)unused;
    char bytes[4000], *text;
    for (size_t i = 0; i < sizeof bytes; i += 4) memcpy(bytes + i, "a,b\n", 4);
    tp__csv csv;
    const tp_status r = parse(bytes, sizeof bytes, &text, &csv);
    tp__csv_free(&csv);
    free(text);
    return r;
}

static void out_of_memory(void **state) {
    (void)state;
    assert_true(tpt_fail_each_allocation(parse_many, NULL) > 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(fields_and_rows),
        TPT(lines_are_counted),
        TPT(what_is_refused),
        TPT(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
