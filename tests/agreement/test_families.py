"""Classifiers beside the resnet and wrn families against PyTorch: sizes, strict loading both ways, logits and the map that
enters pooling, steps of training."""
import json
import unittest

from dense_harness import worn
from harness import BATCH, AgreementCase, duet, main, np, peers, to_arrays, torch
from test_dense_models import Outputs

import families
import models


class Counts(unittest.TestCase):
    def test_every_model(self):
        rows = {row["name"]: row for row in json.loads(duet("models", "--json"))}
        for name, (parameters, buffers, macs) in families.COUNTS.items():
            with self.subTest(model=name):
                row = rows[name]
                self.assertEqual((row["parameters"], row["buffers"], row["macs"]), (parameters, buffers, macs))
                net = models.build(name, classes=None)
                self.assertEqual(sum(p.numel() for p in net.parameters()), parameters)
                self.assertEqual(sum(b.numel() for b in net.buffers()), buffers)

    def test_none_is_left_out(self):
        known = {*families.COUNTS, *models.COUNTS}
        for row in json.loads(duet("models", "--json")):
            if row["task"] == "classify":
                self.assertIn(row["name"], known)


class Logits(Outputs):
    """PyTorch's weights in duet. Both compute in inference mode; a mistake of a channel's order or a missing layer is far
    beyond rounding."""

    TOLERANCE = 1e-4

    def agree(self, name, side, count):
        network = worn(models.build(name, classes=None, seed=3)).eval()
        arrays, x = to_arrays(network), torch.randn(count, 3, side, side)
        with torch.no_grad():
            logits, taps = network.double()(x.double())
        found = self.run_duet(name, logits.shape[1], arrays, x, torch.zeros(count))
        for what, wanted in (("logits", logits[:, :, None, None]), ("features", taps["features"])):
            n, c, h, w = wanted.shape
            own, found = found[:wanted.numel()], found[wanted.numel():]
            own = own.reshape(n, h, w, c).transpose(0, 3, 1, 2).astype(np.float64)
            error = np.linalg.norm(own - wanted.numpy()) / np.linalg.norm(wanted.numpy())
            self.assertLessEqual(error, self.TOLERANCE, f"{name}: {what}")
        self.assertEqual(found.size, 0, f"{name}: more values than PyTorch has")

    def test_every_model(self):
        for name in families.COUNTS:
            with self.subTest(network=name):
                side = families.side(name)
                self.agree(name, side, 3 if side == 32 else 1)


class Steps(AgreementCase):
    """Training in lockstep, one of each family."""

    flips = 4

    def train_in_lockstep(self, *words, adm=None, start=None, **train):
        networks = peers(*words)
        self.agree(networks, {"name": "dml" if len(networks) > 1 else "vanilla"}, adm=adm, train={"batch": BATCH // 2, **train}, start=start)

    def test_vgg(self):
        # The gradient of the convolutions' biases is nothing but rounding: they must not be nothing themselves.
        self.train_in_lockstep("peer=vgg8", start={"peer": to_arrays(worn(models.build("vgg8", seed=20)))})

    def test_resnet_for_32(self):
        self.train_in_lockstep("peer=resnet18_cifar")

    def test_resnet_for_224_on_small_pictures(self):
        # Its last maps are a single place: norms over 8 numbers, which magnify rounding.
        self.train_in_lockstep("peer=resnet18", batch=BATCH, lr=0.005)

    # The bias of a norm that no activation follows does nothing where a 1x1 convolution and its norm are next, as in most blocks
    # of these networks: its gradient, too, is rounding. Learning rate .01, with which they are trained.
    def train_mobile(self, name):
        self.train_in_lockstep(f"peer={name}", start={"peer": to_arrays(worn(models.build(name, seed=20)))}, batch=BATCH, lr=0.01)

    def test_mobilenet_half(self):
        self.train_mobile("mobilenet_half")

    def test_shufflenet_v1(self):
        # Each of its norms is followed by a ReLU, or by an addition and a ReLU: no bias does nothing.
        self.train_in_lockstep("peer=shufflenet_v1", batch=BATCH, lr=0.01)

    def test_shufflenet_v2(self):
        self.train_mobile("shufflenet_v2")


if __name__ == "__main__":
    main()
