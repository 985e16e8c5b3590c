#!/usr/bin/env python3
"""Writes pictures of CIFAR-100 as files in folders, to try what trains on a folder of pictures: every other one a JPEG, the rest PNG.

    scripts/cifar_folder.py CIFAR-100-FOLDER OUT [--classes K] [--train N] [--val N] [--side PIXELS] [--quality Q]

CIFAR-100-FOLDER has train.bin, test.bin and fine_label_names.txt, the binary version of the data set. OUT gets train/CLASS/NUMBER.jpg|png,
val/CLASS/...: the first N pictures of each of the first K classes, scaled to PIXELS a side (bicubic). Needs Pillow (python3-pil).
"""
import argparse
import sys
from pathlib import Path

SIDE = 32
RECORD = 2 + 3 * SIDE * SIDE  # coarse label, fine label, then red, green and blue planes


def records(path, classes, per_class):
    """(number in the file, fine label, red, green and blue plane) of the first so many of each of the first so many classes."""
    seen = {}
    data = Path(path).read_bytes()
    if not data or len(data) % RECORD:
        sys.exit(f"{path}: found {len(data)} bytes; wanted a multiple of {RECORD}, pictures of CIFAR-100's binary version")
    for i in range(len(data) // RECORD):
        record = data[i * RECORD:(i + 1) * RECORD]
        label = record[1]
        seen[label] = seen.get(label, 0) + 1
        if label < classes and seen[label] <= per_class:
            yield i, label, [record[2 + c * SIDE * SIDE:2 + (c + 1) * SIDE * SIDE] for c in range(3)]


def write_split(pictures, names, folder, a):
    from PIL import Image

    count = 0
    for i, label, planes in pictures:
        picture = Image.merge("RGB", [Image.frombytes("L", (SIDE, SIDE), plane) for plane in planes])
        picture = picture.resize((a.side, a.side), Image.BICUBIC)
        kind = "jpg" if count % 2 == 0 else "png"
        path = folder / names[label] / f"{i:05}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, **({"quality": a.quality} if kind == "jpg" else {}))
        count += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=int, default=100, help="how many of the 100 (100)")
    parser.add_argument("--train", type=int, default=20, help="pictures of each class to train on (20)")
    parser.add_argument("--val", type=int, default=4, help="pictures of each class to judge by (4)")
    parser.add_argument("--side", type=int, default=256, help="pixels a side (256)")
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs (90)")
    a = parser.parse_args()
    names = (a.source / "fine_label_names.txt").read_text().split()
    for split, file, per_class in (("train", "train.bin", a.train), ("val", "test.bin", a.val)):
        count = write_split(records(a.source / file, a.classes, per_class), names, a.out / split, a)
        print(f"{a.out / split}: {count} pictures")


if __name__ == "__main__":
    main()
