"""The programs of taper-bench's rows that are longer than a line, in PyTorch."""
import subprocess
import sys

import numpy
import torch
from torch import nn


def mnist_loss(predictions, targets):
    predictions = predictions.sigmoid()
    return torch.where(targets == 1, 1 - predictions, predictions).mean()


def endless(make_iterator):
    while True:
        yield from make_iterator()


class Training:
    """Batches of images in memory, forward, backward, a step of the optimizer.

    The images are float32 already: torch gathers those faster than it gathers and converts bytes.
    """

    def __init__(self, x, y, sizes, loss, optimizer, batch):
        self.x = torch.from_numpy(numpy.load(x)).float().div_(255)
        self.y = torch.from_numpy(numpy.load(y))
        layers = [nn.Linear(*sizes[:2])]
        for pair in zip(sizes[1:], sizes[2:]):
            layers += [nn.ReLU(), nn.Linear(*pair)]
        self.net = nn.Sequential(*layers)
        self.loss = loss
        self.optimizer = optimizer(self.net.parameters())
        self.batch = batch
        self.batches = endless(self.indexed)

    def indexed(self):
        for index in torch.randperm(len(self.x)).split(self.batch):
            yield self.x[index], self.y[index]

    def from_list(self):
        """The same from a list of pairs, as in the book."""
        pairs = list(zip(self.x, self.y))
        loader = torch.utils.data.DataLoader(pairs, batch_size=self.batch, shuffle=True)
        self.batches = endless(lambda: iter(loader))
        return self

    def run(self, batches):
        for _ in range(batches):
            x, y = next(self.batches)
            self.loss(self.net(x), y).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.001)


def read_pictures(paths):
    """All of them with PIL, in one block."""
    from PIL import Image

    block = numpy.empty((len(paths), 28, 28), numpy.uint8)
    for i, path in enumerate(paths):
        block[i] = Image.open(path)
    return block


def element_by_element(x, w, y):
    """y = x @ w in a loop over elements, as in the book before it gets rid of loops."""
    for i in range(x.shape[0]):
        for j in range(w.shape[1]):
            for k in range(x.shape[1]):
                y[i, j] += x[i, k] * w[k, j]


def import_torch():
    """A Python that does nothing else."""
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
