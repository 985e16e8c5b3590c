#!/usr/bin/env python3
"""One joint training step in PyTorch on the CPU: what `duet bench step` is compared with.

    bench/torch_step.py --networks resnet56,resnet20 [--adm] [--layout channels_last|nchw] --threads 2

The same work as duet's: forward of every network, CE + KL to the others (dml), with --adm also ADM with its defaults
(align, modulate, class view), backward, SGD with momentum and weight decay; the batch is resident. Prints one JSON object
with the keys of `duet bench step --json`. The malloc settings that make PyTorch fastest come from the environment: see
step.py. Needs torch 1.13 or newer; the models are those of the agreement tests.
"""
import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "agreement"))
import models  # noqa: E402


def evidence(net, features):
    """What each place says for each class; the classifier gets no gradient from here."""
    w = net.fc.weight.detach()
    w = w - w.mean(dim=0)
    return F.conv2d(features, w[:, :, None, None])


def adm(teacher, student, f_t, f_s, y):
    u_t, u_s = evidence(teacher, f_t), evidence(student, f_s)
    with torch.no_grad():
        s = F.cosine_similarity(u_t, u_s, dim=1).clamp(0, 1)
        c = s / s.mean(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        d = (1 - s) / (1 - s).mean(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    consensus = (c * (1 - F.cosine_similarity(u_s, u_t.detach(), dim=1))).mean()
    divergence = F.cross_entropy(teacher.fc((d[:, None] * f_t).mean(dim=(2, 3))), y)
    return consensus + divergence


def joint_loss(nets, x, y, with_adm):
    """The sum of every network's loss; targets are detached, so each network gets the gradient of its own."""
    results = [net(x) for net in nets]
    log_p = [F.log_softmax(logits, dim=1) for logits, _ in results]
    total = sum(F.nll_loss(lp, y) for lp in log_p)
    for i, own in enumerate(log_p):
        others = [lp.detach() for j, lp in enumerate(log_p) if j != i]
        for target in others:
            total = total + F.kl_div(own, target, reduction="batchmean", log_target=True) / len(others)
    if with_adm:
        for student, (_, taps) in zip(nets[1:], results[1:]):
            total = total + adm(nets[0], student, results[0][1]["features"], taps["features"], y)
    return total


def optimiser_for(nets):
    parameters = [p for net in nets for p in net.parameters()]
    for faster in ({"fused": True}, {"foreach": True}, {}):  # whatever this version has
        try:
            return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4, **faster)
        except (TypeError, RuntimeError, ValueError):
            continue


def measure(a):
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    layout = torch.channels_last if a.layout == "channels_last" else torch.contiguous_format
    nets = [models.build(name).to(memory_format=layout).train() for name in a.networks.split(",")]
    optimiser = optimiser_for(nets)
    x = torch.randn(a.batch, 3, 32, 32).to(memory_format=layout)
    y = torch.randint(0, 100, (a.batch,))

    def step():
        optimiser.zero_grad(set_to_none=True)
        joint_loss(nets, x, y, a.adm).backward()
        optimiser.step()

    for _ in range(a.warmup):
        step()
    times, begin = [], time.perf_counter()
    while len(times) < a.steps and (len(times) < 5 or time.perf_counter() - begin < a.max_seconds):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    median = statistics.median(times)
    return {"ms_per_step": median, "ms_min": min(times), "images_per_s": 1e3 * a.batch / median,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "steps": len(times),
            "threads": a.threads, "batch": a.batch, "layout": a.layout, "torch": torch.__version__}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--networks", default="resnet56,resnet20")
    p.add_argument("--adm", action="store_true")
    p.add_argument("--layout", choices=("channels_last", "nchw"), default="channels_last")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--max-seconds", type=float, default=30)
    print(json.dumps(measure(p.parse_args())))


if __name__ == "__main__":
    main()
