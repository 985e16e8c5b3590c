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

# A realistic training: the learning rate, momentum and weight decay of the recipes, from ordinary start values.
REALISTIC = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}

# Two float32 programs agree to about 1e-7 until, after a step or three, a ReLU's input falls on the other side of zero in
# one of them; a single such flip moves a gradient by a part in a thousand, and training multiplies it by two to ten a step:
# after ten steps at a realistic learning rate, a bias of PyTorch in float32 is up to a hundred times further from the same in
# float64 than is promised here. So duet and the oracle go in lockstep: ten steps of one training of duet, and before each the
# oracle is put where duet stands. Losses are held to rounding, and what a step did closely enough that a term which is missing
# or doubled shows.
STEP_LOSS_TOLERANCE = 5e-6  # of max(1, |loss|)
WEIGHT_TOLERANCE = 1e-3     # of a tensor's norm
BIAS_TOLERANCE = 5e-2       # the same for batch norms' biases in lockstep: they start at 0 and are nothing but their steps
STEP_TOLERANCE = 2e-2       # of the norm of a network's whole step, and of its momentum
FLIP = 10                   # times these in a step in which a ReLU may have flipped: see AgreementCase.flips

# Without lockstep, the first steps are held to rounding, ten to what is promised. test_realistic.py trains so.
FIRST_STEPS = 2
LOSS_TOLERANCE = 1e-4    # of max(1, |loss|)
UPDATE_TOLERANCE = 2e-2  # of the norm of a network's whole update
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


class AgreementCase(unittest.TestCase):
    """Ten steps of duet and of the oracle, from the same weights, on the same batches."""

    # In how many of the ten steps a ReLU may flip. Networks with millions of activations have some next to zero in many batches,
    # whatever the program: these steps are held to FLIP times the tolerances, all others to the tolerances themselves, where a
    # mistake, which is there in every step, shows. Losses are held to rounding in each.
    flips = 0
    steps = STEPS
    STEP_TOLERANCE = STEP_TOLERANCE
    update_tolerance = UPDATE_TOLERANCE

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
            arrays = given if given is not None else to_arrays(models.build(n["model"], seed=100 + i))
            files.write_safetensors(path, arrays)
            n["init"] = str(path)
            yield n["name"], arrays

    def run_duet(self, recipe):
        """Writes the recipe, trains it, returns (log events, {network: arrays}, the run folder)."""
        run = self.new_run(recipe)
        return (*self.advance(recipe, run, STEPS), run)

    def new_run(self, recipe):
        """The folder of a run that has yet to start."""
        run = self.folder / f"run{self.runs}"
        type(self).runs += 1
        run.with_suffix(".yaml").write_text("".join(f"{key}: {yaml(value)}\n" for key, value in recipe.items()))
        return run

    def advance(self, recipe, run, steps):
        """Trains on to so many steps; returns (log events, {network: arrays})."""
        duet("train", run.with_suffix(".yaml"), "--out", run, "--max-steps", steps, "--resume", "--quiet")
        events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return events, {n["name"]: files.read_safetensors(run / f"{n['name']}.safetensors")[0] for n in recipe["networks"]}

    def recipe(self, networks, method, adm=None, train=None, data=None, images=176, start=None, task=None):
        """(recipe, {network: arrays it starts with}, pixels, labels)."""
        folder, pixels, labels = self.data_of(images)
        networks = [dict(n) for n in networks]
        begin = dict(self.start_of(networks, start or {}))
        return {
            "data": {"name": "cifar100", "path": str(folder), "augment": "none", "shuffle": False, "workers": 1,
                     **(data or {})},
            "networks": networks,
            **({"task": task} if task is not None else {}),
            "method": method,
            **({"adm": adm} if adm is not None else {}),
            "train": {"epochs": 4, "batch": BATCH, "seed": 1, **REALISTIC, "schedule": {"name": "constant"},
                      "evaluate_every": 4, "log_every": 1, **(train or {})},
            "device": {"name": "cpu", "threads": 1},
        }, begin, pixels, labels

    def agree(self, networks, method, **options):
        """The whole comparison, in lockstep; returns what the switch said, step by step. Options: see recipe()."""
        recipe, begin, pixels, labels = self.recipe(networks, method, **options)
        run, training, here, outcomes, flipped = self.new_run(recipe), None, begin, [], 0
        for k in range(1, self.steps + 1):
            events, states = self.advance(recipe, run, k)
            if not training:
                training = oracle.Training(recipe, self.states_of(begin), pixels, labels, self.held_out(recipe, events))
            losses, outcome = training.step()
            steps = [e for e in events if e["event"] == "step"]
            self.assertEqual(steps[-1]["step"], k)
            self.compare_loss(steps[-1], losses, STEP_LOSS_TOLERANCE)
            momenta = self.momenta_of(recipe, run)
            try:
                self.compare_step(k, training, here, states, momenta)
            except AssertionError:
                flipped += 1
                if flipped > self.flips:
                    raise
                self.compare_step(k, training, here, states, momenta, FLIP)
            training.load(self.states_of(states), {name: self.tensors(m) for name, m in momenta.items()})
            here = states
            outcomes.append(outcome)
        self.compare_outcomes(steps, outcomes)
        self.frozen_stay(recipe, begin, here)
        return outcomes

    def held_out(self, recipe, events):
        found = next(e for e in events if e["event"] == "start").get("held_out") or []
        self.assertEqual(len(found), recipe["data"].get("validation", 0))
        return found

    @staticmethod
    def tensors(arrays):
        return {key: torch.from_numpy(np.array(a)).to(oracle.REAL) for key, a in arrays.items()}

    @staticmethod
    def states_of(states):
        return {name: to_state(arrays) for name, arrays in states.items()}

    @staticmethod
    def momenta_of(recipe, run):
        """{network: {parameter: its momentum}} of those that learn."""
        arrays, _ = files.read_safetensors(run / "state.safetensors")
        out = {}
        for n in recipe["networks"]:
            place = f"{n['name']}/momentum/"
            if not n.get("frozen"):
                out[n["name"]] = {key[len(place):]: a for key, a in arrays.items() if key.startswith(place)}
        return out

    def compare_step(self, k, training, here, states, momenta, slack=1):
        """One step of every network: each tensor afterwards, and what the step did to all of them."""
        wanted = training.states()
        for i, n in enumerate(training.networks):
            name = n["name"]
            self.compare_tensors(f"step {k}: {name}", states[name], wanted[name], BIAS_TOLERANCE, slack)
            if i not in training.optimisers:
                continue
            names = [key for key, p in training.nets[i].named_parameters() if p.requires_grad]
            self.compare_all(f"step {k}: {name}: the whole step", names, lambda key: states[name][key] - here[name][key],
                             lambda key: wanted[name][key].numpy() - here[name][key], slack)
            kept = training.momenta(i)
            self.compare_all(f"step {k}: {name}: momentum", names, lambda key: momenta[name][key],
                             lambda key: kept[key].numpy(), slack)

    def compare_all(self, what, names, found, wanted, slack=1):
        """Many tensors as if they were one."""
        error = sum(np.sum(np.square(found(key).astype(np.float64) - wanted(key))) for key in names)
        size = sum(np.sum(np.square(wanted(key).astype(np.float64))) for key in names)
        self.assertLessEqual(error**0.5, slack * self.STEP_TOLERANCE * size**0.5 + 1e-12, what)

    def compare_loss(self, event, losses, tolerance):
        for name, loss in losses.items():
            found = event["loss"].get(name)
            self.assertIsNotNone(found, f"step {event['step']}: no loss of {name}")
            self.assertLessEqual(abs(found - loss), tolerance * max(1, abs(loss)),
                                 f"step {event['step']}: loss of {name}: duet {found!r}, PyTorch {loss!r}")

    def compare_outcomes(self, steps, outcomes):
        """Each outcome of the switch has one name in the log, and no two share one."""
        variants = {}
        for event, outcome in zip(steps, outcomes):
            if outcome is not None:
                self.assertEqual(variants.setdefault(event["variant"], outcome), outcome, f"step {event['step']}")
        self.assertEqual(len(variants), len(set(variants.values())))

    def frozen_stay(self, recipe, begin, states):
        for n in recipe["networks"]:
            for key, array in begin[n["name"]].items() if n.get("frozen") else ():
                self.assertTrue(np.array_equal(states[n["name"]][key], array), f"{n['name']}: {key}: frozen, but changed")

    # ---- without lockstep ----

    def compare_losses(self, steps, expected):
        self.assertEqual([e["step"] for e in steps], list(range(1, STEPS + 1)))
        for event, losses in zip(steps, expected.losses):
            self.compare_loss(event, losses, STEP_LOSS_TOLERANCE if event["step"] <= FIRST_STEPS else LOSS_TOLERANCE)
        self.compare_outcomes(steps, expected.outcomes)

    def compare_weights(self, networks, states, expected, begin):
        for n in networks:
            found, wanted = states[n["name"]], expected.states[n["name"]]
            self.compare_tensors(n["name"], found, wanted)
            self.compare_update(n["name"], found, wanted, begin[n["name"]])
        self.frozen_stay({"networks": networks}, begin, states)

    def compare_tensors(self, what, found, wanted, of_biases=WEIGHT_TOLERANCE, slack=1):
        self.assertEqual(set(found), set(wanted), f"{what}: names of tensors")
        for key, tensor in wanted.items():
            of_norm = key.endswith(".bias") and key.replace(".bias", ".running_mean") in wanted
            self.compare_tensor(f"{what}: {key}", found[key], tensor.numpy(), slack * (of_biases if of_norm else WEIGHT_TOLERANCE))

    def compare_update(self, name, found, wanted, begin):
        error = moved = 0.0
        for key, start in begin.items():
            if start.dtype.kind == "f" and "running" not in key:
                error += np.sum(np.square(found[key].astype(np.float64) - wanted[key].numpy()))
                moved += np.sum(np.square(wanted[key].numpy().astype(np.float64) - start))
        self.assertLessEqual(error**0.5, self.update_tolerance * moved**0.5, f"{name}: the whole update")

    def compare_tensor(self, what, found, wanted, tolerance=WEIGHT_TOLERANCE):
        self.assertEqual(found.shape, wanted.shape, what)
        if wanted.dtype.kind == "i":
            self.assertEqual(found.tolist(), wanted.tolist(), what)
            return
        distance = np.linalg.norm((found.astype(np.float64) - wanted).ravel())
        self.assertLessEqual(distance, tolerance * np.linalg.norm(wanted.ravel()) + 1e-12, what)


def peers(*names):
    """[{name, model, role}, ...] from "teacher=resnet14" style words; the role is the name without its number."""
    out = []
    for word in names:
        name, model = word.split("=")
        out.append({"name": name, "model": model, "role": name.rstrip("0123456789")})
    return out


main = unittest.main
