/* cmd_predict.c -- classify image files with a saved model. A file that cannot be read is named on
 * stderr, the others are still classified, and the exit code says that something failed. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

typedef struct asker {
    const cli_command *c;
    const tp_model *model;
    bool json, draw;
    int n;       /* classes */
    float *prob; /* [n] */
    bool failed;
} asker;

static int best(const asker *a,
                int below) { /* the class of the highest probability after `below` others */
    int order[4] = {-1, -1, -1, -1};
    for (int k = 0; k <= below; k++)
        for (int i = 0; i < a->n; i++) {
            bool used = false;
            for (int j = 0; j < k; j++) used |= order[j] == i;
            if (!used && (order[k] < 0 || a->prob[i] > a->prob[order[k]])) order[k] = i;
        }
    return order[below];
}

static bool answer_json(const asker *a, const char *path, const char *did) {
    json_t *all = json_object();
    for (int i = 0; i < a->n; i++)
        json_object_set_new(all, tp_model_class(a->model, i), json_real((double)a->prob[i]));
    const int top = best(a, 0);
    json_t *name = json_string(path); /* NULL where the path is not UTF-8 */
    json_t *o = json_pack("{s:o, s:s, s:f, s:o}", "path", name ? name : json_null(), "class",
                          tp_model_class(a->model, top), "probability", (double)a->prob[top],
                          "probabilities", all);
    if (o && *did) json_object_set_new(o, "converted", json_string(did));
    return cli_json(o);
}

static void draw(const asker *a, const char *path) {
    int ch, h, w;
    char did[160];
    tp_model_size(a->model, &ch, &h, &w);
    float *pixels = malloc((size_t)ch * (size_t)h * (size_t)w * sizeof *pixels);
    if (pixels && !tp_image_load(path, ch, h, w, pixels, did, sizeof did))
        cli_draw(pixels, ch, h, w, 2);
    free(pixels);
}

static void answer(const asker *a, const char *path, const char *did) {
    const int top = best(a, 0), next = a->n > 1 ? best(a, 1) : -1;
    if (a->draw) draw(a, path);
    printf("%s: %s (%.2f %%", path, tp_model_class(a->model, top), 100 * (double)a->prob[top]);
    if (next >= 0)
        printf("; then %s, %.2f %%", tp_model_class(a->model, next), 100 * (double)a->prob[next]);
    printf(")%s%s\n", *did ? "  " : "", did);
}

static void ask(asker *a, const char *path) {
    char did[200] = "";
    if (tp_model_predict_file(a->model, path, a->prob, a->n, did, sizeof did)) {
        cli_failed(a->c);
        a->failed = true;
    } else if (!a->json) {
        answer(a, path, did);
    } else if (!answer_json(a, path, did)) {
        cli_failed(a->c);
        a->failed = true;
    }
}

static void ask_from_stdin(asker *a) {
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, stdin)) > 0) {
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        if (*line) ask(a, line);
    }
    free(line);
}

int cmd_predict(const cli_command *c, int argc, char **argv) {
    asker a = {.c = c};
    cli_option options[] = {
        CLI_ROW_FLAG("--draw", &a.draw, "draw each image in the terminal"),
        CLI_ROW_FLAG("--json", &a.json, "a line of JSON per image"),
        CLI_ROW_END,
    };
    int status;
    const int n = cli_parse(c, options, argc, argv, &status);
    if (n < 0) return status;
    tp_model *m = tp_model_load(argv[0]);
    a.model = m;
    a.n = m ? tp_model_classes(m) : 0;
    a.prob = m ? calloc((size_t)a.n, sizeof *a.prob) : NULL;
    if (m && !a.prob) tp_error_set(TP_ENOMEM, "out of memory");
    a.failed = !a.prob;
    if (a.failed) cli_failed(c);
    for (int i = 1; i < n && a.prob; i++) {
        if (!strcmp(argv[i], "-"))
            ask_from_stdin(&a);
        else
            ask(&a, argv[i]);
    }
    free(a.prob);
    tp_model_free(m);
    return cli_finish(c, a.failed ? CLI_FAILED : CLI_OK);
}
