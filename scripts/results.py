#!/usr/bin/env python3
"""Tables and curves from run folders, for docs/results.md.

    scripts/results.py runs/vanilla runs/dml runs/dml-adm                     # a Markdown table on stdout
    scripts/results.py --svg curves.svg runs/vanilla runs/dml runs/dml-adm    # and a picture
    scripts/results.py --column top1 --network student --csv curves.csv RUN...

Reads each run's metrics.csv (a row per epoch) and nothing else; needs only Python's standard library. "last" is the last
evaluated epoch, "best" the highest value of the column over the evaluated epochs (of the test set unless the run held
validation images out; the run's own log says which).
"""
import argparse
import csv
import os
import sys

from run_folders import Trouble, read_run

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#9c6b4e", "#97bbf5", "#a463f2")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 330, 54, 14, 34, 42


def networks_of(rows, column):
    """Those with a loss of their own: NAME.validation.top1 and train.NAME.ce are about networks, but name none."""
    networks = [name[:-len(".loss")] for name in rows[0] if name.endswith(".loss")]
    return [n for n in networks if "%s.%s" % (n, column) in rows[0]]


def series(rows, network, column):
    points = [(int(r["epoch"]), r.get("%s.%s" % (network, column), "")) for r in rows]
    return [(epoch, float(v)) for epoch, v in points if v not in ("", None)]


def number(v, digits=2):
    return "%.*f" % (digits, v)


def table(runs, column):
    """One row per run and network: last and best of the column, calibration and cross-entropy at the last epoch."""
    out = ["| run | network | epochs | %s last | %s best (epoch) | CE last | ECE last | images/s |" % (column, column), "|---|---|--:|--:|--:|--:|--:|--:|"]
    for name, rows in runs:
        for network in networks_of(rows, column):
            s = series(rows, network, column)
            if not s:
                continue
            best = max(s, key=lambda p: p[1])
            ce, ece = series(rows, network, "ce"), series(rows, network, "ece")
            rates = sorted(float(r["images_per_s"]) for r in rows if r.get("images_per_s"))
            out.append("| %s | %s | %d | %s | %s (%d) | %s | %s | %s |" % (
                name, network, s[-1][0], number(s[-1][1]), number(best[1]), best[0], number(ce[-1][1], 3) if ce else "",
                number(ece[-1][1], 3) if ece else "", number(rates[len(rates) // 2], 0) if rates else ""))
    return "\n".join(out)


def nice_ticks(low, high, n=5):
    span = max(high - low, 1e-9)
    step = 10 ** len(str(int(span))) / 100
    for s in (0.5, 1, 2, 5, 10, 20, 50, 100):
        if span / s <= n:
            step = s
            break
    first = int(low / step) * step
    return [first + i * step for i in range(n + 3) if low <= first + i * step <= high]


def panel(runs, network, column, x0):
    curves = [(name, series(rows, network, column)) for name, rows in runs]
    curves = [(n, s) for n, s in curves if s]
    if not curves:
        return ""
    values = [v for _, s in curves for _, v in s]
    last_epoch = max(e for _, s in curves for e, _ in s)
    low, high = min(values), max(values)
    pad = 0.05 * max(high - low, 1)
    low, high = low - pad, high + pad

    def at(epoch, value):
        x = x0 + LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(1, last_epoch - 1)
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)
        return "%.1f" % x, "%.1f" % y

    out = ['<text x="%d" y="20" font-size="14" font-weight="600">%s: %s</text>' % (x0 + LEFT, network, column)]
    for t in nice_ticks(low, high):
        _, y = at(1, t)
        out.append('<line x1="%d" x2="%d" y1="%s" y2="%s" stroke="#ddd"/><text x="%d" y="%s" dy="4" text-anchor="end">%g</text>' % (
            x0 + LEFT, x0 + WIDTH - RIGHT, y, y, x0 + LEFT - 6, y, t))
    for e in sorted({1, last_epoch} | {e for e in range(5, last_epoch, max(5, last_epoch // 6 // 5 * 5))}):
        x, _ = at(e, low)
        out.append('<text x="%s" y="%d" text-anchor="middle">%d</text>' % (x, HEIGHT - BOTTOM + 16, e))
    out.append('<text x="%d" y="%d" text-anchor="middle">epoch</text>' % (x0 + (WIDTH + LEFT) // 2, HEIGHT - 10))
    for i, (_, s) in enumerate(curves):
        points = " ".join(",".join(at(e, v)) for e, v in s)
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"/>' % (points, COLOURS[i % len(COLOURS)]))
    return "\n".join(out)


def svg(runs, networks, column):
    width = WIDTH * len(networks)
    height = HEIGHT + 22 * ((len(runs) + 2) // 3) + 8
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="11" fill="#222">' % (
        width, height, width, height), '<rect width="100%" height="100%" fill="#fff"/>']
    for i, network in enumerate(networks):
        out.append(panel(runs, network, column, i * WIDTH))
    for i, (name, _) in enumerate(runs):
        x, y = LEFT + (i % 3) * (width - LEFT) // 3, HEIGHT + 14 + 22 * (i // 3)
        out.append('<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="3"/><text x="%d" y="%d" dy="4">%s</text>' % (
            x, x + 22, y, y, COLOURS[i % len(COLOURS)], x + 28, y, name))
    out.append("</svg>\n")
    return "\n".join(out)


def write_csv(path, runs, networks, column):
    with open(path, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["run", "network", "epoch", column])
        for name, rows in runs:
            for network in networks:
                w.writerows([name, network, e, v] for e, v in series(rows, network, column))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", help="run folders; NAME=FOLDER gives a name of your own")
    p.add_argument("--column", default="top1", help="top1, top5, ce, ece or loss")
    p.add_argument("--network", action="append", help="only this network; may be repeated")
    p.add_argument("--svg", metavar="FILE")
    p.add_argument("--csv", metavar="FILE")
    a = p.parse_args()
    runs = []
    for r in a.runs:
        name, _, folder = r.rpartition("=")
        try:
            runs.append((name or os.path.basename(os.path.normpath(folder)), read_run(folder)))
        except Trouble as e:
            sys.exit("results.py: %s" % e)
    networks = a.network or list(dict.fromkeys(n for _, rows in runs for n in networks_of(rows, a.column)))
    print(table(runs, a.column))
    if a.svg:
        with open(a.svg, "w") as f:
            f.write(svg(runs, networks, a.column))
    if a.csv:
        write_csv(a.csv, runs, networks, a.column)


if __name__ == "__main__":
    main()
