/* callback.c -- events of a fit, and the callback that prints fastai's table.
 *
 * An event is a member of tp_callback, named by its offset; a callback that was compiled with fewer
 * members, or that leaves one NULL, is passed over. */
#include "learner/learner.h"
#include <string.h>

typedef tp_status (*handler)(tp_callback *cb, tp_learner *l);

static handler handler_of(const tp_callback *cb, size_t offset) {
    handler h = NULL;
    if (offset + sizeof h <= cb->size) memcpy(&h, (const char *)cb + offset, sizeof h);
    return h;
}

static const char *event_name(size_t offset) {
    static const struct {
        size_t offset;
        const char *name;
    } event[] = {
#define XX(event) {offsetof(tp_callback, event), #event},
        TP_EVENT_MAP(XX)
#undef XX
    };
    for (int i = 0; i < TP__COUNT(event); i++)
        if (event[i].offset == offset) return event[i].name;
    return "";
}

static tp_status call(tp_callback *cb, tp_learner *l, size_t offset) {
    const handler h = handler_of(cb, offset);
    const tp_status r = h ? h(cb, l) : TP_OK;
    if (!r) return TP_OK;
    if (r == TP_ESTOP) {
        if (tp_error_code() == TP_ESTOP) tp_error_clear();
        l->stopping = true;
        return TP_OK;
    }
    if (!tp_error_code()) tp_error_set(r, "%s", tp_status_text(r));
    return tp_error_prefix("%s of the callback \"%s\"", event_name(offset),
                           cb->name ? cb->name : "");
}

tp_status tp__event(tp_learner *l, size_t offset) {
    for (int i = 0; i < l->ncallbacks; i++) {
        const tp_status r = call(l->callback[i], l, offset);
        if (r) return r;
    }
    return l->stopping ? TP_ESTOP : TP_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Header names are padded to 8 at least, cells to their name, and joined by two spaces. */
enum { LEAST = 8 };

static void print_cell(const char *name, const char *text, bool last) {
    const size_t n = strlen(name), width = n < LEAST ? LEAST : n;
    printf("%-*s%s", (int)width, text, last ? "\n" : "  ");
}

static void print_number(const char *name, double value) {
    char text[64];
    snprintf(text, sizeof text, "%.6f", value);
    print_cell(name, text, false);
}

/* 01:05, or 1:01:05 from an hour on. */
static void print_time(double seconds) {
    char text[32];
    const long long s = (long long)seconds;
    if (s < 3600)
        snprintf(text, sizeof text, "%02lld:%02lld", s / 60, s % 60);
    else
        snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    print_cell("time", text, true);
}

static tp_status print_header(tp_callback *cb, tp_learner *l) {
    (void)cb;
    static const char *const first[] = {"epoch", "train_loss", "valid_loss"};
    for (int i = 0; i < TP__COUNT(first); i++) print_cell(first[i], first[i], false);
    for (int i = 0; i < l->nmetrics; i++) print_cell(l->metric[i].name, l->metric[i].name, false);
    print_cell("time", "time", true);
    fflush(stdout);
    return TP_OK;
}

static void print_validation(const char *name, const tp_learner *l, int column) {
    if (l->valid)
        print_number(name, tp_recorder_value(l, -1, column));
    else
        print_cell(name, "None", false);
}

static tp_status print_row(tp_callback *cb, tp_learner *l) {
    (void)cb;
    char epoch[32];
    snprintf(epoch, sizeof epoch, "%lld", (long long)l->progress.epoch);
    print_cell("epoch", epoch, false);
    print_number("train_loss", tp_recorder_value(l, -1, 0));
    print_validation("valid_loss", l, 1);
    for (int i = 0; i < l->nmetrics; i++) print_validation(l->metric[i].name, l, 2 + i);
    print_time(tp_recorder_seconds(l, -1));
    fflush(stdout);
    return TP_OK;
}

/* It keeps nothing, so one object serves all learners. */
tp_callback *tp_table_callback(void) {
    static tp_callback table = {.size = sizeof table,
                                .name = "table",
                                .order = 60,
                                .before_fit = print_header,
                                .after_epoch = print_row};
    return &table;
}
