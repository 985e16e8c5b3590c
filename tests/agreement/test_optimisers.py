"""Optimisers, clipping, averaged weights, train.steps and the poly schedule against torch.optim: ten steps of two networks
that know nothing of each other, so that what is done per network shows."""
from harness import BATCH, STEPS, AgreementCase, main, to_arrays, to_state
import numpy as np
import torch

import files
import models
import oracle

NETWORKS = [{"name": "one", "model": "resnet8"}, {"name": "other", "model": "resnet8", "lr_scale": 0.5}]
IMAGES = 80  # five steps an epoch

# Rates are low, for a free run of ten steps: at those of the recipes a ReLU that is open in one program and shut in the other
# takes two trainings further apart than they may be, however equal their formulas.
SGD, ADAM = {"lr": 0.002, "momentum": 0.9, "weight_decay": 0.05}, {"lr": 1e-4, "weight_decay": 0}

LOSS_TOLERANCE = 1e-4    # of max(1, |loss|)
WEIGHT_TOLERANCE = 1e-3  # of a tensor's norm
NORM_TOLERANCE = 2e-3    # of the norm of a step's gradients
UPDATE_TOLERANCE = 1e-2  # of the norm of a network's whole update: a term that is missing or doubled shows


def worn(network):
    """Its arrays with batch norms that are past their start: a bias that starts at 0 is nothing but its update."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.6, 1.4)
                module.bias.normal_(0, 0.3)
    return to_arrays(network)


def optimiser(train, parameters, lr):
    decay = train["weight_decay"]
    betas = train.get("beta1", 0.9), train.get("beta2", 0.999)
    kind = train.get("optimizer", "sgd")
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=train["momentum"], weight_decay=decay)
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    return make(parameters, lr=lr, betas=betas, eps=train.get("eps", 1e-8), weight_decay=decay)


def learning_rate(train, step, steps):
    """Before a network's lr_scale, of a step counted from 0."""
    schedule = train["schedule"]
    return train["lr"] * ((1 - step / steps) ** schedule["power"] if schedule["name"] == "poly" else 1)


def train_one(recipe, network, start, x, y):
    """(losses, state_dict, averaged state_dict, norms of gradients where they are clipped) of one network in PyTorch."""
    train = recipe["train"]
    net = models.build(network["model"]).to(oracle.REAL)
    net.load_state_dict(start)
    steps = train.get("steps") or train["epochs"] * (len(y) // (BATCH * train.get("accumulate", 1)))
    step = optimiser(train, list(net.parameters()), train["lr"])
    average = {name: p.detach().clone() for name, p in net.named_parameters()}
    losses, norms = [], []
    parts = train.get("accumulate", 1)
    for k in range(STEPS):
        places = [(k % (len(y) // (parts * BATCH)) * parts + part) * BATCH for part in range(parts)]
        step.param_groups[0]["lr"] = learning_rate(train, k, steps) * network.get("lr_scale", 1)
        net.train()
        step.zero_grad()
        total = 0
        for place in places:
            loss = torch.nn.functional.cross_entropy(net(x[place:place + BATCH])[0], y[place:place + BATCH])
            (loss / parts).backward()
            total += loss.item() / parts
        if train.get("clip_norm"):
            norms.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), train["clip_norm"])))
        step.step()
        keep = min(train.get("ema", 0), (1 + k) / (10 + k))
        for name, p in net.named_parameters():
            average[name].mul_(keep).add_(p.detach(), alpha=1 - keep)
        losses.append(total)
    state = net.state_dict()
    return losses, state, {**state, **average}, norms


class Optimisers(AgreementCase):
    def agree(self, **train):
        """Trains both ways; returns {network: how many of its steps were clipped}."""
        folder, pixels, labels = self.data_of(IMAGES)
        networks = [dict(n) for n in NETWORKS]
        start = {n["name"]: worn(models.build(n["model"], seed=i)) for i, n in enumerate(networks)}
        begin = dict(self.start_of(networks, start))
        recipe = {
            "data": {"name": "cifar100", "path": str(folder), "augment": "none", "shuffle": False, "workers": 1},
            "networks": networks,
            "method": {"name": "vanilla"},
            "train": {"epochs": 4, "batch": BATCH, "schedule": {"name": "constant"}, "evaluate_every": 4, "log_every": 1,
                      **train},
            "device": {"name": "cpu", "threads": 1},
        }
        events, states, run = self.run_duet(recipe)
        steps = [e for e in events if e["event"] == "step"]
        x, y = oracle.normalise(pixels), torch.from_numpy(labels.astype(np.int64))
        clipped = {}
        for n in networks:
            name = n["name"]
            losses, raw, average, norms = train_one(recipe, n, to_state(begin[name]), x, y)
            found = [e["gradient_norm"][name] for e in steps if "gradient_norm" in e]
            self.same_norms(name, found, norms)
            clipped[name] = sum(norm > train["clip_norm"] for norm in found)
            self.same_losses(name, [e["loss"][name] for e in steps], losses)
            self.same_states(name, states[name], raw, begin[name])
            path = run / f"{name}.ema.safetensors"
            self.assertEqual(path.exists(), bool(train.get("ema")))
            if path.exists():
                self.same_states(f"{name}, averaged", files.read_safetensors(path)[0], average, begin[name])
        return clipped

    def same_norms(self, what, found, wanted):
        self.assertEqual(len(found), len(wanted))
        for k, (a, b) in enumerate(zip(found, wanted), 1):
            self.assertLessEqual(abs(a - b), NORM_TOLERANCE * b, f"{what}: step {k}: norm {a!r}, PyTorch {b!r}")

    def same_losses(self, what, found, wanted):
        self.assertEqual(len(found), STEPS)
        for k, (a, b) in enumerate(zip(found, wanted), 1):
            self.assertLessEqual(abs(a - b), LOSS_TOLERANCE * max(1, abs(b)), f"{what}: step {k}: {a!r}, PyTorch {b!r}")

    def same_states(self, what, found, wanted, begin):
        self.assertEqual(set(found), set(wanted), f"{what}: names of tensors")
        error = moved = 0.0
        for key, tensor in wanted.items():
            a, b = found[key], tensor.detach().numpy()
            if b.dtype.kind == "i":
                self.assertEqual(a.tolist(), b.tolist(), f"{what}: {key}")
                continue
            distance = np.linalg.norm((a.astype(np.float64) - b).ravel())
            self.assertLessEqual(distance, WEIGHT_TOLERANCE * np.linalg.norm(b.ravel()) + 1e-12, f"{what}: {key}")
            if "running" not in key:
                error += distance**2
                moved += np.sum(np.square(b - begin[key]))
        self.assertLessEqual(error**0.5, UPDATE_TOLERANCE * moved**0.5, f"{what}: the whole update")

    def test_adam(self):
        self.agree(optimizer="adam", **ADAM)

    def test_adam_with_decay_and_other_numbers(self):
        self.agree(**{**ADAM, "optimizer": "adam", "weight_decay": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3})

    def test_adamw(self):
        self.agree(**{**ADAM, "optimizer": "adamw", "weight_decay": 0.9})

    def test_sgd_with_clipping(self):
        clipped = self.agree(**SGD, clip_norm=1)
        self.assertTrue(all(0 < n for n in clipped.values()), clipped)

    def test_clipping_cuts_some_steps_and_leaves_others(self):
        clipped = self.agree(**SGD, clip_norm=1.93)
        self.assertTrue(any(0 < n < STEPS for n in clipped.values()), clipped)

    def test_adam_with_clipping_and_average(self):
        self.agree(**ADAM, optimizer="adam", clip_norm=0.5, ema=0.9999)

    def test_average_past_its_warm_start(self):
        self.agree(**SGD, ema=0.3)

    def test_several_batches_to_a_step(self):
        """Five batches an epoch, so that the fifth is left out."""
        clipped = self.agree(**SGD, accumulate=2, clip_norm=1, ema=0.3, epochs=8)
        self.assertTrue(all(0 < n for n in clipped.values()), clipped)

    def test_several_batches_to_a_step_with_adam_and_a_schedule(self):
        # eps: without it a gradient that is rounding, such as that of a bias before a norm, becomes a whole step.
        self.agree(**ADAM, eps=1e-4, optimizer="adamw", accumulate=3, steps=12, schedule={"name": "poly", "power": 1})

    def test_poly_over_a_number_of_steps(self):
        self.agree(**SGD, steps=13, schedule={"name": "poly", "power": 0.9})

    def test_poly_over_epochs(self):
        self.agree(**ADAM, optimizer="adamw", epochs=3, schedule={"name": "poly", "power": 2})


if __name__ == "__main__":
    main()
