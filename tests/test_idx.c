/* test_idx.c -- IDX files, plain and gzipped: what they hold, and every lie they can tell. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/idx.h"

static tp_status parse(const void *bytes, size_t n, tp__idx *idx) {
    void *block = malloc(n ? n : 1); /* exactly n bytes: a sanitizer sees one read too many */
    memcpy(block, bytes, n);
    return tp__idx_parse(block, n, "labels", idx);
}

static void refuses(const void *bytes, size_t n, const char *want) {
    tp__idx idx;
    assert_int_equal(parse(bytes, n, &idx), TP_EFORMAT);
    assert_null(idx.block);
    tpt_expect_error(TP_EFORMAT, want);
}
#define REFUSES(text, want) refuses(text, sizeof text - 1, want)

static void plain_files(void **state) {
    (void)state;
    tp__idx idx;
    tpt_ok(parse("\0\0\x08\3\0\0\0\2\0\0\0\1\0\0\0\3abcdef", 22, &idx));
    assert_int_equal(idx.ndim, 3);
    assert_int_equal(idx.dim[0], 2);
    assert_int_equal(idx.dim[2], 3);
    assert_int_equal(idx.bytes, 6);
    assert_memory_equal(idx.data, "abcdef", 6);
    tp__idx_free(&idx);
    tpt_ok(parse("\0\0\x08\1\0\0\0\0", 8, &idx)); /* no elements are fine */
    assert_int_equal(idx.bytes, 0);
    tp__idx_free(&idx);
}

static void plain_lies(void **state) {
    (void)state;
    REFUSES("", "labels: an empty file");
    REFUSES("\0\0\x08", "labels: not an IDX file");
    REFUSES("hello, world", "labels: not an IDX file");
    REFUSES("\0\0\x08\0abcd", "labels: not an IDX file");
    REFUSES("\0\0\x0a\1\0\0\0\1a", "labels: not an IDX file");
    REFUSES("\0\1\x08\1\0\0\0\1a", "labels: not an IDX file");
    REFUSES("\0\0\x0d\1\0\0\0\1abcd", "labels: IDX of float32 numbers; only uint8 is read");
    REFUSES("\0\0\x08\5\0\0\0\1abcd", "labels: IDX of 5 dimensions; at most 4 are read");
    REFUSES("\0\0\x08\1\0\0", "labels: truncated IDX (in its header)");
    REFUSES("\0\0\x08\1\0\0\0\3ab", "labels: truncated IDX (3 bytes announced, 2 there)");
    REFUSES("\0\0\x08\1\xff\xff\xff\xff"
            "ab",
            "labels: truncated IDX (4294967295 bytes announced, 2 there)");
    REFUSES("\0\0\x08\1\0\0\0\2abc", "labels: IDX with bytes behind its data");
    REFUSES("\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            "labels: IDX of 4294967295 x 4294967295 x 4294967295 bytes, which is too large");
    /* 2^64 and more: the product must not wrap. */
    REFUSES("\0\0\x08\4\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0",
            "labels: IDX of 65536 x 65536 x 65536 x 65536 bytes, which is too large");
    REFUSES("\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
            "labels: IDX of 4294967295 x 4294967295 x 0 bytes, which is too large");
}

/* ---- gzip ------------------------------------------------------------------------------------ */

/* The labels 0 and 1. */
static const uint8_t two[] = {0x1f, 0x8b, 8,    0,    0,    0,    0,    0,    2,    0xff,
                              0x63, 0x60, 0xe0, 0x60, 0x64, 0x60, 0x60, 0x60, 0x62, 0x60,
                              0x04, 0,    0x8f, 0x9c, 0x9b, 0xe2, 10,   0,    0,    0};

static void gzipped_files(void **state) {
    (void)state;
    tp__idx idx;
    tpt_ok(parse(two, sizeof two, &idx));
    assert_int_equal(idx.ndim, 1);
    assert_int_equal(idx.bytes, 2);
    assert_memory_equal(idx.data, "\0\1", 2);
    tp__idx_free(&idx);
    size_t n;
    void *members = tp__os_read_file(tpt_source("tests/corpus/idx/images-two-members.gz"), 0, &n);
    assert_non_null(members);
    tpt_ok(parse(members, n, &idx));
    assert_int_equal(idx.bytes, 12);
    for (int i = 0; i < 12; i++) assert_int_equal(idx.data[i], i);
    tp__idx_free(&idx);
    tp__mfree(members);
}

/* The 11 bytes that are stored uncompressed at 15, with their checksum and length behind them. */
static uint8_t *sealed(uint8_t stored[34]) {
    const unsigned long crc = crc32(0, stored + 15, 11);
    for (int i = 0; i < 4; i++) stored[26 + i] = (uint8_t)(crc >> 8 * i);
    stored[30] = 11;
    return stored;
}

static void gzipped_lies(void **state) {
    (void)state;
    for (size_t n = 2; n < sizeof two; n++) refuses(two, n, "labels: truncated gzip data");
    uint8_t bad[sizeof two + 1] = {0};
    memcpy(bad, two, sizeof two);
    refuses(bad, sizeof bad, "labels: bytes behind the gzip data");
    bad[22] ^= 1;
    refuses(bad, sizeof two, "labels: damaged gzip data (incorrect data check)");
    uint8_t stored[34] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 11, 0,
                          0xf4, 0xff, 0, 0, 8, 1, 0, 0, 0, 2,    0, 1,  2};
    refuses(sealed(stored), sizeof stored, "labels: IDX with bytes behind its data");
    stored[22] = 4;
    refuses(sealed(stored), sizeof stored, "labels: truncated IDX (4 bytes announced, 3 there)");
    stored[20] = 0x98; /* found out before the memory is asked for */
    refuses(stored, sizeof stored,
            "labels: truncated IDX (9961476 bytes announced, 11 gzipped ones cannot hold them)");
    stored[15] = 7;
    refuses(stored, sizeof stored, "labels: not an IDX file");
}

static tp_status parse_two(void *unused) {
    (void)unused;
    tp__idx idx;
    const tp_status r = parse(two, sizeof two, &idx);
    tp__idx_free(&idx);
    return r;
}

static void out_of_memory(void **state) {
    (void)state;
    assert_true(tpt_fail_each_allocation(parse_two, NULL) > 1);
}

static void from_a_file(void **state) {
    (void)state;
    tp__idx idx;
    assert_int_equal(tp__idx_read("/nowhere", 1, &idx), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot read /nowhere: No such file or directory");
    char path[1024], want[1100];
    snprintf(path, sizeof path, "%s", tpt_source("tests/corpus/idx/images"));
    tpt_ok(tp__idx_read(path, 3, &idx));
    assert_int_equal(idx.bytes, 12);
    tp__idx_free(&idx);
    assert_int_equal(tp__idx_read(path, 1, &idx), TP_EFORMAT);
    snprintf(want, sizeof want, "%s: IDX of 3 dimensions instead of 1", path);
    tpt_expect_error(TP_EFORMAT, want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(plain_files),  TPT(plain_lies),    TPT(gzipped_files),
        TPT(gzipped_lies), TPT(out_of_memory), TPT(from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
