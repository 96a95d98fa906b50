/* schedule.c -- values that change along a training: linear, cosine, exponential.
 *
 * cos and pow are the kernels', not libm's: a learning rate goes into every weight, and weights
 * have the same bits on every system. */
#include "optim/optim.h"

static double call(tp__pw_op op, double a, double b) {
    double y;
    const tp__pw_block one = {.m = 1, .n = 1, .ptr = {&y, &a, &b}};
    tp__pw_forward(op, TP_FLOAT64)(&one);
    return y;
}

double tp_sched_lin(double start, double end, double pos) {
    return start + pos * (end - start);
}

double tp_sched_cos(double start, double end, double pos) {
    const double pi = 3.14159265358979323846;
    return start + (1 + call(TP__PW_cos, pi * (1 - pos), 0)) * (end - start) / 2;
}

double tp_sched_exp(double start, double end, double pos) {
    return start * call(TP__PW_pow, end / start, pos);
}
