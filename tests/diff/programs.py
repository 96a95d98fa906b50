#!/usr/bin/env python3
"""Random tensor programs and what PyTorch makes of them, for test_diff.c to repeat.

    programs.py --programs N --seed S [--only I]

A program is a few lines. Values are numbered in the order in which they are made; bytes are hex.

    P I                               program I begins; no value is left from the one before
    L dtype sizes bytes               a new contiguous tensor
    R value                           it requires a gradient
    N                                 the next call is not recorded
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
from surface import NAMES, OPS, STRETCHING, stretched_pair
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
        self.roots = []  # of each value: the leaves that it depends on
        self.used = set()  # values that others depend on
        self.finite, self.largest, self.quiet, self.calling = True, 0.0, False, None
        self.saved, self.copied, self.changed = [], [], set()
        self.tracks = self.r.random() < 0.7

    # ---- values ------------------------------------------------------------------------------

    def push(self, t, roots=frozenset()):
        self.values.append(t)
        self.storages.append(t.storage().data_ptr())
        self.roots.append(roots)
        if t.dtype in FLOATS:
            self.finite &= bool(torch.isfinite(t).all())
            self.largest = max(self.largest, largest(t))
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
        if self.tracks and dtype in FLOATS and self.r.random() < 0.8 and torch.isfinite(t).all():
            self.lines.append(f"R {i}")
            t.requires_grad_()
            self.leaves.append(i)
            self.roots[i] = frozenset([i])
        return i

    def pick(self, low=0, high=6, dtype=None):
        """A value to work on: often the newest one, or the newest that has a gradient."""
        r = self.r
        fit = [i for i, t in enumerate(self.values) if low <= t.dim() <= high and
               (dtype is None or t.dtype in dtype)]
        if self.tracks and r.random() < 0.5:
            fit = [i for i in fit if self.values[i].requires_grad] or fit
        if fit and r.random() < 0.75:
            return T(fit[-1] if r.random() < 0.6 else r.choice(fit))
        return self.new(self.shape(low, high), r.choice(dtype) if dtype else self.dtype())

    def partner(self, i, dtype=None, grows=True):
        """A value that broadcasts with value i, which it may stretch (grows); now and then one that
        does not."""
        r, shape = self.r, list(self.values[i].shape)
        if r.random() < 0.1:
            return T(r.randrange(len(self.values)))
        if grows and r.random() < 0.5:
            shape = [r.choice((2, 3)) if s == 1 and r.random() < 0.7 else s for s in shape]
            more = min(6 - len(shape), r.choice((0, 1, 1, 2)))
            shape = [r.choice((1, 2, 3)) for _ in range(more)] + shape
            if math.prod(shape) > LIMIT:
                shape = list(self.values[i].shape)
        else:
            shape = shape[r.choice((0, 0, 0, 1, 2)):]
        shape = [1 if r.random() < 0.25 else s for s in shape]
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

    # What PyTorch saves for backward is copied. So its gradients are always those of the forward,
    # and a change in place is no error of PyTorch's own, but noted.

    def pack(self, t):
        t = t.detach()
        at = t.storage().data_ptr()
        which = [k for k, a in enumerate(self.operands) if a.storage().data_ptr() == at] or [-1]
        self.saved.append([t, t.clone(), t._version,
                           rules.reads(self.calling, which[0], self.operands, t)])
        return self.saved[-1]

    def unpack(self, saved):
        t, copy, version, read = saved
        if t._version != version:
            self.changed.add(read)
        return copy

    def call(self, name, args, quiet=False):
        """Do it in PyTorch, unrecorded if quiet, and write it down; the index of the first result,
        None if there is none."""
        op, given = OPS[name], self.values_of(args)
        verdict = rules.verdict(self, name, args, given)
        if verdict is rules.LEFT_OUT:
            return None
        before = given[0].detach().clone() if op.writes else None
        fresh = [s for s in self.saved if s[0]._version == s[2]] if op.writes else []
        if quiet:
            self.lines.append("N")
        self.lines.append(" ".join(["O", name] + [token(a) for a in args]))
        try:
            if verdict is rules.REFUSED:
                raise ValueError("taper refuses it")
            out = self.run(op, verdict or op.torch, given, quiet)
            if any(t.dtype not in DTYPES for t in out):
                raise TypeError("no such dtype here")
        except ERRORS:
            if op.writes and verdict is not rules.REFUSED:
                with torch.no_grad():
                    given[0].copy_(before)  # it may have got part of the way
                for s in fresh:
                    s[2] = s[0]._version
            self.lines.append("X")
            return None
        sources = [i for a in args for i in (a if isinstance(a, Many) else [a]) if isinstance(i, T)]
        roots = frozenset().union(*(self.roots[i] for i in sources))
        if any(t.requires_grad for t in out):
            self.used.update(sources)
            kept = {s[0].storage().data_ptr() for s in self.saved}
            self.copied += [(self.values[i], self.values[i]._version) for i in sources
                            if not self.values[i].numel() or
                            name in rules.COPIED and self.storages[i] not in kept]
        made = [self.result(op, given, t, len(out) == 1, roots) for t in out]
        self.copied += [(t, t._version) for t in out if t.requires_grad and not t.numel()]
        return made[0]

    def run(self, op, call, given, quiet):
        x, self.operands = given[0], rules.tensors(given)
        if quiet and op.view and not op.writes:  # PyTorch's own views from there are of no use later
            given = [x.detach(), *given[1:]]
        with torch.set_grad_enabled(not quiet):
            with torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack):
                out = call(*given)
        out = out if isinstance(out, (tuple, list)) else (out,)
        return [x if t is given[0] else t for t in out]

    def result(self, op, given, t, alone, roots):
        shares = self.shares(t)
        view = op.view and shares not in (-1, len(self.values))
        if not view and t.stride() != torch.empty(t.shape).stride():
            rules.used("memory of results")
            self.settle(t)
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
        return self.push(t, roots if t.requires_grad else frozenset())

    def settle(self, t):
        """Contiguous memory for t, also for who has saved it."""
        old = t.storage().data_ptr()
        t.data = t.data.clone(memory_format=torch.contiguous_format)
        for saved in self.saved:
            if saved[0].storage().data_ptr() == old:
                saved[0], saved[2] = t.detach(), t._version

    def step(self):
        name = self.r.choice(NAMES)
        make = OPS[name].make
        if self.tracks and self.r.random() < 0.2:  # two gradients, each with axes to sum over
            name, make = self.r.choice(STRETCHING), stretched_pair
        self.quiet = self.tracks and self.r.random() < (0.3 if OPS[name].writes else 0.05)
        self.call(name, make(self), self.quiet)

    def ends(self):
        """Values with a history that no other depends on."""
        return [T(i) for i, t in enumerate(self.values)
                if t.requires_grad and t.grad_fn is not None and i not in self.used]

    def backward(self):
        if len(self.ends()) > 1 and self.r.random() < 0.7:  # all in one
            flat = [self.call("reshape", [i, Shape([-1])]) for i in self.ends()]
            self.call("cat", [Many(i for i in flat if i is not None), 0])
        ready = self.ends()
        if not ready or any(t._version != version for t, version in self.copied):
            return
        i = ready[-1]
        t = self.values[i]
        g = self.fill(t.shape, t.dtype, "grid")
        self.lines.append(f"B {i} {bytes_of(g)}")
        try:
            t.backward(g)
        except RuntimeError:  # in PyTorch itself: no version is checked here
            rules.used("gradients that PyTorch has not")
            self.lines.pop()
            return
        if None in self.changed:
            self.lines.pop()
            return
        if rules.notices(self.changed):
            self.lines.append("X")
            return
        finite = self.finite and all(torch.isfinite(v.grad).all() for v in self.values
                                     if v.requires_grad and v.grad is not None)
        single = any(v.dtype == torch.float32 for v in self.values)
        for leaf in self.leaves:
            grad = self.values[leaf].grad
            if grad is None:
                self.lines.append(f"G {leaf} 0 none")
                continue
            scale = max(largest(v.grad) for v, roots in zip(self.values, self.roots)
                        if leaf in roots and v.grad is not None)
            if self.largest > 1e6:
                scale *= self.largest  # which may have cancelled
            bound = (2e-5 if single else 1e-12) * scale
            self.lines.append(f"G {leaf} {'' if finite else '~'}{bound:.3g} {bytes_of(grad)}")

    def make(self):
        for _ in range(self.r.randint(2, 10)):
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
