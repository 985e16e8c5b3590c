"""Every network's loss in a joint step of dml, with or without ADM's defaults, in PyTorch as one would write it to be fast.

The agreement tests' oracle says the same in float64 and formula by formula; tests/agreement/test_rival.py holds this to it.
A target is detached, so the sum of the losses gives each network the gradient of its own.
"""
from torch import no_grad
from torch.nn import functional as F

import models

IGNORE = 255     # a pixel without a label
AUX_WEIGHT = 0.4
PATCH = 4        # of the blocks in which two predictions of noise are compared
TINY = 1e-6


def add_exchange(losses, disagreement):
    """dml: each also imitates the mean of the others."""
    count = len(losses)
    return [loss + sum(disagreement(j, i) for j in range(count) if j != i) / max(1, count - 1)
            for i, loss in enumerate(losses)]


def kl(target, own):
    """KL(target || own) at every place, from log probabilities; the target learns nothing."""
    return F.kl_div(own, target.detach(), reduction="none", log_target=True).sum(dim=1)


def shares(alike, valid=None):
    """ADM's weights of agreement and of disagreement: mean 1 over an image's places, which count by valid."""
    def share(s, otherwise):
        if valid is None:
            mean = s.mean(dim=(1, 2), keepdim=True)
        else:
            mean = (s * valid).sum(dim=(1, 2), keepdim=True) / valid.sum(dim=(1, 2), keepdim=True).clamp_min(TINY)
        return (s / mean.clamp_min(TINY)).masked_fill(mean < TINY, otherwise)

    return share(alike, 1.0), share(1 - alike, 0.0)


def evidence(weight, features):
    """What each place says for each class, but for what it says for all; the last layer gets no gradient from here."""
    weight = weight.detach().flatten(1)
    return F.conv2d(features, (weight - weight.mean(dim=0))[:, :, None, None])


def on_one_grid(features):
    """The maps of all networks at the places of the coarsest; what is said of a place there covers a block of a finer map."""
    rows, columns = min(f.shape[2] for f in features), min(f.shape[3] for f in features)
    return [f if f.shape[2:] == (rows, columns) else F.adaptive_avg_pool2d(f, (rows, columns)) for f in features]


def agreement(last, features):
    """Of every student with the teacher, network 0: their cosine at every place; only the student learns from it."""
    with no_grad():
        teacher = evidence(last[0].weight, features[0])
    for layer, own in zip(last[1:], features[1:]):
        yield F.cosine_similarity(evidence(layer.weight, own), teacher, dim=1)


# ---- the tasks: (networks, batch, with ADM?) -> [loss of each network]; network 0 is the teacher ----------------------


def classify(nets, batch, adm):
    x, y = batch
    logits, taps = zip(*(net(x) for net in nets))
    log_p = [F.log_softmax(z, dim=1) for z in logits]
    losses = add_exchange([F.nll_loss(p, y) for p in log_p], lambda j, i: kl(log_p[j], log_p[i]).mean())
    if adm:
        heads, features = [models.head(net) for net in nets], on_one_grid([t["features"] for t in taps])
        for s, cosine in enumerate(agreement(heads, features), 1):
            same, other = shares(cosine.detach().clamp(0, 1))
            losses[s] = losses[s] + (same * (1 - cosine)).mean()
            pooled = (other[:, None] * features[0]).mean(dim=(2, 3))
            losses[0] = losses[0] + F.cross_entropy(heads[0](pooled), y) / (len(nets) - 1)
    return losses


def segment(nets, batch, adm):
    x, y = batch
    maps = [net(x) for net in nets]
    known = (y != IGNORE).to(x.dtype)
    share_known = F.adaptive_avg_pool2d(known[:, None], maps[0].output.shape[2:])[:, 0]
    log_p = [F.log_softmax(m.output, dim=1) for m in maps]

    def to_pixels(x, net):
        return F.interpolate(x, size=tuple(y.shape[1:]), mode="bilinear", align_corners=net.align)

    def of_pixels(net, z):
        return F.cross_entropy(to_pixels(z, net), y, ignore_index=IGNORE, reduction="none")

    pixels = [of_pixels(net, m.output) for net, m in zip(nets, maps)]
    weights = [None] * len(nets)  # None: every pixel counts once
    extra = [0.0] * len(nets)
    if adm:
        weights[0] = 1.0
        for s, cosine in enumerate(agreement([net.last() for net in nets], [m.features for m in maps]), 1):
            alike = cosine.detach().clamp(0, 1)
            extra[s] = (share_known * shares(alike, share_known)[0] * (1 - cosine)).sum() / share_known.sum()
            other = shares(to_pixels(alike[:, None], nets[0])[:, 0], known)[1]
            weights[0] = weights[0] + other / (len(nets) - 1)
    count = known.sum()
    losses = [(p if w is None else p * w).sum() / count + e for p, w, e in zip(pixels, weights, extra)]
    losses = [loss if m.aux is None else loss + AUX_WEIGHT * of_pixels(net, m.aux).sum() / count
              for loss, net, m in zip(losses, nets, maps)]
    return add_exchange(losses, lambda j, i: (share_known * kl(log_p[j], log_p[i])).sum() / share_known.sum())


def denoise(nets, batch, adm):
    x, t, eps = batch
    noise = [net(x, t).output for net in nets]
    if not adm:
        losses = [F.mse_loss(e, eps) for e in noise]
    else:
        weights = [1.0] * len(nets)
        with no_grad():
            energy = [F.avg_pool2d(e.square().sum(dim=1), PATCH) for e in noise]
            for s in range(1, len(nets)):
                product = F.avg_pool2d((noise[0] * noise[s]).sum(dim=1), PATCH)
                cosine = product / (energy[0] * energy[s]).sqrt().clamp_min(1e-8 / PATCH**2)  # of means, not sums
                full = F.interpolate(cosine.clamp(0, 1)[:, None], scale_factor=PATCH, mode="nearest")[:, 0]
                same, other = shares(full)
                weights[s] = weights[s] + same
                weights[0] = weights[0] + other / (len(nets) - 1)
        losses = [((e - eps).square().mean(dim=1) * w).mean() for e, w in zip(noise, weights)]
    return add_exchange(losses, lambda j, i: F.mse_loss(noise[i], noise[j].detach()))
