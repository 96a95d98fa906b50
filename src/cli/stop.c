/* stop.c -- Ctrl-C: the first one asks the learner to stop after the batch, the second ends the
 * program at once. Model files are written atomically, so neither leaves half a file. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static tp_learner *volatile watched;
static volatile sig_atomic_t seen;

static void on_signal(int sig) {
    if (seen++) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    if (watched) tp_learner_stop(watched);
}

void cli_stop_watch(tp_learner *l) {
    watched = l;
    if (!l) return;
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

bool cli_stop_seen(void) {
    return seen > 0;
}
