/* main.c -- taper: the list of commands, and the way to one of them. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <signal.h>
#include <string.h>

static const cli_command commands[] = {
    {"get", "NAME", "fetch a data set: mnist_sample, mnist_tiny, mnist, fashion_mnist", NULL, 1, -1,
     cmd_get},
    {"baseline", "DIR", "how far plain pixel similarity gets", NULL, 1, 1, cmd_baseline},
    {"train", "DIR", "train a classifier on a folder of images and save it",
     "DIR holds train/ and valid/ with a folder of images per class, or one folder per class, "
     "or labels.csv, or IDX files. Nothing but DIR is needed.",
     1, 1, cmd_train},
    {"evaluate", "MODEL DIR", "loss and accuracy of a saved model on a folder of images",
     "Uses the test part of DIR if there is one, else the validation part.", 2, 2, cmd_evaluate},
    {"predict", "MODEL IMAGE...", "classify images with a saved model",
     "An IMAGE of - reads paths from standard input.", 2, -1, cmd_predict},
    {"info", "MODEL", "what a model file holds", NULL, 1, 1, cmd_info},
};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

static int list(FILE *to) {
    fprintf(to, "taper %s: deep learning in C\n\nusage: taper COMMAND ...\n\n", tp_version());
    for (int i = 0; i < NCOMMANDS; i++) {
        char name[40];
        snprintf(name, sizeof name, "%-9s %s", commands[i].name, commands[i].args);
        cli_entry(to, "  ", name, 28, commands[i].summary);
    }
    fprintf(to, "\nThe main job: taper train DIR\n");
    cli_fold(to, "A command with nothing behind it prints its options, each with its default.", 0,
             0);
    return CLI_OK;
}

static int unknown(const char *word) {
    const char *names[NCOMMANDS];
    for (int i = 0; i < NCOMMANDS; i++) names[i] = commands[i].name;
    const char *near = cli_nearest(word, names, NCOMMANDS);
    if (near)
        fprintf(stderr, "taper: there is no command '%s'; did you mean '%s'?\n", word, near);
    else
        fprintf(stderr, "taper: there is no command '%s'; 'taper' alone lists them\n", word);
    return CLI_USAGE;
}

static int run(const char *word, int argc, char **argv) {
    for (int i = 0; i < NCOMMANDS; i++)
        if (!strcmp(word, commands[i].name)) return commands[i].run(&commands[i], argc, argv);
    return unknown(word);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_DFL);
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) return list(stdout);
    if (!strcmp(argv[1], "--version")) return printf("taper %s\n", tp_version()) < 0;
    if (!strcmp(argv[1], "help")) {
        char *help[] = {"--help", NULL};
        return argc < 3 ? list(stdout) : run(argv[2], 1, help);
    }
    return run(argv[1], argc - 2, argv + 2);
}
