/* print.c -- a tensor as PyTorch 1.13.1 writes it.
 *
 * Two walks over the elements that are shown: the first finds one format for all of them, the
 * second writes. Text goes to a file or a buffer piece by piece, so nothing is allocated. */
#define _POSIX_C_SOURCE 200809L
#include "tensor/tensor.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { THRESHOLD = 1000, EDGE = 3, INDENT = 7 /* of "tensor(" */ };
enum { LINE_WIDTH = 80, PRECISION = 4, PRECISION_MOST = 60 };
enum { NUMBER_TEXT = 96 }; /* fits 8 digits, a point and PRECISION_MOST, or any int64_t */

static _Thread_local struct { int linewidth, precision; /* 0: the default */ } options;

void tp_set_printoptions(int linewidth, int precision) {
    if (linewidth < 0 || precision < 0 || precision > PRECISION_MOST) {
        tp_error_set(TP_EVALUE,
                     "set_printoptions: linewidth %d, precision %d; precision is at most %d",
                     linewidth, precision, PRECISION_MOST);
        return;
    }
    options.linewidth = linewidth;
    options.precision = precision;
}

/* ---- the sink -------------------------------------------------------------------------------- */

typedef struct sink {
    FILE *file; /* or, if NULL, buf */
    char *buf;
    size_t size;
    int64_t n, line; /* bytes so far; where the last line began */
} sink;

static void put_n(sink *s, const char *text, size_t n) {
    if (s->file) fwrite(text, 1, n, s->file);
    for (size_t i = 0; i < n; i++, s->n++) {
        if (!s->file && (size_t)s->n + 1 < s->size) s->buf[s->n] = text[i];
        if (text[i] == '\n') s->line = s->n + 1;
    }
}
static void put(sink *s, const char *text) {
    put_n(s, text, strlen(text));
}
static void put_spaces(sink *s, int64_t n) {
    for (; n > 0; n--) put_n(s, " ", 1);
}

/* ---- the format ------------------------------------------------------------------------------ */

typedef enum { INTEGERS, BOOLS, WHOLE /* 3. */, FIXED /* 3.1416 */, SCIENTIFIC } style;

typedef struct printer {
    const tp_tensor *x;
    sink out;
    int64_t linewidth;
    int precision;
    bool summarize;
    style style;
    int64_t width; /* elements are padded to it */
} printer;

/* The places of an axis: its indices, or, where a long one is cut, three at each end and a mark. */
static bool cuts(const printer *p, int d) {
    return p->summarize && p->x->shape[d] > 2 * EDGE;
}
static int64_t places(const printer *p, int d) {
    return cuts(p, d) ? 2 * EDGE + 1 : p->x->shape[d];
}
static bool is_mark(const printer *p, int d, int64_t place) {
    return cuts(p, d) && place == EDGE;
}
static const char *at_place(const printer *p, int d, const char *base, int64_t place) {
    const bool far_end = cuts(p, d) && place > EDGE;
    const int64_t i = far_end ? p->x->shape[d] - places(p, d) + place : place;
    return base + i * p->x->stride[d] * tp_dtype_size((tp_dtype)p->x->dtype);
}

/* Call visit for each element that is shown. */
typedef void (*visit_fn)(const printer *p, const char *at, void *ctx);
static void walk(const printer *p, int d, const char *base, visit_fn visit, void *ctx) {
    if (d == p->x->ndim) {
        visit(p, base, ctx);
        return;
    }
    for (int64_t i = 0; i < places(p, d); i++)
        if (!is_mark(p, d, i)) walk(p, d + 1, at_place(p, d, base, i), visit, ctx);
}

static double real_at(const printer *p, const char *at) {
    if (p->x->dtype == TP_FLOAT32) return (double)*(const float *)(const void *)at;
    const double v = *(const double *)(const void *)at;
    return p->x->weak ? (double)(float)v : v; /* a number by itself is a float32 */
}

void tp__plain_point(char *text) {
    char *p = text;
    while (*p == '-' || (*p >= '0' && *p <= '9')) p++;
    if (!*p || *p == 'e') return;
    char *fraction = p;
    while (*fraction && !(*fraction >= '0' && *fraction <= '9')) fraction++;
    *p++ = '.';
    memmove(p, fraction, strlen(fraction) + 1);
}

/* C prints the sign of a NaN, Python does not. */
static const char *odd_text(double v) {
    if (isnan(v)) return "nan";
    return v < 0 ? "-inf" : "inf";
}

static void real_text(const printer *p, double v, char text[NUMBER_TEXT]) {
    if (!isfinite(v)) {
        snprintf(text, NUMBER_TEXT, "%s", odd_text(v));
        return;
    }
    switch (p->style) {
    case SCIENTIFIC: snprintf(text, NUMBER_TEXT, "%.*e", p->precision, v); break;
    case FIXED: snprintf(text, NUMBER_TEXT, "%.*f", p->precision, v); break;
    default: snprintf(text, NUMBER_TEXT, "%.0f.", v); return; /* the point is ours */
    }
    tp__plain_point(text);
}

static void element_text(const printer *p, const char *at, char text[NUMBER_TEXT]) {
    if (p->style == BOOLS)
        snprintf(text, NUMBER_TEXT, "%s", *at ? "True" : "False");
    else if (p->style != INTEGERS)
        real_text(p, real_at(p, at), text);
    else if (p->x->dtype == TP_UINT8)
        snprintf(text, NUMBER_TEXT, "%d", *(const unsigned char *)at);
    else
        snprintf(text, NUMBER_TEXT, "%" PRId64, *(const int64_t *)(const void *)at);
}

/* Of the magnitudes of finite nonzero elements: the others have no say in the format. */
typedef struct range {
    double min, max; /* min > max: there are none */
    bool fractions;
} range;
static bool has_a_say(double v) {
    return isfinite(v) && v != 0;
}
static void visit_range(const printer *p, const char *at, void *ctx) {
    range *r = ctx;
    const double v = real_at(p, at);
    if (!has_a_say(v)) return;
    if (fabs(v) < r->min) r->min = fabs(v);
    if (fabs(v) > r->max) r->max = fabs(v);
    if (v != ceil(v)) r->fractions = true;
}
static void visit_width(const printer *p, const char *at, void *ctx) {
    int64_t *width = ctx;
    char text[NUMBER_TEXT];
    if (tp__is_float((tp_dtype)p->x->dtype) && !has_a_say(real_at(p, at))) return;
    element_text(p, at, text);
    const int64_t n = (int64_t)strlen(text);
    if (n > *width) *width = n;
}

static style real_style(const printer *p) {
    range r = {.min = INFINITY, .max = 0};
    walk(p, 0, tp__ptr(p->x), visit_range, &r);
    if (r.min > r.max) return WHOLE;
    const bool far_apart = r.max / r.min > 1000.0 || r.max > 1.0e8;
    if (far_apart || (r.fractions && r.min < 1.0e-4)) return SCIENTIFIC;
    return r.fractions ? FIXED : WHOLE;
}

static void choose_format(printer *p) {
    p->summarize = p->x->numel > THRESHOLD;
    switch ((tp_dtype)p->x->dtype) {
    case TP_FLOAT32:
    case TP_FLOAT64: p->style = real_style(p); break;
    case TP_BOOL: p->style = BOOLS; break;
    default: p->style = INTEGERS; break;
    }
    p->width = 1;
    walk(p, 0, tp__ptr(p->x), visit_width, &p->width);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_element(printer *p, const char *at) {
    char text[NUMBER_TEXT];
    element_text(p, at, text);
    put_spaces(&p->out, p->width - (int64_t)strlen(text));
    put(&p->out, text);
}

/* The last axis: as many to a line as its width holds; the mark of a cut counts as one. */
static void put_row(printer *p, int d, const char *base) {
    const int64_t indent = INDENT + d, fit = (p->linewidth - indent) / (p->width + 2);
    const int64_t per_line = fit > 1 ? fit : 1;
    put(&p->out, "[");
    for (int64_t i = 0; i < places(p, d); i++) {
        const bool new_line = i && i % per_line == 0;
        if (i) put(&p->out, new_line ? ",\n" : ", ");
        if (new_line) put_spaces(&p->out, indent + 1);
        if (is_mark(p, d, i))
            put(&p->out, " ...");
        else
            put_element(p, at_place(p, d, base, i));
    }
    put(&p->out, "]");
}

/* Rows are a line apart, blocks of rows two lines, and so on. */
static void put_block(printer *p, int d, const char *base) {
    const int last = p->x->ndim - 1;
    if (d == last) {
        put_row(p, d, base);
        return;
    }
    put(&p->out, "[");
    for (int64_t i = 0; i < places(p, d); i++) {
        if (i) {
            put(&p->out, ",");
            for (int k = d; k < last; k++) put(&p->out, "\n");
            put_spaces(&p->out, INDENT + d + 1);
        }
        if (is_mark(p, d, i))
            put(&p->out, "...");
        else
            put_block(p, d + 1, at_place(p, d, base, i));
    }
    put(&p->out, "]");
}

static void put_elements(printer *p) {
    if (!p->x->numel) {
        put(&p->out, "[]");
        return;
    }
    choose_format(p);
    if (p->x->ndim)
        put_block(p, 0, tp__ptr(p->x));
    else
        put_element(p, tp__ptr(p->x));
}

/* ", before text after", on a line of its own if it does not fit. *column is torch's: two more than
 * there are characters on the line at first, and exact once a suffix has begun a line. */
static void put_suffix(printer *p, int64_t *column, const char *before, const char *text,
                       const char *after) {
    const int64_t n = (int64_t)(strlen(before) + strlen(text) + strlen(after));
    const bool fits = *column + n + 2 <= p->linewidth;
    put(&p->out, fits ? ", " : ",\n");
    if (!fits) put_spaces(&p->out, INDENT);
    *column = fits ? *column + n + 2 : INDENT + n;
    put(&p->out, before);
    put(&p->out, text);
    put(&p->out, after);
}

static void put_suffixes(printer *p) {
    const tp_tensor *x = p->x;
    int64_t column = p->out.n - p->out.line + 2;
    if (!x->numel && x->ndim != 1) {
        char text[TP__SHAPE_TEXT];
        const tp_shape s = tp__shape(x);
        tp__shape_text(&s, text);
        text[strlen(text) - 1] = '\0';
        put_suffix(p, &column, "size=(", text + 1, ")");
    }
    const bool implied =
        x->dtype == TP_INT64 || x->dtype == TP_BOOL; /* by elements, if there are any */
    if (x->dtype != TP_FLOAT32 && !x->weak && !(x->numel && implied))
        put_suffix(p, &column, "dtype=torch.", tp_dtype_name((tp_dtype)x->dtype), "");
    if (x->grad_fn)
        put_suffix(p, &column, "grad_fn=<", x->grad_fn, ">");
    else if (x->requires_grad)
        put_suffix(p, &column, "requires_grad=True", "", "");
}

static int64_t put_tensor(const tp_tensor *x, sink out) {
    if (tp__is_none(x)) {
        put(&out, "None");
        return out.n;
    }
    printer p = {.x = x,
                 .out = out,
                 .linewidth = options.linewidth ? options.linewidth : LINE_WIDTH,
                 .precision = options.precision ? options.precision : PRECISION};
    put(&p.out, "tensor(");
    put_elements(&p);
    put_suffixes(&p);
    put(&p.out, ")");
    return p.out.n;
}

int64_t tp_repr(const tp_tensor *x, char *buf, size_t size) {
    if (!buf) size = 0;
    if (size) buf[0] = '\0';
    if (!x) return tp__error_null("repr"), -1;
    const int64_t n = put_tensor(x, (sink){.buf = buf, .size = size});
    if (size) buf[(size_t)n < size ? (size_t)n : size - 1] = '\0';
    return n;
}

void tp_print(const tp_tensor *x) {
    if (!x) {
        tp__error_null("print");
        return;
    }
    flockfile(stdout); /* whole tensors, when threads print at once */
    put_tensor(x, (sink){.file = stdout});
    fputc('\n', stdout);
    funlockfile(stdout);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* torch.Size([2, 3]) */
int64_t tp_shape_repr(const tp_tensor *x, char *buf, size_t size) {
    if (!buf) size = 0;
    if (size) buf[0] = '\0';
    if (!x) return tp__error_null("shape_repr"), -1;
    char text[TP__SHAPE_TEXT];
    return snprintf(buf, size, "torch.Size(%s)", tp__shape_text(&x->s, text));
}

void tp_print_shape(const tp_tensor *x) {
    char text[TP__SHAPE_TEXT];
    if (!x)
        tp__error_null("print_shape");
    else
        printf("torch.Size(%s)\n", tp__shape_text(&x->s, text));
}
