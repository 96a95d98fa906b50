"""The training curve of plain PyTorch, for tests/test_parity.c:

    python3 curve.py DATA HIDDEN LOSS SEED EPOCHS > curve.txt

DATA is a folder with train/ and valid/ class folders, or with MNIST's IDX files; LOSS is mnist
(the book's, for two classes; 1 is the first) or cross_entropy. SGD, rate 0.1, shuffled batches of
64, as `taper train DATA --model mlp:HIDDEN --loss LOSS --opt sgd --schedule constant --lr 0.1
--seed SEED`. Everything is run twice, the second time with the first layer's products summed in
two halves: what differs then is how far PyTorch differs from itself. Each line has the numbers of
both runs, side by side:
    batch NUMBER LOSS LOSS          epoch NUMBER MEAN_LOSS MEAN_LOSS VALID_LOSS VALID_LOSS"""
import gzip, os, sys
import numpy as np, torch
import torch.nn.functional as F
from PIL import Image
from torch import nn


def read_folders(part):
    x, y = [], []
    for label, c in enumerate(sorted(os.listdir(part))):
        files = sorted(os.listdir(f"{part}/{c}"))
        x += [np.array(Image.open(f"{part}/{c}/{f}")) for f in files]
        y += [label] * len(files)
    return np.stack(x), y


def read_idx(prefix):
    kinds = "images-idx3", "labels-idx1"
    x, y = (gzip.open(f"{prefix}-{kind}-ubyte.gz").read() for kind in kinds)
    return np.frombuffer(x, np.uint8, offset=16), list(y[8:])


def read(data, part, idx):
    folder = f"{data}/{part}"
    x, y = read_folders(folder) if os.path.isdir(folder) else read_idx(f"{data}/{idx}")
    return torch.tensor(x).view(len(y), 784).float() / 255, torch.tensor(y)


def mnist_loss(p, y):
    p = p.sigmoid()
    return torch.where(y == 1, 1 - p, p).mean()


def train(train_set, valid_set, hidden, loss, outputs, seed, epochs, halves):
    torch.manual_seed(seed)
    first, second = nn.Linear(784, hidden), nn.Linear(hidden, outputs)
    w, b = first.weight, first.bias
    split = lambda x: x[:, :392] @ w[:, :392].T + x[:, 392:] @ w[:, 392:].T + b
    net = lambda x: second(F.relu(split(x) if halves else first(x)))
    opt = torch.optim.SGD([w, b, *second.parameters()], lr=0.1)
    train_dl = torch.utils.data.DataLoader(train_set, 64, shuffle=True)
    valid_dl = torch.utils.data.DataLoader(valid_set, 64)
    for epoch in range(epochs):
        losses = []
        for x, y in train_dl:
            step = loss(net(x), y)
            step.backward()
            opt.step()
            opt.zero_grad()
            losses.append(step.item())
            yield "batch", epoch * len(train_dl) + len(losses) - 1, losses[-1]
        with torch.no_grad():
            valid = sum(loss(net(x), y).item() * len(y) for x, y in valid_dl) / len(valid_set)
        yield "epoch", epoch, sum(losses) / len(losses), valid


data, hidden, loss, seed, epochs = sys.argv[1:]
sets = [read(data, "train", "train"), read(data, "valid", "t10k")]
if loss == "mnist":
    sets = [(x, (y == 0).long().unsqueeze(1)) for x, y in sets]
sets = [torch.utils.data.TensorDataset(x, y) for x, y in sets]
torch.set_num_threads(1)
loss, outputs = (mnist_loss, 1) if loss == "mnist" else (F.cross_entropy, 10)
settings = int(hidden), loss, outputs, int(seed), int(epochs)
runs = [list(train(*sets, *settings, halves)) for halves in (False, True)]
for a, b in zip(*runs):
    if a[0] == "epoch" or a[1] < 200:
        print(a[0], a[1], *("%.9g %.9g" % pair for pair in zip(a[2:], b[2:])))
