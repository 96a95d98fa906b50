#!/usr/bin/env python3
"""Random tensor programs and what PyTorch makes of them, for test_diff.c to repeat.

    programs.py --programs N --seed S [--only I]

A program is a few lines. Values are numbered in the order in which they are made; bytes are hex.

    P I                               program I begins; no value is left from the one before
    L dtype sizes bytes               a new contiguous tensor
    R value                           it requires a gradient
    O op arguments                    a call; then X if it is an error, or one V for each result:
    V dtype sizes strides offset shares ulp abs fn bytes
    B value bytes                     backward of a value from that gradient; then X, or one G per leaf:
    G value abs bytes                 the leaf's gradient, or `none`; after ~ only where it is finite, because
                                      values on the way were not: 0 times infinity is then a matter of order

sizes and strides are lists like 2,3 (- is the empty list). strides are - where the result is a tensor
of its own; `shares` is the first value on the same storage. |difference| may be `abs`, or `ulp` units in
the last place. fn is the name of the recorded op, - where it is not compared.

Arguments: t3 a value, i-1 an int, d2.5 a double, n2.5 and k2 numbers as operands, s2,3 a shape, a0,1
axes, q... indexing text, _ none. Each op gets PyTorch's result of the one before (test_diff.c writes it
over its own), so that an error of one op is not charged to the next."""
import argparse
import math
import random
import signal
import sys
import warnings

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
warnings.simplefilter("ignore")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)

DTYPES = {torch.float32: "f4", torch.float64: "f8", torch.int64: "i8", torch.uint8: "u1", torch.bool: "b1"}
FLOATS = (torch.float32, torch.float64)
LIMIT = 96  # elements of a value


def numbers(v):
    return ",".join(str(int(x)) for x in v) or "-"


def bytes_of(t):
    return t.detach().contiguous().numpy().tobytes().hex() or "-"


def largest(t):
    """The largest finite magnitude, 0 if there is none."""
    t = t.detach().double().abs()
    t = t[torch.isfinite(t)]
    return float(t.max()) if t.numel() else 0.0


class Program:
    def __init__(self, seed, index):
        self.r = random.Random(f"{seed}/{index}")
        self.values, self.storages, self.leaves, self.lines = [], [], [], [f"P {index}"]
        self.tracks = self.r.random() < 0.7

    # ---- values ---------------------------------------------------------------------------------------

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
            v = [r.choice((0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40, 1e15, 1.5, -2.5, 0.5)) for _ in range(n)]
        return torch.tensor(v, dtype=dtype).reshape(shape)

    def leaf(self, shape, dtype, kind=None):
        """A new contiguous value; its index."""
        t = self.fill(shape, dtype, kind)
        self.lines.append(f"L {DTYPES[dtype]} {numbers(shape)} {bytes_of(t)}")
        return self.push(t)

    def new(self, shape, dtype, kind=None):
        """A new value of that shape in a random layout, which may require a gradient; its index."""
        r, n = self.r, len(shape)
        layout = r.random()
        if n and layout < 0.15:  # axes permuted
            order = r.sample(range(n), n)
            inner = [0] * n
            for position, axis in enumerate(order):
                inner[axis] = shape[position]
            i = self.call("permute", [self.leaf(inner, dtype, kind), tuple(order)])
        elif n and layout < 0.25:  # every second element, after the first
            d = r.randrange(n)
            wide = list(shape)
            wide[d] = 2 * wide[d] + 1
            i = self.call("slice", [self.leaf(wide, dtype, kind), d, 1, wide[d], 2])
        elif n and layout < 0.32:  # one axis stretched
            d = r.randrange(n)
            i = self.call("expand", [self.leaf([1 if k == d else s for k, s in enumerate(shape)], dtype, kind),
                                     Shape(shape)])
        elif layout < 0.38:  # one of several
            i = self.call("select", [self.leaf([2] + list(shape), dtype, kind), 0, 1])
        else:
            i = self.leaf(shape, dtype, kind)
        if self.tracks and dtype in FLOATS and r.random() < 0.7 and torch.isfinite(self.values[i]).all():
            self.lines.append(f"R {i}")
            self.values[i].requires_grad_()
            self.leaves.append(i)
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
        return self.new(shape, dtype or (self.values[i].dtype if r.random() < 0.6 else self.dtype()))

    def axis(self, t):
        """An axis of t, from either end, rarely one that it has not."""
        n = max(t.dim(), 1)
        return self.r.randint(-n, n - 1) if self.r.random() < 0.97 else n + 1

    def axes(self, t):
        some = [d for d in range(t.dim()) if self.r.random() < 0.5] or [self.axis(t)]
        return tuple(d - t.dim() if t.dim() and self.r.random() < 0.3 and d < t.dim() and d >= 0 else d for d in some)

    # ---- calls ----------------------------------------------------------------------------------------

    def call(self, name, args):
        """Do it in PyTorch and write it down; the index of the first result, None if it is an error."""
        op = OPS[name]
        self.lines.append(" ".join(["O", name] + [token(a) for a in args]))
        given = [self.values[a] if isinstance(a, T) else a.value if isinstance(a, Number) else
                 [self.values[i] for i in a] if isinstance(a, Many) else a for a in args]
        try:
            out = op.torch(*given)
            out = out if isinstance(out, (tuple, list)) else (out,)
            if any(t.dtype not in DTYPES for t in out):
                raise TypeError("no such dtype here")
        except (RuntimeError, IndexError, TypeError, ValueError, ZeroDivisionError):
            self.lines.append("X")
            return None
        first = None
        for t in out:
            shares = self.shares(t)
            view = op.view and shares not in (-1, len(self.values))
            if not view and t.stride() != torch.empty(t.shape).stride():
                t.data = t.data.clone(memory_format=torch.contiguous_format)  # an intended difference: taper's own results are
                shares = len(self.values) if t.numel() else -1
            inexact = t.dtype in FLOATS and op.bound is not None
            bound = op.bound(given, t) if inexact else 0.0
            ulp = op.ulp if inexact else 0
            fn = type(t.grad_fn).__name__ if t.grad_fn is not None else "none"
            self.lines.append(f"V {DTYPES[t.dtype]} {numbers(t.shape)} {numbers(t.stride()) if view else '-'} "
                              f"{t.storage_offset() if view else 0} {shares} {ulp} {bound:.3g} "
                              f"{fn if op.named or fn == 'none' else '-'} {bytes_of(t)}")
            if t.requires_grad and t.grad_fn is not None and len(out) == 1:
                t.retain_grad()
            i = self.push(t)
            first = i if first is None else first
        return first

    def step(self):
        name = self.r.choice(NAMES)
        args = OPS[name].make(self)
        if args is None:
            return
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
        scale = max(largest(v.grad) for v in self.values if v.requires_grad and v.grad is not None)
        wild = "" if all(torch.isfinite(v).all() for v in self.values if v.dtype in FLOATS) else "~"
        for leaf in self.leaves:
            grad = self.values[leaf].grad
            if grad is None:
                self.lines.append(f"G {leaf} 0 none")
            else:
                relative = 2e-5 if any(v.dtype == torch.float32 for v in self.values) else 1e-12
                self.lines.append(f"G {leaf} {wild}{relative * scale:.3g} {bytes_of(grad)}")

    def make(self):
        for _ in range(self.r.randint(1, 10)):
            self.step()
        if self.tracks:
            self.backward()
        return "\n".join(self.lines)


# ---- arguments -----------------------------------------------------------------------------------------


class Shape(list):
    """A shape."""


class Many(list):
    """Values for cat and stack."""


class Text(str):
    """Indexing text."""


class Number:
    """A number as an operand."""

    def __init__(self, value):
        self.value = value


class T(int):
    """A value's index."""


def token(a):
    if isinstance(a, Shape):
        return "s" + numbers(a)
    if isinstance(a, Many):
        return "m" + numbers(a)
    if isinstance(a, tuple):
        return "a" + numbers(a)
    if isinstance(a, Text):
        return "q" + a.replace(" ", "")
    if isinstance(a, torch.dtype):
        return "y" + DTYPES[a]
    if isinstance(a, Number):
        return ("n" if isinstance(a.value, float) else "k") + repr(a.value)
    if a is None:
        return "_"
    if isinstance(a, float):
        return "d" + repr(a)
    if isinstance(a, T):
        return f"t{int(a)}"
    return f"i{int(a)}"


# ---- the ops -------------------------------------------------------------------------------------------


class Op:
    """How to choose arguments, PyTorch's meaning, and how far results may differ: `ulp` units in the
    last place, and bound(arguments, result) absolutely (None: exact)."""

    def __init__(self, make, torch_call, ulp=0, bound=None, view=False, named=True):
        self.make, self.torch, self.ulp, self.bound, self.view, self.named = make, torch_call, ulp, bound, view, named


OPS = {}


def op(name, make, torch_call, **options):
    OPS[name] = Op(make, torch_call, **options)


def sum_bound(out, magnitude, n):
    """1e-6 sqrt(n) of the magnitudes that are added (float64: 1e-14)."""
    return (1e-6 if out.dtype == torch.float32 else 1e-14) * math.sqrt(max(n, 1)) * magnitude


def rounding(out):
    return 4 * torch.finfo(out.dtype).eps


def none(args, out):
    return 0.0


def one(p):
    return [p.pick()]


def one_float(p):
    return [p.pick(dtype=FLOATS)]


def one_not_bool(p):
    return [p.pick(dtype=(*FLOATS, torch.int64, torch.uint8))]


def followed(p, *args):
    return any(isinstance(a, T) and p.values[a].requires_grad for a in args)


def number(p, integral=None):
    r = p.r
    if integral or (integral is None and r.random() < 0.4):
        return Number(r.randint(-3, 5))
    return Number(r.choice((0.0, 0.5, -1.25, 2.0, 3.0, 0.1, -0.3)))


def two(p):
    a = p.pick()
    return [a, p.partner(a)]


def two_or_number(p):
    a = p.pick()
    k = p.r.random()
    if k < 0.2:
        return [a, number(p)]
    if k < 0.35:
        return [number(p), a]
    return [a, p.partner(a)]


for name in "exp expm1 log log1p log2 log10 sqrt rsqrt reciprocal sin cos tanh sigmoid erf".split():
    op(name, one, getattr(torch, name), ulp=4, bound=none)
op("logsigmoid", one_float, F.logsigmoid, ulp=4, bound=none)
op("softplus", one_float, F.softplus, ulp=4, bound=none)
op("gelu", one_float, F.gelu, ulp=4, bound=lambda args, out: rounding(out) * largest(args[0]))  # 1 + erf(x) cancels
op("silu", one_float, F.silu, ulp=4, bound=none)
for name in "neg abs sign relu square floor ceil trunc round isnan isinf isfinite logical_not".split():
    op(name, one_not_bool if name in ("sign", "square") else one, getattr(torch, name))
for name in "logical_and logical_or logical_xor".split():
    op(name, two, getattr(torch, name))
for name in "bitwise_and bitwise_or bitwise_xor".split():
    op(name, lambda p: (lambda a: [a, p.partner(a)])(
        p.pick(dtype=(torch.int64, torch.uint8, torch.bool) if p.r.random() < 0.9 else None)), getattr(torch, name))


op("add", two_or_number, lambda a, b: a + b)
def not_bools(p):
    """PyTorch subtracts no bools."""
    args = two_or_number(p)
    return None if any(isinstance(a, T) and p.values[a].dtype == torch.bool for a in args) else args


def divided(p):
    """Not where PyTorch has no gradient."""
    args = two_or_number(p)
    nothing = any(isinstance(a, T) and not p.values[a].numel() for a in args)  # but a division by zero
    return None if nothing or isinstance(args[0], Number) and followed(p, *args) else args


def floored(p):
    args = divided(p)
    return None if args is None or followed(p, *args) else args


def raised(p):
    """No integer tensors to negative powers: 0, 1 or -1 in PyTorch, an error in taper."""
    args = two_or_number(p)
    whole = [p.values[a] for a in args if isinstance(a, T) and p.values[a].dtype not in FLOATS]
    return None if len(whole) == 2 and (whole[1] < 0).any() else args


op("sub", not_bools, lambda a, b: a - b)
op("mul", two_or_number, lambda a, b: a * b)
op("div", two_or_number, lambda a, b: a / b, ulp=1, bound=none)
op("pow", raised, lambda a, b: a ** b, ulp=4, bound=none)
op("remainder", divided, torch.remainder, ulp=1, bound=none)
op("floor_divide", floored, torch.floor_divide)
for name in "maximum minimum".split():
    op(name, two, getattr(torch, name))
for name, f in {"eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
                "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b}.items():
    op(name, two_or_number, f)


def with_numbers(*choices):
    def make(p):
        x = p.pick()
        whole = p.values[x].dtype not in FLOATS
        return [x] + [float(round(v)) if whole else v for v in p.r.choice(choices)]
    return make


def clamp(x, low, high):
    whole = x.dtype not in FLOATS
    low, high = (None if math.isnan(v) else int(v) if whole else v for v in (low, high))
    return torch.clamp(x, low, high)


def clamped(p):
    [x] = one_not_bool(p)
    low, high = p.r.choice(((-1.0, 1.0), (0.0, 2.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.nan), (-0.5, 0.75)))
    if p.values[x].dtype not in FLOATS:
        low, high = (v if math.isnan(v) else float(round(v)) for v in (low, high))
    return None if low < 0 and p.values[x].dtype == torch.uint8 else [x, low, high]


op("clamp", clamped, clamp)
op("leaky_relu", with_numbers((0.01,), (0.5,), (-0.5,)), F.leaky_relu)
op("elu", with_numbers((1.0,), (0.5,)), F.elu, ulp=4, bound=lambda args, out: rounding(out))  # exp(x) - 1 there

# Views.


def regrouped(p, x):
    """Another shape of as many elements, rarely of one more."""
    t, r = p.values[x], p.r
    n = t.numel()
    if r.random() < 0.05:
        return Shape([n + 1])
    if r.random() < 0.2:
        return Shape(t.shape)
    if n == 0:
        return Shape(r.choice(([0], [0, 3], [2, 0], [1, 0, 4], [0, -1])))
    shape = []
    while n > 1 and len(shape) < 4:
        d = r.choice([k for k in range(1, n + 1) if n % k == 0])
        shape.append(d)
        n //= d
    shape.append(n)
    if r.random() < 0.3:
        shape[r.randrange(len(shape))] = -1
    if n == 1 and r.random() < 0.5:
        shape.pop()
        if math.prod(shape) != t.numel() and -1 not in shape:
            shape.append(1)
    return Shape(shape)


def stretched(p, x):
    r = p.r
    s = [r.choice((-1, k, 2 if k == 1 else k)) for k in p.values[x].shape]
    if r.random() < 0.4 and len(s) < 6:
        s = [r.choice((1, 2, 0))] + s
    if r.random() < 0.05:
        s = s[1:]
    return Shape(s) if math.prod(max(a, b) for a, b in zip(s[::-1], list(p.values[x].shape)[::-1] + [1])) <= LIMIT \
        else Shape([-1] * p.values[x].dim())


def permutation(p, x):
    n = p.values[x].dim()
    order = [d - n if p.r.random() < 0.2 else d for d in p.r.sample(range(n), n)]
    return tuple(order[1:] if p.r.random() < 0.03 else order)


def sliced(p):
    x = p.pick(low=0 if p.r.random() < 0.03 else 1)
    d = p.axis(p.values[x])
    return [x, d, p.r.randint(-5, 5), p.r.randint(-5, 9), p.r.choice((1, 1, 2, 3))]


def do_slice(x, d, start, stop, step):
    if x.dim() == 0 or not -x.dim() <= d < x.dim():
        raise IndexError
    return x[(slice(None),) * (d % x.dim()) + (slice(start, stop, step),)]


def index_text(p):
    x = p.pick(low=1)
    t, r, parts = p.values[x], p.r, []
    for k in t.shape[:r.randint(0, t.dim())]:
        parts.append(r.choice((":", "1:", ":-1", "::2", "-2:", ":2", "1:3", str(r.randint(-k, max(k - 1, 0))))))
    if r.random() < 0.2:
        parts.append("...")
    if r.random() < 0.15 and t.dim() < 6:
        parts.insert(r.randint(0, len(parts)), "None")
    if not parts:
        parts = ["..."]
    return [x, Text(", ".join(parts))]


def axis_of(p, low=0):
    x = p.pick(low=low)
    return [x, p.axis(p.values[x])]


def unbound(p):
    x, d = axis_of(p, low=1)
    t = p.values[x]
    return None if -t.dim() <= d < t.dim() and not 0 < t.shape[d] <= 16 else [x, d]


op("view", lambda p: (lambda x: [x, regrouped(p, x)])(p.pick()), lambda x, s: x.view(list(s)), view=True)
op("reshape", lambda p: (lambda x: [x, regrouped(p, x)])(p.pick()), lambda x, s: x.reshape(list(s)), view=True)
op("permute", lambda p: (lambda x: [x, permutation(p, x)])(p.pick()), lambda x, o: x.permute(o), view=True)
op("transpose", lambda p: (lambda x: [x, p.axis(p.values[x]), p.axis(p.values[x])])(p.pick()), torch.transpose, view=True)
op("T", one, lambda x: x.T, view=True)
op("squeeze", one, torch.squeeze, view=True)
op("squeeze_dim", axis_of, lambda x, d: torch.squeeze(x, d), view=True)
op("unsqueeze", lambda p: (lambda x: [x, p.r.randint(-p.values[x].dim() - 1, p.values[x].dim())])(p.pick(high=5)),
   torch.unsqueeze, view=True)
op("expand", lambda p: (lambda x: [x, stretched(p, x)])(p.pick()), lambda x, s: x.expand(list(s)), view=True)
op("flatten", lambda p: (lambda x: [x, p.axis(p.values[x]), p.axis(p.values[x])])(p.pick()), torch.flatten, view=True)
op("slice", sliced, do_slice, view=True)
op("select", lambda p: (lambda x, d: [x, d, p.r.randint(-3, 3)])(*axis_of(p, low=1)), torch.select, view=True)
op("at", index_text, lambda x, text: eval(f"x[{text}]"), view=True)
op("unbind", unbound, lambda x, d: torch.unbind(x, d), view=True)


# Joining, copying, converting, choosing.


def several(p, new_axis):
    x = p.pick()
    d = p.axis(p.values[x])
    many = Many([x])
    for _ in range(p.r.randint(0, 2)):
        shape = list(p.values[x].shape)
        if not new_axis and shape and -len(shape) <= d < len(shape):
            shape[d] = p.r.randint(0, 3)
        many.append(p.new(shape, p.values[x].dtype if p.r.random() < 0.7 else p.dtype()))
    return [many, d]


op("cat", lambda p: several(p, False), lambda many, d: torch.cat(many, d))
op("stack", lambda p: several(p, True), lambda many, d: torch.stack(many, d))
op("clone", one, torch.clone)
op("contiguous", one, lambda x: x.contiguous(), view=True)
op("to", lambda p: [p.pick(), p.dtype()], lambda x, d: x.to(d), view=True)
op("detach", one, lambda x: x.detach(), view=True)


def mask_for(p, x):
    return p.partner(x, dtype=torch.bool)


def filled(p, x):
    m = mask_for(p, x)
    return None if p.values[m].dtype != torch.bool else [x, m, value_for(p, x)]


def masked(p):
    """PyTorch 1.13's gradient of a masked_select is wrong where x is not contiguous."""
    x = p.pick()
    m = mask_for(p, x)
    if p.values[m].dtype != torch.bool or followed(p, x) and not p.values[x].is_contiguous():
        return None
    return [x, m]


def choose(p):
    x = p.pick()
    other = number(p) if p.r.random() < 0.2 else p.partner(x)
    return [mask_for(p, x), other, x] if p.r.random() < 0.5 else [mask_for(p, x), x, other]


def indices(p, shape, n):
    """int64 indices below n, rarely one that is not."""
    top = n if p.r.random() < 0.04 else n - 1
    t = torch.tensor([p.r.randint(0, max(top, 0)) for _ in range(math.prod(shape))], dtype=torch.int64).reshape(shape)
    p.lines.append(f"L i8 {numbers(shape)} {bytes_of(t)}")
    return p.push(t)


def selected(p):
    x, d = axis_of(p, low=1)
    t = p.values[x]
    k = t.shape[d] if -t.dim() <= d < t.dim() else 1
    return [x, d, indices(p, [p.r.randint(0, 3)], k)]


def gathered(p):
    x, d = axis_of(p, low=1)
    t = p.values[x]
    if not -t.dim() <= d < t.dim():
        return [x, d, indices(p, t.shape, 1)]
    shape = [p.r.randint(0, 4) if k == d % t.dim() else p.r.randint(min(s, 1), s) for k, s in enumerate(t.shape)]
    return [x, d, indices(p, shape, t.shape[d])]


def value_for(p, x):
    return p.r.choice((0.0, 1.0, 2.0)) if p.values[x].dtype not in FLOATS else p.r.choice((0.0, -1.5, 2.0, math.inf, 0.1))


op("where", choose, torch.where)
op("masked_fill", lambda p: filled(p, p.pick()), lambda x, m, v: x.masked_fill(m, v))
op("masked_select", masked, torch.masked_select)
op("index_select", selected, torch.index_select)
op("gather", gathered, torch.gather)
op("nonzero", one, torch.nonzero)

# Reductions.


def reduced(t, out):
    return t.numel() / max(out.numel(), 1)


def summed(args, out):
    x = args[0].detach().double().abs()
    x[~torch.isfinite(x)] = 0
    return sum_bound(out, largest(x) * reduced(x, out), reduced(x, out))


def averaged(args, out):
    return sum_bound(out, largest(args[0]), reduced(args[0], out))


def squared(args, out):
    return sum_bound(out, largest(args[0]) ** 2, reduced(args[0], out))


def relative(args, out):
    return sum_bound(out, largest(out), reduced(args[0], out))


def over_axes(p):
    x = p.pick()
    return [x, p.axes(p.values[x]), p.r.choice((0, 1))]


def over_axis(p):
    x, d = axis_of(p)
    return [x, d, p.r.choice((0, 1))]


def spread(p):
    """PyTorch 1.13's own gradient fails where n - 1 is 0 or less."""
    x = p.pick()
    return None if followed(p, x) and p.values[x].numel() < 2 else x


def deviated(p):
    x = spread(p)
    if x is None:
        return None
    return [x, p.axes(p.values[x]), p.r.choice((0, 1, 2, 3))]


def deviated_all(p):
    x = spread(p)
    return None if x is None else [x, p.r.choice((0, 2))]


op("sum", one, torch.sum, bound=summed)
op("sum_dim", over_axes, lambda x, d, f: torch.sum(x, d, bool(f)), bound=summed)
op("mean", one, torch.mean, bound=averaged)
op("mean_dim", over_axes, lambda x, d, f: torch.mean(x, d, bool(f)), bound=averaged)
op("prod", one, torch.prod, bound=relative)
op("prod_dim", over_axis, lambda x, d, f: torch.prod(x, d, bool(f)), bound=relative)
op("var", deviated_all, lambda x, f: torch.var(x, unbiased=not f & 2), bound=squared)
op("var_dim", deviated, lambda x, d, f: torch.var(x, d, unbiased=not f & 2, keepdim=bool(f & 1)), bound=squared)
op("std", deviated_all, lambda x, f: torch.std(x, unbiased=not f & 2), bound=averaged)
op("std_dim", deviated, lambda x, d, f: torch.std(x, d, unbiased=not f & 2, keepdim=bool(f & 1)), bound=averaged)


def without(*dtypes):
    """Arguments made by another, but not of these dtypes."""
    def wrap(make):
        def made(p):
            args = make(p)
            return None if p.values[args[0]].dtype in dtypes else args
        return made
    return wrap


unlike = {"arg": without(torch.bool), "any": without(torch.uint8), "all": without(torch.uint8),
          "max": without(), "min": without()}
for name in "max min argmax argmin any all".split():
    op(name, unlike[name[:3]](one), getattr(torch, name))
    op(name + "_dim", unlike[name[:3]](over_axis), lambda x, d, f, name=name: getattr(torch, name)(x, dim=d, keepdim=bool(f)))

# Linear algebra, softmax, losses.


def factors(p):
    x = p.pick(low=0 if p.r.random() < 0.02 else 1, dtype=FLOATS if p.r.random() < 0.95 else None, high=4)
    t, r = p.values[x], p.r
    k = t.shape[-1] if t.dim() else 1
    if r.random() < 0.03:
        k += 1
    shape = [k] if r.random() < 0.25 else [k, r.randint(0, 5)]
    if len(shape) == 2 and r.random() < 0.3:
        batch = [1 if r.random() < 0.3 else s for s in t.shape[:-2]] or [r.randint(1, 3)]
        shape = batch[r.randint(0, len(batch) - 1):] + shape
    if math.prod(shape) > LIMIT or math.prod(shape[-1:]) * t.numel() > 8 * LIMIT:
        shape = [k]
    return [x, p.new(shape, t.dtype if r.random() < 0.97 else p.dtype())]


def affine(p):
    x = p.pick(low=1, dtype=FLOATS, high=4)
    t, r = p.values[x], p.r
    n = r.randint(1, 5)
    w = p.new([n, t.shape[-1] + (r.random() < 0.03)], t.dtype)
    b = None if r.random() < 0.3 else p.new([n] if r.random() < 0.95 else [n + 1], t.dtype)
    return [x, w, b]


def product(args, out):
    x, w = args[0], args[1]
    n = x.shape[-1]
    more = largest(args[2]) if len(args) > 2 and args[2] is not None else 0.0
    return sum_bound(out, n * largest(x) * largest(w) + more, n)


def normalised(args, out):
    return (1e-6 if out.dtype == torch.float32 else 1e-14) * max(1.0, largest(out), largest(args[0]) if
                                                                 (out < 0).any() else 1.0)


def classes(p):
    r = p.r
    x = p.pick(low=2, high=2, dtype=FLOATS if r.random() < 0.95 else None)
    n, c = p.values[x].shape
    shape = [n + (r.random() < 0.03)]
    return [x, indices(p, shape, c)]


def alike(p):
    x = p.pick(dtype=FLOATS if p.r.random() < 0.95 else None)
    return [x, p.new(list(p.values[x].shape), p.values[x].dtype if p.r.random() < 0.9 else p.dtype())]


def targets(p):
    x = p.pick(dtype=FLOATS)
    kind = p.r.choice((p.values[x].dtype, torch.int64, torch.bool))
    return [x, p.new(list(p.values[x].shape), p.values[x].dtype, "unit") if kind in FLOATS else
            p.new(list(p.values[x].shape), kind, "grid")]


def mean_of_pairs(args, out):
    top = largest(args[0]) + largest(args[1])
    return sum_bound(out, max(top, top * top), args[0].numel())


def unfloat(t, like):
    return t if t.dtype in FLOATS else t.to(like.dtype)


op("matmul", factors, torch.matmul, bound=product, named=False)
op("linear", affine, F.linear, bound=product, named=False)
def distributed(p):
    """PyTorch takes integers if there are none of them."""
    x, d = axis_of(p)
    return None if p.values[x].dtype not in FLOATS and not p.values[x].numel() else [x, d]


op("softmax", distributed, torch.softmax, bound=normalised)
op("log_softmax", distributed, torch.log_softmax, bound=normalised)
op("l1_loss", alike, F.l1_loss, bound=mean_of_pairs, named=False)
op("mse_loss", alike, F.mse_loss, bound=mean_of_pairs, named=False)
op("cross_entropy", classes, F.cross_entropy, bound=lambda args, out: averaged(args, out) + normalised(args, out), named=False)
op("nll_loss", classes, F.nll_loss, bound=averaged, named=False)
op("binary_cross_entropy_with_logits", targets,
   lambda x, t: F.binary_cross_entropy_with_logits(x, unfloat(t, x)), bound=mean_of_pairs, named=False)
op("mnist_loss", targets, lambda x, t: (lambda y: torch.where(t == 1, 1 - y, y).mean())(x.sigmoid()), bound=averaged, named=False)

# In place: only on what the tape does not follow.


def untracked(p):
    x = p.pick()
    return x if not p.values[x].requires_grad else p.leaf(p.values[x].shape, p.values[x].dtype)


def apart(p):
    """PyTorch fills a tensor whose elements share memory; taper refuses any write to one."""
    x = untracked(p)
    t = p.values[x]
    return x if all(st or n < 2 for n, st in zip(t.shape, t.stride())) or not t.numel() else p.leaf(t.shape, t.dtype)


def plain(p, x, exact=False):
    """A partner of x that the tape does not follow either."""
    b = p.partner(x, exact=exact)
    return b if not p.values[b].requires_grad else p.call("detach", [b])


op("add_", lambda p: (lambda x: [x, number(p) if p.r.random() < 0.3 else plain(p, x)])(untracked(p)), lambda x, b: x.add_(b), view=True)
def subtracted(p):
    x = untracked(p)
    args = [x, number(p) if p.r.random() < 0.3 else plain(p, x)]
    return None if any(isinstance(a, T) and p.values[a].dtype == torch.bool for a in args) else args


op("sub_", subtracted, lambda x, b: x.sub_(b), view=True)
op("mul_", lambda p: (lambda x: [x, number(p) if p.r.random() < 0.3 else plain(p, x)])(untracked(p)), lambda x, b: x.mul_(b), view=True)
op("div_", lambda p: (lambda x: [x, number(p) if p.r.random() < 0.3 else plain(p, x)])(untracked(p)), lambda x, b: x.div_(b), view=True)
def copied(p):
    """taper copies between overlapping memory as if by way of a copy; PyTorch refuses some of that."""
    x = apart(p)
    source = plain(p, x)
    return None if p.shares(p.values[source]) == p.shares(p.values[x]) else [x, source]


op("copy_", copied, lambda x, b: x.copy_(b), view=True)
op("fill_", lambda p: (lambda x: [x, value_for(p, x)])(apart(p)), lambda x, v: x.fill_(v), view=True)
op("zero_", lambda p: [apart(p)], lambda x: x.zero_(), view=True)
def overwriting(p):
    """A mask that is false everywhere changes a tensor in PyTorch's books, not in taper's."""
    args = filled(p, apart(p))
    return args if args and p.values[args[1]].any() else None


op("masked_fill_", overwriting, lambda x, m, v: x.masked_fill_(m, v), view=True)


def overwritten(p):
    x = untracked(p)
    t, r = p.values[x], p.r
    if t.dim() == 0:
        x = p.leaf([3, 2], p.dtype())
        t = p.values[x]
    d = r.randrange(-t.dim(), t.dim())
    n = t.shape[d]
    count = r.randint(0, n)
    at = torch.tensor(r.sample(range(n), count), dtype=torch.int64)
    p.lines.append(f"L i8 {numbers(at.shape)} {bytes_of(at)}")
    index = p.push(at)
    shape = list(t.shape)
    shape[d] = count
    return [x, d, index, p.leaf(shape, t.dtype)]


op("index_copy_", overwritten, lambda x, d, i, s: x.index_copy_(d, i, s), view=True)

NAMES = sorted(OPS)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--programs", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", type=int)
    a = options.parse_args()
    for i in [a.only] if a.only is not None else range(a.programs):
        print(Program(a.seed, i).make())


if __name__ == "__main__":
    main()
