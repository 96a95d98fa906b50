"""Where taper differs from PyTorch on purpose: a rule for each such row of docs/differences.md.

A rule looks at a call before it is made and says None (nothing special here), REFUSED (taper gives an
error), LEFT_OUT (no call is made, as PyTorch's own answer is of no use), or a function of the call's
arguments that gives what is expected instead of PyTorch's op. Whatever is not said here is PyTorch's."""
import collections
import math
import os
import re

import torch
import torch.nn.functional as F

from surface import OPS
from words import FLOATS

REFUSED, LEFT_OUT = object(), object()
RULES, USED = [], collections.Counter()


def rows():
    """The first column of the page."""
    page = os.path.join(os.path.dirname(__file__), "../../docs/differences.md")
    with open(page, encoding="utf-8") as f:
        return {m[1] for m in re.finditer(r"^\| *([^|]+?) *\|", f.read(), re.M)}


ROWS = rows()


def used(row):
    assert row in ROWS, f"docs/differences.md has no row {row!r}"
    USED[row] += 1


def rule(row, ops="", writes=False):
    """A rule for these ops (all that write, or all)."""
    names = set(ops.split())

    def add(f):
        RULES.append((row, names, writes, f))
        return f
    return add


def verdict(p, name, args, given):
    """Of several rules one that leaves the call out, else one that refuses it, else the first."""
    p.calling = name
    best = None
    for row, names, writes, f in RULES:
        if names and name not in names or writes and not OPS[name].writes:
            continue
        answer = f(p, args, given)
        rank = 0 if answer is LEFT_OUT else 1 if answer is REFUSED else 2
        if answer is not None and (best is None or rank < best[0]):
            best = rank, row, answer
    if best is None:
        return None
    used(best[1])
    return best[2]


def report():
    for row, n in sorted(USED.items()):
        print(f"# {row}: {n}")


def tensors(given):
    return [v for g in given for v in (g if isinstance(g, list) else [g])
            if isinstance(v, torch.Tensor)]


def overlaps(x):
    return x.numel() > 0 and any(n > 1 and s == 0 for n, s in zip(x.shape, x.stride()))


# ---- in place --------------------------------------------------------------------------------


@rule("changes in place", writes=True)
def tracked(p, args, given):
    """Where nothing is recorded, only what has a history."""
    if p.quiet:
        return REFUSED if given[0].grad_fn is not None else None
    return REFUSED if any(t.requires_grad for t in tensors(given)) else None


@rule("a value changed after the forward", writes=True)
def seen_otherwise(p, args, given):
    """PyTorch gives the recorded views of memory that changes another history, or refuses them."""
    at = given[0].storage().data_ptr()
    views = (t for t, where in zip(p.values, p.storages) if where == at and t._is_view())
    return LEFT_OUT if any(t.grad_fn is not None for t in views) else None


UNREAD = {("prod", -1), ("prod_dim", -1), ("masked_select", 0), ("nll_loss", 0), ("mean_dim", 0),
          ("gather", 0), ("gather", 1), ("index", 1), ("index_select", 1)}
# PyTorch now and then saves a copy of an argument of these: its shape or dtype is another there.
COPIED = {"linear", "matmul", "cross_entropy", "nll_loss", "mse_loss", "mnist_loss",
          "div", "binary_cross_entropy", "binary_cross_entropy_with_logits"}


def reads(name, k, operands, saved):
    """Does taper's gradient read what PyTorch saves, the k-th operand or, if k is -1, the result?"""
    if not saved.numel():
        return None  # which operand it is does not show
    if (name, k) == ("pow", -1):
        return operands[-1].requires_grad
    return (name, k) not in UNREAD


def notices(changed):
    """Is backward an error, where these saved values have changed? Each is the answer of reads."""
    if False in changed:
        used("a value changed after the forward")
    return True in changed


@rule("writes to expanded tensors", writes=True)
def expanded(p, args, given):
    return REFUSED if overlaps(given[0]) else None


@rule("random numbers into a view", "uniform_ normal_ bernoulli_")
def order_of_drawing(p, args, given):
    return None if given[0].is_contiguous() else LEFT_OUT


# ---- dtypes ----------------------------------------------------------------------------------


@rule("fractions for whole numbers", "scalar arange masked_fill masked_fill_")
def fractions(p, args, given):
    dtype = given[0].dtype if isinstance(given[0], torch.Tensor) else given[-1]
    numbers = [v for v in given if isinstance(v, float)]
    return REFUSED if dtype not in FLOATS and any(v != int(v) for v in numbers
                                                  if math.isfinite(v)) else None


@rule("any and all of uint8", "any all any_dim all_dim")
def any_of_bytes(p, args, given):
    f = torch.any if p.calling.startswith("any") else torch.all
    if given[0].dtype != torch.uint8:
        return None
    if len(given) == 1:
        return lambda x: f(x).bool()
    return lambda x, d, k: f(x, dim=d, keepdim=bool(k)).bool()


@rule("bools in order", "argmax argmin argmax_dim argmin_dim topk")
def order_of_bools(p, args, given):
    if given[0].dtype != torch.bool:
        return None
    call = OPS[p.calling].torch
    if p.calling == "topk":
        return lambda x, k, d: first(x.to(torch.uint8), k, d, torch.bool)
    return lambda x, *more: call(x.to(torch.uint8), *more)


def first(x, k, d, dtype):
    v, i = torch.sort(x, dim=d, descending=True, stable=True)
    if not x.dim():
        if k > 1:
            raise IndexError
        return v.to(dtype), i
    if not 0 <= k <= x.shape[d]:
        raise IndexError
    return v.narrow(d, 0, k).to(dtype), i.narrow(d, 0, k)


@rule("order of equals", "topk sort argsort")
def equals(p, args, given):
    """PyTorch's values, and the indices in order; its gradients go elsewhere."""
    x, plain = given[0], OPS[p.calling].torch
    given = [x.detach(), *given[1:]]
    try:
        own = plain(*given)
        index = first(*given, x.dtype)[1] if p.calling == "topk" else torch.sort(
            given[0], dim=given[1], descending=bool(given[2]), stable=True)[1]
    except (RuntimeError, IndexError):
        return None
    if torch.equal(own if p.calling == "argsort" else own[1], index):
        return None
    if p.calling == "argsort":
        return lambda *given: index
    return LEFT_OUT if x.requires_grad else lambda *given: (own[0], index)


@rule("masks", "where masked_fill masked_select masked_fill_ index_put_")
def masks(p, args, given):
    at = 0 if p.calling == "where" else 1
    if not isinstance(given[at], torch.Tensor) or given[at].dtype == torch.bool:
        return None
    if p.calling == "index_put_" and given[at].dtype == torch.int64:
        return None
    if given[at].dtype != torch.uint8:
        return REFUSED
    call = OPS[p.calling].torch
    return lambda *given: call(*(g.bool() if k == at else g for k, g in enumerate(given)))


@rule("indices of uint8", "index_select gather index_copy_ one_hot")
def byte_indices(p, args, given):
    at = 0 if p.calling == "one_hot" else 2
    if given[at].dtype != torch.uint8:
        return None
    call = OPS[p.calling].torch
    return lambda *given: call(*(g.long() if k == at else g for k, g in enumerate(given)))


@rule("indices from the end", "index_select gather index_copy_")
def negative_indices(p, args, given):
    x, d, index = given[:3]
    if index.dtype != torch.int64 or not -x.dim() <= d < x.dim() or not (index < 0).any():
        return None
    n, call = x.shape[d], OPS[p.calling].torch
    if (index < -n).any():
        return None

    def positive(x, d, index, *more):
        return call(x, d, torch.where(index < 0, index + n, index), *more)
    return positive


@rule("an index without axes", "index")
def one_index(p, args, given):
    if given[1].dim() or given[1].dtype != torch.int64 or not given[0].dim():
        return None
    return lambda x, i: torch.ops.aten.index(x, [i])


@rule("allclose of two dtypes", "allclose")
def closeness(p, args, given):
    a, b = given[:2]
    if a.dtype == b.dtype and a.dtype != torch.bool:
        return None
    return lambda a, b, r, t: torch.tensor(torch.allclose(a.double(), b.double(), r, t))


@rule("equal of two dtypes", "equal")
def equality(p, args, given):
    return None if given[0].dtype == given[1].dtype else lambda a, b: torch.tensor(False)


@rule("an index of nothing", "index index_put_")
def index_of_nothing(p, args, given):
    """PyTorch checks no index where a row has no elements."""
    x, index = given[:2]
    if index.dtype != torch.int64 or not x.dim():
        return None
    return REFUSED if ((index >= x.shape[0]) | (index < -x.shape[0])).any() else None


@rule("integers to negative powers", "pow")
def negative_powers(p, args, given):
    """PyTorch refuses a number as exponent, and gives 0, 1 or -1 for a tensor of them."""
    a, b = (torch.as_tensor(v) for v in given)
    if torch.result_type(*given) in FLOATS or not (b < 0).any():
        return None
    try:
        full = torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        return None
    if math.prod(full):
        return REFUSED
    return lambda a, b: torch.as_tensor(a) ** torch.as_tensor(b)


@rule("the order of factors", "prod prod_dim")
def factors_beyond_a_dtype(p, args, given):
    """Infinite or 0 on the way, in one order of the factors and not in another."""
    x = given[0]
    if x.dtype not in FLOATS:
        return None
    size = x.detach().double().abs().flatten()
    logs = size[(size > 0) & size.isfinite()].log2()
    top = 127 if x.dtype == torch.float32 else 1023
    large = logs.clamp(min=0).sum() > top
    small = logs.clamp(max=0).sum() < 1 - top
    if large and ((size == 0).any() or small) or small and size.isinf().any():
        return LEFT_OUT
    return None


@rule("squares beyond a float", "std std_dim")
def large_squares(p, args, given):
    x = given[0]
    large = x.dtype == torch.float32 and (x.isfinite() & (x.abs() > 1e18)).any()
    return LEFT_OUT if large else None


@rule("numbers as exponents", "pow")
def wide_exponents(p, args, given):
    """A difference in the exponent's last place shows only far from 1."""
    x, power = given
    if not isinstance(power, float) or x.dtype != torch.float32:
        return None
    logs = (x.detach().double().abs().log2() * power).abs()
    inexact = float(torch.tensor(power)) != power
    return LEFT_OUT if inexact and (logs[torch.isfinite(logs)] > 8).any() else None


@rule("nothing of a wrong dtype", "softmax log_softmax matmul linear silu gelu elu leaky_relu "
      "logsigmoid softplus gather index_select")
def no_elements(p, args, given):
    """PyTorch looks at the dtype only when there is something to compute."""
    x = given[0]
    if p.calling in ("gather", "index_select"):
        index = given[2]
        return REFUSED if index.dtype not in (torch.int64, torch.uint8) and not index.numel() \
            else None
    if p.calling in ("matmul", "linear"):
        dtypes = {t.dtype for t in tensors(given)}
        return REFUSED if len(dtypes) > 1 or torch.bool in dtypes else None
    return REFUSED if x.dtype not in FLOATS and not x.numel() else None


@rule("values of another dtype", "index_put_")
def other_values(p, args, given):
    """PyTorch takes a single one where the index is a mask."""
    x, _, value = given
    if not isinstance(value, torch.Tensor) or value.dtype == x.dtype:
        return None
    return REFUSED if value.dim() else lambda x, i, v: OPS["index_put_"].torch(x, i, v.to(x.dtype))


@rule("bounds beyond a dtype", "clamp")
def wrapped_bounds(p, args, given):
    if given[0].dtype != torch.uint8 or not any(v < 0 for v in given[1:]) or \
            any(v % 1 for v in given[1:]):
        return None
    return lambda x, *bounds: OPS["clamp"].torch(x.long(), *bounds).to(torch.uint8)


@rule("bernoulli_ of whole numbers", "bernoulli_")
def whole_coins(p, args, given):
    return None if given[0].dtype in FLOATS else REFUSED


@rule("numbers that do not fit", "to copy_")
def too_large(p, args, given):
    source, want = (given[0], given[1]) if p.calling == "to" else (given[1], given[0].dtype)
    if source.dtype not in FLOATS or want not in (torch.int64, torch.uint8):
        return None
    fits = (source >= -2.0**63) & (source < 2.0**63)
    return None if fits.all() else LEFT_OUT


@rule("quotients beyond a float", "div")
def number_by_tensor(p, args, given):
    """PyTorch multiplies with 1 / x, which may be infinite."""
    a, b = given
    if isinstance(a, torch.Tensor) or b.dtype not in FLOATS:
        return None
    return LEFT_OUT if (~(1 / b.detach()).isfinite()).any() else None


@rule("quotients beyond a float", "remainder floor_divide")
def large_quotients(p, args, given):
    dtype = torch.result_type(*given)
    a, b = (torch.as_tensor(v).detach().double() for v in given)
    if dtype not in FLOATS:
        return None
    try:
        q = a.to(dtype).double() / b.to(dtype).double()
    except RuntimeError:
        return None
    return LEFT_OUT if (q.abs() >= (2**24 if dtype == torch.float32 else 2.0**53)).any() else None


# ---- losses ----------------------------------------------------------------------------------


@rule("losses of unequal shapes", "l1_loss mse_loss")
def unequal(p, args, given):
    return REFUSED if given[0].shape != given[1].shape else None


@rule("targets of another dtype",
      "binary_cross_entropy_with_logits binary_cross_entropy mse_loss")
def target_dtype(p, args, given):
    """PyTorch 1.13 wants one dtype, or takes two and fails in backward."""
    x, t = given
    if x.dtype == t.dtype:
        return None
    if p.calling == "mse_loss":
        return LEFT_OUT if x.requires_grad or t.requires_grad else None
    if x.dtype not in FLOATS:
        return None
    call = OPS[p.calling].torch
    return lambda x, t: call(x, t.to(x.dtype))


@rule("infinite logits", "binary_cross_entropy_with_logits")
def infinite_logits(p, args, given):
    return LEFT_OUT if given[0].dtype in FLOATS and given[0].isinf().any() else None


@rule("class numbers", "cross_entropy nll_loss")
def class_numbers(p, args, given):
    x, t = given
    call = getattr(F, p.calling)
    if t.dim() == 2 and t.shape[1] == 1 and x.shape[0] == t.shape[0] and \
            t.dtype in (torch.int64, torch.uint8):
        if ((t >= 0) & (t < x.shape[1])).all():
            return lambda x, t: call(x, t.squeeze(1))
    return REFUSED if t.dtype in FLOATS or (t == -100).any() else None


# ---- gradients -------------------------------------------------------------------------------


@rule("gradients that PyTorch has not", "floor_divide remainder pow")
def no_gradient(p, args, given):
    follows = any(t.requires_grad for t in tensors(given))
    if p.calling == "pow":
        power = given[1]
        follows &= isinstance(power, torch.Tensor) and power.dtype == torch.bool
    elif p.calling == "remainder" and isinstance(given[0], torch.Tensor):
        return None
    return LEFT_OUT if follows else None


def with_dense_gradient(x):
    y = F.gelu(x)
    y.register_hook(lambda g: g.contiguous())
    return y


@rule("gradients of PyTorch 1.13 that are wrong", "masked_select gelu var std var_dim std_dim "
      "pow")
def wrong_gradient(p, args, given):
    """masked_select of other strides than a new tensor's, if only along an axis of size 1; gelu's,
    given a gradient that is not contiguous; var and std of fewer than two elements; that of an
    exponent in float32 where the base is of integers."""
    x = given[0]
    if p.calling == "pow":
        wide = isinstance(given[1], torch.Tensor) and given[1].dtype == torch.float64 and \
            given[1].requires_grad
        return LEFT_OUT if wide and isinstance(x, torch.Tensor) and x.dtype not in FLOATS else None
    if not x.requires_grad:
        return None
    if p.calling == "gelu":
        return None if p.quiet else with_dense_gradient
    if p.calling == "masked_select":
        return None if x.stride() == torch.empty(x.shape).stride() else LEFT_OUT
    return LEFT_OUT if x.numel() < 2 else None


@rule("random numbers are constants", "bernoulli")
def constants(p, args, given):
    return (lambda x, seed: torch.bernoulli(
        x.detach(), generator=torch.Generator().manual_seed(seed))) if given[0].requires_grad \
        else None


@rule("unique values are constants", "unique")
def unique_values(p, args, given):
    x = given[0]
    if x.dtype in FLOATS and x.isnan().any():
        return LEFT_OUT  # each NaN is a value of its own, in any order there
    return (lambda x: torch.unique(x.detach(), return_counts=True)) if x.requires_grad else None


# ---- after the others: a write that is nothing worse ---------------------------------------------


@rule("overlapping memory", "add_ sub_ mul_ div_ copy_ masked_fill_ index_put_ index_copy_")
def overlapping(p, args, given):
    x, rest = given[0], tensors(given[1:])
    if not any(t.storage().data_ptr() == x.storage().data_ptr() for t in rest) or not x.numel():
        return None
    call = OPS[p.calling].torch

    def apart(x, *more):
        return call(x, *(m.clone() if isinstance(m, torch.Tensor) else m for m in more))
    return apart
