"""How PyTorch 1.13.1 prints tensors, for tests/test_print.c:  python3 print.py > print.txt

The first line names PyTorch's version. A case is a line "case DTYPE LINEWIDTH PRECISION MARK OFFSET
LINES", where MARK is "-", "leaf" or the name of a grad_fn, then lines "size", "stride" and "data"
(the storage, elements as bits in hex), then LINES lines of text. CASES and SEED in the environment
ask for other random cases than those of print.txt."""
import os
import random
import struct
import torch

R = random.Random(int(os.environ.get("SEED", 1)))
CASES = int(os.environ.get("CASES", 240))
# Elements shown and elements stored, at most: print.txt is to stay short.
LARGEST, STORED = (1100, 150) if "CASES" in os.environ else (60, 40)
DTYPES = {"float32": "f", "float64": "d", "int64": "q", "uint8": "B", "bool": "?"}
NAN, INF = float("nan"), float("inf")


def tensor_of(dtype, values):
    return torch.tensor(values, dtype=getattr(torch, dtype))


def bits(t):
    code = DTYPES[str(t.dtype).replace("torch.", "")]
    return [struct.pack(">" + code, v).hex() for v in t.tolist()]


def emit(storage, size, stride, offset, mark="-", linewidth=80, precision=4):
    torch.set_printoptions(linewidth=linewidth, precision=precision)
    x = torch.as_strided(storage, size, stride, offset)
    dtype = str(x.dtype).replace("torch.", "")
    if mark == "leaf":
        x = x.detach().requires_grad_()
    elif mark != "-":
        x = MARKS[mark](x.detach().requires_grad_())
        assert type(x.grad_fn).__name__ == mark
    lines = str(x).split("\n")
    print("case", dtype, linewidth, precision, mark, offset, len(lines))
    print("size", *size)
    print("stride", *stride)
    print("data", *bits(storage))
    print("\n".join(lines))


# ---- the value of x stays, the name of its maker changes -----------------------------------------

MARKS = {
    "MulBackward0": lambda x: x * 1,
    "DivBackward0": lambda x: x / 1,
    "PowBackward0": lambda x: x ** 1,
    "CloneBackward0": lambda x: x.clone(),
    "SqueezeBackward1": lambda x: x.unsqueeze(0).squeeze(0),
    "MaskedFillBackward0": lambda x: x.masked_fill(torch.tensor(False), 0.0),
}


# ---- values --------------------------------------------------------------------------------------

def decimals():
    """Numbers that end near a half of the last printed digit."""
    k, digits = R.randrange(-10**6, 10**6), R.choice((0, 1, 2, 3, 4, 5))
    return (k + 0.5) * 10.0 ** -digits


def any_bits(dtype):
    code, n = ("f", 4) if dtype == "float32" else ("d", 8)
    return struct.unpack(code, R.randbytes(n))[0]


EDGES = (1e8, 99999999.0, 100000008.0, 1e5, 1e-4, 0.00010001, 0.0999, 0.1, 1.0, 1000.0, 1001.0, 0.5,
         500.0, 500.5, 9999.99995, 0.99995, 1e-45, 3e38)
FAMILIES = {
    "whole": lambda d, s: float(R.randrange(-9, 10)),
    "wholes": lambda d, s: float(R.randrange(-10 ** R.randrange(1, 10), 10 ** R.randrange(1, 10))),
    "normal": lambda d, s: R.gauss(0, 1),
    "scaled": lambda d, s: R.gauss(0, 1) * 10.0 ** s,
    "mixed": lambda d, s: R.gauss(0, 1) * 10.0 ** R.randrange(-7, 10),
    "halves": lambda d, s: decimals(),
    "bits": lambda d, s: any_bits(d),
    "edges": lambda d, s: R.choice(EDGES),
    "zero": lambda d, s: 0.0,
}
ODD = (0.0, -0.0, NAN, INF, -INF, 1.0, -1.0)


def real_values(dtype, n):
    make = FAMILIES[R.choice(list(FAMILIES))]
    scale, odd = R.randrange(-8, 12), R.choice((0, 0, 0.1, 0.5, 1))
    return [R.choice(ODD) if R.random() < odd else make(dtype, scale) for _ in range(n)]


def int_values(n):
    top = 2 ** R.choice((1, 4, 8, 14, 31, 63))
    return [R.randrange(-top, top) for _ in range(n)]


def storage_of(dtype, n):
    if dtype.startswith("float"):
        return tensor_of(dtype, real_values(dtype, n))
    if dtype == "int64":
        return tensor_of(dtype, int_values(n))
    return tensor_of(dtype, [R.randrange(256 if dtype == "uint8" else 2) for _ in range(n)])


# ---- geometry ------------------------------------------------------------------------------------

def numel(size):
    n = 1
    for s in size:
        n *= s
    return n


def shown(size):
    return numel([min(s, 6) for s in size]) if numel(size) > 1000 else numel(size)


SIZES = [], [1], [1000], [1001], [7, 143], [4, 250], [0], [0, 3], [2, 0, 5], [1, 1, 1]


def random_size():
    kind = R.randrange(10)
    if kind == 0:
        size = list(R.choice(SIZES))
    elif kind < 3:  # large: summarised, most of them
        size = [R.choice((1, 2, 5, 6, 7, 8, 20, 300)) for _ in range(R.randrange(1, 6))]
        size[R.randrange(len(size))] = R.choice((7, 60, 2000))
    else:
        last = 0 if R.random() < 0.2 else 12
        size = [R.choice((1, 1, 2, 2, 3, 4, 5, 7, last)) for _ in range(R.randrange(0, 8))]
    while shown(size) > LARGEST:
        size.pop(R.randrange(len(size)))
    return size


def dense_strides(size):
    stride, n = [], 1
    for s in reversed(size):
        stride.insert(0, n)
        n *= max(s, 1)
    return stride


def random_strides(size):
    """Dense, permuted, expanded, stepped, or overlapping where the storage would be long."""
    order = list(range(len(size)))
    if R.random() < 0.5:
        R.shuffle(order)
    dense = dense_strides([size[d] for d in order])
    stride = [0] * len(size)
    for k, d in enumerate(order):
        stride[d] = dense[k]
    step = R.choice((1, 1, 1, 2, 3))
    stride = [s * step if R.random() < 0.8 else 0 for s in stride]
    if span(size, stride) > STORED:
        stride = [R.randrange(0, max(1, STORED // max(1, s * len(size))) + 1) for s in size]
    if span(size, stride) > 2 * STORED:
        stride = [s if n < 100 else 0 for n, s in zip(size, stride)]
    return stride


def span(size, stride):
    return 1 + sum((n - 1) * s for n, s in zip(size, stride)) if numel(size) else 1


def random_case():
    size = random_size()
    stride = random_strides(size)
    offset = R.choice((0, 0, 0, 1, 5))
    dtype = R.choice(list(DTYPES) + ["float32", "float32", "float64"])
    mark = "-"
    if dtype.startswith("float") and R.random() < 0.3:
        mark = R.choice(["leaf"] + list(MARKS))
    linewidth = R.choice((80, 80, 80, 200, 120, 40, 20, 1, R.randrange(20, 130)))
    precision = R.choice((4, 4, 4, 4, 1, 2, 7, 10, 17))
    storage = storage_of(dtype, offset + span(size, stride))
    emit(storage, size, stride, offset, mark, linewidth, precision)


# ---- what random cases would rarely hold ---------------------------------------------------------

def dense(dtype, values, size=None, **how):
    size = [len(values)] if size is None else size
    emit(tensor_of(dtype, values), size, dense_strides(size), 0, **how)


CHOSEN = (
    [1, 1000], [1, 1000.1], [1, 1001], [1e8], [1.0001e8], [1e-4, 0.01], [0.99e-4, 0.01], [-0.0, 1],
    [-0.0], [NAN], [INF, -INF], [NAN, 1.5], [INF, 2], [0, 0, 0.5], [1e-45], [5e-5], [3.4e38, 1],
    [99999.99999], [0.00005, 1], [0.5, 1.5, 2.5], [0.00015, 0.00025], [123456.789, 1000.5])


def chosen_cases():
    for values in CHOSEN:
        dense("float64", values)
        dense("float32", values)
        dense("float32", values[:1], [], mark="MulBackward0")
    for values in ([2**63 - 1, -2**63], [0], [-1, 10, 100], []):
        dense("int64", values)
    dense("bool", [True, False])
    dense("bool", [True, True])
    dense("uint8", [0, 255, 7])
    for dtype in DTYPES:
        dense(dtype, [], [0])
        dense(dtype, [], [0, 3])
        dense(dtype, [], [2, 0, 3])
        dense(dtype, [1], [])
        dense(dtype, [1], [1, 1, 1, 1, 1, 1, 1, 1])
    dense("float32", [], [3, 0], mark="leaf")
    dense("float64", [], [1000000000000, 0, 1000, 0, 100000000000000], linewidth=40, mark="leaf")
    for n in range(66, 81):  # the suffix moves to a line of its own
        dense("float32", [1.0], [1], linewidth=n - 40, mark="leaf")
        dense("float64", [1.0], [1], linewidth=n - 30, mark="MaskedFillBackward0")
    for n in (1000, 1001):
        emit(tensor_of("int64", list(range(10))), [n], [0], 3)
    emit(tensor_of("bool", [False, True]), [143, 7], [0, 0], 1, linewidth=41)
    emit(tensor_of("float32", [0.25 * i for i in range(60)]), [7, 6, 7, 5], [4, 2, 2, 1], 0)
    for big in (0, 10):  # shown elements choose the format; row 10 is hidden
        storage = tensor_of("float32", [1e5 if i == big else 0.5 for i in range(20)])
        emit(storage, [20, 60], [1, 0], 0)


print("torch", ".".join(torch.__version__.split(".")[:2]))
chosen_cases()
for _ in range(CASES):
    random_case()
