/* plot.h -- the pictures of this book, drawn by gnuplot.
 *
 *     plot *p = plot_new("parabola.svg", .title = "x squared", .xlabel = "x");
 *     plot_line(p, x, y, "x^2");
 *     plot_points(p, x0, y0, "where we stand");
 *     if (plot_save(p)) return tp_perror("parabola");
 *
 * x and y are tensors of one length, or single numbers. plot_save leaves three files: parabola.svg,
 * and what it was drawn from, parabola.dat and parabola.gp. Change the script, run `gnuplot
 * parabola.gp`, and the picture is in your style. A name that ends in .png gives a PNG.
 *
 * Errors are as in taper: a NULL argument fails quietly, and plot_save, which frees the plot, says
 * in the end whether all went well. */
#ifndef TAPER_BOOK_PLOT_H
#define TAPER_BOOK_PLOT_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taper.h>

typedef struct plot_opts {
    size_t size;
    const char *title, *xlabel, *ylabel; /* of the picture, or of its first panel */
    double xrange[2], yrange[2];         /* both 0: whatever the data needs */
    int panels;                          /* side by side; 0 means 1 */
    int width, height;                   /* 0: 600 and 380; with panels 300 each and 280 */
    int digits;                          /* of the data of lines and points; 0: 5 */
} plot_opts;

typedef struct plot {
    char stem[64];    /* "parabola" */
    FILE *dat, *gp;   /* data and script */
    int sets;         /* of data, so far */
    int digits;       /* of a number */
    tp_status status; /* the first error */
    char clause[900]; /* what the panel's plot command draws, so far */
} plot;

/* The panel's plot command. */
static inline void plot__flush(plot *p) {
    if (*p->clause) fprintf(p->gp, "plot %s\n", p->clause);
    *p->clause = 0;
}

static inline void plot__style(plot *p, const char *file, const plot_opts *o) {
    const int n = o->panels ? o->panels : 1;
    const int width = o->width ? o->width : n > 1 ? 300 * n : 600;
    const int height = o->height ? o->height : n > 1 ? 280 : 380;
    const bool png = strstr(file, ".png") != NULL;
    fprintf(p->gp, "set terminal %s size %d,%d font 'sans,%d' background rgb 'white'\n",
            png ? "pngcairo" : "svg", width, height, png ? 12 : 16);
    fprintf(p->gp, "set output '%s'\n", file);
    fputs("set border 3 lc rgb '#555555'\nset tics nomirror\nset grid lc rgb '#dddddd' lt 1\n"
          "set linetype 1 lc rgb '#1f6fb4' lw 3 pt 7\nset linetype 2 lc rgb '#d9541a' lw 3 pt 7\n"
          "set linetype 3 lc rgb '#2e8b57' lw 3 pt 7\nset pointsize 0.7\n"
          "set palette gray negative\nunset colorbox\n",
          p->gp);
    if (o->xrange[0] < o->xrange[1])
        fprintf(p->gp, "set xrange [%g:%g]\n", o->xrange[0], o->xrange[1]);
    if (o->yrange[0] < o->yrange[1])
        fprintf(p->gp, "set yrange [%g:%g]\n", o->yrange[0], o->yrange[1]);
    if (o->xlabel) fprintf(p->gp, "set xlabel \"%s\"\n", o->xlabel);
    if (o->ylabel) fprintf(p->gp, "set ylabel \"%s\"\n", o->ylabel);
    if (n > 1) fprintf(p->gp, "set multiplot layout 1,%d\n", n);
    if (o->title) fprintf(p->gp, "set title \"%s\"\n", o->title);
}

static inline FILE *plot__open(const char *stem, const char *ending) {
    char path[80];
    snprintf(path, sizeof path, "%s.%s", stem, ending);
    FILE *f = fopen(path, "w");
    if (!f) tp_error_set(TP_EIO, "%s: %s", path, strerror(errno));
    return f;
}

static inline plot *plot_new_opts(const char *file, const plot_opts *o) {
    plot *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    snprintf(p->stem, sizeof p->stem, "%.*s", (int)strcspn(file, "."), file);
    p->digits = o->digits ? o->digits : 5;
    p->dat = plot__open(p->stem, "dat");
    p->gp = p->dat ? plot__open(p->stem, "gp") : NULL;
    if (p->gp) return plot__style(p, file, o), p;
    if (p->dat) fclose(p->dat);
    free(p);
    return NULL;
}
#define plot_new(...) PLOT__NEW(__VA_ARGS__, .size = sizeof(plot_opts))
#define PLOT__NEW(file, ...) plot_new_opts(file, &(plot_opts){__VA_ARGS__})

/* What was wrong is told by plot_save. */
static inline void plot__failed(plot *p) {
    if (p && !p->status) p->status = tp_error_code() ? tp_error_code() : TP_ENULL;
}

/* Any gnuplot command, for what follows: "set logscale y". */
static inline void plot_command(plot *p, const char *command) {
    if (p) fprintf(p->gp, "%s\n", command);
}

/* From here on the next panel is drawn. */
static inline void plot_next(plot *p, const char *title) {
    if (!p) return;
    plot__flush(p);
    fprintf(p->gp, "set title \"%s\"\n", title);
}

/* One more set of data in the panel; `how` is gnuplot's, from "using" on. */
static inline void plot__add(plot *p, const char *how, const char *label) {
    const size_t used = strlen(p->clause);
    snprintf(p->clause + used, sizeof p->clause - used, "%s'%s.dat' index %d %s %s%s%s",
             used ? ", " : "", p->stem, p->sets - 1, how, label ? "title \"" : "notitle",
             label ? label : "", label ? "\"" : "");
}

/* The numbers of x, row-major; the caller frees them. */
static inline double *plot__numbers(const tp_tensor *x) {
    const int64_t n = tp_numel(x);
    double *v = n > 0 ? malloc((size_t)n * sizeof *v) : NULL;
    if (v && tp_copy_to(x, v, n, TP_FLOAT64) == TP_OK) return v;
    free(v);
    return NULL;
}

static inline void plot__xy(plot *p, tp_tensor *x, tp_tensor *y, const char *how,
                            const char *label) {
    const int64_t n = tp_numel(x);
    double *a = plot__numbers(x), *b = plot__numbers(y);
    if (p && a && b && n == tp_numel(y)) {
        fputs(p->sets++ ? "\n\n" : "", p->dat);
        for (int64_t i = 0; i < n; i++)
            fprintf(p->dat, "%.*g %.*g\n", p->digits, a[i], p->digits, b[i]);
        plot__add(p, how, label);
    } else {
        if (a && b) tp_error_set(TP_ESHAPE, "plot: x and y differ in their number of elements");
        plot__failed(p);
    }
    free(a);
    free(b);
}

/* y against x, as a line or as points; label is NULL or a line of the legend. */
#define plot_line(p, x, y, label) \
    plot__xy(p, TP__NUM(x), TP__NUM(y), "using 1:2 with lines", label)
#define plot_points(p, x, y, label) \
    plot__xy(p, TP__NUM(x), TP__NUM(y), "using 1:2 with points", label)

/* The frame of a panel that shows a matrix [H, W]: row 0 on top, no axes, 0 white, `max` black. */
static inline void plot__frame(plot *p, const tp_tensor *image, double max) {
    fprintf(p->gp,
            "set xrange [-0.5:%g]\nset yrange [%g:-0.5]\nset cbrange [0:%g]\n"
            "set border 15 lc rgb '#999999'\nunset tics\nunset grid\n",
            (double)tp_size(image, 1) - 0.5, (double)tp_size(image, 0) - 0.5, max);
}

/* Whether it could be done. */
static inline bool plot__matrix(plot *p, tp_tensor *image) {
    double *v = p && tp_ndim(image) == 2 ? plot__numbers(image) : NULL;
    if (!v) {
        if (image) tp_error_set(TP_ESHAPE, "plot: an image has two axes, not %d", tp_ndim(image));
        return plot__failed(p), false;
    }
    fputs(p->sets++ ? "\n\n" : "", p->dat);
    const int64_t n = tp_numel(image), W = tp_size(image, 1);
    for (int64_t i = 0; i < n; i++) fprintf(p->dat, "%.4g%c", v[i], i % W < W - 1 ? ' ' : '\n');
    free(v);
    plot__frame(p, image, tp_dtype_of(image) == TP_UINT8 ? 255 : 1);
    return true;
}

/* A grey image [H, W]: bytes, 0 (white) to 255, or floats, 0 to 1. PNG keeps pixels sharp. */
static inline void plot_image(plot *p, tp_tensor *image) {
    if (!plot__matrix(p, image)) return;
    plot_command(p, "set size ratio -1");
    plot__add(p, "matrix with image", NULL);
}

/* The same with the value of each pixel written on it. */
static inline void plot_table(plot *p, tp_tensor *image) {
    if (!plot__matrix(p, image)) return;
    plot__add(p, "matrix with image pixels", NULL);
    plot__add(p,
              "matrix using 1:2:(sprintf('%d', $3)):($3 > 140 ? 0xffffff : 0x000000) "
              "with labels textcolor rgb variable",
              NULL);
}

/* Draws the picture, and frees p. */
static inline tp_status plot_save(plot *p) {
    if (!p) return tp_error_code() ? tp_error_code() : TP_ENULL;
    char command[96];
    plot__flush(p);
    fclose(p->dat);
    fclose(p->gp);
    snprintf(command, sizeof command, "gnuplot %s.gp", p->stem);
    FILE *gnuplot = popen(command, "w");
    const int status = gnuplot ? pclose(gnuplot) : -1;
    tp_status result = p->status;
    free(p);
    if (!result && status)
        result = tp_error_set(TP_EIO, "%s did not work (is gnuplot installed?)", command);
    return result;
}

#endif
