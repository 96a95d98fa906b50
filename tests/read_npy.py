"""NumPy reads what taper wrote into $TAPER_TEST_DIR, *.npy, and prints it; then it writes arrays of its
own there, for tests/test_io.c to read: numpy-DTYPE-ORDER-VERSION.npy, all of shape (2, 3, 4)."""
import os
import pathlib
import numpy as np

folder = pathlib.Path(os.environ["TAPER_TEST_DIR"])
for path in sorted(folder.glob("*.npy")):
    x = np.load(path)
    assert x.flags.c_contiguous and x.flags.aligned
    print(path.name, x.dtype.str, list(x.shape), x.tobytes().hex())

for dtype in "<f4", "<f8", "<i8", "|u1", "|b1":
    for order in "C", "F":
        for version in (1, 0), (2, 0), (3, 0):
            x = np.asarray(np.arange(24).reshape(2, 3, 4) % (2 if dtype == "|b1" else 256), dtype, order)
            with open(folder / f"numpy-{dtype[1:]}-{order}-{version[0]}.npy", "wb") as f:
                np.lib.format.write_array(f, x, version)
