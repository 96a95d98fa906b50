"""Prints the tensors and strings of each *.safetensors file in $TAPER_TEST_DIR, for tests/test_io.c.

The reader below is all that the format takes. Where Python's own package `safetensors` is installed,
it must open each file too and find the same."""
import json
import os
import pathlib

SIZES = {"F32": 4, "F64": 8, "I64": 8, "U8": 1, "BOOL": 1}


def read(path):
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    assert n % 8 == 0 and raw[8:9] == b"{" and raw[:8 + n].rstrip(b" ").endswith(b"}")
    header, data = json.loads(raw[8:8 + n]), raw[8 + n:]
    assert "__metadata__" not in header or list(header)[0] == "__metadata__"
    strings = header.pop("__metadata__", {})
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        assert (8 + n + begin) % SIZES[t["dtype"]] == 0, "not aligned"
        tensors[name] = (t["dtype"], t["shape"], data[begin:end])
    assert sum(len(t[2]) for t in tensors.values()) == len(data)
    return strings, tensors


def check_with_package(path, tensors):
    from safetensors import safe_open
    with safe_open(path, "np") as f:
        assert sorted(f.keys()) == sorted(tensors)
        for name, (_, shape, data) in tensors.items():
            array = f.get_tensor(name)
            assert list(array.shape) == shape and array.tobytes() == data


try:
    import safetensors.numpy
except ImportError:
    safetensors = None
for path in sorted(pathlib.Path(os.environ["TAPER_TEST_DIR"]).glob("*.safetensors")):
    strings, tensors = read(path)
    if safetensors:
        check_with_package(path, tensors)
    print("file", path.name)
    for name, text in strings.items():
        print("string", json.dumps(name), json.dumps(text))
    for name, (dtype, shape, data) in tensors.items():
        print("tensor", json.dumps(name), dtype, shape, data.hex())
