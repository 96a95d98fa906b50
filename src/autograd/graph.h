/* graph.h -- between apply.c, tape.c and graph.c. */
#ifndef TAPER_SRC_GRAPH_H
#define TAPER_SRC_GRAPH_H
#include "autograd/autograd.h"

/* False, with an error that names the op, if its result is not finite though its inputs are. */
bool tp__trace(const tp__call *c);
bool tp__trace_gradient(tp_tensor *g, tp_tensor *gx); /* the same for one step of a backward */
uint64_t tp__tape_mark(void); /* a number that no node or tensor of this thread is marked with */

#endif
