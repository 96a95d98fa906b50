/* taper.h -- deep learning in C: tensors, gradients, layers, optimizers, loaders, the Learner.
 *
 *     tp_module *net = tp_nn_sequential(tp_nn_linear(784, 30), tp_nn_relu(), tp_nn_linear(30, 1));
 *     tp_optim  *opt = tp_sgd(net, .lr = 0.1);
 *     tp_scope s = tp_scope_begin();
 *     tp_tensor *loss = tp_mnist_loss(tp_forward(net, x), y);
 *     if (tp_backward(loss) || tp_optim_step(opt)) return tp_perror("train");
 *     tp_optim_zero_grad(opt);
 *     tp_scope_end(s);
 *
 * From C++17 the same text works, but for two things: options are a value, tp_sgd(net, opts) with a
 * tp_sgd_opts opts{} (in C++20 also tp_sgd(net, {.lr = 0.1})); C's compound literals are arrays.
 *
 * One header a room, in the order in which they build on each other. */
#ifndef TAPER_H
#define TAPER_H
#include "taper/base.h"
#include "taper/tensor.h"
#include "taper/autograd.h"
#include "taper/ops.h"
#include "taper/nn.h"
#include "taper/optim.h"
#include "taper/data.h"
#include "taper/io.h"
#include "taper/learner.h"
#endif
