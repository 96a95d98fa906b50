/* test_io.c -- safetensors files: what is written, what is read, and what is refused.
 *
 * A small reader in Python looks at what taper wrote, and so does Python's own package where it is
 * installed; some bytes are compared with files written out here by hand. */
#define _POSIX_C_SOURCE 200809L
#include "test_io.h"

#include <unistd.h>

/* ---- safetensors: what is written ------------------------------------------------------------ */

static const char small_header[] = "{\"__metadata__\":{\"k\":\"v\"},"
                                   "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]},"
                                   "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";

/* The length, the header and n bytes of data, in one block to free; the size goes to *size. */
static unsigned char *file_of(const char *header, const void *data, size_t n, size_t *size) {
    const size_t m = strlen(header);
    unsigned char *bytes = malloc(8 + m + n);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)m >> 8 * i);
    memcpy(bytes + 8, header, m);
    if (n) memcpy(bytes + 8 + m, data, n);
    *size = 8 + m + n;
    return bytes;
}

static void bytes_of_a_small_file(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    const uint8_t seven = 7;
    tpt_ok(tp_dict_set(d, "b", tp_from(&seven, TP_SHAPE(1), TP_UINT8)));
    tpt_ok(tp_dict_set(d, "a", tp_scalar(1, TP_FLOAT32)));
    tpt_ok(tp_dict_set_str(d, "k", "v"));
    const char *path = in_tmpdir("small.safetensors");
    tpt_ok(tp_save_safetensors(d, path));
    char padded[256];
    snprintf(padded, sizeof padded, "%-*s", (int)(strlen(small_header) + 7) / 8 * 8, small_header);
    size_t size, want_size;
    char *got = read_bytes(path, &size);
    unsigned char *want = file_of(padded, "\0\0\x80\x3f\7", 5, &want_size);
    assert_int_equal(size, want_size);
    tpt_same_bits(got, want, size);
    tp__mfree(got);
    free(want);
    tp_dict_free(d);
}

static void same_dict(const tp_dict *got, const tp_dict *want) {
    assert_non_null(got);
    assert_int_equal(tp_dict_len(got), tp_dict_len(want));
    assert_int_equal(tp_dict_str_len(got), tp_dict_str_len(want));
    for (int64_t i = 0; i < tp_dict_len(want); i++) {
        assert_string_equal(tp_dict_name(got, i), tp_dict_name(want, i));
        same_tensor(tp_dict_at(got, i), tp_dict_at(want, i));
    }
    for (int64_t i = 0; i < tp_dict_str_len(want); i++) {
        const char *name = tp_dict_str_name(want, i);
        assert_string_equal(tp_dict_str_name(got, i), name);
        assert_string_equal(tp_dict_get_str(got, name), tp_dict_get_str(want, name));
    }
}

static void safetensors_round_trip(void **state) {
    (void)state;
    tp_dict *d = mixed(), *none = tp_dict_new();
    const char *path = in_tmpdir("model.safetensors");
    tp_error_set(TP_EUSER, "pending"); /* and stays */
    for (int i = 0; i < 2; i++) {
        const tp_dict *want = i ? none : d;
        tpt_ok(tp_save_safetensors(want, path));
        const int64_t entries = tp__scope_entries();
        tp_dict *got = tp_load_safetensors(path);
        assert_int_equal(tp__scope_entries(), entries); /* the dictionary alone holds its tensors */
        same_dict(got, want);
        tp_dict_free(got);
    }
    tpt_expect_error(TP_EUSER, "pending");
    tp_dict_free(d);
    tp_dict_free(none);
}

/* ---- Python reads it ------------------------------------------------------------------------- */

static void put_json(FILE *f, const char *label, const char *text) {
    json_t *s = json_string(text);
    char *quoted = json_dumps(s, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    assert_non_null(quoted);
    for (char *p = strstr(quoted, "\\u"); p;
         p = strstr(p + 2, "\\u")) /* Python writes them small */
        for (int i = 2; i < 6; i++) p[i] = (char)(p[i] >= 'A' && p[i] <= 'F' ? p[i] + 32 : p[i]);
    fprintf(f, "%s%s", label, quoted);
    free(quoted);
    json_decref(s);
}

/* What read_safetensors.py prints of a file that holds d. */
static void describe(FILE *f, const char *name, const tp_dict *d) {
    static const char *const dtypes[] = {"F32", "F64", "I64", "U8", "BOOL"};
    fprintf(f, "file %s\n", name);
    for (int64_t i = 0; i < tp_dict_str_len(d); i++) {
        put_json(f, "string ", tp_dict_str_name(d, i));
        put_json(f, " ", tp_dict_get_str(d, tp_dict_str_name(d, i)));
        fputc('\n', f);
    }
    for (int64_t i = 0; i < tp_dict_len(d); i++) {
        tp_tensor *x = tp_dict_at(d, i);
        put_json(f, "tensor ", tp_dict_name(d, i));
        fprintf(f, " %s %s ", dtypes[x->dtype], shape_text(x));
        put_hex(f, x);
    }
}

static void python_reads_safetensors(void **state) {
    (void)state;
    char *want;
    size_t size;
    FILE *f = open_memstream(&want, &size);
    tp_dict *d = mixed(), *none = tp_dict_new();
    tpt_ok(tp_save_safetensors(d, in_tmpdir("a.safetensors")));
    tpt_ok(tp_save_safetensors(none, in_tmpdir("b.safetensors")));
    describe(f, "a.safetensors", d);
    describe(f, "b.safetensors", none);
    fclose(f);
    setenv("TAPER_TEST_DIR", tpt_tmpdir(), 1);
    tp_dict_free(d);
    tp_dict_free(none);
    FILE *live = tpt_python("json", "tests/read_safetensors.py");
    same_output(live, want);
    tpt_python_end(live);
    free(want);
}

/* ---- safetensors: what is refused ------------------------------------------------------------ */

#define T(text) "{\"a\":{" text "}}"
#define F32(rest) T("\"dtype\":\"F32\"," rest)

static const struct {
    const char *header;
    size_t data; /* bytes behind it, all 0 */
    const char *message;
} bad_headers[] = {
    {"", 0, "the header is no JSON object"},
    {"[]", 0, "the header is no JSON object"},
    {" {}", 0, "the header is no JSON object"},
    {"null", 0, "the header is no JSON object"},
    {"{", 0, "the header is damaged at byte ..."},
    {"{} x", 0, "the header is damaged at byte ..."},
    {"{\"a\":1}", 0, "tensor 'a' is described by no JSON object"},
    {"{\"a\":null}", 0, "tensor 'a' is described by no JSON object"},
    {T(""), 0, "tensor 'a' has no dtype"},
    {T("\"dtype\":32,\"shape\":[],\"data_offsets\":[0,4]"), 4, "tensor 'a' has no dtype"},
    {T("\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]"), 4,
     "tensor 'a' is F16; taper reads F32, F64, I64, U8 and BOOL"},
    {T("\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]"), 4,
     "tensor 'a' is f32; taper reads F32, F64, I64, U8 and BOOL"},
    {F32("\"data_offsets\":[0,4]"), 4, "tensor 'a' has no valid shape"},
    {F32("\"shape\":1,\"data_offsets\":[0,4]"), 4, "tensor 'a' has no valid shape"},
    {F32("\"shape\":[1.0],\"data_offsets\":[0,4]"), 4, "tensor 'a' has no valid shape"},
    {F32("\"shape\":[-1,-1],\"data_offsets\":[0,4]"), 4, "tensor 'a' has no valid shape"},
    {F32("\"shape\":[true],\"data_offsets\":[0,4]"), 4, "tensor 'a' has no valid shape"},
    {F32("\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4,
     "tensor 'a' has more than 8 dims"},
    {F32("\"shape\":[1]"), 4, "tensor 'a' has no valid data_offsets"},
    {F32("\"shape\":[1],\"data_offsets\":[0]"), 4, "tensor 'a' has no valid data_offsets"},
    {F32("\"shape\":[1],\"data_offsets\":[0,4,4]"), 4, "tensor 'a' has no valid data_offsets"},
    {F32("\"shape\":[1],\"data_offsets\":[-4,0]"), 4, "tensor 'a' has no valid data_offsets"},
    {F32("\"shape\":[1],\"data_offsets\":[0,\"4\"]"), 4, "tensor 'a' has no valid data_offsets"},
    {F32("\"shape\":[1],\"data_offsets\":[4,0]"), 4, "tensor 'a' ends before it begins"},
    {F32("\"shape\":[1],\"data_offsets\":[0,4]"), 3, "tensor 'a' runs past the end of the file"},
    {F32("\"shape\":[0],\"data_offsets\":[9,9]"), 0, "tensor 'a' runs past the end of the file"},
    {F32("\"shape\":[1],\"data_offsets\":[9223372036854775803,9223372036854775807]"), 4,
     "tensor 'a' runs past the end of the file"},
    {F32("\"shape\":[1],\"data_offsets\":[0,9223372036854775808]"), 4,
     "the header is damaged at byte ..."},
    {F32("\"shape\":[2],\"data_offsets\":[0,4]"), 4,
     "tensor 'a' has a shape that does not fit its data_offsets"},
    {F32("\"shape\":[0,1676440368878525452],\"data_offsets\":[0,0]"), 0,
     "tensor 'a' has a shape that does not fit its data_offsets"},
    {F32("\"shape\":[],\"data_offsets\":[0,0]"), 0,
     "tensor 'a' has a shape that does not fit its data_offsets"},
    {F32("\"shape\":[4611686018427387905],\"data_offsets\":[0,4]"), 4, /* wraps to 4 bytes */
     "tensor 'a' has a shape that does not fit its data_offsets"},
    {F32("\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0, /* wraps to 0 bytes */
     "tensor 'a' has a shape that does not fit its data_offsets"},
    {F32("\"shape\":[4611686018427387904,4611686018427387904,0],\"data_offsets\":[0,0]"), 0,
     "tensor 'a' has a shape that does not fit its data_offsets"},
    {F32("\"shape\":[1],\"data_offsets\":[0,4]"), 5, "1 bytes behind the last tensor"},
    {F32("\"shape\":[1],\"data_offsets\":[1,5]"), 5,
     "tensor 'a' lies behind bytes that belong to none"},
    {"{}", 1, "1 bytes behind the last tensor"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     3, "tensor 'b' overlaps another one"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
     2, "tensor 'b' overlaps another one"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
     2, "tensor 'b' overlaps another one"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
     3, "tensor 'b' lies behind bytes that belong to none"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
     1, "the header is damaged at byte ..."},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is no JSON object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ 'a' is no string"},
    {"{\"__metadata__\":{\"a\":{}}}", 0, "__metadata__ 'a' is no string"},
    {"{\"__metadata__\":{\"a\":\"1\\u0000\"}}", 0, "the header is damaged at byte ..."},
    {"{\"a\\u0000\":{}}", 0, "the header is damaged at byte ..."},
    {"{\"\xff\":{}}", 0, "the header is damaged at byte ..."},
    {"{\"\\ud800\":{}}", 0, "the header is damaged at byte ..."},
};

static void hostile_safetensors(void **state) {
    (void)state;
    static const char zeros[16];
    for (int i = 0; i < TP__COUNT(bad_headers); i++) {
        size_t size;
        unsigned char *bytes = file_of(bad_headers[i].header, zeros, bad_headers[i].data, &size);
        char want[512];
        snprintf(want, sizeof want, "bad.safetensors: %s", bad_headers[i].message);
        assert_null(tp_parse_safetensors(bytes, size, "bad.safetensors"));
        tpt_expect_error(TP_EFORMAT, want);
        free(bytes);
    }
}

static void hostile_lengths(void **state) {
    (void)state;
    static const struct {
        unsigned char bytes[12];
        size_t size;
        const char *message;
    } cases[] = {
        {{0}, 0, "x: too short for a safetensors file"},
        {{2}, 7, "x: too short for a safetensors file"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "x: the header runs past the end of the file"},
        {{0x00, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{', '}'},
         10,
         "x: the header runs past the end of the file"},
        {{0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{', '}'},
         10,
         "x: no safetensors file (a header of 100000001 bytes)"},
        {{'\x89', 'P', 'N', 'G', '\r', '\n', '\x1a', '\n'},
         12,
         "x: no safetensors file (a header of 727905341920923785 bytes)"},
        {{2, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'},
         10,
         "x: no safetensors file (a header of 9223372036854775810 bytes)"},
    };
    for (int i = 0; i < TP__COUNT(cases); i++) {
        assert_null(tp_parse_safetensors(cases[i].bytes, cases[i].size, "x"));
        tpt_expect_error(TP_EFORMAT, cases[i].message);
    }
}

static void bools_are_0_or_1(void **state) {
    (void)state;
    static const char header[] = T("\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]");
    size_t size;
    unsigned char *bytes = file_of(header, "\1\0\1", 3, &size);
    tp_dict *d = tp_parse_safetensors(bytes, size, "x");
    assert_non_null(d);
    tp_dict_free(d);
    bytes[size - 2] = 2;
    assert_null(tp_parse_safetensors(bytes, size, "x"));
    tpt_expect_error(TP_EFORMAT, "x: tensor 'a' is BOOL but holds a byte other than 0 and 1");
    free(bytes);
}

/* Unknown keys, white space, holes filled by empty tensors, another order of data than of names. */
static void unusual_but_right(void **state) {
    (void)state;
    static const char header[] =
        "{ \"z\" : "
        "{\"new\":[{}],\"data_offsets\":[1,2],\"shape\":[1,1,1,1,1,1,1,1],\"dtype\":\"U8\"},\n"
        " \"e\":{\"dtype\":\"I64\",\"shape\":[0,99999999999999],\"data_offsets\":[1,1]},\n"
        " \"f\":{\"dtype\":\"F64\",\"shape\":[3,0],\"data_offsets\":[2,2]},\n"
        " \"y\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]} }   ";
    size_t size;
    unsigned char *bytes = file_of(header, "\5\6", 2, &size);
    tp_dict *d = tp_parse_safetensors(bytes, size, "x");
    assert_non_null(d);
    assert_int_equal(tp_dict_len(d), 4);
    assert_string_equal(tp_dict_name(d, 0), "z");
    assert_int_equal(tp_item_int(tp_dict_get(d, "z")), 6);
    assert_int_equal(tp_item_int(tp_dict_get(d, "y")), 5);
    assert_int_equal(tp_size(tp_dict_get(d, "e"), 1), 99999999999999);
    tp_dict_free(d);
    free(bytes);
}

/* No beginning of a good file is a good file. */
static void truncated(void **state) {
    (void)state;
    tp_dict *d = mixed();
    const char *path = in_tmpdir("model.safetensors");
    tpt_ok(tp_save_safetensors(d, path));
    size_t size;
    char *bytes = read_bytes(path, &size);
    for (size_t n = 0; n < size; n++) {
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, bytes, n);
        assert_null(tp_parse_safetensors(cut, n, "cut"));
        assert_int_equal(tp_error_clear(), TP_EFORMAT);
        free(cut);
    }
    tp__mfree(bytes);
    tp_dict_free(d);
}

static void long_names_are_cut(void **state) {
    (void)state;
    char header[1024], want[512], name[301] = "";
    for (int i = 0; i < 100; i++) strcat(name, "\xe2\x82\xac");
    snprintf(header, sizeof header, "{\"%s\":1}", name);
    size_t size;
    unsigned char *bytes = file_of(header, NULL, 0, &size);
    assert_null(tp_parse_safetensors(bytes, size, "odd\x01name"));
    snprintf(want, sizeof want, "odd\\x01name: tensor '%.93s' is described by no JSON object",
             name);
    tpt_expect_error(TP_EFORMAT, want);
    free(bytes);
}

static void files_that_fail(void **state) {
    (void)state;
    char want[4200];
    assert_null(tp_load_safetensors(in_tmpdir("absent")));
    snprintf(want, sizeof want, "cannot read %s: No such file or directory", in_tmpdir("absent"));
    tpt_expect_error(TP_EIO, want);
    tp_dict *d = mixed();
    assert_int_equal(tp_save_safetensors(d, in_tmpdir("no/such")), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot write ...");
    if (!access("/dev/full", W_OK)) {
        assert_int_equal(tp_save_safetensors(d, "/dev/full"), TP_EIO);
        tpt_expect_error(TP_EIO, "cannot write /dev/full: No space left on device");
    }
    tp_dict_free(d);
}

static void names_that_no_file_holds(void **state) {
    (void)state;
    static const char *const bad[] = {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "a\xe2\x82"};
    const char *path = in_tmpdir("x");
    char want[4200];
    for (int i = 0; i < 3 * TP__COUNT(bad); i++) {
        tp_dict *d = tp_dict_new();
        const char *text = bad[i / 3];
        if (i % 3 == 0) tpt_ok(tp_dict_set(d, text, tp_scalar(1, TP_FLOAT32)));
        if (i % 3 == 1) tpt_ok(tp_dict_set_str(d, text, "good"));
        if (i % 3 == 2) tpt_ok(tp_dict_set_str(d, "good", text));
        snprintf(want, sizeof want, "%s: the %s '...", path, i % 3 == 2 ? "string" : "name");
        assert_int_equal(tp_save_safetensors(d, path), TP_EVALUE);
        assert_non_null(strstr(tp_error_message(), "' is not UTF-8"));
        tpt_expect_error(TP_EVALUE, want);
        tp_dict_free(d);
    }
    tp_dict *d = tp_dict_new();
    tpt_ok(tp_dict_set(d, "__metadata__", tp_scalar(1, TP_FLOAT32)));
    assert_int_equal(tp_save_safetensors(d, path), TP_EVALUE);
    snprintf(want, sizeof want, "%s: no tensor can be called __metadata__ in a safetensors file",
             path);
    tpt_expect_error(TP_EVALUE, want);
    assert_int_not_equal(access(path, F_OK), 0);
    tp_dict_free(d);
}

static void null_arguments(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    assert_int_equal(tp_save_safetensors(NULL, "x"), TP_ENULL);
    tpt_expect_error(TP_ENULL, "save_safetensors: an argument is NULL");
    assert_int_equal(tp_save_safetensors(d, NULL), TP_ENULL);
    tpt_expect_error(TP_ENULL, "save_safetensors: an argument is NULL");
    assert_null(tp_load_safetensors(NULL));
    tpt_expect_error(TP_ENULL, "load_safetensors: an argument is NULL");
    assert_null(tp_parse_safetensors(NULL, 0, "x"));
    tpt_expect_error(TP_ENULL, "parse_safetensors: an argument is NULL");
    tp_dict_free(d);
}

/* ---- out of memory --------------------------------------------------------------------------- */

static tp_status save_dict(void *d) {
    return tp_save_safetensors(d, in_tmpdir("oom.safetensors"));
}
static tp_status load_dict(void *want) {
    tp_dict *d = tp_load_safetensors(in_tmpdir("oom.safetensors"));
    if (!d) return tp_error_code();
    const bool same =
        tp_dict_len(d) == tp_dict_len(want) && tp_dict_str_len(d) == tp_dict_str_len(want);
    tp_dict_free(d);
    return same ? TP_OK : TP_EVALUE;
}
/* jansson 2.14 survives a failure while it reads only if no token is longer than the 15 bytes that
 * it has room for at first: so it is tried with these. */
static tp_status parse_small(void *unused) {
    (void)unused;
    size_t size;
    unsigned char *bytes = file_of(small_header, "\0\0\x80\x3f\7", 5, &size);
    tp_dict *d = tp_parse_safetensors(bytes, size, "x");
    free(bytes);
    if (!d) return tp_error_code();
    const bool right = tp_dict_len(d) == 2 && !strcmp(tp_dict_get_str(d, "k"), "v");
    tp_dict_free(d);
    return right ? TP_OK : TP_EVALUE;
}
static void no_memory(void **state) {
    (void)state;
    tp_dict *d = mixed();
    tpt_ok(tp_save_safetensors(d, in_tmpdir("oom.safetensors"))); /* a thread's first scope, once */
    assert_true(fail_each(save_dict, d, true) > 50);
    assert_true(fail_each(load_dict, d, false) > 20);
    assert_true(fail_each(parse_small, NULL, true) > 50);
    tp_dict_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(bytes_of_a_small_file),
        TPT(safetensors_round_trip),
        TPT(python_reads_safetensors),
        TPT(hostile_safetensors),
        TPT(hostile_lengths),
        TPT(bools_are_0_or_1),
        TPT(unusual_but_right),
        TPT(truncated),
        TPT(long_names_are_cut),
        TPT(files_that_fail),
        TPT(names_that_no_file_holds),
        TPT(null_arguments),
        TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
