/* own_loop.c -- the training loop written out: a small net learns the sine from 200 noisy points.
 *
 * Each batch is a scope, which frees everything that was made in it; nothing else needs to be freed
 * inside the loop. */
#include <math.h>
#include <stdio.h>
#include <taper.h>

/* 200 points of sin(3 x) with a little noise, x from -1 to 1. */
static tp_status points(tp_dataset *ds) {
    tp_tensor *x = tp_unsqueeze(tp_linspace(-1, 1, 200), 1);
    tp_tensor *noise = tp_mul(tp_randn(TP_SHAPE(200, 1), TP_FLOAT32, NULL), 0.05);
    return tp_zip_dataset(x, tp_add(tp_sin(tp_mul(x, 3)), noise), ds);
}

/* One pass over the data; the mean of the batches' losses, or NaN and an error. */
static double train_epoch(tp_module *net, tp_optim *opt, tp_loader *dl) {
    tp_batch b;
    double sum = 0;
    int r;
    while ((r = tp_loader_next(dl, &b)) > 0) {
        tp_scope s = tp_scope_begin();
        tp_tensor *loss = tp_mse_loss(tp_forward(net, b.x), b.y);
        sum += tp_item(loss);
        if (tp_backward(loss) || tp_optim_step(opt)) return (double)NAN;
        tp_optim_zero_grad(opt);
        tp_scope_end(s);
    }
    return r < 0 ? (double)NAN : sum / (double)tp_loader_len(dl);
}

/* What the net makes of one number. */
static double ask(tp_module *net, float x) {
    tp_scope s = tp_scope_no_grad();
    double y = tp_item(tp_forward(net, tp_floats(TP_SHAPE(1, 1), x)));
    tp_scope_end(s);
    return y;
}

int main(void) {
    tp_manual_seed(42);
    tp_dataset ds;
    if (points(&ds)) return tp_perror("own_loop");
    tp_module *net = tp_nn_sequential(tp_nn_linear(1, 32), tp_nn_tanh(), tp_nn_linear(32, 1));
    tp_optim *opt = tp_sgd(net, .lr = 0.1, .momentum = 0.9);
    tp_loader *dl = tp_loader_new(&ds, .batch_size = 20, .shuffle = true);

    for (int epoch = 0; epoch <= 50; epoch++) {
        double loss = train_epoch(net, opt, dl);
        if (isnan(loss)) return tp_perror("own_loop");
        if (epoch % 10 == 0) printf("epoch %2d  loss %.4f\n", epoch, loss);
    }
    for (float x = -1; x <= 1; x += 0.5f)
        printf("sin(3 * %4.1f) = %5.2f, the net says %5.2f\n", (double)x, sin(3 * (double)x),
               ask(net, x));

    tp_loader_free(dl);
    tp_optim_free(opt);
    tp_module_free(net);
    tp_dataset_free(&ds);
    return 0;
}
