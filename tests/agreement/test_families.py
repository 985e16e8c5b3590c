"""Classifiers beside the resnet and wrn families against PyTorch: sizes, strict loading both ways, logits and the map that
enters pooling, steps of training."""
import json
import unittest

from dense_harness import worn
from harness import BATCH, AgreementCase, duet, main, np, oracle, peers, to_arrays, torch
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
        real = torch.float64 if side == 32 else torch.float32 # of 224x224, doubles take half a minute more
        with torch.no_grad():
            logits, taps = network.to(real)(x.to(real))
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
    def train_mobile(self, name, lr=0.01):
        self.train_in_lockstep(f"peer={name}", start={"peer": to_arrays(worn(models.build(name, seed=20)))}, batch=BATCH, lr=lr)

    def test_mobilenet_half(self):
        self.train_mobile("mobilenet_half")

    def test_mobilenets_for_224_on_small_pictures(self):
        # Their last maps, too, are a single place, so that a flipped ReLU moves a step by hundredths; mobilenet_v2's is read through dropout.
        for name in ("mobilenet_v1", "mobilenet_v2"):
            with self.subTest(model=name):
                self.train_mobile(name, lr=0.002)

    def test_shufflenet_v1(self):
        # Each of its norms is followed by a ReLU, or by an addition and a ReLU: no bias does nothing. Another start: see Cancellation.
        self.train_in_lockstep("peer=shufflenet_v1", batch=BATCH, lr=0.01)

    def test_shufflenet_v2(self):
        self.train_mobile("shufflenet_v2")


class Cancellation(AgreementCase):
    """From a start where no norm is trivial, what reaches shufflenet_v1's first layers is the small rest of large sums: two float32
    programs differ there by more than 1e-3, and so do they from float64. duet may be further from float64 than PyTorch's float32
    only by chance, not by a factor."""

    FACTOR = 3

    def test_shufflenet_v1(self):
        networks, start = peers("peer=shufflenet_v1"), {"peer": to_arrays(worn(models.build("shufflenet_v1", seed=20)))}
        recipe, begin, pixels, labels = self.recipe(networks, {"name": "vanilla"}, start=start, train={"batch": BATCH, "lr": 0.01})
        _, states = self.advance(recipe, self.new_run(recipe), 1)
        pytorch, truth = (self.one_step(real, recipe, begin, pixels, labels) for real in (torch.float32, torch.float64))
        moved, own, its = ({key: found["peer"][key] - other["peer"][key] for key in truth["peer"]} for found, other in
                           ((truth, begin), (states, truth), (pytorch, truth)))
        parameters = [key for key in truth["peer"] if "running" not in key and "tracked" not in key]
        self.judge("the whole step", *(np.concatenate([d[key].ravel() for key in parameters]) for d in (moved, own, its)))
        for key in parameters:
            size = np.linalg.norm(truth["peer"][key])
            if np.linalg.norm(states["peer"][key] - pytorch["peer"][key]) > 1e-3 * size:
                self.judge(key, truth["peer"][key], own[key], its[key])

    def judge(self, what, wanted, own, its):
        own, its = (np.linalg.norm(error) / np.linalg.norm(wanted) for error in (own, its))
        print(f"shufflenet_v1: {what}: error of duet {own:.1e}, of PyTorch in float32 {its:.1e}")
        self.assertLessEqual(own, self.FACTOR * its, what)

    def one_step(self, real, recipe, begin, pixels, labels):
        """What PyTorch makes of it in these numbers."""
        kept, oracle.REAL = oracle.REAL, real
        try:
            training = oracle.Training(recipe, self.states_of(begin), pixels, labels)
            training.step()
            return {name: {key: t.double().numpy() for key, t in state.items()} for name, state in training.states().items()}
        finally:
            oracle.REAL = kept


if __name__ == "__main__":
    main()
