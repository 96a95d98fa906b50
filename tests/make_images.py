#!/usr/bin/env python3
"""Small image data sets for the tests, from the standard library alone.

    make_images.py DIR          DIR/train/{dark,light}, DIR/valid/{dark,light}: 12 x 12 grey PNGs
    make_images.py DIR odd      one folder of odd ones that load: 1 x 1, 16 bit, palette, RGBA, interlaced
    make_images.py DIR bad      and of ones that do not: text, cut short, empty
"""
import pathlib
import struct
import sys
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, interlace=0, palette=None):
    """rows: the filtered scan lines of all passes, bytes."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    if palette:
        out += chunk(b"PLTE", palette)
    return out + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def grey(width, height, pixel):
    return png(width, height, 8, 0, b"".join(
        b"\0" + bytes(pixel(x, y) for x in range(width)) for y in range(height)))


def interlaced(size, pixel):
    rows = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, size, dy):
            row = bytes(pixel(x, y) for x in range(x0, size, dx))
            if row:
                rows += b"\0" + row
    return png(size, size, 8, 0, rows, interlace=1)


def dataset(root, size=12):
    for part, count in (("train", 24), ("valid", 8)):
        for name, level in (("dark", 40), ("light", 200)):
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixel = lambda x, y, i=i: (level + 7 * x + 3 * y + 11 * i) % 40 + level - 20
                (folder / f"{i}.png").write_bytes(grey(size, size, pixel))


def odd(root):
    root.mkdir(parents=True, exist_ok=True)
    size = 12
    ramp = lambda x, y: 20 * y
    (root / "one.png").write_bytes(grey(1, 1, lambda x, y: 200))
    (root / "sixteen.png").write_bytes(png(size, size, 16, 0, b"".join(
        b"\0" + b"".join(struct.pack(">H", 257 * ramp(x, y)) for x in range(size)) for y in range(size))))
    (root / "palette.png").write_bytes(png(size, size, 8, 3, b"".join(
        b"\0" + bytes(y % 4 for x in range(size)) for y in range(size)), palette=bytes(range(0, 120, 10))))
    (root / "rgba.png").write_bytes(png(size, size, 8, 6, b"".join(
        b"\0" + bytes(v for x in range(size) for v in (ramp(x, y), 10, 250, 128)) for y in range(size))))
    (root / "interlaced.png").write_bytes(interlaced(size, ramp))


def bad(root):
    root.mkdir(parents=True, exist_ok=True)
    whole = grey(12, 12, lambda x, y: (x * 37 + y * 91) % 256)
    (root / "text.png").write_text("this is no picture\n")
    (root / "cut.png").write_bytes(whole[: len(whole) - 40])
    (root / "empty.png").write_bytes(b"")


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[1])
    {"odd": odd, "bad": bad}.get(sys.argv[2] if len(sys.argv) > 2 else "", dataset)(where)
