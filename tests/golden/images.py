"""What Pillow makes of the pictures in images/, for tests/test_images.c:  python3 images.py > images.txt

Each line is "decode FILE HEIGHT WIDTH CHANNELS PIXELS" or "fit ..." (converted to that shape), the
pixels in hex. `python3 images.py --make` writes the pictures themselves: PNG of every kind by the few
lines below, since Pillow cannot write most of them, and JPEG by Pillow."""
import os
import struct
import sys
import warnings
import zlib
import numpy as np
from PIL import Image

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "images")
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
COLOURS = bytes([200, 10, 30, 0, 90, 250, 7, 70, 170, 255, 255, 255, 128, 64, 32, 1, 2, 3, 40, 40, 40, 99, 0, 99])


# ---- writing PNG -------------------------------------------------------------------------------------

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed_rows(samples, depth):
    """Rows of bytes from an array [H, W, channels] of samples of `depth` bits."""
    rows = []
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            rows.append(row.astype(">u2").tobytes())
        else:
            bits = "".join(format(int(v), "0%db" % depth) for v in row)
            bits += "0" * (-len(bits) % 8)
            rows.append(bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)))
    return rows


def paeth(a, b, c):
    return min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]


def filtered(rows, step):
    """Each row with the next of the five filters in front."""
    out, above = b"", bytes(len(rows[0])) if rows else b""
    for y, row in enumerate(rows):
        out += bytes([y % 5])
        for x, v in enumerate(row):
            a = row[x - step] if x >= step else 0
            b, c = above[x], above[x - step] if x >= step else 0
            out += bytes([(v - [0, a, b, (a + b) // 2, paeth(a, b, c)][y % 5]) % 256])
        above = row
    return out


def png(name, kind, depth, samples, interlaced=False, extra=b"", pieces=1):
    h, w = samples.shape[:2]
    step = max(1, CHANNELS[kind] * depth // 8)
    if interlaced:
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7]
        raw = b"".join(filtered(packed_rows(p, depth), step) for p in parts if p.size)
    else:
        raw = filtered(packed_rows(samples, depth), step)
    data = zlib.compress(raw, 9)
    cut = -(-len(data) // pieces)
    with open(os.path.join(FOLDER, name), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced)))
        f.write(extra + b"".join(chunk(b"IDAT", data[i:i + cut]) for i in range(0, len(data), cut)))
        f.write(chunk(b"IEND", b""))


def make():
    os.makedirs(FOLDER, exist_ok=True)
    rng = np.random.RandomState(1)
    noise = lambda h, w, kind, depth: rng.randint(0, 2**depth, (h, w, CHANNELS[kind]))
    plte, greys = chunk(b"PLTE", COLOURS), chunk(b"PLTE", bytes(v for g in (0, 255, 77, 130) for v in (g, g, g)))
    colours = lambda depth, n=8: noise(5, 11, PALETTE, depth) % min(n, 2**depth)
    for depth in (1, 2, 4, 8, 16):
        png("grey%d.png" % depth, GREY, depth, noise(6, 11, GREY, depth))
    for depth in (8, 16):
        png("rgb%d.png" % depth, RGB, depth, noise(6, 7, RGB, depth))
        png("rgba%d.png" % depth, RGBA, depth, noise(6, 5, RGBA, depth))
        png("grey-alpha%d.png" % depth, GREY_ALPHA, depth, noise(7, 6, GREY_ALPHA, depth))
    for depth, entries in ((1, 2), (2, 4), (4, 8), (8, 8)):
        png("palette%d.png" % depth, PALETTE, depth, colours(depth), extra=chunk(b"PLTE", COLOURS[:3 * entries]))
    png("palette-grey.png", PALETTE, 2, colours(2, 4), extra=greys)
    png("palette-clear.png", PALETTE, 8, colours(8), extra=plte + chunk(b"tRNS", bytes([0, 99, 255])))
    png("grey-clear.png", GREY, 8, noise(4, 4, GREY, 4), extra=chunk(b"tRNS", b"\0\3"))
    png("rgb-clear.png", RGB, 8, noise(4, 4, RGB, 2), extra=chunk(b"tRNS", b"\0\1\0\1\0\1"))
    png("grey8-interlaced.png", GREY, 8, noise(9, 10, GREY, 8), interlaced=True)
    png("grey1-interlaced.png", GREY, 1, noise(9, 13, GREY, 1), interlaced=True)
    png("rgb8-interlaced.png", RGB, 8, noise(5, 3, RGB, 8), interlaced=True)
    png("rgba16-interlaced.png", RGBA, 16, noise(6, 5, RGBA, 16), interlaced=True)
    png("palette4-interlaced.png", PALETTE, 4, colours(4), interlaced=True, extra=plte)
    png("one-pixel.png", GREY, 8, noise(1, 1, GREY, 8))
    png("one-pixel-rgb.png", RGB, 8, noise(1, 1, RGB, 8))
    words = chunk(b"gAMA", struct.pack(">I", 22727)) + chunk(b"tEXt", b"Comment\0words") + chunk(b"zzZz", b"?")
    png("gamma.png", GREY, 8, noise(3, 4, GREY, 8), extra=words)
    png("pieces.png", GREY, 8, noise(20, 20, GREY, 8), pieces=9)
    png("digit.png", GREY, 8, np.minimum(noise(28, 28, GREY, 8), noise(28, 28, GREY, 8)))
    png("wide.png", RGB, 8, noise(3, 61, RGB, 8))

    y, x = np.mgrid[0:23, 0:17]
    smooth = np.stack([x * 15, y * 11, (x * y) % 256], 2).astype(np.uint8)
    photo = Image.fromarray(smooth)
    save = lambda name, image=photo, **kw: image.save(os.path.join(FOLDER, name), "JPEG", **kw)
    save("grey.jpg", photo.convert("L"), quality=80)
    save("444.jpg", quality=90, subsampling=0)
    save("422.jpg", quality=75, subsampling=1)
    save("420.jpg", quality=75, subsampling=2)
    save("progressive.jpg", quality=75, progressive=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    save("turned.jpg", exif=turned)
    save("cmyk.jpg", photo.convert("CMYK"))


# ---- what Pillow reads -----------------------------------------------------------------------------------

def read(name):
    image = Image.open(os.path.join(FOLDER, name))
    if name.startswith("grey-alpha"):  # with 16 bits Pillow makes it RGBA with three equal channels
        return image.getchannel(0)
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    if image.mode.startswith("I"):  # 16-bit grey: the high byte, as Pillow itself does for 16-bit RGB
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode == "P":
        used = np.array(image.getpalette()).reshape(-1, 3)[:1 + np.array(image).max()]
        return image.convert("L" if (used == used[:, :1]).all() else "RGB")
    return image.convert("RGB")


def emit(what, name, image):
    print(what, name, image.height, image.width, len(image.getbands()), image.tobytes().hex())


FITS = [(28, 28, "L"), (14, 14, "L"), (1, 1, "L"), (5, 40, "RGB"), (9, 4, "RGB")]

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # about transparency in palettes
    if "--make" in sys.argv:
        make()
        sys.exit()
    for name in sorted(os.listdir(FOLDER)):
        if name == "cmyk.jpg":
            continue
        image = read(name)
        emit("decode", name, image)
        if name in ("digit.png", "wide.png", "one-pixel.png", "420.jpg", "grey8.png"):
            for h, w, mode in FITS:
                emit("fit", name, image.convert(mode).resize((w, h), Image.BILINEAR))
