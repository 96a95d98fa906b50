// libtorch.cpp -- PyTorch from C++, without Python's overhead: what torch_rows.py does.
#include <memory>
#include <string>

#include <torch/torch.h>

#include "peer.h"

namespace {

struct work {
    virtual ~work() = default;
    virtual void run() = 0;
};

struct add final : work {
    torch::Tensor few = torch::ones(4), other = torch::ones(4);
    void run() override { torch::add(few, other); }
};

struct backward final : work {
    torch::Tensor leaf = torch::ones(4, torch::requires_grad()), other = torch::ones(4);
    void run() override {
        torch::mul(leaf, other).sum().backward();
        leaf.mutable_grad() = torch::Tensor();
    }
};

struct training final : work {
    torch::Tensor x, y;
    int64_t batch;
    bool binary;
    torch::nn::Sequential net;
    std::unique_ptr<torch::optim::Optimizer> optimizer;
    std::vector<torch::Tensor> order; // of what is left of this pass, the next last

    explicit training(const peer_task &t)
        : x(torch::from_blob(const_cast<float *>(t.x), {t.images, PEER_PIXELS})),
          y(torch::from_blob(const_cast<int64_t *>(t.y), {t.images}, torch::kInt64)),
          batch(t.batch), binary(t.out == 1),
          net(torch::nn::Linear(PEER_PIXELS, t.hidden), torch::nn::ReLU(),
              torch::nn::Linear(t.hidden, t.out)) {
        using namespace torch::optim;
        if (binary) y = y.unsqueeze(1);
        if (t.adam)
            optimizer = std::make_unique<Adam>(net->parameters(), AdamOptions(0.001));
        else
            optimizer = std::make_unique<SGD>(net->parameters(), SGDOptions(0.1));
    }

    torch::Tensor loss(const torch::Tensor &predictions, const torch::Tensor &targets) const {
        if (!binary) return torch::nn::functional::cross_entropy(predictions, targets);
        const auto p = predictions.sigmoid();
        return torch::where(targets == 1, 1 - p, p).mean();
    }

    void run() override {
        if (order.empty()) order = torch::randperm(x.size(0)).split(batch);
        const auto index = order.back();
        order.pop_back();
        loss(net->forward(x.index_select(0, index)), y.index_select(0, index)).backward();
        optimizer->step();
        optimizer->zero_grad();
    }
};

void run(void *ctx, int64_t times) {
    while (times-- > 0) static_cast<work *>(ctx)->run();
}

void end(void *ctx) {
    delete static_cast<work *>(ctx);
}

work *make(const peer_task &task) {
    switch (task.kind) {
    case PEER_ADD: return new add;
    case PEER_BACKWARD: return new backward;
    case PEER_TRAIN: return new training(task);
    default: return nullptr;
    }
}

} // namespace

const char *peer_version() {
    static const std::string version = "libtorch " TORCH_VERSION;
    return version.c_str();
}

bool peer_begin(const peer_task *task, peer_work *out) {
    torch::set_num_threads(task->threads);
    *out = peer_work{run, end, make(*task)};
    if (!out->ctx) out->end = nullptr;
    return out->ctx != nullptr;
}
