#!/usr/bin/env python3
"""One joint training step in PyTorch on the CPU: what `duet bench step` is compared with.

    bench/torch_step.py --networks resnet56,resnet20 [--adm] [--layout channels_last|nchw] --threads 2
    bench/torch_step.py --task segment --networks seg20,seg8 --batch 16
    bench/torch_step.py --task denoise --networks unet_c32,unet_c16 --batch 32

The same work as duet's: forward of every network, the task's loss and what the networks learn from each other (dml), with
--adm also ADM with its defaults, backward, and the update of the task's recipes: SGD with momentum and weight decay;
segment: Adam; denoise: Adam, gradients clipped network by network, a moving average of the weights. The batch is resident.
Prints one JSON object with the keys of `duet bench step --json`. The malloc settings that make PyTorch fastest come from the
environment: see step.py. Needs torch 1.13 or newer; the models are those of the agreement tests.
"""
import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "agreement"))
import dense_models  # noqa: E402
import models  # noqa: E402
import torch_losses as losses  # noqa: E402

CLIP, EMA = 1.0, 0.995


class Update:
    """What follows the gradients. foreach and fused optimisers where this PyTorch has them."""

    def __init__(self, task, nets):
        self.groups = [list(net.parameters()) for net in nets]
        self.parameters = [p for group in self.groups for p in group]
        if task == "classify":
            self.optimiser = quickest(torch.optim.SGD, self.parameters, lr=0.05, momentum=0.9, weight_decay=5e-4)
        else:
            self.optimiser = quickest(torch.optim.Adam, self.parameters, lr=0.001 if task == "denoise" else 0.003)
        self.clips = task == "denoise"
        self.average = [p.detach().clone() for p in self.parameters] if task == "denoise" else None
        self.updates = 0

    def clear(self):
        self.optimiser.zero_grad(set_to_none=True)

    def step(self):
        for group in self.groups if self.clips else ():
            torch.nn.utils.clip_grad_norm_(group, CLIP)
        self.optimiser.step()
        if self.average:
            with torch.no_grad():
                keep = min(EMA, (1 + self.updates) / (10 + self.updates))
                torch._foreach_mul_(self.average, keep)
                torch._foreach_add_(self.average, self.parameters, alpha=1 - keep)
        self.updates += 1


def quickest(kind, parameters, **settings):
    for faster in ({"fused": True}, {"foreach": True}, {}):
        try:
            return kind(parameters, **settings, **faster)
        except (TypeError, RuntimeError, ValueError):
            continue


def build(a):
    """[networks], channels_last or not. A family that models.py or dense_models.py learns can be measured here."""
    make = models.build if a.task == "classify" else dense_models.build
    return [make(name, a.classes).to(memory_format=layout(a)).train() for name in a.networks.split(",")]


def layout(a):
    return torch.channels_last if a.layout == "channels_last" else torch.contiguous_format


def noise(a):
    """Pictures, or their noise."""
    return torch.randn(a.batch, 3, a.image, a.image).to(memory_format=layout(a))


def batch_of(a):
    """What the task's loss wants: pictures of noise, and random labels or noise to be found."""
    if a.task == "classify":
        return noise(a), torch.randint(0, a.classes, (a.batch,))
    if a.task == "segment":
        return noise(a), torch.randint(0, a.classes, (a.batch, a.image, a.image))
    return noise(a), torch.randint(0, 1000, (a.batch,)), noise(a)


def version():
    """Of PyTorch, and of what multiplies matrices for it."""
    torch.ones(2, 2) @ torch.ones(2, 2)
    with open("/proc/self/maps") as f:
        mapped = f.read()
    found = [name for name in ("openblas", "blis", "libblas") if name in mapped]
    return f"{torch.__version__} {'mkl' if torch.backends.mkl.is_available() else found[0] if found else 'own blas'}"


def measure(a):
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    bare = peak_rss_mib()
    nets, batch, loss_of = build(a), batch_of(a), getattr(losses, a.task)
    update, first = Update(a.task, nets), []

    def step():
        update.clear()
        loss = sum(loss_of(nets, batch, a.adm))
        loss.backward()
        update.step()
        first.append(loss.detach())

    for _ in range(a.warmup):
        step()
    times, begin = [], time.perf_counter()
    while len(times) < a.steps and (len(times) < 5 or time.perf_counter() - begin < a.max_seconds):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    median = statistics.median(times)
    return {"ms_per_step": median, "ms_min": min(times), "images_per_s": 1e3 * a.batch / median,
            "first_loss": float(first[0]), "peak_rss_mib": peak_rss_mib(), "bare_rss_mib": bare, "steps": len(times),
            "threads": a.threads, "batch": a.batch, "layout": a.layout, "torch": version()}


def peak_rss_mib():
    """Of the process so far, as duet's: what getrusage says."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--version", action="version", version=version())
    p.add_argument("--task", choices=("classify", "segment", "denoise"), default="classify")
    p.add_argument("--networks", default="resnet56,resnet20", help="the first is ADM's teacher")
    p.add_argument("--adm", action="store_true")
    p.add_argument("--layout", choices=("channels_last", "nchw"), default="channels_last")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--image", type=int, help="side of the pictures (32; segment: 64)")
    p.add_argument("--classes", type=int, help="(100; segment: 11)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--max-seconds", type=float, default=30)
    a = p.parse_args()
    a.image = a.image or (64 if a.task == "segment" else 32)
    a.classes = a.classes or (11 if a.task == "segment" else 100)
    print(json.dumps(measure(a)))


if __name__ == "__main__":
    main()
