/* args.c -- options from tables: parsing, ranges, help. One line for whatever is wrong. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- help ------------------------------------------------------------------------------------ */

static void help_line(const char *name, const char *text, const char *dflt, FILE *to) {
    char line[512];
    if (*dflt)
        snprintf(line, sizeof line, "%s [%s]", text, dflt);
    else
        snprintf(line, sizeof line, "%s", text);
    cli_entry(to, "  ", name, 24, line);
}

void cli_help(const cli_command *c, const cli_option *options, FILE *to) {
    char call[128];
    snprintf(call, sizeof call, "taper %s %s [options]", c->name, c->args);
    const int indent = fprintf(to, "usage: ");
    cli_fold(to, call, indent, indent);
    fputc('\n', to);
    cli_fold(to, c->summary, 0, 0);
    if (c->more) cli_fold(to, c->more, 0, 0);
    fputc('\n', to);
    cli_fold(to, "options, each with its default:", 0, 0);
    for (const cli_option *o = options; o->name; o++) {
        char name[64];
        snprintf(name, sizeof name, o->type == CLI_FLAG ? "%s" : "%s %s", o->name, o->value);
        help_line(name, o->help, o->dflt, to);
    }
    help_line("--help", "this text", "", to);
}

/* ---- complaints ------------------------------------------------------------------------------ */

int cli_usage(const cli_command *c, const char *fmt, ...) {
    cli_progress_clear();
    fprintf(stderr, "taper %s: ", c->name);
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return CLI_USAGE;
}

int cli_failed(const cli_command *c) {
    char what[64];
    cli_progress_clear();
    fflush(stdout);
    snprintf(what, sizeof what, "taper %s", c->name);
    tp_perror(what);
    return CLI_FAILED;
}

/* Edits (insert, delete, replace) that turn a into b; words are short. */
static int distance(const char *a, const char *b) {
    enum { MAX = 32 };
    int row[MAX + 1];
    const int n = (int)strlen(b) < MAX ? (int)strlen(b) : MAX;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1,
                      swap = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            row[j] = best < swap ? best : swap;
        }
    }
    return row[n];
}
const char *cli_nearest(const char *word, const char *const *names, int n) {
    const char *best = NULL;
    int least = 3;
    for (int i = 0; i < n; i++) {
        const int d = distance(word, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

static int unknown_option(const cli_command *c, const cli_option *options, const char *word) {
    const char *names[64];
    int n = 0;
    for (const cli_option *o = options; o->name && n < 64; o++) names[n++] = o->name;
    const char *near = cli_nearest(word, names, n);
    if (near) return cli_usage(c, "unknown option '%s'; did you mean '%s'?", word, near);
    return cli_usage(c, "unknown option '%s'; 'taper %s' alone lists them", word, c->name);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool cli_is_choice(const char *choices, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = choices; n && p; p = strchr(p, '|')) {
        p += *p == '|';
        if (!strncmp(p, word, n) && (p[n] == '|' || !p[n])) return true;
    }
    return false;
}

static int set_number(const cli_command *c, const cli_option *o, const char *text) {
    char *end;
    errno = 0;
    const double v = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(v))
        return cli_usage(c, "%s: '%s' is not a number", o->name, text);
    if (o->type == CLI_INT && v != floor(v))
        return cli_usage(c, "%s: '%s' is not a whole number", o->name, text);
    if (v < o->min || v > o->max)
        return cli_usage(c, "%s: %s is out of range; it may be %.15g to %.15g", o->name, text,
                         o->min, o->max);
    if (o->type == CLI_INT)
        *(int64_t *)o->out = (int64_t)v;
    else
        *(double *)o->out = v;
    return CLI_OK;
}

static int set_option(const cli_command *c, const cli_option *o, const char *text) {
    if (o->type == CLI_INT || o->type == CLI_NUMBER) return set_number(c, o, text);
    if (o->type == CLI_CHOICE && !cli_is_choice(o->choices, text))
        return cli_usage(c, "%s: '%s' is not one of %s", o->name, text, o->choices);
    if (!*text) return cli_usage(c, "%s: the value is empty", o->name);
    *(const char **)o->out = text;
    return CLI_OK;
}

/* The row that word names, with *value set to what stands behind '=' if anything does. */
static cli_option *find(cli_option *options, const char *word, const char **value) {
    const char *equals = !strncmp(word, "--", 2) ? strchr(word, '=') : NULL;
    const size_t n = equals ? (size_t)(equals - word) : strlen(word);
    *value = equals ? equals + 1 : NULL;
    for (cli_option *o = options; o->name; o++)
        if (strlen(o->name) == n && !strncmp(o->name, word, n)) return o;
    return NULL;
}

/* One option at argv[*i]; moves *i over its value. */
static int take_option(const cli_command *c, cli_option *options, int argc, char **argv, int *i) {
    const char *value;
    cli_option *o = find(options, argv[*i], &value);
    if (!o) return unknown_option(c, options, argv[*i]);
    o->seen = true;
    if (o->given) *o->given = true;
    if (o->type == CLI_FLAG) {
        if (value) return cli_usage(c, "%s takes no value", o->name);
        *(bool *)o->out = true;
        return CLI_OK;
    }
    if (!value && *i + 1 < argc) value = argv[++*i];
    if (!value) return cli_usage(c, "%s wants a value: %s %s", o->name, o->name, o->value);
    return set_option(c, o, value);
}

int cli_parse(const cli_command *c, cli_option *options, int argc, char **argv, int *status) {
    int n = 0;
    bool only_args = false;
    *status = CLI_OK;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (only_args || a[0] != '-' || !a[1]) {
            argv[n++] = argv[i];
        } else if (!strcmp(a, "--")) {
            only_args = true;
        } else if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            cli_help(c, options, stdout);
            return -1;
        } else if ((*status = take_option(c, options, argc, argv, &i)))
            return -1;
    }
    if (!argc && c->min_args) {
        cli_help(c, options, stdout);
        return -1;
    }
    if (n < c->min_args)
        *status =
            cli_usage(c, "%s is missing: taper %s %s", n ? "something" : c->args, c->name, c->args);
    else if (c->max_args >= 0 && n > c->max_args)
        *status =
            cli_usage(c, "'%s' is one too many: taper %s %s", argv[c->max_args], c->name, c->args);
    return *status ? -1 : n;
}

int cli_threads(const cli_command *c, int64_t n) {
    return tp_set_num_threads((int)n) ? cli_failed(c) : CLI_OK;
}
