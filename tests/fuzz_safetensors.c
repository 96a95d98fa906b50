/* fuzz_safetensors.c -- any bytes as a safetensors file: refused in one line, or read, written and
 * read again with the same tensors and strings. */
#define _POSIX_C_SOURCE 200809L
#include "io/io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, tp_error_message());
    abort();
}

static char path[64];
static void remove_file(void) {
    unlink(path);
}
static const char *temporary(void) {
    if (path[0]) return path;
    snprintf(path, sizeof path, "/tmp/taper-fuzz-%ld.safetensors", (long)getpid());
    atexit(remove_file);
    return path;
}

static void same_strings(const tp_dict *a, const tp_dict *b) {
    check(tp_dict_str_len(a) == tp_dict_str_len(b), "a string was lost");
    for (int64_t i = 0; i < tp_dict_str_len(a); i++) {
        const char *name = tp_dict_str_name(a, i), *text = tp_dict_get_str(b, name);
        check(text && !strcmp(text, tp_dict_get_str(a, name)), "a string has changed");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tp_dict *d = tp_parse_safetensors(data, size, "file");
    if (!d) {
        check(tp_error_code() == TP_EFORMAT, "refused without a reason");
        check(!strchr(tp_error_message(), '\n') && tp_error_message()[0], "a strange message");
        tp_error_clear();
        return 0;
    }
    char before[65], after[65];
    check(!tp_dict_sha256(d, before), "no digest");
    check(!tp_save_safetensors(d, temporary()), "not written");
    tp_dict *again = tp_load_safetensors(temporary());
    check(again && !tp_dict_sha256(again, after), "not read again");
    check(!strcmp(before, after), "a tensor has changed");
    same_strings(d, again);
    tp_dict_free(d);
    tp_dict_free(again);
    return 0;
}
