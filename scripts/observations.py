#!/usr/bin/env python3
"""The two observations behind ADM, in numbers, from run folders whose data has foreground masks.

    scripts/observations.py runs/shapes-1 runs/shapes-2 runs/shapes-3               # seeds of one recipe: mean and deviation
    scripts/observations.py --markdown dml+adm=runs/a-1,runs/a-2 dml=runs/b-1,runs/b-2

    observation 1    where teacher and student agree is the foreground: the share of S, c and d that lies on it, beside its area
    observation 2    teachers emphasise the foreground more: the share of each network's attention (mean over channels of F^2) and of
                     its class activation map that lies on it

Shares are percent, over the pictures of an epoch as they were trained on, at the first and at the last epoch. "+-" is the deviation
over runs (divisor n - 1). A word NAME=RUN,RUN,... is a group of its own with that name; bare folders make one group together.

Reads each run's metrics.csv and nothing else; needs only Python's standard library. The columns are there when the data has masks
(shapes, shapes-seg) and adm is on. To see a base method without adm's losses, train it with `adm: {alpha: 0, beta: 0}`: that is the
base method bit for bit, with the same columns. In segmentation pixels without a class are left out, and the class activation map is
the sum over the classes on the picture's foreground: docs/segmentation.md.
"""
import argparse
import sys

from run_folders import Trouble, groups_of, plus_minus, print_table, read_run, value

PREFIX = "train."
AREA = PREFIX + "adm.foreground"
WEIGHTS = (("S", AREA + "_s"), ("c", AREA + "_c"), ("d", AREA + "_d"))
MAPS = (("attention", ".foreground_attention"), ("class activation", ".foreground_cam"))


def read_masked_run(folder):
    """The rows of a run's metrics.csv, which must know the foreground."""
    rows = read_run(folder)
    if AREA not in rows[0]:
        raise Trouble("%s: no column %s in metrics.csv; it is there when the data has foreground masks and adm is on "
                      "(adm: {alpha: 0, beta: 0} looks without teaching)" % (folder, AREA))
    return rows


def networks_of(rows):
    """Names with an attention column, in the file's order: teachers and students."""
    end = MAPS[0][1]
    return [name[len(PREFIX):-len(end)] for name in rows[0] if name.startswith(PREFIX) and name.endswith(end)]


def over_runs(rows, column):
    """Percent: "61.3", or "61.3 +- 0.4" over several runs; "-" where nothing was measured."""
    return plus_minus([100 * value(row, column) for row in rows], 1)


def moments(runs):
    """(name, row of each run) for the first and for the last epoch."""
    first, last = [rows[0] for rows in runs], [rows[-1] for rows in runs]
    said = [("epoch " + "/".join(sorted({row["epoch"] for row in rows})), rows) for rows in (first, last)]
    return said[:1] if all(len(rows) == 1 for rows in runs) else said


def rows_of(title, runs, networks):
    """Cells of the table for one group of runs."""
    out = []
    for when, rows in moments(runs):
        cells = [title, when, str(len(rows))]
        cells += [over_runs(rows, column) for column in (AREA, *(c for _, c in WEIGHTS))]
        for _, end in MAPS:
            cells += [over_runs(rows, PREFIX + name + end) for name in networks]
        out.append(cells)
    return out


def read_groups(words):
    """(title, runs) of every group, and the networks, which have the same names in all of them."""
    groups = [(title, [read_masked_run(folder) for folder in folders]) for title, folders in groups_of(words)]
    networks = networks_of(groups[0][1][0])
    for title, runs in groups:
        for rows in runs:
            if networks_of(rows) != networks:
                raise Trouble("%s: networks are called %s, in the first run %s; give runs whose networks have the same names" %
                              (title, ", ".join(networks_of(rows)), ", ".join(networks)))
    return groups, networks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, or NAME=RUN,RUN,...")
    parser.add_argument("--markdown", action="store_true", help="a Markdown table")
    options = parser.parse_args()
    try:
        groups, networks = read_groups(options.runs)
    except Trouble as e:
        sys.exit("observations.py: %s" % e)
    table = [cells for title, runs in groups for cells in rows_of(title, runs, networks)]
    head = ["runs", "at", "n", "foreground's area"] + [name + " on it" for name, _ in WEIGHTS]
    head += ["%s of %s" % (what, name) for what, _ in MAPS for name in networks]
    kept = [i for i in range(len(head)) if i < 3 or any(row[i] != "-" for row in table)]  # no column of nothing
    print_table([head[i] for i in kept], [[row[i] for i in kept] for row in table], options.markdown, left=2)


if __name__ == "__main__":
    main()
