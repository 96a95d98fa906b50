/* optim.h -- what an optimizer's rule is, to the part that all of them share.
 *
 * A rule is its settings, the tensors that it remembers for each parameter, and one fused step over
 * one parameter. Groups, checks, state and errors are optim.c's, once for all rules. */
#ifndef TAPER_SRC_OPTIM_H
#define TAPER_SRC_OPTIM_H
#include "nn/nn.h"
#include "taper/optim.h"

enum { TP__SETTINGS = 8, TP__MEMORIES = 2 };

/* A number that the user sets: "lr". */
typedef struct tp__setting {
    const char *name;
    double otherwise; /* the default */
    bool fraction;    /* it must be below 1 */
} tp__setting;

/* One parameter's step, all arrays dense and of n elements. */
typedef struct tp__update {
    tp_dtype dtype;
    int64_t n;
    void *p;
    const void *g;
    void *memory[TP__MEMORIES]; /* NULL if the rule does not remember */
    double lr;                  /* the group's */
    const double *value;        /* of the settings */
    int64_t t;                  /* steps that the memories have seen, this one included */
} tp__update;

/* Setting 0 is the learning rate, setting 1 what tp_optim_momentum() gives. */
typedef struct tp__rule {
    const char *name;
    int nsettings, nmemories;
    tp__setting setting[TP__SETTINGS];
    const char *memory[TP__MEMORIES];       /* their names in a state */
    bool (*remembers)(const double *value); /* does a step with these settings need the memories? */
    void (*step)(const tp__update *u);
} tp__rule;

/* An optimizer without parameters. given: one number per setting, 0 for the default. */
tp_optim *tp__optim_new(const tp__rule *rule, const double *given);
/* Its first group, which must not be empty. Frees o and returns NULL on failure; o may be NULL. */
tp_optim *tp__optim_with(tp_optim *o, tp_tensor *const *param, int64_t n);
tp_optim *tp__optim_with_module(tp_optim *o, tp_module *m);

#endif
