#!/usr/bin/env python3
"""Random tensor programs and what PyTorch makes of them, for test_diff.c to repeat.

    programs.py --programs N --seed S [--only I]

A program is a few lines. Values are numbered in the order in which they are made; bytes are hex.

    P I                               program I begins; no value is left from the one before
    L dtype sizes bytes               a new contiguous tensor
    R value                           it requires a gradient
    O op arguments                    a call; then X if it is an error, or one V for each result:
    V dtype sizes strides offset shares ulp abs fn bytes
    B value bytes                     backward of a value from that gradient; then X, or for each leaf:
    G value abs bytes                 the leaf's gradient, or `none`; after ~ only where it is finite,
                                      because values on the way were not: 0 times infinity is then
                                      a matter of order
    # text                            for people: how often each rule was used, at the end

sizes and strides are lists like 2,3 (- is the empty list). strides are - where the result is a tensor
of its own; `shares` is the first value on the same storage. |difference| may be `abs`, or `ulp` units
in the last place. fn is the name of the recorded op.

Arguments: t3 a value, i-1 an int, d2.5 a double, n2.5 and k2 numbers as operands, s2,3 a shape, a0,1
axes, m0,2 values, q... indexing text, yf4 a dtype, _ none. Each op gets PyTorch's result of the one
before (test_diff.c writes it over its own), so that an error of one op is not charged to the next.

surface.py has the ops: how their arguments are chosen, and what PyTorch calls them. rules.py has the
intended differences: what is expected there instead of PyTorch's result."""
import argparse
import math
import random
import signal
import warnings

import torch

import rules
from surface import NAMES, OPS
from words import DTYPES, FLOATS, LIMIT, Many, Number, Shape, T, bytes_of, numbers, token

torch.set_num_threads(1)
warnings.simplefilter("ignore")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)

ERRORS = (RuntimeError, IndexError, TypeError, ValueError, ZeroDivisionError, OverflowError)


def largest(t):
    """The largest finite magnitude, 0 if there is none."""
    t = t.detach().double().abs()
    t = t[torch.isfinite(t)]
    return float(t.max()) if t.numel() else 0.0


class Program:
    def __init__(self, seed, index):
        self.r = random.Random(f"{seed}/{index}")
        self.values, self.storages, self.leaves, self.lines = [], [], [], [f"P {index}"]
        self.followed = set()  # storages of what the tape has seen
        self.tracks = self.r.random() < 0.7

    # ---- values ------------------------------------------------------------------------------

    def push(self, t):
        self.values.append(t)
        self.storages.append(t.storage().data_ptr())
        return T(len(self.values) - 1)

    def shares(self, t):
        """The first value on t's storage, itself if there is none; -1 where memory is empty."""
        at = t.storage().data_ptr()
        if not at:
            return -1
        return self.storages.index(at) if at in self.storages else len(self.values)

    def size(self):
        return self.r.choices((0, 1, 2, 3, 4, 5, 7), (1, 9, 16, 16, 10, 5, 2))[0]

    def shape(self, low=0, high=6):
        while True:
            n = self.r.choices(range(7), (2, 4, 6, 5, 2, 1, 1))[0]
            s = [self.size() for _ in range(n)]
            if low <= n <= high and math.prod(s) <= LIMIT:
                return s

    def dtype(self):
        return self.r.choices(list(DTYPES), (10, 4, 3, 2, 2))[0]

    def fill(self, shape, dtype, kind=None):
        n = math.prod(shape)
        r = self.r
        kind = kind or r.choices(("grid", "normal", "unit", "special"), (5, 4, 2, 1))[0]
        if dtype == torch.bool:
            v = [r.random() < 0.5 for _ in range(n)]
        elif dtype == torch.uint8:
            v = [r.choice((0, 1, 2, 3, 5, 8, 200, 255)) for _ in range(n)]
            if kind == "mask":
                v = [r.randint(0, 1) for _ in range(n)]
        elif dtype == torch.int64:
            v = [r.randint(-4, 6) for _ in range(n)]
            if kind == "special":
                v = [r.choice((0, -1, 2**31, -(2**62), 2**53 + 1, 7)) for _ in range(n)]
        elif kind == "grid":  # quarters: sums are exact, ties are many
            v = [r.randint(-8, 8) / 4 for _ in range(n)]
        elif kind == "normal":
            v = [round(r.gauss(0, 1) * 1024) / 1024 for _ in range(n)]
        elif kind == "unit":
            v = [r.randint(1, 1023) / 1024 for _ in range(n)]
        else:
            v = [r.choice((0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40, 1e15, 1.5, -2.5, 0.5))
                 for _ in range(n)]
        return torch.tensor(v, dtype=dtype).reshape(shape)

    def given(self, t):
        """A contiguous tensor as a new value; its index."""
        self.lines.append(f"L {DTYPES[t.dtype]} {numbers(t.shape)} {bytes_of(t)}")
        return self.push(t)

    def leaf(self, shape, dtype, kind=None):
        """A new contiguous value; its index."""
        return self.given(self.fill(shape, dtype, kind))

    def laid_out(self, shape, dtype, kind):
        """A new value of that shape in a random layout; its index."""
        r, n = self.r, len(shape)
        layout = r.random()
        if n and layout < 0.15:  # axes permuted
            order = r.sample(range(n), n)
            inner = [0] * n
            for position, axis in enumerate(order):
                inner[axis] = shape[position]
            return self.call("permute", [self.leaf(inner, dtype, kind), tuple(order)])
        if n and layout < 0.25:  # every second element, after the first
            d = r.randrange(n)
            wide = list(shape)
            wide[d] = 2 * wide[d] + 1
            return self.call("slice", [self.leaf(wide, dtype, kind), d, 1, wide[d], 2])
        if n and layout < 0.32:  # one axis stretched
            d = r.randrange(n)
            narrow = [1 if k == d else s for k, s in enumerate(shape)]
            return self.call("expand", [self.leaf(narrow, dtype, kind), Shape(shape)])
        if layout < 0.38:  # one of several
            return self.call("select", [self.leaf([2] + list(shape), dtype, kind), 0, 1])
        return self.leaf(shape, dtype, kind)

    def new(self, shape, dtype, kind=None):
        """A new value of that shape in a random layout, which may require a gradient; its index."""
        i = self.laid_out(shape, dtype, kind)
        t = self.values[i]
        if self.tracks and dtype in FLOATS and self.r.random() < 0.7 and torch.isfinite(t).all():
            self.lines.append(f"R {i}")
            t.requires_grad_()
            self.leaves.append(i)
            self.followed.add(t.storage().data_ptr())
        return i

    def pick(self, low=0, high=6, dtype=None):
        """A value to work on: often the newest one."""
        r = self.r
        fit = [i for i, t in enumerate(self.values) if low <= t.dim() <= high and
               (dtype is None or t.dtype in dtype)]
        if fit and r.random() < 0.75:
            return T(fit[-1] if r.random() < 0.6 else r.choice(fit))
        return self.new(self.shape(low, high), r.choice(dtype) if dtype else self.dtype())

    def partner(self, i, dtype=None, exact=False):
        """A value that broadcasts with value i, now and then one that does not."""
        r, shape = self.r, list(self.values[i].shape)
        if r.random() < 0.1:
            return T(r.randrange(len(self.values)))
        if not exact:
            shape = [1 if r.random() < 0.25 else s for s in shape]
            shape = shape[r.choice((0, 0, 0, 1, 2)):]
            if r.random() < 0.1 and 2 * math.prod(shape) <= LIMIT and len(shape) < 6:
                shape = [2] + shape
        if r.random() < 0.02:
            shape = [s + 1 for s in shape]
        own = self.values[i].dtype if r.random() < 0.6 else self.dtype()
        return self.new(shape, dtype or own)

    def axis(self, t):
        """An axis of t, from either end, rarely one that it has not."""
        n = max(t.dim(), 1)
        return self.r.randint(-n, n - 1) if self.r.random() < 0.97 else n + 1

    def axes(self, t):
        some = [d for d in range(t.dim()) if self.r.random() < 0.5] or [self.axis(t)]
        return tuple(d - t.dim() if self.r.random() < 0.3 and 0 <= d < t.dim() else d for d in some)

    # ---- calls -------------------------------------------------------------------------------

    def values_of(self, args):
        return [self.values[a] if isinstance(a, T) else a.value if isinstance(a, Number) else
                [self.values[i] for i in a] if isinstance(a, Many) else a for a in args]

    def call(self, name, args):
        """Do it in PyTorch and write it down; the index of the first result, None if there is
        none."""
        op, given = OPS[name], self.values_of(args)
        verdict = rules.verdict(self, name, args, given)
        if verdict is rules.LEFT_OUT:
            return None
        before = given[0].clone() if op.writes else None
        self.lines.append(" ".join(["O", name] + [token(a) for a in args]))
        try:
            if verdict is rules.REFUSED:
                raise ValueError("taper refuses it")
            out = (verdict or op.torch)(*given)
            out = out if isinstance(out, (tuple, list)) else (out,)
            if any(t.dtype not in DTYPES for t in out):
                raise TypeError("no such dtype here")
        except ERRORS:
            if op.writes and verdict is not rules.REFUSED:
                given[0].copy_(before)  # it may have got part of the way
            self.lines.append("X")
            return None
        if any(t.requires_grad for t in out):
            tensors = [v for g in given for v in (g if isinstance(g, list) else [g])]
            self.followed.update(t.storage().data_ptr() for t in [*tensors, *out]
                                 if isinstance(t, torch.Tensor))
        return [self.result(op, given, t, len(out) == 1) for t in out][0]

    def result(self, op, given, t, alone):
        shares = self.shares(t)
        view = op.view and shares not in (-1, len(self.values))
        if not view and t.stride() != torch.empty(t.shape).stride():
            rules.used("memory of results")
            t.data = t.data.clone(memory_format=torch.contiguous_format)
            shares = len(self.values) if t.numel() else -1
        inexact = t.dtype in FLOATS and op.bound is not None
        bound = op.bound(given, t) if inexact else 0.0
        fn = type(t.grad_fn).__name__ if t.grad_fn is not None else "none"
        self.lines.append(f"V {DTYPES[t.dtype]} {numbers(t.shape)} "
                          f"{numbers(t.stride()) if view else '-'} "
                          f"{t.storage_offset() if view else 0} {shares} "
                          f"{op.ulp if inexact else 0} {bound:.3g} {fn} {bytes_of(t)}")
        if t.requires_grad and t.grad_fn is not None and alone:
            t.retain_grad()
        return self.push(t)

    def step(self):
        name = self.r.choice(NAMES)
        args = OPS[name].make(self)
        if args is not None:
            self.call(name, args)

    def backward(self):
        ready = [i for i, t in enumerate(self.values) if t.requires_grad and t.grad_fn is not None]
        if not ready:
            return
        i = ready[-1]
        t = self.values[i]
        g = self.fill(t.shape, t.dtype, "grid")
        self.lines.append(f"B {i} {bytes_of(g)}")
        try:
            t.backward(g)
        except RuntimeError:
            self.lines.append("X")
            return
        tracked = [v for v in self.values if v.requires_grad and v.grad is not None]
        scale = max(largest(v.grad) for v in tracked)
        finite = all(torch.isfinite(v).all() for v in self.values if v.dtype in FLOATS)
        single = any(v.dtype == torch.float32 for v in self.values)
        for leaf in self.leaves:
            grad = self.values[leaf].grad
            bound = (2e-5 if single else 1e-12) * scale
            self.lines.append(f"G {leaf} 0 none" if grad is None else
                              f"G {leaf} {'' if finite else '~'}{bound:.3g} {bytes_of(grad)}")

    def make(self):
        for _ in range(self.r.randint(1, 10)):
            self.step()
        if self.tracks:
            self.backward()
        return "\n".join(self.lines)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--programs", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", type=int)
    a = options.parse_args()
    for i in [a.only] if a.only is not None else range(a.programs):
        print(Program(a.seed, i).make())
    rules.report()


if __name__ == "__main__":
    main()
