/* get_main.c -- the command line of taper-get: options, help, exit code.
 *
 * One table is the list of options, their help and their parser. */
#define _POSIX_C_SOURCE 200809L
#include "get.h"
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <locale.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef bool (*setter)(void *field, const char *value);

static bool set_text(void *field, const char *value) {
    *(const char **)field = value;
    return *value != '\0';
}

static bool set_flag(void *field, const char *value) {
    (void)value;
    return *(bool *)field = true;
}

static bool set_count(void *field, const char *value) {
    char *end;
    errno = 0;
    const long long n = strtoll(value, &end, 10);
    *(int64_t *)field = n;
    return end != value && !*end && !errno && n >= 1 && n <= 100000;
}

static bool set_seconds(void *field, const char *value) {
    char *end;
    const double x = strtod(value, &end);
    *(double *)field = x;
    return end != value && !*end && x >= 0 && x <= 3600;
}

/* "500M": decimal units. */
static bool set_size(void *field, const char *value) {
    static const char units[] = "kMGT";
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || errno || n < 1) return false;
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (*end && (!unit || end[1])) return false;
    for (int i = 0; unit && i <= unit - units; i++) {
        if (n > INT64_MAX / 1000) return false;
        n *= 1000;
    }
    *(int64_t *)field = n;
    return true;
}

/* 64 hex digits, made lower-case in a place of their own. */
static bool set_sha256(void *field, const char *value) {
    static char hex[65];
    if (strlen(value) != 64 || strspn(value, "0123456789abcdefABCDEF") != 64) return false;
    for (int i = 0; i < 64; i++) hex[i] = (char)tolower((unsigned char)value[i]);
    *(const char **)field = hex;
    return true;
}

typedef struct option {
    const char *name, *arg; /* arg: NULL for a flag */
    setter set;
    size_t field;
    const char *fallback, *text;
} option;

static const option options[] = {
    {"--to", "DIR", set_text, offsetof(get_opts, to), "its name, here", "the folder it becomes"},
    {"--from", "DIR|URL", set_text, offsetof(get_opts, from), "its home",
     "where a known data set's files are"},
    {"--sha256", "HEX", set_sha256, offsetof(get_opts, sha256), "any",
     "what a URL's or a local file must hash to"},
    {"--max-size", "BYTES", set_size, offsetof(get_opts, max_size), "100 x the archive, or 256M",
     "most to be unpacked: 500M"},
    {"--tries", "N", set_count, offsetof(get_opts, tries), "5",
     "requests in a row that may bring nothing"},
    {"--wait", "SECONDS", set_seconds, offsetof(get_opts, wait), "1",
     "before the second request; then doubled"},
    {"--timeout", "SECONDS", set_count, offsetof(get_opts, timeout), "30",
     "until a silent server counts as broken"},
    {"--force", NULL, set_flag, offsetof(get_opts, force), "off",
     "move a folder in the way aside, to DIR.old"},
    {"--refresh", NULL, set_flag, offsetof(get_opts, refresh), "off",
     "fetch again what is in the cache"},
    {"--json", NULL, set_flag, offsetof(get_opts, json), "off", "one JSON object a line"},
};

static void print_help(void) {
    char size[32];
    puts("taper get NAME [options]: brings a data set here, verified and unpacked.\n"
         "NAME is a known name, a URL (http, https, file), a local archive\n"
         "(.tgz, .tar.gz, .tar, .zip) or a gzipped IDX file.\n\n"
         "Known names:");
    for (int i = 0; i < get_known_count; i++) {
        const get_known *k = &get_known_sets[i];
        printf("  %-14s %7s  %s\n", k->name, get_size(size, get_known_bytes(k)), k->title);
    }
    puts("\nOptions, with their defaults:");
    for (int i = 0; i < GET_COUNT(options); i++) {
        char left[32];
        const option *p = &options[i];
        snprintf(left, sizeof left, "%s %s", p->name, p->arg ? p->arg : "");
        printf("  %-18s %s [%s]\n", left, p->text, p->fallback);
    }
    char *cache = get_cache_dir();
    printf("\nArchives are kept in %s, so the second time needs no network\n"
           "(TAPER_HOME or XDG_CACHE_HOME put them elsewhere).\n",
           cache ? cache : "$TAPER_HOME");
    free(cache);
}

/* Takes argv[*i], and its value. The value stands behind a '=' or in the next word. */
static bool take_option(get_opts *o, char **argv, int *i) {
    const char *word = argv[*i];
    const size_t n = strcspn(word, "=");
    for (int k = 0; k < GET_COUNT(options); k++) {
        const option *p = &options[k];
        if (strlen(p->name) != n || strncmp(p->name, word, n)) continue;
        const char *value = word[n] ? word + n + 1 : NULL;
        if (!p->arg && value) return get_fail("%s takes no value", p->name);
        if (p->arg && !value) value = argv[*i + 1] ? argv[++*i] : NULL;
        if (p->arg && !value) return get_fail("%s wants a value: %s", p->name, p->arg);
        if (p->set((char *)o + p->field, value)) return true;
        return get_fail("%s: '%s' is not a value for %s", p->name, value, p->arg);
    }
    return get_fail("there is no option %s", word);
}

static bool parse(get_opts *o, int argc, char **argv, bool *help) {
    bool words_only = false; /* after "--" */
    *help = argc < 2;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!words_only && (!strcmp(word, "--help") || !strcmp(word, "-h"))) {
            *help = true;
        } else if (!words_only && !strcmp(word, "--")) {
            words_only = true;
        } else if (!words_only && word[0] == '-') {
            if (!take_option(o, argv, &i)) return false;
        } else if (o->what) {
            return get_fail("one data set at a time: %s or %s?", o->what, word);
        } else if (!*word) {
            return get_fail("the name is empty");
        } else {
            o->what = word;
        }
    }
    return o->what || *help || get_fail("which data set?");
}

int main(int argc, char **argv) {
    get_opts o = {.tries = 5, .wait = 1, .timeout = 30};
    bool help;
    int code = GET_USAGE;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) setlocale(LC_CTYPE, ""); /* for names in archives */
    if (parse(&o, argc, argv, &help)) {
        get_say_setup(o.json);
        get_catch_signals();
        curl_global_init(CURL_GLOBAL_DEFAULT);
        if (help) print_help();
        code = help ? GET_DONE : get_run(&o);
        curl_global_cleanup();
    }
    if (code != GET_DONE) fprintf(stderr, "taper get: %s\n", get_error());
    if (code == GET_USAGE) fputs("taper get --help lists names and options\n", stderr);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "taper get: cannot write to stdout: %s\n", strerror(errno));
        return GET_FAILED;
    }
    return code;
}
