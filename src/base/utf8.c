/* utf8.c -- is this text UTF-8, and how to show it if it is not.
 *
 * Names of files are bytes. What is stored or printed must be text, so names that are not are
 * refused where they would be stored, and shown with their odd bytes as \xNN. */
#include "base/base.h"
#include <string.h>

/* Bytes of the character at s, 0 if there is none in its shortest form. Stops at a NUL. */
static int character(const unsigned char *s) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) return s[0] ? 1 : 0;
    const int n = s[0] >= 0xf8 ? 0 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
    if (!n) return 0;
    uint32_t c = s[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    const bool surrogate = c >= 0xd800 && c < 0xe000;
    return c < least[n] || c > 0x10ffff || surrogate ? 0 : n;
}

/* A control character: one that a terminal may act on. */
static bool control(const unsigned char *s, int n) {
    return (n == 1 && (s[0] < 0x20 || s[0] == 0x7f)) || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

bool tp__utf8_valid(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    for (int n; *s; s += n)
        if (!(n = character(s))) return false;
    return true;
}

bool tp__utf8_printable(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    for (int n; *s; s += n)
        if (!(n = character(s)) || control(s, n)) return false;
    return true;
}

const char *tp__utf8_show(const char *text, char *room, size_t size) {
    if (tp__utf8_printable(text)) return text;
    const unsigned char *s = (const unsigned char *)text;
    char *to = room, *const end = room + size;
    while (*s) {
        const int n = character(s);
        const bool plain = n && !control(s, n);
        if (end - to <= (plain ? n : 4)) break;
        if (plain) {
            memcpy(to, s, (size_t)n);
            to += n;
            s += n;
        } else
            to += snprintf(to, 5, "\\x%02x", *s++);
    }
    *to = '\0';
    return room;
}
