/* cli.h -- what the commands share: options from tables, output, signals. Public taper.h only. */
#ifndef TAPER_SRC_CLI_H
#define TAPER_SRC_CLI_H
#define TAPER_PLAIN /* users of the program want no C file and line in a message */
#include "taper.h"
#include <jansson.h>
#include <stdio.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* ---- args.c: one row an option --------------------------------------------------------------- */

typedef enum cli_type {
    CLI_FLAG,   /* bool *out; no value */
    CLI_TEXT,   /* const char **out */
    CLI_CHOICE, /* const char **out; one of `choices`, separated by '|' */
    CLI_INT,    /* int64_t *out, min..max */
    CLI_NUMBER  /* double *out, min..max */
} cli_type;
typedef struct cli_option {
    const char *name; /* "--epochs", or "-o" */
    cli_type type;
    void *out;
    const char *value;   /* how the value is called in the help: "N" */
    const char *help;    /* one line */
    const char *dflt;    /* the default as text, "" if there is none to tell */
    const char *choices; /* CLI_CHOICE */
    double min, max;     /* CLI_INT, CLI_NUMBER */
    bool *given;         /* set where the user gave it; may be NULL */
    bool seen;           /* the same, for the table itself */
} cli_option;

/* Rows. `given` may be NULL. */
#define CLI_ROW_FLAG(name, out, help) \
    { name, CLI_FLAG, out, "", help, "", NULL, 0, 0, NULL, false }
#define CLI_ROW_TEXT(name, out, value, help, dflt) \
    { name, CLI_TEXT, out, value, help, dflt, NULL, 0, 0, NULL, false }
#define CLI_ROW_CHOICE(name, out, value, help, dflt, choices, given) \
    { name, CLI_CHOICE, out, value, help, dflt, choices, 0, 0, given, false }
#define CLI_ROW_INT(name, out, help, dflt, min, max) \
    { name, CLI_INT, out, "N", help, dflt, NULL, min, max, NULL, false }
#define CLI_ROW_NUMBER(name, out, help, dflt, min, max, given) \
    { name, CLI_NUMBER, out, "X", help, dflt, NULL, min, max, given, false }
#define CLI_ROW_END \
    { NULL, CLI_FLAG, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, false }

typedef struct cli_command {
    const char *name, *args; /* "train", "DIR" */
    const char *summary;     /* one line, as in the list of commands */
    const char *more;        /* further help, may be NULL */
    int min_args, max_args;  /* positional; max -1: any number */
    int (*run)(const struct cli_command *c, int argc, char **argv);
} cli_command;

/* Parse argv by the table (rows end with name NULL); the positional arguments stay in argv[0..n)
 * and n is returned. -1: done already (--help, or no argument at all where some are needed), exit
 * with *status, which is CLI_OK or, after one line on stderr, CLI_USAGE. */
int cli_parse(const cli_command *c, cli_option *options, int argc, char **argv, int *status);
bool cli_is_choice(const char *choices, const char *word); /* is word one of "a|b|c"? */
void cli_help(const cli_command *c, const cli_option *options, FILE *to);
/* One line on stderr, "taper train: ..."; returns CLI_USAGE. */
int cli_usage(const cli_command *c, const char *fmt, ...) TP_PRINTF(2, 3);
/* The pending error on stderr, cleared; returns CLI_FAILED. */
int cli_failed(const cli_command *c);
/* The word nearest to `word` among names[0..n), if it is near enough to be meant; or NULL. */
const char *cli_nearest(const char *word, const char *const *names, int n);
enum { CLI_MAX_SIDE = 64 }; /* --size: an mlp:512 on 640 x 480 in colour would be 1.9 GB */
/* Set the threads from --threads; CLI_FAILED with a line on stderr. */
int cli_threads(const cli_command *c, int64_t n);

/* ---- out.c: text and numbers for people, lines of JSON for programs -------------------------- */

const char *cli_count(int64_t n, char buf[32]); /* 12,396 */
/* Print and free a JSON object as one line; false on failure (the disk, memory). */
bool cli_json(json_t *object);
int cli_width(void); /* of the terminal; 80 where there is none */
/* Print text from column `col` on, folded to the width between its words, further lines indented.
 * A CLI_TIE is printed as a blank, and never folded. */
#define CLI_TIE "\x1f"
void cli_fold(FILE *to, const char *text, int col, int indent);
/* "name   text": the text in a column of its own, or below the name where that is too narrow. */
void cli_entry(FILE *to, const char *before, const char *name, int indent, const char *text);
/* "name   text", the text wrapped to the width and indented under itself. */
void cli_fact(const char *name, const char *fmt, ...) TP_PRINTF(2, 3);
/* Flush stdout; CLI_FAILED with a line if what was printed could not be written. */
int cli_finish(const cli_command *c, int status);
/* Draw grey values in [0, 1], 0 black, as half blocks, `indent` columns from the left. */
void cli_draw(const float *pixels, int channels, int height, int width, int indent);

/* ---- progress.c: one self-updating line on a terminal ---------------------------------------- */

typedef struct cli_progress cli_progress;
/* A callback that draws the line while a learner trains; NULL where stderr is no terminal. */
tp_callback *cli_progress_callback(void);
void cli_progress_clear(void); /* before anything else is printed */
/* fastai's table; on a terminal too narrow for it, one with shorter names and numbers. */
tp_callback *cli_table_callback(const char *metric);

/* ---- stop.c: the first Ctrl-C asks the learner to stop, the second ends the program ---------- */

void cli_stop_watch(tp_learner *l); /* NULL: no longer */
bool cli_stop_seen(void);

/* ---- resume.c: a checkpoint holds the options that it was made with -------------------------- */

/* The value of every option that decides results, as strings of d. */
tp_status cli_keep_options(const cli_option *options, tp_dict *d);
/* Set the options as they stand in d, which has to outlive them. An error names the option that the
 * user gave with another value. A checkpoint without options changes nothing. */
tp_status cli_take_options(cli_option *options, const tp_dict *d);

/* ---- recipe.c: which model, loss, optimizer and schedule ------------------------------------- */

typedef struct cli_recipe {
    const char *model, *loss, *metric, *opt, *schedule, *init; /* as given or chosen */
    int64_t epochs, bs, seed;
    double lr, momentum, wd;
    bool shuffle, binary;
    int outputs;
} cli_recipe;
/* "linear", "mlp:512,256", "simple_net" for `inputs` numbers in, as an architecture text that
 * tp_module_parse takes. false with an error that says what is wrong with the text. */
bool cli_architecture(const char *model, int64_t inputs, int outputs, char *buf, size_t size);
tp_loss_fn cli_loss(const char *name); /* NULL with an error if there is none */
tp_metric cli_metric(const char *name);
bool cli_loss_is_binary(const char *name);

/* ---- the commands ---------------------------------------------------------------------------- */

int cmd_get(const cli_command *c, int argc, char **argv);
int cmd_baseline(const cli_command *c, int argc, char **argv);
int cmd_train(const cli_command *c, int argc, char **argv);
int cmd_evaluate(const cli_command *c, int argc, char **argv);
int cmd_predict(const cli_command *c, int argc, char **argv);
int cmd_info(const cli_command *c, int argc, char **argv);

#endif
