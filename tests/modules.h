/* tests/modules.h -- modules from text and back, for test_nn.c and test_spec.c. */
#ifndef TAPER_TESTS_MODULES_H
#define TAPER_TESTS_MODULES_H
#include "support.h"

#include <string.h>

#include "nn/nn.h"

static inline tp_module *must_parse(const char *spec) {
    tp_module *m = tp_module_parse(spec, NULL);
    if (!m) fail_msg("%s: %s", spec, tp_error_message());
    return m;
}

static inline void expect_spec(const tp_module *m, const char *want) {
    char got[1024];
    assert_int_equal(tp_module_spec(m, got, sizeof got), (int64_t)strlen(want));
    assert_string_equal(got, want);
}

#endif
