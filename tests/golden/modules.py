"""What PyTorch makes of an architecture and a seed, for tests/test_nn.c:
python3 modules.py > modules.txt

Each line is "SEED@SPEC@SHA256@NAMES@PRINT": sha256 is over `name\\0dtype\\0shape\\0` and the bytes of
each tensor of the state_dict, names sorted; PRINT is print(net) with ~ for a newline."""
import hashlib
import re
import torch
from torch import nn

PLAIN = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "flatten": nn.Flatten}


def split(text):
    """The layers that stand side by side."""
    layers, depth, start = [], 0, 0
    for i, c in enumerate(text + " "):
        depth += (c == "(") - (c == ")")
        if c == " " and depth == 0:
            layers.append(text[start:i])
            start = i + 1
    return [s for s in layers if s]


def layer(text):
    name, inside = re.fullmatch(r"(\w+)(?:\((.*)\))?", text).groups()
    if name == "sequential":
        return nn.Sequential(*map(layer, split(inside)))
    if name != "linear":
        return PLAIN[name]()
    size, flags = inside.split(",")[:2], inside.split(",")[2:]
    dtype = torch.float64 if "float64" in flags else torch.float32
    return nn.Linear(int(size[0]), int(size[1]), bias="nobias" not in flags, dtype=dtype)


def make(spec):
    layers = list(map(layer, split(spec)))
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def sha256(state):
    h = hashlib.sha256()
    for name in sorted(state, key=str.encode):
        t = state[name]
        head = (name, str(t.dtype).replace("torch.", ""), str(list(t.shape)))
        h.update("".join(s + "\0" for s in head).encode() + t.numpy().tobytes())
    return h.hexdigest()


SPECS = """\
linear(784,30) relu linear(30,1)
linear(784,1)
linear(1,1)
linear(3,5) tanh linear(5,7,nobias) sigmoid linear(7,2)
linear(2,700,float64)
flatten linear(17,16) sequential(linear(16,9) relu sequential(relu linear(9,4))) linear(4,3)
linear(784,512) relu linear(512,256) relu linear(256,10)
sequential(linear(6,6))
sequential()
sequential() sequential(relu)
relu
flatten sigmoid""".splitlines()

for spec in SPECS:
    for seed in (0, 42, 2**32 + 5, 2**64 - 1):
        torch.manual_seed(seed)
        net = make(spec)
        names = ",".join(net.state_dict())
        print(seed, spec, sha256(net.state_dict()), names, str(net).replace("\n", "~"), sep="@")
