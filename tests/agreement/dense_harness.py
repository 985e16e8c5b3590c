"""Runs duet beside the dense tasks' oracle and compares: what harness.py is to classification."""
from harness import STEP_LOSS_TOLERANCE, AgreementCase, np, peers, to_arrays, torch
import harness

import dense_diffusion as diffusion
import dense_files
import dense_models
import dense_oracle as oracle
import files
import philox

# In lockstep one step sees every formula, the second what the first left; more are for what changes later, and ten (a case's
# TEN) for each method and each form of ADM.
STEPS = 2
DML = {"name": "dml"}
TIMES = 1000
IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64).view(2, 1, 3, 1, 1)


def worn(network):
    """A network past its start: norms that are not 1 and 0, biases that are not 0, layers that are not 1e-5, so that no
    mistake hides behind them and outputs are of size 1."""
    small = (torch.nn.BatchNorm2d, torch.nn.GroupNorm)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, small):
                module.weight.uniform_(0.6, 1.4)
                module.bias.normal_(0, 0.3)
            elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) and module.bias is not None:
                module.bias.normal_(0, 0.1)
                fan = module.weight[0].numel()
                module.weight.normal_(0, fan**-0.5)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.num_batches_tracked += 7
    return network


def dropout_pattern(seed):
    """keep(network, step, which, p, shape) as duet draws it."""
    return lambda network, step, which, p, shape: torch.from_numpy(philox.dropout(shape, p, seed, step, network, which))


class DenseCase(AgreementCase):
    """What the two tasks share."""

    BATCH = 8

    @classmethod
    def with_frozen_teacher(cls):
        return [{**n, "frozen": True} if n["role"] == "teacher" else n for n in cls.PAIR]

    def start_of(self, networks, start):
        for i, n in enumerate(networks):
            path = self.folder / f"start-{n['name']}-{self.runs}.safetensors"
            given = start.get(n["name"])
            net = given or worn(dense_models.build(n["model"], self.classes(), seed=100 + i))
            arrays = to_arrays(net)
            files.write_safetensors(path, arrays)
            n["init"] = str(path)
            yield n["name"], arrays

    STEP_TOLERANCE = 1e-2  # of the norm of a network's whole step, and of what its optimiser carries on

    def agree_on(self, recipe, steps, batches, steps_per_epoch, start, held_out):
        """The comparison, in lockstep; returns what the switch said, step by step."""
        recipe["networks"] = [dict(n) for n in recipe["networks"]]
        begin = dict(self.start_of(recipe["networks"], start or {}))
        run, training, here, outcomes = self.new_run(recipe), None, begin, []
        for k in range(1, steps + 1):
            events, states = self.advance(recipe, run, k)
            if not training:
                training = oracle.Training(recipe, self.states_of(begin), batches, steps_per_epoch, held_out(events),
                                           dropout_pattern(recipe["train"]["seed"]), self.classes())
            losses, outcome = training.step()
            seen = [e for e in events if e["event"] == "step"]
            self.assertEqual(seen[-1]["step"], k)
            self.compare_loss(seen[-1], losses, STEP_LOSS_TOLERANCE)
            momenta = self.momenta_of(recipe, run)
            self.compare_step(k, training, here, states, momenta)
            self.follow(k, training, recipe, run, states, momenta)
            here = states
            outcomes.append(outcome)
        self.compare_outcomes(seen, outcomes)
        self.frozen_stay(recipe, begin, here)
        return outcomes

    def follow(self, k, training, recipe, run, states, momenta):
        """Compares what else a step leaves, and puts the oracle where duet stands."""
        squares, averages = {}, {}
        kept, _ = files.read_safetensors(run / "state.safetensors")
        for i in training.optimisers:
            name = training.networks[i]["name"]
            if training.keys()[1]:
                squares[name] = self.part_of(kept, f"{name}/second/")
                wanted = training.carried(i, 1)
                self.compare_all(f"step {k}: {name}: means of squares", list(wanted), squares[name].get,
                                 lambda key: wanted[key].numpy())
            if name in training.averages:
                averages[name] = files.read_safetensors(run / f"{name}.ema.safetensors")[0]
                self.compare_tensors(f"step {k}: {name}: average", averages[name], training.averages[name])
        training.load(self.states_of(states), {name: self.tensors(m) for name, m in momenta.items()},
                      {name: self.tensors(m) for name, m in squares.items()}, self.states_of(averages))

    @staticmethod
    def part_of(arrays, place):
        return {key[len(place):]: a for key, a in arrays.items() if key.startswith(place)}

    def recipe_of(self, task, data, networks, method, adm, train):
        return {
            "task": {"name": self.TASK, **(task or {})},
            "data": {"augment": "none", "shuffle": False, "workers": 1, **data},
            "networks": networks,
            "method": method,
            **({"adm": adm} if adm is not None else {}),
            "train": {"epochs": 4, "batch": self.BATCH, "seed": 1, "evaluate_every": 4, "log_every": 1,
                      "schedule": {"name": "constant"}, **self.TRAIN, **(train or {})},
            "device": {"name": "cpu", "threads": 1},
        }

    @staticmethod
    def images_per_step(recipe):
        return recipe["train"]["batch"] * recipe["train"].get("accumulate", 1)

    @staticmethod
    def held_out_of(events):
        return next(e for e in events if e["event"] == "start").get("held_out") or []


class SegmentCase(DenseCase):
    TASK = "segment"
    PAIR = peers("teacher=seg14", "student=seg8")
    TEN = {"steps": harness.STEPS}
    TRAIN = {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4}
    CLASSES, SIZE = 7, (40, 52)

    def classes(self):
        return self.CLASSES

    def pictures(self, images, size, unlabelled):
        key = images, size, unlabelled
        if key not in self.data:
            folder = self.folder / f"data{len(self.data)}"
            splits = dense_files.small_folder(folder, images, 6, size, self.CLASSES, seed=7, unlabelled=unlabelled)
            self.data[key] = folder, splits
        return self.data[key]

    @staticmethod
    def seen(pixels):
        return (torch.from_numpy(pixels).double() / 255 - IMAGENET[0]) / IMAGENET[1]

    def agree(self, networks, method, adm=None, train=None, data=None, task=None, images=40, size=None, start=None,
              unlabelled=(3, 17), steps=STEPS):
        folder, splits = self.pictures(images, size or self.SIZE, unlabelled)
        recipe = self.recipe_of(task, {"name": "folder-seg", "path": str(folder), "normalise": "imagenet", **(data or {})},
                             networks, method, adm, train)
        x, y = self.seen(splits["train"][0]), torch.from_numpy(splits["train"][1]).long()
        held = []

        def batches(_, place):
            kept = np.setdiff1d(np.arange(images), held)
            rows = kept[place * recipe["train"]["batch"]:(place + 1) * recipe["train"]["batch"]]
            return x[rows], y[rows]

        def held_out(events):
            held.extend(self.held_out_of(events))
            self.assertEqual(len(held), recipe["data"].get("validation", 0))
            return (x[held], y[held]) if held else None

        steps_per_epoch = (images - recipe["data"].get("validation", 0)) // self.images_per_step(recipe)
        return self.agree_on(recipe, steps, batches, steps_per_epoch, start, held_out)


class DenoiseCase(DenseCase):
    TASK = "denoise"
    PAIR = peers("teacher=unet_c16", "student=unet_c8")
    TEN = {"steps": harness.STEPS, "train": {"batch": 4}}  # half the pictures, half the time
    TRAIN = {"lr": 0.0003, "optimizer": "adam", "weight_decay": 0}
    # A key's bias moves every score of a query alike, which a softmax does not see: its gradient is nothing but rounding, and
    # Adam makes steps of it.
    BLIND = "to_k.bias"

    def classes(self):
        return None

    def compare_all(self, what, names, found, wanted, slack=1):
        super().compare_all(what, [n for n in names if not n.endswith(self.BLIND)], found, wanted, slack)

    def compare_tensor(self, what, found, wanted, *tolerance):
        if what.endswith(self.BLIND):
            self.assertLessEqual(np.abs(found - wanted).max(), 3 * self.TRAIN["lr"], what)
        else:
            super().compare_tensor(what, found, wanted, *tolerance)

    @staticmethod
    def validation_batch(pixels, kind):
        x0, n = pixels.astype(np.float64) / 127.5 - 1, len(pixels)
        t = diffusion.validation_times(n, TIMES)
        eps = np.stack([picture_noise(x0.shape[2:], 0, philox.VALIDATION, 0, k) for k in range(n)])  # alike for every seed
        return (torch.from_numpy(diffusion.noised(x0, t, eps, diffusion.signal(kind, TIMES))), torch.tensor(t),
                torch.from_numpy(eps))

    def agree(self, networks, method, adm=None, train=None, data=None, task=None, images=40, start=None, steps=STEPS):
        folder, pixels, _ = self.data_of(images)
        recipe = self.recipe_of(task, {"name": "cifar100", "path": str(folder), **(data or {})}, networks, method, adm, train)
        settings, kind = recipe["train"], recipe["task"].get("noise", "cosine")
        batch, seed, validation = settings["batch"], settings["seed"], recipe["data"].get("validation", 0)
        x0, ab, held = pixels.astype(np.float64) / 127.5 - 1, diffusion.signal(kind, TIMES), []

        def batches(epoch, place):
            rows = np.setdiff1d(np.arange(images), held)[place * batch:(place + 1) * batch].tolist()
            t = [philox.below(TIMES, seed, philox.TIMESTEP, epoch, r) for r in rows]
            eps = np.stack([picture_noise(x0.shape[2:], seed, philox.NOISE, epoch, r) for r in rows])
            return torch.from_numpy(diffusion.noised(x0[rows], t, eps, ab)), torch.tensor(t), torch.from_numpy(eps)

        def held_out(events):
            held.extend(self.held_out_of(events))
            self.assertEqual(len(held), validation)
            return self.validation_batch(pixels[held], kind) if held else None

        return self.agree_on(recipe, steps, batches, (images - validation) // self.images_per_step(recipe), start, held_out)


def picture_noise(size, seed, purpose, epoch, index):
    """eps [3, h, w] of one record."""
    z = philox.normals(3 * size[0] * size[1], seed, purpose, epoch, index)
    return z.reshape(*size, 3).transpose(2, 0, 1).astype(np.float64)
