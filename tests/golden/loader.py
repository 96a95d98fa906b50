"""What torch's DataLoader gives, for tests/test_loader.c:  python3 loader.py > loader.txt

Each line is one pass over range(n),
    SEED N BATCH_SIZE SHUFFLE DROP_LAST : SIZES : FIRST... : SUM : DRAW
where FIRST are the first indices, SUM is a checksum of the whole order, and DRAW is what the
default generator gives afterwards. The passes of a seed follow one another."""
import torch
from torch.utils.data import DataLoader

SETTINGS = [  # n, batch_size, shuffle, drop_last
    (15, 5, True, False), (15, 4, True, False), (15, 4, True, True), (15, 4, False, False),
    (15, 4, False, True), (7, 7, True, False), (3, 10, True, False), (3, 10, True, True),
    (1, 1, True, False), (1, 64, False, False), (1000, 64, True, False), (12396, 256, True, True)]


def one_pass(seed, loader, n, size, shuffle, drop):
    batches = [b.tolist() for b in loader]
    order = [i for b in batches for i in b]
    checksum = sum((k + 1) * i for k, i in enumerate(order)) % (2**31 - 1)
    sizes = "%dx%d+%d" % (len(batches), len(batches[0]), len(batches[-1])) if batches else "0"
    draw = torch.empty((), dtype=torch.int64).random_(0, 2**32 - 1).item()
    print(seed, n, size, int(shuffle), int(drop), ":", sizes, ":", *order[:16], end=" ")
    print(":", checksum, ":", draw)


for seed in (0, 42, 2**40 + 7):
    torch.manual_seed(seed)
    for n, size, shuffle, drop in SETTINGS:
        loader = DataLoader(range(n), batch_size=size, shuffle=shuffle, drop_last=drop)
        for _ in range(2):
            one_pass(seed, loader, n, size, shuffle, drop)
