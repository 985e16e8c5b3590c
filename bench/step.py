#!/usr/bin/env python3
"""`make bench`: a joint training step of duet beside the same step in PyTorch, in alternation, as one table for each pair.

    bench/step.py [--rounds 3] [--threads 2] [--seconds 10] [--pairs A,B[:BATCH] ...] [--torch PYTHON ...] [--json FILE]
    bench/step.py --pairs resnet56,resnet20 seg20,seg8:16 unet_c32,unet_c16:32 --torch python3 other/bin/python3

Networks say their task, and with it the update (the optimiser of the task's recipes), the size of pictures and the classes.
Each round runs every contender once, so that a slow minute of the machine meets all of them; the table shows the median of
the rounds' medians and their range. PyTorch runs in every setting that is ever its best on CPUs: channels_last and nchw,
with glibc's malloc told to keep its memory (by default each step would fault its activations in again). --torch names
interpreters with other versions of PyTorch; one that multiplies matrices with the reference BLAS, as Debian's does where no
better one is installed, is far slower at attention than it need be, and so each names its BLAS. MiB is the peak of the
process, as getrusage has it for both; "at rest" is what of it PyTorch and its libraries take before there is any network.
Figures mean something on an idle machine only: a second program on one of the cores makes either side several times slower,
and the load is printed for that reason.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH_STEP = str(ROOT / "bench" / "torch_step.py")
PAIRS = ["resnet56,resnet20", "resnet32x4,resnet8x4", "seg20,seg8", "unet_c32,unet_c16"]
BATCHES = {"classify": 64, "segment": 16, "denoise": 32}
UPDATES = {  # as torch_step.py's Update has it
    "classify": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005},
    "segment": {"optimizer": "adam", "lr": 0.003},
    "denoise": {"optimizer": "adam", "lr": 0.001, "clip_norm": 1, "ema": 0.995},
}
ADM = {"classify": "align-modulate", "segment": "align-modulate", "denoise": "modulate-modulate"}  # the tasks' defaults
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
               "MALLOC_TOP_PAD_": str(64 << 20)}

Pair = namedtuple("Pair", "networks task batch image classes")


def run(command, environment=None):
    """The JSON that a contender prints, or None with its complaint on standard error."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        print(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None


def known_models(duet):
    """{name: what duet says of it}"""
    done = subprocess.run([duet, "models", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return {m["name"]: m for m in json.loads(done.stdout)}


def pair_of(text, known):
    """"A,B[:BATCH]"; the first network says what the step is about."""
    networks, _, batch = text.partition(":")
    unknown = [name for name in networks.split(",") if name not in known]
    if unknown or not (batch.isdigit() or not batch):
        sys.exit(f"--pairs: found '{text}'; wanted: A,B or A,B:BATCH, of the networks that `duet models` lists")
    first = known[networks.split(",")[0]]
    return Pair(networks, first["task"], int(batch or BATCHES[first["task"]]), first["image"], first["classes"] or 100)


def version_of(python):
    done = subprocess.run([python, TORCH_STEP, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def contenders(a):
    """[(name, with ADM, function of a pair)]"""
    def common(pair):
        return ["--networks", pair.networks, "--batch", str(pair.batch), "--classes", str(pair.classes),
                "--threads", str(a.threads), "--max-seconds", str(a.seconds)]

    def duet(adm):
        def contender(pair):
            settings = [f"task.name={pair.task}", *(f"train.{key}={value}" for key, value in UPDATES[pair.task].items())]
            return run([a.duet, "bench", "step", "--method", "dml", *common(pair), *([f"--adm={ADM[pair.task]}"] if adm else []),
                        *(word for s in settings for word in ("--set", s)), "--json"])
        return contender

    def torch(python, layout, adm):
        return lambda pair: run([python, TORCH_STEP, "--task", pair.task, "--image", str(pair.image), "--layout", layout,
                                 *common(pair), *(["--adm"] if adm else [])], KEEP_MEMORY)

    out = [("duet", False, duet(False)), ("duet", True, duet(True))]
    names = set()
    for python in a.torch:
        version = version_of(python)
        if version is None:
            print(f"{python}: has no torch; left out", file=sys.stderr)
            continue
        version += f" {len(names) + 1}" if version in names else ""
        names.add(version)
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
            before = memory.get((name, adm), (0, 0))
            memory[name, adm] = max(before[0], result["peak_rss_mib"]), max(before[1], result.get("bare_rss_mib", 0))
            log.append({**result, "pair": pair.networks, "task": pair.task, "contender": name, "adm": adm})
    return times, memory


def print_pair(a, pair, times, memory):
    print(f"\n{pair.networks}: {pair.task}, ms per step, batch {pair.batch}, {pair.image} pixels a side, {a.threads} threads, "
          f"float32, median of {a.rounds} rounds [range]")
    print(f"{'':40}{'dml':>24}{'images/s':>10}{'MiB':>7}{'at rest':>9}{'dml + adm':>24}{'adm costs':>11}{'duet is':>10}")
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
        speed = f"{1e3 * pair.batch / median[name, False]:.1f}" if (name, False) in median else ""
        peak, rest = memory.get((name, False), (0, 0))
        print(f"{name:40}{cells[False]:>24}{speed:>10}{peak:7.0f}{f'{rest:.0f}' if rest else '':>9}{cells[True]:>24}"
              f"{cost:>11}{ratio:>10}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duet", default=str(ROOT / "build" / "release" / "duet"))
    p.add_argument("--torch", nargs="*", default=["/usr/bin/python3"], metavar="PYTHON")
    p.add_argument("--pairs", nargs="*", default=PAIRS, metavar="A,B[:BATCH]")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=10, help="of measuring, a contender and round")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", metavar="FILE", help="also write every single result, a line each")
    a = p.parse_args()
    known = known_models(a.duet)
    pairs = [pair_of(text, known) for text in a.pairs]
    entrants, log = contenders(a), []
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "unknown CPU")
    load = os.getloadavg()[0]
    print(f"{model}, load before {load:.2f}" + (": the machine is busy, so these figures compare little" if load > 0.5 else ""))
    for pair in pairs:
        print_pair(a, pair, *measure(a, pair, entrants, log))
    print('\n"duet is": how many times faster than that line, without adm. Load after: %.2f' % os.getloadavg()[0])
    if a.json:
        Path(a.json).write_text("".join(json.dumps(row) + "\n" for row in log))


if __name__ == "__main__":
    main()
