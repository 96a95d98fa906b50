#!/usr/bin/env python3
"""Archives for tests/get.bats: get_archives.py DIR makes good ones and evil ones in DIR.

Every evil one also holds a harmless file before the entry that must be refused, so that a test sees
whether anything was written before the refusal.
"""
import gzip
import io
import os
import random
import struct
import sys
import tarfile
import zipfile

ROOT = sys.argv[1]
rng = random.Random(1)


def path(name):
    return os.path.join(ROOT, name)


def entry(name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def tar(name, *entries, mode="w:gz", form=tarfile.GNU_FORMAT):
    with tarfile.open(path(name), mode, format=form) as t:
        for info, data in entries:
            t.addfile(info, data)


def shapes():
    """A data set of two classes, about 300 kB that do not compress."""
    return [(part + "/" + name + "/%d.png" % i, rng.randbytes(4000 + i))
            for part, n in (("train", 25), ("valid", 10)) for name in ("circle", "square")
            for i in range(n)] + [("labels.csv", b"name,label\n")]


def evil(name, *entries, **options):
    tar(name, entry("shapes/train/a/1.png", b"harmless"), *entries, **options)


def link(name, target, kind):
    return entry(name, type=kind, linkname=target)


def make_good():
    files = shapes()
    tar("shapes.tgz", *[entry("shapes/" + n, d) for n, d in files])
    tar("shapes.tar", *[entry("./shapes/" + n, d) for n, d in files], mode="w")
    tar("bare.tar.gz", *[entry(n, d) for n, d in files])
    tar("part.tgz", *[entry(n, d) for n, d in files if n.startswith("train/")])
    tar("classes.tgz", *[entry(n[6:], d) for n, d in files if n.startswith("train/")],
        entry("circle/inner/0.png", b"x"), entry(".hidden/0.png", b"x"), entry("0.png", b"x"))
    tar("listed.tgz", *[entry("all/%d.PNG" % i, d) for i, (n, d) in enumerate(files[:-1])],
        entry("labels.csv", b"name,label\n"))
    tar("one.tgz", *[entry(n, d) for n, d in files if n.startswith("train/circle")])
    tar("tests.tgz", *[entry("shapes/" + n, d) for n, d in files],
        *[entry("shapes/test/" + n[6:], d) for n, d in files if n.startswith("valid/")],
        entry("shapes/test/loose.jpg", b"x"))
    tar("pax.tgz", entry("größe/" + "long/" * 40 + "é.txt", b"x"), form=tarfile.PAX_FORMAT)
    tar("bytes.tgz", (tarfile.TarInfo("d/caf\udce9.txt"), io.BytesIO()))
    tar("modes.tgz", entry("d", type=tarfile.DIRTYPE, mode=0o000), entry("d/f", b"x", mode=0o6777))
    tar("macos.tgz", *[entry("shapes/" + n, d) for n, d in files], entry("._shapes", b"x"),
        entry("shapes/train/circle/._0.png", b"x"), entry("__MACOSX/shapes/._train", b"x"),
        entry("shapes/.DS_Store", b"x"))
    with zipfile.ZipFile(path("shapes.zip"), "w", zipfile.ZIP_DEFLATED) as z:
        for n, d in files:
            z.writestr("shapes/" + n, d)


def make_evil():
    evil("dotdot.tgz", entry("shapes/../../evil.txt", b"x"))
    evil("absolute.tgz", entry(ROOT + "/evil.txt", b"x"))
    evil("symlink.tgz", link("shapes/link", "/etc", tarfile.SYMTYPE))
    evil("through.tgz", link("shapes/train/a/up", "../../../..", tarfile.SYMTYPE),
         entry("shapes/train/a/up/evil.txt", b"x"))
    evil("hardlink.tgz", link("shapes/link", "/etc/passwd", tarfile.LNKTYPE))
    evil("inner.tgz", link("shapes/link", "shapes/train/a/1.png", tarfile.LNKTYPE))
    evil("device.tgz", entry("shapes/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3))
    evil("block.tgz", entry("shapes/disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0))
    evil("pipe.tgz", entry("shapes/pipe", type=tarfile.FIFOTYPE))
    evil("twice.tgz", entry("shapes/train/a/1.png", b"other"))
    evil("both.tgz", entry("shapes/train/a/1.png/2.png", b"x"))
    evil("escape.tgz", link("shapes/\x1b[2J\nfake", "x", tarfile.SYMTYPE))
    evil("bomb.tgz", entry("shapes/zeros", bytes(260_000_000)))
    one = entry("shapes/empty")[0].tobuf(tarfile.GNU_FORMAT)
    with gzip.open(path("many.tgz"), "wb", 6) as f:
        f.write(one * 65_000 + bytes(1024))
    claim = tarfile.TarInfo("shapes/claim")
    claim.size = 1 << 50
    with gzip.open(path("claim.tgz"), "wb") as f:
        f.write(claim.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with zipfile.ZipFile(path("dotdot.zip"), "w") as z:
        z.writestr("shapes/1.png", b"harmless")
        z.writestr("../evil.txt", b"x")
    with zipfile.ZipFile(path("symlink.zip"), "w") as z:
        z.writestr("shapes/1.png", b"harmless")
        info = zipfile.ZipInfo("shapes/link")
        info.create_system = 3
        info.external_attr = 0o120777 << 16
        z.writestr(info, "/etc")
    with zipfile.ZipFile(path("bomb.zip"), "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("shapes/1.png", b"harmless")
        z.writestr("shapes/zeros", bytes(260_000_000))


def make_damaged():
    with open(path("shapes.tgz"), "rb") as f:
        good = f.read()
    with open(path("shapes.tar"), "rb") as f:
        plain = f.read()
    with open(path("shapes.zip"), "rb") as f:
        packed = f.read()

    def write(name, data):
        with open(path(name), "wb") as f:
            f.write(data)

    write("cut.tgz", good[:len(good) // 2])
    write("sum.tgz", good[:-8] + bytes([good[-8] ^ 1]) + good[-7:])
    write("cut.tar", plain[:len(plain) // 2 + 100])
    write("header.tar", plain[:512 * 9] + bytes([plain[512 * 9] ^ 1]) + plain[512 * 9 + 1:])
    write("cut.zip", packed[:len(packed) // 2])
    middle = len(packed) // 2
    write("flip.zip", packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1:])
    write("empty.tgz", b"")
    write("text.tgz", b"this is no archive, whatever its name says\n" * 100)
    write("page.tgz", b"<html><body>404</body></html>")
    write("nothing.tar", bytes(10240))
    write("prose.txt.gz", gzip.compress(b"gzipped, but neither tar nor IDX\n" * 100))


def idx(dims, data, kind=8):
    head = struct.pack(">BBBB", 0, 0, kind, len(dims)) + struct.pack(">%dI" % len(dims), *dims)
    return gzip.compress(head + data)


def make_idx():
    images = rng.randbytes(20 * 4 * 4)
    good = idx([20, 4, 4], images)
    for name, data in (("train-images-idx3-ubyte.gz", good),
                       ("train-labels-idx1-ubyte.gz", idx([20], bytes(i % 5 for i in range(20)))),
                       ("short-idx3-ubyte.gz", idx([21, 4, 4], images)),
                       ("long-idx3-ubyte.gz", idx([19, 4, 4], images)),
                       ("huge-idx3-ubyte.gz", idx([2**32 - 1] * 3, images)),
                       ("cut-idx3-ubyte.gz", good[:len(good) // 2]),
                       ("header-idx3-ubyte.gz", gzip.compress(bytes([0, 0, 8, 3, 0, 0])))):
        with open(path(name), "wb") as f:
            f.write(data)


make_good()
make_evil()
make_damaged()
make_idx()
