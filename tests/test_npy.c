/* test_npy.c -- NumPy's files: what is written, what is read, and what is refused.
 *
 * NumPy reads what taper wrote and the other way round where it is installed; some bytes are
 * compared with files written out here by hand. */
#define _POSIX_C_SOURCE 200809L
#include "test_io.h"

#include <unistd.h>

static void npy_round_trip(void **state) {
    (void)state;
    tp_dict *d = mixed();
    for (int64_t i = 0; i < tp_dict_len(d); i++) {
        const char *path = in_tmpdir("x.npy");
        tpt_ok(tp_save_npy(tp_dict_at(d, i), path));
        same_tensor(tp_load_npy(path), tp_dict_at(d, i));
    }
    tp_dict_free(d);
}

static void bytes_of_a_small_npy(void **state) {
    (void)state;
    static const struct {
        tp_shape shape;
        const char *text;
    } cases[] = {{{0, {0}}, "()"}, {{1, {2}}, "(2,)"}, {{3, {2, 0, 1}}, "(2, 0, 1)"}};
    for (int i = 0; i < TP__COUNT(cases); i++) {
        const char *path = in_tmpdir("x.npy");
        char want[256] = "\x93NUMPY\1\0\x76", text[128];
        tpt_ok(tp_save_npy(tp_ones(cases[i].shape, TP_INT64), path));
        snprintf(text, sizeof text, "{'descr': '<i8', 'fortran_order': False, 'shape': %s, }",
                 cases[i].text);
        snprintf(want + 10, sizeof want - 10, "%-117s\n", text);
        size_t size;
        char *got = read_bytes(path, &size);
        const size_t numel = i == 2 ? 0 : i == 1 ? 2 : 1;
        assert_int_equal(size, 128 + 8 * numel);
        tpt_same_bits(got, want, 128);
        for (size_t k = 0; k < numel; k++) tpt_same_bits(got + 128 + 8 * k, "\1\0\0\0\0\0\0\0", 8);
        tp__mfree(got);
    }
}

/* A version 1.0 file in one block to free. */
static char *npy_of(const char *header, const void *data, size_t n, size_t *size) {
    const size_t m = strlen(header);
    char *bytes = malloc(10 + m + n);
    assert_non_null(bytes);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (char)(m & 0xff);
    bytes[9] = (char)(m >> 8);
    memcpy(bytes + 10, header, m);
    if (n) memcpy(bytes + 10 + m, data, n);
    *size = 10 + m + n;
    return bytes;
}

static tp_tensor *parse_npy(const char *header, const void *data, size_t n) {
    size_t size;
    char *bytes = npy_of(header, data, n, &size);
    tp_tensor *x = tp__parse_npy(bytes, size, "x.npy");
    free(bytes);
    return x;
}

#define U1(shape) "{'descr': '|u1', 'fortran_order': False, 'shape': " shape "}"
static void npy_headers(void **state) {
    (void)state;
    static const char *const good[] = {
        U1("(2, 3)"),
        U1("(2,3,)"),
        U1("( 2 , 3 )  "),
        U1("(2L, 3L)") "\n",
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"|u1\"}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }   \n",
    };
    for (int i = 0; i < TP__COUNT(good); i++) {
        const tp_tensor *x = parse_npy(good[i], "\0\1\2\3\4\5", 6);
        assert_non_null(x);
        assert_int_equal(tp_ndim(x), 2);
        tpt_same_bits(tp_data_ptr(x), "\0\1\2\3\4\5", 6);
    }
    const tp_tensor *f =
        parse_npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", "\0\3\1\4\2\5", 6);
    assert_true(f && tp_is_contiguous(f));
    tpt_same_bits(tp_data_ptr(f), "\0\1\2\3\4\5", 6);
}

static void hostile_npy(void **state) {
    (void)state;
    static const struct {
        const char *header, *message;
    } bad[] = {
        {"", "the header is no Python dict"},
        {"[]", "the header is no Python dict"},
        {"{", "the header is no Python dict"},
        {"{'descr'", "the header is no Python dict"},
        {"{'descr': '|u1' 'shape': (1,)}", "the header is no Python dict"},
        {"{}", "the header lacks descr, fortran_order or shape"},
        {"{'descr': '|u1', 'shape': (1,)}", "the header lacks descr, fortran_order or shape"},
        {U1("(1,)") "x", "the header goes on behind its dict"},
        {"{'descr': '|u1', 'descr': '|u1', 'shape': (1,)}", "the header has a key twice"},
        {"{'descr': '|u1', 'names': None}",
         "the header has a key besides descr, fortran_order and shape"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}",
         "the array is '>f4'; taper reads <f4, <f8, <i8, |u1 and |b1"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
         "the array is '|O'; taper reads <f4, <f8, <i8, |u1 and |b1"},
        {"{'descr': [('a', '<f4')], 'shape': (1,)}", "the header's descr is no plain dtype"},
        {"{'descr': '<f4<f4<f4<f4<f4<f4', 'shape': (1,)}", "the header's descr is no plain dtype"},
        {"{'descr': '|u1", "the header's descr is no plain dtype"},
        {"{'fortran_order': 0}", "the header's fortran_order is neither True nor False"},
        {U1("[1]"), "the header's shape is no tuple"},
        {U1("(1)"), "the header's shape is no tuple"},
        {U1("(1 1)"), "the header's shape is no tuple"},
        {U1("(,)"), "the header's shape is not made of sizes"},
        {U1("(-1,)"), "the header's shape is not made of sizes"},
        {U1("(1.0,)"), "the header's shape is no tuple"},
        {U1("(9223372036854775808,)"), "the header's shape is not made of sizes"},
        {U1("(99999999999999999999999,)"), "the header's shape is not made of sizes"},
        {U1("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "the array has more than 8 dims"},
        {U1("(7,)"), "the array runs past the end of the file"},
        {U1("(4294967296, 4294967296)"),
         "the array runs past the end of the file"}, /* wraps to 0 */
        {U1("(4611686018427387904, 4611686018427387904, 0)"),
         "the array runs past the end of the file"},
        {U1("(0, 1676440368878525452)"), "the array runs past the end of the file"},
        {U1("(5,)"), "1 bytes behind the array"},
        {U1("(0,)"), "6 bytes behind the array"},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (6,)}",
         "the array is bool but holds a byte other than 0 and 1"},
    };
    for (int i = 0; i < TP__COUNT(bad); i++) {
        char want[256];
        snprintf(want, sizeof want, "x.npy: %s", bad[i].message);
        assert_null(parse_npy(bad[i].header, "\0\1\2\3\4\5", 6));
        tpt_expect_error(TP_EFORMAT, want);
    }
}

static void hostile_npy_fronts(void **state) {
    (void)state;
    size_t size;
    char *good = npy_of(U1("(2, 3)"), "\0\1\2\3\4\5", 6, &size);
    for (size_t n = 0; n < size; n++) { /* every beginning */
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, good, n);
        assert_null(tp__parse_npy(cut, n, "x"));
        assert_int_equal(tp_error_clear(), TP_EFORMAT);
        free(cut);
    }
    for (int version = 0; version < 256; version++) {
        good[6] = (char)version;
        if (version == 1) continue;
        assert_null(
            tp__parse_npy(good, size, "x")); /* 2 and 3: a length of 4 bytes, so past the end */
        const bool known = version == 2 || version == 3;
        tpt_expect_error(TP_EFORMAT, known ? "x: the header runs past the end of the file"
                                           : "x: an unknown version of .npy");
    }
    good[6] = 1;
    good[7] = 1;
    assert_null(tp__parse_npy(good, size, "x"));
    tpt_expect_error(TP_EFORMAT, "x: an unknown version of .npy");
    good[0] = 'N';
    assert_null(tp__parse_npy(good, size, "x"));
    tpt_expect_error(TP_EFORMAT, "x: no .npy file");
    free(good);
}

/* What NumPy wrote: (2, 3, 4), counting up. */
static void load_numpys(void) {
    static const char *const names[] = {"f4", "f8", "i8", "u1", "b1"};
    for (int i = 0; i < 30; i++) {
        char name[64];
        const tp_dtype dtype = (tp_dtype)(i / 6);
        snprintf(name, sizeof name, "numpy-%s-%c-%d.npy", names[dtype], "CF"[i / 3 % 2], i % 3 + 1);
        tp_tensor *x = tp_load_npy(in_tmpdir(name));
        assert_non_null(x);
        assert_string_equal(shape_text(x), "[2, 3, 4]");
        assert_int_equal(tp_dtype_of(x), dtype);
        double v[24];
        tpt_ok(tp_copy_to(x, v, 24, TP_FLOAT64));
        for (int k = 0; k < 24; k++) assert_true(v[k] == (dtype == TP_BOOL ? k % 2 : k));
    }
}

static void numpy_reads_and_writes(void **state) {
    (void)state;
    static const char *const descrs[] = {"<f4", "<f8", "<i8", "|u1", "|b1"};
    char *want, name[16];
    size_t size;
    FILE *f = open_memstream(&want, &size);
    tp_dict *d = mixed();
    for (int64_t i = 0; i < tp_dict_len(d); i++) {
        tp_tensor *x = tp_dict_at(d, i);
        snprintf(name, sizeof name, "%d.npy", (int)i);
        tpt_ok(tp_save_npy(x, in_tmpdir(name)));
        fprintf(f, "%s %s %s ", name, descrs[x->dtype], shape_text(x));
        put_hex(f, x);
    }
    fclose(f);
    tp_dict_free(d);
    setenv("TAPER_TEST_DIR", tpt_tmpdir(), 1);
    FILE *live = tpt_python("numpy", "tests/read_npy.py");
    same_output(live, want);
    tpt_python_end(live);
    free(want);
    load_numpys();
}

/* ---- failures -------------------------------------------------------------------------------- */

static void files_that_fail(void **state) {
    (void)state;
    char want[4200];
    assert_null(tp_load_npy(in_tmpdir("absent")));
    snprintf(want, sizeof want, "cannot read %s: No such file or directory", in_tmpdir("absent"));
    tpt_expect_error(TP_EIO, want);
    assert_int_equal(tp_save_npy(strided(), in_tmpdir("no/such")), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot write ...");
    if (access("/dev/full", W_OK)) return;
    assert_int_equal(tp_save_npy(strided(), "/dev/full"), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot write /dev/full: No space left on device");
}

static void null_arguments(void **state) {
    (void)state;
    assert_int_equal(tp_save_npy(NULL, "x"), TP_ENULL);
    tpt_expect_error(TP_ENULL, "save_npy: an argument is NULL");
    assert_int_equal(tp_save_npy(tp_scalar(1, TP_FLOAT32), NULL), TP_ENULL);
    tpt_expect_error(TP_ENULL, "save_npy: an argument is NULL");
    assert_int_equal(tp_save_npy(TP_NONE, "x"), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "x: there is no tensor to save");
    assert_null(tp_load_npy(NULL));
    tpt_expect_error(TP_ENULL, "load_npy: an argument is NULL");
}

static tp_status save_array(void *x) {
    return tp_save_npy(x, in_tmpdir("oom.npy"));
}
static tp_status load_array(void *unused) {
    (void)unused;
    return tp_load_npy(in_tmpdir("oom.npy")) ? TP_OK : tp_error_code();
}

static void no_memory(void **state) {
    (void)state;
    tpt_ok(tp_save_npy(strided(), in_tmpdir("oom.npy"))); /* a thread's first scope, once */
    assert_true(fail_each(save_array, strided(), false) > 2);
    assert_true(fail_each(load_array, NULL, false) > 1);
    size_t size;
    char *bytes = npy_of("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", "\0\1\2\3\4\5",
                         6, &size);
    write_bytes(in_tmpdir("oom.npy"), bytes, size);
    free(bytes);
    assert_true(fail_each(load_array, NULL, false) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(npy_round_trip),  TPT(bytes_of_a_small_npy), TPT(npy_headers),
        TPT(hostile_npy),     TPT(hostile_npy_fronts),   TPT(numpy_reads_and_writes),
        TPT(files_that_fail), TPT(null_arguments),       TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
