#!/usr/bin/env python3
"""The same work as bench_loader in Pillow, and in torchvision where the Python that runs this has it.

    bench/loader_rival.py make FOLDER     160 JPEGs of about 500x375 pixels, quality 90, in FOLDER/train and FOLDER/val
    bench/loader_rival.py run FOLDER [SECONDS]
"""
import math
import random
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def make(folder):
    draw = np.random.default_rng(1)
    for i in range(160):
        h, w = int(draw.integers(340, 410)), int(draw.integers(460, 540))
        small = draw.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        noise = draw.normal(0, 12, (h, w, 3))
        picture = np.asarray(Image.fromarray(small).resize((w, h), Image.BICUBIC)).astype(float) + noise
        path = folder / ("val" if i >= 140 else "train") / str(i % 2)
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path / f"{i}.jpg", quality=90)


def random_part(w, h):
    for _ in range(10):
        area, ratio = w * h * random.uniform(0.08, 1), math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        a, b = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < a <= w and 0 < b <= h:
            x, y = random.randint(0, w - a), random.randint(0, h - b)
            return x, y, x + a, y + b
    return 0, 0, w, h


def square(path, colours):
    image = Image.open(path).convert("RGB")
    image = image.crop(random_part(*image.size)).resize((224, 224), Image.BILINEAR)
    if random.random() < 0.5:
        image = ImageOps.mirror(image)
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color) if colours else ():
        image = kind(image).enhance(random.uniform(0.6, 1.4))
    return (np.asarray(image, np.float32) / 255 - MEAN) / STD


def of_torchvision():
    """Its transforms with and without colours, or None; what ImageFolder's default loader opens is what they are given."""
    try:
        import torch
        from torchvision.transforms import v2
    except ImportError:
        return None
    torch.set_num_threads(1)

    def of(*colours):
        chain = v2.Compose([v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip(), *colours, v2.ToImage(),
                            v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN.tolist(), STD.tolist())])
        return lambda path: chain(Image.open(path).convert("RGB"))

    return of(), of(v2.ColorJitter(0.4, 0.4, 0.4))


def rate(step, paths, seconds):
    begin, done = time.process_time(), 0
    while time.process_time() - begin < seconds:
        step(paths[done % len(paths)])
        done += 1
    return done / (time.process_time() - begin)


def main():
    folder = Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(folder)
        return
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 2
    paths = sorted(folder.glob("train/*/*.jpg"))
    theirs = of_torchvision()
    whole = rate(lambda p: Image.open(p).convert("RGB").load(), paths, seconds)
    plain, colours = (rate(lambda p: square(p, c), paths, seconds) for c in (False, True))
    print(f"Pillow {Image.__version__}, images for a second of one core: decoded whole {whole:.0f}; random part {plain:.0f}, with colours {colours:.0f}")
    if theirs:
        import torchvision
        plain, colours = (rate(step, paths, seconds) for step in theirs)
        print(f"torchvision {torchvision.__version__}: random part {plain:.0f}, with colours {colours:.0f}")


if __name__ == "__main__":
    main()
