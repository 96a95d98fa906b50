"""predict.py MODEL JSONL -- load a taper model into PyTorch and repeat the predictions of `taper predict --json`.

The reader of the file is 12 lines: 8 bytes of length, a JSON header, the numbers."""
import json
import re
import struct
import sys

import torch
from PIL import Image

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8 : 8 + n])
    meta = head.pop("__metadata__")
    state = {}
    for name, t in head.items():
        a, b = t["data_offsets"]
        flat = torch.frombuffer(bytearray(raw[8 + n + a : 8 + n + b]), dtype=DTYPES[t["dtype"]])
        state[name] = flat.reshape(t["shape"])
    return meta, state


def build(text):
    layers = []
    for word in text.split():
        m = re.fullmatch(r"linear\((\d+),(\d+)\)", word)
        layers.append(torch.nn.Linear(int(m[1]), int(m[2])) if m else {"relu": torch.nn.ReLU}[word]())
    return torch.nn.Sequential(*layers)


meta, state = read(sys.argv[1])
net = build(meta["taper.architecture"])
net.load_state_dict(state, strict=True)
classes, worst, n = json.loads(meta["taper.classes"]), 0.0, 0
for line in open(sys.argv[2]):
    ours = json.loads(line)
    image = torch.tensor(list(Image.open(ours["path"]).convert("L").getdata())).float() / 255
    p = net(image.unsqueeze(0)).softmax(1)[0]
    worst = max(worst, max(abs(ours["probabilities"][c] - p[i].item()) for i, c in enumerate(classes)))
    assert ours["class"] == classes[p.argmax()], ours
    n += 1
print(f"{n} predictions, largest difference of a probability {worst:.2g}")
assert n > 0 and worst < 1e-5
