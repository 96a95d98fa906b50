// circle.cpp -- taper from C++17: the same header; options are values.
//
// It learns which points lie inside a circle, and shows that errors are values here too.
#include <taper.h>

#include <cstdio>
#include <memory>

namespace {
struct free_module {
    void operator()(tp_module *m) const { tp_module_free(m); }
};
struct free_optim {
    void operator()(tp_optim *o) const { tp_optim_free(o); }
};
} // namespace

int main() {
    tp_manual_seed(42);
    tp_tensor *x = tp_mul(tp_sub(tp_rand(TP_SHAPE(512, 2), TP_FLOAT32, nullptr), 0.5), 2);
    tp_tensor *inside = tp_lt(tp_sum_dim(tp_pow(x, 2), TP_DIMS(1), TP_KEEPDIM), 0.6);

    const std::unique_ptr<tp_module, free_module> net(
        tp_nn_sequential(tp_nn_linear(2, 16), tp_nn_tanh(), tp_nn_linear(16, 1)));
    tp_adam_opts opts{}; // in C++20: tp_adam(net.get(), {.lr = 0.05})
    opts.lr = 0.05;
    const std::unique_ptr<tp_optim, free_optim> opt(tp_adam(net.get(), opts));

    for (int step = 0; step <= 200; step++) {
        const tp_scope s = tp_scope_begin();
        tp_tensor *loss = tp_binary_cross_entropy_with_logits(tp_forward(net.get(), x), inside);
        if (tp_backward(loss) || tp_optim_step(opt.get())) return tp_perror("train");
        tp_optim_zero_grad(opt.get());
        if (step % 100 == 0) std::printf("%3d  loss %.4f\n", step, tp_item(loss));
        tp_scope_end(s);
    }
    std::printf("right: %.3f\n", tp_item(tp_batch_accuracy(tp_forward(net.get(), x), inside)));

    tp_print(tp_sigmoid(tp_forward(net.get(), tp_floats(TP_SHAPE(2, 2), 0, 0.1, 0.9, -0.9))));
    if (!tp_matmul(x, x)) std::printf("%s\n", tp_error_message());
    if (tp_backward(tp_forward(net.get(), x))) std::printf("%s\n", tp_error_message());
    return 0;
}
