/* tests/test_io.h -- what the tests of file formats share: tensors that are hard to keep,
 * comparisons bit by bit, and every allocation failing in turn. */
#ifndef TAPER_TESTS_TEST_IO_H
#define TAPER_TESTS_TEST_IO_H
#include "io/io.h"
#include "support.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static inline const char *in_tmpdir(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", tpt_tmpdir(), name);
    return path;
}

static inline void write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static inline char *read_bytes(const char *path, size_t *size) {
    char *bytes = tp__os_read_file(path, 0, size);
    assert_non_null(bytes);
    return bytes;
}

static inline void same_tensor(tp_tensor *got, tp_tensor *want) {
    assert_non_null(got);
    const tp_shape a = tp_shape_of(got), b = tp_shape_of(want);
    assert_true(tp__shape_equal(&a, &b));
    assert_int_equal(got->dtype, want->dtype);
    assert_true(tp_is_contiguous(got));
    const tp_tensor *dense = tp__contiguous(want);
    tpt_same_bits(tp_data_ptr(got), tp_data_ptr(dense),
                  (size_t)(tp_numel(got) * tp_dtype_size(tp_dtype_of(got))));
}

/* The columns of [[0, 3], [1, 4], [2, 5]]: [[0, 1, 2], [3, 4, 5]], not contiguous. */
static inline tp_tensor *strided(void) {
    tp_tensor *rows = tp_floats(TP_SHAPE(3, 2), 0, 3, 1, 4, 2, 5);
    return tp__view(rows, 2, (const int64_t[]){2, 3}, (const int64_t[]){1, 2}, 0);
}

/* NaNs with payloads, signalling ones, zeros of both signs, denormals, infinities. */
static inline tp_tensor *odd_floats(void) {
    static const uint32_t bits[] = {0x7fc00000, 0xffc12345, 0x7f800001, 0x80000000, 0x00000001,
                                    0x807fffff, 0x7f800000, 0xff800000, 0x3dcccccd, 0x7f7fffff};
    return tp_from(bits, TP_SHAPE(10), TP_FLOAT32);
}
static inline tp_tensor *odd_doubles(void) {
    static const uint64_t bits[] = {0x7ff8000000000000, 0xfff8123456789abc, 0x7ff0000000000001,
                                    0x8000000000000000, 0x0000000000000001, 0x3fb999999999999a};
    return tp_from(bits, TP_SHAPE(3, 2), TP_FLOAT64);
}

/* Tensors of every dtype, wide ones behind narrow ones. */
static inline tp_dict *mixed(void) {
    static const uint8_t bytes[] = {0, 255, 7}, bools[] = {1, 0, 1};
    static const int64_t longs[] = {INT64_MIN, -1, 0, INT64_MAX};
    tp_dict *d = tp_dict_new();
    tpt_ok(tp_dict_set(d, "bytes", tp_from(bytes, TP_SHAPE(3), TP_UINT8)));
    tpt_ok(tp_dict_set(d, "0.weight", odd_floats()));
    tpt_ok(tp_dict_set(d, "mask", tp_from(bools, TP_SHAPE(1, 3), TP_BOOL)));
    tpt_ok(tp_dict_set(d, "doubles \"\\/\xc3\xa9\n", odd_doubles()));
    tpt_ok(tp_dict_set(d, "empty", tp_zeros(TP_SHAPE(2, 0, 3), TP_FLOAT64)));
    tpt_ok(tp_dict_set(d, "", tp_from(longs, TP_SHAPE(2, 1, 2), TP_INT64)));
    tpt_ok(tp_dict_set(d, "scalar", tp_scalar(2.5, TP_FLOAT32)));
    tpt_ok(tp_dict_set(d, "strided", strided()));
    tpt_ok(tp_dict_set_str(d, "taper.format", "1"));
    tpt_ok(tp_dict_set_str(d, "", "quotes \" and \\, a line\nend, \xe2\x82\xac, \xf0\x9f\x95\xaf"));
    return d;
}

static inline void put_hex(FILE *f, tp_tensor *x) {
    const tp_tensor *dense = tp__contiguous(x);
    const unsigned char *p = tp_data_ptr(dense);
    for (int64_t i = 0; i < tp_numel(x) * tp_dtype_size(tp_dtype_of(x)); i++)
        fprintf(f, "%02x", p[i]);
    fputc('\n', f);
}

static inline const char *shape_text(tp_tensor *x) {
    static char text[TP__SHAPE_TEXT];
    const tp_shape s = tp_shape_of(x);
    return tp__shape_text(&s, text);
}

static inline void same_output(FILE *live, char *want) {
    char *got = NULL, *save;
    size_t cap = 0;
    for (char *line = strtok_r(want, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const ssize_t n = getline(&got, &cap, live);
        if (n <= 0) fail_msg("the output ends before: %s", line);
        got[n - 1] = '\0';
        assert_string_equal(got, line);
    }
    assert_true(getline(&got, &cap, live) < 0);
    free(got);
}

/* jansson's allocations fail in turn too, as malloc does: errno says so. */
static inline void *json_malloc(size_t n) {
    tp__error before;
    tp__error_take(&before);
    void *p = tp__realloc(NULL, n);
    tp__error_put(&before);
    if (!p) errno = ENOMEM;
    return p;
}

typedef tp_status (*attempt)(void *ctx);

/* Run fn with the 1st, 2nd, ... allocation failing, until it needs no more; their number. */
static inline int fail_each(attempt fn, void *ctx, bool json_too) {
    for (int n = 1;; n++) {
        const tp_memory before = tp_memory_now();
        const int64_t entries = tp__scope_entries();
        if (json_too) json_set_alloc_funcs(json_malloc, tp__mfree);
        tp__alloc_fail_at(n);
        const tp_scope s = tp_scope_begin();
        const tp_status r = s.depth ? fn(ctx) : TP_ENOMEM;
        const bool failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        json_set_alloc_funcs(malloc, free);
        if (s.depth) assert_int_equal(tp_scope_end(s), TP_OK);
        assert_int_equal(tp__scope_entries(), entries);
        assert_int_equal(tp_memory_now().tensors, before.tensors);
        assert_int_equal(tp_memory_now().bytes, before.bytes);
        if (!failed) return tpt_ok(r), n - 1;
        assert_int_equal(r, TP_ENOMEM);
        tpt_expect_error(TP_ENOMEM, "out of memory...");
    }
}

#endif
