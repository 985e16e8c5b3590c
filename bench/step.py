#!/usr/bin/env python3
"""`make bench`: a joint training step of duet beside the same step in PyTorch, in alternation, as one table.

    bench/step.py [--rounds 3] [--threads 2] [--seconds 10] [--pairs A,B ...] [--torch PYTHON ...] [--json FILE]

Each round runs every contender once, so that a slow minute of the machine meets all of them; the table shows the median of
the rounds' medians and their range. PyTorch runs in every setting that is ever its best on CPUs: channels_last and nchw,
with glibc's malloc told to keep its memory (by default each step would fault its activations in again). --torch names
interpreters with other versions of PyTorch. Figures mean something on an idle machine only: a second program on one of the
cores makes either side several times slower, and the load is printed for that reason.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS = ["resnet56,resnet20", "resnet32x4,resnet8x4"]
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
               "MALLOC_TOP_PAD_": str(64 << 20)}


def run(command, environment=None):
    """The JSON object that a contender prints, or None with its complaint on standard error."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        print(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None


def version_of(python):
    done = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def contenders(a):
    """[(name, with ADM, function of a pair)]"""
    common = ["--batch", str(a.batch), "--threads", str(a.threads), "--max-seconds", str(a.seconds)]

    def duet(adm):
        return lambda pair: run([a.duet, "bench", "step", "--networks", pair, "--method", "dml",
                                 *(["--adm"] if adm else []), *common, "--json"])

    def torch(python, layout, adm):
        script = str(ROOT / "bench" / "torch_step.py")
        return lambda pair: run([python, script, "--networks", pair, "--layout", layout, *(["--adm"] if adm else []),
                                 *common], KEEP_MEMORY)

    out = [("duet", False, duet(False)), ("duet", True, duet(True))]
    for python in a.torch:
        version = version_of(python)
        if version is None:
            print(f"{python}: has no torch; left out", file=sys.stderr)
            continue
        for layout in ("channels_last", "nchw"):
            out += [(f"torch {version} {layout}", adm, torch(python, layout, adm)) for adm in (False, True)]
    return out


def measure(a, pair, entrants, log):
    times, memory = {}, {}
    for _ in range(a.rounds):
        for name, adm, contender in entrants:
            result = contender(pair)
            if result is None:
                continue
            times.setdefault((name, adm), []).append(result["ms_per_step"])
            memory[name, adm] = max(memory.get((name, adm), 0), result["peak_rss_mib"])
            log.append({"pair": pair, "contender": name, "adm": adm, **result})
    return times, memory


def print_pair(a, pair, times, memory):
    print(f"\n{pair}: ms per step, batch {a.batch}, {a.threads} threads, float32, median of {a.rounds} rounds [range]")
    print(f"{'':28}{'dml':>24}{'images/s':>10}{'MiB':>7}{'dml + adm':>24}{'adm costs':>11}{'duet is':>10}")
    median = {key: statistics.median(values) for key, values in times.items()}
    for name in dict.fromkeys(name for name, _ in times):
        cells = {}
        for adm in (False, True):
            values = times.get((name, adm))
            cells[adm] = f"{median[name, adm]:9.1f} [{min(values):.1f}-{max(values):.1f}]" if values else "failed"
        both = (name, False) in median and (name, True) in median
        cost = f"{100 * (median[name, True] / median[name, False] - 1):+.1f} %" if both else ""
        comparable = name != "duet" and (name, False) in median and ("duet", False) in median
        ratio = f"{median[name, False] / median['duet', False]:.2f} x" if comparable else ""
        speed = f"{1e3 * a.batch / median[name, False]:.1f}" if (name, False) in median else ""
        print(f"{name:28}{cells[False]:>24}{speed:>10}{memory.get((name, False), 0):7.0f}{cells[True]:>24}{cost:>11}"
              f"{ratio:>10}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duet", default=str(ROOT / "build" / "release" / "duet"))
    p.add_argument("--torch", nargs="*", default=["/usr/bin/python3"], metavar="PYTHON")
    p.add_argument("--pairs", nargs="*", default=PAIRS, metavar="A,B")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=10, help="of measuring, a contender and round")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--json", metavar="FILE", help="also write every single result, a line each")
    a = p.parse_args()
    entrants, log = contenders(a), []
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "unknown CPU")
    load = os.getloadavg()[0]
    print(f"{model}, load before {load:.2f}" + (": the machine is busy, so these figures compare little" if load > 0.5 else ""))
    for pair in a.pairs:
        print_pair(a, pair, *measure(a, pair, entrants, log))
    print('\n"duet is": how many times faster than that line, without adm. Load after: %.2f' % os.getloadavg()[0])
    if a.json:
        Path(a.json).write_text("".join(json.dumps(row) + "\n" for row in log))


if __name__ == "__main__":
    main()
