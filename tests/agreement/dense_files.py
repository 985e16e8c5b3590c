"""Small data sets for the dense tasks: a folder of pictures and masks in PNG, written with nothing but zlib, so that both
sides see the same bytes."""
import struct
import zlib

import numpy as np

IGNORE = 255


def write_png(path, pixels):
    """uint8 [h, w] (grey) or [h, w, 3] (RGB)."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), dtype=np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
                     + chunk(b"IEND", b""))


def draw(rng, height, width, classes):
    """(pixels, mask): a background and two overlapping rectangles, each class with a colour of its own under noise, a ring
    and a corner without labels."""
    colours = np.random.default_rng(5).uniform(40, 216, size=(classes, 3))
    mask = np.zeros((height, width), dtype=np.uint8)
    for _ in range(2):
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        h, w = rng.integers(height // 4, height // 2), rng.integers(width // 4, width // 2)
        mask[top:top + h + 2, left:left + w + 2] = IGNORE
        mask[top + 1:top + h + 1, left + 1:left + w + 1] = rng.integers(1, classes)
    mask[-height // 6:, :width // 5] = IGNORE
    clean = colours[np.where(mask == IGNORE, 0, mask)]
    return np.clip(clean + rng.normal(0, 30, size=clean.shape), 0, 255).astype(np.uint8), mask


def small_folder(folder, train, test, size, classes, seed, unlabelled=()):
    """Writes images/, masks/, train.txt, val.txt, classes.txt; returns {"train": (pixels [n, 3, h, w], masks [n, h, w]),
    "val": ...}. unlabelled: training pictures whose whole mask is IGNORE."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    out = {}
    for split, count in (("train", train), ("val", test)):
        stems, pictures = [f"{split}_{k:03d}" for k in range(count)], []
        for k, stem in enumerate(stems):
            pixels, mask = draw(rng, *size, classes)
            if split == "train" and k in unlabelled:
                mask[:] = IGNORE
            write_png(folder / "images" / f"{stem}.png", pixels)
            write_png(folder / "masks" / f"{stem}.png", mask)
            pictures.append((pixels.transpose(2, 0, 1), mask))
        (folder / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        out[split] = tuple(np.stack(part) for part in zip(*pictures))
    lines = [f"class{k} #{40 + 9 * k:02x}{(97 * k) % 256:02x}{(53 * k) % 256:02x}\n" for k in range(classes)]
    (folder / "classes.txt").write_text("".join(lines))
    return out
