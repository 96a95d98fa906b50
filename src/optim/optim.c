/* optim.c -- optimizers without their arithmetic: groups, checks, the step over all, state.
 *
 * A step looks at everything and asks for all memory first; only then does it change the first
 * parameter. So it happens as a whole or not at all. */
#include "optim/optim.h"
#include <math.h>
#include <string.h>

typedef struct param {
    tp_tensor *x;                    /* one reference */
    tp_tensor *memory[TP__MEMORIES]; /* dense, row-major; NULL until a step needs them */
    int64_t t;                       /* steps that they have seen */
    int group;
    tp_tensor *dense, *g; /* while a step runs: x or a copy of it, and its gradient or NULL */
} param;

struct tp_optim {
    const tp__rule *rule;
    double value[TP__SETTINGS];
    param *param;
    int64_t n;
    double *lr_mult; /* of the groups */
    int ngroups;
};

/* ---- settings -------------------------------------------------------------------------------- */

static bool setting_is_good(const char *what, const tp__setting *s, double v) {
    if (isfinite(v) && v >= 0 && (!s->fraction || v < 1)) return true;
    tp_error_set(TP_EVALUE, "%s: %s is %g; it must be %s", what, s->name, v,
                 s->fraction ? "at least 0 and below 1" : "finite and at least 0");
    return false;
}

/* The number that an option means: 0 is the default, TP_ZERO is 0. */
static double meant(double given, const tp__setting *s) {
    const double zero = TP_ZERO; /* by its bits: where denormal numbers are flushed it equals 0 */
    if (!memcmp(&given, &zero, sizeof given)) return 0;
    return given == 0 ? s->otherwise : given;
}

tp_optim *tp__optim_new(const tp__rule *rule, const double *given) {
    tp_optim *o = tp__calloc(1, sizeof *o);
    if (!o) return NULL;
    o->rule = rule;
    for (int i = 0; i < rule->nsettings; i++) {
        o->value[i] = meant(given[i], &rule->setting[i]);
        if (setting_is_good(rule->name, &rule->setting[i], o->value[i])) continue;
        tp_optim_free(o);
        return NULL;
    }
    return o;
}

static tp_status set(tp_optim *o, const char *what, int i, double v) {
    if (!o) return tp__error_null(what);
    if (!setting_is_good(what, &o->rule->setting[i], v)) return TP_EVALUE;
    o->value[i] = v;
    return TP_OK;
}
static double get(const tp_optim *o, const char *what, int i) {
    if (o) return o->value[i];
    tp__error_null(what);
    return NAN;
}
double tp_optim_lr(const tp_optim *o) {
    return get(o, "optim_lr", 0);
}
double tp_optim_momentum(const tp_optim *o) {
    return get(o, "optim_momentum", 1);
}
tp_status tp_optim_set_lr(tp_optim *o, double lr) {
    return set(o, "optim_set_lr", 0, lr);
}
tp_status tp_optim_set_momentum(tp_optim *o, double momentum) {
    return set(o, "optim_set_momentum", 1, momentum);
}
const char *tp_optim_name(const tp_optim *o) {
    return o ? o->rule->name : (tp__error_null("optim_name"), NULL);
}

/* ---- parameters and groups ------------------------------------------------------------------- */

static void unref_memory(tp_tensor **memory) {
    for (int k = 0; k < TP__MEMORIES; k++)
        if (memory[k]) tp__unref(memory[k]);
}

void tp_optim_free(tp_optim *o) {
    if (!o) return;
    for (int64_t i = 0; i < o->n; i++) {
        unref_memory(o->param[i].memory);
        tp__unref(o->param[i].x);
    }
    tp__mfree(o->param);
    tp__mfree(o->lr_mult);
    tp__mfree(o);
}

static bool is_trainable(const tp_optim *o, int64_t i, const tp_tensor *x) {
    if (!x) return tp__error_null(o->rule->name), false;
    const char *fault = NULL;
    if (tp__is_none(x))
        fault = "is TP_NONE";
    else if (x->node)
        fault = "is the result of an op, not a leaf";
    else if (!x->requires_grad)
        fault = "does not require a gradient";
    if (fault) tp_error_set(TP_EVALUE, "%s: tensor %lld %s", o->rule->name, (long long)i, fault);
    return !fault;
}

/* Is every tensor a leaf that is neither in the optimizer nor twice in the list? */
static bool may_optimize(const tp_optim *o, tp_tensor *const *list, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!is_trainable(o, i, list[i])) return false;
        bool twice = false;
        for (int64_t k = 0; k < o->n; k++) twice |= o->param[k].x == list[i];
        for (int64_t k = 0; k < i; k++) twice |= list[k] == list[i];
        if (!twice) continue;
        tp_error_set(TP_EVALUE, "%s: tensor %lld is in the optimizer already", o->rule->name,
                     (long long)i);
        return false;
    }
    return true;
}

static bool has_room(tp_optim *o, int64_t n) {
    param *p = tp__realloc(o->param, (size_t)(o->n + n) * sizeof *p);
    if (p) o->param = p;
    double *mult = p ? tp__realloc(o->lr_mult, (size_t)(o->ngroups + 1) * sizeof *mult) : NULL;
    if (mult) o->lr_mult = mult;
    return mult;
}

int tp_optim_add_group(tp_optim *o, tp_tensor *const *list, int64_t n, double lr_mult) {
    if (!o || !list) return tp__error_null("optim_add_group"), -1;
    if (n < 1) {
        tp_error_set(TP_EVALUE, "%s: a group of %lld tensors", o->rule->name, (long long)n);
        return -1;
    }
    if (!setting_is_good(o->rule->name, &(tp__setting){.name = "lr_mult"}, lr_mult)) return -1;
    if (!may_optimize(o, list, n) || !has_room(o, n)) return -1;
    for (int64_t i = 0; i < n; i++)
        o->param[o->n++] = (param){.x = tp__ref(list[i]), .group = o->ngroups};
    o->lr_mult[o->ngroups] = lr_mult;
    return o->ngroups++;
}

tp_optim *tp__optim_with(tp_optim *o, tp_tensor *const *list, int64_t n) {
    if (o && tp_optim_add_group(o, list, n, 1) == 0) return o;
    tp_optim_free(o);
    return NULL;
}

tp_optim *tp__optim_with_module(tp_optim *o, tp_module *m) {
    const int64_t n = tp_module_num_params(m);
    tp_tensor **list = o ? tp__calloc((size_t)n + 1, sizeof *list) : NULL;
    for (int64_t i = 0; list && i < n; i++) list[i] = tp_module_param(m, i);
    if (list && !n) tp_error_set(TP_EVALUE, "%s: the module has no parameters", o->rule->name);
    if (list && n)
        o = tp__optim_with(o, list, n);
    else
        tp_optim_free(o), o = NULL;
    tp__mfree(list);
    return o;
}

/* ---- the step -------------------------------------------------------------------------------- */

static bool gradient_fits(const tp_optim *o, const param *p) {
    const tp_tensor *g = p->x->grad;
    const tp_shape a = tp__shape(p->x), b = tp__shape(g);
    char here[TP__SHAPE_TEXT], there[TP__SHAPE_TEXT];
    if (tp__shape_equal(&a, &b) && g->dtype == p->x->dtype) return true;
    tp_error_set(TP_ESHAPE, "%s: parameter %lld is %s %s but its gradient %s %s", o->rule->name,
                 (long long)(p - o->param), tp_dtype_name((tp_dtype)p->x->dtype),
                 tp__shape_text(&a, here), tp_dtype_name((tp_dtype)g->dtype),
                 tp__shape_text(&b, there));
    return false;
}

/* Zeros for what the rule remembers. They belong to the parameter, not to a scope. */
static bool remember(const tp_optim *o, param *p) {
    const tp_shape shape = tp__shape(p->x);
    for (int k = 0; k < o->rule->nmemories; k++) {
        if (p->memory[k]) continue;
        tp_tensor *zeros = tp__new_zeros(o->rule->name, &shape, (tp_dtype)p->x->dtype);
        if (!zeros) return false;
        p->memory[k] = tp__ref(zeros);
    }
    return true;
}

static bool prepare(const tp_optim *o, param *p) {
    p->g = NULL;
    if (!p->x->grad) return true;
    if (!gradient_fits(o, p) || !tp__may_write(o->rule->name, p->x)) return false;
    p->g = tp__contiguous(p->x->grad);
    p->dense = tp__contiguous(p->x);
    if (!p->g || !p->dense) return false;
    return !o->rule->remembers(o->value) || remember(o, p);
}

static void apply(const tp_optim *o, param *p) {
    if (!p->g) return;
    tp__update u = {.dtype = (tp_dtype)p->x->dtype,
                    .n = p->x->numel,
                    .p = tp__ptr(p->dense),
                    .g = tp__ptr(p->g),
                    .lr = o->value[0] * o->lr_mult[p->group],
                    .value = o->value,
                    .t = p->t + 1};
    for (int k = 0; k < o->rule->nmemories; k++)
        u.memory[k] = p->memory[k] ? tp__ptr(p->memory[k]) : NULL;
    o->rule->step(&u);
    if (p->memory[0]) p->t++;
    if (p->dense != p->x) tp__copy(p->x, p->dense);
    tp__touch(p->x);
}

static bool step(tp_optim *o) {
    for (int64_t i = 0; i < o->n; i++)
        if (!prepare(o, &o->param[i])) return false;
    for (int64_t i = 0; i < o->n; i++) apply(o, &o->param[i]);
    return true;
}

tp_status tp_optim_step(tp_optim *o) {
    if (!o) return tp__error_null("optim_step");
    const tp_scope s = tp_scope_no_grad();
    const bool ok = s.depth && step(o);
    if (s.depth) tp_scope_end(s);
    return ok ? TP_OK : tp_error_code();
}

void tp_optim_zero_grad(tp_optim *o) {
    for (int64_t i = 0; o && i < o->n; i++) tp_zero_grad(o->param[i].x);
}

/* ---- state ----------------------------------------------------------------------------------- */

enum { NAME = 64 };

static const char *group_name(char buf[NAME], int group) {
    snprintf(buf, NAME, "group%d.lr_mult", group);
    return buf;
}
static const char *param_name(char buf[NAME], int64_t i, const char *what) {
    snprintf(buf, NAME, "%lld.%s", (long long)i, what);
    return buf;
}

static bool put_number(tp_dict *d, const char *name, double v, tp_dtype dtype) {
    return !tp_dict_set(d, name, tp_scalar(v, dtype));
}

static bool put_param(const tp_optim *o, tp_dict *d, int64_t i) {
    const param *p = &o->param[i];
    char name[NAME];
    if (!p->t) return true; /* it remembers nothing yet */
    if (!put_number(d, param_name(name, i, "step"), (double)p->t, TP_INT64)) return false;
    for (int k = 0; k < o->rule->nmemories; k++)
        if (tp_dict_set(d, param_name(name, i, o->rule->memory[k]), tp__clone(p->memory[k])))
            return false;
    return true;
}

static bool put_all(const tp_optim *o, tp_dict *d) {
    char name[NAME];
    for (int k = 0; k < o->rule->nsettings; k++)
        if (!put_number(d, o->rule->setting[k].name, o->value[k], TP_FLOAT64)) return false;
    for (int k = 0; k < o->ngroups; k++)
        if (!put_number(d, group_name(name, k), o->lr_mult[k], TP_FLOAT64)) return false;
    for (int64_t i = 0; i < o->n; i++)
        if (!put_param(o, d, i)) return false;
    return true;
}

tp_dict *tp_optim_state(const tp_optim *o) {
    if (!o) return tp__error_null("optim_state"), NULL;
    const tp_scope s = tp_scope_no_grad();
    tp_dict *d = s.depth ? tp_dict_new() : NULL;
    const bool ok = d && put_all(o, d);
    if (s.depth) tp_scope_end(s);
    if (ok) return d;
    tp_dict_free(d);
    return NULL;
}

/* What a state says, until all of it is known to fit. */
typedef struct draft_param {
    tp_tensor *memory[TP__MEMORIES]; /* scoped copies */
    int64_t t;
} draft_param;
typedef struct draft {
    double value[TP__SETTINGS];
    double *lr_mult;
    draft_param *param;
} draft;

static bool take_number(tp__taking *t, const char *name, const tp__setting *s, double *v) {
    const tp_tensor *x = tp__take(t, name, &TP_0D, TP_FLOAT64);
    if (!x) return false;
    *v = tp_item(x);
    return setting_is_good(t->what, s, *v);
}

static bool take_param(const tp_optim *o, tp__taking *t, int64_t i, draft *d) {
    char name[NAME];
    if (!tp__taking_has(t, param_name(name, i, "step"))) return true;
    const tp_tensor *count = tp__take(t, name, &TP_0D, TP_INT64);
    if (!count) return false;
    d->param[i].t = tp_item_int(count);
    if (d->param[i].t < 1)
        return tp_error_set(TP_EVALUE, "%s: '%s' is below 1", t->what, name), false;
    const tp_tensor *x = o->param[i].x;
    const tp_shape shape = tp__shape(x);
    for (int k = 0; k < o->rule->nmemories; k++) {
        const tp_tensor *m =
            tp__take(t, param_name(name, i, o->rule->memory[k]), &shape, (tp_dtype)x->dtype);
        d->param[i].memory[k] = m ? tp__clone(m) : NULL;
        if (!d->param[i].memory[k]) return false;
    }
    return true;
}

static bool take_all(const tp_optim *o, tp__taking *t, draft *d) {
    char name[NAME];
    for (int k = 0; k < o->rule->nsettings; k++)
        if (!take_number(t, o->rule->setting[k].name, &o->rule->setting[k], &d->value[k]))
            return false;
    for (int k = 0; k < o->ngroups; k++) {
        const tp__setting mult = {.name = group_name(name, k)};
        if (!take_number(t, name, &mult, &d->lr_mult[k])) return false;
    }
    for (int64_t i = 0; i < o->n; i++)
        if (!take_param(o, t, i, d)) return false;
    return true;
}

static bool take_state(const tp_optim *o, const tp_dict *state, draft *d) {
    tp__taking t;
    d->lr_mult = tp__calloc((size_t)o->ngroups, sizeof *d->lr_mult);
    d->param = tp__calloc((size_t)o->n, sizeof *d->param);
    if (!d->lr_mult || !d->param || !tp__taking_begin(&t, "optim_set_state", state)) return false;
    return tp__taking_end(&t, take_all(o, &t, d));
}

static void accept(tp_optim *o, const draft *d) {
    memcpy(o->value, d->value, sizeof o->value);
    memcpy(o->lr_mult, d->lr_mult, (size_t)o->ngroups * sizeof *o->lr_mult);
    for (int64_t i = 0; i < o->n; i++) {
        unref_memory(o->param[i].memory);
        o->param[i].t = d->param[i].t;
        for (int k = 0; k < TP__MEMORIES; k++) {
            tp_tensor *m = d->param[i].memory[k];
            o->param[i].memory[k] = m ? tp__ref(m) : NULL;
        }
    }
}

tp_status tp_optim_set_state(tp_optim *o, const tp_dict *state) {
    if (!o || !state) return tp__error_null("optim_set_state");
    draft d = {.param = NULL};
    const tp_scope s = tp_scope_no_grad();
    const bool ok = s.depth && take_state(o, state, &d);
    if (ok) accept(o, &d);
    if (s.depth) tp_scope_end(s);
    tp__mfree(d.lr_mult);
    tp__mfree(d.param);
    return ok ? TP_OK : tp_error_code();
}
