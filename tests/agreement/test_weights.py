"""Weight files: what duet saves, PyTorch loads strictly, with the same logits and the same accuracy; what duet starts
from has the moments it should have."""
import json
import math
import unittest

from harness import AgreementCase, duet, main, peers, to_state
import numpy as np
import torch

import files
import models
import oracle


class Trained(AgreementCase):
    """A run of one epoch, looked at from PyTorch."""

    FAMILIES = ("teacher=resnet14", "student=resnet8"), ("teacher=wrn_16_2", "student=wrn_16_1"), ("peer=resnet8x4",)

    def train(self, networks):
        folder, splits = self.folder / "data", None
        folder.mkdir(exist_ok=True)
        splits = files.small_cifar100(folder, 160, 120, seed=3, classes=10)
        recipe = {
            "data": {"name": "cifar100", "path": str(folder)},
            "networks": networks,
            "method": {"name": "dml" if len(networks) > 1 else "vanilla"},
            "train": {"epochs": 1, "batch": 16, "seed": 5, "lr": 0.05, "schedule": {"name": "constant"}},
            "device": {"threads": 1},
        }
        return folder, splits, self.run_duet(recipe)

    def test_logits_and_accuracy(self):
        for words in self.FAMILIES:
            networks = peers(*words)
            folder, splits, (_, states, out) = self.train(networks)
            for n in networks:
                with self.subTest(model=n["model"]):
                    self.look_at(n, states[n["name"]], out / f"{n['name']}.safetensors", folder, splits["test"])

    def look_at(self, n, arrays, path, folder, test):
        net = models.build(n["model"]).to(oracle.REAL)
        net.load_state_dict(to_state(arrays), strict=True)
        net.eval()
        with torch.no_grad():
            wanted = net(oracle.normalise(test[0]))[0].double()
        out = folder / "logits.f32"
        said = json.loads(duet("eval", path, "--data", "cifar100", "--path", folder, "--logits", out, "--json"))
        found = np.fromfile(out, dtype="<f4").reshape(wanted.shape).astype(np.float64)
        distance = np.linalg.norm(found - wanted.numpy()) / np.linalg.norm(wanted.numpy())
        self.assertLessEqual(distance, 1e-4)
        rows = np.linalg.norm(found - wanted.numpy(), axis=1) / np.linalg.norm(wanted.numpy(), axis=1)
        self.assertLessEqual(rows.max(), 1e-4, "the image that agrees least")

        y = torch.from_numpy(test[1])
        self.assertEqual(said["images"], len(y))
        right = (torch.from_numpy(found).argmax(dim=1) == y).sum().item()
        self.assertEqual(right, (wanted.argmax(dim=1) == y).sum().item())
        self.assertAlmostEqual(said["top1"], 100 * right / len(y), places=6)
        top5 = (wanted.topk(5, dim=1).indices == y[:, None]).any(dim=1).sum().item()
        self.assertAlmostEqual(said["top5"], 100 * top5 / len(y), places=6)
        self.assertAlmostEqual(said["ce"], oracle.cross_entropy(wanted, y).item(), places=4)
        self.assertAlmostEqual(said["ece"], calibration_error(wanted, y), places=4)

    def test_metadata_and_counters(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        _, _, (_, states, out) = self.train(networks)
        for n in networks:
            _, metadata = files.read_safetensors(out / f"{n['name']}.safetensors")
            self.assertEqual(metadata["model"], n["model"])
            counters = [a for key, a in states[n["name"]].items() if key.endswith("num_batches_tracked")]
            self.assertTrue(counters)
            for counter in counters:
                self.assertEqual((counter.shape, int(counter)), ((), 10))


def calibration_error(logits, y, bins=15):
    confidence, guess = torch.softmax(logits, dim=1).max(dim=1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    total = 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            total += (confidence[inside].mean() - (guess[inside] == y[inside]).double().mean()).abs() * inside.sum()
    return float(total / len(y))


class Start(AgreementCase):
    """Start values, read from a run whose one step is too small to be seen."""

    def start_values(self, model, seed, count=1):
        folder, _, _ = self.data_of(40)
        recipe = {
            "data": {"name": "cifar100", "path": str(folder), "augment": "none"},
            "networks": [{"name": f"net{i}", "model": model} for i in range(count)],
            "method": {"name": "vanilla"},
            "train": {"epochs": 1, "batch": 4, "seed": seed, "lr": 1e-12, "weight_decay": 0, "momentum": 0,
                      "schedule": {"name": "constant"}, "evaluate_every": 1},
            "device": {"threads": 1},
        }
        path, out = self.folder / f"start{self.runs}.yaml", self.folder / f"start{self.runs}"
        type(self).runs += 1
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in recipe.items()))
        duet("train", path, "--out", out, "--max-steps", 1, "--quiet")
        return [files.read_safetensors(out / f"net{i}.safetensors")[0] for i in range(count)]

    def check_normal(self, what, a, deviation):
        """Mean, deviation and tails of a normal sample, each within five standard errors."""
        n = a.size
        a = a.astype(np.float64).ravel()
        self.assertLessEqual(abs(a.mean()), 5 * deviation / math.sqrt(n), f"{what}: mean")
        self.assertLessEqual(abs(a.std() / deviation - 1), 5 / math.sqrt(2 * n), f"{what}: deviation")
        self.assertLessEqual(abs((a**4).mean() / deviation**4 - 3), 5 * math.sqrt(96 / n) + 5 / math.sqrt(n),
                             f"{what}: fourth moment")

    def check_uniform(self, what, a, half_width):
        n = a.size
        a = a.astype(np.float64).ravel()
        self.assertLessEqual(np.abs(a).max(), half_width * (1 + 1e-6), f"{what}: range")
        self.assertLessEqual(abs(a.mean()), 5 * half_width / math.sqrt(3 * n), f"{what}: mean")
        self.assertLessEqual(abs(3 * (a**2).mean() / half_width**2 - 1), 5 * math.sqrt(0.8 / n), f"{what}: second moment")
        if n > 1000:
            self.assertGreaterEqual(np.abs(a).max(), half_width * 0.99, f"{what}: it fills its range")

    def check(self, model):
        (arrays,) = self.start_values(model, seed=11)
        for name, a in arrays.items():
            if a.ndim == 4:
                self.check_normal(name, a, math.sqrt(2 / (a.shape[0] * a.shape[2] * a.shape[3])))
            elif name == "fc.weight" or (name == "fc.bias" and model.startswith("resnet")):
                self.check_uniform(name, a, 1 / math.sqrt(arrays["fc.weight"].shape[1]))
            elif name.endswith(".weight"):
                self.assertLessEqual(np.abs(a - 1).max(), 1e-6, name)
            elif name.endswith(".bias"):
                self.assertLessEqual(np.abs(a).max(), 1e-6, name)

    def test_resnet(self):
        self.check("resnet14")

    def test_resnet_x4(self):
        self.check("resnet8x4")

    def test_wide(self):
        self.check("wrn_16_2")

    def test_networks_and_seeds_start_differently(self):
        first, second = self.start_values("resnet8", 1, count=2)
        again = self.start_values("resnet8", 1)[0]
        other = self.start_values("resnet8", 2)[0]
        key = "layer1.0.conv1.weight"
        self.assertTrue(np.array_equal(first[key], again[key]))
        for different in (second, other):
            correlation = np.corrcoef(first[key].ravel(), different[key].ravel())[0, 1]
            self.assertLess(abs(correlation), 5 / math.sqrt(first[key].size))
        apart = np.corrcoef(first[key].ravel(), first["layer1.0.conv2.weight"].ravel())[0, 1]
        self.assertLess(abs(apart), 5 / math.sqrt(first[key].size))


class Counts(unittest.TestCase):
    def test_every_model(self):
        rows = {row["name"]: row for row in json.loads(duet("models", "--json"))}
        for name, (parameters, buffers, macs) in models.COUNTS.items():
            with self.subTest(model=name):
                net = models.build(name)
                self.assertEqual(sum(p.numel() for p in net.parameters()), parameters)
                self.assertEqual(sum(b.numel() for b in net.buffers()), buffers)
                self.assertEqual(rows[name]["parameters"], parameters)
                self.assertEqual(rows[name]["macs"], macs)


if __name__ == "__main__":
    main()
