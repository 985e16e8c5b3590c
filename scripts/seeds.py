#!/usr/bin/env python3
"""Recipes compared over seeds: mean, deviation, and the difference to the first recipe, seed by seed.

    scripts/seeds.py --column miou alone=runs/a-1,runs/a-2,runs/a-3 dml=runs/d-1,runs/d-2,runs/d-3
    scripts/seeds.py --column mse --scale 1 --digits 4 --markdown --csv seeds.csv alone=... dml=... 'dml + adm=...'

A group is NAME=RUN,RUN,...: the seeds of one recipe, in the same order in every group. Values are those of the last epoch. "+-" is the
deviation over the runs of a group (divisor n - 1); a difference is taken between runs at the same place in the two groups, which share
their seed, and then averaged, so what a seed does to both falls out. Scores of classification and segmentation are percent already.

Reads each run's metrics.csv and nothing else; needs only Python's standard library.
"""
import argparse
import csv
import sys

from run_folders import Trouble, groups_of, plus_minus, print_table, read_run, value


def networks_of(rows, column):
    """Names that have the column, in the file's order."""
    return [name[:-len(".loss")] for name in rows[0] if name.endswith(".loss") and name[:-len(".loss")] + "." + column in rows[0]]


def read_groups(words, column):
    groups = [(title, [read_run(folder) for folder in folders]) for title, folders in groups_of(words)]
    networks = networks_of(groups[0][1][0], column)
    if not networks:
        raise Trouble("the first run has no column NAME.%s; its columns are %s" % (column, ", ".join(groups[0][1][0][0])))
    for title, runs in groups:
        if len(runs) != len(groups[0][1]):
            raise Trouble("%s has %d runs, %s has %d; give every group the same seeds in the same order" % (title, len(runs), groups[0][0], len(groups[0][1])))
        epochs = {len(rows) for rows in runs}
        if len(epochs) > 1:
            raise Trouble("%s: runs of %s epochs; finish them first" % (title, " and ".join(str(e) for e in sorted(epochs))))
    return groups, networks


def table(groups, networks, column, scale, digits):
    base = groups[0][0]
    head = ["recipe", "n"]
    for name in networks:
        head += ["%s %s" % (name, column), "minus %s" % base]
    rows = []
    for title, runs in groups:
        cells = [title, str(len(runs))]
        for name in networks:
            own = [scale * value(rows_[-1], name + "." + column) for rows_ in runs]
            first = [scale * value(rows_[-1], name + "." + column) for rows_ in groups[0][1]]
            cells += [plus_minus(own, digits), "" if title == base else plus_minus([a - b for a, b in zip(own, first)], digits, sign=True)]
        rows.append(cells)
    return head, rows


def write_csv(path, groups, networks, column):
    with open(path, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["recipe", "run", "network", "epoch", column])
        for title, runs in groups:
            for i, rows in enumerate(runs, 1):
                for name in networks:
                    w.writerows([title, i, name, row["epoch"], row[name + "." + column]] for row in rows if row.get(name + "." + column))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", metavar="NAME=RUN,RUN,...")
    p.add_argument("--column", default="top1", help="top1, miou, mse, ...: as metrics.csv calls it, without the network")
    p.add_argument("--scale", type=float, default=1, help="what values are multiplied with before they are printed")
    p.add_argument("--digits", type=int, default=2)
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--csv", metavar="FILE", help="also write every epoch of every run")
    a = p.parse_args()
    try:
        groups, networks = read_groups(a.runs, a.column)
    except Trouble as e:
        sys.exit("seeds.py: %s" % e)
    print_table(*table(groups, networks, a.column, a.scale, a.digits), a.markdown)
    if a.csv:
        write_csv(a.csv, groups, networks, a.column)


if __name__ == "__main__":
    main()
