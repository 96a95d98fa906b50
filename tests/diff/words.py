"""What the arguments of a call are, and how they are written: see programs.py."""
import torch

DTYPES = {torch.float32: "f4", torch.float64: "f8", torch.int64: "i8", torch.uint8: "u1",
          torch.bool: "b1"}
FLOATS = (torch.float32, torch.float64)
LIMIT = 96  # elements of a value


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


def numbers(v):
    return ",".join(str(int(x)) for x in v) or "-"


def bytes_of(t):
    return t.detach().contiguous().numpy().tobytes().hex() or "-"


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
