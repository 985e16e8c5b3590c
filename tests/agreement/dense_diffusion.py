"""Diffusion in numpy, float64: schedules, one step of each sampler, the moving forward in time that training sees, the
validation loss. Noise is handed in; where it comes from in duet is philox.py's business."""
import math

import numpy as np


def betas(kind, T):
    i = np.arange(T, dtype=np.float64)
    if kind == "linear":
        return 1000 / T * (1e-4 + (0.02 - 1e-4) * i / (T - 1))
    assert kind == "cosine"

    def f(u):
        return np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2

    return np.minimum(1 - f((i + 1) / T) / f(i / T), 0.999)


def signal(kind, T):
    """alpha-bar: the share of the picture in the variance of x_t."""
    return np.cumprod(1 - betas(kind, T))


def noised(x0, t, eps, ab):
    """x_t [n, ...] of pictures x0 in [-1, 1] at times t [n]."""
    a = ab[np.asarray(t)].reshape(-1, *[1] * (x0.ndim - 1))
    return np.sqrt(a) * x0 + np.sqrt(1 - a) * eps


def validation_times(n, T):
    return [k * T // n for k in range(n)]


def validation_loss(squared, T, bins=10):
    """(loss, loss in each bin of t) from the mean squared error of each of the n samples."""
    n = len(squared)
    place = np.array([t * bins // T for t in validation_times(n, T)])
    each = [float(np.mean(squared[place == b])) if (place == b).any() else math.nan for b in range(bins)]
    return float(np.mean(squared)), each


def times(T, n):
    """The n times a sampler visits, rising."""
    return [round(i * (T - 1) / (n - 1)) for i in range(n)] if n > 1 else [0]


def estimate(x, e, a):
    """x0 as e has it, clamped."""
    return np.clip((x - math.sqrt(1 - a) * e) / math.sqrt(a), -1, 1)


def ancestral(x, e, a, later, noise, variance):
    """From alpha-bar a to the larger `later` (1: the end, where no noise is added)."""
    al = a / later
    b = 1 - al
    mean = math.sqrt(later) * b / (1 - a) * estimate(x, e, a) + math.sqrt(al) * (1 - later) / (1 - a) * x
    spread = {"large": b, "small": b * (1 - later) / (1 - a)}[variance]
    return mean if later == 1 else mean + math.sqrt(spread) * noise


def ddim(x, e, a, later, noise, eta):
    x0 = estimate(x, e, a)
    e = (x - math.sqrt(a) * x0) / math.sqrt(1 - a)
    sigma = eta * math.sqrt((1 - later) / (1 - a)) * math.sqrt(1 - a / later)
    still = math.sqrt(later) * x0 + math.sqrt(max(0, 1 - later - sigma**2)) * e
    return still + sigma * noise if sigma else still


def sample(predict, x, ab, n, noise, variance="large", eta=None):
    """From x_T down: predict(x, t) -> e; noise(step) for step = 0, 1, ... from x_T on. eta None: ancestral."""
    visits = times(len(ab), n)
    for step, i in enumerate(reversed(range(n))):
        a, later = float(ab[visits[i]]), float(ab[visits[i - 1]]) if i else 1.0
        e, z = predict(x, visits[i]), noise(step)
        x = ancestral(x, e, a, later, z, variance) if eta is None else ddim(x, e, a, later, z, eta)
    return np.clip(x, -1, 1)


def to_bytes(x):
    """[-1, 1] -> 0..255, halves up."""
    return np.clip(np.floor(127.5 * np.asarray(x, dtype=np.float64) + 127.5 + 0.5), 0, 255).astype(np.uint8)
