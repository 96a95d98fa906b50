/* autograd.h -- the one door every op passes, and the tape behind it. */
#ifndef TAPER_SRC_AUTOGRAD_H
#define TAPER_SRC_AUTOGRAD_H
#include "tensor/tensor.h"
#include "taper/autograd.h"

/* Which values a backward reads; a change of them in place before it is an error. */
#define TP__SAVE_IN(i) (1u << (i))
#define TP__SAVE_OUT (1u << 30)
#define TP__SAVE_INS 0x3fffffffu

/* One application of an op: on the caller's stack during forward, inside the node afterwards. */
typedef struct tp__call {
    const struct tp__op *op;
    tp_tensor *const *in;
    int nin;
    /* op->saves; forward may take away what the inputs that need gradients do not read. */
    unsigned saves;
    tp_tensor *out;
    /* Further results that backward reads (a logsumexp, indices); forward sets them. */
    tp_tensor *extra[2];
    union { /* the op's own parameters */
        struct {
            double p, q;
            int64_t n[2 * TP_MAX_DIM + 4]; /* the first op->numbers of them */
        } v;
        const void *user;
    } u;
} tp__call;

/* An op: what it is called, its shape rule, and how to compute it forwards and backwards. `forward`
 * gets checked, present inputs (signature and dtype rules applied) and returns a scoped result;
 * nothing that it calls is recorded. `backward` returns the gradient of input i, in the shape of
 * in[i] or in a shape that in[i] broadcasts to: the tape sums it down, converts its dtype and adds
 * it up. */
typedef struct tp__op {
    const char *name;    /* "matmul" */
    const char *grad_fn; /* "MmBackward0"; NULL: not differentiable */
    unsigned saves;
    bool is_view;
    int8_t numbers; /* of u.v.n that it uses; 0: as many as there are */
    tp_tensor *(*forward)(tp__call *c);
    tp_tensor *(*backward)(const tp__call *c, tp_tensor *g, int i);
} tp__op;

/* Pass the door: NULL inputs fail quietly, forward runs unrecorded, the tape takes the call if an
 * input needs a gradient. c->in may live on the caller's stack. */
tp_tensor *tp__apply(tp__call *c);
/* The same with another torch name on the tape (an overload). */
tp_tensor *tp__apply_named(tp__call *c, const char *grad_fn);

/* For calls that cost less than clearing a tp__call: all but the parameters. */
static inline void tp__call_begin(tp__call *c, const tp__op *op, tp_tensor *const *in, int nin) {
    c->op = op;
    c->in = in;
    c->nin = nin;
}
extern TP__THREAD_HOT bool tp__tracing; /* are all results looked at, for the first NaN? */
/* EGRAD unless x may be written in place here: not recorded, no leaf under recording. Whoever asks
 * does so next. */
bool tp__may_write(const char *what, const tp_tensor *x);

/* The tape of this thread, for the graph printer and the tests. */
typedef struct tp__node {
    const char *grad_fn;
    const char *file; /* call site, or NULL */
    int line;
    bool freed;     /* a backward went through it */
    uint16_t parts; /* nodes before it that its call made too, and that get its site */
    uint64_t mark;
    tp_tensor *grad; /* of call.out, while a backward runs */
    struct tp__node *prev, *next;
    uint32_t out_version, extra_version[2];
    uint32_t *version; /* of the inputs when they were saved */
    tp__call call;     /* cut off behind its numbers; there stand the inputs, then their versions */
} tp__node;
int64_t tp__tape_length(void);
tp__node *tp__tape_last(void); /* the newest; they are linked by prev */
/* t is the result of one call of the user, which made all nodes since `before`: where the call
 * stands is where they were made. Returns t, which may be NULL. */
tp_tensor *tp__tape_one_call(const tp__node *before, tp_tensor *t);

#endif
