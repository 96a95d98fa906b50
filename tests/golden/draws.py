#!/usr/bin/env python3
"""PyTorch's random tensors, drawn in random order from one generator, for test_draws.c.

    draws.py --seed S --rounds R --calls N

    S seed                              from here on a generator with this seed
    D op dtype n a b bytes              its next tensor, of n elements, as hex; a and b as in the call"""
import argparse
import random

import torch

torch.set_num_threads(1)
DTYPES = {"f4": torch.float32, "f8": torch.float64}
OPS = "rand randn randint randperm uniform_ normal_ bernoulli bernoulli_".split()
SPECIAL = (1, 2, 8, 15, 16, 17, 31, 32, 33, 47, 100, 100000)


def draw(op, dtype, n, a, b, g):
    d = DTYPES[dtype]
    if op in ("rand", "randn"):
        return getattr(torch, op)(n, dtype=d, generator=g)
    if op == "randint":
        return torch.randint(int(a), int(b), (n,), generator=g)
    if op == "randperm":
        return torch.randperm(n, generator=g)
    if op == "bernoulli":
        return torch.bernoulli((torch.arange(n) % 8 / 8).to(d), generator=g)
    x = torch.empty(n, dtype=d)
    if op == "bernoulli_":
        return x.bernoulli_(a, generator=g)
    return getattr(x, op)(a, b, generator=g)


def numbers(r, op):
    if op == "randint":
        low = r.choice((0, -5, -(2**40)))
        return low, low + r.choice((1, 2, 10, 1000, 2**31, 2**32 - 1, 2**32, 2**33))
    if op == "uniform_":
        return r.choice(((0, 1), (-1, 1), (2, 2.5), (-1e-3, 1e6)))
    if op == "normal_":
        return r.choice(((0, 1), (3, 0.01), (-1, 100)))
    return r.choice((0.0, 0.1, 0.5, 1.0)), 0


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--calls", type=int, default=30)
    o = options.parse_args()
    r = random.Random(o.seed)
    for _ in range(o.rounds):
        seed = r.randrange(2**r.randint(1, 63))
        g = torch.Generator().manual_seed(seed)
        print("S", seed)
        for _ in range(o.calls):
            op, dtype = r.choice(OPS), r.choice(tuple(DTYPES))
            n = r.choice(SPECIAL) if r.random() < 0.5 else int(10 ** r.uniform(0, 5))
            a, b = numbers(r, op)
            t = draw(op, dtype, n, a, b, g)
            print("D", op, dtype, n, repr(a), repr(b), t.numpy().tobytes().hex())


if __name__ == "__main__":
    main()
