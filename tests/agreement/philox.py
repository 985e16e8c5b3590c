"""duet's random numbers, in numpy: Philox4x32-10 (Salmon et al., SC 2011), whose counter is laid out by purpose, epoch and
index, and the ways of making whole numbers and normals of its words. See src/base/random.c."""
import math

import numpy as np

INIT, SHUFFLE, AUGMENT, SHAPES, SPLIT, DROPOUT, TIMESTEP, NOISE, VALIDATION, SAMPLE, MIXUP = range(1, 12)

MASK = np.uint64(0xFFFFFFFF)


def philox(key, counters):
    """key: two words; counters [n, 4] -> uint32 [n, 4]."""
    c = [column.astype(np.uint64) for column in np.asarray(counters).T]
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & MASK, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).astype(np.uint32)


def words(count, seed, purpose, epoch, index):
    """The first words of a stream."""
    blocks = (count + 3) // 4
    counters = np.empty((blocks, 4), dtype=np.uint32)
    counters[:, 0] = (purpose << 25) + np.arange(blocks)
    counters[:, 1:] = epoch, index & 0xFFFFFFFF, index >> 32
    return philox((seed & 0xFFFFFFFF, seed >> 32), counters).reshape(-1)[:count]


def block_words(count, seed, purpose, epoch, salt):
    """Words of many streams, the first block of each: of the indices salt * 2^32 + 0, 1, 2, ..."""
    blocks = (count + 3) // 4
    counters = np.empty((blocks, 4), dtype=np.uint32)
    counters[:, 2] = np.arange(blocks)
    counters[:, [0, 1, 3]] = purpose << 25, epoch, salt
    return philox((seed & 0xFFFFFFFF, seed >> 32), counters).reshape(-1)[:count]


def below(n, *stream):
    """One whole number 0 .. n-1 from the start of a stream."""
    unfair = (1 << 32) % n
    for word in words(64, *stream):
        product = int(word) * n
        if product & 0xFFFFFFFF >= unfair:
            return product >> 32
    raise AssertionError("a stream that is all but impossible")


def uniforms(count, *stream):
    """float32 in [0, 1) with 24 bits."""
    return ((words(count, *stream) >> np.uint32(8)) * 2.0**-24).astype(np.float32)


def normals(count, *stream):
    """float32, two words each."""
    pairs = words(2 * count, *stream).reshape(-1, 2).astype(np.float64)
    u, v = (pairs[:, 0] + 1) * 2.0**-32, pairs[:, 1] * 2.0**-32
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).astype(np.float32)


class Stream:
    """A stream read from its start, a number at a time."""

    def __init__(self, *stream):
        self.words = iter(words(1 << 16, *stream).tolist())

    def below(self, n):
        while True:
            product = next(self.words) * n
            if product & 0xFFFFFFFF >= (1 << 32) % n:
                return product >> 32

    def uniform(self):
        """(0, 1], with 53 bits."""
        high, low = next(self.words) >> 5, next(self.words) >> 6
        return ((high << 26 | low) + 1) * 2.0**-53

    def normal(self):
        u, v = self.uniform(), self.uniform()
        return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)

    def log_gamma(self, alpha):
        """Marsaglia and Tsang 2000; below 1 by way of alpha + 1."""
        smaller = math.log(self.uniform()) / alpha if alpha < 1 else 0.0
        d = (alpha + 1 if alpha < 1 else alpha) - 1 / 3
        while True:
            x, u = self.normal(), self.uniform()
            v = (1 + x / math.sqrt(9 * d))**3
            if v > 0 and math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return math.log(d * v) + smaller

    def beta(self, alpha):
        x, y = self.log_gamma(alpha), self.log_gamma(alpha)
        return 1 / (1 + math.exp(y - x)) if y - x < 700 else 0.0

    def permutation(self, n):
        order = list(range(n))
        for left in range(n, 1, -1):
            at = self.below(left)
            order[left - 1], order[at] = order[at], order[left - 1]
        return order


def mixup(n, alpha, seed, epoch, step):
    """(the share, as float32, and the partners) of a batch of n."""
    stream = Stream(seed, MIXUP, epoch, step)
    return np.float32(stream.beta(alpha)), stream.permutation(n)


def dropout(shape, p, seed, step, network, which):
    """Where a dropout lets numbers stay, a bool array of shape (n, c, ...): element i in memory order (n, h, w, c) takes word
    i % 4 of block i / 4 of the step, the network and the layer; it stays where the word is p 2^32 or more."""
    n, c, *rest = shape
    places = int(np.prod(rest, dtype=int))
    stays = block_words(n * c * places, seed, DROPOUT, step, network << 16 | which) >= int(p * 2.0**32)
    return stays.reshape(n, places, c).transpose(0, 2, 1).reshape(n, c, *rest)
