/* tape.h -- between apply.c and tape.c. */
#ifndef TAPER_SRC_TAPE_H
#define TAPER_SRC_TAPE_H
#include "autograd/autograd.h"

/* Put the finished call on this thread's tape and on the innermost scope; returns c->out, or
 * NULL. */
tp_tensor *tp__tape_record(const tp__call *c, const char *grad_fn);

#endif
