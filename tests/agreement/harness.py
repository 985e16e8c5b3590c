"""Runs duet beside the oracle and compares. Every test file of this folder is a unittest program on top of this."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy as np
    import torch
except ImportError as error:
    print(f"{error}: the agreement tests need PyTorch (Debian packages python3-torch python3-numpy)")
    # 77 is "skipped" for ctest; where PyTorch was promised, its absence is a failure.
    sys.exit(1 if os.environ.get("DUET_REQUIRE_TORCH") else 77)

import files
import models
import oracle

STEPS, BATCH = 10, 16

# Two float32 programs agree to about 1e-7 until, after a step or three, a ReLU's input falls on the other side of zero in
# one of them; a single such flip moves a gradient by a part in a thousand, and training multiplies it. So: the first steps,
# which see every formula, are held to rounding; ten steps to what is promised; and updates (all of a network's, because one
# bias can consist of flips) closely enough that a term which is missing or doubled shows.
FIRST_STEPS, FIRST_LOSS_TOLERANCE = 2, 2e-6  # of max(1, |loss|)
LOSS_TOLERANCE = 1e-4                        # of max(1, |loss|)
WEIGHT_TOLERANCE = 1e-3                      # of a tensor's norm
UPDATE_TOLERANCE = 2e-2                      # of the norm of a network's whole update
torch.set_num_threads(1)  # two tests may run side by side


def duet(*arguments, check=True):
    """Runs the program; its standard output."""
    program = os.environ.get("DUET")
    if not program:
        sys.exit("DUET must name the duet program")
    done = subprocess.run([program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=240)
    if check and done.returncode != 0:
        raise AssertionError(f"duet {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done.stdout


def yaml(value):
    """A value in YAML's flow style, which JSON is part of."""
    return json.dumps(value)


def to_arrays(network):
    """A network's state as the arrays of a weight file."""
    return {name: (t.numpy() if t.dtype == torch.int64 else t.to(torch.float32).numpy())
            for name, t in network.state_dict().items()}


def to_state(arrays):
    return {name: torch.from_numpy(np.array(a)).to(oracle.REAL if a.dtype.kind == "f" else torch.int64)
            for name, a in arrays.items()}


def worn(network):
    """A network whose batch norms are past their start: at 1 and 0 they would hide mistakes, and a bias that starts at 0
    is afterwards nothing but its update."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.6, 1.4)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.num_batches_tracked += 7
    return network


class AgreementCase(unittest.TestCase):
    """Ten steps of duet and of the oracle, from the same weights, on the same batches."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="duet-agreement-")
        cls.folder = Path(cls.scratch.name)
        cls.data = {}
        cls.runs = 0

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def data_of(self, images):
        """A data set with so many training images: (folder, pixels, labels)."""
        if images not in self.data:
            folder = self.folder / f"data{images}"
            folder.mkdir()
            self.data[images] = folder, files.small_cifar100(folder, images, 40, seed=7, classes=20)
        folder, splits = self.data[images]
        return folder, *splits["train"]

    def start_of(self, networks, start):
        """Weight files to start from; start may give a network already trained."""
        for i, n in enumerate(networks):
            path = self.folder / f"start-{n['name']}-{self.runs}.safetensors"
            given = start.get(n["name"])
            arrays = given if given is not None else to_arrays(worn(models.build(n["model"], seed=100 + i)))
            files.write_safetensors(path, arrays)
            n["init"] = str(path)
            yield n["name"], arrays

    def run_duet(self, recipe):
        """Writes the recipe, trains it, returns (log events, {network: arrays}, the run folder)."""
        out = self.folder / f"run{self.runs}"
        path = self.folder / f"run{self.runs}.yaml"
        type(self).runs += 1
        path.write_text("".join(f"{key}: {yaml(value)}\n" for key, value in recipe.items()))
        duet("train", path, "--out", out, "--max-steps", STEPS, "--quiet")
        events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        states = {n["name"]: files.read_safetensors(out / f"{n['name']}.safetensors")[0] for n in recipe["networks"]}
        return events, states, out

    def agree(self, networks, method, adm=None, train=None, data=None, images=176, start=None):
        """The whole comparison; returns the oracle's Trained for further questions."""
        folder, pixels, labels = self.data_of(images)
        networks = [dict(n) for n in networks]
        begin = dict(self.start_of(networks, start or {}))
        recipe = {
            "data": {"name": "cifar100", "path": str(folder), "augment": "none", "shuffle": False, "workers": 1,
                     **(data or {})},
            "networks": networks,
            "method": method,
            **({"adm": adm} if adm is not None else {}),
            "train": {"epochs": 4, "batch": BATCH, "seed": 1, "lr": 0.002, "weight_decay": 0.05,
                      "schedule": {"name": "constant"}, "evaluate_every": 4, "log_every": 1, **(train or {})},
            "device": {"name": "cpu", "threads": 1},
        }
        events, states, _ = self.run_duet(recipe)
        held_out = next(e for e in events if e["event"] == "start").get("held_out") or []
        self.assertEqual(len(held_out), recipe["data"].get("validation", 0))
        expected = oracle.train(recipe, {name: to_state(a) for name, a in begin.items()}, pixels, labels, STEPS, held_out)
        self.compare_losses([e for e in events if e["event"] == "step"], expected)
        self.compare_weights(networks, states, expected, begin)
        return expected

    def compare_losses(self, steps, expected):
        self.assertEqual([e["step"] for e in steps], list(range(1, STEPS + 1)))
        variants = {}
        for event, losses, outcome in zip(steps, expected.losses, expected.outcomes):
            for name, loss in losses.items():
                found = event["loss"].get(name)
                self.assertIsNotNone(found, f"step {event['step']}: no loss of {name}")
                tolerance = FIRST_LOSS_TOLERANCE if event["step"] <= FIRST_STEPS else LOSS_TOLERANCE
                self.assertLessEqual(abs(found - loss), tolerance * max(1, abs(loss)),
                                     f"step {event['step']}: loss of {name}: duet {found!r}, PyTorch {loss!r}")
            if outcome is not None:  # each outcome has one name in the log, and no two share one
                self.assertEqual(variants.setdefault(event["variant"], outcome), outcome, f"step {event['step']}")
        self.assertEqual(len(variants), len(set(variants.values())))

    def compare_weights(self, networks, states, expected, begin):
        for n in networks:
            found, wanted = states[n["name"]], expected.states[n["name"]]
            self.assertEqual(set(found), set(wanted), f"{n['name']}: names of tensors")
            for key, tensor in wanted.items():
                self.compare_tensor(f"{n['name']}: {key}", found[key], tensor.numpy())
            self.compare_update(n["name"], found, wanted, begin[n["name"]])
            if n.get("frozen"):
                for key, array in begin[n["name"]].items():
                    self.assertTrue(np.array_equal(found[key], array), f"{n['name']}: {key}: frozen, but changed")

    def compare_update(self, name, found, wanted, begin):
        error = moved = 0.0
        for key, start in begin.items():
            if start.dtype.kind == "f" and "running" not in key:
                error += np.sum(np.square(found[key].astype(np.float64) - wanted[key].numpy()))
                moved += np.sum(np.square(wanted[key].numpy().astype(np.float64) - start))
        self.assertLessEqual(error**0.5, UPDATE_TOLERANCE * moved**0.5, f"{name}: the whole update")

    def compare_tensor(self, what, found, wanted):
        self.assertEqual(found.shape, wanted.shape, what)
        if wanted.dtype.kind == "i":
            self.assertEqual(found.tolist(), wanted.tolist(), what)
            return
        distance = np.linalg.norm((found.astype(np.float64) - wanted).ravel())
        self.assertLessEqual(distance, WEIGHT_TOLERANCE * np.linalg.norm(wanted.ravel()) + 1e-12, what)


def peers(*names):
    """[{name, model, role}, ...] from "teacher=resnet14" style words; the role is the name without its number."""
    out = []
    for word in names:
        name, model = word.split("=")
        out.append({"name": name, "model": model, "role": name.rstrip("0123456789")})
    return out


main = unittest.main
