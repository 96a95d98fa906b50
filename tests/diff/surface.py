"""Every public op that gives a tensor: how a random call of it is made, what PyTorch says it is, and
how far results may be from PyTorch's. See programs.py."""
import math

import torch
import torch.nn.functional as F

from words import DTYPES, FLOATS, LIMIT, Many, Number, Shape, T, Text

WHOLE = (torch.int64, torch.uint8, torch.bool)


class Op:
    """How to choose arguments, PyTorch's meaning, and how far results may differ: `ulp` units in the
    last place, and bound(arguments, result) absolutely (None: exact)."""

    def __init__(self, make, torch_call, ulp=0, bound=None, view=False, writes=False):
        self.make, self.torch, self.ulp, self.bound = make, torch_call, ulp, bound
        self.view, self.writes = view or writes, writes


OPS = {}


def op(name, make, torch_call, **options):
    OPS[name] = Op(make, torch_call, **options)


# ---- tolerances ------------------------------------------------------------------------------


def largest(t):
    """The largest finite magnitude, 0 if there is none."""
    t = t.detach().double().abs()
    t = t[torch.isfinite(t)]
    return float(t.max()) if t.numel() else 0.0


def sum_bound(out, magnitude, n):
    """1e-6 sqrt(n) of the magnitudes that are added (float64: 1e-14)."""
    unit = 1e-6 if out.dtype == torch.float32 else 1e-14
    return unit * math.sqrt(max(n, 1)) * magnitude + torch.finfo(out.dtype).tiny


def rounding(out):
    return 4 * torch.finfo(out.dtype).eps


def none(args, out):
    """Numbers below the smallest normal one PyTorch often makes 0."""
    return torch.finfo(out.dtype).tiny


def reduced(t, out):
    return t.numel() / max(out.numel(), 1)


def summed(args, out):
    return sum_bound(out, largest(args[0]) * reduced(args[0], out), reduced(args[0], out))


def averaged(args, out):
    return sum_bound(out, largest(args[0]), reduced(args[0], out))


def squared(args, out):
    top = largest(args[0])
    return sum_bound(out, top * top, reduced(args[0], out))


def relative(args, out):
    return sum_bound(out, largest(out), reduced(args[0], out))


def product(args, out):
    x, w = args[0], args[1]
    n = x.shape[-1]
    more = largest(args[2]) if len(args) > 2 and args[2] is not None else 0.0
    return sum_bound(out, n * largest(x) * largest(w) + more, n)


def normalised(args, out):
    scale = largest(args[0]) if (out < 0).any() else 1.0
    return (1e-6 if out.dtype == torch.float32 else 1e-14) * max(1.0, largest(out), scale)


def mean_of_pairs(args, out):
    top = largest(args[0]) + largest(args[1])
    return sum_bound(out, max(top, top * top), args[0].numel())


def mean_of_entropies(args, out):
    return mean_of_pairs(args, out) + mean_of_units(args, out)


def mean_of_units(args, out):
    return sum_bound(out, 1.0, args[0].numel())


def mean_of_logs(args, out):
    return averaged(args, out) + normalised(args, out)


# ---- arguments -------------------------------------------------------------------------------


def one(p):
    return [p.pick()]


def of(*dtypes):
    """One value, nearly always of these dtypes."""
    return lambda p: [p.pick(dtype=dtypes if p.r.random() < 0.93 else None)]


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


STRETCHING = "add sub mul div maximum minimum pow".split()


def stretched_pair(p):
    """Two floats in either order, of which one or both are stretched."""
    a = p.pick(dtype=FLOATS)
    pair = [a, p.partner(a, dtype=p.r.choice(FLOATS))]
    return pair if p.r.random() < 0.5 else pair[::-1]


def axis_of(p, low=0):
    x = p.pick(low=low)
    return [x, p.axis(p.values[x])]


def over_axes(p):
    x = p.pick(dtype=FLOATS if p.r.random() < 0.5 else None)
    return [x, p.axes(p.values[x]), p.r.choice((0, 1))]


def over_axis(p):
    x, d = axis_of(p)
    return [x, d, p.r.choice((0, 1))]


# ---- elementwise -----------------------------------------------------------------------------

for name in ("exp expm1 log log1p log2 log10 sqrt rsqrt reciprocal sin cos tanh sigmoid "
             "erf").split():
    op(name, one, getattr(torch, name), ulp=4, bound=none)
for name in "logsigmoid softplus silu".split():
    op(name, of(*FLOATS), getattr(F, name), ulp=4, bound=none)
op("gelu", of(*FLOATS), F.gelu, ulp=4,  # 1 + erf(x) cancels
   bound=lambda args, out: rounding(out) * largest(args[0]))
for name in ("neg abs sign relu square floor ceil trunc round isnan isinf isfinite "
             "logical_not").split():
    op(name, one, getattr(torch, name))
for name in "logical_and logical_or logical_xor".split():
    op(name, two, getattr(torch, name))


def two_whole(p):
    [a] = of(*WHOLE)(p)
    return [a, p.partner(a, dtype=p.r.choice(WHOLE) if p.r.random() < 0.5 else None)]


for name in "bitwise_and bitwise_or bitwise_xor".split():
    op(name, two_whole, getattr(torch, name))

op("add", two_or_number, lambda a, b: a + b)
op("sub", two_or_number, lambda a, b: a - b)
op("mul", two_or_number, lambda a, b: a * b)
op("div", two_or_number, lambda a, b: a / b, ulp=1, bound=none)
op("pow", two_or_number, lambda a, b: a ** b, ulp=4, bound=none)
op("remainder", two_or_number, torch.remainder, ulp=1, bound=none)
op("floor_divide", two_or_number, torch.floor_divide)
for name in "maximum minimum".split():
    op(name, two, getattr(torch, name))
for name, f in {"eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
                "le": lambda a, b: a <= b, "gt": lambda a, b: a > b,
                "ge": lambda a, b: a >= b}.items():
    op(name, two_or_number, f)


def with_numbers(*choices):
    def make(p):
        return [*of(*FLOATS)(p), *p.r.choice(choices)]
    return make


def clamp(x, low, high):
    """A bound without a fraction is Python's int, so whole numbers stay whole."""
    whole = all(math.isnan(v) or v == round(v) for v in (low, high))
    low, high = (None if math.isnan(v) else int(v) if whole else v for v in (low, high))
    return torch.clamp(x, low, high)


BOUNDS = ((-1.0, 1.0), (0.0, 2.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.nan), (-0.5, 0.75))
op("clamp", lambda p: [p.pick(), *p.r.choice(BOUNDS)], clamp)
op("leaky_relu", with_numbers((0.01,), (0.5,), (-0.5,)), F.leaky_relu)
op("elu", with_numbers((1.0,), (0.5,)), F.elu, ulp=4,  # exp(x) - 1 there
   bound=lambda args, out: rounding(out))

# ---- making ----------------------------------------------------------------------------------


def made(p):
    return [Shape(p.shape()), p.dtype()]


def value_of(p, dtype):
    """A number that mostly fits the dtype."""
    if dtype in FLOATS:
        return p.r.choice((0.0, -1.5, 2.0, math.inf, 0.1, math.nan))
    return p.r.choice((0.0, 1.0, 1.0, 2.0, 2.0, -1.0, 255.0, 300.0, 0.5))


def filled_shape(p):
    dtype = p.dtype()
    return [Shape(p.shape()), value_of(p, dtype), dtype]


def stepped(p):
    r = p.r
    start, end, step, dtype = r.choice((
        (0.0, float(r.randint(0, 20)), 1.0), (r.randint(-8, 8) / 4, r.randint(-8, 20) / 4, 0.25),
        (float(r.randint(-5, 5)), float(r.randint(-5, 15)), float(r.choice((1, 2, 3, -1, -2, 0)))),
        (0.0, 1.0, 0.1))) + (p.dtype(),)
    return [start, end, step, dtype]


def arange(start, end, step, dtype):
    """Python's ints where the dtype is of ints, as the C function has it."""
    if dtype == torch.bool:
        raise TypeError("not of bools")
    return torch.arange(start, end, step, dtype=dtype)


op("zeros", made, lambda s, d: torch.zeros(s, dtype=d))
op("ones", made, lambda s, d: torch.ones(s, dtype=d))
op("full", filled_shape, lambda s, v, d: torch.full(s, v, dtype=d))
op("zeros_like", one, lambda x: torch.zeros_like(x, memory_format=torch.contiguous_format))
op("ones_like", one, lambda x: torch.ones_like(x, memory_format=torch.contiguous_format))
op("full_like", lambda p: (lambda x: [x, value_of(p, p.values[x].dtype)])(p.pick()), torch.full_like)
op("eye", lambda p: [p.r.randint(0, 6), p.dtype()], lambda n, d: torch.eye(n, dtype=d))
op("arange", stepped, arange, ulp=1, bound=none)
op("linspace", lambda p: [p.r.randint(-8, 8) / 4, p.r.randint(-8, 8) / 4, p.r.randint(0, 30)],
   torch.linspace, ulp=4, bound=lambda args, out: rounding(out) * max(1, *map(abs, args[:2])))
op("scalar", lambda p: (lambda d: [value_of(p, d), d])(p.dtype()),
   lambda v, d: torch.tensor(v, dtype=d))
op("item", lambda p: [p.pick(high=1)], lambda x: torch.tensor(float(x.item()), dtype=torch.float64))
op("equal", lambda p: two(p) if p.r.random() < 0.7 else [p.pick()] * 2,
   lambda a, b: torch.tensor(torch.equal(a, b)))
op("allclose", lambda p: [*two(p), p.r.choice((1e-5, 0.5)), p.r.choice((1e-8, 0.5))],
   lambda a, b, rtol, atol: torch.tensor(torch.allclose(a, b, rtol, atol)))

# ---- random numbers: a generator of its own for each call --------------------------------------


def seeded(call):
    """The last argument is a seed."""
    return lambda *args: call(*args[:-1], torch.Generator().manual_seed(args[-1]))


def drawn(p):
    return [Shape(p.shape()), p.r.choice(FLOATS), p.r.randint(0, 2**31)]


def whole_numbers(p):
    low = p.r.randint(-5, 5)
    return [low, low + p.r.randint(1, 300), Shape(p.shape()), p.r.randint(0, 2**31)]


def normal_bound(args, out):
    return 3e-6 if out.dtype == torch.float32 else 1e-14


def written(p, *numbers):
    return [untouched(p, of(*FLOATS)), *numbers, p.r.randint(0, 2**31)]


op("rand", drawn, seeded(lambda s, d, g: torch.rand(s, dtype=d, generator=g)))
op("randn", drawn, seeded(lambda s, d, g: torch.randn(s, dtype=d, generator=g)), ulp=4,
   bound=normal_bound)
op("randint", whole_numbers, seeded(lambda a, b, s, g: torch.randint(a, b, s, generator=g)))
op("randperm", lambda p: [p.r.randint(0, LIMIT), p.r.randint(0, 2**31)],
   seeded(lambda n, g: torch.randperm(n, generator=g)))
op("bernoulli", lambda p: [p.new(p.shape(), p.dtype(), "unit"), p.r.randint(0, 2**31)],
   seeded(lambda x, g: torch.bernoulli(x, generator=g)))
op("uniform_", lambda p: written(p, *p.r.choice(((0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)))),
   seeded(lambda x, a, b, g: x.uniform_(a, b, generator=g)), writes=True)
op("normal_", lambda p: written(p, *p.r.choice(((0.0, 1.0), (2.0, 0.5), (0.0, -1.0)))),
   seeded(lambda x, m, s, g: x.normal_(m, s, generator=g)), ulp=4, bound=normal_bound, writes=True)
op("bernoulli_", lambda p: written(p, p.r.choice((0.0, 0.25, 0.5, 1.0, 1.5))),
   seeded(lambda x, q, g: x.bernoulli_(q, generator=g)), writes=True)

# ---- views -----------------------------------------------------------------------------------


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
    r, have = p.r, list(p.values[x].shape)
    s = [r.choice((-1, k, 2 if k == 1 else k)) for k in have]
    if r.random() < 0.4 and len(s) < 6:
        s = [r.choice((1, 2, 0))] + s
    if r.random() < 0.05:
        s = s[1:]
    full = math.prod(max(a, b) for a, b in zip(s[::-1], have[::-1] + [1]))
    return Shape(s) if full <= LIMIT else Shape([-1] * len(have))


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
    return torch.ops.aten.slice(x, d, start, stop, step)  # x[...] makes no op of a whole axis


def index_text(p):
    x = p.pick(low=1)
    t, r, parts = p.values[x], p.r, []
    for k in t.shape[:r.randint(0, t.dim())]:
        parts.append(r.choice((":", "1:", ":-1", "::2", "-2:", ":2", "1:3",
                               str(r.randint(-k, max(k - 1, 0))))))
    if r.random() < 0.2:
        parts.append("...")
    if r.random() < 0.15 and t.dim() < 6:
        parts.insert(r.randint(0, len(parts)), "None")
    if not parts:
        parts = ["..."]
    return [x, Text(", ".join(parts))]


def on_one(choose):
    """A value and what is chosen for it."""
    return lambda p: (lambda x: [x, choose(p, x)])(p.pick())


def two_axes(p):
    x = p.pick()
    return [x, p.axis(p.values[x]), p.axis(p.values[x])]


def new_axis(p):
    x = p.pick(high=5)
    n = p.values[x].dim()
    return [x, p.r.randint(-n - 1, n)]


op("view", on_one(regrouped), lambda x, s: x.view(list(s)), view=True)
op("reshape", on_one(regrouped), lambda x, s: x.reshape(list(s)), view=True)
op("permute", on_one(permutation), lambda x, o: x.permute(o), view=True)
op("transpose", two_axes, torch.transpose, view=True)
op("T", one, lambda x: x.T, view=True)
op("squeeze", one, torch.squeeze, view=True)
op("squeeze_dim", axis_of, lambda x, d: torch.squeeze(x, d), view=True)
op("unsqueeze", new_axis, torch.unsqueeze, view=True)
op("expand", on_one(stretched), lambda x, s: x.expand(list(s)), view=True)
op("flatten", two_axes, torch.flatten, view=True)
op("slice", sliced, do_slice, view=True)
op("select", lambda p: [*axis_of(p, low=1), p.r.randint(-3, 3)], torch.select, view=True)
op("at", index_text, lambda x, text: eval(f"x[{text}]"), view=True)
op("unbind", lambda p: axis_of(p, low=1), lambda x, d: (x, *torch.unbind(x, d)), view=True)

# ---- joining, copying, converting, choosing ----------------------------------------------------


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
op("flip", on_one(lambda p, x: p.axes(p.values[x]) if p.r.random() < 0.95 else ()), torch.flip)
op("clone", one, torch.clone)
op("contiguous", one, lambda x: x.contiguous(), view=True)
op("to", lambda p: [p.pick(), p.dtype()], lambda x, d: x.to(d), view=True)
op("detach", one, lambda x: x.detach(), view=True)


def mask_for(p, x):
    """Mostly of bools; of uint8, 0 and 1, sometimes other numbers."""
    dtype = p.r.choices((torch.bool, torch.uint8, None), (12, 1, 1))[0]
    kind = "mask" if p.r.random() < 0.5 else None
    if dtype is torch.uint8 and kind:
        return p.new(list(p.values[x].shape), dtype, kind)
    return p.partner(x, dtype=dtype)


def filled(p, x):
    return [x, mask_for(p, x), value_of(p, p.values[x].dtype)]


def choose(p):
    x = p.pick()
    other = number(p) if p.r.random() < 0.2 else p.partner(x)
    return [mask_for(p, x), *((other, x) if p.r.random() < 0.5 else (x, other))]


def indices(p, shape, n, negative=0.04):
    """int64 indices below n, rarely one that is not, rarely ones from the end."""
    top = n if p.r.random() < 0.04 else n - 1
    low = -n if p.r.random() < negative else 0
    v = [p.r.randint(low, max(top, 0)) for _ in range(math.prod(shape))]
    dtype = torch.int64 if p.r.random() < 0.97 or low < 0 else p.r.choice((torch.uint8, torch.float32))
    return p.given(torch.tensor(v, dtype=dtype).reshape(shape))


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
    shape = [p.r.randint(0, 4) if k == d % t.dim() else p.r.randint(min(s, 1), s)
             for k, s in enumerate(t.shape)]
    return [x, d, indices(p, shape, t.shape[d])]


def index_for(p, x):
    """A mask of the first axes, or positions along the first."""
    t, r = p.values[x], p.r
    if r.random() < 0.5 or not t.dim():
        shape = list(t.shape[:r.randint(0, t.dim())])
        if shape and r.random() < 0.05:
            shape[0] += 1
        dtype = torch.bool if r.random() < 0.9 else torch.uint8
        return p.leaf(shape, dtype, "mask")
    shape = r.choice(([], [2], [3], [2, 2], [0]))
    rest = max(t.numel() // max(t.shape[0], 1), 1)
    return indices(p, shape if math.prod(shape) * rest <= LIMIT else [], t.shape[0], 0.3)


def whole_enough(x):
    if x.dtype == torch.int64 and ((x > 2**53) | (x < -(2**53))).any():
        raise ValueError("a double does not hold it")
    if x.requires_grad and torch.is_grad_enabled():
        raise TypeError("not recorded")
    return x.double()


op("where", choose, torch.where)
op("masked_fill", lambda p: filled(p, p.pick()), lambda x, m, v: x.masked_fill(m, v))
op("masked_select", on_one(mask_for), torch.masked_select)
op("index", on_one(index_for), lambda x, i: x[i])
op("index_select", selected, torch.index_select)
op("gather", gathered, torch.gather)
op("map", one, lambda x: torch.floor(whole_enough(x) / 2).to(x.dtype))  # floor(v / 2)
op("filter", one, lambda x: x[whole_enough(x) > 0.5])
op("nonzero", one, torch.nonzero)

# ---- reductions ------------------------------------------------------------------------------


def deviated(p):
    [x] = of(*FLOATS)(p)
    return [x, p.axes(p.values[x]), p.r.choice((0, 1, 2, 3))]


op("sum", one, torch.sum, bound=summed)
op("sum_dim", over_axes, lambda x, d, f: torch.sum(x, d, bool(f)), bound=summed)
op("mean", of(*FLOATS), torch.mean, bound=averaged)
op("mean_dim", over_axes, lambda x, d, f: torch.mean(x, d, bool(f)), bound=averaged)
op("prod", one, torch.prod, bound=relative)
op("prod_dim", over_axis, lambda x, d, f: torch.prod(x, d, bool(f)), bound=relative)
op("var", lambda p: [*of(*FLOATS)(p), p.r.choice((0, 2))],
   lambda x, f: torch.var(x, unbiased=not f & 2), bound=squared)
op("var_dim", deviated, lambda x, d, f: torch.var(x, d, unbiased=not f & 2, keepdim=bool(f & 1)),
   bound=squared)
op("std", lambda p: [*of(*FLOATS)(p), p.r.choice((0, 2))],
   lambda x, f: torch.std(x, unbiased=not f & 2), bound=averaged)
op("std_dim", deviated, lambda x, d, f: torch.std(x, d, unbiased=not f & 2, keepdim=bool(f & 1)),
   bound=averaged)
op("norm", of(*FLOATS), torch.norm, bound=summed)
for name in "max min argmax argmin any all".split():
    op(name, one, getattr(torch, name))
    op(name + "_dim", over_axis, lambda x, d, f, name=name: getattr(torch, name)(
        x, dim=d, keepdim=bool(f)))

# ---- order and counting ------------------------------------------------------------------------


def ordered(p):
    return [*axis_of(p), p.r.choice((0, 4))]


def first_few(p):
    x, d = axis_of(p)
    t = p.values[x]
    n = t.shape[d] if -t.dim() <= d < t.dim() else 1
    return [x, p.r.randint(0, n) if p.r.random() < 0.97 else n + 1, d]


def counts(p):
    r, n = p.r, p.r.randint(0, 12)
    low = -1 if r.random() < 0.03 else 0
    dtype = r.choices((torch.int64, torch.uint8, torch.bool, torch.float32), (20, 3, 1, 1))[0]
    return torch.tensor([r.randint(low, 7) for _ in range(n)]).to(dtype)


def counted(p):
    t = counts(p)
    return [p.given(t if p.r.random() < 0.95 else t.reshape(1, -1)), p.r.choice((0, 0, 5, 10, -1))]


def classes_of(p):
    t = counts(p)
    return [p.given(t.reshape(-1, 2) if t.numel() % 2 == 0 and p.r.random() < 0.3 else t),
            p.r.choice((-1, -1, 8, 10, 5, 0))]


def running(args, out):
    x, d = args
    n = x.shape[d] if x.dim() else 1
    return sum_bound(out, largest(x) * n, n)


op("sort", ordered, lambda x, d, f: torch.sort(x, dim=d, descending=bool(f)))
op("topk", first_few, torch.topk)
op("argsort", ordered, lambda x, d, f: torch.argsort(x, d, bool(f)))
op("cumsum", axis_of, torch.cumsum, bound=running)
op("unique", one, lambda x: torch.unique(x, return_counts=True))
op("bincount", counted, lambda x, n: torch.bincount(x, minlength=n))
op("one_hot", classes_of, F.one_hot)

# ---- linear algebra, softmax, losses -----------------------------------------------------------


def factors(p):
    some = FLOATS if p.r.random() < 0.9 else None
    x = p.pick(low=0 if p.r.random() < 0.02 else 1, dtype=some, high=4)
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
    w = p.new([n, t.shape[-1] + (r.random() < 0.03)], t.dtype if r.random() < 0.97 else p.dtype())
    b = None if r.random() < 0.3 else p.new([n] if r.random() < 0.95 else [n + 1], t.dtype)
    return [x, w, b]


def distributed(p):
    [x] = of(*FLOATS)(p)
    return [x, p.axis(p.values[x])]


def classes(p):
    r = p.r
    x = p.pick(low=2, high=2, dtype=FLOATS if r.random() < 0.95 else None)
    n, c = p.values[x].shape
    target = indices(p, r.choices(([n], [n + 1], [n, 1]), (30, 1, 1))[0], c, 0)
    if r.random() < 0.03 and n:
        t = p.values[target].clone()
        t.view(-1)[0] = -100
        target = p.given(t)
    return [x, target]


def alike(p):
    [x] = of(*FLOATS)(p)
    t = p.values[x]
    dtype = t.dtype if p.r.random() < 0.9 else p.dtype()
    return [x, p.new(list(t.shape), dtype) if p.r.random() < 0.9 else p.partner(x, dtype=dtype)]


def targets(p):
    [x] = of(*FLOATS)(p)
    t = p.values[x]
    kind = p.r.choice((t.dtype, torch.int64, torch.bool)) if p.r.random() < 0.9 else p.dtype()
    return [x, p.new(list(t.shape), kind, "unit" if kind in FLOATS else "grid")]


def chances(p):
    """Mostly probabilities, and their targets."""
    x = p.new(p.shape(), p.r.choice(FLOATS), "unit") if p.r.random() < 0.95 else p.pick()
    t = p.values[x]
    kind = t.dtype if p.r.random() < 0.7 else p.dtype()
    return [x, p.new(list(t.shape), kind, "unit")]


def mnist_loss(x, t):
    y = x.sigmoid()
    return torch.where(t == 1, 1 - y, y).mean()


op("matmul", factors, torch.matmul, bound=product)
op("linear", affine, F.linear, bound=product)
op("softmax", distributed, torch.softmax, bound=normalised)
op("log_softmax", distributed, torch.log_softmax, bound=normalised)
op("l1_loss", alike, F.l1_loss, bound=mean_of_pairs)
op("mse_loss", alike, F.mse_loss, bound=mean_of_pairs)
op("cross_entropy", classes, F.cross_entropy, bound=mean_of_logs)
op("nll_loss", classes, F.nll_loss, bound=averaged)
op("binary_cross_entropy_with_logits", targets, F.binary_cross_entropy_with_logits,
   bound=mean_of_entropies)
op("binary_cross_entropy", chances, F.binary_cross_entropy, bound=mean_of_entropies)
op("mnist_loss", targets, mnist_loss, bound=mean_of_units)

# ---- in place --------------------------------------------------------------------------------


def untouched(p, choose=one):
    """A value to write to: rarely one that the tape follows, where it would not be written, but often
    its storage, or a leaf where nothing is recorded."""
    [x] = choose(p)
    t, k = p.values[x], p.r.random()
    if not t.requires_grad or k < (0.6 if p.quiet and t.grad_fn is None else 0.1):
        return x
    return p.call("detach", [x]) if k < 0.8 else p.leaf(t.shape, t.dtype)


def with_partner(p):
    x = untouched(p)
    if p.r.random() < 0.3:
        return [x, number(p)]
    b = p.partner(x, grows=p.r.random() < 0.1)
    loses = p.values[b].requires_grad and not p.quiet
    return [x, p.call("detach", [b]) if loses and p.r.random() < 0.9 else b]


def with_source(p):
    return [x if isinstance(x, T) else p.leaf([], torch.float32) for x in with_partner(p)]


def put(p):
    x = untouched(p)
    index = index_for(p, x)
    t, i, r = p.values[x], p.values[index], p.r
    if r.random() < 0.3:
        return [x, index, number(p)]
    lead = i.dim() if i.dtype in (torch.bool, torch.uint8) else 1
    count = [int(i.sum())] if i.dtype in (torch.bool, torch.uint8) else list(i.shape)
    shape = count + list(t.shape[lead:])
    shape = [1 if r.random() < 0.2 else s for s in shape][r.choice((0, 0, 0, 1)):]
    return [x, index, p.leaf(shape, t.dtype if r.random() < 0.95 else p.dtype())]


def put_at(x, index, value):
    x[index] = value
    return x


def overwritten(p):
    x = untouched(p)
    t, r = p.values[x], p.r
    if t.dim() == 0:
        x = p.leaf([3, 2], p.dtype())
        t = p.values[x]
    d = r.randrange(-t.dim(), t.dim())
    n = t.shape[d]
    count = r.randint(0, n)
    index = p.given(torch.tensor(r.sample(range(n), count), dtype=torch.int64))
    shape = list(t.shape)
    shape[d] = count
    return [x, d, index, p.leaf(shape, t.dtype if r.random() < 0.97 else p.dtype())]


for name in "add_ sub_ mul_ div_".split():
    op(name, with_partner, lambda x, b, name=name: getattr(x, name)(b), writes=True)
op("copy_", with_source, lambda x, b: x.copy_(b), writes=True)
op("fill_", lambda p: (lambda x: [x, value_of(p, p.values[x].dtype)])(untouched(p)),
   lambda x, v: x.fill_(v), writes=True)
op("zero_", lambda p: [untouched(p)], lambda x: x.zero_(), writes=True)
op("index_put_", put, put_at, writes=True)
op("masked_fill_", lambda p: filled(p, untouched(p)), lambda x, m, v: x.masked_fill_(m, v),
   writes=True)
op("index_copy_", overwritten, lambda x, d, i, s: x.index_copy_(d, i, s), writes=True)

# What is refused or left out most often is tried twice as often.
NAMES = sorted(OPS) + "floor_divide item masked_fill_ normal_ remainder".split()
