"""What the scripts that read run folders share: metrics.csv, groups of runs on the command line, mean and deviation."""
import csv
import math
import os


class Trouble(Exception):
    """One sentence for the user."""


def read_run(folder):
    """The rows of a run's metrics.csv, a dictionary each."""
    path = os.path.join(folder, "metrics.csv")
    try:
        with open(path, newline="") as f:
            rows = list(csv.DictReader(f))
    except OSError as e:
        raise Trouble("%s: %s; give folders that `duet train --out` wrote" % (path, e.strerror)) from None
    if not rows:
        raise Trouble("%s: no finished epoch yet" % path)
    return rows


def groups_of(words):
    """(title, folders) in order: NAME=RUN,RUN,... is a group of that name; bare folders make one group together, the first."""
    groups, bare = [], []
    for word in words:
        name, equals, folders = word.partition("=")
        if equals and not os.path.isdir(word):
            groups.append((name, [f for f in folders.split(",") if f]))
            if not groups[-1][1]:
                raise Trouble("%s: names no run" % word)
        else:
            bare.append(word)
    if bare:
        groups.insert(0, ("runs" if len(bare) > 1 else os.path.basename(os.path.normpath(bare[0])), bare))
    return groups


def value(row, column):
    """A number, or NaN where the column is missing or empty."""
    try:
        return float(row[column])
    except (KeyError, TypeError, ValueError):
        return math.nan


def mean_and_deviation(values):
    """Of the finite ones; the deviation has divisor n - 1 and is NaN for one value, both for none."""
    values = [v for v in values if math.isfinite(v)]
    if not values:
        return math.nan, math.nan
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def plus_minus(values, digits, sign=False):
    """"61.3 +- 0.4", "61.3" for one value, "-" for none."""
    mean, deviation = mean_and_deviation(values)
    if not math.isfinite(mean):
        return "-"
    said = "%+.*f" % (digits, mean) if sign else "%.*f" % (digits, mean)
    return said if not math.isfinite(deviation) else "%s +- %.*f" % (said, digits, deviation)


def print_table(head, rows, markdown, left=1):
    """Aligned columns, the first `left` of them to the left; or a Markdown table."""
    if markdown:
        print("| " + " | ".join(head) + " |")
        print("|" + "|".join("---" if i < left else "---:" for i in range(len(head))) + "|")
        for row in rows:
            print("| " + " | ".join(cell.replace("+-", "±") for cell in row) + " |")
        return
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip())
