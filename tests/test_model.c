/* test_model.c -- model files: what is in them, asking a model, and every way in which a file
 * lies. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "taper/learner.h"
#include "taper/ops.h"

enum { PIXELS = 6 }; /* of the small models here: 1 x 2 x 3 */

static const char *const fruit[] = {"apple", "\"pear\"", "Quitte ä"};

static tp_model_opts opts_for(tp_module *net) {
    return (tp_model_opts){.size = sizeof(tp_model_opts),
                           .module = net,
                           .classes = fruit,
                           .nclasses = 3,
                           .channels = 1,
                           .height = 2,
                           .width = 3};
}

static tp_module *small_net(void) {
    tp_manual_seed(3);
    return tp_module_parse("linear(6,4) relu linear(4,3)", NULL);
}

static tp_tensor *some_images(int64_t n) {
    tp_rng *rng = tp_rng_new(9);
    tp_tensor *x = tp_rand(TP_SHAPE(n, PIXELS), TP_FLOAT32, rng);
    tp_rng_free(rng);
    return x;
}

static const char *file(void) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/m.safetensors", tpt_tmpdir());
    return path;
}

/* ---- what is in the file --------------------------------------------------------------------- */

static void round_trip(void **state) {
    (void)state;
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    assert_non_null(m);
    tpt_ok(tp_model_set_info(m, "seed", "42"));
    tpt_ok(tp_model_set_info(m, "data_sha256", "ab"));
    tpt_ok(tp_model_set_info(m, "seed", "43"));
    tpt_ok(tp_model_save(m, file()));
    tp_manual_seed(1);
    const uint32_t next = tp_rng_u32(NULL);
    tp_manual_seed(1);
    tp_model *back = tp_model_load(file());
    assert_non_null(back);
    assert_int_equal(tp_rng_u32(NULL), next); /* nobody's generator was used */
    assert_int_equal(tp_model_classes(back), 3);
    for (int c = 0; c < 3; c++) assert_string_equal(tp_model_class(back, c), fruit[c]);
    int C, H, W, positive;
    tp_model_size(back, &C, &H, &W);
    assert_int_equal(C * 100 + H * 10 + W, 123);
    assert_false(tp_model_binary(back, &positive));
    assert_int_equal(tp_model_info_len(back), 2);
    assert_string_equal(tp_model_info_key(back, 0), "seed");
    assert_string_equal(tp_model_info(back, "seed"), "43");
    assert_string_equal(tp_model_info(back, "data_sha256"), "ab");
    assert_null(tp_model_info(back, "epochs"));
    assert_false(tp_module_training(tp_model_module(back)));
    char hex[2][65];
    tpt_ok(tp_model_weights_sha256(m, hex[0]));
    tpt_ok(tp_model_weights_sha256(back, hex[1]));
    assert_string_equal(hex[1], hex[0]);
    tp_tensor *x = some_images(5);
    assert_true(tp_equal(tp_model_predict(back, x), tp_model_predict(m, x)));
    tp_model_free(back);
    tp_model_free(m);
    tp_module_free(net);
}

static void strings_of_the_file(void **state) {
    (void)state;
    static const char *const want[][2] = {
        {"taper.format", "1"},
        {"taper.architecture", "linear(6,4) relu linear(4,3)"},
        {"taper.classes", "[\"apple\",\"\\\"pear\\\"\",\"Quitte ä\"]"},
        {"taper.image", "1x2x3"},
        {"taper.input", "float32 = pixel / 255, flat"},
        {"taper.output", "softmax"},
        {"taper.loss", "cross_entropy"}};
    static const char *const tensors[] = {"0.weight", "0.bias", "2.weight", "2.bias"};
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    tpt_ok(tp_model_set_info(m, "loss", "cross_entropy"));
    tpt_ok(tp_model_save(m, file()));
    tp_dict *d = tp_load_safetensors(file());
    assert_int_equal(tp_dict_str_len(d), 7);
    for (int i = 0; i < 7; i++) assert_string_equal(tp_dict_get_str(d, want[i][0]), want[i][1]);
    assert_int_equal(tp_dict_len(d), 4);
    for (int i = 0; i < 4; i++) assert_non_null(tp_dict_get(d, tensors[i]));
    tp_dict_free(d);
    tp_model_free(m);
    tp_module_free(net);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void probabilities_are_a_softmax(void **state) {
    (void)state;
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    tp_tensor *x = some_images(7), *p = tp_model_predict(m, x);
    assert_true(tp_equal(tp_model_predict(m, tp_view(x, TP_SHAPE(7, 1, 2, 3))), p));
    assert_true(tp_equal(p, tp_softmax(tp_forward(net, x), 1)));
    assert_false(tp_requires_grad(p));
    assert_int_equal(tp_size(p, 0) * 10 + tp_size(p, 1), 73);
    p = tp_model_predict(m, tp_zeros(TP_SHAPE(0, PIXELS), TP_FLOAT32));
    assert_int_equal(tp_size(p, 0) * 10 + tp_size(p, 1), 3);
    tp_model_free(m);
    tp_module_free(net);
}

static void binary_models(void **state) {
    (void)state;
    for (int positive = 0; positive < 2; positive++) {
        tp_manual_seed(5);
        tp_module *net = tp_module_parse("linear(6,1)", NULL);
        tp_model_opts o = opts_for(net);
        o.nclasses = 2;
        o.binary = true;
        o.positive = positive;
        tp_model *m = tp_model_new(&o);
        tpt_ok(tp_model_save(m, file()));
        tp_model_free(m);
        m = tp_model_load(file());
        int found = -1;
        assert_true(tp_model_binary(m, &found));
        assert_int_equal(found, positive);
        tp_tensor *x = some_images(9), *p = tp_model_predict(m, x), *logit = tp_forward(net, x);
        assert_int_equal(tp_size(p, 1), 2);
        for (int i = 0; i < 9; i++) {
            const float *row = tp_data_f32(p) + 2 * i, own = tp_data_f32(tp_sigmoid(logit))[i];
            assert_true(row[positive] == own && row[1 - positive] == 1 - own);
        }
        tp_model_free(m);
        tp_module_free(net);
    }
}

static void wrong_questions(void **state) {
    (void)state;
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    assert_null(tp_model_predict(m, tp_zeros(TP_SHAPE(1, 2, 3), TP_FLOAT32)));
    tpt_expect_error(TP_ESHAPE,
                     "model_predict: x is float32 [1, 2, 3], not float32 [N, 6] or [N, 1, 2, 3]");
    assert_null(tp_model_predict(m, tp_zeros(TP_SHAPE(1, 6), TP_UINT8)));
    tpt_expect_error(TP_ESHAPE,
                     "model_predict: x is uint8 [1, 6], not float32 [N, 6] or [N, 1, 2, 3]");
    assert_null(tp_model_predict(m, NULL));
    tpt_expect_error(TP_ENULL, "model_predict: an argument is NULL");
    assert_null(tp_model_class(m, 3));
    tpt_expect_error(TP_EINDEX, "model_class: there is no class 3 among 3");
    assert_int_equal(tp_model_set_info(m, "classes", "x"), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "model_set_info: 'classes' is the model's own");
    float p[3];
    char did[50];
    assert_int_equal(tp_model_predict_file(m, "x.png", p, 2, did, sizeof did), TP_EVALUE);
    tpt_expect_error(
        TP_EVALUE,
        "model_predict_file: there is room for 2 probabilities, the model has 3 classes");
    assert_int_equal(tp_model_predict_file(m, "/nowhere/x.png", p, 3, did, sizeof did), TP_EIO);
    tpt_expect_error(TP_EIO, "cannot read /nowhere/x.png: No such file or directory");
    tp_model_free(m);
    tp_model_free(NULL);
    tp_module_free(net);
}

static void an_image_file(void **state) {
    (void)state;
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    float got[3], pixels[PIXELS];
    char did[80], path[1000];
    snprintf(path, sizeof path, "%s", tpt_source("tests/golden/images/rgb8.png"));
    tpt_ok(tp_model_predict_file(m, path, got, 3, did, sizeof did));
    assert_true(strstr(did, "converted to grey, resized from ") == did);
    tpt_ok(tp_image_load(path, 1, 2, 3, pixels, NULL, 0));
    tp_tensor *p = tp_model_predict(m, tp_from(pixels, TP_SHAPE(1, PIXELS), TP_FLOAT32));
    tpt_same_bits(got, tp_data_f32(p), sizeof got);
    tp_model_free(m);
    tp_module_free(net);
}

/* ---- many threads, one model ----------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 30, IMAGES = 40 };
typedef struct asker {
    const tp_model *m;
    const float *x;
    float p[3 * IMAGES];
    bool same;
} asker;

static void ask(void *ctx) {
    asker *a = ctx;
    a->same = true;
    for (int i = 0; i < ROUNDS; i++) {
        const tp_scope s = tp_scope_begin();
        const tp_tensor *p =
            tp_model_predict(a->m, tp_from(a->x, TP_SHAPE(IMAGES, PIXELS), TP_FLOAT32));
        const size_t bytes = sizeof a->p;
        if (!i && p) memcpy(a->p, tp_data_f32(p), bytes);
        a->same &= p && !memcmp(a->p, tp_data_f32(p), bytes);
        tp_scope_end(s);
    }
}

static void many_threads_ask_one_model(void **state) {
    (void)state;
    static asker askers[THREADS];
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    tp_tensor *x = some_images(IMAGES), *want = tp_model_predict(m, x);
    tp__thread *thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (asker){.m = m, .x = tp_data_f32(x)};
        thread[i] = tp__thread_start(ask, &askers[i]);
        assert_non_null(thread[i]);
    }
    for (int i = 0; i < THREADS; i++) tp__thread_join(thread[i]);
    for (int i = 0; i < THREADS; i++) {
        assert_true(askers[i].same);
        tpt_same_bits(askers[i].p, tp_data_f32(want), sizeof askers[i].p);
    }
    tp_model_free(m);
    tp_module_free(net);
}

/* ---- refused models -------------------------------------------------------------------------- */

static tp_tensor *pass(void *self, tp_tensor *const *in, int n) {
    (void)self;
    return n ? in[0] : NULL;
}

static void refuse(tp_model_opts o, tp_status code, const char *text) {
    assert_null(tp_model_new(&o));
    tpt_expect_error(code, text);
}

static void refused_models(void **state) {
    (void)state;
    static const tp_module_class custom = {.name = "Custom", .forward = pass};
    tp_module *net = small_net(), *own = tp_module_new(&custom, NULL);
    const tp_model_opts good = opts_for(net);
    tp_model_opts o = good;
    o.nclasses = 1;
    refuse(o, TP_EVALUE, "model: 1 classes; there must be two or more");
    o = good;
    o.nclasses = 2;
    refuse(o, TP_ESHAPE,
           "model: the architecture gives [1, 3] for an image, not [1, 2], for 2 classes");
    o.binary = true;
    refuse(o, TP_ESHAPE,
           "model: the architecture gives [1, 3] for an image, not [1, 1], for 2 classes");
    o.positive = 2;
    refuse(o, TP_EVALUE, "model: the positive class is 2, neither 0 nor 1");
    o = good;
    o.binary = true;
    refuse(o, TP_EVALUE, "model: a binary model of 3 classes");
    o = good;
    o.classes = (const char *[]){"a", "b\xff", "c"};
    refuse(o, TP_EVALUE, "model: the name 'b\\xff' of class 1 is not text in UTF-8");
    o.classes = (const char *[]){"a", "b", ""};
    refuse(o, TP_EVALUE, "model: the name '' of class 2 is empty");
    o = good;
    o.width = 4;
    refuse(o, TP_ESHAPE, "model: the architecture does not take images of 1x2x4: ...");
    o = good;
    o.channels = 2;
    refuse(o, TP_EVALUE, "model: images of 2x2x3 (1 or 3 channels, at most 16384 pixels a side)");
    o = good;
    o.module = own;
    refuse(o, TP_EVALUE, "model: ...");
    o.module = NULL;
    refuse(o, TP_ENULL, "model: .module: an argument is NULL");
    tp_module_free(own);
    tp_module_free(net);
}

/* ---- files that lie -------------------------------------------------------------------------- */

static tp_dict *good_file(void) {
    tp_module *net = small_net();
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o);
    tpt_ok(tp_model_save(m, file()));
    tp_model_free(m);
    tp_module_free(net);
    return tp_load_safetensors(file());
}

static void expect_refusal(const char *reason) {
    char text[5000];
    assert_null(tp_model_load(file()));
    snprintf(text, sizeof text, "%s: %s", file(), reason);
    const tp_status code = tp_error_code();
    assert_true(code == TP_EFORMAT || code == TP_EVALUE || code == TP_ESHAPE || code == TP_EDTYPE);
    tpt_expect_error(code, text);
}

/* One string of a good file is another. */
static void lie(const char *name, const char *value, const char *reason) {
    tp_dict *d = good_file();
    tpt_ok(tp_dict_set_str(d, name, value));
    tpt_ok(tp_save_safetensors(d, file()));
    tp_dict_free(d);
    expect_refusal(reason);
}

static void strings_that_lie(void **state) {
    (void)state;
    lie("taper.format", "2", "a model of format 2; this taper reads 1");
    lie("taper.input", "pixel", "taper.input is 'pixel', which this taper does not know");
    lie("taper.output", "maximum", "taper.output is 'maximum', which this taper does not know");
    lie("taper.output",
        "binary positive=", "taper.output is 'binary positive=', which this taper does not know");
    lie("taper.output", "binary positive=1x",
        "taper.output is 'binary positive=1x', which this taper does not know");
    lie("taper.output", "binary positive=1", "a binary model of 3 classes");
    lie("taper.output", "b", "taper.output is 'b', which this taper does not know");
    lie("taper.image", "1x2", "taper.image is '1x2', not channels x height x width");
    lie("taper.image", "1x2x3x4", "taper.image is '1x2x3x4', not channels x height x width");
    lie("taper.image", "1x-2x3", "taper.image is '1x-2x3', not channels x height x width");
    lie("taper.image", "1x0x3", "taper.image is '1x0x3', not channels x height x width");
    lie("taper.image", "1x99999999999999999999x3",
        "taper.image is '1x99999999999999999999x3', not channels x height x width");
    lie("taper.image", "1x2000000000x2000000000",
        "images of 1x2000000000x2000000000 (1 or 3 channels, at most 16384 pixels a side)");
    lie("taper.image", "3x16384x16384",
        "the architecture does not take images of 3x16384x16384: ...");
    lie("taper.classes", "apple", "taper.classes is no JSON list of names");
    lie("taper.classes", "{\"a\":1}", "taper.classes is no JSON list of names");
    lie("taper.classes", "[\"a\",1,\"b\"]", "taper.classes: entry 1 is no name");
    lie("taper.classes", "[\"a\",\"b\",\"c\\u0000d\"]", "taper.classes is no JSON list of names");
    lie("taper.classes", "[\"a\",\"b\",\"\\u001b[31m\"]",
        "the name '\\x1b[31m' of class 2 is not text in UTF-8");
    lie("taper.classes", "[\"a\",\"b\"]",
        "the architecture gives [1, 3] for an image, not [1, 2], for 2 classes");
    lie("taper.classes", "[]", "0 classes; there must be two or more");
}

static void architectures_that_lie(void **state) {
    (void)state;
    const char *const name = "taper.architecture";
    lie(name, "linear(6,4) relu linear(4,4)",
        "made for another architecture: 'linear(6,4) relu linear(4,4)' has 48 numbers, the file "
        "43");
    lie(name, "linear(6,4) linear(4,3)", "made for another architecture: load_state_dict: ...");
    lie(name, "linear(42,1)", "made for another architecture: load_state_dict: ...");
    lie(name, "linear(2000000000,2000000000)",
        "taper.architecture: module_parse: character 30: up to here there are more than ...");
    lie(name, "linear(20000,20000)",
        "made for another architecture: 'linear(20000,20000)' has 400020000 numbers, the file 43");
    lie(name, "linear(6,4", "taper.architecture: ...");
    lie(name, "", "...");
}

static void files_that_are_no_models(void **state) {
    (void)state;
    tp_dict *d = tp_dict_new();
    tpt_ok(tp_dict_set(d, "x", tp_ones(TP_SHAPE(2), TP_FLOAT32)));
    tpt_ok(tp_save_safetensors(d, file()));
    expect_refusal("not a taper model (no taper.format in its metadata)");
    tp_dict_free(d);
    d = good_file();
    tpt_ok(tp_dict_set(d, "3.weight", tp_ones(TP_SHAPE(2), TP_FLOAT32)));
    tpt_ok(tp_save_safetensors(d, file()));
    expect_refusal("made for another architecture: 'linear(6,4) relu linear(4,3)' has 43 numbers, "
                   "the file 45");
    tp_dict_free(d);
    d = good_file();
    tpt_ok(tp_dict_set(d, "2.bias", tp_ones(TP_SHAPE(3), TP_FLOAT64)));
    tpt_ok(tp_save_safetensors(d, file()));
    expect_refusal("made for another architecture: load_state_dict: ...");
    tp_dict_free(d);
    assert_null(tp_model_load("/nowhere/m.safetensors"));
    tpt_expect_error(TP_EIO, "...");
    assert_null(tp_model_load(NULL));
    tpt_expect_error(TP_ENULL, "model_load: an argument is NULL");
}

/* A damaged file is refused with one line that names it, or is still a whole model. */
static void load_damaged(const char *data, size_t n) {
    FILE *f = fopen(file(), "wb");
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
    tp_model *m = tp_model_load(file());
    if (!m) {
        assert_true(strstr(tp_error_message(), "m.safetensors"));
        tp_error_clear();
        return;
    }
    assert_non_null(tp_model_predict(m, some_images(1)));
    tp_model_free(m);
}

static void damaged_files(void **state) {
    (void)state;
    tp_dict_free(good_file());
    size_t n;
    char *good = tp__os_read_file(file(), 0, &n), *bad = malloc(n);
    for (size_t i = 0; i < n; i++) { /* cut anywhere */
        const tp_scope s = tp_scope_begin();
        load_damaged(good, i);
        assert_int_equal(tp_error_code(), TP_OK);
        tp_scope_end(s);
    }
    for (size_t i = 0; i < n; i++) { /* any byte another one */
        const tp_scope s = tp_scope_begin();
        memcpy(bad, good, n);
        bad[i] = (char)(bad[i] ^ (1 << i % 8));
        load_damaged(bad, n);
        tp_scope_end(s);
    }
    tp__mfree(good);
    free(bad);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static tp_status use_model(void *net) {
    const tp_model_opts o = opts_for(net);
    tp_model *m = tp_model_new(&o), *back = NULL;
    tp_status r = m ? tp_model_set_info(m, "loss", "x") : tp_error_code();
    if (!r) r = tp_model_save(m, file());
    if (!r && !(back = tp_model_load(file()))) r = tp_error_code();
    float p[3];
    char path[1000];
    snprintf(path, sizeof path, "%s", tpt_source("tests/golden/images/rgb8.png"));
    if (!r) r = tp_model_predict_file(back, path, p, 3, NULL, 0);
    tp_model_free(back);
    tp_model_free(m);
    return r;
}

static void no_memory(void **state) {
    (void)state;
    tp_module *net = small_net();
    assert_true(tpt_fail_each_allocation(use_model, net) > 20);
    tp_module_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(round_trip),
        TPT(strings_of_the_file),
        TPT(probabilities_are_a_softmax),
        TPT(binary_models),
        TPT(wrong_questions),
        TPT(an_image_file),
        TPT(many_threads_ask_one_model),
        TPT(refused_models),
        TPT(strings_that_lie),
        TPT(architectures_that_lie),
        TPT(files_that_are_no_models),
        TPT(damaged_files),
        TPT(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
