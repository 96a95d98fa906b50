/* model.c -- a trained classifier with all that is needed to ask it, and its file.
 *
 * The file is safetensors; the tensors are the module's state_dict under their own names, so
 * that PyTorch takes them as they are, and everything else is text under "taper.": the
 * architecture, the classes in order, how an image becomes numbers and numbers become a class.
 * Reading believes nothing. */
#include "autograd/autograd.h"
#include "learner/learner.h"
#include "nn/nn.h"
#include "taper/ops.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "taper."
#define INPUT "float32 = pixel / 255, flat"
#define BINARY "binary positive="
static const char *const reserved[] = {"format", "architecture", "classes",
                                       "image",  "input",        "output"};

struct tp_model {
    tp_module *module;
    bool owns_module;
    char **class_name;
    int nclasses;
    int channels, height, width;
    bool binary;
    int positive;
    tp_dict *info; /* strings, without "taper." */
};

/* ---- making ---------------------------------------------------------------------------------- */

static int64_t pixels_of(const tp_model *m) {
    return (int64_t)m->channels * m->height * m->width;
}

static tp_status add_class(tp_model *m, const char *name) {
    if (!name) return tp__error_null("model");
    if (!*name || !tp__utf8_printable(name)) {
        char room[100];
        return tp_error_set(TP_EVALUE, "the name '%s' of class %d is %s",
                            tp__utf8_show(name, room, sizeof room), m->nclasses,
                            *name ? "not text in UTF-8" : "empty");
    }
    char *copy = tp__strdup(name);
    if (!copy) return TP_ENOMEM;
    m->class_name[m->nclasses++] = copy;
    return TP_OK;
}

static bool is_side(int64_t n) {
    return n >= 1 && n <= 16384;
}

static tp_status check_numbers(const tp_model *m) {
    if (m->nclasses < 2)
        return tp_error_set(TP_EVALUE, "%d classes; there must be two or more", m->nclasses);
    if ((m->channels != 1 && m->channels != 3) || !is_side(m->height) || !is_side(m->width))
        return tp_error_set(TP_EVALUE,
                            "images of %dx%dx%d (1 or 3 channels, at most 16384 pixels a side)",
                            m->channels, m->height, m->width);
    if (!m->binary) return TP_OK;
    if (m->nclasses != 2)
        return tp_error_set(TP_EVALUE, "a binary model of %d classes", m->nclasses);
    if (m->positive != 0 && m->positive != 1)
        return tp_error_set(TP_EVALUE, "the positive class is %d, neither 0 nor 1", m->positive);
    return TP_OK;
}

/* One black image, whose pixels take no memory, must come out as a number for each class. */
static tp_status try_module(const tp_model *m) {
    const int64_t outputs = m->binary ? 1 : m->nclasses;
    const tp_scope scope = tp_scope_no_grad();
    if (!scope.depth) return TP_ENOMEM;
    tp_tensor *x = tp_expand(tp_zeros(TP_SHAPE(1, 1), TP_FLOAT32), TP_SHAPE(1, pixels_of(m)));
    const tp_tensor *y = tp_forward(m->module, x);
    tp_status r = TP_OK;
    if (!y)
        r = tp_error_prefix("the architecture does not take images of %dx%dx%d", m->channels,
                            m->height, m->width);
    else if (y->ndim != 2 || y->shape[1] != outputs || y->dtype != TP_FLOAT32) {
        char text[TP__SHAPE_TEXT];
        const tp_shape s = tp__shape(y);
        r = tp_error_set(TP_ESHAPE,
                         "the architecture gives %s for an image, not [1, %lld], for %d classes",
                         tp__shape_text(&s, text), (long long)outputs, m->nclasses);
    }
    tp_scope_end(scope);
    return r;
}

static tp_status check_model(const tp_model *m) {
    const tp_status r = check_numbers(m);
    if (r) return r;
    if (tp_module_spec(m->module, NULL, 0) < 0) return tp_error_code();
    return try_module(m);
}

static tp_status fill(tp_model *m, const tp_model_opts *o) {
    m->module = o->module;
    m->channels = o->channels;
    m->height = o->height;
    m->width = o->width;
    m->binary = o->binary;
    m->positive = o->binary ? o->positive : 0;
    tp_status r = TP_OK;
    for (int i = 0; i < o->nclasses && !r; i++) r = add_class(m, o->classes[i]);
    return r ? r : check_model(m);
}

/* With room for the names of n classes. */
static tp_model *model_new(size_t n) {
    tp_model *m = tp__calloc(1, sizeof *m);
    if (!m) return NULL;
    m->class_name = tp__calloc(n, sizeof *m->class_name);
    m->info = tp_dict_new();
    if (m->class_name && m->info) return m;
    tp_model_free(m);
    return NULL;
}

tp_model *tp_model_new(const tp_model_opts *given) {
    tp_model_opts opts;
    if (!tp__opts("model", &opts, sizeof opts, given)) return NULL;
    if (!opts.module || !opts.classes)
        return tp__error_null(opts.module ? "model: .classes" : "model: .module"), NULL;
    if (opts.nclasses < 0) return tp__fail(TP_EVALUE, "model: %d classes", opts.nclasses);
    tp_model *m = model_new((size_t)opts.nclasses);
    if (!m) return NULL;
    if (!fill(m, &opts)) return m;
    tp_error_prefix("model");
    tp_model_free(m);
    return NULL;
}

void tp_model_free(tp_model *m) {
    if (!m) return;
    if (m->owns_module) tp_module_free(m->module);
    for (int i = 0; i < m->nclasses; i++) tp__mfree(m->class_name[i]);
    tp__mfree(m->class_name);
    tp_dict_free(m->info);
    tp__mfree(m);
}

/* ---- asking ---------------------------------------------------------------------------------- */

tp_module *tp_model_module(const tp_model *m) {
    return m ? m->module : (tp__error_null("model_module"), NULL);
}
int tp_model_classes(const tp_model *m) {
    return m ? m->nclasses : (tp__error_null("model_classes"), -1);
}
const char *tp_model_class(const tp_model *m, int c) {
    if (!m) return tp__error_null("model_class"), NULL;
    if (c >= 0 && c < m->nclasses) return m->class_name[c];
    return tp__fail(TP_EINDEX, "model_class: there is no class %d among %d", c, m->nclasses);
}
void tp_model_size(const tp_model *m, int *channels, int *height, int *width) {
    if (channels) *channels = m ? m->channels : -1;
    if (height) *height = m ? m->height : -1;
    if (width) *width = m ? m->width : -1;
}
bool tp_model_binary(const tp_model *m, int *positive) {
    if (positive) *positive = m ? m->positive : -1;
    return m && m->binary;
}

static bool is_reserved(const char *key) {
    for (int i = 0; i < TP__COUNT(reserved); i++)
        if (!strcmp(key, reserved[i])) return true;
    return false;
}

tp_status tp_model_set_info(tp_model *m, const char *key, const char *value) {
    if (!m || !key || !value) return tp__error_null("model_set_info");
    if (is_reserved(key))
        return tp_error_set(TP_EVALUE, "model_set_info: '%s' is the model's own", key);
    return tp_dict_set_str(m->info, key, value);
}
const char *tp_model_info(const tp_model *m, const char *key) {
    if (!m || !key) return tp__error_null("model_info"), NULL;
    return tp_dict_get_str(m->info, key);
}
int64_t tp_model_info_len(const tp_model *m) {
    return m ? tp_dict_str_len(m->info) : (tp__error_null("model_info_len"), -1);
}
const char *tp_model_info_key(const tp_model *m, int64_t i) {
    return m ? tp_dict_str_name(m->info, i) : (tp__error_null("model_info_key"), NULL);
}

tp_status tp_model_weights_sha256(const tp_model *m, char hex[65]) {
    if (!m || !hex) return tp__error_null("model_weights_sha256");
    tp_dict *d = tp_state_dict(m->module);
    if (!d) return tp_error_code();
    const tp_status r = tp_dict_sha256(d, hex);
    tp_dict_free(d);
    return r;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static tp_status put_architecture(const tp_model *m, tp_dict *d) {
    const int64_t n = tp_module_spec(m->module, NULL, 0);
    if (n < 0) return tp_error_code();
    char *text = tp__calloc((size_t)n + 1, 1);
    if (!text) return TP_ENOMEM;
    tp_status r = TP_OK;
    if (tp_module_spec(m->module, text, (size_t)n + 1) < 0) r = tp_error_code();
    if (!r) r = tp_dict_set_str(d, PREFIX "architecture", text);
    tp__mfree(text);
    return r;
}

static tp_status put_classes(const tp_model *m, tp_dict *d) {
    json_t *list = json_array();
    bool ok = list;
    for (int i = 0; ok && i < m->nclasses; i++)
        ok = !json_array_append_new(list, json_string(m->class_name[i]));
    char *text = ok ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    if (!text) return tp__fail_nomem(0), TP_ENOMEM;
    const tp_status r = tp_dict_set_str(d, PREFIX "classes", text);
    free(text);
    return r;
}

static tp_status put_text(const tp_model *m, tp_dict *d) {
    char image[48], output[48] = "softmax";
    snprintf(image, sizeof image, "%dx%dx%d", m->channels, m->height, m->width);
    if (m->binary) snprintf(output, sizeof output, BINARY "%d", m->positive);
    tp_status r = tp_dict_set_str(d, PREFIX "format", "1");
    if (!r) r = put_architecture(m, d);
    if (!r) r = put_classes(m, d);
    if (!r) r = tp_dict_set_str(d, PREFIX "image", image);
    if (!r) r = tp_dict_set_str(d, PREFIX "input", INPUT);
    if (!r) r = tp_dict_set_str(d, PREFIX "output", output);
    return r ? r : tp_dict_merge(d, PREFIX, m->info);
}

tp_status tp_model_save(const tp_model *m, const char *path) {
    if (!m || !path) return tp__error_null("model_save");
    tp_dict *d = tp_state_dict(m->module);
    if (!d) return tp_error_code();
    tp_status r = put_text(m, d);
    if (!r) r = tp_save_safetensors(d, path);
    tp_dict_free(d);
    return r;
}

/* ---- loading --------------------------------------------------------------------------------- */

static const char *text_of(const tp_dict *d, const char *name) {
    const char *text = tp_dict_get_str(d, name);
    return text ? text : tp__fail(TP_EFORMAT, "no %s in its metadata", name);
}

static json_t *parse_classes(const tp_dict *d) {
    const char *text = text_of(d, PREFIX "classes");
    if (!text) return NULL;
    json_t *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_array(list) && json_array_size(list) <= INT32_MAX) return list;
    json_decref(list);
    return tp__fail(TP_EFORMAT, PREFIX "classes is no JSON list of names");
}

static tp_status take_classes(tp_model *m, const json_t *list) {
    size_t i;
    json_t *name;
    json_array_foreach(list, i, name) {
        if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name))
            return tp_error_set(TP_EFORMAT, PREFIX "classes: entry %zu is no name", i);
        const tp_status r = add_class(m, json_string_value(name));
        if (r) return r;
    }
    return TP_OK;
}

/* A decimal number without sign, and what stands behind it; -1 if there is none, or it is no
 * int. */
static int parse_int(const char **text) {
    if (**text < '0' || **text > '9') return -1;
    char *end;
    const unsigned long n = strtoul(*text, &end, 10);
    *text = end;
    return n > INT32_MAX ? -1 : (int)n;
}

static tp_status take_image(tp_model *m, const tp_dict *d) {
    const char *text = text_of(d, PREFIX "image"), *p = text;
    if (!text) return TP_EFORMAT;
    int size[3];
    bool ok = true;
    for (int i = 0; i < 3 && ok; i++) ok = (!i || *p++ == 'x') && (size[i] = parse_int(&p)) > 0;
    if (!ok || *p)
        return tp_error_set(TP_EFORMAT, PREFIX "image is '%.40s', not channels x height x width",
                            text);
    m->channels = size[0];
    m->height = size[1];
    m->width = size[2];
    return TP_OK;
}

static tp_status take_output(tp_model *m, const tp_dict *d) {
    const char *text = text_of(d, PREFIX "output");
    if (!text) return TP_EFORMAT;
    if (!strcmp(text, "softmax")) return TP_OK;
    const char *p = text + strlen(BINARY);
    m->binary = !strncmp(text, BINARY, strlen(BINARY));
    m->positive = m->binary ? parse_int(&p) : 0;
    if (m->binary && m->positive >= 0 && !*p) return TP_OK;
    return tp_error_set(TP_EFORMAT, PREFIX "output is '%.40s', which this taper does not know",
                        text);
}

static tp_status check_text(const tp_dict *d) {
    const char *format = tp_dict_get_str(d, PREFIX "format"),
               *input = tp_dict_get_str(d, PREFIX "input");
    if (!format)
        return tp_error_set(TP_EFORMAT, "not a taper model (no " PREFIX "format in its metadata)");
    if (strcmp(format, "1"))
        return tp_error_set(TP_EFORMAT, "a model of format %.20s; this taper reads 1", format);
    if (!input || strcmp(input, INPUT))
        return tp_error_set(TP_EFORMAT, PREFIX "input is '%.60s', which this taper does not know",
                            input ? input : "");
    return TP_OK;
}

static int64_t numbers_in(const tp_dict *d) {
    int64_t n = 0;
    for (int64_t i = 0; i < tp_dict_len(d); i++) n += tp_dict_at(d, i)->numel;
    return n;
}

/* The architecture decides how much memory is asked for, so it must first agree with the file
 * about how many numbers there are. */
static tp_status take_module(tp_model *m, const tp_dict *d) {
    const char *text = text_of(d, PREFIX "architecture");
    if (!text) return TP_EFORMAT;
    const int64_t want = tp__spec_numel(text), have = numbers_in(d);
    if (want < 0) return tp_error_prefix(PREFIX "architecture");
    if (want != have)
        return tp_error_set(
            TP_EFORMAT, "made for another architecture: '%.60s' has %lld numbers, the file %lld",
            text, (long long)want, (long long)have);
    tp_rng *rng =
        tp_rng_new(0); /* the numbers are overwritten: nobody's generator moves on for them */
    m->module = rng ? tp_module_parse(text, rng) : NULL;
    m->owns_module = true;
    tp_rng_free(rng);
    if (!m->module) return tp_error_code();
    tp_module_train(m->module, false);
    return tp_load_state_dict(m->module, d) ? tp_error_prefix("made for another architecture")
                                            : TP_OK;
}

static tp_status take_info(tp_model *m, const tp_dict *d) {
    const size_t n = strlen(PREFIX);
    tp_status r = TP_OK;
    for (int64_t i = 0; i < tp_dict_str_len(d) && !r; i++) {
        const char *name = tp_dict_str_name(d, i);
        if (!strncmp(name, PREFIX, n) && !is_reserved(name + n))
            r = tp_dict_set_str(m->info, name + n, tp_dict_get_str(d, name));
    }
    return r;
}

static tp_status take_all(tp_model *m, const tp_dict *d, const json_t *classes) {
    tp_status r = take_classes(m, classes);
    if (!r) r = take_image(m, d);
    if (!r) r = take_output(m, d);
    if (!r) r = take_module(m, d);
    if (!r) r = check_model(m);
    return r ? r : take_info(m, d);
}

static tp_model *from_dict(const tp_dict *d) {
    if (check_text(d)) return NULL;
    json_t *classes = parse_classes(d);
    if (!classes) return NULL;
    tp_model *m = model_new(json_array_size(classes));
    const bool ok = m && !take_all(m, d, classes);
    json_decref(classes);
    if (ok) return m;
    tp_model_free(m);
    return NULL;
}

tp_model *tp_model_load(const char *path) {
    if (!path) return tp__error_null("model_load"), NULL;
    tp_dict *d = tp_load_safetensors(path);
    if (!d) return NULL;
    const tp_scope scope = tp_scope_no_grad();
    tp_model *m = scope.depth ? from_dict(d) : NULL;
    if (!m) tp_error_prefix("%s", path);
    if (scope.depth) tp_scope_end(scope);
    tp_dict_free(d);
    return m;
}

/* ---- predicting ------------------------------------------------------------------------------ */

/* p of the positive class beside 1 - p of the other, in the order of the classes. */
static tp_tensor *both_classes(tp_tensor *logit, int positive) {
    tp_tensor *p = tp_sigmoid(logit), *q = tp_sub(tp_num(1), p);
    return tp_cat(positive ? (tp_tensor *[]){q, p} : (tp_tensor *[]){p, q}, 2, 1);
}

/* x[N, C, H, W] or x[N, C*H*W]. */
static bool fits_model(const tp_model *m, const tp_tensor *x) {
    const int64_t *s = x->shape;
    return x->dtype == TP_FLOAT32 &&
           ((x->ndim == 2 && s[1] == pixels_of(m)) ||
            (x->ndim == 4 && s[1] == m->channels && s[2] == m->height && s[3] == m->width));
}
tp_tensor *tp_model_predict(const tp_model *m, tp_tensor *x) {
    if (!m || !x) return tp__error_null("model_predict"), NULL;
    if (!fits_model(m, x)) {
        char text[TP__SHAPE_TEXT];
        const tp_shape s = tp__shape(x);
        return tp__fail(TP_ESHAPE,
                        "model_predict: x is %s %s, not float32 [N, %lld] or [N, %d, %d, %d]",
                        tp_dtype_name((tp_dtype)x->dtype), tp__shape_text(&s, text),
                        (long long)pixels_of(m), m->channels, m->height, m->width);
    }
    const tp_scope scope = tp_scope_no_grad();
    if (!scope.depth) return NULL;
    tp_tensor *y = tp_forward(m->module, tp_reshape(x, TP_SHAPE(x->shape[0], pixels_of(m))));
    y = m->binary ? both_classes(y, m->positive) : tp_softmax(y, 1);
    if (y) y = tp_scope_escape(scope, y);
    tp_scope_end(scope);
    return y;
}

static tp_status predict_file(const tp_model *m, const char *path, float *prob, char *did,
                              size_t did_size) {
    tp_tensor *x = tp__new("model_predict", &TP_SHAPE(1, pixels_of(m)), TP_FLOAT32);
    if (!x) return tp_error_code();
    const tp_status r =
        tp_image_load(path, m->channels, m->height, m->width, tp__ptr(x), did, did_size);
    if (r) return r;
    const tp_tensor *y = tp_model_predict(m, x);
    return y ? tp_copy_to(y, prob, m->nclasses, TP_FLOAT32) : tp_error_code();
}

tp_status tp_model_predict_file(const tp_model *m, const char *path, float *prob, int n, char *did,
                                size_t did_size) {
    if (!m || !path || !prob) return tp__error_null("model_predict_file");
    if (n != m->nclasses)
        return tp_error_set(
            TP_EVALUE,
            "model_predict_file: there is room for %d probabilities, the model has %d classes", n,
            m->nclasses);
    const tp_scope scope = tp_scope_begin();
    if (!scope.depth) return TP_ENOMEM;
    const tp_status r = predict_file(m, path, prob, did, did_size);
    tp_scope_end(scope);
    return r;
}
