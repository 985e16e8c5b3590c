"""What training must compute in the dense tasks, in PyTorch: the losses and disagreements of segmentation and denoising,
every base method and ADM on top of them, optimisers, schedules, EMA. oracle.py is the same for classification, and its
general pieces are used here. Networks run in float32 (ORACLE_F64 makes them float64), everything behind them in float64.

Shapes: coarse logits z [n, K, h, w]; masks y [n, H, W] with IGNORE where nothing is known; place losses [n, H, W].
"""
import math

import torch
from torch.nn import functional as F

import dense_models
import models
import oracle
from dense_models import resize
from oracle import REAL, ramp

IGNORE = 255
TINY = 1e-6  # a mean similarity (or dissimilarity) below this weighs nothing


# ---- the tasks -------------------------------------------------------------------------------------------------------
# One step of training: networks i = 0, 1, ... (entries of the recipe, modules, Maps) on one batch.
#
#   loss(i)                      L
#   disagreement(target, i, T)   D of network i from network target (a number)
#   ensemble(kind, i, T)         D of network i from KDCL's target of that kind
#   distances(t, s)              SwitOKD's s, u, G
#   place_loss(i), valid         what L is made of [n, H, W], and which places count
#   view(i, kind, patch)         ADM's vectors [n, c, h, w] or, for attention, scalars [n, 1, h, w]
#   to_pixels(S, i)              a map of the grid as a map of the places, in the way of network i


class DenseStep:
    def __init__(self, networks, nets, maps, epoch):
        self.networks, self.nets, self.epoch = networks, nets, epoch
        self.output = [m.output.double() for m in maps]
        self.features = [m.features.double() for m in maps]
        self.aux = [None if m.aux is None else m.aux.double() for m in maps]
        self.held_out = None  # KDCL general: the same kind of step, on the held-out images, in inference mode

    def count(self):
        return len(self.networks)

    def others(self, i):
        return [j for j in range(self.count()) if j != i]

    def of_role(self, role):
        return [i for i, n in enumerate(self.networks) if n["role"] == role]

    def attention(self, i):
        energy = self.features[i].pow(2).mean(dim=1, keepdim=True)
        return energy / energy.mean(dim=(2, 3), keepdim=True)


def kl_at(log_target, log_own):
    """KL(target || own) at every place, from log probabilities [n, K, ...]."""
    return (log_target.exp() * (log_target - log_own)).sum(dim=1)


def weighted_mean(values, weights):
    """0 where nothing has a weight."""
    total = weights.sum()
    return (weights * values).sum() / (total if total > 0 else 1)


class SegmentStep(DenseStep):
    def __init__(self, networks, nets, maps, epoch, y, kd_at="grid", kd_places="valid", aux_weight=0.4, class_weights=None):
        super().__init__(networks, nets, maps, epoch)
        self.y, self.kd_at, self.kd_places, self.aux_weight = y, kd_at, kd_places, aux_weight
        self.valid = (y != IGNORE).double()
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
        self.counts = self.valid if class_weights is None else self.class_weights[torch.where(y == IGNORE, 0, y)] * self.valid

    def up(self, x, i):
        """Any map of network i at the mask's size."""
        return resize(x, self.y.shape[1:], self.nets[i].align)

    def pixel_loss(self, z, i):
        return F.cross_entropy(self.up(z, i), self.y, ignore_index=IGNORE, reduction="none")

    def place_loss(self, i):
        return self.pixel_loss(self.output[i], i)

    def batch_loss(self, z, i):
        if self.class_weights is None or self.counts.sum() == 0:
            return weighted_mean(self.pixel_loss(z, i), self.counts)
        return F.cross_entropy(self.up(z, i), self.y, weight=self.class_weights, ignore_index=IGNORE)

    def loss(self, i):
        loss = self.batch_loss(self.output[i], i)
        if self.aux[i] is not None and self.aux_weight:
            loss = loss + self.aux_weight * self.batch_loss(self.aux[i], i)
        return loss

    # -- disagreement

    def share_valid(self, size):
        """V: the share of known pixels in each cell of a grid [n, h, w]."""
        return F.adaptive_avg_pool2d(self.valid[:, None], tuple(size))[:, 0]

    def places(self, i):
        """(logits of network j -> the grid or the pixels of network i, weights there)."""
        if self.kd_at == "pixels":
            weights = self.valid
        else:
            weights = self.share_valid(self.output[i].shape[2:])
        return torch.ones_like(weights) if self.kd_places == "all" else weights

    def logits_for(self, j, i):
        """Network j's logits where network i is compared."""
        if self.kd_at == "pixels":
            return self.up(self.output[j], j)
        return self.output[j] if self.output[j].shape == self.output[i].shape else resize(
            self.output[j], self.output[i].shape[2:], self.nets[i].align)

    def from_log(self, log_target, i, T):
        log_own = F.log_softmax(self.logits_for(i, i) / T, dim=1)
        return T**2 * weighted_mean(kl_at(log_target.detach(), log_own), self.places(i))

    def disagreement(self, target, i, T=1.0):
        return self.from_log(F.log_softmax(self.logits_for(target, i) / T, dim=1), i, T)

    # -- KDCL

    def known(self):
        """Every network's logits and the labels of the known pixels of the batch: [N, K], [N]."""
        flags = self.y != IGNORE
        return [self.up(z, j).detach().permute(0, 2, 3, 1)[flags] for j, z in enumerate(self.output)], self.y[flags]

    def ensemble(self, kind, i, T):
        if kind == "mean":
            mean = sum(self.logits_for(j, i) for j in range(self.count())) / self.count()
            return self.from_log(F.log_softmax(mean / T, dim=1), i, T)
        assert self.kd_at == "pixels"
        z = [self.up(z, j).detach() for j, z in enumerate(self.output)]
        if kind == "general":
            w = oracle.general_weights(*self.held_out.known())
            return self.from_log(sum(w[j] * F.softmax(z[j] / T, dim=1) for j in range(len(z))).log(), i, T)
        if kind == "linear":
            a = oracle.simplex_minimum(*self.known())
            target = sum(a[j] * z[j] for j in range(len(z)))
        else:  # pixels without a label count nothing: any will do there
            y = torch.where(self.y == IGNORE, torch.zeros_like(self.y), self.y)[:, None]
            own = torch.stack([x.gather(1, y) for x in z])
            if kind == "naive":
                best = torch.stack([F.log_softmax(x, dim=1).gather(1, y) for x in z]).argmax(dim=0)
                target = torch.stack(z).gather(0, best[None].expand(1, -1, z[0].shape[1], -1, -1))[0]
            else:
                assert kind == "minlogit"
                target = (torch.stack(z) - own).amin(dim=0)
        return self.from_log(F.log_softmax(target / T, dim=1), i, T)

    # -- SwitOKD

    def distances(self, t, s):
        with torch.no_grad():
            p_t, p_s = (F.softmax(self.up(self.output[i], i), dim=1) for i in (t, s))
            known = torch.where(self.y == IGNORE, torch.zeros_like(self.y), self.y)
            onehot = F.one_hot(known, p_t.shape[1]).permute(0, 3, 1, 2)
            return tuple(float(weighted_mean((a - b).abs().sum(dim=1), self.valid))
                         for a, b in ((p_s, onehot), (p_t, onehot), (p_s, p_t)))

    # -- ADM

    def view(self, i, kind, patch):
        if kind == "attention":
            return self.attention(i)
        if kind == "channel":
            return self.features[i]
        assert kind == "class"
        w = self.nets[i].last().weight.detach().double()[:, :, 0, 0]
        return torch.einsum("kc,nchw->nkhw", w - w.mean(dim=0), self.features[i])

    def to_pixels(self, s, i):
        return self.up(s[:, None], i)[:, 0]


class DenoiseStep(DenseStep):
    def __init__(self, networks, nets, maps, epoch, eps):
        super().__init__(networks, nets, maps, epoch)
        self.eps = eps.double()
        self.valid = self.counts = torch.ones_like(self.eps[:, 0])

    def place_loss(self, i):
        return (self.output[i] - self.eps).pow(2).mean(dim=1)

    def loss(self, i):
        return (self.output[i] - self.eps).pow(2).mean()

    def disagreement(self, target, i, T=1.0):
        assert T == 1
        return (self.output[i] - self.output[target].detach()).pow(2).mean()

    def distances(self, t, s):
        e_t, e_s = self.output[t].detach(), self.output[s].detach()
        return tuple(float((a - b).abs().mean()) for a, b in ((e_s, self.eps), (e_t, self.eps), (e_s, e_t)))

    def errors(self):
        return [e.detach() - self.eps for e in self.output]

    def ensemble(self, kind, i, T):
        assert T == 1
        e, r = [x.detach() for x in self.output], self.errors()
        if kind == "mean":
            target = sum(e) / len(e)
        elif kind == "naive":
            best = torch.stack([x.pow(2).sum(dim=(1, 2, 3)) for x in r]).argmin(dim=0)
            target = torch.stack(e)[best, torch.arange(len(best))]
        elif kind == "linear":
            a = two_weights(*r)
            target = a * e[0] + (1 - a) * e[1]
        else:
            assert kind == "general"
            w = error_weights(self.held_out.errors())
            target = sum(w[j] * e[j] for j in range(len(e)))
        return (self.output[i] - target).pow(2).mean()

    def view(self, i, kind, patch):
        if kind == "attention":
            return self.attention(i)
        return self.features[i] if kind == "channel" else patches(self.output[i], patch)

    def to_pixels(self, s, i):
        times = self.eps.shape[2] // s.shape[1]
        return s.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)


def two_weights(r1, r2):
    """The share of network 1 in the mixture of two with the smallest squared error."""
    d = r2 - r1
    length = float(d.pow(2).sum())
    return min(1.0, max(0.0, float((d * r2).sum()) / length)) if length > 0 else 0.5


def error_weights(r):
    c = torch.tensor([[float((a * b).sum(dim=(1, 2, 3)).mean()) for a in r] for b in r], dtype=torch.float64)
    w = torch.linalg.solve(c + 1e-6 * torch.eye(len(r), dtype=torch.float64), torch.ones(len(r), dtype=torch.float64))
    w = (w / w.sum()).clamp_min(0)
    return w / w.sum()


def patches(x, k):
    """[n, c, h, w] -> [n, c k k, h/k, w/k]: a block's numbers as one vector."""
    return F.unfold(x, kernel_size=k, stride=k).view(x.shape[0], -1, x.shape[2] // k, x.shape[3] // k)


# ---- base methods: ({network: loss}, outcome); a network that is missing is not updated in this step -------------------


def vanilla(step):
    return {i: step.loss(i) for i in range(step.count())}, None


def kd(step, temperature=1.0, weight=1.0, alpha=0.9, warmup_epochs=0):
    (teacher,) = step.of_role("teacher")
    losses, r = {}, ramp(step.epoch, warmup_epochs)
    for i in step.of_role("student"):
        hard, soft = step.loss(i), step.disagreement(teacher, i, temperature)
        losses[i] = hard + r * weight * soft if weight > 0 else (1 - r * alpha) * hard + r * alpha * soft
    return losses, None


def dml(step, temperature=1.0, weight=1.0, peers="mean", warmup_epochs=0):
    losses = {}
    for i in range(step.count()):
        terms = [step.disagreement(j, i, temperature) for j in step.others(i)]
        soft = sum(terms) / (len(terms) if peers == "mean" else 1)
        losses[i] = step.loss(i) + ramp(step.epoch, warmup_epochs) * weight * soft
    return losses, None


def kdcl(step, target, temperature=1.0, weight=1.0, warmup_epochs=0):
    scale = ramp(step.epoch, warmup_epochs) * weight
    return {i: step.loss(i) + scale * step.ensemble(target, i, temperature) for i in range(step.count())}, None


def is_expert(s, u, gap, criterion):
    if s + u == 0:  # both are right, or no pixel has a label
        return False
    delta = s - math.exp(-u / (u + s)) * u
    return gap > delta and (criterion == "paper" or u < s)


def switokd(step, temperature=1.0, t_squared=False, criterion="code", pause_statistics=False, warmup_epochs=0):
    teachers, students = step.of_role("teacher"), step.of_role("student")
    expert = {(t, s): is_expert(*step.distances(t, s), criterion) for t in teachers for s in students}
    scale = ramp(step.epoch, warmup_epochs) * (1.0 if t_squared else 1 / temperature**2)  # the disagreement carries the square

    def from_(j, i):
        return scale * step.disagreement(j, i, temperature)

    losses = {s: step.loss(s) + sum(from_(j, s) for j in step.others(s)) for s in students}
    for t in teachers:
        if all(expert[t, s] for s in students):
            continue
        losses[t] = step.loss(t) + sum(from_(s, t) for s in students if not expert[t, s])
        losses[t] = losses[t] + sum(from_(other, t) for other in teachers if other != t)
    return losses, tuple(expert.values())


METHODS = {"vanilla": vanilla, "kd": kd, "dml": dml, "kdcl": kdcl, "switokd": switokd}


# ---- ADM ---------------------------------------------------------------------------------------------------------------


def similarity(kind, u_t, u_s):
    """[n, h, w] in 0..1, without a gradient."""
    u_t, u_s = u_t.detach(), u_s.detach()
    if kind == "attention":
        low, high = torch.minimum(u_t, u_s)[:, 0], torch.maximum(u_t, u_s)[:, 0]
        return torch.where(high > 0, low / high.clamp_min(1e-300), torch.ones_like(low))
    return oracle.cosine(u_t, u_s).clamp(0, 1)


def place_weights(kind, s, v, tau):
    """(consensus c, divergence d) [n, h, w]: mean 1 over an image's places, which count by v."""
    if kind == "none":
        return s, 1 - s
    if kind == "uniform":
        return torch.ones_like(s), torch.ones_like(s)

    def mean(x):
        return (v * x).sum(dim=(1, 2), keepdim=True) / v.sum(dim=(1, 2), keepdim=True).clamp_min(1e-300)

    def share(x, otherwise):
        m = mean(x)
        return torch.where(m < TINY, torch.full_like(x, otherwise), x / m.clamp_min(TINY))

    if kind == "softmax":
        return tuple(share((sign * s / tau).exp(), 1.0) for sign in (1, -1))
    assert kind == "mean"
    return share(s, 1.0), share(1 - s, 0.0)


def to_smaller_grid(a, b):
    size = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    return F.adaptive_avg_pool2d(a, size), F.adaptive_avg_pool2d(b, size)


def adm_pair(step, t, s, consensus, divergence, view, weights, tau, patch, given=None):
    """(L_co, L_di) of one teacher and one student; None where a side is off. given: another S, for tests."""
    u_t, u_s = to_smaller_grid(step.view(t, view, patch), step.view(s, view, patch))
    alike = similarity(view, u_t, u_s) if given is None else given

    def on_grid(which, own, other):
        v = F.adaptive_avg_pool2d(step.valid[:, None], alike.shape[1:])[:, 0]
        w = place_weights(weights, alike, v, tau)[which]
        return weighted_mean(w * (1 - oracle.cosine(own, other.detach())), v)

    def on_pixels(which, i):
        w = place_weights(weights, step.to_pixels(alike, i), step.valid, tau)[which]
        return weighted_mean(w * step.place_loss(i), step.counts)

    co = {"align": lambda: on_grid(0, u_s, u_t), "modulate": lambda: on_pixels(0, s), "off": lambda: None}
    di = {"repel": lambda: -on_grid(1, u_t, u_s), "modulate": lambda: on_pixels(1, t), "off": lambda: None}
    return co[consensus](), di[divergence]()


def add_adm(step, losses, consensus=None, divergence="modulate", view=None, weights="mean", tau=0.1, alpha=1.0,
            beta=1.0, warmup_epochs=0, patch=4):
    segment = isinstance(step, SegmentStep)
    consensus = consensus or ("align" if segment else "modulate")
    view = view or ("class" if segment else "output")
    teachers, students = step.of_role("teacher"), step.of_role("student")
    r = ramp(step.epoch, warmup_epochs)
    pairs = {(t, s): adm_pair(step, t, s, consensus, divergence, view, weights, tau, patch)
             for t in teachers for s in students}
    for s in students:
        if consensus != "off" and s in losses:
            losses[s] = losses[s] + r * alpha * sum(pairs[t, s][0] for t in teachers) / len(teachers)
    for t in teachers:
        if divergence != "off" and t in losses and not step.networks[t].get("frozen"):
            losses[t] = losses[t] + r * beta * sum(pairs[t, s][1] for s in students) / len(students)
    return losses


# ---- training ------------------------------------------------------------------------------------------------------------


def learning_rate(settings, k, steps_per_epoch):
    """Of step k, from 0."""
    schedule = settings["schedule"]
    total = settings.get("steps") or settings["epochs"] * steps_per_epoch
    warm = schedule.get("warmup_epochs", 0) * steps_per_epoch
    rise = min(1, (k + 1) / warm) if warm else 1
    if schedule["name"] == "poly":
        return rise * settings["lr"] * (1 - k / total) ** schedule.get("power", 0.9)
    assert schedule["name"] == "constant"
    return rise * settings["lr"]


def optimiser_of(settings, net, scale):
    kind, decay = settings.get("optimizer", "sgd"), settings.get("weight_decay", 5e-4)
    if kind == "sgd":
        return torch.optim.SGD(net.parameters(), lr=settings["lr"] * scale, momentum=settings.get("momentum", 0.9),
                               nesterov=settings.get("nesterov", False), weight_decay=decay)
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    return make(net.parameters(), lr=settings["lr"] * scale, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay)


def clip(gradients, limit):
    """One network's gradients, shortened together to the limit; their length before."""
    length = math.sqrt(sum(float(g.double().pow(2).sum()) for g in gradients))
    return [g * (limit / length) for g in gradients] if length > limit else gradients, length


def follow(average, net, decay, k):
    """The moving average after update k, from 0: quick at first. What is counted or measured is copied."""
    m = min(decay, (1 + k) / (10 + k))
    parameters = dict(net.named_parameters())
    for name, value in net.state_dict().items():
        average[name] = m * average[name] + (1 - m) * value.double() if name in parameters else value.clone()


def doubled(state):
    return {key: t.double() if t.is_floating_point() else t.clone() for key, t in state.items()}


def make_step(recipe, nets, batch, epoch):
    """batch: (x, y) of a segment recipe, (x_t, t, eps) of a denoise one."""
    task = dict(recipe["task"])
    name = task.pop("name")
    if name == "segment":
        x, y = batch
        return SegmentStep(recipe["networks"], nets, [net(x.to(REAL)) for net in nets], epoch, y,
                           **{k: v for k, v in task.items() if k in ("kd_at", "kd_places", "aux_weight", "class_weights")})
    assert name == "denoise"
    x, t, eps = batch
    return DenoiseStep(recipe["networks"], nets, [net(x.to(REAL), t) for net in nets], epoch, eps)


def look(recipe, nets, batch):
    """The networks' step on some images in inference mode, without gradients."""
    modes = [net.training for net in nets]
    with torch.no_grad():
        for net in nets:
            net.eval()
        step = make_step(recipe, nets, batch, 0)
    for net, mode in zip(nets, modes):
        net.train(mode)
    return step


class Training:
    """Trains like duet, from the state dicts `start`, on batches(epoch, place). Between two steps it can be put where
    another training stands. held_out: a batch for KDCL's general. dropout(network, step, which, p, shape): what stays."""

    def __init__(self, recipe, start, batches, steps_per_epoch, held_out=None, dropout=None, classes=None):
        self.recipe, self.networks, self.settings = recipe, recipe["networks"], recipe["train"]
        self.batches, self.steps_per_epoch, self.unseen, self.dropout = batches, steps_per_epoch, held_out, dropout
        self.nets = [dense_models.build(n["model"], classes).to(REAL) for n in self.networks]
        self.optimisers = {i: optimiser_of(self.settings, self.nets[i], n.get("lr_scale", 1.0))
                           for i, n in enumerate(self.networks) if not n.get("frozen")}
        self.updates = {i: 0 for i in self.optimisers}  # of each network: a paused one stands still
        self.steps, self.held_out, self.lengths = 0, None, {}
        self.load(start)
        self.averages = {self.networks[i]["name"]: doubled(self.nets[i].state_dict()) for i in self.optimisers
                         if self.settings.get("ema")}

    # -- where it stands

    CARRIED = {"sgd": ("momentum_buffer", None), "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}

    def keys(self):
        return self.CARRIED[self.settings.get("optimizer", "sgd")]

    def load(self, states, momenta=None, squares=None, averages=None):
        """Weights and statistics of every network; {network name: {parameter: tensor}} of what its optimiser carries on:
        momenta, and for Adam means of squares; moving averages."""
        first, second = self.keys()
        for i, n in enumerate(self.networks):
            self.nets[i].load_state_dict(states[n["name"]])
            if not momenta or i not in self.optimisers:
                continue
            for key, parameter in self.nets[i].named_parameters():
                state = self.optimisers[i].state[parameter]
                state[first] = momenta[n["name"]][key].clone()
                if second:
                    state[second] = squares[n["name"]][key].clone()
                    state["step"] = torch.tensor(float(self.updates[i]))
        for name, average in (averages or {}).items():
            self.averages[name] = doubled(average)

    def states(self):
        return {n["name"]: {k: t.clone() for k, t in net.state_dict().items()} for n, net in zip(self.networks, self.nets)}

    def carried(self, i, which):
        """{parameter: what its network i's optimiser carries on}; which: 0 momenta, 1 means of squares."""
        key, state = self.keys()[which], self.optimisers[i].state
        return {name: state[p].get(key, torch.zeros_like(p)).detach() for name, p in self.nets[i].named_parameters()}

    def momenta(self, i):
        return self.carried(i, 0)

    # -- one step

    def step(self):
        """({network name: loss}, the switch's outcome). With `accumulate` a step is made of several batches."""
        epoch, place = divmod(self.steps, self.steps_per_epoch)
        parts = self.settings.get("accumulate", 1)
        if place == 0 and self.unseen is not None:
            self.held_out = look(self.recipe, self.nets, self.unseen)
        sums, gradients = {}, {}
        for k in range(parts):
            losses, outcome = self.batch(epoch, place * parts + k, self.steps * parts + k)
            for i, loss in losses.items():
                found = self.gradients(i, loss / parts)
                gradients[i] = [a + b for a, b in zip(gradients[i], found)] if k else found
                sums[i] = sums.get(i, 0) + loss.item()
        self.update(gradients)
        self.steps += 1
        return {self.networks[i]["name"]: loss / parts for i, loss in sums.items()}, outcome

    def batch(self, epoch, place, number):
        """Losses of one batch, the number-th of the training."""
        before = [{name: b.clone() for name, b in net.named_buffers()} for net in self.nets]
        for i, (n, net) in enumerate(zip(self.networks, self.nets)):
            net.train(not n.get("frozen"))
            if self.dropout:
                models.dictate_dropout(net, lambda *a, i=i, k=number: self.dropout(i, k, *a))
        step = make_step(self.recipe, self.nets, self.batches(epoch, place), epoch)
        step.held_out = self.held_out
        method = dict(self.recipe["method"])
        losses, outcome = METHODS[method.pop("name")](step, **method)
        if self.recipe.get("adm") is not None:
            losses = add_adm(step, losses, **self.recipe["adm"], patch=self.recipe["task"].get("patch", 4))
        losses = {i: loss for i, loss in losses.items() if i in self.optimisers}
        if method.get("pause_statistics"):
            for i in range(len(self.nets)):
                if i not in losses:
                    self.nets[i].load_state_dict({**self.nets[i].state_dict(), **before[i]})
        return losses, outcome

    def update(self, gradients):
        """After all gradients were found: nobody sees another's new weights."""
        rate = learning_rate(self.settings, self.steps, self.steps_per_epoch)
        for i, found in gradients.items():
            name = self.networks[i]["name"]
            if self.settings.get("clip_norm"):
                found, self.lengths[name] = clip(found, self.settings["clip_norm"])
            for parameter, gradient in zip(self.nets[i].parameters(), found):
                parameter.grad = gradient
            for group in self.optimisers[i].param_groups:
                group["lr"] = rate * self.networks[i].get("lr_scale", 1.0)
            self.optimisers[i].step()
            if name in self.averages:
                follow(self.averages[name], self.nets[i], self.settings["ema"], self.updates[i])
            self.updates[i] += 1

    def gradients(self, i, loss):
        """An auxiliary head that the loss does not see has a gradient of 0; so has everything where no pixel has a label."""
        parameters = list(self.nets[i].parameters())
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)]
