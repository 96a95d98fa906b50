/* fuzz_spec.c -- any text as an architecture: what is accepted has the size that was announced, can
 * be written as text again, and that text makes the same. */
#include "nn/nn.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 }; /* parameters that are really made */

static char *spec_of(const tp_module *m) {
    const int64_t n = tp_module_spec(m, NULL, 0);
    assert(n > 0);
    char *text = malloc((size_t)n + 1);
    assert(text && tp_module_spec(m, text, (size_t)n + 1) == n);
    return text;
}

static void try_text(const char *text) {
    const int64_t numel = tp__spec_numel(text);
    if (numel < 0) assert(tp_error_clear() == TP_EVALUE);
    if (numel < 0 || numel > MOST) return;
    tp_module *a = tp_module_parse(text, NULL);
    assert(a && tp_module_numel(a) == numel);
    char *once = spec_of(a);
    tp_module *b = tp_module_parse(once, NULL);
    assert(b && tp_module_numel(b) == numel);
    char *twice = spec_of(b);
    assert(!strcmp(once, twice) && tp_module_repr(a, NULL, 0) == tp_module_repr(b, NULL, 0));
    free(once);
    free(twice);
    tp_module_free(a);
    tp_module_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    try_text(text);
    free(text);
    return 0;
}
