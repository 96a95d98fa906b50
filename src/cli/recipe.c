/* recipe.c -- names on the command line to what the library calls: models, losses, metrics. */
#include "cli/cli.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_UNITS = 65536 };

/* The hidden sizes of "mlp:512,256" into h; their number, or -1 with an error. */
static int hidden_sizes(const char *text, int64_t h[8]) {
    int n = 0;
    for (const char *p = text;; p++) {
        char *end;
        const long v = isdigit((unsigned char)*p) ? strtol(p, &end, 10) : 0;
        if (v < 1 || v > MAX_UNITS || n == 8 || (*end && *end != ',')) {
            tp_error_set(TP_EVALUE,
                         "--model: 'mlp:%s' wants one to eight sizes of 1 to %d, as in mlp:512,256",
                         text, (int)MAX_UNITS);
            return -1;
        }
        h[n++] = v;
        if (!*end) return n;
        p = end;
    }
}

bool cli_architecture(const char *model, int64_t inputs, int outputs, char *buf, size_t size) {
    int64_t h[8];
    int n = 0;
    if (!strcmp(model, "simple_net")) model = "mlp:30";
    if (!strncmp(model, "mlp:", 4))
        n = hidden_sizes(model + 4, h);
    else if (strcmp(model, "linear"))
        return tp_error_set(TP_EVALUE,
                            "--model: '%s' is not linear, simple_net or mlp:SIZES (mlp:512,256)",
                            model),
               false;
    if (n < 0) return false;
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        used += (size_t)snprintf(buf + used, size - used, "linear(%lld,%lld) relu ",
                                 (long long)inputs, (long long)h[i]);
        inputs = h[i];
    }
    snprintf(buf + used, size - used, "linear(%lld,%d)", (long long)inputs, outputs);
    return true;
}

static const struct {
    const char *name;
    tp_loss_fn fn;
    bool binary;
} losses[] = {
    {"cross_entropy", tp_cross_entropy, false},
    {"mnist", tp_mnist_loss, true},
    {"bce", tp_binary_cross_entropy_with_logits, true},
};
enum { NLOSSES = sizeof losses / sizeof *losses };

tp_loss_fn cli_loss(const char *name) {
    for (int i = 0; i < NLOSSES; i++)
        if (!strcmp(losses[i].name, name)) return losses[i].fn;
    tp_error_set(TP_EVALUE, "there is no loss '%s'", name);
    return NULL;
}
bool cli_loss_is_binary(const char *name) {
    for (int i = 0; i < NLOSSES; i++)
        if (!strcmp(losses[i].name, name)) return losses[i].binary;
    return false;
}
tp_metric cli_metric(const char *name) {
    if (!strcmp(name, "batch_accuracy")) return (tp_metric){"batch_accuracy", tp_batch_accuracy};
    return (tp_metric){"accuracy", tp_accuracy};
}
