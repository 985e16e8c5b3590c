#!/usr/bin/env python3
"""Trains on a set of shards of any size and prints the greatest memory that it took: it must not grow with the set.

    scripts/large_data.py build/duet [GIGABYTES] [--steps N] [--keep FOLDER]

The shards are sparse: each picture is a small JPEG followed by a hole of a megabyte, which a file system stores in no space and a reader
reads as zeros. So 100 GB (the default) need 0.6 GB of disk; the program reads every byte of what it trains on.

Without --steps the set is trained on once, which for 100 GB takes some minutes.
"""
import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "cli"))
from pictures import jpeg  # noqa: E402

HOLE = 1_000_000
PER_SHARD = 1000
RECIPE = """\
data: {{name: tar, path: {path}, augment: {{size: 32}}, workers: 2}}
networks:
  - {{name: teacher, model: resnet8, role: teacher}}
  - {{name: student, model: resnet8, role: student}}
method: {{name: dml}}
train: {{epochs: 1, batch: 64, lr: 0.01, log_every: 100}}
device: {{threads: 1}}
"""


def write_sparse(path, first, pictures):
    """A shard whose members are mostly holes."""
    with open(path, "wb") as f:
        for i in range(first, first + pictures):
            picture = jpeg(40, 40, lambda y, x: ((37 * i + 9 * y) % 256, (11 * i + x) % 256, 5 * (i % 50)))
            label = str(i % 10).encode()
            for name, data, size in ((f"{i:09}.jpg", picture, HOLE), (f"{i:09}.cls", label, len(label))):
                info = tarfile.TarInfo(name)
                info.size = size
                f.write(info.tobuf(tarfile.USTAR_FORMAT))
                end = f.tell() + (size + 511) // 512 * 512
                f.write(data)
                f.seek(end)
        f.write(b"\0")  # the end mark; the last byte gives the file its length
        f.truncate(f.tell() + 1023)


def write_set(folder, gigabytes):
    """Shards of so many GB to train on and a small one to judge by; returns the number of training pictures."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = max(64, int(gigabytes * 1e9 / HOLE))
    for shard, first in enumerate(range(0, pictures, PER_SHARD)):
        write_sparse(folder / f"train-{shard:06}.tar", first, min(PER_SHARD, pictures - first))
    write_sparse(folder / "val-000000.tar", pictures, 20)
    return pictures


def train(program, folder, shards, steps=0):
    """Seconds and greatest resident memory, in MB."""
    recipe = Path(folder) / "large.yaml"
    recipe.write_text(RECIPE.format(path=shards))
    words = [program, "train", str(recipe), "--out", str(Path(folder) / f"run-{Path(shards).name}"), "--quiet"]
    words += ["--max-steps", str(steps)] if steps else []
    begin = os.times().elapsed
    process = subprocess.Popen(words)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return os.times().elapsed - begin, used.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("gigabytes", nargs="?", type=float, default=100)
    parser.add_argument("--steps", type=int, default=0, help="train for so many steps only")
    parser.add_argument("--keep", help="where to put the shards; left out: a folder that is removed")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duet-large-") as scratch:
        shards = Path(a.keep or scratch) / "shards"
        pictures = write_set(shards, a.gigabytes)
        files = list(shards.iterdir())
        print(f"{pictures} pictures, {sum(p.stat().st_size for p in files) / 1e9:.1f} GB in {len(files)} shards; on the disk "
              f"{sum(p.stat().st_blocks for p in files) * 512 / 1e6:.0f} MB")
        seconds, memory = train(a.program, scratch, shards, a.steps)
        print(f"{seconds:.0f} s, at most {memory:.0f} MB of memory")


if __name__ == "__main__":
    main()
