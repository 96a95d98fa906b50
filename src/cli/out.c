/* out.c -- what people and programs read: counts, facts, JSON lines, pictures. */
#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char *cli_count(int64_t n, char buf[32]) {
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int k = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-') buf[k++] = ',';
        buf[k++] = digits[i];
    }
    buf[k] = '\0';
    return buf;
}

bool cli_json(json_t *object) {
    char *line =
        object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9))
               : NULL;
    json_decref(object);
    if (!line) return tp_error_set(TP_ENOMEM, "out of memory"), false;
    puts(line);
    fflush(stdout);
    free(line);
    return true;
}

int cli_width(void) {
    struct winsize w;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 20) return w.ws_col;
    return 80;
}

/* How many columns a word takes, a character one. */
static int columns(const char *word, size_t bytes) {
    int n = 0;
    for (size_t i = 0; i < bytes; i++) n += ((unsigned char)word[i] & 0xc0) != 0x80;
    return n;
}

void cli_fold(FILE *to, const char *text, int col, int indent) {
    const int width = cli_width();
    for (size_t n; *(text += strspn(text, " ")); text += n) {
        n = strcspn(text, " ");
        const int wide = columns(text, n);
        if (col + wide >= width && col > indent) {
            fprintf(to, "\n%*s", indent, "");
            col = indent;
        } else if (col > indent) {
            fputc(' ', to);
            col++;
        }
        for (size_t i = 0; i < n; i++) fputc(text[i] == CLI_TIE[0] ? ' ' : text[i], to);
        col += wide;
    }
    fputc('\n', to);
}

void cli_entry(FILE *to, const char *before, const char *name, int indent, const char *text) {
    if (cli_width() >= 2 * indent + 12) {
        cli_fold(to, text, fprintf(to, "%s%-*s", before, indent - (int)strlen(before), name),
                 indent);
    } else { /* no room for two columns */
        fprintf(to, "%s%s\n%s    ", before, name, before);
        cli_fold(to, text, (int)strlen(before) + 4, (int)strlen(before) + 4);
    }
}

void cli_fact(const char *name, const char *fmt, ...) {
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const int indent = 13;
    cli_fold(stdout, text, printf("%-*s", indent, name), indent);
}

int cli_finish(const cli_command *c, int status) {
    if (!fflush(stdout) && !ferror(stdout)) return status;
    fprintf(stderr, "taper %s: cannot write the output: %s\n", c->name, strerror(errno));
    return CLI_FAILED;
}

/* Brightness of the pixel that lands on column x, row y of a picture of cols x rows. */
static float sample(const float *p, int channels, int height, int width, int x, int y, int cols,
                    int rows) {
    if (y >= rows) return 0;
    const int i = y * height / rows, j = x * width / cols;
    float sum = 0;
    for (int ch = 0; ch < channels; ch++) sum += p[((int64_t)ch * height + i) * width + j];
    return sum / (float)channels;
}
static int shade(float v) { /* of the terminal's 24 greys */
    const int s = (int)(v * 23 + 0.5f);
    return 232 + (s < 0 ? 0 : s > 23 ? 23 : s);
}

/* Two pixels a character: the upper half block in the upper pixel's grey on the lower one's.
 * Without a terminal, one character a pixel pair from dark to light. */
void cli_draw(const float *pixels, int channels, int height, int width, int indent) {
    const int room = cli_width() - indent - 1;
    const int cols = width < 28 && width < room ? width : room < 28 ? room : 28;
    const int rows = (cols * height + width - 1) / width;
    const bool colour = isatty(STDOUT_FILENO);
    static const char ramp[] = " .:-=+*#%@";
    for (int y = 0; y < rows; y += 2) {
        printf("%*s", indent, "");
        for (int x = 0; x < cols; x++) {
            const float up = sample(pixels, channels, height, width, x, y, cols, rows);
            const float down = sample(pixels, channels, height, width, x, y + 1, cols, rows);
            if (colour)
                printf("\033[38;5;%dm\033[48;5;%dm\xe2\x96\x80", shade(up), shade(down));
            else
                putchar(ramp[(int)((up + down) / 2 * 9 + 0.5f)]);
        }
        fputs(colour ? "\033[0m\n" : "\n", stdout);
    }
}
