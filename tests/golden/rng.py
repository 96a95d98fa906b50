"""What PyTorch's CPU generator gives, for tests/test_rng.c:  python3 rng.py > rng.txt

Each line is "SEED WHAT VALUE...": integers in decimal, floats and doubles as their bits in hex. The
lines of a seed follow one another from one generator, so they also pin how many draws each takes."""
import struct
import torch


def bits32(t):
    return [struct.pack(">f", v).hex() for v in t.tolist()]


def bits64(t):
    return [struct.pack(">d", v).hex() for v in t.tolist()]


def emit(seed, what, values):
    print(seed, what, *values)


def run(seed):
    torch.manual_seed(seed)
    i64, f64 = torch.int64, torch.float64
    emit(seed, "u32", torch.empty(6, dtype=i64).random_(0, 2**32 - 1).tolist())
    emit(seed, "u64", [v % 2**64 for v in torch.empty(6, dtype=i64).random_(-2**63, None).tolist()])
    emit(seed, "f32", bits32(torch.rand(8)))
    emit(seed, "f64", bits64(torch.rand(8, dtype=f64)))
    torch.rand(1300)  # the next lines come from behind two refills of the engine
    emit(seed, "uniform32", bits32(torch.empty(24).uniform_(-1 / 28, 1 / 28)))
    emit(seed, "uneven32", bits32(torch.empty(24).uniform_(0.3, 0.701)))
    emit(seed, "uniform64", bits64(torch.empty(8, dtype=f64).uniform_(-1 / 28, 1 / 3)))
    emit(seed, "randn32", bits32(torch.randn(7)))  # odd: one normal stays in the cache
    torch.rand(3)
    emit(seed, "randn64", bits64(torch.randn(6, dtype=f64)))
    for n in (1, 2, 10, 40):
        emit(seed, "perm", torch.randperm(n).tolist())
    emit(seed, "perm1000", torch.randperm(1000)[:20].tolist())
    emit(seed, "last", torch.empty(1, dtype=i64).random_(0, 2**32 - 1).tolist())


print("default", "f32", *bits32(torch.rand(4, generator=torch.Generator())))
for s in (0, 42, 2**32 + 5, 5, 67280421310721, 2**64 - 1):
    run(s)
