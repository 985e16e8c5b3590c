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
import philox

REAL = torch.float64 if os.environ.get("ORACLE_F64") else torch.float32
MEAN = torch.tensor([0.5071, 0.4867, 0.4408], dtype=torch.float64)
STD = torch.tensor([0.2675, 0.2565, 0.2761], dtype=torch.float64)


def normalise(pixels):
    """uint8 [n, 3, 32, 32] -> what a network sees: float32, whatever it computes in."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float64) / 255
    return ((x - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)).float().to(REAL)


# ---- pieces ------------------------------------------------------------------------------------------------------


def of_label(x, y):
    """What x [n, classes] has for the labels y: a class for each, [n], or shares of classes, [n, classes]."""
    return x.gather(1, y[:, None]).squeeze(1) if y.dim() == 1 else (x * y).sum(dim=1)


def shares(y, classes):
    return F.one_hot(y, classes).double() if y.dim() == 1 else y


def cross_entropy(logits, y):
    return -of_label(F.log_softmax(logits, dim=1), y).mean()


def smoothed_cross_entropy(logits, y, smoothing):
    log_p = F.log_softmax(logits, dim=1)
    own = -of_label(log_p, y)
    return ((1 - smoothing) * own - smoothing * log_p.mean(dim=1)).mean()


def weighted_losses(logits, y, weights):
    """The cross-entropy of each image, of w[y] by the mean of w[y]."""
    p = shares(y, len(weights)) * weights
    return -(p * F.log_softmax(logits, dim=1)).sum(dim=1) / p.sum(dim=1).mean()


def weighted_cross_entropy(logits, y, weights, smoothing):
    if y.dim() == 1:
        return F.cross_entropy(logits, y, weight=weights, label_smoothing=smoothing)
    spread = -(weights * F.log_softmax(logits, dim=1)).mean() / (shares(y, len(weights)) * weights).sum(dim=1).mean()
    return (1 - smoothing) * weighted_losses(logits, y, weights).mean() + smoothing * spread


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

    def __init__(self, networks, logits, taps, y, epoch, smoothing=0.0, weights=None):
        self.networks, self.logits, self.taps, self.y, self.epoch = networks, logits, taps, y, epoch
        self.smoothing, self.weights = smoothing, weights  # weights: of the classes
        self.held_out = None  # KDCL general: ([logits of each network], labels)

    def ce(self, i):
        if self.weights is not None:
            return weighted_cross_entropy(self.logits[i], self.y, self.weights, self.smoothing)
        if self.smoothing:
            return smoothed_cross_entropy(self.logits[i], self.y, self.smoothing)
        return cross_entropy(self.logits[i], self.y)

    def others(self, i):
        return [j for j in range(len(self.logits)) if j != i]

    def of_role(self, role):
        return [i for i, n in enumerate(self.networks) if n["role"] == role]


def vanilla(step, **_):
    return {i: step.ce(i) for i in range(len(step.logits))}, None


def kd(step, temperature=4.0, alpha=0.9, warmup_epochs=0):
    (teacher,) = step.of_role("teacher")
    losses, alpha = {}, ramp(step.epoch, warmup_epochs) * alpha
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
    each = torch.stack([-of_label(F.log_softmax(logits, dim=1), y) for logits in z])
    best = each.argmin(dim=0)
    return stacked[best, torch.arange(len(y))]


def minlogit_target(z, y):
    return torch.stack([a - of_label(a, y)[:, None] for a in z]).min(dim=0).values


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
        onehot = shares(y, teacher.shape[1])
        p_t, p_s = F.softmax(teacher, dim=1), F.softmax(student, dim=1)
        s = (p_s - onehot).abs().sum(dim=1).mean()
        u = (p_t - onehot).abs().sum(dim=1).mean()
        gap = (p_s - p_t).abs().sum(dim=1).mean()
        delta = s - torch.exp(-u / (u + s)) * u
        return bool(gap > delta) and (criterion == "paper" or bool(u < s))


def switokd(step, temperature=1.0, t_squared=False, criterion="code", pause_statistics=False, warmup_epochs=0):
    """Two networks, one teacher with two students, two teachers with one student. The outcome lists, pair by pair,
    whether the teacher pauses."""
    teachers, students = step.of_role("teacher"), step.of_role("student")
    z, scale = step.logits, ramp(step.epoch, warmup_epochs) * (temperature**2 if t_squared else 1.0)
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
    w = models.head(network).weight.detach().double()
    return w - w.mean(dim=0, keepdim=True)


def view_of(view, network, features, y):
    if view == "channel":
        return features
    if view == "class":
        return torch.einsum("kc,nchw->nkhw", centred_head(network), features)
    if view == "label":
        value = ((shares(y, len(centred_head(network))) @ centred_head(network))[:, :, None, None] * features).sum(dim=1)
        low, high = value.amin(dim=(1, 2), keepdim=True), value.amax(dim=(1, 2), keepdim=True)
        return (value - low) / (high - low).clamp_min(1e-8)  # a flat image, such as of a single place, becomes 0
    assert view == "attention"
    energy = features.pow(2).mean(dim=1)
    return energy / energy.mean(dim=(1, 2), keepdim=True)


def on_smaller_grid(a, b):
    """Two views, [n, h, w] or [n, k, h, w], at the places of the smaller: the larger is averaged."""
    size = tuple(min(pair) for pair in zip(a.shape[-2:], b.shape[-2:]))
    return F.adaptive_avg_pool2d(a, size), F.adaptive_avg_pool2d(b, size)


def over_blocks(weights, size):
    """Weights of places for a larger map, on which each covers its block."""
    rows, columns = (torch.arange(large) * small // large for large, small in zip(size, weights.shape[1:]))
    return weights[:, rows][:, :, columns]


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


def modulated(network, features, weights, y, class_weights):
    """The cross-entropy of each image when places are weighted; classes may have weights, too."""
    pooled = (over_blocks(weights, features.shape[2:])[:, None] * features).mean(dim=(2, 3))
    head = models.head(network)
    logits = F.linear(pooled, head.weight.double(), head.bias.double())
    return -of_label(F.log_softmax(logits, dim=1), y) if class_weights is None else weighted_losses(logits, y, class_weights)


def adm_pair(t, s, f_t, f_s, y, consensus, divergence, view, weights, tau, detach, class_weights=None):
    """(L_co, L_di) of one teacher and one student; None where a side is off."""
    f_t, f_s = f_t.double(), f_s.double()
    u_t, u_s = on_smaller_grid(view_of(view, t, f_t, y), view_of(view, s, f_s, y))
    alike = similarity(view, u_t, u_s)
    c, d = place_weights(weights, alike.detach(), tau)
    co = di = None
    if consensus == "align":
        if not detach:  # through S as far as the student goes
            c = place_weights(weights, similarity(view, u_t.detach(), u_s), tau)[0]
        co = (c * (1 - cosine(u_s, u_t.detach()))).mean()
    elif consensus == "modulate":
        co = modulated(s, f_s, c, y, class_weights).mean()
    if divergence == "repel":
        di = -(d * (1 - cosine(u_t, u_s.detach()))).mean()
    elif divergence == "modulate":
        somewhere = d.sum(dim=(1, 2)) > 0  # an image without any divergence adds 0
        di = (somewhere * modulated(t, f_t, d, y, class_weights)).mean()
    return co, di


def add_adm(step, nets, losses, consensus="align", divergence="modulate", view="class", stage="features",
            weights="mean", tau=0.1, alpha=1.0, beta=1.0, detach=True, warmup_epochs=0):
    teachers, students = step.of_role("teacher"), step.of_role("student")
    r = ramp(step.epoch, warmup_epochs)
    pairs = {(t, s): adm_pair(nets[t], nets[s], step.taps[t][stage], step.taps[s][stage], step.y,
                              consensus, divergence, view, weights, tau, detach, step.weights)
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


class Training:
    """Trains like duet: the recipe's networks from the state dicts `start`, on batches in the order of the data without
    the held-out images. Between two steps it can be put where another training stands."""

    def __init__(self, recipe, start, pixels, labels, held_out=()):
        self.networks, self.settings, self.adm = recipe["networks"], recipe["train"], recipe.get("adm")
        self.method = dict(recipe["method"])
        self.nets = [models.build(n["model"]).to(REAL) for n in self.networks]
        self.optimisers = {i: self.optimiser(self.nets[i], n) for i, n in enumerate(self.networks) if not n.get("frozen")}
        self.load(start)
        for net, n in zip(self.nets, self.networks):
            freeze(net, n)
        kept = np.setdiff1d(np.arange(len(labels)), np.asarray(held_out, dtype=int))
        self.x, self.y = normalise(pixels[kept]), torch.from_numpy(labels[kept].astype(np.int64))
        self.unseen = (pixels[list(held_out)], torch.from_numpy(labels[list(held_out)].astype(np.int64)))
        self.steps, self.batches, self.held_out, self.mixup = 0, 0, None, recipe["data"].get("mixup", 0)
        weights = recipe.get("task", {}).get("class_weights")
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)

    def optimiser(self, net, network):
        rate = self.settings["lr"] * network.get("lr_scale", 1.0)
        groups = [{"params": [p], "lr": rate * rate_of(network, name)} for name, p in net.named_parameters()
                  if rate_of(network, name) != "frozen"]
        return torch.optim.SGD(groups, lr=rate, momentum=self.settings.get("momentum", 0.9), nesterov=self.settings.get("nesterov", False),
                               weight_decay=self.settings.get("weight_decay", 5e-4))

    def load(self, states, momenta=None):
        """Weights and statistics of every network; momenta: {network name: {parameter: tensor}}."""
        for i, n in enumerate(self.networks):
            self.nets[i].load_state_dict(states[n["name"]])
            if momenta and i in self.optimisers:
                for key, parameter in self.nets[i].named_parameters():
                    if parameter.requires_grad:
                        self.optimisers[i].state[parameter]["momentum_buffer"] = momenta[n["name"]][key].clone()

    def states(self):
        return {n["name"]: {k: t.clone() for k, t in net.state_dict().items()} for n, net in zip(self.networks, self.nets)}

    def momenta(self, i):
        """{parameter: what its network i's optimiser carries on}."""
        state = self.optimisers[i].state
        return {key: state[p].get("momentum_buffer", torch.zeros_like(p)).detach() for key, p in
                self.nets[i].named_parameters()}

    def step(self):
        """One step; ({network name: loss}, the switch's outcome). With `accumulate` it is made of several batches."""
        batch, parts = self.settings["batch"], self.settings.get("accumulate", 1)
        epoch, place = divmod(self.steps, len(self.y) // (batch * parts))
        self.steps += 1
        if place == 0 and len(self.unseen[1]):
            self.held_out = look(self.nets, self.unseen[0]), self.unseen[1]
        sums = {}
        for k in range(place * parts, (place + 1) * parts):
            losses, outcome = self.batch(slice(k * batch, (k + 1) * batch), epoch)
            collect(self.nets, losses, parts, fresh=k == place * parts)
            for i, loss in losses.items():
                sums[i] = sums.get(i, 0) + loss.item()
        for i in sums:
            self.optimisers[i].step()
        return {self.networks[i]["name"]: loss / parts for i, loss in sums.items()}, outcome

    def batch(self, here, epoch):
        """Losses of one batch."""
        x, y = self.x[here], self.y[here]
        if self.mixup:
            x, y = self.mixed(x, y, epoch, here.start // len(y))
        before = [{name: b.clone() for name, b in net.named_buffers()} for net in self.nets]
        results = []
        for i, (n, net) in enumerate(zip(self.networks, self.nets)):
            net.train(not n.get("frozen"))
            still(net, n)
            models.dictate_dropout(net, self.dropout(i, self.batches))
            results.append(net(x))
        step = Step(self.networks, [r[0].double() for r in results], [r[1] for r in results], y, epoch,
                    self.settings.get("label_smoothing", 0.0), self.weights)
        step.held_out = self.held_out
        self.batches += 1
        losses, outcome = self.losses(step)
        if self.method.get("pause_statistics"):
            for i in range(len(self.nets)):
                if i not in losses:
                    self.nets[i].load_state_dict({**self.nets[i].state_dict(), **before[i]})
        return losses, outcome

    def dropout(self, i, batch):
        """What duet draws for network i in this batch, counted from 0: (number of the dropout, p, shape) -> what stays."""
        return lambda which, p, shape: torch.from_numpy(philox.dropout(shape, p, self.settings["seed"], batch, i, which))

    def mixed(self, x, y, epoch, place):
        """Pictures and labels mixed by the share and the permutation that duet draws for this batch of the pass."""
        share, partner = philox.mixup(len(y), self.mixup, self.settings["seed"], epoch, place)
        rest = np.float32(1) - share
        classes = len(models.head(self.nets[0]).weight)
        return (float(share) * x + float(rest) * x[partner],
                float(share) * shares(y, classes) + float(rest) * shares(y[partner], classes))

    def losses(self, step):
        """{network: its loss} of those that learn in this step, and the outcome."""
        options = {key: value for key, value in self.method.items() if key != "name"}
        losses, outcome = METHODS[self.method["name"]](step, **options)
        if self.adm is not None:
            losses = add_adm(step, self.nets, losses, **self.adm)
        return {i: loss for i, loss in losses.items() if i in self.optimisers}, outcome


def rate_of(network, name):
    """What the recipe says of a layer or a parameter: a factor of the learning rate, or "frozen"."""
    layers = network.get("layers", {})
    fits = [layer for layer in layers if name == layer or name.startswith(layer + ".")]
    return layers[max(fits, key=len)] if fits else 1


def freeze(net, network):
    for name, p in net.named_parameters():
        p.requires_grad_(rate_of(network, name) != "frozen")


def still(net, network):
    """Frozen batch norms are in inference mode. duet counts a network's steps, not each norm's."""
    for name, m in net.named_modules():
        if isinstance(m, torch.nn.BatchNorm2d) and rate_of(network, name) == "frozen":
            m.eval()
            m.num_batches_tracked += 1


def train(recipe, start, pixels, labels, steps, held_out=()):
    """So many steps without a look at anyone else; returns a Trained."""
    training, out = Training(recipe, start, pixels, labels, held_out), Trained()
    for _ in range(steps):
        losses, outcome = training.step()
        out.losses.append(losses)
        out.outcomes.append(outcome)
    out.states = training.states()
    return out


def collect(nets, losses, parts, fresh):
    """All gradients from the one forward, before any update: nobody sees another's new weights."""
    for i, loss in losses.items():
        learning = [p for p in nets[i].parameters() if p.requires_grad]
        for parameter, gradient in zip(learning, torch.autograd.grad(loss / parts, learning, retain_graph=True)):
            parameter.grad = gradient if fresh else parameter.grad + gradient


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
