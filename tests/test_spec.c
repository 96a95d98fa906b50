/* test_spec.c -- architectures as text: what is written, read, and refused, and where. */
#include "modules.h"

#include <stdlib.h>

/* A text of one layer is that layer, so that its parameters have torch's names without a number. */
static void one_layer_or_several(void **state) {
    (void)state;
    static const struct {
        const char *spec, *class, *first; /* class of the whole, name of its first parameter */
    } want[] = {{"linear(3,2)", "Linear", "weight"},
                {"sequential(linear(3,2))", "Sequential", "0.weight"},
                {"linear(3,2) relu", "Sequential", "0.weight"},
                {"relu sequential(linear(3,2))", "Sequential", "1.0.weight"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        tp_module *m = must_parse(want[i].spec);
        assert_string_equal(m->c->name, want[i].class);
        assert_string_equal(tp_module_param_name(m, 0), want[i].first);
        expect_spec(m, want[i].spec);
        tp_module_free(m);
    }
    tp_module *m = must_parse("sequential(relu tanh)"); /* one layer, but it needs no name */
    expect_spec(m, "relu tanh");
    tp_module_free(m);
}

static void text_is_cut_as_snprintf_does(void **state) {
    (void)state;
    tp_module *m = must_parse("linear(784,30) relu linear(30,1)");
    const char *want = "linear(784,30) relu linear(30,1)";
    const size_t n = strlen(want);
    for (size_t size = 0; size <= n + 1; size++) {
        char got[64];
        memset(got, '#', sizeof got);
        assert_int_equal(tp_module_spec(m, got, size), (int64_t)n);
        const size_t kept = size ? size - 1 : 0;
        assert_memory_equal(got, want, kept);
        assert_int_equal(got[kept], size ? '\0' : '#');
        assert_int_equal(got[size], '#');
    }
    assert_int_equal(tp_module_spec(m, NULL, 0), (int64_t)n);
    assert_int_equal(tp_module_repr(m, NULL, 0), 143);
    assert_int_equal(tp_module_repr(NULL, NULL, 0), -1);
    assert_int_equal(tp_module_spec(NULL, NULL, 0), -1);
    tpt_expect_error(TP_ENULL, "module_repr: an argument is NULL");
    tp_module_free(m);
}

static void spaces_do_not_matter(void **state) {
    (void)state;
    tp_module *m = must_parse("  linear( 4 , 3 , nobias )  sequential( )   relu ");
    expect_spec(m, "linear(4,3,nobias) sequential() relu");
    tp_module_free(m);
}

static void bad_texts_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"", "character 1: there is no layer in the text"},
        {"   ", "character 4: there is no layer in the text"},
        {"linaer(3,4)",
         "character 1: no layer begins here; there are linear, relu, sigmoid, tanh, flatten and "
         "sequential"},
        {"relu Relu", "character 6: no layer begins here; ..."},
        {"relu)", "character 5: no layer begins here; ..."},
        {"relu,relu", "character 5: a space is expected between two layers"},
        {"relu()", "character 5: a space is expected between two layers"},
        {"linear(3,4)relu", "character 12: a space is expected between two layers"},
        {"linear", "character 7: ( is expected here, as in linear(784,30)"},
        {"linear(", "character 8: a number from 1 to 2147483647 is expected here"},
        {"linear(0,4)", "character 8: a number from 1 to 2147483647 is expected here"},
        {"linear(-3,4)", "character 8: a number ..."},
        {"linear(03,4)", "character 8: a number ..."},
        {"linear(3.5,4)", "character 9: , is expected here, as in linear(784,30)"},
        {"linear(3,2147483648)", "character 10: a number ..."},
        {"linear(3,99999999999999999999999999)", "character 10: a number ..."},
        {"linear(3)", "character 9: , is expected here, as in linear(784,30)"},
        {"linear(3,4", "character 11: ) is expected here"},
        {"linear(3,4,bias)", "character 12: nobias or float64 is expected here"},
        {"linear(3,4,nobias,nobias)", "character 19: nobias or float64 is expected here"},
        {"linear(3,4,)", "character 12: nobias or float64 is expected here"},
        {"sequential(relu", "character 16: ) is expected here"},
        {"sequential relu", "character 12: ( is expected here"},
        {"linear(65536,32768)",
         "character 20: up to here there are more than 2147483648 parameters"},
        {"linear(46340,46340) relu linear(200,400)",
         "character 41: up to here there are more than ..."},
        {"relu \xff\xfe", "character 6: no layer begins here; ..."},
        {"relu\nrelu", "character 5: a space is expected between two layers"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char want[256];
        snprintf(want, sizeof want, "module_parse: %s", bad[i].error);
        assert_null(tp_module_parse(bad[i].text, NULL));
        tpt_expect_error(TP_EVALUE, want);
        assert_int_equal(tp__spec_numel(bad[i].text), -1);
        tp_error_clear();
    }
    assert_null(tp_module_parse(NULL, NULL));
    tpt_expect_error(TP_ENULL, "module_parse: an argument is NULL");
}

static char *repeated(const char *part, int times, const char *end) {
    const size_t n = strlen(part);
    char *text = malloc(n * (size_t)times + strlen(end) + 1);
    assert_non_null(text);
    for (int i = 0; i < times; i++) memcpy(text + n * (size_t)i, part, n);
    strcpy(text + n * (size_t)times, end);
    return text;
}

static void texts_are_bounded(void **state) {
    (void)state;
    char *deep = repeated("sequential(", 33, "");
    assert_null(tp_module_parse(deep, NULL));
    tpt_expect_error(TP_EVALUE,
                     "module_parse: character 363: more than 32 sequentials inside one another");
    char *ends = repeated(")", 32, ""), *nested = repeated("sequential(", 32, ends);
    tp_module *m = must_parse(nested);
    tp_module_free(m);
    char *longest = repeated(" ", 65532, "relu"), *longer = repeated(" ", 65533, "relu");
    m = must_parse(longest);
    tp_module_free(m);
    assert_null(tp_module_parse(longer, NULL));
    tpt_expect_error(TP_EVALUE, "module_parse: the text is longer than 65536 characters");
    free(deep);
    free(ends);
    free(nested);
    free(longest);
    free(longer);
}

static void sizes_without_making(void **state) {
    (void)state;
    const tp_memory before = tp_memory_now();
    assert_int_equal(tp__spec_numel("linear(784,30) relu linear(30,1)"), 23581);
    assert_int_equal(tp__spec_numel("linear(32767,65535) linear(3,5,nobias)"),
                     INT64_C(32768) * 65535 + 15);
    assert_int_equal(tp__spec_numel("relu"), 0);
    assert_int_equal(tp_memory_now().bytes, before.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(one_layer_or_several), TPT(text_is_cut_as_snprintf_does),
        TPT(spaces_do_not_matter), TPT(bad_texts_are_refused),
        TPT(texts_are_bounded),    TPT(sizes_without_making),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
