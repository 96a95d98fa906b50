"""100 steps of fastai's optimizers in plain torch operations, for tests/test_optim.c:
python3 steps.py > steps.txt

Each line is "CASE STEP BITS...": the parameters after that step, floats as their bits in hex. Values
and gradients are torch.rand() - 0.5 from seed 7, drawn parameter by parameter, step by step; in the
case "adam_gaps" the second parameter has no gradient in every third step."""
import math
import struct
import torch

SHAPES = [(3, 5), (7,), ()]
SHOWN = (1, 2, 3, 10, 50, 100)


def sgd(p, g, s, lr, mom, wd, **_):
    if wd != 0:
        p.mul_(1 - lr * wd)
    if mom != 0:
        s.setdefault("avg", torch.zeros_like(p)).mul_(mom).add_(g)
    p.add_(s["avg"] if mom != 0 else g, alpha=-lr)


def adam(p, g, s, lr, mom, wd, sqr_mom=0.99, eps=1e-5):
    if wd != 0:
        p.mul_(1 - lr * wd)
    s["t"] = s.get("t", 0) + 1
    avg = s.setdefault("avg", torch.zeros_like(p)).mul_(mom).add_(g, alpha=1 - mom)
    sqr = s.setdefault("sqr", torch.zeros_like(p)).mul_(sqr_mom).addcmul_(g, g, value=1 - sqr_mom)
    debias1, debias2 = 1 - mom ** s["t"], 1 - sqr_mom ** s["t"]
    p.addcdiv_(avg, (sqr / debias2).sqrt() + eps, value=-lr / debias1)


def one_cycle(start, mid, end, step):
    """A cosine from start to mid over 25 steps, from mid to end over the other 75."""
    a, b, pos = (start, mid, step / 25) if step < 25 else (mid, end, (step - 25) / 75)
    return a + (1 + math.cos(math.pi * (1 - pos))) * (b - a) / 2


def bits(t):
    kind = ">d" if t.dtype == torch.float64 else ">f"
    return [struct.pack(kind, v).hex() for v in t.flatten().tolist()]


def run(case, rule, dtype=torch.float32, cycle=False, gaps=False, mult=1, **settings):
    torch.manual_seed(7)
    params = [torch.rand(s, dtype=dtype) - 0.5 for s in SHAPES]
    states = [{} for _ in params]
    for step in range(100):
        now = dict(settings)
        if cycle:
            now["lr"] = one_cycle(settings["lr"] / 25, settings["lr"], settings["lr"] / 1e5, step)
            now["mom"] = one_cycle(0.95, 0.85, 0.95, step)
        for i, p in enumerate(params):
            g = torch.rand(SHAPES[i], dtype=dtype) - 0.5
            if gaps and i == 1 and step % 3 == 2:
                continue
            rule(p, g, states[i], **{**now, "lr": now["lr"] * (mult if i == 2 else 1)})
        if step + 1 in SHOWN:
            print(case, step + 1, *[b for p in params for b in bits(p)])


run("sgd", sgd, lr=0.1, mom=0, wd=0)
run("sgd_wd", sgd, lr=0.1, mom=0, wd=0.3)
run("sgd_mom", sgd, lr=0.01, mom=0.9, wd=0)
run("sgd_mom_wd", sgd, lr=0.01, mom=0.9, wd=0.1)
run("sgd_f64", sgd, lr=0.01, mom=0.9, wd=0.1, dtype=torch.float64)
run("sgd_group", sgd, lr=0.1, mom=0.5, wd=0, mult=0.01)
run("adam", adam, lr=0.001, mom=0.9, wd=0.01)
run("adam_torch", adam, lr=0.01, mom=0.9, wd=0, sqr_mom=0.999, eps=1e-8)
run("adam_f64", adam, lr=0.01, mom=0.9, wd=0.1, dtype=torch.float64)
run("adam_cycle", adam, lr=0.05, mom=0.95, wd=0.01, cycle=True)
run("adam_gaps", adam, lr=0.01, mom=0.9, wd=0.01, gaps=True)
