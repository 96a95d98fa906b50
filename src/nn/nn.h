/* nn.h -- modules from the inside: the tree, walking it, and what its classes share.
 *
 * Every name is kept in full, as seen from the root of the tree ("body.2.bias"). Seen from a module
 * further down it is the tail of that string, so asking for a name never has to build one. */
#ifndef TAPER_SRC_NN_H
#define TAPER_SRC_NN_H
#include "autograd/autograd.h"
#include "taper/nn.h"

/* A parameter or buffer of a module, which holds one reference to x. */
typedef struct tp__slot {
    const char *name; /* from the root */
    tp_tensor *x;
    bool shared; /* x has further slots in this tree: tied weights */
} tp__slot;
typedef struct tp__slots {
    tp__slot *at;
    int n, cap;
} tp__slots;

struct tp_module {
    const tp_module_class *c;
    void *self;
    bool training;
    const char *name;  /* from the root; NULL for a root */
    tp_module *parent; /* NULL for a root */
    tp__slots param, buffer;
    tp_module **child;
    int nchildren, cap;
    struct tp__names *names; /* the memory of names, kept until the module goes */
};

/* ---- module.c -------------------------------------------------------------------------------- */
/* A name from the root as m sees it. */
const char *tp__module_tail(const tp_module *m, const char *name);
/* The parameters of m and all below in torch's order, with `buffers` the buffers too (those of a
 * module behind its parameters), tied tensors each time they occur; until fn returns false. */
typedef bool (*tp__slot_fn)(void *ctx, tp__slot *s);
bool tp__module_each(const tp_module *m, bool buffers, tp__slot_fn fn, void *ctx);
/* For classes that take one input: in[0], or NULL and EVALUE. */
tp_tensor *tp__one_input(const char *what, tp_tensor *const *in, int n);

/* ---- nn_container.c -------------------------------------------------------------------------- */
bool tp__is_sequential(const tp_module *m);
tp_module *tp__sequential_new(void);
/* Append a child, which s takes. */
bool tp__sequential_add(tp_module *s, tp_module *child);

/* ---- nn_linear.c, nn_act.c ------------------------------------------------------------------- */
bool tp__is_linear(const tp_module *m);
bool tp__is_relu(const tp_module *m);
/* A linear layer and the relu behind it, in one pass. */
tp_tensor *tp__linear_then_relu(const tp_module *m, tp_tensor *x);

/* ---- nn_init.c ------------------------------------------------------------------------------- */
/* torch's nn.Linear.reset_parameters: w, then b (or TP_NONE), from rng. */
bool tp__init_linear(tp_tensor *w, tp_tensor *b, tp_rng *rng);

/* ---- module_state.c -------------------------------------------------------------------------- */
/* Reading a dictionary strictly: every tensor that is taken must be there and fit, and at the end
 * none may be left over. Messages begin with `what`. */
typedef struct tp__taking {
    const char *what;
    const tp_dict *from;
    bool *taken;
    int64_t next; /* where the next name is likely to be */
} tp__taking;
bool tp__taking_begin(tp__taking *t, const char *what, const tp_dict *from);
bool tp__taking_has(tp__taking *t, const char *name);
/* Borrowed from the dictionary. */
tp_tensor *tp__take(tp__taking *t, const char *name, const tp_shape *shape, tp_dtype dtype);
/* EVALUE if a name was not taken. Call it once, also after a failure (ok = false). */
bool tp__taking_end(tp__taking *t, bool ok);

/* ---- module_spec.c --------------------------------------------------------------------------- */
/* How many numbers the parameters of tp_module_parse(text) would have, without making them: for
 * text from a file, which must not decide how much memory is asked for. -1 and EVALUE for a bad
 * text. */
int64_t tp__spec_numel(const char *text);

#endif
