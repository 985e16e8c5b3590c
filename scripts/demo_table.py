#!/usr/bin/env python3
"""Two runs of the same networks side by side: trained together, and each alone.

    scripts/demo_table.py TOGETHER ALONE

Prints last and best of the task's main measure for every network, how large a difference has to be before it means something,
which files to look at, and what to try next. Reads metrics.csv and log.jsonl of both run folders.
"""
import csv
import json
import math
import sys
from pathlib import Path


# What a task is judged by: its column, its words, digits after the point, and whether more is better.
MEASURES = [
    ("top1", "test accuracy in %", 2, True),
    ("miou", "test mIoU in %", 2, True),
    ("mse", "error of the noise (MSE)", 4, False),
]


def measure_of(folder, name):
    """The row of MEASURES that a run has for its networks."""
    with open(folder / "metrics.csv", newline="") as f:
        columns = next(csv.reader(f))
    return next(m for m in MEASURES if f"{name}.{m[0]}" in columns)


def read(folder):
    """({network: [the measure of every evaluated epoch]}, {network: model}, the start event, the measure)."""
    with open(folder / "metrics.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    with open(folder / "log.jsonl") as f:
        start = json.loads(f.readline())
    models = start["networks"]
    measure = measure_of(folder, next(iter(models)))
    column = measure[0]
    return {name: [float(r[f"{name}.{column}"]) for r in rows if r.get(f"{name}.{column}")] for name in models}, models, start, measure


def chance_of(accuracy, images):
    """Two standard errors, in points, of the difference of two accuracies measured on so many pictures each."""
    p = accuracy / 100
    return 200 * math.sqrt(2 * p * (1 - p) / images)


def print_table(together, alone, models, measure):
    _, words, digits, rising = measure
    best = max if rising else min
    print(f"{'':26}{'last epoch':>18}{'best epoch':>28}")
    print(f"{words:26}{'alone':>8}{'together':>10}{'':>10}{'alone':>8}{'together':>10}")
    for name, model in models.items():
        a, t = alone[name], together[name]
        print(f"{name + ' (' + model + ')':26}{a[-1]:8.{digits}f}{t[-1]:10.{digits}f}{t[-1] - a[-1]:+9.{digits}f} "
              f"{best(a):8.{digits}f}{best(t):10.{digits}f}{best(t) - best(a):+9.{digits}f}")


def print_caution(measure, images):
    rising = "higher" if measure[3] else "lower"
    print(f"""
How to read it: one run of each, {images} test pictures, a short training; {rising} is better. "Best" is the best epoch on the test set
itself, so it flatters; "last" does not. One seed shows that it runs and learns, and is no evidence about the methods: that
takes full training and several seeds. What was measured so far: docs/results.md.""")


def print_judgement(together, alone, models, images):
    beyond, within = [], []
    for name in models:
        difference, noise = together[name][-1] - alone[name][-1], chance_of(alone[name][-1], images)
        (beyond if abs(difference) > noise else within).append((name, difference, noise))
    print(f"""
How to read it: one run of each, {images} test pictures, a few epochs. "Best" is the best epoch on the test set itself, so it
flatters; "last" does not.""")
    for name, difference, noise in beyond:
        verb = "gained" if difference > 0 else "lost"
        print(f"The {name} {verb} {abs(difference):.1f} points by training together, more than the {noise:.1f} that the choice of test\n"
              "pictures alone would explain. Not proof: the same recipe and seed on other kernels or threads came out up to 6 points apart.")
    for name, difference, noise in within:
        print(f"For the {name} the difference of {difference:+.1f} is within the noise: up to {noise:.1f} points come from the choice of test\n"
              "pictures alone, and another seed moves it as well. It shows nothing either way.")
    print("Comparisons that mean something take full training and several seeds: docs/results.md.")


def print_next(together, models):
    student = list(models)[-1]
    files = {
        f"{together}/{student}.safetensors": "the small network; PyTorch loads it under its usual names",
        f"{together}/metrics.csv": "a row per epoch: loss, accuracy, calibration, agreement, what ADM saw",
        f"{together}/log.jsonl": "every event, one JSON object a line",
        f"{together}/recipe.yaml": "what ran, with every default written out",
    }
    width = max(map(len, files))
    print("\nLook at")
    for name, what in files.items():
        print(f"  {name:{width}}  {what}")
    print(f"""
Try next
  build/release/duet eval {together}/{student}.safetensors
  build/release/duet plan recipes/demo.yaml
  build/release/duet train recipes/demo.yaml --set train.epochs=12 --out runs/longer
  build/release/duet train recipes/demo.yaml --set method.name=kdcl --set train.seed=2 --out runs/kdcl
and recipes/README.md for CIFAR-100 and the pairs of the published tables.""")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folders = Path(sys.argv[1]), Path(sys.argv[2])
    (together, models, start, measure), (alone, other_models, _, _) = map(read, folders)
    if models != other_models or not all(together.values()) or not all(alone.values()):
        sys.exit("demo_table.py: the two runs must have the same networks and at least one evaluated epoch each")
    print_table(together, alone, models, measure)
    if measure[0] != "top1":
        print_caution(measure, start["test_images"])
        return
    print_judgement(together, alone, models, start["test_images"])
    print_next(folders[0], models)


if __name__ == "__main__":
    main()
