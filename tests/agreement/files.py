"""The files that pass between duet and PyTorch: safetensors (read and written here with nothing but numpy and json, so
that a mistake in duet's own writer cannot hide) and small data sets in the CIFAR-100 binary layout."""
import json
import struct

import numpy as np

DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"),
          "U8": np.dtype("u1")}


def read_safetensors(path):
    """({name: array}, metadata). Checks what the format promises: no gap, no overlap, nothing after the end."""
    with open(path, "rb") as f:
        raw = f.read()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    metadata = header.pop("__metadata__", {})
    data, arrays, spans = raw[8 + length:], {}, []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        array = np.frombuffer(data[begin:end], dtype=dtype)
        assert array.size == int(np.prod(entry["shape"], dtype=np.int64)), f"{path}: {name}: bytes and shape differ"
        arrays[name] = array.reshape(entry["shape"])
        spans.append((begin, end))
    spans.sort()
    edges = [0] + [end for _, end in spans]
    assert [begin for begin, _ in spans] == edges[:-1] and edges[-1] == len(data), f"{path}: gaps or overlaps"
    return arrays, metadata


def write_safetensors(path, arrays, metadata=None):
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, array in arrays.items():
        header[name] = {"dtype": names[array.dtype.newbyteorder("<")], "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            f.write(np.ascontiguousarray(array).tobytes())


def small_cifar100(folder, train, test, seed, classes=100):
    """Writes train.bin and test.bin with so many records; returns {"train": (pixels, labels), "test": ...} with pixels
    uint8 [n, 3, 32, 32]. Every class has a colour field of its own under noise, so there is something to learn."""
    rng = np.random.default_rng(seed)
    fields = rng.uniform(60, 196, size=(classes, 3, 4, 4))
    out = {}
    for split, count in (("train", train), ("test", test)):
        labels = rng.integers(0, classes, size=count)
        clean = np.kron(fields[labels], np.ones((1, 1, 8, 8)))
        pixels = np.clip(clean + rng.normal(0, 40, size=clean.shape), 0, 255).astype(np.uint8)
        coarse = (labels // 5).astype(np.uint8)
        records = np.concatenate([coarse[:, None], labels.astype(np.uint8)[:, None], pixels.reshape(count, -1)], axis=1)
        assert records.shape[1] == 3074
        records.tofile(folder / f"{split}.bin")
        out[split] = (pixels, labels)
    return out
