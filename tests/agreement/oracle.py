"""What training must compute, in PyTorch: every method's losses, ADM, SGD. Written from the methods' formulas, in
one plain function per formula. Networks run in float32, which PyTorch is fast in; the environment variable ORACLE_F64 makes
them float64, twenty times slower, to see whose rounding a difference is. Everything behind the networks is float64.

Conventions: KL is summed over classes and averaged over the batch; a target never carries a gradient; each network is
updated from its own loss alone.
"""
import os

import numpy as np
import torch
from torch.nn import functional as F

import models

REAL = torch.float64 if os.environ.get("ORACLE_F64") else torch.float32
MEAN = torch.tensor([0.5071, 0.4867, 0.4408], dtype=torch.float64)
STD = torch.tensor([0.2675, 0.2565, 0.2761], dtype=torch.float64)


def normalise(pixels):
    """uint8 [n, 3, 32, 32] -> what a network sees."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float64) / 255
    return ((x - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)).to(REAL)


# ---- pieces ------------------------------------------------------------------------------------------------------


def cross_entropy(logits, y):
    return -F.log_softmax(logits, dim=1).gather(1, y[:, None]).mean()


def smoothed_cross_entropy(logits, y, smoothing):
    log_p = F.log_softmax(logits, dim=1)
    own = -log_p.gather(1, y[:, None]).squeeze(1)
    return ((1 - smoothing) * own - smoothing * log_p.mean(dim=1)).mean()


def kl_to(target_logits, logits, temperature):
    """KL(sg softmax(target/T) || softmax(own/T))."""
    return kl_to_probabilities(F.softmax(target_logits.detach() / temperature, dim=1), logits, temperature)


def kl_to_probabilities(q, logits, temperature):
    q = q.detach()
    log_q = torch.where(q > 0, q, torch.ones_like(q)).log()
    return (q * (log_q - F.log_softmax(logits / temperature, dim=1))).sum(dim=1).mean()


def ramp(epoch, warmup_epochs):
    return min(1.0, (epoch + 1) / warmup_epochs) if warmup_epochs else 1.0


# ---- methods: each returns ({network: loss}, outcome) -------------------------------------------------------------
# A network that is missing from the dictionary is not updated in this step.


class Step:
    """What the networks offer in one step."""

    def __init__(self, networks, logits, taps, y, epoch, smoothing=0.0):
        self.networks, self.logits, self.taps, self.y, self.epoch = networks, logits, taps, y, epoch
        self.smoothing = smoothing
        self.held_out = None  # KDCL general: ([logits of each network], labels)

    def ce(self, i):
        if self.smoothing:
            return smoothed_cross_entropy(self.logits[i], self.y, self.smoothing)
        return cross_entropy(self.logits[i], self.y)

    def others(self, i):
        return [j for j in range(len(self.logits)) if j != i]

    def of_role(self, role):
        return [i for i, n in enumerate(self.networks) if n["role"] == role]


def vanilla(step, **_):
    return {i: step.ce(i) for i in range(len(step.logits))}, None


def kd(step, temperature=4.0, alpha=0.9):
    (teacher,) = step.of_role("teacher")
    losses = {}
    for i in step.of_role("student"):
        soft = temperature**2 * kl_to(step.logits[teacher], step.logits[i], temperature)
        losses[i] = (1 - alpha) * step.ce(i) + alpha * soft
    return losses, None


def dml(step, temperature=1.0, weight=1.0, peers="mean", warmup_epochs=0):
    losses = {}
    for i in range(len(step.logits)):
        terms = [kl_to(step.logits[j], step.logits[i], temperature) for j in step.others(i)]
        soft = sum(terms) / (len(terms) if peers == "mean" else 1)
        losses[i] = step.ce(i) + ramp(step.epoch, warmup_epochs) * weight * temperature**2 * soft
    return losses, None


def kdcl(step, target="minlogit", temperature=2.0, weight=1.0, warmup_epochs=0):
    z = [logits.detach() for logits in step.logits]
    if target == "general":
        w = general_weights(*step.held_out)
        q = sum(w[i] * F.softmax(z[i] / temperature, dim=1) for i in range(len(z)))
    else:
        q = F.softmax(KDCL_TARGETS[target](z, step.y) / temperature, dim=1)
    scale = ramp(step.epoch, warmup_epochs) * weight * temperature**2
    return {i: step.ce(i) + scale * kl_to_probabilities(q, step.logits[i], temperature)
            for i in range(len(z))}, None


def naive_target(z, y):
    stacked = torch.stack(z)  # [K, n, classes]
    each = -F.log_softmax(stacked, dim=2).gather(2, y.view(1, -1, 1).expand(len(z), -1, 1)).squeeze(2)
    best = each.argmin(dim=0)
    return stacked[best, torch.arange(len(y))]


def minlogit_target(z, y):
    return torch.stack([a - a.gather(1, y[:, None]) for a in z]).min(dim=0).values


def linear_target(z, y):
    a = simplex_minimum(z, y)
    return sum(a[i] * z[i] for i in range(len(z)))


def simplex_minimum(z, y):
    """The weights on the simplex that minimise the batch's cross-entropy: a convex problem, solved to the end."""
    if len(z) == 2:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            a = torch.tensor(middle, dtype=z[0].dtype, requires_grad=True)
            cross_entropy(a * z[0] + (1 - a) * z[1], y).backward()
            low, high = (middle, high) if a.grad < 0 else (low, middle)
        a = (low + high) / 2
        return [a, 1 - a]
    a = torch.full((len(z),), 1 / len(z), dtype=z[0].dtype)
    step = 1.0
    for _ in range(3000):
        v = a.clone().requires_grad_(True)
        loss = cross_entropy(sum(v[i] * z[i] for i in range(len(z))), y)
        loss.backward()
        while step > 1e-9:  # shorten until the loss falls
            trial = project_to_simplex(a - step * v.grad)
            if cross_entropy(sum(trial[i] * z[i] for i in range(len(z))), y) <= loss:
                break
            step /= 2
        if (trial - a).abs().max() < 1e-12:
            break
        a, step = trial, step * 1.3
    return a.tolist()


def project_to_simplex(v):
    """The nearest point with non-negative entries of sum 1."""
    ordered = v.sort(descending=True).values
    excess = ordered.cumsum(0) - 1
    count = torch.arange(1, len(v) + 1, dtype=v.dtype)
    last = int((ordered - excess / count > 0).nonzero().max())
    return (v - excess[last] / (last + 1)).clamp_min(0)


KDCL_TARGETS = {
    "naive": naive_target,
    "linear": linear_target,
    "minlogit": minlogit_target,
    "mean": lambda z, y: sum(z) / len(z),
}


def general_weights(held_out_logits, held_out_labels):
    """C^-1 1 / (1' C^-1 1), C the covariance of the networks' errors on held-out images."""
    onehot = F.one_hot(held_out_labels, held_out_logits[0].shape[1])
    errors = [F.softmax(z, dim=1) - onehot for z in held_out_logits]
    k = len(errors)
    c = torch.tensor([[(errors[i] * errors[j]).sum(dim=1).mean() for j in range(k)] for i in range(k)],
                     dtype=torch.float64)
    w = torch.linalg.solve(c + 1e-6 * torch.eye(k, dtype=torch.float64), torch.ones(k, dtype=torch.float64))
    w = (w / w.sum()).clamp_min(0)
    return w / w.sum()


def is_expert(teacher, student, y, criterion):
    """SwitOKD's switch for one pair: does the teacher pause?"""
    with torch.no_grad():
        onehot = F.one_hot(y, teacher.shape[1])
        p_t, p_s = F.softmax(teacher, dim=1), F.softmax(student, dim=1)
        s = (p_s - onehot).abs().sum(dim=1).mean()
        u = (p_t - onehot).abs().sum(dim=1).mean()
        gap = (p_s - p_t).abs().sum(dim=1).mean()
        delta = s - torch.exp(-u / (u + s)) * u
        return bool(gap > delta) and (criterion == "paper" or bool(u < s))


def switokd(step, temperature=1.0, t_squared=False, criterion="code", pause_statistics=False):
    """Two networks, one teacher with two students, two teachers with one student. The outcome lists, pair by pair,
    whether the teacher pauses."""
    teachers, students = step.of_role("teacher"), step.of_role("student")
    z, scale = step.logits, temperature**2 if t_squared else 1.0
    expert = {(t, s): is_expert(z[t], z[s], step.y, criterion) for t in teachers for s in students}

    def from_(j, i):
        return scale * kl_to(z[j], z[i], temperature)

    losses = {}
    for s in students:
        losses[s] = step.ce(s) + sum(from_(j, s) for j in step.others(s))
    for t in teachers:
        if all(expert[t, s] for s in students):
            continue
        losses[t] = step.ce(t) + sum(from_(s, t) for s in students if not expert[t, s])
        losses[t] = losses[t] + sum(from_(other, t) for other in teachers if other != t)
    return losses, tuple(expert.values())


METHODS = {"vanilla": vanilla, "kd": kd, "dml": dml, "kdcl": kdcl, "switokd": switokd}


# ---- ADM ---------------------------------------------------------------------------------------------------------


def cosine(u, v):
    product = u.norm(dim=1) * v.norm(dim=1)
    return (u * v).sum(dim=1) / product.clamp_min(1e-8)


def centred_head(network):
    """W minus its mean over the classes, which a softmax does not see; no gradient."""
    w = network.fc.weight.detach().double()
    return w - w.mean(dim=0, keepdim=True)


def view_of(view, network, features, y):
    if view == "channel":
        return features
    if view == "class":
        return torch.einsum("kc,nchw->nkhw", centred_head(network), features)
    if view == "label":
        value = (centred_head(network)[y][:, :, None, None] * features).sum(dim=1)
        low, high = value.amin(dim=(1, 2), keepdim=True), value.amax(dim=(1, 2), keepdim=True)
        return (value - low) / (high - low)
    assert view == "attention"
    energy = features.pow(2).mean(dim=1)
    return energy / energy.mean(dim=(1, 2), keepdim=True)


def similarity(view, u_t, u_s):
    if view in ("class", "channel"):
        return cosine(u_t, u_s).clamp(0, 1)
    if view == "label":
        return 1 - (u_t - u_s).abs()
    low, high = torch.minimum(u_t, u_s), torch.maximum(u_t, u_s)
    return torch.where(high > 0, low / high.clamp_min(1e-300), torch.ones_like(low))


def place_weights(kind, s, tau):
    """(consensus c, divergence d), [n, h, w]."""
    if kind == "none":
        return s, 1 - s
    if kind == "uniform":
        return torch.ones_like(s), torch.ones_like(s)
    if kind == "softmax":
        places = s[0].numel()
        flat = s.flatten(1) / tau
        return tuple(places * F.softmax(sign * flat, dim=1).view_as(s) for sign in (1, -1))
    assert kind == "mean"

    def share(x, otherwise):
        mean = x.mean(dim=(1, 2), keepdim=True)
        return torch.where(mean < 1e-6, torch.full_like(x, otherwise), x / mean.clamp_min(1e-6))

    return share(s, 1.0), share(1 - s, 0.0)


def modulated(network, features, weights, y):
    """The cross-entropy of each image when places are weighted."""
    pooled = (weights[:, None] * features).mean(dim=(2, 3))
    logits = F.linear(pooled, network.fc.weight.double(), network.fc.bias.double())
    each = -F.log_softmax(logits, dim=1).gather(1, y[:, None]).squeeze(1)
    return each * (weights.sum(dim=(1, 2)) > 0)


def adm_pair(t, s, f_t, f_s, y, consensus, divergence, view, weights, tau, detach):
    """(L_co, L_di) of one teacher and one student; None where a side is off."""
    f_t, f_s = f_t.double(), f_s.double()
    u_t, u_s = view_of(view, t, f_t, y), view_of(view, s, f_s, y)
    alike = similarity(view, u_t, u_s)
    c, d = place_weights(weights, alike.detach(), tau)
    co = di = None
    if consensus == "align":
        if not detach:  # through S as far as the student goes
            c = place_weights(weights, similarity(view, u_t.detach(), u_s), tau)[0]
        co = (c * (1 - cosine(u_s, u_t.detach()))).mean()
    elif consensus == "modulate":
        co = modulated(s, f_s, c, y).mean()
    if divergence == "repel":
        di = -(d * (1 - cosine(u_t, u_s.detach()))).mean()
    elif divergence == "modulate":
        di = modulated(t, f_t, d, y).mean()
    return co, di


def add_adm(step, nets, losses, consensus="align", divergence="modulate", view="class", stage="features",
            weights="mean", tau=0.1, alpha=1.0, beta=1.0, detach=True, warmup_epochs=0):
    teachers, students = step.of_role("teacher"), step.of_role("student")
    r = ramp(step.epoch, warmup_epochs)
    pairs = {(t, s): adm_pair(nets[t], nets[s], step.taps[t][stage], step.taps[s][stage], step.y,
                              consensus, divergence, view, weights, tau, detach)
             for t in teachers for s in students}
    for s in students:
        if consensus != "off" and s in losses:
            losses[s] = losses[s] + r * alpha * sum(pairs[t, s][0] for t in teachers) / len(teachers)
    for t in teachers:
        if divergence != "off" and t in losses and not step.networks[t].get("frozen"):
            losses[t] = losses[t] + r * beta * sum(pairs[t, s][1] for s in students) / len(students)
    return losses


# ---- training ----------------------------------------------------------------------------------------------------


class Trained:
    def __init__(self):
        self.losses = []    # per step: {network name: loss}
        self.outcomes = []  # per step: what the method's switch said
        self.states = {}    # network name: state_dict afterwards


def train(recipe, start, pixels, labels, steps, held_out=()):
    """Trains like duet: the recipe's networks from the state dicts `start`, on batches in the order of the data without
    the held-out images, for a number of steps. Returns a Trained."""
    networks = recipe["networks"]
    settings = recipe["train"]
    nets = []
    for n in networks:
        net = models.build(n["model"]).to(REAL)
        net.load_state_dict(start[n["name"]])
        nets.append(net)

    kept = np.setdiff1d(np.arange(len(labels)), np.asarray(held_out, dtype=int))
    batch = settings["batch"]
    steps_per_epoch = len(kept) // batch
    x, y = normalise(pixels[kept]), torch.from_numpy(labels[kept].astype(np.int64))
    optimisers = {i: torch.optim.SGD(nets[i].parameters(), lr=settings["lr"] * n.get("lr_scale", 1.0),
                                     momentum=settings.get("momentum", 0.9), nesterov=settings.get("nesterov", False),
                                     weight_decay=settings.get("weight_decay", 5e-4))
                  for i, n in enumerate(networks) if not n.get("frozen")}

    out, held = Trained(), None
    method = dict(recipe["method"])
    method_name = method.pop("name")
    pauses = method.get("pause_statistics", False)
    for k in range(steps):
        epoch, place = divmod(k, steps_per_epoch)
        if place == 0 and len(held_out):
            held = look(nets, pixels[list(held_out)]), torch.from_numpy(labels[list(held_out)].astype(np.int64))
        xb, yb = x[place * batch:(place + 1) * batch], y[place * batch:(place + 1) * batch]

        before = [{name: b.clone() for name, b in net.named_buffers()} for net in nets]
        results = []
        for n, net in zip(networks, nets):
            net.train(not n.get("frozen"))
            results.append(net(xb))
        step = Step(networks, [r[0].double() for r in results], [r[1] for r in results], yb, epoch,
                    settings.get("label_smoothing", 0.0))
        step.held_out = held
        losses, outcome = METHODS[method_name](step, **method)
        if "adm" in recipe:
            losses = add_adm(step, nets, losses, **recipe["adm"])
        losses = {i: loss for i, loss in losses.items() if i in optimisers}
        update(nets, optimisers, losses)
        if pauses:
            for i in range(len(nets)):
                if i not in losses:
                    nets[i].load_state_dict({**nets[i].state_dict(), **before[i]})
        out.losses.append({networks[i]["name"]: loss.item() for i, loss in losses.items()})
        out.outcomes.append(outcome)
    out.states = {n["name"]: net.state_dict() for n, net in zip(networks, nets)}
    return out


def update(nets, optimisers, losses):
    """All gradients from the one forward, then all updates: nobody sees another's new weights."""
    gradients = {i: torch.autograd.grad(loss, list(nets[i].parameters()), retain_graph=True)
                 for i, loss in losses.items()}
    for i, grads in gradients.items():
        for parameter, gradient in zip(nets[i].parameters(), grads):
            parameter.grad = gradient
        optimisers[i].step()


def look(nets, pixels):
    """Logits of every network in inference mode."""
    out = []
    with torch.no_grad():
        for net in nets:
            mode = net.training
            net.eval()
            out.append(net(normalise(pixels))[0].double())
            net.train(mode)
    return out
