/* resume.c -- a checkpoint holds the options that it was made with, so that --resume needs none of
 * them again, and one that contradicts them is an error and not another result. */
#include "cli/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Results do not depend on these. */
static bool is_free(const cli_option *o) {
    static const char *const names[] = {"--threads", "--resume", "-o", "--json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(o->name, names[i])) return true;
    return false;
}

static const char *key_of(const cli_option *o, char buf[64]) {
    snprintf(buf, 64, "taper.option.%s", o->name + strspn(o->name, "-"));
    return buf;
}

/* With as few digits as say exactly this number. */
static const char *shortest(double v, char buf[40]) {
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(buf, 40, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    return buf;
}

/* The option's value; NULL where it is left to its default. */
static const char *text_of(const cli_option *o, char buf[40]) {
    switch (o->type) {
    case CLI_FLAG: return *(bool *)o->out ? "yes" : NULL;
    case CLI_TEXT:
    case CLI_CHOICE: return *(const char **)o->out;
    case CLI_INT:
        if ((double)*(int64_t *)o->out < o->min) return NULL;
        snprintf(buf, 40, "%lld", (long long)*(int64_t *)o->out);
        return buf;
    case CLI_NUMBER:
        if (*(double *)o->out < o->min) return NULL;
        return shortest(*(double *)o->out, buf);
    }
    return NULL;
}

tp_status cli_keep_options(const cli_option *options, tp_dict *d) {
    char key[64], number[40];
    tp_status r = TP_OK;
    for (const cli_option *o = options; o->name && !r; o++) {
        const char *text = is_free(o) ? NULL : text_of(o, number);
        if (text) r = tp_dict_set_str(d, key_of(o, key), text);
    }
    return r;
}

static tp_status conflict(const cli_option *o, const char *kept) {
    char number[40];
    const char *given = text_of(o, number);
    if (o->type == CLI_FLAG)
        return tp_error_set(TP_EVALUE, "it was made without %s; leave that out", o->name);
    if (!kept)
        return tp_error_set(TP_EVALUE, "it was made without %s %s; leave that out", o->name, given);
    return tp_error_set(TP_EVALUE, "it was made with %s %s, not %s; leave that out", o->name, kept,
                        given);
}

static tp_status set(cli_option *o, const char *text) {
    if (o->given) *o->given = true;
    if (o->type == CLI_FLAG) return *(bool *)o->out = true, TP_OK;
    if (o->type == CLI_TEXT || (o->type == CLI_CHOICE && cli_is_choice(o->choices, text)))
        return *(const char **)o->out = text, TP_OK;
    char *end = NULL;
    const double v = o->type == CLI_CHOICE ? NAN : strtod(text, &end);
    if (!(v >= o->min && v <= o->max) || *end)
        return tp_error_set(TP_EFORMAT, "its %s is '%.40s'", o->name, text);
    if (o->type == CLI_INT)
        *(int64_t *)o->out = (int64_t)v;
    else
        *(double *)o->out = v;
    return TP_OK;
}

static bool has_options(const cli_option *options, const tp_dict *d) {
    char key[64];
    for (const cli_option *o = options; o->name; o++)
        if (tp_dict_get_str(d, key_of(o, key))) return true;
    return false;
}

tp_status cli_take_options(cli_option *options, const tp_dict *d) {
    char key[64], number[40];
    if (!has_options(options, d)) return TP_OK;
    tp_status r = TP_OK;
    for (cli_option *o = options; o->name && !r; o++) {
        if (is_free(o)) continue;
        const char *kept = tp_dict_get_str(d, key_of(o, key));
        const char *now = o->seen ? text_of(o, number) : NULL;
        if (o->seen && (!kept || !now || strcmp(kept, now)))
            r = conflict(o, kept);
        else if (kept)
            r = set(o, kept);
    }
    return r;
}
