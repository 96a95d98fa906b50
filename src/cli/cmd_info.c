/* cmd_info.c -- what a model file holds: architecture, classes, settings, tensors. */
#include "cli/cli.h"
#include <string.h>

static void shape_text(const tp_tensor *x, char *buf, size_t size) {
    size_t n = (size_t)snprintf(buf, size, "[");
    for (int d = 0; d < tp_ndim(x); d++)
        n += (size_t)snprintf(buf + n, size - n, d ? ", %lld" : "%lld", (long long)tp_size(x, d));
    snprintf(buf + n, size - n, "]");
}

static json_t *shape_json(const tp_tensor *x) {
    json_t *a = json_array();
    for (int d = 0; d < tp_ndim(x); d++) json_array_append_new(a, json_integer(tp_size(x, d)));
    return a;
}

static bool say_json(const tp_model *m, const char *arch, const char *sha, const tp_dict *state) {
    json_t *classes = json_array(), *info = json_object(), *tensors = json_object();
    for (int i = 0; i < tp_model_classes(m); i++)
        json_array_append_new(classes, json_string(tp_model_class(m, i)));
    for (int64_t i = 0; i < tp_model_info_len(m); i++) {
        const char *key = tp_model_info_key(m, i);
        json_object_set_new(info, key, json_string(tp_model_info(m, key)));
    }
    for (int64_t i = 0; i < tp_dict_len(state); i++)
        json_object_set_new(tensors, tp_dict_name(state, i), shape_json(tp_dict_at(state, i)));
    int ch, h, w;
    tp_model_size(m, &ch, &h, &w);
    return cli_json(json_pack("{s:s, s:o, s:[iii], s:o, s:o, s:s}", "architecture", arch, "classes",
                              classes, "image", ch, h, w, "info", info, "tensors", tensors,
                              "weights_sha256", sha));
}

static int longer(int width, const char *text) {
    const int n = (int)strlen(text);
    return n > width ? n : width;
}

static void say(const tp_model *m, const char *arch, const char *sha, const tp_dict *state) {
    char text[1024] = "", number[32];
    size_t used = 0;
    int ch, h, w, positive;
    for (int i = 0; i < tp_model_classes(m) && used < 900; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "",
                                 tp_model_class(m, i));
    tp_model_size(m, &ch, &h, &w);
    cli_fact("model", "%s", arch);
    cli_fact("classes", "%d: %s", tp_model_classes(m), text);
    if (tp_model_binary(m, &positive))
        cli_fact("output", "one number; above 0 it is %s", tp_model_class(m, positive));
    cli_fact("images", "%d x %d %s, resized where they are not", w, h, ch == 1 ? "grey" : "colour");
    for (int64_t i = 0; i < tp_model_info_len(m); i++) {
        const char *key = tp_model_info_key(m, i);
        cli_fact(key, "%s", tp_model_info(m, key));
    }
    cli_fact("weights", "%s", sha);
    putchar('\n');
    int name = 0, shape = 0;
    for (int64_t i = 0; i < tp_dict_len(state); i++) {
        shape_text(tp_dict_at(state, i), text, sizeof text);
        name = longer(name, tp_dict_name(state, i));
        shape = longer(shape, text);
    }
    for (int64_t i = 0; i < tp_dict_len(state); i++) {
        const tp_tensor *x = tp_dict_at(state, i);
        shape_text(x, text, sizeof text);
        printf("  %-*s  %-*s  %s\n", name, tp_dict_name(state, i), shape, text,
               tp_dtype_name(tp_dtype_of(x)));
    }
    printf("  %s numbers\n", cli_count(tp_module_numel(tp_model_module(m)), number));
}

int cmd_info(const cli_command *c, int argc, char **argv) {
    bool json = false;
    cli_option options[] = {CLI_ROW_FLAG("--json", &json, "one line of JSON"), CLI_ROW_END};
    int status;
    if (cli_parse(c, options, argc, argv, &status) < 0) return status;
    char arch[1024], sha[65];
    tp_model *m = tp_model_load(argv[0]);
    tp_dict *state = m ? tp_state_dict(tp_model_module(m)) : NULL;
    bool ok = state && tp_module_spec(tp_model_module(m), arch, sizeof arch) >= 0 &&
              !tp_model_weights_sha256(m, sha);
    if (ok && json)
        ok = say_json(m, arch, sha, state);
    else if (ok)
        say(m, arch, sha, state);
    status = ok ? CLI_OK : cli_failed(c);
    tp_dict_free(state);
    tp_model_free(m);
    return cli_finish(c, status);
}
