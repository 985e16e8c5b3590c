"""Ten steps at a realistic learning rate without lockstep: losses within 1e-4, every tensor of the weights within 1e-3.

What parts two float32 programs is a ReLU whose input falls on the other side of zero by rounding (it parts PyTorch in float32
from PyTorch in float64 as well); each step then multiplies the difference by two to ten. Batches of two, the reference device
and PyTorch in float64 keep clear of it, and then ten steps agree to about 1e-6. A start that meets a flip all the same gives
way to another: a flip belongs to one start, a mistake in a formula to all.
"""
import itertools

from harness import STEPS, AgreementCase, main, peers, to_arrays, torch
import models
import oracle
import test_methods

PAIR = peers("teacher=resnet8", "student=resnet8")
DML = {"name": "dml"}
STARTS = 100, 200, 300  # seeds


class Realistic(test_methods.Taught, AgreementCase):
    update_tolerance = 1e-3  # weight decay alone is five times that

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.real, oracle.REAL = oracle.REAL, torch.float64

    @classmethod
    def tearDownClass(cls):
        oracle.REAL = cls.real
        super().tearDownClass()

    def go(self, method, networks=PAIR, start=None, **options):
        for seed in STARTS:
            try:
                fresh = {n["name"]: to_arrays(models.build(n["model"], seed=seed + i)) for i, n in enumerate(networks)}
                return self.go_from(start or fresh, method, networks, **options)
            except AssertionError:
                if start or seed == STARTS[-1]:
                    raise

    def go_from(self, start, method, networks, batch=2, **options):
        recipe, begin, pixels, labels = self.recipe(networks, method, train={"batch": batch}, images=self.IMAGES, start=start,
                                                    **options)
        recipe["device"] = {"name": "reference", "threads": 1}
        events, states, _ = self.run_duet(recipe)
        expected = oracle.train(recipe, self.states_of(begin), pixels, labels, STEPS, self.held_out(recipe, events))
        self.compare_losses([e for e in events if e["event"] == "step"], expected)
        self.compare_weights(recipe["networks"], states, expected, begin)
        return expected

    def test_vanilla(self):
        self.go({"name": "vanilla"})

    def test_kd(self):
        networks = [dict(n) for n in PAIR]
        networks[0]["frozen"] = True
        self.go({"name": "kd"}, networks)

    def test_dml(self):
        self.go(DML)

    def test_kdcl(self):
        for target in ("naive", "linear", "minlogit", "mean"):
            with self.subTest(target=target):
                self.go({"name": "kdcl", "target": target})

    def test_kdcl_general(self):
        self.go({"name": "kdcl", "target": "general"}, data={"validation": 16})

    def test_switokd(self):
        start = {"teacher": self.teach("resnet8", 1, "fwwfu"), "student": self.teach("resnet8", 2, "ufwuu")}
        expected = self.go({"name": "switokd"}, batch=4, start=start)
        self.assertEqual(set(expected.outcomes), {(True,), (False,)})

    def test_adm(self):
        for consensus, divergence in itertools.product(("align", "modulate", "off"), ("repel", "modulate", "off")):
            if (consensus, divergence) != ("off", "off"):
                with self.subTest(consensus=consensus, divergence=divergence):
                    self.go(DML, adm={"consensus": consensus, "divergence": divergence})


if __name__ == "__main__":
    main()
